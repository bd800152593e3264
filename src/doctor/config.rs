//! The checks of the config: its file, its settings, and the source of each setting.

use crate::digest::deliver::RetryPolicy;
use crate::digest::mail_settings::MailCredentials;
use crate::digest::phrases::format_bytes;
use crate::digest::run;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::CheckInputs;
use crate::doctor::file_access::FileAccess;
use crate::doctor::reason_and_hint;
use crate::render::Status;
use crate::settings::Origin;
use crate::settings::Settings;
use crate::text;
use crate::time::Span;

/// The jobs that the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConfiguredJobs {
    /// Whether a digest has a recipient.
    pub digest: bool,
    /// Whether a rule removes events.
    pub retention: bool,
    /// Whether a mirror or an alert is enabled.
    pub mirrors: bool,
}

impl ConfiguredJobs {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        let config = &settings.config;
        let retention = &config.retention;
        let mirrors = config.mirrors.iter().map(|mirror| &mirror.pace);
        let mut paces = mirrors.chain(config.alerts.iter().map(|alert| &alert.pace));
        Self {
            digest: !config.digest.to.is_empty(),
            retention: retention.keep.is_some() || !retention.rules.is_empty(),
            mirrors: paces.any(|pace| pace.enabled),
        }
    }
}

pub(super) fn evaluate(subject: &CheckInputs<'_>) -> Vec<Check> {
    let mut checks = vec![check_file(subject)];
    if subject.config_error.is_none() {
        checks.push(check_retention(subject.settings));
    }
    // The config may name another log, so without it only a log that the call names is known.
    let log_is_known = subject.config_error.is_none() || subject.settings.has_explicit_log();
    checks.extend(setting_checks(subject.settings, subject.credentials, log_is_known));
    checks
}

fn check_file(subject: &CheckInputs<'_>) -> Check {
    let check = |status, value: String| Check::new(Area::Config, "file", status, value);
    if let Some(error) = subject.config_error {
        let (what, hint) = reason_and_hint(error);
        return Check { advice: hint, ..check(Status::Bad, what) };
    }
    let Some(file) = &subject.settings.config_file else {
        return check(Status::Note, "none, so the defaults hold".to_owned())
            .with_advice("/etc/activity/config.toml is where it is looked for");
    };
    let path = file.value.display();
    let Some(owner) = FileAccess::read(&file.value) else {
        return check(Status::Ok, path.to_string()).with_origin(file.origin);
    };
    let value = format!("{path}, {}", owner.describe());
    let check = if owner.is_writable_by_group_or_others() {
        check(Status::Bad, value).with_advice("others may say what is run and mailed: chmod go-w")
    } else if owner.uid != 0 && owner.uid != subject.credentials.trusted_uid {
        check(Status::Bad, value).with_advice("it belongs neither to root nor to you: chown root")
    } else {
        check(Status::Ok, value)
    };
    check.with_origin(file.origin)
}

fn check_retention(settings: &Settings) -> Check {
    let check = |status, value: String| Check::new(Area::Config, "retention", status, value);
    let retention = &settings.config.retention;
    let rules = retention.rules.len() as u64;
    let keep = retention.keep.map(|keep| format!("keep {keep}"));
    let periods: Vec<String> =
        keep.into_iter().chain((rules > 0).then(|| text::plural(rules, "rule"))).collect();
    if periods.is_empty() {
        return check(Status::Note, "none, so nothing is removed".to_owned()).with_advice(
            "[retention] keep = \"365d\" in the config sets how long events are kept",
        );
    }
    check(Status::Ok, periods.join(", "))
}

/// The settings, each with its source.
pub(super) fn setting_checks(
    settings: &Settings,
    keys: MailCredentials<'_>,
    log_is_known: bool,
) -> Vec<Check> {
    let config = &settings.config;
    let written = config.entries();
    let is_written = |key: &str| written.iter().any(|written| written.key == key);
    let mut all = Vec::new();
    if let Some(db) = settings.db().ok().filter(|_| log_is_known) {
        all.push(Check::setting("db", db.value.display().to_string(), db.origin));
    }
    if let Ok(zone) = settings.zone() {
        all.push(Check::setting("tz", zone.value.name(), zone.origin));
    }
    let terms = RetryPolicy::default();
    let wait = Span::from_seconds(terms.first_wait.as_secs()).to_string();
    let built_in = || "built-in".to_owned();
    for (key, value) in [
        ("site", settings.site()),
        ("system_label", settings.system_label().to_owned()),
        ("space_left", format_bytes(settings.space_left().value)),
        ("digest.subject", built_in()),
        ("digest.templates", built_in()),
        ("digest.attempts", terms.attempts.to_string()),
        ("digest.wait", wait),
        ("digest.top", run::DEFAULT_TOP.to_string()),
        ("digest.per_kind", run::DEFAULT_PER_KIND.to_string()),
    ] {
        if !is_written(key) {
            all.push(Check::setting(key, value, Origin::Default));
        }
    }
    for (variable, is_set) in [
        ("SENDGRID_API_KEY", keys.sendgrid_api_key.is_some()),
        ("ACTIVITY_SMTP_PASSWORD", keys.smtp_password.is_some()),
    ] {
        if is_set {
            all.push(Check::setting("key", "[secret]", Origin::Variable(variable)));
        }
    }
    let elsewhere = |key: &str| matches!(key, "db" | "tz");
    let written = written.iter().filter(|written| !elsewhere(&written.key));
    all.extend(written.map(|w| Check::setting(&w.key, w.value.as_str(), Origin::Config)));
    all
}

/// Notes the flags and variables of this call, which a schedule does not have.
pub(super) fn check_overrides(settings: &Settings) -> Option<Check> {
    let db = settings.db().ok().map(|db| db.origin);
    let config = settings.config_file.as_ref().map(|file| file.origin);
    let sources: Vec<String> = [db, config]
        .into_iter()
        .flatten()
        .filter(|origin| matches!(origin, Origin::Flag(_) | Origin::Variable(_)))
        .map(|origin| origin.to_string())
        .collect();
    let verb = if sources.len() == 1 { "decides" } else { "decide" };
    let value = format!("{} of this call {verb} what is looked at here", sources.join(" and "));
    let check = Check::new(Area::Schedules, "this call", Status::Note, value);
    let advice = "a schedule goes by /etc/activity/config.toml, or by flags in its own line";
    (!sources.is_empty()).then(|| check.with_advice(advice))
}
