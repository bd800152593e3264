//! The thread that reads and parses an input, and hands the results over in chunks.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::access::IngestRights;
use crate::codec::DecodeOptions;
use crate::codec::DecodeOutcome;
use crate::codec::DecodeStep;
use crate::codec::DecodedRecord;
use crate::codec::Decoder;
use crate::codec::InputPosition;
use crate::codec::packed;
use crate::codec::packed::Packing;
use crate::codec::packed::UnpackError;
use crate::event::NewEvent;
use crate::event::intake::IntakeNotes;
use crate::ingest::known_file;
use crate::ingest::known_file::Fingerprint;
use crate::ingest::known_file::PositionedFile;

/// The number of chunks that may wait for the writer.
const MAX_QUEUED_CHUNKS: usize = 3;

/// The size at which a chunk is handed over, even if more input is there.
const CHUNK_BYTES: u64 = 1 << 20;

/// Successive records of an input.
#[derive(Default)]
pub(super) struct ParsedChunk {
    pub(super) items: Vec<ParsedItem>,
    /// The place after the last record that counts as read.
    pub(super) end_position: Option<InputPosition>,
    /// What a file is recognised by that was read up to there, from the bytes that were parsed.
    pub(super) fingerprint: Option<Fingerprint>,
    /// The bytes of the records, where rejects are kept.
    raw: Vec<u8>,
    /// The header of CSV, in the first chunk only.
    pub(super) header: Option<Vec<u8>>,
    /// Bytes of the records.
    pub(super) bytes: u64,
    /// The keys that went into the payload.
    pub(super) notes: Box<IntakeNotes>,
}

/// One record, or one stretch of bytes.
pub(super) struct ParsedItem {
    pub(super) line: u64,
    /// The place after it.
    pub(super) end: InputPosition,
    pub(super) outcome: ParseOutcome,
    raw: Range<usize>,
}

pub(super) enum ParseOutcome {
    Event(Box<NewEvent>),
    Rejected(String),
    /// An event with an action that only the log itself may use.
    NotPermitted(String),
    /// A record whose end is missing.
    Truncated(String),
    /// The input cannot be parsed after this place.
    Unreadable(String),
    /// Further bytes of a record that is rejected before or after this item.
    Excess,
}

impl ParsedItem {
    /// Whether it is a record with its end, so that the place behind it counts as read.
    pub(super) fn is_complete(&self) -> bool {
        match self.outcome {
            ParseOutcome::Event(_) | ParseOutcome::Rejected(_) | ParseOutcome::NotPermitted(_) => {
                true
            }
            ParseOutcome::Truncated(_) | ParseOutcome::Unreadable(_) | ParseOutcome::Excess => {
                false
            }
        }
    }

    pub(super) fn event(&self) -> Option<&NewEvent> {
        match &self.outcome {
            ParseOutcome::Event(event) => Some(event),
            ParseOutcome::Rejected(_)
            | ParseOutcome::NotPermitted(_)
            | ParseOutcome::Truncated(_)
            | ParseOutcome::Unreadable(_)
            | ParseOutcome::Excess => None,
        }
    }
}

impl ParsedChunk {
    pub(super) fn raw(&self, item: &ParsedItem) -> &[u8] {
        &self.raw[item.raw.clone()]
    }

    fn push(
        &mut self,
        line: u64,
        end: InputPosition,
        found: ParseOutcome,
        bytes: &[u8],
        keep: RawForm,
    ) {
        let start = self.raw.len();
        match keep {
            RawForm::Discarded => {}
            RawForm::Verbatim => self.raw.extend_from_slice(bytes),
            RawForm::Line => {
                self.raw.extend_from_slice(bytes);
                if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                    self.raw.push(b'\n');
                }
            }
            // In JSON a line feed can stand only between tokens.
            RawForm::Element => {
                let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
                self.raw.extend(bytes.iter().map(blank));
                self.raw.push(b'\n');
            }
        }
        self.items.push(ParsedItem { line, end, outcome: found, raw: start..self.raw.len() });
        self.bytes += bytes.len() as u64;
    }
}

/// The form in which a record's bytes are kept for the rejects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RawForm {
    Discarded,
    Verbatim,
    /// As they are, on lines of their own.
    Line,
    /// On one line of their own.
    Element,
}

/// A message from the thread.
enum ParserMessage {
    Chunk(ParsedChunk),
    Failed(io::Error),
    End,
}

/// The next step for the writer.
pub(super) enum ParserOutput {
    Chunk(ParsedChunk),
    /// No chunk arrived in time.
    TimedOut,
    End,
}

