//! Sweeps a log: plans the gaps, lets the event that vouches for them take effect, and reclaims space.
//!
//! `gaps` merges ranges of ids, `remove` deletes events, `unused` deletes the dimension rows to which no
//! event refers any more, and `reserve` keeps room for all this on a full disk.
//!
//! ## Locking
//! Long work happens in short transactions with a pause after each, and reads happen outside of them:
//! writers wait for one batch at most.

mod gaps;
mod remove;
pub(in crate::store) mod reserve;
#[cfg(test)]
mod tests;
mod unused;

use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;

use crate::chain::GapHasher;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::store::Stamp;
use crate::store::SweptRanges;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::sweep::gaps::IdRange;
use crate::store::sqlite::sweep::remove::next_removal;
use crate::store::sqlite::sweep::reserve::SweepLock;
use crate::store::sqlite::swept::SELECT_RUNS;
use crate::store::sqlite::wal;
use crate::store::sweep::IdSet;
use crate::store::sweep::PlannedSweep;
use crate::store::sweep::ShouldContinue;

/// The least pause after a batch: longer than the longest sleep of a writer that waits for the lock.
const MIN_PAUSE: Duration = Duration::from_millis(12);

/// The number of small rows that are written in one batch.
const ROWS_PER_BATCH: usize = 400;

/// The number of pages after which a batch that frees pages is committed: 1 MiB. Free pages are
/// overwritten, so each goes through the write-ahead log, and on a full disk that has only the reserve.
const MAX_FREED_PAGES: i64 = 256;

/// The number of frames in the write-ahead log, held there by readers, above which the sweep waits:
/// 64 MiB.
const MAX_WAL_FRAMES: i64 = 16_384;
/// The longest wait for such readers before each batch.
const READER_WAIT: Duration = Duration::from_secs(5);

/// The number of attempts to truncate the write-ahead log, which still contains removed events.
const TRUNCATE_ATTEMPTS: u32 = 20;

impl Sqlite {
    pub(in crate::store) fn sweep_state(&self) -> Result<SweptRanges> {
        self.read_in_snapshot(|connection| {
            let (sweep, done) = sweep_numbers(connection)?;
            let head: i64 = connection.query_row("SELECT id FROM head", [], |row| row.get(0))?;
            let gaps = runs_that_count(connection, sweep)?;
            let gone = gaps.iter().fold(0_i64, |gone, (first, last)| {
                gone.saturating_add(last.saturating_sub(*first).saturating_add(1))
            });
            let events = u64::try_from(head.saturating_sub(gone)).unwrap_or(0);
            let unfinished = done < sweep || next_removal(connection, sweep)?.is_some();
            Ok(SweptRanges { event_count: events, gaps, unfinished })
        })
    }

    pub(in crate::store) fn plan_sweep(
        &mut self,
        lock: &mut SweepLock,
        removals: &IdSet,
        should_continue: ShouldContinue<'_>,
    ) -> Result<Option<PlannedSweep>> {
        self.delete_unvouched_plans(lock)?;
        let (number, old, anchors) = self.read_in_snapshot(|connection| {
            let (sweep, _) = sweep_numbers(connection)?;
            let used_up = || error::damage("its newest sweep has the last number that there is");
            let next = sweep.checked_add(1).ok_or_else(used_up)?;
            Ok((next, runs_that_count(connection, sweep)?, anchor_ids(connection)?))
        })?;
        let mut gaps = gaps::merge_gaps(removals.ranges(), &old, &anchors);
        loop {
            let batch: Vec<IdRange> = gaps.by_ref().take(ROWS_PER_BATCH).collect();
            if batch.is_empty() {
                break;
            }
            if !should_continue(0) {
                return Ok(None);
            }
            self.run_batch(lock, |connection| {
                batch.iter().try_for_each(|run| insert_removal(connection, *run, number))
            })?;
        }
        self.read_in_snapshot(|connection| {
            let mut digest = GapHasher::new();
            let (mut gaps, mut total) = (0, 0_u64);
            let mut statement = connection.prepare(SELECT_RUNS)?;
            let mut rows = statement.query([number])?;
            while let Some(row) = rows.next()? {
                let (first, last): IdRange = (row.get(0)?, row.get(1)?);
                digest.update(EventId(first), EventId(last), &Hash(row.get(2)?), row.get(3)?);
                gaps += 1;
                total = total.saturating_add(last.abs_diff(first).saturating_add(1));
            }
            let gaps_sha256 = digest.finish();
            Ok(Some(PlannedSweep {
                number,
                gap_count: gaps,
                swept_total: total,
                gaps_sha256,
                anchor_ids: anchors.clone(),
            }))
        })
    }

