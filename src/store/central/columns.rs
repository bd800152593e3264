//! The columns of an event in a central store: for each its name, how an event fills it, and how an
//! event is read from it. The engines add the log, the ids, the seal, the hash and the words.

use std::sync::Arc;

use crate::event::Action;
use crate::event::Event;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::Target;
use crate::event::json::JsonObject;
use crate::event::json::VALUE_DEPTH;
use crate::store;
use crate::time::Timestamp;

/// A column of an event.
pub(super) struct CentralColumn {
    pub name: &'static str,
    pub value: ColumnValue,
    /// Whether every event has a value.
    pub is_required: bool,
}

/// How a column is filled from an event and read back. Reading ends in `None` where no event can have
/// the value.
pub(super) enum ColumnValue {
    Integer { get: fn(&Event) -> i64, set: fn(&mut EventParts, i64) -> Option<()> },
    SmallInteger { get: fn(&Event) -> Option<i16>, set: fn(&mut EventParts, i16) -> Option<()> },
    Boolean { get: fn(&Event) -> bool, set: fn(&mut EventParts, bool) -> Option<()> },
    Text { get: TextGetter, set: fn(&mut EventParts, String) -> Option<()> },
}

/// Returns an event's text, where it has one.
pub(super) type TextGetter = for<'e> fn(&'e Event) -> Option<&'e str>;

/// An event while it is read: what events share is set part by part.
pub(super) struct EventParts {
    pub event: Event,
    action: Action,
    actor: Party,
    impersonator: Party,
    target: Target,
}

impl EventParts {
    pub(super) fn new() -> Self {
        let action = Action { slug: String::new(), module: None };
        Self {
            event: Event::minimal(Arc::new(action.clone())),
            action,
            actor: Party::default(),
            impersonator: Party::default(),
            target: Target::default(),
        }
    }

    pub(super) fn into_event(self) -> Event {
        let party = |party: Party| (party != Party::default()).then(|| Arc::new(party));
        Event {
            action: Arc::new(self.action),
            actor: party(self.actor),
            impersonator: party(self.impersonator),
            target: (self.target != Target::default()).then(|| Arc::new(self.target)),
            ..self.event
        }
    }
}

const fn text(
    name: &'static str,
    get: TextGetter,
    set: fn(&mut EventParts, String) -> Option<()>,
) -> CentralColumn {
    CentralColumn { name, value: ColumnValue::Text { get, set }, is_required: false }
}

const fn required(column: CentralColumn) -> CentralColumn {
    CentralColumn { is_required: true, ..column }
}

const fn time(
    name: &'static str,
    get: fn(&Event) -> i64,
    set: fn(&mut EventParts, i64) -> Option<()>,
) -> CentralColumn {
    CentralColumn { name, value: ColumnValue::Integer { get, set }, is_required: true }
}

const fn number(
    name: &'static str,
    get: fn(&Event) -> Option<i16>,
    set: fn(&mut EventParts, i16) -> Option<()>,
) -> CentralColumn {
    CentralColumn { name, value: ColumnValue::SmallInteger { get, set }, is_required: false }
}

