//! The runs that sweeps vouch for, and notes about them.

use anyhow::Result;
use serde_json::Value;

use crate::chain::GapHasher;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::verify::LogHead;
use crate::store::verify::Snapshot;
use crate::store::verify::SweepEvent;
use crate::text;
use crate::time::Span;
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

/// The time by which a cutoff may lie after the event of its sweep: a clock may have been set back
/// while the sweep was at work.
const CLOCK_TOLERANCE: Span = Span::from_seconds(3_600);

/// The members of a payload that `--json` tells of each sweep.
const TOLD_FIELDS: [&str; 8] =
    ["sweep", "count", "by_action", "cutoff", "rules", "late", "held", "total"];

/// The runs that count, added up.
struct CountedRuns {
    digest: String,
    ranges: u64,
    events: u64,
}

/// The event of one sweep.
struct SweepClaim {
    event: EventId,
    recorded_at: Timestamp,
    number: i64,
    payload: Value,
}

impl SweepClaim {
    fn number_of(&self, name: &str) -> Option<u64> {
        self.payload[name].as_u64()
    }

    /// Returns how messages name the sweep.
    fn name(&self) -> String {
        format!("sweep {} (event {})", self.number, self.event)
    }

    fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("event".to_owned(), self.event.0.into());
        object.insert("recorded_at".to_owned(), self.recorded_at.to_string().into());
        for name in TOLD_FIELDS {
            if let Some(value) = self.payload.get(name) {
                object.insert(name.to_owned(), value.clone());
            }
        }
        Value::Object(object)
    }
}

/// Verifies the runs that count against the event of the newest sweep, and the events of all sweeps
/// that are there against each other.
///
/// # Errors
/// Those that say nothing about the log.
pub(super) fn check_sweeps(
    log: &Snapshot<'_>,
    head: &LogHead,
    report: &mut VerifyReport,
) -> Result<NewestSweep> {
    let Some(runs) = count_runs(log, head, report)? else {
        return Ok(NewestSweep::default());
    };
    let sweep = head.newest_sweep;
    let broken = |what: String| Violation::new(ViolationKind::Gaps, what);
    let counted = text::plural(runs.ranges, "swept range");
    if sweep == 0 {
        if runs.ranges > 0 {
            let what = format!("{counted} would count, but no sweep took effect");
            report.violations.push(broken(what));
        }
        return Ok(NewestSweep::default());
    }
    let mut vouched = NewestSweep { number: Some(sweep), ..NewestSweep::default() };
    let Some(claims) = read_claims(log, report)? else { return Ok(vouched) };
    let Some(newest) = claims.iter().find(|claim| claim.number == sweep) else {
        report.violations.push(broken(format!("no event vouches for sweep {sweep}")));
        return Ok(vouched);
    };
    vouched.event = Some(newest.event);
    vouched.latest_cutoff = cutoffs(&newest.payload).filter_map(Result::ok).max();
    vouched.late = newest.number_of("late").unwrap_or(0);
    vouched.count = newest.number_of("count").unwrap_or(0);
    if newest.payload["gaps_sha256"].as_str() != Some(&runs.digest) {
        let name = newest.name();
        let what = format!("{counted} count, and not those that {name} vouches for");
        report.violations.push(broken(what));
    } else if let Some(why) = claim_mismatch(newest, &runs) {
        report.violations.push(broken(why));
    }
    for (place, claim) in claims.iter().enumerate() {
        let before = claims.get(place + 1);
        if let Some(why) = claim_flaw(claim).or_else(|| order_flaw(claim, before, sweep)) {
            report.violations.push(broken(why).with_id(claim.event));
        }
    }
    report.sweeps = claims.iter().rev().map(SweepClaim::to_json).collect();
    Ok(vouched)
}

/// Adds up the runs that count; `None` if they cannot be read.
fn count_runs(
    log: &Snapshot<'_>,
    head: &LogHead,
    report: &mut VerifyReport,
) -> Result<Option<CountedRuns>> {
    let (mut digest, mut ranges, mut events) = (GapHasher::new(), 0_u64, 0_u64);
    let read = log.each_gap(head.newest_sweep, &mut |run| {
        digest.update(run.first, run.last, &run.hash, run.sweep);
        ranges += 1;
        events = events.saturating_add(run.last.0.abs_diff(run.first.0).saturating_add(1));
    });
    let read = or_violation(read, report, ViolationKind::Gaps, "the swept ranges cannot be read")?;
    Ok(read.map(|()| CountedRuns { digest: Hash(digest.finish()).to_string(), ranges, events }))
}

