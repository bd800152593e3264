//! Mirrors whose destinations are silent, break off, refuse, or take a batch and do not say so: what a
//! receiver has got in the end is what the query finds, in its order.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::io::Read;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::Sandbox;
use crate::support::http_receiver::Fate;
use crate::support::http_receiver::HttpReceiver;
use crate::support::wait;

/// The events of each log: `e1` to `e60`, in batches of ten.
const EVENTS: usize = 60;
const PACE: &str = "batch = 10\nattempts = 3\nwait = '1s'\ntimeout = '4s'";

/// The event that every service refuses.
const BAD: &str = "e55";

/// One fault before each batch. The answer to the fifth is lost, so its events come twice.
const FATES: [Fate; 11] = [
    Fate::Silence,
    Fate::Taken,
    Fate::Reset,
    Fate::Taken,
    Fate::Status("429 Too Many Requests\r\nRetry-After: 1"),
    Fate::Taken,
    Fate::Status("503 Service Unavailable"),
    Fate::Taken,
    Fate::Status("403 Forbidden"),
    Fate::AnswerLost,
    Fate::Taken,
];

/// The `event_id`s that a receiver has taken, in the order in which they came.
type TakenIds = Arc<Mutex<Vec<String>>>;

fn numbered(first: usize, last: usize) -> Vec<String> {
    (first..=last).map(|n| format!("e{n}")).collect()
}

fn sandbox_with(mirror: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", format!("[[mirror]]\nname = 'm'\n{mirror}\n{PACE}\n"));
    let event = |id: String| format!("{{\"event_id\":\"{id}\",\"action\":\"a.b\"}}\n");
    sandbox.ingest(numbered(1, EVENTS).into_iter().map(event).collect::<String>());
    sandbox
}

/// Runs the mirror until nothing waits.
#[track_caller]
fn run_until_delivered(sandbox: &Sandbox) {
    wait::until_true("all to be delivered", || {
        let out = sandbox.run(["mirror"]);
        assert!(matches!(out.code, Some(0 | 75)), "{out}");
        out.code == Some(0)
    });
}

/// Delivers to a service by HTTP that has every fault, and checks what it has got. `ids` reads the
/// events of a request.
#[track_caller]
fn every_fault_is_survived(
    mirror: impl FnOnce(&HttpReceiver) -> String,
    ids: fn(&str) -> Vec<String>,
    prepare: impl FnOnce(&Sandbox),
) {
    let taken = TakenIds::default();
    let kept = Arc::clone(&taken);
    let receiver = HttpReceiver::start(&FATES, move |body| {
        let ids = ids(body);
        assert!(!ids.is_empty(), "{body}");
        if ids.iter().any(|id| id == BAD) {
            return "400 Bad Request";
        }
        kept.lock().unwrap().extend(ids);
        "200 OK"
    });
    let sandbox = sandbox_with(&mirror(&receiver));
    prepare(&sandbox);
    run_until_delivered(&sandbox);
    let taken = taken.lock().unwrap().clone();
    let good = |ids: Vec<String>| ids.into_iter().filter(|id| id != BAD);
    let wanted: Vec<String> =
        numbered(1, 50).into_iter().chain(numbered(41, 50)).chain(good(numbered(51, 60))).collect();
    assert_eq!(taken, wanted, "in order; twice only what was not confirmed");
    let status = sandbox.run(["mirror", "status", "--json"]).ok().json();
    assert_eq!((&status["delivered"], &status["dead"]), (&59.into(), &1.into()), "{status}");
    let out = sandbox.run(["mirror", "retry", "m"]).exits(69);
    assert_eq!(out.stdout(), "m: 0 events delivered\n");
    assert!(out.stderr().contains("m: 1 event refused for good, the last: "), "{out}");
}

/// Gives the sandbox credentials for CloudWatch.
fn write_credentials(sandbox: &Sandbox) {
    let folder = sandbox.home().join(".aws");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("credentials");
    fs::write(&path, "[default]\naws_access_key_id = A\naws_secret_access_key = B\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn json_line_ids(body: &str) -> Vec<String> {
    let id = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["event_id"].as_str().unwrap().to_owned()
    };
    body.lines().map(id).collect()
}

