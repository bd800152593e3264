//! The query language: parses text to a [`Query`], and decides which events a query matches.
//!
//! The meaning of a query is defined here and nowhere else. A store may find events by any means, as
//! long as it finds those that [`Query::matches`]; it reads the terms from [`Query::terms`] and the
//! times from [`Query::bounds`]. Nothing here reads a clock: the caller passes a [`Clock`], which
//! decides what "yesterday" is.
//!
//! Details that the help does not mention:
//!
//! - A `*` in a word stands for any text between its two parts, within one field: `spr*launch`.
//! - `person:` is the actor or the impersonator, so that the query of `search-actor` can be written.
//! - `TYPE/*` is every record of the type, including those without an id.
//! - `id:`, `status:` and `severity:` take `10-20`, `>=`, `>`, `<=` and `<`; `ip:` takes a range of
//!   addresses. `ip:` and `status:` take stars.
//! - `on:` and `recorded_at:` take `>=`, `>`, `<=` and `<` before any time, and `TIME/TIME` for a span,
//!   the second time excluded.
//! - Each field is a qualifier under its own name and those that emitters use for it: `status_code:`,
//!   `user_id:`. Letter case, `_` and `-` in the name of a qualifier do not matter.
//! - `payload.A.B:` is the key `A.B` at the top, else `B` within `A`.
//! - An IPv4 address in IPv6 form is the same host as the IPv4 address.
//! - Actions and methods may be written in any case, because the log keeps each of them in one case.
//! - A backslash stands for itself, except before a quote or another backslash within quotes.
//! - A query has at most 2,000 terms. The values of one list are not limited, but for those with a `*`:
//!   500.
//! - An empty value or phrase does not parse; an empty `--search` matches everything.

mod display;
mod error;
mod lex;
mod matches;
mod operators;
mod parse;
pub(crate) mod pattern;
mod qualifiers;
mod readings;
pub(crate) mod saved;
pub(crate) mod value;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::Hash;

use crate::event::Action;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::Severity;
use crate::event::Source;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use crate::query::error::QueryError;
use crate::query::pattern::NamePattern;
use crate::query::pattern::Pattern;
use crate::query::pattern::PatternList;
use crate::query::pattern::TargetPattern;
pub(crate) use crate::query::qualifiers::QUALIFIERS;
pub(crate) use crate::query::qualifiers::find as find_qualifier;
pub(crate) use crate::query::readings::other_readings;
use crate::query::value::AddressSet;
use crate::query::value::EventProperty;
use crate::query::value::PlaceRange;
use crate::query::value::PresentField;
use crate::query::value::ValueRange;

/// A condition on events. The default matches all events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query {
    base: TermGroup,
    /// The groups that must hold besides the base. None of them is empty.
    joined_groups: Vec<TermGroup>,
}

/// The time and the zone in which relative times of a query are understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock<'a> {
    pub now: Timestamp,
    pub zone: &'a Zone,
}

/// Terms that must all hold. Each qualifier has at most one plain and one negated term.
#[derive(Clone, Debug, Default, PartialEq)]
struct TermGroup {
    terms: Vec<Term>,
    times: TimeTerms,
}

/// A predicate that must hold, or must not hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    pub negated: bool,
    pub predicate: Predicate,
}

/// A property of events. It holds where any one of its values matches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Predicate {
    Actor(Vec<NamePattern>),
    Impersonator(Vec<NamePattern>),
    /// The actor or the impersonator.
    Person(Vec<NamePattern>),
    Target(Vec<TargetPattern>),
    Text(TextField, PatternList),
    Payload {
        key: String,
        values: PatternList,
    },
    Id(Vec<PlaceRange>),
    Source(Vec<Source>),
    Severity(Vec<ValueRange<Severity>>),
    Status(Vec<ValueRange<u16>>),
    Ip(Vec<AddressSet>),
    Is(Vec<EventProperty>),
    /// Not of the system, or the actor or the impersonator is one of these. No query that is typed
    /// has it: it is what roles let see.
    NotSystemOr(Vec<NamePattern>),
    /// The event has a value in one of the fields.
    Has(Vec<PresentField>),
    /// The diff has an entry of one of the names.
    Changed(PatternList),
    /// The time when it occurred.
    Occurred(Vec<ValueRange<Timestamp>>),
    /// The time when the log took it.
    Recorded(Vec<ValueRange<Timestamp>>),
    /// A folded pattern that occurs in the folded actor label, target label or title.
    Phrase(Pattern),
}

