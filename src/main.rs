//! `activity` answers who did what, when, and against which record.

mod chain;
mod digest;
mod event;
mod failure;
mod query;
mod store;
mod text;
mod time;

fn main() {}
