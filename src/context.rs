//! What a command works with: settings, caller, terminal, time, and the only door to the log.
//!
//! No command holds a [`Log`]: [`Context::read`] gives a [`Reader`] that joins what the caller may
//! see to every query, so none can forget it, and [`Context::write`] a [`Writer`] that stamps what
//! is written with who runs the program.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::caller;
use crate::caller::Caller;
use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::export;
use crate::failure::{Exit, Failure};
use crate::ingest;
use crate::query::Clock;
use crate::query::Query;
use crate::render::Printer;
use crate::render::Times;
use crate::settings::Environment;
use crate::settings::Overrides;
use crate::settings::Settings;
use crate::store::Appended;
use crate::store::Create;
use crate::store::Found;
use crate::store::Log;
use crate::store::Page;
use crate::store::Stamp;
use crate::store::Summary;
use crate::store::Vocable;
use crate::terminal::Terminal;
use crate::time::Timestamp;
use crate::time::Zone;

/// What one run of the program works with.
pub(crate) struct Context {
    pub settings: Settings,
    pub caller: Caller,
    pub terminal: Terminal,
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
        caller::refuse_borrowed_rights()?;
        let settings = Settings::resolve(flags, Environment::read())?;
        let caller = Caller::find(settings.environment.text("SUDO_UID"));
        let terminal = Terminal::new(&settings);
        Ok(Self { settings, caller, terminal, now: Timestamp::now(), arguments })
    }

    /// Opens the log to read what the caller may see.
    ///
    /// # Errors
    /// As [`Log::open_to_read`].
    pub(crate) fn read(&self) -> Result<Reader> {
        let log = Log::open_to_read(&self.settings.db()?.value)?;
        Ok(Reader { log, scope: Query::default() })
    }

    /// Opens the log to write.
    ///
    /// # Errors
    /// As [`Log::open_to_write`].
    pub(crate) fn write(&self, create: Create) -> Result<Writer<'_>> {
        let path = self.settings.db()?.value;
        let log = Log::open_to_write(&path, create)?;
        for warning in log.warnings() {
            self.terminal.note(warning);
        }
        Ok(Writer { log, path, context: self, recorded_by: self.caller.recorded_by() })
    }

    /// The zone in which times are read and shown.
    ///
    /// # Errors
    /// As [`Settings::zone`].
    pub(crate) fn zone(&self) -> Result<Zone> {
        Ok(self.settings.zone()?.value)
    }
}
