//! `sendmail`, or a compatible command that takes the mail on its standard input.
//!
//! The command reads the recipients from the mail (`-t`), never from the arguments. Its environment has
//! only `PATH`, so that no key is passed on, and its time is limited. The first line of its standard
//! error describes a failure. Exit code 75 (`EX_TEMPFAIL`) is tried again; any other failure is final.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::digest::deliver::AcceptedMail;
use crate::digest::deliver::AttemptFailure;
use crate::digest::deliver::AttemptResult;
use crate::digest::deliver::command;
use crate::digest::deliver::command::CommandEnd;
use crate::digest::deliver::mail::EncodedMail;
use crate::digest::deliver::sanitize;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::FileRights;
use crate::text;

/// `EX_TEMPFAIL` of `sysexits.h`.
const EX_TEMPFAIL: i32 = 75;

/// A command of this host.
#[derive(Clone, Debug)]
pub(crate) struct Sendmail {
    program: String,
    arguments: Vec<String>,
    rights: FileRights,
}

impl Sendmail {
    /// Returns the transport that runs a command with these rights.
    ///
    /// # Errors
    /// [`Exit::Config`]: the command is empty.
    pub(crate) fn new(command: &[String], rights: FileRights) -> Result<Self, Failure> {
        match command.split_first() {
            Some((program, arguments)) if !program.is_empty() => {
                Ok(Self { program: program.clone(), arguments: arguments.to_vec(), rights })
            }
            _ => Err(Failure::new(Exit::Config, "the sendmail command is empty")),
        }
    }

    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    pub(super) fn attempt(&self, mail: &EncodedMail, limit: Duration) -> AttemptResult {
        let program = text::escape(&self.program);
        let failure = |reason: String| AttemptFailure {
            reason: format!("{program} {reason}"),
            ..AttemptFailure::default()
        };
        let (ended, error) =
            match command::run(&self.program, &self.arguments, &mail.bytes, limit, &self.rights) {
                Ok(ended) => ended,
                Err(error) => {
                    let reason = format!("cannot be run: {}", failure::os_error_message(&error));
                    return match error.kind() {
                        io::ErrorKind::NotFound
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::InvalidInput => {
                            AttemptResult::PermanentFailure(Exit::Unavailable, failure(reason))
                        }
                        _ => AttemptResult::TemporaryFailure(failure(reason)),
                    };
                }
            };
        let status = match ended {
            CommandEnd::Exited(status) => status,
            // The command may have queued the mail before it hung.
            CommandEnd::TimedOut => {
                let reason = format!("did not end within {} s", limit.as_secs_f32());
                return AttemptResult::TemporaryFailure(AttemptFailure {
                    maybe_sent: true,
                    ..failure(reason)
                });
            }
        };
        if status.success() {
            return AttemptResult::Sent(AcceptedMail {
                status: "0".to_owned(),
                message_id: Some(mail.message_id.clone()),
                ..AcceptedMail::default()
            });
        }
        let mut reason = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "failed".to_owned(),
        };
        if let Some(line) = error.lines().find(|line| !line.trim().is_empty()) {
            reason.push_str(": ");
            reason.push_str(&sanitize(line));
        }
        let failure = AttemptFailure {
            status: status.code().map(|code| code.to_string()),
            ..failure(reason)
        };
        match status.code() {
            Some(EX_TEMPFAIL) => AttemptResult::TemporaryFailure(failure),
            _ => AttemptResult::PermanentFailure(Exit::Unavailable, failure),
        }
    }
}
