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
//! Everything here is pure. The only state is in the log's own events (see
//! [`outcome`](super::outcome)).

use crate::digest::outcome::DigestOutcome;
use crate::digest::outcome::RecordedOutcome;
use crate::event::EventId;
use crate::time::Span;
use crate::time::Timestamp;

/// The length of the first window, and the intended length of the others.
pub(crate) const USUAL_LENGTH: Span = Span::from_seconds(24 * 3_600);
/// The longest window that covers no gap: the day on which clocks are set back has 25 hours, and cron
/// starts a job within a minute.
pub(crate) const LONGEST_WITHOUT_GAP: Span = Span::from_seconds(25 * 3_600 + 60);

/// The events that one digest covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestWindow {
    pub since: Timestamp,
    pub until: Timestamp,
    /// The newest id of the snapshot.
    pub through: EventId,
    /// Earlier digests cover the events before `since` up to this id.
    pub covered_through: EventId,
    /// What sent digests cover after `since`, because the clock had run ahead. Usually nothing.
    covered_ahead: Vec<CoveredEvents>,
    /// The end of the last window, if it lies after this one: the clock had run ahead.
    pub ahead_until: Option<Timestamp>,
    pub gap: Option<DigestGap>,
}

/// The events that a sent digest and those before it cover: those up to an id that occurred before a
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CoveredEvents {
    until: Timestamp,
    through: EventId,
}

/// A part of a span of time, in which earlier digests cover the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowPart {
    pub since: Timestamp,
    pub until: Timestamp,
    /// Earlier digests cover the events of this part up to this id.
    pub covered_through: EventId,
}

