//! The outcomes of digests: the log's own events `digest.sent` and `digest.failed`, written and read
//! here. Together with the recorded heads they are all the state of digests.
//!
//! ## Compatibility
//! The payload is read by programs and by later versions. A payload without a newer key is still read.

use std::fmt::Write;

use serde_json::Value;
use serde_json::json;

use crate::event::Event;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::own_events;
use crate::store::digest::LogPositions;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The action of a digest that was sent.
pub(crate) const SENT_ACTION: &str = "digest.sent";
/// The action of a digest that could not be sent.
pub(crate) const FAILED_ACTION: &str = "digest.failed";

/// The outcome of one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestOutcome {
    pub sent: bool,
    pub since: Timestamp,
    pub until: Timestamp,
    /// The newest event of the snapshot that the report was read from, in each log.
    pub through: LogPositions,
    /// The newest event of the log that records this, when the digest was begun.
    pub head: EventId,
    /// The central store that it is about; absent for the log that records this.
    pub store: Option<String>,
    /// The number of events that it covers, including those that arrived late.
    pub events: u64,
    pub recipients: Vec<String>,
    pub transport: String,
    /// The service's status: `202`. Absent where it gave none.
    pub status: Option<String>,
    /// Why it could not be sent, or which recipients were refused.
    pub error: Option<String>,
    pub message_id: Option<String>,
    pub attempts: u64,
    /// Whether an attempt without an answer may have sent it too.
    pub maybe_duplicate: bool,
    /// Whether the next window begins where it would without this digest.
    pub one_off: bool,
}

/// An outcome in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedOutcome {
    pub id: EventId,
    pub at: Timestamp,
    pub outcome: DigestOutcome,
}

impl DigestOutcome {
    pub(crate) fn to_event(&self) -> NewEvent {
        own_events::system_event(
            if self.sent { SENT_ACTION } else { FAILED_ACTION },
            &self.payload(),
        )
    }

    /// Returns the payload of the event.
    fn payload(&self) -> Value {
        // Services document their status as a number.
        let status = self.status.as_ref().map(|status| match status.parse::<u16>() {
            Ok(number) => json!(number),
            Err(_) => json!(status),
        });
        let mut payload = json!({
            "since": self.since.to_string(),
            "until": self.until.to_string(),
            "store": self.store,
            "through": positions_to_json(&self.through, self.store.is_some()),
            "head": self.store.is_some().then_some(self.head.0),
            "events": self.events,
            "recipients": self.recipients,
            "transport": self.transport,
            "status": status,
            "error": self.error,
            "message_id": self.message_id,
            "attempts": self.attempts,
            "maybe_duplicate": self.maybe_duplicate.then_some(true),
            "one_off": self.one_off,
        });
        if let Some(payload) = payload.as_object_mut() {
            payload.retain(|_, value| !value.is_null());
        }
        payload
    }

    /// Returns one line for the output of a run or for `--history`. `word` follows the time.
    fn format_line(&self, at: Timestamp, zone: &Zone, word: &str) -> String {
        let [at, since, until] = [
            zone.format(at.truncate_to_second(), TimeFormat::Rfc3339),
            zone.format(self.since, TimeFormat::Rfc3339Minute),
            zone.format(self.until, TimeFormat::Rfc3339Minute),
        ];
        let recipients = self.recipients.join(",");
        let of = self.store.as_ref().map(|_| format!(" of {}", self.through)).unwrap_or_default();
        let mut line = format!(
            "{at} {word} window {since}..{until} events {}{of} to {} {}",
            self.events,
            text::escape(&recipients),
            text::escape(&self.transport),
        );
        let attempts = (self.attempts > 1).then(|| self.attempts.to_string());
        for (word, value) in
            [("", &self.status), (" id", &self.message_id), (" attempts", &attempts)]
        {
            if let Some(value) = value {
                write!(line, "{word} {}", text::escape(value)).expect("a String takes all");
            }
        }
        for (word, holds) in
            [(" one-off", self.one_off), (" maybe sent twice", self.maybe_duplicate)]
        {
            if holds {
                line.push_str(word);
            }
        }
        if let Some(error) = &self.error {
            write!(line, ": {}", text::escape(error)).expect("a String takes all");
        }
        line
    }

