//! The central store in PostgreSQL, with TLS, an own authority, and a server that is killed.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::mirrors::breaking_proxy;
use crate::mirrors::clocks;
use crate::mirrors::event_ids;
use crate::mirrors::free_port;
use crate::mirrors::ingest_events;
use crate::mirrors::kills;
use crate::mirrors::write_certificates;
use crate::support::Sandbox;
use crate::support::wait;
use crate::tools;

const BIN: &str = "/usr/lib/postgresql/15/bin";
pub(crate) const PASSWORD: &str = "open-sesame-4711";

/// A cluster of its own, owned by Debian's user of PostgreSQL: the server refuses root.
pub(crate) struct Cluster {
    sandbox: Sandbox,
    folder: PathBuf,
    port: u16,
}

impl Cluster {
    /// Returns `None` where the server is missing.
    pub(crate) fn start() -> Option<Self> {
        if !tools::require_root()
            || !tools::require_programs(&[&format!("{BIN}/initdb"), "psql", "setpriv", "openssl"])
        {
            return None;
        }
        let sandbox = Sandbox::new();
        let folder = sandbox.root().join("cluster");
        fs::create_dir(&folder).unwrap();
        write_certificates(&sandbox, &folder);
        let cluster = Self { folder, port: free_port(), sandbox };
        let here = cluster.folder.display().to_string();
        let chown = format!(
            "chmod 711 '{}' && chown -R postgres '{here}'",
            cluster.sandbox.root().display()
        );
        cluster.sandbox.run_shell(&chown).ok().done();
        cluster.run(
            "initdb",
            &[
                "-D",
                &format!("{here}/data"),
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
        );
        let data = cluster.folder.join("data");
        fs::write(
            data.join("pg_hba.conf"),
            "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
        )
        .unwrap();
        let settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{here}'\n\
             shared_buffers = 64MB\nssl = on\nssl_cert_file = '{here}/cert.pem'\n\
             ssl_key_file = '{here}/key.pem'\n",
            cluster.port
        );
        fs::write(data.join("postgresql.conf"), settings).unwrap();
        cluster.run(
            "pg_ctl",
            &["-D", &format!("{here}/data"), "-w", "-s", "-l", &format!("{here}/log"), "start"],
        );
        cluster.sql("postgres", &format!("CREATE ROLE audit LOGIN PASSWORD '{PASSWORD}'"));
        cluster.sql("postgres", "CREATE DATABASE activity OWNER audit");
        Some(cluster)
    }

    /// Runs one of the server's programs as its user.
    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) {
        let mut command = self.sandbox.command_of("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(Path::new(BIN).join(program))
            .args(args)
            .current_dir(&self.folder)
            // The server that it starts must not keep the pipes of a test open.
            .stdout(fs::File::create(self.sandbox.path("output")).unwrap())
            .stderr(fs::File::create(self.sandbox.path("errors")).unwrap());
        let status = command.status().unwrap();
        let errors = || String::from_utf8(self.sandbox.read("errors")).unwrap();
        assert!(status.success(), "{program}: {}", errors());
    }

    pub(crate) fn control(&self, args: &[&str]) {
        let here = self.folder.display();
        let log = format!("{here}/log");
        let data = format!("{here}/data");
        self.run("pg_ctl", &[&["-D", &data, "-w", "-s", "-l", &log], args].concat());
    }

    /// Runs SQL as the superuser, and returns what it prints.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.sandbox.run_command(self.psql(database, sql)).ok().stdout().trim_end().to_owned()
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command: Command = self.sandbox.command_of("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"])
            .args(["-h", self.folder.to_str().unwrap(), "-p", &self.port.to_string()])
            .args(["-d", database, "-c", sql]);
        command
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://audit@127.0.0.1:{}/activity?channel_binding=require", self.port)
    }

    pub(crate) fn config(&self, sandbox: &Sandbox, more: &str) -> String {
        let password = sandbox.write("password", PASSWORD);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(password, private).unwrap();
        fs::copy(self.folder.join("ca.pem"), sandbox.path("ca.pem")).unwrap();
        format!(
            "[[mirror]]\nname = 'central'\ntype = 'postgres'\n\
             url = '{}'\npassword_file = 'password'\nca_file = 'ca.pem'\n{more}\n",
            self.url()
        )
    }

    /// Runs SQL that fails, and returns what is said about it.
    pub(super) fn try_sql(&self, database: &str, sql: &str) -> String {
        self.sandbox.run_command(self.psql(database, sql)).stderr().to_owned()
    }

    /// Where its certificate is, and what else belongs to the server's user.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What the server has written so far.
    pub(crate) fn read_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap()).into_owned()
    }

    /// The address of the store for the superuser.
    pub(crate) fn owner_url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}:{}/activity", self.port)
    }

    /// The ids of the events of a log, in its order.
    fn event_ids(&self) -> Vec<String> {
        let sql = "SELECT coalesce(event_uuid::text, event_text) FROM event ORDER BY log, id";
        self.sql("activity", sql).lines().map(str::to_owned).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.control(&["-m", "immediate", "stop"]);
    }
}

