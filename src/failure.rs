//! Errors and exit codes: the one place where a failure becomes text and a number.
//!
//! A failure is printed as `activity: WHAT: WHY`, then a hint on a line of its own. The code that knows
//! its exit code attaches a [`Failure`] as `anyhow` context, and [`report_result`] finds it below any
//! later context. A command that succeeds but finds nothing, or rejects some lines, returns an
//! [`Exit`], not an error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::text;

/// The exit codes. The numbers are those of `sysexits.h`, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Success, also for a listing without rows.
    #[default]
    Success = 0,
    /// Something was not found, or a check failed.
    Negative = 1,
    /// The command line or a query does not parse, or an output would overwrite the log.
    Usage = 2,
    /// Some input was rejected; the rest is recorded.
    Data = 65,
    /// The log or an input does not exist, or the file is not a log.
    NoInput = 66,
    /// A mail or mirror service refused permanently.
    Unavailable = 69,
    /// A defect in this program.
    Software = 70,
    /// Cannot create a file.
    CantCreate = 73,
    /// I/O error, full disk, or a log that is damaged or emptied.
    Io = 74,
    /// Locked or timed out: try again.
    TryAgain = 75,
    /// Not permitted.
    NoPermission = 77,
    /// The config is wrong, or the log was made by a newer `activity`.
    Config = 78,
}

impl Exit {
    /// Every exit code, ascending.
    pub(crate) const ALL: [Self; 12] = [
        Self::Success,
        Self::Negative,
        Self::Usage,
        Self::Data,
        Self::NoInput,
        Self::Unavailable,
        Self::Software,
        Self::CantCreate,
        Self::Io,
        Self::TryAgain,
        Self::NoPermission,
        Self::Config,
    ];

    /// Returns what the code means, for the manual.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done, also when nothing was found",
            Self::Negative => "not found, or a check failed (show, verify, doctor, --stale)",
            Self::Usage => "the command line or the query does not parse",
            Self::Data => "some input was rejected; the rest is recorded",
            Self::NoInput => "no log or no such input, or the file is no log",
            Self::Unavailable => "a mail or mirror service refused for good",
            Self::Software => "a defect of the program",
            Self::CantCreate => "a file cannot be made",
            Self::Io => "input or output failed, the disk is full, or the log is damaged",
            Self::TryAgain => "locked or timed out: try again",
            Self::NoPermission => "not permitted",
            Self::Config => "the config is wrong, or the log was made by a newer version",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    /// Lower case, without a full stop; names the file, line, flag or key.
    pub message: String,
    /// The next step for the user.
    pub hint: Option<String>,
    /// Whether a full disk caused it: a caller that can free space may try again.
    pub full_disk: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, full_disk: false }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Turns the result of a command into its exit code, and an error into its lines on `stderr`.
///
/// A closed pipe ends the program quietly with success: the reader has all it wanted. A failure to
/// write the error does not change the code.
pub(crate) fn report_result(result: anyhow::Result<Exit>, stderr: &mut dyn Write) -> Exit {
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    if is_broken_pipe(&error) {
        return Exit::Success;
    }
    let failure = error.downcast_ref::<Failure>();
    let exit = failure.map_or_else(|| exit_for(&error), |failure| failure.exit);
    let mut report = format!("activity: {}", text::escape_lines(&describe(&error)));
    if let Some(hint) = failure.and_then(|failure| failure.hint.as_deref()) {
        report.push_str("\nhint: ");
        report.push_str(&text::escape_lines(hint));
    }
    report.push('\n');
    // Standard error may be full or closed; there is no other place for the message.
    drop(stderr.write_all(report.as_bytes()));
    exit
}

/// Makes a panic, in whatever thread, end the program with one line and [`Exit::Software`]. Other
/// threads would go on without the one that failed. Nothing is lost: a transaction that was not
/// committed never happened, and the system releases the locks.
pub(crate) fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or(payload.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("no message");
        let place = panic.location().map_or_else(String::new, |place| format!(" ({place})"));
        // The standard library seeds its hash tables so, and has no error for a system without
        // random numbers.
        let (exit, what) = if message.starts_with("failed to generate random data") {
            (Exit::Io, "the system gives no random numbers")
        } else {
            (Exit::Software, "a defect")
        };
        let line = format!("activity: {what}: {}{place}\n", text::escape(message));
        drop(io::stderr().write_all(line.as_bytes()));
        #[expect(
            clippy::exit,
            clippy::disallowed_methods,
            reason = "a panic has no way back to main"
        )]
        std::process::exit(exit as i32);
    }));
}

/// Returns the messages from the outermost to the innermost. Leaves out a cause that its context
/// already ends with.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut description = String::new();
    for cause in error.chain() {
        let message = cause_message(cause);
        if description.ends_with(&message) {
            continue;
        }
        if !description.is_empty() {
            description.push_str(": ");
        }
        description.push_str(&message);
    }
    description
}

fn cause_message(cause: &(dyn std::error::Error + 'static)) -> String {
    cause.downcast_ref().map_or_else(|| cause.to_string(), os_error_message)
}

/// Returns the message of a system error without the capital at its beginning and the number at its
/// end.
pub(crate) fn os_error_message(error: &io::Error) -> String {
    let message = error.to_string();
    let number = error.raw_os_error();
    match number.and_then(|number| message.strip_suffix(&format!(" (os error {number})"))) {
        Some(text) => {
            let mut letters = text.chars();
            letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
        }
        None => message,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Returns the exit code of an error without a [`Failure`]: that of a system error in its chain, else
/// [`Exit::Software`].
fn exit_for(error: &anyhow::Error) -> Exit {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map_or(Exit::Software, |io| {
        match io.kind() {
            io::ErrorKind::NotFound => Exit::NoInput,
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::Io,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Runs in a process of its own, which it ends.
    #[test]
    #[ignore = "a_panic_in_any_thread_is_one_line_and_70 runs it"]
    fn panic_in_a_thread() {
        exit_on_panic();
        drop(thread::spawn(|| panic!("one\ntwo")).join());
    }

    #[test]
    fn a_panic_in_any_thread_is_one_line_and_70() {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "failure::tests::panic_in_a_thread", "--ignored", "--nocapture"]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(70), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("activity: a defect: one\\ntwo (src/failure.rs:"), "{said}");
    }
}
