//! Appends events: finds repeats, fills in what was not given, links the chain, commits, syncs.
//!
//! A transaction takes the write lock at its beginning, so ids ascend in commit order and have no
//! holes. After an error that came with the commit nothing is tried again: the system has marked the
//! pages as clean, and a second sync would confirm what was lost.

use std::cell::RefCell;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OptionalExtension;
use rusqlite::ToSql;
use rusqlite::params;

use crate::chain;
use crate::chain::Body;
use crate::chain::EventContent;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::event::json::JsonObject;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store;
use crate::store::AppendOutcome;
use crate::store::FileProgress;
use crate::store::Stamp;
use crate::store::sqlite::dimensions::DimensionKeys;
use crate::store::sqlite::engine;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::engine::WriterState;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::migrate;
use crate::store::sqlite::migrate::OpenError;
use crate::store::sqlite::progress;
use crate::store::sqlite::rows;
use crate::store::sqlite::rows::StoredEventId;
use crate::store::sqlite::wal;
use crate::text;
use crate::time::Timestamp;

/// A transaction of more events holds the lock long enough that others wait for it.
const LONG_TRANSACTION: u64 = 1_000;

/// The pause after a long transaction: more than the longest sleep of one who waits.
const WRITER_PAUSE: Duration = Duration::from_millis(12);

macro_rules! insert_sql {
    ($id:literal, $value:literal) => {
        concat!(
            "INSERT OR ROLLBACK INTO event (event_id, occurred_at, recorded_at, recorder, tenant, \
             source, severity, action, actor, impersonator, target, title, agent, status, method, \
             endpoint, ip, session_id, description, diff, payload, own, salt, hash",
            $id,
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
             ?18, ?19, ?20, ?21, ?22, ?23, ?24",
            $value,
            ")"
        )
    };
}

/// The first event of a transaction says its id, for what was newest may have been cut off.
const INSERT_WITH_ID: &str = insert_sql!(", id", ", ?25");

/// The others let SQLite count. An id that it does not choose could be none, so it would keep each
/// page as it was, to undo that one insert: a quarter of the time.
const INSERT_EVENT: &str = insert_sql!("", "");

impl Sqlite {
    pub(in crate::store) fn begin(&mut self) -> Result<SqliteBatch<'_>> {
        let path = self.path.as_path();
        if self.writer.poisoned {
            return Err(earlier_write_failed(path).into());
        }
        if std::mem::take(&mut self.writer.pause_before_next) {
            thread::sleep(WRITER_PAUSE);
        }
        let (connection, rows, writer) =
            (&self.connection, &self.dimension_cache, &mut self.writer);
        begin_batch(path, connection, rows, writer)
            .map_err(|why| why.into_failure(path, Operation::Write))
    }
}

fn earlier_write_failed(path: &Path) -> Failure {
    let what = format!("cannot write the log {}: an earlier write failed", path.display());
    Failure::new(Exit::Io, what)
}

fn begin_batch<'a>(
    path: &'a Path,
    connection: &'a Connection,
    rows: &'a RefCell<rows::DimensionCache>,
    writer: &'a mut WriterState,
) -> Result<SqliteBatch<'a>, OpenError> {
    wal::checkpoint_if_large(connection)?;
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut batch = SqliteBatch {
        path,
        connection,
        dimension_cache: rows,
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

/// A transaction that appends.
pub(in crate::store) struct SqliteBatch<'a> {
    path: &'a Path,
    connection: &'a Connection,
    dimension_cache: &'a RefCell<rows::DimensionCache>,
    writer: &'a mut WriterState,
    find_statement: Option<CachedStatement<'a>>,
    insert_statement: Option<CachedStatement<'a>>,
    /// The newest event, in this batch or before it.
    head_id: EventId,
    head_hash: Hash,
    /// The event before was there already.
    last_was_repeat: bool,
    attempted: u64,
    stored: u64,
    last_event_id: Option<String>,
    state: BatchState,
}

