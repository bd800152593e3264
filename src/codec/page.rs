//! The events as one HTML page, for people without a shell.
//!
//! The page is one file that loads nothing: style, program and events are in it. The events are JSON
//! Lines in an element that browsers do not show, in which `<` is always escaped: no text of an event
//! can end the element. The program of the page sets texts, never markup.

use serde_json::json;

use crate::codec::jsonl;
use crate::event::Event;
use crate::text;
use crate::time::Timestamp;

const TEMPLATE: &str = include_str!("../../templates/page.html");
const PAGE_MARK: &str = "@@PAGE@@";
const EVENTS_MARK: &str = "@@EVENTS@@";

/// What the page says about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageHead<'a> {
    pub site: &'a str,
    pub system_label: &'a str,
    /// The query in words; empty for all events.
    pub query: &'a str,
    pub made_at: Timestamp,
    /// The name of the zone of its times.
    pub zone: &'a str,
}

/// Appends the page up to the first event.
pub(crate) fn encode_head(head: &PageHead<'_>, out: &mut Vec<u8>) {
    let facts = json!({
        "site": head.site,
        "system_label": head.system_label,
        "query": head.query,
        "made_at": head.made_at.to_string(),
        "zone": head.zone,
    });
    let mut json = String::new();
    text::json_escape_into(&mut json, &facts.to_string());
    let (before, _) = TEMPLATE.split_once(EVENTS_MARK).unwrap_or_default();
    let (start, end) = before.split_once(PAGE_MARK).unwrap_or_default();
    out.extend_from_slice(start.as_bytes());
    push_json(&json, out);
    out.extend_from_slice(end.as_bytes());
}

/// Appends an event.
pub(crate) fn encode(event: &Event, line: &mut String, out: &mut Vec<u8>) {
    line.clear();
    jsonl::encode(event, line);
    push_json(line, out);
    out.push(b'\n');
}

/// Appends the page from behind the last event on.
pub(crate) fn encode_tail(out: &mut Vec<u8>) {
    let (_, after) = TEMPLATE.split_once(EVENTS_MARK).unwrap_or_default();
    out.extend_from_slice(after.as_bytes());
}

/// Appends JSON without a `<`, which occurs in its texts alone.
fn push_json(json: &str, out: &mut Vec<u8>) {
    for (place, part) in json.split('<').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\\u003c");
        }
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_its_marks_once_and_in_order() {
        assert_eq!(TEMPLATE.matches(PAGE_MARK).count(), 1);
        assert_eq!(TEMPLATE.matches(EVENTS_MARK).count(), 1);
        assert!(TEMPLATE.find(PAGE_MARK) < TEMPLATE.find(EVENTS_MARK));
    }

    #[test]
    fn no_text_ends_the_element() {
        let mut out = Vec::new();
        push_json(r#"{"a":"</script><!--"}"#, &mut out);
        assert_eq!(out, br#"{"a":"\u003c/script>\u003c!--"}"#);
    }
}
