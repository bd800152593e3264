use anyhow::Result;
use serde_json::{Map, Value};

use crate::commands::{Call, Run};
use crate::failure::Exit;
use crate::render;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  All that this log knows:
  $ activity actions

  The actions that came less than ten times:
  $ activity actions --json | jq -r 'select(.count < 10).action'";

/// The days of the rhythm, today included.
const DAYS: i32 = 14;

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
        let zone = context.zone()?;
        let day = |day: i32| zone.start_of_day_from(context.now, day);
        let days: Vec<_> = (1 - DAYS..=1).map(day).collect();
        let vocabulary = context.read()?.vocabulary(&days)?;
        if self.json {
            let mut lines = String::new();
            for vocable in &vocabulary {
                let mut row = Map::new();
                row.insert("action".to_owned(), vocable.action.as_str().into());
                if let Some(module) = &vocable.module {
                    row.insert("module".to_owned(), module.as_str().into());
                }
                row.insert("count".to_owned(), vocable.count.into());
                row.insert("last_seen".to_owned(), vocable.last.to_string().into());
                row.insert("daily".to_owned(), vocable.activity.as_slice().into());
                text::json_escape_into(&mut lines, &Value::Object(row).to_string());
                lines.push('\n');
            }
            context.print(lines.as_bytes())?;
            return Ok(Exit::Done);
        }
        let printer = context.printer(&zone, None);
        let vocables: Vec<_> = vocabulary
            .into_iter()
            .map(|vocable| render::Vocable {
                action: vocable.action,
                count: vocable.count,
                last: vocable.last,
                daily: vocable.activity,
                remark: None,
            })
            .collect();
        context.show(|out| printer.actions(&vocables, out))?;
        Ok(Exit::Done)
    }
}
