//! `activity` answers who did what, when, and against which record.

mod digest;
mod event;
mod failure;
mod http;
mod retry;
mod secret;
mod text;
mod time;

fn main() {}
