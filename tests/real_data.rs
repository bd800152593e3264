//! Recorded activity of others: every file goes in, comes back the same, and is found by name.
//!
//! The expected events are computed here a second time, by the rules for field names and values,
//! from the input as `serde_json` reads it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::skip;

/// The files with how many events they have and how many of them are rejected.
const FILES: [(&str, usize, usize); 7] = [
    ("apache_access.jsonl", 2000, 0),
    ("aws_cloudtrail_invictus.jsonl", 2900, 0),
    ("debian_dpkg.jsonl", 4328, 0),
    ("gcp_audit.jsonl", 21, 0),
    ("github_webhooks.jsonl", 321, 0),
    ("k8s_audit.jsonl", 92, 3),
    ("rust_team.jsonl", 6191, 0),
];

/// The folder of recorded events, where it is there.
fn data_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    skip("no recorded events in ../shared/data");
    None
}

/// What the log should keep of one line, and the event's own text of payload and diff.
struct ExpectedEvent {
    event: BTreeMap<String, Value>,
    raw: BTreeMap<String, String>,
}

/// Applies the rules for names and values to the fields that these files have.
fn normalise_event(line: &str) -> ExpectedEvent {
    let given: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
    let mut event = BTreeMap::new();
    let mut raw = BTreeMap::new();
    for (name, value) in given {
        let text = match serde_json::from_str::<Value>(value.get()).unwrap() {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            object @ Value::Object(_) => {
                raw.insert(name.clone(), without_whitespace(value.get()));
                event.insert(name, object);
                continue;
            }
            other => panic!("{name}: {other}"),
        };
        let value = match name.as_str() {
            "occurred_at" => Value::from(clock::normal_form(&text)),
            "action" => Value::from(text.to_ascii_lowercase()),
            "method" => Value::from(text.to_ascii_uppercase()),
            "ip" => Value::from(text.parse::<IpAddr>().unwrap().to_string()),
            "status_code" => Value::from(text.parse::<i64>().unwrap()),
            "severity" => Value::from(match text.as_str() {
                "critical" | "alert" | "emergency" | "crit" => "critical",
                "high" | "error" | "err" => "high",
                "medium" | "warning" | "warn" => "medium",
                "low" | "notice" => "low",
                "info" | "debug" => "info",
                other => panic!("severity {other}"),
            }),
            "source" => Value::from(text.to_ascii_lowercase()),
            "event_id" | "tenant" | "module" | "title" | "description" | "actor_id"
            | "actor_label" | "impersonator_id" | "impersonator_label" | "target_type"
            | "target_id" | "target_label" | "user_agent" | "session_id" | "endpoint" => {
                Value::from(text)
            }
            other => panic!("these files have no {other}"),
        };
        event.insert(name, value);
    }
    if !event.contains_key("source") {
        let actor = event.contains_key("actor_id") || event.contains_key("actor_label");
        let http = event.contains_key("method") || event.contains_key("endpoint");
        let source = if actor {
            "operator"
        } else if http {
            "api"
        } else {
            "system"
        };
        event.insert("source".to_owned(), source.into());
    }
    event.entry("severity".to_owned()).or_insert_with(|| "info".into());
    ExpectedEvent { event, raw }
}

/// JSON text without the blanks between its tokens.
fn without_whitespace(json: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    json.chars()
        .filter(|c| {
            let keep = inside || !c.is_ascii_whitespace();
            match (*c, escaped) {
                ('"', false) => inside = !inside,
                ('\\', false) if inside => {
                    escaped = true;
                    return keep;
                }
                _ => {}
            }
            escaped = false;
            keep
        })
        .collect()
}

