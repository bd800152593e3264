//! Events as a table.

use std::io;
use std::io::Write;

use crate::event::Event;
use crate::render::Columns;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::fit;
use crate::render::fit::Give;
use crate::render::styled::Styled;
use crate::render::table;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::table::Side;

/// A table that can go on: the columns of what comes later are those of the first page, only wider
/// where they must be.
pub(crate) struct Listing<'a> {
    columns: &'a Columns,
    /// How wide each column would like to be; empty before the first page.
    natural: Vec<usize>,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(columns: &'a Columns) -> Self {
        Self { columns, natural: Vec::new() }
    }

    /// Writes the events, under a header if they are the first.
    pub(crate) fn write(
        &mut self,
        printer: &Printer<'_>,
        events: &[Event],
        labels: &Labels,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let columns = &self.columns.0;
        let mut rows: Vec<Vec<Styled>> = Vec::with_capacity(events.len() + 1);
        if self.natural.is_empty() {
            rows.push(columns.iter().map(|column| column.header()).collect());
            self.natural = vec![0; columns.len()];
        }
        rows.extend(events.iter().map(|event| {
            columns.iter().map(|column| column.cell(event, labels, printer)).collect()
        }));
        for row in &rows {
            for (natural, cell) in self.natural.iter_mut().zip(row) {
                *natural = cell.width().max(*natural);
            }
        }
        let look = &printer.look;
        let gives: Vec<Give> = columns.iter().map(|column| column.give).collect();
        let widths = fit::widths(&self.natural, &gives, GAP, look.width);
        let rows: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| {
                let kept = row.iter().zip(&widths);
                kept.filter_map(|(cell, width)| width.map(|width| vec![cell.cut(width, look)]))
                    .collect()
            })
            .collect();
        let shown = columns.iter().zip(&widths).filter(|(_, width)| width.is_some());
        let sides: Vec<Side> = shown.map(|(column, _)| column.side).collect();
        let widths: Vec<usize> = widths.into_iter().flatten().collect();
        printer.write_lines(&table::arrange(&rows, &sides, &widths), out)
    }
}
