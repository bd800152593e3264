//! `doctor` over a central store: what is wrong with the server, its tables, or a host is named.

use serde_json::Value;

use crate::mirrors::ingest_events;
use crate::mirrors::postgres::Cluster;
use crate::mirrors::postgres::PASSWORD;
use crate::support::Output;
use crate::support::Sandbox;

/// The checks that are not well: their status, name and value.
fn complaints(out: &Output) -> Vec<String> {
    let report = out.json();
    let checks = report["checks"].as_array().unwrap().iter();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let wrong = checks.filter(|check| check["status"] != "ok");
    wrong.map(|check| ["status", "check", "value"].map(|key| text(check, key)).join(" ")).collect()
}

#[test]
fn doctor_names_what_is_wrong_with_a_store() {
    let Some(cluster) = Cluster::start() else { return };
    let host = Sandbox::new();
    host.write("config.toml", cluster.config(&host, ""));
    ingest_events(&host, 30);
    let doctor = |more: &[&str]| {
        let url = cluster.url();
        host.run([&["--db", &url, "doctor"], more].concat())
    };
    let out = doctor(&["--json"]).exits(1);
    assert!(complaints(&out)[0].contains("there is no table origin"), "{out}");
    host.run(["mirror"]).ok().done();

    // The owner of the tables may write, which is a note.
    let out = doctor(&["--json"]).ok();
    assert_eq!(complaints(&out), ["note rights audit may INSERT, UPDATE, DELETE, TRUNCATE events"]);
    let shown = doctor(&[]).ok();
    for part in ["PostgreSQL 15.", "TLSv1.3", "head 30, all has arrived", "all is well, 1 note"] {
        assert!(shown.stdout().contains(part), "{part}: {shown}");
    }
    assert!(!shown.to_string().contains(PASSWORD), "{shown}");

    // A reader has no more rights than it needs.
    cluster.sql(
        "activity",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO public; \
         REVOKE ALL ON event FROM audit; GRANT SELECT ON event TO audit",
    );
    let next = cluster
        .sql("activity", "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '31 days', 'YYYYMM')");
    cluster.sql("activity", &format!("DROP TABLE event_{next}"));
    cluster.sql(
        "activity",
        "UPDATE origin SET head_at = head_at - 7200000000000; \
         INSERT INTO version SELECT log, id, sha256('x') FROM event WHERE id = 3",
    );
    let out = doctor(&["--json"]).exits(1);
    let wrong = complaints(&out);
    assert_eq!(wrong.len(), 2, "{out}");
    assert!(wrong[0].starts_with("bad months "), "{out}");
    assert!(wrong[1].contains("sent another version of 1 event"), "{out}");
    cluster.sql("activity", "DELETE FROM version");
    let out = doctor(&["--json"]).exits(1);
    assert!(complaints(&out)[1].contains("has said nothing since"), "{out}");

    cluster.sql("activity", "COMMENT ON TABLE origin IS 'activity central store, version 2'");
    let out = doctor(&["--json"]).exits(1);
    assert!(complaints(&out)[0].contains("newer activity"), "{out}");
    cluster.control(&["-m", "immediate", "stop"]);
    let out = doctor(&["--json"]).exits(1);
    assert!(complaints(&out)[0].contains("127.0.0.1"), "{out}");
    cluster.control(&["start"]);
}
