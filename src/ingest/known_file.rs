//! Recognises files that an earlier run read: by their first bytes and by the bytes before the
//! place that was reached, under any name. Records with neither a time nor an id may be repeated
//! truly, so they are known only in the very file.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use anyhow::Result;
use ring::digest;
use ring::digest::SHA256;
use rustix::fs::AtFlags;
use rustix::fs::StatxFlags;

use crate::codec::InputPosition;
use crate::codec::packed::Packing;
use crate::codec::packed::UnpackError;
use crate::event::NewEvent;
use crate::ingest::parser::ParserInput;
use crate::ingest::read_failure;
use crate::store::Batch;
use crate::store::FileIdentity;
use crate::store::FileProgress;
use crate::store::LocalLog;
use crate::store::RejectedStretch;
use crate::time::Timestamp;

/// The number of first bytes by which a file is recognised; fewer where less of it was read.
const HEAD_BYTES: u64 = 4 << 10;

/// The number of bytes before the place that was reached that must be unchanged.
const TAIL_BYTES: u64 = 64 << 10;

/// The number of rejected stretches of one file that are kept.
const MAX_STRETCHES: usize = 10_000;

/// What a file is recognised by that was read up to a place: its first bytes and those before the
/// place. It is made from the bytes that were parsed, for the file may have changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    head_length: u64,
    head_hash: [u8; 32],
    tail_length: u64,
    tail_hash: [u8; 32],
}

impl Fingerprint {
    pub(super) fn new(head: &[u8], tail: &[u8]) -> Self {
        Self {
            head_length: head.len() as u64,
            head_hash: sha256(head),
            tail_length: tail.len() as u64,
            tail_hash: sha256(tail),
        }
    }
}

/// Reads a file from its beginning up to an end, wherever others who share the open file have read to.
pub(super) struct PositionedFile {
    file: File,
    offset: u64,
    end: u64,
}

impl PositionedFile {
    fn new(file: File, end: u64) -> Self {
        Self { file, offset: 0, end }
    }

    /// Returns another reader of the file, at its beginning.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.file.try_clone()?, self.end))
    }

    /// Returns when the file was written last.
    pub(super) fn written_at(&self) -> Option<Timestamp> {
        written_at(&self.file)
    }
}

impl Read for PositionedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..length], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Returns when a file was written last; `None` where the system does not say.
pub(super) fn written_at(file: &File) -> Option<Timestamp> {
    file.metadata().and_then(|metadata| metadata.modified()).ok().map(Timestamp::from_system_time)
}

/// A regular file that is being read.
pub(super) struct KnownFile {
    pub(super) file: File,
    /// How it is compressed. All places are places in its contents.
    packing: Option<Packing>,
    /// The size of the file, packed or not.
    pub(super) size: u64,
    identity: Option<FileIdentity>,
    /// What was taken of this file; at offset 0 where nothing was.
    taken: FileProgress,
    /// What was taken of another file that begins alike, where that is more: of its records, those
    /// with a time or an id are known.
    copied: Option<FileProgress>,
    /// The log has a place in this very file, and the content there is another one now.
    pub(super) was_replaced: bool,
    /// The place after the last record, and the number of accepted records before it.
    cursor: InputPosition,
    accepted: u64,
    /// The place of the cursor when `taken` was stored last.
    stored_cursor: u64,
    /// What was rejected since, before the cursor.
    rejected: Vec<RejectedStretch>,
}

impl KnownFile {
    /// Looks up how far an earlier run read the file. Messages use `name`.
    ///
    /// # Errors
    /// Those of the log and of reading the file.
    pub(super) fn look_up(log: &LocalLog, file: File, name: &str) -> Result<Self> {
        let mut known = Self::new(file).with_context(|| read_failure(name))?;
        let head = known.read_head().with_context(|| read_failure(name))?;
        let candidates = log.find_progress(known.longest_content(known.size), |length| {
            Ok(hash_of_head(&head, length))
        })?;
        let (taken, copied) = known.select(candidates).with_context(|| read_failure(name))?;
        if let Some(identity) = known.identity
            && taken.as_ref().is_none_or(|taken| taken.file != Some(identity))
        {
            known.was_replaced = log.has_progress_of(identity)?;
        }
        known.taken = taken.unwrap_or(known.taken);
        known.copied = copied;
        let first = known.taken.rejected.first();
        (known.cursor, known.accepted) = match first {
            Some(first) => {
                (InputPosition { offset: first.start, lines: first.lines }, first.records)
            }
            None => {
                let place = InputPosition { offset: known.taken.offset, lines: known.taken.lines };
                (place, known.taken.records)
            }
        };
        known.stored_cursor = known.cursor.offset;
        Ok(known)
    }

