//! Removes the dimension rows to which no event refers any more.
//!
//! ## Locking
//! Reads find the unused rows. The transaction that deletes checks only what may have changed since.
//!
//! ## Cost
//! For most dimensions an index finds the events of a row. For user agents and recorders there is none:
//! events are read once, the newest first, until every candidate was found in use.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Row;

use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::layout::UsageCheck;
use crate::store::sqlite::lookup::KeySet;
use crate::store::sqlite::sweep::FreedPages;
use crate::store::sqlite::sweep::ROWS_PER_BATCH;
use crate::store::sqlite::sweep::reserve::SweepLock;
use crate::store::sqlite::sweep::sql_limit;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::IdSet;

/// The number of events that one read looks at.
const EVENTS_PER_READ: usize = 4_000;
/// The number of new events that a writing transaction may look at.
const MAX_NEW_EVENTS: usize = 500;

/// The rows that removed events referred to.
#[derive(Default)]
pub(super) struct DimensionKeySets([IdSet; Dimension::COUNT]);

impl DimensionKeySets {
    pub(super) fn insert(&mut self, dimension: Dimension, key: i64) {
        self.0[dimension as usize].insert(key);
    }

    fn take(&mut self, dimension: Dimension) -> IdSet {
        std::mem::take(&mut self.0[dimension as usize])
    }
}

impl Sqlite {
    /// Removes the rows to which no event refers. Returns whether it came to the end.
    pub(super) fn remove_unused(
        &mut self,
        lock: &mut SweepLock,
        scope: CleanupScope,
        mut referenced: DimensionKeySets,
        should_continue: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        for dimension in Dimension::ALL {
            if let UsageCheck::Index { select_unused, delete_unused } = dimension.statements().usage
            {
                let candidates = self.candidate_keys(scope, &mut referenced, *dimension)?;
                let keys: Vec<i64> = candidates.iter().collect();
                for keys in keys.chunks(ROWS_PER_BATCH) {
                    if !should_continue() {
                        return Ok(false);
                    }
                    self.remove_indexed(lock, select_unused, delete_unused, keys)?;
                }
            }
        }
        let candidates = CandidateKeys {
            agents: self.candidate_keys(scope, &mut referenced, Dimension::Agent)?,
            recorders: self.candidate_keys(scope, &mut referenced, Dimension::Recorder)?,
        };
        self.remove_unindexed(lock, candidates, should_continue)
    }

    /// The keys of the rows that may be unused.
    fn candidate_keys(
        &self,
        scope: CleanupScope,
        referenced: &mut DimensionKeySets,
        dimension: Dimension,
    ) -> Result<IdSet> {
        let mut keys = match scope {
            CleanupScope::RemovedEvents => referenced.take(dimension),
            CleanupScope::AllRows => self.dimension_keys(dimension.statements().select_keys)?,
        };
        if dimension == Dimension::Tenant {
            // The row that stands for no tenant stays.
            keys.remove(0);
        }
        Ok(keys)
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
        lock: &mut SweepLock,
        select_unused: &'static str,
        delete_unused: &'static str,
        keys: &[i64],
    ) -> Result<()> {
        let keys: KeySet = keys.iter().copied().collect();
        let unused: Vec<i64> = self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(select_unused)?;
            statement.query_map([keys.to_json()], |row| row.get(0))?.collect()
        })?;
        let mut left = unused.as_slice();
        while !left.is_empty() {
            (left, _) =
                self.run_batch(lock, |connection| delete_rows(connection, delete_unused, left))?;
            self.clear_caches();
        }
        Ok(())
    }

    fn remove_unindexed(
        &mut self,
        lock: &mut SweepLock,
        mut candidates: CandidateKeys,
        should_continue: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        const OLDER: &str =
            "SELECT id, agent, recorder FROM event WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        let (head, _) = self.head()?;
        let mut before = head.0.saturating_add(1);
        while !candidates.is_empty() {
            if !should_continue() {
                return Ok(false);
            }
            let page = self.read_in_snapshot(|connection| {
                read_unindexed_keys(connection, OLDER, before, EVENTS_PER_READ)
            })?;
            let Some(last) = page.last() else { break };
            before = last.id;
            page.iter().for_each(|reference| candidates.exclude_used(reference));
        }
        let mut known = head.0;
        while !candidates.is_empty() {
            if !should_continue() {
                return Ok(false);
            }
            // New events are read outside of the transaction, except for the last few.
            let page = self.read_in_snapshot(|connection| {
                read_unindexed_keys(connection, NEWER_REFERENCES, known, EVENTS_PER_READ)
            })?;
            if let Some(last) = page.last() {
                known = last.id;
                page.iter().for_each(|reference| candidates.exclude_used(reference));
                if page.len() > MAX_NEW_EVENTS {
                    continue;
                }
            }
            let next = candidates.next_batch();
            let (done, _) =
                self.run_batch(lock, |connection| delete_unreferenced(connection, known, &next))?;
            if let Some(done) = done {
                candidates.exclude_all(&done);
                self.clear_caches();
            }
        }
        Ok(true)
    }
}

