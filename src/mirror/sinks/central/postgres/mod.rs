//! `type = "postgres"`: the central store of many hosts in PostgreSQL.
//!
//! A batch is one statement, which answers with the ids that it inserted. An event that the store has
//! already is compared by its hash and never written again, so nothing is there twice, wherever a batch
//! was cut off.

mod connection;
mod rows;
mod schema;

use std::collections::HashMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::config::mirror::CentralConfig;
use crate::event::EventId;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::sink::LogHeartbeat;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::central;
use crate::mirror::sinks::central::TableNames;
use crate::mirror::sinks::central::postgres::connection::PostgresServer;
use crate::mirror::sinks::central::postgres::connection::StatementError;
use crate::mirror::sinks::central::postgres::rows::EventColumns;
use crate::mirror::sinks::central::postgres::schema::Month;
use crate::time::Span;
use crate::time::Timestamp;

const DEFAULT_BATCH: usize = 2000;
/// The months that are made: so far ahead, and so far back for a log that is older than its mirror.
const MONTHS_AHEAD: Span = Span::from_seconds(93 * 86_400);
const MONTHS_BACK: Span = Span::from_seconds(3 * 365 * 86_400);

pub(crate) struct PostgresSink {
    server: PostgresServer,
    names: TableNames,
    clock: fn() -> Timestamp,
    /// The number of this log in the store, which [`Sink::report_head`] finds.
    log: Option<i32>,
    /// The months that are there, or cannot be made.
    months: Vec<Month>,
    /// Whether the role may make months.
    makes_months: bool,
}

impl PostgresSink {
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(crate) fn new(config: &CentralConfig, context: SinkContext<'_>) -> Result<Self, Failure> {
        let names = TableNames::parse(config.table.as_deref())
            .map_err(|why| Failure::new(Exit::Config, why))?;
        Ok(Self {
            server: PostgresServer::new(config, context)?,
            names,
            clock: context.clock,
            log: None,
            months: Vec::new(),
            makes_months: true,
        })
    }

