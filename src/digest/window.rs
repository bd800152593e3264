//! The windows of digests. They tile, so that each event is in exactly one digest.
//!
//! The outcome of a sent digest records the end of its window (`until`) and the newest id of its
//! snapshot (`through`). That digest and those before it cover all events with an id up to `through`
//! that occurred before `until`. So the next digest covers
//!
//! - the events that occurred in its window, from the last `until` to its own, and
//! - the events that *arrived late*: they occurred before the window and have an id after the last
//!   `through`.
//!
//! An event that is committed while a digest is read has a later id, so the next digest covers it. An
//! event that is dated ahead of the clock waits for its time.
//!
//! `until` is the time of the clock. If the clock had run ahead when a digest was made, the next window
//! begins before the end of the last one. What any sent digest covered stays covered, so each part of a
//! window leaves out the ids that earlier digests cover in it, and no event is covered twice.
//!
//! ## Many hosts
//!
//! A digest of a central store has one window of time, and a `through` for each log: how far it had
//! arrived. So windows tile log by log, also where a host is hours behind. Events take their time from
//! a host to the store: what occurred within [`ARRIVAL_DELAY`] before the window and arrived since then
//! counts as events of the window, and only older ones as late. A log that no digest has covered is new:
//! what occurred more than a day before that is its history, and covered.
//!
//! Everything here is pure. The only state is in the log's own events (see
//! [`outcome`](super::outcome)).

use crate::digest::outcome::DigestOutcome;
use crate::digest::outcome::RecordedOutcome;
use crate::event::EventId;
use crate::store::digest::DigestRange;
use crate::store::digest::LogPositions;
use crate::time::Span;
use crate::time::Timestamp;

/// The length of the first window, and the intended length of the others.
pub(crate) const USUAL_LENGTH: Span = Span::from_seconds(24 * 3_600);
/// The longest window that covers no gap: the day on which clocks are set back has 25 hours, and cron
/// starts a job within a minute.
pub(crate) const LONGEST_WITHOUT_GAP: Span = Span::from_seconds(25 * 3_600 + 60);
/// How long the events of other hosts take to arrive as a rule: a host that says nothing for longer is
/// behind.
const ARRIVAL_DELAY: Span = Span::from_seconds(3_600);

/// The events that one digest covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestWindow {
    pub since: Timestamp,
    pub until: Timestamp,
    /// The newest event of the snapshot, in each log.
    pub through: LogPositions,
    /// Earlier digests cover the events before `since` up to this one.
    pub covered_through: LogPositions,
    /// What sent digests cover after `since`, because the clock had run ahead. Usually nothing.
    covered_ahead: Vec<CoveredEvents>,
    /// The end of the last window, if it lies after this one: the clock had run ahead.
    pub ahead_until: Option<Timestamp>,
    pub gap: Option<DigestGap>,
}

/// The events that a sent digest and those before it cover: those up to an id that occurred before a
/// time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CoveredEvents {
    until: Timestamp,
    through: LogPositions,
}

/// A digest that was begun: the head of the log that records digests was noted, the outcome perhaps
/// not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BegunDigest {
    pub at: Timestamp,
    pub head: EventId,
    /// What it takes as covered where it is the first of all.
    pub through: LogPositions,
}

/// The reason why a window covers more than its own day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestGap {
    /// The digests in the gap that could not be sent, the oldest first.
    pub failed: Vec<RecordedOutcome>,
    /// The times of the digests in the gap that were begun and have no outcome, the oldest first.
    pub unrecorded: Vec<Timestamp>,
    /// Whether the window is longer than a day.
    pub longer_than_a_day: bool,
}

/// The place of an event relative to a window.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowPlacement {
    Within,
    /// It occurred before the window, and no digest covered it.
    Late,
    /// It occurs after the window.
    Ahead,
    /// Another digest covers it.
    Elsewhere,
}

