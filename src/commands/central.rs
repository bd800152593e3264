use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::context::Context;
use crate::failure::Exit;
use crate::store::central::Dropping;
use crate::store::central::InitOptions;
use crate::store::central::SweptMonth;
use crate::text;
use crate::time::Span;

const EXAMPLES: &str = "\
Examples:
  Print the statements that make the store, for an administrator who runs them:
  $ activity central sql --roles --db postgres://db/activity

  The same, where each reader sees the tenants that are theirs:
  $ activity central sql --roles --row-security --db postgres://db/activity";

/// Make and sweep the central store of many hosts
///
/// The store is the one that --db or --central names, else `central` of the config, else that of its one
/// mirror of type postgres or clickhouse. Nothing here touches the log of this host.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CentralArgs {
    #[command(subcommand)]
    action: CentralAction,
}

#[derive(clap::Subcommand)]
enum CentralAction {
    /// Make the tables and the coming months; what is there stays
    Init(InitArgs),
    /// Print the statements of `central init`
    Sql(InitArgs),
    /// Drop whole months of which no host keeps anything
    Sweep {
        /// Keep the months of the last DURATION: 400d, 3y
        #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
        keep: Span,
        /// Only say which months would go
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(clap::Args)]
struct InitArgs {
    /// Make the roles `mirror`, which adds and compares, and `reader`, which reads
    #[arg(long)]
    roles: bool,
    /// Show a reader only the tenants that the table `reader` gives it; with --roles
    #[arg(long, requires = "roles")]
    row_security: bool,
    /// Make the months of the last DURATION too, for logs that are older than their mirrors: 1y
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    back: Option<Span>,
}

impl InitArgs {
    fn options(&self) -> InitOptions {
        InitOptions {
            roles: self.roles,
            secure_rows: self.row_security,
            back: self.back.unwrap_or_default(),
        }
    }
}

impl RunCommand for CentralArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        match self.action {
            CentralAction::Init(init) => {
                context.log().init_store(init.options())?;
                context.output.note("the tables and the coming months are there");
            }
            CentralAction::Sql(init) => {
                let statements = context.log().store_statements(init.options())?;
                context.output.print(statements.as_bytes())?;
            }
            CentralAction::Sweep { keep, dry_run } => {
                let dropping = if dry_run { Dropping::Try } else { Dropping::Drop };
                let months = context.log().sweep_store(keep, dropping)?;
                print_months(context, &months, dropping)?;
            }
        }
        Ok(Exit::Success)
    }
}

/// Prints a line for each month: that it went, or who keeps it.
fn print_months(context: &Context, months: &[SweptMonth], dropping: Dropping) -> Result<()> {
    let verb = match dropping {
        Dropping::Try => "would be dropped",
        Dropping::Drop => "dropped",
    };
    let mut lines = String::new();
    for month in months {
        let events = text::plural(month.events, "event");
        let keepers = month.keepers.iter().map(|(host, kept)| {
            format!("{} keeps {}", text::escape(host), text::plural(*kept, "event"))
        });
        let keepers = keepers.collect::<Vec<_>>().join(", ");
        let (year, number) = month.name.split_at_checked(4).unwrap_or((&month.name, ""));
        let line = match month.keepers.is_empty() {
            true => format!("{year}-{number}: {verb}, {events}\n"),
            false => format!("{year}-{number}: kept: {keepers}\n"),
        };
        lines.push_str(&line);
    }
    if months.is_empty() {
        context.output.note("no month is so old");
    }
    context.output.print(lines.as_bytes())
}
