//! Checks whether a host is set up: its log, its config, its mail, its schedules and their last
//! runs; or a central store: its server, its tables, and each host that writes to it.
//!
//! The modules first collect facts and then judge them, in functions that see no file, no clock and
//! no process. Nothing here changes anything. A check is *ok*, a *note* (good to know, and perhaps
//! intended) or *bad*; the host is healthy when no check is bad. The chain of the log is not
//! checked here: `verify` does that.

mod accounts;
mod config;
mod cron_file;
mod cron_time;
mod crontab;
mod fault;
mod file_access;
mod last_runs;
mod log;
mod mail;
mod mirrors;
mod roles;
mod schedule;
pub(crate) mod store;
mod systemd_units;

#[cfg(test)]
mod tests;

use anyhow::Result;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::digest::mail_context::MailContext;
use crate::digest::mail_settings::MailCredentials;
use crate::digest::outcome::RecordedOutcome;
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

/// The subject of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Log,
    Store,
    Hosts,
    Config,
    Access,
    Mail,
    Schedules,
    LastRuns,
    Mirrors,
    Clock,
}

impl Area {
    const ALL: [Self; 10] = [
        Self::Log,
        Self::Store,
        Self::Hosts,
        Self::Config,
        Self::Access,
        Self::Mail,
        Self::Schedules,
        Self::LastRuns,
        Self::Mirrors,
        Self::Clock,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Store => "store",
            Self::Hosts => "hosts",
            Self::Config => "config",
            Self::Access => "access",
            Self::Mail => "mail",
            Self::Schedules => "schedules",
            Self::LastRuns => "last runs",
            Self::Mirrors => "mirrors",
            Self::Clock => "clock",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    area: Area,
    name: String,
    status: Status,
    value: String,
    origin: Option<Origin>,
    advice: Option<String>,
    /// Whether it only reports a setting: the screen shows many of them on one line.
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

    /// A setting: its value and the source of the value.
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

    /// A failure, with its hint as the advice.
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

/// Everything that the checks look at.
pub(crate) struct CheckInputs<'a> {
    pub settings: &'a Settings,
    /// The reason why the config cannot be read; the settings are then those without it.
    pub config_error: Option<&'a anyhow::Error>,
    /// The log, or the reason why it cannot be opened. Absent where the config, which says who may
    /// read it, cannot be read.
    pub log: Option<Result<LocalLog>>,
    /// The free bytes on the log's disk, where the system reports them.
    pub free_bytes: Option<u64>,
    pub credentials: MailCredentials<'a>,
    pub mail_context: MailContext<'a>,
    pub now: Timestamp,
    pub host: &'a Host<'a>,
}

/// The results of all checks.
pub(crate) struct Diagnosis {
    checks: Vec<Check>,
}

/// A setting that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingRow {
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

/// Returns the settings that hold, without secrets.
pub(crate) fn setting_rows(settings: &Settings, keys: MailCredentials<'_>) -> Vec<SettingRow> {
    let file = settings.config_file.as_ref().map(|file| SettingRow {
        key: "config".to_owned(),
        value: file.value.display().to_string(),
        origin: file.origin,
    });
    let checks = config::setting_checks(settings, keys, true).into_iter();
    let rows = checks.filter_map(|check| {
        Some(SettingRow { key: check.name, value: check.value, origin: check.origin? })
    });
    file.into_iter().chain(rows).collect()
}

/// Runs all checks.
pub(crate) fn examine(subject: &CheckInputs<'_>) -> Diagnosis {
    let found = log::inspect(subject);
    let mut checks = log::evaluate(&found, subject);
    checks.extend(config::evaluate(subject));
    checks.extend(roles::evaluate(subject, found.contents()));
    let is_sent = |digest: &RecordedOutcome| digest.outcome.sent;
    let is_tried = found.contents().is_some_and(|log| log.digests.iter().any(is_sent));
    checks.extend(mail::evaluate(subject, is_tried));
    let wants = config::ConfiguredJobs::from_settings(subject.settings);
    checks.extend(schedule::evaluate(&schedule::inspect(subject.host), &wants, subject.host));
    checks.extend(config::check_overrides(subject.settings));
    if let Some(contents) = found.contents() {
        checks.extend(last_runs::evaluate(
            contents,
            &wants,
            subject.now,
            subject.mail_context.zone,
        ));
        checks.extend(last_runs::check_clocks(contents, subject.now, subject.mail_context.zone));
    }
    checks.extend(mirrors::evaluate(subject));
    Diagnosis { checks }
}

impl Diagnosis {
    /// Whether no check is bad.
    pub(crate) fn is_healthy(&self) -> bool {
        self.count(Status::Bad) == 0
    }

    fn count(&self, status: Status) -> u64 {
        self.checks.iter().filter(|check| check.status == status).count() as u64
    }

    /// Returns the results as one JSON object, for a program.
    pub(crate) fn to_json(&self) -> String {
        let checks: Vec<Value> = self.checks.iter().map(Check::to_json).collect();
        let mut out = String::new();
        text::json_escape_into(
            &mut out,
            &json!({"ok": self.is_healthy(), "checks": checks}).to_string(),
        );
        out
    }

    /// Returns the results as sections, for a person.
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

    /// Returns the verdict on the host as a status and a sentence.
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

/// The settings as findings: one line for each sort of source.
fn setting_findings<'a>(checks: impl Iterator<Item = &'a Check>) -> Vec<Finding> {
    let mut lines = ["flag", "variable", "config", "default"].map(|place| (place, Vec::new()));
    for check in checks {
        let setting = format!("{} = {}", check.name, check.value);
        let (place, setting) = match check.origin {
            Some(Origin::Flag(name)) => (0, format!("{setting} ({name})")),
            Some(Origin::Variable(name)) => (1, format!("{setting} ({name})")),
            Some(Origin::Config) => (2, setting),
            Some(Origin::Default) | None => (3, setting),
        };
        lines[place].1.push(setting);
    }
    let used = lines.into_iter().filter(|(_, settings)| !settings.is_empty());
    let line = |(place, settings): (&str, Vec<String>)| Finding {
        status: None,
        name: place.to_owned(),
        value: settings.join("; "),
        advice: None,
    };
    used.map(line).collect()
}

/// The message of an error on one line, and its hint.
fn reason_and_hint(error: &anyhow::Error) -> (String, Option<String>) {
    let hint = error.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone());
    (failure::describe(error), hint)
}
