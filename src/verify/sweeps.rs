//! What sweeps vouch for, and what is good to know of it.

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
use crate::verify::or_broken;
use crate::verify::report::Broken;
use crate::verify::report::Kind;
use crate::verify::report::Report;
use crate::verify::walk::Walk;

/// What the newest sweep says of itself.
#[derive(Default)]
pub(super) struct Vouched {
    /// The number of the sweep whose runs count; `None`: none does.
    pub sweep: Option<i64>,
    /// The event that says so.
    pub event: Option<EventId>,
    /// No rule takes what occurred after this.
    pub horizon: Option<Timestamp>,
    /// How many came in already older than their horizon, of how many.
    pub late: u64,
    pub count: u64,
}

/// Holds the runs that count against the newest sweep's own event.
///
/// # Errors
/// What says nothing about the log.
pub(super) fn vouched(log: &Snapshot<'_>, head: &LogHead, report: &mut Report) -> Result<Vouched> {
    let (mut digest, mut ranges) = (GapHasher::new(), 0_u64);
    let read = log.each_gap(head.newest_sweep, &mut |run| {
        digest.update(run.first, run.last, &run.hash, run.sweep);
        ranges += 1;
    });
    let mut broken = |what: String| report.broken.push(Broken::of(Kind::Gaps, what));
    let counted = text::plural(ranges, "swept range");
    if head.newest_sweep == 0 {
        if ranges > 0 {
            broken(format!("{counted} would count, but no sweep took effect"));
        }
        or_broken(read, report, Kind::Gaps, "the swept ranges cannot be read")?;
        return Ok(Vouched::default());
    }
    let mut vouched = Vouched { sweep: Some(head.newest_sweep), ..Vouched::default() };
    let digest = Hash(digest.finish()).to_string();
    let mut says = None;
    let found = log.each_sweep_event(&mut |voucher| {
        let payload: Value = serde_json::from_str(&voucher.payload).unwrap_or_default();
        if payload["sweep"].as_i64() != Some(head.newest_sweep) {
            return ControlFlow::Continue(());
        }
        vouched.event = Some(voucher.id);
        vouched.horizon = horizon(&payload);
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
    or_broken(read, report, Kind::Gaps, "the swept ranges cannot be read")?;
    or_broken(found, report, Kind::Gaps, "the events of sweeps cannot be read")?;
    Ok(vouched)
}

/// The latest of the times before which the sweep took what had occurred: each rule has its own.
fn horizon(payload: &Value) -> Option<Timestamp> {
    let rules = payload["rules"].as_array().into_iter().flatten();
    let cutoffs = rules.map(|rule| &rule["cutoff"]).chain([&payload["cutoff"]]);
    cutoffs.filter_map(|cutoff| Timestamp::parse_rfc3339(cutoff.as_str()?).ok()).max()
}

/// Tells what is no break, but good to know.
pub(super) fn note(walk: &Walk, vouched: &Vouched, report: &mut Report) {
    let mut note = |what: String| report.notes.push(what);
    if walk.swept.ranges > 0 {
        let (events, ranges) =
            (text::plural(walk.swept.events, "event"), text::plural(walk.swept.ranges, "range"));
        note(format!("{events} swept in {ranges}"));
    }
    if let Some(sweep) = vouched.sweep.filter(|_| vouched.late > 0) {
        let (late, count) = (vouched.late, text::plural(vouched.count, "event"));
        note(format!("{late} of the {count} of sweep {sweep} came in already too old to keep"));
    }
    if let Some(late) = walk.late.filter(|late| late.events > 0) {
        // Of what is gone only the event before it tells when it came in.
        let events = text::plural(late.events, "removed event");
        note(format!("{events} or more came in after the cutoff, {}", late.after));
    }
    if walk.left > 0 {
        let left = text::plural(walk.left, "event");
        note(format!("an unfinished removal: {left}, the next sweep finishes it"));
    }
    if let Some((times, first)) = walk.steps_back {
        let times = text::plural(times, "time");
        note(format!("the clock stepped back {times}, first at event {first}"));
    }
}
