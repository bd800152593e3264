//! Times as people type and read them: `yesterday`, `-2h`, `3 days ago`.
//!
//! The grammar is strict: what is not on its list is refused, never guessed at.

use std::ops::Range;

use super::civil;
use super::civil::{NANOS_PER_SECOND, OUT_OF_RANGE, ParsedDateTime, TimeOfDay, TimeParseError};
use super::emitted::Decimal;
use super::span::Span;
use super::timestamp::Timestamp;
use super::zone::{TimeFormat, WindowEdge, Zone};

const SECONDS_PER_MINUTE: u64 = 60;
const SECONDS_PER_HOUR: u64 = 3_600;
/// Shortly after midnight, a time of last evening is hours ago and not yesterday.
const HOURS_OF_LAST_EVENING: u64 = 6;

/// What is understood, for messages.
const UNDERSTOOD: &str = "2026-11-20, \"2026-11-20 14:30\", 2026-11, \"3 Nov\", monday, today, yesterday, \
    14:30, now, 2h, \"3 days ago\", \"last week\" or @1700000000";

const MONTH_NAMES: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The names of the days of a week, which begins on Monday.
const WEEKDAY_NAMES: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A time as a person types it.
enum TypedTime {
    Instant(Timestamp),
    /// Whole days of the calendar, by their numbers: a day, a week, a month or a year.
    Days(Range<i64>),
}

/// Reads a time that a person typed, local ones in `zone`.
///
/// RFC 3339; `2026-11-20`, `2026-11-20 14:30`, `2026-11-20 14:30:05`, `2026-11`, `2026`; `3 Nov`,
/// `Nov 3`, `3 Nov 2025`; `today`, `yesterday`, `tomorrow` and `monday`, each also with a time of day;
/// `14:30`; `now`; `last week`, `this month`; `2h`, `-2h`, `2h ago`, `1h30m`, `8 hours` and `3 days
/// ago`, all so long ago; `@1700000000`, in Unix seconds. A zone may stand behind a date and time.
///
/// Days are their first instant. A day of the week is the last one, today excluded; a day without a
/// year is the last one, today included. A time that the clocks skip is the first instant after, one
/// that they show twice goes by `side`.
///
/// # Errors
///
/// One line that quotes the text and says what is understood.
pub(crate) fn parse_human(
    text: &str,
    now: Timestamp,
    zone: &Zone,
    side: WindowEdge,
) -> Result<Timestamp, String> {
    let instant = |(typed, zone): (TypedTime, Zone)| match typed {
        TypedTime::Instant(at) => Ok(at),
        TypedTime::Days(days) => zone.first_instant(days.start),
    };
    parse_typed(text.trim_ascii(), now, zone, side)
        .and_then(instant)
        .map_err(|refused| refused.describe(text, || format!("is not a time like {UNDERSTOOD}")))
}

/// Reads a day, week, month or year that a person typed: `2026-11-20`, `yesterday`, `2026-11`. Returns
/// its first instant, and the first one after it.
///
/// # Errors
///
/// One line that quotes the text and says what is understood.
pub(crate) fn parse_human_span(
    text: &str,
    now: Timestamp,
    zone: &Zone,
) -> Result<(Timestamp, Timestamp), String> {
    let span = |(typed, zone): (TypedTime, Zone)| match typed {
        TypedTime::Instant(_) => Err(TimeParseError::Syntax),
        TypedTime::Days(days) => {
            Ok((zone.first_instant(days.start)?, zone.first_instant(days.end)?))
        }
    };
    parse_typed(text.trim_ascii(), now, zone, WindowEdge::Since).and_then(span).map_err(|refused| {
        refused.describe(text, || {
            "is not a day, month or year like 2026-11-20, yesterday, 2026-11 or 2026".to_owned()
        })
    })
}

/// Reads a time, and returns the zone in which its days are.
fn parse_typed(
    text: &str,
    now: Timestamp,
    zone: &Zone,
    side: WindowEdge,
) -> Result<(TypedTime, Zone), TimeParseError> {
    match parse_in_zone(text, now, zone, side) {
        Err(TimeParseError::Syntax) => {}
        read => return read.map(|typed| (typed, *zone)),
    }
    let (local, zone_name) = text.rsplit_once(' ').ok_or(TimeParseError::Syntax)?;
    let local = local.trim_ascii_end();
    let named = match Zone::parse(zone_name) {
        Ok(named) if zone_name.contains(|c: char| c.is_ascii_alphabetic() || c == '+') => named,
        // What our own screens call the zone, as `SAST`.
        _ if zone.abbreviation(now).eq_ignore_ascii_case(zone_name) => *zone,
        _ => return Err(TimeParseError::Syntax),
    };
    parse_in_zone(local, now, &named, side).map(|typed| (typed, named))
}

