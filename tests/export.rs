//! `activity export`: all that matches, told first in the log, and back again without loss.

use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::is_running_as_root;
use crate::support::join_lines;
use crate::support::wait;

const HEADER: &str = "id,event_id,occurred_at,recorded_at,recorded_by,tenant,source,severity,module,\
    action,title,description,actor_id,actor_label,impersonator_id,impersonator_label,target_type,\
    target_id,target_label,diff,payload,ip,user_agent,session_id,method,endpoint,status_code,hash";

/// The events of a log, less what another log stamps anew.
#[track_caller]
fn events_without_stamps(sandbox: &Sandbox) -> Vec<Value> {
    let mut events = sandbox.stored_events();
    events.retain(|event| event["action"] != "log.export");
    events.sort_by_key(|event| event["event_id"].to_string());
    for event in &mut events {
        for stamp in ["id", "recorded_at", "recorded_by", "hash"] {
            event.as_object_mut().unwrap().shift_remove(stamp);
        }
    }
    events
}

#[test]
fn json_lines_come_oldest_first_as_in_list() {
    let sandbox = Sandbox::with_events();
    let listed = sandbox.run(["list", "--json", "--sort", "when:asc"]).ok();
    let exported = sandbox.run(["export", "--jsonl"]).ok();
    assert_eq!(exported.stdout(), listed.stdout());
    assert_eq!(exported.ids(), [8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn many_events_come_in_order_each_once() {
    const EVENTS: usize = 21_000;
    let sandbox = Sandbox::new();
    // Many share a time, out of the order in which they are recorded.
    let line = |number: usize| {
        let minute = number * 7_919 % 1_000;
        json!({
            "action": if number.is_multiple_of(400) { "page.edit" } else { "page.view" },
            "occurred_at": format!("2026-03-{:02}T10:{:02}:00Z", 1 + minute / 60, minute % 60),
        })
        .to_string()
    };
    sandbox.ingest(join_lines((0..EVENTS).map(line)));
    let key = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        (event["occurred_at"].as_str().unwrap().to_owned(), event["id"].as_i64().unwrap())
    };
    let exported = sandbox.run(["export", "--jsonl", "action:page.*"]).ok();
    let keys: Vec<_> = exported.stdout().lines().map(key).collect();
    assert_eq!(keys.len(), EVENTS);
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    let csv = sandbox.run(["export", "--csv", "action:page.view"]).ok();
    assert_eq!(csv.stdout().lines().count(), 1 + EVENTS - EVENTS.div_ceil(400));
    let few = sandbox.run(["export", "--jsonl", "action:page.edit"]).ok();
    assert_eq!(few.stdout().lines().count(), EVENTS.div_ceil(400));
}

#[test]
fn csv_has_the_fields_in_their_order_all_quoted() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["export", "--csv"]).ok();
    let text = out.stdout();
    let header = text.lines().next().unwrap();
    assert_eq!(header.replace('"', ""), HEADER);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 8);
    let last = &rows[7];
    assert_eq!(&last[2], "2025-03-05T14:28:09.551000000Z");
    assert_eq!(&last[20], r#"{"request_id":"0d9e","via":"admin"}"#);
    assert!(
        text.lines().skip(1).all(|line| line.starts_with('"') && line.ends_with('"')),
        "{text}"
    );
    let quoted = text.lines().nth(1).unwrap().split(',').all(|cell| cell.starts_with('"'));
    assert!(quoted, "a list separator of another locale splits nothing: {text}");
}

