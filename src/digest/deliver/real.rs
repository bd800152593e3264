//! Against servers that others wrote: TLS, AUTH, and the letter as another parser reads it.
//!
//! `cargo test --features real --bin activity deliver::real`

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::secret::Secret;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/servers/mail.py");
const KEY: &str = "SG.hush-hush.0123456789";
const PASSWORD: &str = "open sesame";
/// What a test that runs itself again, with other authorities, is told to send through.
const THROUGH: &str = "ACTIVITY_TEST_THROUGH";

struct Server {
    folder: tempfile::TempDir,
    process: Child,
    port: u16,
}

impl Server {
    fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new("python3")
            .args([SERVER.as_ref(), folder.path().as_os_str(), mode.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, of the Debian package of that name");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the Debian packages python3-aiosmtpd and openssl");
        Self { folder, process, port }
    }

    /// The mails that came, in their order.
    fn mails(&self) -> Vec<Value> {
        let read = |path: &Path| Some(serde_json::from_slice(&fs::read(path).ok()?).unwrap());
        (1..).map_while(|n| read(&self.folder.path().join(format!("mail-{n}.json")))).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

fn mail() -> Mail {
    let mailbox = |text| Mailbox::parse(text).unwrap();
    Mail {
        from: mailbox("Site activity <notifications@example.org>"),
        to: vec![mailbox("ops@example.org"), mailbox("\"Müller, Ä.\" <hello@example.org>")],
        subject: "19 events – 2026-11-20\r\nBcc: evil@example.org".to_owned(),
        text: format!("19 events ████\n.\n..\nFrom here\n{}\nBye  \n", "x".repeat(2000)),
        html: Some("<p>19 events ████</p>\n".to_owned()),
        window: "2026-11-19T04:00Z".to_owned(),
        message_id: "<w-1@example.org>".to_owned(),
    }
}

fn send(transport: &Transport) -> Result<Delivery, Failed> {
    let limits = Limits { connect: Duration::from_secs(10), total: Duration::from_secs(30) };
    let terms = Terms { attempts: 1, limits, ..Terms::default() };
    let now = Timestamp::parse_rfc3339("2026-11-20T04:00:02Z").unwrap();
    deliver(transport, &mail(), &terms, now, &mut |_| unreachable!("there is one try"))
}

fn through(url: &str, password: &str) -> Transport {
    let secret = |text| Secret::new(text, "secret").unwrap();
    if url.starts_with("https") {
        return Transport::SendGrid(SendGrid::new(url, secret(KEY)).unwrap());
    }
    Transport::Smtp(Smtp::new(url, Some(secret(password))).unwrap())
}

/// Runs the test [`sent_under_other_authorities`] in a process that trusts the server's.
fn send_trusting(server: &Server, url: &str) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "digest::deliver::real::sent_under_other_authorities"])
        .env("SSL_CERT_FILE", server.folder.path().join("ca.pem"))
        .env(THROUGH, url)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("running 1 test"));
    output.status.success()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that runs itself again has no arguments")]
fn sent_under_other_authorities() {
    if let Ok(url) = std::env::var(THROUGH) {
        send(&through(&url, PASSWORD)).unwrap();
    }
}

/// What [`mail`] reads like in another's hands.
fn assert_letter(letter: &Value) {
    assert_eq!(letter["mail_from"], "notifications@example.org");
    assert_eq!(letter["rcpt_tos"], json!(["ops@example.org", "hello@example.org"]));
    assert_eq!((&letter["tls"], &letter["authenticated"]), (&json!(true), &json!(true)));
    assert_eq!(letter["defects"], json!([]));
    let headers: Vec<(&str, &str)> = letter["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .filter(|(name, _)| *name != "Content-Type")
        .collect();
    assert_eq!(
        headers,
        [
            ("From", "Site activity <notifications@example.org>"),
            ("Subject", "19 events – 2026-11-20  Bcc: evil@example.org"),
            ("Message-ID", "<w-1@example.org>"),
            ("Date", "Fri, 20 Nov 2026 04:00:02 +0000"),
            ("MIME-Version", "1.0"),
            ("X-Activity-Window", "2026-11-19T04:00Z"),
            ("Auto-Submitted", "auto-generated"),
            ("To", "ops@example.org, \"Müller, Ä.\" <hello@example.org>"),
        ]
    );
    let unix = |text: &Value| text.as_str().unwrap().replace("\r\n", "\n");
    assert_eq!(letter["parts"][0][0], "text/plain");
    assert_eq!(unix(&letter["parts"][0][1]), mail().text);
    assert_eq!(letter["parts"][1][0], "text/html");
    assert_eq!(unix(&letter["parts"][1][1]), mail().html.unwrap());
}

#[test]
fn a_letter_goes_through_starttls_and_a_login() {
    let server = Server::start("smtp");
    let here = format!("smtp://user%40example.org@127.0.0.1:{}", server.port);
    let delivery = send(&through(&here, PASSWORD)).unwrap();
    assert_eq!((delivery.status.as_str(), delivery.refused.len()), ("250", 0));
    assert!(send_trusting(&server, &format!("{here}?tls=required")));
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    mails.iter().for_each(assert_letter);

    let failed = send(&through(&here, "wrong password")).unwrap_err();
    assert_eq!((failed.exit, failed.status.as_deref()), (Exit::Unavailable, Some("535")));
}

#[test]
fn a_letter_goes_through_smtps() {
    let server = Server::start("smtps");
    let url = format!("smtps://user%40example.org@127.0.0.1:{}", server.port);
    assert!(send_trusting(&server, &url));
    assert_letter(&server.mails()[0]);
}

#[test]
fn a_request_goes_through_https() {
    let server = Server::start("https");
    assert!(send_trusting(&server, &format!("https://127.0.0.1:{}/eu", server.port)));
    let mail = server.mails().remove(0);
    assert_eq!(mail["path"], "/eu/v3/mail/send");
    assert_eq!(mail["body"]["subject"], "19 events – 2026-11-20  Bcc: evil@example.org");
}

#[test]
fn a_server_whose_authority_is_unknown_gets_nothing() {
    for (mode, url) in [
        ("smtp", "smtp://user%40example.org@127.0.0.1:PORT?tls=required"),
        ("smtps", "smtps://user%40example.org@127.0.0.1:PORT"),
        ("https", "https://127.0.0.1:PORT"),
    ] {
        let server = Server::start(mode);
        let url = url.replace("PORT", &server.port.to_string());
        let failed = send(&through(&url, PASSWORD)).unwrap_err();
        assert_eq!((failed.exit, failed.maybe_sent), (Exit::TryAgain, false), "{failed}");
        assert!(failed.error.contains("UnknownIssuer"), "{failed}");
        assert!(server.mails().is_empty());
    }
}
