//! The log: where it lies, whose it is, how it ends, and the room that it has.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;

use crate::digest;
use crate::digest::outcome::RecordedOutcome;
use crate::digest::template_context::format_bytes;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::Subject;
use crate::doctor::owner::Owner;
use crate::doctor::reason;
use crate::doctor::runs::told_time;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::Query;
use crate::render::Status;
use crate::settings::Origin;
use crate::settings::Sourced;
use crate::store::Log;
use crate::store::Order;
use crate::store::PageRequest;

/// What a sweep keeps beside the log, so that it can work on a full disk.
const RESERVE: u64 = 8 << 20;
/// A write-ahead log is taken in after some 4 MiB; beyond this nobody has for long.
const LARGE_WAL: u64 = 256 << 20;
/// The hexadecimal digits of a hash that tell it from others.
const DIGITS: usize = 16;

/// What there is of a log.
#[derive(Default)]
pub(super) struct Found {
    path: PathBuf,
    origin: Option<Origin>,
    file: Option<Owner>,
    folder: Option<Owner>,
    wal: u64,
    reserve: Option<u64>,
    read: Read,
}

#[derive(Default)]
enum Read {
    /// Nobody knows who may.
    #[default]
    Not,
    /// Why it cannot be, and what helps.
    Failed(String, Option<String>),
    Whole(Box<Contents>),
}

/// What stands in a log.
pub(super) struct Contents {
    pub schema: i64,
    pub warnings: Vec<String>,
    pub head: (EventId, Hash),
    /// What was recorded last, as far as it is still there.
    pub newest: Option<Event>,
    /// What occurred last, by its own word.
    pub latest: Option<Event>,
    pub digests: Vec<RecordedOutcome>,
    pub sweep: Option<Event>,
}

impl Found {
    pub(super) fn contents(&self) -> Option<&Contents> {
        match &self.read {
            Read::Whole(contents) => Some(contents),
            Read::Not | Read::Failed(..) => None,
        }
    }
}

pub(super) fn look(subject: &Subject<'_>) -> Found {
    let db = subject.settings.db();
    let known =
        db.ok().filter(|_| subject.config_fault.is_none() || subject.settings.has_explicit_log());
    let Some(Sourced { value: path, origin }) = known else { return Found::default() };
    let beside = |ending: &str| {
        let mut name = path.clone().into_os_string();
        name.push(ending);
        Owner::of(Path::new(&name)).map(|owner| owner.size)
    };
    let read = match &subject.log {
        None => Read::Not,
        Some(opened) => match opened.as_ref().map(Contents::read) {
            Ok(Ok(contents)) => Read::Whole(Box::new(contents)),
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(error),
        },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Found {
        file: Owner::of(&path),
        folder: Owner::of(folder.unwrap_or(Path::new("."))),
        wal: beside("-wal").unwrap_or(0),
        reserve: beside(".reserve"),
        path,
        origin: Some(origin),
        read,
    }
}

fn failed(error: &anyhow::Error) -> Read {
    let (what, hint) = reason(error);
    Read::Failed(what, hint)
}

impl Contents {
    pub(super) fn read(log: &Log) -> Result<Self> {
        log.with_snapshot(|| {
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
                newest: log.event(head.0)?,
                latest: log.page(&Query::default(), &page)?.pop(),
                digests: digest::report::history(log)?,
                sweep: log.own_events("retention.sweep")?.pop(),
            })
        })
    }
}

