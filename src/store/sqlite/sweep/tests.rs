use std::time::Duration;

use tempfile::TempDir;

use crate::chain;
use crate::event::NewEvent;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::Create;
use crate::store::DigestSubject;
use crate::store::conformance::STAMP;
use crate::store::conformance::minimal_event;
use crate::store::conformance::some_text;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::swept::not_swept;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::IdSet;
use crate::time::Timestamp;

fn new_log() -> (TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let log = Sqlite::open_to_write(&folder.path().join("log.db"), Create::IfMissing).unwrap();
    (folder, log)
}

fn append_events(log: &mut Sqlite, events: impl IntoIterator<Item = NewEvent>) {
    let mut batch = log.begin().unwrap();
    for event in events {
        batch.append(&event, &STAMP).unwrap();
    }
    batch.commit().unwrap();
}

fn id_set(all: impl IntoIterator<Item = i64>) -> IdSet {
    all.into_iter().collect()
}

/// Vouches for a removal, and removes nothing yet.
fn vouch_for(log: &mut Sqlite, doomed: &IdSet) {
    let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
    let planned = log.plan_sweep(&mut sweeping, doomed, &mut |_| true).unwrap().unwrap();
    let event = NewEvent { own: true, ..minimal_event("retention.sweep") };
    assert!(log.vouch(&mut sweeping, &planned, &event, &STAMP).unwrap());
}

fn remove_vouched(log: &mut Sqlite) {
    let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
    assert!(log.remove_swept(&mut sweeping, CleanupScope::AllRows, &mut |_| true).unwrap());
}

fn stored_gaps(log: &Sqlite) -> Vec<(i64, i64, i64)> {
    let sql = "SELECT first, last, sweep FROM gap ORDER BY first";
    let mut statement = log.connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn record_anchor(log: &mut Sqlite, id: i64, place: &str) {
    let event = log.event(crate::event::EventId(id)).unwrap().unwrap();
    let mut batch = log.begin().unwrap();
    batch.record_anchor((event.id, event.hash), Timestamp::from_nanos(0), place).unwrap();
    batch.commit().unwrap();
}

#[test]
fn a_run_ends_at_a_head_that_is_known_outside() {
    let (_folder, mut log) = new_log();
    append_events(&mut log, (0..9).map(|_| minimal_event("a.b")));
    let third = log.event(crate::event::EventId(3)).unwrap().unwrap();
    record_anchor(&mut log, 3, "digest");
    record_anchor(&mut log, 3, "elsewhere");
    vouch_for(&mut log, &id_set(1..=5));
    remove_vouched(&mut log);
    assert_eq!(stored_gaps(&log), [(1, 3, 1), (4, 5, 1)]);
    let hash: [u8; 32] = log
        .connection
        .query_row("SELECT hash FROM gap WHERE last = 3", [], |row| row.get(0))
        .unwrap();
    assert_eq!(hash, third.hash.0);
    // The gap before the anchor stays as it is; what follows merges on its own side.
    vouch_for(&mut log, &id_set([6]));
    remove_vouched(&mut log);
    assert_eq!(stored_gaps(&log), [(1, 3, 1), (4, 6, 2)]);
}

#[test]
fn a_head_that_becomes_known_meanwhile_asks_for_another_plan() {
    let (_folder, mut log) = new_log();
    append_events(&mut log, (0..4).map(|_| minimal_event("a.b")));
    let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
    let doomed = id_set(1..=4);
    let planned = log.plan_sweep(&mut sweeping, &doomed, &mut |_| true).unwrap().unwrap();
    record_anchor(&mut log, 2, "digest");
    let event = minimal_event("retention.sweep");
    assert!(!log.vouch(&mut sweeping, &planned, &event, &STAMP).unwrap());
    assert_eq!(log.head().unwrap().0.0, 4, "nothing is recorded");
    let planned = log.plan_sweep(&mut sweeping, &doomed, &mut |_| true).unwrap().unwrap();
    assert!(log.vouch(&mut sweeping, &planned, &event, &STAMP).unwrap());
    drop(sweeping);
    remove_vouched(&mut log);
    assert_eq!(stored_gaps(&log), [(1, 2, 1), (3, 4, 1)]);
}

#[test]
fn the_digest_of_the_runs_is_that_of_the_page() {
    let (_folder, mut log) = new_log();
    append_events(&mut log, (0..6).map(|_| minimal_event("a.b")));
    vouch_for(&mut log, &id_set([2]));
    remove_vouched(&mut log);
    let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
    let planned = log.plan_sweep(&mut sweeping, &id_set([3, 5]), &mut |_| true).unwrap().unwrap();
    let mut bytes = b"activity-gaps-v1\0".to_vec();
    for (first, last) in [(2_i64, 3_i64), (5, 5)] {
        let event = log.event(crate::event::EventId(last)).unwrap().unwrap();
        bytes.extend(first.to_be_bytes());
        bytes.extend(last.to_be_bytes());
        bytes.extend(event.hash.0);
        bytes.extend(2_i64.to_be_bytes());
    }
    assert_eq!((planned.number, planned.gap_count), (2, 2));
    assert_eq!(planned.gaps_sha256, chain::sha256(&bytes));
}

#[test]
fn a_plan_that_came_to_nothing_is_forgotten() {
    let (_folder, mut log) = new_log();
    append_events(&mut log, (0..9).map(|_| minimal_event("a.b")));
    vouch_for(&mut log, &id_set([4]));
    remove_vouched(&mut log);
    let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
    // The plan merges with the existing gap, and nothing ever vouches for it.
    drop(log.plan_sweep(&mut sweeping, &id_set([5, 7]), &mut |_| true).unwrap().unwrap());
    let planned = "SELECT count(*) FROM removal";
    let planned = |log: &Sqlite| log.connection.query_row(planned, [], |row| row.get::<_, i64>(0));
    assert_eq!(planned(&log), Ok(2));
    drop(sweeping);
    vouch_for(&mut log, &id_set([9]));
    remove_vouched(&mut log);
    assert_eq!(stored_gaps(&log), [(4, 4, 1), (9, 9, 2)]);
    assert_eq!(planned(&log), Ok(0));
}

/// SQLite's description of its plan for a statement.
fn explain_query_plan(log: &Sqlite, sql: &str) -> String {
    let mut statement = log.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(3));
    rows.unwrap().collect::<rusqlite::Result<Vec<_>>>().unwrap().join("\n")
}

