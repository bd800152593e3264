//! Diffs: the changes between the states of a record before and after.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::event::json::{self, JsonObject};
use crate::event::quoted;
use crate::text;

/// One changed field of a diff. Each side is JSON text, `None` where the record did not have the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub field: Cow<'a, str>,
    pub before: Option<&'a str>,
    pub after: Option<&'a str>,
}

impl Change<'_> {
    /// Whether the two sides are equal. Such an entry is kept, but not shown.
    pub(crate) fn is_unchanged(&self) -> bool {
        match (self.before, self.after) {
            (Some(before), Some(after)) => json::same_value(before, after),
            _ => false,
        }
    }
}

/// The entries of a diff in order, also those that changed nothing.
pub(crate) fn changes(diff: &JsonObject) -> Vec<Change<'_>> {
    diff.members()
        .into_iter()
        .map(|(field, entry)| {
            let sides = json::members(entry).unwrap_or_default();
            let side = |name| sides.iter().rev().find(|(key, _)| key == name).map(|(_, raw)| *raw);
            Change { field, before: side("before"), after: side("after") }
        })
        .collect()
}

/// Checks that each entry of a diff has `before`, `after` or both.
///
/// # Errors
/// The reason, with the field's name.
pub(crate) fn check(diff: &JsonObject) -> Result<(), String> {
    for (field, entry) in diff.members() {
        let has_a_side = json::members(entry)
            .is_ok_and(|sides| sides.iter().any(|(key, _)| key == "before" || key == "after"));
        if !has_a_side {
            return Err(format!("diff of {} has neither before nor after", quoted(&field)));
        }
    }
    Ok(())
}

/// The diff from the whole states before and after: the fields whose values differ, those of
/// `before` first, each in its order. `None` when nothing changed.
pub(crate) fn between(before: &JsonObject, after: &JsonObject) -> Option<JsonObject> {
    let (old, new) = (ObjectMembers::from_json(before), ObjectMembers::from_json(after));
    let mut entries = Vec::new();
    for key in &old.order {
        let (was, is) = (old.value(key), new.value(key));
        match (was, is) {
            (Some(was), Some(is)) if json::same_value(was, is) => {}
            _ => entries.push(entry(key, was, is)),
        }
    }
    let added = new.order.iter().filter(|key| old.value(key).is_none());
    entries.extend(added.map(|key| entry(key, None, new.value(key))));
    (!entries.is_empty()).then(|| JsonObject::from_trusted(format!("{{{}}}", entries.join(","))))
}

/// The members of an object by key. Of a repeated key the last value counts.
struct ObjectMembers<'a> {
    order: Vec<Cow<'a, str>>,
    values: HashMap<Cow<'a, str>, &'a str>,
}

impl<'a> ObjectMembers<'a> {
    fn from_json(object: &'a JsonObject) -> Self {
        let mut members = Self { order: Vec::new(), values: HashMap::new() };
        for (key, value) in object.members() {
            if members.values.insert(key.clone(), value).is_none() {
                members.order.push(key);
            }
        }
        members
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.values.get(key).copied()
    }
}

/// Writes an entry of a diff. The field stands on at least one side.
fn entry(key: &str, before: Option<&str>, after: Option<&str>) -> String {
    let mut entry = String::new();
    text::json_string_into(&mut entry, key);
    let sides = [("before", before), ("after", after)];
    for (place, (side, value)) in sides.iter().filter(|(_, value)| value.is_some()).enumerate() {
        entry.push_str(if place == 0 { ":{\"" } else { ",\"" });
        entry.push_str(side);
        entry.push_str("\":");
        entry.push_str(value.unwrap_or_default());
    }
    entry.push('}');
    entry
}