pub(super) fn judge(found: &Found, subject: &Subject<'_>) -> Vec<Check> {
    let check = |name, status, value: String| Check::new(Area::Log, name, status, value);
    let mut checks = vec![file(found)];
    checks.extend(found.folder.as_ref().filter(|folder| folder.others_write()).map(|folder| {
        let value = format!("{}: others may put another log in its place", folder.told());
        check("folder", Status::Bad, value).advise("chmod o-w on the log's folder")
    }));
    if let Read::Whole(contents) = &found.read {
        let two_names = found.file.as_ref().is_some_and(|file| file.names > 1);
        let status = if two_names { Status::Bad } else { Status::Note };
        checks.extend(contents.warnings.iter().map(|told| check("place", status, told.clone())));
        checks.extend(ending(contents, subject));
    }
    if found.file.is_none() {
        return checks;
    }
    checks.push(match found.reserve {
        Some(size @ RESERVE..) => check("reserve", Status::Ok, format_bytes(size)),
        Some(size) => check(
            "reserve",
            Status::Note,
            format!("{}, less than {}", format_bytes(size), format_bytes(RESERVE)),
        )
        .advise("the next sweep makes it anew"),
        None => {
            check("reserve", Status::Note, "none: a sweep could not work on a full disk".to_owned())
                .advise("the next sweep makes it")
        }
    });
    if found.wal > LARGE_WAL {
        let value = format!("{} are not yet taken in", format_bytes(found.wal));
        checks.push(
            check("wal", Status::Note, value)
                .advise("something has read the log for long: `fuser` on the log names it"),
        );
    }
    checks.push(space(subject));
    checks
}

fn file(found: &Found) -> Check {
    let check = |status, value: String| Check::new(Area::Log, "file", status, value);
    let path = found.path.display();
    let checked = match (&found.file, &found.read) {
        (None, Read::Not) if found.origin.is_none() => {
            check(Status::Note, "which one is meant stands in the config".to_owned())
        }
        (_, Read::Failed(what, hint)) => {
            Check { advice: hint.clone(), ..check(Status::Bad, what.clone()) }
        }
        (None, _) => check(Status::Bad, format!("{path}: no such file")),
        (Some(file), read) => {
            let schema = match read {
                Read::Whole(contents) => format!(", schema {}", contents.schema),
                Read::Not | Read::Failed(..) => String::new(),
            };
            let value = format!("{path}, {}, {}{schema}", file.told(), format_bytes(file.size));
            match read {
                Read::Not => check(Status::Note, value)
                    .advise("it is not read, for who may do so stands in the config"),
                _ if file.others_write() => {
                    check(Status::Bad, value).advise("chmod o-w on the log: anybody can ruin it")
                }
                _ if file.others_read() => check(Status::Note, value)
                    .advise("everybody on this host may read who did what: chmod o-r"),
                _ => check(Status::Ok, value),
            }
        }
    };
    Check { origin: found.origin, ..checked }
}

/// How the log ends.
fn ending(contents: &Contents, subject: &Subject<'_>) -> Vec<Check> {
    let check = |name, status, value: String| Check::new(Area::Log, name, status, value);
    let (id, hash) = (contents.head.0, contents.head.1.to_string());
    let head = format!("{id}:{}, `activity verify` checks the chain", &hash[..DIGITS]);
    let newest = match &contents.newest {
        Some(event) => {
            let at = told_time(event.recorded_at, subject.now, subject.setting.zone);
            check("newest", Status::Ok, format!("event {id}, {}, {at}", event.action.slug))
        }
        None if id.0 == 0 => check("newest", Status::Note, "no events yet".to_owned())
            .advise("`activity ingest --action setup.test` records one"),
        None => check("newest", Status::Note, format!("event {id} is no longer there")),
    };
    let head = (id.0 > 0).then(|| check("head", Status::Ok, head));
    [newest].into_iter().chain(head).collect()
}

fn space(subject: &Subject<'_>) -> Check {
    let wanted = subject.settings.space_left();
    let check = |status, value: String| Check::new(Area::Log, "space", status, value);
    let asked = format!("{} asked for", format_bytes(wanted.value));
    let check = match subject.free {
        Some(free) if free < wanted.value => {
            check(Status::Bad, format!("only {} free, {asked}", format_bytes(free)))
                .advise("`activity sweep` gives back what is past its time")
        }
        Some(free) => check(Status::Ok, format!("{} free, {asked}", format_bytes(free))),
        None => check(Status::Note, "the system does not tell how much is free".to_owned()),
    };
    check.from(wanted.origin)
}
