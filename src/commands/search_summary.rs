//! The summary above the results of a search, and suggestions for a search that finds nothing.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::HashSet;

use anyhow::Result;

use crate::commands::nothing_found::describe_suggestions;
use crate::context::LogReader;
use crate::event::Party;
use crate::event::Target;
use crate::query::Predicate;
use crate::query::Query;
use crate::query::pattern::Pattern;
use crate::render;
use crate::render::SearchSubject;
use crate::store::Cursor;
use crate::store::EventSummary;
use crate::store::Occurrences;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::SuggestionKind;
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
        Ok(describe_suggestions(&reader.suggestions(kind, self.search_term)?))
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
        let uses: Vec<SubjectUse<'_>> = match self.subject {
            SearchSubject::Actor => {
                let parties = summary.actors.iter().chain(&summary.impersonators);
                let uses = parties.map(|row| SubjectUse {
                    kind: None,
                    id: row.value.id.as_deref(),
                    label: row.value.label.as_deref(),
                    tenant: row.tenant.as_deref(),
                    first: row.first,
                    count: row.count,
                });
                uses.collect()
            }
            SearchSubject::Target => {
                let uses = summary.targets.iter().map(|row| SubjectUse {
                    kind: row.value.kind.as_deref(),
                    id: row.value.id.as_deref(),
                    label: row.value.label.as_deref(),
                    tenant: row.tenant.as_deref(),
                    first: row.first,
                    count: row.count,
                });
                uses.collect()
            }
        };
        let subjects = self.subjects(&uses);
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
            subjects,
            types: sum_by_name(types),
            actions: sum_by_name(summary.actions.iter().map(|row| (&*row.value.slug, row.count))),
            people: match self.subject {
                SearchSubject::Actor => 0,
                SearchSubject::Target => others.len() as u64 - unnamed_actors(&summary),
            },
            others_total: others.len() as u64,
            others,
            monthly: summary.histogram,
        })
    }

    /// Returns the people or records of the search, most events first. The same id in another tenant or of
    /// another type is another one; so is the same name with another id.
    fn subjects(&self, uses: &[SubjectUse<'_>]) -> Vec<render::FoundSubject> {
        let mut groups: Vec<(SubjectKey<'_>, Vec<&SubjectUse<'_>>)> = Vec::new();
        for found in uses.iter().filter(|found| self.is_subject(found.kind, found.id, found.label))
        {
            let key = (found.tenant, found.kind, found.id.or(found.label));
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(found),
                None => groups.push((key, vec![found])),
            }
        }
        let tenants: HashSet<Option<&str>> = uses.iter().map(|found| found.tenant).collect();
        let has_tenants = tenants.len() > 1;
        let mut subjects: Vec<render::FoundSubject> = groups
            .iter()
            .map(|((tenant, ..), group)| {
                let found = group[0];
                let mut labels: Vec<(String, Timestamp)> = Vec::new();
                for used in group {
                    let Some(label) = used.label else { continue };
                    match labels.iter_mut().find(|(known, _)| known == label) {
                        Some((_, since)) => *since = used.first.min(*since),
                        None => labels.push((label.to_owned(), used.first)),
                    }
                }
                labels.sort_by_key(|(_, since)| Reverse(*since));
                render::FoundSubject {
                    id: found.id.map(|id| with_type(found.kind, id)),
                    tenant: tenant.filter(|_| has_tenants).map(str::to_owned),
                    labels,
                    events: group.iter().map(|used| used.count).sum(),
                    query: self.query_for(found, has_tenants),
                }
            })
            .collect();
        subjects.sort_by_key(|subject| Reverse(subject.events));
        subjects
    }

    /// Returns the query that picks one person or record among those of the search.
    fn query_for(&self, found: &SubjectUse<'_>, has_tenants: bool) -> String {
        let quoted = |text: &str| Pattern::literal(text).to_string();
        let mut terms = match (self.subject, found.kind, found.id, found.label) {
            (SearchSubject::Actor, _, Some(id), _) => format!("person:{}", quoted(id)),
            (SearchSubject::Actor, _, None, label) => {
                format!("actor_label:{} -has:actor_id", quoted(label.unwrap_or_default()))
            }
            (SearchSubject::Target, Some(kind), Some(id), _) => {
                format!("type:{} target_id:{}", quoted(kind), quoted(id))
            }
            (SearchSubject::Target, None, Some(id), _) => {
                format!("target_id:{} -has:target_type", quoted(id))
            }
            (SearchSubject::Target, kind, None, label) => {
                let kind = kind.map(|kind| format!("type:{} ", quoted(kind))).unwrap_or_default();
                let label = quoted(label.unwrap_or_default());
                format!("{kind}target_label:{label} -has:target_id")
            }
        };
        match found.tenant {
            Some(tenant) if has_tenants => {
                terms.push_str(" tenant:");
                terms.push_str(&quoted(tenant));
            }
            None if has_tenants => terms.push_str(" -has:tenant"),
            Some(_) | None => {}
        }
        terms
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

/// What tells people and records apart: tenant, type, and id or else label.
type SubjectKey<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// One use of a name, id and type within a tenant.
struct SubjectUse<'a> {
    kind: Option<&'a str>,
    id: Option<&'a str>,
    label: Option<&'a str>,
    tenant: Option<&'a str>,
    first: Timestamp,
    count: u64,
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

/// Returns how many of the actors are no people: the system, and nobody known.
fn unnamed_actors(summary: &EventSummary) -> u64 {
    u64::from(summary.system > 0) + u64::from(summary.anonymous > 0)
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
