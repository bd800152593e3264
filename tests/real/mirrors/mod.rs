//! Mirrors against receivers that others wrote: what they got is what the log has, in its order.

mod breaking_proxy;
pub(crate) mod clickhouse;
mod clocks;
mod cloudwatch;
mod file;
mod fleet;
mod kills;
mod pooler;
pub(crate) mod postgres;
mod receivers;
pub(crate) mod stores;
mod syslog;

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::wait;

/// A server that a test has started; it ends with the test.
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server whose output goes to a file.
    fn start(mut command: Command, log: &Path) -> Self {
        let output = fs::File::create(log).unwrap();
        let text = format!("{command:?}");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|why| panic!("{text}: {why}"));
        Self { child, log: log.to_owned() }
    }

    /// Waits until the server takes connections on a port.
    #[track_caller]
    fn wait_for_port(&self, port: u16) {
        let connect = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        let connected = wait::until_or_exit("the server to listen", &self.child, connect);
        assert!(connected.is_some(), "{}", fs::read_to_string(&self.log).unwrap());
    }

    fn kill(&mut self) {
        rustix::process::kill_process(wait::pid(&self.child), Signal::KILL).unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port on which nobody listens now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Writes an authority to `ca.pem`, and a certificate for this host that it signed to `cert.pem`, with
/// its key in `key.pem`.
fn write_certificates(sandbox: &Sandbox, folder: &Path) {
    let new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let script = format!(
        "cd '{}' && {new} -x509 -keyout ca.key -out ca.pem -subj /CN=test -days 2 &&
         {new} -keyout key.pem -out leaf.csr -subj /CN=localhost &&
         printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > ext &&
         openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
           -extfile ext -out cert.pem",
        folder.display()
    );
    sandbox.run_shell(&script).ok().done();
}

/// Takes in events of all kinds: names in other alphabets, braces, line feeds, escape sequences.
pub(crate) fn ingest_events(sandbox: &Sandbox, count: usize) {
    let at = clock::seconds_ago(60);
    let titles =
        ["Signed in", "Zoë {\"x\": [1}", "two\nlines\r\n", "\u{1b}[31mred\u{1b}[0m", "\"]\\"];
    let severities = ["info", "low", "medium", "high", "critical"];
    let event = |n: usize| {
        json!({
            "action": if n.is_multiple_of(7) { "settings.write" } else { "user.edit" },
            "occurred_at": at,
            "severity": severities[n % severities.len()],
            "title": titles[n % titles.len()],
            "actor_id": (n % 13).to_string(),
            "actor_label": format!("Jérôme \"{n}\" ]\\"),
            "target_type": "user",
            "target_id": format!("slug-{}", n % 11),
            "payload": {"n": n, "text": "x".repeat(n % 300)},
        })
        .to_string()
    };
    sandbox.ingest(join_lines((0..count).map(event)));
}

/// The ids of the events that a query finds, in the order of the log.
fn event_ids(sandbox: &Sandbox, query: &[&str]) -> Vec<String> {
    let args = ["list", "--json", "--sort", "id:asc", "--limit", "10000"];
    let events = sandbox.run(args.iter().chain(query)).ok().no_stderr().json_lines();
    events.iter().map(event_id).collect()
}

fn event_id(event: &Value) -> String {
    event["event_id"].as_str().unwrap().to_owned()
}

/// Leaves out what came a second time.
fn without_doubles(ids: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    ids.iter().filter(|id| seen.insert(id.as_str())).cloned().collect()
}

/// Runs the mirrors until nothing waits.
#[track_caller]
fn run_until_delivered(sandbox: &Sandbox) {
    wait::until_true("all to be delivered", || {
        let output = sandbox.command(["mirror"]).output().unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 75)), "{}", String::from_utf8_lossy(&output.stderr));
        code == Some(0)
    });
}
