use std::path::PathBuf;

use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::config::StoreAddress;
use crate::context::Context;
use crate::context::read_anchors;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::settings::LogLocation;
use crate::verify::VerifyOptions;
use crate::verify::anchors::Anchor;

const EXAMPLES: &str = "\
Examples:
  Note the head, preferably on another host where nobody can change it:
  $ activity verify --quick | tee -a heads.txt

  Check the log, and compare it with every head that was noted:
  $ activity verify --anchors heads.txt";

/// Check that no event was changed, removed, inserted or moved
///
/// Prints `holds: N events, head ID:HASH`. For the first event that does not hold it prints `broken at
/// event ID: why` instead, and exits with 1. A changed schema and a failed integrity check are lines of
/// their own. Events that a sweep removed are vouched for in the log and count as unbroken. Whoever can
/// write the file can also recompute all of it: only a head that was noted elsewhere shows that.
///
/// With --central, or the address of a central store as --db, the log of each host is walked in the copy
/// that the store has: a line for each that holds, `broken at HOST/ID: why` for the first event of a log
/// that does not. Events that have yet to arrive, and hosts that have said nothing for an hour, are notes.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// Skip the file's own integrity check, which takes most of the time
    #[arg(long, help_heading = "Verify")]
    quick: bool,
    /// Compare the log with a head that was noted; 16 hex digits are enough [can be repeated]
    #[arg(long, value_name = "ID:HASH", value_parser = Anchor::parse, help_heading = "Verify")]
    anchor: Vec<Anchor>,
    /// Compare the log with every ID:HASH in FILE, a text or a saved mail; - is standard input [can
    /// be repeated]
    #[arg(long, value_name = "FILE", help_heading = "Verify")]
    anchors: Vec<PathBuf>,
    /// Of a central store: go on behind what FILE says was verified, and write it anew
    #[arg(long, value_name = "FILE", help_heading = "Verify")]
    since_verified: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl RunCommand for VerifyArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_verify()?;
        if let LogLocation::Store(address) = context.settings.location()? {
            return self.verify_store(context, &address);
        }
        if self.since_verified.is_some() {
            let message = "--since-verified is for a central store";
            let hint = "name it with --central, or --db postgres://USER@HOST/DATABASE";
            return Err(Failure::new(Exit::Usage, message).hint(hint).into());
        }
        let mut anchors = self.anchor;
        for file in &self.anchors {
            anchors.extend(read_anchors(file, &context.settings.rights)?);
        }
        let report =
            context.log().verify(&VerifyOptions { quick: self.quick, anchors: &anchors })?;
        if self.json {
            context.output.print(format!("{}\n", report.to_json()).as_bytes())?;
        } else {
            context.output.print(format!("{}\n", report.lines().join("\n")).as_bytes())?;
            for note in report.notes() {
                context.output.note(&format!("note: {note}"));
            }
        }
        Ok(if report.is_fully_verified() { Exit::Success } else { Exit::Negative })
    }
}

impl VerifyArgs {
    fn verify_store(self, context: &Context, address: &StoreAddress) -> Result<Exit> {
        if self.quick || !self.anchor.is_empty() || !self.anchors.is_empty() {
            let message = "--quick, --anchor and --anchors are for a log of this host";
            let hint = "the heads of mails belong to the log that they were sent from";
            return Err(Failure::new(Exit::Usage, message).hint(hint).into());
        }
        let report = context.log().verify_store(address, self.since_verified.as_deref())?;
        if self.json {
            context.output.print(format!("{}\n", report.to_json()).as_bytes())?;
        } else {
            let lines: String = report.lines().iter().map(|line| format!("{line}\n")).collect();
            context.output.print(lines.as_bytes())?;
            for note in report.notes() {
                context.output.note(&format!("note: {note}"));
            }
            if report.logs.is_empty() {
                context.output.note("no host has written to this store yet");
            }
        }
        Ok(if report.holds() { Exit::Success } else { Exit::Negative })
    }
}
