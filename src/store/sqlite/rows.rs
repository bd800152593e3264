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

/// The columns of a whole event, in the order in which [`select`] reads them.
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
const SHELF: usize = 1 << 15;

/// The dimension rows that were read, for as long as nobody else writes: a sweep may take a row that
/// nothing refers to, and its key may come again.
#[derive(Default)]
pub(super) struct Cache {
    version: Option<i64>,
    recorders: Shelf<str>,
    tenants: Shelf<str>,
    actions: Shelf<Action>,
    actors: Shelf<Party>,
    targets: Shelf<Target>,
    titles: Shelf<str>,
    agents: Shelf<str>,
}

impl Cache {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Clears itself when another connection has written since the last call.
    fn follow(&mut self, connection: &Connection) -> Result<()> {
        let version = data_version(connection)?;
        if self.version.replace(version).is_some_and(|known| known != version) {
            self.clear();
            self.version = Some(version);
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
pub(super) fn select(
    connection: &Connection,
    cache: &RefCell<Cache>,
    sql: &str,
    params: impl Params,
) -> Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(sql)?;
    let keys = statement.query_map(params, Keys::read)?.collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut cache = cache.borrow_mut();
    cache.follow(connection)?;
    cache.fill(connection, &keys)?;
    keys.into_iter().map(|keys| cache.event(keys)).collect()
}

/// A row of `event`, its dimensions still keys.
struct Keys {
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

impl Keys {
    fn read(row: &Row<'_>) -> Result<Self> {
        let id = EventId(row.get(0)?);
        let odd = |what: &str| damage(format!("event {id} has no {what} that there can be"));
        let json = |column, name| {
            let text = row.get_ref(column)?.as_str_or_null().map_err(|_| odd(name))?;
            text.map(|text| JsonObject::parse(text, VALUE_DEPTH).map_err(|_| odd(name))).transpose()
        };
        Ok(Self {
            id,
            event_id: event_id(row.get_ref(1)?).ok_or_else(|| odd("event_id"))?,
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
type Shelf<T> = HashMap<i64, Arc<T>>;

impl Cache {
    /// Asks for the dimension rows of these events that are not here yet.
    fn fill(&mut self, connection: &Connection, events: &[Keys]) -> Result<()> {
        fill(
            connection,
            &mut self.recorders,
            events.iter().map(|event| event.recorder),
            "SELECT key, text FROM recorder WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )?;
        fill(
            connection,
            &mut self.tenants,
            events.iter().map(|event| event.tenant),
            "SELECT key, text FROM tenant WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )?;
        fill(
            connection,
            &mut self.actions,
            events.iter().map(|event| event.action),
            "SELECT key, slug, module FROM action WHERE key IN (SELECT value FROM json_each(?1))",
            |row| Ok(Arc::new(Action { slug: row.get(1)?, module: present(row.get(2)?) })),
        )?;
        fill(
            connection,
            &mut self.actors,
            events.iter().flat_map(|event| [event.actor, event.impersonator]).flatten(),
            "SELECT key, id, label FROM actor WHERE key IN (SELECT value FROM json_each(?1))",
            |row| Ok(Arc::new(Party { id: present(row.get(1)?), label: present(row.get(2)?) })),
        )?;
        fill(
            connection,
            &mut self.targets,
            events.iter().filter_map(|event| event.target),
            "SELECT key, type, id, label FROM target \
             WHERE key IN (SELECT value FROM json_each(?1))",
            |row| {
                let (kind, id, label) = (row.get(1)?, row.get(2)?, row.get(3)?);
                let (kind, id, label) = (present(kind), present(id), present(label));
                Ok(Arc::new(Target { kind, id, label }))
            },
        )?;
        fill(
            connection,
            &mut self.titles,
            events.iter().filter_map(|event| event.title),
            "SELECT key, text FROM title WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )?;
        fill(
            connection,
            &mut self.agents,
            events.iter().filter_map(|event| event.agent),
            "SELECT key, text FROM agent WHERE key IN (SELECT value FROM json_each(?1))",
            |row| row.get(1),
        )
    }

    fn event(&self, keys: Keys) -> Result<Event> {
        let id = keys.id;
        Ok(Event {
            id,
            event_id: keys.event_id,
            occurred_at: keys.occurred_at,
            recorded_at: keys.recorded_at,
            recorded_by: behind(&self.recorders, keys.recorder, id)?,
            tenant: Some(behind(&self.tenants, keys.tenant, id)?).filter(|text| !text.is_empty()),
            source: keys.source,
            severity: keys.severity,
            action: behind(&self.actions, keys.action, id)?,
            title: maybe_behind(&self.titles, keys.title, id)?,
            description: keys.description,
            actor: maybe_behind(&self.actors, keys.actor, id)?,
            impersonator: maybe_behind(&self.actors, keys.impersonator, id)?,
            target: maybe_behind(&self.targets, keys.target, id)?,
            diff: keys.diff,
            payload: keys.payload,
            ip: keys.ip,
            user_agent: maybe_behind(&self.agents, keys.agent, id)?,
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
fn fill<T: ?Sized>(
    connection: &Connection,
    shelf: &mut Shelf<T>,
    keys: impl Iterator<Item = i64>,
    sql: &'static str,
    make: impl Fn(&Row<'_>) -> Result<Arc<T>>,
) -> Result<()> {
    let keys: HashSet<i64> = keys.collect();
    if shelf.len() + keys.len() > SHELF {
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

fn behind<T: ?Sized>(shelf: &Shelf<T>, key: i64, event: EventId) -> Result<Arc<T>> {
    shelf
        .get(&key)
        .cloned()
        .ok_or_else(|| damage(format!("event {event} refers to a row that is not there")))
}

fn maybe_behind<T: ?Sized>(
    shelf: &Shelf<T>,
    key: Option<i64>,
    event: EventId,
) -> Result<Option<Arc<T>>> {
    key.map(|key| behind(shelf, key, event)).transpose()
}

/// Absent text is empty in a dimension.
fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn event_id(value: ValueRef<'_>) -> Option<String> {
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
pub(super) enum EventKey<'a> {
    Uuid([u8; 16]),
    Text(&'a str),
}

impl<'a> EventKey<'a> {
    pub(super) fn of(event_id: &'a str) -> Self {
        chain::parse_canonical_uuid(event_id).map_or(Self::Text(event_id), Self::Uuid)
    }
}

impl ToSql for EventKey<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Uuid(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The least text behind all that begin so; none where the prefix ends in the last character.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut after: String = prefix.to_owned();
    while let Some(last) = after.pop() {
        // The surrogates are no characters: behind U+D7FF comes U+E000.
        let next =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            after.push(next);
            return Some(after);
        }
    }
    None
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
