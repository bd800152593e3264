//! Splits a stream of bytes into records: lines, rows of CSV, or elements of a JSON array.
//!
//! A record comes with the number of its first line and the position after it. The formats decide
//! what it means, and whether it is text at all. The caller reads the source ([`Framer::fill`]), so
//! that they know when a call may block.
//!
//! ## Cost
//! Memory is bounded by [`MAX_RECORD_BYTES`] and two reads. A longer record is passed on in parts.

use std::io;
use std::io::Read;

use memchr::memchr;
use memchr::memchr_iter;

use crate::codec::UNCLOSED_QUOTE;
use crate::codec::documents::DocumentSplitter;

/// The longest record that is kept, in bytes as read. The limit of an event counts its decoded
/// values, and escapes can make them six times as long.
pub(super) const MAX_RECORD_BYTES: usize = 8 << 20;

/// The number of bytes to read at a time.
const READ_BYTES: usize = 256 << 10;

/// The number of first bytes of the input that are kept.
const HEAD_BYTES: usize = 4 << 10;

/// The number of bytes that are kept after they were returned.
const TAIL_BYTES: usize = 64 << 10;

/// The next piece of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The next piece is unknown until more has been read.
    NeedsInput,
    /// A record with its terminator.
    Record(InputSlice<'a>),
    /// The last record of the input, without a terminator. `unclosed` says that a quote or the array
    /// is open; in an array the record may be empty.
    Tail { last: InputSlice<'a>, unclosed: bool },
    /// A part of a record that is too long, before its [`Frame::TooLong`]; or a part of the input
    /// after a [`Frame::Broken`].
    Excess(&'a [u8]),
    /// The last part of a record that is too long. `ended` says whether it has a terminator.
    TooLong { last: InputSlice<'a>, ended: bool },
    /// No record can be recognised from here on. The rest follows as [`Frame::Excess`]. `at` is
    /// empty.
    Broken { at: InputSlice<'a>, reason: &'static str },
    /// The input is exhausted.
    End,
}

/// Bytes of the input, with the number of their first line and the position after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InputSlice<'a> {
    pub line: u64,
    pub end: InputPosition,
    pub bytes: &'a [u8],
}

/// A position in an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InputPosition {
    pub offset: u64,
    /// The number of lines that end before it.
    pub lines: u64,
}

impl InputPosition {
    /// The place where the bytes begin by which an input is recognised that was read up to here.
    pub(crate) fn tail_start(self) -> u64 {
        self.offset.saturating_sub(TAIL_BYTES as u64)
    }
}

/// The rule that splits an input into records.
#[derive(Debug)]
pub(super) enum Splitter {
    Lines,
    Rows(RowSplitter),
    Elements(ElementSplitter),
    Documents(DocumentSplitter),
}

impl Splitter {
    pub(super) fn for_csv_rows() -> Self {
        Self::for_csv_rows_with(b',')
    }

    pub(super) fn for_csv_rows_with(delimiter: u8) -> Self {
        Self::Rows(RowSplitter::new(delimiter))
    }

    /// For JSON documents whose records are in the list that keys lead to, or are the objects themselves.
    pub(super) fn for_documents(records: &[Vec<String>]) -> Self {
        Self::Documents(DocumentSplitter::new(records.to_vec()))
    }

    /// Like [`Splitter::for_documents`], but for an input that continues after a record.
    pub(super) fn for_documents_after_one(records: &[Vec<String>]) -> Self {
        Self::Documents(DocumentSplitter::after_one(records.to_vec()))
    }

    pub(super) fn for_json_array() -> Self {
        Self::Elements(ElementSplitter::BeforeArray)
    }

    /// Like [`Splitter::for_json_array`], but for an input that continues after an element.
    pub(super) fn for_json_array_after_one() -> Self {
        Self::Elements(ElementSplitter::AfterElement)
    }

    fn scan(&mut self, bytes: &[u8]) -> ScanResult {
        match self {
            Self::Lines => {
                memchr(b'\n', bytes).map_or(ScanResult::More, |at| ScanResult::Record(at + 1))
            }
            Self::Rows(rows) => rows.scan(bytes),
            Self::Elements(elements) => elements.scan(bytes),
            Self::Documents(documents) => documents.scan(bytes),
        }
    }
}

/// The result of scanning bytes that were not scanned before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ScanResult {
    /// All bytes belong to the current record or stand before it.
    More,
    /// This many bytes stand between records.
    Skip(usize),
    /// The record ends after this many bytes.
    Record(usize),
    /// The byte at this index is not allowed there.
    Broken { at: usize, reason: &'static str },
}

/// Splits rows of CSV as RFC 4180 and the `csv` crate do: a quote is special only at the beginning
/// of a cell, and CR, LF or both end a row.
#[derive(Debug)]
pub(super) struct RowSplitter {
    delimiter: u8,
    state: RowState,
    /// The line feeds within quotes in this row so far.
    line_feeds: u64,
    /// The value of `line_feeds` at the last opening quote.
    line_feeds_before_quote: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowState {
    CellStart,
    Unquoted,
    Quoted,
    /// After a quote within quotes, which ends the cell or is the first half of a doubled quote.
    QuoteInQuoted,
    /// After a CR, which an LF may follow.
    CarriageReturn,
}

impl RowSplitter {
    fn new(delimiter: u8) -> Self {
        Self { delimiter, state: RowState::CellStart, line_feeds: 0, line_feeds_before_quote: 0 }
    }

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
                (_, byte) if byte == self.delimiter => RowState::CellStart,
                (_, _) => RowState::Unquoted,
            };
        }
        ScanResult::More
    }

    fn end_row(&mut self, length: usize) -> ScanResult {
        *self = Self::new(self.delimiter);
        ScanResult::Record(length)
    }
}

