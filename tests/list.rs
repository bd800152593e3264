//! `activity list`: its table, its views and columns, its order, pages and cursors.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::support::wait;

/// Numbered events, a second apart, all before now.
fn numbered_events(count: u32) -> String {
    join_lines((1..=count).map(|n| {
        let time = clock::normal_form(&format!(
            "2025-01-01T{:02}:{:02}:{:02}Z",
            n / 3600,
            n / 60 % 60,
            n % 60
        ));
        format!(
            r#"{{"action":"n.a","occurred_at":"{time}","actor_id":"{n}","actor_label":"P {n}"}}"#
        )
    }))
}

#[test]
fn list_shows_a_table() {
    let sandbox = Sandbox::with_events();
    insta::assert_snapshot!(sandbox.run_with_env(&[("COLUMNS", "140")], ["list"]), @"
    WHEN                      ACTOR                           ACTION               TARGET                        SOURCE    TITLE
    2025-03-05T14:28:09.551Z  Jerome Cruz                     user.edit            James Compton                 operator  Profile update
    2025-03-05T14:16:00.000Z  (system)                        backup.created       site-snapshot                 cron
    2025-03-05T13:30:00.000Z  Maria Reyes                     post.publish         Spring launch                 operator  Spring launch goes o…
    2025-03-05T11:30:00.000Z  Jerome Cruz                     settings.write       General settings → site_name  operator
    2025-03-04T16:00:00.000Z  James Compton (by Jerome Cruz)  page.delete          Old pricing                   operator
    2025-03-04T08:00:00.000Z  Jim Compton                     ✗ auth.login_failed  Jim Compton                   api       Sign-in refused
    2025-03-03T23:59:59.999Z  21                              submit_quiz          quiz/71f0                     api       Submitted quiz
    2025-02-28T08:00:00.000Z  (system)                        cache.purge          all surfaces                  system
    ------- stderr -------
    8 events · activity show 1 for the newest in full · --help for filters
    [exit status: 0]
    ");
}

#[test]
fn list_fits_80_columns() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["list"]).ok();
    assert!(out.stdout().lines().all(|line| line.chars().count() <= 80), "{out}");
    insta::assert_snapshot!(out, @"
    WHEN                      ACTOR             ACTION               TARGET
    2025-03-05T14:28:09.551Z  Jerome Cruz       user.edit            James Compton
    2025-03-05T14:16:00.000Z  (system)          backup.created       site-snapshot
    2025-03-05T13:30:00.000Z  Maria Reyes       post.publish         Spring launch
    2025-03-05T11:30:00.000Z  Jerome Cruz       settings.write       General settin…
    2025-03-04T16:00:00.000Z  (by Jerome Cruz)  page.delete          Old pricing
    2025-03-04T08:00:00.000Z  Jim Compton       ✗ auth.login_failed  Jim Compton
    2025-03-03T23:59:59.999Z  21                submit_quiz          quiz/71f0
    2025-02-28T08:00:00.000Z  (system)          cache.purge          all surfaces
    ------- stderr -------
    8 events · activity show 1 for the newest in full · --help for filters
    [exit status: 0]
    ");
}

#[test]
fn list_fits_60_columns_and_never_cuts_when_and_action() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run_with_env(&[("COLUMNS", "60")], ["list"]).ok();
    for line in out.stdout().lines() {
        assert!(line.chars().count() <= 60, "{line:?}\n{out}");
    }
    for whole in ["2025-03-05T14:28:09.551Z", "auth.login_failed", "2025-03-03T23:59:59.999Z"] {
        assert!(out.stdout().contains(whole), "{whole} is cut\n{out}");
    }
}

#[test]
fn off_a_terminal_nothing_is_cut_unless_columns_is_set() {
    let sandbox = Sandbox::new();
    let label = "long ".repeat(60);
    sandbox.ingest(
        json!({"action":"a","actor_label":label.trim(),"target_label":label.trim()}).to_string(),
    );
    let mut command = sandbox.command(["list"]);
    command.env_remove("COLUMNS");
    let out = sandbox.run_command(command).ok();
    assert_eq!(out.stdout().matches(label.trim()).count(), 2, "{out}");
    let out = sandbox.run(["list"]).ok();
    assert!(!out.stdout().contains(label.trim()) && out.stdout().contains('…'), "{out}");
}

