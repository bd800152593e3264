//! The phrases that sentences, lines and sections are made of: names, counts, sizes and spans of
//! time.

use std::fmt::Write;

use crate::digest::window;
use crate::digest::window::DigestWindow;
use crate::event::Party;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The columns that a name or a label gets.
const LABEL_COLUMNS: usize = 48;
/// The columns that a sentence gets.
const SENTENCE_COLUMNS: usize = 240;
/// The columns that an id gets where it stands in the place of a label.
const ID_COLUMNS: usize = 16;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Returns a name or a label from outside, safe to show and cut to its columns.
pub(super) fn escape_label(text: &str) -> String {
    escape_and_truncate(text, LABEL_COLUMNS)
}

/// Returns a sentence that quotes text from outside, safe to show and cut to its columns.
pub(super) fn escape_sentence(text: &str) -> String {
    escape_and_truncate(text, SENTENCE_COLUMNS)
}

/// Returns an id from outside, safe to show and cut to its columns.
pub(super) fn escape_id(text: &str) -> String {
    escape_and_truncate(text, ID_COLUMNS)
}

/// Returns a name from outside, safe to show and cut in its middle to so many columns: names of one
/// family differ at their ends.
pub(super) fn escape_name(name: &str, columns: usize) -> String {
    let escaped = text::escape(name);
    if text::width(&escaped) <= columns {
        return escaped.into_owned();
    }
    let end_columns = (columns - 1) / 2;
    let reversed: String = escaped.chars().rev().collect();
    let end: String =
        text::truncate(&reversed, end_columns + 1).trim_end_matches('…').chars().rev().collect();
    let head = text::truncate(&escaped, columns - text::width(&end)).into_owned();
    format!("{head}{end}")
}

/// Returns the style of a day with its time, with the year where that is not the year of the window.
pub(super) fn dated_style(at: Timestamp, until: Timestamp, zone: &Zone) -> TimeFormat {
    let year = |at| zone.format(at, TimeFormat::Year);
    if year(at) == year(until) { TimeFormat::WeekdayTime } else { TimeFormat::WeekdayTimeYear }
}

/// Returns the names of people, those of several people of one name with their ids.
pub(super) fn format_people(people: &[&Party]) -> Vec<String> {
    let is_shared = |party: &Party| {
        party.label.is_some()
            && people.iter().any(|other| other.label == party.label && other.id != party.id)
    };
    let name = |party: &&Party| match &party.id {
        Some(id) if is_shared(party) => format!("{} ({})", format_party(party), escape_id(id)),
        Some(_) | None => format_party(party),
    };
    people.iter().map(name).collect()
}

fn escape_and_truncate(text: &str, columns: usize) -> String {
    text::truncate(&text::escape(text), columns).into_owned()
}

/// Returns the label of a person, or else the id.
pub(super) fn format_party(party: &Party) -> String {
    match (&party.label, &party.id) {
        (Some(label), _) => escape_label(label),
        (None, Some(id)) => escape_id(id),
        (None, None) => "(anonymous)".to_owned(),
    }
}

/// Returns a count with its noun: `18,412 events`.
pub(super) fn format_count(count: u64, noun: &str) -> String {
    let phrase = text::plural(count, noun);
    let noun = phrase.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{}{noun}", text::format_thousands(count))
}

/// Returns a number of bytes for people: `112 MiB`.
pub(crate) fn format_bytes(count: u64) -> String {
    let unit = ["KiB", "MiB", "GiB", "TiB"]
        .into_iter()
        .zip([10, 20, 30, 40])
        .rev()
        .find(|(_, shift)| count >> shift > 0);
    match unit {
        Some((unit, shift)) => format!("{} {unit}", count >> shift),
        None => text::plural(count, "byte"),
    }
}

/// Whether the window is one day long, give or take a change of the clocks and the delay of cron.
pub(super) fn is_a_day(window: &DigestWindow) -> bool {
    let longest = window::LONGEST_WITHOUT_GAP.as_seconds();
    let shortest = 2 * window::USUAL_LENGTH.as_seconds() - longest;
    (shortest..=longest).contains(&(window.length_nanos().unsigned_abs() / SECOND))
}

/// Returns the length of the window: `24 hours`, `3 days`, `20 minutes`.
pub(super) fn format_length(window: &DigestWindow) -> String {
    let nanos = window.length_nanos().unsigned_abs();
    let hours = (nanos + HOUR / 2) / HOUR;
    if nanos < MINUTE {
        "less than a minute".to_owned()
    } else if nanos < HOUR {
        text::plural(nanos / MINUTE, "minute")
    } else if hours >= 48 && (hours.is_multiple_of(24) || hours > 96) {
        text::plural((hours + 12) / 24, "day")
    } else {
        text::plural(hours, "hour")
    }
}

/// Returns both ends of the window: `Thu 19 Nov 06:00 to Fri 20 Nov 06:00 SAST (04:00 UTC)`.
pub(super) fn format_span(window: &DigestWindow, zone: &Zone) -> String {
    let year = |at| zone.format(at, TimeFormat::Year);
    let style = if year(window.since) == year(window.until) {
        TimeFormat::WeekdayTime
    } else {
        TimeFormat::WeekdayTimeYear
    };
    let at = |at: Timestamp| zone.format(at, style);
    let (before, after) = (zone.abbreviation(window.since), zone.abbreviation(window.until));
    let change = if before == after { String::new() } else { format!(" {before}") };
    let mut span = format!("{}{change} to {} {after}", at(window.since), at(window.until));
    if *zone != Zone::utc() {
        let clock = Zone::utc().format(window.until, TimeFormat::TimeOfDay);
        write!(span, " ({clock} UTC)").expect("a String takes all");
    }
    span
}
