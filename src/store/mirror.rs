//! What a log keeps about its mirrors: how far each has delivered, what it gave up, and how it fares.
//!
//! ## Locking
//!
//! [`LocalLog::try_lock_mirror`] makes a process the only one that delivers for a mirror. The state
//! is written under the write lock like everything else, in one transaction with the events that
//! tell about it.

use std::fs::File;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::chain::Seal;
use crate::event::Event;
use crate::event::EventId;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Query;
use crate::store::Batch;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::verify::ReadError;
use crate::store::verify::SweepGap;
use crate::time::Timestamp;

/// How far a mirror has delivered, and how it fares. An alert has one too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirrorState {
    pub name: String,
    /// The last event that needs no more work: delivered, given up, or not meant for it.
    pub cursor: EventId,
    /// The last event of the batch that was last tried, where it must be cut alike.
    pub cut: Option<EventId>,
    /// The number of events that it has delivered.
    pub delivered: u64,
    /// The failures since it last delivered.
    pub failures: u32,
    pub failing_since: Option<Timestamp>,
    /// Whether the log has an event about the failing.
    pub is_failing_recorded: bool,
    /// Nothing is tried before this time.
    pub next_try: Option<Timestamp>,
    /// Why the last try failed; absent when it did not.
    pub error: Option<String>,
    pub status: Option<u16>,
    pub delivered_at: Option<Timestamp>,
}

impl MirrorState {
    /// The state of a mirror that has not run yet, and that begins behind an event.
    pub(crate) fn new(name: &str, cursor: EventId) -> Self {
        Self {
            name: name.to_owned(),
            cursor,
            cut: None,
            delivered: 0,
            failures: 0,
            failing_since: None,
            is_failing_recorded: false,
            next_try: None,
            error: None,
            status: None,
            delivered_at: None,
        }
    }
}

/// An event that a destination refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    pub id: EventId,
    pub reason: String,
    pub status: Option<u16>,
    pub at: Timestamp,
}

/// How much of a log is read for one batch of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchBounds {
    pub after: EventId,
    /// The last event that may be in it.
    pub up_to: EventId,
    pub events: usize,
    /// The bytes of texts after which no further event is read. One event is always read.
    pub bytes: usize,
}

/// Keeps other processes from delivering for a mirror while it lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct MirrorLock {
    pub(super) _lock: File,
}

impl Log {
    /// Returns the UUID of the log, from which its chain begins.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn uuid(&self) -> Result<[u8; 16]> {
        self.local()?.log_uuid()
    }

    /// Returns the state of a mirror; `None` if it has not run yet.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn mirror_state(&self, name: &str) -> Result<Option<MirrorState>> {
        self.local()?.mirror_state(name)
    }

    /// Returns the events that match within bounds, in the order of recording.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn events_within(
        &self,
        scope: &Scope,
        query: &Query,
        bounds: &BatchBounds,
    ) -> Result<Vec<Event>> {
        self.local()?.events_within(&scope.narrow(query), bounds)
    }

    /// Returns the runs that sweeps behind one have recorded, and the newest sweep that took effect.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn gaps_since(
        &self,
        work: PlatformWork,
        sweep: i64,
    ) -> Result<(Vec<SweepGap>, i64)> {
        self.inspect(work, |log| {
            let damaged = |error| match error {
                ReadError::Damage(what) => Failure::new(Exit::Io, what).into(),
                ReadError::Failed(error) => error,
            };
            let newest = log.head().map_err(damaged)?.newest_sweep;
            let mut gaps = Vec::new();
            if newest > sweep {
                let take = &mut |gap: SweepGap| {
                    if gap.sweep > sweep {
                        gaps.push(gap);
                    }
                };
                log.each_gap(newest, take).map_err(damaged)?;
            }
            Ok((gaps, newest))
        })
    }

    /// Returns the seals of events that are there, in the order of `ids`.
    ///
    /// # Errors
    /// The log cannot be read; one of them is not there.
    pub(crate) fn seals(&self, _: PlatformWork, ids: &[EventId]) -> Result<Vec<Seal>> {
        self.local()?.seals(ids)
    }

    /// Returns the newest event that was recorded before a time; 0 where there is none. Where the
    /// clock stepped back it is one of those that could be meant.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn newest_recorded_before(&self, at: Timestamp) -> Result<EventId> {
        self.local()?.newest_recorded_before(at)
    }

    /// Returns the dead letters of a mirror, in the order of recording.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn dead_letters(&self, mirror: &str) -> Result<Vec<DeadLetter>> {
        self.local()?.dead_letters(mirror)
    }

    /// Returns the number of dead letters of a mirror.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn dead_letter_count(&self, mirror: &str) -> Result<u64> {
        self.local()?.dead_letter_count(mirror)
    }
}

impl LocalLog {
    /// Keeps few pages in memory: a writer has a large cache, which one pass through the log would fill
    /// in vain, for each mirror anew.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn keep_few_pages(&self) -> Result<()> {
        self.sqlite().keep_few_pages()
    }

    /// Makes this the only process that delivers for a mirror until the guard is dropped; `None` if
    /// another one does.
    ///
    /// # Errors
    /// The file to lock cannot be opened.
    pub(crate) fn try_lock_mirror(&self, name: &str) -> Result<Option<MirrorLock>> {
        self.sqlite().try_lock_mirror(name)
    }
}

impl Batch<'_> {
    /// Records the state of a mirror.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn save_mirror(&mut self, state: &MirrorState) -> Result<()> {
        self.engine.save_mirror(state)
    }

    /// Records an event that a mirror gives up. A newer reason replaces an older one.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn add_dead_letter(&mut self, mirror: &str, letter: &DeadLetter) -> Result<()> {
        self.engine.add_dead_letter(mirror, letter)
    }

    /// Forgets dead letters of a mirror.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn remove_dead_letters(&mut self, mirror: &str, ids: &[EventId]) -> Result<()> {
        self.engine.remove_dead_letters(mirror, ids)
    }
}
