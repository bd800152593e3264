//! The commands: each file has the arguments of one, their help, and what it does with them.
//!
//! A command reads its arguments, reads or writes the log through [`Context`], and passes the result to
//! `render`, `codec` or a service. It neither computes nor draws.

mod actions;
mod alert;
mod backup;
mod central;
mod central_status;
mod complete;
mod completions;
mod config;
mod digest;
mod doctor;
mod export;
mod followed_log;
mod gate;
mod help;
mod ingest;
mod ingest_map;
mod list;
mod listing;
mod man;
mod mirror;
mod nothing_found;
mod page;
mod rejects_file;
mod search;
mod search_summary;
mod show;
mod stats;
mod sweep;
mod verify;
mod whoami;

use std::env;
use std::ffi::OsString;
use std::io;
use std::io::Write;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{Args, FromArgMatches};

use crate::args;
use crate::args::CommandLineError;
use crate::args::GlobalArgs;
use crate::args::command_line;
use crate::context::Context;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::settings::Overrides;

const ABOUT: &str = "Who did what, when, and against which record";
const LONG_ABOUT: &str = "\
Who did what, when, and against which record

Keeps the activity of sites, services and hosts in one SQLite file, and finds it again. Events are \
added and never changed; only `activity sweep` removes old ones, and it records that it did. \
`activity COMMAND --help` describes a command in full.";

const TOPICS: &str = "\
Pages with examples: activity help query, times, fields, formats, config, exit-codes";

/// A command with its arguments.
trait RunCommand: Args {
    fn run(self, call: Invocation) -> Result<Exit>;
}

/// The input of every command.
struct Invocation {
    overrides: Overrides,
    arguments: Vec<OsString>,
}

impl Invocation {
    /// Reads the config and returns the context of the run.
    fn into_context(self) -> Result<Context> {
        Context::new(self.overrides, self.arguments)
    }

    /// Like [`Invocation::into_context`], but for a caller who may do nothing too.
    fn into_context_of_anybody(self) -> Result<Context> {
        Context::for_anybody(self.overrides, self.arguments)
    }

    /// Like [`Invocation::into_context`], but returns the error of a broken config beside the context.
    fn into_context_despite_config(self) -> Result<(Context, Option<anyhow::Error>)> {
        Context::new_despite_config(self.overrides, self.arguments)
    }
}

/// The limits of a command line that came from elsewhere.
struct CallLimits {
    /// What holds whatever the command line says.
    overrides: Overrides,
    /// Whether it may use a flag, by its long name.
    is_allowed: fn(&str) -> bool,
}

/// A command as the command line knows it.
struct CommandEntry {
    name: &'static str,
    define: fn(clap::Command) -> clap::Command,
    run: fn(&mut clap::ArgMatches, Invocation) -> Result<Exit>,
}

const fn command_entry<R: RunCommand>(name: &'static str) -> CommandEntry {
    CommandEntry {
        name,
        define: R::augment_args,
        run: |matches, call| match R::from_arg_matches_mut(matches) {
            Ok(command) => command.run(call),
            Err(error) => handle_parse_error(&error, &call.arguments),
        },
    }
}

/// Every command, in the order of help.
const COMMANDS: [CommandEntry; 24] = [
    command_entry::<ingest::IngestArgs>("ingest"),
    command_entry::<list::ListArgs>("list"),
    command_entry::<show::ShowArgs>("show"),
    command_entry::<search::SearchActorArgs>("search-actor"),
    command_entry::<search::SearchTargetArgs>("search-target"),
    command_entry::<export::ExportArgs>("export"),
    command_entry::<page::HtmlPageArgs>("page"),
    command_entry::<digest::DigestArgs>("digest"),
    command_entry::<mirror::MirrorArgs>("mirror"),
    command_entry::<alert::AlertArgs>("alert"),
    command_entry::<central::CentralArgs>("central"),
    command_entry::<sweep::SweepArgs>("sweep"),
    command_entry::<verify::VerifyArgs>("verify"),
    command_entry::<backup::BackupArgs>("backup"),
    command_entry::<actions::ActionsArgs>("actions"),
    command_entry::<stats::StatsArgs>("stats"),
    command_entry::<config::ConfigArgs>("config"),
    command_entry::<doctor::DoctorArgs>("doctor"),
    command_entry::<whoami::WhoamiArgs>("whoami"),
    command_entry::<gate::GateArgs>("gate"),
    command_entry::<complete::CompleteArgs>("complete"),
    command_entry::<completions::CompletionsArgs>("completions"),
    command_entry::<man::ManArgs>("man"),
    command_entry::<help::HelpArgs>("help"),
];

/// Reads the command line and runs the command.
///
/// # Errors
/// Any failure that ends the program with a message.
pub(crate) fn run() -> Result<Exit> {
    run_within(env::args_os().collect(), None)
}

/// Runs a command line, within the limits that another command sets.
fn run_within(arguments: Vec<OsString>, limits: Option<CallLimits>) -> Result<Exit> {
    let arguments = command_line::move_help_behind_command(arguments);
    let name = command_line::command_name(&arguments);
    let called = COMMANDS.iter().find(|entry| Some(entry.name) == name);
    let prepared = command_line::move_negated_terms_last(arguments.clone(), |flag| {
        called.is_some_and(|entry| takes_value(entry, flag))
    });
    let mut matches = match parse(called, &prepared) {
        Ok(matches) => matches,
        Err(error) => return handle_parse_error(&error, &arguments),
    };
    let overrides = match GlobalArgs::from_arg_matches_mut(&mut matches) {
        Ok(global) => global.into_overrides(),
        Err(error) => return handle_parse_error(&error, &arguments),
    };
    let (name, mut matches) = matches.remove_subcommand().expect("clap requires a command");
    let overrides = match limits {
        Some(limits) => {
            let mut typed = typed_flags(&name, &matches).into_iter();
            if let Some(flag) = typed.find(|flag| !(limits.is_allowed)(flag)) {
                let message = format!("--{flag} is not for this caller");
                return Err(Failure::new(Exit::NoPermission, message).into());
            }
            limits.overrides.or(overrides)
        }
        None => overrides,
    };
    let entry = COMMANDS.iter().find(|entry| entry.name == name).expect("clap knows only these");
    (entry.run)(&mut matches, Invocation { overrides, arguments })
}

