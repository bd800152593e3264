//! The rhythm of events: decides whether a kind of event has gone quiet.
//!
//! A broken emitter writes nothing, so its silence must be noticed. A warning every Sunday would not be
//! read on Monday. So the normal silence is learnt from the kind itself, over 28 days of 24 hours,
//! counted back from a given time. This needs no calendar and no zone: two days that are seven apart
//! have the same weekday.
//!
//! The silent days at the end are the *silence*. The days before it, from the first day with an event,
//! are the *history*. A history of less than ten days, or with events on fewer than three days, has no
//! rhythm: the end of a campaign of one week is not reported. Any other history is of one of three
//! sorts, and the kind has gone quiet
//!
//! - *daily* (no day of the history is silent): after two silent days, or after one where eight or more
//!   events were expected;
//! - *weekly* (each weekday is either a working day, never silent, or a day of rest, with less than a
//!   quarter of the events of a working day): after two silent working days, or after one where the
//!   silence is longer by more than a day than any before. Days of rest alone are no silence, nor is a
//!   holiday next to them;
//! - *irregular* (all other histories with events on six days or more): when the silence is longer than
//!   three times the longest one before.
//!
//! After about two and a half weeks of silence the remaining history is too short for a rhythm, and the
//! kind is not reported any longer.
//!
//! A kind with random events is reported wrongly once a year or less often; a test counts this.
//! Everything here is pure. The store counts the days.

use std::fmt;

use crate::time::Span;
use crate::time::Timestamp;

/// The number of days that are observed.
pub(crate) const OBSERVED_DAYS: usize = 28;
/// The length of a day.
pub(crate) const DAY: Span = Span::from_seconds(86_400);

const DAYS_PER_WEEK: usize = 7;
/// The fewest days of a history.
const MIN_HISTORY_DAYS: usize = 10;
/// The fewest days with an event in a history.
const MIN_ACTIVE_DAYS: usize = 3;
/// The fewest days with an event in an irregular history.
const MIN_IRREGULAR_DAYS: usize = 6;
/// The silent days, or silent working days, after which a regular kind has gone quiet.
const QUIET_AFTER_DAYS: usize = 2;
/// The expected events that make one silent day enough: of eight random events a day, none comes once
/// in 3,000 days.
const MIN_EXPECTED_EVENTS: u64 = 8;
/// A day of rest has fewer events than those of a working day divided by this.
const REST_DAY_DIVISOR: u64 = 4;

/// How often events of a kind come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frequency {
    PerDay(u64),
    PerWeek(u64),
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerDay(count) => write!(f, "{count} a day"),
            Self::PerWeek(count) => write!(f, "{count} a week"),
        }
    }
}

/// Returns the boundaries of the observed days, the last of which is `until`.
pub(crate) fn day_boundaries(until: Timestamp) -> [Timestamp; OBSERVED_DAYS + 1] {
    std::array::from_fn(|index| {
        until.saturating_sub(Span::from_seconds(DAY.as_seconds() * (OBSERVED_DAYS - index) as u64))
    })
}

/// Returns the frequency of a kind before it went quiet, or `None` where it has not. `daily` has the
/// counts of [`OBSERVED_DAYS`] days, the oldest first.
pub(crate) fn gone_quiet(daily: &[u64]) -> Option<Frequency> {
    let silence = daily.iter().rev().take_while(|count| **count == 0).count();
    let first = daily.iter().position(|count| *count > 0)?;
    // A day of the silence has the weekday of the history that it would have as its continuation.
    let history = &daily[first..daily.len() - silence];
    let active = history.iter().filter(|count| **count > 0).count();
    if silence == 0 || history.len() < MIN_HISTORY_DAYS || active < MIN_ACTIVE_DAYS {
        return None;
    }
    let quiet = match Regularity::classify(history) {
        Regularity::Daily => {
            silence >= QUIET_AFTER_DAYS || mean_per_day(history) >= MIN_EXPECTED_EVENTS
        }
        Regularity::Weekly { rest_days, longest_silence } => {
            let working = |day: &usize| !rest_days[(history.len() + day) % DAYS_PER_WEEK];
            let missed = (0..silence).filter(working).count();
            missed >= QUIET_AFTER_DAYS || missed > 0 && silence > longest_silence + 1
        }
        Regularity::Irregular { longest_silence } => {
            active >= MIN_IRREGULAR_DAYS && silence > 3 * longest_silence
        }
    };
    quiet.then(|| frequency_of(history))
}

