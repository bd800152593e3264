//! Counts the events of a central store by what they have in common.
//!
//! The server groups by the texts of the rows and by quarters of an hour, of which every period of
//! every zone consists; what is one person, record or period is decided here. A query of which SQL says
//! not all is counted event by event.

use std::collections::BTreeSet;
use std::collections::HashMap;

use anyhow::Result;

use crate::event::Event;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::Target;
use crate::event::field;
use crate::event::field::FieldValue;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::store;
use crate::store::central::CentralError;
use crate::store::central::read::CentralEngine;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::plan::CentralPlan;
use crate::store::tally::CountedGroup;
use crate::store::tally::GroupValue;
use crate::store::tally::GroupedCounts;
use crate::store::tally::Grouping;
use crate::time::Timestamp;
use crate::time::Zone;

/// A quarter of an hour, in nanoseconds: offsets of zones are multiples of it.
const QUARTER: i64 = 900_000_000_000;

/// Events with the same values.
struct RowGroup {
    values: Vec<GroupValue>,
    count: u64,
    first: i64,
    last: i64,
    /// When the newest of them was recorded.
    recorded_at: i64,
}

/// The counts so far.
#[derive(Default)]
struct CentralTally {
    counts: GroupedCounts,
    groups: HashMap<Vec<GroupValue>, u64>,
    /// The newest label of who or what has an id, with the time of its recording.
    labels: HashMap<GroupValue, (i64, String)>,
}

impl CentralTally {
    fn add(&mut self, group: RowGroup) {
        let [first, last] = [group.first, group.last].map(Timestamp::from_nanos);
        let counts = &mut self.counts;
        counts.events += group.count;
        counts.first = Some(counts.first.map_or(first, |known| known.min(first)));
        counts.last = counts.last.max(Some(last));
        let values = group.values.into_iter().map(|value| {
            let (identity, label) = split_label(value);
            if let Some(label) = label {
                let known =
                    self.labels.entry(identity.clone()).or_insert((i64::MIN, String::new()));
                if group.recorded_at >= known.0 {
                    *known = (group.recorded_at, label);
                }
            }
            identity
        });
        let values = values.collect();
        *self.groups.entry(values).or_default() += group.count;
    }

    fn resolve(self) -> GroupedCounts {
        let labels = &self.labels;
        let groups = self.groups.into_iter().map(|(values, count)| {
            let values = values.into_iter().map(|value| with_label(value, labels)).collect();
            CountedGroup { values, count }
        });
        let mut groups: Vec<CountedGroup> = groups.collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.values.cmp(&b.values)));
        GroupedCounts { groups, ..self.counts }
    }
}

/// Takes the label from who or what has an id: it does not tell them apart.
fn split_label(value: GroupValue) -> (GroupValue, Option<String>) {
    match value {
        GroupValue::Person { tenant, id: id @ Some(_), label } => {
            (GroupValue::Person { tenant, id, label: None }, label)
        }
        GroupValue::Record { tenant, kind, id: id @ Some(_), label } => {
            (GroupValue::Record { tenant, kind, id, label: None }, label)
        }
        value => (value, None),
    }
}

fn with_label(value: GroupValue, labels: &HashMap<GroupValue, (i64, String)>) -> GroupValue {
    let newest = labels.get(&value).map(|(_, label)| label.clone());
    match value {
        GroupValue::Person { tenant, id: id @ Some(_), .. } => {
            GroupValue::Person { tenant, id, label: newest }
        }
        GroupValue::Record { tenant, kind, id: id @ Some(_), .. } => {
            GroupValue::Record { tenant, kind, id, label: newest }
        }
        value => value,
    }
}

/// Forgets the tenant where there is but one: then it tells nobody apart.
fn forget_single_tenant(groups: &mut [RowGroup]) {
    let mut tenants: BTreeSet<String> = BTreeSet::new();
    for value in groups.iter().flat_map(|group| &group.values) {
        if let GroupValue::Person { tenant, .. } | GroupValue::Record { tenant, .. } = value {
            tenants.extend(tenant.clone());
        }
    }
    if tenants.len() > 1 {
        return;
    }
    for value in groups.iter_mut().flat_map(|group| &mut group.values) {
        if let GroupValue::Person { tenant, .. } | GroupValue::Record { tenant, .. } = value {
            *tenant = None;
        }
    }
}

/// Returns the columns by which the server groups.
fn columns_of(grouping: Grouping) -> Vec<&'static str> {
    match grouping {
        Grouping::Field(name) => vec![name],
        Grouping::Actor => vec!["tenant", "actor_id", "actor_label", "source"],
        Grouping::Target => vec!["tenant", "target_type", "target_id", "target_label"],
        Grouping::Period(_) => vec!["occurred_at"],
    }
}

/// Reads the value of a grouping from its columns.
fn value_of(grouping: Grouping, columns: &[Option<String>], zone: &Zone) -> GroupValue {
    let text = |place: usize| columns.get(place).cloned().flatten().filter(|text| !text.is_empty());
    let number = |place| text(place).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    match grouping {
        Grouping::Field("source") => {
            let named =
                Source::ALL.into_iter().find(|known| store::source_number(*known) == number(0));
            GroupValue::Text(named.map_or("", Source::name).to_owned())
        }
        Grouping::Field("severity") => {
            let mut all = Severity::ALL.into_iter();
            let named = all.find(|known| store::severity_number(*known) == number(0));
            GroupValue::Text(named.map_or("", Severity::name).to_owned())
        }
        // ClickHouse has 0 for none.
        Grouping::Field("status_code") if number(0) == 0 => GroupValue::Absent,
        Grouping::Field(_) => text(0).map_or(GroupValue::Absent, GroupValue::Text),
        Grouping::Actor => match (Party { id: text(1), label: text(2) }) {
            Party { id: None, label: None } if matches!(number(3), 1 | 3) => GroupValue::System,
            Party { id: None, label: None } => GroupValue::Anonymous,
            party => GroupValue::person(text(0), party),
        },
        Grouping::Target => match (Target { kind: text(1), id: text(2), label: text(3) }) {
            target if target == Target::default() => GroupValue::Absent,
            target => GroupValue::record(text(0), target),
        },
        Grouping::Period(unit) => {
            let at = Timestamp::from_nanos(number(0).saturating_mul(QUARTER));
            GroupValue::Period(zone.calendar_unit(at, unit).start)
        }
    }
}

