//! The central store in PostgreSQL (and Citus, which has the same SQL).
//!
//! A batch is one statement, of all its rows or of none, so nothing is there twice, wherever a batch was
//! cut off.

mod connection;
mod examine;
mod fleet;
mod insert;
mod months;
pub(in crate::store::central) mod nul;
pub(crate) mod read;
mod schema;

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::config::mirror::CentralConfig;
use crate::event::EventId;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::central;
use crate::store::central::CentralError;
use crate::store::central::CentralErrorKind;
use crate::store::central::CentralRow;
use crate::store::central::LogHeartbeat;
use crate::store::central::ServerAccess;
use crate::store::central::TableNames;
use crate::store::central::postgres::connection::Parameter;
use crate::store::central::postgres::connection::StatementError;
use crate::store::central::postgres::insert::EventColumns;
use crate::store::central::postgres::schema::Month;

use crate::store::central::postgres::connection::PostgresServer;
pub(crate) use crate::store::central::postgres::fleet::init_statements;

type CentralResult<T> = Result<T, CentralError>;

/// How many ids of a batch there may be between the first and the last for each that is in it, so that
/// all between them are read.
const MAX_SPREAD: u64 = 2;

/// A central store in PostgreSQL, and what is known of it.
pub(crate) struct PostgresStore {
    server: PostgresServer,
    names: TableNames,
    /// The months that are there, or cannot be made, once they were read.
    months: Option<Vec<Month>>,
    /// Whether the role may make months.
    makes_months: bool,
}

/// What a store knows of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotedLog {
    /// The number of the log in the store.
    pub number: i32,
    /// The newest sweep whose ranges the store has.
    pub sweep: i64,
}

/// Whether a version is one of ours, and older than this program's.
fn is_older(version: i64) -> bool {
    (1..schema::VERSION).contains(&version)
}

