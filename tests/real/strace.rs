//! The program under strace: to watch it, and to make one of its system calls fail.

use std::path::Path;
use std::process::Command;

use crate::support::Output;
use crate::support::Sandbox;

/// The files of a log.
pub(crate) fn log_files(db: &Path) -> Vec<String> {
    let db = db.display();
    let sides = ["", "-wal", "-shm", "-journal", ".lock", ".reserve"];
    sides.iter().map(|side| format!("{db}{side}")).collect()
}

/// The program with these arguments, under strace with these.
pub(crate) fn command(sandbox: &Sandbox, strace: &[&str], args: &[&str]) -> Command {
    let mut command = sandbox.command_of("strace");
    command.args(["-f", "-qqq"]).args(strace).arg(env!("CARGO_BIN_EXE_activity")).args(args);
    command
}

/// Runs it with one fault: the call's N-th time, on any file or on those of the log alone.
pub(crate) fn inject(
    sandbox: &Sandbox,
    call: &str,
    fault: &str,
    nth: usize,
    on_log_alone: bool,
    args: &[&str],
) -> (Output, bool) {
    let trace = sandbox.path("strace.out");
    let what = format!("inject={call}:{fault}:when={nth}");
    // The call itself must be traced for its fault to be told of.
    let traced = format!("trace={call}");
    let to = trace.to_str().unwrap();
    let mut options = vec!["-o", to, "-e", "signal=none", "-e", &traced, "-e", &what];
    let paths = log_files(&sandbox.db());
    if on_log_alone {
        options.extend(paths.iter().flat_map(|path| ["-P", path.as_str()]));
    }
    let out = sandbox.run_command(command(sandbox, &options, args));
    let calls = std::fs::read_to_string(&trace).unwrap_or_default();
    let injected = out.signal == Some(9) || calls.contains("(INJECTED)");
    (out, injected)
}
