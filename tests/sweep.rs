//! `activity sweep`: what goes and what stays, what vouches for it, and what is report.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use rustix::fs::FlockOperation;
use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::is_running_as_root;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::terminal::PseudoTerminal;

const DAY_SECONDS: i64 = 86_400;

/// An event of so many days ago.
fn event_days_ago(id: &str, action: &str, days: i64) -> String {
    let at = clock::seconds_ago(days * DAY_SECONDS);
    format!(r#"{{"event_id":"{id}","action":"{action}","occurred_at":"{at}"}}"#)
}

/// A log with events of these actions and ages, `e1`, `e2` and so on.
fn sandbox_with_aged_events(events: &[(&str, i64)]) -> Sandbox {
    let sandbox = Sandbox::new();
    let numbered = events.iter().zip(1..);
    sandbox.ingest(join_lines(
        numbered
            .map(|((action, days), number)| event_days_ago(&format!("e{number}"), action, *days)),
    ));
    sandbox
}

fn retention_config(keep: &str, rules: &[(&str, &str)]) -> String {
    let keep = if keep.is_empty() { String::new() } else { format!("keep = '{keep}'\n") };
    let rules = rules
        .iter()
        .map(|(query, keep)| format!("[[retention.rule]]\nquery = '{query}'\nkeep = '{keep}'\n"));
    format!("[retention]\n{keep}{}", rules.collect::<String>())
}

/// Sweeps, checks the log by other means, and gives what was report.
#[track_caller]
fn run_sweep(sandbox: &Sandbox, args: &[&str]) -> Value {
    let args = ["sweep", "--json"].iter().chain(args);
    let report = sandbox.run(args).ok().no_stderr().json();
    assert_sound(sandbox);
    report
}

/// Checks the log by other means, and by the program's own.
#[track_caller]
fn assert_sound(sandbox: &Sandbox) {
    sandbox.log().assert_sound();
    let verified = sandbox.run(["verify", "--json"]).ok().json();
    assert_eq!(verified["holds"], true);
    assert_eq!(verified["events"], sandbox.log().event_count(), "what verify walked");
}

/// The ids of the emitter that are left, but for the log's own events.
fn remaining_ids(sandbox: &Sandbox) -> Vec<String> {
    let own = |event: &Value| event["action"].as_str().unwrap().starts_with("retention.");
    let stored = sandbox.stored_events();
    let left = stored.iter().filter(|event| !own(event));
    left.map(|event| event["event_id"].as_str().unwrap().to_owned()).collect()
}

/// The payloads of the events that vouch, the oldest first.
fn sweep_payloads(sandbox: &Sandbox) -> Vec<Value> {
    let is = |event: &Value| event["action"] == "retention.sweep";
    sandbox.stored_events().into_iter().filter(is).map(|event| event["payload"].clone()).collect()
}

#[test]
fn what_is_older_goes_and_one_event_vouches_for_it() {
    let sandbox = sandbox_with_aged_events(&[
        ("a.b", 400),
        ("a.b", 10),
        ("c.d", 366),
        ("c.d", 364),
        ("a.b", 0),
    ]);
    let report = run_sweep(&sandbox, &["--keep", "365d"]);
    assert_eq!(remaining_ids(&sandbox), ["e2", "e4", "e5"]);
    assert_eq!(report["count"], 2);
    let vouching = sweep_payloads(&sandbox);
    assert_eq!(vouching.len(), 1);
    let payload = vouching[0].as_object().unwrap();
    let fields: Vec<&str> = payload.keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "sweep",
            "count",
            "by_action",
            "cutoff",
            "keep",
            "rules",
            "late",
            "held",
            "total",
            "gaps",
            "gaps_sha256"
        ]
    );
    for (name, value) in payload {
        assert_eq!(report[name], *value, "{name}");
    }
    assert_eq!(payload["by_action"], json!({"a.b": 1, "c.d": 1}));
    assert_eq!(payload["sweep"], 1);
    assert_eq!((&payload["rules"], &payload["held"]), (&json!([]), &json!(0)));
    assert_eq!((&payload["gaps"], &payload["total"]), (&json!(2), &json!(2)));
    // They came in today and were too old by then.
    assert_eq!(payload["late"], 2);
    let age = clock::age_in_seconds(payload["cutoff"].as_str().unwrap()).abs();
    assert!((age - 365.0 * 86_400.0).abs() < 600.0, "{age}");
    let own =
        sandbox.stored_events().into_iter().find(|event| event["action"] == "retention.sweep");
    let own = own.unwrap();
    assert_eq!((&own["source"], own.get("title")), (&json!("system"), None));
    assert_eq!(own["id"], 6);
}

