//! Tests that no read of a log lets anything out that is beyond its scope.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;

use crate::access;
use crate::access::AccessPolicy;
use crate::access::Capability;
use crate::access::Member;
use crate::access::Person;
use crate::access::Reading;
use crate::access::Role;
use crate::access::Scope;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::NewEvent;
use crate::event::Source;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::query::samples::any_event;
use crate::query::samples::any_query;
use crate::query::samples::to_new_event;
use crate::query::samples::try_parse;
use crate::store::Cursor;
use crate::store::EventIdMatch;
use crate::store::LocalLog;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::Stamp;
use crate::store::SuggestionKind;
use crate::store::conformance::STAMP;
use crate::store::conformance::minimal_event;
use crate::store::conformance::open_log;
use crate::store::conformance::some_text;
use crate::store::mirror::BatchBounds;
use crate::store::names::NameKind;
use crate::store::tally::Grouping;
use crate::time::CalendarUnit;
use crate::time::Timestamp;
use crate::time::Zone;

const ALL: PageRequest<'_> =
    PageRequest { order: Order::NewestFirst, after: None, skip: 0, limit: 1_000, up_to: None };

/// Reads that give no event away: the head and the holes of the log, its identity, and what it keeps
/// about itself.
const READS_WITHOUT_EVENTS: [&str; 18] = [
    "arrived_heads",
    "dead_letter_count",
    "dead_letters",
    "head",
    "heads",
    "is_central",
    "is_replaced",
    "is_stale",
    "mirror_state",
    "newest_recorded_before",
    "open_store",
    "open_to_read",
    "sweep_state",
    "uuid",
    "with_snapshot",
    "schema_version",
    "time_spans",
    "warnings",
];

/// A read that only a central store answers, with the scope in the same query as every other. The real
/// suite has a caller with a narrow scope follow a store.
const CENTRAL_READS: [&str; 1] = ["arrived_since"];

#[test]
fn every_read_of_a_log_names_its_scope_or_its_work() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let tested = include_str!("scope_tests.rs");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.is_dir() {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        let own = text.split("\nimpl Log {\n").skip(1).map(|part| part.split("\n}\n").next());
        for function in own.flatten().flat_map(|part| part.split("    pub(crate) fn ").skip(1)) {
            let signature = function.split('{').next().unwrap_or_default();
            let name = signature.split(['(', '<']).next().unwrap_or_default();
            count += 1;
            assert!(
                READS_WITHOUT_EVENTS.contains(&name)
                    || signature.contains("Scope")
                    || signature.contains("PlatformWork"),
                "{name} reads a log without a scope"
            );
            // Written with a bracket, so that this line is not taken for the call.
            let call = format!("log.{name}{}scope", '(');
            assert!(
                !signature.contains("&Scope")
                    || CENTRAL_READS.contains(&name)
                    || tested.contains(&call),
                "no test calls {name} with a narrow scope"
            );
        }
    }
    assert!(count > 20, "only {count} functions found");
}

/// A log of four events of 17, and of others that speak of secrets everywhere.
fn log_with_secrets() -> (tempfile::TempDir, LocalLog) {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_log(&folder.path().join("log.db"));
    let at = |second: i64| Some(Timestamp::from_nanos(second * 1_000_000_000));
    let own = |second: i64| NewEvent {
        occurred_at: at(second),
        actor_id: some_text("17"),
        event_id: some_text(&format!("own-{second}")),
        ..minimal_event("page.edit")
    };
    let secret = |second: i64| NewEvent {
        occurred_at: at(second),
        event_id: some_text(&format!("secret-{second}")),
        actor_id: some_text("3"),
        actor_label: some_text("Secret Person"),
        target_id: some_text("secret-record"),
        target_label: some_text("Secret Record"),
        title: some_text("Secret title"),
        ..minimal_event("secret.act")
    };
    let behalf = NewEvent { actor_id: some_text("3"), impersonator_id: some_text("17"), ..own(6) };
    let events =
        [secret(1), own(2), secret(3), own(4), secret(5), behalf, secret(7), own(8), secret(9)];
    log.append(&events, &STAMP).unwrap();
    (folder, log)
}

