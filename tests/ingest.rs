//! `activity ingest`: what is taken in, in which form it is kept, and what it says of the rest.

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::as_root;
use crate::support::clock;
use crate::support::fixture::EVENTS;
use crate::support::lines;

/// Takes one event in and gives it back as it is kept, less what this log stamped on it.
#[track_caller]
fn kept(event: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.ingest(event);
    let mut kept = sandbox.stored_one();
    for stamp in ["id", "recorded_at", "recorded_by", "hash"] {
        kept.as_object_mut().unwrap().remove(stamp).expect("each event is stamped");
    }
    kept
}

/// What one field becomes.
#[track_caller]
fn becomes(field: &str, event: &str) -> Value {
    kept(event).get(field).cloned().unwrap_or(Value::Null)
}

/// Checks that a line is rejected, and gives the reason.
#[track_caller]
fn refused(line: &str) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("bad.jsonl", format!("{{\"action\":\"good.one\"}}\n{line}\n"));
    let out = sandbox.run(["ingest", "bad.jsonl"]).exits(65).no_stdout();
    assert_eq!(sandbox.log().count(), 1, "the good line lands, the bad one does not\n{out}");
    let said = out.stderr().lines().find_map(|line| line.strip_prefix("bad.jsonl:2: "));
    said.unwrap_or_else(|| panic!("no reason for {line}\n{out}")).to_owned()
}

// One event by flags.

#[test]
fn one_event_is_recorded_by_flags() {
    let sandbox = Sandbox::new();
    let args = "ingest --action deploy.finish --target-type service --target-id web --actor-id amy";
    let out = sandbox.run(args.split(' ')).ok().no_stdout();
    assert_eq!(out.stderr(), "ingested 1, duplicates 0, rejected 0\n");

    let event = sandbox.stored_one();
    assert_eq!(event["action"], "deploy.finish");
    assert_eq!(event["target_type"], "service");
    assert_eq!(event["target_id"], "web");
    assert_eq!(event["actor_id"], "amy");
    assert_eq!(event["source"], "operator");
    assert_eq!(event["severity"], "info");
    assert_eq!(event["id"], 1);
    sandbox.holds(1);
}

#[test]
fn an_event_without_id_and_time_gets_a_uuid_v7_and_now() {
    let sandbox = Sandbox::new();
    let out = sandbox.run(["ingest", "--json", "--action", "a.b"]).ok().no_stderr().json();
    let event = sandbox.stored_one();

    let id = event["event_id"].as_str().unwrap();
    let uuid = uuid::Uuid::parse_str(id).unwrap();
    assert_eq!(uuid.get_version_num(), 7);
    assert_eq!(uuid.hyphenated().to_string(), id);
    assert_eq!(out, json!({"ingested":1,"duplicates":0,"rejected":0,"id":1,"event_id":id}));

    for stamp in ["occurred_at", "recorded_at"] {
        let age = clock::age(event[stamp].as_str().unwrap());
        assert!((-1.0..60.0).contains(&age), "{stamp} is now: {event}");
    }
    let recorder = event["recorded_by"].as_str().unwrap();
    assert!(!recorder.is_empty());
    if as_root() {
        assert_eq!(recorder.split(' ').next(), Some("root"));
    }
}

#[test]
fn every_field_has_a_flag() {
    let sandbox = Sandbox::new();
    let fields = [
        ("event_id", "E-1"),
        ("occurred_at", "2025-03-05T14:28:09.5Z"),
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
    let event = sandbox.stored_one();
    for (field, value) in fields {
        let told = match field {
            "diff" | "payload" => event[field].to_string(),
            "status_code" => event[field].to_string(),
            _ => event[field].as_str().unwrap_or_default().to_owned(),
        };
        assert_eq!(told, value, "{field}");
    }
}

#[test]
fn the_short_flags_stand_for_the_labels() {
    let sandbox = Sandbox::new();
    let args = ["--actor", "A B", "--target", "C D", "--impersonator", "E F", "--action", "x"];
    sandbox.run(["ingest"].into_iter().chain(args)).ok().done();
    let event = sandbox.stored_one();
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
    assert_eq!(sandbox.stored_one()["diff"], json!({"b":{"before":2,"after":3}}));
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
        assert!(!sandbox.exists("log.db") || sandbox.log().count() == 0, "{flag}\n{out}");
    }
}

