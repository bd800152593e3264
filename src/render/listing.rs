//! Events as a table.

use std::io;
use std::io::Write;

use crate::event::Event;
use crate::event::EventPlace;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::TableColumns;
use crate::render::column_widths;
use crate::render::column_widths::Flexibility;
use crate::render::column_widths::Shrinking;
use crate::render::columns::TableColumn;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::theme::TextStyle;

/// A table that can be continued: later events keep the column widths of the earlier ones, or wider.
pub(crate) struct EventTable<'a> {
    columns: &'a TableColumns,
    has_header: bool,
    /// The widest cell of each column so far; empty before the first events.
    natural_widths: Vec<usize>,
    /// The names of the columns that have something to tell.
    shown: Vec<&'static str>,
    /// The event to mark.
    marked: Option<EventPlace>,
}

impl<'a> EventTable<'a> {
    pub(crate) fn new(columns: &'a TableColumns) -> Self {
        let (natural_widths, shown) = (Vec::new(), Vec::new());
        Self { columns, has_header: true, natural_widths, shown, marked: None }
    }

    /// Leaves out the names of the columns.
    #[must_use]
    pub(crate) fn without_header(mut self) -> Self {
        self.has_header = false;
        self
    }

    /// Marks one event among those around it.
    #[must_use]
    pub(crate) fn with_mark(mut self, event: EventPlace) -> Self {
        self.marked = Some(event);
        self
    }

    /// Writes the events, below a header if they are the first.
    pub(crate) fn write(
        &mut self,
        printer: &Printer<'_>,
        events: &[Event],
        labels: &Labels,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let is_told = |column: &&TableColumn| {
            let may_go = column.is_title() && column.is_optional();
            !(may_go && events.iter().all(|event| column.repeats_request(event)))
        };
        let columns: Vec<&TableColumn> = if self.natural_widths.is_empty() {
            self.columns.0.iter().filter(is_told).collect()
        } else {
            self.columns.0.iter().filter(|column| self.shown.contains(&column.name())).collect()
        };
        self.shown = columns.iter().map(|column| column.name()).collect();
        let mut rows: Vec<Vec<StyledText>> = Vec::with_capacity(events.len() + 1);
        if self.natural_widths.is_empty() {
            if self.has_header {
                rows.push(columns.iter().map(|column| column.header()).collect());
            }
            self.natural_widths = vec![0; columns.len()];
        }
        rows.extend(events.iter().map(|event| {
            columns.iter().map(|column| column.cell(event, labels, printer)).collect()
        }));
        if let Some(marked) = &self.marked {
            let header_rows = rows.len() - events.len();
            let places = std::iter::repeat_n(None, header_rows)
                .chain(events.iter().map(|event| Some(event.place())));
            for (row, place) in rows.iter_mut().zip(places) {
                mark_row(row, place.as_ref() == Some(marked), printer);
            }
        }
        for row in &rows {
            for (natural, cell) in self.natural_widths.iter_mut().zip(row) {
                *natural = cell.width().max(*natural);
            }
        }
        // A header alone is no reason for a column of the remainder.
        for (natural, column) in self.natural_widths.iter_mut().zip(&columns) {
            if column.flexibility.shrinking == Shrinking::Remainder
                && events.iter().all(|event| column.cell(event, labels, printer).is_empty())
                && *natural <= column.header().width()
            {
                *natural = 0;
            }
        }
        let display = &printer.display;
        let flexibilities: Vec<Flexibility> =
            columns.iter().map(|column| column.flexibility).collect();
        let widths =
            column_widths::fit_columns(&self.natural_widths, &flexibilities, GAP, display.width);
        let rows: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| {
                let kept = row.iter().zip(&widths);
                kept.filter_map(|(cell, width)| width.map(|width| vec![cell.cut(width, display)]))
                    .collect()
            })
            .collect();
        let shown = columns.iter().zip(&widths).filter(|(_, width)| width.is_some());
        let alignments: Vec<Alignment> = shown.map(|(column, _)| column.alignment).collect();
        let widths: Vec<usize> = widths.into_iter().flatten().collect();
        printer.write_lines(&table::arrange(&rows, &alignments, &widths), out)
    }
}

/// Puts a mark before a row, or the room of one.
fn mark_row(row: &mut [StyledText], is_marked: bool, printer: &Printer<'_>) {
    let Some(first) = row.first_mut() else { return };
    let mark = if is_marked { printer.display.row_mark() } else { " " };
    let mut marked = StyledText::own(TextStyle::Heading, mark);
    marked.push(TextStyle::Plain, " ");
    marked.append(&if is_marked { first.restyled(TextStyle::Heading) } else { first.clone() });
    *first = marked;
}
