//! Reads events in the order of ids, by one reader or by two who take stretches of ids by turns.
//!
//! ## Cost
//!
//! Each reader has a connection and remembers rows of its own, and inspects what it reads: that is nearly
//! all of the work, so two readers take little more than half the time. The second one is at most
//! [`QUEUED_BATCHES`] ahead.

use std::ops::ControlFlow;
use std::ops::RangeInclusive;
use std::sync::mpsc;
use std::sync::mpsc::SyncSender;
use std::thread;

use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::Result;

use crate::event::EventId;
use crate::store::sqlite::layout;
use crate::store::sqlite::layout::Column;
use crate::store::sqlite::verify::events::CheckedDimensions;
use crate::store::sqlite::verify::events::RowStatements;
use crate::store::sqlite::verify::events::inspect_event;
use crate::store::verify::InspectedEvent;

/// The ids of a stretch, at least.
const STRETCH_IDS: i64 = 2_000;
/// The most stretches that a log is cut into. Where sweeps have removed many events, most have none.
const MAX_STRETCHES: i64 = 1 << 16;
/// The events of a batch of the second reader, and how many batches may wait: two stretches.
const BATCH_EVENTS: usize = 500;
const QUEUED_BATCHES: usize = 8;

/// What becomes of an event; with `Break` the reading ends.
pub(super) type Visit<'a> = dyn FnMut(InspectedEvent) -> Result<ControlFlow<()>> + 'a;

/// One who reads events.
struct EventReader<'a> {
    select: CachedStatement<'a>,
    rows: RowStatements<'a>,
    dimensions: &'a mut CheckedDimensions,
}

