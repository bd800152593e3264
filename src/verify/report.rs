//! What was found, in lines and as JSON.

use serde_json::Value;
use serde_json::json;

use crate::event::EventId;
use crate::event::Hash;
use crate::text;
use crate::verify::anchors::Anchor;

/// How many anchors that hold are told one by one.
const ANCHORS: usize = 3;

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Schema,
    Integrity,
    Gaps,
    Head,
    Anchor,
}

impl Kind {
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

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Altered,
    Removed,
    PutIn,
    Order,
}

impl Why {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Removed => "removed",
            Self::PutIn => "put in",
            Self::Order => "order",
        }
    }
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub kind: Kind,
    pub id: Option<EventId>,
    pub why: Option<Why>,
    pub what: String,
}

impl Broken {
    pub(super) fn of(kind: Kind, what: String) -> Self {
        Self { kind, id: None, why: None, what }
    }

    pub(super) fn at(self, id: EventId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// An event; `more` says what is known beyond the reason.
    pub(super) fn event(id: EventId, why: Why, more: &str) -> Self {
        let what = format!("{}{more}", why.name());
        Self { kind: Kind::Event, id: Some(id), why: Some(why), what }
    }

    fn line(&self) -> String {
        let what = text::escape_lines(&self.what);
        match (self.kind, self.id) {
            (Kind::Event, Some(id)) => format!("broken at event {id}: {what}"),
            _ => format!("broken: {what}"),
        }
    }
}

/// What became of a head that was noted outside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    /// The event with that id has another hash.
    Another,
    /// The log ends before it.
    Beyond {
        end: EventId,
    },
    /// The event is gone, and its hash with it: the nearest ids whose hashes are still known.
    Swept {
        before: EventId,
        after: EventId,
    },
    /// The event is not there, and no sweep took it.
    Missing,
    /// The hash is the one that was noted, but the log is broken before it.
    Behind {
        broken_at: EventId,
    },
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Another | Self::Beyond { .. } | Self::Missing => "broken",
            Self::Swept { .. } | Self::Behind { .. } => "cannot tell",
        }
    }

    fn line(self, anchor: &Anchor) -> String {
        let id = anchor.id;
        match self {
            Self::Holds => format!("anchor {id} holds"),
            Self::Another => format!("broken: event {id} is not the one that was noted"),
            Self::Beyond { end } => {
                let missing = text::plural(id.0.abs_diff(end.0), "event");
                format!("broken: the log ends at {end}, {missing} missing")
            }
            Self::Swept { before, after } => format!(
                "cannot tell: event {id} was swept; the nearest anchors that can be told are \
                 {before} and {after}"
            ),
            Self::Missing => format!("broken: event {id}, which was noted, is not there"),
            Self::Behind { broken_at } => format!(
                "cannot tell: event {id} has the hash that was noted, but the log is broken at \
                 event {broken_at}"
            ),
        }
    }
}

/// What sweeps took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub events: u64,
    /// Runs of ids; those that touch are one.
    pub ranges: u64,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Report {
    /// Events that are there and hold.
    pub events: u64,
    /// How far it holds.
    pub head: (EventId, Hash),
    pub broken: Vec<Broken>,
    pub swept: Swept,
    pub notes: Vec<String>,
    pub anchors: Vec<(Anchor, Verdict)>,
    pub quick: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            events: 0,
            head: (EventId(0), Hash([0; 32])),
            broken: Vec::new(),
            swept: Swept::default(),
            notes: Vec::new(),
            anchors: Vec::new(),
            quick: false,
        }
    }
}

impl Report {
    /// Whether everything holds that can be held against something.
    pub(crate) fn holds(&self) -> bool {
        let failed = |(_, verdict): &(Anchor, Verdict)| verdict.name() == "broken";
        self.broken.is_empty() && !self.anchors.iter().any(failed)
    }

    /// Whether the events hold among themselves, whatever became of the file and of noted heads.
    fn chain_holds(&self) -> bool {
        let of_the_file = |broken: &Broken| {
            matches!(broken.kind, Kind::Schema | Kind::Integrity) && broken.id.is_none()
        };
        self.broken.iter().all(of_the_file)
    }

    /// Whether everything that was asked could be told, and holds.
    pub(crate) fn is_all_well(&self) -> bool {
        self.holds() && self.anchors.iter().all(|(_, verdict)| *verdict == Verdict::Holds)
    }

    /// The lines for standard output: that the log holds, or each thing that does not.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.broken.iter().map(Broken::line).collect();
        if self.holds() {
            let (id, hash) = self.head;
            // Scripts read it: whatever the number, the words stay.
            lines.push(format!("holds: {} events, head {id}:{hash}", self.events));
        }
        let told = self.anchors.iter().filter(|(_, verdict)| *verdict != Verdict::Holds);
        lines.extend(told.map(|(anchor, verdict)| verdict.line(anchor)));
        lines
    }

    /// The lines for standard error: what is good to know.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if !self.holds() && self.chain_holds() {
            let (id, hash) = self.head;
            notes.push(format!("the chain of its {} events holds, head {id}:{hash}", self.events));
        }
        let holding: Vec<_> =
            self.anchors.iter().filter(|(_, verdict)| *verdict == Verdict::Holds).collect();
        match holding.iter().map(|(anchor, _)| anchor.id).max() {
            Some(newest) if holding.len() > ANCHORS => {
                notes.push(format!("{} anchors hold, the newest is {newest}", holding.len()));
            }
            _ => notes.extend(holding.iter().map(|(anchor, verdict)| verdict.line(anchor))),
        }
        notes
    }

    /// All of it as one object.
    pub(crate) fn json(&self) -> String {
        let (id, hash) = self.head;
        let broken = |broken: &Broken| {
            let mut object = json!({"kind": broken.kind.name()});
            if let Some(id) = broken.id {
                object["id"] = id.0.into();
            }
            if let Some(why) = broken.why {
                object["why"] = why.name().into();
            }
            object["what"] = broken.what.clone().into();
            object
        };
        let anchor = |(anchor, verdict): &(Anchor, Verdict)| {
            json!({
                "id": anchor.id.0,
                "verdict": verdict.name(),
                "what": verdict.line(anchor),
            })
        };
        let report = json!({
            "holds": self.holds(),
            "events": self.events,
            "head": {"id": id.0, "hash": hash.to_string()},
            "broken": self.broken.iter().map(broken).collect::<Vec<Value>>(),
            "swept": {"events": self.swept.events, "ranges": self.swept.ranges},
            "notes": self.notes,
            "anchors": self.anchors.iter().map(anchor).collect::<Vec<Value>>(),
            "quick": self.quick,
        });
        let mut escaped = String::new();
        text::json_escape_into(&mut escaped, &report.to_string());
        escaped
    }
}
