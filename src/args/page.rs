//! The part of a listing to show, and its order.

use std::num::NonZeroU64;

use anyhow::Result;

use crate::args::parse_count;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::render;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::PageRequest;

const DEFAULT_LIMIT: u64 = 50;

/// The flags that choose a page.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Paging")]
pub(crate) struct PageArgs {
    /// Show at most N events [default: 50]
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count::<NonZeroU64>, allow_negative_numbers = true)]
    limit: Option<NonZeroU64>,
    /// Show the Nth page
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "after",
        value_parser = parse_count::<NonZeroU64>,
        allow_negative_numbers = true
    )]
    page: Option<NonZeroU64>,
    /// Continue after this row, named by its OCCURRED_AT,ID
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Sort by a field or a column, in descending order unless FIELD:asc
    #[arg(long, value_name = "FIELD")]
    sort: Option<String>,
    /// Show the rows in the opposite order
    #[arg(short, long)]
    reverse: bool,
}

/// The way to the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// By the cursor of its last row.
    AfterCursor,
    /// By number, because a cursor means nothing in this order.
    Number(u64),
}

impl PageArgs {
    /// Returns the number of events to show at most; `default` if no flag says it.
    pub(crate) fn limit(&self, default: u64) -> u64 {
        self.limit.map_or(default, NonZeroU64::get)
    }

    /// Returns the requested page, and the way to the next one.
    ///
    /// # Errors
    /// [`Exit::Usage`]: an unknown field, an invalid cursor, or a cursor with an order in which it means
    /// nothing.
    pub(crate) fn page(&self) -> Result<(PageRequest<'_>, NextPage)> {
        let order = self.order()?;
        let limit = self.limit(DEFAULT_LIMIT);
        let number = self.page.map_or(1, NonZeroU64::get);
        let after = self.after.as_deref().map(parse_cursor).transpose()?;
        let next = match order {
            Order::NewestFirst | Order::OldestFirst => NextPage::AfterCursor,
            Order::ByField { .. } => NextPage::Number(number.saturating_add(1)),
        };
        if after.is_some() && next != NextPage::AfterCursor {
            let sort = self.sort.as_deref().unwrap_or_default();
            return Err(Failure::new(
                Exit::Usage,
                format!("--after does not go with --sort {sort}"),
            )
            .hint("--page N shows another page in this order")
            .into());
        }
        let page = PageRequest {
            order,
            after,
            skip: (number - 1).saturating_mul(limit),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            up_to: None,
        };
        Ok((page, next))
    }

    fn order(&self) -> Result<Order> {
        let sort = self.sort.as_deref().unwrap_or("occurred_at");
        let (name, direction) = sort.split_once(':').unwrap_or((sort, "desc"));
        let ascending = match direction.to_ascii_lowercase().as_str() {
            "asc" => true,
            "desc" => false,
            _ => {
                let message = format!("--sort: {direction:?} is neither asc nor desc");
                return Err(Failure::new(Exit::Usage, message).into());
            }
        };
        Ok(match (render::sort_field(name)?, ascending != self.reverse) {
            ("occurred_at", true) => Order::OldestFirst,
            ("occurred_at", false) => Order::NewestFirst,
            (field, ascending) => Order::ByField { field, ascending },
        })
    }
}

fn parse_cursor(text: &str) -> Result<Cursor<'_>> {
    Cursor::parse(text).map_err(|why| {
        Failure::new(Exit::Usage, format!("--after: {why}"))
            .hint("a cursor is OCCURRED_AT,ID of the last row, like 2026-11-19T04:12:09.5Z,48163")
            .into()
    })
}
