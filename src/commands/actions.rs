use std::io::Write;

use anyhow::Result;

use crate::commands::{Call, Run};
use crate::failure::Exit;
use crate::render;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  What this log knows, the most frequent first:
  $ activity actions

  The actions that came less than ten times:
  $ activity actions --json | jq -r 'select(.count < 10).action'";

/// List the actions that the log knows: how many of each, when last, and how often of late
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ActionsArgs {
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

impl Run for ActionsArgs {
    fn run(self, call: Call) -> Result<Exit> {
        let context = &call.context()?;
        let vocabulary = context.read()?.vocabulary()?;
        if self.json {
            let mut lines = String::new();
            for vocable in &vocabulary {
                let row = serde_json::json!({
                    "action": vocable.action,
                    "count": vocable.count,
                    "last_seen": vocable.last.to_string(),
                });
                text::json_escape_into(&mut lines, &row.to_string());
                lines.push('\n');
            }
            let mut out = context.terminal.stdout();
            out.write_all(lines.as_bytes())?;
            out.flush()?;
            return Ok(Exit::Done);
        }
        let zone = context.zone()?;
        let printer = context.printer(&zone, None);
        let vocables: Vec<_> = vocabulary
            .into_iter()
            .map(|vocable| render::Vocable {
                action: vocable.action,
                count: vocable.count,
                last: vocable.last,
                daily: vocable.daily,
                remark: None,
            })
            .collect();
        context.terminal.page(|out| printer.actions(&vocables, out))?;
        Ok(Exit::Done)
    }
}
