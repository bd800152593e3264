//! One question to the logs of many hosts, in every engine: it finds what each log finds.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use serde_json::Value;
use serde_json::json;

use crate::mirrors::stores::StoreOfTest;
use crate::mirrors::stores::Stores;
use crate::support::Output;
use crate::support::Sandbox;
use crate::support::join_lines;

/// Texts that a wrong comparison would confuse.
const TEXTS: [&str; 23] = [
    "17",
    "18",
    "1",
    "0",
    "a",
    "A",
    "ab",
    "aB",
    "a b",
    "a*b",
    "a?b",
    "100%",
    "a_b",
    "a\\",
    "\"a\"",
    "a\u{0}b",
    "Straße",
    "STRASSE",
    "İ",
    "i\u{307}",
    "Σίσυφος",
    "σίσυφοσ",
    "user",
];
const SLUGS: [&str; 8] = [
    "user.edit",
    "user.view",
    "userx",
    "user",
    "auth.login_failed",
    "auth.denied",
    "failed.no",
    "x",
];
const IPS: [&str; 4] = ["192.0.2.7", "10.0.0.1", "2001:db8::5", "::ffff:192.0.2.7"];
const PAYLOADS: [&str; 4] = [
    r#"{"k":{"a":{"b":"a"},"a.b":17},"a b":["é"]}"#,
    r#"{"k":"a\\b"}"#,
    r#"{"k":17,"a b":true}"#,
    r#"{"k":null}"#,
];
const QUALIFIERS: [&str; 27] = [
    "actor",
    "impersonator",
    "person",
    "target",
    "module",
    "tenant",
    "session",
    "endpoint",
    "by",
    "payload.k",
    "payload.k.a",
    "title",
    "agent",
    "description",
    "event",
    "type",
    "changed",
    "actor_id",
    "actor_label",
    "impersonator_id",
    "impersonator_label",
    "target_id",
    "target_label",
    "hash",
    "method",
    "action",
    "payload.\"a b\"",
];
const OTHER_TERMS: [&str; 27] = [
    "id:3",
    "id:2-5,9",
    "id:>=40",
    "source:api",
    "source:system,cron",
    "severity:high",
    "severity:<medium",
    "status:404",
    "status:5xx,200",
    "status:*",
    "ip:192.0.2.0/24",
    "ip:192.0.2.7",
    "ip:192.*,10.0.0.1",
    "is:failed",
    "is:edit",
    "is:system",
    "is:impersonated",
    "has:actor",
    "has:impersonator,target",
    "has:tenant",
    "has:status_code",
    "has:user_agent,ip",
    "on:2026-11-20",
    "on:>=2026-11-20T14:00:00Z",
    "until:2026-11-20T14:00:00Z",
    "event:e1*",
    "event:0000*",
];

/// Numbers that are the same in every run (Knuth's multiplier).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn maybe(&mut self, all: &[&str]) -> Value {
        if self.below(10) < 4 { Value::Null } else { self.pick(all).into() }
    }

    pub(crate) fn event(&mut self, number: usize) -> Value {
        let id = match number % 3 {
            0 => format!("e{number}"),
            _ => format!("0000{number:04}-0000-7000-8000-000000000000"),
        };
        let payload: Value = serde_json::from_str(self.pick(&PAYLOADS)).unwrap();
        let mut event = json!({
            "event_id": id,
            "occurred_at": format!("2026-11-20T{:02}:00:00Z", 10 + self.below(6)),
            "action": self.pick(&SLUGS),
            "actor_id": self.maybe(&TEXTS),
            "actor_label": self.maybe(&TEXTS),
            "target_type": self.maybe(&TEXTS),
            "target_id": self.maybe(&TEXTS),
            "target_label": self.maybe(&TEXTS),
            "title": self.maybe(&TEXTS),
            "description": self.maybe(&TEXTS),
            "user_agent": self.maybe(&TEXTS),
            "session_id": self.maybe(&TEXTS),
            "tenant": self.maybe(&["a", "b", "a*b"]),
            "module": self.maybe(&["a", "A", "user"]),
            "method": self.maybe(&["GET", "PATCH"]),
            "endpoint": self.maybe(&["/", "/a", "/a/b"]),
            "ip": self.maybe(&IPS),
            "source": self.pick(&["operator", "system", "api", "cron"]),
            "severity": self.pick(&["info", "low", "medium", "high", "critical"]),
        });
        if self.below(2) == 0 {
            event["status_code"] = [100, 200, 404, 500, 599][self.below(5)].into();
        }
        if self.below(4) == 0 {
            event["impersonator_id"] = self.maybe(&TEXTS);
            event["impersonator_label"] = self.maybe(&TEXTS);
        }
        if self.below(3) == 0 {
            event["diff"] = json!({(self.pick(&TEXTS)): {"before": 1, "after": 2}});
        }
        if self.below(2) == 0 {
            event["payload"] = payload;
        }
        event
    }

    fn value(&mut self) -> String {
        let mut quoted = || {
            // No argument of a program has a NUL.
            let text = self.pick(&TEXTS).replace('\0', "");
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        };
        let (one, other) = (quoted(), quoted());
        match self.below(8) {
            0..4 => one,
            4 => format!("{one}*"),
            5 => format!("*{one}"),
            6 => format!("{one}*{other}"),
            _ => self.pick(&["*", "a*", "*a*", "a*/*", "user/*", "*/17", "user.*"]).to_owned(),
        }
    }

    fn query(&mut self) -> String {
        let mut terms = Vec::new();
        for _ in 0..self.below(4) {
            let term = match self.below(9) {
                0..4 => format!("{}:{},{}", self.pick(&QUALIFIERS), self.value(), self.value()),
                4 => self.value(),
                5 => format!("action:{}", self.pick(&["user.*", "*.edit", "*ed", "x,user"])),
                _ => self.pick(&OTHER_TERMS).to_owned(),
            };
            terms.push(if self.below(4) == 0 { format!("-{term}") } else { term });
        }
        terms.join(" ")
    }
}

