//! Syslog messages, as RFC 5424 writes them.
//!
//! `<PRI>1 TIME HOST APP - MSGID [activity@32473 …] TEXT`: the short fields are structured data, and the
//! text is a mirror line without its time, so that its JSON has the whole event and `ingest` reads it
//! back. The structured data stands first: a receiver that cuts long messages keeps it.
//!
//! A message has no control characters, so that one line is one message.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::codec::mirror_line;
use crate::event::Event;
use crate::event::Severity;
use crate::event::field::FIELDS;
use crate::event::field::Field;
use crate::event::field::FieldValue;
use crate::text;

/// The facilities of RFC 5424, section 6.2.1, in the order of their numbers, by their usual names.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// The element of our structured data. 32473 is the enterprise number for examples (RFC 5612): the
/// program has none of its own.
const ELEMENT: &str = "activity@32473";
/// The longest APP-NAME, HOSTNAME and MSGID, in bytes (RFC 5424, section 6).
const MAX_APP_BYTES: usize = 48;
const MAX_HOST_BYTES: usize = 255;
const MAX_MESSAGE_ID_BYTES: usize = 32;
/// Stands for an absent field.
const NIL: &str = "-";
/// The digits of a second that RFC 5424 allows.
const FRACTION_DIGITS: usize = 6;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The fields that only the text has: they are long, or for the log itself.
const TEXT_ONLY_FIELDS: [&str; 8] =
    ["title", "description", "diff", "payload", "user_agent", "recorded_at", "recorded_by", "hash"];

/// The fields of our element.
static ELEMENT_FIELDS: LazyLock<Vec<&Field>> = LazyLock::new(|| {
    FIELDS.iter().filter(|field| !TEXT_ONLY_FIELDS.contains(&field.name)).collect()
});

/// What all messages of a mirror share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageFormat {
    /// The number of the facility, times eight.
    facility_priority: usize,
    host: String,
    app: String,
    /// A further element of structured data, such as a token, with its brackets; may be empty.
    extra_element: String,
}

impl MessageFormat {
    /// `extra_element` is the content of an element, without its brackets.
    ///
    /// # Errors
    /// The key whose value cannot stand in a message, with the reason.
    pub(super) fn new(
        facility: &str,
        host: &str,
        app: &str,
        extra_element: Option<&str>,
    ) -> Result<Self, String> {
        let Some(facility) = FACILITIES.iter().position(|name| *name == facility) else {
            return Err(format!("facility: \"{}\" is none of syslog's", text::escape(facility)));
        };
        if app.is_empty() || app.len() > MAX_APP_BYTES || !is_header_text(app) {
            return Err(format!(
                "app: must be 1 to {MAX_APP_BYTES} letters of ASCII without blanks"
            ));
        }
        if !extra_element.is_none_or(is_element) {
            return Err("sd: must be an element of structured data without its brackets, like \
                        TOKEN@41058 or TOKEN@41058 tag=\"x\""
                .to_owned());
        }
        Ok(Self {
            facility_priority: facility * 8,
            host: if is_header_text(host) && !host.is_empty() && host.len() <= MAX_HOST_BYTES {
                host.to_owned()
            } else {
                NIL.to_owned()
            },
            app: app.to_owned(),
            extra_element: extra_element.map(|element| format!("[{element}]")).unwrap_or_default(),
        })
    }

    /// Appends the message of an event, without a frame.
    pub(super) fn write(&self, event: &Event, identifier: &str, out: &mut String) {
        let priority = self.facility_priority + severity_number(event.severity);
        let (host, app) = (&self.host, &self.app);
        let _ = write!(out, "<{priority}>1 ");
        write_time(event, out);
        let message_id = event.action.slug.as_str();
        let message_id = message_id.get(..MAX_MESSAGE_ID_BYTES).unwrap_or(message_id);
        let message_id = if is_header_text(message_id) { message_id } else { NIL };
        for part in [host.as_str(), app.as_str(), NIL, message_id] {
            out.push(' ');
            out.push_str(part);
        }
        out.push(' ');
        write_element(event, out);
        out.push_str(&self.extra_element);
        out.push(' ');
        let start = out.len();
        mirror_line::encode_message(event, identifier, out);
        // RFC 5424, section 6.4: a text that is not ASCII says by this mark that it is UTF-8.
        if !out[start..].is_ascii() {
            out.insert(start, BYTE_ORDER_MARK);
        }
    }
}

