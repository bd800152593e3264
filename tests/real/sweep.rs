//! A sweep that is killed, meets errors, a full disk or others at work: the log holds at each moment,
//! every removal is vouched for once, and the next sweep completes it.

use std::fs;
use std::path::Path;
use std::process::Child;

use serde_json::Value;

use crate::disks::Mount;
use crate::disks::db_variable;
use crate::strace;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::torture::FaultCount;
use crate::tools;

/// Calls by which a sweep changes files.
const WRITING_CALLS: [&str; 6] =
    ["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "fallocate"];

/// The events of the log that is swept, and how many of them are too old in the end.
const EVENTS: i64 = 170;
const EXPIRED: i64 = 150;

const DAY_SECONDS: i64 = 86_400;

/// A log that was swept once, so that it has runs; now their neighbours are old as well, and some
/// others. Every label stands once, so that there is something else to remove with each event.
fn prepare_log(sandbox: &Sandbox) {
    let label = "x".repeat(200);
    sandbox.ingest(join_lines((0..EVENTS).map(|n| {
        let at = clock::seconds_ago(if n < EXPIRED { 400 } else { 1 } * DAY_SECONDS);
        // Pairs of actions, the first of which goes first; every seventh pair goes alone.
        let action = if n % 14 < 12 && n % 4 == 0 { "cron.run" } else { "user.edit" };
        format!(
            r#"{{"action":"{action}","occurred_at":"{at}","target_id":"{n}","target_label":"{n} {label}",
            "user_agent":"agent {}"}}"#,
            n / 3
        )
        .replace('\n', " ")
    })));
    let config = "[[retention.rule]]\nquery = 'action:cron.*'\nkeep = '30d'\n";
    sandbox.write("config.toml", format!("[retention]\n{config}"));
    sandbox.run(["sweep"]).ok().done();
    assert!(gap_count(sandbox) >= 11, "{} runs", gap_count(sandbox));
    sandbox.write("config.toml", "[retention]\nkeep = '30d'\n");
}

fn gap_count(sandbox: &Sandbox) -> i64 {
    sandbox.log().query_value("SELECT count(*) FROM gap")
}

/// How far a sweep came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RemovalState {
    /// Nothing is vouched for.
    Before,
    /// Some events that are vouched for are still there.
    Midway,
    After,
}

/// Checks by the program's own means that a log holds.
#[track_caller]
fn assert_verified(sandbox: &Sandbox, db: &Path, what: &str) {
    let out = sandbox.run_with_env(&db_variable(db), ["verify", "--json"]);
    assert_eq!(out.code, Some(0), "{what}\n{out}");
    let report = out.json();
    let log = Log::open(db);
    let left: i64 = log.query_value(COUNT_UNREMOVED);
    assert_eq!(
        report["events"],
        log.query_value::<i64>("SELECT count(*) FROM event") - left,
        "{what}"
    );
    let unfinished = |note: &Value| note.as_str().unwrap().starts_with("an unfinished removal: ");
    let is_noted = report["notes"].as_array().unwrap().iter().any(unfinished);
    assert_eq!(is_noted, left > 0, "{what}: {left} are left");
}

/// How many events are vouched for and still there.
const COUNT_UNREMOVED: &str = "SELECT count(*) FROM event, head WHERE EXISTS (SELECT 1 \
    FROM removal WHERE event.id BETWEEN first AND last AND removal.sweep = head.sweep)";

/// Checks a log that may have been left midway: the chain, each count, and that nobody's row is gone.
#[track_caller]
fn inspect_state(sandbox: &Sandbox, what: &str) -> RemovalState {
    let log = sandbox.log();
    log.assert_sound();
    assert_verified(sandbox, &sandbox.db(), what);
    let sweeps: i64 = log.query_value("SELECT sweep FROM head");
    let vouching: i64 =
        log.query_value("SELECT count(*) FROM events WHERE action = 'retention.sweep'");
    assert_eq!(sweeps, vouching, "{what}: one event a sweep");
    let count: i64 = log.query_value(
        "SELECT sum(json_extract(payload, '$.count')) FROM events WHERE action = 'retention.sweep'",
    );
    let ids: i64 = log.query_value("SELECT id FROM head");
    let gone = ids - log.query_value::<i64>("SELECT count(*) FROM event");
    let left: i64 = log.query_value(COUNT_UNREMOVED);
    assert_eq!(count, gone + left, "{what}: what is vouched for is gone, or going");
    match (sweeps, left) {
        (1, 0) => RemovalState::Before,
        (_, 0) => RemovalState::After,
        _ => RemovalState::Midway,
    }
}