/// Some hosts with a log each, and the stores that they write to.
struct Fleet {
    hosts: Vec<Sandbox>,
    stores: Stores,
}

impl Fleet {
    /// Returns `None` where every server is missing.
    fn start(events: usize) -> Option<Self> {
        let stores = Stores::start()?;
        let mut numbers = Numbers(7);
        let hosts = (0..3).map(|host| {
            let sandbox = Sandbox::new();
            sandbox.write("config.toml", stores.config(&sandbox));
            let events = (0..events).map(|n| numbers.event(host * events + n).to_string());
            sandbox.ingest(join_lines(events));
            sandbox.run(["mirror"]).ok().done();
            sandbox
        });
        Some(Self { hosts: hosts.collect(), stores })
    }

    /// Runs a command on a store.
    fn run(&self, store: &StoreOfTest, args: &[&str]) -> Output {
        self.hosts[0].run(["--db", &store.url].iter().chain(args))
    }

    /// The events that a query finds in a store, in the order of time.
    fn central(&self, store: &StoreOfTest, query: &str) -> Vec<Value> {
        let order = ["list", "--json", "--limit", "10000", "--sort", "when:asc", "--", query];
        self.run(store, &order).ok().no_stderr().json_lines()
    }

    /// The ids that a query finds in each log.
    fn local(&self, query: &str) -> BTreeSet<String> {
        let order = ["list", "--json", "--limit", "10000", "--"];
        let found = |host: &Sandbox| host.run(order.into_iter().chain([query])).ok().json_lines();
        self.hosts.iter().flat_map(found).map(|event| event_id(&event)).collect()
    }

    /// Compares what a query finds in each store and in the logs, and returns how many events that are.
    fn compare(&self, query: &str, counted: bool) -> usize {
        let local = self.local(query);
        for store in self.stores.all() {
            let (central, engine) = (self.central(&store, query), store.engine);
            let ids: BTreeSet<String> = central.iter().map(event_id).collect();
            assert_eq!(ids.len(), central.len(), "{engine} has some twice: {query}");
            assert_eq!(ids, local, "{engine}: {query}");
            if counted {
                let count = self.run(&store, &["list", "--count", "--", query]).ok();
                let number = local.len().to_string();
                assert_eq!(count.stdout().trim(), number, "{engine}: {query}");
            }
        }
        local.len()
    }
}