#[test]
fn a_sweep_of_nothing_is_recorded_too() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 0)]);
    assert_eq!(run_sweep(&sandbox, &["--keep", "1d"])["count"], 0);
    assert_eq!(run_sweep(&sandbox, &["--keep", "1d"])["sweep"], 2);
    let vouching = sweep_payloads(&sandbox);
    assert_eq!(vouching.len(), 2);
    assert_eq!((&vouching[1]["count"], &vouching[1]["gaps"]), (&json!(0), &json!(0)));
    assert_eq!(remaining_ids(&sandbox), ["e1"]);
}

#[test]
fn the_first_rule_that_fits_decides() {
    let sandbox = sandbox_with_aged_events(&[
        ("cron.run", 40),
        ("cron.run", 20),
        ("cron.keep", 400),
        ("user.edit", 40),
        ("user.edit", 400),
        ("auth.login", 400),
        ("auth.login", 4000),
    ]);
    sandbox.write(
        "config.toml",
        retention_config(
            "365d",
            &[("action:auth.*", "10y"), ("action:cron.keep", "2y"), ("action:cron.*", "30d")],
        ),
    );
    let report = run_sweep(&sandbox, &[]);
    assert_eq!(remaining_ids(&sandbox), ["e2", "e3", "e4", "e6"]);
    let rules = report["rules"].as_array().unwrap();
    let counts: Vec<_> = rules.iter().map(|rule| rule["count"].as_i64().unwrap()).collect();
    assert_eq!(counts, [1, 0, 1]);
    assert_eq!(rules[2]["query"], "action:cron.*");
    assert_eq!(rules[2]["keep"], "30d");
    let age = clock::age_in_seconds(rules[2]["cutoff"].as_str().unwrap());
    assert!((age - 30.0 * 86_400.0).abs() < 600.0, "{age}");

    // `--keep` stands for the general one alone.
    run_sweep(&sandbox, &["--keep", "10d"]);
    assert_eq!(remaining_ids(&sandbox), ["e2", "e3", "e6"]);
}

#[test]
fn without_keep_what_no_rule_fits_is_kept() {
    let sandbox = sandbox_with_aged_events(&[("cron.run", 40), ("user.edit", 4000)]);
    sandbox.write("config.toml", retention_config("", &[("action:cron.*", "30d")]));
    let report = run_sweep(&sandbox, &[]);
    assert_eq!(report.get("cutoff"), None);
    assert_eq!(remaining_ids(&sandbox), ["e2"]);
}

#[test]
fn nothing_to_go_by_is_78_and_nothing_is_recorded() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 4000)]);
    sandbox.run(["sweep"]).exits(78).no_stdout().stderr_has("--keep 365d").done();
    sandbox.run(["sweep", "--dry-run"]).exits(78).no_stdout().done();
    sandbox
        .run(["sweep", "--keep", "soon"])
        .exits(2)
        .no_stdout()
        .stderr_has("not a duration")
        .done();
    sandbox.write("config.toml", retention_config("", &[("purple:x", "30d")]));
    sandbox.run(["sweep", "--keep", "1d"]).exits(78).stderr_has("retention.rule[1].query").done();
    sandbox.assert_sound_with(1);
}

