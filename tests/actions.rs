//! `activity actions`: the vocabulary of a log.

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;

#[test]
fn actions_are_listed_with_their_count_and_last_time() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        r#"{"action":"user.edit","occurred_at":"2025-01-01T00:00:00Z"}"#,
        r#"{"action":"user.edit","occurred_at":"2025-01-03T00:00:00Z"}"#,
        r#"{"action":"user.edit","occurred_at":"2025-01-02T00:00:00Z"}"#,
        r#"{"action":"auth.login","occurred_at":"2025-01-04T00:00:00Z"}"#,
    ]));
    insta::assert_snapshot!(sandbox.run(["actions"]), @"
    ACTION      EVENTS  LAST SEEN                 RHYTHM
    auth.login       1  2025-01-04T00:00:00.000Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    user.edit        3  2025-01-03T00:00:00.000Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    [exit status: 0]
    ");
    let rows = sandbox.run(["actions", "--json"]).ok().no_stderr().json_lines();
    let facts: Vec<_> =
        rows.iter().map(|row| (row["action"].clone(), row["count"].clone())).collect();
    assert!(facts.contains(&(json!("user.edit"), json!(3))), "{rows:?}");
    assert!(facts.contains(&(json!("auth.login"), json!(1))), "{rows:?}");
    assert_eq!(facts.len(), 2);
    let edited = rows.iter().find(|row| row["action"] == "user.edit").unwrap();
    let times: Vec<&Value> = edited.as_object().unwrap().values().collect();
    assert!(times.contains(&&json!("2025-01-03T00:00:00Z")), "when it was last seen: {edited}");
}

