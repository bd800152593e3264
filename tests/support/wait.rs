//! Waits for events with a deadline; never just for time to pass.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::Child;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;

/// The deadline for events that should happen at once, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two looks.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Looks until `look` finds something, while the child runs. `None`: the child ended before.
#[track_caller]
pub(crate) fn until_or_exit<T>(
    what: &str,
    child: &Child,
    look: impl FnMut() -> Option<T>,
) -> Option<T> {
    within_or_exit(DEADLINE, what, child, look)
}

/// Like [`until_or_exit`], with another deadline.
#[track_caller]
pub(crate) fn within_or_exit<T>(
    at_most: Duration,
    what: &str,
    child: &Child,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let start = Instant::now();
    let fd = rustix::process::pidfd_open(pid(child), PidfdFlags::empty()).unwrap();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        assert!(start.elapsed() < at_most, "waited in vain for {what}");
        // The child's end wakes us at once; else we look again in a moment.
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        if rustix::event::poll(&mut fds, Some(&POLL_INTERVAL)).unwrap() > 0 {
            return look();
        }
    }
}

/// Looks until something happens that other threads do.
#[track_caller]
pub(crate) fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    let start = Instant::now();
    while !look() {
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        rustix::event::poll(&mut [], Some(&POLL_INTERVAL)).unwrap();
    }
}

/// As [`until_or_exit`], where the child must not end before.
#[track_caller]
pub(crate) fn until<T>(what: &str, child: &Child, look: impl FnMut() -> Option<T>) -> T {
    until_or_exit(what, child, look).unwrap_or_else(|| panic!("the child ended before {what}"))
}

/// Waits for a child's end, at most that long; `false`: it still runs.
pub(crate) fn has_exited_within(child: &Child, at_most: Duration) -> bool {
    let fd = rustix::process::pidfd_open(pid(child), PidfdFlags::empty()).unwrap();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec::try_from(at_most).unwrap();
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap() > 0
}

/// Waits until there is something to read, at most that long.
pub(crate) fn is_readable_within(fd: impl AsFd, at_most: Duration) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec::try_from(at_most).unwrap();
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap() > 0
}

/// Reads a pipe until it has brought that many lines.
#[track_caller]
pub(crate) fn read_lines(pipe: &mut (impl Read + AsFd), lines: usize) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while text.iter().filter(|byte| **byte == b'\n').count() < lines {
        let so_far = String::from_utf8_lossy(&text).into_owned();
        assert!(
            is_readable_within(&*pipe, DEADLINE),
            "waited in vain for {lines} lines, got {so_far:?}"
        );
        let count = pipe.read(&mut buffer).unwrap();
        assert!(count > 0, "the pipe ended before {lines} lines, after {so_far:?}");
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(text).unwrap()
}

pub(crate) fn send_signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(pid(child), signal).unwrap();
}

/// The most memory that a running child has ever held, in KiB.
pub(crate) fn peak_memory_kib(child: &Child) -> u64 {
    peak_memory_kib_if_running(child).expect("a running process")
}

/// The most memory that a child has ever held, in KiB; `None` once it has ended.
pub(crate) fn peak_memory_kib_if_running(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The number of bytes that a running child has read so far.
pub(crate) fn bytes_read(child: &Child) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}
