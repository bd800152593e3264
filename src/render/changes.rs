//! The changed fields of a record, as they were and as they became.

use std::borrow::Cow;

use crate::event::diff;
use crate::event::diff::Change;
use crate::event::json::JsonObject;
use crate::event::json::parse_string;
use crate::render::Printer;
use crate::render::json;
use crate::render::styled::Styled;
use crate::render::table;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::table::Side;
use crate::render::theme::Style;
use crate::text;

/// The widest that a field's name gets.
const NAME: usize = 24;
/// Narrower than this, a value is not shown beside another one.
const NARROW: usize = 12;
/// What stands for the side of a field that was not there.
const NONE: &str = "(none)";
/// Lines around a change that are shown with it.
const CONTEXT: usize = 2;
/// The largest comparison, in pairs of lines, that is done line by line.
const COMPARED: usize = 1_000_000;

impl Printer<'_> {
    /// The changed fields on lines of at most `page` columns: before → after, those with several
    /// lines or too much for one beneath, line by line; then their number.
    pub(super) fn changes(&self, diff: &JsonObject, page: Option<usize>) -> Vec<Styled> {
        let all = diff::changes(diff);
        let changed: Vec<&Change<'_>> =
            all.iter().filter(|change| !change.is_unchanged()).collect();
        let name_room = changed
            .iter()
            .map(|change| Styled::foreign(Style::Plain, &change.field).width())
            .max()
            .unwrap_or(0)
            .clamp(least_name(page), NAME.max(least_name(page)));
        let rest = name_room + 3 * GAP + text::width(self.look.arrow());
        let room = page.map(|page| page.saturating_sub(rest));
        let (beside, beneath): (Vec<&Change<'_>>, Vec<&Change<'_>>) =
            changed.iter().partition(|change| goes_beside(change, room));
        let mut lines = self.beside(&beside, name_room, room);
        for change in beneath {
            lines.extend(indented(&Styled::foreign(Style::Plain, &change.field), 0, page));
            for line in self.beneath(change) {
                lines.extend(indented(&line, 2, page));
            }
        }
        let count = match changed.len() {
            0 => "no field changed".to_owned(),
            some => format!("{} changed", text::plural(some as u64, "field")),
        };
        lines.push(Styled::own(Style::Faint, &count));
        lines
    }

    fn beside(&self, changes: &[&Change<'_>], names: usize, room: Option<usize>) -> Vec<Styled> {
        let values: Vec<(Styled, Styled)> = changes
            .iter()
            .map(|change| {
                let [before, after] = [change.before, change.after];
                (value(before, Style::Before), value(after, Style::After))
            })
            .collect();
        let widest = |side: fn(&(Styled, Styled)) -> &Styled| {
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
                    Styled::foreign(Style::Plain, &change.field).wrap(names),
                    before.wrap(left),
                    vec![Styled::plain(self.look.arrow())],
                    after.wrap(right),
                ]
            })
            .collect();
        table::arrange(&rows, &[Side::Left; 4], &[names, 0, 0, 0])
    }

    /// The lines that went and that came, those around them, and a mark where others are left out.
    fn beneath(&self, change: &Change<'_>) -> Vec<Styled> {
        let (before, after) = (value_lines(change.before), value_lines(change.after));
        let steps = steps(&before, &after);
        let near = |at: usize| {
            let around = &steps[at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(steps.len())];
            around.iter().any(|step| !matches!(step, Step::Same(_)))
        };
        let mut lines = Vec::new();
        let mut hidden = 0;
        for (at, step) in steps.iter().enumerate() {
            let (mark, style, text) = match step {
                Step::Same(_) if !near(at) => {
                    hidden += 1;
                    continue;
                }
                Step::Same(text) => ("  ", Style::Plain, text),
                Step::Gone(text) => ("- ", Style::Before, text),
                Step::New(text) => ("+ ", Style::After, text),
            };
            lines.extend(self.left_out(hidden));
            hidden = 0;
            let mut line = Styled::own(style, mark);
            line.push_foreign(style, text);
            lines.push(line);
        }
        lines.extend(self.left_out(hidden));
        lines
    }

    fn left_out(&self, lines: u64) -> Option<Styled> {
        let told =
            || format!("  {} {} the same", self.look.ellipsis(), text::plural(lines, "line"));
        (lines > 0).then(|| Styled::own(Style::Faint, &told()))
    }
}

