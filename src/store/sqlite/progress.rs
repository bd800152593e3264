//! Remembers how far input files were read.
//!
//! ## Durability
//! A position is committed in one transaction with the events that were read up to it.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use crate::store::FileProgress;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::damage;

/// The number of positions kept for files that begin alike. A file that is read every minute must not
/// fill the log, and an older copy of it must still be recognized.
const MAX_POSITIONS: i64 = 64;

impl Sqlite {
    pub(in crate::store) fn find_progress(
        &self,
        size: u64,
        mut head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    ) -> Result<Vec<FileProgress>> {
        // No file is larger than `i64::MAX`.
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for length in self.head_lengths(size)? {
            let hash = head_hash(length)?;
            found.extend(self.progress_by_head(size, length, hash)?);
        }
        found.sort_by_key(|progress| std::cmp::Reverse(progress.offset));
        Ok(found)
    }

    fn head_lengths(&self, size: i64) -> Result<Vec<u64>> {
        const SQL: &str = "SELECT DISTINCT head_length FROM progress WHERE head_length <= ?1";
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            statement.query_map([size], |row| get_u64(row, 0))?.collect()
        })
    }

    fn progress_by_head(
        &self,
        size: i64,
        head_length: u64,
        head_hash: [u8; 32],
    ) -> Result<Vec<FileProgress>> {
        const SQL: &str = "SELECT taken, tail_length, tail_hash, records, lines FROM progress \
            WHERE head_length = ?1 AND head_hash = ?2 AND taken <= ?3";
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let rows =
                statement.query_map(params![to_i64(head_length), head_hash, size], |row| {
                    Ok(FileProgress {
                        head_length,
                        head_hash,
                        offset: get_u64(row, 0)?,
                        tail_length: get_u64(row, 1)?,
                        tail_hash: row.get(2)?,
                        records: get_u64(row, 3)?,
                        lines: get_u64(row, 4)?,
                    })
                })?;
            rows.collect()
        })
    }
}

/// Records a position within the open transaction.
pub(super) fn record(connection: &Connection, progress: &FileProgress) -> rusqlite::Result<()> {
    const INSERT: &str = "INSERT OR REPLACE INTO progress \
        (head_length, head_hash, taken, tail_length, tail_hash, records, lines) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    const DELETE_OLDEST: &str = "DELETE FROM progress WHERE head_length = ?1 AND head_hash = ?2 \
        AND taken < (SELECT taken FROM progress WHERE head_length = ?1 AND head_hash = ?2 \
                     ORDER BY taken DESC LIMIT 1 OFFSET ?3)";
    let changed = connection.prepare_cached(INSERT)?.execute(params![
        to_i64(progress.head_length),
        progress.head_hash,
        to_i64(progress.offset),
        to_i64(progress.tail_length),
        progress.tail_hash,
        to_i64(progress.records),
        to_i64(progress.lines),
    ])?;
    if changed == 0 {
        return Err(error::ignored_write("the place reached in a file"));
    }
    connection.prepare_cached(DELETE_OLDEST)?.execute(params![
        to_i64(progress.head_length),
        progress.head_hash,
        MAX_POSITIONS - 1
    ])?;
    Ok(())
}

fn to_i64(natural: u64) -> i64 {
    i64::try_from(natural).expect("no file is larger than i64::MAX")
}

fn get_u64(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?)
        .map_err(|_| damage("the place reached in a file is negative"))
}