/// Checks that the next sweep completes what was begun.
#[track_caller]
fn complete_sweep(sandbox: &Sandbox, state: RemovalState, what: &str) {
    let out = sandbox.run(["sweep", "--json"]);
    assert_eq!(out.code, Some(0), "{what}\n{out}");
    let report = out.json();
    if state != RemovalState::Before {
        assert_eq!(report["count"], 0, "{what}: nothing is counted twice");
    }
    assert_eq!(inspect_state(sandbox, what), RemovalState::After, "{what}");
    let log = sandbox.log();
    let stays = EVENTS - EXPIRED;
    let kept: i64 =
        log.query_value("SELECT count(*) FROM events WHERE action <> 'retention.sweep'");
    assert_eq!(kept, stays, "{what}");
    for (table, refers) in [
        ("target", "target = key"),
        ("agent", "agent = key"),
        ("action", "action = key"),
        ("actor", "actor = key"),
    ] {
        let unused: i64 = log.query_value(&format!(
            "SELECT count(*) FROM {table} WHERE NOT EXISTS (SELECT 1 FROM event WHERE {refers})"
        ));
        assert_eq!(unused, 0, "{what}: {table}");
    }
    assert_eq!(log.query_value::<i64>("SELECT count(*) FROM unused"), 0, "{what}");
    assert_eq!(log.query_value::<i64>("SELECT count(*) FROM gap"), 1, "{what}: one run is left");
    let reserve = sandbox.path("log.db.reserve").metadata().unwrap().len();
    assert_eq!(reserve, 8 << 20, "{what}: the reserve is there");
}

/// A copy of a prepared log, made anew for each fault.
struct PreparedLog(Sandbox);

impl PreparedLog {
    fn new() -> Self {
        let sandbox = Sandbox::in_memory();
        prepare_log(&sandbox);
        Self(sandbox)
    }

    fn copy(&self) -> Sandbox {
        let sandbox = Sandbox::in_memory();
        for name in ["log.db", "log.db-wal", "log.db.lock", "config.toml"] {
            fs::copy(self.0.path(name), sandbox.path(name)).unwrap();
        }
        sandbox
    }
}

#[test]
fn killed_at_each_call_of_a_sweep() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let prepared = PreparedLog::new();
    let mut met = Vec::new();
    let mut states = Vec::new();
    for call in WRITING_CALLS {
        let mut positions = 0;
        for nth in 1.. {
            let sandbox = prepared.copy();
            let (out, injected) =
                strace::inject(&sandbox, call, "signal=SIGKILL", nth, false, &["sweep"]);
            if !injected {
                assert_eq!(out.code, Some(0), "{out}");
                break;
            }
            assert_eq!(out.signal, Some(9), "{call} {nth}\n{out}");
            positions += 1;
            let what = format!("SIGKILL at {call} {nth}");
            let state = inspect_state(&sandbox, &what);
            states.push(state);
            complete_sweep(&sandbox, state, &what);
        }
        met.push((call, positions));
    }
    let of = |name| met.iter().find(|(call, _)| *call == name).unwrap().1;
    FaultCount::new("kills").add(states.len());
    assert!(of("pwrite64") > 30 && of("fdatasync") > 2 && of("ftruncate") > 0, "{met:?}");
    for state in [RemovalState::Before, RemovalState::Midway, RemovalState::After] {
        let killed = states.iter().filter(|met| **met == state).count();
        assert!(killed > 3, "{killed} kills with the log {state:?}: {met:?}");
    }
}

