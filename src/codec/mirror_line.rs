//! The mirror line: a head for people, then the whole event as one JSON object.
//!
//! `[2026-11-20T04:00:00.123456789+00:00] site.high: Message {"id":1,"event_id":"…",…}`. A line that
//! this program wrote is read from its JSON alone. Other lines of this form come from WP Activity Log
//! or another program that logs through Monolog; [`crate::codec::wsal`] decodes them.

use std::borrow::Cow;

use crate::codec::jsonl;
use crate::codec::wsal;
use crate::event::Event;
use crate::event::NewEvent;
use crate::event::builder::IntakeOptions;
use crate::event::json;
use crate::text;
use crate::time::Timestamp;

/// The longest title or identifier in a head, in characters. The JSON has the whole text.
const MAX_HEADER_CHARS: usize = 1000;

/// Appends an event as one line without a line feed. `identifier` names the log.
pub(crate) fn encode(event: &Event, identifier: &str, out: &mut String) {
    out.push('[');
    write_time(event.occurred_at, out);
    out.push_str("] ");
    encode_message(event, identifier, out);
}

/// Appends what stands behind the time: identifier, severity, title, and the event.
pub(crate) fn encode_message(event: &Event, identifier: &str, out: &mut String) {
    out.push_str(&text::escape(truncate_header_text(identifier)));
    out.push('.');
    out.push_str(event.severity.name());
    out.push_str(": ");
    let title = event.title.as_deref().unwrap_or(&event.action.slug);
    out.push_str(&text::escape(truncate_header_text(title)));
    out.push(' ');
    jsonl::encode(event, out);
}

fn truncate_header_text(text: &str) -> &str {
    text.char_indices().nth(MAX_HEADER_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// Appends a time with nine digits of a second and a numeric offset.
fn write_time(at: Timestamp, out: &mut String) {
    at.write_sortable_into(out);
    let utc = out.pop();
    debug_assert_eq!(utc, Some('Z'), "a time is written in UTC");
    out.push_str("+00:00");
}

/// Reads an event from one line.
///
/// # Errors
/// The reason.
pub(crate) fn decode(line: &str, options: IntakeOptions<'_>) -> Result<NewEvent, String> {
    let (head, object) = split_json(line);
    let object = object.unwrap_or("{}");
    let members = json::members(object).map_err(|error| json::describe_error(&error))?;
    if is_event(&members) {
        return jsonl::decode(object, options);
    }
    wsal::decode(head, members, options)
}

/// Whether the members of an object are those of an event that this program wrote.
fn is_event(members: &[(Cow<'_, str>, &str)]) -> bool {
    let has = |name: &str| members.iter().any(|(key, value)| key == name && *value != "null");
    has("event_id") && has("action")
}

/// Whether the line ends with an event of this program, whatever stands before it: a syslog server
/// puts a head of its own in front of the lines that it is sent.
pub(crate) fn ends_with_event(line: &[u8]) -> bool {
    let Some(line) = line.ends_with(b"}").then(|| str::from_utf8(line).ok()).flatten() else {
        return false;
    };
    let (head, object) = split_json(line);
    let members = object.filter(|_| !head.is_empty()).map(json::members);
    members.is_some_and(|members| members.is_ok_and(|members| is_event(&members)))
}

/// Whether a line without a line feed may be incomplete although it could be decoded: it may end
/// after an inner object of its JSON.
pub(crate) fn may_be_truncated(line: &str) -> bool {
    split_json(line).0.trim_ascii_end().ends_with([':', ',', '['])
}

/// Whether the line begins with a bracketed time.
pub(crate) fn begins_with_time(line: &[u8]) -> bool {
    let Some(inner) = line.strip_prefix(b"[").and_then(|rest| rest.split(|b| *b == b']').next())
    else {
        return false;
    };
    let is_date = inner.iter().take(10).enumerate().all(|(place, byte)| match place {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date && inner.len() >= 10 && inner.len() < line.len() - 1
}

/// Splits a line before the JSON object at its end, if it has one. Monolog appends its empty "extra"
/// as ` []`.
///
/// The scan runs backwards, because the message may contain braces and may be long. Each quote
/// switches between string and structure, except after an odd number of backslashes.
fn split_json(line: &str) -> (&str, Option<&str>) {
    let line = line.trim_ascii_end();
    let line = line.strip_suffix("[]").unwrap_or(line).trim_ascii_end();
    let bytes = line.as_bytes();
    let mut depth = 0_u64;
    let mut string = false;
    let mut at = bytes.len();
    while at > 0 {
        at -= 1;
        match bytes[at] {
            b'"' => {
                let slashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                string ^= slashes % 2 == 0;
                at -= slashes;
            }
            b'}' if !string => depth += 1,
            b'{' if !string && depth == 1 => return (&line[..at], Some(&line[at..])),
            b'{' if !string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    (line, None)
}
