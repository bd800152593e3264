//! What every engine of the log must do, as one story: a log and its copies in every store answer every
//! command that reads with the same words.
//!
//! The log of a host is what the unit tests of `store::conformance` hold; here the copies are held to it.

use serde_json::Value;
use serde_json::json;

use crate::central::Numbers;
use crate::mirrors::stores::StoreOfTest;
use crate::mirrors::stores::Stores;
use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;

/// Queries of every kind, by an index, by time, and such as only the program can answer.
const QUERIES: [&str; 16] = [
    "",
    "actor:a",
    "actor:strasse,17",
    "person:a",
    "target:user/17",
    "target:\"a b\",1",
    "-is:system",
    "action:user.*",
    "action:user,x -actor:a",
    "is:failed",
    "σίσυφος",
    "has:payload severity:medium",
    "payload.k:17",
    "on:2026-11-20 ip:192.0.2.0/24",
    "tenant:a event:e*",
    "nobody-has-this-name",
];

/// The fields that a list can be sorted by, and those of its columns that are none. Without `event_id`: a
/// log has ids that are no UUID before the others, and a store has all by their text.
const SORTS: [&str; 30] = [
    "when",
    "actor",
    "target",
    "id",
    "occurred_at",
    "recorded_at",
    "recorded_by",
    "tenant",
    "source",
    "severity",
    "module",
    "action",
    "title",
    "description",
    "actor_id",
    "actor_label",
    "impersonator_id",
    "impersonator_label",
    "target_type",
    "target_id",
    "target_label",
    "diff",
    "payload",
    "ip",
    "user_agent",
    "session_id",
    "method",
    "endpoint",
    "status_code",
    "hash",
];

/// Without `target`: of two labels of one id that were recorded at the same moment a log shows that of the
/// later event, and a store any.
const GROUPINGS: [&str; 13] = [
    "action", "actor", "tenant", "module", "source", "severity", "status", "method", "ip", "hour",
    "day", "week", "month",
];

/// The ids that emitters gave to the events, as in the story of the log itself.
const EVENT_IDS: [&str; 6] = [
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "01890a5d-ac96-774b-bcce-b302099a8058",
    "01890a5d",
    "evt-\u{d7ff}1",
    "evt-\u{10ffff}",
    "ffffffff-ffff-4fff-bfff-ffffffffffff",
];

/// A log of hostile and of special events, copied to every store.
struct CopiedLog {
    host: Sandbox,
    stores: Stores,
}

impl CopiedLog {
    /// Returns `None` where every server is missing.
    fn start() -> Option<Self> {
        let stores = Stores::start()?;
        let host = Sandbox::new();
        host.write("config.toml", stores.config(&host));
        let mut numbers = Numbers(11);
        let hostile = (0..150).map(|number| numbers.event(number));
        let named = EVENT_IDS.map(|id| json!({"action": "a.b", "event_id": id}));
        let tenants = ["a", "b"]
            .map(|tenant| json!({"action": "a.b", "tenant": tenant, "event_id": "twice"}));
        // The least and the greatest time, and a number that no float has.
        let extreme = ["1677-09-21T00:12:43.145224193Z", "2262-04-11T23:47:16.854775807Z"].map(|at| {
            json!({"action": "time.edge", "occurred_at": at, "payload": {"n": 9_007_199_254_740_993_i64}})
        });
        let failures = (0..8).map(|hours| {
            let at = clock::seconds_ago(hours * 3_600);
            json!({"action": "auth.login_failed", "occurred_at": at, "status_code": 401})
        });
        let all = hostile.chain(named).chain(tenants).chain(extreme).chain(failures);
        host.ingest(join_lines(all.map(|event| event.to_string())));
        host.run(["mirror"]).ok().done();
        Some(Self { host, stores })
    }

    /// Runs a command on the log and on every store, and compares what they say.
    #[track_caller]
    fn compare(&self, args: &[&str]) -> Output {
        self.compare_lines(args, |_| true)
    }

    /// Compares those lines of what they say that count.
    #[track_caller]
    fn compare_lines(&self, args: &[&str], counts: fn(&str) -> bool) -> Output {
        let local = self.host.run(args);
        for store in self.stores.all() {
            let central = self.run(&store, args);
            let engine = store.engine;
            assert_eq!(central.code, local.code, "{engine}: {args:?}\n{central}\n{local}");
            let (central, local) = (without_log(&central, counts), without_log(&local, counts));
            assert_eq!(central, local, "{engine}: {args:?}");
        }
        local
    }

    fn run(&self, store: &StoreOfTest, args: &[&str]) -> Output {
        self.host.run(["--db", &store.url].iter().chain(args))
    }
}

/// The output as those lines that count, where JSON without the name of the log.
fn without_log(output: &Output, counts: fn(&str) -> bool) -> Vec<Value> {
    let line = |line: &str| match serde_json::from_str(line) {
        Ok(Value::Object(mut object)) => {
            object.shift_remove("log");
            Value::Object(object)
        }
        Ok(_) | Err(_) => line.into(),
    };
    output.stdout().lines().filter(|text| counts(text)).map(line).collect()
}

#[test]
fn every_store_answers_as_the_log_does() {
    let Some(log) = CopiedLog::start() else { return };
    for query in QUERIES {
        let list = |more: &[&str]| log.compare(&[&["list"], more, &["--", query]].concat());
        list(&["--json"]).done();
        list(&["--json", "--reverse", "--limit", "9"]).done();
        list(&["--json", "--limit", "7", "--page", "3"]).done();
        list(&["--count"]).done();
        list(&["--json", "--around", "40"]).done();
        list(&["--json", "--days", "3"]).done();
        log.compare(&["search-actor", "--json", "a", "--", query]).done();
        log.compare(&["search-target", "--json", "user/17", "--", query]).done();
        // A log knows all its tenants; a store those that it has found, and it names them where there are
        // several.
        if !query.contains("tenant:") {
            log.compare(&["stats", "--json", "--", query]).done();
            log.compare(&["stats", "--", query]).done();
            log.compare(&["stats", "--json", "--by", "actor", "--by", "day", "--", query]).done();
        }
    }
}

