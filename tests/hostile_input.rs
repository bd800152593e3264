//! Hostile input: each bad line is rejected by its number, memory stays flat, and the good lines
//! land.

use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Stdio;

use serde_json::json;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::wait;

const GOOD_LINE: &str = r#"{"action":"good.one"}"#;
const MIB: u64 = 1 << 20;

/// Checks that a line between two good ones is rejected alone, by its number.
#[track_caller]
fn assert_rejected_alone(line: &[u8]) -> Output {
    let sandbox = Sandbox::new();
    let input = [GOOD_LINE.as_bytes(), b"\n", line, b"\n", GOOD_LINE.as_bytes(), b"\n"].concat();
    sandbox.write("in", input);
    let out = sandbox.run(["ingest", "--format", "jsonl", "in"]).exits(65).no_stdout();
    let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
    assert!(out.stderr().starts_with("in:2: "), "{shown}\n{out}");
    assert!(out.stderr().contains("ingested 2, duplicates 0, rejected 1\n"), "{shown}\n{out}");
    sandbox.assert_sound_with(2);
    out
}

struct StreamingIngest<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    stdin: ChildStdin,
}

impl<'a> StreamingIngest<'a> {
    fn new(sandbox: &'a Sandbox, args: &[&str]) -> Self {
        let mut command = sandbox.command(args);
        command.stdin(Stdio::piped());
        let mut child = sandbox.spawn(command);
        let stdin = child.stdin.take().unwrap();
        Self { sandbox, child, stdin }
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stdin.write_all(bytes.as_ref()).unwrap();
    }

    fn write_repeated(&mut self, chunk: &[u8], megabytes: u64) {
        for _ in 0..(megabytes << 20) / chunk.len() as u64 {
            self.stdin.write_all(chunk).unwrap();
        }
    }

    /// Waits until that many events are committed, and checks how much memory it took.
    #[track_caller]
    fn assert_flat_memory(self, events: u64) -> Output {
        let db = self.sandbox.db();
        wait::until("the good line behind", &self.child, || {
            (Log::count_or_zero(&db) == events).then_some(())
        });
        let peak = wait::peak_memory_kib(&self.child);
        assert!(peak <= 64 * 1024, "{peak} KiB");
        drop(self.stdin);
        self.sandbox.wait_with_output(self.child)
    }
}

#[test]
fn a_line_of_100_mb_is_skipped_in_flat_memory() {
    let sandbox = Sandbox::in_memory();
    let mut feed = StreamingIngest::new(&sandbox, &["ingest", "--rejects", "bad.jsonl"]);
    feed.write(format!("{GOOD_LINE}\n{{\"action\":\"a\",\"title\":\""));
    feed.write_repeated(&[b'x'; 1 << 16], 100);
    feed.write(format!("\"}}\n{GOOD_LINE}\n"));
    let out = feed.assert_flat_memory(2).exits(65);
    assert!(out.stderr().contains(":2: longer than 1 MiB\n"), "{out}");
    assert!(out.stderr().contains("ingested 2, duplicates 0, rejected 1\n"), "{out}");
    let kept = sandbox.path("bad.jsonl").metadata().unwrap().len();
    assert_eq!(kept, 100 * MIB + 26, "the reject is kept whole");
}

#[test]
fn a_csv_field_without_end_is_skipped_in_flat_memory() {
    let sandbox = Sandbox::in_memory();
    let mut feed = StreamingIngest::new(&sandbox, &["ingest"]);
    feed.write("action,title\na,\"");
    feed.write_repeated(&[b'x'; 1 << 16], 100);
    feed.write("\"\nb,fine\n");
    let out = feed.assert_flat_memory(1).exits(65);
    assert!(out.stderr().contains(":2: longer than 1 MiB\n"), "{out}");
}

#[test]
fn an_array_element_of_100_mb_is_skipped_in_flat_memory() {
    let sandbox = Sandbox::in_memory();
    let mut feed = StreamingIngest::new(&sandbox, &["ingest"]);
    feed.write("[{\"action\":\"a\",\"title\":\"");
    feed.write_repeated(&[b'x'; 1 << 16], 100);
    feed.write(format!("\"}},\n{GOOD_LINE},\n"));
    let out = feed.assert_flat_memory(1).exits(65);
    assert!(out.stderr().contains("longer than 1 MiB\n"), "{out}");
}

#[test]
fn a_stream_without_end_or_line_is_read_in_flat_memory() {
    let sandbox = Sandbox::in_memory();
    let child = sandbox.spawn(sandbox.command(["ingest", "/dev/zero"]));
    wait::until("much of it to be read", &child, || {
        (wait::bytes_read(&child) > 300 * MIB).then_some(())
    });
    let peak = wait::peak_memory_kib(&child);
    wait::send_signal(&child, rustix::process::Signal::KILL);
    sandbox.wait_with_output(child).done();
    assert!(peak <= 64 * 1024, "{peak} KiB");
}

