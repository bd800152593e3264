//! Reading by a query: listings, streams, counts and summaries.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::Party;
use crate::event::Target;
use crate::query::Query;
use crate::store::LocalLog;
use crate::store::Log;
use crate::text;
use crate::time::Timestamp;

/// The order of a listing. Events of one time are in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
    /// By a field's name, or `actor` or `target`; what has no value comes last, and what is equal by time.
    ByField {
        field: &'static str,
        ascending: bool,
    },
}

/// What an [`Order`] can be by.
#[cfg(test)]
pub(crate) fn sortable_fields() -> impl Iterator<Item = &'static str> {
    crate::store::sqlite::sortable()
}

/// The place of a row in the order by time: any row's own two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    pub occurred_at: Timestamp,
    pub id: EventId,
}

impl Cursor {
    pub(crate) fn from_event(event: &Event) -> Self {
        Self { occurred_at: event.occurred_at, id: event.id }
    }

    /// Reads `OCCURRED_AT,ID`.
    ///
    /// # Errors
    /// One line that quotes the text.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let parts = text.rsplit_once(',').and_then(|(at, id)| {
            let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
            let id = id.parse().ok().filter(|_| digits).map(EventId)?;
            Some(Self { occurred_at: Timestamp::parse_rfc3339(at).ok()?, id })
        });
        parts.ok_or_else(|| {
            let text = text::escape(text);
            format!("\"{text}\" is not OCCURRED_AT,ID of a row, like 2026-11-20T04:00:00Z,17")
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.occurred_at, self.id)
    }
}

/// A page of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    pub order: Order,
    /// The row before it; goes with the orders by time.
    pub after: Option<Cursor>,
    /// How many rows are left out before it; costs as much as to read them.
    pub skip: u64,
    pub limit: usize,
    /// The newest event that may be on it.
    pub up_to: Option<EventId>,
}

/// Something that events have in common, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occurrences<T> {
    pub value: Arc<T>,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// What stands at the head of a search. Lists begin with what was seen most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventSummary {
    pub events: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Actions of the same name in several modules are several.
    pub actions: Vec<Occurrences<Action>>,
    /// An id with another label is another one.
    pub actors: Vec<Occurrences<Party>>,
    pub impersonators: Vec<Occurrences<Party>>,
    pub targets: Vec<Occurrences<Target>>,
    /// Events without an actor whose source is `system` or `cron`.
    pub system: u64,
    /// Other events without an actor.
    pub anonymous: u64,
    /// How many between each two of the edges that were asked for.
    pub histogram: Vec<u64>,
}

/// An action that was ever seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionUsage {
    pub action: String,
    /// Where it is the same in every event.
    pub module: Option<String>,
    pub count: u64,
    pub last: Timestamp,
    /// How many between each two of the edges that were asked for.
    pub histogram: Vec<u64>,
}

/// Where to look for what a person may have meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuggestionKind {
    Actors,
    Targets,
}

/// What a person may have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suggestion {
    pub id: Option<String>,
    pub label: Option<String>,
    pub events: u64,
}

/// What a person meant by the beginning of an `event_id`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EventIdMatch {
    One(Box<Event>),
    /// The first few that it could be.
    Several(Vec<EventId>),
    None,
}

/// What earlier sweeps have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepState {
    /// How many events there are.
    pub event_count: u64,
    /// The runs of ids that are gone, first and last, ascending.
    pub gaps: Vec<(i64, i64)>,
    /// Whether a sweep was killed before it had removed all that it vouches for.
    pub unfinished: bool,
}

impl SweepState {
    /// Whether an id is in a run that counts.
    pub(crate) fn is_swept(&self, id: EventId) -> bool {
        let after = self.gaps.partition_point(|(first, _)| *first <= id.0);
        after > 0 && id.0 <= self.gaps[after - 1].1
    }
}

impl Log {
    /// Opens the log in a file of this host.
    ///
    /// # Errors
    /// The class and the reason: no log, not permitted, damaged, newer …
    pub(crate) fn open_to_read(path: &Path) -> Result<Self> {
        Ok(LocalLog::open_to_read(path)?.log)
    }

    /// The newest id, and its hash. The id is 0 in an empty log.
    pub(crate) fn head(&self) -> Result<(EventId, Hash)> {
        self.engine.head()
    }

    pub(crate) fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.engine.event(id)
    }

    /// Looks for an `event_id`, or the beginning of one, in every tenant.
    pub(crate) fn find_by_event_id(&self, event_id: &str) -> Result<EventIdMatch> {
        self.engine.find(event_id)
    }

    /// A page of what is meant.
    ///
    /// # Errors
    /// The class and the reason; usage, when it cannot be sorted so.
    pub(crate) fn page(&self, query: &Query, page: &PageRequest) -> Result<Vec<Event>> {
        self.engine.page(query, page)
    }

    /// What was recorded after an event, in the order of recording.
    pub(crate) fn recorded_after(
        &self,
        query: &Query,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.engine.recorded_after(query, after, limit)
    }

    /// What is meant of the events around one, the oldest first: so many before and after it, and
    /// itself. Whether the caller may know of that one is for who asks to decide.
    pub(crate) fn around(&self, query: &Query, center: &Event, each: usize) -> Result<Vec<Event>> {
        self.engine.around(query, center, each)
    }

    /// Streams what is meant up to an event, the oldest first, in short reads and flat memory. Hold
    /// off sweeps meanwhile.
    ///
    /// # Errors
    /// The class and the reason; what `visit` returns.
    pub(crate) fn each(
        &self,
        query: &Query,
        up_to: EventId,
        visit: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        self.engine.each(query, up_to, visit)
    }

    /// Counts what is meant; no further than asked for.
    pub(crate) fn count(&self, query: &Query, at_most: u64) -> Result<u64> {
        self.engine.count(query, at_most)
    }

    /// Tells what is meant in short. `edges` are ascending points in time, between each two of which
    /// the events are counted.
    pub(crate) fn summary(&self, query: &Query, edges: &[Timestamp]) -> Result<EventSummary> {
        self.engine.summary(query, edges)
    }

    /// The actions that are meant, by name, the log's own too; `edges` as in a summary.
    pub(crate) fn action_usage(
        &self,
        query: &Query,
        edges: &[Timestamp],
    ) -> Result<Vec<ActionUsage>> {
        self.engine.action_usage(query, edges)
    }

    /// For each tenant and actor id the label of the newest event of that actor in that tenant that
    /// has one, as far as `scope` goes.
    pub(crate) fn actor_labels(
        &self,
        scope: &Query,
        actors: &[(Option<&str>, &str)],
    ) -> Result<Vec<Option<String>>> {
        self.engine.actor_labels(scope, actors)
    }

    /// The few actors or targets within `scope` whose id or label is most like a word.
    pub(crate) fn suggestions(
        &self,
        scope: &Query,
        side: SuggestionKind,
        word: &str,
    ) -> Result<Vec<Suggestion>> {
        self.engine.suggestions(scope, side, word)
    }

    /// What earlier sweeps have left.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn sweep_state(&self) -> Result<SweepState> {
        self.engine.sweep_state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_run_is_gone() {
        let swept = SweepState { event_count: 5, gaps: vec![(2, 3), (7, 7)], unfinished: false };
        let gone: Vec<i64> = (0..10).filter(|id| swept.is_swept(EventId(*id))).collect();
        assert_eq!(gone, [2, 3, 7]);
    }
}
