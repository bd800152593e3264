//! A program that runs with the log's group, so that callers reach the log by it alone.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::atomic_file::AtomicFile;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::Create;
use crate::store::LocalLog;

pub(super) const PROGRAM_MODE: u32 = 0o2755;
pub(super) const LOG_MODE: u32 = 0o660;
const FOLDER_MODE: u32 = 0o2770;

/// Whether a path has this very program, with the rights of the group.
pub(super) fn is_installed(source: &Path, path: &Path, group: u32) -> bool {
    has_rights(path, PROGRAM_MODE, group)
        && matches!((fs::read(source), fs::read(path)), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// Puts a copy of a program there, or gives the program there its rights. One that was there before is
/// replaced: so a new version is installed.
///
/// # Errors
/// Those of the system.
pub(super) fn install(source: &Path, path: &Path, group: u32) -> io::Result<()> {
    super::make_parents(path, 0o755)?;
    if path.canonicalize().ok() != Some(source.canonicalize()?) {
        let mut copy = AtomicFile::create(path, Some(PROGRAM_MODE))?;
        io::copy(&mut File::open(source)?, &mut copy.file)?;
        copy.persist()?;
    }
    give(path, PROGRAM_MODE, group)
}

/// Whether there is a log that root and the group alone can open, as its folder.
pub(super) fn is_lent_log(path: &Path, group: u32) -> bool {
    let folder = path.parent().is_some_and(|folder| has_rights(folder, FOLDER_MODE, group));
    folder && path.exists() && files_of(path).iter().all(|file| has_rights(file, LOG_MODE, group))
}

/// Makes the log where there is none, and gives it, the files beside it and its folder to the group. Root
/// makes them, so none belongs to a caller.
///
/// # Errors
/// [`Exit::CantCreate`], or as [`LocalLog::open_to_write`].
pub(super) fn lend_log(path: &Path, group: u32) -> Result<()> {
    let failure = |path: &Path| {
        Failure::new(Exit::CantCreate, format!("cannot give {} to the group", path.display()))
    };
    if let Some(folder) = path.parent() {
        give(folder, FOLDER_MODE, group).with_context(|| failure(folder))?;
    }
    drop(LocalLog::open_to_write(path, Create::IfMissing)?);
    for file in files_of(path) {
        give(&file, LOG_MODE, group).with_context(|| failure(&file))?;
    }
    Ok(())
}

/// The regular files of a log: itself, and those beside it that begin with its name.
fn files_of(log: &Path) -> Vec<PathBuf> {
    let entries = log.parent().and_then(|folder| fs::read_dir(folder).ok());
    let name = log.file_name().unwrap_or_default().as_encoded_bytes();
    let files = entries.into_iter().flatten().flatten().filter(|entry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file && entry.file_name().as_encoded_bytes().starts_with(name)
    });
    files.map(|entry| entry.path()).collect()
}

fn has_rights(path: &Path, mode: u32, group: u32) -> bool {
    let fits = |found: Metadata| found.mode() & 0o7777 == mode && found.gid() == group;
    path.symlink_metadata().is_ok_and(fits)
}

/// Gives a file or folder to root and a group. The mode comes last: a change of the owner takes the bit
/// off that lends the group.
fn give(path: &Path, mode: u32, group: u32) -> io::Result<()> {
    let owner = rustix::process::geteuid().is_root().then_some(0);
    std::os::unix::fs::lchown(path, owner, Some(group))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
