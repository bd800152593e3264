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

const EXAMPLES: &str = "\
Examples:
  The last month as a page for people without a shell:
  $ activity page -o activity.html --days 30

  What was changed in the settings, for one reader:
  $ activity page -o settings.html 'action:settings.*'";

/// Write the events that a filter matches as one HTML page
///
/// The page is one file for any browser: a table, newest first, with a filter, the families of actions,
/// and each event in full. It loads nothing from elsewhere. It is an export: the log records who made it
/// (`log.export`), and whoever has the file can read what is in it, so put it where only they can.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct HtmlPageArgs {
    /// Write to FILE, whole or not at all; - is standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
}

impl RunCommand for HtmlPageArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_read(Reading::Export)?;
        let zone = context.zone()?;
        let query = self.filter.query(&context.clock(&zone), &context.settings.config.queries)?;
        let file = Some(self.output.as_path()).filter(|path| !export::is_stdout(path));
        let fields: Vec<_> = FIELDS.iter().collect();
        context.log().open_exporter()?.export(&query, (ExportFormat::Html, &fields), file)?;
        Ok(Exit::Success)
    }
}
