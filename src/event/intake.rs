//! Named values in, a [`NewEvent`] out: other names, empty values, before and after, what is unknown.
//!
//! Every codec and the flags of `ingest` feed their values here, so a value means the same wherever
//! it comes from, and nothing that an emitter said falls to the floor.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::HashSet;

use crate::event::NewEvent;
use crate::event::diff;
use crate::event::field;
use crate::event::field::Field;
use crate::event::field::Kind;
use crate::event::json;
use crate::event::json::Json;
use crate::time;
use crate::time::Zone;

/// How deep a value of a top-level key stands in its line.
const VALUE_DEPTH: usize = 1;

/// A value under a name, before anybody asked what it means.
#[derive(Clone, Debug)]
pub(crate) enum Given<'a> {
    /// Text, and everything in a CSV cell or a flag.
    Text(Cow<'a, str>),
    /// Any other JSON value, as valid JSON text.
    Json(&'a str),
}

impl<'a> Given<'a> {
    /// The value of a piece of valid JSON.
    ///
    /// # Errors
    /// The reason: a string with half of a surrogate pair.
    pub(crate) fn from_json(raw: &'a str) -> Result<Self, String> {
        if raw.starts_with('"') { json::string(raw).map(Self::Text) } else { Ok(Self::Json(raw)) }
    }

    fn is_absent(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Json(raw) => *raw == "null",
        }
    }

    /// The value as JSON text, blanks dropped.
    fn to_json(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(serde_json::Value::from(text.as_ref()).to_string()),
            Self::Json(raw) => json::compact(raw, VALUE_DEPTH),
        }
    }
}

