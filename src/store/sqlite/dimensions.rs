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
use rusqlite::Result;
use rusqlite::params;

use crate::chain;
use crate::chain::Digest;
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

/// A row that enters the chain by commitment.
#[derive(Clone, Copy)]
pub(super) struct Committed {
    pub key: i64,
    pub digest: Digest,
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
    pub(super) fn clear(&mut self) {
        self.recorders.clear();
        self.tenants.clear();
        self.actions.clear();
        self.actors.clear();
        self.targets.clear();
        self.titles.clear();
        self.agents.clear();
    }

    /// The rows of an event.
    pub(super) fn of(
        &mut self,
        connection: &Connection,
        event: &NewEvent,
        recorded_by: &str,
    ) -> Result<Rows> {
        let tenant = event.tenant.as_deref().unwrap_or("");
        let module = event.module.as_deref().unwrap_or("");
        let (actor_id, actor_label) = (given(&event.actor_id), given(&event.actor_label));
        let impersonator_id = given(&event.impersonator_id);
        let impersonator_label = given(&event.impersonator_label);
        Ok(Rows {
            recorder: self.recorder(connection, recorded_by)?,
            tenant: self.tenant(connection, tenant)?,
            action: self.action(connection, &event.action, module)?,
            actor: self.party(connection, actor_id, actor_label)?,
            impersonator: self.party(connection, impersonator_id, impersonator_label)?,
            target: self.target(connection, event)?,
            title: given(&event.title).map(|text| self.title(connection, text)).transpose()?,
            agent: given(&event.user_agent).map(|text| self.agent(connection, text)).transpose()?,
        })
    }

    fn recorder(&mut self, connection: &Connection, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM recorder WHERE text = ?1";
        const MAKE: &str = "INSERT INTO recorder (text) VALUES (?1)";
        self.recorders.find_or(text, || match key(connection, FIND, [text])? {
            Some(key) => Ok(key),
            None => make(connection, MAKE, [text]),
        })
    }

    fn tenant(&mut self, connection: &Connection, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM tenant WHERE text = ?1";
        const MAKE: &str = "INSERT INTO tenant (text) VALUES (?1)";
        self.tenants.find_or(text, || match key(connection, FIND, [text])? {
            Some(key) => Ok(key),
            None => make(connection, MAKE, [text]),
        })
    }

    fn action(&mut self, connection: &Connection, slug: &str, module: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM action WHERE slug = ?1 AND module = ?2";
        const MAKE: &str = "INSERT INTO action (slug, module) VALUES (?1, ?2)";
        put_together(&mut self.name, [slug, module]);
        self.actions.find_or(&self.name, || match key(connection, FIND, [slug, module])? {
            Some(key) => Ok(key),
            None => make(connection, MAKE, [slug, module]),
        })
    }

    fn title(&mut self, connection: &Connection, text: &str) -> Result<i64> {
        const FIND: &str = "SELECT key FROM title WHERE text = ?1";
        const MAKE: &str = "INSERT INTO title (text, folded) VALUES (?1, ?2)";
        self.titles.find_or(text, || match key(connection, FIND, [text])? {
            Some(key) => Ok(key),
            None => make(connection, MAKE, params![text, text::fold(text)]),
        })
    }

    fn party(
        &mut self,
        connection: &Connection,
        id: Option<&str>,
        label: Option<&str>,
    ) -> Result<Option<Committed>> {
        const FIND: &str = "SELECT key, digest FROM actor WHERE id = ?1 AND label = ?2";
        const MAKE: &str =
            "INSERT INTO actor (id, label, folded, salt, digest) VALUES (?1, ?2, ?3, ?4, ?5)";
        if id.or(label).is_none() {
            return Ok(None);
        }
        let texts = [id.unwrap_or(""), label.unwrap_or("")];
        put_together(&mut self.name, texts);
        let random = &mut self.random;
        let row = self.actors.find_or(&self.name, || {
            if let Some(row) = committed(connection, FIND, texts)? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::party(&salt, id, label);
            let [id, label] = texts;
            let row = params![id, label, text::fold(label), salt, digest];
            Ok(Committed { key: make(connection, MAKE, row)?, digest })
        })?;
        Ok(Some(row))
    }

    fn target(&mut self, connection: &Connection, event: &NewEvent) -> Result<Option<Committed>> {
        const FIND: &str =
            "SELECT key, digest FROM target WHERE type = ?1 AND id = ?2 AND label = ?3";
        const MAKE: &str = "INSERT INTO target (type, id, label, folded, salt, digest) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let kind = given(&event.target_type);
        let (id, label) = (given(&event.target_id), given(&event.target_label));
        if kind.or(id).or(label).is_none() {
            return Ok(None);
        }
        let texts = [kind.unwrap_or(""), id.unwrap_or(""), label.unwrap_or("")];
        put_together(&mut self.name, texts);
        let random = &mut self.random;
        let row = self.targets.find_or(&self.name, || {
            if let Some(row) = committed(connection, FIND, texts)? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::target(&salt, id, label);
            let [kind, id, label] = texts;
            let row = params![kind, id, label, text::fold(label), salt, digest];
            Ok(Committed { key: make(connection, MAKE, row)?, digest })
        })?;
        Ok(Some(row))
    }

    fn agent(&mut self, connection: &Connection, text: &str) -> Result<Committed> {
        const FIND: &str = "SELECT key, digest FROM agent WHERE text = ?1";
        const MAKE: &str = "INSERT INTO agent (text, salt, digest) VALUES (?1, ?2, ?3)";
        let random = &mut self.random;
        self.agents.find_or(text, || {
            if let Some(row) = committed(connection, FIND, [text])? {
                return Ok(row);
            }
            let salt = random.bytes();
            let digest = chain::agent(&salt, text);
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

    fn find_or(&mut self, name: &str, look: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some(row) = self.rows.get(name) {
            return Ok(*row);
        }
        let row = look()?;
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
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn key(connection: &Connection, sql: &'static str, texts: impl Params) -> Result<Option<i64>> {
    connection.prepare_cached(sql)?.query_row(texts, |row| row.get(0)).optional()
}

fn committed(
    connection: &Connection,
    sql: &'static str,
    texts: impl Params,
) -> Result<Option<Committed>> {
    let read = |row: &rusqlite::Row<'_>| Ok(Committed { key: row.get(0)?, digest: row.get(1)? });
    connection.prepare_cached(sql)?.query_row(texts, read).optional()
}

/// Makes a row and gives its key.
fn make(connection: &Connection, sql: &'static str, row: impl Params) -> Result<i64> {
    match connection.prepare_cached(sql)?.execute(row)? {
        1 => Ok(connection.last_insert_rowid()),
        _ => Err(error::refused("a row that events refer to")),
    }
}
