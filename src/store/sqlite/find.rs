//! Finds single events: by id, by `event_id`, by the beginning of an `event_id`.

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::Params;

use crate::event::Event;
use crate::event::EventId;
use crate::query::pattern;
use crate::store::EventIdMatch;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::layout;
use crate::store::sqlite::rows;

/// How many events are named that the beginning of an `event_id` may stand for.
const MAX_CANDIDATES: u8 = 5;

impl Sqlite {
    pub(in crate::store) fn event(&self, id: EventId) -> Result<Option<Event>> {
        let sql = concat!("SELECT ", layout::columns!(), " FROM event WHERE id = ?1");
        Ok(self.select_events(sql, [id.0])?.pop())
    }

    pub(in crate::store) fn find(&self, event_id: &str) -> Result<EventIdMatch> {
        let exact = self.ids_by_event_id(event_id)?;
        let mut ids = if exact.is_empty() { self.ids_by_prefix(event_id)? } else { exact };
        if ids.len() > 1 {
            ids.sort_unstable();
            return Ok(EventIdMatch::Several(ids));
        }
        let event = ids.pop().map(|id| self.event(id)).transpose()?.flatten();
        Ok(event.map_or(EventIdMatch::None, |event| EventIdMatch::One(Box::new(event))))
    }

    fn ids_by_event_id(&self, event_id: &str) -> Result<Vec<EventId>> {
        const SQL: &str = "SELECT event.id FROM tenant \
            CROSS JOIN event ON event.tenant = tenant.key AND event.event_id = ?1 LIMIT ?2";
        let key = rows::StoredEventId::from_event_id(event_id);
        self.read_in_snapshot(|connection| select_ids(connection, SQL, (&key, MAX_CANDIDATES)))
    }

    /// UUIDs are stored as bytes and other ids as text. Both are in the order of their bytes, so
    /// the ids with one beginning are a range.
    fn ids_by_prefix(&self, prefix: &str) -> Result<Vec<EventId>> {
        const SQL: &str = "SELECT event.id FROM tenant \
            CROSS JOIN event ON event.tenant = tenant.key \
              AND event.event_id >= ?1 AND event.event_id < ?2 LIMIT ?3";
        if prefix.is_empty() {
            return Ok(Vec::new());
        }
        self.read_in_snapshot(|connection| {
            // A BLOB is greater than any text: after the last text there are only UUIDs.
            let after = pattern::prefix_upper_bound(prefix);
            let mut found = match after {
                Some(after) => select_ids(connection, SQL, (prefix, after, MAX_CANDIDATES))?,
                None => select_ids(connection, SQL, (prefix, &b""[..], MAX_CANDIDATES))?,
            };
            if let Some((first, last)) = rows::uuid_range(prefix) {
                const UUIDS: &str = "SELECT event.id FROM tenant \
                    CROSS JOIN event ON event.tenant = tenant.key \
                      AND event.event_id BETWEEN ?1 AND ?2 LIMIT ?3";
                found.extend(select_ids(
                    connection,
                    UUIDS,
                    (&first[..], &last[..], MAX_CANDIDATES),
                )?);
            }
            found.truncate(MAX_CANDIDATES.into());
            Ok(found)
        })
    }
}

fn select_ids(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<EventId>> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(params, |row| row.get(0).map(EventId))?.collect()
}
