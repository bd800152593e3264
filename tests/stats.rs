//! `activity stats` and `activity list --count`: how many.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::join_lines;

/// A log of two weeks: logins by day, a person with two labels, two persons of one name.
fn two_weeks() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut lines = Vec::new();
    for day in 2..16 {
        for hour in 0..day {
            lines.push(
                json!({
                    "action": if hour % 3 == 0 { "user.edit" } else { "auth.login" },
                    "occurred_at": format!("2026-11-{day:02}T{hour:02}:30:00Z"),
                    "actor_id": if hour % 2 == 0 { "17" } else { "18" },
                    "actor_label": if hour % 2 == 0 && day > 8 { "James Compton" } else { "Sipho Müller" },
                    "severity": if hour == 0 { "high" } else { "info" },
                    "status_code": if hour == 1 { 401 } else { 200 },
                })
                .to_string(),
            );
        }
        lines.push(
            json!({"action": "backup.made", "source": "cron",
                "occurred_at": format!("2026-11-{day:02}T23:45:00Z")})
            .to_string(),
        );
    }
    sandbox.ingest(join_lines(lines));
    sandbox
}

/// The groups of the first table, by the value of a field.
fn groups(report: &Value, name: &str) -> BTreeMap<String, u64> {
    let groups = report["tables"][0]["groups"].as_array().unwrap();
    let pair = |group: &Value| {
        let value = group.get(name).map_or("-", |value| value.as_str().unwrap());
        (value.to_owned(), group["events"].as_u64().unwrap())
    };
    groups.iter().map(pair).collect()
}

fn report(sandbox: &Sandbox, args: &[&str]) -> Value {
    let args = ["stats", "--json"].iter().chain(args);
    sandbox.run(args).ok().no_stderr().json()
}

#[test]
fn the_first_day_of_all_is_a_day() {
    let sandbox = Sandbox::new();
    // The least time that there is, whose day began before it.
    let event = json!({"action": "a.b", "occurred_at": "1677-09-21T00:12:43.145224193Z"});
    sandbox.ingest(event.to_string());
    for query in [&[][..], &["action:a.b"]] {
        let by_day = report(&sandbox, &[&["--by", "day"], query].concat());
        assert_eq!(groups(&by_day, "day"), BTreeMap::from([("1677-09-21".to_owned(), 1)]));
        let page = report(&sandbox, query);
        assert_eq!(groups(&page, "day"), BTreeMap::from([("1677-09-21".to_owned(), 1)]));
    }
}

#[test]
fn without_by_it_counts_by_day_action_and_actor() {
    let sandbox = two_weeks();
    let report = report(&sandbox, &[]);
    assert_eq!(report["events"], 133);
    assert_eq!(report["people"], 2);
    let by: Vec<_> =
        report["tables"].as_array().unwrap().iter().map(|table| &table["by"]).collect();
    assert_eq!(by, [&json!(["day"]), &json!(["action"]), &json!(["actor"])]);
    let days = groups(&report, "day");
    assert_eq!(days.len(), 14);
    assert_eq!((days["2026-11-02"], days["2026-11-15"]), (3, 16));
}

#[test]
fn every_path_to_the_events_counts_the_same() {
    let sandbox = two_weeks();
    let rows = sandbox.run(["list", "--json", "--limit", "1000"]).ok().json_lines();
    for field in ["action", "source", "severity", "actor_id", "status_code"] {
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        for row in &rows {
            let value = row.get(field).map_or("-".to_owned(), |value| {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            });
            *counted.entry(value).or_insert(0) += 1;
        }
        let whole = groups(&report(&sandbox, &["--by", field]), field);
        assert_eq!(whole, counted, "{field} of the whole log");
        // Conditions that hold for all events lead to them by other indexes.
        for query in
            ["since:2026-11-01", "-action:nothing", "action:*", "since:2026-11-01 id:1-999"]
        {
            let found = groups(&report(&sandbox, &["--by", field, query]), field);
            assert_eq!(found, counted, "{field} of {query}");
        }
    }
}

#[test]
fn periods_are_those_of_the_zone() {
    let sandbox = two_weeks();
    for query in ["", "action:*"] {
        let days = groups(&report(&sandbox, &["--by", "day", "--tz", "+01:00", query]), "day");
        // The backups at 23:45 UTC are the next day's.
        assert_eq!((days["2026-11-02"], days["2026-11-16"]), (2, 1), "{query}");
        let weeks = groups(&report(&sandbox, &["--by", "week", query]), "week");
        assert_eq!(weeks.keys().collect::<Vec<_>>(), ["2026-11-02", "2026-11-09"], "{query}");
        let months = groups(&report(&sandbox, &["--by", "month", query]), "month");
        assert_eq!(months, BTreeMap::from([("2026-11".to_owned(), 133)]), "{query}");
        let hours = groups(&report(&sandbox, &["--by", "hour", "--tz", "+05:30", query]), "hour");
        assert_eq!(hours["2026-11-02T06:00+05:30"], 1, "{query}");
    }
}

