//! Mirrors into files: killed at each call, on disks that fail or are full, and under logrotate.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::disks::Mount;
use crate::mirrors::event_id;
use crate::mirrors::event_ids;
use crate::mirrors::ingest_events;
use crate::mirrors::run_until_delivered;
use crate::mirrors::without_doubles;
use crate::strace;
use crate::support::Sandbox;
use crate::support::torture::FaultCount;
use crate::support::wait;
use crate::tools;

const BATCH: usize = 10;

fn config(path: &str) -> String {
    format!(
        "[[mirror]]\nname = 'm'\ntype = 'file'\npath = '{path}'\nbatch = {BATCH}\nattempts = 1\n\
         wait = '1s'\n"
    )
}

/// The `event_id`s of the whole lines of a file; other lines are none.
fn ids_in(text: &str) -> Vec<String> {
    let event = |line: &str| -> Option<Value> {
        serde_json::from_str(&line[line.find("{\"id\":")?..]).ok()
    };
    text.lines().filter_map(event).map(|event| event_id(&event)).collect()
}

/// Checks that the file has every event, in order; returns how many came twice.
#[track_caller]
fn doubles_in(sandbox: &Sandbox, what: &str) -> usize {
    let received = ids_in(&String::from_utf8(sandbox.read("m.log")).unwrap());
    let ids = event_ids(sandbox, &[]);
    assert_eq!(without_doubles(&received), ids, "{what}");
    received.len() - ids.len()
}

#[test]
fn a_fault_at_each_call_leaves_every_event_in_the_file() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let kill = "signal=SIGKILL";
    let faults = [
        ("write", kill),
        ("pwrite64", kill),
        ("fsync", kill),
        ("fdatasync", kill),
        ("openat", kill),
        ("write", "error=ENOSPC"),
        ("write", "error=EIO"),
        ("fdatasync", "error=EIO"),
    ];
    let mut kills = FaultCount::new("kills");
    let mut injections = FaultCount::new("injections");
    for (call, fault) in faults {
        let mut met = 0;
        for nth in 1.. {
            let sandbox = Sandbox::in_memory();
            sandbox.write("config.toml", config("m.log"));
            ingest_events(&sandbox, 3 * BATCH);
            let (out, injected) = strace::inject(&sandbox, call, fault, nth, false, &["mirror"]);
            if !injected {
                assert_eq!(out.code, Some(0), "{out}");
                break;
            }
            met += 1;
            let what = format!("{fault} at {call} {nth}");
            if fault != kill {
                // 0: the call did not matter, or the line on the terminal was lost.
                assert!(matches!(out.code, Some(0 | 74 | 75)), "{what}\n{out}");
            }
            drop(out);
            run_until_delivered(&sandbox);
            assert!(doubles_in(&sandbox, &what) <= BATCH, "{what}");
            sandbox.assert_sound_with(3 * BATCH as u64);
        }
        if fault == kill { &mut kills } else { &mut injections }.add(met);
        assert!(met > 0 || call == "fsync", "{fault} at {call} was never met");
    }
}

#[test]
fn a_full_disk_keeps_whole_batches_and_gets_the_rest_later() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mount = Mount::new(&sandbox, "100k");
    sandbox.write("config.toml", config("mount/m.log"));
    ingest_events(&sandbox, 400);
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("mount/m.log: no space left on device"), "{out}");
    let ids = event_ids(&sandbox, &[]);
    let text = fs::read_to_string(mount.path().join("m.log")).unwrap();
    let there = ids_in(&text);
    assert!(there.len() > BATCH && there.len().is_multiple_of(BATCH), "{}", there.len());
    assert_eq!(there, ids[..there.len()], "and no part of the batch that did not fit");
    assert_eq!(text.lines().count(), there.len());
    mount.resize("10m");
    run_until_delivered(&sandbox);
    assert_eq!(ids_in(&fs::read_to_string(mount.path().join("m.log")).unwrap()), ids);
}

/// The files that logrotate has made of `m.log`, the oldest first, and the file itself.
fn rotated_text(sandbox: &Sandbox) -> String {
    let old = (1..).map(|n| format!("m.log.{n}")).take_while(|name| sandbox.exists(name));
    let mut names: Vec<String> = old.collect();
    names.reverse();
    names.push("m.log".to_owned());
    let read = |name: &String| fs::read_to_string(sandbox.path(name)).unwrap_or_default();
    names.iter().map(read).collect()
}

fn rotate(sandbox: &Sandbox, how: &str) {
    let path = sandbox.path("m.log");
    let rules = format!("\"{}\" {{\nrotate 100\nmissingok\n{how}\n}}\n", path.display());
    sandbox.write("rotate.conf", rules);
    let mut command = sandbox.command_of("logrotate");
    command.args(["-f", "-s", "rotate.state", "rotate.conf"]);
    sandbox.run_command(command).ok().done();
}

#[test]
fn logrotate_loses_nothing_in_either_mode() {
    if !tools::require_programs(&["logrotate"]) {
        return;
    }
    for how in ["nocreate", "create 0600", "copytruncate"] {
        let sandbox = Sandbox::new();
        sandbox.write("config.toml", config("m.log"));
        for _ in 0..5 {
            ingest_events(&sandbox, 3 * BATCH);
            sandbox.run(["mirror"]).ok().done();
            rotate(&sandbox, how);
        }
        ingest_events(&sandbox, 1);
        sandbox.run(["mirror"]).ok().done();
        assert!(sandbox.exists("m.log.5"), "{how}");
        assert_eq!(ids_in(&rotated_text(&sandbox)), event_ids(&sandbox, &[]), "{how}");
    }
}

#[test]
fn a_file_that_is_renamed_at_any_moment_goes_on() {
    if !tools::require_programs(&["logrotate"]) {
        return;
    }
    const ROUNDS: usize = 8;
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", config("m.log"));
    ingest_events(&sandbox, 1);
    let child = sandbox.spawn(sandbox.command(["mirror", "--follow"]));
    for _ in 0..ROUNDS {
        ingest_events(&sandbox, 20 * BATCH);
        rotate(&sandbox, "nocreate");
    }
    let ids = event_ids(&sandbox, &[]);
    assert_eq!(ids.len(), 1 + ROUNDS * 20 * BATCH);
    wait::until("all to be delivered", &child, || {
        (ids_in(&rotated_text(&sandbox)).len() >= ids.len()).then_some(())
    });
    rustix::process::kill_process(wait::pid(&child), Signal::TERM).unwrap();
    drop(sandbox.wait_with_output(child));
    assert_eq!(ids_in(&rotated_text(&sandbox)), ids);
}
