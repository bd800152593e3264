//! Turns rows of `event` into events: reads rows with keys first, then the dimension rows behind the
//! keys.
//!
//! ## Cost
//! A call reads each dimension table at most once or twice, however many events it reads, and remembers
//! the rows. Memory is bounded: old rows are forgotten, and a call with a limit of bytes reads no more
//! events, and no more texts of theirs, than that and one event.

use std::cell::RefCell;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::Error;
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
use crate::store::sqlite::layout;
use crate::store::sqlite::layout::Column;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::layout::ReadValues;
use crate::store::sqlite::layout::ReferencedKeys;
use crate::store::sqlite::recent_rows::HeldText;
use crate::store::sqlite::recent_rows::RecentRows;
use crate::store::sqlite::row_keys::RowKeySet;
use crate::time::Timestamp;

/// The dimension rows that were read. They hold until another connection writes: a sweep may remove a
/// row to which nothing refers, and its key may be given to another row.
#[derive(Default)]
pub(super) struct DimensionCache {
    data_version: Option<i64>,
    recorders: RecentRows<Arc<str>>,
    tenants: RecentRows<Arc<str>>,
    actions: RecentRows<Arc<Action>>,
    actors: RecentRows<Arc<Party>>,
    targets: RecentRows<Arc<Target>>,
    titles: RecentRows<Arc<str>>,
    agents: RecentRows<Arc<str>>,
}

impl DimensionCache {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Clears the cache if another connection has written since the last call.
    fn clear_if_stale(&mut self, connection: &Connection) -> Result<()> {
        let version = data_version(connection)?;
        if self.data_version.replace(version).is_some_and(|known| known != version) {
            self.clear();
            self.data_version = Some(version);
        }
        Ok(())
    }
}

/// Returns a number that changes when another connection commits.
pub(super) fn data_version(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Returns the events that a statement selects; its first columns are `layout::columns!()`. The caller
/// holds a read snapshot, or a sweep may come between an event and its texts.
pub(super) fn select_events(
    connection: &Connection,
    cache: &RefCell<DimensionCache>,
    sql: &str,
    params: impl Params,
) -> Result<Vec<Event>> {
    let selected = select_events_within(connection, cache, sql, params, usize::MAX)?;
    Ok(selected.events)
}

/// The first events that a statement selects.
pub(super) struct SelectedEvents {
    pub events: Vec<Event>,
    /// Whether the statement selects no others.
    pub is_complete: bool,
}

/// Returns the events that a statement selects, up to the one with which their rows have so many bytes.
/// Otherwise as [`select_events`].
pub(super) fn select_events_within(
    connection: &Connection,
    cache: &RefCell<DimensionCache>,
    sql: &str,
    params: impl Params,
    max_bytes: usize,
) -> Result<SelectedEvents> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut is_complete = true;
    while let Some(row) = rows.next()? {
        let event = RawEvent::from_row(row)?;
        bytes += event.size();
        events.push(event);
        if bytes >= max_bytes {
            is_complete = false;
            break;
        }
    }
    drop(rows);
    if events.is_empty() {
        return Ok(SelectedEvents { events: Vec::new(), is_complete });
    }
    let mut cache = cache.borrow_mut();
    cache.clear_if_stale(connection)?;
    cache.make_room();
    let mut room = max_bytes;
    if max_bytes < usize::MAX {
        // The first event is read in any case; the others, as far as there is room for their texts.
        let mut unlimited = usize::MAX;
        cache.load_dimensions(connection, &events[..1], &mut unlimited)?;
    }
    cache.load_dimensions(connection, &events, &mut room)?;
    if room == 0 {
        let known = events.iter().take_while(|event| cache.has_all(&event.keys)).count().max(1);
        is_complete &= known == events.len();
        events.truncate(known);
    }
    let events = events.into_iter().map(|event| cache.resolve(event)).collect::<Result<_>>()?;
    Ok(SelectedEvents { events, is_complete })
}

/// A row of `event`, with keys for the rows that it refers to.
struct RawEvent {
    id: EventId,
    event_id: String,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    source: Source,
    severity: Severity,
    own: bool,
    hash: Hash,
    keys: ReferencedKeys,
    values: ReadValues,
}

/// Returns the error for a value that no event can have.
fn invalid_value(event: EventId, name: &str) -> Error {
    damage(format!("event {event} has an invalid {name}"))
}

