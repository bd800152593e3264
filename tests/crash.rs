//! Writers that are killed: what was acknowledged is there, and the log is sound.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::Sandbox;
use crate::support::log::Log;
use crate::support::torture::FaultCount;
use crate::support::wait;

/// Eight loops of one-event processes are killed at a random moment, over and over: each event that
/// was acknowledged before is in the log, and nothing that was not given.
#[test]
fn killed_writers_lose_nothing_that_was_acknowledged() {
    const ROUNDS: u32 = 12;
    let sandbox = Sandbox::in_memory();
    sandbox.ingest(r#"{"action":"first","event_id":"first"}"#);
    let acknowledged = Mutex::new(BTreeSet::from(["first".to_owned()]));
    let mut killed = 0;
    for round in 0..ROUNDS {
        let started = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for writer in 0..8 {
                let (sandbox, acknowledged, started) = (&sandbox, &acknowledged, &started);
                scope.spawn(move || {
                    // The loop is a shell, so that one kill ends it between or within processes.
                    let script = format!(
                        "n=0; while [ $n -lt 9999 ]; do n=$((n+1)); id={round}-{writer}-$n; \
                         \"$0\" ingest --quiet --action a --event-id $id && echo $id; done"
                    );
                    let mut command = sandbox.command_of("sh");
                    command.args(["-c", &script, env!("CARGO_BIN_EXE_activity")]);
                    std::os::unix::process::CommandExt::process_group(&mut command, 0);
                    command.stdout(Stdio::piped()).stderr(Stdio::null());
                    let mut child = command.spawn().unwrap();
                    started.lock().unwrap().push(wait::pid(&child));
                    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                        let Ok(line) = line else { break };
                        acknowledged.lock().unwrap().insert(line);
                    }
                    child.wait().unwrap();
                });
            }
            // Each round is cut off at another moment after the writers got going.
            let before = acknowledged.lock().unwrap().len();
            let enough = before + 20 + usize::try_from(round).unwrap() * 3;
            wait::until_true("acknowledged events", || {
                started.lock().unwrap().len() == 8 && acknowledged.lock().unwrap().len() >= enough
            });
            for group in started.lock().unwrap().iter() {
                rustix::process::kill_process_group(*group, Signal::KILL).unwrap();
                killed += 1;
            }
        });
        let log = Log::open(&sandbox.db());
        log.assert_sound();
        let stored: BTreeSet<String> =
            log.query_texts("SELECT event_id FROM events").into_iter().collect();
        let acknowledged = acknowledged.lock().unwrap();
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        let unasked = stored.len() - acknowledged.len();
        assert!(unasked <= killed, "at most one each was not confirmed any more: {unasked}");
    }
    FaultCount::new("kills").add(killed);
    assert_eq!(killed, 8 * usize::try_from(ROUNDS).unwrap(), "every writer was killed");
    // And it goes on.
    sandbox.run(["ingest", "--action", "last"]).ok().done();
    sandbox.log().assert_sound();
}

/// A bulk ingest from a pipe is killed while it works.
#[test]
fn a_killed_stream_leaves_a_sound_log() {
    let sandbox = Sandbox::in_memory();
    let mut landed = 0;
    let mut kills = FaultCount::new("kills");
    for round in 1..=5_u64 {
        let mut command = sandbox.command(["ingest", "--quiet"]);
        command.stdin(Stdio::piped());
        let mut child = sandbox.spawn(command);
        let mut stdin = child.stdin.take().unwrap();
        let feeder = thread::spawn(move || {
            let line = format!("{{\"action\":\"a\",\"title\":\"round {round}\"}}\n").repeat(100);
            while std::io::Write::write_all(&mut stdin, line.as_bytes()).is_ok() {}
        });
        let db = sandbox.db();
        wait::until("a commit", &child, || (Log::count_or_zero(&db) > landed).then_some(()));
        assert!(
            !wait::has_exited_within(&child, Duration::from_millis(3 * round)),
            "it would go on"
        );
        wait::send_signal(&child, Signal::KILL);
        let out = sandbox.wait_with_output(child);
        assert_eq!(out.signal, Some(9), "{out}");
        kills.add(1);
        feeder.join().unwrap();
        let log = sandbox.log();
        log.assert_sound();
        assert!(log.event_count() > landed);
        landed = log.event_count();
    }
}
