//! Builds a [`NewEvent`] from named values: handles other names, empty values, parties as objects,
//! before and after, and unknown names.
//!
//! Every codec and the flags of `ingest` pass their values through here, so a value means the same
//! wherever it comes from, and no value of an emitter is lost.

mod party;
mod repair;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::event::NewEvent;
use crate::event::diff;
use crate::event::field;
use crate::event::field::FieldKind;
use crate::event::field::KeyMeaning;
use crate::event::field::KnownKey;
use crate::event::field::PartyRole;
use crate::event::field::RecordState;
use crate::event::intake::IntakeNotes;
use crate::event::intake::KeyMap;
use crate::event::intake::KnownParts;
use crate::event::intake::PayloadKey;
use crate::event::intake::Undated;
use crate::event::json;
use crate::event::json::JsonObject;
use crate::event::json::VALUE_DEPTH;
use crate::event::leniency::Leniency;
use crate::event::leniency::RepairNotes;
use crate::event::quoted;
use crate::text;
use crate::time;
use crate::time::Zone;

/// The depth of a value that moves one level down, into the payload or the diff.
const NESTED_VALUE_DEPTH: usize = VALUE_DEPTH + 1;

/// How values are read.
#[derive(Clone, Copy, Default)]
pub(crate) struct IntakeOptions<'a> {
    /// The zone of times without an offset. Without a zone such times are refused.
    pub zone: Option<&'a Zone>,
    pub leniency: Leniency,
    /// The keys that the user has mapped to fields.
    pub key_map: Option<&'a KeyMap>,
    /// What becomes of an event without a time that seems to have one under another key.
    pub undated: Undated,
    /// Where it is noted which keys go into the payload.
    pub notes: Option<&'a RefCell<IntakeNotes>>,
}

/// A value under a name, not interpreted yet.
#[derive(Clone, Debug)]
pub(crate) enum InputValue<'a> {
    /// Text that can be nothing else: a string in JSON.
    Text(Cow<'a, str>),
    /// Text that may stand for any value, objects too: a cell of CSV, the value of a flag.
    Untyped(Cow<'a, str>),
    /// Any other JSON value, as valid JSON text.
    Json(&'a str),
}

impl<'a> InputValue<'a> {
    /// The value of a piece of valid JSON.
    ///
    /// # Errors
    /// The reason: a string contains half of a surrogate pair.
    pub(crate) fn from_json(raw: &'a str) -> Result<Self, String> {
        match raw.as_bytes() {
            [b'"', ..] => json::parse_string(raw).map(Self::Text),
            _ => Ok(Self::Json(raw)),
        }
    }

    /// The value of text that must be JSON, for example of a flag.
    ///
    /// # Errors
    /// The reason: the text is no JSON, or as in [`InputValue::from_json`].
    pub(crate) fn parse_json(text: &'a str) -> Result<Self, String> {
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|reason| json::describe_error(&reason))?;
        Self::from_json(raw.get())
    }

    /// The text that the emitter gave.
    fn as_text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Untyped(text) => text,
            Self::Json(raw) => raw,
        }
    }

    fn is_absent(&self) -> bool {
        match self {
            Self::Text(text) | Self::Untyped(text) => text.is_empty(),
            Self::Json(raw) => *raw == "null",
        }
    }

    /// The value as JSON text within the payload, blanks dropped.
    fn to_json(&self) -> Result<String, String> {
        match self {
            Self::Text(text) | Self::Untyped(text) => {
                let mut json = String::with_capacity(text.len() + 2);
                text::json_string_into(&mut json, text);
                Ok(json)
            }
            Self::Json(raw) => json::compact(raw, NESTED_VALUE_DEPTH),
        }
    }
}

/// Collects the values of one event.
pub(crate) struct NewEventBuilder<'a> {
    options: IntakeOptions<'a>,
    event: NewEvent,
    /// Every name that was given, also with an absent value: those of fields as bits, others in full.
    seen_names: u128,
    seen_other_names: HashSet<Cow<'a, str>>,
    /// Fields that are set, as bits.
    set_fields: u64,
    /// Values under other names than the field's own.
    pending: Vec<(KnownKey, Cow<'a, str>, InputValue<'a>)>,
    /// The parties that have been taken from one name.
    seen_parties: Vec<PartyRole>,
    pending_id: Option<InputValue<'a>>,
    /// Whether another log stamped the event, so that its `id` belongs to that log.
    stamped_elsewhere: bool,
    before: Option<(Cow<'a, str>, InputValue<'a>)>,
    after: Option<(Cow<'a, str>, InputValue<'a>)>,
    /// Values for the payload: each a key and JSON text.
    payload_extras: Vec<(Cow<'a, str>, String)>,
    /// Where the intake is lenient: the values that did not fit.
    repairs: RepairNotes,
}

