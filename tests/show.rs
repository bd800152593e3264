//! `activity show`: the whole record of one event.

use serde_json::json;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::join_lines;

/// Returns the page of an event, with the parts that differ between runs masked.
#[track_caller]
fn show_event(sandbox: &Sandbox, id: &str) -> String {
    let out = sandbox.run(["show", id, "--tz", "UTC"]).ok().no_stderr();
    mask_unstable(sandbox, &out)
}

fn mask_unstable(sandbox: &Sandbox, out: &Output) -> String {
    let events = sandbox.stored_events();
    let mut masks = Vec::new();
    for event in &events {
        let hash = event["hash"].as_str().unwrap();
        masks.push((hash, "[hash]"));
        masks.push((&hash[..32], "[hash]"));
        masks.push((&hash[32..], "[hash]"));
        masks.push((event["recorded_by"].as_str().unwrap(), "[recorder]"));
    }
    let text = out.masked(&masks);
    // The age and the delay of recording depend on the day.
    let unstable = |line: &str| match line.split_once(" · ") {
        Some((time, _)) if line.contains("recorded") => format!("{time} · [recorded]"),
        _ => line.to_owned(),
    };
    join_lines(text.lines().map(unstable))
}

#[test]
fn show_prints_the_whole_record() {
    let sandbox = Sandbox::with_events();
    insta::assert_snapshot!(show_event(&sandbox, "1"), @r#"
    user.edit  Profile update                                                event 1
      2025-03-05T14:28:09.551Z · [recorded]

      actor         Jerome Cruz (3)
      target        user/17 James Compton
      source        operator          severity  low          module  users
      from          102.65.14.9
      user agent    Mozilla/5.0 (X11; Linux x86_64)
      session       s-1
      tenant        s2l.online

      phone         +27 82 555 0100  →  +27 82 555 0199
      newsletter    true             →  false
      2 fields changed

      payload
        {
          "request_id": "0d9e",
          "via": "admin"
        }
      event_id      e1
      hash          [hash]
      nearby: activity list --around 1
    [exit status: 0]
    "#);
}

#[test]
fn show_prints_who_really_acted() {
    let sandbox = Sandbox::with_events();
    insta::assert_snapshot!(show_event(&sandbox, "5"), @"
    page.delete  James Compton (by Jerome Cruz) deleted Old pricing          event 5
      really: Jerome Cruz (3), as James Compton (17)
      2025-03-04T16:00:00.000Z · [recorded]

      actor         James Compton (17)
      target        page/old-pricing Old pricing
      source        operator          severity  info         module  pages
      tenant        s2l.online

      event_id      e5
      hash          [hash]
      nearby: activity list --around 5
    [exit status: 0]
    ");
}

#[test]
fn show_prints_http_fields() {
    let sandbox = Sandbox::with_events();
    insta::assert_snapshot!(show_event(&sandbox, "6"), @r#"
    ✗ auth.login_failed  Sign-in refused                                     event 6
      2025-03-04T08:00:00.000Z · [recorded]

      actor         Jim Compton (17)
      target        user/17 Jim Compton
      source        api               severity  info         module  auth
      request       POST  /v1/auth/login  401
      from          102.65.14.200
      tenant        other.example

      payload
        {
          "token": "abc",
          "tries": 3
        }
      event_id      e6
      hash          [hash]
      nearby: activity list --around 6
    [exit status: 0]
    "#);
}

#[test]
fn show_prints_an_event_with_few_fields() {
    let sandbox = Sandbox::with_events();
    insta::assert_snapshot!(show_event(&sandbox, "8"), @"
    cache.purge  (system) purged all surfaces                                event 8
      2025-02-28T08:00:00.000Z · [recorded]

      target        all surfaces
      source        system            severity  critical

      event_id      e8
      hash          [hash]
      nearby: activity list --around 8
    [exit status: 0]
    ");
}

#[test]
fn every_value_of_the_record_is_shown() {
    let sandbox = Sandbox::new();
    let event = json!({
        "event_id":"E-1","occurred_at":"2025-01-01T00:00:00Z","tenant":"T-enant","source":"cron",
        "severity":"high","module":"M-odule","action":"a.ction","title":"T-itle",
        "description":"D-escription","actor_id":"A-id","actor_label":"A-label",
        "impersonator_id":"I-id","impersonator_label":"I-label","target_type":"T-type",
        "target_id":"T-id","target_label":"T-label","diff":{"F-ield":{"before":"B-efore","after":"A-fter"}},
        "payload":{"K-ey":{"deep":["V-alue"]}},"ip":"10.1.2.3","user_agent":"U-agent",
        "session_id":"S-ession","method":"PATCH","endpoint":"/E-ndpoint","status_code":418
    });
    sandbox.ingest(event.to_string());
    let out = sandbox.run(["show", "1"]).ok();
    for value in [
        "E-1",
        "2025-01-01T00:00:00.000",
        "T-enant",
        "cron",
        "high",
        "M-odule",
        "a.ction",
        "T-itle",
        "D-escription",
        "A-id",
        "A-label",
        "I-id",
        "I-label",
        "T-type",
        "T-id",
        "T-label",
        "F-ield",
        "B-efore",
        "A-fter",
        "K-ey",
        "deep",
        "V-alue",
        "10.1.2.3",
        "U-agent",
        "S-ession",
        "PATCH",
        "/E-ndpoint",
        "418",
    ] {
        assert!(out.stdout().contains(value), "{value} is not shown\n{out}");
    }
    let stored = sandbox.only_event();
    assert!(out.stdout().contains(stored["recorded_by"].as_str().unwrap()), "{out}");
    let digits: String = out.stdout().split_whitespace().collect();
    assert!(digits.contains(stored["hash"].as_str().unwrap()), "all 64 digits\n{out}");
}

#[test]
fn the_diff_shows_changed_fields_only_before_then_after() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        r#"{"action":"a","diff":{"idle":{"before":"same","after":"same"},"made":{"after":"new"},
           "gone":{"before":"old"},"kept":{"before":1,"after":2}}}"#
            .replace('\n', " "),
    );
    let out = sandbox.run(["show", "1"]).ok();
    assert!(!out.stdout().contains("idle"), "{out}");
    let line = |field: &str| {
        let line = out.stdout().lines().find(|line| line.trim_start().starts_with(field));
        line.unwrap_or_else(|| panic!("no {field}\n{out}"))
    };
    assert!(line("made").contains('→') && line("made").contains("new"), "{out}");
    assert!(line("gone").contains("old") && line("gone").contains('→'), "{out}");
    let kept = line("kept");
    assert!(kept.find('1') < kept.find('→') && kept.find('→') < kept.find('2'), "{out}");
}

