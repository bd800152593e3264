//! Time zones: local time to instants and back, and how times are written for people.
//!
//! Named zones come from the data that the program carries, not from the host's; only which of
//! them is the host's own is asked of the host.

use std::borrow::Cow;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use chrono_tz::{TZ_VARIANTS, Tz};

use super::civil::{CivilDateTime, ParsedDateTime, SECONDS_PER_DAY, TimeParseError};
use super::posix_zone::{PosixNotation, PosixZone, ShownInstants};
use super::quoted;
use super::timestamp::Timestamp;
use super::zone_table::ZoneHistory;
use crate::text;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// A zone by name, the rules of a zone, a fixed offset, or UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone(ZoneKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ZoneKind {
    Utc,
    /// Seconds east of UTC.
    Fixed(i64),
    Named(Tz),
    /// Kept until the process ends: zones are copied freely, and a process reads only a few.
    Rules(&'static PosixZone),
}

/// Which end of a window a time is. A local time that the clocks show twice is the earlier one
/// where a window begins and the later one where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowEdge {
    Since,
    Until,
}

/// The ways to write a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    /// `2026-11-20T14:28:09.551+02:00`, `Z` for UTC; exact.
    Rfc3339,
    /// RFC 3339 with three digits of the fraction, so that all are of one width.
    Rfc3339Millis,
    /// `2026-11-20T14:28+02:00`.
    Rfc3339Minute,
    /// `2026-11-20 14:28:09.551 SAST`.
    DateTimeExact,
    /// `2026-11-20 14:28 SAST`.
    DateTimeMinute,
    /// `2026-11-20`.
    Date,
    /// `12 Nov 06:00`.
    DayMonthClock,
    /// `Thu 06:00`.
    WeekdayClock,
    /// `12 Nov 2025`.
    DayMonthYear,
    /// `06:00`.
    TimeOfDay,
    /// `Thu 19 Nov 06:00`.
    WeekdayTime,
    /// `Thu 19 Nov 2026 06:00`.
    WeekdayTimeYear,
    /// `19 Nov`.
    DayMonth,
    /// `2026`.
    Year,
}

impl Zone {
    pub(crate) fn utc() -> Self {
        Self(ZoneKind::Utc)
    }

