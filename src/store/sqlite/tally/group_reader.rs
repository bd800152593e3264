//! What is read of each event to count it by one grouping, and what the numbers stand for.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ops::Range;

use rusqlite::Connection;
use rusqlite::Row;

use crate::event::Severity;
use crate::event::Source;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::lookup::KeySet;
use crate::store::sqlite::rows;
use crate::store::sqlite::sql::Sql;
use crate::store::tally::GroupValue;
use crate::store::tally::Grouping;
use crate::time::CalendarUnit;
use crate::time::Timestamp;
use crate::time::Zone;

/// Stands for NULL; no key, code or number of a text is so small.
pub(super) const ABSENT: i64 = i64::MIN;

/// Returns the number of the period with this start. The first of all begins with the least time there
/// is, which is no absent value.
pub(super) fn period_number(start: Timestamp) -> i64 {
    start.as_nanos().max(ABSENT + 1)
}
/// Stand for the actor of an event that has none.
const SYSTEM: i64 = -1;
const ANONYMOUS: i64 = -2;

/// Reads the text of a field from a row of its dimension.
type ReadText = fn(&Row<'_>) -> rusqlite::Result<Option<String>>;

/// The column behind a field.
pub(super) enum GroupColumn {
    /// The key of a row that has the text.
    Key(&'static str, Dimension, ReadText),
    /// A number that stands for a text.
    Code(&'static str, fn(i64) -> String),
    Text(&'static str),
}

fn read_text(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    rows::optional_text(row, "text")
}

fn read_id(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    rows::optional_text(row, "id")
}

fn read_label(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    rows::optional_text(row, "label")
}

fn name_at(names: &[&'static str], code: i64) -> String {
    let name = usize::try_from(code).ok().and_then(|code| names.get(code));
    name.copied().unwrap_or_default().to_owned()
}

const FIELD_COLUMNS: [(&str, GroupColumn); 20] = [
    ("recorded_by", GroupColumn::Key("event.recorder", Dimension::Recorder, read_text)),
    ("tenant", GroupColumn::Key("event.tenant", Dimension::Tenant, read_text)),
    (
        "source",
        GroupColumn::Code("event.source", |code| name_at(&Source::ALL.map(Source::name), code)),
    ),
    (
        "severity",
        GroupColumn::Code("event.severity", |code| {
            name_at(&Severity::ALL.map(Severity::name), code)
        }),
    ),
    (
        "module",
        GroupColumn::Key("event.action", Dimension::Action, |row| {
            rows::optional_text(row, "module")
        }),
    ),
    (
        "action",
        GroupColumn::Key("event.action", Dimension::Action, |row| rows::optional_text(row, "slug")),
    ),
    ("title", GroupColumn::Key("event.title", Dimension::Title, read_text)),
    ("description", GroupColumn::Text("event.description")),
    ("actor_id", GroupColumn::Key("event.actor", Dimension::Actor, read_id)),
    ("actor_label", GroupColumn::Key("event.actor", Dimension::Actor, read_label)),
    ("impersonator_id", GroupColumn::Key("event.impersonator", Dimension::Actor, read_id)),
    ("impersonator_label", GroupColumn::Key("event.impersonator", Dimension::Actor, read_label)),
    (
        "target_type",
        GroupColumn::Key("event.target", Dimension::Target, |row| rows::optional_text(row, "type")),
    ),
    ("target_id", GroupColumn::Key("event.target", Dimension::Target, read_id)),
    ("target_label", GroupColumn::Key("event.target", Dimension::Target, read_label)),
    ("ip", GroupColumn::Text("event.ip")),
    ("user_agent", GroupColumn::Key("event.agent", Dimension::Agent, read_text)),
    ("session_id", GroupColumn::Text("event.session_id")),
    ("method", GroupColumn::Text("event.method")),
    ("endpoint", GroupColumn::Text("event.endpoint")),
];

/// A status is a number and shown as one.
const STATUS_COLUMN: (&str, GroupColumn) =
    ("status_code", GroupColumn::Code("event.status", |status| status.to_string()));

fn field_columns() -> impl Iterator<Item = &'static (&'static str, GroupColumn)> {
    static ALL: [&[(&str, GroupColumn)]; 2] = [&FIELD_COLUMNS, &[STATUS_COLUMN]];
    ALL.iter().copied().flatten()
}

/// The fields that events can be counted by.
pub(in crate::store) fn groupable_fields() -> impl Iterator<Item = &'static str> {
    field_columns().map(|(name, _)| *name)
}

/// How all events of the log are counted by the numbers of an index.
pub(super) struct IndexCount {
    pub column: &'static str,
    pub index: &'static str,
    /// What the events in the index fulfil.
    pub condition: &'static str,
    pub numbers: IndexedNumbers,
    pub others: UnindexedEvents,
}

impl IndexCount {
    /// The statement that selects each number of the index and how many events have it, which may be none
    /// if a condition that begins with AND leaves them out.
    pub(super) fn statement(&self, and: &str) -> String {
        let Self { column, index, condition, numbers, .. } = self;
        let events = format!("FROM event INDEXED BY {index} WHERE {condition}");
        match numbers {
            IndexedNumbers::Many => {
                format!("SELECT {column}, count(*) {events}{and} GROUP BY {column}")
            }
            IndexedNumbers::Few => format!(
                "WITH RECURSIVE found(number) AS ( \
                   SELECT min({column}) {events} \
                   UNION ALL \
                   SELECT (SELECT min({column}) {events} AND {column} > found.number) \
                   FROM found WHERE found.number IS NOT NULL) \
                 SELECT number, (SELECT count(*) {events} AND {column} = found.number{and}) \
                 FROM found WHERE number IS NOT NULL"
            ),
        }
    }
}

/// How many numbers there are in an index.
#[derive(Clone, Copy)]
pub(super) enum IndexedNumbers {
    /// So few that a search for each costs less than to compare each event with the one before.
    Few,
    Many,
}

/// The events that an index leaves out.
pub(super) enum UnindexedEvents {
    None,
    /// The field is absent from all of them.
    Absent,
    /// Their numbers have to be read.
    Select {
        number: &'static str,
        condition: &'static str,
    },
}

/// What is read of each event for one grouping.
pub(super) enum GroupReader<'a> {
    Field(&'static GroupColumn),
    /// The actor; with the tenant, where the log has several.
    Person {
        per_tenant: bool,
    },
    Record {
        per_tenant: bool,
    },
    Period {
        unit: CalendarUnit,
        zone: &'a Zone,
        last: Range<Timestamp>,
    },
}

impl<'a> GroupReader<'a> {
    pub(super) fn new(grouping: Grouping, zone: &'a Zone, per_tenant: bool) -> Self {
        match grouping {
            Grouping::Field(name) => {
                let column = field_columns().find(|(known, _)| *known == name);
                Self::Field(&column.expect("a groupable field").1)
            }
            Grouping::Actor => Self::Person { per_tenant },
            Grouping::Target => Self::Record { per_tenant },
            Grouping::Period(unit) => {
                let nothing = Timestamp::from_nanos(0)..Timestamp::from_nanos(0);
                Self::Period { unit, zone, last: nothing }
            }
        }
    }

    /// Adds its columns, and returns their number.
    pub(super) fn add_columns(&self, sql: &mut Sql) -> usize {
        let columns: &[&'static str] = match self {
            Self::Field(
                GroupColumn::Key(column, ..)
                | GroupColumn::Code(column, _)
                | GroupColumn::Text(column),
            ) => &[column],
            Self::Person { per_tenant: true } => &["event.actor", "event.source", "event.tenant"],
            Self::Person { per_tenant: false } => &["event.actor", "event.source"],
            Self::Record { per_tenant: true } => &["event.target", "event.tenant"],
            Self::Record { per_tenant: false } => &["event.target"],
            Self::Period { .. } => &[],
        };
        for column in columns {
            sql.add(", ").add(column);
        }
        columns.len()
    }

    /// Reads the numbers of an event, whose columns begin at `place`.
    pub(super) fn read(
        &mut self,
        row: &Row<'_>,
        place: usize,
        at: i64,
        texts: &mut TextNumbers,
    ) -> rusqlite::Result<(i64, i64)> {
        Ok(match self {
            Self::Field(GroupColumn::Text(_)) => {
                (row.get_ref(place)?.as_str_or_null()?.map_or(ABSENT, |text| texts.number(text)), 0)
            }
            Self::Field(GroupColumn::Key(..) | GroupColumn::Code(..)) => {
                (row.get::<_, Option<i64>>(place)?.unwrap_or(ABSENT), 0)
            }
            Self::Person { per_tenant } => match row.get::<_, Option<i64>>(place)? {
                Some(actor) if *per_tenant => (actor, row.get(place + 2)?),
                Some(actor) => (actor, 0),
                None if matches!(row.get(place + 1)?, 1 | 3) => (SYSTEM, 0),
                None => (ANONYMOUS, 0),
            },
            Self::Record { per_tenant } => match row.get::<_, Option<i64>>(place)? {
                Some(target) if *per_tenant => (target, row.get(place + 1)?),
                Some(target) => (target, 0),
                None => (ABSENT, 0),
            },
            Self::Period { unit, zone, last } => {
                let at = Timestamp::from_nanos(at);
                if !last.contains(&at) {
                    *last = zone.calendar_unit(at, *unit);
                }
                (period_number(last.start), 0)
            }
        })
    }

    /// How all events of the log are counted from one index, if there is such an index.
    pub(super) fn index_count(&self) -> Option<IndexCount> {
        let (column, index, condition, numbers) = match self {
            Self::Field(GroupColumn::Key("event.action", ..)) => {
                ("event.action", "event_action", "TRUE", IndexedNumbers::Few)
            }
            Self::Field(GroupColumn::Key("event.tenant", ..)) => {
                ("event.tenant", "event_tenant", "event.tenant <> 0", IndexedNumbers::Few)
            }
            Self::Field(GroupColumn::Key("event.actor", ..))
            | Self::Person { per_tenant: false } => {
                ("event.actor", "event_actor", "event.actor IS NOT NULL", IndexedNumbers::Many)
            }
            Self::Field(GroupColumn::Key("event.target", ..))
            | Self::Record { per_tenant: false } => {
                ("event.target", "event_target", "event.target IS NOT NULL", IndexedNumbers::Many)
            }
            Self::Field(_)
            | Self::Person { per_tenant: true }
            | Self::Record { per_tenant: true }
            | Self::Period { .. } => return None,
        };
        let others = match self {
            Self::Field(GroupColumn::Key("event.action", ..)) => UnindexedEvents::None,
            Self::Person { .. } => UnindexedEvents::Select {
                number: "CASE WHEN event.source IN (1, 3) THEN -1 ELSE -2 END",
                condition: "event.actor IS NULL",
            },
            Self::Field(_) | Self::Record { .. } | Self::Period { .. } => UnindexedEvents::Absent,
        };
        Some(IndexCount { column, index, condition, numbers, others })
    }

    /// Returns what each pair of numbers stands for.
    pub(super) fn resolve(
        &self,
        connection: &Connection,
        numbers: &[(i64, i64)],
        texts: &TextNumbers,
    ) -> rusqlite::Result<HashMap<(i64, i64), GroupValue>> {
        let plain = |value: &dyn Fn(i64) -> GroupValue| {
            numbers
                .iter()
                .map(|pair| match pair.0 {
                    ABSENT => (*pair, GroupValue::Absent),
                    number => (*pair, value(number)),
                })
                .collect()
        };
        Ok(match self {
            Self::Field(GroupColumn::Key(_, dimension, read)) => {
                let rows = read_rows(connection, *dimension, numbers, read)?;
                let text = |key| rows.get(&key).cloned().flatten();
                plain(&|key| text(key).map_or(GroupValue::Absent, GroupValue::Text))
            }
            Self::Field(GroupColumn::Code(_, name)) => plain(&|code| GroupValue::Text(name(code))),
            Self::Field(GroupColumn::Text(_)) => {
                plain(&|number| GroupValue::Text(texts.text(number)))
            }
            Self::Period { unit, zone, .. } => plain(&|nanos| {
                let period = zone.calendar_unit(Timestamp::from_nanos(nanos), *unit);
                GroupValue::Period(period.start)
            }),
            Self::Person { .. } => {
                let parties = read_rows(connection, Dimension::Actor, numbers, rows::read_party)?;
                let tenants = read_tenants(connection, numbers)?;
                newest_labels(numbers, |(key, tenant)| match key {
                    SYSTEM => Some(GroupValue::System),
                    ANONYMOUS => Some(GroupValue::Anonymous),
                    key => {
                        let tenant = tenants.get(&tenant).cloned().flatten();
                        Some(GroupValue::person(tenant, parties.get(&key)?.clone()))
                    }
                })
            }
            Self::Record { .. } => {
                let targets = read_rows(connection, Dimension::Target, numbers, rows::read_target)?;
                let tenants = read_tenants(connection, numbers)?;
                newest_labels(numbers, |(key, tenant)| {
                    let tenant = tenants.get(&tenant).cloned().flatten();
                    Some(GroupValue::record(tenant, targets.get(&key)?.clone()))
                })
            }
        })
    }
}

/// Texts that are in the rows themselves, as numbers.
#[derive(Default)]
pub(super) struct TextNumbers {
    numbers: HashMap<String, i64>,
    texts: Vec<String>,
}

impl TextNumbers {
    fn number(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn text(&self, number: i64) -> String {
        let text = usize::try_from(number).ok().and_then(|number| self.texts.get(number));
        text.cloned().unwrap_or_default()
    }
}

/// Reads the rows of a dimension behind the first of each two numbers.
fn read_rows<T>(
    connection: &Connection,
    dimension: Dimension,
    numbers: &[(i64, i64)],
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<HashMap<i64, T>> {
    // Numbers below 0 stand for what has no row.
    let keys: KeySet = numbers.iter().map(|(key, _)| *key).filter(|key| *key >= 0).collect();
    let mut statement = connection.prepare_cached(dimension.statements().select_by_keys)?;
    let mut found = HashMap::with_capacity(keys.len());
    let mut rows = statement.query([keys.to_json()])?;
    while let Some(row) = rows.next()? {
        found.insert(row.get("key")?, read(row)?);
    }
    Ok(found)
}

fn read_tenants(
    connection: &Connection,
    numbers: &[(i64, i64)],
) -> rusqlite::Result<HashMap<i64, Option<String>>> {
    let tenants: Vec<_> = numbers.iter().map(|(_, tenant)| (*tenant, 0)).collect();
    read_rows(connection, Dimension::Tenant, &tenants, read_text)
}

/// Returns the values, of which those with one id have its newest label: keys ascend in the order of
/// arrival.
fn newest_labels(
    numbers: &[(i64, i64)],
    value: impl Fn((i64, i64)) -> Option<GroupValue>,
) -> HashMap<(i64, i64), GroupValue> {
    let mut by_arrival = numbers.to_vec();
    by_arrival.sort_unstable();
    let values: Vec<_> = by_arrival
        .into_iter()
        .map(|pair| (pair, value(pair).unwrap_or(GroupValue::Absent)))
        .collect();
    let mut newest: BTreeMap<GroupValue, String> = BTreeMap::new();
    for (_, value) in &values {
        if let (Some(identity), Some(label)) = (identity(value), label(value)) {
            newest.insert(identity, label.to_owned());
        }
    }
    let relabelled = values.into_iter().map(|(pair, value)| {
        let found = identity(&value).and_then(|identity| newest.get(&identity).cloned());
        (
            pair,
            match value {
                GroupValue::Person { tenant, id, label } => {
                    GroupValue::Person { tenant, id, label: found.or(label) }
                }
                GroupValue::Record { tenant, kind, id, label } => {
                    GroupValue::Record { tenant, kind, id, label: found.or(label) }
                }
                GroupValue::Period(_)
                | GroupValue::Text(_)
                | GroupValue::System
                | GroupValue::Anonymous
                | GroupValue::Absent => value,
            },
        )
    });
    relabelled.collect()
}

/// The value without its label, if it has an id.
fn identity(value: &GroupValue) -> Option<GroupValue> {
    match value.clone() {
        GroupValue::Person { tenant, id: Some(id), .. } => {
            Some(GroupValue::Person { tenant, id: Some(id), label: None })
        }
        GroupValue::Record { tenant, kind, id: Some(id), .. } => {
            Some(GroupValue::Record { tenant, kind, id: Some(id), label: None })
        }
        GroupValue::Person { id: None, .. }
        | GroupValue::Record { id: None, .. }
        | GroupValue::Period(_)
        | GroupValue::Text(_)
        | GroupValue::System
        | GroupValue::Anonymous
        | GroupValue::Absent => None,
    }
}

fn label(value: &GroupValue) -> Option<&str> {
    match value {
        GroupValue::Person { label, .. } | GroupValue::Record { label, .. } => label.as_deref(),
        GroupValue::Period(_)
        | GroupValue::Text(_)
        | GroupValue::System
        | GroupValue::Anonymous
        | GroupValue::Absent => None,
    }
}
