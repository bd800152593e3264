use anyhow::{Context, Result};
use clap_mangen::Man;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::definition;
use crate::commands::print_text;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::manual;

const EXAMPLES: &str = "\
Examples:
  The page of the program, to be read with `man ./activity.1`:
  $ activity man > activity.1

  The page of one command, for the folder man1 of a manual:
  $ activity man list > activity-list.1";

/// Print the manual page of the program or of one command
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// The command; without it, the page of the program
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl RunCommand for ManArgs {
    fn run(self, _: Invocation) -> Result<Exit> {
        // `build` fills in the global flags and the full name of each command.
        let mut cli = definition(None);
        cli.build();
        let page = match &self.command {
            None => cli,
            Some(name) => cli.find_subcommand(name).cloned().ok_or_else(|| {
                Failure::new(Exit::Usage, format!("there is no command {name:?}"))
                    .hint("activity --help lists them")
            })?,
        };
        let mut text = Vec::new();
        let with_query = page.get_arguments().any(|argument| argument.get_id() == "query");
        Man::new(page).render(&mut text).context("cannot make the page")?;
        text.extend_from_slice(manual::shared_sections(with_query).as_bytes());
        print_text(&text)
    }
}
