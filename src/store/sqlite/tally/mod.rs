//! Counts events by fields, persons, records and periods.
//!
//! ## Cost
//! All events by one indexed grouping are counted by SQLite, from the index alone: actions and tenants,
//! which are few, by a search for each; only where some have no actor, the rows say whether the system
//! acted. All events by period are counted as ranges of the index on time. Otherwise the access path of
//! the query leads to the events, and each is counted by the numbers in its row; texts are read once for
//! each group.

mod group_reader;

use std::collections::HashMap;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OptionalExtension;

use crate::query::Query;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::plan::QueryPlan;
use crate::store::sqlite::plan::TimeWindow;
use crate::store::sqlite::row_keys::RowKeyMap;
use crate::store::sqlite::sql::Sql;
use crate::store::sqlite::swept::not_swept;
use crate::store::sqlite::tally::group_reader::ABSENT;
use crate::store::sqlite::tally::group_reader::GroupReader;
use crate::store::sqlite::tally::group_reader::IndexCount;
use crate::store::sqlite::tally::group_reader::TextNumbers;
use crate::store::sqlite::tally::group_reader::UnindexedEvents;
use crate::store::tally::CountedGroup;
use crate::store::tally::GroupValue;
use crate::store::tally::GroupedCounts;
use crate::store::tally::Grouping;
use crate::time::CalendarUnit;
use crate::time::Timestamp;
use crate::time::Zone;

pub(in crate::store) use crate::store::sqlite::tally::group_reader::groupable_fields;

/// The number of groupings that are counted together.
const MAX_GROUPINGS: usize = 2;

/// The numbers of a group: for each grouping its own, and the tenant where that tells persons or
/// records apart.
type GroupKey = [(i64, i64); MAX_GROUPINGS];

/// The counts so far, by numbers.
struct RunningCounts {
    events: u64,
    first: i64,
    last: i64,
    by_key: RowKeyMap<GroupKey, u64>,
    texts: TextNumbers,
}

impl RunningCounts {
    fn new() -> Self {
        Self {
            events: 0,
            first: i64::MAX,
            last: i64::MIN,
            by_key: RowKeyMap::default(),
            texts: TextNumbers::default(),
        }
    }

    fn add(&mut self, key: GroupKey, count: u64, first: i64, last: i64) {
        self.events += count;
        self.first = self.first.min(first);
        self.last = self.last.max(last);
        *self.by_key.entry(key).or_insert(0) += count;
    }

    fn resolve(
        self,
        connection: &Connection,
        readers: &[GroupReader<'_>],
    ) -> rusqlite::Result<GroupedCounts> {
        let mut values = Vec::with_capacity(readers.len());
        for (place, reader) in readers.iter().enumerate() {
            let mut numbers: Vec<_> = self.by_key.keys().map(|key| key[place]).collect();
            numbers.sort_unstable();
            numbers.dedup();
            values.push(reader.resolve(connection, &numbers, &self.texts)?);
        }
        // Several keys may have one value: an action in two modules, a person with two labels.
        let mut merged: HashMap<Vec<GroupValue>, u64> = HashMap::new();
        for (key, count) in &self.by_key {
            let value = |(values, pair): (&HashMap<_, GroupValue>, _)| {
                values.get(pair).cloned().unwrap_or(GroupValue::Absent)
            };
            let group = values.iter().zip(key).map(value).collect();
            *merged.entry(group).or_insert(0) += count;
        }
        let mut groups: Vec<_> =
            merged.into_iter().map(|(values, count)| CountedGroup { values, count }).collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.values.cmp(&b.values)));
        let found = self.events > 0;
        Ok(GroupedCounts {
            events: self.events,
            first: found.then(|| Timestamp::from_nanos(self.first)),
            last: found.then(|| Timestamp::from_nanos(self.last)),
            groups,
        })
    }
}

/// The counts by some groupings together, and what is read of each event for them.
struct Tally<'a> {
    readers: Vec<GroupReader<'a>>,
    counts: RunningCounts,
}

