//! Syslog: rsyslog and syslog-ng over a unix socket, UDP, TCP in both framings, and TLS.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::mirrors::Server;
use crate::mirrors::clocks;
use crate::mirrors::event_id;
use crate::mirrors::event_ids;
use crate::mirrors::free_port;
use crate::mirrors::ingest_events;
use crate::mirrors::receivers;
use crate::mirrors::without_doubles;
use crate::mirrors::write_certificates;
use crate::support::Sandbox;
use crate::support::wait;
use crate::tools;

/// The ways in, each with a mirror that has its name as `app`.
const WAYS: [&str; 5] = ["unix", "udp", "octets", "lines", "tls"];

/// A receiver, and the file that it writes: a line for each message, of app, message id, structured
/// data and text.
struct SyslogReceiver {
    sandbox: Sandbox,
    ports: Ports,
    kind: ReceiverKind,
    root: PathBuf,
    server: Option<Server>,
}

#[derive(Clone, Copy)]
enum ReceiverKind {
    Rsyslog,
    SyslogNg,
}

struct Ports {
    udp: u16,
    octets: u16,
    lines: u16,
    tls: u16,
}

impl SyslogReceiver {
    /// Returns `None` where the receiver cannot be had.
    fn start(kind: ReceiverKind) -> Option<Self> {
        if !tools::require_programs(&["openssl"]) {
            return None;
        }
        let root = receivers::folder(match kind {
            ReceiverKind::Rsyslog => "rsyslog",
            ReceiverKind::SyslogNg => "syslog-ng",
        })?;
        let sandbox = Sandbox::new();
        write_certificates(&sandbox, &sandbox.work_folder());
        let ports =
            Ports { udp: free_port(), octets: free_port(), lines: free_port(), tls: free_port() };
        let mut receiver = Self { sandbox, ports, kind, root, server: None };
        receiver.restart();
        Some(receiver)
    }

    fn restart(&mut self) {
        // A socket that a killed receiver left would be in the way.
        drop(fs::remove_file(self.sandbox.path("socket")));
        let here = self.sandbox.work_folder();
        let here = here.display();
        let root = self.root.display();
        let libraries = format!("{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu");
        let command = match self.kind {
            ReceiverKind::Rsyslog => {
                self.sandbox.write("rsyslog.conf", self.rsyslog_config());
                let mut command = self.sandbox.command_of(self.root.join("usr/sbin/rsyslogd"));
                let modules = format!("{root}/usr/lib/x86_64-linux-gnu/rsyslog");
                command
                    .args([
                        "-n",
                        "-f",
                        "rsyslog.conf",
                        "-i",
                        &format!("{here}/pid"),
                        "-M",
                        &modules,
                    ])
                    .env("LD_LIBRARY_PATH", libraries);
                command
            }
            ReceiverKind::SyslogNg => {
                self.sandbox.write("syslog-ng.conf", self.syslog_ng_config());
                let mut command = self.sandbox.command_of(self.root.join("usr/sbin/syslog-ng"));
                let modules = format!("{root}/usr/lib/syslog-ng/3.38");
                command
                    .args(["-F", "--no-caps", "-f", "syslog-ng.conf"])
                    .args(["-R", &format!("{here}/persist"), "-p", &format!("{here}/pid")])
                    .args(["-c", &format!("{here}/control"), "--module-path", &modules])
                    .env("LD_LIBRARY_PATH", format!("{libraries}:{root}/usr/lib/syslog-ng"));
                command
            }
        };
        let server = Server::start(command, &self.sandbox.path("server.log"));
        for port in [self.ports.octets, self.ports.lines, self.ports.tls] {
            server.wait_for_port(port);
        }
        self.server = Some(server);
    }

