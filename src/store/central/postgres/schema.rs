//! The tables of the central store in PostgreSQL, and how those of an older version become these.
//!
//! ## Compatibility
//!
//! `activity central init` upgrades a store, step by step and forward only, in one transaction.
//! [`MIGRATIONS`] is only ever added to: its first entry leads from version 1 to 2.

use std::fmt::Write;

use crate::store::central::TableNames;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// Returns the statements that lead from one version of the tables to the next.
type StoreMigration = fn(&TableNames) -> String;

/// The migrations in their order. Version 1 is the first version, and there is no other yet.
const MIGRATIONS: &[StoreMigration] = &[];

/// The version of the tables, in the comment of the table of logs.
pub(super) const VERSION: i64 = 1 + MIGRATIONS.len() as i64;
pub(super) const VERSION_COMMENT: &str = "activity central store, version ";

/// Returns the statements that make the tables. Times are nanoseconds since 1970, because `timestamptz`
/// has microseconds only. Texts of JSON are `text`: the chain hashes the text, and `jsonb` reorders it.
pub(super) fn create_tables(names: &TableNames) -> String {
    let TableNames { event, origin, gap, swept, version, reader } = names;
    format!(
        "CREATE TABLE {origin} (
  log int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uuid uuid NOT NULL UNIQUE,
  host text NOT NULL,
  -- The newest event of the log at the last run of its mirror, and the time of that run.
  head_id bigint,
  head_hash bytea,
  head_at bigint,
  -- The last event that the store had confirmed then.
  delivered_id bigint NOT NULL DEFAULT 0,
  -- The newest sweep of the log whose ranges are in {gap}.
  sweep bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE {origin} IS '{VERSION_COMMENT}{VERSION}';
-- The ranges of ids that the sweeps of a log have taken, and the hash of the last event of each.
CREATE TABLE {gap} (
  log int NOT NULL,
  first bigint NOT NULL,
  last bigint NOT NULL,
  hash bytea NOT NULL,
  sweep bigint NOT NULL,
  PRIMARY KEY (log, first, last)
);
-- The ranges of ids that `activity central sweep` has dropped with their month.
CREATE TABLE {swept} (
  log int NOT NULL,
  first bigint NOT NULL,
  last bigint NOT NULL,
  hash bytea NOT NULL,
  month text NOT NULL,
  swept_at timestamptz NOT NULL DEFAULT now(),
  swept_by text NOT NULL DEFAULT session_user,
  PRIMARY KEY (log, first)
);
-- The hashes that a log sent later for an event that was here with another one.
CREATE TABLE {version} (
  log int NOT NULL,
  id bigint NOT NULL,
  hash bytea NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (log, id, hash)
);
-- The tenants that a role may read, where rows are secured.
CREATE TABLE {reader} (
  role name NOT NULL,
  tenant text COLLATE \"C\" NOT NULL,
  PRIMARY KEY (role, tenant)
);
CREATE TABLE {event} (
  log int NOT NULL,
  id bigint NOT NULL,
  occurred_at bigint NOT NULL,
  recorded_at bigint NOT NULL,
  -- One of the two.
  event_uuid uuid,
  event_text text COLLATE \"C\",
  tenant text COLLATE \"C\" NOT NULL DEFAULT '',
  -- operator 0, system 1, api 2, cron 3
  source smallint NOT NULL,
  -- info 0, low 1, medium 2, high 3, critical 4
  severity smallint NOT NULL,
  own boolean NOT NULL,
  module text COLLATE \"C\",
  action text COLLATE \"C\" NOT NULL,
  title text,
  description text,
  actor_id text COLLATE \"C\",
  actor_label text,
  impersonator_id text COLLATE \"C\",
  impersonator_label text,
  target_type text COLLATE \"C\",
  target_id text COLLATE \"C\",
  target_label text,
  diff text,
  payload text,
  ip text,
  user_agent text,
  session_id text COLLATE \"C\",
  method text COLLATE \"C\",
  endpoint text COLLATE \"C\",
  status_code smallint,
  recorded_by text NOT NULL,
  seal bytea NOT NULL,
  hash bytea NOT NULL,
  -- The labels and the title, folded, each on a line.
  words text COLLATE \"C\",
  -- Each label, folded, as a number: it may be longer than an index takes.
  actor_key bigint,
  impersonator_key bigint,
  target_key bigint,
  PRIMARY KEY (log, id, occurred_at)
) PARTITION BY RANGE (occurred_at);
-- What no month takes: times of wrong clocks, old imports.
CREATE TABLE {event}_other PARTITION OF {event} DEFAULT;
CREATE INDEX ON {event} (occurred_at, id, log);
CREATE INDEX ON {event} (event_uuid) WHERE event_uuid IS NOT NULL;
CREATE INDEX ON {event} (event_text) WHERE event_text IS NOT NULL;
CREATE INDEX ON {event} (actor_id, occurred_at) WHERE actor_id IS NOT NULL;
CREATE INDEX ON {event} (impersonator_id, occurred_at) WHERE impersonator_id IS NOT NULL;
CREATE INDEX ON {event} (target_id, occurred_at) WHERE target_id IS NOT NULL;
CREATE INDEX ON {event} (actor_key, occurred_at) WHERE actor_key IS NOT NULL;
CREATE INDEX ON {event} (impersonator_key, occurred_at) WHERE impersonator_key IS NOT NULL;
CREATE INDEX ON {event} (target_key, occurred_at) WHERE target_key IS NOT NULL;
CREATE INDEX ON {event} (action, occurred_at);
CREATE INDEX ON {event} (action, occurred_at) WHERE status_code >= 400;"
    )
}

