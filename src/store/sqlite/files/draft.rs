//! A new log before it has its name, so that nobody finds half of it.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::RenameFlags;

use crate::store::sqlite::files::companions::Companion;

/// Stands in the name of every draft.
const DRAFT_INFIX: &str = ".new-";

/// Whether a name is that of a draft.
pub(in crate::store::sqlite) fn is_draft(name: &OsStr) -> bool {
    name.as_bytes().windows(DRAFT_INFIX.len()).any(|part| part == DRAFT_INFIX.as_bytes())
}

/// A log that nobody knows of yet. What was not published is removed.
pub(in crate::store::sqlite) struct Draft(PathBuf);

impl Draft {
    /// A draft of the log at `path`; `number` tells it from those of other processes.
    pub(in crate::store::sqlite) fn new(path: &Path, number: u64) -> Self {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!("{DRAFT_INFIX}{number:016x}"));
        Self(path.with_file_name(name))
    }

    pub(in crate::store::sqlite) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the draft the log's name, unless there is a log by now.
    pub(in crate::store::sqlite) fn publish(&self, path: &Path) -> io::Result<()> {
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
        for companion in Companion::ALL {
            drop(fs::remove_file(companion.path(&self.0)));
        }
        drop(fs::remove_file(&self.0));
    }
}
