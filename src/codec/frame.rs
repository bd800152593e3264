//! Splits a stream of bytes into records, in flat memory: lines, rows of CSV, elements of an array.
//!
//! A record comes with the line where it begins and the place behind it. What it means, and whether
//! it is text at all, is for the format to say. Reading is left to the caller ([`Framer::fill`]), so
//! that he knows when he may have to wait.

use std::io;
use std::io::Read;

use memchr::{memchr, memchr_iter};

use crate::codec::UNCLOSED;

/// The longest record that is kept, in bytes as it came. An event is measured on its values, which
/// escapes can make six times as long.
pub(super) const LONGEST: usize = 8 << 20;

/// How much is asked for at a time.
const STEP: usize = 256 << 10;

/// What stands at the place reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// More has to be read before anything can be said.
    Starved,
    /// A record, with what ends it.
    Record(Piece<'a>),
    /// A record that the input ends in, and whether its end is surely missing. In an array it may be
    /// empty: there the array itself has no end.
    Tail { last: Piece<'a>, open: bool },
    /// A part of a record that is too long; it comes before its [`Frame::TooLong`]. Or what follows
    /// a [`Frame::Broken`].
    Excess(&'a [u8]),
    /// The last part of a record that is too long, and whether anything ended it.
    TooLong { last: Piece<'a>, ended: bool },
    /// No record can be told apart from here on: what is left comes as [`Frame::Excess`]. The piece
    /// is empty.
    Broken { at: Piece<'a>, why: &'static str },
    /// Nothing is left.
    End,
}

/// Bytes of the input: the line where they begin, and the place behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub line: u64,
    pub end: Place,
    pub bytes: &'a [u8],
}

/// A place in an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub offset: u64,
    /// Lines that ended before it.
    pub lines: u64,
}

/// What tells records apart.
#[derive(Debug)]
pub(super) enum Splitter {
    Lines,
    Rows(Rows),
    Elements(Elements),
}

impl Splitter {
    pub(super) fn rows() -> Self {
        Self::Rows(Rows::default())
    }

    pub(super) fn elements() -> Self {
        Self::Elements(Elements::Open)
    }

    /// Like [`Splitter::elements`], behind an element of the array.
    pub(super) fn elements_after_one() -> Self {
        Self::Elements(Elements::Between)
    }

    fn scan(&mut self, bytes: &[u8]) -> Scan {
        match self {
            Self::Lines => memchr(b'\n', bytes).map_or(Scan::More, |at| Scan::Record(at + 1)),
            Self::Rows(rows) => rows.scan(bytes),
            Self::Elements(elements) => elements.scan(bytes),
        }
    }
}

/// What a splitter says of the bytes that it had not seen yet.
#[derive(Debug, PartialEq, Eq)]
enum Scan {
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
pub(super) struct Rows {
    state: Row,
    /// Line feeds within quotes so far in this row, and before the newest quote that opened.
    feeds: u64,
    feeds_before_quote: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Row {
    #[default]
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote within quotes: it ends the cell, or is the first half of a doubled one.
    Quote,
    /// Behind a CR, which an LF may follow.
    Return,
}

impl Rows {
    fn scan(&mut self, bytes: &[u8]) -> Scan {
        for (at, &byte) in bytes.iter().enumerate() {
            self.state = match (self.state, byte) {
                (Row::Return, b'\n') => return self.end(at + 1),
                (Row::Return, _) => return self.end(at),
                (Row::Quoted, b'"') => Row::Quote,
                (Row::Quoted, _) => {
                    self.feeds += u64::from(byte == b'\n');
                    Row::Quoted
                }
                (Row::Quote, b'"') => Row::Quoted,
                (Row::CellStart, b'"') => {
                    self.feeds_before_quote = self.feeds;
                    Row::Quoted
                }
                (_, b'\n') => return self.end(at + 1),
                (_, b'\r') => Row::Return,
                (_, b',') => Row::CellStart,
                (_, _) => Row::Plain,
            };
        }
        Scan::More
    }

    fn end(&mut self, length: usize) -> Scan {
        *self = Self::default();
        Scan::Record(length)
    }
}

/// The elements of a JSON array. Only as much of JSON is known here as it takes to find their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    /// Before the array.
    Open,
    /// Before the first element or the end.
    First,
    /// Behind a comma.
    Next,
    /// Behind an element.
    Between,
    /// In an element that is a container or text: how deep, and whether within a string, behind a
    /// backslash.
    Nested { depth: u64, string: bool, escaped: bool },
    /// In a number or a word.
    Bare,
    /// Behind the array.
    Closed,
}

impl Elements {
    fn scan(&mut self, bytes: &[u8]) -> Scan {
        for (at, &byte) in bytes.iter().enumerate() {
            let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            let next = match *self {
                Self::Nested { .. } => match self.nested(byte) {
                    None => {
                        *self = Self::Between;
                        return Scan::Record(at + 1);
                    }
                    Some(next) => next,
                },
                Self::Bare if blank || matches!(byte, b',' | b']') => {
                    *self = Self::Between;
                    return Scan::Record(at);
                }
                Self::Bare => Self::Bare,
                between => {
                    let next = match (between, byte) {
                        (_, _) if blank => between,
                        (Self::Open, b'[') => Self::First,
                        (Self::Open, _) => {
                            return Scan::Broken { at, why: "a JSON array begins with [" };
                        }
                        (Self::First | Self::Between, b']') => Self::Closed,
                        (Self::Between, b',') => Self::Next,
                        (Self::Between, _) => {
                            return Scan::Broken {
                                at,
                                why: "a comma or ] is missing behind an element",
                            };
                        }
                        (Self::Closed, _) => {
                            return Scan::Broken { at, why: "text follows the array" };
                        }
                        (_, b',' | b']') => {
                            return Scan::Broken {
                                at,
                                why: "an element is missing beside a comma",
                            };
                        }
                        // The element begins here: what stands before it is done with first.
                        (_, _) if at > 0 => return Scan::Skip(at),
                        (_, b'{' | b'[') => {
                            Self::Nested { depth: 1, string: false, escaped: false }
                        }
                        (_, b'"') => Self::Nested { depth: 0, string: true, escaped: false },
                        (_, _) => Self::Bare,
                    };
                    if !matches!(next, Self::Nested { .. } | Self::Bare) {
                        *self = next;
                        if at + 1 == bytes.len() {
                            return Scan::Skip(at + 1);
                        }
                        continue;
                    }
                    next
                }
            };
            *self = next;
        }
        Scan::More
    }

    /// The state behind a byte of an element, or `None` where it ends the element.
    fn nested(self, byte: u8) -> Option<Self> {
        let Self::Nested { depth, string, escaped } = self else {
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
        (depth > 0 || string).then_some(Self::Nested { depth, string, escaped })
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
    seen: usize,
    /// The place of `start`.
    place: Place,
    /// The line where the record at hand begins, once a part of it is gone.
    too_long: Option<u64>,
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
            seen: 0,
            place: Place::default(),
            too_long: None,
            broken: false,
            ended: false,
        }
    }

    /// Sets what tells the records apart that have not been given out yet.
    pub(super) fn split(&mut self, splitter: Splitter) {
        self.splitter = splitter;
        self.seen = 0;
    }

    /// Goes on in another source, which stands at `place` of the same input.
    pub(super) fn go_on(&mut self, source: R, place: Place, splitter: Splitter) {
        let bytes = std::mem::take(&mut self.bytes);
        *self = Self { bytes, splitter, place, ..Self::new(source) };
    }

    /// Where the next record, or what stands before it, begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// What was read and not given out yet, and whether the input ends behind it.
    pub(super) fn waiting(&self) -> (&[u8], bool) {
        (&self.bytes[self.start..self.end], self.ended)
    }

    /// Passes over bytes that are no part of any record.
    pub(super) fn skip(&mut self, length: usize) {
        let gone = &self.bytes[self.start..self.start + length];
        self.pass(length, memchr_iter(b'\n', gone).count());
    }

    /// Gives up: what waits, and what is still read, comes as [`Frame::Excess`].
    pub(super) fn give_up(&mut self) {
        self.broken = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes back what was given out since it stood at `place`, provided nothing was read since.
    pub(super) fn step_back(&mut self, place: Place) {
        let back = usize::try_from(self.place.offset - place.offset).unwrap_or(usize::MAX);
        self.start = self.start.saturating_sub(back);
        self.place = place;
        self.seen = 0;
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
        if self.bytes.len() - self.end < STEP / 2 {
            self.bytes.resize((self.bytes.len() * 2).max(STEP), 0);
        }
        let read = loop {
            let room = self.bytes.len().min(self.end + STEP);
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
                0 => Frame::Starved,
                waiting => Frame::Excess(self.take(waiting).bytes),
            };
        }
        loop {
            let waiting = &self.bytes[self.start..self.end];
            match self.splitter.scan(&waiting[self.seen..]) {
                Scan::Skip(length) => {
                    self.advance(self.seen + length);
                }
                Scan::Record(length) => {
                    let length = self.seen + length;
                    if let Some(line) = self.too_long.take() {
                        let last = self.take(length);
                        return Frame::TooLong { last: Piece { line, ..last }, ended: true };
                    }
                    if is_blank(&waiting[..length]) {
                        self.advance(length);
                        continue;
                    }
                    return Frame::Record(self.take(length));
                }
                Scan::Broken { at, why } => {
                    self.advance(self.seen + at);
                    self.broken = true;
                    return Frame::Broken { at: self.take(0), why };
                }
                Scan::More => {
                    self.seen = waiting.len();
                    return self.at_edge();
                }
            }
        }
    }

    /// What to say where the splitter has seen all that was read.
    fn at_edge(&mut self) -> Frame<'_> {
        let waiting = self.end - self.start;
        if !self.ended {
            // Once a part of it is gone, the rest need not be kept together either.
            if waiting == 0 || (waiting <= LONGEST && self.too_long.is_none()) {
                return Frame::Starved;
            }
            self.too_long.get_or_insert(self.place.lines + 1);
            return Frame::Excess(self.take(waiting).bytes);
        }
        if let Splitter::Rows(rows) = &self.splitter
            && rows.state == Row::Quoted
            && rows.feeds > 0
        {
            let line = self.too_long.unwrap_or(self.place.lines + 1) + rows.feeds_before_quote;
            self.broken = true;
            let at = Piece { line, ..self.take(0) };
            return Frame::Broken { at, why: UNCLOSED };
        }
        if let Some(line) = self.too_long.take() {
            let last = self.take(waiting);
            return Frame::TooLong { last: Piece { line, ..last }, ended: false };
        }
        let (is_there, open) = match &self.splitter {
            Splitter::Lines => (waiting > 0, false),
            Splitter::Rows(rows) => (waiting > 0, rows.state == Row::Quoted),
            Splitter::Elements(Elements::Open | Elements::Closed) => (false, false),
            Splitter::Elements(_) => (true, true),
        };
        // Once told it is over, whatever state the splitter is in.
        self.broken = true;
        let last = self.take(waiting);
        let is_blank = is_blank(last.bytes) && !open;
        if is_there && !is_blank { Frame::Tail { last, open } } else { Frame::End }
    }

    fn take(&mut self, length: usize) -> Piece<'_> {
        let line = self.place.lines + 1;
        let start = self.start;
        self.advance(length);
        Piece { line, end: self.place, bytes: &self.bytes[start..start + length] }
    }

    fn advance(&mut self, length: usize) {
        let gone = &self.bytes[self.start..self.start + length];
        let feeds = match self.splitter {
            // A line has one, at its end.
            Splitter::Lines => usize::from(gone.last() == Some(&b'\n')),
            Splitter::Rows(_) | Splitter::Elements(_) => memchr_iter(b'\n', gone).count(),
        };
        self.pass(length, feeds);
    }

    fn pass(&mut self, length: usize, feeds: usize) {
        self.place.lines += feeds as u64;
        self.place.offset += length as u64;
        self.start += length;
        self.seen = 0;
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    // Nearly every record shows at its first byte that it is not.
    bytes.iter().all(u8::is_ascii_whitespace)
}