    /// Makes the tables where they are missing, and checks their version.
    fn prepare_tables(&mut self) -> Result<(), SinkFailure> {
        if self.read_version()?.is_none() {
            // Of several hosts that begin at once, one makes the tables, and the others wait for it.
            let create = format!(
                "SELECT pg_advisory_xact_lock(hashtext('activity {}')); {}",
                self.names.event,
                schema::create_tables(&self.names)
            );
            match self.server.execute_batch(&create) {
                Err(error) if !error.is(&SqlState::DUPLICATE_TABLE) => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        match self.read_version()? {
            Some(schema::VERSION) => Ok(()),
            Some(version) if version > schema::VERSION => Err(SinkFailure::unavailable(format!(
                "the central store was made by a newer version of activity ({version})"
            ))),
            Some(_) | None => Err(SinkFailure::unavailable(format!(
                "{} is no table of a central store",
                self.names.origin
            ))),
        }
    }

    /// Returns the version of the tables; `None` where there are none, 0 where they are not ours.
    fn read_version(&mut self) -> Result<Option<i64>, StatementError> {
        let sql = "SELECT obj_description(to_regclass($1), 'pg_class') \
                   WHERE to_regclass($1) IS NOT NULL";
        let rows = self.server.query(sql, &[(&self.names.origin, Type::TEXT)])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let comment: Option<&str> = row.get(0);
        let version = comment.and_then(|text| text.strip_prefix(schema::VERSION_COMMENT));
        Ok(Some(version.and_then(|version| version.parse().ok()).unwrap_or(0)))
    }

    /// Makes the months from now on, so that no event waits for one.
    fn make_coming_months(&mut self) -> Result<(), SinkFailure> {
        let now = (self.clock)();
        self.make_months(now, now.saturating_add(MONTHS_AHEAD))
    }

    /// Makes the months of a batch. Times beyond those of a sound clock get none.
    fn make_months_of(&mut self, batch: &[OutgoingEvent]) -> Result<(), SinkFailure> {
        let now = (self.clock)();
        let (oldest, newest) = (now.saturating_sub(MONTHS_BACK), now.saturating_add(MONTHS_AHEAD));
        for outgoing in batch {
            let at = outgoing.event.occurred_at;
            let is_known = self.months.iter().any(|month| month.contains(at));
            if !is_known && (oldest..newest).contains(&at) {
                self.make_months(at, at)?;
            }
        }
        Ok(())
    }

    fn make_months(&mut self, first: Timestamp, last: Timestamp) -> Result<(), SinkFailure> {
        for month in Month::between(first, last) {
            if self.makes_months && !self.months.contains(&month) {
                match self.server.execute_batch(&month.create(&self.names)) {
                    // Events of this month are in the table of the others already.
                    Ok(()) => {}
                    Err(error)
                        if error.is(&SqlState::CHECK_VIOLATION)
                            || error.is(&SqlState::DUPLICATE_TABLE) => {}
                    // Somebody else makes the months, or all stays in the table of the others.
                    Err(error) if error.is(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                        self.makes_months = false;
                    }
                    Err(error) => return Err(error.into()),
                }
                self.months.push(month);
            }
        }
        Ok(())
    }

    /// Returns the hashes of the events of a batch that the store has.
    fn read_hashes(
        &mut self,
        log: i32,
        batch: &[OutgoingEvent],
    ) -> Result<HashMap<EventId, Vec<u8>>, StatementError> {
        let ids: Vec<i64> = batch.iter().map(|outgoing| outgoing.event.id.0).collect();
        let sql =
            format!("SELECT id, hash FROM {} WHERE log = $1 AND id = ANY ($2)", self.names.event);
        let parameters = [(&log as _, Type::INT4), (&ids as _, Type::INT8_ARRAY)];
        let rows = self.server.query(&sql, &parameters)?;
        Ok(rows.iter().map(|row| (EventId(row.get(0)), row.get(1))).collect())
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
        let Some(log) = self.log else {
            return Err(SinkFailure::unavailable("this log is not known to the store yet"));
        };
        self.make_months_of(batch)?;
        let mut stored = self.read_hashes(log, batch)?;
        let is_new = |outgoing: &&OutgoingEvent| !stored.contains_key(&outgoing.event.id);
        let new: Vec<&OutgoingEvent> = batch.iter().filter(is_new).collect();
        if !new.is_empty() {
            let columns = EventColumns::new(log, &new);
            let inserted =
                self.server.query(&columns.insert(&self.names), &columns.parameters())?;
            // The number of rows that the server counts is wrong on some engines; these rows are not.
            if inserted.len() < new.len() {
                // Another run of this mirror was quicker.
                stored = self.read_hashes(log, batch)?;
            }
        }
        let changed = batch.iter().enumerate().filter_map(|(index, outgoing)| {
            let hash = stored.get(&outgoing.event.id)?;
            let differs = *hash != outgoing.event.hash.0;
            differs.then(|| central::changed_past(index, hash, outgoing))
        });
        Ok(changed.collect())
    }

    fn report_head(&mut self, head: &LogHeartbeat) -> Result<(), SinkFailure> {
        if self.log.is_none() {
            self.prepare_tables()?;
        }
        self.make_coming_months()?;
        let sql = format!(
            "INSERT INTO {} AS known (uuid, host, head_id, head_hash, head_at) \
             VALUES ($1::uuid, $2, $3, $4, $5) \
             ON CONFLICT (uuid) DO UPDATE SET host = excluded.host, head_id = excluded.head_id, \
             head_hash = excluded.head_hash, head_at = excluded.head_at RETURNING log",
            self.names.origin
        );
        let hash = &head.hash.0[..];
        let at = head.at.as_nanos();
        let rows = self.server.query(
            &sql,
            &[
                (&central::uuid_text(&head.uuid), Type::TEXT),
                (&head.host, Type::TEXT),
                (&head.head.0, Type::INT8),
                (&hash, Type::BYTEA),
                (&at, Type::INT8),
            ],
        )?;
        self.log = rows.first().map(|row| row.get(0));
        Ok(())
    }

    /// Checks the tables and the right to write to them. No event is stored: a row cannot be taken back.
    fn test(&mut self, _probe: &OutgoingEvent) -> Result<(), SinkFailure> {
        self.prepare_tables()?;
        let sql = "SELECT has_table_privilege($1, 'INSERT') AND has_table_privilege($2, 'INSERT')";
        let names = [(&self.names.event as _, Type::TEXT), (&self.names.origin as _, Type::TEXT)];
        let rows = self.server.query(sql, &names)?;
        match rows.first().map(|row| row.get(0)) {
            Some(true) => Ok(()),
            Some(false) | None => {
                Err(SinkFailure::unavailable("the role may not write to the central store"))
            }
        }
    }
}
