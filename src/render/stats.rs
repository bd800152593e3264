//! Counts as bars: by day and by action beside each other, by one field, and by two as a cross table.
//!
//! A bar is as readable without colour as with it, and its scale is said above it.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::TimeDisplay;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::theme::TextStyle;
use crate::store::tally::CountedGroup;
use crate::store::tally::GroupValue;
use crate::store::tally::GroupedCounts;
use crate::store::tally::Grouping;
use crate::text;
use crate::time::CalendarUnit;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The longest bar, which is also the one on a page without a width.
const MAX_BAR: usize = 40;
/// The shortest room for bars that is worth having.
const MIN_BAR: usize = 6;
/// The widest label beside a bar.
const MAX_LABEL: usize = 40;
const MIN_LABEL: usize = 12;
/// The width from which tables stand beside each other.
const MIN_WIDTH_SIDE_BY_SIDE: usize = 110;
/// The blanks between two tables beside each other.
const TABLE_GAP: usize = 3;

/// The groups of one table, and what was left out of it.
#[derive(Clone, Debug)]
pub(crate) struct CountTable {
    pub groupings: Vec<Grouping>,
    pub groups: Vec<CountedGroup>,
    /// The number of groups that are left out, and of their events.
    pub more: Option<(u64, u64)>,
}

/// The events that a page of counts is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountScope {
    pub events: u64,
    /// The number of persons, where they were counted.
    pub people: Option<u64>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl CountScope {
    pub(crate) fn from_counts(counts: &GroupedCounts) -> Self {
        Self { events: counts.events, people: None, from: counts.first, to: counts.last }
    }
}

/// How many events one character of a bar stands for.
#[derive(Clone, Copy)]
struct BarScale {
    events: u64,
}

impl BarScale {
    /// The least of 1, 2, 5, 10, 20, … by which the greatest count fits into `room` characters.
    fn new(greatest: u64, room: usize) -> Self {
        let room = u64::try_from(room.max(1)).unwrap_or(1);
        let mut events: u64 = 1;
        for step in [2, 5, 10].into_iter().cycle() {
            if greatest.div_ceil(events) <= room {
                break;
            }
            let base = 10_u64.saturating_pow(events.ilog10());
            events = base.saturating_mul(step);
            if events == u64::MAX {
                break;
            }
        }
        Self { events }
    }

    /// Returns the length of a bar; only nothing has none.
    fn length(self, count: u64) -> usize {
        let rounded = count.saturating_add(self.events / 2) / self.events;
        usize::try_from(rounded.max(u64::from(count > 0))).unwrap_or(MAX_BAR)
    }
}

