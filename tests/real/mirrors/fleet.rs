//! The logs of many hosts in one PostgreSQL: mirrored at once under kills, verified, swept.

use std::collections::HashMap;
use std::ops::Range;
use std::process::Child;

use rustix::process::Signal;
use serde_json::Value;

use crate::mirrors::ingest_events;
use crate::mirrors::postgres::Cluster;
use crate::mirrors::run_until_delivered;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::torture::FaultCount;
use crate::support::wait;

/// A host whose mirror may write, as the roles of `central init` have it.
fn host(cluster: &Cluster, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let config = cluster.config(&sandbox, more).replace("audit@", "web@");
    sandbox.write("config.toml", config);
    sandbox
}

/// Makes the store and the login of the mirrors.
fn init(cluster: &Cluster, admin: &Sandbox) {
    let back = ["--roles", "--back", "1y"];
    admin.run([&["--db", &cluster.owner_url(), "central", "init"], &back[..]].concat()).ok().done();
    let password = crate::mirrors::postgres::PASSWORD;
    cluster.sql("activity", &format!("CREATE ROLE web LOGIN PASSWORD '{password}' IN ROLE mirror"));
}

/// Verifies the store, and returns the reports of the logs by the digits that tell them apart.
fn verify(admin: &Sandbox, cluster: &Cluster, code: i32) -> HashMap<String, Value> {
    let out = admin.run(["--db", &cluster.owner_url(), "verify", "--json"]).exits(code);
    let mut report: Value = serde_json::from_str(out.stdout()).unwrap();
    let logs = report["logs"].as_array_mut().unwrap().drain(..);
    logs.map(|log| (log["uuid"].as_str().unwrap().to_owned(), log)).collect()
}

/// Events with ids of their own: what is taken in again is known.
fn events_of_host(host: usize, numbers: Range<usize>) -> String {
    let at = clock::seconds_ago(600);
    join_lines(numbers.map(|number| {
        format!(
            "{{\"event_id\":\"{host}-{number}\",\"occurred_at\":\"{at}\",\"action\":\"page.view\",\
             \"actor_id\":\"{}\",\"actor_label\":\"Jérôme {}\",\"target_type\":\"page\",\
             \"target_id\":\"{}\",\"payload\":{{\"n\":{number},\"via\":\"web\"}}}}",
            number % 97,
            number % 97,
            number % 1_009
        )
    }))
}

/// Kills those of some processes that still run, and returns how many those were.
fn kill_running<'a>(processes: impl Iterator<Item = &'a mut Child>) -> usize {
    let running =
        processes.filter_map(|process| process.try_wait().unwrap().is_none().then_some(process));
    running
        .map(|process| rustix::process::kill_process(wait::pid(process), Signal::KILL).unwrap())
        .count()
}