/// Most of the time is time-outs, so they are waited for side by side.
#[test]
fn every_service_gets_every_event() {
    let services: [(&str, fn()); 5] = [
        ("http", http_gets_every_event),
        ("loggly", loggly_gets_every_event),
        ("slack", slack_gets_every_event),
        ("cloudwatch", cloudwatch_gets_every_event),
        ("syslog", syslog_gets_every_event),
    ];
    thread::scope(|scope| {
        for (name, check) in services {
            // A thread that panics is named.
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn_scoped(scope, check).unwrap();
        }
    });
}

fn http_gets_every_event() {
    let mirror = |to: &HttpReceiver| format!("type = 'http'\nurl = '{}'", to.url("/events"));
    every_fault_is_survived(mirror, json_line_ids, |_| {});
}

fn loggly_gets_every_event() {
    let mirror = |to: &HttpReceiver| format!("type = 'loggly'\nurl = '{}'", to.url("/bulk/TOKEN/"));
    every_fault_is_survived(mirror, json_line_ids, |_| {});
}

fn slack_gets_every_event() {
    let mirror =
        |to: &HttpReceiver| format!("type = 'slack'\nurl = '{}'", to.url("/services/T/B/X"));
    let ids = |body: &str| {
        let message: Value = serde_json::from_str(body).unwrap();
        let lines = message["text"].as_str().unwrap().lines();
        lines.map(|line| format!("e{}", line.rsplit_once(" #").unwrap().1)).collect()
    };
    every_fault_is_survived(mirror, ids, |_| {});
}

fn cloudwatch_gets_every_event() {
    let mirror = |to: &HttpReceiver| {
        let endpoint = to.url("");
        format!(
            "type = 'cloudwatch'\nregion = 'eu-central-1'\ngroup = 'g'\nendpoint = '{endpoint}'"
        )
    };
    let ids = |body: &str| {
        let request: Value = serde_json::from_str(body).unwrap();
        let events = request["logEvents"].as_array().unwrap().iter();
        events.flat_map(|event| json_line_ids(event["message"].as_str().unwrap())).collect()
    };
    every_fault_is_survived(mirror, ids, write_credentials);
}

/// A receiver of syslog with the length in front of each message.
fn start_syslog_receiver(fates: &'static [Fate]) -> (SocketAddr, TakenIds) {
    start_syslog_receiver_on(TcpListener::bind("127.0.0.1:0").unwrap(), fates)
}

/// The same, on a port that is open already.
fn start_syslog_receiver_on(
    listener: TcpListener,
    fates: &'static [Fate],
) -> (SocketAddr, TakenIds) {
    let address = listener.local_addr().unwrap();
    let taken = TakenIds::default();
    let kept = Arc::clone(&taken);
    thread::spawn(move || {
        let mut fates = fates.iter().copied();
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A mirror only looks whether the receiver is still there.
            if stream.peek(&mut [0]).unwrap() == 0 {
                continue;
            }
            let mut bytes = Vec::new();
            match fates.next().unwrap_or(Fate::Taken) {
                Fate::Silence | Fate::Status(_) => held.push(stream),
                // What is unread when a connection is closed resets it.
                Fate::Reset => stream.read_exact(&mut [0; 300]).unwrap(),
                Fate::AnswerLost => {
                    stream.read_to_end(&mut bytes).unwrap();
                    kept.lock().unwrap().extend(syslog_ids(&bytes));
                    held.push(stream);
                }
                Fate::Taken => {
                    stream.read_to_end(&mut bytes).unwrap();
                    kept.lock().unwrap().extend(syslog_ids(&bytes));
                }
            }
        }
    });
    (address, taken)
}

fn syslog_ids(mut bytes: &[u8]) -> Vec<String> {
    let mut ids = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = str::from_utf8(&bytes[..blank]).unwrap().parse().unwrap();
        let message = str::from_utf8(&bytes[blank + 1..blank + 1 + length]).unwrap();
        let (_, id) = message.split_once(" event_id=\"").unwrap();
        ids.push(id.split_once('"').unwrap().0.to_owned());
        bytes = &bytes[blank + 1 + length..];
    }
    ids
}

