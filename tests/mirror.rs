//! `activity mirror`: the engine, seen through mirrors that write files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::wait;

const EVENT: &str = r#"{"event_id":"018f3a5e-1111-7aaa-8bbb-0123456789ab","occurred_at":"2026-11-20T04:00:00.123456789Z","tenant":"s2l.online","severity":"high","module":"users","action":"user.edit","title":"Title","actor_id":"3","actor_label":"Jerome Cruz","payload":{"role":"editor","n":1.50},"ip":"102.65.14.9","session_id":"s-1"}"#;

/// The table of a mirror that writes into a file of that name.
fn file_mirror(name: &str, keys: &str) -> String {
    format!("[[mirror]]\nname = '{name}'\ntype = 'file'\npath = '{name}.log'\n{keys}\n")
}

/// A sandbox with these mirrors and that many events `e1`, `e2` …
fn sandbox_with(config: &str, events: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", config);
    ingest_numbered(&sandbox, 1, events);
    sandbox
}

fn ingest_numbered(sandbox: &Sandbox, first: usize, last: usize) {
    let lines = (first..=last).map(|n| format!("{{\"event_id\":\"e{n}\",\"action\":\"a.b\"}}\n"));
    let lines: String = lines.collect();
    if !lines.is_empty() {
        sandbox.ingest(lines);
    }
}

/// The `event_id`s of the JSON at the end of each line of a file.
#[track_caller]
fn event_ids(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let text = String::from_utf8(sandbox.read(file)).unwrap();
    text.lines().map(|line| event_id_in(line).unwrap_or_else(|| panic!("torn: {line}"))).collect()
}

/// The `event_id` of the JSON at the end of a line; `None` for a line that is torn.
fn event_id_in(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(&line[line.find('{')?..]).ok()?;
    Some(event["event_id"].as_str()?.to_owned())
}

fn numbered(first: usize, last: usize) -> Vec<String> {
    (first..=last).map(|n| format!("e{n}")).collect()
}

#[track_caller]
fn status(sandbox: &Sandbox, name: &str) -> Value {
    let rows = sandbox.run(["mirror", "status", "--json"]).ok().no_stderr().json_lines();
    rows.into_iter().find(|row| row["name"] == name).unwrap()
}

#[test]
fn an_event_becomes_a_line_from_which_the_same_event_is_read() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", file_mirror("m", ""));
    sandbox.ingest(EVENT);
    let out = sandbox.run(["mirror"]).ok().no_stderr();
    assert_eq!(out.stdout(), "m: 1 event delivered\n");
    let line = String::from_utf8(sandbox.read("m.log")).unwrap();
    let head = "[2026-11-20T04:00:00.123456789+00:00] s2l.online.high: Title {";
    assert!(line.starts_with(head) && line.ends_with("}\n"), "{line}");
    assert_eq!(sandbox.mode("m.log"), 0o600);

    let there = sandbox.only_event();
    for file in ["m.log", "m.jsonl"] {
        let json = &line[line.find('{').unwrap()..];
        sandbox.write("m.jsonl", json);
        let copy = Sandbox::new();
        copy.run(["ingest", "--quiet", sandbox.path(file).to_str().unwrap()]).ok().done();
        let mut back = copy.only_event();
        for stamp in ["recorded_at", "recorded_by", "hash"] {
            back[stamp] = there[stamp].clone();
        }
        assert_eq!(back, there, "{file}");
    }
    let out = sandbox.run(["mirror"]).ok().no_stderr();
    assert_eq!(out.stdout(), "", "there is nothing new");
}

