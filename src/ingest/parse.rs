//! The thread that reads and parses an input, and hands what it found over in chunks.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::ops::Range;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::codec::DecodeOptions;
use crate::codec::DecodeOutcome;
use crate::codec::DecodeStep;
use crate::codec::Decoder;
use crate::codec::InputPosition;
use crate::event::NewEvent;
use crate::event::own_events;

/// How many chunks may wait.
const WAITING: usize = 3;

/// The bytes from which on a chunk is handed over, though more could be parsed at once.
const FULL: u64 = 1 << 20;

/// What was found next to each other in an input.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) items: Vec<Item>,
    /// The place behind the last record that counts as taken, and how many those are.
    pub(super) taken: Option<InputPosition>,
    pub(super) records: u64,
    /// What the records looked like, where rejects are kept.
    raw: Vec<u8>,
    /// The header of CSV; comes once.
    pub(super) header: Option<Vec<u8>>,
    /// Bytes of the records.
    pub(super) bytes: u64,
}

/// One thing that was found.
pub(super) struct Item {
    pub(super) line: u64,
    pub(super) found: Found,
    raw: Range<usize>,
}

pub(super) enum Found {
    Event(Box<NewEvent>),
    Rejected(String),
    /// An event with an action of the log's own, which may not be taken.
    Reserved(String),
    /// A record whose end is missing.
    Torn(String),
    /// The input cannot be read from there on.
    Unreadable(String),
    /// Only bytes, of what is rejected before or behind.
    Excess,
}

impl Chunk {
    pub(super) fn raw(&self, item: &Item) -> &[u8] {
        &self.raw[item.raw.clone()]
    }

    fn push(&mut self, line: u64, found: Found, bytes: &[u8], keep: Keep) {
        let start = self.raw.len();
        match keep {
            Keep::Nothing => {}
            Keep::AsItIs => self.raw.extend_from_slice(bytes),
            Keep::Line => {
                self.raw.extend_from_slice(bytes);
                if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                    self.raw.push(b'\n');
                }
            }
            // Only blanks between the tokens of JSON can be line feeds.
            Keep::Element => {
                let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
                self.raw.extend(bytes.iter().map(blank));
                self.raw.push(b'\n');
            }
        }
        self.items.push(Item { line, found, raw: start..self.raw.len() });
        self.bytes += bytes.len() as u64;
    }
}

/// How the bytes of a record are kept for the rejects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    AsItIs,
    /// As they are, on lines of their own.
    Line,
    /// On one line of their own.
    Element,
}

/// What comes from the thread.
enum Message {
    Chunk(Chunk),
    Failed(io::Error),
    End,
}

/// What there is to do next.
pub(super) enum Next {
    Chunk(Chunk),
    /// Nothing came in time.
    Nothing,
    End,
}

/// How an input is parsed.
#[derive(Clone, Copy)]
pub(super) struct Parsing {
    pub(super) reading: DecodeOptions,
    pub(super) reserved: bool,
    pub(super) keep_raw: bool,
}

/// What a thread reads from.
pub(super) enum From {
    /// A regular file, and the place where an earlier run left it.
    File(File, Option<InputPosition>),
    Stream(Box<dyn Read + Send>),
}

/// An input that is being parsed.
pub(super) struct Feed {
    receiver: Receiver<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Starts the thread. When the feed is dropped the thread ends as soon as it has read what it
    /// waits for, and is not waited for.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn start(from: From, parsing: Parsing) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let thread = thread::Builder::new().name("parse".to_owned()).spawn(move || {
            let ended = decoder(from, parsing.reading).map_or_else(
                |error| Some(Message::Failed(error)),
                |decoder| parse(decoder, parsing, &sender),
            );
            // Nobody listens any more where the run was interrupted.
            if let Some(message) = ended {
                drop(sender.send(message));
            }
        })?;
        Ok(Self { receiver, thread: Some(thread) })
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// Those of reading the input.
    pub(super) fn next(&mut self, patience: Duration) -> io::Result<Next> {
        match self.receiver.recv_timeout(patience) {
            Ok(Message::Chunk(chunk)) => Ok(Next::Chunk(chunk)),
            Ok(Message::Failed(error)) => Err(error),
            Ok(Message::End) => Ok(Next::End),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            // It says when it ends, so it did not come to its end.
            Err(RecvTimeoutError::Disconnected) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                Some(Ok(())) | None => Ok(Next::End),
            },
        }
    }
}

type Any = Box<dyn Read + Send>;

fn decoder(from: From, reading: DecodeOptions) -> io::Result<Decoder<Any>> {
    match from {
        From::Stream(stream) => Ok(Decoder::new(stream, reading)),
        From::File(mut file, left) => {
            file.seek(SeekFrom::Start(0))?;
            let mut again = file.try_clone()?;
            let mut decoder: Decoder<Any> = Decoder::new(Box::new(file), reading);
            if let Some(place) = left {
                decoder.resume(place, |place| {
                    again.seek(SeekFrom::Start(place.offset))?;
                    Ok(Box::new(again))
                })?;
            }
            Ok(decoder)
        }
    }
}

/// Parses to the end; `None` when nobody listens any more.
fn parse(
    mut decoder: Decoder<Any>,
    parsing: Parsing,
    sender: &SyncSender<Message>,
) -> Option<Message> {
    let mut chunk = Chunk::default();
    let mut header_sent = false;
    loop {
        let keep = match (parsing.keep_raw, decoder.is_array()) {
            (false, _) => Keep::Nothing,
            (true, true) => Keep::Element,
            (true, false) => Keep::Line,
        };
        let ended = match decoder.next() {
            DecodeStep::Record(record) => {
                let (found, keep) = match record.outcome {
                    DecodeOutcome::Event(event) => {
                        if !parsing.reserved && own_events::is_reserved(&event.action) {
                            (Found::Reserved(event.action), keep)
                        } else {
                            (Found::Event(event), keep)
                        }
                    }
                    DecodeOutcome::Rejected(why) => (Found::Rejected(why), keep),
                    DecodeOutcome::Truncated(why) => (Found::Torn(why), keep),
                    DecodeOutcome::Unreadable(why) => (Found::Unreadable(why), Keep::Nothing),
                };
                if !matches!(found, Found::Torn(_) | Found::Unreadable(_)) {
                    chunk.taken = Some(record.end);
                    chunk.records += 1;
                }
                let is_over = matches!(found, Found::Unreadable(_)) && !parsing.keep_raw;
                chunk.push(record.line, found, record.bytes, keep);
                is_over
            }
            DecodeStep::Excess(bytes) => {
                if parsing.keep_raw {
                    chunk.push(0, Found::Excess, bytes, Keep::AsItIs);
                }
                false
            }
            DecodeStep::NeedsInput => {
                // It may be long until there is more.
                if !hand_over(&mut chunk, sender) {
                    return None;
                }
                if let Err(error) = decoder.fill() {
                    return Some(Message::Failed(error));
                }
                false
            }
            DecodeStep::End => true,
        };
        if parsing.keep_raw && !header_sent && !chunk.items.is_empty() {
            chunk.header = decoder.header().map(<[u8]>::to_vec);
            header_sent = true;
        }
        if (ended || chunk.bytes >= FULL) && !hand_over(&mut chunk, sender) {
            return None;
        }
        if ended {
            return Some(Message::End);
        }
    }
}

/// Whether somebody took it, if there was anything.
fn hand_over(chunk: &mut Chunk, sender: &SyncSender<Message>) -> bool {
    chunk.items.is_empty() || sender.send(Message::Chunk(std::mem::take(chunk))).is_ok()
}
