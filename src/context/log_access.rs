//! The only way from a command to the log.
//!
//! No command holds a [`Log`]: [`LogAccess::open_reader`] returns a [`LogReader`] that joins the
//! caller's scope to every query, so no command can forget it, and [`LogAccess::open_writer`] returns
//! a [`LogWriter`] that stamps every event with the user who runs the program.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::access;
use crate::access::Capability;
use crate::access::Reading;
use crate::context::Context;
use crate::context::InputOptions;
use crate::context::LogExporter;
use crate::context::LogReader;
use crate::context::LogWriter;
use crate::context::writer;
use crate::digest;
use crate::digest::logs::DigestLogs;
use crate::digest::mail_context::MailContext;
use crate::digest::mail_settings::MailSettings;
use crate::digest::outcome::RecordedOutcome;
use crate::digest::report::Coverage;
use crate::digest::report::DigestReport;
use crate::digest::report::ReportOptions;
use crate::digest::run::DigestLogOpener;
use crate::digest::run::DigestOptions;
use crate::digest::run::DigestPurpose;
use crate::digest::run::DigestRequest;
use crate::digest::run::DigestRunSummary;
use crate::digest::run::DigestStore;
use crate::event::NewEvent;
use crate::failure::Failure;
use crate::ingest::IngestPreview;
use crate::ingest::Input;
use crate::interrupt::Interrupt;
use crate::retention::RetentionPolicy;
use crate::settings::LogLocation;
use crate::store::Create;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::central::ServerAccess;
use crate::sweep;
use crate::terminal::ProgressLine;
use crate::terminal::ProgressTotal;
use crate::time::Timestamp;

/// How long a central store may take to answer one question.
const STORE_PATIENCE: Duration = Duration::from_secs(300);

/// What the caller has said against the safeguards of a sweep.
#[derive(Clone, Copy)]
pub(crate) struct SweepOverrides {
    /// The clock is right.
    pub force: bool,
    /// Most of the log may go.
    pub yes: bool,
}

/// Opens the log on behalf of the caller. Progress and warnings go to the context's output.
#[derive(Clone, Copy)]
pub(crate) struct LogAccess<'a> {
    pub(super) context: &'a Context,
}

impl<'a> LogAccess<'a> {
    /// Refuses a caller who may not read for this purpose, before anything is read.
    ///
    /// # Errors
    /// As [`access::scope`].
    pub(crate) fn ensure_may_read(self, reading: Reading<'_>) -> Result<()> {
        access::scope(&self.context.settings.permissions, reading)?;
        Ok(())
    }

    /// Refuses a caller who may record nothing, before a file is opened for them.
    ///
    /// # Errors
    /// [`Exit::NoPermission`](crate::failure::Exit::NoPermission).
    pub(crate) fn ensure_may_record(self) -> Result<()> {
        Ok(self.context.settings.permissions.require(Capability::Ingest)?)
    }

    /// Opens the log to read the events that the caller may see for a purpose.
    ///
    /// # Errors
    /// As [`access::scope`] and [`Log::open_to_read`].
    pub(crate) fn open_reader(self, reading: Reading<'_>) -> Result<LogReader> {
        let scope = access::scope(&self.context.settings.permissions, reading)?;
        Ok(LogReader { log: self.open_to_read()?, scope })
    }

    fn open_to_read(self) -> Result<Log> {
        let context = self.context;
        match context.settings.location()? {
            LogLocation::File(path) => Log::open_to_read(&path),
            LogLocation::Store(address) => Log::open_store(
                &address,
                ServerAccess {
                    environment: &context.settings.environment,
                    trusted_uid: context.caller.real.uid,
                    timeout: STORE_PATIENCE,
                },
            ),
        }
    }

