//! Counting events by what they have in common.

use anyhow::Result;

use crate::access::Scope;
use crate::event::Party;
use crate::event::Target;
use crate::query::Query;
use crate::store::Engine;
use crate::store::Log;
use crate::time::CalendarUnit;
use crate::time::Timestamp;
use crate::time::Zone;

/// What events are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// The value of a field, named by one of [`groupable_fields`].
    Field(&'static str),
    /// The person: one id is one person, whatever its labels. In a log of several tenants, one id of
    /// a tenant.
    Actor,
    /// The record: one type and id, whatever its labels; of a tenant, as for persons.
    Target,
    Period(CalendarUnit),
}

impl Grouping {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Field(name) => name,
            Self::Actor => "actor",
            Self::Target => "target",
            Self::Period(unit) => unit.name(),
        }
    }
}

/// The fields that events can be counted by.
pub(crate) fn groupable_fields() -> impl Iterator<Item = &'static str> {
    crate::store::sqlite::groupable()
}

/// What the events of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum GroupValue {
    /// The first instant of an hour, day, week or month.
    Period(Timestamp),
    Text(String),
    Person {
        tenant: Option<String>,
        id: Option<String>,
        /// The label that arrived last.
        label: Option<String>,
    },
    Record {
        tenant: Option<String>,
        kind: Option<String>,
        id: Option<String>,
        /// The label that arrived last.
        label: Option<String>,
    },
    /// No actor, from source `system` or `cron`.
    System,
    /// No actor, from another source.
    Anonymous,
    /// The field is absent.
    Absent,
}

impl GroupValue {
    pub(crate) fn person(tenant: Option<String>, party: Party) -> Self {
        Self::Person { tenant, id: party.id, label: party.label }
    }

    pub(crate) fn record(tenant: Option<String>, target: Target) -> Self {
        Self::Record { tenant, kind: target.kind, id: target.id, label: target.label }
    }
}

/// Events that have a value in common for each grouping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CountedGroup {
    /// One value for each grouping, in their order.
    pub values: Vec<GroupValue>,
    pub count: u64,
}

/// The number of events, in all and by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupedCounts {
    pub events: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Those with most events first; of as many, by their values.
    pub groups: Vec<CountedGroup>,
}

impl Log {
    /// Counts the events that match by each set of groupings, those of a set together. Periods are
    /// those of `zone`.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn count_by(
        &self,
        scope: &Scope,
        query: &Query,
        sets: &[&[Grouping]],
        zone: &Zone,
    ) -> Result<Vec<GroupedCounts>> {
        let query = scope.narrow(query);
        match &self.engine {
            Engine::Local(engine) => engine.count_by(&query, sets, zone),
            Engine::Central(engine) => {
                sets.iter().map(|groupings| engine.count_by(&query, groupings, zone)).collect()
            }
        }
    }
}
