//! The sentences of a digest. A sentence is empty where there is nothing to say.

use std::collections::HashMap;

use crate::digest::event_lines::EventLineFormatter;
use crate::digest::list_command;
use crate::digest::mail_context::LowDiskSpace;
use crate::digest::mail_context::MailContext;
use crate::digest::phrases;
use crate::digest::quiet::QuietActivity;
use crate::digest::report::DigestReport;
use crate::digest::report::HostActivity;
use crate::digest::window::DigestGap;
use crate::digest::window::DigestWindow;
use crate::event::Party;
use crate::query::Query;
use crate::text;
use crate::time;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The failed sign-ins of one person that need a look.
const MIN_FAILED_SIGN_INS: u64 = 2;
/// The most people, and the most failed digests, that are named among what needs a look.
const MAX_NAMED: usize = 5;

/// Returns the prefix of the subject of a digest that covers a gap: `covers 3 days`.
pub(super) fn gap_prefix(window: &DigestWindow) -> String {
    match &window.gap {
        None => String::new(),
        Some(DigestGap { longer_than_a_day: true, .. }) => {
            format!("covers {}", phrases::format_length(window))
        }
        Some(DigestGap { failed, unrecorded, longer_than_a_day: false }) => {
            let (count, kind) = match failed.len() {
                0 => (unrecorded.len(), "unrecorded"),
                count => (count, "failed"),
            };
            match (count, kind) {
                (1, "failed") => "after a failed digest".to_owned(),
                (1, kind) => format!("after an {kind} digest"),
                (count, kind) => format!("after {count} {kind} digests"),
            }
        }
    }
}

/// Returns the sentence of a window without events.
pub(super) fn no_activity_sentence(report: &DigestReport, zone: &Zone) -> String {
    if report.total > 0 {
        return String::new();
    }
    let length = phrases::format_length(&report.window);
    match &report.last_event {
        Some(_) if report.query.is_some() => format!("No activity of that sort in {length}."),
        Some(last) if report.store.is_some() => format!(
            "No activity in {length} on any host. The last event came {} ({}).",
            time::format_ago(last.occurred_at, report.made_at.max(last.occurred_at), zone),
            phrases::escape_label(&last.action.slug),
        ),
        None if report.store.is_some() => {
            format!("No activity in {length} on any host. The store has no events yet.")
        }
        Some(last) => format!(
            "No activity in {length}. The log is alive: its last event came {} ({}).",
            time::format_ago(last.occurred_at, report.made_at.max(last.occurred_at), zone),
            phrases::escape_label(&last.action.slug),
        ),
        None if report.head.0.0 > 0 => {
            format!("No activity in {length}. The log has no events but its own.")
        }
        None => format!("No activity in {length}. The log has no events yet."),
    }
}

/// Returns the query of a one-off digest for people.
pub(super) fn describe_query(query: &Query, zone: &Zone) -> String {
    phrases::escape_sentence(&query.describe(|at| zone.format(at, TimeFormat::DateTimeMinute)))
}

/// Returns the sentence `And 3 kinds more with 12 events: activity list …`.
pub(super) fn omitted_kinds_sentence((kinds, events): (u64, u64), command: &str) -> String {
    if kinds == 0 {
        return String::new();
    }
    let noun = if kinds == 1 { "kind" } else { "kinds" };
    let kinds = text::format_thousands(kinds);
    format!("And {kinds} {noun} more with {}: {command}", phrases::format_count(events, "event"))
}

/// Returns the sentence `No sign-ups, comments or bookings.`
pub(super) fn empty_kinds_sentence(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| uncapitalize(name)).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => format!("No {only}."),
        [first @ .., last] => format!("No {} or {last}.", first.join(", ")),
    }
}

/// Returns a name with a small first letter, unless it is an abbreviation.
fn uncapitalize(name: &str) -> String {
    let name = phrases::escape_label(name);
    let mut letters = name.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => name,
    }
}

