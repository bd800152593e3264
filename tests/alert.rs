//! `activity alert`, and the alerts that `activity mirror` sends.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::http_receiver::HttpReceiver;

/// A sandbox whose mails are appended to `mails`, each behind a line `=== mail`.
fn sandbox_with(alert: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let mails = sandbox.path("mails");
    let script = format!("#!/bin/sh\n{{ echo '=== mail'; cat; }} >> '{}'\n", mails.display());
    let command = write_script(&sandbox, "sendmail", &script);
    sandbox.write(
        "config.toml",
        format!(
            "site = 's2l.online'\n[digest]\nfrom = 'log@example.org'\nto = ['ops@example.org']\n\
             transport = 'sendmail'\n[digest.sendmail]\ncommand = ['{command}']\n{alert}\n"
        ),
    );
    sandbox
}

fn write_script(sandbox: &Sandbox, name: &str, script: &str) -> String {
    let path = sandbox.write(name, script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

const SETTINGS: &str = "[[alert]]\nname = 'settings'\n\
    query = 'action:settings.write target:security*'\nmail = ['sec@example.org']\n";

fn setting(id: usize, target: &str) -> String {
    let event = json!({
        "event_id": format!("e{id}"),
        "action": "settings.write",
        "actor_label": "Jerome Cruz",
        "target_type": "setting",
        "target_id": target,
        "diff": { "two_factor": { "before": true, "after": false } },
        "ip": "102.65.14.9",
    });
    format!("{event}\n")
}

fn mails(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(sandbox.path("mails")).unwrap_or_default();
    text.split("=== mail\n").skip(1).map(str::to_owned).collect()
}

#[test]
fn a_matching_event_is_mailed_once_and_others_are_not() {
    let sandbox = sandbox_with(SETTINGS);
    sandbox.ingest(setting(1, "general"));
    sandbox.run(["mirror"]).ok().no_stderr().done();
    assert_eq!(mails(&sandbox), [""; 0]);
    sandbox.ingest(setting(2, "security-login"));
    for _ in 0..2 {
        sandbox.run(["mirror"]).ok().no_stderr().done();
    }
    let sent = mails(&sandbox);
    assert_eq!(sent.len(), 1, "{sent:?}");
    for part in [
        "To: sec@example.org",
        "Subject: s2l.online: settings: Jerome Cruz settings.write: setting/security-login",
        "from 102.65.14.9",
        "activity show 2",
    ] {
        assert!(sent[0].replace("\r\n ", " ").contains(part), "{part} is not in {}", sent[0]);
    }
}

#[test]
fn a_burst_is_told_at_once_and_then_in_one_message() {
    let every = SETTINGS.to_owned() + "every = '2s'\n";
    let sandbox = sandbox_with(&every);
    sandbox.ingest(setting(1, "security"));
    sandbox.run(["mirror"]).ok().done();
    sandbox.ingest((2..=50).map(|id| setting(id, "security")).collect::<String>());
    assert_eq!(mails(&sandbox).len(), 1, "the first goes at once");
    crate::support::wait::until_true("the second message", || {
        sandbox.run(["mirror"]).ok().done();
        mails(&sandbox).len() > 1
    });
    sandbox.run(["mirror"]).ok().done();
    let sent = mails(&sandbox);
    assert_eq!(sent.len(), 2);
    let text = quoted_printable::decode(&sent[1], quoted_printable::ParseMode::Robust).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("setting/security × 49"), "{text}");
    let row: Value = sandbox.run(["mirror", "status", "--json"]).ok().json_lines().remove(0);
    assert_eq!((&row["kind"], &row["delivered"]), (&json!("alert"), &json!(50)));
}

#[test]
fn a_service_that_is_away_makes_a_message_late_and_loses_none() {
    let sandbox = sandbox_with(&(SETTINGS.to_owned() + "attempts = 1\nwait = '1s'\n"));
    let working = sandbox.read("sendmail");
    sandbox.write("sendmail", "#!/bin/sh\necho no such service >&2\nexit 69\n");
    sandbox.ingest(setting(1, "security"));
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("settings: "), "{out}");
    assert!(out.stderr().contains("no such service"), "{out}");
    sandbox.ingest(setting(2, "security"));
    sandbox.write("sendmail", working);
    sandbox.run(["mirror"]).ok().done();
    let sent = mails(&sandbox);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("activity show 2"), "{}", sent[0]);
    let row: Value = sandbox.run(["mirror", "status", "--json"]).ok().json_lines().remove(0);
    assert_eq!((&row["delivered"], &row["dead"]), (&json!(2), &json!(0)));
}

