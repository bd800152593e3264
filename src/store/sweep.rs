//! Sweeping a log: it vouches for a removal first, and removes events after that.
//!
//! A sweep records the runs of ids that it will remove under the next sweep number, where they have
//! no effect yet. One short transaction then appends the event that vouches for them and makes the
//! number count. Only after that it removes the events, in short transactions, and writers get
//! their turns between them. So at every moment a log holds, and an event vouches for whatever is
//! missing.
//!
//! An event in a run that counts is gone, although it can still be read for a while.
//!
//! ## Durability
//!
//! If a sweep is killed, the next one removes what is left, without another event.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::chain::Sha256Digest;
use crate::event::NewEvent;
use crate::store::ExportLock;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::store::sqlite::Sqlite;
pub(crate) use crate::store::sqlite::SweepLock;

/// A set of ids with one bit for each: small where ids lie close together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdSet {
    /// The bits of 4,096 ids each, by the number of the block.
    blocks: BTreeMap<i64, Box<[u64; 64]>>,
    len: u64,
}

impl IdSet {
    fn bit_position(id: i64) -> (i64, usize, u64) {
        // The lower bits are the place in the block, for negative ids too: they are in two's
        // complement.
        let within = usize::try_from(id & 4_095).expect("it is below 4,096");
        (id >> 12, within / 64, 1 << (within % 64))
    }

    /// Inserts an id. Returns whether it was not in the set.
    pub(crate) fn insert(&mut self, id: i64) -> bool {
        let (block, word, bit) = Self::bit_position(id);
        let word = &mut self.blocks.entry(block).or_insert_with(|| Box::new([0; 64]))[word];
        let new = *word & bit == 0;
        *word |= bit;
        self.len += u64::from(new);
        new
    }

    pub(crate) fn remove(&mut self, id: i64) {
        let (block, word, bit) = Self::bit_position(id);
        let Some(words) = self.blocks.get_mut(&block).filter(|words| words[word] & bit != 0) else {
            return;
        };
        words[word] &= !bit;
        self.len -= 1;
        if words.iter().all(|word| *word == 0) {
            self.blocks.remove(&block);
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ids, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.blocks.iter().flat_map(|(block, words)| {
            words.iter().zip(0_i64..).flat_map(move |(word, place)| {
                (0..64)
                    .filter(move |bit| word & (1 << bit) != 0)
                    .map(move |bit| (block << 12) + place * 64 + bit)
            })
        })
    }

    /// The first and last id of each run of consecutive ids, ascending.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let mut ids = self.iter().peekable();
        std::iter::from_fn(move || {
            let first = ids.next()?;
            let mut last = first;
            while let Some(next) = ids.next_if(|next| last.checked_add(1) == Some(*next)) {
                last = next;
            }
            Some((first, last))
        })
    }
}

impl FromIterator<i64> for IdSet {
    fn from_iter<I: IntoIterator<Item = i64>>(all: I) -> Self {
        let mut ids = Self::default();
        for id in all {
            ids.insert(id);
        }
        ids
    }
}

/// A sweep that is planned, and that the log does not vouch for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedSweep {
    /// The number of the sweep.
    pub number: i64,
    /// The number of all runs once it counts, with those of earlier sweeps.
    pub gap_count: u64,
    /// The number of ids in all runs once it counts: all that sweeps have ever removed.
    pub swept_total: u64,
    /// The digest of all these runs.
    pub gaps_sha256: Sha256Digest,
    /// The published heads at which the runs were cut.
    pub(super) anchor_ids: Vec<i64>,
}

/// The rows of dimensions that a sweep checks for events that still refer to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CleanupScope {
    /// Those that the removed events referred to.
    RemovedEvents,
    /// All of them. This is needed after a sweep that was killed, which may have removed any event.
    AllRows,
}

/// Returns whether to continue; it gets the number of events removed so far.
pub(crate) type ShouldContinue<'a> = &'a mut dyn FnMut(u64) -> bool;

