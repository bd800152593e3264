//! Reads a log for verification, without trust in anything that it contains.
//!
//! A value that no event can have is a flaw of its event, and the walk goes on; `events` finds flaws,
//! `stretches` reads events in the order of ids, and `walk` goes over them and the swept runs.

mod events;
mod stretches;
mod walk;

use std::cell::RefCell;
use std::path::Path;
use std::result::Result as StdResult;
use std::thread;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;

use crate::event::EventId;
use crate::event::Hash;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::files::companions::Companion;
use crate::store::sqlite::migrate;
use crate::store::sqlite::migrate::SchemaMismatch;
use crate::store::sqlite::swept::SELECT_RUNS;
use crate::store::sqlite::swept::not_swept;
use crate::store::sqlite::verify::events::CheckedDimensions;
use crate::store::sqlite::wal_frames;
use crate::store::verify::HashLookup;
use crate::store::verify::LogHead;
use crate::store::verify::PendingWrites;
use crate::store::verify::PublishedHead;
use crate::store::verify::ReadError;
use crate::store::verify::SweepEvent;
use crate::store::verify::SweepGap;
use crate::text;
use crate::time::Timestamp;

fn read_log_head(connection: &Connection) -> rusqlite::Result<LogHead> {
    const SQL: &str = "SELECT id, hash, sweep FROM head";
    connection.query_row(SQL, [], |row| {
        let (id, hash) = (EventId(row.get(0)?), Hash(row.get(1)?));
        Ok(LogHead { id, hash, newest_sweep: row.get(2)? })
    })
}

type SnapshotResult<T> = StdResult<T, ReadError>;

/// A snapshot of a log for verification.
pub(in crate::store) struct SqliteSnapshot<'a> {
    log: &'a Sqlite,
    connection: &'a Connection,
    path: &'a Path,
    dimensions: RefCell<CheckedDimensions>,
}

/// The integrity check looks up each row in each index. With the 2 MiB of other readers it takes half as
/// long again; more than 16 MiB gains nothing.
const SET_CACHE_SIZE: &str = "PRAGMA cache_size=-16384";

impl Sqlite {
    pub(in crate::store) fn inspect<T>(
        &self,
        inspect: impl FnOnce(SqliteSnapshot<'_>) -> Result<T>,
    ) -> Result<T> {
        let to_failure =
            |cause: rusqlite::Error| error::to_failure(&self.path, Operation::Read, &cause);
        let transaction = self.connection.unchecked_transaction().map_err(to_failure)?;
        // The first read fixes the moment of the snapshot.
        self.connection.query_row("PRAGMA user_version", [], |_| Ok(())).map_err(to_failure)?;
        let rows = RefCell::default();
        let result = inspect(SqliteSnapshot {
            log: self,
            connection: &self.connection,
            path: &self.path,
            dimensions: rows,
        });
        // Nothing was written, so an error at the end means nothing.
        drop(transaction);
        result
    }
}

/// What SQLite's integrity check reports, and the error that it ends with.
type Findings = (Vec<String>, rusqlite::Result<()>);

fn find_integrity_violations(connection: &Connection) -> Findings {
    let mut found = Vec::new();
    let mut check = || {
        connection.execute_batch(SET_CACHE_SIZE)?;
        let mut check = connection.prepare("PRAGMA integrity_check")?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            found.push(row.get::<_, String>(0)?);
        }
        Ok(())
    };
    let end = check();
    (found, end)
}

/// Select the last run that begins at ?2 or before, of those that sweep ?1 has yet to remove, and of the
/// gaps.
const REMOVAL_AT: &str = "SELECT first, last, hash, sweep FROM removal \
    WHERE sweep = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
const GAP_AT: &str = "SELECT first, last, hash, sweep FROM gap \
    WHERE first <= ?2 AND ?1 > 0 ORDER BY first DESC LIMIT 1";

