//! Events as a table.

use std::io;
use std::io::Write;

use crate::event::Event;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::TableColumns;
use crate::render::column_widths;
use crate::render::column_widths::Flexibility;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::table::GAP;

/// A table that can be continued: later events keep the column widths of the earlier ones, or wider.
pub(crate) struct EventTable<'a> {
    columns: &'a TableColumns,
    /// The widest cell of each column so far; empty before the first events.
    natural_widths: Vec<usize>,
}

impl<'a> EventTable<'a> {
    pub(crate) fn new(columns: &'a TableColumns) -> Self {
        Self { columns, natural_widths: Vec::new() }
    }

    /// Writes the events, below a header if they are the first.
    pub(crate) fn write(
        &mut self,
        printer: &Printer<'_>,
        events: &[Event],
        labels: &Labels,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let columns = &self.columns.0;
        let mut rows: Vec<Vec<StyledText>> = Vec::with_capacity(events.len() + 1);
        if self.natural_widths.is_empty() {
            rows.push(columns.iter().map(|column| column.header()).collect());
            self.natural_widths = vec![0; columns.len()];
        }
        rows.extend(events.iter().map(|event| {
            columns.iter().map(|column| column.cell(event, labels, printer)).collect()
        }));
        for row in &rows {
            for (natural, cell) in self.natural_widths.iter_mut().zip(row) {
                *natural = cell.width().max(*natural);
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
