//! `LOG.reserve`: room on the disk that a sweep alone gives up, for to remove events takes some at
//! first; and the lock of the one sweep that is at work.
//!
//! Removing goes through the write-ahead log, which a full disk has no room for. So some lies
//! ready, and is taken back when the sweep has made more. The file itself is never removed: who
//! locks it under this name locks the same as everybody else.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use rustix::fs::FallocateFlags;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::Create;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::lock::open_or_create;
use crate::store::sqlite::open::companion_path;

/// The size of the reserve in bytes: a batch of removals with room to spare.
const RESERVE_SIZE: u64 = 8 << 20;

/// With less than this left on the disk a sweep does not wait until it is full.
const LOW_DISK_SPACE: u64 = 2 * RESERVE_SIZE;

/// Makes the reserve of a new log.
pub(in crate::store::sqlite) fn create_reserve(log: &Path) -> io::Result<()> {
    let path = companion_path(log, ".reserve");
    allocate(&open_or_create(&path)?)
}

/// Gives the file its size on the disk itself. Where that fails it is left empty.
fn allocate(file: &File) -> io::Result<()> {
    if file.metadata()?.blocks().saturating_mul(512) >= RESERVE_SIZE {
        return Ok(());
    }
    let filled = match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, RESERVE_SIZE) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file),
        done => done.map_err(Into::into),
    };
    if filled.is_err() {
        file.set_len(0)?;
    }
    filled
}

/// For file systems that cannot set space aside: what was written has its space.
fn write_zeros(mut file: &File) -> io::Result<()> {
    let piece = vec![0_u8; 1 << 16];
    let mut left = RESERVE_SIZE;
    while left > 0 {
        file.write_all(&piece)?;
        left = left.saturating_sub(piece.len() as u64);
    }
    Ok(())
}

/// Gives the reserve up before a log is open, unless a sweep is at work; tells whether it did.
fn release_if_unlocked(log: &Path) -> bool {
    let path = companion_path(log, ".reserve");
    OpenOptions::new().write(true).open(&path).is_ok_and(|file| {
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && SweepLock { file, path }.release_reserve()
    })
}

/// The one sweep of a log that is at work, while it lives; and the reserve that it may give up.
#[must_use]
#[derive(Debug)]
pub(crate) struct SweepLock {
    file: File,
    path: PathBuf,
}

impl Sqlite {
    pub(in crate::store) fn open_to_sweep(path: &Path) -> Result<Self> {
        match Self::open_to_write(path, Create::Never) {
            Err(why) if error::is_full_disk_failure(&why) && release_if_unlocked(path) => {
                Self::open_to_write(path, Create::Never)
            }
            opened => opened,
        }
    }

    /// The lock is on another file than [that of exports](super::super::lock), for a sweep is the
    /// only one from its beginning, and keeps exports out only while it removes.
    pub(in crate::store) fn try_lock_sweep(&self) -> Result<Option<SweepLock>> {
        let path = companion_path(&self.path, ".reserve");
        let failed = |why: io::Error| {
            let what = format!("cannot lock {}", path.display());
            if why.kind() == io::ErrorKind::PermissionDenied {
                let failure = error::with_owner_hint(Failure::new(Exit::NoPermission, what), &path);
                return anyhow::Error::new(why).context(failure);
            }
            anyhow::Error::new(why).context(Failure::new(Exit::Io, what))
        };
        let file = open_or_create(&path).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(why) => return Err(failed(why.into())),
        }
        let mut sweeping = SweepLock { file, path };
        let system = rustix::fs::statvfs(&self.path);
        if system
            .is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) < LOW_DISK_SPACE)
        {
            sweeping.release_reserve();
        }
        Ok(Some(sweeping))
    }
}

impl SweepLock {
    /// Gives the reserve up; tells whether there was one.
    pub(super) fn release_reserve(&mut self) -> bool {
        self.file.metadata().is_ok_and(|file| file.len() > 0) && self.file.set_len(0).is_ok()
    }

    /// Makes the reserve anew.
    ///
    /// # Errors
    /// Why not, in one line that names it.
    pub(crate) fn restore_reserve(&self) -> std::result::Result<(), String> {
        allocate(&self.file).map_err(|why| {
            let (path, why) = (self.path.display(), failure::os_error_message(&why));
            format!(
                "cannot set {} MiB aside in {path} for the next sweep: {why}",
                RESERVE_SIZE >> 20
            )
        })
    }
}
