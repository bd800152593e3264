//! `activity` answers who did what, when, and against which record.

mod digest;
mod event;
mod failure;
mod text;
mod time;

fn main() {}
