//! The writing side: stores events in the log, and reports and keeps bad records.

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;

use crate::codec::InputPosition;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest::IngestCounts;
use crate::ingest::IngestOptions;
use crate::ingest::IngestUpdate;
use crate::ingest::Input;
use crate::ingest::InputProgress;
use crate::ingest::InputSource;
use crate::ingest::Interrupted;
use crate::ingest::is_regular;
use crate::ingest::known_file::Fingerprint;
use crate::ingest::known_file::KnownFile;
use crate::ingest::parser::ParseOptions;
use crate::ingest::parser::ParseOutcome;
use crate::ingest::parser::ParsedChunk;
use crate::ingest::parser::ParsedItem;
use crate::ingest::parser::ParserInput;
use crate::ingest::parser::ParserOutput;
use crate::ingest::parser::ParserThread;
use crate::ingest::read_failure;
use crate::store::AppendOutcome;
use crate::store::Batch;
use crate::store::FileProgress;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::text;

/// The number of bad records that are reported one by one.
const MAX_REPORTED_REJECTS: u64 = 20;

/// The limits at which a transaction ends. Other writers wait for it, and events from an open pipe
/// must be durable within a second.
const BATCH_EVENTS: u64 = 50_000;
const BATCH_BYTES: u64 = 64 << 20;
const BATCH_TIME: Duration = Duration::from_millis(700);

/// The time for which a transaction stays open while no event arrives.
const IDLE_TIMEOUT: Duration = Duration::from_millis(20);

/// The interval of the checks for a signal while no event arrives.
pub(super) const SIGNAL_POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct IngestWriter<'a> {
    pub(super) options: &'a IngestOptions<'a>,
    /// The number of events at which a transaction ends.
    pub(super) batch_events: u64,
    rejects: Option<&'a mut dyn Write>,
    on_update: &'a mut dyn FnMut(IngestUpdate<'_>),
    /// The counts of stored and refused records.
    pub(super) tally: &'a mut IngestCounts,
    reported: u64,
    suppressed: u64,
    /// The last CSV header among the rejects, under which they can be read again.
    rejects_header: Vec<u8>,
}

/// The input that is being read.
pub(super) struct OpenInput<'a> {
    pub(super) name: &'a str,
    /// Absent for a stream.
    pub(super) file: Option<KnownFile>,
    pub(super) parser: ParserThread,
    /// The header of CSV, for the rejects.
    csv_header: Option<Vec<u8>>,
    /// The number of records that were read, those of earlier runs included.
    pub(super) records: u64,
    /// The number of bytes that were read.
    bytes: u64,
    /// The place that this run reached in a file, and what the file is recognised by there.
    reached: Option<(InputPosition, Fingerprint)>,
}

/// The counts of one transaction.
#[derive(Clone, Copy, Default)]
pub(super) struct BatchTotals {
    pub(super) tally: IngestCounts,
    events: u64,
    bytes: u64,
}

impl OpenInput<'_> {
    /// The note for the log that a file was read up to the place that was reached last.
    pub(super) fn progress(&self) -> Option<FileProgress> {
        let (place, fingerprint) = self.reached?;
        Some(fingerprint.progress(place, self.records))
    }
}