/// A digest that was begun: its head is recorded, its outcome perhaps not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BegunDigest {
    pub at: Timestamp,
    pub through: EventId,
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
    /// Returns the window of the digest that is due at `now`, in a log whose newest event is `head`.
    /// `history` has the outcomes of the earlier digests, in the order of their ids. A digest of
    /// `begun` without an outcome may not have been sent.
    pub(crate) fn next(
        history: &[RecordedOutcome],
        begun: &[BegunDigest],
        now: Timestamp,
        head: EventId,
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
        let has_outcome = |begun: &BegunDigest| {
            failed.iter().any(|failed| failed.outcome.through == begun.through)
        };
        let sent_through = sent.map_or(EventId(0), |sent| sent.outcome.through);
        let unrecorded: Vec<&BegunDigest> = begun
            .iter()
            .filter(|begun| begun.through > sent_through && !has_outcome(begun))
            .collect();
        // The first digest counts all older events as covered, also where it was not sent.
        let first_failed = failed.first().map(|first| (first.outcome.through, first.outcome.since));
        let first_unrecorded =
            unrecorded.first().map(|begun| (begun.through, begun.at.saturating_sub(USUAL_LENGTH)));
        let (since, covered_through) =
            match (sent, first_failed.into_iter().chain(first_unrecorded).min()) {
                (Some(sent), _) => (last_end(history, now), sent.outcome.through),
                (None, Some((through, since))) => (since.min(now), through),
                (None, None) => (now.saturating_sub(USUAL_LENGTH), head),
            };
        let until = now;
        let covered_ahead = sent_digests(history)
            .map(|sent| CoveredEvents { until: sent.until, through: sent.through })
            .filter(|covered| covered.until > since)
            .collect();
        let ahead_until = sent.map(|sent| sent.outcome.until).filter(|end| *end > until);
        let longer_than_a_day = until > since.saturating_add(LONGEST_WITHOUT_GAP);
        let unrecorded: Vec<_> = unrecorded.iter().map(|begun| begun.at).collect();
        let gap = (longer_than_a_day || !failed.is_empty() || !unrecorded.is_empty())
            .then_some(DigestGap { failed, unrecorded, longer_than_a_day });
        Self { since, until, through: head, covered_through, covered_ahead, ahead_until, gap }
    }

    /// Returns the window of a one-off digest. No event in it arrives late.
    pub(crate) fn one_off(since: Timestamp, until: Timestamp, head: EventId) -> Self {
        Self {
            since,
            until: until.max(since),
            through: head,
            covered_through: head,
            covered_ahead: Vec::new(),
            ahead_until: None,
            gap: None,
        }
    }

    /// Returns the parts of a span of time that begins at `since` or later, the latest first, each with
    /// what earlier digests cover in it.
    pub(crate) fn parts(&self, since: Timestamp, until: Timestamp) -> Vec<WindowPart> {
        let mut edges: Vec<Timestamp> = self.covered_ahead.iter().map(|each| each.until).collect();
        edges.retain(|edge| since < *edge && *edge < until);
        edges.extend([since, until]);
        edges.sort_unstable();
        edges.dedup();
        let spans = edges.iter().zip(edges.iter().skip(1)).rev();
        spans
            .map(|(since, until)| WindowPart {
                since: *since,
                until: *until,
                covered_through: self.covered_at(*since),
            })
            .collect()
    }

    /// Earlier digests cover the events up to this id that occurred at a time after `since`.
    fn covered_at(&self, occurred_at: Timestamp) -> EventId {
        let covering = self.covered_ahead.iter().filter(|each| each.until > occurred_at);
        covering.map(|each| each.through).max().unwrap_or(EventId(0))
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
    pub(crate) fn placement_of(&self, id: EventId, occurred_at: Timestamp) -> WindowPlacement {
        if id > self.through {
            WindowPlacement::Elsewhere
        } else if occurred_at >= self.until {
            WindowPlacement::Ahead
        } else if occurred_at >= self.since {
            let part = self
                .parts(self.since, self.until)
                .into_iter()
                .find(|part| part.since <= occurred_at && occurred_at < part.until);
            match part {
                Some(part) if id > part.covered_through => WindowPlacement::Within,
                Some(_) | None => WindowPlacement::Elsewhere,
            }
        } else if id > self.covered_through {
            WindowPlacement::Late
        } else {
            WindowPlacement::Elsewhere
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

    fn recorded(id: i64, window: &DigestWindow, sent: bool) -> RecordedOutcome {
        let DigestWindow { since, until, through, .. } = *window;
        let outcome = DigestOutcome { sent, since, until, through, ..outcome() };
        RecordedOutcome { id: EventId(id), at: until, outcome }
    }

    #[test]
    fn the_first_covers_a_day_and_takes_all_older_as_covered() {
        let now = time("2026-11-20T04:00:02Z");
        let window = DigestWindow::next(&[], &[], now, EventId(10));
        assert_eq!(window.since, time("2026-11-19T04:00:02Z"));
        assert_eq!((window.until, window.through, &window.gap), (now, EventId(10), &None));
        assert_eq!(
            window.placement_of(EventId(3), time("2026-11-19T04:00:01Z")),
            WindowPlacement::Elsewhere
        );
        assert_eq!(window.previous_since(), time("2026-11-18T04:00:02Z"));
    }

    #[test]
    fn the_next_begins_where_the_last_ended() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:01Z"), EventId(10));
        let history = [recorded(11, &first, true)];
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:03Z"), EventId(20));
        assert_eq!((next.since, next.covered_through), (first.until, EventId(10)));
        assert_eq!(next.gap, None);
        assert_eq!(
            next.placement_of(EventId(12), time("2026-11-20T04:00:00Z")),
            WindowPlacement::Late
        );
        assert_eq!(
            next.placement_of(EventId(10), time("2026-11-20T04:00:00Z")),
            WindowPlacement::Elsewhere
        );
        // Dated ahead when the last was read.
        assert_eq!(
            next.placement_of(EventId(10), time("2026-11-20T05:00:00Z")),
            WindowPlacement::Within
        );
        assert_eq!(
            next.placement_of(EventId(20), time("2026-11-22T05:00:00Z")),
            WindowPlacement::Ahead
        );
        assert_eq!(
            next.placement_of(EventId(21), time("2026-11-20T05:00:00Z")),
            WindowPlacement::Elsewhere
        );
    }

    #[test]
    fn a_gap_is_covered_and_named() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), EventId(10));
        let mut history = vec![recorded(11, &first, true)];
        let gap = |history: &[RecordedOutcome], now| {
            DigestWindow::next(history, &[], time(now), EventId(20)).gap
        };
        // The day on which clocks are set back, cron's minute late; and more than that.
        assert_eq!(gap(&history, "2026-11-21T05:00:59Z"), None);
        let longer =
            DigestGap { failed: Vec::new(), unrecorded: Vec::new(), longer_than_a_day: true };
        assert_eq!(gap(&history, "2026-11-21T05:01:00.1Z"), Some(longer));
        let second = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), EventId(20));
        history.push(recorded(21, &second, false));
        let again = DigestWindow::next(&history, &[], time("2026-11-21T04:10:00Z"), EventId(21));
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
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), EventId(10));
        let second = DigestWindow::next(
            &[recorded(11, &first, false)],
            &[],
            time("2026-11-21T04:00:00Z"),
            EventId(20),
        );
        assert_eq!((second.since, second.covered_through), (first.since, EventId(10)));
        assert!(second.gap.is_some_and(|gap| gap.longer_than_a_day));
    }

    #[test]
    fn one_without_an_outcome_is_covered_again_and_named() {
        let begun = |at: &str, through| BegunDigest { at: time(at), through: EventId(through) };
        // The first of all, and the one after it.
        let lost = [begun("2026-11-20T04:00:00Z", 10), begun("2026-11-21T04:00:00Z", 20)];
        let next = DigestWindow::next(&[], &lost, time("2026-11-21T05:00:00Z"), EventId(25));
        assert_eq!((next.since, next.covered_through), (time("2026-11-19T04:00:00Z"), EventId(10)));
        let gap = next.gap.clone().unwrap();
        assert_eq!((gap.unrecorded, gap.longer_than_a_day), (vec![lost[0].at, lost[1].at], true));
        // It is sent, and nothing is left to name; its own beginning neither.
        let history = [recorded(26, &next, true)];
        let begun = [lost[0], lost[1], begun("2026-11-21T05:00:00Z", 25)];
        let after = DigestWindow::next(&history, &begun, time("2026-11-22T05:00:00Z"), EventId(30));
        assert_eq!((after.since, after.gap), (next.until, None));
        // One that failed has an outcome; the one after it has none.
        let failed =
            DigestWindow::next(&history, &begun, time("2026-11-22T05:00:00Z"), EventId(30));
        let history = [history[0].clone(), recorded(31, &failed, false)];
        let begun = [
            BegunDigest { at: failed.until, through: failed.through },
            BegunDigest { at: time("2026-11-22T05:05:00Z"), through: EventId(31) },
        ];
        let next = DigestWindow::next(&history, &begun, time("2026-11-22T05:10:00Z"), EventId(31));
        let gap = next.gap.unwrap();
        assert_eq!((gap.failed.len(), gap.unrecorded), (1, vec![begun[1].at]));
        assert_eq!(next.since, failed.since);
    }

    #[test]
    fn after_a_clock_that_ran_ahead_the_next_window_is_todays() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), EventId(10));
        let mut history = vec![recorded(11, &first, true)];
        // A day later the clock says 2028 for one digest.
        let ahead = DigestWindow::next(&history, &[], time("2028-01-01T00:00:00Z"), EventId(20));
        history.push(recorded(21, &ahead, true));
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), EventId(30));
        assert_eq!((next.since, next.until), (first.until, time("2026-11-21T04:00:00Z")));
        assert_eq!(next.ahead_until, Some(ahead.until));
        // What the one of 2028 covered is not told again, what came since is.
        let noon = time("2026-11-20T12:00:00Z");
        assert_eq!(next.placement_of(EventId(20), noon), WindowPlacement::Elsewhere);
        assert_eq!(next.placement_of(EventId(22), noon), WindowPlacement::Within);
        let before = time("2026-11-20T03:00:00Z");
        assert_eq!(next.placement_of(EventId(20), before), WindowPlacement::Elsewhere);
        assert_eq!(next.placement_of(EventId(22), before), WindowPlacement::Late);
        history.push(recorded(31, &next, true));
        let after = DigestWindow::next(&history, &[], time("2026-11-22T04:00:00Z"), EventId(40));
        assert_eq!((after.since, after.ahead_until), (next.until, None));
        // It was dated ahead, and the digest of 2028 had it.
        let dated = time("2026-11-21T12:00:00Z");
        assert_eq!(after.placement_of(EventId(20), dated), WindowPlacement::Elsewhere);
        assert_eq!(after.placement_of(EventId(30), dated), WindowPlacement::Within);
        // In 2028 all of that is past.
        history.push(recorded(41, &after, true));
        let late = DigestWindow::next(&history, &[], time("2028-01-02T00:00:00Z"), EventId(50));
        let parts: Vec<_> = late
            .parts(late.since, late.until)
            .into_iter()
            .map(|part| (part.since, part.covered_through))
            .collect();
        assert_eq!(parts, [(ahead.until, EventId(0)), (after.until, EventId(20))]);
    }

    #[test]
    fn a_clock_that_was_ahead_at_the_first_digest_is_made_up_for() {
        let ahead = DigestWindow::next(&[], &[], time("2028-01-01T00:00:00Z"), EventId(10));
        let history = [recorded(11, &ahead, true)];
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), EventId(20));
        assert_eq!(next.since, time("2026-11-20T04:00:00Z"));
        let noon = time("2026-11-20T12:00:00Z");
        assert_eq!(next.placement_of(EventId(10), noon), WindowPlacement::Elsewhere);
        assert_eq!(next.placement_of(EventId(12), noon), WindowPlacement::Within);
        assert_eq!(next.placement_of(EventId(12), ahead.until), WindowPlacement::Ahead);
    }

    #[test]
    fn a_one_off_moves_nothing() {
        let first = DigestWindow::next(&[], &[], time("2026-11-20T04:00:00Z"), EventId(10));
        let mut one_off = recorded(12, &first, true);
        one_off.outcome.one_off = true;
        one_off.outcome.until = time("2026-11-20T12:00:00Z");
        let history = [recorded(11, &first, true), one_off];
        let next = DigestWindow::next(&history, &[], time("2026-11-21T04:00:00Z"), EventId(20));
        assert_eq!((next.since, next.covered_through), (first.until, EventId(10)));
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
            let first = DigestWindow::next(&[], &[], Timestamp::from_nanos(now), EventId(0));
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
                        let window = DigestWindow::next(&history, &begun, clock, EventId(head));
                        prop_assert_eq!(window.until, clock);
                        prop_assert!(window.since <= clock);
                        for _ in 0..meanwhile {
                            head += 1;
                            events.insert(EventId(head), Timestamp::from_nanos(now - HOUR));
                        }
                        if !one_off && begun.last().is_none_or(|last| last.through < EventId(head)) {
                            begun.push(BegunDigest { at: clock, through: window.through });
                        }
                        if sent && !one_off && !killed {
                            for (id, at) in &events {
                                let covered = matches!(window.placement_of(*id, *at), WindowPlacement::Within | WindowPlacement::Late);
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
    }
}
