//! A point in time, to the nanosecond, and RFC 3339.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::civil::{CivilDateTime, NANOS_PER_SECOND, OUT_OF_RANGE, ParsedDateTime, TimeParseError};
use super::span::Span;

/// Nanoseconds since 1970-01-01T00:00:00Z: from 1677-09-21 to 2262-04-11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The second that it lies in.
    #[must_use]
    pub(crate) fn truncate_to_second(self) -> Self {
        Self(self.0 - self.0.rem_euclid(NANOS_PER_SECOND))
    }

    /// Asks the clock of the system. Only `context` does.
    #[expect(clippy::disallowed_methods, reason = "the one door to the clock, for context")]
    pub(crate) fn now() -> Self {
        Self::from_system_time(SystemTime::now())
    }

    /// The time that the system gives, of a file for example.
    pub(crate) fn from_system_time(at: SystemTime) -> Self {
        let nanos = match at.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
            }
        };
        Self(nanos)
    }

    /// Reads RFC 3339 with any offset.
    ///
    /// `t`, `z` and a blank for the `T` are taken, up to nine digits of a fraction, and a leap
    /// second as the second after it.
    ///
    /// # Errors
    ///
    /// One line that quotes the text and says what is wrong with it.
    pub(crate) fn parse_rfc3339(text: &str) -> Result<Self, String> {
        let read = ParsedDateTime::parse(text).and_then(|written| {
            match (written.offset, written.time_of_day) {
                (Some(offset), Some(clock)) if clock.has_seconds => written.at_offset(offset),
                _ => Err(TimeParseError::Syntax),
            }
        });
        read.map_err(|refused| {
            refused.describe(text, || "is not a time like 2026-11-20T04:00:00Z".to_owned())
        })
    }

    /// Appends RFC 3339 in UTC, the fraction without trailing zeros.
    pub(crate) fn write_into(self, out: &mut String) {
        CivilDateTime::new(self, 0).write_into(out, b'T');
        out.push('Z');
    }

    /// Appends RFC 3339 in UTC with nine digits of the fraction, so that times sort as text.
    pub(crate) fn write_sortable_into(self, out: &mut String) {
        CivilDateTime::new(self, 0).write_exactly_into(out, b'T', 9);
        out.push('Z');
    }

    /// Returns what [`Timestamp::write_sortable_into`] writes.
    pub(crate) fn to_sortable(self) -> String {
        let mut text = String::with_capacity(30);
        self.write_sortable_into(&mut text);
        text
    }

    #[must_use]
    pub(crate) fn saturating_add(self, span: Span) -> Self {
        Self(i64::try_from(i128::from(self.0) + span.as_nanos()).unwrap_or(i64::MAX))
    }

    #[must_use]
    pub(crate) fn saturating_sub(self, span: Span) -> Self {
        self.checked_sub(span).unwrap_or(Self(i64::MIN))
    }

    pub(super) fn checked_sub(self, span: Span) -> Option<Self> {
        i64::try_from(i128::from(self.0) - span.as_nanos()).ok().map(Self)
    }

    pub(super) fn from_seconds(seconds: i64) -> Result<Self, TimeParseError> {
        seconds
            .checked_mul(NANOS_PER_SECOND)
            .map(Self)
            .ok_or_else(|| TimeParseError::Invalid(OUT_OF_RANGE.to_owned()))
    }

    /// Whole seconds since 1970, rounded down.
    pub(super) fn as_seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    pub(super) fn subsec_nanos(self) -> u32 {
        u32::try_from(self.0.rem_euclid(NANOS_PER_SECOND)).expect("less than a second")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(30);
        self.write_into(&mut text);
        f.pad(&text)
    }
}
