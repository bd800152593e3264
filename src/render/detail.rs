//! One event in full: every field, the changes, the payload.

use std::io;
use std::io::Write;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Party;
use crate::event::Target;
use crate::event::field::FIELDS;
use crate::event::json::unescape_letters;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::TimeDisplay;
use crate::render::columns;
use crate::render::indentation::LABEL_WIDTH;
use crate::render::indentation::indented;
use crate::render::json;
use crate::render::styled::StyledText;
use crate::render::table;
use crate::render::table::Alignment;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::theme::TextStyle;
use crate::text;
use crate::time;

/// The indent of all lines below the headline.
const INDENT: usize = 2;
/// The width for the headline if the page has no width.
const DEFAULT_WIDTH: usize = 80;
/// The greatest width: longer lines are hard to follow.
const MAX_WIDTH: usize = 120;

/// The fields with a place of their own on the page. Any other field gets a line with its name.
const PLACED_FIELDS: [&str; 28] = [
    "id",
    "event_id",
    "occurred_at",
    "recorded_at",
    "recorded_by",
    "tenant",
    "source",
    "severity",
    "module",
    "action",
    "title",
    "description",
    "actor_id",
    "actor_label",
    "impersonator_id",
    "impersonator_label",
    "target_type",
    "target_id",
    "target_label",
    "diff",
    "payload",
    "ip",
    "user_agent",
    "session_id",
    "method",
    "endpoint",
    "status_code",
    "hash",
];

const SECOND: u128 = 1_000_000_000;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;
/// The age from which a date says more than a number of days.
const LONG_AGO: u128 = 100 * DAY;

/// A label and its value.
type LabelledValue = (String, Cell);

