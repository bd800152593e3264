//! Makes folders and files, private unless their folder belongs to a group.

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

/// Makes a folder and its parents, and syncs them. They are private, or the group's below a setgid
/// folder.
pub(in crate::store::sqlite) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    make_folder(above)?;
    let shared = is_group_shared(above)?;
    match DirBuilder::new().mode(if shared { 0o770 } else { 0o700 }).create(folder) {
        // Another process is making the same log.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    if shared {
        // The umask must not remove the group's right to write, and the mode must not remove the
        // setgid bit.
        fs::set_permissions(folder, Permissions::from_mode(0o2770))?;
    }
    File::open(above)?.sync_all()
}

/// Whether files in a folder belong to its group.
pub(in crate::store::sqlite) fn is_group_shared(folder: &Path) -> io::Result<bool> {
    Ok(fs::metadata(folder)?.mode() & 0o2000 != 0)
}

/// Makes a new empty file: private, or writable for the group in a setgid folder.
pub(in crate::store::sqlite) fn make_file(path: &Path, shared: bool) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if shared {
        // The umask must not remove the group's right to write.
        file.set_permissions(Permissions::from_mode(0o660))?;
    }
    Ok(file)
}
