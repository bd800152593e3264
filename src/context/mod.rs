//! The surroundings of a command: settings, caller and time, its [`Output`], and the way to the log.
//!
//! [`Context`] holds what is decided once for a run. [`Context::output`] is standard output and
//! standard error; [`Context::log`] is the only way to the log. A command gets no `Log` in its hands.

mod fleet;
mod health;
mod log_access;
mod mirrors;
mod output;
mod reader;
mod verification;
mod writer;

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use crate::access;
use crate::access::IngestRights;
use crate::access::OwnNames;
use crate::access::Reading;
use crate::caller::Caller;
use crate::caller::Elevation;
use crate::digest::mail_context::LowDiskSpace;
use crate::digest::mail_context::MailContext;
use crate::digest::mail_settings::MailCredentials;
use crate::digest::mail_settings::MailSettings;
use crate::export;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Clock;
use crate::render::Printer;
use crate::render::TimeDisplay;
use crate::retention::RetentionPolicy;
use crate::settings::Environment;
use crate::settings::Overrides;
use crate::settings::Settings;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use crate::context::log_access::LogAccess;
pub(crate) use crate::context::log_access::SweepOverrides;
pub(crate) use crate::context::mirrors::RunLength;
pub(crate) use crate::context::output::Output;
pub(crate) use crate::context::reader::LogReader;
pub(crate) use crate::context::verification::read_anchors;
pub(crate) use crate::context::writer::InputOptions;
pub(crate) use crate::context::writer::LogExporter;
pub(crate) use crate::context::writer::LogWriter;

/// The surroundings of one run of the program.
pub(crate) struct Context {
    pub settings: Settings,
    pub caller: Caller,
    pub output: Output,
    /// The time at which the run began: every "now" of this run.
    pub now: Timestamp,
    /// The command line as it was typed, to repeat it in hints.
    pub arguments: Vec<OsString>,
}

impl Context {
    /// Reads settings and caller of this run.
    ///
    /// # Errors
    /// Those of [`Settings::resolve`]; a caller whom nothing names.
    pub(crate) fn new(flags: Overrides, arguments: Vec<OsString>) -> Result<Self> {
        let context = Self::for_anybody(flags, arguments)?;
        context.settings.permissions.ensure_known()?;
        Ok(context)
    }

    /// Like [`Context::new`], but for a caller whom nothing names too. They may do nothing.
    ///
    /// # Errors
    /// Those of [`Settings::resolve`].
    pub(crate) fn for_anybody(flags: Overrides, arguments: Vec<OsString>) -> Result<Self> {
        let environment = Environment::read();
        let caller = Caller::detect(environment.text("SUDO_UID"));
        let settings = Settings::resolve(flags, environment, &caller)?;
        Ok(Self::with_settings(settings, caller, arguments))
    }

    /// Like [`Context::new`], but leaves out a config that cannot be read, and returns its error too.
    ///
    /// # Errors
    /// A caller whom nothing names; a broken config, if the caller has rights that are not theirs.
    pub(crate) fn new_despite_config(
        flags: Overrides,
        arguments: Vec<OsString>,
    ) -> Result<(Self, Option<anyhow::Error>)> {
        let environment = Environment::read();
        let caller = Caller::detect(environment.text("SUDO_UID"));
        let resolved = Settings::resolve(flags.clone(), environment.clone(), &caller);
        let (settings, config_error) = match resolved {
            Ok(settings) => (settings, None),
            Err(error) if caller.elevation()? != Elevation::None => return Err(error),
            Err(error) => (Settings::without_config(flags, environment), Some(error)),
        };
        settings.permissions.ensure_known()?;
        Ok((Self::with_settings(settings, caller, arguments), config_error))
    }

    fn with_settings(settings: Settings, caller: Caller, arguments: Vec<OsString>) -> Self {
        let output = Output::new(&settings);
        Self { settings, caller, output, now: Timestamp::now(), arguments }
    }

    /// Whether the caller may write the reserved actions of the log: only root itself, and
    /// administrators.
    pub(crate) fn may_write_reserved(&self) -> bool {
        self.caller.is_root() || self.settings.permissions.is_administrator()
    }

    /// Returns what the caller may say in the events that they record.
    pub(crate) fn ingest_rights(&self) -> IngestRights {
        let permissions = &self.settings.permissions;
        let user = &self.caller.person().name;
        let own_names = || OwnNames {
            id: permissions.own_id().unwrap_or(user).to_owned(),
            user: user.to_owned(),
        };
        let scope = access::scope(permissions, Reading::Show);
        IngestRights {
            may_use_reserved: self.may_write_reserved(),
            only_as: (!permissions.may_record_others()).then(own_names),
            may_see_all: scope.is_ok_and(|scope| scope.is_whole()),
        }
    }

