//! Parses text to terms. One table of qualifiers drives the parser, the flags and the help.

use std::ops::Range;

use crate::query::Clock;
use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TextField;
use crate::query::TimeQualifier;
use crate::query::error::ParseError;
use crate::query::error::QueryError;
use crate::query::error::quoted;
use crate::query::lex;
use crate::query::lex::Lexeme;
use crate::query::lex::Token;
use crate::query::pattern::NamePattern;
use crate::query::pattern::TargetPattern;
use crate::query::value;
use crate::query::value::AddressSet;
use crate::query::value::EventProperty;
use crate::query::value::ValueRange;
use crate::text;
use crate::time;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::WindowEdge;

/// A qualifier of the language.
pub(crate) struct Qualifier {
    /// The text before the colon.
    pub name: &'static str,
    /// The long flag with the same meaning, if one exists.
    pub flag: Option<&'static str>,
    /// The name of its value in help.
    pub value_name: &'static str,
    /// The text of the help.
    pub help: &'static str,
    kind: QualifierKind,
}

/// The parser of the values after a qualifier.
#[derive(Clone, Copy)]
enum QualifierKind {
    Predicate(fn(&Lexeme) -> Result<Predicate, ParseError>),
    Time(TimeQualifier),
    /// The qualifier contains the key.
    Payload,
}

const fn with_flag(
    name: &'static str,
    value: &'static str,
    kind: QualifierKind,
    help: &'static str,
) -> Qualifier {
    Qualifier { name, flag: Some(name), value_name: value, help, kind }
}

/// Every qualifier, in the order of the help.
pub(crate) static QUALIFIERS: [Qualifier; 21] = [
    with_flag(
        "actor",
        "ACTOR",
        QualifierKind::Predicate(|value| Ok(Predicate::Actor(parse_names(value)))),
        "who did it: id exactly, or label in any case",
    ),
    with_flag(
        "target",
        "TARGET",
        QualifierKind::Predicate(|value| {
            Ok(Predicate::Target(vec![TargetPattern::new(value.to_pattern())]))
        }),
        "the record: id or slug exactly, label in any case, or TYPE/ID",
    ),
    with_flag(
        "action",
        "ACTION",
        QualifierKind::Predicate(parse_action),
        "what was done: user.edit, user.*",
    ),
    with_flag("id", "ID", QualifierKind::Predicate(parse_id), "place in the log: 17, 10-20"),
    with_flag(
        "source",
        "SOURCE",
        QualifierKind::Predicate(parse_source),
        "where it came from: operator, system, api or cron",
    ),
    with_flag("method", "METHOD", QualifierKind::Predicate(parse_method), "HTTP method"),
    with_flag(
        "module",
        "MODULE",
        QualifierKind::Predicate(|value| parse_text(TextField::Module, value)),
        "emitting service",
    ),
    with_flag(
        "tenant",
        "TENANT",
        QualifierKind::Predicate(|value| parse_text(TextField::Tenant, value)),
        "site or tenant",
    ),
    with_flag(
        "session",
        "SESSION",
        QualifierKind::Predicate(|value| parse_text(TextField::Session, value)),
        "session",
    ),
    with_flag(
        "endpoint",
        "PATH",
        QualifierKind::Predicate(|value| parse_text(TextField::Endpoint, value)),
        "HTTP path",
    ),
    with_flag(
        "by",
        "WHO",
        QualifierKind::Predicate(|value| parse_text(TextField::RecordedBy, value)),
        "who ran the program that recorded it",
    ),
    with_flag(
        "severity",
        "LEVEL",
        QualifierKind::Predicate(parse_severity),
        "that level and above",
    ),
    with_flag(
        "status",
        "STATUS",
        QualifierKind::Predicate(parse_status),
        "HTTP status: 404, 4xx, 500-599, >=400",
    ),
    with_flag(
        "ip",
        "ADDRESS",
        QualifierKind::Predicate(parse_ip),
        "address or network: 192.0.2.7, 192.0.2.0/24",
    ),
    with_flag(
        "impersonator",
        "ACTOR",
        QualifierKind::Predicate(|value| Ok(Predicate::Impersonator(parse_names(value)))),
        "who really acted, named like an actor",
    ),
    Qualifier {
        name: "person",
        flag: None,
        value_name: "ACTOR",
        help: "actor or impersonator, as search-actor finds them",
        kind: QualifierKind::Predicate(|value| Ok(Predicate::Person(parse_names(value)))),
    },
    Qualifier {
        name: PAYLOAD_QUALIFIER,
        flag: None,
        value_name: "VALUE",
        help: "the value at the top of the payload, as text",
        kind: QualifierKind::Payload,
    },
    with_flag(
        "is",
        "WHAT",
        QualifierKind::Predicate(parse_is),
        "what holds of it: impersonated, failed, system or edit",
    ),
    with_flag(
        "since",
        "TIME",
        QualifierKind::Time(TimeQualifier::Since),
        "from that time on: yesterday, 2h, 2026-11-20",
    ),
    with_flag("until", "TIME", QualifierKind::Time(TimeQualifier::Until), "before that time"),
    with_flag("days", "N", QualifierKind::Time(TimeQualifier::Days), "the last N times 24 hours"),
];

