//! What hands and disks do to a log, and what `activity verify` says to it.

use std::fs;

use serde_json::json;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::chain;
use crate::support::log::Log;
use crate::support::tamper;
use crate::support::tamper::ForgedSweep;
use crate::support::tamper::assert_broken;
use crate::support::torture::FaultCount;

const ALTERED: &str = "altered: what it says, or the hash before it, is not what was hashed";
const GONE: &str = "removed, and no sweep vouches for it";

/// Every hand that the chain itself shows, with the first event that it touched.
#[test]
fn the_first_event_that_somebody_touched_is_named() {
    let mut hands = FaultCount::new("manipulations");
    let cases = [
        ("UPDATE event SET occurred_at = occurred_at + 1 WHERE id = 3", format!("3: {ALTERED}")),
        ("UPDATE event SET payload = NULL WHERE id IN (1, 6)", format!("1: {ALTERED}")),
        ("UPDATE event SET ip = '' WHERE id = 4", format!("4: {ALTERED}")),
        ("UPDATE event SET salt = zeroblob(8) WHERE id = 8", format!("8: {ALTERED}")),
        (
            "UPDATE event SET salt = x'01' WHERE id = 5",
            "5: altered: its salt is invalid".to_owned(),
        ),
        (
            "UPDATE event SET hash = zeroblob(32) WHERE id = 7",
            "7: altered: its hash is another, what it says is not".to_owned(),
        ),
        (
            "UPDATE event SET hash = zeroblob(32) WHERE id = 8",
            "8: altered: its hash is another, what it says is not".to_owned(),
        ),
        ("UPDATE event SET own = 1 WHERE id = 2", format!("2: {ALTERED}")),
        (
            "UPDATE event SET event_id = x'01890a5dac96774bbcceb302099a8057' WHERE id = 2",
            format!("2: {ALTERED}"),
        ),
        ("UPDATE event SET actor = NULL WHERE id = 3", format!("3: {ALTERED}")),
        (
            "UPDATE event SET actor = 999 WHERE id = 3",
            "3: altered: the actor that it refers to is not there, or damaged".to_owned(),
        ),
        // What it refers to.
        (
            "UPDATE actor SET label = 'Eve' WHERE id = '9'",
            "3: altered: its actor's id or label is not what was hashed".to_owned(),
        ),
        (
            "UPDATE actor SET digest = zeroblob(32) WHERE id = '9'",
            "3: altered: its actor's id or label is not what was hashed".to_owned(),
        ),
        (
            "UPDATE actor SET salt = zeroblob(16) WHERE id = '9'",
            "3: altered: its actor's id or label is not what was hashed".to_owned(),
        ),
        (
            "UPDATE actor SET salt = x'01' WHERE id = '9'",
            "3: altered: the actor that it refers to is not there, or damaged".to_owned(),
        ),
        (
            "UPDATE target SET digest = x'01' WHERE id = 'old-pricing'",
            "5: altered: the target that it refers to is not there, or damaged".to_owned(),
        ),
        (
            "UPDATE agent SET digest = x''",
            "1: altered: the user agent that it refers to is not there, or damaged".to_owned(),
        ),
        (
            "UPDATE actor SET folded = 'eve' WHERE id = '9'",
            "3: altered: its actor's id or label is not what was hashed".to_owned(),
        ),
        (
            "UPDATE actor SET label = 'Eve' WHERE id = '3'",
            "1: altered: its actor's id or label is not what was hashed".to_owned(),
        ),
        (
            "UPDATE target SET label = 'Eve' WHERE id = 'old-pricing'",
            "5: altered: its target's id or label is not what was hashed".to_owned(),
        ),
        ("UPDATE target SET type = 'post' WHERE id = 'old-pricing'", format!("5: {ALTERED}")),
        (
            "UPDATE agent SET text = 'curl'",
            "1: altered: its user agent is not what was hashed".to_owned(),
        ),
        (
            "UPDATE title SET text = 'Nothing', folded = 'nothing' WHERE text = 'Sign-in refused'",
            format!("6: {ALTERED}"),
        ),
        (
            "UPDATE title SET folded = 'nothing' WHERE text = 'Sign-in refused'",
            "6: altered: the form of its title that words are searched in is not what was hashed"
                .to_owned(),
        ),
        ("UPDATE action SET slug = 'x.y' WHERE slug = 'page.delete'", format!("5: {ALTERED}")),
        (
            "UPDATE tenant SET text = 'third.example' WHERE text = 'other.example'",
            format!("6: {ALTERED}"),
        ),
        ("UPDATE recorder SET text = 'who else'", format!("1: {ALTERED}")),
        (
            "DELETE FROM agent",
            "1: altered: the user agent that it refers to is not there, or damaged".to_owned(),
        ),
        // Removed.
        ("DELETE FROM event WHERE id = 4", format!("4: {GONE}")),
        ("DELETE FROM event WHERE id = 1", format!("1: {GONE}")),
        (
            "DELETE FROM event WHERE id BETWEEN 4 AND 6",
            "4: removed, as 2 events behind it, and no sweep vouches for them".to_owned(),
        ),
        (
            "DELETE FROM event WHERE id > 6",
            "7: removed, as 1 event behind it, and no sweep vouches for them".to_owned(),
        ),
        (
            "DELETE FROM event",
            "1: removed, as 7 events behind it, and no sweep vouches for them".to_owned(),
        ),
        (
            "DELETE FROM event WHERE id = 4; UPDATE event SET id = id - 1 WHERE id > 4; UPDATE head SET id = 7",
            "4: removed: 1 event before it, and the ids of those behind were moved".to_owned(),
        ),
        ("UPDATE head SET id = 9", format!("9: {GONE}")),
        // Moved.
        (
            "UPDATE event SET id = 99 WHERE id = 4; UPDATE event SET id = 4 WHERE id = 5; UPDATE event SET id = 5 WHERE id = 99",
            "4: order: the event that belongs here stands at 5".to_owned(),
        ),
        (
            "UPDATE event SET id = 99 WHERE id = 2; UPDATE event SET id = 2 WHERE id = 7; UPDATE event SET id = 7 WHERE id = 99",
            "2: order: the event that belongs here stands at 7".to_owned(),
        ),
        (
            "UPDATE event SET id = 80 WHERE id = 4",
            "4: order: the event that belongs here stands at 80".to_owned(),
        ),
        ("UPDATE event SET id = -4 WHERE id = 4", "-4: put in: the first event is 1".to_owned()),
        // Put in.
        (
            "INSERT INTO event SELECT 9, 'e9', occurred_at, recorded_at, recorder, tenant, source, severity, action, actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 8",
            "9: put in: the log ends at 8".to_owned(),
        ),
        (
            "INSERT INTO event SELECT 9, 'e9', occurred_at, recorded_at, recorder, tenant, source, severity, action, actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 8; UPDATE head SET id = 9",
            format!("9: {ALTERED}"),
        ),
        (
            "UPDATE event SET id = id + 100 WHERE id > 3; UPDATE event SET id = id - 99 WHERE id > 100; INSERT INTO event SELECT 4, 'e9', occurred_at, recorded_at, recorder, tenant, source, severity, action, actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 3",
            "4: put in: the event that belongs here stands at 5".to_owned(),
        ),
        (
            "INSERT INTO event SELECT 0, 'e9', occurred_at, recorded_at, recorder, tenant, source, severity, action, actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 8",
            "0: put in: the first event is 1".to_owned(),
        ),
        // A removal with a range that no sweep wrote.
        (
            "INSERT INTO gap (first, last, hash, sweep) SELECT 4, 4, hash, 0 FROM event WHERE id = 4; DELETE FROM event WHERE id = 4",
            format!("4: {GONE}"),
        ),
        (
            "INSERT INTO gap (first, last, hash, sweep) SELECT 4, 4, hash, 1 FROM event WHERE id = 4; DELETE FROM event WHERE id = 4",
            format!("4: {GONE}"),
        ),
        // Where the chain begins.
        ("UPDATE meta SET value = zeroblob(16) WHERE key = 'uuid'", format!("1: {ALTERED}")),
    ];
    let sandbox = Sandbox::with_events();
    sandbox.run(["backup", "sound.db"]).ok().done();
    let sound = sandbox.read("sound.db");
    for (hand, line) in cases {
        hands.add(1);
        let other = Sandbox::new();
        other.write("log.db", &sound);
        other.run(["verify", "--quick", "--quiet"]).ok().done();
        other.tamper(hand);
        let out = other.run(["verify", "--quiet"]).exits(1).no_stderr();
        assert_broken(&out, &format!("broken at event {line}"));
        let report = other.run(["verify", "--json"]).exits(1).json();
        assert_eq!(report["holds"], false, "{hand}");
        let event =
            report["broken"].as_array().unwrap().iter().find(|finding| finding["kind"] == "event");
        let event = event.unwrap_or_else(|| panic!("{hand}: {report}"));
        let (id, why) = line.split_once(": ").unwrap();
        assert_eq!((event["id"].to_string().as_str(), &event["what"]), (id, &json!(why)));
        assert!(why.starts_with(event["why"].as_str().unwrap()), "{report}");
    }
}

