//! Pages for people: tables of events, one event in full, the summary of a search, the list of actions.
//!
//! A [`Printer`] knows the page (width, colour, glyphs), the current time and the zone, and writes to
//! any `Write`. Foreign text is escaped here, before it is measured and cut, so the output is safe for
//! a terminal. The callers decide which events are shown and where the output goes; nothing here sees
//! a store, the command line or the environment.

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
mod mirror_status;
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
pub(crate) use crate::render::columns::TableColumns;
pub(crate) use crate::render::columns::TableView;
pub(crate) use crate::render::columns::sort_field;
pub(crate) use crate::render::findings::Finding;
pub(crate) use crate::render::findings::Section;
pub(crate) use crate::render::findings::Status;
pub(crate) use crate::render::footer::Footer;
pub(crate) use crate::render::footer::shell_command;
pub(crate) use crate::render::labels::Labels;
pub(crate) use crate::render::listing::EventTable;
pub(crate) use crate::render::mirror_status::MirrorStatusRow;
pub(crate) use crate::render::summary::SearchSubject;
pub(crate) use crate::render::summary::SearchSummary;
pub(crate) use crate::render::sweep_preview::SweepPreviewRow;

/// The form of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeDisplay {
    /// `2 min ago`: the default on a terminal.
    Relative,
    /// `2026-11-20 14:28:09 SAST`.
    Local,
    /// RFC 3339 in the zone, exact: the default elsewhere.
    Rfc3339,
    /// RFC 3339 in UTC, exact.
    Utc,
}

/// Writes pages.
pub(crate) struct Printer<'a> {
    pub display: DisplayOptions,
    pub time_display: TimeDisplay,
    pub now: Timestamp,
    pub zone: &'a Zone,
    /// The actor of an event of the system that names no actor: `(system)`.
    pub system_label: &'a str,
}

impl Printer<'_> {
    /// Returns a time as tables show it.
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

    /// Returns a day, for places where relative times would be too vague.
    fn format_day(&self, at: Timestamp) -> String {
        match self.time_display {
            TimeDisplay::Relative | TimeDisplay::Local => {
                self.zone.format(at, time::TimeFormat::DayMonthYear)
            }
            TimeDisplay::Rfc3339 | TimeDisplay::Utc => self.format_time(at),
        }
    }

    /// Returns the actor as tables show it: `James Compton (by Jerome Cruz)`.
    fn styled_actor(&self, event: &Event, labels: &Labels) -> StyledText {
        let mut styled = match &event.actor {
            Some(actor) => self.styled_party(actor, event, labels),
            None if event.source.is_system() => {
                StyledText::foreign(TextStyle::Faint, self.system_label)
            }
            None => StyledText::own(TextStyle::Faint, "(anonymous)"),
        };
        if let Some(impersonator) = &event.impersonator {
            styled.push(TextStyle::Plain, " (by ");
            styled.append(&self.styled_party(impersonator, event, labels));
            styled.push(TextStyle::Plain, ")");
        }
        styled
    }

    /// Returns the label; else the newest known label, marked; else the shortened id.
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

    /// Returns an id that stands in for a label. The first 8 characters of a UUID or another long number
    /// are enough; other ids need more.
    fn short_id(&self, id: &str) -> StyledText {
        const MAX_WHOLE_ID: usize = 16;
        let styled = StyledText::foreign(TextStyle::Plain, id);
        let Some(_) = self.display.width.filter(|_| styled.width() > MAX_WHOLE_ID) else {
            return styled;
        };
        let is_number = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        styled.cut(
            if is_number { 8 + text::width(self.display.ellipsis()) } else { 24 },
            &self.display,
        )
    }

    /// Returns the target as tables show it: its label, else its type and id, and the changed field if
    /// only one changed.
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

    /// Writes a line without the blanks at its end.
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

/// Returns the label of a target, else `type/id`, else the type or the id.
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

/// Returns the name of the changed field if only one changed.
fn sole_change(event: &Event) -> Option<String> {
    let changes = diff::changes(event.diff.as_ref()?);
    let mut changed = changes.iter().filter(|change| !change.is_unchanged());
    let sole = changed.next()?;
    changed.next().is_none().then(|| sole.field.to_string())
}