fn syslog_gets_every_event() {
    const FATES: [Fate; 6] =
        [Fate::Silence, Fate::Taken, Fate::Reset, Fate::Taken, Fate::AnswerLost, Fate::Taken];
    let (address, taken) = start_syslog_receiver(&FATES);
    let sandbox = sandbox_with(&format!("type = 'syslog'\naddress = 'tcp://{address}'"));
    run_until_delivered(&sandbox);
    let wanted: Vec<String> = numbered(1, 30).into_iter().chain(numbered(21, 60)).collect();
    assert_eq!(*taken.lock().unwrap(), wanted);
}

#[test]
fn a_destination_that_is_silent_makes_no_other_late() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let other = "[[mirror]]\nname = 'near'\ntype = 'file'\npath = 'near.log'\n";
    let sandbox = sandbox_with(&format!("type = 'syslog'\naddress = 'tcp://{address}'"));
    sandbox.append("config.toml", other);
    let child = sandbox.spawn(sandbox.command(["mirror"]));
    let lines = || fs::read_to_string(sandbox.path("near.log")).unwrap_or_default().lines().count();
    wait::until("the other to have all", &child, || (lines() == EVENTS).then_some(()));
    let out = sandbox.wait_with_output(child).exits(75);
    assert!(out.stderr().contains("waiting: 60 events"), "{out}");
}

#[test]
fn mirrors_of_one_kind_and_of_others_each_get_their_own_in_order() {
    let (syslog, by_syslog) = start_syslog_receiver(&[]);
    let by_http = TakenIds::default();
    let kept = Arc::clone(&by_http);
    let http = HttpReceiver::start(&[], move |body| {
        kept.lock().unwrap().extend(json_line_ids(body));
        "200 OK"
    });
    let by_slack = TakenIds::default();
    let kept = Arc::clone(&by_slack);
    let slack = HttpReceiver::start(&[], move |body| {
        let message: Value = serde_json::from_str(body).unwrap();
        let lines = message["text"].as_str().unwrap().lines();
        kept.lock().unwrap().extend(lines.map(str::to_owned));
        "200 OK"
    });
    let kinds = [
        ("a.x", format!("type = 'syslog'\naddress = 'tcp://{syslog}'")),
        ("a.y", format!("type = 'http'\nurl = '{}'", http.url("/"))),
        ("a.z", format!("type = 'slack'\nurl = '{}'", slack.url("/services/T/B/X"))),
    ];
    let sandbox = Sandbox::new();
    let mut config = String::new();
    for (action, other) in &kinds {
        let file = format!("type = 'file'\npath = '{action}.log'");
        for (kind, keys) in [("file", file.as_str()), ("other", other.as_str())] {
            writeln!(
                config,
                "[[mirror]]\nname = '{kind} {action}'\nquery = 'action:{action}'\n\
                 identifier = '{kind}.{action}'\nbatch = 7\n{keys}"
            )
            .unwrap();
        }
    }
    sandbox.write("config.toml", config);
    let action = |n: usize| kinds[n % kinds.len()].0;
    let event = |n| format!("{{\"event_id\":\"e{n}\",\"action\":\"{}\"}}\n", action(n));
    sandbox.ingest((1..=EVENTS).map(event).collect::<String>());
    sandbox.run(["mirror"]).ok().no_stderr().done();
    let wanted =
        |wanted: &str| -> Vec<usize> { (1..=EVENTS).filter(|n| action(*n) == wanted).collect() };
    let ids =
        |action: &str| -> Vec<String> { wanted(action).iter().map(|n| format!("e{n}")).collect() };
    for (action, _) in &kinds {
        let text = fs::read_to_string(sandbox.path(format!("{action}.log"))).unwrap();
        let lines: Vec<_> =
            text.lines().map(|line| line.split_at(line.find('{').unwrap())).collect();
        assert!(lines.iter().all(|(head, _)| head.contains(&format!("] file.{action}.info: "))));
        let json: Vec<&str> = lines.iter().map(|(_, json)| *json).collect();
        assert_eq!(json_line_ids(&json.join("\n")), ids(action));
    }
    assert_eq!(*by_syslog.lock().unwrap(), ids("a.x"));
    assert_eq!(*by_http.lock().unwrap(), ids("a.y"));
    let line = |n| format!(" · other.a.z #{n}");
    let told = by_slack.lock().unwrap();
    let ends: Vec<String> = wanted("a.z").into_iter().map(line).collect();
    assert_eq!(told.len(), ends.len());
    assert!(told.iter().zip(&ends).all(|(line, end)| line.ends_with(end)), "{told:?}");
}