/// The sort of rhythm of a history.
enum Regularity {
    Daily,
    Weekly {
        /// The weekdays that are days of rest, counted from the first day of the history.
        rest_days: [bool; DAYS_PER_WEEK],
        longest_silence: usize,
    },
    /// Neither of these.
    Irregular {
        longest_silence: usize,
    },
}

impl Regularity {
    fn classify(history: &[u64]) -> Self {
        let longest_silence =
            history.split(|count| *count > 0).map(<[u64]>::len).max().unwrap_or(0);
        if longest_silence == 0 {
            return Self::Daily;
        }
        let weekdays: [Vec<u64>; DAYS_PER_WEEK] = std::array::from_fn(|weekday| {
            history.iter().skip(weekday).step_by(DAYS_PER_WEEK).copied().collect()
        });
        let rest_days: [bool; DAYS_PER_WEEK] =
            std::array::from_fn(|weekday| weekdays[weekday].contains(&0));
        // Means are compared, because one weekday may occur once more often than another.
        let sum = |rested: bool| {
            let days = || weekdays.iter().zip(rest_days).filter(move |(_, rest)| *rest == rested);
            let events: u64 = days().flat_map(|(day, _)| day).sum();
            (events, days().map(|(day, _)| day.len() as u64).sum::<u64>())
        };
        let (worked, working_days) = sum(false);
        let each_is_calm =
            weekdays.iter().zip(rest_days).filter(|(_, rest)| *rest).all(|(day, _)| {
                REST_DAY_DIVISOR * day.iter().sum::<u64>() * working_days
                    < worked * day.len() as u64
            });
        let seen_twice = weekdays.iter().all(|day| day.len() > 1);
        if each_is_calm && seen_twice {
            Self::Weekly { rest_days, longest_silence }
        } else {
            Self::Irregular { longest_silence }
        }
    }
}

/// Returns the mean number of events a day, rounded.
fn mean_per_day(history: &[u64]) -> u64 {
    rounded_mean(history.iter().sum(), history.len())
}

fn frequency_of(history: &[u64]) -> Frequency {
    let sum: u64 = history.iter().sum();
    if sum >= history.len() as u64 {
        Frequency::PerDay(mean_per_day(history))
    } else {
        Frequency::PerWeek(rounded_mean(sum * DAYS_PER_WEEK as u64, history.len()).max(1))
    }
}

