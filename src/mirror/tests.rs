//! The engine against a destination that does as it is told, and a clock that stands still.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use crate::access::PlatformWork;
use crate::config::Config;
use crate::config::mirror::DeliveryPace;
use crate::config::mirror::DestinationConfig;
use crate::config::mirror::FileConfig;
use crate::config::mirror::FileFormat;
use crate::config::mirror::MirrorConfig;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::interrupt::Interrupt;
use crate::mirror::feed::BatchReader;
use crate::mirror::feed::Feed;
use crate::mirror::feed::MessagePace;
use crate::mirror::feed::Selection;
use crate::mirror::resend;
use crate::mirror::run::RunContext;
use crate::mirror::runner;
use crate::mirror::runner::MirrorRun;
use crate::mirror::runner::MirrorRunEnd;
use crate::mirror::runner::Persistence;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkFailure;
use crate::mirror::status;
use crate::query::Query;
use crate::store::Create;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::store::central::LogHeartbeat;
use crate::store::mirror::MirrorState;
use crate::time::Span;
use crate::time::Timestamp;

thread_local! {
    /// The clock of one test, in seconds.
    static NOW: Cell<i64> = const { Cell::new(1_800_000_000) };
}

fn now() -> Timestamp {
    Timestamp::from_nanos(NOW.get() * 1_000_000_000)
}

fn pass(seconds: i64) {
    NOW.set(NOW.get() + seconds);
}

/// What the destination does, and what it has had.
#[derive(Default)]
struct FakeDestination {
    is_away: bool,
    bad: Vec<i64>,
    batches: Vec<Vec<i64>>,
    heads: Vec<i64>,
}

#[derive(Clone, Default)]
struct ObedientSink(Arc<Mutex<FakeDestination>>);

impl Sink for ObedientSink {
    fn default_batch(&self) -> usize {
        10
    }

    fn wants_stable_batches(&self) -> bool {
        true
    }

    fn wants_seals(&self) -> bool {
        true
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        assert!(batch.iter().all(|outgoing| outgoing.seal.is_some()), "it wants them");
        let mut destination = self.0.lock().unwrap();
        let ids: Vec<i64> = batch.iter().map(|outgoing| outgoing.event.id.0).collect();
        if destination.is_away {
            destination.batches.push(ids);
            let failure = SinkFailure::unavailable("503 Service Unavailable");
            return Err(SinkFailure { status: Some(503), ..failure });
        }
        if ids.iter().any(|id| destination.bad.contains(id)) {
            return Err(SinkFailure { status: Some(400), ..SinkFailure::refused("too odd") });
        }
        destination.batches.push(ids);
        Ok(Vec::new())
    }

    fn report_head(&mut self, head: &LogHeartbeat) -> Result<(), SinkFailure> {
        self.0.lock().unwrap().heads.push(head.head.0);
        Ok(())
    }
}

fn config(query: &str) -> MirrorConfig {
    MirrorConfig {
        name: "m".to_owned(),
        query: query.to_owned(),
        identifier: None,
        from_now: false,
        direct: false,
        pace: DeliveryPace::default(),
        destination: DestinationConfig::File(FileConfig {
            path: "unused".into(),
            format: FileFormat::JsonLines,
            rotation: None,
        }),
    }
}

struct World {
    _folder: TempDir,
    context: RunContext,
    destination: Arc<Mutex<FakeDestination>>,
    feed: Feed,
}

impl World {
    fn new(query: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let context = RunContext {
            log: folder.path().join("log.db"),
            clock: now,
            recorded_by: "root".to_owned(),
            host: "web3".to_owned(),
            interrupt: Interrupt::default(),
        };
        drop(LocalLog::open_to_write(&context.log, Create::IfMissing).unwrap());
        let sink = ObedientSink::default();
        let feed = Feed {
            selection: Selection::of_mirror(&config(query)).unwrap(),
            reader: BatchReader {
                identifier: None,
                site: Arc::from("site"),
                batch: 10,
                has_seals: true,
            },
            messages: None,
            attempts: 1,
            first_wait: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            reported_at: None,
            sink: Box::new(sink.clone()),
        };
        Self { _folder: folder, context, destination: sink.0, feed }
    }

    fn ingest(&self, count: usize) {
        let event = NewEvent { action: "a.b".to_owned(), ..NewEvent::default() };
        let stamp = Stamp { clock: &now, recorded_by: "root" };
        self.log().append(&vec![event; count], &stamp).unwrap();
    }

    fn log(&self) -> LocalLog {
        self.context.open_log().unwrap()
    }

