//! A log in a file of this host: the kind that is written, locked, swept and copied.
//!
//! It is read as every [`Log`]. All that only this kind can do is here and in
//! [`sweep`](crate::store::sweep).

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::store::Engine;
use crate::store::Log;
use crate::store::sqlite;
use crate::store::sqlite::Sqlite;
use crate::time::Timestamp;

/// Says what opening does where there is no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    IfMissing,
    Never,
}

/// The fields of an event that the log sets itself, and no emitter can.
#[derive(Clone, Copy)]
pub(crate) struct Stamp<'a> {
    /// Asked for each event while the write lock is held, so that times ascend with ids.
    pub clock: &'a dyn Fn() -> Timestamp,
    pub recorded_by: &'a str,
}

/// The result of appending one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    Stored {
        id: EventId,
        event_id: String,
    },
    /// The log has the same event already.
    Duplicate {
        id: EventId,
        event_id: String,
    },
    /// The log has an event with this `event_id` and another value in a field that was given.
    Conflict {
        id: EventId,
        field: &'static str,
    },
}

/// How far an input file has been ingested. The file is recognised under any name: by its first
/// bytes, and by the bytes before the place reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileProgress {
    pub head_length: u64,
    pub head_hash: [u8; 32],
    /// The place reached, in bytes from the beginning.
    pub offset: u64,
    pub tail_length: u64,
    pub tail_hash: [u8; 32],
    /// Events before that place, and those of them with neither a time nor an id.
    pub records: u64,
    pub bare: u64,
    /// Lines before that place.
    pub lines: u64,
    /// The size that the file had.
    pub size: u64,
    /// The very file; `None` where a later row stands for it, or the system does not tell.
    pub file: Option<FileIdentity>,
    /// When this was recorded, in seconds since 1970.
    pub touched: i64,
    /// What was rejected before that place, in the order of the file.
    pub rejected: Vec<RejectedStretch>,
}

/// The very file, whatever its name and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub device: u64,
    pub inode: u64,
    /// The time when it was made, in nanoseconds; 0 where the file system does not keep it.
    pub birth: i64,
}