fn rounded_mean(sum: u64, days: usize) -> u64 {
    let days = days as u64;
    (2 * sum + days) / (2 * days)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads days as a person writes them, the oldest first: a digit or a dot for none; what is
    /// missing at the front had none either.
    fn days(text: &str) -> [u64; OBSERVED_DAYS] {
        let digits: Vec<u64> = text
            .chars()
            .filter(|c| *c != ' ')
            .map(|c| c.to_digit(36).unwrap_or(0).into())
            .collect();
        let mut daily = [0; OBSERVED_DAYS];
        daily[OBSERVED_DAYS - digits.len()..].copy_from_slice(&digits);
        daily
    }

    fn quiet(text: &str) -> Option<String> {
        gone_quiet(&days(text)).map(|frequency| frequency.to_string())
    }

    #[test]
    fn what_came_every_day_is_missed_soon() {
        assert_eq!(quiet("eeeeeee eeeeeee eeeeeee eeeeee."), Some("14 a day".to_owned()));
        assert_eq!(quiet("1111111 1111111 1111111 111111."), None);
        assert_eq!(quiet("1111111 1111111 1111111 11111.."), Some("1 a day".to_owned()));
        assert_eq!(quiet("eeeeeee eeeeeee eeeee.. ......."), Some("14 a day".to_owned()));
        assert_eq!(quiet("eeeeeee eeeeeee eeeeeee eeeeee1"), None);
    }

    #[test]
    fn a_weekend_is_no_silence() {
        for end in ["eeeee", "eeeee.", "eeeee..", "eeeee..e", "eeeee..ee"] {
            assert_eq!(quiet(&format!("eeeee.. eeeee.. {end}")), None, "{end}");
        }
        // Nor is one with a stray event now and then.
        assert_eq!(quiet("eeeee1. eeeee.. eeeee.1 eeeee.."), None);
        // A holiday after it.
        assert_eq!(quiet("eeeee.. eeeee.. eeeee...").as_deref(), None);
        // Two working days, before a weekend and around it.
        assert_eq!(quiet("eeeee.. eeeee.. eeeee.. eee..").as_deref(), Some("11 a day"));
        assert_eq!(quiet("eeeee.. eeeee.. eeeee....").as_deref(), Some("11 a day"));
        assert_eq!(quiet("11111.. 11111.. 1111....").as_deref(), Some("5 a week"));
    }

    #[test]
    fn what_comes_seldom_is_missed_late() {
        // Every seventh day; a day late is no silence yet.
        assert_eq!(quiet("1...... 1...... 1......"), None);
        assert_eq!(quiet("1...... 1...... 1...... ."), None);
        assert_eq!(quiet("1...... 1...... 1...... ..").as_deref(), Some("1 a week"));
        // Now and then.
        assert_eq!(quiet("1..2..1 ....1.. 2..1... .......").as_deref(), None);
        assert_eq!(quiet("1.2..11 .1..2.. 1.1...... ....").as_deref(), Some("4 a week"));
        assert_eq!(quiet("1.2..11 .1..2.. 1.1...... ...").as_deref(), Some("4 a week"));
        assert_eq!(quiet("1.2..11 .1..2.. 1.1...").as_deref(), None);
    }

    #[test]
    fn what_has_no_rhythm_is_never_missed() {
        assert_eq!(quiet(""), None);
        assert_eq!(quiet("z...... ....... ....... ......."), None);
        // A campaign of nine days, and its end.
        assert_eq!(quiet("zzzzzzzzz............"), None);
        // Three events in four weeks.
        assert_eq!(quiet("1......... 1......... 1......."), None);
    }

    #[test]
    fn a_silence_is_named_for_two_weeks_and_more() {
        let named: Vec<usize> = (0..OBSERVED_DAYS)
            .filter(|silence| {
                let mut daily = [14; OBSERVED_DAYS];
                daily[OBSERVED_DAYS - silence..].fill(0);
                gone_quiet(&daily).is_some()
            })
            .collect();
        assert_eq!(named, (1..=OBSERVED_DAYS - MIN_HISTORY_DAYS).collect::<Vec<_>>());
    }

    /// Returns how often a kind goes quiet in twenty years of random days with a mean of `mean` events.
    fn alarms(mean: f64, weekends: bool) -> usize {
        // The same numbers each time, from a 64-bit generator of Knuth's.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let days: Vec<u64> = (0..7_300)
            .map(|day| {
                if weekends && day % 7 > 4 {
                    return 0;
                }
                let (mut product, mut events) = (random(), 0);
                while product > (-mean).exp() {
                    product *= random();
                    events += 1;
                }
                events
            })
            .collect();
        let quiet = |window: &[u64]| gone_quiet(window).is_some();
        let quiet_days: Vec<bool> = days.windows(OBSERVED_DAYS).map(quiet).collect();
        quiet_days.windows(2).filter(|pair| !pair[0] && pair[1]).count()
    }

    #[test]
    fn chance_seldom_cries_wolf() {
        for mean in [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 14.0, 40.0] {
            let (daily, weekly) = (alarms(mean, false), alarms(mean, true));
            assert!(daily <= 30 && weekly <= 30, "{mean} a day: {daily} and {weekly} in 20 years");
        }
    }

    proptest! {
        #[test]
        fn an_event_in_the_last_day_is_no_silence(
            mut daily in prop::array::uniform28(0_u64..50),
            last in 1_u64..50,
        ) {
            daily[OBSERVED_DAYS - 1] = last;
            prop_assert_eq!(gone_quiet(&daily), None);
        }

        /// Whatever its counts, a kind that rests on some weekdays alone is quiet on no day of them.
        #[test]
        fn no_weekly_rest_is_a_silence(
            mut daily in prop::array::uniform28(1_u64..50),
            rest in prop::array::uniform7(any::<bool>()),
        ) {
            for (day, count) in daily.iter_mut().enumerate() {
                if rest[day % DAYS_PER_WEEK] {
                    *count = 0;
                }
            }
            prop_assert_eq!(gone_quiet(&daily), None);
        }

        #[test]
        fn every_daily_kind_that_stops_is_missed(
            mut daily in prop::array::uniform28(1_u64..50),
            silence in QUIET_AFTER_DAYS..=OBSERVED_DAYS - MIN_HISTORY_DAYS,
        ) {
            daily[OBSERVED_DAYS - silence..].fill(0);
            prop_assert!(gone_quiet(&daily).is_some());
        }
    }
}
