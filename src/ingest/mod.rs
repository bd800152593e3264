//! Takes in events from files and streams: parses on one thread, writes on another.
//!
//! `run` returns after everything that it counted is committed and synced. The caller opens the
//! inputs with the right rights, shows the reports, and ends the process after a signal.
//!
//! ## Durability
//! The place that was reached in a file is committed with its events, so the same call completes
//! the work of a run that was killed.
//!
//! ## Locking
//! A transaction is open only while events arrive, never while the run waits for an input.
//!
//! ## Cost
//! Memory does not grow with an input: only some of its records are in memory at a time. A stream
//! that must land whole or not at all is first kept in a file on disk.

mod known_file;
mod parser;
mod preview;
mod rejects;
mod seen_ids;
mod spool;
mod strict;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::access::IngestRights;
use crate::codec::DecodeOptions;
use crate::failure::Exit;
use crate::failure::Failure;
pub(crate) use crate::ingest::preview::IngestPreview;
pub(crate) use crate::ingest::preview::preview;
pub(crate) use crate::ingest::rejects::Rejects;
pub(crate) use crate::ingest::rejects::RejectsContents;
use crate::ingest::writer::IngestWriter;
use crate::interrupt::Interrupt;
use crate::store::LocalLog;
use crate::text;
use crate::time::Timestamp;

/// An input that is named, and opened when its turn comes.
pub(crate) struct Input<'a> {
    /// Its name for messages, as the user wrote it.
    pub name: String,
    /// Called once.
    pub open: Box<dyn Fn() -> Result<InputSource> + 'a>,
}

/// The source of an input.
pub(crate) enum InputSource {
    /// An open file; one that is not a regular file is read as a stream.
    File(File),
    Stream(Box<dyn Read + Send>),
}

/// The options of a run.
pub(crate) struct IngestOptions<'a> {
    pub decode_options: DecodeOptions,
    /// Store nothing if one record is bad.
    pub strict: bool,
    /// Read files from their beginning, even those that an earlier run read.
    pub reread_files: bool,
    /// What the caller may say in events.
    pub rights: Arc<IngestRights>,
    /// The user who runs the program, as each event records them.
    pub recorded_by: &'a str,
    pub clock: &'a dyn Fn() -> Timestamp,
    /// A folder for a temporary copy of a stream. Only `strict` needs it.
    pub spool_folder: &'a Path,
    pub interrupt: &'a Interrupt,
}

/// The counts so far. Only durable events count as ingested or as duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IngestCounts {
    pub ingested: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Records of files that an earlier run stored.
    pub already_ingested: u64,
    /// The rejected records that the caller may not record.
    pub not_permitted: u64,
}

impl IngestCounts {
    /// Returns the exit of a run with these counts.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self { not_permitted: 1.., .. } => Exit::NoPermission,
            Self { rejected: 1.., .. } => Exit::Data,
            _ => Exit::Success,
        }
    }

    fn add(&mut self, other: Self) {
        self.ingested += other.ingested;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.already_ingested += other.already_ingested;
        self.not_permitted += other.not_permitted;
    }
}

/// A report to the user during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IngestUpdate<'a> {
    /// One line about a record, escaped.
    Message(&'a str),
    /// The same about the last record of a file that is being written, which has no end yet.
    Unfinished(&'a str),
    /// A remark on a run that went well.
    Note(&'a str),
    Progress(InputProgress<'a>),
}

/// The progress in an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputProgress<'a> {
    pub input: &'a str,
    pub bytes: u64,
    /// The size of a file.
    pub total_bytes: Option<u64>,
    /// Events of all inputs so far, those that are not committed yet too.
    pub events: u64,
}

/// The end of a run that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IngestEnd {
    Completed,
    /// This signal ended it, after the events that had been read were stored.
    Interrupted(i32),
}

/// Takes in the inputs one after the other. `tally` is right also when the run fails. The bad
/// records go to `rejects` unchanged: a row of CSV after its header, an element of an array on a
/// line of its own.
///
/// # Errors
/// Errors of the log, of opening and reading an input, of writing `rejects`. A bad record is none.
pub(crate) fn run<'a>(
    log: &mut LocalLog,
    inputs: &[Input<'_>],
    options: &'a IngestOptions<'a>,
    rejects: Option<Rejects<'a>>,
    report: &'a mut dyn FnMut(IngestUpdate<'_>),
    tally: &'a mut IngestCounts,
) -> Result<IngestEnd> {
    run_with(IngestWriter::new(options, rejects, report, tally), log, inputs)
}

fn run_with(
    mut writer: IngestWriter<'_>,
    log: &mut LocalLog,
    inputs: &[Input<'_>],
) -> Result<IngestEnd> {
    let result = if writer.options.strict {
        strict::run(&mut writer, log, inputs)
    } else {
        writer.run(log, inputs)
    };
    writer.report_suppressed();
    writer.report_notes();
    match result {
        Ok(()) => Ok(IngestEnd::Completed),
        Err(error) => match error.downcast_ref() {
            Some(Interrupted(signal)) => Ok(IngestEnd::Interrupted(*signal)),
            None => Err(error),
        },
    }
}

/// A signal arrived, so the run starts nothing more.
#[derive(Clone, Copy, Debug)]
struct Interrupted(i32);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn read_failure(name: &str) -> Failure {
    Failure::new(Exit::Io, format!("cannot read {}", text::escape(name)))
}