fn parse_in_zone(
    text: &str,
    now: Timestamp,
    zone: &Zone,
    side: WindowEdge,
) -> Result<TypedTime, TimeParseError> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(TypedTime::Instant(now));
    }
    if let Some(number) = text.strip_prefix('@') {
        let seconds = Decimal::parse(number).ok_or(TimeParseError::Syntax)?;
        return seconds.to_timestamp_from_seconds().map(TypedTime::Instant);
    }
    if let Some(span) = parse_span_ago(text) {
        return span
            .and_then(|span| now.checked_sub(span))
            .map(TypedTime::Instant)
            .ok_or_else(|| TimeParseError::Invalid(OUT_OF_RANGE.to_owned()));
    }
    match ParsedDateTime::parse(text) {
        Err(TimeParseError::Syntax) => {}
        Err(refused) => return Err(refused),
        Ok(ParsedDateTime { day, time_of_day: None, .. }) => {
            return Ok(TypedTime::Days(day..day + 1));
        }
        Ok(written) => return resolve(&written, zone, side),
    }
    let lower = text.to_ascii_lowercase();
    let mut words: Vec<&str> =
        lower.split_ascii_whitespace().map(|word| word.trim_end_matches(',')).collect();
    let time_of_day = match words.last() {
        Some(last) if last.contains(':') => {
            let clock = TimeOfDay::parse(last)?;
            words.pop();
            Some(clock)
        }
        _ => None,
    };
    let today = zone.day_number(now);
    let days = match words.as_slice() {
        [] if time_of_day.is_some() => today..today + 1,
        words => calendar_days(words, today)?,
    };
    match time_of_day {
        None => Ok(TypedTime::Days(days)),
        Some(_) if days.end - days.start > 1 => Err(TimeParseError::Syntax),
        Some(_) => {
            resolve(&ParsedDateTime { day: days.start, time_of_day, offset: None }, zone, side)
        }
    }
}

fn resolve(
    written: &ParsedDateTime,
    zone: &Zone,
    side: WindowEdge,
) -> Result<TypedTime, TimeParseError> {
    let instant = match written.offset {
        Some(offset) => written.at_offset(offset),
        None => zone.resolve(written, side),
    };
    instant.map(TypedTime::Instant)
}

/// Returns the days that words of the calendar name, by their numbers.
fn calendar_days(words: &[&str], today: i64) -> Result<Range<i64>, TimeParseError> {
    let one_day = |day| Ok(day..day + 1);
    match *words {
        ["today"] => one_day(today),
        ["yesterday"] => one_day(today - 1),
        ["tomorrow"] => one_day(today + 1),
        [which @ ("last" | "this"), unit] => {
            relative_unit(unit, today, if which == "last" { -1 } else { 0 })
        }
        [word] if WEEKDAY_NAMES.iter().any(|name| is_short_for(word, name)) => {
            let wanted = WEEKDAY_NAMES.iter().position(|name| is_short_for(word, name));
            let wanted = wanted.and_then(|place| i64::try_from(place).ok()).unwrap_or_default();
            let back = (civil::weekday_from_monday(today) - wanted).rem_euclid(7);
            one_day(today - if back == 0 { 7 } else { back })
        }
        [word] => match word.split_once('-') {
            Some((year, month)) if month.len() == 2 => {
                let month = digits(month).ok_or(TimeParseError::Syntax)?;
                month_days(year_number(year).ok_or(TimeParseError::Syntax)?, month)
            }
            Some(_) => Err(TimeParseError::Syntax),
            None => year_number(word).map_or(Err(TimeParseError::Syntax), year_days),
        },
        [a, b] => match (month_number(a), month_number(b)) {
            (Some(month), None) if year_number(b).is_some() => {
                month_days(year_number(b).unwrap_or_default(), month)
            }
            (Some(month), None) => last_such_day(month, day_of_month(b)?, today),
            (None, Some(month)) => last_such_day(month, day_of_month(a)?, today),
            _ => Err(TimeParseError::Syntax),
        },
        [a, b, year] => {
            let year = year_number(year).ok_or(TimeParseError::Syntax)?;
            match (month_number(a), month_number(b)) {
                (Some(month), None) => one_day(civil::checked_day(year, month, day_of_month(b)?)?),
                (None, Some(month)) => one_day(civil::checked_day(year, month, day_of_month(a)?)?),
                _ => Err(TimeParseError::Syntax),
            }
        }
        _ => Err(TimeParseError::Syntax),
    }
}

/// Returns the week, month or year `offset` units from the one that a day is in.
fn relative_unit(unit: &str, today: i64, offset: i64) -> Result<Range<i64>, TimeParseError> {
    let (year, month, _) = civil::date_of_day(today);
    match unit {
        "week" => {
            let monday = today - civil::weekday_from_monday(today) + 7 * offset;
            Ok(monday..monday + 7)
        }
        "month" => {
            let months = year * 12 + month - 1 + offset;
            month_days(months.div_euclid(12), months.rem_euclid(12) + 1)
        }
        "year" => year_days(year + offset),
        _ => Err(TimeParseError::Syntax),
    }
}

