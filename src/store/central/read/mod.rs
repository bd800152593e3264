//! Reading a central store as a log is read: the same questions, in the same words.
//!
//! An event of a store has the name of its log beside its id. The order is by time, then id, then log.
//!
//! ## Consistency
//!
//! Each request sees the store at a moment of its own. A row is never changed, so a page that was read is
//! as it was; what a mirror delivers later may stand before it.

mod clickhouse;
mod condition;
mod digest;
mod follow;
mod fragment;
mod origin;
mod plan;
mod summary;
mod tally;

#[cfg(feature = "central")]
mod postgres;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Result;

use crate::config::StoreAddress;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::store::Cursor;
use crate::store::EventIdMatch;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::central::CentralError;
use crate::store::central::ServerAccess;
use crate::store::central::chunk::ChunkSize;
use crate::store::central::read::clickhouse::ClickHouseReader;
use crate::store::central::read::condition::Compiler;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::fragment::SqlValue;
use crate::store::central::read::origin::NamedOrigin;
use crate::store::central::read::origin::OriginRow;
use crate::store::central::read::plan::CentralPlan;
use crate::store::central::read::plan::RowPlace;
use crate::store::central::read::plan::RowSlice;
use crate::store::digest::DetailLevel;
use crate::text;

pub(crate) use crate::store::central::read::follow::CentralHeads;
#[cfg(feature = "central")]
use crate::store::central::read::postgres::PostgresReader;

/// What the events that are read at a time may take in memory.
const CHUNK_BYTES: usize = 4 << 20;
/// The events that a page in the order of a field, which SQL says not all of, takes at a time.
const SORTED_CHUNK: usize = 4_096;
/// The number of events that are named where an `event_id` stands for several.
const MAX_CANDIDATES: usize = 6;

/// Opens a store to read it.
///
/// # Errors
/// [`Exit::Config`] for a wrong address; those of [`CentralError`].
pub(in crate::store) fn open(
    address: &StoreAddress,
    access: ServerAccess<'_>,
) -> Result<CentralEngine> {
    match address {
        #[cfg(feature = "central")]
        StoreAddress::Postgres(config) => {
            Ok(CentralEngine::open(Box::new(PostgresReader::open(config, access)?))?)
        }
        #[cfg(not(feature = "central"))]
        StoreAddress::Postgres(_) => {
            let message = "this build cannot speak to PostgreSQL";
            Err(Failure::new(Exit::Config, message).into())
        }
        StoreAddress::ClickHouse(config) => {
            Ok(CentralEngine::open(Box::new(ClickHouseReader::open(config, access)?))?)
        }
    }
}

/// The columns that are left out where an outline of an event is enough.
const DETAIL_COLUMNS: [&str; 9] = [
    "title",
    "description",
    "diff",
    "payload",
    "ip",
    "user_agent",
    "session_id",
    "method",
    "endpoint",
];

/// An event as a server has it, with what names its log there.
struct FoundEvent {
    pub log: SqlValue,
    pub event: Event,
}

/// A server that has a central store.
trait CentralServer {
    fn dialect(&self) -> SqlDialect;

    /// The table of events.
    fn table(&self) -> &str;

    /// The columns of an event, for [`CentralServer::read_events`].
    fn event_columns(&self, depth: DetailLevel) -> &str;

    /// Reads the logs, and checks that the tables are those that this program knows.
    fn read_origins(&self) -> Result<Vec<OriginRow>, CentralError>;

    /// The spans of time, in their order, that have events: outside of them there is none.
    fn read_filled_spans(&self) -> Result<Vec<TimeBounds>, CentralError>;

    fn read_events(&self, sql: &Fragment) -> Result<Vec<FoundEvent>, CentralError>;

    /// Reads rows of so many columns, each of which is a text or absent.
    fn read_texts(
        &self,
        sql: &Fragment,
        columns: usize,
    ) -> Result<Vec<Vec<Option<String>>>, CentralError>;
}

/// A central store that is read.
pub(crate) struct CentralEngine {
    server: Box<dyn CentralServer>,
    /// The logs as they were when they were read last.
    origins: RefCell<Rc<[NamedOrigin]>>,
}

impl CentralEngine {
    /// Reads the logs of a store, whose tables must be there.
    fn open(server: Box<dyn CentralServer>) -> Result<Self, CentralError> {
        let engine = Self { server, origins: RefCell::new(Rc::from([])) };
        engine.read_origins()?;
        Ok(engine)
    }