#[test]
fn times_are_shown_in_the_zone() {
    let sandbox = Sandbox::with_events();
    let first = |out: crate::support::Output| out.ok().stdout().lines().nth(1).unwrap().to_owned();
    let line = first(sandbox.run(["list", "--tz", "Africa/Johannesburg"]));
    assert!(line.starts_with("2025-03-05T16:28:09.551+02:00"), "{line}");
    let line = first(sandbox.run_with_env(&[("ACTIVITY_TZ", "Asia/Kolkata")], ["list"]));
    assert!(line.starts_with("2025-03-05T19:58:09.551+05:30"), "{line}");
    let line = first(sandbox.run(["list", "--tz", "Asia/Tokyo", "--time", "utc"]));
    assert!(line.starts_with("2025-03-05T14:28:09.551000000Z"), "{line}");
    let line = first(sandbox.run(["list", "--time", "relative"]));
    assert!(line.starts_with(" 5 Mar 2025") || line.starts_with("5 Mar 2025"), "{line}");
    // Data is in UTC, whatever the zone.
    let out = sandbox.run(["list", "--json", "--tz", "Asia/Tokyo", "--limit", "1"]).ok();
    assert_eq!(out.json()["occurred_at"], "2025-03-05T14:28:09.551000000Z");
    sandbox
        .run(["list", "--tz", "Mars/Olympus"])
        .exits(2)
        .stderr_is_one_error()
        .stderr_has("Mars/Olympus")
        .done();
}

