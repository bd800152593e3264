//! Maps: what they refuse, and what they make of records.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::event::NewEvent;
use crate::event::builder::IntakeOptions;
use crate::map::MapContext;
use crate::map::Record;
use crate::map::RecordMap;
use crate::map::built_in;
use crate::map::built_in::BUILT_IN;
use crate::map::path::RecordPath;
use crate::map::rules::to_slug;
use crate::time::Timestamp;
use crate::time::Zone;

/// The fields that every map needs.
const REQUIRED: &str = "[fields]\noccurred_at = \"t\"\naction = \"a\"\n";

fn map_with(fields: &str) -> RecordMap {
    RecordMap::parse(&format!("{REQUIRED}{fields}")).unwrap()
}

fn event_of(map: &RecordMap, json: &str) -> Result<NewEvent, String> {
    map.event(Record::from_json(json)?, MapContext::default())
}

/// The event of a record with the required fields and these members.
fn event_with(fields: &str, members: &str) -> NewEvent {
    event_of(&map_with(fields), &format!(r#"{{"t":"2026-11-20T04:00:00Z","a":"x.y",{members}}}"#))
        .unwrap()
}

fn payload(event: &NewEvent) -> &str {
    event.payload.as_ref().map_or("", |payload| payload.as_str())
}

#[test]
fn an_error_names_its_line_and_what_is_nearest() {
    for (text, line, reason) in [
        ("", 1, "[fields] is missing: it says what becomes which field"),
        ("formt = \"json\"", 1, "unknown key \"formt\"; did you mean format?"),
        ("format = \"xml\"", 1, "format is one of jsonl, json, csv, lines, not \"xml\""),
        ("\nformat = 3", 2, "format must be text"),
        ("format = \"lines\"", 1, "format = \"lines\" needs a pattern"),
        ("pattern = '(?P<a>x)'\nformat = \"csv\"", 1, "pattern goes with format = \"lines\""),
        ("pattern = 'x'", 1, "pattern has no named group like (?P<user>\\S+)"),
        ("pattern = '(?P<a>x'", 1, "pattern: unclosed group"),
        ("format = \"csv\"\nrecords = \"R\"", 2, "records goes with format = \"json\""),
        ("time = \"%Q\"", 1, "time: \"%Q\" is no layout like %Y-%m-%d %H:%M:%S %z"),
        ("[drop]\nkey = [\"a\"]", 2, "unknown key \"key\"; did you mean keys?"),
        ("[fields]\n\nactor = \"a\"", 3, "\"actor\" is no field of an event"),
        ("[fields]\nacton = \"a\"", 2, "\"acton\" is no field of an event; did you mean action?"),
        ("[fields]\nhash = \"a\"", 2, "\"hash\" is no field of an event"),
        (
            "[fields]\npayload = \"a\"",
            2,
            "payload is no field of a map: it holds what no field takes",
        ),
        ("[fields]\naction = 3", 2, "action must be text or a list of texts"),
        ("[fields]\naction = \"a\"", 1, "[fields] has no occurred_at: when it was"),
        ("[fields]\noccurred_at = \"a\"", 1, "[fields] has no action: what was done"),
        ("[fields]\naction = { form = \"a\" }", 2, "unknown key \"form\"; did you mean from?"),
        ("[fields]\naction = { prefix = \"a\" }", 2, "action needs from or const"),
        ("[fields]\naction = { from = \"a\", const = \"b\" }", 2, "action needs from or const"),
        ("[fields]\naction = \"a[\"", 2, "\"a[\" is no path: a key is missing"),
        (
            "[fields]\naction = \"a[b]\"",
            2,
            "\"a[b]\" is no path: [b] is neither a place like [0] nor [KEY=VALUE]",
        ),
        (
            "[fields]\ntitle = \"{a}\"",
            2,
            "\"{a}\": a template has double braces, like {{ user.name }}",
        ),
        ("[fields]\ndiff = \"{{ a }}\"", 2, "diff is an object; a template makes text"),
        ("[fields]\ndiff = { name = \"a\", before = \"b\" }", 2, "diff needs after"),
        (
            "[fields]\ntitle = { from = \"a\", failed = { b = \"*\" } }",
            2,
            "failed goes with action",
        ),
    ] {
        let error = RecordMap::parse(text).unwrap_err();
        assert_eq!((error.line, error.reason.as_str()), (line, reason), "{text}");
    }
    let broken = RecordMap::parse("[fields]\ntitle = \"{{ a\"").unwrap_err();
    assert!(broken.line == 2 && broken.reason.starts_with("template: "), "{broken}");
    let broken = RecordMap::parse("[fields]\naction = \n").unwrap_err();
    assert_eq!(broken.line, 2, "{broken}");
}

#[test]
fn paths_lead_through_objects_lists_and_entries() {
    let json = r#"{"a":{"b.c":[{"n":"x","v":1},{"n":"y","v":2}]},"s":"text"}"#;
    let record = Record::from_json(json).unwrap();
    let find = |path| record.find(&RecordPath::parse(path).unwrap()).and_then(|found| found.text());
    assert_eq!(find("s").as_deref(), Some("text"));
    assert_eq!(find("a.\"b.c\"[1].v").as_deref(), Some("2"));
    assert_eq!(find("a.'b.c'[n=y].v").as_deref(), Some("2"));
    assert_eq!(find("a.'b.c'[n=\"x\"].v").as_deref(), Some("1"));
    for absent in ["a", "a.b", "a.'b.c'[2].v", "a.'b.c'[n=z].v", "s.t", "s[0]", "z"] {
        assert_eq!(find(absent), None, "{absent}");
    }
    for wrong in ["", ".a", "a.", "a..b", "a[0", "a[x=", "a['b", "\"a\"b"] {
        assert!(RecordPath::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_no_field_takes_stays_in_the_payload_without_what_was_taken() {
    let fields = "actor_id = \"user.id\"\ntarget_id = \"list[1].id\"\nactor_label = [\"user.name\", \"user.mail\"]\n\
                  [drop]\nkeys = [\"secret\", \"user.token\"]";
    let members = r#""user":{"id":17,"mail":"m@x","token":"t","age":3},"list":[{"id":1},{"id":2}],
        "secret":"s","only":{"token":{"x":1}},"empty":"","no":null,"n":1.50"#;
    let event = event_with(fields, members);
    assert_eq!(event.actor_id.as_deref(), Some("17"));
    assert_eq!(event.actor_label.as_deref(), Some("m@x"));
    assert_eq!(event.target_id.as_deref(), Some("2"));
    assert_eq!(
        payload(&event),
        r#"{"user":{"age":3},"list":[{"id":1},null],"only":{"token":{"x":1}},"n":1.50}"#
    );
    let all_taken = event_with("actor_id = \"user.id\"", r#""user":{"id":17}"#);
    assert_eq!(all_taken.payload, None);
}

#[test]
fn values_are_joined_prefixed_and_put_in_other_words() {
    let slug = |rule: &str, members: &str| {
        let text = format!("[fields]\noccurred_at = \"t\"\naction = {rule}\n");
        let json = format!(r#"{{"t":1795147200,{members}}}"#);
        event_of(&RecordMap::parse(&text).unwrap(), &json).map(|event| event.action)
    };
    let ok = |action: &str| Ok(action.to_owned());
    let rule =
        r#"{ from = "e", prefix = "github.", words = { "login/fail" = "auth.login_failed" } }"#;
    assert_eq!(slug(rule, r#""e":"login/fail""#), ok("auth.login_failed"));
    assert_eq!(slug(rule, r#""e":"repo.create""#), ok("github.repo.create"));
    let joined = r#"[{ from = ["s", "e"], join = "." }, { from = "e" }]"#;
    assert_eq!(slug(joined, r#""s":"S3","e":"PutObject""#), ok("s3.put_object"));
    assert_eq!(slug(joined, r#""e":"PutObject""#), ok("put_object"));
    let absent = "action: the record has no value at s or e; its keys are t, x";
    assert_eq!(slug(joined, r#""x":1"#), Err(absent.to_owned()));
    let conditional = r#"[{ const = "user.impersonate", if = "as.id" }, { const = "user.view" }]"#;
    assert_eq!(slug(conditional, r#""as":{"id":3}"#), ok("user.impersonate"));
    assert_eq!(slug(conditional, r#""as":{"id":null}"#), ok("user.view"));
    let failing = r#"{ from = "e", failed = { result = ["NO", "DENY"], error = "*" } }"#;
    assert_eq!(slug(failing, r#""e":"auth.login","result":"NO""#), ok("auth.login_failed"));
    assert_eq!(slug(failing, r#""e":"auth.login","result":"YES""#), ok("auth.login"));
    assert_eq!(slug(failing, r#""e":"auth.login","error":"any""#), ok("auth.login_failed"));
    assert_eq!(slug(failing, r#""e":"login_denied","error":"any""#), ok("login_denied"));
}

#[test]
fn an_action_is_made_of_any_text() {
    for (text, slug) in [
        ("user.edit", "user.edit"),
        ("ConsoleLogin", "console_login"),
        ("LOGIN_FAILED", "login_failed"),
        ("GetS3BucketACLRule", "get_s3_bucket_acl_rule"),
        ("Add member to role.", "add_member_to_role."),
        ("  Course: viewed! ", "course:viewed"),
        ("Größe", "gr_e"),
        ("é", ""),
    ] {
        assert_eq!(to_slug(text.into()), slug, "{text}");
    }
}

#[test]
fn what_is_no_value_of_its_field_stays_in_the_payload() {
    let fields =
        "ip = [\"ip\", \"addr\"]\nstatus_code = \"status\"\nseverity = \"level\"\nsource = \"src\"";
    let event =
        event_with(fields, r#""ip":"AWS Internal","status":"ok","level":"Metadata","src":"web""#);
    assert_eq!(
        (&event.ip, event.status_code, event.severity, event.source),
        (&None, None, None, None)
    );
    assert_eq!(
        payload(&event),
        r#"{"ip":"AWS Internal","status":"ok","level":"Metadata","src":"web"}"#
    );
    let event = event_with(
        fields,
        r#""ip":"-","addr":"192.0.2.7","status":"404","level":"WARN","src":"cron""#,
    );
    assert_eq!((event.ip.as_deref(), event.status_code), (Some("192.0.2.7"), Some(404)));
    let long = "x".repeat(5000);
    let event = event_with("target_id = \"path\"", &format!(r#""path":"{long}""#));
    assert_eq!((event.target_id.is_none(), payload(&event).len()), (true, 5011));
}

#[test]
fn a_template_with_a_missing_value_gives_no_text() {
    let fields = r#"title = ["{{ event }} of {{ target.name }}", "{{ event | upper }}"]"#;
    let title = |members| event_with(fields, members).title;
    assert_eq!(title(r#""event":"edit","target":{"name":"Ann"}"#).as_deref(), Some("edit of Ann"));
    for members in [
        r#""event":"edit""#,
        r#""event":"edit","target":{"name":null}"#,
        r#""event":"edit","target":{"name":""}"#,
    ] {
        assert_eq!(title(members).as_deref(), Some("EDIT"), "{members}");
    }
    assert_eq!(title(r#""x":1"#), None);
    let number = event_with(r#"title = "{{ n }} {{ big }}""#, r#""n":7,"big":1.50"#);
    assert_eq!(number.title.as_deref(), Some("7 1.50"));
    let endless = map_with(
        "title = \"{% for i in range(9000) %}{{ i }}{% for j in range(9000) %}x{% endfor %}{% endfor %}\"",
    );
    let refused = event_of(&endless, r#"{"t":1,"a":"x"}"#).unwrap_err();
    assert!(refused.starts_with("title: "), "{refused}");
}

#[test]
fn a_diff_is_made_of_lists_single_changes_and_pairs() {
    let diff = |fields: &str, members: &str| {
        let event = event_with(fields, members);
        (event.diff.as_ref().map(|diff| diff.as_str().to_owned()), payload(&event).to_owned())
    };
    let some = |diff: &str, payload: &str| (Some(diff.to_owned()), payload.to_owned());
    let list = r#"diff = { list = "p", name = "n", before = "o", after = "w" }"#;
    assert_eq!(
        diff(list, r#""p":[{"n":"x","o":1,"w":2},{"n":"y","w":"b"}]"#),
        some(r#"{"x":{"before":1,"after":2},"y":{"after":"b"}}"#, "")
    );
    assert_eq!(diff(list, r#""p":[]"#), (None, r#"{"p":[]}"#.to_owned()));
    let single = r#"diff = { name = "d.c", before = "d.from", after = "d.to" }"#;
    assert_eq!(
        diff(single, r#""d":{"c":"x","from":"1","to":"2","by":3}"#),
        some(r#"{"x":{"before":"1","after":"2"}}"#, r#"{"d":{"by":3}}"#)
    );
    let pairs = r#"diff = { pairs = "", before = "old_", after = "" }"#;
    assert_eq!(
        diff(pairs, r#""old_role":"a","role":"b","old_x":1"#),
        some(r#"{"role":{"before":"a","after":"b"}}"#, r#"{"old_x":1}"#)
    );
    let inner = r#"diff = { pairs = "c", before = "_prev_", after = "_new_" }"#;
    assert_eq!(
        diff(inner, r#""c":{"post_prev_t":"a","post_new_t":"b","k":1}"#),
        some(r#"{"t":{"before":"a","after":"b"}}"#, r#"{"c":{"k":1}}"#)
    );
    let states = event_with(
        "before = \"x.old\"\nafter = \"x.new\"",
        r#""x":{"old":{"a":1,"b":2},"new":{"a":1,"b":3}}"#,
    );
    assert_eq!(
        states.diff.as_ref().map(|diff| diff.as_str()),
        Some(r#"{"b":{"before":2,"after":3}}"#)
    );
}

#[test]
fn a_time_that_cannot_be_read_rejects_the_record() {
    let map = RecordMap::parse(&format!(
        "time = [\"%d/%b/%Y:%H:%M:%S %z\", \"%d.%m.%Y %H:%M\"]\n{REQUIRED}"
    ))
    .unwrap();
    let zone = Zone::parse("Africa/Johannesburg").unwrap();
    let read = |time: &str, zone: Option<&Zone>| {
        let json = format!(r#"{{"a":"x","t":{time}}}"#);
        let intake = IntakeOptions { zone, ..IntakeOptions::default() };
        let context = MapContext { intake, ..MapContext::default() };
        map.event(Record::from_json(&json).unwrap(), context)
            .map(|event| event.occurred_at.unwrap().to_string())
    };
    assert_eq!(read("\"20/Nov/2026:06:00:00 +0200\"", None).as_deref(), Ok("2026-11-20T04:00:00Z"));
    assert_eq!(read("\"20.11.2026 06:00\"", Some(&zone)).as_deref(), Ok("2026-11-20T04:00:00Z"));
    assert_eq!(read("\"2026-11-20T04:00:00Z\"", None).as_deref(), Ok("2026-11-20T04:00:00Z"));
    assert_eq!(read("1795147200", None).as_deref(), Ok("2026-11-20T04:00:00Z"));
    let refused = read("\"20.11.2026 06:00\"", None).unwrap_err();
    assert!(refused.starts_with("occurred_at: ") && refused.contains("--input-tz"), "{refused}");
    assert_eq!(
        read("\"soon\"", None).unwrap_err(),
        "occurred_at: \"soon\" is not a time like %d/%b/%Y:%H:%M:%S %z"
    );
    for none in ["null", "\"\"", "{}"] {
        assert_eq!(
            read(none, None).unwrap_err(),
            "occurred_at: the record has no value at t; its keys are a, t"
        );
    }
}

#[test]
fn a_year_that_is_missing_is_the_latest_that_is_not_after_the_input() {
    let map = RecordMap::parse(&format!("time = \"%b %e %H:%M:%S\"\n{REQUIRED}")).unwrap();
    let zone = Zone::utc();
    let read = |time: &str, latest: &str| {
        let intake = IntakeOptions { zone: Some(&zone), ..IntakeOptions::default() };
        let context = MapContext {
            intake,
            latest: Some(Timestamp::parse_rfc3339(latest).unwrap()),
            origins: None,
        };
        let json = format!(r#"{{"a":"x","t":"{time}"}}"#);
        let event = map.event(Record::from_json(&json).unwrap(), context).unwrap();
        event.occurred_at.unwrap().to_string()
    };
    let january = "2026-01-02T00:00:05Z";
    for (time, at) in [
        ("Dec 31 23:59:59", "2025-12-31T23:59:59Z"),
        ("Jan  1 00:00:01", "2026-01-01T00:00:01Z"),
        // A clock that runs ahead, or a zone to the east.
        ("Jan  2 12:00:00", "2026-01-02T12:00:00Z"),
        ("Jan  4 12:00:00", "2025-01-04T12:00:00Z"),
        ("Feb 29 12:00:00", "2024-02-29T12:00:00Z"),
    ] {
        assert_eq!(read(time, january), at, "{time}");
    }
    assert_eq!(read("Jan  1 00:30:00", "2025-12-31T23:59:00Z"), "2026-01-01T00:30:00Z");
}

#[test]
fn patterns_split_lines_and_the_texts_within() {
    let text = format!(
        "pattern = ['^(?P<t>\\S+) A (?P<a>\\S+) (?P<m>.*)$', '^(?P<t>\\S+) (?P<a>\\S+)$']\n\
         [within]\nm = ['user=(?P<user>\\S+)', '(?P<rest>z+)']\n{REQUIRED}actor_label = \"user\"\n"
    );
    let map = RecordMap::parse(&text).unwrap();
    let event = |line: &str| map.event(map.split_line(line)?, MapContext::default());
    let first = event("2026-11-20T04:00:00Z A x.y user=ann on web").unwrap();
    assert_eq!(
        (first.actor_label.as_deref(), payload(&first)),
        (Some("ann"), r#"{"m":"user=ann on web"}"#)
    );
    let second = event("2026-11-20T04:00:00Z x.z").unwrap();
    assert_eq!((second.action.as_str(), second.payload.is_none()), ("x.z", true));
    let third = event("2026-11-20T04:00:00Z A x.y zz").unwrap();
    assert_eq!(payload(&third), r#"{"m":"zz","rest":"zz"}"#);
    assert_eq!(event("x").unwrap_err(), "does not fit the pattern of the format");
}

#[test]
fn json_within_a_cell_is_looked_into() {
    let map = map_with("actor_id = \"data.user\"");
    let json = r#"{"user":17,"more":[1]}"#;
    let values = [("t", "2026-11-20T04:00:00Z"), ("a", "x"), ("data", json), ("b", "{no")];
    let values = values
        .into_iter()
        .map(|(key, text)| (key.into(), crate::map::RecordValue::Text(text.into())));
    let event = map.event(Record::new(values).unwrap(), MapContext::default()).unwrap();
    assert_eq!(event.actor_id.as_deref(), Some("17"));
    assert_eq!(payload(&event), r#"{"data":{"more":[1]},"b":"{no"}"#);
    assert!(Record::from_json(r#"{"a":1,"a":2}"#).is_err());
}

#[test]
fn every_built_in_map_is_read_and_its_sample_is_recognised() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats");
    for format in &BUILT_IN {
        if let Err(error) = RecordMap::parse(format.text) {
            panic!("formats/{}.toml:{error}", format.name);
        }
        assert!(format.text.starts_with("# "), "{} says where it is found", format.name);
        let sample = fs::read(folder.join(format!("{}.sample", format.name))).unwrap();
        let found = built_in::recognise(&sample).map(|found| found.name);
        assert_eq!(found, Some(format.name));
        let first_record = &sample[..sample.len().min(900)];
        let found = built_in::recognise(first_record).map(|found| found.name);
        assert!(found.is_none_or(|found| found == format.name), "{} is not {found:?}", format.name);
    }
    for own in [
        r#"{"action":"a.b","actor":"ann"}"#,
        r#"{"event_id":"1","_document_id":"x","action":"a.b"}"#,
        r#"{"action":"repo.create","payload":{"_document_id":"x","action":"y"}}"#,
        r#"[{"occurred_at":"2026-11-20","_document_id":"x","action":"a.b"}]"#,
        "id,event_id,occurred_at,action\n1,x,y,z\n",
        "[2026-11-20T04:00:00+00:00] s.high: Title {\"event_id\":\"1\",\"action\":\"a.b\"}",
        "some words",
        "",
    ] {
        assert!(built_in::recognise(own.as_bytes()).is_none(), "{own}");
    }
}

/// JSON records of a few keys, nested now and then.
fn any_record() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{0,6}".prop_map(|text| format!("\"{text}\"")),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("null".to_owned()),
        Just("\"2026-11-20T04:00:00Z\"".to_owned()),
        Just("\"192.0.2.1\"".to_owned()),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|list| format!("[{}]", list.join(","))),
            proptest::collection::btree_map("[a-e]", inner, 0..4)
                .prop_map(|members| to_object(&members)),
        ]
    });
    proptest::collection::btree_map("[a-et]", value, 0..6).prop_map(|members| to_object(&members))
}

fn to_object(members: &std::collections::BTreeMap<String, String>) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #[test]
    fn a_record_becomes_a_valid_event_or_a_reason(record in any_record()) {
        let fields = "actor_id = [\"b.c\", \"c[0].a\"]\nactor_label = \"{{ b.d }}\"\nip = \"d\"\nstatus_code = \"e\"\n\
                      target_id = { from = [\"c\", \"d\"], join = \"/\" }\nbefore = \"b.a\"\nafter = \"b.e\"\n\
                      diff = { list = \"c\", name = \"a\", before = \"b\", after = \"c\" }\n[drop]\nkeys = [\"c[1].b\"]";
        match event_of(&map_with(fields), &record) {
            Ok(event) => {
                prop_assert!(!event.action.is_empty() && event.occurred_at.is_some());
                prop_assert!(event.validate().is_ok());
            }
            Err(reason) => prop_assert!(!reason.is_empty() && !reason.contains('\n'), "{}", reason),
        }
    }

    /// Each text of a record is in the event: as a field, or in the payload.
    #[test]
    fn nothing_of_a_record_is_lost(record in any_record()) {
        let map = map_with("actor_id = [\"b.c\", \"c[0].a\"]\nip = \"d\"\nstatus_code = \"e\"\ntitle = \"b.d.e\"\nactor_label = \"c[1].b.a\"");
        if let Ok(event) = event_of(&map, &record) {
            let kept = format!("{event:?}").replace("\\\"", "\"");
            let texts = record.split('"').filter(|text| text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_lowercase()));
            for text in texts {
                prop_assert!(kept.contains(text), "{} of {} in {}", text, record, kept);
            }
        }
    }
}
