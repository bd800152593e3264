//! How a query is answered: every term as a condition, and which index leads to the events.
//!
//! SQLite's own planner does not see how many events a set of keys stands for. So the keys are found
//! first, their events counted as far as it matters, and the leading index is named in the
//! statement. All ways find the same; a property test holds each of them to `Query::matches`.

use rusqlite::Connection;
use rusqlite::Result;

use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TimeBounds;
use crate::query::value::EventProperty;
use crate::store::sqlite::keys;
use crate::store::sqlite::sql::Sql;
use crate::store::sqlite::terms;
use crate::store::sqlite::terms::Arm;
use crate::store::sqlite::terms::BY_ACTION;
use crate::store::sqlite::terms::BY_STATUS;
use crate::store::sqlite::terms::Cost;
use crate::time::Timestamp;

/// So many keys are walked side by side in the order of time; SQLite's limit is 500.
const MERGED: usize = 64;

/// So many events are collected and sorted, rather than looked for in the order of time.
pub(super) const GATHERED: usize = 20_000;

/// Where ways lead to more, the lesser of them counts up to here.
const DEEP: usize = 400_000;

/// A query in terms of one snapshot of a log.
pub(super) struct Plan {
    /// One for each term, the cheap ones first.
    filters: Vec<Filter>,
    ways: Vec<Way>,
    pub window: Window,
    /// Whether some term names nothing that is in the log.
    pub impossible: bool,
}

struct Filter {
    /// Which of the query's terms.
    term: usize,
    cost: Cost,
    condition: Sql,
}

/// An index, or several, that lead to the events of one term.
pub(super) struct Way {
    term: usize,
    arms: Vec<Arm>,
}

/// The part of time that is looked at, both ends included, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub least: i64,
    pub most: i64,
}

impl Window {
    pub(super) const ALL: Self = Self { least: i64::MIN, most: i64::MAX };

    /// The window of these bounds, unless nothing is in it.
    fn of(bounds: TimeBounds) -> Option<Self> {
        let least = bounds.from.map_or(i64::MIN, Timestamp::as_nanos);
        let most = match bounds.to {
            // The end is not in it; before the first nanosecond there is nothing.
            Some(to) => to.as_nanos().checked_sub(1)?,
            None => i64::MAX,
        };
        (least <= most).then_some(Self { least, most })
    }

    /// Adds the condition, in a form that an index on the time serves.
    pub(super) fn limit(&self, sql: &mut Sql) {
        sql.bind(" AND event.occurred_at BETWEEN ?", self.least).bind(" AND ?", self.most);
    }
}

/// What finds the events.
pub(super) enum Lead<'a> {
    /// The order of time; every condition is tried on each event.
    Time,
    /// A few keys, side by side in the order of time.
    Merge(&'a Way),
    /// Few events: all are collected, and sorted then.
    Gather(&'a Way),
}

impl Plan {
    pub(super) fn new(connection: &Connection, query: &Query) -> Result<Self> {
        let window = Window::of(query.bounds());
        let mut plan = Self {
            filters: Vec::new(),
            ways: Vec::new(),
            window: window.unwrap_or(Window::ALL),
            impossible: window.is_none(),
        };
        for (place, term) in query.terms().enumerate() {
            plan.add(connection, place, term)?;
        }
        plan.lead_to_failures(connection, query)?;
        plan.filters.sort_by_key(|filter| filter.cost);
        Ok(plan)
    }

    fn add(&mut self, connection: &Connection, place: usize, term: &Term) -> Result<()> {
        let (cost, condition, arms) = terms::read(connection, &term.predicate)?;
        let mut filter = Filter { term: place, cost, condition };
        if term.negated {
            // An event without the field is excluded by nothing.
            let mut negated = Sql::default();
            negated.append(&filter.condition).add(" IS NOT TRUE");
            filter.condition = negated;
        } else if let Some(arms) = arms {
            self.lead_by(place, arms);
        }
        self.filters.push(filter);
        Ok(())
    }

    /// Failures have an index within each action, so the ways of the actions narrow theirs.
    fn lead_to_failures(&mut self, connection: &Connection, query: &Query) -> Result<()> {
        let Some(term) = query.terms().position(|term| {
            !term.negated && matches!(&term.predicate, Predicate::Is(all) if all.as_slice() == [EventProperty::Failed])
        }) else {
            return Ok(());
        };
        let mut actions = keys::all_actions(connection)?;
        for way in &self.ways {
            if let [arm] = way.arms.as_slice()
                && std::ptr::eq(arm.index, &BY_ACTION)
            {
                actions = actions.and(&arm.keys);
            }
        }
        let named = keys::failures(connection)?.and(&actions);
        let arms = [(&BY_STATUS, actions), (&BY_ACTION, named)];
        let arms = arms.into_iter().map(|(index, keys)| Arm { index, keys });
        self.lead_by(term, arms.collect());
        Ok(())
    }

    /// Takes the arms for a way to all that a term means.
    fn lead_by(&mut self, term: usize, mut arms: Vec<Arm>) {
        arms.retain(|arm| !arm.keys.is_empty());
        if arms.is_empty() {
            self.impossible = true;
        } else {
            self.ways.push(Way { term, arms });
        }
    }

    /// Adds every condition but that of the term to which the way leads.
    pub(super) fn filter(&self, sql: &mut Sql, but: Option<&Way>) {
        for filter in &self.filters {
            if but.is_none_or(|way| way.term != filter.term) {
                sql.add(" AND ").append(&filter.condition);
            }
        }
    }

    /// What finds a page fastest.
    pub(super) fn lead(&self, connection: &Connection, window: Window) -> Result<Lead<'_>> {
        if let [way] = self.ways.as_slice()
            && way.merges()
            && (window == Window::ALL || self.filters.len() == 1)
        {
            return Ok(Lead::Merge(way));
        }
        for limit in [GATHERED / 20, GATHERED] {
            let mut least = (limit, None);
            if window != Window::ALL && !self.ways.is_empty() {
                let count = window.count(connection, limit)?;
                if count < limit {
                    least = (count, Some(Lead::Time));
                }
            }
            for way in &self.ways {
                let count = way.count(connection, window, least.0)?;
                if count < least.0 {
                    let lead = if way.merges() { Lead::Merge(way) } else { Lead::Gather(way) };
                    least = (count, Some(lead));
                }
            }
            if let (_, Some(lead)) = least {
                return Ok(lead);
            }
        }
        let merging = self.ways.iter().filter(|way| way.merges());
        Ok(fewest(connection, window, merging)?.map_or(Lead::Time, Lead::Merge))
    }

    /// The way on which all that is meant is reached fastest; none where that is the whole log, or
    /// the window of time.
    pub(super) fn lead_to_all(
        &self,
        connection: &Connection,
        window: Window,
    ) -> Result<Option<&Way>> {
        let short = self.ways.iter().filter(|way| way.keys() <= GATHERED);
        let way = fewest(connection, window, short)?;
        if window == Window::ALL {
            return Ok(way);
        }
        let Some(way) = way else {
            return Ok(None);
        };
        let count = way.count(connection, window, DEEP)?;
        Ok((window.count(connection, count.max(1))? >= count).then_some(way))
    }

    #[cfg(test)]
    pub(super) fn leads(&self) -> impl Iterator<Item = Lead<'_>> {
        let ways = self.ways.iter().flat_map(|way| {
            let merged = way.merges().then_some(Lead::Merge(way));
            [Some(Lead::Gather(way)), merged].into_iter().flatten()
        });
        std::iter::once(Lead::Time).chain(ways)
    }
}

