//! What a command works with: settings, caller, terminal, time, and the only door to the log.
//!
//! No command holds a [`Log`]: [`Context::read`] gives a [`Reader`] that joins what the caller may
//! see to every query, so none can forget it, and [`Context::write`] a [`Writer`] that stamps what
//! is written with who runs the program.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::caller;
use crate::caller::Caller;
use crate::codec::Reading;
use crate::digest;
use crate::digest::outcome::Recorded;
use crate::digest::post::Keys;
use crate::digest::post::Post;
use crate::digest::report::Options;
use crate::digest::report::Report;
use crate::digest::report::Scope;
use crate::digest::run::Brief;
use crate::digest::run::Done;
use crate::digest::run::Job;
use crate::digest::view::Setting;
use crate::digest::view::Space;
use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::own;
use crate::export;
use crate::failure::{Exit, Failure};
use crate::ingest;
use crate::ingest::Interrupt;
use crate::query::Clock;
use crate::query::Query;
use crate::render::Labels;
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
use crate::store::Resemblance;
use crate::store::Side;
use crate::store::Stamp;
use crate::store::Summary;
use crate::store::Vocable;
use crate::terminal::Progress;
use crate::terminal::Setup;
use crate::terminal::Stdout;
use crate::terminal::Terminal;
use crate::terminal::is_utf8_locale;
use crate::time::Timestamp;
use crate::time::Zone;

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
        caller::refuse_borrowed_rights()?;
        let settings = Settings::resolve(flags, Environment::read())?;
        let caller = Caller::find(settings.environment.text("SUDO_UID"));
        let terminal = RefCell::new(Terminal::new(setup(&settings)));
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
            self.warn(warning);
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

    /// What a digest is written by: names, zone, and whether space is short.
    pub(crate) fn setting<'a>(&'a self, site: &'a str, zone: &'a Zone) -> Setting<'a> {
        // That no log is named is told where it is opened.
        let log = self.settings.db().ok();
        let space =
            self.settings.config.space_left.zip(log.and_then(|log| left_beside(&log.value)));
        let space = space.filter(|(wanted, free)| free < wanted);
        Setting {
            site,
            zone,
            system_label: self.settings.system_label(),
            space: space.map(|(wanted, free)| Space { free, wanted }),
        }
    }

    /// Who gets the digest and how it goes; `to` stands for the config's recipients.
    ///
    /// # Errors
    /// As [`Post::new`].
    pub(crate) fn post(&self, to: &[String]) -> Result<Post, Failure> {
        let environment = &self.settings.environment;
        let keys = Keys {
            sendgrid: environment.text("SENDGRID_API_KEY"),
            smtp: environment.text("ACTIVITY_SMTP_PASSWORD"),
            uid: self.caller.real.uid,
        };
        Post::new(&self.settings.config.digest, to, keys)
    }

    /// Makes the digest of the log, sends and records it.
    ///
    /// # Errors
    /// As [`digest::run::send`].
    pub(crate) fn send_digest(
        &self,
        brief: &Brief,
        post: &Post,
        setting: Setting<'_>,
        scope: Scope<'_>,
        one_off: bool,
    ) -> Result<Done> {
        let recorded_by = self.caller.recorded_by();
        let job = Job {
            brief,
            post,
            setting,
            scope,
            one_off,
            now: self.now,
            clock: &Timestamp::now,
            recorded_by: &recorded_by,
        };
        let open = || Log::open_to_write(&self.settings.db()?.value, Create::Never);
        digest::run::send(open, &job, &mut thread::sleep)
    }

    /// What "now" and "yesterday" are in a query.
    pub(crate) fn clock<'a>(&self, zone: &'a Zone) -> Clock<'a> {
        Clock { now: self.now, zone }
    }

    /// What draws pages for this caller's terminal, or for whatever takes the output.
    pub(crate) fn printer<'a>(&'a self, zone: &'a Zone, times: Option<Times>) -> Printer<'a> {
        let terminal = self.terminal.borrow();
        let usual = if terminal.is_tty() { Times::Relative } else { Times::Rfc3339 };
        Printer {
            look: terminal.look(),
            times: times.unwrap_or(usual),
            now: self.now,
            zone,
            system_label: self.settings.system_label(),
        }
    }

    /// Whether a person reads what is printed.
    pub(crate) fn is_read_by_a_person(&self) -> bool {
        self.terminal.borrow().is_tty()
    }

    /// Shows a page, through the pager where a person reads it.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn show(&self, draw: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let mut terminal = self.terminal.borrow_mut();
        terminal.start_pager(|_| {})?;
        draw(terminal.out())?;
        Ok(terminal.finish()?)
    }

    /// Prints text at once, without a pager.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn print(&self, text: &[u8]) -> Result<()> {
        let mut terminal = self.terminal.borrow_mut();
        terminal.out().write_all(text)?;
        Ok(terminal.out().flush()?)
    }

    /// Writes a file, whole or not at all, that the caller alone can read.
    ///
    /// # Errors
    /// As [`export::Target::file`].
    pub(crate) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut target = export::Target::file(path, &self.settings.db()?.value)?;
        target.write_all(bytes)?;
        target.finish()
    }

    /// Waits so long, and tells whether there is still somebody who reads what is printed.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn wait(&self, pause: Duration) -> Result<bool> {
        let pause = pause.try_into().context("a pause is short")?;
        Ok(self.terminal.borrow().wait(pause)?)
    }

    /// The line that tells how far an input was taken, with the input's name.
    fn progress(&self, reached: &ingest::Reached<'_>) -> (String, Progress) {
        let progress = self.terminal.borrow_mut().progress(reached.input, reached.of);
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
fn setup(settings: &Settings) -> Setup {
    let environment = &settings.environment;
    let forced = environment.get("CLICOLOR_FORCE").is_some_and(|forced| forced != "0");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| environment.text(name));
    Setup {
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
fn left_beside(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
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

    /// What matches around an event, the oldest first; `None` where the caller knows of no such event.
    pub(crate) fn around(
        &self,
        query: &Query,
        id: EventId,
        each: usize,
    ) -> Result<Option<Vec<Event>>> {
        let Some(center) = self.event(id)? else { return Ok(None) };
        self.log.around(&self.within(query), &center, each).map(Some)
    }

    /// How many match, if it is no more than `most`.
    pub(crate) fn count(&self, query: &Query, most: u64) -> Result<Option<u64>> {
        let count = self.log.count(&self.within(query), most.saturating_add(1))?;
        Ok(Some(count).filter(|count| *count <= most))
    }

    pub(crate) fn summary(&self, query: &Query, edges: &[Timestamp]) -> Result<Summary> {
        self.log.summary(&self.within(query), edges)
    }

    pub(crate) fn vocabulary(&self, edges: &[Timestamp]) -> Result<Vec<Vocable>> {
        self.log.vocabulary(&self.scope, edges)
    }

    /// What a digest of the log tells.
    pub(crate) fn report(
        &self,
        scope: Scope<'_>,
        now: Timestamp,
        options: &Options<'_>,
    ) -> Result<Report> {
        Report::read(&self.log, scope, now, options)
    }

    /// What became of the digests of the log, the oldest first.
    pub(crate) fn digests(&self) -> Result<Vec<Recorded>> {
        digest::report::history(&self.log)
    }

    pub(crate) fn resembling(&self, side: Side, word: &str) -> Result<Vec<Resemblance>> {
        self.log.resembling(&self.scope, side, word)
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
        let actors: Vec<_> =
            wanted.iter().map(|(tenant, id)| (tenant.as_deref(), id.as_str())).collect();
        let found = self.log.labels(&self.scope, &actors)?;
        for ((tenant, id), label) in actors.into_iter().zip(found) {
            if let Some(label) = label {
                labels.insert(tenant, id, &label);
            }
        }
        Ok(labels)
    }
}

/// How inputs are to be taken.
pub(crate) struct How<'a> {
    pub reading: Reading,
    pub strict: bool,
    pub again: bool,
    pub interrupt: &'a Interrupt,
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
        self.warn_of_little_space();
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
        how: &How<'_>,
        rejects: Option<&mut dyn Write>,
        tally: &mut ingest::Tally,
    ) -> Result<ingest::End> {
        let context = self.context;
        let recorded_by = context.caller.recorded_by();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let options = ingest::Options {
            reading: how.reading,
            strict: how.strict,
            again: how.again,
            reserved: context.caller.may_write_reserved(),
            recorded_by: &recorded_by,
            clock: &Timestamp::now,
            // Where the log has room, there is room for what goes into it.
            spool: folder.unwrap_or(Path::new(".")),
            interrupt: how.interrupt,
        };
        let mut shown: Option<(String, Progress)> = None;
        let mut report = |report: ingest::Report<'_>| match report {
            ingest::Report::Told(line) => context.warn(line),
            ingest::Report::Reached(reached) => {
                let (name, progress) = shown.get_or_insert_with(|| context.progress(&reached));
                if *name == reached.input {
                    progress.at(reached.bytes, reached.events);
                } else {
                    shown = Some(context.progress(&reached));
                }
            }
        };
        // Borrowed anew, for no longer than the options live.
        let rejects = rejects.map(|rejects| rejects as &mut dyn Write);
        let end = ingest::run(&mut self.log, inputs, &options, rejects, &mut report, tally);
        if let Some((_, progress)) = shown {
            progress.clear();
        }
        self.warn_of_little_space();
        end
    }

    /// Warns when less is left beside the log than the config asks for.
    fn warn_of_little_space(&self) {
        let Some(wanted) = self.context.settings.config.space_left else { return };
        if let Some(left) = left_beside(&self.path).filter(|left| *left < wanted) {
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
    pub(crate) fn export_shown(self, query: &Query, events: &[Event]) -> Result<()> {
        let format = export::Format::Csv { raw: false };
        self.outgoing(query, format, None, |log, _, request, target| {
            export::shown(log, events, request, target)
        })
    }

    fn outgoing(
        self,
        query: &Query,
        format: export::Format,
        output: Option<&Path>,
        run: impl FnOnce(Log, &Path, &export::Request<'_>, export::Target) -> Result<()>,
    ) -> Result<()> {
        // It is named in the log for whoever reads it from elsewhere.
        let name = output.map(std::path::absolute).transpose()?;
        let name = name.as_deref().map(Path::to_string_lossy);
        let target = match output {
            Some(path) => export::Target::file(path, &self.path)?,
            None => export::Target::stdout(Box::new(Stdout), &self.path)?,
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
        run(self.log, &self.path, &request, target)
    }
}
