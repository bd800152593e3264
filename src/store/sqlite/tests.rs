//! Tests of what is specific to SQLite: the file, its schema and its settings.

use std::cell::Cell;
use std::fs;
use std::fs::Permissions;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::params;
use rusqlite::trace::TraceEvent;
use rusqlite::trace::TraceEventCodes;
use tempfile::TempDir;

use crate::chain::ChainBreak;
use crate::chain::Verifier;
use crate::event::EventId;
use crate::event::NewEvent;
use crate::event::field;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::Create;
use crate::store::conformance::STAMP;
use crate::store::conformance::format_value;
use crate::store::conformance::full_event;
use crate::store::conformance::minimal_event;
use crate::store::conformance::some_text;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::layout;
use crate::store::verify::EventOrGap;
use crate::store::verify::InspectedEvent;
use crate::time::Timestamp;

impl Sqlite {
    /// Counts the actors.
    pub(in crate::store) fn actor_count(&self) -> i64 {
        self.connection.query_row("SELECT count(*) FROM actor", [], |row| row.get(0)).unwrap()
    }

    /// Verifies the chain of a log, which must hold.
    pub(in crate::store) fn assert_chain_holds(&self) {
        assert_eq!(self.check_chain(), Ok(()));
    }

    fn check_chain(&self) -> Result<(), ChainBreak> {
        self.inspect(|log| {
            let head = log.head().unwrap();
            let mut walk = Verifier::new(&log.uuid().unwrap());
            let mut result = Ok(());
            let walked = log.walk(EventId(i64::MIN), Some(head.newest_sweep), &mut |step| {
                result = match step {
                    EventOrGap::Event(InspectedEvent { link: sealed, flaw: Some(_), .. }) => {
                        Err(ChainBreak::Altered(sealed.id))
                    }
                    EventOrGap::Event(reading) => walk.verify_event(&reading.link),
                    EventOrGap::Gap(run) | EventOrGap::Removal { run, .. } => {
                        walk.verify_gap(run.first, run.last, run.hash)
                    }
                };
                if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            walked.unwrap();
            Ok(result.and_then(|()| walk.finish(head.id)).and_then(|()| {
                let same = walk.head().1 == head.hash;
                if same { Ok(()) } else { Err(ChainBreak::Altered(head.id)) }
            }))
        })
        .unwrap()
    }
}

fn new_log() -> (TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let log = Sqlite::open_to_write(&folder.path().join("log.db"), Create::IfMissing).unwrap();
    (folder, log)
}

fn append(log: &mut Sqlite, events: &[NewEvent]) {
    let mut batch = log.begin().unwrap();
    for event in events {
        batch.append(event, &STAMP).unwrap();
    }
    batch.commit().unwrap();
}

/// A connection like that of any other program, with SQLite's default settings.
#[expect(clippy::disallowed_methods, reason = "somebody with a sqlite3 prompt")]
fn connect_by_hand(folder: &TempDir) -> Connection {
    let hand = Connection::open(folder.path().join("log.db")).unwrap();
    hand.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    hand
}

fn failure<T>(result: anyhow::Result<T>) -> (Exit, String, Option<String>) {
    let error = result.err().expect("it fails");
    let failure = error.downcast_ref::<Failure>().expect("its class is known");
    (failure.exit, format!("{error:#}"), failure.hint.clone())
}

fn open_to_write_failure(path: &Path) -> (Exit, String) {
    let (exit, what, _) = failure(Sqlite::open_to_write(path, Create::IfMissing));
    (exit, what)
}

fn open_to_read_failure(path: &Path) -> (Exit, String) {
    let (exit, what, _) = failure(Sqlite::open_to_read(path));
    (exit, what)
}

#[test]
fn sqlite_starts_its_wal_over_without_losing_commits() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn sqlite_is_built_as_asked() {
    let (_folder, log) = new_log();
    let mut statement = log.connection.prepare("PRAGMA compile_options").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let options: Vec<_> = rows.collect::<rusqlite::Result<_>>().unwrap();
    for wanted in ["DEFAULT_MEMSTATUS=0", "OMIT_SHARED_CACHE", "DQS=0"] {
        assert!(options.iter().any(|option| option == wanted), "{wanted} in {options:?}");
    }
    for unwanted in ["ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_API_ARMOR"] {
        assert!(!options.iter().any(|option| option == unwanted), "{unwanted} in {options:?}");
    }
}

#[test]
fn a_connection_has_its_settings() {
    let (folder, writer) = new_log();
    let reader = Sqlite::open_to_read(&folder.path().join("log.db")).unwrap();
    let text = |log: &Sqlite, pragma: &str| {
        let sql = format!("PRAGMA {pragma}");
        let value =
            log.connection.query_row(&sql, [], |row| row.get::<_, rusqlite::types::Value>(0));
        format!("{:?}", value.unwrap())
    };
    for (pragma, both) in [
        ("cell_size_check", "Integer(1)"),
        ("mmap_size", "Integer(0)"),
        ("temp_store", "Integer(2)"),
        ("trusted_schema", "Integer(0)"),
        ("foreign_keys", "Integer(0)"),
        ("journal_mode", "Text(\"wal\")"),
        ("auto_vacuum", "Integer(2)"),
        ("application_id", "Integer(1633907830)"),
        ("user_version", "Integer(1)"),
    ] {
        assert_eq!(text(&writer, pragma), both, "{pragma} of a writer");
        assert_eq!(text(&reader, pragma), both, "{pragma} of a reader");
    }
    assert_eq!(text(&writer, "synchronous"), "Integer(2)");
    assert_eq!(text(&writer, "wal_autocheckpoint"), "Integer(0)");
    assert_eq!(text(&reader, "query_only"), "Integer(1)");
    for log in [&writer, &reader] {
        log.connection.execute_batch("ATTACH ':memory:' AS other").unwrap_err();
        log.connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let edit = log.connection.execute("DELETE FROM sqlite_schema", []);
        assert!(edit.is_err(), "defensive");
    }
    reader.connection.execute("DELETE FROM progress", []).unwrap_err();
}

#[test]
fn the_chain_tells_who_was_there() {
    let (folder, mut log) = new_log();
    let other = NewEvent { event_id: some_text("x"), actor_label: some_text("Jo"), ..full_event() };
    append(&mut log, &[full_event(), minimal_event("a.b"), other]);
    append(&mut log, &[minimal_event("c.d")]);
    log.assert_chain_holds();

    let hand = connect_by_hand(&folder);
    let broken_by = |sql: &str| {
        hand.execute_batch("SAVEPOINT before").unwrap();
        hand.execute_batch(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        hand.execute_batch("RELEASE before").unwrap();
        log.check_chain()
    };
    hand.execute_batch(
        "DROP TRIGGER event_update; DROP TRIGGER event_delete; DROP TRIGGER actor_update;",
    )
    .unwrap();
    let id = EventId;
    let cases = [
        ("UPDATE event SET payload = '{\"n\":1.1}' WHERE id = 1", Err(ChainBreak::Altered(id(1)))),
        ("UPDATE event SET payload = '{\"n\":1.10}' WHERE id = 1", Ok(())),
        (
            "UPDATE event SET occurred_at = occurred_at + 1 WHERE id = 2",
            Err(ChainBreak::Altered(id(2))),
        ),
        ("UPDATE event SET occurred_at = occurred_at - 1 WHERE id = 2", Ok(())),
        ("UPDATE event SET own = 1 WHERE id = 4", Err(ChainBreak::Altered(id(4)))),
        ("UPDATE event SET own = 0 WHERE id = 4", Ok(())),
        ("UPDATE actor SET label = 'Joe' WHERE label = 'Jo'", Err(ChainBreak::Altered(id(3)))),
        ("UPDATE actor SET label = 'Jo' WHERE label = 'Joe'", Ok(())),
        ("UPDATE head SET id = 5", Err(ChainBreak::Removed(id(5)))),
        ("UPDATE head SET id = 3", Err(ChainBreak::Inserted(id(4)))),
        ("UPDATE head SET id = 4", Ok(())),
        ("DELETE FROM event WHERE id = 2", Err(ChainBreak::Removed(id(2)))),
    ];
    for (sql, message) in cases {
        assert_eq!(broken_by(sql), message, "{sql}");
    }
}

#[test]
fn nothing_is_changed_by_hand() {
    let (folder, mut log) = new_log();
    append(&mut log, &[full_event(), minimal_event("c.d")]);
    let hand = connect_by_hand(&folder);
    let before = dump(&hand);
    let columns = |table: &str| {
        let sql = format!("SELECT group_concat(name) FROM pragma_table_info('{table}')");
        hand.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let refused = |sql: &str| {
        let why = hand.execute_batch(sql).expect_err(sql);
        assert_eq!(
            why.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{sql}"
        );
    };
    for table in ["actor", "target", "action", "title", "agent", "tenant", "recorder"] {
        let all = columns(table);
        let rest = all.strip_prefix("key,").unwrap();
        refused(&format!("UPDATE {table} SET key = key"));
        refused(&format!("DELETE FROM {table}"));
        refused(&format!("INSERT OR REPLACE INTO {table} ({all}) SELECT {all} FROM {table}"));
        refused(&format!("INSERT OR REPLACE INTO {table} ({rest}) SELECT {rest} FROM {table}"));
        refused(&format!("REPLACE INTO {table} ({all}) SELECT key + 100, {rest} FROM {table}"));
    }
    let all = columns("event");
    let rest = all.strip_prefix("id,").unwrap();
    let other = rest.replacen("event_id", "'another'", 1);
    for sql in [
        "UPDATE event SET title = NULL",
        "UPDATE OR REPLACE event SET id = 2 WHERE id = 1",
        "DELETE FROM event WHERE id = 2",
        "DELETE FROM event",
        &format!("INSERT OR REPLACE INTO event ({all}) SELECT {all} FROM event WHERE id = 2"),
        &format!("INSERT OR REPLACE INTO event ({all}) SELECT 3, {rest} FROM event WHERE id = 2"),
        &format!("INSERT OR REPLACE INTO event ({all}) SELECT 2, {other} FROM event WHERE id = 1"),
        &format!("INSERT INTO event ({all}) SELECT 4, {other} FROM event WHERE id = 1"),
        &format!("INSERT INTO event ({all}) SELECT 0, {other} FROM event WHERE id = 1"),
        &format!("INSERT INTO event ({rest}) SELECT {rest} FROM event WHERE id = 1"),
    ] {
        refused(sql);
    }
    assert_eq!(dump(&hand), before);
    log.assert_chain_holds();
}

/// Every row of the tables that hold events.
fn dump(hand: &Connection) -> Vec<String> {
    let tables =
        ["event", "actor", "target", "action", "title", "agent", "tenant", "recorder", "head"];
    let mut rows = Vec::new();
    for table in tables {
        let mut statement = hand.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let count = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..count)
                .map(|n| Ok(format!("{:?}", row.get_ref(n)?)))
                .collect::<rusqlite::Result<_>>()
        };
        let table_rows = statement.query_map([], row).unwrap();
        rows.extend(
            table_rows
                .map(|values: rusqlite::Result<Vec<_>>| format!("{table} {:?}", values.unwrap())),
        );
    }
    rows
}

#[test]
fn the_view_shows_each_field_as_it_is() {
    let (folder, mut log) = new_log();
    let at = |nanos| NewEvent {
        occurred_at: Some(Timestamp::from_nanos(nanos)),
        ..minimal_event("a.b")
    };
    let nanos =
        [0, -1, 1, -1_000_000_000, -1_000_000_001, 999_999_999, 100_000_000, i64::MIN, i64::MAX];
    let mut events = vec![full_event(), NewEvent { event_id: some_text("evt'1"), ..full_event() }];
    events.extend(nanos.map(at));
    append(&mut log, &events);
    let hand = connect_by_hand(&folder);
    let named: Vec<String> = {
        let statement = hand.prepare("SELECT * FROM events").unwrap();
        statement.column_names().map(str::to_owned).collect()
    };
    let fields: Vec<_> = field::FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(named, fields);
    for number in 1..=events.len() {
        let event = log.event(EventId(i64::try_from(number).unwrap())).unwrap().unwrap();
        for field in &field::FIELDS {
            let sql = format!("SELECT CAST({} AS TEXT) FROM events WHERE id = ?1", field.name);
            let seen: Option<String> =
                hand.query_row(&sql, [event.id.0], |row| row.get(0)).unwrap();
            assert_eq!(
                seen,
                (field.get)(&event).map(format_value),
                "{} of {}",
                field.name,
                event.id
            );
        }
    }
}

#[test]
fn one_of_many_makers_makes_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/log.db");
    thread::scope(|scope| {
        for n in 0..24 {
            let path = &path;
            scope.spawn(move || {
                let mut log = Sqlite::open_to_write(path, Create::IfMissing).unwrap();
                append(&mut log, &[minimal_event(&format!("a.{n}"))]);
            });
        }
    });
    let log = Sqlite::open_to_read(&path).unwrap();
    assert_eq!(log.head().unwrap().0, EventId(24));
    log.assert_chain_holds();
    let mut left: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort_unstable();
    let wanted = ["log.db", "log.db-shm", "log.db-wal", "log.db.lock", "log.db.reserve"];
    assert_eq!(left, wanted, "no draft is left");
}

#[test]
fn what_is_made_is_private_but_in_a_shared_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    for (name, above, below, file) in
        [("own", 0o700, 0o700, 0o600), ("shared", 0o2770, 0o2770, 0o660)]
    {
        let top = folder.path().join(name);
        fs::create_dir(&top).unwrap();
        fs::set_permissions(&top, Permissions::from_mode(above)).unwrap();
        let path = top.join("new/log.db");
        let mut log = Sqlite::open_to_write(&path, Create::IfMissing).unwrap();
        append(&mut log, &[minimal_event("a.b")]);
        assert_eq!(mode(path.parent().unwrap()), below, "{name}");
        for ending in ["", "-wal", "-shm", ".lock", ".reserve"] {
            let path = path.with_file_name(format!("log.db{ending}"));
            assert_eq!(mode(&path), file, "{}", path.display());
        }
    }
}