#[test]
fn one_event_tells_of_it_before_and_is_not_in_it() {
    let sandbox = Sandbox::with_events();
    sandbox.run(["export", "--jsonl", "actor:3", "-is:system"]).ok().done();
    sandbox.run(["export", "--csv", "-o", "all.csv"]).ok().no_stdout().done();
    let stored = sandbox.stored_events();
    assert_eq!(stored.len(), 10);
    let own = &stored[8];
    assert_eq!(own["action"], "log.export");
    assert_eq!(own["source"], "operator");
    assert_eq!(own.get("title"), None);
    assert!(own["actor_id"].is_string() && own["actor_label"].is_string(), "the caller: {own}");
    assert_eq!(own["payload"]["format"], "jsonl");
    assert_eq!(own["payload"]["rows"], 2);
    assert_eq!(own["payload"]["last_id"], 8);
    assert_eq!(own["payload"].get("output"), None);
    let query = own["payload"]["query"].as_str().unwrap();
    assert!(query.contains("actor:3") && query.contains("-is:system"), "{query}");

    let own = &stored[9];
    assert_eq!(own["payload"]["format"], "csv");
    assert_eq!(own["payload"]["rows"], 9, "the export before it is an event like others");
    assert_eq!(own["payload"]["last_id"], 9);
    assert!(own["payload"]["output"].as_str().unwrap().ends_with("all.csv"), "{own}");
    assert_eq!(sandbox.log().query_value::<i64>("SELECT sum(own) FROM event"), 2);
    sandbox.assert_sound_with(10);
}

#[test]
fn the_ending_of_the_output_decides_the_format() {
    let sandbox = Sandbox::with_events();
    for (name, format) in [("a.csv", "csv"), ("a.jsonl", "jsonl")] {
        sandbox.run(["export", "-o", name]).ok().no_stdout().done();
        assert_eq!(sandbox.stored_events().last().unwrap()["payload"]["format"], format);
    }
    let events = sandbox.log().event_count();
    sandbox.run(["export", "-o", "a.txt"]).exits(2).no_stdout().done();
    sandbox.run(["export"]).exits(2).no_stdout().done();
    sandbox.run(["export", "--csv", "--jsonl"]).exits(2).no_stdout().done();
    sandbox.run(["export", "--csv", "status:x"]).exits(2).no_stdout().done();
    sandbox.assert_sound_with(events);
}

#[test]
fn an_export_of_nothing_is_recorded_too() {
    let sandbox = Sandbox::with_events();
    sandbox.run(["export", "--jsonl", "action:none"]).ok().no_stdout().done();
    let out = sandbox.run(["export", "--csv", "action:none"]).ok();
    assert_eq!(out.stdout().trim_end().replace('"', ""), HEADER);
    assert_eq!(sandbox.stored_events()[8]["payload"]["rows"], 0);
    sandbox.assert_sound_with(10);
}

#[test]
fn the_output_is_atomic_private_and_replaces_a_regular_file() {
    let sandbox = Sandbox::with_events();
    sandbox.write("out.jsonl", "old");
    let before = sandbox.path("out.jsonl").metadata().unwrap().ino();
    sandbox.run(["export", "-o", "out.jsonl"]).ok().no_stdout().done();
    let after = sandbox.path("out.jsonl").metadata().unwrap();
    assert_ne!(after.ino(), before, "a reader sees the old or the new, never half");
    assert_eq!(line_count(&sandbox, "out.jsonl"), 8);
    sandbox.run(["export", "-o", "new.csv"]).ok().done();
    assert_eq!(sandbox.mode("new.csv"), 0o600);
    let leftovers: Vec<_> = std::fs::read_dir(sandbox.work_folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            name.contains("out.jsonl") && name != "out.jsonl" || name.contains("new.csv.")
        })
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

