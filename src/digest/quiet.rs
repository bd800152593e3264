//! What has gone quiet: the rhythm of every kind of activity, and of every action.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use crate::digest::kinds::ActivityKinds;
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

/// A kind that used to come and has stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QuietActivity {
    pub name: String,
    /// Whether the name is an action's.
    pub is_action: bool,
    pub frequency: Frequency,
    pub last: Timestamp,
}

/// An action, with how often it came and when last, if it has gone quiet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ActionActivity {
    pub usage: ActionUsage,
    pub quiet: Option<(Frequency, Timestamp)>,
}

/// Finds what has gone quiet at `until`: the kinds in their order, then the actions that have, where
/// their kind has not, for what goes on may come from another emitter.
///
/// A kind that asks for more than the action has the events that it means, and leaves those of
/// other kinds as they are.
pub(super) fn find_quiet(
    log: &Log,
    kinds: &ActivityKinds,
    until: Timestamp,
) -> Result<Vec<QuietActivity>> {
    let mut by_kind: BTreeMap<usize, DailyTotals> = BTreeMap::new();
    let mut by_action: BTreeMap<String, (DailyTotals, Vec<usize>)> = BTreeMap::new();
    for counted in log.daily_counts(until, rhythm::OBSERVED_DAYS)? {
        let slug = counted.action.slug.clone();
        let (action, kinds_of_it) = by_action.entry(slug).or_default();
        if let Heading::Kind(kind) = kinds.heading_of_action(&counted.action, counted.failed) {
            by_kind.entry(kind).or_default().add(&counted);
            kinds_of_it.push(kind);
        }
        action.add(&counted);
    }
    let mut quiet: BTreeMap<Heading, (Frequency, Timestamp)> = BTreeMap::new();
    for (place, kind) in kinds.all().iter().enumerate().filter(|(_, kind)| !kind.decided_by_action)
    {
        let found = query_gone_quiet(log, &kind.query, until)?;
        quiet.extend(found.map(|found| (Heading::Kind(place), found)));
    }
    for (kind, counted) in by_kind {
        quiet.extend(counted.gone_quiet(log, until)?.map(|found| (Heading::Kind(kind), found)));
    }
    for (slug, (counted, its_kinds)) in by_action {
        if !its_kinds.iter().any(|kind| quiet.contains_key(&Heading::Kind(*kind))) {
            quiet.extend(
                counted.gone_quiet(log, until)?.map(|found| (Heading::Action(slug), found)),
            );
        }
    }
    let named = quiet.into_iter().map(|(heading, (pace, last))| {
        let (name, is_action) = kinds.heading_name(heading);
        QuietActivity { name, is_action, frequency: pace, last }
    });
    Ok(named.collect())
}

/// The actions that are meant, and which of them have gone quiet at `until`. `days` are as in
/// [`Log::action_usage`]; of the log's own actions none has a rhythm.
///
/// # Errors
/// That the log cannot be read.
pub(crate) fn activity_by_action(
    log: &Log,
    query: &Query,
    days: &[Timestamp],
    until: Timestamp,
) -> Result<Vec<ActionActivity>> {
    let edges = rhythm::day_boundaries(until);
    // One pass over the events counts both: between the edges of either there are those of the other.
    let mut all = [days, &edges].concat();
    all.sort_unstable();
    all.dedup();
    let counted = |activity: &[u64], edges: &[Timestamp]| -> Vec<u64> {
        let within = |from: Timestamp, to: Timestamp| {
            let parts = all.iter().zip(activity).filter(|(at, _)| (from..to).contains(*at));
            parts.map(|(_, count)| count).sum()
        };
        edges.windows(2).map(|pair| within(pair[0], pair[1])).collect()
    };
    let seen = log.action_usage(query, &all)?.into_iter();
    seen.map(|mut seen| {
        let pace = rhythm::gone_quiet(&counted(&seen.histogram, &edges));
        let quiet = match pace.filter(|_| !own_events::is_reserved(&seen.action)) {
            Some(pace) if seen.last < until => Some((pace, seen.last)),
            // Something is dated ahead of the clock; the last before that is looked for.
            Some(_) => {
                let of_action = query.clone().and(Query::for_action(&seen.action));
                query_gone_quiet(log, &of_action, until)?
            }
            None => None,
        };
        seen.histogram = counted(&seen.histogram, days);
        Ok(ActionActivity { usage: seen, quiet })
    })
    .collect()
}

/// How many events came on each day, and of which actions.
#[derive(Default)]
struct DailyTotals {
    daily: [u64; rhythm::OBSERVED_DAYS],
    actions: Vec<(Arc<Action>, bool)>,
}

impl DailyTotals {
    fn add(&mut self, rhythm: &DailyCounts) {
        for (sum, count) in self.daily.iter_mut().zip(&rhythm.counts) {
            *sum += count;
        }
        self.actions.push((Arc::clone(&rhythm.action), rhythm.failed));
    }

    fn gone_quiet(&self, log: &Log, until: Timestamp) -> Result<Option<(Frequency, Timestamp)>> {
        let Some(pace) = rhythm::gone_quiet(&self.daily) else { return Ok(None) };
        let mut last = None;
        for (action, failed) in &self.actions {
            last = last.max(log.last_occurrence(action, *failed, until)?);
        }
        Ok(last.map(|last| (pace, last)))
    }
}

/// How often what a query means came, and when last, if it has gone quiet.
fn query_gone_quiet(
    log: &Log,
    query: &Query,
    until: Timestamp,
) -> Result<Option<(Frequency, Timestamp)>> {
    let edges = rhythm::day_boundaries(until);
    let seen = log.action_usage(&query.clone().with_time_range(edges[0], until), &edges)?;
    let mut daily = [0; rhythm::OBSERVED_DAYS];
    let mut last = None;
    for action in seen.iter().filter(|seen| !own_events::is_reserved(&seen.action)) {
        for (sum, count) in daily.iter_mut().zip(&action.histogram) {
            *sum += count;
        }
        last = last.max(Some(action.last));
    }
    Ok(rhythm::gone_quiet(&daily).zip(last))
}