/// How wide the names are at least: as the labels above them, where there is room.
fn least_name(page: Option<usize>) -> usize {
    if page.is_some_and(|page| page < 60) { 0 } else { super::detail::LABEL }
}

/// Whether both values stand on the line of their field: short ones, and texts that wrap well.
fn goes_beside(change: &Change<'_>, room: Option<usize>) -> bool {
    let sides = || [change.before, change.after].into_iter().flatten();
    if sides().any(|raw| plain_text(raw).is_some_and(|text| text.contains('\n'))) {
        return false;
    }
    let Some(room) = room else { return true };
    let width: usize = sides().map(|raw| value(Some(raw), Style::Plain).width()).sum();
    let nested = sides().any(|raw| raw.starts_with(['{', '[']));
    width <= room || (room >= 2 * NARROW && !nested)
}

/// One side on one line.
fn value(raw: Option<&str>, style: Style) -> Styled {
    let Some(raw) = raw else { return Styled::own(Style::Faint, NONE) };
    match plain_text(raw) {
        // Text that looks like a number, or like what it is not, keeps its quotes.
        Some(text) if is_text(&text) => Styled::foreign(style, &text),
        Some(_) | None => json::line(raw).restyled(style),
    }
}

/// Whether a text cannot be taken for another value when it stands without its quotes.
fn is_text(text: &str) -> bool {
    let edge = text.is_empty() || text.starts_with(' ') || text.ends_with(' ');
    !edge && text != NONE && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
}

fn plain_text(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('"') { parse_string(raw).ok() } else { None }
}

/// One side over several lines: a text's own, else those of the value.
fn value_lines(raw: Option<&str>) -> Vec<String> {
    let Some(raw) = raw else { return Vec::new() };
    match plain_text(raw) {
        Some(text) => text.split('\n').map(str::to_owned).collect(),
        None => json::pretty(raw).lines().map(json::escaped).collect(),
    }
}

/// What happened to a line.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The way from one text to the other with the fewest lines changed; where that takes too long to
/// find, all between the first and the last changed line is another.
fn steps<'a>(before: &'a [String], after: &'a [String]) -> Vec<Step<'a>> {
    let pairs = || before.iter().zip(after);
    let head = pairs().take_while(|(was, is)| was == is).count();
    let shorter = before.len().min(after.len()) - head;
    let backwards = before.iter().rev().zip(after.iter().rev());
    let tail = backwards.take(shorter).take_while(|(was, is)| was == is).count();
    let (old, new) = (&before[head..before.len() - tail], &after[head..after.len() - tail]);

    let mut steps: Vec<Step<'a>> = before[..head].iter().map(|line| Step::Same(line)).collect();
    if old.len().saturating_mul(new.len()) <= COMPARED {
        push_steps(&mut steps, old, new);
    } else {
        steps.extend(old.iter().map(|line| Step::Gone(line)));
        steps.extend(new.iter().map(|line| Step::New(line)));
    }
    steps.extend(before[before.len() - tail..].iter().map(|line| Step::Same(line)));
    steps
}

fn push_steps<'a>(steps: &mut Vec<Step<'a>>, old: &'a [String], new: &'a [String]) {
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
            steps.push(Step::Same(&old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len()
            && (j == new.len() || stay[(i + 1) * across + j] >= stay[i * across + j + 1])
        {
            steps.push(Step::Gone(&old[i]));
            i += 1;
        } else {
            steps.push(Step::New(&new[j]));
            j += 1;
        }
    }
}

/// A line on a page, `by` blanks in, its continuations under its own beginning and two further.
pub(super) fn indented(line: &Styled, by: usize, page: Option<usize>) -> Vec<Styled> {
    let own = line.text().len() - line.text().trim_start_matches(' ').len();
    let blanks = |count: usize| Styled::plain(&" ".repeat(count));
    let whole = |rest: &Styled, by: usize| {
        let mut whole = blanks(by);
        whole.append(rest);
        whole
    };
    let first_room = page.map_or(usize::MAX, |page| page.saturating_sub(by).max(NARROW));
    if line.width() <= first_room {
        return vec![whole(line, by)];
    }
    let hanging = (own + 2).min(first_room / 2);
    let pieces = line.trim_start().wrap(first_room - hanging);
    let indents = std::iter::once(by + own.min(hanging)).chain(std::iter::repeat(by + hanging));
    pieces.iter().zip(indents).map(|(piece, by)| whole(piece, by)).collect()
}
