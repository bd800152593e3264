//! Reading a log for a digest: everything that happened in a span of time, and how often it happens
//! otherwise.
//!
//! ## Cost
//!
//! Counts come from indexes alone. Events are visited one by one, so a digest of a million events
//! takes no more memory than a digest of ten.
//!
//! ## Scope
//!
//! These reads know no scope, because what they read is for no single reader. Each demands the
//! [`PlatformWork`] that it serves.

use std::sync::Arc;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::store::Engine;
use crate::store::Log;
use crate::time::Timestamp;

/// The events with an id after `after` and up to `through`, that occurred at `since` or later and
/// before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DigestRange {
    pub after: EventId,
    pub through: EventId,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// How much of an event is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DetailLevel {
    /// Only what the log keeps once for many events: no description, diff, payload, address,
    /// session, method or endpoint, and no title or user agent.
    Outline,
    Full,
}

/// The number of events of an action; failed events are counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionCount {
    pub action: Arc<Action>,
    pub failed: bool,
    pub count: u64,
}

/// The number of events of an action on each day, the oldest day first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DailyCounts {
    pub action: Arc<Action>,
    pub failed: bool,
    pub counts: Vec<u64>,
}

impl Log {
    /// Runs several reads on one snapshot, so that they agree with each other. A central store has no
    /// snapshots: what arrives between two reads is in the second.
    ///
    /// # Errors
    /// Those of the reads; the log cannot be read.
    pub(crate) fn with_snapshot<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.engine {
            Engine::Local(engine) => engine.with_snapshot(read),
            Engine::Central(_) => read(),
        }
    }

    /// Visits the events of a range, the newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn each_newest_first(
        &self,
        _: PlatformWork,
        extent: &DigestRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        self.local()?.each_newest_first(extent, depth, visit)
    }

    /// Visits the events of a range in the order of recording. This is the fast way to a few ids,
    /// whenever their events occurred.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn each_in_recorded_order(
        &self,
        _: PlatformWork,
        extent: &DigestRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        self.local()?.each_in_recorded_order(extent, depth, visit)
    }

    /// Counts the events of a range by action, without those that the log wrote about itself.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn action_counts(
        &self,
        _: PlatformWork,
        extent: &DigestRange,
    ) -> Result<Vec<ActionCount>> {
        self.local()?.action_counts(extent)
    }

    /// Counts the events of every action in each of the last `days` periods of 24 hours before
    /// `until`. Actions that are reserved for the log, or that had no event then, are left out.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn daily_counts(
        &self,
        _: PlatformWork,
        until: Timestamp,
        days: usize,
    ) -> Result<Vec<DailyCounts>> {
        match &self.engine {
            Engine::Local(engine) => engine.daily_counts(until, days),
            Engine::Central(engine) => engine.daily_counts(until, days),
        }
    }

    /// Returns the time of the last event of an action before `until`, among those that failed or
    /// among those that did not.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn last_occurrence(
        &self,
        _: PlatformWork,
        action: &Action,
        failed: bool,
        until: Timestamp,
    ) -> Result<Option<Timestamp>> {
        match &self.engine {
            Engine::Local(engine) => engine.last_occurrence(action, failed, until),
            Engine::Central(engine) => engine.last_occurrence(action, failed, until),
        }
    }

    /// Returns the events with those ids, in no particular order. An id without an event is
    /// skipped.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn events_by_ids(&self, _: PlatformWork, ids: &[EventId]) -> Result<Vec<Event>> {
        self.local()?.events_by_ids(ids)
    }

    /// Returns the heads that were published at a place, each with the time, in the order of their
    /// ids. Heads whose event was swept are left out.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn published_heads(
        &self,
        _: PlatformWork,
        place: &str,
    ) -> Result<Vec<(EventId, Timestamp)>> {
        self.local()?.published_heads(place)
    }

    /// Returns the events that the log wrote about itself under an action, in the order of their
    /// ids.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn own_events(&self, _: PlatformWork, action: &str) -> Result<Vec<Event>> {
        self.local()?.own_events(action)
    }

    /// Returns the last event before `until` that the log did not write about itself.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn last_activity(&self, _: PlatformWork, until: Timestamp) -> Result<Option<Event>> {
        self.local()?.last_activity(until)
    }
}
