//! Says why a record has no value for a field that it must have, and where its records may stand.

use crate::event::json;
use crate::map::path;
use crate::map::path::RecordPath;
use crate::map::record::Record;
use crate::map::record::RecordValue;
use crate::map::rules::FieldRule;
use crate::map::rules::FieldSource;

/// The most paths, and the most keys, that are named.
const MAX_NAMED: usize = 8;

/// How deep a list of records is looked for.
const MAX_DEPTH: usize = 4;

/// Returns the reason why a record has nothing where the rules of a field look.
pub(super) fn describe<'r>(
    field: &str,
    rules: impl Iterator<Item = &'r FieldRule>,
    record: &Record<'_>,
) -> String {
    let paths: Vec<&RecordPath> = rules
        .flat_map(|rule| &rule.choices)
        .filter_map(|choice| match choice {
            FieldSource::Path(path) => Some(path),
            FieldSource::Template(_) | FieldSource::Constant(_) => None,
        })
        .collect();
    let mut looked: Vec<String> = Vec::new();
    for name in paths.iter().map(ToString::to_string) {
        if looked.len() < MAX_NAMED && !looked.contains(&name) {
            looked.push(name);
        }
    }
    let looked = match looked.as_slice() {
        [] => String::new(),
        looked => format!(" at {}", looked.join(" or ")),
    };
    let list = paths.iter().find_map(|wanted| {
        let inner = record.values().find_map(|(key, value)| match value {
            RecordValue::Json(raw) => find_list(raw, RecordPath::of_key(key), wanted, MAX_DEPTH),
            RecordValue::Text(_) => None,
        });
        inner.map(|list| format!("; records = \"{list}\" in the map reads the list that has it"))
    });
    let hint = list.unwrap_or_else(|| {
        let keys: Vec<&str> = record.values().map(|(key, _)| key).take(MAX_NAMED).collect();
        if keys.is_empty() { String::new() } else { format!("; its keys are {}", keys.join(", ")) }
    });
    format!("{field}: the record has no value{looked}{hint}")
}

/// Finds a list in JSON text whose first element has a value at a path; `place` is where the text stands.
fn find_list(
    raw: &str,
    place: RecordPath,
    wanted: &RecordPath,
    depth: usize,
) -> Option<RecordPath> {
    match raw.as_bytes().first() {
        Some(b'[') => {
            let elements = path::elements(raw);
            let first = Record::from_json(elements.first()?.get()).ok()?;
            first.find(wanted).and_then(|found| found.text()).map(|_| place)
        }
        Some(b'{') if depth > 1 => json::members(raw)
            .ok()?
            .into_iter()
            .find_map(|(key, raw)| find_list(raw, place.child(&key), wanted, depth - 1)),
        _ => None,
    }
}
