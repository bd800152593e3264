//! The events that the log writes about itself, and the names that are kept for them.

use crate::event::NewEvent;
use crate::event::Source;
use crate::event::json::JsonObject;

/// The families of actions that are the log's own.
pub(crate) const RESERVED_PREFIXES: [&str; 4] = ["log.", "retention.", "digest.", MIRROR_PREFIX];

/// What mirrors say of themselves.
pub(crate) const MIRROR_PREFIX: &str = "mirror.";

/// Whether only the log itself, root or an administrator may write that action.
pub(crate) fn is_reserved(action: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|family| action.starts_with(family))
}

/// What an export took, for its `log.export` event.
pub(crate) struct ExportPayload<'a> {
    pub format: &'a str,
    /// The filter as it was understood.
    pub query: &'a str,
    pub rows: u64,
    /// The newest id that was there when it began.
    pub last_id: i64,
    /// The file's name; absent for standard output.
    pub output: Option<&'a str>,
}

/// The event `log.export`: the caller's own act, so it is the one with an actor.
pub(crate) fn export_event(
    what: &ExportPayload<'_>,
    actor_id: String,
    actor_label: String,
) -> NewEvent {
    let mut payload = serde_json::json!({
        "format": what.format,
        "query": what.query,
        "rows": what.rows,
        "last_id": what.last_id,
    });
    if let Some(output) = what.output {
        payload["output"] = output.into();
    }
    NewEvent {
        action: "log.export".to_owned(),
        source: Some(Source::Operator),
        actor_id: Some(actor_id),
        actor_label: Some(actor_label),
        payload: Some(JsonObject::from_trusted(payload.to_string())),
        own: true,
        ..NewEvent::default()
    }
}

/// An event of the log's about itself, without an actor.
pub(crate) fn system_event(action: &str, payload: &serde_json::Value) -> NewEvent {
    NewEvent {
        action: action.to_owned(),
        source: Some(Source::System),
        payload: Some(JsonObject::from_trusted(payload.to_string())),
        own: true,
        ..NewEvent::default()
    }
}
