//! The rows that events refer to: finds them by their texts, and makes those that are not there.
//!
//! What was found or made is remembered, within bounds, until another connection writes or a
//! transaction is rolled back.

use std::collections::HashMap;

use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Params;
use rusqlite::params;

use crate::chain;
use crate::chain::Sha256Digest;
use crate::event::NewEvent;
use crate::store::sqlite::error;
use crate::text;

/// Random bytes, asked for in larger pieces.
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
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > self.pool.len() {
            self.system.fill(&mut self.pool).expect("the system gives random bytes");
            self.used = 0;
        }
        let from = self.used;
        self.used += N;
        self.pool[from..self.used].try_into().expect("the piece is N bytes long")
    }
}

/// The key of the row that is there from the beginning.
const NO_TENANT: i64 = 0;

/// A row that enters the chain by commitment.
#[derive(Clone, Copy)]
pub(super) struct CommittedRow {
    pub key: i64,
    pub digest: Sha256Digest,
}

/// The rows of one event.
pub(super) struct DimensionKeys {
    pub recorder: i64,
    pub tenant: i64,
    pub action: i64,
    pub actor: Option<CommittedRow>,
    pub impersonator: Option<CommittedRow>,
    pub target: Option<CommittedRow>,
    pub title: Option<i64>,
    pub agent: Option<CommittedRow>,
}

/// Why there is no row.
enum InternError {
    /// It is not remembered, and no connection was given to look further.
    NotCached,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for InternError {
    fn from(why: rusqlite::Error) -> Self {
        Self::Sqlite(why)
    }
}

type Result<T> = std::result::Result<T, InternError>;

/// The rows that were used, by their texts.
#[derive(Default)]
pub(super) struct Interner {
    pub random: RandomPool,
    recorders: RowsByText<i64>,
    tenants: RowsByText<i64>,
    actions: RowsByText<i64>,
    actors: RowsByText<CommittedRow>,
    targets: RowsByText<CommittedRow>,
    titles: RowsByText<i64>,
    agents: RowsByText<CommittedRow>,
    /// Where the name of a row with several texts is put together.
    joined_texts: String,
}

impl Interner {
    /// Whether nothing is remembered: each event has a recorder.
    pub(super) fn is_empty(&self) -> bool {
        self.recorders.rows.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.recorders.clear();
        self.tenants.clear();
        self.actions.clear();
        self.actors.clear();
        self.targets.clear();
        self.titles.clear();
        self.agents.clear();
    }

    /// The rows of an event, when all of them are remembered.
    pub(super) fn cached_keys(
        &mut self,
        event: &NewEvent,
        recorded_by: &str,
    ) -> Option<DimensionKeys> {
        self.dimension_keys(None, event, recorded_by).ok()
    }

    /// The rows of an event; makes those that are not there.
    pub(super) fn intern(
        &mut self,
        connection: &Connection,
        event: &NewEvent,
        recorded_by: &str,
    ) -> rusqlite::Result<DimensionKeys> {
        self.dimension_keys(Some(connection), event, recorded_by).map_err(|miss| match miss {
            InternError::Sqlite(why) => why,
            InternError::NotCached => unreachable!("with a connection a row is found or made"),
        })
    }

