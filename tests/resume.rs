//! Files that are taken again: known, grown, renamed, cut off, or left half done by a kill.

use std::fmt::Write;

use rustix::process::Signal;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::torture::FaultCount;
use crate::support::wait;

fn numbered_events(range: std::ops::Range<u32>) -> String {
    let time = "2026-11-20T14:30:00Z";
    join_lines(
        range.map(|n| format!(r#"{{"occurred_at":"{time}","action":"a.b","target_id":"{n}"}}"#)),
    )
}

#[track_caller]
fn ingest_summary(sandbox: &Sandbox, args: &[&str]) -> String {
    let out = sandbox.run([&["ingest"], args].concat()).ok();
    out.stderr().to_owned()
}

#[test]
fn a_file_that_was_taken_is_known() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", numbered_events(0..5));
    assert_eq!(
        ingest_summary(&sandbox, &["events.jsonl"]),
        "ingested 5, duplicates 0, rejected 0\n"
    );
    for _ in 0..2 {
        let said = ingest_summary(&sandbox, &["events.jsonl"]);
        assert_eq!(said, "ingested 0, duplicates 0, rejected 0, known 5\n");
    }
    let summary = sandbox.run(["ingest", "--json", "events.jsonl"]).ok().json();
    assert_eq!(summary, json!({"ingested":0,"duplicates":0,"rejected":0,"known":5}));
    sandbox.assert_sound_with(5);
}

#[test]
fn a_file_that_has_grown_is_continued() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", numbered_events(0..3));
    ingest_summary(&sandbox, &["events.jsonl"]);
    for (from, to) in [(3, 4), (4, 2000), (2000, 2001)] {
        sandbox.append("events.jsonl", numbered_events(from..to));
        let said = ingest_summary(&sandbox, &["events.jsonl"]);
        let fresh = to - from;
        assert_eq!(said, format!("ingested {fresh}, duplicates 0, rejected 0, known {from}\n"));
    }
    sandbox.assert_sound_with(2001);
}

#[test]
fn a_file_is_known_under_any_name() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", numbered_events(0..5));
    ingest_summary(&sandbox, &["events.jsonl"]);
    std::fs::rename(sandbox.path("events.jsonl"), sandbox.path("events.jsonl.1")).unwrap();
    assert!(ingest_summary(&sandbox, &["events.jsonl.1"]).contains("known 5"));
    sandbox.write("copy", numbered_events(0..7));
    let said = ingest_summary(&sandbox, &["copy"]);
    assert_eq!(said, "ingested 2, duplicates 0, rejected 0, known 5\n");
    sandbox.assert_sound_with(7);
}

#[test]
fn a_file_that_was_rotated_begins_anew() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", numbered_events(0..5));
    ingest_summary(&sandbox, &["events.jsonl"]);
    sandbox.write("events.jsonl", numbered_events(100..103));
    let said = ingest_summary(&sandbox, &["events.jsonl"]);
    assert_eq!(said, "ingested 3, duplicates 0, rejected 0\n");
    sandbox.assert_sound_with(8);
}

#[test]
fn a_file_that_shares_only_its_beginning_is_another_one() {
    // The beginning is the same for far more than any window; what was taken ends differently.
    let sandbox = Sandbox::new();
    let shared = numbered_events(0..2000);
    sandbox.write("one.jsonl", format!("{shared}{}", numbered_events(5000..5003)));
    sandbox.write("two.jsonl", format!("{shared}{}", numbered_events(6000..6005)));
    ingest_summary(&sandbox, &["one.jsonl"]);
    let said = ingest_summary(&sandbox, &["two.jsonl"]);
    assert_eq!(said, "ingested 2005, duplicates 0, rejected 0\n");
    sandbox.assert_sound_with(2003 + 2005);
}

#[test]
fn a_shorter_copy_is_no_known_file() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", numbered_events(0..10));
    ingest_summary(&sandbox, &["events.jsonl"]);
    sandbox.write("events.jsonl", numbered_events(0..4));
    let said = ingest_summary(&sandbox, &["events.jsonl"]);
    // Nobody can say that the rest of it came from the same place: it is taken, not skipped.
    assert_eq!(said, "ingested 4, duplicates 0, rejected 0\n");
}

