//! What people read: tables, one event in full, the heads of searches, the vocabulary.
//!
//! A [`Printer`] knows the page (width, colour, glyphs), the clock and the zone, and writes to any
//! `Write`. Foreign text is escaped here, before it is measured and cut, so what is written is safe
//! for a terminal. Which events are shown, and where the output goes, is decided above; nothing here
//! sees a store, the command line or the environment.

mod actions;
mod changes;
mod columns;
mod detail;
mod doomed;
mod findings;
mod fit;
mod footer;
mod json;
mod labels;
mod listing;
mod sentence;
mod spark;
mod styled;
mod summary;
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
use crate::render::styled::Styled;
use crate::render::theme::Style;
use crate::terminal::DisplayOptions;
use crate::text;
use crate::time;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use crate::render::actions::Vocable;
pub(crate) use crate::render::columns::{Columns, View, sort_field};
pub(crate) use crate::render::doomed::Doomed;
pub(crate) use crate::render::findings::{Finding, Section, Status};
pub(crate) use crate::render::footer::{Footer, command_line};
pub(crate) use crate::render::labels::Labels;
pub(crate) use crate::render::listing::Listing;
pub(crate) use crate::render::summary::{Subject, Summary};

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
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
    pub look: DisplayOptions,
    pub times: Times,
    pub now: Timestamp,
    pub zone: &'a Zone,
    /// Who stands for an event of the system that names nobody: `(system)`.
    pub system_label: &'a str,
}

impl Printer<'_> {
    /// A time as it stands in a table.
    fn when(&self, at: Timestamp) -> String {
        match self.times {
            Times::Relative => time::format_relative(at, self.now, self.zone),
            Times::Local => {
                self.zone.format(at.truncate_to_second(), time::TimeFormat::DateTimeExact)
            }
            Times::Rfc3339 => self.zone.format(at, time::TimeFormat::Rfc3339),
            Times::Utc => at.to_string(),
        }
    }

    /// A day, where relative times would be too vague.
    fn day(&self, at: Timestamp) -> String {
        match self.times {
            Times::Relative | Times::Local => self.zone.format(at, time::TimeFormat::DayMonthYear),
            Times::Rfc3339 | Times::Utc => self.when(at),
        }
    }

    /// Who did it, as a table has it: `James Compton (by Jerome Cruz)`.
    fn actor(&self, event: &Event, labels: &Labels) -> Styled {
        let mut who = match &event.actor {
            Some(actor) => self.party(actor, event, labels),
            None if event.source.is_system() => Styled::foreign(Style::Faint, self.system_label),
            None => Styled::own(Style::Faint, "(anonymous)"),
        };
        if let Some(impersonator) = &event.impersonator {
            who.push(Style::Plain, " (by ");
            who.append(&self.party(impersonator, event, labels));
            who.push(Style::Plain, ")");
        }
        who
    }

    /// A label; else the newest known one, marked; else the id, cut short.
    fn party(&self, party: &Party, event: &Event, labels: &Labels) -> Styled {
        let known = || labels.get(event.tenant.as_deref(), party.id.as_deref()?);
        match (&party.label, known(), &party.id) {
            (Some(label), _, _) => Styled::foreign(Style::Plain, label),
            (None, Some(label), _) => {
                let mut marked = Styled::own(Style::Faint, "~");
                marked.push_foreign(Style::Plain, label);
                marked
            }
            (None, None, Some(id)) => self.short_id(id),
            (None, None, None) => Styled::default(),
        }
    }

    /// An id that stands for a label: of a UUID or another long number the beginning tells enough,
    /// of other ids some more is needed.
    fn short_id(&self, id: &str) -> Styled {
        const WHOLE: usize = 16;
        let styled = Styled::foreign(Style::Plain, id);
        let Some(_) = self.look.width.filter(|_| styled.width() > WHOLE) else { return styled };
        let opaque = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        styled.cut(if opaque { 8 + text::width(self.look.ellipsis()) } else { 24 }, &self.look)
    }

    /// The record as a table has it: its label, else its type and id, and the field that changed
    /// where it is the only one.
    fn target(&self, event: &Event) -> Styled {
        let mut target = event.target.as_deref().map(target_name).unwrap_or_default();
        if let Some(field) = sole_change(event)
            && !target.is_empty()
        {
            target.push(Style::Plain, &format!(" {} ", self.look.arrow()));
            target.push_foreign(Style::Plain, &field);
        }
        target
    }

    /// Writes a line.
    fn write_line(&self, line: &Styled, out: &mut dyn Write) -> io::Result<()> {
        let mut painted = String::new();
        line.trim_end().paint_into(&mut painted, &self.look);
        painted.push('\n');
        out.write_all(painted.as_bytes())
    }

    fn write_lines(&self, lines: &[Styled], out: &mut dyn Write) -> io::Result<()> {
        lines.iter().try_for_each(|line| self.write_line(line, out))
    }
}

/// The label of a record, else `type/id`, else what there is of the two.
fn target_name(target: &Target) -> Styled {
    match (&target.label, &target.kind, &target.id) {
        (Some(label), _, _) => Styled::foreign(Style::Plain, label),
        (None, Some(kind), Some(id)) => Styled::foreign(Style::Plain, &format!("{kind}/{id}")),
        (None, kind, id) => {
            Styled::foreign(Style::Plain, kind.as_deref().or(id.as_deref()).unwrap_or_default())
        }
    }
}

/// The name of the one field that an edit changed.
fn sole_change(event: &Event) -> Option<String> {
    let changes = diff::changes(event.diff.as_ref()?);
    let mut changed = changes.iter().filter(|change| !change.is_unchanged());
    let sole = changed.next()?;
    changed.next().is_none().then(|| sole.field.to_string())
}
