//! Tells whether the events of a run may contradict each other.
//!
//! ## Cost
//! 16 bytes for each `event_id` that was given, and some room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::hash::RandomState;

use crate::event::NewEvent;

/// The events of a run that have an `event_id`, as hashes with a random key.
#[derive(Default)]
pub(super) struct SeenIds {
    /// The hash of an event by that of its tenant and `event_id`.
    contents: HashMap<u64, u64>,
    hasher: RandomState,
    may_conflict: bool,
}

impl SeenIds {
    pub(super) fn insert(&mut self, event: &NewEvent) {
        let Some(event_id) = event.event_id.as_deref().filter(|id| !id.is_empty()) else {
            return;
        };
        let key = self.hasher.hash_one((&event.tenant, event_id));
        let content = self.hasher.hash_one(format!("{event:?}"));
        match self.contents.entry(key) {
            Entry::Vacant(free) => drop(free.insert(content)),
            Entry::Occupied(seen) => self.may_conflict |= *seen.get() != content,
        }
    }

    /// Whether two events have the same `event_id` and are not the same. They contradict each other, or
    /// one of them says less.
    pub(super) fn may_conflict(&self) -> bool {
        self.may_conflict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_one_id_that_differ_may_conflict() {
        let event = |tenant: Option<&str>, id: Option<&str>, action: &str| NewEvent {
            tenant: tenant.map(str::to_owned),
            event_id: id.map(str::to_owned),
            action: action.to_owned(),
            ..NewEvent::default()
        };
        let mut seen = SeenIds::default();
        seen.insert(&event(None, None, "a"));
        seen.insert(&event(None, None, "b"));
        seen.insert(&event(None, Some("1"), "a"));
        seen.insert(&event(None, Some("1"), "a"));
        seen.insert(&event(Some("t"), Some("1"), "b"));
        assert!(!seen.may_conflict());
        seen.insert(&event(None, Some("1"), "b"));
        assert!(seen.may_conflict());
    }
}
