//! A log that is open: its connection, and what the connection remembers between calls.
//!
//! Every other room of the engine adds its own calls to [`Sqlite`]; this one imports none of them.

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Params;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::sqlite::dimensions::Interner;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::plan::PlanCache;
use crate::store::sqlite::rows;
use crate::store::sqlite::rows::DimensionCache;
use crate::store::sqlite::wal;

/// A log that is open, with what its connection remembers.
pub(in crate::store) struct Sqlite {
    pub(super) connection: Connection,
    /// As the caller named it, made absolute.
    pub(super) path: PathBuf,
    pub(super) warnings: Vec<String>,
    /// The dimension rows that were read.
    pub(super) dimension_cache: RefCell<DimensionCache>,
    pub(super) plan_cache: RefCell<PlanCache>,
    pub(super) writer: WriterState,
}

/// What a connection that writes remembers between its transactions.
#[derive(Default)]
pub(super) struct WriterState {
    pub(super) interner: Interner,
    /// The schema that was checked.
    pub(super) schema_version: Option<i64>,
    pub(super) data_version: Option<i64>,
    /// A transaction was long: the next leaves a pause before it, and the end shortens the
    /// write-ahead log.
    pub(super) had_long_transaction: bool,
    pub(super) pause_before_next: bool,
    /// A write ended so that only a new connection can know what is stored.
    pub(super) poisoned: bool,
}

impl Sqlite {
    pub(super) fn new(connection: Connection, path: PathBuf, warnings: Vec<String>) -> Self {
        Self {
            connection,
            path,
            warnings,
            dimension_cache: RefCell::default(),
            plan_cache: RefCell::default(),
            writer: WriterState::default(),
        }
    }

    pub(in crate::store) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Runs a read over one snapshot, so that its statements agree with each other.
    pub(super) fn read_in_snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.in_snapshot(read).map_err(|why| error::to_failure(&self.path, Operation::Read, &why))
    }

    pub(super) fn in_snapshot<T>(
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

    /// The events that a statement selects; its first columns are `rows::columns!()`.
    pub(super) fn select_events(&self, sql: &str, params: impl Params) -> Result<Vec<Event>> {
        self.read_in_snapshot(|connection| {
            rows::select_events(connection, &self.dimension_cache, sql, params)
        })
    }

    pub(in crate::store) fn schema_version(&self) -> Result<i64> {
        self.read_in_snapshot(|connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))
        })
    }

    pub(in crate::store) fn head(&self) -> Result<(EventId, Hash)> {
        self.read_in_snapshot(read_head)
    }

    /// Forgets the rows that were read, found and made: some of them were removed by this connection,
    /// and its own writes do not tell it so.
    pub(super) fn clear_caches(&mut self) {
        self.writer.interner.clear();
        self.dimension_cache.borrow_mut().clear();
    }
}

impl Drop for Sqlite {
    /// After a long run the write-ahead log is large: it is carried over and cut. Nothing depends on
    /// it, so a reader who is in the way is not waited for.
    fn drop(&mut self) {
        if !self.writer.had_long_transaction || self.writer.poisoned {
            return;
        }
        drop(wal::checkpoint_and_truncate(&mut self.connection));
    }
}

/// The newest event, as the log has noted it; an empty log has 0.
pub(super) fn read_head(connection: &Connection) -> rusqlite::Result<(EventId, Hash)> {
    let mut statement = connection.prepare_cached("SELECT id, hash FROM head")?;
    let (id, hash) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if id < 0 {
        return Err(error::damage("its head has no id that there can be"));
    }
    Ok((EventId(id), Hash(hash)))
}
