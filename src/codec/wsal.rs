//! Decodes the lines of WP Activity Log and of other programs that log through Monolog.
//!
//! WP Activity Log writes its data about an event as Monolog's context, under names of its own:
//! `[2023-07-05T20:19:15+00:00] example.com.ALERT: Activated the plugin X. {"Code":5001,…} []`.
//! A name that corresponds to a field fills that field; the others go into the payload unchanged.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;

use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::builder::InputValue;
use crate::event::builder::IntakeOptions;
use crate::event::builder::NewEventBuilder;
use crate::event::field;
use crate::event::json;
use crate::event::quoted;
use crate::text;

/// A member of the JSON: its name, and its value as JSON text.
type JsonMember<'a> = (Cow<'a, str>, &'a str);

/// More letters than the name of any level has.
const MAX_LEVEL_LETTERS: usize = 20;

/// Returns the severity of a level. Monolog has the eight levels of syslog, but WP Activity Log
/// writes ALERT for the severity that it calls high.
fn parse_level(level: &str) -> Option<Severity> {
    if level.eq_ignore_ascii_case("alert") { Some(Severity::High) } else { Severity::parse(level) }
}

/// Makes the event of a line that this program did not write. `head` is the part of the line before
/// its JSON, `members` are those of the JSON.
///
/// # Errors
/// The reason.
pub(super) fn decode(
    head: &str,
    members: Vec<JsonMember<'_>>,
    options: IntakeOptions<'_>,
) -> Result<NewEvent, String> {
    let head = &LineHeader::parse(head)?;
    let is_wsal =
        members.iter().any(|(name, _)| matches!(name.as_ref(), "Code" | "Object" | "EventType"));
    if is_wsal {
        MonologContext::new(members)?.into_event(head, options)
    } else {
        event_with_our_names(head, members, options)
    }
}

/// The part of a line before its JSON.
struct LineHeader<'a> {
    time: &'a str,
    identifier: &'a str,
    level: &'a str,
    message: &'a str,
}

impl<'a> LineHeader<'a> {
    fn parse(head: &'a str) -> Result<Self, String> {
        let parts = || {
            let (time, rest) = head.trim_ascii_start().strip_prefix('[')?.split_once(']')?;
            let rest = rest.trim_ascii_start();
            // The identifier may contain dots and colons, and the message any text.
            rest.match_indices(':').find_map(|(colon, _)| {
                let before = &rest[..colon];
                let letters = before
                    .bytes()
                    .rev()
                    .take(MAX_LEVEL_LETTERS)
                    .take_while(u8::is_ascii_alphabetic);
                let (identifier, level) = before.split_at(colon - letters.count());
                let identifier = identifier.strip_suffix('.')?;
                parse_level(level)?;
                Some(LineHeader {
                    time,
                    identifier,
                    level,
                    message: rest[colon + 1..].trim_ascii(),
                })
            })
        };
        parts().ok_or_else(|| "does not begin with [TIME] IDENTIFIER.SEVERITY: MESSAGE".to_owned())
    }
}

/// Returns the event of a line whose JSON uses the names of our fields. The head fills in the
/// fields that the JSON lacks.
fn event_with_our_names(
    head: &LineHeader<'_>,
    members: Vec<JsonMember<'_>>,
    options: IntakeOptions<'_>,
) -> Result<NewEvent, String> {
    let mut builder = NewEventBuilder::new(options);
    let given_bits: u64 = members
        .iter()
        .filter_map(|(name, _)| field::lookup(name))
        .fold(0, |given_bits, name| given_bits | name.field_bit);
    for (name, value) in header_fields(head) {
        if field::lookup(name).is_some_and(|name| given_bits & name.field_bit == 0) {
            builder.add(name.into(), InputValue::Text(value.into()))?;
        }
    }
    for (name, value) in members {
        builder.add_json(name, value)?;
    }
    builder.build()
}

fn header_fields<'a>(head: &LineHeader<'a>) -> [(&'static str, &'a str); 4] {
    [
        ("occurred_at", head.time),
        ("tenant", head.identifier),
        ("severity", parse_level(head.level).map_or(head.level, |severity| severity.name())),
        ("title", head.message),
    ]
}

/// The context of one line, from which members are removed one by one.
struct MonologContext<'a> {
    /// A removed member is `None`.
    members: Vec<Option<JsonMember<'a>>>,
    index_by_name: HashMap<Cow<'a, str>, usize>,
}

impl<'a> MonologContext<'a> {
    fn new(members: Vec<JsonMember<'a>>) -> Result<Self, String> {
        let mut index_by_name = HashMap::with_capacity(members.len());
        for (index, (name, _)) in members.iter().enumerate() {
            if index_by_name.insert(name.clone(), index).is_some() {
                return Err(format!("{} is given twice", quoted(name)));
            }
        }
        Ok(Self { members: members.into_iter().map(Some).collect(), index_by_name })
    }

    fn into_event(
        mut self,
        head: &LineHeader<'a>,
        options: IntakeOptions<'_>,
    ) -> Result<NewEvent, String> {
        let mut fields: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        fields.extend(header_fields(head).map(|(name, value)| (name, Cow::Borrowed(value))));
        if let Some(severity) = self.text_value("Severity").and_then(|code| Severity::parse(&code))
        {
            self.remove("Severity");
            fields.retain(|(name, _)| *name != "severity");
            fields.push(("severity", severity.name().into()));
        }
        fields.extend(self.take_action().map(|action| ("action", action)));
        self.take_actor(&mut fields);
        self.take_target(&mut fields);
        self.take_ip(&mut fields);
        let diff = self.take_diff();
        let payload =
            json_object(self.members.iter().flatten().map(|(name, value)| (name.as_ref(), *value)));
        let mut builder = NewEventBuilder::new(options);
        for (name, value) in &fields {
            builder.add((*name).into(), InputValue::Text(value.as_ref().into()))?;
        }
        if let Some(diff) = &diff {
            builder.add("diff".into(), InputValue::Json(diff))?;
        }
        if let Some(payload) = &payload {
            builder.add("payload".into(), InputValue::Json(payload))?;
        }
        builder.build()
    }

