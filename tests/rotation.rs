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
fn ingest_while(sandbox: &Sandbox, args: &[&str], change: impl FnOnce()) {
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
        sandbox.write("a", timed_events(100..130));
        sandbox.run(["ingest", "a"]).ok().done();
        sandbox.append("a", timed_events(130..150));
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

#[test]
fn lines_that_were_rejected_are_taken_when_the_zone_is_told() {
    let sandbox = Sandbox::new();
    let bad = r#"{"action":"b","occurred_at":"2026-11-20 14:30"}"#;
    let good = r#"{"action":"a","occurred_at":"2026-11-20T14:30:00Z"}"#;
    sandbox.write("a", join_lines([good, bad, good, bad, bad]));
    let out = sandbox.run(["ingest", "a"]).exits(65);
    assert!(out.stderr().contains("ingested 2, duplicates 0, rejected 3\n"), "{out}");
    let out = sandbox.run(["ingest", "--input-tz", "UTC", "a"]).ok();
    assert_eq!(out.stderr(), "ingested 3, duplicates 0, rejected 0, known 2\n");
    let out = sandbox.run(["ingest", "a"]).ok();
    assert_eq!(out.stderr(), "ingested 0, duplicates 0, rejected 0, known 5\n");
}

/// Stretches of rejected lines are kept up to a number; what is beyond it is told.
#[test]
fn ten_thousand_places_with_rejected_lines_are_kept_and_more_are_told() {
    const KEPT: usize = 10_000;
    const PLACES: usize = KEPT + 3;
    let sandbox = Sandbox::in_memory();
    let bad = r#"{"action":"b","occurred_at":"2026-11-20 14:30"}"#;
    let good = r#"{"action":"a","occurred_at":"2026-11-20T14:30:00Z"}"#;
    sandbox.write("a", join_lines([bad, good].repeat(PLACES)));
    let out = sandbox.run(["ingest", "a"]).exits(65);
    let line = 2 * KEPT + 1;
    let told = format!("a:{line}: too many places with rejected lines; from here on none is tried");
    assert_eq!(out.stderr().matches(&told).count(), 1, "{out}");
    assert_eq!(out.stderr().matches("too many places").count(), 1, "{out}");
    assert!(out.stderr().contains(&format!("ingested {PLACES}, ")), "{out}");
    let out = sandbox.run(["ingest", "--input-tz", "UTC", "--json", "a"]).ok().json();
    assert_eq!((&out["ingested"], &out["rejected"]), (&KEPT.into(), &0.into()), "{out}");
    // All of it, when asked for.
    let out = sandbox.run(["ingest", "--input-tz", "UTC", "--again", "--json", "a"]).ok().json();
    assert_eq!(out["ingested"], 2 * PLACES);
}

#[test]
fn a_mistaken_format_makes_nothing_known() {
    let sandbox = Sandbox::new();
    for (name, text, format) in [
        ("a.csv", "action,title\na,1\na,2\n", "jsonl"),
        ("a.json", "[{\"action\":\"a\"},\n{\"action\":\"a\"}]\n", "mirror"),
        ("a.jsonl", "{\"action\":\"a\"}\n{\"action\":\"a\"}\n", "mirror"),
    ] {
        sandbox.write(name, text);
        sandbox.run(["ingest", "--format", format, name]).exits(65).done();
        let out = sandbox.run(["ingest", name]).ok();
        assert_eq!(out.stderr(), "ingested 2, duplicates 0, rejected 0\n", "{name}");
    }
    sandbox.assert_sound_with(6);
}

#[test]
fn equal_lines_of_another_day_are_other_events() {
    let sandbox = Sandbox::new();
    let day = join_lines(["{\"action\":\"cron.heartbeat\"}"; 100]);
    for number in 1..=3 {
        sandbox.write("a", &day);
        for ingested in [100, 0] {
            let out = sandbox.run(["ingest", "a"]).ok();
            let start = format!("ingested {ingested}, duplicates 0, rejected 0");
            assert!(out.stderr().starts_with(&start), "{out}");
        }
        fs::rename(sandbox.path("a"), sandbox.path(format!("a.{number}"))).unwrap();
    }
    // Cut off in place, and seen so by one run.
    for _ in 0..2 {
        sandbox.write("b", &day);
        sandbox.run(["ingest", "b"]).ok().stderr_has("ingested 100,").done();
        sandbox.write("b", "");
        sandbox.run(["ingest", "b"]).ok().done();
    }
    sandbox.assert_sound_with(500);
}

#[test]
fn of_two_runs_on_one_file_each_line_is_taken_once() {
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest"], "").ok().done();
    let path = sandbox.write("a", join_lines(["{\"action\":\"a\"}"; 60]));
    let path = path.canonicalize().unwrap();
    let size = fs::metadata(&path).unwrap().len();
    let lock = Log::open_to_write(&sandbox.db());
    lock.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let children = [(); 2].map(|()| sandbox.spawn(sandbox.command(["ingest", "--json", "a"])));
    for child in &children {
        wait::until("the file is read", child, || has_read(child, &path, size).then_some(()));
    }
    lock.sql.execute_batch("COMMIT").unwrap();
    let mut known = 0;
    for child in children {
        known += sandbox.wait_with_output(child).ok().json()["known"].as_u64().unwrap_or(0);
    }
    assert_eq!(known, 60);
    sandbox.assert_sound_with(60);
}

#[test]
fn a_file_that_grew_by_no_event_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("a", timed_events(0..3));
    sandbox.run(["ingest", "a"]).ok().done();
    sandbox.append("a", "\n\n");
    let out = sandbox.run(["ingest", "--quiet", "a"]).ok();
    assert_eq!(out.stderr(), "a: has grown, and nothing new was found in it\n");
}

