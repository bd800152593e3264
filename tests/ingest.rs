//! `activity ingest`: one event by flags, what is said of bad lines, and the log that is made.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::is_running_as_root;
use crate::support::join_lines;
use crate::support::log::Log;

// One event by flags.

#[test]
fn one_event_is_recorded_by_flags() {
    let sandbox = Sandbox::new();
    let args = "ingest --action deploy.finish --target-type service --target-id web --actor-id amy";
    let out = sandbox.run(args.split(' ')).ok().no_stdout();
    assert_eq!(out.stderr(), "ingested 1, duplicates 0, rejected 0\n");

    let event = sandbox.only_event();
    assert_eq!(event["action"], "deploy.finish");
    assert_eq!(event["target_type"], "service");
    assert_eq!(event["target_id"], "web");
    assert_eq!(event["actor_id"], "amy");
    assert_eq!(event["source"], "operator");
    assert_eq!(event["severity"], "info");
    assert_eq!(event["id"], 1);
    sandbox.assert_sound_with(1);
}

#[test]
fn an_event_without_id_and_time_gets_a_uuid_v7_and_now() {
    let sandbox = Sandbox::new();
    let out = sandbox.run(["ingest", "--json", "--action", "a.b"]).ok().no_stderr().json();
    let event = sandbox.only_event();

    let id = event["event_id"].as_str().unwrap();
    let uuid = uuid::Uuid::parse_str(id).unwrap();
    assert_eq!(uuid.get_version_num(), 7);
    assert_eq!(uuid.hyphenated().to_string(), id);
    assert_eq!(out, json!({"ingested":1,"duplicates":0,"rejected":0,"id":1,"event_id":id}));

    for stamp in ["occurred_at", "recorded_at"] {
        let age = clock::age_in_seconds(event[stamp].as_str().unwrap());
        assert!((-1.0..60.0).contains(&age), "{stamp} is now: {event}");
    }
    let recorder = event["recorded_by"].as_str().unwrap();
    assert!(!recorder.is_empty());
    if is_running_as_root() {
        assert_eq!(recorder.split(' ').next(), Some("root"));
    }
}

