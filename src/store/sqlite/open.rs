//! Opens a log: checks the file first, then opens a connection, and checks that the file is a log
//! of a version that is known.
//!
//! ## Locking
//!
//! Only SQLite opens the file of the log itself: a second descriptor would drop SQLite's locks when
//! it closes (POSIX). The path is always absolute, so that no name is taken for a URI.

use std::fmt::Write;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use rusqlite::ffi;
use rusqlite::limits::Limit;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::Create;
use crate::store::sqlite::create;
use crate::store::sqlite::engine;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::error::Operation;
use crate::store::sqlite::files::check;
use crate::store::sqlite::files::companions;
use crate::store::sqlite::files::companions::WalState;
use crate::store::sqlite::files::open_files::OpenFiles;
use crate::store::sqlite::functions;
use crate::store::sqlite::migrate;
use crate::store::sqlite::migrate::OpenError;
use crate::store::sqlite::wal;

/// The pragmas of every connection.
///
/// - `cell_size_check`: a damaged page is reported when it is read.
/// - `mmap_size=0`: an I/O error stays an error, where a mapped page would end the process.
/// - `temp_store=MEMORY`: no temporary file in a folder that the environment names.
const COMMON_PRAGMAS: &str =
    "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;";

/// `query_only`: a reader never writes, whatever statement it runs.
const READER_PRAGMAS: &str = "PRAGMA query_only=ON;";

/// The pragmas of a connection that writes.
///
/// - `synchronous=FULL`: a commit is on the disk when it returns. With NORMAL a power cut loses the
///   newest events.
/// - `wal_autocheckpoint=0`: `append` chooses the moment, so that no commit waits for a reader.
/// - `cache_size`: 32 MiB hold most pages that a bulk transaction touches. They are allocated as
///   needed.
const WRITER_PRAGMAS: &str =
    "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-32768;";

impl Sqlite {
    pub(in crate::store) fn open_to_read(path: &Path) -> Result<Self> {
        let path = check::absolute(path)?;
        retry_if_replaced(&path, || Self::try_open_to_read(&path))
    }

    /// Returns `None` if the log was replaced in the meantime.
    fn try_open_to_read(path: &Path) -> Result<Option<Self>> {
        let metadata = check::check_file(path)?.ok_or_else(|| check::missing_log(path))?;
        check::check_companions(path, &metadata)?;
        let mut warnings = Vec::new();
        warnings.extend(check::find_hard_link(path, &metadata).map(check::HardLink::warning));
        warnings.extend(check::network_warning(path));
        let connection = connect_to_read(path)?;
        Ok(OpenFiles::observe(path, &metadata)
            .map(|files| Self::new(connection, path.to_owned(), Some(files), warnings)))
    }

