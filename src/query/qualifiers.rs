//! The one table of qualifiers. It drives the parser, the flags, the help and `has:`.

use crate::event::field;
use crate::event::field::KeyMeaning;
use crate::event::field::PartyRole;
use crate::query::Predicate;
use crate::query::TextField;
use crate::query::TimeQualifier;
use crate::query::error::ParseError;
use crate::query::lex::Lexeme;
use crate::query::parse;
use crate::query::pattern::TargetPattern;
use crate::query::value::ValueRange;
use crate::text;
use crate::time::Timestamp;

/// A qualifier of the language.
pub(crate) struct Qualifier {
    /// The text before the colon.
    pub name: &'static str,
    /// The long flag with the same meaning, if one exists.
    pub flag: Option<&'static str>,
    /// The field that it is about, if it is one: its names are names of the qualifier too.
    pub(super) field: Option<&'static str>,
    /// The name of its value in help.
    pub value_name: &'static str,
    /// The text of the help.
    pub help: &'static str,
    pub(super) kind: QualifierKind,
}

/// The parser of the values after a qualifier.
#[derive(Clone, Copy)]
pub(super) enum QualifierKind {
    Predicate(fn(&Lexeme) -> Result<Predicate, ParseError>),
    Time(TimeQualifier),
    /// A span of time.
    Span(fn(Vec<ValueRange<Timestamp>>) -> Predicate),
    /// The qualifier contains the key.
    Payload,
}

/// The qualifier that takes a key of the payload after its dot.
const PAYLOAD_QUALIFIER: &str = "payload.KEY";

const fn qualifier(
    name: &'static str,
    field: Option<&'static str>,
    value_name: &'static str,
    kind: QualifierKind,
    help: &'static str,
) -> Qualifier {
    Qualifier { name, flag: None, field, value_name, help, kind }
}

const fn with_flag(
    name: &'static str,
    field: Option<&'static str>,
    value_name: &'static str,
    kind: QualifierKind,
    help: &'static str,
) -> Qualifier {
    Qualifier { flag: Some(name), ..qualifier(name, field, value_name, kind, help) }
}

/// The kind of a qualifier that compares one field of text.
macro_rules! text_kind {
    ($field:ident) => {
        QualifierKind::Predicate(|value| parse::parse_text(TextField::$field, value))
    };
}

