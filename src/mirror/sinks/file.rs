//! `type = "file"`: appends events to a file, one line each.
//!
//! ## Durability
//!
//! A batch is synced before it counts as delivered. What a full disk left of it is cut off again; a
//! torn last line, whoever left it, is ended first.
//!
//! ## Concurrency
//!
//! Other programs may rotate the file. It is opened anew for each batch, and always appended to: so
//! it does not matter whether `logrotate` renames it or, with `copytruncate`, empties it. With the
//! latter, what is written between its copy and its truncation is lost to any writer; here it is
//! delivered again where that is seen. `rotate` in the config has no such gap.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::codec::jsonl;
use crate::codec::mirror_line;
use crate::config::mirror::FileConfig;
use crate::config::mirror::FileFormat;
use crate::config::mirror::FileRotation;
use crate::failure;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

const DEFAULT_BATCH: usize = 5_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

pub(super) struct FileSink {
    path: PathBuf,
    format: FileFormat,
    rotation: Option<FileRotation>,
    zone: Zone,
    clock: fn() -> Timestamp,
    /// The log, by device and inode: it is never written into.
    log: Option<(u64, u64)>,
    /// The lines of a batch, kept for their room.
    lines: String,
}

impl FileSink {
    pub(super) fn new(config: &FileConfig, context: &SinkContext<'_>) -> Self {
        Self {
            path: config.path.clone(),
            format: config.format,
            rotation: config.rotation,
            zone: *context.zone,
            clock: context.clock,
            log: fs::metadata(context.log).ok().map(|data| (data.dev(), data.ino())),
            lines: String::new(),
        }
    }

    fn encode(&mut self, batch: &[OutgoingEvent]) {
        self.lines.clear();
        for OutgoingEvent { event, identifier, .. } in batch {
            match self.format {
                FileFormat::MirrorLine => mirror_line::encode(event, identifier, &mut self.lines),
                FileFormat::JsonLines => jsonl::encode(event, &mut self.lines),
            }
            self.lines.push('\n');
        }
    }

    /// Appends the lines of a batch and syncs them.
    fn append(&self) -> io::Result<()> {
        self.rotate_if_due()?;
        let (mut file, is_new) = self.open()?;
        let begin = file.metadata()?.len();
        if let Err(error) = self.write_lines(&mut file, begin).and_then(|()| file.sync_data()) {
            // A part of a batch must not stay, for the whole batch comes again. Where it cannot be
            // cut off, the next batch ends the torn line.
            drop(file.set_len(begin));
            return Err(error);
        }
        if is_new {
            sync_folder(&self.path)?;
        }
        let data = file.metadata()?;
        if data.nlink() == 0 || data.len() < begin + self.lines.len() as u64 {
            return Err(io::Error::other("it was emptied or removed while it was written"));
        }
        Ok(())
    }

    fn write_lines(&self, file: &mut File, begin: u64) -> io::Result<()> {
        if begin > 0 {
            let mut last = [0];
            file.read_exact_at(&mut last, begin - 1)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        file.write_all(self.lines.as_bytes())
    }

    /// Opens the file to append to it, and says whether it is new.
    fn open(&self) -> io::Result<(File, bool)> {
        // NONBLOCK keeps the opening of a FIFO from waiting for a reader.
        let mut options = OpenOptions::new();
        options
            .read(true)
            .append(true)
            .mode(0o600)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let (file, is_new) = match options.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (options.create(true).open(&self.path)?, true)
            }
            opened => (opened?, false),
        };
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if self.log == Some((data.dev(), data.ino())) {
            return Err(io::Error::other("it is the log itself"));
        }
        Ok((file, is_new))
    }

    /// Gives the file another name where a new one is due.
    fn rotate_if_due(&self) -> io::Result<()> {
        let Some(rotation) = self.rotation else { return Ok(()) };
        let data = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            data => data?,
        };
        if data.len() == 0 || !data.is_file() {
            return Ok(());
        }
        let written = data.mtime().saturating_mul(NANOS_PER_SECOND);
        let written = Timestamp::from_nanos(written.saturating_add(data.mtime_nsec()));
        let suffix = match rotation {
            FileRotation::Daily => self.period_that_ended(written, 10),
            FileRotation::Monthly => self.period_that_ended(written, 7),
            FileRotation::Size(limit) => {
                (data.len() + self.lines.len() as u64 > limit).then(String::new)
            }
        };
        let Some(suffix) = suffix else { return Ok(()) };
        fs::rename(&self.path, self.free_name(&suffix)?)?;
        sync_folder(&self.path)
    }

    /// Returns the date of the last write, as many characters of it as name a period, where the period
    /// has ended.
    fn period_that_ended(&self, written: Timestamp, length: usize) -> Option<String> {
        let period = |at| {
            let mut date = self.zone.format(at, TimeFormat::Date);
            date.truncate(length);
            date
        };
        let last = period(written);
        (last < period((self.clock)())).then_some(last)
    }

    /// Returns the first name that is free: `PATH.SUFFIX`, then `PATH.SUFFIX.1`; `PATH.1` without a
    /// suffix.
    fn free_name(&self, suffix: &str) -> io::Result<PathBuf> {
        let name = |parts: &[&str]| {
            let mut name = self.path.clone().into_os_string();
            parts.iter().filter(|part| !part.is_empty()).for_each(|part| {
                name.push(".");
                name.push(part);
            });
            PathBuf::from(name)
        };
        let numbered = (1_u32..).map(|number| name(&[suffix, &number.to_string()]));
        let plain = (!suffix.is_empty()).then(|| name(&[suffix]));
        for candidate in plain.into_iter().chain(numbered) {
            if !candidate.try_exists()? {
                return Ok(candidate);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn to_failure(&self, error: &io::Error) -> SinkFailure {
        let path = text::escape_bytes(self.path.as_os_str().as_encoded_bytes());
        SinkFailure::unavailable(format!("{path}: {}", failure::os_error_message(error)))
    }
}

impl Sink for FileSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        self.encode(batch);
        self.append().map(|()| Vec::new()).map_err(|error| self.to_failure(&error))
    }

    /// Opens the file, and writes nothing into it.
    fn test(&mut self, _probe: &OutgoingEvent) -> Result<(), SinkFailure> {
        self.open().map(drop).map_err(|error| self.to_failure(&error))
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
