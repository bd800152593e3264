//! Checks the file of a log without opening it: whether it can be a log, its other names, and the
//! file system it is on.

use std::fs;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use rustix::fs::StatVfsMountFlags;

use crate::caller;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::files::companions;
use crate::store::sqlite::files::companions::Companion;
use crate::store::sqlite::files::companions::WalState;
use crate::store::sqlite::files::draft;

/// The smallest shared memory file of a log that is in use.
const MIN_SHM_LENGTH: u64 = 32 << 10;

pub(in crate::store::sqlite) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|why| {
        let message = format!("cannot open the log {}", path.display());
        anyhow::Error::new(why).context(Failure::new(Exit::NoInput, message))
    })
}

pub(in crate::store::sqlite) fn missing_log(path: &Path) -> Failure {
    let message = format!("cannot open the log {}: no such file", path.display());
    Failure::new(Exit::NoInput, message).hint("`activity ingest` makes one")
}

/// Returns the metadata of the file if it can be a log; `None` if there is no file. It does not
/// open the file, because opening a FIFO would wait for ever.
pub(in crate::store::sqlite) fn check_file(path: &Path) -> Result<Option<Metadata>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(why)
            if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("cannot open the log {}: permission denied", path.display());
            let folder = path.ancestors().skip(1).find(|folder| folder.is_dir());
            let failure = Failure::new(Exit::NoPermission, message);
            return Err(with_owner_hint(failure, folder.unwrap_or(path)).into());
        }
        Err(why) => {
            let message = format!("cannot open the log {}", path.display());
            return Err(anyhow::Error::new(why).context(Failure::new(Exit::NoInput, message)));
        }
    };
    let kind = metadata.file_type();
    let other = [
        (kind.is_dir(), "a directory"),
        (kind.is_fifo(), "a pipe"),
        (kind.is_socket(), "a socket"),
        (kind.is_char_device() || kind.is_block_device(), "a device"),
    ];
    if let Some((_, kind)) = other.into_iter().find(|(is, _)| *is) {
        let message = format!("{} is {kind}, not an activity log", path.display());
        return Err(Failure::new(Exit::NoInput, message).into());
    }
    if metadata.len() == 0 {
        let log = path.display();
        let message = format!("the log {log} is empty, refusing to start a new log in its place");
        let hint = "restore a backup, or move the empty file away";
        return Err(Failure::new(Exit::Io, message).hint(hint).into());
    }
    Ok(Some(metadata))
}

/// Checks the companions that a log has, before SQLite opens them.
pub(in crate::store::sqlite) fn check_companions(
    path: &Path,
    metadata: &Metadata,
) -> Result<WalState> {
    companions::check_companions(path, metadata).map_err(|(companion, why)| {
        let message = format!("cannot use {} of the log", companion.display());
        let failure = with_owner_hint(Failure::new(Exit::NoPermission, message), &companion);
        anyhow::Error::new(why).context(failure)
    })
}

/// Another name of the same file. SQLite finds the write-ahead log by name, so two writers that use
/// two names ruin the log without noticing each other.
pub(in crate::store::sqlite) enum HardLink {
    SameFolder(PathBuf),
    Elsewhere(PathBuf),
}

impl HardLink {
    pub(in crate::store::sqlite) fn warning(self) -> String {
        match self {
            Self::SameFolder(other) => {
                format!("the log has another name, {}: keep one of them", other.display())
            }
            Self::Elsewhere(log) => format!(
                "the log {} has another name elsewhere: whoever writes under that one ruins it",
                log.display()
            ),
        }
    }
}

pub(in crate::store::sqlite) fn find_hard_link(
    path: &Path,
    metadata: &Metadata,
) -> Option<HardLink> {
    if metadata.nlink() < 2 {
        return None;
    }
    let real = companions::resolve_links(path);
    let entries = real.parent().and_then(|folder| fs::read_dir(folder).ok())?;
    let other = entries.flatten().find(|entry| {
        entry.ino() == metadata.ino()
            && Some(&*entry.file_name()) != real.file_name()
            && !draft::is_draft(&entry.file_name())
            && entry.metadata().is_ok_and(|other| other.dev() == metadata.dev())
    });
    Some(match other {
        Some(entry) => HardLink::SameFolder(entry.path()),
        None => HardLink::Elsewhere(real),
    })
}

pub(in crate::store::sqlite) fn hard_link_failure(path: &Path, other: &Path) -> Failure {
    let message = format!(
        "cannot write the log {}: it has another name, {}",
        path.display(),
        other.display()
    );
    Failure::new(Exit::CantCreate, message).hint("remove one of the two")
}

pub(in crate::store::sqlite) fn network_warning(path: &Path) -> Option<String> {
    let system = network_file_system(path)?;
    Some(format!("the log {} is on {system}: use it from one host alone", path.display()))
}

/// Returns the name of the network file system that a path is on. Readers and writers of a log
/// share memory, which works on one host only.
pub(in crate::store::sqlite) fn network_file_system(path: &Path) -> Option<&'static str> {
    network_file_system_name(rustix::fs::statfs(path).ok()?.f_type.try_into().ok()?)
}

/// The numbers are those of Linux (`linux/magic.h`, and the sources of the file systems).
fn network_file_system_name(magic: u64) -> Option<&'static str> {
    // On some systems the number is signed and 32 bits wide.
    match magic & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("SMB"),
        0x0102_1997 => Some("9p"),
        0x6573_5546 => Some("FUSE"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x00c3_6400 => Some("Ceph"),
        _ => None,
    }
}

/// Whether nobody can write the log and all of it is in the file itself: the file system is
/// read-only or full, and the write-ahead log is empty. Only then may the log be read without
/// locks.
pub(in crate::store::sqlite) fn is_immutable(path: &Path) -> bool {
    let real = companions::resolve_links(path);
    let length = |companion: Companion| {
        fs::metadata(companion.path_beside(&real)).map_or(0, |metadata| metadata.len())
    };
    let system = rustix::fs::statvfs(path);
    let still = system.is_ok_and(|system| {
        // A process that has the log open has such a file, of this length or more.
        let unused = length(Companion::SharedMemory) < MIN_SHM_LENGTH;
        system.f_flag.contains(StatVfsMountFlags::RDONLY)
            || unused && system.f_bavail.saturating_mul(system.f_frsize) < MIN_SHM_LENGTH
    });
    still && length(Companion::WriteAheadLog) == 0
}

/// Adds a hint that says whose the file is, for a user who may not use it.
pub(in crate::store::sqlite) fn with_owner_hint(failure: Failure, path: &Path) -> Failure {
    let Ok(metadata) = fs::metadata(path) else {
        return failure;
    };
    let user = caller::user_name(metadata.uid());
    let group = caller::group_name(metadata.gid());
    failure.hint(format!("{} is {user}:{group} {:04o}", path.display(), metadata.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_known_by_its_number() {
        assert_eq!(network_file_system_name(0x6969), Some("NFS"));
        assert_eq!(
            network_file_system_name(0xffff_ffff_ff53_4d42),
            Some("SMB"),
            "a sign that was extended"
        );
        assert_eq!(network_file_system_name(0xef53), None, "ext4");
        assert_eq!(network_file_system_name(0x0102_1994), None, "tmpfs");
    }
}
