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
            let is_known = self.months.iter().any(|month| month.contains(at));
            if !is_known && (oldest..newest).contains(&at) {
                self.make_months(&Month::between(at, at))?;
            }
        }
        Ok(())
    }

    fn make_months(&mut self, months: &[Month]) -> CentralResult<()> {
        if self.makes_months && months.iter().any(|month| !self.months.contains(month)) {
            let names = self.read_month_names("TRUE")?;
            let are_there = months.iter().filter(|month| names.contains(&month.name()));
            self.months.extend(are_there.cloned());
        }
        for month in months {
            if self.makes_months && !self.months.contains(month) {
                match self.server.execute_batch(&month.create(&self.names)) {
                    // Events of this month are in the table of the others already.
                    Ok(()) => {}
                    Err(error)
                        if error.is(&SqlState::CHECK_VIOLATION)
                            || error.is(&SqlState::DUPLICATE_TABLE) => {}
                    // Somebody else makes the months, or all stays in the table of the others.
                    Err(error) if error.is(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                        self.makes_months = false;
                    }
                    Err(error) => return Err(error.into()),
                }
                self.months.push(month.clone());
            }
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
        let end = Month::between(before, before).first().map(Month::name).unwrap_or_default();
        let mut names = self.read_month_names("TRUE")?;
        names.retain(|name| *name < end);
        for name in names {
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

    /// Returns the beginnings of the months that have events by the statistics of the server, in their
    /// order. Others may have some too.
    ///
    /// # Errors
    /// No answer.
    pub(in crate::store::central) fn read_filled_months(
        &mut self,
    ) -> CentralResult<Vec<Timestamp>> {
        let names = self.read_month_names("relpages > 0")?;
        Ok(names.iter().filter_map(|name| Month::start_of(name)).collect())
    }

    /// Returns the names of the months whose row of `pg_class` fulfils a condition, in their order.
    fn read_month_names(&mut self, condition: &str) -> CentralResult<Vec<String>> {
        let sql = format!(
            "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
             WHERE inhparent = to_regclass($1) AND {condition} ORDER BY relname"
        );
        let rows = self.server.query(&sql, &[(&self.names.event, Type::TEXT)])?;
        let names = rows.iter().filter_map(|row| {
            let name = row.get::<_, &str>(0).rsplit_once('_')?.1.to_owned();
            let is_month = name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_digit());
            is_month.then_some(name)
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
