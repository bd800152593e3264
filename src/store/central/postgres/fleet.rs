//! The logs of a store, what they vouch for, and their events in the order of the chain.

use std::fmt::Write;
use std::ops::ControlFlow;

use tokio_postgres::types::Type;

use crate::chain;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::central::CentralError;
use crate::store::central::CentralErrorKind;
use crate::store::central::InitOptions;
use crate::store::central::LogKey;
use crate::store::central::MirroredLog;
use crate::store::central::OtherVersion;
use crate::store::central::StoredEvent;
use crate::store::central::SweepClaimRow;
use crate::store::central::TableNames;
use crate::store::central::chunk::ChunkSize;
use crate::store::central::postgres::CentralResult;
use crate::store::central::postgres::PostgresStore;
use crate::store::central::postgres::connection::Parameter;
use crate::store::central::postgres::months;
use crate::store::central::postgres::nul;
use crate::store::central::postgres::read;
use crate::store::central::postgres::schema;
use crate::store::verify::SweepGap;
use crate::time::Timestamp;

/// What the events of a page of a walk may take in memory.
const WALK_BYTES: usize = 4 << 20;
/// How many gaps are inserted at a time.
const GAPS_AT_A_TIME: usize = 10_000;

impl PostgresStore {
    /// Returns the logs that write to the store, in the order of their hosts.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn logs(&mut self) -> CentralResult<Vec<MirroredLog>> {
        let sql = format!(
            "SELECT log, uuid::text, host, coalesce(head_id, 0), delivered_id, \
             coalesce(head_at, 0), sweep, head_hash FROM {} ORDER BY host, log",
            self.names.origin
        );
        let rows = self.server.query(&sql, &[])?;
        let logs = rows.iter().filter_map(|row| {
            let hash: Vec<u8> = row.get::<_, Option<Vec<u8>>>(7).unwrap_or_default();
            Some(MirroredLog {
                key: LogKey::Number(row.get(0)),
                uuid: chain::parse_canonical_uuid(row.get(1))?,
                host: row.get(2),
                head: EventId(row.get(3)),
                delivered: EventId(row.get(4)),
                seen_at: Timestamp::from_nanos(row.get(5)),
                sweep: row.get(6),
                // Without one no event is the head.
                head_hash: Hash(hash.try_into().unwrap_or_default()),
            })
        });
        Ok(logs.collect())
    }

    /// Returns the ranges that a log has vouched for, in the order of their first ids.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn gaps(&mut self, log: LogKey) -> CentralResult<Vec<SweepGap>> {
        let gap = &self.names.gap;
        self.read_runs(log, &format!("SELECT first, last, hash, sweep FROM {gap}"))
    }

    /// Returns the ranges that central sweeps have dropped of a log, in the order of their ids.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn dropped(&mut self, log: LogKey) -> CentralResult<Vec<SweepGap>> {
        let swept = &self.names.swept;
        self.read_runs(log, &format!("SELECT first, last, hash, 0::bigint FROM {swept}"))
    }

    fn read_runs(&mut self, log: LogKey, select: &str) -> CentralResult<Vec<SweepGap>> {
        let sql = format!("{select} WHERE log = $1 ORDER BY first, last");
        let rows = self.server.query(&sql, &[(&number(log), Type::INT4)])?;
        let gaps = rows.iter().map(|row| SweepGap {
            first: EventId(row.get(0)),
            last: EventId(row.get(1)),
            // A hash of another length was written by hand, and no event has this one.
            hash: Hash(row.get::<_, Vec<u8>>(2).try_into().unwrap_or_default()),
            sweep: row.get(3),
        });
        Ok(gaps.collect())
    }

    /// Returns the events of which a log has sent other versions later.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn other_versions(&mut self, log: LogKey) -> CentralResult<Vec<OtherVersion>> {
        let sql = format!("SELECT id, hash FROM {} WHERE log = $1 ORDER BY id", self.names.version);
        let rows = self.server.query(&sql, &[(&number(log), Type::INT4)])?;
        let versions = rows.iter().map(|row| OtherVersion {
            id: EventId(row.get(0)),
            hash: Hash(row.get::<_, Vec<u8>>(1).try_into().unwrap_or_default()),
        });
        Ok(versions.collect())
    }

    /// Returns the newest event of a log about a sweep of its own.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn newest_sweep(&mut self, log: LogKey) -> CentralResult<Option<SweepClaimRow>> {
        let sql = format!(
            "SELECT id, coalesce(payload, '') FROM {} WHERE log = $1 AND own \
             AND action = 'retention.sweep' ORDER BY id DESC LIMIT 1",
            self.names.event
        );
        let rows = self.server.query(&sql, &[(&number(log), Type::INT4)])?;
        Ok(rows.first().map(|row| SweepClaimRow {
            id: EventId(row.get(0)),
            payload: nul::unescape(row.get(1)),
        }))
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
    ) -> CentralResult<()> {
        let select = format!(
            "SELECT {} FROM {} WHERE log = $1 AND id >= $2 ORDER BY id, occurred_at",
            read::selected_columns(),
            self.names.event,
        );
        let log = number(log);
        let mut from = from.0;
        let mut chunk = ChunkSize::first(WALK_BYTES);
        // The rows of the last id are read again, and do not count.
        let mut known = 0;
        loop {
            let limit = chunk.events() + known;
            let sql = format!("{select} LIMIT {limit}");
            let parameters: [Parameter<'_>; 2] = [(&log, Type::INT4), (&from, Type::INT8)];
            let rows = self.server.query(&sql, &parameters)?;
            let mut bytes = 0;
            known = 0;
            for row in &rows {
                let stored = read::read_event(row, 0);
                let id = stored.event.id.0;
                known = if id == from { known + 1 } else { 1 };
                from = id;
                bytes += stored.event.memory_size();
                if visit(stored).is_break() {
                    return Ok(());
                }
            }
            if rows.len() < limit {
                return Ok(());
            }
            chunk = chunk.next(rows.len(), bytes);
        }
    }

    /// Adds ranges that a log vouches for, and notes that those of a sweep are complete.
    ///
    /// # Errors
    /// No answer. Some may be there then; the same again completes them.
    pub(crate) fn insert_gaps(
        &mut self,
        log: i32,
        gaps: &[SweepGap],
        sweep: i64,
    ) -> CentralResult<()> {
        let sql = format!(
            "INSERT INTO {} (log, first, last, hash, sweep) \
             SELECT $1, * FROM unnest($2, $3, $4, $5) ON CONFLICT DO NOTHING",
            self.names.gap
        );
        for gaps in gaps.chunks(GAPS_AT_A_TIME) {
            let firsts: Vec<i64> = gaps.iter().map(|gap| gap.first.0).collect();
            let lasts: Vec<i64> = gaps.iter().map(|gap| gap.last.0).collect();
            let hashes: Vec<&[u8]> = gaps.iter().map(|gap| &gap.hash.0[..]).collect();
            let sweeps: Vec<i64> = gaps.iter().map(|gap| gap.sweep).collect();
            let parameters: [Parameter<'_>; 5] = [
                (&log, Type::INT4),
                (&firsts, Type::INT8_ARRAY),
                (&lasts, Type::INT8_ARRAY),
                (&hashes, Type::BYTEA_ARRAY),
                (&sweeps, Type::INT8_ARRAY),
            ];
            self.server.query(&sql, &parameters)?;
        }
        let noted = format!("UPDATE {} SET sweep = $2 WHERE log = $1", self.names.origin);
        self.server.query(&noted, &[(&log, Type::INT4), (&sweep, Type::INT8)])?;
        Ok(())
    }

    /// Notes the hashes that a log sent for events that the store has with others.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn note_versions(
        &mut self,
        log: i32,
        versions: &[OtherVersion],
    ) -> CentralResult<()> {
        let ids: Vec<i64> = versions.iter().map(|version| version.id.0).collect();
        let hashes: Vec<&[u8]> = versions.iter().map(|version| &version.hash.0[..]).collect();
        let sql = format!(
            "INSERT INTO {} (log, id, hash) SELECT $1, * FROM unnest($2, $3) ON CONFLICT DO NOTHING",
            self.names.version
        );
        let parameters: [Parameter<'_>; 3] =
            [(&log, Type::INT4), (&ids, Type::INT8_ARRAY), (&hashes, Type::BYTEA_ARRAY)];
        self.server.query(&sql, &parameters)?;
        Ok(())
    }

    /// Makes the tables, the coming months, and what else is asked for. What is there stays; tables of an
    /// older version are upgraded.
    ///
    /// # Errors
    /// The role may not make them; the tables are of a newer version; no answer.
    pub(crate) fn init(&mut self, options: InitOptions, now: Timestamp) -> CentralResult<()> {
        self.upgrade_tables()?;
        self.prepare_tables()?;
        self.make_coming_months(now, options.back)?;
        if !self.makes_months() {
            let reason = format!("{}: the role may not make months", self.server.name());
            return Err(CentralError::new(CentralErrorKind::Denied, reason));
        }
        self.server.execute_batch(&init_rights(&self.names, options))?;
        Ok(())
    }
}

/// Returns all that [`PostgresStore::init`] does, as statements.
pub(crate) fn init_statements(names: &TableNames, options: InitOptions, now: Timestamp) -> String {
    let mut sql = schema::create_tables(names);
    sql.push_str("\n-- The coming months.\n");
    for month in months::coming_months(now, options.back) {
        let _ = writeln!(sql, "{};", month.create(names));
    }
    sql.push_str(&init_rights(names, options));
    sql
}

fn init_rights(names: &TableNames, options: InitOptions) -> String {
    let mut sql = String::new();
    if options.roles {
        let _ = writeln!(sql, "{}", schema::create_roles(names));
    }
    if options.secure_rows {
        let _ = writeln!(sql, "{}", schema::secure_rows(names));
    }
    sql
}

/// The number of a log of this engine.
pub(super) fn number(log: LogKey) -> i32 {
    match log {
        LogKey::Number(number) => number,
        LogKey::Uuid(_) => 0,
    }
}
