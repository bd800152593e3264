//! The side that writes: events into the log, bad records to where they are told and kept.

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;

use crate::codec::InputPosition;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest::Input;
use crate::ingest::Interrupted;
use crate::ingest::Options;
use crate::ingest::Reached;
use crate::ingest::Report;
use crate::ingest::Source;
use crate::ingest::Tally;
use crate::ingest::cannot_read;
use crate::ingest::is_regular;
use crate::ingest::known::KnownFile;
use crate::ingest::parse::Chunk;
use crate::ingest::parse::Feed;
use crate::ingest::parse::Found;
use crate::ingest::parse::From;
use crate::ingest::parse::Item;
use crate::ingest::parse::Next;
use crate::ingest::parse::Parsing;
use crate::store::AppendOutcome;
use crate::store::Batch;
use crate::store::FileProgress;
use crate::store::Log;
use crate::store::Stamp;
use crate::text;

/// How many bad records are told one by one.
const TOLD: u64 = 20;

/// A transaction ends when it has so many events, so many bytes, or is open for so long: others
/// wait for it, and what comes from an open pipe is to be durable within a second.
const BATCH_EVENTS: u64 = 50_000;
const BATCH_BYTES: u64 = 64 << 20;
const BATCH_TIME: Duration = Duration::from_millis(700);

/// How long a transaction stays open while nothing comes.
const IDLE: Duration = Duration::from_millis(20);

/// How often it is asked for a signal while nothing comes.
pub(super) const TICK: Duration = Duration::from_millis(100);

pub(super) struct Writer<'a> {
    pub(super) options: &'a Options<'a>,
    /// Events from which on a transaction ends.
    pub(super) batch: u64,
    rejects: Option<&'a mut dyn Write>,
    report: &'a mut dyn FnMut(Report<'_>),
    /// What landed, and what was refused.
    pub(super) tally: &'a mut Tally,
    told: u64,
    untold: u64,
    /// The header that the rejects have, so that they can be read as what they are.
    header: Vec<u8>,
}

/// An input whose turn it is.
pub(super) struct Current<'a> {
    pub(super) name: &'a str,
    /// Absent for a stream.
    pub(super) file: Option<KnownFile>,
    pub(super) feed: Feed,
    /// The header of CSV, for the rejects.
    header: Option<Vec<u8>>,
    /// How far it was taken: records, those of earlier runs too.
    pub(super) records: u64,
    /// Bytes that were looked at.
    bytes: u64,
}

/// What a transaction came to.
#[derive(Clone, Copy, Default)]
pub(super) struct Batched {
    pub(super) tally: Tally,
    events: u64,
    bytes: u64,
}

