//! `type = "clickhouse"`: the central store of many hosts in ClickHouse, over HTTP.
//!
//! ClickHouse has no unique keys. So a batch is compared with what is there before it is inserted, and a
//! batch whose answer got lost is cut alike when it is sent again and has the same token, by which the
//! server knows it. A reader drops neighbours of the same log and id.

use std::collections::HashMap;
use std::fmt::Write;

use crate::config::mirror::ClickHouseConfig;
use crate::event::Event;
use crate::event::EventId;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::sink::FailureKind;
use crate::mirror::sink::LogHeartbeat;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::central;
use crate::mirror::sinks::central::TableNames;
use crate::mirror::sinks::service;
use crate::mirror::sinks::service::Service;
use crate::mirror::sinks::service::ServiceAnswer;
use crate::secret::Secret;

const DEFAULT_BATCH: usize = 10_000;
const DEFAULT_USER: &str = "default";
/// The first version in which all of this is there: codecs, projections of a table that replaces rows,
/// and tokens by which a batch is known again.
const MODERN_VERSION: u32 = 25;
/// How many events are compared at a time: an answer is read up to 64 KiB.
const COMPARED_EVENTS: usize = 1000;
/// The bytes of an id and a hash in an answer.
const COMPARED_BYTES: usize = 8 + 32;

/// An event's optional text, by which the columns are written.
type TextValue = for<'e> fn(&'e Event) -> Option<&'e str>;

/// The columns of texts that may be absent.
const TEXT_COLUMNS: [(&str, TextValue); 19] = [
    ("tenant", |event| event.tenant.as_deref()),
    ("module", |event| event.action.module.as_deref()),
    ("title", |event| event.title.as_deref()),
    ("description", |event| event.description.as_deref()),
    ("actor_id", |event| event.actor.as_ref()?.id.as_deref()),
    ("actor_label", |event| event.actor.as_ref()?.label.as_deref()),
    ("impersonator_id", |event| event.impersonator.as_ref()?.id.as_deref()),
    ("impersonator_label", |event| event.impersonator.as_ref()?.label.as_deref()),
    ("target_type", |event| event.target.as_ref()?.kind.as_deref()),
    ("target_id", |event| event.target.as_ref()?.id.as_deref()),
    ("target_label", |event| event.target.as_ref()?.label.as_deref()),
    ("diff", |event| Some(event.diff.as_ref()?.as_str())),
    ("payload", |event| Some(event.payload.as_ref()?.as_str())),
    ("ip", |event| event.ip.as_deref()),
    ("user_agent", |event| event.user_agent.as_deref()),
    ("session_id", |event| event.session_id.as_deref()),
    ("method", |event| event.method.as_deref()),
    ("endpoint", |event| event.endpoint.as_deref()),
    ("recorded_by", |event| Some(&event.recorded_by)),
];

pub(crate) struct ClickHouseSink {
    service: Service,
    user: String,
    password: Option<Secret>,
    names: TableNames,
    /// The log and the server, which [`Sink::report_head`] finds.
    known: Option<KnownServer>,
}

#[derive(Clone, Copy)]
struct KnownServer {
    log: [u8; 16],
    is_modern: bool,
}

impl ClickHouseSink {
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(crate) fn new(
        config: &ClickHouseConfig,
        context: SinkContext<'_>,
    ) -> Result<Self, Failure> {
        let names = TableNames::parse(config.central.table.as_deref())
            .map_err(|why| Failure::new(Exit::Config, why))?;
        let endpoint = service::parse_endpoint("url", &config.central.url)?;
        let password = match &config.central.password_file {
            Some(path) => Some(Secret::read(path, context.trusted_uid)?),
            None => {
                let password = context.environment.text("CLICKHOUSE_PASSWORD");
                password.map(|text| Secret::new(text, "CLICKHOUSE_PASSWORD")).transpose()?
            }
        };
        let user = config.user.as_deref().or(context.environment.text("CLICKHOUSE_USER"));
        let user = user.unwrap_or(DEFAULT_USER).to_owned();
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(&user) || !password.as_ref().is_none_or(|password| plain(password.reveal())) {
            return Err(Failure::new(
                Exit::Config,
                "user and password of ClickHouse must be of ASCII without blanks",
            ));
        }
        let secrets = password.iter().cloned().collect();
        let ca_file = config.central.ca_file.as_deref();
        let service = Service::new(endpoint, ca_file, secrets, context)?;
        Ok(Self { service, user, password, names, known: None })
    }