#[test]
fn every_store_sorts_as_the_log_does() {
    let Some(log) = CopiedLog::start() else { return };
    for field in SORTS {
        for direction in ["asc", "desc"] {
            let sort = format!("{field}:{direction}");
            let list = ["list", "--json", "--sort", &sort, "--limit", "200"];
            // PostgreSQL has no NUL, and what stands for it comes last.
            log.compare_lines(&list, |line| !line.contains("\\u0000")).ok().done();
        }
    }
}

#[test]
fn every_store_counts_as_the_log_does() {
    let Some(log) = CopiedLog::start() else { return };
    for by in GROUPINGS {
        log.compare(&["stats", "--json", "--by", by]).ok().done();
        log.compare(&["stats", "--by", by, "--top", "3", "-is:system"]).ok().done();
    }
    log.compare(&["actions"]).ok().done();
    log.compare(&["actions", "--json"]).ok().done();
}

#[test]
fn every_store_finds_one_event_as_the_log_does() {
    let Some(log) = CopiedLog::start() else { return };
    for id in (1..=EVENT_IDS.len() + 160).step_by(3) {
        log.compare(&["show", "--json", &id.to_string()]).ok().done();
    }
    let wanted = [
        "01890a5d-",
        "01890a5",
        "01890a5d-ac96-774b-bcce-b302099a8058x",
        "01890A5D-",
        "evt-\u{d7ff}",
        "evt-\u{10ffff}",
        "\u{10ffff}",
        "f",
        "twice",
        "e1",
        "9999",
    ];
    for id in EVENT_IDS.into_iter().chain(wanted) {
        log.compare(&["show", "--json", "--", id]).done();
    }
    for person in ["a", "A", "strasse", "σίσυφοσ", "17", "100%", "a*", "nobody"] {
        let text = ["--columns", "action,title", "--limit", "5"];
        log.compare(&[&["search-actor", "--json", person], &text[..]].concat()).done();
        log.compare(&["search-target", "--json", person]).done();
    }
}

#[test]
fn every_store_exports_what_the_log_does() {
    let Some(log) = CopiedLog::start() else { return };
    // Each export is an event of the log, which its copies do not have yet.
    let others = "-action:log.*";
    for query in QUERIES {
        log.compare(&["export", "--jsonl", "--", others, query]).ok().done();
    }
    for columns in ["id,action,title", "event_id,actor_label,diff,payload,hash"] {
        let csv = |args: &[&str]| String::from_utf8(log.host.run(args).ok().out).unwrap();
        let local = csv(&["export", "--csv", "--columns", columns, "--", others]);
        for store in log.stores.all() {
            let export =
                ["--db", &store.url, "export", "--csv", "--columns", columns, "--", others];
            let central = csv(&export);
            // The name of the log is the first column, and no host has a quote in its name.
            let rows: String = central
                .split_inclusive('\n')
                .map(|line| match line.split_once("\",") {
                    Some((log, rest)) if !log.contains(',') => rest,
                    Some(_) | None => line,
                })
                .collect();
            assert_eq!(rows, local, "{}", store.engine);
        }
    }
}

#[test]
fn every_store_says_how_the_log_fares() {
    let Some(log) = CopiedLog::start() else { return };
    let last = log.host.run(["list", "--json", "--limit", "1", "--sort", "id:desc"]).ok().json();
    let status = ["mirror", "status", "--json"];
    for store in log.stores.all() {
        let rows = log.run(&store, &status).ok().json_lines();
        assert_eq!(rows.len(), 1, "{}", store.engine);
        let row = &rows[0];
        assert_eq!((&row["delivered"], &row["waiting"]), (&last["id"], &json!(0)), "{row}");
        assert_eq!((&row["head"]["hash"], &row["silent"]), (&last["hash"], &json!(false)), "{row}");
        log.run(&store, &["mirror", "status", "--max-lag", "1h"]).ok().done();
    }
    log.host.ingest(json!({"action": "late.event"}).to_string());
    log.host.run(["mirror"]).ok().done();
    for store in log.stores.all() {
        let rows = log.run(&store, &status).ok().json_lines();
        assert_eq!(rows[0]["delivered"], json!(last["id"].as_i64().unwrap() + 1));
    }
}

#[test]
fn every_store_finds_events_of_any_time_at_once() {
    let Some(log) = CopiedLog::start() else { return };
    // A month that a mirror makes ahead, and times for which there is none, all without events until now.
    let times = [-40, -900].map(|days| clock::seconds_ago(days * 86_400));
    let past = ["1999-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z"].map(str::to_owned);
    for at in times.into_iter().chain(past) {
        log.host.ingest(json!({"action": "odd.time", "occurred_at": at}).to_string());
        log.host.run(["mirror"]).ok().done();
        for query in ["", "action:odd.time", "action:odd.time,a.b,x"] {
            for page in [&["--limit", "3"][..], &["--limit", "100", "--reverse"]] {
                log.compare(&[&["list", "--json"], page, &["--", query]].concat()).ok().done();
            }
        }
        log.compare(&["list", "--json", "--limit", "3", "--page", "2"]).ok().done();
    }
}
