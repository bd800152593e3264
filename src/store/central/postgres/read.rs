//! Events read back from the rows of PostgreSQL.

use tokio_postgres::Row;

use crate::event::EventId;
use crate::event::Hash;
use crate::store::central::columns::COLUMNS;
use crate::store::central::columns::ColumnValue;
use crate::store::central::columns::EventParts;
use crate::store::central::postgres::nul;
use crate::store::central::row;
use crate::store::central::row::StoredEvent;

/// Returns what a query selects for [`read_event`].
pub(crate) fn selected_columns() -> String {
    let columns = COLUMNS.iter().map(|column| column.name);
    let ids = ["id", "event_uuid::text", "event_text"].into_iter();
    let derived = ["seal", "hash", "words"].into_iter().chain(row::KEY_COLUMNS);
    ids.chain(columns).chain(derived).collect::<Vec<_>>().join(", ")
}

/// Reads an event whose columns begin at a position.
pub(crate) fn read_event(row: &Row, first: usize) -> StoredEvent {
    let mut reader = RowReader { row, position: first, flaw: None };
    let mut parts = EventParts::new();
    parts.event.id = EventId(reader.next("id").unwrap_or_default());
    let uuid: Option<String> = reader.next_optional("event_uuid");
    let text = reader.next_optional("event_text").map(nul::unescape);
    if uuid.is_some() == text.is_some() {
        reader.flaw = Some("event_id");
    }
    parts.event.event_id = uuid.or(text).unwrap_or_default();
    for column in &COLUMNS {
        let name = column.name;
        let taken = match &column.value {
            ColumnValue::Integer { set, .. } => {
                reader.next(name).and_then(|value| set(&mut parts, value))
            }
            ColumnValue::SmallInteger { set, .. } => match reader.next_optional(name) {
                Some(value) => set(&mut parts, value),
                None => (!column.is_required).then_some(()),
            },
            ColumnValue::Boolean { set, .. } => {
                reader.next(name).and_then(|value| set(&mut parts, value))
            }
            ColumnValue::Text { set, .. } => match reader.next_optional(name) {
                Some(text) => set(&mut parts, nul::unescape(text)),
                None => (!column.is_required).then_some(()),
            },
        };
        if taken.is_none() {
            reader.flaw = Some(name);
        }
    }
    let seal = reader.next("seal").unwrap_or_default();
    let hash: Option<Vec<u8>> = reader.next("hash");
    match hash.and_then(|hash| hash.try_into().ok()) {
        Some(hash) => parts.event.hash = Hash(hash),
        None => reader.flaw = Some("hash"),
    }
    let words = reader.next_optional("words").map(nul::unescape);
    let keys = row::KEY_COLUMNS.map(|name| reader.next_optional(name));
    StoredEvent { event: parts.into_event(), seal, words, keys, flaw: reader.flaw }
}

/// Reads the values of a row one after the other.
struct RowReader<'a> {
    row: &'a Row,
    position: usize,
    /// The last column whose value no event can have.
    flaw: Option<&'static str>,
}

impl RowReader<'_> {
    fn next<T: for<'b> tokio_postgres::types::FromSql<'b>>(
        &mut self,
        name: &'static str,
    ) -> Option<T> {
        let value = self.next_optional(name);
        if value.is_none() {
            self.flaw = Some(name);
        }
        value
    }

    fn next_optional<T: for<'b> tokio_postgres::types::FromSql<'b>>(
        &mut self,
        name: &'static str,
    ) -> Option<T> {
        let read = self.row.try_get(self.position);
        self.position += 1;
        if read.is_err() {
            self.flaw = Some(name);
        }
        read.ok().flatten()
    }
}
