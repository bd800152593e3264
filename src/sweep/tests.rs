use std::time::Duration;

use tempfile::TempDir;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::digest::outcome::DigestOutcome;
use crate::digest::outcome::tests::outcome;
use crate::event::NewEvent;
use crate::event::own_events;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::retention::RetentionPolicy;
use crate::store::Create;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::sweep::SWEEP_ACTION;
use crate::sweep::SweepEnd;
use crate::sweep::SweepOptions;
use crate::sweep::SweepUpdate;
use crate::sweep::run;
use crate::time::Span;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_nanos(1_763_611_201_000_000_000);

fn days(days: u64) -> Span {
    Span::from_seconds(days * 86_400)
}

fn days_ago(many: u64) -> Timestamp {
    NOW.saturating_sub(days(many))
}

struct Fixture {
    _folder: TempDir,
    log: LocalLog,
    interrupt: Interrupt,
    /// The answer where a large removal is to be confirmed.
    confirms: bool,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log =
            LocalLog::open_to_write(&folder.path().join("log.db"), Create::IfMissing).unwrap();
        Self { _folder: folder, log, interrupt: Interrupt::default(), confirms: false }
    }

    /// Records an event so many days ago.
    fn add(&mut self, event: NewEvent, recorded: u64) {
        let stamp = Stamp { clock: &|| days_ago(recorded), recorded_by: "root" };
        self.log.append(&[event], &stamp).unwrap();
    }

    fn add_event(&mut self, action: &str, recorded: u64) {
        self.add(NewEvent { action: action.to_owned(), ..NewEvent::default() }, recorded);
    }

    fn sweep(&mut self, keep: u64, force: bool) -> anyhow::Result<SweepEnd> {
        let retention = RetentionPolicy::new(Some(days(keep)), &[]).unwrap();
        let options = SweepOptions {
            retention: &retention,
            force,
            confirm: &|_| Ok(self.confirms),
            now: NOW,
            clock: &|| NOW,
            recorded_by: "root",
            interrupt: &self.interrupt,
            export_patience: Duration::ZERO,
        };
        run(&mut self.log, &options, &mut |report| {
            if let SweepUpdate::Warning(line) = report {
                panic!("{line}");
            }
        })
    }

    fn remaining_ids(&self) -> Vec<i64> {
        let head = self.log.head().unwrap().0;
        let mut left = Vec::new();
        let visit = &mut |event: crate::event::Event| {
            left.push(event.id.0);
            Ok(())
        };
        self.log
            .each(
                &Scope::of(PlatformWork::Comparison),
                &crate::query::Query::default(),
                head,
                visit,
            )
            .unwrap();
        left.sort_unstable();
        left
    }
}

fn swept_count(end: anyhow::Result<SweepEnd>) -> u64 {
    match end.unwrap() {
        SweepEnd::Done(swept) => swept.count,
        interrupted @ SweepEnd::Interrupted { .. } => panic!("{interrupted:?}"),
    }
}

#[test]
fn a_clock_that_is_far_ahead_of_the_log_sweeps_nothing() {
    let mut fixture = Fixture::new();
    assert_eq!(swept_count(fixture.sweep(1, false)), 0, "an empty log tells no time");
    let mut fixture = Fixture::new();
    fixture.add_event("a.b", 40);
    fixture.add_event("a.b", 31);
    let error = fixture.sweep(1, false).unwrap_err();
    let failure = error.downcast_ref::<Failure>().unwrap();
    assert_eq!(failure.exit, Exit::TryAgain);
    assert!(failure.message.contains("over 30 days before"), "{failure}");
    assert_eq!(fixture.remaining_ids(), [1, 2], "nothing is recorded");
    assert_eq!(swept_count(fixture.sweep(1, true)), 2);
    // That a sweep was recorded has lifted it.
    assert_eq!(swept_count(fixture.sweep(1, false)), 0);
    let mut fixture = Fixture::new();
    fixture.add_event("a.b", 40);
    fixture.add_event("a.b", 30);
    assert_eq!(swept_count(fixture.sweep(35, false)), 1);
}

fn refusal(end: anyhow::Result<SweepEnd>) -> String {
    let error = end.unwrap_err();
    let failure = error.downcast_ref::<Failure>().unwrap();
    assert_eq!(failure.exit, Exit::TryAgain, "{failure}");
    failure.message.clone()
}