/// How far a batch has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BatchState {
    Open,
    /// An error came. SQLite may have ended the transaction, so nothing more is written.
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
        self.try_append(event, stamp).map_err(|why| self.fail(&why))
    }

    pub(in crate::store) fn record_progress(&mut self, progress: &FileProgress) -> Result<()> {
        self.ensure_open()?;
        progress::record(self.connection, progress).map_err(|why| self.fail(&why))
    }

    pub(in crate::store) fn record_anchor(
        &mut self,
        (id, hash): (EventId, Hash),
        at: Timestamp,
        place: &str,
    ) -> Result<()> {
        // The head of a log to which nothing came is published again and again.
        const NOTE: &str =
            "INSERT OR IGNORE INTO anchor (id, hash, at, place) VALUES (?1, ?2, ?3, ?4)";
        self.ensure_open()?;
        self.connection
            .prepare_cached(NOTE)
            .and_then(|mut note| note.execute(params![id.0, hash.0, at.as_nanos(), place]))
            .map(drop)
            .map_err(|why| self.fail(&why))
    }

    pub(in crate::store) fn commit(mut self) -> Result<()> {
        self.ensure_open()?;
        self.set_head().map_err(|why| self.fail(&why))?;
        let committed =
            self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        committed.map_err(|why| self.fail_unconfirmed(&why))?;
        self.state = BatchState::Committed;
        if self.stored > LONG_TRANSACTION {
            self.writer.had_long_transaction = true;
            self.writer.pause_before_next = true;
        }
        Ok(())
    }

    /// Another version may have migrated the log, and a sweep may have taken rows that we know keys
    /// of, since the last transaction.
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
        // The first transaction does not ask, so the second takes what it knew for forgotten.
        let data = rows::data_version(self.connection)?;
        if self.writer.data_version.replace(data) != Some(data) {
            self.writer.interner.clear();
        }
        Ok(())
    }

    /// A repeat is found by the refusal of its insert, for most events are new. It is looked for
    /// first where the one before was a repeat, and where a row of a dimension would have to be made:
    /// what is refused leaves none behind.
    fn try_append(
        &mut self,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> rusqlite::Result<AppendOutcome> {
        let given = event.event_id.as_deref().filter(|id| !id.is_empty());
        let remembered = self.writer.interner.cached_keys(event, stamp.recorded_by);
        if (self.last_was_repeat || remembered.is_none())
            && let Some(known) = self.resolve_duplicate(event, given)?
        {
            return Ok(known);
        }
        self.last_was_repeat = false;
        let rows = match remembered {
            Some(rows) => rows,
            None => self.writer.interner.intern(self.connection, event, stamp.recorded_by)?,
        };
        let event_id = given.map_or_else(|| self.new_event_id(stamp), str::to_owned);
        match self.insert(event, &event_id, stamp, &rows) {
            Ok(id) => Ok(AppendOutcome::Stored { id, event_id }),
            Err(why) if why.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.resolve_duplicate(event, given)?.ok_or(why)
            }
            Err(why) => Err(why),
        }
    }

    /// What becomes of an event whose `event_id` is there.
    fn resolve_duplicate(
        &mut self,
        event: &NewEvent,
        event_id: Option<&str>,
    ) -> rusqlite::Result<Option<AppendOutcome>> {
        const SQL: &str = concat!("SELECT ", rows::columns!(), " FROM event WHERE id = ?1");
        let Some(event_id) = event_id else {
            return Ok(None);
        };
        let Some(id) = self.find_by_event_id(event.tenant.as_deref(), event_id)? else {
            return Ok(None);
        };
        self.last_was_repeat = true;
        let there = rows::select_events(self.connection, self.dimension_cache, SQL, [id.0])?.pop();
        let there = there.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(Some(match store::conflicting_field(event, &there) {
            Some(field) => AppendOutcome::Conflict { id, field },
            None => AppendOutcome::Duplicate { id, event_id: there.event_id },
        }))
    }

    /// The event with that `event_id`, in this batch too.
    fn find_by_event_id(
        &mut self,
        tenant: Option<&str>,
        event_id: &str,
    ) -> rusqlite::Result<Option<EventId>> {
        const SQL: &str = "SELECT id FROM event WHERE event_id = ?1 \
            AND tenant = (SELECT key FROM tenant WHERE text = ?2)";
        let find = match &mut self.find_statement {
            Some(find) => find,
            None => self.find_statement.insert(self.connection.prepare_cached(SQL)?),
        };
        let key = StoredEventId::from_event_id(event_id);
        find.query_row(params![key, tenant.unwrap_or("")], |row| row.get(0).map(EventId)).optional()
    }

    /// A UUID v7 of the time of recording: in order, and not to be guessed.
    fn new_event_id(&mut self, stamp: &Stamp<'_>) -> String {
        let millis = u64::try_from(stamp.recorded_at.as_nanos() / 1_000_000).unwrap_or(0);
        let random = self.writer.interner.random.bytes();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        uuid.hyphenated().to_string()
    }

    fn insert(
        &mut self,
        event: &NewEvent,
        event_id: &str,
        stamp: &Stamp<'_>,
        rows: &DimensionKeys,
    ) -> rusqlite::Result<EventId> {
        let used_up = || error::damage("its head has the last id that there is");
        let id = EventId(self.head_id.0.checked_add(1).ok_or_else(used_up)?);
        let occurred_at = event.occurred_at.unwrap_or(stamp.recorded_at);
        let (source, severity) = (event.source_or_default(), event.severity_or_default());
        let salt = self.writer.interner.random.bytes();
        let body = Body {
            title: event.title.as_deref(),
            description: event.description.as_deref(),
            diff: event.diff.as_ref().map(JsonObject::as_str),
            payload: event.payload.as_ref().map(JsonObject::as_str),
            ip: event.ip.as_deref(),
            session_id: event.session_id.as_deref(),
        };
        let content = EventContent {
            event_id,
            occurred_at,
            recorded_at: stamp.recorded_at,
            recorded_by: stamp.recorded_by,
            tenant: event.tenant.as_deref(),
            source,
            severity,
            module: event.module.as_deref(),
            action: &event.action,
            actor: rows.actor.map(|row| row.digest),
            impersonator: rows.impersonator.map(|row| row.digest),
            target_type: event.target_type.as_deref(),
            target: rows.target.map(|row| row.digest),
            agent: rows.agent.map(|row| row.digest),
            method: event.method.as_deref(),
            endpoint: event.endpoint.as_deref(),
            status_code: event.status_code,
            body: body.digest(&salt),
            own: event.own,
        };
        let hash = chain::link_hash(&self.head_hash, id, &content.digest());
        let key = StoredEventId::from_event_id(event_id);
        let row: [&dyn ToSql; 25] = [
            &key,
            &occurred_at.as_nanos(),
            &stamp.recorded_at.as_nanos(),
            &rows.recorder,
            &rows.tenant,
            &store::source_number(source),
            &store::severity_number(severity),
            &rows.action,
            &rows.actor.map(|row| row.key),
            &rows.impersonator.map(|row| row.key),
            &rows.target.map(|row| row.key),
            &rows.title,
            &rows.agent.map(|row| row.key),
            &event.status_code,
            &event.method,
            &event.endpoint,
            &body.ip,
            &body.session_id,
            &body.description,
            &body.diff,
            &body.payload,
            &event.own,
            &salt,
            &hash.0,
            &id.0,
        ];
        let changed = if self.stored == 0 {
            self.connection.prepare_cached(INSERT_WITH_ID)?.execute(&row[..])?
        } else {
            let next = match &mut self.insert_statement {
                Some(next) => next,
                None => self.insert_statement.insert(self.connection.prepare_cached(INSERT_EVENT)?),
            };
            next.execute(&row[..24])?
        };
        if changed == 0 || self.connection.last_insert_rowid() != id.0 {
            return Err(error::ignored_write("an event"));
        }
        (self.head_id, self.head_hash) = (id, hash);
        self.stored += 1;
        self.last_event_id = Some(event_id.to_owned());
        Ok(id)
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

    /// Makes a planned sweep count with the events of this batch.
    pub(super) fn activate_sweep(&mut self, number: i64) -> Result<()> {
        const COUNT: &str = "UPDATE head SET sweep = ?1 WHERE one = 1 AND sweep = ?1 - 1";
        self.ensure_open()?;
        let changed =
            self.connection.prepare_cached(COUNT).and_then(|mut count| count.execute([number]));
        match changed.map_err(|why| self.fail(&why))? {
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

    /// What an error is for the user. Nothing of the batch is stored.
    fn fail(&mut self, why: &rusqlite::Error) -> anyhow::Error {
        self.state = BatchState::Failed;
        let mut failure = error::failure(self.path, Operation::Write, why);
        if why.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            let events = text::plural(self.attempted, "event");
            failure.message += " (0 of ";
            failure.message += &events;
            failure.message += " of this batch stored)";
        }
        failure.into()
    }

    /// A commit that failed may be found in the write-ahead log after a crash, save where the disk
    /// had no room for it.
    fn fail_unconfirmed(&mut self, why: &rusqlite::Error) -> anyhow::Error {
        if matches!(why.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy)) {
            return self.fail(why);
        }
        self.state = BatchState::Failed;
        self.writer.poisoned = true;
        let mut failure = error::failure(self.path, Operation::Write, why);
        failure.message += "; not confirmed";
        if let (Some(event_id), 1) = (&self.last_event_id, self.stored) {
            failure.message += ", repeat with --event-id ";
            failure.message += event_id;
        }
        failure.into()
    }
}

impl Drop for SqliteBatch<'_> {
    /// Rolls back what was not committed.
    fn drop(&mut self) {
        if self.state == BatchState::Committed {
            return;
        }
        // Rows that are rolled back leave their keys to others.
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
