//! A log that is written to on the caller's behalf, stamped with who runs the program.

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::codec::DecodeOptions;
use crate::context::Context;
use crate::context::free_space;
use crate::event::Event;
use crate::event::NewEvent;
use crate::event::own_events;
use crate::export;
use crate::failure::{Exit, Failure};
use crate::ingest;
use crate::interrupt::Interrupt;
use crate::query::Query;
use crate::store::AppendOutcome;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::terminal::ProgressLine;
use crate::terminal::UnbufferedStdout;
use crate::time::Timestamp;

/// How inputs are to be taken.
pub(crate) struct InputOptions<'a> {
    pub reading: DecodeOptions,
    pub strict: bool,
    pub again: bool,
    pub interrupt: &'a Interrupt,
}

/// A log that is written to on the caller's behalf.
pub(crate) struct LogWriter<'a> {
    pub(super) log: LocalLog,
    pub(super) path: PathBuf,
    pub(super) scope: Query,
    pub(super) context: &'a Context,
}

impl LogWriter<'_> {
    /// Appends one event.
    ///
    /// # Errors
    /// As [`LocalLog::append`]; an action that is the log's own, from a caller who may not write it.
    pub(crate) fn append(&mut self, event: NewEvent) -> Result<AppendOutcome> {
        if own_events::is_reserved(&event.action) && !self.context.caller.may_write_reserved() {
            let what = format!("the action {} is the log's own", event.action);
            return Err(Failure::new(Exit::NoPermission, what)
                .hint("root may record it, not through sudo")
                .into());
        }
        let recorded_by = self.context.caller.recorded_by();
        let stamp = Stamp { recorded_at: self.context.now, recorded_by: &recorded_by };
        let appended = self.log.append(&[event], &stamp)?;
        self.warn_if_low_on_space();
        appended.into_iter().next().context("the log did not say what became of the event")
    }

    /// Takes events in from files and streams. What is told of them goes to standard error, and how
    /// far it is to a line there.
    ///
    /// # Errors
    /// As [`ingest::run`].
    pub(crate) fn ingest(
        &mut self,
        inputs: &[ingest::Input<'_>],
        how: &InputOptions<'_>,
        rejects: Option<&mut dyn Write>,
        tally: &mut ingest::IngestCounts,
    ) -> Result<ingest::IngestEnd> {
        let context = self.context;
        let recorded_by = context.caller.recorded_by();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let options = ingest::IngestOptions {
            decode_options: how.reading,
            strict: how.strict,
            reread_files: how.again,
            accept_reserved: context.caller.may_write_reserved(),
            recorded_by: &recorded_by,
            clock: &Timestamp::now,
            // Where the log has room, there is room for what goes into it.
            spool_folder: folder.unwrap_or(Path::new(".")),
            interrupt: how.interrupt,
        };
        let mut shown: Option<(String, ProgressLine)> = None;
        let mut report = |report: ingest::IngestUpdate<'_>| match report {
            ingest::IngestUpdate::Message(line) => context.warn(line),
            ingest::IngestUpdate::Progress(reached) => {
                let (name, progress) =
                    shown.get_or_insert_with(|| context.input_progress(&reached));
                if *name == reached.input {
                    progress.update(reached.bytes, reached.events);
                } else {
                    shown = Some(context.input_progress(&reached));
                }
            }
        };
        // Borrowed anew, for no longer than the options live.
        let rejects = rejects.map(|rejects| rejects as &mut dyn Write);
        let end = ingest::run(&mut self.log, inputs, &options, rejects, &mut report, tally);
        if let Some((_, progress)) = shown {
            progress.clear();
        }
        self.warn_if_low_on_space();
        end
    }

    /// Warns when less is left beside the log than should be.
    fn warn_if_low_on_space(&self) {
        let wanted = self.context.settings.space_left().value;
        if let Some(left) = free_space(&self.path).filter(|left| *left < wanted) {
            let (log, left) = (self.path.display(), left >> 20);
            self.context.warn(&format!("only {left} MiB are left for the log {log}"));
        }
    }

    /// Exports what the query matches of what the caller may see, to a file or standard output.
    ///
    /// # Errors
    /// As [`export::run`].
    pub(crate) fn export(
        self,
        query: &Query,
        format: export::ExportFormat,
        output: Option<&Path>,
    ) -> Result<()> {
        let query = query.clone().and(self.scope.clone());
        self.export_with(&query, format, output, export::run)
    }

    /// Exports the events that a listing shows, as CSV on standard output.
    ///
    /// # Errors
    /// As [`export::export_page`].
    pub(crate) fn export_page(self, query: &Query, events: &[Event]) -> Result<()> {
        let format = export::ExportFormat::Csv { raw: false };
        self.export_with(query, format, None, |log, _, request, target| {
            export::export_page(log, events, request, target)
        })
    }

    fn export_with(
        self,
        query: &Query,
        format: export::ExportFormat,
        output: Option<&Path>,
        run: impl FnOnce(LocalLog, &Path, &export::ExportRequest<'_>, export::Destination) -> Result<()>,
    ) -> Result<()> {
        // It is named in the log for whoever reads it from elsewhere.
        let name = output.map(std::path::absolute).transpose()?;
        let name = name.as_deref().map(Path::to_string_lossy);
        let target = match output {
            Some(path) => export::Destination::file(path, &self.path)?,
            None => export::Destination::stdout(Box::new(UnbufferedStdout), &self.path)?,
        };
        let caller = &self.context.caller;
        let recorded_by = caller.recorded_by();
        let request = export::ExportRequest {
            query,
            format,
            output: name.as_deref(),
            exporter: &caller.person().name,
            stamp: Stamp { recorded_at: self.context.now, recorded_by: &recorded_by },
        };
        run(self.log, &self.path, &request, target)
    }
}
