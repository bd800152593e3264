//! How many events are read from a server at a time: as many as fit into some megabytes.

use crate::event::Event;

/// The first events say how large they are.
const FIRST: usize = 64;
const GREATEST: usize = 20_000;
/// How much more is read at a time than before, at most.
const GROWTH: usize = 4;

/// The number of events to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkSize {
    events: usize,
    /// What the events of a chunk may take in memory, if they are like those before.
    bytes: usize,
}

impl ChunkSize {
    pub(super) fn first(bytes: usize) -> Self {
        Self { events: FIRST, bytes }
    }

    /// Begins with as many as are wanted, where that is more.
    pub(super) fn first_of(wanted: usize, bytes: usize) -> Self {
        Self { events: wanted.clamp(FIRST, GREATEST), bytes }
    }

    pub(super) fn events(self) -> usize {
        self.events
    }

    /// Returns the size of the next chunk, after one of so many events with so many bytes.
    pub(super) fn next(self, events: usize, bytes: usize) -> Self {
        let mean = bytes.div_ceil(events.max(1)).max(1);
        let most = GREATEST.min(self.events * GROWTH);
        Self { events: (self.bytes / mean).clamp(1, most), ..self }
    }

    /// Returns the size of the next chunk, after these events.
    pub(super) fn after<'a>(self, events: impl Iterator<Item = &'a Event>) -> Self {
        let sizes = events.map(Event::memory_size);
        let (count, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        self.next(count, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_events_or_few_large_ones_are_read_at_a_time() {
        let first = ChunkSize::first(4 << 20);
        let small = first.next(64, 64 * 512);
        assert_eq!(small.events(), 256);
        let most = small.next(256, 256 * 512).next(1_024, 1_024 * 512).next(4_096, 4_096 * 512);
        assert_eq!(most.events(), 8_192);
        assert_eq!(most.next(8_192, 8_192 << 11).events(), 2_048);
        assert_eq!(most.next(8_192, 8_192 << 20).events(), 4);
        assert_eq!(most.next(1, 9 << 20).events(), 1);
        assert_eq!(first.next(0, 0).events(), 256);
        assert_eq!(ChunkSize::first_of(1_000_000, 1).events(), GREATEST);
        assert_eq!(ChunkSize::first_of(2, 4 << 20), first);
    }
}
