//! SendGrid as its reference describes it: each request is held against a schema by a validator that is
//! not ours, and each sort of answer is given to the command.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::Value;
use serde_json::json;

use crate::digest::SENDGRID_KEY;
use crate::digest::assert_no_secret;
use crate::digest::digest_config;
use crate::digest::digest_outcomes;
use crate::digest::events;
use crate::digest::mail_server::MailServer;
use crate::support::Output;
use crate::support::Sandbox;
use crate::tools;

/// A log of two events, and a service that gives these replies.
struct SendGridFixture {
    sandbox: Sandbox,
    server: MailServer,
}

impl SendGridFixture {
    fn new(replies: &[Value]) -> Option<Self> {
        if !tools::require_python_modules(&["jsonschema"]) {
            return None;
        }
        let sandbox = Sandbox::new();
        let server = MailServer::start(&sandbox, "http", replies);
        let more = format!(
            "attempts = 3\nwait = '1s'\n[digest.sendgrid]\nbase_url = 'http://127.0.0.1:{}'",
            server.port
        );
        sandbox.write("config.toml", digest_config("sendgrid", &more));
        sandbox.ingest(events(&["auth.login", "lesson.completed"]));
        Some(Self { sandbox, server })
    }

    fn digest(&self) -> Output {
        self.sandbox.run_with_env(&[("SENDGRID_API_KEY", SENDGRID_KEY)], ["digest", "--now"])
    }

    /// Runs a digest. Checks how it ends and what it records, that every request is valid for SendGrid
    /// and all are equal, and that the key is nowhere else.
    #[track_caller]
    fn assert_digest_ends(&self, exit: i32, action: &str, remembered: &Value) -> Output {
        let out = assert_no_secret(self.digest().exits(exit), &[SENDGRID_KEY]);
        let (recorded, payload) = digest_outcomes(&self.sandbox).pop().unwrap();
        assert_eq!(recorded, action, "{payload}");
        for (key, value) in remembered.as_object().unwrap() {
            assert_eq!(payload.get(key).unwrap_or(&Value::Null), value, "{key} of {payload}");
        }
        assert_eq!(payload["events"], 2);
        let requests = self.server.received();
        assert_eq!(payload["attempts"], requests.len(), "{payload}");
        for request in &requests {
            assert_eq!(request["errors"], json!([]), "{request}");
            assert_eq!(request["known"], true);
            assert_eq!(request["path"], "/v3/mail/send");
            assert_eq!(request["content_type"], "application/json");
            assert_eq!(request["body"], requests[0]["body"]);
        }
        let everything = self.sandbox.run(["export", "--jsonl"]).ok();
        assert_no_secret(everything, &[SENDGRID_KEY]).done();
        self.sandbox.log().assert_sound();
        out
    }

    /// The seconds between two requests.
    fn seconds_between(&self, first: usize) -> f64 {
        let at = |n: usize| self.server.received()[n]["at"].as_f64().unwrap();
        at(first + 1) - at(first)
    }
}

fn reply_with_status(status: u16) -> Value {
    json!({"status": status, "headers": {"X-Message-Id": "14c5d75ce93"}})
}

#[test]
fn taken() {
    let Some(account) = SendGridFixture::new(&[reply_with_status(202)]) else { return };
    let expected = json!({"status": 202, "message_id": "14c5d75ce93", "maybe_duplicate": null});
    let out = account.assert_digest_ends(0, "digest.sent", &expected).no_stderr();
    assert!(out.stdout().ends_with(" sendgrid 202 id 14c5d75ce93\n"), "{out}");
    let body = &account.server.received()[0]["body"];
    let to = &body["personalizations"][0]["to"];
    let expected =
        json!([{"email": "ops@example.org"}, {"email": "hello@example.org", "name": "Müller, Ä."}]);
    assert_eq!(*to, expected);
    let window = &body["personalizations"][0]["custom_args"]["window"];
    assert_eq!(*window, body["headers"]["X-Activity-Window"]);
    assert!(window.as_str().unwrap().ends_with(",2"), "{window}");
    for part in body["content"].as_array().unwrap() {
        assert!(part["value"].as_str().unwrap().contains("Jerome Cruz"), "{part}");
    }
}

