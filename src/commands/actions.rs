use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::access::Reading;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::digest::quiet::ActionActivity;
use crate::failure::Exit;
use crate::render;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  All actions in this log:
  $ activity actions

  The actions that occurred fewer than ten times:
  $ activity actions --json | jq -r 'select(.count < 10).action'";

/// The number of days that the rhythm shows, including today.
const RHYTHM_DAYS: i32 = 14;

/// List the actions in the log: how many events of each, the last one, and the rhythm by day
///
/// An action that used to occur and has stopped is marked: it has gone quiet. Its own rhythm over the
/// last 28 days decides, as in the digest. Cron mails what a command prints, and
/// `activity actions --stale --quiet` prints nothing unless an action has gone quiet.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ActionsArgs {
    /// List only actions that have gone quiet; exit with 1 if there is one
    #[arg(long)]
    stale: bool,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

impl RunCommand for ActionsArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let zone = context.zone()?;
        let day = |day: i32| zone.start_of_day_from(context.now, day);
        let days: Vec<_> = (1 - RHYTHM_DAYS..=1).map(day).collect();
        let mut actions =
            context.log().open_reader(Reading::List)?.activity_by_action(&days, context.now)?;
        if self.stale {
            actions.retain(|action| action.quiet.is_some());
            if actions.is_empty() {
                context.output.note("no action has gone quiet");
                return Ok(Exit::Success);
            }
        }
        let exit = if self.stale { Exit::Negative } else { Exit::Success };
        if self.json {
            let mut lines = String::new();
            for ActionActivity { usage, quiet } in &actions {
                let mut row = Map::new();
                row.insert("action".to_owned(), usage.action.as_str().into());
                if let Some(module) = &usage.module {
                    row.insert("module".to_owned(), module.as_str().into());
                }
                row.insert("count".to_owned(), usage.count.into());
                row.insert("last_seen".to_owned(), usage.last.to_string().into());
                row.insert("daily".to_owned(), usage.histogram.as_slice().into());
                if let Some((rhythm, last)) = quiet {
                    let quiet = json!({"normally": rhythm.to_string(), "last": last.to_string()});
                    row.insert("gone_quiet".to_owned(), quiet);
                }
                text::json_escape_into(&mut lines, &Value::Object(row).to_string());
                lines.push('\n');
            }
            context.output.print(lines.as_bytes())?;
            return Ok(exit);
        }
        let printer = context.printer(&zone, None);
        let rows: Vec<_> = actions
            .into_iter()
            .map(|ActionActivity { usage, quiet }| render::ActionRow {
                action: usage.action,
                count: usage.count,
                last: usage.last,
                daily: usage.histogram,
                remark: quiet.map(|(rhythm, _)| format!("gone quiet, normally {rhythm}")),
            })
            .collect();
        context.output.show(|out| printer.write_actions(&rows, out))?;
        Ok(exit)
    }
}