    /// Returns the logs of the store as they are now, in the order of their names.
    pub(in crate::store) fn read_origins(&self) -> Result<Rc<[NamedOrigin]>, CentralError> {
        let origins: Rc<[NamedOrigin]> = origin::name_origins(self.server.read_origins()?).into();
        *self.origins.borrow_mut() = Rc::clone(&origins);
        Ok(origins)
    }

    fn origins(&self) -> Rc<[NamedOrigin]> {
        Rc::clone(&self.origins.borrow())
    }

    fn plan(&self, query: &Query) -> CentralPlan {
        let origins = self.origins();
        CentralPlan::new(query, Compiler { dialect: self.server.dialect(), origins: &origins })
    }

    pub(in crate::store) fn page(
        &self,
        query: &Query,
        page: &PageRequest<'_>,
    ) -> Result<Vec<Event>> {
        let plan = self.plan(query);
        let newest_first = match page.order {
            Order::NewestFirst => true,
            Order::OldestFirst => false,
            Order::ByField { field, ascending } => {
                return self.read_sorted(query, &plan, (field, ascending), page);
            }
        };
        let after = page.after.map(|cursor| self.row_place(cursor)).transpose()?;
        let slice = RowSlice { newest_first, after, skip: page.skip, limit: page.limit };
        self.read_slice(query, &plan, slice)
    }

    /// Returns the event at a place within the scope; several where its log is not named, or has the name
    /// of a host with several.
    pub(in crate::store) fn find_place(
        &self,
        scope: &Query,
        place: &EventPlace,
    ) -> Result<EventIdMatch> {
        let query = Query::for_place(place.log.as_deref(), place.id).and(scope.clone());
        self.find_few(&query)
    }

    /// Finds an event by its `event_id` or its beginning among those that `scope` matches.
    pub(in crate::store) fn find(&self, scope: &Query, event_id: &str) -> Result<EventIdMatch> {
        let exact = self.find_few(&Query::for_event_id(event_id).and(scope.clone()))?;
        if exact != EventIdMatch::None || event_id.is_empty() {
            return Ok(exact);
        }
        self.find_few(&Query::for_event_ids_beginning_with(event_id).and(scope.clone()))
    }

    fn find_few(&self, query: &Query) -> Result<EventIdMatch> {
        let slice = RowSlice { newest_first: false, after: None, skip: 0, limit: MAX_CANDIDATES };
        // Another event may be at any time, so one statement asks for all of it.
        let Some(all) = TimeBounds::hull(&self.server.read_filled_spans()?) else {
            return Ok(EventIdMatch::None);
        };
        let mut events = self.read_part(query, &self.plan(query).within(all), slice)?;
        Ok(match events.len() {
            0 => EventIdMatch::None,
            1 => EventIdMatch::One(Box::new(events.remove(0))),
            _ => {
                let mut places: Vec<_> = events.iter().map(Event::place).collect();
                places.sort();
                EventIdMatch::Several(places)
            }
        })
    }

    pub(in crate::store) fn around(
        &self,
        query: &Query,
        center: &Event,
        each: usize,
    ) -> Result<Vec<Event>> {
        let place = self.row_place(Cursor::from_event(center))?;
        let plan = self.plan(query);
        let beside = |newest_first| {
            let after = Some(place.clone());
            self.read_slice(query, &plan, RowSlice { newest_first, after, skip: 0, limit: each })
        };
        let mut events = beside(true)?;
        events.reverse();
        if query.matches(center) {
            events.push(center.clone());
        }
        events.extend(beside(false)?);
        Ok(events)
    }

