//! One event in full: every field, what changed, the payload.

use std::io;
use std::io::Write;

use crate::event::Event;
use crate::event::Party;
use crate::event::Target;
use crate::event::field::FIELDS;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::Times;
use crate::render::changes::indented;
use crate::render::columns;
use crate::render::json;
use crate::render::styled::Styled;
use crate::render::table;
use crate::render::table::Cell;
use crate::render::table::GAP;
use crate::render::table::Side;
use crate::render::theme::Style;
use crate::time;

/// How wide labels are at least.
pub(super) const LABEL: usize = 12;
/// The blanks before all but the headline.
const INDENT: usize = 2;
/// The page that the headline is set on where there is none to keep to.
const USUAL: usize = 80;
/// Lines longer than this are hard to follow.
const READABLE: usize = 120;

/// The fields that have a place of their own on the page. Any other gets a line with its name.
const PLACED: [&str; 28] = [
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
/// From here on a date says more than a number of days.
const LONG_AGO: u128 = 100 * DAY;

/// A label and its value.
type Line = (String, Cell);

impl Printer<'_> {
    /// Writes the whole event; `nearby` is the command that shows what happened around it.
    pub(crate) fn detail(
        &self,
        event: &Event,
        nearby: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let page = self.look.width.map(|width| width.clamp(INDENT + 2 * LABEL, READABLE));
        let inner = page.map(|page| page - INDENT);
        let mut lines = self.headline(event, page);
        let indent = |line: &Styled| indented(line, INDENT, page);
        lines.extend(self.really(event).iter().flat_map(indent));
        lines.extend(indent(&self.times_line(event)));
        lines.push(Styled::default());
        lines.extend(labelled(&self.fields(event, inner)).iter().map(shifted));
        if let Some(diff) = &event.diff {
            lines.push(Styled::default());
            lines.extend(self.changes(diff, inner).iter().map(shifted));
        }
        lines.push(Styled::default());
        if let Some(payload) = &event.payload {
            lines.push(shifted(&Styled::plain("payload")));
            let body = json::lines(payload.as_str());
            lines.extend(body.iter().flat_map(|line| indented(line, 2 * INDENT, page)));
        }
        let hash = Styled::plain(&event.hash.to_string());
        let event_id = Styled::foreign(Style::Plain, &event.event_id);
        let proof = [
            ("event_id".to_owned(), wrapped(&event_id, inner)),
            ("hash".to_owned(), wrapped(&hash, inner)),
        ];
        lines.extend(labelled(&proof).iter().map(shifted));
        // A command is to be taken as it is, so it is not broken.
        lines.push(shifted(&Styled::foreign(Style::Faint, &format!("nearby: {nearby}"))));
        self.write_lines(&lines, out)
    }

    /// What was done, in a word and in a sentence, and which event this is.
    fn headline(&self, event: &Event, page: Option<usize>) -> Vec<Styled> {
        let mut line = Styled::default();
        if event.is_failed() {
            line.push(Style::Failed, self.look.cross());
            line.push(Style::Plain, " ");
        }
        line.push_foreign(Style::Head, &event.action.slug);
        let sentence = self.sentence(event);
        let number = format!("event {}", event.id);
        let column = line.width() + GAP;
        let room = page.map(|page| page.saturating_sub(column + GAP + number.len()));
        let beside = room.is_none_or(|room| room >= sentence.width().min(2 * LABEL));
        let mut pieces = Vec::new();
        if beside {
            pieces = sentence.wrap(room.unwrap_or(usize::MAX));
            line.push(Style::Plain, "  ");
            line.append(&pieces.remove(0));
        }
        let blanks = page.unwrap_or(USUAL).saturating_sub(line.width() + number.len()).max(GAP);
        line.push(Style::Plain, &" ".repeat(blanks));
        line.push(Style::Plain, &number);
        let mut lines = vec![line];
        if beside {
            lines.extend(pieces.iter().flat_map(|piece| indented(piece, column, None)));
        } else {
            lines.extend(indented(&sentence, INDENT, page));
        }
        lines
    }

    /// Who really acted, when acting as somebody else.
    fn really(&self, event: &Event) -> Option<Styled> {
        let mut line = Styled::plain("really: ");
        line.append(&full_name(event.impersonator.as_deref()?));
        line.push(Style::Plain, ", as ");
        match &event.actor {
            Some(actor) => line.append(&full_name(actor)),
            None => line.append(
                &self.actor(&Event { impersonator: None, ..event.clone() }, &Labels::default()),
            ),
        }
        Some(line)
    }

    fn times_line(&self, event: &Event) -> Styled {
        let (occurred, recorded) = (event.occurred_at, event.recorded_at);
        let exact = |at| match self.times {
            Times::Relative | Times::Local => self.zone.format(at, time::TimeFormat::DateTimeExact),
            Times::Rfc3339 | Times::Utc => self.when(at),
        };
        let mut parts = vec![exact(occurred)];
        let age =
            (i128::from(self.now.as_nanos()) - i128::from(occurred.as_nanos())).unsigned_abs();
        if self.times == Times::Relative && age < LONG_AGO {
            parts.push(time::format_ago(occurred, self.now, self.zone));
        }
        let late = i128::from(recorded.as_nanos()) - i128::from(occurred.as_nanos());
        parts.push(match (self.times, late.unsigned_abs()) {
            (Times::Rfc3339 | Times::Utc, _) => format!("recorded {}", exact(recorded)),
            (Times::Relative | Times::Local, 0) => "recorded at once".to_owned(),
            (Times::Relative | Times::Local, length @ ..SECOND) => {
                let side = if late < 0 { "earlier" } else { "later" };
                format!("recorded {} {side}", self.length(length))
            }
            (Times::Relative | Times::Local, length) if late > 0 && length < 2 * DAY => {
                format!("recorded {} later, {},", self.length(length), exact(recorded))
            }
            (Times::Relative | Times::Local, _) => format!("recorded {}", exact(recorded)),
        });
        let mut line = Styled::plain(&parts.join(self.look.dot()));
        line.push(Style::Plain, " by ");
        line.push_foreign(Style::Plain, &event.recorded_by);
        if event.own {
            line.push(Style::Plain, self.look.dot());
            line.push(Style::Plain, "written by the log itself");
        }
        line
    }

    /// A length of time in the largest unit that it has one of.
    fn length(&self, nanos: u128) -> String {
        let micro = if self.look.utf8 { "µs" } else { "us" };
        let units =
            [(HOUR, "hr"), (MINUTE, "min"), (SECOND, "s"), (1_000_000, "ms"), (1_000, micro)];
        let (unit, name) = units.into_iter().find(|(unit, _)| nanos >= *unit).unwrap_or((1, "ns"));
        format!("{} {name}", nanos / unit)
    }

    /// The fields that are there, those that everybody looks for first.
    fn fields(&self, event: &Event, page: Option<usize>) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let mut add = |label: &str, value: Option<Styled>| {
            lines.extend(value.map(|value| (label.to_owned(), wrapped(&value, page))));
        };
        add("actor", event.actor.as_deref().map(full_name));
        add("target", event.target.as_deref().map(full_target));
        for (label, value) in kind(event, page) {
            add(label, Some(value));
        }
        if let Some(description) = &event.description {
            // Its lines stay lines: all are further in than any label.
            let text = description.split('\n').map(foreign);
            let cell = text.flat_map(|line| wrapped(&line, page)).collect();
            lines.push(("description".to_owned(), cell));
        }
        let mut add = |label: &str, value: Option<Styled>| {
            lines.extend(value.map(|value| (label.to_owned(), wrapped(&value, page))));
        };
        add("request", request(event));
        add("from", event.ip.as_deref().map(foreign));
        add("user agent", event.user_agent.as_deref().map(foreign));
        add("session", event.session_id.as_deref().map(foreign));
        add("tenant", event.tenant.as_deref().map(foreign));
        for field in FIELDS.iter().filter(|field| !PLACED.contains(&field.name)) {
            add(field.name, (field.get)(event).map(|value| self.value(value)));
        }
        lines
    }
}