#[test]
fn an_export_writes_mirror_lines_too_and_a_log_is_rebuilt_from_a_mirror() {
    let sandbox = Sandbox::with_events();
    sandbox.write("config.toml", "site = 'my.site'\n".to_owned() + &file_mirror("m", ""));
    sandbox.run(["mirror"]).ok().done();
    sandbox.run(["export", "--format", "mirror", "-o", "x.log"]).ok().done();
    let text = String::from_utf8(sandbox.read("x.log")).unwrap();
    let mut exported: Vec<&str> = text.lines().collect();
    let text = String::from_utf8(sandbox.read("m.log")).unwrap();
    let mut mirrored: Vec<&str> = text.lines().collect();
    assert!(text.contains("] my.site.critical: cache.purge {"), "{text}");
    // A mirror is in the order of ids, an export in that of time.
    exported.sort_unstable();
    mirrored.sort_unstable();
    assert_eq!(exported, mirrored);

    let rebuilt = Sandbox::new();
    rebuilt.run(["ingest", "--quiet", sandbox.path("m.log").to_str().unwrap()]).ok().done();
    let strip = |mut events: Vec<Value>| {
        for event in &mut events {
            for stamp in ["recorded_at", "hash"] {
                event.as_object_mut().unwrap().remove(stamp);
            }
        }
        events
    };
    let there = strip(sandbox.stored_events().into_iter().take(8).collect());
    assert_eq!(strip(rebuilt.stored_events()), there, "the same ids, the same values");
    // The chain of the new log vouches for it from now on, and not for what was before.
    rebuilt.run(["verify"]).ok().done();
    let head = sandbox.stored_events()[7]["hash"].as_str().unwrap()[..16].to_owned();
    rebuilt.run(["verify", "--anchor", &format!("8:{head}")]).exits(1).done();
}

#[test]
fn lines_of_a_syslog_server_are_read_back() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", file_mirror("m", ""));
    sandbox.ingest(EVENT);
    sandbox.run(["mirror"]).ok().done();
    let line = String::from_utf8(sandbox.read("m.log")).unwrap();
    for head in [
        "Nov 20 04:00:00 web3 activity: ",
        "2026-11-20T04:00:00.123456+00:00 web3 activity - - ",
        "<12>1 2026-11-20T04:00:00.123456Z web3 activity - - [activity@1 a=\"b\"] ",
    ] {
        let copy = Sandbox::new();
        copy.run_with_input(["ingest", "--quiet"], format!("{head}{line}")).ok().done();
        assert_eq!(copy.only_event()["event_id"], "018f3a5e-1111-7aaa-8bbb-0123456789ab");
    }
}

#[test]
fn a_hostile_title_stays_on_its_line_and_comes_back() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", file_mirror("m", ""));
    let title = "a\nb } {\"event_id\":\"forged\",\"action\":\"x\"}\u{1b}[31m\u{202e}";
    let event = json!({ "event_id": "e1", "action": "a.b", "title": title });
    sandbox.ingest(event.to_string());
    sandbox.run(["mirror"]).ok().done();
    let text = String::from_utf8(sandbox.read("m.log")).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    let copy = Sandbox::new();
    copy.run(["ingest", "--quiet", sandbox.path("m.log").to_str().unwrap()]).ok().done();
    assert_eq!(copy.only_event()["title"], title);
}

#[test]
fn each_mirror_gets_its_own_events_in_order_under_its_own_name() {
    let config = file_mirror("all", "batch = 2")
        + &file_mirror("edits", "query = 'action:user.*'\nidentifier = 'mine'")
        + &file_mirror("json", "format = 'jsonl'\nquery = '-action:user.*'")
        + "site = 'unused'\n";
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", config.replace("site = 'unused'\n", ""));
    let event = |n: usize| {
        let action = if n.is_multiple_of(2) { "user.edit" } else { "a.b" };
        let at = 59 - n;
        format!(
            "{{\"event_id\":\"e{n}\",\"action\":\"{action}\",\"occurred_at\":\"2026-11-20T04:00:{at:02}Z\"}}\n"
        )
    };
    sandbox.ingest((1..=7).map(event).collect::<String>());
    let out = sandbox.run(["mirror"]).ok().no_stderr();
    let mut lines: Vec<&str> = out.stdout().lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["all: 7 events delivered", "edits: 3 events delivered", "json: 4 events delivered"]
    );
    assert_eq!(event_ids(&sandbox, "all.log"), numbered(1, 7), "in the order of ids, not of time");
    assert_eq!(event_ids(&sandbox, "edits.log"), ["e2", "e4", "e6"]);
    assert_eq!(event_ids(&sandbox, "json.log"), ["e1", "e3", "e5", "e7"]);
    let edits = String::from_utf8(sandbox.read("edits.log")).unwrap();
    assert!(edits.contains("] mine.info: user.edit {"), "{edits}");
    assert!(sandbox.read("json.log").starts_with(b"{\"id\":1,"));
}

