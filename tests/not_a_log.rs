//! Files that stand where the log should be and are none: each is refused by name.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::log::Log;

/// The commands that open the log, reading and writing.
const COMMANDS: [&str; 7] = [
    "list",
    "show 1",
    "search-actor 3",
    "search-target 17",
    "actions",
    "export --jsonl",
    "ingest --action x.y",
];

#[track_caller]
fn assert_each_refuses(sandbox: &Sandbox, db: &str, code: i32, why: &str) {
    for command in COMMANDS {
        let args = command.split(' ').chain(["--db", db]);
        let out: Output = sandbox.run(args).exits(code).no_stdout().stderr_is_one_error();
        let name = db.rsplit('/').next().unwrap();
        assert!(out.stderr().contains(name), "{db} is named\n{out}");
        assert!(out.stderr().contains(why), "it says {why:?}\n{out}");
    }
}

#[test]
fn a_folder_a_pipe_and_a_device_are_no_logs() {
    let sandbox = Sandbox::new();
    sandbox.run_shell("mkdir folder; mkfifo pipe").ok().done();
    for db in ["folder", "pipe", "/dev/null", "/dev/zero"] {
        assert_each_refuses(&sandbox, db, 66, "");
    }
}

#[test]
fn another_file_is_no_log_and_stays_as_it_is() {
    let sandbox = Sandbox::new();
    let foreign = Log::create_foreign(&sandbox.path("foreign.db"));
    drop(foreign);
    let text = "root:x:0:0:root:/root:/bin/bash\n".repeat(200);
    sandbox.write("text", &text);
    sandbox.write("short", "x");
    for db in ["text", "short", "foreign.db"] {
        let before = sandbox.read(db);
        assert_each_refuses(&sandbox, db, 66, "");
        assert!(sandbox.read(db) == before, "{db} is untouched");
    }
}

#[test]
fn an_emptied_log_is_not_begun_anew() {
    let sandbox = Sandbox::with_events();
    sandbox.run_shell(": > log.db; rm -f log.db-wal log.db-shm").ok().done();
    assert_each_refuses(&sandbox, "log.db", 74, "empty");
    assert_eq!(sandbox.read("log.db"), b"");
    // With the WAL still beside it, nothing else is true.
    let sandbox = Sandbox::with_events();
    sandbox.run_shell(": > log.db").ok().done();
    assert_each_refuses(&sandbox, "log.db", 74, "empty");
}

