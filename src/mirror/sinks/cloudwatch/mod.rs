//! `type = "cloudwatch"`: Amazon CloudWatch Logs, by `PutLogEvents`.
//!
//! An event is its JSON, at its own time. The log group and the stream are made where they are missing.
//! Events that the service takes no more, because they are too old, or not yet, because their time is
//! hours ahead, are refused for good.

mod batches;
mod credentials;
mod signature;

use serde::Deserialize;
use serde::Serialize;

use crate::codec::jsonl;
use crate::config::mirror::CloudWatchConfig;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::sink::FailureKind;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::cloudwatch::batches::LogEvent;
use crate::mirror::sinks::cloudwatch::signature::AwsCredentials;
use crate::mirror::sinks::cloudwatch::signature::SignedRequest;
use crate::mirror::sinks::cloudwatch::signature::SigningScope;
use crate::mirror::sinks::service;
use crate::mirror::sinks::service::Service;
use crate::mirror::sinks::service::ServiceAnswer;

const DEFAULT_BATCH: usize = 5000;
const SERVICE: &str = "logs";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const NANOS_PER_MILLISECOND: i64 = 1_000_000;
/// The longest name of a group or stream, in characters.
const MAX_NAME_CHARS: usize = 512;

pub(super) struct CloudWatchSink {
    service: Service,
    /// The host of the service, as it is signed.
    authority: String,
    region: String,
    credentials: AwsCredentials,
    group: String,
    stream: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamName<'a> {
    log_group_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_stream_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PutLogEvents<'a> {
    log_group_name: &'a str,
    log_stream_name: &'a str,
    log_events: Vec<InputLogEvent<'a>>,
}

#[derive(Serialize)]
struct InputLogEvent<'a> {
    timestamp: i64,
    message: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutLogEventsAnswer {
    rejected_log_events_info: Option<RejectedLogEvents>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RejectedLogEvents {
    too_new_log_event_start_index: Option<usize>,
    too_old_log_event_end_index: Option<usize>,
    expired_log_event_end_index: Option<usize>,
}

/// An error as the service tells it.
#[derive(Default, Deserialize)]
struct ServiceError {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl CloudWatchSink {
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(super) fn new(
        config: &CloudWatchConfig,
        context: SinkContext<'_>,
    ) -> Result<Self, Failure> {
        let region = match &config.region {
            Some(region) => region.clone(),
            None => credentials::find_region(context.environment)?,
        };
        let wrong = |why: &str| Err(Failure::new(Exit::Config, why));
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return wrong("region: is not one of AWS's, like eu-central-1");
        }
        let is_group_char = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c);
        if !is_name(&config.group) || !config.group.chars().all(is_group_char) {
            return wrong("group: must be up to 512 of the characters a-z A-Z 0-9 _ - / . #");
        }
        let stream = config.stream.as_deref().unwrap_or(context.host);
        if !is_name(stream) || stream.contains([':', '*']) {
            return wrong("stream: must be up to 512 characters without : and *");
        }
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let address = match &config.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://{SERVICE}.{region}.{domain}"),
        };
        let endpoint = service::parse_endpoint("endpoint", &address)?.join_path("");
        let credentials = credentials::find(context.environment, context.trusted_uid)?;
        let secrets = [Some(&credentials.secret_access_key), credentials.session_token.as_ref()];
        let secrets = secrets.into_iter().flatten().cloned().collect();
        Ok(Self {
            authority: endpoint.authority(),
            service: Service::new(endpoint, None, secrets, context)?,
            region,
            credentials,
            group: config.group.clone(),
            stream: stream.to_owned(),
        })
    }

    /// Makes a signed request.
    fn request(&self, operation: &str, body: &[u8]) -> Result<ServiceAnswer, SinkFailure> {
        let time = signature::format_time(self.service.now());
        let target = format!("Logs_20140328.{operation}");
        let mut headers = vec![
            ("content-type", CONTENT_TYPE),
            ("host", self.authority.as_str()),
            ("x-amz-date", time.as_str()),
        ];
        if let Some(token) = &self.credentials.session_token {
            headers.push(("x-amz-security-token", token.reveal()));
        }
        headers.push(("x-amz-target", target.as_str()));
        let scope = SigningScope { region: &self.region, service: SERVICE };
        let request = SignedRequest { method: "POST", path: "/", headers: &headers, body };
        let authorization = signature::authorization(&self.credentials, scope, &time, request);
        // The client sets the host by itself.
        headers.retain(|(name, _)| *name != "host");
        headers.push(("authorization", &authorization));
        self.service.request(&headers, body)
    }

    /// Puts events into the stream, which is made if it is missing.
    fn put<'a>(&'a self, events: &[&'a LogEvent]) -> Result<RejectedLogEvents, SinkFailure> {
        let log_event = |event: &&'a LogEvent| InputLogEvent {
            timestamp: event.timestamp,
            message: &event.message,
        };
        let request = PutLogEvents {
            log_group_name: &self.group,
            log_stream_name: &self.stream,
            log_events: events.iter().map(log_event).collect(),
        };
        let body = serde_json::to_vec(&request).expect("texts and numbers are JSON");
        let mut answer = self.request("PutLogEvents", &body)?;
        if error_kind(&answer) == "ResourceNotFoundException" {
            self.make_stream()?;
            answer = self.request("PutLogEvents", &body)?;
        }
        match (answer.status, error_kind(&answer).as_str()) {
            (200, _) => {
                let parsed: Result<PutLogEventsAnswer, _> = serde_json::from_slice(&answer.body);
                Ok(parsed.unwrap_or_default().rejected_log_events_info.unwrap_or_default())
            }
            (_, "DataAlreadyAcceptedException") => Ok(RejectedLogEvents::default()),
            (413, _) | (_, "InvalidParameterException" | "SerializationException") => {
                Err(self.failure(FailureKind::Refused, &answer))
            }
            (..) => Err(self.failure(FailureKind::Unavailable, &answer)),
        }
    }

    /// Makes the stream, and first the group where that is missing too. A role may be allowed to make
    /// streams only.
    fn make_stream(&self) -> Result<(), SinkFailure> {
        let stream =
            StreamName { log_group_name: &self.group, log_stream_name: Some(&self.stream) };
        match self.make("CreateLogStream", &stream) {
            Err((kind, _)) if kind == "ResourceNotFoundException" => {
                let group = StreamName { log_group_name: &self.group, log_stream_name: None };
                self.make("CreateLogGroup", &group).map_err(|(_, failure)| failure)?;
                self.make("CreateLogStream", &stream).map_err(|(_, failure)| failure)
            }
            made => made.map_err(|(_, failure)| failure),
        }
    }

    /// Makes a group or a stream; one that is there is as good. An error comes with its kind.
    fn make(&self, operation: &str, name: &StreamName<'_>) -> Result<(), (String, SinkFailure)> {
        let body = serde_json::to_vec(name).expect("texts are JSON");
        let answer = self.request(operation, &body).map_err(|failure| (String::new(), failure))?;
        let kind = error_kind(&answer);
        if answer.status == 200 || kind == "ResourceAlreadyExistsException" {
            return Ok(());
        }
        // The events are not to blame, whatever the status is.
        Err((kind, self.failure(FailureKind::Unavailable, &answer)))
    }

    fn failure(&self, kind: FailureKind, answer: &ServiceAnswer) -> SinkFailure {
        let error = ServiceError::parse(&answer.body);
        let message = match (error.kind.as_str(), error.message.as_str()) {
            ("", _) => None,
            (kind, "") => Some(kind.to_owned()),
            (kind, message) => Some(format!("{kind}: {message}")),
        };
        self.service.failure(kind, answer, message)
    }
}

