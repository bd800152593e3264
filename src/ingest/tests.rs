//! The state that a run leaves, however it ends, and the next run on that state.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use crate::access::IngestRights;
use crate::access::PlatformWork;
use crate::access::Scope;
use crate::codec::DecodeOptions;
use crate::codec::EventFormat;
use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::failure::Exit;
use crate::ingest::IngestCounts;
use crate::ingest::IngestEnd;
use crate::ingest::IngestOptions;
use crate::ingest::IngestUpdate;
use crate::ingest::Input;
use crate::ingest::InputSource;
use crate::ingest::Rejects;
use crate::ingest::RejectsContents;
use crate::ingest::run_with;
use crate::ingest::writer::IngestWriter;
use crate::interrupt::Interrupt;
use crate::store::Create;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::time::Timestamp;

/// A log, a folder for inputs, and how to run.
struct IngestSandbox {
    folder: TempDir,
    reading: DecodeOptions,
    strict: bool,
    again: bool,
    reserved: bool,
    interrupt: Interrupt,
    batch: u64,
    keeps_rejects: bool,
    /// The run ends at this chunk as if it was killed.
    killed_at: usize,
}

/// The result of a run.
#[derive(Debug)]
struct IngestRun {
    tally: IngestCounts,
    end: IngestEnd,
    messages: Vec<String>,
    rejects: Vec<u8>,
}

impl IngestRun {
    #[track_caller]
    fn assert(&self, ingested: u64, duplicates: u64, rejected: u64, known: u64) {
        let expected =
            IngestCounts { ingested, duplicates, rejected, already_ingested: known, ..self.tally };
        assert_eq!(self.tally, expected, "{self:?}");
    }
}

impl IngestSandbox {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            reading: DecodeOptions::default(),
            strict: false,
            again: false,
            reserved: false,
            interrupt: Interrupt::default(),
            batch: 1,
            keeps_rejects: true,
            killed_at: usize::MAX,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    fn log(&self) -> LocalLog {
        LocalLog::open_to_write(&self.path("log.db"), Create::IfMissing).unwrap()
    }

    fn ingest(&self, names: &[&str]) -> IngestRun {
        let inputs: Vec<Input<'_>> = names
            .iter()
            .map(|name| Input {
                name: (*name).to_owned(),
                open: Box::new(|| Ok(InputSource::File(File::open(self.path(name))?))),
            })
            .collect();
        self.run(&inputs)
    }

    fn stream(&self, bytes: &[u8]) -> IngestRun {
        let stream =
            || Ok(InputSource::Stream(Box::new(io::Cursor::new(bytes.to_vec())) as Box<_>));
        self.run(&[Input { name: "-".to_owned(), open: Box::new(stream) }])
    }

    fn run(&self, inputs: &[Input<'_>]) -> IngestRun {
        let (mut tally, mut messages, mut rejects) =
            (IngestCounts::default(), Vec::new(), Vec::new());
        let chunks = std::cell::Cell::new(0);
        let clock = || {
            assert!(chunks.get() != self.killed_at, "killed");
            chunks.set(chunks.get() + 1);
            Timestamp::from_nanos(1_763_611_201_000_000_000)
        };
        let options = IngestOptions {
            decode_options: self.reading,
            strict: self.strict,
            reread_files: self.again,
            rights: Arc::new(IngestRights {
                may_use_reserved: self.reserved,
                only_as: None,
                may_see_all: true,
            }),
            recorded_by: "root",
            clock: &clock,
            spool_folder: self.folder.path(),
            interrupt: &self.interrupt,
        };
        let mut report = |report: IngestUpdate<'_>| match report {
            IngestUpdate::Message(line)
            | IngestUpdate::Unfinished(line)
            | IngestUpdate::Note(line) => {
                messages.push(line.to_owned());
            }
            IngestUpdate::Progress(reached) => {
                assert!(reached.total_bytes.is_none_or(|size| reached.bytes <= size));
            }
        };
        let rejects_to = self
            .keeps_rejects
            .then(|| Rejects::new(&mut rejects, "bad", RejectsContents::default()));
        let mut writer = IngestWriter::new(&options, rejects_to, &mut report, &mut tally);
        writer.batch_events = self.batch;
        let end = run_with(writer, &mut self.log(), inputs).unwrap();
        IngestRun { tally, end, messages, rejects }
    }