/// The fields that are plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextField {
    Action,
    Module,
    Tenant,
    Session,
    Endpoint,
    Method,
    RecordedBy,
    EventId,
    Title,
    Description,
    UserAgent,
    ActorId,
    ActorLabel,
    ImpersonatorId,
    ImpersonatorLabel,
    TargetType,
    TargetId,
    TargetLabel,
    Hash,
    /// The log, by its name or that of its host.
    Log,
}

impl TextField {
    /// Whether its values are compared in any case; the patterns are folded then.
    pub(crate) fn is_in_any_case(self) -> bool {
        match self {
            Self::Title
            | Self::Description
            | Self::UserAgent
            | Self::ActorLabel
            | Self::ImpersonatorLabel
            | Self::TargetLabel => true,
            // The log keeps actions, methods and hashes in one case.
            Self::Action
            | Self::Module
            | Self::Tenant
            | Self::Session
            | Self::Endpoint
            | Self::Method
            | Self::RecordedBy
            | Self::EventId
            | Self::ActorId
            | Self::ImpersonatorId
            | Self::TargetType
            | Self::TargetId
            | Self::Hash
            | Self::Log => false,
        }
    }
}

/// A span of time: from `from` on, before `to`. An absent bound is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeBounds {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl TimeBounds {
    pub(crate) fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    /// Whether it has no time at all.
    pub(crate) fn is_empty(self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from >= to)
    }

    /// Returns the least bounds that have all times of some; `None` for none.
    pub(crate) fn hull(spans: &[Self]) -> Option<Self> {
        spans.iter().copied().reduce(|all, span| Self {
            from: all.from.min(span.from),
            // An open end is later than any.
            to: all.to.zip(span.to).map(|(a, b)| a.max(b)),
        })
    }

    pub(crate) fn intersection(self, other: Self) -> Self {
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

/// The terms on time. They are kept apart, because the same qualifier again widens the span and
/// another one narrows it.
#[derive(Clone, Copy, Debug, Default)]
struct TimeTerms {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    days: Option<Timestamp>,
    not_since: Option<Timestamp>,
    not_until: Option<Timestamp>,
    not_days: Option<Timestamp>,
}

/// A qualifier of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeQualifier {
    Since,
    Until,
    Days,
}

impl TimeTerms {
    fn add(&mut self, time: TimeQualifier, negated: bool, at: Timestamp) {
        // Several values widen the span: since the earliest, until the latest. Negated values exclude
        // all that any of them names.
        let (slot, widest): (_, fn(_, _) -> _) = match (time, negated) {
            (TimeQualifier::Since, false) => (&mut self.since, Ord::min),
            (TimeQualifier::Since, true) => (&mut self.not_since, Ord::min),
            (TimeQualifier::Days, false) => (&mut self.days, Ord::min),
            (TimeQualifier::Days, true) => (&mut self.not_days, Ord::min),
            (TimeQualifier::Until, false) => (&mut self.until, Ord::max),
            (TimeQualifier::Until, true) => (&mut self.not_until, Ord::max),
        };
        *slot = Some(slot.map_or(at, |existing| widest(existing, at)));
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
    /// Narrows the query to events that contain `text` literally. Empty text changes nothing.
    pub(crate) fn add_phrase(&mut self, text: &str) {
        if !text.is_empty() {
            let predicate = Predicate::Phrase(Pattern::literal(text).folded());
            self.base.add(Term { negated: false, predicate });
        }
    }

    /// Narrows the query to the current calendar day.
    pub(crate) fn narrow_to_today(&mut self, clock: &Clock<'_>) {
        let start = clock.zone.start_of_day(clock.now);
        let end = clock.zone.start_of_day_from(clock.now, 1);
        self.joined_groups.push(Self::between(start, end).base);
    }

    /// Narrows the query to events that occurred before a time.
    pub(crate) fn narrow_to_before(&mut self, at: Timestamp) {
        let mut earlier = TermGroup::default();
        earlier.times.add(TimeQualifier::Until, false, at);
        self.joined_groups.push(earlier);
    }

    /// Returns the conjunction of both queries, also where they use the same qualifier.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        let others = std::iter::once(other.base).chain(other.joined_groups);
        self.joined_groups.extend(others.filter(|terms| *terms != TermGroup::default()));
        self
    }

    /// Matches the events of one person, as the actor or as an impersonator. `*` stands for any text,
    /// and every other character for itself.
    pub(crate) fn for_person(text: &str) -> Self {
        Self::from_predicate(Predicate::Person(vec![NamePattern::new(Pattern::glob(text))]))
    }

