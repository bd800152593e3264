use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::central_status;
use crate::context::Context;
use crate::context::RunLength;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::interrupt::Interrupt;
use crate::mirror::resend::ResendSummary;
use crate::mirror::run::MirrorResult;
use crate::mirror::runner::MirrorRun;
use crate::mirror::runner::MirrorRunEnd;
use crate::mirror::status::MirrorStatus;
use crate::query::Query;
use crate::render;
use crate::settings::LogLocation;
use crate::text;
use crate::time::Span;
use crate::time::Zone;

const EXAMPLES: &str = "\
Examples:
  What cron runs every minute:
  $ activity mirror

  Whether anything has waited for more than five minutes:
  $ activity mirror status --max-lag 5m";

/// Deliver new events to the mirrors and alerts of the config
///
/// A `[[mirror]]` in the config is a copy of events: its query selects them, its type says where they
/// go. An `[[alert]]` tells people. Each remembers the last event that it has delivered, so a run
/// delivers what is new since, in order, at least once. A destination that is away is tried again with
/// growing waits and delays no other; an event that it refuses for good becomes a dead letter, and the
/// rest goes on. Exits with 75 while something waits. A run that finds another at work leaves it to that.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct MirrorArgs {
    /// Go on until a signal comes: new events are delivered within a second
    #[arg(long, short, help_heading = "Mirror")]
    follow: bool,
    #[command(subcommand)]
    action: Option<MirrorAction>,
}

#[derive(clap::Subcommand)]
enum MirrorAction {
    /// Show what each mirror and alert has delivered, what waits, and the last error; with --central,
    /// which hosts are behind in the central store
    Status(StatusArgs),
    /// Find out whether a mirror's destination would take an event; the log stays as it is
    Test {
        /// The name of the mirror in the config
        name: String,
    },
    /// Deliver the dead letters of a mirror again
    Retry {
        /// The name of the mirror in the config
        name: String,
    },
    /// Deliver again what a mirror has had, in order; its place stays as it is. What is refused for good
    /// becomes a dead letter
    Replay {
        /// The name of the mirror in the config
        name: String,
        /// Only events that occurred at TIME or later: 2026-11-20, yesterday, 2h
        #[arg(long, value_name = "TIME")]
        since: String,
    },
}

#[derive(clap::Args)]
struct StatusArgs {
    /// Exit with 1 if events have waited longer than DURATION: 30s, 5m, 1h
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    max_lag: Option<Span>,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

impl RunCommand for MirrorArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        match self.action {
            None if self.follow => run_all(context, RunLength::Endless),
            None => run_all(context, RunLength::Once),
            Some(MirrorAction::Status(status)) => status.run(context),
            Some(MirrorAction::Test { name }) => {
                context.log().test_mirror(&name)?;
                let line =
                    format!("{}: it can be reached, and would take events\n", text::escape(&name));
                context.output.print(line.as_bytes())?;
                Ok(Exit::Success)
            }
            Some(MirrorAction::Retry { name }) => {
                resend(context, &name, |interrupt| context.log().retry_mirror(&name, interrupt))
            }
            Some(MirrorAction::Replay { name, since }) => {
                let narrowed = parse_since(context, &since)?;
                resend(context, &name, |interrupt| {
                    context.log().replay_mirror(&name, &narrowed, interrupt)
                })
            }
        }
    }
}

/// Reads a time as the query `since:` does.
pub(super) fn parse_since(context: &Context, since: &str) -> Result<Query> {
    let zone = context.zone()?;
    let quoted = since.replace('\\', "\\\\").replace('"', "\\\"");
    Query::parse(&format!("since:\"{quoted}\""), &context.clock(&zone))
        .map_err(|error| Failure::new(Exit::Usage, format!("--since: {error}")).into())
}

/// Runs all mirrors and alerts, and prints a line for each that delivered something.
fn run_all(context: &Context, length: RunLength) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let mut printed = Ok(());
    let mut exit = Exit::Success;
    let mut last_error = String::new();
    context.log().run_mirrors(length, &interrupt, &mut |result: MirrorResult| {
        let (line, problem, code) = describe(&result);
        exit = graver(exit, code);
        if let Some(line) = line {
            printed = context.output.print(format!("{line}\n").as_bytes());
        }
        // A run without an end says the same error once.
        if let Some(problem) = problem.filter(|problem| *problem != last_error) {
            context.output.warn(&problem);
            last_error = problem;
        }
    })?;
    printed?;
    if let Some(signal) = interrupt.signal() {
        interrupt::reraise(signal)?;
    }
    Ok(exit)
}

