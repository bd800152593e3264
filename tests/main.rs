//! The black-box tests of the binary, by command.
//!
//! One binary of tests: every file beside this one is a module here, and `runner` holds that. Tests
//! drive the program as a person, a script or a cron job does; `support` has the sandbox they do it
//! in, and looks at the log by means that are not the program's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests stand outside the layers: they look for themselves"
)]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod support;

mod access;
mod access_table;
mod actions;
mod alert;
mod backup;
mod command_line;
mod companions;
mod completions;
mod concurrency;
mod config;
mod config_init;
mod crash;
mod digest;
mod doctor;
mod duplicates;
mod exit_codes;
mod export;
mod field_intake;
mod file_format;
mod formats;
mod help;
mod hostile_input;
mod hostile_output;
mod ingest;
mod layers;
mod list;
mod maps;
mod mirror;
mod mirror_faults;
mod names;
mod not_a_log;
mod packed;
mod page;
mod query;
mod real_data;
mod replaced_log;
mod resume;
mod rotation;
mod search;
mod show;
mod stats;
mod streams;
mod sweep;
mod tampering;
mod terminal;
mod test_modules;
mod verify;
mod whoami;
