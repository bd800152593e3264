use std::fmt;
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value};

use crate::args::event::EventArgs;
use crate::codec::DecodeOptions;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::ingest_map;
use crate::commands::ingest_map::InputFormat;
use crate::commands::rejects_file::RejectsFile;
use crate::commands::rejects_file::STDIN_PATH;
use crate::context::Context;
use crate::context::InputOptions;
use crate::context::Output;
use crate::event::NewEvent;
use crate::event::builder::IntakeOptions;
use crate::event::intake::Undated;
use crate::event::leniency::Leniency;
use crate::export;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest::IngestCounts;
use crate::ingest::IngestEnd;
use crate::ingest::IngestPreview;
use crate::ingest::Input;
use crate::ingest::InputSource;
use crate::interrupt;
use crate::interrupt::Interrupt;
use crate::map::built_in::BUILT_IN;
use crate::render;
use crate::store::AppendOutcome;
use crate::store::Create;
use crate::text;
use crate::time::Zone;

const EXAMPLES: &str = "\
Examples:
  The events of a file; to repeat the command adds no duplicates:
  $ activity ingest events.jsonl

  One event, from a hook:
  $ activity ingest --quiet --action deploy.finish --target-id web --actor ann";

/// The examples, and the formats of other systems.
fn long_help() -> String {
    let mut page = format!("{EXAMPLES}\n\nFormats of other systems, each with --format NAME:");
    for format in &BUILT_IN {
        let name = format.name;
        let pad = " ".repeat(16_usize.saturating_sub(name.len()));
        page.extend(["\n  ", name, &pad, format.title]);
    }
    page
}

/// Record events from files, standard input or flags
///
/// Reads JSON Lines, a JSON array, CSV with the header that export writes, or mirror lines, and detects
/// which by the first line; with --format what another system writes, with --map anything. Input that is
/// compressed by gzip or Zstandard is unpacked. With --action it records one event from flags. It creates the log if there
/// is none. Events that are reported as ingested are on the disk.
#[derive(clap::Args)]
#[command(after_long_help = long_help())]
pub(crate) struct IngestArgs {
    /// The files to read; standard input if there is none and no flag describes an event
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read the input as jsonl, json, csv or mirror, or as what another system writes, such as github,
    /// cloudtrail, access or auth [default: detected from its first line]
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = InputFormat::parser(),
        hide_possible_values = true,
        help_heading = "Input"
    )]
    format: Option<InputFormat>,
    /// Show what the map in FILE makes of the first records of the inputs, and record nothing
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["format", "map", "rejects", "strict", "json"],
        requires = "files",
        help_heading = "Input"
    )]
    check_map: Option<PathBuf>,
    /// The zone of times that have no offset
    #[arg(long, value_name = "ZONE", help_heading = "Input")]
    input_tz: Option<String>,
    /// Append the rejected lines to FILE unchanged, for repair; - is standard output
    ///
    /// Rows of CSV get one header. A FILE with another header, or with lines of another kind, is
    /// refused before anything is recorded.
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    rejects: Option<PathBuf>,
    /// Record events although some of their values do not fit, for hooks
    ///
    /// A value that cannot be that of its field is escaped, cut or left out, and the payload says so
    /// under `_lenient`. An event without an action is `unknown`. A line that is no event at all is
    /// still rejected.
    #[arg(long, help_heading = "Input")]
    lenient: bool,
    /// Record nothing if any line is rejected
    #[arg(long, help_heading = "Input")]
    strict: bool,
    /// Read a file from its beginning even if it was ingested before
    #[arg(long, help_heading = "Input")]
    again: bool,
    /// Read CSV that was exported with --raw
    #[arg(long, help_heading = "Input")]
    raw: bool,
    /// Read the input by the map in FILE, or take FIELD from its key, or from within one by a path such
    /// as user.id (can be repeated)
    #[arg(long, value_name = "FILE|FIELD=PATH", help_heading = "Input")]
    map: Vec<String>,
    /// Take an event without a time as of now, although a key of it seems to have one
    ///
    /// Without this it is rejected, because a wrong time cannot be mended later.
    #[arg(long, help_heading = "Input")]
    now: bool,
    /// Record nothing, and show what would be recorded
    #[arg(long, help_heading = "Output", conflicts_with_all = ["strict", "rejects"])]
    dry_run: bool,
    /// Print the summary as JSON on standard output
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    event: EventArgs,
}

