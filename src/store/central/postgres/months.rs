//! The months of the table of events: made ahead of time, and dropped as a whole.
//!
//! ## Locking
//!
//! While a month is dropped nobody writes to it, and a query of the whole table waits for a moment.

use std::fmt::Write;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::event::EventId;
use crate::event::Hash;
use crate::query::TimeBounds;
use crate::store::central;
use crate::store::central::Dropping;
use crate::store::central::LogKey;
use crate::store::central::SweptMonth;
use crate::store::central::postgres::CentralResult;
use crate::store::central::postgres::PostgresStore;
use crate::store::central::postgres::fleet;
use crate::store::central::postgres::schema::Month;
use crate::store::central::ranges;
use crate::store::central::ranges::DroppedRange;
use crate::time::Span;
use crate::time::Timestamp;

/// The months that are made: so far ahead, and so far back for a log that is older than its mirror.
const MONTHS_AHEAD: Span = Span::from_seconds(93 * 86_400);
const MONTHS_BACK: Span = Span::from_seconds(3 * 365 * 86_400);

/// Returns the months that are made ahead, and those so far back.
pub(super) fn coming_months(now: Timestamp, back: Span) -> Vec<Month> {
    Month::between(now.saturating_sub(back), now.saturating_add(MONTHS_AHEAD))
}

/// A partition of the table of events.
#[derive(Clone, Debug)]
struct Partition {
    /// Absent for the one that takes all times that have none.
    month: Option<Month>,
    may_have_events: bool,
}

impl Partition {
    /// Reads the bounds of a partition as the server writes them; `None` for those that are not ours.
    fn parse(bounds: &str) -> Option<Option<Month>> {
        if bounds == "DEFAULT" {
            return Some(None);
        }
        let bounds = bounds.strip_prefix("FOR VALUES FROM ('")?.strip_suffix("')")?;
        let (from, to) = bounds.split_once("') TO ('")?;
        let [start, end] = [from, to].map(|nanos| nanos.parse().map(Timestamp::from_nanos).ok());
        Some(Some(Month { start: start?, end: end? }))
    }
}

/// Returns the spans of time whose partition may have events, in their order; all of time where none may,
/// which tells that the server does not tell.
fn find_filled_spans(mut partitions: Vec<Partition>) -> Vec<TimeBounds> {
    if !partitions.iter().any(|partition| partition.may_have_events) {
        return vec![TimeBounds::default()];
    }
    partitions.sort_unstable_by_key(|partition| partition.month.as_ref().map(|month| month.start));
    let others_may = partitions.iter().any(|it| it.month.is_none() && it.may_have_events);
    let mut spans = Vec::new();
    let mut end = None;
    for Partition { month, may_have_events } in partitions {
        let Some(month) = month else { continue };
        if others_may && end != Some(month.start) {
            spans.push(TimeBounds { from: end, to: Some(month.start) });
        }
        if may_have_events {
            spans.push(TimeBounds { from: Some(month.start), to: Some(month.end) });
        }
        end = Some(month.end);
    }
    if others_may {
        spans.push(TimeBounds { from: end, to: None });
    }
    spans
}

impl PostgresStore {
    /// Whether the role may make months, as far as is known.
    pub(super) fn makes_months(&self) -> bool {
        self.makes_months
    }

    /// Makes the months from now on, so that no event waits for one, and those so far back.
    ///
    /// # Errors
    /// No answer. A role that may not make them is no error.
    pub(crate) fn make_coming_months(&mut self, now: Timestamp, back: Span) -> CentralResult<()> {
        self.make_months(&coming_months(now, back))
    }

    /// Makes the months of some events. Times beyond those of a sound clock get none.
    ///
    /// # Errors
    /// As [`PostgresStore::make_coming_months`].
    pub(crate) fn make_months_of(
        &mut self,
        times: impl Iterator<Item = Timestamp>,
        now: Timestamp,
    ) -> CentralResult<()> {
        let (oldest, newest) = (now.saturating_sub(MONTHS_BACK), now.saturating_add(MONTHS_AHEAD));
        for at in times {
            if (oldest..newest).contains(&at) && !self.is_settled(at)? {
                self.make_months(&Month::between(at, at))?;
            }
        }
        Ok(())
    }

    fn make_months(&mut self, months: &[Month]) -> CentralResult<()> {
        for month in months {
            if self.is_settled(month.start)? {
                continue;
            }
            if self.makes_months {
                self.make_month(month)?;
            }
            self.months.get_or_insert_default().push(month.clone());
        }
        Ok(())
    }