impl RawEvent {
    /// Returns the number of bytes that it takes in memory, nearly.
    fn size(&self) -> usize {
        size_of::<Self>() + self.event_id.len() + self.values.size()
    }

    fn from_row(row: &Row<'_>) -> Result<Self> {
        let id = EventId(row.get(Column::id.position())?);
        let invalid = |name: &str| invalid_value(id, name);
        let number = |column: Column| row.get::<_, u8>(column.position()).map(usize::from);
        Ok(Self {
            id,
            event_id: decode_event_id(row.get_ref(Column::event_id.position())?)
                .ok_or_else(|| invalid("event_id"))?,
            occurred_at: Timestamp::from_nanos(row.get(Column::occurred_at.position())?),
            recorded_at: Timestamp::from_nanos(row.get(Column::recorded_at.position())?),
            source: *Source::ALL.get(number(Column::source)?).ok_or_else(|| invalid("source"))?,
            severity: *Severity::ALL
                .get(number(Column::severity)?)
                .ok_or_else(|| invalid("severity"))?,
            own: row.get(Column::own.position())?,
            hash: Hash(row.get(Column::hash.position())?),
            keys: ReferencedKeys::read(row, |_, error| error)?,
            values: read_values(row, id)?,
        })
    }
}

macro_rules! read_value {
    (text $row:ident $event:ident $column:ident) => {
        $row.get(Column::$column.position())?
    };
    (status $row:ident $event:ident $column:ident) => {
        $row.get(Column::$column.position())?
    };
    (json $row:ident $event:ident $column:ident) => {
        read_json($row, Column::$column.position())
            .map_err(|()| invalid_value($event, stringify!($column)))?
    };
}

fn read_values(row: &Row<'_>, event: EventId) -> Result<ReadValues> {
    macro_rules! read_all {
        ($($column:ident $field:ident $kind:ident,)*) => {
            ReadValues { $($field: read_value!($kind row event $column),)* }
        };
    }
    Ok(layout::for_values!(read_all))
}

fn read_json(row: &Row<'_>, position: usize) -> std::result::Result<Option<JsonObject>, ()> {
    let text = row.get_ref(position).map_err(drop)?.as_str_or_null().map_err(drop)?;
    text.map(|text| JsonObject::parse(text, VALUE_DEPTH).map_err(drop)).transpose()
}

