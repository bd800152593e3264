//! Groups of flags that commands share, each turned once into plain values.
//!
//! Nothing below this layer sees `clap`. A command line that does not parse becomes a
//! [`Failure`](crate::failure::Failure) here, so it is printed like any other.

pub(crate) mod command_line;
pub(crate) mod event;
pub(crate) mod filter;
pub(crate) mod output;
pub(crate) mod page;
mod parse_error;

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::PossibleValue;

use crate::settings::Colour;
use crate::settings::Overrides;
use crate::text;

pub(crate) use crate::args::parse_error::CommandLineError;
pub(crate) use crate::args::parse_error::classify_clap_error;

/// The flags of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The log [default: /var/lib/activity/activity.db if you can read it, else your own], or the address
    /// of a central store to read: postgres://USER@HOST/DATABASE or clickhouse+https://USER@HOST:PORT
    #[arg(long, global = true, value_name = "PATH|URL")]
    db: Option<PathBuf>,
    /// Read the central store of the config, with the logs of many hosts
    #[arg(long, global = true, conflicts_with = "db")]
    central: bool,
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
            central: self.central,
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

/// Returns a text from a table with a capital, as the help of a flag begins.
fn capitalize(about: &str) -> String {
    let mut letters = about.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Reads a number that a flag takes.
///
/// # Errors
/// What is understood.
pub(crate) fn parse_count<N: FromStr>(text: &str) -> Result<N, String> {
    // A sign is read by the standard library, and is nothing that a person means.
    let number = text.parse().ok().filter(|_| !text.starts_with('+'));
    number.ok_or_else(|| format!("\"{}\" is no number from 1 on", text::escape(text)))
}