    /// The queue is direct: a message is in the file before the next one is read, so that a receiver
    /// that is killed has lost none of those that it has read.
    fn rsyslog_config(&self) -> String {
        let here = self.sandbox.work_folder();
        let here = here.display();
        let Ports { udp, octets, lines, tls } = self.ports;
        format!(
            r#"global(workDirectory="{here}" maxMessageSize="2m" defaultNetstreamDriverCAFile="{here}/ca.pem"
  defaultNetstreamDriverCertFile="{here}/cert.pem" defaultNetstreamDriverKeyFile="{here}/key.pem")
main_queue(queue.type="Direct")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
module(load="imuxsock" SysSock.Use="off")
input(type="imudp" address="127.0.0.1" port="{udp}" rcvbufSize="4m")
input(type="imptcp" address="127.0.0.1" port="{octets}")
input(type="imptcp" address="127.0.0.1" port="{lines}")
input(type="imtcp" address="127.0.0.1" port="{tls}")
input(type="imuxsock" Socket="{here}/socket" useSpecialParser="off" parseHostname="on")
template(name="all" type="string" string="%app-name% %msgid% %structured-data% %msg%\n")
*.* action(type="omfile" file="{here}/received" template="all")
"#
        )
    }

    fn syslog_ng_config(&self) -> String {
        let here = self.sandbox.work_folder();
        let here = here.display();
        let Ports { udp, octets, lines, tls } = self.ports;
        format!(
            r#"@version: 3.38
options {{ keep-hostname(yes); use-dns(no); dns-cache(no); flush-lines(1); stats-freq(0); log-msg-size(2097152); }};
source incoming {{
  unix-dgram("{here}/socket" flags(syslog-protocol));
  network(ip("127.0.0.1") port({udp}) transport("udp") flags(syslog-protocol) so-rcvbuf(4194304));
  syslog(ip("127.0.0.1") port({octets}) transport("tcp"));
  network(ip("127.0.0.1") port({lines}) transport("tcp") flags(syslog-protocol));
  syslog(ip("127.0.0.1") port({tls}) transport("tls") tls(key-file("{here}/key.pem")
    cert-file("{here}/cert.pem") peer-verify(optional-untrusted)));
}};
destination received {{ file("{here}/received" template("$PROGRAM $MSGID $SDATA $MSG\n")); }};
log {{ source(incoming); destination(received); flags(flow-control); }};
"#
        )
    }

    /// The config of a mirror for each way.
    fn mirror_config(&self, ways: &[&str], more: &str) -> String {
        let Ports { udp, octets, lines, tls } = self.ports;
        let here = self.sandbox.work_folder();
        let here = here.display();
        let mirror = |way: &&str| {
            let keys = match *way {
                "unix" => format!("address = 'unix:{here}/socket'"),
                "udp" => format!("address = 'udp://127.0.0.1:{udp}'"),
                "octets" => format!("address = 'tcp://127.0.0.1:{octets}'"),
                "lines" => format!("address = 'tcp://127.0.0.1:{lines}'\nframing = 'lines'"),
                _ => format!("address = 'tls://localhost:{tls}'\nca_file = '{here}/ca.pem'"),
            };
            format!(
                "[[mirror]]\nname = '{way}'\ntype = 'syslog'\napp = '{way}'\nsd = 'TOKEN@41058'\n\
                 {keys}\n{more}\n"
            )
        };
        ways.iter().map(mirror).collect()
    }

    /// The messages that came, each with its way.
    fn received(&self) -> Vec<(String, Value)> {
        let received = fs::read(self.sandbox.path("received")).unwrap_or_default();
        let received = String::from_utf8(received).unwrap();
        // A last line may be half written.
        let whole = received.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let message = |line: &str| {
            let way = line.split(' ').next().unwrap().to_owned();
            let event: Value =
                serde_json::from_str(&line[line.find("{\"id\":").unwrap()..]).unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[1], event["action"], "{line}");
            assert!(line.contains(" [activity@32473 ") && line.contains("[TOKEN@41058"), "{line}");
            (way, event)
        };
        whole.lines().map(message).collect()
    }

    /// The ids of the events that came on one way, in their order.
    fn received_ids(&self, way: &str) -> Vec<String> {
        let messages = self.received().into_iter();
        messages.filter(|(name, _)| name == way).map(|(_, event)| event_id(&event)).collect()
    }
}

