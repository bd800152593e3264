//! `LOG.lock`: held together by those who read a log in many steps, alone by a sweep.
//!
//! A file of its own, for a second descriptor on the log would drop SQLite's locks when it closes.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use rustix::fs::FlockOperation;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::HeldOff;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::open::beside;

/// How long a sweep that is at work is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

impl Sqlite {
    pub(in crate::store) fn hold_off_sweeps(&self) -> Result<HeldOff> {
        share(&beside(&self.path, ".lock"), PATIENCE)
    }
}

fn share(path: &Path, patience: Duration) -> Result<HeldOff> {
    let failed = |why: io::Error| {
        let what = format!("cannot lock {}", path.display());
        anyhow::Error::new(why).context(Failure::new(Exit::Io, what))
    };
    let Some(file) = open(path).map_err(failed)? else {
        return Ok(HeldOff { _lock: None });
    };
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(HeldOff { _lock: Some(file) }),
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

/// A reader needs no right to write: the file is made with the log, and where it is missing and
/// cannot be made, there is nobody to keep out.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => return Ok(Some(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    let made = OpenOptions::new().read(true).write(true).create(true).mode(0o600).open(path);
    match made {
        Ok(file) => Ok(Some(file)),
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
