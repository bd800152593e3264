//! How the runs of a sweep join those of earlier ones. Pure.

use std::collections::VecDeque;
use std::iter::Peekable;

/// A run of ids that a sweep took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub first: i64,
    pub last: i64,
    pub sweep: i64,
}

/// A run that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub first: i64,
    pub last: i64,
    /// The earlier runs that it takes the place of, in their order.
    pub instead: Vec<Gap>,
    /// Whether its last id is that of an event, not that of an earlier run.
    pub ends_in_event: bool,
}

/// The runs that `doomed` makes with earlier ones. What lies side by side becomes one run; what is
/// not touched stays as it is. A run ends at each cut, so that the hash of that event stays known.
/// All are ascending, and no id is in two of them.
pub(super) fn joined<'a>(
    doomed: impl Iterator<Item = (i64, i64)> + 'a,
    old: &'a [Gap],
    cuts: &'a [i64],
) -> impl Iterator<Item = Run> + 'a {
    let mut joining = Joining { doomed: doomed.peekable(), old: old.iter().peekable(), cuts };
    let mut ready = VecDeque::new();
    std::iter::from_fn(move || {
        while ready.is_empty() {
            let group = joining.group()?;
            if group.iter().any(|piece| piece.old.is_none()) {
                ready = cut(&group, cuts);
            }
        }
        ready.pop_front()
    })
}

/// A stretch of ids that goes in one, or is gone.
struct Piece {
    first: i64,
    last: i64,
    old: Option<Gap>,
}

struct Joining<'a, I: Iterator<Item = (i64, i64)>> {
    doomed: Peekable<I>,
    old: Peekable<std::slice::Iter<'a, Gap>>,
    cuts: &'a [i64],
}

impl<I: Iterator<Item = (i64, i64)>> Joining<'_, I> {
    /// The next pieces that lie side by side, with no cut between two of them.
    fn group(&mut self) -> Option<Vec<Piece>> {
        let mut group: Vec<Piece> = Vec::new();
        loop {
            let doomed = self.doomed.peek().map(|(first, _)| *first);
            let old = self.old.peek().map(|gap| gap.first);
            let Some(next) = doomed.into_iter().chain(old).min() else { break };
            if let Some(before) = group.last()
                && (before.last.saturating_add(1) != next
                    || self.cuts.binary_search(&before.last).is_ok())
            {
                break;
            }
            if doomed == Some(next) {
                let (first, last) = self.doomed.next()?;
                group.push(Piece { first, last, old: None });
            } else {
                let gap = *self.old.next()?;
                group.push(Piece { first: gap.first, last: gap.last, old: Some(gap) });
            }
        }
        (!group.is_empty()).then_some(group)
    }
}

