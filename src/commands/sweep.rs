use anyhow::Result;

use crate::access::Reading;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::context::Context;
use crate::context::SweepOverrides;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::interrupt::Interrupt;
use crate::retention::RetentionPolicy;
use crate::sweep::SweepEnd;
use crate::text;
use crate::time::Span;

/// A shorter `--keep` is more often a slip than meant.
const SHORTEST_KEEP: Span = Span::from_seconds(86_400);

const EXAMPLES: &str = "\
Examples:
  The events that would be removed, and by which rule:
  $ activity sweep --keep 2y --dry-run

  What cron runs every night:
  $ activity sweep --keep 365d";

/// Remove the events that are past their retention
///
/// `[retention]` in the config says how long events are kept: `keep`, and rules, of which the first that
/// matches an event decides. One `retention.sweep` event vouches for the removed events, so the log
/// still verifies. Ingest continues meanwhile; the sweep waits for a running export. It returns the disk
/// space. If it is interrupted, the next sweep finishes it.
///
/// Never removed: the newest `retention.sweep`, the newest `digest.sent` and the failed digests after
/// it; and the events that a `[[mirror]]` of the config has yet to deliver, whose number it says. A
/// mirror with `enabled = false` keeps nothing, nor does one with `start = "now"` before its first run,
/// nor an `[[alert]]`.
///
/// Nothing is swept (exit 75) while the clock may be wrong: it is more than 30 days past the newest
/// event, or the times at which events were recorded jump that far and less than a day was recorded
/// since. `--force` sweeps all the same.
///
/// Where more than half of the log, and more than 1,000 events, would go, a sweep on a terminal asks.
/// One without a terminal, as from cron, refuses (exit 75) unless a sweep with the same retention has run
/// before: run the first one by hand, or with `--yes`.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct SweepArgs {
    /// Keep events that no rule matches for DURATION, instead of `keep` in the config: 365d, 2y, 12h
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = Span::parse,
        allow_hyphen_values = true,
        help_heading = "Sweep"
    )]
    keep: Option<Span>,
    /// Count the events that would be removed, by action; remove and record nothing
    #[arg(long, help_heading = "Sweep")]
    dry_run: bool,
    /// Sweep even if the clock may be wrong, and with a `--keep` under a day
    #[arg(long, conflicts_with = "dry_run", help_heading = "Sweep")]
    force: bool,
    /// Confirm that most of the log may go
    #[arg(long, conflicts_with = "dry_run", help_heading = "Sweep")]
    yes: bool,
    /// Print what was, or would be, removed as JSON
    #[arg(long, help_heading = "Sweep")]
    json: bool,
}

impl RunCommand for SweepArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_read(Reading::Sweep)?;
        if let Some(keep) = self.keep.filter(|keep| *keep < SHORTEST_KEEP)
            && !self.dry_run
            && !self.force
        {
            let message = format!("--keep {keep} is under a day");
            return Err(Failure::new(Exit::Usage, message)
                .hint("--force sweeps all the same, --dry-run shows what would go")
                .into());
        }
        let retention = context.retention(self.keep)?;
        if self.dry_run {
            return self.print_preview(context, &retention);
        }
        let interrupt = Interrupt::listen()?;
        let overrides = SweepOverrides { force: self.force, yes: self.yes };
        match context.log().sweep(&retention, overrides, &interrupt)? {
            SweepEnd::Done(summary) if self.json => {
                context.output.print(&json_line(&summary.to_json().to_string()))?;
            }
            SweepEnd::Done(summary) => {
                context.output.print(format!("{}\n", summary.to_line()).as_bytes())?;
            }
            SweepEnd::Interrupted { signal, vouched } => {
                context.output.warn(if vouched {
                    "interrupted: the next sweep finishes this one"
                } else {
                    "interrupted: nothing is swept"
                });
                interrupt::reraise(signal)?;
            }
        }
        Ok(Exit::Success)
    }
}

impl SweepArgs {
    /// Prints the events that would be removed.
    fn print_preview(&self, context: &Context, retention: &RetentionPolicy) -> Result<Exit> {
        let reader = context.log().open_reader(Reading::Sweep)?;
        if let Some(why) = reader.clock_doubt(context.now)? {
            context.output.note(&format!("a sweep would be refused without --force: {why}"));
        }
        let preview = reader.sweep_preview(retention, context.now)?;
        if let Some(why) = &preview.size_doubt {
            context.output.note(&format!("a sweep would ask, or be refused without --yes: {why}"));
        }
        if self.json {
            context.output.print(&json_line(&preview.summary.to_json().to_string()))?;
        } else {
            let zone = context.zone()?;
            let printer = context.printer(&zone, None);
            context.output.show(|out| {
                printer.write_sweep_preview(
                    &preview.rows,
                    preview.summary.held,
                    preview.events,
                    out,
                )
            })?;
        }
        Ok(Exit::Success)
    }
}

fn json_line(json: &str) -> Vec<u8> {
    let mut line = String::new();
    text::json_escape_into(&mut line, json);
    line.push('\n');
    line.into_bytes()
}