/// Numbers at the ends of their range, where the next one is none: a rejected log, and no panic.
#[test]
fn the_last_number_that_there_is_has_no_next() {
    let mut hands = FaultCount::new("manipulations");
    let last = i64::MAX;
    for (hand, message, of_sweep) in [
        (
            format!("UPDATE head SET id = {last}"),
            "broken at event 9: removed, as 9223372036854775797 events behind it, and no sweep vouches for them",
            "is damaged: its head has the last id that there is",
        ),
        (
            format!("UPDATE head SET sweep = {last}"),
            "broken: no event vouches for sweep 9223372036854775807",
            "nothing is swept: no event vouches for sweep 9223372036854775807",
        ),
        (
            format!(
                "UPDATE head SET sweep = 1;
                 INSERT INTO gap (first, last, hash, sweep) SELECT 9, {last}, hash, 1 FROM head"
            ),
            "broken: the swept range 9-9223372036854775807 cannot be there",
            "nothing is swept: ",
        ),
    ] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        sandbox.tamper(&hand);
        let out = sandbox.run(["verify"]).exits(1);
        assert_broken(&out, message);
        let out = sandbox.run(["sweep", "--keep", "1s", "--force"]);
        out.exits(74).no_stdout().stderr_has(of_sweep).done();
        let out = sandbox.run(["ingest", "--action", "a.b"]);
        assert!(matches!(out.code, Some(0 | 74)), "{hand}\n{out}");
    }
}

