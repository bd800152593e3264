//! `sendmail`, or a compatible command that takes the mail on its standard input.
//!
//! The command reads the recipients from the mail (`-t`), never from the arguments. Its environment has
//! only `PATH`, so that no key is passed on, and its time is limited. The first line of its standard
//! error describes a failure. Exit code 75 (`EX_TEMPFAIL`) is tried again; any other failure is final.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use rustix::process::kill_process_group;
use rustix::process::pidfd_open;

use crate::digest::deliver::AcceptedMail;
use crate::digest::deliver::AttemptFailure;
use crate::digest::deliver::AttemptResult;
use crate::digest::deliver::mail::EncodedMail;
use crate::digest::deliver::sanitize;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::FileRights;
use crate::text;

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// `EX_TEMPFAIL` of `sysexits.h`.
const EX_TEMPFAIL: i32 = 75;
/// The number of bytes of standard error that are read.
const MAX_STDERR_BYTES: u64 = 4096;

/// A command of this host.
#[derive(Clone, Debug)]
pub(crate) struct Sendmail {
    program: String,
    arguments: Vec<String>,
    rights: FileRights,
}

/// The end of a command.
enum CommandEnd {
    Exited(ExitStatus),
    TimedOut,
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
        let (ended, error) = match self.run(&mail.bytes, limit) {
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

    /// Runs the command to its end. Returns how it ended, and the beginning of its standard error.
    ///
    /// The mail and the errors are files in memory. So nothing waits for the other end of a pipe, not
    /// even for a child of the command that outlives it.
    fn run(&self, mail: &[u8], limit: Duration) -> io::Result<(CommandEnd, String)> {
        let mut input = memory_file()?;
        input.write_all(mail)?;
        input.rewind()?;
        let mut errors = memory_file()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::from(input))
            .stdout(Stdio::null())
            .stderr(Stdio::from(errors.try_clone()?))
            .process_group(0);
        let mut child = self.rights.spawn(&mut command)?;
        let ended = match wait_for_exit(&child, limit) {
            Ok(true) => CommandEnd::Exited(child.wait()?),
            waited => {
                // The child has not been waited for, so no other process has its id.
                let killed = kill_process_group(Pid::from_child(&child), Signal::KILL);
                if killed.is_err() {
                    child.kill()?;
                }
                child.wait()?;
                waited.map(|_| CommandEnd::TimedOut)?
            }
        };
        errors.rewind()?;
        let mut output = Vec::new();
        errors.take(MAX_STDERR_BYTES).read_to_end(&mut output)?;
        Ok((ended, String::from_utf8_lossy(&output).into_owned()))
    }
}

fn memory_file() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("mail", MemfdFlags::CLOEXEC)?))
}

/// Waits for the child. Returns whether it ended within the limit.
fn wait_for_exit(child: &Child, limit: Duration) -> io::Result<bool> {
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let begun = Instant::now();
    loop {
        let rest = limit.saturating_sub(begun.elapsed());
        let rest = Timespec::try_from(rest).map_err(io::Error::other)?;
        let mut descriptors = [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)];
        match poll(&mut descriptors, Some(&rest)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
