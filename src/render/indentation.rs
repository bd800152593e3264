//! The widths and indents that the parts of a detail page share.

use crate::render::styled::StyledText;

/// The least width of the column of labels.
pub(super) const LABEL_WIDTH: usize = 12;
/// The least width of a value: a narrower one is not shown beside another.
pub(super) const MIN_VALUE_WIDTH: usize = 12;

/// Returns the line indented by `indent` blanks, wrapped to the page. The lines that continue it
/// begin below its text, two blanks further in.
pub(super) fn indented(line: &StyledText, indent: usize, page: Option<usize>) -> Vec<StyledText> {
    let own_indent = line.text().len() - line.text().trim_start_matches(' ').len();
    let with_indent = |text: &StyledText, indent: usize| {
        let mut indented = StyledText::plain(&" ".repeat(indent));
        indented.append(text);
        indented
    };
    let room = page.map_or(usize::MAX, |page| page.saturating_sub(indent).max(MIN_VALUE_WIDTH));
    if line.width() <= room {
        return vec![with_indent(line, indent)];
    }
    let hanging = (own_indent + 2).min(room / 2);
    let pieces = line.trim_start().wrap(room - hanging);
    let first = indent + own_indent.min(hanging);
    let indents = std::iter::once(first).chain(std::iter::repeat(indent + hanging));
    pieces.iter().zip(indents).map(|(piece, indent)| with_indent(piece, indent)).collect()
}