fn event_id(event: &Value) -> String {
    event["event_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_query_means_the_same_to_every_store_as_to_each_log() {
    const QUERIES: usize = 1_000;
    let Some(fleet) = Fleet::start(100) else { return };
    let mut numbers = Numbers(4711);
    let queries: Vec<String> = (0..QUERIES).map(|_| numbers.query()).collect();
    let next = AtomicUsize::new(0);
    let found_some = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((number, query)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    queries.get(number).map(|query| (number, query))
                } {
                    if fleet.compare(query, number % 10 == 0) > 0 {
                        found_some.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found_some = found_some.into_inner();
    assert!(found_some > QUERIES / 3, "only {found_some} queries found something");
}

#[test]
fn pages_of_a_store_tile_and_an_event_is_named_with_its_log() {
    let Some(fleet) = Fleet::start(40) else { return };
    for store in fleet.stores.all() {
        pages_tile(&fleet, &store);
    }
}

fn pages_tile(fleet: &Fleet, store: &StoreOfTest) {
    let all = fleet.central(store, "");
    assert_eq!(all.len(), 120, "{}", store.engine);
    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    while pages.len() < all.len() {
        let mut args = vec!["list", "--json", "--limit", "7", "--sort", "when:asc"];
        args.extend(after.iter().flat_map(|after| ["--after", after.as_str()]));
        let page = fleet.run(store, &args).ok().json_lines();
        let last = page.last().expect("there are more");
        let text = |name: &str| last[name].as_str().unwrap().to_owned();
        after = Some(format!("{},{}/{}", text("occurred_at"), text("log"), last["id"]));
        pages.extend(page);
    }
    assert_eq!(pages, all, "{}", store.engine);
    let logs: BTreeSet<&str> = all.iter().map(|event| event["log"].as_str().unwrap()).collect();
    assert_eq!(logs.len(), 3, "{logs:?}");
    for event in all.iter().step_by(11) {
        let place = format!("{}/{}", event["log"].as_str().unwrap(), event["id"]);
        for named in [&place, &event_id(event)] {
            let shown = fleet.run(store, &["show", named, "--json"]).ok().json_lines();
            assert_eq!(shown, std::slice::from_ref(event));
        }
    }
    // The number alone is one of each log.
    let several = fleet.run(store, &["show", "7"]).exits(2);
    for log in &logs {
        assert!(several.stderr().contains(&format!("{log}/7")), "{several}");
    }
    let center = format!("{}/7", logs.first().unwrap());
    let around = fleet.run(store, &["list", "--json", "--around", &center]);
    assert_eq!(around.ok().json_lines().len(), 11);
    let table = fleet.run(store, &["list", "--columns", "+id"]).ok();
    assert!(table.stdout().lines().next().unwrap().starts_with("ID  HOST "), "{table}");
}

#[test]
fn what_leaves_a_store_is_recorded_in_the_log_of_the_host_first() {
    let Some(fleet) = Fleet::start(20) else { return };
    let host = &fleet.hosts[0];
    for store in fleet.stores.all() {
        let export = ["export", "--jsonl", "-o", "all.jsonl", "action:user.*"];
        fleet.run(&store, &export).ok().done();
        let text = String::from_utf8(host.read("all.jsonl")).unwrap();
        let rows: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows, fleet.central(&store, "action:user.*"), "{}", store.engine);
        let recorded = host.stored_events().pop().unwrap();
        assert_eq!(recorded["action"], "log.export");
        assert_eq!(recorded["payload"]["rows"], rows.len());
        let heads = recorded["payload"]["last_ids"].as_object().unwrap();
        assert_eq!(heads.len(), 3);
        assert!(heads.values().all(|id| *id == 20), "{heads:?}");
        let table = fleet.run(&store, &["export", "--csv", "--columns", "id,action"]).ok();
        assert!(table.stdout().starts_with("\"log\",\"id\",\"action\"\n"), "{table}");
        assert_eq!(table.stdout().lines().count(), 61);
    }
}

#[test]
fn a_store_is_only_read_and_what_keeps_it_from_that_is_told_in_a_line() {
    let Some(fleet) = Fleet::start(5) else { return };
    let Some(cluster) = &fleet.stores.cluster else { return };
    let host = &fleet.hosts[0];
    let config = String::from_utf8(host.read("config.toml")).unwrap();
    host.write("config.toml", format!("central = '{}'\n{config}", cluster.url()));
    for command in
        [&["ingest", "--action", "x"][..], &["sweep", "--keep", "1d"], &["backup", "b.db"]]
    {
        let out = host.run(["--central"].iter().chain(command)).exits(2);
        assert!(out.stderr().contains("only read"), "{out}");
    }
    let with_password = cluster.url().replace("audit@", "audit:hush@");
    let out = host.run(["--db", &with_password, "list"]).exits(2);
    assert!(!out.stderr().contains("hush"), "{out}");
    cluster.sql("activity", "COMMENT ON TABLE origin IS 'activity central store, version 99'");
    assert!(host.run(["--central", "list"]).exits(78).stderr().contains("newer"));
    cluster.sql("activity", "DROP TABLE origin");
    assert!(host.run(["--central", "list"]).exits(66).stderr().contains("no table"));
    host.write("password", "wrong");
    assert!(host.run(["--central", "list"]).exits(77).stderr().contains("password"));
    let away = "postgres://audit@127.0.0.1:1/activity";
    assert!(host.run(["--db", away, "list"]).exits(75).stderr().contains("127.0.0.1:1"));
}
