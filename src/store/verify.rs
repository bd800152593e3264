//! Reading a log to verify it: everything on one snapshot.
//!
//! Nothing is trusted here: a part that cannot be read is reported as [`ReadError::Damage`], and
//! the rest can still be read. The callers decide what follows from it.

use std::ops::ControlFlow;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::chain::ChainLink;
use crate::chain::Sha256Digest;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::Log;
use crate::store::sqlite;
use crate::time::Timestamp;

/// The reason why something could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The log contains something impossible; the text says what.
    Damage(String),
    /// The disk, memory or a lock failed: this says nothing about the log.
    Failed(anyhow::Error),
}

/// The newest event, as the log has recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogHead {
    pub id: EventId,
    pub hash: Hash,
    /// The number of the newest sweep that took effect; 0 if there is none.
    pub newest_sweep: i64,
}

/// A run of ids that a sweep removed. `hash` is the hash of its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SweepGap {
    pub first: EventId,
    pub last: EventId,
    pub hash: Hash,
    /// The number of the sweep that recorded the run.
    pub sweep: i64,
}

/// An event, and what was wrong with it when it was read.
#[derive(Debug)]
pub(crate) struct InspectedEvent {
    pub link: ChainLink,
    pub recorded_at: Timestamp,
    /// A value that no event has unless somebody changed it.
    pub flaw: Option<String>,
}

/// The next entry of the chain, in the order of ids.
#[derive(Debug)]
pub(crate) enum EventOrGap {
    Event(InspectedEvent),
    Gap(SweepGap),
    /// A run whose events the newest sweep has yet to remove, all or those behind the id. The hash is
    /// that of the event with the id, if one is removed. What is left of the run follows, with the gaps
    /// of earlier sweeps.
    Removal {
        run: SweepGap,
        removed_to: EventId,
        removed_hash: Option<Hash>,
    },
}

/// A head of the chain that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedHead {
    pub id: EventId,
    pub hash: Hash,
    pub published_at: Timestamp,
    pub place: String,
}

/// The hash that the log has at an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashLookup {
    /// That of an event, or of the end of a swept run.
    Known(Hash),
    /// The id is within a swept run, of this first and last id.
    Swept(EventId, EventId),
    Missing,
}

/// The event that vouches for a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepEvent {
    pub id: EventId,
    /// The payload of the event; empty if it has none.
    pub payload: String,
    pub recorded_at: Timestamp,
    /// The event stands within a run that counts, so it is gone.
    pub is_swept: bool,
}

/// The state of the newest writes, which the engine has yet to copy into the file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PendingWrites {
    /// Each of them can be read.
    Sound,
    /// The last one cannot be read; the text says what. A power cut may have ended it before it was
    /// acknowledged.
    CutShort(String),
    /// Acknowledged ones cannot be read; the text says what.
    Damaged(String),
}

impl Log {
    /// Runs reads on a snapshot of the log.
    ///
    /// # Errors
    /// Nothing can be read at all; the errors of `look`.
    pub(crate) fn inspect<T>(
        &self,
        _: PlatformWork,
        look: impl FnOnce(&Snapshot<'_>) -> Result<T>,
    ) -> Result<T> {
        self.local()?.inspect(|engine| look(&Snapshot { engine }))
    }
}

/// A log at one moment.
pub(crate) struct Snapshot<'a> {
    engine: sqlite::SqliteSnapshot<'a>,
}

type ReadResult<T> = std::result::Result<T, ReadError>;

impl Snapshot<'_> {
    /// Returns the first difference between the schema of the log and that of this program.
    pub(crate) fn schema_difference(&self) -> ReadResult<Option<String>> {
        self.engine.schema_difference()
    }

    /// Returns what the engine's own check of its storage finds, which runs while `work` does. It may
    /// see a later moment than this snapshot.
    pub(crate) fn integrity_findings_beside<T>(
        &self,
        work: impl FnOnce() -> T,
    ) -> (T, ReadResult<Vec<String>>) {
        self.engine.integrity_findings_beside(work)
    }

    /// Returns the state of the newest writes.
    pub(crate) fn pending_writes(&self) -> ReadResult<PendingWrites> {
        self.engine.pending_writes()
    }

    /// Returns the UUID of the log, from which its chain begins.
    pub(crate) fn uuid(&self) -> ReadResult<[u8; 16]> {
        self.engine.uuid()
    }

    pub(crate) fn head(&self) -> ReadResult<LogHead> {
        self.engine.head()
    }

    /// Visits the runs that count when that sweep is the newest, in the order of ids.
    pub(crate) fn each_gap(&self, sweep: i64, visit: &mut dyn FnMut(SweepGap)) -> ReadResult<()> {
        self.engine.each_gap(sweep, visit)
    }

    /// Visits the log's own events about sweeps, the newest first.
    pub(crate) fn each_sweep_event(&self, visit: &mut dyn FnMut(SweepEvent)) -> ReadResult<()> {
        self.engine.each_sweep_event(visit)
    }

    /// Visits every event from an id on, and the runs that count when that sweep is the newest, in
    /// the order of ids.
    pub(crate) fn walk(
        &self,
        from: EventId,
        sweep: Option<i64>,
        visit: &mut dyn FnMut(EventOrGap) -> ControlFlow<()>,
    ) -> ReadResult<()> {
        self.engine.walk(from, sweep, visit)
    }

    /// Visits every event and run as [`Self::walk`] does from the first id on. Two threads read where
    /// there are processors for them.
    pub(crate) fn walk_all_by_turns(
        &self,
        sweep: Option<i64>,
        visit: &mut dyn FnMut(EventOrGap) -> ControlFlow<()>,
    ) -> ReadResult<()> {
        self.engine.walk_all_by_turns(sweep, visit)
    }

    /// Visits the published heads, in the order of ids.
    pub(crate) fn each_published_head(
        &self,
        visit: &mut dyn FnMut(PublishedHead),
    ) -> ReadResult<()> {
        self.engine.each_published_head(visit)
    }

    /// Returns the hash at an id, with the runs that count when that sweep is the newest.
    pub(crate) fn hash_at(&self, id: EventId, sweep: i64) -> ReadResult<HashLookup> {
        self.engine.hash_at(id, sweep)
    }
}

/// Content that no event has. It stands for content that cannot be read.
pub(super) const NO_CONTENT: Sha256Digest = [0; 32];
