//! The one table of fields: it drives parsing, JSON, the CSV header, `--columns`, `show` and help.

use crate::event::Event;
use crate::event::Hash;
use crate::event::MAX_ACTION;
use crate::event::MAX_EVENT_ID;
use crate::event::MAX_ID;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::json::Json;
use crate::time::Timestamp;

/// A field's value, as a reader of it needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Integer(i64),
    Text(&'a str),
    Time(Timestamp),
    Json(&'a Json),
    Hash(&'a Hash),
}

/// What may stand in a field, and so how it is read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Given by the log: another log's value is dropped.
    Stamp,
    Text,
    /// Text; a number is taken as its literal.
    Id {
        limit: usize,
    },
    /// Text that names somebody or something.
    Label,
    Time,
    Source,
    Severity,
    Slug,
    Object,
    Address,
    Verb,
    Status,
}

/// One field of the event.
pub(crate) struct Field {
    /// The contract's name.
    pub name: &'static str,
    /// The names it has elsewhere, and is taken in under.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// What it holds, for help.
    pub about: &'static str,
    /// Its value in the log.
    pub get: for<'a> fn(&'a Event) -> Option<Value<'a>>,
    /// The value an emitter gave.
    pub given: for<'a> fn(&'a NewEvent) -> Option<Value<'a>>,
    /// Sets it from text in its normal form (objects are set by `intake`).
    set: fn(&mut NewEvent, Taken),
}

/// A value in its normal form, ready to be set.
enum Taken {
    Text(String),
    Time(Timestamp),
    Source(Source),
    Severity(Severity),
    Object(Json),
    Status(u16),
}

impl Field {
    /// Reads a value from text into its normal form and sets it. `time` reads a time, for only the
    /// caller knows how to take one without an offset.
    ///
    /// # Errors
    /// The reason, beginning with the field's name.
    pub(crate) fn take(
        &self,
        event: &mut NewEvent,
        text: String,
        time: impl FnOnce(&str) -> Result<Timestamp, String>,
    ) -> Result<(), String> {
        let taken = self.normal_form(text, time).map_err(|why| format!("{}: {why}", self.name))?;
        (self.set)(event, taken);
        Ok(())
    }

    /// Sets a field that holds an object.
    pub(crate) fn take_object(&self, event: &mut NewEvent, object: Json) {
        (self.set)(event, Taken::Object(object));
    }

    fn normal_form(
        &self,
        text: String,
        time: impl FnOnce(&str) -> Result<Timestamp, String>,
    ) -> Result<Taken, String> {
        let bounded = |text: String, limit: usize| {
            if text.len() > limit { Err(format!("longer than {limit} bytes")) } else { Ok(text) }
        };
        Ok(match self.kind {
            Kind::Stamp => unreachable!("the log's own stamps are never taken in"),
            Kind::Text => Taken::Text(text),
            Kind::Id { limit } => Taken::Text(bounded(text, limit)?),
            Kind::Label => Taken::Text(bounded(text, MAX_ID)?),
            Kind::Time => Taken::Time(time(&text)?),
            Kind::Source => Taken::Source(
                Source::parse(&text)
                    .ok_or_else(|| format!("{text:?} is none of operator, system, api and cron"))?,
            ),
            Kind::Severity => Taken::Severity(Severity::parse(&text).ok_or_else(|| {
                format!("{text:?} is none of critical, high, medium, low and info")
            })?),
            Kind::Slug => Taken::Text(slug(bounded(text, MAX_ACTION)?)?),
            Kind::Object => Taken::Object(Json::object(&text, 1)?),
            Kind::Address => Taken::Text(address(&text)?),
            Kind::Verb => Taken::Text(verb(text)?),
            Kind::Status => Taken::Status(status(&text)?),
        })
    }
}

/// An action in its normal form: ASCII letters folded to lower case, digits and `_ . : / -`.
fn slug(mut text: String) -> Result<String, String> {
    text.make_ascii_lowercase();
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "_.:/-".contains(c));
    match text.chars().find(|c| odd(*c)) {
        Some(c) => {
            Err(format!("{text:?} has {c:?}; letters, digits and _ . : / - can stand in it"))
        }
        None => Ok(text),
    }
}

/// An IP address in the form of RFC 5952.
fn address(text: &str) -> Result<String, String> {
    text.parse::<std::net::IpAddr>()
        .map(|address| address.to_string())
        .map_err(|_| format!("{text:?} is not an address"))
}

/// An HTTP method in capitals: a token of RFC 9110, section 5.6.2.
fn verb(mut text: String) -> Result<String, String> {
    text.make_ascii_uppercase();
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.len() <= 64 && text.chars().all(token) {
        Ok(text)
    } else {
        Err(format!("{text:?} is not an HTTP method"))
    }
}

fn status(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|status| text.len() == 3 && (100..=599).contains(status))
        .ok_or_else(|| format!("{text:?} is not a status from 100 to 599"))
}

/// The field of that name, or that is known under it.
pub(crate) fn named(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// The field that is taken in under that other name.
pub(crate) fn aliased(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.aliases.contains(&name))
}