#[test]
fn no_statement_of_a_removal_looks_at_whole_tables() {
    let (_folder, log) = new_log();
    let trigger: String = log
        .connection
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'event_delete'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let (_, condition) = trigger.split_once("WHEN ").unwrap();
    let (condition, _) = condition.split_once("BEGIN").unwrap();
    let run = explain_query_plan(&log, &format!("SELECT {}", condition.replace("OLD.id", "5")));
    assert!(run.contains("SEARCH gap USING INTEGER PRIMARY KEY (rowid<?)"), "{run}");
    assert!(run.contains("SEARCH removal USING PRIMARY KEY (sweep=? AND first<?)"), "{run}");
    assert!(!run.contains("TEMP B-TREE"), "{run}");
    for (table, refers) in [
        ("actor", "event.actor = d.key OR event.impersonator = d.key"),
        ("target", "event.target = d.key"),
        ("title", "event.title = d.key"),
        ("action", "event.action = d.key"),
        ("tenant", "event.tenant = d.key"),
    ] {
        let used = explain_query_plan(
            &log,
            &format!(
                "DELETE FROM {table} AS d WHERE d.key = 5 \
                 AND NOT EXISTS (SELECT 1 FROM event WHERE {refers})"
            ),
        );
        assert!(!used.contains("SCAN"), "{table}: {used}");
    }
}

/// The work of a removal grows with the events that it removes, not with the number of gaps. The test
/// counts steps of SQLite's virtual machine, because times depend on the computer.
#[test]
fn a_removal_costs_no_more_among_many_runs() {
    let steps = |runs: i64| {
        let (_folder, mut log) = new_log();
        append_events(&mut log, (0..2 * runs + 100).map(|_| minimal_event("a.b")));
        vouch_for(&mut log, &id_set((1..=runs).map(|n| 2 * n)));
        let mut delete = log.connection.prepare("DELETE FROM event WHERE id = ?1").unwrap();
        for id in [2, runs, 2 * runs].map(|id| id / 2 * 2) {
            delete.execute([id]).unwrap();
        }
        delete.get_status(rusqlite::StatementStatus::VmStep)
    };
    let (few, many) = (steps(10), steps(2_000));
    assert!(many < few * 2, "{few} steps among 10 runs, {many} among 2,000");
}

/// A page costs as much among many runs, planned, vouched for or removed, as among few.
#[test]
fn a_page_costs_no_more_among_many_runs() {
    const PAGE: &str = concat!(
        "SELECT id FROM event INDEXED BY event_occurred_at WHERE ",
        not_swept!(),
        " ORDER BY occurred_at DESC, id DESC LIMIT 50"
    );
    let steps = |log: &Sqlite| {
        let mut page = log.connection.prepare(PAGE).unwrap();
        let ids: Vec<i64> =
            page.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
        assert_eq!(ids.len(), 50);
        page.get_status(rusqlite::StatementStatus::VmStep)
    };
    let all = |runs: i64| {
        let (_folder, mut log) = new_log();
        append_events(&mut log, (0..2 * runs + 100).map(|_| minimal_event("a.b")));
        let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
        let runs = id_set((1..=runs).map(|n| 2 * n).chain([2 * runs + 99]));
        drop(log.plan_sweep(&mut sweeping, &runs, &mut |_| true).unwrap().unwrap());
        drop(sweeping);
        let planned = steps(&log);
        vouch_for(&mut log, &runs);
        let vouched = steps(&log);
        remove_vouched(&mut log);
        [planned, vouched, steps(&log)]
    };
    let (few, many) = (all(10), all(2_000));
    assert!(few.iter().zip(&many).all(|(few, many)| *many < few * 2), "{few:?}, {many:?}");
}