#[test]
fn the_http_view() {
    let sandbox = Sandbox::with_events();
    let args = ["list", "--view", "http", "--time", "utc"];
    insta::assert_snapshot!(sandbox.run_with_env(&[("COLUMNS", "200")], args), @"
    WHEN                            TITLE                   ACTION               USER                            METHOD  ENDPOINT                      STATUS  MODULE
    2025-03-05T14:28:09.551000000Z  Profile update          user.edit            Jerome Cruz                                                                   users
    2025-03-05T14:16:00.000000000Z                          backup.created       (system)                                                                      ops
    2025-03-05T13:30:00.000000000Z  Spring launch goes out  post.publish         Maria Reyes                                                                   posts
    2025-03-05T11:30:00.000000000Z                          settings.write       Jerome Cruz                                                                   settings
    2025-03-04T16:00:00.000000000Z                          page.delete          James Compton (by Jerome Cruz)                                                pages
    2025-03-04T08:00:00.000000000Z  Sign-in refused         ✗ auth.login_failed  Jim Compton                     POST    /v1/auth/login                   401  auth
    2025-03-03T23:59:59.999999999Z  Submitted quiz          submit_quiz          21                              POST    /v1/quizzes/71f0/submissions     201  quiz
    2025-02-28T08:00:00.000000000Z                          cache.purge          (system)
    ------- stderr -------
    8 events · activity show 1 for the newest in full · --help for filters
    [exit status: 0]
    ");
    let out = sandbox.run_with_env(&[("COLUMNS", "200")], args).ok();
    let head = out.stdout().lines().next().unwrap();
    let order = ["WHEN", "TITLE", "ACTION", "USER", "METHOD", "ENDPOINT", "STATUS", "MODULE"];
    let places: Vec<_> = order.iter().map(|name| head.find(name)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{head}");
}

#[test]
fn a_narrow_http_view_leaves_titles_out_first() {
    let sandbox = Sandbox::with_events();
    let args = ["list", "--view", "http", "--time", "relative", "method:POST", "--quiet"];
    insta::assert_snapshot!(sandbox.run_with_env(&[("COLUMNS", "80")], args), @"
    WHEN        ACTION               USER         METHOD  ENDPOINT            STATUS
    4 Mar 2025  ✗ auth.login_failed  Jim Compton  POST    /v1/auth/login         401
    3 Mar 2025  submit_quiz          21           POST    /v1/quizzes/71f0/…     201
    [exit status: 0]
    ");
}

#[test]
fn the_endpoint_gets_the_room_of_titles_that_repeat_it() {
    let sandbox = Sandbox::new();
    let endpoint = "/v1/quizzes/71f0/submissions/9";
    sandbox.ingest(
        json!({"action": "submit_quiz", "title": format!("POST {endpoint}"), "method": "POST",
               "endpoint": endpoint, "actor_id": "21"})
        .to_string(),
    );
    let args = ["list", "--view", "http", "--time", "relative", "--quiet"];
    let out = sandbox.run_with_env(&[("COLUMNS", "84")], args).ok();
    assert!(out.stdout().contains(endpoint) && !out.stdout().contains("TITLE"), "{out}");
    sandbox.ingest(
        json!({"action": "submit_quiz", "title": "Ninth try", "method": "POST"}).to_string(),
    );
    let out = sandbox.run_with_env(&[("COLUMNS", "120")], args).ok();
    assert!(out.stdout().contains("TITLE") && out.stdout().contains("Ninth try"), "{out}");
}

#[test]
fn the_names_of_columns_can_be_left_out() {
    let sandbox = Sandbox::with_events();
    let lines = |args: &[&str]| -> Vec<String> {
        let out = sandbox.run([&["list", "--columns", "id,action"], args].concat()).ok();
        out.stdout().lines().map(str::to_owned).collect()
    };
    let table = lines(&["--no-header"]);
    assert_eq!((table.len(), table[0].split_whitespace().next()), (8, Some("1")), "{table:?}");
    let around = lines(&["--around", "1", "--no-header"]);
    assert!(!around.iter().any(|line| line.contains("ACTION")), "{around:?}");
    let csv = lines(&["--output", "csv", "--limit", "2"]);
    assert_eq!(csv[0], "\"id\",\"action\"");
    // The export before is an event now.
    let below = lines(&["--output", "csv", "--limit", "3", "--no-header"]);
    assert_eq!(below[1..], csv[1..]);
    assert_eq!(lines(&["--json", "--no-header", "--limit", "2"]).len(), 2);
}

#[test]
fn columns_are_chosen_or_added() {
    let sandbox = Sandbox::with_events();
    let head = |columns: &str| -> Vec<String> {
        let out = sandbox.run_with_env(&[("COLUMNS", "200")], ["list", "--columns", columns]).ok();
        out.stdout().lines().next().unwrap().split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(head("id,action,event_id"), ["ID", "ACTION", "EVENT_ID"]);
    assert_eq!(head("+id"), ["ID", "WHEN", "ACTOR", "ACTION", "TARGET", "SOURCE", "TITLE"]);
    let out = sandbox.run(["list", "--columns", "id,action"]).ok();
    let rows: Vec<Vec<&str>> =
        out.stdout().lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["1", "user.edit"], "{out}");
    let out = sandbox.run(["list", "--columns", "colour"]).exits(2).no_stdout();
    out.stderr_has("colour").done();
}

#[test]
fn json_lines_have_the_fields_in_the_promised_order_and_leave_absent_ones_out() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["list", "--json"]).ok().no_stderr();
    let rows = out.json_lines();
    assert_eq!(rows.len(), 8);
    let keys: Vec<_> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys.join(" "),
        "id event_id occurred_at recorded_at recorded_by tenant source severity module action title \
         actor_id actor_label target_type target_id target_label diff payload ip user_agent \
         session_id hash"
    );
    let impersonated = rows.iter().find(|row| row["event_id"] == "e5").unwrap();
    assert_eq!(impersonated["impersonator_label"], "Jerome Cruz");
    let http = rows.iter().find(|row| row["event_id"] == "e7").unwrap();
    assert_eq!(http["method"], "POST");
    assert_eq!(http["status_code"], json!(201));
    assert_eq!(http.get("actor_label"), None, "nothing is filled in in data");
    for row in &rows {
        let hash = row["hash"].as_str().unwrap();
        assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{row}");
    }
    let same = sandbox.run(["list", "--output", "json"]).ok();
    assert_eq!(same.stdout(), out.stdout());
}