#[test]
fn many_bad_lines_are_told_in_flat_memory() {
    let sandbox = Sandbox::in_memory();
    let mut feed = StreamingIngest::new(&sandbox, &["ingest"]);
    feed.write_repeated(&b"nonsense\n".repeat(1000), 20);
    feed.write(format!("{GOOD_LINE}\n"));
    let out = feed.assert_flat_memory(1).exits(65);
    assert!(out.stderr().lines().count() < 30, "{out}");
}

#[test]
fn nesting_has_an_end() {
    for depth in [65, 128, 10_000, 500_000] {
        assert_rejected_alone("[".repeat(depth).as_bytes()).done();
        assert_rejected_alone(format!("{{\"action\":\"a\",\"x\":{}", "[".repeat(depth)).as_bytes())
            .done();
        assert_rejected_alone("{\"a\":".repeat(depth).as_bytes()).done();
    }
}

#[test]
fn what_is_no_json_is_rejected_with_its_column() {
    let bad: [&[u8]; 22] = [
        b"{\"action\":\"a\xff\"}",
        b"{\"action\":\"a\",\"\xc3\x28\":1}",
        b"\xed\xa0\x80",
        br#"{"action":"a","title":"\ud800"}"#,
        br#"{"action":"a","title":"\udc00\ud800"}"#,
        br#"{"action":"a","payload":{"k":"\ud800"}}"#,
        br#"{"action":"a","payload":{"\ud800":1}}"#,
        br#"{"action":"a","status_code":NaN}"#,
        br#"{"action":"a","payload":{"n":Infinity}}"#,
        br#"{"action":"a"} trailing"#,
        br#"{"action":"a"}{"action":"b"}"#,
        br#"{"action":"a","status_code":0200}"#,
        br#"{"action":"a","payload":{"n":01}}"#,
        br#"{"action":"a","payload":{"n":1.}}"#,
        br#"{"action":"a","payload":{"n":.5}}"#,
        br#"{'action':'a'}"#,
        br#"{action:"a"}"#,
        br#"{"action":"a",}"#,
        br#"{"action":"a""#,
        br#"{"action":"a","title":"\x"}"#,
        b"{\"action\":\"a\",\"title\":\"tab\there\"}",
        b"{\"action\":\"a\",\"title\":\"nul\0here\"}",
    ];
    for line in bad {
        let out = assert_rejected_alone(line);
        let first = out.stderr().lines().next().unwrap();
        let surrogate = line.windows(3).any(|bytes| bytes == br"\ud");
        assert!(surrogate || first.contains("column") || first.contains("UTF-8"), "{out}");
    }
}

#[test]
fn a_mark_and_blank_lines_are_fine_and_utf_16_is_named() {
    let sandbox = Sandbox::new();
    let text = format!("\u{feff}\r\n\n  \t\r\n{GOOD_LINE}\r\n\n{GOOD_LINE}");
    sandbox.run_with_input(["ingest"], text).ok().done();
    sandbox.assert_sound_with(2);

    for little in [true, false] {
        let bytes: Vec<u8> = format!("\u{feff}{GOOD_LINE}\n")
            .encode_utf16()
            .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect();
        let out = sandbox.run_with_input(["ingest"], bytes).exits(65);
        assert!(out.stderr().contains("UTF-16"), "{out}");
        assert!(out.stderr().contains("rejected 1"), "once, not once a line\n{out}");
    }
    sandbox.assert_sound_with(2);
}

#[test]
fn nul_is_stored_shown_and_found() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        r#"{"action":"a","actor_id":"1","actor_label":"abc\u0000evil","title":"x\u0000y"}"#,
    );
    let out = sandbox.run(["list"]).ok();
    assert!(out.stdout().contains(r"abc\0evil") || out.stdout().contains(r"abc\x00evil"), "{out}");
    for query in ["evil", "abc", "actor:*evil", "actor:abc*"] {
        assert_eq!(sandbox.run(["list", "--json", query]).ok().ids(), [1], "{query}");
    }
    let out = sandbox.run(["list", "--json"]).ok();
    assert_eq!(out.json()["actor_label"], "abc\0evil");
    assert!(!out.out.contains(&0));
    let out = sandbox.run(["search-actor", "1"]).ok();
    assert!(!out.out.contains(&0), "{out}");
}