/// What each file should have become, in the order of listings: by time, then as they came. Of two
/// events with one id the first counts.
fn expected_events(input: &str) -> Vec<ExpectedEvent> {
    let mut ids = BTreeSet::new();
    let mut all: Vec<ExpectedEvent> = input.lines().map(normalise_event).collect();
    all.retain(|one| match one.event.get("event_id") {
        Some(id) => ids.insert((one.event.get("tenant").map(Value::to_string), id.to_string())),
        None => true,
    });
    let instant = |one: &ExpectedEvent| {
        let time = one.event["occurred_at"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp_nanos_opt().unwrap()
    };
    all.sort_by_key(instant);
    all
}

/// Checks what an export says against what it should say.
#[track_caller]
fn assert_exported(exported: &str, expected: &[ExpectedEvent], file: &str) {
    let mut rows = 0;
    for (line, expected) in exported.lines().zip(expected) {
        rows += 1;
        let mut event: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        let raw: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
        for stamp in ["id", "recorded_at", "recorded_by", "hash"] {
            assert!(event.remove(stamp).is_some(), "{file}: no {stamp} in {line}");
        }
        if !expected.event.contains_key("event_id") {
            let made = event.remove("event_id").unwrap();
            let made = uuid::Uuid::parse_str(made.as_str().unwrap()).unwrap();
            assert_eq!(made.get_version_num(), 7, "{file}");
        }
        assert_eq!(event, expected.event, "{file}, row {rows}");
        for (name, text) in &expected.raw {
            // The only change of the text: what a terminal must not see is told as an escape.
            if !text.chars().any(|c| u32::from(c) > 0x7e) {
                assert_eq!(raw[name].get(), text, "{file}, row {rows}: {name}");
            }
        }
    }
    assert_eq!((exported.lines().count(), rows), (expected.len(), expected.len()), "{file}");
}

#[test]
fn every_file_goes_in_and_comes_back_the_same() {
    let Some(folder) = data_folder() else { return };
    for (file, events, rejects) in FILES {
        let path = folder.join(file);
        let input = fs::read_to_string(&path).unwrap();
        assert_eq!(input.lines().count(), events, "{file}");
        let expected = expected_events(&input);
        assert_eq!(expected.len(), events - rejects, "{file}");

        let sandbox = Sandbox::new();
        let path = path.display().to_string();
        let out = sandbox.run(["ingest", &path]).exits(if rejects > 0 { 65 } else { 0 });
        let summary = format!("ingested {}, duplicates 0, rejected {rejects}\n", events - rejects);
        assert!(out.stderr().contains(&summary), "{file}\n{out}");
        sandbox.assert_sound_with((events - rejects) as u64);

        let exported = sandbox.run(["export", "--jsonl"]).ok();
        assert_exported(exported.stdout(), &expected, file);
        let back = Sandbox::new();
        back.run_with_input(["ingest", "--quiet"], &exported.out).ok().no_stderr().done();
        assert_exported(back.run(["export", "--jsonl"]).ok().stdout(), &expected, file);

        let csv = sandbox.run(["export", "--csv", "-action:log.export"]).ok();
        let back = Sandbox::new();
        back.run_with_input(["ingest", "--quiet"], &csv.out).ok().no_stderr().done();
        assert_exported(back.run(["export", "--jsonl"]).ok().stdout(), &expected, file);
        back.assert_sound_with((events - rejects) as u64 + 1);

        // The same file again: what landed is known, what was rejected is tried again.
        let out = sandbox.run(["ingest", &path]).exits(if rejects > 0 { 65 } else { 0 });
        let known = events - rejects;
        let summary = format!("ingested 0, duplicates 0, rejected {rejects}, known {known}\n");
        assert!(out.stderr().contains(&summary), "{file}\n{out}");
    }
}

#[test]
fn the_rejects_of_the_kubernetes_file_are_conflicts_and_told_by_line() {
    let Some(folder) = data_folder() else { return };
    let sandbox = Sandbox::new();
    let path = folder.join("k8s_audit.jsonl").display().to_string();
    let out = sandbox.run(["ingest", &path, "--rejects", "bad.jsonl"]).exits(65);
    let messages: Vec<&str> =
        out.stderr().lines().filter(|line| line.contains("k8s_audit.jsonl:")).collect();
    assert_eq!(messages.len(), 3, "{out}");
    let input = fs::read_to_string(&path).unwrap();
    let kept = String::from_utf8(sandbox.read("bad.jsonl")).unwrap();
    for (message, kept) in messages.iter().zip(kept.lines()) {
        let number = message.split("k8s_audit.jsonl:").nth(1).unwrap().split(':').next().unwrap();
        let line = input.lines().nth(number.parse::<usize>().unwrap() - 1).unwrap();
        assert_eq!(kept, line, "the reject is the line that was told");
    }
    assert_eq!(kept.lines().count(), 3);
}

/// The five values that most events have, of those that stand for themselves in a query.
fn most_frequent_values(events: &[ExpectedEvent], fields: [&str; 2]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in events {
        for field in fields {
            if let Some(value) = one.event.get(field) {
                *counts.entry(value.as_str().unwrap()).or_default() += 1;
            }
        }
    }
    let mut values: Vec<_> =
        counts.into_iter().filter(|(value, _)| !value.contains(['*', '"'])).collect();
    values.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    values.into_iter().take(5).map(|(value, _)| value.to_owned()).collect()
}

/// Whether an event is about an id, or a label in any case.
fn is_about(event: &BTreeMap<String, Value>, id: &str, label: &str, wanted: &str) -> bool {
    let text = |field| event.get(field).and_then(Value::as_str);
    text(id) == Some(wanted)
        || text(label).is_some_and(|label| label.to_lowercase() == wanted.to_lowercase())
}

#[test]
fn five_actors_and_five_targets_of_each_file_are_found() {
    let Some(folder) = data_folder() else { return };
    for (file, ..) in FILES {
        let path = folder.join(file);
        let expected = expected_events(&fs::read_to_string(&path).unwrap());
        let sandbox = Sandbox::new();
        let out = sandbox.run(["ingest", "--quiet", &path.display().to_string()]);
        out.exits_with_one_of(&[0, 65]);

        let actors = most_frequent_values(&expected, ["actor_id", "actor_label"]);
        let targets = most_frequent_values(&expected, ["target_id", "target_label"]);
        assert!(targets.len() == 5, "{file}: {targets:?}");
        assert!(
            actors.len() == 5 || ["apache_access.jsonl", "debian_dpkg.jsonl"].contains(&file),
            "{file}: {actors:?}"
        );
        for actor in &actors {
            let count = expected.iter().filter(|one| {
                is_about(&one.event, "actor_id", "actor_label", actor)
                    || is_about(&one.event, "impersonator_id", "impersonator_label", actor)
            });
            assert_found_count(&sandbox, "search-actor", actor, count.count(), file);
        }
        for target in &targets {
            let split = target.split_once('/');
            let count = expected.iter().filter(|one| {
                let pair = split.is_some_and(|(family, id)| {
                    one.event.get("target_type").is_some_and(|value| value == family)
                        && one.event.get("target_id").is_some_and(|value| value == id)
                });
                pair || is_about(&one.event, "target_id", "target_label", target)
            });
            assert_found_count(&sandbox, "search-target", target, count.count(), file);
        }
    }
}

#[track_caller]
fn assert_found_count(sandbox: &Sandbox, command: &str, name: &str, count: usize, file: &str) {
    let args = [command, "--json", "--limit", "10000", "--", name];
    let found = sandbox.run(args).ok().json_lines();
    assert!(count > 0);
    assert_eq!(found.len(), count, "{file}: {command} {name:?}");
}

#[test]
fn listings_of_real_data_fit_their_width() {
    let Some(folder) = data_folder() else { return };
    for file in ["rust_team.jsonl", "k8s_audit.jsonl"] {
        let sandbox = Sandbox::new();
        let path = folder.join(file).display().to_string();
        sandbox.run(["ingest", "--quiet", &path]).exits_with_one_of(&[0, 65]);
        for columns in ["60", "80", "120", "200"] {
            for args in
                [&["list", "--limit", "500"] as &[_], &["list", "--view", "http"], &["show", "7"]]
            {
                // Whole times and actions, which are never cut, with method and status need more.
                if columns == "60" && args.contains(&"http") {
                    continue;
                }
                let out = sandbox.run_with_env(&[("COLUMNS", columns)], args).ok();
                let width = columns.parse::<usize>().unwrap();
                for line in out.stdout().lines() {
                    let wide = unicode_width::UnicodeWidthStr::width(line);
                    assert!(wide <= width, "{file}, {args:?} at {columns}: {wide}\n{line}");
                }
            }
        }
    }
}