impl Sqlite {
    /// Counts by each of the sets of groupings. One pass over the events serves all that no index can.
    pub(in crate::store) fn count_by(
        &self,
        query: &Query,
        sets: &[&[Grouping]],
        zone: &Zone,
    ) -> Result<Vec<GroupedCounts>> {
        self.read_in_snapshot(|connection| {
            let plan = self.plan(connection, query)?;
            let per_tenant = has_several_tenants(connection)?;
            let mut tallies: Vec<_> = sets
                .iter()
                .map(|groupings| {
                    debug_assert!(groupings.len() <= MAX_GROUPINGS, "{groupings:?}");
                    let groupings = groupings.iter().take(MAX_GROUPINGS);
                    let readers =
                        groupings.map(|grouping| GroupReader::new(*grouping, zone, per_tenant));
                    Tally { readers: readers.collect(), counts: RunningCounts::new() }
                })
                .collect();
            let mut uncounted = Vec::with_capacity(tallies.len());
            for tally in &mut tallies {
                if !count_by_index(connection, &plan, &tally.readers, &mut tally.counts)? {
                    uncounted.push(tally);
                }
            }
            if !uncounted.is_empty() {
                count_rows(connection, &plan, &mut uncounted)?;
            }
            let resolved =
                tallies.into_iter().map(|tally| tally.counts.resolve(connection, &tally.readers));
            resolved.collect()
        })
    }
}

/// Whether one id may be several persons. Key 0 is no tenant.
fn has_several_tenants(connection: &Connection) -> rusqlite::Result<bool> {
    const SECOND: &str = "SELECT 1 FROM tenant WHERE key > 0 LIMIT 1 OFFSET 1";
    connection.prepare_cached(SECOND)?.exists([])
}

