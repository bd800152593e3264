use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::mirror::parse_since;
use crate::failure::Exit;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  A message that says it is a test, the way that the alert goes:
  $ activity alert test settings

  What the alert would have sent in the last 30 days:
  $ activity alert replay settings --since 30d";

/// Test an alert of the config, or see what it would have sent
///
/// An `[[alert]]` tells people what a query matches: by mail through the transport of the digest, by
/// Slack, or by a command, which gets JSON Lines. `activity mirror` sends the messages. The first goes
/// at once, then at most one in each `every`, which carries all since the last. Neither command here
/// changes what the alert sends next.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct AlertArgs {
    #[command(subcommand)]
    action: AlertAction,
}

#[derive(clap::Subcommand)]
enum AlertAction {
    /// Send a message that says it is a test
    Test {
        /// The name of the alert in the config
        name: String,
    },
    /// Show what the alert would have sent, and send nothing
    Replay {
        /// The name of the alert in the config
        name: String,
        /// About events that occurred at TIME or later: 2026-11-20, yesterday, 30d
        #[arg(long, value_name = "TIME")]
        since: String,
    },
}

impl RunCommand for AlertArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let text = match self.action {
            AlertAction::Test { name } => {
                context.log().test_alert(&name)?;
                format!("{}: a test is sent\n", text::escape(&name))
            }
            AlertAction::Replay { name, since } => {
                let narrowed = parse_since(context, &since)?;
                let preview = context.log().preview_alert(&name, &narrowed)?;
                let messages = text::plural(preview.messages, "message");
                let events = text::plural(preview.events, "event");
                let name = text::escape(&name);
                let head = format!("{name}: {messages} about {events} would have been sent\n");
                if preview.events == 0 { head } else { format!("{head}\n{}", preview.text) }
            }
        };
        context.output.print(text.as_bytes())?;
        Ok(Exit::Success)
    }
}