    /// Returns a file of which nothing is known.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut beginning = [0; 4];
        let length = file.read_at(&mut beginning, 0)?;
        Ok(Self {
            identity: identity(&file),
            packing: Packing::detect(&beginning[..length]),
            size,
            file,
            taken: FileProgress {
                head_length: 0,
                head_hash: [0; 32],
                offset: 0,
                tail_length: 0,
                tail_hash: [0; 32],
                records: 0,
                bare: 0,
                lines: 0,
                size,
                file: None,
                touched: 0,
                rejected: Vec::new(),
            },
            copied: None,
            was_replaced: false,
            cursor: InputPosition::default(),
            accepted: 0,
            stored_cursor: 0,
            rejected: Vec::new(),
        })
    }

    /// Returns the input for a parser, which goes on where an earlier run stopped. `file` is this file;
    /// bytes of it behind `end` are not read.
    pub(super) fn parser_input(&self, file: File, end: Option<u64>) -> ParserInput {
        match (self.packing, end) {
            (None, None) => ParserInput::File(file, self.resume_point()),
            (None, Some(end)) => ParserInput::FileUpTo(file, self.resume_point(), end),
            (Some(packing), end) => {
                let file = PositionedFile::new(file, end.unwrap_or(u64::MAX));
                ParserInput::Packed(file, packing, self.resume_point())
            }
        }
    }

    /// The number of bytes to read, where it is known without reading them.
    pub(super) fn content_size(&self) -> Option<u64> {
        self.packing.is_none().then_some(self.size)
    }

    /// The place where reading begins, if it is not the beginning.
    pub(super) fn resume_point(&self) -> Option<InputPosition> {
        (self.cursor.offset > 0).then_some(self.cursor)
    }

    /// The number of records before the cursor that were accepted, by this run or before.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Whether an earlier run read this file when it was shorter, and it has still all that it had when
    /// it was looked up.
    pub(super) fn has_grown(&self) -> bool {
        let is_whole = || self.file.metadata().is_ok_and(|file| file.len() >= self.size);
        // The earlier run may have read on beyond the size that it began with.
        let seen = self.taken.size.max(self.taken.offset);
        self.packing.is_none() && self.taken.offset > 0 && self.size > seen && is_whole()
    }

    /// Returns what was taken for certain, and what of a file that only has the same content.
    fn select(
        &self,
        candidates: Vec<FileProgress>,
    ) -> io::Result<(Option<FileProgress>, Option<FileProgress>)> {
        let mut copied = None;
        for found in candidates.into_iter().filter(|found| found.head_length <= HEAD_BYTES) {
            if self.hash_before(found.offset, found.tail_length)? != Some(found.tail_hash) {
                continue;
            }
            let is_this = found.file.is_some() && found.file == self.identity;
            if is_this || found.bare == 0 {
                return Ok((Some(found), copied));
            }
            copied = copied.or(Some(found));
        }
        Ok((None, copied))
    }

    /// Whether the log knows more of this very content than when it was looked up: another run
    /// reads it too. `end` and `fingerprint` are those of the bytes that were parsed.
    ///
    /// # Errors
    /// Those of the log and of reading the file.
    pub(super) fn is_overtaken(
        &self,
        batch: &mut Batch<'_>,
        end: InputPosition,
        fingerprint: Fingerprint,
    ) -> Result<bool> {
        let size = self.file.metadata()?.len();
        let head = self.read_head()?;
        let longest = self.longest_content(size);
        let candidates = batch.find_progress(longest, |length| Ok(hash_of_head(&head, length)))?;
        let is_further = |taken: &FileProgress| {
            taken.offset > self.taken.offset
                || taken.offset == self.taken.offset
                    && taken.rejected.len() < self.taken.rejected.len()
        };
        // What follows unpacks a compressed file up to each place.
        if !candidates.iter().any(is_further) {
            return Ok(false);
        }
        let (Some(taken), _) = self.select(candidates)? else {
            return Ok(false);
        };
        // Where the file has changed since, its new content cannot stand for the one that was parsed.
        Ok(is_further(&taken) && longest >= end.offset && {
            let head = self.read(0, fingerprint.head_length)?;
            let tail = self.read(end.tail_start(), end.offset - end.tail_start())?;
            Fingerprint::new(&head, &tail) == fingerprint
        })
    }

    /// Whether the record that ends at `end` was taken before. `event` is absent for one that
    /// cannot be read.
    pub(super) fn is_known(&self, end: InputPosition, event: Option<&NewEvent>) -> bool {
        let bare = event.is_none_or(is_bare);
        covers(&self.taken, self.cursor.offset, end.offset)
            || !bare
                && self
                    .copied
                    .as_ref()
                    .is_some_and(|copied| covers(copied, self.cursor.offset, end.offset))
    }

    /// Notes that the record that ends at `end` is in the log.
    pub(super) fn accept(&mut self, end: InputPosition, event: Option<&NewEvent>) {
        if !covers(&self.taken, self.cursor.offset, end.offset) {
            self.taken.records += 1;
            self.taken.bare += u64::from(event.is_none_or(is_bare));
        }
        self.cursor = end;
        self.accepted += 1;
    }

    /// Notes that the record that ends at `end` was rejected; returns whether it can be kept.
    pub(super) fn reject(&mut self, end: InputPosition) -> bool {
        let start = std::mem::replace(&mut self.cursor, end);
        if let Some(last) = self.rejected.last_mut().filter(|last| last.end == start.offset) {
            last.end = end.offset;
            return true;
        }
        if self.rejected.len() + self.taken.rejected.len() >= MAX_STRETCHES {
            return false;
        }
        self.rejected.push(RejectedStretch {
            start: start.offset,
            end: end.offset,
            lines: start.lines,
            records: self.accepted,
        });
        true
    }

    /// Returns the note for the log on what was taken up to the cursor, which is the end of the
    /// bytes that `fingerprint` was made of.
    pub(super) fn progress(&mut self, fingerprint: Fingerprint, now: Timestamp) -> &FileProgress {
        let cursor = self.cursor;
        let mut rejected = Vec::new();
        for old in &self.taken.rejected {
            if old.end <= self.stored_cursor {
                rejected.push(*old);
            }
        }
        rejected.append(&mut self.rejected);
        for old in self.taken.rejected.iter().filter(|old| old.end > cursor.offset) {
            let rest = RejectedStretch {
                start: cursor.offset,
                lines: cursor.lines,
                records: self.accepted,
                ..*old
            };
            rejected.push(if old.start < cursor.offset { rest } else { *old });
        }
        let taken = &mut self.taken;
        taken.rejected = rejected;
        if cursor.offset >= taken.offset {
            taken.head_length = fingerprint.head_length;
            taken.head_hash = fingerprint.head_hash;
            taken.tail_length = fingerprint.tail_length;
            taken.tail_hash = fingerprint.tail_hash;
            taken.offset = cursor.offset;
            taken.lines = cursor.lines;
        }
        // The contents of a compressed file may also stand in a file that is not.
        taken.size = if self.packing.is_none() { self.size } else { cursor.offset };
        taken.file = self.identity;
        self.stored_cursor = cursor.offset;
        self.touched(now)
    }

    /// Returns the note for the log that the file was looked at.
    fn touched(&mut self, now: Timestamp) -> &FileProgress {
        self.taken.touched = seconds(now);
        &self.taken
    }

    /// Returns the note for the log that the file was looked at, if the last one is a month old.
    pub(super) fn renewed(&mut self, now: Timestamp) -> Option<&FileProgress> {
        const MONTH: i64 = 30 * 24 * 60 * 60;
        let is_due = self.taken.offset > 0 && seconds(now) - self.taken.touched > MONTH;
        is_due.then(|| self.touched(now))
    }

    /// The very file that this is, for the log.
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }

    /// The most bytes that the contents may have, in a file of this size.
    fn longest_content(&self, size: u64) -> u64 {
        if self.packing.is_none() { size } else { u64::MAX }
    }

    /// Returns the hash of the bytes before a place; `None` where compressed contents do not reach it.
    fn hash_before(&self, end: u64, length: u64) -> io::Result<Option<[u8; 32]>> {
        let length = length.min(TAIL_BYTES);
        let bytes = self.read(end.saturating_sub(length), length)?;
        Ok((bytes.len() as u64 == length).then(|| sha256(&bytes)))
    }

    fn read_head(&self) -> io::Result<Vec<u8>> {
        let size = self.file.metadata()?.len();
        self.read(0, self.longest_content(size).min(HEAD_BYTES))
    }

    /// Reads a part of the contents. What they have less of is left out: a compressed file may be short,
    /// and another one may be cut off at any moment.
    fn read(&self, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let Some(packing) = self.packing else {
            let mut part =
                PositionedFile::new(self.file.try_clone()?, start.saturating_add(length));
            part.offset = start;
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes)?;
            return Ok(bytes);
        };
        let mut contents = packing.unpack(PositionedFile::new(self.file.try_clone()?, u64::MAX));
        let mut bytes = Vec::new();
        let read = io::copy(&mut contents.by_ref().take(start), &mut io::sink())
            .and_then(|_| contents.take(length).read_to_end(&mut bytes));
        match read {
            // The parser tells it, at its line.
            Err(error) if UnpackError::reason(&error).is_some() => Ok(bytes),
            read => read.map(|_| bytes),
        }
    }
}

