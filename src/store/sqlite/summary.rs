//! Summarizes events: the head of a search, the use of actions, the labels of ids, and suggestions
//! for a mistyped name.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;

use crate::query::Query;
use crate::store::ActionUsage;
use crate::store::EventSummary;
use crate::store::Occurrences;
use crate::store::Suggestion;
use crate::store::SuggestionKind;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::lookup::KeySet;
use crate::store::sqlite::plan::QueryPlan;
use crate::store::sqlite::row_keys::RowKeyMap;
use crate::store::sqlite::rows;
use crate::store::sqlite::sql::Sql;
use crate::text;
use crate::time::Timestamp;

/// The number of a key's events that are searched for a label in the requested tenant.
const LABEL_SEARCH_LIMIT: u32 = 20_000;

/// The number of suggestions for a name that is not in the log.
const MAX_SUGGESTIONS: usize = 3;

/// The number of similar names whose events are counted.
const MAX_CANDIDATES: usize = 50;

/// The number of events of a suggestion above which the count stops.
const COUNT_LIMIT: usize = 1_000_000;

/// The number of events of a key, and the times of the first and the last.
#[derive(Clone, Copy)]
struct KeyStats {
    count: u64,
    first: i64,
    last: i64,
}

/// The statistics of one dimension by key and tenant. Key 0 is no tenant.
#[derive(Default)]
struct StatsByKey(RowKeyMap<(i64, i64), KeyStats>);

impl StatsByKey {
    fn record(&mut self, key: i64, tenant: i64, at: i64) {
        let stats =
            self.0.entry((key, tenant)).or_insert(KeyStats { count: 0, first: at, last: at });
        stats.count += 1;
        stats.first = stats.first.min(at);
        stats.last = stats.last.max(at);
    }

    /// Reads the rows behind the keys, those with most events first.
    fn resolve_ranked<T>(
        &self,
        connection: &Connection,
        dimension: Dimension,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<Occurrences<T>>> {
        let keys: KeySet = self.0.keys().map(|(key, _)| *key).collect();
        let tenants = read_tenants(connection)?;
        let mut by_key: HashMap<i64, Vec<(i64, KeyStats)>> = HashMap::new();
        for ((key, tenant), stats) in &self.0 {
            by_key.entry(*key).or_default().push((*tenant, *stats));
        }
        let mut statement = connection.prepare_cached(dimension.statements().select_by_keys)?;
        let mut rows = statement.query([keys.to_json()])?;
        let mut all = Vec::with_capacity(keys.len());
        while let Some(row) = rows.next()? {
            let key: i64 = row.get("key")?;
            let value = Arc::new(read(row)?);
            for (tenant, stats) in by_key.remove(&key).unwrap_or_default() {
                let (first, last) =
                    (Timestamp::from_nanos(stats.first), Timestamp::from_nanos(stats.last));
                let value = Arc::clone(&value);
                let named = tenants.get(&tenant).cloned();
                all.push((
                    (key, tenant),
                    Occurrences { value, tenant: named, count: stats.count, first, last },
                ));
            }
        }
        // The keys are in the order of arrival; they make the order the same in every run.
        all.sort_by_key(|(keys, stats)| (std::cmp::Reverse((stats.count, stats.last)), *keys));
        Ok(all.into_iter().map(|(_, stats)| stats).collect())
    }
}

/// Returns the tenants by key, without the one that stands for none.
fn read_tenants(connection: &Connection) -> rusqlite::Result<HashMap<i64, Arc<str>>> {
    const SQL: &str = "SELECT key, text FROM tenant WHERE text > ''";
    let mut statement = connection.prepare_cached(SQL)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Counts events between points in time.
struct ActivityHistogram<'a> {
    edges: &'a [Timestamp],
}

impl ActivityHistogram<'_> {
    fn empty_counts(&self) -> Vec<u64> {
        vec![0; self.edges.len().saturating_sub(1)]
    }