fn every_way_has_every_event(kind: ReceiverKind) {
    let Some(receiver) = SyslogReceiver::start(kind) else { return };
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", receiver.mirror_config(&WAYS, ""));
    ingest_events(&sandbox, 400);
    sandbox.run(["mirror"]).ok().done();
    let ids = event_ids(&sandbox, &[]);
    wait::until_true("all messages", || receiver.received().len() >= WAYS.len() * ids.len());
    for way in WAYS {
        assert_eq!(receiver.received_ids(way), ids, "{way}");
    }
    let events = sandbox.stored_events();
    let octets: Vec<Value> = receiver
        .received()
        .into_iter()
        .filter(|(way, _)| way == "octets")
        .map(|(_, event)| event)
        .collect();
    assert_eq!(octets, events, "the whole event is in the text");
}

#[test]
fn rsyslog_gets_every_event_once_on_every_way() {
    every_way_has_every_event(ReceiverKind::Rsyslog);
}

#[test]
fn syslog_ng_gets_every_event_once_on_every_way() {
    every_way_has_every_event(ReceiverKind::SyslogNg);
}

#[test]
fn a_receiver_that_is_killed_in_mid_batch_misses_nothing() {
    let Some(mut receiver) = SyslogReceiver::start(ReceiverKind::Rsyslog) else { return };
    let sandbox = Sandbox::new();
    let ways = ["octets", "lines", "tls"];
    let pace = "batch = 100\nattempts = 1\nwait = '1s'\ntimeout = '20s'";
    sandbox.write("config.toml", receiver.mirror_config(&ways, pace));
    ingest_events(&sandbox, 3000);
    let child = sandbox.spawn(sandbox.command(["mirror"]));
    wait::until_true("some messages", || receiver.received().len() >= 300);
    receiver.server.as_mut().unwrap().kill();
    let out = sandbox.wait_with_output(child);
    out.exits(75).done();
    receiver.restart();
    super::run_until_delivered(&sandbox);
    let ids = event_ids(&sandbox, &[]);
    for way in ways {
        let received = receiver.received_ids(way);
        assert_eq!(without_doubles(&received), ids, "{way}");
        let doubles = received.len() - ids.len();
        assert!(doubles <= 100, "{way}: {doubles} came twice");
    }
}

#[test]
fn a_receiver_whose_authority_is_unknown_gets_nothing() {
    let Some(receiver) = SyslogReceiver::start(ReceiverKind::SyslogNg) else { return };
    let sandbox = Sandbox::new();
    let config = receiver.mirror_config(&["tls"], "attempts = 1\nwait = '1s'");
    let config: String =
        config.lines().filter(|line| !line.starts_with("ca_file")).collect::<Vec<_>>().join("\n");
    sandbox.write("config.toml", config);
    ingest_events(&sandbox, 1);
    let out = sandbox.run(["mirror"]);
    assert!(out.stderr().contains("certificate"), "{out}");
    out.exits(75).done();
    assert!(receiver.received().is_empty());
}

#[test]
fn a_clock_that_steps_changes_no_order_and_holds_nothing_up() {
    if !tools::require_programs(&["faketime"]) {
        return;
    }
    let Some(receiver) = SyslogReceiver::start(ReceiverKind::Rsyslog) else { return };
    // The certificate of the receiver holds for two days, and it reads no head of a year behind 2099.
    let sound = format!("action:{}", clocks::SOUND_ACTION);
    for (way, port) in [("octets", receiver.ports.octets), ("tls", receiver.ports.tls)] {
        let sandbox = Sandbox::new();
        let more = format!("attempts = 1\nwait = '1s'\nquery = '{sound}'");
        let config = receiver.mirror_config(&[way], &more);
        clocks::deliver_while_the_clock_steps(&sandbox, &config, port);
        let ids = event_ids(&sandbox, &[&sound]);
        wait::until_true("all messages", || receiver.received_ids(way).len() >= ids.len());
        assert_eq!(receiver.received_ids(way), ids, "{way}");
    }
}
