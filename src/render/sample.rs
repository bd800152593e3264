//! Events and pages for the tests of this layer.

use std::io;
use std::io::Write;
use std::sync::Arc;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::Target;
use crate::event::json::JsonObject;
use crate::render::Printer;
use crate::render::TimeDisplay;
use crate::terminal::DisplayOptions;
use crate::time::Timestamp;
use crate::time::Zone;

pub(crate) const NOW: &str = "2026-11-20T12:30:09.551Z";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub(crate) fn party(id: &str, label: &str) -> Option<Arc<Party>> {
    Some(Arc::new(Party { id: Some(id.into()), label: Some(label.into()) }))
}

pub(crate) fn target(kind: &str, id: &str, label: &str) -> Option<Arc<Target>> {
    Some(Arc::new(Target {
        kind: Some(kind.into()),
        id: Some(id.into()),
        label: Some(label.into()),
    }))
}

pub(crate) fn action(slug: &str, module: &str) -> Arc<Action> {
    Arc::new(Action { slug: slug.into(), module: Some(module.into()) })
}

pub(crate) fn json(text: &str) -> Option<JsonObject> {
    Some(JsonObject::parse(text, 1).unwrap())
}

/// An edit with most fields.
pub(crate) fn edit() -> Event {
    Event {
        id: EventId(48_213),
        event_id: "0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7".into(),
        occurred_at: at("2026-11-20T12:28:09.551Z"),
        recorded_at: at("2026-11-20T12:28:09.554Z"),
        recorded_by: "www-data".into(),
        tenant: Some("s2l.online".into()),
        source: Source::Operator,
        severity: Severity::Low,
        actor: party("3", "Jerome Cruz"),
        target: target("user", "17", "James Compton"),
        diff: json(
            r#"{"phone":{"before":"+27 82 555 0100","after":"+27 82 555 0199"},
                "locale":{"before":"en","after":"en"},
                "newsletter":{"before":true,"after":false}}"#,
        ),
        payload: json(r#"{"request_id":"0d9e","via":"admin"}"#),
        ip: Some("102.65.14.9".into()),
        user_agent: Some("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/145.0".into()),
        hash: Hash([0x9f; 32]),
        ..Event::minimal(action("user.edit", "users"))
    }
}

/// An event with few fields beside its action.
pub(crate) fn bare(slug: &str, occurred_at: &str) -> Event {
    Event {
        occurred_at: at(occurred_at),
        action: Arc::new(Action { slug: slug.into(), module: None }),
        tenant: None,
        severity: Severity::Info,
        actor: None,
        target: None,
        diff: None,
        payload: None,
        ip: None,
        user_agent: None,
        ..edit()
    }
}

/// The page of a person at a terminal in Johannesburg.
pub(crate) fn with_printer<T>(width: Option<usize>, run: impl FnOnce(&Printer<'_>) -> T) -> T {
    let zone = Zone::parse("Africa/Johannesburg").unwrap();
    run(&Printer {
        display: DisplayOptions { colour: false, utf8: true, width },
        time_display: TimeDisplay::Relative,
        now: at(NOW),
        zone: &zone,
        system_label: "(system)",
    })
}

/// Returns the text that `draw` writes to that page.
pub(crate) fn drawn(
    width: Option<usize>,
    draw: impl FnOnce(&Printer<'_>, &mut dyn Write) -> io::Result<()>,
) -> String {
    let mut out = Vec::new();
    with_printer(width, |printer| draw(printer, &mut out)).unwrap();
    String::from_utf8(out).unwrap()
}