    fn run(&mut self) -> MirrorRun {
        let mut log = self.log();
        runner::run(&mut log, &mut self.feed, &self.context, Persistence::Full).unwrap()
    }

    fn state(&self) -> MirrorState {
        self.log().mirror_state("m").unwrap().unwrap()
    }

    fn set_away(&self, is_away: bool) {
        self.destination.lock().unwrap().is_away = is_away;
    }

    fn take_batches(&self) -> Vec<Vec<i64>> {
        std::mem::take(&mut self.destination.lock().unwrap().batches)
    }

    /// The payloads of the log's own events of an action.
    fn own_events(&self, action: &str) -> Vec<serde_json::Value> {
        let events = self.log().own_events(PlatformWork::Examination, action).unwrap();
        let payload = |payload: &str| serde_json::from_str(payload).unwrap();
        events.iter().map(|event| payload(event.payload.as_ref().unwrap().as_str())).collect()
    }
}

#[test]
fn a_refused_event_is_a_dead_letter_and_the_rest_goes_on() {
    let mut world = World::new("");
    world.ingest(7);
    world.destination.lock().unwrap().bad = vec![3];
    let run = world.run();
    assert_eq!((run.delivered, run.dead, &run.end), (6, 1, &MirrorRunEnd::CaughtUp));
    assert_eq!(world.take_batches().concat(), [1, 2, 4, 5, 6, 7], "in order");
    let letters = world.log().dead_letters("m").unwrap();
    assert_eq!((letters.len(), letters[0].id, letters[0].status), (1, EventId(3), Some(400)));
    assert_eq!(letters[0].reason, "too odd");
    let told = world.own_events("mirror.dead");
    assert_eq!(
        (told.len(), &told[0]["mirror"], &told[0]["error"]),
        (1, &"m".into(), &"too odd".into())
    );
    assert_eq!(world.run().delivered, 0, "what tells of mirrors feeds none");

    let summary = resend::retry(&mut world.feed, &world.context).unwrap();
    assert_eq!((summary.delivered, summary.refused), (0, 1));
    assert_eq!(summary.reason.as_deref(), Some("400: too odd"));
    world.destination.lock().unwrap().bad.clear();
    let summary = resend::retry(&mut world.feed, &world.context).unwrap();
    assert_eq!((summary.delivered, summary.refused, summary.swept), (1, 0, 0));
    assert_eq!(world.take_batches(), [[3]]);
    assert_eq!(world.log().dead_letter_count("m").unwrap(), 0);
    assert_eq!(world.own_events("mirror.dead").len(), 1, "told once");
}

#[test]
fn a_replay_keeps_what_is_refused_now_and_forgets_what_is_taken() {
    let mut world = World::new("");
    world.ingest(5);
    world.destination.lock().unwrap().bad = vec![2];
    world.run();
    world.take_batches();
    let before = world.state();
    let dead = |world: &World| -> Vec<i64> {
        let letters = world.log().dead_letters("m").unwrap();
        letters.iter().map(|letter| letter.id.0).collect()
    };
    for _ in 0..2 {
        world.destination.lock().unwrap().bad = vec![4];
        let summary = resend::replay(&mut world.feed, &world.context, &Query::default()).unwrap();
        assert_eq!((summary.delivered, summary.refused), (4, 1));
        assert_eq!(summary.reason.as_deref(), Some("400: too odd"));
        assert_eq!(world.take_batches().concat(), [1, 2, 3, 5], "in order");
        assert_eq!(dead(&world), [4]);
        assert_eq!(world.own_events("mirror.dead").len(), 2, "each told once");
    }
    world.destination.lock().unwrap().bad.clear();
    let summary = resend::replay(&mut world.feed, &world.context, &Query::default()).unwrap();
    assert_eq!((summary.delivered, summary.refused), (5, 0));
    assert_eq!(dead(&world), [0; 0]);
    assert_eq!(world.state(), before, "its place is where it was");
}

#[test]
fn a_replay_ends_after_a_signal() {
    let mut world = World::new("");
    world.ingest(3);
    world.run();
    world.take_batches();
    world.context.interrupt.send(15);
    let summary = resend::replay(&mut world.feed, &world.context, &Query::default()).unwrap();
    assert_eq!((summary.delivered, world.take_batches().len()), (0, 0));
}

