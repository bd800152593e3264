//! Rows and columns on a page: aligned, without a frame. The only user of `comfy-table`.

use comfy_table::Cell as Filler;
use comfy_table::CellAlignment;
use comfy_table::Table;

use crate::render::styled::StyledText;
use crate::render::theme::TextStyle;

/// What stands in one cell, line by line.
pub(crate) type Cell = Vec<StyledText>;

/// To which side a column keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alignment {
    Left,
    Right,
}

/// The blanks between two columns.
pub(crate) const GAP: usize = 2;

/// What stands in for a column of text.
const FILLER: &str = "#";
/// More than this `comfy-table` does not count; a wider cell is drawn past its column.
const MAX_CELL_WIDTH: usize = 20_000;

/// Arranges rows of cells, each column as wide as its widest cell or as `least` has it. No line has
/// blanks at its end.
///
/// The cells go through `comfy-table` as runs of a filler, as wide as they are, and take their
/// places afterwards: its measure counts some letters as ligatures where ours, [`text::width`],
/// goes by what terminals do, and it cannot paint a part of a cell.
///
/// [`text::width`]: crate::text::width
pub(crate) fn arrange(rows: &[Vec<Cell>], sides: &[Alignment], least: &[usize]) -> Vec<StyledText> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    for row in rows {
        table.add_row(row.iter().map(|cell| Filler::new(filler(cell))).collect::<Vec<_>>());
    }
    // A row of its own keeps the columns as wide as they are to be at least; it is not drawn.
    table.add_row(least.iter().map(|width| Filler::new(FILLER.repeat(*width))).collect::<Vec<_>>());
    let gap = u16::try_from(GAP).expect("a gap is small");
    for (column, side) in table.column_iter_mut().zip(sides) {
        column.set_padding((0, gap));
        column.set_cell_alignment(match side {
            Alignment::Left => CellAlignment::Left,
            Alignment::Right => CellAlignment::Right,
        });
    }
    let mut drawn = table.lines();
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let height = row.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for number in 0..height {
            let line = drawn.next().unwrap_or_default();
            lines.push(fill(&line, row.iter().filter_map(|cell| cell.get(number))));
        }
    }
    lines
}

/// How many columns a line of a cell takes.
fn width(line: &StyledText) -> usize {
    // A mark with no letter to stand on takes a blank.
    let least = usize::from(!line.is_empty());
    line.width().clamp(least, MAX_CELL_WIDTH)
}

fn filler(cell: &[StyledText]) -> String {
    let lines: Vec<String> = cell.iter().map(|line| FILLER.repeat(width(line))).collect();
    lines.join("\n")
}

/// Puts the cells in the places of their fillers.
fn fill<'a>(drawn: &str, cells: impl Iterator<Item = &'a StyledText>) -> StyledText {
    let mut line = StyledText::default();
    let mut rest = drawn;
    for cell in cells.filter(|cell| !cell.is_empty()) {
        let start = rest.find(FILLER).expect("a filler for each cell that is not empty");
        line.push(TextStyle::Plain, &rest[..start]);
        if cell.width() == 0 {
            line.push(TextStyle::Plain, " ");
        }
        line.append(cell);
        rest = &rest[start + width(cell)..];
    }
    line.trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rows: &[&[&str]], sides: &[Alignment], least: &[usize]) -> Vec<String> {
        let rows: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| {
                row.iter().map(|cell| cell.lines().map(StyledText::plain).collect()).collect()
            })
            .collect();
        arrange(&rows, sides, least).iter().map(|line| line.text().to_owned()).collect()
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
}
