//! Finds the dimension rows of events by their texts, and adds those that are missing.
//!
//! ## Cost
//! The rows that were found or added are remembered, up to 6 MiB for each dimension, until another
//! connection writes or a transaction is rolled back.

use std::collections::HashMap;

use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Params;
use rusqlite::params;
use rusqlite::params_from_iter;

use crate::chain;
use crate::chain::RowSalt;
use crate::chain::Sha256Digest;
use crate::event::NewEvent;
use crate::store::sqlite::error;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::layout::ReferencedKeys;
use crate::text;

/// Random bytes, read from the system in larger pieces.
pub(super) struct RandomPool {
    system: SystemRandom,
    pool: [u8; 512],
    used: usize,
}

impl Default for RandomPool {
    fn default() -> Self {
        Self { system: SystemRandom::new(), pool: [0; 512], used: 512 }
    }
}

impl RandomPool {
    /// # Errors
    /// The system refuses random numbers.
    pub(super) fn bytes<const N: usize>(&mut self) -> rusqlite::Result<[u8; N]> {
        if self.used + N > self.pool.len() {
            self.system.fill(&mut self.pool).map_err(|_| error::no_random_numbers())?;
            self.used = 0;
        }
        let from = self.used;
        self.used += N;
        Ok(self.pool[from..self.used].try_into().expect("the piece is N bytes long"))
    }
}

/// The key of the row that stands for no tenant.
const NO_TENANT: i64 = 0;

/// A row that enters the chain by commitment.
#[derive(Clone, Copy)]
pub(super) struct SaltedRow {
    pub key: i64,
    pub digest: Sha256Digest,
}

/// The dimension rows of one event.
pub(super) struct EventDimensions {
    pub recorder: i64,
    pub tenant: i64,
    pub action: i64,
    pub actor: Option<SaltedRow>,
    pub impersonator: Option<SaltedRow>,
    pub target: Option<SaltedRow>,
    pub title: Option<i64>,
    pub agent: Option<SaltedRow>,
}

impl EventDimensions {
    pub(super) fn keys(&self) -> ReferencedKeys {
        ReferencedKeys {
            recorder: self.recorder,
            tenant: self.tenant,
            action: self.action,
            actor: self.actor.map(|row| row.key),
            impersonator: self.impersonator.map(|row| row.key),
            target: self.target.map(|row| row.key),
            title: self.title,
            agent: self.agent.map(|row| row.key),
        }
    }
}

/// The reason why a row was not returned.
enum InternError {
    /// The row is not remembered, and no connection was given to look further.
    NotCached,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for InternError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

type Result<T> = std::result::Result<T, InternError>;

/// Finds or adds the rows of events, and remembers them.
#[derive(Default)]
pub(super) struct Interner {
    pub random: RandomPool,
    cache: RowCache,
    /// A buffer for the cache key of a row with several texts.
    joined_texts: String,
}

/// The rows that were used, by their texts.
#[derive(Default)]
struct RowCache {
    recorders: RowsByText<i64>,
    tenants: RowsByText<i64>,
    actions: RowsByText<i64>,
    actors: RowsByText<SaltedRow>,
    targets: RowsByText<SaltedRow>,
    titles: RowsByText<i64>,
    agents: RowsByText<SaltedRow>,
}

impl Interner {
    /// Whether no row is remembered. Each event has a recorder, so the recorders tell.
    pub(super) fn is_empty(&self) -> bool {
        self.cache.recorders.rows.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.cache = RowCache::default();
    }

    /// The rows of an event, if all of them are remembered.
    pub(super) fn cached_rows(
        &mut self,
        event: &NewEvent,
        recorded_by: &str,
    ) -> Option<EventDimensions> {
        self.rows(None, event, recorded_by).ok()
    }

    /// The rows of an event; adds those that are missing.
    pub(super) fn intern(
        &mut self,
        connection: &Connection,
        event: &NewEvent,
        recorded_by: &str,
    ) -> rusqlite::Result<EventDimensions> {
        self.rows(Some(connection), event, recorded_by).map_err(|error| match error {
            InternError::Sqlite(error) => error,
            InternError::NotCached => unreachable!("with a connection a row is found or added"),
        })
    }

