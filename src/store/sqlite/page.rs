//! Reads the events that match a query: a page of a listing, new arrivals, the neighbours of an
//! event, a stream of all events, and their number.
//!
//! Whatever leads to the events, they come in one total order: by time, then by id.
//!
//! ## Cost
//! A page is found by the key of the row before it, so it costs the same at any depth. Only `skip`
//! steps over rows one by one.

use std::rc::Rc;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;

use crate::event::Event;
use crate::event::EventId;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::layout;
use crate::store::sqlite::plan::AccessPath;
use crate::store::sqlite::plan::QueryPlan;
use crate::store::sqlite::plan::ReadStrategy;
use crate::store::sqlite::plan::TimeWindow;
use crate::store::sqlite::rows;
use crate::store::sqlite::rows::SelectedEvents;
use crate::store::sqlite::sort;
use crate::store::sqlite::sql::Sql;
use crate::time::Timestamp;

/// The number of events that a stream reads at once.
const STREAM_CHUNK: usize = 4_096;
/// The bytes of events behind which a stream stops reading for the moment. An event may have 1 MiB.
pub(super) const STREAM_CHUNK_BYTES: usize = 4 << 20;

const SELECT_EVENT: &str = concat!("SELECT ", layout::columns!());
const SELECT_POSITION: &str = "SELECT event.occurred_at, event.id";

/// A part of the order by time, read in one direction.
#[derive(Clone, Copy)]
pub(super) struct PageBounds<'a> {
    pub newest_first: bool,
    pub after: Option<Cursor<'a>>,
    pub skip: u64,
    pub limit: usize,
    pub up_to: Option<EventId>,
    /// The span of time outside of which nothing is looked for.
    pub span: TimeBounds,
}

