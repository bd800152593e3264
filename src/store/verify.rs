//! What `verify` asks of a log, and a copy of it: everything over one snapshot.
//!
//! Nothing is taken on trust here: what cannot be read is told as [`Trouble::Damage`] and the rest is
//! still read. What follows from it is decided above.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Result;

use crate::chain::ChainLink;
use crate::chain::Sha256Digest;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::Log;
use crate::store::sqlite;
use crate::store::sqlite::Sqlite;
use crate::time::Timestamp;

/// Why something could not be read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The log is not what a log can be, in words.
    Damage(String),
    /// The disk, memory or a lock: it says nothing about the log.
    Failed(anyhow::Error),
}

/// The newest event, as the log itself has noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub id: EventId,
    pub hash: Hash,
    /// The number of the newest sweep that took effect; 0 for none.
    pub sweep: i64,
    /// Whether that sweep has noted that it removed all that it vouches for.
    pub finished: bool,
}

/// A run of events that a sweep took; `hash` is that of its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub first: EventId,
    pub last: EventId,
    pub hash: Hash,
    /// The number of the sweep that wrote it.
    pub sweep: i64,
}

/// An event with what was found when it was read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub sealed: ChainLink,
    pub recorded_at: Timestamp,
    /// What cannot be so in an event that nobody touched.
    pub flaw: Option<String>,
}

/// What comes next in the order of ids.
#[derive(Debug)]
pub(crate) enum Step {
    Event(Reading),
    Swept(Run),
}

/// A head of the chain that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub id: EventId,
    pub hash: Hash,
    pub at: Timestamp,
    pub place: String,
}

/// What the log has at an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An event, or the end of a run that was swept.
    Hash(Hash),
    /// Within a run that was swept: its first and last id.
    Swept(EventId, EventId),
    Nothing,
}

/// What a sweep vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voucher {
    pub id: EventId,
    /// The payload of the event, if it has one.
    pub payload: String,
}

impl Log {
    /// Opens a log that nobody else knows of, and which lies in one file: a copy that was just made.
    /// Nothing is made beside it.
    ///
    /// # Errors
    /// As [`Log::open_to_read`].
    pub(crate) fn open_copy(path: &Path) -> Result<Self> {
        Ok(Self { engine: Sqlite::open_copy(path)? })
    }

    /// Looks at the log as it is at one moment.
    ///
    /// # Errors
    /// That nothing can be read at all; those of `look`.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&Snapshot<'_>) -> Result<T>) -> Result<T> {
        self.engine.inspect(|engine| look(&Snapshot { engine }))
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
        self.engine.copy_to(file, name, progress)
    }
}

/// A log at one moment.
pub(crate) struct Snapshot<'a> {
    engine: sqlite::SqliteSnapshot<'a>,
}

type Read<T> = std::result::Result<T, Trouble>;

impl Snapshot<'_> {
    /// What is in the schema and not of this program, or the other way round.
    pub(crate) fn schema(&self) -> Read<Option<String>> {
        self.engine.schema_difference()
    }

    /// What the engine finds when it compares everything in the file with everything else.
    pub(crate) fn integrity(&self) -> Read<Vec<String>> {
        self.engine.integrity_findings()
    }

    /// The log's own UUID, from which its chain begins.
    pub(crate) fn uuid(&self) -> Read<[u8; 16]> {
        self.engine.uuid()
    }

    pub(crate) fn head(&self) -> Read<Head> {
        self.engine.head()
    }

    /// The runs that count after that sweep, in the order of ids.
    pub(crate) fn swept(&self, sweep: i64, visit: &mut dyn FnMut(Run)) -> Read<()> {
        self.engine.each_gap(sweep, visit)
    }

    /// The log's own events about sweeps, the newest first.
    pub(crate) fn vouchers(&self, visit: &mut dyn FnMut(Voucher) -> ControlFlow<()>) -> Read<()> {
        self.engine.each_sweep_event(visit)
    }

    /// Every event from that id on, and the runs that count after that sweep, in the order of ids.
    pub(crate) fn walk(
        &self,
        from: EventId,
        sweep: Option<i64>,
        visit: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Read<()> {
        self.engine.walk(from, sweep, visit)
    }

    /// The heads that were published, in the order of ids.
    pub(crate) fn published(&self, visit: &mut dyn FnMut(Published)) -> Read<()> {
        self.engine.each_published_head(visit)
    }

    /// What stands at an id, with the runs that count after that sweep.
    pub(crate) fn place(&self, id: EventId, sweep: i64) -> Read<Place> {
        self.engine.hash_at(id, sweep)
    }
}

/// Content that no event has, for one that cannot be read.
pub(super) const NO_CONTENT: Sha256Digest = [0; 32];
