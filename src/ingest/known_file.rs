//! Recognises files that an earlier run read: by their first bytes and by the bytes before the
//! place that was reached, under any name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use anyhow::Result;
use ring::digest;
use ring::digest::SHA256;

use crate::codec::InputPosition;
use crate::ingest::read_failure;
use crate::store::FileProgress;
use crate::store::LocalLog;

/// The number of first bytes by which a file is recognised; fewer where less of it was read.
const HEAD_BYTES: u64 = 4 << 10;

/// The number of bytes before the place that was reached that must be unchanged.
const TAIL_BYTES: u64 = 64 << 10;

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

    /// Returns the note for the log that the file was read up to `place`, after `records` records.
    pub(super) fn progress(&self, place: InputPosition, records: u64) -> FileProgress {
        FileProgress {
            head_length: self.head_length,
            head_hash: self.head_hash,
            offset: place.offset,
            tail_length: self.tail_length,
            tail_hash: self.tail_hash,
            records,
            lines: place.lines,
        }
    }
}

/// A regular file that is being read.
pub(super) struct KnownFile {
    file: File,
    pub(super) size: u64,
    /// The place where an earlier run stopped, and the number of records before it.
    pub(super) resume_point: Option<(InputPosition, u64)>,
}

impl KnownFile {
    /// Looks up how far an earlier run read the file. Messages use `name`.
    ///
    /// # Errors
    /// Those of the log and of reading the file.
    pub(super) fn look_up(log: &LocalLog, file: File, name: &str) -> Result<Self> {
        let mut known = Self::with_resume_point(file, None).with_context(|| read_failure(name))?;
        let head = known.read(0, known.size.min(HEAD_BYTES)).with_context(|| read_failure(name))?;
        let candidates = log.find_progress(known.size, |length| {
            let length = usize::try_from(length)?.min(head.len());
            Ok(sha256(&head[..length]))
        })?;
        for candidate in candidates.iter().filter(|candidate| candidate.head_length <= HEAD_BYTES) {
            let tail = known
                .hash_before(candidate.offset, candidate.tail_length)
                .with_context(|| read_failure(name))?;
            if tail == candidate.tail_hash {
                let place = InputPosition { offset: candidate.offset, lines: candidate.lines };
                known.resume_point = Some((place, candidate.records));
                break;
            }
        }
        Ok(known)
    }

    /// Returns a file with the place where an earlier run stopped.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn with_resume_point(
        file: File,
        left: Option<(InputPosition, u64)>,
    ) -> io::Result<Self> {
        Ok(Self { size: file.metadata()?.len(), file, resume_point: left })
    }

    fn hash_before(&self, end: u64, length: u64) -> io::Result<[u8; 32]> {
        let length = length.min(TAIL_BYTES);
        Ok(sha256(&self.read(end.saturating_sub(length), length)?))
    }

    fn read(&self, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
    hash
}
