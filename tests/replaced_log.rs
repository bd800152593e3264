//! The log is replaced or removed under a process that has it open: nothing is reported as stored
//! that is not in the file that has the log's name, and a follower goes on in the new one.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Child;

use rustix::fs::FlockOperation;
use rustix::process::Signal;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::log::Log;
use crate::support::wait;

const EXIT_TRY_AGAIN: i32 = 75;

/// An `ingest` that holds a pipe open and has stored one line of it.
fn start_ingest(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(["ingest"]);
    command.stdin(std::process::Stdio::piped());
    let mut child = sandbox.spawn(command);
    child.stdin.as_mut().unwrap().write_all(b"{\"action\":\"before\"}\n").unwrap();
    wait::until("the first line to be stored", &child, || {
        sandbox.exists("log.db").then(|| count(sandbox, "before")).filter(|count| *count == 1)
    });
    child
}

/// Gives a line to the pipe of a running `ingest`, and waits for its end.
fn ingest_another(sandbox: &Sandbox, mut child: Child) -> Output {
    child.stdin.take().unwrap().write_all(b"{\"action\":\"after\"}\n").unwrap();
    sandbox.wait_with_output(child)
}

fn count(sandbox: &Sandbox, action: &str) -> usize {
    sandbox.run(["list", "--json", &format!("action:{action}")]).ok().json_lines().len()
}

fn remove(sandbox: &Sandbox, names: &[&str]) {
    for name in names {
        fs::remove_file(sandbox.path(name)).unwrap();
    }
}

fn replace_with_copy(sandbox: &Sandbox) {
    fs::rename(sandbox.path("copy.db"), sandbox.db()).unwrap();
    remove(sandbox, &["log.db-wal", "log.db-shm"]);
}

/// Replaces the log of a running `ingest`, and checks that the next line is not acknowledged.
#[track_caller]
fn assert_not_acknowledged(replace: impl Fn(&Sandbox)) {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"first"}"#);
    sandbox.run(["backup", "copy.db"]).ok().done();
    let other = r#"{"action":"other"}"#;
    sandbox.run_with_input(["ingest", "--db", "other.db"], other).ok().done();
    let child = start_ingest(&sandbox);
    replace(&sandbox);
    let out = ingest_another(&sandbox, child).exits(EXIT_TRY_AGAIN);
    assert!(out.stderr().contains("was replaced or removed since it was opened"), "{out}");
}

#[test]
fn a_line_for_a_log_that_was_restored_from_a_copy_is_not_acknowledged() {
    assert_not_acknowledged(replace_with_copy);
}

#[test]
fn a_line_for_a_log_that_was_removed_is_not_acknowledged() {
    assert_not_acknowledged(|sandbox| remove(sandbox, &["log.db", "log.db-wal", "log.db-shm"]));
}

#[test]
fn a_line_for_a_log_whose_write_ahead_log_was_removed_is_not_acknowledged() {
    assert_not_acknowledged(|sandbox| remove(sandbox, &["log.db-wal"]));
}

#[test]
fn a_line_for_a_log_whose_shared_memory_was_removed_is_not_acknowledged() {
    assert_not_acknowledged(|sandbox| remove(sandbox, &["log.db-shm"]));
}

#[test]
fn a_line_for_a_log_that_a_copy_was_written_over_is_not_acknowledged() {
    assert_not_acknowledged(|sandbox| {
        // The same inode: what is left of the write-ahead log is emptied, as a careful hand does.
        fs::copy(sandbox.path("copy.db"), sandbox.db()).unwrap();
        fs::write(sandbox.path("log.db-wal"), "").unwrap();
    });
}

#[test]
fn a_line_for_a_log_behind_a_link_that_was_switched_is_not_acknowledged() {
    let sandbox = Sandbox::new();
    let switch_to = |folder: &str| {
        std::os::unix::fs::symlink(Path::new(folder).join("log.db"), sandbox.path("new")).unwrap();
        fs::rename(sandbox.path("new"), sandbox.db()).unwrap();
    };
    for folder in ["one", "two"] {
        let path = format!("{folder}/log.db");
        sandbox.run(["ingest", "--db", &path, "--action", "first"]).ok().done();
    }
    switch_to("one");
    let child = start_ingest(&sandbox);
    switch_to("two");
    let out = ingest_another(&sandbox, child).exits(EXIT_TRY_AGAIN);
    assert!(out.stderr().contains("was replaced or removed"), "{out}");
}

