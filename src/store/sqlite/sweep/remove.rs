//! Removes events that are vouched for, in short transactions with a cursor that only moves on.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;

use crate::store::sqlite::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::layout;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::sweep::GapRow;
use crate::store::sqlite::sweep::effective_gaps;
use crate::store::sqlite::sweep::reserve::SweepLock;
use crate::store::sqlite::sweep::sweep_numbers;
use crate::store::sqlite::sweep::unused::ReferencedRows;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::ShouldContinue;

/// So many ids go by one statement, after which the time is looked at.
const IDS_PER_STATEMENT: i64 = 32;

/// The time after which a batch is committed. With the commit it is what a writer waits for, beside
/// its own sleep.
const BATCH_TIME: Duration = Duration::from_millis(10);

impl Sqlite {
    pub(in crate::store) fn remove_swept(
        &mut self,
        sweeping: &mut SweepLock,
        suspects: CleanupScope,
        go_on: ShouldContinue<'_>,
    ) -> Result<bool> {
        let told = |why: rusqlite::Error| error::to_failure(&self.path, Operation::Write, &why);
        // What was removed shall not be found in the free parts of a page.
        self.connection.execute_batch("PRAGMA secure_delete=ON").map_err(told)?;
        self.delete_replaced_gaps(sweeping)?;
        let (sweep, runs) = self.read_in_snapshot(|connection| {
            let (sweep, done) = sweep_numbers(connection)?;
            let mut runs = effective_gaps(connection, sweep)?;
            runs.retain(|run| run.sweep > done);
            Ok((sweep, runs))
        })?;
        let mut referred = ReferencedRows::default();
        let mut place = RemovalCursor { gap: 0, next_id: i64::MIN };
        let mut removed = 0;
        while place.gap < runs.len() {
            if !go_on(removed) {
                return Ok(false);
            }
            let (step, _) =
                self.run_batch(sweeping, |connection| delete_batch(connection, &runs, place))?;
            place = step.cursor;
            removed += step.removed;
            step.references.into_iter().for_each(|(kind, key)| referred.insert(kind, key));
        }
        self.clear_caches();
        if !self.remove_unused(sweeping, suspects, referred, &mut || go_on(removed))? {
            return Ok(false);
        }
        self.run_batch(sweeping, |connection| {
            connection
                .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('swept', ?1)", [sweep])
        })?;
        Ok(true)
    }

    /// Drops the runs that others have taken the place of.
    fn delete_replaced_gaps(&self, sweeping: &mut SweepLock) -> Result<()> {
        const JOINED: &str = "SELECT first, last, sweep FROM gap \
            WHERE until <= (SELECT sweep FROM head) AND (first, sweep) > (?1, ?2) \
            ORDER BY first, sweep LIMIT ?3";
        const DROP: &str = "DELETE FROM gap WHERE first = ?1 AND sweep = ?2 \
            AND until <= (SELECT sweep FROM head)";
        self.each_gap(sweeping, JOINED, |connection, row| {
            connection.prepare_cached(DROP)?.execute([row.first, row.sweep]).map(drop)
        })
    }
}

/// How far the runs are done.
#[derive(Clone, Copy)]
struct RemovalCursor {
    gap: usize,
    /// The next id of it to look at.
    next_id: i64,
}

/// What one batch did.
struct RemovedBatch {
    cursor: RemovalCursor,
    removed: u64,
    /// The rows that the removed events referred to.
    references: Vec<(Dimension, i64)>,
}

fn delete_batch(
    connection: &Connection,
    runs: &[GapRow],
    mut place: RemovalCursor,
) -> rusqlite::Result<RemovedBatch> {
    const NEXT: &str = "SELECT id FROM event WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1";
    const DELETE: &str =
        concat!("DELETE FROM event WHERE id BETWEEN ?1 AND ?2 RETURNING ", layout::key_columns!());
    let began = Instant::now();
    let mut step = RemovedBatch { cursor: place, removed: 0, references: Vec::new() };
    let mut next = connection.prepare_cached(NEXT)?;
    let mut delete = connection.prepare_cached(DELETE)?;
    while let Some(run) = runs.get(place.gap) {
        let from = place.next_id.max(run.first);
        let there: Option<i64> = next.query_row([from, run.last], |row| row.get(0)).optional()?;
        let Some(first) = there else {
            place = RemovalCursor { gap: place.gap + 1, next_id: i64::MIN };
            continue;
        };
        let last = first.saturating_add(IDS_PER_STATEMENT - 1).min(run.last);
        let mut rows = delete.query([first, last])?;
        while let Some(row) = rows.next()? {
            step.removed += 1;
            for (column, dimension) in layout::KEY_DIMENSIONS.iter().enumerate() {
                if let Some(key) = row.get(column)? {
                    step.references.push((*dimension, key));
                }
            }
        }
        place.next_id = last.saturating_add(1);
        if began.elapsed() >= BATCH_TIME {
            break;
        }
    }
    step.cursor = place;
    Ok(step)
}
