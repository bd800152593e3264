//! The log as one SQLite file; the only place that speaks SQL.
//!
//! `layout` has the columns of an event and the tables that it refers to; all statements follow from it.
//! `open` and `create` find or make the file and set the connection up, `append` writes, with the
//! rows that events refer to from `dimensions`, `rows` turns rows into events, `progress` knows files
//! by their bytes, `lock` keeps sweeps and exports apart, `sweep` removes what is vouched for, `error`
//! puts what SQLite says into our words, `migrate` has the schema and its history. `verify` reads what
//! no other part may trust, `copy` makes a backup, and `wal` carries the write-ahead log over.
//!
//! A query is read by `plan`, term by term in `terms`, with the keys that they name from `keys` and
//! what SQL cannot say from `functions`; `page` and `summary` answer it, `sort` knows other orders, and `sql` lets none of
//! them splice a value into a statement.

mod append;
mod copy;
mod create;
mod digest;
mod dimensions;
mod error;
mod functions;
mod layout;
mod lock;
mod lookup;
mod migrate;
mod open;
mod page;
mod plan;
mod progress;
#[cfg(test)]
mod query_tests;
mod rows;
mod sort;
mod sql;
mod summary;
mod sweep;
mod terms;
#[cfg(test)]
mod tests;
mod verify;
mod wal;

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Params;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::EventIdMatch;
pub(super) use crate::store::sqlite::append::SqliteBatch;
use crate::store::sqlite::error::Operation;
#[cfg(test)]
pub(super) use crate::store::sqlite::sort::sortable_fields as sortable;
pub(crate) use crate::store::sqlite::sweep::reserve::SweepLock;
pub(super) use crate::store::sqlite::verify::SqliteSnapshot;

/// How many candidates are named for the beginning of an `event_id`.
const MAX_CANDIDATES: u8 = 5;

/// A log that is open, with what its connection remembers.
pub(super) struct Sqlite {
    connection: Connection,
    /// As the caller named it, made absolute.
    path: PathBuf,
    warnings: Vec<String>,
    /// The dimension rows that were read.
    dimension_cache: RefCell<rows::DimensionCache>,
    plan_cache: RefCell<page::PlanCache>,
    writer: append::WriterState,
}

impl Sqlite {
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Runs a read over one snapshot, so that its statements agree with each other.
    fn read_in_snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.in_snapshot(read).map_err(|why| error::to_failure(&self.path, Operation::Read, &why))
    }

    fn in_snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        if !self.connection.is_autocommit() {
            return read(&self.connection);
        }
        let transaction = self.connection.unchecked_transaction()?;
        let result = read(&self.connection)?;
        transaction.finish()?;
        Ok(result)
    }

    /// The events that a statement selects; its first columns are `layout::columns!()`.
    fn select_events(&self, sql: &str, params: impl Params) -> Result<Vec<Event>> {
        self.read_in_snapshot(|connection| {
            rows::select_events(connection, &self.dimension_cache, sql, params)
        })
    }

    pub(super) fn schema_version(&self) -> Result<i64> {
        self.read_in_snapshot(|connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))
        })
    }

    pub(super) fn head(&self) -> Result<(EventId, Hash)> {
        self.read_in_snapshot(read_head)
    }

    pub(super) fn event(&self, id: EventId) -> Result<Option<Event>> {
        let sql = concat!("SELECT ", layout::columns!(), " FROM event WHERE id = ?1");
        Ok(self.select_events(sql, [id.0])?.pop())
    }

    pub(super) fn find(&self, event_id: &str) -> Result<EventIdMatch> {
        let exact = self.ids_by_event_id(event_id)?;
        let mut ids = if exact.is_empty() { self.ids_by_prefix(event_id)? } else { exact };
        if ids.len() > 1 {
            ids.sort_unstable();
            return Ok(EventIdMatch::Several(ids));
        }
        let event = ids.pop().map(|id| self.event(id)).transpose()?.flatten();
        Ok(event.map_or(EventIdMatch::None, |event| EventIdMatch::One(Box::new(event))))
    }

    fn ids_by_event_id(&self, event_id: &str) -> Result<Vec<EventId>> {
        const SQL: &str = "SELECT event.id FROM tenant \
            CROSS JOIN event ON event.tenant = tenant.key AND event.event_id = ?1 LIMIT ?2";
        let key = rows::StoredEventId::from_event_id(event_id);
        self.read_in_snapshot(|connection| select_ids(connection, SQL, (&key, MAX_CANDIDATES)))
    }

    /// UUIDs are kept as bytes, other ids as text, and the order of either is that of its bytes: so
    /// a beginning is a range.
    fn ids_by_prefix(&self, prefix: &str) -> Result<Vec<EventId>> {
        const SQL: &str = "SELECT event.id FROM tenant \
            CROSS JOIN event ON event.tenant = tenant.key \
              AND event.event_id >= ?1 AND event.event_id < ?2 LIMIT ?3";
        if prefix.is_empty() {
            return Ok(Vec::new());
        }
        self.read_in_snapshot(|connection| {
            // A BLOB is greater than any text: past the last text there are only UUIDs.
            let after = rows::prefix_upper_bound(prefix);
            let mut found = match after {
                Some(after) => select_ids(connection, SQL, (prefix, after, MAX_CANDIDATES))?,
                None => select_ids(connection, SQL, (prefix, &b""[..], MAX_CANDIDATES))?,
            };
            if let Some((first, last)) = rows::uuid_range(prefix) {
                const UUIDS: &str = "SELECT event.id FROM tenant \
                    CROSS JOIN event ON event.tenant = tenant.key \
                      AND event.event_id BETWEEN ?1 AND ?2 LIMIT ?3";
                found.extend(select_ids(
                    connection,
                    UUIDS,
                    (&first[..], &last[..], MAX_CANDIDATES),
                )?);
            }
            found.truncate(MAX_CANDIDATES.into());
            Ok(found)
        })
    }
}

/// The newest event, as the log has noted it; an empty log has 0.
fn read_head(connection: &Connection) -> rusqlite::Result<(EventId, Hash)> {
    let mut statement = connection.prepare_cached("SELECT id, hash FROM head")?;
    let (id, hash) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if id < 0 {
        return Err(error::damage("its head has no id that there can be"));
    }
    Ok((EventId(id), Hash(hash)))
}

fn select_ids(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<EventId>> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(params, |row| row.get(0).map(EventId))?.collect()
}
