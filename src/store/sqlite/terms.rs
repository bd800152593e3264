//! Compiles the terms of a query into conditions on a row of `event`, and into scans of the indexes
//! that lead to its events.

use rusqlite::Connection;
use rusqlite::Result;

use crate::event::EventId;
use crate::query::Predicate;
use crate::query::TextField;
use crate::query::pattern::Pattern;
use crate::query::pattern::PatternList;
use crate::query::value::EventProperty;
use crate::query::value::PresentField;
use crate::query::value::ValueRange;
use crate::store;
use crate::store::sqlite::lookup;
use crate::store::sqlite::lookup::KeySet;
use crate::store::sqlite::ranges::NumberRanges;
use crate::store::sqlite::sort;
use crate::store::sqlite::sql::Sql;
use crate::time::Timestamp;

/// The number of events below which all are collected and sorted, instead of searched in the order
/// of time.
pub(super) const MAX_GATHERED_EVENTS: usize = 20_000;

/// The cost of trying a condition on a row, the cheapest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConditionCost {
    Column,
    Set,
    Text,
    Payload,
}

/// A scan of an index for the events of some keys.
pub(super) struct IndexScan {
    pub index: &'static EventIndex,
    pub keys: KeySet,
}

/// The parts of statements that read the events of keys by an index.
pub(super) struct EventIndex {
    /// Reads the events of one key.
    pub one_key: &'static str,
    /// Reads the events of each key in a JSON array.
    pub each_key: &'static str,
    /// Excludes the events of the keys in a bitmap.
    pub excluding: &'static str,
    /// Whether the index holds the events of one key in the order of time.
    pub in_time_order: bool,
}

/// The conditions on a column that holds a key.
struct KeyColumn {
    equal: &'static str,
    among: &'static str,
}

macro_rules! event_index {
    ($column:literal, $index:literal, in_time_order: $ordered:literal) => {
        EventIndex {
            one_key: concat!(" FROM event INDEXED BY ", $index, " WHERE event.", $column, " = ?"),
            each_key: concat!(
                " FROM json_each(?) AS k CROSS JOIN event INDEXED BY ",
                $index,
                " ON event.",
                $column,
                " = k.value WHERE TRUE"
            ),
            excluding: concat!(" AND NOT has(?, event.", $column, ")"),
            in_time_order: $ordered,
        }
    };
}

macro_rules! key_column {
    ($column:literal) => {
        KeyColumn {
            equal: concat!("event.", $column, " = ?"),
            among: concat!("has(?, event.", $column, ")"),
        }
    };
}

static BY_ACTOR: EventIndex = event_index!("actor", "event_actor", in_time_order: true);
static BY_IMPERSONATOR: EventIndex =
    event_index!("impersonator", "event_impersonator", in_time_order: true);
static BY_TARGET: EventIndex = event_index!("target", "event_target", in_time_order: true);
pub(super) static BY_ACTION: EventIndex =
    event_index!("action", "event_action", in_time_order: true);
static BY_TENANT: EventIndex = EventIndex {
    // The index leaves out the events without a tenant, which no key leads to.
    one_key: " FROM event INDEXED BY event_tenant WHERE event.tenant = ? AND event.tenant <> 0",
    each_key: " FROM json_each(?) AS k CROSS JOIN event INDEXED BY event_tenant \
        ON event.tenant = k.value WHERE event.tenant <> 0",
    excluding: " AND NOT has(?, event.tenant)",
    in_time_order: true,
};
static BY_TITLE: EventIndex = event_index!("title", "event_title", in_time_order: false);
pub(super) static BY_FAILURE: EventIndex = EventIndex {
    one_key: " FROM event INDEXED BY event_failed WHERE event.action = ? AND event.status >= 400",
    each_key: " FROM json_each(?) AS k CROSS JOIN event INDEXED BY event_failed \
        ON event.action = k.value WHERE event.status >= 400",
    excluding: " AND (has(?, event.action) AND event.status >= 400) IS NOT TRUE",
    in_time_order: true,
};
static BY_ID: EventIndex = EventIndex {
    one_key: " FROM event NOT INDEXED WHERE event.id = ?",
    each_key: " FROM json_each(?) AS k CROSS JOIN event NOT INDEXED ON event.id = k.value WHERE TRUE",
    excluding: " AND NOT has(?, event.id)",
    in_time_order: false,
};

