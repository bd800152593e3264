//! The sweep: `gaps` joins runs of ids, `remove` deletes events, `unused` the rows that nothing refers
//! to any more, `reserve` is room for all that on a full disk. Here runs are planned and vouched
//! for, and space is given back.
//!
//! All that is long happens in short transactions with a pause after each, and what is only read
//! is read outside of them: writers wait for one batch at most.

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
use rusqlite::Row;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use crate::chain::GapHasher;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::store::Stamp;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::sweep::gaps::GapRow;
use crate::store::sqlite::sweep::gaps::NewGap;
use crate::store::sqlite::sweep::reserve::SweepLock;
use crate::store::sqlite::wal;
use crate::store::sweep::IdSet;
use crate::store::sweep::PendingSweep;
use crate::store::sweep::ShouldContinue;
use crate::store::sweep::SweepState;

/// The least pause after a batch: more than the longest sleep of one who waits for the lock.
const MIN_PAUSE: Duration = Duration::from_millis(12);

/// So many rows of runs are written at once; they are small.
const ROWS_PER_BATCH: usize = 400;

/// Frames in the write-ahead log that no reader lets carry over, from which on the sweep waits:
/// 64 MiB.
const MAX_WAL_FRAMES: i64 = 16_384;
/// How long it waits then, before each of its batches.
const READER_WAIT: Duration = Duration::from_secs(5);

/// How often the end tries to cut the write-ahead log, in which removed events still stand.
const TRUNCATE_ATTEMPTS: u32 = 20;

/// The runs that count when that sweep is the newest, in the order of ids.
const EFFECTIVE_GAPS: &str = "SELECT gap.first, gap.last, gap.sweep, gap.hash FROM gap \
    WHERE gap.sweep <= ?1 AND ?1 < gap.until ORDER BY gap.first";

impl Sqlite {
    pub(in crate::store) fn sweep_state(&self) -> Result<SweepState> {
        self.read_in_snapshot(|connection| {
            let (sweep, done) = sweep_numbers(connection)?;
            let head: i64 = connection.query_row("SELECT id FROM head", [], |row| row.get(0))?;
            let gaps: Vec<(i64, i64)> = effective_gaps(connection, sweep)?
                .iter()
                .map(|gap| (gap.first, gap.last))
                .collect();
            let gone = gaps.iter().fold(0_i64, |gone, (first, last)| {
                gone.saturating_add(last.saturating_sub(*first).saturating_add(1))
            });
            let events = u64::try_from(head.saturating_sub(gone)).unwrap_or(0);
            Ok(SweepState { event_count: events, gaps: gaps, unfinished: done < sweep })
        })
    }

    pub(in crate::store) fn plan_sweep(
        &mut self,
        lock: &mut SweepLock,
        removals: &IdSet,
        should_continue: ShouldContinue<'_>,
    ) -> Result<Option<PendingSweep>> {
        self.delete_unvouched_plans(lock)?;
        let (number, old, anchors) = self.read_in_snapshot(|connection| {
            let (sweep, _) = sweep_numbers(connection)?;
            let used_up = || error::damage("its newest sweep has the last number that there is");
            let next = sweep.checked_add(1).ok_or_else(used_up)?;
            Ok((next, effective_gaps(connection, sweep)?, anchor_ids(connection)?))
        })?;
        let mut gaps = gaps::merge_gaps(removals.ranges(), &old, &anchors);
        loop {
            let mut batch: Vec<NewGap> = Vec::new();
            let mut rows = 0;
            while rows < ROWS_PER_BATCH
                && let Some(gap) = gaps.next()
            {
                rows += 1 + gap.replaces.len();
                batch.push(gap);
            }
            if batch.is_empty() {
                break;
            }
            if !should_continue(0) {
                return Ok(None);
            }
            self.run_batch(lock, |connection| {
                batch.iter().try_for_each(|gap| insert_gap(connection, gap, number))
            })?;
        }
        self.read_in_snapshot(|connection| {
            let mut digest = GapHasher::new();
            let mut gaps = 0;
            let mut statement = connection.prepare(EFFECTIVE_GAPS)?;
            let mut rows = statement.query([number])?;
            while let Some(row) = rows.next()? {
                let GapRow { first, last, sweep } = read_gap(row)?;
                digest.update(EventId(first), EventId(last), &Hash(row.get(3)?), sweep);
                gaps += 1;
            }
            let gaps_sha256 = digest.finish();
            Ok(Some(PendingSweep {
                number,
                gap_count: gaps,
                gaps_sha256,
                anchor_ids: anchors.clone(),
            }))
        })
    }

    /// Drops what a sweep that never took effect has written down.
    fn delete_unvouched_plans(&mut self, lock: &mut SweepLock) -> Result<()> {
        const PLANNED: &str = "SELECT first, last, sweep FROM gap \
            WHERE (sweep > (SELECT sweep FROM head) \
                   OR until > (SELECT sweep FROM head) AND until < 9223372036854775807) \
              AND (first, sweep) > (?1, ?2) ORDER BY first, sweep LIMIT ?3";
        const DROP: &str = "DELETE FROM gap WHERE first = ?1 AND sweep = ?2 \
            AND sweep > (SELECT sweep FROM head)";
        const UNMARK: &str = "UPDATE gap SET until = 9223372036854775807 \
            WHERE first = ?1 AND sweep = ?2 AND until > (SELECT sweep FROM head)";
        self.each_gap(lock, PLANNED, |connection, row| {
            let key = [row.first, row.sweep];
            if connection.prepare_cached(DROP)?.execute(key)? == 0 {
                connection.prepare_cached(UNMARK)?.execute(key)?;
            }
            Ok(())
        })
    }

