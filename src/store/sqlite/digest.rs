//! Answers the reads of a digest.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use rusqlite::Connection;

use crate::event;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::own_events;
use crate::store::digest::ActionCount;
use crate::store::digest::DailyCounts;
use crate::store::digest::DetailLevel;
use crate::store::digest::DigestRange;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::layout;
use crate::store::sqlite::page::STREAM_CHUNK_BYTES;
use crate::store::sqlite::swept::not_swept;
use crate::time::Timestamp;

/// The number of events that are read at a time, unless they are long.
const ROWS_PER_PAGE: i64 = 2_000;
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Selects a page of a range, the newest first, behind a position.
macro_rules! newest_first_sql {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM event INDEXED BY event_occurred_at \
             WHERE occurred_at >= ?3 AND occurred_at < ?4 AND id > ?1 AND id <= ?2 \
               AND (occurred_at, id) < (?5, ?6) AND ",
            not_swept!(),
            " ORDER BY occurred_at DESC, id DESC LIMIT ?7"
        )
    };
}

/// Selects a page of a range in the order of ids. The time is hidden from SQLite's planner, because
/// fewer events were recorded since yesterday than occurred before.
macro_rules! recorded_order_sql {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM event WHERE id > ?1 AND id <= ?2 AND +occurred_at >= ?3 AND +occurred_at < ?4 AND ",
            not_swept!(),
            " ORDER BY id LIMIT ?5"
        )
    };
}

