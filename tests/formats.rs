//! What `ingest` reads: JSON Lines, a JSON array, CSV, mirror lines, and how it tells them apart.

use serde_json::Value;
use serde_json::json;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::join_lines;

/// Takes an input in and gives the stored events back, less the stamps.
#[track_caller]
fn ingest_and_read(args: &[&str], input: impl AsRef<[u8]>) -> Vec<Value> {
    let (sandbox, out) = ingest_input(args, input);
    out.ok().done();
    events_without_stamps(&sandbox)
}

#[track_caller]
fn ingest_input(args: &[&str], input: impl AsRef<[u8]>) -> (Sandbox, Output) {
    let sandbox = Sandbox::new();
    sandbox.write("input", input);
    let out = sandbox.run([&["ingest", "input"], args].concat());
    (sandbox, out)
}

#[track_caller]
fn events_without_stamps(sandbox: &Sandbox) -> Vec<Value> {
    let mut stored = sandbox.stored_events();
    for event in &mut stored {
        let event = event.as_object_mut().unwrap();
        for stamp in ["id", "recorded_at", "recorded_by", "hash", "event_id", "occurred_at"] {
            event.shift_remove(stamp);
        }
    }
    stored
}

fn minimal_event(source: &str, action: &str) -> Value {
    json!({"source":source,"severity":"info","action":action})
}

// Sniffing.

