//! Appends events: finds repeats, fills in defaults, links the chain, commits and syncs.
//!
//! ## Concurrency
//! A transaction takes the write lock at its beginning, so ids ascend in commit order and have no
//! holes.
//!
//! ## Durability
//! A commit returns after the sync. After a failed commit nothing is tried again: the system has
//! marked the pages as clean, so a second sync would confirm pages that were lost.

use std::cell::RefCell;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OptionalExtension;
use rusqlite::params;

use crate::chain;
use crate::chain::EventContent;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store;
use crate::store::AppendOutcome;
use crate::store::FileIdentity;
use crate::store::FileProgress;
use crate::store::Stamp;
use crate::store::sqlite::dimensions::EventDimensions;
use crate::store::sqlite::engine;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::engine::WriterState;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::files::open_files::OpenFiles;
use crate::store::sqlite::find::ID_BY_EVENT_ID;
use crate::store::sqlite::in_place;
use crate::store::sqlite::layout;
use crate::store::sqlite::layout::InsertedRow;
use crate::store::sqlite::migrate;
use crate::store::sqlite::migrate::OpenError;
use crate::store::sqlite::progress;
use crate::store::sqlite::rows;
use crate::store::sqlite::rows::StoredEventId;
use crate::store::sqlite::wal;
use crate::text;
use crate::time::Timestamp;

/// The number of events above which a transaction makes other writers wait noticeably.
const LONG_TRANSACTION: u64 = 1_000;

/// The pause after a long transaction: longer than the longest sleep of a waiting writer.
const WRITER_PAUSE: Duration = Duration::from_millis(12);

impl Sqlite {
    pub(in crate::store) fn begin(&mut self) -> Result<SqliteBatch<'_>> {
        let path = self.path.as_path();
        if self.writer.poisoned {
            return Err(earlier_write_failed(path).into());
        }
        if std::mem::take(&mut self.writer.pause_before_next) {
            thread::sleep(WRITER_PAUSE);
        }
        if let (Some(files), Some(head)) = (&self.files, self.writer.head)
            && !in_place::is_in_place(path, files, head)
        {
            self.writer.poisoned = true;
            return Err(in_place::replaced_failure(path).into());
        }
        let (connection, dimension_cache, writer) =
            (&self.connection, &self.dimension_cache, &mut self.writer);
        begin_batch(path, self.files.as_ref(), connection, dimension_cache, writer)
            .map_err(|cause| cause.into_failure(path, Operation::Write))
    }
}

fn earlier_write_failed(path: &Path) -> Failure {
    let what = format!("cannot write the log {}: an earlier write failed", path.display());
    Failure::new(Exit::Io, what)
}

fn begin_batch<'a>(
    path: &'a Path,
    files: Option<&'a OpenFiles>,
    connection: &'a Connection,
    dimension_cache: &'a RefCell<rows::DimensionCache>,
    writer: &'a mut WriterState,
) -> Result<SqliteBatch<'a>, OpenError> {
    if wal::checkpoint_if_large(connection)?
        && let Some(files) = files
    {
        files.note_content();
    }
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut batch = SqliteBatch {
        path,
        files,
        connection,
        dimension_cache,
        writer,
        find_statement: None,
        insert_statement: None,
        head_id: EventId(0),
        head_hash: Hash([0; 32]),
        last_was_repeat: false,
        attempted: 0,
        stored: 0,
        last_event_id: None,
        state: BatchState::Open,
    };
    batch.check_versions()?;
    (batch.head_id, batch.head_hash) = engine::read_head(connection)?;
    Ok(batch)
}

/// An open transaction that appends events.
pub(in crate::store) struct SqliteBatch<'a> {
    path: &'a Path,
    files: Option<&'a OpenFiles>,
    connection: &'a Connection,
    dimension_cache: &'a RefCell<rows::DimensionCache>,
    writer: &'a mut WriterState,
    find_statement: Option<CachedStatement<'a>>,
    insert_statement: Option<CachedStatement<'a>>,
    /// The newest event, in this batch or before it.
    head_id: EventId,
    head_hash: Hash,
    /// Whether the last event was in the log already.
    last_was_repeat: bool,
    attempted: u64,
    stored: u64,
    last_event_id: Option<String>,
    state: BatchState,
}

/// The stamp of one event.
struct EventStamp<'a> {
    recorded_at: Timestamp,
    recorded_by: &'a str,
}

/// The state of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BatchState {
    Open,
    /// An error occurred. SQLite may have ended the transaction, so nothing more is written.
    Failed,
    Committed,
}

