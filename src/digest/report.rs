//! What a digest tells, read from the log in one snapshot.
//!
//! A [`DigestReport`] is plain data with times and texts as the log has them; how they are written, and
//! that they are safe to show, is the [page](super::rendered_mail)'s. Counts are exact however much happened;
//! what is listed is capped, and the report says how much more there is.

use crate::digest::kinds::ActivityKinds;
use crate::digest::quiet::QuietActivity;
use crate::digest::tally::ActivePerson;
use crate::digest::tally::FailedAttempts;
use crate::digest::tally::Impersonation;
use crate::digest::window::DigestWindow;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::Query;
use crate::time::Timestamp;

/// What a digest is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportOptions<'a> {
    pub kinds: &'a ActivityKinds,
    /// How many people are named.
    pub top: usize,
    /// How many events are listed under one kind.
    pub per_kind: usize,
}

/// Which digest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coverage<'a> {
    /// The one that is due: its window follows on the last that was sent.
    Due,
    /// One that moves nothing: what the query means, in the last 24 hours where it says no time.
    OneOff(&'a Query),
}

/// What a digest tells.
#[derive(Clone, Debug)]
pub(crate) struct DigestReport {
    pub made_at: Timestamp,
    pub window: DigestWindow,
    /// What a one-off digest is about.
    pub query: Option<Query>,
    /// The events in the window, and in the window before it.
    pub total: u64,
    pub previous_total: u64,
    /// The kinds with an event in either window, in their order; then the actions of no kind.
    pub groups: Vec<ActivityGroup>,
    /// Actions that have no group, for there are too many: how many, and with how many events.
    pub omitted_groups: (u64, u64),
    /// The names of the kinds without an event in either window.
    pub empty_kinds: Vec<String>,
    pub failures: u64,
    pub previous_failures: u64,
    /// Who failed at what, the most often first.
    pub failed_attempts: Vec<FailedAttempts>,
    pub critical: u64,
    /// The most active people, and how many there are in all.
    pub people: Vec<ActivePerson>,
    pub people_count: u64,
    pub impersonations: Vec<Impersonation>,
    /// What the log itself did, the newest first, and how much more.
    pub own_events: Vec<Event>,
    pub more_own_events: u64,
    /// What occurred before the window and no digest has told of.
    pub late_count: u64,
    pub late_events: Vec<Event>,
    /// How many events are dated ahead of the window's end.
    pub ahead_count: u64,
    pub gone_quiet: Vec<QuietActivity>,
    /// The last event there is, where the window has none.
    pub last_event: Option<Event>,
    /// The head of the chain.
    pub head: (EventId, Hash),
}

/// A kind of activity, or an action of none.
#[derive(Clone, Debug)]
pub(crate) struct ActivityGroup {
    pub name: String,
    /// Whether the name is an action's.
    pub is_action: bool,
    /// What to ask the log for to see all of it, times aside.
    pub query: String,
    pub count: u64,
    pub previous_count: u64,
    /// The newest of its events.
    pub listed: Vec<Event>,
}

impl DigestReport {
    /// How many events it tells of.
    pub(crate) fn event_count(&self) -> u64 {
        self.total + self.late_count
    }
}