#[test]
fn without_a_log_it_is_66_and_none_is_made() {
    let sandbox = Sandbox::new();
    for args in [&["sweep", "--keep", "1d"] as &[_], &["sweep", "--keep", "1d", "--dry-run"]] {
        sandbox.run(args).exits(66).no_stdout().stderr_is_one_error().done();
    }
    let made = std::fs::read_dir(sandbox.work_folder()).unwrap().count();
    assert_eq!(made, 1, "the config alone is there");
}

#[test]
fn a_dry_run_counts_and_moves_nothing() {
    let sandbox = sandbox_with_aged_events(&[
        ("cron.run", 40),
        ("cron.run", 50),
        ("user.edit", 400),
        ("a.b", 0),
    ]);
    sandbox.write("config.toml", retention_config("365d", &[("action:cron.*", "30d")]));
    let files = ["log.db", "log.db-wal", "log.db.lock", "log.db.reserve"];
    let before = files.map(|file| sandbox.read(file));
    let out = sandbox.run(["sweep", "--dry-run"]).ok().no_stderr();
    insta::assert_snapshot!(out.stdout(), @r"
    ACTION     EVENTS  RULE
    cron.run        2  cron.* 30d
    user.edit       1  keep 365d
    total           3  of 4 events
    ");
    let would = sandbox.run(["sweep", "--dry-run", "--json"]).ok().no_stderr().json();
    assert_eq!(files.map(|file| sandbox.read(file)), before);
    assert_eq!(would.get("sweep"), None);
    let report = run_sweep(&sandbox, &[]);
    for field in ["count", "by_action", "late", "held"] {
        assert_eq!(report[field], would[field], "{field}");
    }
    let would = sandbox.run(["sweep", "--dry-run", "--json"]).ok().json();
    assert_eq!(would["count"], 0, "what is gone is not counted again");
}

#[test]
fn a_keep_under_a_day_needs_force() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400)]);
    let out = sandbox.run(["sweep", "--keep", "12h"]).exits(2).no_stdout();
    assert!(out.stderr().contains("--keep 12h") && out.stderr().contains("--force"), "{out}");
    sandbox.assert_sound_with(1);
    sandbox.run(["sweep", "--keep", "12h", "--dry-run"]).ok().no_stderr().done();
    assert_eq!(run_sweep(&sandbox, &["--keep", "12h", "--force"])["count"], 1);
}

/// A log of which nearly all is old.
fn sandbox_with_much_that_is_old() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines(
        (0..1_200)
            .map(|n| event_days_ago(&format!("e{n}"), "a.b", if n < 1_100 { 400 } else { 1 })),
    ));
    sandbox
}

#[test]
fn the_first_removal_of_most_of_a_log_is_confirmed() {
    let sandbox = sandbox_with_much_that_is_old();
    let out = sandbox.run(["sweep", "--keep", "365d"]).exits(75).no_stdout();
    let report = out.stderr();
    assert!(report.contains("1,100 of 1,200 events would go") && report.contains("--yes"), "{out}");
    sandbox.run(["sweep", "--keep", "365d", "--force"]).exits(75).done();
    sandbox.run(["sweep", "--keep", "365d", "--dry-run"]).ok().stderr_has("without --yes").done();
    sandbox.assert_sound_with(1_200);
    assert_eq!(run_sweep(&sandbox, &["--keep", "365d", "--yes"])["count"], 1_100);
    // From then on it runs by itself.
    sandbox.ingest(join_lines((0..1_200).map(|n| event_days_ago(&format!("f{n}"), "a.b", 400))));
    sandbox.run(["sweep", "--keep", "364d"]).exits(75).done();
    assert_eq!(run_sweep(&sandbox, &["--keep", "365d"])["count"], 1_200);
}

