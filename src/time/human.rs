//! Times as people type and read them: `yesterday`, `-2h`, `3 days ago`.
//!
//! The grammar is strict: what is not on its list is refused, never guessed at.

use super::civil::{NANOS_PER_SECOND, OUT_OF_RANGE, ParsedDateTime, TimeParseError};
use super::emitted::Decimal;
use super::quoted;
use super::span::Span;
use super::timestamp::Timestamp;
use super::zone::{TimeFormat, WindowEdge, Zone};

const SECONDS_PER_MINUTE: u64 = 60;
const SECONDS_PER_HOUR: u64 = 3_600;

/// Reads a time that a person typed, local ones in `zone`.
///
/// RFC 3339; `2026-11-20`, `2026-11-20 14:30`, `2026-11-20 14:30:05`; `today`, `yesterday`, `now`;
/// `2h` and `-2h`, both two hours ago; `3 days ago`; `@1700000000`, in Unix seconds. A date is the
/// day's first instant. A time that the clocks skip is the first instant after, one that they show
/// twice goes by `side`.
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
    parse_time(text.trim_ascii(), now, zone, side).map_err(|refused| match refused {
        TimeParseError::Syntax => format!(
            "{} is not a time like 2026-11-20, \"2026-11-20 14:30\", 2026-11-20T14:30:00Z, today, \
             yesterday, now, 2h, \"3 days ago\" or @1700000000",
            quoted(text)
        ),
        TimeParseError::Invalid(why) => format!("{} is not a time: {why}", quoted(text)),
    })
}

fn parse_time(
    text: &str,
    now: Timestamp,
    zone: &Zone,
    side: WindowEdge,
) -> Result<Timestamp, TimeParseError> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if text.eq_ignore_ascii_case("today") {
        return zone.first_instant(zone.day_number(now));
    }
    if text.eq_ignore_ascii_case("yesterday") {
        return zone.first_instant(zone.day_number(now) - 1);
    }
    if let Some(number) = text.strip_prefix('@') {
        return Decimal::parse(number).ok_or(TimeParseError::Syntax)?.to_timestamp_from_seconds();
    }
    if let Some(span) = parse_span_ago(text) {
        return span
            .and_then(|span| now.checked_sub(span))
            .ok_or_else(|| TimeParseError::Invalid(OUT_OF_RANGE.to_owned()));
    }
    let written = ParsedDateTime::parse(text)?;
    match written.offset {
        Some(offset) => written.at_offset(offset),
        None => zone.resolve(&written, side),
    }
}

/// Reads `2h`, `-2h` and `3 days ago`. The inner `None` is a span that is too long.
fn parse_span_ago(text: &str) -> Option<Option<Span>> {
    let mut words = text.split_ascii_whitespace();
    let (first, second, third) = (words.next()?, words.next(), words.next());
    let (number, unit) = match (second, third, words.next()) {
        (None, ..) => {
            let short = first.strip_prefix('-').unwrap_or(first);
            let unit = short.trim_start_matches(|c: char| c.is_ascii_digit());
            // The unit is checked alone first, so that too long a span is not taken for no span.
            let unit_span = Span::parse(&format!("1{unit}")).ok()?;
            (&short[..short.len() - unit.len()], unit_span.as_seconds())
        }
        (Some(unit), Some(ago), None) if ago.eq_ignore_ascii_case("ago") => {
            (first, Span::unit_seconds(&unit.to_ascii_lowercase())?)
        }
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Span::from_units(number, unit))
}

/// Returns how long ago `at` was, as a table has it: `just now`, `2 min ago`, `1 hr ago`,
/// `yesterday`, `3 days ago`; the day from a week on, with its year when that is another one.
/// Days are those of the calendar in `zone`. A time ahead of the clock reads `in 5 min`.
pub(crate) fn format_relative(at: Timestamp, now: Timestamp, zone: &Zone) -> String {
    let days = zone.day_number(now) - zone.day_number(at);
    if days.abs() < 7 {
        return format_ago(at, now, zone);
    }
    let this_year = zone.civil(at).year == zone.civil(now).year;
    zone.format(at, if this_year { TimeFormat::DayMonth } else { TimeFormat::DayMonthYear })
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
        // Shortly after midnight, a time of last evening is hours ago and not yesterday.
        _ if days == 0 || seconds < 6 * SECONDS_PER_HOUR => {
            format!("{} hr", seconds / SECONDS_PER_HOUR)
        }
        _ if days == 1 && at < now => return "yesterday".to_owned(),
        _ if days == 1 => return "tomorrow".to_owned(),
        _ => format!("{days} days"),
    };
    if at < now { format!("{length} ago") } else { format!("in {length}") }
}
