//! The listing that `list` and both searches share: a page of events in the requested form.
//!
//! A [`ListingRequest`] is what was typed. It is read in full before the log is opened; then a
//! [`Listing`] gets a reader, a printer and an output once, and works with nothing else.

use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;

use crate::access::Reading;
use crate::args::command_line;
use crate::args::filter::FilterArgs;
use crate::args::output::OutputArgs;
use crate::args::output::OutputFormat;
use crate::args::page::NextPage;
use crate::args::page::PageArgs;
use crate::codec;
use crate::commands::followed_log::FollowedLog;
use crate::commands::nothing_found;
use crate::commands::nothing_found::did_you_mean;
use crate::commands::search_summary::SubjectSearch;
use crate::commands::show;
use crate::context::Context;
use crate::context::LogAccess;
use crate::context::LogReader;
use crate::context::Output;
use crate::event::Event;
use crate::event::EventPlace;
use crate::event::field::Field;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Clock;
use crate::query::Query;
use crate::render::EventTable;
use crate::render::Footer;
use crate::render::Printer;
use crate::render::SearchSubject;
use crate::render::SearchSummary;
use crate::render::TableColumns;
use crate::render::TimeDisplay;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::PageRequest;
use crate::terminal::DisplayOptions;
use crate::time::Timestamp;
use crate::time::Zone;

/// The footer gives the total when it is at most this, because counting so few takes no time.
const COUNT_LIMIT: u64 = 100_000;
/// The most events that a listing shows to those who may not export.
const MAX_UNEXPORTED_EVENTS: usize = 10_000;
/// The number of events that `--follow` begins with.
const FOLLOW_LIMIT: u64 = 10;
/// The number of events that `--around` shows on either side.
const AROUND_LIMIT: u64 = 5;
/// The time between two looks of `--follow` at the log.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The time between two looks at a central store.
const STORE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The part of the log that a listing shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListingMode {
    /// A page in the requested order.
    Page,
    /// The events before and after one event.
    Around(EventPlace),
    /// The newest events, then every new one.
    Follow,
}

/// A listing as it was typed.
pub(super) struct ListingRequest<'a> {
    pub query: Query,
    /// The filter as it was typed.
    pub filter: &'a FilterArgs,
    /// Absent for `list`.
    pub search: Option<SubjectSearch<'a>>,
    pub mode: ListingMode,
    pub output: &'a OutputArgs,
    pub page: &'a PageArgs,
}

impl ListingRequest<'_> {
    /// Shows the listing.
    ///
    /// # Errors
    /// Those of the flags, of the log and of standard output.
    pub(super) fn run(&self, context: &Context, zone: &Zone) -> Result<Exit> {
        let reading = match &self.search {
            None => Reading::List,
            Some(SubjectSearch { subject: SearchSubject::Actor, search_term, .. }) => {
                Reading::SearchActor(search_term.trim())
            }
            Some(SubjectSearch { subject: SearchSubject::Target, .. }) => Reading::SearchTarget,
        };
        context.log().ensure_may_read(reading)?;
        let (page, next_page) = self.page.page()?;
        let columns = self.output.columns()?;
        let fields = self.output.fields()?;
        let format = self.output.format();
        if format == OutputFormat::Csv || page.limit > MAX_UNEXPORTED_EVENTS {
            context.log().ensure_may_read(Reading::Export)?;
        }
        if self.mode == ListingMode::Follow && format == OutputFormat::Csv {
            let message = "--follow has no end, so it cannot be exported as CSV";
            return Err(Failure::new(Exit::Usage, message).hint("--json").into());
        }
        let time_display = match self.mode {
            // A line stays on the screen for hours, so it must not say "just now".
            ListingMode::Follow if context.output.is_interactive() => {
                self.output.time_display().or(Some(TimeDisplay::Local))
            }
            ListingMode::Follow | ListingMode::Page | ListingMode::Around(_) => {
                self.output.time_display()
            }
        };
        let reader = context.log().open_reader(reading)?;
        let columns = match self.output.has_columns() {
            false if reader.is_central() => columns.with_host(),
            _ => columns,
        };
        let listing = Listing {
            query: &self.query,
            filter: self.filter,
            search: self.search.as_ref(),
            columns: &columns,
            fields: &fields,
            format,
            has_header: self.output.has_header(),
            log: context.log(),
            reader,
            printer: context.printer(zone, time_display),
            output: &context.output,
            arguments: &context.arguments,
        };
        match &self.mode {
            _ if self.output.is_count() => listing.print_count(),
            ListingMode::Page => listing.show_page(&page, next_page),
            ListingMode::Around(place) => listing.show_around(place, self.page.limit(AROUND_LIMIT)),
            ListingMode::Follow => listing.follow(self.page.limit(FOLLOW_LIMIT)),
        }
    }
}

