//! Removes the events that a sweep vouches for, in short transactions, in the order of ids.
//!
//! Each transaction notes the last event that it removed, with its hash, so the events that are left of
//! a run still link to something known. A run without events becomes a gap, in place of those within it.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;

use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::layout;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::sweep::FreedPages;
use crate::store::sqlite::sweep::reserve::SweepLock;
use crate::store::sqlite::sweep::sweep_numbers;
use crate::store::sqlite::sweep::unused::DimensionKeySets;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::ShouldContinue;

/// The time after which a batch is committed. A writer waits this long and for the commit, besides its
/// own sleep. A longer one makes them wait for more than one batch: see docs/performance.md.
const BATCH_TIME: Duration = Duration::from_millis(6);

impl Sqlite {
    pub(in crate::store) fn remove_swept(
        &mut self,
        lock: &mut SweepLock,
        scope: CleanupScope,
        should_continue: ShouldContinue<'_>,
    ) -> Result<bool> {
        let to_failure =
            |cause: rusqlite::Error| error::to_failure(&self.path, Operation::Write, &cause);
        // Removed events must not remain readable in the free parts of pages.
        self.connection.execute_batch("PRAGMA secure_delete=ON").map_err(to_failure)?;
        let (sweep, _) = self.read_in_snapshot(sweep_numbers)?;
        let mut referenced = DimensionKeySets::default();
        let mut removed = 0;
        loop {
            if !should_continue(removed) {
                return Ok(false);
            }
            let (batch, _) = self.run_batch(lock, |connection| remove_batch(connection, sweep))?;
            removed += batch.removed;
            batch.references.into_iter().for_each(|(kind, key)| referenced.insert(kind, key));
            if batch.is_last {
                break;
            }
        }
        self.clear_caches();
        if !self.remove_unused(lock, scope, referenced, &mut || should_continue(removed))? {
            return Ok(false);
        }
        self.run_batch(lock, |connection| {
            connection
                .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('swept', ?1)", [sweep])
        })?;
        Ok(true)
    }
}

/// A run that a sweep removes.
pub(super) struct Removal {
    first: i64,
    last: i64,
    removed_to: i64,
}

/// Returns the first run that a sweep has yet to remove.
pub(super) fn next_removal(
    connection: &Connection,
    sweep: i64,
) -> rusqlite::Result<Option<Removal>> {
    const SQL: &str = "SELECT first, last, removed_to FROM removal WHERE sweep = ?1 \
        ORDER BY first LIMIT 1";
    connection
        .prepare_cached(SQL)?
        .query_row([sweep], |row| {
            Ok(Removal { first: row.get(0)?, last: row.get(1)?, removed_to: row.get(2)? })
        })
        .optional()
}

/// The result of one batch.
#[derive(Default)]
struct RemovedBatch {
    removed: u64,
    /// The rows that the removed events referred to.
    references: Vec<(Dimension, i64)>,
    /// Nothing is left to remove.
    is_last: bool,
}

/// Removes events until enough time has passed, or enough pages are free.
fn remove_batch(connection: &Connection, sweep: i64) -> rusqlite::Result<RemovedBatch> {
    let start = Instant::now();
    let freed = FreedPages::new(connection)?;
    let mut batch = RemovedBatch::default();
    while let Some(mut run) = next_removal(connection, sweep)? {
        let mut removed_hash = None;
        let mut is_full = false;
        while !is_full && run.removed_to < run.last {
            let Some((id, hash)) = batch.remove_next(connection, &run)? else {
                run.removed_to = run.last;
                break;
            };
            (run.removed_to, removed_hash) = (id, Some(hash));
            is_full = start.elapsed() >= BATCH_TIME || freed.are_enough()?;
        }
        note_removed(connection, sweep, &run, removed_hash)?;
        if is_full {
            return Ok(batch);
        }
    }
    batch.is_last = true;
    Ok(batch)
}

impl RemovedBatch {
    /// Removes the next event of a run, and returns its id and hash; `None` if none is left.
    fn remove_next(
        &mut self,
        connection: &Connection,
        run: &Removal,
    ) -> rusqlite::Result<Option<(i64, [u8; 32])>> {
        const DELETE: &str = concat!(
            "DELETE FROM event WHERE id = \
               (SELECT id FROM event WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1) \
             RETURNING ",
            layout::key_columns!(),
            ", id, hash"
        );
        let mut delete = connection.prepare_cached(DELETE)?;
        let mut rows = delete.query([run.removed_to, run.last])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        for (column, dimension) in layout::KEY_DIMENSIONS.iter().enumerate() {
            if let Some(key) = row.get(column)? {
                self.references.push((*dimension, key));
            }
        }
        let removed = (row.get("id")?, row.get("hash")?);
        // The statement must come to its end to take effect.
        while rows.next()?.is_some() {}
        self.removed += 1;
        Ok(Some(removed))
    }
}

/// Notes up to where a run is removed; one that is removed wholly becomes a gap.
fn note_removed(
    connection: &Connection,
    sweep: i64,
    run: &Removal,
    removed_hash: Option<[u8; 32]>,
) -> rusqlite::Result<()> {
    const REPLACE_GAPS: &str = "DELETE FROM gap WHERE first BETWEEN ?1 AND ?2";
    const NOTE: &str = "UPDATE removal SET removed_to = ?3, removed_hash = ?4 \
        WHERE sweep = ?1 AND first = ?2";
    const BECOME_GAP: &str = "INSERT INTO gap (first, last, hash, sweep) \
        SELECT first, last, hash, sweep FROM removal WHERE sweep = ?1 AND first = ?2";
    const END: &str = "DELETE FROM removal WHERE sweep = ?1 AND first = ?2";
    connection.prepare_cached(REPLACE_GAPS)?.execute([run.first, run.removed_to])?;
    if run.removed_to < run.last {
        let params = params![sweep, run.first, run.removed_to, removed_hash];
        return connection.prepare_cached(NOTE)?.execute(params).map(drop);
    }
    connection.prepare_cached(BECOME_GAP)?.execute([sweep, run.first])?;
    connection.prepare_cached(END)?.execute([sweep, run.first]).map(drop)
}