impl Current<'_> {
    /// What to note of a file that was taken to `place`.
    pub(super) fn progress(&self, place: Option<InputPosition>) -> Result<Option<FileProgress>> {
        let (Some(file), Some(place)) = (&self.file, place) else {
            return Ok(None);
        };
        file.progress(place, self.records).map(Some).with_context(|| cannot_read(self.name))
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        options: &'a Options<'a>,
        rejects: Option<&'a mut dyn Write>,
        report: &'a mut dyn FnMut(Report<'_>),
        tally: &'a mut Tally,
    ) -> Self {
        Self {
            options,
            batch: BATCH_EVENTS,
            rejects,
            report,
            tally,
            told: 0,
            untold: 0,
            header: Vec::new(),
        }
    }

    /// Takes the inputs in transactions of their own.
    pub(super) fn run(&mut self, log: &mut Log, inputs: &[Input<'_>]) -> Result<()> {
        for input in inputs {
            let source = (input.open)()?;
            let mut current = self.start(log, &input.name, source)?;
            self.tally.known += current.records;
            while let Some(chunk) = self.next(&mut current)? {
                if self.transact(log, &mut current, chunk)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for what comes next of an input; `None` at its end.
    ///
    /// # Errors
    /// [`Interrupted`], and those of reading the input.
    pub(super) fn next(&self, current: &mut Current<'_>) -> Result<Option<Chunk>> {
        loop {
            self.check_interrupt()?;
            match current.feed.next(TICK).with_context(|| cannot_read(current.name))? {
                Next::Nothing => {}
                Next::End => return Ok(None),
                Next::Chunk(chunk) => return Ok(Some(chunk)),
            }
        }
    }

    pub(super) fn check_interrupt(&self) -> Result<(), Interrupted> {
        self.options.interrupt.signal().map_or(Ok(()), |signal| Err(Interrupted(signal)))
    }

    /// Begins to read an input, where an earlier run left it.
    pub(super) fn start<'n>(
        &self,
        log: &Log,
        name: &'n str,
        source: Source,
    ) -> Result<Current<'n>> {
        let (from, file) = match source {
            Source::File(file) if is_regular(&file) => {
                let clone = file.try_clone().with_context(|| cannot_read(name))?;
                let known = if self.options.again {
                    KnownFile::left_at(clone, None).with_context(|| cannot_read(name))?
                } else {
                    KnownFile::look_up(log, clone, name)?
                };
                (From::File(file, known.left.map(|(place, _)| place)), Some(known))
            }
            Source::File(file) => {
                if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    let what = format!("cannot read {}: it is a directory", text::escape(name));
                    return Err(Failure::new(Exit::NoInput, what).into());
                }
                (From::Stream(Box::new(file)), None)
            }
            Source::Stream(stream) => (From::Stream(stream), None),
        };
        self.read(name, from, file)
    }

    pub(super) fn read<'n>(
        &self,
        name: &'n str,
        from: From,
        file: Option<KnownFile>,
    ) -> Result<Current<'n>> {
        let parsing = Parsing {
            reading: self.options.reading,
            reserved: self.options.reserved,
            keep_raw: self.rejects.is_some(),
        };
        let left = file.as_ref().and_then(|file| file.left);
        Ok(Current {
            name,
            feed: Feed::start(from, parsing).with_context(|| cannot_read(name))?,
            file,
            header: None,
            records: left.map_or(0, |(_, records)| records),
            bytes: left.map_or(0, |(place, _)| place.offset),
        })
    }

    /// Takes one transaction's worth of events, and tells whether the input has ended.
    fn transact(&mut self, log: &mut Log, current: &mut Current<'_>, first: Chunk) -> Result<bool> {
        let began = Instant::now();
        let mut batch = log.begin()?;
        let mut batched = Batched::default();
        let mut place = first.taken;
        self.write(&mut batch, current, first, &mut batched)?;
        // What was read before the input failed is good, and lands.
        let mut ended = Ok(false);
        while batched.events < self.batch
            && batched.bytes < BATCH_BYTES
            && began.elapsed() < BATCH_TIME
            && self.options.interrupt.signal().is_none()
        {
            match current.feed.next(IDLE) {
                Ok(Next::Chunk(chunk)) => {
                    place = chunk.taken.or(place);
                    self.write(&mut batch, current, chunk, &mut batched)?;
                }
                Ok(Next::Nothing) => break,
                Ok(Next::End) => {
                    ended = Ok(true);
                    break;
                }
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        if let Some(progress) = current.progress(place)? {
            batch.record_progress(&progress)?;
        }
        // Rejects first: what counts as taken must not be lost.
        self.flush()?;
        batch.commit()?;
        self.tally.add(batched.tally);
        ended.with_context(|| cannot_read(current.name))
    }

    /// Writes what was found into the transaction, or tells of it.
    pub(super) fn write(
        &mut self,
        batch: &mut Batch<'_>,
        current: &mut Current<'_>,
        mut chunk: Chunk,
        batched: &mut Batched,
    ) -> Result<()> {
        let stamp =
            Stamp { recorded_at: (self.options.clock)(), recorded_by: self.options.recorded_by };
        current.header = chunk.header.take().or(current.header.take());
        for item in &chunk.items {
            let event = match &item.found {
                Found::Event(event) => event,
                // The first pass has told of it.
                Found::Torn(_) if self.options.strict && current.file.is_some() => continue,
                Found::Rejected(_)
                | Found::Reserved(_)
                | Found::Torn(_)
                | Found::Unreadable(_)
                | Found::Excess => {
                    self.refuse(current, &chunk, item, &mut batched.tally)?;
                    continue;
                }
            };
            batched.events += 1;
            match batch.append(event, &stamp)? {
                AppendOutcome::Stored { .. } => batched.tally.ingested += 1,
                AppendOutcome::Duplicate { .. } => batched.tally.duplicates += 1,
                AppendOutcome::Conflict { id, field } => {
                    let why = format!("its event_id is that of event {id}, whose {field} differs");
                    self.reject(current, item.line, &why, chunk.raw(item))?;
                    batched.tally.rejected += 1;
                }
            }
        }
        batched.bytes += chunk.bytes;
        self.passed(current, &chunk, batched.tally);
        Ok(())
    }

    /// Tells of what is bad, and writes nothing.
    pub(super) fn check(
        &mut self,
        current: &mut Current<'_>,
        mut chunk: Chunk,
        bad: &mut Tally,
    ) -> Result<()> {
        current.header = chunk.header.take().or(current.header.take());
        for item in &chunk.items {
            self.refuse(current, &chunk, item, bad)?;
        }
        self.passed(current, &chunk, Tally::default());
        Ok(())
    }

    /// Notes and reports how far the input was looked at; `pending` is not in the tally yet.
    fn passed(&mut self, current: &mut Current<'_>, chunk: &Chunk, pending: Tally) {
        current.records += chunk.records;
        current.bytes = chunk.taken.map_or(current.bytes, |place| place.offset);
        let done = |tally: &Tally| tally.ingested + tally.duplicates;
        (self.report)(Report::Reached(Reached {
            input: current.name,
            bytes: current.bytes,
            of: current.file.as_ref().map(|file| file.size),
            events: done(self.tally) + done(&pending),
        }));
    }

    /// Tells of what is no event.
    fn refuse(
        &mut self,
        current: &Current<'_>,
        chunk: &Chunk,
        item: &Item,
        tally: &mut Tally,
    ) -> Result<()> {
        let raw = chunk.raw(item);
        match &item.found {
            Found::Event(_) => return Ok(()),
            Found::Excess => return self.keep(current, raw),
            Found::Torn(why) if current.file.is_some() => {
                let line = format!("{why}; left for the next run");
                self.tell(current.name, item.line, &line);
                return Ok(());
            }
            Found::Torn(why) | Found::Rejected(why) | Found::Unreadable(why) => {
                self.reject(current, item.line, why, raw)?;
            }
            Found::Reserved(action) => {
                let why = format!("action {action} is the log's own");
                self.reject(current, item.line, &why, raw)?;
                tally.reserved += 1;
            }
        }
        tally.rejected += 1;
        Ok(())
    }

    fn reject(&mut self, current: &Current<'_>, line: u64, why: &str, raw: &[u8]) -> Result<()> {
        if self.told < TOLD {
            self.told += 1;
            self.tell(current.name, line, why);
        } else {
            self.untold += 1;
        }
        self.keep(current, raw)
    }

    fn tell(&mut self, name: &str, line: u64, why: &str) {
        let told = format!("{}:{line}: {why}", text::escape(name));
        (self.report)(Report::Told(&text::escape_lines(&told)));
    }

    pub(super) fn tell_the_rest(&mut self) {
        if self.untold > 0 {
            let told = format!("and {} more", text::format_thousands(self.untold));
            (self.report)(Report::Told(&told));
        }
    }

    /// Keeps bytes among the rejects, after the header that their rows need.
    fn keep(&mut self, current: &Current<'_>, raw: &[u8]) -> Result<()> {
        let Some(rejects) = &mut self.rejects else {
            return Ok(());
        };
        let mut written = Ok(());
        if let Some(header) = &current.header
            && *header != self.header
            && !raw.is_empty()
        {
            written = rejects.write_all(header);
            self.header.clone_from(header);
        }
        written.and_then(|()| rejects.write_all(raw)).with_context(cannot_keep)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        match &mut self.rejects {
            Some(rejects) => rejects.flush().with_context(cannot_keep),
            None => Ok(()),
        }
    }
}

fn cannot_keep() -> Failure {
    Failure::new(Exit::Io, "cannot write the rejects")
}
