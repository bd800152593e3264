//! Splits a stream of bytes into records, in flat memory: lines, rows of CSV, elements of an array.
//!
//! A record comes with the line where it begins and the place behind it. What it means, and whether
//! it is text at all, is for the format to say. Reading is left to the caller ([`Framer::fill`]), so
//! that he knows when he may have to wait.

use std::io;
use std::io::Read;

use memchr::{memchr, memchr_iter};

use crate::codec::UNCLOSED_QUOTE;

/// The longest record that is kept, in bytes as it came. An event is measured on its values, which
/// escapes can make six times as long.
pub(super) const MAX_RECORD_BYTES: usize = 8 << 20;

/// How much is asked for at a time.
const READ_BYTES: usize = 256 << 10;

/// What stands at the place reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// More has to be read before anything can be said.
    NeedsInput,
    /// A record, with what ends it.
    Record(InputSlice<'a>),
    /// A record that the input ends in, and whether its end is surely missing. In an array it may be
    /// empty: there the array itself has no end.
    Tail { last: InputSlice<'a>, unclosed: bool },
    /// A part of a record that is too long; it comes before its [`Frame::TooLong`]. Or what follows
    /// a [`Frame::Broken`].
    Excess(&'a [u8]),
    /// The last part of a record that is too long, and whether anything ended it.
    TooLong { last: InputSlice<'a>, ended: bool },
    /// No record can be told apart from here on: what is left comes as [`Frame::Excess`]. The piece
    /// is empty.
    Broken { at: InputSlice<'a>, why: &'static str },
    /// Nothing is left.
    End,
}

/// Bytes of the input: the line where they begin, and the place behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InputSlice<'a> {
    pub line: u64,
    pub end: InputPosition,
    pub bytes: &'a [u8],
}

/// A place in an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InputPosition {
    pub offset: u64,
    /// Lines that ended before it.
    pub lines: u64,
}

/// What tells records apart.
#[derive(Debug)]
pub(super) enum Splitter {
    Lines,
    Rows(RowSplitter),
    Elements(ElementSplitter),
}

impl Splitter {
    pub(super) fn rows() -> Self {
        Self::Rows(RowSplitter::default())
    }

    pub(super) fn elements() -> Self {
        Self::Elements(ElementSplitter::BeforeArray)
    }

    /// Like [`Splitter::elements`], behind an element of the array.
    pub(super) fn elements_after_one() -> Self {
        Self::Elements(ElementSplitter::AfterElement)
    }

    fn scan(&mut self, bytes: &[u8]) -> ScanResult {
        match self {
            Self::Lines => {
                memchr(b'\n', bytes).map_or(ScanResult::More, |at| ScanResult::Record(at + 1))
            }
            Self::Rows(rows) => rows.scan(bytes),
            Self::Elements(elements) => elements.scan(bytes),
        }
    }
}

/// What a splitter says of the bytes that it had not seen yet.
#[derive(Debug, PartialEq, Eq)]
enum ScanResult {
    /// All belong to the record at hand, or to nothing yet.
    More,
    /// So many stand between records.
    Skip(usize),
    /// The record ends behind so many.
    Record(usize),
    /// The byte there cannot stand there.
    Broken { at: usize, why: &'static str },
}

/// Rows of CSV as RFC 4180 and the `csv` crate have them: a quote counts at the beginning of a cell
/// alone, and CR, LF or both end a row.
#[derive(Debug, Default)]
pub(super) struct RowSplitter {
    state: RowState,
    /// Line feeds within quotes so far in this row, and before the newest quote that opened.
    line_feeds: u64,
    line_feeds_before_quote: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RowState {
    #[default]
    CellStart,
    Unquoted,
    Quoted,
    /// Behind a quote within quotes: it ends the cell, or is the first half of a doubled one.
    QuoteInQuoted,
    /// Behind a CR, which an LF may follow.
    CarriageReturn,
}

impl RowSplitter {
    fn scan(&mut self, bytes: &[u8]) -> ScanResult {
        for (at, &byte) in bytes.iter().enumerate() {
            self.state = match (self.state, byte) {
                (RowState::CarriageReturn, b'\n') => return self.end_row(at + 1),
                (RowState::CarriageReturn, _) => return self.end_row(at),
                (RowState::Quoted, b'"') => RowState::QuoteInQuoted,
                (RowState::Quoted, _) => {
                    self.line_feeds += u64::from(byte == b'\n');
                    RowState::Quoted
                }
                (RowState::QuoteInQuoted, b'"') => RowState::Quoted,
                (RowState::CellStart, b'"') => {
                    self.line_feeds_before_quote = self.line_feeds;
                    RowState::Quoted
                }
                (_, b'\n') => return self.end_row(at + 1),
                (_, b'\r') => RowState::CarriageReturn,
                (_, b',') => RowState::CellStart,
                (_, _) => RowState::Unquoted,
            };
        }
        ScanResult::More
    }

    fn end_row(&mut self, length: usize) -> ScanResult {
        *self = Self::default();
        ScanResult::Record(length)
    }
}

/// The elements of a JSON array. Only as much of JSON is known here as it takes to find their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementSplitter {
    /// Before the array.
    BeforeArray,
    /// Before the first element or the end.
    BeforeFirst,
    /// Behind a comma.
    AfterComma,
    /// Behind an element.
    AfterElement,
    /// In an element that is a container or text: how deep, and whether within a string, behind a
    /// backslash.
    Nested { depth: u64, in_string: bool, escaped: bool },
    /// In a number or a word.
    Scalar,
    /// Behind the array.
    AfterArray,
}

impl ElementSplitter {
    fn scan(&mut self, bytes: &[u8]) -> ScanResult {
        for (at, &byte) in bytes.iter().enumerate() {
            let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            let next = match *self {
                Self::Nested { .. } => match self.step_nested(byte) {
                    None => {
                        *self = Self::AfterElement;
                        return ScanResult::Record(at + 1);
                    }
                    Some(next) => next,
                },
                Self::Scalar if blank || matches!(byte, b',' | b']') => {
                    *self = Self::AfterElement;
                    return ScanResult::Record(at);
                }
                Self::Scalar => Self::Scalar,
                between => {
                    let next = match (between, byte) {
                        (_, _) if blank => between,
                        (Self::BeforeArray, b'[') => Self::BeforeFirst,
                        (Self::BeforeArray, _) => {
                            return ScanResult::Broken { at, why: "a JSON array begins with [" };
                        }
                        (Self::BeforeFirst | Self::AfterElement, b']') => Self::AfterArray,
                        (Self::AfterElement, b',') => Self::AfterComma,
                        (Self::AfterElement, _) => {
                            return ScanResult::Broken {
                                at,
                                why: "a comma or ] is missing behind an element",
                            };
                        }
                        (Self::AfterArray, _) => {
                            return ScanResult::Broken { at, why: "text follows the array" };
                        }
                        (_, b',' | b']') => {
                            return ScanResult::Broken {
                                at,
                                why: "an element is missing beside a comma",
                            };
                        }
                        // The element begins here: what stands before it is done with first.
                        (_, _) if at > 0 => return ScanResult::Skip(at),
                        (_, b'{' | b'[') => {
                            Self::Nested { depth: 1, in_string: false, escaped: false }
                        }
                        (_, b'"') => Self::Nested { depth: 0, in_string: true, escaped: false },
                        (_, _) => Self::Scalar,
                    };
                    if !matches!(next, Self::Nested { .. } | Self::Scalar) {
                        *self = next;
                        if at + 1 == bytes.len() {
                            return ScanResult::Skip(at + 1);
                        }
                        continue;
                    }
                    next
                }
            };
            *self = next;
        }
        ScanResult::More
    }

    /// The state behind a byte of an element, or `None` where it ends the element.
    fn step_nested(self, byte: u8) -> Option<Self> {
        let Self::Nested { depth, in_string: string, escaped } = self else {
            return Some(self);
        };
        let (depth, string, escaped) = match byte {
            _ if escaped => (depth, string, false),
            b'\\' if string => (depth, string, true),
            b'"' => (depth, !string, false),
            b'{' | b'[' if !string => (depth + 1, false, false),
            b'}' | b']' if !string => (depth.saturating_sub(1), false, false),
            _ => (depth, string, false),
        };
        (depth > 0 || string).then_some(Self::Nested { depth, in_string: string, escaped })
    }
}

/// Splits what comes from a source.
pub(super) struct Framer<R> {
    source: R,
    splitter: Splitter,
    /// What was read; from `start` to `end` it waits.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// How many of the waiting bytes the splitter has seen.
    scanned: usize,
    /// The place of `start`.
    position: InputPosition,
    /// The line where the record at hand begins, once a part of it is gone.
    oversized_line: Option<u64>,
    broken: bool,
    ended: bool,
}

impl<R: Read> Framer<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            splitter: Splitter::Lines,
            bytes: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            position: InputPosition::default(),
            oversized_line: None,
            broken: false,
            ended: false,
        }
    }

    /// Sets what tells the records apart that have not been given out yet.
    pub(super) fn set_splitter(&mut self, splitter: Splitter) {
        self.splitter = splitter;
        self.scanned = 0;
    }

    /// Goes on in another source, which stands at `place` of the same input.
    pub(super) fn resume(&mut self, source: R, place: InputPosition, splitter: Splitter) {
        let bytes = std::mem::take(&mut self.bytes);
        *self = Self { bytes, splitter, position: place, ..Self::new(source) };
    }

    /// Where the next record, or what stands before it, begins.
    pub(super) fn position(&self) -> InputPosition {
        self.position
    }

    /// What was read and not given out yet, and whether the input ends behind it.
    pub(super) fn buffered(&self) -> (&[u8], bool) {
        (&self.bytes[self.start..self.end], self.ended)
    }

    /// Passes over bytes that are no part of any record.
    pub(super) fn skip(&mut self, length: usize) {
        let gone = &self.bytes[self.start..self.start + length];
        self.advance_counted(length, memchr_iter(b'\n', gone).count());
    }

    /// Gives up: what waits, and what is still read, comes as [`Frame::Excess`].
    pub(super) fn mark_broken(&mut self) {
        self.broken = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes back what was given out since it stood at `place`, provided nothing was read since.
    pub(super) fn rewind(&mut self, place: InputPosition) {
        let back = usize::try_from(self.position.offset - place.offset).unwrap_or(usize::MAX);
        self.start = self.start.saturating_sub(back);
        self.position = place;
        self.scanned = 0;
    }

    /// Reads once.
    ///
    /// # Errors
    /// Those of the source, save that it was interrupted.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() - self.end < READ_BYTES / 2 {
            self.bytes.resize((self.bytes.len() * 2).max(READ_BYTES), 0);
        }
        let read = loop {
            let room = self.bytes.len().min(self.end + READ_BYTES);
            match self.source.read(&mut self.bytes[self.end..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        self.ended = read == 0;
        Ok(())
    }

    pub(super) fn next(&mut self) -> Frame<'_> {
        if self.broken {
            return match self.end - self.start {
                0 if self.ended => Frame::End,
                0 => Frame::NeedsInput,
                waiting => Frame::Excess(self.take(waiting).bytes),
            };
        }
        loop {
            let waiting = &self.bytes[self.start..self.end];
            match self.splitter.scan(&waiting[self.scanned..]) {
                ScanResult::Skip(length) => {
                    self.advance(self.scanned + length);
                }
                ScanResult::Record(length) => {
                    let length = self.scanned + length;
                    if let Some(line) = self.oversized_line.take() {
                        let last = self.take(length);
                        return Frame::TooLong { last: InputSlice { line, ..last }, ended: true };
                    }
                    if is_blank(&waiting[..length]) {
                        self.advance(length);
                        continue;
                    }
                    return Frame::Record(self.take(length));
                }
                ScanResult::Broken { at, why } => {
                    self.advance(self.scanned + at);
                    self.broken = true;
                    return Frame::Broken { at: self.take(0), why };
                }
                ScanResult::More => {
                    self.scanned = waiting.len();
                    return self.at_buffer_end();
                }
            }
        }
    }

    /// What to say where the splitter has seen all that was read.
    fn at_buffer_end(&mut self) -> Frame<'_> {
        let waiting = self.end - self.start;
        if !self.ended {
            // Once a part of it is gone, the rest need not be kept together either.
            if waiting == 0 || (waiting <= MAX_RECORD_BYTES && self.oversized_line.is_none()) {
                return Frame::NeedsInput;
            }
            self.oversized_line.get_or_insert(self.position.lines + 1);
            return Frame::Excess(self.take(waiting).bytes);
        }
        if let Splitter::Rows(rows) = &self.splitter
            && rows.state == RowState::Quoted
            && rows.line_feeds > 0
        {
            let line = self.oversized_line.unwrap_or(self.position.lines + 1)
                + rows.line_feeds_before_quote;
            self.broken = true;
            let at = InputSlice { line, ..self.take(0) };
            return Frame::Broken { at, why: UNCLOSED_QUOTE };
        }
        if let Some(line) = self.oversized_line.take() {
            let last = self.take(waiting);
            return Frame::TooLong { last: InputSlice { line, ..last }, ended: false };
        }
        let (is_there, open) = match &self.splitter {
            Splitter::Lines => (waiting > 0, false),
            Splitter::Rows(rows) => (waiting > 0, rows.state == RowState::Quoted),
            Splitter::Elements(ElementSplitter::BeforeArray | ElementSplitter::AfterArray) => {
                (false, false)
            }
            Splitter::Elements(_) => (true, true),
        };
        // Once told it is over, whatever state the splitter is in.
        self.broken = true;
        let last = self.take(waiting);
        let is_blank = is_blank(last.bytes) && !open;
        if is_there && !is_blank { Frame::Tail { last, unclosed: open } } else { Frame::End }
    }

    fn take(&mut self, length: usize) -> InputSlice<'_> {
        let line = self.position.lines + 1;
        let start = self.start;
        self.advance(length);
        InputSlice { line, end: self.position, bytes: &self.bytes[start..start + length] }
    }

    fn advance(&mut self, length: usize) {
        let gone = &self.bytes[self.start..self.start + length];
        let feeds = match self.splitter {
            // A line has one, at its end.
            Splitter::Lines => usize::from(gone.last() == Some(&b'\n')),
            Splitter::Rows(_) | Splitter::Elements(_) => memchr_iter(b'\n', gone).count(),
        };
        self.advance_counted(length, feeds);
    }

    fn advance_counted(&mut self, length: usize, feeds: usize) {
        self.position.lines += feeds as u64;
        self.position.offset += length as u64;
        self.start += length;
        self.scanned = 0;
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    // Nearly every record shows at its first byte that it is not.
    bytes.iter().all(u8::is_ascii_whitespace)
}
