//! The file of rejected lines of `ingest --rejects`.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::codec;
use crate::codec::DecodeOptions;
use crate::export;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::ingest::Rejects;
use crate::ingest::RejectsContents;

/// The paths of the standard streams, to compare them with other paths.
pub(super) const STDIN_PATH: &str = "/dev/stdin";
const STDOUT_PATH: &str = "/dev/stdout";

/// The file of rejected lines. A rejected line counts as processed, so it must be on the disk before
/// the log notes that: `flush` syncs.
pub(super) struct RejectsFile {
    file: File,
    name: String,
    dirty: bool,
    contents: RejectsContents,
}

impl RejectsFile {
    /// Opens the file to append: the next run after a killed one goes on behind the lines that it
    /// rejected, so they must stay in the file. `-` is standard output.
    ///
    /// # Errors
    /// [`Exit::CantCreate`]; [`Exit::Usage`] where the file is the log or one of the inputs.
    pub(super) fn open(
        path: &Path,
        log: &Path,
        inputs: &[PathBuf],
        options: DecodeOptions,
    ) -> Result<Self> {
        let is_stdout = export::is_stdout(path);
        let real_path = if is_stdout { Path::new(STDOUT_PATH) } else { path };
        let name = if is_stdout { "standard output".into() } else { path.display().to_string() };
        export::refuse_log(real_path, log)?;
        let is_input = |input: &PathBuf| {
            let is_stdin = input.as_os_str() == "-";
            let input = if is_stdin { Path::new(STDIN_PATH) } else { input };
            // A terminal is both, and is no file that could be overwritten.
            input.metadata().is_ok_and(|metadata| metadata.is_file())
                && export::is_same_file(input, real_path)
        };
        let standard_input = [PathBuf::from(STDIN_PATH)];
        let inputs = if inputs.is_empty() { &standard_input } else { inputs };
        if inputs.iter().any(is_input) {
            return Err(
                Failure::new(Exit::Usage, format!("{name}: would overwrite the input")).into()
            );
        }
        let file = if is_stdout {
            io::stdout().as_fd().try_clone_to_owned().map(File::from)
        } else {
            OpenOptions::new().append(true).create(true).mode(0o600).open(path)
        };
        let file =
            file.with_context(|| Failure::new(Exit::CantCreate, format!("cannot create {name}")))?;
        let contents = read_contents(&file, real_path, options)
            .with_context(|| Failure::new(Exit::CantCreate, format!("cannot read {name}")))?;
        Ok(Self { file, name, dirty: false, contents })
    }

    /// Returns the receiver of the rejected lines of these inputs.
    ///
    /// # Errors
    /// [`Exit::Usage`], where the lines of a regular file among them could not be read again with
    /// those that are there; those of reading it.
    pub(super) fn receiver(
        &mut self,
        inputs: &[PathBuf],
        options: DecodeOptions,
    ) -> Result<Rejects<'_>> {
        let (name, contents) = (self.name.clone(), self.contents.clone());
        let mut rejects = Rejects::new(self, &name, contents);
        for path in inputs {
            if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            let name = path.display().to_string();
            let header = File::open(path)
                .and_then(|file| codec::read_csv_header(file, options))
                .with_context(|| Failure::new(Exit::Io, format!("cannot read {name}")))?;
            rejects.begin_input(&name, header.as_deref())?;
        }
        Ok(rejects)
    }

    fn to_write_error(&self, error: &io::Error) -> io::Error {
        let why = failure::os_error_message(error);
        io::Error::new(error.kind(), format!("cannot write {}: {why}", self.name))
    }
}

/// Returns the contents of an open file; a pipe or a device has none.
fn read_contents(file: &File, path: &Path, options: DecodeOptions) -> io::Result<RejectsContents> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(RejectsContents::default());
    }
    RejectsContents::read(File::open(path)?, options)
}

impl Write for RejectsFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.dirty = true;
        self.file.write(bytes).map_err(|error| self.to_write_error(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        match self.file.sync_data() {
            // Pipes and terminals cannot be synced.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced.map_err(|error| self.to_write_error(&error)),
        }
    }
}