/// Counts by an index alone; returns false if no index can.
fn count_by_index(
    connection: &Connection,
    plan: &QueryPlan,
    readers: &[GroupReader<'_>],
    counts: &mut RunningCounts,
) -> rusqlite::Result<bool> {
    if !plan.has_no_conditions() || plan.matches_nothing {
        return Ok(false);
    }
    match readers {
        [GroupReader::Period { unit, zone, .. }] => {
            count_periods(connection, plan.window, *unit, zone, counts)?;
            Ok(true)
        }
        [reader] if plan.window == TimeWindow::ALL => {
            let Some(index) = reader.index_count() else { return Ok(false) };
            if let Some(span) = read_span(connection)? {
                count_all(connection, &index, plan.swept_condition(), span, counts)?;
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Counts all events, which lie in a span of time.
fn count_all(
    connection: &Connection,
    index: &IndexCount,
    not_swept: &str,
    (first, last): (i64, i64),
    counts: &mut RunningCounts,
) -> rusqlite::Result<()> {
    let add = |sql: &str, counts: &mut RunningCounts| -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let count = row.get::<_, i64>(1)?.unsigned_abs();
            if count > 0 {
                counts.add([(row.get(0)?, 0), (0, 0)], count, first, last);
            }
        }
        Ok(())
    };
    add(&index.statement(not_swept), counts)?;
    match &index.others {
        UnindexedEvents::None => {}
        UnindexedEvents::Absent => {
            let others = count_events(connection, not_swept)?.saturating_sub(counts.events);
            if others > 0 {
                counts.add([(ABSENT, 0), (0, 0)], others, first, last);
            }
        }
        UnindexedEvents::Select { number, condition } => {
            // It reads every row, so not only to find none.
            if count_events(connection, not_swept)? > counts.events {
                let select = format!("SELECT {number}, count(*) FROM event NOT INDEXED");
                add(&format!("{select} WHERE {condition}{not_swept} GROUP BY 1"), counts)?;
            }
        }
    }
    Ok(())
}

/// Counts all events. Without a condition SQLite adds up the entries of each page of its smallest index.
fn count_events(connection: &Connection, not_swept: &str) -> rusqlite::Result<u64> {
    let sql = match not_swept {
        "" => "SELECT count(*) FROM event".to_owned(),
        condition => {
            let select = "SELECT count(*) FROM event INDEXED BY event_occurred_at WHERE TRUE";
            format!("{select}{condition}")
        }
    };
    let count = connection.prepare_cached(&sql)?.query_row([], |row| row.get::<_, i64>(0))?;
    Ok(count.unsigned_abs())
}

/// Returns the first and the last time of all events; `None` if there is none.
fn read_span(connection: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    macro_rules! time_at_the_end {
        ($order:literal) => {
            concat!(
                "SELECT event.occurred_at FROM event INDEXED BY event_occurred_at WHERE ",
                not_swept!(),
                " ORDER BY event.occurred_at",
                $order,
                " LIMIT 1"
            )
        };
    }
    let read = |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional();
    Ok(read(time_at_the_end!(""))?.zip(read(time_at_the_end!(" DESC"))?))
}

/// Counts the events of each period that has some, as a range of the index on time.
fn count_periods(
    connection: &Connection,
    window: TimeWindow,
    unit: CalendarUnit,
    zone: &Zone,
    counts: &mut RunningCounts,
) -> rusqlite::Result<()> {
    const NEXT: &str = concat!(
        "SELECT event.occurred_at FROM event INDEXED BY event_occurred_at \
         WHERE event.occurred_at BETWEEN ?1 AND ?2 AND ",
        not_swept!(),
        " ORDER BY event.occurred_at LIMIT 1"
    );
    const COUNT: &str = concat!(
        "SELECT count(*), max(event.occurred_at) FROM event INDEXED BY event_occurred_at \
         WHERE event.occurred_at BETWEEN ?1 AND ?2 AND ",
        not_swept!()
    );
    let mut next = connection.prepare_cached(NEXT)?;
    let mut count = connection.prepare_cached(COUNT)?;
    let mut from = window.earliest;
    while let Some(first) =
        next.query_row([from, window.latest], |row| row.get::<_, i64>(0)).optional()?
    {
        let period = zone.calendar_unit(Timestamp::from_nanos(first), unit);
        let end = period.end.as_nanos();
        let latest = window.latest.min(if end > first { end - 1 } else { i64::MAX });
        let (found, last): (i64, i64) =
            count.query_row([first, latest], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let key = [(group_reader::period_number(period.start), 0), (0, 0)];
        counts.add(key, found.unsigned_abs(), first, last);
        match latest.checked_add(1) {
            Some(after) if after <= window.latest => from = after,
            Some(_) | None => break,
        }
    }
    Ok(())
}

/// Counts event by event.
fn count_rows(
    connection: &Connection,
    plan: &QueryPlan,
    tallies: &mut [&mut Tally<'_>],
) -> rusqlite::Result<()> {
    let mut columns = Sql::new("SELECT event.occurred_at");
    let mut place = 1;
    // Where the columns of each reader begin.
    let places: Vec<Vec<usize>> = tallies
        .iter()
        .map(|tally| {
            let begin = |reader: &GroupReader<'_>| {
                let begin = place;
                place += reader.add_columns(&mut columns);
                begin
            };
            tally.readers.iter().map(begin).collect()
        })
        .collect();
    for sql in plan.all_statements_of(connection, &columns)? {
        let mut statement = connection.prepare_cached(sql.text())?;
        let mut rows = statement.query(sql.params())?;
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            for (tally, places) in tallies.iter_mut().zip(&places) {
                let Tally { readers, counts } = &mut **tally;
                let mut key: GroupKey = [(0, 0); MAX_GROUPINGS];
                for ((reader, place), pair) in readers.iter_mut().zip(places).zip(&mut key) {
                    *pair = reader.read(row, *place, at, &mut counts.texts)?;
                }
                counts.add(key, 1, at, at);
            }
        }
    }
    Ok(())
}
