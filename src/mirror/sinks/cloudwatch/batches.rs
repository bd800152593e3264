//! Divides events into requests within the limits of `PutLogEvents`. Pure.
//!
//! A request takes events of at most 24 hours, in the order of their times. Events that arrived late
//! stand between others, so a run of events in the order of the log goes into one request as long as it
//! fits, and is sorted there. So what is confirmed is always a run from the first event on.

use std::ops::Range;

/// The limits of one request, and what each event counts beside its bytes.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const MAX_SPAN_MILLIS: i64 = 24 * 3600 * 1000;

/// The longest event, in bytes.
pub(super) const MAX_EVENT_BYTES: usize = MAX_BYTES - EVENT_OVERHEAD;

/// An event as the service takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogEvent {
    /// Its place in the batch of the mirror.
    pub index: usize,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
}

/// Returns the requests as runs of these events. Each event must be short enough for one.
pub(super) fn split(events: &[LogEvent]) -> Vec<Range<usize>> {
    let mut requests = Vec::new();
    let mut run = EventRun::at(0);
    for (place, event) in events.iter().enumerate() {
        if !run.add(event) {
            requests.push(run.start..place);
            run = EventRun::at(place);
            run.add(event);
        }
    }
    if run.start < events.len() {
        requests.push(run.start..events.len());
    }
    requests
}

/// A run of events that fits into one request.
struct EventRun {
    start: usize,
    count: usize,
    bytes: usize,
    /// The earliest and the latest time in it.
    times: Option<(i64, i64)>,
}

impl EventRun {
    fn at(start: usize) -> Self {
        Self { start, count: 0, bytes: 0, times: None }
    }

    /// Adds an event if it fits.
    fn add(&mut self, event: &LogEvent) -> bool {
        let at = event.timestamp;
        let (first, last) =
            self.times.map_or((at, at), |(first, last)| (first.min(at), last.max(at)));
        let bytes = self.bytes + event.message.len() + EVENT_OVERHEAD;
        let fits = self.count < MAX_EVENTS
            && bytes <= MAX_BYTES
            && last.saturating_sub(first) < MAX_SPAN_MILLIS;
        if fits {
            (self.times, self.bytes) = (Some((first, last)), bytes);
            self.count += 1;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn event(index: usize, timestamp: i64, length: usize) -> LogEvent {
        LogEvent { index, timestamp, message: "x".repeat(length) }
    }

    #[test]
    fn each_limit_begins_a_request() {
        let few: Vec<_> = (0..10_001).map(|n| event(n, 0, 1)).collect();
        assert_eq!(split(&few), [0..10_000, 10_000..10_001]);
        let half = MAX_BYTES / 2 - EVENT_OVERHEAD;
        let long = [event(0, 0, half), event(1, 0, half), event(2, 0, 0)];
        assert_eq!(split(&long), [0..2, 2..3]);
        let late = [event(0, 24 * HOUR - 1, 1), event(1, 0, 1), event(2, 24 * HOUR, 1)];
        assert_eq!(split(&late), [0..2, 2..3]);
        assert_eq!(split(&[event(0, 0, MAX_EVENT_BYTES)]), vec![0..1]);
        assert!(split(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn requests_keep_to_the_limits_and_leave_nothing_out(
            events in prop::collection::vec((0..60 * HOUR, 0_usize..400_000), 0..40),
        ) {
            let events: Vec<_> =
                events.into_iter().enumerate().map(|(n, (at, length))| event(n, at, length)).collect();
            let mut next = 0;
            for range in split(&events) {
                prop_assert_eq!(range.start, next);
                prop_assert!(!range.is_empty());
                next = range.end;
                let run = &events[range];
                let bytes: usize = run.iter().map(|event| event.message.len() + 26).sum();
                let times = run.iter().map(|event| event.timestamp);
                let span = times.clone().max().unwrap() - times.min().unwrap();
                prop_assert!(bytes <= 1_048_576 && run.len() <= 10_000 && span < 24 * HOUR);
            }
            prop_assert_eq!(next, events.len());
        }
    }
}
