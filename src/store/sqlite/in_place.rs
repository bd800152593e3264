//! Makes sure that what is written stands in the file that has the log's name.
//!
//! ## Durability
//! A commit into a file that was replaced or removed is lost as soon as the process ends. So a
//! writer looks before each transaction and after each commit, and reports nothing as stored that a
//! new process would not find.

use std::path::Path;

use rusqlite::OptionalExtension;
use rusqlite::params;

use crate::event::EventId;
use crate::event::Hash;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::files::open_files::OpenFiles;
use crate::store::sqlite::open;

impl Sqlite {
    /// Whether the log is still the file that has its name, or was replaced since it was opened.
    pub(in crate::store) fn is_replaced(&self) -> bool {
        self.files.as_ref().is_some_and(OpenFiles::are_replaced)
    }

    /// Whether the log was replaced or its file was written to, by a checkpoint or by somebody
    /// else, since it was opened.
    pub(in crate::store) fn is_stale(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.are_replaced() || files.is_content_changed())
    }

    /// # Errors
    /// [`Exit::TryAgain`] if the log was replaced since it was opened.
    pub(in crate::store) fn ensure_in_place(&self) -> Result<(), Failure> {
        if self.is_replaced() { Err(replaced_failure(&self.path)) } else { Ok(()) }
    }
}

/// Whether the file that has the log's name now has the event that this process knows as the newest.
/// Where the log itself was written to, by a checkpoint or by somebody who copied another file over
/// it, a new connection looks, as a new process would.
pub(super) fn is_in_place(path: &Path, files: &OpenFiles, head: (EventId, Hash)) -> bool {
    if files.are_replaced() {
        return false;
    }
    if !files.is_content_changed() {
        return true;
    }
    files.note_content();
    has_event(path, head)
}

/// Whether a new connection finds an event, or a removal of it.
fn has_event(path: &Path, (id, hash): (EventId, Hash)) -> bool {
    const SQL: &str = "SELECT 1 FROM event WHERE id = ?1 AND hash = ?2 \
        UNION ALL SELECT 1 FROM head WHERE id = ?1 AND hash = ?2 \
        UNION ALL SELECT 1 FROM gap WHERE ?1 BETWEEN first AND last \
        UNION ALL SELECT 1 FROM removal, head WHERE removal.sweep = head.sweep \
          AND ?1 BETWEEN first AND last";
    let Ok(connection) = open::connect_to_read(path) else {
        return false;
    };
    let found = connection.query_row(SQL, params![id.0, hash.0], |_| Ok(())).optional();
    // An empty log has no event that could be looked for.
    matches!(found, Ok(Some(()))) || id.0 == 0 && found.is_ok()
}

pub(super) fn replaced_failure(path: &Path) -> Failure {
    let message = format!(
        "the log {} was replaced or removed since it was opened, so this was not recorded",
        path.display()
    );
    Failure::new(Exit::TryAgain, message)
        .hint("repeat it: a new run opens the log that has this name now")
}
