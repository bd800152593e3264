//! Which keys the config has, and what may stand in each.

use toml::{Table, Value};

use crate::query::Clock;
use crate::query::Query;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

/// What a key's value must be.
enum Kind {
    Text,
    Texts,
    Flag,
    /// A whole number from 1 up.
    Count,
    Size,
    Span,
    Zone,
    OneOf(&'static [&'static str]),
    /// A query without times: it holds whenever it is asked.
    Query,
    Section(&'static [Key]),
    /// Tables of the same keys; each must have those of the second list.
    Sections(&'static [Key], &'static [&'static str]),
    /// A table of texts under names that the user chooses.
    Texted,
    /// A table of queries under names that the user chooses.
    Queries,
    /// What this version would have to obey and cannot.
    Refused(&'static str),
}

type Key = (&'static str, Kind);

const CONFIG: &[Key] = &[
    ("db", Kind::Text),
    ("tz", Kind::Zone),
    ("site", Kind::Text),
    ("system_label", Kind::Text),
    ("space_left", Kind::Size),
    ("digest", Kind::Section(DIGEST)),
    ("retention", Kind::Section(RETENTION)),
    (
        "access",
        Kind::Refused("roles are not supported by this version, so nothing may be read or written"),
    ),
    ("mirror", Kind::Sections(MIRROR, &["name", "type"])),
    ("alert", Kind::Sections(ALERT, &["name"])),
];

const DIGEST: &[Key] = &[
    ("from", Kind::Text),
    ("to", Kind::Texts),
    ("transport", Kind::OneOf(&["sendgrid", "smtp", "sendmail"])),
    ("subject", Kind::Text),
    ("templates", Kind::Text),
    ("attempts", Kind::Count),
    ("wait", Kind::Span),
    ("top", Kind::Count),
    ("per_kind", Kind::Count),
    ("sendgrid", Kind::Section(&[("api_key_file", Kind::Text), ("base_url", Kind::Text)])),
    ("smtp", Kind::Section(&[("url", Kind::Text), ("password_file", Kind::Text)])),
    ("sendmail", Kind::Section(&[("command", Kind::Texts)])),
    ("kinds", Kind::Queries),
];

const RETENTION: &[Key] = &[
    ("keep", Kind::Span),
    ("rule", Kind::Sections(&[("query", Kind::Query), ("keep", Kind::Span)], &["query", "keep"])),
];

/// The keys of every type of mirror; [`TYPES`] says which has which.
const MIRROR: &[Key] = &[
    ("name", Kind::Text),
    ("type", Kind::OneOf(&TYPE_NAMES)),
    ("query", Kind::Query),
    ("identifier", Kind::Text),
    ("batch", Kind::Count),
    ("attempts", Kind::Count),
    ("wait", Kind::Span),
    ("timeout", Kind::Span),
    ("enabled", Kind::Flag),
    ("start", Kind::OneOf(&["now"])),
    ("direct", Kind::Flag),
    ("path", Kind::Text),
    ("format", Kind::OneOf(&["mirror", "jsonl"])),
    ("address", Kind::Text),
    ("framing", Kind::OneOf(&["octets", "lines"])),
    ("facility", Kind::Text),
    ("app", Kind::Text),
    ("sd", Kind::Text),
    ("url", Kind::Text),
    ("headers", Kind::Texted),
    ("region", Kind::Text),
    ("group", Kind::Text),
    ("stream", Kind::Text),
    ("endpoint", Kind::Text),
    ("table", Kind::Text),
];

/// The keys that every mirror takes.
const COMMON: &[&str] = &[
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

/// The keys that each type of mirror takes besides.
const TYPES: [(&str, &[&str]); 8] = [
    ("file", &["path", "format"]),
    ("syslog", &["address", "framing", "facility", "app", "sd"]),
    ("http", &["url", "headers"]),
    ("loggly", &["url", "headers"]),
    ("slack", &["url", "headers"]),
    ("cloudwatch", &["region", "group", "stream", "endpoint"]),
    ("postgres", &["url", "table"]),
    ("clickhouse", &["url", "table"]),
];

const TYPE_NAMES: [&str; 8] =
    ["file", "syslog", "http", "loggly", "slack", "cloudwatch", "postgres", "clickhouse"];

const ALERT: &[Key] = &[
    ("name", Kind::Text),
    ("query", Kind::Query),
    ("mail", Kind::Texts),
    ("slack", Kind::Text),
    ("command", Kind::Texts),
    ("every", Kind::Span),
    ("batch", Kind::Count),
    ("attempts", Kind::Count),
    ("wait", Kind::Span),
    ("timeout", Kind::Span),
    ("enabled", Kind::Flag),
];

/// Checks every key and value.
///
/// # Errors
/// One line that begins with the key.
pub(super) fn check(config: &Table) -> Result<(), String> {
    section(config, CONFIG, "")?;
    let mirrors = config.get("mirror").and_then(Value::as_array);
    for (place, mirror) in mirrors.into_iter().flatten().filter_map(Value::as_table).enumerate() {
        keys_of_the_type(mirror, &entry("mirror", mirror, place))?;
    }
    Ok(())
}

fn section(table: &Table, keys: &'static [Key], path: &str) -> Result<(), String> {
    for (name, value) in table {
        let path = format!("{path}{name}");
        match keys.iter().find(|(key, _)| key == name) {
            Some((_, kind)) => one(value, kind, &path)?,
            None => {
                let near = text::nearest(name, keys.iter().map(|(key, _)| *key));
                let meant = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
                return Err(format!("{path}: unknown key{meant}"));
            }
        }
    }
    Ok(())
}

fn one(value: &Value, kind: &'static Kind, path: &str) -> Result<(), String> {
    let fault = match kind {
        Kind::Text => as_text(value).map(drop),
        Kind::Texts => texts(value),
        Kind::Flag => expect(value.is_bool(), "true or false", value),
        Kind::Count => match value.as_integer() {
            Some(1..) => Ok(()),
            _ => Err("must be a whole number from 1 up".to_owned()),
        },
        Kind::Size => as_text(value).and_then(|text| size(text).map(drop)),
        Kind::Span => as_text(value).and_then(|text| Span::parse(text).map(drop)),
        Kind::Zone => as_text(value).and_then(|text| Zone::parse(text).map(drop)),
        Kind::OneOf(names) => as_text(value).and_then(|text| one_of(text, names)),
        Kind::Query => as_text(value).and_then(query),
        Kind::Refused(why) => Err((*why).to_owned()),
        Kind::Section(keys) => match value {
            Value::Table(table) => return section(table, keys, &format!("{path}.")),
            _ => Err(wrong("a table", value)),
        },
        Kind::Sections(keys, needed) => match value {
            Value::Array(list) => return sections(list, keys, needed, path),
            _ => Err(wrong("a list of tables", value)),
        },
        Kind::Texted => return free(value, &Kind::Text, path),
        Kind::Queries => return free(value, &Kind::Query, path),
    };
    fault.map_err(|why| format!("{path}: {why}"))
}

fn sections(
    list: &[Value],
    keys: &'static [Key],
    needed: &[&str],
    path: &str,
) -> Result<(), String> {
    for (place, value) in list.iter().enumerate() {
        let Value::Table(table) = value else {
            return Err(format!("{path}: {}", wrong("a list of tables", value)));
        };
        let path = entry(path, table, place);
        section(table, keys, &format!("{path}."))?;
        if let Some(key) = needed.iter().find(|key| !table.contains_key(**key)) {
            return Err(format!("{path}: {key} is missing"));
        }
    }
    Ok(())
}

/// How a table of a list is called: by its name where it has one, else by its number from 1 up.
fn entry(path: &str, table: &Table, place: usize) -> String {
    match table.get("name").and_then(Value::as_str) {
        Some(name) => format!("{path}.{name}"),
        None => format!("{path}[{}]", place + 1),
    }
}

fn free(value: &Value, kind: &'static Kind, path: &str) -> Result<(), String> {
    let Value::Table(table) = value else {
        return Err(format!("{path}: {}", wrong("a table", value)));
    };
    table.iter().try_for_each(|(name, value)| one(value, kind, &format!("{path}.{name:?}")))
}

/// A key that the mirror's type has no use for would be obeyed by nobody.
fn keys_of_the_type(mirror: &Table, path: &str) -> Result<(), String> {
    let Some(kind) = mirror.get("type").and_then(Value::as_str) else { return Ok(()) };
    let own = TYPES.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, keys)| keys);
    match mirror.keys().find(|key| !COMMON.contains(&key.as_str()) && !own.contains(&key.as_str()))
    {
        Some(key) => Err(format!("{path}.{key}: not a key of type {kind:?}")),
        None => Ok(()),
    }
}

fn as_text(value: &Value) -> Result<&str, String> {
    match value.as_str() {
        Some("") => Err("must not be empty".to_owned()),
        Some(text) => Ok(text),
        None => Err(wrong("text", value)),
    }
}

fn texts(value: &Value) -> Result<(), String> {
    match value.as_array() {
        Some(list) if list.iter().all(Value::is_str) && !list.is_empty() => Ok(()),
        _ => Err("must be a list of texts".to_owned()),
    }
}

fn expect(fits: bool, what: &str, value: &Value) -> Result<(), String> {
    if fits { Ok(()) } else { Err(wrong(what, value)) }
}

fn wrong(what: &str, value: &Value) -> String {
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

fn one_of(text: &str, names: &[&str]) -> Result<(), String> {
    if names.contains(&text) {
        return Ok(());
    }
    Err(match names {
        [only] => format!("{text:?} is not {only}"),
        [first @ .., last] => format!("{text:?} is none of {} and {last}", first.join(", ")),
        [] => unreachable!("a choice has names"),
    })
}

/// A number of bytes: digits, then nothing, `B`, or `K` to `T` with `B` (by thousands) or `iB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
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

/// A query, which has no times: it holds whenever it is asked.
fn query(text: &str) -> Result<(), String> {
    // Without times in it, it does not matter what time it is.
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
        assert_eq!(TYPES.map(|(name, _)| name), TYPE_NAMES);
        for key in TYPES.iter().flat_map(|(_, keys)| *keys).chain(COMMON) {
            assert!(MIRROR.iter().any(|(known, _)| known == key), "{key}");
        }
    }
}
