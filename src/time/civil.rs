//! Calendar arithmetic, and the one grammar of a written date and time.
//!
//! The proleptic Gregorian calendar, days of 86,400 seconds. [`super::zone`]
//! decides which offset a local time has.

use super::quoted;
use super::timestamp::Timestamp;

pub(super) const SECONDS_PER_DAY: i64 = 86_400;
pub(super) const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The message for a time that is well written but does not fit into 64 bits.
pub(super) const OUT_OF_RANGE: &str = "it is outside 1677-09-21 to 2262-04-11";

/// A local time as year, month, day, hour, minute and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CivilDateTime {
    pub year: u32,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub nanos: u32,
    /// 0 is Sunday.
    pub weekday: u32,
}

impl CivilDateTime {
    /// Returns the local time at the instant `at`, `offset` seconds east of UTC.
    ///
    /// By Howard Hinnant's `civil_from_days`, in unsigned arithmetic: no timestamp is before the
    /// year 1677.
    pub(super) fn new(at: Timestamp, offset: i64) -> Self {
        let seconds = at.as_seconds() + offset;
        let of_day = to_u32(seconds.rem_euclid(SECONDS_PER_DAY));
        let days = to_u32(seconds.div_euclid(SECONDS_PER_DAY) + 719_468);
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: era * 400 + year_of_era + u32::from(month <= 2),
            month,
            day: of_year - (153 * shifted + 2) / 5 + 1,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            nanos: at.subsec_nanos(),
            weekday: (days + 3) % 7,
        }
    }

    /// Appends `2026-11-20T14:28:09.551`, the fraction without trailing zeros.
    pub(super) fn write_into(&self, out: &mut String, separator: u8) {
        let zeros = (0..9).find(|zeros| !self.nanos.is_multiple_of(10_u32.pow(zeros + 1)));
        self.write_exactly_into(out, separator, 9 - zeros.unwrap_or(9) as usize);
    }

    /// Appends the time with so many digits of its fraction, at most nine; the rest is cut off.
    pub(super) fn write_exactly_into(&self, out: &mut String, separator: u8, fraction: usize) {
        const LONGEST: usize = "2026-11-20T14:28:09.123456789".len();
        let mut buffer = *b"0000-00-00T00:00:00.000000000";
        write_digits(&mut buffer[0..4], self.year);
        write_digits(&mut buffer[5..7], self.month);
        write_digits(&mut buffer[8..10], self.day);
        buffer[10] = separator;
        write_digits(&mut buffer[11..13], self.hour);
        write_digits(&mut buffer[14..16], self.minute);
        write_digits(&mut buffer[17..19], self.second);
        write_digits(&mut buffer[20..LONGEST], self.nanos);
        let end = if fraction == 0 { 19 } else { LONGEST.min(20 + fraction) };
        out.push_str(str::from_utf8(&buffer[..end]).expect("digits are ASCII"));
    }
}

/// Fills `place` with the last digits of `number`.
fn write_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789"[number as usize % 10];
        number /= 10;
    }
}

fn to_u32(number: i64) -> u32 {
    u32::try_from(number).expect("64 bits of nanoseconds begin in 1677 and end in 2262")
}

/// Returns the year, month and day of a day by its number. It is one that a timestamp can be in.
pub(super) fn date_of_day(day: i64) -> (i64, i64, i64) {
    let civil = CivilDateTime::new(Timestamp::from_nanos(0), day * SECONDS_PER_DAY);
    (civil.year.into(), civil.month.into(), civil.day.into())
}

/// Returns how many days after Monday a day is.
pub(super) fn weekday_from_monday(day: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (day + 3).rem_euclid(7)
}

/// Returns the number of a day, if the calendar has it.
pub(super) fn checked_day(year: i64, month: i64, day: i64) -> Result<i64, TimeParseError> {
    if !(1..=12).contains(&month) {
        return invalid(format!("there is no month {month:02}"));
    }
    if !(1..=days_in_month(year, month)).contains(&day) {
        return invalid(format!("there is no {year:04}-{month:02}-{day:02}"));
    }
    Ok(day_number(year, month, day))
}

/// Returns the day's number, 1970-01-01 being 0.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date and time as written: a date, perhaps a time of day, perhaps an offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParsedDateTime {
    /// The day's number, 1970-01-01 being 0.
    pub day: i64,
    pub time_of_day: Option<TimeOfDay>,
    /// Seconds east of UTC.
    pub offset: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TimeOfDay {
    /// Seconds since midnight; 86,400 and above only in a leap second.
    pub seconds: i64,
    pub nanos: i64,
    /// Whether the text has seconds.
    pub has_seconds: bool,
    leap: bool,
}

/// Why a text is no date and time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TimeParseError {
    /// It is not written like one; it may be something else.
    Syntax,
    /// It is written like one, and this is wrong with it.
    Invalid(String),
}

impl TimeParseError {
    /// Returns one line about a text that is no time; `syntax` says what is understood.
    pub(super) fn describe(&self, text: &str, syntax: impl FnOnce() -> String) -> String {
        match self {
            Self::Syntax => format!("{} {}", quoted(text), syntax()),
            Self::Invalid(why) => format!("{} is not a time: {why}", quoted(text)),
        }
    }
}

impl TimeOfDay {
    /// Reads `14:30` and `14:30:05`.
    pub(super) fn parse(text: &str) -> Result<Self, TimeParseError> {
        let mut rest = DateTimeParser(text.as_bytes());
        let clock = rest.time_of_day()?;
        if clock.leap {
            return invalid("there is no second 60".to_owned());
        }
        if rest.0.is_empty() { Ok(clock) } else { Err(TimeParseError::Syntax) }
    }
}

