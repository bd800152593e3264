//! The formats of events: JSON Lines, a JSON array, CSV and mirror lines.
//!
//! Each format is encoded and decoded in one file. This module splits an input into records and
//! decodes each of them; `packed` unpacks compressed inputs. [`crate::event::builder`] checks the values, and the caller decides what
//! happens to events and to bad records.
//!
//! ## Cost
//! Memory is bounded: one record of at most 8 MiB and one read are kept, however long the input is.

pub(crate) mod csv;
mod detect;
mod documents;
mod frame;
pub(crate) mod jsonl;
pub(crate) mod mirror_line;
mod options;
pub(crate) mod packed;
pub(crate) mod page;
mod wsal;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::io::Read;

use crate::codec::csv::CsvDecoder;
use crate::codec::frame::Frame;
use crate::codec::frame::Framer;
pub(crate) use crate::codec::frame::InputPosition;
use crate::codec::frame::InputSlice;
use crate::codec::frame::Splitter;
use crate::codec::options::DecodeContext;
pub(crate) use crate::codec::options::DecodeOptions;
use crate::codec::packed::UnpackError;
use crate::event::NewEvent;
use crate::event::intake::IntakeNotes;
use crate::event::intake::KeyMap;
use crate::event::leniency;
use crate::event::leniency::Leniency;
use crate::map::FieldOrigin;
use crate::map::MapContext;
use crate::map::Record;
use crate::map::RecordMap;

/// The reason why a record longer than an event may be is rejected.
const TOO_LONG: &str = "longer than 1 MiB";

/// The reason why CSV is rejected in which a quote opens a cell that has no end.
const UNCLOSED_QUOTE: &str = "a quote begins here and does not end";

/// The number of bytes of the first line that are enough to detect the format.
const MAX_SNIFFED_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The first bytes of compressed files, and the command that prints what is in one. gzip and Zstandard
/// stand here only where they are in a compressed input themselves.
const COMPRESSED_FORMATS: [(&[u8], &str); 5] = [
    (b"\x1F\x8B", "gzip -dc"),
    (b"\x28\xB5\x2F\xFD", "zstd -dc"),
    (b"\xFD7zX", "xz -dc"),
    (b"BZh", "bzip2 -dc"),
    (b"PK\x03\x04", "unzip -p"),
];

/// A format of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventFormat {
    JsonLines,
    Json,
    Csv,
    Mirror,
}

impl EventFormat {
    /// Every format, in the order of the help.
    pub(crate) const ALL: [Self; 4] = [Self::JsonLines, Self::Json, Self::Csv, Self::Mirror];

    /// Returns the name of the format in `--format`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Mirror => "mirror",
        }
    }

    /// Detects the format by the first line that is not blank. An unknown format is read as JSON
    /// Lines.
    fn sniff(first_line: &[u8], key_map: Option<&KeyMap>) -> Self {
        let line = first_line.trim_ascii();
        match line.first() {
            Some(b'{') => Self::JsonLines,
            Some(b'[') if mirror_line::begins_with_time(line) => Self::Mirror,
            Some(b'[') => Self::Json,
            _ if mirror_line::ends_with_event(line) => Self::Mirror,
            _ if csv::is_header(line, key_map) => Self::Csv,
            _ => Self::JsonLines,
        }
    }
}

/// The next step of a [`Decoder`].
#[derive(Debug)]
pub(crate) enum DecodeStep<'a> {
    /// The source must be read with [`Decoder::fill`], which may block.
    NeedsInput,
    Record(DecodedRecord<'a>),
    /// A part of a record that is too long, of which the outcome follows at its end; or a part of
    /// the input that follows a [`DecodeOutcome::Unreadable`].
    Excess(&'a [u8]),
    End,
}

/// A record of the input.
#[derive(Debug)]
pub(crate) struct DecodedRecord<'a> {
    /// The number of its first line.
    pub line: u64,
    /// The position after it.
    pub end: InputPosition,
    /// The record as it was read, with its terminator.
    pub bytes: &'a [u8],
    pub outcome: DecodeOutcome,
}

