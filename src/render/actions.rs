//! The list of actions, with their counts and their rhythm by day.

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

/// An action of the log.
#[derive(Clone, Debug)]
pub(crate) struct ActionRow {
    pub action: String,
    pub count: u64,
    pub last: Timestamp,
    /// The number of events on each of the last days, oldest day first.
    pub daily: Vec<u64>,
    /// A remark behind the rhythm: `gone quiet, normally 14 a day`.
    pub remark: Option<String>,
}

const HEADERS: [&str; 4] = ["ACTION", "EVENTS", "LAST SEEN", "RHYTHM"];
const ALIGNMENTS: [Alignment; 4] =
    [Alignment::Left, Alignment::Right, Alignment::Left, Alignment::Left];
/// The fewest days that a rhythm shows.
const MIN_DAYS: usize = 7;

impl Printer<'_> {
    /// Writes the actions in the given order. On a narrow page the rhythms show fewer days.
    pub(crate) fn write_actions(
        &self,
        actions: &[ActionRow],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut days = actions.iter().map(|action| action.daily.len()).max().unwrap_or(0);
        let mut lines = self.action_lines(actions, days);
        let fits = |line: &StyledText| self.display.width.is_none_or(|width| line.width() <= width);
        while days > MIN_DAYS && !lines.iter().all(fits) {
            days -= 1;
            lines = self.action_lines(actions, days);
        }
        self.write_lines(&lines, out)
    }

    fn action_lines(&self, actions: &[ActionRow], days: usize) -> Vec<StyledText> {
        let header = HEADERS.map(|header| vec![StyledText::own(TextStyle::Heading, header)]);
        let mut rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        rows.extend(actions.iter().map(|action| {
            let newest = &action.daily[action.daily.len().saturating_sub(days)..];
            let mut rhythm = StyledText::plain(&sparkline::draw(newest, &self.display));
            if let Some(remark) = &action.remark {
                rhythm.push(TextStyle::Plain, "   ");
                rhythm.push(TextStyle::High, remark);
            }
            vec![
                vec![StyledText::foreign(TextStyle::Plain, &action.action)],
                vec![StyledText::plain(&text::format_thousands(action.count))],
                vec![StyledText::plain(&self.format_time(action.last))],
                vec![rhythm],
            ]
        }));
        table::arrange(&rows, &ALIGNMENTS, &[0; 4])
    }
}
