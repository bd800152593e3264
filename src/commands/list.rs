use anyhow::Result;

use crate::args::filter::FilterArgs;
use crate::args::output::OutputArgs;
use crate::args::page::PageArgs;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::listing::ListingMode;
use crate::commands::listing::ListingRequest;
use crate::event::EventPlace;
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  The events since yesterday, without those of the system:
  $ activity list since:yesterday -is:system

  The failed sign-ins of the last week, with address and status:
  $ activity list 'action:auth.*' is:failed --days 7 --columns +ip,status";

/// Show events, newest first
///
/// Without a filter it shows the newest 50 events. Different filters narrow the result; the same filter
/// given twice widens it. Words are searched for in the labels of actor and target and in the title.
#[derive(clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    page: PageArgs,
    /// Show the newest 10 events, then each new event when it is recorded
    #[arg(
        short,
        long,
        help_heading = "Paging",
        conflicts_with_all = ["page", "after", "sort", "around", "reverse", "count"]
    )]
    follow: bool,
    /// Show the events around an event, oldest first: 5 before and 5 after, or --limit on each side
    #[arg(
        long,
        value_name = "ID",
        value_parser = parse_place,
        help_heading = "Paging",
        conflicts_with_all = ["page", "after", "sort", "reverse", "count"]
    )]
    around: Option<EventPlace>,
}

impl RunCommand for ListArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let zone = context.zone()?;
        let query = self.filter.query(&context.clock(&zone), &context.settings.config.queries)?;
        let mode = match &self.around {
            _ if self.follow => ListingMode::Follow,
            Some(place) => ListingMode::Around(place.clone()),
            None => ListingMode::Page,
        };
        ListingRequest {
            query,
            filter: &self.filter,
            search: None,
            mode,
            output: &self.output,
            page: &self.page,
        }
        .run(context, &zone)
    }
}

fn parse_place(text: &str) -> Result<EventPlace, String> {
    let place = EventPlace::parse(text).filter(|place| place.id.0 > 0);
    place.ok_or_else(|| "not an id like 17, or web3/17 in a central store".to_owned())
}