/// Ids below the first are damage, not a defect of the program.
#[test]
fn an_export_of_ids_that_cannot_be_is_no_defect() {
    let mut hands = FaultCount::new("manipulations");
    for (hand, message) in [
        ("UPDATE event SET id = -1 WHERE id = 1", "exported 8 rows where the log has 7"),
        ("UPDATE head SET id = -1", "is damaged: its head has an impossible id"),
    ] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        sandbox.tamper(hand);
        let out = sandbox.run(["export", "--jsonl"]).exits(74);
        assert!(out.stderr().contains(message), "{hand}\n{out}");
        sandbox.run(["verify"]).exits(1).done();
    }
}

/// What is no JSON object was never stored, and is shown by no command.
#[test]
fn an_object_that_is_none_is_damage() {
    let mut hands = FaultCount::new("manipulations");
    for (column, text) in [
        ("diff", "-1"),
        ("diff", "{\"a\":\u{1b}[31m}"),
        ("payload", "{\"a\":\"\u{1b}[31m\"}"),
        ("payload", "\u{1b}[31m"),
        ("payload", "{\"\\ud800\":1}"),
    ] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        sandbox.tamper(&format!("UPDATE event SET {column} = '{text}' WHERE id = 5"));
        for args in [&["list"][..], &["list", "--json"], &["export", "--jsonl"]] {
            let out = sandbox.run(args).exits(74);
            let why = format!("is damaged: event 5 has an invalid {column}");
            assert!(out.stderr().contains(&why), "{text:?}\n{out}");
            assert!(!out.stdout().contains('\u{1b}'), "{text:?}\n{out}");
        }
        let out = sandbox.run(["verify", "--quick", "--quiet"]).exits(1);
        assert_broken(&out, &format!("broken at event 5: {ALTERED}"));
    }
}

/// What follows a statement in the text of a schema is never run: a log is only read.
#[test]
fn a_schema_with_more_than_its_statement_runs_nothing() {
    FaultCount::new("manipulations").add(1);
    let sandbox = Sandbox::with_events();
    let planted = sandbox.path("planted.db");
    let log = Log::open_to_write(&sandbox.db());
    let hand = format!(
        "CREATE VIEW v AS SELECT 1;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = sql || '; ATTACH ''{}'' AS p; CREATE TABLE p.t (a)'
         WHERE name = 'v';",
        planted.display()
    );
    log.sql.execute_batch(&hand).unwrap();
    drop(log);
    let out = sandbox.run(["verify"]);
    assert!(matches!(out.code, Some(1 | 74)), "{out}");
    assert!(!planted.exists(), "a statement behind the view was run");
}

#[test]
fn a_schema_that_was_changed_is_told_and_the_walk_goes_on() {
    let mut hands = FaultCount::new("manipulations");
    for (hand, what) in [
        (
            "CREATE TRIGGER t BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END",
            "the trigger t is not its own",
        ),
        ("CREATE VIEW v AS SELECT 1", "the view v is not its own"),
        (
            "DROP INDEX event_actor; CREATE INDEX event_actor ON event (actor, occurred_at) WHERE id <> 7",
            "the index event_actor is not its own",
        ),
        ("DROP INDEX event_actor", "one of its tables, indexes, triggers and views is missing"),
        (
            "DROP TABLE progress; DROP VIEW events",
            "4 of its tables, indexes, triggers and views are missing",
        ),
    ] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        let log = Log::open_to_write(&sandbox.db());
        log.sql.execute_batch(hand).unwrap();
        drop(log);
        let line = format!("broken: its schema was changed: {what}");
        let out =
            sandbox.run(["verify"]).exits(1).stderr_has("note: the chain of its 8 events holds");
        assert_eq!(out.stdout(), format!("{line}\n"), "{hand}");
        sandbox.tamper("UPDATE event SET payload = '{}' WHERE id = 5");
        let out = sandbox.run(["verify"]).exits(1).no_stderr();
        assert_broken(&out, &line);
        assert_broken(&out, &format!("broken at event 5: {ALTERED}"));
    }
    let sandbox = Sandbox::with_events();
    Log::open_to_write(&sandbox.db()).sql.execute_batch("ANALYZE").unwrap();
    sandbox.run(["verify"]).ok().no_stderr().done();
}

/// A trigger with the name of a table of `ANALYZE` is in force like any other.
#[test]
fn an_object_with_a_name_of_sqlite_is_told() {
    let mut hands = FaultCount::new("manipulations");
    for name in ["sqlite_stat1", "sqlite_stat4", "sqlite_sequence", "sqlite_autoindex_actor_1"] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        let log = Log::open_to_write(&sandbox.db());
        let hand = format!(
            "CREATE TRIGGER t BEFORE INSERT ON event WHEN NEW.severity = 0
               BEGIN SELECT RAISE(IGNORE); END;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET name = '{name}', sql = replace(sql, ' t ', ' {name} ')
             WHERE name = 't';"
        );
        log.sql.execute_batch(&hand).unwrap();
        drop(log);
        let out = sandbox.run(["verify", "--quick", "--quiet"]).exits(1);
        let difference = format!("its schema was changed: the trigger {name} is not its own");
        assert_broken(&out, &format!("broken: {difference}"));
        let out = sandbox.run(["ingest", "--action", "a.b"]).exits(74).no_stdout();
        assert!(out.stderr().contains(&difference), "{out}");
    }
}

