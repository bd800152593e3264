//! The walk over events and swept runs in the order of ids.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::thread;

use rusqlite::Connection;
use rusqlite::Rows;

use crate::event::EventId;
use crate::event::Hash;
use crate::store::sqlite::verify::SnapshotResult;
use crate::store::sqlite::verify::SqliteSnapshot;
use crate::store::sqlite::verify::read_gap;
use crate::store::sqlite::verify::read_log_head;
use crate::store::sqlite::verify::stretches;
use crate::store::verify::EventOrGap;
use crate::store::verify::LogHead;

/// Selects all runs that end at ?2 or later, with those that sweep ?1 has yet to remove. Such a run
/// comes before the gaps within it.
const RUNS: &str = "SELECT first, last, hash, sweep, NULL, NULL, 1 FROM gap \
      WHERE last >= ?2 AND ?1 > 0 \
    UNION ALL SELECT first, last, hash, sweep, removed_to, removed_hash, 0 FROM removal \
      WHERE sweep = ?1 AND last >= ?2 ORDER BY 1, 7";

/// What changes with each event that is added, and with each that is removed.
#[derive(PartialEq, Eq)]
struct Moment {
    version: i64,
    head: LogHead,
    removals: String,
}

impl Moment {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        const REMOVALS: &str = "SELECT count(*) || ' ' || total(removed_to) FROM removal";
        Ok(Self {
            version: connection.query_row("PRAGMA user_version", [], |row| row.get(0))?,
            head: read_log_head(connection)?,
            removals: connection.query_row(REMOVALS, [], |row| row.get(0))?,
        })
    }
}

impl SqliteSnapshot<'_> {
    pub(in crate::store) fn walk(
        &self,
        from: EventId,
        sweep: Option<i64>,
        visit: &mut dyn FnMut(EventOrGap) -> ControlFlow<()>,
    ) -> SnapshotResult<()> {
        self.walk_by(from, sweep, visit, |visit| {
            let mut dimensions = self.dimensions.borrow_mut();
            stretches::each_event(self.connection, &mut dimensions, from.0, visit)
        })
    }

    /// Walks over all of the log as [`Self::walk`] does, with a second reader where there is a processor
    /// for one.
    pub(in crate::store) fn walk_all_by_turns(
        &self,
        sweep: Option<i64>,
        visit: &mut dyn FnMut(EventOrGap) -> ControlFlow<()>,
    ) -> SnapshotResult<()> {
        let first = EventId(i64::MIN);
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        // Where the ids cannot be read, the walk finds out how far it comes.
        let stretches = stretches::cut_ids(self.connection).unwrap_or_default();
        let other = if processors > 1 && stretches.len() > 1 {
            self.connect_at_same_moment()
        } else {
            None
        };
        let Some(other) = other else {
            return self.walk(first, sweep, visit);
        };
        self.walk_by(first, sweep, visit, |visit| {
            let mut dimensions = self.dimensions.borrow_mut();
            let walked = stretches::each_event_by_turns(
                self.connection,
                other,
                &stretches,
                &mut dimensions,
                visit,
            )?;
            match walked {
                Some(flow) => Ok(flow),
                None => stretches::each_event(self.connection, &mut dimensions, first.0, visit),
            }
        })
    }

    fn walk_by(
        &self,
        from: EventId,
        sweep: Option<i64>,
        visit: &mut dyn FnMut(EventOrGap) -> ControlFlow<()>,
        each_event: impl FnOnce(&mut stretches::Visit<'_>) -> rusqlite::Result<ControlFlow<()>>,
    ) -> SnapshotResult<()> {
        self.read(|connection| {
            let mut runs = connection.prepare(RUNS)?;
            // Without a sweep no run counts.
            let mut runs = runs.query([sweep.unwrap_or(0), from.0])?;
            let mut next = next_run(&mut runs)?;
            let walked = each_event(&mut |event| {
                let id = event.link.id.0;
                while let Some((_, run)) = next.take_if(|(first, _)| *first <= id) {
                    if visit(run).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    next = next_run(&mut runs)?;
                }
                Ok(visit(EventOrGap::Event(event)))
            })?;
            if walked.is_break() {
                return Ok(());
            }
            while let Some((_, run)) = next {
                if visit(run).is_break() {
                    return Ok(());
                }
                next = next_run(&mut runs)?;
            }
            Ok(())
        })
    }

    /// Opens one more connection that sees the same events and runs as this snapshot; `None` where that
    /// fails, or where something was written since this one began.
    fn connect_at_same_moment(&self) -> Option<Connection> {
        let other = self.log.connect_again()?;
        other.execute_batch("BEGIN").ok()?;
        let moment = Moment::read(&other).ok()?;
        (moment == Moment::read(self.connection).ok()?).then_some(other)
    }
}

/// Returns the next row of [`RUNS`], with its first id.
fn next_run(rows: &mut Rows<'_>) -> rusqlite::Result<Option<(i64, EventOrGap)>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    let run = read_gap(row)?;
    let removed_to: Option<i64> = row.get(4)?;
    let found = match removed_to {
        Some(removed_to) => EventOrGap::Removal {
            run,
            removed_to: EventId(removed_to),
            removed_hash: row.get::<_, Option<_>>(5)?.map(Hash),
        },
        None => EventOrGap::Gap(run),
    };
    Ok(Some((run.first.0, found)))
}
