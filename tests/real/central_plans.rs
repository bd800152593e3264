//! What PostgreSQL does for a command: it says itself, by `auto_explain`, which rows it looks at.
//!
//! A page of fifty must not cost more where the store grows: no month is read from end to end, and
//! nothing is sorted but what a few steps along an index have found.

use serde_json::Value;
use serde_json::json;

use crate::mirrors::postgres::Cluster;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::wait;

const EVENTS: usize = 12_000;
/// The months that the events are spread over.
const DAYS: i64 = 90;

/// What was done for one command, over all statements about events.
#[derive(Debug, Default)]
struct Effort {
    /// The rows of tables of events that were looked at.
    rows: f64,
    /// The most rows that were sorted at once.
    sorted: f64,
    /// The tables that were read from end to end, of those that have events.
    scanned: Vec<String>,
}

impl Effort {
    fn add(&mut self, node: &Value) {
        let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
        let loops = number("Actual Loops");
        let rows = number("Actual Rows") * loops;
        let dropped = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        let kind = node["Node Type"].as_str().unwrap();
        let table = node["Relation Name"].as_str().unwrap_or_default();
        if table.starts_with("event") {
            let looked_at = dropped.mul_add(loops, rows);
            self.rows += looked_at;
            if kind == "Seq Scan" && looked_at > 0.0 {
                self.scanned.push(table.to_owned());
            }
        }
        let inner = node["Plans"].as_array().map(Vec::as_slice).unwrap_or_default();
        if kind == "Sort" {
            let input = &inner[0];
            let rows = input["Actual Rows"].as_f64().unwrap_or(0.0);
            self.sorted = self.sorted.max(rows * input["Actual Loops"].as_f64().unwrap_or(0.0));
        }
        inner.iter().for_each(|node| self.add(node));
    }
}

/// A store whose server tells what it does.
struct WatchedStore {
    cluster: Cluster,
    host: Sandbox,
    url: String,
}

impl WatchedStore {
    /// Returns `None` where the server is missing.
    fn start() -> Option<Self> {
        let cluster = Cluster::start()?;
        let url = cluster.owner_url();
        let host = Sandbox::new();
        host.write("config.toml", cluster.config(&host, ""));
        host.run(["--db", &url, "central", "init", "--back", "1y"]).ok().done();
        cluster.sql("activity", "GRANT ALL ON ALL TABLES IN SCHEMA public TO audit");
        for log in 0..3 {
            let other = Sandbox::new();
            other.write("config.toml", cluster.config(&other, ""));
            let events = (0..EVENTS).map(|number| event(log, number).to_string());
            other.ingest(join_lines(events));
            other.run(["mirror"]).ok().done();
        }
        cluster.sql("activity", "VACUUM ANALYZE event");
        for setting in [
            "session_preload_libraries = auto_explain",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_analyze = on",
            "auto_explain.log_timing = off",
            "auto_explain.log_format = json",
        ] {
            cluster.sql("activity", &format!("ALTER DATABASE activity SET {setting}"));
        }
        Some(Self { cluster, host, url })
    }

    /// Runs a command, and returns its output and what the server did for it.
    #[track_caller]
    fn watch(&self, args: &[&str]) -> (Vec<Value>, Effort) {
        let before = self.cluster.read_log().len();
        let out = self.host.run(["--db", &self.url].iter().chain(args)).ok();
        let mut effort = Effort::default();
        let mut statements = 0;
        // The server writes a plan when its statement ends, which may be after the answer.
        wait::until_true("a plan", || {
            let log = self.cluster.read_log();
            let plans: Vec<Value> = plans(&log[before..]);
            statements = plans.len();
            effort = Effort::default();
            plans.iter().for_each(|plan| effort.add(&plan["Plan"]));
            plans.iter().any(|plan| is_about_events(&plan["Plan"]))
        });
        eprintln!("{args:?}: {statements} statements, {effort:?}");
        (out.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).collect(), effort)
    }
}

fn is_about_events(node: &Value) -> bool {
    let inner = node["Plans"].as_array().map(Vec::as_slice).unwrap_or_default();
    node["Relation Name"].as_str().is_some_and(|table| table.starts_with("event"))
        || inner.iter().any(is_about_events)
}

/// The plans of a piece of the server's log: each begins behind a line, and its lines are set in.
fn plans(log: &str) -> Vec<Value> {
    let mut plans = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if line.ends_with("  plan:") {
            let mut text = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
                text.push_str(line);
            }
            plans.extend(serde_json::from_str::<Value>(&text));
        }
    }
    plans
}

