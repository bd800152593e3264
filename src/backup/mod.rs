//! A copy of a log as it was at one moment: complete, verified, and in one file.
//!
//! ## Durability
//!
//! Other processes continue to read and write. Under the name of the copy there is either the whole
//! copy, verified, or the file that was there before.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::atomic_file::AtomicFile;
use crate::atomic_file::resolve_links;
use crate::event::EventId;
use crate::event::Hash;
use crate::export;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::LocalLog;
use crate::text;
use crate::verify;

/// How far the backup is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BackupProgress {
    /// So many bytes of so many are copied.
    Copied {
        bytes: u64,
        of: u64,
    },
    Verified(verify::VerifyProgress),
}

/// The result of a backup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackupSummary {
    pub events: u64,
    pub head: (EventId, Hash),
    pub bytes: u64,
}

impl BackupSummary {
    /// Returns everything as one object; `file` is the name of the copy.
    pub(crate) fn to_json(self, file: &str) -> String {
        let (id, hash) = self.head;
        let object = serde_json::json!({
            "file": file,
            "events": self.events,
            "head": {"id": id.0, "hash": hash.to_string()},
            "bytes": self.bytes,
        });
        let mut escaped = String::new();
        text::json_escape_into(&mut escaped, &object.to_string());
        escaped
    }
}

/// Copies the log at `path` into a file, which gets its name once the copy is verified. A regular
/// file is replaced.
///
/// # Errors
/// [`Exit::Usage`] if that would overwrite the log, [`Exit::CantCreate`], and the errors of the
/// log. [`Exit::Io`] if the copy does not hold, which is the fault of the log.
pub(crate) fn run(
    log: &LocalLog,
    path: &Path,
    file: &Path,
    reached: &mut dyn FnMut(BackupProgress),
) -> Result<BackupSummary> {
    if export::is_stdout(file) {
        let message = "a copy is verified in its file, so it cannot go to standard output";
        return Err(Failure::new(Exit::Usage, message).hint("./- is a file of that name").into());
    }
    export::refuse_log(file, path)?;
    let name = file.display().to_string();
    let mut replacement = resolve_destination(file)
        .and_then(|place| AtomicFile::create_named(&place))
        .map_err(|why| {
            let failure = Failure::new(Exit::CantCreate, format!("cannot create {name}"));
            anyhow::Error::new(why).context(failure)
        })?;
    let temporary = replacement.temporary_path().map(Path::to_owned).unwrap_or_default();
    let mut size = 0;
    log.copy_to(PlatformWork::Backup, &temporary, &name, &mut |bytes, of| {
        size = of;
        reached(BackupProgress::Copied { bytes, of });
    })?;
    let request = verify::VerifyOptions { quick: false, anchors: &[] };
    let report = {
        let copy = LocalLog::open_copy(&temporary)?;
        verify::run(&copy, &request, &mut |at| reached(BackupProgress::Verified(at)))?
    };
    if !report.holds() {
        let message = report.lines().into_iter().next().unwrap_or_default();
        let message = format!("the copy does not hold, so {name} was not written: {message}");
        let hint = "`activity verify` tells all that is wrong with the log";
        return Err(Failure::new(Exit::Io, message).hint(hint).into());
    }
    replacement.persist().map_err(|why| {
        anyhow::Error::new(why).context(Failure::new(Exit::Io, format!("cannot write {name}")))
    })?;
    Ok(BackupSummary { events: report.events, head: report.head, bytes: size })
}

/// Returns the place of the copy: a symbolic link is followed.
fn resolve_destination(file: &Path) -> io::Result<PathBuf> {
    match fs::metadata(file) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
        }
        Ok(_) => fs::canonicalize(file),
        Err(why) if why.kind() == io::ErrorKind::NotFound => resolve_links(file),
        Err(why) => Err(why),
    }
}
