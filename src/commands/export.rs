use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;

use crate::access::Reading;
use crate::args::filter::FilterArgs;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::event::field::FIELDS;
use crate::export;
use crate::export::ExportFormat;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::render;

const EXAMPLES: &str = "\
Examples:
  The failures of the last month, for a spreadsheet:
  $ activity export -o failures.csv --failed --days 30

  Everything about one record, for another program:
  $ activity export --jsonl target:user/17 | jq -r .action";

/// Write all events that a filter matches as CSV, JSON Lines or mirror lines, oldest first
///
/// The log records who exports what: a `log.export` event is written before the first row goes out, and
/// nothing is exported if that fails. Without a format the ending of FILE decides.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Write CSV; cells that a spreadsheet would run as formulas are made harmless
    #[arg(long, conflicts_with = "jsonl", help_heading = "Output")]
    csv: bool,
    /// Write JSON Lines, as list --json prints them
    #[arg(long, help_heading = "Output")]
    jsonl: bool,
    /// Write in this format: csv, jsonl, or mirror (as a mirror of type file does)
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = ExportFormat::parse,
        conflicts_with_all = ["csv", "jsonl"],
        help_heading = "Output"
    )]
    format: Option<ExportFormat>,
    /// Write to FILE, whole or not at all, instead of standard output, which - names too
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Leave cells unchanged that a spreadsheet would run as formulas
    #[arg(long, conflicts_with = "jsonl", help_heading = "Output")]
    raw: bool,
    /// Write these fields or columns alone, in this order
    #[arg(long, value_name = "NAMES", help_heading = "Output")]
    columns: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
}

impl RunCommand for ExportArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_read(Reading::Export)?;
        let format = self.format()?;
        let zone = context.zone()?;
        let query = self.filter.query(&context.clock(&zone), &context.settings.config.queries)?;
        let fields = match &self.columns {
            Some(names) => render::selected_fields(names)?,
            None => FIELDS.iter().collect(),
        };
        let exporter = context.log().open_exporter()?;
        exporter.export(&query, (format, &fields), self.file())?;
        Ok(Exit::Success)
    }
}

impl ExportArgs {
    /// Returns the file to write; `None` for standard output.
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| !export::is_stdout(path))
    }

    fn format(&self) -> Result<ExportFormat, Failure> {
        let from_path = || self.file().and_then(ExportFormat::from_path);
        let format = match (self.csv, self.jsonl) {
            (true, _) => Some(ExportFormat::CSV),
            (_, true) => Some(ExportFormat::JsonLines),
            (false, false) => self.format.or_else(from_path),
        };
        match format {
            Some(ExportFormat::Csv { has_header, .. }) => {
                Ok(ExportFormat::Csv { raw: self.raw, has_header })
            }
            Some(ExportFormat::JsonLines | ExportFormat::MirrorLines) if self.raw => {
                Err(Failure::new(Exit::Usage, "--raw is for CSV alone"))
            }
            Some(ExportFormat::MirrorLines) if self.columns.is_some() => {
                let message = "a mirror line has the whole event, and takes no --columns";
                Err(Failure::new(Exit::Usage, message))
            }
            Some(format @ (ExportFormat::JsonLines | ExportFormat::MirrorLines)) => Ok(format),
            Some(ExportFormat::Html) | None => {
                let message = match self.file() {
                    Some(path) => format!("{}: the ending tells no format", path.display()),
                    None => "no format is given".to_owned(),
                };
                Err(Failure::new(Exit::Usage, message).hint("--csv, --jsonl or --format mirror"))
            }
        }
    }
}
