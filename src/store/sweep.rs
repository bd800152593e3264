//! What a sweep asks of a log: it vouches for a removal first and removes after.
//!
//! The runs of ids that are to go are written down under the next number, where they have no effect
//! yet. One small transaction then appends the event that vouches for them and makes the number
//! count. Only after that are events removed, in short transactions between which writers get
//! their turns; what a crash left is removed by the next sweep, without another event. So a
//! log holds at every moment, and what is missing is vouched for.
//!
//! An event in a run that counts is as good as gone, though it may still be read for a while.

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

/// A set of ids, one bit for each: flat memory for ids that lie close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdSet {
    /// The bits of 4,096 ids each, by the number of the block.
    blocks: BTreeMap<i64, Box<[u64; 64]>>,
    len: u64,
}

impl IdSet {
    fn bit_position(id: i64) -> (i64, usize, u64) {
        // The lower bits of a number of two's complement are its place in the block.
        let within = usize::try_from(id & 4_095).expect("it is below 4,096");
        (id >> 12, within / 64, 1 << (within % 64))
    }

    /// Puts an id in; tells whether it was not there.
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

    /// The runs of consecutive ids, first and last, ascending.
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

/// What is about to be vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingSweep {
    /// The number of the sweep.
    pub number: i64,
    /// How many runs there will be, those of earlier sweeps too.
    pub gap_count: u64,
    /// The digest of them all.
    pub gaps_sha256: Sha256Digest,
    /// The heads that were known outside the log when the runs were cut.
    pub(super) anchor_ids: Vec<i64>,
}

/// Of which rows it is asked whether anything still refers to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CleanupScope {
    /// Those of the events that are removed now.
    RemovedEvents,
    /// All: nobody knows what a killed sweep had removed.
    AllRows,
}

/// Whether to go on after so many events were removed.
pub(crate) type ShouldContinue<'a> = &'a mut dyn FnMut(u64) -> bool;

impl LocalLog {
    /// Opens a log to sweep it: as to write, and on a full disk too where the reserve is left.
    ///
    /// # Errors
    /// As [`LocalLog::open_to_write`].
    pub(crate) fn open_to_sweep(path: &Path) -> Result<Self> {
        Ok(Self::new(Sqlite::open_to_sweep(path)?))
    }

    /// Makes this the only sweep of the log until what is returned is dropped; `None` where there is
    /// one already. Neither readers nor writers are kept from anything.
    ///
    /// # Errors
    /// That the file to lock cannot be opened.
    pub(crate) fn try_lock_sweep(&self) -> Result<Option<SweepLock>> {
        self.log.engine.try_lock_sweep()
    }

    /// Keeps those out who read the log in many steps, until the guard is dropped. Waits for those
    /// that are at work; `None` where it is not to go on waiting.
    ///
    /// # Errors
    /// Try again: one was at work for as long as `patience`.
    pub(crate) fn lock_out_exports(
        &self,
        patience: Duration,
        go_on: ShouldContinue<'_>,
    ) -> Result<Option<ExportLock>> {
        self.log.engine.lock_out_exports(patience, go_on)
    }

    /// Writes down what is to go, without effect yet. Runs that lie side by side become one; at a head
    /// that is known outside the log a run ends. `None` where it is not to go on.
    ///
    /// # Errors
    /// The class and the reason; nothing has changed then.
    pub(crate) fn plan_sweep(
        &mut self,
        sweeping: &mut SweepLock,
        doomed: &IdSet,
        go_on: ShouldContinue<'_>,
    ) -> Result<Option<PendingSweep>> {
        self.log.engine.plan_sweep(sweeping, doomed, go_on)
    }

    /// Appends the event that vouches for a plan, and makes it count. `false`, and nothing has
    /// changed, where the head became known outside the log since it was planned: plan again.
    ///
    /// # Errors
    /// As [`LocalLog::append`].
    pub(crate) fn vouch(
        &mut self,
        sweeping: &mut SweepLock,
        planned: &PendingSweep,
        event: &NewEvent,
        stamp: &Stamp<'_>,
    ) -> Result<bool> {
        self.log.engine.vouch(sweeping, planned, event, stamp)
    }

    /// Removes what is vouched for and still there, then what nothing refers to any more. Tells
    /// whether that is all: it stops where it is not to go on. Keep exports out meanwhile.
    ///
    /// # Errors
    /// The class and the reason; what is left is for the next sweep.
    pub(crate) fn remove_swept(
        &mut self,
        sweeping: &mut SweepLock,
        suspects: CleanupScope,
        go_on: ShouldContinue<'_>,
    ) -> Result<bool> {
        self.log.engine.remove_swept(sweeping, suspects, go_on)
    }

    /// Gives free space back to the file system, as far as readers let it; returns the bytes.
    ///
    /// # Errors
    /// The class and the reason; what is left is for the next sweep.
    pub(crate) fn reclaim_space(
        &mut self,
        sweeping: &mut SweepLock,
        go_on: ShouldContinue<'_>,
    ) -> Result<u64> {
        self.log.engine.reclaim_space(sweeping, go_on)
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