/// Splits the elements of a JSON array. It knows only as much of JSON as it needs to find their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementSplitter {
    /// Before the array.
    BeforeArray,
    /// After the opening bracket.
    BeforeFirst,
    /// After a comma.
    AfterComma,
    /// After an element.
    AfterElement,
    /// In an object, array or string: the depth of nesting, whether in a string, and whether after a
    /// backslash.
    Nested { depth: u64, in_string: bool, escaped: bool },
    /// In a number, `true`, `false` or `null`.
    Scalar,
    /// After the closing bracket.
    AfterArray,
}

impl ElementSplitter {
    pub(super) fn scan(&mut self, bytes: &[u8]) -> ScanResult {
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
                Self::BeforeArray
                | Self::BeforeFirst
                | Self::AfterComma
                | Self::AfterElement
                | Self::AfterArray => match self.step_between(byte) {
                    Err(reason) => return ScanResult::Broken { at, reason },
                    Ok(next @ (Self::Nested { .. } | Self::Scalar)) => {
                        if at > 0 {
                            // The bytes before the element are skipped first.
                            return ScanResult::Skip(at);
                        }
                        next
                    }
                    Ok(next) => {
                        *self = next;
                        if at + 1 == bytes.len() {
                            return ScanResult::Skip(at + 1);
                        }
                        continue;
                    }
                },
            };
            *self = next;
        }
        ScanResult::More
    }

    /// Returns the state after a byte outside elements. An element begins where the state is that of
    /// one.
    ///
    /// # Errors
    /// The reason why the byte is not allowed there.
    fn step_between(self, byte: u8) -> Result<Self, &'static str> {
        Ok(match (self, byte) {
            (between, b' ' | b'\t' | b'\n' | b'\r') => between,
            (Self::BeforeArray, b'[') => Self::BeforeFirst,
            (Self::BeforeArray, _) => return Err("JSON begins with [ or {"),
            (Self::BeforeFirst | Self::AfterElement, b']') => Self::AfterArray,
            (Self::AfterElement, b',') => Self::AfterComma,
            (Self::AfterElement, _) => return Err("a comma or ] is missing behind an element"),
            (Self::AfterArray, _) => return Err("text follows the array"),
            (_, b',' | b']') => return Err("an element is missing beside a comma"),
            (_, b'{' | b'[') => Self::Nested { depth: 1, in_string: false, escaped: false },
            (_, b'"') => Self::Nested { depth: 0, in_string: true, escaped: false },
            (_, _) => Self::Scalar,
        })
    }

    /// Returns the state after a byte of an element, or `None` where the byte ends the element.
    fn step_nested(self, byte: u8) -> Option<Self> {
        let Self::Nested { depth, in_string, escaped } = self else {
            return Some(self);
        };
        let (depth, in_string, escaped) = match byte {
            _ if escaped => (depth, in_string, false),
            b'\\' if in_string => (depth, in_string, true),
            b'"' => (depth, !in_string, false),
            b'{' | b'[' if !in_string => (depth + 1, false, false),
            b'}' | b']' if !in_string => (depth.saturating_sub(1), false, false),
            _ => (depth, in_string, false),
        };
        (depth > 0 || in_string).then_some(Self::Nested { depth, in_string, escaped })
    }
}