/// The counts that the summary line shows.
#[derive(Default)]
struct IngestSummary<'a> {
    ingested: u64,
    duplicates: u64,
    rejected: u64,
    known: u64,
    /// Id and event_id of a single event.
    single_event: Option<(i64, &'a str)>,
}

impl IngestSummary<'_> {
    fn has_lines(&self) -> bool {
        [self.ingested, self.duplicates, self.rejected, self.known] != [0; 4]
    }
}

impl fmt::Display for IngestSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ingested, duplicates, rejected, known, .. } = self;
        write!(f, "ingested {ingested}, duplicates {duplicates}, rejected {rejected}")?;
        if *known > 0 { write!(f, ", known {known}") } else { Ok(()) }
    }
}

impl RunCommand for IngestArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_record()?;
        let zone = self.input_zone()?;
        if let Some(map) = &self.check_map {
            let map = Some(ingest_map::read_map(map, &context.settings.rights)?);
            let options = DecodeOptions { map, ..self.decode_options(context, zone)? };
            return ingest_map::check_map(&self.files, options, context);
        }
        if self.event.is_empty() {
            return self.ingest_files(context, zone);
        }
        if let Some(flag) = self.file_flag() {
            let message = format!("{flag} does not go with the flags of a single event");
            return Err(Failure::new(Exit::Usage, message).hint("activity ingest --help").into());
        }
        let leniency = if self.lenient { Leniency::Lenient } else { Leniency::Strict };
        let options = IntakeOptions { zone: zone.as_ref(), leniency, ..IntakeOptions::default() };
        let event = self.event.event(options)?;
        if self.dry_run {
            return self.preview(context, Some(&event), &[], DecodeOptions::default());
        }
        self.ingest_event(context, event)
    }
}

impl IngestArgs {
    fn ingest_event(&self, context: &Context, event: NewEvent) -> Result<Exit> {
        // The end of the process closes the log. To take the connection apart before that would be a
        // tenth of all that this process does.
        let mut writer = ManuallyDrop::new(context.log().open_writer(Create::IfMissing)?);
        let outcome = writer.append(event)?;
        match &outcome {
            AppendOutcome::Stored { id, event_id } => {
                context.log().run_direct_mirrors();
                let stored = Some((id.0, event_id.as_str()));
                self.report(
                    context,
                    &IngestSummary {
                        ingested: 1,
                        single_event: stored,
                        ..IngestSummary::default()
                    },
                )?;
                Ok(Exit::Success)
            }
            AppendOutcome::Duplicate { id, event_id } => {
                let stored = Some((id.0, event_id.as_str()));
                self.report(
                    context,
                    &IngestSummary {
                        duplicates: 1,
                        single_event: stored,
                        ..IngestSummary::default()
                    },
                )?;
                Ok(Exit::Success)
            }
            AppendOutcome::Conflict { id, field } => {
                self.report(context, &IngestSummary { rejected: 1, ..IngestSummary::default() })?;
                let rights = context.ingest_rights();
                let message = format!("rejected: {}", rights.describe_conflict(*id, field));
                let failure = Failure::new(Exit::Data, message);
                let hint = format!("activity show {id}");
                Err(if rights.may_see_all { failure.hint(hint) } else { failure }.into())
            }
        }
    }

