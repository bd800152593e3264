//! The SQL expressions for fields, by which a listing can be sorted; absent values are NULL.

use anyhow::Result;

use crate::event::field;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::layout;
use crate::text;

/// The fields whose values do not stand in the event's row as the field shows them.
const OWN_EXPRESSIONS: [(&str, &str); 20] = [
    ("id", "event.id"),
    ("event_id", "event.event_id"),
    ("occurred_at", "event.occurred_at"),
    ("recorded_at", "event.recorded_at"),
    ("recorded_by", "(SELECT text FROM recorder WHERE key = event.recorder)"),
    ("tenant", "(SELECT nullif(text, '') FROM tenant WHERE key = event.tenant)"),
    (
        "source",
        "(CASE event.source WHEN 0 THEN 'operator' WHEN 1 THEN 'system' WHEN 2 THEN 'api' ELSE 'cron' END)",
    ),
    ("severity", "event.severity"),
    ("module", "(SELECT nullif(module, '') FROM action WHERE key = event.action)"),
    ("action", "(SELECT slug FROM action WHERE key = event.action)"),
    ("title", "(SELECT text FROM title WHERE key = event.title)"),
    ("actor_id", "(SELECT nullif(id, '') FROM actor WHERE key = event.actor)"),
    ("actor_label", "(SELECT nullif(label, '') FROM actor WHERE key = event.actor)"),
    ("impersonator_id", "(SELECT nullif(id, '') FROM actor WHERE key = event.impersonator)"),
    ("impersonator_label", "(SELECT nullif(label, '') FROM actor WHERE key = event.impersonator)"),
    ("target_type", "(SELECT nullif(type, '') FROM target WHERE key = event.target)"),
    ("target_id", "(SELECT nullif(id, '') FROM target WHERE key = event.target)"),
    ("target_label", "(SELECT nullif(label, '') FROM target WHERE key = event.target)"),
    ("user_agent", "(SELECT text FROM agent WHERE key = event.agent)"),
    ("hash", "event.hash"),
];

/// Columns of a listing that are no fields: they sort as they are shown, by label in any case.
const SHOWN_COLUMNS: [(&str, &str); 2] = [
    ("actor", "(SELECT coalesce(nullif(folded, ''), id) FROM actor WHERE key = event.actor)"),
    (
        "target",
        "(SELECT coalesce(nullif(folded, ''), nullif(id, ''), type) FROM target WHERE key = event.target)",
    ),
];

macro_rules! value_expressions {
    ($($column:ident $field:ident $kind:ident,)*) => {
        &[$((stringify!($field), concat!("event.", stringify!($column))),)*]
    };
}

/// The fields whose values stand in the event's row as they are.
const VALUE_EXPRESSIONS: &[(&str, &str)] = layout::for_values!(value_expressions);

/// The names by which a listing can be sorted.
pub(in crate::store) fn sortable_fields() -> impl Iterator<Item = &'static str> {
    let columns = SHOWN_COLUMNS.iter().map(|(name, _)| *name);
    field::FIELDS.iter().map(|field| field.name).chain(columns)
}

/// The expression of a field or shown column, if there is one of that name.
pub(super) fn expression(name: &str) -> Option<&'static str> {
    let mut expressions = OWN_EXPRESSIONS.iter().chain(VALUE_EXPRESSIONS).chain(&SHOWN_COLUMNS);
    expressions.find(|(known, _)| *known == name).map(|(_, expression)| *expression)
}

/// The expression that sorts by a field.
///
/// # Errors
/// Usage: there is no such field.
pub(super) fn sort_expression(field: &str) -> Result<&'static str> {
    if let Some(expression) = expression(field) {
        return Ok(expression);
    }
    let failure = Failure::new(Exit::Usage, format!("cannot sort by {}", text::escape(field)));
    Err(match text::nearest(field, sortable_fields()) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    }
    .into())
}
