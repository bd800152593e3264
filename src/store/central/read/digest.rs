//! Reads what a digest of many hosts tells: the events of a span of time, as far as each log had arrived.
//!
//! ## Cost
//!
//! A span of time is read by the index on it, what arrived late log by log. Events are visited one by
//! one.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Result;

use crate::event;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventPlace;
use crate::query::Query;
use crate::store::central::read::CentralEngine;
use crate::store::central::read::condition;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::fragment::SqlValue;
use crate::store::central::read::plan::CentralPlan;
use crate::store::central::read::plan::RowSlice;
use crate::store::central::read::summary;
use crate::store::digest::ActionCount;
use crate::store::digest::ArrivedLog;
use crate::store::digest::DetailLevel;
use crate::store::digest::DigestRange;
use crate::time::Timestamp;

/// The number of events of a log that are read at a time.
const EVENTS_AT_A_TIME: usize = 2_000;

/// The ids of a log that a range has.
struct LogRange {
    log: SqlValue,
    after: i64,
    through: i64,
}

impl LogRange {
    fn condition(&self) -> Fragment {
        let mut sql = Fragment::new("(log = ");
        sql.bind(self.log.clone());
        if self.after > 0 {
            sql.add(" AND id > ").bind(SqlValue::Integer(self.after));
        }
        sql.add(" AND id <= ").bind(SqlValue::Integer(self.through)).add(")");
        sql
    }
}

impl CentralEngine {
    /// Returns the logs as they are now, in the order of their names.
    pub(in crate::store) fn arrived_logs(&self) -> Result<Vec<ArrivedLog>> {
        let origins = self.read_origins()?;
        let logs = origins.iter().map(|origin| ArrivedLog {
            uuid: origin.uuid.clone(),
            name: Arc::clone(&origin.name),
            head: (origin.head, origin.head_hash),
            delivered: origin.delivered,
            seen_at: origin.seen_at,
        });
        Ok(logs.collect())
    }

    /// Returns the ids of each log that a range has; logs without one are left out.
    fn log_ranges(&self, range: &DigestRange) -> Vec<LogRange> {
        let origins = self.origins();
        let of_log = |(uuid, through): (&str, event::EventId)| {
            let origin = origins.iter().find(|origin| origin.uuid == uuid)?;
            let after = range.after.in_log(uuid);
            (after < through).then(|| LogRange {
                log: origin.key.clone(),
                after: after.0,
                through: through.0,
            })
        };
        range.through.logs().filter_map(of_log).collect()
    }

    /// Returns the plan that finds the events of a range.
    fn range_plan(&self, range: &DigestRange, query: &Query) -> CentralPlan {
        let mut plan = self.plan(query);
        let dialect = self.server.dialect();
        let logs = self.log_ranges(range);
        let of_logs = logs.iter().map(LogRange::condition);
        plan.restrict(Fragment::joined(of_logs, " OR ", condition::never(dialect)));
        plan
    }

    pub(in crate::store) fn each_newest_first(
        &self,
        range: &DigestRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        if self.log_ranges(range).is_empty() {
            return Ok(());
        }
        let query = Query::between(range.since, range.until);
        let plan = self.range_plan(range, &query);
        self.each_of_plan(&query, &plan, (true, depth), &mut |event| {
            visit(event);
            Ok(ControlFlow::Continue(()))
        })
    }

    pub(in crate::store) fn each_in_recorded_order(
        &self,
        range: &DigestRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        match self.server.dialect() {
            SqlDialect::Postgres => {
                for log in self.log_ranges(range) {
                    self.each_of_log(log, range, depth, visit)?;
                }
                Ok(())
            }
            // There ids lead nowhere, so it is looked through once for all logs.
            SqlDialect::ClickHouse => self.each_newest_first(range, depth, visit),
        }
    }

    fn each_of_log(
        &self,
        mut log: LogRange,
        range: &DigestRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let (columns, table) = (self.server.event_columns(depth), self.server.table());
        loop {
            let mut sql = Fragment::new(format!("SELECT {columns} FROM {table} WHERE "));
            sql.append(&log.condition());
            sql.add(" AND occurred_at >= ").bind(SqlValue::Integer(range.since.as_nanos()));
            sql.add(" AND occurred_at < ").bind(SqlValue::Integer(range.until.as_nanos()));
            sql.add(&format!(" ORDER BY id LIMIT {EVENTS_AT_A_TIME}"));
            let found = self.read_rows(&sql)?;
            let is_last = found.len() < EVENTS_AT_A_TIME;
            log.after = found.last().map_or(log.through, |found| found.event.id.0);
            found.into_iter().for_each(|found| visit(found.event));
            if is_last {
                return Ok(());
            }
        }
    }

    pub(in crate::store) fn action_counts(&self, range: &DigestRange) -> Result<Vec<ActionCount>> {
        if self.log_ranges(range).is_empty() {
            return Ok(Vec::new());
        }
        let mut plan = self.range_plan(range, &Query::between(range.since, range.until));
        plan.restrict(self.is_activity());
        let sql = Fragment::new(
            "action AS g1, module AS g2, CASE WHEN status_code >= 400 THEN 1 ELSE 0 END AS g3, \
             count(*)",
        );
        let columns = "log, id, action, module, status_code";
        let mut counts: HashMap<(Action, bool), u64> = HashMap::new();
        for row in self.grouped(&plan, &sql, columns, 4, " GROUP BY g1, g2, g3")? {
            let action = Action { slug: summary::text(&row, 0), module: row[1].clone() };
            let failed = summary::number(&row, 2) == 1 || event::is_failure_action(&action.slug);
            *counts.entry((action, failed)).or_default() += summary::number(&row, 3);
        }
        let counts = counts.into_iter().map(|((action, failed), count)| ActionCount {
            action: Arc::new(action),
            failed,
            count,
        });
        Ok(counts.collect())
    }

    /// The condition on events that no log wrote about itself.
    fn is_activity(&self) -> Fragment {
        Fragment::new(match self.server.dialect() {
            SqlDialect::Postgres => "NOT own",
            SqlDialect::ClickHouse => "own = 0",
        })
    }

    pub(in crate::store) fn events_at(&self, places: &[EventPlace]) -> Result<Vec<Event>> {
        let origins = self.origins();
        let named = places.iter().filter_map(|place| {
            let name = place.log.as_deref()?;
            let origin = origins.iter().find(|origin| *origin.name == *name)?;
            let mut sql = Fragment::new("(log = ");
            sql.bind(origin.key.clone()).add(" AND id = ").bind(SqlValue::Integer(place.id.0));
            sql.add(")");
            Some(sql)
        });
        let never = condition::never(self.server.dialect());
        let (columns, table) = (self.server.event_columns(DetailLevel::Full), self.server.table());
        let mut sql = Fragment::new(format!("SELECT {columns} FROM {table} WHERE "));
        sql.append(&Fragment::joined(named, " OR ", never));
        Ok(self.read_rows(&sql)?.into_iter().map(|found| found.event).collect())
    }

    pub(in crate::store) fn last_activity(&self, until: Timestamp) -> Result<Option<Event>> {
        let mut query = Query::default();
        query.narrow_to_before(until);
        let mut plan = self.plan(&query);
        plan.restrict(self.is_activity());
        let slice = RowSlice { newest_first: true, after: None, skip: 0, limit: 1 };
        Ok(self.read_slice(&query, &plan, slice)?.pop())
    }
}