    /// Matches the events that belong to a tenant.
    pub(crate) fn with_tenant() -> Self {
        Self::from_predicate(Predicate::Text(TextField::Tenant, Pattern::glob("*").into()))
    }

    /// Matches no event.
    pub(crate) fn nothing() -> Self {
        Self::from_predicate(Predicate::Id(Vec::new()))
    }

    /// Matches the events of one person, as the actor or as an impersonator, named by their exact id
    /// alone: a label is no proof of who somebody is.
    pub(crate) fn own_events(id: &str) -> Self {
        Self::from_predicate(Predicate::Person(vec![NamePattern::of_id(id)]))
    }

    /// Matches the events of [`Self::own_events`], and all that are not of the system.
    pub(crate) fn own_or_of_people(id: &str) -> Self {
        Self::from_predicate(Predicate::NotSystemOr(vec![NamePattern::of_id(id)]))
    }

    /// Matches the events of one record, named by id, label or `TYPE/ID`. `*` stands for any text.
    pub(crate) fn for_target(text: &str) -> Self {
        Self::from_predicate(Predicate::Target(vec![TargetPattern::new(Pattern::glob(text))]))
    }

    /// Matches the events of one action. Every character of the slug stands for itself.
    pub(crate) fn for_action(slug: &str) -> Self {
        let pattern = Pattern::literal(slug).folded();
        Self::from_predicate(Predicate::Text(TextField::Action, pattern.into()))
    }

    /// Matches the events up to an id, including the id itself.
    pub(crate) fn up_to(last: EventId) -> Self {
        let ids = ValueRange { from: EventId(1), to: last };
        Self::from_predicate(Predicate::Id(vec![PlaceRange::of_any_log(ids)]))
    }

    /// Matches the events behind an id.
    pub(crate) fn recorded_after(last: EventId) -> Self {
        let from = EventId(last.0.saturating_add(1));
        let ids = ValueRange { from, to: EventId(i64::MAX) };
        Self::from_predicate(Predicate::Id(vec![PlaceRange::of_any_log(ids)]))
    }

    /// Matches the events of some logs up to these places, including them.
    pub(crate) fn up_to_places(places: &[EventPlace]) -> Self {
        let ranges = places.iter().map(|place| PlaceRange {
            log: place.log.as_deref().map(str::to_owned),
            ids: ValueRange { from: EventId(1), to: place.id },
        });
        Self::from_predicate(Predicate::Id(ranges.collect()))
    }

    /// Matches the event with an id, in the log of that name or in each.
    pub(crate) fn for_place(log: Option<&str>, id: EventId) -> Self {
        let ids = ValueRange { from: id, to: id };
        let log = log.map(str::to_owned);
        Self::from_predicate(Predicate::Id(vec![PlaceRange { log, ids }]))
    }

    /// Matches the events with this very `event_id`.
    pub(crate) fn for_event_id(event_id: &str) -> Self {
        Self::from_text(TextField::EventId, Pattern::literal(event_id))
    }

    /// Matches the events whose `event_id` begins so.
    pub(crate) fn for_event_ids_beginning_with(prefix: &str) -> Self {
        let pattern = Pattern::from_pieces([prefix.to_owned(), String::new()]);
        Self::from_text(TextField::EventId, pattern)
    }

    /// Matches the events of an actor in a tenant that give the actor's label.
    pub(crate) fn for_actor_with_label(tenant: Option<&str>, id: &str) -> Self {
        Self::from_text(TextField::ActorId, Pattern::literal(id))
            .and(Self::from_text(TextField::ActorLabel, Pattern::glob("*")))
            .and(Self::of_tenant(tenant))
    }

    /// Matches the events of a target in a tenant that give the target's label.
    pub(crate) fn for_target_with_label(
        tenant: Option<&str>,
        kind: Option<&str>,
        id: &str,
    ) -> Self {
        Self::from_text(TextField::TargetId, Pattern::literal(id))
            .and(Self::from_text(TextField::TargetLabel, Pattern::glob("*")))
            .and(Self::with_or_without(TextField::TargetType, kind))
            .and(Self::of_tenant(tenant))
    }

    /// Matches the events of an action that failed, or those that did not.
    pub(crate) fn for_outcome(action: &Action, failed: bool) -> Self {
        let predicate = Predicate::Is(vec![EventProperty::Failed]);
        let mut outcome = Self::default();
        outcome.base.add(Term { negated: !failed, predicate });
        Self::for_action(&action.slug)
            .and(Self::with_or_without(TextField::Module, action.module.as_deref()))
            .and(outcome)
    }