/// Collects the values of one event.
pub(crate) struct Intake<'a> {
    zone: Option<&'a Zone>,
    event: NewEvent,
    /// Every name that came, absent values too.
    names: HashSet<Cow<'a, str>>,
    /// Fields that are set, as bits of their place in the table.
    set: u32,
    aliased: Vec<(&'static Field, Cow<'a, str>, Given<'a>)>,
    id: Option<Given<'a>>,
    /// Another log stamped it: its `id` is that log's.
    foreign: bool,
    before: Option<(Cow<'a, str>, Given<'a>)>,
    after: Option<(Cow<'a, str>, Given<'a>)>,
    /// What goes into the payload: the key, and JSON text.
    extra: Vec<(Cow<'a, str>, String)>,
}

impl<'a> Intake<'a> {
    /// `zone` reads the times that come without an offset; without it they are refused.
    pub(crate) fn new(zone: Option<&'a Zone>) -> Self {
        Self {
            zone,
            event: NewEvent::default(),
            names: HashSet::with_capacity(32),
            set: 0,
            aliased: Vec::new(),
            id: None,
            foreign: false,
            before: None,
            after: None,
            extra: Vec::new(),
        }
    }

    /// Takes the value of one name.
    ///
    /// # Errors
    /// The reason: a name that came before, a value that does not fit its field.
    pub(crate) fn take(&mut self, name: Cow<'a, str>, given: Given<'a>) -> Result<(), String> {
        if !self.names.insert(name.clone()) {
            return Err(format!("{name:?} is given twice"));
        }
        if given.is_absent() {
            return Ok(());
        }
        match name.as_ref() {
            "id" => self.id = Some(given),
            "recorded_at" | "recorded_by" | "hash" => self.foreign = true,
            "before" => self.keep_side(name, given, true)?,
            "after" => self.keep_side(name, given, false)?,
            "before_value" | "after_value" => self.aliased_side(name, given)?,
            _ => match (field::named(&name), field::aliased(&name)) {
                (Some(field), _) => {
                    self.set(field, given)?;
                }
                (None, Some(field)) => self.aliased.push((field, name, given)),
                (None, None) => self.extra(name, &given)?,
            },
        }
        Ok(())
    }

    /// Makes the event of what was taken.
    ///
    /// # Errors
    /// The reason, as [`Intake::take`] and [`NewEvent::validate`].
    pub(crate) fn finish(mut self) -> Result<NewEvent, String> {
        self.settle_aliases()?;
        self.settle_id()?;
        self.settle_diff()?;
        self.settle_payload()?;
        self.event.validate()
    }

    fn set(&mut self, field: &Field, given: Given<'a>) -> Result<(), String> {
        self.set |= bit(field);
        let text = match (field.kind, given) {
            (Kind::Object, Given::Json(raw)) => {
                let object = Json::from_raw(raw, VALUE_DEPTH)
                    .map_err(|why| format!("{}: {why}", field.name))?;
                field.take_object(&mut self.event, object);
                return Ok(());
            }
            (_, Given::Text(text)) => text.into_owned(),
            (Kind::Id { .. } | Kind::Time | Kind::Severity | Kind::Status, Given::Json(number))
                if json::kind(number) == "a number" =>
            {
                number.to_owned()
            }
            (_, Given::Json(raw)) => {
                return Err(format!("{}: must be text, not {}", field.name, json::kind(raw)));
            }
        };
        let zone = self.zone;
        field.take(&mut self.event, text, |time| time::parse_emitted(time, zone))
    }

    fn extra(&mut self, name: Cow<'a, str>, given: &Given<'a>) -> Result<(), String> {
        let value = given.to_json().map_err(|why| format!("{name}: {why}"))?;
        self.extra.push((name, value));
        Ok(())
    }

    /// A field's own name wins over its other names, wherever it stands in the line.
    fn settle_aliases(&mut self) -> Result<(), String> {
        for (field, name, given) in std::mem::take(&mut self.aliased) {
            if self.set & bit(field) == 0 {
                self.set(field, given)?;
            } else {
                self.extra(name, &given)?;
            }
        }
        Ok(())
    }

    fn settle_id(&mut self) -> Result<(), String> {
        let Some(id) = self.id.take().filter(|_| !self.foreign) else {
            return Ok(());
        };
        let field = field::named("event_id").expect("the table has event_id");
        if self.event.event_id.is_some() {
            self.extra("id".into(), &id)
        } else {
            self.set(field, id)
        }
    }

    fn keep_side(
        &mut self,
        name: Cow<'a, str>,
        given: Given<'a>,
        before: bool,
    ) -> Result<(), String> {
        let slot = if before { &mut self.before } else { &mut self.after };
        match slot.replace((name, given)) {
            Some((alias, earlier)) => self.extra(alias, &earlier),
            None => Ok(()),
        }
    }

    /// The other name gives way to the own one, which may come later.
    fn aliased_side(&mut self, name: Cow<'a, str>, given: Given<'a>) -> Result<(), String> {
        let slot = if name == "before_value" { &mut self.before } else { &mut self.after };
        if slot.is_some() {
            return self.extra(name, &given);
        }
        *slot = Some((name, given));
        Ok(())
    }

    /// Two whole states become a diff; anything less says no change, and is kept in the payload.
    fn settle_diff(&mut self) -> Result<(), String> {
        let (before, after) = (self.before.take(), self.after.take());
        if let Some(diff) = &self.event.diff {
            if before.is_some() || after.is_some() {
                return Err("diff: cannot stand beside before or after".to_owned());
            }
            return diff::check(diff);
        }
        let state = |side: &Option<(Cow<'_, str>, Given<'_>)>| match side {
            Some((_, Given::Json(raw))) => Json::from_raw(raw, VALUE_DEPTH).ok(),
            Some((_, Given::Text(text))) => Json::object(text, VALUE_DEPTH).ok(),
            None => None,
        };
        if let (Some(old), Some(new)) = (state(&before), state(&after)) {
            self.event.diff = diff::between(&old, &new);
            return Ok(());
        }
        for (name, given) in [before, after].into_iter().flatten() {
            self.extra(name, &given)?;
        }
        Ok(())
    }

    /// What has no field of its own joins the payload, behind what the emitter put there. A key that
    /// the payload has with another value gets a number, so that both stay.
    fn settle_payload(&mut self) -> Result<(), String> {
        if self.extra.is_empty() {
            return Ok(());
        }
        let payload = self.event.payload.take();
        let mut text = payload.as_ref().map_or("{}", Json::as_str).to_owned();
        text.pop();
        let members = payload.as_ref().map(Json::members).unwrap_or_default();
        let mut taken: HashMap<Cow<'_, str>, String> =
            members.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        for (name, value) in std::mem::take(&mut self.extra) {
            let mut key = name.clone();
            let mut number = 1;
            while taken.get(&key).is_some_and(|other| !json::same_value(other, &value)) {
                number += 1;
                key = format!("{name}_{number}").into();
            }
            if taken.contains_key(&key) {
                continue;
            }
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(key.as_ref()).to_string());
            text.push(':');
            text.push_str(&value);
            taken.insert(key, value);
        }
        text.push('}');
        self.event.payload = Some(Json::trusted(text));
        Ok(())
    }
}

/// The bit of a field's place in the table.
fn bit(field: &Field) -> u32 {
    let place = field::FIELDS.iter().position(|other| std::ptr::eq(other, field));
    1 << place.expect("a field is one of the table's")
}
