//! The result of a verification of a central store, as lines and as JSON.

use serde_json::Value;
use serde_json::json;

use crate::event::EventId;
use crate::event::Hash;
use crate::store::central;
use crate::text;
use crate::verify::report::SweptTotals;
use crate::verify::report::Violation;
use crate::verify::report::ViolationKind;
use crate::verify::verified_heads::VerifiedHeads;

/// The result for one log.
#[derive(Debug)]
pub(crate) struct LogReport {
    /// The name of its host; with digits of its UUID where a host has several logs.
    pub name: String,
    pub uuid: [u8; 16],
    /// The number of events that this run found to hold.
    pub events: u64,
    /// The last id and hash that hold.
    pub head: (EventId, Hash),
    pub violations: Vec<Violation>,
    /// Whether the walk reached the end.
    pub is_whole: bool,
    /// Whether its mirror has said nothing for an hour.
    pub is_silent: bool,
    pub swept: SweptTotals,
    pub notes: Vec<String>,
}

/// The result for all logs of a store.
#[derive(Debug)]
pub(crate) struct FleetReport {
    pub logs: Vec<LogReport>,
    /// Logs that an earlier run has seen, and that are not in the store.
    pub missing_logs: Vec<[u8; 16]>,
}

impl LogReport {
    pub(super) fn new(host: &str, uuid: [u8; 16], head: (EventId, Hash)) -> Self {
        Self {
            name: host.to_owned(),
            uuid,
            events: 0,
            head,
            violations: Vec::new(),
            is_whole: false,
            is_silent: false,
            swept: SweptTotals::default(),
            notes: Vec::new(),
        }
    }

    fn line_of(&self, broken: &Violation) -> String {
        let (name, message) = (text::escape(&self.name), text::escape_lines(&broken.message));
        match (broken.kind, broken.id) {
            (ViolationKind::Event, Some(id)) => format!("broken at {name}/{id}: {message}"),
            _ => format!("broken: {name}: {message}"),
        }
    }

    fn to_json(&self) -> Value {
        let (id, hash) = self.head;
        let violation = |broken: &Violation| {
            let mut object = broken.to_json();
            if let Some(id) = broken.id {
                object["at"] = format!("{}/{id}", self.name).into();
            }
            object
        };
        json!({
            "log": self.name,
            "uuid": central::uuid_text(&self.uuid),
            "holds": self.violations.is_empty(),
            "events": self.events,
            "head": {"id": id.0, "hash": hash.to_string()},
            "broken": self.violations.iter().map(violation).collect::<Vec<Value>>(),
            "swept": {"events": self.swept.events, "ranges": self.swept.ranges},
            "silent": self.is_silent,
            "notes": self.notes,
        })
    }
}

impl FleetReport {
    /// Takes the results of the logs, in their order; a host's logs are told apart.
    pub(super) fn new(mut logs: Vec<LogReport>) -> Self {
        let hosts: Vec<(String, String)> =
            logs.iter().map(|log| (log.name.clone(), central::uuid_text(&log.uuid))).collect();
        for (log, name) in logs.iter_mut().zip(central::distinct_log_names(&hosts)) {
            log.name = name;
        }
        Self { logs, missing_logs: Vec::new() }
    }

    /// Whether every log holds, and none is gone.
    pub(crate) fn holds(&self) -> bool {
        self.missing_logs.is_empty() && self.logs.iter().all(|log| log.violations.is_empty())
    }

    /// Returns the lines for standard output: that a log holds, or each violation.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for log in &self.logs {
            if log.violations.is_empty() {
                let (id, hash) = log.head;
                let name = text::escape(&log.name);
                lines.push(format!("{name}: holds: {} events, head {id}:{hash}", log.events));
            } else {
                lines.extend(log.violations.iter().map(|broken| log.line_of(broken)));
            }
        }
        lines.extend(self.missing_logs.iter().map(|uuid| {
            format!("broken: the log {} is no more in the store", central::uuid_text(uuid))
        }));
        lines
    }

    /// Returns the lines for standard error, which are good to know.
    pub(crate) fn notes(&self) -> Vec<String> {
        let of_log = |log: &LogReport| {
            let name = text::escape(&log.name).into_owned();
            let notes = log.notes.iter().map(move |note| format!("{name}: {note}"));
            notes.collect::<Vec<_>>()
        };
        self.logs.iter().flat_map(of_log).collect()
    }

    /// Returns everything as one object.
    pub(crate) fn to_json(&self) -> String {
        let missing: Vec<String> = self.missing_logs.iter().map(central::uuid_text).collect();
        let report = json!({
            "holds": self.holds(),
            "events": self.logs.iter().map(|log| log.events).sum::<u64>(),
            "logs": self.logs.iter().map(LogReport::to_json).collect::<Vec<Value>>(),
            "missing_logs": missing,
        });
        let mut escaped = String::new();
        text::json_escape_into(&mut escaped, &report.to_string());
        escaped
    }

    /// Returns what the next run may go on behind: the heads of the logs that hold, and what was known
    /// before of the others.
    pub(crate) fn verified_heads(&self, before: &VerifiedHeads) -> VerifiedHeads {
        let mut heads = before.clone();
        for log in self.logs.iter().filter(|log| log.violations.is_empty()) {
            heads.insert(log.uuid, log.head);
        }
        heads
    }
}
