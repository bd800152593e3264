//! The event, as an emitter sends it ([`NewEvent`]) and as the log keeps it ([`Event`]).
//!
//! All rules about values stand here and in the modules below: [`field`] has the one table of fields,
//! [`builder`] turns named values into a `NewEvent` by what [`intake`] says of keys, [`diff`] compares before and after, [`json`] keeps
//! JSON text as it came, [`own_events`] makes the events that the log writes about itself. Nothing here
//! reads a clock, a file or the environment.

pub(crate) mod builder;
pub(crate) mod diff;
pub(crate) mod field;
pub(crate) mod intake;
pub(crate) mod json;
pub(crate) mod leniency;
pub(crate) mod own_events;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::event::json::JsonObject;
use crate::time::Timestamp;

/// The size of the largest event that is accepted, in bytes of its values.
pub(crate) const MAX_EVENT_BYTES: usize = 1 << 20;
/// The longest action, in bytes.
pub(crate) const MAX_ACTION_BYTES: usize = 128;
/// The longest `event_id`, in bytes.
pub(crate) const MAX_EVENT_ID_BYTES: usize = 512;
/// The longest other id, or label, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 4 << 10;

/// An event's place in the log: 1 for the first, ascending in commit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventId(pub i64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an event among all that can be read together: its id, behind the name of its log where
/// there are several. It is written `ID`, or `LOG/ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventPlace {
    pub id: EventId,
    pub log: Option<Arc<str>>,
}

impl EventPlace {
    /// Reads `ID` or `LOG/ID`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (log, digits) = match text.rsplit_once('/') {
            Some((log, digits)) => (Some(log).filter(|log| !log.is_empty())?.into(), digits),
            None => (None, text),
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let id = digits.parse().ok().filter(|_| is_number).map(EventId)?;
        Some(Self { id, log: log.map(Arc::from) })
    }
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.log {
            Some(log) => write!(f, "{log}/{}", self.id),
            None => self.id.fmt(f),
        }
    }
}

/// A link of the chain: SHA-256, shown as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hash(pub [u8; 32]);

impl Hash {
    /// Appends the hash in hex digits.
    pub(crate) fn write_hex_into(&self, out: &mut String) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xF)]);
        }
        out.push_str(str::from_utf8(&digits).expect("digits are ASCII"));
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = String::with_capacity(64);
        self.write_hex_into(&mut digits);
        f.write_str(&digits)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where an action came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    Operator,
    System,
    Api,
    Cron,
}

impl Source {
    /// Every source, in the order of their stored numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Operator, Self::System, Self::Api, Self::Cron];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::System => "system",
            Self::Api => "api",
            Self::Cron => "cron",
        }
    }

    /// Parses the name of a source in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name().eq_ignore_ascii_case(text))
    }

    /// Whether no person caused the event, as in `is:system`.
    pub(crate) fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Cron)
    }
}

/// The severity of an event; the graver the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// Every severity, in the order of their stored numbers.
    pub(crate) const ALL: [Self; 5] =
        [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Parses our names, those of syslog (RFC 5424, section 6.2.1, short ones too) and the numbers of WP
    /// Activity Log, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const NAMES: [(Severity, &[&str]); 5] = [
            (Severity::Info, &["info", "informational", "debug", "200"]),
            (Severity::Low, &["low", "notice", "250"]),
            (Severity::Medium, &["medium", "warning", "warn", "300"]),
            (Severity::High, &["high", "error", "err", "400"]),
            (
                Severity::Critical,
                &["critical", "crit", "emergency", "emerg", "panic", "alert", "500"],
            ),
        ];
        let known = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        NAMES.into_iter().find(|(_, names)| known(names)).map(|(severity, _)| severity)
    }
}

/// A person or service: an id with the label of that time. At least one of the two is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Party {
    pub id: Option<String>,
    pub label: Option<String>,
}

/// A record: its family, its identifier or slug, and its label of that time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub kind: Option<String>,
    pub id: Option<String>,
    pub label: Option<String>,
}

