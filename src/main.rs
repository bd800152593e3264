//! `activity` answers who did what, when, and against which record.

mod access;
mod args;
mod atomic_file;
mod backup;
mod caller;
mod chain;
mod codec;
mod commands;
mod config;
mod context;
mod digest;
mod doctor;
mod event;
mod export;
mod failure;
mod http;
mod ingest;
mod interrupt;
mod lent_rights;
mod manual;
mod map;
mod mirror;
mod query;
mod render;
mod retention;
mod retry;
mod secret;
mod settings;
mod setup;
mod store;
mod sweep;
mod terminal;
mod text;
mod time;
mod tls;
mod verify;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn main() -> ExitCode {
    failure::exit_on_panic();
    let result = ignore_file_size_signal().and_then(|()| commands::run());
    failure::report_result(result, &mut io::stderr()).into()
}

/// Makes a write beyond the file size limit fail like any other write; the signal would end the
/// program without a message. Installs a handler, because an ignored signal would also be ignored by
/// child processes.
fn ignore_file_size_signal() -> anyhow::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(())
}
