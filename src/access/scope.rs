//! The part of the log that a reader may see, as a value that every read of events demands.

use std::borrow::Cow;
use std::fmt;

use crate::event::Event;
use crate::query::Query;

/// The work for which the program itself reads the whole log, whoever runs it. What it reads goes to
/// nobody who asked for events: only what the work is there to say comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlatformWork {
    /// Copies the log.
    Backup,
    /// Compares two logs, to go on behind the last event that both have.
    Comparison,
    /// Composes the mail, and the windows of mails.
    Digest,
    /// Examines the host.
    Examination,
    /// Delivers to other systems what the config says.
    Mirror,
    /// Removes what is too old.
    Sweep,
    /// Walks along the hashes.
    Verification,
}

/// The events that a reader may see. Only [`access::scope`](crate::access::scope()) makes one for a
/// caller; [`Scope::of`] makes the whole log for the platform's own work, which names itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    /// Matches the visible events; `None` for the whole log.
    visible: Option<Query>,
}

impl Scope {
    /// Returns the whole log, for work of the platform.
    pub(crate) const fn of(_: PlatformWork) -> Self {
        Self { visible: None }
    }

    /// Returns the events that a query matches.
    #[cfg(test)]
    pub(crate) fn matching(visible: Query) -> Self {
        Self::of_caller(visible)
    }

    pub(super) fn of_caller(visible: Query) -> Self {
        Self { visible: Some(visible).filter(|visible| *visible != Query::default()) }
    }

    /// Returns the query for those of its events that are visible.
    pub(crate) fn narrow<'a>(&self, query: &'a Query) -> Cow<'a, Query> {
        match &self.visible {
            Some(visible) => Cow::Owned(query.clone().and(visible.clone())),
            None => Cow::Borrowed(query),
        }
    }

    /// Whether it is the whole log.
    pub(crate) const fn is_whole(&self) -> bool {
        self.visible.is_none()
    }

    /// Whether an event is visible.
    pub(crate) fn admits(&self, event: &Event) -> bool {
        self.visible.as_ref().is_none_or(|visible| visible.matches(event))
    }
}

/// Says what is visible, for a person.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.visible {
            Some(visible) => visible.fmt(f),
            None => f.write_str("all events"),
        }
    }
}