impl Printer<'_> {
    /// Writes several tables under one heading, beside each other where the page is wide enough.
    pub(crate) fn write_count_tables(
        &self,
        scope: &CountScope,
        tables: &[CountTable],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.write_lines(&self.scope_lines(scope), out)?;
        match self.display.width {
            Some(width) if width >= MIN_WIDTH_SIDE_BY_SIDE && tables.len() > 1 => {
                let gaps = TABLE_GAP * (tables.len() - 1);
                let each = (width - gaps) / tables.len();
                let blocks: Vec<_> =
                    tables.iter().map(|table| self.bar_lines(table, Some(each), None)).collect();
                self.write_lines(&beside(&blocks, each), out)
            }
            Some(_) | None => {
                for (place, table) in tables.iter().enumerate() {
                    if place > 0 {
                        out.write_all(b"\n")?;
                    }
                    self.write_lines(&self.bar_lines(table, self.display.width, None), out)?;
                }
                Ok(())
            }
        }
    }

    /// Writes one table with the share of each group.
    pub(crate) fn write_count_table(
        &self,
        scope: &CountScope,
        table: &CountTable,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.write_lines(&self.scope_lines(scope), out)?;
        self.write_lines(&self.bar_lines(table, self.display.width, Some(scope.events)), out)
    }

    /// Writes a table of two groupings: the first down, the second across. What does not fit across is
    /// summed in the last column but one.
    pub(crate) fn write_cross_table(
        &self,
        scope: &CountScope,
        counts: &CrossCounts,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.write_lines(&self.scope_lines(scope), out)?;
        let mut shown = counts.columns.len();
        let mut lines = self.cross_lines(counts, shown);
        let fits = |line: &StyledText| self.display.width.is_none_or(|width| line.width() <= width);
        while shown > 1 && !lines.iter().all(fits) {
            shown -= 1;
            lines = self.cross_lines(counts, shown);
        }
        self.write_lines(&lines, out)
    }

    /// Returns `4,812 events, 61 people, 22 Nov 14:00 to now`.
    fn scope_lines(&self, scope: &CountScope) -> Vec<StyledText> {
        let noun = if scope.events == 1 { "event" } else { "events" };
        let mut line = StyledText::own(
            TextStyle::Heading,
            &format!("{} {noun}", text::format_thousands(scope.events)),
        );
        if let Some(people) = scope.people {
            let noun = if people == 1 { "person" } else { "people" };
            let people = format!(", {} {noun}", text::format_thousands(people));
            line.push(TextStyle::Plain, &people);
        }
        if let (Some(from), Some(to)) = (scope.from, scope.to) {
            let to = if to == self.now { "now".to_owned() } else { self.moment(to) };
            line.push(TextStyle::Faint, &format!(", {} to {to}", self.moment(from)));
        }
        line.wrap(self.display.width.unwrap_or(usize::MAX))
    }

    fn moment(&self, at: Timestamp) -> String {
        match self.time_display {
            TimeDisplay::Relative | TimeDisplay::Local => {
                self.zone.format(at, TimeFormat::DateTimeMinute)
            }
            TimeDisplay::Rfc3339 | TimeDisplay::Utc => {
                self.zone.format(at, TimeFormat::Rfc3339Minute)
            }
        }
    }

    /// Returns the lines of a table with bars.
    fn bar_lines(
        &self,
        table: &CountTable,
        width: Option<usize>,
        share_of: Option<u64>,
    ) -> Vec<StyledText> {
        let grouping = table.groupings.first().copied();
        let labels =
            self.labels(table.groups.iter().filter_map(|group| group.values.first()), grouping);
        let counts: Vec<String> =
            table.groups.iter().map(|group| text::format_thousands(group.count)).collect();
        let shares = |count: u64| share_of.map(|all| format_share(count, all));
        let widest = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or(0);
        let count_width = widest(&mut counts.iter().map(String::len)).max("EVENTS".len());
        let share_width = if share_of.is_some() { GAP + "SHARE".len() } else { 0 };
        let others = count_width + share_width + 2 * GAP;
        let label_width = widest(&mut labels.iter().map(StyledText::width)).max(MIN_LABEL);
        let label_room = width.map_or(MAX_LABEL, |width| {
            width.saturating_sub(others + MIN_BAR).clamp(MIN_LABEL, MAX_LABEL)
        });
        let label_width = label_width.min(label_room);
        let bar_room = width
            .map_or(MAX_BAR, |width| width.saturating_sub(label_width + others).clamp(1, MAX_BAR));
        let greatest = table.groups.iter().map(|group| group.count).max().unwrap_or(0);
        let scale = BarScale::new(greatest, bar_room);

        let heading = grouping.map(|by| by.name().to_uppercase().replace('_', " "));
        let mut header = vec![heading_cell(&heading.unwrap_or_default()), heading_cell("EVENTS")];
        let mut alignments = vec![Alignment::Left, Alignment::Right];
        if share_of.is_some() {
            header.push(heading_cell("SHARE"));
            alignments.push(Alignment::Right);
        }
        header.push(vec![self.scale_note(scale, bar_room)]);
        alignments.push(Alignment::Left);
        let mut rows = vec![header];
        for ((group, label), count) in table.groups.iter().zip(labels).zip(counts) {
            let mut row = vec![vec![label.cut(label_width, &self.display)], plain_cell(&count)];
            row.extend(shares(group.count).map(|share| plain_cell(&share)));
            row.push(plain_cell(&self.bar(scale.length(group.count))));
            rows.push(row);
        }
        if let Some((groups, events)) = table.more {
            let more = format!("{} more", text::format_thousands(groups));
            let mut row = vec![
                vec![StyledText::own(TextStyle::Faint, &more)],
                plain_cell(&text::format_thousands(events)),
            ];
            row.extend(shares(events).map(|share| plain_cell(&share)));
            rows.push(row);
        }
        table::arrange(&rows, &alignments, &vec![0; alignments.len()])
    }

    fn bar(&self, length: usize) -> String {
        (if self.display.utf8 { "█" } else { "#" }).repeat(length)
    }

    /// Returns what one character of a bar stands for, as long as the room for bars allows.
    fn scale_note(&self, scale: BarScale, room: usize) -> StyledText {
        let bar = self.bar(1);
        let events = text::format_thousands(scale.events);
        let noun = if scale.events == 1 { "event" } else { "events" };
        let long = format!("one {bar} is {events} {noun}");
        let fits = text::width(&long) <= room;
        StyledText::own(TextStyle::Faint, &if fits { long } else { format!("{bar}={events}") })
    }

    /// Returns the labels of groups; two persons or records of one label have their ids.
    fn labels<'a>(
        &self,
        values: impl Iterator<Item = &'a GroupValue>,
        grouping: Option<Grouping>,
    ) -> Vec<StyledText> {
        let values: Vec<_> = values.collect();
        let plain: Vec<_> = values.iter().map(|value| self.group_label(value, grouping)).collect();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for label in &plain {
            *times.entry(label.text()).or_insert(0) += 1;
        }
        let is_shared: Vec<bool> = plain
            .iter()
            .map(|label| times.get(label.text()).is_some_and(|times| *times > 1))
            .collect();
        let labels = plain.iter().zip(&values).zip(is_shared);
        labels
            .map(|((label, value), is_shared)| {
                let mut label = label.clone();
                if is_shared && let Some(distinction) = distinction(value) {
                    label.push(TextStyle::Faint, " (");
                    label.push_foreign(TextStyle::Faint, &distinction);
                    label.push(TextStyle::Faint, ")");
                }
                label
            })
            .collect()
    }

    fn group_label(&self, value: &GroupValue, grouping: Option<Grouping>) -> StyledText {
        match value {
            GroupValue::Period(start) => StyledText::plain(&self.period_label(*start, grouping)),
            GroupValue::Text(text) => StyledText::foreign(TextStyle::Plain, text),
            GroupValue::Person { label, id, .. } => {
                let name = label.as_deref().or(id.as_deref()).unwrap_or_default();
                StyledText::foreign(TextStyle::Plain, name)
            }
            GroupValue::Record { label: Some(label), .. } => {
                StyledText::foreign(TextStyle::Plain, label)
            }
            GroupValue::Record { label: None, kind, id, .. } => {
                let parts: Vec<&str> =
                    [kind, id].into_iter().filter_map(|part| part.as_deref()).collect();
                StyledText::foreign(TextStyle::Plain, &parts.join("/"))
            }
            GroupValue::System => StyledText::foreign(TextStyle::Faint, self.system_label),
            GroupValue::Anonymous => StyledText::own(TextStyle::Faint, "(anonymous)"),
            GroupValue::Absent => StyledText::own(TextStyle::Faint, "(none)"),
        }
    }

    /// Returns an hour, day, week or month: in words for a person, by ISO 8601 elsewhere.
    fn period_label(&self, start: Timestamp, grouping: Option<Grouping>) -> String {
        let unit = match grouping {
            Some(Grouping::Period(unit)) => unit,
            Some(Grouping::Field(_) | Grouping::Actor | Grouping::Target) | None => {
                CalendarUnit::Day
            }
        };
        match self.time_display {
            TimeDisplay::Rfc3339 | TimeDisplay::Utc => iso_period(start, unit, self.zone),
            TimeDisplay::Relative | TimeDisplay::Local => match unit {
                CalendarUnit::Hour => self.zone.format(start, TimeFormat::WeekdayTime),
                CalendarUnit::Day | CalendarUnit::Week => {
                    let day = self.zone.format(start, TimeFormat::WeekdayTime);
                    let day = day.rsplit_once(' ').map_or(day.as_str(), |(day, _)| day);
                    let date = self.zone.format(start, TimeFormat::Date);
                    let today = self.zone.format(self.now, TimeFormat::Date);
                    let year = date.split('-').next().unwrap_or_default();
                    if today.starts_with(year) { day.to_owned() } else { format!("{day} {year}") }
                }
                CalendarUnit::Month => {
                    let month = self.zone.format(start, TimeFormat::DayMonthYear);
                    month.split_once(' ').map_or(month.as_str(), |(_, month)| month).to_owned()
                }
            },
        }
    }

    fn cross_lines(&self, counts: &CrossCounts, shown: usize) -> Vec<StyledText> {
        let columns = &counts.columns[..shown.min(counts.columns.len())];
        let hidden = counts.columns.len() - columns.len() + counts.hidden_columns;
        let heads = self.labels(columns.iter(), Some(counts.across));
        let name = counts.down.name().to_uppercase().replace('_', " ");
        let mut header = vec![heading_cell(&name)];
        header.extend(
            heads.iter().map(|head| vec![head.restyled(TextStyle::Heading).cut(20, &self.display)]),
        );
        if hidden > 0 {
            header.push(heading_cell(&format!("{hidden} more")));
        }
        header.push(heading_cell("EVENTS"));
        let mut alignments = vec![Alignment::Right; header.len()];
        alignments[0] = Alignment::Left;
        let count_cell = |count: u64| {
            let style = if count == 0 { TextStyle::Faint } else { TextStyle::Plain };
            vec![StyledText::own(style, &text::format_thousands(count))]
        };
        let labels = self.labels(counts.rows.iter().map(|row| &row.value), Some(counts.down));
        let mut rows: Vec<Vec<Cell>> = vec![header];
        for (row, label) in counts.rows.iter().zip(labels) {
            let known: u64 = row.counts[..columns.len()].iter().sum();
            let mut cells = vec![vec![label.cut(MAX_LABEL, &self.display)]];
            cells.extend(row.counts[..columns.len()].iter().map(|count| count_cell(*count)));
            if hidden > 0 {
                cells.push(count_cell(row.events.saturating_sub(known)));
            }
            cells.push(count_cell(row.events));
            rows.push(cells);
        }
        if let Some((groups, events)) = counts.more {
            let mut cells =
                vec![vec![StyledText::own(TextStyle::Faint, &format!("{groups} more"))]];
            cells.extend(std::iter::repeat_n(Cell::new(), alignments.len() - 2));
            cells.push(count_cell(events));
            rows.push(cells);
        }
        table::arrange(&rows, &alignments, &vec![0; alignments.len()])
    }
}

