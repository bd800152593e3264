//! The exit codes, each by a run that ends in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::support::Sandbox;
use crate::support::is_running_as_root;
use crate::support::log::Log;
use crate::support::wait;

#[test]
fn each_documented_way_ends_as_it_says() {
    let sandbox = Sandbox::with_events();
    sandbox.write("bad.jsonl", "nonsense\n");
    sandbox.write("text.db", "this is no log at all, but text that is long enough to be read\n");
    sandbox.write("empty.db", "");
    for (code, args) in [
        (0, "list"),
        (0, "list action:none"),
        (0, "--version"),
        (0, "--help"),
        (0, "list --help"),
        (1, "show 99"),
        (2, "list status:x"),
        (2, "list --sort colour"),
        (2, "list --after x"),
        (2, "list --no-such-flag"),
        (2, "no-such-command"),
        (2, "show"),
        (2, ""),
        (2, "export --csv -o log.db"),
        (65, "ingest bad.jsonl"),
        (66, "list --db none.db"),
        (66, "ingest none.jsonl"),
        (66, "list --db ."),
        (66, "list --db text.db"),
        (66, "ingest --db text.db --action a"),
        (73, "ingest --db bad.jsonl/log.db --action a"),
        (73, "export --csv -o none/out.csv"),
        (74, "list --db empty.db"),
        (74, "ingest --db empty.db --action a"),
    ] {
        let out = sandbox.run(args.split_whitespace()).exits(code);
        if code > 2 && code != 65 {
            out.stderr_is_one_error().no_stdout().done();
        }
    }
    sandbox.assert_sound_with(8);
}

#[test]
fn the_version_is_told() {
    let out = Sandbox::new().run(["--version"]).ok().no_stderr();
    assert!(out.stdout().starts_with("activity 0."), "{out}");
}

#[test]
fn who_may_not_read_is_77_and_told_whose_it_is() {
    let sandbox = Sandbox::with_events();
    let command = sandbox.command_as_nobody(["list"]);
    drop(command);
    if is_running_as_root() {
        sandbox.run_shell("chown 0:0 log.db*; chmod 0600 log.db*").ok().done();
    } else {
        sandbox.run_shell("chmod 0000 log.db*").ok().done();
    }
    for args in
        [&["list"] as &[_], &["show", "1"], &["ingest", "--action", "a"], &["export", "--csv"]]
    {
        let out = sandbox
            .run_command(sandbox.command_as_nobody(args))
            .exits(77)
            .no_stdout()
            .stderr_is_one_error();
        assert!(out.stderr().contains("log.db"), "{out}");
    }
    sandbox.run_shell("chmod u+rw log.db*").ok().done();
    sandbox.assert_sound_with(8);
}

#[test]
fn who_may_not_create_is_73_or_77() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("closed");
    fs::create_dir(&folder).unwrap();
    let command = sandbox.command_as_nobody(["ingest", "--db", "closed/log.db", "--action", "a"]);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    sandbox.run_command(command).no_stdout().stderr_is_one_error().exits_with_one_of(&[73, 77]);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!sandbox.exists("closed/log.db"));
}

/// The lock is waited for as long as a busy machine may need, so this test takes its half minute,
/// beside the others.
#[test]
fn a_log_that_stays_locked_is_75_and_reading_goes_on() {
    let sandbox = Sandbox::with_events();
    let holder = Log::open_to_write(&sandbox.db());
    holder.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = sandbox.spawn(sandbox.command(["ingest", "--event-id", "w1", "--action", "a"]));
    // Reading goes on meanwhile.
    assert_eq!(sandbox.run(["list", "--json"]).ok().json_lines().len(), 8);
    assert!(
        !wait::has_exited_within(&waiting, std::time::Duration::from_secs(5)),
        "a lock is waited for"
    );
    let out = sandbox.wait_with_output(waiting).exits(75).no_stdout();
    assert!(out.stderr().contains(&std::process::id().to_string()), "who holds it\n{out}");
    holder.sql.execute_batch("ROLLBACK").unwrap();
    sandbox.assert_sound_with(8);
}

#[test]
fn a_lock_that_is_let_go_in_time_costs_nothing() {
    let sandbox = Sandbox::with_events();
    let holder = Log::open_to_write(&sandbox.db());
    holder.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = sandbox.spawn(sandbox.command(["ingest", "--action", "a"]));
    assert!(!wait::has_exited_within(&waiting, std::time::Duration::from_millis(300)));
    holder.sql.execute_batch("ROLLBACK").unwrap();
    sandbox.wait_with_output(waiting).ok().done();
    drop(holder);
    sandbox.assert_sound_with(9);
}

#[test]
fn a_holder_that_is_stopped_is_named() {
    let sandbox = Sandbox::with_events();
    // A child that sits in its transaction with the lock, as one stopped by its user would.
    let mut command = sandbox.command(["ingest"]);
    command.stdin(std::process::Stdio::piped());
    let mut child = sandbox.spawn(command);
    let stdin = child.stdin.take().unwrap();
    wait::send_signal(&child, Signal::STOP);
    sandbox.run(["list"]).ok().done();
    sandbox.run(["ingest", "--action", "beside"]).ok().done();
    wait::send_signal(&child, Signal::CONT);
    drop(stdin);
    sandbox.wait_with_output(child).ok().done();
    sandbox.assert_sound_with(9);
}

#[test]
fn a_log_of_a_newer_program_is_78_and_untouched() {
    let sandbox = Sandbox::with_events();
    let log = Log::open_to_write(&sandbox.db());
    log.sql.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(log);
    let before = sandbox.read("log.db");
    for args in ["list", "show 1", "search-actor 3", "export --csv", "ingest --action a", "actions"]
    {
        let out = sandbox.run(args.split(' ')).exits(78).no_stdout().stderr_is_one_error();
        assert!(out.stderr().contains("newer") && out.stderr().contains("99"), "{out}");
    }
    assert!(sandbox.read("log.db") == before, "not a byte has changed");
}
