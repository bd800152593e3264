//! One line for one event: when, who, what, where. The log's own events in words.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::digest::outcome;
use crate::digest::tally::Failed;
use crate::digest::view::Setting;
use crate::digest::window::Window;
use crate::digest::words;
use crate::event::Event;
use crate::event::Party;
use crate::event::Source;
use crate::event::Target;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The columns that a name or a label gets, and a sentence.
pub(super) const LABEL: usize = 48;
pub(super) const SENTENCE: usize = 240;
/// An id in the place of a label is cut to so many.
const ID: usize = 16;

/// An event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// `05:41`, with its day where the window is longer than one.
    pub time: String,
    /// `James Compton (by Jerome Cruz)`.
    pub who: String,
    /// The title, else the action, with the status where it failed: `Signed in (401)`.
    pub what: String,
    /// The record, else where it came from; may be empty.
    pub target: String,
    pub failed: bool,
}

/// Writes the lines of one digest.
pub(super) struct Lines<'a> {
    zone: &'a Zone,
    system_label: &'a str,
    clock: TimeFormat,
}

/// Text that is not ours, safe to show and not too long.
pub(super) fn shown(text: &str, columns: usize) -> String {
    text::truncate(&text::escape(text), columns).into_owned()
}

/// A person by the label, else by the id.
pub(super) fn party(party: &Party) -> String {
    match (&party.label, &party.id) {
        (Some(label), _) => shown(label, LABEL),
        (None, Some(id)) => shown(id, ID),
        (None, None) => "(anonymous)".to_owned(),
    }
}

impl<'a> Lines<'a> {
    pub(super) fn new(setting: &Setting<'a>, window: &Window) -> Self {
        let clock =
            if words::is_a_day(window) { TimeFormat::TimeOfDay } else { TimeFormat::WeekdayTime };
        Self { zone: setting.zone, system_label: setting.system_label, clock }
    }

    pub(super) fn line(&self, event: &Event) -> Line {
        self.line_at(event, self.clock)
    }

    /// With the day and the clock, for what occurred outside the window.
    pub(super) fn dated(&self, event: &Event) -> Line {
        self.line_at(event, TimeFormat::WeekdayTime)
    }

    fn line_at(&self, event: &Event, clock: TimeFormat) -> Line {
        let failed = event.is_failed();
        let what = event.title.as_deref().unwrap_or(&event.action.slug);
        let mut what = shown(what, LABEL);
        if let Some(status) = event.status_code.filter(|_| failed) {
            write!(what, " ({status})").expect("a String takes all");
        } else if failed && event.title.is_some() {
            what.push_str(" (failed)");
        }
        let target =
            event.target.as_deref().map(record).or_else(|| event.ip.as_deref().map(network));
        Line {
            time: self.zone.format(event.occurred_at, clock),
            who: self.who(event),
            what,
            target: target.unwrap_or_default(),
            failed,
        }
    }

    fn who(&self, event: &Event) -> String {
        let actor = match (&event.actor, event.source) {
            (Some(actor), _) => party(actor),
            (None, Source::System | Source::Cron) => shown(self.system_label, LABEL),
            (None, Source::Operator | Source::Api) => "(anonymous)".to_owned(),
        };
        match &event.impersonator {
            Some(impersonator) => format!("{actor} (by {})", party(impersonator)),
            None => actor,
        }
    }

    /// `auth.login_failed by James Compton, last at 05:12`.
    pub(super) fn failed(&self, failed: &Failed) -> String {
        let action = shown(&failed.action, LABEL);
        let who = failed.who.as_ref().map_or_else(String::new, |who| format!(", {}", party(who)));
        format!("{action}{who}, last at {}", self.zone.format(failed.last, self.clock))
    }

    pub(super) fn clock(&self, at: Timestamp) -> String {
        self.zone.format(at, self.clock)
    }

    /// What the log did about itself, in words: `export of 412 events by alice at 16:20`.
    pub(super) fn own(&self, event: &Event) -> String {
        let payload = event.payload.as_ref().map(|payload| payload.as_str()).unwrap_or("{}");
        let payload: Value = serde_json::from_str(payload).unwrap_or_default();
        let at = self.clock(event.occurred_at);
        let number = |key: &str| payload[key].as_u64().unwrap_or(0);
        let name = |key: &str| shown(payload[key].as_str().unwrap_or("?"), LABEL);
        match event.action.slug.as_str() {
            "log.export" => {
                let by = event.actor.as_deref().map(party).unwrap_or_default();
                format!("export of {} by {by} at {at}", words::counted(number("rows"), "event"))
            }
            "retention.sweep" => {
                format!("sweep at {at} removed {}", text::format_thousands(number("count")))
            }
            outcome::SENT => match payload["one_off"].as_bool() {
                Some(true) => format!("one-off digest at {at} sent"),
                _ => format!("digest at {at} sent"),
            },
            outcome::FAILED => format!("digest at {at} failed"),
            "mirror.failing" => format!("mirror {} failing since {at}", name("mirror")),
            "mirror.recovered" => format!("mirror {} recovered at {at}", name("mirror")),
            "mirror.dead" => format!("mirror {} gave up on an event at {at}", name("mirror")),
            other => format!("{} at {at}", shown(other, LABEL)),
        }
    }
}

fn record(target: &Target) -> String {
    match (&target.label, &target.kind, &target.id) {
        (Some(label), ..) => shown(label, LABEL),
        (None, Some(kind), Some(id)) => format!("{}/{}", shown(kind, ID), shown(id, LABEL)),
        (None, Some(text), None) | (None, None, Some(text)) => shown(text, LABEL),
        (None, None, None) => String::new(),
    }
}

/// The network of an address: a mail lies about for years, and where somebody lives is nobody's
/// business there.
fn network(ip: &str) -> String {
    match ip.parse() {
        Ok(IpAddr::V4(ip)) => {
            let [a, b, ..] = ip.octets();
            format!("{a}.{b}.x.x")
        }
        Ok(IpAddr::V6(ip)) => {
            let [a, b, ..] = ip.segments();
            format!("{a:x}:{b:x}:…")
        }
        Err(_) => shown(ip, ID),
    }
}