impl SqliteSnapshot<'_> {
    fn to_read_error(&self, error: &rusqlite::Error) -> ReadError {
        match error::damage_of(error) {
            Some(what) => ReadError::Damage(what),
            None => ReadError::Failed(error::to_failure(self.path, Operation::Read, error)),
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> SnapshotResult<T> {
        read(self.connection).map_err(|cause| self.to_read_error(&cause))
    }

    pub(in crate::store) fn schema_difference(&self) -> SnapshotResult<Option<String>> {
        let foreign = self.read(find_foreign)?;
        Ok(foreign.map(|foreign| match foreign {
            SchemaMismatch::Unexpected { kind, name } => {
                format!("the {kind} {name} is not its own")
            }
            SchemaMismatch::Missing(1) => {
                "one of its tables, indexes, triggers and views is missing".to_owned()
            }
            SchemaMismatch::Missing(count) => {
                format!("{count} of its tables, indexes, triggers and views are missing")
            }
        }))
    }

    /// Runs the integrity check on a connection and a thread of its own while `work` runs here. It reads
    /// each page that the work reads, so on two processors the two take as long as the check alone. Where
    /// the system refuses either, it runs here afterwards.
    pub(in crate::store) fn integrity_findings_beside<T>(
        &self,
        work: impl FnOnce() -> T,
    ) -> (T, SnapshotResult<Vec<String>>) {
        let Some(connection) = self.log.connect_again() else {
            return (work(), self.integrity_findings());
        };
        let check = move || find_integrity_violations(&connection);
        thread::scope(|scope| {
            let Ok(check) = thread::Builder::new().spawn_scoped(scope, check) else {
                return (work(), self.integrity_findings());
            };
            let done = work();
            let found = match check.join() {
                Ok((found, end)) => self.to_findings(&found, end),
                Err(_) => self.integrity_findings(),
            };
            (done, found)
        })
    }

    fn integrity_findings(&self) -> SnapshotResult<Vec<String>> {
        let (found, end) = find_integrity_violations(self.connection);
        self.to_findings(&found, end)
    }

    fn to_findings(
        &self,
        found: &[String],
        end: rusqlite::Result<()>,
    ) -> SnapshotResult<Vec<String>> {
        match end.map_err(|cause| self.to_read_error(&cause)) {
            // The check ends with an error after it has reported a damaged page.
            Err(ReadError::Damage(_)) if !found.is_empty() => {}
            checked => checked?,
        }
        let lines = found.iter().flat_map(|finding| finding.lines());
        let heading = |line: &&str| *line == "ok" || line.starts_with("*** ");
        Ok(lines.filter(|line| !heading(line)).map(str::to_owned).collect())
    }

    pub(in crate::store) fn pending_writes(&self) -> SnapshotResult<PendingWrites> {
        let wal = Companion::WriteAheadLog.path(self.path);
        let hidden = wal_frames::find_hidden(&wal).map_err(|why| {
            let message = format!("cannot read {}", wal.display());
            ReadError::Failed(anyhow::Error::new(why).context(Failure::new(Exit::Io, message)))
        })?;
        let Some(hidden) = hidden else { return Ok(PendingWrites::Sound) };
        let what = match hidden.bad_frame {
            0 => "the header of its -wal is damaged".to_owned(),
            number => format!("frame {number} of its -wal is damaged"),
        };
        let frames = text::plural(hidden.following, "sound frame");
        let transactions = text::plural(hidden.transactions, "transaction");
        let what = format!("{what}, and {frames} with {transactions} behind it are not read");
        Ok(if hidden.are_damage() {
            PendingWrites::Damaged(what)
        } else {
            PendingWrites::CutShort(what)
        })
    }

    pub(in crate::store) fn uuid(&self) -> SnapshotResult<[u8; 16]> {
        const SQL: &str = "SELECT value FROM meta WHERE key = 'uuid'";
        self.read(|connection| connection.query_row(SQL, [], |row| row.get(0)))
    }

    pub(in crate::store) fn head(&self) -> SnapshotResult<LogHead> {
        self.read(read_log_head)
    }

    pub(in crate::store) fn each_gap(
        &self,
        sweep: i64,
        visit: &mut dyn FnMut(SweepGap),
    ) -> SnapshotResult<()> {
        self.read(|connection| {
            let mut statement = connection.prepare(SELECT_RUNS)?;
            let mut rows = statement.query([sweep])?;
            while let Some(row) = rows.next()? {
                visit(read_gap(row)?);
            }
            Ok(())
        })
    }

    pub(in crate::store) fn each_sweep_event(
        &self,
        visit: &mut dyn FnMut(SweepEvent),
    ) -> SnapshotResult<()> {
        const SQL: &str = concat!(
            "SELECT id, payload, recorded_at, NOT ",
            not_swept!(),
            " FROM event WHERE own = 1 \
              AND action IN (SELECT key FROM action WHERE slug = 'retention.sweep') \
              ORDER BY id DESC"
        );
        self.read(|connection| {
            let mut statement = connection.prepare(SQL)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(SweepEvent {
                    id: EventId(row.get(0)?),
                    payload: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                    recorded_at: Timestamp::from_nanos(row.get(2)?),
                    is_swept: row.get(3)?,
                });
            }
            Ok(())
        })
    }

    pub(in crate::store) fn each_published_head(
        &self,
        visit: &mut dyn FnMut(PublishedHead),
    ) -> SnapshotResult<()> {
        const SQL: &str = "SELECT id, hash, at, place FROM anchor ORDER BY id, at";
        self.read(|connection| {
            let mut statement = connection.prepare(SQL)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(PublishedHead {
                    id: EventId(row.get(0)?),
                    hash: Hash(row.get(1)?),
                    published_at: Timestamp::from_nanos(row.get(2)?),
                    place: row.get(3)?,
                });
            }
            Ok(())
        })
    }

    pub(in crate::store) fn hash_at(&self, id: EventId, sweep: i64) -> SnapshotResult<HashLookup> {
        self.read(|connection| {
            for sql in [REMOVAL_AT, GAP_AT] {
                let run = connection
                    .prepare_cached(sql)?
                    .query_row([sweep, id.0], read_gap)
                    .optional()?;
                if let Some(run) = run.filter(|run| run.last >= id) {
                    return Ok(if run.last == id {
                        HashLookup::Known(run.hash)
                    } else {
                        HashLookup::Swept(run.first, run.last)
                    });
                }
            }
            let hash = connection
                .prepare_cached("SELECT hash FROM event WHERE id = ?1")?
                .query_row([id.0], |row| row.get(0))
                .optional()?;
            Ok(hash.map_or(HashLookup::Missing, |hash| HashLookup::Known(Hash(hash))))
        })
    }
}