/// `ACTIVITY_FLEET_EVENTS=50000` gives each host so many events, which takes minutes.
#[test]
fn twenty_hosts_under_kills_arrive_once_and_every_chain_holds() {
    const HOSTS: usize = 20;
    const ROUNDS: usize = 5;
    let events = std::env::var("ACTIVITY_FLEET_EVENTS").map_or(2_000, |text| text.parse().unwrap());
    let Some(cluster) = Cluster::start() else { return };
    let admin = Sandbox::new();
    init(&cluster, &admin);
    // Small enough that a quick machine is not done before the first kill.
    let batch = events / 100;
    let pace = format!("batch = {batch}\nattempts = 2\nwait = '1s'\ntimeout = '20s'");
    let hosts: Vec<Sandbox> = (0..HOSTS).map(|_| host(&cluster, &pace)).collect();
    for (number, host) in hosts.iter().enumerate() {
        host.ingest(events_of_host(number, 0..events / 2));
        host.write("later.jsonl", events_of_host(number, events / 2..events));
    }
    let ingest = ["ingest", "--quiet", "later.jsonl"];
    // A log arrives in its order, so that its newest event counts them.
    let newest = "SELECT sum((SELECT max(id) FROM event WHERE event.log = origin.log)) FROM origin";
    let arrived = || cluster.sql("activity", newest).parse().unwrap_or(0_usize);
    let (mut killed_mirrors, mut killed_hosts) = (0, 0);
    for round in 1..=ROUNDS {
        let start = |args: &[&str], host: &Sandbox| host.spawn(host.command(args));
        let mut mirrors: Vec<Child> = hosts.iter().map(|host| start(&["mirror"], host)).collect();
        let writing = hosts.iter().skip(round % 4).step_by(4);
        let mut ingests: Vec<Child> = writing.map(|host| start(&ingest, host)).collect();
        let before = arrived();
        let more = HOSTS * events / 200;
        wait::until_true("some rows", || arrived() >= before + more);
        killed_hosts += kill_running(ingests.iter_mut());
        killed_mirrors += kill_running(mirrors.iter_mut().skip(round % 2).step_by(2));
        if round < ROUNDS {
            cluster.control(&["-m", "immediate", "stop"]);
            cluster.control(&["start"]);
        }
        // In the other rounds they outlive the server, and some bring all that they have. If they did so in
        // each round, nothing would be left for the next kill.
        if round % 2 == 1 {
            kill_running(mirrors.iter_mut());
        }
        mirrors.iter_mut().chain(&mut ingests).for_each(|child| assert!(child.wait().is_ok()));
    }
    FaultCount::new("kills").add(killed_mirrors + killed_hosts);
    assert!(killed_mirrors > 2, "only {killed_mirrors} mirrors were killed");
    let mut acknowledged = 0;
    for host in &hosts {
        // Now every event is acknowledged.
        host.run(ingest).ok().done();
        run_until_delivered(host);
        let log = host.log();
        let own: i64 = log.query_value("SELECT count(*) FROM event WHERE own");
        let all = usize::try_from(log.event_count()).unwrap();
        assert_eq!(all - usize::try_from(own).unwrap(), events);
        acknowledged += all;
    }
    let logs = verify(&admin, &cluster, 0);
    assert_eq!(logs.len(), HOSTS);
    let mut all = 0;
    for log in logs.values() {
        assert_eq!(log["events"], log["head"]["id"], "{log}");
        all += usize::try_from(log["events"].as_u64().unwrap()).unwrap();
    }
    assert_eq!(all, acknowledged);
    let stored = cluster.sql("activity", "SELECT count(*) FROM event");
    assert_eq!(stored, all.to_string(), "nothing stands twice");

    // One altered row and one removed row are named.
    let uuid_of =
        |log| cluster.sql("activity", &format!("SELECT uuid FROM origin WHERE log = {log}"));
    let (altered, removed) = (uuid_of(3), uuid_of(7));
    cluster.sql("activity", "UPDATE event SET payload = '{\"n\":0}' WHERE log = 3 AND id = 567");
    cluster.sql("activity", "DELETE FROM event WHERE log = 7 AND id = 777");
    let logs = verify(&admin, &cluster, 1);
    for (uuid, id, why) in [(&altered, 567, "altered"), (&removed, 777, "removed")] {
        let log = &logs[uuid.as_str()];
        let broken = &log["broken"][0];
        assert_eq!((&broken["id"], &broken["why"]), (&id.into(), &why.into()), "{log}");
        let at = format!("{}/{id}", log["log"].as_str().unwrap());
        assert_eq!(broken["at"], at.as_str());
        let out = admin.run(["--db", &cluster.owner_url(), "verify"]).exits(1);
        assert!(out.stdout().contains(&format!("broken at {at}: {why}")), "{out}");
    }
    let holding = logs.values().filter(|log| log["holds"] == true).count();
    assert_eq!(holding, HOSTS - 2);

    // The tail that was confirmed cannot be cut off either.
    let last = logs[&uuid_of(5)]["head"]["id"].as_i64().unwrap();
    cluster.sql("activity", &format!("DELETE FROM event WHERE log = 5 AND id = {last}"));
    let logs = verify(&admin, &cluster, 1);
    assert_eq!(logs[&uuid_of(5)]["broken"][0]["id"], last);
}