    /// Runs a statement; `data` goes with an INSERT.
    fn run(
        &self,
        sql: &str,
        settings: &[(&str, &str)],
        data: &[u8],
    ) -> Result<ServiceAnswer, SinkFailure> {
        let mut headers = vec![("X-ClickHouse-User", self.user.as_str())];
        if let Some(password) = &self.password {
            headers.push(("X-ClickHouse-Key", password.reveal()));
        }
        let query = [&[("query", sql)], settings].concat();
        let answer = self.service.request_with_query(&query, &headers, data)?;
        match answer.status {
            200 => Ok(answer),
            // A body or a value that the server does not take. All else, also a missing table, is 404
            // or 500.
            400 | 413 => Err(self.service.failure(FailureKind::Refused, &answer, None)),
            _ => Err(self.service.failure(FailureKind::Unavailable, &answer, None)),
        }
    }

    /// Runs a statement that is not about an event, so that its failure refuses none.
    fn run_for_store(&self, sql: &str, data: &[u8]) -> Result<ServiceAnswer, SinkFailure> {
        self.run(sql, &[], data)
            .map_err(|failure| SinkFailure { kind: FailureKind::Unavailable, ..failure })
    }

    /// Finds out the version of the server, and makes the tables where they are missing.
    fn prepare_tables(&self) -> Result<bool, SinkFailure> {
        let version = self.run_for_store("SELECT version()", b"")?;
        let version = String::from_utf8_lossy(&version.body).into_owned();
        let major: u32 = version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let is_modern = major >= MODERN_VERSION;
        let names = [&self.names.origin, &self.names.event];
        let creations = [create_origin(&self.names), create_event(&self.names, is_modern)];
        for (name, create) in names.into_iter().zip(creations) {
            // A role that may only write cannot make what is there.
            let exists = self.run_for_store(&format!("EXISTS TABLE {name}"), b"")?;
            if exists.body.first() != Some(&b'1') {
                self.run_for_store(&create, b"")?;
            }
        }
        Ok(is_modern)
    }

    /// Returns the hashes of these events that the store has, in whatever version.
    fn read_hashes(
        &self,
        log: &[u8; 16],
        events: &[OutgoingEvent],
    ) -> Result<HashMap<EventId, Vec<[u8; 32]>>, SinkFailure> {
        let mut found: HashMap<EventId, Vec<[u8; 32]>> = HashMap::new();
        let Some(condition) = same_events(log, events) else { return Ok(found) };
        let event = &self.names.event;
        let count =
            self.run_for_store(&format!("SELECT count() FROM {event} WHERE {condition}"), b"")?;
        if count.body.trim_ascii() == b"0" {
            return Ok(found);
        }
        for events in events.chunks(COMPARED_EVENTS) {
            let Some(condition) = same_events(log, events) else { continue };
            let sql = format!(
                "SELECT DISTINCT id, hash FROM {event} WHERE {condition} ORDER BY id, hash FORMAT RowBinary"
            );
            for row in self.run_for_store(&sql, b"")?.body.chunks_exact(COMPARED_BYTES) {
                let (id, hash) = row.split_at(8);
                let id = i64::from_le_bytes(id.try_into().expect("8 bytes were split off"));
                let hash = hash.try_into().expect("32 bytes are left");
                found.entry(EventId(id)).or_default().push(hash);
            }
        }
        Ok(found)
    }

    fn insert(&self, known: KnownServer, events: &[&OutgoingEvent]) -> Result<(), SinkFailure> {
        let mut rows = Vec::new();
        for outgoing in events {
            write_row(&known.log, outgoing, &mut rows);
        }
        let [first, .., last] = events else {
            let [only] = events else { return Ok(()) };
            return self.insert_rows(known, only.event.id, only.event.id, &rows);
        };
        self.insert_rows(known, first.event.id, last.event.id, &rows)
    }

