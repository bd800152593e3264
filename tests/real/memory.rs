//! Long events, and input that unpacks to much: memory is bounded by bytes, not by the number of events.

use std::io;
use std::io::Read;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzEncoder;
use ruzstd::encoding::CompressionLevel;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::wait;

const EVENTS: u32 = 300;

/// A command may hold this much, in MiB, and one event.
const LIMIT: u64 = 64 + 1;

/// Returns a sandbox with 300 events of nearly 1 MB, all of it in one field. No two are alike.
fn sandbox_with_long_events(field: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let text = "x".repeat(1_000_000);
    let time = clock::seconds_ago(7_200);
    for tenth in 0..10 {
        let lines: String = (0..EVENTS / 10)
            .map(|n| {
                let text = match field {
                    "payload" => format!(r#"{{"n":"{tenth} {n}","text":"{text}"}}"#),
                    _ => format!(r#""{tenth} {n} {text}""#),
                };
                format!(
                    "{{\"action\":\"page.edit\",\"occurred_at\":\"{time}\",\"actor_id\":\"{n}\",\
                     \"{field}\":{text}}}\n"
                )
            })
            .collect();
        sandbox.run_with_input(["ingest", "--quiet"], lines).ok().done();
    }
    sandbox
}

/// Runs a command to its end, and returns the most memory that it was seen to hold, in MiB.
fn peak_memory(mut command: Command, code: i32) -> u64 {
    let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The system keeps the highest value, so that few looks are enough.
        peak = peak.max(wait::peak_memory_kib_if_running(&child).unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(child.wait().unwrap().code(), Some(code), "{command:?}");
    assert!(peak > 0, "{command:?} was never seen");
    peak / 1024
}

#[test]
fn long_events_are_read_in_little_memory() {
    for field in ["payload", "description", "title", "user_agent"] {
        let sandbox = sandbox_with_long_events(field);
        sandbox.write(
            "config.toml",
            "[[mirror]]\nname = 'm'\ntype = 'file'\npath = 'm.log'\n\
             [[alert]]\nname = 'a'\nquery = 'action:page.*'\ncommand = ['sh', '-c', 'cat > /dev/null']\n",
        );
        let mut peaks = Vec::new();
        for args in [
            &["export", "--jsonl"][..],
            &["export", "--csv"],
            &["export", "--jsonl", "source:system"],
            &["export", "--jsonl", "--columns", "id,payload"],
            &["page", "-o", "page.html"],
            &["list", "--limit", "8"],
            &["list", "--limit", "8", "--json"],
            &["list", "--sort", "title", "--limit", "8"],
            &["list", "--count", "source:operator"],
            &["search-actor", "7", "--limit", "5"],
            &["search-target", "7", "--limit", "5"],
            &["stats"],
            &["actions"],
            &["backup", "copy.db"],
            &["mirror"],
            &["verify"],
            &["digest", "--dry-run"],
            &["digest", "--dry-run", "actor:7"],
            &["sweep", "--keep", "1d", "--dry-run"],
            &["sweep", "--keep", "1h", "--force"],
        ] {
            peaks.push((args, peak_memory(sandbox.command(args), 0)));
        }
        eprintln!("{field}: {peaks:?}");
        let over: Vec<_> = peaks.iter().filter(|(_, peak)| *peak > LIMIT).collect();
        assert!(over.is_empty(), "{field}: more than {LIMIT} MiB: {over:?}");
    }
}

#[test]
fn compressed_input_that_unpacks_to_much_is_read_in_little_memory() {
    const UNPACKED: u64 = 1 << 30;
    let sandbox = Sandbox::new();
    let contents = || io::repeat(b'x').take(UNPACKED).chain(&b"\n"[..]);
    let mut gzip = Vec::new();
    GzEncoder::new(contents(), Compression::fast()).read_to_end(&mut gzip).unwrap();
    let zstandard = ruzstd::encoding::compress_to_vec(contents(), CompressionLevel::Fastest);
    for (name, packed) in [("line.gz", gzip), ("line.zst", zstandard)] {
        assert!(packed.len() < 32 << 20, "{}", packed.len());
        sandbox.write(name, packed);
        let peak = peak_memory(sandbox.command(["ingest", name]), 65);
        eprintln!("{name}: {peak} MiB");
        assert!(peak <= LIMIT, "{name}: {peak} MiB");
    }
}
