//! A fault at each system call in turn: the log is sound, nothing acknowledged is lost, and the same
//! command completes the work.

use std::fs;

use crate::strace;
use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::torture::FaultCount;
use crate::tools;

/// Calls by which the program changes files.
const WRITING_CALLS: [&str; 9] =
    ["pwrite64", "write", "fsync", "fdatasync", "ftruncate", "unlink", "rename", "link", "linkat"];

/// How many events the ingest has that is cut off.
const EVENTS: usize = 300;

/// Events acknowledged before.
const PRIOR_EVENTS: usize = 20;

fn events_input(with_ids: bool) -> String {
    join_lines((0..EVENTS).map(|n| {
        let id = if with_ids { format!(r#","event_id":"e{n}""#) } else { String::new() };
        let (action, actor) = (n % 7, n % 13);
        format!(r#"{{"action":"a.{action}","actor_id":"{actor}","title":"event number {n}"{id}}}"#)
    }))
}

/// A sandbox in memory with the input, and a log of some events if asked for.
fn prepare_sandbox(with_ids: bool, with_log: bool) -> Sandbox {
    let sandbox = Sandbox::in_memory();
    sandbox.write("events.jsonl", events_input(with_ids));
    if with_log {
        let before =
            (0..PRIOR_EVENTS).map(|n| format!(r#"{{"action":"b","event_id":"before{n}"}}"#));
        sandbox.ingest(join_lines(before));
    }
    sandbox
}

/// Checks the log after a fault, then that the same command completes to the exact count.
#[track_caller]
fn assert_sound_then_complete(sandbox: &Sandbox, with_log: bool, fault: &str) {
    let before = if with_log { PRIOR_EVENTS } else { 0 };
    if sandbox.exists("log.db") {
        let log = sandbox.log();
        log.assert_sound();
        let count = usize::try_from(log.event_count()).unwrap();
        assert!(count == before || count == before + EVENTS, "{fault}: one transaction, {count}");
        let kept = log.query_value::<i64>("SELECT count(*) FROM events WHERE action = 'b'");
        assert_eq!(kept, i64::try_from(before).unwrap(), "{fault}: acknowledged before");
    } else {
        assert!(!with_log, "{fault}: the log is gone");
    }
    let again = sandbox.run(["ingest", "events.jsonl"]);
    assert_eq!(again.code, Some(0), "{fault}: the same command completes\n{again}");
    sandbox.assert_sound_with((before + EVENTS) as u64);
}

#[test]
fn killed_at_each_call_of_an_ingest() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let mut kills = FaultCount::new("kills");
    for (with_ids, with_log) in [(true, false), (false, false), (false, true)] {
        let mut killed = Vec::new();
        for call in WRITING_CALLS {
            let mut positions = 0;
            for nth in 1.. {
                let sandbox = prepare_sandbox(with_ids, with_log);
                let args = ["ingest", "events.jsonl"];
                let (out, injected) =
                    strace::inject(&sandbox, call, "signal=SIGKILL", nth, false, &args);
                if !injected {
                    assert_eq!(out.code, Some(0), "{out}");
                    drop(out);
                    break;
                }
                assert_eq!(out.signal, Some(9), "{call} {nth}\n{out}");
                drop(out);
                positions += 1;
                assert_sound_then_complete(&sandbox, with_log, &format!("SIGKILL at {call} {nth}"));
            }
            killed.push((call, positions));
        }
        let of = |name| killed.iter().find(|(call, _)| *call == name).unwrap().1;
        kills.add(killed.iter().map(|(_, positions)| positions).sum());
        assert!(of("pwrite64") > 10, "kills happened while it wrote: {killed:?}");
        assert!(of("fdatasync") > 0, "kills happened while it synced: {killed:?}");
    }
}

#[test]
fn an_error_at_each_call_of_an_ingest() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let calls = [
        ("pwrite64", "EIO"),
        ("pwrite64", "ENOSPC"),
        ("pwrite64", "EDQUOT"),
        ("fsync", "EIO"),
        ("fdatasync", "EIO"),
        ("ftruncate", "EIO"),
        ("pread64", "EIO"),
        ("openat", "EIO"),
        ("openat", "EMFILE"),
        ("fstat", "EIO"),
        ("fcntl", "ENOLCK"),
        ("unlink", "EIO"),
        ("mmap", "ENOMEM"),
    ];
    let mut failed = 0;
    let mut injections = FaultCount::new("injections");
    for (call, error) in calls {
        let mut positions = 0;
        for nth in 1.. {
            let sandbox = prepare_sandbox(false, true);
            let fault = format!("error={error}");
            let args = ["ingest", "events.jsonl"];
            let (out, injected) = strace::inject(&sandbox, call, &fault, nth, true, &args);
            if !injected {
                assert_eq!(out.code, Some(0), "{out}");
                drop(out);
                break;
            }
            positions += 1;
            let what = format!("{error} at {call} {nth}");
            // SQLite cannot tell a lack of locks from a lock: to try again is right for both.
            let is_reported = out.code == Some(74) || out.code == Some(75) && error == "ENOLCK";
            assert!(is_reported || out.code == Some(0), "{what}\n{out}");
            if is_reported {
                failed += 1;
                assert!(out.stderr().starts_with("activity: "), "{what}\n{out}");
            } else {
                sandbox.assert_sound_with((PRIOR_EVENTS + EVENTS) as u64);
            }
            drop(out);
            assert_sound_then_complete(&sandbox, true, &what);
        }
        injections.add(positions);
        let needed = matches!(call, "pwrite64" | "fdatasync" | "pread64" | "openat" | "fcntl");
        assert!(positions > 0 || !needed, "{call} was never met");
    }
    assert!(failed > 10, "errors were told {failed} times");
}

#[test]
fn an_error_while_one_event_is_written_names_the_id_to_repeat_with() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let mut unconfirmed = 0;
    let mut injections = FaultCount::new("injections");
    for (call, error) in [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fdatasync", "EIO")] {
        for nth in 1.. {
            let sandbox = prepare_sandbox(false, true);
            let args = ["ingest", "--action", "hook.run"];
            let fault = format!("error={error}");
            let (out, injected) = strace::inject(&sandbox, call, &fault, nth, true, &args);
            if !injected {
                break;
            }
            injections.add(1);
            if out.code == Some(0) {
                continue;
            }
            let out = out.exits(74).no_stdout();
            let Some((_, id)) = out.stderr().split_once("--event-id ") else {
                // It failed before there was anything to confirm.
                sandbox.assert_sound_with(PRIOR_EVENTS as u64);
                continue;
            };
            unconfirmed += 1;
            let id: String = id.chars().take(36).collect();
            uuid::Uuid::parse_str(&id).unwrap_or_else(|why| panic!("{why}: {id}\n{out}"));
            // Repeated with it, the event is there once, whichever way the first one went.
            let args = ["ingest", "--action", "hook.run", "--event-id", &id];
            sandbox.run(args).ok().done();
            sandbox.run(args).ok().stderr_has("duplicates 1").done();
            sandbox.assert_sound_with(PRIOR_EVENTS as u64 + 1);
        }
    }
    assert!(unconfirmed >= 3, "an unconfirmed write was told {unconfirmed} times");
}

#[test]
fn threads_and_random_numbers_that_the_system_refuses_are_74() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let cases: [(&str, &str, &[&str]); 4] = [
        ("clone3", "EAGAIN", &["ingest", "events.jsonl"]),
        ("clone3", "EAGAIN", &["ingest", "--strict", "events.jsonl"]),
        ("clone3", "EAGAIN", &["export", "--jsonl", "-o", "out.jsonl"]),
        ("getrandom", "EIO", &["ingest", "events.jsonl"]),
    ];
    let mut injections = FaultCount::new("injections");
    for (call, error, args) in cases {
        let mut refused = 0;
        for nth in 1.. {
            let sandbox = prepare_sandbox(false, true);
            let fault = format!("error={error}");
            let (out, injected) = strace::inject(&sandbox, call, &fault, nth, false, args);
            if !injected {
                assert_eq!(out.code, Some(0), "{out}");
                break;
            }
            injections.add(1);
            let what = format!("{error} at {call} {nth} of {args:?}");
            if out.code != Some(0) {
                refused += 1;
                assert_eq!(out.code, Some(74), "{what}\n{out}");
                let out = out.stderr_is_one_error();
                drop(out);
            }
            if args[0] == "ingest" {
                assert_sound_then_complete(&sandbox, true, &what);
            } else {
                sandbox.run(["verify"]).ok().done();
            }
        }
        assert!(refused > 0, "{error} at {call} of {args:?} never mattered");
    }
}

#[test]
fn an_error_while_reading_is_74_and_never_a_shorter_list() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let sandbox = prepare_sandbox(true, true);
    sandbox.run(["ingest", "events.jsonl"]).ok().done();
    let args = ["list", "--json", "--limit", "1000"];
    let whole = sandbox.run(args).ok();
    let mut failed = 0;
    let mut injections = FaultCount::new("injections");
    for nth in 1.. {
        let (out, injected) = strace::inject(&sandbox, "pread64", "error=EIO", nth, true, &args);
        if !injected {
            break;
        }
        injections.add(1);
        if out.code == Some(0) {
            assert_eq!(out.stdout(), whole.stdout(), "EIO at pread64 {nth}");
        } else {
            failed += 1;
            out.exits(74).done();
        }
    }
    assert!(failed > 0, "reads failed {failed} times");
}

