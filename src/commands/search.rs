use anyhow::Result;

use crate::args::filter::FilterArgs;
use crate::args::output::OutputArgs;
use crate::args::page::PageArgs;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::listing::ListingMode;
use crate::commands::listing::ListingRequest;
use crate::commands::search_summary::SubjectSearch;
use crate::context::Context;
use crate::failure::Exit;
use crate::query::Query;
use crate::render::SearchSubject;

const ACTOR_EXAMPLES: &str = "\
Examples:
  Everything that Jerome Cruz ever did, also as somebody else:
  $ activity search-actor 'Jerome Cruz'

  What the user with the id 3 deleted:
  $ activity search-actor 3 'action:*.delete'";

const TARGET_EXAMPLES: &str = "\
Examples:
  The history of one user's record:
  $ activity search-target user/17

  The history of a page, found by its slug, oldest first:
  $ activity search-target spring-launch --sort when:asc";

/// Show everything that one person did, also while impersonating somebody else
///
/// A summary above the table says how many events, from when to when, under which labels and ids.
#[derive(clap::Args)]
#[command(after_long_help = ACTOR_EXAMPLES)]
pub(crate) struct SearchActorArgs {
    /// The exact id, or the label in any case; * matches any text
    #[arg(value_name = "ACTOR")]
    actor: String,
    #[command(flatten)]
    rest: SearchArgs,
}

/// Show the full history of one record
///
/// A summary above the table says how many events, from when to when, and by whom.
#[derive(clap::Args)]
#[command(after_long_help = TARGET_EXAMPLES)]
pub(crate) struct SearchTargetArgs {
    /// The exact id or slug, or the label in any case; TYPE/ID if an id alone is ambiguous
    #[arg(value_name = "[TYPE/]ID")]
    target: String,
    #[command(flatten)]
    rest: SearchArgs,
}

#[derive(clap::Args)]
struct SearchArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    page: PageArgs,
}

impl RunCommand for SearchActorArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        self.rest.run(context, SearchSubject::Actor, &self.actor, Query::for_person(&self.actor))
    }
}

impl RunCommand for SearchTargetArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        self.rest.run(context, SearchSubject::Target, &self.target, Query::for_target(&self.target))
    }
}

impl SearchArgs {
    fn run(
        &self,
        context: &Context,
        subject: SearchSubject,
        search_term: &str,
        subject_query: Query,
    ) -> Result<Exit> {
        let zone = context.zone()?;
        let filter = self.filter.query(&context.clock(&zone), &context.settings.config.queries)?;
        ListingRequest {
            query: subject_query.clone().and(filter),
            filter: &self.filter,
            search: Some(SubjectSearch {
                subject,
                search_term,
                subject_query,
                has_filter: !self.filter.is_empty(),
            }),
            mode: ListingMode::Page,
            output: &self.output,
            page: &self.page,
        }
        .run(context, &zone)
    }
}