impl<'a> IngestWriter<'a> {
    pub(super) fn new(
        options: &'a IngestOptions<'a>,
        rejects: Option<&'a mut dyn Write>,
        report: &'a mut dyn FnMut(IngestUpdate<'_>),
        tally: &'a mut IngestCounts,
    ) -> Self {
        Self {
            options,
            batch_events: BATCH_EVENTS,
            rejects,
            on_update: report,
            tally,
            reported: 0,
            suppressed: 0,
            rejects_header: Vec::new(),
        }
    }

    /// Stores each input in transactions of its own.
    pub(super) fn run(&mut self, log: &mut LocalLog, inputs: &[Input<'_>]) -> Result<()> {
        for input in inputs {
            let source = (input.open)()?;
            let mut current = self.open_input(log, &input.name, source)?;
            self.tally.already_ingested += current.records;
            while let Some(chunk) = self.next(&mut current)? {
                if self.write_transaction(log, &mut current, chunk)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for the next chunk of an input; `None` at its end.
    ///
    /// # Errors
    /// [`Interrupted`], and those of reading the input.
    pub(super) fn next(&self, current: &mut OpenInput<'_>) -> Result<Option<ParsedChunk>> {
        loop {
            self.check_interrupt()?;
            match current
                .parser
                .next(SIGNAL_POLL_INTERVAL)
                .with_context(|| read_failure(current.name))?
            {
                ParserOutput::TimedOut => {}
                ParserOutput::End => return Ok(None),
                ParserOutput::Chunk(chunk) => return Ok(Some(chunk)),
            }
        }
    }

    pub(super) fn check_interrupt(&self) -> Result<(), Interrupted> {
        self.options.interrupt.signal().map_or(Ok(()), |signal| Err(Interrupted(signal)))
    }

    /// Starts to read an input at the place where an earlier run stopped.
    pub(super) fn open_input<'n>(
        &self,
        log: &LocalLog,
        name: &'n str,
        source: InputSource,
    ) -> Result<OpenInput<'n>> {
        let (from, file) = match source {
            InputSource::File(file) if is_regular(&file) => {
                let clone = file.try_clone().with_context(|| read_failure(name))?;
                let known = if self.options.reread_files {
                    KnownFile::with_resume_point(clone, None).with_context(|| read_failure(name))?
                } else {
                    KnownFile::look_up(log, clone, name)?
                };
                (ParserInput::File(file, known.resume_point.map(|(place, _)| place)), Some(known))
            }
            InputSource::File(file) => {
                if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    let what = format!("cannot read {}: it is a directory", text::escape(name));
                    return Err(Failure::new(Exit::NoInput, what).into());
                }
                (ParserInput::Stream(Box::new(file)), None)
            }
            InputSource::Stream(stream) => (ParserInput::Stream(stream), None),
        };
        self.start_parsing(name, from, file)
    }

    pub(super) fn start_parsing<'n>(
        &self,
        name: &'n str,
        from: ParserInput,
        file: Option<KnownFile>,
    ) -> Result<OpenInput<'n>> {
        let parsing = ParseOptions {
            decode_options: self.options.decode_options,
            accept_reserved: self.options.accept_reserved,
            keep_raw: self.rejects.is_some(),
            fingerprints: file.is_some(),
        };
        let left = file.as_ref().and_then(|file| file.resume_point);
        Ok(OpenInput {
            name,
            parser: ParserThread::start(from, parsing).with_context(|| read_failure(name))?,
            file,
            csv_header: None,
            records: left.map_or(0, |(_, records)| records),
            bytes: left.map_or(0, |(place, _)| place.offset),
            reached: None,
        })
    }

    /// Stores one transaction of events, and returns whether the input has ended.
    fn write_transaction(
        &mut self,
        log: &mut LocalLog,
        current: &mut OpenInput<'_>,
        first: ParsedChunk,
    ) -> Result<bool> {
        let began = Instant::now();
        let mut batch = log.begin()?;
        let mut batched = BatchTotals::default();
        self.append_chunk(&mut batch, current, first, &mut batched)?;
        // Events that were read before the input failed are good, and are stored.
        let mut ended = Ok(false);
        while batched.events < self.batch_events
            && batched.bytes < BATCH_BYTES
            && began.elapsed() < BATCH_TIME
            && self.options.interrupt.signal().is_none()
        {
            match current.parser.next(IDLE_TIMEOUT) {
                Ok(ParserOutput::Chunk(chunk)) => {
                    self.append_chunk(&mut batch, current, chunk, &mut batched)?;
                }
                Ok(ParserOutput::TimedOut) => break,
                Ok(ParserOutput::End) => {
                    ended = Ok(true);
                    break;
                }
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        if let Some(progress) = current.progress() {
            batch.record_progress(&progress)?;
        }
        // Rejects first: a record that counts as read must not be lost.
        self.flush()?;
        batch.commit()?;
        self.tally.add(batched.tally);
        ended.with_context(|| read_failure(current.name))
    }

    /// Writes the events of a chunk to the transaction, and reports its bad records.
    pub(super) fn append_chunk(
        &mut self,
        batch: &mut Batch<'_>,
        current: &mut OpenInput<'_>,
        mut chunk: ParsedChunk,
        batched: &mut BatchTotals,
    ) -> Result<()> {
        let stamp =
            Stamp { recorded_at: (self.options.clock)(), recorded_by: self.options.recorded_by };
        current.csv_header = chunk.header.take().or(current.csv_header.take());
        for item in &chunk.items {
            let event = match &item.outcome {
                ParseOutcome::Event(event) => event,
                // The first pass has reported it.
                ParseOutcome::Truncated(_) if self.options.strict && current.file.is_some() => {
                    continue;
                }
                ParseOutcome::Rejected(_)
                | ParseOutcome::Reserved(_)
                | ParseOutcome::Truncated(_)
                | ParseOutcome::Unreadable(_)
                | ParseOutcome::Excess => {
                    self.reject_item(current, &chunk, item, &mut batched.tally)?;
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
        self.note_progress(current, &chunk, batched.tally);
        Ok(())
    }

    /// Reports the bad records of a chunk, and stores nothing.
    pub(super) fn check(
        &mut self,
        current: &mut OpenInput<'_>,
        mut chunk: ParsedChunk,
        bad: &mut IngestCounts,
    ) -> Result<()> {
        current.csv_header = chunk.header.take().or(current.csv_header.take());
        for item in &chunk.items {
            self.reject_item(current, &chunk, item, bad)?;
        }
        self.note_progress(current, &chunk, IngestCounts::default());
        Ok(())
    }

    /// Updates and reports the progress in the input; `pending` is not in the tally yet.
    fn note_progress(
        &mut self,
        current: &mut OpenInput<'_>,
        chunk: &ParsedChunk,
        pending: IngestCounts,
    ) {
        current.records += chunk.records;
        current.reached = chunk.end_position.zip(chunk.fingerprint).or(current.reached);
        current.bytes = chunk.end_position.map_or(current.bytes, |place| place.offset);
        let done = |tally: &IngestCounts| tally.ingested + tally.duplicates;
        (self.on_update)(IngestUpdate::Progress(InputProgress {
            input: current.name,
            bytes: current.bytes,
            total_bytes: current.file.as_ref().map(|file| file.size),
            events: done(self.tally) + done(&pending),
        }));
    }

    /// Reports and keeps an item that is no event.
    fn reject_item(
        &mut self,
        current: &OpenInput<'_>,
        chunk: &ParsedChunk,
        item: &ParsedItem,
        tally: &mut IngestCounts,
    ) -> Result<()> {
        let raw = chunk.raw(item);
        match &item.outcome {
            ParseOutcome::Event(_) => return Ok(()),
            ParseOutcome::Excess => return self.write_reject(current, raw),
            ParseOutcome::Truncated(why) if current.file.is_some() => {
                let line = format!("{why}; left for the next run");
                self.report_line(current.name, item.line, &line);
                return Ok(());
            }
            ParseOutcome::Truncated(why)
            | ParseOutcome::Rejected(why)
            | ParseOutcome::Unreadable(why) => {
                self.reject(current, item.line, why, raw)?;
            }
            ParseOutcome::Reserved(action) => {
                let why = format!("action {action} is the log's own");
                self.reject(current, item.line, &why, raw)?;
                tally.reserved += 1;
            }
        }
        tally.rejected += 1;
        Ok(())
    }

    fn reject(&mut self, current: &OpenInput<'_>, line: u64, why: &str, raw: &[u8]) -> Result<()> {
        if self.reported < MAX_REPORTED_REJECTS {
            self.reported += 1;
            self.report_line(current.name, line, why);
        } else {
            self.suppressed += 1;
        }
        self.write_reject(current, raw)
    }

    fn report_line(&mut self, name: &str, line: u64, why: &str) {
        let message = format!("{}:{line}: {why}", text::escape(name));
        (self.on_update)(IngestUpdate::Message(&text::escape_lines(&message)));
    }

    pub(super) fn report_suppressed(&mut self) {
        if self.suppressed > 0 {
            let message = format!("and {} more", text::format_thousands(self.suppressed));
            (self.on_update)(IngestUpdate::Message(&message));
        }
    }

    /// Writes bytes to the rejects, after the header that their rows need.
    fn write_reject(&mut self, current: &OpenInput<'_>, raw: &[u8]) -> Result<()> {
        let Some(rejects) = &mut self.rejects else {
            return Ok(());
        };
        let mut written = Ok(());
        if let Some(header) = &current.csv_header
            && *header != self.rejects_header
            && !raw.is_empty()
        {
            written = rejects.write_all(header);
            self.rejects_header.clone_from(header);
        }
        written.and_then(|()| rejects.write_all(raw)).with_context(reject_failure)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        match &mut self.rejects {
            Some(rejects) => rejects.flush().with_context(reject_failure),
            None => Ok(()),
        }
    }
}

fn reject_failure() -> Failure {
    Failure::new(Exit::Io, "cannot write the rejects")
}