/// Returns the line about what was delivered, the problem, and the exit code.
fn describe(result: &MirrorResult) -> (Option<String>, Option<String>, Exit) {
    let run = match result {
        Ok(run) => run,
        Err(error) => {
            let exit = error.downcast_ref::<Failure>().map_or(Exit::Io, |failure| failure.exit);
            return (None, Some(failure::describe(error)), exit);
        }
    };
    let MirrorRun { name, delivered, dead, end } = run;
    let name = text::escape(name);
    let dead = match dead {
        0 => String::new(),
        some => format!(", {} refused for good", text::plural(*some, "event")),
    };
    let line = (*delivered > 0 || !dead.is_empty())
        .then(|| format!("{name}: {} delivered{dead}", text::plural(*delivered, "event")));
    match end {
        MirrorRunEnd::Waiting { error, waiting: 0 } => {
            (line, Some(format!("{name}: {error}")), Exit::TryAgain)
        }
        MirrorRunEnd::Waiting { error, waiting } => {
            let waiting = text::plural(*waiting, "event");
            (line, Some(format!("{name}: {error}; waiting: {waiting}")), Exit::TryAgain)
        }
        MirrorRunEnd::CaughtUp
        | MirrorRunEnd::Spaced
        | MirrorRunEnd::Busy
        | MirrorRunEnd::Interrupted => (line, None, Exit::Success),
    }
}

/// Of several mirrors the one decides that more runs would not help.
fn graver(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Success, other) => other,
        (Exit::TryAgain, other) if other != Exit::Success => other,
        (one, _) => one,
    }
}

/// Sends events again and prints what became of them. A signal ends that after the batch at hand.
fn resend(
    context: &Context,
    name: &str,
    send: impl FnOnce(&Interrupt) -> Result<ResendSummary>,
) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let exit = print_resent(context, name, &send(&interrupt)?)?;
    if let Some(signal) = interrupt.signal() {
        interrupt::reraise(signal)?;
    }
    Ok(exit)
}

fn print_resent(context: &Context, name: &str, summary: &ResendSummary) -> Result<Exit> {
    let name = text::escape(name);
    let mut line = format!("{name}: {} delivered", text::plural(summary.delivered, "event"));
    if summary.swept > 0 {
        line = format!("{line}, {} swept meanwhile", summary.swept);
    }
    context.output.print(format!("{line}\n").as_bytes())?;
    if summary.refused == 0 {
        return Ok(Exit::Success);
    }
    let reason = summary.reason.as_deref().unwrap_or_default();
    let refused = text::plural(summary.refused, "event");
    let message = format!("{name}: {refused} refused for good, the last: {reason}");
    Err(Failure::new(Exit::Unavailable, message).into())
}

impl StatusArgs {
    fn run(&self, context: &Context) -> Result<Exit> {
        if let LogLocation::Store(address) = context.settings.location()? {
            return central_status::show(context, &address, self.max_lag, self.json);
        }
        let statuses = context.log().mirror_statuses()?;
        if self.json {
            let mut lines = String::new();
            for status in &statuses {
                text::json_escape_into(&mut lines, &status.to_json().to_string());
                lines.push('\n');
            }
            context.output.print(lines.as_bytes())?;
        } else if statuses.is_empty() {
            context.output.note("the config has no [[mirror]] and no [[alert]]");
        } else {
            let zone = context.zone()?;
            let printer = context.printer(&zone, None);
            let rows: Vec<_> = statuses.iter().map(|status| to_row(status, &zone)).collect();
            context.output.show(|out| printer.write_mirror_status(&rows, out))?;
        }
        let lags = |max| statuses.iter().any(|status| status.lags_more_than(max));
        Ok(if self.max_lag.is_some_and(lags) { Exit::Negative } else { Exit::Success })
    }
}

fn to_row(status: &MirrorStatus, zone: &Zone) -> render::MirrorStatusRow {
    let disabled = (!status.enabled).then(|| "disabled".to_owned());
    render::MirrorStatusRow {
        name: status.name.clone(),
        delivered: status.delivered,
        waiting: status.waiting,
        lag: status.lag.map_or_else(|| "0s".to_owned(), |lag| lag.to_string()),
        dead: status.dead,
        remark: disabled
            .or_else(|| status.error.clone())
            .or_else(|| status.silence.as_ref().map(|silence| silence.describe(zone))),
    }
}
