//! Copies a log as it is at one moment, beside those who write it.
//!
//! The read transaction that is open meanwhile keeps the source at its moment: no write by others makes
//! the copy begin again, as it would between two steps without one, and on a busy log for ever. A
//! reader of a write-ahead log is in nobody's way; only the log beside the file grows until it is done.

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

/// How many pages are copied between two words on how far it is: 8 MiB.
const PAGES_PER_STEP: i32 = 2_048;

impl Sqlite {
    /// `name` stands for the file in messages.
    pub(in crate::store) fn copy_to(
        &self,
        file: &Path,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let done = self
            .try_copy(file, progress)
            .map_err(|why| error::copy_failure(&self.path, name, &why))?;
        if done {
            return Ok(());
        }
        let what = format!("cannot copy the log {}: it is locked", self.path.display());
        Err(Failure::new(Exit::TryAgain, what).into())
    }

    /// `false`: somebody holds a lock that no reader of a log should meet.
    #[expect(clippy::disallowed_methods, reason = "a copy is filled here before it is a log")]
    fn try_copy(&self, file: &Path, progress: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<bool> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(file, flags)?;
        // Nobody else sees it: what is half done is thrown away, and it is synced when it is whole.
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
        copy.close().map_err(|(_, why)| why)?;
        Ok(done)
    }
}
