//! Counts the events of a central store: the head of a search, and the use of actions; and finds the
//! labels of ids.
//!
//! Where SQL says all of a query the server counts. Where it does not, the events are read and counted
//! here, which costs as much as an export of them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use anyhow::Result;

use crate::event;
use crate::event::Action;
use crate::event::Event;
use crate::event::Party;
use crate::event::Target;
use crate::event::own_events;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::store::ActionUsage;
use crate::store::EventSummary;
use crate::store::Occurrences;
use crate::store::central::CentralError;
use crate::store::central::read::CentralEngine;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::fragment::SqlValue;
use crate::store::central::read::plan::CentralPlan;
use crate::store::digest::DailyCounts;
use crate::time::Span;
use crate::time::Timestamp;

/// The values of a row as text; an absent one is NULL.
pub(super) type TextRow = Vec<Option<String>>;

/// How often something occurs, and when first and last.
#[derive(Clone, Copy)]
struct Seen {
    count: u64,
    first: i64,
    last: i64,
}

/// What is seen of each value in each tenant.
struct SeenValues<T>(HashMap<(T, Option<Arc<str>>), Seen>);

impl<T> Default for SeenValues<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> SeenValues<T> {
    fn add(&mut self, value: T, tenant: Option<Arc<str>>, more: Seen) {
        let seen = self.0.entry((value, tenant)).or_insert(Seen { count: 0, ..more });
        seen.count += more.count;
        seen.first = seen.first.min(more.first);
        seen.last = seen.last.max(more.last);
    }

    /// Returns the values, that of most events first.
    fn ranked<K: Ord>(self, order: impl Fn(&T) -> K) -> Vec<Occurrences<T>> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.sort_by_cached_key(|((value, tenant), seen)| {
            (Reverse((seen.count, seen.last)), order(value), tenant.clone())
        });
        let occurrences = all.into_iter().map(|((value, tenant), seen)| Occurrences {
            value: Arc::new(value),
            tenant,
            count: seen.count,
            first: Timestamp::from_nanos(seen.first),
            last: Timestamp::from_nanos(seen.last),
        });
        occurrences.collect()
    }
}

/// The summary of events while they are counted.
#[derive(Default)]
struct SummaryTally {
    summary: EventSummary,
    actions: SeenValues<Action>,
    actors: SeenValues<Party>,
    impersonators: SeenValues<Party>,
    targets: SeenValues<Target>,
}

impl SummaryTally {
    fn new(edges: &[Timestamp]) -> Self {
        let histogram = vec![0; edges.len().saturating_sub(1)];
        Self { summary: EventSummary { histogram, ..EventSummary::default() }, ..Self::default() }
    }

    fn add(&mut self, event: Event, edges: &[Timestamp]) {
        let at = event.occurred_at;
        let seen = Seen { count: 1, first: at.as_nanos(), last: at.as_nanos() };
        let summary = &mut self.summary;
        summary.events += 1;
        summary.first = Some(summary.first.map_or(at, |first| first.min(at)));
        summary.last = summary.last.max(Some(at));
        add_to_histogram(&mut summary.histogram, bucket_of(edges, at), 1);
        self.actions.add(Arc::unwrap_or_clone(event.action), None, seen);
        match event.actor {
            Some(actor) => {
                self.actors.add(Arc::unwrap_or_clone(actor), event.tenant.clone(), seen);
            }
            None if event.source.is_system() => summary.system += 1,
            None => summary.anonymous += 1,
        }
        if let Some(impersonator) = event.impersonator {
            let party = Arc::unwrap_or_clone(impersonator);
            self.impersonators.add(party, event.tenant.clone(), seen);
        }
        if let Some(target) = event.target {
            self.targets.add(Arc::unwrap_or_clone(target), event.tenant, seen);
        }
    }

    fn into_summary(self) -> EventSummary {
        let party = |party: &Party| (party.id.clone(), party.label.clone());
        EventSummary {
            actions: self.actions.ranked(|action| (action.slug.clone(), action.module.clone())),
            actors: self.actors.ranked(party),
            impersonators: self.impersonators.ranked(party),
            targets: self
                .targets
                .ranked(|target| (target.kind.clone(), target.id.clone(), target.label.clone())),
            ..self.summary
        }
    }
}

