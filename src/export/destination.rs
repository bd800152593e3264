//! The destination of an export: standard output, a file that appears in whole or not at all, or an
//! existing special file such as a pipe or a device.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::atomic_file::AtomicFile;
use crate::atomic_file::parent_folder;
use crate::atomic_file::resolve_links;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::FileRights;
use crate::store::Companion;

/// The receiver of the bytes of an export.
pub(crate) struct Destination {
    kind: DestinationKind,
    /// The path, for messages; absent for standard output.
    name: Option<String>,
    /// Whose file it is.
    rights: FileRights,
}

enum DestinationKind {
    Stdout(Box<dyn Write + Send>),
    /// Not a regular file: written to, never replaced.
    SpecialFile(File),
    AtomicFile(AtomicFile),
}

impl Destination {
    /// Returns a destination that writes to `stdout`, which must be standard output.
    ///
    /// # Errors
    /// [`Exit::Usage`] if it is redirected to the log.
    pub(crate) fn stdout(stdout: Box<dyn Write + Send>, log: &Path) -> Result<Self> {
        let file = rustix::fs::fstat(io::stdout()).map(|file| (file.st_dev, file.st_ino));
        if file.ok().is_some_and(|file| device_and_inode(log) == Some(file)) {
            return Err(overwrite_failure("standard output", log).into());
        }
        let rights = FileRights::Program;
        Ok(Self { kind: DestinationKind::Stdout(stdout), name: None, rights })
    }

    /// Prepares to write a file of somebody with these rights.
    ///
    /// # Errors
    /// [`Exit::CantCreate`]; [`Exit::Usage`] if that would overwrite the log.
    pub(crate) fn file(path: &Path, log: &Path, rights: &FileRights) -> Result<Self> {
        refuse_log(path, log)?;
        let assumed = rights.assume()?;
        let name = path.display().to_string();
        let kind = open(path).map_err(|error| {
            let failure = Failure::new(Exit::CantCreate, format!("cannot create {name}"));
            anyhow::Error::new(error).context(failure)
        })?;
        drop(assumed);
        Ok(Self { kind, name: Some(name), rights: rights.clone() })
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.kind {
            DestinationKind::Stdout(stdout) => stdout.write_all(bytes),
            DestinationKind::SpecialFile(file) => file.write_all(bytes),
            DestinationKind::AtomicFile(replacement) => replacement.file.write_all(bytes),
        };
        self.add_context(written)
    }

    /// Flushes all bytes and gives a file its name.
    pub(crate) fn finish(mut self) -> Result<()> {
        let assumed = self.rights.assume()?;
        let finished = match &mut self.kind {
            DestinationKind::Stdout(stdout) => stdout.flush(),
            DestinationKind::SpecialFile(file) => file.flush(),
            DestinationKind::AtomicFile(replacement) => replacement.persist(),
        };
        drop(assumed);
        self.add_context(finished)
    }

    fn add_context(&self, result: io::Result<()>) -> Result<()> {
        match &self.name {
            Some(name) => {
                result.with_context(|| Failure::new(Exit::Io, format!("cannot write {name}")))
            }
            // The error of standard output already says so.
            None => Ok(result?),
        }
    }
}

impl Drop for Destination {
    /// Removes an unfinished file with the rights with which it was made.
    fn drop(&mut self) {
        if let (DestinationKind::AtomicFile(_), Ok(_assumed)) = (&self.kind, self.rights.assume()) {
            self.kind = DestinationKind::Stdout(Box::new(io::sink()));
        }
    }
}

fn open(path: &Path) -> io::Result<DestinationKind> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if metadata.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a socket"))
        }
        // The target of a symbolic link is replaced, and the link stays.
        Ok(metadata) if metadata.is_file() => {
            AtomicFile::create(&fs::canonicalize(path)?, Some(metadata.mode()))
                .map(DestinationKind::AtomicFile)
        }
        Ok(_) => OpenOptions::new().write(true).open(path).map(DestinationKind::SpecialFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            AtomicFile::create(&resolve_links(path)?, None).map(DestinationKind::AtomicFile)
        }
        Err(error) => Err(error),
    }
}

