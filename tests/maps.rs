//! The formats of other systems: what is built in, maps of one's own, and how a foreign input is named.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::join_lines;

/// What a log adds to an event, which differs from run to run.
const STAMPS: [&str; 4] = ["id", "recorded_at", "recorded_by", "hash"];

const NAMES: [&str; 18] = [
    "github",
    "gitlab",
    "slack",
    "okta",
    "google",
    "entra",
    "purview",
    "cloudtrail",
    "k8s",
    "vault",
    "teleport",
    "wp-stream",
    "simple-history",
    "moodle",
    "ausearch",
    "access",
    "auth",
    "journald",
];

fn format_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("formats").join(name)
}

/// A map for the lines and objects of these tests.
const MAP: &str =
    "[fields]\noccurred_at = \"when\"\naction = \"what\"\nactor_label = \"who.name\"\n";

/// Copies the sample of a format, as a file of 20 November 2026: times get their year from it.
fn copy_sample(sandbox: &Sandbox, name: &str) {
    let path = sandbox
        .write(format!("{name}.sample"), fs::read(format_file(&format!("{name}.sample"))).unwrap());
    set_written(&path, 1_795_150_800);
}

fn set_written(path: &Path, seconds: u64) {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

/// The sample of every format becomes the events beside it. `UPDATE_FORMATS=1` writes them anew: read
/// the diff.
#[test]
fn the_sample_of_every_format_becomes_its_events() {
    let mut wrong = Vec::new();
    for name in NAMES {
        let sandbox = Sandbox::new();
        copy_sample(&sandbox, name);
        let sample = format!("{name}.sample");
        let args = ["ingest", "--format", name, "--input-tz", "UTC", &sample];
        let out = sandbox.run(args);
        let mut got = sandbox.stored_events();
        for event in &mut got {
            let event = event.as_object_mut().unwrap();
            STAMPS.iter().for_each(|stamp| drop(event.remove(*stamp)));
            // An emitter without ids gets one that is new each time.
            let is_made = |id: &Value| {
                uuid::Uuid::parse_str(id.as_str().unwrap())
                    .is_ok_and(|id| id.get_version_num() == 7)
            };
            if event.get("event_id").is_some_and(is_made) {
                event.remove("event_id");
            }
            event.sort_keys();
        }
        let lines = join_lines(got.iter().map(Value::to_string));
        let expected = format_file(&format!("{name}.events.jsonl"));
        if std::env::var_os("UPDATE_FORMATS").is_some() {
            fs::write(&expected, &lines).unwrap();
        }
        let expected: Vec<Value> = fs::read_to_string(expected)
            .unwrap_or_default()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        if expected != got || !out.stderr().ends_with(" rejected 0\n") {
            wrong.push(format!("{name}:\n{lines}{}", out.stderr()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_format_is_named_and_never_guessed() {
    for name in NAMES {
        let sandbox = Sandbox::new();
        copy_sample(&sandbox, name);
        let sample = format!("{name}.sample");
        sandbox
            .run(["ingest", &sample])
            .exits(65)
            .stderr_has(&format!("{sample}:1: this looks like "))
            .stderr_has(&format!(": --format {name}\n"))
            .done();
        assert!(sandbox.stored_events().is_empty(), "{name}");
    }
    // Who says that it is ours is believed.
    let sandbox = Sandbox::new();
    let line = r#"{"_document_id":"x","action":"a.b","actor":"ann","@timestamp":1795147200123}"#;
    sandbox.run_with_input(["ingest", "--format", "jsonl"], line).ok().done();
    assert_eq!(sandbox.only_event()["action"], "a.b");
}

#[test]
fn the_same_export_again_adds_nothing() {
    for name in ["github", "cloudtrail", "access", "auth"] {
        let sandbox = Sandbox::new();
        copy_sample(&sandbox, name);
        let sample = format!("{name}.sample");
        let args = ["ingest", "--format", name, "--input-tz", "UTC", &sample];
        sandbox.run(args).ok().done();
        let count = sandbox.stored_events().len();
        sandbox
            .run(args)
            .ok()
            .stderr_has(&format!("ingested 0, duplicates 0, rejected 0, known {count}"))
            .done();
    }
}

#[test]
fn a_map_of_ones_own_reads_lines_of_json() {
    let sandbox = Sandbox::new();
    sandbox.write("m.toml", MAP);
    let lines = [
        r#"{"when":"2026-11-20T04:00:00Z","what":"Door Opened","who":{"name":"Ann","badge":7}}"#,
        r#"{"when":"later","what":"x"}"#,
        r#"{"what":"x"}"#,
        r#"[1]"#,
    ];
    sandbox.write("in.jsonl", join_lines(lines));
    sandbox
        .run(["ingest", "--map", "m.toml", "in.jsonl"])
        .exits(65)
        .stderr_has("in.jsonl:2: occurred_at: \"later\" is not a time like 2026-11-20T04:00:00Z or 1700000000; `time` in the map says how else")
        .stderr_has("in.jsonl:3: occurred_at: the record has no value at when; its keys are what\n")
        .stderr_has("in.jsonl:4: must be an object, not an array\n").done();
    let event = sandbox.only_event();
    assert_eq!(event["action"], "door_opened");
    assert_eq!(event["actor_label"], "Ann");
    assert_eq!(event["payload"], serde_json::json!({"what":"Door Opened","who":{"badge":7}}));
}

#[test]
fn a_field_is_taken_from_within_an_object_or_a_list() {
    let sandbox = Sandbox::new();
    let lines = [
        r#"{"meta":{"at":"2026-11-20T06:00:00Z","run":1},"did":{"verb":"approve"},"who":{"uid":7},"on":[{"ref":"INV-9"}]}"#,
        // A key that is spelled like the path is itself meant.
        r#"{"meta":{"at":"2026-11-20T06:01:00Z"},"did.verb":"reject","did":{"verb":"x"},"who":{"uid":8}}"#,
    ];
    sandbox.write("in.jsonl", join_lines(lines));
    let maps =
        ["occurred_at=meta.at", "action=did.verb", "actor_id=who.uid", "target_id=on[0].ref"];
    let args: Vec<&str> = ["ingest", "in.jsonl"]
        .into_iter()
        .chain(maps.into_iter().flat_map(|map| ["--map", map]))
        .collect();
    sandbox.run(args).ok().stderr_has("ingested 2, ").done();
    let events = sandbox.stored_events();
    assert_eq!((&events[0]["action"], &events[0]["actor_id"]), (&"approve".into(), &"7".into()));
    assert_eq!(events[0]["target_id"], "INV-9");
    assert_eq!(events[0]["payload"], serde_json::json!({"meta":{"run":1}}));
    assert_eq!(events[1]["action"], "reject");
    assert_eq!(events[1]["payload"], serde_json::json!({"did":{"verb":"x"}}));
    sandbox
        .run(["ingest", "in.jsonl", "--map", "action=on[0.ref"])
        .exits(2)
        .stderr_has("is no path")
        .done();
}

#[test]
fn a_table_without_our_columns_is_read_when_one_is_said_to_be_the_action() {
    let sandbox = Sandbox::new();
    sandbox.write("in.csv", "Zeit;Wer;Was\n2026-11-20T06:00:00Z;Anna;Login\n");
    sandbox
        .run(["ingest", "in.csv"])
        .exits(65)
        .stderr_has("in.csv:1: is no JSON; --format csv reads a table")
        .done();
    sandbox
        .run(["ingest", "--format", "csv", "in.csv"])
        .exits(65)
        .stderr_has("--map action=COLUMN takes it from one of Zeit, Wer, Was")
        .done();
    let maps = ["--map", "action=Was", "--map", "actor=Wer", "--map", "occurred_at=Zeit"];
    sandbox.run(["ingest", "in.csv"].into_iter().chain(maps)).ok().done();
    assert_eq!(sandbox.only_event()["actor_label"], "Anna");
}

#[test]
fn records_without_an_action_are_told_which_key_may_be_it() {
    let sandbox = Sandbox::new();
    for (line, remark) in [
        (r#"{"event":"login","hsh":"x"}"#, "--map action=event takes it"),
        (r#"{"did":{"verb":"login"}}"#, "1 line has no action; --map action=KEY takes it"),
        (r#"{"action":"a","who":{"id":7}}"#, "--map actor=who takes it"),
    ] {
        let out = sandbox.run_with_input(["ingest", "--dry-run"], line);
        assert!(out.stderr().contains(remark), "{out}");
        assert!(
            !out.stderr().contains("--map id=") && !out.stderr().contains("--map hash="),
            "{out}"
        );
    }
}

#[test]
fn a_map_that_is_wrong_is_refused_with_its_line_before_anything_is_recorded() {
    let sandbox = Sandbox::new();
    sandbox.write("m.toml", format!("{MAP}actr_id = \"x\"\n"));
    sandbox.write("in.jsonl", "{}\n");
    for args in
        [["ingest", "--map", "m.toml", "in.jsonl"], ["ingest", "--check-map", "m.toml", "in.jsonl"]]
    {
        sandbox
            .run(args)
            .exits(78)
            .stderr_has("m.toml:5: \"actr_id\" is no field of an event; did you mean actor_id?")
            .done();
    }
    assert!(!sandbox.db().exists());
    sandbox
        .run(["ingest", "--map", "none.toml", "in.jsonl"])
        .exits(66)
        .stderr_has("cannot read none.toml")
        .done();
    sandbox.run(["ingest", "--format", "githb", "in.jsonl"]).exits(2).stderr_has("github").done();
}

#[test]
fn documents_are_read_by_their_list_in_every_shape() {
    let record =
        |n: u32| format!(r#"{{"when":{n},"what":"x.y","n":"{n}","list":[{{"Records":[1]}}]}}"#);
    let pretty = |n: u32| record(n).replace(',', ",\n  ").replace('{', "{\n");
    let list = |from: u32| format!("[{}]", [from, from + 1].map(pretty).join("\n,"));
    let inputs = [
        ("one line", format!(r#"{{"Records":{}}}"#, list(1)), vec![1, 2]),
        (
            "other keys",
            format!(
                r#"{{"x":[{{"Records":[0]}}],"y":"\"Records","Records" : {} ,"next":{{"Records":[3]}}}}"#,
                list(1)
            ),
            vec![1, 2],
        ),
        (
            "pages",
            format!(
                "{{\"Records\":{}}}\n{{\"Records\":[]}} {{\"Records\":{},\"a\":1}}\n",
                list(1),
                list(3)
            ),
            vec![1, 2, 3, 4],
        ),
        ("a list", list(5), vec![5, 6]),
        ("lines", format!("{}\n{}\n", record(1), record(2)), vec![1, 2]),
        ("objects", format!("{}\n{}\n", pretty(1), pretty(2)), vec![1, 2]),
    ];
    for (shape, input, numbers) in inputs {
        let sandbox = Sandbox::new();
        sandbox.write("m.toml", format!("format = \"json\"\nrecords = \"Records\"\n{MAP}"));
        sandbox.write("in.json", &input);
        sandbox.run(["ingest", "--map", "m.toml", "in.json"]).ok().done();
        let got: Vec<_> =
            sandbox.stored_events().iter().map(|event| event["payload"]["n"].clone()).collect();
        let expected: Vec<Value> = numbers.iter().map(|n: &u32| n.to_string().into()).collect();
        assert_eq!(got, expected, "{shape}");
        let known = format!("ingested 0, duplicates 0, rejected 0, known {}", numbers.len());
        sandbox.run(["ingest", "--map", "m.toml", "in.json"]).ok().stderr_has(&known).done();
    }
}

#[test]
fn records_may_lie_deep_within_a_document() {
    let record = |n: u32| format!(r#"{{"when":"2026-11-20T04:00:0{n}Z","what":"a.b","n":"{n}"}}"#);
    let list = |n: u32| format!("[{},{}]", record(n), record(n + 1));
    let sandbox = Sandbox::new();
    sandbox.write("m.toml", format!("format = \"json\"\nrecords = \"data.entries\"\n{MAP}"));
    sandbox.write(
        "in.json",
        format!(
            r#"{{"entries":[7],"data":{{"more":[{{"entries":[8]}}],"entries":{},"end":{{}}}},"x":{{"entries":[9]}}}}
               {{"data":{{"entries":{}}}}}"#,
            list(1),
            list(3)
        ),
    );
    sandbox.run(["ingest", "--map", "m.toml", "in.json"]).ok().done();
    let got: Vec<_> =
        sandbox.stored_events().iter().map(|event| event["payload"]["n"].clone()).collect();
    assert_eq!(got, ["1", "2", "3", "4"]);
    let known = "ingested 0, duplicates 0, rejected 0, known 4";
    sandbox.run(["ingest", "--map", "m.toml", "in.json"]).ok().stderr_has(known).done();
}

#[test]
fn a_document_that_is_no_such_document_is_told() {
    for (input, reason) in [
        (r#"{"Records":null}"#, "in.json:1: occurred_at: the record has no value at when"),
        (
            "{\"Records\":[{\"when\":1,\"what\":\"a\"}]} x",
            "in.json:1: a JSON document begins with {",
        ),
        (
            "{\"Records\":[{\"when\":1,\"what\":\"a\"} {}]}",
            "in.json:1: a comma or ] is missing behind an element",
        ),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("m.toml", format!("format = \"json\"\nrecords = \"Records\"\n{MAP}"));
        sandbox.write("in.json", input);
        sandbox.run(["ingest", "--map", "m.toml", "in.json"]).exits(65).stderr_has(reason).done();
    }
    // One that is being written is continued.
    let sandbox = Sandbox::new();
    sandbox.write("m.toml", format!("format = \"json\"\nrecords = \"Records\"\n{MAP}"));
    sandbox.write("in.json", r#"{"Records":[{"when":1,"what":"a"},{"when":2"#);
    sandbox
        .run(["ingest", "--map", "m.toml", "in.json"])
        .ok()
        .stderr_has("in.json:1: the document does not end; left for the next run\n")
        .done();
    sandbox.append("in.json", r#","what":"b"}],"next":"x"}"#);
    sandbox
        .run(["ingest", "--map", "m.toml", "in.json"])
        .ok()
        .stderr_has("ingested 1, duplicates 0, rejected 0, known 1")
        .done();
}

#[test]
fn a_table_is_read_whatever_stands_between_its_cells() {
    for (shape, input) in [
        ("commas", "When,WHAT, who \n2026-11-20T04:00:00Z,x.y,\"a,b\"\n"),
        ("semicolons", "when;what;who\n2026-11-20T04:00:00Z;x.y;\"a,b\"\n"),
        ("tabs", "when\twhat\twho\n2026-11-20T04:00:00Z\tx.y\ta,b\n"),
        ("sep", "sep=;\r\nwhen;what;who\r\n2026-11-20T04:00:00Z;x.y;\"a,b\"\r\n"),
        ("mark", "\u{feff}when;what;who\n2026-11-20T04:00:00Z;x.y;a,b\n"),
        ("line feeds", "when;what;who;more\n2026-11-20T04:00:00Z;x.y;a,b;\"1\n2\"\n"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("m.toml", format!("format = \"csv\"\n{}", MAP.replace("who.name", "who")));
        sandbox.write("in.csv", input);
        sandbox.run(["ingest", "--map", "m.toml", "in.csv"]).ok().done();
        assert_eq!(sandbox.only_event()["actor_label"], "a,b", "{shape}");
        sandbox.append(
            "in.csv",
            input.lines().last().filter(|_| !shape.starts_with("line")).unwrap_or("").to_owned()
                + "\n",
        );
        sandbox.run(["ingest", "--map", "m.toml", "in.csv"]).ok().stderr_has("known 1").done();
    }
    // So is one of our own.
    for input in [
        "action;actor_id\nx.y;7\n",
        "sep=;\naction;actor_id\nx.y;7\n",
        "action\tactor_id\nx.y\t7\n",
    ] {
        let sandbox = Sandbox::new();
        sandbox.run_with_input(["ingest"], input).ok().done();
        assert_eq!(sandbox.only_event()["actor_id"], "7", "{input}");
    }
}

#[test]
fn a_pattern_reads_lines_and_names_those_that_do_not_fit() {
    let sandbox = Sandbox::new();
    let map = "pattern = '^(?P<when>\\S+) (?P<what>\\w+)(?: by (?P<who>\\w+))?$'\n";
    sandbox.write("m.toml", format!("{map}{}", MAP.replace("who.name", "who")));
    sandbox.write(
        "in.log",
        "2026-11-20T04:00:00Z open by ann\n# comment here\n2026-11-20T04:00:01Z shut",
    );
    sandbox
        .run(["ingest", "--map", "m.toml", "in.log"])
        .exits(65)
        .stderr_has("in.log:2: does not fit the pattern of the format\n")
        .stderr_has("in.log:3: the line has no line end")
        .done();
    assert_eq!(sandbox.only_event()["actor_label"], "ann");
    sandbox.append("in.log", " by ben\n");
    sandbox
        .run(["ingest", "--map", "m.toml", "in.log"])
        .exits(65)
        .stderr_has("ingested 1, duplicates 0, rejected 1, known 1")
        .done();
    assert_eq!(sandbox.stored_events()[1]["actor_label"], "ben");
    // A stream has an end.
    let stream = Sandbox::new();
    stream.write("m.toml", format!("{map}{}", MAP.replace("who.name", "who")));
    stream.run_with_input(["ingest", "--map", "m.toml"], "2026-11-20T04:00:01Z shut").ok().done();
    assert_eq!(stream.only_event()["action"], "shut");
}

#[test]
fn check_map_shows_what_each_field_became_and_records_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("m.toml", MAP);
    let lines = [
        r#"{"when":"2026-11-20T04:00:00Z","what":"open","who":{"name":"An\u001bn"},"door":3}"#,
        r#"{"when":"no","what":"open"}"#,
    ];
    sandbox.write("in.jsonl", join_lines(lines));
    let out = sandbox.run(["ingest", "--check-map", "m.toml", "in.jsonl"]).exits(65);
    assert_eq!(
        out.stdout(),
        "in.jsonl:1\n  \
         occurred_at        when      2026-11-20T04:00:00Z\n  \
         action             what      open\n  \
         actor_label        who.name  An\\en\n  \
         payload            the rest  {\"door\":3}\n"
    );
    assert!(out.stderr().starts_with("in.jsonl:2: occurred_at: "), "{}", out.stderr());
    assert!(!sandbox.db().exists());
}

#[test]
fn rejected_records_of_a_document_can_be_repaired_and_taken() {
    let sandbox = Sandbox::new();
    sandbox.write("m.toml", format!("format = \"json\"\nrecords = \"Records\"\n{MAP}"));
    sandbox.write(
        "in.json",
        "{\"Records\":[\n {\"when\":1,\"what\":\"a\"},\n {\"when\":\"no\",\n\"what\":\"b\"}]}\n",
    );
    sandbox
        .run(["ingest", "--map", "m.toml", "--rejects", "bad.jsonl", "in.json"])
        .exits(65)
        .stderr_has("in.json:3: ")
        .done();
    let bad = String::from_utf8(sandbox.read("bad.jsonl")).unwrap();
    assert_eq!(bad, "{\"when\":\"no\", \"what\":\"b\"}\n");
    sandbox.write("good.jsonl", bad.replace("\"no\"", "2"));
    sandbox.run(["ingest", "--map", "m.toml", "good.jsonl"]).ok().done();
    assert_eq!(sandbox.stored_events().len(), 2);
}

fn access_lines(range: std::ops::Range<u32>) -> String {
    join_lines(range.map(|n| {
        format!(
            r#"192.0.2.7 - - [20/Nov/2026:06:00:00 +0200] "GET /{n} HTTP/1.1" 200 5 "-" "curl/8""#
        )
    }))
}

#[track_caller]
fn assert_each_path_once(sandbox: &Sandbox, count: usize) {
    let events = sandbox.stored_events();
    let paths: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["endpoint"].to_string()).collect();
    assert_eq!((events.len(), paths.len()), (count, count), "stored, distinct");
}

#[test]
fn a_web_servers_log_is_followed_over_a_rename() {
    let sandbox = Sandbox::new();
    let ingest = |files: &[&str]| {
        sandbox.run([&["ingest", "--quiet", "--format", "access"], files].concat()).ok().done();
    };
    sandbox.write("access.log", access_lines(0..100));
    ingest(&["access.log"]);
    // What came before the rename is read from the renamed file, then the new one from its beginning.
    sandbox.append("access.log", access_lines(100..150));
    fs::rename(sandbox.path("access.log"), sandbox.path("access.log.1")).unwrap();
    sandbox.write("access.log", access_lines(150..160));
    ingest(&["access.log.1", "access.log"]);
    ingest(&["access.log.1", "access.log"]);
    assert_each_path_once(&sandbox, 160);
}

#[test]
fn a_web_servers_log_is_followed_over_copytruncate() {
    let sandbox = Sandbox::new();
    let ingest = |files: &[&str]| {
        sandbox.run([&["ingest", "--quiet", "--format", "access"], files].concat()).ok().done();
    };
    sandbox.write("access.log", access_lines(0..100));
    ingest(&["access.log"]);
    sandbox.append("access.log", access_lines(100..150));
    fs::copy(sandbox.path("access.log"), sandbox.path("access.log.1")).unwrap();
    fs::File::options().write(true).open(sandbox.path("access.log")).unwrap().set_len(0).unwrap();
    sandbox.append("access.log", access_lines(150..160));
    ingest(&["access.log.1", "access.log"]);
    ingest(&["access.log.1", "access.log"]);
    assert_each_path_once(&sandbox, 160);
}

#[test]
fn the_year_of_a_log_of_logins_comes_from_its_file() {
    let sandbox = Sandbox::new();
    let line = |time: &str| {
        format!("{time} web1 sshd[1]: Accepted password for ann from 192.0.2.7 port 2 ssh2\n")
    };
    let path = sandbox.write("auth.log", line("Dec 31 23:59:59") + &line("Jan  1 00:00:01"));
    // 2 January 2026.
    set_written(&path, 1_767_312_000);
    sandbox
        .run(["ingest", "--format", "auth", "auth.log"])
        .exits(65)
        .stderr_has("--input-tz")
        .done();
    sandbox.run(["ingest", "--format", "auth", "--input-tz", "UTC", "auth.log"]).ok().done();
    let times: Vec<_> = sandbox
        .stored_events()
        .iter()
        .map(|event| event["occurred_at"].as_str().unwrap()[..19].to_owned())
        .collect();
    assert_eq!(times, ["2025-12-31T23:59:59", "2026-01-01T00:00:01"]);
}