const NEWER_REFERENCES: &str =
    "SELECT id, agent, recorder FROM event WHERE id > ?1 ORDER BY id LIMIT ?2";

/// The keys of an event that no index covers.
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

/// The rows for which no event was found yet.
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

    /// Returns as many as fit in one transaction.
    fn next_batch(&self) -> Self {
        let some = |ids: &IdSet| ids.iter().take(ROWS_PER_BATCH).collect();
        Self { agents: some(&self.agents), recorders: some(&self.recorders) }
    }

    fn exclude_all(&mut self, others: &Self) {
        others.agents.iter().for_each(|agent| self.agents.remove(agent));
        others.recorders.iter().for_each(|recorder| self.recorders.remove(recorder));
    }
}

/// Deletes rows until enough pages are free. Returns the keys of those that are left.
fn delete_rows<'a>(
    connection: &Connection,
    delete: &'static str,
    mut keys: &'a [i64],
) -> rusqlite::Result<&'a [i64]> {
    let freed = FreedPages::new(connection)?;
    let mut delete = connection.prepare_cached(delete)?;
    while let Some((key, left)) = keys.split_first() {
        delete.execute([key])?;
        keys = left;
        if freed.are_enough()? {
            break;
        }
    }
    Ok(keys)
}

/// Deletes the candidates to which no event behind `known` refers, until enough pages are free. Returns
/// those that it came to; `None`, and deletes nothing, if there are too many new events to look at.
fn delete_unreferenced(
    connection: &Connection,
    known: i64,
    candidates: &CandidateKeys,
) -> rusqlite::Result<Option<CandidateKeys>> {
    const INSERT: &str = "INSERT INTO unused (kind, key) VALUES (?1, ?2)";
    let newer = read_unindexed_keys(connection, NEWER_REFERENCES, known, MAX_NEW_EVENTS + 1)?;
    if newer.len() > MAX_NEW_EVENTS {
        return Ok(None);
    }
    let used_agents: Vec<i64> = newer.iter().filter_map(|reference| reference.agent).collect();
    let used_recorders: Vec<i64> = newer.iter().map(|reference| reference.recorder).collect();
    let freed = FreedPages::new(connection)?;
    let mut done = CandidateKeys::default();
    for (dimension, ids, used, came_to) in [
        (Dimension::Agent, &candidates.agents, used_agents, &mut done.agents),
        (Dimension::Recorder, &candidates.recorders, used_recorders, &mut done.recorders),
    ] {
        let statements = dimension.statements();
        let mut insert = connection.prepare_cached(INSERT)?;
        let mut delete = connection.prepare_cached(statements.delete)?;
        for key in ids.iter() {
            if freed.are_enough()? {
                break;
            }
            if !used.contains(&key) {
                insert.execute((statements.table, key))?;
                delete.execute([key])?;
            }
            came_to.insert(key);
        }
    }
    connection.execute("DELETE FROM unused", [])?;
    Ok(Some(done))
}