fn read_gap(row: &Row<'_>) -> rusqlite::Result<SweepGap> {
    Ok(SweepGap {
        first: EventId(row.get(0)?),
        last: EventId(row.get(1)?),
        hash: Hash(row.get(2)?),
        sweep: row.get(3)?,
    })
}

/// Returns a difference between the log's schema and ours. The schema of an older log is copied without
/// rows and migrated; the result must be ours.
fn find_foreign(connection: &Connection) -> rusqlite::Result<Option<SchemaMismatch>> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == migrate::SCHEMA_VERSION {
        return migrate::schema_mismatch(connection);
    }
    if let Some(foreign) = migrate::foreign_internal_object(connection)? {
        return Ok(Some(foreign));
    }
    let mut copy = copy_schema(connection)?;
    copy.pragma_update(None, "user_version", version)?;
    migrate::migrate(&mut copy)?;
    migrate::schema_mismatch(&copy)
}

/// Makes a database in memory with the same schema and no rows.
fn copy_schema(connection: &Connection) -> rusqlite::Result<Connection> {
    // SQLite makes its own tables itself.
    const OBJECTS: &str = "SELECT sql FROM sqlite_schema \
        WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";
    let copy = Connection::open_in_memory()?;
    let mut statement = connection.prepare(OBJECTS)?;
    let mut objects = statement.query([])?;
    while let Some(object) = objects.next()? {
        // `execute` takes one statement, so nothing behind it can run.
        copy.execute(object.get_ref(0)?.as_str()?, [])?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_whole_schema_and_no_more() {
        let of = |by: &str| {
            let log = Connection::open_in_memory().unwrap();
            log.execute_batch(migrate::SCHEMA).unwrap();
            log.execute_batch("ANALYZE; INSERT INTO meta VALUES ('uuid', zeroblob(16));").unwrap();
            log.execute_batch(by).unwrap();
            let copy = copy_schema(&log).unwrap();
            let rows = "SELECT count(*) FROM meta";
            assert_eq!(copy.query_row(rows, [], |row| row.get(0)), Ok(0));
            migrate::schema_mismatch(&copy).unwrap()
        };
        assert_eq!(of(""), None);
        let view = SchemaMismatch::Unexpected { kind: "view".to_owned(), name: "v".to_owned() };
        assert_eq!(of("CREATE VIEW v AS SELECT 1"), Some(view));
        assert_eq!(of("DROP TRIGGER event_update"), Some(SchemaMismatch::Missing(1)));
    }

    #[test]
    fn a_statement_behind_that_of_an_object_is_not_run() {
        let log = Connection::open_in_memory().unwrap();
        log.execute_batch(
            "CREATE VIEW v AS SELECT 1; PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = sql || '; CREATE TABLE planted (x)';",
        )
        .unwrap();
        if let Ok(likeness) = copy_schema(&log) {
            likeness.execute_batch("SELECT x FROM planted").unwrap_err();
        }
    }
}
