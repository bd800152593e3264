//! What was typed: groups of flags that commands share, each turned once into plain values.
//!
//! Nothing below this layer sees `clap`. A command line that does not parse becomes a [`Failure`]
//! here, so it is told like any other.

pub(crate) mod event;
pub(crate) mod filter;
pub(crate) mod output;
pub(crate) mod page;
pub(crate) mod words;

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;

use crate::failure::{Exit, Failure};
use crate::settings::Color;
use crate::settings::Overrides;

/// The flags of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The log [default: /var/lib/activity/activity.db where it can be read, else your own]
    #[arg(long, global = true, value_name = "PATH")]
    db: Option<PathBuf>,
    /// The config [default: /etc/activity/config.toml, else your own]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// The time zone to read and show times in [default: the host's]
    #[arg(long, global = true, value_name = "ZONE")]
    tz: Option<String>,
    /// When to colour: auto, always or never [default: auto]
    #[arg(long, global = true, value_name = "WHEN", hide_possible_values = true)]
    color: Option<Color>,
    /// Print nothing on standard error when all is well
    #[arg(long, global = true)]
    quiet: bool,
    /// Print straight to the terminal, without a pager
    #[arg(long, global = true)]
    no_pager: bool,
}

impl GlobalArgs {
    pub(crate) fn overrides(self) -> Overrides {
        Overrides {
            db: self.db,
            config: self.config,
            tz: self.tz,
            color: self.color.unwrap_or_default(),
            quiet: self.quiet,
            no_pager: self.no_pager,
        }
    }
}

impl clap::ValueEnum for Color {
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

/// What to do with a command line that is no command: print what was asked for, or fail.
pub(crate) enum Refused {
    /// `--help` or `--version`: text for standard output.
    Asked(clap::builder::StyledStr),
    Wrong(Failure),
}

/// Puts the parser's error into our words: one line, and a next step.
pub(crate) fn refused(error: &clap::Error) -> Refused {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Refused::Asked(error.render());
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let what = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    let usage = || {
        let line = text.lines().find_map(|line| line.strip_prefix("Usage: "))?;
        let command = line.split(' ').take_while(|word| !word.starts_with(['[', '<', '-']));
        Some(command.collect::<Vec<_>>().join(" "))
    };
    let hint = match text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")) {
        Some(tip) => tip.to_owned(),
        None => format!("{} --help", usage().unwrap_or_else(|| "activity".to_owned())),
    };
    Refused::Wrong(Failure::new(Exit::Usage, what).hint(hint))
}