/// A listing with all that it works with.
struct Listing<'a> {
    query: &'a Query,
    filter: &'a FilterArgs,
    search: Option<&'a SubjectSearch<'a>>,
    columns: &'a TableColumns,
    /// The fields of JSON and CSV.
    fields: &'a [&'static Field],
    format: OutputFormat,
    has_header: bool,
    /// Only CSV needs it: the log records who exports.
    log: LogAccess<'a>,
    reader: LogReader,
    printer: Printer<'a>,
    output: &'a Output,
    /// The command line, to name the command for the next page.
    arguments: &'a [OsString],
}

impl Listing<'_> {
    fn show_page(&self, page: &PageRequest<'_>, next_page: NextPage) -> Result<Exit> {
        // One more than is shown tells whether there are more.
        let request = PageRequest { limit: page.limit.saturating_add(1), ..*page };
        let mut events = self.reader.page(self.query, &request)?;
        let has_more = events.len() > page.limit;
        events.truncate(page.limit);
        let is_first = page.after.is_none() && page.skip == 0;
        match self.format {
            OutputFormat::Json => self.print_json(&events)?,
            OutputFormat::Csv => self.export_csv(&events)?,
            OutputFormat::Table if events.is_empty() => self.note_nothing_found(is_first)?,
            OutputFormat::Table => {
                // A server would take longer to count than to show a page.
                let total = if is_first && has_more && !self.reader.is_central() {
                    self.reader.count(self.query, COUNT_LIMIT)?
                } else {
                    None
                };
                let footer = Footer {
                    shown: events.len() as u64,
                    total,
                    next_page: if has_more {
                        self.next_page_command(&events, next_page)
                    } else {
                        None
                    },
                    newest: events
                        .iter()
                        .max_by_key(|event| Cursor::from_event(event))
                        .map(Event::place),
                    command: command_line::command_prefix(self.arguments),
                };
                let summary = match self.search {
                    Some(search) if is_first => {
                        Some(search.summary(&self.reader, self.query, self.printer.zone)?)
                    }
                    Some(_) | None => None,
                };
                self.print_table(&events, summary.as_ref(), None, &footer)?;
            }
        }
        Ok(Exit::Success)
    }

    fn print_count(&self) -> Result<Exit> {
        let count = self.reader.count(self.query, u64::MAX)?.unwrap_or(u64::MAX);
        self.output.print(format!("{count}\n").as_bytes())?;
        Ok(Exit::Success)
    }

    /// Shows the events before and after one event, oldest first.
    fn show_around(&self, place: &EventPlace, limit: u64) -> Result<Exit> {
        let each = usize::try_from(limit).unwrap_or(usize::MAX);
        let center = show::find_event(&self.reader, &place.to_string())?;
        let events = self.reader.around(self.query, &center, each)?;
        match self.format {
            OutputFormat::Json => self.print_json(&events)?,
            OutputFormat::Csv => self.export_csv(&events)?,
            OutputFormat::Table => {
                let footer = Footer { shown: events.len() as u64, ..Footer::default() };
                self.print_table(&events, None, Some(&center.place()), &footer)?;
            }
        }
        Ok(Exit::Success)
    }

    /// Shows the newest events, then every new one, until the reader of the output has gone.
    fn follow(&self, limit: u64) -> Result<Exit> {
        let mut followed = FollowedLog::open(self.log, self.output)?;
        let interval = if self.reader.is_central() { STORE_POLL_INTERVAL } else { POLL_INTERVAL };
        let newest = PageRequest {
            order: Order::NewestFirst,
            after: None,
            skip: 0,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            up_to: Some(followed.last_id()),
        };
        let mut events = followed.reader().page(self.query, &newest)?;
        events.reverse();
        let mut table = self.table();
        loop {
            self.print_followed(followed.reader(), &mut table, &events)?;
            events = loop {
                if let Some(events) = followed.next(self.query)? {
                    break events;
                }
                if !self.output.wait_while_open(interval)? {
                    return Ok(Exit::Success);
                }
            };
        }
    }

    fn print_followed(
        &self,
        reader: &LogReader,
        table: &mut EventTable<'_>,
        events: &[Event],
    ) -> Result<()> {
        match self.format {
            OutputFormat::Json => self.print_json(events),
            OutputFormat::Csv | OutputFormat::Table if events.is_empty() => Ok(()),
            OutputFormat::Csv | OutputFormat::Table => {
                let labels = reader.actor_labels(events)?;
                let printer = Printer { now: Timestamp::now(), ..self.printer };
                let mut page = Vec::new();
                table.write(&printer, events, &labels, &mut page)?;
                self.output.print(&page)
            }
        }
    }

    fn print_json(&self, events: &[Event]) -> Result<()> {
        let mut lines = String::new();
        for event in events {
            codec::jsonl::encode_fields(event, self.fields.iter().copied(), &mut lines);
            lines.push('\n');
        }
        self.output.print(lines.as_bytes())
    }

    fn export_csv(&self, events: &[Event]) -> Result<()> {
        let fields = self.fields;
        self.log.open_exporter()?.export_page(self.query, fields, self.has_header, events)
    }

    fn table(&self) -> EventTable<'_> {
        let table = EventTable::new(self.columns);
        if self.has_header { table } else { table.without_header() }
    }

    /// Writes a table and its footer: on a terminal below the table, elsewhere to standard error.
    fn print_table(
        &self,
        events: &[Event],
        summary: Option<&SearchSummary>,
        marked: Option<&EventPlace>,
        footer: &Footer,
    ) -> Result<()> {
        let printer = &self.printer;
        let labels = self.reader.actor_labels(events)?;
        let draw = |out: &mut dyn Write| -> io::Result<()> {
            if let Some(summary) = summary {
                printer.write_summary(summary, out)?;
            }
            let table = self.table();
            let mut table = match marked {
                Some(place) => table.with_mark(place.clone()),
                None => table,
            };
            table.write(printer, events, &labels, out)
        };
        if self.output.is_interactive() {
            return self.output.show(|out| {
                draw(out)?;
                printer.write_footer(footer, out)
            });
        }
        self.output.show(draw)?;
        // `note` adds the colour, and text beside a table is not cut.
        let display = DisplayOptions { colour: false, ..printer.display };
        let mut line = Vec::new();
        Printer { display, ..*printer }.write_footer(footer, &mut line)?;
        self.output.note(String::from_utf8_lossy(&line).trim_end());
        Ok(())
    }

    /// Says on standard error what was searched for, and what else could have been meant.
    fn note_nothing_found(&self, is_first_page: bool) -> Result<()> {
        let mut hints = Vec::new();
        let description = match self.search {
            _ if !is_first_page => "behind that place".to_owned(),
            Some(search) if !search.has_filter => {
                hints.extend(did_you_mean(&search.suggestions(&self.reader)?));
                search.describe()
            }
            Some(_) | None if *self.query == Query::default() => String::new(),
            Some(_) | None => {
                hints = nothing_found::hints(&self.reader, self.query, self.filter, self.clock())?;
                match self.query.as_phrases() {
                    Some(phrases) => format!("have {phrases} in a name or title"),
                    None => nothing_found::describe_query(self.query, self.printer.zone),
                }
            }
        };
        self.output.note(&self.printer.nothing_found(&description, &hints));
        Ok(())
    }

    fn clock(&self) -> Clock<'_> {
        Clock { now: self.printer.now, zone: self.printer.zone }
    }

    /// The words of the command that shows the next page.
    fn next_page_command(&self, events: &[Event], next_page: NextPage) -> Option<Vec<String>> {
        let (flag, value) = match next_page {
            NextPage::AfterCursor => ("--after", Cursor::from_event(events.last()?).to_string()),
            NextPage::Number(number) => ("--page", number.to_string()),
        };
        Some(command_line::next_page_command(self.arguments, flag, &value))
    }
}
