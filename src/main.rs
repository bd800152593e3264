//! `activity` answers who did what, when, and against which record.

mod event;
mod failure;
mod render;
mod terminal;
mod text;
mod time;

fn main() {}
