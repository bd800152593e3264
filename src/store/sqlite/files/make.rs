//! Makes folders and files as private as their place asks for.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes a folder and those above it, private but below a setgid one, and makes them last.
pub(in crate::store::sqlite) fn make_folder(folder: &Path) -> io::Result<()> {
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
pub(in crate::store::sqlite) fn is_group_shared(folder: &Path) -> io::Result<bool> {
    Ok(fs::metadata(folder)?.mode() & 0o2000 != 0)
}

/// Makes an empty private file that was not there, or one of the group in a setgid folder.
pub(in crate::store::sqlite) fn make_file(path: &Path, shared: bool) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if shared {
        // The umask must not take the group's right to write.
        file.set_permissions(Permissions::from_mode(0o660))?;
    }
    Ok(file)
}
