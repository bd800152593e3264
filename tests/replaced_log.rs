//! The log is replaced or removed under a process that has it open: nothing is reported as stored
//! that is not in the file that has the log's name, and a follower goes on in the new one.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Child;

use rustix::process::Signal;

use crate::support::Output;
use crate::support::Sandbox;
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
