//! Examines a store, from what the server keeps about its tables.

use crate::store::central::StoreExamination;
use crate::store::central::clickhouse::ClickHouseStore;
use crate::store::central::clickhouse::StoreResult;
use crate::store::central::clickhouse::read::BinaryRows;
use crate::time::Timestamp;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

impl ClickHouseStore {
    /// Says how the store is. Its tables must be there.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn examine(&mut self) -> StoreResult<StoreExamination> {
        const SERVER: &str = "SELECT version(), toInt64(toUnixTimestamp(now())) FORMAT RowBinary";
        let (version, seconds) = self
            .read_rows(SERVER, |rows| Some((rows.text()?, rows.integer()?)))?
            .pop()
            .unwrap_or_default();
        let sizes = self.sizes().ok();
        Ok(StoreExamination {
            server: format!("ClickHouse {version}"),
            user: self.server.user().to_owned(),
            encryption: self.server.is_encrypted().then(|| "TLS".to_owned()),
            writing_rights: None,
            clock: Timestamp::from_nanos(seconds.saturating_mul(NANOS_PER_SECOND)),
            bytes: sizes.map(|(bytes, _)| bytes),
            events: sizes.map(|(_, events)| events),
            months: None,
            bytes_of_others: 0,
        })
    }

    /// Returns the bytes and the rows of the events.
    ///
    /// # Errors
    /// The user may not see them; no answer.
    fn sizes(&self) -> StoreResult<(u64, u64)> {
        let (database, table) = match self.names.event.split_once('.') {
            Some((database, table)) => (format!("'{database}'"), table),
            None => ("currentDatabase()".to_owned(), self.names.event.as_str()),
        };
        let sql = format!(
            "SELECT toInt64(sum(bytes_on_disk)), toInt64(sum(rows)) FROM system.parts \
             WHERE active AND database = {database} AND table = '{table}' FORMAT RowBinary"
        );
        let read = |rows: &mut BinaryRows<'_>| {
            let number = |number: i64| u64::try_from(number).ok();
            Some((number(rows.integer()?)?, number(rows.integer()?)?))
        };
        Ok(self.read_rows(&sql, read)?.pop().unwrap_or_default())
    }
}
