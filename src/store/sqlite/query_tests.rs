//! Tests that queries in SQL find the events of `Query::matches` by every strategy, and use indexes.

use std::sync::Arc;
use std::sync::Mutex;

use proptest::prelude::*;
use rusqlite::trace::TraceEvent;
use rusqlite::trace::TraceEventCodes;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::query::samples::any_event;
use crate::query::samples::any_query;
use crate::query::samples::to_new_event;
use crate::query::samples::try_parse;
use crate::store::Cursor;
use crate::store::LocalLog;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::Stamp;
use crate::store::Suggestion;
use crate::store::SuggestionKind;
use crate::store::conformance::minimal_event;
use crate::store::conformance::open_log;
use crate::store::sortable_fields;
use crate::store::sqlite::page::PageBounds;
use crate::store::sqlite::plan::QueryPlan;
use crate::store::sqlite::plan::ReadStrategy;
use crate::time::Timestamp;

const FIRST_PAGE: PageRequest<'_> =
    PageRequest { order: Order::NewestFirst, after: None, skip: 0, limit: 50, up_to: None };

fn query(text: &str) -> Query {
    try_parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes a log of these events, and returns the events as it keeps them.
fn log_of(events: &[Event]) -> (tempfile::TempDir, LocalLog, Vec<Event>) {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_log(&folder.path().join("log.db"));
    let mut batch = log.begin().unwrap();
    for event in events {
        let stamp = Stamp { clock: &|| event.recorded_at, recorded_by: &event.recorded_by };
        batch.append(&to_new_event(event), &stamp).unwrap();
    }
    batch.commit().unwrap();
    let ids = 1..=i64::try_from(events.len()).unwrap();
    let stored = ids
        .map(|id| log.event(&Scope::of(PlatformWork::Comparison), EventId(id)).unwrap().unwrap())
        .collect();
    (folder, log, stored)
}

fn ids(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.id.0).collect()
}

/// The ids of a slice, by `Query::matches`.
fn expected(events: &[Event], query: &Query, slice: PageBounds<'_>) -> Vec<i64> {
    let mut expected: Vec<&Event> = events
        .iter()
        .filter(|event| query.matches(event))
        .filter(|event| slice.up_to.is_none_or(|up_to| event.id <= up_to))
        .filter(|event| {
            slice.after.is_none_or(|after| {
                let place = Cursor::from_event(event);
                if slice.newest_first { place < after } else { place > after }
            })
        })
        .collect();
    expected.sort_by_key(|event| Cursor::from_event(event));
    if slice.newest_first {
        expected.reverse();
    }
    let skip = usize::try_from(slice.skip).unwrap();
    expected.into_iter().skip(skip).take(slice.limit).map(|event| event.id.0).collect()
}

fn check_slice(log: &LocalLog, events: &[Event], tested: &Query, slice: PageBounds<'_>) {
    let expected = expected(events, tested, slice);
    let order = if slice.newest_first { Order::NewestFirst } else { Order::OldestFirst };
    let PageBounds { after, skip, limit, up_to, .. } = slice;
    let page = PageRequest { order, after, skip, limit, up_to };
    assert_eq!(
        ids(&log.page(&Scope::of(PlatformWork::Comparison), tested, &page).unwrap()),
        expected,
        "{tested} by {page:?}"
    );
    let engine = log.sqlite();
    let plan = QueryPlan::new(&engine.connection, tested).unwrap();
    let Some(window) = plan.window_of(slice) else {
        return;
    };
    for strategy in plan.strategies() {
        let found = engine
            .read_slice_by(&engine.connection, &plan, &strategy, slice, window, usize::MAX)
            .unwrap()
            .events;
        let name = match strategy {
            ReadStrategy::TimeOrder => "time",
            ReadStrategy::Merge(_) => "merge",
            ReadStrategy::Gather(_) => "gather",
        };
        assert_eq!(ids(&found), expected, "{tested} by {name} in {page:?}");
    }
}