    /// Every event of the log, oldest first.
    fn events(&self) -> Vec<Event> {
        let log = self.log();
        let (head, _) = log.head().unwrap();
        (1..=head.0)
            .map(|id| {
                log.event(&Scope::of(PlatformWork::Comparison), EventId(id)).unwrap().unwrap()
            })
            .collect()
    }

    fn actions(&self) -> Vec<String> {
        self.events().iter().map(|event| event.action.slug.clone()).collect()
    }
}

/// Lines of some 200 bytes without an id, so that only the place in the file can tell a repeat.
fn lines(range: std::ops::Range<usize>) -> String {
    let filler = "x".repeat(150);
    range.map(|n| format!("{{\"action\":\"a.{n}\",\"title\":\"{filler}\"}}\n")).collect()
}

fn expected(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("a.{n}")).collect()
}

#[test]
fn every_format_lands() {
    let sandbox = IngestSandbox { keeps_rejects: false, ..IngestSandbox::new() };
    sandbox.write("a.jsonl", "{\"action\":\"a\"}\n");
    sandbox.write("b.json", "[{\"action\":\"b\"},\n{\"action\":\"c\"}]");
    sandbox.write("c.csv", "action,title\nd,x\n");
    sandbox.write("d.log", "[2026-11-20T04:00:00Z] site.INFO: m {\"Code\":1000} []\n");
    let run = sandbox.ingest(&["a.jsonl", "b.json", "c.csv", "d.log"]);
    run.assert(5, 0, 0, 0);
    assert_eq!(
        (run.end, run.tally.exit(), run.messages.len()),
        (IngestEnd::Completed, Exit::Success, 0)
    );
    assert_eq!(sandbox.actions(), ["a", "b", "c", "d", "wsal.1000"]);
    let again = sandbox.ingest(&["a.jsonl", "b.json", "c.csv", "d.log"]);
    again.assert(0, 0, 0, 5);
    sandbox.stream(b"{\"action\":\"e\"}\n").assert(1, 0, 0, 0);
    sandbox.stream(b"{\"action\":\"e\"}\n").assert(1, 0, 0, 0);
}

#[test]
fn a_killed_run_is_completed_by_the_same_call() {
    // Some chunks of the parser's, of which each is a transaction here. The clock is asked per event.
    const LINES: usize = 8_000;
    let array = |lines: &str| format!("[{}]", lines.trim_end().replace('\n', ",\n"));
    let table = |lines: &str| {
        let cell = |line: &str, place| line.split('"').nth(place).unwrap().to_owned();
        let row = |line: &str| format!("\"{}\",{}\n", cell(line, 3), cell(line, 7));
        format!("action,title\n{}", lines.lines().map(row).collect::<String>())
    };
    for make in [&str::to_owned as &dyn Fn(&str) -> String, &array, &table] {
        let mut parts = 0;
        for killed_at in [0, 7_000] {
            let mut sandbox = IngestSandbox::new();
            sandbox.write("in", make(&lines(0..LINES)));
            sandbox.killed_at = killed_at;
            let run = std::panic::catch_unwind(AssertUnwindSafe(|| sandbox.ingest(&["in"])));
            assert!(run.is_err(), "it was not killed");
            let landed = sandbox.events().len() as u64;
            parts += usize::from(0 < landed && landed < LINES as u64);
            sandbox.killed_at = usize::MAX;
            let left = LINES as u64 - landed;
            sandbox.ingest(&["in"]).assert(left, 0, 0, landed);
            assert_eq!(sandbox.actions(), expected(0..LINES));
        }
        assert!(parts > 0, "no run was killed between two transactions");
    }
}

#[test]
fn a_file_is_known_when_it_grew_and_under_any_name() {
    let sandbox = IngestSandbox::new();
    sandbox.write("a", lines(0..3));
    sandbox.ingest(&["a"]).assert(3, 0, 0, 0);
    sandbox.append("a", lines(3..5));
    sandbox.ingest(&["a"]).assert(2, 0, 0, 3);
    std::fs::rename(sandbox.path("a"), sandbox.path("b")).unwrap();
    sandbox.write("a", lines(5..6));
    sandbox.ingest(&["a", "b"]).assert(1, 0, 0, 5);
    // Far beyond the bytes that a file is known by.
    sandbox.append("b", lines(6..1000));
    sandbox.ingest(&["b"]).assert(994, 0, 0, 5);
    sandbox.append("b", "\n\n{\"action\":\"last\",\"ip\":1}\n");
    let run = sandbox.ingest(&["b"]);
    run.assert(0, 0, 1, 999);
    assert_eq!(run.messages, ["b:1002: ip: must be text, not a number"]);
    sandbox.ingest(&["b"]).assert(0, 0, 1, 999);
    assert_eq!(sandbox.actions(), expected(0..1000));
}