/// An action, and the service that reported it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Action {
    pub slug: String,
    pub module: Option<String>,
}

/// An event as the log keeps it. Values that many events share are shared in memory too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub id: EventId,
    /// The name of its log, where the logs of many hosts are read together.
    pub log: Option<Arc<str>>,
    pub event_id: String,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub recorded_by: Arc<str>,
    pub tenant: Option<Arc<str>>,
    pub source: Source,
    pub severity: Severity,
    pub action: Arc<Action>,
    pub title: Option<Arc<str>>,
    pub description: Option<String>,
    pub actor: Option<Arc<Party>>,
    pub impersonator: Option<Arc<Party>>,
    pub target: Option<Arc<Target>>,
    pub diff: Option<JsonObject>,
    pub payload: Option<JsonObject>,
    pub ip: Option<String>,
    pub user_agent: Option<Arc<str>>,
    pub session_id: Option<String>,
    pub method: Option<String>,
    pub endpoint: Option<String>,
    pub status_code: Option<u16>,
    /// Whether the log wrote the event about itself; no imported event has this.
    pub own: bool,
    pub hash: Hash,
}

impl Event {
    /// Returns the number of bytes that it takes in memory, nearly. Texts that it may share with other
    /// events are counted where they can be long.
    pub(crate) fn memory_size(&self) -> usize {
        let objects = [&self.diff, &self.payload].into_iter().flatten();
        let objects: usize = objects.map(|object| object.as_str().len()).sum();
        let texts = [&self.description, &self.session_id, &self.endpoint].into_iter().flatten();
        let texts: usize = texts.map(String::len).sum();
        let shared = [&self.title, &self.user_agent].into_iter().flatten();
        let shared: usize = shared.map(|text| text.len()).sum();
        size_of::<Self>() + objects + texts + shared
    }

    /// An event with its action and nothing else: every value that can be absent is absent.
    pub(crate) fn minimal(action: Arc<Action>) -> Self {
        Self {
            id: EventId(0),
            log: None,
            event_id: String::new(),
            occurred_at: Timestamp::from_nanos(0),
            recorded_at: Timestamp::from_nanos(0),
            recorded_by: Arc::from(""),
            tenant: None,
            source: Source::System,
            severity: Severity::Info,
            action,
            title: None,
            description: None,
            actor: None,
            impersonator: None,
            target: None,
            diff: None,
            payload: None,
            ip: None,
            user_agent: None,
            session_id: None,
            method: None,
            endpoint: None,
            status_code: None,
            own: false,
            hash: Hash([0; 32]),
        }
    }

    pub(crate) fn place(&self) -> EventPlace {
        EventPlace { id: self.id, log: self.log.clone() }
    }

    /// Whether something failed, as in `is:failed`: the status is 400 or more, or the last part of the
    /// action has a word like `failed` or `denied`.
    pub(crate) fn is_failed(&self) -> bool {
        self.status_code.is_some_and(|status| status >= 400) || is_failure_action(&self.action.slug)
    }
}

/// The words that say of an action that it failed.
pub(crate) const FAILURE_WORDS: [&str; 7] =
    ["failed", "failure", "denied", "refused", "rejected", "unauthorized", "forbidden"];

/// Whether the last part of an action (after its last dot) has a word that says that it failed.
pub(crate) fn is_failure_action(action: &str) -> bool {
    let last = action.rsplit('.').next().unwrap_or(action);
    last.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| FAILURE_WORDS.contains(&word))
}

/// An event as an emitter sends it. A value that was not given is `None`, and the log fills in the
/// rest: so a repeat is compared only by the values that were given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NewEvent {
    pub event_id: Option<String>,
    pub occurred_at: Option<Timestamp>,
    pub tenant: Option<String>,
    pub source: Option<Source>,
    pub severity: Option<Severity>,
    pub module: Option<String>,
    pub action: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub actor_id: Option<String>,
    pub actor_label: Option<String>,
    pub impersonator_id: Option<String>,
    pub impersonator_label: Option<String>,
    pub target_type: Option<String>,
    pub target_id: Option<String>,
    pub target_label: Option<String>,
    pub diff: Option<JsonObject>,
    pub payload: Option<JsonObject>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub session_id: Option<String>,
    pub method: Option<String>,
    pub endpoint: Option<String>,
    pub status_code: Option<u16>,
    /// Set by [`own_events`] alone.
    pub own: bool,
}

