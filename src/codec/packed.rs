//! Compressed inputs: gzip and Zstandard are recognised by their first bytes, and unpacked while they are
//! read.
//!
//! Several gzip members, and several frames of Zstandard, follow each other as one input (RFC 1952, RFC
//! 8878). Their checksums are compared.
//!
//! ## Cost
//! Memory does not depend on how much is unpacked: it is bounded by the window of the format, which is 32
//! KiB in gzip. A frame of Zstandard with a window over 8 MiB is refused, as RFC 8878 recommends.

use std::fmt;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::errors::ReadFrameHeaderError;

/// The longest of the first bytes by which a packing is recognised.
const MAX_MAGIC_LENGTH: usize = 4;

/// A short input is read at once.
const FIRST_READ_BYTES: usize = 64 << 10;

/// The largest window of Zstandard. `zstd` needs no larger one without `--ultra` and `--long`.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// How an input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstandard,
}

impl Packing {
    /// Recognises a packing by the first four bytes of an input.
    pub(crate) fn detect(beginning: &[u8]) -> Option<Self> {
        match beginning {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => {
                Some(Self::Zstandard)
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstandard => "Zstandard",
        }
    }

    /// Returns what is in an input. Data that cannot be unpacked is an [`UnpackError`] where it is read;
    /// the errors of `source` stay as they are.
    pub(crate) fn unpack<'a>(self, source: impl Read + Send + 'a) -> Box<dyn Read + Send + 'a> {
        let source = BufReader::new(source);
        let contents: Box<dyn Read + Send + 'a> = match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(source)),
            Self::Zstandard => Box::new(ZstandardReader::new(source)),
        };
        Box::new(UnpackingReader { contents, packing: self })
    }
}

/// Returns what is in an input that may be compressed.
///
/// # Errors
/// The first bytes cannot be read.
pub(crate) fn unpack_if_packed<'a>(
    mut source: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut beginning = vec![0; FIRST_READ_BYTES];
    let mut length = 0;
    while length < MAX_MAGIC_LENGTH {
        match source.read(&mut beginning[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    beginning.truncate(length);
    let packing = Packing::detect(&beginning);
    let whole = io::Cursor::new(beginning).chain(source);
    Ok(match packing {
        Some(packing) => packing.unpack(whole),
        None => Box::new(whole),
    })
}

/// Why compressed data cannot be unpacked, worded for `FILE:LINE: reason`.
#[derive(Debug)]
pub(crate) struct UnpackError(String);

impl UnpackError {
    /// Returns the reason, if an error has one of this kind.
    pub(crate) fn reason(error: &io::Error) -> Option<&str> {
        error.get_ref()?.downcast_ref::<Self>().map(|Self(reason)| reason.as_str())
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnpackError {}

/// Tells errors of the data from those of the source.
struct UnpackingReader<'a> {
    contents: Box<dyn Read + Send + 'a>,
    packing: Packing,
}

impl Read for UnpackingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.contents.read(buffer).map_err(|error| {
            let name = self.packing.name();
            let reason = match error.kind() {
                io::ErrorKind::Interrupted => return error,
                // What the system reports is no fault of the data.
                _ if error.raw_os_error().is_some() => return error,
                io::ErrorKind::UnexpectedEof => format!("the {name} data ends early"),
                _ => format!("the {name} data is damaged: {error}"),
            };
            io::Error::new(io::ErrorKind::InvalidData, UnpackError(reason))
        })
    }
}

/// Unpacks the frames of Zstandard one after the other. Frames that are to be skipped are.
struct ZstandardReader<S> {
    source: TrackedSource<S>,
    decoder: FrameDecoder,
    is_within_frame: bool,
}

impl<S: BufRead> ZstandardReader<S> {
    fn new(source: S) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW_BYTES);
        let source = TrackedSource { source, has_ended: false, failure: None };
        Self { source, decoder, is_within_frame: false }
    }

    /// Begins the next frame; returns whether there is one.
    fn begin_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_within_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let mut skipped = self.source.by_ref().take(length);
                    if io::copy(&mut skipped, &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => {
                    let message = format!(
                        "it needs {} MiB of memory, more than {}; pipe what `zstd -dc --long=31` prints",
                        requested.div_ceil(1 << 20),
                        MAX_WINDOW_BYTES >> 20
                    );
                    return Err(io::Error::other(message));
                }
                Err(error) => return Err(self.source.blame(&error)),
            }
        }
    }

    /// Ends the frame that was read.
    fn end_frame(&mut self) -> io::Result<()> {
        self.is_within_frame = false;
        let expected = self.decoder.get_checksum_from_data();
        if expected.is_some() && expected != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("its checksum is another one"));
        }
        Ok(())
    }
}

impl<S: BufRead> Read for ZstandardReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() && (self.is_within_frame || self.begin_frame()?) {
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| self.source.blame(&error))?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            if self.decoder.is_finished() {
                self.end_frame()?;
            }
        }
        Ok(0)
    }
}

/// Remembers why a source gave no more bytes, for the decoder's errors do not tell.
struct TrackedSource<S> {
    source: S,
    has_ended: bool,
    failure: Option<io::Error>,
}

impl<S> TrackedSource<S> {
    /// Returns the error behind an error of the decoder.
    fn blame(&mut self, error: &FrameDecoderError) -> io::Error {
        match self.failure.take() {
            Some(failure) => failure,
            None if self.has_ended => io::ErrorKind::UnexpectedEof.into(),
            None => io::Error::other(error.to_string()),
        }
    }
}

impl<S: Read> Read for TrackedSource<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer);
        match &read {
            Ok(0) => self.has_ended = !buffer.is_empty(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.failure = error.raw_os_error().map(io::Error::from_raw_os_error),
        }
        read
    }
}
