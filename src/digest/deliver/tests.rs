use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use serde::Deserialize;

use crate::digest::deliver::fake_servers::FakeHttpServer;
use crate::digest::deliver::fake_servers::FakeReply;
use crate::digest::deliver::fake_servers::FakeSmtpServer;
use crate::digest::deliver::fake_servers::RecordedRequest;
use crate::digest::deliver::fake_servers::SmtpScript;
use crate::digest::deliver::*;
use crate::lent_rights::FileRights;
use crate::secret::Secret;

const KEY: &str = "SG.hush-hush.0123456789";
const PASSWORD: &str = "open sesame";
/// 2026-11-20T04:00:02Z.
const NOW: i64 = 1_795_147_202;

fn mail() -> Mail {
    let mailbox = |text| Mailbox::parse(text).unwrap();
    Mail {
        from: mailbox("Site activity <notifications@example.org>"),
        to: vec![mailbox("ops@example.org"), mailbox("Hello <hello@example.org>")],
        subject: "s2l.online: 19 events\r\nBcc: evil@example.org".to_owned(),
        text: "19 events\n.\nBye".to_owned(),
        html: Some("<p>19 events</p>".to_owned()),
        window_id: "2026-11-19T04:00Z".to_owned(),
        message_id: "<w-1@example.org>".to_owned(),
    }
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        timeouts: Timeouts { connect: Duration::from_secs(10), total: Duration::from_secs(20) },
        ..RetryPolicy::default()
    }
}

/// A try that is expected to time out.
fn one_short_attempt() -> RetryPolicy {
    let limits = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
    RetryPolicy { attempts: 1, timeouts: limits, ..RetryPolicy::default() }
}

/// Sends, and returns what came of it with the waits between the tries.
///
/// Whatever came of it, no key is in it.
fn send(
    transport: &Transport,
    terms: &RetryPolicy,
) -> (Result<Delivery, DeliveryFailure>, Vec<Duration>) {
    let mut waits = Vec::new();
    let now = Timestamp::from_nanos(NOW * NANOS_PER_SECOND);
    let result = deliver(transport, &mail(), terms, now, &mut |wait| waits.push(wait));
    let failure = result.clone().err().map(|failed| Failure::from(failed).to_string());
    let shown = format!("{transport:?} {result:?} {failure:?}");
    for secret in [KEY, PASSWORD] {
        assert!(!shown.contains(secret), "{shown}");
    }
    (result, waits)
}

fn seconds(waits: &[Duration]) -> Vec<u64> {
    waits.iter().map(Duration::as_secs).collect()
}

fn failed(result: Result<Delivery, DeliveryFailure>) -> (Exit, String) {
    let failed = result.unwrap_err();
    (failed.exit, failed.to_string())
}

mod sendgrid {
    use super::*;

    fn account(base_url: &str) -> Transport {
        Transport::SendGrid(SendGrid::new(base_url, Secret::new(KEY, "key").unwrap()).unwrap())
    }

    fn serve(replies: Vec<FakeReply>) -> (FakeHttpServer, Transport) {
        let server = FakeHttpServer::start(replies);
        let transport = account(&format!("http://{}", server.address));
        (server, transport)
    }

    fn accepted() -> FakeReply {
        FakeReply::status("202 Accepted\r\nX-Message-Id: 14c5d75ce93")
    }

