//! What a command works with: settings, caller, terminal, time, and the only door to the log.
//!
//! No command holds a [`Log`]: [`Context::open_reader`] gives a [`LogReader`] that joins what the caller may
//! see to every query, so none can forget it, and [`Context::open_writer`] a [`LogWriter`] that stamps what
//! is written with who runs the program.

mod health;
mod reader;
mod verification;
mod writer;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::caller;
use crate::caller::Caller;
use crate::digest;
use crate::digest::mail_settings::MailCredentials;
use crate::digest::mail_settings::MailSettings;
use crate::digest::report::Coverage;
use crate::digest::run::DigestOptions;
use crate::digest::run::DigestRequest;
use crate::digest::run::DigestRunSummary;
use crate::digest::run::LogOpener;
use crate::digest::template_context::LowDiskSpace;
use crate::digest::template_context::RenderOptions;
use crate::export;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest;
use crate::interrupt::Interrupt;
use crate::query::Clock;
use crate::query::Query;
use crate::render::Printer;
use crate::render::TimeDisplay;
use crate::retention::RetentionPolicy;
use crate::settings::Environment;
use crate::settings::Overrides;
use crate::settings::Settings;
use crate::store::Create;
use crate::store::LocalLog;
use crate::store::Log;
use crate::sweep;
use crate::terminal::ProgressLine;
use crate::terminal::ProgressTotal;
use crate::terminal::Terminal;
use crate::terminal::TerminalSettings;
use crate::terminal::is_utf8_locale;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use crate::context::reader::LogReader;
pub(crate) use crate::context::writer::InputOptions;
pub(crate) use crate::context::writer::LogWriter;

/// What one run of the program works with.
pub(crate) struct Context {
    pub settings: Settings,
    pub caller: Caller,
    terminal: RefCell<Terminal>,
    /// When it began: every "now" of this run.
    pub now: Timestamp,
    /// The words of the command line, to repeat in hints.
    pub arguments: Vec<OsString>,
}

impl Context {
    /// Finds out what holds for this run.
    ///
    /// # Errors
    /// Those of the config; rights that are not the caller's.
    pub(crate) fn new(flags: Overrides, arguments: Vec<OsString>) -> Result<Self> {
        caller::refuse_setuid_or_setgid()?;
        Ok(Self::with_settings(Settings::resolve(flags, Environment::read())?, arguments))
    }

    /// As [`Context::new`], but where the config cannot be read it is left out, and comes with why.
    ///
    /// # Errors
    /// Rights that are not the caller's.
    pub(crate) fn new_despite_config(
        flags: Overrides,
        arguments: Vec<OsString>,
    ) -> Result<(Self, Option<anyhow::Error>)> {
        caller::refuse_setuid_or_setgid()?;
        let environment = Environment::read();
        let (settings, fault) = match Settings::resolve(flags.clone(), environment.clone()) {
            Ok(settings) => (settings, None),
            Err(fault) => (Settings::without_config(flags, environment), Some(fault)),
        };
        Ok((Self::with_settings(settings, arguments), fault))
    }

    fn with_settings(settings: Settings, arguments: Vec<OsString>) -> Self {
        let caller = Caller::detect(settings.environment.text("SUDO_UID"));
        let terminal = RefCell::new(Terminal::new(terminal_settings(&settings)));
        Self { settings, caller, terminal, now: Timestamp::now(), arguments }
    }

    /// Opens the log to read what the caller may see.
    ///
    /// # Errors
    /// As [`Log::open_to_read`].
    pub(crate) fn open_reader(&self) -> Result<LogReader> {
        let log = Log::open_to_read(&self.settings.db()?.value)?;
        Ok(LogReader { log, scope: Query::default() })
    }