const ACTOR: KeyColumn = key_column!("actor");
const IMPERSONATOR: KeyColumn = key_column!("impersonator");
const TARGET: KeyColumn = key_column!("target");
const ACTION: KeyColumn = key_column!("action");
const TENANT: KeyColumn = key_column!("tenant");
const TITLE: KeyColumn = key_column!("title");
const AGENT: KeyColumn = key_column!("agent");
const RECORDER: KeyColumn = key_column!("recorder");

/// A condition, its cost, and the scans that lead to all events for which it holds; without scans, no
/// index leads there.
type CompiledTerm = (ConditionCost, Sql, Option<Vec<IndexScan>>);

/// A set of keys in a column, with the index that leads to their events.
type KeyTerm = (&'static KeyColumn, Option<&'static EventIndex>, KeySet);

/// Compiles a predicate.
pub(super) fn compile(connection: &Connection, predicate: &Predicate) -> Result<CompiledTerm> {
    let keyed = |terms| Ok(any_key_condition(terms));
    let plain = |condition| Ok((ConditionCost::Column, condition, None));
    match predicate {
        Predicate::Actor(names) => {
            keyed(vec![(&ACTOR, Some(&BY_ACTOR), lookup::actors(connection, names)?)])
        }
        Predicate::Impersonator(names) => {
            keyed(vec![(&IMPERSONATOR, Some(&BY_IMPERSONATOR), lookup::actors(connection, names)?)])
        }
        Predicate::Person(names) => {
            let found = lookup::actors(connection, names)?;
            keyed(vec![
                (&ACTOR, Some(&BY_ACTOR), found.clone()),
                (&IMPERSONATOR, Some(&BY_IMPERSONATOR), found),
            ])
        }
        Predicate::NotSystemOr(names) => {
            let found = lookup::actors(connection, names)?;
            let own = [(&ACTOR, &found), (&IMPERSONATOR, &found)];
            let own = own.map(|(column, keys)| key_condition(column, keys));
            let people = Sql::new("event.source NOT IN (1, 3)");
            plain(Sql::any_of(std::iter::once(people).chain(own)))
        }
        Predicate::Target(records) => {
            keyed(vec![(&TARGET, Some(&BY_TARGET), lookup::targets(connection, records)?)])
        }
        Predicate::Text(field, patterns) => compile_text(connection, predicate, *field, patterns),
        Predicate::Phrase(words) => {
            let found = lookup::text_matches(connection, words)?;
            keyed(vec![
                (&ACTOR, Some(&BY_ACTOR), found.actors),
                (&TARGET, Some(&BY_TARGET), found.targets),
                (&TITLE, Some(&BY_TITLE), found.titles),
            ])
        }
        Predicate::Ip(_) => Ok(text_condition(predicate, &[], "", "holds(?, event.ip)")),
        Predicate::Payload { .. } => {
            let (_, condition, _) = text_condition(predicate, &[], "", "holds(?, event.payload)");
            Ok((ConditionCost::Payload, condition, None))
        }
        Predicate::Source(sources) => plain(Sql::any_of(sources.iter().map(|source| {
            let mut sql = Sql::default();
            sql.bind("event.source = ?", store::source_number(*source));
            sql
        }))),
        Predicate::Severity(ranges) => {
            let ranges = NumberRanges::new(ranges, store::severity_number);
            plain(ranges.condition("event.severity BETWEEN ?", "within(?, event.severity)"))
        }
        Predicate::Status(ranges) => {
            let ranges = NumberRanges::new(ranges, i64::from);
            plain(ranges.condition("event.status BETWEEN ?", "within(?, event.status)"))
        }
        Predicate::Id(ranges) => {
            // The events of a log alone do not say whose they are.
            let unnamed = ranges.iter().filter(|range| range.log.is_none());
            let ids: Vec<_> = unnamed.map(|range| range.ids).collect();
            let ranges = NumberRanges::new(&ids, |id: EventId| id.0);
            let condition = ranges.condition("event.id BETWEEN ?", "within(?, event.id)");
            let keys = few_ids(connection, &ranges)?;
            let scans = keys.map(|keys| vec![IndexScan { index: &BY_ID, keys }]);
            Ok((ConditionCost::Column, condition, scans))
        }
        Predicate::Is(all) => compile_is(connection, all),
        Predicate::Has(fields) => {
            let conditions = fields.iter().map(|field| presence_condition(*field));
            Ok((ConditionCost::Set, Sql::any_of(conditions), None))
        }
        Predicate::Changed(_) => {
            let (_, condition, _) = text_condition(predicate, &[], "", "holds(?, event.diff)");
            Ok((ConditionCost::Payload, condition, None))
        }
        Predicate::Occurred(ranges) => {
            let ranges = NumberRanges::new(ranges, Timestamp::as_nanos);
            plain(ranges.condition("event.occurred_at BETWEEN ?", "within(?, event.occurred_at)"))
        }
        Predicate::Recorded(ranges) => {
            let ranges = NumberRanges::new(ranges, Timestamp::as_nanos);
            plain(ranges.condition("event.recorded_at BETWEEN ?", "within(?, event.recorded_at)"))
        }
    }
}