impl DigestWindow {
    /// Returns the window of the digest that is due at `now`, in logs whose newest events are `arrived`.
    /// `history` has the outcomes of the earlier digests, in the order of their ids. A digest of
    /// `begun` without an outcome may not have been sent.
    pub(crate) fn next(
        history: &[RecordedOutcome],
        begun: &[BegunDigest],
        now: Timestamp,
        arrived: &LogPositions,
    ) -> Self {
        let counts = |recorded: &&RecordedOutcome| !recorded.outcome.one_off;
        let sent = history.iter().rev().filter(counts).find(|recorded| recorded.outcome.sent);
        let after = sent.map_or(EventId(0), |sent| sent.id);
        let failed: Vec<RecordedOutcome> = history
            .iter()
            .filter(counts)
            .filter(|recorded| !recorded.outcome.sent && recorded.id > after)
            .cloned()
            .collect();
        let has_outcome =
            |begun: &BegunDigest| failed.iter().any(|failed| failed.outcome.head == begun.head);
        let sent_head = sent.map_or(EventId(0), |sent| sent.outcome.head);
        let unrecorded: Vec<&BegunDigest> =
            begun.iter().filter(|begun| begun.head > sent_head && !has_outcome(begun)).collect();
        // The first digest counts all older events as covered, also where it was not sent.
        let first_failed = failed
            .first()
            .map(|failed| (failed.outcome.head, failed.outcome.since, &failed.outcome.through));
        let first_unrecorded = unrecorded
            .first()
            .map(|begun| (begun.head, begun.at.saturating_sub(USUAL_LENGTH), &begun.through));
        let first = first_failed.into_iter().chain(first_unrecorded);
        let (since, covered_through) =
            match (sent, first.min_by_key(|(head, since, _)| (*head, *since))) {
                (Some(sent), _) => (last_end(history, now), &sent.outcome.through),
                (None, Some((_, since, through))) => (since.min(now), through),
                (None, None) => (now.saturating_sub(USUAL_LENGTH), arrived),
            };
        let covered_through = covered_through.clone();
        // A mirror that begins anew reports a lower event than before.
        let through = arrived.or_later(&covered_through);
        let until = now;
        let covered_ahead = sent_digests(history)
            .map(|sent| CoveredEvents { until: sent.until, through: sent.through.clone() })
            .filter(|covered| covered.until > since)
            .collect();
        let ahead_until = sent.map(|sent| sent.outcome.until).filter(|end| *end > until);
        let longer_than_a_day = until > since.saturating_add(LONGEST_WITHOUT_GAP);
        let unrecorded: Vec<_> = unrecorded.iter().map(|begun| begun.at).collect();
        let gap = (longer_than_a_day || !failed.is_empty() || !unrecorded.is_empty())
            .then_some(DigestGap { failed, unrecorded, longer_than_a_day });
        Self { since, until, through, covered_through, covered_ahead, ahead_until, gap }
    }

    /// Returns the window of a one-off digest. No event in it arrives late.
    pub(crate) fn one_off(since: Timestamp, until: Timestamp, arrived: &LogPositions) -> Self {
        Self {
            since,
            until: until.max(since),
            through: arrived.clone(),
            covered_through: arrived.clone(),
            covered_ahead: Vec::new(),
            ahead_until: None,
            gap: None,
        }
    }

    /// Returns what the window covers, the latest first: parts of its span of time, in each of which
    /// earlier digests cover the same ids.
    pub(crate) fn parts(&self) -> Vec<DigestRange> {
        self.parts_between(self.counted_since(), self.until)
    }

    /// Returns what occurs after the window and no earlier digest covers.
    pub(crate) fn parts_ahead(&self) -> Vec<DigestRange> {
        self.parts_between(self.until, Timestamp::from_nanos(i64::MAX))
    }

    /// Returns what occurred before the window, arrived since, and is late.
    pub(crate) fn late_parts(&self) -> Vec<DigestRange> {
        let until = self.counted_since();
        let (known, new) = self.through.split_by(&self.covered_through);
        let part = |through, since| DigestRange {
            after: self.covered_through.clone(),
            through,
            since,
            until,
        };
        let parts = [
            part(known, Timestamp::from_nanos(i64::MIN)),
            part(new, until.saturating_sub(USUAL_LENGTH)),
        ];
        parts.into_iter().filter(|part| part.after.is_before(&part.through)).collect()
    }

    /// Returns the time from which on events count as those of the window.
    fn counted_since(&self) -> Timestamp {
        match self.through.logs().next() {
            Some(_) => self.since.saturating_sub(ARRIVAL_DELAY),
            None => self.since,
        }
    }