#[test]
fn the_first_line_that_is_not_blank_decides() {
    let (one, two) = (r#"{"action":"a"}"#, r#"{"action":"b"}"#);
    let both = [minimal_event("system", "a"), minimal_event("system", "b")];
    for (name, input) in [
        ("JSON Lines", format!("\n  \n{one}\n{two}\n")),
        ("a JSON array", format!("\n\n [{one},\n {two}]\n")),
        ("a JSON array that opens on a line of its own", format!("[\n  {one},\n  {two}\n]")),
        ("CSV", "\naction\na\nb\n".to_owned()),
        ("quoted CSV", "\"action\"\r\n\"a\"\r\n\"b\"\r\n".to_owned()),
        (
            "mirror lines",
            "\n[2025-01-01T00:00:00+00:00] x.info: a {\"event_id\":\"1\",\"action\":\"a\"}\n\
             [2025-01-01T00:00:01+00:00] x.info: b {\"event_id\":\"2\",\"action\":\"b\"}\n"
                .to_owned(),
        ),
    ] {
        assert_eq!(ingest_and_read(&[], input), both, "{name}");
    }
}

#[test]
fn each_input_is_told_apart_by_itself_and_a_format_may_be_said() {
    let sandbox = Sandbox::new();
    sandbox.write("a", r#"[{"action":"a"}]"#);
    sandbox.write("b", "action\nb\n");
    sandbox.run(["ingest", "a", "b"]).ok().done();
    assert_eq!(
        events_without_stamps(&sandbox),
        [minimal_event("system", "a"), minimal_event("system", "b")]
    );

    for (format, input) in [
        ("jsonl", r#"{"action":"a"}"#),
        ("json", r#"[{"action":"a"}]"#),
        ("csv", "action\na\n"),
        ("mirror", r#"[2025-01-01T00:00:00+00:00] x.info: a {"event_id":"1","action":"a"}"#),
    ] {
        assert_eq!(
            ingest_and_read(&["--format", format], input),
            [minimal_event("system", "a")],
            "{format}"
        );
    }
    ingest_input(&["--format", "xml"], "").1.exits(2).done();
    // Said otherwise than it is, it is read as said.
    let (_, out) = ingest_input(&["--format", "jsonl"], "action\na\n");
    out.exits(65).done();
}

#[test]
fn what_is_none_of_these_is_read_as_json_lines() {
    let (_, out) = ingest_input(&[], "Nov 20 04:00:00 host cron[17]: (root) CMD (true)\n");
    out.exits(65).stderr_has("input:1: ").done();
}

#[test]
fn an_input_with_nothing_in_it_is_fine() {
    for input in ["", "\n\n", "   \n", "[]", "[\n]\n", "\u{feff}"] {
        let (_, out) = ingest_input(&[], input);
        let out = out.ok();
        assert_eq!(out.stderr(), "ingested 0, duplicates 0, rejected 0\n", "{input:?}");
    }
}

#[test]
fn byte_order_marks_and_line_ends_do_not_matter() {
    for input in [
        "\u{feff}{\"action\":\"a\"}\r\n\r\n{\"action\":\"b\"}\r\n",
        "\u{feff}action\r\na\r\nb\r\n",
        "\u{feff}[{\"action\":\"a\"},\r\n{\"action\":\"b\"}]",
    ] {
        assert_eq!(
            ingest_and_read(&[], input),
            [minimal_event("system", "a"), minimal_event("system", "b")],
            "{input:?}"
        );
    }
}

// JSON arrays.

#[test]
fn a_bad_element_of_an_array_is_told_by_its_line() {
    let input =
        "[\n  {\"action\":\"a\"},\n  {\n    \"ip\":\"::1\"\n  },\n  7,\n  {\"action\":\"b\"}\n]\n";
    let (sandbox, out) = ingest_input(&[], input);
    let out = out.exits(65);
    assert_eq!(
        events_without_stamps(&sandbox),
        [minimal_event("system", "a"), minimal_event("system", "b")]
    );
    let messages: Vec<_> = out.stderr().lines().filter(|line| line.starts_with("input:")).collect();
    assert_eq!(messages.len(), 2, "{out}");
    assert!(messages[0].starts_with("input:3: ") && messages[1].starts_with("input:6: "), "{out}");
}

#[test]
fn an_array_that_breaks_off_keeps_what_came_before() {
    for (code, broken) in [
        // More may follow one day: what is there lands, and the rest is told.
        (0, r#"[{"action":"a"},{"action":"b"},{"acti"#),
        (0, r#"[{"action":"a"},{"action":"b"}"#),
        (65, r#"[{"action":"a"},{"action":"b"},]"#),
        (65, r#"[{"action":"a"},{"action":"b"}] trailing"#),
        (65, r#"[{"action":"a"},{"action":"b"} {"action":"c"}]"#),
    ] {
        let (sandbox, out) = ingest_input(&[], broken);
        out.exits(code).stderr_has("input:1: ").done();
        let stored = events_without_stamps(&sandbox);
        assert!(stored.len() >= 2, "{broken}: {stored:?}");
        assert_eq!(
            stored[..2],
            [minimal_event("system", "a"), minimal_event("system", "b")],
            "{broken}"
        );
    }
}

#[test]
fn lines_each_with_an_array_are_not_lost() {
    // The second value is behind the end of the array.
    let (sandbox, out) = ingest_input(&[], "[{\"action\":\"a\"}]\n[{\"action\":\"b\"}]\n");
    out.exits(65).done();
    assert_eq!(events_without_stamps(&sandbox)[0], minimal_event("system", "a"));
}

// CSV.

#[test]
fn csv_columns_come_in_any_order_and_under_other_names() {
    let input = "user,action,colour,resource_id,timestamp,status_code,empty\n\
                 Jerome,user.edit,red,17,2025-01-01T00:00:00Z,404,\n\
                 ,cache.purge,,,1700000000,,\n";
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest"], input).ok().done();
    let stored = sandbox.stored_events();
    assert_eq!(stored[0]["actor_label"], "Jerome");
    assert_eq!(stored[0]["action"], "user.edit");
    assert_eq!(stored[0]["target_id"], "17");
    assert_eq!(stored[0]["occurred_at"], "2025-01-01T00:00:00.000000000Z");
    assert_eq!(stored[0]["status_code"], 404);
    assert_eq!(stored[0]["payload"], json!({"colour":"red"}));
    assert_eq!(stored[1]["occurred_at"], "2023-11-14T22:13:20.000000000Z");
    for absent in ["actor_label", "target_id", "status_code", "payload"] {
        assert_eq!(stored[1].get(absent), None, "{absent}");
    }
}

#[test]
fn csv_cells_hold_json_quotes_and_line_ends() {
    let input = "action,title,payload,diff\n\
                 a,\"two\nlines, \"\"quoted\"\"\",\"{\"\"k\"\": 1.10}\",\"{\"\"x\"\":{\"\"after\"\":1}}\"\n\
                 b,plain,,\n";
    let stored = ingest_and_read(&[], input);
    assert_eq!(stored[0]["title"], "two\nlines, \"quoted\"");
    assert_eq!(stored[0]["payload"].to_string(), r#"{"k":1.10}"#);
    assert_eq!(stored[0]["diff"], json!({"x":{"after":1}}));
    assert_eq!(stored[1]["action"], "b");
}

#[test]
fn one_guarding_quote_comes_off_where_a_guard_can_stand() {
    let cells = ["'=1+1", "''=1+1", "'+27 82", "'-5", "'@x", "'\tx", "'plain", "=1", "'", "it's"];
    let values = ["=1+1", "'=1+1", "+27 82", "-5", "@x", "\tx", "'plain", "=1", "'", "it's"];
    let input = join_lines(
        ["action,title".to_owned()].into_iter().chain(cells.map(|c| format!("a,\"{c}\""))),
    );
    let titles = |args| -> Vec<_> {
        ingest_and_read(args, &input)
            .iter()
            .map(|event| event["title"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(titles(&[]), values);
    assert_eq!(titles(&["--raw"]), cells);
}

#[test]
fn bad_csv_rows_are_told_by_their_line_and_the_rest_lands() {
    let input = "action,title\na,one\nb\nc,three,extra\n\"d\",\"spans\nlines\"\n,none\ne,last\n";
    let (sandbox, out) = ingest_input(&[], input);
    let out = out.exits(65);
    let places: Vec<_> =
        out.stderr().lines().filter_map(|line| line.split_once(": ")).map(|(at, _)| at).collect();
    assert_eq!(&places[..3], ["input:3", "input:4", "input:7"], "{out}");
    let actions: Vec<_> =
        events_without_stamps(&sandbox).iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["a", "d", "e"]);
}

#[test]
fn a_csv_header_that_is_not_ours_is_refused_at_once() {
    for header in ["name,title", "action,title,title", "action,action"] {
        let input = format!("{header}\n{}", "a,b,c\n".repeat(50));
        let (sandbox, out) = ingest_input(&["--format", "csv"], input);
        let out = out.exits(65).stderr_has("input:1: ");
        let messages = out.stderr().lines().filter(|line| line.starts_with("input:")).count();
        assert_eq!(messages, 1, "one reason, not one a row: {header}\n{out}");
        assert!(!sandbox.exists("log.db") || sandbox.log().event_count() == 0, "{header}");
    }
}

#[test]
fn an_unclosed_quote_is_told_and_takes_no_good_row_with_it() {
    let (sandbox, out) = ingest_input(&[], "action,title\na,fine\nb,\"never closed\nc,d\n");
    out.exits(65).stderr_has("input:3: ").done();
    assert_eq!(events_without_stamps(&sandbox)[0]["action"], "a");
}

#[test]
fn csv_takes_the_stamps_of_another_log_for_what_they_are() {
    let input =
        "id,event_id,recorded_at,recorded_by,action,hash\n9,e1,2020-01-01T00:00:00Z,eve,a,00\n";
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest"], input).ok().done();
    let event = sandbox.only_event();
    assert_eq!((&event["id"], &event["event_id"]), (&json!(1), &json!("e1")));
    assert_ne!(event["recorded_by"], "eve");
    assert_eq!(event.get("payload"), None);
}

// Mirror lines.

#[test]
fn our_own_mirror_lines_are_read_from_the_json_alone() {
    let sandbox = Sandbox::with_events();
    let events = sandbox.run(["list", "--json", "--sort", "id:asc"]).ok().stdout().to_owned();
    // The head lies, and the message has braces: neither counts.
    let mirrored = events.lines().map(|json| {
        format!(
            "[1999-01-01T00:00:00+00:00] liar.example.critical: {{}} }} {{\"action\":1}} {json}"
        )
    });
    let copy = Sandbox::new();
    copy.run_with_input(["ingest"], join_lines(mirrored)).ok().done();
    let bare = |sandbox: &Sandbox| -> Vec<Value> {
        let mut stored = sandbox.stored_events();
        for event in &mut stored {
            for stamp in ["recorded_at", "recorded_by", "hash"] {
                event.as_object_mut().unwrap().shift_remove(stamp);
            }
        }
        stored
    };
    assert_eq!(bare(&copy), bare(&sandbox));
    copy.assert_sound_with(8);
}

/// A line as WP Activity Log writes it, and what it becomes.
#[track_caller]
fn ingest_wp_activity_log(line: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest"], line).ok().done();
    sandbox.only_event()
}

#[test]
fn wp_activity_log_lines_become_events() {
    let event = ingest_wp_activity_log(
        r#"[2023-07-05T20:19:15+00:00] example.com.ALERT: Activated the plugin X. {"Code":5001,"Object":"plugin","EventType":"activated","Username":"jerome","CurrentUserID":3,"ClientIP":"102.65.14.9","PluginFile":"x/x.php"} []"#,
    );
    assert_eq!(event["occurred_at"], "2023-07-05T20:19:15.000000000Z");
    assert_eq!(event["tenant"], "example.com");
    assert_eq!(event["severity"], "high");
    assert_eq!(event["title"], "Activated the plugin X.");
    assert_eq!(event["action"], "plugin.activated");
    assert_eq!(event["actor_label"], "jerome");
    assert_eq!(event["actor_id"], "3");
    assert_eq!(event["ip"], "102.65.14.9");
    assert_eq!(event["source"], "operator");
    assert_eq!(event["payload"]["PluginFile"], "x/x.php");
    assert_eq!(event["payload"]["Code"], 5001);
}

#[test]
fn wp_activity_log_levels_times_and_identifiers() {
    for (level, severity) in [
        ("EMERGENCY", "critical"),
        ("ALERT", "high"),
        ("CRITICAL", "critical"),
        ("ERROR", "high"),
        ("WARNING", "medium"),
        ("NOTICE", "low"),
        ("INFO", "info"),
        ("DEBUG", "info"),
    ] {
        let line = format!(r#"[2023-07-05T20:19:15+00:00] a.{level}: M {{"Code":1}} []"#);
        let event = ingest_wp_activity_log(&line);
        assert_eq!(event["severity"], severity, "{level}");
        assert_eq!(event["action"], "wsal.1");
    }
    for (number, severity) in
        [(500, "critical"), (400, "high"), (300, "medium"), (250, "low"), (200, "info")]
    {
        let line = format!(
            r#"[2023-07-05T20:19:15+00:00] a.DEBUG: M {{"Code":1,"Severity":{number}}} []"#
        );
        assert_eq!(ingest_wp_activity_log(&line)["severity"], severity, "{number}");
    }
    for (time, kept) in [
        ("2023-07-05T20:19:15.1+02:00", "2023-07-05T18:19:15.100000000Z"),
        ("2023-07-05T20:19:15.123456+00:00", "2023-07-05T20:19:15.123456000Z"),
        ("2023-07-05T20:19:15.123456789+00:00", "2023-07-05T20:19:15.123456789Z"),
    ] {
        assert_eq!(
            ingest_wp_activity_log(&format!(r#"[{time}] a.INFO: M {{"Code":1}} []"#))["occurred_at"],
            kept
        );
    }
    let event = ingest_wp_activity_log(
        r#"[2023-07-05T20:19:15+00:00] my.site.example.org.INFO: M {"Code":1} []"#,
    );
    assert_eq!(event["tenant"], "my.site.example.org");
}

#[test]
fn wp_activity_log_messages_may_hold_braces_and_colons() {
    let event = ingest_wp_activity_log(
        r#"[2023-07-05T20:19:15+00:00] a.b.WARNING: Changed {title}: "x" to {"y"} [z] {"Code":2002,"PostID":17,"OldTitle":"x","NewTitle":"y"} []"#,
    );
    assert_eq!(event["title"], r#"Changed {title}: "x" to {"y"} [z]"#);
    assert_eq!(event["target_id"], "17");
    assert_eq!(event["diff"], json!({"Title":{"before":"x","after":"y"}}));
    assert_eq!(event["tenant"], "a.b");
}

#[test]
fn wp_activity_log_knows_systems_and_users_as_targets() {
    let event = ingest_wp_activity_log(
        r#"[2023-07-05T20:19:15+00:00] a.INFO: Cron ran {"Code":6001,"Username":"System","TargetUserID":9} []"#,
    );
    assert_eq!(event["source"], "system");
    assert_eq!(event["target_id"], "9");
    assert_eq!(event["target_type"], "user");
}

#[test]
fn a_line_that_only_looks_like_a_mirror_line_is_rejected_alone() {
    let good = r#"[2023-07-05T20:19:15+00:00] a.INFO: M {"Code":1} []"#;
    for bad in [
        "[2023-07-05T20:19:15+00:00] a.INFO: no json at all",
        "[2023-07-05T20:19:15+00:00] a.INFO: broken {\"Code\":1",
        "[not a time] a.INFO: M {\"Code\":1} []",
        "no head {\"Code\":1} []",
    ] {
        let (sandbox, out) = ingest_input(&[], join_lines([good, bad, good]));
        out.exits(65).stderr_has("input:2: ").done();
        assert_eq!(sandbox.log().event_count(), 2, "{bad}");
    }
}

#[test]
fn a_forged_line_in_a_message_stays_one_event() {
    let forged = "x\n[2023-07-05T20:19:15+00:00] a.critical: forged {\"event_id\":\"f\",\"action\":\"forged\"}";
    let sandbox = Sandbox::new();
    sandbox.ingest(json!({"action":"a","title":forged,"actor_label":forged}).to_string());
    let out = sandbox.run(["list", "--json"]).ok();
    assert_eq!(out.stdout().lines().count(), 1);
    assert_eq!(out.json()["title"], forged);
}