    fn of_tenant(tenant: Option<&str>) -> Self {
        Self::with_or_without(TextField::Tenant, tenant)
    }

    /// Matches the events with a text in a field, or with none.
    fn with_or_without(field: TextField, text: Option<&str>) -> Self {
        match text {
            Some(text) => Self::from_text(field, Pattern::literal(text)),
            None => {
                let predicate = Predicate::Text(field, Pattern::glob("*").into());
                let mut query = Self::default();
                query.base.add(Term { negated: true, predicate });
                query
            }
        }
    }

    fn from_text(field: TextField, pattern: Pattern) -> Self {
        Self::from_predicate(Predicate::Text(field, pattern.into()))
    }

    /// Matches the events that occurred at `since` or later, and before `until`.
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

    /// Whether the query has a term on time, which a query in the config must not have.
    pub(crate) fn has_time_terms(&self) -> bool {
        self.bounds() != TimeBounds::default() || self.terms().any(|term| term.predicate.is_time())
    }

    /// Returns its words and phrases, quoted for a message, if it consists of nothing else.
    pub(crate) fn as_phrases(&self) -> Option<String> {
        if self.bounds() != TimeBounds::default() || self.terms().next().is_none() {
            return None;
        }
        let quoted = self.terms().map(|term| match &term.predicate {
            Predicate::Phrase(pattern) if !term.negated => {
                Some(format!("\"{}\"", pattern.pieces().join("*")))
            }
            _ => None,
        });
        Some(quoted.collect::<Option<Vec<_>>>()?.join(" and "))
    }

    /// Returns the query of one of its terms alone.
    pub(crate) fn from_term(term: &Term) -> Self {
        let mut query = Self::default();
        query.base.add(term.clone());
        query
    }

    /// Whether the query names actions with a prefix, as `action:mirror.dead` does. A query that only
    /// happens to match such actions does not name them.
    pub(crate) fn names_actions_with_prefix(&self, prefix: &str) -> bool {
        self.terms().any(|term| match &term.predicate {
            Predicate::Text(TextField::Action, names) if !term.negated => {
                names.iter().any(|name| name.prefix().starts_with(prefix))
            }
            _ => false,
        })
    }

    /// Returns the terms that ask for actions, as a query of their own; `None` where there are none.
    pub(crate) fn only_actions(&self) -> Option<Self> {
        let asks_for_actions = |term: &&Term| {
            !term.negated && matches!(term.predicate, Predicate::Text(TextField::Action, _))
        };
        let only = |term: &Term| Self::from_predicate(term.predicate.clone());
        self.terms().filter(asks_for_actions).map(only).reduce(Self::and)
    }

    /// Returns the first action that the query asks for, where it has no star.
    pub(crate) fn literal_action(&self) -> Option<String> {
        self.terms().find_map(|term| match &term.predicate {
            Predicate::Text(TextField::Action, names) if !term.negated => {
                names.iter().find_map(|name| name.as_literal().map(str::to_owned))
            }
            _ => None,
        })
    }

    /// Returns the query without its terms on time.
    #[must_use]
    pub(crate) fn without_times(mut self) -> Self {
        for group in std::iter::once(&mut self.base).chain(&mut self.joined_groups) {
            group.times = TimeTerms::default();
            group.terms.retain(|term| !term.predicate.is_time());
        }
        self.joined_groups.retain(|terms| *terms != TermGroup::default());
        self
    }

    /// Returns the query with this span of time in place of its own.
    #[must_use]
    pub(crate) fn with_time_range(self, since: Timestamp, until: Timestamp) -> Self {
        self.without_times().and(Self::between(since, until))
    }

    /// Returns all terms except those on time, which are in the [bounds](Self::bounds).
    pub(crate) fn terms(&self) -> impl Iterator<Item = &Term> + Clone {
        self.groups().flat_map(|group| &group.terms)
    }

    /// Returns the span of time in which matching events occurred.
    pub(crate) fn bounds(&self) -> TimeBounds {
        let spans = self.terms().filter(|term| !term.negated);
        let spans = spans.filter_map(|term| term.predicate.occurred_within());
        spans.fold(self.window_bounds(), TimeBounds::intersection)
    }

    /// Returns the span of time that `since:`, `until:` and `days:` leave.
    fn window_bounds(&self) -> TimeBounds {
        self.groups()
            .fold(TimeBounds::default(), |bounds, group| bounds.intersection(group.times.bounds()))
    }

    fn groups(&self) -> impl Iterator<Item = &TermGroup> + Clone {
        std::iter::once(&self.base).chain(&self.joined_groups)
    }
}