#[test]
fn a_file_that_only_begins_alike_is_another() {
    let sandbox = IngestSandbox::new();
    sandbox.write("a", lines(0..1000));
    sandbox.ingest(&["a"]).assert(1000, 0, 0, 0);
    sandbox.write("b", lines(0..900) + &lines(2000..2200));
    sandbox.ingest(&["b"]).assert(1100, 0, 0, 0);
    sandbox.ingest(&["a", "b"]).assert(0, 0, 0, 2100);
}

#[test]
fn a_table_and_an_array_grow_too() {
    let sandbox = IngestSandbox::new();
    sandbox.write("t", "title,action\r\n\"two\r\nlines\",a\r\n");
    sandbox.ingest(&["t"]).assert(1, 0, 0, 0);
    sandbox.append("t", ",b\r\nc\r\n");
    let run = sandbox.ingest(&["t"]);
    run.assert(1, 0, 1, 1);
    assert_eq!(run.messages, ["t:5: has 1 cells, and the header has 2"]);
    assert_eq!(run.rejects, b"title,action\r\nc\r\n");

    sandbox.write("j", "[{\"action\":\"d\"}\n");
    let run = sandbox.ingest(&["j"]);
    run.assert(1, 0, 0, 0);
    assert_eq!(run.messages, ["j:2: the array does not end; left for the next run"]);
    sandbox.append("j", ",{\"action\":\"e\"},\n{\"action\":\"f\"}]\n");
    sandbox.ingest(&["j"]).assert(2, 0, 0, 1);
    sandbox.write(
        "j",
        "[{\"action\":\"d\"}\n,{\"action\":\"e\"},\n{\"action\":\"f\"},{\"action\":\"g\"}]\n",
    );
    sandbox.ingest(&["j"]).assert(1, 0, 0, 3);
    assert_eq!(sandbox.actions(), ["a", "b", "d", "e", "f", "g"]);
}

#[test]
fn again_takes_a_file_from_its_beginning() {
    let mut sandbox = IngestSandbox::new();
    sandbox.write("a", "{\"action\":\"a\",\"event_id\":\"1\"}\n{\"action\":\"b\"}\n");
    sandbox.ingest(&["a"]).assert(2, 0, 0, 0);
    sandbox.again = true;
    sandbox.ingest(&["a"]).assert(1, 1, 0, 0);
    sandbox.again = false;
    sandbox.ingest(&["a"]).assert(0, 0, 0, 2);
}

#[test]
fn a_torn_last_line_is_left_in_a_file_and_rejected_in_a_stream() {
    let sandbox = IngestSandbox::new();
    sandbox.write("a", "{\"action\":\"a\"}\n{\"action\":\"b");
    let run = sandbox.ingest(&["a"]);
    run.assert(1, 0, 0, 0);
    assert_eq!(run.messages, ["a:2: it ends within a string at column 12; left for the next run"]);
    assert_eq!(run.tally.exit(), Exit::Success);
    sandbox.append("a", "\"}");
    sandbox.ingest(&["a"]).assert(1, 0, 0, 1);
    sandbox.append("a", "\n{\"action\":\"c\"}\n");
    sandbox.ingest(&["a"]).assert(1, 0, 0, 2);
    assert_eq!(sandbox.actions(), ["a", "b", "c"]);

    let run = sandbox.stream(b"{\"action\":\"d\"}\n{\"action\":\"e");
    run.assert(1, 0, 1, 0);
    assert_eq!(run.messages, ["-:2: it ends within a string at column 12"]);
    assert_eq!(run.rejects, b"{\"action\":\"e\n");
    assert_eq!(run.tally.exit(), Exit::Data);
}

