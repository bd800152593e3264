//! The table of mirrors and alerts.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::theme::TextStyle;

/// A mirror or alert as a row.
#[derive(Clone, Debug)]
pub(crate) struct MirrorStatusRow {
    pub name: String,
    pub delivered: u64,
    pub waiting: u64,
    /// How long the first waiting event has waited: `2m`.
    pub lag: String,
    pub dead: u64,
    /// What is wrong, or what a reader should know.
    pub remark: Option<String>,
}

const HEADERS: [&str; 6] = ["NAME", "DELIVERED", "WAITING", "LAG", "DEAD", "LAST ERROR"];
const ALIGNMENTS: [Alignment; 6] = [
    Alignment::Left,
    Alignment::Right,
    Alignment::Right,
    Alignment::Right,
    Alignment::Right,
    Alignment::Left,
];

impl Printer<'_> {
    /// Writes how mirrors and alerts fare, a line each.
    pub(crate) fn write_mirror_status(
        &self,
        mirrors: &[MirrorStatusRow],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let header = HEADERS.map(|header| vec![StyledText::own(TextStyle::Heading, header)]);
        let mut rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        rows.extend(mirrors.iter().map(|mirror| {
            let remark = mirror.remark.as_deref().unwrap_or_default();
            vec![
                vec![StyledText::foreign(TextStyle::Plain, &mirror.name)],
                vec![StyledText::plain(&mirror.delivered.to_string())],
                vec![StyledText::plain(&mirror.waiting.to_string())],
                vec![StyledText::plain(&mirror.lag)],
                vec![StyledText::plain(&mirror.dead.to_string())],
                vec![StyledText::foreign(TextStyle::High, remark)],
            ]
        }));
        self.write_lines(&table::arrange(&rows, &ALIGNMENTS, &[0; 6]), out)
    }
}
