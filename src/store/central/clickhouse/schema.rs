//! The tables of the central store in ClickHouse.

use std::fmt::Write;

use crate::store::central::TableNames;
use crate::store::central::clickhouse::ServerGeneration;
use crate::store::central::columns::COLUMNS;
use crate::store::central::columns::CentralColumn;
use crate::store::central::columns::ColumnValue;
use crate::store::central::row;

/// Returns the tables of a store: their names, and the statements that make them.
pub(super) fn create_tables(
    names: &TableNames,
    generation: ServerGeneration,
) -> [(&str, String); 4] {
    let TableNames { event, origin, gap, version, .. } = names;
    let create_gap = format!(
        "CREATE TABLE IF NOT EXISTS {gap} (log UUID, first Int64, last Int64, \
         hash FixedString(32), sweep Int64) ENGINE = ReplacingMergeTree ORDER BY (log, first, last)"
    );
    let create_version = format!(
        "CREATE TABLE IF NOT EXISTS {version} (log UUID, id Int64, hash FixedString(32)) \
         ENGINE = ReplacingMergeTree ORDER BY (log, id, hash)"
    );
    [
        (origin, create_origin(names)),
        (event, create_event(names, generation)),
        (gap, create_gap),
        (version, create_version),
    ]
}

fn create_origin(names: &TableNames) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (uuid UUID, host String, head_id Int64, \
         head_hash FixedString(32), head_at Int64, delivered_id Int64, sweep Int64) ENGINE = ReplacingMergeTree(head_at) \
         ORDER BY uuid",
        names.origin
    )
}

/// Returns the statement that makes the table of events. Hours come first in the order, so that the
/// newest events of all logs lie together; other ways in are projections.
fn create_event(names: &TableNames, generation: ServerGeneration) -> String {
    let is_modern = generation == ServerGeneration::Modern;
    let codec = |codec: &str| if is_modern { format!(" CODEC({codec})") } else { String::new() };
    let (text, random) = (codec("ZSTD(1)"), codec("NONE"));
    let mut sql = format!(
        "CREATE TABLE IF NOT EXISTS {} (log UUID, id Int64, event_id String{text}, ",
        names.event
    );
    for column in &COLUMNS {
        let codec = if matches!(column.value, ColumnValue::Text { .. }) { &text } else { "" };
        let _ = write!(sql, "{} {}{codec}, ", column.name, type_of(column));
    }
    let _ = write!(
        sql,
        "seal String{random}, hash FixedString(32){random}, words Nullable(String){text}"
    );
    for column in row::KEY_COLUMNS {
        let _ = write!(sql, ", {column} Nullable(Int64)");
    }
    if is_modern {
        for (name, columns) in [
            ("by_event_id", "event_id"),
            ("by_actor", "actor_id, occurred_at"),
            ("by_target", "target_id, occurred_at"),
            ("by_action", "action, occurred_at"),
        ] {
            let _ = write!(
                sql,
                ", PROJECTION {name} (SELECT log, id, occurred_at, event_id, actor_id, target_id, \
                 action ORDER BY {columns})"
            );
        }
    }
    sql.push_str(
        ") ENGINE = ReplacingMergeTree \
         PARTITION BY toYYYYMM(toDateTime(intDiv(occurred_at, 1000000000), 'UTC')) \
         ORDER BY (intDiv(occurred_at, 3600000000000), log, id)",
    );
    if is_modern {
        // Projections over a table that replaces rows, and keys that may be absent, are asked for by name.
        sql.push_str(
            " SETTINGS non_replicated_deduplication_window = 1000, allow_nullable_key = 1, \
             deduplicate_merge_projection_mode = 'rebuild'",
        );
    }
    sql
}

/// The type of a column. Numbers are never absent: 0 stands for none.
fn type_of(column: &CentralColumn) -> &'static str {
    match column.value {
        ColumnValue::Integer { .. } => "Int64",
        ColumnValue::SmallInteger { .. } => "Int16",
        ColumnValue::Boolean { .. } => "UInt8",
        ColumnValue::Text { .. } if column.is_required => "String",
        ColumnValue::Text { .. } => "Nullable(String)",
    }
}
