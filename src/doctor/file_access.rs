//! The owner of a file, and the users who may read or write it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::caller;

/// The owner and the mode of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileAccess {
    pub uid: u32,
    pub user: String,
    pub group: String,
    pub mode: u32,
    pub size: u64,
    pub hard_links: u64,
}

/// The bits of a mode that let others than the owner write or read.
const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;
const GROUP_READ: u32 = 0o040;
/// In a folder with this bit nobody can replace a file of somebody else.
const STICKY: u32 = 0o1000;

impl FileAccess {
    /// Looks at a file, through symbolic links, without opening it.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            uid: metadata.uid(),
            user: caller::user_name(metadata.uid()),
            group: caller::group_name(metadata.gid()),
            mode: metadata.mode() & 0o7777,
            size: metadata.len(),
            hard_links: metadata.nlink(),
        })
    }

    pub(super) fn is_writable_by_others(&self) -> bool {
        self.mode & OTHERS_WRITE != 0 && self.mode & STICKY == 0
    }

    pub(super) fn is_readable_by_others(&self) -> bool {
        self.mode & OTHERS_READ != 0
    }

    pub(super) fn is_readable_by_group(&self) -> bool {
        self.mode & GROUP_READ != 0
    }

    /// Whether a user who is neither the owner nor root may write the file.
    pub(super) fn is_writable_by_group_or_others(&self) -> bool {
        self.is_writable_by_others() || self.mode & GROUP_WRITE != 0 && self.group != "root"
    }

    /// `root:activity 0640, read by root and group activity, written by root`.
    pub(super) fn describe(&self) -> String {
        let users = |group: u32, others: u32| match (self.mode & group, self.mode & others) {
            (_, 1..) => "everybody".to_owned(),
            (0, 0) => format!("{} alone", self.user),
            (1.., 0) => format!("{} and group {}", self.user, self.group),
        };
        let (readers, writers) = (users(GROUP_READ, OTHERS_READ), users(GROUP_WRITE, OTHERS_WRITE));
        let access = match readers == writers {
            true => format!("for {readers}"),
            false => format!("read by {readers}, written by {writers}"),
        };
        format!("{}:{} {:04o}, {access}", self.user, self.group, self.mode)
    }
}
