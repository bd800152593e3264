//! Copies a log as it is at one moment, while others write to it.
//!
//! ## Concurrency
//! A read transaction holds the source at its moment. Without it, each write by others would make the
//! copy begin again, on a busy log for ever. The transaction blocks no writer; only the write-ahead log
//! grows until the copy is done.

use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::backup::Backup;
use rusqlite::backup::StepResult;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::error;

/// The number of pages that are copied between two reports of progress: 8 MiB.
const PAGES_PER_STEP: i32 = 2_048;

impl Sqlite {
    /// Copies the log into an empty file. Messages show the file as `name`.
    pub(in crate::store) fn copy_to(
        &self,
        file: &Path,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let done = self
            .try_copy(file, progress)
            .map_err(|cause| error::copy_failure(&self.path, name, &cause))?;
        if done {
            return Ok(());
        }
        let what = format!("cannot copy the log {}: it is locked", self.path.display());
        Err(Failure::new(Exit::TryAgain, what).into())
    }

    /// Returns `false` if another process holds a lock that should not exist beside a reader.
    #[expect(clippy::disallowed_methods, reason = "a copy is filled here before it is a log")]
    fn try_copy(&self, file: &Path, progress: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<bool> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(file, flags)?;
        // Nobody else sees the copy: a partial one is thrown away, a whole one is synced later.
        copy.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")?;
        let moment = self.connection.unchecked_transaction()?;
        self.connection.query_row("SELECT id FROM head", [], |_| Ok(()))?;
        let size: u32 = self.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let backup = Backup::new(&self.connection, &mut copy)?;
        let done = loop {
            let step = backup.step(PAGES_PER_STEP)?;
            let reached = backup.progress();
            let bytes = |pages: i32| u64::try_from(pages).unwrap_or(0) * u64::from(size);
            progress(bytes(reached.pagecount - reached.remaining), bytes(reached.pagecount));
            match step {
                StepResult::More => {}
                StepResult::Done => break true,
                _ => break false,
            }
        };
        drop(backup);
        drop(moment);
        copy.close().map_err(|(_, cause)| cause)?;
        Ok(done)
    }
}
