//! Makes a new log. It is drafted in full under another name, and then gets its real name in one
//! step.
//!
//! ## Concurrency
//!
//! Whoever finds the log finds all of it. If several processes make it at the same time, one of
//! them wins, and the others use its log.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::params;

use crate::chain;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::dimensions::RandomPool;
use crate::store::sqlite::error;
use crate::store::sqlite::files::check;
use crate::store::sqlite::files::companions;
use crate::store::sqlite::files::companions::Companion;
use crate::store::sqlite::files::draft::Draft;
use crate::store::sqlite::files::make;
use crate::store::sqlite::files::reserve;
use crate::store::sqlite::migrate;

/// Makes a log where there is none. It is no error if another process makes it at the same moment.
pub(super) fn create_log(path: &Path) -> Result<()> {
    let folder = path.parent().ok_or_else(|| check::missing_log(path))?;
    make::make_folder(folder).map_err(|why| {
        io_failure(&format!("cannot make the folder {}", folder.display()), why, folder)
    })?;
    if let Some(system) = check::network_file_system(folder) {
        let message = format!("cannot make the log {}: it would be on {system}", path.display());
        let hint = "put it on a disk of this host; a mirror can take events elsewhere";
        return Err(Failure::new(Exit::CantCreate, message).hint(hint).into());
    }
    if fs::symlink_metadata(path).is_ok_and(|existing| existing.is_symlink()) {
        let message = format!("cannot make the log {}: it is a link to nowhere", path.display());
        return Err(Failure::new(Exit::CantCreate, message).into());
    }
    let random = RandomPool::default().bytes().map_err(|why| error::create_failure(path, &why))?;
    let draft = Draft::new(path, u64::from_ne_bytes(random));
    write_draft(&draft, folder, path)?;
    let failed = |why| io_failure(&format!("cannot make the log {}", path.display()), why, folder);
    draft.publish(path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    // A log works without a reserve, and the next sweep makes one.
    drop(reserve::create_reserve(path));
    Ok(())
}

fn write_draft(draft: &Draft, folder: &Path, path: &Path) -> Result<()> {
    let message = format!("cannot make the log {}", path.display());
    let failed = |why| io_failure(&message, why, folder);
    let shared = make::is_group_shared(folder).map_err(failed)?;
    drop(make::make_file(draft.path(), shared).map_err(failed)?);
    initialize(draft.path()).map_err(|why| error::create_failure(path, &why))?;
    File::open(draft.path()).and_then(|file| file.sync_all()).map_err(failed)?;
    // Made with the log, so that a process that can only read is able to lock it against sweeps.
    companions::ensure_companion(&Companion::Lock.path(path)).map_err(failed)
}

/// Writes the empty log. No other process sees it, so it needs no journal, and one sync at the end.
#[expect(clippy::disallowed_methods, reason = "a log is opened here before it is one")]
fn initialize(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // auto_vacuum: space that a sweep frees returns to the disk. It can only be chosen for a new
    // file.
    connection.execute_batch(
        "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; PRAGMA auto_vacuum=INCREMENTAL; \
         BEGIN;",
    )?;
    connection.execute_batch(migrate::SCHEMA)?;
    let uuid = uuid::Builder::from_random_bytes(RandomPool::default().bytes()?).into_uuid();
    connection.execute("INSERT INTO meta (key, value) VALUES ('uuid', ?1)", [uuid.as_bytes()])?;
    connection.execute(
        "INSERT INTO head (one, id, hash) VALUES (1, 0, ?1)",
        params![chain::genesis_hash(uuid.as_bytes()).0],
    )?;
    connection.pragma_update(None, "application_id", migrate::APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", migrate::SCHEMA_VERSION)?;
    connection.execute_batch("COMMIT;")?;
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    connection.close().map_err(|(_, why)| why)
}

fn io_failure(message: &str, why: io::Error, folder: &Path) -> anyhow::Error {
    let exit = match why.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Io,
        _ => Exit::CantCreate,
    };
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let failure = Failure::new(exit, message);
    let failure = if exit == Exit::NoPermission {
        check::with_owner_hint(failure, existing)
    } else {
        failure
    };
    anyhow::Error::new(why).context(failure)
}
