//! Removes the rows of the dimensions that no event refers to any more.
//!
//! Whether one is in use is found out in reads; the transaction that deletes only asks again what
//! may have changed since. For most of them an index answers. For user agents and recorders there is
//! none: events are walked through once, the newest first, until all that are asked about were met.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Row;

use crate::store::sqlite::Sqlite;
use crate::store::sqlite::sweep::ROWS;
use crate::store::sqlite::sweep::limit;
use crate::store::sqlite::sweep::reserve::Sweeping;
use crate::store::sweep::Ids;
use crate::store::sweep::Suspects;

/// So many events are looked at in one read.
const PAGE: usize = 4_000;
/// So many that came meanwhile may be looked at in a transaction that writes.
const FEW: usize = 500;

/// A dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tenant,
    Action,
    Actor,
    Target,
    Title,
    Recorder,
    Agent,
}

/// The rows that removed events referred to.
#[derive(Default)]
pub(super) struct Referred([Ids; 7]);

impl Referred {
    pub(super) fn insert(&mut self, kind: Kind, key: i64) {
        self.0[kind as usize].insert(key);
    }

    fn take(&mut self, kind: Kind) -> Ids {
        std::mem::take(&mut self.0[kind as usize])
    }
}

/// Statements on a dimension that an index leads to from an event.
struct Indexed {
    kind: Kind,
    all: &'static str,
    unused: &'static str,
    delete: &'static str,
}

macro_rules! all {
    ($table:literal) => {
        concat!("SELECT key FROM ", $table, " WHERE key > ?1 ORDER BY key LIMIT ?2")
    };
}

macro_rules! indexed {
    ($kind:expr, $table:literal, $refers:literal) => {
        Indexed {
            kind: $kind,
            all: all!($table),
            unused: concat!(
                "SELECT d.key FROM json_each(?1) AS k CROSS JOIN ",
                $table,
                " AS d ON d.key = k.value WHERE NOT EXISTS (SELECT 1 FROM event WHERE ",
                $refers,
                ")"
            ),
            // A refusal by the trigger would end the transaction, so it is asked before.
            delete: concat!(
                "DELETE FROM ",
                $table,
                " AS d WHERE d.key = ?1 AND NOT EXISTS (SELECT 1 FROM event WHERE ",
                $refers,
                ")"
            ),
        }
    };
}

static INDEXED: [Indexed; 5] = [
    indexed!(Kind::Tenant, "tenant", "event.tenant = d.key"),
    indexed!(Kind::Action, "action", "event.action = d.key"),
    indexed!(Kind::Actor, "actor", "event.actor = d.key OR event.impersonator = d.key"),
    indexed!(Kind::Target, "target", "event.target = d.key"),
    indexed!(Kind::Title, "title", "event.title = d.key"),
];

impl Sqlite {
    /// Removes what nothing refers to; tells whether that is all.
    pub(super) fn remove_unused(
        &mut self,
        sweeping: &mut Sweeping,
        suspects: Suspects,
        mut referred: Referred,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        for dimension in &INDEXED {
            let mut suspected = match suspects {
                Suspects::Referred => referred.take(dimension.kind),
                Suspects::All => self.all(dimension.all)?,
            };
            if dimension.kind == Kind::Tenant {
                // No tenant is no row to remove.
                suspected.remove(0);
            }
            let keys: Vec<i64> = suspected.iter().collect();
            for keys in keys.chunks(ROWS) {
                if !go_on() {
                    return Ok(false);
                }
                self.remove_indexed(sweeping, dimension, keys)?;
            }
        }
        let (agents, recorders) = match suspects {
            Suspects::Referred => (referred.take(Kind::Agent), referred.take(Kind::Recorder)),
            Suspects::All => (self.all(all!("agent"))?, self.all(all!("recorder"))?),
        };
        self.remove_unindexed(sweeping, Unmet { agents, recorders }, go_on)
    }

    /// The keys of a whole dimension.
    fn all(&self, sql: &'static str) -> Result<Ids> {
        let mut keys = Ids::default();
        let mut after = i64::MIN;
        loop {
            let page: Vec<i64> = self.read_in_snapshot(|connection| {
                let mut statement = connection.prepare_cached(sql)?;
                statement.query_map([after, limit(PAGE)], |row| row.get(0))?.collect()
            })?;
            let Some(last) = page.last() else { return Ok(keys) };
            after = *last;
            for key in page {
                keys.insert(key);
            }
        }
    }

