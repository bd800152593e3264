//! The receiver of rejected records. What it holds can be read again: rows of CSV stand under one
//! header, and the records of each input begin on a line of their own.

use std::io;
use std::io::Read;
use std::io::Write;

use crate::codec;
use crate::codec::DecodeOptions;
use crate::codec::EventFormat;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::text;

/// The receiver of rejected records.
pub(crate) struct Rejects<'a> {
    output: Box<dyn Write + 'a>,
    contents: RejectsContents,
    /// The name for messages, escaped.
    name: String,
    /// The header of `contents` is yet to be written.
    header_pending: bool,
    /// The next record is the first of its input.
    is_first_record: bool,
}

/// The contents of a file of rejected records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RejectsContents {
    layout: RejectsLayout,
    /// Its last line has no end.
    line_is_open: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum RejectsLayout {
    #[default]
    Empty,
    Lines,
    /// Rows of CSV under this header.
    Rows(Vec<u8>),
}

impl RejectsLayout {
    /// Returns the layout of an input with this header of CSV.
    fn of_input(header: Option<&[u8]>) -> Self {
        header.map_or(Self::Lines, |header| Self::Rows(header.to_vec()))
    }

    /// Returns the header without its line end, which need not be the same everywhere.
    fn header(&self) -> Option<&[u8]> {
        match self {
            Self::Rows(header) => Some(header.trim_ascii_end()),
            Self::Empty | Self::Lines => None,
        }
    }
}

impl RejectsContents {
    /// Reads the contents of a file that further records will be added to, and which may be empty.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(mut file: impl Read, options: DecodeOptions) -> io::Result<Self> {
        let mut beginning = Vec::new();
        file.by_ref().take(codec::MAX_HEADER_BYTES).read_to_end(&mut beginning)?;
        let Some(mut last_byte) = beginning.last().copied() else {
            return Ok(Self::default());
        };
        // The other formats keep lines, in any format.
        let format = options.format.filter(|format| *format == EventFormat::Csv);
        let header = codec::read_csv_header(&*beginning, DecodeOptions { format, ..options })?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut buffer)?;
            match buffer[..read].last() {
                Some(byte) => last_byte = *byte,
                None => break,
            }
        }
        let layout = RejectsLayout::of_input(header.as_deref());
        Ok(Self { layout, line_is_open: last_byte != b'\n' })
    }
}

impl<'a> Rejects<'a> {
    /// Returns a receiver that adds to `contents`. Messages use `name`.
    pub(crate) fn new(output: impl Write + 'a, name: &str, contents: RejectsContents) -> Self {
        let name = text::escape(name).into_owned();
        Self {
            output: Box::new(output),
            contents,
            name,
            header_pending: false,
            is_first_record: true,
        }
    }

    /// Prepares for the records of an input, which has this header if it is CSV. Nothing is written
    /// before there is a record.
    ///
    /// # Errors
    /// [`Exit::Usage`], where the records could not be read again with those that are there.
    pub(crate) fn begin_input(
        &mut self,
        input: &str,
        header: Option<&[u8]>,
    ) -> Result<(), Failure> {
        self.is_first_record = true;
        let layout = RejectsLayout::of_input(header);
        if self.contents.layout == RejectsLayout::Empty {
            self.header_pending = header.is_some();
            self.contents.layout = layout;
            return Ok(());
        }
        if self.contents.layout.header() == layout.header() {
            return Ok(());
        }
        let (name, input) = (&self.name, text::escape(input));
        let why = match (&self.contents.layout, &layout) {
            (RejectsLayout::Rows(_), RejectsLayout::Rows(_)) => "has another CSV header than",
            (RejectsLayout::Rows(_), _) => "has a CSV header, unlike",
            (RejectsLayout::Empty | RejectsLayout::Lines, _) => "has no CSV header, unlike",
        };
        Err(Failure::new(Exit::Usage, format!("--rejects {name}: {why} {input}"))
            .hint("use one rejects file for each header"))
    }

    /// Adds a record of the input, or a part of one.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn write(&mut self, raw: &[u8]) -> io::Result<()> {
        let Some(last_byte) = raw.last() else {
            return Ok(());
        };
        if std::mem::take(&mut self.is_first_record) && self.contents.line_is_open {
            self.output.write_all(b"\n")?;
        }
        if std::mem::take(&mut self.header_pending)
            && let RejectsLayout::Rows(header) = &self.contents.layout
        {
            self.output.write_all(header)?;
        }
        self.output.write_all(raw)?;
        self.contents.line_is_open = *last_byte != b'\n';
        Ok(())
    }

    /// Makes all that was added durable.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
