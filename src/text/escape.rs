//! The terminal rule: which characters are shown, and how the others are written out.
//!
//! Escaped, never dropped, so that a reader sees that something was there. The output is safe for a
//! terminal, for `less -R` and for a mail, and of the width that it seems to have.

use std::borrow::Cow;
use std::fmt::Write;
use std::str::Chars;

use super::unicode::{
    COMBINING_KEYCAP, EMOJI_VARIATION_SELECTOR, is_combining_mark, is_emoji, is_joiner, is_unsafe,
};

/// More combining marks than this on one character pile up over the neighbouring lines.
const MAX_COMBINING_MARKS: usize = 4;

/// Escapes the characters that a terminal would hide, obey or reorder by.
///
/// C0, DEL and C1 become `\n`, `\t`, `\r`, `\e`, `\0` or `\x9b`, all else `\u{202e}`. If anything
/// was escaped the text's own `\` doubles, so that nothing can pretend to be an escape.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if super::is_printable_ascii(text) || !ClassifiedChars::new(text).any(|(_, shown)| !shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    escape_into(&mut out, text);
    Cow::Owned(out)
}

/// Like [`escape`] for a file name or a line that may not be UTF-8: each invalid byte becomes
/// `\xHH`.
pub(crate) fn escape_bytes(bytes: &[u8]) -> String {
    if let Ok(text) = str::from_utf8(bytes) {
        return escape(text).into_owned();
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        escape_into(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            push_hex(&mut out, u32::from(*byte));
        }
    }
    out
}

/// Escapes a message of ours, in which the parts that are not ours have been escaped already: line
/// feeds stay and `\` does not double, so doing it again changes nothing.
pub(crate) fn escape_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (c, shown) in ClassifiedChars::new(text) {
        if shown || c == '\n' {
            out.push(c);
        } else {
            push_escape(&mut out, c);
        }
    }
    out
}

/// Splits what [`escape`] makes of `text` into runs, each with whether it is an escape, to be drawn
/// in reverse video. A doubled `\` is one.
pub(crate) fn escape_parts(text: &str) -> Vec<(bool, Cow<'_, str>)> {
    let Cow::Owned(_) = escape(text) else {
        return if text.is_empty() { Vec::new() } else { vec![(false, Cow::Borrowed(text))] };
    };
    let mut parts: Vec<(bool, String)> = Vec::new();
    for (c, shown) in ClassifiedChars::new(text) {
        let escaped = !shown || c == '\\';
        if parts.last().is_none_or(|(last, _)| *last != escaped) {
            parts.push((escaped, String::new()));
        }
        if let Some((_, part)) = parts.last_mut() {
            push_char(part, c, shown);
        }
    }
    parts.into_iter().map(|(escaped, part)| (escaped, Cow::Owned(part))).collect()
}

/// Appends JSON text with every character that a terminal would not show as it is written as
/// `\uXXXX`. What it means stays the same.
///
/// Here a character's neighbours don't count: joiners and variation selectors are escaped
/// everywhere, and combining marks nowhere. `json` must be valid JSON; blanks between its tokens,
/// line feeds included, are kept.
pub(crate) fn json_escape_into(out: &mut String, json: &str) {
    // In valid JSON every control character of ASCII but DEL stands between tokens.
    if json.bytes().fold(true, |clean, byte| clean & (byte < 0x7F)) {
        out.push_str(json);
        return;
    }
    push_json(out, json, |c| c >= '\u{7F}' && is_unsafe(c));
}

/// Appends a JSON string, quotes included, under the rule of [`json_escape_into`].
pub(crate) fn json_string_into(out: &mut String, text: &str) {
    out.push('"');
    let clean = text.bytes().fold(true, |clean, byte| {
        clean & (byte.wrapping_sub(b' ') < 0x5F) & (byte != b'"') & (byte != b'\\')
    });
    if clean {
        out.push_str(text);
    } else {
        push_json(out, text, |c| c == '"' || c == '\\' || is_unsafe(c));
    }
    out.push('"');
}