#[test]
fn the_role_of_a_mirror_changes_and_removes_nothing() {
    let Some(cluster) = Cluster::start() else { return };
    let admin = Sandbox::new();
    init(&cluster, &admin);
    let host = host(&cluster, "");
    ingest_events(&host, 10);
    host.run(["mirror"]).ok().done();
    for statement in [
        "UPDATE event SET title = 'x'",
        "DELETE FROM event",
        "TRUNCATE event",
        "UPDATE origin SET uuid = gen_random_uuid()",
        "DELETE FROM origin",
        "DELETE FROM gap",
        "UPDATE version SET id = 1",
        "INSERT INTO swept VALUES (1, 1, 9, '', '')",
    ] {
        let out = cluster.try_sql("activity", &format!("SET ROLE web; {statement}"));
        assert!(out.contains("permission denied"), "{statement}: {out}");
    }
    // A second run of `init` leaves all as it is.
    admin.run(["--db", &cluster.owner_url(), "central", "init", "--roles"]).ok().done();
    assert_eq!(verify(&admin, &cluster, 0).len(), 1);
}

#[test]
fn a_reader_sees_its_tenants() {
    let Some(cluster) = Cluster::start() else { return };
    let admin = Sandbox::new();
    let url = cluster.owner_url();
    init(&cluster, &admin);
    admin.run(["--db", &url, "central", "init", "--roles", "--row-security"]).ok().done();
    let host = host(&cluster, "");
    let tenants = ["a", "b", "b"];
    host.ingest(join_lines(
        tenants.map(|tenant| format!("{{\"action\":\"x.y\",\"tenant\":\"{tenant}\"}}")),
    ));
    host.run(["mirror"]).ok().done();
    cluster
        .sql("activity", "CREATE ROLE bea IN ROLE reader; INSERT INTO reader VALUES ('bea', 'b')");
    let seen =
        |role| cluster.sql("activity", &format!("SET ROLE {role}; SELECT count(*) FROM event"));
    assert_eq!((seen("bea"), seen("web"), seen("postgres")), ("2".into(), "3".into(), "3".into()));
}

#[test]
fn what_hosts_have_swept_is_vouched_for_in_the_store() {
    let Some(cluster) = Cluster::start() else { return };
    let admin = Sandbox::new();
    let url = cluster.owner_url();
    init(&cluster, &admin);
    let retention =
        "[retention]\nkeep = '40d'\n[[retention.rule]]\nquery = 'action:cron.*'\nkeep = '7d'";
    let event = |n: i64| {
        let action = if n % 4 == 0 { "cron.run" } else { "user.edit" };
        let at = clock::seconds_ago(n * 86_400);
        format!("{{\"action\":\"{action}\",\"occurred_at\":\"{at}\",\"payload\":{{\"n\":{n}}}}}")
    };
    let events = || join_lines((0..120).rev().map(event));
    // One host has swept before its first mirror run, the other after it.
    let (early, late) = (host(&cluster, retention), host(&cluster, retention));
    for sandbox in [&early, &late] {
        sandbox.ingest(events());
    }
    // No sweep takes what a mirror of the config has yet to deliver.
    let config = early.read("config.toml");
    early.write("config.toml", retention);
    early.run(["sweep", "--yes"]).ok().done();
    early.write("config.toml", config);
    early.run(["mirror"]).ok().done();
    late.run(["mirror"]).ok().done();
    late.run(["sweep", "--yes"]).ok().done();
    late.run(["mirror"]).ok().done();
    let logs = verify(&admin, &cluster, 0);
    let mut events: Vec<u64> = logs.values().map(|log| log["events"].as_u64().unwrap()).collect();
    events.sort_unstable();
    assert!(events[0] < 40 && events[1] == 121, "{events:?}");

    // Whole months go, but not while a host keeps one event of them.
    let sweep = |args: &[&str]| {
        let args = [&["--db", &url, "central", "sweep"], args].concat();
        admin.run(args).ok().stdout().to_owned()
    };
    let told = sweep(&["--keep", "1d", "--dry-run"]);
    let dropped = told.lines().filter(|line| line.contains("would be dropped")).count();
    assert!(dropped >= 2 && told.contains(" keeps "), "{told}");
    assert_eq!(sweep(&["--keep", "1d"]), told.replace("would be dropped", "dropped"));
    assert_ne!(cluster.sql("activity", "SELECT count(*) FROM swept"), "0");
    assert_eq!(sweep(&["--keep", "1d"]).lines().filter(|line| line.contains("dropped")).count(), 0);
    verify(&admin, &cluster, 0);

    // A range that no sweep of the host vouches for is no excuse.
    cluster.sql("activity", "DELETE FROM event WHERE log = 1 AND id = 120");
    cluster.sql(
        "activity",
        "INSERT INTO gap SELECT log, 120, 120, hash, 1 FROM event WHERE log = 2 AND id = 120",
    );
    let logs = verify(&admin, &cluster, 1);
    let broken = logs.values().filter(|log| log["holds"] == false).count();
    assert_eq!(broken, 1, "{logs:?}");
}