    /// Returns the access to the log.
    pub(crate) fn log(&self) -> LogAccess<'_> {
        LogAccess { context: self }
    }

    /// Returns the zone in which times are read and shown.
    ///
    /// # Errors
    /// As [`Settings::zone`].
    pub(crate) fn zone(&self) -> Result<Zone> {
        Ok(self.settings.zone()?.value)
    }

    /// Returns the names, the zone and the disk space that the page of a digest shows.
    pub(crate) fn mail_context<'a>(&'a self, site: &'a str, zone: &'a Zone) -> MailContext<'a> {
        // A missing path is an error where the log is opened.
        let log = self.settings.host_log().ok();
        let required = self.settings.space_left().value;
        let free = log.and_then(|log| free_space(&log.value)).filter(|free| *free < required);
        MailContext {
            site,
            program: "activity",
            zone,
            system_label: self.settings.system_label(),
            low_disk_space: free.map(|free| LowDiskSpace { free, required }),
            write_failure_notice: None,
            silent_alerts: &[],
        }
    }

    /// Returns recipients and transport of the digest; `to` replaces the config's recipients.
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
            rights: &self.settings.rights,
        }
    }

    /// Returns how long events are kept; `keep` replaces the config's.
    ///
    /// # Errors
    /// [`Exit::Config`] if neither says it, or if the query of a rule or a mirror does not parse.
    pub(crate) fn retention(&self, keep: Option<Span>) -> Result<RetentionPolicy> {
        let config = &self.settings.config.retention;
        let retention = RetentionPolicy::new(keep.or(config.keep), &config.rules);
        let retention = retention.map_err(|(index, why)| {
            let message = format!("config: retention.rule[{}].query: {why}", index + 1);
            Failure::new(Exit::Config, message)
        })?;
        let mirrors = &self.settings.config.mirrors;
        let enabled: Vec<_> = mirrors.iter().filter(|mirror| mirror.pace.enabled).collect();
        let holds = enabled.iter().map(|mirror| (&*mirror.name, &*mirror.query, !mirror.from_now));
        let retention = retention.with_mirrors(holds).map_err(|(index, why)| {
            let name = text::escape(&enabled[index].name);
            Failure::new(Exit::Config, format!("config: mirror.{name}.query: {why}"))
        })?;
        if retention.keeps_all() {
            let message = "nothing says how long events are kept, so nothing is swept";
            let hint =
                "say it with --keep 365d, or with keep = \"365d\" in [retention] of the config";
            return Err(Failure::new(Exit::Config, message).hint(hint).into());
        }
        Ok(retention)
    }

    /// Returns the clock that gives "now" and "yesterday" in a query their meaning.
    pub(crate) fn clock<'a>(&self, zone: &'a Zone) -> Clock<'a> {
        Clock { now: self.now, zone }
    }

    /// Returns a printer for this output. Without `time_display` times are relative on a terminal and
    /// exact elsewhere.
    pub(crate) fn printer<'a>(
        &'a self,
        zone: &'a Zone,
        time_display: Option<TimeDisplay>,
    ) -> Printer<'a> {
        let default =
            if self.output.is_interactive() { TimeDisplay::Relative } else { TimeDisplay::Rfc3339 };
        Printer {
            display: self.output.display_options(),
            time_display: time_display.unwrap_or(default),
            now: self.now,
            zone,
            system_label: self.settings.system_label(),
        }
    }

    /// Refuses a caller who has rights that are not theirs: what `what` writes anywhere is root's.
    ///
    /// # Errors
    /// [`Exit::NoPermission`].
    pub(crate) fn require_own_rights(&self, what: &str) -> Result<(), Failure> {
        if self.settings.rights.are_lent() {
            let message = format!("{what} is not for callers with rights that are not their own");
            return Err(Failure::new(Exit::NoPermission, message));
        }
        Ok(())
    }

    /// Writes a file that only the caller can read, in whole or not at all; `-` is standard output.
    /// Never overwrites the log.
    ///
    /// # Errors
    /// As [`export::Destination::file`].
    pub(crate) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        if export::is_stdout(path) {
            return self.output.print(bytes);
        }
        let mut destination = export::Destination::file(
            path,
            &self.settings.host_log()?.value,
            &self.settings.rights,
        )?;
        destination.write_all(bytes)?;
        destination.finish()
    }
}

/// Returns the free bytes of the file system of a path, if the system says how many.
fn free_space(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}
