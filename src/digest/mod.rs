//! The daily digest: what happened in a log, read into a report and written as a mail.

pub(crate) mod deliver;
mod event_lines;
mod json;
pub(crate) mod kinds;
mod list_command;
pub(crate) mod mail_settings;
pub(crate) mod outcome;
pub(crate) mod phrases;
pub(crate) mod quiet;
pub(crate) mod reader;
pub(crate) mod render_options;
pub(crate) mod rendered_mail;
pub(crate) mod report;
pub(crate) mod rhythm;
pub(crate) mod run;
mod sentences;
pub(crate) mod tally;
pub(crate) mod template_context;
pub(crate) mod window;

#[cfg(test)]
mod tests;