#[test]
fn an_export_that_is_killed_leaves_its_output_as_it_was() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let mut killed = 0;
    for call in ["write", "pwrite64", "fsync", "fdatasync", "rename", "renameat2", "linkat"] {
        for nth in 1.. {
            let sandbox = prepare_sandbox(true, true);
            sandbox.write("out.jsonl", "old");
            let args = ["export", "-o", "out.jsonl"];
            let (out, injected) =
                strace::inject(&sandbox, call, "signal=SIGKILL", nth, false, &args);
            drop(out);
            if !injected {
                break;
            }
            killed += 1;
            let target = sandbox.read("out.jsonl");
            let rows = target.iter().filter(|byte| **byte == b'\n').count();
            assert!(target == b"old" || rows == PRIOR_EVENTS, "{call} {nth}: half an output");
            sandbox.log().assert_sound();
            // The next one to the same name leaves no remains of the one that was killed.
            sandbox.run(args).ok().done();
            let names = fs::read_dir(sandbox.work_folder()).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let remains: Vec<_> =
                names.filter(|name| name.contains("out.jsonl") && name != "out.jsonl").collect();
            assert!(remains.is_empty(), "{call} {nth}: {remains:?}");
        }
    }
    FaultCount::new("kills").add(killed);
    assert!(killed > 3, "{killed} exports were killed");
}