/// Reads the rows with these keys that are not remembered, in the order of the keys, until there is no
/// more room for their texts.
fn load_missing<T: HeldText>(
    remembered: &mut RecentRows<T>,
    connection: &Connection,
    dimension: Dimension,
    keys: impl Iterator<Item = i64>,
    room: &mut usize,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<()> {
    let mut seen = RowKeySet::default();
    let missing: Vec<String> = keys
        .filter(|key| !remembered.renew(*key) && seen.insert(*key))
        .map(|key| key.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(dimension.statements().select_by_keys)?;
    let mut rows = statement.query([format!("[{}]", missing.join(","))])?;
    while *room > 0
        && let Some(row) = rows.next()?
    {
        let value = read(row)?;
        *room = room.saturating_sub(value.text_bytes());
        remembered.insert(row.get("key")?, value);
    }
    Ok(())
}

impl DimensionCache {
    /// Forgets what is too much to remember.
    fn make_room(&mut self) {
        self.recorders.make_room();
        self.tenants.make_room();
        self.actions.make_room();
        self.actors.make_room();
        self.targets.make_room();
        self.titles.make_room();
        self.agents.make_room();
    }

    /// Whether all rows are in the cache to which an event refers.
    fn has_all(&self, keys: &ReferencedKeys) -> bool {
        has(&self.recorders, Some(keys.recorder))
            && has(&self.tenants, Some(keys.tenant))
            && has(&self.actions, Some(keys.action))
            && has(&self.actors, keys.actor)
            && has(&self.actors, keys.impersonator)
            && has(&self.targets, keys.target)
            && has(&self.titles, keys.title)
            && has(&self.agents, keys.agent)
    }

    /// Reads the rows that these events refer to and that are not in the cache yet, up to so many bytes
    /// of text. With no room left, some rows may not have been read.
    fn load_dimensions(
        &mut self,
        connection: &Connection,
        events: &[RawEvent],
        room: &mut usize,
    ) -> Result<()> {
        let keys = || events.iter().map(|event| &event.keys);
        macro_rules! load {
            ($rows:ident $dimension:ident $keys:expr, $read:expr) => {
                load_missing(&mut self.$rows, connection, Dimension::$dimension, $keys, room, $read)
            };
        }
        load!(recorders Recorder keys().map(|keys| keys.recorder), read_text)?;
        load!(tenants Tenant keys().map(|keys| keys.tenant), read_text)?;
        load!(actions Action keys().map(|keys| keys.action), |row| read_action(row).map(Arc::new))?;
        let actors = keys().flat_map(|keys| [keys.actor, keys.impersonator]).flatten();
        load!(actors Actor actors, |row| read_party(row).map(Arc::new))?;
        let targets = keys().filter_map(|keys| keys.target);
        load!(targets Target targets, |row| read_target(row).map(Arc::new))?;
        load!(titles Title keys().filter_map(|keys| keys.title), read_text)?;
        load!(agents Agent keys().filter_map(|keys| keys.agent), read_text)
    }

    /// Turns a row into an event. The rows that it refers to must be in the cache.
    fn resolve(&self, raw: RawEvent) -> Result<Event> {
        let RawEvent { id, keys, .. } = raw;
        let tenant = get_row(&self.tenants, keys.tenant, id)?;
        macro_rules! event {
            ($($column:ident $field:ident $kind:ident,)*) => {
                Event {
                    log: None,
                    id,
                    event_id: raw.event_id,
                    occurred_at: raw.occurred_at,
                    recorded_at: raw.recorded_at,
                    recorded_by: get_row(&self.recorders, keys.recorder, id)?,
                    tenant: Some(tenant).filter(|text| !text.is_empty()),
                    source: raw.source,
                    severity: raw.severity,
                    action: get_row(&self.actions, keys.action, id)?,
                    title: get_optional_row(&self.titles, keys.title, id)?,
                    actor: get_optional_row(&self.actors, keys.actor, id)?,
                    impersonator: get_optional_row(&self.actors, keys.impersonator, id)?,
                    target: get_optional_row(&self.targets, keys.target, id)?,
                    user_agent: get_optional_row(&self.agents, keys.agent, id)?,
                    own: raw.own,
                    hash: raw.hash,
                    $($field: raw.values.$field,)*
                }
            };
        }
        Ok(layout::for_values!(event))
    }
}

/// Reads a row of `action`.
pub(super) fn read_action(row: &Row<'_>) -> Result<Action> {
    Ok(Action { slug: row.get("slug")?, module: optional_text(row, "module")? })
}

/// Reads a row of `actor`.
pub(super) fn read_party(row: &Row<'_>) -> Result<Party> {
    Ok(Party { id: optional_text(row, "id")?, label: optional_text(row, "label")? })
}

/// Reads a row of `target`.
pub(super) fn read_target(row: &Row<'_>) -> Result<Target> {
    Ok(Target {
        kind: optional_text(row, "type")?,
        id: optional_text(row, "id")?,
        label: optional_text(row, "label")?,
    })
}

/// Reads a text of a dimension: absent text is empty there.
pub(super) fn optional_text(row: &Row<'_>, column: &'static str) -> Result<Option<String>> {
    row.get(column).map(|text: String| Some(text).filter(|text| !text.is_empty()))
}

/// Reads the text of a dimension that has nothing else.
fn read_text(row: &Row<'_>) -> Result<Arc<str>> {
    row.get("text")
}

fn has<T: HeldText>(rows: &RecentRows<T>, key: Option<i64>) -> bool {
    key.is_none_or(|key| rows.get(key).is_some())
}

fn get_row<T: ?Sized>(rows: &RecentRows<Arc<T>>, key: i64, event: EventId) -> Result<Arc<T>>
where
    Arc<T>: HeldText,
{
    rows.get(key)
        .cloned()
        .ok_or_else(|| damage(format!("event {event} refers to a row that is not there")))
}

fn get_optional_row<T: ?Sized>(
    rows: &RecentRows<Arc<T>>,
    key: Option<i64>,
    event: EventId,
) -> Result<Option<Arc<T>>>
where
    Arc<T>: HeldText,
{
    key.map(|key| get_row(rows, key, event)).transpose()
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

/// The first and the last UUID with this prefix; `None` if no UUID has it.
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
