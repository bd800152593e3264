use anyhow::Result;
use clap::Command;
use clap_complete::Shell;

use crate::commands::answer;
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  For bash, as long as the shell runs:
  $ activity completions bash > /tmp/activity.bash && . /tmp/activity.bash

  For fish, for good:
  $ activity completions fish > ~/.config/fish/completions/activity.fish";

/// Print the completions for a shell
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(&self, cli: &Command) -> Result<Exit> {
        // Into memory first: the generator panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli.clone(), "activity", &mut script);
        answer(&script)
    }
}
