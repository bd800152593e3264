//! Removes the rows of the dimensions that no event refers to any more.
//!
//! Whether one is in use is found out in reads; the transaction that deletes only asks again what
//! may have changed since. For most of them an index answers. For user agents and recorders there is
//! none: events are walked through once, the newest first, until all that are asked about were met.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Row;

use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::sweep::ROWS_PER_BATCH;
use crate::store::sqlite::sweep::reserve::SweepLock;
use crate::store::sqlite::sweep::sql_limit;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::IdSet;

/// So many events are looked at in one read.
const EVENTS_PER_READ: usize = 4_000;
/// So many that came meanwhile may be looked at in a transaction that writes.
const MAX_NEW_EVENTS: usize = 500;

/// A dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DimensionKind {
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
pub(super) struct ReferencedRows([IdSet; 7]);

impl ReferencedRows {
    pub(super) fn insert(&mut self, kind: DimensionKind, key: i64) {
        self.0[kind as usize].insert(key);
    }

    fn take(&mut self, kind: DimensionKind) -> IdSet {
        std::mem::take(&mut self.0[kind as usize])
    }
}

/// Statements on a dimension that an index leads to from an event.
struct IndexedDimension {
    kind: DimensionKind,
    select_keys: &'static str,
    select_unused: &'static str,
    delete_unused: &'static str,
}

macro_rules! select_keys_sql {
    ($table:literal) => {
        concat!("SELECT key FROM ", $table, " WHERE key > ?1 ORDER BY key LIMIT ?2")
    };
}

macro_rules! indexed_dimension {
    ($kind:expr, $table:literal, $refers:literal) => {
        IndexedDimension {
            kind: $kind,
            select_keys: select_keys_sql!($table),
            select_unused: concat!(
                "SELECT d.key FROM json_each(?1) AS k CROSS JOIN ",
                $table,
                " AS d ON d.key = k.value WHERE NOT EXISTS (SELECT 1 FROM event WHERE ",
                $refers,
                ")"
            ),
            // A refusal by the trigger would end the transaction, so it is asked before.
            delete_unused: concat!(
                "DELETE FROM ",
                $table,
                " AS d WHERE d.key = ?1 AND NOT EXISTS (SELECT 1 FROM event WHERE ",
                $refers,
                ")"
            ),
        }
    };
}

static INDEXED_DIMENSIONS: [IndexedDimension; 5] = [
    indexed_dimension!(DimensionKind::Tenant, "tenant", "event.tenant = d.key"),
    indexed_dimension!(DimensionKind::Action, "action", "event.action = d.key"),
    indexed_dimension!(
        DimensionKind::Actor,
        "actor",
        "event.actor = d.key OR event.impersonator = d.key"
    ),
    indexed_dimension!(DimensionKind::Target, "target", "event.target = d.key"),
    indexed_dimension!(DimensionKind::Title, "title", "event.title = d.key"),
];

impl Sqlite {
    /// Removes what nothing refers to; tells whether that is all.
    pub(super) fn remove_unused(
        &mut self,
        sweeping: &mut SweepLock,
        suspects: CleanupScope,
        mut referred: ReferencedRows,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        for dimension in &INDEXED_DIMENSIONS {
            let mut suspected = match suspects {
                CleanupScope::RemovedEvents => referred.take(dimension.kind),
                CleanupScope::AllRows => self.dimension_keys(dimension.select_keys)?,
            };
            if dimension.kind == DimensionKind::Tenant {
                // No tenant is no row to remove.
                suspected.remove(0);
            }
            let keys: Vec<i64> = suspected.iter().collect();
            for keys in keys.chunks(ROWS_PER_BATCH) {
                if !go_on() {
                    return Ok(false);
                }
                self.remove_indexed(sweeping, dimension, keys)?;
            }
        }
        let (agents, recorders) = match suspects {
            CleanupScope::RemovedEvents => {
                (referred.take(DimensionKind::Agent), referred.take(DimensionKind::Recorder))
            }
            CleanupScope::AllRows => (
                self.dimension_keys(select_keys_sql!("agent"))?,
                self.dimension_keys(select_keys_sql!("recorder"))?,
            ),
        };
        self.remove_unindexed(sweeping, CandidateKeys { agents, recorders }, go_on)
    }

