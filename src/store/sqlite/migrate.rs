//! The schema, and how a log of an older version is brought to it.
//!
//! `schema.sql` is the whole schema as it is now; a new log begins with it. `PRAGMA user_version` is
//! the version of the schema that a log has.
//!
//! ## Compatibility
//!
//! The first writer of a newer version migrates a log, in one transaction that can be killed at any
//! moment. [`MIGRATIONS`] is only ever added to: its first entry leads from version 1 to 2. A
//! migration leaves the exact text of `schema.sql` behind, because writers compare the two.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::Error;
use rusqlite::Row;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;

/// The current schema.
pub(super) const SCHEMA: &str = include_str!("../../../schema.sql");

/// Each migration leads from one version to the next. Version 1 is the first version, and there is
/// no other yet.
const MIGRATIONS: &[&str] = &[];

/// The version of [`SCHEMA`].
pub(super) const SCHEMA_VERSION: i64 = 1 + MIGRATIONS.len() as i64;

/// The SQLite `application_id` of a log: "actv".
pub(super) const APPLICATION_ID: i32 = 0x6163_7476;

/// Brings a log to the current version. It is no error if another process did so in the meantime.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    apply_migrations(MIGRATIONS, connection)
}

fn apply_migrations(migrations: &[&str], connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (migration, from) in migrations.iter().zip(1..).filter(|(_, from)| *from >= version) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", from + 1)?;
    }
    transaction.commit()
}

/// A difference between the schema of a file and [`SCHEMA`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SchemaMismatch {
    /// An object that was added or changed.
    Unexpected { kind: String, name: String },
    /// The number of objects that are missing.
    Missing(usize),
}

/// Stands before each object of [`SCHEMA`], and nowhere else in it.
const STATEMENT_START: &[u8] = b"\nCREATE ";

/// Stands behind each of them, and not within one.
const STATEMENT_END: &[u8] = b";\n";

/// The statements of [`SCHEMA`] that make an object, as SQLite keeps them. They are cut out by the
/// compiler, because each process that records an event compares them.
static STATEMENTS: [&str; STATEMENT_COUNT] = {
    let mut statements = [""; STATEMENT_COUNT];
    let (mut rest, mut number) = (SCHEMA, 0);
    while number < STATEMENT_COUNT {
        let (_, from_start) = rest.split_at(position(rest, STATEMENT_START) + 1);
        (statements[number], rest) = from_start.split_at(position(from_start, STATEMENT_END));
        number += 1;
    }
    statements
};

const STATEMENT_COUNT: usize = {
    let (mut rest, mut count) = (SCHEMA, 0);
    while position(rest, STATEMENT_START) < rest.len() {
        (_, rest) = rest.split_at(position(rest, STATEMENT_START) + 1);
        count += 1;
    }
    count
};

/// Returns the place of `sought` in a text; its length where it is not there.
const fn position(text: &str, sought: &[u8]) -> usize {
    let text = text.as_bytes();
    let (mut at, mut same) = (0, 0);
    while at < text.len() {
        if text[at] == sought[same] {
            same += 1;
            if same == sought.len() {
                return at + 1 - same;
            }
        } else {
            same = (text[at] == sought[0]) as usize;
        }
        at += 1;
    }
    text.len()
}

/// The tables whose UNIQUE constraint SQLite holds with an index of its own, which has no text.
const TABLES_WITH_OWN_INDEX: [&str; 7] =
    ["actor", "target", "action", "title", "agent", "tenant", "recorder"];

/// The tables that `ANALYZE` adds. They only help to choose an index.
const STATISTICS_TABLES: [(&str, &str); 2] = [
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
];

/// A row of `sqlite_schema`.
struct SchemaRow<'a> {
    kind: &'a str,
    name: &'a str,
    table: &'a str,
    /// Empty where SQLite made the object itself.
    sql: &'a str,
}

impl<'a> SchemaRow<'a> {
    const SELECT: &'static str =
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid";

    fn read(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            kind: row.get_ref(0)?.as_str()?,
            name: row.get_ref(1)?.as_str()?,
            table: row.get_ref(2)?.as_str()?,
            sql: row.get_ref(3)?.as_str_or_null()?.unwrap_or(""),
        })
    }

    fn to_mismatch(&self) -> SchemaMismatch {
        SchemaMismatch::Unexpected { kind: self.kind.to_owned(), name: self.name.to_owned() }
    }

    fn is_statistics_table(&self) -> bool {
        self.kind == "table"
            && self.name == self.table
            && STATISTICS_TABLES.contains(&(self.name, self.sql))
    }

    /// Whether SQLite added the row itself, for a constraint of our tables or by `ANALYZE`.
    fn is_made_by_sqlite(&self) -> bool {
        self.is_statistics_table()
            || self.kind == "index"
                && self.sql.is_empty()
                && TABLES_WITH_OWN_INDEX.contains(&self.table)
                && self.name.strip_prefix("sqlite_autoindex_").and_then(|n| n.strip_suffix("_1"))
                    == Some(self.table)
    }

    /// Whether the other columns say what the statement says. A name that begins with `sqlite_` is
    /// one that only a hand in `sqlite_schema` itself can give to an object.
    fn fits_statement(&self) -> bool {
        let mut words =
            self.sql.split_whitespace().skip_while(|w| matches!(*w, "CREATE" | "UNIQUE"));
        let kind = words.next().unwrap_or("");
        let named = kind.eq_ignore_ascii_case(self.kind) && words.next() == Some(self.name);
        let table = match self.kind {
            "index" | "trigger" => words.skip_while(|word| *word != "ON").nth(1),
            _ => Some(self.name),
        };
        named && table == Some(self.table)
    }
}

