//! What a digest tells, read from the log in one snapshot.
//!
//! A [`Report`] is plain data with times and texts as the log has them; how they are written, and
//! that they are safe to show, is the [page](super::page)'s. Counts are exact however much happened;
//! what is listed is capped, and the report says how much more there is.

use anyhow::Result;

use crate::digest::kinds::Kinds;
use crate::digest::outcome;
use crate::digest::outcome::Recorded;
use crate::digest::quiet::Quiet;
use crate::digest::reader::Reader;
use crate::digest::tally::Failed;
use crate::digest::tally::Impersonation;
use crate::digest::tally::Person;
use crate::digest::window::Begun;
use crate::digest::window::LENGTH;
use crate::digest::window::Window;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::Query;
use crate::store::Log;
use crate::time::Timestamp;

/// What a digest is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    pub kinds: &'a Kinds,
    /// How many people are named.
    pub top: usize,
    /// How many events are listed under one kind.
    pub per_kind: usize,
}

/// Which digest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// The one that is due: its window follows on the last that was sent.
    Due,
    /// One that moves nothing: what the query means, in the last 24 hours where it says no time.
    OneOff(&'a Query),
}

/// What a digest tells.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub made_at: Timestamp,
    pub window: Window,
    /// What a one-off digest is about.
    pub query: Option<Query>,
    /// The events in the window, and in the window before it.
    pub total: u64,
    pub before: u64,
    /// The kinds with an event in either window, in their order; then the actions of no kind.
    pub groups: Vec<Group>,
    /// Actions that have no group, for there are too many: how many, and with how many events.
    pub more_groups: (u64, u64),
    /// The names of the kinds without an event in either window.
    pub empty: Vec<String>,
    pub failures: u64,
    pub failures_before: u64,
    /// Who failed at what, the most often first.
    pub failed: Vec<Failed>,
    pub critical: u64,
    /// The most active people, and how many there are in all.
    pub people: Vec<Person>,
    pub all_people: u64,
    pub impersonations: Vec<Impersonation>,
    /// What the log itself did, the newest first, and how much more.
    pub own: Vec<Event>,
    pub more_own: u64,
    /// What occurred before the window and no digest has told of.
    pub late: u64,
    pub late_listed: Vec<Event>,
    /// How many events are dated ahead of the window's end.
    pub ahead: u64,
    pub quiet: Vec<Quiet>,
    /// The last event there is, where the window has none.
    pub last: Option<Event>,
    /// The head of the chain.
    pub head: (EventId, Hash),
}

/// A kind of activity, or an action of none.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub name: String,
    /// Whether the name is an action's.
    pub is_action: bool,
    /// What to ask the log for to see all of it, times aside.
    pub query: String,
    pub count: u64,
    pub before: u64,
    /// The newest of its events.
    pub listed: Vec<Event>,
}

impl Report {
    /// Reads a digest from the log, all from one snapshot.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn read(
        log: &Log,
        scope: Scope<'_>,
        now: Timestamp,
        options: &Options<'_>,
    ) -> Result<Self> {
        log.with_snapshot(|| {
            let head = log.head()?;
            let (window, query) = match scope {
                Scope::Due => {
                    let window = Window::next(&history(log)?, &begun(log)?, now, head.0);
                    (window, None)
                }
                Scope::OneOff(query) => {
                    let bounds = query.bounds();
                    // The day that is not over yet is told as far as it went.
                    let until = bounds.to.map_or(now, |to| to.min(now));
                    let since = bounds.from.unwrap_or(until.saturating_sub(LENGTH));
                    (Window::one_off(since, until, head.0), Some(query))
                }
            };
            Reader::new(log, options, query).read(now, window, head)
        })
    }

    /// How many events it tells of.
    pub(crate) fn events(&self) -> u64 {
        self.total + self.late
    }
}

/// Where a head is known that a mail has carried out, or is about to.
pub(super) const PLACE: &str = "digest";

/// The digests that were begun, in the order of the heads that they read.
fn begun(log: &Log) -> Result<Vec<Begun>> {
    let published = log.published_heads(PLACE)?;
    Ok(published.into_iter().map(|(through, at)| Begun { at, through }).collect())
}

/// Every outcome of a digest that the log has, in the order of their ids.
///
/// # Errors
/// That the log cannot be read.
pub(crate) fn history(log: &Log) -> Result<Vec<Recorded>> {
    let mut events = log.own_events(outcome::SENT)?;
    events.extend(log.own_events(outcome::FAILED)?);
    events.sort_by_key(|event| event.id);
    Ok(events.iter().filter_map(Recorded::of).collect())
}
