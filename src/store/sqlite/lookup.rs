//! Finds the dimension rows that a term of a query names.
//!
//! ## Cost
//! The tables are small beside `event`. An index finds literals and the fixed beginnings of patterns;
//! otherwise every row of the table is read. [`Pattern`] decides in each case.

use std::fmt::Write;

use rusqlite::Connection;
use rusqlite::Result;
use rusqlite::types::FromSqlResult;
use rusqlite::types::ValueRef;

use crate::event;
use crate::query::pattern;
use crate::query::pattern::NamePattern;
use crate::query::pattern::Pattern;
use crate::query::pattern::PatternList;
use crate::query::pattern::TargetPattern;
use crate::store::sqlite::rows;
use crate::text;

/// Keys of one dimension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeySet(
    /// Ascending, without repeats.
    Vec<i64>,
);

impl FromIterator<i64> for KeySet {
    fn from_iter<I: IntoIterator<Item = i64>>(keys: I) -> Self {
        let mut keys: Vec<i64> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Self(keys)
    }
}

impl KeySet {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// The keys that are in both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().copied().filter(|key| other.0.binary_search(key).is_ok()).collect())
    }

    /// The set as one bit for each key, for `has` in SQL. Keys are dense: they are assigned in order
    /// from 1.
    pub(super) fn to_bitmap(&self) -> Vec<u8> {
        let places = || self.0.iter().filter_map(|key| usize::try_from(*key).ok());
        let mut bits = vec![0; places().next_back().map_or(0, |last| last / 8 + 1)];
        for place in places() {
            bits[place / 8] |= 1 << (place % 8);
        }
        bits
    }

    /// The set as a JSON array, for `json_each` in SQL.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.0.len() * 7 + 2);
        json.push('[');
        for (place, key) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(json, "{comma}{key}").expect("a String takes all");
        }
        json.push(']');
        json
    }
}

/// The statements that find rows by a column of text. Absent text is empty and never found.
struct ColumnLookup {
    equal: &'static str,
    between: &'static str,
    all: &'static str,
}

macro_rules! column_lookup {
    ($table:literal, $column:literal) => {
        ColumnLookup {
            equal: concat!("SELECT key FROM ", $table, " WHERE ", $column, " = ?1"),
            between: concat!(
                "SELECT key, ",
                $column,
                " FROM ",
                $table,
                " WHERE ",
                $column,
                " >= ?1 AND ",
                $column,
                " < ?2"
            ),
            all: concat!("SELECT key, ", $column, " FROM ", $table, " WHERE ", $column, " > ''"),
        }
    };
}

const ACTOR_ID: ColumnLookup = column_lookup!("actor", "id");
const ACTOR_LABEL: ColumnLookup = column_lookup!("actor", "folded");
const TARGET_ID: ColumnLookup = column_lookup!("target", "id");
const TARGET_LABEL: ColumnLookup = column_lookup!("target", "folded");
const TITLE: ColumnLookup = column_lookup!("title", "folded");
const TARGET_TYPE: ColumnLookup = column_lookup!("target", "type");
const AGENT: ColumnLookup = column_lookup!("agent", "text");
const ACTION: ColumnLookup = column_lookup!("action", "slug");
const MODULE: ColumnLookup = column_lookup!("action", "module");
const TENANT: ColumnLookup = column_lookup!("tenant", "text");
const RECORDER: ColumnLookup = column_lookup!("recorder", "text");

impl ColumnLookup {
    fn find(&self, connection: &Connection, pattern: &Pattern, found: &mut Vec<i64>) -> Result<()> {
        if let Some(text) = pattern.as_literal() {
            if text.is_empty() {
                return Ok(());
            }
            let mut statement = connection.prepare_cached(self.equal)?;
            for key in statement.query_map([text], |row| row.get(0))? {
                found.push(key?);
            }
            return Ok(());
        }
        let prefix = pattern.prefix();
        let after = if prefix.is_empty() { None } else { pattern::prefix_upper_bound(prefix) };
        let matches = pattern.matcher();
        let accepts = |text: ValueRef<'_>| Ok(matches(text.as_bytes()?));
        match after {
            Some(after) => scan(connection, self.between, &[prefix, &after], accepts, found),
            None => scan(connection, self.all, &[], accepts, found),
        }
    }

    fn find_any(&self, connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
        let mut found = Vec::new();
        for pattern in patterns {
            self.find(connection, pattern, &mut found)?;
        }
        Ok(found.into_iter().collect())
    }

    fn find_containing(&self, connection: &Connection, words: &Pattern) -> Result<KeySet> {
        let mut found = Vec::new();
        let within = words.searcher();
        scan(connection, self.all, &[], |text| Ok(within(text.as_bytes()?)), &mut found)?;
        Ok(found.into_iter().collect())
    }
}

/// Adds the keys of the rows that are accepted. A row of the statement is a key and a text.
fn scan(
    connection: &Connection,
    sql: &str,
    params: &[&str],
    accepts: impl Fn(ValueRef<'_>) -> FromSqlResult<bool>,
    found: &mut Vec<i64>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        if accepts(row.get_ref(1)?)? {
            found.push(row.get(0)?);
        }
    }
    Ok(())
}

pub(super) fn actors(connection: &Connection, names: &[NamePattern]) -> Result<KeySet> {
    let mut found = Vec::new();
    for name in names {
        ACTOR_ID.find(connection, &name.id, &mut found)?;
        ACTOR_LABEL.find(connection, &name.label, &mut found)?;
    }
    Ok(found.into_iter().collect())
}

