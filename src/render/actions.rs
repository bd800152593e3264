//! The vocabulary: which actions there are, how often, and in which rhythm.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::spark;
use crate::render::styled::Styled;
use crate::render::table;
use crate::render::table::Cell;
use crate::render::table::Side;
use crate::render::theme::Style;
use crate::text;
use crate::time::Timestamp;

/// One action.
#[derive(Clone, Debug)]
pub(crate) struct Vocable {
    pub action: String,
    pub count: u64,
    pub last: Timestamp,
    /// The events of each of the last days, the oldest day first.
    pub daily: Vec<u64>,
    /// What is to be said of it: `gone quiet, normally 14 a day`.
    pub remark: Option<String>,
}

const HEADERS: [&str; 4] = ["ACTION", "EVENTS", "LAST SEEN", "RHYTHM"];
const SIDES: [Side; 4] = [Side::Left, Side::Right, Side::Left, Side::Left];
/// Fewer days are no rhythm.
const LEAST_DAYS: usize = 7;

impl Printer<'_> {
    /// Writes the actions in the order in which they come. Where the page is narrow, the rhythms have
    /// fewer days.
    pub(crate) fn actions(&self, vocables: &[Vocable], out: &mut dyn Write) -> io::Result<()> {
        let mut days = vocables.iter().map(|vocable| vocable.daily.len()).max().unwrap_or(0);
        let mut lines = self.vocabulary(vocables, days);
        let fits = |line: &Styled| self.look.width.is_none_or(|width| line.width() <= width);
        while days > LEAST_DAYS && !lines.iter().all(fits) {
            days -= 1;
            lines = self.vocabulary(vocables, days);
        }
        self.write_lines(&lines, out)
    }

    fn vocabulary(&self, vocables: &[Vocable], days: usize) -> Vec<Styled> {
        let header = HEADERS.map(|header| vec![Styled::own(Style::Head, header)]);
        let mut rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        rows.extend(vocables.iter().map(|vocable| {
            let newest = &vocable.daily[vocable.daily.len().saturating_sub(days)..];
            let mut rhythm = Styled::plain(&spark::line(newest, &self.look));
            if let Some(remark) = &vocable.remark {
                rhythm.push(Style::Plain, "   ");
                rhythm.push(Style::High, remark);
            }
            vec![
                vec![Styled::foreign(Style::Plain, &vocable.action)],
                vec![Styled::plain(&text::format_thousands(vocable.count))],
                vec![Styled::plain(&self.when(vocable.last))],
                vec![rhythm],
            ]
        }));
        table::arrange(&rows, &SIDES, &[0; 4])
    }
}
