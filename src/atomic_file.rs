//! A file that gets its name when it is complete, so that nobody sees half of it.
//!
//! Until then it is private. The next run removes the files that a killed run has left for the same
//! name.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// The length of the random part of a temporary file's name.
const SUFFIX_LENGTH: usize = 6;

/// The number of symbolic links that Linux follows in one path.
const MAX_LINKS: usize = 40;

/// A file that gets its name when it is complete.
pub(crate) struct AtomicFile {
    pub file: File,
    path: PathBuf,
    mode: Option<u32>,
    /// Its temporary name; `None` if it needs none.
    temporary_path: Option<PathBuf>,
}

impl AtomicFile {
    /// Makes a file in the folder of its later name. It has no name at all, so a run that is killed
    /// leaves nothing. If the file system does not support that, it is as
    /// [`AtomicFile::create_named`].
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn create(path: &Path, mode: Option<u32>) -> io::Result<Self> {
        let prefix = temporary_prefix(path)?;
        remove_leftovers(parent_folder(path), prefix.as_encoded_bytes());
        match open_unnamed(parent_folder(path)) {
            Some(file) => Ok(Self { file, path: path.to_owned(), mode, temporary_path: None }),
            None => Self::create_temporary(path, mode, &prefix),
        }
    }

    /// Makes a file of the name `.NAME.XXXXXX` in the folder of its later name.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn create_named(path: &Path) -> io::Result<Self> {
        let prefix = temporary_prefix(path)?;
        remove_leftovers(parent_folder(path), prefix.as_encoded_bytes());
        Self::create_temporary(path, None, &prefix)
    }

    /// Returns its temporary name, if it needs one.
    pub(crate) fn temporary_path(&self) -> Option<&Path> {
        self.temporary_path.as_deref()
    }

    fn create_temporary(path: &Path, mode: Option<u32>, prefix: &OsStr) -> io::Result<Self> {
        let path = path.to_owned();
        loop {
            let temporary = random_temporary_path(&path, prefix);
            let opened =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
            let file = match opened {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            // The lock distinguishes the file of a running process from one that a killed process
            // left. Another process may have removed the file before it was locked: then a new name
            // is needed.
            let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            if locked.is_ok() && file.metadata()?.nlink() == 0 {
                continue;
            }
            return Ok(Self { file, path, mode, temporary_path: Some(temporary) });
        }
    }

    /// Syncs the file, and gives it its name.
    ///
    /// # Errors
    /// Those of the system; a file that had the name before still has it.
    pub(crate) fn persist(&mut self) -> io::Result<()> {
        if let Some(mode) = self.mode {
            self.file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
        }
        self.file.sync_all()?;
        let temporary = match &self.temporary_path {
            Some(temporary) => temporary,
            None => self.temporary_path.insert(link_temporary(&self.file, &self.path)?),
        };
        fs::rename(temporary, &self.path)?;
        self.temporary_path = None;
        // The name is durable when its folder is synced. Some file systems cannot sync a folder.
        File::open(parent_folder(&self.path)).and_then(|folder| folder.sync_all()).or_else(
            |error| {
                if error.kind() == io::ErrorKind::InvalidInput { Ok(()) } else { Err(error) }
            },
        )
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary_path {
            // The next run to the same name removes what cannot be removed now.
            drop(fs::remove_file(temporary));
        }
    }
}

/// Makes a file without a name, if the file system supports it and `/proc` is there to name it
/// later.
fn open_unnamed(folder: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).ok()?;
    proc_path(&file).exists().then(|| file.into())
}

/// Gives a nameless file its temporary name, because a name that is taken cannot be given in one
/// step.
fn link_temporary(file: &File, path: &Path) -> io::Result<PathBuf> {
    let prefix = temporary_prefix(path)?;
    loop {
        let temporary = random_temporary_path(path, &prefix);
        let linked =
            rustix::fs::linkat(CWD, proc_path(file), CWD, &temporary, AtFlags::SYMLINK_FOLLOW);
        match linked {
            Ok(()) => return Ok(temporary),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn proc_path(file: &impl AsRawFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Returns the beginning of the names of temporary files: `.NAME.`.
fn temporary_prefix(path: &Path) -> io::Result<OsString> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    Ok([OsStr::new("."), name, OsStr::new(".")].into_iter().collect())
}

fn random_temporary_path(path: &Path, prefix: &OsStr) -> PathBuf {
    // A new state is random by itself, whatever is hashed.
    let random = format!("{:016x}", RandomState::new().hash_one(()));
    let mut name = prefix.to_owned();
    name.push(&random[..SUFFIX_LENGTH]);
    parent_folder(path).join(name)
}

/// Removes the files that killed runs to the same name have left.
fn remove_leftovers(folder: &Path, prefix: &[u8]) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let is_ours = name.as_encoded_bytes().strip_prefix(prefix).is_some_and(|suffix| {
            suffix.len() == SUFFIX_LENGTH && suffix.iter().all(u8::is_ascii_alphanumeric)
        });
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        // Whoever owns the folder may have put something else in its place meanwhile.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let is_left = rustix::fs::open(&path, flags, Mode::empty()).is_ok_and(|file| {
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        });
        if is_left {
            // A file that stays takes some space, and harms nothing else.
            drop(fs::remove_file(path));
        }
    }
}

/// Returns the path that a new file gets which is made under `path`: that is where a symbolic link
/// points, even if nothing is there yet.
///
/// # Errors
/// Those of the system; links that point at each other.
pub(crate) fn resolve_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            // An absolute target replaces the folder.
            Ok(target) => path = parent_folder(&path).join(target),
            // It is no link, or nothing is there.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP.into())
}

/// Returns the folder of the file that a path names.
pub(crate) fn parent_folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_system_without_nameless_files_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let mut named = AtomicFile::create_named(&path).unwrap();
        assert_eq!(named.file.metadata().unwrap().mode() & 0o777, 0o600);
        named.file.write_all(b"row").unwrap();
        assert!(!path.exists());
        named.persist().unwrap();
        drop(named);
        assert_eq!((fs::read(&path).unwrap().as_slice(), names()), (&b"row"[..], 1));

        let broken_off = AtomicFile::create_named(&path).unwrap();
        assert_eq!(names(), 2);
        drop(broken_off);
        assert_eq!((fs::read(&path).unwrap().as_slice(), names()), (&b"row"[..], 1));
    }
}
