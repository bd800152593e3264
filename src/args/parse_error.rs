//! The errors of a command line, in our own words: one line that names the flag, its value and what it
//! takes.

use std::error::Error as _;

use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::query;
use crate::text;

/// A command line that runs no command.
pub(crate) enum CommandLineError {
    /// `--help` or `--version`: text for standard output.
    HelpOrVersion(String),
    /// A mistake in the command line.
    Invalid(Failure),
}

/// Turns an error of the parser into one line and a hint. `command` is the name of the command.
pub(crate) fn classify_clap_error(error: &clap::Error, command: Option<&str>) -> CommandLineError {
    let help = || match command {
        Some(command) => format!("activity {command} --help"),
        None => "activity --help".to_owned(),
    };
    let (message, hint) = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return CommandLineError::HelpOrVersion(error.render().to_string());
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ("no command is given".to_owned(), None)
        }
        ErrorKind::InvalidSubcommand => {
            let name = first(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            let message = format!("there is no command {}", quoted(name));
            let near = first(error, ContextKind::SuggestedSubcommand).map(did_you_mean);
            (message, Some(near.unwrap_or_else(|| "activity --help".to_owned())))
        }
        ErrorKind::UnknownArgument => {
            let word = first(error, ContextKind::InvalidArg).unwrap_or_default();
            if word.starts_with('-') {
                let suggested = first(error, ContextKind::SuggestedArg);
                (format!("there is no option {word}"), nearest_option(word, suggested))
            } else {
                (format!("{} is a word too many", quoted(word)), None)
            }
        }
        ErrorKind::InvalidValue => describe_invalid_value(error),
        ErrorKind::ValueValidation => {
            let flag = flag_name(first(error, ContextKind::InvalidArg).unwrap_or_default());
            let value = first(error, ContextKind::InvalidValue).unwrap_or_default();
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            // Most readers of values quote the value themselves.
            let message = if why.starts_with('"') {
                format!("{flag}: {why}")
            } else {
                format!("{flag}: {} is {why}", quoted(value))
            };
            (message, None)
        }
        ErrorKind::ArgumentConflict => (describe_conflict(error), None),
        ErrorKind::MissingRequiredArgument => {
            let missing = all(error, ContextKind::InvalidArg);
            let missing: Vec<_> = missing.into_iter().map(bare).collect();
            let command = command.unwrap_or("activity");
            (format!("{command} needs {}", missing.join(" and ")), None)
        }
        ErrorKind::TooManyValues => {
            let flag = flag_name(first(error, ContextKind::InvalidArg).unwrap_or_default());
            (format!("{flag} takes no value"), None)
        }
        ErrorKind::InvalidUtf8 => ("an argument is not UTF-8".to_owned(), None),
        // No argument of ours is defined so that it could end here.
        _ => ("the command line cannot be read".to_owned(), None),
    };
    CommandLineError::Invalid(Failure::new(Exit::Usage, message).hint(hint.unwrap_or_else(help)))
}

/// Describes a value that is none of those that a flag takes, or that is missing.
fn describe_invalid_value(error: &clap::Error) -> (String, Option<String>) {
    let argument = first(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = first(error, ContextKind::InvalidValue).unwrap_or_default();
    let possible = all(error, ContextKind::ValidValue);
    if value.is_empty() && possible.is_empty() {
        return (format!("{} needs a value", bare(argument)), None);
    }
    let flag = flag_name(argument);
    let message = if value.is_empty() {
        format!("{flag} needs a value: {}", possible.join(", "))
    } else {
        format!("{flag}: {} is none of {}", quoted(value), possible.join(", "))
    };
    (message, text::nearest(value, possible.iter().copied()).map(did_you_mean))
}

/// Describes flags that exclude one another, or one that was given twice.
fn describe_conflict(error: &clap::Error) -> String {
    let flag = flag_name(first(error, ContextKind::InvalidArg).unwrap_or_default());
    let others: Vec<_> = all(error, ContextKind::PriorArg).into_iter().map(flag_name).collect();
    match others[..] {
        [] => format!("{flag} does not go with the other flags"),
        [other] if other == flag => format!("{flag} is given twice"),
        _ => format!("{flag} does not go with {}", others.join(", ")),
    }
}

/// The texts of a part of an error.
fn all(error: &clap::Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text],
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        Some(_) | None => Vec::new(),
    }
}

fn first(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    all(error, kind).first().copied()
}

/// Returns an argument as the parser writes it without the signs around its value: `--limit N`.
fn bare(argument: &str) -> String {
    argument.trim_end_matches("...").replace(['<', '>', '[', ']'], "")
}

/// Returns the name of an argument alone: `--limit`.
fn flag_name(argument: &str) -> &str {
    let name = argument.split([' ', '=', '[']).next().unwrap_or_default();
    let name = if name.is_empty() { argument } else { name };
    name.trim_matches(['<', '>', '[', ']', '.'])
}

fn quoted(word: &str) -> String {
    format!("\"{}\"", text::escape(word))
}

fn did_you_mean(word: &str) -> String {
    format!("did you mean {word}?")
}

/// Returns the qualifier or the flag that an unknown option was probably meant to be.
fn nearest_option(option: &str, suggested: Option<&str>) -> Option<String> {
    let name = option.trim_start_matches('-');
    if name.len() > 1
        && let Some(qualifier) = query::find_qualifier(name)
    {
        return Some(match qualifier.flag {
            Some(flag) => format!("did you mean --{flag}?"),
            None => {
                let (name, value) = (qualifier.name, qualifier.value_name);
                format!("it is a qualifier of the query: {name}:{value}")
            }
        });
    }
    suggested.map(did_you_mean)
}
