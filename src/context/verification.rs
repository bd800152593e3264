//! Verification and backup of the log, with progress on standard error.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::access::Capability;
use crate::backup;
use crate::backup::BackupSummary;
use crate::context::LogAccess;
use crate::context::Output;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::FileRights;
use crate::store::LocalLog;
use crate::store::Log;
use crate::terminal::ProgressLine;
use crate::terminal::ProgressTotal;
use crate::verify;
use crate::verify::VerifyOptions;
use crate::verify::VerifyReport;
use crate::verify::anchors;
use crate::verify::anchors::Anchor;

/// The largest file of anchors, in bytes.
const MAX_ANCHORS_SIZE: u64 = 64 << 20;

impl LogAccess<'_> {
    /// Refuses a caller who may not check the log, before a file is opened for them.
    ///
    /// # Errors
    /// [`Exit::NoPermission`].
    pub(crate) fn ensure_may_verify(self) -> Result<()> {
        Ok(self.context.settings.permissions.require_administrator("verify")?)
    }

    /// Checks the log against its hashes, and against heads that were noted.
    ///
    /// # Errors
    /// As [`verify::run`].
    pub(crate) fn verify(self, request: &VerifyOptions<'_>) -> Result<VerifyReport> {
        self.ensure_may_verify()?;
        let log = Log::open_to_read(&self.context.settings.db()?.value)?;
        let mut progress = PhaseProgress::new(&self.context.output);
        let report = verify::run(&log, request, &mut |update| {
            progress.show_verification(update);
        });
        progress.clear();
        report
    }

    /// Copies the log to a file.
    ///
    /// # Errors
    /// As [`backup::run`].
    pub(crate) fn back_up(self, file: &Path) -> Result<BackupSummary> {
        self.context.settings.permissions.require(Capability::Backup)?;
        let path = self.context.settings.db()?.value;
        let log = LocalLog::open_to_read(&path)?;
        let mut progress = PhaseProgress::new(&self.context.output);
        // Everything of the log is open by now; the copy is the caller's file.
        let assumed = self.context.settings.rights.assume()?;
        let copied = backup::run(&log, &path, file, &mut |update| match update {
            backup::BackupProgress::Copied { bytes, of } => {
                progress.phase("copy", ProgressTotal::Bytes(of)).update(bytes, 0);
            }
            backup::BackupProgress::Verified(update) => progress.show_verification(update),
        });
        drop(assumed);
        progress.clear();
        copied
    }
}

/// Reads the anchors in a file, a text or a saved mail, of somebody with these rights; `-` is standard
/// input.
///
/// # Errors
/// [`Exit::NoInput`] if it cannot be read, [`Exit::Data`] if it has none.
pub(crate) fn read_anchors(file: &Path, rights: &FileRights) -> Result<Vec<Anchor>> {
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let mut bytes = Vec::new();
    let source: io::Result<Box<dyn Read>> = if file == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        let _assumed = rights.assume()?;
        File::open(file).map(|file| Box::new(file) as Box<dyn Read>)
    };
    source
        .and_then(|source| source.take(MAX_ANCHORS_SIZE + 1).read_to_end(&mut bytes))
        .with_context(|| Failure::new(Exit::NoInput, format!("cannot read {name}")))?;
    if bytes.len() as u64 > MAX_ANCHORS_SIZE {
        let message = format!("{name}: longer than {} MiB", MAX_ANCHORS_SIZE >> 20);
        return Err(Failure::new(Exit::Data, message).into());
    }
    let anchors = anchors::find_anchors(&bytes);
    if anchors.is_empty() {
        let message = format!("{name}: no ID:HASH in it");
        let hint = "a digest mail has one at its end, `activity verify` prints one";
        return Err(Failure::new(Exit::Data, message).hint(hint).into());
    }
    Ok(anchors)
}

/// A line that shows how far the work is, one phase at a time.
struct PhaseProgress<'a> {
    output: &'a Output,
    /// The phase that is shown, by its name.
    current: Option<(&'static str, ProgressLine)>,
}

impl<'a> PhaseProgress<'a> {
    fn new(output: &'a Output) -> Self {
        Self { output, current: None }
    }

    fn show_verification(&mut self, progress: verify::VerifyProgress) {
        match progress {
            verify::VerifyProgress::Integrity => {
                drop(self.phase("integrity check", ProgressTotal::Unknown));
            }
            verify::VerifyProgress::Event { id, of, events } => {
                self.phase("chain", ProgressTotal::Events(Some(of))).update(id, events);
            }
        }
    }

    /// Returns the line for a phase of the work; a new phase clears the line of the one before it.
    fn phase(&mut self, name: &'static str, total: ProgressTotal) -> ProgressLine {
        match &self.current {
            Some((current, line)) if *current == name => line.clone(),
            _ => {
                self.clear();
                let line = self.output.start_progress(name, total);
                self.current = Some((name, line.clone()));
                line
            }
        }
    }

    fn clear(&mut self) {
        if let Some((_, line)) = self.current.take() {
            line.clear();
        }
    }
}
