//! Plans a query: turns every term into a condition, and chooses the index that leads to the events.
//!
//! SQLite's own planner does not know how many events a set of keys stands for. The plan therefore
//! finds the keys first, counts their events up to a limit, and names the index in the statement.
//! All access paths find the same events; a property test compares each of them with
//! `Query::matches`.

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
use crate::store::sqlite::swept;
use crate::store::sqlite::swept::not_swept;
use crate::store::sqlite::terms;
use crate::store::sqlite::terms::BY_ACTION;
use crate::store::sqlite::terms::BY_FAILURE;
use crate::store::sqlite::terms::ConditionCost;
use crate::store::sqlite::terms::IndexScan;
use crate::store::sqlite::terms::MAX_GATHERED_EVENTS;
use crate::time::Timestamp;

/// The number of keys that one statement merges in the order of time; SQLite's limit is 500.
const MAX_MERGED_KEYS: usize = 64;

/// The number of parameters in the conditions of a merge, which repeats them for each key; SQLite's
/// limit for a statement is 32,766.
const MAX_MERGED_PARAMS: usize = 16_000;

/// The limit up to which events are counted to compare access paths that lead to more events.
const MAX_COUNTED_EVENTS: usize = 400_000;

/// The plan of the last query.
#[derive(Default)]
pub(super) struct PlanCache(pub Option<(Query, DataVersion, Rc<QueryPlan>)>);

/// The state of the log that a plan holds for: a number that changes when another connection commits,
/// and the number of rows that this connection changed.
pub(super) type DataVersion = (i64, u64);

/// The plan of a query for one snapshot of a log.
pub(super) struct QueryPlan {
    /// One for each term, the cheapest first.
    filters: Vec<TermFilter>,
    access_paths: Vec<AccessPath>,
    pub window: TimeWindow,
    /// Whether some term names nothing that is in the log, so that no event can match.
    pub matches_nothing: bool,
    /// Whether events may stand where a sweep removed all.
    may_meet_swept: bool,
}

struct TermFilter {
    /// The position of the term in the query.
    term_index: usize,
    cost: ConditionCost,
    condition: Sql,
}

/// The index scans that together lead to all events of one term.
pub(super) struct AccessPath {
    term_index: usize,
    scans: Vec<IndexScan>,
    /// The number of keys up to which it can be merged, beside the other conditions of its plan.
    max_merged_keys: usize,
}

/// The span of time that is searched, both ends included, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeWindow {
    pub earliest: i64,
    pub latest: i64,
}

impl TimeWindow {
    pub(super) const ALL: Self = Self { earliest: i64::MIN, latest: i64::MAX };

    /// The window of these bounds; `None` if it is empty.
    fn from_bounds(bounds: TimeBounds) -> Option<Self> {
        let earliest = bounds.from.map_or(i64::MIN, Timestamp::as_nanos);
        let latest = match bounds.to {
            // The bounds exclude their end, the window includes it.
            Some(to) => to.as_nanos().checked_sub(1)?,
            None => i64::MAX,
        };
        (earliest <= latest).then_some(Self { earliest, latest })
    }

    /// Returns the part of the window that is within bounds; `None` if it is empty.
    pub(super) fn within(self, bounds: TimeBounds) -> Option<Self> {
        let other = Self::from_bounds(bounds)?;
        let earliest = self.earliest.max(other.earliest);
        let latest = self.latest.min(other.latest);
        (earliest <= latest).then_some(Self { earliest, latest })
    }

    /// Adds the window as a condition that an index on the time can serve.
    pub(super) fn add_condition(&self, sql: &mut Sql) {
        sql.bind(" AND event.occurred_at BETWEEN ?", self.earliest).bind(" AND ?", self.latest);
    }
}

