//! Mirrors whose destinations are silent, break off, refuse, or take a batch and do not say so: what a
//! receiver has got in the end is what the query finds, in its order.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

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
}

fn json_line_ids(body: &str) -> Vec<String> {
    let id = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["event_id"].as_str().unwrap().to_owned()
    };
    body.lines().map(id).collect()
}

#[test]
fn an_http_service_gets_every_event() {
    let mirror = |to: &HttpReceiver| format!("type = 'http'\nurl = '{}'", to.url("/events"));
    every_fault_is_survived(mirror, json_line_ids, |_| {});
}

#[test]
fn loggly_gets_every_event() {
    let mirror = |to: &HttpReceiver| format!("type = 'loggly'\nurl = '{}'", to.url("/bulk/TOKEN/"));
    every_fault_is_survived(mirror, json_line_ids, |_| {});
}

#[test]
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

#[test]
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
    every_fault_is_survived(mirror, ids, |sandbox| {
        let folder = sandbox.home().join(".aws");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("credentials");
        fs::write(&path, "[default]\naws_access_key_id = A\naws_secret_access_key = B\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    });
}

/// A receiver of syslog with the length in front of each message.
fn start_syslog_receiver(fates: &'static [Fate]) -> (SocketAddr, TakenIds) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken = TakenIds::default();
    let kept = Arc::clone(&taken);
    thread::spawn(move || {
        let mut fates = fates.iter().copied();
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
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

#[test]
fn a_syslog_server_gets_every_event() {
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
