//! Finds single events: by id, by `event_id`, by the beginning of an `event_id`.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;

use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::NewEvent;
use crate::query::Query;
use crate::query::pattern;
use crate::store;
use crate::store::EventIdMatch;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::layout;
use crate::store::sqlite::plan::QueryPlan;
use crate::store::sqlite::rows;
use crate::store::sqlite::sql::Sql;
use crate::store::sqlite::swept::not_swept;

/// How many events are named that the beginning of an `event_id` may stand for.
const MAX_CANDIDATES: usize = 5;

/// Selects the event with an `event_id` ?1 in a tenant ?2, as the log allows one.
pub(super) const ID_BY_EVENT_ID: &str = "SELECT id FROM event WHERE event_id = ?1 \
    AND tenant = (SELECT key FROM tenant WHERE text = ?2)";

impl Sqlite {
    /// Compares as an append does: also with an event that a sweep has yet to remove.
    pub(in crate::store) fn find_conflict(
        &self,
        event: &NewEvent,
    ) -> Result<Option<(EventId, &'static str)>> {
        const SQL: &str = concat!("SELECT ", layout::columns!(), " FROM event WHERE id = ?1");
        let Some(event_id) = event.event_id.as_deref().filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        let key = rows::StoredEventId::from_event_id(event_id);
        self.read_in_snapshot(|connection| {
            let tenant = event.tenant.as_deref().unwrap_or("");
            let id: Option<i64> = connection
                .prepare_cached(ID_BY_EVENT_ID)?
                .query_row(params![key, tenant], |row| row.get(0))
                .optional()?;
            let Some(id) = id else { return Ok(None) };
            let existing = rows::select_events(connection, &self.dimension_cache, SQL, [id])?.pop();
            let existing = existing.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Ok(store::conflicting_field(event, &existing).map(|field| (existing.id, field)))
        })
    }

    pub(in crate::store) fn has_event_id(&self, event: &NewEvent) -> Result<bool> {
        let Some(event_id) = event.event_id.as_deref().filter(|id| !id.is_empty()) else {
            return Ok(false);
        };
        let key = rows::StoredEventId::from_event_id(event_id);
        self.read_in_snapshot(|connection| {
            let tenant = event.tenant.as_deref().unwrap_or("");
            connection.prepare_cached(ID_BY_EVENT_ID)?.exists(params![key, tenant])
        })
    }

    pub(in crate::store) fn event(&self, id: EventId) -> Result<Option<Event>> {
        let sql =
            concat!("SELECT ", layout::columns!(), " FROM event WHERE id = ?1 AND ", not_swept!());
        Ok(self.select_events(sql, [id.0])?.pop())
    }

    /// Finds an event by its `event_id` or its beginning among those that `scope` matches.
    pub(in crate::store) fn find(&self, scope: &Query, event_id: &str) -> Result<EventIdMatch> {
        let mut ids = self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, scope)?;
            let exact = ids_by_event_id(connection, &plan, event_id)?;
            if exact.is_empty() { ids_by_prefix(connection, &plan, event_id) } else { Ok(exact) }
        })?;
        if ids.len() > 1 {
            ids.sort_unstable();
            let places = ids.into_iter().map(|id| EventPlace { id, log: None });
            return Ok(EventIdMatch::Several(places.collect()));
        }
        let event = ids.pop().map(|id| self.event(id)).transpose()?.flatten();
        Ok(event.map_or(EventIdMatch::None, |event| EventIdMatch::One(Box::new(event))))
    }
}

fn ids_by_event_id(
    connection: &Connection,
    plan: &QueryPlan,
    event_id: &str,
) -> rusqlite::Result<Vec<EventId>> {
    let mut among = Sql::default();
    match rows::StoredEventId::from_event_id(event_id) {
        rows::StoredEventId::Uuid(bytes) => among.bind("event.event_id = ?", bytes.to_vec()),
        rows::StoredEventId::Text(text) => among.bind("event.event_id = ?", text.to_owned()),
    };
    select_ids(connection, plan, &among)
}

/// UUIDs are stored as bytes and other ids as text. Both are in the order of their bytes, so
/// the ids with one beginning are a range.
fn ids_by_prefix(
    connection: &Connection,
    plan: &QueryPlan,
    prefix: &str,
) -> rusqlite::Result<Vec<EventId>> {
    if prefix.is_empty() {
        return Ok(Vec::new());
    }
    let mut texts = Sql::default();
    texts.bind("event.event_id >= ?", prefix.to_owned());
    match pattern::prefix_upper_bound(prefix) {
        Some(after) => texts.bind(" AND event.event_id < ?", after),
        // A BLOB is greater than any text: after the last text there are only UUIDs.
        None => texts.add(" AND event.event_id < x''"),
    };
    let mut found = select_ids(connection, plan, &texts)?;
    if let Some((first, last)) = rows::uuid_range(prefix) {
        let mut uuids = Sql::default();
        uuids.bind("event.event_id BETWEEN ?", first.to_vec()).bind(" AND ?", last.to_vec());
        found.extend(select_ids(connection, plan, &uuids)?);
    }
    found.truncate(MAX_CANDIDATES);
    Ok(found)
}

/// Returns the first few events of a range of the index on `event_id` that a plan's query matches.
fn select_ids(
    connection: &Connection,
    plan: &QueryPlan,
    among: &Sql,
) -> rusqlite::Result<Vec<EventId>> {
    if plan.matches_nothing {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(
        "SELECT event.id FROM tenant CROSS JOIN event INDEXED BY event_event_id \
            ON event.tenant = tenant.key AND ",
    );
    sql.append(among).add(" WHERE TRUE");
    plan.window.add_condition(&mut sql);
    plan.add_filters(&mut sql, None);
    sql.bind(" LIMIT ?", i64::try_from(MAX_CANDIDATES).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(sql.text())?;
    statement.query_map(sql.params(), |row| row.get(0).map(EventId))?.collect()
}