/// The number of a severity in syslog.
fn severity_number(severity: Severity) -> usize {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

/// Writes the time with the digits that are allowed; the text has all of them.
fn write_time(event: &Event, out: &mut String) {
    let start = out.len();
    event.occurred_at.write_into(out);
    if let Some(point) = out[start..].find('.') {
        let utc = out.pop();
        debug_assert_eq!(utc, Some('Z'), "a time is written in UTC");
        out.truncate(out.len().min(start + point + 1 + FRACTION_DIGITS));
        out.push('Z');
    }
}

fn write_element(event: &Event, out: &mut String) {
    out.push('[');
    out.push_str(ELEMENT);
    for field in &*ELEMENT_FIELDS {
        let Some(value) = (field.get)(event) else { continue };
        out.push(' ');
        out.push_str(field.name);
        out.push_str("=\"");
        match value {
            FieldValue::Integer(number) => {
                let _ = write!(out, "{number}");
            }
            FieldValue::Text(text) => write_parameter(text, out),
            FieldValue::Time(at) => at.write_into(out),
            FieldValue::Json(json) => write_parameter(json.as_str(), out),
            FieldValue::Hash(hash) => hash.write_hex_into(out),
        }
        out.push('"');
    }
    out.push(']');
}

/// Writes the value of a parameter (RFC 5424, section 6.3.3), control characters escaped first.
fn write_parameter(value: &str, out: &mut String) {
    let value = text::escape(value);
    let mut written = 0;
    for (place, byte) in value.bytes().enumerate() {
        if matches!(byte, b'"' | b'\\' | b']') {
            out.push_str(&value[written..place]);
            out.push('\\');
            written = place;
        }
    }
    out.push_str(&value[written..]);
}

/// Whether a text can stand in the head of a message: visible ASCII.
fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a text is an element of structured data, less its brackets: an id, then parameters. An id
/// may be longer than RFC 5424 has it, as the tokens of some services are.
fn is_element(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && is_header_text(name) && !name.contains(['=', ']', '"', '['])
    };
    let (id, mut rest) = text.split_once(' ').map_or((text, ""), |(id, rest)| (id, rest));
    if !is_name(id) {
        return false;
    }
    while !rest.is_empty() {
        let Some((name, value)) = rest.split_once("=\"") else { return false };
        let Some(end) = value_end(value) else { return false };
        let after = &value[end + 1..];
        if !is_name(name) || value[..end].contains(char::is_control) {
            return false;
        }
        match after.strip_prefix(' ') {
            Some(next) if !next.is_empty() => rest = next,
            _ if after.is_empty() => rest = "",
            _ => return false,
        }
    }
    true
}

