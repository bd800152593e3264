//! The writing side: stores events in the log, and reports and keeps bad records.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;

use crate::codec::DecodeOptions;
use crate::event::EventId;
use crate::event::intake::IntakeNotes;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest::IngestCounts;
use crate::ingest::IngestOptions;
use crate::ingest::IngestUpdate;
use crate::ingest::Input;
use crate::ingest::InputProgress;
use crate::ingest::InputSource;
use crate::ingest::Interrupted;
use crate::ingest::Rejects;
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
use crate::ingest::seen_ids::SeenIds;
use crate::store::AppendOutcome;
use crate::store::Batch;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::text;
use crate::time::Timestamp;

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
    rejects: Option<Rejects<'a>>,
    on_update: &'a mut dyn FnMut(IngestUpdate<'_>),
    /// The counts of stored and refused records.
    pub(super) tally: &'a mut IngestCounts,
    reported: u64,
    suppressed: u64,
    /// The keys that went into the payload.
    pub(super) notes: IntakeNotes,
}

/// The input that is being read.
pub(super) struct OpenInput<'a> {
    pub(super) name: &'a str,
    /// Absent for a stream.
    pub(super) file: Option<KnownFile>,
    pub(super) parser: ParserThread,
    /// Whether the rejects are prepared for its records.
    rejects_ready: bool,
    /// Whether it was told that no more places of rejected lines are kept.
    is_full_told: bool,
    /// Whether its last record has no end yet.
    is_unfinished: bool,
    /// The number of bytes that were read.
    bytes: u64,
    /// What a file is recognised by at the last place that this run reached.
    fingerprint: Option<Fingerprint>,
}

/// The counts of one transaction.
#[derive(Clone, Copy, Default)]
pub(super) struct BatchTotals {
    pub(super) tally: IngestCounts,
    events: u64,
    bytes: u64,
}

impl OpenInput<'_> {
    /// The number of records of a file before the place reached that are in the log.
    pub(super) fn accepted(&self) -> u64 {
        self.file.as_ref().map_or(0, KnownFile::accepted)
    }

    /// Records how far a file was read.
    pub(super) fn record_progress(&mut self, batch: &mut Batch<'_>, now: Timestamp) -> Result<()> {
        match (&mut self.file, self.fingerprint) {
            (Some(file), Some(fingerprint)) => {
                batch.record_progress(file.progress(fingerprint, now))
            }
            (_, _) => Ok(()),
        }
    }

    /// Whether another run has read the same file further since it was looked up.
    pub(super) fn is_overtaken(
        &self,
        batch: &mut Batch<'_>,
        first: &ParsedChunk,
        options: &IngestOptions<'_>,
    ) -> Result<bool> {
        match (&self.file, first.end_position, first.fingerprint) {
            (Some(file), Some(end), Some(fingerprint)) if !options.reread_files => {
                file.is_overtaken(batch, end, fingerprint).with_context(|| read_failure(self.name))
            }
            (_, _, _) => Ok(false),
        }
    }

    /// Passes over an item that is in the log already; returns whether it is.
    pub(super) fn skip_known(&mut self, item: &ParsedItem) -> bool {
        let is_known = item.is_complete()
            && self.file.as_ref().is_some_and(|file| file.is_known(item.end, item.event()));
        if is_known {
            self.accept(item);
        }
        is_known
    }

    fn accept(&mut self, item: &ParsedItem) {
        if let (Some(file), true) = (&mut self.file, item.is_complete()) {
            file.accept(item.end, item.event());
        }
    }
}

/// How a transaction ended.
enum TransactionEnd {
    More,
    InputEnded,
    /// Nothing was written: another run has read the file further.
    Overtaken,
}

