//! What an ingest would store, without storing it.
//!
//! ## Cost
//! Memory grows with the events that have an `event_id`: each is kept, to find what repeats it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use anyhow::Context;
use anyhow::Result;

use crate::event::Event;
use crate::event::NewEvent;
use crate::event::intake::IntakeNotes;
use crate::ingest::IngestCounts;
use crate::ingest::IngestOptions;
use crate::ingest::IngestUpdate;
use crate::ingest::Input;
use crate::ingest::InputSource;
use crate::ingest::is_regular;
use crate::ingest::known_file::KnownFile;
use crate::ingest::parser::ParseOutcome;
use crate::ingest::parser::ParserInput;
use crate::ingest::read_failure;
use crate::ingest::writer::IngestWriter;
use crate::ingest::writer::OpenInput;
use crate::store;
use crate::store::LocalLog;
use crate::time::Timestamp;

/// The number of events that are shown in full.
const MAX_SHOWN: usize = 2;

/// What an ingest would do.
#[derive(Default)]
pub(crate) struct IngestPreview {
    /// The first events that would be stored, with the number 0 and no hash.
    pub first: Vec<Event>,
    /// The counts of the run; what would be stored counts as ingested.
    pub counts: IngestCounts,
    /// The times of the earliest and of the latest event that would be stored.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The keys that would go into the payload.
    pub notes: IntakeNotes,
    /// The events of this run that have an `event_id`, by tenant and id.
    seen: HashMap<(Option<String>, String), Event>,
}

/// Reads the inputs and tells what an ingest would do. Without a log everything is new.
///
/// # Errors
/// Those of the log and of reading an input, and a signal. A bad record is none.
pub(crate) fn preview(
    log: Option<&LocalLog>,
    inputs: &[Input<'_>],
    options: &IngestOptions<'_>,
    report: &mut dyn FnMut(IngestUpdate<'_>),
) -> Result<IngestPreview> {
    let mut tally = IngestCounts::default();
    let mut writer = IngestWriter::new(options, None, report, &mut tally);
    let mut preview = IngestPreview::default();
    for input in inputs {
        let mut current = open(&writer, log, &input.name, (input.open)()?)?;
        preview.counts.already_ingested += current.accepted();
        while let Some(chunk) = writer.next(&mut current)? {
            preview.notes.merge(&chunk.notes);
            for item in &chunk.items {
                if current.skip_known(item) {
                    preview.counts.already_ingested += 1;
                    continue;
                }
                let ParseOutcome::Event(event) = &item.outcome else {
                    writer.reject_item(&current, &chunk, item, &mut preview.counts)?;
                    continue;
                };
                if let Some(why) = preview.add(log, event, options)? {
                    writer.reject(&current, item.line, &why, &[])?;
                    preview.counts.rejected += 1;
                }
            }
        }
    }
    writer.report_suppressed();
    Ok(preview)
}

fn open<'n>(
    writer: &IngestWriter<'_>,
    log: Option<&LocalLog>,
    name: &'n str,
    source: InputSource,
) -> Result<OpenInput<'n>> {
    let stream = match source {
        InputSource::File(file) if is_regular(&file) => {
            let clone = file.try_clone().with_context(|| read_failure(name))?;
            let known = match log.filter(|_| !writer.options.reread_files) {
                Some(log) => KnownFile::look_up(log, clone, name)?,
                None => KnownFile::new(clone).with_context(|| read_failure(name))?,
            };
            let from = ParserInput::File(file, known.resume_point());
            return writer.start_parsing(name, from, Some(known));
        }
        InputSource::File(file) => Box::new(file),
        InputSource::Stream(stream) => stream,
    };
    writer.start_parsing(name, ParserInput::Stream(stream), None)
}

impl IngestPreview {
    /// Returns what an ingest of one event would do.
    ///
    /// # Errors
    /// Those of the log.
    pub(crate) fn of_event(
        log: Option<&LocalLog>,
        event: &NewEvent,
        options: &IngestOptions<'_>,
    ) -> Result<(Self, Option<String>)> {
        let mut preview = Self::default();
        let why = preview.add(log, event, options)?;
        preview.counts.rejected += u64::from(why.is_some());
        Ok((preview, why))
    }

    /// Counts an event; returns why it would be rejected.
    fn add(
        &mut self,
        log: Option<&LocalLog>,
        event: &NewEvent,
        options: &IngestOptions<'_>,
    ) -> Result<Option<String>> {
        if let Some(log) = log {
            if let Some((id, field)) = log.find_conflict(event)? {
                let why = format!("its event_id is that of event {id}, whose {field} differs");
                return Ok(Some(why));
            }
            if log.has_event_id(event)? {
                self.counts.duplicates += 1;
                return Ok(None);
            }
        }
        let shown = event.to_preview((options.clock)(), &Arc::from(options.recorded_by));
        if let Some(event_id) = event.event_id.clone().filter(|id| !id.is_empty()) {
            match self.seen.entry((event.tenant.clone(), event_id)) {
                Entry::Vacant(free) => drop(free.insert(shown.clone())),
                Entry::Occupied(known) => match store::conflicting_field(event, known.get()) {
                    Some(field) => {
                        let why = format!("its event_id came before, and {field} differs");
                        return Ok(Some(why));
                    }
                    None => {
                        self.counts.duplicates += 1;
                        return Ok(None);
                    }
                },
            }
        }
        self.counts.ingested += 1;
        let at = shown.occurred_at;
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        if self.first.len() < MAX_SHOWN {
            self.first.push(shown);
        }
        Ok(None)
    }
}
