//! `activity backup`: a whole copy beside writers, or none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;

use rustix::process::Signal;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::is_running_as_root;
use crate::support::log::Log;
use crate::support::torture::FaultCount;
use crate::support::wait;

/// The files of the working folder.
fn file_names(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path(".")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_one_file_that_every_command_takes() {
    let sandbox = Sandbox::with_events();
    let before = file_names(&sandbox);
    let hash = sandbox.log().query_value::<String>("SELECT lower(hex(hash)) FROM head");
    let out = sandbox.run(["backup", "copy.db"]).ok().no_stderr();
    let size = fs::metadata(sandbox.path("copy.db")).unwrap().len();
    assert_eq!(
        out.stdout(),
        format!("backup copy.db: 8 events, head 8:{hash}, {} KiB\n", size / 1024)
    );
    let mut after = before;
    after.push("copy.db".to_owned());
    after.sort();
    assert_eq!(file_names(&sandbox), after, "nothing beside it");
    assert_eq!(sandbox.mode("copy.db"), 0o600);

    let listed = sandbox.stored_events();
    for args in [
        vec!["verify", "--anchor", &format!("8:{hash}")],
        vec!["list"],
        vec!["show", "3"],
        vec!["search-actor", "3"],
        vec!["search-target", "general"],
        vec!["actions"],
        vec!["digest", "--dry-run"],
        vec!["whoami"],
        vec!["backup", "copy-of-a-copy.db"],
        vec!["export", "--jsonl"],
    ] {
        sandbox.run(args.into_iter().chain(["--db", "copy.db"])).ok().done();
    }
    sandbox
        .run_with_input(["ingest", "--quiet", "--db", "copy.db"], r#"{"action":"a.b"}"#)
        .ok()
        .done();
    assert_eq!(sandbox.stored_events(), listed, "the log itself is as it was");
    let copied = Sandbox::new();
    copied.write("log.db", sandbox.read("copy-of-a-copy.db"));
    assert_eq!(copied.stored_events(), listed);
    copied.assert_sound_with(8);
}

#[test]
fn it_is_told_as_json() {
    let sandbox = Sandbox::with_events();
    let hash = sandbox.log().query_value::<String>("SELECT lower(hex(hash)) FROM head");
    let report = sandbox.run(["backup", "--json", "copy.db"]).ok().no_stderr().json();
    let bytes = fs::metadata(sandbox.path("copy.db")).unwrap().len();
    assert_eq!(
        report,
        json!({"file": "copy.db", "events": 8, "head": {"id": 8, "hash": hash}, "bytes": bytes})
    );
}

#[test]
fn what_is_in_the_write_ahead_log_is_copied_too() {
    let sandbox = Sandbox::with_events();
    let wal = fs::metadata(sandbox.path("log.db-wal")).unwrap().len();
    assert!(wal > 0, "the events are not in the file yet");
    let plain = Sandbox::new();
    plain.write("log.db", sandbox.read("log.db"));
    assert!(plain.log().event_count() < 8, "a plain copy lacks them");
    sandbox.run(["backup", "copy.db"]).ok().done();
    assert_eq!(Log::open(&sandbox.path("copy.db")).event_count(), 8);
}

#[test]
fn an_older_copy_is_replaced_and_a_link_stays() {
    let sandbox = Sandbox::with_events();
    sandbox.write("copy.db", "an older one");
    std::os::unix::fs::symlink("copy.db", sandbox.path("link.db")).unwrap();
    let old = fs::metadata(sandbox.path("copy.db")).unwrap().ino();
    sandbox.run(["backup", "link.db"]).ok().done();
    assert!(sandbox.path("link.db").is_symlink());
    assert_ne!(fs::metadata(sandbox.path("copy.db")).unwrap().ino(), old);
    assert_eq!(sandbox.mode("copy.db"), 0o600);
    sandbox.run(["verify", "--db", "copy.db"]).ok().done();
}

#[test]
fn what_it_cannot_or_must_not_write_is_refused() {
    let sandbox = Sandbox::with_events();
    for name in ["log.db", "./log.db", "log.db-wal", "log.db-shm", "log.db.lock"] {
        let out = sandbox.run(["backup", name]).exits(2).no_stdout().stderr_is_one_error();
        assert!(out.stderr().contains("would overwrite the log"), "{out}");
    }
    std::os::unix::fs::symlink("log.db", sandbox.path("link.db")).unwrap();
    sandbox.run(["backup", "link.db"]).exits(2).no_stdout().done();
    fs::create_dir(sandbox.path("folder")).unwrap();
    for name in ["folder", "nowhere/copy.db", "/dev/null", ".."] {
        sandbox.run(["backup", name]).exits(73).no_stdout().stderr_is_one_error().done();
    }
    sandbox.run(["backup"]).exits(2).no_stdout().done();
    sandbox.assert_sound_with(8);
    let empty = Sandbox::new();
    empty.run(["backup", "copy.db"]).exits(66).no_stdout().stderr_is_one_error().done();
    assert!(!empty.exists("copy.db"));
}

#[test]
fn a_log_that_is_not_the_callers_is_77() {
    let sandbox = Sandbox::with_events();
    fs::set_permissions(
        sandbox.path("log.db"),
        std::os::unix::fs::PermissionsExt::from_mode(0o000),
    )
    .unwrap();
    if is_running_as_root() {
        // It is given back to root after the rest belongs to the other user.
        let command = sandbox.command_as_nobody(["backup", "copy.db"]);
        std::os::unix::fs::lchown(sandbox.path("log.db"), Some(0), Some(0)).unwrap();
        sandbox.run_command(command).exits(77).no_stdout().stderr_is_one_error().done();
    } else {
        sandbox.run(["backup", "copy.db"]).exits(77).no_stdout().stderr_is_one_error().done();
    }
    assert!(!sandbox.exists("copy.db"));
}

#[test]
fn a_log_that_does_not_hold_is_not_copied() {
    let sandbox = Sandbox::with_events();
    sandbox.write("copy.db", "an older one");
    sandbox.tamper("UPDATE event SET payload = '{}' WHERE id = 5");
    let out = sandbox.run(["backup", "copy.db"]).exits(74).no_stdout().stderr_is_one_error();
    assert!(out.stderr().contains("the copy does not hold, so copy.db was not written"), "{out}");
    assert!(out.stderr().contains("broken at event 5: altered"), "{out}");
    assert_eq!(sandbox.read("copy.db"), b"an older one");
    let left: Vec<_> =
        file_names(&sandbox).into_iter().filter(|name| name.contains("copy")).collect();
    assert_eq!(left, ["copy.db"]);
}

/// Four writers go on, none of them waits for long, and the copy is the log as it was at one moment.
#[test]
fn a_copy_beside_writers_is_of_one_moment() {
    const EACH: usize = 4_000;
    let sandbox = Sandbox::with_events();
    let events = "{\"action\":\"a.b\",\"title\":\"beside the copy\"}\n".repeat(EACH);
    let counts: Vec<(u64, u64, u64)> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    sandbox.run_with_input(["ingest", "--quiet"], &events).ok().no_stderr().done();
                })
            })
            .collect();
        let mut counts = Vec::new();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let before = sandbox.log().event_count();
            let report = sandbox.run(["backup", "--json", "copy.db"]).ok().no_stderr().json();
            let after = sandbox.log().event_count();
            let copied = report["events"].as_u64().unwrap();
            assert_eq!(Log::open(&sandbox.path("copy.db")).event_count(), copied);
            counts.push((before, copied, after));
        }
        counts
    });
    assert!(counts.iter().all(|(before, copied, after)| before <= copied && copied <= after));
    assert!(!counts.is_empty());
    assert_eq!(sandbox.log().event_count(), 8 + 4 * EACH as u64);
    sandbox.run(["verify", "--db", "copy.db"]).ok().done();
}

