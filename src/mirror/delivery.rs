//! Delivers one batch, and finds the event that a destination refuses.

use crate::mirror::sink::FailureKind;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkFailure;

/// So many events in a row, refused one by one, mean that the destination takes none: then they are
/// kept, and tried again.
const MAX_REFUSED_IN_A_ROW: usize = 100;

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchOutcome {
    /// How many events, from the first on, need not be sent again.
    pub confirmed: usize,
    /// Those among them that were refused for good, in their order.
    pub refused: Vec<RefusedEvent>,
    /// Why the others are not confirmed.
    pub failure: Option<SinkFailure>,
}

/// Delivers a batch. A part that is refused as a whole is halved until the event stands alone.
pub(super) fn deliver_batch(sink: &mut dyn Sink, batch: &[OutgoingEvent]) -> BatchOutcome {
    let mut outcome = BatchOutcome::default();
    let mut in_a_row = 0;
    // The ends of the parts that are still to be delivered, the next one last.
    let mut ends = vec![batch.len()];
    while let Some(end) = ends.last().copied() {
        let begin = outcome.confirmed;
        if begin >= end {
            ends.pop();
            continue;
        }
        match sink.deliver(&batch[begin..end]) {
            Ok(refused) => {
                outcome.add(end - begin, refused);
                in_a_row = 0;
            }
            Err(mut failure) => {
                let confirmed = failure.confirmed.min(end - begin);
                if confirmed > 0 {
                    in_a_row = 0;
                }
                outcome.add(confirmed, std::mem::take(&mut failure.refused));
                let left = end - outcome.confirmed;
                match failure.kind {
                    FailureKind::Unavailable => {
                        outcome.failure = Some(failure);
                        return outcome;
                    }
                    FailureKind::Refused if left > 1 => ends.push(outcome.confirmed + left / 2),
                    FailureKind::Refused if left == 1 => {
                        in_a_row += 1;
                        if in_a_row == MAX_REFUSED_IN_A_ROW {
                            outcome.take_back(in_a_row - 1, failure);
                            return outcome;
                        }
                        let SinkFailure { reason, status, .. } = failure;
                        outcome.add(1, vec![RefusedEvent { index: 0, reason, status }]);
                    }
                    FailureKind::Refused => {}
                }
            }
        }
    }
    outcome
}

impl BatchOutcome {
    /// Adds events that need not be sent again; `refused` counts from the first of them.
    fn add(&mut self, confirmed: usize, refused: Vec<RefusedEvent>) {
        let begin = self.confirmed;
        let refused = refused.into_iter().filter(|refused| refused.index < confirmed);
        self.refused.extend(
            refused.map(|refused| RefusedEvent { index: begin + refused.index, ..refused }),
        );
        self.confirmed += confirmed;
    }

    /// Counts the last refused events as not sent: the destination refuses everything.
    fn take_back(&mut self, count: usize, failure: SinkFailure) {
        self.confirmed -= count;
        self.refused.retain(|refused| refused.index < self.confirmed);
        let reason = format!("it refuses every event: {}", failure.reason);
        let failure = SinkFailure { kind: FailureKind::Unavailable, reason, ..failure };
        self.failure = Some(SinkFailure { confirmed: 0, ..failure });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::event::EventId;
    use crate::query::samples;

    /// Takes batches of up to `most` events, none of which is `bad`, and fails after `calls`.
    struct FakeSink {
        bad: Vec<i64>,
        most: usize,
        calls: usize,
        taken: Vec<i64>,
    }

    impl Sink for FakeSink {
        fn default_batch(&self) -> usize {
            10
        }

        fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
            if self.calls == 0 {
                return Err(SinkFailure::unavailable("down"));
            }
            self.calls -= 1;
            for (place, part) in batch.chunks(self.most).enumerate() {
                if part.iter().any(|event| self.bad.contains(&event.event.id.0)) {
                    let failure = SinkFailure::refused("bad");
                    return Err(SinkFailure { confirmed: place * self.most, ..failure });
                }
                self.taken.extend(part.iter().map(|event| event.event.id.0));
            }
            Ok(Vec::new())
        }
    }

    fn batch(count: i64) -> Vec<OutgoingEvent> {
        let event = |id| OutgoingEvent {
            event: crate::event::Event { id: EventId(id), ..samples::full_event() },
            identifier: Arc::from("site"),
            seal: None,
        };
        (0..count).map(event).collect()
    }

    proptest! {
        #[test]
        fn each_event_is_taken_once_or_refused_or_left(
            count in 0_i64..60,
            bad in proptest::collection::vec(0_i64..60, 0..6),
            most in 1_usize..9,
            calls in 0_usize..80,
        ) {
            let mut sink = FakeSink { bad: bad.clone(), most, calls, taken: Vec::new() };
            let outcome = deliver_batch(&mut sink, &batch(count));
            let done = i64::try_from(outcome.confirmed).unwrap();
            let refused: Vec<i64> =
                outcome.refused.iter().map(|event| i64::try_from(event.index).unwrap()).collect();
            let expected: Vec<i64> = (0..done).filter(|id| bad.contains(id)).collect();
            prop_assert_eq!(refused, expected);
            let good: Vec<i64> = (0..done).filter(|id| !bad.contains(id)).collect();
            prop_assert_eq!(sink.taken, good);
            prop_assert_eq!(outcome.failure.is_none(), done == count);
        }
    }

    #[test]
    fn a_destination_that_takes_nothing_makes_no_dead_letters() {
        let bad = (0..200).collect();
        let mut sink = FakeSink { bad, most: 1, calls: usize::MAX, taken: Vec::new() };
        let outcome = deliver_batch(&mut sink, &batch(200));
        assert_eq!((outcome.confirmed, outcome.refused.len()), (0, 0));
        assert_eq!(outcome.failure.unwrap().reason, "it refuses every event: bad");
    }
}