#[test]
fn repeats_are_counted_and_contradictions_rejected() {
    let sandbox = IngestSandbox::new();
    let input = b"{\"action\":\"a\",\"event_id\":\"1\",\"title\":\"x\"}\n\
        {\"event_id\":\"1\",\"action\":\"A\"}\n\
        {\"action\":\"a\", \"event_id\":\"1\",\"title\":\"y\"}\r\n\
        {\"action\":\"a\",\"event_id\":\"1\",\"tenant\":\"t\"}\n";
    let run = sandbox.stream(input);
    run.assert(2, 1, 1, 0);
    assert_eq!(run.messages, ["-:3: its event_id is that of event 1, whose title differs"]);
    assert_eq!(run.rejects, b"{\"action\":\"a\", \"event_id\":\"1\",\"title\":\"y\"}\r\n");
    sandbox.stream(input).assert(0, 3, 1, 0);
}

#[test]
fn rejects_are_kept_byte_by_byte() {
    let sandbox = IngestSandbox::new();
    let long = [b"{\"title\":\"", &vec![b'x'; 20 << 20][..], b"\"}\n"].concat();
    let bad: [&[u8]; 5] = [b" {\"action\":\"\xC3\x28\"}\r\n", b"[1]\n", &long, b"\0\n", b"x\n"];
    let good = b"{\"action\":\"a\"}\n";
    let input: Vec<u8> = bad.iter().flat_map(|bad| [*bad, good].concat()).collect();
    let run = sandbox.stream(&input);
    run.assert(5, 0, 5, 0);
    assert!(run.rejects == bad.concat(), "the rejects differ");
    assert_eq!(run.messages[2], "-:5: longer than 1 MiB");

    let run = sandbox.stream(b"[{\"action\":\n\"b\"}, {\"title\":\n\"c\"}\n, 7]");
    assert_eq!(run.rejects, b"{\"title\": \"c\"}\n7\n");
    assert_eq!(
        run.messages[..2],
        ["-:2: action is missing", "-:4: must be an object, not a number"]
    );
}

#[test]
fn what_cannot_be_read_at_all_is_one_reject_and_kept_whole() {
    let mut sandbox = IngestSandbox::new();
    sandbox.write("utf16", b"\xFF\xFE{\0}\0");
    sandbox.write("array", "[{\"action\":\"a\"} {\"action\":\"b\"}]");
    sandbox.write("open", "action,title\nb,\"x\ny,z\n");
    sandbox.write("good", "{\"action\":\"c\"}\n");
    let table = IngestSandbox {
        reading: DecodeOptions { format: Some(EventFormat::Csv), ..DecodeOptions::default() },
        ..IngestSandbox::new()
    };
    let run = table.stream(b"title,user\nx,y\n");
    run.assert(0, 0, 1, 0);
    let reason = "-:1: no column of the header is action; --map action=COLUMN takes it from one of";
    assert_eq!(run.messages, [format!("{reason} title, user")]);
    assert_eq!(run.rejects, b"title,user\nx,y\n");
    for _ in 0..2 {
        let mut run = sandbox.ingest(&["utf16", "array"]);
        assert_eq!(run.tally.rejected, 2);
        assert_eq!(run.rejects, b"\xFF\xFE{\0}\0\n{\"action\":\"b\"}]");
        let open = sandbox.ingest(&["open"]);
        assert_eq!(open.rejects, b"action,title\nb,\"x\ny,z\n");
        run.messages.extend(open.messages);
        assert_eq!(
            run.messages,
            [
                "utf16:1: UTF-16; convert to UTF-8",
                "array:1: a comma or ] is missing behind an element",
                "open:2: a quote begins here and does not end",
            ]
        );
    }
    sandbox.keeps_rejects = false;
    let run = sandbox.ingest(&["utf16", "open", "good"]);
    run.assert(1, 0, 2, 0);
    assert_eq!(run.messages.len(), 2);
    assert_eq!(sandbox.actions(), ["a", "c"]);
}

#[test]
fn twenty_bad_lines_are_told_and_then_their_number() {
    let sandbox = IngestSandbox::new();
    let run = sandbox.stream("{}\n".repeat(1_030).as_bytes());
    run.assert(0, 0, 1_030, 0);
    assert_eq!(run.messages.len(), 21);
    assert_eq!(run.messages[19], "-:20: action is missing");
    assert_eq!(run.messages[20], "and 1,010 more");
}

#[test]
fn names_and_values_are_told_escaped() {
    let sandbox = IngestSandbox::new();
    sandbox.write("\x1b[1m\n", "{\"action\":\"\\u001b\"}\n");
    let run = sandbox.ingest(&["\x1b[1m\n"]);
    assert_eq!(run.messages.len(), 1);
    assert!(!run.messages[0].contains(['\x1b', '\n']), "{:?}", run.messages[0]);
}