/// The number of terms that a query may have. A store turns each into parameters of a statement, and
/// their number is limited; the values of one term are not.
const MAX_TERMS: usize = 2_000;

/// The qualifier that takes a key of the payload after its dot.
const PAYLOAD_QUALIFIER: &str = "payload.KEY";

impl Query {
    /// Parses a query.
    ///
    /// # Errors
    /// An unknown qualifier, a missing or wrong value, or an unclosed quote.
    pub(crate) fn parse(text: &str, clock: &Clock<'_>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        lex::tokenize(text)
            .and_then(|tokens| tokens.iter().try_for_each(|token| query.add_token(token, clock)))
            .map_err(|error| error.to_error_in_query(text))?;
        Ok(query)
    }

    /// Adds the text of a flag, read like the values after its qualifier, except that blanks need no
    /// quotes and a leading `!` excludes.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn add_flag(
        &mut self,
        flag: &str,
        value: &str,
        clock: &Clock<'_>,
    ) -> Result<(), QueryError> {
        let known = QUALIFIERS.iter().find(|qualifier| qualifier.flag == Some(flag));
        known
            .map_or_else(|| Err(unknown_qualifier(flag, 0..0)), |qualifier| Ok(qualifier.kind))
            .and_then(|kind| {
                let (negated, values) = lex::split_flag_value(value)?;
                self.add_values(kind, None, negated, &values, clock)
            })
            .map_err(|error| error.to_error_in_flag(flag, value))
    }

    fn add_token(&mut self, token: &Token, clock: &Clock<'_>) -> Result<(), ParseError> {
        let Some(qualifier) = &token.qualifier else {
            return self.add_phrases(token);
        };
        let name = qualifier.text.as_str();
        let (kind, key) = match name.strip_prefix("payload.") {
            Some(key) if !key.is_empty() => (QualifierKind::Payload, Some(key)),
            _ => QUALIFIERS
                .iter()
                .find(|qualifier| qualifier.name == name && name != PAYLOAD_QUALIFIER)
                .map(|qualifier| (qualifier.kind, None))
                .ok_or_else(|| unknown_qualifier(name, qualifier.span.clone()))?,
        };
        self.add_values(kind, key, token.negated, &token.values, clock)
            .map_err(|error| error.with_qualifier(name))
    }

    fn add_phrases(&mut self, token: &Token) -> Result<(), ParseError> {
        for phrase in &token.values {
            if phrase.text.is_empty() {
                return Err(ParseError::new(token.span.clone(), "an empty phrase says nothing"));
            }
            let predicate = Predicate::Phrase(phrase.to_pattern().folded());
            self.add_term(Term { negated: token.negated, predicate }, &token.span)?;
        }
        Ok(())
    }

    fn add_values(
        &mut self,
        kind: QualifierKind,
        key: Option<&str>,
        negated: bool,
        values: &[Lexeme],
        clock: &Clock<'_>,
    ) -> Result<(), ParseError> {
        for value in values {
            if value.text.is_empty() {
                return Err(ParseError::new(value.span.clone(), "a value is missing"));
            }
            let predicate = match kind {
                QualifierKind::Predicate(read) => read(value)?,
                QualifierKind::Payload => Predicate::Payload {
                    key: key.unwrap_or_default().to_owned(),
                    values: vec![value.to_pattern()],
                },
                QualifierKind::Time(time) => {
                    self.base.times.add(time, negated, parse_time(time, value, clock)?);
                    continue;
                }
            };
            self.add_term(Term { negated, predicate }, &value.span)?;
        }
        Ok(())
    }

    fn add_term(&mut self, term: Term, span: &Range<usize>) -> Result<(), ParseError> {
        self.base.add(term);
        if self.base.terms.len() > MAX_TERMS {
            let limit = text::format_thousands(MAX_TERMS as u64);
            let reason =
                format!("a query has at most {limit} terms; one term may have more values");
            return Err(ParseError::new(span.clone(), reason));
        }
        Ok(())
    }
}

