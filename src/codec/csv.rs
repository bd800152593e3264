//! CSV: a header with the names of the fields, then a row for each event, every cell quoted.
//!
//! A cell that a spreadsheet would run as a formula is guarded by a `'` in front. The guard is
//! reversible: a value that already looks guarded is guarded too, so that removing one guard returns
//! every value. This is the only module that uses the `csv` crate.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::io::Read;

use csv::StringRecord;
use memchr::memchr;

use crate::codec::DecodeOptions;
use crate::event::Event;
use crate::event::NewEvent;
use crate::event::builder::InputValue;
use crate::event::builder::IntakeOptions;
use crate::event::builder::NewEventBuilder;
use crate::event::field;
use crate::event::field::Field;
use crate::event::field::FieldValue;
use crate::event::quoted;

/// The column without which CSV holds no events.
const REQUIRED_COLUMN: &str = "action";

/// Appends the header: the names of the fields.
pub(crate) fn encode_header(fields: &[&'static Field], out: &mut Vec<u8>) {
    encode_row(out, fields.iter().map(|field| Cow::Borrowed(field.name)));
}

/// Appends some fields of an event as one row. Cells are not guarded where `raw` is set.
pub(crate) fn encode(event: &Event, fields: &[&'static Field], raw: bool, out: &mut Vec<u8>) {
    encode_row(
        out,
        fields.iter().map(|field| {
            let text = match (field.get)(event) {
                None => Cow::Borrowed(""),
                Some(FieldValue::Text(text)) => Cow::Borrowed(text),
                Some(FieldValue::Json(json)) => Cow::Borrowed(json.as_str()),
                Some(FieldValue::Integer(number)) => Cow::Owned(number.to_string()),
                Some(FieldValue::Time(at)) => Cow::Owned(at.to_sortable()),
                Some(FieldValue::Hash(hash)) => Cow::Owned(hash.to_string()),
            };
            if raw || !needs_guard(&text) { text } else { Cow::Owned(format!("'{text}")) }
        }),
    );
}

fn encode_row<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = Cow<'a, str>>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        for (index, run) in cell.split('"').enumerate() {
            if index > 0 {
                out.extend_from_slice(b"\"\"");
            }
            out.extend_from_slice(run.as_bytes());
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// Whether a spreadsheet would run the text as a formula, or the text looks like a guarded one.
fn needs_guard(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

fn strip_guard(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if needs_guard(rest) => rest,
        _ => cell,
    }
}

/// Whether a first line is the header of events.
pub(super) fn is_header(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    // This cuts a cell that contains a comma. Such a cell is not the required column anyway.
    line.split(',').any(|cell| {
        let cell = cell.trim();
        cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell).trim()
            == REQUIRED_COLUMN
    })
}

/// A table of events: its columns, and the reader of its rows.
pub(super) struct CsvDecoder {
    header: Vec<u8>,
    columns: Vec<String>,
    raw_cells: bool,
    reader: csv::Reader<RowSource>,
    row: StringRecord,
}

impl CsvDecoder {
    /// Returns a decoder of the rows below `header`, the text of the first row.
    ///
    /// # Errors
    /// The reason: no column is `action`, or two columns have the same name.
    pub(super) fn new(header: &str, options: &DecodeOptions) -> Result<Self, String> {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(RowSource::default());
        let mut table = Self {
            header: format!("{header}\n").into_bytes(),
            columns: Vec::new(),
            raw_cells: options.raw_cells,
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
            .map(|(index, name)| if name.is_empty() { unnamed(index) } else { name.to_owned() })
            .collect();
        let mut names = HashSet::new();
        if let Some(duplicate) = table.columns.iter().find(|name| !names.insert(name.as_str())) {
            return Err(format!("column {} stands in the header twice", quoted(duplicate)));
        }
        let is_action = |name: &&str| {
            options.key_map.is_some_and(|map| map.maps_to(name, REQUIRED_COLUMN))
                || field::lookup(name).is_some_and(|known| known.name() == REQUIRED_COLUMN)
        };
        if !names.iter().any(is_action) {
            return Err(format!("no column of the header is {REQUIRED_COLUMN}"));
        }
        Ok(table)
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
        options: IntakeOptions<'_>,
    ) -> Result<NewEvent, String> {
        if let Some(cell) = cell_with_text_behind_quote(row) {
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
        let mut builder = NewEventBuilder::new(options);
        for (column, cell) in self.columns.iter().zip(&self.row) {
            let cell = if self.raw_cells { cell } else { strip_guard(cell) };
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
fn cell_with_text_behind_quote(row: &str) -> Option<usize> {
    let bytes = row.as_bytes();
    let (mut at, mut cell) = (0, 0);
    loop {
        if bytes.get(at) == Some(&b'"') {
            at = behind_closing_quote(bytes, at + 1)?;
            match bytes.get(at) {
                Some(b',') => {}
                Some(b'\r' | b'\n') | None => return None,
                Some(_) => return Some(cell),
            }
        } else {
            at += memchr(b',', bytes.get(at..)?)?;
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
