use std::path::PathBuf;

use anyhow::Result;

use crate::commands::{Invocation, RunCommand};
use crate::context::read_anchors;
use crate::failure::Exit;
use crate::verify::VerifyOptions;
use crate::verify::anchors::Anchor;

const EXAMPLES: &str = "\
Examples:
  Note the head; better on another host, where nobody changes it:
  $ activity verify --quick | tee -a heads.txt

  Hold the log against itself, and against every head that was noted:
  $ activity verify --anchors heads.txt";

/// Check that no event was changed, removed, put in or moved
///
/// Prints `holds: N events, head ID:HASH`, or for the first event that does not hold `broken at event
/// ID: why`, and exits 1. A changed schema and a failed integrity check are lines of their own. What
/// sweeps took is vouched for in the log and holds. Who can write the file can also compute all of it
/// anew: only a head that was noted elsewhere shows that.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// Leave the file's own integrity check out, which takes most of the time
    #[arg(long, help_heading = "Verify")]
    quick: bool,
    /// Hold the log against a head that was noted; 16 hex digits are enough [can be repeated]
    #[arg(long, value_name = "ID:HASH", value_parser = Anchor::parse, help_heading = "Verify")]
    anchor: Vec<Anchor>,
    /// Hold it against every ID:HASH in FILE, a text or a saved mail; - is standard input [can be
    /// repeated]
    #[arg(long, value_name = "FILE", help_heading = "Verify")]
    anchors: Vec<PathBuf>,
    /// Print what was found as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl RunCommand for VerifyArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let mut anchors = self.anchor;
        for file in &self.anchors {
            anchors.extend(read_anchors(file)?);
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