/// The way to the fewest events; nothing is counted where there is no choice.
fn fewest<'a>(
    connection: &Connection,
    window: Window,
    mut ways: impl Iterator<Item = &'a Way>,
) -> Result<Option<&'a Way>> {
    let (first, second) = match (ways.next(), ways.next()) {
        (Some(first), Some(second)) => (first, second),
        (first, _) => return Ok(first),
    };
    let mut fewest = (first.count(connection, window, DEEP)?, first);
    for way in std::iter::once(second).chain(ways) {
        let count = way.count(connection, window, fewest.0)?;
        if count < fewest.0 {
            fewest = (count, way);
        }
    }
    Ok(Some(fewest.1))
}

impl Window {
    /// How many events it holds, as far as the limit.
    fn count(self, connection: &Connection, limit: usize) -> Result<usize> {
        let mut sql = Sql::new("SELECT 1 FROM event INDEXED BY event_occurred_at WHERE TRUE");
        self.limit(&mut sql);
        sql.count(connection, limit)
    }
}

impl Way {
    fn keys(&self) -> usize {
        self.arms.iter().map(|arm| arm.keys.len()).sum()
    }

    /// Whether it is the walk along one key, in the order of time by itself.
    pub(super) fn is_one(&self) -> bool {
        self.keys() == 1
    }

    fn merges(&self) -> bool {
        self.keys() <= MERGED && self.arms.iter().all(|arm| arm.index.in_time_order)
    }

    /// How many events it leads to, as far as the limit. One that two keys lead to counts twice.
    fn count(&self, connection: &Connection, window: Window, limit: usize) -> Result<usize> {
        // A key is there because an event has it.
        if self.keys() >= limit {
            return Ok(limit);
        }
        let mut count = 0;
        for arm in &self.arms {
            let mut sql = Sql::new("SELECT 1");
            sql.bind(arm.index.each, arm.keys.json());
            if arm.index.in_time_order {
                window.limit(&mut sql);
            }
            count += sql.count(connection, limit - count)?;
            if count >= limit {
                break;
            }
        }
        Ok(count)
    }

    /// For each arm the beginning of a statement that reads all its events, up to and with `WHERE`.
    /// No event is in two of them.
    pub(super) fn each(&self, columns: &'static str) -> Vec<Sql> {
        let mut statements = Vec::with_capacity(self.arms.len());
        for (place, arm) in self.arms.iter().enumerate() {
            let mut sql = Sql::new(columns);
            sql.bind(arm.index.each, arm.keys.json());
            for before in &self.arms[..place] {
                sql.bind(before.index.outside, before.keys.bits());
            }
            statements.push(sql);
        }
        statements
    }

    /// For each key the part of a statement that reads its events in the order of time, from `FROM`
    /// to `WHERE`.
    pub(super) fn ones(&self) -> impl Iterator<Item = Sql> {
        self.arms.iter().flat_map(|arm| {
            arm.keys.as_slice().iter().map(|key| {
                let mut sql = Sql::default();
                sql.bind(arm.index.one, *key);
                sql
            })
        })
    }
}

impl Sql {
    /// Counts the rows of a statement, as far as the limit.
    pub(super) fn count(&self, connection: &Connection, limit: usize) -> Result<usize> {
        let mut sql = Self::new("SELECT count(*) FROM (");
        sql.append(self).bind(" LIMIT ?)", i64::try_from(limit).unwrap_or(i64::MAX));
        let mut statement = connection.prepare_cached(sql.text())?;
        let count: i64 = statement.query_row(sql.params(), |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}