#[test]
fn a_mirror_that_fails_for_an_hour_is_told_once_and_so_is_its_recovery() {
    let mut world = World::new("");
    world.ingest(2);
    world.set_away(true);
    let mut waits = Vec::new();
    for _ in 0..4 {
        let before = now();
        let run = world.run();
        let error = "503 Service Unavailable".to_owned();
        assert_eq!(run.end, MirrorRunEnd::Waiting { error, waiting: 2 });
        let next = world.state().next_try.unwrap().as_nanos() - before.as_nanos();
        waits.push(next / 1_000_000_000);
        pass(1800);
    }
    assert!(waits.is_sorted() && waits[0] >= 2 && waits[3] >= 16, "{waits:?}");
    let told = world.own_events("mirror.failing");
    assert_eq!((told.len(), &told[0]["waiting"]), (1, &2.into()));
    assert_eq!(told[0]["error"], "503 Service Unavailable");
    world.set_away(false);
    assert_eq!(world.run().delivered, 2);
    assert_eq!(world.own_events("mirror.recovered").len(), 1);
    let state = world.state();
    assert_eq!((state.failures, state.error, state.failing_since), (0, None, None));
}

#[test]
fn a_short_failing_is_not_told() {
    let mut world = World::new("");
    world.ingest(1);
    world.set_away(true);
    world.run();
    world.set_away(false);
    pass(3000);
    world.run();
    for action in ["mirror.failing", "mirror.recovered"] {
        assert!(world.own_events(action).is_empty(), "{action}");
    }
}

#[test]
fn a_query_that_names_them_gets_the_events_about_mirrors() {
    let mut world = World::new("action:a.b,mirror.*");
    world.ingest(3);
    world.destination.lock().unwrap().bad = vec![2];
    world.run();
    world.run();
    assert_eq!(world.take_batches().concat(), [1, 3, 4], "4 is mirror.dead");
}

#[test]
fn a_batch_that_is_sent_again_is_cut_alike() {
    let mut world = World::new("");
    world.ingest(3);
    world.set_away(true);
    world.run();
    world.ingest(4);
    world.set_away(false);
    pass(60);
    world.run();
    assert_eq!(world.take_batches(), [vec![1, 2, 3], vec![1, 2, 3], vec![4, 5, 6, 7]]);
}

#[test]
fn a_clock_that_was_wrong_holds_nothing_up() {
    let mut world = World::new("");
    world.ingest(1);
    world.set_away(true);
    pass(1_000_000);
    world.run();
    world.set_away(false);
    pass(-1_000_000);
    assert_eq!(world.run().delivered, 1, "the wait that was noted is not from this time");
    world.feed.messages = Some(MessagePace { every: Some(Span::from_seconds(300)) });
    world.ingest(1);
    assert_eq!(world.run().end, MirrorRunEnd::Spaced);
    pass(-5);
    assert_eq!(world.run().delivered, 1, "the last message is not to come");
}

#[test]
fn a_failing_that_began_in_the_future_is_told_after_an_hour() {
    let mut world = World::new("");
    pass(1_000_000);
    world.ingest(1);
    world.set_away(true);
    world.run();
    pass(-1_000_000);
    let mut all = Config::default();
    all.mirrors.push(config(""));
    for seconds in [0, 1800, 1800] {
        assert!(world.own_events("mirror.failing").is_empty());
        pass(seconds);
        world.run();
    }
    assert_eq!(world.own_events("mirror.failing").len(), 1);
    let statuses = status::read(&world.log(), &all, now()).unwrap();
    assert_eq!(statuses[0].lag, Some(Span::from_seconds(3600)), "of an event from the future");
}

#[test]
fn the_head_is_reported_also_where_nothing_is_new() {
    let mut world = World::new("action:nothing");
    world.ingest(5);
    world.run();
    assert_eq!(world.destination.lock().unwrap().heads, [5]);
    assert_eq!(world.state().cursor, EventId(5), "what does not match is not looked at again");
    world.run();
    assert_eq!(world.destination.lock().unwrap().heads, [5], "once a minute is enough");
    world.feed.reported_at = None;
    world.run();
    assert_eq!(world.destination.lock().unwrap().heads, [5, 5]);
}

#[test]
fn an_alert_begins_with_the_last_hour() {
    let world = World::new("");
    world.ingest(2);
    pass(3000);
    world.ingest(2);
    pass(1000);
    let log = world.log();
    let hour_ago = now().saturating_sub(Span::from_seconds(3600));
    assert_eq!(log.newest_recorded_before(hour_ago).unwrap(), EventId(2));
    assert_eq!(log.newest_recorded_before(now()).unwrap(), EventId(4));
    let first = Timestamp::from_nanos(0);
    assert_eq!(log.newest_recorded_before(first).unwrap(), EventId(0));
}
