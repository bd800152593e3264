//! What a caller may say in the events that they record.

use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::own_events;
use crate::text;

/// What a caller may say in the events that they record. Whatever they say, `recorded_by` names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngestRights {
    /// Whether they may write the reserved actions of the log.
    pub may_use_reserved: bool,
    /// Who they are; absent where they may record what anybody did.
    pub only_as: Option<OwnNames>,
    /// Whether they may see the whole log, so that a conflict can name the other event.
    pub may_see_all: bool,
}

/// The names under which a caller is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnNames {
    pub id: String,
    pub user: String,
}

impl IngestRights {
    /// Returns why they may not record an event, if they may not.
    pub(crate) fn refusal(&self, event: &NewEvent) -> Option<String> {
        if !self.may_use_reserved && own_events::is_reserved(&event.action) {
            return Some(format!("action {} is the log's own", event.action));
        }
        let own = self.only_as.as_ref()?;
        let parties = [
            ("actor", &event.actor_id, &event.actor_label),
            ("impersonator", &event.impersonator_id, &event.impersonator_label),
        ];
        parties.into_iter().find_map(|(party, id, label)| {
            // A label is what others call somebody, so only an id says who they are.
            let is_own = match (id, label) {
                (Some(id), _) => *id == own.id,
                (None, Some(label)) => *label == own.user,
                (None, None) => true,
            };
            let id = text::escape(&own.id);
            (!is_own).then(|| format!("the {party} is somebody else than the caller, who is {id}"))
        })
    }

    /// Says that an event has the `event_id` of another one, and another value in a field.
    pub(crate) fn describe_conflict(&self, id: EventId, field: &str) -> String {
        if self.may_see_all {
            format!("its event_id is that of event {id}, whose {field} differs")
        } else {
            "its event_id is that of another event".to_owned()
        }
    }
}
