//! Finds names by their beginning, for completions.
//!
//! ## Cost
//! Where the whole log is visible, a name is found by the index of its table, and an event need not be
//! read: the rows are there because events refer to them. Within a narrower scope the visible events
//! are counted by the name, which costs as much as they are many.

use std::collections::BTreeSet;

use anyhow::Result;
use rusqlite::Connection;

use crate::query::Query;
use crate::store::names::NameKind;
use crate::store::sqlite::engine::Sqlite;
use crate::store::tally::GroupValue;
use crate::store::tally::Grouping;
use crate::text;
use crate::time::Zone;

/// The statements that find names: the beginning, its end, and the number of rows.
fn statements(kind: NameKind) -> &'static [&'static str] {
    macro_rules! by_beginning {
        ($table:literal, $compared:literal, $shown:literal) => {
            concat!(
                "SELECT DISTINCT ",
                $shown,
                " FROM ",
                $table,
                " WHERE ",
                $compared,
                " >= ?1 AND ",
                $compared,
                " < ?2 AND ",
                $shown,
                " > '' ORDER BY ",
                $compared,
                " LIMIT ?3"
            )
        };
    }
    match kind {
        NameKind::Action => &[by_beginning!("action", "slug", "slug")],
        NameKind::Actor => {
            &[by_beginning!("actor", "folded", "label"), by_beginning!("actor", "id", "id")]
        }
        NameKind::Target => {
            &[by_beginning!("target", "folded", "label"), by_beginning!("target", "id", "id")]
        }
        NameKind::Module => &[by_beginning!("action", "module", "module")],
        NameKind::Tenant => &[by_beginning!("tenant", "text", "text")],
        NameKind::Recorder => &[by_beginning!("recorder", "text", "text")],
    }
}

impl Sqlite {
    pub(in crate::store) fn names(
        &self,
        scope: &Query,
        kind: NameKind,
        beginning: &str,
        limit: usize,
    ) -> Result<Vec<String>> {
        let folded = text::fold(beginning).into_owned();
        if *scope != Query::default() {
            return self.names_in_scope(scope, kind, &folded, limit);
        }
        self.read_in_snapshot(|connection| find_names(connection, kind, beginning, &folded, limit))
    }

    fn names_in_scope(
        &self,
        scope: &Query,
        kind: NameKind,
        folded: &str,
        limit: usize,
    ) -> Result<Vec<String>> {
        let grouping = match kind {
            NameKind::Action => Grouping::Field("action"),
            NameKind::Actor => Grouping::Actor,
            NameKind::Target => Grouping::Target,
            NameKind::Module => Grouping::Field("module"),
            NameKind::Tenant => Grouping::Field("tenant"),
            NameKind::Recorder => Grouping::Field("recorded_by"),
        };
        let counts = self.count_by(scope, &[&[grouping]], &Zone::utc())?;
        let groups = counts.into_iter().flat_map(|counts| counts.groups);
        let values = groups.filter_map(|group| group.values.into_iter().next());
        let names = values.flat_map(|value| match value {
            GroupValue::Text(text) => [Some(text), None],
            GroupValue::Person { id, label, .. } | GroupValue::Record { id, label, .. } => {
                [label, id]
            }
            GroupValue::Period(_)
            | GroupValue::System
            | GroupValue::Anonymous
            | GroupValue::Absent => [None, None],
        });
        let fitting = names.flatten().filter(|name| text::fold(name).starts_with(folded));
        Ok(fitting.collect::<BTreeSet<_>>().into_iter().take(limit).collect())
    }
}

fn find_names(
    connection: &Connection,
    kind: NameKind,
    beginning: &str,
    folded: &str,
    limit: usize,
) -> rusqlite::Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for (place, sql) in statements(kind).iter().enumerate() {
        // Labels are compared folded, and so are actions, which are in lower case.
        let is_folded =
            place == 0 && matches!(kind, NameKind::Action | NameKind::Actor | NameKind::Target);
        let start = if is_folded { folded } else { beginning };
        // No text sorts behind this end and begins with the start.
        let end = format!("{start}\u{10ffff}");
        // The first text that is not empty: where many rows have no label, they are not read.
        let start = if start.is_empty() { "\0" } else { start };
        let mut statement = connection.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((start, end, limit), |row| row.get::<_, String>(0))?;
        for name in rows {
            names.insert(name?);
        }
    }
    Ok(names.into_iter().take(limit).collect())
}
