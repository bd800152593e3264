//! The formats that are built in: maps in the folder `formats/`, and how an input of each begins.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::event::json;
use crate::map::RecordMap;

/// Keys that only our own events have: an input with one of them is never taken for a foreign one.
const OWN_KEYS: [&str; 4] = ["event_id", "occurred_at", "recorded_at", "recorded_by"];

/// A format of another system.
pub(crate) struct BuiltInFormat {
    /// Its name in `--format`.
    pub name: &'static str,
    /// What it is, with its article.
    pub title: &'static str,
    /// Its map, as TOML.
    pub text: &'static str,
    signs: &'static [FormatSign],
}

/// A sign that the beginning of an input is of a format.
enum FormatSign {
    /// Its first record is an object with these keys. It stands in a list under the first name, if there
    /// is one, or by itself.
    Keys(Option<&'static str>, &'static [&'static str]),
    /// Its first line has these columns of CSV.
    Columns(&'static [&'static str]),
    /// Its first line fits the pattern of the map.
    Pattern,
}

/// Makes an entry of the table.
macro_rules! format_entry {
    ($name:literal, $title:literal, $signs:expr) => {
        BuiltInFormat {
            name: $name,
            title: $title,
            text: include_str!(concat!("../../formats/", $name, ".toml")),
            signs: $signs,
        }
    };
}

/// Every built-in format, in the order of the help.
pub(crate) static BUILT_IN: [BuiltInFormat; 18] = [
    format_entry!(
        "github",
        "a GitHub audit log",
        &[
            FormatSign::Keys(None, &["_document_id", "action"]),
            FormatSign::Keys(None, &["@timestamp", "action", "actor", "org"])
        ]
    ),
    format_entry!(
        "gitlab",
        "a GitLab audit log",
        &[FormatSign::Keys(None, &["author_id", "entity_id", "entity_type"])]
    ),
    format_entry!(
        "slack",
        "a Slack audit log",
        &[FormatSign::Keys(Some("entries"), &["date_create", "actor", "entity"])]
    ),
    format_entry!(
        "okta",
        "an Okta System Log",
        &[FormatSign::Keys(None, &["uuid", "published", "eventType", "actor"])]
    ),
    format_entry!(
        "google",
        "a Google Workspace audit log",
        &[FormatSign::Keys(Some("items"), &["id", "actor", "events"])]
    ),
    format_entry!(
        "entra",
        "a Microsoft Entra audit log",
        &[
            FormatSign::Keys(Some("value"), &["activityDisplayName", "activityDateTime"]),
            FormatSign::Keys(
                Some("value"),
                &["userPrincipalName", "createdDateTime", "appDisplayName"]
            ),
        ]
    ),
    format_entry!(
        "purview",
        "a Microsoft Purview audit log",
        &[
            FormatSign::Keys(None, &["CreationTime", "Operation", "Workload"]),
            FormatSign::Columns(&["AuditData", "RecordType"]),
        ]
    ),
    format_entry!(
        "cloudtrail",
        "an AWS CloudTrail log",
        &[
            FormatSign::Keys(Some("Records"), &["eventSource", "eventName", "userIdentity"]),
            FormatSign::Keys(Some("Events"), &["EventId", "CloudTrailEvent"]),
        ]
    ),
    format_entry!(
        "k8s",
        "a Kubernetes audit log",
        &[FormatSign::Keys(Some("items"), &["auditID", "stage", "verb"])]
    ),
    format_entry!(
        "vault",
        "a Vault audit log",
        &[FormatSign::Keys(None, &["type", "auth", "request"])]
    ),
    format_entry!(
        "teleport",
        "a Teleport audit log",
        &[FormatSign::Keys(None, &["event", "code", "uid", "time"])]
    ),
    format_entry!(
        "wp-stream",
        "an export of the plugin Stream",
        &[
            FormatSign::Columns(&["Summary", "Connector", "Context", "Action"]),
            FormatSign::Keys(None, &["summary", "connector", "context", "action"]),
        ]
    ),
    format_entry!(
        "simple-history",
        "an export of the plugin Simple History",
        &[FormatSign::Keys(None, &["logger", "initiator", "occasionsID"])]
    ),
    format_entry!(
        "moodle",
        "a Moodle log",
        &[FormatSign::Columns(&["Time", "Event context", "Component", "Event name"])]
    ),
    format_entry!(
        "ausearch",
        "the CSV of ausearch",
        &[FormatSign::Columns(&["NODE", "EVENT", "SERIAL_NUM", "SUBJ_PRIME"])]
    ),
    format_entry!("access", "the access log of a web server", &[FormatSign::Pattern]),
    format_entry!("auth", "a log of logins and sudo", &[FormatSign::Pattern]),
    format_entry!(
        "journald",
        "the JSON of journalctl",
        &[FormatSign::Keys(None, &["__REALTIME_TIMESTAMP", "MESSAGE"])]
    ),
];

impl BuiltInFormat {
    /// Finds a format by its name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|format| format.name == name)
    }

