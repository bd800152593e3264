//! Statements that read the events of a query from a central store.
//!
//! ## Cost
//!
//! A page is found by the key of the row before it. PostgreSQL opens each index of each month that a
//! statement may need, which takes a new connection longer than all else; so a page is looked for in the
//! first month of its order, then in some more, then in the rest.
//!
//! Where a term names a few ids, labels or actions, the index of each is walked in the order of time as
//! far as the page goes; a server that sees them joined by OR would collect and sort all their events
//! first.

use crate::query::Query;
use crate::query::TimeBounds;
use crate::store::central::read::condition::Compiler;
use crate::store::central::read::condition::Condition;
use crate::store::central::read::condition::always;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::fragment::SqlValue;
use crate::time::Timestamp;

/// The spans that are asked together where the first has too few events for a page.
const NEXT_SPANS: usize = 4;
/// The most indexes that are walked side by side.
const MAX_WALKS: usize = 16;

/// A place in the order by time, id and log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RowPlace {
    pub occurred_at: i64,
    pub id: i64,
    /// Absent: behind all logs that have an event of this time and id.
    pub log: Option<SqlValue>,
}

/// A part of the order by time, read in one direction.
#[derive(Clone, Debug)]
pub(super) struct RowSlice {
    pub newest_first: bool,
    pub after: Option<RowPlace>,
    pub skip: u64,
    pub limit: usize,
}

/// A query compiled for an engine.
#[derive(Clone)]
pub(super) struct CentralPlan {
    dialect: SqlDialect,
    window: TimeBounds,
    terms: Vec<Fragment>,
    /// A term whose events indexes lead to, and its walks.
    walked: Option<(usize, Vec<Fragment>)>,
    /// Whether every row that is found matches the query.
    pub is_exact: bool,
}

impl CentralPlan {
    pub(super) fn new(query: &Query, compiler: Compiler<'_>) -> Self {
        let dialect = compiler.dialect;
        let conditions = query.terms().map(|term| {
            let condition = compiler.compile(&term.predicate);
            if term.negated { condition.negated(dialect) } else { condition }
        });
        let conditions: Vec<Condition> = conditions.collect();
        let is_exact = conditions.iter().all(|condition| condition.is_exact);
        let walks = conditions.iter().enumerate().filter_map(|(place, condition)| {
            let walks = condition.walks.as_ref().filter(|_| condition.is_exact)?;
            (1..=MAX_WALKS).contains(&walks.len()).then(|| (place, walks.clone()))
        });
        // An action alone has the most events of all that can be walked.
        let is_action = |walks: &[Fragment]| walks.iter().any(Fragment::is_about_action);
        let walked = match dialect {
            SqlDialect::Postgres => walks.min_by_key(|(_, walks)| (is_action(walks), walks.len())),
            SqlDialect::ClickHouse => None,
        };
        let terms = conditions.into_iter().map(|condition| condition.sql).collect();
        Self { dialect, window: query.bounds(), terms, walked, is_exact }
    }

    /// Returns the plan for the events of the query within a span of time.
    pub(super) fn within(&self, bounds: TimeBounds) -> Self {
        Self { window: self.window.intersection(bounds), ..self.clone() }
    }

    /// Returns the spans of time in which a slice is looked for one after the other, of `filled` ones outside
    /// of which there is no event: the first in the order of the slice, [`NEXT_SPANS`] more together, and
    /// all others together.
    pub(super) fn search_windows(
        &self,
        filled: &[TimeBounds],
        slice: &RowSlice,
    ) -> Vec<TimeBounds> {
        let after = slice.after.as_ref().map(|place| Timestamp::from_nanos(place.occurred_at));
        let reaches = |span: &&TimeBounds| match after {
            Some(at) if slice.newest_first => span.from.is_none_or(|from| from <= at),
            Some(at) => span.to.is_none_or(|to| at < to),
            None => true,
        };
        let spans = filled.iter().filter(reaches).map(|span| self.window.intersection(*span));
        let mut spans: Vec<TimeBounds> = spans.filter(|span| !span.is_empty()).collect();
        if slice.newest_first {
            spans.reverse();
        }
        let (first, others) = spans.split_at(spans.len().min(1));
        let (next, rest) = others.split_at(others.len().min(NEXT_SPANS));
        [first, next, rest].into_iter().filter_map(TimeBounds::hull).collect()
    }

    /// Leaves out the rows that do not fulfil a condition.
    pub(super) fn restrict(&mut self, condition: Fragment) {
        self.terms.push(condition);
    }