    fn rows(
        &mut self,
        connection: Option<&Connection>,
        event: &NewEvent,
        recorded_by: &str,
    ) -> Result<EventDimensions> {
        let tenant = event.tenant.as_deref().unwrap_or("");
        let module = event.module.as_deref().unwrap_or("");
        Ok(EventDimensions {
            recorder: self.recorder(connection, recorded_by)?,
            tenant: self.tenant(connection, tenant)?,
            action: self.action(connection, &event.action, module)?,
            actor: self.party(
                connection,
                non_empty(event.actor_id.as_deref()),
                non_empty(event.actor_label.as_deref()),
            )?,
            impersonator: self.party(
                connection,
                non_empty(event.impersonator_id.as_deref()),
                non_empty(event.impersonator_label.as_deref()),
            )?,
            target: self.target(connection, event)?,
            title: non_empty(event.title.as_deref())
                .map(|text| self.title(connection, text))
                .transpose()?,
            agent: non_empty(event.user_agent.as_deref())
                .map(|text| self.agent(connection, text))
                .transpose()?,
        })
    }

    fn recorder(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        self.cache.recorders.get_or_look_up(text, connection, |connection| {
            find_or_insert(connection, Dimension::Recorder, [text])
        })
    }

    fn tenant(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        if text.is_empty() {
            return Ok(NO_TENANT);
        }
        self.cache.tenants.get_or_look_up(text, connection, |connection| {
            find_or_insert(connection, Dimension::Tenant, [text])
        })
    }

    fn action(&mut self, connection: Option<&Connection>, slug: &str, module: &str) -> Result<i64> {
        join_texts(&mut self.joined_texts, [slug, module]);
        self.cache.actions.get_or_look_up(&self.joined_texts, connection, |connection| {
            find_or_insert(connection, Dimension::Action, [slug, module])
        })
    }

    fn title(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        self.cache.titles.get_or_look_up(text, connection, |connection| {
            match find_key(connection, Dimension::Title, [text])? {
                Some(key) => Ok(key),
                None => insert_row(connection, Dimension::Title, [text, &text::fold(text)]),
            }
        })
    }

    fn party(
        &mut self,
        connection: Option<&Connection>,
        id: Option<&str>,
        label: Option<&str>,
    ) -> Result<Option<SaltedRow>> {
        if id.or(label).is_none() {
            return Ok(None);
        }
        let texts = [id.unwrap_or(""), label.unwrap_or("")];
        join_texts(&mut self.joined_texts, texts);
        let random = &mut self.random;
        let row =
            self.cache.actors.get_or_look_up(&self.joined_texts, connection, |connection| {
                if let Some(row) = find_committed(connection, Dimension::Actor, texts)? {
                    return Ok(row);
                }
                let salt: RowSalt = random.bytes()?;
                let digest = chain::party_commitment(&salt, id, label);
                let [id, label] = texts;
                let row = params![id, label, text::fold(label), salt, digest];
                Ok(SaltedRow { key: insert_row(connection, Dimension::Actor, row)?, digest })
            })?;
        Ok(Some(row))
    }

    fn target(
        &mut self,
        connection: Option<&Connection>,
        event: &NewEvent,
    ) -> Result<Option<SaltedRow>> {
        let kind = non_empty(event.target_type.as_deref());
        let (id, label) =
            (non_empty(event.target_id.as_deref()), non_empty(event.target_label.as_deref()));
        if kind.or(id).or(label).is_none() {
            return Ok(None);
        }
        let texts = [kind.unwrap_or(""), id.unwrap_or(""), label.unwrap_or("")];
        join_texts(&mut self.joined_texts, texts);
        let random = &mut self.random;
        let row =
            self.cache.targets.get_or_look_up(&self.joined_texts, connection, |connection| {
                if let Some(row) = find_committed(connection, Dimension::Target, texts)? {
                    return Ok(row);
                }
                let salt: RowSalt = random.bytes()?;
                let digest = chain::target_commitment(&salt, id, label);
                let [kind, id, label] = texts;
                let row = params![kind, id, label, text::fold(label), salt, digest];
                Ok(SaltedRow { key: insert_row(connection, Dimension::Target, row)?, digest })
            })?;
        Ok(Some(row))
    }