/// The longest header of CSV that [`read_csv_header`] finds.
pub(crate) const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Reads the header row of an input from its beginning; `None` where it is not CSV, or no header can be
/// read.
///
/// # Errors
/// The source cannot be read.
pub(crate) fn read_csv_header(
    source: impl Read + Send,
    options: DecodeOptions,
) -> io::Result<Option<Vec<u8>>> {
    let contents = packed::unpack_if_packed(source)?;
    let mut decoder = Decoder::new(contents.take(MAX_HEADER_BYTES), options);
    while let Ok(false) = decoder.read_preamble() {
        match decoder.fill() {
            // What can be unpacked is read for the same reason later, and told then.
            Err(error) if UnpackError::reason(&error).is_some() => return Ok(None),
            filled => filled?,
        }
    }
    Ok(decoder.header().map(<[u8]>::to_vec))
}

/// The result of decoding a record. The reasons are worded for `FILE:LINE: reason`.
#[derive(Debug, PartialEq)]
pub(crate) enum DecodeOutcome {
    Event(Box<NewEvent>),
    Rejected(String),
    /// The input ends before the record does. A later run may find the rest of it.
    Truncated(String),
    /// Nothing can be read from here on.
    Unreadable(String),
}

/// Decodes the events of one input.
pub(crate) struct Decoder<R> {
    framer: Framer<R>,
    options: DecodeOptions,
    /// Absent until the beginning of the input has been read.
    dialect: Option<Dialect>,
    /// More bytes may be added to the input later.
    may_grow: bool,
    /// The keys that went into the payload.
    notes: RefCell<IntakeNotes>,
    /// What each field of the last record was taken from, where somebody wants to know.
    origins: Option<RefCell<Vec<FieldOrigin>>>,
}

/// The format of an input, as its beginning decides it.
enum Dialect {
    JsonLines,
    Json,
    /// Without a decoder until the header has been read.
    Csv(Option<Box<CsvDecoder>>),
    Mirror,
    /// JSON documents of another system.
    Documents,
    /// Lines of another system, which a pattern splits.
    Lines,
}

impl Dialect {
    fn decode(&mut self, text: &str, context: DecodeContext<'_>) -> Result<NewEvent, String> {
        let leniency = if context.options.lenient { Leniency::Lenient } else { Leniency::Strict };
        self.decode_with(text, context, leniency)
    }

    fn decode_with(
        &mut self,
        text: &str,
        context: DecodeContext<'_>,
        leniency: Leniency,
    ) -> Result<NewEvent, String> {
        let map = context.options.map;
        let nested = context.options.nested_keys;
        let context = MapContext {
            intake: context.intake(leniency),
            latest: context.options.latest,
            origins: context.origins,
        };
        match (self, map) {
            (Self::Csv(Some(table)), _) => table.decode(text, context),
            (Self::Csv(None), _) => Err("no header says what it holds".to_owned()),
            (Self::Lines, Some(map)) => map.event(map.split_line(text)?, context),
            (Self::JsonLines | Self::Json | Self::Documents, Some(map)) => {
                map.event(Record::from_json(text)?, context)
            }
            (Self::JsonLines | Self::Json | Self::Documents | Self::Lines, None) => match nested {
                [] => jsonl::decode(text, context.intake),
                nested => jsonl::decode_nested(text, context.intake, nested),
            },
            (Self::Mirror, _) => mirror_line::decode(text, context.intake),
        }
    }

    /// Decodes a whole record from its bytes.
    fn decode_bytes(
        &mut self,
        bytes: &[u8],
        context: DecodeContext<'_>,
    ) -> Result<NewEvent, String> {
        match record_text(bytes, self) {
            Ok(text) => self.decode(text, context),
            Err(_) if context.options.lenient => {
                // In JSON a backslash is written twice.
                let backslash =
                    if matches!(self, Self::Csv(_) | Self::Lines) { "\\" } else { "\\\\" };
                let text = leniency::escape_invalid_utf8(bytes, backslash);
                let text = record_text(text.as_bytes(), self)?;
                self.decode_with(text, context, Leniency::LenientEscaped)
            }
            Err(reason) => Err(reason),
        }
    }

    /// Adds how to read what is no line of its own but the beginning of longer JSON.
    fn with_hint(&self, reason: String, bytes: &[u8]) -> String {
        let is_beginning = || {
            std::str::from_utf8(bytes).is_ok_and(|text| {
                text.starts_with('{') && jsonl::is_unfinished(text.trim_ascii_end())
            })
        };
        match self {
            Self::JsonLines if is_beginning() => {
                format!("{reason}; --format json reads JSON that spans lines")
            }
            Self::JsonLines
            | Self::Json
            | Self::Csv(_)
            | Self::Mirror
            | Self::Documents
            | Self::Lines => reason,
        }
    }

