//! Reads events by a query: a page of a listing, what arrived, what stands around an event, all of
//! it, and how many there are.
//!
//! A page is found by the key of the row before it, so it costs the same at any depth; only `skip`
//! counts rows off. Whatever leads to the events, they come in one total order: by time, then by id.

use std::rc::Rc;

use anyhow::Result;
use rusqlite::Connection;

use crate::event::Event;
use crate::event::EventId;
use crate::query::Query;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::layout;
use crate::store::sqlite::plan::AccessPath;
use crate::store::sqlite::plan::QueryPlan;
use crate::store::sqlite::plan::ReadStrategy;
use crate::store::sqlite::plan::TimeWindow;
use crate::store::sqlite::rows;
use crate::store::sqlite::sort;
use crate::store::sqlite::sql::Sql;

/// So many events are read at once where all are streamed.
const STREAM_CHUNK: usize = 4_096;

const SELECT_EVENT: &str = concat!("SELECT ", layout::columns!());
const SELECT_POSITION: &str = "SELECT event.occurred_at, event.id";

/// The plan of the query that was asked last.
#[derive(Default)]
pub(super) struct PlanCache(Option<(Query, DataVersion, Rc<QueryPlan>)>);

/// What the log was like: as another connection left it, and what this one wrote.
type DataVersion = (i64, u64);

/// Part of the order by time, in one direction.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    pub newest_first: bool,
    pub after: Option<Cursor>,
    pub skip: u64,
    pub limit: usize,
    pub up_to: Option<EventId>,
}

