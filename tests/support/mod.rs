//! The base of every test: a sandbox to run the program in, and the output of a run.
//!
//! A sandbox has an empty environment, its own home and XDG folders, UTC and 80 columns, so no
//! test depends on the user or the place. Nothing here waits for time to pass: it waits for an
//! event, and fails at a deadline.

pub(crate) mod chain;
pub(crate) mod clock;
pub(crate) mod fixture;
pub(crate) mod http_receiver;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod sandbox;
pub(crate) mod tamper;
pub(crate) mod terminal;
pub(crate) mod torture;
pub(crate) mod wait;

pub(crate) use output::Output;
pub(crate) use sandbox::Sandbox;

/// The environment variable that says that a missing tool or file is a failure, not a reason to
/// skip.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Says that a test cannot run here; under CI that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(!is_ci(), "{why}");
    eprintln!("skipped: {why}");
}

/// Whether the tests run as root.
pub(crate) fn is_running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// One line of JSON from an object's text, for files that tests write.
pub(crate) fn join_lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> String {
    lines.into_iter().fold(String::new(), |mut all, line| {
        all.push_str(line.as_ref());
        all.push('\n');
        all
    })
}