/// Successive records of a file that were rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RejectedStretch {
    pub start: u64,
    pub end: u64,
    /// Lines and accepted events before it.
    pub lines: u64,
    pub records: u64,
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
        Self { log: Log { engine: Engine::Local(Box::new(engine)) } }
    }

    pub(super) fn sqlite(&self) -> &Sqlite {
        match &self.log.engine {
            Engine::Local(engine) => engine,
            Engine::Central(_) => unreachable!("it is made of a file"),
        }
    }

    pub(super) fn sqlite_mut(&mut self) -> &mut Sqlite {
        match &mut self.log.engine {
            Engine::Local(engine) => engine,
            Engine::Central(_) => unreachable!("it is made of a file"),
        }
    }

    /// Opens a log to read it.
    ///
    /// # Errors
    /// The class and the reason: no log, not permitted, damaged, of a newer version, …
    pub(crate) fn open_to_read(path: &Path) -> Result<Self> {
        Ok(Self::new(Sqlite::open_to_read(path)?))
    }

    /// Opens a log to write it, and migrates it if it is older.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_read`]; the log cannot be created.
    pub(crate) fn open_to_write(path: &Path, create: Create) -> Result<Self> {
        Ok(Self::new(Sqlite::open_to_write(path, create)?))
    }

    /// Opens a log that no other process knows, and that is one file: a copy that was just made. It
    /// makes no companions.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_read`].
    pub(crate) fn open_copy(path: &Path) -> Result<Self> {
        Ok(Self::new(Sqlite::open_copy(path)?))
    }

    /// Returns what the user should know about the place of the log.
    pub(crate) fn warnings(&self) -> &[String] {
        self.sqlite().warnings()
    }

    /// Makes sure that what was written is in the file that has the log's name.
    ///
    /// # Errors
    /// Try again: the log was replaced or removed since it was opened.
    pub(crate) fn ensure_in_place(&self) -> Result<()> {
        Ok(self.sqlite().ensure_in_place()?)
    }

    /// Returns the version of the log's schema.
    pub(crate) fn schema_version(&self) -> Result<i64> {
        self.sqlite().schema_version()
    }

    /// Stores events in one transaction: all that are new, or none when there is an error.
    ///
    /// # Errors
    /// The class and the reason. Where a single event may have been stored nevertheless, the error
    /// names the `event_id` for a repeat.
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

    /// Returns the event that an event contradicts, and the field in which; `None` if it could be
    /// appended, or repeats what is there.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn find_conflict(
        &self,
        event: &NewEvent,
    ) -> Result<Option<(EventId, &'static str)>> {
        self.sqlite().find_conflict(event)
    }

    /// Whether the log has an event with the `event_id` of this one, in its tenant.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn has_event_id(&self, event: &NewEvent) -> Result<bool> {
        self.sqlite().has_event_id(event)
    }

    /// Begins a transaction, which is the only writer until it ends. Some 50,000 events are a good
    /// size.
    ///
    /// # Errors
    /// The class and the reason; the log was locked for 30 s.
    pub(crate) fn begin(&mut self) -> Result<Batch<'_>> {
        Ok(Batch { engine: self.sqlite_mut().begin()? })
    }

    /// Returns the places up to which a file of `size` bytes may have been ingested, the furthest
    /// first. They are those recorded for files that begin alike; `head_hash` returns the SHA-256
    /// of the first bytes of the file, as many as it is given.
    ///
    /// # Errors
    /// Those of the log, and of `head_hash`.
    pub(crate) fn find_progress(
        &self,
        size: u64,
        head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    ) -> Result<Vec<FileProgress>> {
        self.sqlite().find_progress(size, head_hash)
    }

    /// Whether a place is recorded for the very file.
    ///
    /// # Errors
    /// Those of the log.
    pub(crate) fn has_progress_of(&self, file: FileIdentity) -> Result<bool> {
        self.sqlite().has_progress_of(file)
    }

    /// Keeps sweeps out until the guard is dropped. Waits for a sweep that is at work.
    ///
    /// # Errors
    /// Try again: a sweep was at work for 30 s.
    pub(crate) fn hold_off_sweeps(&self) -> Result<ExportLock> {
        self.sqlite().hold_off_sweeps()
    }

    /// Makes this the only digest of its subject until the guard is dropped; `None` if another digest
    /// has the lock. Readers and sweeps are not affected.
    ///
    /// # Errors
    /// The file to lock cannot be opened.
    pub(crate) fn try_lock_digest(&self, subject: DigestSubject) -> Result<Option<DigestLock>> {
        self.sqlite().try_lock_digest(subject)
    }

    /// Copies the log, as it is at one moment, into an empty file. Other processes continue to read
    /// and write. `name` stands for the file in messages; `progress` gets the bytes copied and
    /// their total.
    ///
    /// # Errors
    /// Those of the log, and of the file.
    pub(crate) fn copy_to(
        &self,
        _: PlatformWork,
        file: &Path,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        self.sqlite().copy_to(file, name, progress)
    }
}

/// Keeps sweeps out of a log while it lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct ExportLock {
    /// `None` where the file to lock is missing and cannot be made.
    pub(super) _lock: Option<File>,
}

/// What the digests tell of that a log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestSubject {
    /// The log itself.
    Host,
    /// A central store.
    Store,
}

/// Keeps other digests of a log from being made while it lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct DigestLock {
    pub(super) _lock: File,
}

/// A transaction that appends. If it is dropped without [`Batch::commit`], the log stays as it was.
pub(crate) struct Batch<'a> {
    pub(super) engine: sqlite::SqliteBatch<'a>,
}

impl Batch<'_> {
    /// Appends an event, unless the log or this batch has it already.
    ///
    /// # Errors
    /// The class and the reason. The batch cannot be used after an error.
    pub(crate) fn append(&mut self, event: &NewEvent, stamp: &Stamp<'_>) -> Result<AppendOutcome> {
        self.engine.append(event, stamp)
    }

    /// Records how far a file has been ingested with the events of this batch, and forgets files
    /// that have not been read for a year.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn record_progress(&mut self, progress: &FileProgress) -> Result<()> {
        self.engine.record_progress(progress)
    }

    /// As [`LocalLog::find_progress`], within this batch: no other writer can move a place.
    ///
    /// # Errors
    /// The class and the reason; those of `head_hash`.
    pub(crate) fn find_progress(
        &mut self,
        size: u64,
        head_hash: impl FnMut(u64) -> Result<[u8; 32]>,
    ) -> Result<Vec<FileProgress>> {
        self.engine.find_progress(size, head_hash)
    }

    /// Records that the very file has another content now.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn forget_file(&mut self, file: FileIdentity) -> Result<()> {
        self.engine.forget_file(file)
    }

    /// Records a head that is about to be published outside the log, so that it can still be
    /// checked when its event has been swept. `place` says where it is published.
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
    /// The class and the reason, and whether the batch may have been stored nevertheless.
    pub(crate) fn commit(self) -> Result<()> {
        self.engine.commit()
    }
}