#[test]
fn an_event_by_flags_needs_an_action() {
    let sandbox = Sandbox::new();
    sandbox.run(["ingest", "--actor-id", "3"]).exits(2).no_stdout().done();
    assert!(!sandbox.exists("log.db"));
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let sandbox = Sandbox::new();
    sandbox.run(["ingest", "--quiet", "--action", "x"]).ok().no_stdout().no_stderr().done();
    let out = sandbox.run_with_input(["ingest", "--quiet"], "nonsense\n").exits(65);
    assert!(!out.stderr().is_empty(), "what is not well is told\n{out}");
}

// How values are taken in.

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
        assert_eq!(becomes("source", event), source, "{event}");
    }
    assert!(refused(r#"{"action":"a","source":"robot"}"#).contains("robot"));
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
            assert_eq!(becomes("severity", &event), severity, "{name}");
        }
    }
    assert_eq!(becomes("severity", r#"{"action":"a"}"#), "info");
    assert_eq!(becomes("severity", r#"{"action":"a","severity":400}"#), "high");
    assert!(refused(r#"{"action":"a","severity":"loud"}"#).contains("loud"));
}

#[test]
fn actions_are_slugs_in_lower_case() {
    assert_eq!(becomes("action", r#"{"action":"User.Edit"}"#), "user.edit");
    assert_eq!(becomes("action", r#"{"action":"a_b.c:d/e-9"}"#), "a_b.c:d/e-9");
    let longest = "a".repeat(128);
    assert_eq!(becomes("action", &json!({"action":longest}).to_string()), longest);

    for bad in ["user edit", "user*", "user?", "É", "a\tb", "a,b", "\"a\"", &"a".repeat(129)] {
        refused(&json!({"action":bad}).to_string());
    }
    refused(r#"{"actor_id":"3"}"#);
    refused(r#"{"action":""}"#);
    refused(r#"{"action":null}"#);
    refused(r#"{"action":7}"#);
}

#[test]
fn other_names_are_taken_in() {
    let event = r#"{"user_id":3,"user":"Jerome","impersonated_by":"9","tenant_id":"s2l",
        "ip_address":"10.0.0.1","created_at":"2025-01-01T00:00:00Z","metadata":{"k":1},
        "resource_type":"user","resource_id":17,"action":"a","id":"e1",
        "before_value":{"a":1},"after_value":{"a":2}}"#;
    assert_eq!(
        kept(&event.replace('\n', " ")),
        json!({
            "event_id":"e1","occurred_at":"2025-01-01T00:00:00Z","tenant":"s2l",
            "source":"operator","severity":"info","action":"a","actor_id":"3",
            "actor_label":"Jerome","impersonator_id":"9","target_type":"user","target_id":"17",
            "diff":{"a":{"before":1,"after":2}},"payload":{"k":1},"ip":"10.0.0.1"
        })
    );
    for name in ["created_at", "timestamp", "time"] {
        let event = format!(r#"{{"action":"a","{name}":"2025-01-01T00:00:00Z"}}"#);
        assert_eq!(becomes("occurred_at", &event), "2025-01-01T00:00:00Z", "{name}");
    }
}

#[test]
fn a_fields_own_name_wins_and_the_other_goes_into_the_payload() {
    for event in [
        r#"{"action":"a","actor_id":"own","user_id":"other"}"#,
        r#"{"user_id":"other","action":"a","actor_id":"own"}"#,
    ] {
        let kept = kept(event);
        assert_eq!(kept["actor_id"], "own", "{event}");
        assert_eq!(kept["payload"], json!({"user_id":"other"}), "{event}");
    }
    let event = r#"{"action":"a","payload":{"k":1},"metadata":{"m":2}}"#;
    assert_eq!(becomes("payload", event), json!({"k":1,"metadata":{"m":2}}));
    let event = r#"{"action":"a","before":{"x":1},"before_value":{"y":1},"after":{"x":2}}"#;
    let kept = kept(event);
    assert_eq!(kept["diff"], json!({"x":{"before":1,"after":2}}));
    assert_eq!(kept["payload"], json!({"before_value":{"y":1}}));
}

#[test]
fn unknown_keys_go_into_the_payload_and_never_to_the_floor() {
    let event = r#"{"action":"a","colour":"red","n":1.10,"deep":{"x":[1, 2]},"payload":{"k":1}}"#;
    let payload = becomes("payload", event);
    assert_eq!(payload.to_string(), r#"{"k":1,"colour":"red","n":1.10,"deep":{"x":[1,2]}}"#);

    // A key that the payload has with another value: both stay.
    let payload = becomes("payload", r#"{"action":"a","k":"outer","payload":{"k":"inner"}}"#);
    let values: Vec<_> = payload.as_object().unwrap().values().cloned().collect();
    assert_eq!(values, [json!("inner"), json!("outer")]);
}

#[test]
fn stamps_of_another_log_are_dropped_with_its_id() {
    let stamps =
        r#""recorded_at":"2020-01-01T00:00:00Z","recorded_by":"eve","hash":"00ff","id":99"#;
    let sandbox = Sandbox::new();
    sandbox.ingest(format!(r#"{{"action":"a","event_id":"e1",{stamps}}}"#));
    let event = sandbox.stored_one();
    assert_eq!(event["id"], 1);
    assert_eq!(event["event_id"], "e1");
    assert_ne!(event["recorded_by"], "eve");
    assert_ne!(event["recorded_at"], "2020-01-01T00:00:00Z");
    assert_ne!(event["hash"], "00ff");
    assert_eq!(event.get("payload"), None);
}

#[test]
fn a_plain_id_is_the_event_id() {
    assert_eq!(becomes("event_id", r#"{"action":"a","id":"x-1"}"#), "x-1");
    assert_eq!(becomes("event_id", r#"{"action":"a","id":17}"#), "17");
    let both = kept(r#"{"action":"a","id":"other","event_id":"own"}"#);
    assert_eq!(both["event_id"], "own");
    assert_eq!(both["payload"], json!({"id":"other"}));
}

#[test]
fn numbers_as_ids_are_taken_by_their_text() {
    let event = r#"{"action":"a","actor_id":123456789012345678901234,"target_id":1.10}"#;
    let kept = kept(event);
    assert_eq!(kept["actor_id"], "123456789012345678901234");
    assert_eq!(kept["target_id"], "1.10");
}

#[test]
fn empty_text_and_null_are_absent() {
    let event = r#"{"action":"a","actor_id":"","title":null,"payload":null,"ip":"","event_id":""}"#;
    let kept = kept(event);
    for field in ["actor_id", "title", "payload", "ip"] {
        assert_eq!(kept.get(field), None, "{field}");
    }
    assert_eq!(kept["event_id"].as_str().unwrap().len(), 36);
}

#[test]
fn a_key_given_twice_at_the_top_is_an_error_and_deeper_is_kept() {
    assert!(refused(r#"{"action":"a","title":"x","title":"x"}"#).contains("title"));
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a","payload":{"k":1,"k":2}}"#);
    let out = sandbox.run(["list", "--json"]).ok();
    assert!(out.stdout().contains(r#""payload":{"k":1,"k":2}"#), "{out}");
}

#[test]
fn times_are_taken_with_any_offset_and_as_unix_seconds_or_milliseconds() {
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
        ("9223372036", "2262-04-11T23:47:16Z"),
        (r#""2262-04-11T23:47:16.854775807Z""#, "2262-04-11T23:47:16.854775807Z"),
        (r#""1677-09-21T00:12:43.145224193Z""#, "1677-09-21T00:12:43.145224193Z"),
    ] {
        let event = format!(r#"{{"action":"a","occurred_at":{given}}}"#);
        assert_eq!(becomes("occurred_at", &event), kept, "{given}");
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
        refused(&format!(r#"{{"action":"a","occurred_at":{bad}}}"#));
    }
}

#[test]
fn a_time_without_offset_needs_an_input_zone() {
    let event = r#"{"action":"a","occurred_at":"2025-03-05T14:28:09"}"#;
    refused(event);
    for (zone, time) in [
        ("Africa/Johannesburg", "2025-03-05T12:28:09Z"),
        ("UTC", "2025-03-05T14:28:09Z"),
        ("America/New_York", "2025-03-05T19:28:09Z"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.run_with_input(["ingest", "--input-tz", zone], event).ok().done();
        assert_eq!(sandbox.stored_one()["occurred_at"], time, "{zone}");
    }
    // An offset that is there is not overridden.
    let sandbox = Sandbox::new();
    let event = r#"{"action":"a","occurred_at":"2025-03-05T14:28:09Z"}"#;
    sandbox.run_with_input(["ingest", "--input-tz", "Asia/Tokyo"], event).ok().done();
    assert_eq!(sandbox.stored_one()["occurred_at"], "2025-03-05T14:28:09Z");

    let sandbox = Sandbox::new();
    let out = sandbox.run_with_input(["ingest", "--input-tz", "Mars/Olympus"], event);
    out.exits(2).says("Mars/Olympus").done();
}

#[test]
fn before_and_after_become_the_changed_fields() {
    let event = r#"{"action":"a","before":{"same":1,"b":"x","gone":true,"order":{"p":1,"q":2}},
        "after":{"new":[1],"b":"y","same":1,"order":{"q":2,"p":1}}}"#;
    let diff = becomes("diff", &event.replace('\n', " "));
    assert_eq!(
        diff,
        json!({"b":{"before":"x","after":"y"},"gone":{"before":true},"new":{"after":[1]}})
    );
    // Numbers differ by their text, and an explicit null is a value.
    let event = r#"{"action":"a","before":{"n":1,"z":null},"after":{"n":1.0,"z":0}}"#;
    let diff = becomes("diff", event).to_string();
    assert_eq!(diff, r#"{"n":{"before":1,"after":1.0},"z":{"before":null,"after":0}}"#);
}

#[test]
fn one_state_alone_goes_into_the_payload() {
    let alone = kept(r#"{"action":"a","after":{"x":1}}"#);
    assert_eq!(alone.get("diff"), None);
    assert_eq!(alone["payload"], json!({"after":{"x":1}}));
    let alone = kept(r#"{"action":"a","before":{"x":1},"after":null}"#);
    assert_eq!(alone["payload"], json!({"before":{"x":1}}));
}

#[test]
fn a_diff_stands_alone_and_its_entries_have_a_side() {
    refused(r#"{"action":"a","diff":{"x":{"before":1,"after":2}},"before":{"x":1}}"#);
    refused(r#"{"action":"a","diff":{"x":{"before":1,"after":2}},"after":{"x":1}}"#);
    assert!(refused(r#"{"action":"a","diff":{"phone":{}}}"#).contains("phone"));
    refused(r#"{"action":"a","diff":{"phone":[1,2]}}"#);
    refused(r#"{"action":"a","diff":{"phone":{"old":1}}}"#);
    let idle = r#"{"x":{"before":1,"after":1},"y":{"after":2},"z":{"before":3}}"#;
    assert_eq!(becomes("diff", &format!(r#"{{"action":"a","diff":{idle}}}"#)).to_string(), idle);
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
    assert_eq!(log.one::<String>("SELECT payload FROM events"), payload);
    assert_eq!(log.one::<String>("SELECT diff FROM events"), diff);
}

#[test]
fn what_must_be_an_object_is_one() {
    for value in ["[1]", "7", "true", r#""text""#] {
        assert!(refused(&format!(r#"{{"action":"a","payload":{value}}}"#)).contains("payload"));
        assert!(refused(&format!(r#"{{"action":"a","diff":{value}}}"#)).contains("diff"));
    }
    for line in ["[]", "7", "null", "\"text\"", "true"] {
        refused(line);
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
        assert_eq!(becomes("ip", &event), kept, "{given}");
    }
    for bad in ["10.0.0.300", "10.0.0", "010.0.0.1", "fe80::1%eth0", "example.org", "10.0.0.1:80"] {
        assert!(refused(&json!({"action":"a","ip":bad}).to_string()).contains("ip"), "{bad}");
    }
}

#[test]
fn methods_are_capitals_and_statuses_from_100_to_599() {
    assert_eq!(becomes("method", r#"{"action":"a","method":"get"}"#), "GET");
    for (given, kept) in [("100", 100), ("599", 599), (r#""404""#, 404)] {
        let event = format!(r#"{{"action":"a","status_code":{given}}}"#);
        assert_eq!(becomes("status_code", &event), kept, "{given}");
    }
    for bad in ["99", "600", "-1", "200.5", r#""ok""#, "true"] {
        refused(&format!(r#"{{"action":"a","status_code":{bad}}}"#));
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
        assert_eq!(becomes(field, &json!({"action":"a",field:fits}).to_string()), fits, "{field}");
        let over = format!("{fits}x");
        assert!(refused(&json!({"action":"a",field:over}).to_string()).contains(field), "{field}");
    }
    let title = "x".repeat((1 << 20) - 100);
    assert_eq!(becomes("title", &json!({"action":"a","title":title}).to_string()), title);
    let over = "x".repeat(1 << 20);
    assert!(refused(&json!({"action":"a","title":over}).to_string()).contains("1 MiB"));
}

#[test]
fn json_nests_64_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"action":"a","payload":{{"k":{open}{close}}}}}"#)
    };
    let deepest = becomes("payload", &nested(62));
    assert!(deepest.to_string().contains(&"[".repeat(62)));
    assert!(refused(&nested(63)).contains("64"));
    refused(&"[".repeat(10_000));
    refused(&format!(r#"{{"action":"a","x":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000)));
}

// Repeats and conflicts.

#[test]
fn the_same_event_again_is_a_duplicate() {
    let sandbox = Sandbox::new();
    let event = r#"{"action":"a","event_id":"e1","occurred_at":"2025-01-01T00:00:00Z","ip":"::1",
        "payload":{"k":1,"l":"é"},"severity":"error","actor_id":3}"#
        .replace('\n', " ");
    sandbox.ingest(&event);
    for repeat in [
        event.as_str(),
        // Values are compared as taken in, JSON by value.
        r#"{"event_id":"e1","action":"A","occurred_at":"2025-01-01T02:00:00.0+02:00","ip":"0:0::1",
            "payload":{"l":"\u00e9" , "k":1},"severity":"high","user_id":"3"}"#,
        // What is not given is not compared.
        r#"{"event_id":"e1","action":"a"}"#,
        r#"{"event_id":"e1","action":"a","title":"","payload":null}"#,
    ] {
        let repeat = repeat.replace('\n', " ");
        let out = sandbox.run_with_input(["ingest"], &repeat).ok();
        assert_eq!(out.stderr(), "ingested 0, duplicates 1, rejected 0\n", "{repeat}");
    }
    sandbox.holds(1);
}

#[test]
fn another_value_in_a_given_field_is_a_conflict() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        r#"{"action":"a","event_id":"e1","occurred_at":"2025-01-01T00:00:00Z","payload":{"k":1}}"#,
    );
    for (field, value) in [
        ("action", r#""b""#),
        ("occurred_at", r#""2025-01-01T00:00:00.000000001Z""#),
        ("title", r#""T""#),
        ("actor_id", r#""3""#),
        ("actor_label", r#""J""#),
        ("impersonator_id", r#""3""#),
        ("target_type", r#""user""#),
        ("target_id", r#""17""#),
        ("module", r#""auth""#),
        ("severity", r#""high""#),
        ("source", r#""cron""#),
        ("ip", r#""::1""#),
        ("user_agent", r#""curl""#),
        ("session_id", r#""s""#),
        ("method", r#""GET""#),
        ("endpoint", r#""/""#),
        ("status_code", "200"),
        ("diff", r#"{"x":{"after":1}}"#),
        ("payload", r#"{"k":1.0}"#),
    ] {
        let mut event = json!({"event_id":"e1","action":"a"});
        event[field] = serde_json::from_str(value).unwrap();
        sandbox.write("again.jsonl", event.to_string());
        let out = sandbox.run(["ingest", "again.jsonl"]).exits(65);
        let first = out.stderr().lines().next().unwrap();
        assert!(first.starts_with("again.jsonl:1: ") && first.contains(field), "{field}\n{out}");
        assert!(out.stderr().ends_with("ingested 0, duplicates 0, rejected 1\n"), "{out}");
    }
    sandbox.holds(1);
}

#[test]
fn an_event_id_is_unique_within_its_tenant() {
    let sandbox = Sandbox::new();
    let events = [
        r#"{"action":"a","event_id":"e1"}"#,
        r#"{"action":"b","event_id":"e1","tenant":"one"}"#,
        r#"{"action":"c","event_id":"e1","tenant":"two"}"#,
    ];
    sandbox.ingest(lines(events));
    sandbox.holds(3);
    let out = sandbox.run_with_input(["ingest"], lines(events)).ok();
    assert_eq!(out.stderr(), "ingested 0, duplicates 3, rejected 0\n");
    let other = r#"{"action":"x","event_id":"e1","tenant":"two"}"#;
    sandbox.run_with_input(["ingest"], other).exits(65).done();
    sandbox.holds(3);
}

#[test]
fn a_uuid_in_other_spellings_is_another_text() {
    let sandbox = Sandbox::new();
    let uuid = "0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7";
    let ids = [uuid.to_owned(), uuid.to_uppercase(), uuid.replace('-', "")];
    sandbox.ingest(lines(ids.iter().map(|id| json!({"action":"a","event_id":id}).to_string())));
    let stored: Vec<_> = sandbox.stored().iter().map(|event| event["event_id"].clone()).collect();
    assert_eq!(stored, ids);
}

#[test]
fn a_conflict_by_flags_is_65_and_a_repeat_is_fine() {
    let sandbox = Sandbox::new();
    let args = ["ingest", "--json", "--event-id", "e1", "--action"];
    let with = |action: &'static str| args.iter().copied().chain([action]).collect::<Vec<_>>();
    let first = sandbox.run(with("a")).ok().json();
    assert_eq!(first, json!({"ingested":1,"duplicates":0,"rejected":0,"id":1,"event_id":"e1"}));
    let again = sandbox.run(with("a")).ok().json();
    assert_eq!(again, json!({"ingested":0,"duplicates":1,"rejected":0,"id":1,"event_id":"e1"}));
    sandbox.run(with("b")).exits(65).says("action").done();
    sandbox.holds(1);
}

#[test]
fn repeats_within_one_input_are_found() {
    let sandbox = Sandbox::new();
    let one = r#"{"action":"a","event_id":"e1"}"#;
    let other = r#"{"action":"b","event_id":"e1"}"#;
    sandbox.write("in.jsonl", lines([one, one, other]));
    let out = sandbox.run(["ingest", "in.jsonl"]).exits(65);
    assert!(out.stderr().starts_with("in.jsonl:3: "), "{out}");
    assert!(out.stderr().ends_with("ingested 1, duplicates 1, rejected 1\n"), "{out}");
}

// Bad lines.

#[test]
fn bad_lines_are_told_and_the_good_ones_land() {
    let sandbox = Sandbox::new();
    let input = lines([
        r#"{"action":"a","event_id":"1"}"#,
        r#"{"actor_id":"3"}"#,
        "",
        r#"{"action":"b","event_id":"2"}"#,
        r#"{"action":"c","ip":"10.0.0.300"}"#,
    ]);
    sandbox.write("events.jsonl", input);
    insta::assert_snapshot!(sandbox.run(["ingest", "events.jsonl"]), @"");
    sandbox.holds(2);
}

#[test]
fn the_first_20_bad_lines_are_told_then_their_number() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.jsonl", "nonsense\n".repeat(25));
    let out = sandbox.run(["ingest", "bad.jsonl"]).exits(65);
    let told = out.stderr().lines().filter(|line| line.starts_with("bad.jsonl:")).count();
    assert_eq!(told, 20, "{out}");
    assert!(out.stderr().lines().any(|line| line.contains("5 more")), "{out}");
    assert!(out.stderr().contains("ingested 0, duplicates 0, rejected 25\n"), "{out}");
}

#[test]
fn json_tells_the_summary_on_standard_output() {
    let sandbox = Sandbox::new();
    let input = lines([r#"{"action":"a","event_id":"1"}"#, "nonsense", r#"{"action":"b"}"#]);
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
    sandbox.holds(5);
}

#[test]
fn a_hint_names_rejects_when_they_were_not_kept() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.jsonl", "nonsense\n");
    sandbox.run(["ingest", "bad.jsonl"]).exits(65).says("--rejects").done();
}

#[test]
fn strict_lands_nothing_if_one_line_is_bad() {
    let sandbox = Sandbox::new();
    let good = r#"{"action":"a"}"#;
    sandbox.write("good.jsonl", lines([good, good]));
    sandbox.write("mixed.jsonl", lines([good, "nonsense", good]));
    let out = sandbox.run(["ingest", "--strict", "good.jsonl", "mixed.jsonl"]).exits(65);
    assert!(out.stderr().contains("mixed.jsonl:2: "), "{out}");
    assert!(!sandbox.exists("log.db") || sandbox.log().count() == 0, "{out}");

    // Nothing is known of a file that did not land.
    let out = sandbox.run(["ingest", "--strict", "good.jsonl"]).ok();
    assert_eq!(out.stderr(), "ingested 2, duplicates 0, rejected 0\n");
    sandbox.write("mixed.jsonl", lines([good, good, good]));
    sandbox.run(["ingest", "--strict", "--json", "mixed.jsonl"]).ok().done();
    sandbox.holds(5);
}

#[test]
fn a_conflict_counts_as_bad_under_strict() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a","event_id":"e1"}"#);
    let input = lines([r#"{"action":"b"}"#, r#"{"action":"b","event_id":"e1"}"#]);
    sandbox.run_with_input(["ingest", "--strict"], input).exits(65).done();
    sandbox.holds(1);
}

#[test]
fn several_files_are_taken_in_their_order() {
    let sandbox = Sandbox::new();
    sandbox.write("b.jsonl", r#"{"action":"first"}"#);
    sandbox.write("a.csv", "action\nsecond\n");
    sandbox.run(["ingest", "b.jsonl", "a.csv"]).ok().done();
    let actions: Vec<_> = sandbox.stored().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["first", "second"]);
}

#[test]
fn a_missing_input_file_is_66_and_names_it() {
    let sandbox = Sandbox::new();
    let out = sandbox.run(["ingest", "nowhere.jsonl"]).exits(66).tells_one_error().no_stdout();
    out.says("nowhere.jsonl").done();
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
    sandbox.shell("umask 000; activity ingest --action a").ok().done();
    assert_eq!(sandbox.mode("log.db"), 0o600);
}

#[test]
fn a_new_log_in_a_setgid_folder_is_the_groups_too() {
    let sandbox = Sandbox::new();
    sandbox.shell("mkdir shared && chmod 2770 shared").ok().done();
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
        assert_eq!(sandbox.log().count(), 0);
    }
    sandbox.ingest(r#"{"action":"a"}"#);
    for args in [&["list"] as &[_], &["show", "1"], &["search-actor", "x"], &["actions"]] {
        sandbox.run(args).ok().done();
    }
    sandbox.holds(1);
}

#[test]
fn the_logs_own_actions_are_refused_from_others() {
    let sandbox = Sandbox::new();
    let reserved = ["log.export", "retention.sweep", "digest.sent", "mirror.dead", "log.anything"];
    for action in reserved {
        let command = sandbox.as_somebody(["ingest", "--action", action]);
        sandbox.finish(command).exits(77).says(action).done();
    }
    let input = lines([
        r#"{"action":"good.one"}"#,
        r#"{"action":"Retention.Sweep"}"#,
        r#"{"action":"logger.fine"}"#,
    ]);
    let command = sandbox.as_somebody(["ingest"]);
    let out = sandbox.finish_with_input(command, input).exits(77);
    assert!(out.stderr().contains(":2: "), "{out}");
    assert!(out.stderr().contains("ingested 2, duplicates 0, rejected 1\n"), "{out}");
}

#[test]
fn root_may_bring_the_logs_own_actions_back_and_they_are_history_only() {
    if !as_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"retention.sweep","payload":{"count":3}}"#);
    assert_eq!(sandbox.stored_one()["action"], "retention.sweep");
    assert_eq!(sandbox.log().one::<i64>("SELECT own FROM event"), 0);
}

#[test]
fn recorded_by_is_stamped_by_the_program() {
    let sandbox = Sandbox::new();
    let event = r#"{"action":"a","recorded_by":"eve"}"#;
    let command = sandbox.as_somebody(["ingest"]);
    sandbox.finish_with_input(command, event).ok().done();
    let recorder = sandbox.stored_one()["recorded_by"].as_str().unwrap().to_owned();
    assert!(!recorder.contains("eve"), "{recorder}");
    if as_root() {
        let first = recorder.split(' ').next().unwrap();
        assert!(["nobody", "65534"].contains(&first), "{recorder}");
    }
}

// The file, for anyone to read.

#[test]
fn the_view_events_has_the_fields_by_name() {
    let sandbox = Sandbox::with_events();
    let log = sandbox.log();
    let columns = log.texts("SELECT name FROM pragma_table_info('events')");
    assert_eq!(
        columns.join(" "),
        "id event_id occurred_at recorded_at recorded_by tenant source severity module action \
         title description actor_id actor_label impersonator_id impersonator_label target_type \
         target_id target_label diff payload ip user_agent session_id method endpoint status_code \
         hash"
    );
    let stored = sandbox.stored();
    for (place, event) in stored.iter().enumerate() {
        for column in &columns {
            let sql = format!(
                "SELECT CAST({column} AS TEXT) FROM events ORDER BY id LIMIT 1 OFFSET {place}"
            );
            let seen: Option<String> = log.one(&sql);
            let told = event.get(column).map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            assert_eq!(seen, told, "{column} of event {}", event["id"]);
        }
    }
}

#[test]
fn no_hand_changes_or_removes_an_event() {
    let sandbox = Sandbox::with_events();
    let log = crate::support::log::Log::open_to_write(&sandbox.db());
    for hand in [
        "UPDATE event SET title = NULL WHERE id = 1",
        "DELETE FROM event WHERE id = 8",
        "DELETE FROM event",
        "UPDATE actor SET label = 'x'",
        "DELETE FROM actor",
        "UPDATE target SET label = 'x'",
        "DELETE FROM target",
        "UPDATE action SET slug = 'x'",
        "DELETE FROM action",
        "UPDATE title SET text = 'x'",
        "DELETE FROM title",
        "UPDATE agent SET text = 'x'",
        "DELETE FROM agent",
        "UPDATE tenant SET text = 'x'",
        "DELETE FROM tenant",
        "UPDATE recorder SET text = 'x'",
        "DELETE FROM recorder",
        "INSERT OR REPLACE INTO event SELECT * FROM event WHERE id = 1",
        "INSERT INTO event SELECT id + 100, 'x', occurred_at, recorded_at, recorder, tenant, \
         source, severity, action, actor, impersonator, target, title, agent, status, method, \
         endpoint, ip, session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 1",
    ] {
        let refused = log.sql.execute(hand, []).map_err(|why| why.sqlite_error_code());
        let rule = Err(Some(rusqlite::ErrorCode::ConstraintViolation));
        assert_eq!(refused, rule, "{hand}");
    }
    drop(log);
    sandbox.holds(8);
}

#[test]
fn the_chain_begins_with_the_first_event_and_differs_between_logs() {
    let (one, other) = (Sandbox::with_events(), Sandbox::with_events());
    one.holds(8);
    other.holds(8);
    let first =
        |sandbox: &Sandbox| sandbox.log().one::<Vec<u8>>("SELECT hash FROM event WHERE id = 1");
    assert_ne!(first(&one), first(&other));
}

#[test]
fn ids_ascend_without_holes_over_rejects_and_duplicates() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", EVENTS);
    for _ in 0..2 {
        sandbox.run(["ingest", "--again", "events.jsonl"]).ok().done();
        sandbox.run_with_input(["ingest"], "nonsense\n").exits(65).done();
        sandbox.ingest(r#"{"action":"a"}"#);
    }
    let ids: Vec<_> = sandbox.stored().iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    sandbox.holds(10);
}