    /// Returns what all matching rows fulfil, as far as SQL can say it.
    pub(super) fn condition(&self) -> Fragment {
        self.condition_but(None)
    }

    fn condition_but(&self, walked: Option<usize>) -> Fragment {
        let mut window = Vec::new();
        let bounds = [(" >= ", self.window.from), (" < ", self.window.to)];
        for (operator, at) in bounds {
            if let Some(at) = at {
                let mut sql = Fragment::new("occurred_at");
                sql.add(operator).bind(SqlValue::Integer(at.as_nanos()));
                window.push(sql);
            }
        }
        let terms = self.terms.iter().enumerate();
        let terms = terms.filter(|(place, _)| Some(*place) != walked).map(|(_, term)| term);
        Fragment::joined(window.into_iter().chain(terms.cloned()), " AND ", always(self.dialect))
    }

    /// Returns the statement that reads a slice. `columns` begin with those of the order.
    pub(super) fn slice_statement(&self, columns: &str, table: &str, slice: &RowSlice) -> Fragment {
        let walks = match &self.walked {
            Some((place, walks)) if walks.len() > 1 => Some((place, walks)),
            Some(_) | None => None,
        };
        let Some((place, walks)) = walks else {
            let mut sql = Fragment::new(format!("SELECT {columns} FROM {table} WHERE "));
            sql.append(&self.condition());
            slice.add_place(&mut sql);
            slice.add_order(&mut sql);
            self.add_single(&mut sql);
            self.add_limit((slice.skip, slice.limit), &mut sql);
            return sql;
        };
        let rest = self.condition_but(Some(*place));
        let mut sql = Fragment::new(format!("SELECT {columns} FROM ("));
        for (place, walk) in walks.iter().enumerate() {
            sql.add(if place == 0 { "(SELECT * FROM " } else { " UNION ALL (SELECT * FROM " });
            sql.add(table).add(" WHERE ").append(walk);
            for earlier in &walks[..place] {
                sql.add(" AND (").append(earlier).add(") IS NOT TRUE");
            }
            sql.add(" AND ").append(&rest);
            slice.add_place(&mut sql);
            slice.add_order(&mut sql);
            // Whatever is skipped may come from one walk.
            let skip = usize::try_from(slice.skip).unwrap_or(usize::MAX);
            self.add_limit((0, slice.limit.saturating_add(skip)), &mut sql);
            sql.add(")");
        }
        sql.add(") AS walked");
        slice.add_order(&mut sql);
        self.add_limit((slice.skip, slice.limit), &mut sql);
        sql
    }

    /// Returns a subquery of columns of all matching rows, each once.
    pub(super) fn all_rows(&self, columns: &str, table: &str) -> Fragment {
        let mut sql = Fragment::new(format!("(SELECT {columns} FROM {table} WHERE "));
        sql.append(&self.condition());
        self.add_single(&mut sql);
        sql.add(") AS matching");
        sql
    }

    /// Returns the statement that counts the matching rows up to a number.
    pub(super) fn count_statement(&self, table: &str, at_most: u64) -> Fragment {
        let columns = match self.dialect {
            SqlDialect::Postgres => "1",
            SqlDialect::ClickHouse => "DISTINCT log, id",
        };
        let mut sql =
            Fragment::new(format!("SELECT count(*) FROM (SELECT {columns} FROM {table} WHERE "));
        sql.append(&self.condition());
        if let Ok(limit) = i64::try_from(at_most) {
            sql.add(&format!(" LIMIT {limit}"));
        }
        sql.add(") AS counted");
        sql
    }

    /// ClickHouse may have a row twice until it merges.
    fn add_single(&self, sql: &mut Fragment) {
        match self.dialect {
            SqlDialect::Postgres => {}
            SqlDialect::ClickHouse => {
                sql.add(" LIMIT 1 BY log, id");
            }
        }
    }

    fn add_limit(&self, (skip, limit): (u64, usize), sql: &mut Fragment) {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let skip = i64::try_from(skip).unwrap_or(i64::MAX);
        match self.dialect {
            SqlDialect::Postgres if skip == 0 => sql.add(&format!(" LIMIT {limit}")),
            SqlDialect::Postgres => sql.add(&format!(" LIMIT {limit} OFFSET {skip}")),
            SqlDialect::ClickHouse => sql.add(&format!(" LIMIT {skip}, {limit}")),
        };
    }

