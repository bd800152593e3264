//! Exports all events that a query matches to a file or a stream, and records that in the log before
//! the first byte goes out.
//!
//! ## Exactness
//!
//! An export has the events up to the head at its start. The `log.export` event names that head and
//! the number of rows. Ids only ascend and no sweep runs during an export, so the number stays right.
//!
//! ## Concurrency
//!
//! The log is read in short batches: an export into a slow pipe neither blocks a writer nor keeps the
//! write-ahead log from being reused. `stream` says which threads read, and which one writes.
//!
//! The caller decides who may export what; `codec` decides how a row is written.

mod destination;
mod stream;

use std::path::Path;

use anyhow::Context;
use anyhow::Result;

use crate::access::Scope;
use crate::codec;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::field::Field;
use crate::event::own_events;
use crate::export::stream::ExportSource;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Query;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::Stamp;

pub(crate) use destination::Destination;
pub(crate) use destination::is_same_file;
pub(crate) use destination::is_stdout;
pub(crate) use destination::refuse_log;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// `raw` leaves cells unchanged that a spreadsheet would run as formulas.
    Csv {
        raw: bool,
        has_header: bool,
    },
    JsonLines,
    MirrorLines,
    /// A page for a browser.
    Html,
}

impl ExportFormat {
    /// CSV as a spreadsheet reads it safely, with the names of the columns.
    pub(crate) const CSV: Self = Self::Csv { raw: false, has_header: true };

    /// Reads the name of a format.
    ///
    /// # Errors
    /// One line that names the formats.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "csv" => Ok(Self::CSV),
            "jsonl" => Ok(Self::JsonLines),
            "mirror" => Ok(Self::MirrorLines),
            _ => Err("none of csv, jsonl, mirror".to_owned()),
        }
    }

    /// Returns the format that belongs to the ending of a file name.
    pub(crate) fn from_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::CSV),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::JsonLines => "jsonl",
            Self::MirrorLines => "mirror",
            Self::Html => "html",
        }
    }

    fn write_header(self, request: &ExportRequest<'_>, rows: RowOrigin, out: &mut Vec<u8>) {
        match (self, rows) {
            (Self::Csv { has_header: false, .. }, _) => {}
            (Self::Csv { .. }, RowOrigin::OneLog) => {
                codec::csv::encode_header(request.fields, out);
            }
            (Self::Csv { .. }, RowOrigin::ManyLogs) => {
                codec::csv::encode_header_with_log(request.fields, out);
            }
            (Self::JsonLines | Self::MirrorLines, _) => {}
            (Self::Html, _) => {
                let head = codec::page::PageHead {
                    site: request.labels.site,
                    system_label: request.labels.system_label,
                    query: &request.query.to_string(),
                    made_at: (request.stamp.clock)(),
                    zone: request.labels.zone,
                };
                codec::page::encode_head(&head, out);
            }
        }
    }

    fn write_end(self, out: &mut Vec<u8>) {
        match self {
            Self::Csv { .. } | Self::JsonLines | Self::MirrorLines => {}
            Self::Html => codec::page::encode_tail(out),
        }
    }

    /// Appends an event; `site` names the log where the event has no tenant. A mirror line has all
    /// fields.
    fn write_row(
        self,
        event: &Event,
        (fields, site): (&[&'static Field], &str),
        line: &mut String,
        out: &mut Vec<u8>,
    ) {
        line.clear();
        match self {
            Self::Csv { raw, .. } => return codec::csv::encode(event, fields, raw, line, out),
            Self::JsonLines => codec::jsonl::encode_fields(event, fields.iter().copied(), line),
            Self::MirrorLines => {
                let identifier = event.tenant.as_deref().unwrap_or(site);
                codec::mirror_line::encode(event, identifier, line);
            }
            Self::Html => return codec::page::encode(event, line, out),
        }
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
    }
}

/// Where the rows come from: those of many logs have the name of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowOrigin {
    OneLog,
    ManyLogs,
}

impl RowOrigin {
    fn of(log: &Log) -> Self {
        if log.is_central() { Self::ManyLogs } else { Self::OneLog }
    }
}

/// One export: the events, the format, and the caller in whose name it is recorded.
#[derive(Clone, Copy)]
pub(crate) struct ExportRequest<'a> {
    /// The part of the log that the caller may see. The event has the rows of that part and the
    /// query alone.
    pub scope: &'a Scope,
    pub query: &'a Query,
    pub format: ExportFormat,
    /// The fields of each row, in their order.
    pub fields: &'a [&'static Field],
    /// The path of the file, for the event.
    pub output: Option<&'a str>,
    pub labels: PageLabels<'a>,
    pub exporter: Exporter<'a>,
    pub stamp: Stamp<'a>,
}

