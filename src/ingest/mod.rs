//! Takes in events from files and streams: parses on one thread, writes on another.
//!
//! `run` returns after everything that it counted is committed and synced. How far a file was taken
//! is committed with its events, so what a killed run began the same call completes. A transaction
//! is open only while events flow, never while an input is waited for. Opening inputs with the right
//! rights, showing what is reported, and dying by a signal are the caller's part.
//!
//! Memory is flat: whatever an input holds, only some records of it are here at a time. The
//! exception is on disk: a stream that is to be taken whole or not at all is kept in a file first.

mod known_file;
mod parser;
mod spool;
mod strict;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::codec::DecodeOptions;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest::writer::IngestWriter;
use crate::interrupt::Interrupt;
use crate::store::LocalLog;
use crate::text;
use crate::time::Timestamp;

/// An input that is named, and opened when its turn comes.
pub(crate) struct Input<'a> {
    /// Its name for messages, as the user wrote it.
    pub name: String,
    /// May be called twice, for an input that is taken whole or not at all is read twice.
    pub open: Box<dyn Fn() -> Result<InputSource> + 'a>,
}

/// Where an input comes from.
pub(crate) enum InputSource {
    /// A file that was opened; what is no regular file is read as a stream.
    File(File),
    Stream(Box<dyn Read + Send>),
}

/// How to take the inputs.
pub(crate) struct IngestOptions<'a> {
    pub decode_options: DecodeOptions,
    /// Nothing lands if one record is bad.
    pub strict: bool,
    /// Files are taken from their beginning, whatever is known of them.
    pub reread_files: bool,
    /// The log's own actions are taken too: the caller is root or an administrator.
    pub accept_reserved: bool,
    /// Who runs the program, for every event.
    pub recorded_by: &'a str,
    pub clock: &'a dyn Fn() -> Timestamp,
    /// A folder where a stream may be kept for a while. Only `strict` needs it.
    pub spool_folder: &'a Path,
    pub interrupt: &'a Interrupt,
}

/// What happened so far. Only what is durable counts as ingested or as a duplicate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IngestCounts {
    pub ingested: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Records of files that an earlier run took.
    pub already_ingested: u64,
    /// How many of the rejected had an action that is the log's own.
    pub reserved: u64,
}

impl IngestCounts {
    /// How a run ends that came to this.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self { reserved: 1.., .. } => Exit::NoPermission,
            Self { rejected: 1.., .. } => Exit::Data,
            _ => Exit::Success,
        }
    }

    fn add(&mut self, other: Self) {
        self.ingested += other.ingested;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.already_ingested += other.already_ingested;
        self.reserved += other.reserved;
    }
}

/// What a user may want to see while it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IngestUpdate<'a> {
    /// One line about a record, escaped.
    Message(&'a str),
    Progress(InputProgress<'a>),
}

/// How far an input was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputProgress<'a> {
    pub input: &'a str,
    pub bytes: u64,
    /// The size of a file.
    pub total_bytes: Option<u64>,
    /// Events of all inputs so far, those that are not committed yet too.
    pub events: u64,
}

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IngestEnd {
    Completed,
    /// By this signal: what had been read was finished first.
    Interrupted(i32),
}

/// Takes the inputs one after the other. `tally` tells what landed also when it fails. The bad
/// records go to `rejects` as they came; a row of CSV after its header, an element of an array on a
/// line of its own.
///
/// # Errors
/// Those of the log, of opening and reading an input, of writing `rejects`. Bad records are none.
pub(crate) fn run<'a>(
    log: &mut LocalLog,
    inputs: &[Input<'_>],
    options: &'a IngestOptions<'a>,
    rejects: Option<&'a mut dyn Write>,
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
    match result {
        Ok(()) => Ok(IngestEnd::Completed),
        Err(error) => match error.downcast_ref() {
            Some(Interrupted(signal)) => Ok(IngestEnd::Interrupted(*signal)),
            None => Err(error),
        },
    }
}

/// A signal came: nothing more is begun.
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
