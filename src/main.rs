//! `activity` answers who did what, when, and against which record.

mod failure;
mod text;
mod time;

fn main() {}
