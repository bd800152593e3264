//! The sentences of a digest.

use std::collections::HashMap;
use std::fmt::Write;

use crate::digest::lines;
use crate::digest::lines::Lines;
use crate::digest::quiet::Quiet;
use crate::digest::report::Report;
use crate::digest::view;
use crate::digest::view::Setting;
use crate::digest::view::Space;
use crate::digest::window;
use crate::digest::window::Gap;
use crate::digest::window::Window;
use crate::event::Party;
use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TextField;
use crate::text;
use crate::time;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How many sign-ins fail for one person before somebody should look.
const FAILED_SIGN_INS: u64 = 2;
/// How many people, and how many failed digests, are named among what needs a look.
const NAMED: usize = 5;

/// `18,412 events`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let worded = text::plural(count, noun);
    let noun = worded.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{}{noun}", text::format_thousands(count))
}

/// Whether the window is a day, give or take a change of the clocks and what cron is late.
pub(super) fn is_a_day(window: &Window) -> bool {
    let longest = window::LONGEST.as_seconds();
    let shortest = 2 * window::LENGTH.as_seconds() - longest;
    (shortest..=longest).contains(&(window.nanos().unsigned_abs() / SECOND))
}

/// The length of the window in words: `24 hours`, `3 days`, `20 minutes`.
pub(super) fn length(window: &Window) -> String {
    let nanos = window.nanos().unsigned_abs();
    let hours = (nanos + HOUR / 2) / HOUR;
    if nanos < HOUR {
        text::plural(nanos / MINUTE, "minute")
    } else if hours >= 48 && (hours.is_multiple_of(24) || hours > 96) {
        text::plural((hours + 12) / 24, "day")
    } else {
        text::plural(hours, "hour")
    }
}

/// `Thu 19 Nov 06:00 to Fri 20 Nov 06:00 SAST (04:00 UTC)`.
pub(super) fn span(window: &Window, zone: &Zone) -> String {
    let at = |at: Timestamp| zone.format(at, TimeFormat::WeekdayTime);
    let (before, after) = (zone.abbreviation(window.since), zone.abbreviation(window.until));
    let change = if before == after { String::new() } else { format!(" {before}") };
    let mut span = format!("{}{change} to {} {after}", at(window.since), at(window.until));
    if *zone != Zone::utc() {
        let clock = Zone::utc().format(window.until, TimeFormat::TimeOfDay);
        write!(span, " ({clock} UTC)").expect("a String takes all");
    }
    span
}

/// What stands in front of the subject when there is a gap: `covers 3 days`.
pub(super) fn gap(window: &Window) -> String {
    match &window.gap {
        None => String::new(),
        Some(Gap { longer: true, .. }) => format!("covers {}", length(window)),
        Some(Gap { failed, unrecorded, longer: false }) => {
            let (count, sort) = match failed.len() {
                0 => (unrecorded.len(), "unrecorded"),
                count => (count, "failed"),
            };
            match (count, sort) {
                (1, "failed") => "after a failed digest".to_owned(),
                (1, sort) => format!("after an {sort} digest"),
                (count, sort) => format!("after {count} {sort} digests"),
            }
        }
    }
}

/// The sentence of a window without an event.
pub(super) fn quiet_day(report: &Report, zone: &Zone) -> String {
    if report.total > 0 {
        return String::new();
    }
    let length = length(&report.window);
    match &report.last {
        Some(_) if report.query.is_some() => format!("No activity of that sort in {length}."),
        Some(last) => format!(
            "No activity in {length}. The log is alive: its last event came {} ({}).",
            time::format_ago(last.occurred_at, report.made_at.max(last.occurred_at), zone),
            lines::shown(&last.action.slug, lines::LABEL),
        ),
        None if report.head.0.0 > 0 => {
            format!("No activity in {length}. The log has no events but its own.")
        }
        None => format!("No activity in {length}. The log has no events yet."),
    }
}

/// What a one-off digest is about.
pub(super) fn query(query: &Query, zone: &Zone) -> String {
    lines::shown(&query.describe(|at| zone.format(at, TimeFormat::DateTimeMinute)), lines::SENTENCE)
}

/// `And 3 actions more with 12 events.`
pub(super) fn more_kinds((actions, events): (u64, u64)) -> String {
    if actions == 0 {
        return String::new();
    }
    format!("And {} more with {}.", counted(actions, "action"), counted(events, "event"))
}

/// `No sign-ups, comments or bookings.`
pub(super) fn nothing(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| in_a_sentence(name)).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => format!("No {only}."),
        [first @ .., last] => format!("No {} or {last}.", first.join(", ")),
    }
}

/// A name without its capital, unless it is an abbreviation.
fn in_a_sentence(name: &str) -> String {
    let name = lines::shown(name, lines::LABEL);
    let mut letters = name.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => name,
    }
}

pub(super) fn ahead(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => "1 event is dated after the end of this window; a later digest has it.".to_owned(),
        _ => format!(
            "{} events are dated after the end of this window; later digests have them.",
            text::format_thousands(count)
        ),
    }
}

