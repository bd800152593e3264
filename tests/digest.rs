//! `activity digest`: the mail, its record, and that a mail is sent whatever happens.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use serde_json::Value;
use serde_json::json;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::log::Log;

const SENDGRID_KEY: &str = "SG.hush-hush.0123456789";

/// A server in place of SendGrid, which keeps the requests and gives prepared answers.
struct SendGridStub {
    address: String,
    server_thread: thread::JoinHandle<Vec<Value>>,
}

impl SendGridStub {
    /// Answers one request after another with these statuses, and then stops.
    fn new(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            answers
                .iter()
                .map(|status| answer_request(&mut listener.accept().unwrap().0, status))
                .collect()
        });
        Self { address, server_thread: serving }
    }

    fn config(&self, more: &str) -> String {
        let address = &self.address;
        format!(
            "site = 's2l.online'\n[digest]\nfrom = 'Log <log@example.org>'\nto = ['ops@example.org']\n\
             transport = 'sendgrid'\nattempts = 2\nwait = '1s'\n{more}\n\
             [digest.sendgrid]\nbase_url = '{address}'\n"
        )
    }

    fn requests(self) -> Vec<Value> {
        self.server_thread.join().unwrap()
    }
}

fn answer_request(stream: &mut (impl Read + Write), status: &str) -> Value {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    let (head, length) = loop {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the request ends early");
        request.extend_from_slice(&chunk[..read]);
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(request[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            break (head.clone(), end + 4 + length.unwrap().trim().parse::<usize>().unwrap());
        }
    };
    while request.len() < length {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the request ends early");
        request.extend_from_slice(&chunk[..read]);
    }
    assert!(head.starts_with("post /v3/mail/send "), "{head}");
    assert!(
        head.contains(&format!("authorization: bearer {}", SENDGRID_KEY.to_lowercase())),
        "{head}"
    );
    let body = r#"{"errors":[{"message":"The provided authorization grant is invalid"}]}"#;
    let body = if status.starts_with("202") { "" } else { body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nX-Message-Id: 14c5d75ce93\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let body =
        request.split_off(request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4);
    serde_json::from_slice(&body).unwrap()
}

fn events(actions: &[&str]) -> String {
    join_lines(actions.iter().map(|action| {
        let at = clock::seconds_ago(60);
        json!({"action": action, "occurred_at": at, "actor_id": "3", "actor_label": "Jerome Cruz"})
            .to_string()
    }))
}

/// A sandbox whose mail goes to a script that keeps it.
fn sandbox_with_sendmail() -> Sandbox {
    let sandbox = Sandbox::new();
    let script = sandbox.write("sendmail", "#!/bin/sh\ncat >> \"${0%/*}/mailbox\"\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.write("config.toml", sendmail_config(&sandbox, ""));
    sandbox
}

fn sendmail_config(sandbox: &Sandbox, more: &str) -> String {
    format!(
        "site = 's2l.online'\n[digest]\nfrom = 'log@example.org'\nto = ['ops@example.org']\n\
         transport = 'sendmail'\n{more}\n[digest.sendmail]\ncommand = ['{}']\n",
        sandbox.path("sendmail").display()
    )
}

fn read_mailbox(sandbox: &Sandbox) -> String {
    String::from_utf8(sandbox.read("mailbox")).unwrap()
}

/// The payloads of the outcomes that the log has, the oldest first.
fn digest_outcomes(sandbox: &Sandbox) -> Vec<(String, Value)> {
    let own = sandbox.stored_events().into_iter();
    own.filter(|event| event["action"].as_str().unwrap().starts_with("digest."))
        .map(|event| (event["action"].as_str().unwrap().to_owned(), event["payload"].clone()))
        .collect()
}

fn run_with_key(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.run_with_env(&[("SENDGRID_API_KEY", SENDGRID_KEY)], args)
}

#[test]
fn a_name_at_a_glance_is_cut_in_its_middle_and_one_id_is_one_person_in_all_tenants() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        r#"{"action":"a.b","tenant":"one","actor_id":"7","actor_label":"Jim"}"#,
        r#"{"action":"a.b","tenant":"two","actor_id":"7","actor_label":"Jim"}"#,
        r#"{"action":"a.b","tenant":"one","actor_label":"Ann"}"#,
        r#"{"action":"a.b","tenant":"two","actor_label":"Ann"}"#,
        r#"{"action":"integration.very_long_name_of_an_action_that_goes_on.finished"}"#,
        r#"{"action":"api.call","source":"api"}"#,
    ]));
    let out = sandbox.run(["digest", "--dry-run"]).ok();
    let long = "\n  integration.very_lon…at_goes_on.finished  ";
    assert!(out.stdout().contains(long), "{out}");
    // Neither the system nor somebody unknown is a person.
    assert!(out.stdout().contains("\nMOST ACTIVE      Jim 2 · Ann 1 · Ann 1\n"), "{out}");
}