/// A row of a cross table.
#[derive(Clone, Debug)]
pub(crate) struct CrossRow {
    pub value: GroupValue,
    /// One for each column.
    pub counts: Vec<u64>,
    /// The events of the row, those of columns that are left out too.
    pub events: u64,
}

/// A table of two groupings.
#[derive(Clone, Debug)]
pub(crate) struct CrossCounts {
    pub down: Grouping,
    pub across: Grouping,
    pub columns: Vec<GroupValue>,
    /// The number of columns that are left out.
    pub hidden_columns: usize,
    pub rows: Vec<CrossRow>,
    /// The number of rows that are left out, and of their events.
    pub more: Option<(u64, u64)>,
}

/// Returns an hour, day, week or month by ISO 8601: `2026-11-20T14:00+02:00`, `2026-11-20`, `2026-11`.
/// A week is named by its Monday.
pub(crate) fn iso_period(start: Timestamp, unit: CalendarUnit, zone: &Zone) -> String {
    match unit {
        CalendarUnit::Hour => zone.format(start, TimeFormat::Rfc3339Minute),
        CalendarUnit::Day | CalendarUnit::Week => zone.format(start, TimeFormat::Date),
        CalendarUnit::Month => {
            let date = zone.format(start, TimeFormat::Date);
            date.rsplit_once('-').map_or(date.as_str(), |(month, _)| month).to_owned()
        }
    }
}