impl<'a> NewEventBuilder<'a> {
    /// Makes an empty builder.
    pub(crate) fn new(options: IntakeOptions<'a>) -> Self {
        let mut repairs = RepairNotes::default();
        if options.leniency == Leniency::LenientEscaped {
            repairs.note_escaped("the whole record");
        }
        Self {
            options,
            event: NewEvent::default(),
            seen_names: 0,
            seen_other_names: HashSet::new(),
            set_fields: 0,
            pending: Vec::new(),
            seen_parties: Vec::new(),
            pending_id: None,
            stamped_elsewhere: false,
            before: None,
            after: None,
            payload_extras: Vec::new(),
            repairs,
        }
    }

    /// Whether values that do not fit are repaired instead of refused.
    pub(crate) fn is_lenient(&self) -> bool {
        self.options.leniency != Leniency::Strict
    }

    /// Notes that a value is not UTF-8 and comes escaped.
    pub(crate) fn note_escaped(&mut self, name: &str) {
        self.repairs.note_escaped(name);
    }

    /// Adds the value of one name, from a piece of valid JSON.
    ///
    /// # Errors
    /// As [`NewEventBuilder::add`] and [`InputValue::from_json`].
    pub(crate) fn add_json(&mut self, name: Cow<'a, str>, raw: &'a str) -> Result<(), String> {
        match InputValue::from_json(raw) {
            Ok(value) => self.add(name, value),
            Err(reason) => self.refuse(&name, raw, &reason),
        }
    }

    /// Leaves a value out and notes why, where the intake is lenient.
    ///
    /// # Errors
    /// The reason after the name, where it is not.
    fn refuse(&mut self, name: &str, value: &str, reason: &str) -> Result<(), String> {
        if !self.is_lenient() {
            return Err(format!("{}: {reason}", quoted(name)));
        }
        self.repairs.note_left_out(name, value, reason);
        Ok(())
    }

    /// Adds the value of one name.
    ///
    /// # Errors
    /// The reason: the name was given before, or the value does not fit its field.
    pub(crate) fn add(&mut self, name: Cow<'a, str>, given: InputValue<'a>) -> Result<(), String> {
        let known = field::lookup(&name);
        let key_bit = known.map_or(0, |known| known.key_bit);
        let is_new = match key_bit {
            0 => self.seen_other_names.insert(name.clone()),
            bit => self.seen_names & bit == 0,
        };
        if !is_new {
            if !self.is_lenient() {
                return Err(format!("{} is given twice", quoted(&name)));
            }
            self.repairs.note_left_out(&name, given.as_text(), "given twice");
            return Ok(());
        }
        self.seen_names |= key_bit;
        if given.is_absent() {
            return Ok(());
        }
        if let Some(mapped) = self.options.key_map.and_then(|map| map.meaning_of(&name)) {
            self.pending.push((mapped, name, given));
            return Ok(());
        }
        match known {
            Some(KnownKey { meaning: KeyMeaning::Field(field), rank: 0, .. })
                if key_bit != 0 && field.kind == FieldKind::Stamp =>
            {
                self.add_stamp(field.name, given);
                Ok(())
            }
            // A field that a key is mapped to is taken from there, wherever it stands in the line.
            Some(known @ KnownKey { meaning: KeyMeaning::Field(field), rank: 0, .. })
                if key_bit != 0
                    && self.options.key_map.is_none_or(|map| !map.has_field(field.name)) =>
            {
                self.set_field(known, &name, given)
            }
            Some(known) => {
                // Behind the field's own name, and behind what is mapped.
                let known = KnownKey { rank: known.rank + 1, ..known };
                self.pending.push((known, name, given));
                Ok(())
            }
            None => self.add_to_payload(name, &given),
        }
    }

    /// Takes a value that another log has stamped: all but an id are dropped.
    fn add_stamp(&mut self, field: &str, given: InputValue<'a>) {
        match field {
            "id" => self.pending_id = Some(given),
            _ => self.stamped_elsewhere = true,
        }
    }

