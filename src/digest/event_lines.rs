//! Formats events as lines: the time, the person, the action and the target. The log's own events
//! become phrases.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::digest::mail_context::MailContext;
use crate::digest::outcome;
use crate::digest::phrases;
use crate::digest::tally::PersonFailures;
use crate::digest::window::DigestWindow;
use crate::event::Event;
use crate::event::Source;
use crate::event::Target;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// An event as a line of a mail.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EventLine {
    /// `05:41`, with the day where the window is not one day long.
    pub time: String,
    /// The name of its log, where a central store has several; else empty.
    pub host: String,
    /// `James Compton (by Jerome Cruz)`.
    pub who: String,
    /// The title or else the action, with the status of a failure: `Signed in (401)`. The action is left
    /// out below a heading that names it.
    pub what: String,
    /// The target, or else the network that the event came from; may be empty.
    pub target: String,
    pub failed: bool,
}

/// Formats the lines of one mail.
pub(crate) struct EventLineFormatter<'a> {
    zone: &'a Zone,
    system_label: &'a str,
    time_style: TimeFormat,
    /// The end of the window.
    until: Timestamp,
}

impl<'a> EventLineFormatter<'a> {
    pub(super) fn new(options: &MailContext<'a>, window: &DigestWindow) -> Self {
        let time_style =
            if phrases::is_a_day(window) { TimeFormat::TimeOfDay } else { TimeFormat::WeekdayTime };
        let MailContext { zone, system_label, .. } = *options;
        Self { zone, system_label, time_style, until: window.until }
    }

    /// Formats an event below the heading of its action, or of a kind.
    pub(super) fn format_event(&self, event: &Event, is_below_action: bool) -> EventLine {
        let mut line = self.format_event_in_style(event, self.time_style);
        if is_below_action && event.title.is_none() {
            line.what = match event.status_code.filter(|_| line.failed) {
                Some(status) => format!("({status})"),
                None => String::new(),
            };
        }
        line
    }

    /// Says of a critical event when, who and what: `05:41: Jerome Cruz, page.delete, Old pricing.`
    pub(super) fn format_critical(&self, event: &Event) -> String {
        let line = self.format_event_in_style(event, self.time_style);
        let parts = [line.host, line.who, line.what, line.target];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("Critical at {}: {}.", line.time, parts.join(", "))
    }

    /// Formats events outside of a digest; `now` is the time of the mail.
    pub(crate) fn outside_of_digest(
        zone: &'a Zone,
        system_label: &'a str,
        time_style: TimeFormat,
        now: Timestamp,
    ) -> Self {
        Self { zone, system_label, time_style, until: now }
    }

    /// Formats an event outside of a digest: its action where it has no title.
    pub(crate) fn format_whole_event(&self, event: &Event) -> EventLine {
        self.format_event_in_style(event, self.time_style)
    }

    /// Formats an event that occurred outside the window, with its day.
    pub(super) fn format_event_with_day(&self, event: &Event) -> EventLine {
        let style = phrases::dated_style(event.occurred_at, self.until, self.zone);
        self.format_event_in_style(event, style)
    }

    fn format_event_in_style(&self, event: &Event, time_style: TimeFormat) -> EventLine {
        let failed = event.is_failed();
        let what = event.title.as_deref().unwrap_or(&event.action.slug);
        let mut what = phrases::escape_label(what);
        if let Some(status) = event.status_code.filter(|_| failed) {
            write!(what, " ({status})").expect("a String takes all");
        } else if failed && event.title.is_some() {
            what.push_str(" (failed)");
        }
        let target = event
            .target
            .as_deref()
            .map(format_target)
            .or_else(|| event.ip.as_deref().map(format_network));
        EventLine {
            time: self.zone.format(event.occurred_at, time_style),
            host: event.log.as_deref().map(phrases::escape_label).unwrap_or_default(),
            who: self.format_actor(event),
            what,
            target: target.unwrap_or_default(),
            failed,
        }
    }