/// Parses a command line. Where the command is known, it alone is defined, because building the others
/// would slow down a hook that records one event; help and errors know their names too.
fn parse(
    called: Option<&CommandEntry>,
    arguments: &[OsString],
) -> clap::error::Result<clap::ArgMatches> {
    if let Some(entry) = called {
        let command = program().subcommand((entry.define)(clap::Command::new(entry.name)));
        // It lives as long as the process: to take it apart at the end would be work for nothing.
        let command = Box::leak(Box::new(command));
        if let Ok(matches) = command.try_get_matches_from_mut(arguments) {
            return Ok(matches);
        }
    }
    definition(called).try_get_matches_from(arguments)
}

/// Returns the long names of the flags that stand on a command line.
fn typed_flags(command: &str, matches: &clap::ArgMatches) -> Vec<String> {
    let mut cli = definition(None);
    cli.build();
    let command = cli.find_subcommand(command).expect("clap knows only these");
    let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let typed = command.get_arguments().filter(|argument| is_typed(argument.get_id().as_str()));
    typed.filter_map(clap::Arg::get_long).map(str::to_owned).collect()
}

/// Returns the definition of the command line. With `only` it leaves out the flags of all other
/// commands.
fn definition(only: Option<&CommandEntry>) -> clap::Command {
    let commands = COMMANDS.iter().map(|entry| {
        let command = clap::Command::new(entry.name);
        let with_flags = only.is_none_or(|only| only.name == entry.name);
        if with_flags { (entry.define)(command) } else { command }
    });
    program().subcommands(commands)
}

/// Returns the definition of what stands before and beside all commands.
fn program() -> clap::Command {
    GlobalArgs::augment_args(clap::Command::new("activity"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .max_term_width(100)
        .after_help(TOPICS)
        .subcommand_required(true)
        .disable_help_subcommand(true)
}

/// Returns whether a flag of a command takes a value.
fn takes_value(entry: &CommandEntry, flag: &str) -> bool {
    let mut cli = definition(Some(entry));
    cli.build();
    let command = cli.find_subcommand(entry.name).expect("it was just defined");
    let is_named = |argument: &clap::Arg| {
        let long = argument.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
        long || argument.get_short().is_some_and(|short| flag == format!("-{short}"))
    };
    let mut arguments = command.get_arguments();
    arguments.any(|argument| argument.get_action().takes_values() && is_named(argument))
}

/// Prints the requested help, or returns the error of a command line that does not parse.
fn handle_parse_error(error: &clap::Error, arguments: &[OsString]) -> Result<Exit> {
    match args::classify_clap_error(error, command_line::command_name(arguments)) {
        CommandLineError::HelpOrVersion(text) => print_text(text.as_bytes()),
        CommandLineError::Invalid(failure) => Err(failure.into()),
    }
}

/// The names of the commands.
fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|entry| entry.name)
}

/// Looks at the definition of a command, or at that of the program.
fn with_definition<T>(name: Option<&str>, look: impl FnOnce(&clap::Command) -> T) -> T {
    let entry = COMMANDS.iter().find(|entry| Some(entry.name) == name);
    let mut cli = definition(entry);
    cli.build();
    let command = entry.and_then(|entry| cli.find_subcommand(entry.name));
    look(command.unwrap_or(&cli))
}

/// Prints the help of a command in full, or that of the program.
fn show_help(name: Option<&str>, arguments: &[OsString]) -> Result<Exit> {
    let line = std::iter::once("activity").chain(name).chain(std::iter::once("--help"));
    match definition(None).try_get_matches_from(line) {
        Err(error) => handle_parse_error(&error, arguments),
        Ok(_) => unreachable!("clap answers --help itself"),
    }
}

/// Prints a text about the program, such as help or completions.
fn print_text(text: &[u8]) -> Result<Exit> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(|error| {
        anyhow::Error::new(error).context(Failure::new(Exit::Io, "cannot write standard output"))
    })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        definition(None).debug_assert();
        for entry in &COMMANDS {
            definition(Some(entry)).debug_assert();
        }
    }

    #[test]
    fn every_command_has_help_with_two_examples() {
        let mut cli = definition(None);
        cli.build();
        for entry in &COMMANDS {
            let command = cli.find_subcommand_mut(entry.name).expect("it is in the table");
            assert!(command.get_about().is_some(), "{}", entry.name);
            let help = command.render_long_help().to_string();
            let examples: Vec<_> =
                help.lines().filter_map(|line| line.strip_prefix("  $ activity ")).collect();
            assert_eq!(examples.len(), 2, "{}: {examples:?}", entry.name);
            assert!(
                examples.iter().all(|example| example.starts_with(entry.name)),
                "{}: {examples:?}",
                entry.name
            );
        }
    }

    #[test]
    fn a_global_flag_stands_before_and_after_the_command() {
        for line in [["activity", "--db=x", "whoami"], ["activity", "whoami", "--db=x"]] {
            let matches = definition(None).try_get_matches_from(line).expect("it parses");
            let flags = GlobalArgs::from_arg_matches(&matches).expect("it was matched");
            assert_eq!(flags.into_overrides().db, Some("x".into()));
        }
    }
}
