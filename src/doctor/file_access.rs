//! Whose a file is, and who else may read or write it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::caller;

/// What a file's owner and mode say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileAccess {
    pub uid: u32,
    pub user: String,
    pub group: String,
    pub mode: u32,
    pub size: u64,
    pub hard_links: u64,
}

/// Who may write a file besides its owner.
const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;
const GROUP_READ: u32 = 0o040;
/// In a folder with this bit nobody can replace what is another's.
const STICKY: u32 = 0o1000;

impl FileAccess {
    /// Looks at what a path leads to, without opening it.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let there = fs::metadata(path).ok()?;
        Some(Self {
            uid: there.uid(),
            user: caller::user_name(there.uid()),
            group: caller::group_name(there.gid()),
            mode: there.mode() & 0o7777,
            size: there.len(),
            hard_links: there.nlink(),
        })
    }

    pub(super) fn is_writable_by_others(&self) -> bool {
        self.mode & OTHERS_WRITE != 0 && self.mode & STICKY == 0
    }

    pub(super) fn is_readable_by_others(&self) -> bool {
        self.mode & OTHERS_READ != 0
    }

    /// Whether somebody writes it who is neither its owner nor root.
    pub(super) fn is_writable_by_group_or_others(&self) -> bool {
        self.is_writable_by_others() || self.mode & GROUP_WRITE != 0 && self.group != "root"
    }

    /// `root:activity 0640, read by root and group activity, written by root`.
    pub(super) fn describe(&self) -> String {
        let who = |group: u32, others: u32| match (self.mode & group, self.mode & others) {
            (_, 1..) => "everybody".to_owned(),
            (0, 0) => format!("{} alone", self.user),
            (1.., 0) => format!("{} and group {}", self.user, self.group),
        };
        let (readers, writers) = (who(GROUP_READ, OTHERS_READ), who(GROUP_WRITE, OTHERS_WRITE));
        let access = match readers == writers {
            true => format!("for {readers}"),
            false => format!("read by {readers}, written by {writers}"),
        };
        format!("{}:{} {:04o}, {access}", self.user, self.group, self.mode)
    }
}
