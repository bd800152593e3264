//! The event: what an emitter says ([`NewEvent`]) and what the log keeps ([`Event`]).
//!
//! Every rule of how a value is taken in stands here and in the modules below: [`field`] has the one
//! table of fields, [`intake`] turns named values into a `NewEvent`, [`diff`] compares before and
//! after, [`json`] keeps JSON text as it came, [`own`] makes the events that the log writes about
//! itself. Nothing here reads a clock, a file or the environment.

pub(crate) mod diff;
pub(crate) mod field;
pub(crate) mod intake;
pub(crate) mod json;
pub(crate) mod own;

use std::fmt;
use std::sync::Arc;

use crate::event::json::Json;
use crate::time::Timestamp;

/// The largest event that is taken, in bytes of its values.
pub(crate) const MAX_EVENT: usize = 1 << 20;
/// The longest action, in bytes.
pub(crate) const MAX_ACTION: usize = 128;
/// The longest `event_id`, in bytes.
pub(crate) const MAX_EVENT_ID: usize = 512;
/// The longest other id, or label, in bytes.
pub(crate) const MAX_ID: usize = 4 << 10;

/// An event's place in the log: 1 for the first, ascending in commit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventId(pub i64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A link of the chain: SHA-256, shown as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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

    /// Reads a source in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name().eq_ignore_ascii_case(text))
    }

    /// Whether no person stands behind it: what `is:system` finds.
    pub(crate) fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Cron)
    }
}

/// How grave an event is; a greater one is graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// Every severity, in the order of their stored numbers: the graver the greater.
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

    /// Reads our names, syslog's (RFC 5424, section 6.2.1; short ones too) and WP Activity Log's
    /// numbers, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "critical" | "crit" | "emergency" | "emerg" | "panic" | "alert" | "500" => {
                Self::Critical
            }
            "high" | "error" | "err" | "400" => Self::High,
            "medium" | "warning" | "warn" | "300" => Self::Medium,
            "low" | "notice" | "250" => Self::Low,
            "info" | "informational" | "debug" | "200" => Self::Info,
            _ => return None,
        })
    }
}

/// A person or service: an id with the label it had then. At least one of the two is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Party {
    pub id: Option<String>,
    pub label: Option<String>,
}

/// A record: its family, its identifier or slug, and the label it had then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub kind: Option<String>,
    pub id: Option<String>,
    pub label: Option<String>,
}

/// What was done, and the service that said so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Action {
    pub slug: String,
    pub module: Option<String>,
}

/// An event as the log keeps it. What repeats from event to event is shared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub id: EventId,
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
    pub diff: Option<Json>,
    pub payload: Option<Json>,
    pub ip: Option<String>,
    pub user_agent: Option<Arc<str>>,
    pub session_id: Option<String>,
    pub method: Option<String>,
    pub endpoint: Option<String>,
    pub status_code: Option<u16>,
    /// Whether the log wrote it about itself; an imported event never is.
    pub own: bool,
    pub hash: Hash,
}

impl Event {
    /// Whether it tells of something that did not succeed: what `is:failed` finds. The status is 400
    /// or more, or the action's last part has `failed` or `denied` as a word.
    pub(crate) fn is_failed(&self) -> bool {
        self.status_code.is_some_and(|status| status >= 400) || names_failure(&self.action.slug)
    }
}

/// Whether the last part of an action (after its last dot) has `failed` or `denied` as a word.
pub(crate) fn names_failure(action: &str) -> bool {
    let last = action.rsplit('.').next().unwrap_or(action);
    last.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word == "failed" || word == "denied")
}

/// What an emitter says. A value that it did not give is `None` here, and the log fills in the rest:
/// so a repeat is compared by what was given alone.
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
    pub diff: Option<Json>,
    pub payload: Option<Json>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub session_id: Option<String>,
    pub method: Option<String>,
    pub endpoint: Option<String>,
    pub status_code: Option<u16>,
    /// Set by [`own`] alone.
    pub own: bool,
}

impl NewEvent {
    /// The source that was given, else the one that the other fields tell: `operator` with an actor,
    /// `api` with a method or endpoint, else `system`.
    pub(crate) fn source_or_default(&self) -> Source {
        self.source.unwrap_or({
            if self.actor_id.is_some() || self.actor_label.is_some() {
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

    /// Checks what concerns the event as a whole: that it has an action, and how large it is.
    ///
    /// # Errors
    /// The reason, in words for `FILE:LINE: reason`.
    pub(crate) fn validate(self) -> Result<Self, String> {
        if self.action.is_empty() {
            return Err("action is missing".to_owned());
        }
        if self.size() > MAX_EVENT {
            return Err("longer than 1 MiB".to_owned());
        }
        Ok(self)
    }

    /// The bytes of its texts.
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
            + json.into_iter().flatten().map(|json| json.as_str().len()).sum::<usize>()
    }
}
