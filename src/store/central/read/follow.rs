//! What arrives in a central store: for each log the events behind the last that was read.

use std::sync::Arc;

use anyhow::Result;

use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::query::Query;
use crate::store::central::CentralError;
use crate::store::central::read::CentralEngine;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlValue;
use crate::store::central::read::summary;
use crate::store::digest::DetailLevel;

/// How far the logs of a store were read.
pub(crate) struct CentralHeads(Vec<(SqlValue, i64)>);

impl CentralHeads {
    /// Returns the newest event of a log that was read; 0 for a log that is new.
    fn of(&mut self, log: &SqlValue) -> &mut i64 {
        let place = self.0.iter().position(|(known, _)| known == log).unwrap_or_else(|| {
            self.0.push((log.clone(), 0));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

impl CentralEngine {
    /// Returns the newest event of each log that has arrived, by the names of the logs.
    pub(in crate::store) fn named_heads(&self) -> Result<Vec<EventPlace>> {
        let mut places = Vec::new();
        for origin in self.read_origins()?.iter() {
            let id = EventId(self.newest_id(&origin.key)?);
            places.push(EventPlace { id, log: Some(Arc::clone(&origin.name)) });
        }
        Ok(places)
    }

    /// Returns the newest event of each log that has arrived.
    pub(in crate::store) fn heads(&self) -> Result<CentralHeads> {
        let mut heads = CentralHeads(Vec::new());
        for origin in self.read_origins()?.iter() {
            *heads.of(&origin.key) = self.newest_id(&origin.key)?;
        }
        Ok(heads)
    }

    /// Returns the events that match among those that have arrived since, in the order of recording, and
    /// moves the heads behind them; `None` where nothing has arrived.
    pub(in crate::store) fn arrived_since(
        &self,
        query: &Query,
        heads: &mut CentralHeads,
        limit: usize,
    ) -> Result<Option<Vec<Event>>> {
        let mut has_new = false;
        let mut events = Vec::new();
        for origin in self.read_origins()?.iter() {
            let read = heads.of(&origin.key);
            // The log itself says how far it goes, so that no event has to be looked for.
            if origin.head.0 <= *read {
                continue;
            }
            let newest = self.newest_id(&origin.key)?;
            if newest <= *read {
                continue;
            }
            has_new = true;
            let found = self.events_between(query, &origin.key, (*read, newest), limit)?;
            // A full batch may have left some behind.
            let last = found.last().filter(|_| found.len() == limit);
            *read = last.map_or(newest, |event| event.id.0);
            events.extend(found.into_iter().filter(|event| query.matches(event)));
        }
        events.sort_by_cached_key(|event| (event.recorded_at, event.id, event.log.clone()));
        Ok(has_new.then_some(events))
    }

    fn newest_id(&self, log: &SqlValue) -> Result<i64, CentralError> {
        let table = self.server.table();
        let mut sql = Fragment::new(format!("SELECT max(id) FROM {table} WHERE log = "));
        sql.bind(log.clone());
        let rows = self.server.read_texts(&sql, 1)?;
        Ok(i64::try_from(summary::first_number(&rows)).unwrap_or(i64::MAX))
    }

    /// Returns events of a log in the order of their ids, as far as SQL says the query.
    fn events_between(
        &self,
        query: &Query,
        log: &SqlValue,
        (after, up_to): (i64, i64),
        limit: usize,
    ) -> Result<Vec<Event>> {
        let (columns, table) = (self.server.event_columns(DetailLevel::Full), self.server.table());
        let mut sql = Fragment::new(format!("SELECT {columns} FROM {table} WHERE log = "));
        sql.bind(log.clone()).add(" AND id > ").bind(SqlValue::Integer(after));
        sql.add(" AND id <= ").bind(SqlValue::Integer(up_to));
        sql.add(" AND ").append(&self.plan(query).condition());
        sql.add(&format!(" ORDER BY id LIMIT {limit}"));
        let mut events: Vec<Event> =
            self.read_rows(&sql)?.into_iter().map(|found| found.event).collect();
        // ClickHouse may have a row twice until it merges.
        events.dedup_by_key(|event| event.id);
        Ok(events)
    }
}
