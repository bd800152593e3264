//! The formats of other systems: `ingest --format NAME`, `--map FILE` and `--check-map FILE SAMPLE`.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;

use crate::codec::DecodeOptions;
use crate::codec::DecodeOutcome;
use crate::codec::DecodeStep;
use crate::codec::Decoder;
use crate::codec::EventFormat;
use crate::codec::jsonl::NestedKey;
use crate::context::Context;
use crate::event::NewEvent;
use crate::event::field::FIELDS;
use crate::event::field::FieldValue;
use crate::event::intake::KeyMap;
use crate::event::quoted;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::FileRights;
use crate::map::FieldOrigin;
use crate::map::RecordMap;
use crate::map::RecordPath;
use crate::map::built_in::BUILT_IN;
use crate::map::built_in::BuiltInFormat;
use crate::text;
use crate::time::Timestamp;

/// The longest map that is read.
const MAX_MAP_BYTES: u64 = 1 << 20;

/// The columns that what a field was taken from has at least and at most.
const MIN_ORIGIN_WIDTH: usize = 8;
const MAX_ORIGIN_WIDTH: usize = 32;

/// The records that `--check-map` shows.
const MAX_SHOWN_RECORDS: usize = 10;

/// A format that `--format` names.
#[derive(Clone, Copy)]
pub(super) enum InputFormat {
    Own(EventFormat),
    BuiltIn(&'static BuiltInFormat),
}

impl InputFormat {
    /// The parser of the flag's value.
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        let own = EventFormat::ALL.into_iter().map(EventFormat::name);
        let built_in = BUILT_IN.iter().map(|format| format.name);
        PossibleValuesParser::new(own.chain(built_in)).try_map(|name| {
            let own = EventFormat::ALL.into_iter().find(|format| format.name() == name);
            own.map(Self::Own)
                .or_else(|| BuiltInFormat::find(&name).map(Self::BuiltIn))
                .ok_or("no such format")
        })
    }

    /// Sets the options by which an input of this format is read. Maps live as long as the process, so
    /// that threads can share them.
    pub(super) fn apply(self, options: &mut DecodeOptions) {
        match self {
            Self::Own(format) => options.format = Some(format),
            Self::BuiltIn(format) => options.map = Some(Box::leak(Box::new(format.map()))),
        }
    }
}

/// Reads a map. It lives as long as the process.
///
/// # Errors
/// [`Exit::NoInput`]; [`Exit::Config`] with the file and the line.
pub(super) fn read_map(path: &Path, rights: &FileRights) -> Result<&'static RecordMap, Failure> {
    let name = path.display();
    let mut text = String::new();
    let read = open_as_caller(path, rights)
        .and_then(|file| file.take(MAX_MAP_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > MAX_MAP_BYTES => {
            return Err(Failure::new(Exit::Config, format!("{name}: a map has at most 1 MiB")));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(Failure::new(Exit::Config, format!("{name}: {error}")));
        }
        Err(error) => {
            let exit = match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::NoPermission,
                io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => Exit::NoInput,
                _ => Exit::Io,
            };
            let why = failure::os_error_message(&error);
            return Err(Failure::new(exit, format!("cannot read {name}: {why}"))
                .hint("--map takes a file with a map, or FIELD=PATH"));
        }
    }
    let map = RecordMap::parse(&text).map_err(|error| {
        Failure::new(Exit::Config, format!("{name}:{}: {}", error.line, error.reason))
            .hint("activity ingest --help")
    })?;
    Ok(Box::leak(Box::new(map)))
}

/// Reads `FIELD=PATH`, each for one field. They live as long as the process.
///
/// # Errors
/// [`Exit::Usage`], with the entry.
pub(super) fn read_keys(entries: &[&String], options: &mut DecodeOptions) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let usage = |why| Failure::new(Exit::Usage, format!("--map: {why}"));
    let mut map = KeyMap::default();
    let mut nested = Vec::new();
    for entry in entries {
        map.add(entry).map_err(usage)?;
        let name = entry.split_once('=').map_or("", |(_, key)| key);
        if name.contains(['.', '[', '"', '\'']) {
            let path = RecordPath::parse(name)
                .map_err(|why| usage(format!("{} is no path: {why}", quoted(name))))?;
            nested.push(NestedKey { name: name.to_owned(), path });
        }
    }
    options.key_map = Some(Box::leak(Box::new(map)));
    options.nested_keys = nested.leak();
    Ok(())
}

