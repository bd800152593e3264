//! The file of the reserve: space on the disk that lies ready for a sweep.

use std::fs::File;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::store::sqlite::files::companions::Companion;
use crate::store::sqlite::files::companions::open_or_create;

/// The size of the reserve in bytes: enough for a batch of removals, and more.
pub(crate) const RESERVE_SIZE: u64 = 8 << 20;

/// Makes the reserve of a new log.
pub(in crate::store::sqlite) fn create_reserve(log: &Path) -> io::Result<()> {
    allocate(&open_or_create(log, &Companion::Reserve.path(log))?)
}

/// Reserves the space for the file on the disk. If that fails, the file is left empty.
pub(in crate::store::sqlite) fn allocate(file: &File) -> io::Result<()> {
    if file.metadata()?.blocks().saturating_mul(512) >= RESERVE_SIZE {
        return Ok(());
    }
    let filled = match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, RESERVE_SIZE) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file),
        done => done.map_err(Into::into),
    };
    if filled.is_err() {
        file.set_len(0)?;
    }
    filled
}

/// For file systems that cannot reserve space: bytes that were written have their space.
fn write_zeros(mut file: &File) -> io::Result<()> {
    let piece = vec![0_u8; 1 << 16];
    let mut left = RESERVE_SIZE;
    while left > 0 {
        file.write_all(&piece)?;
        left = left.saturating_sub(piece.len() as u64);
    }
    Ok(())
}