impl SqliteBatch<'_> {
    pub(in crate::store) fn append(
        &mut self,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> Result<AppendOutcome> {
        self.attempted += 1;
        self.ensure_open()?;
        self.try_append(event, stamp).map_err(|cause| self.fail(&cause))
    }

    pub(in crate::store) fn record_progress(&mut self, progress: &FileProgress) -> Result<()> {
        self.ensure_open()?;
        progress::record(self.connection, progress).map_err(|cause| self.fail(&cause))
    }

    pub(in crate::store) fn find_progress(
        &mut self,
        size: u64,
        head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    ) -> Result<Vec<FileProgress>> {
        self.ensure_open()?;
        let connection = self.connection;
        progress::find(size, head_hash, |read| read(connection).map_err(|cause| self.fail(&cause)))
    }

    pub(in crate::store) fn forget_file(&mut self, file: FileIdentity) -> Result<()> {
        self.ensure_open()?;
        progress::forget_file(self.connection, file).map_err(|cause| self.fail(&cause))
    }

    pub(in crate::store) fn record_anchor(
        &mut self,
        (id, hash): (EventId, Hash),
        at: Timestamp,
        place: &str,
    ) -> Result<()> {
        // The head of a log without new events is published again and again.
        const INSERT: &str =
            "INSERT OR IGNORE INTO anchor (id, hash, at, place) VALUES (?1, ?2, ?3, ?4)";
        self.write(|connection| {
            let mut insert = connection.prepare_cached(INSERT)?;
            insert.execute(params![id.0, hash.0, at.as_nanos(), place])
        })
    }

    /// Runs a statement that writes, within this batch.
    pub(super) fn write(
        &mut self,
        statement: impl FnOnce(&Connection) -> rusqlite::Result<usize>,
    ) -> Result<()> {
        self.ensure_open()?;
        statement(self.connection).map(drop).map_err(|cause| self.fail(&cause))
    }

    pub(in crate::store) fn commit(mut self) -> Result<()> {
        self.ensure_open()?;
        self.set_head().map_err(|cause| self.fail(&cause))?;
        let committed =
            self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        committed.map_err(|cause| self.fail_unconfirmed(&cause))?;
        self.ensure_in_place()?;
        self.state = BatchState::Committed;
        self.writer.head = Some((self.head_id, self.head_hash));
        if self.stored > LONG_TRANSACTION {
            self.writer.had_long_transaction = true;
            self.writer.pause_before_next = true;
        }
        Ok(())
    }

    /// Checks after the commit that it went into the file that has the log's name.
    fn ensure_in_place(&mut self) -> Result<()> {
        let head = (self.head_id, self.head_hash);
        if self.files.is_none_or(|files| in_place::is_in_place(self.path, files, head)) {
            return Ok(());
        }
        self.state = BatchState::Failed;
        self.writer.poisoned = true;
        let mut failure = in_place::replaced_failure(self.path);
        self.name_event_to_repeat(&mut failure);
        Err(failure.into())
    }

    /// Says how the only event of this batch is repeated without storing it twice.
    fn name_event_to_repeat(&self, failure: &mut Failure) {
        if let (Some(event_id), 1) = (&self.last_event_id, self.stored) {
            failure.message += ", repeat with --event-id ";
            failure.message += event_id;
        }
    }

    /// Checks what others may have changed since the last transaction: another version of this program
    /// may have migrated the log, and a sweep may have removed rows whose keys are cached.
    fn check_versions(&mut self) -> Result<(), OpenError> {
        let number = |pragma| -> rusqlite::Result<i64> {
            self.connection.prepare_cached(pragma)?.query_row([], |row| row.get(0))
        };
        let (version, schema) = (number("PRAGMA user_version")?, number("PRAGMA schema_version")?);
        let checked = self.writer.schema_version.replace(schema).unwrap_or(schema);
        if (version, schema) != (migrate::SCHEMA_VERSION, checked) {
            migrate::identify(self.path, self.connection)?;
            migrate::check_schema(self.path, self.connection)?;
        }
        if self.writer.interner.is_empty() {
            return Ok(());
        }
        // The first transaction returns above, so the second one clears the cache without need.
        let data = rows::data_version(self.connection)?;
        if self.writer.data_version.replace(data) != Some(data) {
            self.writer.interner.clear();
        }
        Ok(())
    }

    /// Appends an event unless it repeats one. Most events are new, so a repeat is found when its insert
    /// is refused. It is looked for first in two cases: after a repeat, and where a dimension row would
    /// be added, because a refused event must leave no row behind.
    fn try_append(
        &mut self,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> rusqlite::Result<AppendOutcome> {
        let stamp = &EventStamp { recorded_at: (stamp.clock)(), recorded_by: stamp.recorded_by };
        let given_id = event.event_id.as_deref().filter(|id| !id.is_empty());
        let cached = self.writer.interner.cached_rows(event, stamp.recorded_by);
        if (self.last_was_repeat || cached.is_none())
            && let Some(outcome) = self.resolve_duplicate(event, given_id)?
        {
            return Ok(outcome);
        }
        self.last_was_repeat = false;
        let rows = match cached {
            Some(rows) => rows,
            None => self.writer.interner.intern(self.connection, event, stamp.recorded_by)?,
        };
        let event_id = match given_id {
            Some(given) => given.to_owned(),
            None => self.new_event_id(stamp)?,
        };
        match self.insert(event, &event_id, stamp, &rows) {
            Ok(id) => Ok(AppendOutcome::Stored { id, event_id }),
            Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.resolve_duplicate(event, given_id)?.ok_or(cause)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Returns the outcome for an event whose `event_id` is in the log; `None` if it is not.
    fn resolve_duplicate(
        &mut self,
        event: &NewEvent,
        event_id: Option<&str>,
    ) -> rusqlite::Result<Option<AppendOutcome>> {
        const SQL: &str = concat!("SELECT ", layout::columns!(), " FROM event WHERE id = ?1");
        let Some(event_id) = event_id else {
            return Ok(None);
        };
        let Some(id) = self.find_by_event_id(event.tenant.as_deref(), event_id)? else {
            return Ok(None);
        };
        self.last_was_repeat = true;
        let existing =
            rows::select_events(self.connection, self.dimension_cache, SQL, [id.0])?.pop();
        let existing = existing.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(Some(match store::conflicting_field(event, &existing) {
            Some(field) => AppendOutcome::Conflict { id, field },
            None => AppendOutcome::Duplicate { id, event_id: existing.event_id },
        }))
    }

    /// Returns the event with this `event_id`, in this batch or before it.
    fn find_by_event_id(
        &mut self,
        tenant: Option<&str>,
        event_id: &str,
    ) -> rusqlite::Result<Option<EventId>> {
        let find = match &mut self.find_statement {
            Some(find) => find,
            None => self.find_statement.insert(self.connection.prepare_cached(ID_BY_EVENT_ID)?),
        };
        let key = StoredEventId::from_event_id(event_id);
        find.query_row(params![key, tenant.unwrap_or("")], |row| row.get(0).map(EventId)).optional()
    }

    /// Makes a UUID v7 of the time of recording: ids are in order and cannot be guessed.
    fn new_event_id(&mut self, stamp: &EventStamp<'_>) -> rusqlite::Result<String> {
        let millis = u64::try_from(stamp.recorded_at.as_nanos() / 1_000_000).unwrap_or(0);
        let random = self.writer.interner.random.bytes()?;
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        Ok(uuid.hyphenated().to_string())
    }

    /// Inserts an event under the next id, with the hash that links it to the one before.
    fn insert(
        &mut self,
        event: &NewEvent,
        event_id: &str,
        stamp: &EventStamp<'_>,
        rows: &EventDimensions,
    ) -> rusqlite::Result<EventId> {
        let used_up = || error::damage("its head has the last id that there is");
        let id = EventId(self.head_id.0.checked_add(1).ok_or_else(used_up)?);
        let content = self.content(event, event_id, stamp, rows)?;
        let hash = chain::link_hash(&self.head_hash, id, &content.digest());
        let row = InsertedRow {
            id: &id.0,
            event_id: &StoredEventId::from_event_id(event_id),
            occurred_at: &content.occurred_at.as_nanos(),
            recorded_at: &content.recorded_at.as_nanos(),
            source: &store::source_number(content.source),
            severity: &store::severity_number(content.severity),
            own: &content.own,
            hash: &hash.0,
            keys: &rows.keys(),
            values: &content.values,
            salt: &content.salt,
        };
        if self.insert_row(&row)? == 0 || self.connection.last_insert_rowid() != id.0 {
            return Err(error::ignored_write("an event"));
        }
        (self.head_id, self.head_hash) = (id, hash);
        self.stored += 1;
        self.last_event_id = Some(event_id.to_owned());
        Ok(id)
    }

    /// The content that is hashed, with defaults for what the emitter did not give.
    fn content<'e>(
        &mut self,
        event: &'e NewEvent,
        event_id: &'e str,
        stamp: &EventStamp<'e>,
        rows: &EventDimensions,
    ) -> rusqlite::Result<EventContent<'e>> {
        Ok(EventContent {
            event_id,
            occurred_at: event.occurred_at.unwrap_or(stamp.recorded_at),
            recorded_at: stamp.recorded_at,
            recorded_by: stamp.recorded_by,
            tenant: event.tenant.as_deref(),
            source: event.source_or_default(),
            severity: event.severity_or_default(),
            module: event.module.as_deref(),
            action: &event.action,
            title: event.title.as_deref(),
            actor: rows.actor.map(|row| row.digest),
            impersonator: rows.impersonator.map(|row| row.digest),
            target_type: event.target_type.as_deref(),
            target: rows.target.map(|row| row.digest),
            agent: rows.agent.map(|row| row.digest),
            values: layout::stored_values(event),
            own: event.own,
            salt: self.writer.interner.random.bytes()?,
        })
    }

    /// Returns the number of rows that were inserted: SQLite can ignore an insert without an error.
    ///
    /// The first event of a transaction names its id, because the newest events may have been cut
    /// off. For the others SQLite counts: it keeps a copy of each page that it touches, to undo that
    /// one insert, where it does not choose the id itself. This costs a quarter of the time.
    fn insert_row(&mut self, row: &InsertedRow<'_>) -> rusqlite::Result<usize> {
        if self.stored == 0 {
            let mut insert = self.connection.prepare_cached(layout::INSERT_WITH_ID)?;
            return insert.execute(&row.with_id()[..]);
        }
        let insert = match &mut self.insert_statement {
            Some(insert) => insert,
            None => {
                let insert = self.connection.prepare_cached(layout::INSERT_NEXT)?;
                self.insert_statement.insert(insert)
            }
        };
        insert.execute(&row.without_id()[..])
    }

    fn set_head(&self) -> rusqlite::Result<()> {
        if self.stored == 0 {
            return Ok(());
        }
        let mut update =
            self.connection.prepare_cached("UPDATE head SET id = ?1, hash = ?2 WHERE one = 1")?;
        match update.execute(params![self.head_id.0, self.head_hash.0])? {
            1 => Ok(()),
            _ => Err(error::ignored_write("the newest id")),
        }
    }

    /// Lets a planned sweep take effect when this batch commits.
    pub(super) fn activate_sweep(&mut self, number: i64) -> Result<()> {
        const COUNT: &str = "UPDATE head SET sweep = ?1 WHERE one = 1 AND sweep = ?1 - 1";
        self.ensure_open()?;
        let changed =
            self.connection.prepare_cached(COUNT).and_then(|mut count| count.execute([number]));
        match changed.map_err(|cause| self.fail(&cause))? {
            1 => Ok(()),
            _ => Err(self.fail(&error::ignored_write("the number of a sweep"))),
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    fn ensure_open(&self) -> Result<()> {
        match self.state {
            BatchState::Open => Ok(()),
            BatchState::Failed | BatchState::Committed => {
                Err(earlier_write_failed(self.path).into())
            }
        }
    }

    /// Turns an error into the failure that the user sees. Nothing of the batch is stored.
    fn fail(&mut self, cause: &rusqlite::Error) -> anyhow::Error {
        self.state = BatchState::Failed;
        let mut failure = error::failure(self.path, Operation::Write, cause);
        if cause.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            let events = text::plural(self.attempted, "event");
            failure.message += " (0 of ";
            failure.message += &events;
            failure.message += " of this batch stored)";
        }
        failure.into()
    }

    /// Turns the error of a commit into a failure. Such a commit may turn up in the write-ahead log after
    /// a crash, except if the disk had no room for it or the log was busy.
    fn fail_unconfirmed(&mut self, cause: &rusqlite::Error) -> anyhow::Error {
        if matches!(cause.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy))
        {
            return self.fail(cause);
        }
        self.state = BatchState::Failed;
        self.writer.poisoned = true;
        let mut failure = error::failure(self.path, Operation::Write, cause);
        failure.message += "; not confirmed";
        self.name_event_to_repeat(&mut failure);
        failure.into()
    }
}

impl Drop for SqliteBatch<'_> {
    /// Rolls back a batch that was not committed.
    fn drop(&mut self) {
        if self.state == BatchState::Committed {
            return;
        }
        // The keys of rows that are rolled back may be given to other rows.
        self.writer.interner.clear();
        self.dimension_cache.borrow_mut().clear();
        if self.connection.is_autocommit() {
            return;
        }
        let rolled_back =
            self.connection.prepare_cached("ROLLBACK").and_then(|mut back| back.execute([]));
        self.writer.poisoned |= rolled_back.is_err();
    }
}
