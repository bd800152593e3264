use anyhow::Result;

use crate::access::Reading;
use crate::args::command_line;
use crate::codec;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::context::Context;
use crate::context::LogReader;
use crate::event::Event;
use crate::event::EventPlace;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::render;
use crate::store::EventIdMatch;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  The first event of the log:
  $ activity show 1

  Its changes, for a script:
  $ activity show 1 --json | jq .diff";

/// Show events in full
///
/// Shows every field, each change as before → after, and the payload indented. An event is named by its
/// id in the log, or by the event_id that its emitter gave it, of which the beginning is enough.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ShowArgs {
    /// A number is an id, behind HOST/ in a central store; any other text is an event_id, or the
    /// beginning of exactly one
    #[arg(value_name = "ID|EVENT_ID", required = true)]
    events: Vec<String>,
    /// Print a JSON object for each event
    #[arg(long)]
    json: bool,
}

impl RunCommand for ShowArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let reader = context.log().open_reader(Reading::Show)?;
        let mut events = Vec::with_capacity(self.events.len());
        // What is found is shown, although another one is not there.
        let mut missing = None;
        for name in &self.events {
            match find_event(&reader, name) {
                Ok(event) => events.push(event),
                Err(error) => missing = missing.or(Some(error)),
            }
        }
        if self.json {
            print_json(context, &events)?;
        } else if !events.is_empty() {
            print_pages(context, &reader, &events)?;
        }
        missing.map_or(Ok(Exit::Success), Err)
    }
}

fn print_json(context: &Context, events: &[Event]) -> Result<()> {
    let mut lines = String::new();
    for event in events {
        codec::jsonl::encode(event, &mut lines);
        lines.push('\n');
    }
    context.output.print(lines.as_bytes())
}

fn print_pages(context: &Context, reader: &LogReader, events: &[Event]) -> Result<()> {
    let zone = context.zone()?;
    let printer = context.printer(&zone, None);
    let labels = reader.actor_labels(events)?;
    context.output.show(|out| {
        for (place, event) in events.iter().enumerate() {
            if place > 0 {
                out.write_all(b"\n")?;
            }
            let mut words = command_line::command_prefix(&context.arguments);
            words.extend(["list".to_owned(), "--around".to_owned(), event.place().to_string()]);
            printer.write_detail(event, &labels, &render::shell_command(&words), out)?;
        }
        Ok(())
    })
}

/// Finds an event by its place, or else by its `event_id`.
///
/// # Errors
/// [`Exit::Negative`] where there is none; [`Exit::Usage`] where several have the name.
pub(super) fn find_event(reader: &LogReader, name: &str) -> Result<Event> {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let place = EventPlace::parse(name);
    let mut found = match &place {
        Some(place) => reader.find_place(place)?,
        None => EventIdMatch::None,
    };
    if found == EventIdMatch::None && !is_number {
        found = reader.find_by_event_id(name)?;
    }
    let quoted = text::escape(name);
    match found {
        EventIdMatch::One(event) => Ok(*event),
        EventIdMatch::None => {
            let message = format!("there is no event {quoted}");
            Err(Failure::new(Exit::Negative, message).hint("activity list shows the newest").into())
        }
        EventIdMatch::Several(places) => {
            let places: Vec<_> = places.iter().map(EventPlace::to_string).collect();
            let message = format!("{quoted} is not just one event");
            let hint = format!("it can be {}: activity show ID", places.join(", "));
            Err(Failure::new(Exit::Usage, message).hint(text::escape(&hint).into_owned()).into())
        }
    }
}