#[test]
fn every_field_has_a_flag() {
    let sandbox = Sandbox::new();
    let fields = [
        ("event_id", "E-1"),
        ("occurred_at", "2025-03-05T14:28:09.500000000Z"),
        ("tenant", "s2l"),
        ("source", "cron"),
        ("severity", "high"),
        ("module", "users"),
        ("action", "user.edit"),
        ("title", "Headline"),
        ("description", "Detail"),
        ("actor_id", "3"),
        ("actor_label", "Jerome Cruz"),
        ("impersonator_id", "9"),
        ("impersonator_label", "Maria Reyes"),
        ("target_type", "user"),
        ("target_id", "17"),
        ("target_label", "James Compton"),
        ("diff", r#"{"a":{"before":1,"after":2}}"#),
        ("payload", r#"{"k":"v"}"#),
        ("ip", "10.0.0.1"),
        ("user_agent", "curl/8"),
        ("session_id", "s1"),
        ("method", "GET"),
        ("endpoint", "/v1"),
        ("status_code", "404"),
    ];
    let mut args = vec!["ingest".to_owned()];
    for (field, value) in fields {
        args.push(format!("--{}", field.replace('_', "-")));
        args.push(value.to_owned());
    }
    sandbox.run(&args).ok().done();
    let event = sandbox.only_event();
    for (field, value) in fields {
        let stored = match field {
            "diff" | "payload" => event[field].to_string(),
            "status_code" => event[field].to_string(),
            _ => event[field].as_str().unwrap_or_default().to_owned(),
        };
        assert_eq!(stored, value, "{field}");
    }
}

#[test]
fn the_short_flags_stand_for_the_labels() {
    let sandbox = Sandbox::new();
    let args = ["--actor", "A B", "--target", "C D", "--impersonator", "E F", "--action", "x"];
    sandbox.run(["ingest"].into_iter().chain(args)).ok().done();
    let event = sandbox.only_event();
    assert_eq!(event["actor_label"], "A B");
    assert_eq!(event["target_label"], "C D");
    assert_eq!(event["impersonator_label"], "E F");
}

#[test]
fn before_and_after_flags_make_the_diff() {
    let sandbox = Sandbox::new();
    let (before, after) = (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#);
    let args = ["ingest", "--action", "x", "--before", before, "--after", after];
    sandbox.run(args).ok().done();
    assert_eq!(sandbox.only_event()["diff"], json!({"b":{"before":2,"after":3}}));
}

#[test]
fn a_flag_that_does_not_fit_its_field_is_rejected_and_nothing_is_stored() {
    for (flag, value) in [
        ("--ip", "10.0.0.300"),
        ("--status-code", "99"),
        ("--source", "robot"),
        ("--severity", "loud"),
        ("--occurred-at", "nonsense"),
        ("--payload", "[1]"),
        ("--diff", r#"{"a":1}"#),
    ] {
        let sandbox = Sandbox::new();
        let out = sandbox.run(["ingest", "--action", "x", flag, value]).exits(65).no_stdout();
        assert!(!sandbox.exists("log.db") || sandbox.log().event_count() == 0, "{flag}\n{out}");
    }
}

#[test]
fn an_event_by_flags_needs_an_action() {
    let sandbox = Sandbox::new();
    sandbox.run(["ingest", "--actor-id", "3"]).exits(65).no_stdout().stderr_has("--action").done();
    assert!(!sandbox.exists("log.db"));
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let sandbox = Sandbox::new();
    sandbox.run(["ingest", "--quiet", "--action", "x"]).ok().no_stdout().no_stderr().done();
    let out = sandbox.run_with_input(["ingest", "--quiet"], "nonsense\n").exits(65);
    assert!(!out.stderr().is_empty(), "what is not well is told\n{out}");
}

// Bad lines.

#[test]
fn bad_lines_are_told_and_the_good_ones_land() {
    let sandbox = Sandbox::new();
    let input = join_lines([
        r#"{"action":"a","event_id":"1"}"#,
        r#"{"actor_id":"3"}"#,
        "",
        r#"{"action":"b","event_id":"2"}"#,
        r#"{"action":"c","ip":"10.0.0.300"}"#,
    ]);
    sandbox.write("events.jsonl", input);
    insta::assert_snapshot!(sandbox.run(["ingest", "events.jsonl"]), @r#"
    ------- stderr -------
    events.jsonl:2: action is missing
    events.jsonl:5: ip: "10.0.0.300" is not an address
    ingested 2, duplicates 0, rejected 2
    hint: --rejects bad.jsonl keeps the rejected lines for repair
    [exit status: 65]
    "#);
    sandbox.assert_sound_with(2);
}

#[test]
fn the_first_20_bad_lines_are_told_then_their_number() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.jsonl", "nonsense\n".repeat(25));
    let out = sandbox.run(["ingest", "bad.jsonl"]).exits(65);
    let messages = out.stderr().lines().filter(|line| line.starts_with("bad.jsonl:")).count();
    assert_eq!(messages, 20, "{out}");
    assert!(out.stderr().lines().any(|line| line.contains("5 more")), "{out}");
    assert!(out.stderr().contains("ingested 0, duplicates 0, rejected 25\n"), "{out}");
}

#[test]
fn json_tells_the_summary_on_standard_output() {
    let sandbox = Sandbox::new();
    let input = join_lines([r#"{"action":"a","event_id":"1"}"#, "nonsense", r#"{"action":"b"}"#]);
    let out = sandbox.run_with_input(["ingest", "--json"], &input).exits(65);
    assert_eq!(out.json(), json!({"ingested":2,"duplicates":0,"rejected":1}));
    let out = sandbox.run_with_input(["ingest", "--json"], r#"{"action":"a","event_id":"1"}"#).ok();
    assert_eq!(out.json(), json!({"ingested":0,"duplicates":1,"rejected":0}));
}

#[test]
fn rejects_are_kept_as_they_came_and_can_be_repaired() {
    let sandbox = Sandbox::new();
    let bad: [&[u8]; 4] = [
        b"{\"action\":\"a\", \"ip\":\"10.0.0.300\"}  \n",
        b"{\"action\":\"\xff\"}\n",
        b"not json at all\r\n",
        b"{\"ip\":\"10.0.0.300\",\"action\":\"last\"}\n",
    ];
    let good = b"{\"action\":\"good\"}\n";
    let input: Vec<u8> =
        bad.iter().flat_map(|line| [good.as_slice(), line]).flatten().copied().collect();
    sandbox.write("events.jsonl", input);
    let out = sandbox.run(["ingest", "events.jsonl", "--rejects", "bad.jsonl"]).exits(65);
    assert!(out.stderr().ends_with("ingested 4, duplicates 0, rejected 4\n"), "{out}");
    assert_eq!(
        String::from_utf8_lossy(&sandbox.read("bad.jsonl")),
        String::from_utf8_lossy(&bad.concat())
    );
    assert_eq!(sandbox.mode("bad.jsonl"), 0o600);

    let repaired = "{\"action\":\"a\", \"ip\":\"10.0.0.3\"}\n";
    sandbox.write("bad.jsonl", repaired);
    sandbox.run(["ingest", "bad.jsonl"]).ok().done();
    sandbox.assert_sound_with(5);
}

#[test]
fn a_hint_names_rejects_when_they_were_not_kept() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.jsonl", "nonsense\n");
    sandbox.run(["ingest", "bad.jsonl"]).exits(65).stderr_has("--rejects").done();
}

#[test]
fn strict_lands_nothing_if_one_line_is_bad() {
    let sandbox = Sandbox::new();
    let good = r#"{"action":"a"}"#;
    sandbox.write("good.jsonl", join_lines([good, good]));
    let other = r#"{"action":"b"}"#;
    sandbox.write("mixed.jsonl", join_lines([other, "nonsense", other]));
    let out = sandbox.run(["ingest", "--strict", "good.jsonl", "mixed.jsonl"]).exits(65);
    assert!(out.stderr().contains("mixed.jsonl:2: "), "{out}");
    assert!(!sandbox.exists("log.db") || sandbox.log().event_count() == 0, "{out}");

    // Nothing is known of a file that did not land.
    let out = sandbox.run(["ingest", "--strict", "good.jsonl"]).ok();
    assert_eq!(out.stderr(), "ingested 2, duplicates 0, rejected 0\n");
    sandbox.write("mixed.jsonl", join_lines([other, other, other]));
    sandbox.run(["ingest", "--strict", "--json", "mixed.jsonl"]).ok().done();
    sandbox.assert_sound_with(5);
}

/// While it checks, a strict run holds no lock and needs none.
#[test]
fn a_strict_run_finds_a_conflict_while_the_log_is_locked() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a","event_id":"e1"}"#);
    let lock = Log::open_to_write(&sandbox.db());
    lock.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let input = join_lines([r#"{"action":"b"}"#, r#"{"action":"b","event_id":"e1"}"#]);
    let out = sandbox.run_with_input(["ingest", "--strict"], input).exits(65);
    assert!(out.stderr().contains("standard input:2: its event_id is that of event 1"), "{out}");
    lock.sql.execute_batch("COMMIT").unwrap();
    sandbox.assert_sound_with(1);
}

#[test]
fn a_conflict_counts_as_bad_under_strict() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a","event_id":"e1"}"#);
    let input = join_lines([r#"{"action":"b"}"#, r#"{"action":"b","event_id":"e1"}"#]);
    sandbox.run_with_input(["ingest", "--strict"], input).exits(65).done();
    sandbox.assert_sound_with(1);
}

#[test]
fn several_files_are_taken_in_their_order() {
    let sandbox = Sandbox::new();
    sandbox.write("b.jsonl", r#"{"action":"first"}"#);
    sandbox.write("a.csv", "action\nsecond\n");
    sandbox.run(["ingest", "b.jsonl", "a.csv"]).ok().done();
    let actions: Vec<_> =
        sandbox.stored_events().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["first", "second"]);
}

#[test]
fn a_missing_input_file_is_66_and_names_it() {
    let sandbox = Sandbox::new();
    let out = sandbox.run(["ingest", "nowhere.jsonl"]).exits(66).stderr_is_one_error().no_stdout();
    out.stderr_has("nowhere.jsonl").done();
    assert!(!sandbox.exists("log.db"), "no log is made for nothing");
}

#[test]
fn files_and_event_flags_do_not_go_together() {
    let sandbox = Sandbox::new();
    sandbox.write("a.jsonl", r#"{"action":"a"}"#);
    sandbox.run(["ingest", "a.jsonl", "--action", "b"]).exits(2).no_stdout().done();
    assert!(!sandbox.exists("log.db"));
}

// The log that is made, and its own events.

#[test]
fn a_new_log_is_private_and_its_folders_too() {
    let sandbox = Sandbox::new();
    sandbox.run(["ingest", "--db", "new/deep/log.db", "--action", "a"]).ok().done();
    assert_eq!(sandbox.mode("new"), 0o700);
    assert_eq!(sandbox.mode("new/deep"), 0o700);
    assert_eq!(sandbox.mode("new/deep/log.db"), 0o600);
    for side in ["new/deep/log.db-wal", "new/deep/log.db-shm", "new/deep/log.db.lock"] {
        assert!(!sandbox.exists(side) || sandbox.mode(side) == 0o600, "{side}");
    }
}

#[test]
fn a_wide_umask_does_not_open_the_log() {
    let sandbox = Sandbox::new();
    sandbox.run_shell("umask 000; activity ingest --action a").ok().done();
    assert_eq!(sandbox.mode("log.db"), 0o600);
}

#[test]
fn a_new_log_in_a_setgid_folder_is_the_groups_too() {
    let sandbox = Sandbox::new();
    sandbox.run_shell("mkdir shared && chmod 2770 shared").ok().done();
    sandbox.run(["ingest", "--db", "shared/log.db", "--action", "a"]).ok().done();
    assert_eq!(sandbox.mode("shared/log.db"), 0o660);
    for side in ["shared/log.db-wal", "shared/log.db-shm"] {
        assert!(!sandbox.exists(side) || sandbox.mode(side) == 0o660, "{side}");
    }
}

#[test]
fn a_new_log_is_empty_and_reading_leaves_no_event() {
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest"], "").ok().done();
    if sandbox.exists("log.db") {
        assert_eq!(sandbox.log().event_count(), 0);
    }
    sandbox.ingest(r#"{"action":"a"}"#);
    for args in [&["list"] as &[_], &["show", "1"], &["search-actor", "x"], &["actions"]] {
        sandbox.run(args).ok().done();
    }
    sandbox.assert_sound_with(1);
}

#[test]
fn the_logs_own_actions_are_refused_from_others() {
    let sandbox = Sandbox::new();
    let reserved = ["log.export", "retention.sweep", "digest.sent", "mirror.dead", "log.anything"];
    for action in reserved {
        let command = sandbox.command_as_nobody(["ingest", "--action", action]);
        sandbox.run_command(command).exits(77).stderr_has(action).done();
    }
    let input = join_lines([
        r#"{"action":"good.one"}"#,
        r#"{"action":"Retention.Sweep"}"#,
        r#"{"action":"logger.fine"}"#,
    ]);
    let command = sandbox.command_as_nobody(["ingest"]);
    let out = sandbox.run_command_with_input(command, input).exits(77);
    assert!(out.stderr().contains(":2: "), "{out}");
    assert!(out.stderr().contains("ingested 2, duplicates 0, rejected 1\n"), "{out}");
}

#[test]
fn root_may_bring_the_logs_own_actions_back_and_they_are_history_only() {
    if !is_running_as_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"retention.sweep","payload":{"count":3}}"#);
    assert_eq!(sandbox.only_event()["action"], "retention.sweep");
    assert_eq!(sandbox.log().query_value::<i64>("SELECT own FROM event"), 0);
}

#[test]
fn recorded_by_is_stamped_by_the_program() {
    let sandbox = Sandbox::new();
    let event = r#"{"action":"a","recorded_by":"eve"}"#;
    let command = sandbox.command_as_nobody(["ingest"]);
    sandbox.run_command_with_input(command, event).ok().done();
    let recorder = sandbox.only_event()["recorded_by"].as_str().unwrap().to_owned();
    assert!(!recorder.contains("eve"), "{recorder}");
    if is_running_as_root() {
        let first = recorder.split(' ').next().unwrap();
        assert!(["nobody", "65534"].contains(&first), "{recorder}");
    }
}

/// Rejects of CSV stand under one header, whatever runs add to them, and can be read again.
#[test]
fn rejected_rows_stand_under_one_header() {
    let sandbox = Sandbox::new();
    sandbox.write("1.csv", "action,title\nx!,one\n");
    sandbox.write("2.csv", "action,title\r\ny!,two\r\n");
    sandbox.run(["ingest", "1.csv", "--rejects", "bad.csv"]).exits(65).done();
    sandbox.run(["ingest", "2.csv", "--rejects", "bad.csv"]).exits(65).done();
    let rejects = String::from_utf8(sandbox.read("bad.csv")).unwrap();
    assert_eq!(rejects, "action,title\nx!,one\ny!,two\r\n");
    sandbox.write("bad.csv", rejects.replace('!', ""));
    sandbox.run(["ingest", "bad.csv"]).ok().done();
    sandbox.assert_sound_with(2);
}

/// Rows under a foreign header would be read under wrong names.
#[test]
fn a_rejects_file_of_another_layout_is_refused_before_anything_is_taken() {
    let sandbox = Sandbox::new();
    sandbox.write("good.csv", "action,title\na,one\n");
    sandbox.write("other.csv", "title,action\none,a\n");
    sandbox.write("lines.jsonl", "{\"action\":\"a\"}\n");
    let files = ["good.csv", "other.csv", "lines.jsonl"];
    for (input, rejects) in files
        .iter()
        .flat_map(|input| files.map(|rejects| (*input, rejects)))
        .filter(|(a, b)| a != b)
    {
        let before = sandbox.read(rejects);
        sandbox
            .run(["ingest", input, "--rejects", rejects])
            .exits(2)
            .stderr_has(&format!("--rejects {rejects}: has "))
            .done();
        let script = format!("cat {input} | activity ingest --rejects {rejects}");
        sandbox.run_shell(&script).exits(2).stderr_has(&format!("--rejects {rejects}: ")).done();
        sandbox.run(["ingest", input, rejects, "--rejects", "new"]).exits(2).done();
        assert_eq!(sandbox.read(rejects), before);
    }
    assert_eq!(sandbox.read("new"), b"");
    sandbox.assert_sound_with(0);
}

#[test]
fn an_unfinished_last_line_of_the_rejects_is_ended_first() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.jsonl", "{\"action\":\"torn");
    sandbox
        .run_with_input(["ingest", "--rejects", "bad.jsonl"], "{\"action\":\"\"}\n")
        .exits(65)
        .done();
    assert_eq!(sandbox.read("bad.jsonl"), b"{\"action\":\"torn\n{\"action\":\"\"}\n");
    // The rest of an array that breaks off has no line end either.
    sandbox.write("1.json", "[1 2]");
    sandbox.write("2.json", "[3]");
    sandbox.run(["ingest", "1.json", "2.json", "--rejects", "new"]).exits(65).done();
    assert_eq!(sandbox.read("new"), b"1\n2]\n3\n");
}

#[test]
fn rejects_may_go_to_standard_output() {
    let sandbox = Sandbox::new();
    let bad = "{\"action\":\"x!\"}\n";
    let out = sandbox.run_with_input(["ingest", "--rejects", "-"], bad).exits(65);
    assert_eq!(out.stdout(), bad);
    assert!(!sandbox.exists("-"));
    sandbox.run_with_input(["ingest", "--json", "--rejects", "-"], bad).exits(2).done();
    sandbox.run_shell("printf 'x\\n' | activity ingest --rejects - >>log.db").exits(2).done();
}

/// The last cell of a row may go on until its line ends.
#[test]
fn a_last_row_without_a_line_end_is_left_in_a_file_and_taken_from_a_pipe() {
    let sandbox = Sandbox::new();
    for torn in ["b,123", "b,\"123\"", "b,"] {
        sandbox.write("grows.csv", format!("action,title\na,one\n{torn}"));
        for args in [&["--again"][..], &["--again", "--strict"]] {
            let args = ["ingest", "grows.csv"].iter().chain(args);
            let out = sandbox.run(args).ok();
            assert_eq!(
                out.stderr(),
                "grows.csv:3: the row has no line end; left for the next run\n\
                 ingested 1, duplicates 0, rejected 0\n"
            );
        }
    }
    sandbox.append("grows.csv", "45\r");
    sandbox.run(["ingest", "grows.csv"]).ok().done();
    assert_eq!(sandbox.run(["list", "--json", "--limit", "1"]).ok().json()["title"], "45");
    for args in [&["ingest"][..], &["ingest", "--strict"]] {
        sandbox.run_with_input(args, "action,title\nc,last").ok().done();
        assert_eq!(sandbox.run(["list", "--json", "--limit", "1"]).ok().json()["title"], "last");
    }
}

/// Quotes within a cell that are escaped by a backslash are no CSV: the cell would be stored mangled.
#[test]
fn text_behind_a_closing_quote_is_rejected() {
    let sandbox = Sandbox::new();
    let good = "action,title\na,\"say \"\"hi\"\" now\"\r\n\"b\",say \"hi\" now\n\"c\",\"\"\n";
    let bad = ["d,\"say \\\"hi\\\" now\"\n", "\"e\" ,x\n", "f,\"x\"y\n", "g,\"\"\"x\"y\"\n"];
    sandbox.write("in.csv", format!("{good}{}", bad.concat()));
    let out = sandbox.run(["ingest", "in.csv", "--rejects", "bad.csv"]).exits(65);
    let reason = "text follows the closing quote; a quote within a cell is written twice";
    for (line, column) in [(5, "title"), (6, "action"), (7, "title"), (8, "title")] {
        assert!(
            out.stderr().contains(&format!("in.csv:{line}: \"{column}\": {reason}\n")),
            "{out}"
        );
    }
    let rejects = String::from_utf8(sandbox.read("bad.csv")).unwrap();
    assert_eq!(rejects, format!("action,title\n{}", bad.concat()));
    let events = sandbox.stored_events();
    let titles: Vec<_> = events.iter().map(|event| event["title"].as_str()).collect();
    assert_eq!(titles, [Some("say \"hi\" now"), Some("say \"hi\" now"), None]);
}

/// The notes on an event that was recorded leniently: each field with its note.
fn lenient_notes(event: &Value) -> Vec<(&str, &Value)> {
    let notes = event["payload"]["_lenient"].as_array().map(Vec::as_slice).unwrap_or_default();
    notes.iter().map(|note| (note["field"].as_str().unwrap(), note)).collect()
}

/// A hook passes on what others chose, and nobody can hide by choosing badly.
#[test]
fn lenient_flags_always_land() {
    let sandbox = Sandbox::new();
    let long = "ä".repeat(5_000);
    let broken = OsStr::from_bytes(b"site/caf\xe9\\n");
    let mut command = sandbox.command(["ingest", "--lenient", "--quiet", "--action", "git push!"]);
    command.args(["--ip", "10.0.0.300", "--actor-id", &long, "--event-id", &"e".repeat(513)]);
    command.args(["--payload", "{\"commits\":}", "--occurred-at", "soon", "--status-code", "1"]);
    command.args(["--diff", "{\"a\":1}", "--before", "{x", "--module", "git"]);
    command.arg("--target-id").arg(broken);
    let args: Vec<_> = command.get_args().map(OsStr::to_owned).collect();
    sandbox.run(args.iter().filter(|arg| *arg != "--lenient")).exits(65).done();
    sandbox.run(&args).ok().no_stderr().done();

    let event = sandbox.only_event();
    assert_eq!(event["action"], "git_push_");
    assert_eq!(event["module"], "git");
    assert_eq!(event["target_id"], "site/caf\\xe9\\\\n");
    assert_eq!(event["actor_id"], "ä".repeat(2_048));
    assert_eq!(event.get("ip"), None);
    let notes = lenient_notes(&event);
    let mut fields: Vec<_> = notes.iter().map(|(field, _)| *field).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "action",
            "actor_id",
            "before",
            "diff",
            "event_id",
            "ip",
            "occurred_at",
            "payload",
            "status_code",
            "target_id"
        ]
    );
    let note = |name| notes.iter().find(|(field, _)| *field == name).unwrap().1;
    assert_eq!(note("ip")["value"], "10.0.0.300");
    assert_eq!(note("ip")["reason"], "\"10.0.0.300\" is not an address");
    assert_eq!(note("actor_id")["cut_from_bytes"], 10_000);
    assert_eq!(note("target_id")["escaped"], true);
    sandbox.assert_sound_with(1);
}

#[test]
fn lenient_lines_land_with_what_fits() {
    let sandbox = Sandbox::new();
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    let lines: Vec<Vec<u8>> = vec![
        b"{\"action\":\"a\",\"title\":\"caf\xe9 \\\"x\\\"\",\"ip\":\"10.0.0.300\"}\n".to_vec(),
        b"{\"title\":\"no action\"}\n".to_vec(),
        b"{\"action\":\"c\",\"title\":\"\\ud800\",\"action\":\"d\",\"tenant\":7.5,\"module\":[1]}\n".to_vec(),
        format!("{{\"action\":\"e\",\"deep\":{deep},\"payload\":{{\"_lenient\":1}}}}\n").into(),
        format!("{{\"action\":\"f\",\"title\":\"{}\",\"x\":\"{}\"}}\n", "t".repeat(600_000), "p".repeat(600_000)).into(),
        b"no event at all\n".to_vec(),
    ];
    sandbox.write("in.jsonl", lines.concat());
    let out = sandbox.run(["ingest", "in.jsonl", "--lenient"]).exits(65);
    assert!(out.stderr().contains("ingested 5, duplicates 0, rejected 1\n"), "{out}");
    let events = sandbox.stored_events();
    let fields = |index: usize| -> Vec<&str> {
        lenient_notes(&events[index]).iter().map(|(field, _)| *field).collect()
    };
    assert_eq!(events[0]["title"], "caf\\xe9 \"x\"");
    assert_eq!(fields(0), ["the whole record", "ip"]);
    assert_eq!(events[1]["action"], "unknown");
    assert_eq!(fields(1), ["action"]);
    assert_eq!(events[2]["action"], "c");
    assert_eq!(fields(2), ["title", "action", "module"]);
    assert_eq!(events[3]["payload"]["_lenient"], 1);
    assert_eq!(events[3]["payload"]["_lenient_2"][0]["field"], "deep");
    assert_eq!(events[4]["title"].as_str().unwrap().len(), 64 << 10);
    assert_eq!(fields(4), ["title", "payload"]);

    let csv = b"action,title,ip\nb,caf\xe9,10.0.0.300\n";
    sandbox.run_with_input(["ingest", "--lenient"], csv).ok().done();
    let events = sandbox.stored_events();
    assert_eq!(events[5]["title"], "caf\\xe9");
    assert_eq!(lenient_notes(&events[5]).len(), 2);
    // Without the flag nothing changes.
    sandbox.run_with_input(["ingest"], csv).exits(65).done();
    sandbox.assert_sound_with(6);
}

#[test]
fn a_dry_run_shows_what_would_be_stored_and_stores_nothing() {
    let sandbox = Sandbox::new();
    let lines = "{\"action\":\"a\",\"event_id\":\"1\",\"actor\":\"Ann\",\"colour\":\"red\"}\n\
                 {\"action\":\"a\",\"event_id\":\"1\",\"actor\":\"Ann\"}\n\
                 {\"action\":\"b\",\"event_id\":\"1\"}\n\
                 {\"ip\":\"::1\"}\n\
                 {\"action\":\"c\"}\n";
    sandbox.write("in.jsonl", lines);
    let out = sandbox.run(["ingest", "--dry-run", "in.jsonl"]).exits(65);
    let said = out.stdout();
    assert!(said.contains("  new 2 · known 0 · duplicates 1 · rejected 2\n"), "{out}");
    assert!(said.contains("into the payload: colour (1)"), "{out}");
    assert!(said.contains("not stored") && said.contains("Ann"), "{out}");
    assert!(out.stderr().contains("in.jsonl:4: action is missing"), "{out}");
    assert!(!sandbox.db().exists(), "no log is made");

    sandbox.run(["ingest", "in.jsonl"]).exits(65).done();
    let before = std::fs::read(sandbox.db()).unwrap();
    let out = sandbox.run(["ingest", "--dry-run", "--again", "--json", "in.jsonl"]).exits(65);
    let report = out.json();
    assert_eq!((&report["new"], &report["duplicates"]), (&1.into(), &2.into()), "{out}");
    assert_eq!(std::fs::read(sandbox.db()).unwrap(), before);
    let out = sandbox.run(["ingest", "--dry-run", "--action", "x.y", "--actor", "Ann"]).ok();
    assert!(out.stdout().starts_with("1 event, "), "{out}");
    sandbox.assert_sound_with(2);
}
