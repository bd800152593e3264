//! The changed fields of a record, as they were and as they became.

use std::borrow::Cow;

use crate::event::diff;
use crate::event::diff::Change;
use crate::event::json::JsonObject;
use crate::event::json::parse_string;
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

/// The widest that a field's name gets.
const MAX_NAME_WIDTH: usize = 24;
/// What stands for the side of a field that was not there.
const ABSENT: &str = "(none)";
/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 2;
/// The largest comparison, in pairs of lines, that is done line by line.
const MAX_COMPARED_PAIRS: usize = 1_000_000;

impl Printer<'_> {
    /// The changed fields on lines of at most `page` columns: before → after, those with several
    /// lines or too much for one beneath, line by line; then their number.
    pub(super) fn change_lines(&self, diff: &JsonObject, page: Option<usize>) -> Vec<StyledText> {
        let all = diff::changes(diff);
        let changed: Vec<&Change<'_>> =
            all.iter().filter(|change| !change.is_unchanged()).collect();
        let name_room = changed
            .iter()
            .map(|change| StyledText::foreign(TextStyle::Plain, &change.field).width())
            .max()
            .unwrap_or(0)
            .clamp(min_name_width(page), MAX_NAME_WIDTH.max(min_name_width(page)));
        let rest = name_room + 3 * GAP + text::width(self.display.arrow());
        let room = page.map(|page| page.saturating_sub(rest));
        let (beside, beneath): (Vec<&Change<'_>>, Vec<&Change<'_>>) =
            changed.iter().partition(|change| is_inline(change, room));
        let mut lines = self.inline_changes(&beside, name_room, room);
        for change in beneath {
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
        names: usize,
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
        // The one that needs less than half leaves the rest to the other.
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
                    StyledText::foreign(TextStyle::Plain, &change.field).wrap(names),
                    before.wrap(left),
                    vec![StyledText::plain(self.display.arrow())],
                    after.wrap(right),
                ]
            })
            .collect();
        table::arrange(&rows, &[Alignment::Left; 4], &[names, 0, 0, 0])
    }

    /// The lines that went and that came, those around them, and a mark where others are left out.
    fn multiline_change(&self, change: &Change<'_>) -> Vec<StyledText> {
        let (before, after) = (value_lines(change.before), value_lines(change.after));
        let steps = diff_lines(&before, &after);
        let near = |at: usize| {
            let around =
                &steps[at.saturating_sub(CONTEXT_LINES)..(at + CONTEXT_LINES + 1).min(steps.len())];
            around.iter().any(|step| !matches!(step, DiffLine::Same(_)))
        };
        let mut lines = Vec::new();
        let mut hidden = 0;
        for (at, step) in steps.iter().enumerate() {
            let (mark, style, text) = match step {
                DiffLine::Same(_) if !near(at) => {
                    hidden += 1;
                    continue;
                }
                DiffLine::Same(text) => ("  ", TextStyle::Plain, text),
                DiffLine::Removed(text) => ("- ", TextStyle::Before, text),
                DiffLine::Added(text) => ("+ ", TextStyle::After, text),
            };
            lines.extend(self.omission_mark(hidden));
            hidden = 0;
            let mut line = StyledText::own(style, mark);
            line.push_foreign(style, text);
            lines.push(line);
        }
        lines.extend(self.omission_mark(hidden));
        lines
    }

    fn omission_mark(&self, lines: u64) -> Option<StyledText> {
        let told =
            || format!("  {} {} the same", self.display.ellipsis(), text::plural(lines, "line"));
        (lines > 0).then(|| StyledText::own(TextStyle::Faint, &told()))
    }
}

/// How wide the names are at least: as the labels above them, where there is room.
fn min_name_width(page: Option<usize>) -> usize {
    if page.is_some_and(|page| page < 60) { 0 } else { LABEL_WIDTH }
}

/// Whether both values stand on the line of their field: short ones, and texts that wrap well.
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

/// One side on one line.
fn styled_side(raw: Option<&str>, style: TextStyle) -> StyledText {
    let Some(raw) = raw else { return StyledText::own(TextStyle::Faint, ABSENT) };
    match string_text(raw) {
        // Text that looks like a number, or like what it is not, keeps its quotes.
        Some(text) if is_unambiguous_text(&text) => StyledText::foreign(style, &text),
        Some(_) | None => json::single_line(raw).restyled(style),
    }
}

/// Whether a text cannot be taken for another value when it stands without its quotes.
fn is_unambiguous_text(text: &str) -> bool {
    let edge = text.is_empty() || text.starts_with(' ') || text.ends_with(' ');
    !edge && text != ABSENT && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
}

fn string_text(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('"') { parse_string(raw).ok() } else { None }
}

/// One side over several lines: a text's own, else those of the value.
fn value_lines(raw: Option<&str>) -> Vec<String> {
    let Some(raw) = raw else { return Vec::new() };
    match string_text(raw) {
        Some(text) => text.split('\n').map(str::to_owned).collect(),
        None => json::pretty(raw).lines().map(json::escaped).collect(),
    }
}

/// What happened to a line.
#[derive(Debug, PartialEq, Eq)]
enum DiffLine<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// The way from one text to the other with the fewest lines changed; where that takes too long to
/// find, all between the first and the last changed line is another.
fn diff_lines<'a>(before: &'a [String], after: &'a [String]) -> Vec<DiffLine<'a>> {
    let pairs = || before.iter().zip(after);
    let head = pairs().take_while(|(was, is)| was == is).count();
    let shorter = before.len().min(after.len()) - head;
    let backwards = before.iter().rev().zip(after.iter().rev());
    let tail = backwards.take(shorter).take_while(|(was, is)| was == is).count();
    let (old, new) = (&before[head..before.len() - tail], &after[head..after.len() - tail]);

    let mut steps: Vec<DiffLine<'a>> =
        before[..head].iter().map(|line| DiffLine::Same(line)).collect();
    if old.len().saturating_mul(new.len()) <= MAX_COMPARED_PAIRS {
        push_diff_lines(&mut steps, old, new);
    } else {
        steps.extend(old.iter().map(|line| DiffLine::Removed(line)));
        steps.extend(new.iter().map(|line| DiffLine::Added(line)));
    }
    steps.extend(before[before.len() - tail..].iter().map(|line| DiffLine::Same(line)));
    steps
}

fn push_diff_lines<'a>(steps: &mut Vec<DiffLine<'a>>, old: &'a [String], new: &'a [String]) {
    // The most lines that can stay from each pair of places on.
    let across = new.len() + 1;
    let mut stay = vec![0_u32; (old.len() + 1) * across];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            stay[i * across + j] = if old[i] == new[j] {
                stay[(i + 1) * across + j + 1] + 1
            } else {
                stay[(i + 1) * across + j].max(stay[i * across + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            steps.push(DiffLine::Same(&old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len()
            && (j == new.len() || stay[(i + 1) * across + j] >= stay[i * across + j + 1])
        {
            steps.push(DiffLine::Removed(&old[i]));
            i += 1;
        } else {
            steps.push(DiffLine::Added(&new[j]));
            j += 1;
        }
    }
}
