//! Merges the ranges of ids that a sweep removes with the gaps of earlier sweeps. Pure.

use std::collections::VecDeque;
use std::iter::Peekable;

/// A gap: a range of ids whose events a sweep removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GapRow {
    pub first: i64,
    pub last: i64,
    pub sweep: i64,
}

/// A gap that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewGap {
    pub first: i64,
    pub last: i64,
    /// The earlier gaps that it replaces, in the order of ids.
    pub replaces: Vec<GapRow>,
    /// Whether its last id belongs to an event, not to an earlier gap.
    pub ends_in_event: bool,
}

/// Merges the ranges of `removals` with the existing gaps. Neighbours become one gap; a gap without a
/// neighbour among the removals stays as it is. A gap ends at each anchor, so that the hash of that
/// event stays known. All inputs are ascending, and no id is in two of them.
pub(super) fn merge_gaps<'a>(
    removals: impl Iterator<Item = (i64, i64)> + 'a,
    existing: &'a [GapRow],
    anchors: &'a [i64],
) -> impl Iterator<Item = NewGap> + 'a {
    let mut merger =
        GapMerger { removals: removals.peekable(), existing: existing.iter().peekable(), anchors };
    let mut ready = VecDeque::new();
    std::iter::from_fn(move || {
        while ready.is_empty() {
            let group = merger.next_group()?;
            if group.iter().any(|piece| piece.existing.is_none()) {
                ready = split_at_anchors(&group, anchors);
            }
        }
        ready.pop_front()
    })
}

/// A range of ids: removed now, or an existing gap.
struct GapPiece {
    first: i64,
    last: i64,
    existing: Option<GapRow>,
}

struct GapMerger<'a, I: Iterator<Item = (i64, i64)>> {
    removals: Peekable<I>,
    existing: Peekable<std::slice::Iter<'a, GapRow>>,
    anchors: &'a [i64],
}

impl<I: Iterator<Item = (i64, i64)>> GapMerger<'_, I> {
    /// Returns the next pieces that are neighbours, with no anchor between two of them.
    fn next_group(&mut self) -> Option<Vec<GapPiece>> {
        let mut group: Vec<GapPiece> = Vec::new();
        loop {
            let removals = self.removals.peek().map(|(first, _)| *first);
            let existing = self.existing.peek().map(|gap| gap.first);
            let Some(next) = removals.into_iter().chain(existing).min() else { break };
            if let Some(before) = group.last()
                && (before.last.saturating_add(1) != next
                    || self.anchors.binary_search(&before.last).is_ok())
            {
                break;
            }
            if removals == Some(next) {
                let (first, last) = self.removals.next()?;
                group.push(GapPiece { first, last, existing: None });
            } else {
                let gap = *self.existing.next()?;
                group.push(GapPiece { first: gap.first, last: gap.last, existing: Some(gap) });
            }
        }
        (!group.is_empty()).then_some(group)
    }
}

