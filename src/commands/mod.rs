//! The commands: each file has the arguments of one, their help, and what it does with them.
//!
//! A command reads its arguments, asks the log by [`Context`], and hands what comes to `render`,
//! `codec` or a service. It neither computes nor draws.

mod actions;
mod completions;
mod export;
mod ingest;
mod list;
mod listing;
mod man;
mod search;
mod show;
mod whoami;

use std::env;
use std::ffi::OsString;
use std::io;
use std::io::Write;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::args;
use crate::args::GlobalArgs;
use crate::args::Refused;
use crate::args::words;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Who did what, when, and against which record
///
/// Keeps the activity of sites, services and hosts in one SQLite file that can only grow, and finds
/// it again. `activity COMMAND --help` tells the rest.
#[derive(Parser)]
#[command(name = "activity", version, max_term_width = 100, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

// The flags of a command are made when it is called: a hook that records one event does not wait for
// those of all the others.
#[derive(clap::Subcommand)]
#[command(defer = true)]
enum Command {
    Ingest(ingest::IngestArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    SearchActor(search::SearchActorArgs),
    SearchTarget(search::SearchTargetArgs),
    Export(export::ExportArgs),
    Actions(actions::ActionsArgs),
    Whoami(whoami::WhoamiArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Reads the command line and does what it says.
///
/// # Errors
/// Whatever ends the program with a message.
pub(crate) fn run() -> Result<Exit> {
    let arguments: Vec<OsString> = env::args_os().collect();
    let prepared = words::negated_last(arguments.clone(), takes_value);
    let matches = Cli::command().try_get_matches_from(prepared);
    let cli = match matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)) {
        Ok(cli) => cli,
        Err(error) => {
            return match args::refused(&error) {
                Refused::Asked(text) => answer(&text),
                Refused::Wrong(failure) => Err(failure.into()),
            };
        }
    };
    let overrides = cli.global.overrides();
    let context = || Context::new(overrides, arguments);
    match cli.command {
        Command::Ingest(args) => args.run(&context()?),
        Command::List(args) => args.run(&context()?),
        Command::Show(args) => args.run(&context()?),
        Command::SearchActor(args) => args.run(&context()?),
        Command::SearchTarget(args) => args.run(&context()?),
        Command::Export(args) => args.run(&context()?),
        Command::Actions(args) => args.run(&context()?),
        Command::Whoami(args) => args.run(&context()?),
        // These two tell of the program alone, and work where the config is wrong.
        Command::Completions(args) => args.run(&Cli::command()),
        Command::Man(args) => args.run(&Cli::command()),
    }
}

/// Whether that flag of a command is followed by a value.
fn takes_value(command: &str, flag: &str) -> bool {
    let mut cli = Cli::command();
    cli.build();
    let Some(command) = cli.find_subcommand(command) else { return false };
    let name = |argument: &clap::Arg| {
        let long = argument.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
        let short = argument.get_short().map(|short| format!("-{short}"));
        long || short.as_deref() == Some(flag)
    };
    command.get_arguments().any(|argument| argument.get_action().takes_values() && name(argument))
}

/// Prints what the program tells of itself.
fn answer(text: &[u8]) -> Result<Exit> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(|error| {
        anyhow::Error::new(error).context(Failure::new(Exit::Io, "cannot write standard output"))
    })?;
    Ok(Exit::Done)
}
