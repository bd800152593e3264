//! Examines a store: what is read here is cheap, however many events there are.

use tokio_postgres::types::Type;

use crate::store::central::StoreExamination;
use crate::store::central::postgres::CentralResult;
use crate::store::central::postgres::PostgresStore;
use crate::time::Timestamp;

const NANOS_PER_MICRO: i64 = 1_000;

impl PostgresStore {
    /// Says how the store is. Its tables must be there.
    ///
    /// # Errors
    /// No answer.
    pub(crate) fn examine(&mut self) -> CentralResult<StoreExamination> {
        const SERVER: &str = "SELECT current_setting('server_version'), current_user::text, \
             (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), \
             (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let rows = self.server.query(SERVER, &[])?;
        let (version, user, encryption, micros) = match rows.first() {
            Some(row) => (row.get::<_, String>(0), row.get(1), row.get(2), row.get::<_, i64>(3)),
            None => (String::new(), String::new(), None, 0),
        };
        // `15.14 (Debian 15.14-0+deb12u1)`
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        let mut examination = StoreExamination {
            server: format!("PostgreSQL {version}"),
            user,
            encryption,
            writing_rights: Some(self.writing_rights()?),
            clock: Timestamp::from_nanos(micros.saturating_mul(NANOS_PER_MICRO)),
            bytes: Some(0),
            events: Some(0),
            months: Some(Vec::new()),
            bytes_of_others: 0,
        };
        self.measure_months(&mut examination)?;
        Ok(examination)
    }

    /// Returns what the role may do to the table of events beside reading it.
    fn writing_rights(&mut self) -> CentralResult<Vec<String>> {
        const RIGHTS: &str = "SELECT name FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) \
             AS name WHERE has_table_privilege($1, name)";
        let rows = self.server.query(RIGHTS, &[(&self.names.event, Type::TEXT)])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Adds up the months, from what the server keeps about its tables.
    fn measure_months(&mut self, examination: &mut StoreExamination) -> CentralResult<()> {
        const MONTHS: &str = "SELECT relname::text, greatest(reltuples, 0)::bigint, \
             coalesce(pg_total_relation_size(pg_class.oid), 0), pg_relation_size(pg_class.oid) \
             FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
             WHERE inhparent = to_regclass($1) ORDER BY relname";
        let rows = self.server.query(MONTHS, &[(&self.names.event, Type::TEXT)])?;
        for row in &rows {
            let name: &str = row.get(0);
            let name = name.rsplit_once('_').map_or(name, |(_, month)| month);
            let number = |place| u64::try_from(row.get::<_, i64>(place)).unwrap_or(0);
            let StoreExamination { bytes, events, months, bytes_of_others, .. } = examination;
            *bytes = bytes.map(|bytes| bytes.saturating_add(number(2)));
            *events = events.map(|events| events.saturating_add(number(1)));
            match months {
                Some(months) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                    months.push(name.to_owned());
                }
                Some(_) | None => *bytes_of_others = number(3),
            }
        }
        Ok(())
    }
}
