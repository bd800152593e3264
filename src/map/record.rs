//! A record of a foreign log: its values, and which of them became fields.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::event::json;
use crate::event::quoted;
use crate::map::path;
use crate::map::path::FoundStep;
use crate::map::path::RecordPath;
use crate::text;

/// A value of a record.
#[derive(Clone, Debug)]
pub(crate) enum RecordValue<'a> {
    /// A cell of CSV, or a named group of a pattern.
    Text(Cow<'a, str>),
    /// Valid JSON text.
    Json(&'a str),
}

/// A record, of which some values are taken.
pub(crate) struct Record<'a> {
    members: Vec<RecordMember<'a>>,
}

struct RecordMember<'a> {
    key: Cow<'a, str>,
    value: RecordValue<'a>,
    is_taken: bool,
    /// The ways to the values within it that are taken.
    taken_within: Vec<Vec<FoundStep<'a>>>,
}

/// A value that a path leads to.
pub(super) struct RecordMatch<'a> {
    pub value: RecordValue<'a>,
    member: usize,
    way: Vec<FoundStep<'a>>,
}

impl<'a> RecordMatch<'a> {
    /// The value as text; `None` for a list, an object, null and the empty text.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        let text = match &self.value {
            RecordValue::Text(text) => text.clone(),
            RecordValue::Json(raw) => match raw.as_bytes().first()? {
                b'"' => json::parse_string(raw).ok()?,
                b'{' | b'[' | b'n' => return None,
                _ => Cow::Borrowed(*raw),
            },
        };
        (!text.is_empty()).then_some(text)
    }

    /// The value as JSON text; `None` for null.
    pub(super) fn json(&self) -> Option<Cow<'a, str>> {
        match &self.value {
            RecordValue::Json("null") => None,
            RecordValue::Json(raw) => Some(Cow::Borrowed(*raw)),
            RecordValue::Text(text) => {
                let mut json = String::with_capacity(text.len() + 2);
                text::json_string_into(&mut json, text);
                Some(Cow::Owned(json))
            }
        }
    }
}

impl<'a> Record<'a> {
    /// Makes a record of its values at the top.
    ///
    /// # Errors
    /// The reason: a key is given twice.
    pub(crate) fn new(
        values: impl Iterator<Item = (Cow<'a, str>, RecordValue<'a>)>,
    ) -> Result<Self, String> {
        let member =
            |(key, value)| RecordMember { key, value, is_taken: false, taken_within: Vec::new() };
        let members: Vec<_> = values.map(member).collect();
        let mut keys = HashSet::with_capacity(members.len());
        match members.iter().find(|member| !keys.insert(member.key.as_ref())) {
            Some(twice) => Err(format!("{} is given twice", quoted(&twice.key))),
            None => Ok(Self { members }),
        }
    }

    /// Reads the record from a JSON object.
    ///
    /// # Errors
    /// The reason: it is none, or a key is given twice.
    pub(crate) fn from_json(text: &'a str) -> Result<Self, String> {
        let members = json::object_members(text)?;
        Self::new(members.into_iter().map(|(key, raw)| (key, RecordValue::Json(raw))))
    }

    /// Whether it has a value under a key at the top.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.members.iter().any(|member| member.key == key)
    }

    /// Takes the value that a path leads to, as JSON text; `None` where there is none.
    pub(crate) fn lift(&mut self, path: &RecordPath) -> Option<Cow<'a, str>> {
        let found = self.find(path)?;
        let json = found.json()?;
        self.take(found);
        Some(json)
    }

    /// Adds a value that was found within another one. What the record has under that key stays.
    pub(super) fn add(&mut self, key: &'a str, text: String) {
        if self.members.iter().all(|member| member.key != key) {
            let value = RecordValue::Text(Cow::Owned(text));
            self.members.push(RecordMember {
                key: Cow::Borrowed(key),
                value,
                is_taken: false,
                taken_within: Vec::new(),
            });
        }
    }

    /// Finds the value that a path leads to.
    pub(super) fn find(&self, path: &RecordPath) -> Option<RecordMatch<'a>> {
        let place = self.members.iter().position(|member| member.key == path.first)?;
        let value = &self.members.get(place)?.value;
        if path.is_top() {
            return Some(RecordMatch { value: value.clone(), member: place, way: Vec::new() });
        }
        // A cell of CSV may hold JSON.
        let raw = match value {
            RecordValue::Json(raw) => *raw,
            RecordValue::Text(Cow::Borrowed(text)) if is_json(text) => text,
            RecordValue::Text(_) => return None,
        };
        let found = path.follow(raw)?;
        Some(RecordMatch { value: RecordValue::Json(found.raw), member: place, way: found.way })
    }

    /// The values at the top.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, &RecordValue<'a>)> {
        self.members.iter().map(|member| (member.key.as_ref(), &member.value))
    }

    /// Notes that a value became a field, or is dropped.
    pub(super) fn take(&mut self, found: RecordMatch<'a>) {
        if let Some(member) = self.members.get_mut(found.member) {
            if found.way.is_empty() {
                member.is_taken = true;
            } else {
                member.taken_within.push(found.way);
            }
        }
    }

    /// The JSON text of an object with all values that were not taken; `None` where all were. Null and
    /// empty text are left out, as everywhere at the top of an event.
    pub(crate) fn rest(&self) -> Option<String> {
        let mut out = String::new();
        for member in &self.members {
            let is_absent = match &member.value {
                RecordValue::Text(text) => text.is_empty(),
                RecordValue::Json(raw) => matches!(*raw, "null" | "\"\""),
            };
            if member.is_taken || is_absent {
                continue;
            }
            let length = out.len();
            out.push(if length == 0 { '{' } else { ',' });
            text::json_string_into(&mut out, &member.key);
            out.push(':');
            match &member.value {
                RecordValue::Text(text) if member.taken_within.is_empty() => {
                    text::json_string_into(&mut out, text);
                }
                RecordValue::Text(Cow::Owned(_)) => {}
                RecordValue::Json(raw) | RecordValue::Text(Cow::Borrowed(raw)) => {
                    let ways: Vec<&[FoundStep<'_>]> =
                        member.taken_within.iter().map(Vec::as_slice).collect();
                    if !path::write_without(raw, &ways, &mut out) {
                        out.truncate(length);
                    }
                }
            }
        }
        (!out.is_empty()).then(|| out + "}")
    }
}

/// Whether text is a JSON object or list.
fn is_json(text: &str) -> bool {
    text.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(text).is_ok()
}
