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

/// One person or record of a search.
#[derive(Clone, Debug)]
pub(crate) struct FoundSubject {
    /// The id: `user/17` for a target that has a type.
    pub id: Option<String>,
    /// The tenant, where the events are of several.
    pub tenant: Option<String>,
    /// The labels, each with the time of its first event, newest first.
    pub labels: Vec<(String, Timestamp)>,
    pub events: u64,
    /// The query that picks this one.
    pub query: String,
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
    /// The people or records of that name, most events first.
    pub subjects: Vec<FoundSubject>,
    /// The types of targets with their numbers of events, most first.
    pub types: Vec<(String, u64)>,
    /// The actions with their numbers of events, most first.
    pub actions: Vec<(String, u64)>,
    /// The targets of an actor, or the actors of a target, with their numbers of events, most first; an
    /// absent name is the system.
    pub others: Vec<(Option<String>, u64)>,
    /// The number of actors that are people.
    pub people: u64,
    /// The number of all others, including those that `others` leaves out.
    pub others_total: u64,
    /// The number of events in each month from the first to the last.
    pub monthly: Vec<u64>,
}

/// The most names or actions that are listed.
const MAX_LISTED: usize = 3;
/// The most people or records of one name that are listed.
const MAX_SUBJECTS: usize = 5;
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
        let sole = match summary.subjects.as_slice() {
            [sole] => Some(sole),
            _ => None,
        };
        let label = sole.and_then(|subject| subject.labels.first());
        if let Some((label, _)) = label.filter(|(label, _)| *label != summary.search_term) {
            head.push(TextStyle::Plain, "  ");
            head.push_foreign(TextStyle::Plain, label);
        }
        let room = self.display.width.map(|width| width.saturating_sub(LABEL_WIDTH + 4).max(16));
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut add = |label: &str, value: &StyledText| {
            let value = value.wrap(room.unwrap_or(usize::MAX));
            rows.push(vec![vec![StyledText::plain(&format!("  {label}"))], value]);
        };
        match sole {
            Some(sole) => {
                if !sole.labels.is_empty() {
                    add("labels", &self.labels_line(&sole.labels));
                }
                if let Some(id) = sole.id.as_ref().filter(|id| **id != summary.search_term) {
                    add("id", &StyledText::foreign(TextStyle::Plain, id));
                }
            }
            None => {
                for (place, line) in self.subject_lines(summary).iter().enumerate() {
                    let label = match summary.subject {
                        _ if place > 0 => "",
                        SearchSubject::Actor => "people",
                        SearchSubject::Target => "records",
                    };
                    add(label, line);
                }
            }
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
        // One bar alone compares nothing.
        if summary.monthly.len() > 1 {
            add("activity", &self.activity_line(&summary.monthly, room));
        }
        let mut lines = vec![head];
        lines.extend(table::arrange(&rows, &[Alignment::Left; 2], &[LABEL_WIDTH + 2, 0]));
        lines.push(StyledText::default());
        self.write_lines(&lines, out)
    }

    /// `user/17 James Compton, 3 events: type:user target_id:17` for each of several.
    fn subject_lines(&self, summary: &SearchSummary) -> Vec<StyledText> {
        let mut lines: Vec<StyledText> = Vec::new();
        for subject in summary.subjects.iter().take(MAX_SUBJECTS) {
            let mut line = StyledText::default();
            for text in [subject.id.as_ref(), subject.tenant.as_ref()].into_iter().flatten() {
                line.push_foreign(TextStyle::Plain, text);
                line.push(TextStyle::Plain, " ");
            }
            line.append(&self.labels_line(&subject.labels));
            let noun = if subject.events == 1 { "event" } else { "events" };
            let count = text::format_thousands(subject.events);
            line.push(TextStyle::Plain, &format!(", {count} {noun}: "));
            line.push_foreign(TextStyle::Faint, &subject.query);
            lines.push(line);
        }
        let more = summary.subjects.len().saturating_sub(MAX_SUBJECTS);
        if more > 0 {
            lines.push(StyledText::plain(&format!("{} more", text::format_thousands(more as u64))));
        }
        lines
    }

    /// `James Compton since 2 Mar 2026, before that Jim Compton`.
    fn labels_line(&self, labels: &[(String, Timestamp)]) -> StyledText {
        let mut line = StyledText::default();
        for (place, (label, since)) in labels.iter().take(MAX_LISTED).enumerate() {
            if place > 0 {
                line.push(TextStyle::Plain, ", before that ");
            }
            line.push_foreign(TextStyle::Plain, label);
            // The oldest label has been there since the first event, which another line shows.
            if place + 1 < labels.len() {
                line.push(TextStyle::Plain, &format!(" since {}", self.format_day(*since)));
            }
        }
        let more = labels.len().saturating_sub(MAX_LISTED);
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
            // The system and nobody known are no people.
            (SearchSubject::Target, _) => match summary.people {
                0 => " by ".to_owned(),
                1 => " by 1 person: ".to_owned(),
                people => format!(" by {} people: ", text::format_thousands(people)),
            },
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
