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

impl Printer<'_> {
    /// Writes the actions in the order in which they come.
    pub(crate) fn actions(&self, vocables: &[Vocable], out: &mut dyn Write) -> io::Result<()> {
        let header = HEADERS.map(|header| vec![Styled::own(Style::Head, header)]);
        let mut rows: Vec<Vec<Cell>> = vec![header.to_vec()];
        rows.extend(vocables.iter().map(|vocable| {
            let mut rhythm = Styled::plain(&spark::line(&vocable.daily, &self.look));
            if let Some(remark) = &vocable.remark {
                rhythm.push(Style::Plain, "   ");
                rhythm.push(Style::High, remark);
            }
            vec![
                vec![Styled::foreign(Style::Plain, &vocable.action)],
                vec![Styled::plain(&text::thousands(vocable.count))],
                vec![Styled::plain(&self.when(vocable.last))],
                vec![rhythm],
            ]
        }));
        let sides = [Side::Left, Side::Right, Side::Left, Side::Left];
        self.write_lines(&table::arrange(&rows, &sides, &[0; 4]), out)
    }
}