#[test]
fn a_file_that_was_not_acknowledged_is_taken_by_the_next_run() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"first"}"#);
    sandbox.run(["backup", "copy.db"]).ok().done();
    let child = start_ingest(&sandbox);
    replace_with_copy(&sandbox);
    ingest_another(&sandbox, child).exits(EXIT_TRY_AGAIN).done();
    sandbox.ingest(r#"{"action":"after"}"#);
    assert_eq!(count(&sandbox, "after"), 1);
    sandbox.assert_sound_with(2);
}

#[test]
fn the_end_of_a_run_confirms_nothing_for_a_log_that_is_gone() {
    let sandbox = Sandbox::new();
    let child = start_ingest(&sandbox);
    remove(&sandbox, &["log.db", "log.db-wal", "log.db-shm"]);
    // Its pipe is closed without another line.
    sandbox.wait_with_output(child).exits(EXIT_TRY_AGAIN).done();
}

#[test]
fn a_checkpoint_by_another_process_is_no_replacement() {
    let sandbox = Sandbox::new();
    let mut child = start_ingest(&sandbox);
    for round in 2..=4 {
        let many = "{\"action\":\"many\"}\n".repeat(3_000);
        sandbox.ingest(many);
        child.stdin.as_mut().unwrap().write_all(b"{\"action\":\"before\"}\n").unwrap();
        wait::until("the line to be stored", &child, || {
            (count(&sandbox, "before") == round).then_some(())
        });
    }
    ingest_another(&sandbox, child).ok().done();
    sandbox.assert_sound_with(3 * 3_000 + 5);
}

#[test]
fn follow_goes_on_in_a_log_that_was_restored_and_says_so() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"first"}"#);
    sandbox.run(["backup", "copy.db"]).ok().done();
    sandbox.ingest(r#"{"action":"second"}"#);
    let mut child = sandbox.spawn(sandbox.command(["list", "--follow", "--json"]));
    let mut out = child.stdout.take().unwrap();
    let mut err = child.stderr.take().unwrap();
    assert!(wait::read_lines(&mut out, 2).contains("second"));
    replace_with_copy(&sandbox);
    sandbox.ingest(r#"{"action":"third"}"#);
    // It has an id that was shown for another event.
    let line = wait::read_lines(&mut out, 1);
    assert!(line.contains("third") && line.contains("\"id\":2"), "{line}");
    let said = wait::read_lines(&mut err, 1);
    assert!(said.contains("the log was replaced: following the one that is there now"), "{said}");
    wait::send_signal(&child, Signal::TERM);
    child.wait().unwrap();
}

#[test]
fn follow_waits_for_a_log_that_was_removed() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"first"}"#);
    let mut child = sandbox.spawn(sandbox.command(["list", "--follow", "--json"]));
    let mut out = child.stdout.take().unwrap();
    let mut err = child.stderr.take().unwrap();
    assert!(wait::read_lines(&mut out, 1).contains("first"));
    remove(&sandbox, &["log.db", "log.db-wal", "log.db-shm"]);
    let said = wait::read_lines(&mut err, 1);
    assert!(said.contains("waiting for one"), "{said}");
    sandbox.ingest(r#"{"action":"new"}"#);
    assert!(wait::read_lines(&mut out, 1).contains("new"));
    assert!(wait::read_lines(&mut err, 1).contains("following the one that is there now"));
    wait::send_signal(&child, Signal::TERM);
    child.wait().unwrap();
}