#[test]
fn what_cannot_be_delivered_waits_and_arrives_later() {
    let away = "[[mirror]]\nname = 'away'\ntype = 'file'\npath = 'later/m.log'\nattempts = 2\nwait = '1s'\n";
    let sandbox = sandbox_with(&(away.to_owned() + &file_mirror("near", "")), 3);
    let out = sandbox.run(["mirror"]).exits(75);
    assert_eq!(out.stdout(), "near: 3 events delivered\n", "one delays no other");
    let told = "away: later/m.log: no such file or directory; waiting: 3 events\n";
    assert!(out.stderr().contains(told), "{out}");
    let row = status(&sandbox, "away");
    assert_eq!((&row["delivered"], &row["waiting"]), (&json!(0), &json!(3)));
    assert_eq!(row["last_error"], "later/m.log: no such file or directory");
    sandbox.run(["mirror", "status", "--max-lag", "1h"]).ok().done();
    fs::create_dir(sandbox.path("later")).unwrap();
    ingest_numbered(&sandbox, 4, 4);
    let out = sandbox.run(["mirror"]).ok().no_stderr();
    assert!(out.stdout().contains("away: 4 events delivered\n"), "{out}");
    assert_eq!(event_ids(&sandbox, "later/m.log"), numbered(1, 4));
    assert!(status(&sandbox, "away").get("last_error").is_none());
}

#[test]
fn events_that_wait_too_long_are_a_fault() {
    let sandbox = sandbox_with(&file_mirror("m", ""), 1);
    let table = sandbox.run(["mirror", "status"]).ok().no_stderr();
    assert!(table.stdout().starts_with("NAME  DELIVERED  WAITING  LAG  DEAD"), "{table}");
    wait::until_true("a lag of a second", || {
        sandbox.run(["mirror", "status", "--max-lag", "0s"]).code == Some(1)
    });
    sandbox.run(["mirror"]).ok().done();
    sandbox.run(["mirror", "status", "--max-lag", "0s"]).ok().done();
    let row = status(&sandbox, "m");
    assert_eq!(
        (&row["delivered"], &row["waiting"], &row["dead"]),
        (&json!(1), &json!(0), &json!(0))
    );
}

#[test]
fn a_direct_mirror_has_the_event_when_ingest_ends() {
    let away = "[[mirror]]\nname = 'away'\ntype = 'file'\npath = 'later/m.log'\ndirect = true\n";
    let sandbox = sandbox_with(&(file_mirror("m", "direct = true") + away), 0);
    sandbox
        .run(["ingest", "--quiet", "--action", "a.b", "--event-id", "e1"])
        .ok()
        .no_stderr()
        .done();
    assert_eq!(event_ids(&sandbox, "m.log"), ["e1"]);
    ingest_numbered(&sandbox, 2, 3);
    assert_eq!(event_ids(&sandbox, "m.log"), numbered(1, 3));
    assert_eq!(status(&sandbox, "away")["waiting"], 3, "a failure is left to the queue");
}

#[test]
fn the_first_run_begins_with_the_oldest_event_or_now() {
    let sandbox = sandbox_with(&file_mirror("new", "start = 'now'"), 2);
    sandbox.run(["mirror"]).ok().done();
    assert!(!sandbox.exists("new.log"));
    sandbox.append("config.toml", file_mirror("old", ""));
    ingest_numbered(&sandbox, 3, 3);
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(event_ids(&sandbox, "new.log"), ["e3"]);
    assert_eq!(event_ids(&sandbox, "old.log"), numbered(1, 3));
    // One that is switched off keeps its place, and another query counts from there.
    sandbox.write("config.toml", file_mirror("old", "enabled = false"));
    ingest_numbered(&sandbox, 4, 4);
    sandbox.run(["mirror"]).ok().done();
    sandbox.write("config.toml", file_mirror("old", "query = 'action:a.*'"));
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(event_ids(&sandbox, "old.log"), numbered(1, 4));
    sandbox.write("config.toml", "");
    assert_eq!(sandbox.run(["mirror"]).ok().no_stderr().stdout(), "");
}

