//! The changed fields of a record, with their values before and after.

use std::borrow::Cow;

use crate::event::diff;
use crate::event::diff::Change;
use crate::event::json::JsonObject;
use crate::event::json::parse_string;
use crate::event::json::unescape_letters;
use crate::render::Printer;
use crate::render::indentation::LABEL_WIDTH;
use crate::render::indentation::MIN_VALUE_WIDTH;
use crate::render::indentation::indented;
use crate::render::json;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::theme::TextStyle;
use crate::text;

/// The width at which the name of a field is wrapped.
const MAX_NAME_WIDTH: usize = 24;
/// The text for a field that did not exist before or after the change.
const ABSENT: &str = "(none)";
/// The number of unchanged lines shown around a changed one.
const CONTEXT_LINES: usize = 2;
/// The most pairs of lines that are compared line by line; it bounds time and memory.
const MAX_COMPARED_PAIRS: usize = 1_000_000;

impl Printer<'_> {
    /// Returns the changed fields on lines of at most `page` columns: first those that fit on one line,
    /// as before → after, then the others line by line, then their number.
    pub(super) fn change_lines(&self, diff: &JsonObject, page: Option<usize>) -> Vec<StyledText> {
        let all = diff::changes(diff);
        let changed: Vec<&Change<'_>> =
            all.iter().filter(|change| !change.is_unchanged()).collect();
        let name_width = changed
            .iter()
            .map(|change| StyledText::foreign(TextStyle::Plain, &change.field).width())
            .max()
            .unwrap_or(0)
            .clamp(min_name_width(page), MAX_NAME_WIDTH.max(min_name_width(page)));
        let fixed_width = name_width + 3 * GAP + text::width(self.display.arrow());
        let room = page.map(|page| page.saturating_sub(fixed_width));
        let (inline, multiline): (Vec<&Change<'_>>, Vec<&Change<'_>>) =
            changed.iter().partition(|change| is_inline(change, room));
        let mut lines = self.inline_changes(&inline, name_width, room);
        for change in multiline {
            lines.extend(indented(&StyledText::foreign(TextStyle::Plain, &change.field), 0, page));
            for line in self.multiline_change(change) {
                lines.extend(indented(&line, 2, page));
            }
        }
        let count = match changed.len() {
            0 => "no field changed".to_owned(),
            some => format!("{} changed", text::plural(some as u64, "field")),
        };
        lines.push(StyledText::own(TextStyle::Faint, &count));
        lines
    }

    fn inline_changes(
        &self,
        changes: &[&Change<'_>],
        name_width: usize,
        room: Option<usize>,
    ) -> Vec<StyledText> {
        let values: Vec<(StyledText, StyledText)> = changes
            .iter()
            .map(|change| {
                let [before, after] = [change.before, change.after];
                (styled_side(before, TextStyle::Before), styled_side(after, TextStyle::After))
            })
            .collect();
        let widest = |side: fn(&(StyledText, StyledText)) -> &StyledText| {
            values.iter().map(|pair| side(pair).width()).max().unwrap_or(0)
        };
        let (left, right) = (widest(|pair| &pair.0), widest(|pair| &pair.1));
        // A side that needs less than half of the room leaves the rest to the other.
        let (left, right) = match room {
            Some(room) if left + right > room => {
                let half = room / 2;
                let left = left.min(half.max(room.saturating_sub(right)));
                (left, room - left)
            }
            Some(_) | None => (left, right),
        };
        let rows: Vec<Vec<Cell>> = changes
            .iter()
            .zip(&values)
            .map(|(change, (before, after))| {
                vec![
                    StyledText::foreign(TextStyle::Plain, &change.field).wrap(name_width),
                    before.wrap(left),
                    vec![StyledText::plain(self.display.arrow())],
                    after.wrap(right),
                ]
            })
            .collect();
        table::arrange(&rows, &[Alignment::Left; 4], &[name_width, 0, 0, 0])
    }

    /// Returns the removed and added lines, some unchanged lines around them, and marks for the omitted
    /// ones.
    fn multiline_change(&self, change: &Change<'_>) -> Vec<StyledText> {
        let (before, after) = (value_lines(change.before), value_lines(change.after));
        let diff = diff_lines(&before, &after);
        let is_context = |index: usize| {
            let end = (index + CONTEXT_LINES + 1).min(diff.len());
            let around = &diff[index.saturating_sub(CONTEXT_LINES)..end];
            around.iter().any(|line| !matches!(line, DiffLine::Same(_)))
        };
        let mut lines = Vec::new();
        let mut omitted = 0;
        for (index, line) in diff.iter().enumerate() {
            let (mark, style, text) = match line {
                DiffLine::Same(_) if !is_context(index) => {
                    omitted += 1;
                    continue;
                }
                DiffLine::Same(text) => ("  ", TextStyle::Plain, text),
                DiffLine::Removed(text) => ("- ", TextStyle::Before, text),
                DiffLine::Added(text) => ("+ ", TextStyle::After, text),
            };
            lines.extend(self.omission_mark(omitted));
            omitted = 0;
            let mut line = StyledText::own(style, mark);
            line.push_foreign(style, text);
            lines.push(line);
        }
        lines.extend(self.omission_mark(omitted));
        lines
    }

    fn omission_mark(&self, lines: u64) -> Option<StyledText> {
        let mark =
            || format!("  {} {} the same", self.display.ellipsis(), text::plural(lines, "line"));
        (lines > 0).then(|| StyledText::own(TextStyle::Faint, &mark()))
    }
}