/// A log with a copy of it that has one event less. In the config `REPLACE` stands for a command that keeps
/// what it is given in the file `taken`, and then puts the copy in the log's place, once.
fn sandbox_with_copy(config: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let folder = sandbox.work_folder();
    let replace = format!(
        "['sh', '-c', 'cd {} && cat >> taken; ! mv copy.db log.db || rm -f log.db-wal log.db-shm']",
        folder.display()
    );
    sandbox.write("config.toml", config.replace("REPLACE", &replace));
    sandbox.ingest(r#"{"action":"first","occurred_at":"2020-01-01T00:00:00Z"}"#);
    sandbox.run(["backup", "copy.db"]).ok().done();
    sandbox.ingest(r#"{"action":"second"}"#);
    sandbox
}

/// A sweep that waited while the log was replaced takes nothing from either.
#[test]
fn a_sweep_of_a_log_that_is_gone_sweeps_nothing() {
    let sandbox = sandbox_with_copy("");
    let lock = File::open(sandbox.path("log.db.lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).unwrap();
    let sweep = sandbox.spawn(sandbox.command(["sweep", "--keep", "365d"]));
    wait::until("a plan", &sweep, || {
        (sandbox.log().query_value::<i64>("SELECT count(*) FROM removal") == 1).then_some(())
    });
    replace_with_copy(&sandbox);
    drop(lock);
    let out = sandbox.wait_with_output(sweep).exits(EXIT_TRY_AGAIN).no_stdout();
    assert!(out.stderr().contains("was replaced or removed"), "{out}");
    assert_eq!((count(&sandbox, "first"), count(&sandbox, "retention.sweep")), (1, 0));
    sandbox.run(["sweep", "--keep", "365d"]).ok().done();
    assert_eq!((count(&sandbox, "first"), count(&sandbox, "retention.sweep")), (0, 1));
}

/// A digest whose log is replaced while its mail goes out does not count as sent in the new one.
#[test]
fn a_digest_whose_log_is_gone_is_not_taken_for_sent() {
    let sandbox = sandbox_with_copy(
        "[digest]\nfrom = 'a@example.org'\nto = ['b@example.org']\ntransport = 'sendmail'\n\
         [digest.sendmail]\ncommand = REPLACE\n",
    );
    let out = sandbox.run(["digest"]).exits(EXIT_TRY_AGAIN);
    assert!(out.stderr().contains("was replaced or removed"), "{out}");
    assert_eq!(count(&sandbox, "digest.sent"), 0);
    sandbox.run(["digest"]).ok().done();
    assert_eq!(count(&sandbox, "digest.sent"), 1);
    sandbox.run(["verify"]).ok().done();
}

/// What was delivered from a log that is gone is delivered again from the one that is there: it may come
/// twice, and is never left out.
#[test]
fn an_alert_whose_log_is_gone_is_told_again_and_loses_nothing() {
    let sandbox = sandbox_with_copy(
        "[[alert]]\nname = 'a'\nquery = 'action:*'\nevery = '1s'\ncommand = REPLACE\n",
    );
    let out = sandbox.run(["mirror"]).exits(EXIT_TRY_AGAIN);
    assert!(out.stderr().contains("was replaced or removed"), "{out}");
    sandbox.ingest(r#"{"action":"third"}"#);
    let told = || String::from_utf8(sandbox.read("taken")).unwrap();
    let mirror = sandbox.spawn(sandbox.command(["mirror", "--follow"]));
    wait::until("the alert", &mirror, || told().contains("third").then_some(()));
    wait::send_signal(&mirror, Signal::TERM);
    drop(sandbox.wait_with_output(mirror));
}

#[test]
fn a_mirror_that_follows_goes_on_in_a_log_that_was_restored() {
    let sandbox = sandbox_with_copy("[[mirror]]\nname = 'm'\ntype = 'file'\npath = 'm.log'\n");
    let mirror = sandbox.spawn(sandbox.command(["mirror", "--follow"]));
    let delivered = |action: &str| {
        let text = fs::read_to_string(sandbox.path("m.log")).unwrap_or_default();
        text.contains(&format!("\"action\":\"{action}\"")).then_some(())
    };
    wait::until("the second event", &mirror, || delivered("second"));
    replace_with_copy(&sandbox);
    sandbox.ingest(r#"{"action":"third"}"#);
    wait::until("the event of the new log", &mirror, || delivered("third"));
    wait::send_signal(&mirror, Signal::TERM);
    drop(sandbox.wait_with_output(mirror));
}

/// What leaves the log is recorded in the log that is there, or does not leave it.
#[test]
fn a_page_and_an_export_of_a_log_that_is_gone_are_not_made() {
    for args in [
        &["page", "-o", "out.html"][..],
        &["export", "-o", "out.csv"],
        &["list", "--output", "csv"],
    ] {
        let sandbox = sandbox_with_copy("");
        let lock = Log::open_to_write(&sandbox.db());
        lock.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
        let child = sandbox.spawn(sandbox.command(args));
        let db = sandbox.db().canonicalize().unwrap();
        wait::until("the log to be open", &child, || {
            let open = fs::read_dir(format!("/proc/{}/fd", child.id())).ok()?;
            let has_log =
                |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to == db);
            open.flatten().any(has_log).then_some(())
        });
        replace_with_copy(&sandbox);
        lock.sql.execute_batch("COMMIT").unwrap();
        drop(lock);
        let out = sandbox.wait_with_output(child);
        let exported = count(&sandbox, "log.export");
        match out.code {
            Some(0) => assert_eq!(exported, 1, "{args:?}\n{out}"),
            _ => {
                let out = out.exits(EXIT_TRY_AGAIN).no_stdout();
                assert_eq!(exported, 0, "{args:?}\n{out}");
                assert!(!sandbox.exists(args.last().unwrap()), "{args:?}\n{out}");
            }
        }
    }
}
