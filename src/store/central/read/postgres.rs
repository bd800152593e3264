//! Reading a central store in PostgreSQL.

use std::cell::RefCell;

use tokio_postgres::types::ToSql;
use tokio_postgres::types::Type;

use crate::config::mirror::CentralConfig;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::TimeBounds;
use crate::store::central::CentralError;
use crate::store::central::ServerAccess;
use crate::store::central::postgres::PostgresStore;
use crate::store::central::postgres::nul;
use crate::store::central::postgres::read;
use crate::store::central::read::CentralServer;
use crate::store::central::read::DETAIL_COLUMNS;
use crate::store::central::read::FoundEvent;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::fragment::SqlValue;
use crate::store::central::read::origin::OriginRow;
use crate::store::central::row;
use crate::store::digest::DetailLevel;
use crate::time::Timestamp;

/// A connection to PostgreSQL that only reads.
pub(super) struct PostgresReader {
    store: RefCell<PostgresStore>,
    event_table: String,
    /// The number of the log, then an event.
    columns: String,
    outline_columns: String,
}

impl PostgresReader {
    /// Returns a reader, without a connection yet.
    ///
    /// # Errors
    /// As [`PostgresStore::new`].
    pub(super) fn open(config: &CentralConfig, access: ServerAccess<'_>) -> anyhow::Result<Self> {
        let store = PostgresStore::new(config, access)?;
        let event_table = store.names().event.clone();
        Ok(Self {
            store: RefCell::new(store),
            event_table,
            columns: format!("log, {}", read::selected_columns()),
            outline_columns: outline_columns(),
        })
    }

    fn query(&self, sql: &Fragment) -> Result<Vec<tokio_postgres::Row>, CentralError> {
        let (text, values) = sql.to_statement(SqlDialect::Postgres);
        let values: Vec<ServerValue> = values.into_iter().map(ServerValue::new).collect();
        let parameters: Vec<_> = values.iter().map(ServerValue::parameter).collect();
        self.store.borrow_mut().query(&text, &parameters)
    }
}

/// Returns the columns of an event, with nothing in the place of those that an outline leaves out.
fn outline_columns() -> String {
    let selected = read::selected_columns();
    let outline = |name: &str| match name {
        "seal" => "''::bytea".to_owned(),
        "words" => "NULL::text".to_owned(),
        name if row::KEY_COLUMNS.contains(&name) => "NULL::bigint".to_owned(),
        name if DETAIL_COLUMNS.contains(&name) => "NULL::text".to_owned(),
        name => name.to_owned(),
    };
    let columns: Vec<String> =
        ["log"].into_iter().chain(selected.split(", ")).map(outline).collect();
    columns.join(", ")
}

/// A value as PostgreSQL takes it.
enum ServerValue {
    Text(String),
    Integer(i64),
    Integers(Vec<i64>),
}

impl ServerValue {
    fn new(value: &SqlValue) -> Self {
        match value {
            SqlValue::Text(text) | SqlValue::Uuid(text) => {
                Self::Text(nul::escape(text.as_str().into()).into_owned())
            }
            SqlValue::Integer(number) => Self::Integer(*number),
            SqlValue::Integers(numbers) => Self::Integers(numbers.clone()),
        }
    }

    fn parameter(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(text) => (text, Type::TEXT),
            Self::Integer(number) => (number, Type::INT8),
            Self::Integers(numbers) => (numbers, Type::INT8_ARRAY),
        }
    }
}

impl CentralServer for PostgresReader {
    fn dialect(&self) -> SqlDialect {
        SqlDialect::Postgres
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
        let rows = self.store.borrow_mut().read_origins(
            "log::bigint, uuid::text, host, head_id, head_at, head_hash, delivered_id",
        )?;
        let origins = rows.iter().map(|row| OriginRow {
            key: SqlValue::Integer(row.get(0)),
            uuid: row.get(1),
            host: row.get(2),
            head: EventId(row.get::<_, Option<i64>>(3).unwrap_or(0)),
            seen_at: row.get::<_, Option<i64>>(4).map(Timestamp::from_nanos),
            // Without one no event is the head.
            head_hash: Hash(
                row.get::<_, Option<Vec<u8>>>(5)
                    .and_then(|hash| hash.try_into().ok())
                    .unwrap_or_default(),
            ),
            delivered: EventId(row.get(6)),
        });
        Ok(origins.collect())
    }

    fn read_filled_spans(&self) -> Result<Vec<TimeBounds>, CentralError> {
        self.store.borrow_mut().read_filled_spans()
    }

    fn read_events(&self, sql: &Fragment) -> Result<Vec<FoundEvent>, CentralError> {
        let rows = self.query(sql)?;
        let found = rows.iter().map(|row| FoundEvent {
            log: SqlValue::Integer(i64::from(row.get::<_, i32>(0))),
            event: read::read_event(row, 1).event,
        });
        Ok(found.collect())
    }

    fn read_texts(
        &self,
        sql: &Fragment,
        columns: usize,
    ) -> Result<Vec<Vec<Option<String>>>, CentralError> {
        let names: Vec<String> = (1..=columns).map(|number| format!("c{number}")).collect();
        let selected: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
        let mut texts = Fragment::new(format!("SELECT {} FROM (", selected.join(", ")));
        texts.append(sql).add(&format!(") AS counted ({})", names.join(", ")));
        let rows = self.query(&texts)?;
        let text = |row: &tokio_postgres::Row, place| {
            row.get::<_, Option<String>>(place).map(nul::unescape)
        };
        Ok(rows.iter().map(|row| (0..columns).map(|place| text(row, place)).collect()).collect())
    }
}