    /// Whether the last record of an input may lack a part. Only JSON shows where it ends; in the
    /// other formats a record that cannot be decoded may be incomplete.
    fn is_truncated(&self, text: &str, is_event: bool) -> bool {
        match self {
            Self::JsonLines => !is_event && jsonl::is_unfinished(text),
            Self::Json | Self::Documents => true,
            Self::Csv(_) | Self::Lines => !is_event,
            Self::Mirror => !is_event || mirror_line::may_be_truncated(text),
        }
    }
}

impl<R: Read> Decoder<R> {
    /// Returns a decoder of an input. `source` must be at the beginning of it.
    pub(crate) fn new(source: R, options: DecodeOptions) -> Self {
        Self {
            framer: Framer::new(source),
            options,
            dialect: None,
            may_grow: false,
            notes: RefCell::default(),
            origins: None,
        }
    }

    /// Returns a decoder that notes what a map takes each field from. Otherwise as [`Decoder::new`].
    pub(crate) fn with_origins(source: R, options: DecodeOptions) -> Self {
        Self { origins: Some(RefCell::default()), ..Self::new(source, options) }
    }

    /// Returns what each field of the records since the last call was taken from.
    pub(crate) fn take_origins(&mut self) -> Vec<FieldOrigin> {
        self.origins.as_ref().map(RefCell::take).unwrap_or_default()
    }

    /// Returns which keys went into the payload since the last call.
    pub(crate) fn take_notes(&mut self) -> IntakeNotes {
        self.notes.take()
    }

    /// Returns a decoder of a file, which may be read while somebody writes its last row. Otherwise as
    /// [`Decoder::new`].
    pub(crate) fn of_growing(source: R, options: DecodeOptions) -> Self {
        Self { may_grow: true, ..Self::new(source, options) }
    }

    /// Returns the number of the line that is read next.
    pub(crate) fn next_line(&self) -> u64 {
        self.framer.position().lines + 1
    }