    /// The keys of a whole dimension.
    fn dimension_keys(&self, sql: &'static str) -> Result<IdSet> {
        let mut keys = IdSet::default();
        let mut after = i64::MIN;
        loop {
            let page: Vec<i64> = self.read_in_snapshot(|connection| {
                let mut statement = connection.prepare_cached(sql)?;
                statement
                    .query_map([after, sql_limit(EVENTS_PER_READ)], |row| row.get(0))?
                    .collect()
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
        sweeping: &mut SweepLock,
        dimension: &IndexedDimension,
        keys: &[i64],
    ) -> Result<()> {
        let list: Vec<String> = keys.iter().map(i64::to_string).collect();
        let list = format!("[{}]", list.join(","));
        let unused: Vec<i64> = self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(dimension.select_unused)?;
            statement.query_map([&list], |row| row.get(0))?.collect()
        })?;
        if unused.is_empty() {
            return Ok(());
        }
        self.run_batch(sweeping, |connection| {
            let mut delete = connection.prepare_cached(dimension.delete_unused)?;
            unused.iter().try_for_each(|key| delete.execute([key]).map(drop))
        })?;
        self.clear_caches();
        Ok(())
    }

    fn remove_unindexed(
        &mut self,
        sweeping: &mut SweepLock,
        mut unmet: CandidateKeys,
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
            let page = self.read_in_snapshot(|connection| {
                read_unindexed_keys(connection, OLDER, before, EVENTS_PER_READ)
            })?;
            let Some(last) = page.last() else { break };
            before = last.id;
            page.iter().for_each(|reference| unmet.exclude_used(reference));
        }
        let mut known = head.0;
        while !unmet.is_empty() {
            if !go_on() {
                return Ok(false);
            }
            // What came meanwhile, but for the last of it, is looked at outside of the transaction.
            let page = self.read_in_snapshot(|connection| {
                read_unindexed_keys(connection, NEWER_REFERENCES, known, EVENTS_PER_READ)
            })?;
            if let Some(last) = page.last() {
                known = last.id;
                page.iter().for_each(|reference| unmet.exclude_used(reference));
                if page.len() > MAX_NEW_EVENTS {
                    continue;
                }
            }
            let next = unmet.next_batch();
            let (removed, _) = self
                .run_batch(sweeping, |connection| delete_unreferenced(connection, known, &next))?;
            if removed {
                unmet.exclude_all(&next);
                self.clear_caches();
            }
        }
        Ok(true)
    }
}

const NEWER_REFERENCES: &str =
    "SELECT id, agent, recorder FROM event WHERE id > ?1 ORDER BY id LIMIT ?2";

/// What an event refers to without an index.
struct UnindexedKeys {
    id: i64,
    agent: Option<i64>,
    recorder: i64,
}

fn read_unindexed_keys(
    connection: &Connection,
    sql: &'static str,
    from: i64,
    most: usize,
) -> rusqlite::Result<Vec<UnindexedKeys>> {
    let read = |row: &Row<'_>| {
        Ok(UnindexedKeys { id: row.get(0)?, agent: row.get(1)?, recorder: row.get(2)? })
    };
    connection.prepare_cached(sql)?.query_map([from, sql_limit(most)], read)?.collect()
}

/// Rows that no event was met to refer to.
#[derive(Default)]
struct CandidateKeys {
    agents: IdSet,
    recorders: IdSet,
}

impl CandidateKeys {
    fn is_empty(&self) -> bool {
        self.agents.is_empty() && self.recorders.is_empty()
    }

    fn exclude_used(&mut self, reference: &UnindexedKeys) {
        if let Some(agent) = reference.agent {
            self.agents.remove(agent);
        }
        self.recorders.remove(reference.recorder);
    }

    /// As many as go in one transaction.
    fn next_batch(&self) -> Self {
        let some = |ids: &IdSet| ids.iter().take(ROWS_PER_BATCH).collect();
        Self { agents: some(&self.agents), recorders: some(&self.recorders) }
    }

    fn exclude_all(&mut self, others: &Self) {
        others.agents.iter().for_each(|agent| self.agents.remove(agent));
        others.recorders.iter().for_each(|recorder| self.recorders.remove(recorder));
    }
}

/// Deletes these rows, but those that events behind `known` refer to. `false`, and nothing was
/// deleted, where too many came to look at here.
fn delete_unreferenced(
    connection: &Connection,
    known: i64,
    unmet: &CandidateKeys,
) -> rusqlite::Result<bool> {
    const NOTE: &str = "INSERT INTO unused (kind, key) VALUES (?1, ?2)";
    let newer = read_unindexed_keys(connection, NEWER_REFERENCES, known, MAX_NEW_EVENTS + 1)?;
    if newer.len() > MAX_NEW_EVENTS {
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
