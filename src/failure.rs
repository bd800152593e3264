//! Errors and exit codes: the one place where a failure becomes text and a number.
//!
//! A failure is told as `activity: WHAT: WHY`, then a hint on a line of its own. Its class is said
//! where it is known, as an `anyhow` context ([`Failure`]), and found again here under any later
//! context. What went well but found nothing, or rejected some lines, is an [`Exit`], not an error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::text;

/// How the program ends. The numbers are those of `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; a listing with no rows too.
    #[default]
    Success = 0,
    /// Not found, or does not hold.
    Negative = 1,
    /// The command line or a query does not parse, or an output would overwrite the log.
    Usage = 2,
    /// Some input was rejected; the good part has landed.
    Data = 65,
    /// There is no log or input file, or what is there is none.
    NoInput = 66,
    /// A mail or mirror service refused for good.
    Unavailable = 69,
    /// A defect of ours.
    Software = 70,
    /// Cannot create a file.
    CantCreate = 73,
    /// I/O error, disk full, log damaged or emptied.
    Io = 74,
    /// Locked or timed out: try again.
    TryAgain = 75,
    /// Not permitted.
    NoPermission = 77,
    /// The config is wrong, or the log was made by a newer `activity`.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error whose class is known. `what` is lower case, names the file, line, flag or key, and has
/// no full stop; `hint` is a next step.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
    /// Whether it came of a full disk: who can make room may try again.
    pub full_disk: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, message: what.into(), hint: None, full_disk: false }
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
/// A closed pipe ends the program quietly: the reader has what it wanted. Nothing that goes wrong
/// while the error is written changes the code.
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
    let mut told = format!("activity: {}", text::escape_lines(&describe(&error)));
    if let Some(hint) = failure.and_then(|failure| failure.hint.as_deref()) {
        told.push_str("\nhint: ");
        told.push_str(&text::escape_lines(hint));
    }
    told.push('\n');
    // Standard error may be full or closed; there is nobody left to tell.
    drop(stderr.write_all(told.as_bytes()));
    exit
}

/// The messages from the outermost in, each once: a cause that its context already says is left out.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let message = cause_message(cause);
        if told.ends_with(&message) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&message);
    }
    told
}

fn cause_message(cause: &(dyn std::error::Error + 'static)) -> String {
    cause.downcast_ref().map_or_else(|| cause.to_string(), os_error_message)
}

/// What the system says; its own messages begin in capitals and end in a number.
pub(crate) fn os_error_message(error: &io::Error) -> String {
    let message = error.to_string();
    let number = error.raw_os_error();
    match number.and_then(|number| message.strip_suffix(&format!(" (os error {number})"))) {
        Some(words) => {
            let mut letters = words.chars();
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

/// The class of an error that nobody classed: what the system said decides, else it is our defect.
fn exit_for(error: &anyhow::Error) -> Exit {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map_or(Exit::Software, |io| {
        match io.kind() {
            io::ErrorKind::NotFound => Exit::NoInput,
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::Io,
        }
    })
}
