//! Removes the events that a sweep vouches for, in short transactions, in the order of ids.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;

use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::layout;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::sweep::GapRow;
use crate::store::sqlite::sweep::effective_gaps;
use crate::store::sqlite::sweep::reserve::SweepLock;
use crate::store::sqlite::sweep::sweep_numbers;
use crate::store::sqlite::sweep::unused::DimensionKeySets;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::ShouldContinue;

/// The number of ids that one statement removes before the time is checked.
const IDS_PER_STATEMENT: i64 = 32;

/// The time after which a batch is committed. A writer waits this long and for the commit, besides its
/// own sleep.
const BATCH_TIME: Duration = Duration::from_millis(10);

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
        self.delete_replaced_gaps(lock)?;
        let (sweep, gaps) = self.read_in_snapshot(|connection| {
            let (sweep, done) = sweep_numbers(connection)?;
            let mut gaps = effective_gaps(connection, sweep)?;
            gaps.retain(|gap| gap.sweep > done);
            Ok((sweep, gaps))
        })?;
        let mut referenced = DimensionKeySets::default();
        let mut cursor = RemovalCursor { gap: 0, next_id: i64::MIN };
        let mut removed = 0;
        while cursor.gap < gaps.len() {
            if !should_continue(removed) {
                return Ok(false);
            }
            let (batch, _) =
                self.run_batch(lock, |connection| delete_batch(connection, &gaps, cursor))?;
            cursor = batch.cursor;
            removed += batch.removed;
            batch.references.into_iter().for_each(|(kind, key)| referenced.insert(kind, key));
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

    /// Deletes the gaps that newer gaps have replaced.
    fn delete_replaced_gaps(&self, lock: &mut SweepLock) -> Result<()> {
        const REPLACED: &str = "SELECT first, last, sweep FROM gap \
            WHERE until <= (SELECT sweep FROM head) AND (first, sweep) > (?1, ?2) \
            ORDER BY first, sweep LIMIT ?3";
        const DELETE: &str = "DELETE FROM gap WHERE first = ?1 AND sweep = ?2 \
            AND until <= (SELECT sweep FROM head)";
        self.each_gap(lock, REPLACED, |connection, row| {
            connection.prepare_cached(DELETE)?.execute([row.first, row.sweep]).map(drop)
        })
    }
}

/// The position up to which gaps are emptied.
#[derive(Clone, Copy)]
struct RemovalCursor {
    gap: usize,
    /// The next id of the gap to look at.
    next_id: i64,
}

/// The result of one batch.
struct RemovedBatch {
    cursor: RemovalCursor,
    removed: u64,
    /// The rows that the removed events referred to.
    references: Vec<(Dimension, i64)>,
}

fn delete_batch(
    connection: &Connection,
    gaps: &[GapRow],
    mut cursor: RemovalCursor,
) -> rusqlite::Result<RemovedBatch> {
    const NEXT: &str = "SELECT id FROM event WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1";
    const DELETE: &str =
        concat!("DELETE FROM event WHERE id BETWEEN ?1 AND ?2 RETURNING ", layout::key_columns!());
    let start = Instant::now();
    let mut batch = RemovedBatch { cursor, removed: 0, references: Vec::new() };
    let mut next = connection.prepare_cached(NEXT)?;
    let mut delete = connection.prepare_cached(DELETE)?;
    while let Some(gap) = gaps.get(cursor.gap) {
        let from = cursor.next_id.max(gap.first);
        let first_id: Option<i64> =
            next.query_row([from, gap.last], |row| row.get(0)).optional()?;
        let Some(first) = first_id else {
            cursor = RemovalCursor { gap: cursor.gap + 1, next_id: i64::MIN };
            continue;
        };
        let last = first.saturating_add(IDS_PER_STATEMENT - 1).min(gap.last);
        let mut rows = delete.query([first, last])?;
        while let Some(row) = rows.next()? {
            batch.removed += 1;
            for (column, dimension) in layout::KEY_DIMENSIONS.iter().enumerate() {
                if let Some(key) = row.get(column)? {
                    batch.references.push((*dimension, key));
                }
            }
        }
        cursor.next_id = last.saturating_add(1);
        if start.elapsed() >= BATCH_TIME {
            break;
        }
    }
    batch.cursor = cursor;
    Ok(batch)
}
