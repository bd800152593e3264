//! The rows of a batch, as one array for each column: a statement of one shape for any number of events.

use std::borrow::Cow;
use std::fmt::Write;

use tokio_postgres::types::ToSql;
use tokio_postgres::types::Type;

use crate::chain;
use crate::event::Event;
use crate::store::central::CentralRow;
use crate::store::central::TableNames;
use crate::store::central::columns::COLUMNS;
use crate::store::central::columns::CentralColumn;
use crate::store::central::columns::ColumnValue;
use crate::store::central::postgres::connection::Parameter;
use crate::store::central::postgres::nul;
use crate::store::central::row;

/// The values of one column.
enum ColumnValues<'a> {
    Integers(Vec<Option<i64>>),
    SmallIntegers(Vec<Option<i16>>),
    Booleans(Vec<bool>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Bytes(Vec<Cow<'a, [u8]>>),
}

/// A column: its name, how its array is read where that is not by its type, and its values.
struct EventColumn<'a> {
    name: &'static str,
    cast: &'static str,
    values: ColumnValues<'a>,
}

/// The columns of a batch.
pub(super) struct EventColumns<'a> {
    log: i32,
    columns: Vec<EventColumn<'a>>,
}

impl<'a> EventColumns<'a> {
    pub(super) fn new(log: i32, batch: &'a [CentralRow<'a>]) -> Self {
        let text = |name, cast, value: &dyn Fn(&'a Event) -> Option<Cow<'a, str>>| {
            let values = batch.iter().map(|row| value(row.event).map(nul::escape)).collect();
            EventColumn { name, cast, values: ColumnValues::Texts(values) }
        };
        let id = |event: &'a Event| Cow::from(event.event_id.as_str());
        let bytes = |name, value: &dyn Fn(&CentralRow<'a>) -> Cow<'a, [u8]>| EventColumn {
            name,
            cast: "",
            values: ColumnValues::Bytes(batch.iter().map(value).collect()),
        };
        let mut columns = vec![
            EventColumn {
                name: "id",
                cast: "",
                values: ColumnValues::Integers(
                    batch.iter().map(|row| Some(row.event.id.0)).collect(),
                ),
            },
            text("event_uuid", "::text[]::uuid[]", &|event| has_uuid(event).then(|| id(event))),
            text("event_text", "", &|event| (!has_uuid(event)).then(|| id(event))),
        ];
        columns.extend(COLUMNS.iter().map(|column| EventColumn {
            name: column.name,
            cast: "",
            values: ColumnValues::of(column, batch),
        }));
        columns.extend([
            bytes("seal", &|row| row.seal_bytes().into()),
            bytes("hash", &|row| row.event.hash.0[..].into()),
            text("words", "", &|event| row::words(event).map(Cow::from)),
        ]);
        let keys: Vec<_> = batch.iter().map(|row| row::label_keys(row.event)).collect();
        columns.extend(row::KEY_COLUMNS.iter().enumerate().map(|(place, name)| EventColumn {
            name,
            cast: "",
            values: ColumnValues::Integers(keys.iter().map(|keys| keys[place]).collect()),
        }));
        Self { log, columns }
    }

    /// Returns the statement that inserts all rows or none.
    pub(super) fn insert(&self, names: &TableNames) -> String {
        let mut sql = format!("INSERT INTO {} (log", names.event);
        for column in &self.columns {
            let _ = write!(sql, ", {}", column.name);
        }
        sql.push_str(") SELECT $1, * FROM unnest(");
        for (number, column) in (2..).zip(&self.columns) {
            let separator = if number == 2 { "" } else { ", " };
            let _ = write!(sql, "{separator}${number}{}", column.cast);
        }
        sql.push(')');
        sql
    }

    /// Returns the statement that inserts the rows that are not there yet, and answers with their ids.
    pub(super) fn insert_new(&self, names: &TableNames) -> String {
        self.insert(names) + " ON CONFLICT DO NOTHING RETURNING id"
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let log: Parameter<'_> = (&self.log, Type::INT4);
        [log].into_iter().chain(self.columns.iter().map(EventColumn::parameter)).collect()
    }
}

impl<'a> ColumnValues<'a> {
    fn of(column: &CentralColumn, batch: &'a [CentralRow<'a>]) -> Self {
        let events = batch.iter().map(|row| row.event);
        match &column.value {
            ColumnValue::Integer { get, .. } => {
                Self::Integers(events.map(|event| Some(get(event))).collect())
            }
            ColumnValue::SmallInteger { get, .. } => Self::SmallIntegers(events.map(get).collect()),
            ColumnValue::Boolean { get, .. } => Self::Booleans(events.map(get).collect()),
            ColumnValue::Text { get, .. } => {
                let default = column.is_required.then_some("");
                let text = |event| get(event).or(default).map(|text| nul::escape(text.into()));
                Self::Texts(events.map(text).collect())
            }
        }
    }
}

impl EventColumn<'_> {
    fn parameter(&self) -> Parameter<'_> {
        let (values, kind): (&(dyn ToSql + Sync), Type) = match &self.values {
            ColumnValues::Integers(values) => (values, Type::INT8_ARRAY),
            ColumnValues::SmallIntegers(values) => (values, Type::INT2_ARRAY),
            ColumnValues::Booleans(values) => (values, Type::BOOL_ARRAY),
            ColumnValues::Texts(values) => (values, Type::TEXT_ARRAY),
            ColumnValues::Bytes(values) => (values, Type::BYTEA_ARRAY),
        };
        (values, kind)
    }
}

/// Whether the id of an event is a UUID in its usual form.
fn has_uuid(event: &Event) -> bool {
    chain::parse_canonical_uuid(&event.event_id).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::samples::full_event;
    use crate::query::samples::minimal_event;

    #[test]
    fn every_column_has_a_value_for_every_event() {
        let events = [full_event(), minimal_event(), full_event()];
        let batch: Vec<CentralRow<'_>> =
            events.iter().map(|event| CentralRow { event, seal: None }).collect();
        let columns = EventColumns::new(7, &batch);
        for column in &columns.columns {
            let length = match &column.values {
                ColumnValues::Integers(values) => values.len(),
                ColumnValues::SmallIntegers(values) => values.len(),
                ColumnValues::Booleans(values) => values.len(),
                ColumnValues::Texts(values) => values.len(),
                ColumnValues::Bytes(values) => values.len(),
            };
            assert_eq!(length, 3, "{}", column.name);
        }
        assert_eq!(columns.parameters().len(), columns.columns.len() + 1);
        let sql = columns.insert(&TableNames::parse(None).unwrap());
        assert!(sql.starts_with("INSERT INTO event (log, id, event_uuid, "), "{sql}");
        assert!(sql.contains(", $3::text[]::uuid[], "), "{sql}");
    }
}