/// Returns the first difference between the schema of the file and [`SCHEMA`]. Every row of
/// `sqlite_schema` is compared, whatever its name is: each must be one of ours in all its columns,
/// and each of ours must be there once. A trigger, view or index that somebody added can hide events
/// or lose them.
pub(super) fn schema_mismatch(connection: &Connection) -> rusqlite::Result<Option<SchemaMismatch>> {
    let mut statement = connection.prepare(SchemaRow::SELECT)?;
    let mut rows = statement.query([])?;
    let (mut next, mut own_indexes) = (0, 0);
    let mut is_there = [false; STATEMENT_COUNT];
    while let Some(row) = rows.next()? {
        let row = SchemaRow::read(row)?;
        if row.is_made_by_sqlite() {
            own_indexes += usize::from(row.kind == "index");
            continue;
        }
        // A log that this version made has them in our order.
        let found = match STATEMENTS.get(next) {
            Some(expected) if *expected == row.sql => Some(next),
            Some(_) | None => STATEMENTS.iter().position(|ours| *ours == row.sql),
        };
        let found = found.filter(|_| row.fits_statement());
        match found.and_then(|number| Some((number, is_there.get_mut(number)?))) {
            Some((number, is_there @ false)) => {
                *is_there = true;
                next = number + 1;
            }
            Some((_, true)) | None => return Ok(Some(row.to_mismatch())),
        }
    }
    let missing = is_there.iter().filter(|there| !**there).count();
    let missing = missing + TABLES_WITH_OWN_INDEX.len().saturating_sub(own_indexes);
    Ok((missing > 0).then_some(SchemaMismatch::Missing(missing)))
}

/// Returns an object whose name is kept for SQLite's own and that SQLite did not make. Such an
/// object cannot be made by a statement, so a copy of the schema lacks it.
pub(super) fn foreign_internal_object(
    connection: &Connection,
) -> rusqlite::Result<Option<SchemaMismatch>> {
    let mut statement = connection.prepare(SchemaRow::SELECT)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = SchemaRow::read(row)?;
        let internal = row.name.get(..7).is_some_and(|n| n.eq_ignore_ascii_case("sqlite_"));
        if internal && !row.sql.is_empty() && !row.is_statistics_table() {
            return Ok(Some(row.to_mismatch()));
        }
    }
    Ok(None)
}

/// Checks that the file is a log of a known version, and returns the version.
pub(super) fn identify(path: &Path, connection: &Connection) -> Result<i64, OpenError> {
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    if number("PRAGMA application_id")? != i64::from(APPLICATION_ID) {
        return Err(OpenError::Failure(error::not_a_log(path)));
    }
    let version = number("PRAGMA user_version")?;
    if version > SCHEMA_VERSION {
        let message = format!(
            "the log {} was made by a newer activity (schema {version}, this one knows {})",
            path.display(),
            SCHEMA_VERSION
        );
        return Err(OpenError::Failure(Failure::new(Exit::Config, message)));
    }
    if version < 1 {
        return Err(OpenError::Failure(error::not_a_log(path)));
    }
    Ok(version)
}

/// Refuses a log whose schema is not ours.
pub(super) fn check_schema(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let found = match schema_mismatch(connection)? {
        None => return Ok(()),
        Some(SchemaMismatch::Unexpected { kind, name }) => {
            format!("the {kind} {name} is not its own")
        }
        Some(SchemaMismatch::Missing(1)) => {
            "one of its tables, indexes and triggers is missing".to_owned()
        }
        Some(SchemaMismatch::Missing(count)) => {
            format!("{count} of its tables, indexes and triggers are missing")
        }
    };
    let message =
        format!("cannot write the log {}: its schema was changed: {found}", path.display());
    Err(OpenError::Failure(Failure::new(Exit::Io, message)))
}

/// The reason why a log was not opened.
pub(super) enum OpenError {
    Sqlite(Error),
    Failure(Failure),
}

impl From<Error> for OpenError {
    fn from(why: Error) -> Self {
        Self::Sqlite(why)
    }
}