#[test]
fn a_period_without_events_is_shown_as_none() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines(
        ["2026-11-01T00:00:00Z", "2026-11-04T23:59:59.999999999Z"]
            .map(|at| json!({"action": "a", "occurred_at": at}).to_string()),
    ));
    let days = groups(&report(&sandbox, &["--by", "day"]), "day");
    assert_eq!(days.values().copied().collect::<Vec<_>>(), [1, 0, 0, 1]);
    let bounded = ["--by", "day", "since:2026-10-31", "until:2026-11-03"];
    let days = groups(&report(&sandbox, &bounded), "day");
    let wanted = [("2026-10-31", 0), ("2026-11-01", 1), ("2026-11-02", 0)];
    assert_eq!(days, wanted.map(|(day, count)| (day.to_owned(), count)).into());
}

#[test]
fn one_id_is_one_person_and_one_name_may_be_two() {
    let sandbox = two_weeks();
    insta::assert_snapshot!(sandbox.run(["stats", "--by", "actor", "--top", "5"]).ok().stdout());
    sandbox.ingest(r#"{"action":"a","tenant":"one","actor_id":"17","actor_label":"Ann"}"#);
    sandbox.ingest(r#"{"action":"a","tenant":"two","actor_id":"17","actor_label":"Bob"}"#);
    let people = groups(&report(&sandbox, &["--by", "actor"]), "actor_label");
    assert_eq!((people["Ann"], people["Bob"]), (1, 1), "one id in two tenants is two persons");
}

#[test]
fn a_cross_table_has_the_first_down_and_the_second_across() {
    let sandbox = two_weeks();
    insta::assert_snapshot!(
        sandbox
            .run([
                "stats",
                "--by",
                "day",
                "--by",
                "severity",
                "since:2026-11-12",
                "until:2026-11-18"
            ])
            .ok()
            .stdout()
    );
    let report = report(&sandbox, &["--by", "severity", "--by", "source"]);
    let total: u64 = report["tables"][0]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["events"].as_u64().unwrap())
        .sum();
    assert_eq!(total, 133);
}

#[test]
fn what_is_not_at_the_top_is_summed() {
    let sandbox = two_weeks();
    let report = report(&sandbox, &["--by", "action", "--top", "1"]);
    let table = &report["tables"][0];
    let shown = table["groups"][0]["events"].as_u64().unwrap();
    assert_eq!(table["more"], json!({"groups": 2, "events": 133 - shown}));
}

#[test]
fn pages_fit_their_width_and_say_the_scale() {
    let sandbox = two_weeks();
    for width in ["60", "80", "120", "200"] {
        for args in [
            &["stats"][..],
            &["stats", "--by", "action"],
            &["stats", "--by", "day", "--by", "actor"],
        ] {
            let out = sandbox.run_with_env(&[("COLUMNS", width)], args).ok();
            let out = out.stdout();
            let widest = out.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.parse().unwrap(), "{args:?} at {width}: {widest}\n{out}");
            if args.len() < 4 {
                assert!(
                    out.contains('█') && (out.contains("one █ is") || out.contains("█=")),
                    "{out}"
                );
            }
        }
    }
    insta::assert_snapshot!(sandbox.run_with_env(&[("COLUMNS", "120")], ["stats"]).ok().stdout());
}

#[test]
fn foreign_text_is_escaped() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a","actor_id":"1","actor_label":"\u001b[2Jx\u202e"}"#);
    let out = sandbox.run(["stats"]).ok();
    let out = out.stdout();
    assert!(out.contains("\\e[2Jx\\u{202e}"), "{out}");
}

#[test]
fn what_cannot_be_counted_by_is_refused() {
    let sandbox = two_weeks();
    let refused = |args: &[&str]| sandbox.run(args).exits(2).stderr().to_owned();
    assert!(refused(&["stats", "--by", "acton"]).contains("did you mean action?"));
    assert!(
        refused(&["stats", "--by", "hash"]).contains("nearly every event has a hash of its own")
    );
    assert!(refused(&["stats", "--by", "day", "--by", "day"]).contains("are the same"));
    assert!(refused(&["stats", "--by", "a", "--by", "b", "--by", "c"]).contains("--by"));
}

#[test]
fn nothing_counted_is_said() {
    let sandbox = two_weeks();
    let out = sandbox.run(["stats", "action:none"]).ok();
    assert!(out.stderr().contains("no events match action:none"), "{}", out.stderr());
    assert_eq!(report(&sandbox, &["action:none"])["events"], 0);
}

#[test]
fn count_prints_the_number_alone() {
    let sandbox = two_weeks();
    let count = |args: &[&str]| {
        let args = ["list", "--count"].iter().chain(args);
        sandbox.run(args).ok().no_stderr().stdout().to_owned()
    };
    assert_eq!(count(&[]), "133\n");
    assert_eq!(count(&["action:backup.made"]), "14\n");
    assert_eq!(count(&["action:none"]), "0\n");
    sandbox.run(["list", "--count", "--limit", "5"]).exits(2).done();
}
