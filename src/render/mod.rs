//! What people read: tables, one event in full, the heads of searches, the vocabulary.
//!
//! A [`Printer`] knows the page (width, colour, glyphs), the clock and the zone, and writes to any
//! `Write`. Foreign text is escaped here, before it is measured and cut, so what is written is safe
//! for a terminal. Which events are shown, and where the output goes, is decided above; nothing here
//! sees a store, the command line or the environment.

mod actions;
mod changes;
mod column_widths;
mod columns;
mod detail;
mod findings;
mod footer;
mod indentation;
mod json;
mod labels;
mod listing;
mod sentence;
mod sparkline;
mod styled;
mod summary;
mod sweep_preview;
mod table;
mod theme;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::io;
use std::io::Write;

use crate::event::Event;
use crate::event::Party;
use crate::event::Target;
use crate::event::diff;
use crate::render::styled::StyledText;
use crate::render::theme::TextStyle;
use crate::terminal::DisplayOptions;
use crate::text;
use crate::time;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use crate::render::actions::ActionRow;
pub(crate) use crate::render::columns::{TableColumns, TableView, sort_field};
pub(crate) use crate::render::findings::{Finding, Section, Status};
pub(crate) use crate::render::footer::{Footer, shell_command};
pub(crate) use crate::render::labels::Labels;
pub(crate) use crate::render::listing::EventTable;
pub(crate) use crate::render::summary::{SearchSubject, SearchSummary};
pub(crate) use crate::render::sweep_preview::SweepPreviewRow;

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeDisplay {
    /// `2 min ago`: what a person at a terminal gets.
    Relative,
    /// `2026-11-20 14:28:09 SAST`.
    Local,
    /// RFC 3339 in the zone, exact: what a pipe gets.
    Rfc3339,
    /// RFC 3339 in UTC, exact.
    Utc,
}

/// Draws pages.
pub(crate) struct Printer<'a> {
    pub display: DisplayOptions,
    pub time_display: TimeDisplay,
    pub now: Timestamp,
    pub zone: &'a Zone,
    /// Who stands for an event of the system that names nobody: `(system)`.
    pub system_label: &'a str,
}

impl Printer<'_> {
    /// A time as it stands in a table.
    fn format_time(&self, at: Timestamp) -> String {
        match self.time_display {
            TimeDisplay::Relative => time::format_relative(at, self.now, self.zone),
            TimeDisplay::Local => {
                self.zone.format(at.truncate_to_second(), time::TimeFormat::DateTimeExact)
            }
            TimeDisplay::Rfc3339 => self.zone.format(at, time::TimeFormat::Rfc3339),
            TimeDisplay::Utc => at.to_string(),
        }
    }

    /// A day, where relative times would be too vague.
    fn format_day(&self, at: Timestamp) -> String {
        match self.time_display {
            TimeDisplay::Relative | TimeDisplay::Local => {
                self.zone.format(at, time::TimeFormat::DayMonthYear)
            }
            TimeDisplay::Rfc3339 | TimeDisplay::Utc => self.format_time(at),
        }
    }

    /// Who did it, as a table has it: `James Compton (by Jerome Cruz)`.
    fn styled_actor(&self, event: &Event, labels: &Labels) -> StyledText {
        let mut who = match &event.actor {
            Some(actor) => self.styled_party(actor, event, labels),
            None if event.source.is_system() => {
                StyledText::foreign(TextStyle::Faint, self.system_label)
            }
            None => StyledText::own(TextStyle::Faint, "(anonymous)"),
        };
        if let Some(impersonator) = &event.impersonator {
            who.push(TextStyle::Plain, " (by ");
            who.append(&self.styled_party(impersonator, event, labels));
            who.push(TextStyle::Plain, ")");
        }
        who
    }

    /// A label; else the newest known one, marked; else the id, cut short.
    fn styled_party(&self, party: &Party, event: &Event, labels: &Labels) -> StyledText {
        let known = || labels.get(event.tenant.as_deref(), party.id.as_deref()?);
        match (&party.label, known(), &party.id) {
            (Some(label), _, _) => StyledText::foreign(TextStyle::Plain, label),
            (None, Some(label), _) => {
                let mut marked = StyledText::own(TextStyle::Faint, "~");
                marked.push_foreign(TextStyle::Plain, label);
                marked
            }
            (None, None, Some(id)) => self.short_id(id),
            (None, None, None) => StyledText::default(),
        }
    }

    /// An id that stands for a label: of a UUID or another long number the beginning tells enough,
    /// of other ids some more is needed.
    fn short_id(&self, id: &str) -> StyledText {
        const MAX_WHOLE_ID: usize = 16;
        let styled = StyledText::foreign(TextStyle::Plain, id);
        let Some(_) = self.display.width.filter(|_| styled.width() > MAX_WHOLE_ID) else {
            return styled;
        };
        let opaque = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        styled
            .cut(if opaque { 8 + text::width(self.display.ellipsis()) } else { 24 }, &self.display)
    }

    /// The record as a table has it: its label, else its type and id, and the field that changed
    /// where it is the only one.
    fn styled_target(&self, event: &Event) -> StyledText {
        let mut target = event.target.as_deref().map(target_name).unwrap_or_default();
        if let Some(field) = sole_change(event)
            && !target.is_empty()
        {
            target.push(TextStyle::Plain, &format!(" {} ", self.display.arrow()));
            target.push_foreign(TextStyle::Plain, &field);
        }
        target
    }

    /// Writes a line.
    fn write_line(&self, line: &StyledText, out: &mut dyn Write) -> io::Result<()> {
        let mut painted = String::new();
        line.trim_end().paint_into(&mut painted, &self.display);
        painted.push('\n');
        out.write_all(painted.as_bytes())
    }

    fn write_lines(&self, lines: &[StyledText], out: &mut dyn Write) -> io::Result<()> {
        lines.iter().try_for_each(|line| self.write_line(line, out))
    }
}

/// The label of a record, else `type/id`, else what there is of the two.
fn target_name(target: &Target) -> StyledText {
    match (&target.label, &target.kind, &target.id) {
        (Some(label), _, _) => StyledText::foreign(TextStyle::Plain, label),
        (None, Some(kind), Some(id)) => {
            StyledText::foreign(TextStyle::Plain, &format!("{kind}/{id}"))
        }
        (None, kind, id) => StyledText::foreign(
            TextStyle::Plain,
            kind.as_deref().or(id.as_deref()).unwrap_or_default(),
        ),
    }
}

/// The name of the one field that an edit changed.
fn sole_change(event: &Event) -> Option<String> {
    let changes = diff::changes(event.diff.as_ref()?);
    let mut changed = changes.iter().filter(|change| !change.is_unchanged());
    let sole = changed.next()?;
    changed.next().is_none().then(|| sole.field.to_string())
}
