//! Repeats of an event and conflicts under its id.

use serde_json::json;

use crate::support::Sandbox;
use crate::support::join_lines;

#[test]
fn the_same_event_again_is_a_duplicate() {
    let sandbox = Sandbox::new();
    let event = r#"{"action":"a","event_id":"e1","occurred_at":"2025-01-01T00:00:00Z","ip":"::1",
        "payload":{"k":1,"l":"é"},"severity":"error","actor_id":3}"#
        .replace('\n', " ");
    sandbox.ingest(&event);
    for repeat in [
        event.as_str(),
        // Values are compared as taken in, JSON by value.
        r#"{"event_id":"e1","action":"A","occurred_at":"2025-01-01T02:00:00.0+02:00","ip":"0:0::1",
            "payload":{"l":"\u00e9" , "k":1},"severity":"high","user_id":"3"}"#,
        // What is not given is not compared.
        r#"{"event_id":"e1","action":"a"}"#,
        r#"{"event_id":"e1","action":"a","title":"","payload":null}"#,
    ] {
        let repeat = repeat.replace('\n', " ");
        let out = sandbox.run_with_input(["ingest"], &repeat).ok();
        assert_eq!(out.stderr(), "ingested 0, duplicates 1, rejected 0\n", "{repeat}");
    }
    sandbox.assert_sound_with(1);
}

#[test]
fn another_value_in_a_given_field_is_a_conflict() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        r#"{"action":"a","event_id":"e1","occurred_at":"2025-01-01T00:00:00Z","payload":{"k":1}}"#,
    );
    for (field, value) in [
        ("action", r#""b""#),
        ("occurred_at", r#""2025-01-01T00:00:00.000000001Z""#),
        ("title", r#""T""#),
        ("actor_id", r#""3""#),
        ("actor_label", r#""J""#),
        ("impersonator_id", r#""3""#),
        ("target_type", r#""user""#),
        ("target_id", r#""17""#),
        ("module", r#""auth""#),
        ("severity", r#""high""#),
        ("source", r#""cron""#),
        ("ip", r#""::1""#),
        ("user_agent", r#""curl""#),
        ("session_id", r#""s""#),
        ("method", r#""GET""#),
        ("endpoint", r#""/""#),
        ("status_code", "200"),
        ("diff", r#"{"x":{"after":1}}"#),
        ("payload", r#"{"k":1.0}"#),
    ] {
        let mut event = json!({"event_id":"e1","action":"a"});
        event[field] = serde_json::from_str(value).unwrap();
        sandbox.write("again.jsonl", event.to_string());
        let out = sandbox.run(["ingest", "again.jsonl"]).exits(65);
        let first = out.stderr().lines().next().unwrap();
        assert!(first.starts_with("again.jsonl:1: ") && first.contains(field), "{field}\n{out}");
        assert!(out.stderr().contains("\ningested 0, duplicates 0, rejected 1\n"), "{out}");
    }
    sandbox.assert_sound_with(1);
}

#[test]
fn an_event_id_is_unique_within_its_tenant() {
    let sandbox = Sandbox::new();
    let events = [
        r#"{"action":"a","event_id":"e1"}"#,
        r#"{"action":"b","event_id":"e1","tenant":"one"}"#,
        r#"{"action":"c","event_id":"e1","tenant":"two"}"#,
    ];
    sandbox.ingest(join_lines(events));
    sandbox.assert_sound_with(3);
    let out = sandbox.run_with_input(["ingest"], join_lines(events)).ok();
    assert_eq!(out.stderr(), "ingested 0, duplicates 3, rejected 0\n");
    let other = r#"{"action":"x","event_id":"e1","tenant":"two"}"#;
    sandbox.run_with_input(["ingest"], other).exits(65).done();
    sandbox.assert_sound_with(3);
}

#[test]
fn a_uuid_in_other_spellings_is_another_text() {
    let sandbox = Sandbox::new();
    let uuid = "0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7";
    let ids = [uuid.to_owned(), uuid.to_uppercase(), uuid.replace('-', "")];
    sandbox
        .ingest(join_lines(ids.iter().map(|id| json!({"action":"a","event_id":id}).to_string())));
    let stored: Vec<_> =
        sandbox.stored_events().iter().map(|event| event["event_id"].clone()).collect();
    assert_eq!(stored, ids);
}

#[test]
fn a_conflict_by_flags_is_65_and_a_repeat_is_fine() {
    let sandbox = Sandbox::new();
    let args = ["ingest", "--json", "--event-id", "e1", "--action"];
    let with = |action: &'static str| args.iter().copied().chain([action]).collect::<Vec<_>>();
    let first = sandbox.run(with("a")).ok().json();
    assert_eq!(first, json!({"ingested":1,"duplicates":0,"rejected":0,"id":1,"event_id":"e1"}));
    let again = sandbox.run(with("a")).ok().json();
    assert_eq!(again, json!({"ingested":0,"duplicates":1,"rejected":0,"id":1,"event_id":"e1"}));
    sandbox.run(with("b")).exits(65).stderr_has("action").done();
    sandbox.assert_sound_with(1);
}

#[test]
fn repeats_within_one_input_are_found() {
    let sandbox = Sandbox::new();
    let one = r#"{"action":"a","event_id":"e1"}"#;
    let other = r#"{"action":"b","event_id":"e1"}"#;
    sandbox.write("in.jsonl", join_lines([one, one, other]));
    let out = sandbox.run(["ingest", "in.jsonl"]).exits(65);
    assert!(out.stderr().starts_with("in.jsonl:3: "), "{out}");
    assert!(out.stderr().contains("\ningested 1, duplicates 1, rejected 1\n"), "{out}");
}