/// The runs of a group.
fn cut(group: &[Piece], cuts: &[i64]) -> VecDeque<Run> {
    let mut runs: VecDeque<Run> = VecDeque::new();
    let mut open: Option<Run> = None;
    for piece in group {
        let mut first = piece.first;
        // Of an earlier run only the last hash is known: it is not cut again.
        let inner = if piece.old.is_none() { cuts } else { &[] };
        let from = inner.partition_point(|cut| *cut < piece.first);
        let inner = inner[from..].iter().copied().take_while(|cut| *cut < piece.last);
        for last in inner.chain([piece.last]) {
            let run = open.get_or_insert_with(|| Run {
                first,
                last,
                instead: Vec::new(),
                ends_in_event: false,
            });
            run.last = last;
            run.instead.extend(piece.old);
            run.ends_in_event = piece.old.is_none();
            if last < piece.last {
                runs.extend(open.take());
            }
            first = last.saturating_add(1);
        }
    }
    runs.extend(open);
    // What stands already, between two cuts, needs no new row.
    runs.retain(|run| {
        !matches!(run.instead.as_slice(), [gap] if (gap.first, gap.last) == (run.first, run.last))
    });
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn gap(first: i64, last: i64) -> Gap {
        Gap { first, last, sweep: 1 }
    }

    fn spans(doomed: &[(i64, i64)], old: &[Gap], cuts: &[i64]) -> Vec<(i64, i64)> {
        joined(doomed.iter().copied(), old, cuts).map(|run| (run.first, run.last)).collect()
    }

    #[test]
    fn neighbours_become_one_run_and_others_stay() {
        let old = [gap(1, 2), gap(4, 4), gap(9, 9)];
        assert_eq!(spans(&[(3, 3)], &old, &[]), [(1, 4)]);
        assert_eq!(spans(&[(5, 6)], &old, &[]), [(4, 6)]);
        assert_eq!(spans(&[(6, 7)], &old, &[]), [(6, 7)]);
        assert_eq!(spans(&[], &old, &[]), []);
        let run = joined([(3, 3), (5, 8)].into_iter(), &old, &[]).next().unwrap();
        assert_eq!((run.first, run.last, run.ends_in_event), (1, 9, false));
        assert_eq!(run.instead, old);
    }

    #[test]
    fn a_run_ends_at_a_cut() {
        assert_eq!(spans(&[(1, 9)], &[], &[3, 9, 12]), [(1, 3), (4, 9)]);
        assert_eq!(spans(&[(4, 6)], &[gap(1, 3)], &[3]), [(4, 6)], "the old run stays");
        assert_eq!(spans(&[(4, 6)], &[gap(1, 3)], &[5]), [(1, 5), (6, 6)]);
        assert_eq!(spans(&[(4, 6)], &[gap(1, 3)], &[2]), [(1, 6)], "its hash is not known");
        assert_eq!(spans(&[(1, 3)], &[gap(4, 6)], &[3]), [(1, 3)]);
    }

    proptest! {
        #[test]
        fn the_runs_hold_what_was_doomed_and_what_was_gone(
            kinds in proptest::collection::vec((0..4_u8, 0..9_u8), 0..60)
        ) {
            let (mut doomed, mut old, mut cuts) = (BTreeSet::new(), Vec::<Gap>::new(), Vec::new());
            for (id, (kind, cut)) in (1..).zip(kinds) {
                match kind {
                    0 | 1 => {
                        doomed.insert(id);
                    }
                    // Earlier sweeps have joined, and cut at what was known then.
                    2 => match old.last_mut().filter(|gap| gap.last + 1 == id) {
                        Some(gap) if !cuts.contains(&(id - 1)) => gap.last = id,
                        _ => old.push(gap(id, id)),
                    },
                    _ => {}
                }
                if cut == 0 && kind != 2 || cut == 1 && kind == 2 {
                    cuts.push(id);
                }
            }
            let ids: crate::store::sweep::Ids = doomed.iter().copied().collect();
            let runs: Vec<Run> = joined(ids.runs(), &old, &cuts).collect();
            let replaced: Vec<Gap> = runs.iter().flat_map(|run| run.instead.clone()).collect();
            let mut after: Vec<(i64, i64)> = runs.iter().map(|run| (run.first, run.last)).collect();
            after.extend(
                old.iter().filter(|gap| !replaced.contains(gap)).map(|gap| (gap.first, gap.last)),
            );
            after.sort_unstable();
            let mut wanted = doomed.clone();
            wanted.extend(old.iter().flat_map(|gap| gap.first..=gap.last));
            prop_assert!(after.iter().flat_map(|(first, last)| *first..=*last).eq(wanted));
            for run in &runs {
                prop_assert_eq!(run.ends_in_event, doomed.contains(&run.last));
                prop_assert!(cuts.iter().all(|cut| *cut < run.first || *cut >= run.last
                    || old.iter().any(|gap| gap.first <= *cut && *cut < gap.last)));
            }
            for two in after.windows(2) {
                let beside = two[0].1 + 1 == two[1].0;
                let touched = |run: &(i64, i64)| (run.0..=run.1).any(|id| doomed.contains(&id));
                if beside && (touched(&two[0]) || touched(&two[1])) {
                    prop_assert!(cuts.contains(&two[0].1), "{two:?} of {after:?}");
                }
            }
        }
    }
}