    /// Removes the plans of sweeps that never took effect.
    fn delete_unvouched_plans(&mut self, lock: &mut SweepLock) -> Result<()> {
        const DELETE: &str = "DELETE FROM removal WHERE (sweep, first) IN (SELECT sweep, first \
            FROM removal WHERE sweep <> (SELECT sweep FROM head) LIMIT ?1)";
        loop {
            let (deleted, _) = self.run_batch(lock, |connection| {
                connection.prepare_cached(DELETE)?.execute([sql_limit(ROWS_PER_BATCH)])
            })?;
            if deleted < ROWS_PER_BATCH {
                return Ok(());
            }
        }
    }

    pub(in crate::store) fn vouch(
        &mut self,
        lock: &mut SweepLock,
        planned: &PlannedSweep,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> Result<bool> {
        loop {
            match self.try_vouch(planned, event, stamp) {
                Err(cause) if error::is_full_disk_failure(&cause) && lock.release_reserve() => {}
                done => return done,
            }
        }
    }

    fn try_vouch(
        &mut self,
        planned: &PlannedSweep,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> Result<bool> {
        let path = self.path.clone();
        let mut batch = self.begin()?;
        let known = anchor_ids(batch.connection())
            .map_err(|cause| error::to_failure(&path, Operation::Write, &cause))?;
        if known != planned.anchor_ids {
            return Ok(false);
        }
        batch.append(event, stamp)?;
        batch.activate_sweep(planned.number)?;
        batch.commit()?;
        Ok(true)
    }

    pub(in crate::store) fn reclaim_space(
        &mut self,
        lock: &mut SweepLock,
        should_continue: ShouldContinue<'_>,
    ) -> Result<u64> {
        let number = |connection: &Connection, pragma: &str| -> rusqlite::Result<i64> {
            connection.prepare_cached(pragma)?.query_row([], |row| row.get(0))
        };
        let mut pages = BatchSizer { size: 64, min: 16, max: 1_024 };
        let mut given = 0;
        while should_continue(0) {
            let slice = format!("PRAGMA incremental_vacuum({})", pages.size);
            let (freed, elapsed) = self.run_batch(lock, |connection| {
                if free_pages(connection)? == 0 {
                    return Ok(0);
                }
                let before = number(connection, "PRAGMA page_count")?;
                // Each step frees one page.
                let mut statement = connection.prepare(&slice)?;
                let mut steps = statement.query([])?;
                while steps.next()?.is_some() {}
                Ok(before - number(connection, "PRAGMA page_count")?)
            })?;
            if freed <= 0 {
                break;
            }
            given += freed.unsigned_abs();
            pages.adjust(elapsed);
        }
        let size = self.read_in_snapshot(|connection| number(connection, "PRAGMA page_size"))?;
        self.truncate_wal()?;
        Ok(given * size.unsigned_abs())
    }

    /// Truncates the write-ahead log, unless readers hold it up for long. Nobody waits for the attempts.
    fn truncate_wal(&mut self) -> Result<()> {
        let path = self.path.clone();
        let to_failure =
            |cause: rusqlite::Error| error::to_failure(&path, Operation::Write, &cause);
        for attempt in 0..TRUNCATE_ATTEMPTS {
            if attempt > 0 {
                thread::sleep(5 * MIN_PAUSE);
            }
            self.checkpoint_wal().map_err(to_failure)?;
            if wal::checkpoint_and_truncate(&mut self.connection).map_err(to_failure)? {
                break;
            }
        }
        Ok(())
    }

    /// Carries the write-ahead log over into the file, so that writers between two batches need not. It
    /// waits for readers that hold up a large write-ahead log.
    fn checkpoint_wal(&self) -> rusqlite::Result<()> {
        let began = Instant::now();
        loop {
            wal::checkpoint_if_large(&self.connection)?;
            let left = wal::pages_to_checkpoint(&self.connection)?;
            if left < MAX_WAL_FRAMES || began.elapsed() > READER_WAIT {
                return Ok(());
            }
            thread::sleep(MIN_PAUSE);
        }
    }

    /// Does a piece of work in a transaction of its own, then pauses as long as it held the lock. Returns
    /// that time. On a full disk it releases the reserve and does the work again.
    fn run_batch<T>(
        &self,
        lock: &mut SweepLock,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<(T, Duration)> {
        let to_failure =
            |cause: rusqlite::Error| error::to_failure(&self.path, Operation::Write, &cause);
        loop {
            match self.try_run_batch(&mut work) {
                Ok((done, elapsed)) => {
                    self.ensure_in_place()?;
                    let free = Instant::now();
                    // The checkpoint takes no lock that a writer needs.
                    self.checkpoint_wal().map_err(to_failure)?;
                    thread::sleep(elapsed.max(MIN_PAUSE).saturating_sub(free.elapsed()));
                    return Ok((done, elapsed));
                }
                Err(cause) if error::is_disk_full(&cause) && lock.release_reserve() => {}
                Err(cause) => return Err(to_failure(cause)),
            }
        }
    }

    /// Commits without a sync, so the lock is not held while the disk works. A commit that is lost with
    /// the power is done again by the next sweep. The event that vouches was synced before and stands
    /// before it in the write-ahead log.
    fn try_run_batch<T>(
        &self,
        work: &mut impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<(T, Duration)> {
        self.connection.execute_batch("PRAGMA synchronous=NORMAL")?;
        let done = self.run_immediate_transaction(work);
        self.connection.execute_batch("PRAGMA synchronous=FULL")?;
        done
    }

    fn run_immediate_transaction<T>(
        &self,
        work: &mut impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<(T, Duration)> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(&self.connection, behavior)?;
        let began = Instant::now();
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok((done, began.elapsed()))
    }
}

/// Counts the pages that a batch frees.
struct FreedPages<'a> {
    connection: &'a Connection,
    before: i64,
}

impl<'a> FreedPages<'a> {
    fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self { connection, before: free_pages(connection)? })
    }

    /// Whether the batch should end.
    fn are_enough(&self) -> rusqlite::Result<bool> {
        Ok(free_pages(self.connection)?.saturating_sub(self.before) >= MAX_FREED_PAGES)
    }
}

fn free_pages(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))
}

