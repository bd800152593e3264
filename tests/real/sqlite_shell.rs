//! What somebody does to a log with the `sqlite3` shell, triggers dropped and put back.

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::torture::FaultCount;
use crate::tools;

const DAY_SECONDS: i64 = 86_400;

/// Runs statements in the shell, between the triggers' fall and their return.
fn tamper_by_shell(sandbox: &Sandbox, sql: &str) {
    sandbox.write("hand.sql", format!("{sql}\n"));
    let script = "\
        set -e
        sqlite3 log.db \"SELECT 'DROP TRIGGER ' || name || ';' FROM sqlite_schema \
            WHERE type = 'trigger'\" > drop.sql
        sqlite3 log.db \"SELECT sql || ';' FROM sqlite_schema WHERE type = 'trigger' \
            ORDER BY rowid\" > back.sql
        test -s drop.sql && test -s back.sql
        cat drop.sql hand.sql back.sql | sqlite3 -bail log.db";
    sandbox.run_shell(script).ok().no_stderr().done();
}

#[test]
fn an_edit_a_removal_and_an_insertion_by_the_shell_are_named() {
    if !tools::require_programs(&["sqlite3"]) {
        return;
    }
    let mut hands = FaultCount::new("manipulations");
    const LIKE_3: &str = "occurred_at, recorded_at, recorder, tenant, source, severity, action, \
        actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, \
        description, diff, payload, own, salt, hash FROM event WHERE id = 3;";
    for (hand, line) in [
        (
            "UPDATE event SET payload = '{\"paid\":true}' WHERE id = 5;".to_owned(),
            "broken at event 5: altered: what it says, or the hash before it, is not what was hashed",
        ),
        (
            "DELETE FROM event WHERE id = 4;".to_owned(),
            "broken at event 4: removed, and no sweep vouches for it",
        ),
        (
            format!("INSERT INTO event SELECT 9, 'mine', {LIKE_3}"),
            "broken at event 9: put in: the log ends at 8",
        ),
        (
            format!(
                "UPDATE event SET id = id + 100 WHERE id > 3; \
                 UPDATE event SET id = id - 99 WHERE id > 100; UPDATE head SET id = 9; \
                 INSERT INTO event SELECT 4, 'mine', {LIKE_3}"
            ),
            "broken at event 4: put in: the event that belongs here stands at 5",
        ),
        (
            "UPDATE actor SET label = 'Nobody' WHERE id = '9';".to_owned(),
            "broken at event 3: altered: its actor's id or label is not what was hashed",
        ),
    ] {
        let sandbox = Sandbox::with_events();
        hands.add(1);
        tamper_by_shell(&sandbox, "SELECT 1;");
        sandbox.run(["verify"]).ok().no_stderr().done();
        tamper_by_shell(&sandbox, &hand);
        let out = sandbox.run(["verify"]).exits(1).no_stderr();
        assert_eq!(out.stdout(), format!("{line}\n"), "{hand}");
        sandbox.run(["backup", "copy.db"]).exits(74).no_stdout().done();
        assert!(!sandbox.exists("copy.db"));
    }
}

/// Rows that the shell puts where a sweep has removed some are read by nobody, and named.
#[test]
fn rows_put_in_where_a_sweep_has_removed_some_are_named_and_read_by_nobody() {
    if !tools::require_programs(&["sqlite3"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let old = clock::seconds_ago(400 * DAY_SECONDS);
    let event =
        |n: i64, at: &str| format!(r#"{{"action":"a.b","event_id":"e{n}","occurred_at":"{at}"}}"#);
    let lines = (1..=6).map(|n| event(n, &old)).chain([event(7, &clock::seconds_ago(60))]);
    sandbox.ingest(join_lines(lines));
    sandbox.run(["sweep", "--keep", "365d"]).ok().done();
    let read = |what: &str| sandbox.run_shell(what).ok().stdout().to_owned();
    let commands = [
        "activity export --jsonl action:a.*",
        "activity list --json --sort id action:a.*",
        "activity list --json action:a.*",
        "sqlite3 log.db \"SELECT count(*) FROM events WHERE action = 'a.b'\"",
    ];
    let before = commands.map(read);
    let mut hands = FaultCount::new("manipulations");
    for (id, removal) in [
        (3, ""),
        (6, ""),
        // As if the sweep were still at work, with the hash of its run.
        (
            6,
            "INSERT INTO removal SELECT sweep, first, last, hash, first - 1, NULL FROM gap; \
             DELETE FROM gap; UPDATE event SET hash = (SELECT hash FROM removal) WHERE id = 6;",
        ),
    ] {
        hands.add(1);
        tamper_by_shell(
            &sandbox,
            &format!(
                "DELETE FROM meta WHERE key = 'swept'; \
                 INSERT INTO event SELECT {id}, 'mine', occurred_at, recorded_at, recorder, tenant, source, \
                 severity, action, actor, impersonator, target, title, agent, status, method, endpoint, ip, \
                 session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 7; {removal}"
            ),
        );
        for (command, before) in commands.iter().zip(&before) {
            assert_eq!(&read(command), before, "{id} {removal}: {command}");
        }
        let out = sandbox.run(["verify"]).exits(1);
        assert!(out.stdout().starts_with(&format!("broken at event {id}: ")), "{out}");
        tamper_by_shell(&sandbox, &format!("DELETE FROM event WHERE id = {id};"));
        sandbox.run(["verify"]).ok().done();
    }
}
