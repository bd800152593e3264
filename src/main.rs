//! `activity` answers who did what, when, and against which record.

mod digest;
mod chain;
mod event;
mod failure;
mod store;
mod query;
mod text;
mod time;

fn main() {}
