//! Whether the log holds, and copies of it that do.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::backup;
use crate::backup::BackupSummary;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::store::LocalLog;
use crate::store::Log;
use crate::terminal::ProgressLine;
use crate::terminal::ProgressTotal;
use crate::verify;
use crate::verify::VerifyOptions;
use crate::verify::VerifyReport;
use crate::verify::anchors;
use crate::verify::anchors::Anchor;

/// A file of anchors is not longer than this, in bytes.
const MAX_ANCHORS_SIZE: u64 = 64 << 20;

impl Context {
    /// Holds the log against its hashes, and against heads that were noted. How far it is goes to a
    /// line on standard error.
    ///
    /// # Errors
    /// As [`verify::run`].
    pub(crate) fn verify(&self, request: &VerifyOptions<'_>) -> Result<VerifyReport> {
        let log = Log::open_to_read(&self.settings.db()?.value)?;
        let mut line = PhaseProgress::default();
        let report = verify::run(&log, request, &mut |reached| {
            self.show_verify_progress(&mut line, reached);
        });
        line.clear();
        report
    }

    /// Copies the log into a file.
    ///
    /// # Errors
    /// As [`backup::run`].
    pub(crate) fn back_up(&self, file: &Path) -> Result<BackupSummary> {
        let path = self.settings.db()?.value;
        let log = LocalLog::open_to_read(&path)?;
        let mut line = PhaseProgress::default();
        let copied = backup::run(&log, &path, file, &mut |reached| match reached {
            backup::BackupProgress::Copied { bytes, of } => {
                self.phase_progress(&mut line, "copy", ProgressTotal::Bytes(of)).update(bytes, 0);
            }
            backup::BackupProgress::Verified(reached) => {
                self.show_verify_progress(&mut line, reached);
            }
        });
        line.clear();
        copied
    }

    /// The anchors in a file, `-` for standard input: a text, or a mail that was saved.
    ///
    /// # Errors
    /// [`Exit::NoInput`] where it cannot be read, [`Exit::Data`] where it has none.
    pub(crate) fn read_anchors(&self, file: &Path) -> Result<Vec<Anchor>> {
        let name = if file == Path::new("-") {
            "standard input".to_owned()
        } else {
            file.display().to_string()
        };
        let mut bytes = Vec::new();
        let source: io::Result<Box<dyn Read>> = if file == Path::new("-") {
            Ok(Box::new(io::stdin()))
        } else {
            File::open(file).map(|file| Box::new(file) as Box<dyn Read>)
        };
        source
            .and_then(|source| source.take(MAX_ANCHORS_SIZE + 1).read_to_end(&mut bytes))
            .with_context(|| Failure::new(Exit::NoInput, format!("cannot read {name}")))?;
        if bytes.len() as u64 > MAX_ANCHORS_SIZE {
            let what = format!("{name}: longer than {} MiB", MAX_ANCHORS_SIZE >> 20);
            return Err(Failure::new(Exit::Data, what).into());
        }
        let anchors = anchors::find_anchors(&bytes);
        if anchors.is_empty() {
            let what = format!("{name}: no ID:HASH in it");
            let hint = "a digest mail has one at its end, `activity verify` prints one";
            return Err(Failure::new(Exit::Data, what).hint(hint).into());
        }
        Ok(anchors)
    }

    fn show_verify_progress(&self, line: &mut PhaseProgress, reached: verify::VerifyProgress) {
        match reached {
            verify::VerifyProgress::Integrity => {
                drop(self.phase_progress(line, "integrity check", ProgressTotal::Unknown));
            }
            verify::VerifyProgress::Event { id, of, events } => {
                self.phase_progress(line, "chain", ProgressTotal::Events(Some(of)))
                    .update(id, events);
            }
        }
    }

    /// The line for that part of the work; the one for the part before it goes.
    fn phase_progress(
        &self,
        line: &mut PhaseProgress,
        name: &'static str,
        work: ProgressTotal,
    ) -> ProgressLine {
        match &line.0 {
            Some((of, progress)) if *of == name => progress.clone(),
            _ => {
                line.clear();
                let progress = self.terminal.borrow_mut().start_progress(name, work);
                line.0 = Some((name, progress.clone()));
                progress
            }
        }
    }
}

/// The line that tells how far it is, with the name of the part.
#[derive(Default)]
struct PhaseProgress(Option<(&'static str, ProgressLine)>);

impl PhaseProgress {
    fn clear(&mut self) {
        if let Some((_, progress)) = self.0.take() {
            progress.clear();
        }
    }
}