    /// Returns the line of a run for standard output.
    pub(crate) fn run_line(&self, at: Timestamp) -> String {
        self.format_line(at, &Zone::utc(), if self.sent { "digest" } else { "digest failed" })
    }
}

impl RecordedOutcome {
    /// Reads an outcome from the log's own event. Returns `None` for other events, and for a payload
    /// that no digest writes.
    pub(crate) fn from_event(event: &Event) -> Option<Self> {
        let sent = match event.action.slug.as_str() {
            SENT_ACTION => true,
            FAILED_ACTION => false,
            _ => return None,
        };
        let payload = event.payload.as_ref().filter(|_| event.own)?;
        let payload: Value = serde_json::from_str(payload.as_str()).ok()?;
        let time = |key: &str| Timestamp::parse_rfc3339(payload[key].as_str()?).ok();
        let string = |key: &str| match &payload[key] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let recipients = payload["recipients"].as_array().into_iter().flatten();
        let through = positions_from_json(&payload["through"])?;
        Some(Self {
            id: event.id,
            at: event.occurred_at,
            outcome: DigestOutcome {
                sent,
                since: time("since")?,
                until: time("until")?,
                head: payload["head"].as_i64().map_or(through.host(), EventId),
                through,
                store: string("store"),
                events: payload["events"].as_u64().unwrap_or(0),
                recipients: recipients.filter_map(Value::as_str).map(str::to_owned).collect(),
                transport: string("transport").unwrap_or_default(),
                status: string("status"),
                error: string("error"),
                message_id: string("message_id"),
                attempts: payload["attempts"].as_u64().unwrap_or(1),
                maybe_duplicate: payload["maybe_duplicate"].as_bool().unwrap_or(false),
                one_off: payload["one_off"].as_bool().unwrap_or(false),
            },
        })
    }

    /// Returns the line of `--history`.
    pub(crate) fn history_line(&self, zone: &Zone) -> String {
        self.outcome.format_line(self.at, zone, if self.outcome.sent { "sent" } else { "failed" })
    }

    /// Returns one line of JSON for `--history`: the id and time of the event, the outcome, and the
    /// payload.
    pub(crate) fn to_json(&self) -> String {
        let sent = if self.outcome.sent { "sent" } else { "failed" };
        let mut row = json!({"id": self.id.0, "at": self.at.to_string(), "outcome": sent});
        if let (Some(row), Value::Object(payload)) = (row.as_object_mut(), self.outcome.payload()) {
            row.extend(payload);
        }
        let mut line = String::new();
        text::json_escape_into(&mut line, &row.to_string());
        line
    }
}

/// Writes an id, or an object with the id in each log of a store.
pub(super) fn positions_to_json(positions: &LogPositions, of_store: bool) -> Value {
    if of_store {
        return positions.logs().map(|(uuid, id)| (uuid.to_owned(), json!(id.0))).collect();
    }
    json!(positions.host().0)
}