#[test]
fn a_command_gets_the_events_as_json_lines() {
    let sandbox = sandbox_with("");
    let got = sandbox.path("got");
    let script = format!("#!/bin/sh\necho run >> '{0}'; cat >> '{0}'\n", got.display());
    let command = write_script(&sandbox, "pager", &script);
    let alert =
        format!("[[alert]]\nname = 'all'\nquery = 'action:settings.*'\ncommand = ['{command}']\n");
    sandbox.append("config.toml", alert);
    sandbox.ingest(setting(1, "a") + &setting(2, "b"));
    sandbox.run(["mirror"]).ok().no_stderr().done();
    let text = String::from_utf8(sandbox.read("got")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("run", 3), "one run per message");
    let event: Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(event["event_id"], "e2");
    sandbox.write("pager", "#!/bin/sh\nexit 3\n");
    sandbox.ingest(setting(3, "c"));
    sandbox.append("config.toml", "attempts = 1\n");
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("exited with 3"), "{out}");
}

#[test]
fn a_new_alert_does_not_tell_the_past() {
    let sandbox = sandbox_with("");
    let event = |id: &str, ago: i64| {
        let at = clock::seconds_ago(ago);
        format!("{{\"event_id\":\"{id}\",\"action\":\"a.b\",\"occurred_at\":\"{at}\"}}\n")
    };
    sandbox.ingest(event("old", 9000) + &event("new", 60));
    sandbox
        .append("config.toml", "[[alert]]\nname = 'x'\nquery = 'action:a.b'\nmail = ['a@b.org']\n");
    // Both were recorded a moment ago, so both are told: what counts is when the log took them.
    sandbox.run(["mirror"]).ok().done();
    assert_eq!(mails(&sandbox).len(), 1);
}

#[test]
fn an_alert_is_tested_and_replayed() {
    let sandbox = sandbox_with(&(SETTINGS.to_owned() + "every = '5m'\n"));
    sandbox.ingest((1..=50).map(|id| setting(id, "security")).collect::<String>());
    let out = sandbox.run(["alert", "replay", "settings", "--since", "30d"]).ok().no_stderr();
    let head = out.stdout().lines().next().unwrap();
    assert!(head.starts_with("settings: ") && head.contains("about 50 events"), "{out}");
    assert!(out.stdout().contains("setting/security × 50"), "{out}");
    assert_eq!(mails(&sandbox), [""; 0], "nothing is sent");
    let out = sandbox.run(["alert", "test", "settings"]).ok().no_stderr();
    assert_eq!(out.stdout(), "settings: a test is sent\n");
    let sent = mails(&sandbox);
    assert!(sent[0].contains("This is a test"), "{sent:?}");
    let out = sandbox.run(["alert", "test", "setting"]).exits(2);
    assert!(out.stderr().contains("the config has no alert \"setting\""), "{out}");
}

#[test]
fn an_alert_that_watches_for_what_never_comes_is_named() {
    let wrong = SETTINGS.replace("settings.write", "setting.write");
    let sandbox = sandbox_with(&wrong);
    sandbox.ingest(setting(1, "security"));
    let out = sandbox.run(["mirror", "status"]).ok().no_stderr();
    assert!(out.stdout().contains("its action has never come; settings.write has"), "{out}");
    let out = sandbox.run(["digest", "--dry-run"]).ok();
    let text = out.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    let told =
        "The alert settings has nothing to tell: its action has never come; settings.write has.";
    assert!(text.contains(told), "{out}");
}

#[test]
fn a_wrong_address_is_an_error_of_the_config_that_stops_no_other() {
    let wrong = "[[alert]]\nname = 'bad'\nmail = ['nobody']\n";
    let sandbox = sandbox_with(&(wrong.to_owned() + SETTINGS));
    sandbox.ingest(setting(1, "security"));
    let out = sandbox.run(["mirror"]).exits(78);
    assert!(out.stderr().contains("config: alert.bad: \"nobody\" is no mail address"), "{out}");
    assert_eq!(mails(&sandbox).len(), 1);
}

#[test]
fn without_an_alert_nothing_goes_out() {
    let sandbox = sandbox_with("");
    sandbox.ingest(setting(1, "security"));
    let out = sandbox.run(["mirror"]).ok().no_stderr();
    assert_eq!((out.stdout(), mails(&sandbox).len()), ("", 0));
    // The digest is another matter: with an alert or without one it is the same.
    let digest = |sandbox: &Sandbox| {
        sandbox
            .run(["digest", "--dry-run"])
            .ok()
            .stdout()
            .split_once("to:")
            .map(|it| it.1.to_owned())
    };
    let before = digest(&sandbox);
    sandbox.append("config.toml", SETTINGS);
    sandbox.run(["mirror"]).ok().done();
    assert_eq!((mails(&sandbox).len(), digest(&sandbox)), (1, before));
}

