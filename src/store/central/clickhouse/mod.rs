//! The central store in ClickHouse, over HTTP.
//!
//! ClickHouse has no unique keys. So a batch is compared with what is there before it is inserted, and a
//! batch whose answer got lost is cut alike when it is sent again and has the same token, by which the
//! server knows it. A reader drops neighbours of the same log and id.

mod examine;
mod fleet;
mod insert;
mod read;
mod schema;
mod server;

use std::collections::HashMap;

use crate::config::mirror::ClickHouseConfig;
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

pub(crate) use crate::store::central::clickhouse::fleet::init_statements;
use crate::store::central::clickhouse::server::ClickHouseServer;

/// The first version in which all of this is there: codecs, projections of a table that replaces rows,
/// and tokens by which a batch is known again.
const MODERN_VERSION: u32 = 25;
/// How many events are compared at a time: an answer is read up to 64 KiB.
const COMPARED_EVENTS: usize = 1000;
/// The bytes of an id and a hash in an answer.
const COMPARED_BYTES: usize = 8 + 32;

type StoreResult<T> = Result<T, CentralError>;

/// A central store in ClickHouse.
pub(crate) struct ClickHouseStore {
    server: ClickHouseServer,
    names: TableNames,
}

/// Whether a server has what [`MODERN_VERSION`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerGeneration {
    Old,
    Modern,
}

impl ClickHouseStore {
    /// Returns a store, without a connection yet.
    ///
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(crate) fn new(
        config: &ClickHouseConfig,
        access: ServerAccess<'_>,
    ) -> Result<Self, Failure> {
        let names = TableNames::parse(config.central.table.as_deref())
            .map_err(|why| Failure::new(Exit::Config, why))?;
        Ok(Self { server: ClickHouseServer::new(config, access)?, names })
    }

    /// Returns the tables of the events and of the logs.
    pub(in crate::store::central) fn table_names(&self) -> (String, String) {
        (self.names.event.clone(), self.names.origin.clone())
    }

    /// Returns the whole answer to a query.
    ///
    /// # Errors
    /// No answer, or one that broke off.
    pub(in crate::store::central) fn read(&self, sql: &str) -> StoreResult<Vec<u8>> {
        self.server.read(sql)
    }

    pub(in crate::store::central) fn error(
        &self,
        kind: CentralErrorKind,
        why: &str,
    ) -> CentralError {
        self.server.error(kind, why)
    }

    /// Runs a statement that is not about an event, so that its failure refuses none.
    fn run(&self, sql: &str, data: &[u8]) -> StoreResult<Vec<u8>> {
        self.server.run(sql, &[], data).map_err(|error| {
            if error.kind == CentralErrorKind::Refused {
                return CentralError { kind: CentralErrorKind::Unavailable, ..error };
            }
            error
        })
    }

    /// Finds out how old the server is, and makes the tables where they are missing.
    ///
    /// # Errors
    /// They cannot be made, or there was no answer.
    pub(crate) fn prepare_tables(&self) -> StoreResult<ServerGeneration> {
        let version = self.run("SELECT version()", b"")?;
        let version = String::from_utf8_lossy(&version).into_owned();
        let major: u32 = version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let generation =
            if major >= MODERN_VERSION { ServerGeneration::Modern } else { ServerGeneration::Old };
        for (name, create) in schema::create_tables(&self.names, generation) {
            // A role that may only write cannot make what is there.
            let exists = self.run(&format!("EXISTS TABLE {name}"), b"")?;
            if exists.first() != Some(&b'1') {
                self.run(&create, b"")?;
            }
        }
        Ok(generation)
    }

