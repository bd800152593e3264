//! The daily digest: what happened in a log, read into a report and sent as a mail.
//!
//! The steps from the log to the mail, in their order:
//!
//! 1. [`mail_settings`] checks the recipients and the transport, before anything is read.
//! 2. [`run`] opens the log and takes the digest lock.
//! 3. [`reader`] reads a [`report`] from its [`logs`] in one snapshot. [`window`] decides which events it covers, from
//!    the earlier [`outcome`]s; [`kinds`] gives each event its heading; [`tally`] counts people and
//!    failures; [`quiet`] finds what has stopped, by its [`rhythm`].
//! 4. [`run`] records the head that the mail will carry.
//! 5. [`rendered_mail`] runs the templates over a [`template_context`]. Its texts come from
//!    `sentences`, `event_lines`, `list_command` and, beneath these, [`phrases`]. `json` writes the
//!    same report for programs.
//! 6. [`mail_settings`] addresses the mail, and [`deliver`] sends it.
//! 7. [`run`] records the [`outcome`], which is all that the next digest knows of this one.
//!
//! A module here imports only from those that belong to earlier steps or stand beneath it.

pub(crate) mod deliver;
pub(crate) mod event_lines;
mod json;
pub(crate) mod kinds;
mod list_command;
pub(crate) mod logs;
pub(crate) mod mail_context;
pub(crate) mod mail_settings;
pub(crate) mod outcome;
pub(crate) mod phrases;
pub(crate) mod quiet;
pub(crate) mod reader;
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