impl Printer<'_> {
    /// Writes the whole event; `nearby` is the command that shows the events around it, empty for an
    /// event that is not stored.
    pub(crate) fn write_detail(
        &self,
        event: &Event,
        labels: &Labels,
        nearby: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let page = self.display.width.map(|width| width.clamp(INDENT + 2 * LABEL_WIDTH, MAX_WIDTH));
        let inner = page.map(|page| page - INDENT);
        let mut lines = self.headline(event, labels, page);
        let indent = |line: &StyledText| indented(line, INDENT, page);
        lines.extend(self.impersonator_line(event, labels).iter().flat_map(indent));
        lines.extend(indent(&self.times_line(event)));
        lines.push(StyledText::default());
        lines.extend(
            labelled_lines(&self.field_lines(event, labels, inner)).iter().map(page_indented),
        );
        if let Some(diff) = &event.diff {
            lines.push(StyledText::default());
            lines.extend(self.change_lines(diff, inner).iter().map(page_indented));
        }
        lines.push(StyledText::default());
        if let Some(payload) = &event.payload {
            lines.push(page_indented(&StyledText::plain("payload")));
            let body = json::pretty_lines(&unescape_letters(payload.as_str()));
            lines.extend(body.iter().flat_map(|line| indented(line, 2 * INDENT, page)));
        }
        lines.extend(labelled_lines(&proof_lines(event, inner)).iter().map(page_indented));
        if !nearby.is_empty() {
            // A command must be copied in one piece, so it is not wrapped.
            let line = format!("nearby: {nearby}");
            lines.push(page_indented(&StyledText::foreign(TextStyle::Faint, &line)));
        }
        self.write_lines(&lines, out)
    }

    /// Returns the action, a sentence about the event, and its id.
    fn headline(&self, event: &Event, labels: &Labels, page: Option<usize>) -> Vec<StyledText> {
        let mut line = StyledText::default();
        if event.is_failed() {
            line.push(TextStyle::Failed, self.display.failure_mark());
            line.push(TextStyle::Plain, " ");
        }
        line.push_foreign(TextStyle::Heading, &event.action.slug);
        let sentence = self.sentence(event, labels);
        let number = match event.id {
            EventId(0) => "not stored".to_owned(),
            _ => format!("event {}", text::escape(&event.place().to_string())),
        };
        let column = line.width() + GAP;
        let room = page.map(|page| page.saturating_sub(column + GAP + number.len()));
        let beside = room.is_none_or(|room| room >= sentence.width().min(2 * LABEL_WIDTH));
        let mut pieces = Vec::new();
        if beside {
            pieces = sentence.wrap(room.unwrap_or(usize::MAX));
            line.push(TextStyle::Plain, "  ");
            line.append(&pieces.remove(0));
        }
        let blanks =
            page.unwrap_or(DEFAULT_WIDTH).saturating_sub(line.width() + number.len()).max(GAP);
        line.push(TextStyle::Plain, &" ".repeat(blanks));
        line.push(TextStyle::Plain, &number);
        let mut lines = vec![line];
        if beside {
            lines.extend(pieces.iter().flat_map(|piece| indented(piece, column, None)));
        } else {
            lines.extend(indented(&sentence, INDENT, page));
        }
        lines
    }

    /// Returns who really acted, if the event has an impersonator.
    fn impersonator_line(&self, event: &Event, labels: &Labels) -> Option<StyledText> {
        let mut line = StyledText::plain("really: ");
        line.append(&self.full_name(event.impersonator.as_deref()?, event, labels));
        line.push(TextStyle::Plain, ", as ");
        match &event.actor {
            Some(actor) => line.append(&self.full_name(actor, event, labels)),
            None => {
                line.append(
                    &self.styled_actor(&Event { impersonator: None, ..event.clone() }, labels),
                );
            }
        }
        Some(line)
    }

    fn times_line(&self, event: &Event) -> StyledText {
        let (occurred, recorded) = (event.occurred_at, event.recorded_at);
        let exact = |at| match self.time_display {
            TimeDisplay::Relative | TimeDisplay::Local => {
                self.zone.format(at, time::TimeFormat::DateTimeExact)
            }
            TimeDisplay::Rfc3339 | TimeDisplay::Utc => self.format_time(at),
        };
        let mut parts = vec![exact(occurred)];
        let age =
            (i128::from(self.now.as_nanos()) - i128::from(occurred.as_nanos())).unsigned_abs();
        if self.time_display == TimeDisplay::Relative && age < LONG_AGO {
            parts.push(time::format_ago(occurred, self.now, self.zone));
        }
        let late = i128::from(recorded.as_nanos()) - i128::from(occurred.as_nanos());
        parts.push(match (self.time_display, late.unsigned_abs()) {
            (TimeDisplay::Rfc3339 | TimeDisplay::Utc, _) => format!("recorded {}", exact(recorded)),
            (TimeDisplay::Relative | TimeDisplay::Local, 0) => "recorded at once".to_owned(),
            (TimeDisplay::Relative | TimeDisplay::Local, length @ ..SECOND) => {
                let side = if late < 0 { "earlier" } else { "later" };
                format!("recorded {} {side}", self.format_duration(length))
            }
            (TimeDisplay::Relative | TimeDisplay::Local, length)
                if late > 0 && length < 2 * DAY =>
            {
                format!("recorded {} later, {},", self.format_duration(length), exact(recorded))
            }
            (TimeDisplay::Relative | TimeDisplay::Local, _) => {
                format!("recorded {}", exact(recorded))
            }
        });
        let mut line = StyledText::plain(&parts.join(self.display.separator()));
        line.push(TextStyle::Plain, " by ");
        line.push_foreign(TextStyle::Plain, &event.recorded_by);
        if event.own {
            line.push(TextStyle::Plain, self.display.separator());
            line.push(TextStyle::Plain, "written by the log itself");
        }
        line
    }

    /// Returns a duration in the largest unit of which it has at least one.
    fn format_duration(&self, nanos: u128) -> String {
        let micro = if self.display.utf8 { "µs" } else { "us" };
        let units =
            [(HOUR, "hr"), (MINUTE, "min"), (SECOND, "s"), (1_000_000, "ms"), (1_000, micro)];
        let (unit, name) = units.into_iter().find(|(unit, _)| nanos >= *unit).unwrap_or((1, "ns"));
        format!("{} {name}", nanos / unit)
    }

    /// Returns `Jerome Cruz (3)`, or the label or the id alone. A missing label is filled in, marked.
    fn full_name(&self, party: &Party, event: &Event, labels: &Labels) -> StyledText {
        let known = || labels.get(event.tenant.as_deref(), party.id.as_deref()?);
        match (&party.label, &party.id) {
            (Some(label), Some(id)) if label != id => unstyled(&format!("{label} ({id})")),
            (None, Some(id)) => match known() {
                Some(label) => unstyled(&format!("~{label} ({id})")),
                None => unstyled(id),
            },
            (Some(label), _) => unstyled(label),
            (None, None) => StyledText::default(),
        }
    }

    /// Returns the fields that the event has, the most important first.
    fn field_lines(
        &self,
        event: &Event,
        labels: &Labels,
        page: Option<usize>,
    ) -> Vec<LabelledValue> {
        let mut lines: Vec<LabelledValue> = Vec::new();
        let mut add = |label: &str, value: Option<StyledText>| {
            lines.extend(value.map(|value| (label.to_owned(), wrap_value(&value, page))));
        };
        let actor = event.actor.as_deref();
        add("actor", actor.map(|actor| self.full_name(actor, event, labels)));
        add("target", event.target.as_deref().map(full_target));
        for (label, value) in classification(event, page) {
            add(label, Some(value));
        }
        if let Some(description) = &event.description {
            // Its lines stay separate: they are indented further than any label.
            let text = description.split('\n').map(unstyled);
            let cell = text.flat_map(|line| wrap_value(&line, page)).collect();
            lines.push(("description".to_owned(), cell));
        }
        let mut add = |label: &str, value: Option<StyledText>| {
            lines.extend(value.map(|value| (label.to_owned(), wrap_value(&value, page))));
        };
        add("request", request_line(event));
        add("from", event.ip.as_deref().map(unstyled));
        add("user agent", event.user_agent.as_deref().map(unstyled));
        add("session", event.session_id.as_deref().map(unstyled));
        add("tenant", event.tenant.as_deref().map(unstyled));
        for field in FIELDS.iter().filter(|field| !PLACED_FIELDS.contains(&field.name)) {
            add(field.name, (field.get)(event).map(|value| self.styled_value(value)));
        }
        lines
    }
}