#[test]
fn no_read_lets_anything_out_that_is_beyond_the_scope() {
    let (_folder, log) = log_with_secrets();
    let scope = &Scope::matching(Query::own_events("17"));
    let all = &Query::default();
    let ids = |events: Vec<Event>| events.iter().map(|event| event.id.0).collect::<Vec<_>>();
    let own = [2, 4, 6, 8];
    let place = |id| EventPlace { id: EventId(id), log: None };

    assert_eq!(log.event(scope, EventId(1)).unwrap(), None);
    assert!(log.event(scope, EventId(2)).unwrap().is_some());
    assert_eq!(log.find_place(scope, &place(1)).unwrap(), EventIdMatch::None);
    assert!(matches!(log.find_place(scope, &place(2)).unwrap(), EventIdMatch::One(_)));
    for (name, is_found) in [("secret-1", false), ("secret", false), ("own-2", true)] {
        let found = log.find_by_event_id(scope, name).unwrap();
        assert_eq!(matches!(found, EventIdMatch::One(_)), is_found, "{name}");
    }
    let several = log.find_by_event_id(scope, "own-").unwrap();
    assert_eq!(several, EventIdMatch::Several(own.map(place).to_vec()));

    assert_eq!(ids(log.page(scope, all, &ALL).unwrap()), [8, 6, 4, 2]);
    let paged = PageRequest { skip: 1, limit: 2, ..ALL };
    assert_eq!(ids(log.page(scope, all, &paged).unwrap()), [6, 4]);
    let cursor =
        Cursor { occurred_at: Timestamp::from_nanos(7_000_000_000), id: EventId(7), log: None };
    let behind = PageRequest { after: Some(cursor), ..ALL };
    assert_eq!(ids(log.page(scope, all, &behind).unwrap()), [6, 4, 2]);
    let by_actor = Order::ByField { field: "actor_label", ascending: true };
    let sorted = PageRequest { order: by_actor, ..ALL };
    assert_eq!(log.page(scope, all, &sorted).unwrap().len(), 4);

    assert_eq!(ids(log.recorded_after(scope, all, EventId(0), 100).unwrap()), own);
    let center = log.event(scope, EventId(4)).unwrap().unwrap();
    assert_eq!(ids(log.around(scope, all, &center, 5).unwrap()), own);
    let mut streamed = Vec::new();
    let mut visit = |event: Event| {
        streamed.push(event.id.0);
        Ok(())
    };
    log.each(scope, all, EventId(9), &mut visit).unwrap();
    assert_eq!(streamed, own);
    let mut part = Vec::new();
    let mut visit = |event: Event| {
        part.push(event.id.0);
        Ok(())
    };
    let span = TimeBounds { from: Some(Timestamp::from_nanos(3_000_000_000)), to: None };
    log.each_within(scope, all, span, EventId(7), &mut visit).unwrap();
    assert_eq!(part, [4, 6]);
    let mut newest_first = Vec::new();
    let mut visit = |event: Event| newest_first.push(event.id.0);
    log.each_matching_newest_first(scope, all, EventId(9), &mut visit).unwrap();
    assert_eq!(newest_first, [8, 6, 4, 2]);
    let bounds = BatchBounds { after: EventId(0), up_to: EventId(9), events: 9, bytes: 1 << 20 };
    assert_eq!(ids(log.events_within(scope, all, &bounds).unwrap()), own);

    assert_eq!(log.count(scope, all, u64::MAX).unwrap(), 4);
    let edges = [0, 5_000_000_000, 10_000_000_000].map(Timestamp::from_nanos);
    let summary = log.summary(scope, all, &edges).unwrap();
    assert_eq!((summary.events, summary.histogram.clone()), (4, vec![2, 2]));
    assert!(!format!("{summary:?}").contains("ecret"), "{summary:?}");
    let usage = log.action_usage(scope, all, &edges).unwrap();
    assert_eq!(usage.iter().map(|usage| usage.count).collect::<Vec<_>>(), [4]);
    assert!(!format!("{usage:?}").contains("ecret"), "{usage:?}");

    for grouping in [
        Grouping::Field("action"),
        Grouping::Field("title"),
        Grouping::Actor,
        Grouping::Target,
        Grouping::Period(CalendarUnit::Day),
    ] {
        for query in [all, &Query::up_to(EventId(9))] {
            let counts = log.count_by(scope, query, &[&[grouping]], &Zone::utc()).unwrap();
            assert_eq!(counts[0].events, 4, "{grouping:?}");
            assert!(!format!("{counts:?}").contains("ecret"), "{counts:?}");
        }
    }

    let labels = log.actor_labels(scope, &[(None, "3"), (None, "17")]).unwrap();
    assert_eq!(labels, [None, None]);
    let target = (None, "secret-record");
    assert_eq!(log.target_label(scope, None, target).unwrap(), None);
    let whole = &Scope::matching(Query::default());
    assert!(log.target_label(whole, None, target).unwrap().is_some(), "it is there for others");
    for kind in NameKind::ALL {
        let names = log.names(scope, kind, "", 100).unwrap();
        assert!(!format!("{names:?}").contains("ecret"), "{names:?}");
    }
    assert_eq!(log.names(scope, NameKind::Action, "", 100).unwrap(), ["page.edit"]);
    assert_eq!(log.names(whole, NameKind::Action, "SEC", 100).unwrap(), ["secret.act"]);
    let kinds = [SuggestionKind::Actors, SuggestionKind::Targets, SuggestionKind::Actions];
    for kind in kinds {
        for word in ["secret person", "secret record", "secret-recor", "secret.ac", "3"] {
            let similar = log.suggestions(scope, kind, word).unwrap();
            assert!(!format!("{similar:?}").contains("ecret"), "{similar:?}");
        }
    }
}