/// A condition that holds where an event has a value in a field.
fn presence_condition(field: PresentField) -> Sql {
    let expression = match field {
        PresentField::Actor => "event.actor",
        PresentField::Impersonator => "event.impersonator",
        PresentField::Target => "event.target",
        PresentField::Field(name) => sort::expression(name).unwrap_or("NULL"),
    };
    let mut sql = Sql::new(expression);
    sql.add(" IS NOT NULL");
    sql
}

/// Compiles a term on a field of text.
fn compile_text(
    connection: &Connection,
    predicate: &Predicate,
    field: TextField,
    patterns: &PatternList,
) -> Result<CompiledTerm> {
    let keyed = |column, index, keys| Ok(any_key_condition(vec![(column, index, keys)]));
    let column = |equal, holds| Ok(text_condition(predicate, patterns, equal, holds));
    match field {
        TextField::Action => {
            keyed(&ACTION, Some(&BY_ACTION), lookup::actions(connection, patterns)?)
        }
        TextField::Module => {
            keyed(&ACTION, Some(&BY_ACTION), lookup::modules(connection, patterns)?)
        }
        TextField::Tenant => {
            keyed(&TENANT, Some(&BY_TENANT), lookup::tenants(connection, patterns)?)
        }
        TextField::RecordedBy => keyed(&RECORDER, None, lookup::recorders(connection, patterns)?),
        TextField::Session => column("event.session_id = ?", "holds(?, event.session_id)"),
        TextField::Endpoint => column("event.endpoint = ?", "holds(?, event.endpoint)"),
        TextField::Method => column("event.method = ?", "holds(?, event.method)"),
        TextField::EventId => compile_event_id(connection, predicate, patterns),
        TextField::Title => keyed(&TITLE, Some(&BY_TITLE), lookup::titles(connection, patterns)?),
        TextField::UserAgent => keyed(&AGENT, None, lookup::agents(connection, patterns)?),
        // Any case, or bytes: no equality finds them.
        TextField::Description => {
            Ok(text_condition(predicate, &[], "", "holds(?, event.description)"))
        }
        TextField::Log => Ok((ConditionCost::Column, Sql::new("FALSE"), None)),
        TextField::Hash => Ok(text_condition(predicate, &[], "", "holds(?, event.hash)")),
        TextField::ActorId => {
            keyed(&ACTOR, Some(&BY_ACTOR), lookup::actor_ids(connection, patterns)?)
        }
        TextField::ActorLabel => {
            keyed(&ACTOR, Some(&BY_ACTOR), lookup::actor_labels(connection, patterns)?)
        }
        TextField::ImpersonatorId => {
            let found = lookup::actor_ids(connection, patterns)?;
            keyed(&IMPERSONATOR, Some(&BY_IMPERSONATOR), found)
        }
        TextField::ImpersonatorLabel => {
            let found = lookup::actor_labels(connection, patterns)?;
            keyed(&IMPERSONATOR, Some(&BY_IMPERSONATOR), found)
        }
        TextField::TargetType => {
            keyed(&TARGET, Some(&BY_TARGET), lookup::target_types(connection, patterns)?)
        }
        TextField::TargetId => {
            keyed(&TARGET, Some(&BY_TARGET), lookup::target_ids(connection, patterns)?)
        }
        TextField::TargetLabel => {
            keyed(&TARGET, Some(&BY_TARGET), lookup::target_labels(connection, patterns)?)
        }
    }
}