impl Sqlite {
    pub(in crate::store) fn page(&self, query: &Query, page: &PageRequest) -> Result<Vec<Event>> {
        let newest_first = match page.order {
            Order::NewestFirst => true,
            Order::OldestFirst => false,
            Order::ByField { field, ascending } => {
                let key = sort::sort_expression(field)?;
                return self.read_in_snapshot(|connection| {
                    let plan = self.plan(connection, query)?;
                    self.read_sorted(connection, &plan, page, key, ascending)
                });
            }
        };
        let PageRequest { after, skip, limit, up_to, .. } = *page;
        let stretch = Slice { newest_first, after, skip, limit, up_to };
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            self.read_slice(connection, &plan, stretch)
        })
    }

    /// Events in the order in which they were recorded.
    pub(in crate::store) fn recorded_after(
        &self,
        query: &Query,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.read_in_snapshot(|connection| {
            const NEWER: &str = "SELECT 1 FROM event WHERE id > ?1";
            if !connection.prepare_cached(NEWER)?.exists([after.0])? {
                return Ok(Vec::new());
            }
            let plan = self.plan(connection, query)?;
            if plan.matches_nothing {
                return Ok(Vec::new());
            }
            let mut sql = Sql::new(SELECT_EVENT);
            sql.bind(" FROM event NOT INDEXED WHERE event.id > ?", after.0);
            plan.window.add_condition(&mut sql);
            plan.add_filters(&mut sql, None);
            sql.bind(" ORDER BY event.id LIMIT ?", saturating_i64(limit));
            rows::select_events(connection, &self.dimension_cache, sql.text(), sql.params())
        })
    }

    pub(in crate::store) fn around(
        &self,
        query: &Query,
        center: &Event,
        each: usize,
    ) -> Result<Vec<Event>> {
        let cursor = Cursor { occurred_at: center.occurred_at, id: center.id };
        let beside = |newest_first| Slice {
            newest_first,
            after: Some(cursor),
            skip: 0,
            limit: each,
            up_to: None,
        };
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            let mut events = self.read_slice(connection, &plan, beside(true))?;
            events.reverse();
            if query.matches(center) {
                events.push(center.clone());
            }
            events.extend(self.read_slice(connection, &plan, beside(false))?);
            Ok(events)
        })
    }

    /// Streams events, the oldest first. The plan stays that of the beginning: what it knows of the
    /// dimensions holds for all events up to `up_to`.
    pub(in crate::store) fn each(
        &self,
        query: &Query,
        up_to: EventId,
        visit: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let plan = self.read_in_snapshot(|connection| self.plan(connection, query))?;
        let mut after = None;
        loop {
            let stretch = Slice {
                newest_first: false,
                after,
                skip: 0,
                limit: STREAM_CHUNK,
                up_to: Some(up_to),
            };
            let events =
                self.read_in_snapshot(|connection| self.read_slice(connection, &plan, stretch))?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            after = Some(Cursor { occurred_at: last.occurred_at, id: last.id });
            let is_last = events.len() < STREAM_CHUNK;
            events.into_iter().try_for_each(&mut *visit)?;
            if is_last {
                return Ok(());
            }
        }
    }

    pub(in crate::store) fn count(&self, query: &Query, at_most: u64) -> Result<u64> {
        let limit = usize::try_from(at_most).unwrap_or(usize::MAX);
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            let mut count = 0;
            for sql in plan.all_statements(connection, "SELECT 1")? {
                if count < limit {
                    count += sql.count_rows(connection, limit - count)?;
                }
            }
            Ok(u64::try_from(count).unwrap_or(u64::MAX))
        })
    }

    /// The plan of a query, the last one again where nothing was written since.
    pub(super) fn plan(
        &self,
        connection: &Connection,
        query: &Query,
    ) -> rusqlite::Result<Rc<QueryPlan>> {
        let version = (rows::data_version(connection)?, connection.total_changes());
        let mut planned = self.plan_cache.borrow_mut();
        if let Some((known, at, plan)) = &planned.0
            && known == query
            && *at == version
        {
            return Ok(Rc::clone(plan));
        }
        let plan = Rc::new(QueryPlan::new(connection, query)?);
        planned.0 = Some((query.clone(), version, Rc::clone(&plan)));
        Ok(plan)
    }

    pub(super) fn read_slice(
        &self,
        connection: &Connection,
        plan: &QueryPlan,
        stretch: Slice,
    ) -> rusqlite::Result<Vec<Event>> {
        let Some(window) = plan.window_of(stretch) else {
            return Ok(Vec::new());
        };
        let lead = plan.choose_strategy(connection, window)?;
        self.read_slice_by(connection, plan, &lead, stretch, window)
    }

    /// Reads a stretch on a given way; each of them finds the same.
    pub(super) fn read_slice_by(
        &self,
        connection: &Connection,
        plan: &QueryPlan,
        lead: &ReadStrategy<'_>,
        stretch: Slice,
        window: TimeWindow,
    ) -> rusqlite::Result<Vec<Event>> {
        let sql = match lead {
            ReadStrategy::TimeOrder => plan.time_order_statement(stretch, window),
            ReadStrategy::Merge(way) => plan.merge_statement(way, stretch, window),
            ReadStrategy::Gather(way) => {
                return self.read_gathered(connection, plan, way, stretch, window);
            }
        };
        rows::select_events(connection, &self.dimension_cache, sql.text(), sql.params())
    }

    /// Collects the places of all events that are meant, and sorts them.
    fn read_gathered(
        &self,
        connection: &Connection,
        plan: &QueryPlan,
        way: &AccessPath,
        stretch: Slice,
        window: TimeWindow,
    ) -> rusqlite::Result<Vec<Event>> {
        let mut places: Vec<(i64, i64)> = Vec::new();
        for mut sql in way.scan_statements(SELECT_POSITION) {
            window.add_condition(&mut sql);
            stretch.add_bounds(&mut sql);
            plan.add_filters(&mut sql, Some(way));
            let mut statement = connection.prepare_cached(sql.text())?;
            for place in statement.query_map(sql.params(), |row| Ok((row.get(0)?, row.get(1)?)))? {
                places.push(place?);
            }
        }
        places.sort_unstable();
        if stretch.newest_first {
            places.reverse();
        }
        let skip = usize::try_from(stretch.skip).unwrap_or(usize::MAX);
        let ids: Vec<i64> =
            places.into_iter().skip(skip).take(stretch.limit).map(|(_, id)| id).collect();
        self.select_by_ids(connection, &ids)
    }

    /// The events with these ids, in this order.
    fn select_by_ids(&self, connection: &Connection, ids: &[i64]) -> rusqlite::Result<Vec<Event>> {
        const SQL: &str = concat!(
            "SELECT ",
            layout::columns!(),
            " FROM json_each(?1) AS k CROSS JOIN event ON event.id = k.value"
        );
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let list = format!("[{}]", list.join(","));
        rows::select_events(connection, &self.dimension_cache, SQL, [list])
    }

    /// Reads a page in the order of a field, which no index has: the ids are sorted first, for rows
    /// are long.
    fn read_sorted(
        &self,
        connection: &Connection,
        plan: &QueryPlan,
        page: &PageRequest,
        key: &'static str,
        ascending: bool,
    ) -> rusqlite::Result<Vec<Event>> {
        let mut statements = plan.all_statements(connection, "SELECT event.id")?.into_iter();
        let Some(first) = statements.next() else {
            return Ok(Vec::new());
        };
        let mut sql = Sql::new("SELECT event.id FROM (");
        sql.append(&first);
        for statement in statements {
            sql.add(" UNION ALL ").append(&statement);
        }
        sql.add(") AS found CROSS JOIN event ON event.id = found.id WHERE TRUE");
        if let Some(up_to) = page.up_to {
            sql.bind(" AND event.id <= ?", up_to.0);
        }
        // What has no value comes last in either direction.
        sql.add(" ORDER BY ").add(key).add(" IS NULL, ").add(key).add(if ascending {
            ", event.occurred_at, event.id"
        } else {
            " DESC, event.occurred_at DESC, event.id DESC"
        });
        sql.bind(" LIMIT ?", saturating_i64(page.limit));
        sql.bind(" OFFSET ?", i64::try_from(page.skip).unwrap_or(i64::MAX));
        let mut statement = connection.prepare_cached(sql.text())?;
        let ids: Vec<i64> = statement
            .query_map(sql.params(), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let events = self.select_by_ids(connection, &ids)?;
        debug_assert!(events.iter().map(|event| event.id.0).eq(ids), "in the order asked for");
        Ok(events)
    }
}

