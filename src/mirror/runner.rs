//! Delivers for one mirror: reads what is new, hands it to the sink, and keeps what became of it.
//!
//! ## Durability
//!
//! The cursor moves after the destination has confirmed a batch. A run that is killed before delivers
//! that batch again.
//!
//! ## Locking
//!
//! One run at a time delivers for a mirror.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::own_events;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::mirror::dead_letters;
use crate::mirror::dead_letters::NewDeadLetter;
use crate::mirror::delivery;
use crate::mirror::delivery::BatchOutcome;
use crate::mirror::feed::Feed;
use crate::mirror::feed::NextBatch;
use crate::mirror::run::RunContext;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::SinkFailure;
use crate::query::Query;
use crate::retry;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::Stamp;
use crate::store::central::LogHeartbeat;
use crate::store::mirror::MirrorState;
use crate::time::Span;
use crate::time::Timestamp;

/// A mirror that has failed for so long is told in the log.
const FAILING_AFTER: Span = Span::from_seconds(3_600);

/// A mirror that has failed for so long delivers what waits at a rate, so that the destination is
/// not down again at once.
const OUTAGE: Span = Span::from_seconds(60);

/// The rate after an outage.
const EVENTS_PER_SECOND_AFTER_OUTAGE: u32 = 1_000;

/// The time between two reports of the head to a sink.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How far events that wait are counted.
pub(super) const MAX_COUNTED: u64 = 1_000_000;

/// The longest time without a look at a signal.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// How persistent one run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// All tries of the config, after the wait that an earlier run left.
    Full,
    /// One try, and none where an earlier run left a wait.
    OneTry,
}

/// What one run did for a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirrorRun {
    pub name: String,
    pub delivered: u64,
    /// The events that the destination refused for good.
    pub dead: u64,
    pub end: MirrorRunEnd,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MirrorRunEnd {
    /// All that was there when it began is delivered.
    CaughtUp,
    /// An alert has said something a moment ago, and says the rest later.
    Spaced,
    /// Another run delivers for it.
    Busy,
    /// Something waits: why, and for how many events.
    Waiting { error: String, waiting: u64 },
    /// A signal came.
    Interrupted,
}

/// A run for one mirror.
pub(super) struct Runner<'a> {
    log: &'a mut LocalLog,
    feed: &'a mut Feed,
    context: &'a RunContext,
    state: MirrorState,
    delivered: u64,
    dead: u64,
    /// The batch behind the one that was delivered last, where it has been read already.
    ahead: Option<NextBatch>,
    /// Whether the destination was away for a while before this run reached it.
    after_outage: bool,
}

/// Delivers what is new to the destination of a feed.
///
/// # Errors
/// Those of the log. A destination that fails is no error.
pub(super) fn run(
    log: &mut LocalLog,
    feed: &mut Feed,
    context: &RunContext,
    persistence: Persistence,
) -> Result<MirrorRun> {
    let name = feed.selection.name.clone();
    let Some(_lock) = log.try_lock_mirror(&name)? else {
        return Ok(MirrorRun { name, delivered: 0, dead: 0, end: MirrorRunEnd::Busy });
    };
    let state = match log.mirror_state(&name)? {
        Some(state) => state,
        None => begin(log, feed, (context.clock)())?,
    };
    let (delivered, dead, ahead, after_outage) = (0, 0, None, false);
    let mut runner = Runner { log, feed, context, state, delivered, dead, ahead, after_outage };
    let end = runner.run(persistence)?;
    Ok(MirrorRun { name, delivered: runner.delivered, dead: runner.dead, end })
}

/// Notes where a mirror begins, so that `start = "now"` means the first run.
fn begin(log: &mut LocalLog, feed: &Feed, now: Timestamp) -> Result<MirrorState> {
    let state = MirrorState::new(feed.name(), feed.selection.first_cursor(log, now)?);
    let mut batch = log.begin()?;
    batch.save_mirror(&state)?;
    batch.commit()?;
    Ok(state)
}