    /// Reads a zone: its name in any case, an offset like `+02:00`, the notation of POSIX, or a file
    /// below a `zoneinfo` folder; each with or without the colon that `TZ` may have in front.
    ///
    /// # Errors
    ///
    /// One line that quotes the text and may name a zone that it is near to.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let plain = text.strip_prefix(':').unwrap_or(text);
        let zone = if plain.starts_with('/') {
            Self::from_file(Path::new(plain))
        } else {
            Self::parse_name_or_offset(strip_variant(plain))
        };
        if let Some(zone) = zone {
            return Ok(zone);
        }
        match PosixNotation::parse(plain) {
            Some(PosixNotation::Fixed(offset)) => return Ok(Self::from_offset(offset)),
            Some(PosixNotation::WithSummerTime(zone)) => {
                return Ok(Self(ZoneKind::Rules(Box::leak(Box::new(zone)))));
            }
            Some(PosixNotation::WithoutRules) => {
                return Err(format!(
                    "{} does not say when summer time begins and ends, as \
                     CET-1CEST,M3.5.0,M10.5.0/3 does",
                    quoted(text)
                ));
            }
            None => {}
        }
        let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
        let wanted = text.replace(' ', "_");
        let is_city = |name: &&str| {
            name.rsplit_once('/').is_some_and(|(_, city)| city.eq_ignore_ascii_case(&wanted))
        };
        let near = names().find(is_city).or_else(|| text::nearest(&wanted, names()));
        let what = quoted(text);
        Err(match near {
            Some(name) => format!("{what} is not a time zone, did you mean {name}?"),
            None => format!("{what} is not a time zone like Europe/Berlin, UTC or +02:00"),
        })
    }

    /// Returns the host's zone: that of `TZ`, else of `/etc/localtime`, else of `/etc/timezone`, else
    /// UTC. `tz` is the value of `TZ`; an empty one is UTC, as for the C library.
    ///
    /// # Errors
    ///
    /// As [`Zone::parse`], where `TZ` is set.
    pub(crate) fn host(tz: Option<&str>) -> Result<Self, String> {
        Self::host_at(tz, Path::new("/etc"))
    }

    pub(super) fn host_at(tz: Option<&str>, etc: &Path) -> Result<Self, String> {
        match tz {
            Some("" | ":") => Ok(Self::utc()),
            Some(tz) => Self::parse(tz),
            None => Ok(Self::from_file(&etc.join("localtime"))
                .or_else(|| {
                    Self::parse_name_or_offset(
                        fs::read_to_string(etc.join("timezone")).ok()?.trim_ascii(),
                    )
                })
                .unwrap_or_else(Self::utc)),
        }
    }

    /// Finds the zone by the name that the file, or what it links to, has below `zoneinfo`.
    fn from_file(path: &Path) -> Option<Self> {
        let named = |path: &Path| {
            let (_, name) = path.to_str()?.rsplit_once("zoneinfo/")?;
            Self::parse_name_or_offset(strip_variant(name))
        };
        // A link is read once before it is resolved: distributions link the names of a zone among
        // themselves, and the name that the host's owner chose is the better one.
        named(path)
            .or_else(|| named(&fs::read_link(path).ok()?))
            .or_else(|| named(&fs::canonicalize(path).ok()?))
    }

    fn parse_name_or_offset(text: &str) -> Option<Self> {
        let utc = ["UTC", "UCT", "Zulu", "Universal"];
        let name = text.strip_prefix("Etc/").unwrap_or(text);
        if utc.iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
            return Some(Self::utc());
        }
        let mut zones = TZ_VARIANTS.iter();
        if let Some(named) = zones.find(|zone| zone.name().eq_ignore_ascii_case(text)) {
            return Some(Self(ZoneKind::Named(*named)));
        }
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = match rest.len() {
            2 => (rest, "00"),
            4 => rest.split_at_checked(2)?,
            _ => rest.split_once(':')?,
        };
        Self::from_offset_parts(sign, &[hours, minutes])
    }

    /// Returns the zone that is always so many seconds east of UTC.
    fn from_offset(seconds: i64) -> Self {
        Self(if seconds == 0 { ZoneKind::Utc } else { ZoneKind::Fixed(seconds) })
    }

    fn from_offset_parts(sign: i64, parts: &[&str]) -> Option<Self> {
        let mut seconds = 0;
        for (part, (unit, limit)) in parts.iter().zip([(3_600, 24), (60, 60)]) {
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let number = part.parse::<i64>().ok().filter(|number| *number < limit)?;
            seconds += number * unit;
        }
        (parts.len() <= 2).then_some(Self::from_offset(sign * seconds))
    }

    /// Returns the name by which [`Zone::parse`] knows the zone.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        match self.0 {
            ZoneKind::Utc => Cow::Borrowed("UTC"),
            ZoneKind::Fixed(offset) => {
                let mut name = String::new();
                push_offset(&mut name, offset);
                Cow::Owned(name)
            }
            ZoneKind::Named(zone) => Cow::Borrowed(zone.name()),
            ZoneKind::Rules(zone) => Cow::Borrowed(&zone.text),
        }
    }

    /// Returns what people call the zone at that time: `SAST`, `CEST`; an offset where it has no
    /// such name.
    pub(crate) fn abbreviation(&self, at: Timestamp) -> String {
        let name = match self.0 {
            ZoneKind::Utc => Some("UTC".to_owned()),
            ZoneKind::Fixed(_) => None,
            ZoneKind::Named(zone) => {
                ZoneHistory::of(zone).abbreviation(at.as_seconds()).map(str::to_owned)
            }
            ZoneKind::Rules(zone) => zone.abbreviation(at.as_seconds()).map(str::to_owned),
        };
        name.unwrap_or_else(|| {
            let mut name = String::new();
            push_offset(&mut name, self.offset_at(at));
            name
        })
    }

    /// Returns the time as it is written here.
    pub(crate) fn format(&self, at: Timestamp, style: TimeFormat) -> String {
        let mut out = String::with_capacity(35);
        let civil = self.civil(at);
        let CivilDateTime { year, month, day, hour, minute, .. } = civil;
        let month_name = MONTHS[month as usize - 1];
        match style {
            TimeFormat::Rfc3339 => {
                self.write_rfc3339_into(at, &mut out);
                return out;
            }
            TimeFormat::Rfc3339Millis => {
                let offset = self.offset_in_whole_minutes(at);
                CivilDateTime::new(at, offset).write_exactly_into(&mut out, b'T', 3);
                push_rfc3339_offset(&mut out, self.0, offset);
                return out;
            }
            TimeFormat::Rfc3339Minute => {
                let offset = self.offset_in_whole_minutes(at);
                CivilDateTime { second: 0, nanos: 0, ..CivilDateTime::new(at, offset) }
                    .write_into(&mut out, b'T');
                out.truncate("2026-11-20T14:28".len());
                push_rfc3339_offset(&mut out, self.0, offset);
                return out;
            }
            TimeFormat::DateTimeExact => {
                civil.write_into(&mut out, b' ');
                write!(out, " {}", self.abbreviation(at))
            }
            TimeFormat::DateTimeMinute => {
                let zone = self.abbreviation(at);
                write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} {zone}")
            }
            TimeFormat::Date => write!(out, "{year:04}-{month:02}-{day:02}"),
            TimeFormat::DayMonthClock => {
                write!(out, "{day} {month_name} {hour:02}:{minute:02}")
            }
            TimeFormat::WeekdayClock => {
                let weekday = WEEKDAYS[civil.weekday as usize];
                write!(out, "{weekday} {hour:02}:{minute:02}")
            }
            TimeFormat::DayMonthYear => write!(out, "{day} {month_name} {year}"),
            TimeFormat::TimeOfDay => write!(out, "{hour:02}:{minute:02}"),
            TimeFormat::WeekdayTimeYear => {
                let weekday = WEEKDAYS[civil.weekday as usize];
                write!(out, "{weekday} {day} {month_name} {year} {hour:02}:{minute:02}")
            }
            TimeFormat::DayMonth => write!(out, "{day} {month_name}"),
            TimeFormat::Year => write!(out, "{year:04}"),
            TimeFormat::WeekdayTime => {
                let weekday = WEEKDAYS[civil.weekday as usize];
                write!(out, "{weekday} {day} {month_name} {hour:02}:{minute:02}")
            }
        }
        .expect("a String takes all");
        out
    }

    /// Appends RFC 3339 in this zone, the fraction without trailing zeros, `Z` in UTC.
    ///
    /// Before zones were agreed on, offsets had seconds, which RFC 3339 cannot write; they are
    /// written as the whole minutes, at the same instant.
    pub(crate) fn write_rfc3339_into(&self, at: Timestamp, out: &mut String) {
        let offset = self.offset_in_whole_minutes(at);
        CivilDateTime::new(at, offset).write_into(out, b'T');
        push_rfc3339_offset(out, self.0, offset);
    }

    /// Returns the first instant of the calendar day that `at` is in.
    pub(crate) fn start_of_day(&self, at: Timestamp) -> Timestamp {
        self.start_of_day_from(at, 0)
    }

    /// Returns the first instant of the calendar day `days` after the one that `at` is in, or
    /// before it where negative; the nearest timestamp where that is out of range.
    pub(crate) fn start_of_day_from(&self, at: Timestamp, days: i32) -> Timestamp {
        self.first_instant(self.day_number(at) + i64::from(days)).unwrap_or(Timestamp::from_nanos(
            if days < 0 || at.as_nanos() < 0 { i64::MIN } else { i64::MAX },
        ))
    }

    /// Returns the first instants of the calendar months from the one that `first` is in to the one
    /// after that of `last`.
    pub(crate) fn month_starts(&self, first: Timestamp, last: Timestamp) -> Vec<Timestamp> {
        let start_of_month = |at| self.start_of_day_from(at, 1 - self.civil(at).day.cast_signed());
        let mut months = vec![start_of_month(first)];
        while let Some(month) = months.last().copied().filter(|month| *month <= last) {
            // No month is longer than 31 days, and none is shorter than 28.
            let next = start_of_month(self.start_of_day_from(month, 31));
            if next <= month {
                break;
            }
            months.push(next);
        }
        months
    }

    pub(super) fn civil(&self, at: Timestamp) -> CivilDateTime {
        CivilDateTime::new(at, self.offset_at(at))
    }

    /// Returns the number of the calendar day that `at` is in here, 1970-01-01 being 0.
    pub(super) fn day_number(&self, at: Timestamp) -> i64 {
        (at.as_seconds() + self.offset_at(at)).div_euclid(SECONDS_PER_DAY)
    }

    /// Returns the first instant of a day by its number: not always midnight, which the clocks may
    /// skip, and the earlier midnight where they show two.
    pub(super) fn first_instant(&self, day: i64) -> Result<Timestamp, TimeParseError> {
        self.resolve(&ParsedDateTime { day, time_of_day: None, offset: None }, WindowEdge::Since)
    }

    /// Returns the instant of a local time that was written without an offset.
    ///
    /// A time that the clocks skip is the first instant after; one that they show twice goes by
    /// `side`; a date alone is its first instant.
    pub(super) fn resolve(
        &self,
        written: &ParsedDateTime,
        side: WindowEdge,
    ) -> Result<Timestamp, TimeParseError> {
        let side = if written.time_of_day.is_some() { side } else { WindowEdge::Since };
        let local =
            written.day * SECONDS_PER_DAY + written.time_of_day.map_or(0, |clock| clock.seconds);
        match self.instants(local) {
            ShownInstants::Existing(earlier, later) => written.at_offset(match side {
                WindowEdge::Since => local - earlier,
                WindowEdge::Until => local - later,
            }),
            ShownInstants::Skipped(after) => Timestamp::from_seconds(after),
        }
    }

    fn instants(&self, local: i64) -> ShownInstants {
        match self.0 {
            ZoneKind::Utc => ShownInstants::Existing(local, local),
            ZoneKind::Fixed(offset) => ShownInstants::Existing(local - offset, local - offset),
            ZoneKind::Named(zone) => ZoneHistory::of(zone).instants(local),
            ZoneKind::Rules(zone) => zone.instants(local),
        }
    }

    /// Returns the seconds east of UTC at that time.
    pub(super) fn offset_at(&self, at: Timestamp) -> i64 {
        match self.0 {
            ZoneKind::Utc => 0,
            ZoneKind::Fixed(offset) => offset,
            ZoneKind::Named(zone) => ZoneHistory::of(zone).offset_at(at.as_seconds()),
            ZoneKind::Rules(zone) => zone.offset_at(at.as_seconds()),
        }
    }

    fn offset_in_whole_minutes(&self, at: Timestamp) -> i64 {
        self.offset_at(at) / 60 * 60
    }
}

/// Returns the name of a zone without the folder of a variant: `posix/Europe/Berlin`. The zones of
/// `right/` count leap seconds, which no time in a log does.
fn strip_variant(name: &str) -> &str {
    name.strip_prefix("posix/").or(name.strip_prefix("right/")).unwrap_or(name)
}

fn push_rfc3339_offset(out: &mut String, kind: ZoneKind, offset: i64) {
    if kind == ZoneKind::Utc {
        out.push('Z');
    } else {
        push_offset(out, offset);
    }
}

/// Appends `+02:00`.
fn push_offset(out: &mut String, offset: i64) {
    let minutes = offset.abs() / 60;
    let digit = |number: i64| char::from(b"0123456789"[usize::try_from(number % 10).unwrap_or(0)]);
    out.push(if offset < 0 { '-' } else { '+' });
    out.push(digit(minutes / 600));
    out.push(digit(minutes / 60));
    out.push(':');
    out.push(digit(minutes % 60 / 10));
    out.push(digit(minutes % 60));
}
