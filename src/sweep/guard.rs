//! What speaks against a sweep: a clock that may be wrong, and a removal that is larger than anybody
//! may have meant.
//!
//! A sweep trusts the clock of the host, and one hook that ran under a wrong clock leaves a time in the
//! log that seems to confirm it. So a long jump between two times of recording is trusted only after
//! events of a whole day have been recorded behind it.

use anyhow::Result;
use serde_json::Value;

use crate::access::PlatformWork;
use crate::retention::RetentionPolicy;
use crate::retention::RetentionRule;
use crate::store::Log;
use crate::sweep::SWEEP_ACTION;
use crate::sweep::SweepPlan;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;

/// If the clock, or the log, has gone further than this at once, it may be wrong.
const MAX_CLOCK_LEAD: Span = Span::from_seconds(30 * 86_400);
/// The time for which events have to be recorded behind a jump before it is trusted.
const PROBATION: Span = Span::from_seconds(86_400);
/// A sweep that removes no more events than this needs no confirmation.
const MAX_UNCONFIRMED: u64 = 1_000;

/// Returns why the clock may be wrong, if it is far past the newest event, or if the log has jumped so
/// far within its last day.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn clock_doubt(log: &Log, now: Timestamp) -> Result<Option<String>> {
    let Some(recorded) = log.recent_clock(PlatformWork::Sweep, MAX_CLOCK_LEAD, PROBATION)? else {
        return Ok(None);
    };
    let newest = recorded.newest;
    if now > newest.saturating_add(MAX_CLOCK_LEAD) {
        return Ok(Some(format!(
            "the clock says {now}, and the newest event was recorded {newest}, over 30 days before"
        )));
    }
    // Where the clock of the host is not there yet, the jump does not speak for it.
    Ok(recorded.jump.filter(|(_, to)| *to <= now).map(|(from, to)| {
        format!(
            "times of recording jump from {from} to {to}, over 30 days, and less than a day was \
             recorded since"
        )
    }))
}

/// Returns why somebody should confirm a removal: it takes more than half of the log, and no sweep with
/// the same horizons has run before.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn size_doubt(
    log: &Log,
    plan: &SweepPlan,
    retention: &RetentionPolicy,
) -> Result<Option<String>> {
    let count = plan.ids.len();
    if count <= MAX_UNCONFIRMED || count <= plan.event_count / 2 || has_run_before(log, retention)?
    {
        return Ok(None);
    }
    let (count, events) = (text::format_thousands(count), text::format_thousands(plan.event_count));
    Ok(Some(format!(
        "{count} of {events} events would go, and no sweep has run with this retention before"
    )))
}

/// Whether the log has a sweep with the same `keep` and the same rules.
fn has_run_before(log: &Log, retention: &RetentionPolicy) -> Result<bool> {
    let keep = retention.keep().map(|keep| keep.to_string());
    Ok(log.own_events(PlatformWork::Sweep, SWEEP_ACTION)?.iter().any(|event| {
        let payload = event.payload.as_ref();
        let payload = payload.and_then(|json| serde_json::from_str::<Value>(json.as_str()).ok());
        let Some(payload) = payload else { return false };
        let rules = payload.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_same = |(rule, recorded): (&RetentionRule, &Value)| {
            recorded.get("query").and_then(Value::as_str) == Some(&rule.text)
                && recorded.get("keep").and_then(Value::as_str) == Some(&rule.keep.to_string())
        };
        payload.get("keep").and_then(Value::as_str) == keep.as_deref()
            && rules.len() == retention.rules().len()
            && retention.rules().iter().zip(rules).all(is_same)
    }))
}