/// What tells two groups of one label apart.
fn distinction(value: &GroupValue) -> Option<String> {
    let parts = match value {
        GroupValue::Person { tenant, id, .. } => [id, tenant, &None].map(Clone::clone),
        GroupValue::Record { tenant, kind, id, .. } => [kind, id, tenant].map(Clone::clone),
        GroupValue::Period(_)
        | GroupValue::Text(_)
        | GroupValue::System
        | GroupValue::Anonymous
        | GroupValue::Absent => return None,
    };
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Returns a part of a whole in percent, `<1 %` where it would be none.
fn format_share(count: u64, all: u64) -> String {
    if all == 0 {
        return String::new();
    }
    let percent = (u128::from(count) * 100 + u128::from(all) / 2) / u128::from(all);
    if percent == 0 && count > 0 { "<1 %".to_owned() } else { format!("{percent} %") }
}

fn heading_cell(text: &str) -> Cell {
    vec![StyledText::own(TextStyle::Heading, text)]
}

fn plain_cell(text: &str) -> Cell {
    vec![StyledText::plain(text)]
}

/// Puts blocks of lines beside each other, each `width` wide.
fn beside(blocks: &[Vec<StyledText>], width: usize) -> Vec<StyledText> {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let line = |number: usize| {
        let mut line = StyledText::default();
        for (place, block) in blocks.iter().enumerate() {
            let start = place * (width + TABLE_GAP);
            line.push(TextStyle::Plain, &" ".repeat(start.saturating_sub(line.width())));
            if let Some(part) = block.get(number) {
                line.append(part);
            }
        }
        line
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_round_and_its_bars_fit() {
        for (greatest, room, events) in [
            (0, 10, 1),
            (10, 10, 1),
            (11, 10, 2),
            (880, 22, 50),
            (1_204, 8, 200),
            (u64::MAX, 1, u64::MAX),
        ] {
            let scale = BarScale::new(greatest, room);
            assert_eq!(scale.events, events, "{greatest} in {room}");
            assert!(scale.length(greatest) <= room, "{greatest} in {room}");
        }
        assert_eq!(BarScale { events: 50 }.length(1), 1, "something is more than nothing");
        assert_eq!(BarScale { events: 50 }.length(0), 0);
    }

    #[test]
    fn a_share_is_never_nothing_where_something_is() {
        assert_eq!(format_share(41, 61), "67 %");
        assert_eq!(format_share(1, 1_000), "<1 %");
        assert_eq!(format_share(0, 10), "0 %");
        assert_eq!(format_share(0, 0), "");
    }
}
