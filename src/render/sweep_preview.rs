//! What a sweep would remove.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::theme::TextStyle;
use crate::text;

/// Events of one action that would go by one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepPreviewRow {
    pub action: String,
    pub count: u64,
    /// What decides on them: `cron.* 30d`.
    pub rule: String,
}

const HEADERS: [&str; 3] = ["ACTION", "EVENTS", "RULE"];

impl Printer<'_> {
    /// Writes what would go, in the order in which it comes, and how many of all events that is; then
    /// how many are held for mirrors.
    pub(crate) fn write_sweep_preview(
        &self,
        doomed: &[SweepPreviewRow],
        held: u64,
        events: u64,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let header = HEADERS.map(|header| vec![StyledText::own(TextStyle::Heading, header)]);
        let mut rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        rows.extend(doomed.iter().map(|doomed| {
            vec![
                vec![StyledText::foreign(TextStyle::Plain, &doomed.action)],
                vec![StyledText::plain(&text::format_thousands(doomed.count))],
                vec![StyledText::foreign(TextStyle::Plain, &doomed.rule)],
            ]
        }));
        let total = doomed.iter().map(|doomed| doomed.count).sum();
        rows.push(vec![
            vec![StyledText::own(TextStyle::Heading, "total")],
            vec![StyledText::plain(&text::format_thousands(total))],
            vec![StyledText::plain(&format!("of {} events", text::format_thousands(events)))],
        ]);
        if held > 0 {
            rows.push(vec![
                vec![StyledText::own(TextStyle::Heading, "held")],
                vec![StyledText::plain(&text::format_thousands(held))],
                vec![StyledText::plain("kept for mirrors")],
            ]);
        }
        let sides = [Alignment::Left, Alignment::Right, Alignment::Left];
        self.write_lines(&table::arrange(&rows, &sides, &[0; 3]), out)
    }
}
