//! The words of an alert: what happened, as a person would say it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::digest::event_lines::EventLine;
use crate::digest::event_lines::EventLineFormatter;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Party;
use crate::event::Target;
use crate::event::diff;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The most paragraphs of one message; the rest is counted.
const MAX_PARAGRAPHS: usize = 50;
/// The room for the paragraph that counts what the others do not tell.
const LAST_PARAGRAPH_CHARS: usize = 100;
/// The most changed fields that one paragraph shows.
const MAX_CHANGES: usize = 10;
/// The columns that each side of a change gets.
const CHANGE_COLUMNS: usize = 80;

/// A message about events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlertMessage {
    /// One line: whose log it is, which alert, and what happened.
    pub subject: String,
    /// What happened, a paragraph for each kind of event.
    paragraphs: Vec<Paragraph>,
    /// The events that no paragraph tells, and the first of them.
    untold: (u64, EventId),
}

/// What is said about events of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Paragraph {
    /// Without line feeds at the ends.
    text: String,
    first: EventId,
    events: u64,
}

/// How an alert writes.
pub(super) struct AlertStyle<'a> {
    pub site: &'a str,
    pub alert: &'a str,
    pub zone: &'a Zone,
    pub system_label: &'a str,
}

/// Events that differ in nothing that a message says but their time.
struct Repeats<'a> {
    first: &'a Event,
    last: &'a Event,
    count: u64,
}

/// Events of one kind: one actor did one thing to one target.
#[derive(PartialEq, Eq, Hash)]
struct RepeatKey {
    action: Arc<Action>,
    actor: Option<Arc<Party>>,
    impersonator: Option<Arc<Party>>,
    target: Option<Arc<Target>>,
}

impl AlertMessage {
    /// Writes about events, which are in the order of recording.
    pub(super) fn write<'a>(
        events: impl Iterator<Item = &'a Event>,
        style: &AlertStyle<'_>,
    ) -> Self {
        let mut kinds: Vec<Repeats<'_>> = Vec::new();
        let mut places = HashMap::new();
        let mut count = 0;
        for event in events {
            count += 1;
            let place = *places.entry(RepeatKey::from_event(event)).or_insert(kinds.len());
            match kinds.get_mut(place) {
                Some(repeats) => {
                    repeats.count += 1;
                    repeats.last = event;
                }
                None => kinds.push(Repeats { first: event, last: event, count: 1 }),
            }
        }
        let formatter = EventLineFormatter::outside_of_digest(
            style.zone,
            style.system_label,
            TimeFormat::DateTimeMinute,
            kinds.last().map_or(Timestamp::from_nanos(0), |kind| kind.last.recorded_at),
        );
        let name = text::escape(style.alert);
        let subject = match &kinds[..] {
            [only] => {
                let line = formatter.format_whole_event(only.first);
                let times = describe_times(only.count);
                format!("{} {}{}{times}", line.who, line.what, with_target(&line))
            }
            _ => text::plural(count, "event"),
        };
        let shown = kinds.iter().take(MAX_PARAGRAPHS).map(|repeats| Paragraph {
            text: write_paragraph(repeats, &formatter, style.zone),
            first: repeats.first.id,
            events: repeats.count,
        });
        let untold = kinds.iter().skip(MAX_PARAGRAPHS).map(|repeats| repeats.count).sum();
        let first = kinds.get(MAX_PARAGRAPHS).map_or(EventId(0), |repeats| repeats.first.id);
        Self {
            subject: format!("{}: {name}: {subject}", text::escape(style.site)),
            paragraphs: shown.collect(),
            untold: (untold, first),
        }
    }

    /// Returns the message as the text of a mail.
    pub(super) fn to_text(&self) -> String {
        let mut text = self.paragraphs_within(usize::MAX, str::to_owned).join("\n\n");
        text.push('\n');
        text
    }

    /// Returns the message as one text with the subject on its first line, of no more characters than
    /// `most` where the first paragraph has fewer. `escape` makes each part safe.
    pub(super) fn to_short_text(&self, most: usize, escape: fn(&str) -> String) -> String {
        let mut text = escape(&self.subject);
        let left = most.saturating_sub(text.chars().count());
        for paragraph in self.paragraphs_within(left, escape) {
            text.push('\n');
            text.push_str(&paragraph);
        }
        text
    }

    /// Returns as many escaped paragraphs as fit, and a last one that counts the events of the others.
    fn paragraphs_within(&self, most: usize, escape: fn(&str) -> String) -> Vec<String> {
        let (mut untold, mut first_untold) = self.untold;
        let mut texts = Vec::with_capacity(self.paragraphs.len() + 1);
        let mut left = most.saturating_sub(LAST_PARAGRAPH_CHARS);
        let mut paragraphs = self.paragraphs.iter();
        for paragraph in paragraphs.by_ref() {
            let text = escape(&paragraph.text);
            let length = text.chars().count() + 2;
            if length > left && !texts.is_empty() {
                untold += paragraph.events;
                first_untold = paragraph.first;
                break;
            }
            left = left.saturating_sub(length);
            texts.push(text);
        }
        untold += paragraphs.map(|paragraph| paragraph.events).sum::<u64>();
        if untold > 0 {
            let more = text::plural(untold, "more event");
            texts.push(format!("and {more}, from activity show {first_untold} on"));
        }
        texts
    }
}

