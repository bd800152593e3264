//! `type = "postgres"`: the central store of many hosts in PostgreSQL.
//!
//! An event that the store has already is compared by its hash and never written again.

use crate::config::mirror::CentralConfig;
use crate::failure::Failure;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::central;
use crate::store::central::CentralRow;
use crate::store::central::LogHeartbeat;
use crate::store::central::postgres::NotedLog;
use crate::store::central::postgres::PostgresStore;
use crate::store::verify::SweepGap;
use crate::time::Span;
use crate::time::Timestamp;

/// A batch is a commit here and one there, and the months are looked through for it: the more at a time,
/// the quicker, as far as 64 MiB of memory go.
const DEFAULT_BATCH: usize = 4000;

pub(crate) struct PostgresSink {
    store: PostgresStore,
    clock: fn() -> Timestamp,
    /// What the store knows of this log, which [`Sink::report_head`] finds.
    log: Option<NotedLog>,
}

impl PostgresSink {
    /// # Errors
    /// [`Exit::Config`](crate::failure::Exit::Config), with the key.
    pub(crate) fn new(config: &CentralConfig, context: SinkContext<'_>) -> Result<Self, Failure> {
        let store = PostgresStore::new(config, central::access(context))?;
        Ok(Self { store, clock: context.clock, log: None })
    }
}

impl Sink for PostgresSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn wants_seals(&self) -> bool {
        true
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let Some(NotedLog { number: log, .. }) = self.log else {
            return Err(SinkFailure::unavailable("this log is not known to the store yet"));
        };
        let times = batch.iter().map(|outgoing| outgoing.event.occurred_at);
        self.store.make_months_of(times, (self.clock)())?;
        let ids: Vec<i64> = batch.iter().map(|outgoing| outgoing.event.id.0).collect();
        let mut stored = self.store.read_hashes(log, &ids)?;
        let is_new = |outgoing: &&OutgoingEvent| !stored.contains_key(&outgoing.event.id);
        let new: Vec<CentralRow<'_>> = batch.iter().filter(is_new).map(central::row).collect();
        // Another run of this mirror may have been quicker.
        if !new.is_empty() && self.store.insert(log, &new)? < new.len() {
            stored = self.store.read_hashes(log, &ids)?;
        }
        let changed = batch.iter().enumerate().filter_map(|(index, outgoing)| {
            let hash = stored.get(&outgoing.event.id)?;
            let differs = *hash != outgoing.event.hash.0;
            differs.then(|| central::changed_past(index, hash, outgoing))
        });
        let changed: Vec<RefusedEvent> = changed.collect();
        if !changed.is_empty() {
            self.store.note_versions(log, &central::other_versions(batch, &changed))?;
        }
        Ok(changed)
    }

    fn report_head(&mut self, head: &LogHeartbeat) -> Result<(), SinkFailure> {
        if self.log.is_none() {
            self.store.prepare_tables()?;
        }
        self.store.make_coming_months((self.clock)(), Span::default())?;
        self.log = Some(self.store.note_head(head)?);
        Ok(())
    }

    fn known_sweep(&self) -> Option<i64> {
        Some(self.log?.sweep)
    }

    fn report_gaps(&mut self, gaps: &[SweepGap], sweep: i64) -> Result<(), SinkFailure> {
        if let Some(log) = &mut self.log {
            self.store.insert_gaps(log.number, gaps, sweep)?;
            log.sweep = sweep;
        }
        Ok(())
    }

    /// Checks the tables and the right to write to them. No event is stored: a row cannot be taken back.
    fn test(&mut self, _probe: &OutgoingEvent) -> Result<(), SinkFailure> {
        self.store.prepare_tables()?;
        if self.store.may_write()? {
            Ok(())
        } else {
            Err(SinkFailure::unavailable("the role may not write to the central store"))
        }
    }
}
