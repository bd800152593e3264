//! `activity actions`: the vocabulary of a log.

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::lines;

#[test]
fn actions_are_listed_with_their_count_and_last_time() {
    let sandbox = Sandbox::new();
    sandbox.ingest(lines([
        r#"{"action":"user.edit","occurred_at":"2025-01-01T00:00:00Z"}"#,
        r#"{"action":"user.edit","occurred_at":"2025-01-03T00:00:00Z"}"#,
        r#"{"action":"user.edit","occurred_at":"2025-01-02T00:00:00Z"}"#,
        r#"{"action":"auth.login","occurred_at":"2025-01-04T00:00:00Z"}"#,
    ]));
    insta::assert_snapshot!(sandbox.run(["actions"]), @"
    ACTION      EVENTS  LAST SEEN             RHYTHM
    auth.login       1  2025-01-04T00:00:00Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    user.edit        3  2025-01-03T00:00:00Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    [exit status: 0]
    ");
    let rows = sandbox.run(["actions", "--json"]).ok().no_stderr().json_lines();
    let facts: Vec<_> =
        rows.iter().map(|row| (row["action"].clone(), row["count"].clone())).collect();
    assert!(facts.contains(&(json!("user.edit"), json!(3))), "{rows:?}");
    assert!(facts.contains(&(json!("auth.login"), json!(1))), "{rows:?}");
    assert_eq!(facts.len(), 2);
    let edited = rows.iter().find(|row| row["action"] == "user.edit").unwrap();
    let told: Vec<&Value> = edited.as_object().unwrap().values().collect();
    assert!(told.contains(&&json!("2025-01-03T00:00:00Z")), "when it was last seen: {edited}");
}

#[test]
fn every_action_of_the_log_is_there_once() {
    let sandbox = Sandbox::with_events();
    sandbox.ingest(lines([
        r#"{"action":"user.edit","module":"another"}"#.to_owned(),
        format!(r#"{{"action":"user.edit","occurred_at":"{}"}}"#, clock::seconds_ago(60)),
    ]));
    let rows = sandbox.run(["actions", "--json"]).ok().json_lines();
    let mut counts = std::collections::BTreeMap::new();
    for row in &rows {
        *counts.entry(row["action"].as_str().unwrap()).or_insert(0) +=
            row["count"].as_u64().unwrap();
    }
    assert_eq!(counts.len(), 8, "{rows:?}");
    assert_eq!(counts["user.edit"], 3);
    assert_eq!(counts.values().sum::<u64>(), sandbox.log().count());
}

#[test]
fn an_empty_log_has_no_actions() {
    let sandbox = Sandbox::new();
    sandbox.run(["actions"]).exits(66).no_stdout().tells_one_error().done();
}