/// A port of this host that answers nothing: its queue is full, and the kernel drops what else knocks.
struct BlackHole {
    listener: TcpListener,
    queued: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        // The kernel answers on this host at once, or never.
        const LONG_ENOUGH: Duration = Duration::from_millis(500);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, LONG_ENOUGH);
        let mut queued = Vec::new();
        let dropped = loop {
            match connect() {
                Ok(stream) => queued.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(dropped.kind(), ErrorKind::TimedOut);
        Self { listener, queued }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Lets everybody in from now on.
    fn open(self) -> TcpListener {
        for _ in &self.queued {
            drop(self.listener.accept().unwrap());
        }
        self.listener
    }
}

#[test]
fn a_destination_that_drops_every_packet_is_given_up_in_time() {
    let hole = BlackHole::new();
    let address = hole.address();
    let mirrors = [
        ("octets", format!("type = 'syslog'\naddress = 'tcp://{address}'")),
        ("tls", format!("type = 'syslog'\naddress = 'tls://{address}'")),
        ("http", format!("type = 'http'\nurl = 'http://{address}/'")),
        ("loggly", format!("type = 'loggly'\nurl = 'http://{address}/bulk/TOKEN/'")),
        ("slack", format!("type = 'slack'\nurl = 'http://{address}/services/T/B/X'")),
        (
            "aws",
            format!(
                "type = 'cloudwatch'\nregion = 'eu-central-1'\ngroup = 'g'\nendpoint = 'http://{address}'"
            ),
        ),
        ("clickhouse", format!("type = 'clickhouse'\nurl = 'http://{address}/'")),
        ("postgres", format!("type = 'postgres'\nurl = 'postgres://a@{address}/a'")),
    ];
    let central = cfg!(feature = "central");
    let mirrors: Vec<_> =
        mirrors.into_iter().filter(|(name, _)| central || *name != "postgres").collect();
    let sandbox = sandbox_with("type = 'file'\npath = 'near.log'");
    write_credentials(&sandbox);
    for (name, keys) in &mirrors {
        let pace = "attempts = 1\nwait = '1s'\ntimeout = '1s'";
        sandbox.append("config.toml", format!("[[mirror]]\nname = '{name}'\n{keys}\n{pace}\n"));
    }
    let out = sandbox.run(["mirror"]).exits(75);
    assert_eq!(out.stdout(), "m: 60 events delivered\n");
    for (name, _) in &mirrors {
        let is_it = |line: &&str| line.starts_with(&format!("{name}: "));
        let line = out.stderr().lines().find(is_it).unwrap_or_else(|| panic!("{name}: {out}"));
        assert!(line.contains("timed out") && line.ends_with("waiting: 60 events"), "{line}");
    }
    let rows = sandbox.run(["mirror", "status", "--json"]).ok().json_lines();
    assert!(rows.iter().all(|row| row["dead"] == 0), "{rows:?}");
}

#[test]
fn what_a_black_hole_swallowed_arrives_in_order_once_it_is_open() {
    let (syslog, http) = (BlackHole::new(), BlackHole::new());
    let to_syslog = format!("type = 'syslog'\naddress = 'tcp://{}'", syslog.address());
    let to_http = format!("type = 'http'\nurl = 'http://{}/'", http.address());
    let sandbox = sandbox_with(&to_syslog);
    sandbox.append("config.toml", format!("[[mirror]]\nname = 'http'\n{to_http}\n{PACE}\n"));
    sandbox.append("config.toml", "[[mirror]]\nname = 'near'\ntype = 'file'\npath = 'near.log'\n");
    let child = sandbox.spawn(sandbox.command(["mirror", "--follow"]));
    let near = || fs::read_to_string(sandbox.path("near.log")).unwrap_or_default();
    wait::until("the other to have all", &child, || {
        (near().lines().count() == EVENTS).then_some(())
    });
    // Events come in, and reach the other, while the two wait for an answer.
    sandbox.ingest("{\"event_id\":\"e61\",\"action\":\"a.b\"}");
    wait::until("the other to have the newest", &child, || near().contains("e61").then_some(()));
    let failed = |name: &str| {
        let rows = sandbox.run(["mirror", "status", "--json"]).ok().json_lines();
        rows.iter().any(|row| row["name"] == name && row.get("last_error").is_some())
    };
    wait::until("both to fail", &child, || (failed("m") && failed("http")).then_some(()));
    let (_, by_syslog) = start_syslog_receiver_on(syslog.open(), &[]);
    let by_http = TakenIds::default();
    let kept = Arc::clone(&by_http);
    HttpReceiver::start_on(http.open(), &[], move |body| {
        kept.lock().unwrap().extend(json_line_ids(body));
        "200 OK"
    });
    let has_all = |taken: &TakenIds| taken.lock().unwrap().len() > EVENTS;
    wait::until("all to arrive", &child, || {
        (has_all(&by_syslog) && has_all(&by_http)).then_some(())
    });
    wait::send_signal(&child, Signal::TERM);
    drop(sandbox.wait_with_output(child));
    for taken in [by_syslog, by_http] {
        assert_eq!(*taken.lock().unwrap(), numbered(1, EVENTS + 1));
    }
}

#[test]
fn a_socket_that_nobody_reads_takes_what_it_can_and_gets_the_rest_later() {
    let sandbox = sandbox_with("type = 'syslog'\naddress = 'unix:/SOCKET'");
    let config = String::from_utf8(sandbox.read("config.toml")).unwrap();
    let pace = "batch = 10\nattempts = 1\nwait = '1s'\ntimeout = '1s'";
    let path = sandbox.path("socket");
    let config = config.replace(PACE, pace).replace("/SOCKET", path.to_str().unwrap());
    sandbox.write("config.toml", config);
    let socket = UnixDatagram::bind(path).unwrap();
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("socket: timed out; waiting: "), "{out}");
    let reader = thread::spawn(move || {
        let mut taken = Vec::new();
        let mut message = [0; 4096];
        while taken.len() < EVENTS {
            let length = socket.recv(&mut message).unwrap();
            let text = str::from_utf8(&message[..length]).unwrap();
            let (_, id) = text.split_once(" event_id=\"").unwrap();
            taken.push(id.split_once('"').unwrap().0.to_owned());
        }
        taken
    });
    run_until_delivered(&sandbox);
    assert_eq!(reader.join().unwrap(), numbered(1, EVENTS), "each once");
}

