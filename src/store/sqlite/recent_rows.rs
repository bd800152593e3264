//! Remembers the rows of a dimension that were asked for of late.
//!
//! ## Cost
//!
//! Rows stand in two generations. The younger one has what was asked for since it began; when it is full
//! it becomes the older one, whose rows are forgotten. So memory is bounded, and rows that are asked for
//! often stay, where clearing all of them would have each read again. A generation with much more text
//! than it may have, of rows that were read at once, is forgotten when it ends.

use std::sync::Arc;

use crate::event::Action;
use crate::event::Party;
use crate::event::Target;
use crate::store::sqlite::row_keys::RowKeyMap;

/// The number of rows of a generation: more than a page of any export needs.
const GENERATION_ROWS: usize = 1 << 13;
/// The bytes of text of a generation. Titles and user agents may be long.
const GENERATION_TEXT_BYTES: usize = 1 << 20;

/// What a row holds of text, in bytes.
pub(super) trait HeldText {
    fn text_bytes(&self) -> usize;
}

/// The rows of one dimension by key.
pub(super) struct RecentRows<T> {
    young: RowKeyMap<i64, T>,
    old: RowKeyMap<i64, T>,
    /// The bytes of text in the younger generation.
    text_bytes: usize,
}

impl<T> Default for RecentRows<T> {
    fn default() -> Self {
        Self { young: RowKeyMap::default(), old: RowKeyMap::default(), text_bytes: 0 }
    }
}

impl<T: HeldText> RecentRows<T> {
    /// Begins a new generation where this one is full. Until the next call no row is forgotten.
    pub(super) fn make_room(&mut self) {
        if self.text_bytes >= 2 * GENERATION_TEXT_BYTES {
            *self = Self::default();
        } else if self.young.len() >= GENERATION_ROWS || self.text_bytes >= GENERATION_TEXT_BYTES {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.text_bytes = 0;
        }
    }

    /// Whether the row with this key is here. If so, it is one of the younger ones from now on.
    pub(super) fn renew(&mut self, key: i64) -> bool {
        if self.young.contains_key(&key) {
            return true;
        }
        match self.old.remove(&key) {
            Some(row) => {
                self.insert(key, row);
                true
            }
            None => false,
        }
    }

    pub(super) fn insert(&mut self, key: i64, row: T) {
        self.text_bytes += row.text_bytes();
        self.young.insert(key, row);
    }

    pub(super) fn get(&self, key: i64) -> Option<&T> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }
}

impl HeldText for String {
    fn text_bytes(&self) -> usize {
        self.len()
    }
}

impl HeldText for str {
    fn text_bytes(&self) -> usize {
        self.len()
    }
}

impl<T: HeldText> HeldText for Option<T> {
    fn text_bytes(&self) -> usize {
        self.as_ref().map_or(0, T::text_bytes)
    }
}

impl<T: HeldText + ?Sized> HeldText for Arc<T> {
    fn text_bytes(&self) -> usize {
        self.as_ref().text_bytes()
    }
}

impl HeldText for Action {
    fn text_bytes(&self) -> usize {
        self.slug.len() + self.module.text_bytes()
    }
}

impl HeldText for Party {
    fn text_bytes(&self) -> usize {
        self.id.text_bytes() + self.label.text_bytes()
    }
}

impl HeldText for Target {
    fn text_bytes(&self) -> usize {
        self.kind.text_bytes() + self.id.text_bytes() + self.label.text_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(keys: std::ops::Range<i64>) -> RecentRows<String> {
        let mut rows = RecentRows::default();
        for key in keys {
            rows.make_room();
            assert!(!rows.renew(key));
            rows.insert(key, key.to_string());
            assert_eq!(rows.get(key).map(String::as_str), Some(&*key.to_string()));
        }
        rows
    }

    #[test]
    fn two_generations_are_remembered_and_no_more() {
        let generation = i64::try_from(GENERATION_ROWS).unwrap();
        let rows = filled(0..3 * generation);
        assert_eq!(rows.young.len() + rows.old.len(), 2 * GENERATION_ROWS);
        assert_eq!(rows.get(0), None);
        assert!(rows.get(generation).is_some());
    }

    #[test]
    fn a_row_that_is_asked_for_stays() {
        let generation = i64::try_from(GENERATION_ROWS).unwrap();
        let mut rows = filled(0..generation);
        for key in generation..5 * generation {
            rows.make_room();
            assert!(rows.renew(7), "{key}");
            rows.insert(key, String::new());
        }
        assert!(!rows.renew(8));
    }

    #[test]
    fn long_texts_fill_a_generation() {
        let mut rows = RecentRows::default();
        for key in 0..8 {
            rows.make_room();
            rows.insert(key, "x".repeat(GENERATION_TEXT_BYTES / 2));
        }
        assert_eq!(rows.young.len() + rows.old.len(), 4);
        for key in 8..16 {
            rows.insert(key, "x".repeat(GENERATION_TEXT_BYTES / 2));
        }
        rows.make_room();
        assert_eq!(rows.young.len() + rows.old.len(), 0);
    }
}
