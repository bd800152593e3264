//! Maps and sets by the keys of rows.
//!
//! ## Cost
//! The log gives out the keys itself, in ascending order, so nobody can choose those that collide, and
//! a multiplication spreads them. The usual hash, which withstands chosen keys, took a twentieth of an
//! export.

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;

/// A map by the key of a row, or by several.
pub(super) type RowKeyMap<K, V> = HashMap<K, V, BuildHasherDefault<RowKeyHasher>>;
/// A set of keys of rows.
pub(super) type RowKeySet = HashSet<i64, BuildHasherDefault<RowKeyHasher>>;

/// Multiplies by an odd number near the golden ratio of 64 bits: D. E. Knuth, The Art of Computer
/// Programming, volume 3, section 6.4.
#[derive(Default)]
pub(super) struct RowKeyHasher(u64);

impl RowKeyHasher {
    fn add(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Hasher for RowKeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.add(u64::from(*byte));
        }
    }

    fn write_i64(&mut self, key: i64) {
        self.add(key.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    /// A table with room for them has them nearly all in places of their own.
    #[test]
    fn keys_that_ascend_are_spread() {
        let hasher = BuildHasherDefault::<RowKeyHasher>::default();
        let places = |keys: &dyn Fn(i64) -> u64| {
            let places: HashSet<u64> = (0..4_096).map(|key| keys(key) % 4_096).collect();
            let tags: HashSet<u64> = (0..4_096).map(|key| keys(key) >> 57).collect();
            (places.len(), tags.len())
        };
        assert_eq!(places(&|key| hasher.hash_one(key)), (4_096, 128));
        let (distinct, tags) = places(&|key| hasher.hash_one((key / 64, key % 64)));
        assert!(distinct > 2_000 && tags == 128, "{distinct} {tags}");
    }
}