/// The folded forms that searches look in are computed again, beyond ASCII too.
#[test]
fn a_folded_text_that_hides_an_event_from_searches_is_told() {
    let mut hands = FaultCount::new("manipulations");
    for (table, noun) in [
        ("actor", "its actor's id or label"),
        ("target", "its target's id or label"),
        ("title", "the form of its title that words are searched in"),
    ] {
        hands.add(1);
        let sandbox = Sandbox::new();
        sandbox.ingest(
            r#"{"action":"a.b","actor_label":"ZOË","target_label":"ÜNITED","title":"ÄNDERUNG"}"#,
        );
        sandbox.run(["verify"]).ok().done();
        sandbox.tamper(&format!("UPDATE {table} SET folded = 'nothing'"));
        let out = sandbox.run(["verify", "--quick", "--quiet"]).exits(1);
        assert_broken(&out, &format!("broken at event 1: altered: {noun} is not what was hashed"));
    }
}

/// An index that lacks an event hides it, under a schema that reads as it should.
#[test]
fn only_the_integrity_check_sees_a_hollow_index() {
    FaultCount::new("manipulations").add(1);
    let sandbox = Sandbox::with_events();
    let log = Log::open_to_write(&sandbox.db());
    log.sql
        .execute_batch(
            "DROP INDEX event_action;
             CREATE INDEX event_action ON event (action, occurred_at) WHERE id <> 7;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX event_action ON event (action, occurred_at)'
             WHERE name = 'event_action';",
        )
        .unwrap();
    drop(log);
    sandbox.run(["verify", "--quick"]).ok().stderr_has("left the integrity check out").done();
    let out = sandbox.run(["verify"]).exits(1).stderr_has("note: the chain of its 8 events holds");
    assert_eq!(
        out.stdout(),
        "broken: the integrity check fails: wrong # of entries in index event_action\n\
         broken: the integrity check fails: row 7 missing from index event_action\n"
    );
    let report = sandbox.run(["verify", "--json"]).exits(1).json();
    assert_eq!(report["broken"][0]["kind"], "integrity");
}

#[test]
fn a_log_without_its_own_notes_does_not_hold() {
    let mut hands = FaultCount::new("manipulations");
    for (hand, line) in [
        (
            "UPDATE head SET hash = zeroblob(32)",
            "broken: the head does not have the hash of event 8",
        ),
        ("DELETE FROM head", "broken: its head cannot be read: a row is missing"),
        ("DELETE FROM meta", "broken: its UUID cannot be read: a row is missing"),
        ("UPDATE head SET sweep = 3", "broken: no event vouches for sweep 3"),
        ("DROP TABLE gap", "broken: the swept ranges cannot be read: no such table: gap"),
        ("DROP TABLE head", "broken: its head cannot be read: no such table: head"),
        ("DROP TABLE tenant", "broken: event 1 cannot be read: no such table: tenant"),
    ] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        let log = Log::open_to_write(&sandbox.db());
        log.sql.execute_batch("DROP TRIGGER event_delete; DROP TRIGGER event_insert;").unwrap();
        log.sql.execute_batch("DROP TRIGGER tenant_delete; DROP VIEW events;").unwrap();
        log.sql.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        log.sql.execute_batch(hand).unwrap();
        drop(log);
        assert_broken(&sandbox.run(["verify"]).exits(1), line);
    }
}