/// Returns the sentence on events that are dated after the window.
pub(super) fn ahead_sentence(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => "1 event is dated after the end of this window; a later digest has it.".to_owned(),
        _ => format!(
            "{} events are dated after the end of this window; later digests have them.",
            text::format_thousands(count)
        ),
    }
}

/// Returns the sentences on what needs a look, the most serious first.
pub(super) fn needs_a_look(
    report: &DigestReport,
    options: &MailContext<'_>,
    lines: &EventLineFormatter<'_>,
) -> Vec<String> {
    let window = &report.window;
    let mut sentences = Vec::new();
    sentences.extend(options.write_failure_notice.map(phrases::escape_sentence));
    if let Some(LowDiskSpace { free, required }) = options.low_disk_space {
        let (free, required) = (phrases::format_bytes(free), phrases::format_bytes(required));
        sentences
            .push(format!("Only {free} are left for the log, less than the {required} asked for."));
    }
    sentences.extend(host_sentences(report, options));
    sentences.extend(gap_sentences(window, options.zone));
    sentences.extend(
        report
            .gone_quiet
            .iter()
            .map(|quiet| gone_quiet_sentence(quiet, report.made_at, options.zone)),
    );
    sentences.extend(options.silent_alerts.iter().take(MAX_NAMED).map(|(name, reason)| {
        let name = phrases::escape_label(name);
        phrases::escape_sentence(&format!("The alert {name} has nothing to tell: {reason}."))
    }));
    if report.critical > 0 {
        let query = list_command::narrow_query("severity:critical", report.query.as_ref());
        let command = list_command::list_command(
            options.program,
            &query,
            Some(window.since),
            Some(window.until),
        );
        sentences.extend(report.critical_events.iter().map(|event| lines.format_critical(event)));
        let more = report.critical.saturating_sub(report.critical_events.len() as u64);
        if more > 0 {
            let more = phrases::format_count(more, "more critical event");
            sentences.push(format!("And {more}: {command}"));
        }
    }
    sentences.extend(failed_sign_in_sentences(report));
    let is_mirror_failure = |slug: &str| slug == "mirror.failing" || slug == "mirror.dead";
    let mirror_failures = report
        .own_events
        .iter()
        .filter(|event| is_mirror_failure(&event.action.slug))
        .take(MAX_NAMED);
    sentences.extend(mirror_failures.map(|event| to_sentence(&lines.format_own_event(event))));
    sentences
}

/// Names the hosts of a store whose events may be missing: a host that says nothing is not quiet.
fn host_sentences(report: &DigestReport, options: &MailContext<'_>) -> Vec<String> {
    let now = report.made_at;
    let (silent, others): (Vec<&HostActivity>, Vec<&HostActivity>) =
        report.hosts.iter().partition(|host| host.is_silent(now));
    let behind: Vec<&HostActivity> = others.into_iter().filter(|host| host.waiting() > 0).collect();
    let mut sentences = Vec::new();
    if report.store.is_some() && report.hosts.is_empty() {
        sentences.push("No host has written to the store yet.".to_owned());
    }
    sentences.extend(silent.iter().take(MAX_NAMED).map(|host| {
        let name = phrases::escape_label(&host.log.name);
        match host.log.seen_at {
            Some(at) => format!(
                "{name} has said nothing since {} ({}): what happened there since then is missing.",
                options.zone.format(at, phrases::dated_style(at, now, options.zone)),
                time::format_ago(at, now.max(at), options.zone),
            ),
            None => format!("{name} has said nothing yet."),
        }
    }));
    sentences.extend(behind.iter().take(MAX_NAMED).map(|host| {
        let name = phrases::escape_label(&host.log.name);
        let events = phrases::format_count(host.waiting(), "event");
        let verb = if host.waiting() == 1 { "has" } else { "have" };
        format!("{name} is behind: {events} {verb} yet to arrive, and a later digest tells them.")
    }));
    let more = |hosts: &[&HostActivity]| hosts.len().saturating_sub(MAX_NAMED) as u64;
    let hosts = more(&silent) + more(&behind);
    if hosts > 0 {
        let hosts = phrases::format_count(hosts, "more host");
        let program = options.program;
        sentences.push(format!("So it is with {hosts}: {program} mirror status"));
    }
    sentences
}

