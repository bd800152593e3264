use std::fs;
use std::path::Path;
use std::path::PathBuf;

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

  All pages, into the folder man1 of a manual:
  $ activity man --install man1";

/// Print the manual page of the program or of one command
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// The command; without it, the page of the program
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Write all pages into DIR, such as /usr/local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    install: Option<PathBuf>,
}

impl RunCommand for ManArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        // `build` fills in the global flags and the full name of each command.
        let mut cli = definition(None);
        cli.build();
        if let Some(folder) = &self.install {
            call.into_context_of_anybody()?.require_own_rights("man --install")?;
            return install(&cli, folder);
        }
        let page = match &self.command {
            None => cli,
            Some(name) => cli.find_subcommand(name).cloned().ok_or_else(|| {
                Failure::new(Exit::Usage, format!("there is no command {name:?}"))
                    .hint("activity --help lists them")
            })?,
        };
        print_text(&render(page)?)
    }
}

/// Returns the manual page of the program or of a command.
fn render(command: clap::Command) -> Result<Vec<u8>> {
    let with_query = command.get_arguments().any(|argument| argument.get_id() == "query");
    let mut text = Vec::new();
    Man::new(command).render(&mut text).context("cannot make the page")?;
    text.extend_from_slice(manual::shared_sections(with_query).as_bytes());
    Ok(text)
}

/// Writes the pages of the program and of every command.
fn install(cli: &clap::Command, folder: &Path) -> Result<Exit> {
    let commands = cli.get_subcommands().filter(|command| !command.is_hide_set());
    let pages = commands.map(|command| (format!("activity-{}.1", command.get_name()), command));
    for (name, command) in std::iter::once(("activity.1".to_owned(), cli)).chain(pages) {
        let page = render(command.clone())?;
        let path = folder.join(name);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, page));
        let failure = || Failure::new(Exit::CantCreate, format!("cannot write {}", path.display()));
        written.with_context(failure)?;
    }
    Ok(Exit::Success)
}
