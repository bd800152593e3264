//! What somebody does to a log with the `sqlite3` shell, triggers dropped and put back.

use crate::support::Sandbox;
use crate::tools;

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
        tamper_by_shell(&sandbox, "SELECT 1;");
        sandbox.run(["verify"]).ok().no_stderr().done();
        tamper_by_shell(&sandbox, &hand);
        let out = sandbox.run(["verify"]).exits(1).no_stderr();
        assert_eq!(out.stdout(), format!("{line}\n"), "{hand}");
        sandbox.run(["backup", "copy.db"]).exits(74).no_stdout().done();
        assert!(!sandbox.exists("copy.db"));
    }
}
