//! `sendmail`, or what stands in for it: a command that takes the letter on its standard input.
//!
//! Recipients are read from the letter (`-t`), never from the arguments. The command has an empty
//! environment but for `PATH`, so that no key goes along, and a time-out; its first line of standard
//! error is what a failure is told with. Exit 75 (`EX_TEMPFAIL`) is worth another try, no other is.

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
use crate::text;

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// `EX_TEMPFAIL` of `sysexits.h`.
const EX_TEMPFAIL: i32 = 75;
/// As much of standard error as is looked at.
const MAX_STDERR_BYTES: u64 = 4096;

/// A command of this host.
#[derive(Clone, Debug)]
pub(crate) struct Sendmail {
    program: String,
    arguments: Vec<String>,
}

/// How a command ended.
enum CommandEnd {
    Exited(ExitStatus),
    TimedOut,
}

impl Sendmail {
    /// # Errors
    ///
    /// [`Exit::Config`]: there is no command.
    pub(crate) fn new(command: &[String]) -> Result<Self, Failure> {
        match command.split_first() {
            Some((program, arguments)) if !program.is_empty() => {
                Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
            }
            _ => Err(Failure::new(Exit::Config, "the sendmail command is empty")),
        }
    }

    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    pub(super) fn attempt(&self, letter: &EncodedMail, limit: Duration) -> AttemptResult {
        let program = text::escape(&self.program);
        let trouble = |why: String| AttemptFailure {
            reason: format!("{program} {why}"),
            ..AttemptFailure::default()
        };
        let (ended, error) = match self.run(&letter.bytes, limit) {
            Ok(ended) => ended,
            Err(error) => {
                let why = format!("cannot be run: {}", failure::os_error_message(&error));
                return match error.kind() {
                    io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidInput => {
                        AttemptResult::PermanentFailure(Exit::Unavailable, trouble(why))
                    }
                    _ => AttemptResult::TemporaryFailure(trouble(why)),
                };
            }
        };
        let status = match ended {
            CommandEnd::Exited(status) => status,
            // It may have queued the letter before it hung.
            CommandEnd::TimedOut => {
                let why = format!("did not end within {} s", limit.as_secs_f32());
                return AttemptResult::TemporaryFailure(AttemptFailure {
                    maybe_sent: true,
                    ..trouble(why)
                });
            }
        };
        if status.success() {
            return AttemptResult::Sent(AcceptedMail {
                status: "0".to_owned(),
                message_id: Some(letter.message_id.clone()),
                ..AcceptedMail::default()
            });
        }
        let mut why = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "failed".to_owned(),
        };
        if let Some(line) = error.lines().find(|line| !line.trim().is_empty()) {
            why.push_str(": ");
            why.push_str(&sanitize(line));
        }
        let trouble =
            AttemptFailure { status: status.code().map(|code| code.to_string()), ..trouble(why) };
        match status.code() {
            Some(EX_TEMPFAIL) => AttemptResult::TemporaryFailure(trouble),
            _ => AttemptResult::PermanentFailure(Exit::Unavailable, trouble),
        }
    }

    /// Runs the command to its end, and returns that with the beginning of its standard error.
    ///
    /// The letter and the errors are files in memory: nothing can wait for the other end of a pipe,
    /// not even a child of the command that stays behind.
    fn run(&self, letter: &[u8], limit: Duration) -> io::Result<(CommandEnd, String)> {
        let mut input = memory_file()?;
        input.write_all(letter)?;
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
        let mut child = command.spawn()?;
        let ended = match wait_for_exit(&child, limit) {
            Ok(true) => CommandEnd::Exited(child.wait()?),
            waited => {
                // It has not been waited for, so its number is still its own.
                let killed = kill_process_group(Pid::from_child(&child), Signal::KILL);
                if killed.is_err() {
                    child.kill()?;
                }
                child.wait()?;
                waited.map(|_| CommandEnd::TimedOut)?
            }
        };
        errors.rewind()?;
        let mut told = Vec::new();
        errors.take(MAX_STDERR_BYTES).read_to_end(&mut told)?;
        Ok((ended, String::from_utf8_lossy(&told).into_owned()))
    }
}

fn memory_file() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("letter", MemfdFlags::CLOEXEC)?))
}

/// Waits until the child has ended, and tells whether it has within the limit.
fn wait_for_exit(child: &Child, limit: Duration) -> io::Result<bool> {
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let begun = Instant::now();
    loop {
        let rest = limit.saturating_sub(begun.elapsed());
        let rest = Timespec::try_from(rest).map_err(io::Error::other)?;
        let mut ends = [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)];
        match poll(&mut ends, Some(&rest)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
