//! The log as one SQLite file; the only place that speaks SQL.
//!
//! From the ground up:
//!
//! - `layout` has the columns of an event and the tables that it refers to; all statements follow from it.
//! - `files` has the files of a log, `wal` the write-ahead log, `error` turns errors into failures.
//! - `migrate` has the schema and its versions, `create` makes a log, `open` opens one.
//! - `engine` is the open log, to which the other modules add their calls.
//! - `dimensions` writes the rows that events refer to, `rows` turns rows into events.
//! - `plan` decides how a query is answered: `terms` compiles its terms, with the keys that `lookup`
//!   finds, and `functions` does what SQL cannot. `page` and `summary` answer queries, `sort` has the
//!   other orders, `find` finds single events, `digest` reads for digests.
//! - `append` writes events, `in_place` makes sure that they stand in the file that has the log's
//!   name, `progress` how far files have been ingested.
//! - `mirror` keeps how far mirrors have delivered.
//! - `lock` keeps sweeps, exports, digests and mirrors apart, `sweep` removes events, `copy` makes a backup.
//! - `verify` reads without trusting what the other modules have written.
//!
//! `sql` builds statements so that no value is ever spliced into one, `ranges` the conditions on numbers,
//! `row_keys` has the maps by the keys of rows, and `recent_rows` remembers rows.

mod append;
mod copy;
mod create;
mod digest;
mod dimensions;
mod engine;
mod error;
mod files;
mod find;
mod functions;
mod in_place;
mod layout;
mod lock;
mod lookup;
mod migrate;
mod mirror;
mod names;
mod open;
mod page;
mod plan;
mod progress;
#[cfg(test)]
mod query_tests;
mod ranges;
mod recent_rows;
mod recorded;
mod row_keys;
mod rows;
mod sort;
mod sql;
mod summary;
mod sweep;
mod swept;
mod tally;
mod terms;
#[cfg(test)]
mod tests;
mod verify;
mod wal;
mod wal_frames;

pub(super) use crate::store::sqlite::append::SqliteBatch;
pub(super) use crate::store::sqlite::engine::Sqlite;
pub(crate) use crate::store::sqlite::files::companions::Companion;
pub(crate) use crate::store::sqlite::files::companions::note_first_warning_of_day;
pub(crate) use crate::store::sqlite::files::reserve::RESERVE_SIZE;
#[cfg(test)]
pub(super) use crate::store::sqlite::sort::sortable_fields as sortable;
pub(crate) use crate::store::sqlite::sweep::reserve::SweepLock;
pub(super) use crate::store::sqlite::tally::groupable_fields as groupable;
pub(super) use crate::store::sqlite::verify::SqliteSnapshot;
