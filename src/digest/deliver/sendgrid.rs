//! SendGrid's v3 API: `POST /v3/mail/send`, which answers 202 on success.
//!
//! The API has no idempotency key, so the mail carries the id of the window, as an argument in the
//! events of SendGrid and as a header in the mail itself. Tracking of clicks and of opened mails is off.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::deliver::AcceptedMail;
use crate::digest::deliver::AttemptFailure;
use crate::digest::deliver::AttemptResult;
use crate::digest::deliver::mail::AUTO_GENERATED;
use crate::digest::deliver::mail::AUTO_SUBMITTED_HEADER;
use crate::digest::deliver::mail::Mail;
use crate::digest::deliver::mail::Mailbox;
use crate::digest::deliver::mail::WINDOW_HEADER;
use crate::digest::deliver::sanitize;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::http::Client;
use crate::http::Endpoint;
use crate::http::Response;
use crate::http::Timeouts;
use crate::secret::Secret;
use crate::text;

const SEND_PATH: &str = "v3/mail/send";
/// The longest of SendGrid's ids that is kept.
const MAX_ID_CHARS: usize = 200;

/// An account at SendGrid.
#[derive(Clone, Debug)]
pub(crate) struct SendGrid {
    endpoint: Endpoint,
    authorization: Secret,
    api_key: Secret,
}

#[derive(Serialize)]
struct SendGridRequest<'a> {
    personalizations: [Personalization<'a>; 1],
    from: SendGridAddress<'a>,
    subject: String,
    /// Text before HTML, because SendGrid refuses other orders.
    content: Vec<SendGridContent<'a>>,
    headers: BTreeMap<&'static str, String>,
    tracking_settings: TrackingSettings,
}

#[derive(Serialize)]
struct Personalization<'a> {
    to: Vec<SendGridAddress<'a>>,
    custom_args: CustomArgs,
}

#[derive(Serialize)]
struct CustomArgs {
    window: String,
}

#[derive(Serialize)]
struct SendGridAddress<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> SendGridAddress<'a> {
    fn new(mailbox: &'a Mailbox) -> Self {
        Self { email: mailbox.address(), name: mailbox.name() }
    }
}

#[derive(Serialize)]
struct SendGridContent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct TrackingSettings {
    click_tracking: ClickTracking,
    open_tracking: OpenTracking,
}

#[derive(Serialize)]
struct ClickTracking {
    enable: bool,
    enable_text: bool,
}

#[derive(Serialize)]
struct OpenTracking {
    enable: bool,
}

impl SendGrid {
    /// Returns the account with this key.
    ///
    /// # Errors
    /// [`Exit::Config`]: `base_url` is no address, or neither encrypted nor on this host; or the key has
    /// characters that a header cannot have.
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
        Ok(Self { endpoint: base.join_path(SEND_PATH), authorization, api_key: key })
    }

    pub(super) fn client(&self, timeouts: Timeouts) -> Client {
        Client::new(self.endpoint.clone(), timeouts)
    }

    /// Returns the body of the request, which is the same in every attempt.
    pub(super) fn request_body(&self, mail: &Mail) -> Vec<u8> {
        let plain = SendGridContent { kind: "text/plain", value: &mail.text };
        let html = mail.html.as_ref().map(|value| SendGridContent { kind: "text/html", value });
        let request = SendGridRequest {
            personalizations: [Personalization {
                to: mail.unique_recipients().into_iter().map(SendGridAddress::new).collect(),
                custom_args: CustomArgs { window: mail.window_token() },
            }],
            from: SendGridAddress::new(&mail.from),
            subject: mail.subject_line(),
            content: [plain].into_iter().chain(html).collect(),
            headers: BTreeMap::from([
                (AUTO_SUBMITTED_HEADER, AUTO_GENERATED.to_owned()),
                (WINDOW_HEADER, mail.window_token()),
            ]),
            tracking_settings: TrackingSettings {
                click_tracking: ClickTracking { enable: false, enable_text: false },
                open_tracking: OpenTracking { enable: false },
            },
        };
        serde_json::to_vec(&request).expect("texts and lists are JSON")
    }

    /// Makes one attempt. `now` is in seconds since 1970.
    pub(super) fn attempt(&self, client: &Client, body: &[u8], now: i64) -> AttemptResult {
        let headers =
            [("Authorization", self.authorization.reveal()), ("Content-Type", "application/json")];
        match client.post(&headers, body) {
            Ok(response) => self.classify_response(response, now),
            Err(error) => AttemptResult::TemporaryFailure(AttemptFailure {
                reason: format!("{}: {}", self.endpoint.host(), self.sanitize(&error.reason)),
                maybe_sent: error.fully_sent,
                ..AttemptFailure::default()
            }),
        }
    }

    fn classify_response(&self, response: Response, now: i64) -> AttemptResult {
        let status = response.status();
        if status == 202 {
            return AttemptResult::Sent(AcceptedMail {
                status: status.to_string(),
                message_id: response.header("X-Message-Id").map(|id| self.sanitize_id(id)),
                ..AcceptedMail::default()
            });
        }
        let is_temporary = response.is_temporary();
        let mut failure = AttemptFailure {
            reason: format!("SendGrid answered {status}"),
            status: Some(status.to_string()),
            retry_after: response.retry_after(now),
            maybe_sent: response.is_gateway_failure(),
        };
        if response.is_redirect() {
            failure.reason.push_str(", a redirect, which is not followed");
        } else if let Some(error) = first_error(&response.into_body()) {
            failure.reason.push_str(": ");
            failure.reason.push_str(&self.sanitize(&error));
        } else if status < 300 {
            failure.reason.push_str(" and not 202");
        }
        if is_temporary {
            AttemptResult::TemporaryFailure(failure)
        } else {
            AttemptResult::PermanentFailure(Exit::Unavailable, failure)
        }
    }

    fn sanitize_id(&self, id: &str) -> String {
        self.api_key.redact(id).chars().filter(char::is_ascii_graphic).take(MAX_ID_CHARS).collect()
    }

    fn sanitize(&self, text: &str) -> String {
        sanitize(&self.api_key.redact(text))
    }
}

/// Returns the first message of `{"errors": [{"message": …, "field": …}, …]}`.
fn first_error(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = body.get("errors")?.get(0)?;
    let message = first.get("message").unwrap_or(first).as_str()?;
    Some(match first.get("field").and_then(serde_json::Value::as_str) {
        Some(field) => format!("{message} ({field})"),
        None => message.to_owned(),
    })
}
