//! Mirrors: copies of events to files, services and central stores.
//!
//! The log is the queue. [`sink`] has the trait of a destination, and [`sinks`] one file for each
//! kind of destination and the one function that opens them.
#![expect(dead_code, reason = "the loop that delivers comes next")]

mod delivery;
mod feed;
mod runner;
pub(crate) mod sink;
mod sinks;
