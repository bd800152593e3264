//! Turns errors of SQLite into failures with our texts and exit codes.
//!
//! The error of SQLite itself goes no further: printed, it says the same thing twice.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::fs::OpenOptions;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi;
use rusqlite::types::Type;
use rustix::process::Flock;
use rustix::process::FlockType;
use rustix::process::fcntl_getlk;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::sqlite::files::check::missing_log;
use crate::store::sqlite::files::check::with_owner_hint;
use crate::store::sqlite::files::companions::Companion;

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// A row that no sound log can have.
#[derive(Debug)]
struct Damage(String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damage {}

/// The system gives no random numbers, without which no event can be written.
#[derive(Debug)]
struct NoRandomNumbers;

impl fmt::Display for NoRandomNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random numbers")
    }
}

impl std::error::Error for NoRandomNumbers {}

/// Returns the error of a system that refuses random numbers.
pub(super) fn no_random_numbers() -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(NoRandomNumbers))
}

fn is_no_random_numbers(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(_, _, why) if why.is::<NoRandomNumbers>()
    )
}

/// Returns damage that was found in a row, as an error of the read that found it.
pub(super) fn damage(what: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(Damage(what.into())))
}

/// Returns the error of a statement that succeeded but did not write its row, because of a trigger
/// that somebody added.
pub(super) fn ignored_write(what: &str) -> rusqlite::Error {
    damage(format!("it took {what} and did not keep it"))
}

/// Returns the failure for an error of SQLite.
pub(super) fn to_failure(path: &Path, doing: Operation, error: &rusqlite::Error) -> anyhow::Error {
    failure(path, doing, error).into()
}

pub(super) fn failure(path: &Path, doing: Operation, error: &rusqlite::Error) -> Failure {
    Failure { full_disk: is_disk_full(error), ..classify(path, doing, error) }
}

/// Whether the disk was full. SQLite also lengthens the file of shared memory on it.
pub(super) fn is_disk_full(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        return false;
    };
    code.code == ErrorCode::DiskFull || code.extended_code == ffi::SQLITE_IOERR_SHMSIZE
}

fn classify(path: &Path, doing: Operation, error: &rusqlite::Error) -> Failure {
    let log = path.display();
    let cannot =
        |exit, why: &str| Failure::new(exit, format!("cannot {doing} the log {log}: {why}"));
    let damaged = |why: &str| {
        Failure::new(Exit::Io, format!("the log {log} is damaged: {why}"))
            .hint("restore a backup, or save what is left with `sqlite3 LOG .recover`")
    };
    if let Some(reason) = refused_statement(error) {
        return cannot(Exit::Software, &format!("SQLite refuses our statement: {reason}"));
    }
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        let reason = describe_bad_value(error);
        return if is_no_random_numbers(error) {
            cannot(Exit::Io, &reason)
        } else {
            damaged(&reason)
        };
    };
    match code.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => {
            Failure::new(Exit::TryAgain, format!("the log {log} is locked{}", lock_holder(path)))
        }
        ErrorCode::NotADatabase => not_a_log(path),
        ErrorCode::DatabaseCorrupt => damaged(BAD_PAGE),
        ErrorCode::DiskFull => cannot(Exit::Io, NO_SPACE)
            .hint("make room on its file system, or let `activity sweep` do so"),
        ErrorCode::OutOfMemory => cannot(Exit::Io, "out of memory"),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
            access_failure(path, doing)
        }
        ErrorCode::SystemIoFailure => cannot(Exit::Io, io_reason(code.extended_code)),
        ErrorCode::OperationInterrupted => cannot(Exit::TryAgain, "interrupted"),
        ErrorCode::ConstraintViolation | ErrorCode::OperationAborted => {
            cannot(Exit::Io, &format!("it refuses: {}", message.as_deref().unwrap_or("no reason")))
        }
        _ => damaged(message.as_deref().unwrap_or("SQLite gives no reason")),
    }
}

/// Returns why SQLite refuses a statement of ours whatever the log holds: it exceeds one of SQLite's
/// limits, or the library was called in a wrong way.
fn refused_statement(error: &rusqlite::Error) -> Option<&str> {
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(code, message) => (code, message.as_deref().unwrap_or("")),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, msg.as_str()),
        _ => return None,
    };
    // SQLite has no code for its limits, only these messages of `SQLITE_ERROR`.
    let limits =
        ["Expression tree is too large", "too many ", "parser stack overflow", "variable number "];
    match code.code {
        ErrorCode::Unknown if limits.iter().any(|limit| message.starts_with(limit)) => {
            Some(message)
        }
        ErrorCode::ApiMisuse | ErrorCode::ParameterOutOfRange => Some(message),
        _ => None,
    }
}

