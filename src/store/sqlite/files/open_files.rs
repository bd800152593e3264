//! Tells whether the files of an open log still have its name. An open file stays usable when it is
//! renamed, removed or replaced, but nobody finds by name what is written to it.
//!
//! ## Cost
//! One `stat` each for the log, its write-ahead log and its shared memory.

use std::cell::Cell;
use std::fs;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::store::sqlite::files::companions;
use crate::store::sqlite::files::companions::Companion;

/// The device and the inode of a file.
type DeviceAndInode = (u64, u64);

/// The files of an open log, as they were when it was opened.
pub(in crate::store::sqlite) struct OpenFiles {
    /// The name that the caller gave. It is followed anew each time, because a link can be switched.
    log: PathBuf,
    identity: DeviceAndInode,
    /// The write-ahead log and the shared memory. A process that has a log open keeps SQLite from
    /// removing them; `None` where they were not there.
    companions: [(PathBuf, Option<DeviceAndInode>); 2],
    /// The last known size and modification time of the log itself.
    content: Cell<Option<ContentStamp>>,
}

/// The size of a file, and the time of its last change in seconds and nanoseconds. Only a checkpoint
/// writes to the log itself, so any other change is by somebody who wrote over it.
type ContentStamp = (u64, i64, i64);

impl OpenFiles {
    /// Remembers the files of a log that was opened. `before` was read before that; `None` if the
    /// log was replaced in the meantime.
    pub(in crate::store::sqlite) fn observe(log: &Path, before: &Metadata) -> Option<Self> {
        let real = companions::resolve_links(log);
        let companions = [Companion::WriteAheadLog, Companion::SharedMemory].map(|companion| {
            let path = companion.path_beside(&real);
            let identity = fs::metadata(&path).ok().as_ref().map(file_identity);
            (path, identity)
        });
        let now = fs::metadata(log).ok()?;
        let files = Self {
            log: log.to_owned(),
            identity: file_identity(before),
            companions,
            content: Cell::new(Some(content_stamp(&now))),
        };
        (file_identity(&now) == files.identity).then_some(files)
    }

    /// Whether another file has the name of the log or of a companion, or none has.
    pub(in crate::store::sqlite) fn are_replaced(&self) -> bool {
        let has_moved = |path: &Path, identity| {
            fs::metadata(path).map_or(true, |metadata| file_identity(&metadata) != identity)
        };
        has_moved(&self.log, self.identity)
            || self
                .companions
                .iter()
                .any(|(path, identity)| identity.is_some_and(|known| has_moved(path, known)))
    }

    /// Whether the log itself was written to since the last [`OpenFiles::note_content`]: by a
    /// checkpoint, or by somebody who copied another file over it.
    pub(in crate::store::sqlite) fn is_content_changed(&self) -> bool {
        self.read_content_stamp() != self.content.get()
    }

    /// Takes the log itself as it is now for sound.
    pub(in crate::store::sqlite) fn note_content(&self) {
        self.content.set(self.read_content_stamp());
    }

    fn read_content_stamp(&self) -> Option<ContentStamp> {
        fs::metadata(&self.log).ok().as_ref().map(content_stamp)
    }
}

fn file_identity(metadata: &Metadata) -> DeviceAndInode {
    (metadata.dev(), metadata.ino())
}

fn content_stamp(metadata: &Metadata) -> ContentStamp {
    (metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}