#[test]
fn every_action_of_the_log_is_there_once() {
    let sandbox = Sandbox::with_events();
    sandbox.ingest(join_lines([
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
    assert_eq!(counts.values().sum::<u64>(), sandbox.log().event_count());
}

#[test]
fn families_have_totals_and_an_order() {
    let sandbox = Sandbox::new();
    let event = |action: &str, day: u32| {
        json!({"action": action, "occurred_at": format!("2025-01-0{day}T00:00:00Z"),
               "actor_id": day.to_string()})
        .to_string()
    };
    sandbox.ingest(join_lines([
        event("user.edit", 1),
        event("user.edit", 2),
        event("user.suspend", 3),
        event("auth.login", 4),
        event("backup", 5),
    ]));
    insta::assert_snapshot!(sandbox.run(["actions"]), @"
    ACTION        EVENTS  LAST SEEN                 RHYTHM
    auth.login         1  2025-01-04T00:00:00.000Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    backup             1  2025-01-05T00:00:00.000Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    user.*             3  2025-01-03T00:00:00.000Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    user.edit          2  2025-01-02T00:00:00.000Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    user.suspend       1  2025-01-03T00:00:00.000Z  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    [exit status: 0]
    ");
    let listed = |args: &[&str]| -> Vec<String> {
        let out = sandbox.run([&["actions"], args].concat()).ok();
        out.stdout().lines().skip(1).map(|line| line[..13].trim().to_owned()).collect()
    };
    let by_count = ["user.*", "user.edit", "user.suspend", "backup", "auth.login"];
    assert_eq!(listed(&["--sort", "count"]), by_count);
    let by_last = ["backup", "auth.login", "user.*", "user.suspend", "user.edit"];
    assert_eq!(listed(&["--sort", "last"]), by_last);
    assert_eq!(listed(&["actor:2,4"]), ["auth.login", "user.edit"]);
    assert_eq!(listed(&["--action", "user.*", "--sort", "name"]).len(), 3);
    let out = sandbox.run(["actions", "actor:9"]).ok().no_stdout();
    assert_eq!(out.stderr(), "no events match actor:9\n");
    sandbox
        .run(["actions", "--sort", "size"])
        .exits(2)
        .stderr_has("none of count, name, last")
        .done();
}

#[test]
fn an_empty_log_has_no_actions() {
    let sandbox = Sandbox::new();
    sandbox.run(["actions"]).exits(66).no_stdout().stderr_is_one_error().done();
}

/// An action that came so often on each day up to so many days ago.
fn daily_events(action: &str, a_day: i64, until_days_ago: i64) -> String {
    join_lines((until_days_ago..25).flat_map(|days| {
        (0..a_day).map(move |n| {
            let at = clock::seconds_ago(days * 86_400 + 3_600 + n);
            format!(r#"{{"action":"{action}","occurred_at":"{at}"}}"#)
        })
    }))
}

#[test]
fn what_has_stopped_is_said_to_have_gone_quiet() {
    let sandbox = Sandbox::new();
    sandbox.ingest(daily_events("signin.email_sent", 14, 4) + &daily_events("auth.login", 3, 0));
    let out = sandbox.run(["actions"]).ok().no_stderr();
    let lines: Vec<&str> = out.stdout().lines().skip(1).collect();
    assert!(lines[0].starts_with("auth.login ") && !lines[0].contains("quiet"), "{out}");
    assert!(lines[1].starts_with("signin.email_sent "), "{out}");
    assert!(lines[1].ends_with("   gone quiet, normally 14 a day"), "{out}");
    let rows = sandbox.run(["actions", "--json"]).ok().json_lines();
    assert_eq!(rows[0].get("gone_quiet"), None, "{rows:?}");
    let last = rows[1]["last_seen"].clone();
    assert_eq!(rows[1]["gone_quiet"], json!({"normally": "14 a day", "last": last}));
    // The digest says the same of it.
    let digest = sandbox.run(["digest", "--json"]).ok().json();
    assert_eq!(digest["gone_quiet"][0]["name"], "signin.email_sent");
    assert_eq!(digest["gone_quiet"][0]["normally"], "14 a day");
    assert_eq!(digest["gone_quiet"][0]["last"], last);
    assert_eq!(digest["gone_quiet"].as_array().unwrap().len(), 1, "{digest}");
}

#[test]
fn an_event_dated_ahead_hides_no_silence() {
    let sandbox = Sandbox::new();
    let ahead = r#"{"action":"signin.email_sent","occurred_at":"2099-01-01T00:00:00Z"}"#;
    sandbox.ingest(daily_events("signin.email_sent", 14, 4) + ahead + "\n");
    let row = sandbox.run(["actions", "--stale", "--json"]).exits(1).json();
    assert_eq!(row["last_seen"], "2099-01-01T00:00:00Z");
    assert_ne!(row["gone_quiet"]["last"], row["last_seen"]);
    assert_eq!(row["gone_quiet"]["normally"], "14 a day");
}

#[test]
fn stale_lists_only_what_has_gone_quiet_and_exits_1() {
    let sandbox = Sandbox::new();
    sandbox.ingest(daily_events("auth.login", 3, 0));
    let out = sandbox.run(["actions", "--stale"]).ok().no_stdout();
    assert_eq!(out.stderr(), "no action has gone quiet\n");
    sandbox.run(["actions", "--stale", "--quiet"]).ok().no_stdout().no_stderr().done();
    sandbox.run(["actions", "--stale", "--json"]).ok().no_stdout().done();
    sandbox.ingest(daily_events("signin.email_sent", 14, 4));
    let out = sandbox.run(["actions", "--stale"]).exits(1).no_stderr();
    assert_eq!(out.stdout().lines().count(), 2, "{out}");
    assert!(out.stdout().contains("signin.email_sent"), "{out}");
    let row = sandbox.run(["actions", "--stale", "--json"]).exits(1).json();
    assert_eq!(row["action"], "signin.email_sent");
    // What stands outside the times of a query has not stopped.
    let out = sandbox.run(["actions", "until:2d"]).ok();
    assert!(out.stdout().contains("auth.login") && !out.stdout().contains("quiet"), "{out}");
    sandbox.run(["actions", "--stale", "--days", "3"]).exits(2).stderr_is_one_error().done();
    let stale = sandbox.run(["actions", "--stale", "action:signin.*"]).exits(1);
    assert_eq!(stale.stdout().lines().count(), 2, "{stale}");
}

#[test]
fn a_narrow_page_has_fewer_days_and_cuts_nothing() {
    let sandbox = Sandbox::new();
    sandbox.ingest(daily_events("signin.email_sent", 14, 4));
    let width = |columns: &str| {
        let variables = [("COLUMNS", columns)];
        let out = sandbox.run_with_env(&variables, ["actions"]).ok();
        let row = out.stdout().lines().nth(1).unwrap().to_owned();
        assert!(row.ends_with("   gone quiet, normally 14 a day"), "{row}");
        (row.chars().count(), row.chars().filter(|c| ('▁'..='█').contains(c)).count())
    };
    let (whole, days) = width("200");
    assert_eq!(days, 14);
    assert_eq!(width(&(whole - 3).to_string()), (whole - 3, 11));
    assert_eq!(width("20"), (whole - 7, 7));
}
