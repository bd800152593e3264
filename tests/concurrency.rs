//! Many at once: nothing is lost, nobody is turned away, and the chain holds.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::wait;

/// Runs that many jobs, so many at a time.
fn run_in_parallel(jobs: usize, at_a_time: usize, job: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= jobs {
                        return;
                    }
                    job(number);
                }
            });
        }
    });
}

#[track_caller]
fn assert_has_each(sandbox: &Sandbox, ids: impl IntoIterator<Item = String>) {
    let expected: BTreeSet<String> = ids.into_iter().collect();
    let stored: BTreeSet<String> =
        sandbox.log().query_texts("SELECT event_id FROM events").into_iter().collect();
    let lost: Vec<_> = expected.difference(&stored).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    sandbox.assert_sound_with(expected.len() as u64);
}

#[test]
fn eight_writers_lose_nothing() {
    let sandbox = Sandbox::new();
    let inputs: Vec<String> = (0..8)
        .map(|writer| {
            join_lines(
                (0..500).map(|n| format!(r#"{{"action":"a.{n}","event_id":"w{writer}-{n}"}}"#)),
            )
        })
        .collect();
    run_in_parallel(8, 8, |writer| {
        let out = sandbox.run_with_input(["ingest"], &inputs[writer]).ok();
        assert_eq!(out.stderr(), "ingested 500, duplicates 0, rejected 0\n");
    });
    assert_has_each(&sandbox, (0..8).flat_map(|w| (0..500).map(move |n| format!("w{w}-{n}"))));
}

#[test]
fn eight_writers_of_the_same_events_store_each_once() {
    let sandbox = Sandbox::new();
    let input = join_lines((0..300).map(|n| format!(r#"{{"action":"a","event_id":"e{n}"}}"#)));
    let stored = AtomicUsize::new(0);
    run_in_parallel(8, 8, |_| {
        let out = sandbox.run_with_input(["ingest", "--json"], &input).ok().json();
        let (new, known) = (out["ingested"].as_u64().unwrap(), out["duplicates"].as_u64().unwrap());
        assert_eq!(new + known, 300, "{out}");
        stored.fetch_add(usize::try_from(new).unwrap(), Ordering::Relaxed);
    });
    assert_eq!(stored.into_inner(), 300, "each event is new to just one of them");
    assert_has_each(&sandbox, (0..300).map(|n| format!("e{n}")));
}

#[test]
fn four_hundred_one_event_processes_all_end_well() {
    let sandbox = Sandbox::new();
    run_in_parallel(400, 32, |number| {
        let id = format!("p{number}");
        sandbox
            .run(["ingest", "--quiet", "--action", "hook.run", "--event-id", &id])
            .ok()
            .no_stderr()
            .done();
    });
    assert_has_each(&sandbox, (0..400).map(|number| format!("p{number}")));
}

#[test]
fn twenty_four_that_make_the_log_at_once_make_one() {
    for round in 0..5 {
        let sandbox = Sandbox::new();
        run_in_parallel(24, 24, |number| {
            let id = format!("p{number}");
            let args = ["ingest", "--db", "new/log.db", "--action", "a", "--event-id", &id];
            sandbox.run(args).ok().done();
        });
        let log = Log::open(&sandbox.path("new/log.db"));
        log.assert_sound();
        assert_eq!(log.event_count(), 24, "round {round}");
    }
}

#[test]
fn readers_and_writers_do_not_get_in_each_others_way() {
    let sandbox = Sandbox::with_events();
    run_in_parallel(60, 12, |number| match number % 4 {
        0 => {
            let input = join_lines(
                (0..50).map(|n| format!(r#"{{"action":"a","event_id":"{number}-{n}"}}"#)),
            );
            sandbox.run_with_input(["ingest"], input).ok().done();
        }
        1 => {
            // A page is one snapshot: ids come down without repeats.
            let ids = sandbox.run(["list", "--json", "--sort", "id", "--limit", "200"]).ok().ids();
            assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "{ids:?}");
        }
        2 => {
            let rows = sandbox.run(["export", "--jsonl"]).ok().json_lines();
            assert!(rows.len() >= 8);
        }
        _ => sandbox.run(["search-actor", "3"]).ok().done(),
    });
    let log = sandbox.log();
    log.assert_sound();
    let exports = log.query_value::<i64>("SELECT count(*) FROM events WHERE action = 'log.export'");
    assert_eq!(exports, 15);
    assert_eq!(log.event_count(), 8 + 15 * 50 + 15);
}

#[test]
fn each_export_has_exactly_the_rows_that_it_told_of() {
    let sandbox = Sandbox::with_events();
    run_in_parallel(24, 8, |number| {
        if number % 2 == 0 {
            let input = join_lines((0..100).map(|_| r#"{"action":"a"}"#));
            sandbox.run_with_input(["ingest"], input).ok().done();
        } else {
            let name = format!("out{number}.jsonl");
            sandbox.run(["export", "-o", &name]).ok().done();
        }
    });
    let own =
        sandbox.run(["list", "--json", "action:log.export", "--limit", "100"]).ok().json_lines();
    assert_eq!(own.len(), 12);
    for event in own {
        let payload = &event["payload"];
        let name = payload["output"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let exported = String::from_utf8(sandbox.read(&name)).unwrap();
        let ids: Vec<i64> = exported
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_i64().unwrap()
            })
            .collect();
        assert_eq!(payload["rows"].as_u64(), Some(ids.len() as u64), "{name}");
        assert!(ids.iter().all(|id| *id <= payload["last_id"].as_i64().unwrap()), "{name}");
        assert!(event["id"].as_i64() > payload["last_id"].as_i64(), "{name}");
    }
}

#[test]
fn an_event_that_waited_for_its_turn_is_recorded_at_the_time_of_its_turn() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"first"}"#);
    let other = Log::open_to_write(&sandbox.db());
    other.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let child = sandbox.spawn(sandbox.command(["ingest", "--quiet", "--action", "second"]));
    let files = format!("/proc/{}/fd", child.id());
    wait::until("the log to be open", &child, || {
        let open = std::fs::read_dir(&files).ok()?.flatten();
        let mut names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        names.any(|name| name.ends_with("log.db-shm")).then_some(())
    });
    // By now the process has begun, and another process could record an event before it.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    other.sql.execute_batch("ROLLBACK").unwrap();
    sandbox.wait_with_output(child).ok().done();
    let log = sandbox.log();
    for column in ["recorded_at", "occurred_at"] {
        let nanos: i64 = log.query_value(&format!("SELECT {column} FROM event WHERE id = 2"));
        assert!(u128::try_from(nanos).unwrap() >= now, "{column} {nanos} is before {now}");
    }
}

#[test]
fn times_of_recording_ascend_with_ids() {
    let sandbox = Sandbox::new();
    run_in_parallel(60, 60, |_| sandbox.run(["ingest", "--action", "hook.run"]).ok().done());
    let steps_back = "SELECT count(*) FROM event AS one JOIN event AS next ON next.id = one.id + 1 \
        WHERE next.recorded_at < one.recorded_at";
    assert_eq!(sandbox.log().query_value::<i64>(steps_back), 0);
    sandbox.run(["verify"]).ok().no_stderr().done();
}