/// Returns what is wrong with the log itself; `None` for an error of the disk, of memory, of a lock
/// or of our statement.
pub(super) fn damage_of(error: &rusqlite::Error) -> Option<String> {
    if refused_statement(error).is_some() || is_no_random_numbers(error) {
        return None;
    }
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return Some(describe_bad_value(error));
    };
    match code.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::DiskFull
        | ErrorCode::OutOfMemory
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::SystemIoFailure
        | ErrorCode::OperationInterrupted => None,
        ErrorCode::DatabaseCorrupt => Some(BAD_PAGE.to_owned()),
        _ => Some(message.clone().unwrap_or_else(|| "SQLite gives no reason".to_owned())),
    }
}

/// Returns the failure for an error that occurred while a log was copied into that file.
pub(super) fn copy_failure(path: &Path, file: &str, error: &rusqlite::Error) -> Failure {
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        return failure(path, Operation::Read, error);
    };
    let why = match (code.code, code.extended_code) {
        (ErrorCode::DiskFull, _) => NO_SPACE,
        (_, ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ) => {
            return failure(path, Operation::Read, error);
        }
        (ErrorCode::SystemIoFailure, extended) => io_reason(extended),
        _ => return failure(path, Operation::Read, error),
    };
    Failure::new(Exit::Io, format!("cannot write {file}: {why}"))
}

const BAD_PAGE: &str = "a page does not hold together";
const NO_SPACE: &str = "no space left on device";

/// Whether an operation failed because the disk was full.
pub(super) fn is_full_disk_failure(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.full_disk)
}

/// Returns the failure for an error that occurred while a new log was made, before another process
/// could see it.
pub(super) fn create_failure(path: &Path, error: &rusqlite::Error) -> Failure {
    let (exit, why) = match error {
        rusqlite::Error::SqliteFailure(code, message) => match code.code {
            ErrorCode::DiskFull => (Exit::Io, NO_SPACE),
            ErrorCode::SystemIoFailure => (Exit::Io, io_reason(code.extended_code)),
            _ => (Exit::CantCreate, message.as_deref().unwrap_or("SQLite gives no reason")),
        },
        _ if is_no_random_numbers(error) => (Exit::Io, "the system gives no random numbers"),
        _ => (Exit::CantCreate, "SQLite answers what it should not"),
    };
    Failure::new(exit, format!("cannot make the log {}: {why}", path.display()))
}

pub(super) fn not_a_log(path: &Path) -> Failure {
    Failure::new(Exit::NoInput, format!("{} is not an activity log", path.display()))
}

/// Describes a value that cannot be read.
fn describe_bad_value(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, why) => why.to_string(),
        rusqlite::Error::QueryReturnedNoRows => "a row is missing".to_owned(),
        rusqlite::Error::InvalidColumnType(_, name, _) => format!("{name} is of another type"),
        rusqlite::Error::IntegralValueOutOfRange(..) => "a number is out of its range".to_owned(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::Utf8Error(..) => "a text is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

fn io_reason(extended: i32) -> &'static str {
    match extended {
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => "the disk did not confirm a write",
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => "I/O error at a read",
        ffi::SQLITE_IOERR_CORRUPTFS => "the file system is damaged",
        ffi::SQLITE_IOERR_NOMEM => "out of memory",
        // SQLite lengthens its shared memory file before it reads anything.
        ffi::SQLITE_IOERR_SHMSIZE => "no space left on device for its shared memory",
        ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMMAP | ffi::SQLITE_IOERR_SHMLOCK => {
            "its shared memory cannot be used"
        }
        ffi::SQLITE_IOERR_LOCK | ffi::SQLITE_IOERR_RDLOCK | ffi::SQLITE_IOERR_UNLOCK => {
            "the file system gives no locks"
        }
        ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_TRUNCATE => "I/O error at a write",
        _ => "I/O error",
    }
}

