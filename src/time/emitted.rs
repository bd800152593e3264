//! Times as programs write them: RFC 3339, Unix time, and local time where a zone was given.

use super::civil::{OUT_OF_RANGE, ParsedDateTime, TimeParseError};
use super::timestamp::Timestamp;
use super::zone::{WindowEdge, Zone};

/// Reads the time that an emitter wrote.
///
/// RFC 3339 with an offset in any spelling; a number of Unix seconds, of milliseconds from 10^11 up, of
/// microseconds from 10^14 up or of nanoseconds from 10^17 up, exactly; and, only with a `zone` to read
/// it in, a local time or a date.
///
/// # Errors
///
/// One line that quotes the text and says what is wrong with it.
pub(crate) fn parse_emitted(text: &str, zone: Option<&Zone>) -> Result<Timestamp, String> {
    let read = match Decimal::parse(text) {
        Some(number) => number.to_timestamp(),
        None => ParsedDateTime::parse(text).and_then(|written| match (written.offset, zone) {
            (Some(offset), _) => written.at_offset(offset),
            (None, Some(zone)) => zone.resolve(&written, WindowEdge::Since),
            (None, None) => Err(TimeParseError::Invalid(
                "it has no offset, and --input-tz does not say how to read it".into(),
            )),
        }),
    };
    read.map_err(|refused| {
        refused
            .describe(text, || "is not a time like 2026-11-20T04:00:00Z or 1700000000".to_owned())
    })
}

/// Whether a text is a date with a time of day, or a number of Unix time since 2001.
pub(crate) fn resembles_emitted(text: &str) -> bool {
    match Decimal::parse(text) {
        // 10^9 seconds were over in September 2001.
        Some(number) => number.point_position() >= 10 && number.to_timestamp().is_ok(),
        None => ParsedDateTime::parse(text).is_ok_and(|written| written.time_of_day.is_some()),
    }
}

/// A number as JSON writes it, every digit of it.
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (digits(whole)?, digits(fraction)?),
            None => (digits(mantissa)?, &[][..]),
        };
        Some(Self { negative, whole, fraction, exponent })
    }

    /// Reads the number as Unix seconds.
    pub(super) fn to_timestamp_from_seconds(&self) -> Result<Timestamp, TimeParseError> {
        self.to_timestamp_scaled(9)
    }

    fn to_timestamp(&self) -> Result<Timestamp, TimeParseError> {
        // 10^11 has twelve digits before the point.
        self.to_timestamp_scaled(match self.point_position() {
            ..12 => 9,
            12..15 => 6,
            15..18 => 3,
            18.. => 0,
        })
    }

    fn significant_digits(&self) -> impl Iterator<Item = u8> + Clone {
        self.whole
            .iter()
            .chain(self.fraction)
            .map(|byte| byte - b'0')
            .skip_while(|digit| *digit == 0)
    }

    /// Returns how many of the significant digits stand before the point; they may be fewer.
    fn point_position(&self) -> i64 {
        let zeros = self.whole.len() + self.fraction.len() - self.significant_digits().count();
        to_i64(self.whole.len()) - to_i64(zeros) + self.exponent
    }

    /// Returns the number times ten to the power `power` as nanoseconds.
    fn to_timestamp_scaled(&self, power: i64) -> Result<Timestamp, TimeParseError> {
        let significant = self.significant_digits();
        if significant.clone().next().is_none() {
            return Ok(Timestamp::from_nanos(0));
        }
        let places = self.point_position() + power;
        // 64 bits hold 19 digits.
        let Ok(places) = usize::try_from(places.min(20)) else {
            return too_fine();
        };
        if places > 19 {
            return Err(TimeParseError::Invalid(OUT_OF_RANGE.to_owned()));
        }
        if significant.clone().skip(places).any(|digit| digit != 0) {
            return too_fine();
        }
        let magnitude = significant
            .chain(std::iter::repeat(0))
            .take(places)
            .fold(0_i128, |sum, digit| sum * 10 + i128::from(digit));
        i64::try_from(if self.negative { -magnitude } else { magnitude })
            .map(Timestamp::from_nanos)
            .map_err(|_| TimeParseError::Invalid(OUT_OF_RANGE.to_owned()))
    }
}

fn too_fine<T>() -> Result<T, TimeParseError> {
    Err(TimeParseError::Invalid("its fraction is finer than a nanosecond".to_owned()))
}

fn digits(text: &str) -> Option<&[u8]> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text.as_bytes())
}

fn parse_exponent(text: &str) -> Option<i64> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(number) => (-1, number),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    digits(number)?;
    // A number with an exponent beyond this is out of range or too fine whatever its digits are.
    const MAX_EXPONENT: i64 = 1 << 40;
    Some(sign * number.parse().unwrap_or(MAX_EXPONENT).min(MAX_EXPONENT))
}

fn to_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
