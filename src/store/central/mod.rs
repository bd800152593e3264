//! The central store of many hosts, in PostgreSQL or ClickHouse: its tables, the flat row that an event
//! becomes, and the way to its servers. Mirrors write it, and the same commands read it as read a log.
//!
//! A row has all that the chain hashes: the event, its own hash, and the seal, so that a copy can be
//! verified without the host. What an event was when it first arrived stays: nothing is overwritten.
//!
//! ## Compatibility
//!
//! The table of logs names the version of the store. A store of a newer version is refused.

mod chunk;
pub(crate) mod clickhouse;
mod columns;
mod error;
mod examination;
#[cfg_attr(
    not(feature = "central"),
    expect(unused_variables, reason = "months and roles are those of PostgreSQL")
)]
mod fleet;
#[cfg(feature = "central")]
pub(crate) mod postgres;
#[cfg_attr(
    not(feature = "central"),
    expect(dead_code, reason = "months and roles are those of PostgreSQL")
)]
pub(crate) mod ranges;
pub(in crate::store) mod read;
mod row;

use std::collections::HashMap;
use std::time::Duration;

pub(crate) use crate::store::central::error::CentralError;
pub(crate) use crate::store::central::error::CentralErrorKind;
pub(crate) use crate::store::central::examination::StoreExamination;
pub(crate) use crate::store::central::fleet::FleetStore;
pub(crate) use crate::store::central::fleet::init_statements;
pub(crate) use crate::store::central::row::CentralRow;
pub(crate) use crate::store::central::row::StoredEvent;

use crate::event::EventId;
use crate::event::Hash;
use crate::settings::Environment;
use crate::time::Span;
use crate::time::Timestamp;

/// What a connection to a server takes from the call.
#[derive(Clone, Copy)]
pub(crate) struct ServerAccess<'a> {
    pub environment: &'a Environment,
    /// The user whose key files are trusted, beside root.
    pub trusted_uid: u32,
    /// How long one request may take.
    pub timeout: Duration,
}

/// A log as its mirror reports it, and how far it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogHeartbeat {
    pub uuid: [u8; 16],
    /// The name of its host.
    pub host: String,
    /// The newest event; 0 in an empty log.
    pub head: EventId,
    pub hash: Hash,
    /// The last event that needs no more work: the store has confirmed all up to it.
    pub delivered: EventId,
    pub at: Timestamp,
}

/// A log as a central store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirroredLog {
    /// What names it in the rows of its events: its number or its UUID.
    pub key: LogKey,
    pub uuid: [u8; 16],
    pub host: String,
    /// The last heartbeat: the newest event of the log, what the store had confirmed of it, and when.
    pub head: EventId,
    pub head_hash: Hash,
    pub delivered: EventId,
    pub seen_at: Timestamp,
    /// The newest sweep whose ranges the store has.
    pub sweep: i64,
}

/// Another version of an event: the hash that its log sent after the store had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OtherVersion {
    pub id: EventId,
    pub hash: Hash,
}

/// The event by which a log vouches for its sweeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepClaimRow {
    pub id: EventId,
    pub payload: String,
}

/// What is made beside the tables and the coming months.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InitOptions {
    /// The roles of mirrors and readers.
    pub roles: bool,
    /// Readers see the tenants that the table of readers gives them.
    pub secure_rows: bool,
    /// How far back months are made, for logs that are older than their mirrors.
    pub back: Span,
}

/// Whether months are dropped, or only named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropping {
    Try,
    Drop,
}

/// A month that a central sweep looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweptMonth {
    /// `202611`.
    pub name: String,
    pub events: u64,
    /// The logs that still keep events of it, by their names, with how many. It is dropped where there are none.
    pub keepers: Vec<(String, u64)>,
}

/// Names a log in the rows of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKey {
    #[cfg_attr(not(feature = "central"), expect(dead_code, reason = "PostgreSQL numbers its logs"))]
    Number(i32),
    Uuid([u8; 16]),
}

/// The names of the tables of a store, which begin with that of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableNames {
    /// The events, with the schema where the config has one.
    pub event: String,
    /// The logs that write to the store.
    pub origin: String,
    /// The ranges that the sweeps of the logs vouch for.
    pub gap: String,
    /// What central sweeps have removed.
    pub swept: String,
    /// The hashes of other versions that a log sent of an event.
    pub version: String,
    /// The tenants that a role may read, where rows are secured.
    pub reader: String,
}

