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
mod intake_preview;
mod json;
mod labels;
mod listing;
mod mirror_status;
mod sentence;
mod sparkline;
mod stats;
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
use crate::event::own_events;
use crate::render::styled::StyledText;
use crate::render::theme::TextStyle;
use crate::terminal::DisplayOptions;
use crate::time;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) use crate::render::actions::ActionRow;
pub(crate) use crate::render::columns::TableColumns;
pub(crate) use crate::render::columns::TableView;
pub(crate) use crate::render::columns::selected_fields;
pub(crate) use crate::render::columns::sort_field;
pub(crate) use crate::render::findings::Finding;
pub(crate) use crate::render::findings::Section;
pub(crate) use crate::render::findings::Status;
pub(crate) use crate::render::footer::Footer;
pub(crate) use crate::render::footer::shell_command;
pub(crate) use crate::render::intake_preview::IntakePreview;
pub(crate) use crate::render::labels::Labels;
pub(crate) use crate::render::listing::EventTable;
pub(crate) use crate::render::mirror_status::MirrorStatusRow;
pub(crate) use crate::render::stats::CountScope;
pub(crate) use crate::render::stats::CountTable;
pub(crate) use crate::render::stats::CrossCounts;
pub(crate) use crate::render::stats::CrossRow;
pub(crate) use crate::render::stats::iso_period;
pub(crate) use crate::render::summary::FoundSubject;
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
    /// RFC 3339 in the zone with milliseconds: the default elsewhere.
    Rfc3339,
    /// RFC 3339 in UTC, exact, with nine digits.
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
            TimeDisplay::Rfc3339 => self.zone.format(at, time::TimeFormat::Rfc3339Millis),
            TimeDisplay::Utc => at.to_sortable(),
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
            let mut really = StyledText::plain(" (by ");
            really.append(&self.styled_party(impersonator, event, labels));
            really.push(TextStyle::Plain, ")");
            styled.append_tail(&really);
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

    /// Returns an id that stands in for a label, cut in its middle where it is long. Few characters of a
    /// UUID or another long number are enough; other ids need more.
    fn short_id(&self, id: &str) -> StyledText {
        const MAX_WHOLE_ID: usize = 16;
        let styled = StyledText::foreign(TextStyle::Plain, id).with_middle_cut();
        let Some(_) = self.display.width.filter(|_| styled.width() > MAX_WHOLE_ID) else {
            return styled;
        };
        let is_number = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        styled.cut(if is_number { 13 } else { 24 }, &self.display).with_middle_cut()
    }

    /// Returns the target as tables show it: its label, else its type and id; of a setting also the field
    /// that changed, if only one did; of an event of the log's own, what it did.
    fn styled_target(&self, event: &Event) -> StyledText {
        if let Some(deed) = own_events::describe(event) {
            return StyledText::foreign(TextStyle::Plain, &deed);
        }
        let Some(named) = event.target.as_deref() else { return StyledText::default() };
        let mut target = target_name(named);
        if is_setting(event, named)
            && let Some(field) = sole_change(event)
            && !target.is_empty()
            && !names_field(&target, &field)
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
            StyledText::foreign(TextStyle::Plain, &format!("{kind}/{id}")).with_middle_cut()
        }
        (None, kind, id) => StyledText::foreign(
            TextStyle::Plain,
            kind.as_deref().or(id.as_deref()).unwrap_or_default(),
        )
        .with_middle_cut(),
    }
}

/// Whether the target is a group of settings, by its type or by the action.
fn is_setting(event: &Event, target: &Target) -> bool {
    let begins = |text: &str| text.starts_with("setting") || text.starts_with("option");
    target.kind.as_deref().is_some_and(begins) || begins(&event.action.slug)
}

/// Whether a name tells the field already: `general → site_name`.
fn names_field(name: &StyledText, field: &str) -> bool {
    name.text().rsplit(|c: char| c.is_whitespace() || c == '.').next() == Some(field)
}

/// Returns the name of the changed field if only one changed.
fn sole_change(event: &Event) -> Option<String> {
    let changes = diff::changes(event.diff.as_ref()?);
    let mut changed = changes.iter().filter(|change| !change.is_unchanged());
    let sole = changed.next()?;
    changed.next().is_none().then(|| sole.field.to_string())
}