fn line_count(sandbox: &Sandbox, name: &str) -> usize {
    sandbox.read(name).iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn what_is_no_regular_file_is_written_into() {
    let sandbox = Sandbox::with_events();
    sandbox.run(["export", "--jsonl", "-o", "/dev/null"]).ok().done();
    let null = std::path::Path::new("/dev/null").metadata().unwrap();
    assert!(!null.is_file(), "/dev/null is still a device");
    let out = sandbox
        .run_shell("mkfifo pipe && { cat pipe & activity export --jsonl -o pipe; wait; }")
        .ok();
    assert_eq!(out.stdout().lines().count(), 9, "{out}");
    let out = sandbox.run_shell("activity export --jsonl -o /dev/stdout").ok();
    assert_eq!(out.stdout().lines().count(), 10, "{out}");
}

#[test]
fn an_output_that_cannot_be_made_is_73_before_anything_is_recorded() {
    let sandbox = Sandbox::with_events();
    sandbox.run_shell("mkdir folder").ok().done();
    for output in ["none/out.csv", "folder", "log.db/out.csv"] {
        let args = ["export", "--csv", "-o", output];
        sandbox.run(args).exits(73).no_stdout().stderr_is_one_error().stderr_has(output).done();
    }
    sandbox.assert_sound_with(8);
}

#[test]
fn an_output_over_the_log_is_refused() {
    let sandbox = Sandbox::with_events();
    sandbox.run_shell("ln -s log.db soft; mkdir other; ln log.db other/hard").ok().done();
    let log = sandbox.read("log.db");
    for output in [
        "log.db",
        "./log.db",
        "log.db-wal",
        "log.db-shm",
        "log.db.lock",
        "log.db.reserve",
        "soft",
        "other/hard",
    ] {
        let args = ["export", "--jsonl", "-o", output];
        sandbox.run(args).exits(2).no_stdout().stderr_has("would overwrite the log").done();
    }
    assert!(sandbox.read("log.db") == log, "not a byte has changed");
    sandbox.assert_sound_with(8);
}

#[test]
fn a_caller_who_may_not_write_the_log_exports_nothing() {
    let sandbox = Sandbox::with_events();
    sandbox.run_shell("chmod 0644 log.db log.db-* 2>/dev/null; chmod 0755 . ..").done();
    if is_running_as_root() {
        // A log of another user that the caller may read.
        let command = sandbox.command_as_nobody(["list"]);
        drop(command);
        sandbox.run_shell("chown 0:0 . log.db*; chmod 0755 .").ok().done();
    } else {
        sandbox.run_shell("chmod 0444 log.db log.db-*; chmod 0555 .").done();
    }
    let out = sandbox.run_command(sandbox.command_as_nobody(["export", "--jsonl"]));
    out.exits(77).no_stdout().done();
    let out = sandbox.run_command(sandbox.command_as_nobody(["list", "--json"])).ok();
    assert_eq!(out.json_lines().len(), 8, "listing works\n{out}");
    sandbox.run_shell("chmod 0755 .; chmod u+w log.db*").ok().done();
    assert_eq!(sandbox.log().event_count(), 8);
}

#[test]
fn without_a_log_there_is_nothing_to_export() {
    let sandbox = Sandbox::new();
    sandbox
        .run(["export", "--csv", "-o", "out.csv"])
        .exits(66)
        .no_stdout()
        .stderr_is_one_error()
        .done();
    assert!(!sandbox.exists("out.csv") && !sandbox.exists("log.db"));
}

// The way back.

/// Values that a format may trip over.
fn awkward_events() -> Vec<Value> {
    let text = [
        "plain",
        "=1+1",
        "'=1+1",
        "''=1",
        "+27 82 555",
        "-5",
        "@sum",
        "\tx",
        "\rx",
        "'",
        "''",
        "'x",
        "a;b",
        "a,b",
        "\"quoted\"",
        "two\nlines",
        "cr\r\nlf",
        "nul\u{0}byte",
        "esc\u{1b}[31m",
        "\u{202e}bidi",
        "\u{feff}bom",
        "é",
        "e\u{301}",
        "🙂👩‍👩‍👧",
        " lead and trail ",
        "\u{a0}",
        "null",
        "{}",
        "[]",
        "true",
        "17",
        "0017",
        "1e5",
        "\\u0041",
        "\u{10ffff}",
        "\u{85}next",
        "\u{2028}",
    ];
    let events = text.iter().enumerate().map(|(n, text)| {
        json!({"event_id":format!("e{n:03}"),"action":"a.b","occurred_at":1_700_000_000 + n,
            "title":text,"description":text,"actor_id":text,"actor_label":text,"target_type":text,
            "target_id":text,"target_label":text,"tenant":text,"module":text,"user_agent":text,
            "session_id":text,"endpoint":text,"impersonator_id":text,"impersonator_label":text,
            "payload":{"k":text,*text:1},"diff":{*text:{"before":text,"after":null}}})
    });
    events.collect()
}

#[test]
fn export_and_ingest_into_an_empty_log_give_the_same_events() {
    let sandbox = Sandbox::with_events();
    sandbox.ingest(join_lines(awkward_events().iter().map(Value::to_string)));
    let expected = events_without_stamps(&sandbox);
    assert_eq!(expected.len(), 8 + awkward_events().len());
    for (export, ingest) in [
        ("export --jsonl", "ingest"),
        ("export --csv", "ingest"),
        ("export --csv --raw", "ingest --raw"),
    ] {
        let exported = sandbox.run(export.split(' ')).ok();
        let copy = Sandbox::new();
        // The exports before it are the log's own, which root alone may bring back.
        let kept = exported.out.clone();
        let out = copy.run_with_input(ingest.split(' '), kept);
        if is_running_as_root() {
            out.ok().done();
        } else {
            out.exits_with_one_of(&[0, 77]);
        }
        assert_eq!(events_without_stamps(&copy), expected, "{export}");
        copy.log().assert_sound();
    }
}

#[test]
fn cells_that_a_spreadsheet_would_run_are_guarded() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines(
        ["=1", "+1", "-1", "@1", "\t1", "\r1", "'=1", "''@", "'x", "x=1"]
            .map(|text| json!({"action":"a","title":text}).to_string()),
    ));
    let titles = |args: &[&str]| -> Vec<String> {
        let out = sandbox.run([&["export", "--csv", "action:a"], args].concat()).ok();
        let mut reader = csv::Reader::from_reader(out.out.as_slice());
        reader.records().map(|row| row.unwrap()[10].to_owned()).collect()
    };
    assert_eq!(
        titles(&[]),
        ["'=1", "'+1", "'-1", "'@1", "'\t1", "'\r1", "''=1", "'''@", "'x", "x=1"]
    );
    assert_eq!(
        titles(&["--raw"]),
        ["=1", "+1", "-1", "@1", "\t1", "\r1", "'=1", "''@", "'x", "x=1"]
    );
}