/// In the mail a person has one line, also where some of their events have only the id.
#[test]
fn people_without_a_label_are_named_and_counted_once() {
    let sandbox = Sandbox::new();
    let event = |hours: i64, action: &str, id: &str, label: &str| {
        let time = clock::seconds_ago(hours * 3600);
        json!({"action": action, "occurred_at": time, "actor_id": id, "actor_label": label})
            .to_string()
    };
    sandbox.ingest(join_lines([
        event(60, "auth.login", "3", "Jerome Cruz"),
        event(2, "auth.login_failed", "17", "James Compton"),
        event(3, "auth.login_failed", "17", ""),
        event(3, "auth.login_failed", "3", ""),
        event(4, "page.edit", "3", ""),
    ]));
    let out = sandbox.run(["digest", "--dry-run"]).ok();
    let out = out.stdout();
    assert!(out.contains("MOST ACTIVE      James Compton 2 · ~Jerome Cruz 2\n"), "{out}");
    let failures = out.split("FAILURES (3)\n").nth(1).unwrap();
    assert!(failures.starts_with("      2  auth.login_failed, James Compton, last at "), "{out}");
}

#[test]
fn a_negated_term_stands_among_the_flags() {
    let sandbox = Sandbox::with_events();
    let with_dashes = sandbox.run(["digest", "--dry-run", "--", "-action:user.*"]).ok();
    let among_flags = sandbox.run(["digest", "-action:user.*", "--dry-run"]).ok();
    assert_eq!(among_flags.stdout(), with_dashes.stdout());
}

#[test]
fn a_dry_run_shows_the_text_part_and_moves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", "site = 's2l.online'\ntz = 'Africa/Johannesburg'\n");
    sandbox.ingest(events(&["auth.login", "auth.login", "lesson.completed"]));
    let out = sandbox.run(["digest", "--dry-run"]).ok().no_stderr();
    let text = out.stdout();
    assert!(text.starts_with("Subject: s2l.online: 3 events on "), "{text}");
    for part in ["AT A GLANCE", "SIGN-INS (2)", "Jerome Cruz", "Africa/Johannesburg"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    sandbox.assert_sound_with(3);
    let none: i64 = sandbox.log().query_value("SELECT count(*) FROM anchor");
    assert_eq!(none, 0);
}

#[test]
fn a_preview_is_the_page_and_never_overwrites_the_log() {
    let sandbox = Sandbox::new();
    sandbox.ingest(events(&["auth.login"]));
    sandbox.run(["digest", "--preview", "page.html"]).ok().no_stdout().no_stderr().done();
    let page = String::from_utf8(sandbox.read("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Jerome Cruz"), "{page}");
    assert_eq!(sandbox.mode("page.html"), 0o600);
    sandbox.run(["digest", "--preview", "log.db"]).exits(2).stderr_is_one_error().done();
    sandbox.run(["digest", "--preview", "no/page.html"]).exits(73).stderr_is_one_error().done();
    sandbox.assert_sound_with(1);
}