impl TermGroup {
    /// Adds a term. Another value of a qualifier widens its term, another negated value excludes more,
    /// and another phrase narrows the query.
    fn add(&mut self, term: Term) {
        let same = self.terms.iter_mut().find(|existing| {
            existing.negated == term.negated && existing.predicate.same_qualifier(&term.predicate)
        });
        match same {
            Some(existing) => existing.predicate.widen(term.predicate),
            None => self.terms.push(term),
        }
    }
}

impl Predicate {
    /// Whether it is about a time.
    fn is_time(&self) -> bool {
        matches!(self, Self::Occurred(_) | Self::Recorded(_))
    }

    /// Returns the span in which an event occurred for which it holds, if it is about that.
    fn occurred_within(&self) -> Option<TimeBounds> {
        let Self::Occurred(ranges) = self else { return None };
        let first = ranges.iter().map(|range| range.from).min()?;
        let last = ranges.iter().map(|range| range.to).max()?;
        Some(TimeBounds {
            from: Some(first),
            to: last.as_nanos().checked_add(1).map(Timestamp::from_nanos),
        })
    }

    /// Whether both predicates have the same qualifier. Phrases are the same only where they are equal.
    fn same_qualifier(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Phrase(a), Self::Phrase(b)) => a == b,
            (Self::Text(a, _), Self::Text(b, _)) => a == b,
            (Self::Payload { key: a, .. }, Self::Payload { key: b, .. }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Joins the values of predicates with one qualifier; `None` if there are none.
    fn any_of(mut predicates: Vec<Self>) -> Option<Self> {
        // Neighbours first, so that no list is gone through once for each value.
        while predicates.len() > 1 {
            let mut joined = Vec::with_capacity(predicates.len().div_ceil(2));
            let mut rest = predicates.into_iter();
            while let Some(mut one) = rest.next() {
                if let Some(next) = rest.next() {
                    one.widen(next);
                }
                joined.push(one);
            }
            predicates = joined;
        }
        predicates.pop()
    }

    /// Adds the values of a predicate with the same qualifier.
    fn widen(&mut self, other: Self) {
        /// The number of values up to which each is compared with all others.
        const FEW: usize = 8;
        fn join<T: Clone + Eq + Hash>(all: &mut Vec<T>, more: Vec<T>) {
            if more.len() > FEW {
                let mut seen: HashSet<T> = all.iter().cloned().collect();
                all.extend(more.into_iter().filter(|value| seen.insert(value.clone())));
                return;
            }
            for value in more {
                if !all.contains(&value) {
                    all.push(value);
                }
            }
        }
        // Every variant has its arm, so that the compiler asks for that of a new one.
        match self {
            Self::Actor(all)
            | Self::Impersonator(all)
            | Self::Person(all)
            | Self::NotSystemOr(all) => {
                if let Self::Actor(more)
                | Self::Impersonator(more)
                | Self::Person(more)
                | Self::NotSystemOr(more) = other
                {
                    join(all, more);
                }
            }
            Self::Target(all) => {
                if let Self::Target(more) = other {
                    join(all, more);
                }
            }
            Self::Text(_, all) | Self::Payload { values: all, .. } => {
                if let Self::Text(_, more) | Self::Payload { values: more, .. } = other {
                    all.update(|all| join(all, more.to_vec()));
                }
            }
            Self::Id(all) => {
                if let Self::Id(more) = other {
                    join(all, more);
                }
            }
            Self::Source(all) => {
                if let Self::Source(more) = other {
                    join(all, more);
                }
            }
            Self::Severity(all) => {
                if let Self::Severity(more) = other {
                    join(all, more);
                }
            }
            Self::Status(all) => {
                if let Self::Status(more) = other {
                    join(all, more);
                }
            }
            Self::Ip(all) => {
                if let Self::Ip(more) = other {
                    join(all, more);
                }
            }
            Self::Is(all) => {
                if let Self::Is(more) = other {
                    join(all, more);
                }
            }
            Self::Has(all) => {
                if let Self::Has(more) = other {
                    join(all, more);
                }
            }
            Self::Changed(all) => {
                if let Self::Changed(more) = other {
                    all.update(|all| join(all, more.to_vec()));
                }
            }
            Self::Occurred(all) | Self::Recorded(all) => {
                if let Self::Occurred(more) | Self::Recorded(more) = other {
                    join(all, more);
                }
            }
            // The same phrase again says nothing new.
            Self::Phrase(_) => {}
        }
    }
}
