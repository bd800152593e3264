//! Times of events, read and written without the program's own code.

use std::time::SystemTime;

use chrono::DateTime;
use chrono::SecondsFormat;
use chrono::TimeDelta;
use chrono::Utc;

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// The time so many seconds ago, as an emitter writes it.
pub(crate) fn seconds_ago(seconds: i64) -> String {
    let then = now() - TimeDelta::seconds(seconds);
    then.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A time in RFC 3339 as the log writes it: in UTC, with nine digits of its fraction.
pub(crate) fn normal_form(time: &str) -> String {
    let time = DateTime::parse_from_rfc3339(time).unwrap_or_else(|why| panic!("{time}: {why}"));
    time.to_utc().to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// The distance of a time from now, in seconds.
pub(crate) fn age_in_seconds(time: &str) -> f64 {
    let time = DateTime::parse_from_rfc3339(time).unwrap();
    (now() - time.to_utc()).as_seconds_f64()
}
