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
use rusqlite::params;

use crate::chain;
use crate::chain::Body;
use crate::chain::Content;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::event::json::Json;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store;
use crate::store::Appended;
use crate::store::Progress;
use crate::store::Stamp;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::dimensions::Keys;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Doing;
use crate::store::sqlite::open;
use crate::store::sqlite::open::Refusal;
use crate::store::sqlite::progress;
use crate::store::sqlite::rows;
use crate::store::sqlite::rows::EventKey;
use crate::text;

/// Pages in the write-ahead log from which on it is carried into the file before the next write,
/// which then starts it over. A lone process reads that much back when it opens.
const CARRY_OVER: i64 = 64;

/// A transaction of more events holds the lock long enough that others wait for it.
const LONG: u64 = 1_000;

/// The pause after a long transaction: more than the longest sleep of one who waits.
const BREATH: Duration = Duration::from_millis(12);

/// What a connection that writes remembers between its transactions.
#[derive(Default)]
pub(super) struct Writer {
    keys: Keys,
    /// The schema that was checked.
    schema_version: Option<i64>,
    data_version: Option<i64>,
    /// A transaction was long: the next leaves a pause before it, and the end shortens the
    /// write-ahead log.
    long: bool,
    pause: bool,
    /// A write ended so that only a new connection can know what is stored.
    lost: bool,
}

impl Sqlite {
    pub(in crate::store) fn begin(&mut self) -> Result<Batch<'_>> {
        let path = self.path.as_path();
        if self.writer.lost {
            let what = format!("cannot write the log {}: an earlier write failed", path.display());
            return Err(Failure::new(Exit::Io, what).into());
        }
        if std::mem::take(&mut self.writer.pause) {
            thread::sleep(BREATH);
        }
        let (connection, rows, writer) = (&self.connection, &self.rows, &mut self.writer);
        begin(path, connection, rows, writer).map_err(|why| why.told(path, Doing::Write))
    }
}

fn begin<'a>(
    path: &'a Path,
    connection: &'a Connection,
    rows: &'a RefCell<rows::Cache>,
    writer: &'a mut Writer,
) -> Result<Batch<'a>, Refusal> {
    carry_over(connection)?;
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut batch = Batch {
        path,
        connection,
        rows,
        writer,
        find: None,
        insert: None,
        head: EventId(0),
        hash: Hash([0; 32]),
        seen: 0,
        stored: 0,
        wrote: false,
        last_event_id: None,
    };
    batch.check_versions()?;
    (batch.head, batch.hash) = connection
        .prepare_cached("SELECT id, hash FROM head")?
        .query_row([], |row| Ok((EventId(row.get(0)?), Hash(row.get(1)?))))?;
    Ok(batch)
}

/// Carries a write-ahead log that has grown into the file. It never waits: what a reader still needs
/// stays for the next time.
fn carry_over(connection: &Connection) -> rusqlite::Result<()> {
    let frames: i64 = connection
        .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
        .query_row([], |row| row.get(1))?;
    if frames <= CARRY_OVER {
        return Ok(());
    }
    let carried =
        connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()));
    match carried.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
        // Another process does it, or the disk is full: the write itself will tell.
        Err(Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull)) => Ok(()),
        _ => carried,
    }
}

/// A transaction that appends.
pub(in crate::store) struct Batch<'a> {
    path: &'a Path,
    connection: &'a Connection,
    rows: &'a RefCell<rows::Cache>,
    writer: &'a mut Writer,
    find: Option<CachedStatement<'a>>,
    insert: Option<CachedStatement<'a>>,
    /// The newest event, in this batch or before it.
    head: EventId,
    hash: Hash,
    seen: u64,
    stored: u64,
    wrote: bool,
    last_event_id: Option<String>,
}

