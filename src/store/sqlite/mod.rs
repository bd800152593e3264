//! The log as one SQLite file; the only place that speaks SQL.
//!
//! `open` and `create` find or make the file and set the connection up, `append` writes, with the
//! rows that events refer to from `dimensions`, `rows` turns rows into events, `progress` knows files
//! by their bytes, `lock` keeps sweeps and exports apart, `sweep` removes what is vouched for, `error`
//! puts what SQLite says into our words, `migrate` has the schema and its history. `verify` reads what
//! no other part may trust, `copy` makes a backup, and `wal` carries the write-ahead log over.
//!
//! A query is read by `plan`, term by term in `terms`, with the keys that they name from `keys` and
//! what SQL cannot say from `functions`; `page` and `summary` answer it, `sort` knows other orders, and `sql` lets none of
//! them splice a value into a statement.

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
mod lock;
mod lookup;
mod migrate;
mod open;
mod page;
mod plan;
mod progress;
#[cfg(test)]
mod query_tests;
mod rows;
mod sort;
mod sql;
mod summary;
mod sweep;
mod terms;
#[cfg(test)]
mod tests;
mod verify;
mod wal;

pub(super) use crate::store::sqlite::append::SqliteBatch;
pub(super) use crate::store::sqlite::engine::Sqlite;
pub(crate) use crate::store::sqlite::files::companions::Companion;
pub(crate) use crate::store::sqlite::files::reserve::RESERVE_SIZE;
#[cfg(test)]
pub(super) use crate::store::sqlite::sort::sortable_fields as sortable;
pub(crate) use crate::store::sqlite::sweep::reserve::SweepLock;
pub(super) use crate::store::sqlite::verify::SqliteSnapshot;
