//! The tables `mirror` and `dead_letter`, and the reads of mirrors.

use std::collections::HashMap;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::params;

use crate::chain::Seal;
use crate::event::Event;
use crate::event::EventId;
use crate::query::Query;
use crate::store::mirror::BatchBounds;
use crate::store::mirror::DeadLetter;
use crate::store::mirror::MirrorState;
use crate::store::sqlite::append::SqliteBatch;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::layout;
use crate::store::sqlite::rows;
use crate::store::sqlite::sql::Sql;
use crate::time::Timestamp;

/// The pages that a mirror keeps, in KiB: those of the rows that many events share.
const CACHE_KIB: i64 = 4096;

impl Sqlite {
    pub(in crate::store) fn keep_few_pages(&self) -> Result<()> {
        self.read_in_snapshot(|connection| connection.pragma_update(None, "cache_size", -CACHE_KIB))
    }

    pub(in crate::store) fn log_uuid(&self) -> Result<[u8; 16]> {
        const SQL: &str = "SELECT value FROM meta WHERE key = 'uuid'";
        self.read_in_snapshot(|connection| connection.query_row(SQL, [], |row| row.get(0)))
    }

    pub(in crate::store) fn mirror_state(&self, name: &str) -> Result<Option<MirrorState>> {
        const SQL: &str = "SELECT name, cursor, cut, delivered, failures, failing_since, \
            failing_recorded, next_try, error, status, delivered_at FROM mirror WHERE name = ?1";
        self.read_in_snapshot(|connection| {
            connection.prepare_cached(SQL)?.query_row([name], read_state).optional()
        })
    }

    pub(in crate::store) fn events_within(
        &self,
        query: &Query,
        bounds: &BatchBounds,
    ) -> Result<Vec<Event>> {
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            if plan.matches_nothing {
                return Ok(Vec::new());
            }
            let mut sql = Sql::new(concat!("SELECT ", layout::columns!()));
            sql.bind(" FROM event NOT INDEXED WHERE event.id > ?", bounds.after.0);
            sql.bind(" AND event.id <= ?", bounds.up_to.0);
            plan.window.add_condition(&mut sql);
            plan.add_filters(&mut sql, None);
            let limit = i64::try_from(bounds.events).unwrap_or(i64::MAX);
            sql.bind(" ORDER BY event.id LIMIT ?", limit);
            let (text, params) = (sql.text(), sql.params());
            let cache = &self.dimension_cache;
            rows::select_events_within(connection, cache, text, params, bounds.bytes)
                .map(|selected| selected.events)
        })
    }

    pub(in crate::store) fn seals(&self, ids: &[EventId]) -> Result<Vec<Seal>> {
        const SQL: &str = "SELECT event.id, event.salt, actor.salt, impersonator.salt, \
              target.salt, agent.salt \
            FROM json_each(?1) AS wanted JOIN event ON event.id = wanted.value \
            LEFT JOIN actor ON actor.key = event.actor \
            LEFT JOIN actor AS impersonator ON impersonator.key = event.impersonator \
            LEFT JOIN target ON target.key = event.target \
            LEFT JOIN agent ON agent.key = event.agent";
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let found = statement.query_map([json_array(ids)], |row| {
                let seal = Seal {
                    body: row.get(1)?,
                    actor: row.get(2)?,
                    impersonator: row.get(3)?,
                    target: row.get(4)?,
                    agent: row.get(5)?,
                };
                Ok((row.get::<_, i64>(0)?, seal))
            })?;
            let found = found.collect::<rusqlite::Result<HashMap<_, _>>>()?;
            let seal = |id: &EventId| found.get(&id.0).copied();
            let seals = ids.iter().map(|id| {
                seal(id).ok_or_else(|| error::damage(format!("event {id} is not there")))
            });
            seals.collect()
        })
    }

    /// Times ascend with ids, so this halves the range of ids.
    pub(in crate::store) fn newest_recorded_before(&self, at: Timestamp) -> Result<EventId> {
        const NEXT: &str = "SELECT id, recorded_at FROM event WHERE id > ?1 ORDER BY id LIMIT 1";
        self.read_in_snapshot(|connection| {
            let mut next = connection.prepare_cached(NEXT)?;
            let (mut before, mut end) = (0, max_id(connection)?);
            while before < end {
                let middle = before + (end - before) / 2;
                let found: Option<(i64, i64)> =
                    next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                match found {
                    Some((id, recorded)) if id <= end && recorded < at.as_nanos() => before = id,
                    Some(_) | None => end = middle,
                }
            }
            Ok(EventId(before))
        })
    }

    pub(in crate::store) fn dead_letters(&self, mirror: &str) -> Result<Vec<DeadLetter>> {
        const SQL: &str = "SELECT id, reason, status, at FROM dead_letter WHERE mirror = ?1 \
            ORDER BY id";
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let letters = statement.query_map([mirror], |row| {
                Ok(DeadLetter {
                    id: EventId(row.get(0)?),
                    reason: row.get(1)?,
                    status: row.get(2)?,
                    at: Timestamp::from_nanos(row.get(3)?),
                })
            })?;
            letters.collect()
        })
    }

    pub(in crate::store) fn dead_letter_count(&self, mirror: &str) -> Result<u64> {
        const SQL: &str = "SELECT count(*) FROM dead_letter WHERE mirror = ?1";
        self.read_in_snapshot(|connection| {
            let count: i64 =
                connection.prepare_cached(SQL)?.query_row([mirror], |row| row.get(0))?;
            Ok(count.cast_unsigned())
        })
    }
}

