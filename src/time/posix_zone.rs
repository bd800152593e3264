//! Zones in the notation of POSIX: `EST5`, and with summer time `CET-1CEST,M3.5.0,M10.5.0/3`.
//!
//! The rules of such a zone hold in every year, because the notation knows no history.

use chrono::Datelike;
use chrono::NaiveDate;

use super::civil::SECONDS_PER_DAY;

/// What a text in the notation says.
pub(super) enum PosixNotation {
    /// The same offset all the year, in seconds east of UTC.
    Fixed(i64),
    WithSummerTime(PosixZone),
    /// A summer time without the days on which it begins and ends.
    WithoutRules,
}

/// A zone with summer time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PosixZone {
    pub text: String,
    standard: NamedOffset,
    summer: NamedOffset,
    summer_begins: RuleTime,
    summer_ends: RuleTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedOffset {
    name: String,
    /// Seconds east of UTC.
    offset: i64,
}

/// A local time of each year.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RuleTime {
    date: RuleDate,
    /// Seconds since midnight; negative or more than a day for a time of another day.
    seconds: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum RuleDate {
    /// `J60`: the day of the year from 1 on, in which 29 February is never counted.
    WithoutLeapDay(i64),
    /// `59`: the day of the year from 0 on.
    DayOfYear(i64),
    /// `M3.5.0`: month, week (the fifth is the last one) and weekday (0 is Sunday).
    Weekday { month: u32, week: i64, weekday: i64 },
}

/// A change of the clocks.
#[derive(Clone, Copy)]
struct Changeover {
    /// Seconds since 1970.
    at: i64,
    /// The offset before and from then on.
    before: i64,
    after: i64,
}

/// The instants at which the clocks show a local time, in seconds since 1970.
pub(super) enum ShownInstants {
    /// The earlier and the later; the same where there is only one.
    Existing(i64, i64),
    /// The clocks skip the time, and this is the first instant after it.
    Skipped(i64),
}

impl PosixNotation {
    /// Reads the notation; `None` where the text is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let name = take_name(&mut rest)?;
        let standard = NamedOffset { name, offset: -take_offset(&mut rest)? };
        if rest.is_empty() {
            return Some(Self::Fixed(standard.offset));
        }
        let name = take_name(&mut rest)?;
        let offset = match rest.bytes().next() {
            None | Some(b',') => standard.offset + 3_600,
            Some(_) => -take_offset(&mut rest)?,
        };
        let summer = NamedOffset { name, offset };
        if rest.is_empty() {
            return Some(Self::WithoutRules);
        }
        let summer_begins = take_rule(&mut rest)?;
        let summer_ends = take_rule(&mut rest)?;
        let text = text.to_owned();
        let zone = PosixZone { text, standard, summer, summer_begins, summer_ends };
        rest.is_empty().then_some(Self::WithSummerTime(zone))
    }
}

impl PosixZone {
    /// Returns the seconds east of UTC at a time in seconds since 1970.
    pub(super) fn offset_at(&self, at: i64) -> i64 {
        let last = self.changeovers(at).into_iter().rfind(|change| change.at <= at);
        last.map_or(self.standard.offset, |change| change.after)
    }

    /// Returns the name of the time that holds then; `None` where it is only an offset, as in
    /// `<+03>-3`.
    pub(super) fn abbreviation(&self, at: i64) -> Option<&str> {
        let is_summer = self.offset_at(at) == self.summer.offset;
        let name = if is_summer { &self.summer.name } else { &self.standard.name };
        (!name.starts_with(['+', '-'])).then_some(name)
    }

    /// Returns the instants of a local time, in seconds since 1970 as if it were UTC.
    pub(super) fn instants(&self, local: i64) -> ShownInstants {
        let shows = |instant: &i64| instant + self.offset_at(*instant) == local;
        let instants = [self.standard.offset, self.summer.offset].map(|offset| local - offset);
        let mut existing = instants.into_iter().filter(shows);
        if let Some(first) = existing.next() {
            let second = existing.next().unwrap_or(first);
            return ShownInstants::Existing(first.min(second), first.max(second));
        }
        let skips = |change: &Changeover| {
            (change.at + change.before..change.at + change.after).contains(&local)
        };
        let change = self.changeovers(local).into_iter().find(skips);
        ShownInstants::Skipped(change.map_or(local - self.standard.offset, |change| change.at))
    }