/// Killed wherever it is, it leaves what was there, and the next one takes its leavings away.
#[test]
fn a_copy_that_is_killed_leaves_the_old_one() {
    let sandbox = Sandbox::with_events();
    sandbox.ingest("{\"action\":\"a.b\",\"title\":\"many of them\"}\n".repeat(60_000));
    sandbox.write("copy.db", "an older one");
    let mut left = 0;
    let mut kills = FaultCount::new("kills");
    for megabytes in 1..=4 {
        let child = sandbox.spawn(sandbox.command(["backup", "copy.db"]));
        let is_there = || {
            let temporary =
                file_names(&sandbox).into_iter().find(|name| name.starts_with(".copy.db."))?;
            let there = fs::metadata(sandbox.path(temporary)).ok()?;
            (there.len() >= megabytes << 20).then_some(())
        };
        let seen = wait::until_or_exit("the copy to begin", &child, is_there);
        assert!(seen.is_some(), "it was done before it could be killed");
        wait::send_signal(&child, Signal::KILL);
        kills.add(1);
        let out = child.wait_with_output().unwrap();
        assert_eq!(sandbox.read("copy.db"), b"an older one", "{out:?}");
        left += file_names(&sandbox).iter().filter(|name| name.starts_with(".copy.db.")).count();
    }
    assert!(left > 0, "each of them was killed at its work");
    sandbox.run(["backup", "copy.db"]).ok().no_stderr().done();
    assert!(!file_names(&sandbox).iter().any(|name| name.starts_with(".copy.db.")));
    assert_eq!(Log::open(&sandbox.path("copy.db")).event_count(), 60_008);
}

#[test]
fn a_copy_of_an_empty_log_holds() {
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest"], "").ok().done();
    let out = sandbox.run(["backup", "copy.db"]).ok();
    assert!(out.stdout().starts_with("backup copy.db: 0 events, head 0:"), "{out}");
    sandbox.run(["verify", "--db", "copy.db"]).ok().done();
}

#[test]
fn a_name_is_shown_escaped() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["backup", "a\x1b[31mb.db"]).ok();
    assert!(out.stdout().starts_with(r"backup a\e[31mb.db: 8 events"), "{out}");
}
