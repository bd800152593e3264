//! A central store of a newer version: nobody writes to it or reads it, and mirrors wait.

use crate::mirrors::ingest_events;
use crate::mirrors::postgres::Cluster;
use crate::support::Sandbox;

#[test]
fn a_store_of_a_newer_version_is_left_alone_and_mirrors_wait() {
    let Some(cluster) = Cluster::start() else { return };
    let host = Sandbox::new();
    host.write("config.toml", cluster.config(&host, ""));
    ingest_events(&host, 3);
    host.run(["mirror"]).ok().done();
    let set_version = |version: u32| {
        let comment =
            format!("COMMENT ON TABLE origin IS 'activity central store, version {version}'");
        cluster.sql("activity", &comment);
    };
    let url = cluster.url();
    set_version(2);
    ingest_events(&host, 4);
    for args in [&["list"][..], &["verify"], &["central", "init"], &["digest", "--dry-run"]] {
        let out = host.run([&["--db", url.as_str()], args].concat()).exits(78);
        assert!(out.stderr().contains("made by a newer activity (version 2, "), "{out}");
    }
    host.run(["mirror"]).exits(75).done();
    let count = || cluster.sql("activity", "SELECT count(*) FROM event");
    assert_eq!(count(), "3");
    set_version(1);
    // One run of `init` after the other changes nothing.
    for _ in 0..2 {
        host.run(["--db", &url, "central", "init"]).ok().done();
    }
    host.run(["mirror"]).ok().done();
    assert_eq!(count(), "7");
    // What has no version of ours is not ours.
    cluster.sql("activity", "COMMENT ON TABLE origin IS 'something else'");
    let out = host.run(["--db", &url, "central", "init"]).exits(66);
    assert!(out.stderr().contains("origin is no table of a central store"), "{out}");
}
