//! The log as the caller may write it: every event is stamped with the user who runs the program.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::access::Capability;
use crate::access::Scope;
use crate::codec::DecodeOptions;
use crate::context::Context;
use crate::context::Output;
use crate::context::free_space;
use crate::event::Event;
use crate::event::NewEvent;
use crate::event::field::Field;
use crate::export;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest;
use crate::interrupt::Interrupt;
use crate::query::Query;
use crate::store;
use crate::store::AppendOutcome;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::Stamp;
use crate::terminal::ProgressLine;
use crate::terminal::ProgressTotal;
use crate::terminal::UnbufferedStdout;
use crate::time::Timestamp;

/// How `ingest` reads its inputs.
pub(crate) struct InputOptions<'a> {
    pub decode_options: DecodeOptions,
    pub strict: bool,
    pub reread_files: bool,
    pub interrupt: &'a Interrupt,
}

/// The log as the caller may write it.
pub(crate) struct LogWriter<'a> {
    pub(super) log: LocalLog,
    pub(super) path: PathBuf,
    pub(super) context: &'a Context,
}

impl LogWriter<'_> {
    /// Appends one event.
    ///
    /// # Errors
    /// As [`LocalLog::append`]; [`Exit::NoPermission`] for what the caller may not record.
    pub(crate) fn append(&mut self, event: NewEvent) -> Result<AppendOutcome> {
        if let Some(why) = self.context.ingest_rights().refusal(&event) {
            return Err(Failure::new(Exit::NoPermission, why)
                .hint("root itself may record it, and who may else is in [access] of the config")
                .into());
        }
        let recorded_by = self.context.caller.recorded_by();
        let stamp = Stamp { clock: &Timestamp::now, recorded_by: &recorded_by };
        let appended = self.log.append(&[event], &stamp)?;
        self.warn_if_low_on_space();
        appended.into_iter().next().context("the log did not say what became of the event")
    }

    /// Ingests events from files and streams. Messages and progress go to standard error.
    ///
    /// # Errors
    /// As [`ingest::run`].
    pub(crate) fn ingest(
        &mut self,
        inputs: &[ingest::Input<'_>],
        input_options: &InputOptions<'_>,
        rejects: Option<ingest::Rejects<'_>>,
        counts: &mut ingest::IngestCounts,
    ) -> Result<ingest::IngestEnd> {
        let context = self.context;
        let recorded_by = context.caller.recorded_by();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let options = ingest::IngestOptions {
            decode_options: input_options.decode_options,
            strict: input_options.strict,
            reread_files: input_options.reread_files,
            rights: Arc::new(context.ingest_rights()),
            recorded_by: &recorded_by,
            clock: &Timestamp::now,
            // The file system of the log needs the room for these events anyway.
            spool_folder: folder.unwrap_or(Path::new(".")),
            interrupt: input_options.interrupt,
        };
        let mut shown_input: Option<(String, ProgressLine)> = None;
        let mut report = |report: ingest::IngestUpdate<'_>| match report {
            ingest::IngestUpdate::Message(line) => context.output.warn(line),
            ingest::IngestUpdate::Unfinished(line) => context.output.note(line),
            ingest::IngestUpdate::Note(line) => context.output.note(&format!("note: {line}")),
            ingest::IngestUpdate::Progress(reached) => {
                let (name, progress) =
                    shown_input.get_or_insert_with(|| input_progress(&context.output, &reached));
                if *name == reached.input {
                    progress.update(reached.bytes, reached.events);
                } else {
                    shown_input = Some(input_progress(&context.output, &reached));
                }
            }
        };
        let end = ingest::run(&mut self.log, inputs, &options, rejects, &mut report, counts);
        if let Some((_, progress)) = shown_input {
            progress.clear();
        }
        self.warn_if_low_on_space();
        let end = end?;
        // The log may have been replaced after the last batch, and the end of a run confirms all.
        self.log.ensure_in_place()?;
        Ok(end)
    }

    /// Warns if the log has less disk space than the settings ask for, once a day.
    fn warn_if_low_on_space(&self) {
        let required = self.context.settings.space_left().value;
        if let Some(left) = free_space(&self.path).filter(|left| *left < required)
            && store::note_first_warning_of_day(&self.path, self.context.now)
        {
            let (log, left) = (self.path.display(), left >> 20);
            self.context.output.warn(&format!("only {left} MiB are left for the log {log}"));
        }
    }
}

/// The log as the caller may take events out of it.
pub(crate) struct LogExporter<'a> {
    /// The log of this host, which records the export.
    pub(super) log: LocalLog,
    pub(super) path: PathBuf,
    /// The central store that is exported instead.
    pub(super) store: Option<Log>,
    pub(super) scope: Scope,
    pub(super) context: &'a Context,
}