impl<'a> EventReader<'a> {
    fn new(connection: &'a Connection, dimensions: &'a mut CheckedDimensions) -> Result<Self> {
        // The table itself: an index could leave out a row.
        const EVENTS: &str = concat!(
            "SELECT ",
            layout::verify_columns!(),
            " FROM event NOT INDEXED WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        );
        let select = connection.prepare_cached(EVENTS)?;
        Ok(Self { select, rows: RowStatements::new(connection)?, dimensions })
    }

    fn read(
        &mut self,
        ids: &RangeInclusive<i64>,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut events = self.select.query([ids.start(), ids.end()])?;
        while let Some(row) = events.next()? {
            let id = EventId(row.get(Column::id.position())?);
            let event = inspect_event(row, id, self.dimensions, &mut self.rows)?;
            if visit(event)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Visits the events from an id on.
pub(super) fn each_event(
    connection: &Connection,
    dimensions: &mut CheckedDimensions,
    from: i64,
    visit: &mut Visit<'_>,
) -> Result<ControlFlow<()>> {
    EventReader::new(connection, dimensions)?.read(&(from..=i64::MAX), visit)
}

/// Visits all events as [`each_event`] does; every other stretch is read on the second connection, which
/// sees the log at the same moment, and on a thread of its own. Where the system refuses a thread, it
/// visits none and returns `None`.
pub(super) fn each_event_by_turns(
    connection: &Connection,
    other: Connection,
    stretches: &[RangeInclusive<i64>],
    dimensions: &mut CheckedDimensions,
    visit: &mut Visit<'_>,
) -> Result<Option<ControlFlow<()>>> {
    thread::scope(|scope| {
        let (sender, batches) = mpsc::sync_channel(QUEUED_BATCHES);
        let read = move || send_stretches(&other, stretches.iter().skip(1).step_by(2), &sender);
        if thread::Builder::new().spawn_scoped(scope, read).is_err() {
            return Ok(None);
        }
        let mut reader = EventReader::new(connection, dimensions)?;
        for (turn, stretch) in stretches.iter().enumerate() {
            if turn % 2 == 0 {
                if reader.read(stretch, visit)?.is_break() {
                    return Ok(Some(ControlFlow::Break(())));
                }
                continue;
            }
            loop {
                let batch: Result<InspectedBatch> =
                    batches.recv().expect("a panic ends the program");
                let InspectedBatch { events, ends_stretch } = batch?;
                for event in events {
                    if visit(event)?.is_break() {
                        return Ok(Some(ControlFlow::Break(())));
                    }
                }
                if ends_stretch {
                    break;
                }
            }
        }
        Ok(Some(ControlFlow::Continue(())))
    })
}

/// Some events of a stretch.
struct InspectedBatch {
    events: Vec<InspectedEvent>,
    ends_stretch: bool,
}

/// Sends the events of these stretches, or an error at the end, for as long as somebody receives them.
fn send_stretches<'a>(
    connection: &Connection,
    stretches: impl Iterator<Item = &'a RangeInclusive<i64>>,
    sender: &SyncSender<Result<InspectedBatch>>,
) {
    let mut dimensions = CheckedDimensions::default();
    let send = || {
        let mut reader = EventReader::new(connection, &mut dimensions)?;
        for stretch in stretches {
            let mut events = Vec::with_capacity(BATCH_EVENTS);
            let read = reader.read(stretch, &mut |event| {
                events.push(event);
                if events.len() < BATCH_EVENTS {
                    return Ok(ControlFlow::Continue(()));
                }
                let events = std::mem::replace(&mut events, Vec::with_capacity(BATCH_EVENTS));
                let sent = sender.send(Ok(InspectedBatch { events, ends_stretch: false }));
                Ok(if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            });
            // Events before one that cannot be read are still to be visited.
            let ends_stretch = read.is_ok();
            let sent = sender.send(Ok(InspectedBatch { events, ends_stretch }));
            if read?.is_break() || sent.is_err() {
                break;
            }
        }
        Ok(())
    };
    if let Err(why) = send() {
        // Nobody receives it where the walk has ended.
        drop(sender.send(Err(why)));
    }
}

/// Returns stretches that have all ids that can be, in order.
pub(super) fn cut_ids(connection: &Connection) -> Result<Vec<RangeInclusive<i64>>> {
    const ENDS: &str = "SELECT (SELECT min(id) FROM event NOT INDEXED), \
        (SELECT max(id) FROM event NOT INDEXED)";
    let (oldest, newest): (Option<i64>, Option<i64>) =
        connection.query_row(ENDS, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(cut(oldest.unwrap_or(0), newest.unwrap_or(0)))
}

fn cut(oldest: i64, newest: i64) -> Vec<RangeInclusive<i64>> {
    let size = STRETCH_IDS.max(newest.saturating_sub(oldest) / MAX_STRETCHES);
    let starts = (1..=MAX_STRETCHES)
        .map_while(|turn| oldest.checked_add(size.checked_mul(turn)?))
        .take_while(|start| *start <= newest);
    let starts: Vec<i64> = std::iter::once(i64::MIN).chain(starts).collect();
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([i64::MAX]);
    starts.iter().zip(ends).map(|(start, end)| *start..=end).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_have_every_id_once(oldest in any::<i64>(), newest in any::<i64>()) {
            let stretches = cut(oldest, newest.max(oldest));
            prop_assert!(stretches.len() <= 1 + usize::try_from(MAX_STRETCHES).unwrap());
            prop_assert_eq!(*stretches[0].start(), i64::MIN);
            prop_assert_eq!(*stretches.last().unwrap().end(), i64::MAX);
            for pair in stretches.windows(2) {
                prop_assert!(!pair[0].is_empty());
                prop_assert_eq!(pair[0].end() + 1, *pair[1].start());
            }
        }
    }

    #[test]
    fn a_log_is_cut_behind_so_many_ids() {
        assert_eq!(cut(0, 0), [i64::MIN..=i64::MAX]);
        assert_eq!(cut(1, 2_001), [i64::MIN..=2_000, 2_001..=i64::MAX]);
        assert_eq!(cut(1, 2_000), [i64::MIN..=i64::MAX]);
    }
}
