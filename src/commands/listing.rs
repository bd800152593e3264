//! What `list` and both searches share: a page of events, in the form that was asked for.

use std::io;
use std::io::Write;
use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::Result;

use crate::args::command_line;
use crate::args::output::OutputArgs;
use crate::args::output::OutputFormat;
use crate::args::page::NextPage;
use crate::args::page::PageArgs;
use crate::codec;
use crate::commands::search_summary::SubjectSearch;
use crate::context::Context;
use crate::context::LogReader;
use crate::event::Event;
use crate::event::EventId;
use crate::failure::{Exit, Failure};
use crate::query::Query;
use crate::render::EventTable;
use crate::render::Footer;
use crate::render::Printer;
use crate::render::TimeDisplay;
use crate::store::Create;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::PageRequest;
use crate::terminal::DisplayOptions;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The whole count is told when it is no more than this, for then it takes no time.
const COUNT_LIMIT: u64 = 100_000;
/// How many events `--follow` begins with, and how many `--around` shows on either side.
const FOLLOW_LIMIT: u64 = 10;
const AROUND_LIMIT: u64 = 5;
/// How often `--follow` looks for what arrived, and how much it takes at a time.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const FOLLOW_BATCH: usize = 1_000;

/// A page that is asked for.
pub(super) struct ListingRequest<'a> {
    pub query: Query,
    /// Absent for a plain listing.
    pub search: Option<SubjectSearch<'a>>,
    pub output: &'a OutputArgs,
    pub page: &'a PageArgs,
}

