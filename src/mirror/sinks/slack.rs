//! `type = "slack"`: an incoming webhook. One message has as many events as fit, each on its line.
//!
//! Slack reads `&`, `<` and `>` as the marks of links and mentions, so they are escaped, and formatting
//! is off: nothing in an event can mention a channel or look like a link. A message of more than 4,000
//! characters would be cut into several, and one in a second is what a webhook takes.

use serde::Serialize;

use crate::config::mirror::WebhookConfig;
use crate::event::Event;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::Target;
use crate::failure::Failure;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::http;
use crate::mirror::sinks::service;
use crate::mirror::sinks::service::Service;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Zone;

const CONTENT_TYPE: &str = "Content-Type";
const DEFAULT_BATCH: usize = 100;
/// The longest text of a message, in characters after escaping.
pub(crate) const MAX_MESSAGE_CHARS: usize = 4000;
/// The longest part of a line, in columns: who, what and the target.
const MAX_PART_COLUMNS: usize = 200;

pub(super) struct SlackSink {
    webhook: SlackWebhook,
    zone: Zone,
}

/// An incoming webhook of Slack.
pub(crate) struct SlackWebhook {
    service: Service,
    headers: Vec<(String, String)>,
}

#[derive(Serialize)]
struct SlackMessage<'a> {
    text: &'a str,
    /// Whether `*` and `_` format the text.
    mrkdwn: bool,
    unfurl_links: bool,
    unfurl_media: bool,
}

impl SlackSink {
    /// # Errors
    /// [`Exit::Config`](crate::failure::Exit::Config), with the key.
    pub(super) fn new(config: &WebhookConfig, context: SinkContext<'_>) -> Result<Self, Failure> {
        let webhook = SlackWebhook::new("url", config, context)?;
        Ok(Self { webhook, zone: *context.zone })
    }
}

impl SlackWebhook {
    /// `key` is that of the address in the config.
    ///
    /// # Errors
    /// [`Exit::Config`](crate::failure::Exit::Config), with the key.
    pub(crate) fn new(
        key: &str,
        config: &WebhookConfig,
        context: SinkContext<'_>,
    ) -> Result<Self, Failure> {
        let endpoint = service::parse_endpoint(key, &config.url)?;
        let secrets = http::checked_headers(&config.headers, &[CONTENT_TYPE])?;
        let service = Service::new(endpoint, None, secrets, context)?;
        Ok(Self { service, headers: config.headers.clone() })
    }

    /// Posts a text that is short and safe.
    ///
    /// # Errors
    /// Slack did not take it.
    pub(crate) fn post(&self, text: &str) -> Result<(), SinkFailure> {
        let message =
            SlackMessage { text, mrkdwn: false, unfurl_links: false, unfurl_media: false };
        let body = serde_json::to_vec(&message).expect("texts are JSON");
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> =
            headers.chain([(CONTENT_TYPE, "application/json; charset=utf-8")]).collect();
        self.service.post(&headers, &body).map(drop)
    }
}

impl Sink for SlackSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let lines: Vec<String> =
            batch.iter().map(|outgoing| event_line(outgoing, &self.zone)).collect();
        let mut confirmed = 0;
        for message in split(&lines) {
            self.webhook
                .post(&message.join("\n"))
                .map_err(|failure| failure.after(confirmed, &[]))?;
            confirmed += message.len();
        }
        Ok(Vec::new())
    }
}

/// Escapes a text of several lines for a message.
pub(crate) fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// Escapes a text for a message: what a terminal would not show, and the marks of Slack.
fn escape(text: &str) -> String {
    escape_marks(&text::escape(text))
}

fn escape_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// Divides lines into messages, each of as many as fit.
fn split(lines: &[String]) -> Vec<&[String]> {
    let mut messages = Vec::new();
    let mut start = 0;
    let mut length = 0;
    for (index, line) in lines.iter().enumerate() {
        let line = line.chars().count() + 1;
        if index > start && length + line > MAX_MESSAGE_CHARS {
            messages.push(&lines[start..index]);
            start = index;
            length = 0;
        }
        length += line;
    }
    if start < lines.len() {
        messages.push(&lines[start..]);
    }
    messages
}

/// An event on one line: when, how grave, who, what, the target, and where to read more.
fn event_line(outgoing: &OutgoingEvent, zone: &Zone) -> String {
    let event = &outgoing.event;
    let part = |text: &str| escape_marks(&text::truncate(&text::escape(text), MAX_PART_COLUMNS));
    let mut parts = vec![escape(&zone.format(event.occurred_at, TimeFormat::DateTimeMinute))];
    if event.severity > Severity::Info {
        parts.push(event.severity.name().to_owned());
    }
    parts.push(part(&who(event)));
    parts.push(match &event.title {
        Some(title) => format!("{} ({})", part(title), part(&event.action.slug)),
        None => part(&event.action.slug),
    });
    if let Some(target) = &event.target {
        parts.push(part(&target_text(target)));
    }
    parts.push(format!("{} #{}", part(&outgoing.identifier), event.id));
    parts.join(" · ")
}

fn who(event: &Event) -> String {
    let party =
        |party: &Party| party.label.as_ref().or(party.id.as_ref()).cloned().unwrap_or_default();
    let actor = match (&event.actor, event.source) {
        (Some(actor), _) => party(actor),
        (None, Source::System | Source::Cron) => "(system)".to_owned(),
        (None, Source::Operator | Source::Api) => "(anonymous)".to_owned(),
    };
    match &event.impersonator {
        Some(impersonator) => format!("{actor} (by {})", party(impersonator)),
        None => actor,
    }
}

