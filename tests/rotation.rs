//! Files that change under the reader: cut off and regrown, renamed, or read by two at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Child;

use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::wait;

/// Events with a time, so that they are known by their content.
fn timed_events(range: std::ops::Range<u32>) -> String {
    join_lines(range.map(|n| {
        format!(r#"{{"action":"a.b","target_id":"{n}","occurred_at":"2026-11-20T14:30:00Z"}}"#)
    }))
}

/// Whether a process has read a file to a place.
fn has_read(child: &Child, path: &Path, place: u64) -> bool {
    let folder = format!("/proc/{}/fd", child.id());
    let Ok(descriptors) = fs::read_dir(folder) else {
        return false;
    };
    descriptors.flatten().any(|entry| {
        let number = entry.file_name().into_string().unwrap();
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", child.id()));
        let at = format!("pos:\t{place}\n");
        fs::read_link(entry.path()).is_ok_and(|link| link == path)
            && info.is_ok_and(|info| info.starts_with(&at))
    })
}

/// Runs `ingest` with these arguments while the log is locked, and `change` when it has read the file.
fn ingest_while<'a>(sandbox: &Sandbox, args: &[&'a str], change: impl FnOnce()) {
    let name = args.last().unwrap();
    let path = sandbox.path(name).canonicalize().unwrap();
    let size = fs::metadata(&path).unwrap().len();
    let lock = Log::open_to_write(&sandbox.db());
    lock.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let child = sandbox.spawn(sandbox.command([&["ingest"], args].concat()));
    wait::until("the file is read", &child, || has_read(&child, &path, size).then_some(()));
    change();
    lock.sql.execute_batch("COMMIT").unwrap();
    sandbox.wait_with_output(child).ok().done();
}

#[track_caller]
fn assert_each_once(sandbox: &Sandbox, count: usize) {
    let events = sandbox.stored_events();
    let ids: BTreeSet<_> = events.iter().map(|event| event["target_id"].to_string()).collect();
    assert_eq!((events.len(), ids.len()), (count, count), "stored, distinct");
}

#[test]
fn a_file_that_is_copied_and_cut_off_while_the_log_is_locked_loses_nothing() {
    for strict in [&[][..], &["--strict"]] {
        let sandbox = Sandbox::new();
        sandbox.run_with_input(["ingest"], "").ok().done();
        sandbox.write("a", timed_events(100..150));
        ingest_while(&sandbox, &[strict, &["a"]].concat(), || {
            fs::copy(sandbox.path("a"), sandbox.path("a.1")).unwrap();
            // As many bytes, so that the reader finds no more of them behind its place.
            sandbox.write("a", timed_events(200..250));
        });
        for name in ["a", "a.1"] {
            sandbox.run([&["ingest"], strict, &[name]].concat()).ok().done();
        }
        assert_each_once(&sandbox, 100);
    }
}

#[test]
fn a_file_that_is_renamed_while_the_log_is_locked_loses_nothing() {
    for strict in [&[][..], &["--strict"]] {
        let sandbox = Sandbox::new();
        sandbox.run_with_input(["ingest"], "").ok().done();
        sandbox.write("a", timed_events(100..150));
        ingest_while(&sandbox, &[strict, &["a"]].concat(), || {
            fs::rename(sandbox.path("a"), sandbox.path("a.1")).unwrap();
            sandbox.write("a", timed_events(200..250));
        });
        for name in ["a", "a.1"] {
            sandbox.run([&["ingest"], strict, &[name]].concat()).ok().done();
        }
        assert_each_once(&sandbox, 100);
    }
}