    fn record(&self, counts: &mut [u64], at: i64) {
        let behind = self.edges.partition_point(|edge| edge.as_nanos() <= at);
        if let Some(count) = behind.checked_sub(1).and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }
}

impl Sqlite {
    pub(in crate::store) fn summary(
        &self,
        query: &Query,
        edges: &[Timestamp],
    ) -> Result<EventSummary> {
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            summarize(connection, &plan, &ActivityHistogram { edges })
        })
    }

    pub(in crate::store) fn action_usage(
        &self,
        query: &Query,
        edges: &[Timestamp],
    ) -> Result<Vec<ActionUsage>> {
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            summarize_actions(connection, &plan, &ActivityHistogram { edges })
        })
    }

    pub(in crate::store) fn actor_labels(
        &self,
        scope: &Query,
        actors: &[(Option<&str>, &str)],
    ) -> Result<Vec<Option<String>>> {
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, scope)?;
            const LABELS: &str = "SELECT key, label FROM actor WHERE id = ?1 AND label > ''";
            let label = |(tenant, id): &(Option<&str>, &str)| {
                newest_label(connection, &plan, *tenant, (LABELS, &[*id]), LAST_OF_ACTOR)
            };
            actors.iter().map(label).collect()
        })
    }

    pub(in crate::store) fn target_label(
        &self,
        scope: &Query,
        tenant: Option<&str>,
        (kind, id): (Option<&str>, &str),
    ) -> Result<Option<String>> {
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, scope)?;
            const LABELS: &str = "SELECT key, label FROM target \
                WHERE id = ?1 AND type = ?2 AND label > ''";
            let kind = kind.unwrap_or_default();
            newest_label(connection, &plan, tenant, (LABELS, &[id, kind]), LAST_OF_TARGET)
        })
    }

    pub(in crate::store) fn suggestions(
        &self,
        scope: &Query,
        kind: SuggestionKind,
        word: &str,
    ) -> Result<Vec<Suggestion>> {
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, scope)?;
            find_similar_names(connection, &plan, kind, word)
        })
    }
}

fn summarize(
    connection: &Connection,
    plan: &QueryPlan,
    activity: &ActivityHistogram<'_>,
) -> rusqlite::Result<EventSummary> {
    const COLUMNS: &str = "SELECT event.occurred_at, event.source, event.action, event.actor, \
        event.impersonator, event.target, event.tenant";
    let mut summary =
        EventSummary { histogram: activity.empty_counts(), ..EventSummary::default() };
    let (mut actions, mut actors) = (StatsByKey::default(), StatsByKey::default());
    let (mut impersonators, mut targets) = (StatsByKey::default(), StatsByKey::default());
    let mut span = (i64::MAX, i64::MIN);
    for sql in plan.all_statements(connection, COLUMNS)? {
        let mut statement = connection.prepare_cached(sql.text())?;
        let mut rows = statement.query(sql.params())?;
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            let tenant: i64 = row.get(6)?;
            summary.events += 1;
            span = (span.0.min(at), span.1.max(at));
            activity.record(&mut summary.histogram, at);
            // The same action in two tenants is one.
            actions.record(row.get(2)?, 0, at);
            match row.get(3)? {
                Some(actor) => actors.record(actor, tenant, at),
                None if matches!(row.get(1)?, 1 | 3) => summary.system += 1,
                None => summary.anonymous += 1,
            }
            if let Some(impersonator) = row.get(4)? {
                impersonators.record(impersonator, tenant, at);
            }
            if let Some(target) = row.get(5)? {
                targets.record(target, tenant, at);
            }
        }
    }
    if summary.events > 0 {
        summary.first = Some(Timestamp::from_nanos(span.0));
        summary.last = Some(Timestamp::from_nanos(span.1));
    }
    summary.actions = actions.resolve_ranked(connection, Dimension::Action, rows::read_action)?;
    summary.actors = actors.resolve_ranked(connection, Dimension::Actor, rows::read_party)?;
    summary.impersonators =
        impersonators.resolve_ranked(connection, Dimension::Actor, rows::read_party)?;
    summary.targets = targets.resolve_ranked(connection, Dimension::Target, rows::read_target)?;
    Ok(summary)
}

