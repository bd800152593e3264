//! The summary above the results of a search, and suggestions for a search that finds nothing.

use std::cmp::Reverse;
use std::collections::HashMap;

use anyhow::Result;

use crate::context::LogReader;
use crate::event::Party;
use crate::event::Target;
use crate::query::Predicate;
use crate::query::Query;
use crate::render;
use crate::render::SearchSubject;
use crate::store::Cursor;
use crate::store::EventSummary;
use crate::store::Occurrences;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::Suggestion;
use crate::store::SuggestionKind;
use crate::text;
use crate::time::Timestamp;
use crate::time::Zone;

/// The actor or target of a search.
pub(super) struct SubjectSearch<'a> {
    pub subject: SearchSubject,
    /// The name as it was typed.
    pub search_term: &'a str,
    /// The query for that name alone.
    pub subject_query: Query,
    /// Whether a filter narrows the search.
    pub has_filter: bool,
}

impl SubjectSearch<'_> {
    /// Describes the search, to say that it found nothing.
    pub(super) fn describe(&self) -> String {
        match self.subject {
            SearchSubject::Actor => format!("by {}", self.search_term),
            SearchSubject::Target => format!("of {}", self.search_term),
        }
    }

    /// Returns similar names: `Jerome Cruz (3, 141 events)`.
    pub(super) fn suggestions(&self, reader: &LogReader) -> Result<Vec<String>> {
        let kind = match self.subject {
            SearchSubject::Actor => SuggestionKind::Actors,
            SearchSubject::Target => SuggestionKind::Targets,
        };
        let describe = |Suggestion { id, label, events }: Suggestion| {
            let noun = if events == 1 { "event" } else { "events" };
            let events = format!("{} {noun}", text::format_thousands(events));
            match (label, id) {
                (Some(label), Some(id)) => format!("{label} ({id}, {events})"),
                (Some(name), None) | (None, Some(name)) => format!("{name} ({events})"),
                (None, None) => events,
            }
        };
        Ok(reader.suggestions(kind, self.search_term)?.into_iter().map(describe).collect())
    }

    /// Returns the counts and times of the events that the query matches.
    pub(super) fn summary(
        &self,
        reader: &LogReader,
        query: &Query,
        zone: &Zone,
    ) -> Result<render::SearchSummary> {
        let edge = |order| -> Result<Option<Timestamp>> {
            let page = PageRequest { order, after: None, skip: 0, limit: 1, up_to: None };
            let events = reader.page(query, &page)?;
            Ok(events.first().map(|event| Cursor::from_event(event).occurred_at))
        };
        let (first, last) = (edge(Order::OldestFirst)?, edge(Order::NewestFirst)?);
        let months =
            first.zip(last).map_or_else(Vec::new, |(first, last)| zone.month_starts(first, last));
        let summary = reader.summary(query, &months)?;
        let (labels, ids) = match self.subject {
            SearchSubject::Actor => {
                let parties = summary.actors.iter().chain(&summary.impersonators);
                let names = parties.map(|row| (None, &row.value.id, &row.value.label, row.first));
                self.labels_and_ids(names)
            }
            SearchSubject::Target => self.labels_and_ids(summary.targets.iter().map(|row| {
                let Target { kind, id, label } = &*row.value;
                (kind.as_deref(), id, label, row.first)
            })),
        };
        let others = match self.subject {
            SearchSubject::Actor => {
                sum_by_key(summary.targets.iter().map(|row| (target_key(&row.value), row)))
            }
            SearchSubject::Target => actor_counts(&summary),
        };
        let types = summary.targets.iter();
        let types = types.filter_map(|row| Some((row.value.kind.as_deref()?, row.count)));
        Ok(render::SearchSummary {
            subject: self.subject,
            search_term: self.search_term.to_owned(),
            events: summary.events,
            first: first.unwrap_or(Timestamp::from_nanos(0)),
            last: last.unwrap_or(Timestamp::from_nanos(0)),
            labels,
            ids,
            types: sum_by_name(types),
            actions: sum_by_name(summary.actions.iter().map(|row| (&*row.value.slug, row.count))),
            others_total: others.len() as u64,
            others,
            monthly: summary.histogram,
        })
    }

    /// Returns the labels of the subject, each with the time of its first event, newest first; and its
    /// ids, most frequent first. Leaves out other actors and targets of the same events.
    fn labels_and_ids<'a>(
        &self,
        rows: impl Iterator<Item = (Option<&'a str>, &'a Option<String>, &'a Option<String>, Timestamp)>,
    ) -> (Vec<(String, Timestamp)>, Vec<String>) {
        let (mut labels, mut ids) = (Vec::<(String, Timestamp)>::new(), Vec::new());
        for (kind, id, label, first) in rows {
            if !self.is_subject(kind, id.as_deref(), label.as_deref()) {
                continue;
            }
            if let Some(label) = label {
                match labels.iter_mut().find(|(known, _)| known == label) {
                    Some((_, since)) => *since = first.min(*since),
                    None => labels.push((label.clone(), first)),
                }
            }
            let id = id.as_ref().map(|id| with_type(kind, id));
            ids.extend(id.filter(|id| !ids.contains(id)));
        }
        labels.sort_by_key(|(_, since)| Reverse(*since));
        (labels, ids)
    }

    fn is_subject(&self, kind: Option<&str>, id: Option<&str>, label: Option<&str>) -> bool {
        self.subject_query.terms().any(|term| match &term.predicate {
            Predicate::Person(names) => names.iter().any(|name| name.matches(id, label)),
            Predicate::Target(records) => {
                records.iter().any(|record| record.matches(kind, id, label))
            }
            _ => false,
        })
    }
}

