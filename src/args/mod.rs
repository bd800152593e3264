//! Groups of flags that commands share, each turned once into plain values.
//!
//! Nothing below this layer sees `clap`. A command line that does not parse becomes a [`Failure`] here,
//! so it is printed like any other.

pub(crate) mod command_line;
pub(crate) mod event;
pub(crate) mod filter;
pub(crate) mod output;
pub(crate) mod page;

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::query;
use crate::settings::Colour;
use crate::settings::Overrides;

/// The flags of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The log [default: /var/lib/activity/activity.db if you can read it, else your own]
    #[arg(long, global = true, value_name = "PATH")]
    db: Option<PathBuf>,
    /// The config [default: /etc/activity/config.toml, else your own]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// The time zone to read and show times in [default: the host's]
    #[arg(long, global = true, value_name = "ZONE")]
    tz: Option<String>,
    /// When to use colour: auto, always or never [default: auto]
    #[arg(long, global = true, value_name = "WHEN", hide_possible_values = true)]
    color: Option<Colour>,
    /// Print nothing on standard error when all is well
    #[arg(long, global = true)]
    quiet: bool,
    /// Print directly to the terminal, without a pager
    #[arg(long, global = true)]
    no_pager: bool,
}

impl GlobalArgs {
    pub(crate) fn into_overrides(self) -> Overrides {
        Overrides {
            db: self.db,
            config: self.config,
            tz: self.tz,
            colour: self.color.unwrap_or_default(),
            quiet: self.quiet,
            no_pager: self.no_pager,
            role: None,
        }
    }
}

impl clap::ValueEnum for Colour {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Always, Self::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }))
    }
}

/// A command line that runs no command.
pub(crate) enum CommandLineError {
    /// `--help` or `--version`: text for standard output.
    HelpOrVersion(String),
    /// A mistake in the command line.
    Invalid(Failure),
}

/// Turns an error of the parser into one line and a hint. `command` is the name of the command.
pub(crate) fn classify_clap_error(error: &clap::Error, command: Option<&str>) -> CommandLineError {
    let text = error.render().to_string();
    let help = || match command {
        Some(command) => format!("activity {command} --help"),
        None => "activity --help".to_owned(),
    };
    let failure = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return CommandLineError::HelpOrVersion(text);
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Failure::new(Exit::Usage, "no command is given").hint(help())
        }
        ErrorKind::InvalidSubcommand => {
            let failure = Failure::new(Exit::Usage, first_paragraph(&text));
            failure.hint(tip(&text).unwrap_or("activity --help").to_owned())
        }
        ErrorKind::UnknownArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) if option.starts_with('-') => {
                let message = format!("there is no option {option}");
                let suggested = error.get(ContextKind::SuggestedArg);
                Failure::new(Exit::Usage, message)
                    .hint(nearest_option(option, suggested).unwrap_or_else(help))
            }
            _ => Failure::new(Exit::Usage, first_paragraph(&text)).hint(help()),
        },
        _ => {
            let failure = Failure::new(Exit::Usage, first_paragraph(&text));
            failure.hint(tip(&text).map_or_else(help, str::to_owned))
        }
    };
    CommandLineError::Invalid(failure)
}

/// Returns the qualifier or the flag that an unknown option was probably meant to be.
fn nearest_option(option: &str, suggested: Option<&ContextValue>) -> Option<String> {
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
    match suggested {
        Some(ContextValue::String(flag)) => Some(format!("did you mean {flag}?")),
        Some(_) | None => None,
    }
}

/// Returns a text from a table with a capital, as the help of a flag begins.
fn capitalize(about: &str) -> String {
    let mut letters = about.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Returns the text up to the first empty line, joined to one line: the names of missing arguments
/// stand on lines of their own.
fn first_paragraph(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the tip in an error of the parser.
fn tip(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix("tip: "))
}
