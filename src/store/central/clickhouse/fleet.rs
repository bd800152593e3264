//! The logs of a store, what they vouch for, and their events in the order of the chain.

use std::ops::ControlFlow;

use crate::chain;
use crate::event::EventId;
use crate::store::central;
use crate::store::central::CentralError;
use crate::store::central::CentralErrorKind;
use crate::store::central::LogKey;
use crate::store::central::MirroredLog;
use crate::store::central::OtherVersion;
use crate::store::central::StoredEvent;
use crate::store::central::SweepClaimRow;
use crate::store::central::TableNames;
use crate::store::central::chunk::ChunkSize;
use crate::store::central::clickhouse::ClickHouseStore;
use crate::store::central::clickhouse::ServerGeneration;
use crate::store::central::clickhouse::StoreResult;
use crate::store::central::clickhouse::insert;
use crate::store::central::clickhouse::read;
use crate::store::central::clickhouse::read::BinaryRows;
use crate::store::central::clickhouse::schema;
use crate::store::verify::SweepGap;
use crate::time::Timestamp;

/// What the events of a page of a walk may take in memory. Each time the server looks through the ids of
/// the log.
const WALK_BYTES: usize = 12 << 20;

impl ClickHouseStore {
    /// Checks that the tables are there.
    ///
    /// # Errors
    /// They are not, or there was no answer.
    pub(crate) fn check_tables(&mut self) -> StoreResult<()> {
        for name in [&self.names.origin, &self.names.event, &self.names.gap] {
            if self.run(&format!("EXISTS TABLE {name}"), b"")?.first() != Some(&b'1') {
                let why = format!("there is no table {name} of a central store");
                return Err(self.server.error(CentralErrorKind::NoTables, &why));
            }
        }
        Ok(())
    }

