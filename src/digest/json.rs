//! A report as one JSON object, for programs: the data of the report, not the words of the mail.

use serde_json::Value;
use serde_json::json;

use crate::digest::report::Report;
use crate::event::Event;
use crate::event::Party;
use crate::text;

impl Report {
    /// The report as one object. Times are RFC 3339 in UTC, what is absent is left out; `encode`
    /// writes an event as a listing would.
    pub(crate) fn json(&self, site: &str, encode: impl Fn(&Event, &mut String)) -> String {
        let events = |events: &[Event]| -> Value {
            let event = |event: &Event| {
                let mut line = String::new();
                encode(event, &mut line);
                serde_json::from_str::<Value>(&line).expect("an event is written as JSON")
            };
            events.iter().map(event).collect()
        };
        let window = &self.window;
        let failed_windows = window.gap.as_ref().map(|gap| {
            gap.failed.iter().map(|failed| failed.outcome.until.to_string()).collect::<Vec<_>>()
        });
        let unrecorded = window
            .gap
            .as_ref()
            .map(|gap| gap.unrecorded.iter().map(ToString::to_string).collect::<Vec<_>>());
        let report = json!({
            "site": site,
            "made_at": self.made_at.to_string(),
            "since": window.since.to_string(),
            "until": window.until.to_string(),
            "through": window.through.0,
            "covers_gap": window.gap.is_some(),
            "failed_windows": failed_windows,
            "unrecorded": unrecorded,
            "query": self.query.as_ref().map(ToString::to_string),
            "total": self.total,
            "before": self.before,
            "kinds": self.groups.iter().map(|group| json!({
                "name": group.name,
                "query": group.query,
                "count": group.count,
                "before": group.before,
                "events": events(&group.listed),
            })).collect::<Vec<_>>(),
            "late": {"count": self.late, "events": events(&self.late_listed)},
            "ahead": self.ahead,
            "failures": {
                "count": self.failures,
                "before": self.failures_before,
                "by": self.failed.iter().map(|failed| present(json!({
                    "action": failed.action,
                    "who": failed.who.as_ref().map(party),
                    "count": failed.count,
                    "last": failed.last.to_string(),
                }))).collect::<Vec<_>>(),
            },
            "critical": self.critical,
            "people": self.people.iter().map(|person| json!({
                "who": party(&person.who),
                "count": person.count,
            })).collect::<Vec<_>>(),
            "impersonations": self.impersonations.iter().map(|one| present(json!({
                "by": party(&one.by),
                "as": one.seen_as.as_ref().map(party),
                "count": one.count,
            }))).collect::<Vec<_>>(),
            "own": events(&self.own),
            "gone_quiet": self.quiet.iter().map(|quiet| json!({
                "name": quiet.name,
                "last": quiet.last.to_string(),
                "normally": quiet.pace.to_string(),
            })).collect::<Vec<_>>(),
            "head": format!("{}:{}", self.head.0, self.head.1),
        });
        let mut out = String::new();
        text::json_escape_into(&mut out, &present(report).to_string());
        out
    }
}

fn party(party: &Party) -> Value {
    present(json!({"id": party.id, "label": party.label}))
}

/// An object without its members that are null; those deeper down may be an event's own.
fn present(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}
