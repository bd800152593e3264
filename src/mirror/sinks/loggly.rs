//! `type = "loggly"`: the bulk endpoint, `https://logs-01.loggly.com/bulk/TOKEN/tag/TAG/`.
//!
//! Loggly takes lines of JSON, at most 1 MB each and 5 MB in one request, and shows them at the time of
//! their key `timestamp`, with up to six digits of a second.

use crate::codec::jsonl;
use crate::config::mirror::WebhookConfig;
use crate::failure::Failure;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::http;
use crate::mirror::sinks::service;
use crate::mirror::sinks::service::Service;
use crate::time::Timestamp;

const CONTENT_TYPE: &str = "Content-Type";
const DEFAULT_BATCH: usize = 2000;
/// The limits of the service, a little less than it says: nobody knows how it counts.
const MAX_EVENT_BYTES: usize = 1_000_000 - 1000;
const MAX_REQUEST_BYTES: usize = 5_000_000 - 1000;
const NANOS_PER_MICROSECOND: i64 = 1000;

pub(super) struct LogglySink {
    service: Service,
    headers: Vec<(String, String)>,
}

impl LogglySink {
    /// # Errors
    /// [`Exit::Config`](crate::failure::Exit::Config), with the key.
    pub(super) fn new(config: &WebhookConfig, context: SinkContext<'_>) -> Result<Self, Failure> {
        let endpoint = service::parse_endpoint("url", &config.url)?;
        let secrets = http::checked_headers(&config.headers, &[CONTENT_TYPE])?;
        let service = Service::new(endpoint, None, secrets, context)?;
        Ok(Self { service, headers: config.headers.clone() })
    }

    fn post(&self, body: &str) -> Result<(), SinkFailure> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = headers.chain([(CONTENT_TYPE, "application/json")]).collect();
        self.service.post(&headers, body.as_bytes()).map(drop)
    }
}

impl Sink for LogglySink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let mut refused = Vec::new();
        let mut confirmed = 0;
        let mut body = String::new();
        for (index, outgoing) in batch.iter().enumerate() {
            let line = encode_line(outgoing);
            if line.len() > MAX_EVENT_BYTES {
                let reason = format!("{} bytes are more than Loggly takes", line.len());
                refused.push(RefusedEvent { index, reason, status: None });
                continue;
            }
            if body.len() + line.len() > MAX_REQUEST_BYTES {
                self.post(&body).map_err(|failure| failure.after(confirmed, &refused))?;
                confirmed = index;
                body.clear();
            }
            body.push_str(&line);
        }
        if !body.is_empty() {
            self.post(&body).map_err(|failure| failure.after(confirmed, &refused))?;
        }
        Ok(refused)
    }
}

/// An event as a line of JSON with the key that Loggly takes its time from.
fn encode_line(outgoing: &OutgoingEvent) -> String {
    let mut line = String::from("{\"timestamp\":\"");
    let nanos = outgoing.event.occurred_at.as_nanos();
    Timestamp::from_nanos(nanos - nanos.rem_euclid(NANOS_PER_MICROSECOND)).write_into(&mut line);
    line.push_str("\",");
    let start = line.len();
    jsonl::encode(&outgoing.event, &mut line);
    // The event's own object goes on behind the time.
    line.remove(start);
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::JsonObject;
    use crate::mirror::sinks::fake_service::FakeService;
    use crate::mirror::sinks::fake_service::ReceivedRequest;
    use crate::mirror::sinks::fake_service::Reply;
    use crate::mirror::sinks::fake_service::outgoing;
    use crate::mirror::sinks::fake_service::reply;
    use crate::mirror::sinks::fake_service::with_context;
    use crate::settings::Environment;

    const TOKEN: &str = "c0ffee00-c0ff-eec0-ffee-c0ffeec0ffee";

    /// Answers as Loggly does, within the limits that it documents.
    fn answer(request: &ReceivedRequest) -> Reply {
        if request.path != format!("/bulk/{TOKEN}/tag/activity/") {
            return reply("403 Forbidden", &format!("no such token: {}", request.path));
        }
        let lines: Vec<&str> = request.text().lines().collect();
        if request.body.len() > 5_000_000 || lines.iter().any(|line| line.len() > 1_000_000) {
            return reply("413 Request Entity Too Large", "");
        }
        let is_event = |line: &&str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let time = event["timestamp"].as_str().unwrap().trim_end_matches('Z');
            time.len() <= "2026-11-20T04:00:00.123456".len()
        };
        if request.header("content-type") != Some("application/json") || !lines.iter().all(is_event)
        {
            return reply("400 Bad Request", "");
        }
        reply("200 OK", r#"{"response" : "ok"}"#)
    }

    fn open(service: &FakeService, token: &str) -> LogglySink {
        let url = service.url(&format!("/bulk/{token}/tag/activity/"));
        let config = WebhookConfig { url, headers: Vec::new() };
        with_context(&Environment::default(), |context| LogglySink::new(&config, context)).unwrap()
    }

    fn received_ids(service: &FakeService) -> Vec<i64> {
        let requests = service.requests();
        let lines = requests.iter().flat_map(|request| request.text().lines());
        let id =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_i64();
        lines.map(|line| id(line).unwrap()).collect()
    }

    #[test]
    fn requests_keep_to_the_limits_of_the_service() {
        let service = FakeService::start(|_, request| answer(request));
        let mut batch = outgoing(1..=20);
        for (place, length) in [(3, 2_000_000), (5, 900_000), (6, 900_000), (19, 1_000_000)] {
            batch[place].event.description = Some("x".repeat(length));
        }
        for outgoing in &mut batch[8..16] {
            outgoing.event.payload = Some(
                JsonObject::parse(&format!(r#"{{"x":"{}"}}"#, "y".repeat(800_000)), 1).unwrap(),
            );
        }
        let refused = open(&service, TOKEN).deliver(&batch).unwrap();
        let indexes: Vec<usize> = refused.iter().map(|refused| refused.index).collect();
        assert_eq!(indexes, [3, 19]);
        assert!(refused[0].reason.ends_with(" bytes are more than Loggly takes"));
        let wanted: Vec<i64> = (1..=19).filter(|id| *id != 4).collect();
        assert_eq!(received_ids(&service), wanted);
        assert!(service.requests().len() > 1);
    }

    #[test]
    fn a_failure_says_what_was_taken_before_it() {
        let service = FakeService::start(|number, request| match number {
            0 => answer(request),
            _ => reply("503 Service Unavailable", ""),
        });
        let mut batch = outgoing(1..=9);
        for outgoing in &mut batch {
            outgoing.event.description = Some("x".repeat(900_000));
        }
        batch[1].event.description = Some("x".repeat(1_900_000));
        batch[8].event.description = Some("x".repeat(1_900_000));
        let failure = open(&service, TOKEN).deliver(&batch).unwrap_err();
        assert_eq!(failure.confirmed, received_ids(&service).len().min(6));
        assert_eq!(failure.refused.len(), 1);
        assert_eq!(failure.refused[0].index, 1);
    }

    #[test]
    fn a_wrong_token_waits_and_is_not_shown() {
        let service = FakeService::start(|_, request| answer(request));
        let failure = open(&service, "d0d0d0d0-wrong").deliver(&outgoing([1])).unwrap_err();
        assert_eq!(failure.kind, crate::mirror::sink::FailureKind::Unavailable);
        assert_eq!(
            failure.reason,
            "127.0.0.1: answered 403: no such token: /bulk/[secret]/tag/[secret]/"
        );
    }
}
