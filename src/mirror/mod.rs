//! Mirrors and alerts: copies of events to files, services, central stores and people.
//!
//! The log is the queue. [`feed`] is what a mirror reads from it, and [`runner`] delivers for one
//! mirror: it keeps the cursor, waits, and stores dead letters. [`run`] runs all of them, a thread
//! each, so that a destination that is slow or away delays no other. [`sink`] has the trait of a
//! destination, [`sinks`] one file for each kind, and the one function that opens them.
//! [`alert`] has the sink whose destination is a person.
//! [`resend`] delivers again what was delivered or given up, [`status`] says how each fares.
//!
//! ## Promises
//!
//! Every event that a mirror's query matches is delivered at least once, in the order of ids, or is a
//! dead letter. An event comes twice only where a run was killed, or where a destination took a batch
//! and did not confirm it; its `event_id` is the same then.

pub(crate) mod alert;
mod dead_letters;
mod delivery;
pub(crate) mod feed;
mod hmac;
pub(crate) mod resend;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod sink;
mod sinks;
pub(crate) mod status;
#[cfg(test)]
mod tests;
