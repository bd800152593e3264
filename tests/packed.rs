//! Compressed input: gzip and Zstandard, whole, of several pieces, cut off and damaged.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::CompressionLevel;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::join_lines;

/// A way to compress, with the name of a file.
type Packer = (&'static str, fn(&[u8]) -> Vec<u8>);

const PACKERS: [Packer; 2] = [("events.gz", gzip), ("events.zst", zstandard)];

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(contents: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(contents, CompressionLevel::Fastest)
}

/// Events with a time, so that they are known by their content. No two are alike, so that they do not
/// become small.
fn timed_events(range: std::ops::Range<u64>) -> String {
    join_lines(range.map(|n| {
        let noise = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        format!(
            r#"{{"action":"a.b","target_id":"{n}","title":"{noise:016x}","occurred_at":"2026-11-20T14:30:00Z"}}"#
        )
    }))
}

#[track_caller]
fn assert_each_once(sandbox: &Sandbox, count: usize) {
    let events = sandbox.stored_events();
    let ids: BTreeSet<_> = events.iter().map(|event| event["target_id"].to_string()).collect();
    assert_eq!((events.len(), ids.len()), (count, count), "stored, distinct");
}

#[test]
fn a_compressed_file_is_read_as_what_is_in_it_and_known_again() {
    for (name, pack) in PACKERS {
        let sandbox = Sandbox::new();
        // Lines run on from one piece to the next.
        let all = timed_events(0..3_000);
        let (first, second) = all.as_bytes().split_at(all.len() / 2 + 7);
        sandbox.write(name, [pack(first), pack(b""), pack(second)].concat());
        let told = sandbox.run(["ingest", "--json", name]).ok().no_stderr().json();
        assert_eq!(told, json!({"ingested": 3_000, "duplicates": 0, "rejected": 0}), "{name}");
        let told = sandbox.run(["ingest", "--json", name]).ok().json();
        assert_eq!((&told["ingested"], &told["known"]), (&json!(0), &json!(3_000)), "{name}");
        // Packed in another way, or unpacked, it is the same content.
        sandbox.write("other", pack(all.as_bytes()));
        sandbox.write("plain", &all);
        for name in ["other", "plain"] {
            let told = sandbox.run(["ingest", "--json", name]).ok().no_stderr().json();
            assert_eq!((&told["ingested"], &told["known"]), (&json!(0), &json!(3_000)), "{name}");
        }
        // It has grown by a piece.
        sandbox.append(name, pack(timed_events(3_000..3_010).as_bytes()));
        let told = sandbox.run(["ingest", "--json", name]).ok().no_stderr().json();
        assert_eq!((&told["ingested"], &told["known"]), (&json!(10), &json!(3_000)), "{name}");
        sandbox.run(["ingest", "--quiet", "--again", name]).ok().done();
        assert_eq!(sandbox.stored_events().len(), 6_020);
    }
}

#[test]
fn lines_without_time_and_id_are_known_in_the_very_file() {
    for (name, pack) in PACKERS {
        let sandbox = Sandbox::new();
        sandbox.write(name, pack(r#"{"action":"a.b"}"#.as_bytes()));
        sandbox.run(["ingest", "--quiet", name]).ok().done();
        sandbox.run(["ingest", name]).ok().stderr_has("known 1").done();
        sandbox
            .run_shell(&format!("cp {name} copy && {} ingest copy", env!("CARGO_BIN_EXE_activity")))
            .ok()
            .stderr_has("ingested 1")
            .done();
    }
}

#[test]
fn a_compressed_stream_is_read_too() {
    for (name, pack) in PACKERS {
        let sandbox = Sandbox::new();
        let packed = pack(timed_events(0..500).as_bytes());
        sandbox.run_with_input(["ingest"], packed.clone()).ok().stderr_has("ingested 500").done();
        sandbox
            .run_with_input(["ingest", "--strict"], packed)
            .ok()
            .stderr_has("ingested 500")
            .done();
        assert_eq!(sandbox.stored_events().len(), 1_000, "{name}");
    }
}

#[test]
fn csv_and_arrays_may_be_compressed() {
    for (name, pack) in PACKERS {
        let sandbox = Sandbox::new();
        sandbox.write(name, pack(b"action,target_id\na.b,1\na.b,2"));
        sandbox.run(["ingest", name]).ok().stderr_has("ingested 2").done();
        sandbox.write(name, pack(br#"[{"action":"a.b"},{"action":"a.b"}]"#));
        sandbox.run(["ingest", name]).ok().stderr_has("ingested 2").done();
    }
}

#[test]
fn of_a_file_that_is_cut_off_the_good_part_lands_and_the_rest_follows() {
    for (name, pack) in PACKERS {
        let all = timed_events(0..4_000);
        let (first, second) = all.as_bytes().split_at(all.len() / 2);
        let packed = [pack(first), pack(second)].concat();
        for length in [5, packed.len() / 3, packed.len() * 3 / 4, packed.len() - 1] {
            let sandbox = Sandbox::new();
            sandbox.write(name, &packed[..length]);
            for _ in 0..2 {
                let out = sandbox.run(["ingest", name]).exits(65);
                let line = out.stderr().lines().next().unwrap();
                assert!(line.starts_with(name) && line.ends_with("data ends early"), "{out}");
            }
            let landed = sandbox.stored_events().len();
            assert!(length <= packed.len() / 2 || landed >= 1_999, "{landed}");
            assert!(length == packed.len() - 1 || landed < 4_000, "{landed}");
            sandbox.write(name, &packed);
            sandbox.run(["ingest", "--quiet", name]).ok().done();
            assert_each_once(&sandbox, 4_000);
        }
    }
}

#[test]
fn of_a_file_that_is_damaged_in_its_middle_the_rest_is_not_known() {
    for (name, pack) in PACKERS {
        let (first, second) = (timed_events(0..1_000), timed_events(1_000..3_000));
        let packed = [pack(first.as_bytes()), pack(second.as_bytes())].concat();
        let mut damaged = packed.clone();
        let place = pack(first.as_bytes()).len() + 2;
        damaged[place..place + 40].fill(0xFF);
        let sandbox = Sandbox::new();
        sandbox.write(name, &damaged);
        let out = sandbox.run(["ingest", "--json", name]).exits(65);
        assert!(out.stderr().contains(&format!("{name}:1001: the ")), "{out}");
        assert!(out.stderr().contains("data is damaged: "), "{out}");
        assert_eq!(out.json()["ingested"], 1_000);
        sandbox.write(name, &packed);
        let told = sandbox.run(["ingest", "--json", name]).ok().json();
        assert_eq!((&told["ingested"], &told["known"]), (&json!(2_000), &json!(1_000)));
        assert_each_once(&sandbox, 3_000);
    }
}

/// A wrong checksum is told, although all of it was unpacked.
#[test]
fn a_checksum_is_compared() {
    for (name, pack) in PACKERS {
        let sandbox = Sandbox::new();
        let mut packed = pack(timed_events(0..10).as_bytes());
        let at = packed.len() - if name.ends_with("gz") { 8 } else { 4 };
        packed[at] ^= 1;
        sandbox.write(name, packed);
        sandbox.run(["ingest", name]).exits(65).stderr_has("data is damaged: ").done();
    }
}

#[test]
fn strict_takes_all_of_it_or_nothing() {
    for (name, pack) in PACKERS {
        let sandbox = Sandbox::new();
        let packed = pack(timed_events(0..2_000).as_bytes());
        sandbox.write(name, &packed[..packed.len() / 2]);
        sandbox.run(["ingest", "--strict", name]).exits(65).stderr_has("ends early").done();
        assert_eq!(sandbox.stored_events().len(), 0);
        sandbox.write(name, &packed);
        sandbox.run(["ingest", "--strict", name]).ok().stderr_has("ingested 2000").done();
        sandbox.run(["ingest", "--strict", name]).ok().stderr_has("known 2000").done();
    }
}

#[test]
fn rejects_of_a_compressed_file_are_kept_as_they_were_in_it() {
    for (name, pack) in PACKERS {
        let sandbox = Sandbox::new();
        sandbox.write(name, pack(b"action,source\na.b,api\na.b,nobody\n"));
        sandbox.run(["ingest", "--rejects", "bad.csv", name]).exits(65).done();
        assert_eq!(sandbox.read("bad.csv"), b"action,source\na.b,nobody\n");
        sandbox.write(name, pack(b"action,source\na.c,api\na.c,nobody\n"));
        sandbox.run(["ingest", "--rejects", "bad.csv", name]).exits(65).done();
        assert_eq!(sandbox.read("bad.csv"), b"action,source\na.b,nobody\na.c,nobody\n");
    }
}

#[test]
fn what_is_packed_twice_or_needs_much_memory_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("twice.gz", gzip(&gzip(b"{\"action\":\"a.b\"}\n")));
    let out = sandbox.run(["ingest", "twice.gz"]).exits(65);
    assert!(out.stderr().contains("twice.gz:1: compressed; pipe what `gzip -dc` prints"), "{out}");
    // A frame with a window of 1 GiB and one empty block.
    sandbox.write("wide.zst", b"\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00");
    let out = sandbox.run(["ingest", "wide.zst"]).exits(65);
    assert!(out.stderr().contains("it needs 1024 MiB of memory, more than 8"), "{out}");
    // A frame that is to be skipped stands in front.
    let packed = zstandard(b"{\"action\":\"a.b\"}\n");
    sandbox
        .write("skip.zst", [b"\x50\x2a\x4d\x18\x03\x00\x00\x00xyz".as_slice(), &packed].concat());
    sandbox.run(["ingest", "skip.zst"]).ok().stderr_has("ingested 1").done();
}
