//! The vocabulary: which actions there are, how often, and in which rhythm.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::sparkline;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::theme::TextStyle;
use crate::text;
use crate::time::Timestamp;

/// One action.
#[derive(Clone, Debug)]
pub(crate) struct ActionRow {
    pub action: String,
    pub count: u64,
    pub last: Timestamp,
    /// The events of each of the last days, the oldest day first.
    pub daily: Vec<u64>,
    /// What is to be said of it: `gone quiet, normally 14 a day`.
    pub remark: Option<String>,
}

const HEADERS: [&str; 4] = ["ACTION", "EVENTS", "LAST SEEN", "RHYTHM"];
const ALIGNMENTS: [Alignment; 4] =
    [Alignment::Left, Alignment::Right, Alignment::Left, Alignment::Left];
/// Fewer days are no rhythm.
const MIN_DAYS: usize = 7;

impl Printer<'_> {
    /// Writes the actions in the order in which they come. Where the page is narrow, the rhythms have
    /// fewer days.
    pub(crate) fn write_actions(
        &self,
        vocables: &[ActionRow],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut days = vocables.iter().map(|vocable| vocable.daily.len()).max().unwrap_or(0);
        let mut lines = self.action_lines(vocables, days);
        let fits = |line: &StyledText| self.display.width.is_none_or(|width| line.width() <= width);
        while days > MIN_DAYS && !lines.iter().all(fits) {
            days -= 1;
            lines = self.action_lines(vocables, days);
        }
        self.write_lines(&lines, out)
    }

    fn action_lines(&self, vocables: &[ActionRow], days: usize) -> Vec<StyledText> {
        let header = HEADERS.map(|header| vec![StyledText::own(TextStyle::Heading, header)]);
        let mut rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        rows.extend(vocables.iter().map(|vocable| {
            let newest = &vocable.daily[vocable.daily.len().saturating_sub(days)..];
            let mut rhythm = StyledText::plain(&sparkline::draw(newest, &self.display));
            if let Some(remark) = &vocable.remark {
                rhythm.push(TextStyle::Plain, "   ");
                rhythm.push(TextStyle::High, remark);
            }
            vec![
                vec![StyledText::foreign(TextStyle::Plain, &vocable.action)],
                vec![StyledText::plain(&text::format_thousands(vocable.count))],
                vec![StyledText::plain(&self.format_time(vocable.last))],
                vec![rhythm],
            ]
        }));
        table::arrange(&rows, &ALIGNMENTS, &[0; 4])
    }
}
