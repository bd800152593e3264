//! What the user says about the keys of an input, and what is noted of them.

use std::collections::HashMap;

use crate::event::field;
use crate::event::field::FieldKind;
use crate::event::field::KeyMeaning;
use crate::event::field::KnownKey;

/// The number of different keys that are counted. A file whose keys are data has no end of them.
const MAX_COUNTED_KEYS: usize = 1_000;

/// Names that often stand for who did it, without `_` and in lower case.
const ACTOR_LIKE: [&str; 24] = [
    "account",
    "actorname",
    "admin",
    "author",
    "changedby",
    "createdby",
    "email",
    "initiator",
    "login",
    "member",
    "modifiedby",
    "operator",
    "performedby",
    "person",
    "principal",
    "staff",
    "subject",
    "uid",
    "updatedby",
    "useremail",
    "userlogin",
    "usr",
    "who",
    "whoami",
];

/// Names that often stand for what was done, without `_` and in lower case.
const ACTION_LIKE: [&str; 12] = [
    "activity",
    "activitytype",
    "command",
    "event",
    "eventname",
    "eventtype",
    "kind",
    "operation",
    "operationname",
    "type",
    "verb",
    "what",
];

/// What becomes of an event without a time that seems to have one under another key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Undated {
    #[default]
    Refused,
    /// It occurred when the log takes it.
    TakenAsNow,
}

/// Keys that the user has mapped to fields: `--map FIELD=KEY`.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyMap {
    /// The key of the input, and what it stands for.
    entries: Vec<(String, KnownKey)>,
}

impl KeyMap {
    /// Adds `FIELD=KEY`.
    ///
    /// # Errors
    /// The reason: no `=`, no such field, or one that the log sets itself.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        let Some((name, key)) = text.split_once('=').filter(|(_, key)| !key.is_empty()) else {
            return Err(format!("{text:?} is not FIELD=KEY"));
        };
        let Some(known) = field::lookup(name).filter(|known| !is_stamp(known)) else {
            let near = field::nearest_key(name).filter(|known| !is_stamp(known));
            let near = near.map(|known| known.name());
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("{name:?} is not a field of an event{hint}"));
        };
        self.entries.push((key.to_owned(), KnownKey { rank: 0, ..known }));
        Ok(())
    }

    pub(super) fn meaning_of(&self, key: &str) -> Option<KnownKey> {
        self.entries.iter().find(|(mapped, _)| mapped == key).map(|(_, known)| *known)
    }

    pub(super) fn has_field(&self, name: &str) -> bool {
        self.entries.iter().any(
            |(_, known)| matches!(known.meaning, KeyMeaning::Field(field) if field.name == name),
        )
    }

    /// Whether a key is mapped to the field of that name.
    pub(crate) fn maps_to(&self, key: &str, field: &str) -> bool {
        self.meaning_of(key).is_some_and(|known| known.name() == field)
    }
}

/// How often a key went into the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KeyCount {
    events: u64,
    without_actor: u64,
    without_action: u64,
    /// The events in which its value holds others.
    nested: u64,
}

/// The keys that went into the payload because they are no fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IntakeNotes {
    counts: HashMap<String, KeyCount>,
    /// The events without an action that have keys of their own.
    without_action: u64,
}

/// A key that went into the payload.
pub(super) struct PayloadKey<'k> {
    pub key: &'k str,
    /// Whether its value is an object or a list.
    pub is_nested: bool,
}

/// What an event has, whose keys are counted.
#[derive(Clone, Copy)]
pub(super) struct KnownParts {
    pub actor: bool,
    pub action: bool,
}

impl IntakeNotes {
    /// Counts the keys of one event.
    pub(super) fn count<'k>(
        &mut self,
        keys: impl Iterator<Item = PayloadKey<'k>>,
        parts: KnownParts,
    ) {
        let mut keys = keys.peekable();
        // Where there is another key, it may be that.
        self.without_action += u64::from(!parts.action && keys.peek().is_some());
        for PayloadKey { key, is_nested } in keys {
            let one = KeyCount {
                events: 1,
                without_actor: u64::from(!parts.actor),
                without_action: u64::from(!parts.action),
                nested: u64::from(is_nested),
            };
            self.add(key, one);
        }
    }

    /// Adds the counts of other events.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.without_action += other.without_action;
        for (key, count) in &other.counts {
            self.add(key, *count);
        }
    }

    fn add(&mut self, key: &str, more: KeyCount) {
        if let Some(count) = self.counts.get_mut(key) {
            count.events += more.events;
            count.without_actor += more.without_actor;
            count.without_action += more.without_action;
            count.nested += more.nested;
        } else if self.counts.len() < MAX_COUNTED_KEYS {
            self.counts.insert(key.to_owned(), more);
        }
    }

    /// Returns each key with the number of its events, most first.
    pub(crate) fn payload_keys(&self) -> Vec<(&str, u64)> {
        let mut keys: Vec<_> =
            self.counts.iter().map(|(key, count)| (key.as_str(), count.events)).collect();
        keys.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        keys
    }

    /// Returns a remark on each key that was probably meant to be a field, and one on events without an
    /// action where no key looks like it.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let mut has_action_like = false;
        for (key, _) in self.payload_keys() {
            let Some((field, lines)) =
                self.counts.get(key).and_then(|count| likely_field(key, count))
            else {
                continue;
            };
            has_action_like |= field == "action";
            let noun = if lines == 1 { "line" } else { "lines" };
            remarks.push(format!(
                "{lines} {noun}: {key:?} went into the payload; --map {field}={key} takes it"
            ));
        }
        if self.without_action > 0 && !has_action_like {
            let (lines, verb) = match self.without_action {
                1 => ("line", "has"),
                _ => ("lines", "have"),
            };
            remarks.push(format!(
                "{} {lines} {verb} no action; --map action=KEY takes it from another key, or from \
                 within one: --map action=event.name",
                self.without_action
            ));
        }
        remarks
    }
}

/// Returns the field that a key in the payload was probably meant to be, and the number of events that
/// lack it.
fn likely_field(key: &str, count: &KeyCount) -> Option<(&'static str, u64)> {
    if field::lookup(key).is_some() {
        return None;
    }
    let folded: String = key.to_ascii_lowercase().replace(['_', '-'], "");
    let is_nested = count.nested == count.events;
    let near = field::nearest_key(key).filter(|known| !is_stamp(known));
    if let Some(near) = near.filter(|_| !is_nested) {
        Some((near.name(), count.events))
    } else if ACTOR_LIKE.contains(&folded.as_str()) && count.without_actor > 0 {
        let field = match folded.as_str() {
            _ if is_nested => "actor",
            "uid" => "actor_id",
            _ => "actor_label",
        };
        Some((field, count.without_actor))
    } else if ACTION_LIKE.contains(&folded.as_str()) && count.without_action > 0 && !is_nested {
        Some(("action", count.without_action))
    } else {
        None
    }
}

/// Whether a key stands for what only the log itself sets.
fn is_stamp(known: &KnownKey) -> bool {
    matches!(known.meaning, KeyMeaning::Field(field) if field.kind == FieldKind::Stamp)
}
