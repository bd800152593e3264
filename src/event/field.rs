//! The table of all fields. It drives parsing, JSON, the CSV header, `--columns`, `show` and help.

use std::sync::LazyLock;

use crate::event::Event;
use crate::event::Hash;
use crate::event::MAX_ACTION_BYTES;
use crate::event::MAX_EVENT_ID_BYTES;
use crate::event::MAX_ID_BYTES;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::json::JsonObject;
use crate::event::json::VALUE_DEPTH;
use crate::event::quoted;
use crate::time::Timestamp;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Integer(i64),
    Text(&'a str),
    Time(Timestamp),
    Json(&'a JsonObject),
    Hash(&'a Hash),
}

/// The kind of a field's values, which decides how text is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// Set by the log; the value of another log is dropped.
    Stamp,
    Text,
    /// Text; a number is taken as its literal.
    Id {
        limit: usize,
    },
    /// Text that names a person or thing.
    Label,
    Time,
    Source,
    Severity,
    Slug,
    Object,
    IpAddress,
    HttpMethod,
    Status,
}

/// One field of the event.
pub(crate) struct Field {
    /// The canonical name.
    pub name: &'static str,
    /// The names that other programs use, which are accepted too.
    pub aliases: &'static [&'static str],
    pub kind: FieldKind,
    /// A description for help.
    pub about: &'static str,
    /// Returns its value in an event of the log.
    pub get: for<'a> fn(&'a Event) -> Option<FieldValue<'a>>,
    /// Returns the value that an emitter gave.
    pub given: for<'a> fn(&'a NewEvent) -> Option<FieldValue<'a>>,
    /// Sets the value, in its normal form.
    set: fn(&mut NewEvent, NormalizedValue),
}

/// A value in its normal form, ready to be set.
enum NormalizedValue {
    Text(String),
    Time(Timestamp),
    Source(Source),
    Severity(Severity),
    Object(JsonObject),
    Status(u16),
}

impl Field {
    /// Parses a value from text into its normal form and sets it. `time` parses a time, because only the
    /// caller knows how to read one without an offset.
    ///
    /// # Errors
    /// The reason, beginning with the field's name.
    pub(crate) fn set_from_text(
        &self,
        event: &mut NewEvent,
        text: String,
        time: impl FnOnce(&str) -> Result<Timestamp, String>,
    ) -> Result<(), String> {
        let value =
            self.normalize(text, time).map_err(|reason| format!("{}: {reason}", self.name))?;
        (self.set)(event, value);
        Ok(())
    }

    /// Sets a field that holds an object.
    pub(crate) fn set_object(&self, event: &mut NewEvent, object: JsonObject) {
        (self.set)(event, NormalizedValue::Object(object));
    }

    fn normalize(
        &self,
        text: String,
        time: impl FnOnce(&str) -> Result<Timestamp, String>,
    ) -> Result<NormalizedValue, String> {
        let bounded = |text: String, limit: usize| {
            if text.len() > limit { Err(format!("longer than {limit} bytes")) } else { Ok(text) }
        };
        Ok(match self.kind {
            FieldKind::Stamp => unreachable!("nobody sets the stamps of the log"),
            FieldKind::Text => NormalizedValue::Text(text),
            FieldKind::Id { limit } => NormalizedValue::Text(bounded(text, limit)?),
            FieldKind::Label => NormalizedValue::Text(bounded(text, MAX_ID_BYTES)?),
            FieldKind::Time => NormalizedValue::Time(time(&text)?),
            FieldKind::Source => {
                NormalizedValue::Source(Source::parse(&text).ok_or_else(|| {
                    format!("{} is none of operator, system, api and cron", quoted(&text))
                })?)
            }
            FieldKind::Severity => {
                NormalizedValue::Severity(Severity::parse(&text).ok_or_else(|| {
                    format!("{} is none of critical, high, medium, low and info", quoted(&text))
                })?)
            }
            FieldKind::Slug => {
                NormalizedValue::Text(normalize_action(bounded(text, MAX_ACTION_BYTES)?)?)
            }
            FieldKind::Object => NormalizedValue::Object(JsonObject::parse(&text, VALUE_DEPTH)?),
            FieldKind::IpAddress => NormalizedValue::Text(normalize_ip(&text)?),
            FieldKind::HttpMethod => NormalizedValue::Text(normalize_method(text)?),
            FieldKind::Status => NormalizedValue::Status(parse_status(&text)?),
        })
    }
}

