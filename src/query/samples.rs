//! Samples of events and queries, for the tests of this module and of the stores.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::Target;
use crate::event::json::JsonObject;
use crate::query::Clock;
use crate::query::Query;
use crate::query::pattern::Pattern;
use crate::time::Timestamp;
use crate::time::Zone;

/// Noon of 2026-11-20 in UTC.
pub(crate) const NOW: Timestamp = Timestamp::from_nanos(1_795_176_000_000_000_000);
pub(crate) const HOUR: i64 = 3_600_000_000_000;

pub(crate) fn try_parse(text: &str) -> Result<Query, String> {
    Query::parse(text, &Clock { now: NOW, zone: &Zone::utc() }).map_err(|error| error.to_string())
}

pub(crate) fn some_text(text: &str) -> Option<Arc<str>> {
    Some(Arc::from(text))
}

/// Returns an event with a value in every field that a query can name.
pub(crate) fn full_event() -> Event {
    let party = |id: &str, label: &str| {
        Some(Arc::new(Party { id: Some(id.to_owned()), label: Some(label.to_owned()) }))
    };
    Event {
        id: EventId(17),
        event_id: "e".to_owned(),
        occurred_at: NOW,
        recorded_at: NOW,
        recorded_by: Arc::from("www-data sudo:alice"),
        tenant: some_text("s2l"),
        source: Source::Api,
        severity: Severity::High,
        title: some_text("Spring Launch, part 2: roses"),
        actor: party("17", "Jerome Cruz"),
        impersonator: party("3", "Maria Reyes"),
        target: Some(Arc::new(Target {
            kind: Some("user".to_owned()),
            id: Some("a/b".to_owned()),
            label: Some("James Compton".to_owned()),
        })),
        description: Some("In detail".to_owned()),
        user_agent: some_text("curl/8.5"),
        diff: Some(JsonObject::from_trusted(r#"{"a":{"after":1}}"#.to_owned())),
        payload: Some(JsonObject::from_trusted(
            r#"{"token":"abc","n":1.10,"yes":true,"no":null,"o":{"a":[1]},"a b":"\u00e9,*","n":1.20}"#
                .to_owned(),
        )),
        ip: Some("192.0.2.7".to_owned()),
        session_id: Some("s1".to_owned()),
        method: Some("PATCH".to_owned()),
        endpoint: Some("/v1/users".to_owned()),
        status_code: Some(422),
        ..Event::minimal(Arc::new(Action {
            slug: "user.edit".to_owned(),
            module: Some("users".to_owned()),
        }))
    }
}

/// Returns an event with the required fields alone.
pub(crate) fn minimal_event() -> Event {
    let full = full_event();
    Event {
        id: EventId(18),
        event_id: full.event_id,
        occurred_at: full.occurred_at,
        recorded_at: full.recorded_at,
        recorded_by: full.recorded_by,
        ..Event::minimal(Arc::new(Action { slug: "ping".to_owned(), module: None }))
    }
}

/// Texts that a wrong comparison would confuse.
const TEXTS: [&str; 24] = [
    "17",
    "18",
    "1",
    "a",
    "A",
    "ab",
    "aB",
    "a b",
    "a*b",
    "a?b",
    "a[bc]",
    "100%",
    "a_b",
    "a\\",
    "\"a\"",
    "a\0b",
    "Straße",
    "STRASSE",
    "İ",
    "i\u{307}",
    "Σίσυφος",
    "σίσυφοσ",
    "user",
    "b/a",
];
const SLUGS: [&str; 9] = [
    "user.edit",
    "user.view",
    "userx",
    "user/",
    "user",
    "auth.login_failed",
    "auth.denied",
    "failed.no",
    "ping",
];
const IPS: [&str; 6] =
    ["192.0.2.7", "192.0.3.7", "10.0.0.1", "::1", "2001:db8::5", "::ffff:192.0.2.7"];
const PAYLOADS: [&str; 8] = [
    r#"{"k":{"a":{"b":"a"},"a.b":17},"a b":["\u00e9"]}"#,
    r#"{"k.a":"a","k":{"a":"b"}}"#,
    r#"{"k":"a"}"#,
    r#"{"k":17,"a b":true}"#,
    r#"{"k":null}"#,
    r#"{"k":1.0,"k":"a\u0000b"}"#,
    r#"{"k":{"a":[1]},"a b":"a*b"}"#,
    "{}",
];

const DIFFS: [&str; 3] =
    [r#"{"a":{"after":1}}"#, r#"{"a b":{"before":1,"after":1},"Straße":{"before":null}}"#, "{}"];

fn optional(texts: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::of(select(texts).prop_map(str::to_owned))
}

fn any_party() -> impl Strategy<Value = Option<Arc<Party>>> {
    (optional(&TEXTS), optional(&TEXTS)).prop_map(|(id, label)| {
        (id.is_some() || label.is_some()).then(|| Arc::new(Party { id, label }))
    })
}

/// Returns an event as its emitter would give it, without an id.
pub(crate) fn to_new_event(event: &Event) -> NewEvent {
    let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let (actor, impersonator) = (event.actor.as_deref(), event.impersonator.as_deref());
    let target = event.target.as_deref();
    NewEvent {
        occurred_at: Some(event.occurred_at),
        tenant: owned(&event.tenant),
        source: Some(event.source),
        severity: Some(event.severity),
        module: event.action.module.clone(),
        action: event.action.slug.clone(),
        title: owned(&event.title),
        description: event.description.clone(),
        actor_id: actor.and_then(|actor| actor.id.clone()),
        actor_label: actor.and_then(|actor| actor.label.clone()),
        impersonator_id: impersonator.and_then(|party| party.id.clone()),
        impersonator_label: impersonator.and_then(|party| party.label.clone()),
        target_type: target.and_then(|target| target.kind.clone()),
        target_id: target.and_then(|target| target.id.clone()),
        target_label: target.and_then(|target| target.label.clone()),
        diff: event.diff.clone(),
        payload: event.payload.clone(),
        ip: event.ip.clone(),
        user_agent: owned(&event.user_agent),
        session_id: event.session_id.clone(),
        method: event.method.clone(),
        endpoint: event.endpoint.clone(),
        status_code: event.status_code,
        ..NewEvent::default()
    }
}

/// Generates times of all signs and sizes, often equal ones.
pub(crate) fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => (-3_i64..4).prop_map(|hours| NOW.as_nanos() + hours * HOUR),
        2 => -2_i64..3,
        1 => select(&[i64::MIN, i64::MAX][..]),
    ]
    .prop_map(Timestamp::from_nanos)
}

/// Generates events with few distinct values. The store sets their id, hash and `event_id`.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let by = select(&TEXTS[..]).prop_map(Arc::from);
    let who = (any_party(), prop::option::weighted(0.2, any_party()), any_time(), by);
    let target =
        (optional(&TEXTS), optional(&TEXTS), optional(&TEXTS)).prop_map(|(kind, id, label)| {
            let there = kind.is_some() || id.is_some() || label.is_some();
            there.then(|| Arc::new(Target { kind, id, label }))
        });
    let what = (select(&SLUGS[..]), optional(&["a", "A", "user"]), target, optional(&TEXTS));
    let kind = (select(&Source::ALL[..]), select(&Severity::ALL[..]), optional(&["a", "b", "a*b"]));
    let http = (
        optional(&["GET", "PATCH"]),
        optional(&["/", "/a", "/a/b", "a\0b"]),
        prop::option::of(select(&[100_u16, 200, 404, 500, 599][..])),
        optional(&IPS),
        optional(&TEXTS),
    );
    let json = (optional(&PAYLOADS), optional(&DIFFS), optional(&TEXTS), optional(&TEXTS));
    (who, what, kind, http, json).prop_map(|(who, what, kind, http, json)| Event {
        occurred_at: who.2,
        recorded_by: who.3,
        actor: who.0,
        impersonator: who.1.flatten(),
        action: Arc::new(Action { slug: what.0.to_owned(), module: what.1 }),
        target: what.2,
        title: what.3.map(Arc::from),
        source: kind.0,
        severity: kind.1,
        tenant: kind.2.map(Arc::from),
        method: http.0,
        endpoint: http.1,
        status_code: http.2,
        ip: http.3,
        session_id: http.4,
        payload: json.0.map(JsonObject::from_trusted),
        diff: json.1.map(JsonObject::from_trusted),
        description: json.2,
        user_agent: json.3.map(Arc::from),
        ..minimal_event()
    })
}