impl Runner<'_> {
    fn run(&mut self, persistence: Persistence) -> Result<MirrorRunEnd> {
        let until = self.log.head()?.0;
        if let Some(end) = self.hold_back(until, persistence)? {
            return Ok(end);
        }
        let mut tries = 0;
        loop {
            let failure = match self.report_head()? {
                Some(failure) => Some(failure),
                None => match self.deliver_next(until)? {
                    Step::Done => {
                        self.report_end()?;
                        return Ok(MirrorRunEnd::CaughtUp);
                    }
                    Step::Delivered(pause) => {
                        tries = 0;
                        if !self.sleep(pause) {
                            return Ok(MirrorRunEnd::Interrupted);
                        }
                        None
                    }
                    Step::Failed(failure) => Some(failure),
                },
            };
            let Some(failure) = failure else { continue };
            tries += 1;
            let wait = self.note_failure(&failure)?;
            if tries >= self.feed.attempts || persistence == Persistence::OneTry {
                return self.waiting(until);
            }
            if !self.sleep(wait) {
                return Ok(MirrorRunEnd::Interrupted);
            }
        }
    }

    /// Whether the run must not deliver now. It sits out the wait that an earlier run left, but only
    /// where something waits.
    fn hold_back(
        &mut self,
        until: EventId,
        persistence: Persistence,
    ) -> Result<Option<MirrorRunEnd>> {
        let now = (self.context.clock)();
        if let Some(every) = self.feed.messages.and_then(|messages| messages.every)
            && let Some(last) = self.state.delivered_at
            // A time that is to come was noted by a clock that was wrong.
            && (last..last.saturating_add(every)).contains(&now)
        {
            let batch = self.feed.read(self.log, self.state.cursor, until)?;
            let end =
                if batch.events.is_empty() { MirrorRunEnd::CaughtUp } else { MirrorRunEnd::Spaced };
            return Ok(Some(end));
        }
        let wait = self.state.next_try.map_or(Duration::ZERO, |next| duration_between(now, next));
        if wait.is_zero() || wait > retry::MAX_WAIT {
            return Ok(None);
        }
        if self.feed.read(self.log, self.state.cursor, until)?.events.is_empty() {
            return Ok(None);
        }
        match persistence {
            Persistence::OneTry => self.waiting(until).map(Some),
            Persistence::Full if self.sleep(wait) => Ok(None),
            Persistence::Full => Ok(Some(MirrorRunEnd::Interrupted)),
        }
    }

    /// Tells the sink the head of the log, at the beginning of a run and then once a minute.
    fn report_head(&mut self) -> Result<Option<SinkFailure>> {
        if self.feed.reported_at.is_some_and(|at| at.elapsed() < REPORT_INTERVAL) {
            return Ok(None);
        }
        let taken = report_log(self.feed, self.log, self.context, self.state.cursor)?;
        if taken.is_ok() {
            self.feed.reported_at = Some(Instant::now());
        }
        Ok(taken.err())
    }

    /// Tells a sink that keeps track of it how far it has come, at the end of a run. Where that fails the
    /// next run does it.
    fn report_end(&mut self) -> Result<()> {
        if self.delivered > 0 && self.feed.sink.known_sweep().is_some() {
            self.feed.reported_at = None;
            self.report_head()?;
        }
        Ok(())
    }

    /// Delivers the next batch up to an event.
    fn deliver_next(&mut self, until: EventId) -> Result<Step> {
        let ahead = self.ahead.take().filter(|batch| batch.after == self.state.cursor);
        let NextBatch { events, through, .. } = match ahead {
            Some(batch) => batch,
            None => self.next_batch(until)?,
        };
        if events.is_empty() {
            if through > self.state.cursor {
                self.state.cursor = through;
                self.save(&[], &[])?;
            }
            return Ok(Step::Done);
        }
        if self.feed.sink.wants_stable_batches() && self.state.cut != Some(through) {
            self.state.cut = Some(through);
            self.save(&[], &[])?;
        }
        let began = Instant::now();
        let outcome = self.deliver(&events, through, until)?;
        let took = began.elapsed();
        let failure = outcome.failure.clone();
        self.record(&events, through, &outcome)?;
        Ok(match failure {
            Some(failure) => Step::Failed(failure),
            // An alert sends one message in a run.
            None if self.feed.messages.is_some() || through >= until => Step::Done,
            None => Step::Delivered(self.pause_after(events.len(), took)),
        })
    }

    /// Delivers a batch. Behind one that is full of short events it reads the next one meanwhile.
    fn deliver(
        &mut self,
        events: &[OutgoingEvent],
        through: EventId,
        until: EventId,
    ) -> Result<BatchOutcome> {
        let Feed { sink, reader, selection, messages, .. } = &mut *self.feed;
        let is_cut_by_number = events.len() == reader.batch && through < until;
        if !is_cut_by_number || messages.is_some() || sink.wants_stable_batches() {
            return Ok(delivery::deliver_batch(sink.as_mut(), events));
        }
        let log: &Log = &*self.log;
        let (outcome, ahead) = thread::scope(|scope| {
            let deliver = || delivery::deliver_batch(sink.as_mut(), events);
            let delivery = thread::Builder::new().spawn_scoped(scope, deliver);
            let ahead = reader.read(log, &selection.query, through, until);
            let outcome =
                delivery.map(|delivery| delivery.join().expect("a panic ends the program"));
            (outcome, ahead)
        });
        // What could not be read is read again behind this batch, and its error told then.
        self.ahead = ahead.ok();
        outcome.context(Failure::new(Exit::Io, "cannot start a thread"))
    }

    /// Reads the next batch. One that was cut before, and must be cut alike, ends where it did.
    fn next_batch(&self, until: EventId) -> Result<NextBatch> {
        let cut = self.state.cut.filter(|cut| *cut > self.state.cursor && *cut <= until);
        let end = cut.filter(|_| self.feed.sink.wants_stable_batches()).unwrap_or(until);
        self.feed.read(self.log, self.state.cursor, end)
    }

    /// The pause before the next batch.
    fn pause_after(&self, events: usize, took: Duration) -> Duration {
        if !self.after_outage {
            return Duration::ZERO;
        }
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let planned = Duration::from_secs(1) * events / EVENTS_PER_SECOND_AFTER_OUTAGE;
        let noise = u32::try_from(RandomState::new().hash_one(events) % 64).unwrap_or_default();
        (planned + planned / 4 * noise / 64).saturating_sub(took)
    }

    /// Keeps what became of a batch.
    fn record(
        &mut self,
        batch: &[OutgoingEvent],
        through: EventId,
        outcome: &BatchOutcome,
    ) -> Result<()> {
        if outcome.confirmed == 0 {
            return Ok(());
        }
        let now = (self.context.clock)();
        let dead = dead_letters::of(batch, &outcome.refused, now);
        let is_whole = outcome.confirmed >= batch.len();
        let last = batch.get(outcome.confirmed - 1).map(|event| event.event.id);
        self.state.cursor = last.filter(|_| !is_whole).unwrap_or(through);
        let delivered = u64::try_from(outcome.confirmed - dead.len()).unwrap_or_default();
        self.state.delivered += delivered;
        self.delivered += delivered;
        self.dead += u64::try_from(dead.len()).unwrap_or_default();
        let mut events: Vec<NewEvent> =
            dead.iter().map(|dead| dead.to_event(&self.state.name)).collect();
        events.extend(self.note_success(now));
        self.save(&events, &dead)
    }

    /// Ends a failing, and returns the event that tells so where one told of its beginning.
    fn note_success(&mut self, now: Timestamp) -> Option<NewEvent> {
        let state = &mut self.state;
        state.delivered_at = Some(now);
        if let Some(since) = state.failing_since.take() {
            self.after_outage |= since.saturating_add(OUTAGE) <= now;
        }
        (state.failures, state.next_try, state.error, state.status) = (0, None, None, None);
        std::mem::take(&mut state.is_failing_recorded).then(|| {
            own_events::system_event(
                "mirror.recovered",
                &serde_json::json!({ "mirror": self.state.name }),
            )
        })
    }

    /// Keeps a failure, and returns the wait until the next try.
    fn note_failure(&mut self, failure: &SinkFailure) -> Result<Duration> {
        let now = (self.context.clock)();
        self.state.failures = self.state.failures.saturating_add(1);
        let failures = self.state.failures;
        let noise = RandomState::new().hash_one((failures, now.as_nanos()));
        let grown = retry::backoff(self.feed.first_wait, failures, noise);
        let wait = failure.retry_after.map_or(grown, |asked| asked.max(grown)).min(retry::MAX_WAIT);
        // A time that is to come was noted by a clock that was wrong.
        let since = self.state.failing_since.filter(|since| *since <= now).unwrap_or(now);
        self.state.failing_since = Some(since);
        self.state.next_try = Some(add(now, wait));
        self.state.error = Some(failure.reason.clone());
        self.state.status = failure.status;
        let mut events = Vec::new();
        if since.saturating_add(FAILING_AFTER) <= now && !self.state.is_failing_recorded {
            self.state.is_failing_recorded = true;
            events.push(own_events::system_event(
                "mirror.failing",
                &serde_json::json!({
                    "mirror": self.state.name,
                    "error": describe_error(&failure.reason, failure.status),
                    "waiting": count_waiting(self.log, &self.feed.selection.query, self.state.cursor)?,
                }),
            ));
        }
        self.save(&events, &[])?;
        Ok(wait)
    }

    fn save(&mut self, events: &[NewEvent], dead: &[NewDeadLetter<'_>]) -> Result<()> {
        let stamp = Stamp { clock: &self.context.clock, recorded_by: &self.context.recorded_by };
        let mut batch = self.log.begin()?;
        batch.save_mirror(&self.state)?;
        for dead in dead {
            batch.add_dead_letter(&self.state.name, &dead.letter)?;
        }
        for event in events {
            batch.append(event, &stamp)?;
        }
        batch.commit()
    }

    fn waiting(&self, until: EventId) -> Result<MirrorRunEnd> {
        let next = self.feed.read(self.log, self.state.cursor, until)?;
        let error = self.state.error.clone().unwrap_or_default();
        if next.events.is_empty() {
            // Only the heartbeat failed. The next run brings it.
            return Ok(MirrorRunEnd::Waiting { error, waiting: 0 });
        }
        let waiting = count_waiting(self.log, &self.feed.selection.query, self.state.cursor)?;
        Ok(MirrorRunEnd::Waiting { error, waiting })
    }

    /// Sleeps; returns whether no signal came.
    fn sleep(&self, wait: Duration) -> bool {
        sleep(wait, &self.context.interrupt)
    }
}