/// An action in its normal form: ASCII letters folded to lower case, digits and `_ . : / -`.
fn normalize_action(mut text: String) -> Result<String, String> {
    text.make_ascii_lowercase();
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "_.:/-".contains(c));
    match text.chars().find(|c| odd(*c)) {
        Some(c) => Err(format!(
            "{} has {c:?}; letters, digits and _ . : / - can stand in it",
            quoted(&text)
        )),
        None => Ok(text),
    }
}

/// An IP address in the form of RFC 5952.
fn normalize_ip(text: &str) -> Result<String, String> {
    text.parse::<std::net::IpAddr>()
        .map(|address| address.to_string())
        .map_err(|_| format!("{} is not an address", quoted(text)))
}

/// An HTTP method in capitals: a token of RFC 9110, section 5.6.2.
fn normalize_method(mut text: String) -> Result<String, String> {
    text.make_ascii_uppercase();
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.len() <= 64 && text.chars().all(token) {
        Ok(text)
    } else {
        Err(format!("{} is not an HTTP method", quoted(&text)))
    }
}

fn parse_status(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|status| text.len() == 3 && (100..=599).contains(status))
        .ok_or_else(|| format!("{} is not a status from 100 to 599", quoted(text)))
}

/// A name of a field.
#[derive(Clone, Copy)]
pub(crate) struct FieldName {
    text: &'static str,
    pub field: &'static Field,
    /// Whether it is the canonical name, which wins over the aliases.
    pub canonical: bool,
    /// A bit of its own for each name.
    pub name_bit: u64,
    /// A bit of its own for each field.
    pub field_bit: u64,
}

/// Every name of every field, in the order of names.
static NAMES: LazyLock<Vec<FieldName>> = LazyLock::new(|| {
    let mut names = Vec::new();
    for (field_number, field) in FIELDS.iter().enumerate() {
        for (position, text) in std::iter::once(&field.name).chain(field.aliases).enumerate() {
            names.push(FieldName {
                text,
                field,
                canonical: position == 0,
                name_bit: 1 << names.len(),
                field_bit: 1 << field_number,
            });
        }
    }
    names.sort_unstable_by_key(|name| name.text);
    names
});

/// The field with this name or alias.
pub(crate) fn lookup(name: &str) -> Option<FieldName> {
    let position = NAMES.binary_search_by_key(&name, |name| name.text).ok()?;
    NAMES.get(position).copied()
}

/// The field with this canonical name.
pub(crate) fn by_name(name: &str) -> Option<&'static Field> {
    lookup(name).filter(|name| name.canonical).map(|name| name.field)
}

macro_rules! text_field {
    ($name:ident, $kind:expr, $aliases:expr, $about:expr, |$event:ident| $get:expr) => {
        Field {
            name: stringify!($name),
            aliases: &$aliases,
            kind: $kind,
            about: $about,
            get: |$event| $get.map(FieldValue::Text),
            given: |new| new.$name.as_deref().map(FieldValue::Text),
            set: |new, value| {
                if let NormalizedValue::Text(text) = value {
                    new.$name = Some(text);
                }
            },
        }
    };
}

macro_rules! stamp_field {
    ($name:ident, $about:expr, |$event:ident| $get:expr) => {
        Field {
            name: stringify!($name),
            aliases: &[],
            kind: FieldKind::Stamp,
            about: $about,
            get: |$event| Some($get),
            given: |_| None,
            set: |_, _| {},
        }
    };
}

macro_rules! object_field {
    ($name:ident, $aliases:expr, $about:expr) => {
        Field {
            name: stringify!($name),
            aliases: &$aliases,
            kind: FieldKind::Object,
            about: $about,
            get: |event| event.$name.as_ref().map(FieldValue::Json),
            given: |new| new.$name.as_ref().map(FieldValue::Json),
            set: |new, value| {
                if let NormalizedValue::Object(object) = value {
                    new.$name = Some(object);
                }
            },
        }
    };
}

const ID_KIND: FieldKind = FieldKind::Id { limit: MAX_ID_BYTES };

