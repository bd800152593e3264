//! Runs a command of this host that takes a text on its standard input.
//!
//! Its environment has only `PATH`, so that no key is passed on, and its time is limited.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
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

use crate::lent_rights::FileRights;

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// The number of bytes of standard error that are read.
const MAX_STDERR_BYTES: u64 = 4096;

/// The end of a command.
pub(crate) enum CommandEnd {
    Exited(ExitStatus),
    TimedOut,
}

/// Runs the command to its end. Returns how it ended, and the beginning of its standard error.
///
/// The mail and the errors are files in memory. So nothing waits for the other end of a pipe, not
/// even for a child of the command that outlives it.
pub(crate) fn run(
    program: &str,
    arguments: &[String],
    text: &[u8],
    limit: Duration,
    rights: &FileRights,
) -> io::Result<(CommandEnd, String)> {
    let mut input = memory_file()?;
    input.write_all(text)?;
    input.rewind()?;
    let mut errors = memory_file()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .stderr(Stdio::from(errors.try_clone()?))
        .process_group(0);
    let mut child = rights.spawn(&mut command)?;
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

fn memory_file() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("input", MemfdFlags::CLOEXEC)?))
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