impl Sqlite {
    pub(in crate::store) fn page(
        &self,
        query: &Query,
        page: &PageRequest<'_>,
    ) -> Result<Vec<Event>> {
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
        let span = TimeBounds::default();
        let slice = PageBounds { newest_first, after, skip, limit, up_to, span };
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            self.read_slice(connection, &plan, slice)
        })
    }

    /// Returns events in the order in which they were recorded.
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
        let cursor = Cursor::from_event(center);
        let beside = |newest_first| PageBounds {
            newest_first,
            after: Some(cursor),
            skip: 0,
            limit: each,
            up_to: None,
            span: TimeBounds::default(),
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

    /// Streams the events of a span in the order of time. One plan serves all chunks: the keys in it
    /// cover all events up to `up_to`.
    pub(in crate::store) fn each(
        &self,
        query: &Query,
        span: TimeBounds,
        newest_first: bool,
        up_to: EventId,
        visit: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let plan = self.read_in_snapshot(|connection| self.plan(connection, query))?;
        let mut after = None;
        loop {
            let slice = PageBounds {
                newest_first,
                after,
                skip: 0,
                limit: STREAM_CHUNK,
                up_to: Some(up_to),
                span,
            };
            let SelectedEvents { events, is_complete } = self.read_in_snapshot(|connection| {
                self.read_slice_within(connection, &plan, slice, STREAM_CHUNK_BYTES)
            })?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            after = Some(Cursor { occurred_at: last.occurred_at, id: last.id, log: None });
            let is_last = is_complete && events.len() < STREAM_CHUNK;
            events.into_iter().try_for_each(&mut *visit)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Cuts all of time into spans, one behind the other, that have about so many events each.
    pub(in crate::store) fn time_spans(&self, events: u32) -> Result<Vec<TimeBounds>> {
        const NEXT_CUT: &str = "SELECT occurred_at FROM event INDEXED BY event_occurred_at \
             WHERE occurred_at > ?1 ORDER BY occurred_at LIMIT 1 OFFSET ?2";
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare_cached(NEXT_CUT)?;
            let mut spans = Vec::new();
            let mut from = None;
            loop {
                let behind = from.map_or(i64::MIN, Timestamp::as_nanos);
                let cut = statement.query_row((behind, events), |row| row.get(0)).optional()?;
                let to = cut.map(Timestamp::from_nanos);
                spans.push(TimeBounds { from, to });
                if to.is_none() {
                    return Ok(spans);
                }
                from = to;
            }
        })
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

    /// Returns the plan of a query. It reuses the last plan if nothing was written since.
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
        slice: PageBounds<'_>,
    ) -> rusqlite::Result<Vec<Event>> {
        Ok(self.read_slice_within(connection, plan, slice, usize::MAX)?.events)
    }

    /// Reads a slice up to the event with which it has so many bytes.
    fn read_slice_within(
        &self,
        connection: &Connection,
        plan: &QueryPlan,
        slice: PageBounds<'_>,
        max_bytes: usize,
    ) -> rusqlite::Result<SelectedEvents> {
        let Some(window) = plan.window_of(slice) else {
            return Ok(SelectedEvents { events: Vec::new(), is_complete: true });
        };
        let strategy = plan.choose_strategy(connection, window)?;
        self.read_slice_by(connection, plan, &strategy, slice, window, max_bytes)
    }

    /// Reads a slice by a given strategy. All strategies find the same events.
    pub(super) fn read_slice_by(
        &self,
        connection: &Connection,
        plan: &QueryPlan,
        strategy: &ReadStrategy<'_>,
        slice: PageBounds<'_>,
        window: TimeWindow,
        max_bytes: usize,
    ) -> rusqlite::Result<SelectedEvents> {
        let sql = match strategy {
            ReadStrategy::TimeOrder => plan.time_order_statement(slice, window),
            ReadStrategy::Merge(path) => plan.merge_statement(path, slice, window),
            ReadStrategy::Gather(path) => {
                let ids = gather_ids(connection, plan, path, slice, window)?;
                return self.select_by_ids(connection, &ids, max_bytes);
            }
        };
        let (text, params) = (sql.text(), sql.params());
        rows::select_events_within(connection, &self.dimension_cache, text, params, max_bytes)
    }

    /// Returns the events with these ids, in this order.
    fn select_by_ids(
        &self,
        connection: &Connection,
        ids: &[i64],
        max_bytes: usize,
    ) -> rusqlite::Result<SelectedEvents> {
        const SQL: &str = concat!(
            "SELECT ",
            layout::columns!(),
            " FROM json_each(?1) AS k CROSS JOIN event ON event.id = k.value"
        );
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let list = format!("[{}]", list.join(","));
        rows::select_events_within(connection, &self.dimension_cache, SQL, [list], max_bytes)
    }

    /// Reads a page in the order of a field, for which there is no index. It sorts ids alone, because
    /// rows are long.
    fn read_sorted(
        &self,
        connection: &Connection,
        plan: &QueryPlan,
        page: &PageRequest<'_>,
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
        // Absent values come last in either direction.
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
        let events = self.select_by_ids(connection, &ids, usize::MAX)?.events;
        debug_assert!(events.iter().map(|event| event.id.0).eq(ids), "in the order asked for");
        Ok(events)
    }
}

/// Collects the positions of all matching events, sorts them, and returns the ids of a slice.
fn gather_ids(
    connection: &Connection,
    plan: &QueryPlan,
    path: &AccessPath,
    slice: PageBounds<'_>,
    window: TimeWindow,
) -> rusqlite::Result<Vec<i64>> {
    let mut places: Vec<(i64, i64)> = Vec::new();
    for mut sql in path.scan_statements(&Sql::new(SELECT_POSITION)) {
        window.add_condition(&mut sql);
        slice.add_bounds(&mut sql);
        plan.add_filters(&mut sql, Some(path));
        let mut statement = connection.prepare_cached(sql.text())?;
        for place in statement.query_map(sql.params(), |row| Ok((row.get(0)?, row.get(1)?)))? {
            places.push(place?);
        }
    }
    places.sort_unstable();
    if slice.newest_first {
        places.reverse();
    }
    let skip = usize::try_from(slice.skip).unwrap_or(usize::MAX);
    Ok(places.into_iter().skip(skip).take(slice.limit).map(|(_, id)| id).collect())
}