impl OpenError {
    pub(super) fn into_failure(self, path: &Path, doing: Operation) -> anyhow::Error {
        match self {
            Self::Sqlite(why) => error::to_failure(path, doing, &why),
            Self::Failure(failure) => failure.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema_of(connection: &Connection) -> Vec<(String, String, Option<String>)> {
        let mut statement = connection
            .prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    /// A log of the first version, with a row.
    fn log_of_version_1() -> Connection {
        let log = Connection::open_in_memory().unwrap();
        log.execute_batch(SCHEMA).unwrap();
        log.execute_batch("INSERT INTO action (slug, module) VALUES ('a.b', '')").unwrap();
        log.pragma_update(None, "user_version", 1).unwrap();
        log
    }

    /// The first migration begins with the schema of version 1 and ends with `schema.sql`. Keep a
    /// copy of the old schema for this test then.
    #[test]
    fn a_log_of_the_current_version_is_not_migrated() {
        assert_eq!(SCHEMA_VERSION, 1);
        let mut log = log_of_version_1();
        let before = schema_of(&log);
        migrate(&mut log).unwrap();
        assert_eq!(schema_of(&log), before);
        assert_eq!(schema_mismatch(&log).unwrap(), None);
    }

    #[test]
    fn migrations_keep_the_rows_and_lead_to_the_schema_of_a_new_log() {
        let to_2 = "CREATE TABLE note (text TEXT NOT NULL) STRICT";
        let to_3 = "DROP INDEX event_title;\nCREATE INDEX note_text ON note (text)";
        let mut old = log_of_version_1();
        apply_migrations(&[to_2, to_3], &mut old).unwrap();

        let new = Connection::open_in_memory().unwrap();
        new.execute_batch(&format!("{SCHEMA}; {to_2}; {to_3}")).unwrap();
        assert_eq!(schema_of(&old), schema_of(&new));
        let (version, rows): (i64, i64) = old
            .query_row(
                "SELECT user_version, count(*) FROM action, pragma_user_version",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!((version, rows), (3, 1));
    }

    #[test]
    fn a_migration_runs_once_and_whole() {
        let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1)", "SELECT nonsense"];
        let mut log = Connection::open_in_memory().unwrap();
        log.pragma_update(None, "user_version", 1).unwrap();
        apply_migrations(&steps, &mut log).unwrap_err();
        assert_eq!(schema_of(&log), [], "what failed leaves nothing behind");

        apply_migrations(&steps[..1], &mut log).unwrap();
        apply_migrations(&steps[..2], &mut log).unwrap();
        apply_migrations(&steps[..2], &mut log).unwrap();
        let found: (i64, i64) = log
            .query_row("SELECT count(*), user_version FROM a, pragma_user_version", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(found, (1, 3));
    }

    #[test]
    fn a_changed_schema_is_found() {
        let touched = |by: &str| {
            let log = Connection::open_in_memory().unwrap();
            log.execute_batch(SCHEMA).unwrap();
            log.execute_batch(by).unwrap();
            schema_mismatch(&log).unwrap()
        };
        let object = |kind: &str, name: &str| {
            Some(SchemaMismatch::Unexpected { kind: kind.to_owned(), name: name.to_owned() })
        };
        assert_eq!(touched(""), None);
        assert_eq!(touched("ANALYZE"), None);
        assert_eq!(
            touched("CREATE TRIGGER t BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END"),
            object("trigger", "t")
        );
        assert_eq!(touched("CREATE VIEW v AS SELECT 1"), object("view", "v"));
        assert_eq!(
            touched(
                "DROP INDEX event_actor;
                 CREATE INDEX event_actor ON event (actor, occurred_at) WHERE id <> 7;"
            ),
            object("index", "event_actor")
        );
        assert_eq!(touched("DROP TRIGGER event_update"), Some(SchemaMismatch::Missing(1)));
        // By hand in the table of the schema itself.
        let by_hand = |sql: &str| touched(&format!("PRAGMA writable_schema = ON; {sql}"));
        let trigger = "CREATE TRIGGER t BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END;
            UPDATE sqlite_schema SET name = 'sqlite_stat1' WHERE name = 't'";
        assert_eq!(by_hand(trigger), object("trigger", "sqlite_stat1"));
        assert_eq!(
            by_hand("UPDATE sqlite_schema SET name = 'other' WHERE name = 'event_delete'"),
            object("trigger", "other")
        );
        assert_eq!(
            by_hand("UPDATE sqlite_schema SET tbl_name = 'gap' WHERE name = 'event_delete'"),
            object("trigger", "event_delete")
        );
        assert_eq!(
            by_hand(
                "DELETE FROM sqlite_schema WHERE name = 'event_delete';
                 INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'event_update'"
            ),
            object("trigger", "event_update")
        );
        assert_eq!(
            by_hand("DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_actor_1'"),
            Some(SchemaMismatch::Missing(1))
        );
    }
}