fn summarize_actions(
    connection: &Connection,
    plan: &QueryPlan,
    activity: &ActivityHistogram<'_>,
) -> rusqlite::Result<Vec<ActionUsage>> {
    let mut actions = StatsByKey::default();
    let mut counts: HashMap<i64, Vec<u64>> = HashMap::new();
    for sql in plan.all_statements(connection, "SELECT event.action, event.occurred_at")? {
        let mut statement = connection.prepare_cached(sql.text())?;
        let mut rows = statement.query(sql.params())?;
        while let Some(row) = rows.next()? {
            let (key, at) = (row.get(0)?, row.get(1)?);
            actions.record(key, 0, at);
            activity.record(counts.entry(key).or_insert_with(|| activity.empty_counts()), at);
        }
    }
    let named = actions.resolve_ranked(connection, Dimension::Action, |row| {
        Ok((row.get::<_, i64>("key")?, rows::read_action(row)?))
    })?;
    let mut usages: Vec<ActionUsage> = Vec::new();
    for Occurrences { value, count, last, .. } in named {
        let (key, action) = Arc::unwrap_or_clone(value);
        let activity = counts.remove(&key).unwrap_or_else(|| activity.empty_counts());
        match usages.iter_mut().find(|usage| usage.action == action.slug) {
            Some(usage) => {
                usage.count += count;
                usage.last = usage.last.max(last);
                if usage.module != action.module {
                    usage.module = None;
                }
                usage.histogram.iter_mut().zip(activity).for_each(|(sum, more)| *sum += more);
            }
            None => usages.push(ActionUsage {
                action: action.slug,
                module: action.module,
                count,
                last,
                histogram: activity,
            }),
        }
    }
    usages.sort_by(|a, b| a.action.cmp(&b.action));
    Ok(usages)
}

/// The events of an actor, and of a target, by their indexes.
const LAST_OF_ACTOR: &str = " FROM event INDEXED BY event_actor WHERE event.actor = ?";
const LAST_OF_TARGET: &str = " FROM event INDEXED BY event_target WHERE event.target = ?";

