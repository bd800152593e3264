//! The formats that events come in and go out in: JSON Lines, a JSON array, CSV, mirror lines.
//!
//! Each format decodes what it encodes, in one file. What a value means is not decided here but by
//! [`crate::event::builder`]; what becomes of events and of bad records is for the caller.

pub(crate) mod csv;
mod frame;
pub(crate) mod jsonl;
pub(crate) mod mirror_line;
mod wsal;

#[cfg(test)]
mod tests;

use std::io;
use std::io::Read;

use crate::codec::csv::CsvDecoder;
use crate::codec::frame::Frame;
use crate::codec::frame::Framer;
pub(crate) use crate::codec::frame::InputPosition;
use crate::codec::frame::InputSlice;
use crate::codec::frame::Splitter;
use crate::event::NewEvent;
use crate::time::Zone;

/// The reason of a record that is over the limit of an event.
const TOO_LONG: &str = "longer than 1 MiB";

/// The reason of CSV in which a quote opens a cell that has no end.
const UNCLOSED_QUOTE: &str = "a quote begins here and does not end";

/// How far the first line of an input is looked at to tell its format.
const MAX_SNIFFED_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How events are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventFormat {
    JsonLines,
    Json,
    Csv,
    Mirror,
}

impl EventFormat {
    /// Every format, in the order that help names them.
    pub(crate) const ALL: [Self; 4] = [Self::JsonLines, Self::Json, Self::Csv, Self::Mirror];

    /// Its name in `--format`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Mirror => "mirror",
        }
    }

    /// Tells the format by the first line that is not blank; what is none of them is read as JSON
    /// Lines.
    fn sniff(first_line: &[u8]) -> Self {
        let line = first_line.trim_ascii();
        match line.first() {
            Some(b'{') => Self::JsonLines,
            Some(b'[') if mirror_line::begins_with_time(line) => Self::Mirror,
            Some(b'[') => Self::Json,
            _ if csv::is_header(line) => Self::Csv,
            _ => Self::JsonLines,
        }
    }
}

/// How an input is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DecodeOptions {
    /// Absent: the input tells by its first line.
    pub format: Option<EventFormat>,
    /// Whether cells of CSV stand as they are, without a guard.
    pub raw_cells: bool,
    /// How times without an offset are read; absent: not at all.
    pub zone: Option<Zone>,
}

/// What a [`Decoder`] found next.
#[derive(Debug)]
pub(crate) enum DecodeStep<'a> {
    /// The source has to be read, which may take its time: [`Decoder::fill`].
    NeedsInput,
    Record(DecodedRecord<'a>),
    /// Bytes of a record that is too long, which will be told at its end; or all those that an
    /// [`DecodeOutcome::Unreadable`] before them speaks of.
    Excess(&'a [u8]),
    End,
}

/// A record of the input.
#[derive(Debug)]
pub(crate) struct DecodedRecord<'a> {
    /// The line where it begins.
    pub line: u64,
    /// The place behind it.
    pub end: InputPosition,
    /// As it came, with what ends it.
    pub bytes: &'a [u8],
    pub outcome: DecodeOutcome,
}

/// What a record came to. The reasons are in words for `FILE:LINE: reason`.
#[derive(Debug, PartialEq)]
pub(crate) enum DecodeOutcome {
    Event(Box<NewEvent>),
    Rejected(String),
    /// The input ends before the record does: more of it may follow one day.
    Truncated(String),
    /// Nothing can be read from here on.
    Unreadable(String),
}

/// Decodes the events of one input.
pub(crate) struct Decoder<R> {
    framer: Framer<R>,
    options: DecodeOptions,
    /// Absent until the beginning was read.
    dialect: Option<Dialect>,
}

/// What was learnt from the beginning of an input.
enum Dialect {
    JsonLines,
    Json,
    Csv(Option<Box<CsvDecoder>>),
    Mirror,
}

impl Dialect {
    fn decode(&mut self, text: &str, reading: &DecodeOptions) -> Result<NewEvent, String> {
        let zone = reading.zone.as_ref();
        match self {
            Self::JsonLines | Self::Json => jsonl::decode(text, zone),
            Self::Csv(Some(table)) => table.decode(text, zone),
            Self::Csv(None) => Err("no header says what it holds".to_owned()),
            Self::Mirror => mirror_line::decode(text, zone),
        }
    }

