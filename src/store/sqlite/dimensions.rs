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
pub(super) struct Random {
    system: SystemRandom,
    pool: [u8; 512],
    used: usize,
}

impl Default for Random {
    fn default() -> Self {
        Self { system: SystemRandom::new(), pool: [0; 512], used: 512 }
    }
}

impl Random {
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
pub(super) struct Committed {
    pub key: i64,
    pub digest: Sha256Digest,
}

/// The rows of one event.
pub(super) struct Rows {
    pub recorder: i64,
    pub tenant: i64,
    pub action: i64,
    pub actor: Option<Committed>,
    pub impersonator: Option<Committed>,
    pub target: Option<Committed>,
    pub title: Option<i64>,
    pub agent: Option<Committed>,
}

/// Why there is no row.
enum Miss {
    /// It is not remembered, and no connection was given to look further.
    Forgotten,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Miss {
    fn from(why: rusqlite::Error) -> Self {
        Self::Sqlite(why)
    }
}

type Result<T> = std::result::Result<T, Miss>;

/// The rows that were used, by their texts.
#[derive(Default)]
pub(super) struct Keys {
    pub random: Random,
    recorders: Shelf<i64>,
    tenants: Shelf<i64>,
    actions: Shelf<i64>,
    actors: Shelf<Committed>,
    targets: Shelf<Committed>,
    titles: Shelf<i64>,
    agents: Shelf<Committed>,
    /// Where the name of a row with several texts is put together.
    name: String,
}

impl Keys {
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
    pub(super) fn remembered(&mut self, event: &NewEvent, recorded_by: &str) -> Option<Rows> {
        self.rows(None, event, recorded_by).ok()
    }

    /// The rows of an event; makes those that are not there.
    pub(super) fn found_or_made(
        &mut self,
        connection: &Connection,
        event: &NewEvent,
        recorded_by: &str,
    ) -> rusqlite::Result<Rows> {
        self.rows(Some(connection), event, recorded_by).map_err(|miss| match miss {
            Miss::Sqlite(why) => why,
            Miss::Forgotten => unreachable!("with a connection a row is found or made"),
        })
    }

    fn rows(
        &mut self,
        connection: Option<&Connection>,
        event: &NewEvent,
        recorded_by: &str,
    ) -> Result<Rows> {
        let tenant = event.tenant.as_deref().unwrap_or("");
        let module = event.module.as_deref().unwrap_or("");
        let (actor_id, actor_label) =
            (given(event.actor_id.as_deref()), given(event.actor_label.as_deref()));
        let impersonator_id = given(event.impersonator_id.as_deref());
        let impersonator_label = given(event.impersonator_label.as_deref());
        Ok(Rows {
            recorder: self.recorder(connection, recorded_by)?,
            tenant: self.tenant(connection, tenant)?,
            action: self.action(connection, &event.action, module)?,
            actor: self.party(connection, actor_id, actor_label)?,
            impersonator: self.party(connection, impersonator_id, impersonator_label)?,
            target: self.target(connection, event)?,
            title: given(event.title.as_deref())
                .map(|text| self.title(connection, text))
                .transpose()?,
            agent: given(event.user_agent.as_deref())
                .map(|text| self.agent(connection, text))
                .transpose()?,
        })
    }

    fn recorder(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM recorder WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO recorder (text) VALUES (?1)";
        self.recorders.find_or(text, connection, |connection| {
            match key(connection, FIND, [text])? {
                Some(key) => Ok(key),
                None => make(connection, MAKE, [text]),
            }
        })
    }

    fn tenant(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM tenant WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO tenant (text) VALUES (?1)";
        if text.is_empty() {
            return Ok(NO_TENANT);
        }
        self.tenants.find_or(text, connection, |connection| match key(connection, FIND, [text])? {
            Some(key) => Ok(key),
            None => make(connection, MAKE, [text]),
        })
    }

    fn action(&mut self, connection: Option<&Connection>, slug: &str, module: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM action WHERE slug = ?1 AND module = ?2";
        const MAKE: &str = "INSERT OR ROLLBACK INTO action (slug, module) VALUES (?1, ?2)";
        put_together(&mut self.name, [slug, module]);
        self.actions.find_or(&self.name, connection, |connection| {
            match key(connection, FIND, [slug, module])? {
                Some(key) => Ok(key),
                None => make(connection, MAKE, [slug, module]),
            }
        })
    }

    fn title(&mut self, connection: Option<&Connection>, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM title WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO title (text, folded) VALUES (?1, ?2)";
        self.titles.find_or(text, connection, |connection| match key(connection, FIND, [text])? {
            Some(key) => Ok(key),
            None => make(connection, MAKE, params![text, text::fold(text)]),
        })
    }