    /// Whether a time has a month, or can have none.
    fn is_settled(&mut self, at: Timestamp) -> CentralResult<bool> {
        if self.months.is_none() {
            let partitions = self.read_partitions()?;
            let months = partitions.into_iter().filter_map(|partition| partition?.month);
            self.months = Some(months.collect());
        }
        Ok(self.months.iter().flatten().any(|month| month.contains(at)))
    }

    fn make_month(&mut self, month: &Month) -> CentralResult<()> {
        match self.server.execute_batch(&month.create(&self.names)) {
            Ok(()) => {}
            // Events of this month are in the table of the others already.
            Err(error)
                if error.is(&SqlState::CHECK_VIOLATION) || error.is(&SqlState::DUPLICATE_TABLE) => {
            }
            // Somebody else makes the months, or all stays in the table of the others.
            Err(error) if error.is(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                self.makes_months = false;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Drops the months that ended before a time and of which no log keeps anything; or only says so,
    /// month by month.
    ///
    /// # Errors
    /// No answer; the role may not drop tables.
    pub(crate) fn sweep_months(
        &mut self,
        before: Timestamp,
        dropping: Dropping,
    ) -> CentralResult<Vec<SweptMonth>> {
        let mut months = Vec::new();
        for name in self.read_month_names(before)? {
            let begun = match dropping {
                Dropping::Try => "BEGIN READ ONLY".to_owned(),
                Dropping::Drop => {
                    let event = &self.names.event;
                    format!("BEGIN; LOCK TABLE {event}_{name} IN SHARE ROW EXCLUSIVE MODE")
                }
            };
            self.server.execute_batch(&begun)?;
            let swept = self.sweep_month(&name, dropping);
            let end = if swept.is_ok() { "COMMIT" } else { "ROLLBACK" };
            self.server.execute_batch(end)?;
            months.push(swept?);
        }
        Ok(months)
    }

    fn sweep_month(&mut self, name: &str, dropping: Dropping) -> CentralResult<SweptMonth> {
        let ranges = self.read_ranges(name)?;
        let mut month = SweptMonth { name: name.to_owned(), events: 0, keepers: Vec::new() };
        let logs = self.logs()?;
        let names = central::log_names_of(&logs);
        for (log, name) in logs.into_iter().zip(names) {
            let of_log: Vec<_> = ranges.iter().filter(|range| range.log == log.key).collect();
            month.events += of_log.iter().map(|range| range.events()).sum::<u64>();
            if of_log.is_empty() {
                continue;
            }
            let gaps = self.gaps(log.key)?;
            let kept: u64 = of_log
                .iter()
                .map(|range| ranges::kept_events(range.first, range.last, &gaps))
                .sum();
            if kept > 0 {
                month.keepers.push((name, kept));
            }
        }
        if month.keepers.is_empty() && dropping == Dropping::Drop {
            self.drop_month(name, &ranges)?;
        }
        Ok(month)
    }

    fn drop_month(&mut self, name: &str, ranges: &[DroppedRange]) -> CentralResult<()> {
        let mut sql = String::new();
        for range in ranges {
            let (first, last, hash) = (range.first, range.last, range.hash);
            let _ = write!(
                sql,
                "INSERT INTO {} (log, first, last, hash, month) \
                 VALUES ({}, {first}, {last}, '\\x{hash}', '{name}'); ",
                self.names.swept,
                fleet::number(range.log),
            );
        }
        let _ = write!(sql, "DROP TABLE {}_{name}", self.names.event);
        Ok(self.server.execute_batch(&sql)?)
    }

    /// Returns spans of time, in their order, outside of which there is no event.
    ///
    /// # Errors
    /// No answer.
    pub(in crate::store::central) fn read_filled_spans(
        &mut self,
    ) -> CentralResult<Vec<TimeBounds>> {
        let partitions: Option<Vec<Partition>> = self.read_partitions()?.into_iter().collect();
        Ok(partitions.map_or_else(|| vec![TimeBounds::default()], find_filled_spans))
    }

    /// Reads the partitions; `None` for one whose bounds are not ours, or which is being dropped.
    fn read_partitions(&mut self) -> CentralResult<Vec<Option<Partition>>> {
        // A heap of no bytes has no row. Of a table whose rows are elsewhere, as Citus has them, that
        // says nothing. The server opens a table to see its size, unless it has counted pages of it.
        let sql = "SELECT pg_get_expr(relpartbound, pg_class.oid), \
                   relpages > 0 OR relkind <> 'r' \
                   OR relam <> (SELECT oid FROM pg_am WHERE amname = 'heap') \
                   OR pg_relation_size(pg_class.oid) > 0 \
                   OR (SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL) \
                   FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                   WHERE inhparent = to_regclass($1)";
        let rows = self.server.query(sql, &[(&self.names.event, Type::TEXT)])?;
        let partitions = rows.iter().map(|row| {
            let month = Partition::parse(row.get::<_, Option<&str>>(0)?)?;
            let may_have_events = row.get::<_, Option<bool>>(1).unwrap_or(true);
            Some(Partition { month, may_have_events })
        });
        Ok(partitions.collect())
    }

    /// Returns the names of the months that ended before a time, in their order.
    fn read_month_names(&mut self, before: Timestamp) -> CentralResult<Vec<String>> {
        let sql = "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                   WHERE inhparent = to_regclass($1) ORDER BY relname";
        let rows = self.server.query(sql, &[(&self.names.event, Type::TEXT)])?;
        let end = Month::between(before, before).first().map(Month::name).unwrap_or_default();
        let names = rows.iter().filter_map(|row| {
            let name = row.get::<_, &str>(0).rsplit_once('_')?.1.to_owned();
            let is_month = name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_digit());
            (is_month && name < end).then_some(name)
        });
        Ok(names.collect())
    }

    /// Returns the ranges of ids without a hole that a month has of each log.
    fn read_ranges(&mut self, month: &str) -> CentralResult<Vec<DroppedRange>> {
        let sql = format!(
            "SELECT log, min(id), max(id), (array_agg(hash ORDER BY id DESC))[1] FROM \
             (SELECT log, id, hash, id - row_number() OVER (PARTITION BY log ORDER BY id) AS run \
             FROM {}_{month}) AS numbered GROUP BY log, run ORDER BY 1, 2",
            self.names.event
        );
        let rows = self.server.query(&sql, &[])?;
        let ranges = rows.iter().filter_map(|row| {
            Some(DroppedRange {
                log: LogKey::Number(row.get(0)),
                first: EventId(row.get(1)),
                last: EventId(row.get(2)),
                hash: Hash(row.get::<_, Vec<u8>>(3).try_into().ok()?),
            })
        });
        Ok(ranges.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn month(start: i64, end: i64) -> Month {
        Month { start: Timestamp::from_nanos(start), end: Timestamp::from_nanos(end) }
    }

    #[test]
    fn bounds_are_read_as_the_server_writes_them() {
        let parse = Partition::parse;
        assert_eq!(parse("DEFAULT"), Some(None));
        assert_eq!(parse("FOR VALUES FROM ('-5') TO ('17')"), Some(Some(month(-5, 17))));
        assert_eq!(parse("FOR VALUES FROM (MINVALUE) TO ('17')"), None);
        assert_eq!(parse("FOR VALUES WITH (modulus 4, remainder 0)"), None);
    }

    #[test]
    fn a_server_that_tells_of_no_event_does_not_tell() {
        let empty = Partition { month: Some(month(0, 10)), may_have_events: false };
        assert_eq!(find_filled_spans(vec![empty]), [TimeBounds::default()]);
        assert_eq!(find_filled_spans(Vec::new()), [TimeBounds::default()]);
    }

    proptest! {
        /// Each time is in one span if the partition that takes it may have events, and in none otherwise.
        #[test]
        fn spans_are_those_of_the_partitions_with_events(
            months in prop::collection::btree_map(0_i64..9, any::<bool>(), 0..9),
            others_may: bool,
        ) {
            let partitions = months.iter().map(|(number, may)| Partition {
                month: Some(month(10 * number, 10 * number + 10)),
                may_have_events: *may,
            });
            let other = Partition { month: None, may_have_events: others_may };
            prop_assume!(others_may || months.values().any(|may| *may));
            let spans = find_filled_spans(partitions.rev().chain([other]).collect());
            for at in -15_i64..115 {
                let may = months.get(&at.div_euclid(10)).copied().unwrap_or(others_may);
                let holding =
                    spans.iter().filter(|span| span.contains(Timestamp::from_nanos(at)));
                prop_assert_eq!(holding.count(), usize::from(may), "{}", at);
            }
            let starts: Vec<_> = spans.iter().map(|span| span.from).collect();
            prop_assert!(starts.is_sorted());
        }
    }
}
