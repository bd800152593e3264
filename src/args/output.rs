//! The form of a listing.

use anyhow::Result;
use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::event::field::FIELDS;
use crate::event::field::Field;
use crate::render;
use crate::render::TableColumns;
use crate::render::TableView;
use crate::render::TimeDisplay;

/// The flags that choose the form.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Show the columns of a view: activity or http
    #[arg(long, value_name = "VIEW", hide_possible_values = true)]
    view: Option<TableView>,
    /// Show these columns; +NAME,… adds them to those of the view
    #[arg(long, value_name = "NAMES", allow_hyphen_values = true)]
    columns: Option<String>,
    /// The form of the output: table, json (JSON Lines) or csv [default: table]
    #[arg(long, value_name = "FORM", hide_possible_values = true)]
    output: Option<OutputFormat>,
    /// Print JSON Lines, the same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Leave out the row with the names of the columns, in tables and CSV
    #[arg(long)]
    no_header: bool,
    /// Print the number of matching events alone
    #[arg(
        long,
        conflicts_with_all = [
            "output", "json", "columns", "view", "page", "after", "sort", "limit", "reverse",
        ]
    )]
    count: bool,
    /// Show times relative, local or utc [default: relative on a terminal, else exact]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    time: Option<TimeDisplayArg>,
}

/// The form of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    #[default]
    Table,
    Json,
    Csv,
}

/// The values of `--time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeDisplayArg {
    Relative,
    Local,
    Utc,
}

impl OutputArgs {
    pub(crate) fn format(&self) -> OutputFormat {
        if self.json { OutputFormat::Json } else { self.output.unwrap_or_default() }
    }

    /// Whether only the number of events is asked for.
    pub(crate) fn is_count(&self) -> bool {
        self.count
    }

    /// Whether the names of the columns stand above them.
    pub(crate) fn has_header(&self) -> bool {
        !self.no_header
    }

    /// Whether a flag says which columns the table has.
    pub(crate) fn has_columns(&self) -> bool {
        self.columns.as_ref().is_some_and(|names| !names.trim_start().starts_with('+'))
    }

    /// Returns the columns of the table.
    ///
    /// # Errors
    /// [`Exit::Usage`](crate::failure::Exit::Usage): an unknown column.
    pub(crate) fn columns(&self) -> Result<TableColumns> {
        let view = self.view.unwrap_or_default();
        match &self.columns {
            Some(names) => TableColumns::parse(names, view),
            None => Ok(TableColumns::from_view(view)),
        }
    }

    /// Returns the fields of JSON and CSV: those of the columns that a flag names, else all.
    ///
    /// # Errors
    /// [`Exit::Usage`](crate::failure::Exit::Usage): an unknown column.
    pub(crate) fn fields(&self) -> Result<Vec<&'static Field>> {
        match &self.columns {
            Some(names) => render::selected_fields(names),
            None => Ok(FIELDS.iter().collect()),
        }
    }

    /// Returns how to write times, if a flag says it.
    pub(crate) fn time_display(&self) -> Option<TimeDisplay> {
        self.time.map(|time| match time {
            TimeDisplayArg::Relative => TimeDisplay::Relative,
            TimeDisplayArg::Local => TimeDisplay::Local,
            TimeDisplayArg::Utc => TimeDisplay::Utc,
        })
    }
}

impl ValueEnum for TableView {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Activity, Self::Http]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Activity => "activity",
            Self::Http => "http",
        }))
    }
}