fn unstyled(text: &str) -> StyledText {
    StyledText::foreign(TextStyle::Plain, text)
}

/// Returns what identifies an event; one that is not stored has no hash, and perhaps no id.
fn proof_lines(event: &Event, page: Option<usize>) -> Vec<LabelledValue> {
    let mut lines = Vec::new();
    if !event.event_id.is_empty() {
        lines.push(("event_id".to_owned(), wrap_value(&unstyled(&event.event_id), page)));
    }
    if event.id != EventId(0) {
        let hash = StyledText::plain(&event.hash.to_string());
        lines.push(("hash".to_owned(), wrap_value(&hash, page)));
    }
    lines
}

/// Returns `user/17 James Compton`, or the parts that exist.
fn full_target(target: &Target) -> StyledText {
    let key = [&target.kind, &target.id].into_iter().flatten().map(String::as_str);
    let key = key.collect::<Vec<_>>().join("/");
    let parts = [Some(key).filter(|key| !key.is_empty()), target.label.clone()];
    unstyled(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// Returns source, severity and module, on one line if it fits.
fn classification(event: &Event, page: Option<usize>) -> Vec<(&'static str, StyledText)> {
    let severity = event.severity;
    let mut parts = vec![
        ("source", StyledText::plain(event.source.name())),
        ("severity", StyledText::own(columns::severity_style(severity), severity.name())),
    ];
    if let Some(module) = &event.action.module {
        parts.push(("module", unstyled(module)));
    }
    let mut line = StyledText::default();
    for ((label, value), room) in parts.iter().zip([16, 11, 0]) {
        if !line.is_empty() {
            line.push(TextStyle::Plain, &format!("  {label}  "));
        }
        line.append(value);
        line.push(TextStyle::Plain, &" ".repeat(room - value.width().min(room)));
    }
    let line = line.trim_end();
    let fits = value_width(page).is_none_or(|room| line.width() <= room);
    if fits { vec![("source", line)] } else { parts }
}

/// Returns `POST /v1/auth/login  200`, or the parts that exist.
fn request_line(event: &Event) -> Option<StyledText> {
    let parts = [
        event.method.as_deref().map(columns::styled_method),
        event.endpoint.as_deref().map(unstyled),
        event.status_code.map(columns::styled_status),
    ];
    parts.into_iter().flatten().reduce(|mut line, part| {
        line.push(TextStyle::Plain, "  ");
        line.append(&part);
        line
    })
}

fn value_width(page: Option<usize>) -> Option<usize> {
    page.map(|page| page.saturating_sub(LABEL_WIDTH + GAP).max(LABEL_WIDTH))
}

fn wrap_value(value: &StyledText, page: Option<usize>) -> Cell {
    value.wrap(value_width(page).unwrap_or(usize::MAX))
}

/// Returns lines with the labels in one column and the values in another.
fn labelled_lines(lines: &[LabelledValue]) -> Vec<StyledText> {
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|(label, value)| vec![vec![StyledText::plain(label)], value.clone()])
        .collect();
    table::arrange(&rows, &[Alignment::Left; 2], &[LABEL_WIDTH, 0])
}

/// Returns the line behind the indent of the page.
fn page_indented(line: &StyledText) -> StyledText {
    if line.is_empty() {
        return StyledText::default();
    }
    let mut shifted = StyledText::plain(&" ".repeat(INDENT));
    shifted.append(line);
    shifted
}