/// Reads the events of sweeps that stand in the log and are not swept themselves, the newest first.
/// The newest sweep's own event is among them wherever it stands: the walk tells where it may not.
fn read_claims(log: &Snapshot<'_>, report: &mut VerifyReport) -> Result<Option<Vec<SweepClaim>>> {
    let mut claims: Vec<SweepClaim> = Vec::new();
    let found = log.each_sweep_event(&mut |event| {
        let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        // A payload without a number vouches for nothing.
        if let Some(number) = payload["sweep"].as_i64()
            && (claims.is_empty() || !event.is_swept)
        {
            let SweepEvent { id, recorded_at, .. } = event;
            claims.push(SweepClaim { event: id, recorded_at, number, payload });
        }
    });
    let found =
        or_violation(found, report, ViolationKind::Gaps, "the events of sweeps cannot be read")?;
    Ok(found.map(|()| claims))
}

/// Returns what the newest sweep says of all ranges and what is otherwise.
fn claim_mismatch(claim: &SweepClaim, runs: &CountedRuns) -> Option<String> {
    let name = claim.name();
    if claim.number_of("gaps") != Some(runs.ranges) {
        let ranges = text::plural(runs.ranges, "swept range");
        return Some(format!("{name} does not say that {ranges} count"));
    }
    if claim.number_of("total") != Some(runs.events) {
        let events = text::plural(runs.events, "event");
        return Some(format!("{name} does not say that sweeps have taken {events} in all"));
    }
    None
}

/// Returns what the event of a sweep says that cannot be together.
fn claim_flaw(claim: &SweepClaim) -> Option<String> {
    let name = claim.name();
    let Some(count) = claim.number_of("count") else {
        return Some(format!("{name} does not say how many events it took"));
    };
    let by_action = claim.payload["by_action"].as_object();
    if by_action.and_then(|counts| sum(counts.values())) != Some(count) {
        return Some(format!("the counts by action of {name} do not add up to its {count}"));
    }
    let rules = claim.payload["rules"].as_array();
    let by_rule = rules.and_then(|rules| sum(rules.iter().map(|rule| &rule["count"])));
    let has_keep = claim.payload.get("cutoff").is_some();
    if by_rule.is_none_or(|by_rule| by_rule > count || by_rule < count && !has_keep) {
        return Some(format!("the counts by rule of {name} do not fit its {count}"));
    }
    if claim.number_of("late").is_none_or(|late| late > count) {
        return Some(format!("{name} took {count}, and says that more came in too old"));
    }
    let latest = claim.recorded_at.saturating_add(CLOCK_TOLERANCE);
    for cutoff in cutoffs(&claim.payload) {
        match cutoff {
            Err(()) => return Some(format!("a cutoff of {name} is no time")),
            Ok(cutoff) if cutoff > latest => {
                let at = claim.recorded_at;
                return Some(format!("{name} has the cutoff {cutoff}, after its own time {at}"));
            }
            Ok(_) => {}
        }
    }
    None
}

/// Adds up counts; `None` if one is no count.
fn sum<'a>(mut counts: impl Iterator<Item = &'a Value>) -> Option<u64> {
    counts.try_fold(0_u64, |sum, count| sum.checked_add(count.as_u64()?))
}

/// Returns what does not fit between the event of a sweep and the one before it in the log. The
/// newest sweep never takes the event of the one before it.
fn order_flaw(claim: &SweepClaim, before: Option<&SweepClaim>, newest: i64) -> Option<String> {
    let name = claim.name();
    if claim.number > newest {
        return Some(format!("{name} never took effect: the newest is sweep {newest}"));
    }
    let total_before = match before {
        Some(before) if before.number >= claim.number => {
            return Some(format!("{name} comes after {}", before.name()));
        }
        Some(before) if before.number.checked_add(1) == Some(claim.number) => {
            before.number_of("total")?
        }
        _ if claim.number == newest && newest > 1 => {
            return Some(format!("the event of the sweep before {name} is not there"));
        }
        _ if claim.number == 1 => 0,
        // That event was swept, and what it said with it.
        _ => return None,
    };
    let count = claim.number_of("count")?;
    let total = claim.number_of("total");
    (total_before.checked_add(count) != total).then(|| {
        let took = total.and_then(|total| total.checked_sub(total_before)).unwrap_or(0);
        let events = text::plural(took, "event");
        format!("{name} says that it took {count}, and the ranges grew by {events}")
    })
}

/// Returns the times before which a sweep took events: each rule has its own.
fn cutoffs(payload: &Value) -> impl Iterator<Item = std::result::Result<Timestamp, ()>> {
    let rules = payload["rules"].as_array().into_iter().flatten();
    let of_rules = rules.map(|rule| &rule["cutoff"]);
    of_rules.chain(payload.get("cutoff")).map(|cutoff| {
        cutoff.as_str().and_then(|text| Timestamp::parse_rfc3339(text).ok()).ok_or(())
    })
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