fn year_days(year: i64) -> Result<Range<i64>, TimeParseError> {
    Ok(civil::checked_day(year, 1, 1)?..civil::checked_day(year + 1, 1, 1)?)
}

fn month_days(year: i64, month: i64) -> Result<Range<i64>, TimeParseError> {
    let first = civil::checked_day(year, month, 1)?;
    Ok(first..first + civil::days_in_month(year, month))
}

/// Returns the last day of this date in any year, up to today.
fn last_such_day(month: i64, day: i64, today: i64) -> Result<Range<i64>, TimeParseError> {
    let (this_year, ..) = civil::date_of_day(today);
    // A leap day comes every eight years at least.
    let mut years = (this_year - 8..=this_year).rev();
    let found = years
        .find_map(|year| civil::checked_day(year, month, day).ok().filter(|found| *found <= today));
    match found {
        Some(found) => Ok(found..found + 1),
        None => civil::checked_day(this_year, month, day).map(|day| day..day + 1),
    }
}

fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

fn year_number(text: &str) -> Option<i64> {
    digits(text).filter(|_| text.len() == 4)
}

fn day_of_month(text: &str) -> Result<i64, TimeParseError> {
    digits(text).filter(|_| text.len() <= 2).ok_or(TimeParseError::Syntax)
}

fn month_number(word: &str) -> Option<i64> {
    let place = MONTH_NAMES.iter().position(|name| is_short_for(word, name))?;
    i64::try_from(place + 1).ok()
}

/// Whether a word is a name or its beginning, at least three letters of it.
fn is_short_for(word: &str, name: &str) -> bool {
    word.len() >= 3 && name.starts_with(word)
}

/// Reads `2h`, `-2h`, `1h30m`, `90 min`, `3 days ago`: all so long ago. The inner `None` is a span that
/// is too long.
fn parse_span_ago(text: &str) -> Option<Option<Span>> {
    let (mut rest, mut sum) = match text.strip_prefix('-') {
        Some(rest) => (rest, Some(0_u64)),
        None => match text.rsplit_once(' ') {
            Some((rest, ago)) if ago.eq_ignore_ascii_case("ago") => (rest, Some(0)),
            _ => (text, Some(0)),
        },
    };
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = &rest[..rest.len() - unit.len()];
        let unit = unit.trim_ascii_start();
        let after = unit.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let seconds = Span::unit_seconds(&unit[..unit.len() - after.len()])?;
        if number.is_empty() {
            return None;
        }
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
        sum = sum.zip(part).and_then(|(sum, part)| sum.checked_add(part));
        rest = after.trim_ascii_start();
    }
    Some(sum.map(Span::from_seconds))
}

/// Returns when `at` was, as a table has it: `just now`, `2 min ago`, `1 hr ago` on the same day; then
/// the weekday and the clock, from a week on the date and the clock, or the date and the year when that is
/// another one. Days are those of the calendar in `zone`. A time ahead of the clock reads `in 5 min`.
pub(crate) fn format_relative(at: Timestamp, now: Timestamp, zone: &Zone) -> String {
    let days = zone.day_number(now) - zone.day_number(at);
    let distance = at.as_nanos().saturating_sub(now.as_nanos()).unsigned_abs();
    let hours = distance / (SECONDS_PER_HOUR * NANOS_PER_SECOND.unsigned_abs());
    if days == 0 || hours < HOURS_OF_LAST_EVENING {
        return format_ago(at, now, zone);
    }
    let this_year = zone.civil(at).year == zone.civil(now).year;
    zone.format(
        at,
        match days {
            1..7 => TimeFormat::WeekdayClock,
            _ if this_year => TimeFormat::DayMonthClock,
            // The clock would make the column wider than that of any other row.
            _ => TimeFormat::DayMonthYear,
        },
    )
}

/// Returns how long ago `at` was, in days however many they are: `9 days ago`.
pub(crate) fn format_ago(at: Timestamp, now: Timestamp, zone: &Zone) -> String {
    // Saturating is enough: beyond some hours the text has no seconds.
    let seconds = at.as_nanos().saturating_sub(now.as_nanos()).unsigned_abs()
        / NANOS_PER_SECOND.unsigned_abs();
    let days = (zone.day_number(now) - zone.day_number(at)).unsigned_abs();
    let length = match seconds {
        0..SECONDS_PER_MINUTE => return "just now".to_owned(),
        SECONDS_PER_MINUTE..SECONDS_PER_HOUR => format!("{} min", seconds / SECONDS_PER_MINUTE),
        _ if days == 0 || seconds < HOURS_OF_LAST_EVENING * SECONDS_PER_HOUR => {
            format!("{} hr", seconds / SECONDS_PER_HOUR)
        }
        _ if days == 1 && at < now => return "yesterday".to_owned(),
        _ if days == 1 => return "tomorrow".to_owned(),
        _ => format!("{days} days"),
    };
    if at < now { format!("{length} ago") } else { format!("in {length}") }
}
