//! SendGrid's v3 API: `POST /v3/mail/send`, of which 202 alone is success.
//!
//! It has no key to make a repeat harmless, so the mail carries the window's id, as an argument in
//! the events of SendGrid and as a header in the mail itself. Links are left as they are and no
//! picture that tells who reads is added.

use std::collections::BTreeMap;

use serde::Serialize;

use super::mail::{AUTO, AUTO_HEADER, Mail, Mailbox, WINDOW_HEADER};
use super::{Attempt, Sent, Trouble, told};
use crate::failure::{Exit, Failure};
use crate::http::{Client, Endpoint, Response, Timeouts};
use crate::secret::Secret;
use crate::text;

const PATH: &str = "v3/mail/send";
/// The longest id of theirs that is kept.
const ID: usize = 200;

/// An account at SendGrid.
#[derive(Clone, Debug)]
pub(crate) struct SendGrid {
    endpoint: Endpoint,
    authorization: Secret,
    key: Secret,
}

#[derive(Serialize)]
struct Request<'a> {
    personalizations: [Personalization<'a>; 1],
    from: Person<'a>,
    subject: String,
    /// Text before HTML: other orders are refused.
    content: Vec<Content<'a>>,
    headers: BTreeMap<&'static str, String>,
    tracking_settings: TrackingSettings,
}

#[derive(Serialize)]
struct Personalization<'a> {
    to: Vec<Person<'a>>,
    custom_args: CustomArgs,
}

#[derive(Serialize)]
struct CustomArgs {
    window: String,
}

#[derive(Serialize)]
struct Person<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> Person<'a> {
    fn new(mailbox: &'a Mailbox) -> Self {
        Self { email: mailbox.address(), name: mailbox.name() }
    }
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct TrackingSettings {
    click_tracking: ClickTracking,
    open_tracking: Tracking,
}

#[derive(Serialize)]
struct ClickTracking {
    enable: bool,
    enable_text: bool,
}

#[derive(Serialize)]
struct Tracking {
    enable: bool,
}

impl SendGrid {
    /// # Errors
    ///
    /// [`Exit::Config`]: `base_url` is no address, or not encrypted and not this host; or the key
    /// can't stand in a header.
    pub(crate) fn new(base_url: &str, key: Secret) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(Exit::Config, format!("SendGrid's base_url: {why}"));
        let base = Endpoint::parse(base_url).map_err(wrong)?;
        if base.has_query() {
            let quoted = text::escape(base_url);
            return Err(wrong(format!("\"{quoted}\" has more than a host and a path")));
        }
        if !key.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::new(
                Exit::Config,
                "SendGrid's key holds a blank or a letter that is not ASCII, which no key has",
            ));
        }
        let authorization = Secret::new(&format!("Bearer {}", key.reveal()), "SendGrid's key")?;
        Ok(Self { endpoint: base.join_path(PATH), authorization, key })
    }

    pub(super) fn client(&self, limits: Timeouts) -> Client {
        Client::new(self.endpoint.clone(), limits)
    }

    /// The body of the request: the same in every try.
    pub(super) fn request(&self, mail: &Mail) -> Vec<u8> {
        let plain = Content { kind: "text/plain", value: &mail.text };
        let html = mail.html.as_ref().map(|value| Content { kind: "text/html", value });
        let request = Request {
            personalizations: [Personalization {
                to: mail.recipients().into_iter().map(Person::new).collect(),
                custom_args: CustomArgs { window: mail.window() },
            }],
            from: Person::new(&mail.from),
            subject: mail.subject(),
            content: [plain].into_iter().chain(html).collect(),
            headers: BTreeMap::from([
                (AUTO_HEADER, AUTO.to_owned()),
                (WINDOW_HEADER, mail.window()),
            ]),
            tracking_settings: TrackingSettings {
                click_tracking: ClickTracking { enable: false, enable_text: false },
                open_tracking: Tracking { enable: false },
            },
        };
        serde_json::to_vec(&request).expect("texts and lists are JSON")
    }

    /// One try at `now`, in seconds since 1970.
    pub(super) fn attempt(&self, client: &Client, request: &[u8], now: i64) -> Attempt {
        let headers =
            [("Authorization", self.authorization.reveal()), ("Content-Type", "application/json")];
        match client.post(&headers, request) {
            Ok(answer) => self.sort(answer, now),
            Err(broken) => Attempt::Later(Trouble {
                why: format!("{}: {}", self.endpoint.host(), self.told(&broken.reason)),
                unclear: broken.fully_sent,
                ..Trouble::default()
            }),
        }
    }

    fn sort(&self, answer: Response, now: i64) -> Attempt {
        let status = answer.status();
        if status == 202 {
            return Attempt::Sent(Sent {
                status: status.to_string(),
                message_id: answer.header("X-Message-Id").map(|id| self.id(id)),
                ..Sent::default()
            });
        }
        let passing = answer.is_temporary();
        let mut trouble = Trouble {
            why: format!("SendGrid answered {status}"),
            status: Some(status.to_string()),
            wait: answer.retry_after(now),
            unclear: answer.is_gateway_failure(),
        };
        if answer.is_redirect() {
            trouble.why.push_str(", a redirect, which is not followed");
        } else if let Some(error) = first_error(&answer.into_body()) {
            trouble.why.push_str(": ");
            trouble.why.push_str(&self.told(&error));
        } else if status < 300 {
            trouble.why.push_str(" and not 202");
        }
        if passing { Attempt::Later(trouble) } else { Attempt::Never(Exit::Unavailable, trouble) }
    }

    fn id(&self, id: &str) -> String {
        self.key.redact(id).chars().filter(char::is_ascii_graphic).take(ID).collect()
    }

    fn told(&self, foreign: &str) -> String {
        told(&self.key.redact(foreign))
    }
}

/// The first message of `{"errors": [{"message": …, "field": …}, …]}`.
fn first_error(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = body.get("errors")?.get(0)?;
    let message = first.get("message").unwrap_or(first).as_str()?;
    Some(match first.get("field").and_then(serde_json::Value::as_str) {
        Some(field) => format!("{message} ({field})"),
        None => message.to_owned(),
    })
}
