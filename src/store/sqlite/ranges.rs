//! Ranges of numbers in a query, as a condition on a column.
//!
//! A query may name thousands of ranges, and SQLite limits how much text and how many parameters a
//! statement has. Many ranges are therefore one parameter, in which `within` searches.

use crate::query::value::ValueRange;
use crate::store::sqlite::sql::Sql;

/// The number of ranges up to which each is a comparison of its own, which SQLite tries fastest.
const MAX_COMPARISONS: usize = 16;

const BYTES_OF_NUMBER: usize = size_of::<i64>();
const BYTES_OF_RANGE: usize = 2 * BYTES_OF_NUMBER;

/// Ranges of numbers with both ends included.
pub(super) struct NumberRanges(
    /// Ascending, without overlaps and without gaps of nothing between them.
    Vec<(i64, i64)>,
);

impl NumberRanges {
    pub(super) fn new<T: Copy>(ranges: &[ValueRange<T>], number: impl Fn(T) -> i64) -> Self {
        let mut sorted: Vec<(i64, i64)> = ranges
            .iter()
            .map(|range| (number(range.from), number(range.to)))
            .filter(|(from, to)| from <= to)
            .collect();
        sorted.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(sorted.len());
        for (from, to) in sorted {
            match merged.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    pub(super) fn as_slice(&self) -> &[(i64, i64)] {
        &self.0
    }

    /// Returns the condition that a column is in one of the ranges. `between` is the column with
    /// `BETWEEN ?`, `within` the same column with all ranges as one parameter.
    pub(super) fn condition(&self, between: &'static str, within: &'static str) -> Sql {
        if self.0.len() > MAX_COMPARISONS {
            let mut sql = Sql::default();
            sql.bind(within, self.to_blob());
            return sql;
        }
        Sql::any_of(self.0.iter().map(|&(from, to)| {
            let mut sql = Sql::default();
            sql.bind(between, from).bind(" AND ?", to);
            sql
        }))
    }

    /// Returns the ends of all ranges, for [`blob_contains`].
    fn to_blob(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(from, to)| [from.to_be_bytes(), to.to_be_bytes()])
            .flatten()
            .collect()
    }
}

/// Whether one of the ranges of a blob contains the number.
pub(super) fn blob_contains(blob: &[u8], number: i64) -> bool {
    let (ranges, _) = blob.as_chunks::<BYTES_OF_RANGE>();
    let ends = |range: &[u8; BYTES_OF_RANGE]| {
        let (ends, _) = range.as_chunks::<BYTES_OF_NUMBER>();
        let end = |place: usize| ends.get(place).map_or(0, |bytes| i64::from_be_bytes(*bytes));
        (end(0), end(1))
    };
    let following = ranges.partition_point(|range| ends(range).0 <= number);
    following
        .checked_sub(1)
        .and_then(|place| ranges.get(place))
        .is_some_and(|range| number <= ends(range).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged_and_searched() {
        let ranges: Vec<ValueRange<i64>> =
            [(7, 9), (1, 3), (4, 4), (20, 10), (8, 12), (i64::MAX, i64::MAX)]
                .map(|(from, to)| ValueRange { from, to })
                .to_vec();
        let ranges = NumberRanges::new(&ranges, |number| number);
        assert_eq!(ranges.as_slice(), [(1, 4), (7, 12), (i64::MAX, i64::MAX)]);
        let blob = ranges.to_blob();
        for number in [-1, 0, 1, 4, 5, 6, 7, 12, 13, i64::MIN, i64::MAX - 1, i64::MAX] {
            let expected =
                ranges.as_slice().iter().any(|(from, to)| (*from..=*to).contains(&number));
            assert_eq!(blob_contains(&blob, number), expected, "{number}");
        }
        assert!(!blob_contains(&[], 1));
    }
}
