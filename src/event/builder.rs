//! Builds a [`NewEvent`] from named values: handles aliases, empty values, before and after, and
//! unknown names.
//!
//! Every codec and the flags of `ingest` pass their values through here, so a value means the same
//! wherever it comes from, and no value of an emitter is lost.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::event::MAX_ACTION_BYTES;
use crate::event::MAX_EVENT_BYTES;
use crate::event::MAX_ID_BYTES;
use crate::event::NewEvent;
use crate::event::diff;
use crate::event::field;
use crate::event::field::Field;
use crate::event::field::FieldKind;
use crate::event::field::FieldName;
use crate::event::json;
use crate::event::json::JsonObject;
use crate::event::json::VALUE_DEPTH;
use crate::event::leniency;
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
    seen_names: u64,
    seen_other_names: HashSet<Cow<'a, str>>,
    /// Fields that are set, as bits.
    set_fields: u64,
    pending_aliases: Vec<(FieldName, Cow<'a, str>, InputValue<'a>)>,
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
            pending_aliases: Vec::new(),
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
        let is_new = match known {
            Some(known) => self.seen_names & known.name_bit == 0,
            None => self.seen_other_names.insert(name.clone()),
        };
        if !is_new {
            if !self.is_lenient() {
                return Err(format!("{} is given twice", quoted(&name)));
            }
            self.repairs.note_left_out(&name, given.as_text(), "given twice");
            return Ok(());
        }
        self.seen_names |= known.map_or(0, |known| known.name_bit);
        if given.is_absent() {
            return Ok(());
        }
        match known {
            Some(known) if known.canonical && known.field.kind == FieldKind::Stamp => {
                match known.field.name {
                    "id" => self.pending_id = Some(given),
                    _ => self.stamped_elsewhere = true,
                }
                Ok(())
            }
            Some(known) if known.canonical => self.set_field(known, given),
            Some(known) => {
                self.pending_aliases.push((known, name, given));
                Ok(())
            }
            None => match name.as_ref() {
                "before" => self.set_side(name, given, true),
                "after" => self.set_side(name, given, false),
                "before_value" | "after_value" => self.set_side_from_alias(name, given),
                _ => self.add_to_payload(name, &given),
            },
        }
    }

    /// Makes the event of the values that were added.
    ///
    /// # Errors
    /// The reason, as in [`NewEventBuilder::add`] and [`NewEvent::validate`].
    pub(crate) fn build(mut self) -> Result<NewEvent, String> {
        self.resolve_aliases()?;
        self.resolve_id()?;
        if self.is_lenient() {
            self.repair_diff();
        }
        self.resolve_diff()?;
        self.merge_payload();
        if self.is_lenient() {
            self.repair_action();
            self.repair_size();
            self.add_notes();
        }
        self.event.validate()
    }

    fn set_field(&mut self, name: FieldName, given: InputValue<'a>) -> Result<(), String> {
        if !self.is_lenient() {
            return self.try_set_field(name, given);
        }
        let text = given.as_text().to_owned();
        if let Err(reason) = self.try_set_field(name, given) {
            let prefix = format!("{}: ", name.field.name);
            let reason = reason.strip_prefix(&prefix).unwrap_or(&reason);
            self.repair_field(name.field, &text, reason);
        }
        Ok(())
    }

    /// Sets a field to what fits of a text that does not, and notes it.
    fn repair_field(&mut self, field: &'static Field, text: &str, reason: &str) {
        let repaired = match field.kind {
            // Half of this id might be that of another event.
            FieldKind::Id { .. } if field.name == "event_id" => None,
            FieldKind::Id { .. } | FieldKind::Label if text.len() > MAX_ID_BYTES => {
                self.repairs.note_cut(field.name, text.len());
                Some(leniency::cut(text, MAX_ID_BYTES).to_owned())
            }
            FieldKind::Slug => {
                self.repairs.note_left_out(field.name, text, reason);
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
            None => self.repairs.note_left_out(field.name, text, reason),
        }
    }

    /// Removes what would make an error of the diff.
    fn repair_diff(&mut self) {
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

    fn repair_action(&mut self) {
        if self.event.action.is_empty() {
            self.repairs.note_left_out("action", "", "action is missing");
            leniency::UNKNOWN_ACTION.clone_into(&mut self.event.action);
        }
    }

    /// Cuts the texts of an event that is over the limit, and leaves out its large objects. What
    /// remains is under the limit, the notes included.
    fn repair_size(&mut self) {
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

    fn add_notes(&mut self) {
        if let Some(notes) = std::mem::take(&mut self.repairs).into_json() {
            self.payload_extras = vec![(leniency::PAYLOAD_KEY.into(), notes)];
            self.merge_payload();
        }
    }

    fn try_set_field(&mut self, name: FieldName, given: InputValue<'a>) -> Result<(), String> {
        self.set_fields |= name.field_bit;
        let field = name.field;
        let text = match (field.kind, given) {
            (_, InputValue::Untyped(text)) => text.into_owned(),
            (FieldKind::Object, InputValue::Text(_)) => {
                return Err(format!("{}: must be an object, not text", field.name));
            }
            (FieldKind::Object, InputValue::Json(raw)) => {
                let object = JsonObject::from_raw(raw, VALUE_DEPTH)
                    .map_err(|reason| format!("{}: {reason}", field.name))?;
                field.set_object(&mut self.event, object);
                return Ok(());
            }
            (_, InputValue::Text(text)) => text.into_owned(),
            (
                FieldKind::Id { .. } | FieldKind::Time | FieldKind::Severity | FieldKind::Status,
                InputValue::Json(number),
            ) if json::describe_type(number) == "a number" => number.to_owned(),
            (_, InputValue::Json(raw)) => {
                return Err(format!(
                    "{}: must be text, not {}",
                    field.name,
                    json::describe_type(raw)
                ));
            }
        };
        let zone = self.options.zone;
        field.set_from_text(&mut self.event, text, |time| time::parse_emitted(time, zone))
    }

    fn add_to_payload(&mut self, name: Cow<'a, str>, given: &InputValue<'a>) -> Result<(), String> {
        match given.to_json() {
            Ok(value) => self.payload_extras.push((name, value)),
            Err(reason) => return self.refuse(&name, given.as_text(), &reason),
        }
        Ok(())
    }

    /// Sets fields by their aliases. A canonical name wins over aliases, wherever it stands in the line.
    fn resolve_aliases(&mut self) -> Result<(), String> {
        for (known, name, given) in std::mem::take(&mut self.pending_aliases) {
            if self.set_fields & known.field_bit == 0 {
                self.set_field(known, given)?;
            } else {
                self.add_to_payload(name, &given)?;
            }
        }
        Ok(())
    }

    fn resolve_id(&mut self) -> Result<(), String> {
        let Some(id) = self.pending_id.take().filter(|_| !self.stamped_elsewhere) else {
            return Ok(());
        };
        let name = field::lookup("event_id").expect("the table has event_id");
        if self.event.event_id.is_some() {
            self.add_to_payload("id".into(), &id)
        } else {
            self.set_field(name, id)
        }
    }

    fn set_side(
        &mut self,
        name: Cow<'a, str>,
        given: InputValue<'a>,
        before: bool,
    ) -> Result<(), String> {
        let slot = if before { &mut self.before } else { &mut self.after };
        match slot.replace((name, given)) {
            Some((alias, earlier)) => self.add_to_payload(alias, &earlier),
            None => Ok(()),
        }
    }

    /// Sets a state by its alias. The canonical name wins, also if it comes later.
    fn set_side_from_alias(
        &mut self,
        name: Cow<'a, str>,
        given: InputValue<'a>,
    ) -> Result<(), String> {
        let slot = if name == "before_value" { &mut self.before } else { &mut self.after };
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