impl RepeatKey {
    fn from_event(event: &Event) -> Self {
        Self {
            action: Arc::clone(&event.action),
            actor: event.actor.clone(),
            impersonator: event.impersonator.clone(),
            target: event.target.clone(),
        }
    }
}

fn describe_times(count: u64) -> String {
    if count > 1 { format!(" × {}", text::format_thousands(count)) } else { String::new() }
}

fn with_target(line: &EventLine) -> String {
    if line.target.is_empty() { String::new() } else { format!(": {}", line.target) }
}

fn write_paragraph(
    repeats: &Repeats<'_>,
    formatter: &EventLineFormatter<'_>,
    zone: &Zone,
) -> String {
    let event = repeats.last;
    let line = formatter.format_whole_event(event);
    let mut out = format!("{}  {}  {}{}", line.time, line.who, line.what, with_target(&line));
    out += &describe_times(repeats.count);
    let mut add = |text: &str| write!(out, "\n    {text}").expect("a String takes all");
    if event.title.is_some() {
        add(&text::escape(&event.action.slug));
    }
    if repeats.count > 1 {
        let first = zone.format(repeats.first.occurred_at, TimeFormat::DateTimeMinute);
        add(&format!("the first at {first}, and the last was:"));
    }
    let changes = event.diff.as_ref().map(diff::changes).unwrap_or_default();
    let changed: Vec<_> = changes.iter().filter(|change| !change.is_unchanged()).collect();
    for change in changed.iter().take(MAX_CHANGES) {
        let field = text::escape(&change.field);
        add(&format!("{field}: {} → {}", show_side(change.before), show_side(change.after)));
    }
    if changed.len() > MAX_CHANGES {
        add(&text::plural((changed.len() - MAX_CHANGES) as u64, "more change"));
    }
    if let Some(ip) = &event.ip {
        add(&format!("from {}", text::escape(ip)));
    }
    // A test is not in the log.
    if event.id.0 > 0 {
        add(&format!("activity show {}", event.id));
    }
    out
}