    /// Whether more may belong to a record that the input ends in. Only JSON shows where it ends;
    /// elsewhere what cannot be read may be going to be.
    fn is_truncated(&self, text: &str, is_event: bool) -> bool {
        match self {
            Self::JsonLines => !is_event && jsonl::is_unfinished(text),
            Self::Json => true,
            Self::Csv(_) => !is_event,
            Self::Mirror => !is_event || mirror_line::may_be_truncated(text),
        }
    }
}

impl<R: Read> Decoder<R> {
    /// `source` stands at the beginning of the input.
    pub(crate) fn new(source: R, reading: DecodeOptions) -> Self {
        Self { framer: Framer::new(source), options: reading, dialect: None }
    }

    /// Reads from the source, once.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        self.framer.fill()
    }

    /// Goes on at a place that was reached in an earlier run, having read the beginning for what it
    /// says about the rest. `reopen` gives the source at a place.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn resume(
        &mut self,
        place: InputPosition,
        reopen: impl FnOnce(InputPosition) -> io::Result<R>,
    ) -> io::Result<()> {
        while let Ok(false) = self.read_preamble() {
            self.fill()?;
        }
        let splitter = match self.dialect {
            Some(Dialect::Csv(_)) => Splitter::rows(),
            Some(Dialect::Json) => Splitter::elements_after_one(),
            Some(Dialect::JsonLines | Dialect::Mirror) | None => Splitter::Lines,
        };
        self.framer.resume(reopen(place)?, place, splitter);
        Ok(())
    }

    /// The row that CSV made of its records has to begin with.
    pub(crate) fn header(&self) -> Option<&[u8]> {
        let Some(Dialect::Csv(table)) = &self.dialect else {
            return None;
        };
        table.as_ref().map(|table| table.header())
    }

    /// Whether the records are elements of an array, which may span lines.
    pub(crate) fn is_array(&self) -> bool {
        matches!(self.dialect, Some(Dialect::Json))
    }

    /// The next record, or what else there is to say. Never reads.
    pub(crate) fn next(&mut self) -> DecodeStep<'_> {
        match self.read_preamble() {
            Ok(true) => {}
            Ok(false) => return DecodeStep::NeedsInput,
            Err((line, why)) => {
                self.framer.mark_broken();
                return DecodeStep::Record(DecodedRecord {
                    line,
                    end: self.framer.position(),
                    bytes: &[],
                    outcome: DecodeOutcome::Unreadable(why),
                });
            }
        }
        let dialect = self.dialect.get_or_insert(Dialect::JsonLines);
        let reading = &self.options;
        match self.framer.next() {
            Frame::NeedsInput => DecodeStep::NeedsInput,
            Frame::End => DecodeStep::End,
            Frame::Excess(bytes) => DecodeStep::Excess(bytes),
            Frame::Record(piece) => {
                let decoded = record_text(piece.bytes, dialect)
                    .and_then(|text| dialect.decode(text, reading));
                DecodeStep::Record(to_record(
                    piece,
                    decoded.map_or_else(DecodeOutcome::Rejected, |event| {
                        DecodeOutcome::Event(Box::new(event))
                    }),
                ))
            }
            Frame::Tail { last, unclosed: open } => {
                DecodeStep::Record(to_record(last, decode_tail(last.bytes, open, dialect, reading)))
            }
            Frame::TooLong { last, ended: true } => {
                DecodeStep::Record(to_record(last, DecodeOutcome::Rejected(TOO_LONG.to_owned())))
            }
            Frame::TooLong { last, ended: false } => {
                DecodeStep::Record(to_record(last, DecodeOutcome::Truncated(TOO_LONG.to_owned())))
            }
            Frame::Broken { at, why } => {
                DecodeStep::Record(to_record(at, DecodeOutcome::Unreadable(why.to_owned())))
            }
        }
    }

    /// Learns from the beginning how to read the rest; `false` when more of it has to be read.
    ///
    /// # Errors
    /// The line and the reason, when the input cannot be read at all.
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
            CsvDecoder::new(header, self.options.raw_cells)
        };
        let parsed = match self.framer.next() {
            Frame::NeedsInput => return Ok(false),
            Frame::End => return Ok(true),
            Frame::Record(row) => parse(row).map_err(|why| (row.line, why)),
            Frame::Tail { last, unclosed: false } => parse(last).map_err(|why| (last.line, why)),
            Frame::Tail { last: at, unclosed: true } | Frame::Broken { at, .. } => {
                Err((at.line, UNCLOSED_QUOTE.to_owned()))
            }
            Frame::Excess(_) | Frame::TooLong { .. } => Err((start.lines + 1, TOO_LONG.to_owned())),
        };
        match parsed {
            Ok(parsed) => {
                *table = Some(Box::new(parsed));
                Ok(true)
            }
            Err(refused) => {
                // All of it is refused, the header too.
                self.framer.rewind(start);
                Err(refused)
            }
        }
    }

    fn detect_format(&mut self) -> Result<bool, (u64, String)> {
        let (waiting, ended) = self.framer.buffered();
        if self.framer.position().offset == 0 {
            if waiting.len() < 4 && !ended {
                return Ok(false);
            }
            if is_utf16(waiting) {
                return Err((1, "UTF-16; convert to UTF-8".to_owned()));
            }
            if waiting.starts_with(BYTE_ORDER_MARK) {
                self.framer.skip(BYTE_ORDER_MARK.len());
                return self.detect_format();
            }
        }
        let format = match self.options.format {
            Some(format) => format,
            None => {
                let text = waiting.trim_ascii_start();
                let blanks = &waiting[..waiting.len() - text.len()];
                let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let is_whole = line.len() < text.len() || line.len() >= MAX_SNIFFED_BYTES || ended;
                if !is_whole && blanks.len() < MAX_SNIFFED_BYTES {
                    return Ok(false);
                }
                if !is_whole {
                    // However many blank lines there are, they are not kept.
                    let lines = blanks.iter().rposition(|byte| *byte == b'\n');
                    self.framer.skip(lines.map_or(blanks.len(), |end| end + 1));
                    return Ok(false);
                }
                EventFormat::sniff(line)
            }
        };
        let (dialect, splitter) = match format {
            EventFormat::JsonLines => (Dialect::JsonLines, Splitter::Lines),
            EventFormat::Json => (Dialect::Json, Splitter::elements()),
            EventFormat::Csv => (Dialect::Csv(None), Splitter::rows()),
            EventFormat::Mirror => (Dialect::Mirror, Splitter::Lines),
        };
        self.framer.set_splitter(splitter);
        self.dialect = Some(dialect);
        Ok(true)
    }
}