fn foreign(text: &str) -> Styled {
    Styled::foreign(Style::Plain, text)
}

/// `Jerome Cruz (3)`, or the one of the two that is there.
fn full_name(party: &Party) -> Styled {
    match (&party.label, &party.id) {
        (Some(label), Some(id)) => foreign(&format!("{label} ({id})")),
        (label, id) => foreign(label.as_deref().or(id.as_deref()).unwrap_or_default()),
    }
}

/// `user/17 James Compton`, or what there is of it.
fn full_target(target: &Target) -> Styled {
    let key = [&target.kind, &target.id].into_iter().flatten().map(String::as_str);
    let key = key.collect::<Vec<_>>().join("/");
    let parts = [Some(key).filter(|key| !key.is_empty()), target.label.clone()];
    foreign(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// What kind of event it is: source, severity and module, on one line where there is room.
fn kind(event: &Event, page: Option<usize>) -> Vec<(&'static str, Styled)> {
    let severity = event.severity;
    let mut parts = vec![
        ("source", Styled::plain(event.source.name())),
        ("severity", Styled::own(columns::severity_style(severity), severity.name())),
    ];
    if let Some(module) = &event.action.module {
        parts.push(("module", foreign(module)));
    }
    let mut line = Styled::default();
    for ((label, value), room) in parts.iter().zip([16, 11, 0]) {
        if !line.is_empty() {
            line.push(Style::Plain, &format!("  {label}  "));
        }
        line.append(value);
        line.push(Style::Plain, &" ".repeat(room - value.width().min(room)));
    }
    let line = line.trim_end();
    let fits = value_room(page).is_none_or(|room| line.width() <= room);
    if fits { vec![("source", line)] } else { parts }
}

/// `POST /v1/auth/login  200`, or what there is of it.
fn request(event: &Event) -> Option<Styled> {
    let parts = [
        event.method.as_deref().map(columns::method),
        event.endpoint.as_deref().map(foreign),
        event.status_code.map(columns::status),
    ];
    parts.into_iter().flatten().reduce(|mut line, part| {
        line.push(Style::Plain, "  ");
        line.append(&part);
        line
    })
}

fn value_room(page: Option<usize>) -> Option<usize> {
    page.map(|page| page.saturating_sub(LABEL + GAP).max(LABEL))
}

fn wrapped(value: &Styled, page: Option<usize>) -> Cell {
    value.wrap(value_room(page).unwrap_or(usize::MAX))
}

/// Labels in a column of their own, the values beside them.
pub(super) fn labelled(lines: &[Line]) -> Vec<Styled> {
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|(label, value)| vec![vec![Styled::plain(label)], value.clone()])
        .collect();
    table::arrange(&rows, &[Side::Left; 2], &[LABEL, 0])
}

/// The line with the page's indent before it.
fn shifted(line: &Styled) -> Styled {
    if line.is_empty() {
        return Styled::default();
    }
    let mut shifted = Styled::plain(&" ".repeat(INDENT));
    shifted.append(line);
    shifted
}
