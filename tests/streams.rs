//! Streams that are full, closed or go away: every command, and never a panic.

use rustix::process::Signal;

use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::wait;

/// Commands that print data.
const PRINTING_COMMANDS: [&str; 17] = [
    "list",
    "list --json",
    "list --view http",
    "list --output csv",
    "show 1",
    "show 1 --json",
    "search-actor 3",
    "search-target 17 --json",
    "export --csv",
    "export --jsonl",
    "actions",
    "actions --json",
    "whoami",
    "--help",
    "list --help",
    "completions bash",
    "man",
];

#[test]
fn a_full_standard_output_is_74() {
    let sandbox = Sandbox::with_events();
    for command in PRINTING_COMMANDS {
        let out = sandbox.run_shell(&format!("activity {command} > /dev/full"));
        let out = out.exits(74);
        assert!(out.stderr().starts_with("activity: "), "{command}\n{out}");
    }
    let out = sandbox.run_shell("activity ingest --json --action a > /dev/full");
    out.exits(74).done();
    assert_eq!(sandbox.run(["list", "--json", "action:a"]).ok().json_lines().len(), 1);
}

#[test]
fn closed_streams_never_panic() {
    let sandbox = Sandbox::with_events();
    let commands =
        PRINTING_COMMANDS.iter().copied().chain(["list status:x", "show 99", "ingest --action a"]);
    for command in commands {
        for closed in [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"] {
            let out = sandbox.run_shell(&format!("activity {command} {closed}"));
            let expected: &[i32] = match command {
                "list status:x" => &[2],
                "show 99" => &[1],
                _ => &[0, 74],
            };
            out.exits_with_one_of(expected);
        }
    }
    sandbox.log().assert_sound();
}

#[test]
fn a_standard_error_that_is_full_or_closed_changes_no_exit_code() {
    let sandbox = Sandbox::new();
    for (streams, n) in [("2>/dev/full", 1), ("2>&-", 2), ("2>/dev/null", 3), (">&- 2>&-", 4)] {
        let out = sandbox.run_shell(&format!("activity ingest --action a {streams}"));
        out.ok().done();
        assert_eq!(sandbox.log().event_count(), n, "{streams}");
    }
    sandbox.run_shell("activity list status:x 2>/dev/full").exits(2).done();
    sandbox.run_shell("activity list --db none.db 2>&-").exits(66).done();
    let out = sandbox.run_shell("echo nonsense | activity ingest 2>/dev/full");
    out.exits(65).done();
    sandbox.assert_sound_with(4);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let sandbox = Sandbox::in_memory();
    let title = "x".repeat(500);
    sandbox
        .ingest(join_lines((0..3000).map(|n| format!(r#"{{"action":"a","title":"{title}{n}"}}"#))));
    let all = ["list --limit 3000", "list --limit 3000 --json", "export --csv", "export --jsonl"];
    for command in all {
        let mut child = sandbox.spawn(sandbox.command(command.split(' ')));
        let mut out = child.stdout.take().unwrap();
        wait::read_lines(&mut out, 1);
        drop(out);
        let out = sandbox.wait_with_output(child);
        assert!(
            out.code == Some(0) || out.signal == Some(Signal::PIPE.as_raw()),
            "{command}\n{out}"
        );
        out.no_stderr().done();
    }
    let out = sandbox
        .run_shell("activity list --limit 3000 | head -n 1; activity --help | head -n 1")
        .ok();
    out.no_stderr().done();
    sandbox.log().assert_sound();
}

#[test]
fn a_line_from_an_open_pipe_is_committed_soon() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(["ingest"]);
    command.stdin(std::process::Stdio::piped());
    let mut child = sandbox.spawn(command);
    let mut stdin = child.stdin.take().unwrap();
    let db = sandbox.db();
    for count in 1..=3 {
        let start = std::time::Instant::now();
        std::io::Write::write_all(&mut stdin, b"{\"action\":\"a\"}\n").unwrap();
        wait::until("the commit", &child, || (Log::count_or_zero(&db) == count).then_some(()));
        let took = start.elapsed();
        // Within a second is promised; a busy machine gets some grace.
        assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    }
    // While it waits it holds no lock.
    sandbox.run(["ingest", "--action", "beside"]).ok().done();
    drop(stdin);
    let out = sandbox.wait_with_output(child).ok();
    assert_eq!(out.stderr(), "ingested 3, duplicates 0, rejected 0\n");
    sandbox.assert_sound_with(4);
}

#[test]
fn half_a_line_in_an_open_pipe_waits_for_its_rest() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(["ingest"]);
    command.stdin(std::process::Stdio::piped());
    let mut child = sandbox.spawn(command);
    let mut stdin = child.stdin.take().unwrap();
    let db = sandbox.db();
    std::io::Write::write_all(&mut stdin, b"{\"action\":\"a\"}\n{\"action\":").unwrap();
    wait::until("the commit", &child, || (Log::count_or_zero(&db) == 1).then_some(()));
    std::io::Write::write_all(&mut stdin, b"\"b\"}\n").unwrap();
    wait::until("the commit", &child, || (Log::count_or_zero(&db) == 2).then_some(()));
    drop(stdin);
    sandbox.wait_with_output(child).ok().done();
}
