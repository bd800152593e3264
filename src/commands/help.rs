use anyhow::Result;

use crate::commands;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::print_text;
use crate::context::Context;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::manual::HelpTopic;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  The language of filters:
  $ activity help query

  A command in full, as list --help:
  $ activity help list";

/// Show a page on a topic, or a command in full
///
/// The topics are query, times, fields, formats, config and exit-codes.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct HelpArgs {
    /// A topic or a command; without it, an overview
    #[arg(value_name = "TOPIC")]
    subject: Option<String>,
}

impl RunCommand for HelpArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let Some(subject) = &self.subject else {
            return commands::show_help(None, &call.arguments);
        };
        if let Some(topic) = HelpTopic::parse(subject) {
            // A page comes with a broken config too, only without the saved queries.
            let context = Context::for_anybody(call.overrides, call.arguments);
            let saved = context.map(|context| context.settings.config.queries).unwrap_or_default();
            return print_text(topic.page(&saved).as_bytes());
        }
        let Some(name) = commands::names().find(|name| name == subject) else {
            let topics = HelpTopic::ALL.map(HelpTopic::name);
            let message = format!("there is no command or topic \"{}\"", text::escape(subject));
            let hint = match text::nearest(subject, topics.into_iter().chain(commands::names())) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the topics are {}", topics.join(", ")),
            };
            return Err(Failure::new(Exit::Usage, message).hint(hint).into());
        };
        commands::show_help(Some(name), &call.arguments)
    }
}