fn show_side(side: Option<&str>) -> String {
    match side {
        Some(json) => text::truncate(&text::escape(json), CHANGE_COLUMNS).into_owned(),
        None => "(none)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::JsonObject;
    use crate::query::samples;
    use crate::time::Span;

    fn event(id: i64, label: &str) -> Event {
        let at = Timestamp::parse_rfc3339("2026-11-20T04:00:12Z").unwrap();
        Event {
            id: EventId(id),
            occurred_at: at.saturating_add(Span::from_seconds(60 * id.unsigned_abs())),
            action: Arc::new(Action { slug: "settings.write".to_owned(), module: None }),
            actor: Some(Arc::new(Party { id: None, label: Some("Jerome Cruz".to_owned()) })),
            target: Some(Arc::new(Target {
                kind: Some("setting".to_owned()),
                id: Some("general".to_owned()),
                label: Some(label.to_owned()),
            })),
            diff: Some(JsonObject::from_trusted(
                r#"{"site_name":{"before":"S2L","after":"S2L Online"},"same":{"before":1,"after":1}}"#
                    .to_owned(),
            )),
            ip: Some("102.65.14.9".to_owned()),
            title: None,
            impersonator: None,
            status_code: None,
            ..samples::full_event()
        }
    }

    fn message(events: &[Event]) -> AlertMessage {
        let style = AlertStyle {
            site: "s2l.online",
            alert: "settings",
            zone: &Zone::utc(),
            system_label: "(system)",
        };
        AlertMessage::write(events.iter(), &style)
    }

    #[test]
    fn a_message_says_who_what_target_when_from_where_and_what_changed() {
        let message = message(&[event(4, "General settings")]);
        let subject = "s2l.online: settings: Jerome Cruz settings.write: General settings";
        assert_eq!(message.subject, subject);
        insta::assert_snapshot!(message.to_text(), @r#"
        2026-11-20 04:04 UTC  Jerome Cruz  settings.write: General settings
            site_name: "S2L" → "S2L Online"
            from 102.65.14.9
            activity show 4
        "#);
    }

    #[test]
    fn repeats_of_one_kind_are_one_paragraph() {
        let mut events: Vec<Event> = (1..=214).map(|id| event(id, "General settings")).collect();
        events.push(event(215, "Other"));
        let message = message(&events);
        assert_eq!(message.subject, "s2l.online: settings: 215 events");
        assert_eq!(message.paragraphs.len(), 2);
        let first = message.paragraphs[0].text.lines().next().unwrap();
        assert!(first.ends_with("settings.write: General settings × 214"), "{first}");
        assert!(message.paragraphs[0].text.contains("the first at 2026-11-20 04:01 UTC"));
    }

    #[test]
    fn a_message_is_short_and_hostile_text_stays_on_its_line() {
        let events: Vec<Event> =
            (1..=60).map(|id| event(id, &format!("t{id}\n\u{1b}[31m"))).collect();
        let message = message(&events);
        let text = message.to_text();
        assert_eq!(text.split("\n\n").count(), MAX_PARAGRAPHS + 1);
        assert!(text.ends_with("\n\nand 10 more events, from activity show 51 on\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(message.paragraphs[0].text.lines().next().unwrap().contains("t1\\n"));
    }

    #[test]
    fn a_short_message_tells_what_fits_and_counts_the_rest() {
        let events: Vec<Event> = (1..=60).map(|id| event(id, &format!("<{id}>"))).collect();
        let message = message(&events);
        let escape: fn(&str) -> String = |text| text.replace('<', "&lt;");
        let text = message.to_short_text(4000, escape);
        assert!(text.chars().count() <= 4000 && !text.contains('<'), "{text}");
        let (subject, rest) = text.split_once('\n').unwrap();
        assert_eq!(subject, "s2l.online: settings: 60 events");
        let told = rest.matches("from 102.65.14.9").count();
        assert!((10..50).contains(&told), "{told}");
        let last = rest.lines().last().unwrap();
        let wanted = format!("and {} more events, from activity show {} on", 60 - told, told + 1);
        assert_eq!(last, wanted);
        // However little fits, the first event is told.
        let text = message.to_short_text(10, escape);
        assert_eq!(text.matches("from 102.65.14.9").count(), 1, "{text}");
    }
}