impl QueryPlan {
    /// The span of time in which a slice lies; `None` if no event can be in it.
    pub(super) fn window_of(&self, slice: PageBounds<'_>) -> Option<TimeWindow> {
        if self.matches_nothing || slice.limit == 0 {
            return None;
        }
        let TimeWindow { mut earliest, mut latest } = self.window.within(slice.span)?;
        match slice.after {
            Some(cursor) if slice.newest_first => {
                latest = latest.min(cursor.occurred_at.as_nanos());
            }
            Some(cursor) => earliest = earliest.max(cursor.occurred_at.as_nanos()),
            None => {}
        }
        (earliest <= latest).then_some(TimeWindow { earliest, latest })
    }

    /// Returns statements that read all matching events in any order. No event is in two of them.
    pub(super) fn all_statements(
        &self,
        connection: &Connection,
        columns: &'static str,
    ) -> rusqlite::Result<Vec<Sql>> {
        self.all_statements_of(connection, &Sql::new(columns))
    }

    /// As [`QueryPlan::all_statements`], with columns that were put together.
    pub(super) fn all_statements_of(
        &self,
        connection: &Connection,
        columns: &Sql,
    ) -> rusqlite::Result<Vec<Sql>> {
        if self.matches_nothing {
            return Ok(Vec::new());
        }
        let path = self.choose_access_path(connection, self.window)?;
        let mut statements = match path {
            Some(path) => path.scan_statements(columns),
            None if self.window == TimeWindow::ALL => {
                let mut sql = columns.clone();
                // Without an index named, SQLite takes the smallest that has the columns.
                sql.add(" FROM event WHERE TRUE");
                vec![sql]
            }
            None => {
                let mut sql = columns.clone();
                sql.add(" FROM event INDEXED BY event_occurred_at WHERE TRUE");
                vec![sql]
            }
        };
        for sql in &mut statements {
            if self.window != TimeWindow::ALL {
                self.window.add_condition(sql);
            }
            self.add_filters(sql, path);
        }
        Ok(statements)
    }

    pub(super) fn time_order_statement(&self, slice: PageBounds<'_>, window: TimeWindow) -> Sql {
        let mut sql = Sql::new(SELECT_EVENT);
        sql.add(" FROM event INDEXED BY event_occurred_at WHERE TRUE");
        window.add_condition(&mut sql);
        slice.add_bounds(&mut sql);
        self.add_filters(&mut sql, None);
        slice.add_order(&mut sql);
        slice.add_limit(&mut sql);
        sql
    }

    /// Reads the index of each key in the order of time. SQLite merges the walks and drops repeats as
    /// it goes; it reads the rest of a row after that.
    pub(super) fn merge_statement(
        &self,
        path: &AccessPath,
        slice: PageBounds<'_>,
        window: TimeWindow,
    ) -> Sql {
        let mut walks = path.key_statements();
        let (first, second) = (walks.next(), walks.next());
        let mut sql = Sql::new(SELECT_EVENT);
        match (first, second) {
            (Some(single), None) => {
                sql.append(&single);
                window.add_condition(&mut sql);
            }
            (first, second) => {
                let all = first.into_iter().chain(second).chain(walks);
                for (place, walk) in all.enumerate() {
                    sql.add(if place == 0 { " FROM (" } else { " UNION " });
                    sql.add(SELECT_POSITION).append(&walk);
                    window.add_condition(&mut sql);
                }
                // A limit makes SQLite treat the order as part of the result, so it is kept.
                sql.add(if slice.newest_first {
                    " ORDER BY 1 DESC, 2 DESC LIMIT -1"
                } else {
                    " ORDER BY 1, 2 LIMIT -1"
                });
                sql.add(") AS found CROSS JOIN event ON event.id = found.id WHERE TRUE");
            }
        }
        slice.add_bounds(&mut sql);
        self.add_filters(&mut sql, Some(path));
        if path.is_single_key() {
            slice.add_order(&mut sql);
        }
        slice.add_limit(&mut sql);
        sql
    }
}

impl PageBounds<'_> {
    /// Adds the bounds that the window cannot express: the cursor among events of its own time, and
    /// the newest id.
    fn add_bounds(&self, sql: &mut Sql) {
        if let Some(Cursor { occurred_at, id, .. }) = self.after {
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