/// Returns the version that the comment of a table tells, 0 where it tells none.
fn version_in(comment: Option<&str>) -> i64 {
    let version = comment.and_then(|text| text.strip_prefix(schema::VERSION_COMMENT));
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

impl PostgresStore {
    /// Returns a store, without a connection yet.
    ///
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(crate) fn new(config: &CentralConfig, access: ServerAccess<'_>) -> Result<Self, Failure> {
        let names = TableNames::parse(config.table.as_deref())
            .map_err(|why| Failure::new(Exit::Config, why))?;
        let server = PostgresServer::new(config, access)?;
        Ok(Self { server, names, months: None, makes_months: true })
    }

    pub(in crate::store::central) fn names(&self) -> &TableNames {
        &self.names
    }

    /// Runs a query.
    ///
    /// # Errors
    /// The server refuses it, or there was no answer.
    pub(in crate::store::central) fn query(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> CentralResult<Vec<Row>> {
        Ok(self.server.query(sql, parameters)?)
    }

    /// Makes the tables where they are missing, and checks their version.
    ///
    /// # Errors
    /// They cannot be made, or are those of a newer version.
    pub(crate) fn prepare_tables(&mut self) -> CentralResult<()> {
        if self.read_version()?.is_none() {
            // Of several hosts that begin at once, one makes the tables, and the others wait for it.
            let create = format!(
                "SELECT pg_advisory_xact_lock(hashtext('activity {}')); {}",
                self.names.event,
                schema::create_tables(&self.names)
            );
            match self.server.execute_batch(&create) {
                Err(error) if !error.is(&SqlState::DUPLICATE_TABLE) => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        self.check_tables()
    }

    /// Brings tables of an older version to that of this program. Others stay as they are.
    ///
    /// # Errors
    /// The role may not change them, or there was no answer; then they are as they were.
    pub(crate) fn upgrade_tables(&mut self) -> CentralResult<()> {
        if !matches!(self.read_version()?, Some(version) if is_older(version)) {
            return Ok(());
        }
        let lock = format!(
            "BEGIN; SELECT pg_advisory_xact_lock(hashtext('activity {}'))",
            self.names.event
        );
        self.server.execute_batch(&lock)?;
        let upgraded = self.run_migrations();
        self.server.execute_batch(if upgraded.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        upgraded
    }

    /// Runs the migrations that are left to run, within a transaction that has the lock.
    fn run_migrations(&mut self) -> CentralResult<()> {
        match self.read_version()? {
            Some(version) if is_older(version) => {
                let statements = schema::migrate_tables(&self.names, version);
                Ok(self.server.execute_batch(&statements)?)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that the tables are there, in the version of this program.
    ///
    /// # Errors
    /// [`CentralErrorKind::NoTables`], [`CentralErrorKind::NewerVersion`], or no answer.
    pub(crate) fn check_tables(&mut self) -> CentralResult<()> {
        let (kind, what) = match self.read_version()? {
            Some(schema::VERSION) => return Ok(()),
            Some(version) if version > schema::VERSION => (
                CentralErrorKind::NewerVersion,
                format!(
                    "the central store was made by a newer activity (version {version}, this one \
                     knows {})",
                    schema::VERSION
                ),
            ),
            Some(version) if is_older(version) => (
                CentralErrorKind::Unavailable,
                format!(
                    "the central store is of version {version}, and `activity central init` brings \
                     it to {}",
                    schema::VERSION
                ),
            ),
            Some(_) => (
                CentralErrorKind::NoTables,
                format!("{} is no table of a central store", self.names.origin),
            ),
            None => (
                CentralErrorKind::NoTables,
                format!("there is no table {} of a central store", self.names.origin),
            ),
        };
        Err(CentralError::new(kind, format!("{}: {what}", self.server.name())))
    }

    /// Reads columns of the table of logs, and checks the tables with the same statement.
    ///
    /// # Errors
    /// As [`PostgresStore::check_tables`].
    pub(in crate::store::central) fn read_origins(
        &mut self,
        columns: &str,
    ) -> CentralResult<Vec<Row>> {
        let origin = &self.names.origin;
        let sql = format!(
            "SELECT {columns}, obj_description(to_regclass($1), 'pg_class') AS comment FROM {origin}"
        );
        let rows = match self.server.query(&sql, &[(origin, Type::TEXT)]) {
            Ok(rows) => rows,
            Err(error) => {
                // Where it answered, the tables may be the cause.
                if error.state.is_some() {
                    self.check_tables()?;
                }
                return Err(error.into());
            }
        };
        let version = rows.first().map(|row| version_in(row.get("comment")));
        if version != Some(schema::VERSION) {
            self.check_tables()?;
        }
        Ok(rows)
    }

    /// Returns the version of the tables; `None` where there are none, 0 where they are not ours.
    fn read_version(&mut self) -> Result<Option<i64>, StatementError> {
        let sql = "SELECT obj_description(to_regclass($1), 'pg_class') \
                   WHERE to_regclass($1) IS NOT NULL";
        let rows = self.server.query(sql, &[(&self.names.origin, Type::TEXT)])?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(version_in(row.get(0))))
    }

    /// Returns the hashes of these events that the store has, and perhaps of some between them.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn read_hashes(
        &mut self,
        log: i32,
        ids: &[i64],
    ) -> CentralResult<HashMap<EventId, Vec<u8>>> {
        let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else {
            return Ok(HashMap::new());
        };
        let select = format!("SELECT id, hash FROM {} WHERE log = $1 AND id", self.names.event);
        // A search in each month for a run of ids, instead of one for each id.
        let rows = if last.abs_diff(*first) < MAX_SPREAD * ids.len() as u64 {
            let run = [(&log as _, Type::INT4), (first as _, Type::INT8), (last as _, Type::INT8)];
            self.server.query(&format!("{select} BETWEEN $2 AND $3"), &run)?
        } else {
            let each = [(&log as _, Type::INT4), (&ids as _, Type::INT8_ARRAY)];
            self.server.query(&format!("{select} = ANY ($2)"), &each)?
        };
        Ok(rows.iter().map(|row| (EventId(row.get(0)), row.get(1))).collect())
    }

    /// Inserts events, and returns how many of them were not there before.
    ///
    /// # Errors
    /// None is inserted, or there was no answer.
    pub(crate) fn insert(&mut self, log: i32, batch: &[CentralRow<'_>]) -> CentralResult<usize> {
        let columns = EventColumns::new(log, batch);
        // To look for each row costs a tenth, and only another run can have brought one meanwhile.
        match self.server.query(&columns.insert(&self.names), &columns.parameters()) {
            Ok(_) => return Ok(batch.len()),
            Err(error) if error.is(&SqlState::UNIQUE_VIOLATION) => {}
            Err(error) => return Err(error.into()),
        }
        // The number of rows that the server counts is wrong on some engines; these rows are not.
        let inserted =
            self.server.query(&columns.insert_new(&self.names), &columns.parameters())?;
        Ok(inserted.len())
    }

    /// Takes note of a log and its head, and returns what the store knows of it.
    ///
    /// # Errors
    /// It is not noted, or there was no answer.
    pub(crate) fn note_head(&mut self, head: &LogHeartbeat) -> CentralResult<NotedLog> {
        let sql = format!(
            "INSERT INTO {} AS known (uuid, host, head_id, head_hash, head_at, delivered_id) \
             VALUES ($1::uuid, $2, $3, $4, $5, $6) \
             ON CONFLICT (uuid) DO UPDATE SET host = excluded.host, head_id = excluded.head_id, \
             head_hash = excluded.head_hash, head_at = excluded.head_at, \
             delivered_id = excluded.delivered_id RETURNING log, sweep",
            self.names.origin
        );
        let hash = &head.hash.0[..];
        let at = head.at.as_nanos();
        let rows = self.server.query(
            &sql,
            &[
                (&central::uuid_text(&head.uuid), Type::TEXT),
                (&head.host, Type::TEXT),
                (&head.head.0, Type::INT8),
                (&hash, Type::BYTEA),
                (&at, Type::INT8),
                (&head.delivered.0, Type::INT8),
            ],
        )?;
        let Some(row) = rows.first() else {
            let reason = format!("{}: it did not take the head of the log", self.server.name());
            return Err(CentralError::new(CentralErrorKind::Unavailable, reason));
        };
        Ok(NotedLog { number: row.get(0), sweep: row.get(1) })
    }

    /// Whether the role may write events.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn may_write(&mut self) -> CentralResult<bool> {
        let sql = "SELECT has_table_privilege($1, 'INSERT') AND has_table_privilege($2, 'INSERT')";
        let names = [(&self.names.event as _, Type::TEXT), (&self.names.origin as _, Type::TEXT)];
        let rows = self.server.query(sql, &names)?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }
}