impl ParsedDateTime {
    /// A day's number and the seconds since its midnight, which were read elsewhere.
    pub(super) fn new(day: i64, seconds: i64, nanos: i64, offset: Option<i64>) -> Self {
        let clock = TimeOfDay { seconds, nanos, has_seconds: true, leap: false };
        Self { day, time_of_day: Some(clock), offset }
    }

    /// Reads `2026-11-20`, `2026-11-20T14:30`, `2026-11-20 14:30:05.123456789`, each with a time
    /// perhaps followed by `Z`, `+02:00`, `+0200`, `+02` or `UTC`, with or without a blank before it.
    /// A comma may stand for the point.
    pub(super) fn parse(text: &str) -> Result<Self, TimeParseError> {
        let mut rest = DateTimeParser(text.as_bytes());
        let year = rest.number(4)?;
        rest.expect_one_of(b"-")?;
        let month = rest.number(2)?;
        rest.expect_one_of(b"-")?;
        let day = rest.number(2)?;
        let mut written = Self { day: 0, time_of_day: None, offset: None };
        if !rest.0.is_empty() {
            rest.expect_one_of(b"Tt ")?;
            written.time_of_day = Some(rest.time_of_day()?);
            written.offset = rest.offset()?;
        }
        // The form is right to the end, so an error from here on is one of the values.
        written.day = checked_day(year, month, day)?;
        if let Some(clock) = written.time_of_day
            && clock.leap
        {
            let offset = written.offset.unwrap_or(0);
            if written.offset.is_none() || (clock.seconds - offset).rem_euclid(SECONDS_PER_DAY) != 0
            {
                return invalid("a second 60 is only at 23:59 UTC".to_owned());
            }
        }
        Ok(written)
    }

    /// Returns the instant, with `offset` seconds east of UTC.
    pub(super) fn at_offset(&self, offset: i64) -> Result<Timestamp, TimeParseError> {
        let (seconds, nanos) =
            self.time_of_day.map_or((0, 0), |clock| (clock.seconds, clock.nanos));
        let whole = i128::from(self.day * SECONDS_PER_DAY + seconds - offset)
            * i128::from(NANOS_PER_SECOND);
        i64::try_from(whole + i128::from(nanos))
            .map(Timestamp::from_nanos)
            .map_err(|_| TimeParseError::Invalid(OUT_OF_RANGE.to_owned()))
    }
}

fn invalid<T>(why: String) -> Result<T, TimeParseError> {
    Err(TimeParseError::Invalid(why))
}

/// The rest of the text to read.
struct DateTimeParser<'a>(&'a [u8]);

impl DateTimeParser<'_> {
    /// Takes exactly `digits` digits.
    fn number(&mut self, digits: usize) -> Result<i64, TimeParseError> {
        let (taken, rest) = self.0.split_at_checked(digits).ok_or(TimeParseError::Syntax)?;
        self.0 = rest;
        taken.iter().try_fold(0, |number, byte| match byte {
            b'0'..=b'9' => Ok(number * 10 + i64::from(byte - b'0')),
            _ => Err(TimeParseError::Syntax),
        })
    }

    fn expect_one_of(&mut self, allowed: &[u8]) -> Result<u8, TimeParseError> {
        match self.0.split_first() {
            Some((first, rest)) if allowed.contains(first) => {
                self.0 = rest;
                Ok(*first)
            }
            _ => Err(TimeParseError::Syntax),
        }
    }

    fn time_of_day(&mut self) -> Result<TimeOfDay, TimeParseError> {
        let hour = self.number(2)?;
        self.expect_one_of(b":")?;
        let minute = self.number(2)?;
        let to_the_second = self.expect_one_of(b":").is_ok();
        let second = if to_the_second { self.number(2)? } else { 0 };
        let mut nanos = 0;
        if to_the_second && self.expect_one_of(b".,").is_ok() {
            let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return Err(TimeParseError::Syntax);
            }
            if digits > 9 {
                return invalid("its fraction is finer than a nanosecond (9 digits)".to_owned());
            }
            nanos = self.number(digits)? * 10_i64.pow(9 - u32::try_from(digits).unwrap_or(9));
        }
        for (number, limit, unit) in
            [(hour, 23, "hour"), (minute, 59, "minute"), (second, 60, "second")]
        {
            if number > limit {
                return invalid(format!("there is no {unit} {number:02}"));
            }
        }
        let seconds = hour * 3_600 + minute * 60 + second;
        Ok(TimeOfDay { seconds, nanos, has_seconds: to_the_second, leap: second == 60 })
    }

    fn offset(&mut self) -> Result<Option<i64>, TimeParseError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.0 = self.0.trim_ascii_start();
        if self.0.eq_ignore_ascii_case(b"utc") || self.0.eq_ignore_ascii_case(b"z") {
            return Ok(Some(0));
        }
        let sign = if self.expect_one_of(b"+-")? == b'+' { 1 } else { -1 };
        let hours = self.number(2)?;
        // `+02:00`, `+0200` and `+02`.
        let has_colon = self.expect_one_of(b":").is_ok();
        let minutes = if has_colon || !self.0.is_empty() { self.number(2)? } else { 0 };
        if !self.0.is_empty() {
            return Err(TimeParseError::Syntax);
        }
        if hours > 23 || minutes > 59 {
            return invalid(format!("there is no offset of {hours:02}:{minutes:02}"));
        }
        Ok(Some(sign * (hours * 3_600 + minutes * 60)))
    }
}