    fn parts_between(&self, since: Timestamp, until: Timestamp) -> Vec<DigestRange> {
        let ahead = self.covered_ahead.iter().map(|each| each.until);
        let mut edges: Vec<Timestamp> = ahead.chain([self.since]).collect();
        edges.retain(|edge| since < *edge && *edge < until);
        edges.extend([since, until]);
        edges.sort_unstable();
        edges.dedup();
        let spans = edges.iter().zip(edges.iter().skip(1)).rev();
        spans
            .map(|(since, until)| DigestRange {
                since: *since,
                until: *until,
                after: self.covered_at(*since),
                through: self.through.clone(),
            })
            .collect()
    }

    /// Earlier digests cover the events up to this one that occurred at a time.
    fn covered_at(&self, occurred_at: Timestamp) -> LogPositions {
        if occurred_at < self.since {
            return self.covered_through.clone();
        }
        let covering = self.covered_ahead.iter().filter(|each| each.until > occurred_at);
        covering.fold(LogPositions::START, |covered, each| covered.or_later(&each.through))
    }

    /// Returns the id of the window. Both copies of a mail that came twice carry it.
    pub(crate) fn id(&self) -> String {
        format!("{}..{},{}", self.since, self.until, self.through)
    }

    /// Returns the length of the window, which may be 0.
    pub(crate) fn length_nanos(&self) -> i64 {
        self.until.as_nanos().saturating_sub(self.since.as_nanos())
    }

    /// Returns the beginning of the previous window, for comparison: it has the same length.
    pub(crate) fn previous_since(&self) -> Timestamp {
        Timestamp::from_nanos(self.since.as_nanos().saturating_sub(self.length_nanos()))
    }

    #[cfg(test)]
    pub(crate) fn placement_of(
        &self,
        log: Option<&str>,
        id: EventId,
        occurred_at: Timestamp,
    ) -> WindowPlacement {
        let position = |positions: &LogPositions| match log {
            Some(uuid) => positions.in_log(uuid),
            None => positions.host(),
        };
        let has = |part: &DigestRange| {
            position(&part.after) < id
                && id <= position(&part.through)
                && part.since <= occurred_at
                && occurred_at < part.until
        };
        let times = |parts: Vec<DigestRange>| parts.iter().filter(|part| has(part)).count();
        match (times(self.parts()), times(self.late_parts()), times(self.parts_ahead())) {
            (1, 0, 0) => WindowPlacement::Within,
            (0, 1, 0) => WindowPlacement::Late,
            (0, 0, 1) => WindowPlacement::Ahead,
            (0, 0, 0) => WindowPlacement::Elsewhere,
            several => panic!("event {id} of {occurred_at} stands in {several:?} parts"),
        }
    }
}

/// Returns the outcomes of the sent digests that windows depend on.
fn sent_digests(history: &[RecordedOutcome]) -> impl Iterator<Item = &DigestOutcome> {
    history.iter().map(|recorded| &recorded.outcome).filter(|each| each.sent && !each.one_off)
}