#[test]
fn long_values_wrap_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let words: Vec<String> = (0..60).map(|n| format!("word{n:03}")).collect();
    let text = words.join(" ");
    let event = json!({"action":"a","description":text,"payload":{"long":text},
        "diff":{"text":{"before":text,"after":text.to_uppercase()}}});
    sandbox.ingest(event.to_string());
    for columns in ["60", "80", "120"] {
        let out = sandbox.run_with_env(&[("COLUMNS", columns)], ["show", "1"]).ok();
        let width = columns.parse::<usize>().unwrap();
        for line in out.stdout().lines() {
            assert!(line.chars().count() <= width, "{columns}: {line:?}\n{out}");
        }
        for word in &words {
            let seen = out.stdout().matches(word.as_str()).count();
            assert!(seen >= 3, "{word} stands {seen} times at {columns}\n{out}");
        }
    }
}

#[test]
fn json_is_one_object_as_in_list() {
    let sandbox = Sandbox::with_events();
    let one = sandbox.run(["show", "5", "--json"]).ok().no_stderr();
    let listed = sandbox.run(["list", "--json", "id:5"]).ok();
    assert_eq!(one.json(), listed.json());
}

#[test]
fn an_event_is_found_by_its_event_id_or_the_beginning_of_just_one() {
    let sandbox = Sandbox::new();
    let uuids = ["0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7", "0198f2c4-6b7e-7c3a-9d21-6f0a4be0c1d7"];
    sandbox.ingest(join_lines([
        json!({"action":"a","event_id":uuids[0]}).to_string(),
        json!({"action":"b","event_id":uuids[1]}).to_string(),
        json!({"action":"c","event_id":"order/42"}).to_string(),
        json!({"action":"d","event_id":"order/421"}).to_string(),
        json!({"action":"e","event_id":"99"}).to_string(),
        json!({"action":"f","event_id":"twice","tenant":"one"}).to_string(),
        json!({"action":"g","event_id":"twice","tenant":"two"}).to_string(),
    ]));
    let action = |id: &str| sandbox.run(["show", "--json", id]).ok().json()["action"].clone();
    assert_eq!(action(uuids[0]), "a");
    assert_eq!(action("0198f2c4-5"), "a");
    assert_eq!(action("0198f2c4-6b7e-7"), "b");
    assert_eq!(action("order/42"), "c", "the whole of one is that one");
    assert_eq!(action("order/421"), "d");
    // A number is an id even if an event_id looks the same.
    assert_eq!(action("5"), "e");
    sandbox.run(["show", "99"]).exits(1).no_stdout().done();

    let several = sandbox.run(["show", "0198f2c4"]).exits(2).no_stdout().stderr_is_one_error();
    assert!(several.stderr().contains('1') && several.stderr().contains('2'), "{several}");
    sandbox.run(["show", "order/"]).exits(2).no_stdout().stderr_has("3").stderr_has("4").done();
    sandbox.run(["show", "twice"]).exits(2).no_stdout().stderr_has("6").stderr_has("7").done();
}