impl LocalLog {
    /// Opens a log to sweep it: as to write. On a full disk the reserve is given up for it.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_write`].
    pub(crate) fn open_to_sweep(path: &Path) -> Result<Self> {
        Ok(Self::new(Sqlite::open_to_sweep(path)?))
    }

    /// Makes this the only sweep of the log until the lock is dropped; `None` if another sweep has
    /// it. Readers and writers are not affected.
    ///
    /// # Errors
    /// The file to lock cannot be opened.
    pub(crate) fn try_lock_sweep(&self) -> Result<Option<SweepLock>> {
        self.sqlite().try_lock_sweep()
    }

    /// Keeps exports out until the guard is dropped, and waits for those at work; `None` if `go_on`
    /// ended the wait.
    ///
    /// # Errors
    /// Try again: an export was at work for all of `patience`.
    pub(crate) fn lock_out_exports(
        &self,
        patience: Duration,
        go_on: ShouldContinue<'_>,
    ) -> Result<Option<ExportLock>> {
        self.sqlite().lock_out_exports(patience, go_on)
    }

    /// Records the runs that will be removed, without effect yet. Adjacent runs become one, and a
    /// run ends at each published head. `None` if `go_on` ended it.
    ///
    /// # Errors
    /// The class and the reason; nothing has changed then.
    pub(crate) fn plan_sweep(
        &mut self,
        lock: &mut SweepLock,
        ids: &IdSet,
        go_on: ShouldContinue<'_>,
    ) -> Result<Option<PlannedSweep>> {
        self.sqlite_mut().plan_sweep(lock, ids, go_on)
    }

    /// Appends the event that vouches for a plan, and makes the plan count. Returns `false` and
    /// changes nothing if a head was published since the plan was made: plan again then.
    ///
    /// # Errors
    /// As [`LocalLog::append`].
    pub(crate) fn vouch(
        &mut self,
        lock: &mut SweepLock,
        pending: &PlannedSweep,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> Result<bool> {
        self.sqlite_mut().vouch(lock, pending, event, stamp)
    }

    /// Removes the events that are vouched for and still there, then the rows that no event refers
    /// to any more. Returns whether all of that is removed; `false` if `go_on` ended it. Keep
    /// exports out in the meantime.
    ///
    /// # Errors
    /// The class and the reason; the next sweep removes what is left.
    pub(crate) fn remove_swept(
        &mut self,
        lock: &mut SweepLock,
        scope: CleanupScope,
        go_on: ShouldContinue<'_>,
    ) -> Result<bool> {
        self.sqlite_mut().remove_swept(lock, scope, go_on)
    }

    /// Returns free space to the file system, as far as readers allow it. Returns the number of
    /// bytes.
    ///
    /// # Errors
    /// The class and the reason; the next sweep does what is left.
    pub(crate) fn reclaim_space(
        &mut self,
        lock: &mut SweepLock,
        go_on: ShouldContinue<'_>,
    ) -> Result<u64> {
        self.sqlite_mut().reclaim_space(lock, go_on)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_a_set(
            all in proptest::collection::vec((-5_000_i64..20_000, any::<bool>()), 0..200),
            far in any::<i64>(),
        ) {
            let (mut ids, mut wanted) = (IdSet::default(), BTreeSet::new());
            for (id, stays) in all.into_iter().chain([(far, true)]) {
                if stays {
                    prop_assert_eq!(ids.insert(id), wanted.insert(id));
                } else {
                    ids.remove(id);
                    wanted.remove(&id);
                }
            }
            prop_assert!(ids.iter().eq(wanted.iter().copied()));
            prop_assert_eq!(ids.len(), wanted.len() as u64);
            let runs: Vec<_> = ids.ranges().collect();
            prop_assert!(runs.iter().flat_map(|(first, last)| *first..=*last).eq(wanted));
            prop_assert!(runs.windows(2).all(|two| two[0].1 + 1 < two[1].0));
        }
    }
}
