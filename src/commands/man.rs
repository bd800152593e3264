use anyhow::{Context, Result};
use clap_mangen::Man;

use crate::commands::{Invocation, RunCommand, definition, print_text};
use crate::failure::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  The page of the program, which `man ./activity.1` shows:
  $ activity man > activity.1

  The page of one command, for a folder man1 of the manual:
  $ activity man list > activity-list.1";

/// Print the manual page, or that of one command
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// The command whose page is meant
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl RunCommand for ManArgs {
    fn run(self, _: Invocation) -> Result<Exit> {
        // Building fills in what the commands have in common and how each is called in full.
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
        Man::new(page).render(&mut text).context("cannot make the page")?;
        print_text(&text)
    }
}