    fn agent(&mut self, connection: Option<&Connection>, text: &str) -> Result<SaltedRow> {
        let random = &mut self.random;
        self.cache.agents.get_or_look_up(text, connection, |connection| {
            if let Some(row) = find_committed(connection, Dimension::Agent, [text])? {
                return Ok(row);
            }
            let salt: RowSalt = random.bytes()?;
            let digest = chain::agent_commitment(&salt, text);
            let row = params![text, salt, digest];
            Ok(SaltedRow { key: insert_row(connection, Dimension::Agent, row)?, digest })
        })
    }
}

/// The rows of one dimension by their texts.
struct RowsByText<T> {
    rows: HashMap<Box<str>, T>,
    bytes: usize,
}

impl<T> Default for RowsByText<T> {
    fn default() -> Self {
        Self { rows: HashMap::new(), bytes: 0 }
    }
}

impl<T: Copy> RowsByText<T> {
    /// The memory that one dimension may take, in bytes; a full one starts again from empty.
    const MAX_BYTES: usize = 6 << 20;
    /// The bytes that a row takes beside its texts, roughly.
    const ROW_OVERHEAD: usize = 96;

    fn get_or_look_up(
        &mut self,
        texts: &str,
        connection: Option<&Connection>,
        look_up: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if let Some(row) = self.rows.get(texts) {
            return Ok(*row);
        }
        let row = look_up(connection.ok_or(InternError::NotCached)?)?;
        if self.bytes > Self::MAX_BYTES {
            *self = Self::default();
        }
        self.bytes += texts.len() + Self::ROW_OVERHEAD;
        self.rows.insert(texts.into(), row);
        Ok(row)
    }
}

/// Writes several texts into one. Their lengths stand before them, so no two rows look alike.
fn join_texts<const N: usize>(joined: &mut String, texts: [&str; N]) {
    joined.clear();
    for text in texts {
        for byte in text.len().to_le_bytes() {
            joined.push(char::from(byte));
        }
        joined.push_str(text);
    }
}

/// Absent text is empty in a dimension.
fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// The key of the row with these texts, for dimensions that have nothing else.
fn find_or_insert<const N: usize>(
    connection: &Connection,
    dimension: Dimension,
    texts: [&str; N],
) -> rusqlite::Result<i64> {
    match find_key(connection, dimension, texts)? {
        Some(key) => Ok(key),
        None => insert_row(connection, dimension, params_from_iter(texts)),
    }
}

fn find_key<const N: usize>(
    connection: &Connection,
    dimension: Dimension,
    texts: [&str; N],
) -> rusqlite::Result<Option<i64>> {
    let mut find = connection.prepare_cached(dimension.statements().find)?;
    find.query_row(params_from_iter(texts), |row| row.get("key")).optional()
}

fn find_committed<const N: usize>(
    connection: &Connection,
    dimension: Dimension,
    texts: [&str; N],
) -> rusqlite::Result<Option<SaltedRow>> {
    let mut find = connection.prepare_cached(dimension.statements().find)?;
    find.query_row(params_from_iter(texts), |row| {
        Ok(SaltedRow { key: row.get("key")?, digest: row.get("digest")? })
    })
    .optional()
}

/// Adds a row and returns its key.
fn insert_row(
    connection: &Connection,
    dimension: Dimension,
    row: impl Params,
) -> rusqlite::Result<i64> {
    match connection.prepare_cached(dimension.statements().insert)?.execute(row)? {
        1 => Ok(connection.last_insert_rowid()),
        _ => Err(error::ignored_write("a row that events refer to")),
    }
}