/// Opens a file that the caller names, with their own rights.
fn open_as_caller(path: &Path, rights: &FileRights) -> io::Result<File> {
    let _assumed = rights.assume()?;
    File::open(path)
}

/// Shows what the first records of files become by a map. Nothing is recorded.
///
/// # Errors
/// Those of reading the files and of the output.
pub(super) fn check_map(
    files: &[PathBuf],
    options: DecodeOptions,
    context: &Context,
) -> Result<Exit> {
    let mut exit = Exit::Success;
    for path in files {
        let name = text::escape_bytes(path.as_os_str().as_encoded_bytes());
        let failure = || Failure::new(Exit::NoInput, format!("cannot read {name}"));
        let file = open_as_caller(path, &context.settings.rights)
            .map_err(|error| anyhow::Error::new(error).context(failure()))?;
        let latest = file.metadata().and_then(|metadata| metadata.modified());
        let latest = latest.ok().map(Timestamp::from_system_time);
        let mut decoder = Decoder::with_origins(file, DecodeOptions { latest, ..options });
        let mut shown = 0;
        while shown < MAX_SHOWN_RECORDS {
            let record = match decoder.next() {
                DecodeStep::NeedsInput => {
                    decoder.fill().map_err(|error| anyhow::Error::new(error).context(failure()))?;
                    continue;
                }
                DecodeStep::Excess(_) => continue,
                DecodeStep::End => break,
                DecodeStep::Record(record) => record,
            };
            shown += 1;
            let place = format!("{name}:{}", record.line);
            let outcome = record.outcome;
            let origins = decoder.take_origins();
            match outcome {
                DecodeOutcome::Event(event) => {
                    context.output.print(describe(&place, &event, &origins).as_bytes())?;
                }
                DecodeOutcome::Rejected(reason)
                | DecodeOutcome::Truncated(reason)
                | DecodeOutcome::Unreadable(reason) => {
                    exit = Exit::Data;
                    context.output.warn(&format!("{place}: {}", text::escape(&reason)));
                }
            }
        }
    }
    Ok(exit)
}

/// The fields of an event, each on a line with what it was taken from.
fn describe(place: &str, event: &NewEvent, origins: &[FieldOrigin]) -> String {
    let mut page = format!("{place}\n");
    let origins: Vec<_> =
        origins.iter().map(|(name, origin)| (*name, text::escape(origin))).collect();
    let width = origins.iter().map(|(_, origin)| text::width(origin)).max().unwrap_or(0);
    let width = width.clamp(MIN_ORIGIN_WIDTH, MAX_ORIGIN_WIDTH);
    for field in &FIELDS {
        let value = match (field.given)(event) {
            None | Some(FieldValue::Hash(_) | FieldValue::Text("")) => continue,
            Some(FieldValue::Text(text)) => text::escape(text).into_owned(),
            Some(FieldValue::Json(json)) => text::escape(json.as_str()).into_owned(),
            Some(FieldValue::Integer(number)) => number.to_string(),
            Some(FieldValue::Time(at)) => at.to_string(),
        };
        let origin = match origins.iter().find(|(name, _)| *name == field.name) {
            Some((_, origin)) => origin.as_ref(),
            // Made of what no field took, or of the state before and after.
            None if field.name == "payload" => "the rest",
            None => "",
        };
        let pad = |text: &str, width: usize| " ".repeat(width.saturating_sub(text::width(text)));
        let (after_name, after_origin) = (pad(field.name, 19), pad(origin, width));
        page.extend(["  ", field.name, &after_name, origin, &after_origin, "  ", &value, "\n"]);
    }
    page
}
