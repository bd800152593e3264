//! CSV: a header with the names of the fields, then a row for each event, every cell quoted.
//!
//! A cell that a spreadsheet would run as a formula is guarded by a `'` in front. The guard is
//! reversible: a value that already looks guarded is guarded too, so that removing one guard returns
//! every value. This is the only module that uses the `csv` crate.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;
use std::io;
use std::io::Read;

use csv::StringRecord;
use memchr::memchr;

use crate::codec::DecodeOptions;
use crate::event::Event;
use crate::event::NewEvent;
use crate::event::builder::InputValue;
use crate::event::builder::NewEventBuilder;
use crate::event::field;
use crate::event::field::Field;
use crate::event::field::FieldValue;
use crate::event::intake::KeyMap;
use crate::event::quoted;
use crate::map::MapContext;
use crate::map::Record;
use crate::map::RecordMap;
use crate::map::RecordValue;
use crate::text;

/// The column without which CSV holds no events.
const REQUIRED_COLUMN: &str = "action";

/// The width of the list of columns in a message.
const MAX_SHOWN_COLUMNS: usize = 200;

/// Appends the header: the names of the fields.
pub(crate) fn encode_header(fields: &[&'static Field], out: &mut Vec<u8>) {
    let mut row = EncodedRow::begin(out);
    fields.iter().for_each(|field| row.push(field.name));
    row.end();
}

/// Appends the header of events that have the name of their log.
pub(crate) fn encode_header_with_log(fields: &[&'static Field], out: &mut Vec<u8>) {
    let mut row = EncodedRow::begin(out);
    row.push("log");
    fields.iter().for_each(|field| row.push(field.name));
    row.end();
}

/// Appends some fields of an event as one row, behind the name of its log where it has one. Cells are
/// not guarded where `raw` is set. `scratch` is for numbers.
pub(crate) fn encode(
    event: &Event,
    fields: &[&'static Field],
    raw: bool,
    scratch: &mut String,
    out: &mut Vec<u8>,
) {
    let mut row = EncodedRow::begin(out);
    if let Some(log) = event.log.as_deref() {
        row.push_guarded(log, raw);
    }
    for field in fields {
        scratch.clear();
        match (field.get)(event) {
            None => row.push(""),
            Some(FieldValue::Text(text)) => row.push_guarded(text, raw),
            Some(FieldValue::Json(json)) => row.push_guarded(json.as_str(), raw),
            Some(FieldValue::Integer(number)) => {
                write!(scratch, "{number}").expect("a String takes it");
                row.push_guarded(scratch, raw);
            }
            // Both begin with a digit, or a letter.
            Some(FieldValue::Time(at)) => {
                at.write_sortable_into(scratch);
                row.push(scratch);
            }
            Some(FieldValue::Hash(hash)) => {
                hash.write_hex_into(scratch);
                row.push(scratch);
            }
        }
    }
    row.end();
}

/// A row that is being written.
struct EncodedRow<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> EncodedRow<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { start: out.len(), out }
    }

    /// Appends a cell so that no spreadsheet runs it, unless it is to stay as it is.
    fn push_guarded(&mut self, text: &str, raw: bool) {
        self.push_behind(if !raw && needs_guard(text) { b"'" } else { b"" }, text);
    }

    fn push(&mut self, text: &str) {
        self.push_behind(b"", text);
    }

    fn push_behind(&mut self, guard: &[u8], text: &str) {
        self.out.extend_from_slice(if self.out.len() > self.start { b",\"" } else { b"\"" });
        self.out.extend_from_slice(guard);
        let mut rest = text.as_bytes();
        while let Some(quote) = memchr(b'"', rest) {
            self.out.extend_from_slice(&rest[..=quote]);
            self.out.push(b'"');
            rest = &rest[quote + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn end(self) {
        self.out.push(b'\n');
    }
}

/// Whether a spreadsheet would run the text as a formula, or the text looks like a guarded one.
fn needs_guard(text: &str) -> bool {
    let first = text.bytes().find(|byte| *byte != b'\'');
    first.is_some_and(|byte| matches!(byte, b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}

fn strip_guard(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if needs_guard(rest) => rest,
        _ => cell,
    }
}

/// What may stand between cells.
const DELIMITERS: [u8; 3] = *b",;\t";

/// The line by which spreadsheets say what stands between cells, before the header.
const DELIMITER_LINE: &str = "sep=";

/// Whether a line only names the delimiter. The header shows it too.
pub(super) fn is_delimiter_line(line: &[u8]) -> bool {
    let mark = line.trim_ascii_end().strip_prefix(DELIMITER_LINE.as_bytes());
    // A tab has been trimmed.
    mark.is_some_and(|mark| mark.is_empty() || matches!(mark, [mark] if DELIMITERS.contains(mark)))
}

/// Returns what stands between the cells of a header: the mark that it has most of outside quotes.
fn delimiter_of(header: &str) -> u8 {
    let mut in_quotes = false;
    let mut counts = [0_usize; DELIMITERS.len()];
    for byte in header.bytes() {
        in_quotes ^= byte == b'"';
        for (count, delimiter) in counts.iter_mut().zip(DELIMITERS) {
            *count += usize::from(byte == delimiter && !in_quotes);
        }
    }
    // Of equal counts the first wins, which is the comma.
    let most = counts.iter().max().copied().unwrap_or_default();
    let found = counts.iter().zip(DELIMITERS).find(|(count, _)| **count == most);
    found.map_or(b',', |(_, delimiter)| delimiter)
}

/// Whether a first line is the header of events.
pub(super) fn is_header(line: &[u8], key_map: Option<&KeyMap>) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    // This cuts a cell that contains a delimiter. Such a cell is not the required column anyway.
    let has_column = line.split(DELIMITERS.map(char::from)).any(|cell| {
        let cell = cell.trim();
        let cell = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell);
        let cell = cell.trim();
        cell.eq_ignore_ascii_case(REQUIRED_COLUMN)
            || key_map.is_some_and(|map| map.maps_to(cell, REQUIRED_COLUMN))
    });
    has_column || is_delimiter_line(line.as_bytes())
}

/// A table of events: its columns, and the reader of its rows.
pub(super) struct CsvDecoder {
    header: Vec<u8>,
    columns: Vec<String>,
    delimiter: u8,
    raw_cells: bool,
    /// How the rows of another system become events.
    map: Option<&'static RecordMap>,
    reader: csv::Reader<RowSource>,
    row: StringRecord,
}

impl CsvDecoder {
    /// Returns a decoder of the rows below `header`, the text of the first row.
    ///
    /// # Errors
    /// The reason: no column is `action`, or two columns have the same name.
    pub(super) fn new(header: &str, options: &DecodeOptions) -> Result<Self, String> {
        let delimiter = delimiter_of(header);
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(RowSource::default());
        let mut table = Self {
            header: format!("{header}\n").into_bytes(),
            columns: Vec::new(),
            delimiter,
            raw_cells: options.raw_cells,
            map: options.map,
            reader,
            row: StringRecord::new(),
        };
        table.parse_row(header)?;
        let unnamed = |index: usize| format!("column_{}", index + 1);
        table.columns = table
            .row
            .iter()
            .map(str::trim)
            .enumerate()
            .map(|(index, name)| match options.map.and_then(|map| map.column_name(name)) {
                Some(known) => known.to_owned(),
                None if name.is_empty() => unnamed(index),
                None => name.to_owned(),
            })
            .collect();
        let mut names = HashSet::new();
        if let Some(duplicate) = table.columns.iter().find(|name| !names.insert(name.as_str())) {
            return Err(format!("column {} stands in the header twice", quoted(duplicate)));
        }
        let is_action = |name: &&str| {
            options.key_map.is_some_and(|map| map.maps_to(name, REQUIRED_COLUMN))
                || field::lookup(name).is_some_and(|known| known.name() == REQUIRED_COLUMN)
        };
        if options.map.is_none() && !names.iter().any(is_action) {
            let columns = table.columns.join(", ");
            let columns = text::truncate(&columns, MAX_SHOWN_COLUMNS);
            return Err(format!(
                "no column of the header is {REQUIRED_COLUMN}; --map {REQUIRED_COLUMN}=COLUMN takes it \
                 from one of {columns}"
            ));
        }
        Ok(table)
    }

    /// Returns what stands between the cells.
    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Returns the header row as it was read.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Reads an event from the text of one row.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn decode(
        &mut self,
        row: &str,
        context: MapContext<'_>,
    ) -> Result<NewEvent, String> {
        if let Some(cell) = cell_with_text_behind_quote(row, self.delimiter) {
            let column = self.columns.get(cell).map_or("a cell", String::as_str);
            return Err(format!(
                "{}: text follows the closing quote; a quote within a cell is written twice",
                quoted(column)
            ));
        }
        self.parse_row(row)?;
        if self.row.len() != self.columns.len() {
            return Err(format!(
                "has {} cells, and the header has {}",
                self.row.len(),
                self.columns.len()
            ));
        }
        let cells = self.columns.iter().zip(&self.row).map(|(column, cell)| {
            (column.as_str(), if self.raw_cells { cell } else { strip_guard(cell) })
        });
        if let Some(map) = self.map {
            let values = cells.map(|(column, cell)| {
                (Cow::Borrowed(column), RecordValue::Text(Cow::Borrowed(cell)))
            });
            return map.event(Record::new(values)?, context);
        }
        let mut builder = NewEventBuilder::new(context.intake);
        for (column, cell) in cells {
            builder.add(Cow::Borrowed(column), InputValue::Untyped(Cow::Borrowed(cell)))?;
        }
        builder.build()
    }

    /// Parses one row, which need not end in a line feed.
    fn parse_row(&mut self, row: &str) -> Result<(), String> {
        self.reader.get_mut().set_row(row);
        match self.reader.read_record(&mut self.row) {
            Ok(true) => Ok(()),
            Ok(false) => Err("holds no cells".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Returns the number of the first cell of a row in which text follows the closing quote, counted from 0.
/// The `csv` crate would drop quotes of such a cell and keep the rest.
fn cell_with_text_behind_quote(row: &str, delimiter: u8) -> Option<usize> {
    let bytes = row.as_bytes();
    let (mut at, mut cell) = (0, 0);
    loop {
        if bytes.get(at) == Some(&b'"') {
            at = behind_closing_quote(bytes, at + 1)?;
            match bytes.get(at) {
                Some(byte) if *byte == delimiter => {}
                Some(b'\r' | b'\n') | None => return None,
                Some(_) => return Some(cell),
            }
        } else {
            at += memchr(delimiter, bytes.get(at..)?)?;
        }
        at += 1;
        cell += 1;
    }
}

/// Returns the position behind the quote that closes a cell; `None` where no quote does.
fn behind_closing_quote(row: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += memchr(b'"', row.get(at..)?)? + 1;
        if row.get(at) != Some(&b'"') {
            return Some(at);
        }
        at += 1;
    }
}

/// Passes single rows to a [`csv::Reader`] that is used for all of them. The reader must never see
/// the end of its input, because it would read no further row. So each row ends in a line feed, and
/// the reader is asked for one record per row.
#[derive(Default)]
struct RowSource {
    row: Vec<u8>,
    position: usize,
}

impl RowSource {
    fn set_row(&mut self, row: &str) {
        self.row.clear();
        self.row.extend_from_slice(row.as_bytes());
        self.row.push(b'\n');
        self.position = 0;
    }
}

impl Read for RowSource {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.row[self.position..];
        let length = rest.read(into)?;
        self.position += length;
        Ok(length)
    }
}
