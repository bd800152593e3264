//! The table of all fields. It drives parsing, JSON, the CSV header, `--columns`, `show` and help.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
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
use crate::text;
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
    /// The names that other programs use, which are accepted too; the first of several wins.
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
    /// The reason.
    pub(crate) fn set_from_text(
        &self,
        event: &mut NewEvent,
        text: String,
        time: impl FnOnce(&str) -> Result<Timestamp, String>,
    ) -> Result<(), String> {
        let value = self.normalize(text, time)?;
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

/// Returns an IP address in the form of RFC 5952, without the port that may stand behind it.
fn normalize_ip(text: &str) -> Result<String, String> {
    let plain = text.trim_ascii();
    let bare = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(plain);
    let address: Option<IpAddr> = bare
        .parse()
        .ok()
        .or_else(|| plain.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    address
        .map(|address| address.to_string())
        .ok_or_else(|| format!("{} is not an address", quoted(text)))
}

/// Whether text that is no address was meant to be one: it consists of what addresses are made of.
/// Anything else, like `-` or `localhost`, names something else.
pub(crate) fn resembles_address(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let marks = text.bytes().filter(|byte| b".:[]/".contains(byte)).count();
    digits > 0 && marks > 1 && digits + marks == text.len()
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

/// A party of an event whose values may come under one name: text, or an object with id and label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartyRole {
    Actor,
    Impersonator,
    Target,
}

impl PartyRole {
    /// Every role, with the names under which it comes; the first of several wins.
    const NAMES: [(Self, &[&str]); 3] = [
        // Where there is an `actor`, the `user` is often the one acted upon.
        (Self::Actor, &["actor", "username", "user_name", "user"]),
        (Self::Impersonator, &["impersonated_as", "impersonator"]),
        (Self::Target, &["target", "resource"]),
    ];

    /// The names of the fields for type, id and label.
    pub(crate) fn field_names(self) -> [Option<&'static str>; 3] {
        match self {
            Self::Actor => [None, Some("actor_id"), Some("actor_label")],
            Self::Impersonator => [None, Some("impersonator_id"), Some("impersonator_label")],
            Self::Target => [Some("target_type"), Some("target_id"), Some("target_label")],
        }
    }
}

/// The state of a record before or after a change, from which the diff is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordState {
    Before,
    After,
}

impl RecordState {
    const NAMES: [(Self, &[&str]); 2] = [
        (Self::Before, &["before", "before_value", "old_values"]),
        (Self::After, &["after", "after_value", "new_values"]),
    ];
}

/// What a key of an input stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyMeaning {
    Field(&'static Field),
    Party(PartyRole),
    RecordState(RecordState),
}

/// A key that inputs may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownKey {
    pub text: &'static str,
    pub meaning: KeyMeaning,
    /// The place among the names of the same meaning: the least wins, 0 is the field's own name.
    pub rank: u8,
    /// A bit of its own for each key, 0 where it is spelt in another way.
    pub key_bit: u128,
    /// A bit of its own for each field; 0 if it is none.
    pub field_bit: u64,
}

impl KnownKey {
    /// Returns the name that belongs to the meaning itself.
    pub(crate) fn name(&self) -> &'static str {
        match self.meaning {
            KeyMeaning::Field(field) => field.name,
            KeyMeaning::Party(_) | KeyMeaning::RecordState(_) => self.text,
        }
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every key, as it is written and as it is compared.
struct KnownKeys {
    /// In the order of their text.
    exact: Vec<KnownKey>,
    /// In the order of their text without `_`, each once.
    folded: Vec<(String, KnownKey)>,
}

/// The length of the longest known key, more or less: a longer one is unknown.
const MAX_KEY_BYTES: usize = 32;

static KEYS: LazyLock<KnownKeys> = LazyLock::new(|| {
    let mut exact: Vec<KnownKey> = Vec::new();
    let mut add = |meaning, field_bit, names: &mut dyn Iterator<Item = &&'static str>| {
        for (text, rank) in names.zip(0..) {
            let key_bit = 1 << exact.len();
            exact.push(KnownKey { text, meaning, rank, key_bit, field_bit });
        }
    };
    for (number, field) in FIELDS.iter().enumerate() {
        let mut names = std::iter::once(&field.name).chain(field.aliases);
        add(KeyMeaning::Field(field), 1 << number, &mut names);
    }
    for (role, names) in PartyRole::NAMES {
        add(KeyMeaning::Party(role), 0, &mut names.iter());
    }
    for (state, names) in RecordState::NAMES {
        add(KeyMeaning::RecordState(state), 0, &mut names.iter());
    }
    let spelt_otherwise = |key: &KnownKey| KnownKey { key_bit: 0, ..*key };
    let mut folded: Vec<_> =
        exact.iter().map(|key| (key.text.replace('_', ""), spelt_otherwise(key))).collect();
    folded.sort_by(|(a, _), (b, _)| a.cmp(b));
    folded.dedup_by(|(a, _), (b, _)| a == b);
    exact.sort_unstable_by_key(|key| key.text);
    KnownKeys { exact, folded }
});

