//! The files of a log: where they lie, whether they may be used, and how they are made.
//!
//! A log is one file with companions beside it. Nothing here speaks SQL or opens the log itself: a
//! second descriptor on it would drop the locks of SQLite when it closes (POSIX).

pub(super) mod check;
pub(super) mod companions;
pub(super) mod draft;
pub(super) mod make;
pub(super) mod open_files;
pub(super) mod reserve;
