//! The central store in ClickHouse: Debian's server, which is old, and today's, embedded.

use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Stdio;

use crate::mirrors::Server;
use crate::mirrors::breaking_proxy;
use crate::mirrors::clocks;
use crate::mirrors::event_ids;
use crate::mirrors::free_port;
use crate::mirrors::ingest_events;
use crate::mirrors::kills;
use crate::mirrors::receivers;
use crate::support::Sandbox;
use crate::support::wait;
use crate::tools;

const PASSWORD: &str = "open-sesame-4711";

/// Debian's server.
pub(crate) struct ClickHouse {
    sandbox: Sandbox,
    pub(crate) port: u16,
    _server: Server,
}

impl ClickHouse {
    /// Returns `None` where the server is missing.
    pub(crate) fn start() -> Option<Self> {
        if !tools::require_programs(&["clickhouse-server"]) {
            return None;
        }
        let sandbox = Sandbox::new();
        let (port, tcp) = (free_port(), free_port());
        let here = sandbox.work_folder().display().to_string();
        sandbox.write("server.xml", format!(
            "<yandex><logger><level>warning</level><console>1</console></logger>\
             <http_port>{port}</http_port><tcp_port>{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>\
             <path>{here}/data/</path><tmp_path>{here}/tmp/</tmp_path>\
             <users_config>{here}/users.xml</users_config><default_profile>default</default_profile>\
             <default_database>default</default_database><mark_cache_size>67108864</mark_cache_size>\
             </yandex>"
        ));
        sandbox.write(
            "users.xml",
            format!(
                "<yandex><profiles><default/></profiles><quotas><default/></quotas><users><audit>\
             <password>{PASSWORD}</password><networks><ip>127.0.0.1</ip></networks>\
             <profile>default</profile><quota>default</quota></audit></users></yandex>"
            ),
        );
        let mut command = sandbox.command_of("clickhouse-server");
        command.arg(format!("--config-file={here}/server.xml"));
        let server = Server::start(command, &sandbox.path("server.log"));
        server.wait_for_port(port);
        Some(Self { sandbox, port, _server: server })
    }
}

/// Today's ClickHouse.
pub(super) struct EmbeddedClickHouse {
    sandbox: Sandbox,
    pub(super) port: u16,
    process: Child,
}

impl EmbeddedClickHouse {
    /// Returns `None` where it cannot be had.
    pub(super) fn start() -> Option<Self> {
        let environment = receivers::folder("chdb")?;
        let sandbox = Sandbox::new();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/servers/clickhouse.py");
        let mut process = sandbox
            .command_of(environment.join("bin/python"))
            .arg(script)
            .arg(sandbox.work_folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { sandbox, port: line.trim().parse().expect("it says its port"), process })
    }
}