/// Every field, in the order of exports.
pub(crate) static FIELDS: [Field; 28] = [
    stamp_field!(id, "place in the log, 1 for the first event", |event| FieldValue::Integer(
        event.id.0
    )),
    text_field!(
        event_id,
        FieldKind::Id { limit: MAX_EVENT_ID_BYTES },
        [],
        "the emitter's own id, a UUID as a rule; a repeat of it is a duplicate",
        |event| Some(event.event_id.as_str())
    ),
    Field {
        name: "occurred_at",
        aliases: &["created_at", "timestamp", "time"],
        kind: FieldKind::Time,
        about: "when the action committed",
        get: |event| Some(FieldValue::Time(event.occurred_at)),
        given: |new| new.occurred_at.map(FieldValue::Time),
        set: |new, value| {
            if let NormalizedValue::Time(at) = value {
                new.occurred_at = Some(at);
            }
        },
    },
    stamp_field!(recorded_at, "when this log took it", |event| FieldValue::Time(event.recorded_at)),
    stamp_field!(recorded_by, "who ran the program", |event| FieldValue::Text(&event.recorded_by)),
    text_field!(tenant, ID_KIND, ["tenant_id"], "site or tenant", |event| event.tenant.as_deref()),
    Field {
        name: "source",
        aliases: &[],
        kind: FieldKind::Source,
        about: "where it came from: operator, system, api or cron",
        get: |event| Some(FieldValue::Text(event.source.name())),
        given: |new| new.source.map(|source| FieldValue::Text(source.name())),
        set: |new, value| {
            if let NormalizedValue::Source(source) = value {
                new.source = Some(source);
            }
        },
    },
    Field {
        name: "severity",
        aliases: &[],
        kind: FieldKind::Severity,
        about: "how grave it is: critical, high, medium, low or info; syslog's names are taken too",
        get: |event| Some(FieldValue::Text(event.severity.name())),
        given: |new| new.severity.map(|severity| FieldValue::Text(severity.name())),
        set: |new, value| {
            if let NormalizedValue::Severity(severity) = value {
                new.severity = Some(severity);
            }
        },
    },
    text_field!(module, FieldKind::Label, [], "emitting service", |event| event
        .action
        .module
        .as_deref()),
    Field {
        name: "action",
        aliases: &[],
        kind: FieldKind::Slug,
        about: "what was done, like user.edit",
        get: |event| Some(FieldValue::Text(&event.action.slug)),
        given: |new| Some(FieldValue::Text(&new.action)),
        set: |new, value| {
            if let NormalizedValue::Text(text) = value {
                new.action = text;
            }
        },
    },
    text_field!(title, FieldKind::Text, [], "headline", |event| event.title.as_deref()),
    text_field!(description, FieldKind::Text, [], "detail", |event| event.description.as_deref()),
    text_field!(actor_id, ID_KIND, ["user_id"], "who did it: the id", |event| {
        event.actor.as_ref().and_then(|actor| actor.id.as_deref())
    }),
    text_field!(
        actor_label,
        FieldKind::Label,
        ["user"],
        "who did it: the name it had then",
        |event| { event.actor.as_ref().and_then(|actor| actor.label.as_deref()) }
    ),
    text_field!(
        impersonator_id,
        ID_KIND,
        ["impersonated_by"],
        "who really acted, when acting as the actor: the id",
        |event| event.impersonator.as_ref().and_then(|party| party.id.as_deref())
    ),
    text_field!(
        impersonator_label,
        FieldKind::Label,
        [],
        "who really acted: the name it had then",
        |event| event.impersonator.as_ref().and_then(|party| party.label.as_deref())
    ),
    text_field!(
        target_type,
        FieldKind::Label,
        ["resource_type"],
        "family of the record",
        |event| { event.target.as_ref().and_then(|target| target.kind.as_deref()) }
    ),
    text_field!(target_id, ID_KIND, ["resource_id"], "identifier or slug of the record", |event| {
        event.target.as_ref().and_then(|target| target.id.as_deref())
    }),
    text_field!(target_label, FieldKind::Label, [], "the name the record had then", |event| {
        event.target.as_ref().and_then(|target| target.label.as_deref())
    }),
    object_field!(diff, [], "changed fields, each with before and after"),
    object_field!(payload, ["metadata"], "anything else, a JSON object"),
    text_field!(ip, FieldKind::IpAddress, ["ip_address"], "address, v4 or v6", |event| event
        .ip
        .as_deref()),
    text_field!(user_agent, FieldKind::Text, [], "user agent", |event| event.user_agent.as_deref()),
    text_field!(session_id, ID_KIND, [], "session", |event| event.session_id.as_deref()),
    text_field!(method, FieldKind::HttpMethod, [], "HTTP method", |event| event.method.as_deref()),
    text_field!(endpoint, FieldKind::Text, [], "path", |event| event.endpoint.as_deref()),
    Field {
        name: "status_code",
        aliases: &[],
        kind: FieldKind::Status,
        about: "HTTP status, 100 to 599",
        get: |event| event.status_code.map(|status| FieldValue::Integer(i64::from(status))),
        given: |new| new.status_code.map(|status| FieldValue::Integer(i64::from(status))),
        set: |new, value| {
            if let NormalizedValue::Status(status) = value {
                new.status_code = Some(status);
            }
        },
    },
    stamp_field!(hash, "link of the chain", |event| FieldValue::Hash(&event.hash)),
];