#[test]
fn two_runs_at_once_deliver_once() {
    let sandbox = sandbox_with(&file_mirror("m", "batch = 10"), 400);
    let runs: Vec<_> = (0..4).map(|_| sandbox.spawn(sandbox.command(["mirror"]))).collect();
    for run in runs {
        sandbox.wait_with_output(run).ok().no_stderr().done();
    }
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(event_ids(&sandbox, "m.log"), numbered(1, 400));
}

#[test]
fn a_run_that_is_killed_repeats_no_more_than_its_batch() {
    let sandbox = sandbox_with(&file_mirror("m", "batch = 5"), 600);
    for _ in 0..4 {
        let child = sandbox.spawn(sandbox.command(["mirror"]));
        let before = fs::metadata(sandbox.path("m.log")).map_or(0, |data| data.len());
        wait::until_or_exit("a batch", &child, || {
            let now = fs::metadata(sandbox.path("m.log")).map_or(0, |data| data.len());
            (now > before).then_some(())
        });
        rustix::process::kill_process(wait::pid(&child), rustix::process::Signal::KILL).ok();
        drop(sandbox.wait_with_output(child));
    }
    sandbox.run(["mirror"]).ok().done();
    let text = String::from_utf8(sandbox.read("m.log")).unwrap();
    let ids: Vec<String> = text.lines().filter_map(event_id_in).collect();
    // Of a write that was killed the first bytes may be there, and the next run has ended their line.
    assert!(text.lines().count() - ids.len() <= 4, "{text}");
    let mut first_times = ids.clone();
    let mut seen = std::collections::HashSet::new();
    first_times.retain(|id| seen.insert(id.clone()));
    assert_eq!(first_times, numbered(1, 600), "each once, in order, but for repeats");
    assert!(ids.len() <= 600 + 4 * 5, "{} lines", ids.len());
    sandbox.assert_sound_with(600);
}

#[test]
fn a_torn_line_is_ended_and_a_rotated_file_is_begun_anew() {
    let sandbox = sandbox_with(&file_mirror("m", ""), 1);
    sandbox.write("m.log", "[2026-11-20T04:00:00+00:00] torn");
    sandbox.run(["mirror"]).ok().done();
    let text = String::from_utf8(sandbox.read("m.log")).unwrap();
    assert!(text.starts_with("[2026-11-20T04:00:00+00:00] torn\n["), "{text}");
    fs::rename(sandbox.path("m.log"), sandbox.path("m.log.1")).unwrap();
    ingest_numbered(&sandbox, 2, 2);
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(event_ids(&sandbox, "m.log"), ["e2"]);
    // copytruncate
    fs::write(sandbox.path("m.log"), "").unwrap();
    ingest_numbered(&sandbox, 3, 3);
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(event_ids(&sandbox, "m.log"), ["e3"]);
}

#[test]
fn a_file_is_rotated_by_size_and_by_day() {
    let sandbox = sandbox_with(&file_mirror("m", "rotate = '1KB'\nbatch = 1"), 9);
    sandbox.run(["mirror"]).ok().done();
    let mut all = Vec::new();
    for n in 1..=9 {
        let name = format!("m.log.{n}");
        if sandbox.exists(&name) {
            assert!(sandbox.read(&name).len() <= 1000, "{name}");
            all.extend(event_ids(&sandbox, &name));
        }
    }
    assert!(sandbox.exists("m.log.2"), "several files");
    all.extend(event_ids(&sandbox, "m.log"));
    assert_eq!(all, numbered(1, 9));

    let sandbox = sandbox_with(&file_mirror("m", "rotate = 'daily'"), 1);
    sandbox.write("m.log", "old\n");
    sandbox.run_shell("touch -d 2026-01-02T12:00:00Z m.log").ok().done();
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(sandbox.read("m.log.2026-01-02"), b"old\n");
    ingest_numbered(&sandbox, 2, 2);
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(event_ids(&sandbox, "m.log"), ["e1", "e2"], "the same day goes on");
}

#[test]
fn a_mirror_never_writes_into_the_log_or_a_pipe() {
    let config = |path: &str| {
        format!("[[mirror]]\nname = 'm'\ntype = 'file'\npath = '{path}'\nattempts = 1\n")
    };
    let sandbox = sandbox_with(&config("log.db"), 1);
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("log.db: it is the log itself"), "{out}");
    sandbox.assert_sound_with(1);
    sandbox.run_shell("mkfifo pipe").ok().done();
    sandbox.write("config.toml", config("pipe"));
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("pipe: it is not a regular file"), "{out}");
}

