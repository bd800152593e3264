//! What a digest asks of a log: everything that happened in a span of time, and how often what
//! happens.
//!
//! The counts come from indexes alone; events come one by one, so a digest of a million takes no
//! more memory than one of ten.

use std::sync::Arc;

use anyhow::Result;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::store::Log;
use crate::time::Timestamp;

/// The events with an id after the first and up to the second, that occurred from the third on and
/// before the fourth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventRange {
    pub after: EventId,
    pub through: EventId,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// How much of an event is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DetailLevel {
    /// Who, what and when, as far as it is kept once for many events: no description, diff,
    /// payload, address, session, method or endpoint, and no title or user agent.
    Outline,
    Full,
}

/// How many events there are of an action, those that failed apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionCount {
    pub action: Arc<Action>,
    pub failed: bool,
    pub count: u64,
}

/// How many events of an action each day has, the oldest day first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DailyCounts {
    pub action: Arc<Action>,
    pub failed: bool,
    pub counts: Vec<u64>,
}

impl Log {
    /// Runs several reads over one snapshot, so that they agree with each other.
    ///
    /// # Errors
    /// Those of the reads; that the log cannot be read.
    pub(crate) fn with_snapshot<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        self.engine.with_snapshot(read)
    }

    /// Visits the events of an extent, the newest first.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn each_newest_first(
        &self,
        extent: &EventRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        self.engine.each_newest_first(extent, depth, visit)
    }

    /// Visits the events of an extent in the order in which they came in: the way to those of few
    /// ids, whenever they occurred.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn each_in_recorded_order(
        &self,
        extent: &EventRange,
        depth: DetailLevel,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        self.engine.each_in_recorded_order(extent, depth, visit)
    }

    /// Counts the events of an extent by action, without those that the log wrote about itself.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn action_counts(&self, extent: &EventRange) -> Result<Vec<ActionCount>> {
        self.engine.action_counts(extent)
    }

    /// Counts the events of every action in each of so many times 24 hours up to `until`. Actions
    /// that are reserved for the log, or that had no event then, are left out.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn daily_counts(&self, until: Timestamp, days: usize) -> Result<Vec<DailyCounts>> {
        self.engine.daily_counts(until, days)
    }

    /// When the last event of an action occurred before `until`: one that failed, or one that did
    /// not.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn last_occurrence(
        &self,
        action: &Action,
        failed: bool,
        until: Timestamp,
    ) -> Result<Option<Timestamp>> {
        self.engine.last_occurrence(action, failed, until)
    }

    /// The events with those ids, in no particular order; an id without an event is passed over.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn events_by_ids(&self, ids: &[EventId]) -> Result<Vec<Event>> {
        self.engine.events_by_ids(ids)
    }

    /// The heads that were noted for a place, each with when, in the order of their ids; those alone
    /// whose event is still there.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn published_heads(&self, place: &str) -> Result<Vec<(EventId, Timestamp)>> {
        self.engine.published_heads(place)
    }

    /// The events that the log wrote about itself under an action, in the order of their ids.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn own_events(&self, action: &str) -> Result<Vec<Event>> {
        self.engine.own_events(action)
    }

    /// The event that occurred last before `until` and is not the log's own.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn last_activity(&self, until: Timestamp) -> Result<Option<Event>> {
        self.engine.last_activity(until)
    }
}