/// The way in which a page of events is found.
pub(super) enum ReadStrategy<'a> {
    /// Walks the events in the order of time and tries every condition on each.
    TimeOrder,
    /// Merges the events of a few keys in the order of time.
    Merge(&'a AccessPath),
    /// Collects all events and sorts them; for few events.
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
            may_meet_swept: swept::may_hold_events(connection)?,
        };
        for (term_index, term) in query.terms().enumerate() {
            plan.add_term(connection, term_index, term)?;
        }
        plan.add_failure_path(connection, query)?;
        plan.filters.sort_by_key(|filter| filter.cost);
        let params: usize = plan.filters.iter().map(|filter| filter.condition.param_count()).sum();
        for path in &mut plan.access_paths {
            path.max_merged_keys = MAX_MERGED_KEYS.min(MAX_MERGED_PARAMS / params.max(1));
        }
        Ok(plan)
    }

    fn add_term(&mut self, connection: &Connection, term_index: usize, term: &Term) -> Result<()> {
        let (cost, condition, scans) = terms::compile(connection, &term.predicate)?;
        let mut filter = TermFilter { term_index, cost, condition };
        if term.negated {
            // A negated term never excludes an event that lacks the field.
            let mut negated = Sql::default();
            negated.append(&filter.condition).add(" IS NOT TRUE");
            filter.condition = negated;
        } else if let Some(scans) = scans {
            self.add_access_path(term_index, scans);
        }
        self.filters.push(filter);
        Ok(())
    }

    /// Adds the access path of `is:failed`. Its index is ordered by action, so the terms that name
    /// actions narrow it.
    fn add_failure_path(&mut self, connection: &Connection, query: &Query) -> Result<()> {
        let Some(term) = query.terms().position(|term| {
            !term.negated && matches!(&term.predicate, Predicate::Is(all) if all.as_slice() == [EventProperty::Failed])
        }) else {
            return Ok(());
        };
        let mut actions = lookup::all_actions(connection)?;
        for path in &self.access_paths {
            if let [scan] = path.scans.as_slice()
                && std::ptr::eq(scan.index, &BY_ACTION)
            {
                actions = actions.intersection(&scan.keys);
            }
        }
        let named = lookup::failure_actions(connection)?.intersection(&actions);
        let scans = [(&BY_FAILURE, actions), (&BY_ACTION, named)];
        let scans = scans.into_iter().map(|(index, keys)| IndexScan { index, keys });
        self.add_access_path(term, scans.collect());
        Ok(())
    }

    /// Adds the scans as an access path to all events of a term.
    fn add_access_path(&mut self, term: usize, mut scans: Vec<IndexScan>) {
        scans.retain(|scan| !scan.keys.is_empty());
        if scans.is_empty() {
            self.matches_nothing = true;
        } else {
            let path = AccessPath { term_index: term, scans, max_merged_keys: MAX_MERGED_KEYS };
            self.access_paths.push(path);
        }
    }

    /// Whether the window of time alone decides which events match.
    pub(super) fn has_no_conditions(&self) -> bool {
        self.filters.is_empty()
    }

    /// Adds every condition except that of the term that the access path covers, and where that may be,
    /// that the event was not swept.
    pub(super) fn add_filters(&self, sql: &mut Sql, covered: Option<&AccessPath>) {
        let is_needed =
            |filter: &&TermFilter| covered.is_none_or(|path| path.term_index != filter.term_index);
        let conditions: Vec<Sql> =
            self.filters.iter().filter(is_needed).map(|filter| filter.condition.clone()).collect();
        if !conditions.is_empty() {
            sql.add(" AND ").append_joined(" AND ", &conditions);
        }
        sql.add(self.swept_condition());
    }

    /// The condition that an event was not swept, after the others; empty where none can be.
    pub(super) fn swept_condition(&self) -> &'static str {
        if self.may_meet_swept { concat!(" AND ", not_swept!()) } else { "" }
    }

    /// Chooses the fastest way to find a page.
    pub(super) fn choose_strategy(
        &self,
        connection: &Connection,
        window: TimeWindow,
    ) -> Result<ReadStrategy<'_>> {
        if let [path] = self.access_paths.as_slice()
            && path.can_merge()
            && (window == TimeWindow::ALL || self.filters.len() == 1)
        {
            return Ok(ReadStrategy::Merge(path));
        }
        for limit in [MAX_GATHERED_EVENTS / 20, MAX_GATHERED_EVENTS] {
            let mut fewest = (limit, None);
            if window != TimeWindow::ALL && !self.access_paths.is_empty() {
                let count = window.count(connection, limit)?;
                if count < limit {
                    fewest = (count, Some(ReadStrategy::TimeOrder));
                }
            }
            for path in &self.access_paths {
                let count = path.count(connection, window, fewest.0)?;
                if count < fewest.0 {
                    let strategy = if path.can_merge() {
                        ReadStrategy::Merge(path)
                    } else {
                        ReadStrategy::Gather(path)
                    };
                    fewest = (count, Some(strategy));
                }
            }
            if let (_, Some(strategy)) = fewest {
                return Ok(strategy);
            }
        }
        let mergeable = self.access_paths.iter().filter(|path| path.can_merge());
        Ok(most_selective(connection, window, mergeable)?
            .map_or(ReadStrategy::TimeOrder, ReadStrategy::Merge))
    }

    /// Chooses the fastest access path to all matching events; `None` where reading the whole log, or
    /// the window of time, is faster.
    pub(super) fn choose_access_path(
        &self,
        connection: &Connection,
        window: TimeWindow,
    ) -> Result<Option<&AccessPath>> {
        let short = self.access_paths.iter().filter(|path| path.key_count() <= MAX_GATHERED_EVENTS);
        let path = most_selective(connection, window, short)?;
        if window == TimeWindow::ALL {
            return Ok(path);
        }
        let Some(path) = path else {
            return Ok(None);
        };
        let count = path.count(connection, window, MAX_COUNTED_EVENTS)?;
        Ok((window.count(connection, count.max(1))? >= count).then_some(path))
    }

    #[cfg(test)]
    pub(super) fn strategies(&self) -> impl Iterator<Item = ReadStrategy<'_>> {
        let paths = self.access_paths.iter().flat_map(|path| {
            let merged = path.can_merge().then_some(ReadStrategy::Merge(path));
            [Some(ReadStrategy::Gather(path)), merged].into_iter().flatten()
        });
        std::iter::once(ReadStrategy::TimeOrder).chain(paths)
    }
}

