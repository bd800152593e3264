//! Verifies the logs of a central store: the chain of each, from the rows that the store has.
//!
//! A log is walked in the order of ids. Where events are missing, the sweeps of the log must vouch for
//! them: by the ranges that its mirror brought, which its newest own `retention.sweep` event vouches for.
//! What the store has confirmed to the mirror, and nobody vouches for, was removed.
//!
//! ## What a good result means
//!
//! As for a log of this host, and that what arrived is what was sent: the head that a mirror reports is
//! compared too. Events that have yet to arrive are told, and are no break.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use anyhow::Result;

use crate::chain::ChainBreak;
use crate::chain::GapHasher;
use crate::chain::Verifier;
use crate::event::EventId;
use crate::event::Hash;
use crate::failure::Failure;
use crate::store::central::CentralError;
use crate::store::central::FleetStore;
use crate::store::central::MirroredLog;
use crate::store::central::StoredEvent;
use crate::store::central::ranges;
use crate::store::verify::SweepGap;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::verify::fleet_report::FleetReport;
use crate::verify::fleet_report::LogReport;
use crate::verify::report::Violation;
use crate::verify::report::ViolationKind;
use crate::verify::report::ViolationReason;
use crate::verify::verified_heads::VerifiedHeads;

/// The most logs that are walked at a time, each with a connection of its own.
const MAX_WALKERS: usize = 8;
/// A log whose mirror has said nothing for so long is behind.
pub(crate) const SILENT_AFTER: Span = Span::from_seconds(3_600);

