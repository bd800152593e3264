//! JSON Lines: one event on each line, as one object.

use serde_json::value::RawValue;

use crate::event::Event;
use crate::event::NewEvent;
use crate::event::field::FIELDS;
use crate::event::field::Value;
use crate::event::intake::Given;
use crate::event::intake::Intake;
use crate::event::json;
use crate::event::quoted;
use crate::text;
use crate::time::Zone;

/// Appends an event as one JSON object without a line feed: the fields in the contract's order,
/// absent ones left out, times in UTC, and every character that a terminal would not show as it is
/// as `\uXXXX`.
pub(crate) fn encode(event: &Event, out: &mut String) {
    let mut before = '{';
    for field in &FIELDS {
        let Some(value) = (field.get)(event) else {
            continue;
        };
        out.push(before);
        before = ',';
        out.push('"');
        out.push_str(field.name);
        out.push_str("\":");
        match value {
            Value::Integer(number) => out.push_str(&number.to_string()),
            Value::Text(text) => text::json_string_into(out, text),
            Value::Time(at) => {
                out.push('"');
                at.write_into(out);
                out.push('"');
            }
            Value::Json(json) => text::json_escape_into(out, json.as_str()),
            Value::Hash(hash) => {
                out.push('"');
                hash.write_into(out);
                out.push('"');
            }
        }
    }
    out.push('}');
}

/// Reads an event from one JSON object.
///
/// # Errors
/// The reason.
pub(crate) fn decode(text: &str, zone: Option<&Zone>) -> Result<NewEvent, String> {
    let members =
        json::members(text).map_err(|error| match text.trim_ascii_start().as_bytes() {
            [b'{', ..] => json::reason(&error),
            _ if error.is_data() => format!("must be an object, not {}", json::kind(text)),
            _ => json::reason(&error),
        })?;
    let mut intake = Intake::new(zone);
    for (name, value) in members {
        let value = Given::from_json(value).map_err(|why| format!("{}: {why}", quoted(&name)))?;
        intake.take(name, value)?;
    }
    intake.finish()
}

/// Whether the text may be the beginning of JSON that does not end: whatever is wrong with it is
/// wrong at its end.
pub(crate) fn is_unfinished(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_err_and(|error| error.column() >= text.len())
}