/// A log of eight events of which a sweep took 2, 3 and 5.
fn swept_sandbox() -> Sandbox {
    let sandbox = Sandbox::with_events();
    let sweep = ForgedSweep { ranges: &[(2, 3), (5, 5)], ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
    sandbox
}

#[test]
fn a_sweep_that_nothing_vouches_for_does_not_hold() {
    let mut hands = FaultCount::new("manipulations");
    let other = "broken: 2 swept ranges count, and not those that sweep 1 (event 9) vouches for";
    for (hand, line) in [
        ("UPDATE gap SET hash = zeroblob(32) WHERE first = 5", other),
        ("UPDATE gap SET last = 4 WHERE first = 2; DELETE FROM event WHERE id = 4", other),
        (
            "INSERT INTO gap SELECT 7, 7, hash, 1 FROM event WHERE id = 7; DELETE FROM event WHERE id = 7",
            &other.replace("2 swept", "3 swept"),
        ),
        (
            "DELETE FROM gap WHERE first = 5",
            "broken at event 5: removed, and no sweep vouches for it",
        ),
        ("UPDATE head SET sweep = 2", "broken: no event vouches for sweep 2"),
        (
            "UPDATE head SET sweep = 0",
            "broken at event 2: removed, as 1 event behind it, and no sweep vouches for them",
        ),
        ("UPDATE event SET own = 0 WHERE id = 9", "broken: no event vouches for sweep 1"),
        ("UPDATE event SET payload = '{\"sweep\":1}' WHERE id = 9", other),
        (
            "UPDATE event SET payload = 'rubbish' WHERE id = 9",
            "broken: no event vouches for sweep 1",
        ),
        // Put in where others were.
        (
            "INSERT INTO event SELECT 5, 'e5', occurred_at, recorded_at, recorder, tenant, source, severity, action, actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, description, diff, payload, own, salt, hash FROM event WHERE id = 6",
            "broken at event 5: put in: a sweep has removed the event with this id",
        ),
    ] {
        hands.add(1);
        let sandbox = swept_sandbox();
        sandbox.run(["verify"]).ok().done();
        sandbox.tamper(hand);
        assert_broken(&sandbox.run(["verify"]).exits(1), line);
    }
    hands.add(2);
    // A forged sweep event without the `own` mark.
    let sandbox = Sandbox::with_events();
    let sweep = ForgedSweep { ranges: &[(4, 4)], own: false, ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
    assert_broken(&sandbox.run(["verify"]).exits(1), "broken: no event vouches for sweep 1");
    // One that would vouch for its own place.
    let sandbox = Sandbox::with_events();
    let sweep = ForgedSweep { ranges: &[(4, 4)], ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
    sandbox.ingest(r#"{"action":"news"}"#);
    tamper::without_triggers(&sandbox.db(), |sql| {
        sql.execute_batch("INSERT INTO gap SELECT 9, 9, hash, 1 FROM event WHERE id = 9").unwrap();
        let payload =
            json!({"sweep": 1, "count": 2, "total": 2, "gaps": 2, "by_action": {"a.b": 2},
            "rules": [], "late": 0, "cutoff": "2026-01-01T00:00:00Z",
            "gaps_sha256": chain::gaps_sha256(sql, 1)})
            .to_string();
        sql.execute("UPDATE event SET payload = ?1 WHERE id = 9", [payload]).unwrap();
    });
    let out = sandbox.run(["verify"]).exits(1);
    assert!(!out.stdout().contains("holds"), "{out}");
}

/// A sweep that somebody forged at the end of the chain, with all hashes as they should be: it must
/// at least tell what it took, for every digest tells that.
#[test]
fn a_forged_sweep_cannot_hide_what_it_took() {
    let mut hands = FaultCount::new("manipulations");
    let sweep = "sweep 1 (event 9)";
    for (claims, why) in [
        (r#"{"count":0,"by_action":{}}"#, "says that it took 0, and the ranges grew by 3 events"),
        (
            r#"{"count":0,"by_action":{},"total":0}"#,
            "does not say that sweeps have taken 3 events in all",
        ),
        (r#"{"total":null}"#, "does not say that sweeps have taken 3 events in all"),
        (r#"{"gaps":1}"#, "does not say that 2 swept ranges count"),
        (r#"{"count":null}"#, "does not say how many events it took"),
        (r#"{"late":4}"#, "took 3, and says that more came in too old"),
        (
            r#"{"cutoff":"2200-01-01T00:00:00Z"}"#,
            "has the cutoff 2200-01-01T00:00:00Z, after its own time",
        ),
        (
            r#"{"rules":[{"query":"","keep":"1d","count":3,"cutoff":"2200-01-01T00:00:00Z"}]}"#,
            "has the cutoff 2200-01-01T00:00:00Z, after its own time",
        ),
        (r#"{"by_action":{"a.b":2}}"#, "the counts by action of"),
        (r#"{"by_action":{"a.b":-3,"c.d":6}}"#, "the counts by action of"),
        (r#"{"rules":[{"query":"","keep":"1d","count":4}]}"#, "the counts by rule of"),
        (r#"{"rules":null}"#, "the counts by rule of"),
        (r#"{"cutoff":"soon"}"#, "a cutoff of"),
    ] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        let forged = ForgedSweep { ranges: &[(2, 3), (5, 5)], claims, ..ForgedSweep::default() };
        tamper::without_triggers(&sandbox.db(), |sql| forged.forge(sql));
        let out = sandbox.run(["verify", "--quick", "--quiet"]).exits(1);
        let line = out.stdout().lines().next().unwrap();
        assert!(line.starts_with("broken: ") && line.contains(why), "{claims}\n{out}");
        assert!(line.contains(sweep), "{claims}\n{out}");
        let out = sandbox.run(["sweep", "--keep", "365d"]).exits(74).no_stdout();
        assert!(out.stderr().contains("nothing is swept: "), "{out}");
    }
    // A second one that stands alone, or says what the first has said.
    for (hand, why) in [
        (
            ForgedSweep { number: 3, ..ForgedSweep::default() },
            "the event of the sweep before sweep 3 (event 10) is not there",
        ),
        (
            ForgedSweep { number: 1, ..ForgedSweep::default() },
            "sweep 1 (event 10) comes after sweep 1 (event 9)",
        ),
        (
            ForgedSweep {
                number: 2,
                claims: r#"{"count":3,"by_action":{"a.b":3}}"#,
                ..ForgedSweep::default()
            },
            "sweep 2 (event 10) says that it took 3, and the ranges grew by 0 events",
        ),
    ] {
        hands.add(1);
        let sandbox = swept_sandbox();
        tamper::without_triggers(&sandbox.db(), |sql| hand.forge_as(sql, "again"));
        assert_broken(&sandbox.run(["verify", "--quiet"]).exits(1), &format!("broken: {why}"));
    }
    // What real sweeps write holds.
    let sandbox = Sandbox::new();
    sandbox.ingest("{\"action\":\"a.b\",\"occurred_at\":\"2020-01-01T00:00:00Z\"}\n".repeat(3));
    for _ in 0..3 {
        sandbox.run(["sweep", "--keep", "365d", "--quiet"]).ok().done();
        sandbox.run(["verify", "--quiet"]).ok().done();
    }
}

/// The columns of event 6, for a row with another id.
const FORGED_ROW: &str = "'forged', occurred_at, recorded_at, recorder, tenant, source, severity, action, \
    actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, description, \
    diff, payload, own, salt, hash FROM event WHERE id = 6";

/// Rows in a range that a sweep vouches for are gone for every reader, whoever put them there.
#[test]
fn forged_rows_within_a_swept_range_are_read_by_nobody() {
    let mut hands = FaultCount::new("manipulations");
    for (ranges, id) in [(&[(1, 3)][..], 2), (&[(2, 3), (5, 5)], 3), (&[(2, 3), (5, 5)], 5)] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        let sweep = ForgedSweep { ranges, ..ForgedSweep::default() };
        tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
        let commands: [&[&str]; 11] = [
            &["list", "--json"],
            &["list", "--json", "--sort", "id"],
            &["list", "--json", "action:auth.*"],
            &["list", "--json", "tenant:other.example"],
            &["list", "--json", "is:failed", "since:2025-01-01"],
            &["list", "--json", "status:401"],
            &["search-actor", "--json", "17"],
            &["search-actor", "17", "--tz", "UTC"],
            &["search-target", "user/17"],
            &["actions"],
            &["digest", "--dry-run", "--since", "2025-01-01", "--until", "2026-01-01"],
        ];
        let read = || commands.map(|args| sandbox.run(args).ok().stdout().to_owned());
        sandbox.write("config.toml", "[digest]\nfrom = 'a@example.org'\nto = ['b@example.org']\n");
        let before = read();
        assert!(before[2].contains("auth.login_failed"), "{}", before[2]);
        sandbox.tamper(&format!(
            "DELETE FROM meta WHERE key = 'swept'; INSERT INTO event SELECT {id}, {FORGED_ROW}"
        ));
        for (args, (now, before)) in commands.iter().zip(read().iter().zip(&before)) {
            assert_eq!(now, before, "{args:?}");
        }
        for name in [&id.to_string(), "forged", "forg"] {
            sandbox.run(["show", name]).exits(1).no_stdout().done();
        }
        let seen = "SELECT count(*) FROM events WHERE event_id = 'forged'";
        assert_eq!(sandbox.log().query_value::<i64>(seen), 0, "in the view neither");
        let out = sandbox.run(["verify", "--quick", "--quiet"]).exits(1);
        let line =
            format!("broken at event {id}: put in: a sweep has removed the event with this id");
        assert_broken(&out, &line);
        let out = sandbox.run(["export", "--jsonl"]).ok();
        assert!(!out.stdout().contains("forged"), "{out}");
        assert_eq!(out.stdout().lines().count(), before[0].lines().count());
    }
}

/// Of a removal that was interrupted, only those events may be left that lead from what it has removed
/// to the end of the range.
#[test]
fn what_is_left_of_a_removal_must_lead_to_the_end_of_its_range() {
    let mut hands = FaultCount::new("manipulations");
    let altered = "altered: a sweep has yet to remove it, but it is not what was hashed";
    let put_in = "put in: a sweep has removed the event with this id";
    let forge = |id: i64| format!("INSERT INTO event SELECT {id}, {FORGED_ROW}");
    for (hand, line) in [
        (String::new(), None),
        ("DELETE FROM meta WHERE key = 'swept'".to_owned(), None),
        // All of it may be gone, for a sweep vouches for that.
        ("DELETE FROM event WHERE id IN (4, 5)".to_owned(), None),
        ("UPDATE event SET payload = '{}' WHERE id = 4".to_owned(), Some((4, altered))),
        ("UPDATE event SET payload = '{}' WHERE id = 5".to_owned(), Some((5, altered))),
        ("DELETE FROM event WHERE id = 4".to_owned(), Some((5, altered))),
        ("DELETE FROM event WHERE id = 5".to_owned(), Some((4, put_in))),
        // With the hash of the range, and other content.
        (
            format!(
                "DELETE FROM event WHERE id IN (4, 5); {}; \
                 UPDATE event SET hash = (SELECT hash FROM removal) WHERE id = 5",
                forge(5)
            ),
            Some((5, altered)),
        ),
        (forge(2), Some((2, put_in))),
        (forge(3), Some((3, put_in))),
        // The note on what was removed cannot be moved.
        (
            format!("UPDATE removal SET removed_to = 1, removed_hash = NULL; {}", forge(2)),
            Some((2, altered)),
        ),
        ("UPDATE removal SET removed_hash = zeroblob(32)".to_owned(), Some((4, altered))),
        ("UPDATE removal SET removed_to = 4".to_owned(), Some((4, put_in))),
    ] {
        hands.add(1);
        let sandbox = Sandbox::with_events();
        let sweep = ForgedSweep { ranges: &[(2, 5)], removed_up_to: 3, ..ForgedSweep::default() };
        tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
        sandbox.tamper(&hand);
        let out = sandbox.run(["verify", "--quick"]);
        match line {
            None => {
                out.ok().done();
                let listed = sandbox.run(["list", "--json"]).ok();
                assert_eq!(listed.stdout().lines().count(), 5, "{hand}: {listed}");
            }
            Some((id, why)) => {
                let out = out.exits(1);
                assert_broken(&out, &format!("broken at event {id}: {why}"));
                assert!(chain::verify_chain(&sandbox.log().sql).is_err(), "{hand}");
            }
        }
    }
}

/// SQLite reads the write-ahead log up to the first frame that does not hold, and says nothing.
#[test]
fn a_byte_that_was_flipped_in_the_write_ahead_log_is_damage() {
    let mut flips = FaultCount::new("flipped bits");
    const FRAME: usize = 24 + 4_096;
    let sandbox = Sandbox::new();
    for n in 0..8 {
        sandbox.ingest(format!(r#"{{"action":"a.b","event_id":"e{n}"}}"#));
    }
    let wal = sandbox.path("log.db-wal");
    let sound = fs::read(&wal).unwrap();
    // The mark of a frame that ends a transaction is the size of the log behind it.
    let frames = sound[32..].chunks_exact(FRAME);
    let ends: Vec<usize> =
        (1..).zip(frames).filter(|(_, frame)| frame[4..8] != [0; 4]).map(|(n, _)| n).collect();
    assert!(ends.len() > 5, "{ends:?}");
    sandbox.run(["verify"]).ok().no_stderr().done();
    for (place, what) in [
        (
            32 + (ends[1] - 1) * FRAME + 2_000,
            format!("frame {} of its -wal is damaged, and ", ends[1]),
        ),
        (
            32 + ends[1] * FRAME + 2_000,
            format!("frame {} of its -wal is damaged, and ", ends[1] + 1),
        ),
        (20, "the header of its -wal is damaged, and ".to_owned()),
    ] {
        let mut bytes = sound.clone();
        bytes[place] ^= 1;
        flips.add(1);
        fs::write(&wal, &bytes).unwrap();
        let listed = sandbox.run(["list", "--json"]);
        assert!(listed.stdout().lines().count() < 6, "SQLite passes over it: {listed}");
        drop(listed);
        for args in [&["verify"] as &[_], &["verify", "--quick"]] {
            let out = sandbox.run(args).exits(1);
            assert!(out.stdout().contains(&format!("broken: {what}")), "{out}");
            assert!(!out.stdout().contains("holds:"), "{out}");
        }
        let out = sandbox.run(["doctor"]).exits(1);
        assert!(out.stdout().contains(&what), "{out}");
        fs::write(&wal, &sound).unwrap();
        sandbox.run(["verify"]).ok().no_stderr().done();
    }
}

#[test]
fn a_page_that_is_gone_is_named_by_the_event() {
    let sandbox = Sandbox::new();
    let events: String = (0..4_500)
        .map(|n| format!("{{\"action\":\"a.b\",\"description\":\"number {n} of them\"}}\n"))
        .collect();
    sandbox.ingest(events);
    sandbox.run(["backup", "copy.db"]).ok().done();
    // The second one is read by the second reader of a quick verification; the last one has the last id.
    for gone in [1_000, 3_000, 4_499] {
        let mut bytes = sandbox.read("copy.db");
        let words = format!("number {gone} of them").into_bytes();
        let at = bytes.windows(words.len()).position(|there| there == words).unwrap() / 4096 * 4096;
        let page = at / 4096 + 1;
        bytes[at..at + 4096].fill(0);
        sandbox.write("damaged.db", bytes);
        let find = |out: &Output| {
            let line = out.stdout().lines().find(|line| line.contains("cannot be read")).unwrap();
            assert!(line.starts_with("broken: event "), "{out}");
            assert!(line.ends_with(" cannot be read: a page does not hold together"), "{out}");
            line.to_owned()
        };
        let out = sandbox.run(["verify", "--db", "damaged.db"]).exits(1).no_stderr();
        assert!(out.stdout().contains(&format!("page {page}")), "{out}");
        let quick = sandbox.run(["verify", "--quick", "--db", "damaged.db"]).exits(1);
        assert_eq!(find(&out), find(&quick));
    }
    // A file that was cut short is opened by nobody.
    let mut bytes = sandbox.read("copy.db");
    bytes.truncate(bytes.len() - 8 * 4096);
    sandbox.write("damaged.db", bytes);
    sandbox
        .run(["verify", "--db", "damaged.db"])
        .exits(74)
        .no_stdout()
        .stderr_has("is damaged")
        .done();
}

/// Everything that a log says, read as any other program would.
fn dump_tables(log: &Log) -> Vec<String> {
    let mut all = Vec::new();
    for (table, columns) in [
        (
            "event",
            "id, quote(event_id), occurred_at, recorded_at, recorder, tenant, source, severity, action, \
          actor, impersonator, target, title, agent, status, method, endpoint, ip, session_id, \
          description, diff, payload, own, hex(salt), hex(hash)",
        ),
        ("actor", "key, id, label, folded, hex(salt), hex(digest)"),
        ("target", "key, type, id, label, folded, hex(salt), hex(digest)"),
        ("action", "key, slug, module"),
        ("title", "key, text, folded"),
        ("agent", "key, text, hex(salt), hex(digest)"),
        ("tenant", "key, text"),
        ("recorder", "key, text"),
        ("head", "id, hex(hash), sweep"),
    ] {
        all.extend(
            log.query_texts(&format!("SELECT json_array({columns}) FROM {table} ORDER BY 1")),
        );
    }
    all
}

/// Bits are flipped all over the file: it may say what it said, or not hold, but nothing else.
#[test]
fn no_flipped_bit_changes_what_holds() {
    let sandbox = Sandbox::in_memory();
    let events: String = (0..40)
        .map(|n| {
            let event = json!({"action": format!("a.{n}"), "title": format!("Title {n}"),
                "actor_id": (n % 7).to_string(), "actor_label": "Ann", "target_id": n.to_string(),
                "payload": {"n": n, "text": "x".repeat(60)}, "ip": "10.0.0.1"});
            format!("{event}\n")
        })
        .collect();
    sandbox.ingest(events);
    sandbox.run(["backup", "sound.db"]).ok().done();
    let sound = sandbox.read("sound.db");
    let said = dump_tables(&Log::open(&sandbox.path("sound.db")));
    let listed = sandbox.stored_events();
    let (mut seen, mut same) = (0, 0);
    // A generator of Knuth's, so that each run flips the same.
    let mut random = 20_261_121_u64;
    for _ in 0..120 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = usize::try_from(random >> 33).unwrap() % (sound.len() * 8);
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        for ending in ["-wal", "-shm"] {
            drop(fs::remove_file(sandbox.path(format!("flipped.db{ending}"))));
        }
        sandbox.write("flipped.db", bytes);
        let out = sandbox.run(["verify", "--quiet", "--db", "flipped.db"]);
        if out.stdout().starts_with("holds: ") {
            let out = out.ok();
            assert_eq!(
                dump_tables(&Log::open(&sandbox.path("flipped.db"))),
                said,
                "bit {bit}: {out}"
            );
            let args =
                ["list", "--db", "flipped.db", "--json", "--sort", "id:asc", "--limit", "10000"];
            assert_eq!(sandbox.run(args).ok().json_lines(), listed, "bit {bit}");
            same += 1;
        } else {
            out.exits_with_one_of(&[1, 66, 74, 78]);
            seen += 1;
        }
    }
    FaultCount::new("flipped bits").add(seen + same);
    assert!(seen >= 15 && same >= 15, "{seen} seen, {same} in free space");
}

/// Without the integrity check two threads read a large log by turns. They find what one finds.
#[test]
fn two_readers_find_what_one_finds() {
    let events = |from: u32, to: u32| {
        let event = |n| format!("{{\"action\":\"a.b\",\"actor_id\":\"{}\"}}\n", n % 700);
        (from..to).map(event).collect::<String>()
    };
    let log = Sandbox::new();
    log.ingest(events(0, 7_500));
    let sweep = ForgedSweep { ranges: &[(1_990, 2_010), (5_000, 5_400)], ..ForgedSweep::default() };
    tamper::without_triggers(&log.db(), |sql| sweep.forge(sql));
    log.ingest(events(0, 1_000));
    log.run(["backup", "log.copy"]).ok().done();
    let check = |by: &dyn Fn(&Sandbox)| {
        let sandbox = Sandbox::new();
        sandbox.write("log.db", log.read("log.copy"));
        by(&sandbox);
        let both = [&["verify", "--json"][..], &["verify", "--quick", "--json"]];
        let [alone, by_turns] = both.map(|args| {
            let mut report = sandbox.run(args).json();
            for differs in ["quick", "notes"] {
                report.as_object_mut().unwrap().remove(differs);
            }
            report
        });
        (alone, by_turns)
    };
    let (alone, by_turns) = check(&|_| {});
    assert_eq!(alone["holds"], true, "{alone}");
    assert_eq!(alone["swept"], json!({"events": 422, "ranges": 2}));
    assert_eq!(alone, by_turns);

    let mut hands = FaultCount::new("manipulations");
    for (sql, id) in [
        ("UPDATE event SET endpoint = '/' WHERE id IN (1500, 3500)", 1_500),
        ("UPDATE event SET endpoint = '/' WHERE id IN (3500, 4500)", 3_500),
        ("UPDATE event SET endpoint = '/' WHERE id = 8501", 8_501),
        ("UPDATE event SET hash = zeroblob(32) WHERE id = 2011", 2_011),
        ("DELETE FROM event WHERE id = 2500", 2_500),
        ("DELETE FROM event WHERE id BETWEEN 2500 AND 6500", 2_500),
        ("UPDATE event SET id = id + 1 WHERE id = 8501", 8_501),
        ("UPDATE event SET id = -7 WHERE id = 3333", -7),
        ("UPDATE event SET id = 9223372036854775807 WHERE id = 3333", 3_333),
        ("UPDATE event SET actor = 9999 WHERE id = 7000", 7_000),
        ("UPDATE actor SET label = 'Eve' WHERE id = '699'", 700),
        ("UPDATE gap SET last = last + 1 WHERE first = 5000", 5_401),
    ] {
        hands.add(1);
        let (alone, by_turns) = check(&|sandbox| sandbox.tamper(sql));
        assert_eq!(alone["holds"], false, "{sql}");
        assert_eq!(alone, by_turns, "{sql}");
        let named = alone["broken"].as_array().unwrap().iter().any(|broken| broken["id"] == id);
        assert!(named, "{sql}: {alone}");
    }
}