/// Many actors, targets and actions, by a multiplier that spreads them over the time.
fn event(log: usize, number: usize) -> Value {
    let spread = number * 7_919 + log * 31;
    let seconds =
        DAYS * 86_400 * i64::try_from(EVENTS - number).unwrap() / i64::try_from(EVENTS).unwrap();
    let action = match spread % 400 {
        0 => "licence.renew".to_owned(),
        1..=60 => "auth.login_failed".to_owned(),
        kind => format!("page.view{}", kind % 20),
    };
    json!({
        "action": action,
        "occurred_at": clock::seconds_ago(seconds),
        "actor_id": (spread % 251).to_string(),
        "actor_label": format!("Somebody {}", spread % 251),
        "target_type": "page",
        "target_id": format!("page-{}", spread % 997),
        "title": format!("Page {}", spread % 997),
        "status_code": if spread % 400 == 5 { 500 } else { 200 },
    })
}

#[test]
fn a_page_takes_a_few_steps_along_an_index() {
    let Some(store) = WatchedStore::start() else { return };
    // A page of fifty, and one row of each month to begin with.
    let page = 50.0 + 40.0;
    for (query, at_most) in [
        ("", page),
        ("actor:17", page),
        ("actor:\"somebody 17\"", page),
        ("actor:17,18,\"Somebody 19\"", 5.0 * page),
        ("target:page-17", page),
        ("target:page/page-17", page),
        ("action:licence.renew", page),
        ("action:licence.*", 2.5 * page),
        ("action:auth.*", 10.0 * page),
        ("is:failed action:page.view1", 25.0 * page),
        ("actor:17 action:auth.*", 200.0),
        ("actor:17 days:3", page),
    ] {
        let query = query.replace("days:3", "since:3d");
        let (first, effort) = store.watch(&["list", "--json", "--", &query]);
        assert!(effort.scanned.is_empty(), "{query}: {effort:?}");
        assert!(effort.rows <= at_most, "{query}: {effort:?}");
        assert!(effort.sorted <= at_most, "{query}: {effort:?}");
        let Some(last) = first.get(49) else { continue };
        // The next page costs no more: it begins behind the last row.
        let text = |name: &str| last[name].as_str().unwrap();
        let after = format!("{},{}/{}", text("occurred_at"), text("log"), last["id"]);
        let (_, effort) = store.watch(&["list", "--json", "--after", &after, "--", &query]);
        assert!(effort.scanned.is_empty(), "behind {after}: {query}: {effort:?}");
        assert!(effort.rows <= at_most, "behind {after}: {query}: {effort:?}");
        assert!(effort.sorted <= at_most, "behind {after}: {query}: {effort:?}");
    }
}

#[test]
fn one_event_is_found_without_its_neighbours() {
    let Some(store) = WatchedStore::start() else { return };
    let (events, _) = store.watch(&["list", "--json", "--limit", "1", "until:2d"]);
    let event = &events[0];
    let place = format!("{}/{}", event["log"].as_str().unwrap(), event["id"]);
    let event_id = event["event_id"].as_str().unwrap();
    for args in [
        &["show", "--json", &place][..],
        &["show", "--json", event_id],
        &["show", "--json", &event_id[..30]],
        &["list", "--json", "--", &format!("id:{place}")],
        &["list", "--json", "--", &format!("event:{event_id}")],
    ] {
        let (found, effort) = store.watch(args);
        assert_eq!(found, std::slice::from_ref(event), "{args:?}");
        assert!(effort.scanned.is_empty(), "{args:?}: {effort:?}");
        assert!(effort.rows <= 4.0, "{args:?}: {effort:?}");
    }
}

#[test]
fn counts_look_at_the_rows_that_they_count() {
    let Some(store) = WatchedStore::start() else { return };
    let of_days = |days: f64| 3.0 * days * f64::from(u32::try_from(EVENTS).unwrap()) / 90.0;
    for (args, counted, reads) in [
        (&["list", "--count", "--days", "2"][..], of_days(2.0), 1.0),
        (&["list", "--count", "actor:17"], of_days(90.0) / 251.0, 1.0),
        (&["stats", "--json", "--days", "2"], of_days(2.0), 3.0),
        (&["stats", "--json", "--by", "action", "--days", "2"], of_days(2.0), 1.0),
        (&["stats", "--json", "actor:17"], of_days(90.0) / 251.0, 3.0),
        (&["search-actor", "--json", "17"], of_days(90.0) / 251.0, 6.0),
        (&["search-target", "--json", "page/page-17"], of_days(90.0) / 997.0, 7.0),
    ] {
        let (_, effort) = store.watch(args);
        assert!(effort.scanned.is_empty(), "{args:?}: {effort:?}");
        let most = (counted * reads).mul_add(1.2, 100.0);
        assert!(effort.rows <= most, "{args:?}: {effort:?} for {counted}");
    }
}
