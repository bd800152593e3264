//! Points in time, zones and spans. The only user of `chrono`.
//!
//! A [`Timestamp`] is a count of nanoseconds and nothing else; how it is written depends on a
//! [`Zone`], and what a person or an emitter wrote is read here and nowhere else. The clock is
//! asked by `context` alone: everything below takes the time as an argument.

mod civil;
mod emitted;
mod human;
mod span;
mod timestamp;
mod zone;

#[cfg(test)]
mod tests;

pub(crate) use emitted::parse_emitted;
pub(crate) use human::{format_ago, format_relative, parse_human};
pub(crate) use span::Span;
pub(crate) use timestamp::Timestamp;
pub(crate) use zone::{TimeFormat, WindowEdge, Zone};

use crate::text;

/// Returns `text` in quotes for a message, escaped and no longer than a message bears.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text::truncate(&text::escape(text), 60))
}
