//! The checks of the log: its file, its owner, its newest event and the space on its disk.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::digest;
use crate::digest::outcome::RecordedOutcome;
use crate::digest::phrases::format_bytes;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::CheckInputs;
use crate::doctor::file_access::FileAccess;
use crate::doctor::last_runs::describe_time;
use crate::doctor::reason_and_hint;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::Query;
use crate::render::Status;
use crate::settings::Origin;
use crate::settings::Sourced;
use crate::store::Companion;
use crate::store::LocalLog;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::RESERVE_SIZE;
use crate::store::verify::PendingWrites;
use crate::store::verify::ReadError;

/// SQLite takes a write-ahead log in after some 4 MiB; one beyond this size was left alone for
/// long.
const LARGE_WAL: u64 = 256 << 20;
/// The bits of a mode that let a group share a log, and its folder.
const GROUP_READ_WRITE: u32 = 0o060;
const GROUP_ALL: u32 = 0o070;
/// Files in a folder with this bit get the folder's group.
const SETGID: u32 = 0o2000;
/// The number of hexadecimal digits that tell one hash from another.
const SHOWN_HASH_DIGITS: usize = 16;

/// The files of a log and its contents.
#[derive(Default)]
pub(super) struct LogInspection {
    path: PathBuf,
    origin: Option<Origin>,
    file: Option<FileAccess>,
    folder: Option<FileAccess>,
    wal_size: u64,
    reserve_size: Option<u64>,
    read_outcome: ReadOutcome,
}

#[derive(Default)]
enum ReadOutcome {
    /// The config says who may read it, and the config cannot be read.
    #[default]
    Unread,
    /// The reason why it cannot be read, and a hint.
    Failed(String, Option<String>),
    Read(Box<LogContents>),
}

/// The contents of a log, as far as the checks need them.
pub(super) struct LogContents {
    pub schema: i64,
    pub warnings: Vec<String>,
    pub head: (EventId, Hash),
    /// The event that was recorded last; absent where a sweep removed it.
    pub last_recorded: Option<Event>,
    /// The event with the latest `occurred_at`.
    pub last_occurred: Option<Event>,
    pub digests: Vec<RecordedOutcome>,
    pub last_sweep: Option<Event>,
    /// Whether an event belongs to a tenant.
    pub has_tenants: bool,
    pub pending_writes: PendingWrites,
}

impl LogInspection {
    pub(super) fn contents(&self) -> Option<&LogContents> {
        match &self.read_outcome {
            ReadOutcome::Read(contents) => Some(contents),
            ReadOutcome::Unread | ReadOutcome::Failed(..) => None,
        }
    }
}

