//! How each mirror and alert fares.

use anyhow::Result;
use serde_json::Map;
use serde_json::Value;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::config::Config;
use crate::event::EventId;
use crate::mirror::alert::silence;
use crate::mirror::alert::silence::SilenceReason;
use crate::mirror::feed::Selection;
use crate::mirror::runner;
use crate::store::Log;
use crate::store::mirror::BatchBounds;
use crate::store::mirror::MirrorState;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Whether events are copied or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedKind {
    Mirror,
    Alert,
}

impl FeedKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Alert => "alert",
        }
    }
}

/// How a mirror or alert fares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MirrorStatus {
    pub name: String,
    pub kind: FeedKind,
    pub enabled: bool,
    pub delivered: u64,
    /// The events that wait, counted up to a million.
    pub waiting: u64,
    /// For how long the first of them has waited.
    pub lag: Option<Span>,
    pub dead: u64,
    /// Why the last try failed, with the status of the service.
    pub error: Option<String>,
    pub delivered_at: Option<Timestamp>,
    /// Why an alert has nothing to tell, where it looks like a mistake.
    pub silence: Option<SilenceReason>,
}

impl MirrorStatus {
    /// Whether it lags more than `max`. A disabled one does not.
    pub(crate) fn lags_more_than(&self, max: Span) -> bool {
        self.enabled && self.lag.is_some_and(|lag| lag > max)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut row = Map::new();
        let mut put = |key: &str, value: Value| row.insert(key.to_owned(), value);
        put("name", self.name.as_str().into());
        put("kind", self.kind.name().into());
        put("enabled", self.enabled.into());
        put("delivered", self.delivered.into());
        put("waiting", self.waiting.into());
        put("lag_seconds", self.lag.map_or(0, Span::as_seconds).into());
        put("dead", self.dead.into());
        if let Some(at) = self.delivered_at {
            put("delivered_at", at.to_string().into());
        }
        if let Some(error) = &self.error {
            put("last_error", error.as_str().into());
        }
        if let Some(silence) = &self.silence {
            put("silent", silence.describe(&Zone::utc()).into());
        }
        Value::Object(row)
    }
}

/// Reads how the mirrors and alerts of the config fare, in its order.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn read(log: &Log, config: &Config, now: Timestamp) -> Result<Vec<MirrorStatus>> {
    let mirrors = config
        .mirrors
        .iter()
        .map(|mirror| (FeedKind::Mirror, mirror.pace.enabled, Selection::of_mirror(mirror)));
    let alerts = config
        .alerts
        .iter()
        .map(|alert| (FeedKind::Alert, alert.pace.enabled, Selection::of_alert(alert)));
    let statuses = mirrors
        .chain(alerts)
        .map(|(kind, enabled, selection)| read_one(log, kind, enabled, &selection?, now));
    let mut statuses = statuses.collect::<Result<Vec<_>>>()?;
    for silent in silence::find(log, &config.alerts, now)? {
        let is_it = |status: &&mut MirrorStatus| status.name == silent.name;
        if let Some(status) = statuses.iter_mut().find(is_it) {
            status.silence = Some(silent.reason);
        }
    }
    Ok(statuses)
}

fn read_one(
    log: &Log,
    kind: FeedKind,
    enabled: bool,
    selection: &Selection,
    now: Timestamp,
) -> Result<MirrorStatus> {
    let state = match log.mirror_state(&selection.name)? {
        Some(state) => state,
        None => MirrorState::new(&selection.name, selection.first_cursor(log, now)?),
    };
    let bounds = BatchBounds { after: state.cursor, up_to: EventId(i64::MAX), events: 1, bytes: 1 };
    let oldest =
        log.events_within(&Scope::of(PlatformWork::Mirror), &selection.query, &bounds)?.pop();
    let waiting = match oldest {
        Some(_) => runner::count_waiting(log, &selection.query, state.cursor)?,
        None => 0,
    };
    let lag = oldest.map(|event| {
        // A time that is to come was noted by a clock that was wrong.
        let mut times = [Some(event.recorded_at), state.failing_since].into_iter().flatten();
        let since = times.find(|since| *since <= now).unwrap_or(now);
        let nanos = now.as_nanos().saturating_sub(since.as_nanos());
        Span::from_seconds((nanos / NANOS_PER_SECOND).cast_unsigned())
    });
    Ok(MirrorStatus {
        kind,
        enabled,
        delivered: state.delivered,
        waiting,
        lag,
        dead: log.dead_letter_count(&state.name)?,
        error: state.error.map(|error| runner::describe_error(&error, state.status)),
        delivered_at: state.delivered_at,
        silence: None,
        name: state.name,
    })
}
