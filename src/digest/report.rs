//! The report of a digest: plain data from one snapshot of the log.
//!
//! Times and texts are as the log has them; the [template context](super::template_context) formats
//! them and makes them safe to show. Counts are exact. Lists are capped, and the report has the number
//! of events beyond the cap.

use crate::digest::kinds::ActivityKinds;
use crate::digest::quiet::QuietActivity;
use crate::digest::tally::ActivePerson;
use crate::digest::tally::Impersonation;
use crate::digest::tally::PersonFailures;
use crate::digest::window::DigestWindow;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::Query;
use crate::store::digest::ArrivedLog;
use crate::time::Timestamp;
use crate::verify::fleet::SILENT_AFTER;

/// The options of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportOptions<'a> {
    pub kinds: &'a ActivityKinds,
    /// The number of people that are named.
    pub top: usize,
    /// The number of events that are listed under one kind.
    pub per_kind: usize,
    /// The number of events that are listed under all kinds together.
    pub total: usize,
}

/// The events that a digest is to cover.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coverage<'a> {
    /// The window that follows the last digest that was sent.
    Due,
    /// The events of a query; those of the last 24 hours where it has no times. The next window begins
    /// where it would without this digest.
    OneOff(&'a Query),
}

/// The report of one digest.
#[derive(Clone, Debug)]
pub(crate) struct DigestReport {
    pub made_at: Timestamp,
    /// The name of the central store that it tells of.
    pub store: Option<String>,
    /// The logs of the store, in the order of their names; none where it tells of a log of this host.
    pub hosts: Vec<HostActivity>,
    pub window: DigestWindow,
    /// The query of a one-off digest.
    pub query: Option<Query>,
    /// The number of events in the window.
    pub total: u64,
    /// The number of events in the previous window.
    pub previous_total: u64,
    /// The kinds with an event in either window, in their order; then the actions without a kind.
    pub groups: Vec<ActivityGroup>,
    /// The number of kinds and actions beyond the cap of groups, and the number of their events.
    pub omitted_groups: (u64, u64),
    /// The names of the kinds without an event in either window.
    pub empty_kinds: Vec<String>,
    pub failures: u64,
    pub previous_failures: u64,
    /// The failures by person and action, the most frequent first.
    pub failed_attempts: Vec<PersonFailures>,
    pub critical: u64,
    /// The newest critical events.
    pub critical_events: Vec<Event>,
    /// The most active people.
    pub people: Vec<ActivePerson>,
    /// The number of all active people.
    pub people_count: u64,
    pub impersonations: Vec<Impersonation>,
    /// The newest of the log's own events.
    pub own_events: Vec<Event>,
    /// The number of own events beyond those.
    pub more_own_events: u64,
    /// The number of events that occurred before the window and that no digest has covered.
    pub late_count: u64,
    pub late_events: Vec<Event>,
    /// The number of events that are dated after the window.
    pub ahead_count: u64,
    pub gone_quiet: Vec<QuietActivity>,
    /// The last event of the log, where the window has none.
    pub last_event: Option<Event>,
    /// The head of the chain of the log that records digests.
    pub head: (EventId, Hash),
}

/// A log of a central store, and the number of its events in the window.
#[derive(Clone, Debug)]
pub(crate) struct HostActivity {
    pub log: ArrivedLog,
    pub events: u64,
}

impl HostActivity {
    /// Whether its mirror has said nothing for so long that its events may be missing.
    pub(crate) fn is_silent(&self, now: Timestamp) -> bool {
        self.log.seen_at.is_none_or(|at| at.saturating_add(SILENT_AFTER) < now)
    }

    /// Returns the number of its events that had yet to arrive when it reported last.
    pub(crate) fn waiting(&self) -> u64 {
        let (head, _) = self.log.head;
        u64::try_from(head.0.saturating_sub(self.log.delivered.0)).unwrap_or(0)
    }
}

/// The events of a kind of activity, or of an action without a kind.
#[derive(Clone, Debug)]
pub(crate) struct ActivityGroup {
    pub name: String,
    /// Whether the name is that of an action.
    pub is_action: bool,
    /// The query that lists all events of the group, without times.
    pub query: String,
    pub count: u64,
    pub previous_count: u64,
    /// The newest of its events.
    pub listed: Vec<Event>,
}

impl DigestReport {
    /// Returns the number of events that the digest covers.
    pub(crate) fn event_count(&self) -> u64 {
        self.total + self.late_count
    }
}