/// Returns the statements that bring tables of an older version to [`VERSION`].
pub(super) fn migrate_tables(names: &TableNames, from: i64) -> String {
    migrate_by(MIGRATIONS, names, from)
}

fn migrate_by(migrations: &[StoreMigration], names: &TableNames, from: i64) -> String {
    let mut sql = String::new();
    for (migration, version) in migrations.iter().zip(1_i64..).filter(|(_, at)| *at >= from) {
        let (origin, next) = (&names.origin, version + 1);
        sql.push_str(&migration(names));
        let _ = writeln!(sql, ";\nCOMMENT ON TABLE {origin} IS '{VERSION_COMMENT}{next}';");
    }
    sql
}

/// Returns the statements that make the two roles, if they are missing, and give them their rights.
pub(super) fn create_roles(names: &TableNames) -> String {
    let TableNames { event, origin, gap, swept, version, reader } = names;
    format!(
        "DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mirror') THEN CREATE ROLE mirror; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reader') THEN CREATE ROLE reader; END IF;
END $$;
-- A mirror adds and compares. Of {origin} it writes its heartbeat.
GRANT INSERT, SELECT ON {event}, {origin}, {gap}, {version} TO mirror;
GRANT UPDATE (host, head_id, head_hash, head_at, delivered_id, sweep) ON {origin} TO mirror;
GRANT SELECT ON {event}, {origin}, {gap}, {swept}, {version}, {reader} TO reader;"
    )
}

/// Returns the statements that show a reader only the tenants that the table of readers gives it.
pub(super) fn secure_rows(names: &TableNames) -> String {
    let TableNames { event, reader, .. } = names;
    format!(
        "ALTER TABLE {event} ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS mirror ON {event};
CREATE POLICY mirror ON {event} TO mirror USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS reader ON {event};
CREATE POLICY reader ON {event} FOR SELECT TO reader
  USING (tenant IN (SELECT tenant FROM {reader} WHERE role = current_user));"
    )
}

/// A month of the table of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Month {
    pub(super) start: Timestamp,
    /// The first time that is not in it.
    pub(super) end: Timestamp,
}

impl Month {
    /// Returns the months in UTC from the one that `first` is in to the one that `last` is in.
    pub(super) fn between(first: Timestamp, last: Timestamp) -> Vec<Self> {
        let starts = Zone::utc().month_starts(first, last);
        starts.windows(2).map(|pair| Self { start: pair[0], end: pair[1] }).collect()
    }

    pub(super) fn contains(&self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// Returns the name of the month: `202611`.
    pub(super) fn name(&self) -> String {
        let date = Zone::utc().format(self.start, TimeFormat::Date);
        date.chars().filter(char::is_ascii_digit).take(6).collect()
    }

    /// Returns the statement that makes the partition: `event_202611`.
    pub(super) fn create(&self, names: &TableNames) -> String {
        let (event, month) = (&names.event, self.name());
        let (start, end) = (self.start.as_nanos(), self.end.as_nanos());
        format!(
            "CREATE TABLE IF NOT EXISTS {event}_{month} PARTITION OF {event} \
             FOR VALUES FROM ({start}) TO ({end})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::central::columns::COLUMNS;

    #[test]
    fn the_table_has_every_column_in_order() {
        let sql = create_tables(&TableNames::parse(None).unwrap());
        let names = sql.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names: Vec<&str> = names.collect();
        let first = names.iter().position(|name| *name == "occurred_at").unwrap();
        let wanted: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        let found: Vec<&str> =
            names[first..].iter().copied().filter(|name| wanted.contains(name)).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn tables_of_an_older_version_go_through_each_step_behind_it() {
        let names = TableNames::parse(Some("audit.event")).unwrap();
        let migrations: [StoreMigration; 3] = [
            |names| format!("ALTER TABLE {} ADD a int", names.event),
            |names| format!("ALTER TABLE {} ADD b int", names.gap),
            |names| format!("ALTER TABLE {} ADD c int", names.event),
        ];
        assert_eq!(
            migrate_by(&migrations, &names, 2),
            "ALTER TABLE audit.gap ADD b int;\n\
             COMMENT ON TABLE audit.origin IS 'activity central store, version 3';\n\
             ALTER TABLE audit.event ADD c int;\n\
             COMMENT ON TABLE audit.origin IS 'activity central store, version 4';\n"
        );
        assert_eq!(migrate_by(&migrations, &names, 4), "");
        assert_eq!(migrate_tables(&names, VERSION), "");
    }

    #[test]
    fn months_are_those_of_utc_without_holes() {
        let time = |text| Timestamp::parse_rfc3339(text).unwrap();
        let months =
            Month::between(time("2026-11-30T23:59:59.999999999Z"), time("2027-02-01T00:00:00Z"));
        assert_eq!(months.len(), 4);
        assert!(months.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(months[0].contains(time("2026-11-01T00:00:00Z")));
        assert!(!months[0].contains(time("2026-12-01T00:00:00Z")));
        let names = TableNames::parse(Some("audit.event")).unwrap();
        assert_eq!(
            months[1].create(&names),
            "CREATE TABLE IF NOT EXISTS audit.event_202612 PARTITION OF audit.event \
             FOR VALUES FROM (1796083200000000000) TO (1798761600000000000)"
        );
    }
}
