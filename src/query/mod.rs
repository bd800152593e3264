//! One query language for everything (docs: the contract, section 3): text in, a [`Query`] out, and
//! what it means for one event.
//!
//! What a query means is decided here and nowhere else. A store may answer it by any means, as long
//! as it finds what [`Query::matches`] does; it reads the terms from [`Query::terms`] and the time
//! from [`Query::bounds`]. Nothing here reads a clock: what "yesterday" is comes in as [`Clock`].
//!
//! Where the contract is silent:
//!
//! - A `*` in a word is anything between two parts of it, within one text: `spr*launch`.
//! - `person:` is the actor or the impersonator, so that what `search-actor` asks can be written.
//! - `TYPE/*` is every record of the type, one without an id too.
//! - `id:`, `status:` and `severity:` take `10-20`, `>=`, `>`, `<=` and `<`; `ip:` takes a range of
//!   addresses. `ip:` and `status:` take stars.
//! - An IPv4 address in IPv6 form is the host that the IPv4 address is.
//! - Actions and methods are asked for in any case: the log keeps each in one.
//! - Within quotes a backslash is one, but before a quote; outside of them it always is.
//! - An empty value or phrase does not parse; an empty `--search` says nothing.

mod display;
mod error;
mod lex;
mod matches;
mod parse;
pub(crate) mod pattern;
pub(crate) mod value;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use crate::event::EventId;
use crate::event::Severity;
use crate::event::Source;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use crate::query::error::QueryError;
pub(crate) use crate::query::parse::QUALIFIERS;
use crate::query::pattern::NamePattern;
use crate::query::pattern::Pattern;
use crate::query::pattern::TargetPattern;
use crate::query::value::AddressSet;
use crate::query::value::EventProperty;
use crate::query::value::ValueRange;

/// Which events are meant. The default means all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query {
    base: TermGroup,
    /// What must hold besides.
    joined_groups: Vec<TermGroup>,
}

/// What "now" and "yesterday" are for who typed a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock<'a> {
    pub now: Timestamp,
    pub zone: &'a Zone,
}

/// Terms that hold together; of each qualifier at most one that is not negated, and one that is.
#[derive(Clone, Debug, Default, PartialEq)]
struct TermGroup {
    terms: Vec<Term>,
    times: TimeTerms,
}

/// One thing that must hold, or must not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    pub negated: bool,
    pub predicate: Predicate,
}

/// What can hold of an event. Any one of several values suffices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Predicate {
    Actor(Vec<NamePattern>),
    Impersonator(Vec<NamePattern>),
    /// The actor or the impersonator.
    Person(Vec<NamePattern>),
    Target(Vec<TargetPattern>),
    Text(TextField, Vec<Pattern>),
    Payload {
        key: String,
        values: Vec<Pattern>,
    },
    Id(Vec<ValueRange<EventId>>),
    Source(Vec<Source>),
    Severity(Vec<ValueRange<Severity>>),
    Status(Vec<ValueRange<u16>>),
    Ip(Vec<AddressSet>),
    Is(Vec<EventProperty>),
    /// Folded; found within the folded actor label, target label or title.
    Phrase(Pattern),
}

/// The fields that hold text and nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextField {
    Action,
    Module,
    Tenant,
    Session,
    Endpoint,
    Method,
    RecordedBy,
}

/// When events occurred: from the first, before the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeBounds {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl TimeBounds {
    pub(crate) fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    fn intersection(self, other: Self) -> Self {
        Self {
            // `None` is the least of options, so the later beginning is the maximum.
            from: self.from.max(other.from),
            to: match (self.to, other.to) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }
}

/// What the terms on time say, kept apart because the same one again widens and another narrows.
#[derive(Clone, Copy, Debug, Default)]
struct TimeTerms {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    days: Option<Timestamp>,
    not_since: Option<Timestamp>,
    not_until: Option<Timestamp>,
    not_days: Option<Timestamp>,
}

