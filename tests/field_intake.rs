//! How values are taken in: other names, defaults, normal forms, limits.

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;

/// Takes one event in and gives it back as it is kept, less what this log stamped on it.
#[track_caller]
fn ingest_and_read(event: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.ingest(event);
    let mut kept = sandbox.only_event();
    for stamp in ["id", "recorded_at", "recorded_by", "hash"] {
        kept.as_object_mut().unwrap().remove(stamp).expect("each event is stamped");
    }
    kept
}

/// What one field becomes.
#[track_caller]
fn stored_field(field: &str, event: &str) -> Value {
    ingest_and_read(event).get(field).cloned().unwrap_or(Value::Null)
}

/// Checks that a line is rejected, and gives the reason.
#[track_caller]
fn rejection_reason(line: &str) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("bad.jsonl", format!("{{\"action\":\"good.one\"}}\n{line}\n"));
    let out = sandbox.run(["ingest", "bad.jsonl"]).exits(65).no_stdout();
    assert_eq!(sandbox.log().event_count(), 1, "the good line lands, the bad one does not\n{out}");
    let said = out.stderr().lines().find_map(|line| line.strip_prefix("bad.jsonl:2: "));
    said.unwrap_or_else(|| panic!("no reason for {line}\n{out}")).to_owned()
}

