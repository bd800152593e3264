//! The daily digest: what happened in a log, read into a report and written as a mail.

pub(crate) mod kinds;
pub(crate) mod outcome;
pub(crate) mod rhythm;
pub(crate) mod window;
