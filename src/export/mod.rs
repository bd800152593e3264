//! All that a query matches, as a file or a stream, told in the log before the first byte goes out.
//!
//! ## Exactness
//!
//! What was there when it began is exported: ids up to the head of that moment, which the
//! `log.export` event names beside the number of rows. Ids only ascend and no sweep runs meanwhile,
//! so the number holds however long it takes, while the log is read in short steps: whoever reads
//! slowly keeps neither a writer waiting nor the WAL from starting over.
//!
//! Who may export what is decided above; how a row is written is `codec`'s.

mod destination;

use std::path::Path;
use std::sync::mpsc;
use std::sync::mpsc::SyncSender;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::codec;
use crate::event::Event;
use crate::event::EventId;
use crate::event::own_events;
use crate::failure::{Exit, Failure};
use crate::query::Clock;
use crate::query::Query;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::Stamp;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use destination::{Destination, is_same_file, refuse_log};

/// How many events are read at a time.
const BATCH_SIZE: usize = 1_000;
/// How many such steps may wait for the writer: memory stays flat however slow it is.
const QUEUED_BATCHES: usize = 4;

/// In which form events go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// `raw` leaves cells as they are that a spreadsheet would run.
    Csv {
        raw: bool,
    },
    JsonLines,
}

impl ExportFormat {
    /// The format that a file's name asks for by its ending.
    pub(crate) fn from_path(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Some(Self::Csv { raw: false }),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    fn write_header(self, out: &mut Vec<u8>) {
        match self {
            Self::Csv { .. } => codec::csv::encode_header(out),
            Self::JsonLines => {}
        }
    }

    fn write_row(self, event: &Event, line: &mut String, out: &mut Vec<u8>) {
        match self {
            Self::Csv { raw } => codec::csv::encode(event, raw, out),
            Self::JsonLines => {
                line.clear();
                codec::jsonl::encode(event, line);
                line.push('\n');
                out.extend_from_slice(line.as_bytes());
            }
        }
    }
}

/// What is exported, and on whose behalf.
pub(crate) struct ExportRequest<'a> {
    pub query: &'a Query,
    pub format: ExportFormat,
    /// The file's name, for the event.
    pub output: Option<&'a str>,
    /// The user's name: who he is in the log.
    pub exporter: &'a str,
    pub stamp: Stamp<'a>,
}

/// Exports everything that the query matches from the log at `path`, oldest first.
///
/// # Errors
/// Those of the log, in which case nothing went out, and those of the target.
pub(crate) fn run(
    mut log: LocalLog,
    path: &Path,
    request: &ExportRequest<'_>,
    target: Destination,
) -> Result<()> {
    let held_off = log.hold_off_sweeps()?;
    let (head, _) = log.head()?;
    let rows = count_up_to(&log, request.query, head)?;
    record_export(&mut log, request, rows, head)?;
    // A writer keeps many pages at hand, which one walk through the log has no use for.
    drop(log);
    let written = stream(&Log::open_to_read(path)?, request, head, target)?;
    drop(held_off);
    if written != rows {
        // Nothing is removed or put in below the head meanwhile but by hand.
        let what = format!("exported {written} rows where the log has {rows}");
        let hint = "`activity verify` tells whether somebody changed it";
        return Err(Failure::new(Exit::Io, what).hint(hint).into());
    }
    Ok(())
}

/// Exports the events of one page as they are shown.
///
/// # Errors
/// As [`run`].
pub(crate) fn export_page(
    mut log: LocalLog,
    events: &[Event],
    request: &ExportRequest<'_>,
    mut target: Destination,
) -> Result<()> {
    let (head, _) = log.head()?;
    record_export(&mut log, request, events.len() as u64, head)?;
    let mut out = Vec::new();
    let mut line = String::new();
    request.format.write_header(&mut out);
    for event in events {
        request.format.write_row(event, &mut line, &mut out);
    }
    target.write_all(&out)?;
    target.finish()
}

/// How many events up to that id match.
fn count_up_to(log: &Log, query: &Query, head: EventId) -> Result<u64> {
    if head.0 == 0 {
        return Ok(0);
    }
    // No time is in it, so it does not matter which time it is.
    let clock = Clock { now: Timestamp::from_nanos(0), zone: &Zone::utc() };
    let up_to = Query::parse(&format!("id:1-{head}"), &clock)?;
    log.count(&query.clone().and(up_to), u64::MAX)
}

/// Tells the log who takes what out of it.
fn record_export(
    log: &mut LocalLog,
    request: &ExportRequest<'_>,
    rows: u64,
    head: EventId,
) -> Result<()> {
    let query = request.query.to_string();
    let what = own_events::ExportPayload {
        format: request.format.name(),
        query: &query,
        rows,
        last_id: head.0,
        output: request.output,
    };
    let name = request.exporter.to_owned();
    let event = own_events::export_event(&what, name.clone(), name);
    log.append(&[event], &request.stamp)
        .context("cannot record the export, so nothing is exported")?;
    Ok(())
}

/// Reads on this thread, and encodes and writes on another.
fn stream(
    log: &Log,
    request: &ExportRequest<'_>,
    head: EventId,
    mut target: Destination,
) -> Result<u64> {
    let format = request.format;
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(QUEUED_BATCHES);
        let writer = scope.spawn(move || -> Result<u64> {
            let mut written = 0;
            let mut line = String::new();
            let mut out = Vec::with_capacity(1 << 20);
            format.write_header(&mut out);
            for step in receiver {
                let ExportBatch::Events(events) = step else {
                    target.write_all(&out)?;
                    target.finish()?;
                    break;
                };
                for event in &events {
                    format.write_row(event, &mut line, &mut out);
                }
                target.write_all(&out)?;
                out.clear();
                written += events.len() as u64;
            }
            Ok(written)
        });
        let read = send_batches(log, request.query, head, &sender);
        drop(sender);
        let written = writer.join().expect("the writer does not panic");
        read.and(written)
    })
}

/// What goes to the writer.
enum ExportBatch {
    Events(Vec<Event>),
    /// That was all: without it the export broke off, and must not be taken for a whole.
    End,
}

/// Sends what the query matches in steps. That nobody takes it any more is the writer's to tell.
fn send_batches(
    log: &Log,
    query: &Query,
    head: EventId,
    sender: &SyncSender<ExportBatch>,
) -> Result<()> {
    let mut events = Vec::with_capacity(BATCH_SIZE);
    let mut taken = true;
    log.each(query, head, &mut |event| {
        events.push(event);
        if events.len() == BATCH_SIZE {
            let full = std::mem::replace(&mut events, Vec::with_capacity(BATCH_SIZE));
            taken = sender.send(ExportBatch::Events(full)).is_ok();
        }
        if taken { Ok(()) } else { bail!("nobody takes the export any more") }
    })
    .or_else(|error| if taken { Err(error) } else { Ok(()) })?;
    for step in [ExportBatch::Events(events), ExportBatch::End] {
        taken = taken && sender.send(step).is_ok();
    }
    Ok(())
}