#[test]
fn one_who_remembers_keys_never_refers_to_a_row_that_was_swept() {
    let (folder, mut log) = new_log();
    let event = |actor: &str| NewEvent {
        actor_label: some_text(actor),
        target_label: some_text(actor),
        title: some_text(actor),
        user_agent: some_text(actor),
        tenant: some_text(actor),
        ..minimal_event("a.b")
    };
    let mut bulk = Sqlite::open_to_write(&folder.path().join("log.db"), Create::Never).unwrap();
    append_events(&mut bulk, [event("gone")]);
    append_events(&mut bulk, [event("gone")]);
    append_events(&mut bulk, [event("gone")]);
    let reader = Sqlite::open_to_read(&folder.path().join("log.db")).unwrap();
    let first = reader.event(crate::event::EventId(1)).unwrap().unwrap();
    assert_eq!(first.actor.unwrap().label.as_deref(), Some("gone"));

    vouch_for(&mut log, &id_set(1..=3));
    remove_vouched(&mut log);
    assert_eq!(log.actor_count(), 0);
    // Another row gets the free key.
    append_events(&mut log, [event("other")]);
    append_events(&mut bulk, [event("gone"), event("other")]);
    let labels: Vec<_> = (5..=7)
        .map(|id| {
            let event = reader.event(crate::event::EventId(id)).unwrap().unwrap();
            let label = event.actor.as_ref().unwrap().label.clone().unwrap();
            assert_eq!(event.tenant.as_deref(), Some(label.as_str()));
            assert_eq!(event.user_agent.as_deref(), Some(label.as_str()));
            assert_eq!(event.title.as_deref(), Some(label.as_str()));
            label
        })
        .collect();
    assert_eq!(labels, ["other", "gone", "other"]);
    let dangling: i64 = log
        .connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(dangling, 0);
}

#[test]
fn what_came_meanwhile_keeps_its_rows() {
    let (folder, mut log) = new_log();
    let event = || NewEvent { user_agent: some_text("curl"), ..minimal_event("a.b") };
    append_events(&mut log, [event()]);
    vouch_for(&mut log, &id_set([1]));
    let mut other = Sqlite::open_to_write(&folder.path().join("log.db"), Create::Never).unwrap();
    let mut sweeping = log.try_lock_sweep().unwrap().unwrap();
    let mut asked = 0;
    let done = log
        .remove_swept(&mut sweeping, CleanupScope::AllRows, &mut |_| {
            asked += 1;
            // Each time the sweep asks whether to go on, an event with the agent is appended.
            append_events(&mut other, [event()]);
            true
        })
        .unwrap();
    assert!(done && asked > 2, "asked {asked} times");
    let agents: i64 =
        log.connection.query_row("SELECT count(*) FROM agent", [], |row| row.get(0)).unwrap();
    assert_eq!(agents, 1);
    let dangling: i64 = log
        .connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(dangling, 0);
}

#[test]
fn exports_are_waited_for_so_long_and_a_signal_ends_it() {
    let (_folder, log) = new_log();
    let export = log.hold_off_sweeps().unwrap();
    let error = log.lock_out_exports(Duration::ZERO, &mut |_| true).unwrap_err();
    let failure = error.downcast_ref::<Failure>().unwrap();
    assert_eq!(failure.exit, Exit::TryAgain);
    assert!(failure.message.starts_with("an export of the log is at work"), "{failure}");
    let long = Duration::from_secs(600);
    assert!(log.lock_out_exports(long, &mut |_| false).unwrap().is_none());
    drop(export);
    let alone = log.lock_out_exports(Duration::ZERO, &mut |_| true).unwrap();
    assert!(alone.is_some());
}

#[test]
fn there_is_one_sweep_and_a_digest_is_none() {
    let (folder, log) = new_log();
    let other = Sqlite::open_to_write(&folder.path().join("log.db"), Create::Never).unwrap();
    let sweeping = log.try_lock_sweep().unwrap();
    assert!(sweeping.is_some());
    assert!(other.try_lock_sweep().unwrap().is_none());
    let _digest = other.try_lock_digest(DigestSubject::Host).unwrap().unwrap();
    let _export = other.hold_off_sweeps().unwrap();
    drop(sweeping);
    assert!(other.try_lock_sweep().unwrap().is_some());
}