    fn dimension_keys(
        &mut self,
        connection: Option<&Connection>,
        event: &NewEvent,
        recorded_by: &str,
    ) -> Result<DimensionKeys> {
        let tenant = event.tenant.as_deref().unwrap_or("");
        let module = event.module.as_deref().unwrap_or("");
        let (actor_id, actor_label) =
            (non_empty(event.actor_id.as_deref()), non_empty(event.actor_label.as_deref()));
        let impersonator_id = non_empty(event.impersonator_id.as_deref());
        let impersonator_label = non_empty(event.impersonator_label.as_deref());
        Ok(DimensionKeys {
            recorder: self.recorder(connection, recorded_by)?,
            tenant: self.tenant(connection, tenant)?,
            action: self.action(connection, &event.action, module)?,
            actor: self.party(connection, actor_id, actor_label)?,
            impersonator: self.party(connection, impersonator_id, impersonator_label)?,
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
        const FIND: &str = "SELECT key FROM recorder WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO recorder (text) VALUES (?1)";
        self.recorders.get_or_look_up(text, connection, |connection| {
            match find_key(connection, FIND, [text])? {
                Some(key) => Ok(key),
                None => insert_row(connection, MAKE, [text]),
            }
        })
    }

    fn tenant(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM tenant WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO tenant (text) VALUES (?1)";
        if text.is_empty() {
            return Ok(NO_TENANT);
        }
        self.tenants.get_or_look_up(text, connection, |connection| {
            match find_key(connection, FIND, [text])? {
                Some(key) => Ok(key),
                None => insert_row(connection, MAKE, [text]),
            }
        })
    }

    fn action(&mut self, connection: Option<&Connection>, slug: &str, module: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM action WHERE slug = ?1 AND module = ?2";
        const MAKE: &str = "INSERT OR ROLLBACK INTO action (slug, module) VALUES (?1, ?2)";
        join_texts(&mut self.joined_texts, [slug, module]);
        self.actions.get_or_look_up(&self.joined_texts, connection, |connection| {
            match find_key(connection, FIND, [slug, module])? {
                Some(key) => Ok(key),
                None => insert_row(connection, MAKE, [slug, module]),
            }
        })
    }

    fn title(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM title WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO title (text, folded) VALUES (?1, ?2)";
        self.titles.get_or_look_up(text, connection, |connection| {
            match find_key(connection, FIND, [text])? {
                Some(key) => Ok(key),
                None => insert_row(connection, MAKE, params![text, text::fold(text)]),
            }
        })
    }

    fn party(
        &mut self,
        connection: Option<&Connection>,
        id: Option<&str>,
        label: Option<&str>,
    ) -> Result<Option<CommittedRow>> {
        const FIND: &str = "SELECT key, digest FROM actor WHERE id = ?1 AND label = ?2";
        const MAKE: &str = "INSERT OR ROLLBACK INTO actor (id, label, folded, salt, digest) VALUES (?1, ?2, ?3, ?4, ?5)";
        if id.or(label).is_none() {
            return Ok(None);
        }
        let texts = [id.unwrap_or(""), label.unwrap_or("")];
        join_texts(&mut self.joined_texts, texts);
        let random = &mut self.random;
        let row = self.actors.get_or_look_up(&self.joined_texts, connection, |connection| {
            if let Some(row) = find_committed(connection, FIND, texts)? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::party_commitment(&salt, id, label);
            let [id, label] = texts;
            let row = params![id, label, text::fold(label), salt, digest];
            Ok(CommittedRow { key: insert_row(connection, MAKE, row)?, digest })
        })?;
        Ok(Some(row))
    }

    fn target(
        &mut self,
        connection: Option<&Connection>,
        event: &NewEvent,
    ) -> Result<Option<CommittedRow>> {
        const FIND: &str =
            "SELECT key, digest FROM target WHERE type = ?1 AND id = ?2 AND label = ?3";
        const MAKE: &str = "INSERT OR ROLLBACK INTO target (type, id, label, folded, salt, digest) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let kind = non_empty(event.target_type.as_deref());
        let (id, label) =
            (non_empty(event.target_id.as_deref()), non_empty(event.target_label.as_deref()));
        if kind.or(id).or(label).is_none() {
            return Ok(None);
        }
        let texts = [kind.unwrap_or(""), id.unwrap_or(""), label.unwrap_or("")];
        join_texts(&mut self.joined_texts, texts);
        let random = &mut self.random;
        let row = self.targets.get_or_look_up(&self.joined_texts, connection, |connection| {
            if let Some(row) = find_committed(connection, FIND, texts)? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::target_commitment(&salt, id, label);
            let [kind, id, label] = texts;
            let row = params![kind, id, label, text::fold(label), salt, digest];
            Ok(CommittedRow { key: insert_row(connection, MAKE, row)?, digest })
        })?;
        Ok(Some(row))
    }

    fn agent(&mut self, connection: Option<&Connection>, text: &str) -> Result<CommittedRow> {
        const FIND: &str = "SELECT key, digest FROM agent WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO agent (text, salt, digest) VALUES (?1, ?2, ?3)";
        let random = &mut self.random;
        self.agents.get_or_look_up(text, connection, |connection| {
            if let Some(row) = find_committed(connection, FIND, [text])? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::agent_commitment(&salt, text);
            Ok(CommittedRow {
                key: insert_row(connection, MAKE, params![text, salt, digest])?,
                digest,
            })
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
    /// How much one dimension may remember, in bytes, before it begins anew.
    const MAX_BYTES: usize = 16 << 20;
    /// What a row takes beside its texts, about.
    const ROW_OVERHEAD: usize = 96;

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn get_or_look_up(
        &mut self,
        name: &str,
        connection: Option<&Connection>,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if let Some(row) = self.rows.get(name) {
            return Ok(*row);
        }
        let row = look(connection.ok_or(InternError::NotCached)?)?;
        if self.bytes > Self::MAX_BYTES {
            self.clear();
        }
        self.bytes += name.len() + Self::ROW_OVERHEAD;
        self.rows.insert(name.into(), row);
        Ok(row)
    }
}

/// One name for several texts: the lengths tell where each ends.
fn join_texts<const N: usize>(name: &mut String, texts: [&str; N]) {
    name.clear();
    for text in texts {
        for byte in text.len().to_le_bytes() {
            name.push(char::from(byte));
        }
        name.push_str(text);
    }
}

/// Absent text is empty in a dimension.
fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn find_key(
    connection: &Connection,
    sql: &'static str,
    texts: impl Params,
) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(sql)?.query_row(texts, |row| row.get(0)).optional()
}

fn find_committed(
    connection: &Connection,
    sql: &'static str,
    texts: impl Params,
) -> rusqlite::Result<Option<CommittedRow>> {
    let read = |row: &rusqlite::Row<'_>| Ok(CommittedRow { key: row.get(0)?, digest: row.get(1)? });
    connection.prepare_cached(sql)?.query_row(texts, read).optional()
}

/// Makes a row and gives its key.
fn insert_row(
    connection: &Connection,
    sql: &'static str,
    row: impl Params,
) -> rusqlite::Result<i64> {
    match connection.prepare_cached(sql)?.execute(row)? {
        1 => Ok(connection.last_insert_rowid()),
        _ => Err(error::ignored_write("a row that events refer to")),
    }
}
