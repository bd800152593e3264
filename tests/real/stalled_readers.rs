//! Readers that stand still: they cost the writers nothing.

use std::time::Duration;
use std::time::Instant;

use rustix::process::Signal;

use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::wait;

fn wal_size(sandbox: &Sandbox) -> u64 {
    sandbox.path("log.db-wal").metadata().map_or(0, |file| file.len())
}

fn numbered_events(count: u32, action: &str) -> String {
    let title = "x".repeat(200);
    join_lines((0..count).map(|n| {
        format!(r#"{{"action":"{action}","actor_id":"{}","title":"{title}{}"}}"#, n % 500, n % 999)
    }))
}

#[test]
fn an_export_into_a_stopped_pipe_holds_no_writer_and_grows_no_wal() {
    let sandbox = Sandbox::in_memory();
    sandbox.write("first.jsonl", numbered_events(20_000, "first"));
    sandbox.run(["ingest", "--quiet", "first.jsonl"]).ok().done();

    let mut child = sandbox.spawn(sandbox.command(["export", "--jsonl"]));
    let mut out = child.stdout.take().unwrap();
    let mut text = wait::read_lines(&mut out, 1);
    // Nobody reads on. Meanwhile much arrives, at once and one by one.
    sandbox.write("more.jsonl", numbered_events(200_000, "more"));
    sandbox.run(["ingest", "--quiet", "more.jsonl"]).ok().done();
    assert!(wal_size(&sandbox) <= 64 << 20, "a WAL of {} bytes", wal_size(&sandbox));
    let mut slowest = Duration::ZERO;
    for _ in 0..120 {
        let start = Instant::now();
        sandbox.run(["ingest", "--quiet", "--action", "hook.run"]).ok().done();
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "an event waited {slowest:?} for a reader");
    assert!(wal_size(&sandbox) <= 64 << 20, "a WAL of {} bytes", wal_size(&sandbox));
    let peak = wait::peak_memory_kib(&child);
    assert!(peak <= 64 * 1024, "the export held {peak} KiB");

    std::io::Read::read_to_string(&mut out, &mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text.lines().count(), 20_000);
    assert!(text.lines().all(|line| line.contains(r#""action":"first""#)));
    sandbox.assert_sound_with(220_121);
}

#[test]
fn a_listing_that_is_stopped_in_a_pager_holds_no_writer() {
    let sandbox = Sandbox::in_memory();
    sandbox.write("first.jsonl", numbered_events(10_000, "first"));
    sandbox.run(["ingest", "--quiet", "first.jsonl"]).ok().done();
    let mut child = sandbox.spawn(sandbox.command(["list", "--json", "--limit", "10000"]));
    let mut out = child.stdout.take().unwrap();
    wait::read_lines(&mut out, 1);
    wait::send_signal(&child, Signal::STOP);
    let mut slowest = Duration::ZERO;
    for _ in 0..120 {
        let start = Instant::now();
        sandbox.run(["ingest", "--quiet", "--action", "hook.run"]).ok().done();
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "an event waited {slowest:?} for a reader");
    wait::send_signal(&child, Signal::CONT);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(rest.lines().count() >= 9_990);
    sandbox.assert_sound_with(10_120);
}

#[test]
fn a_large_log_is_read_in_flat_memory() {
    let sandbox = Sandbox::in_memory();
    let mut peaks = Vec::new();
    for count in [20_000, 200_000] {
        sandbox.write("events.jsonl", numbered_events(count, "a.b"));
        sandbox.run(["ingest", "--quiet", "--again", "events.jsonl"]).ok().done();
        let mut child = sandbox.spawn(sandbox.command(["export", "--csv"]));
        let mut out = child.stdout.take().unwrap();
        // The last line but a few: what it held to get there is its peak.
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 20];
        let total = u64::from(count) * 200;
        while bytes < total {
            bytes += std::io::Read::read(&mut out, &mut buffer).unwrap() as u64;
        }
        peaks.push(wait::peak_memory_kib(&child));
        while std::io::Read::read(&mut out, &mut buffer).unwrap() > 0 {}
        assert!(child.wait().unwrap().success());
    }
    assert!(peaks[1] < 64 * 1024 && peaks[1] < peaks[0] * 2, "{peaks:?} KiB");
}