pub(super) fn targets(connection: &Connection, records: &[TargetPattern]) -> Result<KeySet> {
    let mut found = Vec::new();
    for record in records {
        TARGET_ID.find(connection, &record.name.id, &mut found)?;
        TARGET_LABEL.find(connection, &record.name.label, &mut found)?;
        if let Some((kind, id)) = &record.type_and_id {
            find_by_type_and_id(connection, kind, id, &mut found)?;
        }
    }
    Ok(found.into_iter().collect())
}

/// Finds the targets of `TYPE/ID`.
fn find_by_type_and_id(
    connection: &Connection,
    kind: &Pattern,
    id: &Pattern,
    found: &mut Vec<i64>,
) -> Result<()> {
    if let Some(id) = id.as_literal() {
        const SQL: &str = "SELECT key, type FROM target WHERE id = ?1 AND ?1 > '' AND type > ''";
        return scan(connection, SQL, &[id], |text| Ok(kind.matches(text.as_str()?)), found);
    }
    // `TYPE/*` means every record of the type, also one without an id.
    let accepts =
        |text: &str| if text.is_empty() { id.matches_everything() } else { id.matches(text) };
    if let Some(kind) = kind.as_literal() {
        const SQL: &str = "SELECT key, id FROM target WHERE type = ?1 AND ?1 > ''";
        return scan(connection, SQL, &[kind], |text| Ok(accepts(text.as_str()?)), found);
    }
    const SQL: &str = "SELECT key, id, type FROM target WHERE type > ''";
    let mut statement = connection.prepare_cached(SQL)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if accepts(row.get_ref(1)?.as_str()?) && kind.matches(row.get_ref(2)?.as_str()?) {
            found.push(row.get(0)?);
        }
    }
    Ok(())
}

pub(super) fn actor_ids(connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
    ACTOR_ID.find_any(connection, patterns)
}

pub(super) fn actor_labels(connection: &Connection, folded: &[Pattern]) -> Result<KeySet> {
    ACTOR_LABEL.find_any(connection, folded)
}

pub(super) fn target_types(connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
    TARGET_TYPE.find_any(connection, patterns)
}

pub(super) fn target_ids(connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
    TARGET_ID.find_any(connection, patterns)
}

pub(super) fn target_labels(connection: &Connection, folded: &[Pattern]) -> Result<KeySet> {
    TARGET_LABEL.find_any(connection, folded)
}

pub(super) fn titles(connection: &Connection, folded: &[Pattern]) -> Result<KeySet> {
    TITLE.find_any(connection, folded)
}

/// The user agents that match in any case. Their table has no folded column, so each is read.
pub(super) fn agents(connection: &Connection, folded: &PatternList) -> Result<KeySet> {
    let mut found = Vec::new();
    let accepts = |text: ValueRef<'_>| {
        let text = text::fold(text.as_str()?);
        Ok(folded.any_matches(&text))
    };
    scan(connection, AGENT.all, &[], accepts, &mut found)?;
    Ok(found.into_iter().collect())
}

/// The events with these `event_id`s, in every tenant.
pub(super) fn event_ids(connection: &Connection, event_ids: &[&str]) -> Result<KeySet> {
    const SQL: &str = "SELECT event.id FROM tenant \
        CROSS JOIN event ON event.tenant = tenant.key AND event.event_id = ?1";
    let mut statement = connection.prepare_cached(SQL)?;
    let mut found: Vec<i64> = Vec::new();
    for event_id in event_ids {
        let key = rows::StoredEventId::from_event_id(event_id);
        for id in statement.query_map([&key], |row| row.get(0))? {
            found.push(id?);
        }
    }
    Ok(found.into_iter().collect())
}

pub(super) fn actions(connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
    ACTION.find_any(connection, patterns)
}

pub(super) fn modules(connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
    MODULE.find_any(connection, patterns)
}

pub(super) fn tenants(connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
    TENANT.find_any(connection, patterns)
}

pub(super) fn recorders(connection: &Connection, patterns: &[Pattern]) -> Result<KeySet> {
    RECORDER.find_any(connection, patterns)
}

/// The actions whose names say that something failed.
pub(super) fn failure_actions(connection: &Connection) -> Result<KeySet> {
    let mut found = Vec::new();
    let named = |slug: ValueRef<'_>| Ok(event::is_failure_action(slug.as_str()?));
    scan(connection, ACTION.all, &[], named, &mut found)?;
    Ok(found.into_iter().collect())
}

pub(super) fn all_actions(connection: &Connection) -> Result<KeySet> {
    let mut found = Vec::new();
    scan(connection, ACTION.all, &[], |_| Ok(true), &mut found)?;
    Ok(found.into_iter().collect())
}

/// The actors that ever impersonated another.
pub(super) fn impersonators(connection: &Connection) -> Result<KeySet> {
    const SQL: &str = "SELECT DISTINCT impersonator FROM event INDEXED BY event_impersonator \
        WHERE impersonator IS NOT NULL";
    connection.prepare_cached(SQL)?.query_map([], |row| row.get(0))?.collect()
}

/// The rows whose text contains a phrase: by the labels of actors and targets, and by titles.
pub(super) struct TextMatches {
    pub actors: KeySet,
    pub targets: KeySet,
    pub titles: KeySet,
}

pub(super) fn text_matches(connection: &Connection, words: &Pattern) -> Result<TextMatches> {
    Ok(TextMatches {
        actors: ACTOR_LABEL.find_containing(connection, words)?,
        targets: TARGET_LABEL.find_containing(connection, words)?,
        titles: TITLE.find_containing(connection, words)?,
    })
}