#[test]
fn a_jump_of_the_clock_is_trusted_after_a_day_of_it() {
    // One hook ran under a clock that was a year ahead, which is the clock of the sweep too.
    let mut fixture = Fixture::new();
    fixture.add_event("a.b", 400);
    fixture.add_event("a.b", 399);
    fixture.add_event("from.the.future", 0);
    let message = refusal(fixture.sweep(365, false));
    assert!(message.contains("jump from ") && message.contains("less than a day"), "{message}");
    assert_eq!(fixture.remaining_ids(), [1, 2, 3], "nothing is recorded");
    assert_eq!(swept_count(fixture.sweep(365, true)), 2);

    // Other hooks ran with the right clock in between.
    let mut fixture = Fixture::new();
    for recorded in [400, 0, 399, 0] {
        fixture.add_event("a.b", recorded);
    }
    refusal(fixture.sweep(365, false));

    // Another hook ran under a clock that was further ahead.
    let mut fixture = Fixture::new();
    fixture.add_event("a.b", 400);
    fixture.add_event("a.b", 0);
    let stamp = Stamp { clock: &|| NOW.saturating_add(days(400)), recorded_by: "root" };
    fixture
        .log
        .append(&[NewEvent { action: "a.b".into(), ..NewEvent::default() }], &stamp)
        .unwrap();
    fixture.add_event("a.b", 0);
    refusal(fixture.sweep(365, false));

    // A day of the new clock was recorded, without a hole or with one.
    let mut fixture = Fixture::new();
    for recorded in [400, 399, 2, 1, 0] {
        fixture.add_event("a.b", recorded);
    }
    assert_eq!(swept_count(fixture.sweep(365, false)), 2);
    let mut fixture = Fixture::new();
    for recorded in [400, 1, 0] {
        fixture.add_event("a.b", recorded);
    }
    assert_eq!(swept_count(fixture.sweep(365, false)), 1);

    // The clock is right again: nothing goes that should stay.
    let mut fixture = Fixture::new();
    fixture.add_event("a.b", 40);
    fixture.add_event("a.b", 20);
    let stamp = Stamp { clock: &|| NOW.saturating_add(days(400)), recorded_by: "root" };
    fixture
        .log
        .append(&[NewEvent { action: "a.b".into(), ..NewEvent::default() }], &stamp)
        .unwrap();
    fixture.add_event("a.b", 0);
    assert_eq!(swept_count(fixture.sweep(30, false)), 1);
}

#[test]
fn the_removal_of_most_of_a_log_is_confirmed_once() {
    let mut fixture = Fixture::new();
    let event = NewEvent { action: "a.b".to_owned(), ..NewEvent::default() };
    let stamp = |recorded| move || days_ago(recorded);
    let (old, new) = (stamp(20), stamp(1));
    let add = |fixture: &mut Fixture, many: usize, clock: &dyn Fn() -> Timestamp| {
        let stamp = Stamp { clock, recorded_by: "root" };
        fixture.log.append(&vec![event.clone(); many], &stamp).unwrap();
    };
    add(&mut fixture, 1_001, &old);
    add(&mut fixture, 900, &new);
    let message = refusal(fixture.sweep(10, false));
    assert!(message.contains("1,001 of 1,901 events would go"), "{message}");
    refusal(fixture.sweep(10, true));
    assert_eq!(fixture.remaining_ids().len(), 1_901, "nothing is recorded");
    fixture.confirms = true;
    assert_eq!(swept_count(fixture.sweep(10, false)), 1_001);
    // The same retention was confirmed before, another one was not.
    fixture.confirms = false;
    add(&mut fixture, 2_000, &old);
    refusal(fixture.sweep(11, false));
    assert_eq!(swept_count(fixture.sweep(10, false)), 2_000);
    // Half of the log, and up to 1,000 events of any log, go without a question.
    let mut fixture = Fixture::new();
    add(&mut fixture, 1_001, &old);
    add(&mut fixture, 1_001, &new);
    assert_eq!(swept_count(fixture.sweep(10, false)), 1_001);
    let mut fixture = Fixture::new();
    add(&mut fixture, 1_000, &old);
    assert_eq!(swept_count(fixture.sweep(10, false)), 1_000);
}