    /// Reads from the source once.
    ///
    /// # Errors
    /// The source cannot be read.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        self.framer.fill()
    }

    /// Continues at a position that an earlier run reached. The beginning is read first, for the
    /// format and the header. `reopen` returns the source at an offset.
    ///
    /// # Errors
    /// The source cannot be read, or ends before the position.
    pub(crate) fn continue_with(
        &mut self,
        place: InputPosition,
        reopen: impl FnOnce(u64) -> io::Result<R>,
    ) -> io::Result<()> {
        while let Ok(false) = self.read_preamble() {
            self.fill()?;
        }
        while !self.framer.has_head(place) {
            self.fill()?;
        }
        let splitter = match &self.dialect {
            Some(Dialect::Csv(Some(table))) => Splitter::for_csv_rows_with(table.delimiter()),
            Some(Dialect::Csv(None)) => Splitter::for_csv_rows(),
            Some(Dialect::Json) => Splitter::for_json_array_after_one(),
            Some(Dialect::Documents) => {
                Splitter::for_documents_after_one(self.options.map.map_or(&[], RecordMap::records))
            }
            Some(Dialect::JsonLines | Dialect::Mirror | Dialect::Lines) | None => Splitter::Lines,
        };
        self.framer.continue_with(reopen(place.tail_start())?, place, splitter)
    }

    /// Returns the first bytes of the input, and the bytes before `place`, by which the input can
    /// be recognised. Nothing may have been read since the place was reached.
    pub(crate) fn identify(&self, place: InputPosition) -> (&[u8], &[u8]) {
        self.framer.identify(place)
    }

    /// Returns the header row of CSV, which rejected rows need to be readable as CSV.
    pub(crate) fn header(&self) -> Option<&[u8]> {
        let Some(Dialect::Csv(table)) = &self.dialect else {
            return None;
        };
        table.as_ref().map(|table| table.header())
    }

    /// Whether the records are elements of a JSON array or document. Such records may span lines.
    pub(crate) fn is_array(&self) -> bool {
        matches!(self.dialect, Some(Dialect::Json | Dialect::Documents))
    }

    /// Returns the next step. Never reads the source.
    pub(crate) fn next(&mut self) -> DecodeStep<'_> {
        match self.read_preamble() {
            Ok(true) => {}
            Ok(false) => return DecodeStep::NeedsInput,
            Err((line, reason)) => {
                self.framer.mark_broken();
                return DecodeStep::Record(DecodedRecord {
                    line,
                    end: self.framer.position(),
                    bytes: &[],
                    outcome: DecodeOutcome::Unreadable(reason),
                });
            }
        }
        let dialect = self.dialect.get_or_insert(Dialect::JsonLines);
        let context = DecodeContext {
            options: &self.options,
            notes: &self.notes,
            origins: self.origins.as_ref(),
        };
        match self.framer.next() {
            Frame::NeedsInput => DecodeStep::NeedsInput,
            Frame::End => DecodeStep::End,
            Frame::Excess(bytes) => DecodeStep::Excess(bytes),
            Frame::Record(slice) => {
                let decoded = dialect.decode_bytes(slice.bytes, context);
                let reject = |why| DecodeOutcome::Rejected(dialect.with_hint(why, slice.bytes));
                let outcome =
                    decoded.map_or_else(reject, |event| DecodeOutcome::Event(Box::new(event)));
                DecodeStep::Record(to_record(slice, outcome))
            }
            Frame::Tail { last, unclosed } => DecodeStep::Record(to_record(
                last,
                decode_tail(last.bytes, unclosed, dialect, context, self.may_grow),
            )),
            Frame::TooLong { last, ended: true } => {
                DecodeStep::Record(to_record(last, DecodeOutcome::Rejected(TOO_LONG.to_owned())))
            }
            Frame::TooLong { last, ended: false } => {
                DecodeStep::Record(to_record(last, DecodeOutcome::Truncated(TOO_LONG.to_owned())))
            }
            Frame::Broken { at, reason } => {
                DecodeStep::Record(to_record(at, DecodeOutcome::Unreadable(reason.to_owned())))
            }
        }
    }

    /// Detects the format and reads the header of CSV. Returns `false` where more input is needed.
    ///
    /// # Errors
    /// The line and the reason, where the whole input is unreadable.
    fn read_preamble(&mut self) -> Result<bool, (u64, String)> {
        if self.framer.is_broken() {
            return Ok(true);
        }
        if self.dialect.is_none() && !self.detect_format()? {
            return Ok(false);
        }
        let Some(Dialect::Csv(table @ None)) = &mut self.dialect else {
            return Ok(true);
        };
        let mut start = self.framer.position();
        let mut parse = |row: InputSlice<'_>| {
            start = InputPosition {
                offset: row.end.offset - row.bytes.len() as u64,
                lines: row.line - 1,
            };
            let header = record_text(row.bytes, &Dialect::Csv(None))?;
            CsvDecoder::new(header, &self.options)
        };
        let parsed = match self.framer.next() {
            Frame::NeedsInput => return Ok(false),
            Frame::End => return Ok(true),
            Frame::Record(row) if csv::is_delimiter_line(row.bytes) => {
                // The header follows it.
                return self.read_preamble();
            }
            Frame::Record(row) => parse(row).map_err(|reason| (row.line, reason)),
            Frame::Tail { last, unclosed: false } => {
                parse(last).map_err(|reason| (last.line, reason))
            }
            Frame::Tail { last: at, unclosed: true } | Frame::Broken { at, .. } => {
                Err((at.line, UNCLOSED_QUOTE.to_owned()))
            }
            Frame::Excess(_) | Frame::TooLong { .. } => Err((start.lines + 1, TOO_LONG.to_owned())),
        };
        match parsed {
            Ok(parsed) => {
                self.framer.set_splitter(Splitter::for_csv_rows_with(parsed.delimiter()));
                *table = Some(Box::new(parsed));
                Ok(true)
            }
            Err(refusal) => {
                // The whole input is refused, including the header.
                self.framer.rewind(start);
                Err(refusal)
            }
        }
    }

    /// Detects the format. Returns `false` where more input is needed.
    fn detect_format(&mut self) -> Result<bool, (u64, String)> {
        let (waiting, ended) = self.framer.buffered();
        if self.framer.position().offset == 0 {
            if waiting.len() < 4 && !ended {
                return Ok(false);
            }
            if is_utf16(waiting) {
                return Err((1, "UTF-16; convert to UTF-8".to_owned()));
            }
            if let Some((_, tool)) =
                COMPRESSED_FORMATS.iter().find(|(magic, _)| waiting.starts_with(magic))
            {
                return Err((
                    1,
                    format!("compressed; pipe what `{tool}` prints into activity ingest"),
                ));
            }
            if waiting.starts_with(BYTE_ORDER_MARK) {
                self.framer.skip(BYTE_ORDER_MARK.len());
                return self.detect_format();
            }
        }
        let (dialect, splitter) = match self.options.format {
            Some(format) => {
                let line = waiting.trim_ascii_start();
                if line.is_empty() && !ended && waiting.len() < MAX_SNIFFED_BYTES {
                    return Ok(false);
                }
                detect::named_dialect(format, line)
            }
            None => {
                let text = waiting.trim_ascii_start();
                let blanks = &waiting[..waiting.len() - text.len()];
                let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let is_whole = line.len() < text.len() || line.len() >= MAX_SNIFFED_BYTES || ended;
                if !is_whole && blanks.len() < MAX_SNIFFED_BYTES {
                    return Ok(false);
                }
                if !is_whole {
                    // Blank lines are not kept, so that memory stays bounded.
                    let lines = blanks.iter().rposition(|byte| *byte == b'\n');
                    self.framer.skip(lines.map_or(blanks.len(), |end| end + 1));
                    return Ok(false);
                }
                match self.options.map {
                    Some(map) => detect::mapped_dialect(map, line),
                    None => {
                        let line_number = self.framer.position().lines + 1;
                        if !mirror_line::ends_with_event(line.trim_ascii()) {
                            detect::refuse_foreign(text).map_err(|reason| (line_number, reason))?;
                        }
                        detect::own_dialect(EventFormat::sniff(line, self.options.key_map))
                    }
                }
            }
        };
        self.framer.set_splitter(splitter);
        self.dialect = Some(dialect);
        Ok(true)
    }
}