/// Generates text as a query writes it, some of it with stars.
fn any_value() -> impl Strategy<Value = String> {
    let quoted = |text: &str| Pattern::literal(text).to_string();
    let text = select(&TEXTS[..]);
    prop_oneof![
        4 => text.clone().prop_map(quoted),
        1 => text.clone().prop_map(move |text| format!("{}*", quoted(text))),
        1 => text.clone().prop_map(move |text| format!("*{}", quoted(text))),
        1 => (text.clone(), text).prop_map(move |(a, b)| format!("{}*{}", quoted(a), quoted(b))),
        1 => select(&["*", "a*", "*a*", "a*/*", "user/*", "*/17", "user.*", "*.*", "?*"][..])
            .prop_map(str::to_owned),
    ]
}

fn any_term() -> impl Strategy<Value = String> {
    let text = select(
        &[
            "actor",
            "impersonator",
            "person",
            "target",
            "module",
            "tenant",
            "session",
            "endpoint",
            "by",
            "payload.k",
            "payload.\"a b\"",
            "payload.k.a",
            "payload.k.a.b",
            "title",
            "agent",
            "description",
            "event",
            "type",
            "changed",
            "actor_id",
            "actor_label",
            "impersonator_id",
            "impersonator_label",
            "target_id",
            "target_label",
            "hash",
            "method",
            "action",
        ][..],
    );
    let texts = prop::collection::vec(any_value(), 1..3).prop_map(|values| values.join(","));
    let slugs = select(
        &["user.edit", "user.*", "user*", "*.edit", "*", "ping,user", "*ed", "*.*_*", "user/"][..],
    );
    let others = select(
        &[
            "id:3",
            "id:2-5,9",
            "id:>=4",
            "source:api",
            "source:system,cron",
            "severity:high",
            "severity:<medium",
            "severity:low-low",
            "status:404",
            "status:5xx,200",
            "status:*",
            "status:<200",
            "ip:192.0.2.0/24",
            "ip:::/0",
            "ip:192.*,::1",
            "is:failed",
            "is:edit",
            "is:system",
            "is:impersonated",
            "is:failed,edit",
            "has:actor",
            "has:impersonator,target",
            "has:actor_id",
            "has:impersonator_label",
            "has:target_type",
            "has:title",
            "has:tenant",
            "has:module",
            "has:user_agent,ip",
            "has:diff",
            "has:status_code",
            "on:2026-11-20",
            "on:2026-11,2025",
            "on:yesterday,tomorrow",
            "on:>=2026-11-20T14:00:00Z",
            "on:<2026-11-20T12:00:00Z",
            "on:<=now",
            "on:2026-11-20T10:00:00Z/2026-11-20T14:00:00Z",
            "recorded_at:1970",
            "recorded_at:>now",
            "since:now",
            "until:now",
            "days:1",
            "since:2026-11-20T10:00:00Z",
            "until:2026-11-20T14:00:00Z",
            "since:@0",
            "until:@0",
        ][..],
    );
    let positive = prop_oneof![
        4 => (text, texts).prop_map(|(name, values)| format!("{name}:{values}")),
        2 => slugs.prop_map(|value| format!("action:{value}")),
        2 => any_value(),
        3 => others.prop_map(str::to_owned),
    ];
    (prop::bool::weighted(0.25), positive)
        .prop_map(|(negated, term)| format!("{}{term}", if negated { "-" } else { "" }))
}

/// Generates queries that parse and that match some of the events.
pub(crate) fn any_query() -> impl Strategy<Value = String> {
    prop::collection::vec(any_term(), 0..4).prop_map(|terms| terms.join(" "))
}
