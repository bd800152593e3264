//! The log as others see it: through SQLite, not through the program.

use std::path::Path;
use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::OpenFlags;

use crate::support::chain;

pub(crate) struct Log {
    path: PathBuf,
    pub(crate) sql: Connection,
}

impl Log {
    /// Opens the log to read, as any other program would.
    #[track_caller]
    pub(crate) fn open(path: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = Connection::open_with_flags(path, flags)
            .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        sql.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
        Self { path: path.to_owned(), sql }
    }

    /// Opens it with the right to write, for tests that lay hands on it.
    #[track_caller]
    pub(crate) fn open_to_write(path: &Path) -> Self {
        let sql = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        sql.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
        Self { path: path.to_owned(), sql }
    }

    /// Another program's database.
    pub(crate) fn create_foreign(path: &Path) -> Self {
        let sql = Connection::open(path).unwrap();
        sql.execute_batch("CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url TEXT)").unwrap();
        Self { path: path.to_owned(), sql }
    }

    #[track_caller]
    pub(crate) fn query_value<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let row = self.sql.query_row(sql, [], |row| row.get(0));
        row.unwrap_or_else(|why| panic!("{}: {sql}: {why}", self.path.display()))
    }

    /// The texts of a query's first column.
    #[track_caller]
    pub(crate) fn query_texts(&self, sql: &str) -> Vec<String> {
        let mut statement = self.sql.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn event_count(&self) -> u64 {
        self.query_value::<i64>("SELECT count(*) FROM event").try_into().unwrap()
    }

    /// The count while others make or write the log: 0 where there is none to read yet.
    pub(crate) fn count_or_zero(path: &Path) -> u64 {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags)
            .and_then(|sql| {
                sql.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0))
            })
            .map_or(0, |count| count.try_into().unwrap())
    }

    /// Checks the file, that ids have no holes, and every link of the chain.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        let integrity = self.query_texts("PRAGMA integrity_check");
        assert_eq!(integrity, ["ok"], "{}", self.path.display());
        let dangling =
            self.query_texts("SELECT \"table\" || ' ' || rowid FROM pragma_foreign_key_check");
        assert!(dangling.is_empty(), "dangling keys: {dangling:?}");
        chain::verify_chain(&self.sql)
            .unwrap_or_else(|why| panic!("{}: {why}", self.path.display()));
    }
}