    /// Does something to each run that a statement selects behind (first, sweep), so many at a time.
    fn each_gap(
        &self,
        lock: &mut SweepLock,
        select: &str,
        work: impl Fn(&Connection, &GapRow) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let mut after = (i64::MIN, i64::MIN);
        loop {
            let rows = self.read_in_snapshot(|connection| {
                let mut statement = connection.prepare_cached(select)?;
                let rows =
                    statement.query_map((after.0, after.1, sql_limit(ROWS_PER_BATCH)), read_gap)?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            })?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.first, last.sweep);
            self.run_batch(lock, |connection| {
                rows.iter().try_for_each(|row| work(connection, row))
            })?;
        }
    }

    pub(in crate::store) fn vouch(
        &mut self,
        lock: &mut SweepLock,
        planned: &PendingSweep,
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
        planned: &PendingSweep,
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
                if number(connection, "PRAGMA freelist_count")? == 0 {
                    return Ok(0);
                }
                let before = number(connection, "PRAGMA page_count")?;
                // Stepped to its end: each step is a page.
                let mut statement = connection.prepare(&slice)?;
                let mut batch = statement.query([])?;
                while batch.next()?.is_some() {}
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

    /// Cuts the write-ahead log, unless readers are in the way for long. While it tries it keeps
    /// nobody waiting.
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

    /// Carries the write-ahead log into the file, so that the writers between two batches need not.
    /// Where readers hold it up and it has grown large, they are waited for.
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

    /// Does a piece of work in a transaction of its own, then leaves writers as long as it held the
    /// lock; tells that time. Where the disk is full the reserve is given up, and the work is done again.
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
                    let free = Instant::now();
                    // It takes no lock that a writer needs.
                    self.checkpoint_wal().map_err(to_failure)?;
                    thread::sleep(elapsed.max(MIN_PAUSE).saturating_sub(free.elapsed()));
                    return Ok((done, elapsed));
                }
                Err(cause) if error::is_disk_full(&cause) && lock.release_reserve() => {}
                Err(cause) => return Err(to_failure(cause)),
            }
        }
    }

    /// A commit that the power takes back is done again by the next sweep, so it does not wait for the
    /// disk while it holds the lock. The event that vouches was synced before, and stands before it
    /// in the write-ahead log.
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

/// How much is done at once, so that the lock is held for some 16 ms.
struct BatchSizer {
    size: u32,
    min: u32,
    max: u32,
}

impl BatchSizer {
    const TARGET_TIME: Duration = Duration::from_millis(16);

    /// Learns from what as much as this took.
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

/// The number of the newest sweep that counts, and of the newest that has removed all.
fn sweep_numbers(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let sweep = connection.query_row("SELECT sweep FROM head", [], |row| row.get(0))?;
    let done = connection
        .query_row("SELECT value FROM meta WHERE key = 'swept'", [], |row| row.get(0))
        .optional()?;
    Ok((sweep, done.unwrap_or(0)))
}

/// The runs that count when that sweep is the newest.
fn effective_gaps(connection: &Connection, sweep: i64) -> rusqlite::Result<Vec<GapRow>> {
    let mut statement = connection.prepare(EFFECTIVE_GAPS)?;
    statement.query_map([sweep], read_gap)?.collect()
}

/// The ids whose hashes are known outside the log, ascending.
fn anchor_ids(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT id FROM anchor ORDER BY id")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Writes down a run under the number of a sweep that does not count yet.
fn insert_gap(connection: &Connection, gap: &NewGap, number: i64) -> rusqlite::Result<()> {
    const HASH: &str = "SELECT hash FROM event WHERE id = ?1";
    const OLD_HASH: &str = "SELECT hash FROM gap WHERE first = ?1 AND sweep = ?2";
    const NOTE: &str = "INSERT INTO gap (first, last, hash, sweep) VALUES (?1, ?2, ?3, ?4)";
    const MARK: &str = "UPDATE gap SET until = ?3 WHERE first = ?1 AND sweep = ?2";
    let hash: [u8; 32] = match gap.replaces.last().filter(|_| !gap.ends_in_event) {
        Some(old) => connection
            .prepare_cached(OLD_HASH)?
            .query_row([old.first, old.sweep], |row| row.get(0))?,
        None => connection.prepare_cached(HASH)?.query_row([gap.last], |row| row.get(0))?,
    };
    connection.prepare_cached(NOTE)?.execute(params![gap.first, gap.last, hash, number])?;
    let mut mark = connection.prepare_cached(MARK)?;
    for old in &gap.replaces {
        mark.execute([old.first, old.sweep, number])?;
    }
    Ok(())
}

fn read_gap(row: &Row<'_>) -> rusqlite::Result<GapRow> {
    Ok(GapRow { first: row.get(0)?, last: row.get(1)?, sweep: row.get(2)? })
}

/// A number of rows, for SQL.
fn sql_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
