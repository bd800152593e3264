//! A log in a file of this host: the kind that is written, locked, swept and copied.
//!
//! It is read as every [`Log`]. All that only this kind can do is here and in
//! [`sweep`](crate::store::sweep).

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use anyhow::Result;

use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::store::Log;
use crate::store::sqlite;
use crate::store::sqlite::Sqlite;
use crate::time::Timestamp;

/// Whether a log is made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    IfMissing,
    Never,
}

/// What the log says of its own about an event, and no emitter can.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub recorded_at: Timestamp,
    pub recorded_by: &'a str,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    Stored {
        id: EventId,
        event_id: String,
    },
    /// It was there already, and says nothing else.
    Duplicate {
        id: EventId,
        event_id: String,
    },
    /// An event with its `event_id` is there and has another value in a field that was given.
    Conflict {
        id: EventId,
        field: &'static str,
    },
}

/// How far an input file was taken. The file is known by its beginning and by what stands before the
/// place reached, under any name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileProgress {
    pub head_length: u64,
    pub head_hash: [u8; 32],
    /// The place reached, in bytes.
    pub offset: u64,
    pub tail_length: u64,
    pub tail_hash: [u8; 32],
    /// Records and lines before that place.
    pub records: u64,
    pub lines: u64,
}

/// A log in a file of this host.
pub(crate) struct LocalLog {
    pub(super) log: Log,
}

impl Deref for LocalLog {
    type Target = Log;

    fn deref(&self) -> &Log {
        &self.log
    }
}

impl LocalLog {
    pub(super) fn new(engine: Sqlite) -> Self {
        Self { log: Log { engine } }
    }

    /// Opens a log to read it alone.
    ///
    /// # Errors
    /// The class and the reason: no log, not permitted, damaged, newer …
    pub(crate) fn open_to_read(path: &Path) -> Result<Self> {
        Ok(Self::new(Sqlite::open_to_read(path)?))
    }

    /// Opens a log to write it, and migrates it where it is older.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_read`]; cannot create.
    pub(crate) fn open_to_write(path: &Path, create: Create) -> Result<Self> {
        Ok(Self::new(Sqlite::open_to_write(path, create)?))
    }

    /// Opens a log that nobody else knows of, and which lies in one file: a copy that was just made.
    /// Nothing is made beside it.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_read`].
    pub(crate) fn open_copy(path: &Path) -> Result<Self> {
        Ok(Self::new(Sqlite::open_copy(path)?))
    }

    /// What the user should know about where the log lies.
    pub(crate) fn warnings(&self) -> &[String] {
        self.log.engine.warnings()
    }

    /// The version of the schema that the log has.
    pub(crate) fn schema_version(&self) -> Result<i64> {
        self.log.engine.schema_version()
    }

    /// Stores events in one transaction: all that are new, or on an error none.
    ///
    /// # Errors
    /// The class and the reason. Where a single event may have been stored all the same, the error
    /// names the `event_id` to repeat with.
    pub(crate) fn append(
        &mut self,
        events: &[NewEvent],
        stamp: &Stamp<'_>,
    ) -> Result<Vec<AppendOutcome>> {
        let mut batch = self.begin()?;
        let appended =
            events.iter().map(|event| batch.append(event, stamp)).collect::<Result<Vec<_>>>()?;
        batch.commit()?;
        Ok(appended)
    }

    /// Begins a transaction, as the only writer until it ends; some 50,000 events are a good size.
    ///
    /// # Errors
    /// The class and the reason; locked for 30 s.
    pub(crate) fn begin(&mut self) -> Result<Batch<'_>> {
        Ok(Batch { engine: self.log.engine.begin()? })
    }

    /// Where a file of `size` bytes may have been left, the furthest place first: what was noted of
    /// files that begin as it does. `head_hash` gives the SHA-256 of its first so many bytes.
    ///
    /// # Errors
    /// Those of the log, and of `head_hash`.
    pub(crate) fn find_progress(
        &self,
        size: u64,
        head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    ) -> Result<Vec<FileProgress>> {
        self.log.engine.find_progress(size, head_hash)
    }

    /// Keeps sweeps out until the guard is dropped. Waits for one that is at work.
    ///
    /// # Errors
    /// Try again: a sweep was at work for 30 s.
    pub(crate) fn hold_off_sweeps(&self) -> Result<ExportLock> {
        self.log.engine.hold_off_sweeps()
    }

    /// Makes this the only digest of the log until the guard is dropped; `None` where there is one
    /// already. Neither readers nor sweeps are kept from anything.
    ///
    /// # Errors
    /// That the file to lock cannot be opened.
    pub(crate) fn try_lock_digest(&self) -> Result<Option<DigestLock>> {
        self.log.engine.try_lock_digest()
    }

    /// Copies the log as it is at one moment into an empty file, as one file and whole. Others go on
    /// reading and writing. `progress` gets the bytes that are copied, and how many there are.
    ///
    /// # Errors
    /// Those of the log, and of the file.
    /// `name` stands for the file in messages.
    pub(crate) fn copy_to(
        &self,
        file: &Path,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        self.log.engine.copy_to(file, name, progress)
    }
}

/// Keeps sweeps out of a log while it lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct ExportLock {
    /// Absent where the file to lock is missing and cannot be made.
    pub(super) _lock: Option<File>,
}

/// Keeps other digests of a log from being made while it lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct DigestLock {
    pub(super) _lock: File,
}

/// A transaction that appends. Dropped without [`Batch::commit`] it leaves the log as it was.
pub(crate) struct Batch<'a> {
    engine: sqlite::SqliteBatch<'a>,
}

impl Batch<'_> {
    /// Appends an event, or finds it there already, be it in this batch.
    ///
    /// # Errors
    /// The class and the reason; drop the batch then.
    pub(crate) fn append(&mut self, event: &NewEvent, stamp: &Stamp<'_>) -> Result<AppendOutcome> {
        self.engine.append(event, stamp)
    }

    /// Notes how far a file was taken with the events of this batch.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn record_progress(&mut self, progress: &FileProgress) -> Result<()> {
        self.engine.record_progress(progress)
    }

    /// Notes a head that is about to be known outside the log, so that it still can be checked when
    /// its event is gone. `place` is where it will be.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn record_anchor(
        &mut self,
        head: (EventId, Hash),
        at: Timestamp,
        place: &str,
    ) -> Result<()> {
        self.engine.record_anchor(head, at, place)
    }

    /// Commits and syncs.
    ///
    /// # Errors
    /// The class and the reason, and whether the batch may have been stored all the same.
    pub(crate) fn commit(self) -> Result<()> {
        self.engine.commit()
    }
}