    /// Opens the log to record events. Its warnings go to standard error.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_write`]; [`Exit::NoPermission`](crate::failure::Exit::NoPermission) for a caller who may record nothing.
    pub(crate) fn open_writer(self, create: Create) -> Result<LogWriter<'a>> {
        let context = self.context;
        context.settings.permissions.require(Capability::Ingest)?;
        let (log, path) = self.open_to_write(create)?;
        Ok(LogWriter { log, path, context })
    }

    /// Tells what an ingest of inputs, or of one event, would do, and stores nothing.
    ///
    /// # Errors
    /// Those of the log and the inputs; [`Exit::NoPermission`](crate::failure::Exit::NoPermission) for a caller who may record nothing.
    pub(crate) fn preview_ingest(
        self,
        event: Option<&NewEvent>,
        inputs: &[Input<'_>],
        options: &InputOptions<'_>,
    ) -> Result<IngestPreview> {
        writer::preview_ingest(self.context, event, inputs, options)
    }

    /// Opens the log to take out what the caller may see, which is recorded in it. What is taken out of a
    /// central store is recorded in the log of this host, which is made if there is none.
    ///
    /// # Errors
    /// As [`access::scope`] and [`LocalLog::open_to_write`].
    pub(crate) fn open_exporter(self) -> Result<LogExporter<'a>> {
        let context = self.context;
        let scope = access::scope(&context.settings.permissions, Reading::Export)?;
        let (store, create) = match context.settings.reads_store() {
            true => (Some(self.open_to_read()?), Create::IfMissing),
            false => (None, Create::Never),
        };
        let (log, path) = self.open_own_log(context.settings.host_log()?.value, create)?;
        Ok(LogExporter { log, path, store, scope, context })
    }

    fn open_to_write(self, create: Create) -> Result<(LocalLog, PathBuf)> {
        self.open_own_log(self.context.settings.db()?.value, create)
    }

    fn open_own_log(self, path: PathBuf, create: Create) -> Result<(LocalLog, PathBuf)> {
        let log = LocalLog::open_to_write(&path, create)?;
        for warning in log.warnings() {
            self.context.output.warn(warning);
        }
        Ok((log, path))
    }

    /// Composes the digest of the log, sends it and records it.
    ///
    /// # Errors
    /// As [`digest::run::send`].
    pub(crate) fn send_digest(
        self,
        options: &DigestOptions,
        mail_settings: &MailSettings,
        mail_context: MailContext<'_>,
        coverage: Coverage<'_>,
        purpose: DigestPurpose,
    ) -> Result<DigestRunSummary> {
        let context = self.context;
        context.settings.permissions.require(Capability::Digest)?;
        let recorded_by = context.caller.recorded_by();
        let request = DigestRequest {
            options,
            mail_settings,
            mail_context,
            coverage,
            purpose,
            now: context.now,
            clock: &Timestamp::now,
            recorded_by: &recorded_by,
        };
        let store = self.digested_store()?;
        let create = if store.is_some() { Create::IfMissing } else { Create::Never };
        let open_store = || self.open_to_read();
        let opener = DigestLogOpener {
            open_to_write: &|| LocalLog::open_to_write(&context.settings.host_log()?.value, create),
            open_to_read: &|| Log::open_to_read(&context.settings.host_log()?.value),
            store: store.as_deref().map(|name| DigestStore { name, open: &open_store }),
        };
        digest::run::send(&opener, &request, &mut thread::sleep)
    }

    /// Reads the content of a digest, which is neither sent nor recorded.
    ///
    /// # Errors
    /// As [`LogAccess::open_reader`] and [`digest::reader::read_report`].
    pub(crate) fn digest_report(
        self,
        coverage: Coverage<'_>,
        options: &ReportOptions<'_>,
    ) -> Result<DigestReport> {
        self.with_digest_logs(|logs| {
            digest::reader::read_report(logs, coverage, self.context.now, options)
        })
    }

    /// Returns the outcomes of the digests of the log or the store, oldest first.
    ///
    /// # Errors
    /// As [`LogAccess::open_reader`].
    pub(crate) fn digests(self) -> Result<Vec<RecordedOutcome>> {
        access::scope(&self.context.settings.permissions, Reading::Digest)?;
        let Some(store) = self.digested_store()? else {
            return DigestLogs::of_host(&self.open_to_read()?).history();
        };
        let Some(records) = self.open_records()? else { return Ok(Vec::new()) };
        DigestLogs { events: &records, records: Some(&records), store: Some(&store) }.history()
    }

    /// Opens what a digest is made from.
    fn with_digest_logs<T>(self, read: impl FnOnce(DigestLogs<'_>) -> Result<T>) -> Result<T> {
        access::scope(&self.context.settings.permissions, Reading::Digest)?;
        let events = self.open_to_read()?;
        let Some(store) = self.digested_store()? else { return read(DigestLogs::of_host(&events)) };
        let records = self.open_records()?;
        read(DigestLogs { events: &events, records: records.as_ref(), store: Some(&store) })
    }

    /// Returns the name of the store that a digest tells of; `None` for the log of this host.
    fn digested_store(self) -> Result<Option<String>, Failure> {
        Ok(match self.context.settings.location()? {
            LogLocation::Store(address) => Some(address.name()),
            LogLocation::File(_) => None,
        })
    }

    /// Opens the log of this host, which records the digests of stores, if there is one.
    fn open_records(self) -> Result<Option<Log>> {
        let path = self.context.settings.host_log()?.value;
        if path.exists() { Log::open_to_read(&path).map(Some) } else { Ok(None) }
    }

    /// Removes the events that the policy no longer keeps.
    ///
    /// # Errors
    /// As [`sweep::run`].
    pub(crate) fn sweep(
        self,
        retention: &RetentionPolicy,
        overrides: SweepOverrides,
        interrupt: &Interrupt,
    ) -> Result<sweep::SweepEnd> {
        let context = self.context;
        context.settings.permissions.require(Capability::Sweep)?;
        let mut log = LocalLog::open_to_sweep(&context.settings.db()?.value)?;
        for warning in log.warnings() {
            context.output.warn(warning);
        }
        let recorded_by = context.caller.recorded_by();
        let options = sweep::SweepOptions {
            retention,
            force: overrides.force,
            confirm: &|why| {
                Ok(overrides.yes || context.output.ask(&format!("{why}. Sweep all the same?"))?)
            },
            now: context.now,
            clock: &Timestamp::now,
            recorded_by: &recorded_by,
            interrupt,
            export_patience: sweep::EXPORT_PATIENCE,
        };
        let mut progress: Option<ProgressLine> = None;
        let end = sweep::run(&mut log, &options, &mut |update| match update {
            sweep::SweepUpdate::Warning(line) => context.output.warn(line),
            sweep::SweepUpdate::Removed { events, of } => progress
                .get_or_insert_with(|| {
                    context.output.start_progress("sweep", ProgressTotal::Events(Some(of)))
                })
                .update(events, events),
        });
        if let Some(progress) = progress {
            progress.clear();
        }
        end
    }
}