/// Returns the access path to the fewest events. It counts nothing where there is no choice.
fn most_selective<'a>(
    connection: &Connection,
    window: TimeWindow,
    mut paths: impl Iterator<Item = &'a AccessPath>,
) -> Result<Option<&'a AccessPath>> {
    let (first, second) = match (paths.next(), paths.next()) {
        (Some(first), Some(second)) => (first, second),
        (first, _) => return Ok(first),
    };
    let mut fewest = (first.count(connection, window, MAX_COUNTED_EVENTS)?, first);
    for path in std::iter::once(second).chain(paths) {
        let count = path.count(connection, window, fewest.0)?;
        if count < fewest.0 {
            fewest = (count, path);
        }
    }
    Ok(Some(fewest.1))
}

impl TimeWindow {
    /// Counts the events in the window, up to the limit.
    fn count(self, connection: &Connection, limit: usize) -> Result<usize> {
        let mut sql = Sql::new("SELECT 1 FROM event INDEXED BY event_occurred_at WHERE TRUE");
        self.add_condition(&mut sql);
        sql.count_rows(connection, limit)
    }
}

impl AccessPath {
    fn key_count(&self) -> usize {
        self.scans.iter().map(|scan| scan.keys.len()).sum()
    }

    /// Whether it scans a single key, whose events come in the order of time by themselves.
    pub(super) fn is_single_key(&self) -> bool {
        self.key_count() == 1
    }

    fn can_merge(&self) -> bool {
        self.key_count() <= self.max_merged_keys
            && self.scans.iter().all(|scan| scan.index.in_time_order)
    }

    /// Counts the events that it leads to, up to the limit. An event of two keys counts twice.
    fn count(&self, connection: &Connection, window: TimeWindow, limit: usize) -> Result<usize> {
        // A key exists only because an event refers to it.
        if self.key_count() >= limit {
            return Ok(limit);
        }
        let mut count = 0;
        for scan in &self.scans {
            let mut sql = Sql::new("SELECT 1");
            sql.bind(scan.index.each_key, scan.keys.to_json());
            if scan.index.in_time_order {
                window.add_condition(&mut sql);
            }
            count += sql.count_rows(connection, limit - count)?;
            if count >= limit {
                break;
            }
        }
        Ok(count)
    }

    /// Returns, for each scan, the beginning of a statement that reads all its events, up to and
    /// including `WHERE`. No event is in two of them.
    pub(super) fn scan_statements(&self, columns: &Sql) -> Vec<Sql> {
        let mut statements = Vec::with_capacity(self.scans.len());
        for (position, scan) in self.scans.iter().enumerate() {
            let mut sql = columns.clone();
            sql.bind(scan.index.each_key, scan.keys.to_json());
            for before in &self.scans[..position] {
                sql.bind(before.index.excluding, before.keys.to_bitmap());
            }
            statements.push(sql);
        }
        statements
    }

    /// Returns, for each key, the part of a statement from `FROM` to `WHERE` that reads its events in
    /// the order of time.
    pub(super) fn key_statements(&self) -> impl Iterator<Item = Sql> {
        self.scans.iter().flat_map(|scan| {
            scan.keys.as_slice().iter().map(|key| {
                let mut sql = Sql::default();
                sql.bind(scan.index.one_key, *key);
                sql
            })
        })
    }
}

impl Sql {
    /// Counts the rows of a statement, up to the limit.
    pub(super) fn count_rows(&self, connection: &Connection, limit: usize) -> Result<usize> {
        let mut sql = Self::new("SELECT count(*) FROM (");
        sql.append(self).bind(" LIMIT ?)", i64::try_from(limit).unwrap_or(i64::MAX));
        let mut statement = connection.prepare_cached(sql.text())?;
        let count: i64 = statement.query_row(sql.params(), |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}