/// A caller: an id, capabilities, and the query that is joined to all that they read.
fn any_caller() -> impl Strategy<Value = (String, Vec<Capability>, String)> {
    let id = select(&["17", "18", "a", "a*b", "Straße"][..]).prop_map(str::to_owned);
    let more = select(&[Capability::ListAll, Capability::SystemEvents][..]);
    (id, prop::collection::vec(more, 0..3), prop_oneof![Just(String::new()), any_query()])
}

/// What a caller may see, said again in other words.
fn may_see(event: &Event, id: &str, capabilities: &[Capability], only: &Query) -> bool {
    let parties = [&event.actor, &event.impersonator].into_iter().flatten();
    let is_own = parties.into_iter().any(|party| party.id.as_deref() == Some(id));
    let is_system = matches!(event.source, Source::System | Source::Cron);
    let has = |capability| capabilities.contains(&capability);
    let by_role = has(Capability::ListAll) && (!is_system || has(Capability::SystemEvents));
    (is_own || by_role) && only.matches(event)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_scoped_read_is_a_filter_of_all(
        events in prop::collection::vec(any_event(), 1..12),
        callers in prop::collection::vec((any_caller(), any_query()), 4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open_log(&folder.path().join("log.db"));
        for (number, event) in events.iter().enumerate() {
            let stamp = Stamp { clock: &|| event.recorded_at, recorded_by: &event.recorded_by };
            // No id is the beginning of another, for the beginning of one alone finds it.
            let event_id = some_text(&format!("e{number:02}"));
            log.append(&[NewEvent { event_id, ..to_new_event(event) }], &stamp).unwrap();
        }
        let whole = Scope::matching(Query::default());
        let stored = log.page(&whole, &Query::default(), &ALL).unwrap();
        for ((id, capabilities, only), query) in callers {
            let only = try_parse(&only).unwrap().without_times();
            let query = try_parse(&query).unwrap();
            let scope = scope_of(&id, &capabilities, &only);
            let mut wanted: Vec<&Event> = stored
                .iter()
                .filter(|event| may_see(event, &id, &capabilities, &only) && query.matches(event))
                .collect();
            let found = log.page(&scope, &query, &ALL).unwrap();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted.clone());
            prop_assert_eq!(log.count(&scope, &query, u64::MAX).unwrap(), wanted.len() as u64);
            wanted.sort_by_key(|event| event.id);
            let arrived = log.recorded_after(&scope, &query, EventId(0), 1_000).unwrap();
            prop_assert_eq!(arrived.iter().collect::<Vec<_>>(), wanted);
            for event in &stored {
                let is_visible = may_see(event, &id, &capabilities, &only);
                prop_assert_eq!(log.event(&scope, event.id).unwrap().is_some(), is_visible);
                let by_id = log.find_by_event_id(&scope, &event.event_id).unwrap();
                prop_assert_eq!(matches!(by_id, EventIdMatch::One(_)), is_visible);
            }
        }
    }
}

/// The scope of a caller's listings, by way of a policy.
fn scope_of(id: &str, capabilities: &[Capability], only: &Query) -> Scope {
    let all = capabilities.iter().copied().chain([Capability::ListOwn]);
    let policy = AccessPolicy {
        members: vec![Member {
            user: "caller".to_owned(),
            role: "generated".to_owned(),
            actor_id: Some(id.to_owned()),
            only: only.clone(),
            line: 1,
        }],
        roles: vec![Role {
            name: "generated".to_owned(),
            capabilities: all.collect(),
            only: Query::default(),
        }],
        ..AccessPolicy::default()
    };
    let permissions = policy.permissions(&Person { name: "caller", is_root: false });
    access::scope(&permissions, Reading::List).unwrap()
}
