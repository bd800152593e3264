//! The dead letters of a batch, and the events that tell of them.

use crate::event::NewEvent;
use crate::event::own_events;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::store::mirror::DeadLetter;
use crate::time::Timestamp;

/// A dead letter of an event at hand.
pub(super) struct NewDeadLetter<'a> {
    pub letter: DeadLetter,
    event_id: &'a str,
}

impl NewDeadLetter<'_> {
    /// Returns the event that tells of it.
    pub(super) fn to_event(&self, mirror: &str) -> NewEvent {
        own_events::system_event(
            "mirror.dead",
            &serde_json::json!({
                "mirror": mirror,
                "error": self.letter.reason,
                "event_id": self.event_id,
            }),
        )
    }
}

/// Returns those of the events of a batch that were refused for good.
pub(super) fn of<'a>(
    batch: &'a [OutgoingEvent],
    refused: &[RefusedEvent],
    now: Timestamp,
) -> Vec<NewDeadLetter<'a>> {
    let letter = |refused: &RefusedEvent| {
        let event = &batch.get(refused.index)?.event;
        let (reason, status) = (refused.reason.clone(), refused.status);
        let letter = DeadLetter { id: event.id, reason, status, at: now };
        Some(NewDeadLetter { letter, event_id: &event.event_id })
    };
    refused.iter().filter_map(letter).collect()
}