/// Which of the terms on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeQualifier {
    Since,
    Until,
    Days,
}

impl TimeTerms {
    fn add(&mut self, time: TimeQualifier, negated: bool, at: Timestamp) {
        // Several times widen: since the earliest, until the latest. Negated, all that is excluded
        // which any of them names.
        let (place, widest): (_, fn(_, _) -> _) = match (time, negated) {
            (TimeQualifier::Since, false) => (&mut self.since, Ord::min),
            (TimeQualifier::Since, true) => (&mut self.not_since, Ord::min),
            (TimeQualifier::Days, false) => (&mut self.days, Ord::min),
            (TimeQualifier::Days, true) => (&mut self.not_days, Ord::min),
            (TimeQualifier::Until, false) => (&mut self.until, Ord::max),
            (TimeQualifier::Until, true) => (&mut self.not_until, Ord::max),
        };
        *place = Some(place.map_or(at, |there| widest(there, at)));
    }

    fn bounds(&self) -> TimeBounds {
        let bounds = |from, to| TimeBounds { from, to };
        bounds(self.since, self.until)
            .intersection(bounds(self.days, self.not_days))
            .intersection(bounds(self.not_until, self.not_since))
    }
}

impl PartialEq for TimeTerms {
    fn eq(&self, other: &Self) -> bool {
        self.bounds() == other.bounds()
    }
}

impl Query {
    /// Narrows to the events that hold `text` as it stands; empty text narrows nothing.
    pub(crate) fn add_phrase(&mut self, text: &str) {
        if !text.is_empty() {
            let test = Predicate::Phrase(Pattern::literal(text).folded());
            self.base.add(Term { negated: false, predicate: test });
        }
    }

    /// Narrows to the current calendar day.
    pub(crate) fn narrow_to_today(&mut self, clock: &Clock<'_>) {
        let start = clock.zone.start_of_day(clock.now);
        let end = clock.zone.start_of_day_from(clock.now, 1);
        self.joined_groups.push(Self::between(start, end).base);
    }

    /// Narrows to what occurred before a time.
    pub(crate) fn narrow_to_before(&mut self, at: Timestamp) {
        let mut earlier = TermGroup::default();
        earlier.times.add(TimeQualifier::Until, false, at);
        self.joined_groups.push(earlier);
    }