#[test]
fn a_walk_goes_on_behind_what_was_verified() {
    let Some(cluster) = Cluster::start() else { return };
    let admin = Sandbox::new();
    let url = cluster.owner_url();
    init(&cluster, &admin);
    let host = host(&cluster, "");
    ingest_events(&host, 30);
    host.run(["mirror"]).ok().done();
    let verify = || admin.run(["--db", &url, "verify", "--since-verified", "verified"]);
    let holds = |events: usize, head: usize, out: &str| {
        out.contains(&format!(": holds: {events} events, head {head}:"))
    };
    assert!(holds(30, 30, verify().ok().stdout()));
    assert!(holds(0, 30, verify().ok().stdout()));
    ingest_events(&host, 5);
    host.run(["mirror"]).ok().done();
    assert!(holds(5, 35, verify().ok().stdout()));
    // What was verified before is not walked again; the event at which it ended is looked at.
    cluster.sql("activity", "UPDATE event SET title = 'x' WHERE id = 3");
    verify().ok().done();
    cluster.sql("activity", "UPDATE event SET hash = sha256('x') WHERE id = 35");
    let kept = admin.read("verified");
    let out = verify().exits(1);
    assert!(out.stdout().contains("/35: altered"), "{out}");
    assert_eq!(admin.read("verified"), kept);
    // A log that is gone is missed.
    cluster.sql("activity", "DELETE FROM origin");
    let out = verify().exits(1);
    assert!(out.stdout().contains("is no more in the store"), "{out}");
    admin.write("verified", "nonsense\n");
    let out = verify().exits(65);
    assert!(out.stderr().contains("verified:1: "), "{out}");
}

#[test]
fn who_is_behind_is_told_by_heartbeat() {
    let Some(cluster) = Cluster::start() else { return };
    let admin = Sandbox::new();
    let url = cluster.owner_url();
    let status = |args: &[&str]| admin.run([&["--db", &url, "mirror", "status"], args].concat());
    let out = status(&[]).exits(66);
    assert!(out.stderr().contains("central init"), "{out}");
    init(&cluster, &admin);
    let host = host(&cluster, "");
    ingest_events(&host, 30);
    host.run(["mirror"]).ok().done();
    let rows = status(&["--json"]).ok().json_lines();
    assert_eq!((&rows[0]["delivered"], &rows[0]["waiting"]), (&30.into(), &0.into()));
    assert_eq!(rows[0]["silent"], false);
    status(&["--max-lag", "1h"]).ok().done();
    cluster.sql("activity", "UPDATE origin SET head_at = head_at - 7200000000000, head_id = 33");
    let out = status(&["--max-lag", "1h"]).exits(1);
    assert!(out.stdout().contains("has said nothing since"), "{out}");
    assert_eq!(status(&["--json"]).ok().json_lines()[0]["waiting"], 3);
    let out = admin.run(["--db", &url, "verify"]).ok();
    assert!(out.stderr().contains("3 events have yet to arrive"), "{out}");
    // A store of a newer version is left alone.
    cluster.sql("activity", "COMMENT ON TABLE origin IS 'activity central store, version 2'");
    assert!(status(&[]).exits(78).stderr().contains("newer activity"));
}
