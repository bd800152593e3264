//! `LOG.reserve`: space on the disk for sweeps, and the lock of the one sweep that is at work.
//!
//! Removing events needs some space first, because it goes through the write-ahead log, and a full
//! disk has none. So some space lies ready. A sweep gives it up when the disk is full, and takes it
//! back when it has freed more.
//!
//! ## Locking
//!
//! The sweep at work holds a lock by `flock` on this file. The file is never removed: otherwise two
//! processes could lock two files under the same name.

use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::Create;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;
use crate::store::sqlite::files::check::with_owner_hint;
use crate::store::sqlite::files::companions::Companion;
use crate::store::sqlite::files::companions::open_existing;
use crate::store::sqlite::files::companions::open_or_create;
use crate::store::sqlite::files::reserve::RESERVE_SIZE;
use crate::store::sqlite::files::reserve::allocate;

/// With less than this left on the disk, a sweep gives the reserve up at its beginning.
const LOW_DISK_SPACE: u64 = 2 * RESERVE_SIZE;

/// Gives the reserve up before the log is open, unless a sweep is at work. Returns whether it did.
fn release_if_unlocked(log: &Path) -> bool {
    let path = Companion::Reserve.path(log);
    open_existing(log, &path).is_ok_and(|file| {
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && SweepLock { file, path }.release_reserve()
    })
}

/// The lock of the sweep that is at work, with the reserve that it may give up.
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

    /// This lock is on another file than [that of exports](super::super::lock): a sweep takes it at
    /// its beginning, and keeps exports out only while it removes events.
    pub(in crate::store) fn try_lock_sweep(&self) -> Result<Option<SweepLock>> {
        let path = Companion::Reserve.path(&self.path);
        let failed = |why: io::Error| {
            let message = format!("cannot lock {}", path.display());
            if why.kind() == io::ErrorKind::PermissionDenied {
                let failure = with_owner_hint(Failure::new(Exit::NoPermission, message), &path);
                return anyhow::Error::new(why).context(failure);
            }
            anyhow::Error::new(why).context(Failure::new(Exit::Io, message))
        };
        let file = open_or_create(&self.path, &path).map_err(failed)?;
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
    /// Gives the reserve up. Returns whether there was one.
    pub(super) fn release_reserve(&mut self) -> bool {
        self.file.metadata().is_ok_and(|file| file.len() > 0) && self.file.set_len(0).is_ok()
    }

    /// Sets the space aside again.
    ///
    /// # Errors
    /// The reason, in one line that names the file.
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
