use std::io::Write;

use anyhow::Result;

use crate::context::Context;
use crate::failure::Exit;
use crate::query::Query;
use crate::render;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  What this log knows, the most frequent first:
  $ activity actions

  The actions that came less than ten times:
  $ activity actions --json | jq -r 'select(.count < 10).action'";

/// List the actions that the log knows: how many of each, when last, and how often of late
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ActionsArgs {
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}
