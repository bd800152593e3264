//! What heads a search, and who may have been meant where it found nothing: the log's figures in the
//! words of the page.

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

/// Who or what is searched for.
pub(super) struct SubjectSearch<'a> {
    pub subject: SearchSubject,
    /// As it was typed.
    pub search_term: &'a str,
    /// The same as a query.
    pub subject_query: Query,
    /// Whether a filter narrows it besides.
    pub has_filter: bool,
}

impl SubjectSearch<'_> {
    /// What was looked for, to say that it was not found.
    pub(super) fn describe(&self) -> String {
        match self.subject {
            SearchSubject::Actor => format!("by {}", self.search_term),
            SearchSubject::Target => format!("of {}", self.search_term),
        }
    }

    /// Who may have been meant: `Jerome Cruz (3, 141 events)`.
    pub(super) fn suggestions(&self, reader: &LogReader) -> Result<Vec<String>> {
        let side = match self.subject {
            SearchSubject::Actor => SuggestionKind::Actors,
            SearchSubject::Target => SuggestionKind::Targets,
        };
        let told = |Suggestion { id, label, events }: Suggestion| {
            let noun = if events == 1 { "event" } else { "events" };
            let events = format!("{} {noun}", text::format_thousands(events));
            match (label, id) {
                (Some(label), Some(id)) => format!("{label} ({id}, {events})"),
                (Some(name), None) | (None, Some(name)) => format!("{name} ({events})"),
                (None, None) => events,
            }
        };
        Ok(reader.suggestions(side, self.search_term)?.into_iter().map(told).collect())
    }

    /// The figures of what the query finds.
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
        let figures = reader.summary(query, &months)?;
        let (labels, ids) = match self.subject {
            SearchSubject::Actor => {
                let parties = figures.actors.iter().chain(&figures.impersonators);
                let names =
                    parties.map(|seen| (None, &seen.value.id, &seen.value.label, seen.first));
                self.labels_and_ids(names)
            }
            SearchSubject::Target => self.labels_and_ids(figures.targets.iter().map(|seen| {
                let Target { kind, id, label } = &*seen.value;
                (kind.as_deref(), id, label, seen.first)
            })),
        };
        let others = match self.subject {
            SearchSubject::Actor => {
                sum_by_key(figures.targets.iter().map(|seen| (target_key(&seen.value), seen)))
            }
            SearchSubject::Target => actor_counts(&figures),
        };
        let types = figures.targets.iter();
        let types = types.filter_map(|seen| Some((seen.value.kind.as_deref()?, seen.count)));
        Ok(render::SearchSummary {
            subject: self.subject,
            search_term: self.search_term.to_owned(),
            events: figures.events,
            first: first.unwrap_or(Timestamp::from_nanos(0)),
            last: last.unwrap_or(Timestamp::from_nanos(0)),
            labels,
            ids,
            types: sum_by_name(types),
            actions: sum_by_name(
                figures.actions.iter().map(|seen| (&*seen.value.slug, seen.count)),
            ),
            others_total: others.len() as u64,
            others,
            monthly: figures.histogram,
        })
    }

    /// The labels of the one who is searched for, each with the time since it was seen, the newest
    /// first; and the ids, the most frequent first. Others in the same events are left out.
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

/// Who did something, with the events of each, most first; the system and nobody known among them.
fn actor_counts(figures: &EventSummary) -> Vec<(Option<String>, u64)> {
    let mut doers = sum_by_key(figures.actors.iter().map(|seen| {
        let Party { id, label } = &*seen.value;
        let of = |first: &Option<String>, second: &Option<String>| {
            first.clone().or_else(|| second.clone()).unwrap_or_default()
        };
        (NamedKey { key: of(id, label), name: of(label, id) }, seen)
    }));
    let nobody = [(None, figures.system), (Some("(anonymous)".to_owned()), figures.anonymous)];
    doers.extend(nobody.into_iter().filter(|(_, count)| *count > 0));
    doers.sort_by_key(|(_, count)| Reverse(*count));
    doers
}

/// Somebody or something: what tells it from others, and how a page calls it.
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

/// Adds up what is the same under several labels; it is called by the newest.
fn sum_by_key<'a, T: 'a>(
    rows: impl Iterator<Item = (NamedKey, &'a Occurrences<T>)>,
) -> Vec<(Option<String>, u64)> {
    let mut sums = HashMap::<String, (String, Timestamp, u64)>::new();
    for (NamedKey { key, name }, seen) in rows {
        let sum = sums.entry(key).or_insert((String::new(), seen.last, 0));
        if sum.0.is_empty() || seen.last > sum.1 {
            (sum.0, sum.1) = (name, seen.last);
        }
        sum.2 += seen.count;
    }
    let mut sums: Vec<_> = sums.into_values().map(|(name, _, count)| (Some(name), count)).collect();
    sums.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    sums
}

/// Adds up what has the same name, most first.
fn sum_by_name<'a>(rows: impl Iterator<Item = (&'a str, u64)>) -> Vec<(String, u64)> {
    let mut sums = HashMap::<&str, u64>::new();
    for (name, count) in rows {
        *sums.entry(name).or_default() += count;
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    sums.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    sums
}