    /// The fields that we use, from "Mail Send" in SendGrid's v3 API reference. Any other field in a
    /// request is a mistake.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Schema {
        /// 1 to 1000.
        personalizations: Vec<SchemaPersonalization>,
        from: SchemaPerson,
        /// At least one character.
        subject: String,
        /// At least one, `text/plain` first, then `text/html`.
        content: Vec<SchemaContent>,
        /// Values are strings; some names are reserved.
        headers: BTreeMap<String, String>,
        tracking_settings: SchemaTracking,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SchemaPersonalization {
        /// 1 to 1000, each address once.
        to: Vec<SchemaPerson>,
        /// Values are strings; less than 10,000 bytes in all.
        custom_args: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct SchemaPerson {
        email: String,
        name: Option<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct SchemaContent {
        r#type: String,
        value: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SchemaTracking {
        click_tracking: BTreeMap<String, bool>,
        open_tracking: BTreeMap<String, bool>,
    }

    fn person(email: &str, name: Option<&str>) -> SchemaPerson {
        SchemaPerson { email: email.to_owned(), name: name.map(str::to_owned) }
    }

    #[test]
    fn a_taken_mail_has_the_id_that_sendgrid_gave_it() {
        let (server, transport) = serve(vec![accepted()]);
        let (result, waits) = send(&transport, &retry_policy());
        assert_eq!(
            result.unwrap(),
            Delivery {
                status: "202".to_owned(),
                message_id: Some("14c5d75ce93".to_owned()),
                attempts: 1,
                maybe_duplicate: false,
                refused: vec![],
            }
        );
        assert_eq!((waits, server.requests().len()), (vec![], 1));
    }

    #[test]
    fn the_request_is_what_the_reference_describes() {
        let (server, transport) = serve(vec![accepted()]);
        send(&transport, &retry_policy()).0.unwrap();
        let RecordedRequest { head, body } = server.requests().remove(0);
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some("POST /v3/mail/send HTTP/1.1"));
        let mut headers: Vec<(String, &str)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        headers.sort_unstable();
        let length = body.len().to_string();
        let host = server.address.to_string();
        let expected = [
            ("accept", "*/*"),
            ("authorization", &format!("Bearer {KEY}")),
            ("content-length", &length),
            ("content-type", "application/json"),
            ("host", &host),
            ("user-agent", concat!("activity/", env!("CARGO_PKG_VERSION"))),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value)));

        let request: Schema = serde_json::from_slice(&body).unwrap();
        assert_eq!(request.personalizations.len(), 1);
        let personalization = &request.personalizations[0];
        assert_eq!(
            personalization.to,
            [person("ops@example.org", None), person("hello@example.org", Some("Hello"))]
        );
        let window = ("window".to_owned(), "2026-11-19T04:00Z".to_owned());
        assert_eq!(personalization.custom_args, BTreeMap::from([window]));
        assert_eq!(request.from, person("notifications@example.org", Some("Site activity")));
        assert_eq!(request.subject, "s2l.online: 19 events  Bcc: evil@example.org");
        let content = |kind: &str, value: &str| SchemaContent {
            r#type: kind.to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(
            request.content,
            [content("text/plain", "19 events\n.\nBye"), content("text/html", "<p>19 events</p>")]
        );
        assert_eq!(
            request.headers,
            BTreeMap::from([
                ("Auto-Submitted".to_owned(), "auto-generated".to_owned()),
                ("X-Activity-Window".to_owned(), "2026-11-19T04:00Z".to_owned()),
            ])
        );
        let off = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), false)).collect();
        assert_eq!(request.tracking_settings.click_tracking, off(&["enable", "enable_text"]));
        assert_eq!(request.tracking_settings.open_tracking, off(&["enable"]));
    }

    #[test]
    fn a_refusal_is_final_and_told_in_the_words_of_the_service() {
        let echo = format!(
            r#"{{"errors":[{{"message":"no grant for {KEY}\u001b[2J","field":null,"help":null}},
            {{"message":"second"}}]}}"#
        );
        let field = r#"{"errors":[{"message":"too big","field":"content.0.value"}]}"#;
        for (status, body, message) in [
            ("401 Unauthorized", echo.as_str(), r"401: no grant for [secret]\e[2J"),
            ("400 Bad Request", field, "400: too big (content.0.value)"),
            ("403 Forbidden", r#"{"errors":["bare"]}"#, "403: bare"),
            ("413 Payload Too Large", "<html>413</html>", "413"),
            ("404 Not Found", "", "404"),
            ("418 Teapot", r#"{"errors":[]}"#, "418"),
            ("200 OK", "{}", "200 and not 202"),
            ("204 No Content", "", "204 and not 202"),
        ] {
            let (server, transport) = serve(vec![FakeReply::json(status, body)]);
            let (result, waits) = send(&transport, &retry_policy());
            let failed = result.unwrap_err();
            assert_eq!(failed.exit, Exit::Unavailable, "{status}");
            assert_eq!(failed.to_string(), format!("SendGrid answered {message}"));
            assert_eq!(failed.status.as_deref(), status.get(..3));
            assert_eq!((failed.attempts, failed.maybe_sent), (1, false));
            assert_eq!((waits, server.requests().len()), (vec![], 1), "{status}");
        }
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let target = elsewhere.local_addr().unwrap();
        for status in ["301", "302", "303", "307", "308"] {
            let head = format!("{status} Elsewhere\r\nLocation: http://{target}/v3/mail/send");
            let (server, transport) = serve(vec![FakeReply::status(&head)]);
            let (exit, error) = failed(send(&transport, &retry_policy()).0);
            assert_eq!(exit, Exit::Unavailable);
            assert_eq!(
                error,
                format!("SendGrid answered {status}, a redirect, which is not followed")
            );
            assert_eq!(server.requests().len(), 1);
            assert_eq!(elsewhere.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_busy_service_is_tried_again_when_it_says() {
        let date = "Date: Thu, 20 Nov 2025 04:00:00 GMT\r\n";
        for (asked, waited) in [
            ("Retry-After: 7".to_owned(), 7),
            ("Retry-After: 3600".to_owned(), 60),
            ("Retry-After: Fri, 20 Nov 2026 04:00:12 GMT".to_owned(), 10),
            (format!("{date}Retry-After: Thu, 20 Nov 2025 04:00:09 GMT"), 9),
            (format!("X-RateLimit-Reset: {}", NOW + 5), 5),
            (format!("{date}X-RateLimit-Reset: {}", 1_763_611_200 + 11), 11),
            (format!("Retry-After: 3\r\nX-RateLimit-Reset: {}", NOW + 5), 3),
        ] {
            let busy = FakeReply::status(&format!("429 Too Many Requests\r\n{asked}"));
            let (server, transport) = serve(vec![busy, accepted()]);
            let (result, waits) = send(&transport, &retry_policy());
            let delivery = result.unwrap();
            assert_eq!((delivery.attempts, delivery.maybe_duplicate), (2, false), "{asked}");
            // A second may have passed on the way.
            let waits = seconds(&waits);
            assert!(waits == [waited] || waits == [waited - 1], "{asked}: {waits:?}");
            let requests = server.requests();
            assert_eq!(requests.len(), 2);
            assert_eq!(requests[0].body, requests[1].body);
        }
    }

    #[test]
    fn a_service_that_is_down_is_tried_with_growing_waits_and_given_up() {
        let down =
            FakeReply::json("503 Service Unavailable", r#"{"errors":[{"message":"later"}]}"#);
        let (server, transport) = serve(vec![down; 4]);
        let (result, waits) = send(&transport, &retry_policy());
        let failed = result.unwrap_err();
        assert_eq!(failed.exit, Exit::TryAgain);
        assert_eq!(failed.to_string(), "SendGrid answered 503: later (4 tries)");
        assert_eq!(failed.status.as_deref(), Some("503"));
        assert_eq!((failed.attempts, failed.maybe_sent), (4, false));
        assert_eq!(server.requests().len(), 4);
        assert_eq!(waits.len(), 3);
        for (wait, least) in waits.iter().zip([2, 4, 8]) {
            let least = Duration::from_secs(least);
            assert!(*wait >= least && *wait < least * 5 / 4, "{waits:?}");
        }
    }

    #[test]
    fn the_reset_of_a_limit_counts_for_429_alone() {
        let head = format!("503 Down\r\nX-RateLimit-Reset: {}", NOW + 50);
        let (_server, transport) = serve(vec![FakeReply::status(&head), accepted()]);
        assert_eq!(seconds(&send(&transport, &retry_policy()).1), [2]);
    }

    #[test]
    fn no_attempts_are_one() {
        let (server, transport) = serve(vec![FakeReply::status("503 Down")]);
        let (result, waits) = send(&transport, &RetryPolicy { attempts: 0, ..retry_policy() });
        assert_eq!((result.unwrap_err().attempts, waits.len()), (1, 0));
        assert_eq!(server.requests().len(), 1);
    }

    #[test]
    fn an_answer_that_never_came_may_mean_a_second_mail() {
        let garbage = FakeReply::Text("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned());
        let gateway = FakeReply::status("504 Gateway Timeout");
        for lost in [FakeReply::Reset, FakeReply::Close, garbage, gateway] {
            let (server, transport) = serve(vec![lost.clone(), accepted()]);
            let (result, waits) = send(&transport, &retry_policy());
            let delivery = result.unwrap();
            assert_eq!((delivery.attempts, delivery.maybe_duplicate), (2, true), "{lost:?}");
            assert_eq!(seconds(&waits), [2]);
            assert_eq!(server.requests()[0].body, server.requests()[1].body);

            let (_server, transport) = serve(vec![lost.clone(); 2]);
            let failed =
                send(&transport, &RetryPolicy { attempts: 2, ..retry_policy() }).0.unwrap_err();
            assert_eq!((failed.exit, failed.maybe_sent), (Exit::TryAgain, true), "{lost:?}");
            let tail = " (2 tries); a try without an answer may have sent it";
            assert!(failed.to_string().ends_with(tail), "{failed}");
        }
    }

    #[test]
    fn a_refusal_after_a_lost_answer_keeps_the_doubt() {
        let (_server, transport) =
            serve(vec![FakeReply::Close, FakeReply::status("401 Unauthorized")]);
        let failed = send(&transport, &retry_policy()).0.unwrap_err();
        assert_eq!((failed.exit, failed.attempts), (Exit::Unavailable, 2));
        assert!(failed.maybe_sent);
    }

    #[test]
    fn a_tarpit_is_left_after_the_time_out() {
        let (_server, transport) = serve(vec![FakeReply::Hang]);
        let failed = send(&transport, &one_short_attempt()).0.unwrap_err();
        assert_eq!(failed.exit, Exit::TryAgain);
        assert_eq!(
            failed.to_string(),
            "127.0.0.1: no answer, timed out; a try without an answer may have sent it"
        );
    }

    #[test]
    fn the_body_of_an_answer_is_not_waited_for() {
        let head = |status: &str| {
            FakeReply::Partial(format!("HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n"))
        };
        let (_server, transport) = serve(vec![head("202 Accepted")]);
        assert_eq!(send(&transport, &retry_policy()).0.unwrap().status, "202");
        let (_server, transport) = serve(vec![head("401 Unauthorized")]);
        let (exit, error) = failed(send(&transport, &one_short_attempt()).0);
        assert_eq!((exit, error.as_str()), (Exit::Unavailable, "SendGrid answered 401"));
    }

    #[test]
    fn a_service_that_is_not_there_is_tried_again() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let transport = account(&format!("http://127.0.0.1:{port}"));
        let (result, waits) = send(&transport, &retry_policy());
        assert_eq!(waits.len(), 3);
        let failed = result.unwrap_err();
        assert_eq!((failed.exit, failed.maybe_sent, failed.status), (Exit::TryAgain, false, None));
        assert_eq!(failed.error, "127.0.0.1: connection refused");
    }

    #[test]
    fn no_key_goes_to_a_service_without_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = std::thread::spawn(move || {
            use std::io::Read;
            use std::io::Write;
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = [0; 64];
            let length = stream.read(&mut heard).unwrap();
            stream.write_all(b"HTTP/1.1 202 Accepted\r\n\r\n").unwrap();
            heard[..length].to_vec()
        });
        let transport = account(&format!("https://127.0.0.1:{port}"));
        let failed =
            send(&transport, &RetryPolicy { attempts: 1, ..retry_policy() }).0.unwrap_err();
        assert_eq!((failed.exit, failed.maybe_sent), (Exit::TryAgain, false), "{failed}");
        assert_eq!(plain.join().unwrap()[0], 0x16, "a TLS handshake");
    }

    /// Runs another test where every proxy that the environment can name is dead.
    #[test]
    fn proxies_of_the_environment_are_not_used() {
        let dead = "http://127.0.0.1:1";
        let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"];
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "digest::deliver::tests::sendgrid::no_attempts_are_one"])
            .envs(names.map(|name| (name, dead)))
            .envs(["all_proxy", "ALL_PROXY"].map(|name| (name, dead)))
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
    }

    #[test]
    fn a_wrong_setting_is_told_before_anything_is_sent() {
        let refuse = |base_url: &str, key: &str| {
            let failure = SendGrid::new(base_url, Secret::new(key, "key").unwrap()).unwrap_err();
            assert_eq!(failure.exit, Exit::Config);
            assert!(!failure.message.contains(key), "{failure}");
            failure.message
        };
        assert_eq!(
            refuse("http://api.sendgrid.com", KEY),
            "SendGrid's base_url: \"http://api.sendgrid.com\" is not encrypted: https:// is needed \
             off this host"
        );
        assert_eq!(
            refuse("https://x.org/?a=b", KEY),
            "SendGrid's base_url: \"https://x.org/?a=b\" has more than a host and a path"
        );
        for key in ["two words", "schlüssel"] {
            assert!(refuse("https://x.org", key).starts_with("SendGrid's key holds a blank"));
        }
    }

    #[test]
    fn a_mail_to_nobody_is_not_sent() {
        let transport = account("http://127.0.0.1:1");
        let nobody = Mail { to: vec![], ..mail() };
        let now = Timestamp::from_nanos(0);
        let result = deliver(&transport, &nobody, &retry_policy(), now, &mut |_| unreachable!());
        assert_eq!(failed(result), (Exit::Config, "there is no recipient".to_owned()));
    }
}

mod smtp {
    use super::*;

    fn serve(dialogues: Vec<SmtpScript>) -> (FakeSmtpServer, Transport) {
        let server = FakeSmtpServer::start(dialogues);
        let transport = relay(&format!("smtp://{}", server.address), None);
        (server, transport)
    }

    fn relay(url: &str, password: Option<&str>) -> Transport {
        let password = password.map(|password| Secret::new(password, "password").unwrap());
        Transport::Smtp(Smtp::new(url, password).unwrap())
    }

    fn text(reply: &str) -> FakeReply {
        FakeReply::Text(reply.to_owned())
    }

    #[test]
    fn a_letter_goes_to_each_recipient_as_it_stands() {
        let (server, transport) = serve(vec![SmtpScript::default()]);
        let (result, waits) = send(&transport, &retry_policy());
        assert_eq!(
            result.unwrap(),
            Delivery {
                status: "250".to_owned(),
                message_id: Some("<w-1@example.org>".to_owned()),
                attempts: 1,
                maybe_duplicate: false,
                refused: vec![],
            }
        );
        assert!(waits.is_empty());
        let talked = server.sessions().remove(0);
        assert!(talked.commands[0].starts_with("EHLO "), "{talked:?}");
        assert_eq!(
            talked.commands[1..],
            [
                "MAIL FROM:<notifications@example.org>",
                "RCPT TO:<ops@example.org>",
                "RCPT TO:<hello@example.org>",
                "DATA",
                "QUIT"
            ]
        );
        assert!(talked.message.contains("\r\nMessage-ID: <w-1@example.org>\r\n"));
        assert!(talked.message.contains("\r\nX-Activity-Window: 2026-11-19T04:00Z\r\n"));
        assert!(talked.message.contains("19 events\r\n..\r\nBye\r\n"), "{}", talked.message);
    }

    #[test]
    fn a_refusal_for_now_is_tried_again_with_the_same_letter() {
        let later = SmtpScript { message: text("451 4.3.0 later\r\n"), ..SmtpScript::default() };
        let greeted = SmtpScript { greeting: text("421 4.3.2 busy\r\n"), ..SmtpScript::default() };
        let (server, transport) = serve(vec![later, greeted, SmtpScript::default()]);
        let (result, waits) = send(&transport, &retry_policy());
        let delivery = result.unwrap();
        assert_eq!((delivery.attempts, delivery.maybe_duplicate), (3, false));
        assert_eq!(seconds(&waits), [2, 4]);
        let talked = server.sessions();
        assert_eq!(talked[0].message, talked[2].message);

        let later = SmtpScript { message: text("451 4.3.0 later\r\n"), ..SmtpScript::default() };
        let (_server, transport) = serve(vec![later; 4]);
        let failed = send(&transport, &retry_policy()).0.unwrap_err();
        assert_eq!((failed.exit, failed.status.as_deref()), (Exit::TryAgain, Some("451")));
        assert_eq!(failed.to_string(), "127.0.0.1 answered 451: 4.3.0 later (4 tries)");
    }

    #[test]
    fn a_refusal_for_good_is_final() {
        let greeted =
            SmtpScript { greeting: text("554 5.7.1 go away\r\n"), ..SmtpScript::default() };
        let letter =
            SmtpScript { message: text("552 5.3.4 too\x1b[2J big\r\n"), ..greeted.clone() };
        let letter = SmtpScript { greeting: SmtpScript::default().greeting, ..letter };
        let nobody = SmtpScript { rcpt: |_| "550 5.1.1 no such user\r\n", ..SmtpScript::default() };
        for (dialogue, message) in [
            (greeted, "127.0.0.1 answered 554: 5.7.1 go away"),
            (letter, r"127.0.0.1 answered 552: 5.3.4 too\e[2J big"),
            (nobody, "ops@example.org: 127.0.0.1 answered 550: 5.1.1 no such user"),
        ] {
            let (_server, transport) = serve(vec![dialogue]);
            let (result, waits) = send(&transport, &retry_policy());
            assert_eq!(failed(result), (Exit::Unavailable, message.to_owned()));
            assert!(waits.is_empty());
        }
    }

    #[test]
    fn who_was_refused_is_told_and_the_others_get_it() {
        let dialogue = SmtpScript {
            rcpt: |line| {
                if line.contains("ops@") { "550 5.1.1 no such user\r\n" } else { "250 Ok\r\n" }
            },
            ..SmtpScript::default()
        };
        let (_server, transport) = serve(vec![dialogue]);
        let delivery = send(&transport, &retry_policy()).0.unwrap();
        assert_eq!((delivery.status.as_str(), delivery.attempts), ("250", 1));
        assert_eq!(
            delivery.refused,
            [RefusedRecipient {
                address: "ops@example.org".to_owned(),
                reason: "127.0.0.1 answered 550: 5.1.1 no such user".to_owned(),
            }]
        );
    }

    #[test]
    fn who_was_put_off_is_tried_again_alone() {
        let greylist = SmtpScript {
            rcpt: |line| if line.contains("hello@") { "450 4.2.0 grey\r\n" } else { "250 Ok\r\n" },
            ..SmtpScript::default()
        };
        let (server, transport) = serve(vec![greylist.clone(), SmtpScript::default()]);
        let delivery = send(&transport, &retry_policy()).0.unwrap();
        assert_eq!((delivery.attempts, delivery.refused), (2, vec![]));
        let rcpts = |at: usize| {
            let commands = server.sessions()[at].commands.clone();
            commands.into_iter().filter(|line| line.starts_with("RCPT")).collect::<Vec<_>>()
        };
        assert_eq!(rcpts(0).len(), 2);
        assert_eq!(rcpts(1), ["RCPT TO:<hello@example.org>"]);

        let (_server, transport) = serve(vec![greylist; 4]);
        let (result, waits) = send(&transport, &retry_policy());
        let delivery = result.unwrap();
        assert_eq!((delivery.attempts, waits.len()), (1, 3));
        assert_eq!(delivery.refused[0].reason, "127.0.0.1 answered 450: 4.2.0 grey");
    }

    #[test]
    fn an_answer_that_never_came_may_mean_a_second_mail() {
        let lost = SmtpScript { message: FakeReply::Close, ..SmtpScript::default() };
        let (server, transport) = serve(vec![lost, SmtpScript::default()]);
        let delivery = send(&transport, &retry_policy()).0.unwrap();
        assert_eq!((delivery.attempts, delivery.maybe_duplicate), (2, true));
        let talked = server.sessions();
        assert_eq!(talked[0].message, talked[1].message);
    }

    #[test]
    fn a_connection_that_breaks_before_the_letter_leaves_no_doubt() {
        for greeting in [FakeReply::Close, text("HTTP/1.1 400 Bad Request\r\n\r\n")] {
            let broken = SmtpScript { greeting, ..SmtpScript::default() };
            let (_server, transport) = serve(vec![broken, SmtpScript::default()]);
            let delivery = send(&transport, &retry_policy()).0.unwrap();
            assert_eq!((delivery.attempts, delivery.maybe_duplicate), (2, false));
        }
    }

    #[test]
    fn a_tarpit_is_left_after_the_time_out() {
        let silent = SmtpScript { greeting: FakeReply::Hang, ..SmtpScript::default() };
        let drip =
            SmtpScript { greeting: FakeReply::Partial("x".to_owned()), ..SmtpScript::default() };
        let late = SmtpScript { message: FakeReply::Hang, ..SmtpScript::default() };
        for (dialogue, maybe_sent) in [(silent, false), (drip, false), (late, true)] {
            let (_server, transport) = serve(vec![dialogue]);
            let begun = Instant::now();
            let failed = send(&transport, &one_short_attempt()).0.unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(15));
            assert_eq!((failed.exit, failed.maybe_sent), (Exit::TryAgain, maybe_sent), "{failed}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_tried_again() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (result, waits) =
            send(&relay(&format!("smtp://127.0.0.1:{port}"), None), &retry_policy());
        assert_eq!(waits.len(), 3);
        let message = "127.0.0.1: Connection refused (4 tries)".to_owned();
        assert_eq!(failed(result), (Exit::TryAgain, message));
    }

    #[test]
    fn a_login_is_used_and_never_told() {
        // base64("\0user@x\0open sesame") and base64("open sesame"), as a server may echo them.
        let echo = "535 5.7.8 open sesame AHVzZXJAeABvcGVuIHNlc2FtZQ== b3BlbiBzZXNhbWU= bad\r\n";
        let hello = "250-mail.example.org\r\n250 AUTH PLAIN LOGIN\r\n";
        let open = SmtpScript { hello, ..SmtpScript::default() };
        let refused = SmtpScript { auth: echo, ..open.clone() };
        let server = FakeSmtpServer::start(vec![refused, open, SmtpScript::default()]);
        let transport = relay(&format!("smtp://user%40x@{}", server.address), Some(PASSWORD));
        let message = "127.0.0.1 answered 535: 5.7.8 [secret] [secret] [secret] bad";
        assert_eq!(
            failed(send(&transport, &retry_policy()).0),
            (Exit::Unavailable, message.to_owned())
        );
        assert_eq!(send(&transport, &retry_policy()).0.unwrap().attempts, 1);
        assert_eq!(server.sessions()[1].commands[1], "AUTH PLAIN AHVzZXJAeABvcGVuIHNlc2FtZQ==");
        let (exit, error) = failed(send(&transport, &retry_policy()).0);
        assert_eq!(exit, Exit::Unavailable);
        assert_eq!(error, "127.0.0.1: No compatible authentication mechanism was found");
    }

    #[test]
    fn tls_that_is_required_and_not_offered_is_a_refusal() {
        let server = FakeSmtpServer::start(vec![SmtpScript::default()]);
        let transport = relay(&format!("smtp://{}?tls=required", server.address), None);
        let (exit, error) = failed(send(&transport, &retry_policy()).0);
        assert_eq!(exit, Exit::Unavailable);
        assert_eq!(error, "127.0.0.1: STARTTLS is not supported on this server");
        let commands = &server.sessions()[0].commands;
        assert!(!commands.iter().any(|line| line.starts_with("MAIL")), "{commands:?}");
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for (url, password, why) in [
            ("mail.example.org", None, "does not parse"),
            ("http://mail.example.org", None, "begins neither"),
            ("smtp:", None, "names no host"),
            ("smtp://mail.example.org/inbox", None, "has more than"),
            ("smtp://mail.example.org?tls=maybe", None, "has options other than"),
            ("smtp://mail.example.org#x", None, "has more than"),
            ("smtp://user:open sesame@mail.example.org", None, "holds a password"),
            ("smtp://user:open sesame@mail.example.org:port", None, "does not parse"),
            ("smtps://user@mail.example.org", None, "names a user, but"),
            ("smtps://mail.example.org", Some(PASSWORD), "names no user"),
            ("smtps://a%0ab@mail.example.org", Some(PASSWORD), "has a user with a control"),
            ("smtps://a%4@mail.example.org", Some(PASSWORD), "has a user with a broken"),
        ] {
            let password = password.map(|password| Secret::new(password, "password").unwrap());
            let failure = Smtp::new(url, password).unwrap_err();
            assert_eq!(failure.exit, Exit::Config);
            assert!(failure.message.contains(why), "{url}: {failure}");
            assert!(!failure.message.contains("sesame"), "{failure}");
        }
        for url in ["smtp://mail.example.org", "smtps://[::1]:465", "smtps://x.org/?tls=required"] {
            assert!(Smtp::new(url, None).is_ok(), "{url}");
        }
    }
}

mod sendmail {
    use super::*;

    /// A shell script in the place of `sendmail`, with a folder `$D` to leave things in.
    struct SendmailScript {
        folder: tempfile::TempDir,
        transport: Transport,
    }

    impl SendmailScript {
        fn new(script: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sendmail");
            fs::write(&path, format!("D={}\n{script}", folder.path().display())).unwrap();
            // Read by the shell, not executed: a file that was just written may be busy.
            let command = ["/bin/sh", path.to_str().unwrap(), "-t", "-i"].map(str::to_owned);
            let transport =
                Transport::Sendmail(Sendmail::new(&command, FileRights::Program).unwrap());
            Self { folder, transport }
        }

        fn read_left_file(&self, name: &str) -> String {
            fs::read_to_string(self.folder.path().join(name)).unwrap()
        }
    }

    #[test]
    fn a_letter_is_all_that_the_command_gets() {
        let script = SendmailScript::new(
            r#"printf '%s\n' "$@" > $D/argv; cat /proc/$$/environ > $D/env; cat > $D/letter; pwd > $D/pwd"#,
        );
        let delivery = send(&script.transport, &retry_policy()).0.unwrap();
        assert_eq!(delivery.status, "0");
        assert_eq!(delivery.message_id.as_deref(), Some("<w-1@example.org>"));
        assert_eq!(script.read_left_file("argv"), "-t\n-i\n");
        assert_eq!(script.read_left_file("env"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\0");
        assert_eq!(script.read_left_file("pwd"), "/\n");
        let letter = script.read_left_file("letter");
        assert!(letter.contains("\r\nTo: ops@example.org,\r\n Hello <hello@example.org>\r\n"));
        let (head, _) = letter.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    }

    #[test]
    fn exit_75_is_tried_again_and_no_other() {
        let script = SendmailScript::new(
            "echo x >> $D/count; [ $(wc -l < $D/count) -gt 2 ] || { echo 'queue full' >&2; exit 75; }",
        );
        let (result, waits) = send(&script.transport, &retry_policy());
        let delivery = result.unwrap();
        assert_eq!((delivery.attempts, delivery.maybe_duplicate), (3, false));
        assert_eq!(seconds(&waits), [2, 4]);
        fs::remove_file(script.folder.path().join("count")).unwrap();
        let result = send(&script.transport, &RetryPolicy { attempts: 2, ..retry_policy() }).0;
        let message = "/bin/sh exited with 75: queue full (2 tries)".to_owned();
        assert_eq!(failed(result), (Exit::TryAgain, message));

        for (script, message) in [
            (r"printf '\nno \033[2Juser\nsecond\n' >&2; exit 67", r"exited with 67: no \e[2Juser"),
            ("exit 1", "exited with 1"),
            ("kill -9 $$", "was killed by signal 9"),
        ] {
            let (result, waits) = send(&SendmailScript::new(script).transport, &retry_policy());
            assert_eq!(failed(result), (Exit::Unavailable, format!("/bin/sh {message}")));
            assert!(waits.is_empty());
        }
    }

    #[test]
    fn a_command_that_is_not_there_fails_as_one_that_refuses() {
        let command = ["/nonexistent/send\nmail".to_owned()];
        let transport = Transport::Sendmail(Sendmail::new(&command, FileRights::Program).unwrap());
        let message =
            r"/nonexistent/send\nmail cannot be run: no such file or directory".to_owned();
        assert_eq!(failed(send(&transport, &retry_policy()).0), (Exit::Unavailable, message));
        for empty in [&[][..], &[String::new()]] {
            assert_eq!(Sendmail::new(empty, FileRights::Program).unwrap_err().exit, Exit::Config);
        }
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let begun = Instant::now();
        let script = SendmailScript::new("sleep 600 & echo $! > $D/child; wait");
        let failed = send(&script.transport, &one_short_attempt()).0.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert_eq!((failed.exit, failed.maybe_sent), (Exit::TryAgain, true));
        assert_eq!(failed.error, "/bin/sh did not end within 1 s");
    }

    #[test]
    fn nothing_waits_for_a_child_that_the_command_left_behind() {
        let begun = Instant::now();
        let script = SendmailScript::new("sleep 30 & exit 0");
        assert!(send(&script.transport, &retry_policy()).0.is_ok());
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
}
