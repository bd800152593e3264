//! Points in time, zones and spans. The only user of `chrono`.
//!
//! A [`Timestamp`] is a count of nanoseconds; a [`Zone`] decides how it is written. Times that
//! people and emitters wrote are parsed here and nowhere else. Only `context` reads the clock: the
//! other modules take the time as an argument.

mod calendar;
mod civil;
mod emitted;
mod human;
mod layout;
mod posix_zone;
mod span;
mod timestamp;
mod zone;
mod zone_table;

#[cfg(test)]
mod tests;

pub(crate) use calendar::CalendarUnit;
pub(crate) use emitted::{parse_emitted, resembles_emitted};
pub(crate) use human::{format_ago, format_relative, parse_human, parse_human_span};
pub(crate) use layout::TimeLayout;
pub(crate) use span::Span;
pub(crate) use timestamp::Timestamp;
pub(crate) use zone::{TimeFormat, WindowEdge, Zone};

use crate::text;

/// Returns `text` in quotes for a message, escaped and cut to fit into a message.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text::truncate(&text::escape(text), 60))
}
