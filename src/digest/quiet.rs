//! Finds the kinds of activity and the actions that have gone quiet. [`rhythm`] defines quiet.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::digest::kinds::ActivityKinds;
use crate::digest::kinds::FAILED_SIGN_INS;
use crate::digest::kinds::Heading;
use crate::digest::rhythm;
use crate::digest::rhythm::Frequency;
use crate::event::Action;
use crate::event::own_events;
use crate::query::Query;
use crate::store::ActionUsage;
use crate::store::Log;
use crate::store::digest::DailyCounts;
use crate::time::Timestamp;

/// A kind of activity, or an action, that has stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QuietActivity {
    pub name: String,
    /// Whether the name is that of an action.
    pub is_action: bool,
    pub frequency: Frequency,
    pub last: Timestamp,
}

/// An action with its usage. Where it has gone quiet, its former frequency and its last time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ActionActivity {
    pub usage: ActionUsage,
    pub quiet: Option<(Frequency, Timestamp)>,
}

/// Finds what has gone quiet at `until`: the kinds in their order, then the actions of other kinds. An
/// action is named although its kind goes on, because another emitter may write the rest of the kind.
///
/// A kind that depends on more than the action counts all events that match its query. It takes no
/// events from other kinds.
pub(super) fn find_quiet(
    log: &Log,
    kinds: &ActivityKinds,
    until: Timestamp,
) -> Result<Vec<QuietActivity>> {
    let mut by_kind: BTreeMap<usize, DailyTotals> = BTreeMap::new();
    let mut by_action: BTreeMap<String, (DailyTotals, Vec<usize>)> = BTreeMap::new();
    for counts in log.daily_counts(PlatformWork::Digest, until, rhythm::OBSERVED_DAYS)? {
        let slug = counts.action.slug.clone();
        let (action, its_kinds) = by_action.entry(slug).or_default();
        if let Heading::Kind(kind) = kinds.heading_of_action(&counts.action, counts.failed) {
            by_kind.entry(kind).or_default().add(&counts);
            its_kinds.push(kind);
        }
        action.add(&counts);
    }
    let mut quiet: BTreeMap<Heading, (Frequency, Timestamp)> = BTreeMap::new();
    for (index, kind) in kinds.all().iter().enumerate().filter(|(_, kind)| !kind.decided_by_action)
    {
        let found = query_gone_quiet(log, &Scope::of(PlatformWork::Digest), &kind.query, until)?;
        quiet.extend(found.map(|found| (Heading::Kind(index), found)));
    }
    // It is no fault when nobody fails to sign in any more.
    let is_wanted =
        |kind: &usize| kinds.all().get(*kind).is_some_and(|kind| kind.name != FAILED_SIGN_INS);
    for (kind, counts) in by_kind.into_iter().filter(|(kind, _)| is_wanted(kind)) {
        quiet.extend(counts.gone_quiet(log, until)?.map(|found| (Heading::Kind(kind), found)));
    }
    for (slug, (counts, its_kinds)) in by_action {
        if !its_kinds.iter().any(|kind| quiet.contains_key(&Heading::Kind(*kind))) {
            quiet
                .extend(counts.gone_quiet(log, until)?.map(|found| (Heading::Action(slug), found)));
        }
    }
    let activities = quiet.into_iter().map(|(heading, (frequency, last))| {
        let (name, is_action) = kinds.heading_name(heading);
        QuietActivity { name, is_action, frequency, last }
    });
    Ok(activities.collect())
}

/// Returns the usage of the actions of the events that a query matches within a scope, and which of them have gone quiet at
/// `until`. `days` are as in [`Log::action_usage`]. The log's own actions never go quiet.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn activity_by_action(
    log: &Log,
    scope: &Scope,
    query: &Query,
    days: &[Timestamp],
    until: Timestamp,
) -> Result<Vec<ActionActivity>> {
    let edges = rhythm::day_boundaries(until);
    // One pass over the events counts by the boundaries of both.
    let mut boundaries = [days, &edges].concat();
    boundaries.sort_unstable();
    boundaries.dedup();
    let counted = |activity: &[u64], edges: &[Timestamp]| -> Vec<u64> {
        let within = |from: Timestamp, to: Timestamp| {
            let parts = boundaries.iter().zip(activity).filter(|(at, _)| (from..to).contains(*at));
            parts.map(|(_, count)| count).sum()
        };
        edges.windows(2).map(|pair| within(pair[0], pair[1])).collect()
    };
    let usage = log.action_usage(scope, query, &boundaries)?.into_iter();
    usage
        .map(|mut usage| {
            let frequency = rhythm::gone_quiet(&counted(&usage.histogram, &edges));
            let quiet = match frequency.filter(|_| !own_events::is_reserved(&usage.action)) {
                Some(frequency) if usage.last < until => Some((frequency, usage.last)),
                // The last event is dated ahead of the clock, so the last before `until` is searched.
                Some(_) => {
                    let of_action = query.clone().and(Query::for_action(&usage.action));
                    query_gone_quiet(log, scope, &of_action, until)?
                }
                None => None,
            };
            usage.histogram = counted(&usage.histogram, days);
            Ok(ActionActivity { usage, quiet })
        })
        .collect()
}

/// The number of events on each day, and their actions.
#[derive(Default)]
struct DailyTotals {
    daily: [u64; rhythm::OBSERVED_DAYS],
    actions: Vec<(Arc<Action>, bool)>,
}

impl DailyTotals {
    fn add(&mut self, of_action: &DailyCounts) {
        for (sum, count) in self.daily.iter_mut().zip(&of_action.counts) {
            *sum += count;
        }
        self.actions.push((Arc::clone(&of_action.action), of_action.failed));
    }

    fn gone_quiet(&self, log: &Log, until: Timestamp) -> Result<Option<(Frequency, Timestamp)>> {
        let Some(frequency) = rhythm::gone_quiet(&self.daily) else { return Ok(None) };
        let mut last = None;
        for (action, failed) in &self.actions {
            last = last.max(log.last_occurrence(PlatformWork::Digest, action, *failed, until)?);
        }
        Ok(last.map(|last| (frequency, last)))
    }
}

/// Returns the former frequency and the last time of the events of a query that have gone quiet.
fn query_gone_quiet(
    log: &Log,
    scope: &Scope,
    query: &Query,
    until: Timestamp,
) -> Result<Option<(Frequency, Timestamp)>> {
    let edges = rhythm::day_boundaries(until);
    let recent = query.clone().with_time_range(edges[0], until);
    let usage = log.action_usage(scope, &recent, &edges)?;
    let mut daily = [0; rhythm::OBSERVED_DAYS];
    let mut last = None;
    for action in usage.iter().filter(|usage| !own_events::is_reserved(&usage.action)) {
        for (sum, count) in daily.iter_mut().zip(&action.histogram) {
            *sum += count;
        }
        last = last.max(Some(action.last));
    }
    Ok(rhythm::gone_quiet(&daily).zip(last))
}