/// Verifies every log of a store. `connect` makes a connection; `verified` has what an earlier run found
/// to hold, and a walk goes on behind it.
///
/// # Errors
/// The store is away, has no tables, or those of a newer version.
pub(crate) fn run(
    connect: &(dyn Fn() -> Result<FleetStore, Failure> + Sync),
    verified: &VerifiedHeads,
    now: Timestamp,
) -> Result<FleetReport> {
    let mut store = connect()?;
    store.check_tables()?;
    let logs = store.logs()?;
    drop(store);
    let queue = Mutex::new(logs.iter().enumerate());
    let results = Mutex::new(BTreeMap::new());
    let walk_next = || -> Result<()> {
        let mut store = connect()?;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, log)) = next else { return Ok(()) };
            let report = LogWalk::new(log, verified.head_of(&log.uuid)).run(&mut store, now)?;
            results.lock().unwrap_or_else(PoisonError::into_inner).insert(place, report);
        }
    };
    let walkers = thread::available_parallelism().map_or(1, |count| count.get() * 2);
    let walkers = walkers.clamp(1, MAX_WALKERS).min(logs.len());
    thread::scope(|scope| {
        let walks: Vec<_> = (0..walkers).map(|_| scope.spawn(walk_next)).collect();
        walks.into_iter().try_for_each(|walk| match walk.join() {
            Ok(walked) => walked,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let found = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut report = FleetReport::new(found.into_values().collect());
    let missing = verified.uuids().filter(|uuid| !logs.iter().any(|log| log.uuid == **uuid));
    report.missing_logs = missing.copied().collect();
    Ok(report)
}

/// The walk along one log.
struct LogWalk<'a> {
    log: &'a MirroredLog,
    verifier: Verifier,
    /// Where it goes on, and whether the event there was seen again.
    resumed_at: Option<EventId>,
    runs: OpenRuns,
    /// The content of the last event that was taken.
    last_content: Option<[u8; 32]>,
    report: LogReport,
}

impl<'a> LogWalk<'a> {
    fn new(log: &'a MirroredLog, verified: Option<(EventId, Hash)>) -> Self {
        let verifier = match verified {
            Some((id, hash)) => Verifier::resume(id, hash),
            None => Verifier::new(&log.uuid),
        };
        Self {
            log,
            verifier,
            resumed_at: verified.map(|(id, _)| id),
            runs: OpenRuns::default(),
            last_content: None,
            report: LogReport::new(&log.host, log.uuid, verifier.head()),
        }
    }

    fn run(mut self, store: &mut FleetStore, now: Timestamp) -> Result<LogReport, CentralError> {
        let key = self.log.key;
        let gaps = store.gaps(key)?;
        let dropped = store.dropped(key)?;
        self.check_vouching(store, &gaps, &dropped)?;
        for version in store.other_versions(key)? {
            let more = format!(": its host has sent another version later, {}", version.hash);
            self.report.violations.push(Violation::of_event(
                version.id,
                ViolationReason::Altered,
                &more,
            ));
        }
        self.runs = OpenRuns::new(gaps, dropped);
        let from = self.resumed_at.unwrap_or(EventId(i64::MIN));
        let mut found = None;
        store.walk(key, from, &mut |stored| {
            found = self.take(&stored);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if found.is_none() {
            found = self.finish();
        }
        self.report.is_whole = found.is_none();
        self.report.violations.extend(found);
        self.report.head = self.verifier.head();
        self.note_lag(now);
        Ok(self.report)
    }

    /// Compares the ranges of the log with the event that vouches for them, and what central sweeps have
    /// dropped with the ranges.
    fn check_vouching(
        &mut self,
        store: &mut FleetStore,
        gaps: &[SweepGap],
        dropped: &[SweepGap],
    ) -> Result<(), CentralError> {
        let claim = store.newest_sweep(self.log.key)?;
        let payload = claim.as_ref().and_then(|claim| {
            let payload: serde_json::Value = serde_json::from_str(&claim.payload).ok()?;
            Some((payload["sweep"].as_i64()?, payload))
        });
        let broken = match (claim, payload) {
            (None, _) if gaps.is_empty() || self.log.delivered < self.log.head => None,
            (None, _) => Some("no event vouches for the swept ranges".to_owned()),
            (Some(claim), None) => Some(format!("event {} vouches for no sweep", claim.id)),
            (Some(_), Some((sweep, _))) if sweep > self.log.sweep => {
                self.report.notes.push(format!("the ranges of sweep {sweep} have yet to arrive"));
                None
            }
            (Some(claim), Some((sweep, payload))) => {
                let counting = ranges::counting_gaps(gaps, sweep);
                let mut digest = GapHasher::new();
                for gap in &counting {
                    digest.update(gap.first, gap.last, &gap.hash, gap.sweep);
                }
                let digest = Hash(digest.finish()).to_string();
                (payload["gaps_sha256"].as_str() != Some(&digest)).then(|| {
                    format!(
                        "the swept ranges are not those that sweep {sweep} (event {}) vouches for",
                        claim.id
                    )
                })
            }
        };
        let of_gaps = |what| Violation::new(ViolationKind::Gaps, what);
        self.report.violations.extend(broken.map(of_gaps));
        for range in dropped {
            let kept = ranges::kept_events(range.first, range.last, gaps);
            if kept > 0 {
                let events = text::plural(kept, "event");
                let what = format!(
                    "a central sweep dropped {}-{}, of which the host keeps {events}",
                    range.first, range.last
                );
                self.report.violations.push(of_gaps(what).with_id(range.first));
            }
        }
        Ok(())
    }

    /// Takes the next row, and returns what breaks the chain there.
    fn take(&mut self, stored: &StoredEvent) -> Option<Violation> {
        let (id, hash) = (stored.event.id, stored.event.hash);
        let (last, last_hash) = self.verifier.head();
        let link = match stored.to_link() {
            Ok(link) => link,
            Err(flaw) => {
                return Some(altered(id, &flaw));
            }
        };
        if id == last {
            // A row that was sent twice, or the one at which an earlier run ended.
            let same_content = self.last_content.is_none_or(|content| content == link.content);
            self.last_content = Some(link.content);
            let is_same = same_content && hash == last_hash;
            return (!is_same).then(|| altered(id, "there are two versions of it"));
        }
        if id < last {
            let more = format!(": it comes after event {last}");
            return Some(Violation::of_event(id, ViolationReason::OutOfOrder, &more));
        }
        if let Some(missing) = self.step_over(id) {
            return Some(missing);
        }
        match self.verifier.verify_event(&link) {
            Ok(()) => {}
            Err(ChainBreak::Altered(_)) => {
                let why = "what it says, or the hash before it, is not what was hashed";
                return Some(altered(id, why));
            }
            Err(ChainBreak::Removed(missing)) => return Some(removed(missing, id)),
            Err(ChainBreak::Inserted(_)) => {
                let more = ": no event can stand here";
                return Some(Violation::of_event(id, ViolationReason::Inserted, more));
            }
        }
        self.last_content = Some(link.content);
        self.report.events += 1;
        self.check_head(id, &hash)
    }

    /// Compares a hash with that which the mirror has reported for this id.
    fn check_head(&self, id: EventId, hash: &Hash) -> Option<Violation> {
        (id == self.log.head && *hash != self.log.head_hash).then(|| {
            let at = self.log.seen_at;
            let what = format!("event {id} has another hash than the head that came at {at}");
            Violation::new(ViolationKind::Head, what).with_id(id)
        })
    }

    /// Steps over the ranges that lead up to an event that is there, and returns the first missing one
    /// that no range holds.
    fn step_over(&mut self, next: EventId) -> Option<Violation> {
        loop {
            let (last, _) = self.verifier.head();
            let missing = EventId(last.0.saturating_add(1));
            if missing >= next {
                return None;
            }
            let Some(run) = self.runs.longest(missing, next) else {
                return Some(removed(missing, next));
            };
            if self.verifier.verify_gap(missing, run.last, run.hash).is_err() {
                return Some(removed(missing, next));
            }
            self.report.swept.events += run.last.0.abs_diff(missing.0) + 1;
            self.report.swept.ranges += 1;
            self.last_content = None;
        }
    }

    /// Ends the walk behind the last row: all that was confirmed must have been there.
    fn finish(&mut self) -> Option<Violation> {
        let end = EventId(self.log.delivered.0.min(self.log.head.0).saturating_add(1));
        self.step_over(end)
    }

    fn note_lag(&mut self, now: Timestamp) {
        let log = self.log;
        let last = self.verifier.head().0;
        if self.report.is_whole && last < log.head {
            let waiting = text::plural(log.head.0.abs_diff(last.0), "event");
            let (head, at) = (log.head, log.seen_at);
            let note = format!("{waiting} have yet to arrive: its head was {head} at {at}");
            self.report.notes.push(note);
        }
        if log.seen_at.saturating_add(SILENT_AFTER) < now {
            self.report.is_silent = true;
            self.report.notes.push(format!("it has said nothing since {}", log.seen_at));
        }
        if self.report.swept.ranges > 0 {
            let (events, ranges) = (self.report.swept.events, self.report.swept.ranges);
            let (events, ranges) = (text::plural(events, "event"), text::plural(ranges, "range"));
            self.report.notes.push(format!("{events} swept in {ranges}"));
        }
    }
}

fn altered(id: EventId, why: &str) -> Violation {
    Violation::of_event(id, ViolationReason::Altered, &format!(": {why}"))
}

fn removed(missing: EventId, next: EventId) -> Violation {
    let behind = next.0.abs_diff(missing.0).saturating_sub(1);
    let more = match behind {
        0 => ", and no sweep of its host vouches for it".to_owned(),
        behind => {
            let last = next.0.saturating_sub(1);
            let behind = text::plural(behind, "event");
            format!(
                ", as {behind} behind it up to {last}, and no sweep of its host vouches for them"
            )
        }
    };
    Violation::of_event(missing, ViolationReason::Removed, &more)
}

/// The ranges of a log, and those that hold the place where the walk is.
#[derive(Default)]
struct OpenRuns {
    /// Those that begin behind the place, the last first.
    coming: Vec<SweepGap>,
    open: Vec<SweepGap>,
}

impl OpenRuns {
    fn new(gaps: Vec<SweepGap>, dropped: Vec<SweepGap>) -> Self {
        let mut coming = gaps;
        coming.extend(dropped);
        coming.sort_by_key(|run| std::cmp::Reverse(run.first));
        Self { coming, open: Vec::new() }
    }

    /// Returns the longest range that holds a missing event and ends before the next event that is there.
    /// Places must ascend.
    fn longest(&mut self, missing: EventId, next: EventId) -> Option<SweepGap> {
        while let Some(run) = self.coming.pop_if(|run| run.first <= missing) {
            self.open.push(run);
        }
        self.open.retain(|run| run.last >= missing);
        let fitting = self.open.iter().filter(|run| run.last < next);
        fitting.max_by_key(|run| run.last).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_range_that_fits_is_stepped_over() {
        let run = |first, last| SweepGap {
            first: EventId(first),
            last: EventId(last),
            hash: Hash([0; 32]),
            sweep: 1,
        };
        let mut runs = OpenRuns::new(vec![run(1, 5), run(1, 20), run(8, 9)], vec![run(6, 7)]);
        let ends = |found: Option<SweepGap>| found.map(|run| run.last.0);
        assert_eq!(
            ends(runs.longest(EventId(1), EventId(6))),
            Some(5),
            "the other is not all gone"
        );
        assert_eq!(ends(runs.longest(EventId(6), EventId(8))), Some(7));
        assert_eq!(ends(runs.longest(EventId(8), EventId(30))), Some(20));
        assert_eq!(ends(runs.longest(EventId(21), EventId(30))), None);
    }
}
