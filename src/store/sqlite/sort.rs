//! The keys of a listing that is sorted by a field: what is absent is NULL.

use anyhow::Result;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::text;

/// By the field's name; `actor` and `target` sort as they are shown, by label in any case.
const SORT_EXPRESSIONS: [(&str, &str); 30] = [
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
    ("description", "event.description"),
    ("actor_id", "(SELECT nullif(id, '') FROM actor WHERE key = event.actor)"),
    ("actor_label", "(SELECT nullif(label, '') FROM actor WHERE key = event.actor)"),
    ("impersonator_id", "(SELECT nullif(id, '') FROM actor WHERE key = event.impersonator)"),
    ("impersonator_label", "(SELECT nullif(label, '') FROM actor WHERE key = event.impersonator)"),
    ("target_type", "(SELECT nullif(type, '') FROM target WHERE key = event.target)"),
    ("target_id", "(SELECT nullif(id, '') FROM target WHERE key = event.target)"),
    ("target_label", "(SELECT nullif(label, '') FROM target WHERE key = event.target)"),
    ("diff", "event.diff"),
    ("payload", "event.payload"),
    ("ip", "event.ip"),
    ("user_agent", "(SELECT text FROM agent WHERE key = event.agent)"),
    ("session_id", "event.session_id"),
    ("method", "event.method"),
    ("endpoint", "event.endpoint"),
    ("status_code", "event.status"),
    ("hash", "event.hash"),
    ("actor", "(SELECT coalesce(nullif(folded, ''), id) FROM actor WHERE key = event.actor)"),
    (
        "target",
        "(SELECT coalesce(nullif(folded, ''), nullif(id, ''), type) FROM target WHERE key = event.target)",
    ),
];

/// What a listing can be sorted by.
pub(in crate::store) fn sortable_fields() -> impl Iterator<Item = &'static str> {
    SORT_EXPRESSIONS.iter().map(|(name, _)| *name)
}

/// The expression that sorts by a field.
///
/// # Errors
/// Usage: there is no such field.
pub(super) fn sort_expression(field: &str) -> Result<&'static str> {
    if let Some((_, key)) = SORT_EXPRESSIONS.iter().find(|(name, _)| *name == field) {
        return Ok(key);
    }
    let failure = Failure::new(Exit::Usage, format!("cannot sort by {}", text::escape(field)));
    Err(match text::nearest(field, sortable_fields()) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    }
    .into())
}
