//! Gone quiet: whether a kind of event that used to come has stopped coming.
//!
//! An emitter that breaks says nothing, so silence is what has to be noticed; and a mail that cries
//! wolf every Sunday is not read on Monday. So what counts as silence is learnt from the kind itself,
//! over 28 days of 24 hours each, counted back from the moment that is asked about. No calendar and
//! no zone is needed for that: two days have the same weekday when they are seven apart.
//!
//! The silent days at the end are the *silence*; the days before it, from the first with an event on,
//! are the *history*. A history of less than ten days, or with events on fewer than three of them, is
//! no rhythm: a campaign that ran for a week and ended is not missed. Else the kind is of one of
//! three sorts, and has gone quiet
//!
//! - *daily* (no day of its history was silent): after two silent days, and after one already where
//!   eight events or more were to be expected on it;
//! - *weekly* (each weekday is either a working day, never silent, or a day of rest, with less than
//!   a quarter of the events of a working day): after two silent working days, or after one when
//!   the silence is longer by more than a day than any before. Days of rest alone are no silence,
//!   and a holiday beside them is none either;
//! - *irregular* (all else, with events on six days at least): when the silence is longer than three
//!   times the longest one before.
//!
//! What was said of a kind for two weeks and more is known: the history that is left is then too
//! short to tell a rhythm, and the kind is not named any longer.
//!
//! Of events that come at random a kind is named wrongly once in a year or more; a test counts that.
//! Everything here is pure; who counts the days is the store.

use std::fmt;

use crate::time::Span;
use crate::time::Timestamp;

/// How many days are looked at.
pub(crate) const OBSERVED_DAYS: usize = 28;
/// A day, as it is counted here.
pub(crate) const DAY: Span = Span::from_seconds(86_400);

const DAYS_PER_WEEK: usize = 7;
/// The days from the first event on that make a history.
const MIN_HISTORY_DAYS: usize = 10;
/// The days with an event in it.
const MIN_ACTIVE_DAYS: usize = 3;
/// The days with an event that make one of no regular form.
const MIN_IRREGULAR_DAYS: usize = 6;
/// The silent days that are enough where every day, or every working day, had its events.
const QUIET_AFTER_DAYS: usize = 2;
/// What must have been expected of a single silent day: at random, none of eight comes once in
/// 3,000 days.
const MIN_EXPECTED_EVENTS: u64 = 8;
/// A day of rest has less than this part of what a working day has.
const REST_DAY_DIVISOR: u64 = 4;

/// How often a kind of event comes.
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

/// The ends of the days up to `until`, and the beginning of the first: between each two is one day.
pub(crate) fn day_boundaries(until: Timestamp) -> [Timestamp; OBSERVED_DAYS + 1] {
    std::array::from_fn(|place| {
        until.saturating_sub(Span::from_seconds(DAY.as_seconds() * (OBSERVED_DAYS - place) as u64))
    })
}

/// How often a kind of event came before it went quiet, or `None` where it has not. `daily` are the
/// counts of [`OBSERVED_DAYS`] days, the oldest first.
pub(crate) fn gone_quiet(daily: &[u64]) -> Option<Frequency> {
    let silence = daily.iter().rev().take_while(|count| **count == 0).count();
    let first = daily.iter().position(|count| *count > 0)?;
    // Days are numbered from the end here, so that the weekdays of both parts are the same.
    let history = &daily[first..daily.len() - silence];
    let active = history.iter().filter(|count| **count > 0).count();
    if silence == 0 || history.len() < MIN_HISTORY_DAYS || active < MIN_ACTIVE_DAYS {
        return None;
    }
    let quiet = match Regularity::classify(history) {
        Regularity::Daily => {
            silence >= QUIET_AFTER_DAYS || mean_per_day(history) >= MIN_EXPECTED_EVENTS
        }
        Regularity::Weekly { rest_days: rest, longest_silence: longest } => {
            let working = |day: &usize| !rest[(history.len() + day) % DAYS_PER_WEEK];
            let missed = (0..silence).filter(working).count();
            missed >= QUIET_AFTER_DAYS || missed > 0 && silence > longest + 1
        }
        Regularity::Irregular { longest_silence: longest } => {
            active >= MIN_IRREGULAR_DAYS && silence > 3 * longest
        }
    };
    quiet.then(|| frequency_of(history))
}

/// What kind of rhythm a history has.
enum Regularity {
    Daily,
    Weekly {
        /// Which weekdays are days of rest, counted from the history's first day.
        rest_days: [bool; DAYS_PER_WEEK],
        longest_silence: usize,
    },
    /// The days of its longest silence.
    Irregular {
        longest_silence: usize,
    },
}

impl Regularity {
    fn classify(history: &[u64]) -> Self {
        let longest = history.split(|count| *count > 0).map(<[u64]>::len).max().unwrap_or(0);
        if longest == 0 {
            return Self::Daily;
        }
        let weekdays: [Vec<u64>; DAYS_PER_WEEK] = std::array::from_fn(|weekday| {
            history.iter().skip(weekday).step_by(DAYS_PER_WEEK).copied().collect()
        });
        let rest: [bool; DAYS_PER_WEEK] =
            std::array::from_fn(|weekday| weekdays[weekday].contains(&0));
        // Of means: a weekday may have come once more often than another.
        let sum = |rested: bool| {
            let days = || weekdays.iter().zip(rest).filter(move |(_, rest)| *rest == rested);
            let events: u64 = days().flat_map(|(day, _)| day).sum();
            (events, days().map(|(day, _)| day.len() as u64).sum::<u64>())
        };
        let (worked, working_days) = sum(false);
        let each_is_calm = weekdays.iter().zip(rest).filter(|(_, rest)| *rest).all(|(day, _)| {
            REST_DAY_DIVISOR * day.iter().sum::<u64>() * working_days < worked * day.len() as u64
        });
        let told_twice = weekdays.iter().all(|day| day.len() > 1);
        if each_is_calm && told_twice {
            Self::Weekly { rest_days: rest, longest_silence: longest }
        } else {
            Self::Irregular { longest_silence: longest }
        }
    }
}

/// The events of a day, rounded.
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
        gone_quiet(&days(text)).map(|pace| pace.to_string())
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

    /// How often in twenty years of random days, `mean` events each, a kind is said to go quiet.
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
        let told: Vec<bool> = days.windows(OBSERVED_DAYS).map(quiet).collect();
        told.windows(2).filter(|pair| !pair[0] && pair[1]).count()
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