impl Sqlite {
    pub(in crate::store) fn with_snapshot<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let to_failure =
            |cause: rusqlite::Error| error::to_failure(&self.path, Operation::Read, &cause);
        if !self.connection.is_autocommit() {
            return read();
        }
        let transaction = self.connection.unchecked_transaction().map_err(to_failure)?;
        let result = read()?;
        transaction.finish().map_err(to_failure)?;
        Ok(result)
    }

    pub(in crate::store) fn each_newest_first(
        &self,
        extent: &DigestRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let sql = match depth {
            DetailLevel::Outline => newest_first_sql!(layout::outline_columns!()),
            DetailLevel::Full => newest_first_sql!(layout::columns!()),
        };
        let (after, through) = (extent.after.host(), extent.through.host());
        let DigestRange { since, until, .. } = *extent;
        let mut place = (until, EventId(i64::MAX));
        loop {
            let span = (after.0, through.0, since.as_nanos(), until.as_nanos());
            let behind = (place.0.as_nanos(), place.1.0);
            let params = (span.0, span.1, span.2, span.3, behind.0, behind.1, ROWS_PER_PAGE);
            let page = self.select_events_within(sql, params, STREAM_CHUNK_BYTES)?.events;
            let Some(last) = page.last() else { return Ok(()) };
            place = (last.occurred_at, last.id);
            page.into_iter().for_each(&mut *visit);
        }
    }

    pub(in crate::store) fn each_in_recorded_order(
        &self,
        extent: &DigestRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let sql = match depth {
            DetailLevel::Outline => recorded_order_sql!(layout::outline_columns!()),
            DetailLevel::Full => recorded_order_sql!(layout::columns!()),
        };
        let (mut after, through) = (extent.after.host(), extent.through.host());
        let DigestRange { since, until, .. } = *extent;
        loop {
            let params = (after.0, through.0, since.as_nanos(), until.as_nanos(), ROWS_PER_PAGE);
            let page = self.select_events_within(sql, params, STREAM_CHUNK_BYTES)?.events;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            page.into_iter().for_each(&mut *visit);
        }
    }

    pub(in crate::store) fn action_counts(&self, extent: &DigestRange) -> Result<Vec<ActionCount>> {
        const SQL: &str = concat!(
            "SELECT action, ifnull(status >= 400, 0) AS failed, count(*) \
             FROM event INDEXED BY event_occurred_at \
             WHERE occurred_at >= ?3 AND occurred_at < ?4 AND id > ?1 AND id <= ?2 AND own = 0 AND ",
            not_swept!(),
            " GROUP BY action, failed"
        );
        let (after, through) = (extent.after.host(), extent.through.host());
        let DigestRange { since, until, .. } = *extent;
        self.read_in_snapshot(|connection| {
            let actions = read_actions(connection)?;
            let mut statement = connection.prepare_cached(SQL)?;
            let params = (after.0, through.0, since.as_nanos(), until.as_nanos());
            let rows = statement.query_map(params, |row| {
                let action = Arc::clone(action_by_key(&actions, row.get(0)?)?);
                let failed = row.get(1)?;
                Ok(ActionCount {
                    failed: failed || event::is_failure_action(&action.slug),
                    action,
                    count: row.get::<_, i64>(2)?.cast_unsigned(),
                })
            })?;
            rows.collect()
        })
    }

    pub(in crate::store) fn daily_counts(
        &self,
        until: Timestamp,
        days: usize,
    ) -> Result<Vec<DailyCounts>> {
        // The statements read nothing but their index. Rows are counted here, because SQLite's grouping
        // costs more: it does not know that days ascend with times.
        const ALL: &str = concat!(
            "SELECT action.key, event.occurred_at \
             FROM action CROSS JOIN event INDEXED BY event_action \
               ON event.action = action.key \
               AND event.occurred_at >= ?1 AND event.occurred_at < ?2 WHERE ",
            not_swept!()
        );
        const FAILED: &str = concat!(
            "SELECT action.key, event.occurred_at \
             FROM action CROSS JOIN event INDEXED BY event_failed \
               ON event.action = action.key AND event.status >= 400 \
               AND event.occurred_at >= ?1 AND event.occurred_at < ?2 WHERE ",
            not_swept!()
        );
        let period = Days::before(until, days);
        self.read_in_snapshot(|connection| {
            let actions = read_actions(connection)?;
            let mut failed = period.count_by_action(connection, FAILED)?;
            let mut counts = Vec::new();
            for (key, mut all) in period.count_by_action(connection, ALL)? {
                let action = action_by_key(&actions, key)?;
                let names_failure = event::is_failure_action(&action.slug);
                if let Some(failed) = failed.remove(&key).filter(|_| !names_failure) {
                    all.iter_mut().zip(&failed).for_each(|(all, failed)| *all -= failed);
                    let action = Arc::clone(action);
                    counts.push(DailyCounts { action, failed: true, counts: failed });
                }
                let action = Arc::clone(action);
                counts.push(DailyCounts { action, failed: names_failure, counts: all });
            }
            counts.retain(|daily| {
                !own_events::is_reserved(&daily.action.slug)
                    && daily.counts.iter().any(|count| *count > 0)
            });
            Ok(counts)
        })
    }

    pub(in crate::store) fn last_occurrence(
        &self,
        action: &Action,
        failed: bool,
        until: Timestamp,
    ) -> Result<Option<Timestamp>> {
        // One of the two states of a status; both, where the name of the action says that it failed.
        const SQL: &str = concat!(
            "SELECT max(event.occurred_at) FROM action \
             CROSS JOIN event ON event.action = action.key AND event.occurred_at < ?3 \
               AND ifnull(event.status >= 400, 0) BETWEEN ?4 AND ?5 \
             WHERE action.slug = ?1 AND action.module = ?2 AND ",
            not_swept!()
        );
        let module = action.module.as_deref().unwrap_or_default();
        let (from, to) =
            if event::is_failure_action(&action.slug) { (false, true) } else { (failed, failed) };
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let params = (&action.slug, module, until.as_nanos(), from, to);
            statement.query_row(params, |row| {
                Ok(row.get::<_, Option<i64>>(0)?.map(Timestamp::from_nanos))
            })
        })
    }

    pub(in crate::store) fn events_at(&self, places: &[EventPlace]) -> Result<Vec<Event>> {
        let ids: Vec<String> = places.iter().map(|place| place.id.to_string()).collect();
        let sql = concat!(
            "SELECT ",
            layout::columns!(),
            " FROM event WHERE id IN (SELECT value FROM json_each(?1)) AND ",
            not_swept!()
        );
        self.select_events(sql, [format!("[{}]", ids.join(","))])
    }

    pub(in crate::store) fn own_events(&self, action: &str) -> Result<Vec<Event>> {
        let sql = concat!(
            "SELECT ",
            layout::columns!(),
            " FROM action CROSS JOIN event ON event.action = action.key AND event.own = 1 \
             WHERE action.slug = ?1 AND ",
            not_swept!(),
            " ORDER BY event.id"
        );
        self.select_events(sql, [action])
    }

    pub(in crate::store) fn published_heads(
        &self,
        place: &str,
    ) -> Result<Vec<(EventId, Timestamp)>> {
        const SQL: &str = concat!(
            "SELECT id, at FROM anchor WHERE place = ?1 \
             AND EXISTS (SELECT 1 FROM event WHERE event.id = anchor.id AND ",
            not_swept!(),
            ") ORDER BY id"
        );
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let rows = statement.query_map([place], |row| {
                Ok((EventId(row.get(0)?), Timestamp::from_nanos(row.get(1)?)))
            })?;
            rows.collect()
        })
    }

    pub(in crate::store) fn last_activity(&self, until: Timestamp) -> Result<Option<Event>> {
        let sql = concat!(
            "SELECT ",
            layout::outline_columns!(),
            " FROM event INDEXED BY event_occurred_at WHERE occurred_at < ?1 AND own = 0 AND ",
            not_swept!(),
            " ORDER BY occurred_at DESC, id DESC LIMIT 1"
        );
        Ok(self.select_events(sql, [until.as_nanos()])?.pop())
    }
}