/// The place of the quote that ends a value, if every `"`, `\` and `]` in it is escaped.
fn value_end(value: &str) -> Option<usize> {
    let mut escaped = false;
    for (place, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(place),
            b']' => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::event::Action;
    use crate::query::samples::any_event;
    use crate::query::samples::full_event;
    use crate::time::Timestamp;

    fn format() -> MessageFormat {
        MessageFormat::new("authpriv", "web3", "activity", None).unwrap()
    }

    fn message(format: &MessageFormat, event: &Event) -> String {
        let mut out = String::new();
        format.write(event, "s2l.online", &mut out);
        out
    }

    /// A message as a reader of RFC 5424 takes it apart.
    #[derive(Debug, Default, PartialEq)]
    struct ParsedMessage {
        priority: u8,
        head: Vec<String>,
        elements: Vec<(String, Vec<(String, String)>)>,
        text: String,
    }

    /// Parses a message by the grammar of RFC 5424, section 6, strictly.
    fn parse(message: &str) -> ParsedMessage {
        let (priority, rest) = message.strip_prefix('<').unwrap().split_once('>').unwrap();
        let mut parsed =
            ParsedMessage { priority: priority.parse().unwrap(), ..Default::default() };
        assert!(priority == "0" || !priority.starts_with('0'));
        let mut rest = rest.strip_prefix("1 ").unwrap();
        for limit in [32, 255, 48, 128, 32] {
            let (part, next) = rest.split_once(' ').unwrap();
            assert!((1..=limit).contains(&part.len()) && is_header_text(part), "{part:?}");
            parsed.head.push(part.to_owned());
            rest = next;
        }
        while let Some(element) = rest.strip_prefix('[') {
            let end = element.find([' ', ']']).unwrap();
            let (id, mut next) = element.split_at(end);
            let mut parameters = Vec::new();
            while let Some(parameter) = next.strip_prefix(' ') {
                let (name, value) = parameter.split_once("=\"").unwrap();
                assert!((1..=32).contains(&name.len()) && is_header_text(name), "{name:?}");
                let end = value_end(value).expect("the value ends");
                let mut plain = String::new();
                let mut chars = value[..end].chars();
                while let Some(c) = chars.next() {
                    plain.push(if c == '\\' { chars.next().unwrap() } else { c });
                }
                parameters.push((name.to_owned(), plain));
                next = &value[end + 1..];
            }
            parsed.elements.push((id.to_owned(), parameters));
            rest = next.strip_prefix(']').unwrap();
        }
        let text = rest.strip_prefix(' ').unwrap();
        let marked = text.strip_prefix(BYTE_ORDER_MARK);
        assert_eq!(marked.is_some(), !text.is_ascii());
        parsed.text = marked.unwrap_or(text).to_owned();
        parsed
    }

    #[test]
    fn severities_have_the_numbers_of_syslog() {
        let mut event = full_event();
        for (severity, priority) in Severity::ALL.into_iter().zip([86, 85, 84, 83, 82]) {
            event.severity = severity;
            assert_eq!(parse(&message(&format(), &event)).priority, priority);
        }
        let kernel = MessageFormat::new("kern", "web3", "activity", None).unwrap();
        assert_eq!(parse(&message(&kernel, &event)).priority, 2);
        let last = MessageFormat::new("local7", "web3", "activity", None).unwrap();
        assert_eq!(parse(&message(&last, &event)).priority, 186);
    }

    #[test]
    fn a_time_has_no_more_digits_than_allowed() {
        let mut event = full_event();
        for (nanos, time) in [
            (1_795_147_200_123_456_789, "2026-11-20T04:00:00.123456Z"),
            (1_795_147_200_123_456_000, "2026-11-20T04:00:00.123456Z"),
            (1_795_147_200_000_000_001, "2026-11-20T04:00:00.000000Z"),
        ] {
            event.occurred_at = Timestamp::from_nanos(nanos);
            assert_eq!(parse(&message(&format(), &event)).head[0], time);
        }
    }

    #[test]
    fn what_a_head_cannot_have_is_cut_or_left_out() {
        let mut event = full_event();
        event.action = Arc::new(Action { slug: "a".repeat(128), module: None });
        let odd = MessageFormat::new("user", "schöne kiste", "activity", None).unwrap();
        let parsed = parse(&message(&odd, &event));
        assert_eq!(parsed.head[1..], ["-", "activity", "-", &"a".repeat(32)]);
        for app in ["", "two words", "ä", &"a".repeat(49)] {
            assert!(MessageFormat::new("user", "web3", app, None).is_err(), "{app:?}");
        }
        assert!(MessageFormat::new("pigeon", "web3", "activity", None).is_err());
    }

    #[test]
    fn an_element_can_be_added() {
        for (element, parameters) in [
            ("c0ffee00-c0ff-eec0-ffee-c0ffeec0ffee@41058", vec![]),
            (r#"t@1 tag="a" x="\"\]\\""#, vec![("tag", "a"), ("x", "\"]\\")]),
        ] {
            let format = MessageFormat::new("user", "web3", "activity", Some(element)).unwrap();
            let parsed = parse(&message(&format, &full_event()));
            let parameters: Vec<_> = parameters
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            let id = element.split(' ').next().unwrap().to_owned();
            assert_eq!(parsed.elements[1], (id, parameters));
        }
        for bad in [
            "",
            " ",
            "a b",
            "[a@1]",
            "a@1]",
            "a=b",
            "a@1 x=y",
            "a@1 x=\"y",
            "a@1 x=\"]\"",
            "a@1 x=\"y\"z",
            "a@1 x=\"y\" ",
            "a@1\n",
            "a@1 x=\"\n\"",
            "ä@1",
        ] {
            assert!(MessageFormat::new("user", "h", "activity", Some(bad)).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_message_follows_the_grammar(event in any_event(), label in "\\PC{0,9}|[\\x00-\\x7f]{0,9}") {
            let mut event = event;
            let actor = crate::event::Party { id: Some("7".to_owned()), label: Some(label.clone()) };
            event.actor = Some(Arc::new(actor));
            let message = message(&format(), &event);
            prop_assert!(!message.contains(char::is_control), "{message:?}");
            let parsed = parse(&message);
            let (id, parameters) = &parsed.elements[0];
            prop_assert_eq!(id, ELEMENT);
            let (event_id, label) = (text::escape(&event.event_id), text::escape(&label));
            let value = |name: &str| {
                parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
            };
            prop_assert_eq!(value("event_id"), Some(&*event_id));
            prop_assert_eq!(value("action"), Some(event.action.slug.as_str()));
            prop_assert_eq!(value("actor_label"), Some(&*label));
            let json = &parsed.text[parsed.text.find('{').unwrap()..];
            let is_whole = parsed.text.ends_with('}') && json.contains("\"event_id\":");
            prop_assert!(is_whole);
        }
    }
}
