//! Times as people type and read them: `yesterday`, `-2h`, `3 days ago`.
//!
//! The grammar is strict: what is not on its list is refused, never guessed at.

use super::civil::{NANOS, OUT_OF_RANGE, Refused, Written};
use super::emitted::Decimal;
use super::quoted;
use super::span::Span;
use super::timestamp::Timestamp;
use super::zone::{Side, Style, Zone};

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

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
pub(crate) fn parse_when(
    text: &str,
    now: Timestamp,
    zone: &Zone,
    side: Side,
) -> Result<Timestamp, String> {
    read(text.trim_ascii(), now, zone, side).map_err(|refused| match refused {
        Refused::Form => format!(
            "{} is not a time like 2026-11-20, \"2026-11-20 14:30\", 2026-11-20T14:30:00Z, today, \
             yesterday, now, 2h, \"3 days ago\" or @1700000000",
            quoted(text)
        ),
        Refused::Value(why) => format!("{} is not a time: {why}", quoted(text)),
    })
}

fn read(text: &str, now: Timestamp, zone: &Zone, side: Side) -> Result<Timestamp, Refused> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if text.eq_ignore_ascii_case("today") {
        return zone.first_instant(zone.day(now));
    }
    if text.eq_ignore_ascii_case("yesterday") {
        return zone.first_instant(zone.day(now) - 1);
    }
    if let Some(number) = text.strip_prefix('@') {
        return Decimal::parse(number).ok_or(Refused::Form)?.seconds();
    }
    if let Some(span) = read_span(text) {
        return span
            .and_then(|span| now.checked_sub(span))
            .ok_or_else(|| Refused::Value(OUT_OF_RANGE.to_owned()));
    }
    let written = Written::parse(text)?;
    match written.offset {
        Some(offset) => written.at_offset(offset),
        None => zone.resolve(&written, side),
    }
}

/// Reads `2h`, `-2h` and `3 days ago`. The inner `None` is a span that is too long.
fn read_span(text: &str) -> Option<Option<Span>> {
    let mut words = text.split_ascii_whitespace();
    let (first, second, third) = (words.next()?, words.next(), words.next());
    let (number, unit) = match (second, third, words.next()) {
        (None, ..) => {
            let short = first.strip_prefix('-').unwrap_or(first);
            let unit = short.trim_start_matches(|c: char| c.is_ascii_digit());
            // The unit is checked alone first, so that too long a span is not taken for no span.
            let unit_span = Span::parse(&format!("1{unit}")).ok()?;
            (&short[..short.len() - unit.len()], unit_span.seconds())
        }
        (Some(unit), Some(ago), None) if ago.eq_ignore_ascii_case("ago") => {
            (first, Span::unit(&unit.to_ascii_lowercase())?)
        }
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Span::of(number, unit))
}

/// Returns how long ago `at` was, as a table has it: `just now`, `2 min ago`, `1 hr ago`,
/// `yesterday`, `3 days ago`; the day from a week on, with its year when that is another one.
/// Days are those of the calendar in `zone`. A time ahead of the clock reads `in 5 min`.
pub(crate) fn relative(at: Timestamp, now: Timestamp, zone: &Zone) -> String {
    let days = zone.day(now) - zone.day(at);
    if days.abs() < 7 {
        return ago(at, now, zone);
    }
    let this_year = zone.civil(at).year == zone.civil(now).year;
    zone.format(at, if this_year { Style::Day } else { Style::DayYear })
}

/// Returns how long ago `at` was, in days however many they are: `9 days ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp, zone: &Zone) -> String {
    // Saturating: the seconds are not told beyond some hours.
    let seconds = at.nanos().saturating_sub(now.nanos()).unsigned_abs() / NANOS.unsigned_abs();
    let days = (zone.day(now) - zone.day(at)).unsigned_abs();
    let length = match seconds {
        0..MINUTE => return "just now".to_owned(),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        // Last night is not yet yesterday to who looks shortly after midnight.
        _ if days == 0 || seconds < 6 * HOUR => format!("{} hr", seconds / HOUR),
        _ if days == 1 && at < now => return "yesterday".to_owned(),
        _ if days == 1 => return "tomorrow".to_owned(),
        _ => format!("{days} days"),
    };
    if at < now { format!("{length} ago") } else { format!("in {length}") }
}
