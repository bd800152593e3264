//! All or nothing: every input is read once to see whether a record of it is bad, and then again
//! into one transaction.
//!
//! So the log is not locked for others while an input is waited for or turns out bad. What only the
//! log can know, that an `event_id` is taken, shows in the second pass, and takes it back.

use std::fs::File;
use std::io::Read;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;

use anyhow::Context;
use anyhow::Result;

use crate::codec::InputPosition;
use crate::ingest::Input;
use crate::ingest::Source;
use crate::ingest::Tally;
use crate::ingest::cannot_read;
use crate::ingest::is_regular;
use crate::ingest::known::KnownFile;
use crate::ingest::parse::From;
use crate::ingest::spool;
use crate::ingest::write::Batched;
use crate::ingest::write::Current;
use crate::ingest::write::TICK;
use crate::ingest::write::Writer;
use crate::store::Log;

/// How to read an input for the second time.
enum Again {
    /// A regular file, and how much of it was known. It is opened anew, for there may be many.
    File(Option<(InputPosition, u64)>),
    /// What a stream held.
    Spooled(File),
}

pub(super) fn run(writer: &mut Writer<'_>, log: &mut Log, inputs: &[Input<'_>]) -> Result<()> {
    let mut again = Vec::with_capacity(inputs.len());
    let mut bad = Tally::default();
    for input in inputs {
        let (mut current, second) = first(writer, log, input)?;
        again.push(second);
        writer.tally.known += current.records;
        while let Some(chunk) = writer.next(&mut current)? {
            writer.check(&mut current, chunk, &mut bad)?;
        }
    }
    if bad.rejected > 0 {
        return give_up(writer, bad);
    }
    let mut batch = log.begin()?;
    let mut batched = Batched::default();
    for (input, again) in inputs.iter().zip(again) {
        let mut current = second(writer, input, again)?;
        let mut place = None;
        while let Some(chunk) = writer.next(&mut current)? {
            place = chunk.taken.or(place);
            writer.write(&mut batch, &mut current, chunk, &mut batched)?;
        }
        if let Some(progress) = current.progress(place)? {
            batch.record_progress(&progress)?;
        }
    }
    if batched.tally.rejected > 0 {
        return give_up(writer, batched.tally);
    }
    batch.commit()?;
    writer.tally.add(batched.tally);
    Ok(())
}

/// Nothing lands: an open transaction is dropped behind this.
fn give_up(writer: &mut Writer<'_>, bad: Tally) -> Result<()> {
    writer.flush()?;
    writer.tally.rejected += bad.rejected;
    writer.tally.reserved += bad.reserved;
    Ok(())
}

fn first<'n>(
    writer: &mut Writer<'_>,
    log: &Log,
    input: &'n Input<'_>,
) -> Result<(Current<'n>, Again)> {
    let stream: Box<dyn Read + Send> = match (input.open)()? {
        Source::File(file) if is_regular(&file) => {
            let current = writer.start(log, &input.name, Source::File(file))?;
            let left = current.file.as_ref().and_then(|file| file.left);
            return Ok((current, Again::File(left)));
        }
        Source::File(file) => Box::new(file),
        Source::Stream(stream) => stream,
    };
    let file = spooled(writer, stream).with_context(|| cannot_read(&input.name))?;
    let from = From::File(file.try_clone()?, None);
    Ok((writer.read(&input.name, from, None)?, Again::Spooled(file)))
}

fn second<'n>(writer: &Writer<'_>, input: &'n Input<'_>, again: Again) -> Result<Current<'n>> {
    let left = match again {
        Again::Spooled(file) => return writer.read(&input.name, From::File(file, None), None),
        Again::File(left) => left,
    };
    let file = match (input.open)()? {
        Source::File(file) if is_regular(&file) => file,
        Source::File(_) | Source::Stream(_) => {
            let why = anyhow::anyhow!("it is no regular file any more");
            return Err(why.context(cannot_read(&input.name)));
        }
    };
    let known = file
        .try_clone()
        .and_then(|clone| KnownFile::left_at(clone, left))
        .with_context(|| cannot_read(&input.name))?;
    writer.read(&input.name, From::File(file, left.map(|(place, _)| place)), Some(known))
}

/// Keeps all of a stream, on a thread of its own: a signal must not wait for the stream.
fn spooled(writer: &Writer<'_>, mut stream: Box<dyn Read + Send>) -> Result<File> {
    let folder = writer.options.spool.to_owned();
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("spool".to_owned()).spawn(move || {
        // Nobody listens any more where the run was interrupted.
        drop(sender.send(spool::keep(&mut stream, &folder)));
    })?;
    loop {
        writer.check_interrupt()?;
        match receiver.recv_timeout(TICK) {
            Ok(kept) => return Ok(kept?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the thread that keeps it failed"),
        }
    }
}
