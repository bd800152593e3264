//! Delivers again what was delivered before, or given up, and tests a destination.

use std::collections::HashSet;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::delivery;
use crate::mirror::feed::Feed;
use crate::mirror::run::RunContext;
use crate::mirror::runner;
use crate::mirror::sink::FailureKind;
use crate::mirror::sink::SinkFailure;
use crate::query::Query;
use crate::store::LocalLog;
use crate::store::mirror::DeadLetter;
use crate::store::mirror::MirrorLock;
use crate::text;

/// What became of events that were sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResendSummary {
    pub delivered: u64,
    /// Those that the destination refuses for good, with the last reason.
    pub refused: u64,
    pub reason: Option<String>,
    /// Dead letters whose events a sweep took meanwhile. They are forgotten.
    pub swept: u64,
}

/// Delivers the dead letters of a feed again; those that are taken now are forgotten.
///
/// # Errors
/// [`Exit::TryAgain`] where the destination is away or another run delivers; those of the log.
pub(crate) fn retry(feed: &mut Feed, context: &RunContext) -> Result<ResendSummary> {
    let mut log = context.open_log()?;
    let _lock = lock(&log, feed)?;
    report_head(feed, &log, context)?;
    let letters = log.dead_letters(feed.name())?;
    let mut summary = ResendSummary::default();
    for part in letters.chunks(feed.batch) {
        retry_part(&mut log, feed, context, part, &mut summary)?;
    }
    Ok(summary)
}

fn retry_part(
    log: &mut LocalLog,
    feed: &mut Feed,
    context: &RunContext,
    letters: &[DeadLetter],
    summary: &mut ResendSummary,
) -> Result<()> {
    let ids: Vec<EventId> = letters.iter().map(|letter| letter.id).collect();
    let places: Vec<EventPlace> = ids.iter().map(|id| EventPlace { id: *id, log: None }).collect();
    let mut events = log.events_at(PlatformWork::Mirror, &places)?;
    events.sort_by_key(|event| event.id);
    let found: HashSet<EventId> = events.iter().map(|event| event.id).collect();
    let mut done: Vec<EventId> = ids.into_iter().filter(|id| !found.contains(id)).collect();
    summary.swept += done.len() as u64;
    let outgoing = feed.prepare(log, events)?;
    let outcome = delivery::deliver_batch(feed.sink.as_mut(), &outgoing);
    let refused: HashSet<usize> = outcome.refused.iter().map(|refused| refused.index).collect();
    let taken = outgoing.iter().take(outcome.confirmed).enumerate();
    let taken = taken.filter(|(index, _)| !refused.contains(index));
    let before = done.len();
    done.extend(taken.map(|(_, outgoing)| outgoing.event.id));
    summary.delivered += (done.len() - before) as u64;
    let mut batch = log.begin()?;
    batch.remove_dead_letters(feed.name(), &done)?;
    for refused in &outcome.refused {
        if let Some(outgoing) = outgoing.get(refused.index) {
            let (id, at) = (outgoing.event.id, (context.clock)());
            let (reason, status) = (refused.reason.clone(), refused.status);
            batch.add_dead_letter(feed.name(), &DeadLetter { id, reason, status, at })?;
            summary.refused += 1;
            summary.reason = Some(runner::describe_error(&refused.reason, status));
        }
    }
    batch.commit()?;
    match outcome.failure {
        Some(failure) => Err(to_error(feed, &failure, summary.delivered)),
        None => Ok(()),
    }
}

/// Delivers again what matches a further query, up to the feed's cursor, and moves no cursor.
///
/// # Errors
/// As [`retry`].
pub(crate) fn replay(
    feed: &mut Feed,
    context: &RunContext,
    narrowed: &Query,
) -> Result<ResendSummary> {
    let log = context.open_log()?;
    let _lock = lock(&log, feed)?;
    let mut summary = ResendSummary::default();
    let Some(state) = log.mirror_state(feed.name())? else { return Ok(summary) };
    report_head(feed, &log, context)?;
    let query = feed.selection.query.clone().and(narrowed.clone());
    let mut cursor = EventId(0);
    while cursor < state.cursor && context.interrupt.signal().is_none() {
        let next = feed.read_matching(&log, &query, cursor, state.cursor)?;
        let outcome = delivery::deliver_batch(feed.sink.as_mut(), &next.events);
        summary.delivered += (outcome.confirmed - outcome.refused.len()) as u64;
        summary.refused += outcome.refused.len() as u64;
        if let Some(refused) = outcome.refused.last() {
            summary.reason = Some(runner::describe_error(&refused.reason, refused.status));
        }
        if let Some(failure) = outcome.failure {
            return Err(to_error(feed, &failure, summary.delivered));
        }
        cursor = next.through;
    }
    Ok(summary)
}

/// Finds out whether the destination would take an event.
///
/// # Errors
/// [`Exit::TryAgain`] where it is away, [`Exit::Unavailable`] where it refuses.
pub(crate) fn test(feed: &mut Feed, probe: Event, context: &RunContext) -> Result<()> {
    let log = context.open_log()?;
    report_head(feed, &log, context)?;
    let identifier = feed.identify(&probe);
    let seal = None;
    let probe = crate::mirror::sink::OutgoingEvent { event: probe, identifier, seal };
    feed.sink.test(&probe).map_err(|failure| to_error(feed, &failure, 0))
}

fn lock(log: &LocalLog, feed: &Feed) -> Result<MirrorLock> {
    log.try_lock_mirror(feed.name())?.ok_or_else(|| {
        let name = text::escape(feed.name());
        Failure::new(Exit::TryAgain, format!("{name}: another run delivers for it")).into()
    })
}

fn report_head(feed: &mut Feed, log: &LocalLog, context: &RunContext) -> Result<()> {
    let cursor = log.mirror_state(feed.name())?.map_or(EventId(0), |state| state.cursor);
    let reported = runner::report_log(feed, log, context, cursor)?;
    reported.map_err(|failure| to_error(feed, &failure, 0))
}

fn to_error(feed: &Feed, failure: &SinkFailure, delivered: u64) -> anyhow::Error {
    let exit = match failure.kind {
        FailureKind::Unavailable => Exit::TryAgain,
        FailureKind::Refused => Exit::Unavailable,
    };
    let reason = runner::describe_error(&failure.reason, failure.status);
    let so_far = match delivered {
        0 => String::new(),
        some => format!(" ({} delivered before)", text::plural(some, "event")),
    };
    Failure::new(exit, format!("{}: {reason}{so_far}", text::escape(feed.name()))).into()
}
