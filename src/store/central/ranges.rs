//! Ranges of ids: those that a central store drops, and those that a log vouches for.

use crate::event::EventId;
use crate::event::Hash;
use crate::store::central::LogKey;
use crate::store::verify::SweepGap;

/// A range of ids without a hole that a month has of a log, with the hash of its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DroppedRange {
    pub log: LogKey,
    pub first: EventId,
    pub last: EventId,
    pub hash: Hash,
}

impl DroppedRange {
    pub(super) fn events(&self) -> u64 {
        self.last.0.abs_diff(self.first.0) + 1
    }
}

/// Returns how many events of a range of ids no gap vouches for. The gaps are in the order of their first ids;
/// a later one may hold earlier ones.
pub(crate) fn kept_events(first: EventId, last: EventId, gaps: &[SweepGap]) -> u64 {
    let mut kept = 0;
    // The next id of the range about which nothing is known.
    let mut next = first.0;
    for gap in gaps {
        if gap.first > last || next > last.0 {
            break;
        }
        if gap.first.0 > next {
            kept += gap.first.0.abs_diff(next);
        }
        next = next.max(gap.first.0).max(gap.last.0.saturating_add(1));
    }
    if next <= last.0 {
        kept += last.0.abs_diff(next) + 1;
    }
    kept
}

/// Returns the gaps that count when a sweep is the newest: those of it and before that lie in no other.
/// They are in the order of their ids.
pub(crate) fn counting_gaps(gaps: &[SweepGap], sweep: i64) -> Vec<SweepGap> {
    let mut counting: Vec<SweepGap> = Vec::new();
    let mut ordered: Vec<SweepGap> =
        gaps.iter().filter(|gap| gap.sweep <= sweep).copied().collect();
    // Of gaps that begin together the longest comes first, and holds the others.
    ordered.sort_by_key(|gap| (gap.first, -gap.last.0));
    for gap in ordered {
        if counting.last().is_none_or(|before| gap.last > before.last) {
            counting.push(gap);
        }
    }
    counting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(first: i64, last: i64, sweep: i64) -> SweepGap {
        let (first, last) = (EventId(first), EventId(last));
        SweepGap { first, last, hash: Hash([0; 32]), sweep }
    }

    #[test]
    fn what_no_gap_holds_is_kept() {
        let gaps = [gap(1, 3, 1), gap(1, 10, 2), gap(12, 12, 1), gap(15, 20, 1)];
        for (first, last, kept) in
            [(1, 10, 0), (1, 11, 1), (11, 12, 1), (12, 12, 0), (13, 25, 7), (30, 39, 10), (2, 5, 0)]
        {
            assert_eq!(kept_events(EventId(first), EventId(last), &gaps), kept, "{first}-{last}");
        }
        assert_eq!(kept_events(EventId(1), EventId(2), &[]), 2);
    }

    #[test]
    fn a_gap_takes_the_place_of_those_within_it() {
        let gaps = [gap(1, 3, 1), gap(1, 10, 2), gap(12, 12, 1), gap(12, 14, 3)];
        assert_eq!(counting_gaps(&gaps, 1), [gap(1, 3, 1), gap(12, 12, 1)]);
        assert_eq!(counting_gaps(&gaps, 2), [gap(1, 10, 2), gap(12, 12, 1)]);
        assert_eq!(counting_gaps(&gaps, 3), [gap(1, 10, 2), gap(12, 14, 3)]);
    }
}