    /// Opens the log to write. Its warnings are told.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_write`].
    pub(crate) fn open_writer(&self, create: Create) -> Result<LogWriter<'_>> {
        let path = self.settings.db()?.value;
        let log = LocalLog::open_to_write(&path, create)?;
        for warning in log.warnings() {
            self.warn(warning);
        }
        Ok(LogWriter { log, path, scope: Query::default(), context: self })
    }

    /// The zone in which times are read and shown.
    ///
    /// # Errors
    /// As [`Settings::zone`].
    pub(crate) fn zone(&self) -> Result<Zone> {
        Ok(self.settings.zone()?.value)
    }

    /// What a digest is written by: names, zone, and whether space is short.
    pub(crate) fn render_options<'a>(&'a self, site: &'a str, zone: &'a Zone) -> RenderOptions<'a> {
        // That no log is named is told where it is opened.
        let log = self.settings.db().ok();
        let wanted = self.settings.space_left().value;
        let free = log.and_then(|log| free_space(&log.value)).filter(|free| *free < wanted);
        RenderOptions {
            site,
            zone,
            system_label: self.settings.system_label(),
            low_disk_space: free.map(|free| LowDiskSpace { free, required: wanted }),
            write_failure_notice: None,
        }
    }

    /// Who gets the digest and how it goes; `to` stands for the config's recipients.
    ///
    /// # Errors
    /// As [`MailSettings::new`].
    pub(crate) fn mail_settings(&self, to: &[String]) -> Result<MailSettings, Failure> {
        MailSettings::new(&self.settings.config.digest, to, self.mail_credentials())
    }

    fn mail_credentials(&self) -> MailCredentials<'_> {
        let environment = &self.settings.environment;
        MailCredentials {
            sendgrid_api_key: environment.text("SENDGRID_API_KEY"),
            smtp_password: environment.text("ACTIVITY_SMTP_PASSWORD"),
            trusted_uid: self.caller.real.uid,
        }
    }

    /// Makes the digest of the log, sends and records it.
    ///
    /// # Errors
    /// As [`digest::run::send`].
    pub(crate) fn send_digest(
        &self,
        brief: &DigestOptions,
        post: &MailSettings,
        setting: RenderOptions<'_>,
        scope: Coverage<'_>,
        one_off: bool,
    ) -> Result<DigestRunSummary> {
        let recorded_by = self.caller.recorded_by();
        let job = DigestRequest {
            options: brief,
            mail_settings: post,
            render_options: setting,
            coverage: scope,
            one_off,
            now: self.now,
            clock: &Timestamp::now,
            recorded_by: &recorded_by,
        };
        let doors = LogOpener {
            open_to_write: || LocalLog::open_to_write(&self.settings.db()?.value, Create::Never),
            open_to_read: || Log::open_to_read(&self.settings.db()?.value),
        };
        digest::run::send(doors, &job, &mut thread::sleep)
    }

    /// How long events are kept; `keep` stands for that of the config.
    ///
    /// # Errors
    /// [`Exit::Config`] where nothing says it, or a query of a rule or a mirror does not parse.
    pub(crate) fn retention(&self, keep: Option<Span>) -> Result<RetentionPolicy> {
        let config = &self.settings.config.retention;
        let retention = RetentionPolicy::new(keep.or(config.keep), &config.rules);
        let retention = retention.map_err(|(place, why)| {
            let what = format!("config: retention.rule[{}].query: {why}", place + 1);
            Failure::new(Exit::Config, what)
        })?;
        let mirrors = &self.settings.config.mirrors;
        let holding: Vec<_> =
            mirrors.iter().filter(|mirror| mirror.wants_existing_events()).collect();
        let retention = retention.with_mirrors(holding.iter().map(|mirror| mirror.query.as_str()));
        let retention = retention.map_err(|(place, why)| {
            let what =
                format!("config: mirror.{}.query: {why}", text::escape(&holding[place].name));
            Failure::new(Exit::Config, what)
        })?;
        if retention.keeps_all() {
            let what = "nothing says how long events are kept, so nothing is swept";
            let hint =
                "say it with --keep 365d, or with keep = \"365d\" in [retention] of the config";
            return Err(Failure::new(Exit::Config, what).hint(hint).into());
        }
        Ok(retention)
    }

    /// Removes from the log what is older than it is to keep.
    ///
    /// # Errors
    /// As [`sweep::run`].
    pub(crate) fn sweep(
        &self,
        retention: &RetentionPolicy,
        force: bool,
        interrupt: &Interrupt,
    ) -> Result<sweep::SweepEnd> {
        let mut log = LocalLog::open_to_sweep(&self.settings.db()?.value)?;
        for warning in log.warnings() {
            self.warn(warning);
        }
        let recorded_by = self.caller.recorded_by();
        let job = sweep::SweepOptions {
            retention,
            force,
            now: self.now,
            clock: &Timestamp::now,
            recorded_by: &recorded_by,
            interrupt,
            export_patience: sweep::EXPORT_PATIENCE,
        };
        let mut shown: Option<ProgressLine> = None;
        let end = sweep::run(&mut log, &job, &mut |report| match report {
            sweep::SweepUpdate::Warning(line) => self.warn(line),
            sweep::SweepUpdate::Removed { events, of } => shown
                .get_or_insert_with(|| {
                    self.terminal
                        .borrow_mut()
                        .start_progress("sweep", ProgressTotal::Events(Some(of)))
                })
                .update(events, events),
        });
        if let Some(progress) = shown {
            progress.clear();
        }
        end
    }

    /// What "now" and "yesterday" are in a query.
    pub(crate) fn clock<'a>(&self, zone: &'a Zone) -> Clock<'a> {
        Clock { now: self.now, zone }
    }

    /// What draws pages for this caller's terminal, or for whatever takes the output.
    pub(crate) fn printer<'a>(&'a self, zone: &'a Zone, times: Option<TimeDisplay>) -> Printer<'a> {
        let terminal = self.terminal.borrow();
        let usual = if terminal.is_tty() { TimeDisplay::Relative } else { TimeDisplay::Rfc3339 };
        Printer {
            display: terminal.display_options(),
            time_display: times.unwrap_or(usual),
            now: self.now,
            zone,
            system_label: self.settings.system_label(),
        }
    }

    /// Whether a person reads what is printed.
    pub(crate) fn is_interactive(&self) -> bool {
        self.terminal.borrow().is_tty()
    }

    /// Shows a page, through the pager where a person reads it.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn show(&self, draw: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let mut terminal = self.terminal.borrow_mut();
        terminal.start_pager(|_| {})?;
        draw(terminal.output())?;
        Ok(terminal.finish()?)
    }

    /// Prints text at once, without a pager.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn print(&self, text: &[u8]) -> Result<()> {
        let mut terminal = self.terminal.borrow_mut();
        terminal.output().write_all(text)?;
        Ok(terminal.output().flush()?)
    }

    /// Writes a file, whole or not at all, that the caller alone can read.
    ///
    /// # Errors
    /// As [`export::Destination::file`].
    pub(crate) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut target = export::Destination::file(path, &self.settings.db()?.value)?;
        target.write_all(bytes)?;
        target.finish()
    }

    /// Waits so long, and tells whether there is still somebody who reads what is printed.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn wait_while_open(&self, pause: Duration) -> Result<bool> {
        let pause = pause.try_into().context("a pause is short")?;
        Ok(self.terminal.borrow().wait_while_open(pause)?)
    }

    /// The line that tells how far an input was taken, with the input's name.
    fn input_progress(&self, reached: &ingest::InputProgress<'_>) -> (String, ProgressLine) {
        let progress = self
            .terminal
            .borrow_mut()
            .start_progress(reached.input, ProgressTotal::Events(reached.total_bytes));
        (reached.input.to_owned(), progress)
    }

    /// Tells on standard error what is good to know; not when `--quiet`.
    pub(crate) fn note(&self, message: &str) {
        self.terminal.borrow().note(message);
    }

    /// Tells on standard error what is wrong, but no reason to end here.
    pub(crate) fn warn(&self, message: &str) {
        self.terminal.borrow().warn(message);
    }
}

/// What the flags and the environment say of the terminal.
fn terminal_settings(settings: &Settings) -> TerminalSettings {
    let environment = &settings.environment;
    let forced = environment.get("CLICOLOR_FORCE").is_some_and(|forced| forced != "0");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| environment.text(name));
    TerminalSettings {
        colour: settings.colour,
        colour_forced: forced,
        no_colour: environment.get("NO_COLOR").is_some(),
        term: environment.text("TERM").map(str::to_owned),
        columns: environment
            .text("COLUMNS")
            .and_then(|columns| columns.parse().ok())
            .filter(|n| *n > 0),
        pager: settings.pager().map(str::to_owned),
        no_pager: settings.no_pager,
        quiet: settings.quiet,
        utf8: is_utf8_locale(locale[0], locale[1], locale[2]),
    }
}

/// The bytes that are left beside a file, where the system says how many.
fn free_space(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}