/// Tells a sink the head of the log, and what sweeps have recorded since it was told last. `delivered` is
/// the last event that needs no more work.
///
/// # Errors
/// Those of the log; the inner ones are those of the sink.
pub(super) fn report_log(
    feed: &mut Feed,
    log: &LocalLog,
    context: &RunContext,
    delivered: EventId,
) -> Result<Result<(), SinkFailure>> {
    let (uuid, (head, hash)) = (log.uuid()?, log.head()?);
    let (host, at) = (context.host.clone(), (context.clock)());
    let heartbeat = LogHeartbeat { uuid, host, head, hash, delivered, at };
    if let Err(failure) = feed.sink.report_head(&heartbeat) {
        return Ok(Err(failure));
    }
    let Some(known) = feed.sink.known_sweep() else { return Ok(Ok(())) };
    let (gaps, newest) = log.gaps_since(PlatformWork::Mirror, known)?;
    if newest == known {
        return Ok(Ok(()));
    }
    Ok(feed.sink.report_gaps(&gaps, newest))
}

/// What one step of a run came to.
enum Step {
    Done,
    /// A batch is delivered; the pause before the next one.
    Delivered(Duration),
    Failed(SinkFailure),
}

/// Sleeps that long, or until a signal comes; returns whether none came.
pub(super) fn sleep(wait: Duration, interrupt: &Interrupt) -> bool {
    let began = Instant::now();
    while interrupt.signal().is_none() {
        let left = wait.saturating_sub(began.elapsed());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(LONGEST_SLEEP));
    }
    false
}

/// Counts the events behind a cursor that a query matches, up to [`MAX_COUNTED`].
pub(super) fn count_waiting(log: &Log, query: &Query, cursor: EventId) -> Result<u64> {
    let behind = query.clone().and(Query::recorded_after(cursor));
    log.count(&Scope::of(PlatformWork::Mirror), &behind, MAX_COUNTED)
}

/// Returns an error with the status of the service, if it has one.
pub(super) fn describe_error(reason: &str, status: Option<u16>) -> String {
    match status {
        // Most services repeat their status in their text.
        Some(status) if !reason.contains(&status.to_string()) => format!("{status}: {reason}"),
        Some(_) | None => reason.to_owned(),
    }
}

fn duration_between(from: Timestamp, to: Timestamp) -> Duration {
    let nanos = to.as_nanos().saturating_sub(from.as_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

fn add(at: Timestamp, wait: Duration) -> Timestamp {
    let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(at.as_nanos().saturating_add(nanos))
}
