//! The write-ahead log: carried into the file when it has grown, and cut after long runs. SQLite does
//! neither by itself here, so that no commit waits for a reader.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::ErrorCode;

/// How long a writer waits for its turn.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages in the write-ahead log from which on it is carried into the file before the next write,
/// which then starts it over. A lone process reads that much back when it opens.
const CHECKPOINT_PAGES: i64 = 64;

/// The pages in the write-ahead log, and how many of them are in the file already.
fn page_counts(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
        .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// The pages that are not in the file yet.
pub(super) fn pages_to_checkpoint(connection: &Connection) -> rusqlite::Result<i64> {
    page_counts(connection).map(|(all, carried)| all - carried)
}

/// Carries a write-ahead log that has grown into the file. It never waits: what a reader still needs
/// stays for the next time.
pub(super) fn checkpoint_if_large(connection: &Connection) -> rusqlite::Result<()> {
    let (all, carried) = page_counts(connection)?;
    if all <= CHECKPOINT_PAGES || carried == all {
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

/// Carries all of it over and cuts it; tells whether nobody was in the way, for it does not wait.
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

/// Waits for a lock in short sleeps, so that one who waits gets the turn that a bulk writer leaves
/// between two of its transactions.
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