    /// Returns the logs that write to the store, in the order of their hosts.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn logs(&mut self) -> StoreResult<Vec<MirroredLog>> {
        let sql = format!(
            "SELECT toString(uuid), argMax(host, head_at) AS name, argMax(head_id, head_at), \
             argMax(head_hash, head_at), argMax(delivered_id, head_at), max(head_at) AS seen, max(sweep) FROM {} \
             GROUP BY uuid ORDER BY name, uuid FORMAT RowBinary",
            self.names.origin
        );
        self.read_rows(&sql, |rows| {
            let uuid = chain::parse_canonical_uuid(&rows.text()?)?;
            Some(MirroredLog {
                key: LogKey::Uuid(uuid),
                uuid,
                host: rows.text()?,
                head: EventId(rows.integer()?),
                head_hash: rows.hash()?,
                delivered: EventId(rows.integer()?),
                seen_at: Timestamp::from_nanos(rows.integer()?),
                sweep: rows.integer()?,
            })
        })
    }

    /// Returns the ranges that a log has vouched for, in the order of their first ids.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn gaps(&mut self, log: LogKey) -> StoreResult<Vec<SweepGap>> {
        let sql = format!(
            "SELECT DISTINCT first, last, hash, sweep FROM {} WHERE {} ORDER BY first, last \
             FORMAT RowBinary",
            self.names.gap,
            of_log(log)
        );
        self.read_rows(&sql, |rows| {
            let (first, last) = (EventId(rows.integer()?), EventId(rows.integer()?));
            Some(SweepGap { first, last, hash: rows.hash()?, sweep: rows.integer()? })
        })
    }

    /// Returns the events of which a log has sent other versions later.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn other_versions(&mut self, log: LogKey) -> StoreResult<Vec<OtherVersion>> {
        let sql = format!(
            "SELECT DISTINCT id, hash FROM {} WHERE {} ORDER BY id FORMAT RowBinary",
            self.names.version,
            of_log(log)
        );
        self.read_rows(&sql, |rows| {
            Some(OtherVersion { id: EventId(rows.integer()?), hash: rows.hash()? })
        })
    }

    /// Returns the newest event of a log about a sweep of its own.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn newest_sweep(&mut self, log: LogKey) -> StoreResult<Option<SweepClaimRow>> {
        let sql = format!(
            "SELECT id, ifNull(payload, '') FROM {} WHERE {} AND own = 1 \
             AND action = 'retention.sweep' ORDER BY id DESC LIMIT 1 FORMAT RowBinary",
            self.names.event,
            of_log(log)
        );
        let found = self.read_rows(&sql, |rows| {
            Some(SweepClaimRow { id: EventId(rows.integer()?), payload: rows.text()? })
        });
        Ok(found?.pop())
    }

    /// Visits the events of a log from one on, in the order of ids, page by page.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn walk(
        &mut self,
        log: LogKey,
        from: EventId,
        visit: &mut dyn FnMut(StoredEvent) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let mut from = from.0;
        let mut chunk = ChunkSize::first(WALK_BYTES);
        // The rows of the last id are read again, and do not count.
        let mut known = 0;
        loop {
            let limit = chunk.events() + known;
            let sql = format!(
                "SELECT {} FROM {} WHERE {} AND id >= {from} ORDER BY id, hash \
                 LIMIT {limit} FORMAT RowBinary",
                read::selected_columns(),
                self.names.event,
                of_log(log)
            );
            let answer = self.server.read(&sql)?;
            let mut rows = BinaryRows(&answer);
            let (mut count, mut bytes) = (0, 0);
            known = 0;
            while !rows.is_at_end() {
                let stored = rows.event().ok_or_else(|| self.broken_answer())?;
                let id = stored.event.id.0;
                known = if id == from { known + 1 } else { 1 };
                from = id;
                count += 1;
                bytes += stored.event.memory_size();
                if visit(stored).is_break() {
                    return Ok(());
                }
            }
            if count < limit {
                return Ok(());
            }
            chunk = chunk.next(count, bytes);
        }
    }

    pub(super) fn read_rows<T>(
        &self,
        sql: &str,
        mut read: impl FnMut(&mut BinaryRows<'_>) -> Option<T>,
    ) -> StoreResult<Vec<T>> {
        let answer = self.server.read(sql)?;
        let mut rows = BinaryRows(&answer);
        let mut found = Vec::new();
        while !rows.is_at_end() {
            found.push(read(&mut rows).ok_or_else(|| self.broken_answer())?);
        }
        Ok(found)
    }

    fn broken_answer(&self) -> CentralError {
        self.server.error(CentralErrorKind::Unavailable, "its answer has no sense")
    }

    /// Adds ranges that a log vouches for. The next heartbeat notes that they are complete.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn insert_gaps(&self, log: &[u8; 16], gaps: &[SweepGap]) -> StoreResult<()> {
        if gaps.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        for gap in gaps {
            insert::write_uuid(log, &mut rows);
            rows.extend(gap.first.0.to_le_bytes());
            rows.extend(gap.last.0.to_le_bytes());
            rows.extend(gap.hash.0);
            rows.extend(gap.sweep.to_le_bytes());
        }
        let gap = &self.names.gap;
        let sql = format!("INSERT INTO {gap} (log, first, last, hash, sweep) FORMAT RowBinary");
        self.run(&sql, &rows).map(drop)
    }

    /// Notes the hashes that a log sent for events that the store has with others.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn note_versions(
        &self,
        log: &[u8; 16],
        versions: &[OtherVersion],
    ) -> StoreResult<()> {
        let mut rows = Vec::new();
        for version in versions {
            insert::write_uuid(log, &mut rows);
            rows.extend(version.id.0.to_le_bytes());
            rows.extend(version.hash.0);
        }
        let sql = format!("INSERT INTO {} (log, id, hash) FORMAT RowBinary", self.names.version);
        self.run(&sql, &rows).map(drop)
    }
}

/// Returns the condition on the rows of a log.
fn of_log(log: LogKey) -> String {
    let uuid = match log {
        LogKey::Uuid(uuid) => uuid,
        LogKey::Number(_) => [0; 16],
    };
    format!("log = toUUID('{}')", central::uuid_text(&uuid))
}

/// Returns the statements that make the tables, on a server of today.
pub(crate) fn init_statements(names: &TableNames) -> String {
    let tables = schema::create_tables(names, ServerGeneration::Modern);
    tables.iter().map(|(_, create)| format!("{create};\n")).collect()
}
