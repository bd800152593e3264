//! How a query is answered: every term as a condition, and which index leads to the events.
//!
//! SQLite's own planner does not see how many events a set of keys stands for. So the keys are found
//! first, their events counted as far as it matters, and the leading index is named in the
//! statement. All ways find the same; a property test holds each of them to `Query::matches`.

use std::rc::Rc;

use rusqlite::Connection;
use rusqlite::Result;

use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TimeBounds;
use crate::query::value::EventProperty;
use crate::store::sqlite::lookup;
use crate::store::sqlite::sql::Sql;
use crate::store::sqlite::terms;
use crate::store::sqlite::terms::BY_ACTION;
use crate::store::sqlite::terms::BY_FAILURE;
use crate::store::sqlite::terms::ConditionCost;
use crate::store::sqlite::terms::IndexScan;
use crate::store::sqlite::terms::MAX_GATHERED_EVENTS;
use crate::time::Timestamp;

/// So many keys are walked side by side in the order of time; SQLite's limit is 500.
const MAX_MERGED_KEYS: usize = 64;

/// Where ways lead to more, the lesser of them counts up to here.
const MAX_COUNTED_EVENTS: usize = 400_000;

/// The plan of the query that was asked last.
#[derive(Default)]
pub(super) struct PlanCache(pub Option<(Query, DataVersion, Rc<QueryPlan>)>);

/// The state of a log that a plan holds for: the last write of another connection, and the number of
/// rows that this one wrote.
pub(super) type DataVersion = (i64, u64);

/// A query in terms of one snapshot of a log.
pub(super) struct QueryPlan {
    /// One for each term, the cheap ones first.
    filters: Vec<TermFilter>,
    access_paths: Vec<AccessPath>,
    pub window: TimeWindow,
    /// Whether some term names nothing that is in the log.
    pub matches_nothing: bool,
}

struct TermFilter {
    /// Which of the query's terms.
    term_index: usize,
    cost: ConditionCost,
    condition: Sql,
}

/// An index, or several, that lead to the events of one term.
pub(super) struct AccessPath {
    term_index: usize,
    scans: Vec<IndexScan>,
}

/// The part of time that is looked at, both ends included, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeWindow {
    pub earliest: i64,
    pub latest: i64,
}

impl TimeWindow {
    pub(super) const ALL: Self = Self { earliest: i64::MIN, latest: i64::MAX };

    /// The window of these bounds, unless nothing is in it.
    fn from_bounds(bounds: TimeBounds) -> Option<Self> {
        let least = bounds.from.map_or(i64::MIN, Timestamp::as_nanos);
        let most = match bounds.to {
            // The end is not in it; before the first nanosecond there is nothing.
            Some(to) => to.as_nanos().checked_sub(1)?,
            None => i64::MAX,
        };
        (least <= most).then_some(Self { earliest: least, latest: most })
    }

    /// Adds the condition, in a form that an index on the time serves.
    pub(super) fn add_condition(&self, sql: &mut Sql) {
        sql.bind(" AND event.occurred_at BETWEEN ?", self.earliest).bind(" AND ?", self.latest);
    }
}

