//! Rows of `event` into events: read as keys first, then the texts behind the keys are filled in.
//!
//! A call asks each dimension table once at most, however many rows it reads, and remembers what it
//! was told. Memory is bounded: a shelf that is full is cleared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::Params;
use rusqlite::Result;
use rusqlite::Row;
use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;

use crate::chain;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::Target;
use crate::event::json::JsonObject;
use crate::event::json::VALUE_DEPTH;
use crate::store::sqlite::error::damage;
use crate::time::Timestamp;

/// The columns of a whole event, in the order in which [`select_events`] reads them.
macro_rules! columns {
    () => {
        "event.id, event.event_id, event.occurred_at, event.recorded_at, event.recorder, \
         event.tenant, event.source, event.severity, event.action, event.actor, \
         event.impersonator, event.target, event.title, event.agent, event.status, event.method, \
         event.endpoint, event.ip, event.session_id, event.description, event.diff, \
         event.payload, event.own, event.hash"
    };
}
pub(super) use columns;

/// How many rows of one dimension are remembered: a page of any export stays well below it.
const MAX_CACHED_ROWS: usize = 1 << 15;

/// The dimension rows that were read, for as long as nobody else writes: a sweep may take a row that
/// nothing refers to, and its key may come again.
#[derive(Default)]
pub(super) struct DimensionCache {
    data_version: Option<i64>,
    recorders: RowsByKey<str>,
    tenants: RowsByKey<str>,
    actions: RowsByKey<Action>,
    actors: RowsByKey<Party>,
    targets: RowsByKey<Target>,
    titles: RowsByKey<str>,
    agents: RowsByKey<str>,
}

impl DimensionCache {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Clears itself when another connection has written since the last call.
    fn clear_if_stale(&mut self, connection: &Connection) -> Result<()> {
        let version = data_version(connection)?;
        if self.data_version.replace(version).is_some_and(|known| known != version) {
            self.clear();
            self.data_version = Some(version);
        }
        Ok(())
    }
}

/// A number that changes when another connection has committed.
pub(super) fn data_version(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// The events that a statement selects; its first columns are [`columns`]. Ask within one read
/// snapshot, or a sweep may come between an event and its texts.
pub(super) fn select_events(
    connection: &Connection,
    cache: &RefCell<DimensionCache>,
    sql: &str,
    params: impl Params,
) -> Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(sql)?;
    let keys = statement.query_map(params, RawEvent::from_row)?.collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut cache = cache.borrow_mut();
    cache.clear_if_stale(connection)?;
    cache.load_dimensions(connection, &keys)?;
    keys.into_iter().map(|keys| cache.resolve(keys)).collect()
}

/// A row of `event`, its dimensions still keys.
struct RawEvent {
    id: EventId,
    event_id: String,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    recorder: i64,
    tenant: i64,
    source: Source,
    severity: Severity,
    action: i64,
    actor: Option<i64>,
    impersonator: Option<i64>,
    target: Option<i64>,
    title: Option<i64>,
    agent: Option<i64>,
    status_code: Option<u16>,
    method: Option<String>,
    endpoint: Option<String>,
    ip: Option<String>,
    session_id: Option<String>,
    description: Option<String>,
    diff: Option<JsonObject>,
    payload: Option<JsonObject>,
    own: bool,
    hash: Hash,
}

impl RawEvent {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let id = EventId(row.get(0)?);
        let odd = |what: &str| damage(format!("event {id} has no {what} that there can be"));
        let json = |column, name| {
            let text = row.get_ref(column)?.as_str_or_null().map_err(|_| odd(name))?;
            text.map(|text| JsonObject::parse(text, VALUE_DEPTH).map_err(|_| odd(name))).transpose()
        };
        Ok(Self {
            id,
            event_id: decode_event_id(row.get_ref(1)?).ok_or_else(|| odd("event_id"))?,
            occurred_at: Timestamp::from_nanos(row.get(2)?),
            recorded_at: Timestamp::from_nanos(row.get(3)?),
            recorder: row.get(4)?,
            tenant: row.get(5)?,
            source: *Source::ALL
                .get(usize::from(row.get::<_, u8>(6)?))
                .ok_or_else(|| odd("source"))?,
            severity: *Severity::ALL
                .get(usize::from(row.get::<_, u8>(7)?))
                .ok_or_else(|| odd("severity"))?,
            action: row.get(8)?,
            actor: row.get(9)?,
            impersonator: row.get(10)?,
            target: row.get(11)?,
            title: row.get(12)?,
            agent: row.get(13)?,
            status_code: row.get(14)?,
            method: row.get(15)?,
            endpoint: row.get(16)?,
            ip: row.get(17)?,
            session_id: row.get(18)?,
            description: row.get(19)?,
            diff: json(20, "diff")?,
            payload: json(21, "payload")?,
            own: row.get(22)?,
            hash: Hash(row.get(23)?),
        })
    }
}

/// The rows of one dimension by key.
type RowsByKey<T> = HashMap<i64, Arc<T>>;