/// The columns, in the order of the tables.
pub(super) const COLUMNS: [CentralColumn; 26] = [
    time(
        "occurred_at",
        |event| event.occurred_at.as_nanos(),
        |parts, nanos| {
            parts.event.occurred_at = Timestamp::from_nanos(nanos);
            Some(())
        },
    ),
    time(
        "recorded_at",
        |event| event.recorded_at.as_nanos(),
        |parts, nanos| {
            parts.event.recorded_at = Timestamp::from_nanos(nanos);
            Some(())
        },
    ),
    // An empty text stands for no tenant.
    required(text(
        "tenant",
        |event| event.tenant.as_deref(),
        |parts, text| {
            parts.event.tenant = Some(text).filter(|text| !text.is_empty()).map(Arc::from);
            Some(())
        },
    )),
    required(number(
        "source",
        |event| i16::try_from(store::source_number(event.source)).ok(),
        |parts, number| {
            parts.event.source = *Source::ALL.get(usize::try_from(number).ok()?)?;
            Some(())
        },
    )),
    required(number(
        "severity",
        |event| i16::try_from(store::severity_number(event.severity)).ok(),
        |parts, number| {
            parts.event.severity = *Severity::ALL.get(usize::try_from(number).ok()?)?;
            Some(())
        },
    )),
    CentralColumn {
        name: "own",
        value: ColumnValue::Boolean {
            get: |event| event.own,
            set: |parts, own| {
                parts.event.own = own;
                Some(())
            },
        },
        is_required: true,
    },
    text(
        "module",
        |event| event.action.module.as_deref(),
        |parts, text| put(&mut parts.action.module, text),
    ),
    required(text(
        "action",
        |event| Some(&event.action.slug),
        |parts, text| {
            parts.action.slug = text;
            Some(())
        },
    )),
    text(
        "title",
        |event| event.title.as_deref(),
        |parts, text| put(&mut parts.event.title, Arc::from(text)),
    ),
    text(
        "description",
        |event| event.description.as_deref(),
        |parts, text| put(&mut parts.event.description, text),
    ),
    text(
        "actor_id",
        |event| event.actor.as_ref()?.id.as_deref(),
        |parts, text| put(&mut parts.actor.id, text),
    ),
    text(
        "actor_label",
        |event| event.actor.as_ref()?.label.as_deref(),
        |parts, text| put(&mut parts.actor.label, text),
    ),
    text(
        "impersonator_id",
        |event| event.impersonator.as_ref()?.id.as_deref(),
        |parts, text| put(&mut parts.impersonator.id, text),
    ),
    text(
        "impersonator_label",
        |event| event.impersonator.as_ref()?.label.as_deref(),
        |parts, text| put(&mut parts.impersonator.label, text),
    ),
    text(
        "target_type",
        |event| event.target.as_ref()?.kind.as_deref(),
        |parts, text| put(&mut parts.target.kind, text),
    ),
    text(
        "target_id",
        |event| event.target.as_ref()?.id.as_deref(),
        |parts, text| put(&mut parts.target.id, text),
    ),
    text(
        "target_label",
        |event| event.target.as_ref()?.label.as_deref(),
        |parts, text| put(&mut parts.target.label, text),
    ),
    text(
        "diff",
        |event| Some(event.diff.as_ref()?.as_str()),
        |parts, text| put(&mut parts.event.diff, stored_object(&text)?),
    ),
    text(
        "payload",
        |event| Some(event.payload.as_ref()?.as_str()),
        |parts, text| put(&mut parts.event.payload, stored_object(&text)?),
    ),
    text("ip", |event| event.ip.as_deref(), |parts, text| put(&mut parts.event.ip, text)),
    text(
        "user_agent",
        |event| event.user_agent.as_deref(),
        |parts, text| put(&mut parts.event.user_agent, Arc::from(text)),
    ),
    text(
        "session_id",
        |event| event.session_id.as_deref(),
        |parts, text| put(&mut parts.event.session_id, text),
    ),
    text(
        "method",
        |event| event.method.as_deref(),
        |parts, text| put(&mut parts.event.method, text),
    ),
    text(
        "endpoint",
        |event| event.endpoint.as_deref(),
        |parts, text| put(&mut parts.event.endpoint, text),
    ),
    number(
        "status_code",
        |event| event.status_code.and_then(|status| i16::try_from(status).ok()),
        |parts, number| put(&mut parts.event.status_code, u16::try_from(number).ok()?),
    ),
    required(text(
        "recorded_by",
        |event| Some(&event.recorded_by),
        |parts, text| {
            parts.event.recorded_by = Arc::from(text);
            Some(())
        },
    )),
];

fn put<T>(place: &mut Option<T>, value: T) -> Option<()> {
    *place = Some(value);
    Some(())
}

/// Returns an object whose text is that which the log has; `None` for any other text.
fn stored_object(text: &str) -> Option<JsonObject> {
    JsonObject::parse(text, VALUE_DEPTH).ok().filter(|object| object.as_str() == text)
}