/// The number of edges at or before a time.
fn bucket_of(edges: &[Timestamp], at: Timestamp) -> usize {
    edges.partition_point(|edge| *edge <= at)
}

/// Counts events that have so many edges at or before them.
fn add_to_histogram(histogram: &mut [u64], bucket: usize, count: u64) {
    if let Some(sum) = bucket.checked_sub(1).and_then(|place| histogram.get_mut(place)) {
        *sum += count;
    }
}

impl CentralEngine {
    pub(in crate::store) fn summary(
        &self,
        query: &Query,
        edges: &[Timestamp],
    ) -> Result<EventSummary> {
        let plan = self.plan(query);
        let mut tally = SummaryTally::new(edges);
        if plan.is_exact {
            self.count_all(&plan, edges, &mut tally)?;
        } else {
            self.each(query, TimeBounds::default(), false, &mut |event| {
                tally.add(event, edges);
                Ok(())
            })?;
        }
        Ok(tally.into_summary())
    }

    /// Lets the server count all of a summary.
    fn count_all(
        &self,
        plan: &CentralPlan,
        edges: &[Timestamp],
        tally: &mut SummaryTally,
    ) -> Result<(), CentralError> {
        const NO_ACTOR: &str = "actor_id IS NULL AND actor_label IS NULL";
        let totals = format!(
            "count(*), min(occurred_at), max(occurred_at), \
             sum(CASE WHEN {NO_ACTOR} AND source IN (1, 3) THEN 1 ELSE 0 END), \
             sum(CASE WHEN {NO_ACTOR} AND source NOT IN (1, 3) THEN 1 ELSE 0 END)"
        );
        let columns = "log, id, occurred_at, source, actor_id, actor_label";
        let rows = self.grouped(plan, &Fragment::new(totals), columns, 5, "")?;
        let Some(row) = rows.first().filter(|row| number(row, 0) > 0) else { return Ok(()) };
        let summary = &mut tally.summary;
        summary.events = number(row, 0);
        summary.first = time(row, 1);
        summary.last = time(row, 2);
        summary.system = number(row, 3);
        summary.anonymous = number(row, 4);
        if edges.len() > 1 {
            let mut sql = self.bucket(edges);
            // Old servers of ClickHouse take a column for unused that only a lambda names.
            sql.add(" AS g1, count(*), max(occurred_at)");
            for row in self.grouped(plan, &sql, "log, id, occurred_at", 3, " GROUP BY g1")? {
                let bucket = usize::try_from(number(&row, 0)).unwrap_or(0);
                add_to_histogram(&mut summary.histogram, bucket, number(&row, 1));
            }
        }
        for row in self.seen(plan, ["action", "module"], "")? {
            let module = row[1].clone();
            tally.actions.add(Action { slug: text(&row, 0), module }, None, seen(&row, 2));
        }
        let parties = [
            (["actor_id", "actor_label", "tenant"], &mut tally.actors),
            (["impersonator_id", "impersonator_label", "tenant"], &mut tally.impersonators),
        ];
        for (columns, parties) in parties {
            for row in self.seen(plan, columns, &present(&columns[..2]))? {
                let party = Party { id: row[0].clone(), label: row[1].clone() };
                parties.add(party, tenant(row[2].as_deref()), seen(&row, 3));
            }
        }
        let columns = ["target_type", "target_id", "target_label", "tenant"];
        for row in self.seen(plan, columns, &present(&columns[..3]))? {
            let [kind, id, label] = [0, 1, 2].map(|place| row[place].clone());
            tally.targets.add(Target { kind, id, label }, tenant(row[3].as_deref()), seen(&row, 4));
        }
        Ok(())
    }

