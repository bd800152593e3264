//! The companions of a log, which are the files beside it: their names, and how they are opened and
//! made.
//!
//! The folder of a log may be a user's who is not the one that runs the program. So no link is followed
//! that somebody has put in the place of a companion, and a companion is a regular file of the log's owner
//! or of root; in a folder that belongs to a group, also of another member.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
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
    /// The lock between digests of central stores.
    StoreDigestLock,
    /// Space on the disk that a sweep gives up when the disk is full.
    Reserve,
}

impl Companion {
    pub(crate) const ALL: [Self; 5] =
        [Self::WriteAheadLog, Self::SharedMemory, Self::Lock, Self::StoreDigestLock, Self::Reserve];

    fn suffix(self) -> &'static str {
        match self {
            Self::WriteAheadLog => "-wal",
            Self::SharedMemory => "-shm",
            Self::Lock => ".lock",
            Self::StoreDigestLock => ".digest-lock",
            Self::Reserve => ".reserve",
        }
    }

    /// Returns the path of this companion of a log. It is beside the real file, because SQLite
    /// follows links.
    pub(crate) fn path(self, log: &Path) -> PathBuf {
        self.path_beside(&resolve_links(log))
    }

    /// Returns the path of this companion of a log, which is the real file and no link.
    pub(in crate::store::sqlite) fn path_beside(self, real: &Path) -> PathBuf {
        let mut path = real.as_os_str().to_owned();
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

/// Whether the write-ahead log has frames before SQLite opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::sqlite) enum WalState {
    /// It is missing or empty: nobody has written to it, so its name may not be on the disk yet.
    New,
    Written,
}

/// Checks the companions that a log has, before SQLite opens them by name. `log` is the metadata of the
/// log at `path`.
///
/// # Errors
/// The path of the first that may not be used, and the reason.
pub(in crate::store::sqlite) fn check_companions(
    path: &Path,
    log: &Metadata,
) -> Result<WalState, (PathBuf, io::Error)> {
    let real = resolve_links(path);
    let mut wal_state = WalState::New;
    for companion in Companion::ALL {
        let path = companion.path_beside(&real);
        // Who opens it tells what is wrong.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        check_companion(&metadata, log).map_err(|why| (path, why))?;
        if companion == Companion::WriteAheadLog && metadata.len() > 0 {
            wal_state = WalState::Written;
        }
    }
    Ok(wal_state)
}

/// # Errors
/// It is no regular file, or somebody's who has no business with the log.
fn check_companion(companion: &Metadata, log: &Metadata) -> io::Result<()> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    let (owner, log_owner) = (companion.uid(), log.uid());
    // With a second name a file of root's may be any file, which a user has linked here.
    let is_roots = owner == 0 && companion.nlink() < 2;
    // In a folder of a group each member makes companions, with the group of the log.
    let is_group_member = companion.gid() == log.gid() && log.mode() & 0o020 != 0;
    if companion.is_symlink() {
        refuse("it is a symbolic link")
    } else if !companion.is_file() {
        refuse("it is no regular file")
    } else if owner == log_owner || is_roots || is_group_member {
        Ok(())
    } else {
        refuse("it is not of the log's owner")
    }
}

/// Opens a companion that is there, and checks it.
fn open_checked(log: &Path, path: &Path, access: OFlags) -> io::Result<File> {
    // A pipe would be waited for.
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => {
            let why = "it is a symbolic link";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Err(why) => return Err(why.into()),
    };
    check_companion(&file.metadata()?, &fs::metadata(log)?)?;
    Ok(file)
}

/// Makes an empty file beside the log, with the permissions of a log, unless there is one.
pub(in crate::store::sqlite) fn ensure_companion(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    match make::make_file(path, make::is_group_shared(folder)?) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Opens a companion of a log to write it, and makes it if it is missing.
pub(in crate::store::sqlite) fn open_or_create(log: &Path, path: &Path) -> io::Result<File> {
    let open = || open_checked(log, path, OFlags::RDWR);
    open().or_else(|why| match why.kind() {
        io::ErrorKind::NotFound => ensure_companion(path).and_then(|()| open()),
        _ => Err(why),
    })
}

/// Opens a companion of a log to write it, if it is there.
pub(in crate::store::sqlite) fn open_existing(log: &Path, path: &Path) -> io::Result<File> {
    open_checked(log, path, OFlags::RDWR)
}

/// Opens a companion to read it. It was made with the log, so a reader needs no right to write.
/// `None` if somebody removed it and it cannot be made: reading works without it.
pub(in crate::store::sqlite) fn open_if_possible(
    log: &Path,
    path: &Path,
) -> io::Result<Option<File>> {
    let open = || open_checked(log, path, OFlags::RDONLY);
    match open() {
        Ok(file) => return Ok(Some(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    match ensure_companion(path) {
        Ok(()) => open().map(Some),
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