impl Batch<'_> {
    pub(in crate::store) fn append(
        &mut self,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> Result<Appended> {
        self.seen += 1;
        self.try_append(event, stamp).map_err(|why| self.told(&why))
    }

    pub(in crate::store) fn progress(&mut self, progress: &Progress) -> Result<()> {
        self.wrote = true;
        progress::note(self.connection, progress).map_err(|why| self.told(&why))
    }

    pub(in crate::store) fn commit(mut self) -> Result<()> {
        self.set_head().map_err(|why| self.told(&why))?;
        let committed =
            self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        committed.map_err(|why| self.unconfirmed(&why))?;
        if self.stored > LONG {
            self.writer.long = true;
            self.writer.pause = true;
        }
        Ok(())
    }

    /// Another version may have migrated the log, and a sweep may have taken rows that we know keys
    /// of, since the last transaction.
    fn check_versions(&mut self) -> Result<(), Refusal> {
        let schema = self
            .connection
            .prepare_cached("PRAGMA schema_version")?
            .query_row([], |row| row.get::<_, i64>(0))?;
        if self.writer.schema_version.replace(schema).is_some_and(|checked| checked != schema) {
            open::identify(self.path, self.connection)?;
            open::check_schema(self.path, self.connection)?;
        }
        let data = rows::data_version(self.connection)?;
        if self.writer.data_version.replace(data) != Some(data) {
            self.writer.keys.clear();
        }
        Ok(())
    }

    fn try_append(&mut self, event: &NewEvent, stamp: &Stamp<'_>) -> rusqlite::Result<Appended> {
        let given = event.event_id.as_deref().filter(|id| !id.is_empty());
        if let Some(event_id) = given
            && let Some(known) = self.find(event.tenant.as_deref(), event_id)?
        {
            return self.compare(known, event, event_id);
        }
        let event_id =
            given.map_or_else(|| self.new_event_id(stamp), |event_id| event_id.to_owned());
        let id = self.insert(event, &event_id, stamp)?;
        Ok(Appended::Stored { id, event_id })
    }

    /// The event with that `event_id`, in this batch too.
    fn find(&mut self, tenant: Option<&str>, event_id: &str) -> rusqlite::Result<Option<EventId>> {
        const SQL: &str = "SELECT id FROM event WHERE event_id = ?1 \
            AND tenant = (SELECT key FROM tenant WHERE text = ?2)";
        if self.find.is_none() {
            self.find = Some(self.connection.prepare_cached(SQL)?);
        }
        let find = self.find.as_mut().expect("it was just prepared");
        let key = EventKey::of(event_id);
        find.query_row(params![key, tenant.unwrap_or("")], |row| row.get(0).map(EventId)).optional()
    }

    fn compare(&self, id: EventId, event: &NewEvent, event_id: &str) -> rusqlite::Result<Appended> {
        const SQL: &str = concat!("SELECT ", rows::columns!(), " FROM event WHERE id = ?1");
        let there = rows::select(self.connection, self.rows, SQL, [id.0])?.pop();
        let there = there.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(match store::conflict(event, &there) {
            Some(field) => Appended::Conflict { id, field },
            None => Appended::Duplicate { id, event_id: event_id.to_owned() },
        })
    }

    /// A UUID v7 of the time of recording: in order, and not to be guessed.
    fn new_event_id(&mut self, stamp: &Stamp<'_>) -> String {
        let millis = u64::try_from(stamp.recorded_at.nanos() / 1_000_000).unwrap_or(0);
        let random = self.writer.keys.random.bytes();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        uuid.hyphenated().to_string()
    }

    fn insert(
        &mut self,
        event: &NewEvent,
        event_id: &str,
        stamp: &Stamp<'_>,
    ) -> rusqlite::Result<EventId> {
        const SQL: &str = "INSERT INTO event (id, event_id, occurred_at, recorded_at, recorder, \
            tenant, source, severity, action, actor, impersonator, target, title, agent, status, \
            method, endpoint, ip, session_id, description, diff, payload, own, salt, hash) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
            ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)";
        let id = EventId(self.head.0 + 1);
        let occurred_at = event.occurred_at.unwrap_or(stamp.recorded_at);
        let (source, severity) = (event.source_or_default(), event.severity_or_default());
        let keys = &mut self.writer.keys;
        let row = keys.of(self.connection, event, stamp.recorded_by)?;
        let salt = keys.random.bytes();
        let body = Body {
            title: event.title.as_deref(),
            description: event.description.as_deref(),
            diff: event.diff.as_ref().map(Json::as_str),
            payload: event.payload.as_ref().map(Json::as_str),
            ip: event.ip.as_deref(),
            session_id: event.session_id.as_deref(),
        };
        let content = Content {
            event_id,
            occurred_at,
            recorded_at: stamp.recorded_at,
            recorded_by: stamp.recorded_by,
            tenant: event.tenant.as_deref(),
            source,
            severity,
            module: event.module.as_deref(),
            action: &event.action,
            actor: row.actor.map(|row| row.digest),
            impersonator: row.impersonator.map(|row| row.digest),
            target_type: event.target_type.as_deref(),
            target: row.target.map(|row| row.digest),
            agent: row.agent.map(|row| row.digest),
            method: event.method.as_deref(),
            endpoint: event.endpoint.as_deref(),
            status_code: event.status_code,
            body: body.digest(&salt),
            own: event.own,
        };
        let hash = chain::link(&self.hash, id, &content.digest());
        if self.insert.is_none() {
            self.insert = Some(self.connection.prepare_cached(SQL)?);
        }
        let insert = self.insert.as_mut().expect("it was just prepared");
        let changed = insert.execute(params![
            id.0,
            EventKey::of(event_id),
            occurred_at.nanos(),
            stamp.recorded_at.nanos(),
            row.recorder,
            row.tenant,
            store::source_number(source),
            store::severity_number(severity),
            row.action,
            row.actor.map(|row| row.key),
            row.impersonator.map(|row| row.key),
            row.target.map(|row| row.key),
            row.title,
            row.agent.map(|row| row.key),
            event.status_code,
            event.method,
            event.endpoint,
            body.ip,
            body.session_id,
            body.description,
            body.diff,
            body.payload,
            event.own,
            salt,
            hash.0,
        ])?;
        if changed == 0 {
            return Err(error::refused("an event"));
        }
        (self.head, self.hash) = (id, hash);
        self.stored += 1;
        self.wrote = true;
        self.last_event_id = Some(event_id.to_owned());
        Ok(id)
    }

    fn set_head(&self) -> rusqlite::Result<()> {
        if self.stored == 0 {
            return Ok(());
        }
        let mut update =
            self.connection.prepare_cached("UPDATE head SET id = ?1, hash = ?2 WHERE one = 1")?;
        match update.execute(params![self.head.0, self.hash.0])? {
            1 => Ok(()),
            _ => Err(error::refused("the newest id")),
        }
    }

    fn told(&self, why: &rusqlite::Error) -> anyhow::Error {
        let mut failure = error::failure(self.path, Doing::Write, why);
        if why.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            let events = text::plural(self.seen, "event");
            failure.what.push_str(&format!(" (0 of {events} of this batch stored)"));
        }
        failure.into()
    }

    /// A commit that failed may be found in the write-ahead log after a crash, save where the disk
    /// had no room for it.
    fn unconfirmed(&mut self, why: &rusqlite::Error) -> anyhow::Error {
        if matches!(why.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy)) {
            return self.told(why);
        }
        self.writer.lost = true;
        let mut failure = error::failure(self.path, Doing::Write, why);
        failure.what.push_str("; not confirmed");
        if let (Some(event_id), 1) = (&self.last_event_id, self.stored) {
            failure.what.push_str(&format!(", repeat with --event-id {event_id}"));
        }
        failure.into()
    }
}

impl Drop for Batch<'_> {
    /// Rolls back what was not committed.
    fn drop(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        // Rows that are rolled back leave their keys to others.
        self.writer.keys.clear();
        self.rows.borrow_mut().clear();
        let rolled_back =
            self.connection.prepare_cached("ROLLBACK").and_then(|mut back| back.execute([]));
        self.writer.lost |= rolled_back.is_err();
    }
}

impl Drop for Sqlite {
    /// After a long run the write-ahead log is large: it is carried over and cut. Nothing depends on
    /// it, so a reader who is in the way is not waited for.
    fn drop(&mut self) {
        if !self.writer.long || self.writer.lost {
            return;
        }
        let cut = self.connection.busy_timeout(Duration::ZERO).and_then(|()| {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        });
        drop(cut);
    }
}