#[test]
fn a_mirror_is_tested_and_replayed_by_name() {
    let sandbox = Sandbox::with_events();
    sandbox.write("config.toml", file_mirror("m", "query = '-action:cache.*'"));
    let out = sandbox.run(["mirror", "replay", "m", "--since", "2025-03-05"]).ok().no_stderr();
    assert_eq!(out.stdout(), "m: 0 events delivered\n", "it has had none yet");
    sandbox.run(["mirror"]).ok().done();
    let before = event_ids(&sandbox, "m.log");
    let out = sandbox.run(["mirror", "replay", "m", "--since", "2025-03-05"]).ok().no_stderr();
    assert_eq!(out.stdout(), "m: 4 events delivered\n");
    let after = event_ids(&sandbox, "m.log");
    assert_eq!(after[before.len()..], ["e1", "e2", "e3", "e4"]);
    assert_eq!(status(&sandbox, "m")["delivered"], 7, "a replay moves nothing");
    let out = sandbox.run(["mirror", "test", "m"]).ok().no_stderr();
    assert_eq!(out.stdout(), "m: it can be reached, and would take events\n");
    assert_eq!(event_ids(&sandbox, "m.log").len(), after.len(), "a test stores nothing");
    assert_eq!(sandbox.run(["mirror", "retry", "m"]).ok().stdout(), "m: 0 events delivered\n");
    let out = sandbox.run(["mirror", "test", "n"]).exits(2);
    assert!(out.stderr().contains("the config has no mirror \"n\""), "{out}");
    assert!(out.stderr().contains("it has m"), "{out}");
    let out = sandbox.run(["mirror", "replay", "m", "--since", "soon"]).exits(2);
    assert!(out.stderr().contains("--since"), "{out}");
}

#[test]
fn following_delivers_what_arrives() {
    let sandbox = sandbox_with(&file_mirror("m", ""), 1);
    let mut child = sandbox.spawn(sandbox.command(["mirror", "--follow"]));
    let lines = || fs::read_to_string(sandbox.path("m.log")).unwrap_or_default().lines().count();
    wait::until("the first event", &child, || (lines() == 1).then_some(()));
    ingest_numbered(&sandbox, 2, 3);
    wait::until("the next events", &child, || (lines() == 3).then_some(()));
    rustix::process::kill_process(wait::pid(&child), rustix::process::Signal::TERM).unwrap();
    assert!(wait::has_exited_within(&child, wait::DEADLINE));
    drop(child.wait());
    assert_eq!(event_ids(&sandbox, "m.log"), numbered(1, 3));
}

#[test]
fn a_log_that_is_not_there_or_not_writable_is_said_once() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", file_mirror("a", "") + &file_mirror("b", ""));
    let out = sandbox.run(["mirror"]).exits(66);
    assert_eq!(out.stderr().lines().filter(|line| line.contains("log.db")).count(), 1, "{out}");
    sandbox.run(["mirror", "status"]).exits(66).done();
}

#[test]
fn the_lock_of_a_mirror_is_private_whatever_its_name() {
    let name = "a/../b c";
    let config = format!("[[mirror]]\nname = '{name}'\ntype = 'file'\npath = 'm.log'\n");
    let sandbox = sandbox_with(&config, 1);
    sandbox.run(["mirror"]).ok().done();
    let lock = sandbox.path("log.db.mirror-a%2F%2E%2E%2Fb%20c");
    assert_eq!(lock.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
#[cfg(not(feature = "central"))]
fn a_build_without_postgresql_says_so() {
    let postgres = "[[mirror]]\nname = 'pg'\ntype = 'postgres'\nurl = 'postgres://a@localhost/a'\n";
    let sandbox = sandbox_with(&(postgres.to_owned() + &file_mirror("m", "")), 1);
    let out = sandbox.run(["mirror"]).exits(78);
    let told = "config: mirror.pg: this build has no central store";
    assert!(out.stderr().contains(told), "{out}");
    assert_eq!(event_ids(&sandbox, "m.log"), ["e1"], "the others go on");
}