#[test]
fn output_csv_exports_the_shown_events() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["list", "--output", "csv", "--limit", "2", "actor:3"]).ok();
    let mut reader = csv::Reader::from_reader(out.stdout().as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.get(0), Some("id"));
    assert_eq!(header.len(), 28);
    let ids: Vec<String> =
        reader.records().map(|row| row.unwrap().get(0).unwrap().to_owned()).collect();
    assert_eq!(ids, ["1", "4"], "newest first, as the table");

    let event = sandbox.stored_events().pop().unwrap();
    assert_eq!(event["action"], "log.export");
    assert_eq!(event["payload"]["format"], "csv");
    assert_eq!(event["payload"]["rows"], 2);
    sandbox.assert_sound_with(9);
}

#[test]
fn a_listing_without_events_names_the_query_on_stderr() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["list", "action:nothing.*", "since:2025-01-01"]).ok().no_stdout();
    insta::assert_snapshot!(out, @"
    ------- stderr -------
    no events match action:nothing.* since 2025-01-01 00:00 UTC
    [exit status: 0]
    ");
    sandbox.run(["list", "action:nothing.*", "--quiet"]).ok().no_stdout().no_stderr().done();
    sandbox.run(["list", "action:nothing.*", "--json"]).ok().no_stdout().done();
}

#[test]
fn labels_are_filled_in_only_in_tables() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        r#"{"action":"a","occurred_at":"2025-01-01T00:00:00Z","actor_id":"17","actor_label":"Jim Compton"}"#,
        r#"{"action":"b","occurred_at":"2025-01-02T00:00:00Z","actor_id":"17","actor_label":"James Compton"}"#,
        r#"{"action":"c","occurred_at":"2025-01-03T00:00:00Z","actor_id":"17"}"#,
        r#"{"action":"d","occurred_at":"2025-01-03T00:00:00Z","actor_id":"17","tenant":"other"}"#,
        r#"{"action":"e","occurred_at":"2025-01-03T00:00:00Z","actor_id":"0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7"}"#,
        r#"{"action":"f","occurred_at":"2025-01-03T00:00:00Z","source":"operator"}"#,
        r#"{"action":"g","occurred_at":"2025-01-03T00:00:00Z","source":"api"}"#,
        r#"{"action":"h","occurred_at":"2025-01-03T00:00:00Z","source":"cron"}"#,
        r#"{"action":"i","occurred_at":"2025-01-03T00:00:00Z","source":"cron","actor_label":"Cron Bot"}"#,
    ]));
    let args = ["list", "--columns", "action,actor", "--sort", "id:asc"];
    let mut command = sandbox.command(args);
    command.env_remove("COLUMNS");
    insta::assert_snapshot!(sandbox.run_command(command), @"
    ACTION  ACTOR
    a       Jim Compton
    b       James Compton
    c       ~James Compton
    d       17
    e       0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7
    f       (anonymous)
    g       (anonymous)
    h       (system)
    i       Cron Bot
    ------- stderr -------
    9 events · activity show 9 for the newest in full · --help for filters
    [exit status: 0]
    ");
    let out = sandbox.run(["list", "--json", "--sort", "id:asc"]).ok();
    assert_eq!(out.field("actor_label")[2], Value::Null);
}

#[test]
fn the_config_names_the_system() {
    let sandbox = Sandbox::with_events();
    sandbox.write("config.toml", "system_label = \"[robot]\"\n");
    let out = sandbox.run(["list"]).ok();
    assert!(out.stdout().contains("[robot]") && !out.stdout().contains("(system)"), "{out}");
}

// Order, limit, pages, cursors.