#[test]
fn a_person_on_a_terminal_is_asked() {
    let sandbox = sandbox_with_much_that_is_old();
    for (answer, code) in [("n\n", 75), ("\n", 75), ("y\n", 0)] {
        let mut terminal = PseudoTerminal::new(80);
        terminal.master.write_all(answer.as_bytes()).unwrap();
        let mut command = sandbox.command(["sweep", "--keep", "365d"]);
        command.stdin(terminal.child_stdio()).stdout(Stdio::null()).stderr(terminal.child_stdio());
        let child = command.spawn().unwrap();
        // The command holds the terminal too, and would keep it open.
        drop(command);
        let shown = terminal.read_to_end();
        sandbox.wait_with_output(child).exits(code).done();
        assert!(shown.contains("1,100 of 1,200 events would go"), "{shown}");
        assert!(shown.contains("Sweep all the same? [y/N]"), "{shown}");
    }
    sandbox.assert_sound_with(101);
}

#[test]
fn one_line_tells_it() {
    let sandbox = sandbox_with_aged_events(&[("cron.run", 40), ("user.edit", 400), ("a.b", 0)]);
    sandbox.write(
        "config.toml",
        retention_config("365d", &[("action:cron.*", "30d"), ("is:failed", "9w")]),
    );
    let out = sandbox.run(["sweep"]).ok().no_stderr();
    let line = out.stdout();
    let (at, rest) = line.split_once(' ').unwrap();
    assert!(clock::age_in_seconds(at) < 600.0 && at.len() == 20, "{at}");
    let wanted = "sweep removed 2 of 3 events older than 365d (cron.* 30d, is:failed 63d), ";
    let rest = rest.strip_prefix(wanted).unwrap_or_else(|| panic!("{line}"));
    assert!(rest.ends_with(" s\n") && rest.contains(" given back, "), "{line}");
}

#[test]
fn what_the_log_stands_on_is_never_taken() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400)]);
    run_sweep(&sandbox, &["--keep", "1d"]);
    assert_eq!(remaining_ids(&sandbox), [""; 0]);
    // With no time to keep them at all, the newest sweep stays, and the one that is recorded now.
    run_sweep(&sandbox, &["--keep", "0s", "--force"]);
    run_sweep(&sandbox, &["--keep", "0s", "--force"]);
    let numbers: Vec<_> =
        sweep_payloads(&sandbox).iter().map(|payload| payload["sweep"].clone()).collect();
    assert_eq!(numbers, [2, 3]);
    let ids: Vec<_> = sandbox.stored_events().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, [3, 4], "ids do not come again");
    sandbox.ingest(event_days_ago("e9", "a.b", 0));
    assert_eq!(sandbox.stored_events().last().unwrap()["id"], 5);
    sandbox.assert_sound_with(3);
}

/// Imported, which root alone may do, they are history like any other.
#[test]
fn what_another_log_stood_on_is_taken() {
    if !is_running_as_root() {
        return;
    }
    let sandbox = sandbox_with_aged_events(&[("a.b", 400)]);
    let imported = ["retention.sweep", "digest.sent", "digest.failed"];
    sandbox.ingest(join_lines(imported.iter().map(|action| event_days_ago(action, action, 400))));
    run_sweep(&sandbox, &["--keep", "1d"]);
    assert_eq!(remaining_ids(&sandbox), [""; 0]);
}

