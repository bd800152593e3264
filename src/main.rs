//! `activity` answers who did what, when, and against which record.

mod chain;
mod codec;
mod event;
mod failure;
mod ingest;
mod store;
mod text;
mod time;

fn main() {}
