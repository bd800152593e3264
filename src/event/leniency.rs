//! Lenient intake: an event lands although some of its values do not fit their fields. Each repair is
//! noted in the payload, under [`PAYLOAD_KEY`].

use std::borrow::Cow;
use std::fmt::Write;

use crate::text;

/// The key of the notes in the payload.
pub(crate) const PAYLOAD_KEY: &str = "_lenient";

/// The action of an event that has none.
pub(super) const UNKNOWN_ACTION: &str = "unknown";

/// The longest text of an event that is over the limit, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 64 << 10;

/// The longest object of an event that is over the limit, in bytes.
pub(super) const MAX_OBJECT_BYTES: usize = 256 << 10;

/// The limits of the notes, so that an event with all of them has room for its fields: their number, and
/// the bytes of each text in one.
const MAX_NOTES: usize = 100;
const MAX_NOTED_BYTES: usize = 1 << 10;

/// Whether values that do not fit their field reject the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leniency {
    #[default]
    Strict,
    Lenient,
    /// As [`Leniency::Lenient`], for a record whose bytes that are not UTF-8 have been escaped.
    LenientEscaped,
}

/// The repairs of one event.
#[derive(Default)]
pub(super) struct RepairNotes {
    /// The members of the notes, as JSON text.
    members: String,
    count: usize,
}

impl RepairNotes {
    /// Notes that bytes that are not UTF-8 were escaped.
    pub(super) fn note_escaped(&mut self, name: &str) {
        self.add(name, |note| note.push_str("\"escaped\":true"));
    }

    /// Notes that a value of so many bytes was cut.
    pub(super) fn note_cut(&mut self, name: &str, bytes: usize) {
        self.add(name, |note| {
            note.push_str("\"cut_from_bytes\":");
            note.push_str(&bytes.to_string());
        });
    }

    /// Notes that a value was left out, or replaced by one that fits.
    pub(super) fn note_left_out(&mut self, name: &str, value: &str, reason: &str) {
        self.add(name, |note| {
            note.push_str("\"value\":");
            text::json_string_into(note, cut(value, MAX_NOTED_BYTES));
            note.push_str(",\"reason\":");
            text::json_string_into(note, cut(reason, MAX_NOTED_BYTES));
        });
    }

    /// Returns the notes as JSON text; `None` if nothing was repaired.
    pub(super) fn into_json(self) -> Option<String> {
        (self.count > 0).then(|| format!("[{}]", self.members))
    }

    fn add(&mut self, name: &str, describe: impl FnOnce(&mut String)) {
        self.count += 1;
        if self.count > MAX_NOTES {
            return;
        }
        if !self.members.is_empty() {
            self.members.push(',');
        }
        self.members.push_str("{\"field\":");
        text::json_string_into(&mut self.members, cut(name, MAX_NOTED_BYTES));
        self.members.push(',');
        describe(&mut self.members);
        self.members.push('}');
    }
}

/// Returns the beginning of a text that has at most so many bytes.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns an action that consists of the characters that one may have.
pub(super) fn to_action(text: &str, limit: usize) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
    let action = text.chars().map(|c| if allowed(c) { c.to_ascii_lowercase() } else { '_' });
    action.take(limit).collect()
}

/// Returns the text of a record of lines, with bytes that are not UTF-8 written as `\xHH`. `escape` is
/// what stands for a backslash in the format.
pub(crate) fn escape_invalid_utf8<'a>(bytes: &'a [u8], escape: &str) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(out, "{escape}x{byte:02x}").expect("a String takes all");
        }
    }
    Cow::Owned(out)
}