#[test]
fn a_missing_log_is_made_by_ingest_alone() {
    let sandbox = Sandbox::new();
    for command in &COMMANDS[..6] {
        let out = sandbox.run(command.split(' ')).exits(66).no_stdout().stderr_is_one_error();
        assert!(out.stderr().contains("log.db"), "{out}");
        assert!(!sandbox.exists("log.db"), "{command} makes no log");
    }
    insta::assert_snapshot!(sandbox.run(["list"]), @"
    ------- stderr -------
    activity: cannot open the log [sandbox]/here/log.db: no such file
    hint: `activity ingest` makes one
    [exit status: 66]
    ");
}

#[test]
fn a_name_like_a_uri_is_the_name_of_a_file() {
    let sandbox = Sandbox::new();
    for name in ["file:x?vfs=unix-none", "file:y", ":memory:", "a?mode=ro", "per%20cent", "#hash"] {
        sandbox.run(["ingest", "--db", name, "--action", "a"]).ok().done();
        assert!(sandbox.exists(name), "{name}");
        let out = sandbox.run(["list", "--db", name, "--json"]).ok();
        assert_eq!(out.json_lines().len(), 1, "{name}");
    }
    assert!(!sandbox.exists("x") && !sandbox.exists("y") && !sandbox.exists("a"));
}

#[test]
fn a_hard_link_beside_the_log_is_refused_and_elsewhere_told() {
    let sandbox = Sandbox::with_events();
    sandbox.run_shell("ln log.db second.db").ok().done();
    for db in ["log.db", "second.db"] {
        let args = ["ingest", "--db", db, "--action", "a"];
        sandbox.run(args).exits(73).no_stdout().stderr_is_one_error().done();
    }
    sandbox.run_shell("mkdir backup; mv second.db backup/").ok().done();
    let out = sandbox.run(["ingest", "--action", "a"]).ok();
    assert_eq!(out.stderr().lines().count(), 2, "a name elsewhere is a warning\n{out}");
    sandbox.assert_sound_with(9);
}

#[test]
fn a_symbolic_link_to_ones_own_log_is_followed() {
    let sandbox = Sandbox::with_events();
    sandbox.run_shell("mkdir links; ln -s ../log.db links/log").ok().done();
    sandbox.run(["ingest", "--db", "links/log", "--action", "a"]).ok().done();
    assert_eq!(sandbox.run(["list", "--db", "links/log", "--json"]).ok().json_lines().len(), 9);
    sandbox.assert_sound_with(9);
    let side: Vec<_> = fs::read_dir(sandbox.path("links")).unwrap().collect();
    assert_eq!(side.len(), 1, "one log has one WAL: {side:?}");
    sandbox.run_shell("ln -s none dangling").ok().done();
    sandbox.run(["list", "--db", "dangling"]).exits(66).no_stdout().done();
}

#[test]
fn foreign_schema_objects_stop_writing() {
    for (name, hand) in [
        ("trigger", "CREATE TRIGGER quiet BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END"),
        ("view", "CREATE VIEW other AS SELECT 1"),
        ("table", "CREATE TABLE other (x)"),
        (
            "partial index",
            "DROP INDEX event_actor; CREATE INDEX event_actor ON event (actor, occurred_at) WHERE id <> 7",
        ),
        ("missing trigger", "DROP TRIGGER event_delete"),
        ("missing index", "DROP INDEX event_action"),
    ] {
        let sandbox = Sandbox::with_events();
        let log = Log::open_to_write(&sandbox.db());
        log.sql.execute_batch(hand).unwrap();
        drop(log);
        let out = sandbox.run(["ingest", "--action", "a"]).no_stdout().stderr_is_one_error();
        assert!([66, 74].contains(&out.code.unwrap()), "{name}\n{out}");
        assert_eq!(sandbox.log().event_count(), 8, "{name}: nothing is stored");
    }
}

#[test]
fn a_database_with_our_tables_but_another_mark_is_no_log() {
    let sandbox = Sandbox::with_events();
    let log = Log::open_to_write(&sandbox.db());
    log.sql.execute_batch("PRAGMA application_id = 7").unwrap();
    drop(log);
    assert_each_refuses(&sandbox, "log.db", 66, "");
}

#[test]
fn a_foreign_wal_is_ignored() {
    let sandbox = Sandbox::with_events();
    let log = Log::open_to_write(&sandbox.db());
    log.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(log);
    sandbox.run_shell("rm -f log.db-wal log.db-shm").ok().done();
    let noise: Vec<u8> =
        (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    sandbox.write("log.db-wal", noise);
    assert_eq!(sandbox.run(["list", "--json"]).ok().json_lines().len(), 8);
    sandbox.run(["ingest", "--action", "a"]).ok().done();
    sandbox.assert_sound_with(9);
}

/// A log of some hundred pages, all of them in the file itself.
fn sandbox_with_large_log() -> Sandbox {
    let sandbox = Sandbox::in_memory();
    let events = (0..3000).map(|n| {
        format!(r#"{{"action":"a.{}","actor_id":"{}","title":"title number {n}"}}"#, n % 7, n % 31)
    });
    sandbox.ingest(crate::support::join_lines(events));
    let log = Log::open_to_write(&sandbox.db());
    log.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(log);
    sandbox.run_shell("rm -f log.db-wal log.db-shm").ok().done();
    sandbox
}

/// Never a wrong answer with exit 0: all rows, or 74.
#[track_caller]
fn is_damage_reported(sandbox: &Sandbox, right: &str, fault: &str) -> bool {
    let out = sandbox.run(["list", "--json", "--limit", "10000"]);
    if out.code == Some(0) {
        assert!(out.stdout() == right, "{fault}: other rows, and exit 0");
        return false;
    }
    let out = out.exits(74);
    assert!(out.stderr().starts_with("activity: "), "{fault}\n{out}");
    true
}

#[test]
fn damage_is_74_and_never_a_partial_list_with_0() {
    let sandbox = sandbox_with_large_log();
    let right = sandbox.run(["list", "--json", "--limit", "10000"]).ok().stdout().to_owned();
    assert_eq!(right.lines().count(), 3000);
    sandbox.run_shell("rm -f log.db-wal log.db-shm").ok().done();
    let whole = sandbox.read("log.db");
    let pages = whole.len() / 4096;
    assert!(pages > 100, "{pages} pages");
    let mut found = 0;
    let zeroed = (0..pages).step_by(pages / 40);
    for page in zeroed {
        sandbox.write("log.db", &whole);
        let file = fs::OpenOptions::new().write(true).open(sandbox.db()).unwrap();
        file.write_all_at(&[0; 4096], page as u64 * 4096).unwrap();
        let message = if page == 0 {
            // Without its first page nobody can say that it ever was a log.
            sandbox.run(["list"]).exits_with_one_of(&[66, 74]);
            true
        } else {
            is_damage_reported(&sandbox, &right, &format!("page {page} zeroed"))
        };
        found += usize::from(message);
        sandbox.run_shell("rm -f log.db-wal log.db-shm").ok().done();
    }
    assert!(found > 5, "damage was met {found} times");

    for cut in [1, 4096, 40_960] {
        sandbox.write("log.db", &whole[..whole.len() - cut]);
        let is_reported = is_damage_reported(&sandbox, &right, &format!("{cut} bytes cut off"));
        assert!(is_reported || cut == 1, "{cut} bytes cut off are not met");
        sandbox.run_shell("rm -f log.db-wal log.db-shm").ok().done();
    }
}

#[test]
fn output_and_rejects_never_go_over_the_log() {
    let sandbox = Sandbox::with_events();
    sandbox.write("bad.jsonl", "nonsense\n");
    sandbox.run_shell("ln -s log.db soft").ok().done();
    let before = sandbox.read("log.db");
    for name in ["log.db", "log.db-wal", "log.db-shm", "soft", "./log.db"] {
        let args = ["ingest", "bad.jsonl", "--rejects", name];
        sandbox.run(args).exits(2).no_stdout().stderr_has("would overwrite the log").done();
    }
    assert!(sandbox.read("log.db") == before, "not a byte has changed");
    sandbox.assert_sound_with(8);
}

#[test]
fn the_log_is_no_input_of_its_own() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["ingest", "log.db"]);
    assert_ne!(out.code, Some(0), "{out}");
    drop(out);
    sandbox.assert_sound_with(8);
}

#[test]
fn rejects_over_the_input_are_refused() {
    let sandbox = Sandbox::new();
    let input = "{\"action\":\"a\"}\nnonsense\n";
    sandbox.write("in.jsonl", input);
    sandbox.run(["ingest", "in.jsonl", "--rejects", "in.jsonl"]).exits(2).no_stdout().done();
    assert_eq!(sandbox.read("in.jsonl"), input.as_bytes());
}

#[test]
fn a_log_without_its_side_files_is_read_all_the_same() {
    let sandbox = Sandbox::with_events();
    let log = Log::open_to_write(&sandbox.db());
    log.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(log);
    sandbox.run_shell("rm -f log.db-wal log.db-shm").ok().done();
    assert_eq!(sandbox.run(["list", "--json"]).ok().json_lines().len(), 8);
    sandbox.assert_sound_with(8);
}

#[test]
fn an_event_that_a_hand_made_vanish_is_not_called_a_duplicate() {
    // A trigger that swallows inserts: either the log is refused, or the loss is told; never 0.
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a"}"#);
    let log = Log::open_to_write(&sandbox.db());
    let hand = "CREATE TRIGGER swallow BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END";
    log.sql.execute_batch(hand).unwrap();
    drop(log);
    let mut input = tempfile::NamedTempFile::new_in(sandbox.work_folder()).unwrap();
    writeln!(input, r#"{{"action":"b","event_id":"e1"}}"#).unwrap();
    let out = sandbox.run(["ingest".as_ref(), input.path().as_os_str()]);
    assert!(out.code != Some(0) && !out.stderr().contains("duplicates 1"), "{out}");
}
