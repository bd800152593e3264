//! What one mirror or alert reads from the log, and how it is delivered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::config::mirror::DeliveryPace;
use crate::event::Event;
use crate::event::EventId;
use crate::event::own_events;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::Sink;
use crate::query::Clock;
use crate::query::Query;
use crate::store::Log;
use crate::store::mirror::BatchBounds;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

pub(super) const DEFAULT_ATTEMPTS: u32 = 3;
pub(super) const DEFAULT_WAIT: Duration = Duration::from_secs(2);
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes of text that one batch holds at most, unless one event alone has more.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// An alert begins with what was recorded so long before its first run.
const ALERT_LOOKBACK: Span = Span::from_seconds(3_600);

/// Where a mirror or alert begins that has not run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Oldest,
    Now,
    LastHour,
}

/// How the messages of an alert are spaced: one for all that waits, and none too soon after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessagePace {
    pub every: Option<Span>,
}

/// A mirror or alert, ready to run.
pub(crate) struct Feed {
    pub(super) name: String,
    pub(super) query: Query,
    /// The name that the config gives the log.
    pub(super) identifier: Option<Arc<str>>,
    /// The name of a log of events without a tenant.
    pub(super) default_identifier: Arc<str>,
    pub(super) start: Start,
    /// Present for an alert.
    pub(super) messages: Option<MessagePace>,
    pub(super) batch: usize,
    pub(super) attempts: u32,
    pub(super) first_wait: Duration,
    pub(super) timeout: Duration,
    pub(super) sink: Box<dyn Sink>,
}

/// The next events of a feed.
pub(super) struct NextBatch {
    pub events: Vec<OutgoingEvent>,
    /// The last event that was looked at.
    pub through: EventId,
}

impl Feed {
    /// Returns where it begins in a log where it has not run.
    pub(super) fn first_cursor(&self, log: &Log, now: Timestamp) -> Result<EventId> {
        match self.start {
            Start::Oldest => Ok(EventId(0)),
            Start::Now => Ok(log.head()?.0),
            Start::LastHour => log.newest_recorded_before(now.saturating_sub(ALERT_LOOKBACK)),
        }
    }

    /// Reads the next events behind `after`, up to `up_to`.
    pub(super) fn read(&self, log: &Log, after: EventId, up_to: EventId) -> Result<NextBatch> {
        self.read_matching(log, &self.query, after, up_to)
    }

    /// As [`Feed::read`], with another query.
    pub(super) fn read_matching(
        &self,
        log: &Log,
        query: &Query,
        after: EventId,
        up_to: EventId,
    ) -> Result<NextBatch> {
        let bounds = BatchBounds { after, up_to, events: self.batch, bytes: MAX_BATCH_BYTES };
        let events = log.events_within(&Scope::of(PlatformWork::Mirror), query, &bounds)?;
        let bytes: usize = events.iter().map(text_bytes).sum();
        // A full batch may have left some behind.
        let is_full = events.len() >= self.batch || bytes >= MAX_BATCH_BYTES;
        let last = events.last().map(|event| event.id);
        let through = last.filter(|_| is_full).unwrap_or(up_to);
        Ok(NextBatch { events: self.prepare(log, events)?, through })
    }

    /// Gives events what they need on their way.
    pub(super) fn prepare(&self, log: &Log, events: Vec<Event>) -> Result<Vec<OutgoingEvent>> {
        let seals = if self.sink.wants_seals() {
            let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
            log.seals(PlatformWork::Mirror, &ids)?.into_iter().map(Some).collect()
        } else {
            vec![None; events.len()]
        };
        let outgoing = events.into_iter().zip(seals);
        Ok(outgoing
            .map(|(event, seal)| OutgoingEvent { identifier: self.identify(&event), event, seal })
            .collect())
    }

    fn identify(&self, event: &Event) -> Arc<str> {
        let own = self.identifier.as_ref().or(event.tenant.as_ref());
        Arc::clone(own.unwrap_or(&self.default_identifier))
    }
}

/// The bytes of an event that the store counts too.
fn text_bytes(event: &Event) -> usize {
    let json = [&event.diff, &event.payload];
    let texts = [&event.method, &event.endpoint, &event.ip, &event.session_id, &event.description];
    let json = json.into_iter().flatten().map(|json| json.as_str().len());
    let texts = texts.into_iter().flatten().map(String::len);
    json.chain(texts).sum::<usize>() + size_of_val(&event.status_code)
}

/// Returns the tries of one run and the waits of a mirror, with defaults for what is not set.
pub(super) fn pace_or_default(pace: &DeliveryPace) -> (u32, Duration, Duration) {
    let duration = |span: Option<Span>, default| {
        span.map_or(default, |span| Duration::from_secs(span.as_seconds()))
    };
    (
        pace.attempts.unwrap_or(DEFAULT_ATTEMPTS),
        duration(pace.wait, DEFAULT_WAIT),
        duration(pace.timeout, DEFAULT_TIMEOUT),
    )
}

/// Parses the query of a mirror or alert. Events about mirrors are only for a query that names their
/// actions: a mirror that fails must not feed itself.
///
/// # Errors
/// [`Exit::Config`] with the key.
pub(super) fn parse_query(list: &str, name: &str, text: &str) -> Result<Query, Failure> {
    let parse = |text: &str| {
        // A query of the config has no times, so the clock does not matter.
        Query::parse(text, &Clock { now: Timestamp::from_nanos(0), zone: &Zone::utc() })
    };
    let query = parse(text).map_err(|why| {
        Failure::new(Exit::Config, format!("config: {list}.{}.query: {why}", text::escape(name)))
    })?;
    if query.names_actions_with_prefix(own_events::MIRROR_PREFIX) {
        return Ok(query);
    }
    let others = parse(&format!("-action:{}*", own_events::MIRROR_PREFIX));
    Ok(query.and(others.expect("the text is a query")))
}