#[test]
fn a_run_waits_no_longer_for_what_another_run_delivers() {
    let (address, taken) = start_syslog_receiver(&[]);
    let sandbox = sandbox_with(&format!("type = 'syslog'\naddress = 'tcp://{address}'"));
    let runs: Vec<_> = (0..3).map(|_| sandbox.spawn(sandbox.command(["mirror"]))).collect();
    for run in runs {
        sandbox.wait_with_output(run).ok().no_stderr().done();
    }
    run_until_delivered(&sandbox);
    assert_eq!(*taken.lock().unwrap(), numbered(1, EVENTS), "each once");
}

#[test]
fn a_direct_mirror_whose_service_is_silent_fails_no_ingest() {
    let taken = TakenIds::default();
    let kept = Arc::clone(&taken);
    let receiver = HttpReceiver::start(&[Fate::Silence], move |body| {
        kept.lock().unwrap().extend(json_line_ids(body));
        "200 OK"
    });
    let url = receiver.url("/");
    // The ingest succeeds, and says nothing.
    let sandbox = sandbox_with(&format!("type = 'http'\nurl = '{url}'\ndirect = true"));
    assert!(taken.lock().unwrap().is_empty());
    run_until_delivered(&sandbox);
    assert_eq!(*taken.lock().unwrap(), numbered(1, EVENTS));
    sandbox.ingest("{\"event_id\":\"e61\",\"action\":\"a.b\"}");
    assert_eq!(*taken.lock().unwrap(), numbered(1, EVENTS + 1), "it is there when ingest ends");
}