    /// Both must hold, also where they name the same qualifier.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        let others = std::iter::once(other.base).chain(other.joined_groups);
        self.joined_groups.extend(others.filter(|terms| *terms != TermGroup::default()));
        self
    }

    /// All that one person did, also as somebody else's impersonator. `*` stands for anything,
    /// everything else for itself.
    pub(crate) fn for_person(text: &str) -> Self {
        Self::from_predicate(Predicate::Person(vec![NamePattern::new(Pattern::glob(text))]))
    }

    /// All that happened to one record, named by id, label or `TYPE/ID`; `*` as in a person.
    pub(crate) fn for_target(text: &str) -> Self {
        Self::from_predicate(Predicate::Target(vec![TargetPattern::new(Pattern::glob(text))]))
    }

    /// The events of one action. The slug stands for itself: no `*` in it is a wildcard.
    pub(crate) fn for_action(slug: &str) -> Self {
        let pattern = Pattern::literal(slug).folded();
        Self::from_predicate(Predicate::Text(TextField::Action, vec![pattern]))
    }

    /// The events up to an id, the id itself included.
    pub(crate) fn up_to(last: EventId) -> Self {
        Self::from_predicate(Predicate::Id(vec![ValueRange { from: EventId(1), to: last }]))
    }

    /// The events that occurred at `since` or later, and before `until`.
    pub(crate) fn between(since: Timestamp, until: Timestamp) -> Self {
        let mut query = Self::default();
        query.base.times.add(TimeQualifier::Since, false, since);
        query.base.times.add(TimeQualifier::Until, false, until);
        query
    }

    fn from_predicate(predicate: Predicate) -> Self {
        let mut query = Self::default();
        query.base.add(Term { negated: false, predicate });
        query
    }

    /// Whether it says anything about time, which a query in the config must not.
    pub(crate) fn has_time_terms(&self) -> bool {
        self.bounds() != TimeBounds::default()
    }

    /// Whether it asks for actions whose names begin so by their name: it says `action:mirror.dead`,
    /// not only what such an action happens to fit as well.
    pub(crate) fn names_actions_with_prefix(&self, beginning: &str) -> bool {
        self.terms().any(|term| match &term.predicate {
            Predicate::Text(TextField::Action, names) if !term.negated => {
                names.iter().any(|name| name.prefix().starts_with(beginning))
            }
            _ => false,
        })
    }

    /// The query without what it says about time.
    #[must_use]
    pub(crate) fn without_times(mut self) -> Self {
        for group in std::iter::once(&mut self.base).chain(&mut self.joined_groups) {
            group.times = TimeTerms::default();
        }
        self.joined_groups.retain(|terms| *terms != TermGroup::default());
        self
    }

    /// The query with this span of time in the place of its own.
    #[must_use]
    pub(crate) fn with_time_range(self, since: Timestamp, until: Timestamp) -> Self {
        self.without_times().and(Self::between(since, until))
    }

    /// Everything that must hold besides the [bounds](Self::bounds).
    pub(crate) fn terms(&self) -> impl Iterator<Item = &Term> + Clone {
        self.groups().flat_map(|group| &group.terms)
    }

    /// When what is meant occurred.
    pub(crate) fn bounds(&self) -> TimeBounds {
        self.groups()
            .fold(TimeBounds::default(), |bounds, group| bounds.intersection(group.times.bounds()))
    }

    fn groups(&self) -> impl Iterator<Item = &TermGroup> + Clone {
        std::iter::once(&self.base).chain(&self.joined_groups)
    }
}

impl TermGroup {
    /// Adds a term. Values of one qualifier widen, excluded ones exclude all; words narrow.
    fn add(&mut self, term: Term) {
        let same = self.terms.iter_mut().find(|there| {
            there.negated == term.negated && there.predicate.same_qualifier(&term.predicate)
        });
        match same {
            Some(there) => there.predicate.widen(term.predicate),
            None => self.terms.push(term),
        }
    }
}

impl Predicate {
    /// Whether values of both would stand behind one qualifier. Words are each one of their own.
    fn same_qualifier(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Phrase(a), Self::Phrase(b)) => a == b,
            (Self::Text(a, _), Self::Text(b, _)) => a == b,
            (Self::Payload { key: a, .. }, Self::Payload { key: b, .. }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    fn widen(&mut self, other: Self) {
        fn join<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
            for value in more {
                if !all.contains(&value) {
                    all.push(value);
                }
            }
        }
        match (self, other) {
            (Self::Actor(all), Self::Actor(more))
            | (Self::Impersonator(all), Self::Impersonator(more))
            | (Self::Person(all), Self::Person(more)) => join(all, more),
            (Self::Target(all), Self::Target(more)) => join(all, more),
            (Self::Text(_, all), Self::Text(_, more))
            | (Self::Payload { values: all, .. }, Self::Payload { values: more, .. }) => {
                join(all, more);
            }
            (Self::Id(all), Self::Id(more)) => join(all, more),
            (Self::Source(all), Self::Source(more)) => join(all, more),
            (Self::Severity(all), Self::Severity(more)) => join(all, more),
            (Self::Status(all), Self::Status(more)) => join(all, more),
            (Self::Ip(all), Self::Ip(more)) => join(all, more),
            (Self::Is(all), Self::Is(more)) => join(all, more),
            // The same words again say nothing new.
            _ => {}
        }
    }
}
