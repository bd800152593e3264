//! The rows of a batch, as one array for each column: a statement of one shape for any number of events.

use std::fmt::Write;

use tokio_postgres::types::ToSql;
use tokio_postgres::types::Type;

use crate::chain;
use crate::event::Event;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sinks::central;
use crate::mirror::sinks::central::TableNames;
use crate::mirror::sinks::central::postgres::connection::Parameter;

/// PostgreSQL's texts have no NUL. It is written as this character and `0`, and the character itself as
/// it and `1`, so that a reader gets every text back as it was. No alphabet has the character.
const ESCAPE: char = '\u{10fffd}';

/// The values of one column.
enum ColumnValues {
    Integers(Vec<i64>),
    SmallIntegers(Vec<Option<i16>>),
    Booleans(Vec<bool>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Vec<u8>>),
}

/// A column: its name, how its array is read where that is not by its type, and its values.
struct EventColumn {
    name: &'static str,
    cast: &'static str,
    values: ColumnValues,
}

/// The columns of a batch.
pub(super) struct EventColumns {
    log: i32,
    columns: Vec<EventColumn>,
}

impl EventColumns {
    pub(super) fn new(log: i32, batch: &[&OutgoingEvent]) -> Self {
        let rows = Rows(batch);
        let columns = vec![
            rows.integers("id", |event| event.id.0),
            rows.integers("occurred_at", |event| event.occurred_at.as_nanos()),
            rows.integers("recorded_at", |event| event.recorded_at.as_nanos()),
            EventColumn {
                cast: "::text[]::uuid[]",
                ..rows
                    .texts("event_uuid", |event| uuid_of(event).then_some(event.event_id.as_str()))
            },
            rows.texts("event_text", |event| (!uuid_of(event)).then_some(event.event_id.as_str())),
            rows.texts("tenant", |event| Some(event.tenant.as_deref().unwrap_or_default())),
            rows.small_integers("source", |event| Some(central::source_number(event.source))),
            rows.small_integers("severity", |event| Some(central::severity_number(event.severity))),
            rows.booleans("own", |event| event.own),
            rows.texts("module", |event| event.action.module.as_deref()),
            rows.texts("action", |event| Some(&event.action.slug)),
            rows.texts("title", |event| event.title.as_deref()),
            rows.texts("description", |event| event.description.as_deref()),
            rows.texts("actor_id", |event| event.actor.as_ref()?.id.as_deref()),
            rows.texts("actor_label", |event| event.actor.as_ref()?.label.as_deref()),
            rows.texts("impersonator_id", |event| event.impersonator.as_ref()?.id.as_deref()),
            rows.texts("impersonator_label", |event| event.impersonator.as_ref()?.label.as_deref()),
            rows.texts("target_type", |event| event.target.as_ref()?.kind.as_deref()),
            rows.texts("target_id", |event| event.target.as_ref()?.id.as_deref()),
            rows.texts("target_label", |event| event.target.as_ref()?.label.as_deref()),
            rows.texts("diff", |event| Some(event.diff.as_ref()?.as_str())),
            rows.texts("payload", |event| Some(event.payload.as_ref()?.as_str())),
            rows.texts("ip", |event| event.ip.as_deref()),
            rows.texts("user_agent", |event| event.user_agent.as_deref()),
            rows.texts("session_id", |event| event.session_id.as_deref()),
            rows.texts("method", |event| event.method.as_deref()),
            rows.texts("endpoint", |event| event.endpoint.as_deref()),
            rows.small_integers("status_code", |event| {
                event.status_code.and_then(|status| i16::try_from(status).ok())
            }),
            rows.texts("recorded_by", |event| Some(&event.recorded_by)),
            rows.bytes("seal", |outgoing| {
                outgoing.seal.map(|seal| seal.to_bytes()).unwrap_or_default()
            }),
            rows.bytes("hash", |outgoing| outgoing.event.hash.0.to_vec()),
            EventColumn {
                name: "words",
                cast: "",
                values: ColumnValues::Texts(
                    batch
                        .iter()
                        .map(|outgoing| central::words(&outgoing.event).map(escape_nul))
                        .collect(),
                ),
            },
        ];
        Self { log, columns }
    }

    /// Returns the statement that inserts the rows, and answers with the ids that were new.
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
        sql.push_str(") ON CONFLICT DO NOTHING RETURNING id");
        sql
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let log: Parameter<'_> = (&self.log, Type::INT4);
        [log].into_iter().chain(self.columns.iter().map(EventColumn::parameter)).collect()
    }
}

impl EventColumn {
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

/// The events of a batch, of which columns are made.
struct Rows<'a>(&'a [&'a OutgoingEvent]);

impl Rows<'_> {
    fn column(name: &'static str, values: ColumnValues) -> EventColumn {
        EventColumn { name, cast: "", values }
    }

    fn integers(&self, name: &'static str, value: impl Fn(&Event) -> i64) -> EventColumn {
        let values = self.0.iter().map(|outgoing| value(&outgoing.event)).collect();
        Self::column(name, ColumnValues::Integers(values))
    }

    fn small_integers(
        &self,
        name: &'static str,
        value: impl Fn(&Event) -> Option<i16>,
    ) -> EventColumn {
        let values = self.0.iter().map(|outgoing| value(&outgoing.event)).collect();
        Self::column(name, ColumnValues::SmallIntegers(values))
    }

    fn booleans(&self, name: &'static str, value: impl Fn(&Event) -> bool) -> EventColumn {
        let values = self.0.iter().map(|outgoing| value(&outgoing.event)).collect();
        Self::column(name, ColumnValues::Booleans(values))
    }

    fn texts(
        &self,
        name: &'static str,
        value: impl for<'e> Fn(&'e Event) -> Option<&'e str>,
    ) -> EventColumn {
        let text = |outgoing: &&OutgoingEvent| {
            value(&outgoing.event).map(|text| escape_nul(text.to_owned()))
        };
        Self::column(name, ColumnValues::Texts(self.0.iter().map(text).collect()))
    }

    fn bytes(&self, name: &'static str, value: impl Fn(&OutgoingEvent) -> Vec<u8>) -> EventColumn {
        let values = self.0.iter().map(|outgoing| value(outgoing)).collect();
        Self::column(name, ColumnValues::Bytes(values))
    }
}

/// Whether the id of an event is a UUID in its usual form.
fn uuid_of(event: &Event) -> bool {
    chain::parse_canonical_uuid(&event.event_id).is_some()
}

fn escape_nul(text: String) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.extend([ESCAPE, '0']),
            ESCAPE => out.extend([ESCAPE, '1']),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mirror::sinks::fake_service::outgoing;

    #[test]
    fn every_column_has_a_value_for_every_event() {
        let batch = outgoing(1..=3);
        let batch: Vec<&OutgoingEvent> = batch.iter().collect();
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
        assert!(sql.starts_with("INSERT INTO event (log, id, occurred_at, "), "{sql}");
        assert!(sql.contains(", $5::text[]::uuid[], "), "{sql}");
    }

    proptest! {
        #[test]
        fn no_text_has_a_nul_and_each_comes_back(text in "[a\\x00\u{10fffd}01]{0,20}") {
            let escaped = escape_nul(text.clone());
            prop_assert!(!escaped.contains('\0'));
            let back = escaped.replace(&format!("{ESCAPE}0"), "\0").replace(&format!("{ESCAPE}1"), &ESCAPE.to_string());
            prop_assert_eq!(back, text);
        }
    }
}
