//! A central store behind a pooler that lends its connections for one transaction at a time, set up as
//! `docs/central.md` says.

use std::fs;

use crate::mirrors::Server;
use crate::mirrors::event_ids;
use crate::mirrors::free_port;
use crate::mirrors::ingest_events;
use crate::mirrors::postgres::Cluster;
use crate::support::Sandbox;
use crate::tools;

/// A pooler with one connection to its server, so that all who come share it.
struct Pooler {
    port: u16,
    _server: Server,
}

impl Pooler {
    fn start(cluster: &Cluster) -> Option<Self> {
        if !tools::require_programs(&["/usr/sbin/pgbouncer", "setpriv"]) {
            return None;
        }
        let folder = cluster.folder();
        let here = folder.display();
        let port = free_port();
        let settings = format!(
            "[databases]\nactivity = host=127.0.0.1 port={} dbname=activity\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             pool_mode = transaction\ndefault_pool_size = 1\n\
             auth_type = scram-sha-256\nauth_file = {here}/users\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {here}/cert.pem\n\
             client_tls_key_file = {here}/key.pem\nserver_tls_sslmode = require\n",
            cluster.port(),
        );
        fs::write(folder.join("pgbouncer.ini"), settings).unwrap();
        let users = "SELECT '\"' || rolname || '\" \"' || rolpassword || '\"' FROM pg_authid \
                     WHERE rolpassword IS NOT NULL";
        fs::write(folder.join("users"), cluster.sql("activity", users)).unwrap();
        let sandbox = Sandbox::new();
        let mut command = sandbox.command_of("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .args(["/usr/sbin/pgbouncer", &format!("{here}/pgbouncer.ini")]);
        let server = Server::start(command, &folder.join("pgbouncer.log"));
        server.wait_for_port(port);
        Some(Self { port, _server: server })
    }

    /// The address of the store, without the binding to a channel that this pooler does not know.
    fn url(&self) -> String {
        format!("postgres://audit@127.0.0.1:{}/activity", self.port)
    }
}

#[test]
fn a_store_behind_a_pooler_is_filled_read_and_verified() {
    let Some(cluster) = Cluster::start() else { return };
    let Some(pooler) = Pooler::start(&cluster) else { return };
    let hosts = [Sandbox::new(), Sandbox::new()];
    for sandbox in &hosts {
        let config = cluster.config(sandbox, "batch = 100");
        let config = config.replace(&cluster.url(), &pooler.url());
        sandbox.write("config.toml", format!("central = '{}'\n{config}", pooler.url()));
        ingest_events(sandbox, 700);
    }
    let mirrors =
        hosts.each_ref().map(|sandbox| sandbox.command(["mirror", "--quiet"]).spawn().unwrap());
    for mut mirror in mirrors {
        assert!(mirror.wait().unwrap().success());
    }
    let reader = &hosts[0];
    let listed = reader.run(["--central", "list", "--json", "--limit", "10000"]).ok().no_stderr();
    let recorded: usize = hosts.iter().map(|sandbox| event_ids(sandbox, &[]).len()).sum();
    assert_eq!(listed.json_lines().len(), recorded);
    let one = &listed.json_lines()[17];
    let place = format!("{}/{}", one["log"].as_str().unwrap(), one["id"]);
    let shown = reader.run(["--central", "show", "--json", &place]).ok().json_lines();
    assert_eq!(&shown[0], one);
    reader.run(["--central", "verify"]).ok().done();
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'audit'";
    assert_eq!(cluster.sql("activity", connections), "1");
}