#[test]
fn the_logs_own_actions_are_not_for_everybody() {
    let mut sandbox = IngestSandbox::new();
    let input = b"{\"action\":\"a\"}\n{\"action\":\"Retention.sweep\"}\n";
    let run = sandbox.stream(input);
    run.assert(1, 0, 1, 0);
    assert_eq!(run.messages, ["-:2: action retention.sweep is the log's own"]);
    assert_eq!(run.rejects, b"{\"action\":\"Retention.sweep\"}\n");
    assert_eq!(run.tally.exit(), Exit::NoPermission);
    sandbox.reserved = true;
    sandbox.stream(input).assert(2, 0, 0, 0);
    assert!(sandbox.events().iter().all(|event| !event.own), "an imported event counts as own");
}

#[test]
fn strictly_all_lands_or_nothing() {
    let mut sandbox = IngestSandbox::new();
    sandbox.strict = true;
    sandbox.write("good", lines(0..3000));
    sandbox.write("bad", lines(3000..6000) + "{}\n");
    let run = sandbox.ingest(&["good", "bad"]);
    run.assert(0, 0, 1, 0);
    assert_eq!(
        (run.messages, run.rejects),
        (vec!["bad:3001: action is missing".to_owned()], b"{}\n".to_vec())
    );
    assert_eq!(sandbox.events().len(), 0);
    sandbox.ingest(&["good"]).assert(3000, 0, 0, 0);
    sandbox.append("good", lines(3000..3001));
    sandbox.append("good", "{\"act");
    let run = sandbox.ingest(&["good"]);
    run.assert(1, 0, 0, 3000);
    assert_eq!(run.messages.len(), 1, "{:?}", run.messages);

    let run = sandbox.stream(b"{\"action\":\"b\",\"event_id\":\"1\"}\n{\"action\":\"torn");
    run.assert(0, 0, 1, 0);
    // Only the log can tell that these contradict each other.
    let run = sandbox
        .stream(b"{\"action\":\"b\",\"event_id\":\"1\"}\n{\"action\":\"c\",\"event_id\":\"1\"}\n");
    run.assert(0, 0, 1, 0);
    assert_eq!(run.rejects, b"{\"action\":\"c\",\"event_id\":\"1\"}\n");
    assert_eq!(sandbox.events().len(), 3001);
    sandbox.stream(b"{\"action\":\"b\"}\n{\"action\":\"c\"}\n").assert(2, 0, 0, 0);
    assert_eq!(sandbox.events().len(), 3003);
    let left: Vec<_> = std::fs::read_dir(sandbox.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("log.db"))
        .collect();
    assert_eq!(left.len(), 2, "a spooled stream was left behind: {left:?}");
}

#[test]
fn a_conflict_at_the_very_end_lands_nothing_strictly() {
    let mut sandbox = IngestSandbox::new();
    sandbox.stream(b"{\"action\":\"a\",\"event_id\":\"1\"}\n").assert(1, 0, 0, 0);
    sandbox.strict = true;
    let conflict = r#"{"action":"b","event_id":"1"}"#;
    sandbox.write("with the log", format!("{}{conflict}\n", lines(0..3_000)));
    let run = sandbox.ingest(&["with the log"]);
    run.assert(0, 0, 1, 0);
    let why = "with the log:3001: its event_id is that of event 1, whose action differs";
    assert_eq!(run.messages, [why]);
    assert_eq!(run.rejects, format!("{conflict}\n").into_bytes());
    let two = "{\"action\":\"a\",\"event_id\":\"2\"}\n{\"action\":\"b\",\"event_id\":\"2\"}\n";
    sandbox.write("within", lines(0..3_000) + two);
    let run = sandbox.ingest(&["within"]);
    run.assert(0, 0, 1, 0);
    assert!(run.messages[0].starts_with("within:3002: its event_id is that of"), "{run:?}");
    assert_eq!(sandbox.events().len(), 1);
    // One that says less contradicts nothing.
    let less = "{\"action\":\"a\",\"event_id\":\"2\",\"title\":\"t\"}\n{\"action\":\"a\",\"event_id\":\"2\"}\n";
    sandbox.write("less", less);
    sandbox.ingest(&["less"]).assert(1, 1, 0, 0);
}