/// A number of days up to a point in time.
struct Days {
    first: i64,
    until: i64,
    count: usize,
}

impl Days {
    fn before(until: Timestamp, count: usize) -> Self {
        let length = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(DAY_NANOS);
        let until = until.as_nanos();
        Self { first: until.saturating_sub(length), until, count }
    }

    /// Counts the events of each action on each day. The statement selects the key of the action and
    /// the time of the event, with all events of an action together.
    fn count_by_action(
        &self,
        connection: &Connection,
        sql: &'static str,
    ) -> rusqlite::Result<HashMap<i64, Vec<u64>>> {
        let mut counts: HashMap<i64, Vec<u64>> = HashMap::new();
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((self.first, self.until))?;
        let mut current: Option<(i64, Vec<u64>)> = None;
        while let Some(row) = rows.next()? {
            let (key, at): (i64, i64) = (row.get(0)?, row.get(1)?);
            let day = usize::try_from(at.saturating_sub(self.first) / DAY_NANOS).unwrap_or(0);
            if current.as_ref().is_none_or(|(action, _)| *action != key) {
                counts.extend(current.replace((key, vec![0; self.count])));
            }
            if let Some((_, daily)) = &mut current {
                daily[day.min(self.count - 1)] += 1;
            }
        }
        counts.extend(current);
        Ok(counts)
    }
}

type ActionsByKey = HashMap<i64, Arc<Action>>;

fn read_actions(connection: &Connection) -> rusqlite::Result<ActionsByKey> {
    let mut statement = connection.prepare_cached("SELECT key, slug, module FROM action")?;
    let rows = statement.query_map([], |row| {
        let module = Some(row.get(2)?).filter(|module: &String| !module.is_empty());
        Ok((row.get(0)?, Arc::new(Action { slug: row.get(1)?, module })))
    })?;
    rows.collect()
}

fn action_by_key(actions: &ActionsByKey, key: i64) -> rusqlite::Result<&Arc<Action>> {
    actions.get(&key).ok_or_else(|| error::damage(format!("action {key} is not there")))
}
