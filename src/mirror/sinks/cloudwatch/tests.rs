use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::Value;
use serde_json::json;

use super::*;
use crate::mirror::sinks::fake_service::BEGUN_AT;
use crate::mirror::sinks::fake_service::FakeService;
use crate::mirror::sinks::fake_service::ReceivedRequest;
use crate::mirror::sinks::fake_service::Reply;
use crate::mirror::sinks::fake_service::outgoing;
use crate::mirror::sinks::fake_service::reply;
use crate::mirror::sinks::fake_service::with_context;
use crate::settings::Environment;
use crate::time::Timestamp;

const HOUR_MILLIS: i64 = 3_600_000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;
const NOW_MILLIS: i64 = BEGUN_AT.as_nanos() / NANOS_PER_MILLISECOND;

/// The log groups and streams of an account.
#[derive(Default)]
struct FakeAccount(Mutex<BTreeSet<String>>);

impl FakeAccount {
    /// Answers as CloudWatch Logs does, within the limits that it documents.
    fn answer(&self, request: &ReceivedRequest) -> Reply {
        let error = |kind: &str, message: &str| {
            let body = json!({"__type": kind, "message": message}).to_string();
            reply("400 Bad Request", &body)
        };
        let authorization = request.header("authorization").unwrap();
        if !authorization
            .starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-central-1/")
        {
            return error("UnrecognizedClientException", "The security token is invalid.");
        }
        let body = request.json();
        let group = body["logGroupName"].as_str().unwrap().to_owned();
        let stream = format!("{group}:{}", body["logStreamName"].as_str().unwrap_or_default());
        let mut names = self.0.lock().unwrap();
        match request.header("x-amz-target").unwrap() {
            "Logs_20140328.CreateLogGroup" if names.insert(group.clone()) => reply("200 OK", ""),
            "Logs_20140328.CreateLogStream" if !names.contains(&group) => {
                error("ResourceNotFoundException", "The specified log group does not exist.")
            }
            "Logs_20140328.CreateLogStream" if names.insert(stream.clone()) => reply("200 OK", ""),
            "Logs_20140328.PutLogEvents" if !names.contains(&stream) => {
                error("ResourceNotFoundException", "The specified log stream does not exist.")
            }
            "Logs_20140328.PutLogEvents" => match put(body["logEvents"].as_array().unwrap()) {
                Ok(answer) => reply("200 OK", &answer.to_string()),
                Err(why) => error("InvalidParameterException", why),
            },
            _ => error("ResourceAlreadyExistsException", "It exists."),
        }
    }
}

fn put(events: &[Value]) -> Result<Value, &'static str> {
    let times: Vec<i64> = events.iter().map(|event| event["timestamp"].as_i64().unwrap()).collect();
    let bytes: usize =
        events.iter().map(|event| event["message"].as_str().unwrap().len() + 26).sum();
    if events.is_empty() || events.len() > 10_000 || bytes > 1_048_576 {
        return Err("Upload too large");
    }
    if !times.is_sorted() {
        return Err("Log events in a single PutLogEvents request must be in chronological order.");
    }
    if times.last().unwrap() - times[0] > DAY_MILLIS {
        return Err(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        );
    }
    let too_old = times.iter().filter(|at| **at < NOW_MILLIS - 14 * DAY_MILLIS).count();
    let too_new = times.iter().position(|at| *at > NOW_MILLIS + 2 * HOUR_MILLIS);
    let mut rejected = serde_json::Map::new();
    if too_old > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), too_old.into());
    }
    if let Some(place) = too_new {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), place.into());
    }
    Ok(match rejected.is_empty() {
        true => json!({"nextSequenceToken": "1"}),
        false => json!({"nextSequenceToken": "1", "rejectedLogEventsInfo": rejected}),
    })
}

fn environment(id: &str) -> Environment {
    Environment::with(&[
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        ("AWS_REGION", "eu-central-1"),
    ])
}

fn config(endpoint: String) -> CloudWatchConfig {
    CloudWatchConfig {
        region: None,
        group: "/audit/activity".to_owned(),
        stream: None,
        endpoint: Some(endpoint),
    }
}

fn open(service: &FakeService, id: &str) -> CloudWatchSink {
    let config = config(service.url(""));
    with_context(&environment(id), |context| CloudWatchSink::new(&config, context)).unwrap()
}

fn start() -> FakeService {
    let account = FakeAccount::default();
    FakeService::start(move |_, request| account.answer(request))
}

fn batch(times: &[i64]) -> Vec<OutgoingEvent> {
    let mut batch = outgoing(1..=i64::try_from(times.len()).unwrap());
    for (outgoing, at) in batch.iter_mut().zip(times) {
        outgoing.event.occurred_at = Timestamp::from_nanos(at * NANOS_PER_MILLISECOND);
    }
    batch
}

/// The ids of the events of each accepted request.
fn received_ids(service: &FakeService) -> Vec<Vec<i64>> {
    let puts = service
        .requests()
        .into_iter()
        .filter(|request| request.header("x-amz-target") == Some("Logs_20140328.PutLogEvents"));
    let ids = |request: ReceivedRequest| {
        let body = request.json();
        let events = body["logEvents"].as_array().unwrap().iter();
        events
            .map(|event| {
                let message: Value =
                    serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
                message["id"].as_i64().unwrap()
            })
            .collect()
    };
    puts.map(ids).collect()
}

