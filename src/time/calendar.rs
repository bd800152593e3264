//! The hours, days, weeks and months of a zone.

use std::ops::Range;

use crate::time::Timestamp;
use crate::time::Zone;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_HOUR: i64 = 3_600;

/// A stretch of the calendar that people count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CalendarUnit {
    Hour,
    Day,
    /// From Monday on, as in ISO 8601.
    Week,
    Month,
}

impl CalendarUnit {
    pub(crate) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name().eq_ignore_ascii_case(name))
    }
}

impl Zone {
    /// Returns the hour, day, week or month that a time is in here: its first instant, and the first
    /// instant after it. At the ends of time it is cut short.
    pub(crate) fn calendar_unit(&self, at: Timestamp, unit: CalendarUnit) -> Range<Timestamp> {
        let days =
            |from: i32, to: i32| self.start_of_day_from(at, from)..self.start_of_day_from(at, to);
        match unit {
            CalendarUnit::Hour => self.hour(at),
            CalendarUnit::Day => days(0, 1),
            CalendarUnit::Week => {
                // Day 0, 1970-01-01, was a Thursday.
                let since_monday = (self.day_number(at) + 3).rem_euclid(7);
                let since_monday = i32::try_from(since_monday).unwrap_or_default();
                days(-since_monday, 7 - since_monday)
            }
            CalendarUnit::Month => match self.month_starts(at, at)[..] {
                [start, end, ..] => start..end,
                [start] => start..Timestamp::from_nanos(i64::MAX),
                [] => at..Timestamp::from_nanos(i64::MAX),
            },
        }
    }

    /// The hour of the clock on the wall. The hour that the clocks show twice is two hours.
    fn hour(&self, at: Timestamp) -> Range<Timestamp> {
        let seconds = at.as_seconds();
        let into_the_hour = (seconds + self.offset_at(at)).rem_euclid(SECONDS_PER_HOUR);
        let start = (seconds - into_the_hour).saturating_mul(NANOS_PER_SECOND);
        let end = start.saturating_add(SECONDS_PER_HOUR * NANOS_PER_SECOND);
        Timestamp::from_nanos(start)..Timestamp::from_nanos(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(zone: &str, at: &str, unit: CalendarUnit) -> (String, String) {
        let zone = Zone::parse(zone).unwrap();
        let range = zone.calendar_unit(Timestamp::parse_rfc3339(at).unwrap(), unit);
        (range.start.to_string(), range.end.to_string())
    }

    fn pair(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn each_unit_begins_in_the_zone() {
        let at = "2026-11-20T14:28:09.5Z";
        let found = |kind| unit("Asia/Kolkata", at, kind);
        assert_eq!(found(CalendarUnit::Hour), pair("2026-11-20T13:30:00Z", "2026-11-20T14:30:00Z"));
        assert_eq!(found(CalendarUnit::Day), pair("2026-11-19T18:30:00Z", "2026-11-20T18:30:00Z"));
        assert_eq!(found(CalendarUnit::Week), pair("2026-11-15T18:30:00Z", "2026-11-22T18:30:00Z"));
        assert_eq!(
            found(CalendarUnit::Month),
            pair("2026-10-31T18:30:00Z", "2026-11-30T18:30:00Z")
        );
    }

    #[test]
    fn a_week_begins_on_monday_before_the_epoch_too() {
        assert_eq!(
            unit("UTC", "1969-12-31T12:00:00Z", CalendarUnit::Week),
            pair("1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z")
        );
    }

    #[test]
    fn a_day_on_which_the_clocks_change_is_shorter_or_longer() {
        assert_eq!(
            unit("Europe/Berlin", "2026-10-25T12:00:00Z", CalendarUnit::Day),
            pair("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
        let first = unit("Europe/Berlin", "2026-10-25T00:30:00Z", CalendarUnit::Hour);
        let second = unit("Europe/Berlin", "2026-10-25T01:30:00Z", CalendarUnit::Hour);
        assert_eq!(first, pair("2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"));
        assert_eq!(second, pair("2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"));
    }

    #[test]
    fn the_ends_of_time_are_inside_their_units() {
        for at in [i64::MIN, i64::MAX - 1].map(Timestamp::from_nanos) {
            for kind in CalendarUnit::ALL {
                let range = Zone::utc().calendar_unit(at, kind);
                assert!(range.start <= at, "{kind:?} {range:?}");
            }
        }
    }
}