    pub(in crate::store) fn action_usage(
        &self,
        query: &Query,
        edges: &[Timestamp],
    ) -> Result<Vec<ActionUsage>> {
        let plan = self.plan(query);
        let mut usages = ActionUsages { edges: edges.len(), usages: HashMap::new() };
        if plan.is_exact {
            let mut sql = Fragment::new("action AS g1, module AS g2, ");
            sql.append(&self.bucket(edges)).add(" AS g3, count(*), max(occurred_at)");
            let columns = "log, id, action, module, occurred_at";
            for row in self.grouped(&plan, &sql, columns, 5, " GROUP BY g1, g2, g3")? {
                let action = Action { slug: text(&row, 0), module: row[1].clone() };
                let bucket = usize::try_from(number(&row, 2)).unwrap_or(0);
                let last = time(&row, 4).unwrap_or(Timestamp::from_nanos(0));
                usages.add(action, bucket, number(&row, 3), last);
            }
        } else {
            self.each(query, TimeBounds::default(), false, &mut |event| {
                let at = event.occurred_at;
                usages.add(Arc::unwrap_or_clone(event.action), bucket_of(edges, at), 1, at);
                Ok(())
            })?;
        }
        let mut usages: Vec<ActionUsage> = usages.usages.into_values().collect();
        usages.sort_by(|a, b| a.action.cmp(&b.action));
        Ok(usages)
    }

    /// Counts the events of every action in each of the last periods of 24 hours before a time.
    pub(in crate::store) fn daily_counts(
        &self,
        until: Timestamp,
        days: usize,
    ) -> Result<Vec<DailyCounts>> {
        let day = Span::from_seconds(86_400);
        let mut edges = vec![until];
        for _ in 0..days {
            edges.push(edges.last().map_or(until, |edge| edge.saturating_sub(day)));
        }
        edges.reverse();
        let plan = self.plan(&Query::between(edges[0], until));
        let mut sql = Fragment::new(
            "action AS g1, module AS g2, CASE WHEN status_code >= 400 THEN 1 ELSE 0 END AS g3, ",
        );
        sql.append(&self.bucket(&edges)).add(" AS g4, count(*), max(occurred_at)");
        let columns = "log, id, action, module, status_code, occurred_at";
        let mut counts: HashMap<(Action, bool), Vec<u64>> = HashMap::new();
        for row in self.grouped(&plan, &sql, columns, 6, " GROUP BY g1, g2, g3, g4")? {
            let action = Action { slug: text(&row, 0), module: row[1].clone() };
            if own_events::is_reserved(&action.slug) {
                continue;
            }
            let failed = number(&row, 2) == 1 || event::is_failure_action(&action.slug);
            let bucket = usize::try_from(number(&row, 3)).unwrap_or(0);
            let counts = counts.entry((action, failed)).or_insert_with(|| vec![0; days]);
            add_to_histogram(counts, bucket, number(&row, 4));
        }
        let counts = counts.into_iter().map(|((action, failed), counts)| DailyCounts {
            action: Arc::new(action),
            failed,
            counts,
        });
        let mut counts: Vec<DailyCounts> = counts.collect();
        let key = |daily: &DailyCounts| {
            (daily.action.slug.clone(), daily.action.module.clone(), daily.failed)
        };
        counts.sort_by_cached_key(key);
        Ok(counts)
    }

    /// Returns the time of the last event of an action before a time, among those that failed or among
    /// those that did not.
    pub(in crate::store) fn last_occurrence(
        &self,
        action: &Action,
        failed: bool,
        until: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let mut query = Query::for_outcome(action, failed);
        query.narrow_to_before(until);
        Ok(self.newest(&query)?.map(|event| event.occurred_at))
    }

    /// Returns the expression of the number of edges at or before the time of an event.
    fn bucket(&self, edges: &[Timestamp]) -> Fragment {
        let edges: Vec<i64> = edges.iter().map(|edge| edge.as_nanos()).collect();
        let mut sql;
        match self.server.dialect() {
            _ if edges.is_empty() => sql = Fragment::new("0"),
            SqlDialect::Postgres => {
                sql = Fragment::new("width_bucket(occurred_at, ");
                sql.bind(SqlValue::Integers(edges)).add(")");
            }
            SqlDialect::ClickHouse => {
                sql = Fragment::new("arrayCount(edge -> edge <= occurred_at, ");
                sql.bind(SqlValue::Integers(edges)).add(")");
            }
        }
        sql
    }

