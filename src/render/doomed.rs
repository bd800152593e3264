//! What a sweep would remove.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::styled::Styled;
use crate::render::table;
use crate::render::table::Cell;
use crate::render::table::Side;
use crate::render::theme::Style;
use crate::text;

/// Events of one action that would go by one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doomed {
    pub action: String,
    pub count: u64,
    /// What decides on them: `cron.* 30d`.
    pub rule: String,
}

const HEADERS: [&str; 3] = ["ACTION", "EVENTS", "RULE"];

impl Printer<'_> {
    /// Writes what would go, in the order in which it comes, and how many of all events that is; then
    /// how many are held for mirrors.
    pub(crate) fn doomed(
        &self,
        doomed: &[Doomed],
        held: u64,
        events: u64,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let header = HEADERS.map(|header| vec![Styled::own(Style::Head, header)]);
        let mut rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        rows.extend(doomed.iter().map(|doomed| {
            vec![
                vec![Styled::foreign(Style::Plain, &doomed.action)],
                vec![Styled::plain(&text::format_thousands(doomed.count))],
                vec![Styled::foreign(Style::Plain, &doomed.rule)],
            ]
        }));
        let total = doomed.iter().map(|doomed| doomed.count).sum();
        rows.push(vec![
            vec![Styled::own(Style::Head, "total")],
            vec![Styled::plain(&text::format_thousands(total))],
            vec![Styled::plain(&format!("of {} events", text::format_thousands(events)))],
        ]);
        if held > 0 {
            rows.push(vec![
                vec![Styled::own(Style::Head, "held")],
                vec![Styled::plain(&text::format_thousands(held))],
                vec![Styled::plain("kept for mirrors")],
            ]);
        }
        let sides = [Side::Left, Side::Right, Side::Left];
        self.write_lines(&table::arrange(&rows, &sides, &[0; 3]), out)
    }
}