#[test]
fn the_group_and_the_stream_are_made_once() {
    let service = start();
    let mut sink = open(&service, "AKIDEXAMPLE");
    assert_eq!(sink.deliver(&batch(&[NOW_MILLIS])), Ok(Vec::new()));
    assert_eq!(sink.deliver(&batch(&[NOW_MILLIS])), Ok(Vec::new()));
    let requests = service.requests();
    let operations: Vec<&str> = requests
        .iter()
        .map(|request| request.header("x-amz-target").unwrap().rsplit('.').next().unwrap())
        .collect();
    assert_eq!(
        operations,
        [
            "PutLogEvents",
            "CreateLogStream",
            "CreateLogGroup",
            "CreateLogStream",
            "PutLogEvents",
            "PutLogEvents"
        ]
    );
    let put = requests[5].json();
    assert_eq!(
        (&put["logGroupName"], &put["logStreamName"]),
        (&json!("/audit/activity"), &json!("web3"))
    );
}

#[test]
fn late_events_are_sorted_and_days_are_divided() {
    let service = start();
    let mut sink = open(&service, "AKIDEXAMPLE");
    let hours = [-30, -29, -40, -2, -1, -28, 0];
    let times: Vec<i64> = hours.iter().map(|hours| NOW_MILLIS + hours * HOUR_MILLIS).collect();
    assert_eq!(sink.deliver(&batch(&times)), Ok(Vec::new()));
    let mut received = received_ids(&service);
    received.remove(0);
    assert_eq!(received, [vec![3, 1, 2], vec![4, 5], vec![6], vec![7]]);
}

#[test]
fn what_the_service_rejects_is_refused_for_good() {
    let service = start();
    let mut sink = open(&service, "AKIDEXAMPLE");
    let times = [NOW_MILLIS - 15 * DAY_MILLIS, NOW_MILLIS, NOW_MILLIS + 3 * HOUR_MILLIS, 0, -1];
    let mut events = batch(&times);
    events.extend(batch(&[NOW_MILLIS]));
    events[5].event.description = Some("x".repeat(1_048_576));
    let refused = sink.deliver(&events).unwrap();
    let refused: Vec<(usize, &str)> =
        refused.iter().map(|refused| (refused.index, refused.reason.as_str())).collect();
    let old = "older than the 14 days that CloudWatch takes";
    assert_eq!(
        refused[..4],
        [(0, old), (2, "more than 2 hours in the future"), (3, old), (4, old)]
    );
    assert!(refused[4].0 == 5 && refused[4].1.ends_with(" bytes are more than CloudWatch takes"));
}

#[test]
fn a_batch_is_divided_by_size_and_number() {
    let service = start();
    let mut sink = open(&service, "AKIDEXAMPLE");
    let mut events = batch(&[NOW_MILLIS; 12_000]);
    for place in [100, 101, 102] {
        events[place].event.description = Some("x".repeat(500_000));
    }
    assert_eq!(sink.deliver(&events), Ok(Vec::new()));
    let mut received = received_ids(&service);
    received.remove(0);
    assert!(received.len() > 2);
    assert_eq!(received.concat(), (1..=12_000).collect::<Vec<i64>>());
}

#[test]
fn trouble_with_the_account_waits_without_the_key() {
    let service = start();
    let failure = open(&service, "AKIDOTHER").deliver(&batch(&[NOW_MILLIS])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.status, Some(400));
    assert_eq!(
        failure.reason,
        "127.0.0.1: answered 400: UnrecognizedClientException: The security token is invalid."
    );
}

#[test]
fn a_signature_of_a_wrong_clock_waits() {
    let service = FakeService::start(|_, _| {
        let why = "Signature expired: 20261120T040000Z is now earlier than 20261120T040500Z";
        let body = json!({"__type": "InvalidSignatureException", "message": why});
        reply("400 Bad Request", &body.to_string())
    });
    let failure = open(&service, "AKIDEXAMPLE").deliver(&batch(&[NOW_MILLIS])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.reason.contains("InvalidSignatureException: Signature expired"));
}

#[test]
fn a_config_that_cannot_be_is_named() {
    let refused = |config: &CloudWatchConfig, environment: &Environment| {
        let sink = with_context(environment, |context| CloudWatchSink::new(config, context));
        let failure = sink.err().expect("the config is wrong");
        assert_eq!(failure.exit, Exit::Config);
        failure.message
    };
    let good = config("http://127.0.0.1:1".to_owned());
    let known = environment("AKIDEXAMPLE");
    let with = |change: &dyn Fn(&mut CloudWatchConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    let region = with(&|config| config.region = Some("eu/central".to_owned()));
    assert!(refused(&region, &known).starts_with("region: "));
    assert!(
        refused(&with(&|config| config.group = "a b".to_owned()), &known).starts_with("group: ")
    );
    let stream = with(&|config| config.stream = Some("a:b".to_owned()));
    assert!(refused(&stream, &known).starts_with("stream: "));
    let endpoint = with(&|config| config.endpoint = Some("http://example.org".to_owned()));
    assert!(refused(&endpoint, &known).starts_with("endpoint: "));
    assert_eq!(
        refused(&good, &Environment::default()),
        "region is missing, and AWS_REGION is not set"
    );
    let region = Environment::with(&[("AWS_REGION", "eu-central-1")]);
    assert_eq!(refused(&good, &region), "there are no credentials for CloudWatch");
}
