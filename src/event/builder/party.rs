//! Parties that come under one name: text is the label, an object has an id, a label and more.

use std::borrow::Cow;

use crate::event::builder::InputValue;
use crate::event::builder::NewEventBuilder;
use crate::event::field;
use crate::event::field::KnownKey;
use crate::event::field::PartyRole;
use crate::event::json;
use crate::text;

/// The names of a label within an object, the first that is there counts.
const LABEL_NAMES: [&str; 4] = ["label", "name", "displayname", "email"];

impl<'a> NewEventBuilder<'a> {
    /// Takes a party from text or an object. A party is taken from one name; what comes under others goes
    /// into the payload.
    pub(super) fn set_party(
        &mut self,
        role: PartyRole,
        name: Cow<'a, str>,
        given: InputValue<'a>,
    ) -> Result<(), String> {
        if self.seen_parties.contains(&role) {
            return self.add_to_payload(name, &given);
        }
        let object = match &given {
            InputValue::Json(raw) if raw.starts_with('{') => Some(Cow::Borrowed(*raw)),
            InputValue::Untyped(text) if text.starts_with('{') => Some(text.clone()),
            InputValue::Json(_) | InputValue::Untyped(_) | InputValue::Text(_) => None,
        };
        if let Some(object) = object
            && let Ok(members) = json::members(&object)
        {
            self.seen_parties.push(role);
            return self.set_party_from_members(role, name, &members);
        }
        let [_, id, label] = role.field_names();
        let field_name = match &given {
            InputValue::Json(raw) if json::describe_type(raw) == "a number" => id,
            InputValue::Json(_) => None,
            InputValue::Text(_) | InputValue::Untyped(_) => label,
        };
        match field_name.and_then(|name| self.unset_field(name)) {
            Some(known) => {
                self.seen_parties.push(role);
                self.set_field(known, &name, given)
            }
            None => self.add_to_payload(name, &given),
        }
    }

    /// Takes type, id and label from the members of an object; the rest goes into the payload under the
    /// party's name.
    fn set_party_from_members(
        &mut self,
        role: PartyRole,
        name: Cow<'a, str>,
        members: &[(Cow<'_, str>, &str)],
    ) -> Result<(), String> {
        let folded = |key: &str| {
            let kept = key.chars().filter(|c| !matches!(c, '_' | '-'));
            kept.map(|c| c.to_ascii_lowercase()).collect::<String>()
        };
        let is_value = |raw: &str| match raw.as_bytes().first() {
            Some(b'"') => raw.len() > 2,
            Some(first) => first.is_ascii_digit() || *first == b'-',
            None => false,
        };
        let find = |names: &[&str]| {
            names.iter().find_map(|wanted| {
                members.iter().position(|(key, raw)| folded(key) == *wanted && is_value(raw))
            })
        };
        let label = find(&LABEL_NAMES)
            .filter(|place| members.get(*place).is_some_and(|(_, raw)| raw.starts_with('"')));
        let [kind_field, id_field, label_field] = role.field_names();
        let mut used = Vec::new();
        for (field_name, place) in
            [(kind_field, find(&["type"])), (id_field, find(&["id"])), (label_field, label)]
        {
            let known = field_name.and_then(|name| self.unset_field(name));
            let member = place.and_then(|place| members.get(place).map(|member| (place, member)));
            if let (Some(known), Some((place, (key, raw)))) = (known, member) {
                let text = match raw.strip_prefix('"') {
                    Some(_) => json::parse_string(raw)?.into_owned(),
                    None => (*raw).to_owned(),
                };
                self.set_field(known, &format!("{name}.{key}"), InputValue::Text(text.into()))?;
                used.push(place);
            }
        }
        let mut rest = String::new();
        for (place, (key, raw)) in members.iter().enumerate() {
            if used.contains(&place) || *raw == "null" {
                continue;
            }
            rest.push(if rest.is_empty() { '{' } else { ',' });
            text::json_string_into(&mut rest, key);
            rest.push(':');
            rest.push_str(raw);
        }
        if rest.is_empty() {
            return Ok(());
        }
        rest.push('}');
        match json::compact(&rest, super::NESTED_VALUE_DEPTH) {
            Ok(rest) => self.payload_extras.push((name, rest)),
            Err(reason) => return self.refuse(&name, &rest, &reason),
        }
        Ok(())
    }

    /// Returns what is known of a field that has no value yet.
    fn unset_field(&self, name: &str) -> Option<KnownKey> {
        field::lookup(name).filter(|known| self.set_fields & known.field_bit == 0)
    }
}