/// Returns the gaps of a group.
fn split_at_anchors(group: &[GapPiece], anchors: &[i64]) -> VecDeque<NewGap> {
    let mut runs: VecDeque<NewGap> = VecDeque::new();
    let mut open: Option<NewGap> = None;
    for piece in group {
        let mut first = piece.first;
        // Only the last hash of an existing gap is known, so it is not split.
        let inner = if piece.existing.is_none() { anchors } else { &[] };
        let from = inner.partition_point(|anchor| *anchor < piece.first);
        let inner = inner[from..].iter().copied().take_while(|anchor| *anchor < piece.last);
        for last in inner.chain([piece.last]) {
            let run = open.get_or_insert_with(|| NewGap {
                first,
                last,
                replaces: Vec::new(),
                ends_in_event: false,
            });
            run.last = last;
            run.replaces.extend(piece.existing);
            run.ends_in_event = piece.existing.is_none();
            if last < piece.last {
                runs.extend(open.take());
            }
            first = last.saturating_add(1);
        }
    }
    runs.extend(open);
    // A gap that exists already, between two anchors, needs no new row.
    runs.retain(|run| {
        !matches!(run.replaces.as_slice(), [gap] if (gap.first, gap.last) == (run.first, run.last))
    });
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn gap(first: i64, last: i64) -> GapRow {
        GapRow { first, last, sweep: 1 }
    }

    fn merged_ranges(
        removals: &[(i64, i64)],
        existing: &[GapRow],
        anchors: &[i64],
    ) -> Vec<(i64, i64)> {
        merge_gaps(removals.iter().copied(), existing, anchors)
            .map(|run| (run.first, run.last))
            .collect()
    }

    #[test]
    fn neighbours_become_one_run_and_others_stay() {
        let existing = [gap(1, 2), gap(4, 4), gap(9, 9)];
        assert_eq!(merged_ranges(&[(3, 3)], &existing, &[]), [(1, 4)]);
        assert_eq!(merged_ranges(&[(5, 6)], &existing, &[]), [(4, 6)]);
        assert_eq!(merged_ranges(&[(6, 7)], &existing, &[]), [(6, 7)]);
        assert_eq!(merged_ranges(&[], &existing, &[]), []);
        let run = merge_gaps([(3, 3), (5, 8)].into_iter(), &existing, &[]).next().unwrap();
        assert_eq!((run.first, run.last, run.ends_in_event), (1, 9, false));
        assert_eq!(run.replaces, existing);
    }

    #[test]
    fn a_run_ends_at_a_cut() {
        assert_eq!(merged_ranges(&[(1, 9)], &[], &[3, 9, 12]), [(1, 3), (4, 9)]);
        assert_eq!(merged_ranges(&[(4, 6)], &[gap(1, 3)], &[3]), [(4, 6)], "the old run stays");
        assert_eq!(merged_ranges(&[(4, 6)], &[gap(1, 3)], &[5]), [(1, 5), (6, 6)]);
        assert_eq!(merged_ranges(&[(4, 6)], &[gap(1, 3)], &[2]), [(1, 6)], "its hash is not known");
        assert_eq!(merged_ranges(&[(1, 3)], &[gap(4, 6)], &[3]), [(1, 3)]);
    }

    proptest! {
        #[test]
        fn the_runs_hold_what_was_doomed_and_what_was_gone(
            kinds in proptest::collection::vec((0..4_u8, 0..9_u8), 0..60)
        ) {
            let (mut removals, mut existing, mut anchors) = (BTreeSet::new(), Vec::<GapRow>::new(), Vec::new());
            for (id, (kind, anchor)) in (1..).zip(kinds) {
                match kind {
                    0 | 1 => {
                        removals.insert(id);
                    }
                    // Earlier sweeps have merged gaps, and split them at the anchors of their time.
                    2 => match existing.last_mut().filter(|gap| gap.last + 1 == id) {
                        Some(gap) if !anchors.contains(&(id - 1)) => gap.last = id,
                        _ => existing.push(gap(id, id)),
                    },
                    _ => {}
                }
                if anchor == 0 && kind != 2 || anchor == 1 && kind == 2 {
                    anchors.push(id);
                }
            }
            let ids: crate::store::sweep::IdSet = removals.iter().copied().collect();
            let runs: Vec<NewGap> = merge_gaps(ids.ranges(), &existing, &anchors).collect();
            let replaced: Vec<GapRow> = runs.iter().flat_map(|run| run.replaces.clone()).collect();
            let mut after: Vec<(i64, i64)> = runs.iter().map(|run| (run.first, run.last)).collect();
            after.extend(
                existing.iter().filter(|gap| !replaced.contains(gap)).map(|gap| (gap.first, gap.last)),
            );
            after.sort_unstable();
            let mut wanted = removals.clone();
            wanted.extend(existing.iter().flat_map(|gap| gap.first..=gap.last));
            prop_assert!(after.iter().flat_map(|(first, last)| *first..=*last).eq(wanted));
            for run in &runs {
                prop_assert_eq!(run.ends_in_event, removals.contains(&run.last));
                prop_assert!(anchors.iter().all(|anchor| *anchor < run.first || *anchor >= run.last
                    || existing.iter().any(|gap| gap.first <= *anchor && *anchor < gap.last)));
            }
            for two in after.windows(2) {
                let beside = two[0].1 + 1 == two[1].0;
                let touched = |run: &(i64, i64)| (run.0..=run.1).any(|id| removals.contains(&id));
                if beside && (touched(&two[0]) || touched(&two[1])) {
                    prop_assert!(anchors.contains(&two[0].1), "{two:?} of {after:?}");
                }
            }
        }
    }
}