/// Returns the least width of the names: that of the labels above them, if the page has room.
fn min_name_width(page: Option<usize>) -> usize {
    if page.is_some_and(|page| page < 60) { 0 } else { LABEL_WIDTH }
}

/// Returns whether both values stand on the line of their field: short ones, and texts that wrap well.
fn is_inline(change: &Change<'_>, room: Option<usize>) -> bool {
    let sides = || [change.before, change.after].into_iter().flatten();
    if sides().any(|raw| string_text(raw).is_some_and(|text| text.contains('\n'))) {
        return false;
    }
    let Some(room) = room else { return true };
    let width: usize = sides().map(|raw| styled_side(Some(raw), TextStyle::Plain).width()).sum();
    let nested = sides().any(|raw| raw.starts_with(['{', '[']));
    width <= room || (room >= 2 * MIN_VALUE_WIDTH && !nested)
}

/// Returns one value on one line.
fn styled_side(raw: Option<&str>, style: TextStyle) -> StyledText {
    let Some(raw) = raw else { return StyledText::own(TextStyle::Faint, ABSENT) };
    match string_text(raw) {
        // A text that looks like another value keeps its quotes.
        Some(text) if is_unambiguous_text(&text) => StyledText::foreign(style, &text),
        Some(_) | None => json::single_line(&unescape_letters(raw)).restyled(style),
    }
}

/// Returns whether a text without quotes cannot be taken for another value.
fn is_unambiguous_text(text: &str) -> bool {
    let has_blank_edge = text.is_empty() || text.starts_with(' ') || text.ends_with(' ');
    !has_blank_edge
        && text != ABSENT
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
}

fn string_text(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('"') { parse_string(raw).ok() } else { None }
}

/// Returns the lines of one value: those of a text, else those of indented JSON.
fn value_lines(raw: Option<&str>) -> Vec<String> {
    let Some(raw) = raw else { return Vec::new() };
    match string_text(raw) {
        Some(text) => text.split('\n').map(str::to_owned).collect(),
        None => json::pretty(&unescape_letters(raw)).lines().map(json::escaped).collect(),
    }
}

/// A line of a comparison.
#[derive(Debug, PartialEq, Eq)]
enum DiffLine<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// Returns the shortest comparison of two texts. If it would take too long to find, all lines between
/// the first and the last changed one count as replaced.
fn diff_lines<'a>(before: &'a [String], after: &'a [String]) -> Vec<DiffLine<'a>> {
    let pairs = || before.iter().zip(after);
    let head = pairs().take_while(|(was, is)| was == is).count();
    let shorter = before.len().min(after.len()) - head;
    let backwards = before.iter().rev().zip(after.iter().rev());
    let tail = backwards.take(shorter).take_while(|(was, is)| was == is).count();
    let (old, new) = (&before[head..before.len() - tail], &after[head..after.len() - tail]);

    let mut diff: Vec<DiffLine<'a>> =
        before[..head].iter().map(|line| DiffLine::Same(line)).collect();
    if old.len().saturating_mul(new.len()) <= MAX_COMPARED_PAIRS {
        push_diff_lines(&mut diff, old, new);
    } else {
        diff.extend(old.iter().map(|line| DiffLine::Removed(line)));
        diff.extend(new.iter().map(|line| DiffLine::Added(line)));
    }
    diff.extend(before[before.len() - tail..].iter().map(|line| DiffLine::Same(line)));
    diff
}

fn push_diff_lines<'a>(diff: &mut Vec<DiffLine<'a>>, old: &'a [String], new: &'a [String]) {
    // `common` holds the length of the longest common subsequence of the lines from `i` and from `j` on.
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            diff.push(DiffLine::Same(&old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len()
            && (j == new.len() || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            diff.push(DiffLine::Removed(&old[i]));
            i += 1;
        } else {
            diff.push(DiffLine::Added(&new[j]));
            j += 1;
        }
    }
}
