//! An open log: its connection, and what the connection remembers between calls.
//!
//! The other modules of the engine add their calls to [`Sqlite`]; this module imports none of
//! those.

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
use crate::store::sqlite::files::open_files::OpenFiles;
use crate::store::sqlite::plan::PlanCache;
use crate::store::sqlite::rows;
use crate::store::sqlite::rows::DimensionCache;
use crate::store::sqlite::rows::SelectedEvents;
use crate::store::sqlite::wal;

/// An open log, with what its connection remembers.
pub(in crate::store) struct Sqlite {
    pub(super) connection: Connection,
    /// The path that the caller named, made absolute.
    pub(super) path: PathBuf,
    pub(super) warnings: Vec<String>,
    /// Absent for a copy that no other process knows.
    pub(super) files: Option<OpenFiles>,
    /// The dimension rows that were read, for as long as no other connection writes.
    pub(super) dimension_cache: RefCell<DimensionCache>,
    pub(super) plan_cache: RefCell<PlanCache>,
    pub(super) writer: WriterState,
}

/// The state of a connection that writes, between its transactions.
#[derive(Default)]
pub(super) struct WriterState {
    pub(super) interner: Interner,
    /// The `schema_version` at which the schema was last checked.
    pub(super) schema_version: Option<i64>,
    pub(super) data_version: Option<i64>,
    /// A transaction was long: the write-ahead log is emptied when the log is closed.
    pub(super) had_long_transaction: bool,
    /// The newest event that this connection knows to be in the log.
    pub(super) head: Option<(EventId, Hash)>,
    /// The last transaction was long: a pause before the next one gives others their turn.
    pub(super) pause_before_next: bool,
    /// A write failed in such a way that only a new connection can know what is stored. Nothing
    /// more is written.
    pub(super) poisoned: bool,
}

impl Sqlite {
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        files: Option<OpenFiles>,
        warnings: Vec<String>,
    ) -> Self {
        Self {
            connection,
            path,
            warnings,
            files,
            dimension_cache: RefCell::default(),
            plan_cache: RefCell::default(),
            writer: WriterState::default(),
        }
    }

    pub(in crate::store) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Runs a read on one snapshot, so that its statements agree with each other.
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

    /// Returns the events that a statement selects. Its first columns are `layout::columns!()`.
    pub(super) fn select_events(&self, sql: &str, params: impl Params) -> Result<Vec<Event>> {
        self.read_in_snapshot(|connection| {
            rows::select_events(connection, &self.dimension_cache, sql, params)
        })
    }

    /// Returns the first events that a statement selects, up to so many bytes of them.
    pub(super) fn select_events_within(
        &self,
        sql: &str,
        params: impl Params,
        max_bytes: usize,
    ) -> Result<SelectedEvents> {
        self.read_in_snapshot(|connection| {
            rows::select_events_within(connection, &self.dimension_cache, sql, params, max_bytes)
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

    /// Forgets all dimension rows. Some of them were removed by this connection, and SQLite does
    /// not report its own writes to a connection.
    pub(super) fn clear_caches(&mut self) {
        self.writer.interner.clear();
        self.dimension_cache.borrow_mut().clear();
    }
}

impl Drop for Sqlite {
    /// After long transactions the write-ahead log is large, so it is emptied. Nothing depends on
    /// that, so it does not wait for readers.
    fn drop(&mut self) {
        if !self.writer.had_long_transaction || self.writer.poisoned {
            return;
        }
        // The pages of a write-ahead log that was removed do not belong into the file any more.
        if self.files.as_ref().is_some_and(OpenFiles::are_replaced) {
            return;
        }
        drop(wal::checkpoint_and_truncate(&mut self.connection));
    }
}

/// Returns the newest id and its hash, as the log has recorded them. The id is 0 in an empty log.
pub(super) fn read_head(connection: &Connection) -> rusqlite::Result<(EventId, Hash)> {
    let mut statement = connection.prepare_cached("SELECT id, hash FROM head")?;
    let (id, hash) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if id < 0 {
        return Err(error::damage("its head has an impossible id"));
    }
    Ok((EventId(id), Hash(hash)))
}
