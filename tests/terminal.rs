//! What only a terminal gets: relative times, colours, a pager, a progress bar.

use std::process::Stdio;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::fixture::EVENTS;
use crate::support::join_lines;
use crate::support::terminal::PseudoTerminal;

#[track_caller]
fn shown_on_terminal(sandbox: &Sandbox, columns: u16, args: &[&str]) -> Output {
    sandbox.run_on_terminal(columns, sandbox.command(args)).ok()
}

fn sandbox_with_recent_events() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines(
        [
            (10, "now"),
            (2 * 60 + 20, "minutes"),
            (3 * 3600 + 60, "hours"),
            (26 * 3600, "day"),
            (3 * 86_400 + 3600, "days"),
            (-5 * 60 - 20, "ahead"),
        ]
        .map(|(ago, name)| {
            let time = clock::seconds_ago(ago);
            format!(r#"{{"action":"t.{name}","occurred_at":"{time}","actor_label":"A"}}"#)
        }),
    ));
    sandbox
}

#[test]
fn times_are_relative() {
    let sandbox = sandbox_with_recent_events();
    let out = shown_on_terminal(&sandbox, 100, &["list", "--color", "never"]);
    for (action, time) in [
        ("t.now", "just now"),
        ("t.minutes", "2 min ago"),
        ("t.hours", "3 hr ago"),
        ("t.ahead", "in 5 min"),
    ] {
        let line = out.stdout().lines().find(|line| line.contains(action)).unwrap();
        assert!(line.starts_with(time), "{action}: {line:?}\n{out}");
    }
    // Other days have their weekday and the clock.
    for action in ["t.day ", "t.days"] {
        let line = out.stdout().lines().find(|line| line.contains(action)).unwrap();
        let (day, clock) = (line.get(..3).unwrap(), line.get(4..9).unwrap());
        assert!(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day), "{line:?}");
        assert_eq!(clock.as_bytes()[2], b':', "{line:?}");
    }
    let out = shown_on_terminal(&sandbox, 100, &["list", "--color", "never", "--time", "utc"]);
    assert!(out.stdout().lines().nth(1).unwrap().starts_with("20"), "{out}");
    let out = shown_on_terminal(&sandbox, 100, &["list", "--json"]);
    assert!(out.json_lines()[0]["occurred_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn colours_come_on_a_terminal_and_go_with_no_color() {
    let sandbox = Sandbox::with_events();
    assert!(shown_on_terminal(&sandbox, 100, &["list"]).out.contains(&0x1b));
    assert!(!shown_on_terminal(&sandbox, 100, &["list", "--color", "never"]).out.contains(&0x1b));
    let mut command = sandbox.command(["list"]);
    command.env("NO_COLOR", "1");
    assert!(!sandbox.run_on_terminal(100, command).ok().out.contains(&0x1b));
    let mut command = sandbox.command(["list"]);
    command.env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1");
    assert!(sandbox.run_on_terminal(100, command).ok().out.contains(&0x1b));
    assert!(!shown_on_terminal(&sandbox, 100, &["list", "--json"]).out.contains(&0x1b));
}

#[test]
fn methods_and_statuses_have_their_colours() {
    let sandbox = Sandbox::new();
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let statuses = [101, 204, 301, 404, 503];
    sandbox.ingest(join_lines(methods.iter().zip(statuses).map(|(method, status)| {
        format!(r#"{{"action":"a","method":"{method}","status_code":{status},"title":"Headline"}}"#)
    })));
    let args = ["list", "--view", "http", "--color", "always", "--sort", "id:asc"];
    let out = sandbox.run_with_env(&[("COLUMNS", "120")], args).ok();
    let colour = |text: &str| -> Vec<u32> {
        let at = out.stdout().find(text).unwrap_or_else(|| panic!("no {text}\n{out}"));
        let code = out.stdout()[..at].rsplit_once("\u{1b}[").unwrap().1;
        code.split_once('m').unwrap().0.split(';').map(|n| n.parse().unwrap()).collect()
    };
    for (text, foreground) in [
        ("GET", 4),
        ("POST", 2),
        ("PUT", 3),
        ("PATCH", 3),
        ("DELETE", 1),
        ("204", 2),
        ("404", 3),
        ("503", 1),
    ] {
        let code = colour(text);
        assert!(
            code.contains(&(30 + foreground)) || code.contains(&(90 + foreground)),
            "{text}: {code:?}"
        );
    }
    assert!(colour("Headline").contains(&1), "titles are bold");
}

#[test]
fn tables_fit_the_terminal() {
    let sandbox = Sandbox::with_events();
    for columns in [60, 80, 120, 200] {
        for args in
            [&["list"] as &[_], &["list", "--view", "http"], &["show", "1"], &["search-actor", "3"]]
        {
            let out = shown_on_terminal(&sandbox, columns, &[args, &["--color", "never"]].concat());
            for line in out.stdout().lines() {
                assert!(line.chars().count() <= columns.into(), "{columns}: {line:?}\n{out}");
            }
        }
    }
}

#[test]
fn the_pager_is_found_and_may_be_refused() {
    let sandbox = Sandbox::with_events();
    let pager = "sed s/^/paged:/";
    let paged = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env_remove("ACTIVITY_PAGER");
        let variables = variables.to_vec();
        let out = sandbox.run_on_terminal_with_env(100, command, &variables).ok();
        assert!(out.stdout().contains("user.edit"), "{out}");
        out.stdout().lines().next().unwrap().starts_with("paged:")
    };
    assert!(paged(&[("ACTIVITY_PAGER", pager)], &["list"]));
    assert!(paged(&[("PAGER", pager)], &["list"]));
    assert!(paged(&[("ACTIVITY_PAGER", pager), ("PAGER", "cat")], &["list"]));
    assert!(paged(&[("PAGER", pager)], &["show", "1"]));
    assert!(!paged(&[("ACTIVITY_PAGER", pager)], &["list", "--no-pager"]));
    assert!(!paged(&[("ACTIVITY_PAGER", pager)], &["list", "--json", "--no-pager"]));
    // One that is not there takes nothing from anybody.
    assert!(!paged(&[("ACTIVITY_PAGER", "/nowhere/pager")], &["list"]));
    // Off a terminal there is none.
    let out = sandbox.run_with_env(&[("ACTIVITY_PAGER", pager)], ["list"]).ok();
    assert!(!out.stdout().starts_with("paged:"), "{out}");
}

#[test]
fn a_pager_that_is_left_early_ends_it_quietly() {
    let sandbox = Sandbox::in_memory();
    let title = "x".repeat(200);
    sandbox.ingest(join_lines(
        (0..2000).map(|n| format!(r#"{{"action":"a.b","title":"{title}{n}"}}"#)),
    ));
    let command = sandbox.command(["list", "--limit", "2000", "--columns", "title"]);
    let out = sandbox.run_on_terminal_with_env(300, command, &[("ACTIVITY_PAGER", "head -n 1")]);
    out.ok().no_stderr().done();
}

#[test]
fn a_progress_line_comes_on_a_terminal_only_and_is_wiped() {
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", EVENTS);
    let terminal = PseudoTerminal::new(100);
    let mut command = sandbox.command(["ingest", "--color", "never", "events.jsonl"]);
    command.env("TERM", "xterm-256color").stdout(Stdio::piped()).stderr(terminal.child_stdio());
    let child = command.spawn().unwrap();
    drop(command);
    let (output, seen) = std::thread::scope(|scope| {
        let seen = scope.spawn(|| terminal.read_to_end());
        (child.wait_with_output().unwrap(), seen.join().unwrap())
    });
    assert!(output.status.success());
    let last = seen.lines().last().unwrap();
    let last = last.rsplit(['\r', '\u{1b}']).next().unwrap();
    assert!(last.ends_with("ingested 8, duplicates 0, rejected 0"), "{seen:?}");
    sandbox.run(["ingest", "--again", "events.jsonl"]).ok().done();
}

#[test]
fn a_terminal_on_standard_input_gets_a_hint() {
    let sandbox = Sandbox::new();
    let terminal = PseudoTerminal::new(80);
    let mut command = sandbox.command(["ingest"]);
    command.stdin(terminal.child_stdio());
    let mut child = sandbox.spawn(command);
    let mut err = child.stderr.take().unwrap();
    let hint = crate::support::wait::read_lines(&mut err, 1);
    assert!(hint.contains("standard input"), "{hint}");
    crate::support::wait::send_signal(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
}
