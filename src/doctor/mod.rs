//! Whether a host is set up: its log, its config, its mail, its schedules, and when they last ran.
//!
//! What is there is looked at first and judged afterwards, by functions that see no file, no clock
//! and no process. Nothing here changes anything. A check is *ok*, a *note* (good to know, and it may
//! be meant so) or *bad*; all is well when none is bad. Whether the log's chain holds is not looked
//! at: that is `verify`'s.

mod config;
mod crontab;
mod file_access;
mod last_runs;
mod log;
mod mail;
mod schedule;
mod systemd_units;

#[cfg(test)]
mod tests;

use anyhow::Result;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::digest::mail_settings::MailCredentials;
use crate::digest::outcome::RecordedOutcome;
use crate::digest::template_context::RenderOptions;
use crate::failure;
use crate::failure::Failure;
use crate::render::Finding;
use crate::render::Section;
use crate::render::Status;
use crate::settings::Origin;
use crate::settings::Settings;
use crate::store::LocalLog;
use crate::text;
use crate::time::Timestamp;

pub(crate) use crate::doctor::schedule::Host;

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Log,
    Config,
    Mail,
    Schedules,
    LastRuns,
    Mirrors,
    Clock,
}

impl Area {
    const ALL: [Self; 7] = [
        Self::Log,
        Self::Config,
        Self::Mail,
        Self::Schedules,
        Self::LastRuns,
        Self::Mirrors,
        Self::Clock,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::Mail => "mail",
            Self::Schedules => "schedules",
            Self::LastRuns => "last runs",
            Self::Mirrors => "mirrors",
            Self::Clock => "clock",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    area: Area,
    name: String,
    status: Status,
    value: String,
    origin: Option<Origin>,
    advice: Option<String>,
    /// Whether it only tells what holds: a person reads many of them on one line.
    is_setting: bool,
}

impl Check {
    fn new(area: Area, name: &str, status: Status, value: impl Into<String>) -> Self {
        Self {
            area,
            name: name.to_owned(),
            status,
            value: value.into(),
            origin: None,
            advice: None,
            is_setting: false,
        }
    }

    /// What holds for a key, and who says so.
    fn setting(key: &str, value: impl Into<String>, origin: Origin) -> Self {
        let check = Self::new(Area::Config, key, Status::Ok, value);
        Self { origin: Some(origin), is_setting: true, ..check }
    }

    fn with_origin(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
    }

    fn with_advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// What failed, with its hint for an advice.
    fn from_failure(area: Area, name: &str, failure: Failure) -> Self {
        Self { advice: failure.hint, ..Self::new(area, name, Status::Bad, failure.message) }
    }

    fn to_json(&self) -> Value {
        let mut check = Map::new();
        let name = if self.is_setting { self.name.clone() } else { self.name.replace(' ', "_") };
        check.insert("area".to_owned(), self.area.name().replace(' ', "_").into());
        check.insert("check".to_owned(), name.into());
        check.insert("status".to_owned(), self.status.name().to_lowercase().into());
        check.insert("value".to_owned(), self.value.as_str().into());
        if let Some(origin) = self.origin {
            check.insert("origin".to_owned(), origin.to_string().into());
        }
        if let Some(advice) = &self.advice {
            check.insert("advice".to_owned(), advice.as_str().into());
        }
        Value::Object(check)
    }
}

/// What is looked at.
pub(crate) struct CheckInputs<'a> {
    pub settings: &'a Settings,
    /// Why the config cannot be read; the settings are then those without it.
    pub config_error: Option<&'a anyhow::Error>,
    /// The log, or why it cannot be opened. Absent where nobody knows who may read it.
    pub log: Option<Result<LocalLog>>,
    /// The bytes that are left beside the log, where the system tells.
    pub free_bytes: Option<u64>,
    pub credentials: MailCredentials<'a>,
    pub page_setting: RenderOptions<'a>,
    pub now: Timestamp,
    pub host: &'a Host<'a>,
}

/// What was found.
pub(crate) struct Diagnosis {
    checks: Vec<Check>,
}