fn target_text(target: &Target) -> String {
    let id = match (&target.kind, &target.id) {
        (Some(kind), Some(id)) => Some(format!("{kind}/{id}")),
        (kind, id) => kind.as_ref().or(id.as_ref()).cloned(),
    };
    match (id, &target.label) {
        (Some(id), Some(label)) => format!("{label} ({id})"),
        (id, label) => id.or_else(|| label.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mirror::sinks::fake_service::FakeService;
    use crate::mirror::sinks::fake_service::ReceivedRequest;
    use crate::mirror::sinks::fake_service::Reply;
    use crate::mirror::sinks::fake_service::outgoing;
    use crate::mirror::sinks::fake_service::reply;
    use crate::mirror::sinks::fake_service::with_context;
    use crate::query::samples::any_event;
    use crate::settings::Environment;

    /// Answers as an incoming webhook does, within the limits that Slack documents.
    fn answer(request: &ReceivedRequest) -> Reply {
        if request.path != "/services/T000/B000/XXXXXXXXXXXX" {
            return reply("404 Not Found", "no_service");
        }
        let message: serde_json::Value = match serde_json::from_slice(&request.body) {
            Ok(message) => message,
            Err(_) => return reply("400 Bad Request", "invalid_payload"),
        };
        let text = message["text"].as_str().unwrap_or_default();
        let is_escaped =
            |rest: &str| ["amp;", "lt;", "gt;"].iter().any(|name| rest.starts_with(name));
        let plain = !text.contains(['<', '>']) && text.split('&').skip(1).all(is_escaped);
        if text.is_empty() || !plain || text.chars().count() > 40_000 {
            return reply("400 Bad Request", "no_text");
        }
        reply("200 OK", "ok")
    }

    fn open(service: &FakeService) -> SlackSink {
        let url = service.url("/services/T000/B000/XXXXXXXXXXXX");
        let config = WebhookConfig { url, headers: Vec::new() };
        with_context(&Environment::default(), |context| SlackSink::new(&config, context)).unwrap()
    }

    #[test]
    fn a_message_has_many_events_and_each_stands_in_one() {
        let service = FakeService::start(|_, request| answer(request));
        let mut batch = outgoing(1..=100);
        batch[50].event.title = Some("<!channel> *bold* & more\n<https://x|y>".into());
        assert_eq!(open(&service).deliver(&batch), Ok(Vec::new()));
        let requests = service.requests();
        assert!((2..20).contains(&requests.len()), "{}", requests.len());
        let texts: Vec<String> = requests
            .iter()
            .map(|request| request.json()["text"].as_str().unwrap().to_owned())
            .collect();
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
        assert_eq!(lines.len(), 100);
        for (line, id) in lines.iter().zip(1..) {
            assert!(line.ends_with(&format!(" · s2l.online #{id}")), "{line}");
        }
        assert!(
            lines[50].contains(" · &lt;!channel&gt; *bold* &amp; more\\n&lt;https://x|y&gt; (")
        );
        for request in &requests {
            assert_eq!(request.json()["mrkdwn"], false);
        }
    }

    #[test]
    fn a_limit_in_between_leaves_the_rest() {
        let service = FakeService::start(|number, request| match number {
            1 => reply("429 Too Many Requests\r\nRetry-After: 30", "rate_limited"),
            _ => answer(request),
        });
        let batch = outgoing(1..=100);
        let failure = open(&service).deliver(&batch).unwrap_err();
        assert_eq!(failure.retry_after, Some(std::time::Duration::from_secs(30)));
        assert_eq!(failure.kind, crate::mirror::sink::FailureKind::Unavailable);
        let first = service.requests()[0].json()["text"].as_str().unwrap().lines().count();
        assert_eq!(failure.confirmed, first);
    }

    #[test]
    fn marks_of_slack_are_escaped_once() {
        assert_eq!(escape("<!channel> & \u{1b}[1m"), "&lt;!channel&gt; &amp; \\e[1m");
        assert_eq!(escape("&lt;"), "&amp;lt;");
    }

    proptest! {
        #[test]
        fn messages_keep_the_lines_in_order_and_short(
            lines in prop::collection::vec("\\PC{0,900}|<{0,900}", 0..40),
        ) {
            let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
            let messages = split(&lines);
            prop_assert_eq!(messages.concat(), lines.clone());
            for message in &messages {
                prop_assert!(!message.is_empty());
                prop_assert!(message.len() == 1 || message.join("\n").chars().count() <= MAX_MESSAGE_CHARS);
            }
            // No two neighbours would fit into one.
            for pair in messages.windows(2) {
                let first = [pair[0], &pair[1][..1]].concat().join("\n");
                prop_assert!(first.chars().count() >= MAX_MESSAGE_CHARS);
            }
        }

        #[test]
        fn no_event_escapes_its_line(event in any_event(), text in "\\PC{0,300}|[\\x00-\\x7f]{0,300}") {
            let mut event = event;
            event.title = Some(text.as_str().into());
            event.actor = Some(std::sync::Arc::new(Party { id: None, label: Some(text) }));
            let outgoing = OutgoingEvent { event, identifier: "<site>".into(), seal: None };
            let line = event_line(&outgoing, &Zone::utc());
            prop_assert!(!line.contains(['<', '>', '\n']) && line.chars().count() < 40_000);
            let entity = |rest: &str| ["amp;", "lt;", "gt;"].iter().any(|name| rest.starts_with(name));
            prop_assert!(line.split('&').skip(1).all(entity), "{}", line);
        }
    }
}