#[test]
fn an_unknown_event_is_exit_1() {
    let sandbox = Sandbox::with_events();
    for id in ["0", "9", "9223372036854775807", "99999999999999999999", "nothing", "e", "é"] {
        let out = sandbox.run(["show", id]);
        let code = if id == "e" { 2 } else { 1 };
        out.exits(code).no_stdout().stderr_is_one_error().done();
    }
    sandbox.run(["show"]).exits(2).done();
    sandbox.run(["show", "-1"]).exits(2).done();
    sandbox.run(["show", ""]).no_stdout().exits_with_one_of(&[1, 2]);
}

#[test]
fn there_is_no_log_to_show_from() {
    let sandbox = Sandbox::new();
    sandbox.run(["show", "1"]).exits(66).no_stdout().stderr_is_one_error().done();
}

#[test]
fn several_events_are_shown_one_after_the_other() {
    let sandbox = Sandbox::with_events();
    assert_eq!(sandbox.run(["show", "4", "e2", "--json"]).ok().ids(), [4, 2]);
    let out = sandbox.run(["show", "4", "99", "1"]).exits(1);
    assert!(out.stdout().contains("settings.write") && out.stdout().contains("user.edit"), "{out}");
    assert!(out.stderr().contains("there is no event 99"), "{out}");
}

#[test]
fn a_missing_label_is_filled_in_and_escapes_of_letters_are_undone() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        "{\"action\":\"a\",\"actor_id\":\"3\",\"actor_label\":\"Jerome\"}\n\
         {\"action\":\"b\",\"actor_id\":\"3\",\"payload\":{\"place\":[\"caf\\u00e9\"]}}\n",
    );
    let out = sandbox.run(["show", "2"]).ok();
    assert!(out.stdout().contains("~Jerome (3)") && out.stdout().contains("café"), "{out}");
    let out = sandbox.run(["list", "--json", "payload.place:*café*"]).ok();
    assert_eq!(out.ids(), [2]);
    let diff = r#"{"city":{"before":"Cura\u00e7ao","after":["caf\u00e9","\u202e"]},
        "place":{"before":{"a":"caf\u00e9","b":1,"c":"a value that does not fit on one line of a page"},
                 "after":{"a":"th\u00e9","b":1,"c":"a value that does not fit on one line of a page"}}}"#;
    sandbox.run(["ingest", "--action", "c", "--diff", diff]).ok().done();
    let out = sandbox.run(["show", "3"]).ok();
    for text in ["Curaçao", "[\"café\",\"\\u202e\"]", "-   \"a\": \"café\"", "+   \"a\": \"thé\""]
    {
        assert!(out.stdout().contains(text), "{text}: {out}");
    }
}

#[test]
fn an_equal_id_and_label_stand_once() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        r#"{"action":"host.boot","actor_id":"root","actor_label":"root","target_type":"host","target_id":"web","target_label":"web"}"#,
    );
    let shown = sandbox.run(["show", "1"]).ok();
    assert!(shown.stdout().contains("  actor         root\n"), "{shown}");
    assert!(shown.stdout().contains("  target        host/web web\n"), "{shown}");
    for args in [
        &["list"][..],
        &["search-actor", "root"],
        &["search-target", "host/web"],
        &["stats", "--by", "actor"],
        &["digest", "--dry-run"],
    ] {
        let out = sandbox.run(args).ok();
        assert!(out.stdout().contains("root"), "{out}");
        assert!(!out.stdout().contains("(root)") && !out.stdout().contains("(web)"), "{out}");
    }
}