#[test]
fn the_newest_50_come_first_and_equal_times_by_id() {
    let sandbox = Sandbox::new();
    sandbox.ingest(numbered_events(60));
    let out = sandbox.run(["list", "--json"]).ok();
    assert_eq!(out.ids(), (11..=60).rev().collect::<Vec<_>>());
    sandbox.ingest(join_lines(
        ["x", "y"].map(|a| format!(r#"{{"action":"{a}","occurred_at":"2025-06-01T00:00:00Z"}}"#)),
    ));
    let out = sandbox.run(["list", "--json", "--limit", "3"]).ok();
    assert_eq!(out.ids(), [62, 61, 60]);
}

#[test]
fn the_footer_names_the_next_page_and_its_command_works() {
    let sandbox = Sandbox::new();
    sandbox.ingest(numbered_events(7));
    let mut next = "list --limit 3 'action:n.*'".to_owned();
    let mut seen = Vec::new();
    loop {
        let out = sandbox.run_shell(&format!("unset COLUMNS; activity {next}")).ok();
        let rows = out.stdout().lines().skip(1).filter_map(|line| line.split("P ").nth(1));
        seen.extend(rows.map(|row| row.split_whitespace().next().unwrap().to_owned()));
        let text = format!("{}{}", out.stdout(), out.stderr());
        let more = text.split("activity ").find(|command| command.contains("--after"));
        let Some(more) = more else { break };
        next = more.lines().next().unwrap().split(" · ").next().unwrap().to_owned();
        assert!(seen.len() <= 7, "pages that never end: {seen:?}");
    }
    assert_eq!(seen, ["7", "6", "5", "4", "3", "2", "1"]);
}

#[test]
fn cursors_tile_the_log_in_both_directions() {
    let sandbox = Sandbox::new();
    // Many events at one instant differ only in their ids.
    sandbox.ingest(join_lines(
        (0..40).map(|n| {
            format!(r#"{{"action":"a","occurred_at":"2025-01-01T00:00:0{}.5Z"}}"#, n / 20)
        }),
    ));
    for (sort, expected) in
        [(None, (1..=40).rev().collect::<Vec<i64>>()), (Some("when:asc"), (1..=40).collect())]
    {
        let mut seen: Vec<i64> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut args = vec!["list", "--json", "--limit", "7"];
            args.extend(sort.iter().flat_map(|sort| ["--sort", *sort]));
            args.extend(cursor.iter().flat_map(|cursor| ["--after", cursor.as_str()]));
            let rows = sandbox.run(&args).ok().json_lines();
            let Some(last) = rows.last() else { break };
            cursor = Some(format!("{},{}", last["occurred_at"].as_str().unwrap(), last["id"]));
            seen.extend(rows.iter().map(|row| row["id"].as_i64().unwrap()));
            assert!(seen.len() <= 40, "a cursor that repeats: {seen:?}");
        }
        assert_eq!(seen, expected, "{sort:?}");
    }
}

#[test]
fn a_cursor_works_only_in_the_order_of_time() {
    let sandbox = Sandbox::with_events();
    let cursor = "2025-03-05T14:16:00Z,2";
    let out = sandbox.run(["list", "--json", "--after", cursor]).ok();
    assert_eq!(out.ids(), [3, 4, 5, 6, 7, 8]);
    // A cursor is the two fields of any row, written in any zone.
    let out = sandbox.run(["list", "--json", "--after", "2025-03-05T16:16:00+02:00,2"]).ok();
    assert_eq!(out.ids(), [3, 4, 5, 6, 7, 8]);
    for bad in ["", "2", "yesterday,2", "2025-03-05T14:16:00Z", "2025-03-05T14:16:00Z,x", "x,y,z"] {
        sandbox.run(["list", "--after", bad]).exits(2).no_stdout().done();
    }
    sandbox.run(["list", "--after", cursor, "--sort", "action"]).exits(2).no_stdout().done();
    sandbox.run(["list", "--after", cursor, "--sort", "id"]).exits(2).no_stdout().done();
    sandbox.run(["list", "--after", cursor, "--sort", "when"]).ok().done();
}

#[test]
fn pages_count_from_the_start() {
    let sandbox = Sandbox::new();
    sandbox.ingest(numbered_events(10));
    for (page, ids) in
        [("1", vec![10, 9, 8, 7]), ("2", vec![6, 5, 4, 3]), ("3", vec![2, 1]), ("4", vec![])]
    {
        let out = sandbox.run(["list", "--json", "--limit", "4", "--page", page]).ok();
        assert_eq!(out.ids(), ids, "page {page}");
    }
    sandbox.run(["list", "--page", "0"]).exits(2).done();
    sandbox.run(["list", "--limit", "0"]).exits(2).done();
    sandbox.run(["list", "--limit", "x"]).exits(2).done();
}

#[test]
fn rows_sort_by_any_field_or_column() {
    let sandbox = Sandbox::with_events();
    let sorted = |sort: &str| sandbox.run(["list", "--json", "--sort", sort]).ok().ids();
    assert_eq!(sorted("id:asc"), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sorted("id"), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(sorted("when"), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sorted("when:asc"), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(sorted("occurred_at:asc"), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(
        sandbox.run(["list", "--json", "--sort", "action:asc"]).ok().field("action"),
        [
            "auth.login_failed",
            "backup.created",
            "cache.purge",
            "page.delete",
            "post.publish",
            "settings.write",
            "submit_quiz",
            "user.edit"
        ]
    );
    assert_eq!(sorted("status_code")[..2], [6, 7]);
    assert_eq!(sorted("severity")[0], 8);
    for field in "event_id recorded_at recorded_by tenant source module title description actor_id \
                  actor_label impersonator_id impersonator_label target_type target_id target_label \
                  ip user_agent session_id method endpoint actor target"
        .split_whitespace()
    {
        let mut ids = sorted(field);
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8], "{field} loses no row");
        let mut back = sorted(&format!("{field}:asc"));
        back.sort_unstable();
        assert_eq!(back, ids, "{field}:asc");
    }
    sandbox.run(["list", "--sort", "colour"]).exits(2).no_stdout().stderr_has("colour").done();
    sandbox.run(["list", "--sort", "id:up"]).exits(2).no_stdout().done();
}

#[test]
fn around_shows_the_neighbours_oldest_first() {
    let sandbox = Sandbox::new();
    sandbox.ingest(numbered_events(30));
    let around =
        |args: &[&str]| sandbox.run([&["list", "--json", "--around"], args].concat()).ok().ids();
    assert_eq!(around(&["15"]), (10..=20).collect::<Vec<_>>());
    assert_eq!(around(&["15", "--limit", "2"]), [13, 14, 15, 16, 17]);
    assert_eq!(around(&["2", "--limit", "3"]), [1, 2, 3, 4, 5]);
    assert_eq!(around(&["30", "--limit", "1"]), [29, 30]);
}

// Follow.

#[test]
fn follow_shows_the_newest_ten_then_new_events_as_they_are_recorded() {
    let sandbox = Sandbox::new();
    sandbox.ingest(numbered_events(12));
    let mut child = sandbox.spawn(sandbox.command(["list", "--follow", "--json"]));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || -> Value {
        let mut line = String::new();
        if out.buffer().is_empty() {
            assert!(wait::is_readable_within(out.get_ref(), wait::DEADLINE), "nothing came");
        }
        out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let first: Vec<_> = (0..10).map(|_| next()["id"].as_i64().unwrap()).collect();
    assert_eq!(first, (3..=12).collect::<Vec<_>>());

    // An event that occurred long before is recorded last.
    sandbox.ingest(r#"{"action":"late","occurred_at":"1999-01-01T00:00:00Z"}"#);
    assert_eq!(next()["action"], "late");
    sandbox.ingest(join_lines([r#"{"action":"one"}"#, r#"{"action":"two"}"#]));
    assert_eq!(next()["action"], "one");
    assert_eq!(next()["action"], "two");
    wait::send_signal(&child, Signal::TERM);
    child.wait().unwrap();
}

#[test]
fn follow_narrows_to_its_query_and_ends_quietly_when_the_reader_goes() {
    let sandbox = Sandbox::with_events();
    let args = ["list", "--follow", "--json", "action:wanted"];
    let mut child = sandbox.spawn(sandbox.command(args));
    let mut out = child.stdout.take().unwrap();
    sandbox.ingest(join_lines([r#"{"action":"other"}"#, r#"{"action":"wanted"}"#]));
    let line = wait::read_lines(&mut out, 1);
    assert!(line.contains("wanted") && line.lines().count() == 1, "{line}");
    drop(out);
    // The next row has no reader.
    sandbox.ingest(r#"{"action":"wanted"}"#);
    assert!(wait::has_exited_within(&child, wait::DEADLINE), "it follows for nobody");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    let status = child.wait().unwrap();
    assert!(status.code().unwrap_or(0) == 0, "{status}");
}

#[test]
fn follow_waits_for_the_first_event_of_an_empty_log() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"first"}"#);
    let mut child = sandbox.spawn(sandbox.command(["list", "--follow", "actor:nobody"]));
    sandbox.ingest(r#"{"action":"x","actor_id":"nobody","target_label":"found it"}"#);
    let mut out = child.stdout.take().unwrap();
    let mut text = String::new();
    while !text.contains("found it") {
        text.push_str(&wait::read_lines(&mut out, 1));
    }
    wait::send_signal(&child, Signal::TERM);
    child.wait().unwrap();
}

#[test]
fn a_limit_over_ten_thousand_needs_the_right_to_export() {
    // Without roles in the config everybody may export.
    let sandbox = Sandbox::with_events();
    sandbox.run(["list", "--limit", "10001"]).ok().done();
    assert_eq!(Log::open(&sandbox.db()).event_count(), 8);
}

#[test]
fn quiet_leaves_the_footer_out() {
    let sandbox = Sandbox::with_events();
    for args in
        [&["list", "--quiet"] as &[_], &["search-actor", "3", "--quiet"], &["show", "1", "--quiet"]]
    {
        let out = sandbox.run(args).ok().no_stderr();
        assert!(!out.stdout().contains("--help"), "{out}");
    }
}

#[test]
fn marks_are_ascii_if_the_locale_is_not_utf_8() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run_with_env(&[("LANG", "C"), ("COLUMNS", "140")], ["list"]).ok();
    assert!(out.stdout().contains("x auth.login_failed") && !out.stdout().contains('✗'), "{out}");
    let out = sandbox.run_with_env(&[("LC_ALL", "C"), ("COLUMNS", "140")], ["list"]).ok();
    assert!(out.stdout().contains("x auth.login_failed"), "{out}");
    let out = sandbox.run_with_env(&[("COLUMNS", "140")], ["list"]).ok();
    assert!(out.stdout().contains("✗ auth.login_failed"), "{out}");
}

#[test]
fn columns_choose_the_fields_of_every_form() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["list", "--json", "--columns", "when,status", "id:6"]).ok();
    assert_eq!(
        out.stdout(),
        "{\"occurred_at\":\"2025-03-04T08:00:00.000000000Z\",\"status_code\":401}\n"
    );
    let out =
        sandbox.run(["list", "--output", "csv", "--columns", "target,Client-IP", "id:6"]).ok();
    assert_eq!(
        out.stdout(),
        "\"target_type\",\"target_id\",\"target_label\",\"ip\"\n\
         \"user\",\"17\",\"Jim Compton\",\"102.65.14.200\"\n"
    );
    let out = sandbox.run(["export", "--jsonl", "--columns", "action", "id:6"]).ok();
    assert_eq!(out.stdout(), "{\"action\":\"auth.login_failed\"}\n");
    sandbox.run(["list", "--json", "--columns", "nothing"]).exits(2).done();
}

#[test]
fn short_flags_and_a_count() {
    let sandbox = Sandbox::with_events();
    assert_eq!(sandbox.run(["list", "-n", "2", "--json"]).ok().ids(), [1, 2]);
    assert_eq!(sandbox.run(["list", "-r", "-n2", "--json"]).ok().ids(), [8, 7]);
    assert_eq!(sandbox.run(["list", "--sort", "id", "-rn2", "--json"]).ok().ids(), [1, 2]);
    assert_eq!(sandbox.run(["list", "--sort", "created_at:asc", "-n1", "--json"]).ok().ids(), [8]);
    assert_eq!(sandbox.run(["list", "--count"]).ok().stdout(), "8\n");
    assert_eq!(sandbox.run(["list", "--count", "actor:nobody"]).ok().stdout(), "0\n");
    assert_eq!(sandbox.run(["search-actor", "3", "--count"]).ok().stdout(), "3\n");
}

#[test]
fn the_event_in_the_middle_is_marked() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["list", "--around", "4", "-n", "1"]).ok();
    let marked: Vec<&str> = out.stdout().lines().filter(|line| line.starts_with('▶')).collect();
    assert_eq!(marked.len(), 1, "{out}");
    assert!(marked[0].contains("settings.write"), "{out}");
}

#[test]
fn the_footer_names_the_log() {
    let sandbox = Sandbox::with_events();
    let db = sandbox.db();
    let db = db.to_str().unwrap();
    let out = sandbox.run(["--db", db, "list", "id:4"]).ok();
    assert!(out.stderr().contains(&format!("activity --db {db} show 4")), "{out}");
}