    /// Makes the event of the values that were added.
    ///
    /// # Errors
    /// The reason, as in [`NewEventBuilder::add`] and [`NewEvent::validate`].
    pub(crate) fn build(mut self) -> Result<NewEvent, String> {
        self.resolve_other_names()?;
        self.resolve_id()?;
        if self.stamped_elsewhere {
            // The name of the log that stamped it.
            self.payload_extras.retain(|(key, _)| key != "log");
        }
        if self.is_lenient() {
            self.repair_diff();
        }
        self.resolve_diff()?;
        self.check_time()?;
        if let Some(notes) = self.options.notes {
            let has_actor = self.event.actor_id.is_some() || self.event.actor_label.is_some();
            let parts = KnownParts { actor: has_actor, action: !self.event.action.is_empty() };
            let keys = self.payload_extras.iter().map(|(key, value)| PayloadKey {
                key: key.as_ref(),
                is_nested: value.starts_with(['{', '[']),
            });
            notes.borrow_mut().count(keys, parts);
        }
        self.merge_payload();
        if self.is_lenient() {
            self.repair_action();
            self.repair_size();
            self.add_notes();
        }
        self.event.validate()
    }

    /// Sets a field from the value under a name. What is no value of its field, although it came under a
    /// name that often means something else, goes into the payload.
    fn set_field(
        &mut self,
        known: KnownKey,
        name: &str,
        given: InputValue<'a>,
    ) -> Result<(), String> {
        let KeyMeaning::Field(field) = known.meaning else { return Ok(()) };
        let original = given.clone();
        let Err(reason) = self.try_set_field(known, given) else { return Ok(()) };
        let text = original.as_text();
        let means_else = match field.kind {
            FieldKind::IpAddress => {
                !matches!(original, InputValue::Json(_)) && !field::resembles_address(text)
            }
            FieldKind::Severity | FieldKind::Status => known.rank > 0,
            FieldKind::Stamp
            | FieldKind::Text
            | FieldKind::Id { .. }
            | FieldKind::Label
            | FieldKind::Time
            | FieldKind::Source
            | FieldKind::Slug
            | FieldKind::Object
            | FieldKind::HttpMethod => false,
        };
        if means_else {
            self.set_fields &= !known.field_bit;
            return self.add_to_payload(name.to_owned().into(), &original);
        }
        if !self.is_lenient() {
            return Err(format!("{}: {reason}", field_key(name)));
        }
        self.repair_field(field, name, text, &reason);
        Ok(())
    }

    /// Sets a field.
    ///
    /// # Errors
    /// The reason, without the name.
    fn try_set_field(&mut self, known: KnownKey, given: InputValue<'a>) -> Result<(), String> {
        let KeyMeaning::Field(field) = known.meaning else { return Ok(()) };
        self.set_fields |= known.field_bit;
        let text = match (field.kind, given) {
            (_, InputValue::Untyped(text)) => text.into_owned(),
            (FieldKind::Object, InputValue::Text(_)) => {
                return Err("must be an object, not text".to_owned());
            }
            (FieldKind::Object, InputValue::Json(raw)) => {
                field.set_object(&mut self.event, JsonObject::from_raw(raw, VALUE_DEPTH)?);
                return Ok(());
            }
            (_, InputValue::Text(text)) => text.into_owned(),
            (
                FieldKind::Id { .. } | FieldKind::Time | FieldKind::Severity | FieldKind::Status,
                InputValue::Json(number),
            ) if json::describe_type(number) == "a number" => number.to_owned(),
            (_, InputValue::Json(raw)) => {
                return Err(format!("must be text, not {}", json::describe_type(raw)));
            }
        };
        let zone = self.options.zone;
        let has_key_map = self.options.key_map.is_some();
        field.set_from_text(&mut self.event, text, |time| {
            time::parse_emitted(time, zone).map_err(|reason| match has_key_map {
                true if !reason.contains("--input-tz") => {
                    format!("{reason}; a map in a file says how else: activity help formats")
                }
                _ => reason,
            })
        })
    }

    fn add_to_payload(&mut self, name: Cow<'a, str>, given: &InputValue<'a>) -> Result<(), String> {
        match given.to_json() {
            Ok(value) => self.payload_extras.push((name, value)),
            Err(reason) => return self.refuse(&name, given.as_text(), &reason),
        }
        Ok(())
    }

