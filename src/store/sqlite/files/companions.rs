//! The companions of a log, which are the files beside it: their names, and how they are opened and
//! made.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;

use crate::store::sqlite::files::make;
use crate::time::Timestamp;
use crate::time::Zone;

/// A file that belongs to a log and is beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Companion {
    /// The write-ahead log of SQLite: the newest events, until a checkpoint copies them into the
    /// log.
    WriteAheadLog,
    /// The shared memory of SQLite: the index of the write-ahead log, and locks.
    SharedMemory,
    /// The locks between exports, sweeps and digests.
    Lock,
    /// Space on the disk that a sweep gives up when the disk is full.
    Reserve,
}

impl Companion {
    pub(crate) const ALL: [Self; 4] =
        [Self::WriteAheadLog, Self::SharedMemory, Self::Lock, Self::Reserve];

    fn suffix(self) -> &'static str {
        match self {
            Self::WriteAheadLog => "-wal",
            Self::SharedMemory => "-shm",
            Self::Lock => ".lock",
            Self::Reserve => ".reserve",
        }
    }

    /// Returns the path of this companion of a log. It is beside the real file, because SQLite
    /// follows links.
    pub(crate) fn path(self, log: &Path) -> PathBuf {
        let mut path = resolve_links(log).into_os_string();
        path.push(self.suffix());
        path.into()
    }
}

/// Notes that the users of a log were warned on this day, and returns whether they were not yet.
///
/// The note is the time of the `.lock` file, set to the beginning of the day: that needs no space on a
/// full disk and no sync. Where it cannot be set, every run warns.
pub(crate) fn note_first_warning_of_day(log: &Path, now: Timestamp) -> bool {
    let path = Companion::Lock.path(log);
    let day = Zone::utc().start_of_day(now).as_nanos().div_euclid(1_000_000_000);
    let day = Timespec { tv_sec: day, tv_nsec: 0 };
    let is_noted = fs::symlink_metadata(&path)
        .is_ok_and(|data| data.mtime() == day.tv_sec && data.mtime_nsec() == day.tv_nsec);
    if is_noted {
        return false;
    }
    let unchanged = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let times = Timestamps { last_access: unchanged, last_modification: day };
    match rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW) {
        // Without a note the next run warns again.
        Ok(()) | Err(_) => true,
    }
}

/// Returns the path of a log without links; the path as it is where there is no log.
pub(crate) fn resolve_links(log: &Path) -> PathBuf {
    fs::canonicalize(log).unwrap_or_else(|_| log.to_owned())
}

/// Makes an empty file beside the log, with the permissions of a log, unless there is one.
pub(in crate::store::sqlite) fn ensure_companion(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    match make::make_file(path, make::is_group_shared(folder)?) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Opens a companion to write it, and makes it if it is missing.
pub(in crate::store::sqlite) fn open_or_create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).open(path);
    open().or_else(|why| match why.kind() {
        io::ErrorKind::NotFound => ensure_companion(path).and_then(|()| open()),
        _ => Err(why),
    })
}

/// Opens a companion to read it. It was made with the log, so a reader needs no right to write.
/// `None` if somebody removed it and it cannot be made: reading works without it.
pub(in crate::store::sqlite) fn open_if_possible(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => return Ok(Some(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    match ensure_companion(path) {
        Ok(()) => File::open(path).map(Some),
        Err(why)
            if matches!(
                why.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::StorageFull
            ) =>
        {
            Ok(None)
        }
        Err(why) => Err(why),
    }
}