#[test]
fn what_a_mirror_has_yet_to_deliver_is_held() {
    let sandbox = sandbox_with_aged_events(&[
        ("cron.run", 400),
        ("user.edit", 400),
        ("user.edit", 380),
        ("a.b", 0),
    ]);
    let config = |mirrors: &str| {
        let alert = "[[alert]]\nname = 'all'\nmail = ['ops@example.org']\n";
        sandbox.write("config.toml", format!("{}{mirrors}{alert}", retention_config("365d", &[])));
    };
    let mirror =
        |keys: &str| format!("[[mirror]]\nname = 'm'\ntype = 'file'\npath = '/m'\n{keys}\n");
    config(&mirror("query = 'action:user.*'"));
    let out = sandbox.run(["sweep", "--dry-run"]).ok().no_stderr();
    insta::assert_snapshot!(out.stdout(), @r"
    ACTION    EVENTS  RULE
    cron.run       1  keep 365d
    total          1  of 4 events
    held           2  kept for mirrors
    ");
    let would = sandbox.run(["sweep", "--dry-run", "--json"]).ok().no_stderr().json();
    assert_eq!((&would["count"], &would["held"]), (&json!(1), &json!(2)));
    let out = sandbox.run(["sweep"]).ok().no_stderr();
    let message = "sweep removed 1 of 4 events older than 365d, kept 2 for mirrors, ";
    assert!(out.stdout().contains(message), "{out}");
    assert_sound(&sandbox);
    assert_eq!(remaining_ids(&sandbox), ["e2", "e3", "e4"]);
    assert_eq!(sweep_payloads(&sandbox)[0]["held"], 2);

    config(&mirror(""));
    assert_eq!(run_sweep(&sandbox, &[])["held"], 2, "without a query it takes all");
    // Places are kept in order: a mirror that is on holds beside one that is off.
    config(&(mirror("enabled = false") + &mirror("query = 'is:failed'").replace("'m'", "'n'")));
    assert_eq!(run_sweep(&sandbox, &["--dry-run"])["count"], 2);
    config(&mirror("enabled = false"));
    let would = run_sweep(&sandbox, &["--dry-run"]);
    assert_eq!((&would["count"], &would["held"]), (&json!(2), &json!(0)));
    config(&mirror("start = 'now'"));
    let report = run_sweep(&sandbox, &[]);
    assert_eq!((&report["count"], &report["held"]), (&json!(2), &json!(0)));
    assert_eq!(remaining_ids(&sandbox), ["e4"]);
}

#[test]
fn what_a_mirror_has_delivered_is_swept() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400), ("a.b", 399)]);
    let mirror = "[[mirror]]\nname = 'm'\ntype = 'file'\npath = 'm.log'\n";
    sandbox.write("config.toml", format!("{}{mirror}", retention_config("365d", &[])));
    assert_eq!(run_sweep(&sandbox, &[])["held"], 2);
    sandbox.run(["mirror"]).ok().done();
    let late = event_days_ago("late", "a.b", 398);
    sandbox.ingest(late);
    let swept = run_sweep(&sandbox, &[]);
    assert_eq!((&swept["count"], &swept["held"]), (&json!(2), &json!(1)));
    assert_eq!(remaining_ids(&sandbox), ["late"]);
    assert_sound(&sandbox);
}

#[test]
fn holes_close_as_their_neighbours_age() {
    let events: Vec<(&str, i64)> =
        (0..40).map(|n| (if n % 2 == 0 { "cron.run" } else { "user.edit" }, 100 - n)).collect();
    let sandbox = sandbox_with_aged_events(&events);
    sandbox.write("config.toml", retention_config("365d", &[("action:cron.*", "30d")]));
    assert_eq!(run_sweep(&sandbox, &[])["gaps"], 20);
    // Half of what was left grows old.
    let report = run_sweep(&sandbox, &["--keep", "80d"]);
    assert_eq!((&report["count"], &report["gaps"]), (&json!(10), &json!(11)));
    let log = sandbox.log();
    assert_eq!(log.query_value::<i64>("SELECT count(*) FROM gap"), 11, "what was joined is gone");
    assert_eq!(log.query_value::<i64>("SELECT last FROM gap ORDER BY first LIMIT 1"), 20);
    drop(log);
    assert_eq!(run_sweep(&sandbox, &["--keep", "30d"])["gaps"], 1);
    sandbox.assert_sound_with(3);
}

#[test]
fn an_event_that_is_kept_is_known_and_one_that_is_gone_is_new() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400), ("a.b", 10)]);
    run_sweep(&sandbox, &["--keep", "365d"]);
    let again = join_lines([
        event_days_ago("e1", "a.b", 400),
        r#"{"event_id":"e2","action":"a.b"}"#.to_owned(),
    ]);
    let out = sandbox.run_with_input(["ingest"], again).ok();
    assert_eq!(out.stderr(), "ingested 1, duplicates 1, rejected 0\n");
    assert_eq!(remaining_ids(&sandbox), ["e2", "e1"]);
    sandbox.assert_sound_with(3);
}

