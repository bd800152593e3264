//! A run that is killed at each call with which it sends or keeps something, for every kind of destination.

use std::io::Read;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::mirrors::cloudwatch;
use crate::mirrors::event_id;
use crate::mirrors::event_ids;
use crate::mirrors::ingest_events;
use crate::mirrors::run_until_delivered;
use crate::mirrors::without_doubles;
use crate::strace;
use crate::support::Sandbox;
use crate::support::http_receiver::HttpReceiver;
use crate::tools;

const BATCH: usize = 10;
const EVENTS: usize = 3 * BATCH;

/// What a receiver has taken, in the order in which it came.
type TakenIds = Arc<Mutex<Vec<String>>>;

/// Kills a run at each of its calls that send something or sync the log, and has the next run do the
/// rest. `config` is that of the mirror, and `received` returns what the receiver got from this log.
pub(super) fn nothing_is_lost_by_kills(
    config: impl Fn(&Sandbox) -> String,
    received: impl Fn(&Sandbox) -> Vec<String>,
    most_doubles: usize,
) {
    for call in ["sendto", "write", "fdatasync"] {
        for nth in 1.. {
            let sandbox = Sandbox::in_memory();
            cloudwatch::write_credentials(&sandbox, "A", "B");
            let pace = format!("batch = {BATCH}\nattempts = 1\nwait = '1s'\n");
            sandbox.write("config.toml", config(&sandbox) + &pace);
            ingest_events(&sandbox, EVENTS);
            let (_, injected) =
                strace::inject(&sandbox, call, "signal=SIGKILL", nth, false, &["mirror"]);
            run_until_delivered(&sandbox);
            let what = format!("{call} {nth}");
            let (received, ids) = (received(&sandbox), event_ids(&sandbox, &[]));
            assert_eq!(without_doubles(&received), ids, "{what}");
            let doubles = received.len() - ids.len();
            assert!(doubles <= if injected { most_doubles } else { 0 }, "{what}: {doubles}");
            sandbox.assert_sound_with(EVENTS as u64);
            if !injected {
                assert!(nth > 1 || call != "fdatasync", "{what}: no call was met");
                break;
            }
        }
    }
}

fn has_strace() -> bool {
    tools::require_programs(&["strace"])
}

/// Kills runs that deliver to a service by HTTP. `lines` reads the JSON of the events of a request.
fn a_service_gets_every_event(
    mirror: impl Fn(&HttpReceiver) -> String,
    lines: fn(&str) -> Vec<String>,
) {
    if !has_strace() {
        return;
    }
    let taken = TakenIds::default();
    let kept = Arc::clone(&taken);
    let receiver = HttpReceiver::start(&[], move |body| {
        kept.lock().unwrap().extend(lines(body));
        "200 OK"
    });
    let keys = mirror(&receiver);
    let config = |_: &Sandbox| format!("[[mirror]]\nname = 'm'\n{keys}\n");
    let received = |_: &Sandbox| std::mem::take(&mut *taken.lock().unwrap());
    nothing_is_lost_by_kills(config, received, BATCH);
}

fn id_of_line(line: &str) -> String {
    event_id(&serde_json::from_str(line).unwrap())
}

fn ids_of_lines(body: &str) -> Vec<String> {
    body.lines().map(id_of_line).collect()
}

#[test]
fn an_http_service_gets_every_event() {
    let mirror = |to: &HttpReceiver| format!("type = 'http'\nurl = '{}'", to.url("/"));
    a_service_gets_every_event(mirror, ids_of_lines);
}

#[test]
fn loggly_gets_every_event() {
    let mirror = |to: &HttpReceiver| format!("type = 'loggly'\nurl = '{}'", to.url("/bulk/TOKEN/"));
    a_service_gets_every_event(mirror, ids_of_lines);
}

#[test]
fn slack_gets_every_event() {
    if !has_strace() {
        return;
    }
    let taken = TakenIds::default();
    let kept = Arc::clone(&taken);
    let receiver = HttpReceiver::start(&[], move |body| {
        let message: Value = serde_json::from_str(body).unwrap();
        let lines = message["text"].as_str().unwrap().lines();
        let places = lines.map(|line| line.rsplit_once(" #").unwrap().1.to_owned());
        kept.lock().unwrap().extend(places);
        "200 OK"
    });
    let url = receiver.url("/services/T/B/X");
    let config = |_: &Sandbox| format!("[[mirror]]\nname = 'm'\ntype = 'slack'\nurl = '{url}'\n");
    // A message names an event by its place in the log.
    let received = |sandbox: &Sandbox| {
        let ids = event_ids(sandbox, &[]);
        let places = std::mem::take(&mut *taken.lock().unwrap());
        places.iter().map(|place| ids[place.parse::<usize>().unwrap() - 1].clone()).collect()
    };
    nothing_is_lost_by_kills(config, received, BATCH);
}

#[test]
fn cloudwatch_gets_every_event() {
    let mirror = |to: &HttpReceiver| {
        let endpoint = to.url("");
        format!(
            "type = 'cloudwatch'\nregion = 'eu-central-1'\ngroup = 'g'\nendpoint = '{endpoint}'"
        )
    };
    a_service_gets_every_event(mirror, |body| {
        let request: Value = serde_json::from_str(body).unwrap();
        let events = request["logEvents"].as_array().unwrap().iter();
        events.map(|event| id_of_line(event["message"].as_str().unwrap())).collect()
    });
}

/// Starts a receiver of syslog with a line for each message.
fn start_syslog_receiver() -> (SocketAddr, TakenIds) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken = TakenIds::default();
    let kept = Arc::clone(&taken);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut text = String::new();
            // A run that was killed may have left half a message.
            drop(stream.unwrap().read_to_string(&mut text));
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let json = |line: &str| line[line.find("{\"id\":").unwrap()..].to_owned();
            kept.lock().unwrap().extend(whole.lines().map(|line| id_of_line(&json(line))));
        }
    });
    (address, taken)
}

#[test]
fn a_syslog_server_gets_every_event() {
    if !has_strace() {
        return;
    }
    let (address, taken) = start_syslog_receiver();
    let config = |_: &Sandbox| {
        format!(
            "[[mirror]]\nname = 'm'\ntype = 'syslog'\naddress = 'tcp://{address}'\nframing = 'lines'\n"
        )
    };
    let received = |_: &Sandbox| std::mem::take(&mut *taken.lock().unwrap());
    nothing_is_lost_by_kills(config, received, BATCH);
}
