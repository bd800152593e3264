use std::path::PathBuf;

use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::context::read_anchors;
use crate::failure::Exit;
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
    /// Print the result as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl RunCommand for VerifyArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_verify()?;
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