/// Compiles a term on `event_id`. Whole ids are looked up by their index, patterns are tried on each event.
fn compile_event_id(
    connection: &Connection,
    predicate: &Predicate,
    patterns: &[Pattern],
) -> Result<CompiledTerm> {
    let literals: Option<Vec<&str>> = patterns.iter().map(Pattern::as_literal).collect();
    let Some(literals) = literals else {
        return Ok(text_condition(predicate, &[], "", "holds(?, event.event_id)"));
    };
    let found = lookup::event_ids(connection, &literals)?;
    let ranges: Vec<_> = found
        .as_slice()
        .iter()
        .map(|id| ValueRange { from: EventId(*id), to: EventId(*id) })
        .collect();
    let condition = NumberRanges::new(&ranges, |id: EventId| id.0)
        .condition("event.id BETWEEN ?", "within(?, event.id)");
    Ok((ConditionCost::Column, condition, Some(vec![IndexScan { index: &BY_ID, keys: found }])))
}

/// A condition that holds where any of the columns has one of its keys.
fn any_key_condition(terms: Vec<KeyTerm>) -> CompiledTerm {
    let condition = Sql::any_of(terms.iter().map(|(column, _, keys)| key_condition(column, keys)));
    let scans = terms
        .into_iter()
        .map(|(_, index, keys)| index.map(|index| IndexScan { index, keys }))
        .collect();
    (ConditionCost::Set, condition, scans)
}

fn key_condition(column: &KeyColumn, keys: &KeySet) -> Sql {
    let mut sql = Sql::default();
    match keys.as_slice() {
        [] => sql.add("FALSE"),
        [key] => sql.bind(column.equal, *key),
        _ => sql.bind(column.among, keys.to_bitmap()),
    };
    sql
}

/// A condition on a column of text; an equality where one literal pattern allows it.
fn text_condition(
    predicate: &Predicate,
    patterns: &[Pattern],
    equal: &'static str,
    holds: &'static str,
) -> CompiledTerm {
    let mut sql = Sql::default();
    if let [pattern] = patterns
        && let Some(text) = pattern.as_literal()
    {
        sql.bind(equal, text.to_owned());
        let mut condition = Sql::new("(");
        condition.append(&sql).add(")");
        return (ConditionCost::Column, condition, None);
    }
    sql.bind(holds, predicate.to_string());
    (ConditionCost::Text, sql, None)
}

/// The ids in some ranges; `None` if they are many.
fn few_ids(connection: &Connection, ranges: &NumberRanges) -> Result<Option<KeySet>> {
    let newest: Option<i64> =
        connection.prepare_cached("SELECT max(id) FROM event")?.query_row([], |row| row.get(0))?;
    let newest = newest.unwrap_or(0);
    let mut ids = Vec::new();
    for &(from, to) in ranges.as_slice() {
        let to = to.min(newest);
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        if ids.len().saturating_add(length) >= MAX_GATHERED_EVENTS {
            return Ok(None);
        }
        ids.extend(from..=to);
    }
    Ok(Some(ids.into_iter().collect()))
}

fn compile_is(connection: &Connection, all: &[EventProperty]) -> Result<CompiledTerm> {
    let mut conditions = Vec::with_capacity(all.len());
    let mut scans = None;
    for is in all {
        conditions.push(match is {
            EventProperty::Impersonated => Sql::new("event.impersonator IS NOT NULL"),
            EventProperty::System => Sql::new("event.source IN (1, 3)"),
            EventProperty::Edit => Sql::new("event.diff IS NOT NULL"),
            EventProperty::Failed => {
                let mut sql = Sql::new("event.status >= 400 OR ");
                sql.append(&key_condition(&ACTION, &lookup::failure_actions(connection)?));
                sql
            }
        });
    }
    if let [EventProperty::Impersonated] = all {
        let keys = lookup::impersonators(connection)?;
        scans = Some(vec![IndexScan { index: &BY_IMPERSONATOR, keys }]);
    }
    Ok((ConditionCost::Set, Sql::any_of(conditions), scans))
}
