//! Copies a stream that must be read twice to a file without a name.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::fs::OFlags;

/// Copies the whole stream to a file in `folder` that nobody else can open and that vanishes when
/// the program ends.
///
/// # Errors
/// Those of reading, and of making and writing the file.
pub(super) fn spool_to_file(stream: &mut dyn Read, folder: &Path) -> io::Result<File> {
    let mut file = create_unnamed(folder)?;
    io::copy(stream, &mut file)?;
    Ok(file)
}

fn create_unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        return Ok(file.into());
    }
    // Not every file system knows files without a name.
    let path = folder.join(format!(".activity-{}", std::process::id()));
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