#[test]
fn what_it_tells_comes_as_json() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", "[digest.kinds]\n'Posts' = 'action:post.*'\n");
    sandbox.ingest(events(&["post.publish", "auth.login"]));
    let report = sandbox.run(["digest", "--json"]).ok().no_stderr().json();
    assert_eq!(report["total"], 2, "{report}");
    assert!(report.to_string().contains("\"Posts\""), "{report}");
    let report = sandbox.run(["digest", "--json", "action:post.*"]).ok().json();
    assert_eq!(report["total"], 1, "{report}");
    sandbox.assert_sound_with(2);
}

#[test]
fn sendgrid_takes_the_mail_and_the_log_remembers_it() {
    let sandbox = Sandbox::new();
    let stub = SendGridStub::new(&["202 Accepted"]);
    sandbox.write("config.toml", stub.config(""));
    sandbox.ingest(events(&["auth.login"]));
    let out = run_with_key(&sandbox, &["digest"]).ok().no_stderr();
    let line = out.stdout();
    assert!(line.contains("Z digest window 20"), "{line}");
    assert!(line.ends_with(" events 1 to ops@example.org sendgrid 202 id 14c5d75ce93\n"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");

    let request = stub.requests().remove(0);
    assert_eq!(request["content"][0]["type"], "text/plain", "{request}");
    let text = request["content"][0]["value"].as_str().unwrap();
    let log = sandbox.log();
    let head: String = log.query_value("SELECT id || ':' || lower(hex(hash)) FROM anchor");
    assert!(text.contains(&head), "the mail carries the head that the log notes\n{text}");
    assert!(head.starts_with("1:"), "{head}");

    let (action, payload) = digest_outcomes(&sandbox).remove(0);
    assert_eq!(action, "digest.sent");
    assert_eq!(payload["events"], 1);
    assert_eq!(payload["status"], 202);
    assert_eq!(payload["message_id"], "14c5d75ce93");
    assert_eq!(payload["one_off"], false);
    assert!(!payload.to_string().contains(SENDGRID_KEY));
    sandbox.assert_sound_with(2);
}

#[test]
fn a_refusal_is_recorded_and_the_next_digest_covers_it() {
    let sandbox = Sandbox::new();
    let stub = SendGridStub::new(&["401 Unauthorized", "202 Accepted"]);
    sandbox.write("config.toml", stub.config(""));
    sandbox.ingest(events(&["auth.login"]));
    let out = run_with_key(&sandbox, &["digest"])
        .exits(69)
        .stderr_has("401")
        .stderr_has("grant is invalid");
    assert!(out.stdout().contains(" digest failed window "), "{out}");
    assert!(!out.to_string().contains(SENDGRID_KEY), "{out}");
    run_with_key(&sandbox, &["digest"]).ok().done();

    let requests = stub.requests();
    assert!(
        requests[1]["subject"].as_str().unwrap().starts_with('['),
        "{}",
        requests[1]["subject"]
    );
    let outcomes = digest_outcomes(&sandbox);
    let actions: Vec<_> = outcomes.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["digest.failed", "digest.sent"]);
    assert_eq!(outcomes[0].1["since"], outcomes[1].1["since"]);
    assert_eq!(outcomes[1].1["events"], 1);

    let history = sandbox.run(["digest", "--history"]).ok().no_stderr();
    let words: Vec<_> =
        history.stdout().lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(words, ["failed", "sent"], "{history}");
}

#[test]
fn a_service_that_is_busy_is_tried_again_then_it_is_75() {
    let sandbox = Sandbox::new();
    let stub = SendGridStub::new(&["503 Service Unavailable\r\nRetry-After: 0"; 2]);
    sandbox.write("config.toml", stub.config(""));
    sandbox.ingest(events(&["auth.login"]));
    run_with_key(&sandbox, &["digest"]).exits(75).stderr_has("503").done();
    assert_eq!(stub.requests().len(), 2);
    assert_eq!(digest_outcomes(&sandbox)[0].1["attempts"], 2);
}

#[test]
fn windows_tile_over_two_runs() {
    let sandbox = sandbox_with_sendmail();
    sandbox.ingest(events(&["auth.login", "auth.login"]));
    sandbox.run(["digest"]).ok().no_stderr().done();
    // One event occurred before the first digest and arrives after it; the other is new.
    sandbox.ingest(events(&["late.comer"]));
    let now = json!({"action": "new.comer"}).to_string();
    sandbox.ingest(format!("{now}\n"));
    sandbox.run(["digest"]).ok().no_stderr().done();
    // A second run by mistake sends no second mail.
    let out = sandbox.run(["digest"]).ok().no_stderr();
    assert!(out.stdout().contains(" digest not sent: nothing is new since the one sent "), "{out}");
    assert_eq!(digest_outcomes(&sandbox).len(), 2);
    sandbox.run(["digest", "--now"]).ok().no_stderr().done();

    let outcomes = digest_outcomes(&sandbox);
    let counts: Vec<_> = outcomes.iter().map(|(_, payload)| payload["events"].clone()).collect();
    assert_eq!(counts, [2, 2, 0]);
    for pair in outcomes.windows(2) {
        assert_eq!(pair[0].1["until"], pair[1].1["since"]);
    }
    let mails = read_mailbox(&sandbox);
    assert_eq!(mails.matches("\nX-Activity-Window: ").count(), 3, "{mails}");
    assert!(mails.contains("no activity on "), "{mails}");
    sandbox.log().assert_sound();
}

#[test]
fn a_copy_and_a_query_move_nothing() {
    let sandbox = sandbox_with_sendmail();
    sandbox.ingest(events(&["auth.login"]));
    sandbox.run(["digest", "--to", "ann@example.org"]).ok().no_stderr().done();
    sandbox.run(["digest", "--days", "7"]).ok().no_stderr().done();
    sandbox.run(["digest"]).ok().no_stderr().done();
    let outcomes = digest_outcomes(&sandbox);
    let one_off: Vec<_> = outcomes.iter().map(|(_, payload)| payload["one_off"].clone()).collect();
    assert_eq!(one_off, [true, true, false]);
    assert_eq!(outcomes[0].1["recipients"], json!(["ann@example.org"]));
    assert_eq!(outcomes[2].1["events"], 1);
    assert!(read_mailbox(&sandbox).contains("To: ann@example.org"));
}

#[test]
fn a_quiet_day_says_that_the_log_is_alive() {
    let sandbox = Sandbox::new();
    let at = clock::seconds_ago(3 * 86_400);
    sandbox.ingest(format!("{}\n", json!({"action": "backup.created", "occurred_at": at})));
    let out = sandbox.run(["digest", "--dry-run"]).ok().no_stderr();
    assert!(out.stdout().contains("No activity in 24 hours."), "{out}");
    assert!(out.stdout().contains("backup.created"), "{out}");
}

#[test]
fn a_log_that_is_missing_or_none_is_mailed_all_the_same() {
    let sandbox = sandbox_with_sendmail();
    let out = sandbox.run(["digest"]).exits(66).stderr_is_one_error();
    let out = out.stdout_is_line_with(
        " digest not made, a mail that says so to ops@example.org sendmail 0: cannot open the log ",
    );
    let mail = read_mailbox(&sandbox);
    assert!(mail.contains("Subject: s2l.online: the digest could not be made"), "{mail}");
    assert!(!sandbox.exists("log.db"), "{out}");

    sandbox.write("log.db", "this is no log, and long enough to be looked at as one");
    sandbox.run(["digest"]).exits(66).stderr_is_one_error().done();
    assert_eq!(read_mailbox(&sandbox).matches("\nX-Activity-Window: ").count(), 2);

    sandbox.write("sendmail", "#!/bin/sh\nexit 1\n");
    sandbox.run(["digest"]).exits(66).stderr_has("no mail that says so").done();
}

#[test]
fn a_broken_template_is_mailed_around_and_told() {
    let sandbox = sandbox_with_sendmail();
    sandbox.write("config.toml", sendmail_config(&sandbox, "subject = '{{ nowhere }}'"));
    sandbox.ingest(events(&["auth.login"]));
    sandbox.run(["digest"]).exits(78).stderr_has("the subject").stderr_is_one_error().done();
    assert!(read_mailbox(&sandbox).contains("Subject: s2l.online: 1 event on "));
    assert_eq!(digest_outcomes(&sandbox)[0].0, "digest.sent");
    sandbox.run(["digest", "--dry-run"]).exits(78).stderr_has("the subject").done();
}

#[test]
fn a_template_without_an_end_is_mailed_around_and_told() {
    let sandbox = sandbox_with_sendmail();
    let loops = "{% for a in range(99999) %}".repeat(3) + &"{% endfor %}".repeat(3);
    sandbox.write("config.toml", sendmail_config(&sandbox, &format!("subject = '{loops}'")));
    sandbox.ingest(events(&["auth.login"]));
    let out = sandbox.run(["digest"]).exits(78).stderr_is_one_error();
    out.stderr_has("the subject:1: stopped after 20,000,000 steps").done();
    assert!(read_mailbox(&sandbox).contains("Subject: s2l.online: 1 event on "));
    assert_eq!(digest_outcomes(&sandbox)[0].0, "digest.sent");
}

#[test]
fn many_recipients_stand_on_lines_that_a_server_takes() {
    let sandbox = sandbox_with_sendmail();
    let addresses: Vec<String> = (0..45).map(|n| format!("'recipient{n}@example.org'")).collect();
    let config = sendmail_config(&sandbox, "")
        .replace("to = ['ops@example.org']", &format!("to = [{}]", addresses.join(",")));
    sandbox.write("config.toml", config);
    sandbox.ingest(events(&["auth.login"]));
    sandbox.run(["digest"]).ok().done();
    let mail = read_mailbox(&sandbox);
    assert_eq!(mail.matches("recipient44@example.org").count(), 1, "{mail}");
    let named = mail.lines().filter(|line| line.contains("recipient"));
    let longest = named.map(str::len).max().unwrap();
    assert!(longest <= 78, "{longest} characters");
}

#[test]
fn an_address_that_no_mail_can_be_built_for_is_refused_by_its_key() {
    let sandbox = sandbox_with_sendmail();
    for (key, address) in [("from", "'log@example.org'"), ("to", "'ops@example.org'")] {
        let config = sendmail_config(&sandbox, "");
        assert!(config.contains(address), "{config}");
        sandbox.write("config.toml", config.replace(address, "'ops@[192.0.2.7]'"));
        let out = sandbox.run(["digest"]).exits(78).no_stdout().stderr_is_one_error();
        out.stderr_has(&format!("digest.{key}: \"ops@[192.0.2.7]\" is no mail address")).done();
        let out = sandbox.run(["doctor"]).exits(1);
        assert!(out.stdout().contains("ops@[192.0.2.7]"), "{out}");
    }
    sandbox.write("config.toml", sendmail_config(&sandbox, ""));
    sandbox.run(["digest", "--to", "ops@[192.0.2.7]"]).exits(2).stderr_has("--to: ").done();
}

#[test]
fn what_a_mail_needs_is_told_by_its_key() {
    let sandbox = Sandbox::new();
    sandbox.ingest(events(&["auth.login"]));
    sandbox.run(["digest"]).exits(78).no_stdout().stderr_has("digest.from is missing").done();
    let stub = SendGridStub::new(&[]);
    sandbox.write("config.toml", stub.config(""));
    sandbox.run(["digest"]).exits(78).stderr_has("digest.sendgrid.api_key_file is missing").done();
    let key = sandbox.write("the.key", SENDGRID_KEY);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.write("config.toml", stub.config("") + "api_key_file = 'the.key'\n");
    let out = sandbox
        .run(["digest"])
        .exits(78)
        .stderr_has("digest.sendgrid.api_key_file: ")
        .stderr_has("mode");
    assert!(!out.to_string().contains(SENDGRID_KEY), "{out}");
    run_with_key(&sandbox, &["digest", "--to", "nobody"]).exits(2).stderr_has("--to: ").done();
    sandbox.run(["digest", "--history", "--days", "3"]).exits(2).done();
    sandbox.assert_sound_with(1);
}

#[test]
fn a_mail_that_went_out_unrecorded_is_told_with_its_id() {
    let sandbox = sandbox_with_sendmail();
    sandbox.ingest(events(&["auth.login"]));
    // From here on no event can be added; everything else works.
    let script = "#!/bin/sh\ncat >> \"${0%/*}/mailbox\"\nuntil [ -e \"${0%/*}/go\" ]; do :; done\n";
    sandbox.write("sendmail", script);
    let child = sandbox.spawn(sandbox.command(["digest"]));
    crate::support::wait::until_true("the mail is handed over", || sandbox.exists("mailbox"));
    // A second one does not wait for the first.
    sandbox.run(["digest"]).exits(75).no_stdout().stderr_has("another digest").done();
    let log = Log::open_to_write(&sandbox.db());
    log.sql.execute_batch("DROP TRIGGER event_update").unwrap();
    sandbox.write("go", "");
    let out = sandbox
        .wait_with_output(child)
        .exits(74)
        .stdout_is_line_with(" not recorded")
        .stderr_is_one_error();
    assert!(
        out.stderr().contains("message id <") && out.stderr().contains("@example.org>"),
        "{out}"
    );
}

#[test]
fn the_history_comes_as_json() {
    let sandbox = sandbox_with_sendmail();
    sandbox.ingest(events(&["auth.login"]));
    sandbox.run(["digest"]).ok().done();
    sandbox.write("sendmail", "#!/bin/sh\necho 'queue full' >&2\nexit 1\n");
    sandbox.run(["digest", "--to", "ann@example.org"]).exits(69).done();
    let rows = sandbox.run(["digest", "--history", "--json"]).ok().no_stderr().json_lines();
    let payloads = digest_outcomes(&sandbox);
    assert_eq!(rows.len(), 2);
    for (row, (action, payload)) in rows.iter().zip(&payloads) {
        assert_eq!(format!("digest.{}", row["outcome"].as_str().unwrap()), *action);
        let said = payload.as_object().unwrap();
        assert!(said.iter().all(|(key, value)| row[key] == *value), "{row}\n{payload}");
        assert_eq!(row.as_object().unwrap().len(), said.len() + 3, "{row}");
    }
    assert_eq!((&rows[0]["id"], &rows[1]["one_off"]), (&json!(2), &json!(true)));
    assert!(rows[1]["error"].as_str().unwrap().ends_with("exited with 1: queue full"));
}

#[test]
fn a_digest_that_is_killed_before_its_record_is_made_up_for_and_named() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = "[digest]\nfrom = 'log@example.org'\nto = ['ops@example.org']\n\
         transport = 'sendgrid'\n[digest.sendgrid]\n";
    sandbox.write("config.toml", format!("{config}base_url = '{address}'\n"));
    sandbox.ingest(events(&["auth.login", "auth.login"]));
    for args in [&["digest"] as &[_], &["digest", "--to", "ann@example.org"]] {
        let mut command = sandbox.command(args);
        command.env("SENDGRID_API_KEY", SENDGRID_KEY);
        let mut child = sandbox.spawn(command);
        // It has sent the request or will send it soon; the answer never comes.
        let held = listener.accept().unwrap();
        child.kill().unwrap();
        let out = sandbox.wait_with_output(child);
        assert_eq!(out.signal, Some(9), "{out}");
        drop((held, out));
    }
    sandbox.assert_sound_with(2);

    let stub = SendGridStub::new(&["202 Accepted"; 2]);
    sandbox.write("config.toml", stub.config(""));
    let report = sandbox.run(["digest", "--json"]).ok().json();
    assert_eq!(report["unrecorded"].as_array().unwrap().len(), 1, "not the copy\n{report}");
    run_with_key(&sandbox, &["digest"]).ok().done();
    run_with_key(&sandbox, &["digest", "--now"]).ok().done();
    let requests = stub.requests();
    let [again, next] = [0, 1].map(|n| requests[n]["subject"].as_str().unwrap());
    assert!(again.starts_with("[after an unrecorded digest] s2l.online: 2 events on "), "{again}");
    assert!(next.starts_with("s2l.online: no activity on "), "{next}");
    let text = requests[0]["content"][0]["value"].as_str().unwrap();
    assert!(text.contains(" has no record and may have been sent; this one has "), "{text}");
    sandbox.assert_sound_with(4);
}

