//! Where an export goes: standard output, a file that appears whole or not at all, or what is there
//! already and is no regular file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::atomic_file::{AtomicFile, parent_folder};
use crate::failure::{Exit, Failure};
use crate::store::Companion;

/// Where bytes go.
pub(crate) struct Destination {
    kind: DestinationKind,
    /// For messages; absent for standard output.
    name: Option<String>,
}

enum DestinationKind {
    Stdout(Box<dyn Write + Send>),
    /// What is no regular file is written into and never replaced.
    SpecialFile(File),
    AtomicFile(AtomicFile),
}

impl Destination {
    /// Standard output, which writes into `stdout`.
    ///
    /// # Errors
    /// [`Exit::Usage`] where it was redirected into the log.
    pub(crate) fn stdout(stdout: Box<dyn Write + Send>, log: &Path) -> Result<Self> {
        let out = rustix::fs::fstat(io::stdout()).map(|out| (out.st_dev, out.st_ino));
        if out.ok().is_some_and(|out| device_and_inode(log) == Some(out)) {
            return Err(overwrite_failure("standard output", log).into());
        }
        Ok(Self { kind: DestinationKind::Stdout(stdout), name: None })
    }

    /// Makes ready to write a file.
    ///
    /// # Errors
    /// [`Exit::CantCreate`]; [`Exit::Usage`] where that would overwrite the log.
    pub(crate) fn file(path: &Path, log: &Path) -> Result<Self> {
        refuse_log(path, log)?;
        let name = path.display().to_string();
        let to = open(path).map_err(|error| {
            let failure = Failure::new(Exit::CantCreate, format!("cannot create {name}"));
            anyhow::Error::new(error).context(failure)
        })?;
        Ok(Self { kind: to, name: Some(name) })
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.kind {
            DestinationKind::Stdout(stdout) => stdout.write_all(bytes),
            DestinationKind::SpecialFile(file) => file.write_all(bytes),
            DestinationKind::AtomicFile(replacement) => replacement.file.write_all(bytes),
        };
        self.add_context(written)
    }

    /// Brings everything to its place.
    pub(crate) fn finish(mut self) -> Result<()> {
        let finished = match &mut self.kind {
            DestinationKind::Stdout(stdout) => stdout.flush(),
            DestinationKind::SpecialFile(file) => file.flush(),
            DestinationKind::AtomicFile(replacement) => replacement.persist(),
        };
        self.add_context(finished)
    }

    fn add_context(&self, result: io::Result<()>) -> Result<()> {
        match &self.name {
            Some(name) => {
                result.with_context(|| Failure::new(Exit::Io, format!("cannot write {name}")))
            }
            // It says so itself.
            None => Ok(result?),
        }
    }
}

fn open(path: &Path) -> io::Result<DestinationKind> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if there.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a socket"))
        }
        // Through a symbolic link the file is replaced, and the link stays.
        Ok(there) if there.is_file() => {
            AtomicFile::create(&fs::canonicalize(path)?, Some(there.mode()))
                .map(DestinationKind::AtomicFile)
        }
        Ok(_) => OpenOptions::new().write(true).open(path).map(DestinationKind::SpecialFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            AtomicFile::create(path, None).map(DestinationKind::AtomicFile)
        }
        Err(error) => Err(error),
    }
}

/// Refuses a file that is the log, or what its engine keeps beside it, under whatever name.
///
/// # Errors
/// [`Exit::Usage`].
pub(crate) fn refuse_log(path: &Path, log: &Path) -> Result<(), Failure> {
    let log = fs::canonicalize(log).unwrap_or_else(|_| log.to_owned());
    let is_companion =
        Companion::ALL.into_iter().any(|companion| is_same_file(path, &companion.path(&log)));
    if is_companion || is_same_file(path, &log) {
        return Err(overwrite_failure(&path.display().to_string(), &log));
    }
    Ok(())
}

fn overwrite_failure(what: &str, log: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{what}: would overwrite the log {}", log.display()))
}

/// Whether both names lead to one file; where none is there yet, whether both would make the same.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    match (device_and_inode(a), device_and_inode(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => {
            let lies = device_and_inode(parent_folder(a));
            a.file_name() == b.file_name()
                && lies.is_some()
                && lies == device_and_inode(parent_folder(b))
        }
        _ => false,
    }
}

fn device_and_inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|there| (there.dev(), there.ino()))
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
        let mut target = Destination::file(&path, &folder.path().join("log.db")).unwrap();
        target.write_all(b"row").unwrap();
        assert!(!path.exists());
        target.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"row");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn what_breaks_off_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut target = Destination::file(&path, Path::new("log.db")).unwrap();
        target.write_all(b"new").unwrap();
        drop(target);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["out.csv"]);
        Destination::file(&path, Path::new("log.db")).unwrap().finish().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_a_killed_run_left_is_reaped_and_what_a_running_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(folder.path().join(".out.csv.abc234"), "left").unwrap();
        fs::write(folder.path().join(".out.csv.notours"), "kept").unwrap();
        let running = Destination::file(&path, Path::new("log.db")).unwrap();
        let second = Destination::file(&path, Path::new("log.db")).unwrap();
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
        let mut target = Destination::file(&link, Path::new("log.db")).unwrap();
        target.write_all(b"new").unwrap();
        target.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn the_log_is_known_under_every_name() {
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
    fn what_cannot_be_made_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none/out.csv"), "".into()] {
            let Err(error) = Destination::file(&path, Path::new("log.db")) else { panic!("made") };
            let failure = error.downcast_ref::<Failure>().unwrap();
            assert_eq!(failure.exit, Exit::CantCreate, "{}", path.display());
        }
    }
}
