//! A length of time as the config and the flags write it: `90d`, `12h`.

use std::fmt;

use super::quoted;

const SECONDS_PER_YEAR: u64 = 365 * 86_400;

/// A length of time in whole seconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span(u64);

impl Span {
    pub(crate) const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    pub(crate) const fn as_seconds(self) -> u64 {
        self.0
    }

    pub(super) fn as_nanos(self) -> i128 {
        i128::from(self.0) * 1_000_000_000
    }

    /// Reads a whole number and one of `s m h d w y`; a year is 365 days.
    ///
    /// # Errors
    ///
    /// One line that quotes the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let seconds = Some(unit).filter(|unit| unit.len() == 1).and_then(Self::unit_seconds);
        let seconds = seconds.unwrap_or(0);
        if number.is_empty() || seconds == 0 {
            return Err(format!(
                "{} is not a duration like 90d, 12h or 30m (s m h d w y)",
                quoted(text)
            ));
        }
        Self::from_units(number, seconds)
            .ok_or_else(|| format!("{} is too long a duration", quoted(text)))
    }

    /// Returns `number` times the unit of so many seconds, if that fits.
    fn from_units(number: &str, unit: u64) -> Option<Self> {
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }

    /// Returns the seconds of a unit: one of `s m h d w y`, or written out, or as our own screens write
    /// it.
    pub(super) fn unit_seconds(word: &str) -> Option<u64> {
        let long = word.to_ascii_lowercase();
        Some(match long.strip_suffix('s').unwrap_or(&long) {
            _ if word == "s" => 1,
            _ if word == "m" => 60,
            _ if word == "h" => 3_600,
            _ if word == "d" => 86_400,
            _ if word == "w" => 7 * 86_400,
            _ if word == "y" => SECONDS_PER_YEAR,
            "second" | "sec" => 1,
            "minute" | "min" => 60,
            "hour" | "hr" => 3_600,
            "day" => 86_400,
            "week" => 7 * 86_400,
            "year" => SECONDS_PER_YEAR,
            _ => return None,
        })
    }
}

impl fmt::Display for Span {
    /// Writes the span in the largest of days, hours, minutes and seconds that it is a whole
    /// number of. Years and weeks stay days: few know how long a year is here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        let (unit, letter) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit))
            .unwrap_or((1, 's'));
        f.pad(&format!("{}{letter}", seconds / unit))
    }
}