/// Quotes foreign text for an error message: on one line, escaped, and shortened.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

impl NewEvent {
    /// The source that was given, else the one that the other fields imply: `operator` with an actor or
    /// an impersonator, `api` with a method or endpoint, else `system`.
    pub(crate) fn source_or_default(&self) -> Source {
        self.source.unwrap_or({
            let parties = [
                &self.actor_id,
                &self.actor_label,
                &self.impersonator_id,
                &self.impersonator_label,
            ];
            if parties.into_iter().any(Option::is_some) {
                Source::Operator
            } else if self.method.is_some() || self.endpoint.is_some() {
                Source::Api
            } else {
                Source::System
            }
        })
    }

    pub(crate) fn severity_or_default(&self) -> Severity {
        self.severity.unwrap_or(Severity::Info)
    }

    /// Returns the event as a log would keep it, without a number and a hash, for people to look at.
    pub(crate) fn to_preview(&self, now: Timestamp, recorded_by: &Arc<str>) -> Event {
        let shared = |text: &Option<String>| text.as_deref().map(Arc::from);
        let party = |id: &Option<String>, label: &Option<String>| {
            let party = Party { id: id.clone(), label: label.clone() };
            (party != Party::default()).then(|| Arc::new(party))
        };
        let target = Target {
            kind: self.target_type.clone(),
            id: self.target_id.clone(),
            label: self.target_label.clone(),
        };
        let action = Action { slug: self.action.clone(), module: self.module.clone() };
        Event {
            event_id: self.event_id.clone().unwrap_or_default(),
            occurred_at: self.occurred_at.unwrap_or(now),
            recorded_at: now,
            recorded_by: Arc::clone(recorded_by),
            tenant: shared(&self.tenant),
            source: self.source_or_default(),
            severity: self.severity_or_default(),
            title: shared(&self.title),
            description: self.description.clone(),
            actor: party(&self.actor_id, &self.actor_label),
            impersonator: party(&self.impersonator_id, &self.impersonator_label),
            target: (target != Target::default()).then(|| Arc::new(target)),
            diff: self.diff.clone(),
            payload: self.payload.clone(),
            ip: self.ip.clone(),
            user_agent: shared(&self.user_agent),
            session_id: self.session_id.clone(),
            method: self.method.clone(),
            endpoint: self.endpoint.clone(),
            status_code: self.status_code,
            own: self.own,
            ..Event::minimal(Arc::new(action))
        }
    }

    /// Checks the event as a whole: that it has an action, and that it is not too large.
    ///
    /// # Errors
    /// The reason, for a message like `FILE:LINE: reason`.
    pub(crate) fn validate(self) -> Result<Self, String> {
        if self.action.is_empty() {
            return Err("action is missing".to_owned());
        }
        if self.size() > MAX_EVENT_BYTES {
            return Err("longer than 1 MiB".to_owned());
        }
        Ok(self)
    }

    /// The number of bytes of its texts. JSON counts as if nothing in it were escaped: an export escapes
    /// more, and an event that was accepted must not be too large when it is imported again.
    pub(crate) fn size(&self) -> usize {
        let texts = [
            &self.event_id,
            &self.tenant,
            &self.module,
            &self.title,
            &self.description,
            &self.actor_id,
            &self.actor_label,
            &self.impersonator_id,
            &self.impersonator_label,
            &self.target_type,
            &self.target_id,
            &self.target_label,
            &self.ip,
            &self.user_agent,
            &self.session_id,
            &self.method,
            &self.endpoint,
        ];
        let json = [&self.diff, &self.payload];
        self.action.len()
            + texts.into_iter().flatten().map(String::len).sum::<usize>()
            + json.into_iter().flatten().map(JsonObject::size).sum::<usize>()
    }
}