/// The options of the parser.
#[derive(Clone)]
pub(super) struct ParseOptions {
    pub(super) decode_options: DecodeOptions,
    pub(super) rights: Arc<IngestRights>,
    pub(super) keep_raw: bool,
    /// Whether the input is a file, which may be recognised later.
    pub(super) fingerprints: bool,
}

/// The input of a thread.
pub(super) enum ParserInput {
    /// A regular file, and the place where an earlier run stopped.
    File(File, Option<InputPosition>),
    /// The first bytes of such a file, as many as another pass has read.
    FileUpTo(File, Option<InputPosition>, u64),
    /// A regular file that is compressed; the place is one in its contents.
    Packed(PositionedFile, Packing, Option<InputPosition>),
    Stream(Box<dyn Read + Send>),
}

/// An input that is being parsed.
pub(super) struct ParserThread {
    receiver: Receiver<ParserMessage>,
    thread: Option<JoinHandle<()>>,
}

impl ParserThread {
    /// Starts the thread. After this value is dropped, the thread ends by itself with its next
    /// read, and nobody waits for it.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn start(from: ParserInput, parsing: ParseOptions) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(MAX_QUEUED_CHUNKS);
        let thread = thread::Builder::new().name("parse".to_owned()).spawn(move || {
            let ended = open_decoder(from, parsing.decode_options).map_or_else(
                |error| Some(ParserMessage::Failed(error)),
                |decoder| parse_to_end(decoder, &parsing, &sender),
            );
            // After an interrupt nobody receives.
            if let Some(message) = ended {
                drop(sender.send(message));
            }
        })?;
        Ok(Self { receiver, thread: Some(thread) })
    }

    /// Ends the thread and waits for it: it reads from the place of the open file, which others share.
    pub(super) fn stop(self) {
        let Self { receiver, thread } = self;
        drop(receiver);
        if let Some(Err(panic)) = thread.map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }

    /// Waits for the next chunk.
    ///
    /// # Errors
    /// Those of reading the input.
    pub(super) fn next(&mut self, patience: Duration) -> io::Result<ParserOutput> {
        match self.receiver.recv_timeout(patience) {
            Ok(ParserMessage::Chunk(chunk)) => Ok(ParserOutput::Chunk(chunk)),
            Ok(ParserMessage::Failed(error)) => Err(error),
            Ok(ParserMessage::End) => Ok(ParserOutput::End),
            Err(RecvTimeoutError::Timeout) => Ok(ParserOutput::TimedOut),
            // The thread announces its end, so this one has died.
            Err(RecvTimeoutError::Disconnected) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                Some(Ok(())) | None => Ok(ParserOutput::End),
            },
        }
    }
}

type InputReader = Box<dyn Read + Send>;

fn open_decoder(from: ParserInput, mut reading: DecodeOptions) -> io::Result<Decoder<InputReader>> {
    match from {
        ParserInput::Stream(stream) => Ok(Decoder::new(packed::unpack_if_packed(stream)?, reading)),
        ParserInput::Packed(file, packing, left) => {
            reading.latest = file.written_at().or(reading.latest);
            let again = file.try_clone()?;
            // Nobody writes a last row of a compressed file that was read to its end.
            let mut decoder = Decoder::new(packing.unpack(file), reading);
            if let Some(place) = left {
                decoder.continue_with(place, |start| {
                    let mut contents = packing.unpack(again);
                    io::copy(&mut contents.by_ref().take(start), &mut io::sink())?;
                    Ok(contents)
                })?;
            }
            Ok(decoder)
        }
        ParserInput::File(file, left) => open_file(file, left, u64::MAX, reading),
        ParserInput::FileUpTo(file, left, end) => open_file(file, left, end, reading),
    }
}

fn open_file(
    mut file: File,
    left: Option<InputPosition>,
    end: u64,
    mut reading: DecodeOptions,
) -> io::Result<Decoder<InputReader>> {
    file.seek(SeekFrom::Start(0))?;
    reading.latest = known_file::written_at(&file).or(reading.latest);
    let mut again = file.try_clone()?;
    let mut decoder: Decoder<InputReader> = Decoder::of_growing(Box::new(file.take(end)), reading);
    let Some(place) = left else { return Ok(decoder) };
    let continued = decoder.continue_with(place, |start| {
        again.seek(SeekFrom::Start(start))?;
        Ok(Box::new(again.take(end.saturating_sub(start))))
    });
    match continued {
        // It was cut off since it was looked up. What it has now is for the next look-up.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Decoder::of_growing(Box::new(io::empty()), reading))
        }
        continued => continued.map(|()| decoder),
    }
}