/// Returns the actors with their numbers of events, most first. `None` is the system.
fn actor_counts(summary: &EventSummary) -> Vec<(Option<String>, u64)> {
    let mut actors = sum_by_key(summary.actors.iter().map(|row| {
        let Party { id, label } = &*row.value;
        let first_of = |first: &Option<String>, second: &Option<String>| {
            first.clone().or_else(|| second.clone()).unwrap_or_default()
        };
        (NamedKey { key: first_of(id, label), name: first_of(label, id) }, row)
    }));
    let unnamed = [(None, summary.system), (Some("(anonymous)".to_owned()), summary.anonymous)];
    actors.extend(unnamed.into_iter().filter(|(_, count)| *count > 0));
    actors.sort_by_key(|(_, count)| Reverse(*count));
    actors
}

/// The identity of an actor or target, and the name to show for it.
struct NamedKey {
    key: String,
    name: String,
}

fn target_key(target: &Target) -> NamedKey {
    let Target { kind, id, label } = target;
    let key = match (id, label) {
        (Some(id), _) => with_type(kind.as_deref(), id),
        (None, Some(label)) => with_type(kind.as_deref(), label),
        (None, None) => kind.clone().unwrap_or_default(),
    };
    NamedKey { name: label.clone().unwrap_or_else(|| key.clone()), key }
}

fn with_type(kind: Option<&str>, id: &str) -> String {
    kind.map_or_else(|| id.to_owned(), |kind| format!("{kind}/{id}"))
}

/// Sums the counts of rows with the same key, under the newest of their names; most first.
fn sum_by_key<'a, T: 'a>(
    rows: impl Iterator<Item = (NamedKey, &'a Occurrences<T>)>,
) -> Vec<(Option<String>, u64)> {
    let mut sums = HashMap::<String, (String, Timestamp, u64)>::new();
    for (NamedKey { key, name }, row) in rows {
        let sum = sums.entry(key).or_insert((String::new(), row.last, 0));
        if sum.0.is_empty() || row.last > sum.1 {
            (sum.0, sum.1) = (name, row.last);
        }
        sum.2 += row.count;
    }
    let mut sums: Vec<_> = sums.into_values().map(|(name, _, count)| (Some(name), count)).collect();
    sums.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    sums
}

/// Sums the counts of rows with the same name; most first.
fn sum_by_name<'a>(rows: impl Iterator<Item = (&'a str, u64)>) -> Vec<(String, u64)> {
    let mut sums = HashMap::<&str, u64>::new();
    for (name, count) in rows {
        *sums.entry(name).or_default() += count;
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    sums.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    sums
}
