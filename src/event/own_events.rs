//! The events that the log writes about itself, and the actions that are reserved for them.

use serde_json::Value;

use crate::event::Event;
use crate::event::EventPlace;
use crate::event::NewEvent;
use crate::event::Source;
use crate::event::json::JsonObject;
use crate::text;

/// The prefixes of the actions that are reserved for the log.
pub(crate) const RESERVED_PREFIXES: [&str; 4] = ["log.", "retention.", "digest.", MIRROR_PREFIX];

/// The prefix of the actions of mirrors.
pub(crate) const MIRROR_PREFIX: &str = "mirror.";

/// Whether only the log itself, the log itself or root may write this action.
pub(crate) fn is_reserved(action: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|family| action.starts_with(family))
}

/// Says in a few words what an event of the log's own did: `343 events swept`. `None` for any other.
pub(crate) fn describe(event: &Event) -> Option<String> {
    if !event.own {
        return None;
    }
    let payload: Value = serde_json::from_str(event.payload.as_ref()?.as_str()).ok()?;
    let counted = |key: &str, one: &str, several: &str| {
        let count = payload[key].as_u64()?;
        let noun = if count == 1 { one } else { several };
        Some(format!("{} {noun}", text::format_thousands(count)))
    };
    let word = |key: &str| payload[key].as_str().map(str::to_owned);
    let recipients = || match payload["recipients"].as_array().map_or(0, Vec::len) {
        1 => "to 1 recipient".to_owned(),
        many => format!("to {many} recipients"),
    };
    match event.action.slug.as_str() {
        "retention.sweep" => counted("count", "event swept", "events swept"),
        "log.export" => counted("rows", "row exported", "rows exported"),
        "digest.sent" => {
            Some(format!("{} {}", counted("events", "event", "events")?, recipients()))
        }
        "digest.failed" => Some(format!("not sent {}", recipients())),
        "mirror.failing" => match (word("mirror"), word("error")) {
            (Some(mirror), Some(error)) => Some(format!("{mirror}: {error}")),
            (mirror, _) => mirror,
        },
        _ => word("mirror"),
    }
}

/// The payload of a `log.export` event.
pub(crate) struct ExportPayload<'a> {
    pub format: &'a str,
    /// The filter in its normal form.
    pub query: &'a str,
    pub rows: u64,
    /// The newest event of each log when the export began.
    pub heads: &'a [EventPlace],
    /// The file's name; absent for standard output.
    pub output: Option<&'a str>,
}

/// The event `log.export`. It has an actor, because the caller acts.
pub(crate) fn export_event(
    export: &ExportPayload<'_>,
    actor_id: String,
    actor_label: String,
) -> NewEvent {
    let mut payload = serde_json::json!({
        "format": export.format,
        "query": export.query,
        "rows": export.rows,
    });
    // The log that records it has no name; others are told by theirs.
    let mut last_ids = serde_json::Map::new();
    for EventPlace { id, log } in export.heads {
        match log {
            Some(log) => drop(last_ids.insert(log.to_string(), id.0.into())),
            None => payload["last_id"] = id.0.into(),
        }
    }
    if !last_ids.is_empty() {
        payload["last_ids"] = last_ids.into();
    }
    if let Some(output) = export.output {
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

/// An event that the log writes about itself, without an actor.
pub(crate) fn system_event(action: &str, payload: &Value) -> NewEvent {
    NewEvent {
        action: action.to_owned(),
        source: Some(Source::System),
        payload: Some(JsonObject::from_trusted(payload.to_string())),
        own: true,
        ..NewEvent::default()
    }
}