/// Returns what is known of a key: `_`, `-` and letter case aside.
pub(crate) fn lookup(key: &str) -> Option<KnownKey> {
    let KnownKeys { exact, folded } = &*KEYS;
    if let Ok(place) = exact.binary_search_by_key(&key, |known| known.text) {
        return exact.get(place).copied();
    }
    if key.len() > MAX_KEY_BYTES {
        return None;
    }
    let mut buffer = [0; MAX_KEY_BYTES];
    let mut length = 0;
    for (byte, place) in key.bytes().filter(|byte| !b"_-".contains(byte)).zip(&mut buffer) {
        *place = byte.to_ascii_lowercase();
        length += 1;
    }
    let wanted = &buffer[..length];
    let place = folded.binary_search_by_key(&wanted, |(text, _)| text.as_bytes()).ok()?;
    folded.get(place).map(|(_, known)| *known)
}

/// Returns what a key stands for, if it is known.
pub(crate) fn meaning_of_key(key: &str) -> Option<KeyMeaning> {
    lookup(key).map(|known| known.meaning)
}

/// The field with this canonical name.
pub(crate) fn by_name(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// Whether a key has a word that says that its value is a time: `event-time`, `doneAt`.
pub(crate) fn names_a_time(key: &str) -> bool {
    let mut word = String::new();
    let mut follows_lower = false;
    for c in key.chars().chain(['_']) {
        let begins = !c.is_alphanumeric() || c.is_uppercase() && follows_lower;
        if begins {
            if ["time", "date", "ts", "at"].contains(&word.as_str()) {
                return true;
            }
            word.clear();
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        follows_lower = c.is_lowercase() || c.is_numeric();
    }
    false
}

/// Returns the field's own name or other name that is nearest to a key, if one is near enough.
pub(crate) fn nearest_key(key: &str) -> Option<KnownKey> {
    let names = KEYS.exact.iter().filter(|known| known.rank == 0).map(|known| known.text);
    lookup(text::nearest(key, names)?)
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
        aliases: &[
            "created_at",
            "timestamp",
            "@timestamp",
            "time",
            "ts",
            "date",
            "datetime",
            "event_time",
        ],
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
        aliases: &["level"],
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
    text_field!(actor_label, FieldKind::Label, [], "who did it: the name it had then", |event| {
        event.actor.as_ref().and_then(|actor| actor.label.as_deref())
    }),
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
    text_field!(
        ip,
        FieldKind::IpAddress,
        ["ip_address", "client_ip", "remote_addr", "source_ip"],
        "address, v4 or v6",
        |event| event.ip.as_deref()
    ),
    text_field!(user_agent, FieldKind::Text, [], "user agent", |event| event.user_agent.as_deref()),
    text_field!(session_id, ID_KIND, [], "session", |event| event.session_id.as_deref()),
    text_field!(method, FieldKind::HttpMethod, [], "HTTP method", |event| event.method.as_deref()),
    text_field!(endpoint, FieldKind::Text, [], "path", |event| event.endpoint.as_deref()),
    Field {
        name: "status_code",
        aliases: &["status"],
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
