//! The central store of many hosts: the flat row that an event becomes, whatever the engine is.
//!
//! A row has all that the chain hashes: the event, its own hash, and the seal, so that a copy can be
//! verified without the host. What an event was when it first arrived stays: a host that later sends
//! another hash for the same id has changed its past, which is told and never overwrites anything.

mod clickhouse;
#[cfg(feature = "central")]
mod postgres;

pub(super) use crate::mirror::sinks::central::clickhouse::ClickHouseSink;
#[cfg(feature = "central")]
pub(super) use crate::mirror::sinks::central::postgres::PostgresSink;

use std::fmt::Write;

use crate::event::Event;
use crate::event::Hash;
use crate::event::Severity;
use crate::event::Source;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::text;

/// The names of the tables of a store, which begin with that of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableNames {
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
    pub(super) fn parse(table: Option<&str>) -> Result<Self, String> {
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

/// Returns the text in which words are looked for: the labels and the title, folded, each on a line.
pub(super) fn words(event: &Event) -> Option<String> {
    let actor = event.actor.as_ref().and_then(|actor| actor.label.as_deref());
    let target = event.target.as_ref().and_then(|target| target.label.as_deref());
    let mut words = String::new();
    for text in [actor, target, event.title.as_deref()].into_iter().flatten() {
        if !words.is_empty() {
            words.push('\n');
        }
        words.push_str(&text::fold(text));
    }
    Some(words).filter(|words| !words.is_empty())
}

/// Returns the number of a source in the store, which is that in a log.
pub(super) fn source_number(source: Source) -> i16 {
    match source {
        Source::Operator => 0,
        Source::System => 1,
        Source::Api => 2,
        Source::Cron => 3,
    }
}

/// Returns the number of a severity in the store, which is that in a log.
pub(super) fn severity_number(severity: Severity) -> i16 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

/// Returns a UUID as text.
pub(super) fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Names an event of which the store has another version.
pub(super) fn changed_past(index: usize, stored: &[u8], outgoing: &OutgoingEvent) -> RefusedEvent {
    let stored = match <[u8; 32]>::try_from(stored) {
        Ok(hash) => Hash(hash).to_string(),
        Err(_) => "no hash".to_owned(),
    };
    let event = &outgoing.event;
    let mut reason = String::from("the past was changed: ");
    let _ =
        write!(reason, "the store has {stored} for event {}, this log {}", event.id, event.hash);
    RefusedEvent { index, reason, status: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::samples::full_event;
    use crate::query::samples::minimal_event;

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

    #[test]
    fn words_are_folded_and_do_not_run_together() {
        let mut event = full_event();
        event.title = Some("STRASSE".into());
        let words = words(&event).unwrap();
        assert!(words.ends_with("\nstrasse"), "{words}");
        assert_eq!(words.lines().count(), 3);
        assert_eq!(super::words(&minimal_event()), None);
    }
}
