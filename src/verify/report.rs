//! The result of a verification, as lines and as JSON.

use serde_json::Value;
use serde_json::json;

use crate::event::EventId;
use crate::event::Hash;
use crate::text;
use crate::verify::anchors::Anchor;

/// How many anchors that hold are listed one by one.
const MAX_LISTED_ANCHORS: usize = 3;

/// The kind of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViolationKind {
    Event,
    Schema,
    Integrity,
    Gaps,
    Head,
    Anchor,
}

impl ViolationKind {
    fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Schema => "schema",
            Self::Integrity => "integrity",
            Self::Gaps => "gaps",
            Self::Head => "head",
            Self::Anchor => "anchor",
        }
    }
}

/// How an event was tampered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViolationReason {
    Altered,
    Removed,
    Inserted,
    OutOfOrder,
}

impl ViolationReason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Removed => "removed",
            Self::Inserted => "put in",
            Self::OutOfOrder => "order",
        }
    }
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub kind: ViolationKind,
    pub id: Option<EventId>,
    pub reason: Option<ViolationReason>,
    pub message: String,
}

impl Violation {
    pub(super) fn new(kind: ViolationKind, message: String) -> Self {
        Self { kind, id: None, reason: None, message }
    }

    pub(super) fn with_id(self, id: EventId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Returns the violation of an event; `more` says what is known beyond the reason.
    pub(super) fn of_event(id: EventId, why: ViolationReason, more: &str) -> Self {
        let message = format!("{}{more}", why.name());
        Self { kind: ViolationKind::Event, id: Some(id), reason: Some(why), message }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut object = json!({"kind": self.kind.name()});
        if let Some(id) = self.id {
            object["id"] = id.0.into();
        }
        if let Some(why) = self.reason {
            object["why"] = why.name().into();
        }
        object["what"] = self.message.clone().into();
        object
    }

    fn to_line(&self) -> String {
        let message = text::escape_lines(&self.message);
        match (self.kind, self.id) {
            (ViolationKind::Event, Some(id)) => format!("broken at event {id}: {message}"),
            _ => format!("broken: {message}"),
        }
    }
}

/// The result for a head that was noted outside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnchorVerdict {
    Holds,
    /// The event with that id has another hash.
    HashDiffers,
    /// The log ends before that id.
    BeyondEnd {
        end: EventId,
    },
    /// The event was swept, and its hash with it. These are the nearest ids whose hashes are still
    /// known.
    Swept {
        before: EventId,
        after: EventId,
    },
    /// The event is missing, and no sweep removed it.
    Missing,
    /// The hash is as noted, but the log is broken before that event.
    AfterBreak {
        broken_at: EventId,
    },
}

impl AnchorVerdict {
    fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HashDiffers | Self::BeyondEnd { .. } | Self::Missing => "broken",
            Self::Swept { .. } | Self::AfterBreak { .. } => "cannot tell",
        }
    }

    fn to_line(self, anchor: &Anchor) -> String {
        let id = anchor.id;
        match self {
            Self::Holds => format!("anchor {id} holds"),
            Self::HashDiffers => format!("broken: event {id} is not the one that was noted"),
            Self::BeyondEnd { end } => {
                let missing = text::plural(id.0.abs_diff(end.0), "event");
                format!("broken: the log ends at {end}, {missing} missing")
            }
            Self::Swept { before, after } => format!(
                "cannot tell: event {id} was swept; the nearest anchors that can be checked are \
                 {before} and {after}"
            ),
            Self::Missing => format!("broken: event {id}, which was noted, is not there"),
            Self::AfterBreak { broken_at } => format!(
                "cannot tell: event {id} has the hash that was noted, but the log is broken at \
                 event {broken_at}"
            ),
        }
    }
}

/// The events that sweeps removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SweptTotals {
    pub events: u64,
    /// The number of runs of ids; adjacent runs are one.
    pub ranges: u64,
}