fn to_record(slice: InputSlice<'_>, outcome: DecodeOutcome) -> DecodedRecord<'_> {
    DecodedRecord { line: slice.line, end: slice.end, bytes: slice.bytes, outcome }
}

/// Decodes the last record of an input, which has no terminator.
fn decode_tail(
    bytes: &[u8],
    unclosed: bool,
    dialect: &mut Dialect,
    context: DecodeContext<'_>,
    may_grow: bool,
) -> DecodeOutcome {
    match dialect {
        Dialect::Json => return DecodeOutcome::Truncated("the array does not end".to_owned()),
        Dialect::Documents => {
            return DecodeOutcome::Truncated("the document does not end".to_owned());
        }
        Dialect::Csv(_) if unclosed => {
            return DecodeOutcome::Truncated("a quote does not end".to_owned());
        }
        // Any row may go on: only its line end, which a CR is too, shows that the last cell is whole.
        Dialect::Csv(_) if may_grow && !bytes.ends_with(b"\r") => {
            return DecodeOutcome::Truncated("the row has no line end".to_owned());
        }
        // A pattern may fit the beginning of a line as well as all of it.
        Dialect::Lines if may_grow => {
            return DecodeOutcome::Truncated("the line has no line end".to_owned());
        }
        Dialect::JsonLines | Dialect::Csv(_) | Dialect::Mirror | Dialect::Lines => {}
    }
    let ends_in_character =
        std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
    let text = match record_text(bytes, dialect) {
        Ok(text) => text,
        Err(reason) if ends_in_character => return DecodeOutcome::Truncated(reason),
        Err(_) => {
            return dialect
                .decode_bytes(bytes, context)
                .map_or_else(DecodeOutcome::Rejected, |event| {
                    DecodeOutcome::Event(Box::new(event))
                });
        }
    };
    let decoded = dialect.decode(text, context);
    let may_be_truncated = dialect.is_truncated(text, decoded.is_ok());
    match decoded {
        Err(reason) if may_be_truncated => DecodeOutcome::Truncated(reason),
        Err(reason) => DecodeOutcome::Rejected(reason),
        Ok(_) if may_be_truncated => DecodeOutcome::Truncated("the line does not end".to_owned()),
        Ok(event) => DecodeOutcome::Event(Box::new(event)),
    }
}

/// Returns the text of a record without its terminator.
fn record_text<'a>(bytes: &'a [u8], dialect: &Dialect) -> Result<&'a str, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("invalid UTF-8 at column {}", error.valid_up_to() + 1))?;
    Ok(match dialect {
        // Blanks at the end may belong to the last cell.
        Dialect::Csv(_) => text.strip_suffix('\n').map_or(text, |row| row),
        Dialect::JsonLines
        | Dialect::Json
        | Dialect::Documents
        | Dialect::Mirror
        | Dialect::Lines => text.trim_ascii_end(),
    })
}

fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => true,
        // Without a byte order mark, every other byte of ASCII text is 0.
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    }
}