/// What a page and a mirror line say beside the events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLabels<'a> {
    /// The name of the log.
    pub site: &'a str,
    pub system_label: &'a str,
    /// The name of the zone of its times.
    pub zone: &'a str,
}

/// The person who exports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exporter<'a> {
    /// Who they are in the log.
    pub id: &'a str,
    /// Their user name.
    pub name: &'a str,
}

/// Exports everything that the query matches from the log at `path`, oldest first.
///
/// # Errors
/// Those of the log, in which case nothing went out, and those of the destination.
pub(crate) fn run(
    mut log: LocalLog,
    path: &Path,
    request: &ExportRequest<'_>,
    destination: Destination,
) -> Result<()> {
    let sweep_hold = log.hold_off_sweeps()?;
    let (head, _) = log.head()?;
    // A writer has a large page cache, which to read the log once does not need.
    let reader = Log::open_to_read(path)?;
    let rows = count_up_to(&reader, request, head)?;
    record_export(&mut log, request, rows, &[EventPlace { id: head, log: None }])?;
    drop(log);
    let source = ExportSource { log: &reader, path: Some(path), head, rows };
    let written = stream::stream(&source, request, destination)?;
    drop(sweep_hold);
    if written != rows {
        // Only somebody who edits the file can have removed or inserted events below the head.
        let message = format!("exported {written} rows where the log has {rows}");
        let hint = "`activity verify` tells whether somebody changed it";
        return Err(Failure::new(Exit::Io, message).hint(hint).into());
    }
    Ok(())
}

/// Exports everything that the query matches from a central store, and records it in this host's log.
/// What arrives in the store meanwhile is not in the export.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_from_store(
    mut log: LocalLog,
    store: &Log,
    request: &ExportRequest<'_>,
    destination: Destination,
) -> Result<()> {
    let heads = store.heads()?;
    let query = request.query.clone().and(Query::up_to_places(&heads));
    let rows = store.count(request.scope, &query, u64::MAX)?;
    record_export(&mut log, request, rows, &heads)?;
    drop(log);
    let request = ExportRequest { query: &query, ..*request };
    let source = ExportSource { log: store, path: None, head: EventId(i64::MAX), rows };
    let written = stream::stream(&source, &request, destination)?;
    if written != rows {
        let message = format!("exported {written} rows where the store had {rows}");
        let hint = "a month of the store may have been removed meanwhile";
        return Err(Failure::new(Exit::Io, message).hint(hint).into());
    }
    Ok(())
}

/// Exports the events of one page of a listing; `store` is the central one that they are from.
///
/// # Errors
/// As [`run`].
pub(crate) fn export_page(
    mut log: LocalLog,
    store: Option<&Log>,
    events: &[Event],
    request: &ExportRequest<'_>,
    mut destination: Destination,
) -> Result<()> {
    let source: &Log = store.unwrap_or(&log);
    let (heads, rows) = (source.heads()?, RowOrigin::of(source));
    record_export(&mut log, request, events.len() as u64, &heads)?;
    let mut out = Vec::new();
    let mut line = String::new();
    request.format.write_header(request, rows, &mut out);
    for event in events {
        request.format.write_row(event, (request.fields, request.labels.site), &mut line, &mut out);
    }
    request.format.write_end(&mut out);
    destination.write_all(&out)?;
    destination.finish()
}

/// Returns the number of matching events up to an id.
fn count_up_to(log: &Log, request: &ExportRequest<'_>, head: EventId) -> Result<u64> {
    if head.0 == 0 {
        return Ok(0);
    }
    log.count(request.scope, &request.query.clone().and(Query::up_to(head)), u64::MAX)
}

/// Records in the log who exports what.
fn record_export(
    log: &mut LocalLog,
    request: &ExportRequest<'_>,
    rows: u64,
    heads: &[EventPlace],
) -> Result<()> {
    let query = request.query.to_string();
    let payload = own_events::ExportPayload {
        format: request.format.name(),
        query: &query,
        rows,
        heads,
        output: request.output,
    };
    let Exporter { id, name } = request.exporter;
    let event = own_events::export_event(&payload, id.to_owned(), name.to_owned());
    log.append(&[event], &request.stamp)
        .context("cannot record the export, so nothing is exported")?;
    Ok(())
}
