//! Remembers how far input files were read.
//!
//! ## Durability
//! A position is committed in one transaction with the events that were read up to it.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use crate::store::FileIdentity;
use crate::store::FileProgress;
use crate::store::RejectedStretch;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::damage;

/// The number of positions kept for files that begin alike. A file that is read every minute must not
/// fill the log, and an older copy of it must still be recognized.
const MAX_POSITIONS: i64 = 64;

/// The time after which a file that was not read is forgotten, in seconds: a year.
const MAX_AGE: i64 = 365 * 24 * 60 * 60;

/// A read of the log.
type Read<'r, T> = &'r mut dyn FnMut(&Connection) -> rusqlite::Result<T>;

impl Sqlite {
    pub(in crate::store) fn find_progress(
        &self,
        size: u64,
        head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    ) -> Result<Vec<FileProgress>> {
        find(size, head_hash, |read| self.read_in_snapshot(read))
    }

    pub(in crate::store) fn has_progress_of(&self, file: FileIdentity) -> Result<bool> {
        const SQL: &str = "SELECT EXISTS (SELECT 1 FROM progress WHERE device = ?1 AND inode = ?2 AND birth = ?3)";
        let (device, inode, birth) = identity_columns(Some(file));
        self.read_in_snapshot(|connection| {
            connection.prepare_cached(SQL)?.query_row([device, inode, birth], |row| row.get(0))
        })
    }
}

/// Returns the positions in files that begin alike and are no longer, the furthest first. `run` runs
/// a read.
pub(super) fn find(
    size: u64,
    mut head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    mut run: impl FnMut(Read<'_, Vec<Found>>) -> Result<Vec<Found>>,
) -> Result<Vec<FileProgress>> {
    // No file is larger than `i64::MAX`.
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    for length in run(&mut |connection| head_lengths(connection, size))? {
        let Found::HeadLength(length) = length else { continue };
        let hash = head_hash(length)?;
        found.extend(run(&mut |connection| by_head(connection, size, length, hash))?);
    }
    let mut found: Vec<_> = found.into_iter().filter_map(Found::into_progress).collect();
    found.sort_by_key(|progress| std::cmp::Reverse(progress.offset));
    Ok(found)
}

/// A row of one of the two reads.
pub(super) enum Found {
    HeadLength(u64),
    Progress(Box<FileProgress>),
}

impl Found {
    fn into_progress(self) -> Option<FileProgress> {
        match self {
            Self::HeadLength(_) => None,
            Self::Progress(progress) => Some(*progress),
        }
    }
}

fn head_lengths(connection: &Connection, size: i64) -> rusqlite::Result<Vec<Found>> {
    const SQL: &str = "SELECT DISTINCT head_length FROM progress WHERE head_length <= ?1";
    let mut statement = connection.prepare_cached(SQL)?;
    statement.query_map([size], |row| get_u64(row, 0).map(Found::HeadLength))?.collect()
}

fn by_head(
    connection: &Connection,
    size: i64,
    head_length: u64,
    head_hash: [u8; 32],
) -> rusqlite::Result<Vec<Found>> {
    const SQL: &str = "SELECT taken, tail_length, tail_hash, records, bare, lines, size, device, \
        inode, birth, rejected, touched FROM progress \
        WHERE head_length = ?1 AND head_hash = ?2 AND taken <= ?3";
    let mut statement = connection.prepare_cached(SQL)?;
    let rows = statement.query_map(params![to_i64(head_length), head_hash, size], |row| {
        Ok(Found::Progress(Box::new(FileProgress {
            head_length,
            head_hash,
            offset: get_u64(row, 0)?,
            tail_length: get_u64(row, 1)?,
            tail_hash: row.get(2)?,
            records: get_u64(row, 3)?,
            bare: get_u64(row, 4)?,
            lines: get_u64(row, 5)?,
            size: get_u64(row, 6)?,
            file: identity(row.get(7)?, row.get(8)?, row.get(9)?),
            touched: row.get(11)?,
            rejected: decode_stretches(row.get_ref(10)?.as_blob()?),
        })))
    })?;
    rows.collect()
}

/// Records a position within the open transaction.
pub(super) fn record(connection: &Connection, progress: &FileProgress) -> rusqlite::Result<()> {
    const INSERT: &str = "INSERT OR REPLACE INTO progress \
        (head_length, head_hash, taken, tail_length, tail_hash, records, bare, lines, size, \
         device, inode, birth, rejected, touched) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    const DELETE_OLDEST: &str = "DELETE FROM progress WHERE head_length = ?1 AND head_hash = ?2 \
        AND taken < (SELECT taken FROM progress WHERE head_length = ?1 AND head_hash = ?2 \
                     ORDER BY taken DESC LIMIT 1 OFFSET ?3)";
    const DELETE_UNUSED: &str = "DELETE FROM progress WHERE touched < ?1";
    if let Some(file) = progress.file {
        forget_file(connection, file)?;
    }
    let (device, inode, birth) = identity_columns(progress.file);
    let changed = connection.prepare_cached(INSERT)?.execute(params![
        to_i64(progress.head_length),
        progress.head_hash,
        to_i64(progress.offset),
        to_i64(progress.tail_length),
        progress.tail_hash,
        to_i64(progress.records),
        to_i64(progress.bare),
        to_i64(progress.lines),
        to_i64(progress.size),
        device,
        inode,
        birth,
        encode_stretches(&progress.rejected),
        progress.touched,
    ])?;
    if changed == 0 {
        return Err(error::ignored_write("the place reached in a file"));
    }
    connection.prepare_cached(DELETE_OLDEST)?.execute(params![
        to_i64(progress.head_length),
        progress.head_hash,
        MAX_POSITIONS - 1
    ])?;
    connection
        .prepare_cached(DELETE_UNUSED)?
        .execute([progress.touched.saturating_sub(MAX_AGE)])?;
    Ok(())
}

/// Keeps the positions of a file for its content alone.
pub(super) fn forget_file(connection: &Connection, file: FileIdentity) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE OR REPLACE progress SET device = 0, inode = 0, birth = 0 \
        WHERE device = ?1 AND inode = ?2 AND birth = ?3";
    let (device, inode, birth) = identity_columns(Some(file));
    connection.prepare_cached(SQL)?.execute([device, inode, birth]).map(drop)
}

fn identity_columns(file: Option<FileIdentity>) -> (i64, i64, i64) {
    file.map_or((0, 0, 0), |file| (file.device.cast_signed(), file.inode.cast_signed(), file.birth))
}

fn identity(device: i64, inode: i64, birth: i64) -> Option<FileIdentity> {
    let file = FileIdentity { device: device.cast_unsigned(), inode: inode.cast_unsigned(), birth };
    (inode != 0).then_some(file)
}

fn encode_stretches(stretches: &[RejectedStretch]) -> Vec<u8> {
    let numbers =
        stretches.iter().flat_map(|each| [each.start, each.end, each.lines, each.records]);
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn decode_stretches(bytes: &[u8]) -> Vec<RejectedStretch> {
    let (stretches, _) = bytes.as_chunks::<32>();
    let decode = |stretch: &[u8; 32]| {
        let (numbers, _) = stretch.as_chunks::<8>();
        let number = |at: usize| numbers.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        RejectedStretch { start: number(0), end: number(1), lines: number(2), records: number(3) }
    };
    stretches.iter().map(decode).collect()
}

fn to_i64(natural: u64) -> i64 {
    i64::try_from(natural).expect("no file is larger than i64::MAX")
}

fn get_u64(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?)
        .map_err(|_| damage("the place reached in a file is negative"))
}