    fn insert_rows(
        &self,
        known: KnownServer,
        first: EventId,
        last: EventId,
        rows: &[u8],
    ) -> Result<(), SinkFailure> {
        let sql = format!("INSERT INTO {} ({}) FORMAT RowBinary", self.names.event, column_names());
        let token = format!("{}:{first}-{last}", central::uuid_text(&known.log));
        let settings: &[(&str, &str)] =
            if known.is_modern { &[("insert_deduplication_token", &token)] } else { &[] };
        self.run(&sql, settings, rows).map(drop)
    }
}

impl Sink for ClickHouseSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn wants_seals(&self) -> bool {
        true
    }

    fn wants_stable_batches(&self) -> bool {
        true
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let Some(known) = self.known else {
            return Err(SinkFailure::unavailable("this log is not known to the store yet"));
        };
        let stored = self.read_hashes(&known.log, batch)?;
        let is_new = |outgoing: &&OutgoingEvent| !stored.contains_key(&outgoing.event.id);
        let new: Vec<&OutgoingEvent> = batch.iter().filter(is_new).collect();
        self.insert(known, &new)?;
        let changed = batch.iter().enumerate().filter_map(|(index, outgoing)| {
            let hashes = stored.get(&outgoing.event.id)?;
            let other = hashes.iter().find(|hash| **hash != outgoing.event.hash.0)?;
            Some(central::changed_past(index, other, outgoing))
        });
        Ok(changed.collect())
    }

    fn report_head(&mut self, head: &LogHeartbeat) -> Result<(), SinkFailure> {
        let is_modern = match self.known {
            Some(known) => known.is_modern,
            None => self.prepare_tables()?,
        };
        let mut row = Vec::new();
        write_uuid(&head.uuid, &mut row);
        write_bytes(head.host.as_bytes(), &mut row);
        row.extend(head.head.0.to_le_bytes());
        row.extend(head.hash.0);
        row.extend(head.at.as_nanos().to_le_bytes());
        let sql = format!(
            "INSERT INTO {} (uuid, host, head_id, head_hash, head_at) FORMAT RowBinary",
            self.names.origin
        );
        self.run_for_store(&sql, &row)?;
        self.known = Some(KnownServer { log: head.uuid, is_modern });
        Ok(())
    }

    /// Checks the tables. No event is stored: a row cannot be taken back.
    fn test(&mut self, _probe: &OutgoingEvent) -> Result<(), SinkFailure> {
        self.prepare_tables().map(drop)
    }
}

fn create_origin(names: &TableNames) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (uuid UUID, host String, head_id Int64, \
         head_hash FixedString(32), head_at Int64) ENGINE = ReplacingMergeTree(head_at) \
         ORDER BY uuid",
        names.origin
    )
}

/// Returns the statement that makes the table of events. Hours come first in the order, so that the
/// newest events of all logs lie together; other ways in are projections.
fn create_event(names: &TableNames, is_modern: bool) -> String {
    let codec = |codec: &str| if is_modern { format!(" CODEC({codec})") } else { String::new() };
    let (text, random) = (codec("ZSTD(1)"), codec("NONE"));
    let mut sql = format!(
        "CREATE TABLE IF NOT EXISTS {} (log UUID, id Int64, occurred_at Int64, recorded_at Int64, \
         event_id String{text}, source Int8, severity Int8, own UInt8, action String{text}, ",
        names.event
    );
    for (name, _) in TEXT_COLUMNS {
        let _ = write!(sql, "{name} Nullable(String){text}, ");
    }
    let _ = write!(
        sql,
        "status_code Int16, seal String{random}, hash FixedString(32){random}, \
         words Nullable(String){text}"
    );
    if is_modern {
        for (name, columns) in [
            ("by_event_id", "event_id"),
            ("by_actor", "actor_id, occurred_at"),
            ("by_target", "target_id, occurred_at"),
            ("by_action", "action, occurred_at"),
        ] {
            let _ = write!(
                sql,
                ", PROJECTION {name} (SELECT log, id, occurred_at, event_id, actor_id, target_id, \
                 action ORDER BY {columns})"
            );
        }
    }
    sql.push_str(
        ") ENGINE = ReplacingMergeTree \
         PARTITION BY toYYYYMM(toDateTime(intDiv(occurred_at, 1000000000), 'UTC')) \
         ORDER BY (intDiv(occurred_at, 3600000000000), log, id)",
    );
    if is_modern {
        // Projections over a table that replaces rows, and keys that may be absent, are asked for by name.
        sql.push_str(
            " SETTINGS non_replicated_deduplication_window = 1000, allow_nullable_key = 1, \
             deduplicate_merge_projection_mode = 'rebuild'",
        );
    }
    sql
}