fn unknown_qualifier(name: &str, span: Range<usize>) -> ParseError {
    if name == "payload" || name == "payload." {
        return ParseError::new(span, "payload needs a key: payload.KEY:VALUE");
    }
    let names = QUALIFIERS.iter().map(|qualifier| qualifier.name);
    let hint = match text::nearest(name, names.filter(|name| *name != PAYLOAD_QUALIFIER)) {
        Some(near) => format!("did you mean {near}: ?"),
        None => "text with a colon in it needs quotes".to_owned(),
    };
    ParseError::new(span, format!("{} is not a qualifier; {hint}", quoted(name)))
}

fn value_error(value: &Lexeme, reason: &str) -> ParseError {
    ParseError::new(value.span.clone(), format!("{} {reason}", quoted(&value.text)))
}

fn parse_time(
    time: TimeQualifier,
    value: &Lexeme,
    clock: &Clock<'_>,
) -> Result<Timestamp, ParseError> {
    let edge = match time {
        TimeQualifier::Since => WindowEdge::Since,
        TimeQualifier::Until => WindowEdge::Until,
        TimeQualifier::Days => return days_ago(value, clock.now),
    };
    time::parse_human(&value.text, clock.now, clock.zone, edge)
        .map_err(|reason| ParseError::new(value.span.clone(), reason))
}

/// Returns the time this many times 24 hours ago, also across changes of the clocks.
fn days_ago(value: &Lexeme, now: Timestamp) -> Result<Timestamp, ParseError> {
    let digits = value.text.bytes().all(|byte| byte.is_ascii_digit());
    let days = value.text.parse::<u64>().ok().filter(|days| digits && *days > 0);
    days.and_then(|days| days.checked_mul(86_400))
        .map(|seconds| now.saturating_sub(Span::from_seconds(seconds)))
        .ok_or_else(|| value_error(value, "is not a number of days, like 1 or 30"))
}

fn parse_names(value: &Lexeme) -> Vec<NamePattern> {
    vec![NamePattern::new(value.to_pattern())]
}

fn parse_text(field: TextField, value: &Lexeme) -> Result<Predicate, ParseError> {
    Ok(Predicate::Text(field, vec![value.to_pattern()]))
}

/// Parses an action. The log keeps actions in lower case.
fn parse_action(value: &Lexeme) -> Result<Predicate, ParseError> {
    Ok(Predicate::Text(TextField::Action, vec![value.to_pattern().folded()]))
}

/// Parses a method. The log keeps methods in upper case.
fn parse_method(value: &Lexeme) -> Result<Predicate, ParseError> {
    let upper_case = value.to_pattern().folded().map(str::to_ascii_uppercase);
    Ok(Predicate::Text(TextField::Method, vec![upper_case]))
}

fn parse_id(value: &Lexeme) -> Result<Predicate, ParseError> {
    value::parse_range(&value.text, |id| ValueRange { from: id, to: id })
        .map(|range| Predicate::Id(vec![range]))
        .map_err(|error| range_error(value, error))
}

fn parse_severity(value: &Lexeme) -> Result<Predicate, ParseError> {
    value::parse_range(&value.text, value::at_least)
        .map(|range| Predicate::Severity(vec![range]))
        .map_err(|error| range_error(value, error))
}

fn parse_status(value: &Lexeme) -> Result<Predicate, ParseError> {
    value::parse_statuses(&value.text, &value.to_pattern())
        .map(Predicate::Status)
        .map_err(|error| range_error(value, error))
}

fn range_error(value: &Lexeme, (part, reason): value::RangeError<'_>) -> ParseError {
    ParseError::new(value.span_of(part), reason)
}

fn parse_source(value: &Lexeme) -> Result<Predicate, ParseError> {
    let sources = value::matching_sources(&value.to_pattern());
    if sources.is_empty() {
        return Err(value_error(value, "is none of operator, system, api and cron"));
    }
    Ok(Predicate::Source(sources))
}

fn parse_ip(value: &Lexeme) -> Result<Predicate, ParseError> {
    AddressSet::parse(&value.text, &value.to_pattern())
        .map(|addresses| Predicate::Ip(vec![addresses]))
        .ok_or_else(|| {
            value_error(value, "is not an address or network, like 192.0.2.7 or 2001:db8::/32")
        })
}

fn parse_is(value: &Lexeme) -> Result<Predicate, ParseError> {
    EventProperty::parse(&value.text).map(|is| Predicate::Is(vec![is])).ok_or_else(|| {
        let near = text::nearest(&value.text, EventProperty::ALL.map(EventProperty::name));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        value_error(value, &format!("is none of impersonated, failed, system and edit{hint}"))
    })
}