/// The result of a verification.
#[derive(Debug)]
pub(crate) struct VerifyReport {
    /// The number of events that are in the log and hold.
    pub events: u64,
    /// The last id and hash that hold.
    pub head: (EventId, Hash),
    pub violations: Vec<Violation>,
    pub swept: SweptTotals,
    /// The sweeps whose events are in the log, as these events describe them, the oldest first.
    pub sweeps: Vec<Value>,
    pub notes: Vec<String>,
    pub anchors: Vec<(Anchor, AnchorVerdict)>,
    pub quick: bool,
}

impl Default for VerifyReport {
    fn default() -> Self {
        Self {
            events: 0,
            head: (EventId(0), Hash([0; 32])),
            violations: Vec::new(),
            swept: SweptTotals::default(),
            sweeps: Vec::new(),
            notes: Vec::new(),
            anchors: Vec::new(),
            quick: false,
        }
    }
}

impl VerifyReport {
    /// Whether everything holds that can be compared with something.
    pub(crate) fn holds(&self) -> bool {
        let failed = |(_, verdict): &(Anchor, AnchorVerdict)| verdict.name() == "broken";
        self.violations.is_empty() && !self.anchors.iter().any(failed)
    }

    /// Whether the events hold among themselves, whatever is wrong with the file and the noted
    /// heads.
    fn chain_holds(&self) -> bool {
        let of_the_file = |broken: &Violation| {
            matches!(broken.kind, ViolationKind::Schema | ViolationKind::Integrity)
                && broken.id.is_none()
        };
        self.violations.iter().all(of_the_file)
    }

    /// Whether everything that was asked could be answered, and holds.
    pub(crate) fn is_fully_verified(&self) -> bool {
        self.holds() && self.anchors.iter().all(|(_, verdict)| *verdict == AnchorVerdict::Holds)
    }

    /// Returns the lines for standard output: that the log holds, or each violation.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.violations.iter().map(Violation::to_line).collect();
        if self.holds() {
            let (id, hash) = self.head;
            // Scripts read this line: its words are the same whatever the number is.
            lines.push(format!("holds: {} events, head {id}:{hash}", self.events));
        }
        let failed = self.anchors.iter().filter(|(_, verdict)| *verdict != AnchorVerdict::Holds);
        lines.extend(failed.map(|(anchor, verdict)| verdict.to_line(anchor)));
        lines
    }

    /// Returns the lines for standard error, which are good to know.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if !self.holds() && self.chain_holds() {
            let (id, hash) = self.head;
            notes.push(format!("the chain of its {} events holds, head {id}:{hash}", self.events));
        }
        let holding: Vec<_> =
            self.anchors.iter().filter(|(_, verdict)| *verdict == AnchorVerdict::Holds).collect();
        match holding.iter().map(|(anchor, _)| anchor.id).max() {
            Some(newest) if holding.len() > MAX_LISTED_ANCHORS => {
                notes.push(format!("{} anchors hold, the newest is {newest}", holding.len()));
            }
            _ => notes.extend(holding.iter().map(|(anchor, verdict)| verdict.to_line(anchor))),
        }
        notes
    }

    /// Returns everything as one object.
    pub(crate) fn to_json(&self) -> String {
        let (id, hash) = self.head;
        let anchor = |(anchor, verdict): &(Anchor, AnchorVerdict)| {
            json!({
                "id": anchor.id.0,
                "verdict": verdict.name(),
                "what": verdict.to_line(anchor),
            })
        };
        let report = json!({
            "holds": self.holds(),
            "events": self.events,
            "head": {"id": id.0, "hash": hash.to_string()},
            "broken": self.violations.iter().map(Violation::to_json).collect::<Vec<Value>>(),
            "swept": {"events": self.swept.events, "ranges": self.swept.ranges},
            "sweeps": self.sweeps,
            "notes": self.notes,
            "anchors": self.anchors.iter().map(anchor).collect::<Vec<Value>>(),
            "quick": self.quick,
        });
        let mut escaped = String::new();
        text::json_escape_into(&mut escaped, &report.to_string());
        escaped
    }
}