impl ListingRequest<'_> {
    /// Shows the page.
    pub(super) fn show_page(&self, context: &Context, zone: &Zone) -> Result<Exit> {
        let (page, next) = self.page.page()?;
        let columns = self.output.columns()?;
        let reader = context.log().open_reader()?;
        // One more than is shown tells whether there are more.
        let wanted = PageRequest { limit: page.limit.saturating_add(1), ..page };
        let mut events = reader.page(&self.query, &wanted)?;
        let more = events.len() > page.limit;
        events.truncate(page.limit);
        match self.output.format() {
            OutputFormat::Json => print_json(context, &events),
            OutputFormat::Csv => self.export_csv(context, &events),
            OutputFormat::Table if events.is_empty() => {
                self.note_nothing_found(context, zone, &reader, &page)
            }
            OutputFormat::Table => {
                let begins = page.after.is_none() && page.skip == 0;
                let total =
                    if begins && more { reader.count(&self.query, COUNT_LIMIT)? } else { None };
                let footer = Footer {
                    shown: events.len() as u64,
                    total,
                    next_page: more.then(|| next_page_command(context, &events, next)).flatten(),
                    newest: events.iter().map(Cursor::from_event).max().map(|newest| newest.id),
                };
                let printer = context.printer(zone, self.output.time_display());
                let labels = reader.actor_labels(&events)?;
                let summary = match &self.search {
                    Some(search) if begins => Some(search.summary(&reader, &self.query, zone)?),
                    _ => None,
                };
                print_table(context, &printer, &footer, |out| {
                    if let Some(summary) = &summary {
                        printer.write_summary(summary, out)?;
                    }
                    EventTable::new(&columns).write(&printer, &events, &labels, out)
                })
            }
        }
    }

    /// Shows what happened before and after an event, oldest first.
    pub(super) fn show_around(
        &self,
        context: &Context,
        zone: &Zone,
        id: NonZeroU64,
    ) -> Result<Exit> {
        let columns = self.output.columns()?;
        let reader = context.log().open_reader()?;
        let missing = || Failure::new(Exit::Negative, format!("there is no event {id}"));
        let event = EventId(i64::try_from(id.get()).map_err(|_| missing())?);
        let each = usize::try_from(self.page.limit(AROUND_LIMIT)).unwrap_or(usize::MAX);
        let events = reader.around(&self.query, event, each)?.ok_or_else(missing)?;
        match self.output.format() {
            OutputFormat::Json => print_json(context, &events),
            OutputFormat::Csv => self.export_csv(context, &events),
            OutputFormat::Table => {
                let printer = context.printer(zone, self.output.time_display());
                let labels = reader.actor_labels(&events)?;
                let footer = Footer { shown: events.len() as u64, ..Footer::default() };
                print_table(context, &printer, &footer, |out| {
                    EventTable::new(&columns).write(&printer, &events, &labels, out)
                })
            }
        }
    }

    /// Shows the newest, then what arrives, until whoever reads has gone.
    pub(super) fn follow(&self, context: &Context, zone: &Zone) -> Result<Exit> {
        let columns = self.output.columns()?;
        let as_json = match self.output.format() {
            OutputFormat::Json => true,
            OutputFormat::Table => false,
            OutputFormat::Csv => {
                let what = "--follow has no end, so it cannot be exported as CSV";
                return Err(Failure::new(Exit::Usage, what).hint("--json").into());
            }
        };
        let reader = context.log().open_reader()?;
        // What stays on the screen for hours must not say "just now".
        let lasting = context.output.is_interactive().then_some(TimeDisplay::Local);
        let mut printer = context.printer(zone, self.output.time_display().or(lasting));
        let mut seen = reader.head()?;
        let newest = PageRequest {
            order: Order::NewestFirst,
            after: None,
            skip: 0,
            limit: usize::try_from(self.page.limit(FOLLOW_LIMIT)).unwrap_or(usize::MAX),
            up_to: Some(seen),
        };
        let mut events = reader.page(&self.query, &newest)?;
        events.reverse();
        let mut listing = EventTable::new(&columns);
        loop {
            if as_json {
                print_json(context, &events)?;
            } else if !events.is_empty() {
                let labels = reader.actor_labels(&events)?;
                printer.now = Timestamp::now();
                let mut out = Vec::new();
                listing.write(&printer, &events, &labels, &mut out)?;
                context.output.print(&out)?;
            }
            let mut head = reader.head()?;
            while head == seen {
                if !context.output.wait_while_open(POLL_INTERVAL)? {
                    return Ok(Exit::Success);
                }
                head = reader.head()?;
            }
            events = reader.recorded_after(&self.query, seen, FOLLOW_BATCH)?;
            // A full step may have left some behind; else all up to that head were looked at.
            let last = events.last().map(|event| event.id);
            seen = last.filter(|last| events.len() == FOLLOW_BATCH || *last > head).unwrap_or(head);
        }
    }

    fn export_csv(&self, context: &Context, events: &[Event]) -> Result<Exit> {
        context.log().open_writer(Create::Never)?.export_page(&self.query, events)?;
        Ok(Exit::Success)
    }

    /// Says on standard error what was looked for, and who may have been meant.
    fn note_nothing_found(
        &self,
        context: &Context,
        zone: &Zone,
        reader: &LogReader,
        page: &PageRequest,
    ) -> Result<Exit> {
        let printer = context.printer(zone, self.output.time_display());
        let mut meant = Vec::new();
        let sought = if page.after.is_some() || page.skip > 0 {
            "behind that place".to_owned()
        } else {
            match &self.search {
                Some(search) if !search.has_filter => {
                    meant = search.suggestions(reader)?;
                    search.describe()
                }
                _ if self.query == Query::default() => String::new(),
                _ => {
                    let time = |at| zone.format(at, TimeFormat::DateTimeMinute);
                    format!("match {}", self.query.describe(time))
                }
            }
        };
        context.output.note(&printer.nothing_found(&sought, &meant));
        Ok(Exit::Success)
    }
}

fn next_page_command(context: &Context, events: &[Event], next: NextPage) -> Option<Vec<String>> {
    let words = &context.arguments;
    Some(match next {
        NextPage::AfterCursor => command_line::next_page_command(
            words,
            "--after",
            &Cursor::from_event(events.last()?).to_string(),
        ),
        NextPage::Number(number) => {
            command_line::next_page_command(words, "--page", &number.to_string())
        }
    })
}

fn print_json(context: &Context, events: &[Event]) -> Result<Exit> {
    let mut lines = String::new();
    for event in events {
        codec::jsonl::encode(event, &mut lines);
        lines.push('\n');
    }
    context.output.print(lines.as_bytes())?;
    Ok(Exit::Success)
}

/// A table with its footer, which belongs to the page on a terminal and beside the data elsewhere.
fn print_table(
    context: &Context,
    printer: &Printer<'_>,
    footer: &Footer,
    draw: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Exit> {
    if context.output.is_interactive() {
        context.output.show(|out| {
            draw(out)?;
            printer.write_footer(footer, out)
        })?;
    } else {
        context.output.show(draw)?;
        // It is coloured where it is told, and cut nowhere: beside a table it is no part of it.
        let plain =
            Printer { display: DisplayOptions { colour: false, ..printer.display }, ..*printer };
        let mut line = Vec::new();
        plain.write_footer(footer, &mut line)?;
        context.output.note(String::from_utf8_lossy(&line).trim_end());
    }
    Ok(Exit::Success)
}
