//! `type = "clickhouse"`: the central store of many hosts in ClickHouse.

use crate::config::mirror::ClickHouseConfig;
use crate::failure::Failure;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::central;
use crate::store::central::CentralRow;
use crate::store::central::LogHeartbeat;
use crate::store::central::clickhouse::ClickHouseStore;
use crate::store::central::clickhouse::ServerGeneration;
use crate::store::verify::SweepGap;

const DEFAULT_BATCH: usize = 10_000;

pub(crate) struct ClickHouseSink {
    store: ClickHouseStore,
    /// The log and the server, which [`Sink::report_head`] finds.
    known: Option<KnownLog>,
}

struct KnownLog {
    uuid: [u8; 16],
    generation: ServerGeneration,
    /// The newest sweep whose ranges the store has.
    sweep: i64,
}

impl ClickHouseSink {
    /// # Errors
    /// [`Exit::Config`](crate::failure::Exit::Config), with the key.
    pub(crate) fn new(
        config: &ClickHouseConfig,
        context: SinkContext<'_>,
    ) -> Result<Self, Failure> {
        Ok(Self { store: ClickHouseStore::new(config, central::access(context))?, known: None })
    }
}

impl Sink for ClickHouseSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn wants_seals(&self) -> bool {
        true
    }

    fn wants_stable_batches(&self) -> bool {
        true
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let Some(KnownLog { uuid: log, generation, .. }) = &self.known else {
            return Err(SinkFailure::unavailable("this log is not known to the store yet"));
        };
        let rows: Vec<CentralRow<'_>> = batch.iter().map(central::row).collect();
        let stored = self.store.read_hashes(log, &rows)?;
        let is_new = |row: &CentralRow<'_>| !stored.contains_key(&row.event.id);
        let new: Vec<CentralRow<'_>> = rows.into_iter().filter(is_new).collect();
        self.store.insert(log, *generation, &new)?;
        let changed = batch.iter().enumerate().filter_map(|(index, outgoing)| {
            let hashes = stored.get(&outgoing.event.id)?;
            let other = hashes.iter().find(|hash| **hash != outgoing.event.hash.0)?;
            Some(central::changed_past(index, other, outgoing))
        });
        let changed: Vec<RefusedEvent> = changed.collect();
        if !changed.is_empty() {
            self.store.note_versions(log, &central::other_versions(batch, &changed))?;
        }
        Ok(changed)
    }

    fn report_head(&mut self, head: &LogHeartbeat) -> Result<(), SinkFailure> {
        let (generation, sweep) = match &self.known {
            Some(known) => (known.generation, known.sweep),
            None => (self.store.prepare_tables()?, self.store.known_sweep(&head.uuid)?),
        };
        self.store.note_head(head, sweep)?;
        self.known = Some(KnownLog { uuid: head.uuid, generation, sweep });
        Ok(())
    }

    fn known_sweep(&self) -> Option<i64> {
        Some(self.known.as_ref()?.sweep)
    }

    fn report_gaps(&mut self, gaps: &[SweepGap], sweep: i64) -> Result<(), SinkFailure> {
        if let Some(known) = &mut self.known {
            self.store.insert_gaps(&known.uuid, gaps)?;
            // The next heartbeat notes it.
            known.sweep = sweep;
        }
        Ok(())
    }

    /// Checks the tables. No event is stored: a row cannot be taken back.
    fn test(&mut self, _probe: &OutgoingEvent) -> Result<(), SinkFailure> {
        self.store.prepare_tables()?;
        Ok(())
    }
}
