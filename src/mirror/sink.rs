//! What a destination of a mirror must do, and the events that it gets.
//!
//! The engine around it reads the log, keeps the cursor, waits, and stores dead letters. A sink
//! only delivers one batch and says what became of it.
//!
//! A message that carries text for people ends with the mirror line or the JSON of the event, so
//! that `ingest` can read it back.

use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::Seal;
use crate::event::Event;
use crate::lent_rights::FileRights;
use crate::settings::Environment;
use crate::store::central::LogHeartbeat;
use crate::store::verify::SweepGap;
use crate::time::Timestamp;
use crate::time::Zone;

/// The destination of a mirror. It is made for one run of the program, and used by one thread at a
/// time.
pub(crate) trait Sink: Send {
    /// The most events that it takes in one batch, where the config says nothing else. A sink whose
    /// service has limits on bytes or on time divides the batch further by itself. The engine keeps
    /// a batch below some 6 MiB, or at one event.
    fn default_batch(&self) -> usize;

    /// Whether its events carry their seals, which cost a read more.
    fn wants_seals(&self) -> bool {
        false
    }

    /// Whether a batch must be cut alike when it is sent again, also by another process.
    fn wants_stable_batches(&self) -> bool {
        false
    }

    /// Delivers the events in their order, and returns after the destination has confirmed them. The
    /// events that it refused for good, and that are not to be sent again, are the result.
    ///
    /// # Errors
    /// Not all events are confirmed.
    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure>;

    /// Takes note of the log and its head. This is called at the beginning of each run, before the
    /// first batch, also where there is none; a long run calls it once a minute.
    ///
    /// # Errors
    /// The destination did not take it.
    fn report_head(&mut self, head: &LogHeartbeat) -> Result<(), SinkFailure> {
        let _ = head;
        Ok(())
    }

    /// The newest sweep of the log whose ranges the destination has, after it took note of the head;
    /// `None` where it takes no ranges.
    fn known_sweep(&self) -> Option<i64> {
        None
    }

    /// Takes the ranges of ids that the log's sweeps have recorded since that one, up to `sweep`.
    ///
    /// # Errors
    /// The destination did not take them all.
    fn report_gaps(&mut self, gaps: &[SweepGap], sweep: i64) -> Result<(), SinkFailure> {
        let _ = (gaps, sweep);
        Ok(())
    }

    /// Finds out whether the destination would take an event. `probe` is not in the log, and a sink
    /// that cannot mark it as a test does not store it.
    ///
    /// # Errors
    /// It would not.
    fn test(&mut self, probe: &OutgoingEvent) -> Result<(), SinkFailure> {
        match self.deliver(slice::from_ref(probe))?.into_iter().next() {
            None => Ok(()),
            Some(refused) => {
                let mut failure = SinkFailure::refused(refused.reason);
                failure.status = refused.status;
                Err(failure)
            }
        }
    }
}

/// An event on its way to a destination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutgoingEvent {
    pub event: Event,
    /// Names the log: the mirror's own name for it, else the event's tenant, else the site.
    pub identifier: Arc<str>,
    /// Present where the sink [wants it](Sink::wants_seals).
    pub seal: Option<Seal>,
}

/// An event that a destination refuses, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedEvent {
    /// Its place in the batch.
    pub index: usize,
    /// One line, escaped, without secrets.
    pub reason: String,
    pub status: Option<u16>,
}

/// A batch of which not every event is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkFailure {
    pub kind: FailureKind,
    /// One line, escaped, without secrets.
    pub reason: String,
    /// The status of the service, if it answered.
    pub status: Option<u16>,
    /// How long the service asks to be left alone.
    pub retry_after: Option<Duration>,
    /// How many events of the batch, from its first on, need not be sent again.
    pub confirmed: usize,
    /// Those among the confirmed that were refused for good.
    pub refused: Vec<RefusedEvent>,
}

/// What a failure says about the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Nothing: the destination is out of reach, busy, or not set up. They are sent again.
    Unavailable,
    /// One of those that are not confirmed is refused for good (HTTP 400, 413, 422), and the sink
    /// does not know which. The engine halves the batch until the event stands alone.
    Refused,
}

impl SinkFailure {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Unavailable, reason.into())
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Refused, reason.into())
    }

    /// Adds what was confirmed before it; `refused` has the events of the batch that were refused for
    /// good so far.
    #[must_use]
    pub(crate) fn after(mut self, confirmed: usize, refused: &[RefusedEvent]) -> Self {
        self.confirmed = confirmed;
        self.refused =
            refused.iter().filter(|refused| refused.index < confirmed).cloned().collect();
        self
    }

    fn new(kind: FailureKind, reason: String) -> Self {
        Self { kind, reason, status: None, retry_after: None, confirmed: 0, refused: Vec::new() }
    }
}

/// What the sinks of one run have in common.
#[derive(Clone, Copy)]
pub(crate) struct SinkContext<'a> {
    pub environment: &'a Environment,
    /// The user whose key files are trusted, beside root.
    pub trusted_uid: u32,
    /// The rights of a command that is run for the caller.
    pub rights: &'a FileRights,
    pub zone: &'a Zone,
    pub host: &'a str,
    /// The log, which no sink may overwrite.
    pub log: &'a Path,
    pub clock: fn() -> Timestamp,
    /// How long one try may take.
    pub timeout: Duration,
}