/// Returns who holds the write lock, if the system says so: ` by pid 4711 (activity ingest)`.
///
/// A writer locks byte 120 of the `-shm` file (`WAL_WRITE_LOCK` of SQLite).
fn lock_holder(path: &Path) -> String {
    const WRITE_LOCK: u64 = 120;
    let Ok(file) = OpenOptions::new().read(true).open(Companion::SharedMemory.path(path)) else {
        return String::new();
    };
    let asked = Flock { start: WRITE_LOCK, length: 1, ..Flock::from(FlockType::WriteLock) };
    let held = fcntl_getlk(&file, &asked);
    // Closing the file would drop the locks that SQLite holds on it for this process, so it stays
    // open. This error ends the program anyway.
    let _: i32 = file.into_raw_fd();
    match held {
        Ok(Some(Flock { pid: Some(pid), .. })) => {
            let pid = pid.as_raw_nonzero();
            let command =
                command_name(pid.get()).map_or_else(String::new, |name| format!(" ({name})"));
            format!(" by pid {pid}{command}")
        }
        _ => String::new(),
    }
}

/// Returns the name of a program, with its first argument if that is a command.
fn command_name(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = line.split(|byte| *byte == 0);
    let program = Path::new(OsStr::from_bytes(arguments.next()?)).file_name()?.to_str()?.to_owned();
    let is_command = |word: &&[u8]| {
        !word.is_empty()
            && !word.starts_with(b"-")
            && word.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-')
    };
    Some(match arguments.next().filter(is_command).and_then(|word| str::from_utf8(word).ok()) {
        Some(word) => format!("{program} {word}"),
        None => program,
    })
}

/// Returns why the file or its folder could not be used.
pub(super) fn access_failure(path: &Path, doing: Operation) -> Failure {
    use rustix::fs::Access;
    use rustix::fs::AtFlags;

    let log = path.display();
    let cannot =
        |exit, why: &str| Failure::new(exit, format!("cannot {doing} the log {log}: {why}"));
    let wanted =
        if doing == Operation::Read { Access::READ_OK } else { Access::READ_OK | Access::WRITE_OK };
    // With the effective ids, as when the file was opened.
    let may =
        |path: &Path, access| rustix::fs::accessat(rustix::fs::CWD, path, access, AtFlags::EACCESS);
    match may(path, wanted) {
        Err(rustix::io::Errno::ROFS) => {
            return cannot(Exit::Io, "it is on a read-only file system");
        }
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            return with_owner_hint(cannot(Exit::NoPermission, "permission denied"), path);
        }
        Err(rustix::io::Errno::NOENT) => return missing_log(path),
        _ => {}
    }
    let wal = Companion::WriteAheadLog.path(path);
    let shm = Companion::SharedMemory.path(path);
    let folder = wal.parent().unwrap_or(path);
    if may(folder, Access::WRITE_OK) == Err(rustix::io::Errno::ROFS) {
        let why = "it holds events that only a writable folder lets SQLite read";
        return cannot(Exit::Io, why).hint(format!(
            "copy both {} and its -wal to a writable folder",
            path.file_name().unwrap_or_default().display()
        ));
    }
    for part in [&wal, &shm] {
        if may(part, wanted).is_err_and(|why| why != rustix::io::Errno::NOENT) {
            let why = format!("permission denied on {}", part.display());
            return with_owner_hint(cannot(Exit::NoPermission, &why), part);
        }
    }
    if may(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let missing = if wal.exists() { &shm } else { &wal };
        let missing = missing.file_name().unwrap_or_default().display();
        let why = format!("there is no {missing}, and its folder is not yours to write");
        return with_owner_hint(cannot(Exit::NoPermission, &why), folder);
    }
    cannot(Exit::Io, "the system gives no reason")
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_statement_beyond_a_limit_is_no_damage() {
        let connection = Connection::open_in_memory().unwrap();
        for sql in [
            format!(
                "SELECT 1 FROM sqlite_schema WHERE name = 'a'{}",
                " OR name = 'b'".repeat(2_000)
            ),
            format!("SELECT 1{}", ", 1".repeat(5_000)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_000)),
            "SELECT ?40000".to_owned(),
        ] {
            let error = connection.prepare(&sql).map(drop).unwrap_err();
            let failure = failure(Path::new("/log"), Operation::Read, &error);
            assert_eq!(failure.exit, Exit::Software, "{failure}");
            assert_eq!(damage_of(&error), None, "{error}");
        }
        let error = connection.prepare("SELECT id FROM event").map(drop).unwrap_err();
        assert_eq!(failure(Path::new("/log"), Operation::Read, &error).exit, Exit::Io);
        assert!(damage_of(&error).is_some());
    }
}
