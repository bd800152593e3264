//! The log's file: for anyone to read, and for no hand to change.

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::fixture::EVENTS;
use crate::support::log::Log;

#[test]
fn the_view_events_has_the_fields_by_name() {
    let sandbox = Sandbox::with_events();
    let log = sandbox.log();
    let columns = log.query_texts("SELECT name FROM pragma_table_info('events')");
    assert_eq!(
        columns.join(" "),
        "id event_id occurred_at recorded_at recorded_by tenant source severity module action \
         title description actor_id actor_label impersonator_id impersonator_label target_type \
         target_id target_label diff payload ip user_agent session_id method endpoint status_code \
         hash"
    );
    let stored = sandbox.stored_events();
    for (place, event) in stored.iter().enumerate() {
        for column in &columns {
            let sql = format!(
                "SELECT CAST({column} AS TEXT) FROM events ORDER BY id LIMIT 1 OFFSET {place}"
            );
            let seen: Option<String> = log.query_value(&sql);
            let expected = event.get(column).map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            assert_eq!(seen, expected, "{column} of event {}", event["id"]);
        }
    }
}

#[test]
fn no_hand_changes_or_removes_an_event() {
    let sandbox = Sandbox::with_events();
    let log = Log::open_to_write(&sandbox.db());
    for hand in [
        "UPDATE event SET title = NULL WHERE id = 1",
        "DELETE FROM event WHERE id = 8",
        "DELETE FROM event",
        "UPDATE actor SET label = 'x'",
        "DELETE FROM actor",
        "UPDATE target SET label = 'x'",
        "DELETE FROM target",
        "UPDATE action SET slug = 'x'",
        "DELETE FROM action",
        "UPDATE title SET text = 'x'",
        "DELETE FROM title",
        "UPDATE agent SET text = 'x'",
        "DELETE FROM agent",
        "UPDATE tenant SET text = 'x'",
        "DELETE FROM tenant",
        "UPDATE recorder SET text = 'x'",
        "DELETE FROM recorder",
        "INSERT OR REPLACE INTO event SELECT * FROM event WHERE id = 1",
        "INSERT INTO event SELECT id + 100, 'x', occurred_at, recorded_at, recorder, tenant, \
         source, severity, action, actor, impersonator, target, title, agent, status, method, \
         endpoint, ip, session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 1",
    ] {
        let refused = log.sql.execute(hand, []).map_err(|why| why.sqlite_error_code());
        let rule = Err(Some(rusqlite::ErrorCode::ConstraintViolation));
        assert_eq!(refused, rule, "{hand}");
    }
    drop(log);
    sandbox.assert_sound_with(8);
}

#[test]
fn the_chain_begins_with_the_first_event_and_differs_between_logs() {
    let (one, other) = (Sandbox::with_events(), Sandbox::with_events());
    one.assert_sound_with(8);
    other.assert_sound_with(8);
    let first = |sandbox: &Sandbox| {
        sandbox.log().query_value::<Vec<u8>>("SELECT hash FROM event WHERE id = 1")
    };
    assert_ne!(first(&one), first(&other));
}

#[test]
fn ids_ascend_without_holes_over_rejects_and_duplicates() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", EVENTS);
    for _ in 0..2 {
        sandbox.run(["ingest", "--again", "events.jsonl"]).ok().done();
        sandbox.run_with_input(["ingest"], "nonsense\n").exits(65).done();
        sandbox.ingest(r#"{"action":"a"}"#);
    }
    let ids: Vec<_> =
        sandbox.stored_events().iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    sandbox.assert_sound_with(10);
}