impl CentralEngine {
    pub(in crate::store) fn count_by(
        &self,
        query: &Query,
        groupings: &[Grouping],
        zone: &Zone,
    ) -> Result<GroupedCounts> {
        let plan = self.plan(query);
        let mut groups = Vec::new();
        if plan.is_exact {
            groups = self.grouped_rows(&plan, groupings, zone)?;
        } else {
            self.each(query, TimeBounds::default(), false, &mut |event| {
                groups.push(group_of(&event, groupings, zone));
                Ok(())
            })?;
        }
        forget_single_tenant(&mut groups);
        let mut tally = CentralTally::default();
        groups.into_iter().for_each(|group| tally.add(group));
        Ok(tally.resolve())
    }

    fn grouped_rows(
        &self,
        plan: &CentralPlan,
        groupings: &[Grouping],
        zone: &Zone,
    ) -> Result<Vec<RowGroup>, CentralError> {
        let mut columns: Vec<&'static str> = vec!["log", "id", "occurred_at", "recorded_at"];
        let mut expressions = Vec::new();
        for grouping in groupings {
            for column in columns_of(*grouping) {
                if !columns.contains(&column) {
                    columns.push(column);
                }
                expressions.push(match grouping {
                    Grouping::Period(_) => quarter(self.server.dialect()),
                    Grouping::Field(_) | Grouping::Actor | Grouping::Target => column.to_owned(),
                });
            }
        }
        let names: Vec<String> = (1..=expressions.len()).map(|n| format!("g{n}")).collect();
        let named = expressions.iter().zip(&names);
        let named: Vec<String> = named.map(|(value, name)| format!("{value} AS {name}")).collect();
        let selected = Fragment::new(format!(
            "{}, count(*), min(occurred_at), max(occurred_at), max(recorded_at)",
            named.join(", ")
        ));
        let end = format!(" GROUP BY {}", names.join(", "));
        let count = expressions.len() + 4;
        let rows = self.grouped(plan, &selected, &columns.join(", "), count, &end)?;
        let group = |row: &Vec<Option<String>>| {
            let mut rest = row.as_slice();
            let values = groupings.iter().map(|grouping| {
                let (own, others) = rest.split_at(columns_of(*grouping).len().min(rest.len()));
                rest = others;
                value_of(*grouping, own, zone)
            });
            let values = values.collect();
            let number = |place: usize| -> i64 {
                rest.get(place).cloned().flatten().and_then(|text| text.parse().ok()).unwrap_or(0)
            };
            RowGroup {
                values,
                count: number(0).unsigned_abs(),
                first: number(1),
                last: number(2),
                recorded_at: number(3),
            }
        };
        Ok(rows.iter().map(group).collect())
    }
}

/// Returns the expression of the quarter of an hour of an event, counted from 1970.
fn quarter(dialect: SqlDialect) -> String {
    // Division goes towards 0.
    match dialect {
        SqlDialect::Postgres => format!(
            "(occurred_at / {QUARTER} - CASE WHEN occurred_at % {QUARTER} < 0 THEN 1 ELSE 0 END)"
        ),
        // A plain number has no sign, and makes old servers take that of the time for a digit.
        SqlDialect::ClickHouse => {
            let quarter = format!("toInt64({QUARTER})");
            format!(
                "(intDiv(occurred_at, {quarter}) - \
                 CASE WHEN occurred_at % {quarter} < 0 THEN 1 ELSE 0 END)"
            )
        }
    }
}

/// Returns the group of one event alone.
fn group_of(event: &Event, groupings: &[Grouping], zone: &Zone) -> RowGroup {
    let tenant = || event.tenant.as_deref().map(str::to_owned);
    let value = |grouping: &Grouping| match *grouping {
        Grouping::Field(name) => match field::by_name(name).and_then(|field| (field.get)(event)) {
            Some(FieldValue::Text(text)) => GroupValue::Text(text.to_owned()),
            Some(FieldValue::Integer(number)) => GroupValue::Text(number.to_string()),
            Some(FieldValue::Time(_) | FieldValue::Json(_) | FieldValue::Hash(_)) | None => {
                GroupValue::Absent
            }
        },
        Grouping::Actor => match &event.actor {
            Some(actor) => GroupValue::person(tenant(), Party::clone(actor)),
            None if event.source.is_system() => GroupValue::System,
            None => GroupValue::Anonymous,
        },
        Grouping::Target => match &event.target {
            Some(target) => GroupValue::record(tenant(), Target::clone(target)),
            None => GroupValue::Absent,
        },
        Grouping::Period(unit) => {
            GroupValue::Period(zone.calendar_unit(event.occurred_at, unit).start)
        }
    };
    let at = event.occurred_at.as_nanos();
    RowGroup {
        values: groupings.iter().map(value).collect(),
        count: 1,
        first: at,
        last: at,
        recorded_at: event.recorded_at.as_nanos(),
    }
}