impl LogExporter<'_> {
    /// Exports the matching events that the caller may see, to a file or standard output.
    ///
    /// # Errors
    /// As [`export::run`].
    pub(crate) fn export(
        self,
        query: &Query,
        (format, fields): (export::ExportFormat, &[&'static Field]),
        output: Option<&Path>,
    ) -> Result<()> {
        self.export_with(
            query,
            (format, fields),
            output,
            |log, path, store, request, destination| match store {
                Some(store) => export::run_from_store(log, store, request, destination),
                None => export::run(log, path, request, destination),
            },
        )
    }

    /// Exports the events of a listing as CSV to standard output.
    ///
    /// # Errors
    /// As [`export::export_page`].
    pub(crate) fn export_page(
        self,
        query: &Query,
        fields: &[&'static Field],
        has_header: bool,
        events: &[Event],
    ) -> Result<()> {
        let format = export::ExportFormat::Csv { raw: false, has_header };
        self.export_with(query, (format, fields), None, |log, _, store, request, destination| {
            export::export_page(log, store, events, request, destination)
        })
    }

    fn export_with(
        self,
        query: &Query,
        (format, fields): (export::ExportFormat, &[&'static Field]),
        output: Option<&Path>,
        run: impl FnOnce(
            LocalLog,
            &Path,
            Option<&Log>,
            &export::ExportRequest<'_>,
            export::Destination,
        ) -> Result<()>,
    ) -> Result<()> {
        // The log names the full path, for readers in another folder.
        let name = output.map(std::path::absolute).transpose()?;
        let name = name.as_deref().map(Path::to_string_lossy);
        let destination = match output {
            Some(path) => {
                export::Destination::file(path, &self.path, &self.context.settings.rights)?
            }
            None => export::Destination::stdout(Box::new(UnbufferedStdout), &self.path)?,
        };
        let caller = &self.context.caller;
        let recorded_by = caller.recorded_by();
        let site = self.context.settings.site();
        let zone = self.context.zone()?;
        let name_of_caller = &caller.person().name;
        let request = export::ExportRequest {
            scope: &self.scope,
            query,
            format,
            fields,
            output: name.as_deref(),
            labels: export::PageLabels {
                site: &site,
                system_label: self.context.settings.system_label(),
                zone: &zone.name(),
            },
            exporter: export::Exporter {
                id: self.context.settings.permissions.own_id().unwrap_or(name_of_caller),
                name: name_of_caller,
            },
            stamp: Stamp { clock: &Timestamp::now, recorded_by: &recorded_by },
        };
        run(self.log, &self.path, self.store.as_ref(), &request, destination)
    }
}

/// Tells what an ingest would do, and stores nothing.
///
/// # Errors
/// As [`ingest::preview`]; [`Exit::NoPermission`] for a caller who may record nothing.
pub(super) fn preview_ingest(
    context: &Context,
    event: Option<&NewEvent>,
    inputs: &[ingest::Input<'_>],
    input_options: &InputOptions<'_>,
) -> Result<ingest::IngestPreview> {
    context.settings.permissions.require(Capability::Ingest)?;
    let path = context.settings.db()?.value;
    let log = if path.exists() { Some(LocalLog::open_to_read(&path)?) } else { None };
    let recorded_by = context.caller.recorded_by();
    let options = ingest::IngestOptions {
        decode_options: input_options.decode_options,
        strict: false,
        reread_files: input_options.reread_files,
        rights: Arc::new(context.ingest_rights()),
        recorded_by: &recorded_by,
        clock: &Timestamp::now,
        spool_folder: Path::new("."),
        interrupt: input_options.interrupt,
    };
    let mut report = |report: ingest::IngestUpdate<'_>| match report {
        ingest::IngestUpdate::Message(line) => context.output.warn(line),
        ingest::IngestUpdate::Unfinished(line) => context.output.note(line),
        ingest::IngestUpdate::Note(line) => context.output.note(&format!("note: {line}")),
        ingest::IngestUpdate::Progress(_) => {}
    };
    let Some(event) = event else {
        return ingest::preview(log.as_ref(), inputs, &options, &mut report);
    };
    let (preview, why) = ingest::IngestPreview::of_event(log.as_ref(), event, &options)?;
    if let Some(why) = why {
        context.output.warn(&format!("rejected: {why}"));
    }
    Ok(preview)
}

/// The line that shows how far an input was read, with the input's name.
fn input_progress(output: &Output, reached: &ingest::InputProgress<'_>) -> (String, ProgressLine) {
    let line = output.start_progress(reached.input, ProgressTotal::Events(reached.total_bytes));
    (reached.input.to_owned(), line)
}
