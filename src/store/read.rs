//! Reading a log: single events, listings, streams, counts, summaries, and what sweeps have left.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::config::StoreAddress;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::Hash;
use crate::event::Party;
use crate::event::Target;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::store::Engine;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::central;
use crate::store::central::ServerAccess;
use crate::store::central::read::CentralHeads;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;

/// The order of a listing. Events of the same time are in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
    /// By the name of a field, or by `actor` or `target`. Events without a value come last; events
    /// with equal values are in the order of time.
    ByField {
        field: &'static str,
        ascending: bool,
    },
}

/// Returns the names that an [`Order`] accepts.
#[cfg(test)]
pub(crate) fn sortable_fields() -> impl Iterator<Item = &'static str> {
    crate::store::sqlite::sortable()
}

/// The place of an event in the order by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor<'a> {
    pub occurred_at: Timestamp,
    pub id: EventId,
    /// The name of the log, where those of many hosts are read.
    pub log: Option<&'a str>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn from_event(event: &'a Event) -> Self {
        Self { occurred_at: event.occurred_at, id: event.id, log: event.log.as_deref() }
    }

    /// Reads `OCCURRED_AT,ID` or `OCCURRED_AT,LOG/ID`.
    ///
    /// # Errors
    /// A message of one line that quotes the text.
    pub(crate) fn parse(text: &'a str) -> std::result::Result<Self, String> {
        let parts = text.split_once(',').and_then(|(at, place)| {
            let (log, id) = match place.rsplit_once('/') {
                Some((log, id)) => (Some(log), id),
                None => (None, place),
            };
            let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
            let id = id.parse().ok().filter(|_| digits).map(EventId)?;
            Some(Self { occurred_at: Timestamp::parse_rfc3339(at).ok()?, id, log })
        });
        parts.ok_or_else(|| {
            let text = text::escape(text);
            format!("\"{text}\" is not OCCURRED_AT,ID of a row, like 2026-11-20T04:00:00Z,17")
        })
    }
}

impl fmt::Display for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},", self.occurred_at)?;
        if let Some(log) = self.log {
            write!(f, "{log}/")?;
        }
        self.id.fmt(f)
    }
}

/// The part of a listing that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest<'a> {
    pub order: Order,
    /// The event before the page; only in an order by time.
    pub after: Option<Cursor<'a>>,
    /// The number of events to leave out before the page. Each costs as much as reading it.
    pub skip: u64,
    pub limit: usize,
    /// The newest event that may be on the page.
    pub up_to: Option<EventId>,
}

/// A value that events have in common, and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occurrences<T> {
    pub value: Arc<T>,
    /// The tenant of the events; the same value in another tenant stands for itself.
    pub tenant: Option<Arc<str>>,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// The summary above a search. Each list begins with the value of most events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventSummary {
    pub events: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Actions of the same name in two modules are two.
    pub actions: Vec<Occurrences<Action>>,
    /// The same id with another label is another actor.
    pub actors: Vec<Occurrences<Party>>,
    pub impersonators: Vec<Occurrences<Party>>,
    pub targets: Vec<Occurrences<Target>>,
    /// Events without an actor whose source is `system` or `cron`.
    pub system: u64,
    /// Other events without an actor.
    pub anonymous: u64,
    /// The number of events between each two of the edges that were asked for.
    pub histogram: Vec<u64>,
}

/// An action that the log has events of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionUsage {
    pub action: String,
    /// `None` where events of this action differ in it.
    pub module: Option<String>,
    pub count: u64,
    pub last: Timestamp,
    /// The number of events between each two of the edges that were asked for.
    pub histogram: Vec<u64>,
}

/// The fields in which suggestions are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuggestionKind {
    Actors,
    Targets,
    /// By slug, which stands as the id.
    Actions,
}

/// An actor or target that a person may have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suggestion {
    pub id: Option<String>,
    pub label: Option<String>,
    pub events: u64,
}