#[test]
fn an_error_at_each_call_of_a_sweep() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let prepared = PreparedLog::new();
    let mut failed = 0;
    let mut injections = FaultCount::new("injections");
    for (call, error) in
        [("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("fdatasync", "EIO"), ("ftruncate", "EIO")]
    {
        for nth in (1..).step_by(3) {
            let sandbox = prepared.copy();
            let fault = format!("error={error}");
            let (out, injected) = strace::inject(&sandbox, call, &fault, nth, true, &["sweep"]);
            if !injected {
                assert_eq!(out.code, Some(0), "{out}");
                break;
            }
            injections.add(1);
            let what = format!("{error} at {call} {nth}");
            assert!(matches!(out.code, Some(0 | 74 | 75)), "{what}\n{out}");
            failed += usize::from(out.code != Some(0));
            let state = inspect_state(&sandbox, &what);
            complete_sweep(&sandbox, state, &what);
        }
    }
    assert!(failed > 10, "errors were report {failed} times");
}

#[test]
fn a_full_disk_is_swept_by_means_of_the_reserve() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mount = Mount::new(&sandbox, "16m");
    let db = mount.db();
    let run = |args: &[&str]| sandbox.run_with_env(&db_variable(&db), args);
    let title = "x".repeat(900);
    let mut stored = 0;
    loop {
        let at = clock::seconds_ago(400 * DAY_SECONDS);
        sandbox.write(
            "events.jsonl",
            join_lines((0..100).map(|n| {
                format!(r#"{{"action":"a","occurred_at":"{at}","title":"{stored} {n} {title}"}}"#)
            })),
        );
        let out = run(&["ingest", "--again", "events.jsonl"]);
        if out.code != Some(0) {
            let out =
                out.exits(74).stderr_has("no space left on device").stderr_has("activity sweep");
            drop(out);
            break;
        }
        stored += 100;
        assert!(stored < 100_000, "the disk never fills");
    }
    assert!(stored > 1000, "{stored}");
    // The last room goes to somebody else.
    let filled = fs::write(mount.path().join("other"), vec![1; 16 << 20]);
    assert!(filled.is_err(), "the disk is full");
    let reserve = mount.path().join("log.db.reserve");
    assert_eq!(reserve.metadata().unwrap().len(), 8 << 20);

    let report = run(&["sweep", "--keep", "365d", "--yes", "--json"]).ok().no_stderr().json();
    assert_eq!(report["count"], stored);
    Log::open(&db).assert_sound();
    assert_verified(&sandbox, &db, "after a full disk");
    assert_eq!(reserve.metadata().unwrap().len(), 8 << 20, "the reserve is back");
    run(&["ingest", "--again", "events.jsonl"]).ok().done();
    assert_eq!(Log::open(&db).event_count(), 101);
}

/// The reserve is enough however large events are: in their payload, or in a title, which is a row of
/// its own, with an index over it.
#[test]
fn a_full_disk_of_large_events_is_swept_by_means_of_the_reserve() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    for (field, length) in [("payload", 1_040_000), ("title", 1_000_000)] {
        let sandbox = Sandbox::new();
        let mount = Mount::new(&sandbox, "96m");
        let db = mount.db();
        let run = |args: &[&str]| sandbox.run_with_env(&db_variable(&db), args);
        let at = clock::seconds_ago(400 * DAY_SECONDS);
        let text = "x".repeat(length);
        let mut stored = 0;
        loop {
            let value = match field {
                "payload" => format!(r#"{{"text":"{stored} {text}"}}"#),
                _ => format!(r#""{stored} {text}""#),
            };
            sandbox.write(
                "event.jsonl",
                format!(r#"{{"action":"a","occurred_at":"{at}","{field}":{value}}}"#),
            );
            let out = run(&["ingest", "event.jsonl"]);
            if out.code != Some(0) {
                drop(out.exits(74).stderr_has("no space left on device"));
                break;
            }
            stored += 1;
            assert!(stored < 200, "the disk never fills");
        }
        // More than the reserve at once would be.
        assert!(stored > 15, "{stored}");
        let filled = fs::write(mount.path().join("other"), vec![1; 96 << 20]);
        assert!(filled.is_err(), "the disk is full");

        let told = run(&["sweep", "--keep", "365d", "--json"]).ok().no_stderr().json();
        assert_eq!(told["count"], stored, "{field}");
        Log::open(&db).assert_sound();
        assert_verified(&sandbox, &db, "after a full disk");
        run(&["ingest", "event.jsonl"]).ok().done();
    }
}

/// Four who write, one who sweeps and one who exports, again and again.
#[test]
fn ingests_a_sweep_and_an_export_at_once() {
    const FILES: i64 = 4;
    const EACH: i64 = 15_000;
    let sandbox = Sandbox::new();
    // Few labels, that come and go: the keys of one who wrote before may be anybody's by now.
    let event = |file: i64, n: i64| {
        let at = clock::seconds_ago(if n % 5 == 4 { 1 } else { 400 } * DAY_SECONDS);
        let actor = n / 100 % 7;
        format!(
            r#"{{"event_id":"{file}-{n}","action":"a.b","occurred_at":"{at}","actor_id":"{actor}","actor_label":"{file} {n}","user_agent":"{actor} {}","target_id":"{n}"}}"#,
            n / 50
        )
    };
    sandbox.ingest(event(99, 4));
    let start = |args: &[&str]| sandbox.spawn(sandbox.command(args));
    let ingest = |file: i64| {
        let name = format!("{file}.jsonl");
        sandbox.write(&name, join_lines((0..EACH).map(|n| event(file, n))));
        start(&["ingest", "--quiet", &name])
    };
    let mut files = FILES;
    let mut ingests: Vec<Child> = (0..FILES).map(ingest).collect();
    let mut sweeps = 0;
    let mut exports = 0;
    loop {
        let over = ingests.iter_mut().all(|ingest| ingest.try_wait().unwrap().is_some());
        let export = start(&["export", "-o", "out.jsonl"]);
        let report = sandbox.run(["sweep", "--keep", "365d", "--yes", "--json"]).ok().json();
        sweeps += i64::from(report["count"].as_i64().unwrap() > 0);
        sandbox.wait_with_output(export).ok().done();
        let rows = sandbox.read("out.jsonl").iter().filter(|byte| **byte == b'\n').count();
        let log = sandbox.log();
        let recorded: i64 = log.query_value(
            "SELECT json_extract(payload, '$.rows') FROM events WHERE action = 'log.export' \
             ORDER BY id DESC LIMIT 1",
        );
        assert_eq!(i64::try_from(rows).unwrap(), recorded, "an export is exact");
        exports += 1;
        if over && sweeps > 1 {
            break;
        }
        if over {
            // All was in before the second sweep could meet any of it.
            ingests.extend((files..files + FILES).map(ingest));
            files += FILES;
            assert!(files < 80, "no second sweep ever meets events");
        }
    }
    for ingest in ingests {
        sandbox.wait_with_output(ingest).ok().done();
    }
    assert!(sweeps > 1 && exports > 1, "{sweeps} sweeps and {exports} exports met events");
    let log = sandbox.log();
    log.assert_sound();
    assert_verified(&sandbox, &sandbox.db(), "in the end");
    let removed: i64 = log.query_value(
        "SELECT sum(json_extract(payload, '$.count')) FROM events WHERE action = 'retention.sweep'",
    );
    assert_eq!(removed, files * EACH / 5 * 4, "each event that was too old went once");
    let wrong = log.query_texts(
        "SELECT event_id FROM events WHERE action = 'a.b' \
         AND actor_label <> replace(event_id, '-', ' ')",
    );
    assert!(wrong.is_empty(), "labels of others: {wrong:?}");
    let left: i64 = log.query_value("SELECT count(*) FROM events WHERE action = 'a.b'");
    assert_eq!(left, files * EACH / 5 + 1);
}

#[test]
fn a_clock_that_is_far_ahead_sweeps_nothing() {
    if !tools::require_programs(&["faketime"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a.b"}"#);
    let at = |clock: &str, args: &[&str]| {
        let mut command = sandbox.command_of("faketime");
        command.args([clock, env!("CARGO_BIN_EXE_activity")]).args(args);
        sandbox.run_command(command)
    };
    let out = at("+31 days", &["sweep", "--keep", "7d"]).exits(75).no_stdout();
    assert!(out.stderr().contains("30 days") && out.stderr().contains("--force"), "{out}");
    at("+31 days", &["sweep", "--keep", "7d", "--dry-run"]).ok().stderr_has("--force").done();
    sandbox.assert_sound_with(1);
    // One event does not lift it, a day of events does.
    at("+31 days", &["ingest", "--quiet", "--action", "a.b"]).ok().done();
    let out = at("+31 days", &["sweep", "--keep", "7d"]).exits(75).no_stdout();
    assert!(out.stderr().contains("less than a day was recorded"), "{out}");
    sandbox.assert_sound_with(2);
    at("+32 days 1 minute", &["ingest", "--quiet", "--action", "a.b"]).ok().done();
    let report = at("+32 days 1 minute", &["sweep", "--keep", "7d", "--json"]).ok().json();
    assert_eq!(report["count"], 1);
    let report = at("+99 days", &["sweep", "--keep", "7d", "--json", "--force"]).ok().json();
    assert_eq!(report["count"], 2);
    sandbox.assert_sound_with(2);
}