/// Appends `text` with what `special` picks written as JSON escapes.
fn push_json(out: &mut String, text: &str, special: impl Fn(char) -> bool) {
    let mut clean = 0;
    for (place, c) in text.char_indices() {
        if !special(c) {
            continue;
        }
        out.push_str(&text[clean..place]);
        clean = place + c.len_utf8();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{C}' => out.push_str("\\f"),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push_fmt(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push_str(&text[clean..]);
}

/// Appends the escaped `text`, in which something is escaped, or beside which something is.
fn escape_into(out: &mut String, text: &str) {
    for (c, shown) in ClassifiedChars::new(text) {
        push_char(out, c, shown);
    }
}

fn push_char(out: &mut String, c: char, shown: bool) {
    match (c, shown) {
        ('\\', _) => out.push_str("\\\\"),
        (_, true) => out.push(c),
        (_, false) => push_escape(out, c),
    }
}

fn push_escape(out: &mut String, c: char) {
    match c {
        '\0' => out.push_str("\\0"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\u{1B}' => out.push_str("\\e"),
        '\u{1}'..='\u{9F}' => push_hex(out, u32::from(c)),
        _ => push_fmt(out, format_args!("\\u{{{:x}}}", u32::from(c))),
    }
}

fn push_hex(out: &mut String, byte: u32) {
    push_fmt(out, format_args!("\\x{byte:02x}"));
}

fn push_fmt(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes all");
}

/// The kind of the last character that is not a mark.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrecedingChar {
    /// The beginning, an escape, or something that takes part in no sequence.
    Other,
    /// A letter that is not ASCII.
    Letter,
    Emoji,
    /// A digit, `#` or `*`.
    KeycapBase,
}

/// The characters of a text, each with whether it is shown as it is.
struct ClassifiedChars<'a> {
    rest: Chars<'a>,
    preceding: PrecedingChar,
    /// Combining marks and emoji styles since then; a joiner does not begin a new count.
    marks: usize,
}

impl<'a> ClassifiedChars<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.chars(), preceding: PrecedingChar::Other, marks: 0 }
    }

    /// Whether a letter or an emoji follows a joiner, with at most one mark between them: some
    /// Bengali words have a joiner before the virama.
    fn can_join_next(&self) -> bool {
        let mut rest = self.rest.clone();
        let mut next = rest.next();
        if self.preceding == PrecedingChar::Letter
            && self.marks < MAX_COMBINING_MARKS
            && next.is_some_and(is_combining_mark)
        {
            next = rest.next();
        }
        next.is_some_and(|c| !is_unsafe(c) && !is_combining_mark(c) && classify(c).can_join())
    }
}

impl PrecedingChar {
    fn can_join(self) -> bool {
        self == Self::Letter || self == Self::Emoji
    }
}

fn classify(c: char) -> PrecedingChar {
    match c {
        '0'..='9' | '#' | '*' => PrecedingChar::KeycapBase,
        _ if c.is_ascii() => PrecedingChar::Other,
        _ if is_emoji(c) => PrecedingChar::Emoji,
        _ if c.is_alphabetic() => PrecedingChar::Letter,
        _ => PrecedingChar::Other,
    }
}

impl Iterator for ClassifiedChars<'_> {
    type Item = (char, bool);

    fn next(&mut self) -> Option<(char, bool)> {
        let c = self.rest.next()?;
        let shown = if is_joiner(c) {
            self.preceding.can_join() && self.can_join_next()
        } else if c == EMOJI_VARIATION_SELECTOR {
            let after = self.marks == 0
                && match self.preceding {
                    PrecedingChar::Emoji => true,
                    PrecedingChar::KeycapBase => self.rest.clone().next() == Some(COMBINING_KEYCAP),
                    PrecedingChar::Letter | PrecedingChar::Other => false,
                };
            self.marks += usize::from(after);
            after
        } else if is_unsafe(c) {
            self.marks = 0;
            false
        } else if is_combining_mark(c) {
            self.marks += 1;
            self.marks <= MAX_COMBINING_MARKS
        } else {
            self.marks = 0;
            self.preceding = classify(c);
            return Some((c, true));
        };
        if !shown {
            self.preceding = PrecedingChar::Other;
        }
        Some((c, shown))
    }
}
