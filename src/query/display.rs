//! Writes a query in its own language. The text parses to an equal query.

use std::fmt;
use std::fmt::Display;

use crate::event::EventId;
use crate::event::Severity;
use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TermGroup;
use crate::query::TextField;
use crate::query::operators;
use crate::query::pattern::Pattern;
use crate::query::value::PlaceRange;
use crate::query::value::ValueRange;
use crate::time::Timestamp;

impl Display for Query {
    /// Times are absolute, in UTC. Joined queries that use the same qualifier cannot be written in the
    /// language; each stands in parentheses, and the text does not parse.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(|name, at| format!("{name}:{at}")))
    }
}

impl Query {
    /// Returns the query for people: like [`Display`], but with `since TIME` and `until TIME`, where
    /// `time` formats the times.
    pub(crate) fn describe(&self, time: impl Fn(Timestamp) -> String) -> String {
        self.render(|name, at| format!("{name} {}", time(at)))
    }

    fn render(&self, time: impl Fn(&str, Timestamp) -> String) -> String {
        let bounds = self.window_bounds();
        let from = bounds.from.map(|at| time("since", at));
        let to = bounds.to.map(|at| time("until", at));
        let terms: Vec<String> = match self.merged_terms() {
            Some(terms) => terms.terms.iter().map(Term::to_string).collect(),
            None => self
                .groups()
                .filter(|group| !group.terms.is_empty())
                .map(|group| {
                    let terms: Vec<_> = group.terms.iter().map(Term::to_string).collect();
                    format!("({})", terms.join(" "))
                })
                .collect(),
        };
        terms.into_iter().chain(from).chain(to).collect::<Vec<_>>().join(" ")
    }

    /// Returns the terms of all groups as one group. Returns `None` where two groups use the same
    /// qualifier, because terms side by side would widen.
    fn merged_terms(&self) -> Option<TermGroup> {
        let mut merged = TermGroup::default();
        for group in self.groups() {
            for term in &group.terms {
                let existing = merged.terms.iter().find(|existing| {
                    !existing.negated
                        && !term.negated
                        && existing.predicate.same_qualifier(&term.predicate)
                });
                match existing {
                    Some(existing) if existing == term => {}
                    Some(_) => return None,
                    None => merged.add(term.clone()),
                }
            }
        }
        Some(merged)
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.negated { "-" } else { "" }, self.predicate)
    }
}

impl Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(names) => write_values(f, "actor", names.iter().map(|name| &name.id)),
            Self::Impersonator(names) => {
                write_values(f, "impersonator", names.iter().map(|name| &name.id))
            }
            Self::Person(names) => write_values(f, "person", names.iter().map(|name| &name.id)),
            Self::NotSystemOr(names) => {
                f.write_str("(-is:system OR ")?;
                write_values(f, "person", names.iter().map(|name| &name.id))?;
                f.write_str(")")
            }
            Self::Target(records) => {
                write_values(f, "target", records.iter().map(|record| &record.name.id))
            }
            Self::Text(field, patterns) => write_values(f, field.qualifier(), patterns.iter()),
            Self::Payload { key, values } => {
                f.write_str("payload.")?;
                write_literal(f, key, |c| c == ':')?;
                write_values(f, "", values.iter())
            }
            Self::Id(ranges) => write_values(f, "id", ranges),
            Self::Source(sources) => {
                write_values(f, "source", sources.iter().map(|source| source.name()))
            }
            Self::Severity(ranges) => write_values(f, "severity", ranges),
            Self::Status(ranges) => write_values(f, "status", ranges),
            Self::Ip(addresses) => write_values(f, "ip", addresses),
            Self::Is(all) => write_values(f, "is", all.iter().map(|is| is.name())),
            Self::Has(fields) => write_values(f, "has", fields.iter().map(|field| field.name())),
            Self::Changed(names) => write_values(f, "changed", names.iter()),
            Self::Occurred(ranges) => write_values(f, "on", ranges),
            Self::Recorded(ranges) => write_values(f, "recorded_at", ranges),
            Self::Phrase(pattern) => write_pattern(f, pattern, true),
        }
    }
}

impl TextField {
    fn qualifier(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Module => "module",
            Self::Tenant => "tenant",
            Self::Session => "session",
            Self::Endpoint => "endpoint",
            Self::Method => "method",
            Self::RecordedBy => "by",
            Self::EventId => "event",
            Self::Title => "title",
            Self::Description => "description",
            Self::UserAgent => "agent",
            Self::ActorId => "actor_id",
            Self::ActorLabel => "actor_label",
            Self::ImpersonatorId => "impersonator_id",
            Self::ImpersonatorLabel => "impersonator_label",
            Self::TargetType => "type",
            Self::TargetId => "target_id",
            Self::TargetLabel => "target_label",
            Self::Hash => "hash",
            Self::Log => "host",
        }
    }
}

fn write_values(
    f: &mut fmt::Formatter<'_>,
    qualifier: &str,
    values: impl IntoIterator<Item = impl Display>,
) -> fmt::Result {
    f.write_str(qualifier)?;
    let mut separator = ':';
    for value in values {
        write!(f, "{separator}{value}")?;
        separator = ',';
    }
    Ok(())
}

/// Writes the pattern as a value after a qualifier.
impl Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pattern(f, self, false)
    }
}

fn write_pattern(f: &mut fmt::Formatter<'_>, pattern: &Pattern, as_phrase: bool) -> fmt::Result {
    if pattern.as_literal() == Some("") {
        return f.write_str("\"\"");
    }
    for (index, text) in pattern.pieces().iter().enumerate() {
        if index > 0 {
            f.write_str("*")?;
        }
        let minus_first = index == 0 && text.starts_with('-');
        let is_operator = as_phrase && operators::may_be_operator(text);
        let is_joined = text.contains("&&");
        write_literal(f, text, |c| {
            c == '|'
                || c == '&' && is_joined
                || as_phrase && (c == ':' || minus_first || is_operator)
        })?;
    }
    Ok(())
}

/// Writes literal text, in quotes where they are needed.
fn write_literal(
    f: &mut fmt::Formatter<'_>,
    text: &str,
    special: impl Fn(char) -> bool,
) -> fmt::Result {
    if !text.contains(|c: char| c.is_whitespace() || ",*\"".contains(c) || special(c)) {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for c in text.chars() {
        if c == '"' || c == '\\' {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

/// Writes the span as it is parsed again; its end is excluded.
impl Display for ValueRange<Timestamp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = || Timestamp::from_nanos(self.to.as_nanos().saturating_add(1));
        match (self.from.as_nanos(), self.to.as_nanos()) {
            (_, i64::MAX) => write!(f, ">={}", self.from),
            (i64::MIN, _) => write!(f, "<{}", after()),
            _ => write!(f, "{}/{}", self.from, after()),
        }
    }
}

impl Display for PlaceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(log) = &self.log {
            write_literal(f, log, |_| false)?;
            f.write_str("/")?;
        }
        self.ids.fmt(f)
    }
}

impl Display for ValueRange<EventId> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (from, to) if from == to => write!(f, "{from}"),
            (from, EventId(i64::MAX)) => write!(f, ">={from}"),
            (from, to) => write!(f, "{from}-{to}"),
        }
    }
}

impl Display for ValueRange<u16> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (from, to) if from == to => write!(f, "{from}"),
            (from, to) => write!(f, "{from}-{to}"),
        }
    }
}

impl Display for ValueRange<Severity> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (from, Severity::Critical) => write!(f, "{from}"),
            (from, to) => write!(f, "{from}-{to}"),
        }
    }
}
