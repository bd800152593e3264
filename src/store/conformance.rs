//! The tests that every engine of the log must pass.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::field;
use crate::event::field::FieldValue;
use crate::event::json::JsonObject;
use crate::store::AppendOutcome;
use crate::store::Create;
use crate::store::EventIdMatch;
use crate::store::FileProgress;
use crate::store::LocalLog;
use crate::store::RejectedStretch;
use crate::store::Stamp;
use crate::store::SweptRanges;
use crate::store::sweep::CleanupScope;
use crate::time::Timestamp;

pub(super) const STAMP: Stamp<'static> =
    Stamp { clock: &|| Timestamp::from_nanos(1_763_611_201_000_000_000), recorded_by: "root" };

pub(super) fn some_text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The smallest event.
pub(super) fn minimal_event(action: &str) -> NewEvent {
    NewEvent { action: action.to_owned(), ..NewEvent::default() }
}

/// An event with every field.
pub(super) fn full_event() -> NewEvent {
    NewEvent {
        event_id: some_text("01890a5d-ac96-774b-bcce-b302099a8057"),
        occurred_at: Some(Timestamp::from_nanos(1_763_611_200_123_456_789)),
        tenant: some_text("s2l"),
        source: Some(Source::Operator),
        severity: Some(Severity::High),
        module: some_text("auth"),
        action: "user.edit".to_owned(),
        title: some_text("User edited"),
        description: some_text("By hand"),
        actor_id: some_text("17"),
        actor_label: some_text("James Compton"),
        impersonator_id: some_text("3"),
        impersonator_label: some_text("Jerome Cruz"),
        target_type: some_text("user"),
        target_id: some_text("42"),
        target_label: some_text("Zoë"),
        diff: Some(JsonObject::parse(r#"{"name":{"before":"Zoe","after":"Zoë"}}"#, 1).unwrap()),
        payload: Some(JsonObject::parse(r#"{"n":1.10}"#, 1).unwrap()),
        ip: some_text("2001:db8::1"),
        user_agent: some_text("curl/8.5"),
        session_id: some_text("s-1"),
        method: some_text("POST"),
        endpoint: some_text("/users/42"),
        status_code: Some(200),
        ..NewEvent::default()
    }
}

fn new_log() -> (TempDir, LocalLog) {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder.path().join("log.db"));
    (folder, log)
}

pub(super) fn open_log(path: &Path) -> LocalLog {
    LocalLog::open_to_write(path, Create::IfMissing).unwrap()
}

fn stored_id(appended: &AppendOutcome) -> EventId {
    match appended {
        AppendOutcome::Stored { id, .. } => *id,
        AppendOutcome::Duplicate { .. } | AppendOutcome::Conflict { .. } => panic!("{appended:?}"),
    }
}

fn event_with_id(event_id: &str) -> NewEvent {
    NewEvent { event_id: some_text(event_id), ..minimal_event("a.b") }
}

#[test]
fn what_is_appended_is_read_back() {
    let (_folder, mut log) = new_log();
    assert_eq!(log.head().unwrap().0, EventId(0));
    let appended = log.append(&[full_event(), minimal_event("cron.run")], &STAMP).unwrap();
    assert_eq!(appended.iter().map(stored_id).collect::<Vec<_>>(), [EventId(1), EventId(2)]);

    let event = log.event(&Scope::of(PlatformWork::Comparison), EventId(1)).unwrap().unwrap();
    assert_eq!(format_fields(&event), FULL_EVENT_FIELDS);
    assert!(!event.own);

    let event = log.event(&Scope::of(PlatformWork::Comparison), EventId(2)).unwrap().unwrap();
    assert_eq!(event.occurred_at, (STAMP.clock)(), "now, when absent");
    assert_eq!((event.source, event.severity), (Source::System, Severity::Info));
    assert_eq!(event.event_id.as_bytes()[14], b'7', "a UUID v7: {}", event.event_id);
    assert_eq!(log.head().unwrap(), (EventId(2), event.hash));
    assert_eq!(log.event(&Scope::of(PlatformWork::Comparison), EventId(3)).unwrap(), None);
}

/// The values of [`full_event`] by field, without the hash.
const FULL_EVENT_FIELDS: &str = "\
id 1
event_id 01890a5d-ac96-774b-bcce-b302099a8057
occurred_at 2025-11-20T04:00:00.123456789Z
recorded_at 2025-11-20T04:00:01.000000000Z
recorded_by root
tenant s2l
source operator
severity high
module auth
action user.edit
title User edited
description By hand
actor_id 17
actor_label James Compton
impersonator_id 3
impersonator_label Jerome Cruz
target_type user
target_id 42
target_label Zoë
diff {\"name\":{\"before\":\"Zoe\",\"after\":\"Zoë\"}}
payload {\"n\":1.10}
ip 2001:db8::1
user_agent curl/8.5
session_id s-1
method POST
endpoint /users/42
status_code 200
";

fn format_fields(event: &Event) -> String {
    let mut text = String::new();
    for field in field::FIELDS.iter().filter(|field| field.name != "hash") {
        if let Some(value) = (field.get)(event) {
            writeln!(text, "{} {}", field.name, format_value(value)).unwrap();
        }
    }
    text
}

/// A value as text, as the view `events` shows it.
pub(super) fn format_value(value: FieldValue<'_>) -> String {
    match value {
        FieldValue::Integer(number) => number.to_string(),
        FieldValue::Text(text) => text.to_owned(),
        FieldValue::Time(at) => at.to_sortable(),
        FieldValue::Json(json) => json.as_str().to_owned(),
        FieldValue::Hash(hash) => hash.to_string(),
    }
}

#[test]
fn a_repeat_is_known() {
    let (_folder, mut log) = new_log();
    let repeat = || event_with_id("e-1");
    let appended = log.append(&[repeat(), repeat(), minimal_event("a.b")], &STAMP).unwrap();
    let event_id = "e-1".to_owned();
    let (first, again) = (EventId(1), event_id.clone());
    assert_eq!(appended[0], AppendOutcome::Stored { id: first, event_id });
    assert_eq!(
        appended[1],
        AppendOutcome::Duplicate { id: first, event_id: again },
        "in one batch"
    );
    assert_eq!(stored_id(&appended[2]), EventId(2), "a repeat takes no id");

    // The first event looks for the repeat, the second expects one, the third is new.
    let later = Stamp { clock: &|| Timestamp::from_nanos(0), recorded_by: "nobody" };
    let appended =
        log.append(&[repeat(), repeat(), event_with_id("e-2"), repeat()], &later).unwrap();
    let kinds: Vec<_> =
        appended.iter().map(|one| matches!(one, AppendOutcome::Stored { .. })).collect();
    assert_eq!(kinds, [false, false, true, false], "another now is no other value");
    assert_eq!(log.head().unwrap().0, EventId(3));
}

#[test]
fn a_repeat_that_says_something_else_is_a_conflict() {
    let (_folder, mut log) = new_log();
    log.append(&[full_event()], &STAMP).unwrap();
    let mut appended = |event: NewEvent| log.append(&[event], &STAMP).unwrap().remove(0);
    let id = EventId(1);
    let said = |change: fn(&mut NewEvent)| {
        let mut event = full_event();
        change(&mut event);
        event
    };
    let conflict = |field| AppendOutcome::Conflict { id, field };
    assert_eq!(appended(said(|event| event.title = some_text("x"))), conflict("title"));
    assert_eq!(
        appended(said(|event| event.actor_label = some_text("J. C."))),
        conflict("actor_label")
    );
    assert_eq!(appended(said(|event| event.module = some_text("billing"))), conflict("module"));
    assert_eq!(appended(said(|event| event.status_code = Some(500))), conflict("status_code"));
    assert_eq!(
        appended(said(|event| event.occurred_at = Some(Timestamp::from_nanos(1)))),
        conflict("occurred_at")
    );
    assert_eq!(
        appended(said(|event| event.payload = Some(JsonObject::parse(r#"{"n":1.1}"#, 1).unwrap()))),
        conflict("payload"),
        "numbers by their text"
    );
    let event_id = full_event().event_id.unwrap();
    let duplicate = AppendOutcome::Duplicate { id, event_id };
    assert_eq!(
        appended(said(|event| {
            let diff = r#"{"name":{"after":"Zo\u00eb","before":"Zoe"}}"#;
            event.diff = Some(JsonObject::parse(diff, 1).unwrap());
        })),
        duplicate,
        "JSON by value"
    );
    let little = NewEvent {
        tenant: some_text("s2l"),
        event_id: full_event().event_id,
        ..minimal_event("user.edit")
    };
    assert_eq!(appended(little), duplicate, "what is not given does not count");
}

#[test]
fn a_conflict_leaves_nothing_behind() {
    let (_folder, mut log) = new_log();
    log.append(&[event_with_id("e-1")], &STAMP).unwrap();
    let other = NewEvent { actor_label: some_text("Somebody Else"), ..event_with_id("e-1") };
    let appended = log.append(&[other], &STAMP).unwrap();
    assert_eq!(appended, [AppendOutcome::Conflict { id: EventId(1), field: "actor_label" }]);
    assert_eq!(log.sqlite().actor_count(), 0);
}

#[test]
fn an_event_id_is_known_within_its_tenant() {
    let (_folder, mut log) = new_log();
    let of = |tenant| NewEvent { tenant: some_text(tenant), ..event_with_id("e-1") };
    let events = [event_with_id("e-1"), of("a"), of("b"), of("a")];
    let appended = log.append(&events, &STAMP).unwrap();
    assert_eq!(appended[..3].iter().map(stored_id).count(), 3);
    assert!(matches!(appended[3], AppendOutcome::Duplicate { id: EventId(2), .. }));
    let all = [1, 2, 3].map(|id| EventPlace { id: EventId(id), log: None }).to_vec();
    assert_eq!(
        log.find_by_event_id(&Scope::of(PlatformWork::Comparison), "e-1").unwrap(),
        EventIdMatch::Several(all)
    );
}

#[test]
fn what_is_not_committed_was_never_there() {
    let (_folder, mut log) = new_log();
    log.append(&[minimal_event("a.b")], &STAMP).unwrap();
    let mut batch = log.begin().unwrap();
    batch.append(&full_event(), &STAMP).unwrap();
    batch.append(&minimal_event("c.d"), &STAMP).unwrap();
    drop(batch);
    assert_eq!(log.head().unwrap().0, EventId(1));

    // The dimension rows made for the batch are gone too, so the writer must forget them.
    let appended = log.append(&[minimal_event("c.d"), full_event()], &STAMP).unwrap();
    assert_eq!(appended.iter().map(stored_id).collect::<Vec<_>>(), [EventId(2), EventId(3)]);
    let event = log.event(&Scope::of(PlatformWork::Comparison), EventId(3)).unwrap().unwrap();
    assert_eq!(format_fields(&event), FULL_EVENT_FIELDS.replace("id 1\n", "id 3\n"));
}

#[test]
fn two_writers_take_turns() {
    let (folder, mut one) = new_log();
    let mut other = open_log(&folder.path().join("log.db"));
    for n in 0..10 {
        let event = NewEvent {
            actor_label: some_text("Jo"),
            title: some_text(&n.to_string()),
            ..full_event()
        };
        let event = NewEvent { event_id: None, ..event };
        one.append(std::slice::from_ref(&event), &STAMP).unwrap();
        other.append(&[event], &STAMP).unwrap();
    }
    assert_eq!(one.head().unwrap(), other.head().unwrap());
    assert_eq!(one.head().unwrap().0, EventId(20));
    let scope = Scope::of(PlatformWork::Comparison);
    assert_eq!(one.event(&scope, EventId(20)).unwrap(), other.event(&scope, EventId(20)).unwrap());
}

#[test]
fn an_event_is_found_by_the_beginning_of_its_event_id() {
    let (_folder, mut log) = new_log();
    let ids = [
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a8058",
        "01890a5d",
        "evt-\u{d7ff}1",
        "evt-\u{10ffff}",
        "ffffffff-ffff-4fff-bfff-ffffffffffff",
    ];
    log.append(&ids.map(event_with_id), &STAMP).unwrap();
    let found = |beginning: &str| match log
        .find_by_event_id(&Scope::of(PlatformWork::Comparison), beginning)
        .unwrap()
    {
        EventIdMatch::One(event) => vec![event.id.0],
        EventIdMatch::Several(places) => places.iter().map(|place| place.id.0).collect(),
        EventIdMatch::None => vec![],
    };
    for (id, number) in ids.iter().zip(1..) {
        assert_eq!(found(id), [number], "the whole of {id:?} is that one export_lock");
    }
    assert_eq!(found("01890a5d-"), [1, 2]);
    assert_eq!(found("01890a5"), [1, 2, 3]);
    assert_eq!(found("01890a5d-ac96-774b-bcce-b302099a8058x"), [0; 0]);
    assert_eq!(found("01890A5D-"), [0; 0], "an id stands as it came");
    assert_eq!(found("evt-\u{d7ff}"), [4]);
    assert_eq!(found("evt-\u{10ffff}"), [5]);
    assert_eq!(found("\u{10ffff}"), [0; 0]);
    assert_eq!(found("f"), [6]);
    assert_eq!(found(""), [0; 0]);
    let many: Vec<_> = (0..9).map(|n| event_with_id(&format!("many-{n}"))).collect();
    log.append(&many, &STAMP).unwrap();
    assert!(
        matches!(log.find_by_event_id(&Scope::of(PlatformWork::Comparison), "many").unwrap(), EventIdMatch::Several(ids) if ids.len() == 5)
    );
}

#[test]
fn a_file_is_known_by_its_bytes() {
    let (_folder, mut log) = new_log();
    let at = |taken| FileProgress {
        head_length: 10,
        head_hash: [1; 32],
        offset: taken,
        tail_length: 5,
        tail_hash: [2; 32],
        records: 3,
        bare: 1,
        lines: 4,
        size: taken,
        file: None,
        touched: 0,
        rejected: vec![RejectedStretch { start: 1, end: 2, lines: 3, records: 0 }],
    };
    let other = FileProgress { head_length: 20, ..at(25) };
    let mut batch = log.begin().unwrap();
    for progress in [at(10), at(30), at(30), other.clone()] {
        batch.record_progress(&progress).unwrap();
    }
    batch.commit().unwrap();
    let mut batch = log.begin().unwrap();
    batch.record_progress(&at(1000)).unwrap();
    drop(batch);

    let known = |size| log.find_progress(size, |_| Ok([1; 32])).unwrap();
    assert_eq!(known(1000), [at(30), other, at(10)], "the furthest first");
    assert_eq!(known(24), [at(10)], "no further than the file goes");
    assert_eq!(known(9), []);
    let asked = std::cell::RefCell::new(Vec::new());
    let unknown = log.find_progress(1000, |length| {
        asked.borrow_mut().push(length);
        Ok([0; 32])
    });
    assert_eq!(unknown.unwrap(), []);
    assert_eq!(asked.into_inner(), [10, 20], "each length once");

    let mut batch = log.begin().unwrap();
    for taken in 100..300 {
        batch.record_progress(&at(taken)).unwrap();
    }
    batch.commit().unwrap();
    let kept = log.find_progress(1000, |_| Ok([1; 32])).unwrap();
    assert_eq!(kept.len(), 64 + 1, "a file that grows for ever does not fill the log");
    assert_eq!(kept[0], at(299));
}

/// Sweeps these events; unless it is to go on, it stops before it removes the first.
fn sweep_events(log: &mut LocalLog, ids: &[i64], go_on: bool) -> i64 {
    let mut sweeping = log.try_lock_sweep().unwrap().expect("no other sweep");
    let ids = ids.iter().copied().collect();
    let planned = log.plan_sweep(&mut sweeping, &ids, &mut |_| true).unwrap().unwrap();
    let event = NewEvent { own: true, ..minimal_event("retention.sweep") };
    assert!(log.vouch(&mut sweeping, &planned, &event, &STAMP).unwrap());
    let export_lock = log.lock_out_exports(Duration::ZERO, &mut |_| true).unwrap();
    let done =
        log.remove_swept(&mut sweeping, CleanupScope::RemovedEvents, &mut |_| go_on).unwrap();
    assert_eq!(done, go_on);
    drop(export_lock);
    log.reclaim_space(&mut sweeping, &mut |_| true).unwrap();
    planned.number
}

#[test]
fn what_is_swept_is_gone_and_vouched_for() {
    let (_folder, mut log) = new_log();
    let ids = ["e-1", "e-2", "e-3", "e-4"];
    log.append(&ids.map(event_with_id), &STAMP).unwrap();
    assert_eq!(
        log.sweep_state().unwrap(),
        SweptRanges { event_count: 4, gaps: vec![], unfinished: false }
    );
    let second = log.event(&Scope::of(PlatformWork::Comparison), EventId(2)).unwrap().unwrap();

    assert_eq!(sweep_events(&mut log, &[2, 3], true), 1);
    let swept = SweptRanges { event_count: 3, gaps: vec![(2, 3)], unfinished: false };
    assert_eq!(log.sweep_state().unwrap(), swept);
    assert_eq!(log.event(&Scope::of(PlatformWork::Comparison), EventId(2)).unwrap(), None);
    assert_eq!(
        log.find_by_event_id(&Scope::of(PlatformWork::Comparison), "e-2").unwrap(),
        EventIdMatch::None
    );
    // The id of the emitter is free again, its place in the log is not.
    let again = log.append(&[event_with_id("e-2"), event_with_id("e-1")], &STAMP).unwrap();
    assert_eq!(stored_id(&again[0]), EventId(6));
    assert!(matches!(again[1], AppendOutcome::Duplicate { id: EventId(1), .. }));
    assert_ne!(
        log.event(&Scope::of(PlatformWork::Comparison), EventId(6)).unwrap().unwrap().hash,
        second.hash
    );

    // Adjacent runs are joined; all but the event that vouches may go.
    assert_eq!(sweep_events(&mut log, &[1, 4, 5, 6], true), 2);
    let swept = SweptRanges { event_count: 1, gaps: vec![(1, 6)], unfinished: false };
    assert_eq!(log.sweep_state().unwrap(), swept);
    assert_eq!(stored_id(&log.append(&[minimal_event("a.b")], &STAMP).unwrap()[0]), EventId(8));
    // A sweep that removes nothing has a number too.
    assert_eq!(sweep_events(&mut log, &[], true), 3);
    assert_eq!(log.sweep_state().unwrap().gaps, [(1, 6)]);
}

#[test]
fn a_sweep_that_stopped_is_finished_by_the_next() {
    let (_folder, mut log) = new_log();
    log.append(&["e-1", "e-2", "e-3"].map(event_with_id), &STAMP).unwrap();
    sweep_events(&mut log, &[1, 2], false);
    let swept = log.sweep_state().unwrap();
    assert_eq!(
        (swept.event_count, swept.unfinished),
        (2, true),
        "what is vouched for counts as gone"
    );
    assert_eq!(swept.gaps, [(1, 2)]);
    // It is gone for readers at once.
    let scope = Scope::of(PlatformWork::Comparison);
    assert_eq!(log.event(&scope, EventId(1)).unwrap(), None);
    assert_eq!(log.find_by_event_id(&scope, "e-1").unwrap(), EventIdMatch::None);
    assert_eq!(log.event(&scope, EventId(3)).unwrap().unwrap().event_id, "e-3");
    let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
    assert!(log.remove_swept(&mut sweeping, CleanupScope::AllRows, &mut |_| true).unwrap());
    assert!(!log.sweep_state().unwrap().unfinished);
    assert_eq!(log.event(&Scope::of(PlatformWork::Comparison), EventId(1)).unwrap(), None);
    assert_eq!(log.head().unwrap().0, EventId(4), "no other event for it");
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("\\PC{1,12}|[\u{0}\u{1b}\u{202e}a]{1,3}")
}

prop_compose! {
    fn any_event()(
        ids in (any_text(), any_text(), any_text(), any_text(), any_text()),
        labels in (any_text(), any_text(), any_text(), any_text(), any_text()),
        others in (any_text(), any_text(), any_text(), any_text(), any_text()),
        nanos in proptest::option::of(any::<i64>()),
        numbers in (proptest::option::of(0..4_usize), proptest::option::of(0..5_usize)),
        status_code in proptest::option::of(100..600_u16),
        own in any::<bool>(),
        json in any_text(),
    ) -> NewEvent {
        let object = json.map(|text| {
            JsonObject::from_trusted(serde_json::json!({ "a": { "before": text, "after": 1 } }).to_string())
        });
        NewEvent {
            event_id: ids.0,
            occurred_at: nanos.map(Timestamp::from_nanos),
            tenant: ids.1,
            source: numbers.0.map(|number| Source::ALL[number]),
            severity: numbers.1.map(|number| Severity::ALL[number]),
            module: labels.0,
            action: "a.b".to_owned(),
            title: others.0,
            description: others.1,
            actor_id: ids.2,
            actor_label: labels.1,
            impersonator_id: ids.3,
            impersonator_label: labels.2,
            target_type: labels.3,
            target_id: ids.4,
            target_label: labels.4,
            payload: object.clone(),
            diff: object,
            user_agent: others.2,
            endpoint: others.3,
            session_id: others.4,
            status_code,
            own,
            ..NewEvent::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_event_comes_back_as_it_was_given(
        events in proptest::collection::vec(any_event(), 1..12)
    ) {
        let (_folder, mut log) = new_log();
        let appended = log.append(&events, &STAMP).unwrap();
        for (given, appended) in events.iter().zip(appended) {
            let AppendOutcome::Stored { id, event_id } = appended else { continue };
            let event = log.event(&Scope::of(PlatformWork::Comparison), id).unwrap().unwrap();
            prop_assert_eq!(super::conflicting_field(given, &event), None);
            prop_assert_eq!(&event.event_id, &event_id);
            prop_assert_eq!(event.own, given.own);
            for field in &field::FIELDS {
                let absent = (field.given)(given).is_none() && (field.get)(&event).is_some();
                let filled = ["id", "event_id", "occurred_at", "recorded_at", "recorded_by", "source", "severity", "hash"];
                prop_assert!(!absent || filled.contains(&field.name), "{} out of nothing", field.name);
            }
        }
        log.sqlite().assert_chain_holds();
    }
}