    fn remove_indexed(
        &mut self,
        sweeping: &mut Sweeping,
        dimension: &Indexed,
        keys: &[i64],
    ) -> Result<()> {
        let list: Vec<String> = keys.iter().map(i64::to_string).collect();
        let list = format!("[{}]", list.join(","));
        let unused: Vec<i64> = self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(dimension.unused)?;
            statement.query_map([&list], |row| row.get(0))?.collect()
        })?;
        if unused.is_empty() {
            return Ok(());
        }
        self.batch(sweeping, |connection| {
            let mut delete = connection.prepare_cached(dimension.delete)?;
            unused.iter().try_for_each(|key| delete.execute([key]).map(drop))
        })?;
        self.clear_caches();
        Ok(())
    }

    fn remove_unindexed(
        &mut self,
        sweeping: &mut Sweeping,
        mut unmet: Unmet,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        const OLDER: &str =
            "SELECT id, agent, recorder FROM event WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        let (head, _) = self.head()?;
        let mut before = head.0.saturating_add(1);
        while !unmet.is_empty() {
            if !go_on() {
                return Ok(false);
            }
            let page =
                self.read_in_snapshot(|connection| references(connection, OLDER, before, PAGE))?;
            let Some(last) = page.last() else { break };
            before = last.id;
            page.iter().for_each(|reference| unmet.meet(reference));
        }
        let mut known = head.0;
        while !unmet.is_empty() {
            if !go_on() {
                return Ok(false);
            }
            // What came meanwhile, but for the last of it, is looked at outside of the transaction.
            let page =
                self.read_in_snapshot(|connection| references(connection, NEWER, known, PAGE))?;
            if let Some(last) = page.last() {
                known = last.id;
                page.iter().for_each(|reference| unmet.meet(reference));
                if page.len() > FEW {
                    continue;
                }
            }
            let next = unmet.some();
            let (removed, _) = self.batch(sweeping, |connection| take(connection, known, &next))?;
            if removed {
                unmet.without(&next);
                self.clear_caches();
            }
        }
        Ok(true)
    }
}

const NEWER: &str = "SELECT id, agent, recorder FROM event WHERE id > ?1 ORDER BY id LIMIT ?2";

/// What an event refers to without an index.
struct Reference {
    id: i64,
    agent: Option<i64>,
    recorder: i64,
}

fn references(
    connection: &Connection,
    sql: &'static str,
    from: i64,
    most: usize,
) -> rusqlite::Result<Vec<Reference>> {
    let read = |row: &Row<'_>| {
        Ok(Reference { id: row.get(0)?, agent: row.get(1)?, recorder: row.get(2)? })
    };
    connection.prepare_cached(sql)?.query_map([from, limit(most)], read)?.collect()
}

/// Rows that no event was met to refer to.
#[derive(Default)]
struct Unmet {
    agents: Ids,
    recorders: Ids,
}

impl Unmet {
    fn is_empty(&self) -> bool {
        self.agents.is_empty() && self.recorders.is_empty()
    }

    fn meet(&mut self, reference: &Reference) {
        if let Some(agent) = reference.agent {
            self.agents.remove(agent);
        }
        self.recorders.remove(reference.recorder);
    }

    /// As many as go in one transaction.
    fn some(&self) -> Self {
        let some = |ids: &Ids| ids.iter().take(ROWS).collect();
        Self { agents: some(&self.agents), recorders: some(&self.recorders) }
    }

    fn without(&mut self, others: &Self) {
        others.agents.iter().for_each(|agent| self.agents.remove(agent));
        others.recorders.iter().for_each(|recorder| self.recorders.remove(recorder));
    }
}

/// Deletes these rows, but those that events behind `known` refer to. `false`, and nothing was
/// deleted, where too many came to look at here.
fn take(connection: &Connection, known: i64, unmet: &Unmet) -> rusqlite::Result<bool> {
    const NOTE: &str = "INSERT INTO unused (kind, key) VALUES (?1, ?2)";
    let newer = references(connection, NEWER, known, FEW + 1)?;
    if newer.len() > FEW {
        return Ok(false);
    }
    let used_agents: Vec<i64> = newer.iter().filter_map(|reference| reference.agent).collect();
    let used_recorders: Vec<i64> = newer.iter().map(|reference| reference.recorder).collect();
    for (kind, ids, used, delete) in [
        ("agent", &unmet.agents, used_agents, "DELETE FROM agent WHERE key = ?1"),
        ("recorder", &unmet.recorders, used_recorders, "DELETE FROM recorder WHERE key = ?1"),
    ] {
        let mut note = connection.prepare_cached(NOTE)?;
        let mut delete = connection.prepare_cached(delete)?;
        for key in ids.iter().filter(|key| !used.contains(key)) {
            note.execute((kind, key))?;
            delete.execute([key])?;
        }
    }
    connection.execute("DELETE FROM unused", [])?;
    Ok(true)
}