#[test]
fn an_absent_source_follows_from_the_other_fields() {
    for (event, source) in [
        (r#"{"action":"a","actor_id":"3"}"#, "operator"),
        (r#"{"action":"a","actor_label":"J"}"#, "operator"),
        (r#"{"action":"a","actor_id":"3","method":"GET"}"#, "operator"),
        (r#"{"action":"a","method":"GET"}"#, "api"),
        (r#"{"action":"a","endpoint":"/v1"}"#, "api"),
        (r#"{"action":"a"}"#, "system"),
        (r#"{"action":"a","source":"","actor_id":"3"}"#, "operator"),
        (r#"{"action":"a","source":"CRON","actor_id":"3"}"#, "cron"),
    ] {
        assert_eq!(stored_field("source", event), source, "{event}");
    }
    assert!(rejection_reason(r#"{"action":"a","source":"robot"}"#).contains("robot"));
}

#[test]
fn severities_are_known_by_many_names() {
    let names = [
        ("critical", "critical crit emergency emerg alert panic CRITICAL 500"),
        ("high", "high error err High 400"),
        ("medium", "medium warning warn 300"),
        ("low", "low notice 250"),
        ("info", "info debug informational 200"),
    ];
    for (severity, names) in names {
        for name in names.split(' ') {
            let event = format!(r#"{{"action":"a","severity":"{name}"}}"#);
            assert_eq!(stored_field("severity", &event), severity, "{name}");
        }
    }
    assert_eq!(stored_field("severity", r#"{"action":"a"}"#), "info");
    assert_eq!(stored_field("severity", r#"{"action":"a","severity":400}"#), "high");
    assert!(rejection_reason(r#"{"action":"a","severity":"loud"}"#).contains("loud"));
}

#[test]
fn actions_are_slugs_in_lower_case() {
    assert_eq!(stored_field("action", r#"{"action":"User.Edit"}"#), "user.edit");
    assert_eq!(stored_field("action", r#"{"action":"a_b.c:d/e-9"}"#), "a_b.c:d/e-9");
    let longest = "a".repeat(128);
    assert_eq!(stored_field("action", &json!({"action":longest}).to_string()), longest);

    for bad in ["user edit", "user*", "user?", "É", "a\tb", "a,b", "\"a\"", &"a".repeat(129)] {
        rejection_reason(&json!({"action":bad}).to_string());
    }
    rejection_reason(r#"{"actor_id":"3"}"#);
    rejection_reason(r#"{"action":""}"#);
    rejection_reason(r#"{"action":null}"#);
    rejection_reason(r#"{"action":7}"#);
}

#[test]
fn other_names_are_taken_in() {
    let event = r#"{"user_id":3,"user":"Jerome","impersonated_by":"9","tenant_id":"s2l",
        "ip_address":"10.0.0.1","created_at":"2025-01-01T00:00:00Z","metadata":{"k":1},
        "resource_type":"user","resource_id":17,"action":"a","id":"e1",
        "before_value":{"a":1},"after_value":{"a":2}}"#;
    assert_eq!(
        ingest_and_read(&event.replace('\n', " ")),
        json!({
            "event_id":"e1","occurred_at":"2025-01-01T00:00:00.000000000Z","tenant":"s2l",
            "source":"operator","severity":"info","action":"a","actor_id":"3",
            "actor_label":"Jerome","impersonator_id":"9","target_type":"user","target_id":"17",
            "diff":{"a":{"before":1,"after":2}},"payload":{"k":1},"ip":"10.0.0.1"
        })
    );
    for name in [
        "created_at",
        "timestamp",
        "@timestamp",
        "time",
        "ts",
        "date",
        "datetime",
        "event_time",
        "createdAt",
        "Occurred-At",
        "TimeStamp",
    ] {
        let event = format!(r#"{{"action":"a","{name}":"2025-01-01T00:00:00Z"}}"#);
        let kept = stored_field("occurred_at", &event);
        assert_eq!(kept, "2025-01-01T00:00:00.000000000Z", "{name}");
    }
    for (given, field, kept) in [
        (r#""actorId":5"#, "actor_id", "5"),
        (r#""ClientIP":"10.0.0.1""#, "ip", "10.0.0.1"),
        (r#""remote_addr":"10.0.0.1:4711""#, "ip", "10.0.0.1"),
        (r#""source_ip":"[2001:DB8::1]:443""#, "ip", "2001:db8::1"),
        (r#""level":"WARNING""#, "severity", "medium"),
        (r#""actor":"Jerome""#, "actor_label", "Jerome"),
        (r#""user_name":"Jerome""#, "actor_label", "Jerome"),
        (r#""resource":"Spring launch""#, "target_label", "Spring launch"),
        (r#""impersonator":"Maria""#, "impersonator_label", "Maria"),
    ] {
        let event = format!(r#"{{"action":"a",{given}}}"#);
        assert_eq!(stored_field(field, &event), kept, "{given}");
    }
    assert_eq!(stored_field("status_code", r#"{"action":"a","status":404}"#), 404);
}

#[test]
fn what_is_no_value_of_a_field_goes_into_the_payload_where_the_name_means_much_else() {
    for given in [
        r#""status":"ok""#,
        r#""level":"five""#,
        r#""ip":"-""#,
        r#""client_ip":"localhost""#,
        r#""ip":"10.0.0.1, 10.0.0.2""#,
    ] {
        let kept = ingest_and_read(&format!(r#"{{"action":"a",{given}}}"#));
        let payload: Value = serde_json::from_str(&format!("{{{given}}}")).unwrap();
        assert_eq!(kept["payload"], payload);
    }
    let why = rejection_reason(r#"{"action":"a","client_ip":"10.0.0.300"}"#);
    assert_eq!(why, "client_ip: \"10.0.0.300\" is not an address");
}

#[test]
fn parties_may_be_objects() {
    let event = r#"{"action":"a","actor":{"id":3,"displayName":"Jerome","email":"j@example.org"},
        "user":"James","target":{"type":"user","id":"17","name":"James Compton","plan":{"a":1}},
        "impersonated_as":{"email":"m@example.org"}}"#;
    let kept = ingest_and_read(&event.replace('\n', " "));
    assert_eq!(kept["actor_id"], "3");
    assert_eq!(kept["actor_label"], "Jerome");
    assert_eq!(kept["target_type"], "user");
    assert_eq!(kept["target_id"], "17");
    assert_eq!(kept["target_label"], "James Compton");
    assert_eq!(kept["impersonator_label"], "m@example.org");
    assert_eq!(
        kept["payload"],
        json!({"user":"James","actor":{"email":"j@example.org"},"target":{"plan":{"a":1}}})
    );
    let kept = ingest_and_read(r#"{"action":"a","actor_id":"own","actor":{"id":1,"name":"J"}}"#);
    assert_eq!((&kept["actor_id"], &kept["actor_label"]), (&json!("own"), &json!("J")));
    assert_eq!(kept["payload"], json!({"actor":{"id":1}}));
}

#[test]
fn a_time_under_an_unknown_key_is_not_dated_now() {
    let why = rejection_reason(r#"{"action":"a","eventAt":"2025-01-01T00:00:00Z"}"#);
    assert!(why.starts_with("eventAt: "), "{why}");
    assert!(why.contains("--map occurred_at=eventAt") && why.contains("--now"), "{why}");
    rejection_reason(r#"{"action":"a","log_ts":1700000000}"#);
    // A number of milliseconds that something took, a day, and a time beside the event's own are no trouble.
    for event in [
        r#"{"action":"a","response_time":250}"#,
        r#"{"action":"a","birth_date":"1980-01-01"}"#,
        r#"{"action":"a","time":1,"expires_at":"2030-01-01T00:00:00Z"}"#,
    ] {
        ingest_and_read(event);
    }
    let event = r#"{"action":"a","eventAt":"2025-01-01T00:00:00Z"}"#;
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest", "--map", "occurred_at=eventAt"], event).ok().done();
    assert_eq!(sandbox.only_event()["occurred_at"], "2025-01-01T00:00:00.000000000Z");
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest", "--now"], event).ok().done();
    assert_eq!(sandbox.only_event()["payload"], json!({"eventAt":"2025-01-01T00:00:00Z"}));
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest", "--lenient"], event).ok().done();
    assert_eq!(sandbox.only_event()["payload"]["_lenient"][0]["field"], "eventAt");
}

#[test]
fn keys_are_mapped_to_fields() {
    let sandbox = Sandbox::new();
    sandbox.write("events.csv", "what,usr,action\nuser.edit,Jerome,x\n");
    let map = ["--map", "action=what", "--map", "actor_label=usr", "--format", "csv"];
    sandbox.run([&["ingest", "events.csv"], &map[..]].concat()).ok().done();
    let event = sandbox.only_event();
    assert_eq!((&event["action"], &event["actor_label"]), (&json!("user.edit"), &json!("Jerome")));
    assert_eq!(event["payload"], json!({"action":"x"}));
    for (bad, said) in [("actor_lable=usr", "did you mean actor_label?"), ("hash=x", "not a field")]
    {
        let out = sandbox.run(["ingest", "events.csv", "--map", bad]).exits(2).no_stdout();
        assert!(out.stderr().contains(said), "{out}");
    }
    let out = sandbox.run(["ingest", "events.csv", "--map", "usr"]).exits(66).no_stdout();
    assert!(out.stderr().contains("FIELD=PATH"), "{out}");
}

#[test]
fn a_key_that_was_meant_to_be_a_field_is_noted_once() {
    let sandbox = Sandbox::new();
    let lines = r#"{"action":"a","usr":"x","occured_at":"soon"}"#.to_owned() + "\n";
    let out = sandbox.run_with_input(["ingest"], lines.repeat(3)).ok();
    let said = out.stderr();
    assert!(
        said.contains(
            "note: 3 lines: \"usr\" went into the payload; --map actor_label=usr takes it"
        ),
        "{out}"
    );
    assert!(said.contains("--map occurred_at=occured_at takes it"), "{out}");
    let known = r#"{"action":"a","actor_id":"1","usr":"x","colour":"red"}"#;
    let out = sandbox.run_with_input(["ingest"], known).ok();
    assert!(!out.stderr().contains("note:"), "{out}");
    let out = sandbox.run_with_input(["ingest", "--quiet"], lines.as_str()).ok();
    out.no_stderr().done();
}

#[test]
fn an_actor_from_a_variable_that_is_not_set_is_refused() {
    for flag in ["--actor", "--actor-id"] {
        let sandbox = Sandbox::new();
        let out = sandbox.run(["ingest", "--action", "a", flag, ""]).exits(2).no_stdout();
        assert!(out.stderr().contains("is empty"), "{out}");
    }
}

#[test]
fn a_fields_own_name_wins_and_the_other_goes_into_the_payload() {
    for event in [
        r#"{"action":"a","actor_id":"own","user_id":"other"}"#,
        r#"{"user_id":"other","action":"a","actor_id":"own"}"#,
    ] {
        let kept = ingest_and_read(event);
        assert_eq!(kept["actor_id"], "own", "{event}");
        assert_eq!(kept["payload"], json!({"user_id":"other"}), "{event}");
    }
    let event = r#"{"action":"a","payload":{"k":1},"metadata":{"m":2}}"#;
    assert_eq!(stored_field("payload", event), json!({"k":1,"metadata":{"m":2}}));
    let event = r#"{"action":"a","before":{"x":1},"before_value":{"y":1},"after":{"x":2}}"#;
    let kept = ingest_and_read(event);
    assert_eq!(kept["diff"], json!({"x":{"before":1,"after":2}}));
    assert_eq!(kept["payload"], json!({"before_value":{"y":1}}));
}

#[test]
fn unknown_keys_go_into_the_payload_and_never_to_the_floor() {
    let event = r#"{"action":"a","colour":"red","n":1.10,"deep":{"x":[1, 2]},"payload":{"k":1}}"#;
    let payload = stored_field("payload", event);
    assert_eq!(payload.to_string(), r#"{"k":1,"colour":"red","n":1.10,"deep":{"x":[1,2]}}"#);

    // A key that the payload has with another value: both stay.
    let payload = stored_field("payload", r#"{"action":"a","k":"outer","payload":{"k":"inner"}}"#);
    let values: Vec<_> = payload.as_object().unwrap().values().cloned().collect();
    assert_eq!(values, [json!("inner"), json!("outer")]);
}

#[test]
fn stamps_of_another_log_are_dropped_with_its_id() {
    let stamps =
        r#""recorded_at":"2020-01-01T00:00:00Z","recorded_by":"eve","hash":"00ff","id":99"#;
    let sandbox = Sandbox::new();
    sandbox.ingest(format!(r#"{{"action":"a","event_id":"e1",{stamps}}}"#));
    let event = sandbox.only_event();
    assert_eq!(event["id"], 1);
    assert_eq!(event["event_id"], "e1");
    assert_ne!(event["recorded_by"], "eve");
    assert_ne!(event["recorded_at"], "2020-01-01T00:00:00Z");
    assert_ne!(event["hash"], "00ff");
    assert_eq!(event.get("payload"), None);
}

#[test]
fn a_plain_id_is_the_event_id() {
    assert_eq!(stored_field("event_id", r#"{"action":"a","id":"x-1"}"#), "x-1");
    assert_eq!(stored_field("event_id", r#"{"action":"a","id":17}"#), "17");
    let both = ingest_and_read(r#"{"action":"a","id":"other","event_id":"own"}"#);
    assert_eq!(both["event_id"], "own");
    assert_eq!(both["payload"], json!({"id":"other"}));
}

#[test]
fn numbers_as_ids_are_taken_by_their_text() {
    let event = r#"{"action":"a","actor_id":123456789012345678901234,"target_id":1.10}"#;
    let kept = ingest_and_read(event);
    assert_eq!(kept["actor_id"], "123456789012345678901234");
    assert_eq!(kept["target_id"], "1.10");
}

#[test]
fn empty_text_and_null_are_absent() {
    let event = r#"{"action":"a","actor_id":"","title":null,"payload":null,"ip":"","event_id":""}"#;
    let kept = ingest_and_read(event);
    for field in ["actor_id", "title", "payload", "ip"] {
        assert_eq!(kept.get(field), None, "{field}");
    }
    assert_eq!(kept["event_id"].as_str().unwrap().len(), 36);
}

#[test]
fn a_key_given_twice_at_the_top_is_an_error_and_deeper_is_kept() {
    assert!(rejection_reason(r#"{"action":"a","title":"x","title":"x"}"#).contains("title"));
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a","payload":{"k":1,"k":2}}"#);
    let out = sandbox.run(["list", "--json"]).ok();
    assert!(out.stdout().contains(r#""payload":{"k":1,"k":2}"#), "{out}");
}

#[test]
fn times_are_taken_with_any_offset_and_as_unix_time_of_four_scales() {
    for (given, kept) in [
        (r#""2025-03-05T14:28:09Z""#, "2025-03-05T14:28:09Z"),
        (r#""2025-03-05T14:28:09.551Z""#, "2025-03-05T14:28:09.551Z"),
        (r#""2025-03-05T14:28:09.500000000Z""#, "2025-03-05T14:28:09.5Z"),
        (r#""2025-03-05T14:28:09.000000001Z""#, "2025-03-05T14:28:09.000000001Z"),
        (r#""2025-03-05T14:28:09.123456789+02:00""#, "2025-03-05T12:28:09.123456789Z"),
        (r#""2025-03-01T00:30:00+14:00""#, "2025-02-28T10:30:00Z"),
        (r#""1969-12-31T23:59:59.25Z""#, "1969-12-31T23:59:59.25Z"),
        ("0", "1970-01-01T00:00:00Z"),
        ("-1.5", "1969-12-31T23:59:58.5Z"),
        ("1700000000", "2023-11-14T22:13:20Z"),
        (r#""1700000000""#, "2023-11-14T22:13:20Z"),
        ("1700000000.123456789", "2023-11-14T22:13:20.123456789Z"),
        ("1700000000.1", "2023-11-14T22:13:20.1Z"),
        ("1700000000123", "2023-11-14T22:13:20.123Z"),
        ("1700000000123.456789", "2023-11-14T22:13:20.123456789Z"),
        ("100000000000", "1973-03-03T09:46:40Z"),
        ("1700000000123456", "2023-11-14T22:13:20.123456Z"),
        ("1700000000123456789", "2023-11-14T22:13:20.123456789Z"),
        (r#""2025-03-05T14:28:09+0200""#, "2025-03-05T12:28:09Z"),
        (r#""2025-03-05 14:28:09+02""#, "2025-03-05T12:28:09Z"),
        (r#""2025-03-05 14:28:09 UTC""#, "2025-03-05T14:28:09Z"),
        (r#""2025-03-05T14:28:09,5Z""#, "2025-03-05T14:28:09.5Z"),
        ("9223372036", "2262-04-11T23:47:16Z"),
        (r#""2262-04-11T23:47:16.854775807Z""#, "2262-04-11T23:47:16.854775807Z"),
        (r#""1677-09-21T00:12:43.145224193Z""#, "1677-09-21T00:12:43.145224193Z"),
    ] {
        let event = format!(r#"{{"action":"a","occurred_at":{given}}}"#);
        assert_eq!(stored_field("occurred_at", &event), clock::normal_form(kept), "{given}");
    }
    for bad in [
        r#""yesterday""#,
        r#""2025-03-05""#,
        r#""2025-03-05T14:28:09""#,
        r#""2025-03-05 14:28:09""#,
        r#""2025-02-30T00:00:00Z""#,
        r#""2025-03-05T24:00:01Z""#,
        r#""2025-03-05T14:28:09+25:00""#,
        r#""2025-03-05T14:28:09.1234567891Z""#,
        r#""2262-04-11T23:47:16.854775808Z""#,
        r#""9999-12-31T23:59:59Z""#,
        "99999999999",
        "1e300",
        "true",
    ] {
        rejection_reason(&format!(r#"{{"action":"a","occurred_at":{bad}}}"#));
    }
}

#[test]
fn a_time_without_offset_needs_an_input_zone() {
    let event = r#"{"action":"a","occurred_at":"2025-03-05T14:28:09"}"#;
    rejection_reason(event);
    for (zone, time) in [
        ("Africa/Johannesburg", "2025-03-05T12:28:09Z"),
        ("UTC", "2025-03-05T14:28:09Z"),
        ("America/New_York", "2025-03-05T19:28:09Z"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.run_with_input(["ingest", "--input-tz", zone], event).ok().done();
        assert_eq!(sandbox.only_event()["occurred_at"], clock::normal_form(time), "{zone}");
    }
    // An offset that is there is not overridden.
    let sandbox = Sandbox::new();
    let event = r#"{"action":"a","occurred_at":"2025-03-05T14:28:09Z"}"#;
    sandbox.run_with_input(["ingest", "--input-tz", "Asia/Tokyo"], event).ok().done();
    assert_eq!(sandbox.only_event()["occurred_at"], "2025-03-05T14:28:09.000000000Z");

    let sandbox = Sandbox::new();
    let out = sandbox.run_with_input(["ingest", "--input-tz", "Mars/Olympus"], event);
    out.exits(2).stderr_has("Mars/Olympus").done();
}

#[test]
fn before_and_after_become_the_changed_fields() {
    let event = r#"{"action":"a","before":{"same":1,"b":"x","gone":true,"order":{"p":1,"q":2}},
        "after":{"new":[1],"b":"y","same":1,"order":{"q":2,"p":1}}}"#;
    let diff = stored_field("diff", &event.replace('\n', " "));
    assert_eq!(
        diff,
        json!({"b":{"before":"x","after":"y"},"gone":{"before":true},"new":{"after":[1]}})
    );
    // Numbers differ by their text, and an explicit null is a value.
    let event = r#"{"action":"a","before":{"n":1,"z":null},"after":{"n":1.0,"z":0}}"#;
    let diff = stored_field("diff", event).to_string();
    assert_eq!(diff, r#"{"n":{"before":1,"after":1.0},"z":{"before":null,"after":0}}"#);
}

#[test]
fn one_state_alone_goes_into_the_payload() {
    let alone = ingest_and_read(r#"{"action":"a","after":{"x":1}}"#);
    assert_eq!(alone.get("diff"), None);
    assert_eq!(alone["payload"], json!({"after":{"x":1}}));
    let alone = ingest_and_read(r#"{"action":"a","before":{"x":1},"after":null}"#);
    assert_eq!(alone["payload"], json!({"before":{"x":1}}));
}

#[test]
fn a_diff_stands_alone_and_its_entries_have_a_side() {
    rejection_reason(r#"{"action":"a","diff":{"x":{"before":1,"after":2}},"before":{"x":1}}"#);
    rejection_reason(r#"{"action":"a","diff":{"x":{"before":1,"after":2}},"after":{"x":1}}"#);
    assert!(rejection_reason(r#"{"action":"a","diff":{"phone":{}}}"#).contains("phone"));
    rejection_reason(r#"{"action":"a","diff":{"phone":[1,2]}}"#);
    rejection_reason(r#"{"action":"a","diff":{"phone":{"old":1}}}"#);
    let idle = r#"{"x":{"before":1,"after":1},"y":{"after":2},"z":{"before":3}}"#;
    assert_eq!(
        stored_field("diff", &format!(r#"{{"action":"a","diff":{idle}}}"#)).to_string(),
        idle
    );
}

#[test]
fn payload_and_diff_keep_the_text_that_came() {
    let sandbox = Sandbox::new();
    let payload = r#"{"b":1.10,"a":123456789012345678901234,"e":1E5,"u":"\u00e9\/","s":"a  b"}"#;
    let diff = r#"{"z":{"before":1.0,"after":1.00},"a":{"after":-0}}"#;
    let spaced = payload.replace(',', " ,\t ").replacen('{', "{ ", 1);
    sandbox.ingest(format!(r#"{{"action":"a","payload":{spaced},"diff":{diff}}}"#));
    let out = sandbox.run(["list", "--json"]).ok();
    assert!(out.stdout().contains(&format!(r#""payload":{payload}"#)), "{out}");
    assert!(out.stdout().contains(&format!(r#""diff":{diff}"#)), "{out}");
    let log = sandbox.log();
    assert_eq!(log.query_value::<String>("SELECT payload FROM events"), payload);
    assert_eq!(log.query_value::<String>("SELECT diff FROM events"), diff);
}

#[test]
fn what_must_be_an_object_is_one() {
    for value in ["[1]", "7", "true", r#""text""#] {
        assert!(
            rejection_reason(&format!(r#"{{"action":"a","payload":{value}}}"#)).contains("payload")
        );
        assert!(rejection_reason(&format!(r#"{{"action":"a","diff":{value}}}"#)).contains("diff"));
    }
    for line in ["[]", "7", "null", "\"text\"", "true"] {
        rejection_reason(line);
    }
}

#[test]
fn addresses_are_kept_in_one_form() {
    for (given, kept) in [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0:0:0:0:0:7", "2001:db8::7"),
        ("2001:0db8::0007", "2001:db8::7"),
        ("::1", "::1"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
    ] {
        let event = json!({"action":"a","ip":given}).to_string();
        assert_eq!(stored_field("ip", &event), kept, "{given}");
    }
    for bad in ["10.0.0.300", "10.0.0", "010.0.0.1", "1:2:3"] {
        assert!(
            rejection_reason(&json!({"action":"a","ip":bad}).to_string()).contains("ip"),
            "{bad}"
        );
    }
}

#[test]
fn methods_are_capitals_and_statuses_from_100_to_599() {
    assert_eq!(stored_field("method", r#"{"action":"a","method":"get"}"#), "GET");
    for (given, kept) in [("100", 100), ("599", 599), (r#""404""#, 404)] {
        let event = format!(r#"{{"action":"a","status_code":{given}}}"#);
        assert_eq!(stored_field("status_code", &event), kept, "{given}");
    }
    for bad in ["99", "600", "-1", "200.5", r#""ok""#, "true"] {
        rejection_reason(&format!(r#"{{"action":"a","status_code":{bad}}}"#));
    }
}

#[test]
fn limits_hold_at_their_last_byte() {
    for (field, limit) in [
        ("event_id", 512),
        ("actor_id", 4096),
        ("actor_label", 4096),
        ("impersonator_id", 4096),
        ("impersonator_label", 4096),
        ("target_id", 4096),
        ("target_label", 4096),
    ] {
        let fits = "é".repeat(limit / 2);
        assert_eq!(
            stored_field(field, &json!({"action":"a",field:fits}).to_string()),
            fits,
            "{field}"
        );
        let over = format!("{fits}x");
        assert!(
            rejection_reason(&json!({"action":"a",field:over}).to_string()).contains(field),
            "{field}"
        );
    }
    let title = "x".repeat((1 << 20) - 100);
    assert_eq!(stored_field("title", &json!({"action":"a","title":title}).to_string()), title);
    let over = "x".repeat(1 << 20);
    assert!(rejection_reason(&json!({"action":"a","title":over}).to_string()).contains("1 MiB"));
}

#[test]
fn json_nests_64_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"action":"a","payload":{{"k":{open}{close}}}}}"#)
    };
    let deepest = stored_field("payload", &nested(62));
    assert!(deepest.to_string().contains(&"[".repeat(62)));
    assert!(rejection_reason(&nested(63)).contains("64"));
    rejection_reason(&"[".repeat(10_000));
    rejection_reason(&format!(
        r#"{{"action":"a","x":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    ));
}