/// Cron reads a file while a line of it is being written: that is no trouble to be mailed.
#[test]
fn a_line_that_is_being_written_is_told_and_no_trouble() {
    let sandbox = Sandbox::new();
    sandbox.write("a", timed_events(0..3));
    sandbox.run(["ingest", "a"]).ok().done();
    let (head, tail) = ("{\"action\":\"a", ".b\"}\n");
    sandbox.append("a", head);
    let out = sandbox.run(["ingest", "a"]).ok();
    assert!(out.stderr().starts_with("a:4: "), "{out}");
    assert!(out.stderr().contains("; left for the next run\ningested 0, "), "{out}");
    sandbox.run(["ingest", "--quiet", "a"]).ok().no_stderr().done();
    sandbox.append("a", tail);
    sandbox.run(["ingest", "a"]).ok().stderr_has("ingested 1, ").done();
}

#[test]
fn a_file_that_nobody_read_for_a_year_is_forgotten() {
    let sandbox = Sandbox::new();
    for name in ["old", "newer", "another"] {
        sandbox.write(name, format!("{{\"action\":\"{name}\"}}\n"));
    }
    sandbox.run(["ingest", "old", "newer"]).ok().done();
    let log = Log::open_to_write(&sandbox.db());
    let age = |days: u32| {
        let oldest = "(SELECT min(taken) FROM progress)";
        let age = format!(
            "UPDATE progress SET touched = touched - {days} * 86400 WHERE taken = {oldest}"
        );
        log.sql.execute_batch(&age).unwrap();
    };
    age(364);
    // It is looked at, and nothing of it is new: that counts as reading.
    sandbox.run(["ingest", "old"]).ok().done();
    age(364);
    sandbox.run(["ingest", "another"]).ok().done();
    assert_eq!(log.query_value::<i64>("SELECT count(*) FROM progress"), 3);
    age(2);
    sandbox.append("another", "{\"action\":\"more\"}\n");
    sandbox.run(["ingest", "another"]).ok().done();
    let left = log.query_value::<i64>("SELECT min(taken) FROM progress");
    assert_eq!(left, "{'action':'newer'}\n".len() as i64, "the old one alone is gone");
}
