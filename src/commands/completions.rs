use anyhow::Result;
use clap_complete::Shell;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::definition;
use crate::commands::print_text;
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  For bash, which loads them with `. activity.bash`:
  $ activity completions bash > activity.bash

  For fish, which loads them from ~/.config/fish/completions:
  $ activity completions fish > activity.fish";

/// Print the completions for a shell
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

impl RunCommand for CompletionsArgs {
    fn run(self, _: Invocation) -> Result<Exit> {
        // Written to memory first, because the generator panics on a write error.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(None), "activity", &mut script);
        print_text(&script)
    }
}