    /// Visits all events of a span that match, in the order of time.
    pub(in crate::store) fn each(
        &self,
        query: &Query,
        span: TimeBounds,
        newest_first: bool,
        visit: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let plan = self.plan(query).within(span);
        self.each_of_plan(query, &plan, (newest_first, DetailLevel::Full), &mut |event| {
            visit(event)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn each_until(
        &self,
        query: &Query,
        newest_first: bool,
        visit: &mut dyn FnMut(Event) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.each_of_plan(query, &self.plan(query), (newest_first, DetailLevel::Full), visit)
    }

    /// Visits the events that a query and its plan match.
    fn each_of_plan(
        &self,
        query: &Query,
        plan: &CentralPlan,
        (newest_first, depth): (bool, DetailLevel),
        visit: &mut dyn FnMut(Event) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut after = None;
        let mut chunk = ChunkSize::first(CHUNK_BYTES);
        loop {
            let limit = chunk.events();
            let slice = RowSlice { newest_first, after: after.take(), skip: 0, limit };
            let (columns, table) = (self.server.event_columns(depth), self.server.table());
            let found = self.read_rows(&plan.slice_statement(columns, table, &slice))?;
            let is_last = found.len() < limit;
            chunk = chunk.after(found.iter().map(|found| &found.event));
            after = found.last().map(row_place_of);
            for FoundEvent { event, .. } in found {
                if (plan.is_exact || query.matches(&event)) && visit(event)?.is_break() {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    pub(in crate::store) fn count(&self, query: &Query, at_most: u64) -> Result<u64> {
        let plan = self.plan(query);
        if plan.is_exact {
            let sql = plan.count_statement(self.server.table(), at_most);
            return Ok(summary::first_number(&self.server.read_texts(&sql, 1)?));
        }
        let mut count = 0;
        self.each_until(query, false, &mut |_| {
            count += 1;
            Ok(if count < at_most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(count)
    }

    /// Returns the newest event that matches.
    fn newest(&self, query: &Query) -> Result<Option<Event>> {
        let slice = RowSlice { newest_first: true, after: None, skip: 0, limit: 1 };
        Ok(self.read_slice(query, &self.plan(query), slice)?.pop())
    }

    fn slice_statement(&self, plan: &CentralPlan, slice: &RowSlice) -> Fragment {
        let columns = self.server.event_columns(DetailLevel::Full);
        plan.slice_statement(columns, self.server.table(), slice)
    }

    /// Reads a slice of the events that match, window by window until it is full.
    fn read_slice(&self, query: &Query, plan: &CentralPlan, slice: RowSlice) -> Result<Vec<Event>> {
        if slice.skip > 0 {
            return self.read_part(query, plan, slice);
        }
        let mut events = Vec::new();
        for window in plan.search_windows(&self.server.read_filled_spans()?, &slice) {
            let limit = slice.limit - events.len();
            let part = RowSlice { limit, ..slice.clone() };
            events.extend(self.read_part(query, &plan.within(window), part)?);
            if events.len() >= slice.limit {
                break;
            }
        }
        Ok(events)
    }

    /// Reads a slice of the events that match in the window of a plan.
    fn read_part(&self, query: &Query, plan: &CentralPlan, slice: RowSlice) -> Result<Vec<Event>> {
        if plan.is_exact {
            let found = self.read_rows(&self.slice_statement(plan, &slice))?;
            return Ok(found.into_iter().map(|found| found.event).collect());
        }
        let RowSlice { newest_first, mut after, mut skip, limit } = slice;
        let mut events = Vec::new();
        let mut chunk = ChunkSize::first_of(limit, CHUNK_BYTES);
        loop {
            let wanted = chunk.events();
            let part = RowSlice { newest_first, after: after.take(), skip: 0, limit: wanted };
            let found = self.read_rows(&self.slice_statement(plan, &part))?;
            let is_last = found.len() < wanted;
            chunk = chunk.after(found.iter().map(|found| &found.event));
            after = found.last().map(row_place_of);
            for event in found.into_iter().map(|found| found.event) {
                if events.len() < limit && query.matches(&event) {
                    if skip > 0 {
                        skip -= 1;
                    } else {
                        events.push(event);
                    }
                }
            }
            if is_last || events.len() >= limit {
                return Ok(events);
            }
        }
    }

    /// Reads a page in the order of a field, for which there is no index.
    fn read_sorted(
        &self,
        query: &Query,
        plan: &CentralPlan,
        (field, ascending): (&'static str, bool),
        page: &PageRequest<'_>,
    ) -> Result<Vec<Event>> {
        let key = sort_expression(self.server.dialect(), field)?;
        let (columns, table) = (self.server.event_columns(DetailLevel::Full), self.server.table());
        let statement =
            |skip, limit| plan.sorted_statement(columns, table, (&key, ascending), (skip, limit));
        if plan.is_exact {
            let found = self.read_rows(&statement(page.skip, page.limit))?;
            return Ok(found.into_iter().map(|found| found.event).collect());
        }
        let mut events = Vec::new();
        let wanted = page.limit.saturating_add(usize::try_from(page.skip).unwrap_or(usize::MAX));
        let mut place = 0;
        while events.len() < wanted {
            let found = self.read_rows(&statement(place, SORTED_CHUNK))?;
            let is_last = found.len() < SORTED_CHUNK;
            place += SORTED_CHUNK as u64;
            let found = found.into_iter().map(|found| found.event);
            events.extend(found.filter(|event| query.matches(event)));
            if is_last {
                break;
            }
        }
        let skip = usize::try_from(page.skip).unwrap_or(usize::MAX);
        Ok(events.into_iter().skip(skip).take(page.limit).collect())
    }

    /// Reads events, and names their logs.
    fn read_rows(&self, sql: &Fragment) -> Result<Vec<FoundEvent>, CentralError> {
        let mut found = self.server.read_events(sql)?;
        let mut origins = self.origins();
        let name_of = |origins: &[NamedOrigin], log: &SqlValue| {
            origins.iter().find(|origin| origin.key == *log).map(|origin| Arc::clone(&origin.name))
        };
        if found.iter().any(|found| name_of(&origins, &found.log).is_none()) {
            // A log that began to write after the logs were read.
            origins = self.read_origins()?;
        }
        for found in &mut found {
            found.event.log = Some(name_of(&origins, &found.log).unwrap_or_else(|| "?".into()));
        }
        Ok(found)
    }

    fn row_place(&self, cursor: Cursor<'_>) -> Result<RowPlace, Failure> {
        let log = cursor.log.map(|name| {
            let origins = self.origins();
            let known = origins.iter().find(|origin| *origin.name == *name);
            known.map(|origin| origin.key.clone()).ok_or_else(|| {
                let message = format!("there is no log {} in the store", text::escape(name));
                Failure::new(Exit::Usage, message)
            })
        });
        let log = log.transpose()?;
        Ok(RowPlace { occurred_at: cursor.occurred_at.as_nanos(), id: cursor.id.0, log })
    }
}

fn row_place_of(found: &FoundEvent) -> RowPlace {
    let EventId(id) = found.event.id;
    let occurred_at = found.event.occurred_at.as_nanos();
    RowPlace { occurred_at, id, log: Some(found.log.clone()) }
}

/// Returns the expression that sorts by a field, or by a column of a listing.
fn sort_expression(dialect: SqlDialect, field: &str) -> Result<String, Failure> {
    let text = |expression: &str| match dialect {
        SqlDialect::Postgres => format!("({expression}) COLLATE \"C\""),
        SqlDialect::ClickHouse => format!("({expression})"),
    };
    // The words have a line for each label that is there.
    let line = |number: &str| match dialect {
        SqlDialect::Postgres => format!("split_part(words, chr(10), {number})"),
        SqlDialect::ClickHouse => format!("splitByChar('\\n', assumeNotNull(words))[{number}]"),
    };
    let of_target = "CASE WHEN actor_label IS NOT NULL THEN 2 ELSE 1 END";
    Ok(match field {
        "host" => "log".to_owned(),
        "id" | "occurred_at" | "recorded_at" | "severity" | "hash" => field.to_owned(),
        "status_code" if dialect == SqlDialect::ClickHouse => "nullIf(status_code, 0)".to_owned(),
        "status_code" => field.to_owned(),
        "tenant" => text("nullif(tenant, '')"),
        "event_id" if dialect == SqlDialect::Postgres => {
            text("coalesce(event_uuid::text, event_text)")
        }
        "source" => text(
            "CASE source WHEN 0 THEN 'operator' WHEN 1 THEN 'system' WHEN 2 THEN 'api' ELSE 'cron' END",
        ),
        "actor" => {
            text(&format!("CASE WHEN actor_label IS NOT NULL THEN {} ELSE actor_id END", line("1")))
        }
        "target" => text(&format!(
            "CASE WHEN target_label IS NOT NULL THEN {} ELSE coalesce(target_id, target_type) END",
            line(of_target)
        )),
        field if crate::event::field::by_name(field).is_some() => text(field),
        field => {
            let message = format!("cannot sort by {}", text::escape(field));
            return Err(Failure::new(Exit::Usage, message));
        }
    })
}