impl<'a> IngestWriter<'a> {
    pub(super) fn new(
        options: &'a IngestOptions<'a>,
        rejects: Option<Rejects<'a>>,
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
            notes: IntakeNotes::default(),
        }
    }

    /// Stores each input in transactions of its own.
    pub(super) fn run(&mut self, log: &mut LocalLog, inputs: &[Input<'_>]) -> Result<()> {
        for input in inputs {
            let source = (input.open)()?;
            let current = self.open_input(log, &input.name, source)?;
            self.store(log, current)?;
        }
        Ok(())
    }

    /// Stores an input in transactions of its own.
    pub(super) fn store(&mut self, log: &mut LocalLog, mut current: OpenInput<'_>) -> Result<()> {
        self.tally.already_ingested += current.accepted();
        let before = *self.tally;
        while let Some(chunk) = self.next(&mut current)? {
            match self.write_transaction(log, &mut current, &chunk)? {
                TransactionEnd::More => {}
                TransactionEnd::InputEnded => break,
                TransactionEnd::Overtaken => current = self.reopen(log, current)?,
            }
        }
        self.close_input(log, &mut current, before)
    }

    /// Continues behind the place that another run of the same file has reached meanwhile.
    fn reopen<'n>(&mut self, log: &mut LocalLog, current: OpenInput<'n>) -> Result<OpenInput<'n>> {
        let accepted = current.accepted();
        let OpenInput { name, file, parser, .. } = current;
        parser.stop();
        let file = file.context("a stream was overtaken")?;
        let again = self.open_file(log, name, file.file, Some(file.size))?;
        self.tally.already_ingested += again.accepted().saturating_sub(accepted);
        Ok(again)
    }

    /// Warns of a file that has grown by no event, and renews the note on one that was only looked at.
    fn close_input(
        &mut self,
        log: &mut LocalLog,
        current: &mut OpenInput<'_>,
        before: IngestCounts,
    ) -> Result<()> {
        let done = |tally: &IngestCounts| tally.ingested + tally.duplicates + tally.rejected;
        let has_stored = done(self.tally) > done(&before);
        if current.file.as_ref().is_some_and(KnownFile::has_grown)
            && !has_stored
            && !current.is_unfinished
        {
            let name = text::escape(current.name);
            let message = format!("{name}: has grown, and nothing new was found in it");
            (self.on_update)(IngestUpdate::Message(&text::escape_lines(&message)));
        }
        let now = (self.options.clock)();
        if let Some(progress) = current.file.as_mut().and_then(|file| file.renewed(now)) {
            let mut batch = log.begin()?;
            batch.record_progress(progress)?;
            batch.commit()?;
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
        log: &mut LocalLog,
        name: &'n str,
        source: InputSource,
    ) -> Result<OpenInput<'n>> {
        match source {
            InputSource::File(file) if is_regular(&file) => self.open_file(log, name, file, None),
            InputSource::File(file) => {
                if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    let what = format!("cannot read {}: it is a directory", text::escape(name));
                    return Err(Failure::new(Exit::NoInput, what).into());
                }
                self.start_parsing(name, ParserInput::Stream(Box::new(file)), None)
            }
            InputSource::Stream(stream) => {
                self.start_parsing(name, ParserInput::Stream(stream), None)
            }
        }
    }

    /// Starts to read a regular file. A strict run reads as much of it as there is now, or was when it
    /// was checked: what comes later was not checked.
    fn open_file<'n>(
        &self,
        log: &mut LocalLog,
        name: &'n str,
        file: File,
        checked_size: Option<u64>,
    ) -> Result<OpenInput<'n>> {
        let clone = file.try_clone().with_context(|| read_failure(name))?;
        let mut known = if self.options.reread_files {
            KnownFile::new(clone).with_context(|| read_failure(name))?
        } else {
            KnownFile::look_up(log, clone, name)?
        };
        if let (true, Some(file)) = (known.was_replaced, known.identity()) {
            let mut batch = log.begin()?;
            batch.forget_file(file)?;
            batch.commit()?;
        }
        let mut end = None;
        if self.options.strict {
            known.size = checked_size.unwrap_or(known.size);
            end = Some(known.size);
        }
        let from = known.parser_input(file, end);
        self.start_parsing(name, from, Some(known))
    }

    pub(super) fn start_parsing<'n>(
        &self,
        name: &'n str,
        from: ParserInput,
        file: Option<KnownFile>,
    ) -> Result<OpenInput<'n>> {
        let parsing = ParseOptions {
            decode_options: DecodeOptions {
                latest: Some((self.options.clock)()),
                ..self.options.decode_options
            },
            rights: Arc::clone(&self.options.rights),
            keep_raw: self.rejects.is_some(),
            fingerprints: file.is_some(),
        };
        let left = file.as_ref().and_then(KnownFile::resume_point);
        Ok(OpenInput {
            name,
            parser: ParserThread::start(from, parsing).with_context(|| read_failure(name))?,
            file,
            rejects_ready: false,
            is_full_told: false,
            is_unfinished: false,
            bytes: left.map_or(0, |place| place.offset),
            fingerprint: None,
        })
    }

    /// Stores one transaction of events.
    fn write_transaction(
        &mut self,
        log: &mut LocalLog,
        current: &mut OpenInput<'_>,
        first: &ParsedChunk,
    ) -> Result<TransactionEnd> {
        let began = Instant::now();
        let mut batch = log.begin()?;
        if current.is_overtaken(&mut batch, first, self.options)? {
            return Ok(TransactionEnd::Overtaken);
        }
        let mut batched = BatchTotals::default();
        self.append_chunk(&mut batch, current, first, &mut batched)?;
        // Events that were read before the input failed are good, and are stored.
        let mut ended = Ok(TransactionEnd::More);
        while batched.events < self.batch_events
            && batched.bytes < BATCH_BYTES
            && began.elapsed() < BATCH_TIME
            && self.options.interrupt.signal().is_none()
        {
            match current.parser.next(IDLE_TIMEOUT) {
                Ok(ParserOutput::Chunk(chunk)) => {
                    self.append_chunk(&mut batch, current, &chunk, &mut batched)?;
                }
                Ok(ParserOutput::TimedOut) => break,
                Ok(ParserOutput::End) => {
                    ended = Ok(TransactionEnd::InputEnded);
                    break;
                }
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        current.record_progress(&mut batch, (self.options.clock)())?;
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
        chunk: &ParsedChunk,
        batched: &mut BatchTotals,
    ) -> Result<()> {
        let stamp = Stamp { clock: self.options.clock, recorded_by: self.options.recorded_by };
        self.prepare_rejects(current, chunk)?;
        for item in &chunk.items {
            let event = match &item.outcome {
                ParseOutcome::Event(event) => event,
                _ if current.skip_known(item) => {
                    batched.tally.already_ingested += 1;
                    continue;
                }
                // The first pass has reported it.
                ParseOutcome::Truncated(_) if self.options.strict && current.file.is_some() => {
                    continue;
                }
                ParseOutcome::Rejected(_)
                | ParseOutcome::NotPermitted(_)
                | ParseOutcome::Truncated(_)
                | ParseOutcome::Unreadable(_)
                | ParseOutcome::Excess => {
                    self.reject_item(current, chunk, item, &mut batched.tally)?;
                    self.keep_place_of_reject(current, item);
                    continue;
                }
            };
            if current.skip_known(item) {
                batched.tally.already_ingested += 1;
                continue;
            }
            batched.events += 1;
            match batch.append(event, &stamp)? {
                AppendOutcome::Stored { .. } => {
                    current.accept(item);
                    batched.tally.ingested += 1;
                }
                AppendOutcome::Duplicate { .. } => {
                    current.accept(item);
                    batched.tally.duplicates += 1;
                }
                AppendOutcome::Conflict { id, field } => {
                    self.reject_conflict(current, chunk, item, (id, field))?;
                    self.keep_place_of_reject(current, item);
                    batched.tally.rejected += 1;
                }
            }
        }
        batched.bytes += chunk.bytes;
        self.notes.merge(&chunk.notes);
        self.note_progress(current, chunk, batched.tally);
        Ok(())
    }

    /// Reports the bad records of a chunk, those that contradict the log too, and stores nothing.
    pub(super) fn check(
        &mut self,
        log: &LocalLog,
        current: &mut OpenInput<'_>,
        chunk: &ParsedChunk,
        seen: &mut SeenIds,
        bad: &mut IngestCounts,
    ) -> Result<()> {
        self.prepare_rejects(current, chunk)?;
        for item in &chunk.items {
            if current.skip_known(item) {
                continue;
            }
            if let ParseOutcome::Event(event) = &item.outcome {
                seen.insert(event);
                if let Some((id, field)) = log.find_conflict(event)? {
                    self.reject_conflict(current, chunk, item, (id, field))?;
                    bad.rejected += 1;
                }
            }
            self.reject_item(current, chunk, item, bad)?;
            current.accept(item);
        }
        self.note_progress(current, chunk, IngestCounts::default());
        Ok(())
    }

    /// Updates and reports the progress in the input; `pending` is not in the tally yet.
    fn note_progress(
        &mut self,
        current: &mut OpenInput<'_>,
        chunk: &ParsedChunk,
        pending: IngestCounts,
    ) {
        current.fingerprint = chunk.fingerprint.or(current.fingerprint);
        current.bytes = chunk.end_position.map_or(current.bytes, |place| place.offset);
        let done = |tally: &IngestCounts| tally.ingested + tally.duplicates;
        (self.on_update)(IngestUpdate::Progress(InputProgress {
            input: current.name,
            bytes: current.bytes,
            total_bytes: current.file.as_ref().and_then(KnownFile::content_size),
            events: done(self.tally) + done(&pending),
        }));
    }

    /// Notes where a record was rejected, so that the next run tries it again, or that it has no end yet.
    fn keep_place_of_reject(&mut self, current: &mut OpenInput<'_>, item: &ParsedItem) {
        current.is_unfinished = matches!(item.outcome, ParseOutcome::Truncated(_));
        if let (Some(file), true) = (&mut current.file, item.is_complete())
            && !file.reject(item.end)
            && !std::mem::replace(&mut current.is_full_told, true)
        {
            let line = "too many places with rejected lines; from here on none is tried again";
            self.report_line(current.name, item.line, line);
        }
    }

    /// Reports and keeps an item that is no event.
    pub(super) fn reject_item(
        &mut self,
        current: &OpenInput<'_>,
        chunk: &ParsedChunk,
        item: &ParsedItem,
        tally: &mut IngestCounts,
    ) -> Result<()> {
        let raw = chunk.raw(item);
        match &item.outcome {
            ParseOutcome::Event(_) => return Ok(()),
            ParseOutcome::Excess => return self.write_reject(raw),
            ParseOutcome::Truncated(why) if current.file.is_some() => {
                let name = text::escape(current.name);
                let line = format!("{name}:{}: {why}; left for the next run", item.line);
                (self.on_update)(IngestUpdate::Unfinished(&text::escape_lines(&line)));
                return Ok(());
            }
            ParseOutcome::Truncated(why)
            | ParseOutcome::Rejected(why)
            | ParseOutcome::Unreadable(why) => {
                self.reject(current, item.line, why, raw)?;
            }
            ParseOutcome::NotPermitted(why) => {
                self.reject(current, item.line, why, raw)?;
                tally.not_permitted += 1;
            }
        }
        tally.rejected += 1;
        Ok(())
    }

    fn reject_conflict(
        &mut self,
        current: &OpenInput<'_>,
        chunk: &ParsedChunk,
        item: &ParsedItem,
        (id, field): (EventId, &str),
    ) -> Result<()> {
        let why = self.options.rights.describe_conflict(id, field);
        self.reject(current, item.line, &why, chunk.raw(item))
    }

    pub(super) fn reject(
        &mut self,
        current: &OpenInput<'_>,
        line: u64,
        why: &str,
        raw: &[u8],
    ) -> Result<()> {
        if self.reported < MAX_REPORTED_REJECTS {
            self.reported += 1;
            self.report_line(current.name, line, why);
        } else {
            self.suppressed += 1;
        }
        self.write_reject(raw)
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

    /// Reports the keys that were probably meant to be fields.
    pub(super) fn report_notes(&mut self) {
        for remark in self.notes.remarks() {
            (self.on_update)(IngestUpdate::Note(&text::escape_lines(&remark)));
        }
    }

    /// Prepares the rejects for an input at its first chunk, which has the header of CSV.
    ///
    /// # Errors
    /// As [`Rejects::begin_input`]. No record of the input has been stored then.
    fn prepare_rejects(&mut self, current: &mut OpenInput<'_>, chunk: &ParsedChunk) -> Result<()> {
        if let Some(rejects) = &mut self.rejects
            && !std::mem::replace(&mut current.rejects_ready, true)
        {
            rejects.begin_input(current.name, chunk.header.as_deref())?;
        }
        Ok(())
    }

    /// Writes bytes to the rejects.
    fn write_reject(&mut self, raw: &[u8]) -> Result<()> {
        match &mut self.rejects {
            Some(rejects) => rejects.write(raw).with_context(reject_failure),
            None => Ok(()),
        }
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