/// Returns the latest end of a sent window that the clock has reached; where it has reached none, the
/// beginning of a usual window.
fn last_end(history: &[RecordedOutcome], now: Timestamp) -> Timestamp {
    let last = sent_digests(history).last().map(|last| last.until);
    let reached = sent_digests(history).map(|sent| sent.until).filter(|until| *until <= now);
    last.filter(|until| *until <= now).or(reached.max()).unwrap_or(now.saturating_sub(USUAL_LENGTH))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::digest::outcome::tests::outcome;
    use crate::digest::outcome::tests::time;

    fn host(id: i64) -> LogPositions {
        LogPositions::of_host(EventId(id))
    }

    fn recorded(id: i64, window: &DigestWindow, sent: bool) -> RecordedOutcome {
        let DigestWindow { since, until, .. } = *window;
        let (through, head) = (window.through.clone(), window.through.host());
        let outcome = DigestOutcome { sent, since, until, through, head, ..outcome() };
        RecordedOutcome { id: EventId(id), at: until, outcome }
    }

    #[test]
    fn the_first_covers_a_day_and_takes_all_older_as_covered() {
        let now = time("2026-11-20T04:00:02Z");
        let window = DigestWindow::next(&[], &[], now, &host(10));
        assert_eq!(window.since, time("2026-11-19T04:00:02Z"));
        assert_eq!((window.until, &window.through, &window.gap), (now, &host(10), &None));
        assert_eq!(
            window.placement_of(None, EventId(3), time("2026-11-19T04:00:01Z")),
            WindowPlacement::Elsewhere
        );
        assert_eq!(window.previous_since(), time("2026-11-18T04:00:02Z"));
    }

    #[test]
    fn the_next_begins_where_the_last_ended() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:01Z"), &host(10));
        let history = [recorded(11, &first, true)];
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:03Z"), &host(20));
        assert_eq!((next.since, &next.covered_through), (first.until, &host(10)));
        assert_eq!(next.gap, None);
        assert_eq!(
            next.placement_of(None, EventId(12), time("2026-11-20T04:00:00Z")),
            WindowPlacement::Late
        );
        assert_eq!(
            next.placement_of(None, EventId(10), time("2026-11-20T04:00:00Z")),
            WindowPlacement::Elsewhere
        );
        // Dated ahead when the last was read.
        assert_eq!(
            next.placement_of(None, EventId(10), time("2026-11-20T05:00:00Z")),
            WindowPlacement::Within
        );
        assert_eq!(
            next.placement_of(None, EventId(20), time("2026-11-22T05:00:00Z")),
            WindowPlacement::Ahead
        );
        assert_eq!(
            next.placement_of(None, EventId(21), time("2026-11-20T05:00:00Z")),
            WindowPlacement::Elsewhere
        );
    }

    #[test]
    fn a_gap_is_covered_and_named() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), &host(10));
        let mut history = vec![recorded(11, &first, true)];
        let gap = |history: &[RecordedOutcome], now| {
            DigestWindow::next(history, &[], time(now), &host(20)).gap
        };
        // The day on which clocks are set back, cron's minute late; and more than that.
        assert_eq!(gap(&history, "2026-11-21T05:00:59Z"), None);
        let longer =
            DigestGap { failed: Vec::new(), unrecorded: Vec::new(), longer_than_a_day: true };
        assert_eq!(gap(&history, "2026-11-21T05:01:00.1Z"), Some(longer));
        let second = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), &host(20));
        history.push(recorded(21, &second, false));
        let again = DigestWindow::next(&history, &[], time("2026-11-21T04:10:00Z"), &host(21));
        assert_eq!(again.since, first.until);
        assert_eq!(
            again.gap,
            Some(DigestGap {
                failed: vec![history[1].clone()],
                unrecorded: Vec::new(),
                longer_than_a_day: false
            })
        );
        history.push(recorded(22, &again, true));
        assert_eq!(gap(&history, "2026-11-22T04:00:00Z"), None);
    }

    #[test]
    fn the_first_that_fails_is_made_up_for() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), &host(10));
        let second = DigestWindow::next(
            &[recorded(11, &first, false)],
            &[],
            time("2026-11-21T04:00:00Z"),
            &host(20),
        );
        assert_eq!((second.since, &second.covered_through), (first.since, &host(10)));
        assert!(second.gap.is_some_and(|gap| gap.longer_than_a_day));
    }

    #[test]
    fn one_without_an_outcome_is_covered_again_and_named() {
        let begun =
            |at: &str, head| BegunDigest { at: time(at), head: EventId(head), through: host(head) };
        // The first of all, and the one after it.
        let lost = [begun("2026-11-20T04:00:00Z", 10), begun("2026-11-21T04:00:00Z", 20)];
        let next = DigestWindow::next(&[], &lost, time("2026-11-21T05:00:00Z"), &host(25));
        assert_eq!((next.since, &next.covered_through), (time("2026-11-19T04:00:00Z"), &host(10)));
        let gap = next.gap.clone().unwrap();
        assert_eq!((gap.unrecorded, gap.longer_than_a_day), (vec![lost[0].at, lost[1].at], true));
        // It is sent, and nothing is left to name; its own beginning neither.
        let history = [recorded(26, &next, true)];
        let begun = [lost[0].clone(), lost[1].clone(), begun("2026-11-21T05:00:00Z", 25)];
        let after = DigestWindow::next(&history, &begun, time("2026-11-22T05:00:00Z"), &host(30));
        assert_eq!((after.since, after.gap), (next.until, None));
        // One that failed has an outcome; the one after it has none.
        let failed = DigestWindow::next(&history, &begun, time("2026-11-22T05:00:00Z"), &host(30));
        let history = [history[0].clone(), recorded(31, &failed, false)];
        let begun = [
            BegunDigest { at: failed.until, head: EventId(30), through: failed.through.clone() },
            BegunDigest { at: time("2026-11-22T05:05:00Z"), head: EventId(31), through: host(31) },
        ];
        let next = DigestWindow::next(&history, &begun, time("2026-11-22T05:10:00Z"), &host(31));
        let gap = next.gap.unwrap();
        assert_eq!((gap.failed.len(), gap.unrecorded), (1, vec![begun[1].at]));
        assert_eq!(next.since, failed.since);
    }

    #[test]
    fn after_a_clock_that_ran_ahead_the_next_window_is_todays() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), &host(10));
        let mut history = vec![recorded(11, &first, true)];
        // A day later the clock says 2028 for one digest.
        let ahead = DigestWindow::next(&history, &[], time("2028-01-01T00:00:00Z"), &host(20));
        history.push(recorded(21, &ahead, true));
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), &host(30));
        assert_eq!((next.since, next.until), (first.until, time("2026-11-21T04:00:00Z")));
        assert_eq!(next.ahead_until, Some(ahead.until));
        // What the one of 2028 covered is not told again, what came since is.
        let noon = time("2026-11-20T12:00:00Z");
        assert_eq!(next.placement_of(None, EventId(20), noon), WindowPlacement::Elsewhere);
        assert_eq!(next.placement_of(None, EventId(22), noon), WindowPlacement::Within);
        let before = time("2026-11-20T03:00:00Z");
        assert_eq!(next.placement_of(None, EventId(20), before), WindowPlacement::Elsewhere);
        assert_eq!(next.placement_of(None, EventId(22), before), WindowPlacement::Late);
        history.push(recorded(31, &next, true));
        let after = DigestWindow::next(&history, &[], time("2026-11-22T04:00:00Z"), &host(40));
        assert_eq!((after.since, after.ahead_until), (next.until, None));
        // It was dated ahead, and the digest of 2028 had it.
        let dated = time("2026-11-21T12:00:00Z");
        assert_eq!(after.placement_of(None, EventId(20), dated), WindowPlacement::Elsewhere);
        assert_eq!(after.placement_of(None, EventId(30), dated), WindowPlacement::Within);
        // In 2028 all of that is past.
        history.push(recorded(41, &after, true));
        let late = DigestWindow::next(&history, &[], time("2028-01-02T00:00:00Z"), &host(50));
        let parts: Vec<_> = late.parts().into_iter().map(|part| (part.since, part.after)).collect();
        assert_eq!(parts, [(ahead.until, host(0)), (after.until, host(20))]);
    }

    #[test]
    fn a_clock_that_was_ahead_at_the_first_digest_is_made_up_for() {
        let ahead = DigestWindow::next(&[], &[], time("2028-01-01T00:00:00Z"), &host(10));
        let history = [recorded(11, &ahead, true)];
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), &host(20));
        assert_eq!(next.since, time("2026-11-20T04:00:00Z"));
        let noon = time("2026-11-20T12:00:00Z");
        assert_eq!(next.placement_of(None, EventId(10), noon), WindowPlacement::Elsewhere);
        assert_eq!(next.placement_of(None, EventId(12), noon), WindowPlacement::Within);
        assert_eq!(next.placement_of(None, EventId(12), ahead.until), WindowPlacement::Ahead);
    }

    #[test]
    fn a_one_off_moves_nothing() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), &host(10));
        let mut one_off = recorded(12, &first, true);
        one_off.outcome.one_off = true;
        one_off.outcome.until = time("2026-11-20T12:00:00Z");
        let history = [recorded(11, &first, true), one_off];
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), &host(20));
        assert_eq!((next.since, &next.covered_through), (first.until, &host(10)));
    }

    /// A step in the life of a log and its digests.
    #[derive(Clone, Debug)]
    enum WindowStep {
        /// An event comes in that occurred so long before the clock, or after it.
        Event { before: i64 },
        /// The clock goes on, or steps back.
        Clock(i64),
        /// A digest runs; so many events commit while it is read, and it is sent or fails.
        Digest { meanwhile: u8, sent: bool, one_off: bool, killed: bool },
    }

    fn step() -> impl Strategy<Value = WindowStep> {
        prop_oneof![
            4 => (-40_i64..60).prop_map(|before| WindowStep::Event { before }),
            2 => (0_i64..40).prop_map(WindowStep::Clock),
            1 => (-60_i64..0).prop_map(WindowStep::Clock),
            3 => (0_u8..3, any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1))
                .prop_map(|(meanwhile, sent, one_off, killed)| {
                    WindowStep::Digest { meanwhile, sent, one_off, killed }
                }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_event_is_in_exactly_one_sent_window(steps in prop::collection::vec(step(), 1..60)) {
            const HOUR: i64 = 3_600_000_000_000;
            // A digest before all of it takes what is older as covered.
            let mut now = 1_000 * HOUR;
            let first = DigestWindow::next(&[], &[], Timestamp::from_nanos(now), &host(0));
            let mut head = 1;
            let mut history = vec![recorded(head, &first, true)];
            let mut begun: Vec<BegunDigest> = Vec::new();
            let mut events: HashMap<EventId, Timestamp> = HashMap::new();
            let mut times_covered: HashMap<EventId, usize> = HashMap::new();
            // At the end the clock has passed all that was dated ahead.
            let last = WindowStep::Digest { meanwhile: 0, sent: true, one_off: false, killed: false };
            let end = [WindowStep::Clock(10_000), last];
            for step in steps.into_iter().chain(end) {
                match step {
                    WindowStep::Event { before } => {
                        head += 1;
                        events.insert(EventId(head), Timestamp::from_nanos(now - before * HOUR));
                    }
                    WindowStep::Clock(hours) => now += hours * HOUR,
                    WindowStep::Digest { meanwhile, sent, one_off, killed } => {
                        let clock = Timestamp::from_nanos(now);
                        let window = DigestWindow::next(&history, &begun, clock, &host(head));
                        prop_assert_eq!(window.until, clock);
                        prop_assert!(window.since <= clock);
                        for _ in 0..meanwhile {
                            head += 1;
                            events.insert(EventId(head), Timestamp::from_nanos(now - HOUR));
                        }
                        if !one_off && begun.last().is_none_or(|last| last.head < EventId(head)) {
                            let (head, through) = (window.through.host(), window.through.clone());
                            begun.push(BegunDigest { at: clock, head, through });
                        }
                        if sent && !one_off && !killed {
                            for (id, at) in &events {
                                let covered = matches!(window.placement_of(None, *id, *at), WindowPlacement::Within | WindowPlacement::Late);
                                *times_covered.entry(*id).or_default() += usize::from(covered);
                            }
                        }
                        if killed {
                            continue;
                        }
                        head += 1;
                        let mut outcome = recorded(head, &window, sent);
                        outcome.outcome.one_off = one_off;
                        history.push(outcome);
                    }
                }
            }
            prop_assert!(events.keys().all(|id| times_covered.get(id) == Some(&1)), "{:?}", times_covered);
        }

        #[test]
        fn every_event_of_every_log_is_in_exactly_one_sent_window(
            steps in prop::collection::vec(fleet_step(), 1..80),
        ) {
            let mut fleet = Fleet::new();
            for step in steps {
                fleet.take(step);
            }
            // At the end all has arrived, and the clock has passed what was dated ahead.
            (0..LOGS).for_each(|log| fleet.take(FleetStep::Arrive { log, left: 0 }));
            fleet.take(FleetStep::Digest(DigestEnd::Sent));
            fleet.take(FleetStep::Clock(10_000));
            fleet.take(FleetStep::Digest(DigestEnd::Sent));
            for ((log, id), event) in &fleet.events {
                let expected = usize::from(!event.is_history);
                prop_assert_eq!(event.covered, expected, "{} of log {}: {:?}", id, log, event);
            }
        }
    }

    const HOUR: i64 = 3_600_000_000_000;
    const LOGS: usize = 3;

    /// A step in the life of a central store and its digests.
    #[derive(Clone, Copy, Debug)]
    enum FleetStep {
        /// A host records an event that occurred so many hours before.
        Event {
            log: usize,
            before: i64,
        },
        /// Events of a host arrive, all but so many.
        Arrive {
            log: usize,
            left: i64,
        },
        /// The mirror of a host begins anew, at the first event.
        BeginAnew {
            log: usize,
        },
        Clock(i64),
        Digest(DigestEnd),
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum DigestEnd {
        Sent,
        Failed,
        Killed,
    }

    fn fleet_step() -> impl Strategy<Value = FleetStep> {
        let log = || 0..LOGS;
        prop_oneof![
            6 => (log(), -40_i64..90).prop_map(|(log, before)| FleetStep::Event { log, before }),
            6 => (log(), 0_i64..3).prop_map(|(log, left)| FleetStep::Arrive { log, left }),
            1 => log().prop_map(|log| FleetStep::BeginAnew { log }),
            2 => (0_i64..40).prop_map(FleetStep::Clock),
            1 => (-60_i64..0).prop_map(FleetStep::Clock),
            3 => Just(FleetStep::Digest(DigestEnd::Sent)),
            1 => Just(FleetStep::Digest(DigestEnd::Failed)),
            1 => Just(FleetStep::Digest(DigestEnd::Killed)),
        ]
    }

    #[derive(Clone, Debug)]
    struct FleetEvent {
        occurred_at: Timestamp,
        /// In how many windows that were sent it is.
        covered: usize,
        /// It occurred long before its log was told of for the first time.
        is_history: bool,
    }

    /// Logs, how far they have arrived, and the digests of them.
    struct Fleet {
        now: i64,
        events: HashMap<(usize, EventId), FleetEvent>,
        heads: [i64; LOGS],
        delivered: [i64; LOGS],
        /// The log that records digests.
        head: i64,
        history: Vec<RecordedOutcome>,
        begun: Vec<BegunDigest>,
    }

    impl Fleet {
        /// A digest before all of it takes what is older as covered.
        fn new() -> Self {
            let mut fleet = Self {
                now: 1_000 * HOUR,
                events: HashMap::new(),
                heads: [0; LOGS],
                delivered: [0; LOGS],
                head: 1,
                history: Vec::new(),
                begun: Vec::new(),
            };
            fleet.take(FleetStep::Digest(DigestEnd::Sent));
            fleet
        }

        fn take(&mut self, step: FleetStep) {
            match step {
                FleetStep::Event { log, before } => {
                    self.heads[log] += 1;
                    let occurred_at = Timestamp::from_nanos(self.now - before * HOUR);
                    let event = FleetEvent { occurred_at, covered: 0, is_history: false };
                    self.events.insert((log, EventId(self.heads[log])), event);
                }
                FleetStep::Arrive { log, left } => {
                    self.delivered[log] = self.delivered[log].max(self.heads[log] - left);
                }
                FleetStep::BeginAnew { log } => self.delivered[log] = self.delivered[log].min(1),
                FleetStep::Clock(hours) => self.now += hours * HOUR,
                FleetStep::Digest(end) => self.digest(end),
            }
        }

        fn digest(&mut self, end: DigestEnd) {
            let delivered = self.delivered.iter().enumerate();
            let arrived =
                LogPositions::of_logs(delivered.map(|(log, id)| (log.to_string(), EventId(*id))));
            let clock = Timestamp::from_nanos(self.now);
            let window = DigestWindow::next(&self.history, &self.begun, clock, &arrived);
            let head = EventId(self.head);
            if self.begun.last().is_none_or(|last| last.head < head) {
                self.begun.push(BegunDigest { at: clock, head, through: arrived });
            }
            if end == DigestEnd::Killed {
                return;
            }
            if end == DigestEnd::Sent {
                for ((log, id), event) in &mut self.events {
                    let log = log.to_string();
                    let place = window.placement_of(Some(&log), *id, event.occurred_at);
                    let is_covered =
                        matches!(place, WindowPlacement::Within | WindowPlacement::Late);
                    event.covered += usize::from(is_covered);
                    let is_new = window.covered_through.in_log(&log).0 == 0;
                    let is_old =
                        event.occurred_at < window.counted_since().saturating_sub(USUAL_LENGTH);
                    event.is_history |= is_new && is_old && *id <= window.through.in_log(&log);
                }
            }
            self.head += 1;
            let outcome = DigestOutcome {
                sent: end == DigestEnd::Sent,
                since: window.since,
                until: window.until,
                through: window.through,
                head,
                ..outcome()
            };
            self.history.push(RecordedOutcome { id: EventId(self.head), at: clock, outcome });
        }
    }
}
