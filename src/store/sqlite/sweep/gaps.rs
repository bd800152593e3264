//! Merges the ranges of ids that a sweep removes with the gaps of earlier sweeps. Pure.

use std::collections::VecDeque;
use std::iter::Peekable;

/// The first and last id of a range whose events a sweep removes, or removed.
pub(super) type IdRange = (i64, i64);

/// Merges the ranges of `removals` with the existing gaps. Neighbours become one gap; an existing gap
/// without a removal right behind it stays as it is. So a new gap ends in an event, and the hash of that
/// event shows, as long as it is there, that those before it are the right ones. A gap ends at each
/// anchor, so that the hash of that event stays known. All inputs are ascending, and no id is in two of
/// them.
pub(super) fn merge_gaps<'a>(
    removals: impl Iterator<Item = IdRange> + 'a,
    existing: &'a [IdRange],
    anchors: &'a [i64],
) -> impl Iterator<Item = IdRange> + 'a {
    let mut merger =
        GapMerger { removals: removals.peekable(), existing: existing.iter().peekable(), anchors };
    let mut ready = VecDeque::new();
    std::iter::from_fn(move || {
        while ready.is_empty() {
            let mut group = merger.next_group()?;
            while group.last().is_some_and(|piece| piece.is_gap) {
                group.pop();
            }
            ready = split_at_anchors(&group, anchors);
        }
        ready.pop_front()
    })
}

/// A range of ids: removed now, or an existing gap.
struct GapPiece {
    first: i64,
    last: i64,
    is_gap: bool,
}

struct GapMerger<'a, I: Iterator<Item = IdRange>> {
    removals: Peekable<I>,
    existing: Peekable<std::slice::Iter<'a, IdRange>>,
    anchors: &'a [i64],
}

impl<I: Iterator<Item = IdRange>> GapMerger<'_, I> {
    /// Returns the next pieces that are neighbours, with no anchor between two of them.
    fn next_group(&mut self) -> Option<Vec<GapPiece>> {
        let mut group: Vec<GapPiece> = Vec::new();
        loop {
            let removals = self.removals.peek().map(|(first, _)| *first);
            let existing = self.existing.peek().map(|(first, _)| *first);
            let Some(next) = removals.into_iter().chain(existing).min() else { break };
            if let Some(before) = group.last()
                && (before.last.saturating_add(1) != next
                    || self.anchors.binary_search(&before.last).is_ok())
            {
                break;
            }
            if removals == Some(next) {
                let (first, last) = self.removals.next()?;
                group.push(GapPiece { first, last, is_gap: false });
            } else {
                let (first, last) = *self.existing.next()?;
                group.push(GapPiece { first, last, is_gap: true });
            }
        }
        (!group.is_empty()).then_some(group)
    }
}

/// Returns the gaps of a group that ends in a removal.
fn split_at_anchors(group: &[GapPiece], anchors: &[i64]) -> VecDeque<IdRange> {
    let mut runs: VecDeque<IdRange> = VecDeque::new();
    let mut open: Option<IdRange> = None;
    for piece in group {
        let mut first = piece.first;
        // Only the last hash of an existing gap is known, so it is not split.
        let inner = if piece.is_gap { &[] } else { anchors };
        let from = inner.partition_point(|anchor| *anchor < piece.first);
        let inner = inner[from..].iter().copied().take_while(|anchor| *anchor < piece.last);
        for last in inner.chain([piece.last]) {
            open.get_or_insert((first, last)).1 = last;
            if last < piece.last {
                runs.extend(open.take());
            }
            first = last.saturating_add(1);
        }
    }
    runs.extend(open);
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn merged_ranges(removals: &[IdRange], existing: &[IdRange], anchors: &[i64]) -> Vec<IdRange> {
        merge_gaps(removals.iter().copied(), existing, anchors).collect()
    }

    #[test]
    fn neighbours_become_one_run_and_others_stay() {
        let existing = [(1, 2), (4, 4), (9, 9)];
        assert_eq!(merged_ranges(&[(3, 3)], &existing, &[]), [(1, 3)], "a run ends in an event");
        assert_eq!(merged_ranges(&[(5, 6)], &existing, &[]), [(4, 6)]);
        assert_eq!(merged_ranges(&[(6, 7)], &existing, &[]), [(6, 7)]);
        assert_eq!(merged_ranges(&[], &existing, &[]), []);
        assert_eq!(merged_ranges(&[(3, 3), (5, 8)], &existing, &[]), [(1, 8)]);
    }

    #[test]
    fn a_run_ends_at_a_cut() {
        assert_eq!(merged_ranges(&[(1, 9)], &[], &[3, 9, 12]), [(1, 3), (4, 9)]);
        assert_eq!(merged_ranges(&[(4, 6)], &[(1, 3)], &[3]), [(4, 6)], "the old run stays");
        assert_eq!(merged_ranges(&[(4, 6)], &[(1, 3)], &[5]), [(1, 5), (6, 6)]);
        assert_eq!(merged_ranges(&[(4, 6)], &[(1, 3)], &[2]), [(1, 6)], "its hash is not known");
        assert_eq!(merged_ranges(&[(1, 3)], &[(4, 6)], &[3]), [(1, 3)]);
    }

    proptest! {
        #[test]
        fn the_runs_hold_what_was_doomed_and_what_was_gone(
            kinds in proptest::collection::vec((0..4_u8, 0..9_u8), 0..60)
        ) {
            let (mut removals, mut existing, mut anchors) = (BTreeSet::new(), Vec::<IdRange>::new(), Vec::new());
            for (id, (kind, anchor)) in (1..).zip(kinds) {
                match kind {
                    0 | 1 => {
                        removals.insert(id);
                    }
                    // Earlier sweeps have merged gaps, and split them at the anchors of their time.
                    2 => match existing.last_mut().filter(|gap| gap.1 + 1 == id) {
                        Some(gap) if !anchors.contains(&(id - 1)) => gap.1 = id,
                        _ => existing.push((id, id)),
                    },
                    _ => {}
                }
                if anchor == 0 && kind != 2 || anchor == 1 && kind == 2 {
                    anchors.push(id);
                }
            }
            let ids: crate::store::sweep::IdSet = removals.iter().copied().collect();
            let runs: Vec<IdRange> = merge_gaps(ids.ranges(), &existing, &anchors).collect();
            let within = |gap: &&IdRange| runs.iter().any(|run| run.0 <= gap.0 && gap.1 <= run.1);
            let mut after = runs.clone();
            after.extend(existing.iter().filter(|gap| !within(gap)));
            after.sort_unstable();
            let mut wanted = removals.clone();
            wanted.extend(existing.iter().flat_map(|gap| gap.0..=gap.1));
            prop_assert!(after.iter().flat_map(|(first, last)| *first..=*last).eq(wanted));
            for run in &runs {
                prop_assert!(removals.contains(&run.1));
                prop_assert!(anchors.iter().all(|anchor| *anchor < run.0 || *anchor >= run.1
                    || existing.iter().any(|gap| gap.0 <= *anchor && *anchor < gap.1)));
            }
            for two in after.windows(2) {
                let beside = two[0].1 + 1 == two[1].0;
                if beside && (two[1].0..=two[1].1).any(|id| removals.contains(&id)) {
                    prop_assert!(anchors.contains(&two[0].1), "{two:?} of {after:?}");
                }
            }
        }
    }
}
