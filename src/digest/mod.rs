//! The daily digest: what happened in a log, read into a report and written as a mail.

pub(crate) mod deliver;
mod json;
pub(crate) mod kinds;
mod lines;
pub(crate) mod outcome;
pub(crate) mod page;
pub(crate) mod post;
pub(crate) mod quiet;
mod reader;
pub(crate) mod report;
pub(crate) mod rhythm;
pub(crate) mod run;
pub(crate) mod tally;
pub(crate) mod view;
pub(crate) mod window;
mod words;

#[cfg(test)]
mod tests;