impl DimensionCache {
    /// Asks for the dimension rows of these events that are not here yet.
    fn load_dimensions(&mut self, connection: &Connection, events: &[RawEvent]) -> Result<()> {
        load_missing(
            connection,
            &mut self.recorders,
            events.iter().map(|event| event.recorder),
            "SELECT key, text FROM recorder WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )?;
        load_missing(
            connection,
            &mut self.tenants,
            events.iter().map(|event| event.tenant),
            "SELECT key, text FROM tenant WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )?;
        load_missing(
            connection,
            &mut self.actions,
            events.iter().map(|event| event.action),
            "SELECT key, slug, module FROM action WHERE key IN (SELECT value FROM json_each(?1))",
            |row| Ok(Arc::new(Action { slug: row.get(1)?, module: non_empty(row.get(2)?) })),
        )?;
        load_missing(
            connection,
            &mut self.actors,
            events.iter().flat_map(|event| [event.actor, event.impersonator]).flatten(),
            "SELECT key, id, label FROM actor WHERE key IN (SELECT value FROM json_each(?1))",
            |row| Ok(Arc::new(Party { id: non_empty(row.get(1)?), label: non_empty(row.get(2)?) })),
        )?;
        load_missing(
            connection,
            &mut self.targets,
            events.iter().filter_map(|event| event.target),
            "SELECT key, type, id, label FROM target \
             WHERE key IN (SELECT value FROM json_each(?1))",
            |row| {
                let (kind, id, label) = (row.get(1)?, row.get(2)?, row.get(3)?);
                let (kind, id, label) = (non_empty(kind), non_empty(id), non_empty(label));
                Ok(Arc::new(Target { kind, id, label }))
            },
        )?;
        load_missing(
            connection,
            &mut self.titles,
            events.iter().filter_map(|event| event.title),
            "SELECT key, text FROM title WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )?;
        load_missing(
            connection,
            &mut self.agents,
            events.iter().filter_map(|event| event.agent),
            "SELECT key, text FROM agent WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )
    }

    fn resolve(&self, keys: RawEvent) -> Result<Event> {
        let id = keys.id;
        Ok(Event {
            id,
            event_id: keys.event_id,
            occurred_at: keys.occurred_at,
            recorded_at: keys.recorded_at,
            recorded_by: get_row(&self.recorders, keys.recorder, id)?,
            tenant: Some(get_row(&self.tenants, keys.tenant, id)?).filter(|text| !text.is_empty()),
            source: keys.source,
            severity: keys.severity,
            action: get_row(&self.actions, keys.action, id)?,
            title: get_optional_row(&self.titles, keys.title, id)?,
            description: keys.description,
            actor: get_optional_row(&self.actors, keys.actor, id)?,
            impersonator: get_optional_row(&self.actors, keys.impersonator, id)?,
            target: get_optional_row(&self.targets, keys.target, id)?,
            diff: keys.diff,
            payload: keys.payload,
            ip: keys.ip,
            user_agent: get_optional_row(&self.agents, keys.agent, id)?,
            session_id: keys.session_id,
            method: keys.method,
            endpoint: keys.endpoint,
            status_code: keys.status_code,
            own: keys.own,
            hash: keys.hash,
        })
    }
}

/// Reads the rows with those keys that are not on the shelf.
fn load_missing<T: ?Sized>(
    connection: &Connection,
    shelf: &mut RowsByKey<T>,
    keys: impl Iterator<Item = i64>,
    sql: &'static str,
    make: impl Fn(&Row<'_>) -> Result<Arc<T>>,
) -> Result<()> {
    let keys: HashSet<i64> = keys.collect();
    if shelf.len() + keys.len() > MAX_CACHED_ROWS {
        shelf.clear();
    }
    let mut missing = String::from("[");
    for key in keys.iter().filter(|key| !shelf.contains_key(key)) {
        let comma = if missing.len() > 1 { "," } else { "" };
        write!(missing, "{comma}{key}").expect("a String takes all");
    }
    if missing.len() == 1 {
        return Ok(());
    }
    missing.push(']');
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([missing])?;
    while let Some(row) = rows.next()? {
        shelf.insert(row.get(0)?, make(row)?);
    }
    Ok(())
}

fn get_row<T: ?Sized>(shelf: &RowsByKey<T>, key: i64, event: EventId) -> Result<Arc<T>> {
    shelf
        .get(&key)
        .cloned()
        .ok_or_else(|| damage(format!("event {event} refers to a row that is not there")))
}

fn get_optional_row<T: ?Sized>(
    shelf: &RowsByKey<T>,
    key: Option<i64>,
    event: EventId,
) -> Result<Option<Arc<T>>> {
    key.map(|key| get_row(shelf, key, event)).transpose()
}

/// Absent text is empty in a dimension.
fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn decode_event_id(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(text) => str::from_utf8(text).ok().map(str::to_owned),
        ValueRef::Blob(bytes) => {
            uuid::Uuid::from_slice(bytes).ok().map(|uuid| uuid.hyphenated().to_string())
        }
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

/// An `event_id` as it is stored.
#[derive(Clone, Copy)]
pub(super) enum StoredEventId<'a> {
    Uuid([u8; 16]),
    Text(&'a str),
}

impl<'a> StoredEventId<'a> {
    pub(super) fn from_event_id(event_id: &'a str) -> Self {
        chain::parse_canonical_uuid(event_id).map_or(Self::Text(event_id), Self::Uuid)
    }
}

impl ToSql for StoredEventId<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Uuid(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The first and the last UUID that begin so; none when no UUID does.
pub(super) fn uuid_range(prefix: &str) -> Option<([u8; 16], [u8; 16])> {
    const SHAPE: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    let fits = prefix.len() <= SHAPE.len()
        && prefix.bytes().zip(SHAPE.bytes()).all(|(byte, shape)| match shape {
            b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            _ => byte == shape,
        });
    if !fits {
        return None;
    }
    let filled = |digit: &str| {
        let rest = SHAPE[prefix.len()..].replace('x', digit);
        chain::parse_canonical_uuid(&format!("{prefix}{rest}")).expect("it has the shape of a UUID")
    };
    Some((filled("0"), filled("f")))
}