impl SqliteBatch<'_> {
    pub(in crate::store) fn save_mirror(&mut self, state: &MirrorState) -> Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO mirror (name, cursor, cut, delivered, failures, \
            failing_since, failing_recorded, next_try, error, status, delivered_at) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.write(|connection| {
            connection.prepare_cached(SQL)?.execute(params![
                state.name,
                state.cursor.0,
                state.cut.map(|cut| cut.0),
                i64::try_from(state.delivered).unwrap_or(i64::MAX),
                state.failures,
                state.failing_since.map(Timestamp::as_nanos),
                state.is_failing_recorded,
                state.next_try.map(Timestamp::as_nanos),
                state.error,
                state.status,
                state.delivered_at.map(Timestamp::as_nanos),
            ])
        })
    }

    pub(in crate::store) fn add_dead_letter(
        &mut self,
        mirror: &str,
        letter: &DeadLetter,
    ) -> Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO dead_letter (mirror, id, reason, status, at) \
            VALUES (?1, ?2, ?3, ?4, ?5)";
        self.write(|connection| {
            let (at, id) = (letter.at.as_nanos(), letter.id.0);
            connection.prepare_cached(SQL)?.execute(params![
                mirror,
                id,
                letter.reason,
                letter.status,
                at
            ])
        })
    }

    pub(in crate::store) fn remove_dead_letters(
        &mut self,
        mirror: &str,
        ids: &[EventId],
    ) -> Result<()> {
        const SQL: &str = "DELETE FROM dead_letter WHERE mirror = ?1 \
            AND id IN (SELECT value FROM json_each(?2))";
        self.write(|connection| {
            connection.prepare_cached(SQL)?.execute(params![mirror, json_array(ids)])
        })
    }
}

fn read_state(row: &Row<'_>) -> rusqlite::Result<MirrorState> {
    let id = |column| row.get::<_, Option<i64>>(column).map(|id| id.map(EventId));
    let time =
        |column| row.get::<_, Option<i64>>(column).map(|nanos| nanos.map(Timestamp::from_nanos));
    Ok(MirrorState {
        name: row.get(0)?,
        cursor: EventId(row.get(1)?),
        cut: id(2)?,
        delivered: row.get::<_, i64>(3)?.max(0).cast_unsigned(),
        failures: row.get(4)?,
        failing_since: time(5)?,
        is_failing_recorded: row.get(6)?,
        next_try: time(7)?,
        error: row.get(8)?,
        status: row.get(9)?,
        delivered_at: time(10)?,
    })
}

fn max_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT ifnull(max(id), 0) FROM event")?
        .query_row([], |row| row.get(0))
}

fn json_array(ids: &[EventId]) -> String {
    let ids: Vec<String> = ids.iter().map(EventId::to_string).collect();
    format!("[{}]", ids.join(","))
}
