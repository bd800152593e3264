//! SMTP with STARTTLS and AUTH, SMTPS, and HTTPS, to servers with a certificate of their own.

use serde_json::Value;
use serde_json::json;

use crate::digest::KEY;
use crate::digest::config;
use crate::digest::events;
use crate::digest::header;
use crate::digest::one;
use crate::digest::outcomes;
use crate::digest::server::Server;
use crate::digest::tells_no_secret;
use crate::digest::text;
use crate::support::Output;
use crate::support::Sandbox;
use crate::tools;

const PASSWORD: &str = "open sesame";

/// A sandbox with two events and a config for a server, which may stand at `PORT`.
fn sandbox(server: &Server, url: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let url = url.replace("PORT", &server.port.to_string());
    let (transport, key) = match url.starts_with("https") {
        true => ("sendgrid", "base_url"),
        false => ("smtp", "url"),
    };
    let more = format!("attempts = 1\n[digest.{transport}]\n{key} = '{url}'");
    sandbox.write("config.toml", config(transport, &more));
    sandbox.ingest(events(&["auth.login", "lesson.completed"]));
    sandbox
}

/// Runs a digest that trusts these authorities besides none.
fn digest(sandbox: &Sandbox, authorities: Option<&Server>, password: &str) -> Output {
    let mut command = sandbox.command(["digest"]);
    command.envs([("SENDGRID_API_KEY", KEY), ("ACTIVITY_SMTP_PASSWORD", password)]);
    if let Some(server) = authorities {
        command.env("SSL_CERT_FILE", server.authority());
    }
    tells_no_secret(sandbox.run_command(command), &[KEY, password])
}

/// Checks that a letter is the digest of the sandbox's two events, as the log remembers it.
#[track_caller]
fn is_the_digest(letter: &Value, sandbox: &Sandbox) {
    assert_eq!(letter["mail_from"], "log@example.org");
    assert_eq!(letter["rcpt_tos"], json!(["ops@example.org", "hello@example.org"]));
    assert_eq!((&letter["tls"], &letter["authenticated"]), (&json!(true), &json!(true)));
    assert_eq!(letter["defects"], json!([]));
    assert_eq!(one(letter, "To"), "ops@example.org, \"Müller, Ä.\" <hello@example.org>");
    assert!(one(letter, "Subject").starts_with("s2l.online: 2 events on "));
    assert!(text(letter).contains("SIGN-INS (1)"), "{}", text(letter));
    let (action, payload) = outcomes(sandbox).pop().unwrap();
    assert_eq!(action, "digest.sent");
    assert_eq!(payload["message_id"], one(letter, "Message-ID"));
    assert_eq!((&payload["status"], &payload["events"]), (&json!(250), &json!(2)));
}

#[test]
fn a_letter_goes_through_starttls_and_a_login() {
    if !tools::has_python(&["aiosmtpd"]) {
        return;
    }
    let server = Server::start(&Sandbox::new(), "smtp", &[]);
    // Offered and taken, whoever it is; required, and checked.
    let offered = sandbox(&server, "smtp://user%40example.org@127.0.0.1:PORT");
    digest(&offered, None, PASSWORD).ok().no_stderr().done();
    is_the_digest(&server.got()[0], &offered);
    let required = sandbox(&server, "smtp://user%40example.org@127.0.0.1:PORT?tls=required");
    digest(&required, Some(&server), PASSWORD).ok().no_stderr().done();
    is_the_digest(&server.got()[1], &required);

    let out =
        digest(&offered, None, "wrong password").exits(69).stderr_is_one_error().stderr_has("535");
    drop(out);
    let (action, payload) = outcomes(&offered).pop().unwrap();
    assert_eq!((action.as_str(), &payload["status"]), ("digest.failed", &json!(535)));
    assert_eq!(server.got().len(), 2);
}

#[test]
fn a_letter_goes_through_smtps() {
    if !tools::has_python(&["aiosmtpd"]) {
        return;
    }
    let server = Server::start(&Sandbox::new(), "smtps", &[]);
    let sandbox = sandbox(&server, "smtps://user%40example.org@127.0.0.1:PORT");
    digest(&sandbox, Some(&server), PASSWORD).ok().no_stderr().done();
    is_the_digest(&server.got()[0], &sandbox);
    assert!(header(&server.got()[0], "Bcc").is_empty());
}

#[test]
fn a_request_goes_through_https() {
    if !tools::has_python(&["jsonschema"]) {
        return;
    }
    let server = Server::start(&Sandbox::new(), "https", &[]);
    let sandbox = sandbox(&server, "https://127.0.0.1:PORT/eu");
    digest(&sandbox, Some(&server), PASSWORD).ok().no_stderr().done();
    let request = server.got().remove(0);
    assert_eq!(request["path"], "/eu/v3/mail/send");
    assert_eq!((&request["known"], &request["errors"]), (&json!(true), &json!([])));
}

#[test]
fn a_server_whose_authority_is_unknown_gets_nothing() {
    if !tools::has_python(&["aiosmtpd", "jsonschema"]) {
        return;
    }
    for (mode, url) in [
        ("smtp", "smtp://user%40example.org@127.0.0.1:PORT?tls=required"),
        ("smtps", "smtps://user%40example.org@127.0.0.1:PORT"),
        ("https", "https://127.0.0.1:PORT"),
    ] {
        let server = Server::start(&Sandbox::new(), mode, &[]);
        let sandbox = sandbox(&server, url);
        digest(&sandbox, None, PASSWORD)
            .exits(75)
            .stderr_is_one_error()
            .stderr_has("UnknownIssuer")
            .done();
        assert_eq!(outcomes(&sandbox).pop().unwrap().0, "digest.failed");
        assert!(server.got().is_empty());
    }
}
