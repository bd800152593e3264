//! The digest of a central store: its windows tile log by log whatever fails or is killed, and hosts that
//! are behind stand at its top.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use serde_json::json;

use crate::digest::install_sendmail;
use crate::digest::parse_letters;
use crate::digest::sendmail_config;
use crate::digest::single_header;
use crate::digest::text_body;
use crate::mirrors::clickhouse;
use crate::mirrors::clickhouse::ClickHouse;
use crate::mirrors::postgres::Cluster;
use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::tools;

/// Some hosts with a log each, the store that they write to, and the host that mails of it.
struct DigestedFleet {
    cluster: Cluster,
    hosts: Vec<Sandbox>,
    observer: Sandbox,
}

impl DigestedFleet {
    /// Returns `None` where a program is missing.
    fn start(hosts: usize) -> Option<Self> {
        if !tools::require_python_modules(&["json"]) {
            return None;
        }
        let cluster = Cluster::start()?;
        let hosts = (0..hosts).map(|_| {
            let sandbox = Sandbox::new();
            sandbox.write("config.toml", cluster.config(&sandbox, ""));
            sandbox
        });
        let hosts = hosts.collect();
        let observer = Sandbox::new();
        install_sendmail(&observer);
        let central = format!("central = '{}'\n", cluster.url());
        let digest = sendmail_config(&observer, "attempts = 1\nper_kind = 1000\ntotal = 10000");
        let mirror = cluster.config(&observer, "enabled = false");
        observer.write("config.toml", central + &digest + "\n" + &mirror);
        Some(Self { cluster, hosts, observer })
    }

    /// Records events of one host, which occurred so long ago, and returns their titles.
    fn record(&self, host: usize, round: usize, count: usize, seconds_ago: i64) -> Vec<String> {
        let titles = (0..count).map(|n| format!("title-{host}-{round}-{seconds_ago}-{n}."));
        let titles: Vec<String> = titles.collect();
        let at = clock::seconds_ago(seconds_ago);
        let event = |title: &String| {
            json!({"action": "user.edit", "title": title, "occurred_at": at}).to_string()
        };
        self.hosts[host].ingest(join_lines(titles.iter().map(event)));
        titles
    }

    fn deliver(&self, host: usize) {
        self.hosts[host].run(["mirror"]).ok().done();
    }

    fn digest(&self, args: &[&str]) -> Output {
        self.observer.run([&["--central", "digest"], args].concat())
    }

    fn letters(&self) -> Vec<Value> {
        parse_letters(&self.observer, &self.observer.path("letters"))
    }

    fn last_letter(&self) -> Value {
        self.letters().pop().unwrap()
    }

    fn history(&self) -> Vec<Value> {
        self.digest(&["--history", "--json"]).ok().no_stderr().json_lines()
    }