/// Whether only its place in the file tells an event from another one.
fn is_bare(event: &NewEvent) -> bool {
    event.occurred_at.is_none() && event.event_id.as_deref().is_none_or(str::is_empty)
}

/// Whether all of these bytes were taken.
fn covers(taken: &FileProgress, start: u64, end: u64) -> bool {
    let next = taken.rejected.partition_point(|stretch| stretch.end <= start);
    end <= taken.offset && taken.rejected.get(next).is_none_or(|stretch| stretch.start >= end)
}

fn identity(file: &File) -> Option<FileIdentity> {
    let flags = StatxFlags::INO | StatxFlags::BTIME;
    let stat = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, flags).ok()?;
    let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let birth =
        stat.stx_btime.tv_sec.saturating_mul(1_000_000_000) + i64::from(stat.stx_btime.tv_nsec);
    Some(FileIdentity {
        device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        birth: if has_birth { birth } else { 0 },
    })
}

fn seconds(time: Timestamp) -> i64 {
    time.as_nanos() / 1_000_000_000
}

fn hash_of_head(head: &[u8], length: u64) -> [u8; 32] {
    let length = usize::try_from(length).map_or(head.len(), |length| length.min(head.len()));
    sha256(&head[..length])
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn of_a_file_that_was_cut_off_only_the_rest_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'x'; 100]).unwrap();
        let known = KnownFile::new(file.try_clone().unwrap()).unwrap();
        assert!(known.hash_before(100, 50).unwrap().is_some());
        file.set_len(70).unwrap();
        assert_eq!(known.read(50, 50).unwrap(), [b'x'; 20]);
        assert_eq!(known.hash_before(100, 50).unwrap(), None);
        assert!(known.hash_before(70, 50).unwrap().is_some());
        let taken = FileProgress { offset: 60, size: 60, ..known.taken.clone() };
        let mut known = KnownFile { taken, ..known };
        assert!(!known.has_grown(), "what it had is gone");
        file.set_len(100).unwrap();
        assert!(known.has_grown());
        known.taken.size = 100;
        assert!(!known.has_grown());
    }
}
