//! Rows and columns on a page: aligned, without a frame.
//!
//! The cells are styled text, and widths are those of [`text::width`], by which everything else here
//! is cut and wrapped. No table crate draws them: `comfy-table` measures a whole text and takes some
//! pairs of letters for ligatures, which terminals draw as two columns, so its columns do not line
//! up with ours (a test shows it). Its feature for painted cells measures the same way.
//!
//! [`text::width`]: crate::text::width

use crate::event::MAX_ID_BYTES;
use crate::render::styled::StyledText;
use crate::render::theme::TextStyle;

/// The content of one cell, line by line.
pub(crate) type Cell = Vec<StyledText>;

/// The side that the cells of a column keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alignment {
    Left,
    Right,
}

/// The blanks between two columns.
pub(crate) const GAP: usize = 2;

/// The widest that a column gets: no id or label is longer. A longer text, such as a title, is drawn
/// whole, past its column, so that one hostile event does not add a mebibyte of blanks to every row.
const MAX_COLUMN_WIDTH: usize = MAX_ID_BYTES;

/// Arranges rows of cells into lines. Each column is as wide as its widest cell, and at least as wide
/// as `min_widths` says. No line ends in blanks.
pub(crate) fn arrange(
    rows: &[Vec<Cell>],
    alignments: &[Alignment],
    min_widths: &[usize],
) -> Vec<StyledText> {
    let widths = column_widths(rows, min_widths);
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let height = row.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for number in 0..height {
            let parts = row.iter().map(|cell| cell.get(number));
            lines.push(arrange_line(parts, alignments, &widths));
        }
    }
    lines
}

fn column_widths(rows: &[Vec<Cell>], min_widths: &[usize]) -> Vec<usize> {
    let mut widths = min_widths.to_vec();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            let widest = cell.iter().map(drawn_width).max().unwrap_or(0);
            *width = widest.min(MAX_COLUMN_WIDTH).max(*width);
        }
    }
    widths
}

/// Puts one line of each cell into its column; a cell that has no such line leaves its column blank.
fn arrange_line<'a>(
    parts: impl Iterator<Item = Option<&'a StyledText>>,
    alignments: &[Alignment],
    widths: &[usize],
) -> StyledText {
    let mut line = StyledText::default();
    // The blanks between the last text and the place reached; none are written at the end of a line.
    let mut blanks = 0;
    for ((part, alignment), width) in parts.zip(alignments).zip(widths) {
        let part = part.filter(|part| !part.is_empty());
        let fill = width.saturating_sub(part.map_or(0, drawn_width));
        if let Some(part) = part {
            let before = match alignment {
                Alignment::Left => 0,
                Alignment::Right => fill,
            };
            // A mark that combines with the letter before it gets a blank to stand on.
            let base = drawn_width(part) - part.width();
            line.push(TextStyle::Plain, &" ".repeat(blanks + before + base));
            line.append(part);
            blanks = fill - before;
        } else {
            blanks += fill;
        }
        blanks += GAP;
    }
    line.trim_end()
}

/// The number of columns that a line of a cell takes.
fn drawn_width(line: &StyledText) -> usize {
    line.width().max(usize::from(!line.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rows: &[&[&str]], alignments: &[Alignment], min_widths: &[usize]) -> Vec<String> {
        let rows: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| {
                row.iter().map(|cell| cell.lines().map(StyledText::plain).collect()).collect()
            })
            .collect();
        arrange(&rows, alignments, min_widths).iter().map(|line| line.text().to_owned()).collect()
    }

    #[test]
    fn columns_keep_to_their_side_and_lines_end_without_blanks() {
        let rows: [&[&str]; 3] = [&["A", "N", "B"], &["abc", "1", ""], &["", "20", "x"]];
        assert_eq!(
            lines(&rows, &[Alignment::Left, Alignment::Right, Alignment::Left], &[0, 4, 0]),
            ["A       N  B", "abc     1", "       20  x"]
        );
    }

    #[test]
    fn a_cell_of_several_lines_leaves_the_others_blank() {
        let rows: [&[&str]; 2] = [&["k", "one\ntwo", "end"], &["long", "#", "#"]];
        assert_eq!(
            lines(&rows, &[Alignment::Left; 3], &[0; 3]),
            ["k     one  end", "      two", "long  #    #"]
        );
    }

    #[test]
    fn letters_count_as_terminals_draw_them() {
        let rows: [&[&str]; 3] = [&["日本", "|"], &["لا", "|"], &["\u{301}", "|"]];
        assert_eq!(
            lines(&rows, &[Alignment::Left; 2], &[0; 2]),
            ["日本  |", "لا    |", " \u{301}     |"]
        );
    }

    #[test]
    fn a_page_of_nothing_has_no_lines() {
        assert_eq!(lines(&[], &[], &[]), Vec::<String>::new());
        assert_eq!(lines(&[&["", ""]], &[Alignment::Left; 2], &[0; 2]), [""]);
    }

    #[test]
    fn a_cell_of_a_mebibyte_is_drawn_whole() {
        let long = "x".repeat(1 << 20);
        let rows: [&[&str]; 2] = [&[&long, "end"], &["y", "end"]];
        let lines = lines(&rows, &[Alignment::Left; 2], &[0; 2]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), (1 << 20) + 5);
    }

    #[test]
    fn comfy_table_draws_columns_that_do_not_line_up() {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.add_row(["ab", "|"]);
        table.add_row(["لا", "|"]);
        let edges: Vec<usize> = table
            .lines()
            .map(|line| crate::text::width(line.split('|').next().unwrap_or_default()))
            .collect();
        assert_eq!(edges[1], edges[0] + 1, "both should be at the same column");

        let ours = lines(&[&["ab", "|"], &["لا", "|"]], &[Alignment::Left; 2], &[0; 2]);
        assert_eq!(ours, ["ab  |", "لا  |"]);
    }
}
