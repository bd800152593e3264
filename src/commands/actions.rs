use std::cmp::Reverse;
use std::collections::HashMap;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::access::Reading;
use crate::args::filter::FilterArgs;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::nothing_found;
use crate::digest::quiet::ActionActivity;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::render;
use crate::text;
use crate::time::Timestamp;

const EXAMPLES: &str = "\
Examples:
  All actions in this log:
  $ activity actions

  What failed, the most frequent first:
  $ activity actions is:failed --sort count";

/// The number of days that the rhythm shows, including today.
const RHYTHM_DAYS: i32 = 14;

/// List the actions in the log: how many events of each, the last one, and the rhythm by day
///
/// A family of several actions has a line with their total, auth.* for auth.login and auth.logout.
///
/// An action that used to occur and has stopped is marked: it has gone quiet. Its own rhythm over the
/// last 28 days decides, as in the digest; where the query has times, none is marked. Cron mails what
/// a command prints, and `activity actions --stale --quiet` prints nothing unless an action has gone
/// quiet.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ActionsArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Sort families, and the actions of each, by count, name or last [default: name]
    #[arg(long, value_name = "HOW", value_parser = ActionOrder::parse, help_heading = "Output")]
    sort: Option<ActionOrder>,
    /// List only actions that have gone quiet; exit with 1 if there is one
    #[arg(long, help_heading = "Output")]
    stale: bool,
    /// Print JSON Lines
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// The order of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActionOrder {
    Count,
    Name,
    Last,
}

impl ActionOrder {
    /// Reads the name of an order.
    ///
    /// # Errors
    /// One line that names the orders.
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "count" => Ok(Self::Count),
            "name" => Ok(Self::Name),
            "last" => Ok(Self::Last),
            _ => Err("none of count, name, last".to_owned()),
        }
    }

    /// Brings families into the order, and the actions of each: those with most events or the newest
    /// event first, else by name.
    fn sort(self, actions: &mut [ActionActivity]) {
        let mut totals: HashMap<String, (u64, Timestamp)> = HashMap::new();
        for ActionActivity { usage, .. } in actions.iter() {
            let family = family(&usage.action).to_owned();
            let total = totals.entry(family).or_insert((0, usage.last));
            *total = (total.0 + usage.count, total.1.max(usage.last));
        }
        let rank = |count: u64, last: Timestamp| match self {
            Self::Count => (Reverse(count), Reverse(last)),
            Self::Name => (Reverse(0), Reverse(Timestamp::from_nanos(0))),
            Self::Last => (Reverse(0), Reverse(last)),
        };
        actions.sort_by_cached_key(|ActionActivity { usage, .. }| {
            let name = family(&usage.action).to_owned();
            let (count, last) = totals.get(&name).copied().unwrap_or((0, usage.last));
            let own = rank(usage.count, usage.last);
            (rank(count, last), name, own, usage.action.clone(), usage.module.clone())
        });
    }
}

/// Returns what stands before the first point of an action.
fn family(action: &str) -> &str {
    action.split_once('.').map_or(action, |(family, _)| family)
}

/// Returns the rows of a table: before the actions of a family, of which there are several, its total.
fn rows_with_totals(actions: &[ActionActivity]) -> Vec<render::ActionRow> {
    let mut rows: Vec<render::ActionRow> = Vec::with_capacity(actions.len());
    for of_family in actions.chunk_by(|a, b| family(&a.usage.action) == family(&b.usage.action)) {
        if let [first, _, ..] = of_family {
            let mut daily = vec![0; first.usage.histogram.len()];
            for activity in of_family {
                let days = daily.iter_mut().zip(&activity.usage.histogram);
                days.for_each(|(sum, count)| *sum += count);
            }
            rows.push(render::ActionRow {
                action: format!("{}.*", family(&first.usage.action)),
                count: of_family.iter().map(|activity| activity.usage.count).sum(),
                last: of_family.iter().fold(first.usage.last, |last, one| last.max(one.usage.last)),
                daily,
                remark: None,
            });
        }
        rows.extend(of_family.iter().map(|ActionActivity { usage, quiet }| render::ActionRow {
            action: usage.action.clone(),
            count: usage.count,
            last: usage.last,
            daily: usage.histogram.clone(),
            remark: quiet.as_ref().map(|(rhythm, _)| format!("gone quiet, normally {rhythm}")),
        }));
    }
    rows
}

impl RunCommand for ActionsArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let zone = context.zone()?;
        let day = |day: i32| zone.start_of_day_from(context.now, day);
        let days: Vec<_> = (1 - RHYTHM_DAYS..=1).map(day).collect();
        let query = self.filter.query(&context.clock(&zone), &context.settings.config.queries)?;
        // What stands outside the times of the query would look like silence.
        let has_times = query.bounds() != TimeBounds::default();
        if self.stale && has_times {
            let failure = Failure::new(Exit::Usage, "--stale looks at the last 28 days");
            return Err(failure.hint("leave the times out of the query").into());
        }
        let reader = context.log().open_reader(Reading::List)?;
        let mut actions = reader.activity_by_action(&query, &days, context.now)?;
        if has_times {
            actions.iter_mut().for_each(|action| action.quiet = None);
        }
        self.sort.unwrap_or(ActionOrder::Name).sort(&mut actions);
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
        if actions.is_empty() && query != Query::default() {
            let description = nothing_found::describe_query(&query, &zone);
            context.output.note(&printer.nothing_found(&description, &[]));
            return Ok(exit);
        }
        let rows = rows_with_totals(&actions);
        context.output.show(|out| printer.write_actions(&rows, out))?;
        Ok(exit)
    }
}
