//! The central store of many hosts, in PostgreSQL or ClickHouse: its tables, the flat row that an event
//! becomes, and the way to its servers. Mirrors write it, and the same commands read it as read a log.
//!
//! A row has all that the chain hashes: the event, its own hash, and the seal, so that a copy can be
//! verified without the host. What an event was when it first arrived stays: nothing is overwritten.
//!
//! ## Compatibility
//!
//! The table of logs names the version of the store. A store of a newer version is refused.

pub(crate) mod clickhouse;
mod columns;
mod error;
#[cfg(feature = "central")]
pub(crate) mod postgres;
#[cfg_attr(
    not(feature = "central"),
    allow(dead_code, unused_variables, unused_imports, reason = "it reads PostgreSQL alone")
)]
pub(in crate::store) mod read;
mod row;

use std::time::Duration;

pub(crate) use crate::store::central::error::CentralError;
pub(crate) use crate::store::central::error::CentralErrorKind;
pub(crate) use crate::store::central::row::CentralRow;

use crate::event::EventId;
use crate::event::Hash;
use crate::settings::Environment;
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
    pub at: Timestamp,
}

/// The names of the tables of a store, which begin with that of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableNames {
    /// The events, with the schema where the config has one.
    pub event: String,
    /// The logs that write to the store.
    pub origin: String,
}

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
        let origin = match (schema, name) {
            (None, DEFAULT_TABLE) => "origin".to_owned(),
            (Some(schema), DEFAULT_TABLE) => format!("{schema}.origin"),
            (_, _) => format!("{table}_origin"),
        };
        Ok(Self { event: table.to_owned(), origin })
    }
}

fn is_identifier(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= MAX_TABLE_BYTES
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
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
        let names = |event: &str, origin: &str| {
            Ok(TableNames { event: event.to_owned(), origin: origin.to_owned() })
        };
        assert_eq!(TableNames::parse(None), names("event", "origin"));
        assert_eq!(TableNames::parse(Some("audit.event")), names("audit.event", "audit.origin"));
        assert_eq!(TableNames::parse(Some("trail")), names("trail", "trail_origin"));
        assert_eq!(TableNames::parse(Some("a.trail")), names("a.trail", "a.trail_origin"));
        for bad in ["", "Event", "a b", "a;b", "\"a\"", "1a", "a.b.c", ".a", &"a".repeat(41)] {
            assert!(TableNames::parse(Some(bad)).unwrap_err().starts_with("table: "), "{bad:?}");
        }
    }

    #[test]
    fn a_uuid_is_written_as_usual() {
        let uuid =
            crate::chain::parse_canonical_uuid("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        assert_eq!(uuid_text(&uuid), "01890a5d-ac96-774b-bcce-b302099a8057");
    }
}