/// Returns the label that was used last in a tenant, among the rows that a statement finds.
fn newest_label(
    connection: &Connection,
    plan: &QueryPlan,
    tenant: Option<&str>,
    (labels, names): (&'static str, &[&str]),
    events: &'static str,
) -> rusqlite::Result<Option<String>> {
    if plan.matches_nothing {
        return Ok(None);
    }
    const TENANT: &str = "SELECT key FROM tenant WHERE text = ?1";
    let tenant: Option<i64> = connection
        .prepare_cached(TENANT)?
        .query_row([tenant.unwrap_or_default()], |row| row.get(0))
        .optional()?;
    let Some(tenant) = tenant else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(labels)?;
    let mut rows = statement.query(rusqlite::params_from_iter(names))?;
    let mut newest: Option<((i64, i64), String)> = None;
    while let Some(row) = rows.next()? {
        let place = last_seen(connection, plan, (events, row.get(0)?), tenant)?;
        if let Some(place) =
            place.filter(|place| newest.as_ref().is_none_or(|(known, _)| known < place))
        {
            newest = Some((place, row.get(1)?));
        }
    }
    Ok(newest.map(|(_, label)| label))
}

/// Returns the position of the last event of a key in a tenant.
fn last_seen(
    connection: &Connection,
    plan: &QueryPlan,
    (events, key): (&'static str, i64),
    tenant: i64,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut sql = Sql::new("SELECT event.occurred_at, event.id FROM (SELECT event.id AS id");
    sql.bind(events, key);
    plan.window.add_condition(&mut sql);
    // The same id may have very many events in other tenants.
    sql.bind(" ORDER BY event.occurred_at DESC, event.id DESC LIMIT ?", LABEL_SEARCH_LIMIT);
    sql.bind(") AS found CROSS JOIN event ON event.id = found.id WHERE event.tenant = ?", tenant);
    plan.add_filters(&mut sql, None);
    sql.add(" LIMIT 1");
    let mut statement = connection.prepare_cached(sql.text())?;
    statement.query_row(sql.params(), |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// The distance of a name from a word; the nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NameDistance {
    /// The name contains the word; the number is the length of the name in bytes.
    Contains(usize),
    /// A word of the name is spelt similarly.
    SimilarSpelling,
}

fn name_distance(word: &str, id: &str, folded_label: &str) -> Option<NameDistance> {
    let within = |text: &str| text.contains(word).then_some(NameDistance::Contains(text.len()));
    within(folded_label).or_else(|| within(&text::fold(id))).or_else(|| {
        let words = folded_label.split_whitespace().chain([folded_label, id]);
        text::nearest(word, words).map(|_| NameDistance::SimilarSpelling)
    })
}

fn find_similar_names(
    connection: &Connection,
    plan: &QueryPlan,
    kind: SuggestionKind,
    word: &str,
) -> rusqlite::Result<Vec<Suggestion>> {
    let (rows, events) = match kind {
        SuggestionKind::Actors => (
            "SELECT key, id, folded, label FROM actor",
            "SELECT 1 FROM event INDEXED BY event_actor WHERE event.actor = ?",
        ),
        SuggestionKind::Targets => (
            "SELECT key, id, folded, label FROM target",
            "SELECT 1 FROM event INDEXED BY event_target WHERE event.target = ?",
        ),
        SuggestionKind::Actions => (
            "SELECT key, slug AS id, slug AS folded, '' AS label FROM action",
            "SELECT 1 FROM event INDEXED BY event_action WHERE event.action = ?",
        ),
    };
    // In TYPE/ID the id is the part that is compared.
    let word = match (kind, word.split_once('/')) {
        (SuggestionKind::Targets, Some((_, id))) if !id.is_empty() => id,
        _ => word,
    };
    let word = text::fold(word);
    if plan.matches_nothing || word.is_empty() {
        return Ok(Vec::new());
    }
    let mut candidates: Vec<(NameDistance, i64, Suggestion)> = Vec::new();
    let mut statement = connection.prepare_cached(rows)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, folded) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
        if let Some(distance) = name_distance(&word, id, folded) {
            let suggestion = Suggestion {
                id: rows::optional_text(row, "id")?,
                label: rows::optional_text(row, "label")?,
                events: 0,
            };
            candidates.push((distance, row.get(0)?, suggestion));
        }
    }
    candidates.sort_by_key(|(distance, key, _)| (*distance, *key));
    candidates.truncate(MAX_CANDIDATES);
    for (_, key, suggestion) in &mut candidates {
        let mut sql = Sql::default();
        sql.bind(events, *key);
        plan.window.add_condition(&mut sql);
        plan.add_filters(&mut sql, None);
        suggestion.events =
            u64::try_from(sql.count_rows(connection, COUNT_LIMIT)?).unwrap_or(u64::MAX);
    }
    // A name without events that the caller may see is no suggestion.
    candidates.retain(|(_, _, suggestion)| suggestion.events > 0);
    candidates.sort_by_key(|(distance, key, suggestion)| {
        (
            matches!(distance, NameDistance::SimilarSpelling),
            std::cmp::Reverse(suggestion.events),
            *key,
        )
    });
    Ok(candidates.into_iter().take(MAX_SUGGESTIONS).map(|(_, _, suggestion)| suggestion).collect())
}
