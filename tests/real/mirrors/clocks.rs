//! Every kind of destination, on a host whose clock steps back and forth.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;

use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;

use crate::mirrors::cloudwatch;
use crate::mirrors::event_id;
use crate::mirrors::event_ids;
use crate::mirrors::free_port;
use crate::mirrors::run_until_delivered;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::http_receiver::HttpReceiver;
use crate::support::wait;
use crate::tools;

/// What the clock says at one run after the other.
const CLOCKS: [&str; 4] =
    ["2026-01-01 00:00:00", "2038-01-19 03:14:08", "2024-11-27 00:00:00", "2262-04-11 00:00:00"];

/// The action of the events whose own time is right, as that of an event from elsewhere would be.
pub(super) const SOUND_ACTION: &str = "clock.sound";

fn command_at(sandbox: &Sandbox, clock: &str, args: &[&str]) -> Command {
    let mut command = sandbox.command_of("faketime");
    command.arg(clock).arg(env!("CARGO_BIN_EXE_activity")).args(args);
    command
}

/// Records two events at what the clock says: one at that time, and one whose own time is right.
fn ingest_at(sandbox: &Sandbox, clock: &str) {
    let sound = json!({ "action": SOUND_ACTION, "occurred_at": clock::seconds_ago(60) });
    let lines = format!("{{\"action\":\"clock.any\"}}\n{sound}\n");
    let command = command_at(sandbox, clock, &["ingest", "--quiet"]);
    sandbox.run_command_with_input(command, lines).ok().done();
}

/// Records and delivers events while the clock steps, and at last with the true one. `config` has the
/// port of the destination; while another one stands there, nothing is delivered.
pub(super) fn deliver_while_the_clock_steps(sandbox: &Sandbox, config: &str, port: u16) {
    let away = config.replace(&format!(":{port}"), &format!(":{}", free_port()));
    for (n, clock) in CLOCKS.iter().enumerate() {
        ingest_at(sandbox, clock);
        // In 2038 and in 2262 it fails, and notes a wait until then.
        if n % 2 == 1 {
            sandbox.write("config.toml", &away);
            sandbox.run_command(command_at(sandbox, clock, &["mirror"])).exits(75).done();
        }
    }
    sandbox.write("config.toml", config);
    for clock in CLOCKS {
        // A certificate may not hold then, and the destination waits.
        let out = sandbox.run_command(command_at(sandbox, clock, &["mirror"]));
        out.exits_with_one_of(&[0, 75]);
        ingest_at(sandbox, clock);
    }
    run_until_delivered(sandbox);
    // A central store has the event that tells of the recovery too.
    sandbox.run(["mirror"]).ok().done();
    let rows = sandbox.run(["mirror", "status", "--json"]).ok().json_lines();
    assert!(rows.iter().all(|row| row["dead"] == 0 && row["waiting"] == 0), "{rows:?}");
}

fn has_faketime() -> bool {
    tools::require_programs(&["faketime"])
}

#[test]
fn a_file_gets_every_event_in_order() {
    if !has_faketime() {
        return;
    }
    let sandbox = Sandbox::new();
    // No port, so that its folder is what is missing.
    let config =
        "[[mirror]]\nname = 'm'\ntype = 'file'\npath = 'later/m.log'\nattempts = 1\nwait = '1s'\n";
    sandbox.write("config.toml", config);
    for (n, clock) in CLOCKS.iter().enumerate() {
        ingest_at(&sandbox, clock);
        if n == 1 {
            sandbox.run_command(command_at(&sandbox, clock, &["mirror"])).exits(75).done();
            fs::create_dir(sandbox.path("later")).unwrap();
        }
    }
    for clock in CLOCKS {
        sandbox.run_command(command_at(&sandbox, clock, &["mirror"])).ok().done();
        ingest_at(&sandbox, clock);
    }
    run_until_delivered(&sandbox);
    assert_eq!(ids_in_file(&sandbox, "later/m.log"), event_ids(&sandbox, &[]));
}

fn ids_in_file(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let text = fs::read_to_string(sandbox.path(name)).unwrap_or_default();
    let event = |line: &str| serde_json::from_str(&line[line.find("{\"id\":").unwrap()..]).unwrap();
    text.lines().map(|line| event_id(&event(line))).collect()
}