impl Drop for EmbeddedClickHouse {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

/// Runs a query by HTTP, and returns the lines of the answer.
#[track_caller]
fn query(sandbox: &Sandbox, port: u16, sql: &str) -> Vec<String> {
    let encoded: String = sql.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut command = sandbox.command_of("curl");
    command.args(["-sS", "--fail-with-body", "-X", "POST", "--data-binary", ""]);
    command.args([
        "-H",
        "X-ClickHouse-User: audit",
        "-H",
        &format!("X-ClickHouse-Key: {PASSWORD}"),
    ]);
    command.arg(format!("http://127.0.0.1:{port}/?query={encoded}"));
    sandbox.run_command(command).ok().stdout().lines().map(str::to_owned).collect()
}

pub(crate) fn config(sandbox: &Sandbox, port: u16, more: &str) -> String {
    let password = sandbox.write("password", PASSWORD);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(password, private).unwrap();
    format!(
        "[[mirror]]\nname = 'central'\ntype = 'clickhouse'\nurl = 'http://127.0.0.1:{port}/'\n\
         user = 'audit'\npassword_file = 'password'\n{more}\n"
    )
}

/// Mirrors a log, sends it again, and compares what is there.
fn every_event_arrives_once(port: u16, server: &Sandbox) {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", config(&sandbox, port, "batch = 300"));
    ingest_events(&sandbox, 1000);
    sandbox.run(["mirror", "test", "central"]).ok().done();
    sandbox.run(["mirror"]).ok().done();
    sandbox.run(["mirror", "replay", "central", "--since", "1d"]).ok().done();
    let ids = event_ids(&sandbox, &[]);
    assert_eq!(query(server, port, "SELECT event_id FROM event ORDER BY id"), ids);
    let rows = query(
        server,
        port,
        "SELECT concat(lower(hex(hash)), ' ', toString(length(seal)), ' ', actor_label) FROM event \
         ORDER BY id FORMAT TabSeparatedRaw",
    );
    for (row, event) in rows.iter().zip(sandbox.stored_events()) {
        let (hash, label) =
            (event["hash"].as_str().unwrap(), event["actor_label"].as_str().unwrap());
        assert_eq!(row, &format!("{hash} 45 {label}"));
    }
    let newest = sandbox.stored_events().pop().unwrap();
    let head = query(server, port, "SELECT max(head_id), lower(hex(any(head_hash))) FROM origin");
    assert_eq!(head, [format!("{}\t{}", newest["id"], newest["hash"].as_str().unwrap())]);

    let url = format!("clickhouse+http://127.0.0.1:{port}/");
    let verify = || sandbox.run(["--db", &url, "verify"]);
    let out = verify().ok();
    assert!(out.stdout().contains(": holds: 1000 events, head 1000:"), "{out}");
    // A row that stands twice is one event; a row that is gone is named.
    query(server, port, "INSERT INTO event SELECT * FROM event WHERE id = 5");
    let out = verify().ok();
    assert!(out.stdout().contains(": holds: 1000 events, head 1000:"), "{out}");
    query(server, port, "ALTER TABLE event DELETE WHERE id = 700");
    let count = "SELECT count() FROM event WHERE id = 700";
    wait::until_true("the row to go", || query(server, port, count) == ["0"]);
    let out = verify().exits(1);
    assert!(out.stdout().contains("/700: removed"), "{out}");
}

#[test]
fn every_event_arrives_once_at_debians_server() {
    let Some(server) = ClickHouse::start() else { return };
    every_event_arrives_once(server.port, &server.sandbox);
}

#[test]
fn every_event_arrives_once_at_todays_server() {
    let Some(server) = EmbeddedClickHouse::start() else { return };
    every_event_arrives_once(server.port, &server.sandbox);
}

#[test]
fn a_wrong_password_waits_and_is_not_shown() {
    let Some(server) = ClickHouse::start() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", config(&sandbox, server.port, "attempts = 1\nwait = '1s'"));
    sandbox.write("password", "wr0ng-secret");
    ingest_events(&sandbox, 1);
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(!out.stderr().contains("wr0ng-secret"), "{out}");
    sandbox.write("password", PASSWORD);
    super::run_until_delivered(&sandbox);
}

#[test]
fn connections_that_break_in_mid_batch_bring_nothing_twice() {
    let Some(server) = ClickHouse::start() else { return };
    let sandbox = Sandbox::new();
    ingest_events(&sandbox, 1000);
    // The tables are made before, so that it is inserts that break.
    sandbox.write("config.toml", config(&sandbox, server.port, ""));
    sandbox.run(["mirror", "test", "central"]).ok().done();
    let proxy = breaking_proxy::start(server.port, breaking_proxy::growing(12, 2_000, 4_000));
    let pace = "batch = 50\nattempts = 20\nwait = '1s'\ntimeout = '5s'";
    sandbox.write("config.toml", config(&sandbox, proxy.port, pace));
    super::run_until_delivered(&sandbox);
    assert!(proxy.broken() >= 2, "{} connections were broken", proxy.broken());
    let stored = query(&server.sandbox, server.port, "SELECT event_id FROM event ORDER BY id");
    assert_eq!(stored, event_ids(&sandbox, &[]));
}

#[test]
fn a_clock_that_steps_changes_no_order_and_holds_nothing_up() {
    if !tools::require_programs(&["faketime"]) {
        return;
    }
    let Some(server) = ClickHouse::start() else { return };
    let sandbox = Sandbox::new();
    let config = config(&sandbox, server.port, "attempts = 1\nwait = '1s'");
    clocks::deliver_while_the_clock_steps(&sandbox, &config, server.port);
    let stored = query(&server.sandbox, server.port, "SELECT event_id FROM event ORDER BY id");
    assert_eq!(stored, event_ids(&sandbox, &[]));
}

#[test]
fn a_run_that_is_killed_at_any_call_brings_nothing_twice() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let Some(server) = ClickHouse::start() else { return };
    let received = |_: &Sandbox| {
        let newest = "SELECT toString(uuid) FROM origin ORDER BY head_at DESC LIMIT 1";
        let log = query(&server.sandbox, server.port, newest).concat();
        let sql = format!("SELECT event_id FROM event WHERE toString(log) = '{log}' ORDER BY id");
        query(&server.sandbox, server.port, &sql)
    };
    kills::nothing_is_lost_by_kills(|sandbox| config(sandbox, server.port, ""), received, 0);
}