    /// Returns the changes of the clocks of three years, the middle one that of the time, in order.
    fn changeovers(&self, at: i64) -> Vec<Changeover> {
        let (standard, summer) = (self.standard.offset, self.summer.offset);
        let year = year_of(at + standard);
        let mut changes = Vec::with_capacity(6);
        for year in year - 1..=year + 1 {
            let begin = self.summer_begins.in_year(year) - standard;
            let end = self.summer_ends.in_year(year) - summer;
            changes.push(Changeover { at: end, before: summer, after: standard });
            changes.push(Changeover { at: begin, before: standard, after: summer });
        }
        // Stable: a summer time that lasts all the year begins anew when the last one ends.
        changes.sort_by_key(|change| change.at);
        changes
    }
}

impl RuleTime {
    /// Returns the local time of a year in seconds since 1970, as if it were UTC.
    fn in_year(&self, year: i32) -> i64 {
        let day = match self.date {
            RuleDate::DayOfYear(day) => first_day(year, 1) + day,
            RuleDate::WithoutLeapDay(day) => {
                let is_leap_year = first_day(year, 3) - first_day(year, 1) == 60;
                first_day(year, 1) + day - 1 + i64::from(is_leap_year && day >= 60)
            }
            RuleDate::Weekday { month, week, weekday } => {
                let first = first_day(year, month);
                let next_month =
                    if month == 12 { first_day(year + 1, 1) } else { first_day(year, month + 1) };
                // 1 January 1970 was a Thursday.
                let first_weekday = (first + 4).rem_euclid(7);
                let day = first + (weekday - first_weekday).rem_euclid(7) + (week - 1) * 7;
                if day < next_month { day } else { day - 7 }
            }
        };
        day * SECONDS_PER_DAY + self.seconds
    }
}

/// Returns the number of the first day of a month, 1970-01-01 being 0.
fn first_day(year: i32, month: u32) -> i64 {
    let epoch = NaiveDate::default();
    NaiveDate::from_ymd_opt(year, month, 1).map_or(0, |day| (day - epoch).num_days())
}

fn year_of(seconds: i64) -> i32 {
    chrono::DateTime::from_timestamp(seconds, 0).map_or(1970, |at| at.year())
}

/// Takes a name of three letters or more, or any between angle brackets.
fn take_name(rest: &mut &str) -> Option<String> {
    let name;
    if let Some(quoted) = rest.strip_prefix('<') {
        (name, *rest) = quoted.split_once('>')?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte)) {
            return None;
        }
    } else {
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        (name, *rest) = rest.split_at(end);
    }
    (name.len() >= 3).then(|| name.to_owned())
}

/// Takes `1`, `-5:30` or `+3:00:00`, which is less than a day west of UTC.
fn take_offset(rest: &mut &str) -> Option<i64> {
    take_time(rest).filter(|seconds| seconds.abs() < SECONDS_PER_DAY)
}

/// Takes a rule with the comma before it: `,M10.5.0/3`.
fn take_rule(rest: &mut &str) -> Option<RuleTime> {
    *rest = rest.strip_prefix(',')?;
    let date = if let Some(after) = rest.strip_prefix('J') {
        *rest = after;
        RuleDate::WithoutLeapDay(take_number(rest, 1, 365)?)
    } else if let Some(after) = rest.strip_prefix('M') {
        *rest = after;
        let month = u32::try_from(take_number(rest, 1, 12)?).ok()?;
        *rest = rest.strip_prefix('.')?;
        let week = take_number(rest, 1, 5)?;
        *rest = rest.strip_prefix('.')?;
        RuleDate::Weekday { month, week, weekday: take_number(rest, 0, 6)? }
    } else {
        RuleDate::DayOfYear(take_number(rest, 0, 365)?)
    };
    let seconds = match rest.strip_prefix('/') {
        Some(after) => {
            *rest = after;
            take_time(rest)?
        }
        None => 2 * 3_600,
    };
    Some(RuleTime { date, seconds })
}

/// Takes hours, with minutes and seconds where they are given, and a sign. Rules may name hours of
/// other days, up to a week away.
fn take_time(rest: &mut &str) -> Option<i64> {
    let sign = if rest.starts_with('-') { -1 } else { 1 };
    *rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let mut seconds = take_number(rest, 0, 167)? * 3_600;
    for unit in [60, 1] {
        let Some(after) = rest.strip_prefix(':') else { break };
        *rest = after;
        seconds += take_number(rest, 0, 59)? * unit;
    }
    Some(sign * seconds)
}

fn take_number(rest: &mut &str, least: i64, greatest: i64) -> Option<i64> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    let number = digits.parse().ok().filter(|_| digits.len() <= 3)?;
    (least..=greatest).contains(&number).then_some(number)
}
