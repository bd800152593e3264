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
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log =
            LocalLog::open_to_write(&folder.path().join("log.db"), Create::IfMissing).unwrap();
        Self { _folder: folder, log, interrupt: Interrupt::default() }
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