#[test]
fn again_takes_all_of_it() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", numbered_events(0..5));
    ingest_summary(&sandbox, &["events.jsonl"]);
    let said = ingest_summary(&sandbox, &["--again", "events.jsonl"]);
    assert_eq!(said, "ingested 5, duplicates 0, rejected 0\n");
    sandbox.assert_sound_with(10);

    sandbox
        .write("ids.jsonl", join_lines((0..3).map(|n| format!(r#"{{"action":"a","id":"{n}"}}"#))));
    ingest_summary(&sandbox, &["ids.jsonl"]);
    let said = ingest_summary(&sandbox, &["--again", "ids.jsonl"]);
    assert_eq!(said, "ingested 0, duplicates 3, rejected 0\n");
}

#[test]
fn an_unterminated_last_line_is_taken_if_it_is_whole() {
    let sandbox = Sandbox::new();
    let text = numbered_events(0..3);
    sandbox.write("events.jsonl", text.trim_end());
    assert_eq!(
        ingest_summary(&sandbox, &["events.jsonl"]),
        "ingested 3, duplicates 0, rejected 0\n"
    );
    // Its line end comes later, and is no event.
    sandbox.append("events.jsonl", format!("\n{}", numbered_events(3..4)));
    let said = ingest_summary(&sandbox, &["events.jsonl"]);
    assert_eq!(said, "ingested 1, duplicates 0, rejected 0, known 3\n");
    sandbox.assert_sound_with(4);
}

#[test]
fn an_unterminated_last_line_that_is_not_whole_is_left_for_the_next_run() {
    let sandbox = Sandbox::new();
    let text = numbered_events(0..3);
    let (whole, rest) = text.split_at(text.len() - 12);
    sandbox.write("events.jsonl", whole);
    let out = sandbox.run(["ingest", "events.jsonl"]).ok();
    assert!(out.stderr().contains("events.jsonl:3: "), "the torn line is told\n{out}");
    assert!(out.stderr().ends_with("ingested 2, duplicates 0, rejected 0\n"), "{out}");
    sandbox.append("events.jsonl", rest);
    let said = ingest_summary(&sandbox, &["events.jsonl"]);
    assert_eq!(said, "ingested 1, duplicates 0, rejected 0, known 2\n");
    sandbox.assert_sound_with(3);
}

#[test]
fn rejected_lines_are_tried_again() {
    let sandbox = Sandbox::new();
    let text = format!("nonsense\n{}nonsense\n", numbered_events(0..2));
    sandbox.write("events.jsonl", text);
    let out = sandbox.run(["ingest", "events.jsonl"]).exits(65);
    assert!(out.stderr().contains("ingested 2, duplicates 0, rejected 2\n"), "{out}");
    let out = sandbox.run(["ingest", "events.jsonl"]).exits(65);
    assert!(out.stderr().contains("events.jsonl:4: "), "{out}");
    assert!(out.stderr().contains("ingested 0, duplicates 0, rejected 2, known 2\n"), "{out}");
    // Lines are numbered from the file's beginning, continued or not.
    sandbox.append("events.jsonl", "more nonsense\n");
    sandbox.run(["ingest", "events.jsonl"]).exits(65).stderr_has("events.jsonl:5: ").done();
    sandbox.assert_sound_with(2);
}

#[test]
fn csv_arrays_and_mirror_lines_are_continued_too() {
    let sandbox = Sandbox::new();
    sandbox.write("events.csv", "action,target_id\na,1\na,2\n");
    ingest_summary(&sandbox, &["events.csv"]);
    sandbox.append("events.csv", "b,\"3\n4\"\n");
    let said = ingest_summary(&sandbox, &["events.csv"]);
    assert_eq!(said, "ingested 1, duplicates 0, rejected 0, known 2\n");
    assert_eq!(sandbox.stored_events()[2]["target_id"], "3\n4");

    let line = |n| format!("[2023-07-05T20:19:15+00:00] a.INFO: M {{\"Code\":{n}}} []\n");
    sandbox.write("mirror", line(1));
    ingest_summary(&sandbox, &["mirror"]);
    sandbox.append("mirror", line(2));
    let said = ingest_summary(&sandbox, &["mirror"]);
    assert_eq!(said, "ingested 1, duplicates 0, rejected 0, known 1\n");

    sandbox.write("events.json", r#"[{"action":"a"},{"action":"b"}]"#);
    ingest_summary(&sandbox, &["events.json"]);
    let said = ingest_summary(&sandbox, &["events.json"]);
    assert_eq!(said, "ingested 0, duplicates 0, rejected 0, known 2\n");
    sandbox.assert_sound_with(7);
}

#[test]
fn standard_input_is_no_file() {
    let sandbox = Sandbox::new();
    for count in [3, 6] {
        sandbox.run_with_input(["ingest"], numbered_events(0..3)).ok().done();
        sandbox.assert_sound_with(count);
    }
    let with_ids = join_lines((0..3).map(|n| format!(r#"{{"action":"a","event_id":"{n}"}}"#)));
    for _ in 0..2 {
        sandbox.run_with_input(["ingest"], &with_ids).ok().done();
        sandbox.assert_sound_with(9);
    }
}

#[test]
fn progress_is_the_logs_own_and_another_log_takes_all() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", numbered_events(0..5));
    ingest_summary(&sandbox, &["events.jsonl"]);
    let said = ingest_summary(&sandbox, &["--db", "other.db", "events.jsonl"]);
    assert_eq!(said, "ingested 5, duplicates 0, rejected 0\n");
}

// Killed in the middle.

/// More than two transactions of a bulk ingest.
const EVENT_COUNT: u32 = 120_000;

#[test]
fn a_killed_bulk_ingest_is_completed_by_the_same_command() {
    kill_and_complete(|n| format!(r#"{{"action":"a.b","target_id":"{}"}}"#, n % 1000));
}

#[test]
fn a_killed_bulk_ingest_with_ids_is_completed_by_the_same_command() {
    kill_and_complete(|n| format!(r#"{{"action":"a.b","event_id":"e{n}"}}"#));
}

#[track_caller]
fn kill_and_complete(event: impl Fn(u32) -> String) {
    let sandbox = Sandbox::in_memory();
    let mut text = String::new();
    (0..EVENT_COUNT).for_each(|n| writeln!(text, "{}", event(n)).unwrap());
    sandbox.write("events.jsonl", text);

    let child = sandbox.spawn(sandbox.command(["ingest", "events.jsonl"]));
    let db = sandbox.db();
    wait::until("the first commit", &child, || (Log::count_or_zero(&db) > 0).then_some(()));
    wait::send_signal(&child, Signal::KILL);
    let out = sandbox.wait_with_output(child);
    assert_eq!(out.signal, Some(9), "{out}");
    FaultCount::new("kills").add(1);

    let landed = sandbox.log().event_count();
    assert!(
        (1..u64::from(EVENT_COUNT)).contains(&landed),
        "killed in the middle: {landed} of {EVENT_COUNT}"
    );
    sandbox.assert_sound_with(landed);

    let said = ingest_summary(&sandbox, &["events.jsonl"]);
    let rest = u64::from(EVENT_COUNT) - landed;
    assert_eq!(said, format!("ingested {rest}, duplicates 0, rejected 0, known {landed}\n"));
    sandbox.assert_sound_with(EVENT_COUNT.into());
}

#[test]
fn a_terminated_ingest_dies_by_the_signal_and_says_what_landed() {
    let sandbox = Sandbox::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let before = Log::count_or_zero(&sandbox.db());
        // Whoever started the tests may ignore a signal, which the program would go on to do.
        let mut command = sandbox.command_of("env");
        command.args(["--default-signal=TERM,INT,HUP", env!("CARGO_BIN_EXE_activity"), "ingest"]);
        command.stdin(std::process::Stdio::piped());
        let mut child = sandbox.spawn(command);
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, numbered_events(0..3).as_bytes()).unwrap();
        let db = sandbox.db();
        wait::until("the commit", &child, || (Log::count_or_zero(&db) == before + 3).then_some(()));
        wait::send_signal(&child, signal);
        let out = sandbox.wait_with_output(child);
        assert_eq!(out.signal, Some(signal.as_raw()), "{out}");
        assert!(out.stderr().contains("ingested 3, duplicates 0, rejected 0"), "{out}");
        sandbox.assert_sound_with(before + 3);
    }
}
