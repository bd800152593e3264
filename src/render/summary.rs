//! What stands above the events of one person or one record.

use std::io;
use std::io::Write;

use crate::render::Printer;
use crate::render::spark;
use crate::render::styled::Styled;
use crate::render::table;
use crate::render::table::Cell;
use crate::render::table::Side;
use crate::render::theme::Style;
use crate::text;
use crate::time::Timestamp;

/// What the summary is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Actor,
    Target,
}

/// All that one search found, in figures.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub subject: Subject,
    /// What was asked for, as it was understood: `user/17`.
    pub asked: String,
    pub events: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The labels with the time since each was seen, newest first.
    pub labels: Vec<(String, Timestamp)>,
    /// The ids seen: `user/17` for a record that has a type.
    pub ids: Vec<String>,
    /// The types of records with their events, most first; of interest for an actor.
    pub types: Vec<(String, u64)>,
    /// The actions with their events, most first.
    pub kinds: Vec<(String, u64)>,
    /// The records of an actor, or the actors of a record, with their events, most first; a name
    /// that is absent is the system's.
    pub others: Vec<(Option<String>, u64)>,
    /// How many others there are, those that `others` leaves out included.
    pub others_in_all: u64,
    /// The events of each month from the first to the last.
    pub months: Vec<u64>,
}

/// How many names or kinds are told, the most frequent ones.
const TOLD: usize = 3;
/// How wide labels are.
const LABEL: usize = 9;

impl Printer<'_> {
    /// Writes the summary, and a blank line after it.
    pub(crate) fn summary(&self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let mut head = Styled::foreign(Style::Head, &summary.asked);
        if let Some((label, _)) =
            summary.labels.first().filter(|(label, _)| *label != summary.asked)
        {
            head.push(Style::Plain, "  ");
            head.push_foreign(Style::Plain, label);
        }
        let room = self.look.width.map(|width| width.saturating_sub(LABEL + 4).max(16));
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut add = |label: &str, value: &Styled| {
            let value = value.wrap(room.unwrap_or(usize::MAX));
            rows.push(vec![vec![Styled::plain(&format!("  {label}"))], value]);
        };
        if !summary.labels.is_empty() {
            add("labels", &self.labels(summary));
        }
        if summary.ids.len() > 1 {
            add("ids", &Styled::foreign(Style::Plain, &told(&summary.ids, 5).join(", ")));
        }
        add("events", &self.events(summary));
        let types = summary.types.len() > usize::from(summary.subject == Subject::Target);
        let counted = [("types", &summary.types, types), ("kinds", &summary.kinds, true)];
        for (label, counts, _) in counted.iter().filter(|(.., worth)| *worth) {
            let counts: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{name} {}", text::format_thousands(*count)))
                .collect();
            let parts = told(&counts, TOLD).join(self.look.dot());
            add(label, &Styled::foreign(Style::Plain, &parts));
        }
        add("activity", &self.rhythm(&summary.months, room));
        let mut lines = vec![head];
        lines.extend(table::arrange(&rows, &[Side::Left; 2], &[LABEL + 2, 0]));
        lines.push(Styled::default());
        self.write_lines(&lines, out)
    }

    /// `James Compton since 2 Mar 2026, before that Jim Compton`.
    fn labels(&self, summary: &Summary) -> Styled {
        let mut line = Styled::default();
        for (place, (label, since)) in summary.labels.iter().take(TOLD).enumerate() {
            if place > 0 {
                line.push(Style::Plain, ", before that ");
            }
            line.push_foreign(Style::Plain, label);
            // Since when the oldest was there says no more than since when there are events.
            if place + 1 < summary.labels.len() {
                line.push(Style::Plain, &format!(" since {}", self.day(*since)));
            }
        }
        let more = summary.labels.len().saturating_sub(TOLD);
        if more > 0 {
            line.push(Style::Plain, &format!(", {more} more"));
        }
        line
    }

    /// `214 from 2 Nov 2025 to 2 min ago by 9 people: Jerome Cruz 141, (system) 38, 7 more`.
    fn events(&self, summary: &Summary) -> Styled {
        let mut line = Styled::plain(&text::format_thousands(summary.events));
        if summary.events == 1 {
            line.push(Style::Plain, &format!(", {}", self.when(summary.first)));
        } else {
            let from = self.day(summary.first);
            line.push(Style::Plain, &format!(" from {from} to {}", self.when(summary.last)));
        }
        let in_all = summary.others_in_all;
        if in_all == 0 {
            return line;
        }
        let noun = match (summary.subject, in_all) {
            (Subject::Target, 1) => " by 1 person: ".to_owned(),
            (Subject::Target, _) => format!(" by {} people: ", text::format_thousands(in_all)),
            (Subject::Actor, 1) => " on 1 record: ".to_owned(),
            (Subject::Actor, _) => format!(" on {} records: ", text::format_thousands(in_all)),
        };
        line.push(Style::Plain, &noun);
        let mut listed = 0;
        for (name, count) in summary.others.iter().take(TOLD) {
            line.push(Style::Plain, if listed > 0 { ", " } else { "" });
            match name {
                Some(name) => line.push_foreign(Style::Plain, name),
                None => line.push_foreign(Style::Faint, self.system_label),
            }
            line.push(Style::Plain, &format!(" {}", text::format_thousands(*count)));
            listed += 1;
        }
        let more = in_all.saturating_sub(listed);
        if more > 0 {
            line.push(Style::Plain, &format!(", {} more", text::format_thousands(more)));
        }
        line
    }

    /// The activity by month; by more months where there are too many for the line.
    fn rhythm(&self, months: &[u64], room: Option<usize>) -> Styled {
        let room = room.unwrap_or(usize::MAX).saturating_sub(" by 12 months".len()).min(60);
        let (counts, step) = spark::condense(months, room, &[1, 3, 12]);
        let unit = if step == 1 { "month".to_owned() } else { format!("{step} months") };
        Styled::plain(&format!("{} by {unit}", spark::line(&counts, &self.look)))
    }
}

/// The first of them, and how many there are besides.
fn told(names: &[String], most: usize) -> Vec<String> {
    let mut told: Vec<String> = names.iter().take(most).cloned().collect();
    let more = names.len().saturating_sub(most);
    if more > 0 {
        told.push(format!("{more} more"));
    }
    told
}