fn column_names() -> String {
    let mut names =
        String::from("log, id, occurred_at, recorded_at, event_id, source, severity, own, action");
    for (name, _) in TEXT_COLUMNS {
        names.push_str(", ");
        names.push_str(name);
    }
    names.push_str(", status_code, seal, hash, words");
    names
}

/// Writes an event in the format RowBinary, in the order of [`column_names`].
fn write_row(log: &[u8; 16], outgoing: &OutgoingEvent, out: &mut Vec<u8>) {
    let event = &outgoing.event;
    write_uuid(log, out);
    out.extend(event.id.0.to_le_bytes());
    out.extend(event.occurred_at.as_nanos().to_le_bytes());
    out.extend(event.recorded_at.as_nanos().to_le_bytes());
    write_bytes(event.event_id.as_bytes(), out);
    for number in [
        central::source_number(event.source),
        central::severity_number(event.severity),
        event.own.into(),
    ] {
        out.push(u8::try_from(number).expect("these numbers are small"));
    }
    write_bytes(event.action.slug.as_bytes(), out);
    for (_, value) in TEXT_COLUMNS {
        write_optional(value(event), out);
    }
    out.extend(event.status_code.unwrap_or(0).to_le_bytes());
    let seal = outgoing.seal.map(|seal| seal.to_bytes()).unwrap_or_default();
    write_bytes(&seal, out);
    out.extend(event.hash.0);
    write_optional(central::words(event).as_deref(), out);
}

/// A UUID is two numbers of 64 bits, the upper half first, each with its lowest byte first.
fn write_uuid(uuid: &[u8; 16], out: &mut Vec<u8>) {
    let (upper, lower) = uuid.split_at(8);
    out.extend(upper.iter().rev());
    out.extend(lower.iter().rev());
}

/// A text or bytes, with the length in front in groups of 7 bits, the lowest first.
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7F).expect("it is 7 bits") | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).expect("it is less than 0x80"));
    out.extend(bytes);
}

fn write_optional(text: Option<&str>, out: &mut Vec<u8>) {
    out.push(u8::from(text.is_none()));
    if let Some(text) = text {
        write_bytes(text.as_bytes(), out);
    }
}

/// Returns the condition that finds these events, by the key of the table.
fn same_events(log: &[u8; 16], events: &[OutgoingEvent]) -> Option<String> {
    const HOUR: i64 = 3_600_000_000_000;
    let ids = events.iter().map(|outgoing| outgoing.event.id);
    let hours = events.iter().map(|outgoing| outgoing.event.occurred_at.as_nanos() / HOUR);
    let (first, last) = (ids.clone().min()?, ids.max()?);
    let (from, to) = (hours.clone().min()?, hours.max()?);
    let log = central::uuid_text(log);
    Some(format!(
        "intDiv(occurred_at, {HOUR}) BETWEEN {from} AND {to} AND log = toUUID('{log}') \
         AND id BETWEEN {first} AND {last}"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_and_uuids_are_those_of_the_format() {
        let mut out = Vec::new();
        write_bytes(&[b'x'; 300], &mut out);
        assert_eq!(out[..3], [0xAC, 0x02, b'x']);
        out.clear();
        write_uuid(&std::array::from_fn(|n| u8::try_from(n).unwrap()), &mut out);
        assert_eq!(out, [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]);
        out.clear();
        write_optional(None, &mut out);
        write_optional(Some("a\0"), &mut out);
        assert_eq!(out, [1, 0, 2, b'a', 0]);
    }

    proptest! {
        #[test]
        fn a_length_comes_back(length in 0_usize..2_000_000) {
            let mut out = Vec::new();
            write_bytes(&vec![0; length], &mut out);
            let mut read = 0;
            let mut shift = 0;
            for byte in &out {
                read |= usize::from(byte & 0x7F) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            prop_assert_eq!(read, length);
            prop_assert_eq!(out.len(), length + shift / 7);
        }
    }
}