/// Parses to the end; `None` when nobody receives any more.
fn parse_to_end(
    mut decoder: Decoder<InputReader>,
    parsing: &ParseOptions,
    sender: &SyncSender<ParserMessage>,
) -> Option<ParserMessage> {
    let mut chunk = ParsedChunk::default();
    let mut header_sent = false;
    loop {
        let keep = match (parsing.keep_raw, decoder.is_array()) {
            (false, _) => RawForm::Discarded,
            (true, true) => RawForm::Element,
            (true, false) => RawForm::Line,
        };
        let ended = match decoder.next() {
            DecodeStep::Record(record) => {
                let is_over = push_record(&mut chunk, record, parsing, keep);
                is_over && !parsing.keep_raw
            }
            DecodeStep::Excess(bytes) => {
                if parsing.keep_raw {
                    chunk.push(
                        0,
                        InputPosition::default(),
                        ParseOutcome::Excess,
                        bytes,
                        RawForm::Verbatim,
                    );
                }
                false
            }
            DecodeStep::NeedsInput => {
                // The next bytes may take long to arrive.
                identify(&mut chunk, &mut decoder, parsing);
                if !send_chunk(&mut chunk, sender) {
                    return None;
                }
                match decoder.fill() {
                    Ok(()) => false,
                    Err(error) => match UnpackError::reason(&error) {
                        Some(reason) => {
                            let outcome = ParseOutcome::Unreadable(reason.to_owned());
                            let place = InputPosition::default();
                            let line = decoder.next_line();
                            chunk.push(line, place, outcome, &[], RawForm::Discarded);
                            true
                        }
                        None => return Some(ParserMessage::Failed(error)),
                    },
                }
            }
            DecodeStep::End => true,
        };
        if parsing.keep_raw && !header_sent && !chunk.items.is_empty() {
            chunk.header = decoder.header().map(<[u8]>::to_vec);
            header_sent = true;
        }
        if ended || chunk.bytes >= CHUNK_BYTES {
            identify(&mut chunk, &mut decoder, parsing);
            if !send_chunk(&mut chunk, sender) {
                return None;
            }
        }
        if ended {
            return Some(ParserMessage::End);
        }
    }
}

/// Adds a record to a chunk; returns whether the input cannot be parsed after it.
fn push_record(
    chunk: &mut ParsedChunk,
    record: DecodedRecord<'_>,
    parsing: &ParseOptions,
    keep: RawForm,
) -> bool {
    let (found, keep) = match record.outcome {
        DecodeOutcome::Event(event) => match parsing.rights.refusal(&event) {
            Some(why) => (ParseOutcome::NotPermitted(why), keep),
            None => (ParseOutcome::Event(event), keep),
        },
        DecodeOutcome::Rejected(why) => (ParseOutcome::Rejected(why), keep),
        DecodeOutcome::Truncated(why) => (ParseOutcome::Truncated(why), keep),
        DecodeOutcome::Unreadable(why) => (ParseOutcome::Unreadable(why), RawForm::Discarded),
    };
    if !matches!(found, ParseOutcome::Truncated(_) | ParseOutcome::Unreadable(_)) {
        chunk.end_position = Some(record.end);
    }
    let is_unreadable = matches!(found, ParseOutcome::Unreadable(_));
    chunk.push(record.line, record.end, found, record.bytes, keep);
    is_unreadable
}

/// Notes what the file is recognised by at the end of a chunk, and what is remarkable in it.
fn identify(chunk: &mut ParsedChunk, decoder: &mut Decoder<InputReader>, parsing: &ParseOptions) {
    *chunk.notes = decoder.take_notes();
    if let (Some(place), true) = (chunk.end_position, parsing.fingerprints) {
        let (head, tail) = decoder.identify(place);
        chunk.fingerprint = Some(Fingerprint::new(head, tail));
    }
}

/// Sends a chunk if it has anything; returns whether somebody still receives.
fn send_chunk(chunk: &mut ParsedChunk, sender: &SyncSender<ParserMessage>) -> bool {
    chunk.items.is_empty() || sender.send(ParserMessage::Chunk(std::mem::take(chunk))).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_was_cut_off_since_it_was_looked_up_has_no_more_for_this_run() {
        for left in ["", "{\"action\":\"new\"}\n"] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(left.as_bytes()).unwrap();
            let place = InputPosition { offset: 5_000, lines: 200 };
            let mut decoder =
                open_file(file, Some(place), u64::MAX, DecodeOptions::default()).unwrap();
            loop {
                match decoder.next() {
                    DecodeStep::NeedsInput => decoder.fill().unwrap(),
                    DecodeStep::End => break,
                    DecodeStep::Record(_) | DecodeStep::Excess(_) => panic!("{left} was read"),
                }
            }
        }
    }
}