fn to_record(piece: InputSlice<'_>, outcome: DecodeOutcome) -> DecodedRecord<'_> {
    DecodedRecord { line: piece.line, end: piece.end, bytes: piece.bytes, outcome }
}

/// What came of the record that the input ends in.
fn decode_tail(
    bytes: &[u8],
    open: bool,
    dialect: &mut Dialect,
    reading: &DecodeOptions,
) -> DecodeOutcome {
    match dialect {
        Dialect::Json => return DecodeOutcome::Truncated("the array does not end".to_owned()),
        Dialect::Csv(_) if open => {
            return DecodeOutcome::Truncated("a quote does not end".to_owned());
        }
        Dialect::JsonLines | Dialect::Csv(_) | Dialect::Mirror => {}
    }
    let is_cut = std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
    let text = match record_text(bytes, dialect) {
        Ok(text) => text,
        Err(why) if is_cut => return DecodeOutcome::Truncated(why),
        Err(why) => return DecodeOutcome::Rejected(why),
    };
    let decoded = dialect.decode(text, reading);
    let is_torn = dialect.is_truncated(text, decoded.is_ok());
    match decoded {
        Err(why) if is_torn => DecodeOutcome::Truncated(why),
        Err(why) => DecodeOutcome::Rejected(why),
        Ok(_) if is_torn => DecodeOutcome::Truncated("the line does not end".to_owned()),
        Ok(event) => DecodeOutcome::Event(Box::new(event)),
    }
}

/// The text of a record, without what ends it.
fn record_text<'a>(bytes: &'a [u8], dialect: &Dialect) -> Result<&'a str, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("invalid UTF-8 at column {}", error.valid_up_to() + 1))?;
    Ok(match dialect {
        // A cell may be blank at its end.
        Dialect::Csv(_) => text.strip_suffix('\n').map_or(text, |row| row),
        Dialect::JsonLines | Dialect::Json | Dialect::Mirror => text.trim_ascii_end(),
    })
}

fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => true,
        // Without a mark: every other byte of ASCII is 0.
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    }
}