fn check_query(log: &LocalLog, events: &[Event], tested: &Query) {
    let all = PageBounds {
        newest_first: true,
        after: None,
        skip: 0,
        limit: 1_000,
        up_to: None,
        span: TimeBounds::default(),
    };
    for newest_first in [true, false] {
        for limit in [1_000, 2] {
            let slice = PageBounds { newest_first, limit, ..all };
            check_slice(log, events, tested, slice);
            check_slice(log, events, tested, PageBounds { skip: 1, ..slice });
            check_slice(log, events, tested, PageBounds { up_to: Some(EventId(5)), ..slice });
            for event in events.iter().step_by(3) {
                let after = Some(Cursor::from_event(event));
                check_slice(log, events, tested, PageBounds { after, ..slice });
            }
        }
    }
    let expected = expected(events, tested, PageBounds { newest_first: false, ..all });
    let count = u64::try_from(expected.len()).unwrap();
    assert_eq!(
        log.count(&Scope::of(PlatformWork::Comparison), tested, u64::MAX).unwrap(),
        count,
        "{tested}"
    );
    assert_eq!(
        log.count(&Scope::of(PlatformWork::Comparison), tested, 2).unwrap(),
        count.min(2),
        "{tested}"
    );
    let mut streamed = Vec::new();
    log.each(&Scope::of(PlatformWork::Comparison), tested, EventId(i64::MAX), &mut |event| {
        streamed.push(event.id.0);
        Ok(())
    })
    .unwrap();
    assert_eq!(streamed, expected, "{tested}");
    for events in [1, 3, u32::MAX] {
        let mut streamed = Vec::new();
        let spans = log.time_spans(events).unwrap();
        assert!(spans.windows(2).all(|pair| pair[0].to.is_some() && pair[0].to == pair[1].from));
        assert_eq!((spans[0].from, spans[spans.len() - 1].to), (None, None));
        for span in spans {
            let scope = Scope::of(PlatformWork::Comparison);
            log.each_within(&scope, tested, span, EventId(i64::MAX), &mut |event| {
                streamed.push(event.id.0);
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(streamed, expected, "{tested} in spans of {events}");
    }
    let mut streamed = Vec::new();
    let scope = Scope::of(PlatformWork::Comparison);
    let visit = &mut |event: Event| streamed.push(event.id.0);
    log.each_matching_newest_first(&scope, tested, EventId(i64::MAX), visit).unwrap();
    streamed.reverse();
    assert_eq!(streamed, expected, "{tested}");
    let mut arrived: Vec<i64> = expected.iter().copied().filter(|id| *id > 3).collect();
    arrived.sort_unstable();
    assert_eq!(
        ids(&log
            .recorded_after(&Scope::of(PlatformWork::Comparison), tested, EventId(3), 1_000)
            .unwrap()),
        arrived,
        "{tested}"
    );
    let summary = log.summary(&Scope::of(PlatformWork::Comparison), tested, &[]).unwrap();
    assert_eq!(summary.events, count, "{tested}");
    let with_actor: u64 = summary.actors.iter().map(|actor| actor.count).sum();
    assert_eq!(with_actor + summary.system + summary.anonymous, count, "{tested}");
    let usages = log.action_usage(&Scope::of(PlatformWork::Comparison), tested, &[]).unwrap();
    assert_eq!(usages.iter().map(|usage| usage.count).sum::<u64>(), count, "{tested}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn sql_finds_what_the_query_means(
        events in prop::collection::vec(any_event(), 1..24),
        queries in prop::collection::vec(any_query(), 1..24),
        joined in any_query(),
    ) {
        let (_folder, log, stored) = log_of(&events);
        for text in &queries {
            check_query(&log, &stored, &query(text));
        }
        check_query(&log, &stored, &query(&queries[0]).and(query(&joined)));
    }
}

#[test]
fn every_kind_of_term_is_asked_in_sql() {
    let text = |text: &str| Some(text.to_owned());
    let events: Vec<NewEvent> = (0..12_i64)
        .map(|n| NewEvent {
            occurred_at: Some(Timestamp::from_nanos(n / 2)),
            actor_label: (n % 3 == 0).then(|| "Ada".to_owned()),
            impersonator_id: (n % 4 == 0).then(|| "3".to_owned()),
            target_type: text("lab"),
            target_id: (n % 2 == 0).then(|| n.to_string()),
            target_label: (n % 5 == 0).then(|| "the ADA lab".to_owned()),
            title: (n % 2 == 0).then(|| "ada's day".to_owned()),
            payload: None,
            session_id: text("s"),
            ..minimal_event(if n == 7 { "a.login_failed" } else { "a.b" })
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_log(&folder.path().join("log.db"));
    let stamp = Stamp { clock: &|| Timestamp::from_nanos(0), recorded_by: "root" };
    log.append(&events, &stamp).unwrap();
    let stored: Vec<_> = (1..=12)
        .map(|id| log.event(&Scope::of(PlatformWork::Comparison), EventId(id)).unwrap().unwrap())
        .collect();
    for text in [
        "ada",
        "person:ada,3",
        "is:failed",
        "is:failed action:a.b",
        "is:impersonated",
        "id:3-5,7",
        "id:>4 -ada",
        "target:lab/*",
        "target:l*/*",
        "target:lab/*0,lab/4",
        "target:l*b/*0",
    ] {
        check_query(&log, &stored, &query(text));
    }
    let center = &stored[5];
    let around =
        log.around(&Scope::of(PlatformWork::Comparison), &Query::default(), center, 2).unwrap();
    assert_eq!(ids(&around), [4, 5, 6, 7, 8]);
    assert_eq!(
        ids(&log
            .around(&Scope::of(PlatformWork::Comparison), &query("actor:ada"), center, 2)
            .unwrap()),
        [1, 4, 7, 10]
    );
}

#[test]
fn a_listing_is_sorted_by_any_field() {
    let event = |label: Option<&str>, status| NewEvent {
        occurred_at: Some(Timestamp::from_nanos(0)),
        actor_label: label.map(str::to_owned),
        status_code: status,
        ..minimal_event("a.b")
    };
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_log(&folder.path().join("log.db"));
    let events = [
        event(Some("beta"), Some(404)),
        event(None, None),
        event(Some("Alpha"), Some(200)),
        event(Some("beta"), Some(200)),
    ];
    let stamp = Stamp { clock: &|| Timestamp::from_nanos(0), recorded_by: "root" };
    log.append(&events, &stamp).unwrap();
    let by = |field, ascending, tested: &str| {
        let page = PageRequest { order: Order::ByField { field, ascending }, ..FIRST_PAGE };
        ids(&log.page(&Scope::of(PlatformWork::Comparison), &query(tested), &page).unwrap())
    };
    assert_eq!(by("actor", true, ""), [3, 1, 4, 2]);
    assert_eq!(by("actor", false, ""), [4, 1, 3, 2]);
    assert_eq!(by("status_code", true, "actor:*"), [3, 4, 1]);
    assert_eq!(by("id", true, "beta"), [1, 4]);
    for field in sortable_fields() {
        assert_eq!(by(field, true, "").len(), 4, "{field}");
    }
    let page =
        PageRequest { order: Order::ByField { field: "actr", ascending: true }, ..FIRST_PAGE };
    let error =
        log.page(&Scope::of(PlatformWork::Comparison), &Query::default(), &page).unwrap_err();
    assert_eq!(error.to_string(), "cannot sort by actr");
}

/// A log with so many events that SQLite uses its indexes.
fn large_log() -> (tempfile::TempDir, LocalLog) {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_log(&folder.path().join("log.db"));
    let mut batch = log.begin().unwrap();
    let stamp = Stamp { clock: &|| Timestamp::from_nanos(0), recorded_by: "root" };
    for n in 0..3_000_i64 {
        let event = NewEvent {
            occurred_at: Some(Timestamp::from_nanos(n)),
            tenant: Some(format!("t{}", n % 3)),
            actor_id: Some((n % 40).to_string()),
            actor_label: Some(format!("Actor {}", n % 40)),
            target_id: Some((n % 300).to_string()),
            target_label: Some(format!("Target {}", n % 300)),
            title: Some(format!("Title {}", n % 100)),
            user_agent: Some("agent".to_owned()),
            ..minimal_event(
                ["user.edit", "user.view", "auth.login"][usize::try_from(n % 3).unwrap()],
            )
        };
        batch.append(&event, &stamp).unwrap();
    }
    batch.commit().unwrap();
    (folder, log)
}

#[test]
fn listings_are_led_by_an_index_and_never_sorted() {
    let (_folder, log) = large_log();
    let plan_of = |tested: &str, newest_first| {
        let engine = log.sqlite();
        let plan = QueryPlan::new(&engine.connection, &query(tested)).unwrap();
        let slice = PageBounds {
            newest_first,
            after: None,
            skip: 0,
            limit: 50,
            up_to: None,
            span: TimeBounds::default(),
        };
        let window = plan.window_of(slice).unwrap();
        let sql = match plan.choose_strategy(&engine.connection, window).unwrap() {
            ReadStrategy::TimeOrder => plan.time_order_statement(slice, window),
            ReadStrategy::Merge(name) => plan.merge_statement(name, slice, window),
            ReadStrategy::Gather(_) => panic!("{tested} is gathered"),
        };
        let explain = format!("EXPLAIN QUERY PLAN {}", sql.text());
        let mut statement = engine.connection.prepare(&explain).unwrap();
        let steps = statement.query_map(sql.params(), |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<Result<Vec<_>, _>>().unwrap()
    };
    for (tested, index) in [
        ("", "event_occurred_at (occurred_at>? AND occurred_at<?)"),
        ("since:@0", "event_occurred_at (occurred_at>? AND occurred_at<?)"),
        ("until:@1 -actor:17", "event_occurred_at (occurred_at>? AND occurred_at<?)"),
        ("actor:17", "event_actor (actor=? AND occurred_at>? AND occurred_at<?)"),
        ("actor:\"actor 17\"", "event_actor (actor=? AND occurred_at>? AND occurred_at<?)"),
        ("target:17", "event_target (target=? AND occurred_at>? AND occurred_at<?)"),
        ("action:user.edit", "event_action (action=? AND occurred_at>? AND occurred_at<?)"),
        ("tenant:t1", "event_tenant (tenant=? AND occurred_at>? AND occurred_at<?)"),
        ("tenant:t1 actor:17", "event_actor (actor=? AND occurred_at>? AND occurred_at<?)"),
        ("action:user.*", "event_action (action=? AND occurred_at>? AND occurred_at<?)"),
        ("person:17,18", "event_actor (actor=? AND occurred_at>? AND occurred_at<?)"),
    ] {
        for newest_first in [true, false] {
            let steps = plan_of(tested, newest_first);
            assert!(steps.iter().any(|step| step.ends_with(index)), "{tested}: {steps:#?}");
            let slow = |step: &&String| step.contains("SCAN event") || step.contains("TEMP B-TREE");
            assert_eq!(steps.iter().find(slow), None, "{tested}: {steps:#?}");
        }
    }
    let merged = plan_of("action:user.*", true);
    assert!(merged.iter().any(|step| step == "MERGE (UNION)"), "{merged:#?}");
}

#[test]
fn a_page_asks_each_dimension_once() {
    let (_folder, mut log) = large_log();
    let tested = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&tested);
    let listen = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(_, sql) = event {
            heard.lock().unwrap().push(sql.to_owned());
        }
    };
    log.sqlite_mut().connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(listen)).unwrap();
    assert_eq!(
        log.page(&Scope::of(PlatformWork::Comparison), &Query::default(), &FIRST_PAGE)
            .unwrap()
            .len(),
        50
    );
    let tested = tested.lock().unwrap();
    for table in ["event", "recorder", "tenant", "action", "actor", "target", "title", "agent"] {
        let sources = [format!(" FROM {table} "), format!(" CROSS JOIN {table} AS d ")];
        let is_asked = |sql: &&String| sources.iter().any(|source| sql.contains(source));
        let count = tested.iter().filter(is_asked).count();
        assert_eq!(count, 1, "{table}: {tested:#?}");
    }
}

#[test]
fn a_name_that_is_not_there_has_others_like_it() {
    let (_folder, log) = large_log();
    let like = |side, word: &str, scope: &str| {
        log.suggestions(&Scope::matching(query(scope)), side, word).unwrap()
    };
    let actor = |id: &str| Suggestion {
        id: Some(id.to_owned()),
        label: Some(format!("Actor {id}")),
        events: 75,
    };
    assert_eq!(like(SuggestionKind::Actors, "ACTOR 3", "")[..2], [actor("3"), actor("30")]);
    assert_eq!(like(SuggestionKind::Actors, "actro", "").len(), 3);
    assert_eq!(like(SuggestionKind::Actors, "actro", "actor:17"), [actor("17")]);
    assert_eq!(like(SuggestionKind::Targets, "user/299", "")[0].events, 10);
    assert_eq!(like(SuggestionKind::Actors, "nobody", ""), []);
    assert_eq!(like(SuggestionKind::Actors, "", ""), []);
}

#[test]
fn a_label_is_filled_in_from_the_newest_of_its_tenant_and_scope() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_log(&folder.path().join("log.db"));
    let event = |at, tenant: Option<&str>, label: Option<&str>| NewEvent {
        occurred_at: Some(Timestamp::from_nanos(at)),
        tenant: tenant.map(str::to_owned),
        actor_id: Some("17".to_owned()),
        actor_label: label.map(str::to_owned),
        ..minimal_event("a.b")
    };
    let events = [
        event(3, None, Some("Jim")),
        event(2, None, Some("James")),
        event(9, Some("t"), Some("Other")),
        event(10, None, None),
    ];
    let stamp = Stamp { clock: &|| Timestamp::from_nanos(0), recorded_by: "root" };
    log.append(&events, &stamp).unwrap();
    let wanted = [(None, "17"), (Some("t"), "17"), (Some("u"), "17"), (None, "18")];
    let labels = |scope: &str| log.actor_labels(&Scope::matching(query(scope)), &wanted).unwrap();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(labels(""), [some("Jim"), some("Other"), None, None]);
    assert_eq!(labels("tenant:t"), [None, some("Other"), None, None]);
    assert_eq!(labels("-id:1"), [some("James"), some("Other"), None, None]);
    assert_eq!(labels("actor:nobody"), [None, None, None, None]);
}

#[test]
fn a_summary_tells_what_was_seen_most_first() {
    let (_folder, log) = large_log();
    let edges = [0, 1_000, 1_500, 5_000].map(Timestamp::from_nanos);
    let summary = log
        .summary(
            &Scope::of(PlatformWork::Comparison),
            &query("action:user.* until:1970-01-02"),
            &edges,
        )
        .unwrap();
    assert_eq!(summary.events, 2_000);
    assert_eq!(summary.first, Some(Timestamp::from_nanos(0)));
    assert_eq!(summary.last, Some(Timestamp::from_nanos(2_998)));
    assert_eq!(summary.histogram, [667, 333, 1_000]);
    // Each actor occurs in two tenants.
    assert_eq!((summary.actions.len(), summary.actors.len(), summary.targets.len()), (2, 80, 200));
    assert_eq!(
        (summary.actions[0].value.slug.as_str(), summary.actions[0].count),
        ("user.view", 1_000)
    );
    let usages =
        log.action_usage(&Scope::of(PlatformWork::Comparison), &Query::default(), &edges).unwrap();
    let names: Vec<_> = usages.iter().map(|usage| usage.action.as_str()).collect();
    assert_eq!(names, ["auth.login", "user.edit", "user.view"]);
    assert_eq!(usages[1].histogram, [334, 166, 500]);
    assert_eq!(usages[1].last, Timestamp::from_nanos(2_997));
}

#[test]
fn a_cursor_reads_as_it_is_written() {
    for text in ["2026-11-20T04:00:00.000000001Z,17", "1677-09-21T00:12:43.145224192Z,0"] {
        assert_eq!(Cursor::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(
        Cursor::parse("2026-11-20T06:00:00+02:00,1").unwrap().to_string(),
        "2026-11-20T04:00:00Z,1"
    );
    for text in [
        "",
        "17",
        "2026-11-20T04:00:00Z",
        "2026-11-20T04:00:00Z,",
        "x,1",
        "2026-11-20T04:00:00Z,+1",
    ] {
        Cursor::parse(text).unwrap_err();
    }
}
