//! Times as other programs write them, by a layout like `%d/%b/%Y:%H:%M:%S %z`.

use std::fmt;

use chrono::Datelike;
use chrono::NaiveDate;
use chrono::Timelike;
use chrono::format;
use chrono::format::Item;
use chrono::format::Parsed;
use chrono::format::StrftimeItems;

use super::civil::ParsedDateTime;
use super::civil::TimeParseError;
use super::quoted;
use super::timestamp::Timestamp;
use super::zone::WindowEdge;
use super::zone::Zone;

/// How much later than the input's own time a line may be: clocks and zones differ.
const SLACK_SECONDS: i64 = 86_400;

/// The years to look back for one that has the day: a leap day may be missing for eight.
const MAX_YEARS_BACK: i32 = 8;

/// A layout of `strftime`. A date without a year gets the latest that is not after the input's own time.
#[derive(Clone, Debug)]
pub(crate) struct TimeLayout {
    text: String,
    items: Vec<Item<'static>>,
    /// The layout ends in `UTC` or `GMT` as it stands.
    is_utc: bool,
}

impl fmt::Display for TimeLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TimeLayout {
    /// Reads a layout.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let items = StrftimeItems::new(text)
            .parse_to_owned()
            .map_err(|_| format!("{} is no layout like %Y-%m-%d %H:%M:%S %z", quoted(text)))?;
        let is_utc = text.ends_with("UTC") || text.ends_with("GMT");
        Ok(Self { text: text.to_owned(), items, is_utc })
    }

    /// Reads a time; `None` where it is not laid out so. `latest` is the time of the input.
    pub(crate) fn read(
        &self,
        text: &str,
        zone: Option<&Zone>,
        latest: Option<Timestamp>,
    ) -> Option<Result<Timestamp, String>> {
        let mut parsed = Parsed::new();
        format::parse(&mut parsed, text, self.items.iter()).ok()?;
        if self.is_utc {
            parsed.set_offset(0).ok()?;
        }
        let read = match parsed.timestamp() {
            Some(seconds) => Timestamp::from_seconds(seconds),
            None => resolve(&parsed, zone, latest)?,
        };
        Some(read.map_err(|refused| {
            let TimeParseError::Invalid(why) = refused else {
                return format!("{} is not a time", quoted(text));
            };
            format!("{} is not a time: {why}", quoted(text))
        }))
    }
}

/// Returns the instant of what was read; `None` where that is no date and time.
fn resolve(
    parsed: &Parsed,
    zone: Option<&Zone>,
    latest: Option<Timestamp>,
) -> Option<Result<Timestamp, TimeParseError>> {
    if parsed.year().is_some() || parsed.year_mod_100().is_some() {
        return Some(at_date(parsed, parsed.to_naive_date().ok()?, zone));
    }
    let Some(latest) = latest else {
        return Some(Err(TimeParseError::Invalid("it has no year".to_owned())));
    };
    let limit = latest.as_seconds().saturating_add(SLACK_SECONDS);
    let last_year = i32::try_from(super::civil::CivilDateTime::new(latest, 0).year).ok()? + 1;
    let mut years = (last_year - MAX_YEARS_BACK..=last_year).rev();
    years.find_map(|year| {
        let mut dated = parsed.clone();
        dated.set_year(i64::from(year)).ok()?;
        let read = at_date(&dated, dated.to_naive_date().ok()?, zone);
        let is_later = read.as_ref().is_ok_and(|at| at.as_seconds() > limit);
        (!is_later).then_some(read)
    })
}

/// Returns the instant of a date and the time of day that was read.
fn at_date(
    parsed: &Parsed,
    date: NaiveDate,
    zone: Option<&Zone>,
) -> Result<Timestamp, TimeParseError> {
    let clock = parsed
        .to_naive_time()
        .map_err(|_| TimeParseError::Invalid("it has no time of day".to_owned()))?;
    let day = i64::from(date.num_days_from_ce()) - DAYS_FROM_CE_TO_1970;
    let seconds = i64::from(clock.num_seconds_from_midnight());
    let offset = parsed.offset().map(i64::from);
    let written = ParsedDateTime::new(day, seconds, i64::from(clock.nanosecond()), offset);
    match (offset, zone) {
        (Some(offset), _) => written.at_offset(offset),
        (None, Some(zone)) => zone.resolve(&written, WindowEdge::Since),
        (None, None) => Err(TimeParseError::Invalid(
            "it has no offset, and --input-tz does not say how to read it".to_owned(),
        )),
    }
}

/// The number of 1970-01-01, 0001-01-01 being 1.
const DAYS_FROM_CE_TO_1970: i64 = 719_163;
