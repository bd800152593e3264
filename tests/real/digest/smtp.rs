//! SMTP with STARTTLS and AUTH, SMTPS, and HTTPS, to servers with a certificate of their own.

use serde_json::Value;
use serde_json::json;

use crate::digest::SENDGRID_KEY;
use crate::digest::assert_no_secret;
use crate::digest::digest_config;
use crate::digest::digest_outcomes;
use crate::digest::events;
use crate::digest::header_values;
use crate::digest::mail_server::MailServer;
use crate::digest::single_header;
use crate::digest::text_body;
use crate::support::Output;
use crate::support::Sandbox;
use crate::tools;

const PASSWORD: &str = "open sesame";

/// A sandbox with two events and a config for a server, which may stand at `PORT`.
fn sandbox_with_server(server: &MailServer, url: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let url = url.replace("PORT", &server.port.to_string());
    let (transport, key) = match url.starts_with("https") {
        true => ("sendgrid", "base_url"),
        false => ("smtp", "url"),
    };
    let more = format!("attempts = 1\n[digest.{transport}]\n{key} = '{url}'");
    sandbox.write("config.toml", digest_config(transport, &more));
    sandbox.ingest(events(&["auth.login", "lesson.completed"]));
    sandbox
}

/// Runs a digest that trusts these authorities besides none.
fn run_digest(sandbox: &Sandbox, authorities: Option<&MailServer>, password: &str) -> Output {
    let mut command = sandbox.command(["digest", "--now"]);
    command.envs([("SENDGRID_API_KEY", SENDGRID_KEY), ("ACTIVITY_SMTP_PASSWORD", password)]);
    if let Some(server) = authorities {
        command.env("SSL_CERT_FILE", server.ca_certificate());
    }
    assert_no_secret(sandbox.run_command(command), &[SENDGRID_KEY, password])
}

/// Checks that a letter is the digest of the sandbox's two events, as the log remembers it.
#[track_caller]
fn assert_is_digest(letter: &Value, sandbox: &Sandbox) {
    assert_eq!(letter["mail_from"], "log@example.org");
    assert_eq!(letter["rcpt_tos"], json!(["ops@example.org", "hello@example.org"]));
    assert_eq!((&letter["tls"], &letter["authenticated"]), (&json!(true), &json!(true)));
    assert_eq!(letter["defects"], json!([]));
    assert_eq!(single_header(letter, "To"), "ops@example.org, \"Müller, Ä.\" <hello@example.org>");
    assert!(single_header(letter, "Subject").starts_with("s2l.online: 2 events on "));
    assert!(text_body(letter).contains("SIGN-INS (1)"), "{}", text_body(letter));
    let (action, payload) = digest_outcomes(sandbox).pop().unwrap();
    assert_eq!(action, "digest.sent");
    assert_eq!(payload["message_id"], single_header(letter, "Message-ID"));
    assert_eq!((&payload["status"], &payload["events"]), (&json!(250), &json!(2)));
}

#[test]
fn a_letter_goes_through_starttls_and_a_login() {
    if !tools::require_python_modules(&["aiosmtpd"]) {
        return;
    }
    let server = MailServer::start(&Sandbox::new(), "smtp", &[]);
    // Offered and taken, whoever it is; required, and checked.
    let offered = sandbox_with_server(&server, "smtp://user%40example.org@127.0.0.1:PORT");
    run_digest(&offered, None, PASSWORD).ok().no_stderr().done();
    assert_is_digest(&server.received()[0], &offered);
    let required =
        sandbox_with_server(&server, "smtp://user%40example.org@127.0.0.1:PORT?tls=required");
    run_digest(&required, Some(&server), PASSWORD).ok().no_stderr().done();
    assert_is_digest(&server.received()[1], &required);

    let out = run_digest(&offered, None, "wrong password")
        .exits(69)
        .stderr_is_one_error()
        .stderr_has("535");
    drop(out);
    let (action, payload) = digest_outcomes(&offered).pop().unwrap();
    assert_eq!((action.as_str(), &payload["status"]), ("digest.failed", &json!(535)));
    assert_eq!(server.received().len(), 2);
}

#[test]
fn a_letter_goes_through_smtps() {
    if !tools::require_python_modules(&["aiosmtpd"]) {
        return;
    }
    let server = MailServer::start(&Sandbox::new(), "smtps", &[]);
    let sandbox = sandbox_with_server(&server, "smtps://user%40example.org@127.0.0.1:PORT");
    run_digest(&sandbox, Some(&server), PASSWORD).ok().no_stderr().done();
    assert_is_digest(&server.received()[0], &sandbox);
    assert!(header_values(&server.received()[0], "Bcc").is_empty());
}

#[test]
fn a_request_goes_through_https() {
    if !tools::require_python_modules(&["jsonschema"]) {
        return;
    }
    let server = MailServer::start(&Sandbox::new(), "https", &[]);
    let sandbox = sandbox_with_server(&server, "https://127.0.0.1:PORT/eu");
    run_digest(&sandbox, Some(&server), PASSWORD).ok().no_stderr().done();
    let request = server.received().remove(0);
    assert_eq!(request["path"], "/eu/v3/mail/send");
    assert_eq!((&request["known"], &request["errors"]), (&json!(true), &json!([])));
}

#[test]
fn a_server_whose_authority_is_unknown_gets_nothing() {
    if !tools::require_python_modules(&["aiosmtpd", "jsonschema"]) {
        return;
    }
    for (mode, url) in [
        ("smtp", "smtp://user%40example.org@127.0.0.1:PORT?tls=required"),
        ("smtps", "smtps://user%40example.org@127.0.0.1:PORT"),
        ("https", "https://127.0.0.1:PORT"),
    ] {
        let server = MailServer::start(&Sandbox::new(), mode, &[]);
        let sandbox = sandbox_with_server(&server, url);
        run_digest(&sandbox, None, PASSWORD)
            .exits(75)
            .stderr_is_one_error()
            .stderr_has("UnknownIssuer")
            .done();
        assert_eq!(digest_outcomes(&sandbox).pop().unwrap().0, "digest.failed");
        assert!(server.received().is_empty());
    }
}