fn gap_sentences(window: &DigestWindow, zone: &Zone) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(window.ahead_until.map(|ahead| {
        format!(
            "The clock had run ahead when the last digest was made: its window ends at {}. This one has \
             what that one did not cover.",
            zone.format(ahead, TimeFormat::DateTimeMinute)
        )
    }));
    let Some(gap) = &window.gap else { return sentences };
    if gap.longer_than_a_day {
        sentences.push(format!(
            "No digest was sent since {}: this one covers {}.",
            zone.format(window.since, TimeFormat::WeekdayTime),
            phrases::format_length(window)
        ));
    }
    for failed in gap.failed.iter().take(MAX_NAMED) {
        let reason = failed.outcome.error.as_ref().or(failed.outcome.status.as_ref());
        let reason = reason.map(|reason| phrases::escape_label(reason)).unwrap_or_default();
        sentences.push(format!(
            "The digest of {} could not be sent ({}: {reason}); this one has its events.",
            zone.format(failed.at, TimeFormat::WeekdayTime),
            phrases::escape_label(&failed.outcome.transport),
        ));
    }
    if let Some(more @ 1..) = gap.failed.len().checked_sub(MAX_NAMED) {
        sentences.push(format!("Nor could {more} more digests."));
    }
    for at in gap.unrecorded.iter().take(MAX_NAMED) {
        sentences.push(format!(
            "The digest of {} has no record and may have been sent; this one has its events again.",
            zone.format(*at, TimeFormat::WeekdayTime)
        ));
    }
    if let Some(more @ 1..) = gap.unrecorded.len().checked_sub(MAX_NAMED) {
        sentences.push(format!("Nor have {more} more digests."));
    }
    sentences
}

fn gone_quiet_sentence(quiet: &QuietActivity, now: Timestamp, zone: &Zone) -> String {
    format!(
        "{} {} stopped: the last was {} ({}), normally {}.",
        phrases::escape_label(&quiet.name),
        if quiet.is_action { "has" } else { "have" },
        time::format_ago(quiet.last, now.max(quiet.last), zone),
        zone.format(quiet.last, phrases::dated_style(quiet.last, now, zone)),
        quiet.frequency
    )
}

fn failed_sign_in_sentences(report: &DigestReport) -> Vec<String> {
    let mut people: Vec<(Option<&Party>, u64)> = Vec::new();
    let mut indices: HashMap<Option<&str>, usize> = HashMap::new();
    for failed in report.failed_attempts.iter().filter(|failed| failed.is_sign_in()) {
        let who = failed.who.as_ref();
        // The failures of one person at several actions are added up.
        let name = who.and_then(|who| who.id.as_deref().or(who.label.as_deref()));
        let index = *indices.entry(name).or_insert_with(|| {
            people.push((who, 0));
            people.len() - 1
        });
        people[index].1 += failed.count;
    }
    people.retain(|(_, count)| *count >= MIN_FAILED_SIGN_INS);
    people.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named: Vec<&Party> = people.iter().filter_map(|(who, _)| *who).collect();
    let mut names = phrases::format_people(&named).into_iter();
    let mut sentences: Vec<String> = people
        .iter()
        .take(MAX_NAMED)
        .map(|(who, count)| {
            let name = who.and_then(|_| names.next());
            let who = name.unwrap_or_else(|| "nobody in particular".to_owned());
            format!("{} for {who}.", phrases::format_count(*count, "failed sign-in"))
        })
        .collect();
    if people.len() > MAX_NAMED {
        let rest = &people[MAX_NAMED..];
        let count = rest.iter().map(|(_, count)| count).sum();
        let others = phrases::format_count(rest.len() as u64, "other");
        sentences.push(format!("{} for {others}.", phrases::format_count(count, "failed sign-in")));
    }
    sentences
}

fn to_sentence(phrase: &str) -> String {
    let mut letters = phrase.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}
