use anyhow::Result;

use crate::commands::{Invocation, RunCommand};
use crate::failure::Exit;
use crate::interrupt;
use crate::interrupt::Interrupt;
use crate::sweep::SweepEnd;
use crate::text;
use crate::time::Span;

const EXAMPLES: &str = "\
Examples:
  What would go, and by which rule:
  $ activity sweep --keep 2y --dry-run

  What cron runs every night:
  $ activity sweep --keep 365d";

/// Remove the events that are older than the log is to keep
///
/// How long that is says `[retention]` in the config: `keep`, and rules of which the first that fits an
/// event decides. One `retention.sweep` event vouches for what is removed, so the log can be verified
/// as before. Ingest goes on meanwhile, an export is waited for. Disk space is given back. Ended
/// midway, it is finished by the next sweep.
///
/// Never removed: the newest `retention.sweep`, the newest `digest.sent` and the digests that failed
/// since; and what a `[[mirror]]` of the config has yet to deliver. This version delivers nothing, so
/// that is all that its query fits, unless it says `enabled = false` or `start = "now"`. An `[[alert]]`
/// keeps nothing.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct SweepArgs {
    /// Keep what no rule fits so long, in place of `keep` in the config: 365d, 2y, 12h
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = Span::parse,
        allow_hyphen_values = true,
        help_heading = "Sweep"
    )]
    keep: Option<Span>,
    /// Count by action what would be removed; remove and record nothing
    #[arg(long, help_heading = "Sweep")]
    dry_run: bool,
    /// Sweep though the clock is more than 30 days past the newest event
    #[arg(long, conflicts_with = "dry_run", help_heading = "Sweep")]
    force: bool,
    /// Print what was, or would be, removed as JSON
    #[arg(long, help_heading = "Sweep")]
    json: bool,
}

impl RunCommand for SweepArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let retention = context.retention(self.keep)?;
        if self.dry_run {
            let reader = context.log().open_reader()?;
            if let Some(why) = reader.clock_ahead_reason(context.now)? {
                context.output.note(&format!("a sweep would be refused without --force: {why}"));
            }
            let doomed = reader.sweep_preview(&retention, context.now)?;
            if self.json {
                context.output.print(&json_line(&doomed.summary.to_json().to_string()))?;
            } else {
                let zone = context.zone()?;
                let printer = context.printer(&zone, None);
                context.output.show(|out| {
                    printer.write_sweep_preview(
                        &doomed.rows,
                        doomed.summary.held,
                        doomed.events,
                        out,
                    )
                })?;
            }
            return Ok(Exit::Success);
        }
        let interrupt = Interrupt::listen()?;
        match context.log().sweep(&retention, self.force, &interrupt)? {
            SweepEnd::Done(swept) if self.json => {
                context.output.print(&json_line(&swept.to_json().to_string()))?;
            }
            SweepEnd::Done(swept) => {
                context.output.print(format!("{}\n", swept.to_line()).as_bytes())?
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

fn json_line(json: &str) -> Vec<u8> {
    let mut line = String::new();
    text::json_escape_into(&mut line, json);
    line.push('\n');
    line.into_bytes()
}
