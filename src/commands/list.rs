use std::num::NonZeroU64;

use anyhow::Result;

use crate::args::filter::FilterArgs;
use crate::args::output::OutputArgs;
use crate::args::page::PageArgs;
use crate::commands::listing::{ListingMode, ListingRequest};
use crate::commands::{Invocation, RunCommand};
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  What people did since yesterday, without the machines:
  $ activity list since:yesterday -is:system

  The sign-ins that failed in the last week, with address and status:
  $ activity list 'action:auth.*' is:failed --days 7 --columns +ip,status";

/// Show events, newest first
///
/// Without a filter this shows the newest 50. Filters narrow; the same filter given twice widens.
/// Words are looked for in the labels of actor and target and in the title.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    page: PageArgs,
    /// Show the newest 10, then what arrives, in order of arrival
    #[arg(long, help_heading = "Paging", conflicts_with_all = ["page", "after", "sort", "around"])]
    follow: bool,
    /// Show what happened around an event, oldest first: 5 before and after, or --limit each
    #[arg(
        long,
        value_name = "ID",
        help_heading = "Paging",
        conflicts_with_all = ["page", "after", "sort"]
    )]
    around: Option<NonZeroU64>,
}

impl RunCommand for ListArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let zone = context.zone()?;
        let query = self.filter.query(&context.clock(&zone))?;
        let mode = match self.around {
            _ if self.follow => ListingMode::Follow,
            Some(id) => ListingMode::Around(id),
            None => ListingMode::Page,
        };
        ListingRequest { query, search: None, mode, output: &self.output, page: &self.page }
            .run(context, &zone)
    }
}
