//! What a command works with: settings, caller, terminal, time, and the only door to the log.
//!
//! No command holds a [`Log`]: [`Context::read`] gives a [`Reader`] that joins what the caller may
//! see to every query, so none can forget it, and [`Context::write`] a [`Writer`] that stamps what
//! is written with who runs the program.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::caller;
use crate::caller::Caller;
use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::own;
use crate::export;
use crate::failure::{Exit, Failure};
use crate::query::Clock;
use crate::query::Query;
use crate::render::Labels;
use crate::render::Look;
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

    /// Opens the log to write. Its warnings are told.
    ///
    /// # Errors
    /// As [`Log::open_to_write`].
    pub(crate) fn write(&self, create: Create) -> Result<Writer<'_>> {
        let path = self.settings.db()?.value;
        let log = Log::open_to_write(&path, create)?;
        for warning in log.warnings() {
            self.terminal.warn(warning);
        }
        Ok(Writer { log, path, scope: Query::default(), context: self })
    }

    /// The zone in which times are read and shown.
    ///
    /// # Errors
    /// As [`Settings::zone`].
    pub(crate) fn zone(&self) -> Result<Zone> {
        Ok(self.settings.zone()?.value)
    }

    /// What "now" and "yesterday" are in a query.
    pub(crate) fn clock<'a>(&self, zone: &'a Zone) -> Clock<'a> {
        Clock { now: self.now, zone }
    }

    /// What draws pages for this caller's terminal, or for whatever takes the output.
    pub(crate) fn printer<'a>(&'a self, zone: &'a Zone, times: Option<Times>) -> Printer<'a> {
        let usual = if self.terminal.is_tty() { Times::Relative } else { Times::Rfc3339 };
        Printer {
            look: Look {
                colour: self.terminal.colour(),
                utf8: self.terminal.utf8(),
                width: self.terminal.width(),
            },
            times: times.unwrap_or(usual),
            now: self.now,
            zone,
            system_label: self.settings.system_label(),
        }
    }
}

/// A log as the caller may read it.
pub(crate) struct Reader {
    log: Log,
    /// Joined to every query: what he may see.
    scope: Query,
}

impl Reader {
    fn within(&self, query: &Query) -> Query {
        query.clone().and(self.scope.clone())
    }

    pub(crate) fn page(&self, query: &Query, page: &Page) -> Result<Vec<Event>> {
        self.log.page(&self.within(query), page)
    }

    pub(crate) fn arrived(
        &self,
        query: &Query,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.log.arrived(&self.within(query), after, limit)
    }

    pub(crate) fn around(&self, query: &Query, id: EventId, each: usize) -> Result<Vec<Event>> {
        self.log.around(&self.within(query), id, each)
    }

    /// How many match, if it is no more than `most`.
    pub(crate) fn count(&self, query: &Query, most: u64) -> Result<Option<u64>> {
        let count = self.log.count(&self.within(query), most.saturating_add(1))?;
        Ok(Some(count).filter(|count| *count <= most))
    }

    pub(crate) fn summary(&self, query: &Query) -> Result<Summary> {
        self.log.summary(&self.within(query))
    }

    pub(crate) fn vocabulary(&self) -> Result<Vec<Vocable>> {
        self.log.vocabulary(&self.scope)
    }

    /// The newest id there is, whoever may see it: where to look for more begins behind it.
    pub(crate) fn head(&self) -> Result<EventId> {
        Ok(self.log.head()?.0)
    }

    pub(crate) fn event(&self, id: EventId) -> Result<Option<Event>> {
        Ok(self.log.event(id)?.filter(|event| self.scope.matches(event)))
    }

    pub(crate) fn find(&self, event_id: &str) -> Result<Found> {
        self.log.find(event_id)
    }

    /// The names of actors of whom these events give the id alone.
    pub(crate) fn labels(&self, events: &[Event]) -> Result<Labels> {
        let mut labels = Labels::default();
        let wanted = labels.wanted(events);
        if wanted.is_empty() {
            return Ok(labels);
        }
        let found = self.log.labels(&wanted)?;
        for ((tenant, id), label) in wanted.iter().zip(found) {
            if let Some(label) = label {
                labels.insert(tenant.as_deref(), id, &label);
            }
        }
        Ok(labels)
    }
}

/// A log that is written to on the caller's behalf.
pub(crate) struct Writer<'a> {
    log: Log,
    path: PathBuf,
    scope: Query,
    context: &'a Context,
}

impl Writer<'_> {
    /// Appends one event.
    ///
    /// # Errors
    /// As [`Log::append`]; an action that is the log's own, from a caller who may not write it.
    pub(crate) fn append(&mut self, event: NewEvent) -> Result<Appended> {
        if own::is_reserved(&event.action) && !self.context.caller.may_write_reserved() {
            let what = format!("the action {} is the log's own", event.action);
            return Err(Failure::new(Exit::NoPermission, what)
                .hint("root may record it, not through sudo")
                .into());
        }
        let recorded_by = self.context.caller.recorded_by();
        let stamp = Stamp { recorded_at: self.context.now, recorded_by: &recorded_by };
        let appended = self.log.append(&[event], &stamp)?;
        appended.into_iter().next().context("the log did not say what became of the event")
    }

    /// Exports what the query matches of what the caller may see, to a file or standard output.
    ///
    /// # Errors
    /// As [`export::run`].
    pub(crate) fn export(
        &mut self,
        query: &Query,
        format: export::Format,
        output: Option<&Path>,
    ) -> Result<()> {
        let query = query.clone().and(self.scope.clone());
        self.outgoing(&query, format, output, export::run)
    }

    /// Exports the events that a listing shows, as CSV on standard output.
    ///
    /// # Errors
    /// As [`export::shown`].
    pub(crate) fn export_shown(&mut self, query: &Query, events: &[Event]) -> Result<()> {
        let format = export::Format::Csv { raw: false };
        self.outgoing(query, format, None, |log, request, target| {
            export::shown(log, events, request, target)
        })
    }

    fn outgoing(
        &mut self,
        query: &Query,
        format: export::Format,
        output: Option<&Path>,
        run: impl FnOnce(&mut Log, &export::Request<'_>, export::Target<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut stdout = self.context.terminal.stdout();
        // It is named in the log for whoever reads it from elsewhere.
        let name = output.map(std::path::absolute).transpose()?;
        let name = name.as_deref().map(Path::to_string_lossy);
        let target = match output {
            Some(path) => export::Target::file(path, &self.path)?,
            None => export::Target::stdout(&mut stdout, &self.path)?,
        };
        let caller = &self.context.caller;
        let recorded_by = caller.recorded_by();
        let request = export::Request {
            query,
            format,
            output: name.as_deref(),
            exporter: &caller.person().name,
            stamp: Stamp { recorded_at: self.context.now, recorded_by: &recorded_by },
        };
        run(&mut self.log, &request, target)
    }
}
