//! A new log before it gets its name, so that no process finds half of a log.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::RenameFlags;

use crate::store::sqlite::files::companions::Companion;

/// Part of the name of every draft.
const DRAFT_INFIX: &str = ".new-";

/// Whether a file name is that of a draft.
pub(in crate::store::sqlite) fn is_draft(name: &OsStr) -> bool {
    name.as_bytes().windows(DRAFT_INFIX.len()).any(|part| part == DRAFT_INFIX.as_bytes())
}

/// A log that no other process knows yet. Unless it is published, it is removed.
pub(in crate::store::sqlite) struct Draft(PathBuf);

impl Draft {
    /// Names a draft of the log at `path`; drafts of other processes have another `number`.
    pub(in crate::store::sqlite) fn new(path: &Path, number: u64) -> Self {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!("{DRAFT_INFIX}{number:016x}"));
        Self(path.with_file_name(name))
    }

    pub(in crate::store::sqlite) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the draft the name of the log, unless there is a log now.
    pub(in crate::store::sqlite) fn publish(&self, path: &Path) -> io::Result<()> {
        let here = rustix::fs::CWD;
        match rustix::fs::renameat_with(here, &self.0, here, path, RenameFlags::NOREPLACE) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            // The file system does not support the flag.
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
        // A published draft has another name now; one that was not published is not needed.
        for companion in Companion::ALL {
            drop(fs::remove_file(companion.path(&self.0)));
        }
        drop(fs::remove_file(&self.0));
    }
}