    fn format_actor(&self, event: &Event) -> String {
        let actor = match (&event.actor, event.source) {
            (Some(actor), _) => phrases::format_party(actor),
            (None, Source::System | Source::Cron) => phrases::escape_label(self.system_label),
            (None, Source::Operator | Source::Api) => "(anonymous)".to_owned(),
        };
        match &event.impersonator {
            Some(impersonator) => format!("{actor} (by {})", phrases::format_party(impersonator)),
            None => actor,
        }
    }

    /// Formats repeated failures: `auth.login_failed, James Compton, last at 05:12`.
    pub(super) fn format_failed_attempts(
        &self,
        failed: &PersonFailures,
        who: Option<String>,
    ) -> String {
        let action = phrases::escape_label(&failed.action);
        let who = who.map_or_else(String::new, |who| format!(", {who}"));
        format!("{action}{who}, last at {}", self.zone.format(failed.last, self.time_style))
    }

    pub(super) fn format_time(&self, at: Timestamp) -> String {
        self.zone.format(at, self.time_style)
    }

    /// Formats one of the log's own events: `export of 412 events by alice at 16:20`; with `web3: ` before
    /// it, where a central store has several logs.
    pub(super) fn format_own_event(&self, event: &Event) -> String {
        let act = self.format_own_act(event);
        match &event.log {
            Some(host) => format!("{}: {act}", phrases::escape_label(host)),
            None => act,
        }
    }

    fn format_own_act(&self, event: &Event) -> String {
        let payload = event.payload.as_ref().map(|payload| payload.as_str()).unwrap_or("{}");
        let payload: Value = serde_json::from_str(payload).unwrap_or_default();
        let at = self.format_time(event.occurred_at);
        let number = |key: &str| payload[key].as_u64().unwrap_or(0);
        let name = |key: &str| phrases::escape_label(payload[key].as_str().unwrap_or("?"));
        match event.action.slug.as_str() {
            "log.export" => {
                let by = event.actor.as_deref().map(phrases::format_party).unwrap_or_default();
                format!(
                    "export of {} by {by} at {at}",
                    phrases::format_count(number("rows"), "event")
                )
            }
            "retention.sweep" => {
                format!("sweep at {at} removed {}", text::format_thousands(number("count")))
            }
            outcome::SENT_ACTION => match payload["one_off"].as_bool() {
                Some(true) => format!("one-off digest at {at} sent"),
                _ => format!("digest at {at} sent"),
            },
            outcome::FAILED_ACTION => format!("digest at {at} failed"),
            "mirror.failing" => format!("mirror {} failing since {at}", name("mirror")),
            "mirror.recovered" => format!("mirror {} recovered at {at}", name("mirror")),
            "mirror.dead" => format!("mirror {} gave up on an event at {at}", name("mirror")),
            other => format!("{} at {at}", phrases::escape_label(other)),
        }
    }
}

fn format_target(target: &Target) -> String {
    match (&target.label, &target.kind, &target.id) {
        (Some(label), ..) => phrases::escape_label(label),
        (None, Some(kind), Some(id)) => {
            format!("{}/{}", phrases::escape_id(kind), phrases::escape_label(id))
        }
        (None, Some(text), None) | (None, None, Some(text)) => phrases::escape_label(text),
        (None, None, None) => String::new(),
    }
}

/// Returns the network of an address. A mail is kept for years and must not tell where a person lives.
fn format_network(ip: &str) -> String {
    match ip.parse() {
        Ok(IpAddr::V4(ip)) => {
            let [a, b, ..] = ip.octets();
            format!("{a}.{b}.x.x")
        }
        Ok(IpAddr::V6(ip)) => {
            let [a, b, ..] = ip.segments();
            format!("{a:x}:{b:x}:…")
        }
        Err(_) => phrases::escape_id(ip),
    }
}
