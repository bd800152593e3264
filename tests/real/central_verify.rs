//! `verify` of a central store looks at what is derived from an event, too, and at what its log sent
//! later.

use crate::mirrors::ingest_events;
use crate::mirrors::postgres::Cluster;
use crate::support::Sandbox;

#[test]
fn what_is_derived_from_an_event_must_be_its_own() {
    let Some(cluster) = Cluster::start() else { return };
    let host = Sandbox::new();
    host.write("config.toml", cluster.config(&host, ""));
    ingest_events(&host, 12);
    host.run(["mirror"]).ok().done();
    let url = cluster.url();
    let verify = || host.run(["--db", &url, "verify"]);
    verify().ok().done();
    for (change, told) in [
        ("actor_key = actor_key + 1", "the keys by which its labels are found"),
        ("impersonator_key = 5", "the keys by which its labels are found"),
        ("target_key = 5", "the keys by which its labels are found"),
        ("words = 'somebody else'", "the words by which it is found"),
        ("actor_key = NULL", "the keys by which its labels are found"),
    ] {
        cluster.sql("activity", "CREATE TABLE kept AS SELECT * FROM event WHERE id = 7; ");
        cluster.sql("activity", &format!("UPDATE event SET {change} WHERE id = 7"));
        let out = verify().exits(1);
        assert!(out.stdout().contains("/7: altered: ") && out.stdout().contains(told), "{out}");
        cluster.sql(
            "activity",
            "DELETE FROM event WHERE id = 7; INSERT INTO event SELECT * FROM kept; DROP TABLE kept",
        );
        verify().ok().done();
    }
}

#[test]
fn another_version_of_an_event_is_told_with_both() {
    let Some(cluster) = Cluster::start() else { return };
    let host = Sandbox::new();
    host.write("config.toml", cluster.config(&host, ""));
    ingest_events(&host, 5);
    host.run(["mirror"]).ok().done();
    // The store has it from a time when the host said something else.
    cluster.sql("activity", "UPDATE event SET hash = sha256('x') WHERE id = 4");
    host.run(["mirror", "replay", "central", "--since", "1d"]).exits_with_one_of(&[0, 69, 75]);
    assert_eq!(cluster.sql("activity", "SELECT id FROM version"), "4");
    let sent = cluster.sql("activity", "SELECT encode(hash, 'hex') FROM version");
    let out = host.run(["--db", &cluster.url(), "verify"]).exits(1);
    assert!(out.stdout().contains("/4: "), "{out}");
    // The same again is noted once; the row itself stays as it was.
    host.run(["mirror", "replay", "central", "--since", "1d"]).exits_with_one_of(&[0, 69, 75]);
    assert_eq!(cluster.sql("activity", "SELECT encode(hash, 'hex') FROM version"), sent);
    let stored = cluster.sql("activity", "SELECT hash = sha256('x') FROM event WHERE id = 4");
    assert_eq!(stored, "t");
    let json = host.run(["--db", &cluster.url(), "verify", "--json"]).exits(1);
    assert!(json.stdout().contains("\"id\":4"), "{json}");
}