/// What finds the events.
pub(super) enum ReadStrategy<'a> {
    /// The order of time; every condition is tried on each event.
    TimeOrder,
    /// A few keys, side by side in the order of time.
    Merge(&'a AccessPath),
    /// Few events: all are collected, and sorted then.
    Gather(&'a AccessPath),
}

impl QueryPlan {
    pub(super) fn new(connection: &Connection, query: &Query) -> Result<Self> {
        let window = TimeWindow::from_bounds(query.bounds());
        let mut plan = Self {
            filters: Vec::new(),
            access_paths: Vec::new(),
            window: window.unwrap_or(TimeWindow::ALL),
            matches_nothing: window.is_none(),
        };
        for (place, term) in query.terms().enumerate() {
            plan.add_term(connection, place, term)?;
        }
        plan.add_failure_path(connection, query)?;
        plan.filters.sort_by_key(|filter| filter.cost);
        Ok(plan)
    }

    fn add_term(&mut self, connection: &Connection, place: usize, term: &Term) -> Result<()> {
        let (cost, condition, arms) = terms::compile(connection, &term.predicate)?;
        let mut filter = TermFilter { term_index: place, cost, condition };
        if term.negated {
            // An event without the field is excluded by nothing.
            let mut negated = Sql::default();
            negated.append(&filter.condition).add(" IS NOT TRUE");
            filter.condition = negated;
        } else if let Some(arms) = arms {
            self.add_access_path(place, arms);
        }
        self.filters.push(filter);
        Ok(())
    }

    /// Failures have an index within each action, so the ways of the actions narrow theirs.
    fn add_failure_path(&mut self, connection: &Connection, query: &Query) -> Result<()> {
        let Some(term) = query.terms().position(|term| {
            !term.negated && matches!(&term.predicate, Predicate::Is(all) if all.as_slice() == [EventProperty::Failed])
        }) else {
            return Ok(());
        };
        let mut actions = lookup::all_actions(connection)?;
        for way in &self.access_paths {
            if let [arm] = way.scans.as_slice()
                && std::ptr::eq(arm.index, &BY_ACTION)
            {
                actions = actions.intersection(&arm.keys);
            }
        }
        let named = lookup::failure_actions(connection)?.intersection(&actions);
        let arms = [(&BY_FAILURE, actions), (&BY_ACTION, named)];
        let arms = arms.into_iter().map(|(index, keys)| IndexScan { index, keys });
        self.add_access_path(term, arms.collect());
        Ok(())
    }

    /// Takes the arms for a way to all that a term means.
    fn add_access_path(&mut self, term: usize, mut arms: Vec<IndexScan>) {
        arms.retain(|arm| !arm.keys.is_empty());
        if arms.is_empty() {
            self.matches_nothing = true;
        } else {
            self.access_paths.push(AccessPath { term_index: term, scans: arms });
        }
    }

    /// Adds every condition but that of the term to which the way leads.
    pub(super) fn add_filters(&self, sql: &mut Sql, but: Option<&AccessPath>) {
        for filter in &self.filters {
            if but.is_none_or(|way| way.term_index != filter.term_index) {
                sql.add(" AND ").append(&filter.condition);
            }
        }
    }

    /// What finds a page fastest.
    pub(super) fn choose_strategy(
        &self,
        connection: &Connection,
        window: TimeWindow,
    ) -> Result<ReadStrategy<'_>> {
        if let [way] = self.access_paths.as_slice()
            && way.can_merge()
            && (window == TimeWindow::ALL || self.filters.len() == 1)
        {
            return Ok(ReadStrategy::Merge(way));
        }
        for limit in [MAX_GATHERED_EVENTS / 20, MAX_GATHERED_EVENTS] {
            let mut least = (limit, None);
            if window != TimeWindow::ALL && !self.access_paths.is_empty() {
                let count = window.count(connection, limit)?;
                if count < limit {
                    least = (count, Some(ReadStrategy::TimeOrder));
                }
            }
            for way in &self.access_paths {
                let count = way.count(connection, window, least.0)?;
                if count < least.0 {
                    let lead = if way.can_merge() {
                        ReadStrategy::Merge(way)
                    } else {
                        ReadStrategy::Gather(way)
                    };
                    least = (count, Some(lead));
                }
            }
            if let (_, Some(lead)) = least {
                return Ok(lead);
            }
        }
        let merging = self.access_paths.iter().filter(|way| way.can_merge());
        Ok(most_selective(connection, window, merging)?
            .map_or(ReadStrategy::TimeOrder, ReadStrategy::Merge))
    }

    /// The way on which all that is meant is reached fastest; none where that is the whole log, or
    /// the window of time.
    pub(super) fn choose_access_path(
        &self,
        connection: &Connection,
        window: TimeWindow,
    ) -> Result<Option<&AccessPath>> {
        let short = self.access_paths.iter().filter(|way| way.key_count() <= MAX_GATHERED_EVENTS);
        let way = most_selective(connection, window, short)?;
        if window == TimeWindow::ALL {
            return Ok(way);
        }
        let Some(way) = way else {
            return Ok(None);
        };
        let count = way.count(connection, window, MAX_COUNTED_EVENTS)?;
        Ok((window.count(connection, count.max(1))? >= count).then_some(way))
    }

    #[cfg(test)]
    pub(super) fn strategies(&self) -> impl Iterator<Item = ReadStrategy<'_>> {
        let ways = self.access_paths.iter().flat_map(|way| {
            let merged = way.can_merge().then_some(ReadStrategy::Merge(way));
            [Some(ReadStrategy::Gather(way)), merged].into_iter().flatten()
        });
        std::iter::once(ReadStrategy::TimeOrder).chain(ways)
    }
}