#[test]
fn every_event_arrives_once_with_its_seal_and_the_head() {
    let Some(cluster) = Cluster::start() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", cluster.config(&sandbox, "batch = 300"));
    ingest_events(&sandbox, 1000);
    sandbox.run(["mirror"]).ok().done();
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(cluster.event_ids(), event_ids(&sandbox, &[]));
    let json = "SELECT json_agg(json_build_object('id', id, 'title', title, 'label', actor_label, \
                'payload', payload, 'hash', encode(hash, 'hex')) ORDER BY id) FROM event";
    let rows: Value = serde_json::from_str(&cluster.sql("activity", json)).unwrap();
    for (row, event) in rows.as_array().unwrap().iter().zip(sandbox.stored_events()) {
        assert_eq!(row["id"], event["id"]);
        assert_eq!(row["hash"], event["hash"]);
        assert_eq!(row["title"], event["title"]);
        assert_eq!(row["label"], event["actor_label"]);
        let payload: Value = serde_json::from_str(row["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload, event["payload"]);
    }
    // A tag and a salt for the body, the actor and the target each, a tag for the two others.
    let lengths = "SELECT DISTINCT length(seal) FROM event";
    assert_eq!(cluster.sql("activity", lengths), (9 + 17 + 1 + 17 + 1).to_string());
    let head = "SELECT head_id || ' ' || encode(head_hash, 'hex') FROM origin";
    let newest = sandbox.stored_events().pop().unwrap();
    let wanted = format!("{} {}", newest["id"], newest["hash"].as_str().unwrap());
    assert_eq!(cluster.sql("activity", head), wanted);
    let months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event'::regclass";
    assert!(cluster.sql("activity", months).parse::<u32>().unwrap() >= 4);
    assert_eq!(cluster.sql("activity", "SELECT count(*) FROM event_other"), "0");
}

#[test]
fn a_server_that_is_killed_in_mid_batch_has_nothing_twice_and_misses_nothing() {
    let Some(cluster) = Cluster::start() else { return };
    let sandbox = Sandbox::new();
    let pace = "batch = 50\nattempts = 1\nwait = '1s'\ntimeout = '20s'";
    sandbox.write("config.toml", cluster.config(&sandbox, pace));
    ingest_events(&sandbox, 3000);
    sandbox.run(["mirror", "test", "central"]).ok().done();
    for kill in 1..=3 {
        let start = || sandbox.spawn(sandbox.command(["mirror"]));
        let mut child = start();
        wait::until_true("some rows", || {
            // A run that finds the wait of the last failure ends at once.
            if child.try_wait().unwrap().is_some() {
                child = start();
            }
            cluster.event_ids().len() >= 400 * kill
        });
        cluster.control(&["-m", "immediate", "stop"]);
        sandbox.wait_with_output(child).exits_with_one_of(&[0, 75]);
        cluster.control(&["start"]);
    }
    super::run_until_delivered(&sandbox);
    assert_eq!(cluster.event_ids(), event_ids(&sandbox, &[]));
}

#[test]
fn connections_that_break_in_mid_batch_bring_nothing_twice() {
    let Some(cluster) = Cluster::start() else { return };
    let sandbox = Sandbox::new();
    let proxy = breaking_proxy::start(cluster.port, breaking_proxy::growing(12, 9_000, 30_000));
    let config =
        cluster.config(&sandbox, "batch = 200\nattempts = 20\nwait = '1s'\ntimeout = '5s'");
    sandbox.write(
        "config.toml",
        config.replace(&format!(":{}/", cluster.port), &format!(":{}/", proxy.port)),
    );
    ingest_events(&sandbox, 2000);
    super::run_until_delivered(&sandbox);
    assert!(proxy.broken() >= 5, "{} connections were broken", proxy.broken());
    assert_eq!(cluster.event_ids(), event_ids(&sandbox, &[]));
}

#[test]
fn a_host_that_changed_its_past_is_told_and_overwrites_nothing() {
    let Some(cluster) = Cluster::start() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", cluster.config(&sandbox, ""));
    ingest_events(&sandbox, 10);
    sandbox.run(["mirror"]).ok().done();
    cluster.sql("activity", "UPDATE event SET hash = sha256('x') WHERE id = 4");
    let stored = cluster.sql("activity", "SELECT encode(hash, 'hex') FROM event WHERE id = 4");
    let out = sandbox.run(["mirror", "replay", "central", "--since", "1d"]).exits(69);
    assert!(out.stdout().contains("central: 9 events delivered"), "{out}");
    let error = out.stderr();
    let own = sandbox.stored_events()[3]["hash"].as_str().unwrap().to_owned();
    assert!(error.contains(&stored) && error.contains(&own), "{error}");
    let still = cluster.sql("activity", "SELECT encode(hash, 'hex') FROM event WHERE id = 4");
    assert_eq!(still, stored);
}

#[test]
fn a_role_that_may_only_write_is_enough() {
    let Some(cluster) = Cluster::start() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", cluster.config(&sandbox, ""));
    ingest_events(&sandbox, 5);
    sandbox.run(["mirror", "test", "central"]).ok().done();
    sandbox.run(["--db", &cluster.owner_url(), "central", "init", "--roles"]).ok().done();
    let writer = format!("CREATE ROLE writer LOGIN PASSWORD '{PASSWORD}' IN ROLE mirror");
    cluster.sql("activity", &writer);
    let config = String::from_utf8(sandbox.read("config.toml")).unwrap();
    sandbox.write("config.toml", config.replace("audit@", "writer@"));
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(cluster.event_ids(), event_ids(&sandbox, &[]));
}

#[test]
fn a_wrong_password_or_authority_waits_and_is_not_shown() {
    let Some(cluster) = Cluster::start() else { return };
    let sandbox = Sandbox::new();
    let config = cluster.config(&sandbox, "attempts = 1\nwait = '1s'");
    sandbox.write("config.toml", &config);
    ingest_events(&sandbox, 1);
    sandbox.write("password", "wr0ng-secret");
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("password authentication failed"), "{out}");
    assert!(!out.stderr().contains("wr0ng-secret"), "{out}");
    sandbox.write("password", PASSWORD);
    write_certificates(&sandbox, &sandbox.work_folder());
    wait::until_true("the other authority to be told", || {
        let out = sandbox.run(["mirror"]).exits(75);
        out.stderr().contains("certificate")
    });
    assert!(cluster.sql("activity", "SELECT to_regclass('event') IS NULL") == "t");
}

#[test]
fn a_clock_that_steps_changes_no_order_and_holds_nothing_up() {
    if !tools::require_programs(&["faketime"]) {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    // With TLS, whose certificate holds for two days, and without: the months that the wrong clock
    // makes are no harm.
    for url in [cluster.url(), cluster.owner_url()] {
        let sandbox = Sandbox::new();
        let config = cluster.config(&sandbox, "attempts = 1\nwait = '1s'");
        let config = config.replace(&cluster.url(), &url);
        let config = match url == cluster.url() {
            true => config,
            false => config.replace("ca_file = 'ca.pem'\n", ""),
        };
        clocks::deliver_while_the_clock_steps(&sandbox, &config, cluster.port);
        assert_eq!(cluster.event_ids(), event_ids(&sandbox, &[]), "{url}");
        cluster.sql("activity", "DROP TABLE event, origin, gap, swept, version, reader CASCADE");
    }
}

#[test]
fn a_run_that_is_killed_at_any_call_brings_nothing_twice() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let received = |_: &Sandbox| {
        let ids = cluster.event_ids();
        cluster.sql("activity", "TRUNCATE event, origin");
        ids
    };
    kills::nothing_is_lost_by_kills(|sandbox| cluster.config(sandbox, ""), received, 0);
}