/// Several transactions: whatever was committed stays, and the rest follows.
#[test]
fn a_long_ingest_that_is_killed_between_and_within_its_transactions() {
    const MANY: usize = 110_000;
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let input =
        join_lines((0..MANY).map(|n| format!(r#"{{"action":"a.{}","target_id":"{n}"}}"#, n % 7)));
    let calls = {
        let sandbox = Sandbox::in_memory();
        sandbox.write("events.jsonl", &input);
        let trace = sandbox.path("strace.out");
        let options = ["-o", trace.to_str().unwrap(), "-e", "trace=pwrite64"];
        let command = strace::command(&sandbox, &options, &["ingest", "events.jsonl"]);
        sandbox.run_command(command).ok().done();
        fs::read_to_string(trace).unwrap().lines().count()
    };
    let mut between = 0;
    let mut kills = FaultCount::new("kills");
    for nth in (1..=8).map(|part| calls * part / 9) {
        let sandbox = Sandbox::in_memory();
        sandbox.write("events.jsonl", &input);
        let args = ["ingest", "events.jsonl"];
        let (out, _) = strace::inject(&sandbox, "pwrite64", "signal=SIGKILL", nth, false, &args);
        assert_eq!(out.signal, Some(9), "pwrite64 {nth} of {calls}\n{out}");
        kills.add(1);
        drop(out);
        let landed = sandbox.log().event_count();
        sandbox.assert_sound_with(landed);
        between += usize::from(landed > 0);
        let out = sandbox.run(args).ok();
        let known = if landed > 0 { format!(", known {landed}") } else { String::new() };
        let rest = MANY as u64 - landed;
        assert_eq!(out.stderr(), format!("ingested {rest}, duplicates 0, rejected 0{known}\n"));
        sandbox.assert_sound_with(MANY as u64);
    }
    assert!(between > 2, "some were killed behind their first commit: {between}");
}

#[test]
fn an_event_is_synced_with_fdatasync_before_it_is_acknowledged() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let sandbox = prepare_sandbox(false, true);
    let trace = sandbox.path("strace.out");
    let options =
        ["-y", "-o", trace.to_str().unwrap(), "-e", "trace=pwrite64,fsync,fdatasync,write"];
    let command = strace::command(&sandbox, &options, &["ingest", "--action", "a"]);
    sandbox.run_command(command).ok().done();
    let trace = fs::read_to_string(trace).unwrap();
    let calls: Vec<&str> = trace.lines().collect();
    let at = |what: &dyn Fn(&str) -> bool| calls.iter().rposition(|line| what(line));
    let written = at(&|line| line.contains("pwrite64(") && line.contains("log.db-wal"));
    let synced = at(&|line| line.contains("fdatasync(") && line.contains("log.db-wal"));
    let acknowledged = at(&|line| line.contains("ingested 1"));
    assert!(written.is_some() && synced > written, "synced after the last write\n{trace}");
    assert!(acknowledged > synced, "acknowledged after that\n{trace}");
    let full = trace.lines().filter(|line| line.contains("fsync(") && !line.contains("fdatasync("));
    assert_eq!(full.count(), 0, "no fsync on the way of a hook\n{trace}");
}