/// Every qualifier, in the order of the help.
pub(crate) static QUALIFIERS: [Qualifier; 38] = [
    with_flag(
        "actor",
        None,
        "ACTOR",
        QualifierKind::Predicate(|value| Ok(Predicate::Actor(parse::parse_names(value)))),
        "who did it: id exactly, or label in any case",
    ),
    with_flag(
        "target",
        None,
        "TARGET",
        QualifierKind::Predicate(|value| {
            Ok(Predicate::Target(vec![TargetPattern::new(value.to_pattern())]))
        }),
        "the record: id or slug exactly, label in any case, or TYPE/ID",
    ),
    with_flag(
        "action",
        Some("action"),
        "ACTION",
        QualifierKind::Predicate(parse::parse_action),
        "what was done: user.edit, user.*",
    ),
    with_flag(
        "id",
        Some("id"),
        "ID",
        QualifierKind::Predicate(parse::parse_id),
        "place in the log: 17, 10-20; web3/17 in the log of a host",
    ),
    with_flag("host", None, "HOST", text_kind!(Log), "whose log, where those of many are read"),
    with_flag(
        "source",
        Some("source"),
        "SOURCE",
        QualifierKind::Predicate(parse::parse_source),
        "where it came from: operator, system, api or cron",
    ),
    with_flag(
        "method",
        Some("method"),
        "METHOD",
        QualifierKind::Predicate(parse::parse_method),
        "HTTP method",
    ),
    with_flag("module", Some("module"), "MODULE", text_kind!(Module), "emitting service"),
    with_flag("tenant", Some("tenant"), "TENANT", text_kind!(Tenant), "site or tenant"),
    with_flag("session", Some("session_id"), "SESSION", text_kind!(Session), "session"),
    with_flag("endpoint", Some("endpoint"), "PATH", text_kind!(Endpoint), "HTTP path"),
    with_flag(
        "by",
        Some("recorded_by"),
        "WHO",
        text_kind!(RecordedBy),
        "who ran the program that recorded it",
    ),
    with_flag(
        "severity",
        Some("severity"),
        "LEVEL",
        QualifierKind::Predicate(parse::parse_severity),
        "that level and above",
    ),
    with_flag(
        "status",
        Some("status_code"),
        "STATUS",
        QualifierKind::Predicate(parse::parse_status),
        "HTTP status: 404, 4xx, 500-599, >=400",
    ),
    with_flag(
        "ip",
        Some("ip"),
        "ADDRESS",
        QualifierKind::Predicate(parse::parse_ip),
        "address or network: 192.0.2.7, 192.0.2.0/24",
    ),
    with_flag(
        "impersonator",
        None,
        "ACTOR",
        QualifierKind::Predicate(|value| Ok(Predicate::Impersonator(parse::parse_names(value)))),
        "who really acted, named like an actor",
    ),
    qualifier(
        "person",
        None,
        "ACTOR",
        QualifierKind::Predicate(|value| Ok(Predicate::Person(parse::parse_names(value)))),
        "actor or impersonator, as search-actor finds them",
    ),
    qualifier(
        PAYLOAD_QUALIFIER,
        None,
        "VALUE",
        QualifierKind::Payload,
        "the value at the top of the payload, as text; payload.A.B goes deeper",
    ),
    qualifier("title", Some("title"), "TEXT", text_kind!(Title), "title, in any case"),
    qualifier(
        "agent",
        Some("user_agent"),
        "TEXT",
        text_kind!(UserAgent),
        "user agent, in any case",
    ),
    qualifier("event", Some("event_id"), "EVENT_ID", text_kind!(EventId), "the emitter's own id"),
    qualifier("type", Some("target_type"), "TYPE", text_kind!(TargetType), "family of the record"),
    qualifier(
        "has",
        None,
        "FIELD",
        QualifierKind::Predicate(parse::parse_has),
        "the field is there: ip, target, diff",
    ),
    qualifier(
        "changed",
        Some("diff"),
        "NAME",
        QualifierKind::Predicate(parse::parse_changed),
        "the diff has an entry of that name",
    ),
    with_flag(
        "is",
        None,
        "WHAT",
        QualifierKind::Predicate(parse::parse_is),
        "what holds of it: impersonated, failed, system or edit",
    ),
    with_flag(
        "on",
        Some("occurred_at"),
        "DAY",
        QualifierKind::Span(Predicate::Occurred),
        "one day, month or year: yesterday, 2026-11-20, 2026-11",
    ),
    with_flag(
        "since",
        None,
        "TIME",
        QualifierKind::Time(TimeQualifier::Since),
        "from that time on: yesterday, 2h, 2026-11-20",
    ),
    with_flag("until", None, "TIME", QualifierKind::Time(TimeQualifier::Until), "before that time"),
    with_flag(
        "days",
        None,
        "N",
        QualifierKind::Time(TimeQualifier::Days),
        "the last N times 24 hours",
    ),
    qualifier("actor_id", Some("actor_id"), "ID", text_kind!(ActorId), "the actor's id alone"),
    qualifier(
        "actor_label",
        Some("actor_label"),
        "NAME",
        text_kind!(ActorLabel),
        "the actor's label alone, in any case",
    ),
    qualifier(
        "impersonator_id",
        Some("impersonator_id"),
        "ID",
        text_kind!(ImpersonatorId),
        "the impersonator's id alone",
    ),
    qualifier(
        "impersonator_label",
        Some("impersonator_label"),
        "NAME",
        text_kind!(ImpersonatorLabel),
        "the impersonator's label alone, in any case",
    ),
    qualifier("target_id", Some("target_id"), "ID", text_kind!(TargetId), "the record's id alone"),
    qualifier(
        "target_label",
        Some("target_label"),
        "NAME",
        text_kind!(TargetLabel),
        "the record's label alone, in any case",
    ),
    qualifier(
        "description",
        Some("description"),
        "TEXT",
        text_kind!(Description),
        "description, in any case",
    ),
    qualifier(
        "recorded_at",
        Some("recorded_at"),
        "DAY",
        QualifierKind::Span(Predicate::Recorded),
        "one day, month or year in which the log took it",
    ),
    qualifier(
        "hash",
        Some("hash"),
        "HASH",
        QualifierKind::Predicate(parse::parse_hash),
        "link of the chain",
    ),
];

/// Returns the qualifier of that name: its own, or one of the names of its field. Letter case, `_` and
/// `-` do not matter.
pub(crate) fn find(name: &str) -> Option<&'static Qualifier> {
    let own = |name: &str| {
        let mut named = QUALIFIERS.iter().filter(|qualifier| qualifier.name != PAYLOAD_QUALIFIER);
        named.find(|qualifier| qualifier.name.eq_ignore_ascii_case(name))
    };
    own(name).or_else(|| match field::meaning_of_key(name)? {
        KeyMeaning::Field(field) => {
            QUALIFIERS.iter().find(|qualifier| qualifier.field == Some(field.name))
        }
        KeyMeaning::Party(PartyRole::Actor) => own("actor"),
        KeyMeaning::Party(PartyRole::Impersonator) => own("impersonator"),
        KeyMeaning::Party(PartyRole::Target) => own("target"),
        KeyMeaning::RecordState(_) => None,
    })
}

/// Returns the field that a qualifier or one of the field's own names stands for.
pub(super) fn field_of(name: &str) -> Option<&'static str> {
    if let Some(KeyMeaning::Field(field)) = field::meaning_of_key(name) {
        return Some(field.name);
    }
    find(name)?.field
}

/// Returns the key of `payload.KEY`, also under another name of the payload.
pub(super) fn payload_key(name: &str) -> Option<&str> {
    let (field, key) = name.split_once('.')?;
    (!key.is_empty() && field_of(field) == Some("payload")).then_some(key)
}

/// Returns the qualifier that was probably meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let names = QUALIFIERS.iter().map(|qualifier| qualifier.name);
    text::nearest(name, names.filter(|name| *name != PAYLOAD_QUALIFIER))
}