/// The way to the fewest events; nothing is counted where there is no choice.
fn most_selective<'a>(
    connection: &Connection,
    window: TimeWindow,
    mut ways: impl Iterator<Item = &'a AccessPath>,
) -> Result<Option<&'a AccessPath>> {
    let (first, second) = match (ways.next(), ways.next()) {
        (Some(first), Some(second)) => (first, second),
        (first, _) => return Ok(first),
    };
    let mut fewest = (first.count(connection, window, MAX_COUNTED_EVENTS)?, first);
    for way in std::iter::once(second).chain(ways) {
        let count = way.count(connection, window, fewest.0)?;
        if count < fewest.0 {
            fewest = (count, way);
        }
    }
    Ok(Some(fewest.1))
}

impl TimeWindow {
    /// How many events it holds, as far as the limit.
    fn count(self, connection: &Connection, limit: usize) -> Result<usize> {
        let mut sql = Sql::new("SELECT 1 FROM event INDEXED BY event_occurred_at WHERE TRUE");
        self.add_condition(&mut sql);
        sql.count_rows(connection, limit)
    }
}

impl AccessPath {
    fn key_count(&self) -> usize {
        self.scans.iter().map(|arm| arm.keys.len()).sum()
    }

    /// Whether it is the walk along one key, in the order of time by itself.
    pub(super) fn is_single_key(&self) -> bool {
        self.key_count() == 1
    }

    fn can_merge(&self) -> bool {
        self.key_count() <= MAX_MERGED_KEYS && self.scans.iter().all(|arm| arm.index.in_time_order)
    }

    /// How many events it leads to, as far as the limit. One that two keys lead to counts twice.
    fn count(&self, connection: &Connection, window: TimeWindow, limit: usize) -> Result<usize> {
        // A key is there because an event has it.
        if self.key_count() >= limit {
            return Ok(limit);
        }
        let mut count = 0;
        for arm in &self.scans {
            let mut sql = Sql::new("SELECT 1");
            sql.bind(arm.index.each_key, arm.keys.to_json());
            if arm.index.in_time_order {
                window.add_condition(&mut sql);
            }
            count += sql.count_rows(connection, limit - count)?;
            if count >= limit {
                break;
            }
        }
        Ok(count)
    }

    /// For each arm the beginning of a statement that reads all its events, up to and with `WHERE`.
    /// No event is in two of them.
    pub(super) fn scan_statements(&self, columns: &'static str) -> Vec<Sql> {
        let mut statements = Vec::with_capacity(self.scans.len());
        for (place, arm) in self.scans.iter().enumerate() {
            let mut sql = Sql::new(columns);
            sql.bind(arm.index.each_key, arm.keys.to_json());
            for before in &self.scans[..place] {
                sql.bind(before.index.excluding, before.keys.to_bitmap());
            }
            statements.push(sql);
        }
        statements
    }

    /// For each key the part of a statement that reads its events in the order of time, from `FROM`
    /// to `WHERE`.
    pub(super) fn key_statements(&self) -> impl Iterator<Item = Sql> {
        self.scans.iter().flat_map(|arm| {
            arm.keys.as_slice().iter().map(|key| {
                let mut sql = Sql::default();
                sql.bind(arm.index.one_key, *key);
                sql
            })
        })
    }
}

impl Sql {
    /// Counts the rows of a statement, as far as the limit.
    pub(super) fn count_rows(&self, connection: &Connection, limit: usize) -> Result<usize> {
        let mut sql = Self::new("SELECT count(*) FROM (");
        sql.append(self).bind(" LIMIT ?)", i64::try_from(limit).unwrap_or(i64::MAX));
        let mut statement = connection.prepare_cached(sql.text())?;
        let count: i64 = statement.query_row(sql.params(), |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}
