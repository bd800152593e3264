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

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::Hash;
use crate::store::Engine;
use crate::store::Log;
use crate::text;
use crate::time::Timestamp;

/// How far logs are read: the newest event of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogPositions {
    /// In the log of this host; 0 where a central store is read.
    host: EventId,
    /// In the logs of a central store, by their UUIDs.
    logs: BTreeMap<String, EventId>,
}

impl LogPositions {
    /// Before the first event of every log.
    pub(crate) const START: Self = Self { host: EventId(0), logs: BTreeMap::new() };

    pub(crate) fn of_host(id: EventId) -> Self {
        Self { host: id, ..Self::START }
    }

    /// Returns the positions in the logs of a store. A log of which nothing was read is left out.
    pub(crate) fn of_logs(logs: impl IntoIterator<Item = (String, EventId)>) -> Self {
        let logs = logs.into_iter().filter(|(_, id)| id.0 > 0).collect();
        Self { logs, ..Self::START }
    }

    /// Returns the position in the log of this host.
    pub(crate) fn host(&self) -> EventId {
        self.host
    }

    /// Returns the position in a log of a store; 0 if nothing of it was read.
    pub(crate) fn in_log(&self, uuid: &str) -> EventId {
        self.logs.get(uuid).copied().unwrap_or(EventId(0))
    }

    /// Returns the UUIDs of the logs of a store, with the position in each.
    pub(crate) fn logs(&self) -> impl Iterator<Item = (&str, EventId)> {
        self.logs.iter().map(|(uuid, id)| (uuid.as_str(), *id))
    }

    /// Returns for each log the later of two positions.
    pub(crate) fn or_later(&self, other: &Self) -> Self {
        let mut later = Self { host: self.host.max(other.host), logs: self.logs.clone() };
        for (uuid, id) in &other.logs {
            let known = later.logs.entry(uuid.clone()).or_insert(*id);
            *known = (*known).max(*id);
        }
        later
    }

    /// Whether another position is later in some log.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.host < other.host || other.logs().any(|(uuid, id)| self.in_log(uuid) < id)
    }

    /// Splits them into those of logs of which something was read before, and the others.
    pub(crate) fn split_by(&self, before: &Self) -> (Self, Self) {
        let (known, new) =
            (self.logs.clone().into_iter()).partition(|(uuid, _)| before.logs.contains_key(uuid));
        (Self { host: self.host, logs: known }, Self { logs: new, ..Self::START })
    }
}

/// Writes the id, or how many logs a store has.
impl fmt::Display for LogPositions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.logs.is_empty() {
            return self.host.fmt(f);
        }
        f.write_str(&text::plural(self.logs.len() as u64, "log"))
    }
}

/// The events behind `after` and up to `through`, that occurred at `since` or later and before `until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestRange {
    pub after: LogPositions,
    pub through: LogPositions,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// A log of a central store, and how far it has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrivedLog {
    pub uuid: String,
    /// What names it in its events.
    pub name: Arc<str>,
    /// Its newest event when it reported last.
    pub head: (EventId, Hash),
    /// The last event that had arrived then, with all before it.
    pub delivered: EventId,
    /// When it reported last; absent if it never has.
    pub seen_at: Option<Timestamp>,
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
        match &self.engine {
            Engine::Local(engine) => engine.each_newest_first(extent, depth, visit),
            Engine::Central(engine) => engine.each_newest_first(extent, depth, visit),
        }
    }

    /// Visits the events of a range in the order of recording; those of a central store log by log, or in
    /// no particular order. This is the fast way to a few ids, whenever their events occurred.
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
        match &self.engine {
            Engine::Local(engine) => engine.each_in_recorded_order(extent, depth, visit),
            Engine::Central(engine) => engine.each_in_recorded_order(extent, depth, visit),
        }
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
        match &self.engine {
            Engine::Local(engine) => engine.action_counts(extent),
            Engine::Central(engine) => engine.action_counts(extent),
        }
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

    /// Returns the events at those places, in no particular order. A place without an event is
    /// skipped.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn events_at(&self, _: PlatformWork, places: &[EventPlace]) -> Result<Vec<Event>> {
        match &self.engine {
            Engine::Local(engine) => engine.events_at(places),
            Engine::Central(engine) => engine.events_at(places),
        }
    }

    /// Returns the logs of a central store, by their names; none for a log of this host.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn arrived_logs(&self, _: PlatformWork) -> Result<Vec<ArrivedLog>> {
        match &self.engine {
            Engine::Local(_) => Ok(Vec::new()),
            Engine::Central(engine) => engine.arrived_logs(),
        }
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
        match &self.engine {
            Engine::Local(engine) => engine.last_activity(until),
            Engine::Central(engine) => engine.last_activity(until),
        }
    }
}
