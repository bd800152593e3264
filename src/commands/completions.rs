use anyhow::Result;
use clap_complete::Shell;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::definition;
use crate::commands::print_text;
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  For bash, which loads them with `. activity.bash`, or from /etc/bash_completion.d:
  $ activity completions bash > activity.bash

  For fish, which loads them from ~/.config/fish/completions:
  $ activity completions fish > activity.fish";

/// The scripts for shells in which values are completed too: they ask `activity complete`.
const BASH: &str = include_str!("../../templates/completions/activity.bash");
const ZSH: &str = include_str!("../../templates/completions/activity.zsh");
const FISH: &str = include_str!("../../templates/completions/activity.fish");

/// Print the completions for a shell
///
/// In bash, zsh and fish they complete commands, flags and their values, qualifiers, saved queries, and the
/// actions, actors, targets, modules and tenants of the log, as far as you may see them.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

impl RunCommand for CompletionsArgs {
    fn run(self, _: Invocation) -> Result<Exit> {
        match self.shell {
            Shell::Bash => return print_text(BASH.as_bytes()),
            Shell::Zsh => return print_text(ZSH.as_bytes()),
            Shell::Fish => return print_text(FISH.as_bytes()),
            _ => {}
        }
        // Written to memory first, because the generator panics on a write error.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(None), "activity", &mut script);
        print_text(&script)
    }
}