    /// Returns the hashes of these events that the store has, in whatever version.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn read_hashes(
        &self,
        log: &[u8; 16],
        events: &[CentralRow<'_>],
    ) -> StoreResult<HashMap<EventId, Vec<[u8; 32]>>> {
        let mut found: HashMap<EventId, Vec<[u8; 32]>> = HashMap::new();
        let Some(condition) = same_events(log, events) else { return Ok(found) };
        let event = &self.names.event;
        let count = self.run(&format!("SELECT count() FROM {event} WHERE {condition}"), b"")?;
        if count.trim_ascii() == b"0" {
            return Ok(found);
        }
        for events in events.chunks(COMPARED_EVENTS) {
            let Some(condition) = same_events(log, events) else { continue };
            let sql = format!(
                "SELECT DISTINCT id, hash FROM {event} WHERE {condition} ORDER BY id, hash FORMAT RowBinary"
            );
            for row in self.run(&sql, b"")?.chunks_exact(COMPARED_BYTES) {
                let (id, hash) = row.split_at(8);
                let id = i64::from_le_bytes(id.try_into().expect("8 bytes were split off"));
                let hash = hash.try_into().expect("32 bytes are left");
                found.entry(EventId(id)).or_default().push(hash);
            }
        }
        Ok(found)
    }

    /// Inserts events.
    ///
    /// # Errors
    /// None is inserted, or there was no answer.
    pub(crate) fn insert(
        &self,
        log: &[u8; 16],
        generation: ServerGeneration,
        events: &[CentralRow<'_>],
    ) -> StoreResult<()> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let mut rows = Vec::new();
        for row in events {
            insert::write_row(log, row, &mut rows);
        }
        let columns = insert::column_names();
        let sql = format!("INSERT INTO {} ({columns}) FORMAT RowBinary", self.names.event);
        let uuid = central::uuid_text(log);
        let token = format!("{uuid}:{}-{}", first.event.id, last.event.id);
        let settings = [("insert_deduplication_token", token.as_str())];
        let settings: &[(&str, &str)] = match generation {
            ServerGeneration::Modern => &settings,
            ServerGeneration::Old => &[],
        };
        self.server.run(&sql, settings, &rows).map(drop)
    }

    /// Returns the newest sweep of a log whose ranges the store has.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn known_sweep(&self, log: &[u8; 16]) -> StoreResult<i64> {
        let (origin, uuid) = (&self.names.origin, central::uuid_text(log));
        let sql = format!("SELECT max(sweep) FROM {origin} WHERE uuid = toUUID('{uuid}')");
        let answer = self.run(&sql, b"")?;
        Ok(String::from_utf8_lossy(&answer).trim().parse().unwrap_or(0))
    }

    /// Takes note of a log and its head; `sweep` is the newest whose ranges are complete.
    ///
    /// # Errors
    /// It is not noted, or there was no answer.
    pub(crate) fn note_head(&self, head: &LogHeartbeat, sweep: i64) -> StoreResult<()> {
        let mut row = Vec::new();
        insert::write_uuid(&head.uuid, &mut row);
        insert::write_bytes(head.host.as_bytes(), &mut row);
        row.extend(head.head.0.to_le_bytes());
        row.extend(head.hash.0);
        row.extend(head.at.as_nanos().to_le_bytes());
        row.extend(head.delivered.0.to_le_bytes());
        row.extend(sweep.to_le_bytes());
        let sql = format!(
            "INSERT INTO {} (uuid, host, head_id, head_hash, head_at, delivered_id, sweep) \
             FORMAT RowBinary",
            self.names.origin
        );
        self.run(&sql, &row).map(drop)
    }
}

/// Returns the condition that finds these events, by the key of the table.
fn same_events(log: &[u8; 16], events: &[CentralRow<'_>]) -> Option<String> {
    const HOUR: i64 = 3_600_000_000_000;
    let ids = events.iter().map(|row| row.event.id);
    let hours = events.iter().map(|row| row.event.occurred_at.as_nanos() / HOUR);
    let (first, last) = (ids.clone().min()?, ids.max()?);
    let (from, to) = (hours.clone().min()?, hours.max()?);
    let log = central::uuid_text(log);
    Some(format!(
        "intDiv(occurred_at, {HOUR}) BETWEEN {from} AND {to} AND log = toUUID('{log}') \
         AND id BETWEEN {first} AND {last}"
    ))
}
