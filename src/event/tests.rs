//! Tests of the rules by which values are accepted, one by one.

use std::borrow::Cow;

use proptest::prelude::*;

use crate::event::MAX_EVENT_BYTES;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::builder::InputValue;
use crate::event::builder::IntakeOptions;
use crate::event::builder::NewEventBuilder;
use crate::event::diff;
use crate::event::field;
use crate::event::field::FIELDS;
use crate::event::json;
use crate::event::json::JsonObject;
use crate::time::Timestamp;

fn parse_line(line: &str) -> Result<NewEvent, String> {
    let mut intake = NewEventBuilder::new(IntakeOptions::default());
    for (name, value) in json::members(line).map_err(|error| json::describe_error(&error))? {
        intake.add(name, InputValue::from_json(value)?)?;
    }
    intake.build()
}

/// The event of a line that has these members and an action.
fn accepted_event(members: &str) -> NewEvent {
    let line = format!(r#"{{"action":"a",{members}}}"#);
    parse_line(&line).unwrap_or_else(|why| panic!("{why}: {line}"))
}

fn rejection(members: &str) -> String {
    let line = format!(r#"{{"action":"a",{members}}}"#);
    parse_line(&line).expect_err(&line)
}

fn payload(event: &NewEvent) -> &str {
    event.payload.as_ref().map_or("", JsonObject::as_str)
}

fn diff(event: &NewEvent) -> &str {
    event.diff.as_ref().map_or("", JsonObject::as_str)
}

#[test]
fn other_names_lead_to_their_fields() {
    let event = accepted_event(
        r#""user_id":17,"user":"Jerome","impersonated_by":"3","tenant_id":"s2l","ip_address":"::1",
        "created_at":1700000000,"metadata":{"k":1},"resource_type":"user","resource_id":5"#,
    );
    let expected = NewEvent {
        action: "a".to_owned(),
        actor_id: Some("17".to_owned()),
        actor_label: Some("Jerome".to_owned()),
        impersonator_id: Some("3".to_owned()),
        tenant: Some("s2l".to_owned()),
        ip: Some("::1".to_owned()),
        occurred_at: Some(Timestamp::from_nanos(1_700_000_000_000_000_000)),
        payload: Some(JsonObject::from_trusted(r#"{"k":1}"#.to_owned())),
        target_type: Some("user".to_owned()),
        target_id: Some("5".to_owned()),
        ..NewEvent::default()
    };
    assert_eq!(event, expected);
    for name in ["timestamp", "time"] {
        assert_eq!(
            accepted_event(&format!(r#""{name}":1700000000"#)).occurred_at,
            expected.occurred_at
        );
    }
}

#[test]
fn the_own_name_wins_wherever_it_stands() {
    for members in [
        r#""user_id":1,"actor_id":2,"metadata":3,"payload":{"k":4}"#,
        r#""payload":{"k":4},"actor_id":2,"metadata":3,"user_id":1"#,
    ] {
        let event = accepted_event(members);
        assert_eq!(event.actor_id.as_deref(), Some("2"));
        let payload = event.payload.unwrap();
        assert_eq!(
            payload,
            JsonObject::from_trusted(r#"{"k":4,"user_id":1,"metadata":3}"#.to_owned())
        );
    }
    let event = accepted_event(r#""time":1,"timestamp":2,"actor_id":"","user_id":1"#);
    // The order of the table decides, not that of the line.
    assert_eq!(event.occurred_at, Some(Timestamp::from_nanos(2_000_000_000)));
    assert_eq!(event.actor_id.as_deref(), Some("1"));
    assert_eq!(payload(&event), r#"{"time":1}"#);
}

#[test]
fn what_is_unknown_goes_into_the_payload() {
    let event = accepted_event(
        r#""shoe":4.20e1, "é\n":[ 1, "a b" ],"payload":{ "shoe" : 4.2, "x":1 },"x":1,"y":{"z":null}"#,
    );
    assert_eq!(
        payload(&event),
        r#"{"shoe":4.2,"x":1,"shoe_2":4.20e1,"é\n":[1,"a b"],"y":{"z":null}}"#
    );
}

#[test]
fn what_another_log_stamped_is_dropped() {
    for stamp in [r#""recorded_at":1"#, r#""recorded_by":"root""#, r#""hash":"00""#] {
        for members in [format!(r#"{stamp},"id":5"#), format!(r#""id":5,{stamp}"#)] {
            assert_eq!(
                accepted_event(&members),
                NewEvent { action: "a".to_owned(), ..NewEvent::default() }
            );
        }
    }
    assert_eq!(accepted_event(r#""id":5"#).event_id.as_deref(), Some("5"));
    assert_eq!(accepted_event(r#""id":"e","hash":null"#).event_id.as_deref(), Some("e"));
    let event = accepted_event(r#""id":5,"event_id":"e""#);
    assert_eq!((event.event_id.as_deref(), payload(&event)), (Some("e"), r#"{"id":5}"#));
}

#[test]
fn empty_and_null_are_absent_and_numbers_are_text_in_ids() {
    let event = accepted_event(
        r#""title":"","tenant":null,"actor_id":12345678901234567890123,"session_id":1.10,"status_code":"404","zip":"","zap":null"#,
    );
    assert_eq!((event.title.as_deref(), event.tenant.as_deref()), (None, None));
    assert_eq!(event.actor_id.as_deref(), Some("12345678901234567890123"));
    assert_eq!(event.session_id.as_deref(), Some("1.10"));
    assert_eq!(event.status_code, Some(404));
    assert_eq!(event.payload, None);
}

#[test]
fn a_key_stands_once() {
    for members in [
        r#""title":"x","title":"x""#,
        r#""title":null,"title":"x""#,
        r#""shoe":1,"shoe":1"#,
        r#""user":"x","user":"y""#,
        r#""before":{},"before":{}"#,
        r#""action":"b""#,
        r#""\u0061ction":"b""#,
    ] {
        assert!(rejection(members).ends_with("is given twice"), "{members}");
    }
}

#[test]
fn two_states_become_what_changed() {
    let event = accepted_event(
        r#""after":{"b":[1, 2],"c":1.0,"n":null,"new":{"x":"y"}},"before":{"a":1,"b":[1,2],"c":1}"#,
    );
    assert_eq!(
        diff(&event),
        r#"{"a":{"before":1},"c":{"before":1,"after":1.0},"n":{"after":null},"new":{"after":{"x":"y"}}}"#
    );
    assert_eq!(event.payload, None);
    let event = accepted_event(r#""before_value":{"a":1},"after_value":{"a":2}"#);
    assert_eq!(diff(&event), r#"{"a":{"before":1,"after":2}}"#);
    let event = accepted_event(r#""before":{"a":1},"after":{"a":1}"#);
    assert_eq!((diff(&event), payload(&event)), ("", ""));
    let event = accepted_event(r#""before_value":{"z":0},"before":{"a":1},"after":{"a":2}"#);
    assert_eq!(
        (diff(&event), payload(&event)),
        (r#"{"a":{"before":1,"after":2}}"#, r#"{"before_value":{"z":0}}"#)
    );
}

#[test]
fn less_than_two_states_goes_into_the_payload() {
    for (members, expected) in [
        (r#""before":{"a": 1}"#, r#"{"before":{"a":1}}"#),
        (r#""after_value":"draft""#, r#"{"after_value":"draft"}"#),
        (r#""before":"draft","after":"live""#, r#"{"before":"draft","after":"live"}"#),
        (r#""before":null,"after":{"a":1}"#, r#"{"after":{"a":1}}"#),
        // A string in JSON is always text.
        (
            r#""before":"{\"a\":1}","after":"{\"a\":2}""#,
            r#"{"before":"{\"a\":1}","after":"{\"a\":2}"}"#,
        ),
    ] {
        let event = accepted_event(members);
        assert_eq!((diff(&event), payload(&event)), ("", expected), "{members}");
    }
}

#[test]
fn an_entry_of_a_diff_has_a_side() {
    let event = accepted_event(
        r#""diff":{ "a" : {"before": 1, "after": 1, "note": "x"}, "b": {"after":2} }"#,
    );
    assert_eq!(diff(&event), r#"{"a":{"before":1,"after":1,"note":"x"},"b":{"after":2}}"#);
    let changes = diff::changes(event.diff.as_ref().unwrap());
    let idle: Vec<bool> = changes.iter().map(diff::Change::is_unchanged).collect();
    assert_eq!(idle, [true, false]);
    for entry in ["1", "{}", "[]", "null", r#"{"was":1}"#] {
        assert_eq!(
            rejection(&format!(r#""diff":{{"a":{entry}}}"#)),
            "diff of \"a\" has neither before nor after"
        );
    }
    assert_eq!(rejection(r#""diff":{},"after":{}"#), "diff: cannot stand beside before or after");
}

#[test]
fn objects_are_kept_as_they_came() {
    let event = accepted_event(
        "\"payload\": { \"b\" : 1.10 ,\t\"a\" : \"\\u00e9 \\\\\\\" {\", \"a\": 123456789012345678901234 }",
    );
    assert_eq!(payload(&event), r#"{"b":1.10,"a":"\u00e9 \\\" {","a":123456789012345678901234}"#);
    for (value, kind) in
        [("[1]", "an array"), ("\"{}\"", "text"), ("7", "a number"), ("true", "a boolean")]
    {
        for name in ["payload", "diff"] {
            assert_eq!(
                rejection(&format!(r#""{name}":{value}"#)),
                format!("{name}: must be an object, not {kind}")
            );
        }
    }
}

#[test]
fn halves_of_surrogate_pairs_are_refused_everywhere() {
    for half in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800\n", r"\ud800x\udc00"] {
        for members in [
            format!(r#""title":"{half}""#),
            format!(r#""payload":{{"a":"{half}"}}"#),
            format!(r#""payload":{{"{half}":1}}"#),
            format!(r#""shoe":["{half}"]"#),
            format!(r#""{half}":1"#),
        ] {
            assert!(
                parse_line(&format!(r#"{{"action":"a",{members}}}"#)).is_err(),
                "{members} was taken"
            );
        }
    }
    let event = accepted_event(r#""payload":{"a":"\\ud800 \ud83d\ude00"},"title":"\ud83d\ude00""#);
    assert_eq!(event.title.as_deref(), Some("\u{1f600}"));
}

#[test]
fn json_nests_to_a_limit_wherever_it_ends_up() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    // The value's own braces, those of the event, and those of the payload, or of the diff and its entry.
    for (members, most) in [
        (("\"payload\":{\"k\":", "}"), 62),
        (("\"diff\":{\"k\":{\"after\":", "}}"), 61),
        (("\"shoe\":", ""), 62),
        (("\"before\":", ""), 62),
        (("\"after\":{\"k\":1},\"before\":{\"k\":", "}"), 61),
    ] {
        let members = |levels| format!("{}{}{}", members.0, nested(levels), members.1);
        accepted_event(&members(most));
        assert!(
            rejection(&members(most + 1)).ends_with("JSON nests deeper than 64"),
            "{}",
            members(most + 1)
        );
    }
    assert!(rejection(&format!("\"shoe\":{}", nested(100_000))).contains("deeper"));
}

#[test]
fn an_event_has_a_limit_that_escapes_do_not_move() {
    let fits = "\u{ad}".repeat(MAX_EVENT_BYTES / 2 - 10);
    accepted_event(&format!(r#""title":"{fits}""#));
    accepted_event(&format!(r#""payload":{{"k":"{}"}}"#, fits.replace('\u{ad}', r"\u00ad")));
    let longer = format!("{fits}{}", "x".repeat(30));
    assert_eq!(rejection(&format!(r#""title":"{longer}""#)), "longer than 1 MiB");
    assert_eq!(rejection(&format!(r#""payload":{{"k":"{longer}"}}"#)), "longer than 1 MiB");
    assert_eq!(rejection(&format!(r#""shoe":"{longer}""#)), "longer than 1 MiB");
}

#[test]
fn ids_labels_and_actions_have_limits() {
    for (name, limit) in [
        ("event_id", 512),
        ("actor_id", 4096),
        ("user", 4096),
        ("target_label", 4096),
        ("module", 4096),
        ("tenant", 4096),
        ("session_id", 4096),
    ] {
        accepted_event(&format!(r#""{name}":"{}""#, "x".repeat(limit)));
        let why = rejection(&format!(r#""{name}":"{}""#, "x".repeat(limit + 1)));
        assert!(why.ends_with(&format!("longer than {limit} bytes")), "{why}");
    }
    assert_eq!(
        parse_line(&format!(r#"{{"action":"{}"}}"#, "x".repeat(129))),
        Err("action: longer than 128 bytes".to_owned())
    );
}

#[test]
fn values_have_one_form() {
    let event = accepted_event(
        r#""source":"CRON","severity":"Warning","ip":"2001:DB8:0:0:0:0:0:1","method":"get","status_code":404"#,
    );
    assert_eq!(event.source, Some(Source::Cron));
    assert_eq!(event.severity, Some(Severity::Medium));
    assert_eq!(event.ip.as_deref(), Some("2001:db8::1"));
    assert_eq!(event.method.as_deref(), Some("GET"));
    assert_eq!(parse_line(r#"{"action":"User.Edit"}"#).unwrap().action, "user.edit");
    for (severity, texts) in [
        (Severity::Critical, r#""critical" "emergency" "emerg" "alert" "crit" 500 "500""#),
        (Severity::High, r#""high" "error" "err" 400"#),
        (Severity::Medium, r#""medium" "warning" "warn" 300"#),
        (Severity::Low, r#""low" "notice" 250"#),
        (Severity::Info, r#""info" "debug" 200"#),
    ] {
        for text in texts.split(' ') {
            assert_eq!(
                accepted_event(&format!(r#""severity":{text}"#)).severity,
                Some(severity),
                "{text}"
            );
        }
    }
}

#[test]
fn a_reason_names_the_field_and_quotes_the_value() {
    for (members, why) in [
        (r#""ip":"10.0.0.300""#, "ip: \"10.0.0.300\" is not an address"),
        (r#""Client-IP":"10.0.0""#, "Client-IP: \"10.0.0\" is not an address"),
        (r#""actor\u001b_id":"a","user_id":true"#, "user_id: must be text, not a boolean"),
        (r#""status_code":99"#, "status_code: \"99\" is not a status from 100 to 599"),
        (r#""status_code":600"#, "status_code: \"600\" is not a status from 100 to 599"),
        (r#""method":"a b""#, "method: \"A B\" is not an HTTP method"),
        (r#""source":"me""#, "source: \"me\" is none of operator, system, api and cron"),
        (r#""severity":7"#, "severity: \"7\" is none of critical, high, medium, low and info"),
        (r#""title":7"#, "title: must be text, not a number"),
        (r#""actor_id":{"id":7}"#, "actor_id: must be text, not an object"),
        (r#""actor_id":true"#, "actor_id: must be text, not a boolean"),
        (
            r#""occurred_at":"2026-11-20T04:00:00""#,
            "occurred_at: \"2026-11-20T04:00:00\" is not a time: it has no offset, and --input-tz does not say how to read it",
        ),
    ] {
        assert_eq!(rejection(members), why);
    }
    assert_eq!(
        parse_line(r#"{"action":"user edit"}"#),
        Err("action: \"user edit\" has ' '; letters, digits and _ . : / - can stand in it"
            .to_owned())
    );
    for line in ["{}", r#"{"action":""}"#, r#"{"action":null,"title":"x"}"#] {
        assert_eq!(parse_line(line), Err("action is missing".to_owned()));
    }
    let why = rejection(&format!(r#""ip":"{}""#, "1.".repeat(10_000)));
    assert!(why.len() < 200, "a reason repeats all of a long value: {why}");
}

#[test]
fn the_source_is_told_by_the_rest() {
    for (members, source) in [
        (r#""title":"x""#, Source::System),
        (r#""actor_label":"x""#, Source::Operator),
        (r#""user_id":1,"method":"GET""#, Source::Operator),
        (r#""method":"GET""#, Source::Api),
        (r#""endpoint":"/x""#, Source::Api),
        (r#""source":"cron","user_id":1"#, Source::Cron),
    ] {
        assert_eq!(accepted_event(members).source_or_default(), source, "{members}");
    }
}

#[test]
fn a_cell_says_everything_as_text() {
    let take = |name: &'static str, cell: &str| {
        let mut intake = NewEventBuilder::new(IntakeOptions::default());
        intake.add("action".into(), InputValue::Untyped("a".into()))?;
        intake.add(name.into(), InputValue::Untyped(Cow::Borrowed(cell)))?;
        intake.build()
    };
    assert_eq!(payload(&take("metadata", r#" {"k": 1} "#).unwrap()), r#"{"k":1}"#);
    assert_eq!(take("payload", "[]"), Err("payload: must be an object, not an array".to_owned()));
    assert_eq!(payload(&take("shoe", r#"{"k": 1}"#).unwrap()), r#"{"shoe":"{\"k\": 1}"}"#);
    assert_eq!(payload(&take("before", r#"{"k": 1}"#).unwrap()), r#"{"before":{"k":1}}"#);
    assert_eq!(payload(&take("before", "draft").unwrap()), r#"{"before":"draft"}"#);
    assert_eq!(take("status_code", "200").unwrap().status_code, Some(200));
    assert_eq!(take("time", "1").unwrap().occurred_at, Some(Timestamp::from_nanos(1_000_000_000)));
}

#[test]
fn every_name_is_found() {
    let mut bits = (0_u128, 0_u64);
    for field in &FIELDS {
        for name in std::iter::once(&field.name).chain(field.aliases) {
            let found = field::lookup(name).unwrap();
            assert_eq!(found.name(), field.name, "{name}");
            assert_eq!(found.rank == 0, *name == field.name);
            assert_eq!(bits.0 & found.key_bit, 0, "{name} shares its bit");
            bits.0 |= found.key_bit;
            bits.1 |= found.field_bit;
        }
    }
    assert_eq!(bits.1.count_ones() as usize, FIELDS.len());
    for name in ["", "action ", "user_i", "a_very_long_key_that_no_program_would_write"] {
        assert!(field::lookup(name).is_none(), "{name:?}");
    }
    for (name, means) in [
        ("Action", "action"),
        ("actorId", "actor_id"),
        ("client-ip", "ip"),
        ("ClientIP", "ip"),
        ("USER_AGENT", "user_agent"),
        ("@Timestamp", "occurred_at"),
        ("userName", "username"),
        ("Before", "before"),
    ] {
        let found = field::lookup(name).unwrap();
        assert_eq!((found.name(), found.key_bit), (means, 0), "{name}");
    }
    assert!(field::by_name("user_id").is_none());
    assert_eq!(field::by_name("ip").unwrap().name, "ip");
}

proptest! {
    #[test]
    fn json_is_kept_by_value(text in "[\\[\\]{},:\"\\\\a1 \n]{0,30}") {
        let text = format!("{{\"k\":{text}}}");
        if let Ok(json) = JsonObject::parse(&text, 1) {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            prop_assert_eq!(parse(json.as_str()), parse(&text));
            prop_assert_eq!(json.size() <= json.as_str().len(), true);
        }
    }
}
