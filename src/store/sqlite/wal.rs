//! The write-ahead log: checkpoints, and waiting for locks.
//!
//! A checkpoint copies the write-ahead log into the file of the log. SQLite does none by itself
//! here, so that no commit waits for a reader.
//!
//! ## Cost
//!
//! A process reads the write-ahead log when it opens the log, so it is kept at 64 pages or about
//! that. The writer that finds more makes a checkpoint before it writes.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::ErrorCode;

/// How long a process waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A write-ahead log of more pages is copied into the file before the next write, which then starts
/// it over.
const CHECKPOINT_PAGES: i64 = 64;

/// Returns the number of pages in the write-ahead log, and how many of them have been copied into
/// the file.
fn page_counts(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
        .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// Returns the number of pages that have not been copied into the file.
pub(super) fn pages_to_checkpoint(connection: &Connection) -> rusqlite::Result<i64> {
    page_counts(connection).map(|(all, carried)| all - carried)
}

/// Makes a checkpoint if the write-ahead log has grown. It never waits: pages that a reader still
/// needs stay until the next time. Returns whether it wrote to the file.
pub(super) fn checkpoint_if_large(connection: &Connection) -> rusqlite::Result<bool> {
    let (all, carried) = page_counts(connection)?;
    if all <= CHECKPOINT_PAGES || carried == all {
        return Ok(false);
    }
    let carried =
        connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()));
    match carried.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
        // Another process makes one, or the disk is full, which the write itself reports.
        Err(Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull)) => Ok(true),
        _ => carried.map(|()| true),
    }
}

/// Copies all pages into the file and empties the write-ahead log, without waiting. Returns whether
/// that was possible: readers and writers can be in the way.
pub(super) fn checkpoint_and_truncate(connection: &mut Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let busy: rusqlite::Result<bool> =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    connection.busy_handler(Some(busy_handler()))?;
    match busy.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
        Err(Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull)) => Ok(false),
        _ => busy.map(|busy| !busy),
    }
}

/// Waits for a lock in short sleeps, so that a waiting process gets its turn in the pause that a
/// bulk writer makes between two of its transactions.
pub(super) fn busy_handler() -> impl FnMut(i32) -> bool + Send + 'static {
    let mut began = None;
    move |tries| {
        if tries == 0 {
            began = None;
        }
        let waited = began.get_or_insert_with(Instant::now).elapsed();
        if waited < BUSY_TIMEOUT {
            let pause = u64::try_from(tries).unwrap_or(0).saturating_add(1).min(10);
            thread::sleep(Duration::from_millis(pause));
        }
        waited < BUSY_TIMEOUT
    }
}
