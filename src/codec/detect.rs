//! Decides the format of an input by its beginning.

use crate::codec::Dialect;
use crate::codec::EventFormat;
use crate::codec::frame::Splitter;
use crate::event::json;
use crate::map::RecordFormat;
use crate::map::RecordMap;
use crate::map::built_in;

/// Returns how the records of one of our own formats are found.
pub(super) fn own_dialect(format: EventFormat) -> (Dialect, Splitter) {
    match format {
        EventFormat::JsonLines => (Dialect::JsonLines, Splitter::Lines),
        EventFormat::Json => (Dialect::Json, Splitter::for_json_array()),
        EventFormat::Csv => (Dialect::Csv(None), Splitter::for_csv_rows()),
        EventFormat::Mirror => (Dialect::Mirror, Splitter::Lines),
    }
}

/// Returns how the records of one of our own formats are found in an input whose first line is `line`.
/// What is said to be JSON may be an array, or objects one after the other.
pub(super) fn named_dialect(format: EventFormat, line: &[u8]) -> (Dialect, Splitter) {
    match (format, line.trim_ascii().first()) {
        (EventFormat::Json, Some(b'{')) => (Dialect::Documents, Splitter::for_documents(&[])),
        _ => own_dialect(format),
    }
}

/// Returns how the records of a map are found in an input whose first line is `line`, as far as it was
/// read. JSON may be objects one a line, a list, or documents, whichever of them the map names.
pub(super) fn mapped_dialect(map: &RecordMap, line: &[u8]) -> (Dialect, Splitter) {
    let line = line.trim_ascii();
    match (map.format(), line.first()) {
        (Some(RecordFormat::Lines), _) => (Dialect::Lines, Splitter::Lines),
        (Some(RecordFormat::Csv), _) => own_dialect(EventFormat::Csv),
        (_, Some(b'[')) => own_dialect(EventFormat::Json),
        (_, Some(b'{')) => {
            let whole = std::str::from_utf8(line).ok().filter(|line| json::members(line).is_ok());
            if whole.is_some_and(|object| !map.has_list(object)) {
                return (Dialect::JsonLines, Splitter::Lines);
            }
            (Dialect::Documents, Splitter::for_documents(map.records()))
        }
        (None, _) => own_dialect(EventFormat::Csv),
        (Some(RecordFormat::JsonLines | RecordFormat::Json), _) => {
            own_dialect(EventFormat::JsonLines)
        }
    }
}

/// Refuses an input that is of another system: it is never guessed how to read it. `beginning` is what
/// was read of it, from its first line on.
///
/// # Errors
/// What it looks like, and how it is read.
pub(super) fn refuse_foreign(beginning: &[u8]) -> Result<(), String> {
    match built_in::recognise(beginning) {
        Some(format) => Err(format!("this looks like {}: --format {}", format.title, format.name)),
        None => Ok(()),
    }
}
