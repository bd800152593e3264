//! The keys of the config, and the values that each may have.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::config::access;
use crate::config::mirror::FileRotation;
use crate::query::Clock;
use crate::query::Query;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

/// The kind of value that a key must have.
pub(super) enum ConfigValueKind {
    Text,
    TextList,
    Boolean,
    /// A whole number of at least 1.
    PositiveInteger,
    Size,
    Span,
    Zone,
    OneOf(&'static [&'static str]),
    /// When a file of a mirror is followed by a new one.
    Rotation,
    /// A query without times, whose meaning does not depend on the clock.
    Query,
    Section(&'static [KeySpec]),
    /// Tables of the same keys; each must have those of the second list.
    SectionList(&'static [KeySpec], &'static [&'static str]),
    /// A table of texts under names that the user chooses.
    TextMap,
    /// A table of queries under names that the user chooses.
    QueryMap,
    /// The users of `[access]`, by name.
    Members,
    /// The roles of `[access]`, by name.
    Roles,
    /// A list of capabilities.
    Capabilities,
}

pub(super) type KeySpec = (&'static str, ConfigValueKind);

const ROOT_KEYS: &[KeySpec] = &[
    ("db", ConfigValueKind::Text),
    ("central", ConfigValueKind::Text),
    ("tz", ConfigValueKind::Zone),
    ("site", ConfigValueKind::Text),
    ("system_label", ConfigValueKind::Text),
    ("space_left", ConfigValueKind::Size),
    ("queries", ConfigValueKind::QueryMap),
    ("digest", ConfigValueKind::Section(DIGEST_KEYS)),
    ("retention", ConfigValueKind::Section(RETENTION_KEYS)),
    ("access", ConfigValueKind::Section(access::ACCESS_KEYS)),
    ("mirror", ConfigValueKind::SectionList(MIRROR_KEYS, &["name", "type"])),
    ("alert", ConfigValueKind::SectionList(ALERT_KEYS, &["name"])),
];

const DIGEST_KEYS: &[KeySpec] = &[
    ("from", ConfigValueKind::Text),
    ("to", ConfigValueKind::TextList),
    ("transport", ConfigValueKind::OneOf(&["sendgrid", "smtp", "sendmail"])),
    ("subject", ConfigValueKind::Text),
    ("templates", ConfigValueKind::Text),
    ("attempts", ConfigValueKind::PositiveInteger),
    ("wait", ConfigValueKind::Span),
    ("top", ConfigValueKind::PositiveInteger),
    ("per_kind", ConfigValueKind::PositiveInteger),
    ("total", ConfigValueKind::PositiveInteger),
    (
        "sendgrid",
        ConfigValueKind::Section(&[
            ("api_key_file", ConfigValueKind::Text),
            ("base_url", ConfigValueKind::Text),
        ]),
    ),
    (
        "smtp",
        ConfigValueKind::Section(&[
            ("url", ConfigValueKind::Text),
            ("password_file", ConfigValueKind::Text),
        ]),
    ),
    ("sendmail", ConfigValueKind::Section(&[("command", ConfigValueKind::TextList)])),
    ("kinds", ConfigValueKind::QueryMap),
];

const RETENTION_KEYS: &[KeySpec] = &[
    ("keep", ConfigValueKind::Span),
    (
        "rule",
        ConfigValueKind::SectionList(
            &[("query", ConfigValueKind::Query), ("keep", ConfigValueKind::Span)],
            &["query", "keep"],
        ),
    ),
];

/// The longest name of a mirror or alert: it is also part of a file's name.
const MAX_NAME_BYTES: usize = 64;

/// The keys of all types of mirror; [`MIRROR_TYPES`] lists those of each type.
const MIRROR_KEYS: &[KeySpec] = &[
    ("name", ConfigValueKind::Text),
    ("type", ConfigValueKind::OneOf(&MIRROR_TYPE_NAMES)),
    ("query", ConfigValueKind::Query),
    ("identifier", ConfigValueKind::Text),
    ("batch", ConfigValueKind::PositiveInteger),
    ("attempts", ConfigValueKind::PositiveInteger),
    ("wait", ConfigValueKind::Span),
    ("timeout", ConfigValueKind::Span),
    ("enabled", ConfigValueKind::Boolean),
    ("start", ConfigValueKind::OneOf(&["now"])),
    ("direct", ConfigValueKind::Boolean),
    ("path", ConfigValueKind::Text),
    ("format", ConfigValueKind::OneOf(&["mirror", "jsonl"])),
    ("rotate", ConfigValueKind::Rotation),
    ("address", ConfigValueKind::Text),
    ("framing", ConfigValueKind::OneOf(&["octets", "lines"])),
    ("facility", ConfigValueKind::Text),
    ("app", ConfigValueKind::Text),
    ("sd", ConfigValueKind::Text),
    ("url", ConfigValueKind::Text),
    ("headers", ConfigValueKind::TextMap),
    ("ca_file", ConfigValueKind::Text),
    ("user", ConfigValueKind::Text),
    ("password_file", ConfigValueKind::Text),
    ("token_file", ConfigValueKind::Text),
    ("signature_key_file", ConfigValueKind::Text),
    ("gzip", ConfigValueKind::Boolean),
    ("region", ConfigValueKind::Text),
    ("group", ConfigValueKind::Text),
    ("stream", ConfigValueKind::Text),
    ("endpoint", ConfigValueKind::Text),
    ("table", ConfigValueKind::Text),
];

/// The keys that every mirror takes.
const COMMON_MIRROR_KEYS: &[&str] = &[
    "name",
    "type",
    "query",
    "identifier",
    "batch",
    "attempts",
    "wait",
    "timeout",
    "enabled",
    "start",
    "direct",
];

/// A type of mirror: its name, its further keys, and those of them that it needs.
type MirrorType = (&'static str, &'static [&'static str], &'static [&'static str]);

const MIRROR_TYPES: [MirrorType; 8] = [
    ("file", &["path", "format", "rotate"], &["path"]),
    ("syslog", &["address", "framing", "facility", "app", "sd", "ca_file"], &["address"]),
    (
        "http",
        &[
            "url",
            "headers",
            "ca_file",
            "user",
            "password_file",
            "token_file",
            "signature_key_file",
            "gzip",
        ],
        &["url"],
    ),
    ("loggly", &["url", "headers"], &["url"]),
    ("slack", &["url", "headers"], &["url"]),
    ("cloudwatch", &["region", "group", "stream", "endpoint"], &["group"]),
    ("postgres", &["url", "table", "password_file", "ca_file"], &["url"]),
    ("clickhouse", &["url", "table", "user", "password_file", "ca_file"], &["url"]),
];

const MIRROR_TYPE_NAMES: [&str; 8] =
    ["file", "syslog", "http", "loggly", "slack", "cloudwatch", "postgres", "clickhouse"];

const ALERT_KEYS: &[KeySpec] = &[
    ("name", ConfigValueKind::Text),
    ("query", ConfigValueKind::Query),
    ("mail", ConfigValueKind::TextList),
    ("slack", ConfigValueKind::Text),
    ("command", ConfigValueKind::TextList),
    ("every", ConfigValueKind::Span),
    ("batch", ConfigValueKind::PositiveInteger),
    ("attempts", ConfigValueKind::PositiveInteger),
    ("wait", ConfigValueKind::Span),
    ("timeout", ConfigValueKind::Span),
    ("enabled", ConfigValueKind::Boolean),
];

/// Returns every key with the sections that it stands in; `*` where users choose the name.
#[cfg(test)]
pub(super) fn key_paths() -> Vec<String> {
    fn collect(keys: &'static [KeySpec], path: &str, all: &mut Vec<String>) {
        for (name, kind) in keys {
            let path = format!("{path}{name}");
            match kind {
                ConfigValueKind::Section(keys) | ConfigValueKind::SectionList(keys, _) => {
                    collect(keys, &format!("{path}."), all);
                }
                ConfigValueKind::QueryMap => all.push(format!("{path}.*")),
                _ => all.push(path),
            }
        }
    }
    let mut all = Vec::new();
    collect(ROOT_KEYS, "", &mut all);
    all
}

/// Checks every key and value.
///
/// # Errors
/// One line that begins with the key.
pub(super) fn check(config: &Table) -> Result<(), String> {
    check_section(config, ROOT_KEYS, "")?;
    let list = |name: &'static str| {
        let tables = config.get(name).and_then(Value::as_array).into_iter().flatten();
        let tables = tables.filter_map(Value::as_table).enumerate();
        tables.map(move |(place, table)| (table, entry_path(name, table, place)))
    };
    list("mirror").try_for_each(|(mirror, path)| check_mirror_keys(mirror, &path))?;
    list("alert").try_for_each(|(alert, path)| check_alert_keys(alert, &path))?;
    let mut names = BTreeSet::new();
    list("mirror").chain(list("alert")).try_for_each(|(table, path)| {
        let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.len() > MAX_NAME_BYTES {
            return Err(format!("{path}.name: longer than {MAX_NAME_BYTES} bytes"));
        }
        match names.insert(name) {
            true => Ok(()),
            false => Err(format!("{path}.name: a second mirror or alert is called {name:?}")),
        }
    })
}

pub(super) fn check_section(
    table: &Table,
    keys: &'static [KeySpec],
    path: &str,
) -> Result<(), String> {
    for (name, value) in table {
        let path = format!("{path}{name}");
        match keys.iter().find(|(key, _)| key == name) {
            Some((_, kind)) => check_value(value, kind, &path)?,
            None => {
                let near = text::nearest(name, keys.iter().map(|(key, _)| *key));
                let hint = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
                return Err(format!("{path}: unknown key{hint}"));
            }
        }
    }
    Ok(())
}

pub(super) fn check_value(
    value: &Value,
    kind: &'static ConfigValueKind,
    path: &str,
) -> Result<(), String> {
    let fault = match kind {
        ConfigValueKind::Text => as_text(value).map(drop),
        ConfigValueKind::TextList => check_text_list(value),
        ConfigValueKind::Boolean => expect(value.is_bool(), "true or false", value),
        ConfigValueKind::PositiveInteger => match value.as_integer() {
            Some(1..) => Ok(()),
            _ => Err("must be a whole number from 1 up".to_owned()),
        },
        ConfigValueKind::Size => as_text(value).and_then(|text| parse_size(text).map(drop)),
        ConfigValueKind::Span => as_text(value).and_then(|text| Span::parse(text).map(drop)),
        ConfigValueKind::Zone => as_text(value).and_then(|text| Zone::parse(text).map(drop)),
        ConfigValueKind::OneOf(names) => as_text(value).and_then(|text| check_choice(text, names)),
        ConfigValueKind::Rotation => {
            as_text(value).and_then(|text| FileRotation::parse(text).map(drop))
        }
        ConfigValueKind::Query => as_text(value).and_then(check_query),
        ConfigValueKind::Capabilities => access::check_capabilities(value),
        ConfigValueKind::Members => return access::check_members(value, path),
        ConfigValueKind::Roles => return access::check_roles(value, path),
        ConfigValueKind::Section(keys) => match value {
            Value::Table(table) => return check_section(table, keys, &format!("{path}.")),
            _ => Err(type_mismatch("a table", value)),
        },
        ConfigValueKind::SectionList(keys, needed) => match value {
            Value::Array(list) => return check_sections(list, keys, needed, path),
            _ => Err(type_mismatch("a list of tables", value)),
        },
        ConfigValueKind::TextMap => return check_map(value, &ConfigValueKind::Text, path),
        ConfigValueKind::QueryMap => return check_map(value, &ConfigValueKind::Query, path),
    };
    fault.map_err(|why| format!("{path}: {why}"))
}

fn check_sections(
    list: &[Value],
    keys: &'static [KeySpec],
    needed: &[&str],
    path: &str,
) -> Result<(), String> {
    for (place, value) in list.iter().enumerate() {
        let Value::Table(table) = value else {
            return Err(format!("{path}: {}", type_mismatch("a list of tables", value)));
        };
        let path = entry_path(path, table, place);
        check_section(table, keys, &format!("{path}."))?;
        require_keys(table, needed, &path)?;
    }
    Ok(())
}

/// Refuses a table that lacks one of these keys.
pub(super) fn require_keys(table: &Table, needed: &[&str], path: &str) -> Result<(), String> {
    match needed.iter().find(|key| !table.contains_key(**key)) {
        Some(key) => Err(format!("{path}: {key} is missing")),
        None => Ok(()),
    }
}

pub(super) fn as_table<'a>(value: &'a Value, path: &str) -> Result<&'a Table, String> {
    value.as_table().ok_or_else(|| format!("{path}: {}", type_mismatch("a table", value)))
}

/// The path of a table in a list: its name where it has one, else its number, counted from 1.
fn entry_path(path: &str, table: &Table, place: usize) -> String {
    match table.get("name").and_then(Value::as_str) {
        Some(name) => format!("{path}.{name}"),
        None => format!("{path}[{}]", place + 1),
    }
}

fn check_map(value: &Value, kind: &'static ConfigValueKind, path: &str) -> Result<(), String> {
    as_table(value, path)?
        .iter()
        .try_for_each(|(name, value)| check_value(value, kind, &format!("{path}.{name:?}")))
}

/// Refuses a key that the mirror's type does not use, and that would have no effect; and a mirror
/// without a key that its type needs.
fn check_mirror_keys(mirror: &Table, path: &str) -> Result<(), String> {
    let Some(kind) = mirror.get("type").and_then(Value::as_str) else { return Ok(()) };
    let Some((_, own, needed)) = MIRROR_TYPES.iter().find(|(name, ..)| *name == kind) else {
        return Ok(());
    };
    let is_foreign =
        |key: &&String| !COMMON_MIRROR_KEYS.contains(&key.as_str()) && !own.contains(&key.as_str());
    if let Some(key) = mirror.keys().find(is_foreign) {
        return Err(format!("{path}.{key}: not a key of type {kind:?}"));
    }
    match needed.iter().find(|key| !mirror.contains_key(**key)) {
        Some(key) => Err(format!("{path}: {key} is missing")),
        None => Ok(()),
    }
}

/// Refuses an alert that goes nowhere, or two ways: each way has its own progress and its own faults.
fn check_alert_keys(alert: &Table, path: &str) -> Result<(), String> {
    let ways = ["mail", "slack", "command"].into_iter().filter(|key| alert.contains_key(*key));
    match ways.collect::<Vec<_>>()[..] {
        [_] => Ok(()),
        [] => Err(format!("{path}: one of mail, slack and command is missing")),
        [first, second, ..] => {
            Err(format!("{path}: {first} and {second} do not go together: an alert goes one way"))
        }
    }
}

fn as_text(value: &Value) -> Result<&str, String> {
    match value.as_str() {
        Some("") => Err("must not be empty".to_owned()),
        Some(text) => Ok(text),
        None => Err(type_mismatch("text", value)),
    }
}

fn check_text_list(value: &Value) -> Result<(), String> {
    match value.as_array() {
        Some(list) if list.iter().all(Value::is_str) && !list.is_empty() => Ok(()),
        _ => Err("must be a list of texts".to_owned()),
    }
}

fn expect(fits: bool, what: &str, value: &Value) -> Result<(), String> {
    if fits { Ok(()) } else { Err(type_mismatch(what, value)) }
}

fn type_mismatch(what: &str, value: &Value) -> String {
    let found = match value {
        Value::String(_) => "text",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    };
    format!("must be {what}, not {found}")
}

fn check_choice(text: &str, names: &[&str]) -> Result<(), String> {
    if names.contains(&text) {
        return Ok(());
    }
    Err(match names {
        [only] => format!("{text:?} is not {only}"),
        [first @ .., last] => format!("{text:?} is none of {} and {last}", first.join(", ")),
        [] => unreachable!("a choice has names"),
    })
}

/// Reads a number of bytes: digits, then nothing, `B`, or `K` to `T` with `B` (by thousands) or
/// `iB`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("", 1),
        ("B", 1),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &text[..text.len() - unit.len()];
    let bytes = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
    bytes
        .and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes))
        .ok_or_else(|| format!("{text:?} is not a size like 256MiB"))
}

/// Checks a query, which may have no times: it must mean the same at any time.
fn check_query(text: &str) -> Result<(), String> {
    // A query without times does not depend on this clock.
    let clock = Clock { now: Timestamp::from_nanos(0), zone: &Zone::utc() };
    let query = Query::parse(text, &clock).map_err(|error| error.to_string())?;
    if query.has_time_terms() {
        return Err(format!(
            "{text:?} has since, until or days, which a query in the config has not"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_and_their_names_agree() {
        assert_eq!(MIRROR_TYPES.map(|(name, ..)| name), MIRROR_TYPE_NAMES);
        for key in MIRROR_TYPES.iter().flat_map(|(_, keys, _)| *keys).chain(COMMON_MIRROR_KEYS) {
            assert!(MIRROR_KEYS.iter().any(|(known, _)| known == key), "{key}");
        }
    }
}