#[test]
fn what_nothing_refers_to_any_more_goes_too() {
    let sandbox = Sandbox::new();
    let event = |n: i64, days: i64| {
        let at = clock::seconds_ago(days * DAY_SECONDS);
        format!(
            r#"{{"action":"a.{n}","module":"m{n}","occurred_at":"{at}","tenant":"t{n}","actor_id":"{n}",
            "actor_label":"Secret {n}","impersonator_id":"i{n}","target_type":"x","target_id":"{n}",
            "title":"Title {n}","user_agent":"agent {n}"}}"#
        )
        .replace('\n', " ")
    };
    sandbox.ingest(join_lines([event(1, 400), event(2, 400), event(2, 1), event(3, 1)]));
    run_sweep(&sandbox, &["--keep", "365d"]);
    let log = sandbox.log();
    for (table, column, wanted) in [
        ("actor", "id", &["2", "3", "i2", "i3"] as &[_]),
        ("target", "id", &["2", "3"]),
        ("title", "text", &["Title 2", "Title 3"]),
        ("agent", "text", &["agent 2", "agent 3"]),
        ("tenant", "text", &["", "t2", "t3"]),
        ("action", "slug", &["a.2", "a.3", "retention.sweep"]),
    ] {
        let there = log.query_texts(&format!("SELECT {column} FROM {table} ORDER BY 1"));
        assert_eq!(there, wanted, "{table}");
    }
    assert_eq!(log.query_value::<i64>("SELECT count(*) FROM recorder"), 1);
    assert_eq!(log.query_value::<i64>("SELECT count(*) FROM unused"), 0);
    drop(log);
    // Nor is it left in the free parts of the files.
    for file in ["log.db", "log.db-wal"] {
        let bytes = sandbox.read(file);
        let found = bytes.windows(8).any(|bytes| bytes == b"Secret 1");
        assert!(!found, "{file}");
    }
    assert!(sandbox.read("log.db").windows(8).any(|bytes| bytes == b"Secret 2"));
}

#[test]
fn space_is_given_back() {
    let sandbox = Sandbox::in_memory();
    let title = "x".repeat(300);
    sandbox.ingest(join_lines((0..6000).map(|n| {
        let at = clock::seconds_ago(if n < 5500 { 400 } else { 1 } * DAY_SECONDS);
        format!(r#"{{"action":"a.b","occurred_at":"{at}","title":"{n} {title}"}}"#)
    })));
    // One sweep carries the write-ahead log over.
    run_sweep(&sandbox, &["--keep", "500d"]);
    let size = |sandbox: &Sandbox| sandbox.path("log.db").metadata().unwrap().len();
    let before = size(&sandbox);
    let report = run_sweep(&sandbox, &["--keep", "365d", "--yes"]);
    let after = size(&sandbox);
    assert_eq!(report["given_back"], before - after);
    assert!(after * 5 < before, "{after} of {before}");
    assert_eq!(sandbox.path("log.db-wal").metadata().unwrap().len(), 0);
    let log = sandbox.log();
    assert_eq!(log.query_value::<i64>("PRAGMA freelist_count"), 0);
    sandbox.assert_sound_with(502);
}

#[test]
fn by_hand_nothing_is_changed_before_and_after_a_sweep() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400), ("a.b", 10), ("a.b", 1)]);
    run_sweep(&sandbox, &["--keep", "365d"]);
    let log = Log::open_to_write(&sandbox.db());
    for hand in [
        "DELETE FROM event WHERE id = 2",
        "DELETE FROM event",
        "UPDATE event SET severity = 1 WHERE id = 3",
        "DELETE FROM recorder",
        "DELETE FROM action",
        "INSERT OR REPLACE INTO event SELECT * FROM event WHERE id = 2",
    ] {
        let refused = log.sql.execute(hand, []);
        assert!(refused.is_err(), "{hand}: {refused:?}");
    }
    drop(log);
    sandbox.assert_sound_with(3);
}