    fn report(&self, context: &Context, summary: &IngestSummary<'_>) -> Result<()> {
        let IngestSummary { ingested, duplicates, rejected, known, single_event: stored } =
            *summary;
        if !self.json {
            // `--quiet` does not hide rejected lines.
            let write = if rejected > 0 { Output::warn } else { Output::note };
            write(&context.output, &summary.to_string());
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
        context.output.print(line.as_bytes())
    }

    /// Returns a flag that was given and applies only to files.
    fn file_flag(&self) -> Option<&'static str> {
        [
            (!self.files.is_empty(), "FILE"),
            (self.format.is_some(), "--format"),
            (self.rejects.is_some(), "--rejects"),
            (self.strict, "--strict"),
            (self.again, "--again"),
            (self.raw, "--raw"),
            (!self.map.is_empty(), "--map"),
            (self.now, "--now"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }

    /// Returns how an input is read. A map lives as long as the process, so that threads can share it.
    fn decode_options(
        &self,
        context: &Context,
        zone: Option<Zone>,
    ) -> Result<DecodeOptions, Failure> {
        let mut options = DecodeOptions {
            raw_cells: self.raw,
            zone,
            lenient: self.lenient,
            undated: if self.now { Undated::TakenAsNow } else { Undated::Refused },
            ..DecodeOptions::default()
        };
        if let Some(format) = self.format {
            format.apply(&mut options);
        }
        let (keys, files): (Vec<_>, Vec<_>) = self.map.iter().partition(|map| map.contains('='));
        match (keys.as_slice(), files.as_slice(), options.map) {
            (_, [], None) | ([], [], Some(_)) => {}
            ([], [file], None) if self.format.is_none() => {
                let map = ingest_map::read_map(Path::new(file), &context.settings.rights)?;
                options.map = Some(map);
            }
            _ => {
                let message = "--map FILE stands alone: without another --map, without --format";
                return Err(Failure::new(Exit::Usage, message));
            }
        }
        ingest_map::read_keys(&keys, &mut options)?;
        Ok(options)
    }

    fn input_zone(&self) -> Result<Option<Zone>, Failure> {
        let parse = |name: &String| {
            Zone::parse(name).map_err(|why| Failure::new(Exit::Usage, format!("--input-tz: {why}")))
        };
        self.input_tz.as_ref().map(parse).transpose()
    }
}

impl IngestArgs {
    fn ingest_files(&self, context: &Context, zone: Option<Zone>) -> Result<Exit> {
        let log = context.settings.db()?.value;
        let inputs = self.inputs(context, &log)?;
        if self.json && self.rejects.as_deref().is_some_and(export::is_stdout) {
            let message = "--rejects - does not go with --json: both print to standard output";
            return Err(Failure::new(Exit::Usage, message).into());
        }
        let decode_options = self.decode_options(context, zone)?;
        if self.dry_run {
            return self.preview(context, None, &inputs, decode_options);
        }
        let mut rejects_file = match &self.rejects {
            Some(path) => {
                let _assumed = context.settings.rights.assume()?;
                Some(RejectsFile::open(path, &log, &self.files, decode_options)?)
            }
            None => None,
        };
        let rejects = match &mut rejects_file {
            Some(file) => {
                let _assumed = context.settings.rights.assume()?;
                Some(file.receiver(&self.files, decode_options)?)
            }
            None => None,
        };
        let interrupt = Interrupt::listen()?;
        let options = InputOptions {
            decode_options,
            strict: self.strict,
            reread_files: self.again,
            interrupt: &interrupt,
        };
        let mut counts = IngestCounts::default();
        let end = context
            .log()
            .open_writer(Create::IfMissing)
            .and_then(|mut writer| writer.ingest(&inputs, &options, rejects, &mut counts));
        let IngestCounts { ingested, duplicates, rejected, already_ingested: known, .. } = counts;
        if ingested > 0 {
            context.log().run_direct_mirrors();
        }
        let summary = IngestSummary { ingested, duplicates, rejected, known, single_event: None };
        match end {
            Ok(IngestEnd::Completed) => self.report(context, &summary)?,
            Ok(IngestEnd::Interrupted(signal)) => {
                self.report(context, &summary)?;
                interrupt::reraise(signal)?;
            }
            Err(error) => {
                if summary.has_lines() {
                    context.output.warn(&summary.to_string());
                }
                return Err(error);
            }
        }
        if rejected > 0 && self.rejects.is_none() && !self.json {
            context.output.warn("hint: --rejects bad.jsonl keeps the rejected lines for repair");
        }
        Ok(counts.exit())
    }

    /// Shows what would be recorded.
    fn preview(
        &self,
        context: &Context,
        event: Option<&NewEvent>,
        inputs: &[Input<'_>],
        decode_options: DecodeOptions,
    ) -> Result<Exit> {
        let interrupt = Interrupt::listen()?;
        let options = InputOptions {
            decode_options,
            strict: false,
            reread_files: self.again,
            interrupt: &interrupt,
        };
        let preview = context.log().preview_ingest(event, inputs, &options)?;
        if self.json {
            let keys = preview.notes.payload_keys();
            let keys: Map<String, Value> =
                keys.into_iter().map(|(key, count)| (key.to_owned(), count.into())).collect();
            let IngestCounts { ingested, duplicates, rejected, already_ingested, .. } =
                preview.counts;
            let report = serde_json::json!({
                "dry_run": true,
                "new": ingested,
                "duplicates": duplicates,
                "rejected": rejected,
                "known": already_ingested,
                "payload_keys": keys,
            });
            let mut line = String::new();
            text::json_escape_into(&mut line, &report.to_string());
            line.push('\n');
            context.output.print(line.as_bytes())?;
        } else {
            let zone = context.zone()?;
            let printer = context.printer(&zone, None);
            context.output.show(|out| printer.write_preview(&preview_page(&preview), out))?;
        }
        for remark in preview.notes.remarks() {
            context.output.note(&format!("note: {remark}"));
        }
        Ok(preview.counts.exit())
    }

    /// Returns the named inputs, or standard input if none is named. Checks that each can be read before
    /// anything is recorded and before a log is created.
    fn inputs<'a>(&'a self, context: &'a Context, log: &Path) -> Result<Vec<Input<'a>>> {
        let rights = &context.settings.rights;
        if self.files.is_empty() {
            return Ok(vec![standard_input(context, log)?]);
        }
        let mut inputs = Vec::with_capacity(self.files.len());
        for path in &self.files {
            if path.as_os_str() == "-" {
                inputs.push(standard_input(context, log)?);
                continue;
            }
            export::refuse_log(path, log)?;
            let assumed = rights.assume()?;
            check_readable(path)?;
            drop(assumed);
            let open = move || match rights.assume().and_then(|_assumed| File::open(path)) {
                Ok(file) => Ok(InputSource::File(file)),
                Err(error) => Err(cannot_read(path, error)),
            };
            let name = text::escape_bytes(path.as_os_str().as_bytes());
            inputs.push(Input { name, open: Box::new(open) });
        }
        Ok(inputs)
    }
}

fn preview_page(preview: &IngestPreview) -> render::IntakePreview<'_> {
    let IngestCounts { ingested, duplicates, rejected, already_ingested, .. } = preview.counts;
    render::IntakePreview {
        new: ingested,
        known: already_ingested,
        duplicates,
        rejected,
        span: preview.span,
        payload_keys: preview.notes.payload_keys(),
        first: &preview.first,
    }
}

fn standard_input<'a>(context: &Context, log: &Path) -> Result<Input<'a>> {
    export::refuse_log(Path::new(STDIN_PATH), log)?;
    if io::stdin().is_terminal() {
        context
            .output
            .note("reading standard input, a terminal: one JSON object a line, Ctrl-D ends");
    }
    let open = || {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(InputSource::Stream(Box::new(File::from(stdin))))
    };
    Ok(Input { name: "standard input".to_owned(), open: Box::new(open) })
}

/// Checks that there is something to read.
fn check_readable(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(cannot_read(path, io::ErrorKind::IsADirectory.into()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(cannot_read(path, error)),
    }
}

fn cannot_read(path: &Path, error: io::Error) -> anyhow::Error {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
            Exit::NoInput
        }
        _ => Exit::Io,
    };
    let failure = Failure::new(exit, format!("cannot read {}", path.display()));
    anyhow::Error::new(error).context(failure)
}
