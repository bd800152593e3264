//! The tests that need root, other programs or minutes: `cargo test --features real --test real`.
//!
//! Faults are injected with strace at every system call that changes the log, one after the other; a
//! loop that met no fault has failed, so none can pass by missing its mark. Disks are filled and mounted
//! read-only for real, power is cut on paper from a trace, the digest is sent to servers that others
//! wrote, and the hooks of `examples/` are run as their users would.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests stand outside the layers: they look for themselves"
)]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other suite uses the rest")]
mod support;

mod access;
mod browser;
mod central;
mod central_access;
mod central_conformance;
mod central_digest;
mod central_doctor;
mod central_plans;
mod central_verify;
mod central_versions;
mod clocks;
mod cron;
mod digest;
mod disks;
mod examples;
mod faults;
mod instructions;
mod memory;
mod mirrors;
mod power_loss;
mod rotation;
mod sqlite_shell;
mod stalled_readers;
mod strace;
mod sweep;
mod tools;