/// The last digits of a UUID that tell the logs of one host apart.
const DISTINGUISHING_DIGITS: usize = 6;

/// The longest name of a table: a month's has seven characters more, and 63 bytes are the limit.
const MAX_TABLE_BYTES: usize = 40;
const DEFAULT_TABLE: &str = "event";

impl TableNames {
    /// # Errors
    /// One line that begins with the key.
    pub(crate) fn parse(table: Option<&str>) -> Result<Self, String> {
        let table = table.unwrap_or(DEFAULT_TABLE);
        let (schema, name) = match table.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, table),
        };
        if !is_identifier(name) || !schema.is_none_or(is_identifier) {
            return Err(
                "table: must be NAME or SCHEMA.NAME, each of up to 40 of the characters a-z \
                        0-9 _, and beginning with a letter"
                    .to_owned(),
            );
        }
        let named = |kind: &str| match (schema, name) {
            (None, DEFAULT_TABLE) => kind.to_owned(),
            (Some(schema), DEFAULT_TABLE) => format!("{schema}.{kind}"),
            (_, _) => format!("{table}_{kind}"),
        };
        Ok(Self {
            event: table.to_owned(),
            origin: named("origin"),
            gap: named("gap"),
            swept: named("swept"),
            version: named("version"),
            reader: named("reader"),
        })
    }
}

fn is_identifier(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= MAX_TABLE_BYTES
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Returns the names of logs by their hosts and UUIDs, so that no two have one name: that of the host,
/// and behind it a `~` and digits of the UUID where a host has several logs.
pub(crate) fn distinct_log_names(logs: &[(String, String)]) -> Vec<String> {
    let mut logs_of_host: HashMap<&str, usize> = HashMap::new();
    for (host, _) in logs {
        *logs_of_host.entry(host).or_default() += 1;
    }
    let name = |(host, uuid): &(String, String)| match logs_of_host.get(host.as_str()) {
        Some(1) | None => host.clone(),
        Some(_) => {
            let digits = uuid.len().saturating_sub(DISTINGUISHING_DIGITS);
            format!("{host}~{}", uuid.get(digits..).unwrap_or(uuid))
        }
    };
    logs.iter().map(name).collect()
}

/// Returns the names of logs that a store has.
pub(crate) fn log_names_of(logs: &[MirroredLog]) -> Vec<String> {
    let hosts: Vec<(String, String)> =
        logs.iter().map(|log| (log.host.clone(), uuid_text(&log.uuid))).collect();
    distinct_log_names(&hosts)
}

/// Returns a UUID as text.
pub(crate) fn uuid_text(uuid: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*uuid).hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_plain_names() {
        for (table, origin, gap) in [
            (None, "origin", "gap"),
            (Some("audit.event"), "audit.origin", "audit.gap"),
            (Some("trail"), "trail_origin", "trail_gap"),
            (Some("a.trail"), "a.trail_origin", "a.trail_gap"),
        ] {
            let names = TableNames::parse(table).unwrap();
            assert_eq!(names.event, table.unwrap_or("event"));
            assert_eq!((&*names.origin, &*names.gap), (origin, gap));
        }
        for bad in ["", "Event", "a b", "a;b", "\"a\"", "1a", "a.b.c", ".a", &"a".repeat(41)] {
            assert!(TableNames::parse(Some(bad)).unwrap_err().starts_with("table: "), "{bad:?}");
        }
    }

    #[test]
    fn logs_of_one_host_are_told_apart() {
        let log = |host: &str, digit| {
            (host.to_owned(), format!("01890a5d-ac96-774b-bcce-b302099a805{digit}"))
        };
        let names = distinct_log_names(&[log("web3", 7), log("db1", 8), log("web3", 9)]);
        assert_eq!(names, ["web3~9a8057", "db1", "web3~9a8059"]);
    }

    #[test]
    fn a_uuid_is_written_as_usual() {
        let uuid =
            crate::chain::parse_canonical_uuid("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        assert_eq!(uuid_text(&uuid), "01890a5d-ac96-774b-bcce-b302099a8057");
    }
}
