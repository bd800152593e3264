//! The locks between exports, sweeps, digests and mirrors: `LOG.lock`, `LOG.digest-lock` and
//! `LOG.mirror-NAME`.
//!
//! ## Locking
//!
//! - Readers of many steps, such as exports, share a lock by `flock`. A sweep takes it alone while
//!   it removes events.
//! - The digest that is being made takes a lock by `fcntl`, which never meets those by `flock`:
//!   nobody waits for the mail service of a digest. Digests of central stores lock another file.
//! - Another file, the reserve, has the lock that allows one sweep at a time.
//! - Each mirror has a file, which the run that delivers for it locks by `flock`.
//!
//! The lock has a file of its own, because a second descriptor on the log would drop SQLite's locks
//! when it closes.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use rustix::fs::FlockOperation;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::DigestLock;
use crate::store::DigestSubject;
use crate::store::ExportLock;
use crate::store::mirror::MirrorLock;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::files::companions;
use crate::store::sqlite::files::companions::Companion;
use crate::store::sqlite::files::companions::open_if_possible;
use crate::store::sqlite::files::companions::open_or_create;
use crate::store::sweep::ShouldContinue;

/// How long a reader waits for a sweep that is at work.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

impl Sqlite {
    pub(in crate::store) fn hold_off_sweeps(&self) -> Result<ExportLock> {
        lock_shared(&self.path, LOCK_TIMEOUT)
    }

    pub(in crate::store) fn lock_out_exports(
        &self,
        patience: Duration,
        go_on: ShouldContinue<'_>,
    ) -> Result<Option<ExportLock>> {
        lock_exclusive(&self.path, patience, go_on)
    }

    /// A lock of the process (`fcntl`), not one by `flock`: a digest waits for its mail service,
    /// and exports and sweeps must not wait for that.
    pub(in crate::store) fn try_lock_digest(
        &self,
        subject: DigestSubject,
    ) -> Result<Option<DigestLock>> {
        let companion = match subject {
            DigestSubject::Host => Companion::Lock,
            DigestSubject::Store => Companion::StoreDigestLock,
        };
        let path = companion.path(&self.path);
        let failed = |why| lock_failure(&path, why);
        let file = open_or_create(&self.path, &path).map_err(failed)?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(DigestLock { _lock: file })),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
            Err(why) => Err(failed(why.into())),
        }
    }

    pub(in crate::store) fn try_lock_mirror(&self, name: &str) -> Result<Option<MirrorLock>> {
        let path = mirror_lock_path(&self.path, name);
        let file = open_or_create(&self.path, &path).map_err(|why| lock_failure(&path, why))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(MirrorLock { _lock: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(why) => Err(lock_failure(&path, why.into())),
        }
    }
}

/// Returns the path of the lock of a mirror. Bytes that a file name may not have, or that a shell
/// would read, are written as `%XX`.
fn mirror_lock_path(log: &Path, name: &str) -> PathBuf {
    let mut path = companions::resolve_links(log).into_os_string();
    path.push(".mirror-");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            path.push(char::from(byte).encode_utf8(&mut [0; 4]));
        } else {
            path.push(format!("%{byte:02X}"));
        }
    }
    path.into()
}

/// Keeps those out who [share](lock_shared) the lock; `None` if `go_on` ended the wait.
fn lock_exclusive(
    log: &Path,
    patience: Duration,
    go_on: ShouldContinue<'_>,
) -> Result<Option<ExportLock>> {
    let path = Companion::Lock.path(log);
    let failed = |why| lock_failure(&path, why);
    let file = open_or_create(log, &path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(ExportLock { _lock: Some(file) })),
            Err(rustix::io::Errno::WOULDBLOCK) if !go_on(0) => return Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < patience => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = "an export of the log is at work, and was waited for in vain";
                return Err(Failure::new(Exit::TryAgain, message).into());
            }
            Err(why) => return Err(failed(why.into())),
        }
    }
}

/// Shares the lock; it is not taken where the file is missing and cannot be made.
pub(super) fn lock_shared(log: &Path, patience: Duration) -> Result<ExportLock> {
    let path = Companion::Lock.path(log);
    let failed = |why| lock_failure(&path, why);
    let Some(file) = open_if_possible(log, &path).map_err(failed)? else {
        return Ok(ExportLock { _lock: None });
    };
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(ExportLock { _lock: Some(file) }),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < patience => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Failure::new(Exit::TryAgain, "a sweep is at work on the log").into());
            }
            Err(why) => return Err(failed(why.into())),
        }
    }
}

fn lock_failure(path: &Path, why: io::Error) -> anyhow::Error {
    let exit = match why.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        _ => Exit::Io,
    };
    let message = format!("cannot lock {}", path.display());
    anyhow::Error::new(why).context(Failure::new(exit, message))
}
