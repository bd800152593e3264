//! The stream of an export: readers, each of which takes every so many of the spans into which time is
//! cut, and one writer, which puts their rows in order.
//!
//! ## Cost
//!
//! A reader has a connection of its own, and encodes what it reads: events that another thread frees cost
//! more than all of the encoding. It is at most [`QUEUED_BATCHES`] ahead of the writer.

use std::path::Path;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::thread;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;

use crate::access::Scope;
use crate::event::EventId;
use crate::event::field::Field;
use crate::export::Destination;
use crate::export::ExportFormat;
use crate::export::ExportRequest;
use crate::export::RowOrigin;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::store::Log;

/// The bytes with which a batch of rows is full. An event may have 1 MiB.
const BATCH_BYTES: usize = 256 << 10;
/// The number of batches of a reader that may wait for the writer; with their bytes it bounds the memory.
const QUEUED_BATCHES: usize = 8;
/// The rows of a span, on the average. As many wait for the writer where they are of some 500 bytes.
const SPAN_ROWS: u64 = 4_000;
/// The rows from which on a second reader gains more than to open the log once more costs.
const SHARED_ROWS: u64 = 5 * SPAN_ROWS;
const MAX_READERS: usize = 2;

/// What is read: a log as it is open, up to an event, and how many rows that gives.
pub(super) struct ExportSource<'a> {
    pub log: &'a Log,
    /// Where further readers open it; absent for a central store.
    pub path: Option<&'a Path>,
    pub head: EventId,
    pub rows: u64,
}

/// A message of a reader.
enum ReadBatch {
    /// Encoded rows, and their number.
    Rows(Vec<u8>, u64),
    /// The end of a span. Without it the export was interrupted and must not look complete.
    EndOfSpan,
}

/// Writes all rows, and returns their number.
pub(super) fn stream(
    source: &ExportSource<'_>,
    request: &ExportRequest<'_>,
    mut destination: Destination,
) -> Result<u64> {
    let readers = count_readers(source);
    let spans = if readers > 1 {
        // Ids are at least as many as events, and rows may be few of them.
        let events = u64::try_from(source.head.0).unwrap_or(0).max(source.rows);
        let events = SPAN_ROWS.saturating_mul(events / source.rows);
        source.log.time_spans(u32::try_from(events).unwrap_or(u32::MAX))?
    } else {
        vec![TimeBounds::default()]
    };
    let format = request.format;
    let mut header = Vec::new();
    format.write_header(request, RowOrigin::of(source.log), &mut header);
    destination.write_all(&header)?;
    let rows = SelectedRows {
        scope: request.scope,
        query: request.query,
        head: source.head,
        format,
        fields: request.fields,
        site: request.labels.site,
    };
    let share = |reader| spans.iter().copied().skip(reader).step_by(readers);
    thread::scope(|scope| {
        let (mut senders, receivers): (Vec<_>, Vec<_>) =
            (0..readers).map(|_| mpsc::sync_channel(QUEUED_BATCHES)).unzip();
        let in_order = (0..spans.len()).map(|span| span % readers);
        let write = move || write_batches(&receivers, in_order, format, destination);
        let writer = thread::Builder::new().spawn_scoped(scope, write);
        let writer = writer.context("cannot start a thread")?;
        let mut others = Vec::new();
        if let Some(path) = source.path.filter(|_| readers > 1) {
            let uuid = source.log.uuid()?;
            for (reader, sender) in senders.drain(1..).enumerate() {
                let spans = share(reader + 1);
                let read = move || rows.send_from(&open_again(path, uuid)?, spans, &sender);
                let other = thread::Builder::new().spawn_scoped(scope, read);
                others.push(other.context("cannot start a thread")?);
            }
        }
        let mut read = match &senders[..] {
            [sender, ..] => rows.send_from(source.log, share(0), sender),
            [] => Ok(()),
        };
        drop(senders);
        for other in others {
            read = read.and(other.join().expect("a panic ends the program"));
        }
        let written = writer.join().expect("a panic ends the program");
        read.and(written)
    })
}

fn count_readers(source: &ExportSource<'_>) -> usize {
    if source.path.is_none() || source.rows < SHARED_ROWS {
        return 1;
    }
    thread::available_parallelism().map_or(1, |processors| processors.get().min(MAX_READERS))
}

/// Opens the log of another reader once more.
fn open_again(path: &Path, uuid: [u8; 16]) -> Result<Log> {
    let log = Log::open_to_read(path)?;
    if log.uuid()? != uuid {
        let message = format!("{}: another log has its name now", path.display());
        return Err(Failure::new(Exit::TryAgain, message).into());
    }
    Ok(log)
}

/// What goes out, and how.
#[derive(Clone, Copy)]
struct SelectedRows<'a> {
    scope: &'a Scope,
    query: &'a Query,
    head: EventId,
    format: ExportFormat,
    fields: &'a [&'static Field],
    site: &'a str,
}

impl SelectedRows<'_> {
    /// Sends the rows of some spans in batches. Stops without an error if the writer has stopped: the
    /// writer returns its own.
    fn send_from(
        self,
        log: &Log,
        spans: impl Iterator<Item = TimeBounds>,
        sender: &SyncSender<ReadBatch>,
    ) -> Result<()> {
        let mut line = String::new();
        for span in spans {
            let (mut rows, mut count) = (Vec::with_capacity(BATCH_BYTES), 0);
            let mut has_receiver = true;
            let mut take = |event| {
                self.format.write_row(&event, (self.fields, self.site), &mut line, &mut rows);
                count += 1;
                if rows.len() >= BATCH_BYTES {
                    let full = std::mem::replace(&mut rows, Vec::with_capacity(BATCH_BYTES));
                    let full = ReadBatch::Rows(full, std::mem::take(&mut count));
                    has_receiver = sender.send(full).is_ok();
                }
                if has_receiver { Ok(()) } else { bail!("the writer of the export has stopped") }
            };
            let read = log.each_within(self.scope, self.query, span, self.head, &mut take);
            if !has_receiver {
                return Ok(());
            }
            read?;
            for batch in [ReadBatch::Rows(rows, count), ReadBatch::EndOfSpan] {
                if sender.send(batch).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Writes the batches of readers, span by span; `in_order` names the reader of each. Returns the number of
/// rows.
fn write_batches(
    receivers: &[Receiver<ReadBatch>],
    in_order: impl Iterator<Item = usize>,
    format: ExportFormat,
    mut destination: Destination,
) -> Result<u64> {
    let mut written = 0;
    for receiver in in_order.filter_map(|reader| receivers.get(reader)) {
        loop {
            match receiver.recv() {
                Ok(ReadBatch::Rows(rows, count)) => {
                    destination.write_all(&rows)?;
                    written += count;
                }
                Ok(ReadBatch::EndOfSpan) => break,
                // The reader has the error.
                Err(_) => return Ok(written),
            }
        }
    }
    let mut end = Vec::new();
    format.write_end(&mut end);
    destination.write_all(&end)?;
    destination.finish()?;
    Ok(written)
}