/// Looks at everything.
pub(crate) fn examine(subject: &CheckInputs<'_>) -> Diagnosis {
    let found = log::inspect(subject);
    let mut checks = log::evaluate(&found, subject);
    checks.extend(config::evaluate(subject));
    let is_sent = |digest: &RecordedOutcome| digest.outcome.sent;
    let is_tried = found.contents().is_some_and(|log| log.digests.iter().any(is_sent));
    checks.extend(mail::evaluate(subject, is_tried));
    let wants = config::ConfiguredJobs::from_settings(subject.settings);
    checks.extend(schedule::evaluate(
        &schedule::inspect(subject.host),
        wants.retention,
        subject.host,
    ));
    checks.extend(config::check_overrides(subject.settings));
    if let Some(contents) = found.contents() {
        checks.extend(last_runs::evaluate(
            contents,
            &wants,
            subject.now,
            subject.page_setting.zone,
        ));
        checks.extend(last_runs::check_clocks(contents, subject.now, subject.page_setting.zone));
    }
    checks.extend(config::check_mirrors(subject.settings));
    Diagnosis { checks }
}

impl Diagnosis {
    /// Whether nothing is bad.
    pub(crate) fn is_healthy(&self) -> bool {
        self.count(Status::Bad) == 0
    }

    fn count(&self, status: Status) -> u64 {
        self.checks.iter().filter(|check| check.status == status).count() as u64
    }

    /// One JSON object, for a program.
    pub(crate) fn to_json(&self) -> String {
        let checks: Vec<Value> = self.checks.iter().map(Check::to_json).collect();
        let mut out = String::new();
        text::json_escape_into(
            &mut out,
            &json!({"ok": self.is_healthy(), "checks": checks}).to_string(),
        );
        out
    }

    /// The same for a person.
    pub(crate) fn sections(&self) -> Vec<Section> {
        let of = |area: Area| self.checks.iter().filter(move |check| check.area == area);
        let sections = Area::ALL.map(|area| {
            let checks = of(area).filter(|check| !check.is_setting);
            let mut findings: Vec<Finding> = checks.map(to_finding).collect();
            findings.extend(setting_findings(of(area).filter(|check| check.is_setting)));
            Section { name: area.name(), findings }
        });
        sections.into_iter().filter(|section| !section.findings.is_empty()).collect()
    }

    /// What it comes to.
    pub(crate) fn verdict(&self) -> (Status, String) {
        let notes = match self.count(Status::Note) {
            0 => String::new(),
            notes => format!(", {}", text::plural(notes, "note")),
        };
        match self.count(Status::Bad) {
            0 => (Status::Ok, format!("all is well{notes}")),
            1 => (Status::Bad, format!("1 thing is BAD{notes}")),
            bad => (Status::Bad, format!("{bad} things are BAD{notes}")),
        }
    }
}

fn to_finding(check: &Check) -> Finding {
    let origin = check.origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
    Finding {
        status: Some(check.status),
        name: check.name.clone(),
        value: format!("{}{origin}", check.value),
        advice: check.advice.clone(),
    }
}

/// What only tells what holds, a line for each sort of place that says so.
fn setting_findings<'a>(checks: impl Iterator<Item = &'a Check>) -> Vec<Finding> {
    let mut lines = ["flag", "variable", "config", "default"].map(|place| (place, Vec::new()));
    for check in checks {
        let told = format!("{} = {}", check.name, check.value);
        let (place, told) = match check.origin {
            Some(Origin::Flag(name)) => (0, format!("{told} ({name})")),
            Some(Origin::Variable(name)) => (1, format!("{told} ({name})")),
            Some(Origin::Config) => (2, told),
            Some(Origin::Default) | None => (3, told),
        };
        lines[place].1.push(told);
    }
    let said = lines.into_iter().filter(|(_, told)| !told.is_empty());
    let line = |(place, told): (&str, Vec<String>)| Finding {
        status: None,
        name: place.to_owned(),
        value: told.join("; "),
        advice: None,
    };
    said.map(line).collect()
}

/// An error on one line.
fn reason_and_hint(error: &anyhow::Error) -> (String, Option<String>) {
    let hint = error.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone());
    (failure::describe(error), hint)
}