/// Splits the bytes of a source into records.
pub(super) struct Framer<R> {
    source: R,
    splitter: Splitter,
    /// The first bytes of the input.
    head: Vec<u8>,
    /// The buffer. The bytes from `start` to `end` are read and not yet returned; those before
    /// `start` precede them in the input.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The number of bytes after `start` that the splitter has scanned.
    scanned: usize,
    /// The position of `start` in the input.
    position: InputPosition,
    /// The first line of the current record, once a part of it has been returned as excess.
    oversized_line: Option<u64>,
    /// No more records are recognised.
    broken: bool,
    /// The source has no more bytes.
    ended: bool,
}

impl<R: Read> Framer<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            splitter: Splitter::Lines,
            head: Vec::new(),
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

    /// Sets the splitter of the records that have not been returned yet.
    pub(super) fn set_splitter(&mut self, splitter: Splitter) {
        self.splitter = splitter;
        self.scanned = 0;
    }

    /// Continues at `place` with another source of the same input, which is at
    /// [`InputPosition::tail_start`] of that place.
    ///
    /// # Errors
    /// The source cannot be read, or ends before the place.
    pub(super) fn continue_with(
        &mut self,
        mut source: R,
        place: InputPosition,
        splitter: Splitter,
    ) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let head = std::mem::take(&mut self.head);
        let start = usize::try_from(place.offset - place.tail_start()).unwrap_or(TAIL_BYTES);
        bytes.resize(bytes.len().max(start), 0);
        source.read_exact(&mut bytes[..start])?;
        *self =
            Self { head, bytes, start, end: start, splitter, position: place, ..Self::new(source) };
        Ok(())
    }

    /// Whether the bytes that [`Framer::identify`] needs for a later place are there.
    pub(super) fn has_head(&self, place: InputPosition) -> bool {
        self.ended || self.head.len() as u64 >= place.offset.min(HEAD_BYTES as u64)
    }

    /// Returns the first bytes of the input, and the bytes before `place`, by which the input can
    /// be recognised. Nothing may have been read since the place was reached.
    pub(super) fn identify(&self, place: InputPosition) -> (&[u8], &[u8]) {
        let back = |from: u64| usize::try_from(self.position.offset - from).unwrap_or(usize::MAX);
        let tail_end = self.start.saturating_sub(back(place.offset));
        let tail_start = self.start.saturating_sub(back(place.tail_start())).min(tail_end);
        let head = usize::try_from(place.offset).unwrap_or(usize::MAX).min(self.head.len());
        (&self.head[..head], &self.bytes[tail_start..tail_end])
    }

    /// Returns the position of the next byte to return.
    pub(super) fn position(&self) -> InputPosition {
        self.position
    }

    /// Returns the bytes that are read and not yet returned, and whether the input ends after them.
    pub(super) fn buffered(&self) -> (&[u8], bool) {
        (&self.bytes[self.start..self.end], self.ended)
    }

    /// Skips bytes that are not part of any record.
    pub(super) fn skip(&mut self, length: usize) {
        let consumed = &self.bytes[self.start..self.start + length];
        self.advance_counted(length, memchr_iter(b'\n', consumed).count());
    }

    /// Stops recognising records: the rest of the input is returned as [`Frame::Excess`].
    pub(super) fn mark_broken(&mut self) {
        self.broken = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Returns to `place`. The source must not have been read since.
    pub(super) fn rewind(&mut self, place: InputPosition) {
        let back = usize::try_from(self.position.offset - place.offset).unwrap_or(usize::MAX);
        self.start = self.start.saturating_sub(back);
        self.position = place;
        self.scanned = 0;
    }

    /// Reads from the source once, again where a signal interrupts it.
    ///
    /// # Errors
    /// The source cannot be read.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if let Some(dropped) = self.start.checked_sub(TAIL_BYTES) {
            self.bytes.copy_within(dropped..self.end, 0);
            self.end -= dropped;
            self.start -= dropped;
        }
        if self.bytes.len() - self.end < READ_BYTES / 2 {
            self.bytes.resize((self.bytes.len() * 2).max(READ_BYTES + TAIL_BYTES), 0);
        }
        let read = loop {
            let room = self.bytes.len().min(self.end + READ_BYTES);
            match self.source.read(&mut self.bytes[self.end..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let read_so_far = self.position.offset + (self.end - self.start) as u64;
        if read_so_far == self.head.len() as u64 {
            let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(read);
            self.head.extend_from_slice(&self.bytes[self.end..self.end + missing]);
        }
        self.end += read;
        self.ended = read == 0;
        Ok(())
    }

    /// Returns the next piece of the input. Never reads the source.
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
                ScanResult::Broken { at, reason } => {
                    self.advance(self.scanned + at);
                    self.broken = true;
                    return Frame::Broken { at: self.take(0), reason };
                }
                ScanResult::More => {
                    self.scanned = waiting.len();
                    return self.at_buffer_end();
                }
            }
        }
    }

    /// Returns the frame where the splitter has scanned all that was read.
    fn at_buffer_end(&mut self) -> Frame<'_> {
        let waiting = self.end - self.start;
        if !self.ended {
            // A record of which a part was returned as excess is not kept together any longer.
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
            return Frame::Broken { at, reason: UNCLOSED_QUOTE };
        }
        if let Some(line) = self.oversized_line.take() {
            let last = self.take(waiting);
            return Frame::TooLong { last: InputSlice { line, ..last }, ended: false };
        }
        let (has_record, unclosed) = match &self.splitter {
            Splitter::Lines => (waiting > 0, false),
            Splitter::Rows(rows) => (waiting > 0, rows.state == RowState::Quoted),
            Splitter::Elements(ElementSplitter::BeforeArray | ElementSplitter::AfterArray) => {
                (false, false)
            }
            Splitter::Elements(_) => (true, true),
            Splitter::Documents(documents) => (documents.is_open(), documents.is_open()),
        };
        // No record follows, whatever the state of the splitter.
        self.broken = true;
        let last = self.take(waiting);
        let is_blank = is_blank(last.bytes) && !unclosed;
        if has_record && !is_blank { Frame::Tail { last, unclosed } } else { Frame::End }
    }

    fn take(&mut self, length: usize) -> InputSlice<'_> {
        let line = self.position.lines + 1;
        let start = self.start;
        self.advance(length);
        InputSlice { line, end: self.position, bytes: &self.bytes[start..start + length] }
    }

    fn advance(&mut self, length: usize) {
        let consumed = &self.bytes[self.start..self.start + length];
        let line_feeds = match self.splitter {
            // The only line feed of a line is at its end.
            Splitter::Lines => usize::from(consumed.last() == Some(&b'\n')),
            Splitter::Rows(_) | Splitter::Elements(_) | Splitter::Documents(_) => {
                memchr_iter(b'\n', consumed).count()
            }
        };
        self.advance_counted(length, line_feeds);
    }

    fn advance_counted(&mut self, length: usize, line_feeds: usize) {
        self.position.lines += line_feeds as u64;
        self.position.offset += length as u64;
        self.start += length;
        self.scanned = 0;
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    // For nearly every record the first byte decides.
    bytes.iter().all(u8::is_ascii_whitespace)
}