impl QueryPlan {
    /// The part of time in which a stretch lies; none where nothing can be in it.
    pub(super) fn window_of(&self, stretch: Slice) -> Option<TimeWindow> {
        if self.matches_nothing || stretch.limit == 0 {
            return None;
        }
        let TimeWindow { earliest: mut least, latest: mut most } = self.window;
        match stretch.after {
            Some(cursor) if stretch.newest_first => most = most.min(cursor.occurred_at.as_nanos()),
            Some(cursor) => least = least.max(cursor.occurred_at.as_nanos()),
            None => {}
        }
        (least <= most).then_some(TimeWindow { earliest: least, latest: most })
    }

    /// Statements that read all that is meant, in no order. No event is in two of them.
    pub(super) fn all_statements(
        &self,
        connection: &Connection,
        columns: &'static str,
    ) -> rusqlite::Result<Vec<Sql>> {
        if self.matches_nothing {
            return Ok(Vec::new());
        }
        let way = self.choose_access_path(connection, self.window)?;
        let mut statements = match way {
            Some(way) => way.scan_statements(columns),
            None if self.window == TimeWindow::ALL => {
                let mut sql = Sql::new(columns);
                // Without conditions SQLite takes the smallest index.
                sql.add(" FROM event WHERE TRUE");
                vec![sql]
            }
            None => {
                let mut sql = Sql::new(columns);
                sql.add(" FROM event INDEXED BY event_occurred_at WHERE TRUE");
                vec![sql]
            }
        };
        for sql in &mut statements {
            if self.window != TimeWindow::ALL {
                self.window.add_condition(sql);
            }
            self.add_filters(sql, way);
        }
        Ok(statements)
    }

    pub(super) fn time_order_statement(&self, stretch: Slice, window: TimeWindow) -> Sql {
        let mut sql = Sql::new(SELECT_EVENT);
        sql.add(" FROM event INDEXED BY event_occurred_at WHERE TRUE");
        window.add_condition(&mut sql);
        stretch.add_bounds(&mut sql);
        self.add_filters(&mut sql, None);
        stretch.add_order(&mut sql);
        stretch.add_limit(&mut sql);
        sql
    }

    /// Walks the index of each key in the order of time, side by side. SQLite merges them as it
    /// goes, and knows an event that it has just seen; the rest of the row is looked at after that.
    pub(super) fn merge_statement(
        &self,
        way: &AccessPath,
        stretch: Slice,
        window: TimeWindow,
    ) -> Sql {
        let mut ones = way.key_statements();
        let (first, second) = (ones.next(), ones.next());
        let mut sql = Sql::new(SELECT_EVENT);
        match (first, second) {
            (Some(only), None) => {
                sql.append(&only);
                window.add_condition(&mut sql);
            }
            (first, second) => {
                let all = first.into_iter().chain(second).chain(ones);
                for (place, one) in all.enumerate() {
                    sql.add(if place == 0 { " FROM (" } else { " UNION " });
                    sql.add(SELECT_POSITION).append(&one);
                    window.add_condition(&mut sql);
                }
                // With a limit SQLite takes the order for part of what is asked, and keeps it.
                sql.add(if stretch.newest_first {
                    " ORDER BY 1 DESC, 2 DESC LIMIT -1"
                } else {
                    " ORDER BY 1, 2 LIMIT -1"
                });
                sql.add(") AS found CROSS JOIN event ON event.id = found.id WHERE TRUE");
            }
        }
        stretch.add_bounds(&mut sql);
        self.add_filters(&mut sql, Some(way));
        if way.is_single_key() {
            stretch.add_order(&mut sql);
        }
        stretch.add_limit(&mut sql);
        sql
    }
}

impl Slice {
    /// Adds what the window does not say: events at the cursor's own time, and how new they may be.
    fn add_bounds(&self, sql: &mut Sql) {
        if let Some(Cursor { occurred_at, id }) = self.after {
            sql.bind(" AND (event.occurred_at <> ?", occurred_at.as_nanos());
            let behind = if self.newest_first { " OR event.id < ?)" } else { " OR event.id > ?)" };
            sql.bind(behind, id.0);
        }
        if let Some(up_to) = self.up_to {
            sql.bind(" AND event.id <= ?", up_to.0);
        }
    }

    fn add_order(&self, sql: &mut Sql) {
        sql.add(if self.newest_first {
            " ORDER BY event.occurred_at DESC, event.id DESC"
        } else {
            " ORDER BY event.occurred_at, event.id"
        });
    }

    fn add_limit(&self, sql: &mut Sql) {
        sql.bind(" LIMIT ?", saturating_i64(self.limit));
        if self.skip > 0 {
            sql.bind(" OFFSET ?", i64::try_from(self.skip).unwrap_or(i64::MAX));
        }
    }
}

fn saturating_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