#[test]
fn a_line_end_in_a_value_makes_no_second_row() {
    let sandbox = Sandbox::new();
    for end in ["\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\u{2029}", "\u{b}", "\u{c}"] {
        let label = format!("one{end}2025-01-01T00:00:00Z  forged");
        sandbox.ingest(json!({"action":"a","actor_label":label,"target_label":label}).to_string());
    }
    let out = sandbox.run(["list"]).ok();
    let rows = out.stdout().lines().filter(|line| line.contains("one")).count();
    assert_eq!(rows, 8, "{out}");
    assert!(out.stdout().lines().all(|line| !line.starts_with("2025-01-01")), "{out}");
    let out = sandbox.run(["show", "1"]).ok();
    assert!(out.stdout().lines().all(|line| !line.starts_with("2025-01-01")), "{out}");
    // Each row is one line of JSON, and one record of CSV.
    assert_eq!(sandbox.run(["list", "--json"]).ok().json_lines().len(), 8);
    let out = sandbox.run(["export", "--csv"]).ok();
    assert_eq!(csv::Reader::from_reader(out.out.as_slice()).records().count(), 8);
}

#[test]
fn odd_actions_are_rejected() {
    for action in ["a b", " a", "a*", "a?", "a[b]", "a\nb", "a\u{0}", "é", &"x".repeat(129)] {
        assert_rejected_alone(json!({"action":action}).to_string().as_bytes()).done();
    }
}

#[test]
fn ids_are_any_text() {
    let sandbox = Sandbox::new();
    let ids = ["a b", "*", "-x", "é\u{301}", "'; DROP TABLE event; --", "%_", "\u{202e}", "\n"];
    sandbox.ingest(join_lines(
        ids.map(|id| json!({"action":"a","event_id":id,"actor_id":id}).to_string()),
    ));
    let stored: Vec<_> =
        sandbox.stored_events().iter().map(|event| event["event_id"].clone()).collect();
    assert_eq!(stored, ids);
    sandbox.assert_sound_with(8);
}

#[test]
fn compressed_and_binary_input_is_rejected_and_ends() {
    let sandbox = Sandbox::new();
    let noise: Vec<u8> =
        (0..200_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    sandbox.write("noise", [b"\x1f\x8b\x08".as_slice(), &noise].concat());
    let out = sandbox.run(["ingest", "noise"]).exits(65);
    assert!(out.stderr().lines().count() < 30, "{out}");
    assert!(out.err.iter().all(|byte| *byte == b'\n' || *byte >= b' '), "escaped\n{out}");
}

/// The file is read once it is unpacked under its name, or by a later version.
#[test]
fn a_compressed_file_is_named_as_such_and_never_known() {
    let sandbox = Sandbox::new();
    for (magic, tool) in
        [(&b"\xfd7zXZ\x00"[..], "xz -dc"), (b"BZh9", "bzip2 -dc"), (b"PK\x03\x04", "unzip -p")]
    {
        sandbox.write("packed", [magic, b"some\nlines\nof it\n"].concat());
        for _ in 0..2 {
            let out = sandbox.run(["ingest", "packed", "--json"]).exits(65);
            assert_eq!(out.json()["known"], serde_json::Value::Null);
            assert_eq!(
                out.stderr(),
                format!("packed:1: compressed; pipe what `{tool}` prints into activity ingest\n")
            );
        }
    }
}

#[test]
fn a_folder_as_input_is_66() {
    let sandbox = Sandbox::new();
    sandbox.run_shell("mkdir folder").ok().done();
    sandbox.run(["ingest", "folder"]).exits(66).no_stdout().stderr_is_one_error().done();
}

#[test]
fn names_of_files_are_told_escaped() {
    let sandbox = Sandbox::new();
    let name = "bad\u{1b}[31m\u{202e}\n.jsonl";
    sandbox.write(name, "nonsense\n");
    let out = sandbox.run(["ingest", name]).exits(65);
    assert!(!out.err.contains(&0x1b) && !out.stderr().contains('\u{202e}'), "{out}");
    assert!(out.stderr().starts_with(r"bad\e[31m\u{202e}\n.jsonl:1: "), "{out}");
    let out = sandbox.run(["ingest", "none\u{1b}"]).exits(66);
    assert!(!out.err.contains(&0x1b), "{out}");
}

#[test]
fn arguments_that_are_no_utf_8_are_refused_or_taken_as_names() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let odd = OsStr::from_bytes(b"odd\xff.jsonl");
    sandbox.run([OsStr::new("list"), odd]).exits(2).no_stdout().done();
    sandbox.write(std::path::Path::new(odd), format!("{GOOD_LINE}\n"));
    sandbox.run([OsStr::new("ingest"), odd]).ok().done();
    sandbox.assert_sound_with(1);
}
