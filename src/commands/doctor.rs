use anyhow::Result;

use crate::commands::{Invocation, RunCommand};
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  What is amiss, for a program:
  $ activity doctor --json | jq -r '.checks[] | select(.status == \"bad\").check'

  Whether a mail gets through, before the first digest is due:
  $ activity doctor --mail ops@example.org";

/// Tell whether this host is set up: log, config, mail, schedules, last runs, clock
///
/// Each check is `ok`, a `note`, which may be meant so, or `BAD`; below one that is not well stands what
/// to do next. Exit 0 when none is BAD, else 1; notes change nothing. Looks only, and changes nothing.
///
/// BAD are a log or config that cannot be read or that others may write, less space than `space_left`, a
/// mail that could not be sent, no crontab line and no timer that runs the digest (or the sweep, where
/// `[retention]` is set), a daily digest older than 26 hours or failed, a sweep older than 48, and a
/// clock behind the log. Called by root it sees every user's crontab. Schedules know none of this
/// shell's variables: what they are to know stands in the config. Whether the chain of events holds is
/// for `activity verify`.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Send a short test to ADDRESS, the way that the digest goes; nothing else is looked at
    #[arg(long, value_name = "ADDRESS", conflicts_with = "json")]
    mail: Option<String>,
}

impl RunCommand for DoctorArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        if let Some(address) = &self.mail {
            let context = &call.into_context()?;
            let line = context.send_test_mail(address)?;
            context.output.print(format!("{line}\n").as_bytes())?;
            return Ok(Exit::Success);
        }
        let (context, fault) = &call.into_context_despite_config()?;
        let diagnosis = context.log().diagnose(fault.as_ref())?;
        if self.json {
            context.output.print(format!("{}\n", diagnosis.to_json()).as_bytes())?;
        } else {
            let zone = context.zone()?;
            let printer = context.printer(&zone, None);
            let (status, words) = diagnosis.verdict();
            let sections = diagnosis.sections();
            context.output.show(|out| printer.write_findings(&sections, (status, &words), out))?;
        }
        Ok(if diagnosis.is_healthy() { Exit::Success } else { Exit::Negative })
    }
}