/// Returns whether a path that names an output is `-`, which is standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Refuses a file that is the log or one of the files beside it, under any name.
///
/// # Errors
/// [`Exit::Usage`].
pub(crate) fn refuse_log(path: &Path, log: &Path) -> Result<(), Failure> {
    // The companions stand beside the target of a symbolic link.
    let log = fs::canonicalize(log).unwrap_or_else(|_| log.to_owned());
    let is_companion =
        Companion::ALL.into_iter().any(|companion| is_same_file(path, &companion.path(&log)));
    if is_companion || is_same_file(path, &log) {
        return Err(overwrite_failure(&path.display().to_string(), &log));
    }
    Ok(())
}

fn overwrite_failure(name: &str, log: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{name}: would overwrite the log {}", log.display()))
}

/// Returns whether both paths name the same file; if neither exists, whether both would create the
/// same file.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    match (device_and_inode(a), device_and_inode(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => {
            let (Ok(a), Ok(b)) = (resolve_links(a), resolve_links(b)) else {
                return false;
            };
            let folder = device_and_inode(parent_folder(&a));
            a.file_name() == b.file_name()
                && folder.is_some()
                && folder == device_and_inode(parent_folder(&b))
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn device_and_inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let mut destination =
            Destination::file(&path, &folder.path().join("log.db"), &FileRights::Program).unwrap();
        destination.write_all(b"row").unwrap();
        assert!(!path.exists());
        destination.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"row");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn an_unfinished_export_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut destination =
            Destination::file(&path, Path::new("log.db"), &FileRights::Program).unwrap();
        destination.write_all(b"new").unwrap();
        drop(destination);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["out.csv"]);
        Destination::file(&path, Path::new("log.db"), &FileRights::Program)
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn the_file_of_a_killed_run_is_removed_and_that_of_a_running_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(folder.path().join(".out.csv.abc234"), "left").unwrap();
        fs::write(folder.path().join(".out.csv.notours"), "kept").unwrap();
        let running = Destination::file(&path, Path::new("log.db"), &FileRights::Program).unwrap();
        let second = Destination::file(&path, Path::new("log.db"), &FileRights::Program).unwrap();
        let left = names(folder.path());
        assert!(left.contains(&".out.csv.notours".to_owned()), "{left:?}");
        assert!(!left.contains(&".out.csv.abc234".to_owned()));
        second.finish().unwrap();
        running.finish().unwrap();
        assert_eq!(names(folder.path()), [".out.csv.notours", "out.csv"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.csv");
        let link = folder.path().join("link.csv");
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut destination =
            Destination::file(&link, Path::new("log.db"), &FileRights::Program).unwrap();
        destination.write_all(b"new").unwrap();
        destination.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn the_log_is_recognized_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("activity.db");
        fs::write(&log, "log").unwrap();
        let hard = folder.path().join("hard.csv");
        fs::hard_link(&log, &hard).unwrap();
        let soft = folder.path().join("soft.db");
        std::os::unix::fs::symlink(&log, &soft).unwrap();
        let name = |name: &str| folder.path().join(name);

        for path in [&log, &hard, &soft, &name("activity.db-wal"), &name("./activity.db.lock")] {
            let failure = refuse_log(path, &log).expect_err("it is the log");
            assert_eq!(failure.exit, Exit::Usage, "{}", path.display());
            refuse_log(path, &soft).expect_err("it is the log by its other name");
        }
        refuse_log(&name("activity.csv"), &log).unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"log");
    }

    #[test]
    fn a_file_that_cannot_be_created_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none/out.csv"), "".into()] {
            let Err(error) = Destination::file(&path, Path::new("log.db"), &FileRights::Program)
            else {
                panic!("made")
            };
            let failure = error.downcast_ref::<Failure>().unwrap();
            assert_eq!(failure.exit, Exit::CantCreate, "{}", path.display());
        }
    }
}
