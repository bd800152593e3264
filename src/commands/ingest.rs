use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Map, Value};

use crate::args::event::EventArgs;
use crate::codec::Format;
use crate::commands::{Call, Run};
use crate::context::Context;
use crate::event::NewEvent;
use crate::failure::{Exit, Failure};
use crate::store::Appended;
use crate::store::Create;
use crate::text;
use crate::time::Zone;

const EXAMPLES: &str = "\
Examples:
  The events of a file, each of them once, however often this is called:
  $ activity ingest events.jsonl

  One event, from a hook:
  $ activity ingest --quiet --action deploy.finish --target-type service --target-id web";

/// Record events from files, standard input or flags
///
/// Takes JSON Lines, a JSON array, CSV with the header of export, or mirror lines, and tells them apart
/// by their first line. With --action it records one event from flags. It makes the log when there is
/// none. What was told as ingested is on the disk.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct IngestArgs {
    /// The files; without one, and without a flag of the event, standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read the input as jsonl, json, csv or mirror [default: what its first line looks like]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true, help_heading = "Input")]
    format: Option<Format>,
    /// Read times that have no offset in this zone
    #[arg(long, value_name = "ZONE", help_heading = "Input")]
    input_tz: Option<String>,
    /// Keep the rejected lines in FILE as they came, for repair
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    rejects: Option<PathBuf>,
    /// Record nothing if one line is rejected
    #[arg(long, help_heading = "Input")]
    strict: bool,
    /// Take a known file from its beginning
    #[arg(long, help_heading = "Input")]
    again: bool,
    /// Read CSV that was exported with --raw
    #[arg(long, help_heading = "Input")]
    raw: bool,
    /// Print the summary as JSON on standard output
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    event: EventArgs,
}

/// What became of the input, as it is told.
#[derive(Default)]
struct Summary<'a> {
    ingested: u64,
    duplicates: u64,
    rejected: u64,
    known: u64,
    /// Of a single event.
    stored: Option<(i64, &'a str)>,
}

impl Run for IngestArgs {
    fn run(self, call: Call) -> Result<Exit> {
        let context = &call.context()?;
        let zone = self.input_zone()?;
        if self.event.is_empty() {
            return self.take_files(context, zone);
        }
        if let Some(flag) = self.flag_for_files() {
            let what = format!("{flag} does not go with the flags of a single event");
            return Err(Failure::new(Exit::Usage, what).hint("activity ingest --help").into());
        }
        self.take_event(context, self.event.event(zone.as_ref())?)
    }
}

impl IngestArgs {
    fn take_event(&self, context: &Context, event: NewEvent) -> Result<Exit> {
        let appended = context.write(Create::IfMissing)?.append(event)?;
        match &appended {
            Appended::Stored { id, event_id } => {
                let stored = Some((id.0, event_id.as_str()));
                self.tell(context, &Summary { ingested: 1, stored, ..Summary::default() })?;
                Ok(Exit::Done)
            }
            Appended::Duplicate { id, event_id } => {
                let stored = Some((id.0, event_id.as_str()));
                self.tell(context, &Summary { duplicates: 1, stored, ..Summary::default() })?;
                Ok(Exit::Done)
            }
            Appended::Conflict { id, field } => {
                self.tell(context, &Summary { rejected: 1, ..Summary::default() })?;
                let what =
                    format!("rejected: event {id} has the same event_id and another {field}");
                Err(Failure::new(Exit::Data, what).hint(format!("activity show {id}")).into())
            }
        }
    }

    fn tell(&self, context: &Context, summary: &Summary<'_>) -> Result<()> {
        let Summary { ingested, duplicates, rejected, known, stored } = *summary;
        if !self.json {
            let known = if known > 0 { format!(", known {known}") } else { String::new() };
            context.note(&format!(
                "ingested {ingested}, duplicates {duplicates}, rejected {rejected}{known}"
            ));
            return Ok(());
        }
        let mut fields = Map::new();
        let mut add = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        add("ingested", ingested.into());
        add("duplicates", duplicates.into());
        add("rejected", rejected.into());
        if known > 0 {
            add("known", known.into());
        }
        if let Some((id, event_id)) = stored {
            add("id", id.into());
            add("event_id", event_id.into());
        }
        let mut line = String::new();
        text::json_escape_into(&mut line, &Value::Object(fields).to_string());
        line.push('\n');
        context.print(line.as_bytes())
    }

    /// A flag that was given and says something about files.
    fn flag_for_files(&self) -> Option<&'static str> {
        [
            (!self.files.is_empty(), "FILE"),
            (self.format.is_some(), "--format"),
            (self.rejects.is_some(), "--rejects"),
            (self.strict, "--strict"),
            (self.again, "--again"),
            (self.raw, "--raw"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }

    fn input_zone(&self) -> Result<Option<Zone>, Failure> {
        let parse = |name: &String| {
            Zone::parse(name).map_err(|why| Failure::new(Exit::Usage, format!("--input-tz: {why}")))
        };
        self.input_tz.as_ref().map(parse).transpose()
    }
}

impl clap::ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

impl IngestArgs {
    fn take_files(&self, c: &Context, z: Option<Zone>) -> Result<Exit> {
        for f in &self.files {
            let mut log =
                crate::store::Log::open_to_write(&c.settings.db()?.value, Create::IfMissing)?;
            let mut d = crate::codec::Decoder::new(
                std::fs::File::open(f)?,
                crate::codec::Reading { format: self.format, raw: self.raw, zone: z },
            );
            let by = c.caller.recorded_by();
            let stamp = crate::store::Stamp { recorded_at: c.now, recorded_by: &by };
            let mut n = 0;
            let mut bad = 0;
            let mut dup = 0;
            loop {
                let mut batch = log.begin()?;
                let mut end = false;
                let mut k = 0;
                while k < 50_000 {
                    match d.next() {
                        crate::codec::Step::Starved => {
                            d.fill()?;
                        }
                        crate::codec::Step::Record(r) => match r.outcome {
                            crate::codec::Outcome::Event(e) => {
                                k += 1;
                                match batch.append(&e, &stamp)? {
                                    Appended::Stored { .. } => n += 1,
                                    Appended::Duplicate { .. } => dup += 1,
                                    _ => bad += 1,
                                }
                            }
                            _ => bad += 1,
                        },
                        crate::codec::Step::Excess(_) => {}
                        crate::codec::Step::End => {
                            end = true;
                            break;
                        }
                    }
                }
                batch.commit()?;
                if end {
                    break;
                }
            }
            self.tell(
                c,
                &Summary { ingested: n, duplicates: dup, rejected: bad, ..Summary::default() },
            )?;
        }
        Ok(Exit::Done)
    }
}
