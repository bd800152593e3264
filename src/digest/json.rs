//! Writes a report as one JSON object for programs: its data, not the texts of the mail.
//!
//! ## Compatibility
//! Programs read these names. They are only added to.

use serde_json::Value;
use serde_json::json;

use crate::digest::outcome;
use crate::digest::report::DigestReport;
use crate::digest::report::HostActivity;
use crate::digest::tally::Impersonation;
use crate::digest::tally::PersonFailures;
use crate::event::Event;
use crate::event::Party;
use crate::text;
use crate::time::Timestamp;

impl DigestReport {
    /// Returns the report as one object. Times are RFC 3339 in UTC, and absent values are left out.
    /// `encode` writes an event as a listing does.
    pub(crate) fn to_json(&self, site: &str, encode: impl Fn(&Event, &mut String)) -> String {
        let events = |events: &[Event]| events_to_json(events, &encode);
        let window = &self.window;
        let gap = window.gap.as_ref();
        let report = json!({
            "site": site,
            "store": self.store,
            "made_at": self.made_at.to_string(),
            "since": window.since.to_string(),
            "until": window.until.to_string(),
            "through": outcome::positions_to_json(&window.through, self.store.is_some()),
            "hosts": self.store.as_ref().map(|_| {
                self.hosts.iter().map(|host| host_to_json(host, self.made_at)).collect::<Vec<_>>()
            }),
            "covers_gap": gap.is_some(),
            "clock_was_ahead_until": window.ahead_until.map(|until| until.to_string()),
            "failed_windows": gap.map(|gap| gap.failed.iter().map(|failed| {
                failed.outcome.until.to_string()
            }).collect::<Vec<_>>()),
            "unrecorded": gap.map(|gap| {
                gap.unrecorded.iter().map(ToString::to_string).collect::<Vec<_>>()
            }),
            "query": self.query.as_ref().map(ToString::to_string),
            "total": self.total,
            "before": self.previous_total,
            "kinds": self.groups.iter().map(|group| json!({
                "name": group.name,
                "query": group.query,
                "count": group.count,
                "before": group.previous_count,
                "events": events(&group.listed),
            })).collect::<Vec<_>>(),
            "late": {"count": self.late_count, "events": events(&self.late_events)},
            "ahead": self.ahead_count,
            "failures": {
                "count": self.failures,
                "before": self.previous_failures,
                "by": self.failed_attempts.iter().map(failed_to_json).collect::<Vec<_>>(),
            },
            "critical": self.critical,
            "people": self.people.iter().map(|person| json!({
                "who": party_to_json(&person.who),
                "count": person.count,
            })).collect::<Vec<_>>(),
            "impersonations":
                self.impersonations.iter().map(impersonation_to_json).collect::<Vec<_>>(),
            "own": events(&self.own_events),
            "gone_quiet": self.gone_quiet.iter().map(|quiet| json!({
                "name": quiet.name,
                "last": quiet.last.to_string(),
                "normally": quiet.frequency.to_string(),
            })).collect::<Vec<_>>(),
            "head": format!("{}:{}", self.head.0, self.head.1),
        });
        let mut out = String::new();
        text::json_escape_into(&mut out, &without_nulls(report).to_string());
        out
    }
}

fn events_to_json(events: &[Event], encode: &impl Fn(&Event, &mut String)) -> Value {
    let event_to_json = |event: &Event| {
        let mut line = String::new();
        encode(event, &mut line);
        serde_json::from_str::<Value>(&line).expect("an event is written as JSON")
    };
    events.iter().map(event_to_json).collect()
}

fn host_to_json(host: &HostActivity, now: Timestamp) -> Value {
    let (head, hash) = host.log.head;
    without_nulls(json!({
        "log": &*host.log.name,
        "uuid": host.log.uuid,
        "events": host.events,
        "head": format!("{head}:{hash}"),
        "delivered": host.log.delivered.0,
        "waiting": host.waiting(),
        "seen_at": host.log.seen_at.map(|at| at.to_string()),
        "silent": host.is_silent(now),
    }))
}

fn failed_to_json(failed: &PersonFailures) -> Value {
    without_nulls(json!({
        "action": failed.action,
        "who": failed.who.as_ref().map(party_to_json),
        "count": failed.count,
        "last": failed.last.to_string(),
    }))
}

fn impersonation_to_json(impersonation: &Impersonation) -> Value {
    without_nulls(json!({
        "by": party_to_json(&impersonation.impersonator),
        "as": impersonation.actor.as_ref().map(party_to_json),
        "count": impersonation.count,
    }))
}

fn party_to_json(party: &Party) -> Value {
    without_nulls(json!({"id": party.id, "label": party.label}))
}

/// Removes the members of an object that are null. Deeper ones stay, because an event may have them.
fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}
