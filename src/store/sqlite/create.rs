//! Makes a new log: drafted whole under a name of its own, then given its real name in one step. So
//! whoever finds the log finds all of it, and of several makers at once one wins and the others use
//! what it made.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::params;
use rustix::fs::RenameFlags;

use crate::chain;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::dimensions::RandomPool;
use crate::store::sqlite::error;
use crate::store::sqlite::migrate;
use crate::store::sqlite::open;
use crate::store::sqlite::sweep::reserve;

/// Stands in the name of every draft.
const DRAFT_INFIX: &str = ".new-";

/// Whether a name is that of a draft.
pub(super) fn is_draft(name: &OsStr) -> bool {
    name.as_bytes().windows(DRAFT_INFIX.len()).any(|part| part == DRAFT_INFIX.as_bytes())
}

/// Makes a log where there is none. That another process makes it at the same moment is no error.
pub(super) fn create_log(path: &Path) -> Result<()> {
    let folder = path.parent().ok_or_else(|| error::missing_log(path))?;
    make_folder(folder).map_err(|why| {
        io_failure(&format!("cannot make the folder {}", folder.display()), why, folder)
    })?;
    if let Some(system) = open::network_file_system(folder) {
        let what = format!("cannot make the log {}: it would be on {system}", path.display());
        let hint = "put it on a disk of this host; a mirror can take events elsewhere";
        return Err(Failure::new(Exit::CantCreate, what).hint(hint).into());
    }
    if fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink()) {
        let what = format!("cannot make the log {}: it is a link to nowhere", path.display());
        return Err(Failure::new(Exit::CantCreate, what).into());
    }
    let draft = Draft::new(path);
    draft.write(folder, path)?;
    let failed = |why| io_failure(&format!("cannot make the log {}", path.display()), why, folder);
    draft.publish(path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    // A log without it is a log all the same, and the next sweep makes one.
    drop(reserve::create_reserve(path));
    Ok(())
}

/// Makes a folder and those above it, private but below a setgid one, and makes them last.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    make_folder(above)?;
    let shared = is_group_shared(above)?;
    match DirBuilder::new().mode(if shared { 0o770 } else { 0o700 }).create(folder) {
        // Another process makes the same log.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    if shared {
        // The umask must not take the group's right to write, nor the mode the setgid bit.
        fs::set_permissions(folder, Permissions::from_mode(0o2770))?;
    }
    File::open(above)?.sync_all()
}

/// Whether what is made in a folder is its group's.
fn is_group_shared(folder: &Path) -> io::Result<bool> {
    Ok(fs::metadata(folder)?.mode() & 0o2000 != 0)
}

/// Makes an empty private file that was not there, or one of the group in a setgid folder.
fn make_file(path: &Path, shared: bool) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if shared {
        // The umask must not take the group's right to write.
        file.set_permissions(Permissions::from_mode(0o660))?;
    }
    Ok(file)
}

/// Makes an empty file beside the log, as private as that, unless it is there.
pub(super) fn ensure_companion(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    match make_file(path, is_group_shared(folder)?) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// A log that nobody knows of yet. What was not published is removed.
struct Draft(PathBuf);

impl Draft {
    fn new(path: &Path) -> Self {
        let number = u64::from_ne_bytes(RandomPool::default().bytes());
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!("{DRAFT_INFIX}{number:016x}"));
        Self(path.with_file_name(name))
    }

    fn write(&self, folder: &Path, path: &Path) -> Result<()> {
        let what = format!("cannot make the log {}", path.display());
        let failed = |why| io_failure(&what, why, folder);
        let shared = is_group_shared(folder).map_err(failed)?;
        drop(make_file(&self.0, shared).map_err(failed)?);
        self.initialize().map_err(|why| error::create_failure(path, &why))?;
        File::open(&self.0).and_then(|file| file.sync_all()).map_err(failed)?;
        // Made with the log, so that one who may only read can lock it against sweeps.
        ensure_companion(&open::companion_path(path, ".lock")).map_err(failed)
    }

    /// Writes the empty log. Nobody else sees it, so it needs no journal and one sync at the end.
    #[expect(clippy::disallowed_methods, reason = "a log is opened here before it is one")]
    fn initialize(&self) -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)?;
        // auto_vacuum: what a sweep frees goes back to the disk. It can only be chosen now.
        connection.execute_batch(
            "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; PRAGMA auto_vacuum=INCREMENTAL; \
             BEGIN;",
        )?;
        connection.execute_batch(migrate::SCHEMA)?;
        let uuid = uuid::Builder::from_random_bytes(RandomPool::default().bytes()).into_uuid();
        connection
            .execute("INSERT INTO meta (key, value) VALUES ('uuid', ?1)", [uuid.as_bytes()])?;
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

    /// Gives the draft the log's name, unless there is a log by now.
    fn publish(&self, path: &Path) -> io::Result<()> {
        let here = rustix::fs::CWD;
        match rustix::fs::renameat_with(here, &self.0, here, path, RenameFlags::NOREPLACE) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            // A file system without that flag.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                match fs::hard_link(&self.0, path) {
                    Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    linked => linked,
                }
            }
            Err(why) => Err(why.into()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Published, it has another name by now, or was not needed.
        for ending in ["", "-journal", "-wal", "-shm"] {
            let mut name = self.0.clone().into_os_string();
            name.push(ending);
            drop(fs::remove_file(name));
        }
    }
}

fn io_failure(what: &str, why: io::Error, folder: &Path) -> anyhow::Error {
    let exit = match why.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Io,
        _ => Exit::CantCreate,
    };
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let failure = Failure::new(exit, what);
    let failure =
        if exit == Exit::NoPermission { error::with_owner_hint(failure, there) } else { failure };
    anyhow::Error::new(why).context(failure)
}