#[test]
fn what_is_no_log_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let no_log = Exit::NoInput;

    let (exit, what, hint) = failure(Sqlite::open_to_read(&path("none")));
    assert_eq!((exit, hint.as_deref()), (no_log, Some("`activity ingest` makes one")));
    assert_eq!(what, format!("cannot open the log {}: no such file", path("none").display()));
    let (exit, ..) = failure(Sqlite::open_to_write(&path("none"), Create::Never));
    assert_eq!(exit, no_log);

    let fifo = path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    for (path, kind) in [
        (folder.path(), "a directory"),
        (&fifo, "a pipe"),
        (&path("socket"), "a socket"),
        (Path::new("/dev/null"), "a device"),
    ] {
        let refusal = (no_log, format!("{} is {kind}, not an activity log", path.display()));
        assert_eq!(open_to_read_failure(path), refusal);
        assert_eq!(open_to_write_failure(path), refusal);
    }

    fs::write(path("empty"), "").unwrap();
    let refusal = (
        Exit::Io,
        format!(
            "the log {} is empty, refusing to start a new log in its place",
            path("empty").display()
        ),
    );
    assert_eq!(open_to_read_failure(&path("empty")), refusal);
    assert_eq!(open_to_write_failure(&path("empty")), refusal);

    fs::write(path("text"), "who did what\n".repeat(1000)).unwrap();
    create_foreign_database(&path("other"), "CREATE TABLE event (id)");
    create_foreign_database(
        &path("view"),
        "CREATE TABLE a (x); CREATE VIEW event AS SELECT x FROM a; PRAGMA application_id = 0x61637476; PRAGMA user_version = 1;",
    );
    for name in ["text", "other"] {
        let refusal = (no_log, format!("{} is not an activity log", path(name).display()));
        assert_eq!(open_to_read_failure(&path(name)), refusal);
        assert_eq!(open_to_write_failure(&path(name)), refusal);
    }
    let refusal = (no_log, format!("{} is not an activity log", path("view").display()));
    assert_eq!(open_to_read_failure(&path("view")), refusal);
    assert_eq!(open_to_write_failure(&path("view")).0, Exit::Io, "its schema is not ours");
}