    /// Returns the statement that reads a page in the order of an expression. Absent values come last.
    pub(super) fn sorted_statement(
        &self,
        columns: &str,
        table: &str,
        (key, ascending): (&str, bool),
        (skip, limit): (u64, usize),
    ) -> Fragment {
        let mut sql = Fragment::new(format!("SELECT {columns} FROM {table} WHERE "));
        sql.append(&self.condition());
        let direction = if ascending { "" } else { " DESC" };
        sql.add(&format!(
            " ORDER BY {key} IS NULL, {key}{direction}, occurred_at{direction}, id{direction}, \
             log{direction}"
        ));
        self.add_single(&mut sql);
        self.add_limit((skip, limit), &mut sql);
        sql
    }
}

impl RowSlice {
    fn add_place(&self, sql: &mut Fragment) {
        let Some(RowPlace { occurred_at, id, log }) = &self.after else { return };
        let beyond = if self.newest_first { "<" } else { ">" };
        // Months are chosen by the time alone.
        sql.add(&format!(" AND occurred_at {beyond}= "));
        sql.bind(SqlValue::Integer(*occurred_at));
        let columns = if log.is_some() { "occurred_at, id, log" } else { "occurred_at, id" };
        sql.add(&format!(" AND ({columns}) {beyond} ("));
        sql.bind(SqlValue::Integer(*occurred_at)).add(", ").bind(SqlValue::Integer(*id));
        if let Some(log) = log {
            sql.add(", ").bind(log.clone());
        }
        sql.add(")");
    }

    fn add_order(&self, sql: &mut Fragment) {
        sql.add(if self.newest_first {
            " ORDER BY occurred_at DESC, id DESC, log DESC"
        } else {
            " ORDER BY occurred_at, id, log"
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLICE: RowSlice = RowSlice { newest_first: true, after: None, skip: 0, limit: 50 };

    fn plan(from: Option<i64>, to: Option<i64>) -> CentralPlan {
        let window =
            TimeBounds { from: from.map(Timestamp::from_nanos), to: to.map(Timestamp::from_nanos) };
        let dialect = SqlDialect::Postgres;
        CentralPlan { dialect, window, terms: Vec::new(), walked: None, is_exact: true }
    }

    fn bounds(from: i64, to: i64) -> TimeBounds {
        let [from, to] = [from, to].map(|at| Some(Timestamp::from_nanos(at)));
        TimeBounds { from, to }
    }

    #[test]
    fn a_page_is_looked_for_in_one_month_then_four_then_all_others() {
        let months: Vec<_> = (0..10).map(|month| bounds(10 * month, 10 * month + 10)).collect();
        let windows = |newest_first| {
            plan(None, None).search_windows(&months, &RowSlice { newest_first, ..SLICE })
        };
        assert_eq!(windows(true), [bounds(90, 100), bounds(50, 90), bounds(0, 50)]);
        assert_eq!(windows(false), [bounds(0, 10), bounds(10, 50), bounds(50, 100)]);
        assert_eq!(plan(None, None).search_windows(&[], &SLICE), []);
    }

    proptest! {
        /// The windows of a slice hold each time that the slice may have once, in its order.
        #[test]
        fn windows_have_each_time_once(
            months in prop::collection::btree_set(0_i64..9, 0..9),
            from in prop::option::of(0_i64..100),
            to in prop::option::of(0_i64..100),
            after in prop::option::of(0_i64..100),
            newest_first: bool,
        ) {
            let filled: Vec<_> =
                months.iter().map(|month| bounds(10 * month, 10 * month + 10)).collect();
            let place = after.map(|occurred_at| RowPlace { occurred_at, id: 7, log: None });
            let slice = RowSlice { newest_first, after: place, ..SLICE };
            let plan = plan(from, to);
            let windows = plan.search_windows(&filled, &slice);
            prop_assert!(windows.len() <= 3);
            let times = |bounds: TimeBounds| {
                let mut times: Vec<i64> = (-5..105)
                    .filter(|at| bounds.contains(Timestamp::from_nanos(*at)))
                    .filter(|at| match after {
                        Some(after) if newest_first => *at <= after,
                        Some(after) => *at >= after,
                        None => true,
                    })
                    .collect();
                if newest_first {
                    times.reverse();
                }
                times
            };
            let within = windows.into_iter().map(|window| plan.within(window).window);
            let mut found: Vec<i64> = within.flat_map(&times).collect();
            let mut all = times(plan.window);
            let is_filled = |at: &i64| months.contains(&at.div_euclid(10));
            found.retain(is_filled);
            all.retain(is_filled);
            prop_assert_eq!(found, all);
        }
    }
}
