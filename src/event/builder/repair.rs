//! Lenient intake: keeps what fits of values that do not, and notes each repair.

use crate::event::MAX_ACTION_BYTES;
use crate::event::MAX_EVENT_BYTES;
use crate::event::MAX_ID_BYTES;
use crate::event::builder::NewEventBuilder;
use crate::event::diff;
use crate::event::field::Field;
use crate::event::field::FieldKind;
use crate::event::leniency;

impl NewEventBuilder<'_> {
    /// Sets a field to what fits of a text that does not, and notes it.
    pub(super) fn repair_field(
        &mut self,
        field: &'static Field,
        name: &str,
        text: &str,
        reason: &str,
    ) {
        let repaired = match field.kind {
            // Half of this id might be that of another event.
            FieldKind::Id { .. } if field.name == "event_id" => None,
            FieldKind::Id { .. } | FieldKind::Label if text.len() > MAX_ID_BYTES => {
                self.repairs.note_cut(name, text.len());
                Some(leniency::cut(text, MAX_ID_BYTES).to_owned())
            }
            FieldKind::Slug => {
                self.repairs.note_left_out(name, text, reason);
                Some(leniency::to_action(text, MAX_ACTION_BYTES))
            }
            FieldKind::Stamp
            | FieldKind::Text
            | FieldKind::Id { .. }
            | FieldKind::Label
            | FieldKind::Time
            | FieldKind::Source
            | FieldKind::Severity
            | FieldKind::Object
            | FieldKind::IpAddress
            | FieldKind::HttpMethod
            | FieldKind::Status => None,
        };
        match repaired {
            Some(text) => field
                .set_from_text(&mut self.event, text, |_| Err("no time".to_owned()))
                .expect("an action, an id or a label fits now"),
            None => self.repairs.note_left_out(name, text, reason),
        }
    }

    /// Removes what would make an error of the diff.
    pub(super) fn repair_diff(&mut self) {
        let Some(diff) = &self.event.diff else {
            return;
        };
        for (name, given) in [self.before.take(), self.after.take()].into_iter().flatten() {
            self.repairs.note_left_out(&name, given.as_text(), "cannot stand beside a diff");
        }
        if let Err(reason) = diff::check(diff) {
            self.repairs.note_left_out("diff", diff.as_str(), &reason);
            self.event.diff = None;
        }
    }

    pub(super) fn repair_action(&mut self) {
        if self.event.action.is_empty() {
            self.repairs.note_left_out("action", "", "action is missing");
            leniency::UNKNOWN_ACTION.clone_into(&mut self.event.action);
        }
    }

    /// Cuts the texts of an event that is over the limit, and leaves out its large objects. What
    /// remains is under the limit, the notes included.
    pub(super) fn repair_size(&mut self) {
        if self.event.size() <= MAX_EVENT_BYTES {
            return;
        }
        let texts = [
            ("title", &mut self.event.title),
            ("description", &mut self.event.description),
            ("user_agent", &mut self.event.user_agent),
            ("endpoint", &mut self.event.endpoint),
        ];
        for (name, text) in texts {
            if let Some(text) = text.as_mut().filter(|text| text.len() > leniency::MAX_TEXT_BYTES) {
                self.repairs.note_cut(name, text.len());
                text.truncate(leniency::cut(text, leniency::MAX_TEXT_BYTES).len());
            }
        }
        for (name, object) in [("diff", &mut self.event.diff), ("payload", &mut self.event.payload)]
        {
            if let Some(large) = object.take_if(|object| object.size() > leniency::MAX_OBJECT_BYTES)
            {
                self.repairs.note_left_out(name, large.as_str(), "the event is longer than 1 MiB");
            }
        }
    }

    pub(super) fn add_notes(&mut self) {
        if let Some(notes) = std::mem::take(&mut self.repairs).into_json() {
            self.payload_extras = vec![(leniency::PAYLOAD_KEY.into(), notes)];
            self.merge_payload();
        }
    }
}
