//! How far input files were taken. The rows are committed with the events that they tell of.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use crate::store::Progress;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::damage;

/// How many places are kept of files that begin alike: a file that is taken every minute must not
/// fill the log, and an older copy of it shall be known all the same.
const KEPT: i64 = 64;

impl Sqlite {
    pub(in crate::store) fn progress(
        &self,
        size: u64,
        mut head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    ) -> Result<Vec<Progress>> {
        // No file is larger than an i64 says.
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for length in self.head_lengths(size)? {
            let hash = head_hash(length)?;
            found.extend(self.left_at(size, length, hash)?);
        }
        found.sort_by_key(|progress| std::cmp::Reverse(progress.taken));
        Ok(found)
    }

    fn head_lengths(&self, size: i64) -> Result<Vec<u64>> {
        const SQL: &str = "SELECT DISTINCT head_length FROM progress WHERE head_length <= ?1";
        self.snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            statement.query_map([size], |row| natural(row, 0))?.collect()
        })
    }

    fn left_at(&self, size: i64, head_length: u64, head_hash: [u8; 32]) -> Result<Vec<Progress>> {
        const SQL: &str = "SELECT taken, tail_length, tail_hash, records, lines FROM progress \
            WHERE head_length = ?1 AND head_hash = ?2 AND taken <= ?3";
        self.snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let rows =
                statement.query_map(params![integer(head_length), head_hash, size], |row| {
                    Ok(Progress {
                        head_length,
                        head_hash,
                        taken: natural(row, 0)?,
                        tail_length: natural(row, 1)?,
                        tail_hash: row.get(2)?,
                        records: natural(row, 3)?,
                        lines: natural(row, 4)?,
                    })
                })?;
            rows.collect()
        })
    }
}

/// Notes a place within the transaction that is open.
pub(super) fn note(connection: &Connection, progress: &Progress) -> rusqlite::Result<()> {
    const NOTE: &str = "INSERT OR REPLACE INTO progress \
        (head_length, head_hash, taken, tail_length, tail_hash, records, lines) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    const FORGET: &str = "DELETE FROM progress WHERE head_length = ?1 AND head_hash = ?2 \
        AND taken < (SELECT taken FROM progress WHERE head_length = ?1 AND head_hash = ?2 \
                     ORDER BY taken DESC LIMIT 1 OFFSET ?3)";
    let changed = connection.prepare_cached(NOTE)?.execute(params![
        integer(progress.head_length),
        progress.head_hash,
        integer(progress.taken),
        integer(progress.tail_length),
        progress.tail_hash,
        integer(progress.records),
        integer(progress.lines),
    ])?;
    if changed == 0 {
        return Err(error::refused("the place reached in a file"));
    }
    connection.prepare_cached(FORGET)?.execute(params![
        integer(progress.head_length),
        progress.head_hash,
        KEPT - 1
    ])?;
    Ok(())
}

fn integer(natural: u64) -> i64 {
    i64::try_from(natural).expect("no file is larger than an i64 says")
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?)
        .map_err(|_| damage("the place reached in a file is negative"))
}
