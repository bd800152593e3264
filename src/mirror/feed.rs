//! What one mirror or alert reads from the log, and how it is delivered.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::config::mirror::AlertConfig;
use crate::config::mirror::DeliveryPace;
use crate::config::mirror::MirrorConfig;
use crate::digest::mail_settings::MailSettings;
use crate::event::Event;
use crate::event::EventId;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::alert::AlertSink;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sinks;
use crate::query::Query;
use crate::retention;
use crate::store::Log;
use crate::store::mirror::BatchBounds;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;

const DEFAULT_ATTEMPTS: u32 = 3;
const DEFAULT_WAIT: Duration = Duration::from_secs(2);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes of text that one batch holds at most, unless one event alone has more.
const MAX_BATCH_BYTES: usize = 6 << 20;

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

/// What a mirror or alert reads from the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selection {
    pub(super) name: String,
    pub(super) query: Query,
    pub(super) start: Start,
}

/// A mirror or alert, ready to run.
pub(crate) struct Feed {
    pub(super) selection: Selection,
    pub(super) reader: BatchReader,
    /// Present for an alert.
    pub(super) messages: Option<MessagePace>,
    pub(super) attempts: u32,
    pub(super) first_wait: Duration,
    pub(super) timeout: Duration,
    /// When the sink last took note of the head.
    pub(super) reported_at: Option<Instant>,
    pub(super) sink: Box<dyn Sink>,
}

/// Reads events in batches, with what they need on their way.
pub(super) struct BatchReader {
    /// The name that the config gives the log.
    pub identifier: Option<Arc<str>>,
    /// The name of the log for events without a tenant.
    pub site: Arc<str>,
    /// The most events of a batch.
    pub batch: usize,
    /// Whether the sink wants them.
    pub has_seals: bool,
}

/// The next events of a feed.
pub(super) struct NextBatch {
    pub events: Vec<OutgoingEvent>,
    /// The event behind which it was read.
    pub after: EventId,
    /// The last event that was looked at.
    pub through: EventId,
}

impl Selection {
    /// # Errors
    /// [`Exit::Config`] with the key.
    pub(super) fn of_mirror(config: &MirrorConfig) -> Result<Self, Failure> {
        let start = if config.from_now { Start::Now } else { Start::Oldest };
        Self::new("mirror", &config.name, &config.query, start)
    }

    /// # Errors
    /// [`Exit::Config`] with the key.
    pub(super) fn of_alert(config: &AlertConfig) -> Result<Self, Failure> {
        Self::new("alert", &config.name, &config.query, Start::LastHour)
    }

    fn new(list: &str, name: &str, query: &str, start: Start) -> Result<Self, Failure> {
        let query = retention::mirror_query(query).map_err(|why| {
            let name = text::escape(name);
            Failure::new(Exit::Config, format!("config: {list}.{name}.query: {why}"))
        })?;
        Ok(Self { name: name.to_owned(), query, start })
    }

    /// Returns where it begins in a log where it has not run.
    pub(super) fn first_cursor(&self, log: &Log, now: Timestamp) -> Result<EventId> {
        match self.start {
            Start::Oldest => Ok(EventId(0)),
            Start::Now => Ok(log.head()?.0),
            Start::LastHour => log.newest_recorded_before(now.saturating_sub(ALERT_LOOKBACK)),
        }
    }
}

impl Feed {
    /// Makes the feed of a mirror.
    ///
    /// # Errors
    /// [`Exit::Config`] with the key.
    pub(crate) fn of_mirror(
        config: &MirrorConfig,
        site: &str,
        context: SinkContext<'_>,
    ) -> Result<Self> {
        let timeout = duration_or(config.pace.timeout, DEFAULT_TIMEOUT);
        let sink = sinks::open(&config.destination, SinkContext { timeout, ..context })
            .map_err(|error| with_name("mirror", &config.name, &error))?;
        let identifier = config.identifier.as_deref().map(Arc::from);
        let mut feed =
            Self::new(Selection::of_mirror(config)?, &config.pace, (site, timeout), sink);
        feed.reader.identifier = identifier;
        Ok(feed)
    }

    /// Makes the feed of an alert. `names` are those of the log and of what acts without an actor;
    /// `mail` makes the settings of mails to some addresses.
    ///
    /// # Errors
    /// [`Exit::Config`] with the key.
    pub(crate) fn of_alert(
        config: &AlertConfig,
        names: (&str, &str),
        context: SinkContext<'_>,
        mail: impl FnOnce(&[String]) -> Result<MailSettings>,
    ) -> Result<Self> {
        let timeout = duration_or(config.pace.timeout, DEFAULT_TIMEOUT);
        let context = SinkContext { timeout, ..context };
        let sink = AlertSink::new(config, names, &context, mail)
            .map_err(|error| with_name("alert", &config.name, &error))?;
        let selection = Selection::of_alert(config)?;
        let mut feed = Self::new(selection, &config.pace, (names.0, timeout), Box::new(sink));
        feed.messages = Some(MessagePace { every: config.every });
        Ok(feed)
    }

    fn new(
        selection: Selection,
        pace: &DeliveryPace,
        (site, timeout): (&str, Duration),
        sink: Box<dyn Sink>,
    ) -> Self {
        let reader = BatchReader {
            identifier: None,
            site: Arc::from(site),
            batch: pace.batch.unwrap_or_else(|| sink.default_batch()),
            has_seals: sink.wants_seals(),
        };
        Self {
            selection,
            reader,
            messages: None,
            attempts: pace.attempts.unwrap_or(DEFAULT_ATTEMPTS),
            first_wait: duration_or(pace.wait, DEFAULT_WAIT),
            timeout,
            reported_at: None,
            sink,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.selection.name
    }

    /// Reads the next events behind `after`, up to `up_to`.
    pub(super) fn read(&self, log: &Log, after: EventId, up_to: EventId) -> Result<NextBatch> {
        self.reader.read(log, &self.selection.query, after, up_to)
    }
}

impl BatchReader {
    /// Reads the next events behind `after` that a query matches, up to `up_to`.
    pub(super) fn read(
        &self,
        log: &Log,
        query: &Query,
        after: EventId,
        up_to: EventId,
    ) -> Result<NextBatch> {
        let bounds = BatchBounds { after, up_to, events: self.batch, bytes: MAX_BATCH_BYTES };
        let events = log.events_within(&Scope::of(PlatformWork::Mirror), query, &bounds)?;
        // Some may have been left behind, so the end is only reached where none is found.
        let through = events.last().map_or(up_to, |event| event.id);
        Ok(NextBatch { events: self.prepare(log, events)?, after, through })
    }

    /// Gives events what they need on their way.
    pub(super) fn prepare(&self, log: &Log, events: Vec<Event>) -> Result<Vec<OutgoingEvent>> {
        let seals = if self.has_seals {
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

    pub(super) fn identify(&self, event: &Event) -> Arc<str> {
        let own = self.identifier.as_ref().or(event.tenant.as_ref());
        Arc::clone(own.unwrap_or(&self.site))
    }
}

fn duration_or(span: Option<Span>, default: Duration) -> Duration {
    span.map_or(default, |span| Duration::from_secs(span.as_seconds()))
}

/// Puts the place in the config in front of an error.
fn with_name(list: &str, name: &str, error: &anyhow::Error) -> anyhow::Error {
    let exit = error.downcast_ref::<Failure>().map_or(Exit::Config, |failure| failure.exit);
    let (name, why) = (text::escape(name), failure::describe(error));
    Failure::new(exit, format!("config: {list}.{name}: {why}")).into()
}
