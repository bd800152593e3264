use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  The checks that failed, for a program:
  $ activity doctor --json | jq -r '.checks[] | select(.status == \"bad\").check'

  A test of the mail settings, before the first digest is due:
  $ activity doctor --mail ops@example.org";

/// Check the setup of this host: log, config, mail, schedules, last runs, clock
///
/// Each check is `ok`, a `note`, which may be intended, or `BAD`; the next step stands below each check
/// that is not ok. Exits with 0 if no check is BAD, else with 1; notes do not count. It changes nothing.
///
/// These are BAD: a log or config that cannot be read or that others may write; less free space than
/// `space_left`; a mail that could not be sent; no crontab line and no timer that runs the digest (or
/// the sweep, if `[retention]` is set); a daily digest that failed or is older than 26 hours; a sweep
/// older than 48 hours; a clock behind the log. Run by root, it reads every user's crontab. Scheduled
/// commands do not get the variables of this shell, so their settings belong in the config. `activity
/// verify` checks the chain of events.
///
/// With --central it looks at the central store instead: its server, encryption and rights, the coming
/// months, sizes, clocks, and each host. BAD are a store that is away, a month that is missing, a host
/// that has said nothing for an hour or sent another version of an event, and a clock that is wrong.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Send a short test mail to ADDRESS in the way of a digest; check nothing else
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
        let (context, config_error) = &call.into_context_despite_config()?;
        let diagnosis = context.log().diagnose(config_error.as_ref())?;
        if self.json {
            context.output.print(format!("{}\n", diagnosis.to_json()).as_bytes())?;
        } else {
            let zone = context.zone()?;
            let printer = context.printer(&zone, None);
            let (status, verdict) = diagnosis.verdict();
            let sections = diagnosis.sections();
            context
                .output
                .show(|out| printer.write_findings(&sections, (status, &verdict), out))?;
        }
        Ok(if diagnosis.is_healthy() { Exit::Success } else { Exit::Negative })
    }
}
