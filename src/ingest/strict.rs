//! All or nothing: a first pass looks for bad records in every input, those that contradict the log too,
//! and a second pass stores all events in ordinary transactions.
//!
//! ## Durability
//! A run that is killed in its second pass has stored a part, and the same call completes it.
//!
//! ## Locking
//! The log is not locked while the run waits for an input or checks it. Only where an `event_id` occurs
//! in two events that differ, one transaction stores all: it alone can show whether they contradict each
//! other, and rolls everything back if they do. A conflict with what another process stores between the
//! two passes rejects that record alone.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;

use anyhow::Context;
use anyhow::Result;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest::IngestCounts;
use crate::ingest::Input;
use crate::ingest::InputSource;
use crate::ingest::is_regular;
use crate::ingest::known_file::KnownFile;
use crate::ingest::parser::ParserInput;
use crate::ingest::read_failure;
use crate::ingest::seen_ids::SeenIds;
use crate::ingest::spool;
use crate::ingest::writer::BatchTotals;
use crate::ingest::writer::IngestWriter;
use crate::ingest::writer::OpenInput;
use crate::ingest::writer::SIGNAL_POLL_INTERVAL;
use crate::store::LocalLog;
use crate::text;

/// The input of the second pass.
enum SecondPass {
    /// A regular file. It is the open file of the first pass: its
    /// name may stand for another one by now.
    File(Box<KnownFile>),
    /// The contents of a stream.
    Spooled(File),
}

pub(super) fn run(
    writer: &mut IngestWriter<'_>,
    log: &mut LocalLog,
    inputs: &[Input<'_>],
) -> Result<()> {
    let mut again = Vec::with_capacity(inputs.len());
    let mut bad = IngestCounts::default();
    let mut seen = SeenIds::default();
    for input in inputs {
        let (mut current, second) = open_first_pass(writer, log, input)?;
        again.push(second);
        bad.already_ingested += current.accepted();
        while let Some(chunk) = writer.next(&mut current)? {
            writer.check(log, &mut current, &chunk, &mut seen, &mut bad)?;
        }
    }
    if bad.rejected > 0 {
        return discard(writer, bad);
    }
    if seen.may_conflict() {
        return store_at_once(writer, log, inputs, again);
    }
    for (input, again) in inputs.iter().zip(again) {
        let current = open_second_pass(writer, input, again)?;
        writer.store(log, current)?;
    }
    Ok(())
}

/// Stores all inputs in one transaction, which shows whether they contradict each other.
fn store_at_once(
    writer: &mut IngestWriter<'_>,
    log: &mut LocalLog,
    inputs: &[Input<'_>],
    again: Vec<SecondPass>,
) -> Result<()> {
    let mut batch = log.begin()?;
    let mut batched = BatchTotals::default();
    for (input, again) in inputs.iter().zip(again) {
        let mut current = open_second_pass(writer, input, again)?;
        batched.tally.already_ingested += current.accepted();
        let mut is_first = true;
        while let Some(chunk) = writer.next(&mut current)? {
            if std::mem::take(&mut is_first)
                && current.is_overtaken(&mut batch, &chunk, writer.options)?
            {
                let name = text::escape(&input.name);
                let message = format!("another run has taken more of {name}; nothing was stored");
                return Err(Failure::new(Exit::TryAgain, message).into());
            }
            writer.append_chunk(&mut batch, &mut current, &chunk, &mut batched)?;
        }
        current.record_progress(&mut batch, (writer.options.clock)())?;
    }
    if batched.tally.rejected > 0 {
        return discard(writer, batched.tally);
    }
    batch.commit()?;
    writer.tally.add(batched.tally);
    Ok(())
}

/// Ends a run that stores nothing: the caller drops the open transaction.
fn discard(writer: &mut IngestWriter<'_>, bad: IngestCounts) -> Result<()> {
    writer.flush()?;
    writer.tally.already_ingested += bad.already_ingested;
    writer.tally.rejected += bad.rejected;
    writer.tally.not_permitted += bad.not_permitted;
    Ok(())
}

fn open_first_pass<'n>(
    writer: &mut IngestWriter<'_>,
    log: &mut LocalLog,
    input: &'n Input<'_>,
) -> Result<(OpenInput<'n>, SecondPass)> {
    let stream: Box<dyn Read + Send> = match (input.open)()? {
        InputSource::File(file) if is_regular(&file) => {
            let again = file.try_clone().with_context(|| read_failure(&input.name))?;
            let current = writer.open_input(log, &input.name, InputSource::File(file))?;
            let mut known = if writer.options.reread_files {
                KnownFile::new(again).with_context(|| read_failure(&input.name))?
            } else {
                KnownFile::look_up(log, again, &input.name)?
            };
            known.size = current.file.as_ref().map_or(known.size, |checked| checked.size);
            return Ok((current, SecondPass::File(Box::new(known))));
        }
        InputSource::File(file) => Box::new(file),
        InputSource::Stream(stream) => stream,
    };
    let file = spool_stream(writer, stream).with_context(|| read_failure(&input.name))?;
    let from = spooled_input(&file).with_context(|| read_failure(&input.name))?;
    Ok((writer.start_parsing(&input.name, from, None)?, SecondPass::Spooled(file)))
}

fn open_second_pass<'n>(
    writer: &IngestWriter<'_>,
    input: &'n Input<'_>,
    again: SecondPass,
) -> Result<OpenInput<'n>> {
    let known = match again {
        SecondPass::Spooled(file) => {
            let from = spooled_input(&file).with_context(|| read_failure(&input.name))?;
            return writer.start_parsing(&input.name, from, None);
        }
        SecondPass::File(known) => *known,
    };
    let file = known.file.try_clone().with_context(|| read_failure(&input.name))?;
    let from = known.parser_input(file, Some(known.size));
    writer.start_parsing(&input.name, from, Some(known))
}

/// Returns the whole contents of a stream. Unlike a file it does not grow.
fn spooled_input(file: &File) -> io::Result<ParserInput> {
    let mut stream = file.try_clone()?;
    stream.rewind()?;
    Ok(ParserInput::Stream(Box::new(stream)))
}

/// Copies a stream to a file, on its own thread, so that a signal need not wait for the stream.
fn spool_stream(writer: &IngestWriter<'_>, mut stream: Box<dyn Read + Send>) -> Result<File> {
    let folder = writer.options.spool_folder.to_owned();
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("spool".to_owned()).spawn(move || {
        // After an interrupt nobody receives.
        drop(sender.send(spool::spool_to_file(&mut stream, &folder)));
    })?;
    loop {
        writer.check_interrupt()?;
        match receiver.recv_timeout(SIGNAL_POLL_INTERVAL) {
            Ok(kept) => return Ok(kept?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the thread that keeps it failed"),
        }
    }
}
