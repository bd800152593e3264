//! The events that are too old.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;

use anyhow::Result;
use anyhow::anyhow;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::digest::outcome;
use crate::digest::outcome::RecordedOutcome;
use crate::event::Event;
use crate::event::EventId;
use crate::retention::Decider;
use crate::retention::Horizon;
use crate::retention::RetentionPolicy;
use crate::store::Log;
use crate::store::sweep::IdSet;
use crate::sweep::SWEEP_ACTION;
use crate::time::Timestamp;

/// The events of a log that are too old, and how many there are of each action.
#[derive(Debug)]
pub(crate) struct SweepPlan {
    pub ids: IdSet,
    /// By action and decider.
    pub counts: BTreeMap<(String, Decider), u64>,
    /// How many events are too old but stay, because a mirror has yet to deliver them.
    pub held: u64,
    /// How many events were already older than they are kept when they were recorded.
    pub late: u64,
    /// How many events the log has.
    pub event_count: u64,
}

/// The error that ends a read early.
#[derive(Debug)]
struct PlanInterrupted;

impl fmt::Display for PlanInterrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sweep was interrupted")
    }
}

impl std::error::Error for PlanInterrupted {}

impl SweepPlan {
    /// Finds the events that are too old at `now`; `None` if `go_on` ended it.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn read(
        log: &Log,
        retention: &RetentionPolicy,
        now: Timestamp,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Self>> {
        let (head, _) = log.head()?;
        let swept = log.sweep_state()?;
        let kept = protected_ids(log)?;
        // A mirror that delivers meanwhile only holds less than is read here.
        let cursors = retention
            .mirrors()
            .iter()
            .map(|mirror| Ok(log.mirror_state(&mirror.name)?.map(|state| state.cursor)));
        let cursors: Vec<_> = cursors.collect::<Result<_>>()?;
        let mut plan = Self {
            ids: IdSet::default(),
            counts: BTreeMap::new(),
            held: 0,
            late: 0,
            event_count: swept.event_count,
        };
        for horizon in retention.horizons(now) {
            let read =
                log.each(&Scope::of(PlatformWork::Sweep), &horizon.query, head, &mut |event| {
                    if !go_on() {
                        return Err(anyhow!(PlanInterrupted));
                    }
                    let is_kept = kept.contains(&event.id);
                    if is_kept || retention.decider(&event) != Some(horizon.decider) {
                        return Ok(());
                    }
                    if retention.is_undelivered(&event, &cursors) {
                        plan.held += 1;
                    } else {
                        plan.add(&event, &horizon);
                    }
                    Ok(())
                });
            match read {
                Err(why) if why.is::<PlanInterrupted>() => return Ok(None),
                read => read?,
            }
        }
        Ok(Some(plan))
    }

    fn add(&mut self, event: &Event, horizon: &Horizon) {
        if !self.ids.insert(event.id.0) {
            return;
        }
        let action = (event.action.slug.clone(), horizon.decider);
        *self.counts.entry(action).or_default() += 1;
        let late = event.occurred_at < event.recorded_at.saturating_sub(horizon.keep);
        self.late += u64::from(late);
    }

    /// Returns how many events a rule, or the general `keep`, decides on.
    pub(crate) fn count_by_decider(&self, decider: Decider) -> u64 {
        let counts = self.counts.iter().filter(|((_, by), _)| *by == decider);
        counts.map(|(_, count)| count).sum()
    }
}

/// Returns the log's own events that stay at any age: the newest sweep, because it vouches for all
/// that is missing; the newest digests that were sent, of the log itself and of each central store,
/// because the next one begins where the last one ended; and the digests that failed since then.
fn protected_ids(log: &Log) -> Result<Vec<EventId>> {
    let mut kept: Vec<EventId> = log
        .own_events(PlatformWork::Sweep, SWEEP_ACTION)?
        .last()
        .map(|event| event.id)
        .into_iter()
        .collect();
    let sent = log.own_events(PlatformWork::Sweep, outcome::SENT_ACTION)?;
    kept.extend(sent.last().map(|event| event.id));
    // Digests of the log itself, and of each central store.
    let mut newest: HashMap<Option<String>, EventId> = HashMap::new();
    for recorded in sent.iter().filter_map(RecordedOutcome::from_event) {
        if !recorded.outcome.one_off {
            newest.insert(recorded.outcome.store, recorded.id);
        }
    }
    kept.extend(newest.values());
    let failed = log.own_events(PlatformWork::Sweep, outcome::FAILED_ACTION)?;
    let is_newer = |event: &&Event| {
        let store = RecordedOutcome::from_event(event).and_then(|recorded| recorded.outcome.store);
        newest.get(&store).is_none_or(|sent| event.id > *sent)
    };
    kept.extend(failed.iter().filter(is_newer).map(|event| event.id));
    Ok(kept)
}
