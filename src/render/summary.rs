//! The summary above the events of one actor or one target.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::sparkline;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::theme::TextStyle;
use crate::text;
use crate::time::Timestamp;

/// The kind of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchSubject {
    Actor,
    Target,
}

/// The counts and times of all events that a search found.
#[derive(Clone, Debug)]
pub(crate) struct SearchSummary {
    pub subject: SearchSubject,
    /// The name that was searched for: `user/17`.
    pub search_term: String,
    pub events: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The labels, each with the time of its first event, newest first.
    pub labels: Vec<(String, Timestamp)>,
    /// The ids: `user/17` for a target that has a type.
    pub ids: Vec<String>,
    /// The types of targets with their numbers of events, most first.
    pub types: Vec<(String, u64)>,
    /// The actions with their numbers of events, most first.
    pub actions: Vec<(String, u64)>,
    /// The targets of an actor, or the actors of a target, with their numbers of events, most first; an
    /// absent name is the system.
    pub others: Vec<(Option<String>, u64)>,
    /// The number of all others, including those that `others` leaves out.
    pub others_total: u64,
    /// The number of events in each month from the first to the last.
    pub monthly: Vec<u64>,
}

/// The most names or actions that are listed.
const MAX_LISTED: usize = 3;
/// The width of the labels.
const LABEL_WIDTH: usize = 9;

impl Printer<'_> {
    /// Writes the summary, and a blank line after it.
    pub(crate) fn write_summary(
        &self,
        summary: &SearchSummary,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut head = StyledText::foreign(TextStyle::Heading, &summary.search_term);
        if let Some((label, _)) =
            summary.labels.first().filter(|(label, _)| *label != summary.search_term)
        {
            head.push(TextStyle::Plain, "  ");
            head.push_foreign(TextStyle::Plain, label);
        }
        let room = self.display.width.map(|width| width.saturating_sub(LABEL_WIDTH + 4).max(16));
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut add = |label: &str, value: &StyledText| {
            let value = value.wrap(room.unwrap_or(usize::MAX));
            rows.push(vec![vec![StyledText::plain(&format!("  {label}"))], value]);
        };
        if !summary.labels.is_empty() {
            add("labels", &self.labels_line(summary));
        }
        if summary.ids.len() > 1 {
            add(
                "ids",
                &StyledText::foreign(TextStyle::Plain, &first_and_rest(&summary.ids, 5).join(", ")),
            );
        }
        add("events", &self.events_line(summary));
        let has_types = summary.types.len() > usize::from(summary.subject == SearchSubject::Target);
        let counted = [("types", &summary.types, has_types), ("kinds", &summary.actions, true)];
        for (label, counts, _) in counted.iter().filter(|(.., is_shown)| *is_shown) {
            let counts: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{name} {}", text::format_thousands(*count)))
                .collect();
            let parts = first_and_rest(&counts, MAX_LISTED).join(self.display.separator());
            add(label, &StyledText::foreign(TextStyle::Plain, &parts));
        }
        add("activity", &self.activity_line(&summary.monthly, room));
        let mut lines = vec![head];
        lines.extend(table::arrange(&rows, &[Alignment::Left; 2], &[LABEL_WIDTH + 2, 0]));
        lines.push(StyledText::default());
        self.write_lines(&lines, out)
    }

    /// `James Compton since 2 Mar 2026, before that Jim Compton`.
    fn labels_line(&self, summary: &SearchSummary) -> StyledText {
        let mut line = StyledText::default();
        for (place, (label, since)) in summary.labels.iter().take(MAX_LISTED).enumerate() {
            if place > 0 {
                line.push(TextStyle::Plain, ", before that ");
            }
            line.push_foreign(TextStyle::Plain, label);
            // The oldest label has been there since the first event, which another line shows.
            if place + 1 < summary.labels.len() {
                line.push(TextStyle::Plain, &format!(" since {}", self.format_day(*since)));
            }
        }
        let more = summary.labels.len().saturating_sub(MAX_LISTED);
        if more > 0 {
            line.push(TextStyle::Plain, &format!(", {more} more"));
        }
        line
    }

    /// `214 from 2 Nov 2025 to 2 min ago by 9 people: Jerome Cruz 141, (system) 38, 7 more`.
    fn events_line(&self, summary: &SearchSummary) -> StyledText {
        let mut line = StyledText::plain(&text::format_thousands(summary.events));
        if summary.events == 1 {
            line.push(TextStyle::Plain, &format!(", {}", self.format_time(summary.first)));
        } else {
            let from = self.format_day(summary.first);
            line.push(
                TextStyle::Plain,
                &format!(" from {from} to {}", self.format_time(summary.last)),
            );
        }
        let total = summary.others_total;
        if total == 0 {
            return line;
        }
        let noun = match (summary.subject, total) {
            (SearchSubject::Target, 1) => " by 1 person: ".to_owned(),
            (SearchSubject::Target, _) => {
                format!(" by {} people: ", text::format_thousands(total))
            }
            (SearchSubject::Actor, 1) => " on 1 record: ".to_owned(),
            (SearchSubject::Actor, _) => {
                format!(" on {} records: ", text::format_thousands(total))
            }
        };
        line.push(TextStyle::Plain, &noun);
        let mut listed = 0;
        for (name, count) in summary.others.iter().take(MAX_LISTED) {
            line.push(TextStyle::Plain, if listed > 0 { ", " } else { "" });
            match name {
                Some(name) => line.push_foreign(TextStyle::Plain, name),
                None => line.push_foreign(TextStyle::Faint, self.system_label),
            }
            line.push(TextStyle::Plain, &format!(" {}", text::format_thousands(*count)));
            listed += 1;
        }
        let more = total.saturating_sub(listed);
        if more > 0 {
            line.push(TextStyle::Plain, &format!(", {} more", text::format_thousands(more)));
        }
        line
    }

    /// Returns the activity by month, or by several months if there are too many for the line.
    fn activity_line(&self, months: &[u64], room: Option<usize>) -> StyledText {
        let room = room.unwrap_or(usize::MAX).saturating_sub(" by 12 months".len()).min(60);
        let (counts, step) = sparkline::condense(months, room, &[1, 3, 12]);
        let unit = if step == 1 { "month".to_owned() } else { format!("{step} months") };
        StyledText::plain(&format!("{} by {unit}", sparkline::draw(&counts, &self.display)))
    }
}

/// Returns the first names, and the number of the others.
fn first_and_rest(names: &[String], limit: usize) -> Vec<String> {
    let mut listed: Vec<String> = names.iter().take(limit).cloned().collect();
    let more = names.len().saturating_sub(limit);
    if more > 0 {
        listed.push(format!("{more} more"));
    }
    listed
}