impl Sink for CloudWatchSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let (events, mut refused) = encode(batch);
        let mut confirmed = 0;
        for range in batches::split(&events) {
            let mut request: Vec<&LogEvent> = events[range.clone()].iter().collect();
            request.sort_by_key(|event| event.timestamp);
            let rejected =
                self.put(&request).map_err(|failure| failure.after(confirmed, &refused))?;
            refused.extend(rejected.events(&request));
            // Those that were left out between two requests are confirmed with the first of them.
            confirmed = events.get(range.end).map_or(batch.len(), |next| next.index);
        }
        refused.sort_by_key(|refused| refused.index);
        Ok(refused)
    }
}

impl RejectedLogEvents {
    /// Returns the events of a request that were refused.
    fn events(&self, request: &[&LogEvent]) -> Vec<RefusedEvent> {
        let too_old = self.too_old_log_event_end_index.unwrap_or(0);
        let expired = self.expired_log_event_end_index.unwrap_or(0);
        let too_new = self.too_new_log_event_start_index.unwrap_or(request.len());
        let reason = |place: usize| match place {
            place if place < too_old => Some("older than the 14 days that CloudWatch takes"),
            place if place < expired => Some("older than what the log group keeps"),
            place if place >= too_new => Some("more than 2 hours in the future"),
            _ => None,
        };
        let refused = request.iter().enumerate().filter_map(|(place, event)| {
            let reason = reason(place)?.to_owned();
            Some(RefusedEvent { index: event.index, reason, status: Some(200) })
        });
        refused.collect()
    }
}

impl ServiceError {
    fn parse(body: &[u8]) -> Self {
        let mut error: Self = serde_json::from_slice(body).unwrap_or_default();
        // Some services put a namespace in front: `com.amazonaws…#AccessDeniedException`.
        if let Some((_, kind)) = error.kind.rsplit_once('#') {
            error.kind = kind.to_owned();
        }
        error
    }
}

/// Returns the kind of an error; empty where the answer is none.
fn error_kind(answer: &ServiceAnswer) -> String {
    if answer.status == 200 { String::new() } else { ServiceError::parse(&answer.body).kind }
}

/// Encodes the events, and refuses those that are too long.
fn encode(batch: &[OutgoingEvent]) -> (Vec<LogEvent>, Vec<RefusedEvent>) {
    let mut events = Vec::with_capacity(batch.len());
    let mut refused = Vec::new();
    for (index, outgoing) in batch.iter().enumerate() {
        let mut message = String::new();
        jsonl::encode(&outgoing.event, &mut message);
        if message.len() > batches::MAX_EVENT_BYTES {
            let reason = format!("{} bytes are more than CloudWatch takes", message.len());
            refused.push(RefusedEvent { index, reason, status: None });
            continue;
        }
        let millis = outgoing.event.occurred_at.as_nanos().div_euclid(NANOS_PER_MILLISECOND);
        // The service takes no time before 1970, and refuses one so old.
        events.push(LogEvent { index, timestamp: millis.max(0), message });
    }
    (events, refused)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= MAX_NAME_CHARS
}

#[cfg(test)]
mod tests;