#[test]
fn a_log_that_can_only_be_read_is_mailed_in_full() {
    let sandbox = sandbox_with_sendmail();
    sandbox.ingest(events(&["auth.login", "auth.login"]));
    let read_only = std::fs::Permissions::from_mode(0o444);
    std::fs::set_permissions(sandbox.db(), read_only).unwrap();
    let out = sandbox.run_command(sandbox.command_as_nobody(["digest"]));
    let out = out
        .exits(77)
        .stdout_is_line_with(" not recorded")
        .stderr_has("the digest was sent (message id <");
    assert!(out.stderr().contains("cannot be recorded: cannot write the log"), "{out}");
    let mail = read_mailbox(&sandbox);
    assert!(mail.contains("Subject: s2l.online: 2 events on "), "{mail}");
    assert!(mail.contains("This mail may go unrecorded, and then the next digest has its events"));
    assert!(!mail.contains("Keep this mail"), "no head is promised\n{mail}");
    // A one-off copy has no next digest.
    let out = sandbox.run_command(sandbox.command_as_nobody(["digest", "--days", "7"])).exits(77);
    assert!(!out.stderr().contains("hint: "), "{out}");
    assert!(read_mailbox(&sandbox).contains("This mail may go unrecorded: cannot write the log"));
    sandbox.assert_sound_with(2);
    let anchors: i64 = sandbox.log().query_value("SELECT count(*) FROM anchor");
    assert_eq!(anchors, 0);
}

