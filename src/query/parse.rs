//! Text into terms. One table of qualifiers drives the parser, the flags and the help.

use crate::query::Clock;
use crate::query::Column;
use crate::query::Query;
use crate::query::Term;
use crate::query::Test;
use crate::query::Time;
use crate::query::error::Bad;
use crate::query::error::QueryError;
use crate::query::error::quoted;
use crate::query::lex;
use crate::query::lex::Chunk;
use crate::query::lex::Token;
use crate::query::pattern::Name;
use crate::query::pattern::Record;
use crate::query::value;
use crate::query::value::Addresses;
use crate::query::value::Is;
use crate::query::value::Range;
use crate::text;
use crate::time;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::WindowEdge;

/// A qualifier of the language.
pub(crate) struct Qualifier {
    /// What stands before the colon.
    pub name: &'static str,
    /// The long flag that means the same, where there is one.
    pub flag: Option<&'static str>,
    /// The name of its value in help.
    pub value: &'static str,
    /// What it narrows to, for help.
    pub help: &'static str,
    kind: Kind,
}

/// How the values behind a qualifier read.
#[derive(Clone, Copy)]
enum Kind {
    Test(fn(&Chunk) -> Result<Test, Bad>),
    Time(Time),
    /// With a key in the qualifier.
    Payload,
}

const fn with_flag(
    name: &'static str,
    value: &'static str,
    kind: Kind,
    help: &'static str,
) -> Qualifier {
    Qualifier { name, flag: Some(name), value, help, kind }
}

/// Every qualifier, in the order of help.
pub(crate) static QUALIFIERS: [Qualifier; 21] = [
    with_flag(
        "actor",
        "ACTOR",
        Kind::Test(|value| Ok(Test::Actor(names(value)))),
        "who did it: id exactly, or label in any case",
    ),
    with_flag(
        "target",
        "TARGET",
        Kind::Test(|value| Ok(Test::Target(vec![Record::new(value.pattern())]))),
        "the record: id or slug exactly, label in any case, or TYPE/ID",
    ),
    with_flag("action", "ACTION", Kind::Test(action), "what was done: user.edit, user.*"),
    with_flag("id", "ID", Kind::Test(id), "place in the log: 17, 10-20"),
    with_flag(
        "source",
        "SOURCE",
        Kind::Test(source),
        "where it came from: operator, system, api or cron",
    ),
    with_flag("method", "METHOD", Kind::Test(method), "HTTP method"),
    with_flag(
        "module",
        "MODULE",
        Kind::Test(|value| text_of(Column::Module, value)),
        "emitting service",
    ),
    with_flag(
        "tenant",
        "TENANT",
        Kind::Test(|value| text_of(Column::Tenant, value)),
        "site or tenant",
    ),
    with_flag("session", "SESSION", Kind::Test(|value| text_of(Column::Session, value)), "session"),
    with_flag(
        "endpoint",
        "PATH",
        Kind::Test(|value| text_of(Column::Endpoint, value)),
        "HTTP path",
    ),
    with_flag(
        "by",
        "WHO",
        Kind::Test(|value| text_of(Column::RecordedBy, value)),
        "who ran the program that recorded it",
    ),
    with_flag("severity", "LEVEL", Kind::Test(severity), "that level and above"),
    with_flag("status", "STATUS", Kind::Test(status), "HTTP status: 404, 4xx, 500-599, >=400"),
    with_flag("ip", "ADDRESS", Kind::Test(ip), "address or network: 192.0.2.7, 192.0.2.0/24"),
    with_flag(
        "impersonator",
        "ACTOR",
        Kind::Test(|value| Ok(Test::Impersonator(names(value)))),
        "who really acted, named like an actor",
    ),
    Qualifier {
        name: "person",
        flag: None,
        value: "ACTOR",
        help: "actor or impersonator, as search-actor finds them",
        kind: Kind::Test(|value| Ok(Test::Person(names(value)))),
    },
    Qualifier {
        name: PAYLOAD,
        flag: None,
        value: "VALUE",
        help: "the value at the top of the payload, as text",
        kind: Kind::Payload,
    },
    with_flag(
        "is",
        "WHAT",
        Kind::Test(is),
        "what holds of it: impersonated, failed, system or edit",
    ),
    with_flag(
        "since",
        "TIME",
        Kind::Time(Time::Since),
        "from that time on: yesterday, 2h, 2026-11-20",
    ),
    with_flag("until", "TIME", Kind::Time(Time::Until), "before that time"),
    with_flag("days", "N", Kind::Time(Time::Days), "the last N times 24 hours"),
];

