//! The checks of the last runs of digest and sweep, and of the clock.

use serde_json::Value;

use crate::digest::outcome::RecordedOutcome;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::config::ConfiguredJobs;
use crate::doctor::log::LogContents;
use crate::event::Event;
use crate::render::Status;
use crate::text;
use crate::time;
use crate::time::Span;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The age at which a daily digest counts as missed: a day, and two hours for a busy host.
const DIGEST_MAX_AGE: Span = Span::from_seconds(26 * 3_600);
/// The age at which a sweep counts as missed: one daily run may fail.
const SWEEP_MAX_AGE: Span = Span::from_seconds(48 * 3_600);
/// The time by which the clocks of emitters may be ahead.
const CLOCK_TOLERANCE: Span = Span::from_seconds(60);
/// An event with a wrong time that arrived before this is history, and nobody can correct it.
const RECENT_ARRIVAL: Span = Span::from_seconds(24 * 3_600);

/// `2 min ago (2026-11-20 14:28 SAST)`.
pub(super) fn describe_time(at: Timestamp, now: Timestamp, zone: &Zone) -> String {
    format!("{} ({})", time::format_ago(at, now, zone), zone.format(at, TimeFormat::DateTimeMinute))
}

pub(super) fn evaluate(
    contents: &LogContents,
    wants: &ConfiguredJobs,
    now: Timestamp,
    zone: &Zone,
) -> Vec<Check> {
    vec![
        check_digest(&contents.digests, wants.digest, now, zone),
        check_sweep(contents.last_sweep.as_ref(), wants.retention, now, zone),
    ]
}

/// Checks the last digest. `wanted`: whether the config names a recipient.
pub(super) fn check_digest(
    digests: &[RecordedOutcome],
    wanted: bool,
    now: Timestamp,
    zone: &Zone,
) -> Check {
    let check = |status, value: String| Check::new(Area::LastRuns, "digest", status, value);
    let unless_unwanted = |status| if wanted { status } else { Status::Note };
    let Some(last) = digests.iter().rev().find(|digest| !digest.outcome.one_off) else {
        return check(unless_unwanted(Status::Bad), "none yet".to_owned())
            .with_advice("`activity digest` sends the first; `--dry-run` shows it before");
    };
    let outcome = &last.outcome;
    let at = describe_time(last.at, now, zone);
    let to = outcome.recipients.join(", ");
    if !outcome.sent {
        let why = outcome.error.as_deref().or(outcome.status.as_deref()).unwrap_or("no reason");
        let value = format!("failed {at}, {}: {why}", outcome.transport);
        return check(Status::Bad, value).with_advice(
            "`activity doctor --mail ADDRESS` tries the way there; the next digest covers it",
        );
    }
    let status = outcome.status.as_deref().unwrap_or_default();
    let value = format!(
        "sent {at}, {} to {to}, {} {status}",
        text::plural(outcome.events, "event"),
        outcome.transport
    );
    if last.at < now.saturating_sub(DIGEST_MAX_AGE) {
        return check(unless_unwanted(Status::Bad), value)
            .with_advice("none in 26 hours: look at the schedule and its log file");
    }
    check(Status::Ok, value)
}

/// Checks the last sweep. `wanted`: whether the config has a rule of retention.
fn check_sweep(last: Option<&Event>, wanted: bool, now: Timestamp, zone: &Zone) -> Check {
    let check = |status, value: String| Check::new(Area::LastRuns, "sweep", status, value);
    let unless_unwanted = |status| if wanted { status } else { Status::Ok };
    let Some(last) = last else {
        let check = check(unless_unwanted(Status::Bad), "none yet".to_owned());
        return if wanted {
            check.with_advice("`activity sweep --dry-run` shows what it removes")
        } else {
            check
        };
    };
    let payload = last.payload.as_ref().and_then(|json| serde_json::from_str(json.as_str()).ok());
    let count = payload.as_ref().and_then(|payload: &Value| payload["count"].as_u64()).unwrap_or(0);
    let at = describe_time(last.recorded_at, now, zone);
    let value = format!("removed {} {at}", text::plural(count, "event"));
    if wanted && last.recorded_at < now.saturating_sub(SWEEP_MAX_AGE) {
        return check(Status::Bad, value)
            .with_advice("none in 48 hours: look at the schedule, or call `activity sweep`");
    }
    check(Status::Ok, value)
}

/// Checks whether the log has times that lie in the future.
pub(super) fn check_clocks(contents: &LogContents, now: Timestamp, zone: &Zone) -> Vec<Check> {
    let check = |name, status, value: String| Check::new(Area::Clock, name, status, value);
    let local = zone.format(now, TimeFormat::DateTimeMinute);
    let host = match &contents.last_recorded {
        Some(event) if event.recorded_at > now => {
            let at = describe_time(event.recorded_at, now, zone);
            let value = format!("{local}, but event {} was recorded {at}", event.id);
            check("host", Status::Bad, value)
                .with_advice("this host's clock was set back: see that it is synchronised")
        }
        _ => check("host", Status::Ok, local),
    };
    // The newest event is of a right clock again.
    let ran_ahead = contents.last_occurred.as_ref().filter(|event| {
        event.recorded_at > now
            && contents.last_recorded.as_ref().is_some_and(|last| last.recorded_at <= now)
    });
    let ran_ahead = ran_ahead.map(|event| {
        let at = describe_time(event.recorded_at, now, zone);
        let value = format!("event {} ({}) was recorded {at}", event.id, event.action.slug);
        check("recorded", Status::Note, value).with_advice(format!(
            "something ran under a clock that was ahead: activity show {}; see that it is synchronised",
            event.id
        ))
    });
    let ahead = contents.last_occurred.as_ref().filter(|event| {
        event.occurred_at > now.saturating_add(CLOCK_TOLERANCE)
            && event.occurred_at > event.recorded_at.saturating_add(CLOCK_TOLERANCE)
    });
    let emitters = ahead.map(|event| {
        let at = describe_time(event.occurred_at, now, zone);
        let lately = event.recorded_at > now.saturating_sub(RECENT_ARRIVAL);
        let status = if lately { Status::Bad } else { Status::Note };
        let value = format!("event {} ({}) is dated {at}", event.id, event.action.slug);
        check("emitters", status, value).with_advice(format!(
            "its sender's clock is wrong: activity show {}; no digest has it before then",
            event.id
        ))
    });
    [host].into_iter().chain(ran_ahead).chain(emitters).collect()
}