/// Makes a database that is no log.
#[expect(clippy::disallowed_methods, reason = "it is no log")]
fn create_foreign_database(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_newer_log_is_left_alone() {
    let (folder, log) = new_log();
    drop(log);
    connect_by_hand(&folder).execute_batch("PRAGMA user_version = 9").unwrap();
    let path = folder.path().join("log.db");
    let what = format!(
        "the log {} was made by a newer activity (schema 9, this one knows 1)",
        path.display()
    );
    assert_eq!(open_to_read_failure(&path), (Exit::Config, what.clone()));
    assert_eq!(open_to_write_failure(&path), (Exit::Config, what));
}

#[test]
fn a_log_that_becomes_newer_is_not_written_on() {
    let (folder, mut log) = new_log();
    append(&mut log, &[minimal_event("a.b")]);
    connect_by_hand(&folder).execute_batch("PRAGMA user_version = 9").unwrap();
    assert_eq!(failure(log.begin()).0, Exit::Config);
}

#[test]
fn a_trigger_that_somebody_planted_is_named() {
    let (folder, mut log) = new_log();
    let planted = "CREATE TRIGGER quiet BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END";
    append(&mut log, &[minimal_event("a.b")]);
    connect_by_hand(&folder).execute_batch(planted).unwrap();
    let path = folder.path().join("log.db");
    let what = format!(
        "cannot write the log {}: its schema was changed: the trigger quiet is not its own",
        path.display()
    );
    assert_eq!(open_to_write_failure(&path), (Exit::Io, what.clone()));
    let (exit, message, _) = failure(log.begin());
    assert_eq!((exit, message), (Exit::Io, what), "by one who has it open, too");
    assert!(Sqlite::open_to_read(&path).is_ok(), "a reader reads");
}

#[test]
fn an_insert_that_was_swallowed_is_no_duplicate() {
    let (_folder, mut log) = new_log();
    // The trigger is planted after the check, on the connection that writes.
    append(&mut log, &[minimal_event("a.b")]);
    let event = NewEvent { event_id: some_text("e"), ..minimal_event("a.b") };
    for action in ["IGNORE", "ABORT, 'no'"] {
        let mut batch = log.begin().unwrap();
        let planted = format!(
            "CREATE TEMP TRIGGER quiet BEFORE INSERT ON main.event BEGIN SELECT RAISE({action}); END"
        );
        batch.connection().execute_batch(&planted).unwrap();
        let (exit, ..) = failure(batch.append(&event, &STAMP));
        assert_eq!(exit, Exit::Io, "{action}");
        failure(batch.append(&event, &STAMP));
        failure(batch.commit());
    }
    assert_eq!(log.head().unwrap().0, EventId(1));
    append(&mut log, &[event]);
    log.assert_chain_holds();
}

#[test]
fn a_second_name_of_the_log_is_refused_where_it_is_seen() {
    let (folder, log) = new_log();
    drop(log);
    let path = folder.path().join("log.db");
    let elsewhere = tempfile::tempdir_in(folder.path()).unwrap();
    let backup = elsewhere.path().join("backup.db");
    fs::hard_link(&path, &backup).unwrap();
    let log = Sqlite::open_to_write(&path, Create::Never).unwrap();
    assert_eq!(log.warnings().len(), 1);
    fs::hard_link(&path, folder.path().join("other.db")).unwrap();
    let (exit, what) = open_to_write_failure(&path);
    assert_eq!(exit, Exit::CantCreate);
    assert!(what.ends_with(&format!("other name, {}", folder.path().join("other.db").display())));
    assert_eq!(Sqlite::open_to_read(&path).unwrap().warnings().len(), 1);

    let link = elsewhere.path().join("link.db");
    fs::remove_file(folder.path().join("other.db")).unwrap();
    fs::remove_file(&backup).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut log = Sqlite::open_to_write(&link, Create::Never).unwrap();
    append(&mut log, &[minimal_event("a.b")]);
    assert_eq!(log.warnings(), [""; 0], "a symbolic link leads to one name");
    assert!(!elsewhere.path().join("link.db-wal").exists());
}

#[test]
fn a_name_is_never_a_uri() {
    let folder = tempfile::tempdir().unwrap();
    let name = "file:x?vfs=unix-none&mode=memory";
    let path = folder.path().join(name);
    let mut log = Sqlite::open_to_write(&path, Create::IfMissing).unwrap();
    append(&mut log, &[minimal_event("a.b")]);
    assert!(path.is_file());
    assert_eq!(Sqlite::open_to_read(&path).unwrap().head().unwrap().0, EventId(1));
}

#[test]
fn a_log_that_is_locked_is_told() {
    let (folder, mut log) = new_log();
    let hand = connect_by_hand(&folder);
    hand.execute_batch("BEGIN IMMEDIATE").unwrap();
    log.connection.busy_timeout(Duration::ZERO).unwrap();
    let (exit, what, _) = failure(log.begin());
    assert_eq!(exit, Exit::TryAgain);
    assert_eq!(what, format!("the log {} is locked", folder.path().join("log.db").display()));
    assert_eq!(log.head().unwrap().0, EventId(0), "a reader does not wait");
    hand.execute_batch("COMMIT").unwrap();
    append(&mut log, &[minimal_event("a.b")]);
}

#[test]
fn damage_is_told_and_never_a_shorter_list() {
    let (folder, mut log) = new_log();
    append(&mut log, &[full_event(), minimal_event("c.d")]);
    let hand = connect_by_hand(&folder);
    hand.execute_batch("DROP TRIGGER actor_delete; DELETE FROM actor WHERE label = 'Jerome Cruz'")
        .unwrap();
    let (exit, what, _) = failure(log.event(EventId(1)));
    assert_eq!(exit, Exit::Io);
    assert!(what.contains("is damaged: event 1 refers to a row that is not there"), "{what}");
    hand.execute_batch("DROP TRIGGER event_update; UPDATE event SET hash = x'00' WHERE id = 2;")
        .unwrap();
    assert_eq!(failure(log.event(EventId(2))).0, Exit::Io);
}

#[test]
fn one_who_reads_long_keeps_sweeps_out() {
    let (folder, log) = new_log();
    let reader = Sqlite::open_to_read(&folder.path().join("log.db")).unwrap();
    let lock = fs::File::open(folder.path().join("log.db.lock")).unwrap();
    let sweep =
        || rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    let (one, two) = (log.hold_off_sweeps().unwrap(), reader.hold_off_sweeps().unwrap());
    drop(one);
    assert!(!sweep());
    drop(two);
    assert!(sweep());
    let busy = super::lock::lock_shared(&folder.path().join("log.db"), Duration::ZERO);
    assert_eq!(failure(busy).0, Exit::TryAgain);
}

#[test]
fn the_write_ahead_log_stays_small() {
    let (folder, log) = new_log();
    drop(log);
    let path = folder.path().join("log.db");
    let wal = folder.path().join("log.db-wal");
    let mut longest = 0;
    for n in 0..100 {
        let mut log = Sqlite::open_to_write(&path, Create::Never).unwrap();
        append(
            &mut log,
            &[NewEvent { event_id: None, title: some_text(&n.to_string()), ..full_event() }],
        );
        drop(log);
        longest = longest.max(fs::metadata(&wal).unwrap().len());
    }
    assert!(longest < 100 * 4096, "{longest}");
    assert!(longest > 0, "it is kept");

    let mut log = Sqlite::open_to_write(&path, Create::Never).unwrap();
    let many: Vec<_> = (0..2_000).map(|n| minimal_event(&format!("a.{n}"))).collect();
    append(&mut log, &many);
    drop(log);
    assert_eq!(fs::metadata(&wal).unwrap().len(), 0, "cut after a long run");
}

thread_local! {
    static READ_COUNT: Cell<usize> = const { Cell::new(0) };
}

#[expect(clippy::needless_pass_by_value, reason = "SQLite's trace hands it over so")]
fn count_reads(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(_, sql) = event
        && sql.starts_with("SELECT")
    {
        READ_COUNT.set(READ_COUNT.get() + 1);
    }
}

#[test]
fn a_page_asks_each_dimension_once() {
    let (folder, mut log) = new_log();
    let event = |n: i32| {
        let n = some_text(&n.to_string());
        let event =
            NewEvent { event_id: n.clone(), actor_id: n.clone(), title: n.clone(), ..full_event() };
        NewEvent { target_id: n.clone(), user_agent: n.clone(), tenant: n, ..event }
    };
    append(&mut log, &(0..50).map(event).collect::<Vec<_>>());
    let mut reader = Sqlite::open_to_read(&folder.path().join("log.db")).unwrap();
    let statements = TraceEventCodes::SQLITE_TRACE_STMT;
    reader.connection.trace_v2(statements, Some(count_reads)).unwrap();
    let page = concat!(
        "SELECT ",
        layout::columns!(),
        " FROM event ORDER BY occurred_at DESC, id DESC LIMIT ?1"
    );
    assert_eq!(reader.select_events(page, params![50]).unwrap().len(), 50);
    assert_eq!(READ_COUNT.take(), 1 + 7, "the events and seven tables");
    assert_eq!(reader.select_events(page, params![50]).unwrap().len(), 50);
    assert_eq!(READ_COUNT.take(), 1, "what is known is not asked again");
    append(&mut log, &[event(50)]);
    assert_eq!(reader.select_events(page, params![50]).unwrap().len(), 50);
    assert_eq!(READ_COUNT.take(), 1 + 7, "until somebody writes");
}