/// The events that the beginning of an `event_id` may stand for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EventIdMatch {
    One(Box<Event>),
    /// The first few of them.
    Several(Vec<EventPlace>),
    None,
}

/// The events that a log has, and the gaps that sweeps have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweptRanges {
    /// The number of events.
    pub event_count: u64,
    /// The first and last id of each run of ids that was swept, ascending.
    pub gaps: Vec<(i64, i64)>,
    /// Whether a sweep ended before it had removed all that it vouches for.
    pub unfinished: bool,
}

/// When the newest events were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecentClock {
    /// The time of the newest event.
    pub newest: Timestamp,
    /// The two times of the last long jump forward, if not enough was recorded since.
    pub jump: Option<(Timestamp, Timestamp)>,
}

impl Log {
    /// Opens the log in a file of this host.
    ///
    /// # Errors
    /// The class and the reason: no log, not permitted, damaged, of a newer version, …
    pub(crate) fn open_to_read(path: &Path) -> Result<Self> {
        Ok(LocalLog::open_to_read(path)?.log)
    }

    /// Opens a central store, which has the logs of many hosts. There is no connection before its tables
    /// were found.
    ///
    /// # Errors
    /// [`Exit::TryAgain`](crate::failure::Exit::TryAgain) where it is out of reach,
    /// [`Exit::NoPermission`](crate::failure::Exit::NoPermission), [`Exit::NoInput`](crate::failure::Exit::NoInput)
    /// without its tables, [`Exit::Config`](crate::failure::Exit::Config) for a wrong address and for a newer
    /// version.
    pub(crate) fn open_store(address: &StoreAddress, access: ServerAccess<'_>) -> Result<Self> {
        Ok(Self { engine: Engine::Central(central::read::open(address, access)?) })
    }

    /// Whether it has the logs of many hosts.
    pub(crate) fn is_central(&self) -> bool {
        matches!(self.engine, Engine::Central(_))
    }

    /// Whether another file has the log's name now, or none has.
    pub(crate) fn is_replaced(&self) -> bool {
        match &self.engine {
            Engine::Local(engine) => engine.is_replaced(),
            Engine::Central(_) => false,
        }
    }

    /// Whether a new reader could see what this one does not: the log was replaced, or its file was
    /// written to. A checkpoint does that too.
    pub(crate) fn is_stale(&self) -> bool {
        match &self.engine {
            Engine::Local(engine) => engine.is_stale(),
            Engine::Central(_) => false,
        }
    }

    /// Returns the newest id, and its hash. The id is 0 in an empty log.
    pub(crate) fn head(&self) -> Result<(EventId, Hash)> {
        self.local()?.head()
    }

    /// Returns an event, if there is one within the scope.
    pub(crate) fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>> {
        Ok(self.local()?.event(id)?.filter(|event| scope.admits(event)))
    }

    /// Finds an event within the scope by its place.
    pub(crate) fn find_place(&self, scope: &Scope, place: &EventPlace) -> Result<EventIdMatch> {
        match &self.engine {
            Engine::Local(_) if place.log.is_some() => Ok(EventIdMatch::None),
            Engine::Local(_) => {
                let event = self.event(scope, place.id)?;
                Ok(event.map_or(EventIdMatch::None, |event| EventIdMatch::One(Box::new(event))))
            }
            Engine::Central(engine) => engine.find_place(&scope.narrow(&Query::default()), place),
        }
    }

    /// Finds an event within the scope by its `event_id`, or by the beginning of one, in every tenant.
    pub(crate) fn find_by_event_id(&self, scope: &Scope, event_id: &str) -> Result<EventIdMatch> {
        match &self.engine {
            Engine::Local(engine) => engine.find(&scope.narrow(&Query::default()), event_id),
            Engine::Central(engine) => engine.find(&scope.narrow(&Query::default()), event_id),
        }
    }