    /// Returns the action, from `Object` and `EventType` or else from `Code`. A text that differs from
    /// its slug stays in the payload.
    fn take_action(&mut self) -> Option<Cow<'a, str>> {
        let part =
            |context: &Self, name| context.text_value(name).map(|text| (to_slug(&text), text));
        let whole = part(self, "Object").zip(part(self, "EventType"));
        if let Some(((object, object_text), (kind, kind_text))) = whole
            && !object.is_empty()
            && !kind.is_empty()
        {
            for (name, slug, text) in
                [("Object", &object, &object_text), ("EventType", &kind, &kind_text)]
            {
                if slug == text {
                    self.remove(name);
                }
            }
            return Some(format!("{object}.{kind}").into());
        }
        let (code, _) = part(self, "Code").filter(|(code, _)| !code.is_empty())?;
        Some(format!("wsal.{code}").into())
    }

    fn take_actor(&mut self, fields: &mut Vec<(&'static str, Cow<'a, str>)>) {
        if self.text_value("Username").as_deref() == Some("System") {
            self.remove("Username");
            fields.push(("source", "system".into()));
            return;
        }
        self.move_to_field("Username", "actor_label", fields);
        self.move_to_field("CurrentUserID", "actor_id", fields);
    }

    fn take_target(&mut self, fields: &mut Vec<(&'static str, Cow<'a, str>)>) {
        if self.move_to_field("PostID", "target_id", fields) {
            if !self.move_to_field("PostType", "target_type", fields) {
                fields.push(("target_type", "post".into()));
            }
            self.move_to_field("PostTitle", "target_label", fields);
        } else if self.move_to_field("TargetUserID", "target_id", fields) {
            fields.push(("target_type", "user".into()));
            self.move_to_field("TargetUsername", "target_label", fields);
        }
    }

    /// Takes the address, which some proxies write with a port or as a list of one. A value that
    /// holds more than an address stays in the payload.
    fn take_ip(&mut self, fields: &mut Vec<(&'static str, Cow<'a, str>)>) {
        let Some(raw) = self.raw_value("ClientIP") else {
            return;
        };
        let list = serde_json::from_str::<Vec<String>>(raw).unwrap_or_default();
        let text = match (self.text_value("ClientIP"), list.as_slice()) {
            (Some(text), _) => text,
            (None, [one]) => Cow::Owned(one.clone()),
            (None, _) => return,
        };
        let address_text = text.trim_matches(|c: char| c == '"' || c.is_ascii_whitespace());
        if address_text.parse::<IpAddr>().is_ok() {
            fields.push(("ip", address_text.to_owned().into()));
            self.remove("ClientIP");
        } else if let Ok(address) = address_text.parse::<SocketAddr>() {
            fields.push(("ip", address.ip().to_string().into()));
        }
    }

    /// Takes the pairs `OldX` and `NewX` as a diff.
    fn take_diff(&mut self) -> Option<String> {
        let fields: Vec<String> = self
            .members
            .iter()
            .flatten()
            .filter_map(|(name, _)| name.strip_prefix("Old"))
            .filter(|field| field.starts_with(|c: char| !c.is_lowercase()))
            .filter(|field| self.raw_value(&format!("New{field}")).is_some())
            .map(str::to_owned)
            .collect();
        let entries: Vec<(String, String)> = fields
            .into_iter()
            .filter_map(|field| {
                let (old, new) = (format!("Old{field}"), format!("New{field}"));
                let entry = json_object(
                    [("before", self.raw_value(&old)?), ("after", self.raw_value(&new)?)]
                        .into_iter(),
                );
                self.remove(&old);
                self.remove(&new);
                Some((field, entry?))
            })
            .collect();
        json_object(entries.iter().map(|(field, entry)| (field.as_str(), entry.as_str())))
    }

    /// Moves a member to a field, unless its text is empty. Returns whether it moved it.
    fn move_to_field(
        &mut self,
        name: &str,
        field: &'static str,
        fields: &mut Vec<(&'static str, Cow<'a, str>)>,
    ) -> bool {
        let Some(text) = self.text_value(name) else {
            return false;
        };
        fields.push((field, text));
        self.remove(name);
        true
    }

    fn raw_value(&self, name: &str) -> Option<&'a str> {
        let index = self.index_by_name.get(name)?;
        self.members[*index].as_ref().map(|(_, value)| *value)
    }

    /// Returns a string or a number as text. An empty string and 0 count as absent: WordPress writes
    /// 0 for nobody and nothing.
    fn text_value(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw_value(name)?;
        let text = if raw.starts_with('"') {
            json::parse_string(raw).ok()?
        } else if json::describe_type(raw) == "a number" {
            Cow::Borrowed(raw)
        } else {
            return None;
        };
        (!text.is_empty() && text != "0").then_some(text)
    }

    fn remove(&mut self, name: &str) {
        if let Some(index) = self.index_by_name.get(name) {
            self.members[*index] = None;
        }
    }
}

/// Returns the JSON text of an object with these members, or `None` without members.
fn json_object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let mut out = String::new();
    for (name, value) in members {
        out.push(if out.is_empty() { '{' } else { ',' });
        text::json_string_into(&mut out, name);
        out.push(':');
        out.push_str(value);
    }
    (!out.is_empty()).then(|| out + "}")
}

/// Turns any text into a part of an action.
fn to_slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || "_.:/-".contains(c) => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}
