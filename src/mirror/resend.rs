//! Delivers again what was delivered before, or given up, and tests a destination.

use std::collections::HashSet;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::dead_letters;
use crate::mirror::delivery;
use crate::mirror::feed::Feed;
use crate::mirror::run::RunContext;
use crate::mirror::runner;
use crate::mirror::sink::FailureKind;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::SinkFailure;
use crate::query::Query;
use crate::store::LocalLog;
use crate::store::Stamp;
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
    for part in letters.chunks(feed.reader.batch) {
        if context.interrupt.signal().is_some() {
            break;
        }
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
    let ids: HashSet<EventId> = letters.iter().map(|letter| letter.id).collect();
    let places: Vec<EventPlace> = ids.iter().map(|id| EventPlace { id: *id, log: None }).collect();
    let mut events = log.events_at(PlatformWork::Mirror, &places)?;
    events.sort_by_key(|event| event.id);
    let found: HashSet<EventId> = events.iter().map(|event| event.id).collect();
    let swept: Vec<EventId> = ids.difference(&found).copied().collect();
    if !swept.is_empty() {
        let mut batch = log.begin()?;
        batch.remove_dead_letters(feed.name(), &swept)?;
        batch.commit()?;
        summary.swept += swept.len() as u64;
    }
    let outgoing = feed.reader.prepare(log, events)?;
    deliver(log, feed, context, &outgoing, &ids, summary)
}

/// Delivers again what matches a further query, up to the feed's cursor, and moves no cursor. What is
/// refused for good becomes a dead letter as in any run; a dead letter that is taken now is forgotten.
///
/// # Errors
/// As [`retry`].
pub(crate) fn replay(
    feed: &mut Feed,
    context: &RunContext,
    narrowed: &Query,
) -> Result<ResendSummary> {
    let mut log = context.open_log()?;
    let _lock = lock(&log, feed)?;
    let mut summary = ResendSummary::default();
    let Some(state) = log.mirror_state(feed.name())? else { return Ok(summary) };
    report_head(feed, &log, context)?;
    let letters = log.dead_letters(feed.name())?;
    let dead: HashSet<EventId> = letters.into_iter().map(|letter| letter.id).collect();
    let query = feed.selection.query.clone().and(narrowed.clone());
    let mut cursor = EventId(0);
    while cursor < state.cursor && context.interrupt.signal().is_none() {
        let next = feed.reader.read(&log, &query, cursor, state.cursor)?;
        deliver(&mut log, feed, context, &next.events, &dead, &mut summary)?;
        cursor = next.through;
    }
    Ok(summary)
}

/// Delivers events, and keeps which of them are dead letters now. `dead` has those that were so far;
/// what tells of them is in the log already.
fn deliver(
    log: &mut LocalLog,
    feed: &mut Feed,
    context: &RunContext,
    outgoing: &[OutgoingEvent],
    dead: &HashSet<EventId>,
    summary: &mut ResendSummary,
) -> Result<()> {
    let outcome = delivery::deliver_batch(feed.sink.as_mut(), outgoing);
    let refused = dead_letters::of(outgoing, &outcome.refused, (context.clock)());
    let refused_ids: HashSet<EventId> = refused.iter().map(|dead| dead.letter.id).collect();
    let confirmed = outgoing.iter().take(outcome.confirmed).map(|outgoing| outgoing.event.id);
    let taken: Vec<EventId> = confirmed.filter(|id| !refused_ids.contains(id)).collect();
    summary.delivered += taken.len() as u64;
    summary.refused += refused.len() as u64;
    if let Some(dead) = refused.last() {
        let DeadLetter { reason, status, .. } = &dead.letter;
        summary.reason = Some(runner::describe_error(reason, *status));
    }
    let revived: Vec<EventId> = taken.into_iter().filter(|id| dead.contains(id)).collect();
    if !revived.is_empty() || !refused.is_empty() {
        let stamp = Stamp { clock: &context.clock, recorded_by: &context.recorded_by };
        let mut batch = log.begin()?;
        batch.remove_dead_letters(feed.name(), &revived)?;
        for refused in &refused {
            batch.add_dead_letter(feed.name(), &refused.letter)?;
            if !dead.contains(&refused.letter.id) {
                batch.append(&refused.to_event(feed.name()), &stamp)?;
            }
        }
        batch.commit()?;
    }
    match outcome.failure {
        Some(failure) => Err(to_error(feed, &failure, summary.delivered)),
        None => Ok(()),
    }
}

/// Finds out whether the destination would take an event.
///
/// # Errors
/// [`Exit::TryAgain`] where it is away, [`Exit::Unavailable`] where it refuses.
pub(crate) fn test(feed: &mut Feed, probe: Event, context: &RunContext) -> Result<()> {
    let log = context.open_log()?;
    report_head(feed, &log, context)?;
    let identifier = feed.reader.identify(&probe);
    let seal = None;
    let probe = OutgoingEvent { event: probe, identifier, seal };
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
