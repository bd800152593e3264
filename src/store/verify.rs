//! What `verify` asks of a log, and a copy of it: everything over one snapshot.
//!
//! Nothing is taken on trust here: what cannot be read is told as [`ReadError::Damage`] and the rest is
//! still read. What follows from it is decided above.

use std::ops::ControlFlow;

use anyhow::Result;

use crate::chain::ChainLink;
use crate::chain::Sha256Digest;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::Log;
use crate::store::sqlite;
use crate::time::Timestamp;

/// Why something could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The log is not what a log can be, in words.
    Damage(String),
    /// The disk, memory or a lock: it says nothing about the log.
    Failed(anyhow::Error),
}

/// The newest event, as the log itself has noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogHead {
    pub id: EventId,
    pub hash: Hash,
    /// The number of the newest sweep that took effect; 0 for none.
    pub newest_sweep: i64,
    /// Whether that sweep has noted that it removed all that it vouches for.
    pub sweep_finished: bool,
}

/// A run of events that a sweep took; `hash` is that of its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SweepGap {
    pub first: EventId,
    pub last: EventId,
    pub hash: Hash,
    /// The number of the sweep that wrote it.
    pub sweep: i64,
}

/// An event with what was found when it was read.
#[derive(Debug)]
pub(crate) struct InspectedEvent {
    pub link: ChainLink,
    pub recorded_at: Timestamp,
    /// What cannot be so in an event that nobody touched.
    pub flaw: Option<String>,
}

/// What comes next in the order of ids.
#[derive(Debug)]
pub(crate) enum ChainEntry {
    Event(InspectedEvent),
    Gap(SweepGap),
}

/// A head of the chain that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedHead {
    pub id: EventId,
    pub hash: Hash,
    pub published_at: Timestamp,
    pub place: String,
}

/// What the log has at an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashLookup {
    /// An event, or the end of a run that was swept.
    Known(Hash),
    /// Within a run that was swept: its first and last id.
    Swept(EventId, EventId),
    Missing,
}

/// What a sweep vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepEvent {
    pub id: EventId,
    /// The payload of the event, if it has one.
    pub payload: String,
}

impl Log {
    /// Looks at the log as it is at one moment.
    ///
    /// # Errors
    /// That nothing can be read at all; those of `look`.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&Snapshot<'_>) -> Result<T>) -> Result<T> {
        self.engine.inspect(|engine| look(&Snapshot { engine }))
    }
}

/// A log at one moment.
pub(crate) struct Snapshot<'a> {
    engine: sqlite::SqliteSnapshot<'a>,
}

type ReadResult<T> = std::result::Result<T, ReadError>;

impl Snapshot<'_> {
    /// What is in the schema and not of this program, or the other way round.
    pub(crate) fn schema_difference(&self) -> ReadResult<Option<String>> {
        self.engine.schema_difference()
    }

    /// What the engine finds when it compares everything in the file with everything else.
    pub(crate) fn integrity_findings(&self) -> ReadResult<Vec<String>> {
        self.engine.integrity_findings()
    }

    /// The log's own UUID, from which its chain begins.
    pub(crate) fn uuid(&self) -> ReadResult<[u8; 16]> {
        self.engine.uuid()
    }

    pub(crate) fn head(&self) -> ReadResult<LogHead> {
        self.engine.head()
    }

    /// The runs that count after that sweep, in the order of ids.
    pub(crate) fn each_gap(&self, sweep: i64, visit: &mut dyn FnMut(SweepGap)) -> ReadResult<()> {
        self.engine.each_gap(sweep, visit)
    }

    /// The log's own events about sweeps, the newest first.
    pub(crate) fn each_sweep_event(
        &self,
        visit: &mut dyn FnMut(SweepEvent) -> ControlFlow<()>,
    ) -> ReadResult<()> {
        self.engine.each_sweep_event(visit)
    }

    /// Every event from that id on, and the runs that count after that sweep, in the order of ids.
    pub(crate) fn walk(
        &self,
        from: EventId,
        sweep: Option<i64>,
        visit: &mut dyn FnMut(ChainEntry) -> ControlFlow<()>,
    ) -> ReadResult<()> {
        self.engine.walk(from, sweep, visit)
    }

    /// The heads that were published, in the order of ids.
    pub(crate) fn each_published_head(
        &self,
        visit: &mut dyn FnMut(PublishedHead),
    ) -> ReadResult<()> {
        self.engine.each_published_head(visit)
    }

    /// What stands at an id, with the runs that count after that sweep.
    pub(crate) fn hash_at(&self, id: EventId, sweep: i64) -> ReadResult<HashLookup> {
        self.engine.hash_at(id, sweep)
    }
}

/// Content that no event has, for one that cannot be read.
pub(super) const NO_CONTENT: Sha256Digest = [0; 32];
