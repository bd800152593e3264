//! The table of events that a sweep would remove.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::theme::TextStyle;
use crate::text;

/// The events of one action that one rule would remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepPreviewRow {
    pub action: String,
    pub count: u64,
    /// The rule that decides: `cron.* 30d`.
    pub rule: String,
}

const HEADERS: [&str; 3] = ["ACTION", "EVENTS", "RULE"];

impl Printer<'_> {
    /// Writes the rows in the given order, then their total out of all `events`, then the number of events
    /// that are held for mirrors.
    pub(crate) fn write_sweep_preview(
        &self,
        rows: &[SweepPreviewRow],
        held: u64,
        events: u64,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let header = HEADERS.map(|header| vec![StyledText::own(TextStyle::Heading, header)]);
        let mut table_rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        table_rows.extend(rows.iter().map(|row| {
            vec![
                vec![StyledText::foreign(TextStyle::Plain, &row.action)],
                vec![StyledText::plain(&text::format_thousands(row.count))],
                vec![StyledText::foreign(TextStyle::Plain, &row.rule)],
            ]
        }));
        let total = rows.iter().map(|row| row.count).sum();
        table_rows.push(vec![
            vec![StyledText::own(TextStyle::Heading, "total")],
            vec![StyledText::plain(&text::format_thousands(total))],
            vec![StyledText::plain(&format!("of {} events", text::format_thousands(events)))],
        ]);
        if held > 0 {
            table_rows.push(vec![
                vec![StyledText::own(TextStyle::Heading, "held")],
                vec![StyledText::plain(&text::format_thousands(held))],
                vec![StyledText::plain("kept for mirrors")],
            ]);
        }
        let alignments = [Alignment::Left, Alignment::Right, Alignment::Left];
        self.write_lines(&table::arrange(&table_rows, &alignments, &[0; 3]), out)
    }
}