/// A text of anything that a text can be.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => proptest::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
        2 => proptest::collection::vec(proptest::sample::select("=+-@\t\r\n'\",;\\{}[] a".chars().collect::<Vec<_>>()), 0..6)
            .prop_map(String::from_iter),
    ]
}

/// One event with any values in its fields.
fn any_event() -> impl Strategy<Value = Value> {
    let time = any::<i64>().prop_map(|nanos| {
        let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        chrono::DateTime::from_timestamp(seconds, u32::try_from(rest).unwrap())
            .unwrap()
            .to_rfc3339()
    });
    let texts = proptest::collection::vec(proptest::option::of(any_text()), 14);
    let status = proptest::option::of(100..600_i32);
    let json = proptest::collection::btree_map(any_text(), any_text(), 0..4);
    (time, texts, status, json, "[a-z0-9_.:/-]{1,20}").prop_map(
        |(time, texts, status, json, action)| {
            let mut event =
                json!({"occurred_at":time,"action":format!("x.{action}"),"status_code":status});
            let fields = "tenant module title description actor_id actor_label impersonator_id \
            impersonator_label target_type target_id target_label user_agent session_id endpoint";
            for (field, text) in fields.split_whitespace().zip(texts) {
                event[field] = text.into();
            }
            if !json.is_empty() {
                let changes = json
                    .iter()
                    .map(|(key, value)| (key.clone(), json!({"before":value,"after":null})));
                event["diff"] = Value::Object(changes.collect());
                event["payload"] = json!(json);
            }
            event
        },
    )
}

#[test]
fn any_events_survive_every_format() {
    let mut runner =
        TestRunner::new(Config { cases: 3, failure_persistence: None, ..Config::default() });
    let events = proptest::collection::vec(any_event(), 400);
    runner
        .run(&events, |mut events| {
            for (n, event) in events.iter_mut().enumerate() {
                event["event_id"] = json!(format!("e{n}"));
            }
            let sandbox = Sandbox::in_memory();
            sandbox.ingest(join_lines(events.iter().map(Value::to_string)));
            let expected = events_without_stamps(&sandbox);
            prop_assert_eq!(expected.len(), events.len());
            for event in &expected {
                let number: usize = event["event_id"].as_str().unwrap()[1..].parse().unwrap();
                for (field, given) in events[number].as_object().unwrap() {
                    let absent = given.is_null() || given == "";
                    let same =
                        event.get(field) == Some(given) || absent && event.get(field).is_none();
                    prop_assert!(
                        same || field == "occurred_at",
                        "{}: {} of {}",
                        field,
                        given,
                        event
                    );
                }
            }
            for (format, query) in [("--csv", "x"), ("--jsonl", "x")] {
                let exported = sandbox.run(["export", format, &format!("action:{query}.*")]).ok();
                let copy = Sandbox::in_memory();
                copy.run_with_input(["ingest", "--quiet"], &exported.out).ok().done();
                prop_assert_eq!(&events_without_stamps(&copy), &expected, "{}", format);
            }
            let mirrored = sandbox.run(["list", "--json", "--limit", "1000", "action:x.*"]).ok();
            let mirrored = mirrored.stdout().lines().map(|json| {
                format!("[2025-01-01T00:00:00.123456789+00:00] a.b.high: any {{ {json}")
            });
            let copy = Sandbox::in_memory();
            copy.run_with_input(["ingest", "--quiet"], join_lines(mirrored)).ok().done();
            prop_assert_eq!(&events_without_stamps(&copy), &expected, "mirror lines");
            Ok(())
        })
        .unwrap();
}

