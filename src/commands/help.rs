use anyhow::Result;

use crate::commands;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::print_text;
use crate::context::Context;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::manual::HelpTopic;
use crate::map::built_in::BUILT_IN;
use crate::map::built_in::BuiltInFormat;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  The language of filters:
  $ activity help query

  How a log of GitHub is read:
  $ activity help formats github";

/// Show a page on a topic, or a command in full
///
/// The topics are query, times, fields, formats, config and exit-codes.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct HelpArgs {
    /// A topic or a command; without it, an overview
    #[arg(value_name = "TOPIC")]
    subject: Option<String>,
    /// With the topic formats: print the map of this built-in format
    #[arg(value_name = "FORMAT", requires = "subject")]
    format: Option<String>,
}

impl RunCommand for HelpArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let Some(subject) = &self.subject else {
            return commands::show_help(None, &call.arguments);
        };
        if let Some(name) = &self.format {
            return show_map(subject, name);
        }
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

/// Prints the map of a built-in format.
fn show_map(topic: &str, name: &str) -> Result<Exit> {
    if HelpTopic::parse(topic) != Some(HelpTopic::Formats) {
        let message = format!("help {} takes no second word", text::escape(topic));
        return Err(Failure::new(Exit::Usage, message).hint("activity help formats github").into());
    }
    let Some(format) = BuiltInFormat::find(name) else {
        let message = format!("there is no built-in format \"{}\"", text::escape(name));
        let names = BUILT_IN.iter().map(|format| format.name);
        let hint = match text::nearest(name, names) {
            Some(near) => format!("did you mean {near}?"),
            None => "activity help formats".to_owned(),
        };
        return Err(Failure::new(Exit::Usage, message).hint(hint).into());
    };
    print_text(format.text.as_bytes())
}