#[test]
fn refused_for_good() {
    let wrong = r#"{"errors":[{"message":"authorization grant is invalid","field":null}]}"#;
    for (reply, says) in [
        (json!({"status": 401, "body": wrong}), "401: authorization grant is invalid"),
        (json!({"status": 413, "body": "<html>too large</html>"}), "answered 413"),
        (reply_with_status(200), "200 and not 202"),
    ] {
        let number = reply["status"].clone();
        let Some(account) = SendGridFixture::new(&[reply]) else { return };
        let out = account.assert_digest_ends(
            69,
            "digest.failed",
            &json!({"status": number, "attempts": 1}),
        );
        out.stderr_is_one_error().stderr_has(says).done();
    }
    // An echoed key is not shown either.
    let echo = format!(r#"{{"errors":[{{"message":"no {SENDGRID_KEY}"}}]}}"#);
    let account = SendGridFixture::new(&[json!({"status": 403, "body": echo})]).unwrap();
    account
        .assert_digest_ends(69, "digest.failed", &json!({}))
        .stderr_has("403: no [secret]")
        .done();
}

#[test]
fn busy_and_says_for_how_long() {
    for name in ["Retry-After", "X-RateLimit-Reset"] {
        let value = if name == "Retry-After" { "2" } else { "+2" };
        let busy = json!({"status": 429, "headers": {name: value}});
        let Some(account) = SendGridFixture::new(&[busy, reply_with_status(202)]) else { return };
        let expected = json!({"status": 202, "attempts": 2, "maybe_duplicate": null});
        account.assert_digest_ends(0, "digest.sent", &expected).done();
        // A time is told in whole seconds, of which the first has begun.
        assert!(account.seconds_between(0) >= 0.9, "{name}: {}", account.seconds_between(0));
    }
}

#[test]
fn down_for_a_while_or_longer() {
    let Some(account) = SendGridFixture::new(&[reply_with_status(503), reply_with_status(202)])
    else {
        return;
    };
    account
        .assert_digest_ends(0, "digest.sent", &json!({"attempts": 2, "maybe_duplicate": null}))
        .done();
    assert!(account.seconds_between(0) >= 0.9, "{}", account.seconds_between(0));

    let account = SendGridFixture::new(&[reply_with_status(503)]).unwrap();
    let expected = json!({"status": 503, "attempts": 3, "message_id": null});
    account
        .assert_digest_ends(75, "digest.failed", &expected)
        .stderr_is_one_error()
        .stderr_has("503 (3 tries)")
        .done();
    assert!(account.seconds_between(1) >= 1.9, "the waits grow: {}", account.seconds_between(1));
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let target = format!("http://{}/v3/mail/send", elsewhere.local_addr().unwrap());
    let redirect = json!({"status": 302, "headers": {"Location": target}});
    let Some(account) = SendGridFixture::new(&[redirect]) else { return };
    let out = account.assert_digest_ends(69, "digest.failed", &json!({"status": 302}));
    out.stderr_has("a redirect, which is not followed").done();
    assert_eq!(elsewhere.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn an_answer_that_is_lost_or_none() {
    for lost in ["reset", "garbage"] {
        let Some(account) = SendGridFixture::new(&[json!(lost), reply_with_status(202)]) else {
            return;
        };
        let expected = json!({"status": 202, "attempts": 2, "maybe_duplicate": true});
        let out = account.assert_digest_ends(0, "digest.sent", &expected);
        assert!(out.stdout().ends_with(" attempts 2 maybe sent twice\n"), "{lost}\n{out}");
        let history = account.sandbox.run(["digest", "--history"]).ok();
        assert!(history.stdout().ends_with(" attempts 2 maybe sent twice\n"), "{history}");
    }
}

#[test]
fn a_tarpit_is_left_after_its_minute() {
    let Some(account) = SendGridFixture::new(&[json!("hang")]) else { return };
    let config = std::fs::read_to_string(account.sandbox.path("config.toml")).unwrap();
    account.sandbox.write("config.toml", config.replace("attempts = 3", "attempts = 1"));
    let expected = json!({"status": null, "attempts": 1, "maybe_duplicate": true});
    let out = account.assert_digest_ends(75, "digest.failed", &expected).stderr_is_one_error();
    out.stderr_has("no answer, timed out; a try without an answer may have sent it").done();
    let id = digest_outcomes(&account.sandbox)[0].1["message_id"].clone();
    assert!(id.as_str().unwrap().ends_with("@example.org>"), "{id}");
}