macro_rules! text_field {
    ($name:ident, $kind:expr, $aliases:expr, $about:expr, |$event:ident| $get:expr) => {
        Field {
            name: stringify!($name),
            aliases: &$aliases,
            kind: $kind,
            about: $about,
            get: |$event| $get.map(Value::Text),
            given: |new| new.$name.as_deref().map(Value::Text),
            set: |new, taken| {
                if let Taken::Text(text) = taken {
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
            kind: Kind::Stamp,
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
            kind: Kind::Object,
            about: $about,
            get: |event| event.$name.as_ref().map(Value::Json),
            given: |new| new.$name.as_ref().map(Value::Json),
            set: |new, taken| {
                if let Taken::Object(object) = taken {
                    new.$name = Some(object);
                }
            },
        }
    };
}

const ID: Kind = Kind::Id { limit: MAX_ID };

/// Every field, in the contract's order.
pub(crate) static FIELDS: [Field; 28] = [
    stamp_field!(id, "place in the log, 1 for the first event", |event| Value::Integer(event.id.0)),
    text_field!(
        event_id,
        Kind::Id { limit: MAX_EVENT_ID },
        [],
        "the emitter's own id, a UUID as a rule; a repeat of it is a duplicate",
        |event| Some(event.event_id.as_str())
    ),
    Field {
        name: "occurred_at",
        aliases: &["created_at", "timestamp", "time"],
        kind: Kind::Time,
        about: "when the action committed",
        get: |event| Some(Value::Time(event.occurred_at)),
        given: |new| new.occurred_at.map(Value::Time),
        set: |new, taken| {
            if let Taken::Time(at) = taken {
                new.occurred_at = Some(at);
            }
        },
    },
    stamp_field!(recorded_at, "when this log took it", |event| Value::Time(event.recorded_at)),
    stamp_field!(recorded_by, "who ran the program", |event| Value::Text(&event.recorded_by)),
    text_field!(tenant, ID, ["tenant_id"], "site or tenant", |event| event.tenant.as_deref()),
    Field {
        name: "source",
        aliases: &[],
        kind: Kind::Source,
        about: "operator, system, api or cron",
        get: |event| Some(Value::Text(event.source.name())),
        given: |new| new.source.map(|source| Value::Text(source.name())),
        set: |new, taken| {
            if let Taken::Source(source) = taken {
                new.source = Some(source);
            }
        },
    },
    Field {
        name: "severity",
        aliases: &[],
        kind: Kind::Severity,
        about: "critical, high, medium, low or info; syslog's names are taken too",
        get: |event| Some(Value::Text(event.severity.name())),
        given: |new| new.severity.map(|severity| Value::Text(severity.name())),
        set: |new, taken| {
            if let Taken::Severity(severity) = taken {
                new.severity = Some(severity);
            }
        },
    },
    text_field!(module, Kind::Label, [], "emitting service", |event| event
        .action
        .module
        .as_deref()),
    Field {
        name: "action",
        aliases: &[],
        kind: Kind::Slug,
        about: "what was done, like user.edit",
        get: |event| Some(Value::Text(&event.action.slug)),
        given: |new| Some(Value::Text(&new.action)),
        set: |new, taken| {
            if let Taken::Text(text) = taken {
                new.action = text;
            }
        },
    },
    text_field!(title, Kind::Text, [], "headline", |event| event.title.as_deref()),
    text_field!(description, Kind::Text, [], "detail", |event| event.description.as_deref()),
    text_field!(actor_id, ID, ["user_id"], "who did it: the id", |event| {
        event.actor.as_ref().and_then(|actor| actor.id.as_deref())
    }),
    text_field!(actor_label, Kind::Label, ["user"], "who did it: the name it had then", |event| {
        event.actor.as_ref().and_then(|actor| actor.label.as_deref())
    }),
    text_field!(
        impersonator_id,
        ID,
        ["impersonated_by"],
        "who really acted, when acting as the actor: the id",
        |event| event.impersonator.as_ref().and_then(|party| party.id.as_deref())
    ),
    text_field!(
        impersonator_label,
        Kind::Label,
        [],
        "who really acted: the name it had then",
        |event| event.impersonator.as_ref().and_then(|party| party.label.as_deref())
    ),
    text_field!(target_type, Kind::Label, ["resource_type"], "family of the record", |event| {
        event.target.as_ref().and_then(|target| target.kind.as_deref())
    }),
    text_field!(target_id, ID, ["resource_id"], "identifier or slug of the record", |event| {
        event.target.as_ref().and_then(|target| target.id.as_deref())
    }),
    text_field!(target_label, Kind::Label, [], "the name the record had then", |event| {
        event.target.as_ref().and_then(|target| target.label.as_deref())
    }),
    object_field!(diff, [], "changed fields, each with before and after"),
    object_field!(payload, ["metadata"], "anything else, a JSON object"),
    text_field!(ip, Kind::Address, ["ip_address"], "address, v4 or v6", |event| event
        .ip
        .as_deref()),
    text_field!(user_agent, Kind::Text, [], "user agent", |event| event.user_agent.as_deref()),
    text_field!(session_id, ID, [], "session", |event| event.session_id.as_deref()),
    text_field!(method, Kind::Verb, [], "HTTP method", |event| event.method.as_deref()),
    text_field!(endpoint, Kind::Text, [], "path", |event| event.endpoint.as_deref()),
    Field {
        name: "status_code",
        aliases: &[],
        kind: Kind::Status,
        about: "HTTP status, 100 to 599",
        get: |event| event.status_code.map(|status| Value::Integer(i64::from(status))),
        given: |new| new.status_code.map(|status| Value::Integer(i64::from(status))),
        set: |new, taken| {
            if let Taken::Status(status) = taken {
                new.status_code = Some(status);
            }
        },
    },
    stamp_field!(hash, "link of the chain", |event| Value::Hash(&event.hash)),
];
