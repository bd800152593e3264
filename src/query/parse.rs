//! Parses text to terms.

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
use crate::query::operators;
use crate::query::pattern::NamePattern;
use crate::query::qualifiers;
use crate::query::qualifiers::QUALIFIERS;
use crate::query::qualifiers::QualifierKind;
use crate::query::value;
use crate::query::value::AddressSet;
use crate::query::value::EventProperty;
use crate::query::value::PlaceRange;
use crate::query::value::PresentField;
use crate::query::value::ValueRange;
use crate::text;
use crate::time;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::WindowEdge;

/// The number of terms that a query may have. A store turns each into parameters of a statement, and
/// their number is limited; the values of one term are not.
const MAX_TERMS: usize = 2_000;

/// The values of one list that may have a wildcard. Each of them is tried on each text, while all
/// others are looked up.
const MAX_STARRED: usize = 500;

impl Query {
    /// Parses a query.
    ///
    /// # Errors
    /// An unknown qualifier, a missing or wrong value, or an unclosed quote.
    pub(crate) fn parse(text: &str, clock: &Clock<'_>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        lex::tokenize(text)
            .and_then(|tokens| {
                operators::refuse(&tokens, text)?;
                tokens.iter().try_for_each(|token| query.add_token(token, clock))
            })
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
        let (kind, key) = match qualifiers::payload_key(name) {
            Some(key) => (QualifierKind::Payload, Some(key)),
            None => qualifiers::find(name)
                .map(|found| (found.kind, None))
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
        let mut predicates = Vec::with_capacity(values.len());
        let mut starred = 0;
        for value in values {
            starred += usize::from(value.to_pattern().as_literal().is_none());
            if starred > MAX_STARRED {
                let reason = format!("a list has at most {MAX_STARRED} values with a *");
                return Err(ParseError::new(value.span.clone(), reason));
            }
            if value.text.is_empty() {
                return Err(ParseError::new(value.span.clone(), "a value is missing"));
            }
            let predicate = match kind {
                QualifierKind::Predicate(read) => read(value)?,
                QualifierKind::Span(predicate) => predicate(vec![parse_span(value, clock)?]),
                QualifierKind::Payload => Predicate::Payload {
                    key: key.unwrap_or_default().to_owned(),
                    values: value.to_pattern().into(),
                },
                QualifierKind::Time(time) => {
                    self.base.times.add(time, negated, parse_time(time, value, clock)?);
                    continue;
                }
            };
            predicates.push(predicate);
        }
        match (Predicate::any_of(predicates), values) {
            (Some(predicate), [first, ..]) => {
                self.add_term(Term { negated, predicate }, &first.span)
            }
            _ => Ok(()),
        }
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
    if name.starts_with('(') {
        let reason = "there are no parentheses: different qualifiers narrow, a comma widens";
        return ParseError::new(span, reason);
    }
    let near = qualifiers::nearest(name).map(|near| format!("; did you mean {near}: ?"));
    let reason = format!("{} is not a qualifier{}", quoted(name), near.unwrap_or_default());
    let names: Vec<&str> = QUALIFIERS.iter().map(|qualifier| qualifier.name).collect();
    let all = names.join(" ");
    let hint = format!("text with a colon in it needs quotes; the qualifiers are {all}");
    ParseError::new(span, reason).hint(hint)
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

/// Parses a span of time: a day, month or year, `>=TIME` and its like, or `TIME/TIME`.
fn parse_span(value: &Lexeme, clock: &Clock<'_>) -> Result<ValueRange<Timestamp>, ParseError> {
    let text = value.text.as_str();
    let wrong = |reason| ParseError::new(value.span.clone(), reason);
    let Clock { now, zone } = *clock;
    let (least, greatest) = (Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(i64::MAX));
    let before = |at: Timestamp| Timestamp::from_nanos(at.as_nanos().saturating_sub(1));
    let edges = |typed: &str| match time::parse_human_span(typed, now, zone) {
        Ok(span) => Ok(span),
        Err(_) => time::parse_human(typed, now, zone, WindowEdge::Since)
            .map(|at| (at, Timestamp::from_nanos(at.as_nanos().saturating_add(1))))
            .map_err(wrong),
    };
    if let Some(typed) = text.strip_prefix(">=") {
        return Ok(ValueRange { from: edges(typed)?.0, to: greatest });
    }
    if let Some(typed) = text.strip_prefix("<=") {
        return Ok(ValueRange { from: least, to: before(edges(typed)?.1) });
    }
    if let Some(typed) = text.strip_prefix('>') {
        return Ok(ValueRange { from: edges(typed)?.1, to: greatest });
    }
    if let Some(typed) = text.strip_prefix('<') {
        return Ok(ValueRange { from: least, to: before(edges(typed)?.0) });
    }
    if let Some((from, to)) = text.split_once('/') {
        let edge = |typed| Timestamp::parse_rfc3339(typed);
        if let (Ok(from), Ok(to)) = (edge(from), edge(to)) {
            return Ok(ValueRange { from, to: before(to) });
        }
    }
    let (from, after) = time::parse_human_span(text, now, zone).map_err(wrong)?;
    Ok(ValueRange { from, to: before(after) })
}

pub(super) fn parse_names(value: &Lexeme) -> Vec<NamePattern> {
    vec![NamePattern::new(value.to_pattern())]
}

pub(super) fn parse_text(field: TextField, value: &Lexeme) -> Result<Predicate, ParseError> {
    let pattern = value.to_pattern();
    let pattern = if field.is_in_any_case() { pattern.folded() } else { pattern };
    Ok(Predicate::Text(field, pattern.into()))
}

/// Parses a hash, or a pattern for one. The log writes hashes in lower case.
pub(super) fn parse_hash(value: &Lexeme) -> Result<Predicate, ParseError> {
    Ok(Predicate::Text(TextField::Hash, value.to_pattern().folded().into()))
}

pub(super) fn parse_changed(value: &Lexeme) -> Result<Predicate, ParseError> {
    Ok(Predicate::Changed(value.to_pattern().into()))
}

/// Parses the name of a field, of a qualifier, or of one of the three parties.
pub(super) fn parse_has(value: &Lexeme) -> Result<Predicate, ParseError> {
    PresentField::parse(&value.text).map(|field| Predicate::Has(vec![field])).ok_or_else(|| {
        let near = qualifiers::nearest(&value.text);
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        value_error(value, &format!("is not a field of an event{hint}"))
    })
}

/// Parses an action. The log keeps actions in lower case.
pub(super) fn parse_action(value: &Lexeme) -> Result<Predicate, ParseError> {
    if !value.is_quoted() && value.text.contains('|') {
        let hint = format!("action:{}", value.text.replace("||", ",").replace('|', ","));
        return Err(ParseError::new(value.span.clone(), "a comma means or, not |").hint(hint));
    }
    Ok(Predicate::Text(TextField::Action, value.to_pattern().folded().into()))
}

/// Parses a method. The log keeps methods in upper case.
pub(super) fn parse_method(value: &Lexeme) -> Result<Predicate, ParseError> {
    let upper_case = value.to_pattern().folded().map(str::to_ascii_uppercase);
    Ok(Predicate::Text(TextField::Method, upper_case.into()))
}

pub(super) fn parse_id(value: &Lexeme) -> Result<Predicate, ParseError> {
    let (log, ids) = match value.text.rsplit_once('/') {
        Some((log, ids)) if !log.is_empty() => (Some(log.to_owned()), ids),
        Some(_) | None => (None, value.text.as_str()),
    };
    value::parse_range(ids, |id| ValueRange { from: id, to: id })
        .map(|ids| Predicate::Id(vec![PlaceRange { log, ids }]))
        .map_err(|error| range_error(value, error))
}

pub(super) fn parse_severity(value: &Lexeme) -> Result<Predicate, ParseError> {
    value::parse_range(&value.text, value::at_least)
        .map(|range| Predicate::Severity(vec![range]))
        .map_err(|error| range_error(value, error))
}

pub(super) fn parse_status(value: &Lexeme) -> Result<Predicate, ParseError> {
    value::parse_statuses(&value.text, &value.to_pattern())
        .map(Predicate::Status)
        .map_err(|error| range_error(value, error))
}

fn range_error(value: &Lexeme, (part, reason): value::RangeError<'_>) -> ParseError {
    ParseError::new(value.span_of(part), reason)
}

pub(super) fn parse_source(value: &Lexeme) -> Result<Predicate, ParseError> {
    let sources = value::matching_sources(&value.to_pattern());
    if sources.is_empty() {
        return Err(value_error(value, "is none of operator, system, api and cron"));
    }
    Ok(Predicate::Source(sources))
}

pub(super) fn parse_ip(value: &Lexeme) -> Result<Predicate, ParseError> {
    AddressSet::parse(&value.text, &value.to_pattern())
        .map(|addresses| Predicate::Ip(vec![addresses]))
        .ok_or_else(|| {
            value_error(value, "is not an address or network, like 192.0.2.7 or 2001:db8::/32")
        })
}

pub(super) fn parse_is(value: &Lexeme) -> Result<Predicate, ParseError> {
    EventProperty::parse(&value.text).map(|is| Predicate::Is(vec![is])).ok_or_else(|| {
        let near = text::nearest(&value.text, EventProperty::ALL.map(EventProperty::name));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        value_error(value, &format!("is none of impersonated, failed, system and edit{hint}"))
    })
}