/// The command that shows what a query finds, times in full so that the counts agree.
pub(super) fn command(query: &str, since: Option<Timestamp>, until: Option<Timestamp>) -> String {
    let mut command = format!("activity list '{}'", text::escape(query).replace('\'', r"'\''"));
    for (flag, at) in [("since", since), ("until", until)] {
        if let Some(at) = at {
            write!(command, " --{flag} {at}").expect("a String takes all");
        }
    }
    command
}

/// `asked`, which may name actions, and all that a one-off digest is about but times and actions.
pub(super) fn narrowed(asked: &str, query: Option<&Query>) -> String {
    let is_other = |term: &&Term| !matches!(term.predicate, Predicate::Text(TextField::Action, _));
    let terms = query.into_iter().flat_map(Query::terms).filter(is_other);
    terms.fold(asked.to_owned(), |all, term| format!("{all} {term}"))
}

/// What needs a look, the gravest first.
pub(super) fn looks(report: &Report, setting: &Setting<'_>, lines: &Lines<'_>) -> Vec<String> {
    let window = &report.window;
    let mut looks = Vec::new();
    looks.extend(setting.unwritten.map(|sentence| lines::shown(sentence, lines::SENTENCE)));
    if let Some(Space { free, wanted }) = setting.space {
        let (free, wanted) = (view::bytes(free), view::bytes(wanted));
        looks.push(format!("Only {free} are left for the log, less than the {wanted} asked for."));
    }
    looks.extend(gap_sentences(window, setting.zone));
    looks.extend(report.quiet.iter().map(|quiet| gone_quiet(quiet, report.made_at, setting.zone)));
    if report.critical > 0 {
        let asked = narrowed("severity:critical", report.query.as_ref());
        let command = command(&asked, Some(window.since), Some(window.until));
        looks.push(format!("{}: {command}", counted(report.critical, "critical event")));
    }
    looks.extend(failed_sign_ins(report));
    let is_trouble = |slug: &str| slug == "mirror.failing" || slug == "mirror.dead";
    let trouble = report.own.iter().filter(|event| is_trouble(&event.action.slug)).take(NAMED);
    looks.extend(trouble.map(|event| sentence(&lines.own(event))));
    looks
}

fn gap_sentences(window: &Window, zone: &Zone) -> Vec<String> {
    let Some(gap) = &window.gap else { return Vec::new() };
    let mut sentences = Vec::new();
    if gap.longer {
        sentences.push(format!(
            "No digest was sent since {}: this one covers {}.",
            zone.format(window.since, TimeFormat::WeekdayTime),
            length(window)
        ));
    }
    for failed in gap.failed.iter().take(NAMED) {
        let why = failed.outcome.error.as_ref().or(failed.outcome.status.as_ref());
        let why = why.map(|why| lines::shown(why, lines::LABEL)).unwrap_or_default();
        sentences.push(format!(
            "The digest of {} could not be sent ({}: {why}); this one has its events.",
            zone.format(failed.at, TimeFormat::WeekdayTime),
            lines::shown(&failed.outcome.transport, lines::LABEL),
        ));
    }
    if let Some(more @ 1..) = gap.failed.len().checked_sub(NAMED) {
        sentences.push(format!("Nor could {more} more digests."));
    }
    for at in gap.unrecorded.iter().take(NAMED) {
        sentences.push(format!(
            "The digest of {} has no record and may have been sent; this one has its events again.",
            zone.format(*at, TimeFormat::WeekdayTime)
        ));
    }
    if let Some(more @ 1..) = gap.unrecorded.len().checked_sub(NAMED) {
        sentences.push(format!("Nor have {more} more digests."));
    }
    sentences
}

fn gone_quiet(quiet: &Quiet, now: Timestamp, zone: &Zone) -> String {
    format!(
        "{} {} stopped: the last was {} ({}), normally {}.",
        lines::shown(&quiet.name, lines::LABEL),
        if quiet.is_action { "has" } else { "have" },
        time::format_ago(quiet.last, now.max(quiet.last), zone),
        zone.format(quiet.last, TimeFormat::WeekdayTime),
        quiet.pace
    )
}

fn failed_sign_ins(report: &Report) -> Vec<String> {
    let mut people: Vec<(Option<&Party>, u64)> = Vec::new();
    let mut places: HashMap<Option<&str>, usize> = HashMap::new();
    for failed in report.failed.iter().filter(|failed| failed.is_sign_in()) {
        let who = failed.who.as_ref();
        // One person may have failed at several actions.
        let name = who.and_then(|who| who.id.as_deref().or(who.label.as_deref()));
        let place = *places.entry(name).or_insert_with(|| {
            people.push((who, 0));
            people.len() - 1
        });
        people[place].1 += failed.count;
    }
    people.retain(|(_, count)| *count >= FAILED_SIGN_INS);
    people.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut sentences: Vec<String> = people
        .iter()
        .take(NAMED)
        .map(|(who, count)| {
            let who = who.map_or_else(|| "nobody in particular".to_owned(), lines::party);
            format!("{} for {who}.", counted(*count, "failed sign-in"))
        })
        .collect();
    if people.len() > NAMED {
        let rest = &people[NAMED..];
        let count = rest.iter().map(|(_, count)| count).sum();
        let others = counted(rest.len() as u64, "other");
        sentences.push(format!("{} for {others}.", counted(count, "failed sign-in")));
    }
    sentences
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}
