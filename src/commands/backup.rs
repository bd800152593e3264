use std::path::PathBuf;

use anyhow::Result;

use crate::commands::{Invocation, RunCommand};
use crate::failure::Exit;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  A copy for each day of the week:
  $ activity backup \"activity-$(date +%u).db\"

  Look into a copy:
  $ activity backup copy.db && activity --db copy.db list";

/// Copy the whole log into FILE while others go on writing
///
/// The copy is the log as it was at one moment, in one file, for its owner alone. It is verified first
/// and gets its name when it holds: until then a FILE that is there stays as it was. A plain `cp` loses
/// the events that are in the write-ahead log.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BackupArgs {
    /// Where the copy goes; a file that is there is replaced
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print what was copied as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl RunCommand for BackupArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let copied = context.log().back_up(&self.file)?;
        let name = self.file.display().to_string();
        let line = if self.json {
            copied.to_json(&name)
        } else {
            let (id, hash) = copied.head;
            let (events, size) =
                (text::plural(copied.events, "event"), text::format_bytes(copied.bytes));
            format!("backup {}: {events}, head {id}:{hash}, {size}", text::escape(&name))
        };
        context.output.print(format!("{line}\n").as_bytes())?;
        Ok(Exit::Success)
    }
}