    /// Takes the values that came under other names than the field's own. Of several names of one field
    /// the first in the table wins, and the values of the others go into the payload.
    fn resolve_other_names(&mut self) -> Result<(), String> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_by_key(|(known, ..)| known.rank);
        let (fields, others): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .partition(|(known, ..)| matches!(known.meaning, KeyMeaning::Field(_)));
        for (known, name, given) in fields.into_iter().chain(others) {
            match known.meaning {
                KeyMeaning::Field(field) if field.kind == FieldKind::Stamp => {
                    self.add_stamp(field.name, given);
                }
                KeyMeaning::Field(_) if self.set_fields & known.field_bit == 0 => {
                    self.set_field(known, &name, given)?;
                }
                KeyMeaning::Field(_) => self.add_to_payload(name, &given)?,
                KeyMeaning::Party(role) => self.set_party(role, name, given)?,
                KeyMeaning::RecordState(state) => self.set_state(state, name, given)?,
            }
        }
        Ok(())
    }

    /// Refuses an event without a time that seems to have one under another key: a wrong time cannot be
    /// mended later.
    fn check_time(&mut self) -> Result<(), String> {
        if self.event.occurred_at.is_some() || self.options.undated == Undated::TakenAsNow {
            return Ok(());
        }
        let found = self.payload_extras.iter().find(|(key, value)| {
            field::names_a_time(key)
                && InputValue::from_json(value)
                    .is_ok_and(|value| time::resembles_emitted(value.as_text()))
        });
        let Some((key, value)) = found else { return Ok(()) };
        let (key, value) = (key.clone().into_owned(), value.clone());
        let reason = "no field has a time, and this may be it";
        if self.is_lenient() {
            self.repairs.note_left_out(&key, &value, reason);
            return Ok(());
        }
        let shown = field_key(&key);
        Err(format!(
            "{shown}: {reason}: --map occurred_at={shown} takes it, --now takes the event as of now"
        ))
    }

    fn resolve_id(&mut self) -> Result<(), String> {
        let Some(id) = self.pending_id.take().filter(|_| !self.stamped_elsewhere) else {
            return Ok(());
        };
        let name = field::lookup("event_id").expect("the table has event_id");
        if self.event.event_id.is_some() {
            self.add_to_payload("id".into(), &id)
        } else {
            self.set_field(name, "id", id)
        }
    }

    /// Sets a state of the record; the first name wins.
    fn set_state(
        &mut self,
        state: RecordState,
        name: Cow<'a, str>,
        given: InputValue<'a>,
    ) -> Result<(), String> {
        let slot = match state {
            RecordState::Before => &mut self.before,
            RecordState::After => &mut self.after,
        };
        if slot.is_some() {
            return self.add_to_payload(name, &given);
        }
        *slot = Some((name, given));
        Ok(())
    }

    /// Turns two whole states into a diff. Anything less shows no change, and goes into the payload.
    fn resolve_diff(&mut self) -> Result<(), String> {
        let (before, after) = (self.before.take(), self.after.take());
        if let Some(diff) = &self.event.diff {
            if before.is_some() || after.is_some() {
                return Err("diff: cannot stand beside before or after".to_owned());
            }
            return diff::check(diff);
        }
        let state = |side: &Option<(Cow<'_, str>, InputValue<'_>)>| match side {
            Some((_, InputValue::Json(raw))) => JsonObject::from_raw(raw, NESTED_VALUE_DEPTH).ok(),
            Some((_, InputValue::Untyped(text))) => {
                JsonObject::parse(text, NESTED_VALUE_DEPTH).ok()
            }
            Some((_, InputValue::Text(_))) | None => None,
        };
        if let (Some(old), Some(new)) = (state(&before), state(&after)) {
            self.event.diff = diff::between(&old, &new);
            return Ok(());
        }
        for (name, given) in [before, after].into_iter().flatten() {
            // A cell may hold the state as JSON or in plain words.
            let state = match &given {
                InputValue::Untyped(text) => {
                    InputValue::parse_json(text).and_then(|state| state.to_json()).ok()
                }
                InputValue::Text(_) | InputValue::Json(_) => None,
            };
            match state {
                Some(state) => self.payload_extras.push((name, state)),
                None => self.add_to_payload(name, &given)?,
            }
        }
        Ok(())
    }

    /// Adds the values without a field to the payload, behind those of the emitter. A key that the payload
    /// has with another value gets a number, so that both stay.
    fn merge_payload(&mut self) {
        if self.payload_extras.is_empty() {
            return;
        }
        let payload = self.event.payload.take();
        let mut text = payload.as_ref().map_or("{}", JsonObject::as_str).to_owned();
        text.pop();
        let extra = std::mem::take(&mut self.payload_extras);
        let mut taken: HashMap<Cow<'_, str>, &str> = HashMap::new();
        taken.extend(payload.as_ref().map(JsonObject::members).unwrap_or_default());
        for (name, value) in &extra {
            let mut key = Cow::Borrowed(name.as_ref());
            let mut number = 1;
            while taken.get(&key).is_some_and(|other| !json::same_value(other, value)) {
                number += 1;
                key = format!("{name}_{number}").into();
            }
            if taken.contains_key(&key) {
                continue;
            }
            if text.len() > 1 {
                text.push(',');
            }
            text::json_string_into(&mut text, &key);
            text.push(':');
            text.push_str(value);
            taken.insert(key, value);
        }
        text.push('}');
        self.event.payload = Some(JsonObject::from_trusted(text));
    }
}

/// Returns a key for a message: as the input has it.
fn field_key(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(quoted(key))
    }
}