#[test]
fn a_removal_that_a_hand_has_put_among_the_swept_is_not_vouched_for() {
    for hand in [
        "INSERT INTO gap SELECT id, id, hash, 1 FROM event WHERE id = 3; \
         DELETE FROM event WHERE id = 3",
        "UPDATE gap SET last = 2, hash = (SELECT hash FROM event WHERE id = 2); \
         DELETE FROM event WHERE id = 2",
        "DELETE FROM gap",
    ] {
        let sandbox =
            sandbox_with_aged_events(&[("a.b", 400), ("a.b", 10), ("a.b", 1), ("a.b", 1)]);
        run_sweep(&sandbox, &["--keep", "365d"]);
        sandbox.tamper(hand);
        sandbox.run(["verify"]).exits(1).done();
        let out = sandbox.run(["sweep", "--keep", "5d"]).exits(74).no_stdout();
        assert!(out.stderr().contains("sweep 1 (event 5) vouches for"), "{out}");
        assert_eq!(sweep_payloads(&sandbox).len(), 1, "{hand}");
        sandbox.run(["verify"]).exits(1).done();
    }
}

#[test]
fn a_second_sweep_is_75_at_once_and_ingest_goes_on() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400)]);
    let reserve = File::open(sandbox.path("log.db.reserve")).unwrap();
    rustix::fs::flock(&reserve, FlockOperation::NonBlockingLockExclusive).unwrap();
    let out = sandbox.run(["sweep", "--keep", "1d"]).exits(75).no_stdout();
    assert_eq!(out.stderr(), "activity: another sweep of this log is at work\n");
    sandbox.run(["sweep", "--keep", "1d", "--dry-run"]).ok().done();
    sandbox.ingest(event_days_ago("e2", "a.b", 0));
    sandbox.run(["export", "--jsonl"]).ok().done();
    // A process that another test is just forking has the file too: closing it here would not do.
    rustix::fs::flock(&reserve, FlockOperation::Unlock).unwrap();
    assert_eq!(run_sweep(&sandbox, &["--keep", "1d"])["count"], 1);
}

#[test]
fn an_export_is_waited_for_and_a_sweep_is_waited_for_by_one() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400), ("a.b", 1)]);
    let lock = File::open(sandbox.path("log.db.lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).unwrap();
    let sweep = sandbox.spawn(sandbox.command(["sweep", "--keep", "365d", "--json"]));
    // It has planned by now, and waits; nothing is vouched for and nothing is gone.
    crate::support::wait::until("a plan", &sweep, || {
        (sandbox.log().query_value::<i64>("SELECT count(*) FROM removal") == 1).then_some(())
    });
    assert_eq!(remaining_ids(&sandbox), ["e1", "e2"]);
    assert_eq!(sweep_payloads(&sandbox).len(), 0);
    sandbox.log().assert_sound();
    drop(lock);
    let report = sandbox.wait_with_output(sweep).ok().json();
    assert_eq!(report["count"], 1);
    assert_eq!(remaining_ids(&sandbox), ["e2"]);
}

#[test]
fn a_signal_while_it_waits_ends_it_with_nothing_swept() {
    let sandbox = sandbox_with_aged_events(&[("a.b", 400)]);
    let lock = File::open(sandbox.path("log.db.lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).unwrap();
    let sweep = sandbox.spawn(sandbox.command(["sweep", "--keep", "365d"]));
    crate::support::wait::until("a plan", &sweep, || {
        (sandbox.log().query_value::<i64>("SELECT count(*) FROM removal") == 1).then_some(())
    });
    crate::support::wait::send_signal(&sweep, rustix::process::Signal::TERM);
    let out = sandbox.wait_with_output(sweep).no_stdout();
    assert_eq!(out.signal, Some(15), "{out}");
    assert_eq!(out.stderr(), "interrupted: nothing is swept\n");
    drop(lock);
    sandbox.assert_sound_with(1);
    // What it had planned is forgotten, also where another plan is made.
    assert_eq!(run_sweep(&sandbox, &["--keep", "500d"])["gaps"], 0);
    assert_eq!(run_sweep(&sandbox, &["--keep", "365d"])["count"], 1);
}
