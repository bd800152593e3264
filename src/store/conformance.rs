//! The story that every engine of the log must pass.

use std::path::Path;

use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::json::Json;
use crate::store::Appended;
use crate::store::Create;
use crate::store::Found;
use crate::store::Log;
use crate::store::Progress;
use crate::store::Stamp;
use crate::time::Timestamp;

pub(super) const STAMP: Stamp<'static> =
    Stamp { recorded_at: Timestamp::from_nanos(1_763_611_201_000_000_000), recorded_by: "root" };

pub(super) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// As little as an event can say.
pub(super) fn small(action: &str) -> NewEvent {
    NewEvent { action: action.to_owned(), ..NewEvent::default() }
}

/// An event with every field.
pub(super) fn full() -> NewEvent {
    NewEvent {
        event_id: text("01890a5d-ac96-774b-bcce-b302099a8057"),
        occurred_at: Some(Timestamp::from_nanos(1_763_611_200_123_456_789)),
        tenant: text("s2l"),
        source: Some(Source::Operator),
        severity: Some(Severity::High),
        module: text("auth"),
        action: "user.edit".to_owned(),
        title: text("User edited"),
        description: text("By hand"),
        actor_id: text("17"),
        actor_label: text("James Compton"),
        impersonator_id: text("3"),
        impersonator_label: text("Jerome Cruz"),
        target_type: text("user"),
        target_id: text("42"),
        target_label: text("Zoë"),
        diff: Some(Json::object(r#"{"name":{"before":"Zoe","after":"Zoë"}}"#, 1).unwrap()),
        payload: Some(Json::object(r#"{"n":1.10}"#, 1).unwrap()),
        ip: text("2001:db8::1"),
        user_agent: text("curl/8.5"),
        session_id: text("s-1"),
        method: text("POST"),
        endpoint: text("/users/42"),
        status_code: Some(200),
        own: false,
    }
}

pub(super) fn open(path: &Path) -> Log {
    Log::open_to_write(path, Create::IfMissing).unwrap()
}

fn stored(appended: &Appended) -> EventId {
    match appended {
        Appended::Stored { id, .. } => *id,
        Appended::Duplicate { .. } | Appended::Conflict { .. } => panic!("{appended:?}"),
    }
}

fn with_id(event_id: &str) -> NewEvent {
    NewEvent { event_id: text(event_id), ..small("a.b") }
}

#[test]
fn what_is_appended_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder.path().join("log.db"));
    assert_eq!(log.head().unwrap().0, EventId(0));
    let events = [full(), small("cron.run")];
    let appended = log.append(&events, &STAMP).unwrap();
    assert_eq!(appended.iter().map(stored).collect::<Vec<_>>(), [EventId(1), EventId(2)]);

    let event = log.event(EventId(1)).unwrap().unwrap();
    let given = full();
    assert_eq!(super::conflict(&given, &event), None);
    assert_eq!(
        Event { diff: None, payload: None, ..event.clone() },
        Event {
            id: EventId(1),
            event_id: given.event_id.unwrap(),
            occurred_at: given.occurred_at.unwrap(),
            recorded_at: STAMP.recorded_at,
            recorded_by: "root".into(),
            tenant: Some("s2l".into()),
            source: Source::Operator,
            severity: Severity::High,
            diff: None,
            payload: None,
            hash: event.hash,
            ..event.clone()
        }
    );
    assert_eq!(event.payload.unwrap().as_str(), r#"{"n":1.10}"#);

    let event = log.event(EventId(2)).unwrap().unwrap();
    assert_eq!(event.occurred_at, STAMP.recorded_at, "now, when absent");
    assert_eq!((event.source, event.severity), (Source::System, Severity::Info));
    assert_eq!(event.event_id.as_bytes()[14], b'7', "a UUID v7: {}", event.event_id);
    assert_eq!(log.head().unwrap(), (EventId(2), event.hash));
    assert_eq!(log.event(EventId(3)).unwrap(), None);
}
