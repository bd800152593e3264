//! The findings of `doctor`: a line for each check, then its advice.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::theme::TextStyle;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Ok,
    /// Worth knowing; it may be intended.
    Note,
    Bad,
}

impl Status {
    /// Returns the word for it, which says as much as its colour.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Bad => "BAD",
        }
    }

    fn style(self) -> TextStyle {
        match self {
            Self::Ok => TextStyle::Success,
            Self::Note => TextStyle::ClientError,
            Self::Bad => TextStyle::Critical,
        }
    }
}

/// The finding of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Absent if there is nothing to judge.
    pub status: Option<Status>,
    pub name: String,
    pub value: String,
    /// The next step for the user.
    pub advice: Option<String>,
}

/// Findings about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub name: &'static str,
    pub findings: Vec<Finding>,
}

const INDENT: &str = "  ";
/// The greatest width: longer lines are hard to follow.
const MAX_WIDTH: usize = 110;
/// The least width of the column of values.
const MIN_VALUE_WIDTH: usize = 24;

impl Printer<'_> {
    /// Writes the sections, and below them the verdict.
    pub(crate) fn write_findings(
        &self,
        sections: &[Section],
        verdict: (Status, &str),
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let all = || sections.iter().flat_map(|section| &section.findings);
        let widest = |width: fn(&Finding) -> usize| all().map(width).max().unwrap_or(0);
        let status_width = widest(|finding| finding.status.map_or(0, |status| status.name().len()));
        let name_width =
            widest(|finding| StyledText::foreign(TextStyle::Plain, &finding.name).width());
        let before = INDENT.len() + status_width + GAP + name_width + GAP;
        let page = self.display.width.map(|width| width.min(MAX_WIDTH));
        let column = page.map(|page| page.saturating_sub(before).max(MIN_VALUE_WIDTH));
        for section in sections {
            self.write_line(&StyledText::own(TextStyle::Heading, section.name), out)?;
            let rows: Vec<Vec<Cell>> = section
                .findings
                .iter()
                .map(|finding| self.finding_cells(finding, column))
                .collect();
            for line in table::arrange(&rows, &[Alignment::Left; 3], &[status_width, name_width, 0])
            {
                let mut indented = StyledText::plain(INDENT);
                indented.append(&line);
                self.write_line(&indented, out)?;
            }
            self.write_line(&StyledText::default(), out)?;
        }
        let (status, text) = verdict;
        self.write_line(&StyledText::own(status.style(), text), out)
    }

    fn finding_cells(&self, finding: &Finding, column: Option<usize>) -> Vec<Cell> {
        let wrapped = |text: &StyledText, columns: Option<usize>| match columns {
            Some(columns) => text.wrap(columns),
            None => vec![text.clone()],
        };
        let status = finding.status.map(|status| StyledText::own(status.style(), status.name()));
        // A finding without a judgement is less prominent.
        let style = if status.is_some() { TextStyle::Plain } else { TextStyle::Faint };
        let mut value = wrapped(&StyledText::foreign(style, &finding.value), column);
        if let Some(advice) = &finding.advice {
            // Continued lines are indented by the width of the arrow.
            let arrow = format!("{} ", self.display.arrow());
            let blank = " ".repeat(arrow.chars().count());
            let inner = column.map(|column| column - blank.len());
            let advice = wrapped(&StyledText::foreign(TextStyle::Plain, advice), inner);
            value.extend(advice.iter().enumerate().map(|(number, line)| {
                let mut indented = StyledText::plain(if number == 0 { &arrow } else { &blank });
                indented.append(line);
                indented
            }));
        }
        vec![
            status.into_iter().collect(),
            vec![StyledText::foreign(TextStyle::Plain, &finding.name)],
            value,
        ]
    }
}