    /// Opens a file that no other process knows, as one that nothing can change: without locks, and
    /// without companions.
    pub(in crate::store) fn open_copy(path: &Path) -> Result<Self> {
        let path = check::absolute(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = try_connect_to_read(&immutable_uri(&path), flags)
            .map_err(|why| why.into_failure(&path, Operation::Read))?;
        Ok(Self::new(connection, path, None, Vec::new()))
    }

    /// Opens one more connection to a log that was opened to read; `None` if that fails, or if the log
    /// was replaced in the meantime.
    pub(super) fn connect_again(&self) -> Option<Connection> {
        let Some(files) = &self.files else {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            return try_connect_to_read(&immutable_uri(&self.path), flags).ok();
        };
        let connection = connect_to_read(&self.path).ok()?;
        (!files.are_replaced()).then_some(connection)
    }

    pub(in crate::store) fn open_to_write(path: &Path, create: Create) -> Result<Self> {
        let path = check::absolute(path)?;
        retry_if_replaced(&path, || Self::try_open_to_write(&path, create))
    }

    /// Returns `None` if the log was replaced in the meantime.
    fn try_open_to_write(path: &Path, create: Create) -> Result<Option<Self>> {
        let metadata = match (check::check_file(path)?, create) {
            (Some(metadata), _) => metadata,
            (None, Create::Never) => return Err(check::missing_log(path).into()),
            (None, Create::IfMissing) => {
                create::create_log(path)?;
                check::check_file(path)?.ok_or_else(|| check::missing_log(path))?
            }
        };
        let wal_state = check::check_companions(path, &metadata)?;
        let mut warnings = Vec::new();
        match check::find_hard_link(path, &metadata) {
            Some(check::HardLink::SameFolder(other)) => {
                return Err(check::hard_link_failure(path, &other).into());
            }
            other => warnings.extend(other.map(check::HardLink::warning)),
        }
        warnings.extend(check::network_warning(path));
        let connection = connect_to_write(path)?;
        if wal_state == WalState::New {
            sync_folder(path)?;
        }
        let Some(files) = OpenFiles::observe(path, &metadata) else {
            return Ok(None);
        };
        // Where it cannot be read, the first transaction says why.
        let head = engine::read_head(&connection).ok();
        let mut log = Self::new(connection, path.to_owned(), Some(files), warnings);
        log.writer.head = head;
        Ok(Some(log))
    }
}

/// Syncs the folder of a log, so that the write-ahead log, which was opened just now, keeps its name when
/// the power fails. SQLite is built without that sync, which it would make in each process that writes.
///
/// It is enough that each writer does so who found the file missing or empty: a file with frames was
/// first written by one of those, after this sync. As with SQLite, a folder that cannot be read or be
/// synced at all is no error.
fn sync_folder(path: &Path) -> Result<()> {
    let real = companions::resolve_links(path);
    let folder = real.parent().unwrap_or(Path::new("/"));
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(why)
            if !matches!(why.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) =>
        {
            let message = format!("cannot sync the folder {}", folder.display());
            Err(anyhow::Error::new(why).context(Failure::new(Exit::Io, message)))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Opens a log, once more if it was replaced while it was opened. In an overlay file system a file is
/// another one as soon as it is opened to write.
fn retry_if_replaced(path: &Path, open: impl Fn() -> Result<Option<Sqlite>>) -> Result<Sqlite> {
    for _ in 0..2 {
        if let Some(log) = open()? {
            return Ok(log);
        }
    }
    let message = format!("the log {} was replaced while it was opened", path.display());
    Err(Failure::new(Exit::TryAgain, message).into())
}

#[expect(clippy::disallowed_methods, reason = "this is where the log is opened")]
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let mut connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // SQLite's defaults must not decide here: they may change from build to build.
    for (setting, on) in [
        // The write-ahead log stays: making a new one would cost each short process two syncs.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true),
        // The bundled SQLite turns them on. A check per column and event would find nothing: only
        // this program makes keys, and a sweep removes events before the rows that they refer to.
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_handler(Some(wal::busy_handler()))?;
    connection.execute_batch(COMMON_PRAGMAS)?;
    functions::register(&connection)?;
    Ok(connection)
}

pub(super) fn connect_to_read(path: &Path) -> Result<Connection> {
    match try_connect_to_read(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Ok(connection) => Ok(connection),
        Err(OpenError::Sqlite(why))
            if cannot_create_companions(&why) && check::is_immutable(path) =>
        {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            try_connect_to_read(&immutable_uri(path), flags)
                .map_err(|why| why.into_failure(path, Operation::Read))
        }
        Err(why) => Err(why.into_failure(path, Operation::Read)),
    }
}

fn try_connect_to_read(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let connection = connect(path, flags)?;
    connection.execute_batch(READER_PRAGMAS)?;
    migrate::identify(path, &connection)?;
    // A writer compares the whole schema. A reader only needs the table of events.
    let events = "SELECT 1 FROM sqlite_schema WHERE name = 'event' AND type = 'table'";
    if !connection.prepare(events)?.exists([])? {
        return Err(OpenError::Failure(error::not_a_log(path)));
    }
    Ok(connection)
}

fn connect_to_write(path: &Path) -> Result<Connection> {
    try_connect_to_write(path).map_err(|why| why.into_failure(path, Operation::Write))
}

fn try_connect_to_write(path: &Path) -> Result<Connection, OpenError> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // If the file is not writable, SQLite opens it to read, and reports that only at the first
    // write.
    if connection.is_readonly("main")? {
        return Err(OpenError::Failure(error::access_failure(path, Operation::Write)));
    }
    connection.execute_batch(WRITER_PRAGMAS)?;
    let version = migrate::identify(path, &connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let message = format!("cannot write the log {}: no write-ahead log here", path.display());
        return Err(OpenError::Failure(Failure::new(Exit::Io, message)));
    }
    if version < migrate::SCHEMA_VERSION {
        migrate::migrate(&mut connection)?;
    }
    migrate::check_schema(path, &connection)?;
    Ok(connection)
}

/// Whether SQLite could not make the companions that a reader of a live log needs.
fn cannot_create_companions(why: &rusqlite::Error) -> bool {
    matches!(why.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
        || why.sqlite_error().map(|error| error.extended_code) == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

/// The only kind of URI that SQLite is ever given.
fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            _ => write!(uri, "%{byte:02X}").expect("a String takes all"),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_into_a_uri_whole() {
        assert_eq!(
            immutable_uri(Path::new("/a b/50%?x#y/ö.db")),
            Path::new("file:///a%20b/50%25%3Fx%23y/%C3%B6.db?immutable=1")
        );
    }
}