/// The qualifier that takes a key of the payload after its dot.
const PAYLOAD: &str = "payload.KEY";

impl Query {
    /// Reads a query as it was typed.
    ///
    /// # Errors
    /// What does not parse: an unknown qualifier, a missing or wrong value, a quote left open.
    pub(crate) fn parse(text: &str, clock: &Clock<'_>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        lex::query(text)
            .and_then(|tokens| tokens.iter().try_for_each(|token| query.take(token, clock)))
            .map_err(|bad| bad.in_query(text))?;
        Ok(query)
    }

    /// Adds what a flag says: a value as behind the qualifier of its name, where blanks need no
    /// quotes and a leading `!` excludes.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn flag(
        &mut self,
        flag: &str,
        value: &str,
        clock: &Clock<'_>,
    ) -> Result<(), QueryError> {
        let known = QUALIFIERS.iter().find(|qualifier| qualifier.flag == Some(flag));
        known
            .map_or_else(|| Err(unknown(flag, 0..0)), |qualifier| Ok(qualifier.kind))
            .and_then(|kind| {
                let (negated, values) = lex::flag(value)?;
                self.add_values(kind, None, negated, &values, clock)
            })
            .map_err(|bad| bad.in_flag(flag, value))
    }

    fn take(&mut self, token: &Token, clock: &Clock<'_>) -> Result<(), Bad> {
        let Some(qualifier) = &token.qualifier else {
            return self.add_words(token);
        };
        let name = qualifier.text.as_str();
        let (kind, key) = match name.strip_prefix("payload.") {
            Some(key) if !key.is_empty() => (Kind::Payload, Some(key)),
            _ => QUALIFIERS
                .iter()
                .find(|qualifier| qualifier.name == name && name != PAYLOAD)
                .map(|qualifier| (qualifier.kind, None))
                .ok_or_else(|| unknown(name, qualifier.span.clone()))?,
        };
        self.add_values(kind, key, token.negated, &token.values, clock).map_err(|bad| bad.of(name))
    }

    fn add_words(&mut self, token: &Token) -> Result<(), Bad> {
        for words in &token.values {
            if words.text.is_empty() {
                return Err(Bad::new(token.span.clone(), "an empty phrase says nothing"));
            }
            let test = Test::Words(words.pattern().folded());
            self.own.add(Term { negated: token.negated, test });
        }
        Ok(())
    }

    fn add_values(
        &mut self,
        kind: Kind,
        key: Option<&str>,
        negated: bool,
        values: &[Chunk],
        clock: &Clock<'_>,
    ) -> Result<(), Bad> {
        for value in values {
            if value.text.is_empty() {
                return Err(Bad::new(value.span.clone(), "a value is missing"));
            }
            let test = match kind {
                Kind::Test(read) => read(value)?,
                Kind::Payload => Test::Payload {
                    key: key.unwrap_or_default().to_owned(),
                    values: vec![value.pattern()],
                },
                Kind::Time(time) => {
                    self.own.times.add(time, negated, read_time(time, value, clock)?);
                    continue;
                }
            };
            self.own.add(Term { negated, test });
        }
        Ok(())
    }
}