    fn party(
        &mut self,
        connection: Option<&Connection>,
        id: Option<&str>,
        label: Option<&str>,
    ) -> Result<Option<Committed>> {
        const FIND: &str = "SELECT key, digest FROM actor WHERE id = ?1 AND label = ?2";
        const MAKE: &str = "INSERT OR ROLLBACK INTO actor (id, label, folded, salt, digest) VALUES (?1, ?2, ?3, ?4, ?5)";
        if id.or(label).is_none() {
            return Ok(None);
        }
        let texts = [id.unwrap_or(""), label.unwrap_or("")];
        put_together(&mut self.name, texts);
        let random = &mut self.random;
        let row = self.actors.find_or(&self.name, connection, |connection| {
            if let Some(row) = committed(connection, FIND, texts)? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::party_commitment(&salt, id, label);
            let [id, label] = texts;
            let row = params![id, label, text::fold(label), salt, digest];
            Ok(Committed { key: make(connection, MAKE, row)?, digest })
        })?;
        Ok(Some(row))
    }

    fn target(
        &mut self,
        connection: Option<&Connection>,
        event: &NewEvent,
    ) -> Result<Option<Committed>> {
        const FIND: &str =
            "SELECT key, digest FROM target WHERE type = ?1 AND id = ?2 AND label = ?3";
        const MAKE: &str = "INSERT OR ROLLBACK INTO target (type, id, label, folded, salt, digest) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let kind = given(event.target_type.as_deref());
        let (id, label) = (given(event.target_id.as_deref()), given(event.target_label.as_deref()));
        if kind.or(id).or(label).is_none() {
            return Ok(None);
        }
        let texts = [kind.unwrap_or(""), id.unwrap_or(""), label.unwrap_or("")];
        put_together(&mut self.name, texts);
        let random = &mut self.random;
        let row = self.targets.find_or(&self.name, connection, |connection| {
            if let Some(row) = committed(connection, FIND, texts)? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::target_commitment(&salt, id, label);
            let [kind, id, label] = texts;
            let row = params![kind, id, label, text::fold(label), salt, digest];
            Ok(Committed { key: make(connection, MAKE, row)?, digest })
        })?;
        Ok(Some(row))
    }

    fn agent(&mut self, connection: Option<&Connection>, text: &str) -> Result<Committed> {
        const FIND: &str = "SELECT key, digest FROM agent WHERE text = ?1";
        const MAKE: &str = "INSERT OR ROLLBACK INTO agent (text, salt, digest) VALUES (?1, ?2, ?3)";
        let random = &mut self.random;
        self.agents.find_or(text, connection, |connection| {
            if let Some(row) = committed(connection, FIND, [text])? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::agent_commitment(&salt, text);
            Ok(Committed { key: make(connection, MAKE, params![text, salt, digest])?, digest })
        })
    }
}

/// The rows of one dimension by their texts.
struct Shelf<T> {
    rows: HashMap<Box<str>, T>,
    bytes: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { rows: HashMap::new(), bytes: 0 }
    }
}

impl<T: Copy> Shelf<T> {
    /// How much one dimension may remember, in bytes, before it begins anew.
    const FULL: usize = 16 << 20;
    /// What a row takes beside its texts, about.
    const ROW: usize = 96;

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn find_or(
        &mut self,
        name: &str,
        connection: Option<&Connection>,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if let Some(row) = self.rows.get(name) {
            return Ok(*row);
        }
        let row = look(connection.ok_or(Miss::Forgotten)?)?;
        if self.bytes > Self::FULL {
            self.clear();
        }
        self.bytes += name.len() + Self::ROW;
        self.rows.insert(name.into(), row);
        Ok(row)
    }
}

/// One name for several texts: the lengths tell where each ends.
fn put_together<const N: usize>(name: &mut String, texts: [&str; N]) {
    name.clear();
    for text in texts {
        for byte in text.len().to_le_bytes() {
            name.push(char::from(byte));
        }
        name.push_str(text);
    }
}

/// Absent text is empty in a dimension.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn key(
    connection: &Connection,
    sql: &'static str,
    texts: impl Params,
) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(sql)?.query_row(texts, |row| row.get(0)).optional()
}

fn committed(
    connection: &Connection,
    sql: &'static str,
    texts: impl Params,
) -> rusqlite::Result<Option<Committed>> {
    let read = |row: &rusqlite::Row<'_>| Ok(Committed { key: row.get(0)?, digest: row.get(1)? });
    connection.prepare_cached(sql)?.query_row(texts, read).optional()
}

/// Makes a row and gives its key.
fn make(connection: &Connection, sql: &'static str, row: impl Params) -> rusqlite::Result<i64> {
    match connection.prepare_cached(sql)?.execute(row)? {
        1 => Ok(connection.last_insert_rowid()),
        _ => Err(error::refused("a row that events refer to")),
    }
}