/// Finds the size of a batch that holds the lock for about 16 ms.
struct BatchSizer {
    size: u32,
    min: u32,
    max: u32,
}

impl BatchSizer {
    const TARGET_TIME: Duration = Duration::from_millis(16);

    /// Adjusts the size to the time that the last batch took.
    fn adjust(&mut self, elapsed: Duration) {
        let size = if elapsed > Self::TARGET_TIME {
            self.size / 2
        } else if elapsed < Self::TARGET_TIME / 2 {
            self.size * 2
        } else {
            self.size
        };
        self.size = size.clamp(self.min, self.max);
    }
}

/// Returns the number of the newest sweep in effect, and of the newest that has removed its events.
fn sweep_numbers(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let sweep = connection.query_row("SELECT sweep FROM head", [], |row| row.get(0))?;
    let done = connection
        .query_row("SELECT value FROM meta WHERE key = 'swept'", [], |row| row.get(0))
        .optional()?;
    Ok((sweep, done.unwrap_or(0)))
}

/// Returns the runs that count when this sweep is the newest.
fn runs_that_count(connection: &Connection, sweep: i64) -> rusqlite::Result<Vec<IdRange>> {
    let mut statement = connection.prepare(SELECT_RUNS)?;
    statement.query_map([sweep], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Returns the ids whose hashes were published outside the log, ascending.
fn anchor_ids(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT id FROM anchor ORDER BY id")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Plans the removal of a run under the number of a sweep that is not in effect yet.
fn insert_removal(
    connection: &Connection,
    (first, last): IdRange,
    number: i64,
) -> rusqlite::Result<()> {
    const INSERT: &str = "INSERT INTO removal (sweep, first, last, hash, removed_to) \
        VALUES (?1, ?2, ?3, (SELECT hash FROM event WHERE id = ?3), ?2 - 1)";
    connection.prepare_cached(INSERT)?.execute([number, first, last]).map(drop)
}

/// Converts a number of rows for SQL.
fn sql_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