#[test]
fn a_strict_run_that_was_killed_is_completed_by_the_same_call() {
    const LINES: usize = 5_000;
    let mut parts = 0;
    for killed_at in [0, 1_000, 2_500, 4_000, LINES] {
        let mut sandbox = IngestSandbox::new();
        sandbox.strict = true;
        sandbox.write("in", lines(0..LINES));
        sandbox.killed_at = killed_at;
        let run = std::panic::catch_unwind(AssertUnwindSafe(|| sandbox.ingest(&["in"])));
        assert!(run.is_err(), "it was not killed");
        let landed = sandbox.events().len() as u64;
        parts += usize::from(landed > 0);
        sandbox.killed_at = usize::MAX;
        sandbox.ingest(&["in"]).assert(LINES as u64 - landed, 0, 0, landed);
        assert_eq!(sandbox.actions(), expected(0..LINES));
    }
    assert!(parts > 0, "no run was killed between two transactions");
}

#[test]
fn another_event_lands_while_a_strict_run_stores_its_own() {
    const LINES: usize = 12_000;
    let mut sandbox = IngestSandbox::new();
    sandbox.strict = true;
    sandbox.batch = 2_000;
    sandbox.write("in", lines(0..LINES));
    drop(sandbox.log());
    let path = sandbox.path("log.db");
    let appended = std::thread::spawn(move || {
        wait_for(&path, 1);
        let mut other = LocalLog::open_to_write(&path, Create::Never).unwrap();
        let stamp = Stamp { clock: &|| Timestamp::from_nanos(0), recorded_by: "root" };
        let event = NewEvent { action: "other".to_owned(), ..NewEvent::default() };
        other.append(&[event], &stamp).unwrap();
    });
    sandbox.ingest(&["in"]).assert(LINES as u64, 0, 0, 0);
    appended.join().unwrap();
    let place = sandbox.actions().iter().position(|action| action == "other").unwrap();
    assert!(place < LINES, "it waited for the whole run");
}

/// A stream that is open as long as its sender, and whose end is waited for.
struct Pipe(Receiver<Vec<u8>>);

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.recv().map_or(Ok(0), |bytes| bytes.as_slice().read(into))
    }
}

#[test]
fn a_signal_ends_the_run_though_the_pipe_is_open() {
    for strict in [false, true] {
        let mut sandbox = IngestSandbox::new();
        sandbox.strict = strict;
        let (sender, receiver) = mpsc::channel();
        let receiver = std::cell::Cell::new(Some(receiver));
        let interrupt = sandbox.interrupt.clone();
        sender.send(b"{\"action\":\"a\"}\n{\"action\":\"b".to_vec()).unwrap();
        let open = || Ok(InputSource::Stream(Box::new(Pipe(receiver.take().unwrap())) as Box<_>));
        let signal = std::thread::spawn({
            let path = sandbox.path("log.db");
            move || {
                if !strict {
                    wait_for(&path, 1);
                }
                interrupt.send(15);
            }
        });
        let run = sandbox.run(&[Input { name: "-".to_owned(), open: Box::new(open) }]);
        signal.join().unwrap();
        assert_eq!(run.end, IngestEnd::Interrupted(15));
        run.assert(u64::from(!strict), 0, 0, 0);
        assert_eq!(sandbox.events().len(), usize::from(!strict));
        drop(sender);
    }
}

#[test]
fn a_line_from_an_open_pipe_is_committed_while_the_next_is_waited_for() {
    let sandbox = IngestSandbox::new();
    let (sender, receiver) = mpsc::channel();
    let receiver = std::cell::Cell::new(Some(receiver));
    let open = || Ok(InputSource::Stream(Box::new(Pipe(receiver.take().unwrap())) as Box<_>));
    let path = sandbox.path("log.db");
    let writer = std::thread::spawn(move || {
        for events in 1..=3 {
            sender.send(format!("{{\"action\":\"a.{events}\"}}\n").into_bytes()).unwrap();
            wait_for(&path, events);
        }
    });
    let run = sandbox.run(&[Input { name: "-".to_owned(), open: Box::new(open) }]);
    writer.join().unwrap();
    run.assert(3, 0, 0, 0);
}

/// Waits until a log has so many events.
fn wait_for(path: &Path, events: i64) {
    let began = Instant::now();
    while LocalLog::open_to_read(path)
        .and_then(|log| log.head())
        .map_or(true, |(head, _)| head.0 < events)
    {
        assert!(began.elapsed() < Duration::from_secs(20), "event {events} does not land");
        std::thread::yield_now();
    }
}