    /// Returns a page of the events within the scope that a query matches.
    ///
    /// # Errors
    /// The class and the reason; usage, if the log cannot be sorted in that order.
    pub(crate) fn page(
        &self,
        scope: &Scope,
        query: &Query,
        page: &PageRequest<'_>,
    ) -> Result<Vec<Event>> {
        match &self.engine {
            Engine::Local(engine) => engine.page(&scope.narrow(query), page),
            Engine::Central(engine) => engine.page(&scope.narrow(query), page),
        }
    }

    /// Returns events that match and were recorded after another one, in the order of recording.
    pub(crate) fn recorded_after(
        &self,
        scope: &Scope,
        query: &Query,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.local()?.recorded_after(&scope.narrow(query), after, limit)
    }

    /// Returns the newest event of each log that is read.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn heads(&self) -> Result<Vec<EventPlace>> {
        match &self.engine {
            Engine::Local(engine) => Ok(vec![EventPlace { id: engine.head()?.0, log: None }]),
            Engine::Central(engine) => engine.named_heads(),
        }
    }

    /// Returns how far the logs of a central store go that have arrived there; `None` for a log of this
    /// host.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn arrived_heads(&self) -> Result<Option<CentralHeads>> {
        match &self.engine {
            Engine::Local(_) => Ok(None),
            Engine::Central(engine) => engine.heads().map(Some),
        }
    }

    /// Returns the events that match among those that have arrived in a central store behind these heads,
    /// in the order of recording, and moves the heads; `None` where nothing has arrived.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn arrived_since(
        &self,
        scope: &Scope,
        query: &Query,
        heads: &mut CentralHeads,
        limit: usize,
    ) -> Result<Option<Vec<Event>>> {
        match &self.engine {
            Engine::Local(_) => Ok(None),
            Engine::Central(engine) => engine.arrived_since(&scope.narrow(query), heads, limit),
        }
    }

    /// Returns the events that match around another one, the oldest first: up to `each` before it
    /// and after it, and that one itself if it matches.
    pub(crate) fn around(
        &self,
        scope: &Scope,
        query: &Query,
        center: &Event,
        each: usize,
    ) -> Result<Vec<Event>> {
        match &self.engine {
            Engine::Local(engine) => engine.around(&scope.narrow(query), center, each),
            Engine::Central(engine) => engine.around(&scope.narrow(query), center, each),
        }
    }

    /// Visits all events that match, up to an id, the oldest first. It reads in short steps and
    /// needs little memory however many there are. A sweep in the meantime could remove some of
    /// them: hold sweeps off.
    ///
    /// # Errors
    /// The class and the reason; the errors of `visit`.
    pub(crate) fn each(
        &self,
        scope: &Scope,
        query: &Query,
        up_to: EventId,
        visit: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        self.each_within(scope, query, TimeBounds::default(), up_to, visit)
    }

    /// Visits all events of a span of time that match, otherwise as [`Log::each`].
    ///
    /// # Errors
    /// As [`Log::each`].
    pub(crate) fn each_within(
        &self,
        scope: &Scope,
        query: &Query,
        span: TimeBounds,
        up_to: EventId,
        visit: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let query = scope.narrow(query);
        match &self.engine {
            Engine::Local(engine) => engine.each(&query, span, false, up_to, visit),
            Engine::Central(engine) => engine.each(&query, span, false, visit),
        }
    }

    /// Cuts all of time into spans, one behind the other, that have about so many events each. A central
    /// store is one span.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn time_spans(&self, events: u32) -> Result<Vec<TimeBounds>> {
        match &self.engine {
            Engine::Local(engine) => engine.time_spans(events),
            Engine::Central(_) => Ok(vec![TimeBounds::default()]),
        }
    }

    /// Visits all events that match, up to an id, the newest first. It needs as little memory as
    /// [`Self::each`].
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn each_matching_newest_first(
        &self,
        scope: &Scope,
        query: &Query,
        up_to: EventId,
        visit: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let (query, span) = (scope.narrow(query), TimeBounds::default());
        let mut visit = |event| {
            visit(event);
            Ok(())
        };
        match &self.engine {
            Engine::Local(engine) => engine.each(&query, span, true, up_to, &mut visit),
            Engine::Central(engine) => engine.each(&query, span, true, &mut visit),
        }
    }

    /// Counts the events that match, up to `at_most`.
    pub(crate) fn count(&self, scope: &Scope, query: &Query, at_most: u64) -> Result<u64> {
        match &self.engine {
            Engine::Local(engine) => engine.count(&scope.narrow(query), at_most),
            Engine::Central(engine) => engine.count(&scope.narrow(query), at_most),
        }
    }

    /// Summarises the events that match. `edges` are ascending times, and the events between each
    /// two of them are counted.
    pub(crate) fn summary(
        &self,
        scope: &Scope,
        query: &Query,
        edges: &[Timestamp],
    ) -> Result<EventSummary> {
        match &self.engine {
            Engine::Local(engine) => engine.summary(&scope.narrow(query), edges),
            Engine::Central(engine) => engine.summary(&scope.narrow(query), edges),
        }
    }

    /// Returns the actions of the events that match, by name, with those that are reserved for the
    /// log. `edges` are as in [`Log::summary`].
    pub(crate) fn action_usage(
        &self,
        scope: &Scope,
        query: &Query,
        edges: &[Timestamp],
    ) -> Result<Vec<ActionUsage>> {
        match &self.engine {
            Engine::Local(engine) => engine.action_usage(&scope.narrow(query), edges),
            Engine::Central(engine) => engine.action_usage(&scope.narrow(query), edges),
        }
    }

    /// Returns a label for each tenant and actor id: that of the newest event within the scope that
    /// has one.
    pub(crate) fn actor_labels(
        &self,
        scope: &Scope,
        actors: &[(Option<&str>, &str)],
    ) -> Result<Vec<Option<String>>> {
        match &self.engine {
            Engine::Local(engine) => engine.actor_labels(&scope.narrow(&Query::default()), actors),
            Engine::Central(engine) => {
                engine.actor_labels(&scope.narrow(&Query::default()), actors)
            }
        }
    }

    /// Returns the label of the newest event within the scope that has one for this target: its type and
    /// id, in a tenant.
    pub(crate) fn target_label(
        &self,
        scope: &Scope,
        tenant: Option<&str>,
        target: (Option<&str>, &str),
    ) -> Result<Option<String>> {
        match &self.engine {
            Engine::Local(engine) => {
                engine.target_label(&scope.narrow(&Query::default()), tenant, target)
            }
            Engine::Central(engine) => {
                engine.target_label(&scope.narrow(&Query::default()), tenant, target)
            }
        }
    }

    /// Returns the few actors or targets within the scope whose id or label is most like a word.
    pub(crate) fn suggestions(
        &self,
        scope: &Scope,
        side: SuggestionKind,
        word: &str,
    ) -> Result<Vec<Suggestion>> {
        match &self.engine {
            Engine::Local(engine) => {
                engine.suggestions(&scope.narrow(&Query::default()), side, word)
            }
            // To look at every name of many hosts takes longer than a hint is worth.
            Engine::Central(_) => Ok(Vec::new()),
        }
    }

    /// Returns when the newest event was recorded, and whether the times of recording jump by more than
    /// `longest_pause` within the last `probation` of the log; `None` where it has no events.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn recent_clock(
        &self,
        _: PlatformWork,
        longest_pause: Span,
        probation: Span,
    ) -> Result<Option<RecentClock>> {
        self.local()?.recent_clock(longest_pause, probation)
    }

    /// Returns what sweeps have left.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn sweep_state(&self) -> Result<SweptRanges> {
        self.local()?.sweep_state()
    }
}
