//! Times whole processes, and writes the table of the results.

use std::io;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::process::Pid;
use rustix::process::PidfdFlags;

/// The cost of one run of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    pub(crate) wall_time: Duration,
    /// The time that its threads were at work, in seconds.
    pub(crate) cpu_seconds: f64,
    /// The largest resident memory in KiB, as last sampled.
    pub(crate) peak_memory_kib: u64,
}

/// Runs a command, which must succeed, and discards its output.
pub(crate) fn run_measured(command: Command) -> Measurement {
    // A short process ends before the first sample, so sampling does not disturb it.
    run_sampled(command, Duration::from_millis(10))
}

/// Runs a command as [`run_measured`] does, and samples its memory at such intervals.
pub(crate) fn run_sampled(mut command: Command, interval: Duration) -> Measurement {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let text = format!("{command:?}");
    let start = Instant::now();
    let child = command.spawn().unwrap_or_else(|why| panic!("{text}: {why}"));
    let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
        .unwrap_or_else(|why| panic!("{text}: {why}"));
    let mut memory = 0;
    let interval = Timespec::try_from(interval).expect("it is short");
    while rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&interval)) == Ok(0) {
        memory = memory.max(peak_memory(child.id()));
    }
    let wall = start.elapsed();
    // It has ended, and its parent has yet to ask for it.
    let cpu_seconds = cpu_seconds(child.id());
    let output = child.wait_with_output().unwrap_or_else(|why| panic!("{text}: {why}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}: {}: {said}", output.status);
    Measurement { wall_time: wall, cpu_seconds, peak_memory_kib: memory }
}

/// Returns the time that a process was at work, as the kernel counts it, in hundredths of a second.
fn cpu_seconds(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
    // utime and stime are fields 14 and 15; the first one here is the third.
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}

/// Runs commands by turns, so that other work of the machine affects all of them alike. Returns the
/// runs of each command, the shortest first.
pub(crate) fn run_interleaved(
    rounds: usize,
    commands: &[&dyn Fn(usize) -> Command],
) -> Vec<Vec<Measurement>> {
    let mut runs = vec![Vec::new(); commands.len()];
    for round in 0..rounds {
        for (command, runs) in commands.iter().zip(&mut runs) {
            runs.push(run_measured(command(round)));
        }
    }
    for runs in &mut runs {
        runs.sort_by_key(|run| run.wall_time);
    }
    runs
}

/// Returns the time in seconds that `percent` of the runs did not exceed.
pub(crate) fn percentile(runs: &[Measurement], percent: usize) -> f64 {
    let place = (runs.len() * percent).div_ceil(100).clamp(1, runs.len());
    runs[place - 1].wall_time.as_secs_f64()
}

pub(crate) fn median(runs: &[Measurement]) -> f64 {
    percentile(runs, 50)
}

/// A line of the table.
pub(crate) struct Comparison {
    pub(crate) name: String,
    pub(crate) ours: String,
    pub(crate) peer: String,
    pub(crate) ratio: f64,
    pub(crate) goal: f64,
}

/// Writes the table as Markdown, for `docs/performance.md`.
pub(crate) fn write_table(lines: &[Comparison], out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "| what | ours | peer | ratio | goal | |")?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    for line in lines {
        let verdict = if line.ratio <= line.goal { "" } else { "missed" };
        let Comparison { name, ours, peer, ratio, goal } = line;
        writeln!(out, "| {name} | {ours} | {peer} | {ratio:.2} | ≤ {goal} | {verdict} |")?;
    }
    Ok(())
}

/// Formats a time in milliseconds or seconds.
pub(crate) fn format_seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.3} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}
