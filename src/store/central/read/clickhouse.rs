//! Reading a central store in ClickHouse.
//!
//! Answers come as lines of tabulated text, of which every value of every version of the server can be
//! read back exactly.

use crate::config::mirror::ClickHouseConfig;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::TimeBounds;
use crate::store::central::CentralError;
use crate::store::central::CentralErrorKind;
use crate::store::central::ServerAccess;
use crate::store::central::clickhouse::ClickHouseStore;
use crate::store::central::columns::COLUMNS;
use crate::store::central::columns::ColumnValue;
use crate::store::central::columns::EventParts;
use crate::store::central::read::CentralServer;
use crate::store::central::read::DETAIL_COLUMNS;
use crate::store::central::read::FoundEvent;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::fragment::SqlValue;
use crate::store::central::read::origin::OriginRow;
use crate::store::central::read::summary::TextRow;
use crate::store::digest::DetailLevel;
use crate::time::Timestamp;

/// A server that is asked over HTTP.
pub(super) struct ClickHouseReader {
    store: ClickHouseStore,
    event_table: String,
    origin_table: String,
    columns: String,
    outline_columns: String,
}

impl ClickHouseReader {
    /// Checks that the tables are there.
    ///
    /// # Errors
    /// As [`ClickHouseStore::new`]; they are not there, or there was no answer.
    pub(super) fn open(
        config: &ClickHouseConfig,
        access: ServerAccess<'_>,
    ) -> anyhow::Result<Self> {
        let store = ClickHouseStore::new(config, access)?;
        let (event_table, origin_table) = store.table_names();
        let columns = COLUMNS.iter().map(|column| column.name);
        let first = ["toString(log)", "id", "event_id"].into_iter();
        let columns: Vec<&str> = first.chain(columns).chain(["lower(hex(hash))"]).collect();
        let outline = columns.iter().copied();
        let outline =
            outline.map(|name| if DETAIL_COLUMNS.contains(&name) { "NULL" } else { name });
        let outline: Vec<&str> = outline.collect();
        let (columns, outline_columns) = (columns.join(", "), outline.join(", "));
        let reader = Self { store, event_table, origin_table, columns, outline_columns };
        for table in [&reader.origin_table, &reader.event_table] {
            let exists = Fragment::new(format!("EXISTS TABLE {table}"));
            if reader.rows(&exists)? != [[Some("1".to_owned())]] {
                let why = format!("there is no table {table} of a central store");
                return Err(reader.error(CentralErrorKind::NoTables, &why).into());
            }
        }
        Ok(reader)
    }

    fn error(&self, kind: CentralErrorKind, why: &str) -> CentralError {
        self.store.error(kind, why)
    }

    fn rows(&self, sql: &Fragment) -> Result<Vec<TextRow>, CentralError> {
        let (text, _) = sql.to_statement(SqlDialect::ClickHouse);
        let answer = self.store.read(&format!("{text} FORMAT TabSeparated"))?;
        let answer = String::from_utf8(answer)
            .map_err(|_| self.error(CentralErrorKind::Unavailable, "its answer is no text"))?;
        Ok(answer.lines().map(read_line).collect())
    }
}

/// Reads the values of a line.
fn read_line(line: &str) -> TextRow {
    line.split('\t').map(read_value).collect()
}

/// Undoes the escapes of a value.
fn read_value(text: &str) -> Option<String> {
    if text == "\\N" {
        return None;
    }
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        value.push(match chars.next() {
            Some('0') => '\0',
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(other) => other,
            None => '\\',
        });
    }
    Some(value)
}

/// Reads an event from its row; `None` where a value is none that an event can have.
fn read_event(row: &[Option<String>]) -> Option<FoundEvent> {
    let mut values = row.iter();
    let mut next = || values.next().cloned().flatten();
    let log = SqlValue::Uuid(next()?);
    let mut parts = EventParts::new();
    parts.event.id = EventId(next()?.parse().ok()?);
    parts.event.event_id = next()?;
    for column in &COLUMNS {
        let Some(text) = next() else {
            if column.is_required {
                return None;
            }
            continue;
        };
        match &column.value {
            ColumnValue::Integer { set, .. } => set(&mut parts, text.parse().ok()?)?,
            ColumnValue::SmallInteger { set, .. } => match text.parse().ok()? {
                0 if !column.is_required => {}
                number => set(&mut parts, number)?,
            },
            ColumnValue::Boolean { set, .. } => set(&mut parts, text == "1")?,
            ColumnValue::Text { set, .. } => set(&mut parts, text)?,
        }
    }
    parts.event.hash = read_hash(&next()?)?;
    Some(FoundEvent { log, event: parts.into_event() })
}

fn read_hash(digits: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(Hash(hash))
}

impl CentralServer for ClickHouseReader {
    fn dialect(&self) -> SqlDialect {
        SqlDialect::ClickHouse
    }

    fn table(&self) -> &str {
        &self.event_table
    }

    fn event_columns(&self, depth: DetailLevel) -> &str {
        match depth {
            DetailLevel::Full => &self.columns,
            DetailLevel::Outline => &self.outline_columns,
        }
    }

    fn read_origins(&self) -> Result<Vec<OriginRow>, CentralError> {
        let sql = format!(
            "SELECT toString(uuid), argMax(host, head_at), argMax(head_id, head_at), max(head_at), \
             lower(hex(argMax(head_hash, head_at))), argMax(delivered_id, head_at) \
             FROM {} GROUP BY uuid",
            self.origin_table
        );
        let rows = self.rows(&Fragment::new(sql))?;
        let origins = rows.iter().filter_map(|row| {
            let text = |place: usize| row.get(place).cloned().flatten();
            let number = |place| text(place).and_then(|text| text.parse().ok());
            Some(OriginRow {
                key: SqlValue::Uuid(text(0)?),
                uuid: text(0)?,
                host: text(1)?,
                head: EventId(number(2)?),
                seen_at: number(3).map(Timestamp::from_nanos),
                head_hash: read_hash(&text(4)?)?,
                delivered: EventId(number(5)?),
            })
        });
        Ok(origins.collect())
    }

    fn read_filled_spans(&self) -> Result<Vec<TimeBounds>, CentralError> {
        Ok(vec![TimeBounds::default()])
    }

    fn read_events(&self, sql: &Fragment) -> Result<Vec<FoundEvent>, CentralError> {
        let rows = self.rows(sql)?;
        let read = |row: &TextRow| {
            read_event(row).ok_or_else(|| {
                self.error(CentralErrorKind::Unavailable, "a row has what no event can have")
            })
        };
        rows.iter().map(read).collect()
    }

    fn read_texts(&self, sql: &Fragment, _columns: usize) -> Result<Vec<TextRow>, CentralError> {
        self.rows(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_their_escapes() {
        let row = read_line("a\\tb\\\\\\0\t\\N\t\té\\n\\'");
        let texts: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
        assert_eq!(texts, [Some("a\tb\\\0"), None, Some(""), Some("é\n'")]);
        let hash = Hash([0xa7; 32]);
        assert_eq!(read_hash(&hash.to_string()), Some(hash));
        assert_eq!(read_hash("a7"), None);
    }
}