fn unknown(name: &str, span: std::ops::Range<usize>) -> Bad {
    if name == "payload" || name == "payload." {
        return Bad::new(span, "payload needs a key: payload.KEY:VALUE");
    }
    let names = QUALIFIERS.iter().map(|qualifier| qualifier.name);
    let hint = match text::nearest(name, names.filter(|name| *name != PAYLOAD)) {
        Some(near) => format!("did you mean {near}: ?"),
        None => "text with a colon in it needs quotes".to_owned(),
    };
    Bad::new(span, format!("{} is not a qualifier; {hint}", quoted(name)))
}

fn bad(value: &Chunk, what: &str) -> Bad {
    Bad::new(value.span.clone(), format!("{} {what}", quoted(&value.text)))
}

fn read_time(time: Time, value: &Chunk, clock: &Clock<'_>) -> Result<Timestamp, Bad> {
    let side = match time {
        Time::Since => WindowEdge::Since,
        Time::Until => WindowEdge::Until,
        Time::Days => return days_ago(value, clock.now),
    };
    time::parse_human(&value.text, clock.now, clock.zone, side)
        .map_err(|why| Bad::new(value.span.clone(), why))
}

/// So many times 24 hours ago, whatever the clocks did in between.
fn days_ago(value: &Chunk, now: Timestamp) -> Result<Timestamp, Bad> {
    let digits = value.text.bytes().all(|byte| byte.is_ascii_digit());
    let days = value.text.parse::<u64>().ok().filter(|days| digits && *days > 0);
    days.and_then(|days| days.checked_mul(86_400))
        .map(|seconds| now.saturating_sub(Span::from_seconds(seconds)))
        .ok_or_else(|| bad(value, "is not a number of days, like 1 or 30"))
}

fn names(value: &Chunk) -> Vec<Name> {
    vec![Name::new(value.pattern())]
}

fn text_of(column: Column, value: &Chunk) -> Result<Test, Bad> {
    Ok(Test::Text(column, vec![value.pattern()]))
}

/// The log keeps actions in small letters.
fn action(value: &Chunk) -> Result<Test, Bad> {
    Ok(Test::Text(Column::Action, vec![value.pattern().folded()]))
}

/// The log keeps methods in capitals.
fn method(value: &Chunk) -> Result<Test, Bad> {
    let capitals = value.pattern().folded().map(str::to_ascii_uppercase);
    Ok(Test::Text(Column::Method, vec![capitals]))
}

fn id(value: &Chunk) -> Result<Test, Bad> {
    value::range(&value.text, |id| Range { from: id, to: id })
        .map(|range| Test::Id(vec![range]))
        .map_err(|blame| blamed(value, blame))
}

fn severity(value: &Chunk) -> Result<Test, Bad> {
    value::range(&value.text, value::and_above)
        .map(|range| Test::Severity(vec![range]))
        .map_err(|blame| blamed(value, blame))
}

fn status(value: &Chunk) -> Result<Test, Bad> {
    value::statuses(&value.text, &value.pattern())
        .map(Test::Status)
        .map_err(|blame| blamed(value, blame))
}

fn blamed(value: &Chunk, (part, why): value::Blame<'_>) -> Bad {
    Bad::new(value.place_of(part), why)
}

fn source(value: &Chunk) -> Result<Test, Bad> {
    let sources = value::sources(&value.pattern());
    if sources.is_empty() {
        return Err(bad(value, "is none of operator, system, api and cron"));
    }
    Ok(Test::Source(sources))
}

fn ip(value: &Chunk) -> Result<Test, Bad> {
    Addresses::read(&value.text, &value.pattern())
        .map(|addresses| Test::Ip(vec![addresses]))
        .ok_or_else(|| bad(value, "is not an address or network, like 192.0.2.7 or 2001:db8::/32"))
}

fn is(value: &Chunk) -> Result<Test, Bad> {
    Is::read(&value.text).map(|is| Test::Is(vec![is])).ok_or_else(|| {
        let near = text::nearest(&value.text, Is::ALL.map(Is::name));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        bad(value, &format!("is none of impersonated, failed, system and edit{hint}"))
    })
}
