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
        let is_stamp = |known: &KnownKey| matches!(known.meaning, KeyMeaning::Field(field) if field.kind == FieldKind::Stamp);
        let Some(known) = field::lookup(name).filter(|known| !is_stamp(known)) else {
            let near = field::nearest_key(name).map(|known| known.name());
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
}

/// The keys that went into the payload because they are no fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IntakeNotes {
    counts: HashMap<String, KeyCount>,
}

impl IntakeNotes {
    /// Counts the keys of one event.
    pub(super) fn count<'k>(&mut self, keys: impl Iterator<Item = &'k str>, has_actor: bool) {
        for key in keys {
            let one = KeyCount { events: 1, without_actor: u64::from(!has_actor) };
            self.add(key, one);
        }
    }

    /// Adds the counts of other events.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            self.add(key, *count);
        }
    }

    fn add(&mut self, key: &str, more: KeyCount) {
        if let Some(count) = self.counts.get_mut(key) {
            count.events += more.events;
            count.without_actor += more.without_actor;
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

    /// Returns a remark on each key that was probably meant to be a field.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let remark = |(key, _): (&str, u64)| {
            let count = self.counts.get(key)?;
            let folded: String = key.to_ascii_lowercase().replace(['_', '-'], "");
            let (field, lines) = if field::lookup(key).is_some() {
                return None;
            } else if let Some(near) = field::nearest_key(key) {
                (near.name(), count.events)
            } else if ACTOR_LIKE.contains(&folded.as_str()) && count.without_actor > 0 {
                let field = if folded == "uid" { "actor_id" } else { "actor_label" };
                (field, count.without_actor)
            } else {
                return None;
            };
            let noun = if lines == 1 { "line" } else { "lines" };
            Some(format!(
                "{lines} {noun}: {key:?} went into the payload; --map {field}={key} takes it"
            ))
        };
        self.payload_keys().into_iter().filter_map(remark).collect()
    }
}