/// Delivers to a service by HTTP while the clock steps. `ids` reads the ids of the events of a request.
fn a_service_gets_every_event(
    mirror: impl FnOnce(&HttpReceiver) -> String,
    ids: fn(&str) -> Vec<i64>,
) {
    if !has_faketime() {
        return;
    }
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&taken);
    let receiver = HttpReceiver::start(&[], move |body| {
        kept.lock().unwrap().extend(ids(body));
        "200 OK"
    });
    let sandbox = Sandbox::new();
    cloudwatch::write_credentials(&sandbox, "A", "B");
    let pace = "attempts = 1\nwait = '1s'";
    let config = format!("[[mirror]]\nname = 'm'\n{}\n{pace}\n", mirror(&receiver));
    deliver_while_the_clock_steps(&sandbox, &config, receiver.address.port());
    let stored: Vec<i64> =
        sandbox.stored_events().iter().map(|event| event["id"].as_i64().unwrap()).collect();
    // An event that tells of the mirror goes to none.
    let own = sandbox.run(["list", "--json", "action:mirror.*"]).ok().ids();
    let wanted: Vec<i64> = stored.into_iter().filter(|id| !own.contains(id)).collect();
    assert_eq!(*taken.lock().unwrap(), wanted);
}

fn id_of_line(line: &str) -> i64 {
    serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap()
}

fn ids_of_lines(body: &str) -> Vec<i64> {
    body.lines().map(id_of_line).collect()
}

#[test]
fn an_http_service_gets_every_event_in_order() {
    let mirror = |to: &HttpReceiver| format!("type = 'http'\nurl = '{}'", to.url("/"));
    a_service_gets_every_event(mirror, ids_of_lines);
}

#[test]
fn loggly_gets_every_event_in_order() {
    let mirror = |to: &HttpReceiver| format!("type = 'loggly'\nurl = '{}'", to.url("/bulk/TOKEN/"));
    a_service_gets_every_event(mirror, ids_of_lines);
}

#[test]
fn slack_gets_every_event_in_order() {
    let mirror =
        |to: &HttpReceiver| format!("type = 'slack'\nurl = '{}'", to.url("/services/T/B/X"));
    a_service_gets_every_event(mirror, |body| {
        let message: Value = serde_json::from_str(body).unwrap();
        let lines = message["text"].as_str().unwrap().lines();
        lines.map(|line| line.rsplit_once(" #").unwrap().1.parse().unwrap()).collect()
    });
}

#[test]
fn cloudwatch_gets_every_event_in_order() {
    let mirror = |to: &HttpReceiver| {
        let endpoint = to.url("");
        format!(
            "type = 'cloudwatch'\nregion = 'eu-central-1'\ngroup = 'g'\nendpoint = '{endpoint}'\n\
             batch = 1"
        )
    };
    a_service_gets_every_event(mirror, |body| {
        let request: Value = serde_json::from_str(body).unwrap();
        let events = request["logEvents"].as_array().unwrap().iter();
        events.map(|event| id_of_line(event["message"].as_str().unwrap())).collect()
    });
}

#[test]
fn a_clock_that_steps_under_a_run_without_an_end_holds_nothing_up() {
    if !has_faketime() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write(
        "config.toml",
        "[[mirror]]\nname = 'm'\ntype = 'file'\npath = 'later/m.log'\nwait = '1s'\n",
    );
    let ingest = |id: &str| sandbox.ingest(json!({ "action": "a.b", "event_id": id }).to_string());
    ingest("e1");
    let clock = sandbox.write("clock", "+0");
    let set_clock = |offset: &str| {
        sandbox.write("clock.new", offset);
        fs::rename(sandbox.path("clock.new"), &clock).unwrap();
    };
    // The wrapper knows where the library is, which reads the offset from the file at each look.
    let mut wrapper = sandbox.command_of("faketime");
    wrapper.args(["-f", "+0", "printenv", "LD_PRELOAD"]);
    let library = sandbox.run_command(wrapper).ok().stdout().trim_end().to_owned();
    let mut command = sandbox.command(["mirror", "--follow"]);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    let child = sandbox.spawn(command);
    let status = || sandbox.run(["mirror", "status", "--json"]).ok().json();
    wait::until("it to fail", &child, || status().get("last_error").map(drop));
    set_clock("+3650d");
    let told = || !sandbox.run(["list", "--json", "action:mirror.failing"]).ok().ids().is_empty();
    wait::until("ten years of failing to be told", &child, || told().then_some(()));
    set_clock("-3650d");
    fs::create_dir(sandbox.path("later")).unwrap();
    let has = |count| (ids_in_file(&sandbox, "later/m.log").len() == count).then_some(());
    wait::until("what waited to arrive", &child, || has(1));
    ingest("e2");
    wait::until("the next event", &child, || has(2));
    set_clock("+100d");
    ingest("e3");
    wait::until("the last event", &child, || has(3));
    wait::send_signal(&child, Signal::TERM);
    drop(sandbox.wait_with_output(child));
    assert_eq!(ids_in_file(&sandbox, "later/m.log"), ["e1", "e2", "e3"]);
}