pub(super) fn inspect(subject: &CheckInputs<'_>) -> LogInspection {
    let db = subject.settings.db();
    let known =
        db.ok().filter(|_| subject.config_error.is_none() || subject.settings.has_explicit_log());
    let Some(Sourced { value: path, origin }) = known else { return LogInspection::default() };
    let size_of =
        |companion: Companion| FileAccess::read(&companion.path(&path)).map(|file| file.size);
    let read = match &subject.log {
        None => ReadOutcome::Unread,
        Some(opened) => match opened.as_ref().map(LogContents::read) {
            Ok(Ok(contents)) => ReadOutcome::Read(Box::new(contents)),
            Ok(Err(error)) => read_failure(&error),
            Err(error) => read_failure(error),
        },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    LogInspection {
        file: FileAccess::read(&path),
        folder: FileAccess::read(folder.unwrap_or(Path::new("."))),
        wal_size: size_of(Companion::WriteAheadLog).unwrap_or(0),
        reserve_size: size_of(Companion::Reserve),
        path,
        origin: Some(origin),
        read_outcome: read,
    }
}

fn read_failure(error: &anyhow::Error) -> ReadOutcome {
    let (what, hint) = reason_and_hint(error);
    ReadOutcome::Failed(what, hint)
}

impl LogContents {
    pub(super) fn read(log: &LocalLog) -> Result<Self> {
        let pending_writes =
            log.inspect(PlatformWork::Examination, |log| match log.pending_writes() {
                Ok(pending) => Ok(pending),
                Err(ReadError::Damage(what)) => Ok(PendingWrites::Damaged(what)),
                Err(ReadError::Failed(error)) => Err(error),
            })?;
        log.with_snapshot(|| {
            let scope = Scope::of(PlatformWork::Examination);
            let head = log.head()?;
            let page = PageRequest {
                order: Order::NewestFirst,
                after: None,
                skip: 0,
                limit: 1,
                up_to: None,
            };
            Ok(Self {
                schema: log.schema_version()?,
                warnings: log.warnings().to_vec(),
                head,
                last_recorded: log.event(&scope, head.0)?,
                last_occurred: log.page(&scope, &Query::default(), &page)?.pop(),
                digests: digest::logs::history(log)?,
                last_sweep: log.own_events(PlatformWork::Examination, "retention.sweep")?.pop(),
                has_tenants: log.count(&scope, &Query::with_tenant(), 1)? > 0,
                pending_writes,
            })
        })
    }
}

/// Reports a log that a group may write, in a folder in which that group cannot make the files beside it.
fn check_sharing(found: &LogInspection) -> Option<Check> {
    let (file, folder) = (found.file.as_ref()?, found.folder.as_ref()?);
    if file.mode & GROUP_READ_WRITE != GROUP_READ_WRITE || file.user == file.group {
        return None;
    }
    let is_shared = folder.mode & (SETGID | GROUP_ALL) == SETGID | GROUP_ALL;
    let fits = is_shared && folder.group == file.group;
    let value = format!("the log is for group {}, its folder is {}", file.group, folder.describe());
    let parent = found.path.parent().unwrap_or(Path::new("."));
    let advice = format!("chgrp {} {dir} && chmod 2770 {dir}", file.group, dir = parent.display());
    (!fits).then(|| Check::new(Area::Log, "sharing", Status::Note, value).with_advice(advice))
}

/// Notes that there is another log where the program looks for one.
fn check_other_log(found: &LogInspection, subject: &CheckInputs<'_>) -> Option<Check> {
    let own = subject.settings.own_log()?;
    let is_other = own != found.path && own.symlink_metadata().is_ok();
    let value = format!("{} is there too", own.display());
    let advice = "what was recorded there is not in this log: activity --db PATH list shows it";
    is_other.then(|| Check::new(Area::Log, "other log", Status::Note, value).with_advice(advice))
}

pub(super) fn evaluate(found: &LogInspection, subject: &CheckInputs<'_>) -> Vec<Check> {
    let check = |name, status, value: String| Check::new(Area::Log, name, status, value);
    let mut checks = vec![check_file(found)];
    checks.extend(found.folder.as_ref().filter(|folder| folder.is_writable_by_others()).map(
        |folder| {
            let value = format!("{}: others may put another log in its place", folder.describe());
            check("folder", Status::Bad, value).with_advice("chmod o-w on the log's folder")
        },
    ));
    checks.extend(check_other_log(found, subject));
    checks.extend(check_sharing(found));
    if let ReadOutcome::Read(contents) = &found.read_outcome {
        let two_names = found.file.as_ref().is_some_and(|file| file.hard_links > 1);
        let status = if two_names { Status::Bad } else { Status::Note };
        checks.extend(
            contents.warnings.iter().map(|warning| check("place", status, warning.clone())),
        );
        checks.extend(check_end(contents, subject));
        checks.extend(check_pending_writes(&contents.pending_writes));
    }
    if found.file.is_none() {
        return checks;
    }
    checks.push(match found.reserve_size {
        Some(size @ RESERVE_SIZE..) => check("reserve", Status::Ok, format_bytes(size)),
        Some(size) => check(
            "reserve",
            Status::Note,
            format!("{}, less than {}", format_bytes(size), format_bytes(RESERVE_SIZE)),
        )
        .with_advice("the next sweep makes it anew"),
        None => {
            check("reserve", Status::Note, "none: a sweep could not work on a full disk".to_owned())
                .with_advice("the next sweep makes it")
        }
    });
    if found.wal_size > LARGE_WAL {
        let value = format!("{} are not yet taken in", format_bytes(found.wal_size));
        checks.push(
            check("wal", Status::Note, value)
                .with_advice("something has read the log for long: `fuser` on the log names it"),
        );
    }
    checks.push(check_space(subject));
    checks
}

fn check_file(found: &LogInspection) -> Check {
    let check = |status, value: String| Check::new(Area::Log, "file", status, value);
    let path = found.path.display();
    let checked = match (&found.file, &found.read_outcome) {
        (None, ReadOutcome::Unread) if found.origin.is_none() => {
            check(Status::Note, "the config names it, and the config cannot be read".to_owned())
        }
        (_, ReadOutcome::Failed(what, hint)) => {
            Check { advice: hint.clone(), ..check(Status::Bad, what.clone()) }
        }
        (None, _) => check(Status::Bad, format!("{path}: no such file")),
        (Some(file), read) => {
            let schema = match read {
                ReadOutcome::Read(contents) => format!(", schema {}", contents.schema),
                ReadOutcome::Unread | ReadOutcome::Failed(..) => String::new(),
            };
            let value = format!("{path}, {}, {}{schema}", file.describe(), format_bytes(file.size));
            match read {
                ReadOutcome::Unread => check(Status::Note, value)
                    .with_advice("it is not read, because the config says who may read it"),
                _ if file.is_writable_by_others() => check(Status::Bad, value)
                    .with_advice("chmod o-w on the log: anybody can ruin it"),
                _ if file.is_readable_by_others() => check(Status::Note, value)
                    .with_advice("everybody on this host may read who did what: chmod o-r"),
                _ => check(Status::Ok, value),
            }
        }
    };
    Check { origin: found.origin, ..checked }
}

/// Checks what is not yet copied into the file of the log.
fn check_pending_writes(pending: &PendingWrites) -> Option<Check> {
    let check = |status, value: &str| Check::new(Area::Log, "wal", status, value.to_owned());
    match pending {
        PendingWrites::Sound => None,
        PendingWrites::CutShort(what) => Some(
            check(Status::Note, what).with_advice("a power cut has ended a write there, or damage"),
        ),
        PendingWrites::Damaged(what) => Some(check(Status::Bad, what).with_advice(
            "acknowledged events are gone: `activity export` what is there, and restore a backup",
        )),
    }
}

/// Checks the newest event and the head.
fn check_end(contents: &LogContents, subject: &CheckInputs<'_>) -> Vec<Check> {
    let check = |name, status, value: String| Check::new(Area::Log, name, status, value);
    let (id, hash) = (contents.head.0, contents.head.1.to_string());
    let head = format!("{id}:{}, `activity verify` checks the chain", &hash[..SHOWN_HASH_DIGITS]);
    let newest = match &contents.last_recorded {
        Some(event) => {
            let at = describe_time(event.recorded_at, subject.now, subject.mail_context.zone);
            check("newest", Status::Ok, format!("event {id}, {}, {at}", event.action.slug))
        }
        None if id.0 == 0 => check("newest", Status::Note, "no events yet".to_owned())
            .with_advice("`activity ingest --action setup.test` records one"),
        None => check("newest", Status::Note, format!("event {id} is no longer there")),
    };
    let head = (id.0 > 0).then(|| check("head", Status::Ok, head));
    [newest].into_iter().chain(head).collect()
}

fn check_space(subject: &CheckInputs<'_>) -> Check {
    let wanted = subject.settings.space_left();
    let check = |status, value: String| Check::new(Area::Log, "space", status, value);
    let asked = format!("{} asked for", format_bytes(wanted.value));
    let check = match subject.free_bytes {
        Some(free) if free < wanted.value => {
            check(Status::Bad, format!("only {} free, {asked}", format_bytes(free)))
                .with_advice("`activity sweep` gives back what is past its time")
        }
        Some(free) => check(Status::Ok, format!("{} free, {asked}", format_bytes(free))),
        None => check(Status::Note, "the system does not tell how much is free".to_owned()),
    };
    check.with_origin(wanted.origin)
}
