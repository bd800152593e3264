//! JSON Lines: one event on each line, as one object.

use serde_json::value::RawValue;

use crate::event::Event;
use crate::event::NewEvent;
use crate::event::builder::IntakeOptions;
use crate::event::builder::NewEventBuilder;
use crate::event::field::FIELDS;
use crate::event::field::Field;
use crate::event::field::FieldValue;
use crate::event::json;
use crate::map::Record;
use crate::map::RecordPath;
use crate::text;

/// Appends an event as one JSON object without a line feed. Fields are in the order of [`FIELDS`],
/// absent fields are left out, the name of its log comes first
/// where it has one, times are in UTC, and characters that a terminal would not show as
/// they are written as `\uXXXX`.
pub(crate) fn encode(event: &Event, out: &mut String) {
    encode_fields(event, FIELDS.iter(), out);
}

/// Appends some fields of an event as [`encode`] does, in the order given.
pub(crate) fn encode_fields(
    event: &Event,
    fields: impl Iterator<Item = &'static Field>,
    out: &mut String,
) {
    let mut separator = '{';
    if let Some(log) = &event.log {
        // An id means nothing without its log.
        out.push_str("{\"log\":");
        text::json_string_into(out, log);
        separator = ',';
    }
    for field in fields {
        let Some(value) = (field.get)(event) else {
            continue;
        };
        out.push(separator);
        separator = ',';
        out.push('"');
        out.push_str(field.name);
        out.push_str("\":");
        match value {
            FieldValue::Integer(number) => out.push_str(&number.to_string()),
            FieldValue::Text(text) => text::json_string_into(out, text),
            FieldValue::Time(at) => {
                out.push('"');
                at.write_sortable_into(out);
                out.push('"');
            }
            FieldValue::Json(json) => text::json_escape_into(out, json.as_str()),
            FieldValue::Hash(hash) => {
                out.push('"');
                hash.write_hex_into(out);
                out.push('"');
            }
        }
    }
    if separator == '{' {
        out.push('{');
    }
    out.push('}');
}

/// Reads an event from one JSON object.
///
/// # Errors
/// The reason.
pub(crate) fn decode(text: &str, options: IntakeOptions<'_>) -> Result<NewEvent, String> {
    let members = json::object_members(text)?;
    let mut builder = NewEventBuilder::new(options);
    for (name, value) in members {
        builder.add_json(name, value)?;
    }
    builder.build()
}

/// A value within an object, which the user names by its path as if it were a key.
#[derive(Clone, Debug)]
pub(crate) struct NestedKey {
    /// The path as it was typed.
    pub name: String,
    pub path: RecordPath,
}

/// Reads an event from one JSON object, some of whose values within objects count as if they stood at
/// the top under their paths. A key that is spelled like such a path is itself meant.
///
/// # Errors
/// The reason.
pub(super) fn decode_nested(
    text: &str,
    options: IntakeOptions<'_>,
    nested: &[NestedKey],
) -> Result<NewEvent, String> {
    let mut record = Record::from_json(text)?;
    let mut lifted = Vec::with_capacity(nested.len());
    for key in nested.iter().filter(|key| !record.has_key(&key.name)).collect::<Vec<_>>() {
        lifted.extend(record.lift(&key.path).map(|value| (key.name.as_str(), value)));
    }
    let rest = record.rest().unwrap_or_else(|| "{}".to_owned());
    let mut builder = NewEventBuilder::new(options);
    for (name, value) in json::object_members(&rest)? {
        builder.add_json(name, value)?;
    }
    for (name, value) in &lifted {
        builder.add_json((*name).into(), value)?;
    }
    builder.build()
}

/// Whether the text may be the beginning of longer JSON: the first error is at its end.
pub(crate) fn is_unfinished(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_err_and(|error| error.column() >= text.len())
}
