use std::path::PathBuf;

use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::failure::Exit;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  A copy for each day of the week:
  $ activity backup \"activity-$(date +%u).db\"

  Make a copy, and list its events:
  $ activity backup copy.db && activity --db copy.db list";

/// Copy the whole log to FILE while others continue to write
///
/// The copy is the log as it was at one moment, in one file that only its owner can read. It is verified
/// before it gets its name; until then an existing FILE stays as it was. A plain `cp` loses the events
/// that are still in the write-ahead log.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BackupArgs {
    /// The file to write; an existing one is replaced
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print a summary of the copy as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl RunCommand for BackupArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let summary = context.log().back_up(&self.file)?;
        let name = self.file.display().to_string();
        let line = if self.json {
            summary.to_json(&name)
        } else {
            let (id, hash) = summary.head;
            let (events, size) =
                (text::plural(summary.events, "event"), text::format_bytes(summary.bytes));
            format!("backup {}: {events}, head {id}:{hash}, {size}", text::escape(&name))
        };
        context.output.print(format!("{line}\n").as_bytes())?;
        Ok(Exit::Success)
    }
}