    /// Returns columns of the matching rows, with the number of the rows that have them, and when they
    /// were first and last.
    fn seen<const N: usize>(
        &self,
        plan: &CentralPlan,
        columns: [&str; N],
        condition: &str,
    ) -> Result<Vec<TextRow>, CentralError> {
        let names = columns.join(", ");
        let selected =
            Fragment::new(format!("{names}, count(*), min(occurred_at), max(occurred_at)"));
        let rows = format!("log, id, occurred_at, {names}");
        self.grouped(plan, &selected, &rows, N + 3, &format!("{condition} GROUP BY {names}"))
    }

    /// Reads so many expressions over columns of the matching rows.
    pub(super) fn grouped(
        &self,
        plan: &CentralPlan,
        expressions: &Fragment,
        columns: &str,
        count: usize,
        end: &str,
    ) -> Result<Vec<TextRow>, CentralError> {
        let mut sql = Fragment::new("SELECT ");
        sql.append(expressions).add(" FROM ");
        sql.append(&plan.all_rows(columns, self.server.table())).add(end);
        self.server.read_texts(&sql, count)
    }

    /// Returns the labels of actors by tenant and id: that of the newest event within the scope that has
    /// one.
    pub(in crate::store) fn actor_labels(
        &self,
        scope: &Query,
        actors: &[(Option<&str>, &str)],
    ) -> Result<Vec<Option<String>>> {
        let label = |(tenant, id): &(Option<&str>, &str)| {
            let of_actor = Query::for_actor_with_label(*tenant, id);
            let newest = self.newest(&of_actor.and(scope.clone()))?;
            Ok(newest.and_then(|event| event.actor.as_ref()?.label.clone()))
        };
        actors.iter().map(label).collect()
    }

    pub(in crate::store) fn target_label(
        &self,
        scope: &Query,
        tenant: Option<&str>,
        (kind, id): (Option<&str>, &str),
    ) -> Result<Option<String>> {
        let of_target = Query::for_target_with_label(tenant, kind, id);
        let newest = self.newest(&of_target.and(scope.clone()))?;
        Ok(newest.and_then(|event| event.target.as_ref()?.label.clone()))
    }
}

/// The use of actions while it is counted.
struct ActionUsages {
    edges: usize,
    usages: HashMap<String, ActionUsage>,
}

impl ActionUsages {
    fn add(&mut self, action: Action, bucket: usize, count: u64, last: Timestamp) {
        let Action { slug, module } = action;
        let usage = self.usages.entry(slug.clone()).or_insert_with(|| ActionUsage {
            action: slug,
            module: module.clone(),
            count: 0,
            last,
            histogram: vec![0; self.edges.saturating_sub(1)],
        });
        if usage.module != module {
            usage.module = None;
        }
        usage.count += count;
        usage.last = usage.last.max(last);
        add_to_histogram(&mut usage.histogram, bucket, count);
    }
}

/// Returns the condition that one of the columns has a value, behind the rows that are counted.
fn present(columns: &[&str]) -> String {
    let present: Vec<String> = columns.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    format!(" WHERE {}", present.join(" OR "))
}

fn tenant(text: Option<&str>) -> Option<Arc<str>> {
    text.filter(|text| !text.is_empty()).map(Arc::from)
}

pub(super) fn text(row: &[Option<String>], place: usize) -> String {
    row.get(place).cloned().flatten().unwrap_or_default()
}

pub(super) fn number(row: &[Option<String>], place: usize) -> u64 {
    text(row, place).parse().unwrap_or(0)
}

fn time(row: &[Option<String>], place: usize) -> Option<Timestamp> {
    text(row, place).parse().ok().map(Timestamp::from_nanos)
}

/// Reads a number of rows and two times.
fn seen(row: &[Option<String>], place: usize) -> Seen {
    let nanos = |place| text(row, place).parse().unwrap_or(0);
    Seen { count: number(row, place), first: nanos(place + 1), last: nanos(place + 2) }
}

/// Returns the one number of an answer.
pub(super) fn first_number(rows: &[TextRow]) -> u64 {
    rows.first().map_or(0, |row| number(row, 0))
}