#[test]
fn the_state_of_the_digests_stays_whatever_its_age() {
    let mut fixture = Fixture::new();
    let digest = |sent, one_off| DigestOutcome { sent, one_off, ..outcome() }.to_event();
    let imported = NewEvent { own: false, ..digest(true, false) };
    for event in [
        digest(true, false),
        digest(false, false),
        digest(true, false),
        digest(false, true),
        digest(false, false),
        digest(true, true),
        imported,
        own_events::system_event("log.export", &serde_json::json!({})),
        own_events::system_event(SWEEP_ACTION, &serde_json::json!({"sweep": 0})),
        own_events::system_event(SWEEP_ACTION, &serde_json::json!({"sweep": 0})),
    ] {
        fixture.add(event, 20);
    }
    assert_eq!(swept_count(fixture.sweep(10, false)), 5);
    assert_eq!(fixture.remaining_ids(), [3, 4, 5, 6, 10, 11]);
    // Those of a central store are a sequence of their own.
    let of_store = |sent| {
        let store = Some("postgres://central/activity".to_owned());
        DigestOutcome { sent, store, ..outcome() }.to_event()
    };
    let mut fixture = Fixture::new();
    for event in [of_store(false), of_store(true), of_store(false), digest(true, false)] {
        fixture.add(event, 20);
    }
    fixture.add_event("a.b", 20);
    assert_eq!(swept_count(fixture.sweep(10, false)), 2);
    assert_eq!(fixture.remaining_ids(), [2, 3, 4, 6]);
    // Without one that was sent, those that failed are all there is.
    let mut fixture = Fixture::new();
    fixture.add(digest(false, false), 20);
    fixture.add(digest(true, true), 20);
    fixture.add_event("a.b", 20);
    assert_eq!(swept_count(fixture.sweep(10, false)), 1);
    assert_eq!(fixture.remaining_ids(), [1, 2, 4]);
}

#[test]
fn what_was_too_old_when_it_came_is_late() {
    let mut fixture = Fixture::new();
    let at = |occurred: u64| NewEvent {
        action: "a.b".to_owned(),
        occurred_at: Some(days_ago(occurred)),
        ..NewEvent::default()
    };
    fixture.add(at(20), 20);
    fixture.add(at(20), 11);
    fixture.add(at(20), 2);
    fixture.add(at(5), 2);
    let SweepEnd::Done(swept) = fixture.sweep(10, false).unwrap() else { panic!("it is done") };
    let json = swept.to_json();
    assert_eq!((&json["count"], &json["late"]), (&3.into(), &1.into()), "{json}");
}

#[test]
fn a_signal_before_it_is_vouched_for_sweeps_nothing_and_after_it_leaves_the_rest() {
    let mut fixture = Fixture::new();
    fixture.add_event("a.b", 20);
    fixture.interrupt.send(15);
    let end = fixture.sweep(10, false).unwrap();
    assert!(matches!(end, SweepEnd::Interrupted { signal: 15, vouched: false }), "{end:?}");
    assert_eq!(fixture.remaining_ids(), [1]);

    let mut fixture = Fixture::new();
    fixture.add_event("a.b", 20);
    let retention = RetentionPolicy::new(Some(days(10)), &[]).unwrap();
    let interrupt = fixture.interrupt.clone();
    let options = SweepOptions {
        retention: &retention,
        force: false,
        confirm: &|_| Ok(false),
        now: NOW,
        clock: &|| NOW,
        recorded_by: "root",
        interrupt: &fixture.interrupt,
        export_patience: Duration::ZERO,
    };
    // Nothing is removed yet when the first report comes.
    let end = run(&mut fixture.log, &options, &mut |_| interrupt.send(15)).unwrap();
    assert!(matches!(end, SweepEnd::Interrupted { signal: 15, vouched: true }), "{end:?}");
    assert!(fixture.log.sweep_state().unwrap().unfinished);
    assert_eq!(fixture.remaining_ids(), [2], "what is vouched for is gone for readers");
    fixture.interrupt.send(0);
    assert_eq!(swept_count(fixture.sweep(10, false)), 0, "it was counted before");
    assert_eq!(fixture.remaining_ids(), [2, 3]);
}

#[test]
fn many_actions_leave_the_event_small() {
    let mut fixture = Fixture::new();
    let long = "x".repeat(110);
    let events: Vec<_> = (0..1_200)
        .map(|n| NewEvent { action: format!("{long}.{n:04}"), ..NewEvent::default() })
        .collect();
    let stamp = Stamp { clock: &|| days_ago(20), recorded_by: "root" };
    fixture.log.append(&events, &stamp).unwrap();
    fixture.add_event("often", 20);
    fixture.add_event("often", 20);
    fixture.confirms = true;
    assert_eq!(swept_count(fixture.sweep(10, false)), 1_202);
    let event = fixture.log.own_events(PlatformWork::Sweep, SWEEP_ACTION).unwrap().pop().unwrap();
    let payload = event.payload.unwrap();
    assert!(payload.as_str().len() < 200_000, "{}", payload.as_str().len());
    let payload: serde_json::Value = serde_json::from_str(payload.as_str()).unwrap();
    let by_action = payload["by_action"].as_object().unwrap();
    assert_eq!(by_action.len(), 1_001);
    assert_eq!(by_action.keys().next().unwrap(), "often");
    assert_eq!(by_action["(others)"], 201);
}