#[test]
fn no_key_reaches_the_command_that_takes_the_mail() {
    let sandbox = sandbox_with_sendmail();
    let script = "#!/bin/sh\ncat > /dev/null\ncat /proc/$$/environ > \"${0%/*}/environ\"\n";
    sandbox.write("sendmail", script);
    sandbox.ingest(events(&["auth.login"]));
    run_with_key(&sandbox, &["digest"]).ok().done();
    let environ = String::from_utf8(sandbox.read("environ")).unwrap();
    assert!(environ.starts_with("PATH=/") && !environ.contains("SENDGRID"), "{environ}");
}

#[test]
fn nobody_else_looks_into_a_process_that_holds_a_key() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = "[digest]\nfrom = 'log@example.org'\nto = ['ops@example.org']\n\
         transport = 'sendgrid'\n[digest.sendgrid]\n";
    sandbox.write("config.toml", format!("{config}base_url = '{address}'\n"));
    sandbox.ingest(events(&["auth.login"]));
    let mut command = sandbox.command_as_nobody(["digest"]);
    command.env("SENDGRID_API_KEY", SENDGRID_KEY);
    let mut child = sandbox.spawn(command);
    let held = listener.accept().unwrap();
    // The files in /proc of a process without a core belong to root.
    let environment = std::fs::metadata(format!("/proc/{}/environ", child.id())).unwrap();
    assert_eq!(environment.uid(), 0);
    child.kill().unwrap();
    drop((held, sandbox.wait_with_output(child)));
}

#[test]
fn a_digest_of_today_ends_now() {
    let sandbox = Sandbox::new();
    sandbox.ingest(events(&["user.edit"]));
    let before = clock::seconds_ago(0);
    let out = sandbox.run(["digest", "--today", "--dry-run", "--tz", "UTC"]).ok();
    let subject = out.stdout().lines().next().unwrap();
    let days = [before, clock::seconds_ago(0)].map(|at| at[..10].to_owned());
    assert!(days.iter().any(|day| subject.ends_with(day.as_str())), "{subject} {days:?}");
}
