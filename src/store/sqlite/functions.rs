//! The SQL functions that queries need. SQLite's own operators mean something else than the query
//! language: its `LIKE` folds ASCII alone, its `GLOB` knows `?` and `[]`, and both stop at a NUL.
//!
//! - `has(SET, KEY)`: whether a [set of keys](super::lookup::KeySet::to_bitmap) contains the key; 0 for NULL.
//! - `within(RANGES, NUMBER)`: whether one of the [`super::ranges`] contains the number; NULL for NULL.
//! - `holds(TERM, VALUE)`: whether a term of the query language, given as text, holds for a value; NULL for NULL.
//!   Bytes count as the text that is shown for them.

use std::borrow::Cow;
use std::fmt::Write;

use rusqlite::Connection;
use rusqlite::Error;
use rusqlite::Result;
use rusqlite::functions::Context;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use crate::query::Clock;
use crate::query::Predicate;
use crate::query::Query;
use crate::store::sqlite::ranges;
use crate::time::Timestamp;
use crate::time::Zone;

/// Registers the functions with a connection that answers queries.
pub(super) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        // A schema may not use them.
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("has", 2, flags, has)?;
    connection.create_scalar_function("within", 2, flags, within)?;
    connection.create_scalar_function("holds", 2, flags, holds)
}

fn has(context: &Context<'_>) -> Result<bool> {
    let (ValueRef::Blob(bits), ValueRef::Integer(key)) = (context.get_raw(0), context.get_raw(1))
    else {
        return Ok(false);
    };
    let key = usize::try_from(key).unwrap_or(usize::MAX);
    Ok(bits.get(key / 8).is_some_and(|byte| byte >> (key % 8) & 1 == 1))
}

fn within(context: &Context<'_>) -> Result<Option<bool>> {
    let (ValueRef::Blob(ranges), ValueRef::Integer(number)) =
        (context.get_raw(0), context.get_raw(1))
    else {
        return Ok(None);
    };
    Ok(Some(ranges::blob_contains(ranges, number)))
}

fn holds(context: &Context<'_>) -> Result<Option<bool>> {
    let value = match context.get_raw(1) {
        ValueRef::Null => return Ok(None),
        ValueRef::Blob(bytes) => Cow::Owned(text_of_bytes(bytes)),
        value => Cow::Borrowed(value.as_str()?),
    };
    // A statement has one term for all its rows, so it is parsed once.
    let test = context.get_or_create_aux(0, |term| {
        term.as_str().map_err(|cause| cause.to_string()).and_then(parse_term)
    })?;
    Ok(Some(test.holds_for_text(&value)))
}

/// Returns the text that stands for bytes: a UUID for an `event_id`, hex digits for a hash.
fn text_of_bytes(bytes: &[u8]) -> String {
    if let Ok(uuid) = uuid::Uuid::from_slice(bytes) {
        return uuid.to_string();
    }
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

/// Parses a term that [`Predicate`] wrote.
fn parse_term(term: &str) -> std::result::Result<Predicate, String> {
    // The meaning of such a term does not depend on the clock.
    let clock = Clock { now: Timestamp::from_nanos(0), zone: &Zone::utc() };
    let query = Query::parse(term, &clock).map_err(|cause| cause.to_string())?;
    let term = query.terms().next().cloned();
    term.map(|term| term.predicate).ok_or_else(|| Error::InvalidQuery.to_string())
}
