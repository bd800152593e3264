//! The runs that sweeps vouch for, and notes about them.

use std::ops::ControlFlow;

use anyhow::Result;
use serde_json::Value;

use crate::chain::GapHasher;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::verify::LogHead;
use crate::store::verify::Snapshot;
use crate::text;
use crate::time::Timestamp;
use crate::verify::or_violation;
use crate::verify::report::VerifyReport;
use crate::verify::report::Violation;
use crate::verify::report::ViolationKind;
use crate::verify::walk::ChainWalk;

/// The newest sweep, as its own event describes it.
#[derive(Default)]
pub(super) struct NewestSweep {
    /// The number of the sweep whose runs count; `None` if no sweep counts.
    pub number: Option<i64>,
    /// The event that vouches for it.
    pub event: Option<EventId>,
    /// The sweep took no event that occurred after this time.
    pub latest_cutoff: Option<Timestamp>,
    /// How many of the `count` events were already older than they are kept when they were
    /// recorded.
    pub late: u64,
    pub count: u64,
}

/// Verifies the runs that count against the event of the newest sweep.
///
/// # Errors
/// Those that say nothing about the log.
pub(super) fn check_newest_sweep(
    log: &Snapshot<'_>,
    head: &LogHead,
    report: &mut VerifyReport,
) -> Result<NewestSweep> {
    let (mut digest, mut ranges) = (GapHasher::new(), 0_u64);
    let read = log.each_gap(head.newest_sweep, &mut |run| {
        digest.update(run.first, run.last, &run.hash, run.sweep);
        ranges += 1;
    });
    let mut broken =
        |what: String| report.violations.push(Violation::new(ViolationKind::Gaps, what));
    let counted = text::plural(ranges, "swept range");
    if head.newest_sweep == 0 {
        if ranges > 0 {
            broken(format!("{counted} would count, but no sweep took effect"));
        }
        or_violation(read, report, ViolationKind::Gaps, "the swept ranges cannot be read")?;
        return Ok(NewestSweep::default());
    }
    let mut vouched = NewestSweep { number: Some(head.newest_sweep), ..NewestSweep::default() };
    let digest = Hash(digest.finish()).to_string();
    let mut says = None;
    let found = log.each_sweep_event(&mut |voucher| {
        let payload: Value = serde_json::from_str(&voucher.payload).unwrap_or_default();
        if payload["sweep"].as_i64() != Some(head.newest_sweep) {
            return ControlFlow::Continue(());
        }
        vouched.event = Some(voucher.id);
        vouched.latest_cutoff = parse_latest_cutoff(&payload);
        vouched.late = payload["late"].as_u64().unwrap_or(0);
        vouched.count = payload["count"].as_u64().unwrap_or(0);
        says = Some(payload);
        ControlFlow::Break(())
    });
    let sweep = head.newest_sweep;
    match says {
        None if found.is_ok() => broken(format!("no event vouches for sweep {sweep}")),
        Some(says) if says["gaps_sha256"] != Value::String(digest) => {
            let event = vouched.event.map_or(0, |id| id.0);
            broken(format!(
                "{counted} count, and not those that sweep {sweep} (event {event}) vouches for"
            ));
        }
        _ => {}
    }
    or_violation(read, report, ViolationKind::Gaps, "the swept ranges cannot be read")?;
    or_violation(found, report, ViolationKind::Gaps, "the events of sweeps cannot be read")?;
    Ok(vouched)
}

/// Returns the latest time before which the sweep took events: each rule has its own.
fn parse_latest_cutoff(payload: &Value) -> Option<Timestamp> {
    let rules = payload["rules"].as_array().into_iter().flatten();
    let cutoffs = rules.map(|rule| &rule["cutoff"]).chain([&payload["cutoff"]]);
    cutoffs.filter_map(|cutoff| Timestamp::parse_rfc3339(cutoff.as_str()?).ok()).max()
}

/// Adds notes on what is no violation, but good to know.
pub(super) fn add_notes(walk: &ChainWalk, vouched: &NewestSweep, report: &mut VerifyReport) {
    let mut note = |what: String| report.notes.push(what);
    if walk.swept.ranges > 0 {
        let (events, ranges) =
            (text::plural(walk.swept.events, "event"), text::plural(walk.swept.ranges, "range"));
        note(format!("{events} swept in {ranges}"));
    }
    if let Some(sweep) = vouched.number.filter(|_| vouched.late > 0) {
        let (late, count) = (vouched.late, text::plural(vouched.count, "event"));
        note(format!("{late} of the {count} of sweep {sweep} came in already too old to keep"));
    }
    if let Some(late) = walk.late.filter(|late| late.events > 0) {
        // For events that are gone, only the event before them says when they were recorded.
        let events = text::plural(late.events, "removed event");
        note(format!("{events} or more came in after the cutoff, {}", late.after));
    }
    if walk.unremoved > 0 {
        let left = text::plural(walk.unremoved, "event");
        note(format!("an unfinished removal: {left}, the next sweep finishes it"));
    }
    if let Some((times, first)) = walk.clock_steps_back {
        let times = text::plural(times, "time");
        note(format!("the clock stepped back {times}, first at event {first}"));
    }
}