    /// Lets another program send the mails: a line of `sh` instead of the usual one.
    fn send_with(&self, script: &str) {
        let sendmail = self.observer.write("sendmail", format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(sendmail, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// How a run of the digest ends in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunEnd {
    Sent,
    Refused,
    /// Before the mail is out.
    KilledBefore,
    /// When the mail is out and not yet recorded.
    KilledAfter,
}

#[test]
fn windows_tile_log_by_log_whatever_is_killed() {
    use RunEnd::KilledAfter;
    use RunEnd::KilledBefore;
    use RunEnd::Refused;
    use RunEnd::Sent;
    const HOSTS: usize = 3;
    const DAYS: i64 = 86_400;
    let Some(fleet) = DigestedFleet::start(HOSTS) else { return };
    let sendmail = String::from_utf8(fleet.observer.read("sendmail")).unwrap();
    let keep = sendmail.trim_start_matches("#!/bin/sh\n").trim_end();
    // The log that records is there: in one without an event no head can be noted.
    fleet.observer.ingest("{\"action\":\"host.started\"}\n");
    let ends = [
        KilledBefore,
        Sent,
        Sent,
        KilledAfter,
        Sent,
        Refused,
        KilledBefore,
        KilledAfter,
        Sent,
        Sent,
        Refused,
        Sent,
        Sent,
    ];
    let mut titles: HashSet<String> = HashSet::new();
    for (round, end) in ends.into_iter().enumerate() {
        for host in 0..HOSTS {
            // One host after the other joins, and each is behind in some rounds.
            if round < host * 2 {
                continue;
            }
            titles.extend(fleet.record(host, round, 3 + host, 1));
            // What is that old in a log that is new to the digest is its history.
            if host < 2 && round > 4 {
                titles.extend(fleet.record(host, round, 2, 3 * DAYS));
            }
            if (round + host) % 3 < 2 || round + 1 == ends.len() {
                fleet.deliver(host);
            }
        }
        fleet.send_with(&match end {
            Sent => keep.to_owned(),
            Refused => "cat >/dev/null; exit 67".to_owned(),
            KilledBefore => "kill -9 $PPID".to_owned(),
            KilledAfter => format!("{keep}; kill -9 $PPID"),
        });
        let out = fleet.digest(&[]);
        match end {
            Sent => out.ok().no_stderr().done(),
            Refused => out.exits(69).done(),
            KilledBefore | KilledAfter => assert_eq!(out.signal, Some(9), "{end:?}\n{out}"),
        }
    }

    let history = fleet.history();
    let of = |outcome: &str| history.iter().filter(|row| row["outcome"] == outcome).count();
    let times = |end| ends.into_iter().filter(|each| *each == end).count();
    assert_eq!((of("sent"), of("failed")), (times(Sent), times(Refused)), "{history:?}");
    let sent: Vec<&Value> = history.iter().filter(|row| row["outcome"] == "sent").collect();
    for pair in sent.windows(2) {
        assert_eq!(pair[0]["until"], pair[1]["since"]);
    }
    assert_eq!(sent.last().unwrap()["through"].as_object().unwrap().len(), HOSTS);
    let letters = fleet.letters();
    assert_eq!(letters.len(), times(Sent) + times(KilledAfter));
    let is_recorded = |letter: &&Value| {
        let window = single_header(letter, "X-Activity-Window");
        sent.iter().any(|row| window.contains(&format!("..{},", row["until"].as_str().unwrap())))
    };
    let (recorded, lost): (Vec<&Value>, Vec<&Value>) = letters.iter().partition(is_recorded);
    assert_eq!((recorded.len(), lost.len()), (times(Sent), times(KilledAfter)));
    let mut told: HashMap<&str, usize> = HashMap::new();
    for letter in &recorded {
        let found = titles.iter().filter(|title| text_body(letter).contains(title.as_str()));
        found.for_each(|title| *told.entry(title).or_default() += 1);
    }
    for title in &titles {
        assert_eq!(told.get(title.as_str()), Some(&1), "{title}");
    }
    let reported: u64 = sent.iter().map(|row| row["events"].as_u64().unwrap()).sum();
    assert_eq!(reported, titles.len() as u64);
    let subjects: Vec<&str> =
        recorded.iter().map(|letter| single_header(letter, "Subject")).collect();
    assert!(subjects[0].starts_with("[after an unrecorded digest] "), "{subjects:?}");
    assert!(subjects[1].starts_with("s2l.online: "), "{subjects:?}");
    assert!(text_body(recorded[3]).contains("could not be sent"), "{}", text_body(recorded[3]));
    fleet.observer.run(["verify"]).ok().done();
}

#[test]
fn hosts_that_are_behind_or_silent_stand_at_the_top() {
    let Some(fleet) = DigestedFleet::start(3) else { return };
    for host in 0..3 {
        fleet.record(host, 0, 1 + host, 60);
        fleet.deliver(host);
    }
    let uuids = fleet.cluster.sql("activity", "SELECT uuid FROM origin ORDER BY log");
    let uuids: Vec<&str> = uuids.lines().collect();
    let names: Vec<String> = uuids.iter().map(|uuid| format!("~{}", &uuid[30..])).collect();
    fleet.digest(&[]).ok().no_stderr().stdout_is_line_with(" events 6 of 3 logs to ").done();
    let letter = fleet.last_letter();
    let text = text_body(&letter);
    assert!(single_header(&letter, "Subject").starts_with("s2l.online: 6 events on "), "{text}");
    assert!(!text.contains("NEEDS A LOOK"), "{text}");
    assert_eq!(text.matches("   head ").count(), 3, "{text}");
    let line = text.lines().find(|line| line.contains("title-2-0-60-0")).unwrap();
    assert!(line.contains(&names[2]), "each event names its host: {line}");
    assert!(!text.contains("activity list"), "{text}");

    // Nothing new right after it is no second mail; and quiet hosts are told from silent ones.
    fleet.digest(&[]).ok().stdout_is_line_with("nothing is new since").done();
    let is_behind = format!(
        "UPDATE origin SET head_at = head_at - 7200000000000 WHERE uuid = '{}'; \
         UPDATE origin SET head_id = head_id + 1204 WHERE uuid = '{}'",
        uuids[0], uuids[1]
    );
    fleet.cluster.sql("activity", &is_behind);
    fleet.digest(&["--now"]).ok().no_stderr().done();
    let letter = fleet.last_letter();
    let text = text_body(&letter);
    assert!(text.contains("No activity in less than a minute on any host."), "{text}");
    let position = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in\n{text}"));
    let silent = position(&format!("{} has said nothing since ", names[0]));
    let behind = position(&format!("{} is behind: 1,204 events have yet to arrive", names[1]));
    assert!(position("NEEDS A LOOK") < silent && silent < behind, "{text}");
    assert!(behind < position("HOSTS"), "{text}");
    let html = letter["parts"][1]["content"].as_str().unwrap();
    assert!(html.contains("<h2>Hosts</h2>") && html.contains("nothing since"), "{html}");

    // A program reads the same; a digest of a query moves nothing.
    let report = fleet.digest(&["--json", "host:*", "--days", "1"]).ok().json();
    assert_eq!((&report["total"], report["hosts"].as_array().unwrap().len()), (&6.into(), 3));
    let silent = report["hosts"].as_array().unwrap().iter().filter(|host| host["silent"] == true);
    assert_eq!(silent.count(), 1);
    let before = fleet.history();
    fleet.digest(&["--days", "1"]).ok().done();
    assert!(text_body(&fleet.last_letter()).contains("user.edit"), "it has the events again");
    let shown = fleet.digest(&["--dry-run"]).ok();
    assert!(shown.stdout().contains("\nHOSTS\n"), "{shown}");
    assert_eq!(fleet.history().len(), before.len() + 1);
    // The log of this host has digests of its own.
    fleet.observer.run(["digest", "--history"]).ok().no_stdout().done();
    fleet.observer.run(["digest"]).ok().done();
    assert_eq!(fleet.history().len(), before.len() + 1);
}

#[test]
fn without_the_store_or_a_record_the_mail_says_so() {
    let Some(fleet) = DigestedFleet::start(1) else { return };
    fleet.record(0, 0, 2, 60);
    fleet.deliver(0);
    fleet.digest(&[]).ok().done();
    fleet.cluster.control(&["-m", "immediate", "stop"]);
    let out = fleet.digest(&[]).exits(75);
    assert!(out.stderr().contains("127.0.0.1"), "{out}");
    let letter = fleet.last_letter();
    assert!(text_body(&letter).contains("127.0.0.1"), "{}", text_body(&letter));
    fleet.cluster.control(&["start"]);
    fleet.record(0, 1, 3, 1);
    fleet.deliver(0);

    // What cannot be recorded is not told.
    for companion in ["log.db-wal", "log.db-shm"] {
        drop(fs::remove_file(fleet.observer.path(companion)));
    }
    fleet.observer.write("log.db", "no log at all, but something of a length");
    fleet.digest(&[]).exits(66).done();
    assert!(!text_body(&fleet.last_letter()).contains("title-"));
    assert_eq!(fleet.letters().len(), 3);
}

#[test]
fn a_store_in_clickhouse_has_the_same_digest() {
    let Some(server) = ClickHouse::start() else { return };
    let observer = Sandbox::new();
    install_sendmail(&observer);
    let central = format!("central = 'clickhouse+http://127.0.0.1:{}/'\n", server.port);
    let digest = sendmail_config(&observer, "attempts = 1");
    let config = central + &digest + "\n" + &clickhouse::config(&observer, server.port, "");
    observer.write("config.toml", config);
    let record = |title: &str, seconds_ago: i64| {
        let at = clock::seconds_ago(seconds_ago);
        let event = json!({"action": "user.edit", "title": title, "occurred_at": at});
        observer.ingest(format!("{event}\n"));
    };
    record("the first", 60);
    observer.run(["mirror"]).ok().done();
    let mail = || {
        observer.run(["--central", "digest"]).ok().no_stderr().done();
        let letters = parse_letters(&observer, &observer.path("letters"));
        text_body(letters.last().unwrap()).to_owned()
    };
    let text = mail();
    assert!(text.contains("the first") && text.contains("\nHOSTS\n"), "{text}");
    record("the second", 1);
    record("of long ago", 3 * 86_400);
    observer.run(["mirror"]).ok().done();
    let text = mail();
    assert!(text.contains("the second") && !text.contains("the first"), "{text}");
    let late = text.find("ARRIVED LATE (1)").unwrap_or_else(|| panic!("{text}"));
    assert!(text[late..].contains("of long ago"), "{text}");
}
