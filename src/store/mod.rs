//! The log: appends events and reads them back. Domain types alone pass through here.
//!
//! `append` returns after commit and sync. Who may read is decided above, in `context`; what time it
//! is and who runs the program are arguments.
//!
//! ## Durability
//!
//! What was told as stored, or as a duplicate, survives a crash of the program, the system and the
//! power. What ended in an error is not stored, save where the error says "not confirmed": then only
//! a repeat with the same `event_id` tells. After such an error the `Log` refuses to write.
//!
//! ## Concurrency
//!
//! Any number of processes read and write one log on one host. Writers take turns, and wait 30 s for
//! theirs; readers never wait, and see a log as it was at one moment within a call. Ids ascend in
//! commit order without holes.
//!
//! ## Compatibility
//!
//! A log from an older version is migrated by the first writer; one from a newer version is refused.
//! Whether two events are the same, which link follows which and how they are ordered is decided
//! here in the same way for every engine; `conformance` is the story that each of them must pass.

#[cfg(test)]
mod conformance;
pub(crate) mod digest;
mod read;
mod sqlite;
pub(crate) mod sweep;
pub(crate) mod verify;

use std::path::Path;

use anyhow::Result;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::field;
use crate::event::field::FieldValue;
pub(crate) use crate::store::read::ActionUsage;
pub(crate) use crate::store::read::Cursor;
pub(crate) use crate::store::read::EventSummary;
pub(crate) use crate::store::read::Occurrences;
pub(crate) use crate::store::read::Order;
pub(crate) use crate::store::read::PageRequest;
pub(crate) use crate::store::read::Suggestion;
pub(crate) use crate::store::read::SuggestionKind;
#[cfg(test)]
pub(crate) use crate::store::read::sortable_fields;
pub(crate) use crate::store::sqlite::Companion;
pub(crate) use crate::store::sqlite::RESERVE_SIZE;
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

/// What a person meant by the beginning of an `event_id`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EventIdMatch {
    One(Box<Event>),
    /// The first few that it could be.
    Several(Vec<EventId>),
    None,
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

/// A log that is open.
pub(crate) struct Log {
    engine: Sqlite,
}

impl Log {
    /// Opens a log to read it alone.
    ///
    /// # Errors
    /// The class and the reason: no log, not permitted, damaged, newer …
    pub(crate) fn open_to_read(path: &Path) -> Result<Self> {
        Ok(Self { engine: Sqlite::open_to_read(path)? })
    }

    /// Opens a log to write it, and migrates it where it is older.
    ///
    /// # Errors
    /// As [`Log::open_to_read`]; cannot create.
    pub(crate) fn open_to_write(path: &Path, create: Create) -> Result<Self> {
        Ok(Self { engine: Sqlite::open_to_write(path, create)? })
    }

    /// What the user should know about where the log lies.
    pub(crate) fn warnings(&self) -> &[String] {
        self.engine.warnings()
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
        Ok(Batch { engine: self.engine.begin()? })
    }

    /// The version of the schema that the log has.
    pub(crate) fn schema_version(&self) -> Result<i64> {
        self.engine.schema_version()
    }

    /// The newest id, and its hash. The id is 0 in an empty log.
    pub(crate) fn head(&self) -> Result<(EventId, Hash)> {
        self.engine.head()
    }

    pub(crate) fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.engine.event(id)
    }

    /// Looks for an `event_id`, or the beginning of one, in every tenant.
    pub(crate) fn find_by_event_id(&self, event_id: &str) -> Result<EventIdMatch> {
        self.engine.find(event_id)
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
        self.engine.find_progress(size, head_hash)
    }

    /// Keeps sweeps out until the guard is dropped. Waits for one that is at work.
    ///
    /// # Errors
    /// Try again: a sweep was at work for 30 s.
    pub(crate) fn hold_off_sweeps(&self) -> Result<ExportLock> {
        self.engine.hold_off_sweeps()
    }

    /// Makes this the only digest of the log until the guard is dropped; `None` where there is one
    /// already. Neither readers nor sweeps are kept from anything.
    ///
    /// # Errors
    /// That the file to lock cannot be opened.
    pub(crate) fn try_lock_digest(&self) -> Result<Option<DigestLock>> {
        self.engine.try_lock_digest()
    }
}

/// Keeps sweeps out of a log while it lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct ExportLock {
    /// Absent where the file to lock is missing and cannot be made.
    _lock: Option<std::fs::File>,
}

/// Keeps other digests of a log from being made while it lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct DigestLock {
    _lock: std::fs::File,
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

/// The first field in which the event says something else than the one that is there. Only what was
/// given counts: a repeat without a time has another "now".
fn conflicting_field(given: &NewEvent, there: &Event) -> Option<&'static str> {
    field::FIELDS.iter().find_map(|field| {
        let value = (field.given)(given).filter(|value| *value != FieldValue::Text(""))?;
        ((field.get)(there) != Some(value)).then_some(field.name)
    })
}

/// The stored number of a source.
fn source_number(source: Source) -> i64 {
    match source {
        Source::Operator => 0,
        Source::System => 1,
        Source::Api => 2,
        Source::Cron => 3,
    }
}

/// The stored number of a severity.
fn severity_number(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}