    /// Reads the map.
    pub(crate) fn map(&self) -> RecordMap {
        RecordMap::parse(self.text).expect("a test reads every map that is built in")
    }
}

/// Returns the format whose input begins like this; `None` where it is none of them, or our own.
/// `beginning` has the first line at least, as far as it was read.
pub(crate) fn recognise(beginning: &[u8]) -> Option<&'static BuiltInFormat> {
    let text = match std::str::from_utf8(beginning) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(beginning.get(..error.valid_up_to())?).ok()?,
    };
    let text = text.trim_ascii_start();
    if text.starts_with(['{', '[']) {
        return recognise_json(text);
    }
    let first_line = text.lines().next()?;
    let by_columns = find_by_sign(|_, sign| match sign {
        FormatSign::Columns(columns) => has_columns(first_line, columns),
        FormatSign::Keys(..) | FormatSign::Pattern => false,
    });
    // A pattern is made only for what does not look like CSV.
    let is_lines = first_line.contains(' ');
    by_columns.or_else(|| {
        find_by_sign(|format, sign| match sign {
            FormatSign::Pattern => is_lines && format.map().split_line(first_line).is_ok(),
            FormatSign::Keys(..) | FormatSign::Columns(_) => false,
        })
    })
}

fn find_by_sign(
    fits: impl Fn(&BuiltInFormat, &FormatSign) -> bool,
) -> Option<&'static BuiltInFormat> {
    BUILT_IN.iter().find(|format| format.signs.iter().any(|sign| fits(format, sign)))
}

/// Finds a format by the keys of the first record, which stands by itself, in a list, or in a list within
/// an object.
fn recognise_json(text: &str) -> Option<&'static BuiltInFormat> {
    let first = first_value(text.strip_prefix('[').unwrap_or(text)).map(keys_of);
    if let Some(keys) = &first {
        if OWN_KEYS.iter().any(|own| keys.iter().any(|key| key == own)) {
            return None;
        }
        let found = find_by_sign(|_, sign| match sign {
            FormatSign::Keys(_, wanted) => has_all(keys, wanted),
            FormatSign::Columns(_) | FormatSign::Pattern => false,
        });
        if found.is_some() {
            return found;
        }
    }
    find_by_sign(|_, sign| match sign {
        FormatSign::Keys(Some(list), wanted) => {
            let may_have_list =
                first.as_ref().is_none_or(|keys| keys.iter().any(|key| key == list));
            may_have_list
                && first_of_list(text, list).is_some_and(|one| has_all(&keys_of(one), wanted))
        }
        FormatSign::Keys(None, _) | FormatSign::Columns(_) | FormatSign::Pattern => false,
    })
}

fn keys_of(record: &str) -> Vec<Cow<'_, str>> {
    let members = json::members(record).unwrap_or_default();
    members.into_iter().map(|(key, _)| key).collect()
}

fn has_all(keys: &[Cow<'_, str>], wanted: &[&str]) -> bool {
    wanted.iter().all(|wanted| keys.iter().any(|key| key == wanted))
}

/// The first element of a list within an object, which may be longer than what was read of it.
fn first_of_list<'a>(text: &'a str, list: &str) -> Option<&'a str> {
    let (_, behind) = text.strip_prefix('{')?.split_once(&format!("\"{list}\""))?;
    first_value(behind.trim_start().strip_prefix(':')?.trim_start().strip_prefix('[')?)
}

/// The first JSON value of a text, if all of it is there.
fn first_value(text: &str) -> Option<&str> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    values.next()?.ok().map(RawValue::get)
}

fn has_columns(line: &str, columns: &[&str]) -> bool {
    let cells: Vec<&str> =
        line.split([',', ';', '\t']).map(|cell| cell.trim().trim_matches('"')).collect();
    columns.iter().all(|column| cells.iter().any(|cell| cell.eq_ignore_ascii_case(column)))
}