// Beside others.

#[test]
fn what_arrives_while_it_runs_is_not_in_it() {
    let sandbox = Sandbox::in_memory();
    let title = "x".repeat(1000);
    sandbox.ingest(join_lines(
        (0..2000).map(|n| json!({"action":"a","title":format!("{title}{n}")}).to_string()),
    ));
    // Far more than a pipe holds: the export stands still until it is read.
    let mut child = sandbox.spawn(sandbox.command(["export", "--jsonl"]));
    let mut out = child.stdout.take().unwrap();
    let mut text = wait::read_lines(&mut out, 1);
    sandbox.ingest(join_lines(
        (0..500).map(|n| {
            json!({"action":"late","event_id":format!("l{n}"),"occurred_at":n}).to_string()
        }),
    ));
    std::io::Read::read_to_string(&mut out, &mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text.lines().count(), 2000);
    assert!(!text.contains("\"late\""));
    let own = sandbox.run(["list", "--json", "action:log.export"]).ok().json();
    assert_eq!(own["payload"]["rows"], 2000);
    assert_eq!(own["payload"]["last_id"], 2000);
    sandbox.assert_sound_with(2501);
}

#[test]
fn a_link_to_nowhere_is_followed_and_stays() {
    let sandbox = Sandbox::with_events();
    sandbox
        .run_shell("mkdir sub && ln -s sub/b.csv a.csv && ln -s ../real.csv sub/b.csv")
        .ok()
        .done();
    sandbox.run(["export", "-o", "a.csv"]).ok().done();
    assert!(sandbox.path("a.csv").is_symlink() && sandbox.path("sub/b.csv").is_symlink());
    assert!(sandbox.read("real.csv").starts_with(b"\"id\""));

    sandbox.run_shell("ln -s copy.db link.db").ok().done();
    sandbox.run(["backup", "link.db"]).ok().done();
    assert!(sandbox.path("link.db").is_symlink() && sandbox.exists("copy.db"));
    sandbox.run_shell("ln -s page.html link.html").ok().done();
    sandbox.run(["digest", "--preview", "link.html"]).ok().done();
    assert!(sandbox.path("link.html").is_symlink() && sandbox.exists("page.html"));

    sandbox.run_shell("ln -s one two && ln -s two one && ln -s none/x.csv lost").ok().done();
    for name in ["one", "lost"] {
        sandbox.run(["export", "--csv", "-o", name]).exits(73).done();
    }
    // A companion of the log that is not there now is the log's all the same.
    sandbox.run_shell("rm -f log.db.reserve && ln -s log.db.reserve companion").ok().done();
    sandbox.run(["export", "--csv", "-o", "companion"]).exits(2).done();
}

#[test]
fn a_dash_is_standard_output_wherever_a_file_is_written() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["export", "--csv", "-o", "-"]).ok();
    assert!(out.stdout().starts_with("\"id\""), "{out}");
    let out = sandbox.run(["digest", "--preview", "-"]).ok();
    assert!(out.stdout().contains("</html>"), "{out}");
    sandbox.run(["digest", "--preview", "-", "--json"]).exits(2).no_stdout().done();
    sandbox.run(["export", "-o", "-"]).exits(2).stderr_has("no format is given").done();
    sandbox.run(["backup", "-"]).exits(2).no_stdout().done();
    assert!(!sandbox.exists("-"));
}