fn positions_from_json(value: &Value) -> Option<LogPositions> {
    let Some(logs) = value.as_object() else {
        return Some(LogPositions::of_host(EventId(value.as_i64()?)));
    };
    let logs = logs.iter().map(|(uuid, id)| Some((uuid.clone(), EventId(id.as_i64()?))));
    Some(LogPositions::of_logs(logs.collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Action;
    use crate::event::Severity;
    use crate::event::Source;

    /// Returns the event that the log would store for a new event.
    pub(crate) fn stored(id: i64, at: Timestamp, new: &NewEvent) -> Event {
        Event {
            id: EventId(id),
            event_id: id.to_string(),
            occurred_at: at,
            recorded_at: at,
            recorded_by: Arc::from("root"),
            tenant: new.tenant.as_deref().map(Arc::from),
            source: new.source.unwrap_or(Source::Operator),
            severity: new.severity.unwrap_or(Severity::Info),
            title: new.title.as_deref().map(Arc::from),
            payload: new.payload.clone(),
            ip: new.ip.clone(),
            status_code: new.status_code,
            own: new.own,
            ..Event::minimal(Arc::new(Action {
                slug: new.action.clone(),
                module: new.module.clone(),
            }))
        }
    }

    pub(crate) fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    pub(crate) fn outcome() -> DigestOutcome {
        DigestOutcome {
            sent: true,
            since: time("2026-11-19T04:00:01.5Z"),
            until: time("2026-11-20T04:00:02.25Z"),
            through: LogPositions::of_host(EventId(48_213)),
            head: EventId(48_213),
            store: None,
            events: 19,
            recipients: vec!["ops@example.org".to_owned(), "hello@example.org".to_owned()],
            transport: "sendgrid".to_owned(),
            status: Some("202".to_owned()),
            error: None,
            maybe_duplicate: false,
            message_id: Some("14c5d75ce93".to_owned()),
            attempts: 1,
            one_off: false,
        }
    }

    #[test]
    fn an_outcome_reads_back_from_its_event() {
        let failed = DigestOutcome {
            sent: false,
            status: None,
            error: Some("cannot reach \u{1b}[31mmail.example.org".to_owned()),
            message_id: None,
            maybe_duplicate: true,
            attempts: 4,
            one_off: true,
            ..outcome()
        };
        let of_store = DigestOutcome {
            through: LogPositions::of_logs([
                ("u1".to_owned(), EventId(3)),
                ("u2".to_owned(), EventId(9)),
            ]),
            head: EventId(5),
            store: Some("postgres://central/activity".to_owned()),
            ..outcome()
        };
        for outcome in [outcome(), failed, of_store] {
            let event = stored(7, outcome.until, &outcome.to_event());
            let back = RecordedOutcome::from_event(&event).unwrap();
            assert_eq!(back, RecordedOutcome { id: EventId(7), at: outcome.until, outcome });
            assert_eq!(RecordedOutcome::from_event(&Event { own: false, ..event }), None);
        }
    }

    #[test]
    fn the_payload_has_its_documented_fields() {
        let event = outcome().to_event();
        assert_eq!(event.action, "digest.sent");
        insta::assert_snapshot!(event.payload.unwrap().as_str(), @r#"{"since":"2026-11-19T04:00:01.5Z","until":"2026-11-20T04:00:02.25Z","through":48213,"events":19,"recipients":["ops@example.org","hello@example.org"],"transport":"sendgrid","status":202,"message_id":"14c5d75ce93","attempts":1,"one_off":false}"#);
    }

    #[test]
    fn a_run_and_the_history_tell_it_in_one_line() {
        insta::assert_snapshot!(outcome().run_line(time("2026-11-20T04:00:02.9Z")), @r#"2026-11-20T04:00:02Z digest window 2026-11-19T04:00Z..2026-11-20T04:00Z events 19 to ops@example.org,hello@example.org sendgrid 202 id 14c5d75ce93"#);
        let failed = DigestOutcome { sent: false, attempts: 4, one_off: true, ..outcome() };
        let error = Some("503 Service\nUnavailable".to_owned());
        let status = Some("503".to_owned());
        let failed = DigestOutcome { status, error, message_id: None, ..failed };
        let failed = RecordedOutcome { id: EventId(7), at: failed.until, outcome: failed };
        let zone = Zone::parse("Africa/Johannesburg").unwrap();
        insta::assert_snapshot!(failed.history_line(&zone), @r#"2026-11-20T06:00:02+02:00 failed window 2026-11-19T06:00+02:00..2026-11-20T06:00+02:00 events 19 to ops@example.org,hello@example.org sendgrid 503 attempts 4 one-off: 503 Service\nUnavailable"#);
    }
}