#[test]
fn each_sign_in_is_told_once_and_one_that_is_recorded_late_too() {
    let alert = "[[alert]]\nname = 'in'\nquery = 'action:auth.login'\nmail = ['a@example.org']\n";
    let sandbox = sandbox_with(alert);
    let sign_in = |who: &str, ago: i64| {
        let at = clock::seconds_ago(ago);
        json!({ "action": "auth.login", "actor_label": who, "occurred_at": at }).to_string()
    };
    // As cron runs it: each run tells what came since the last one, whenever it occurred.
    let rounds: [&[(&str, i64)]; 4] =
        [&[("Ann", 30)], &[], &[("Bob", 10), ("Cem", 86_400 * 5)], &[("Dee", 3)]];
    for round in rounds {
        for (who, ago) in round {
            sandbox.ingest(sign_in(who, *ago));
        }
        sandbox.run(["mirror"]).ok().no_stderr().done();
    }
    let sent = mails(&sandbox);
    assert_eq!(sent.len(), 3, "{sent:?}");
    let all = sent.concat();
    for who in ["Ann", "Bob", "Cem", "Dee"] {
        let paragraph = format!("  {who}  auth.login");
        assert_eq!(all.matches(&paragraph).count(), 1, "{who} in {all}");
    }
}

#[test]
fn an_alert_whose_action_has_stopped_is_named() {
    let sandbox = sandbox_with(SETTINGS);
    let day = 86_400;
    let events = |action: &str, days: std::ops::Range<i64>| -> String {
        let event = |days: i64| {
            let at = clock::seconds_ago(days * day + 3600);
            let event = json!({ "action": action, "target_id": "security", "occurred_at": at });
            format!("{event}\n")
        };
        days.map(event).collect()
    };
    // Every day for weeks, and then no more, while others go on.
    sandbox.ingest(events("settings.write", 4..25) + &events("a.b", 0..25));
    let last = &clock::seconds_ago(4 * day + 3600)[..10];
    let told = format!("its action has stopped, and came last on {last}");
    let out = sandbox.run(["mirror", "status"]).ok().no_stderr();
    assert!(out.stdout().contains(&told), "{out}");
    let row: Value = sandbox.run(["mirror", "status", "--json"]).ok().json();
    assert_eq!(row["silent"], told);
    let checks = sandbox.run(["doctor", "--json"]).json();
    let checks = checks["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == "alert").unwrap();
    assert_eq!(
        (&check["status"], &check["value"]),
        (&json!("note"), &json!(format!("settings: {told}")))
    );
    let digest = sandbox.run(["digest", "--dry-run"]).ok();
    let text = digest.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("The alert settings has nothing to tell: {told}")), "{digest}");
    // One more event, and it is forgotten.
    sandbox.ingest(setting(1, "security"));
    let out = sandbox.run(["mirror", "status"]).ok().no_stderr();
    assert!(!out.stdout().contains("has stopped"), "{out}");
}

#[test]
fn slack_a_command_and_a_mail_say_the_same() {
    let sandbox = sandbox_with("");
    let posts = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&posts);
    let slack = HttpReceiver::start(&[], move |body| {
        kept.lock().unwrap().push(serde_json::from_str::<Value>(body).unwrap());
        "200 OK"
    });
    let got = sandbox.path("got");
    let pager = write_script(&sandbox, "pager", &format!("#!/bin/sh\ncat > '{}'\n", got.display()));
    let query = "query = 'action:settings.write'";
    sandbox.append(
        "config.toml",
        format!(
            "[[alert]]\nname = 'a'\n{query}\nmail = ['a@example.org']\n\
             [[alert]]\nname = 'b'\n{query}\nslack = '{}'\n\
             [[alert]]\nname = 'c'\n{query}\ncommand = ['{pager}']\n",
            slack.url("/services/T/B/X")
        ),
    );
    sandbox.ingest(setting(1, "a<b>&c") + &setting(2, "security") + &setting(3, "security"));
    sandbox.run(["mirror"]).ok().no_stderr().done();
    let posts = posts.lock().unwrap();
    assert_eq!(posts.len(), 1);
    let text = posts[0]["text"].as_str().unwrap();
    assert!(text.contains("a&lt;b&gt;&amp;c"), "{text}");
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let (subject, paragraphs) = text.split_once('\n').unwrap();
    let mail = mails(&sandbox).remove(0).replace("\r\n", "\n");
    assert!(mail.contains(&format!("Subject: {}", subject.replace(": b:", ": a:"))), "{mail}");
    let body = quoted_printable::decode(
        mail.split_once("\n\n").unwrap().1,
        quoted_printable::ParseMode::Robust,
    );
    let body = String::from_utf8(body.unwrap()).unwrap();
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(lines(&body), lines(paragraphs));
    for part in
        ["setting/security × 2", "two_factor: true → false", "from 102.65.14.9", "activity show 3"]
    {
        assert!(paragraphs.contains(part), "{part} in {paragraphs}");
    }
    // The command gets the events themselves.
    let events = fs::read_to_string(&got).unwrap();
    let events: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events, sandbox.stored_events()[..3]);
}
