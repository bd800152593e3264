//! JSON objects, kept as the text that came with exact numbers, order of keys and escapes. Only the
//! blanks between tokens are dropped.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The greatest depth of nested JSON, including the braces of the event.
pub(crate) const MAX_DEPTH: usize = 64;
/// The depth of a field's value: within the braces of the event.
pub(crate) const VALUE_DEPTH: usize = 1;

/// The reason why a line of something else is refused where JSON was expected.
const NO_JSON: &str =
    "is no JSON; --format csv reads a table, --map anything else: activity help formats";

/// The text of one JSON object without blanks between its tokens.
#[derive(Clone, Debug)]
pub(crate) struct JsonObject(Box<str>);

/// Equal by value: the order of keys and the way a string is escaped do not count, numbers are
/// compared by their text.
impl PartialEq for JsonObject {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || same_value(&self.0, &other.0)
    }
}

impl JsonObject {
    /// Parses an object that an emitter sent. `depth` is its depth in its line.
    ///
    /// # Errors
    /// The reason: no JSON, no object, nested too deeply, or half of a surrogate pair.
    pub(crate) fn parse(text: &str, depth: usize) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| describe_error(&error))?;
        Self::from_raw(raw.get(), depth)
    }

    /// Makes an object of text that `serde_json` has read as one value.
    ///
    /// # Errors
    /// As [`JsonObject::parse`].
    pub(crate) fn from_raw(raw: &str, depth: usize) -> Result<Self, String> {
        if raw.trim_ascii_start().as_bytes().first() != Some(&b'{') {
            return Err(format!("must be an object, not {}", describe_type(raw)));
        }
        Ok(Self(compact(raw, depth)?.into_boxed_str()))
    }

    /// Makes an object of text that this program stored or made itself.
    pub(crate) fn from_trusted(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The members in order, each key unescaped, each value as its text.
    pub(crate) fn members(&self) -> Vec<(Cow<'_, str>, &str)> {
        members(&self.0).expect("a JsonObject holds an object")
    }

    /// The number of its bytes; an escaped character counts as the character that it stands for.
    pub(crate) fn size(&self) -> usize {
        let mut size = 0;
        let mut rest: &str = &self.0;
        while let Some(start) = rest.find('\\') {
            let unit =
                rest.get(start + 2..start + 6).filter(|_| rest[start + 1..].starts_with('u'));
            let (length, stands_for) = match unit.map(|hex| u16::from_str_radix(hex, 16)) {
                // Each half of a pair counts for half of the four bytes.
                Some(Ok(0xd800..0xe000)) => (6, 2),
                Some(Ok(unit)) => (6, char::from_u32(u32::from(unit)).map_or(3, char::len_utf8)),
                Some(Err(_)) | None => (2, 1),
            };
            size += start + stands_for;
            rest = rest.get(start + length..).unwrap_or_default();
        }
        size + rest.len()
    }
}

/// Names the type of a JSON value with its article, for error messages.
pub(crate) fn describe_type(raw: &str) -> &'static str {
    match raw.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Describes a JSON error. It names the column alone, because messages have the line of the file before
/// it.
pub(crate) fn describe_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = match text.split(" at line ").next().unwrap_or(&text) {
        "expected ident" | "expected value" => "no JSON value",
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            "half of a \\u pair"
        }
        "trailing characters" => "more text behind the JSON",
        what => &what.replace("EOF while parsing", "it ends within"),
    };
    format!("{what} at column {}", error.column())
}

/// Whether two JSON texts have the same value. Numbers are compared by their text.
pub(crate) fn same_value(a: &str, b: &str) -> bool {
    let parse = serde_json::from_str::<serde_json::Value>;
    matches!((parse(a), parse(b)), (Ok(a), Ok(b)) if a == b)
}

/// The members of an object's text, in order.
///
/// # Errors
/// The error of `serde_json`, if the text is no object.
pub(crate) fn members(text: &str) -> serde_json::Result<Vec<(Cow<'_, str>, &str)>> {
    struct MembersVisitor;
    impl<'de> Visitor<'de> for MembersVisitor {
        type Value = Vec<(Cow<'de, str>, &'de str)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::with_capacity(32);
            while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                members.push((
                    parse_string(key.get()).map_err(serde::de::Error::custom)?,
                    value.get(),
                ));
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader.deserialize_map(MembersVisitor)?;
    reader.end()?;
    Ok(members)
}

/// The members of a record's text, in order.
///
/// # Errors
/// The reason, worded for a line: the text is no object.
pub(crate) fn object_members(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, String> {
    members(text).map_err(|error| match text.trim_ascii_start().as_bytes() {
        [b'{' | b'[' | b'"', ..] if !error.is_data() => describe_error(&error),
        _ if serde_json::from_str::<&RawValue>(text).is_ok()
            && !text.trim_start().starts_with('{') =>
        {
            format!("must be an object, not {}", describe_type(text))
        }
        [b'{', ..] => describe_error(&error),
        _ => NO_JSON.to_owned(),
    })
}

/// The value of a JSON string; borrowed if nothing in it is escaped.
///
/// # Errors
/// The reason, if it is no string or has half of a surrogate pair.
pub(crate) fn parse_string(raw: &str) -> Result<Cow<'_, str>, String> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.as_bytes().contains(&b'\\') => Ok(Cow::Borrowed(inner)),
        Some(_) => {
            serde_json::from_str(raw).map(Cow::Owned).map_err(|error| describe_error(&error))
        }
        None => Err(format!("must be text, not {}", describe_type(raw))),
    }
}

/// Returns the same JSON with its characters written as themselves where JSON allows it: `caf\u00e9` is
/// `café`, `\/` is `/`. Quotes, backslashes and control characters stay escaped.
pub(crate) fn unescape_letters(raw: &str) -> Cow<'_, str> {
    if !raw.contains("\\u") && !raw.contains("\\/") {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(place) = rest.find('\\') {
        out.push_str(&rest[..place]);
        rest = &rest[place..];
        let unit = |text: &str| {
            let hex = text.strip_prefix("\\u").and_then(|text| text.get(..4))?;
            u16::from_str_radix(hex, 16).ok()
        };
        let (units, length) = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(high @ 0xd800..0xdc00), Some(low)) => (vec![high, low], 12),
            (Some(single), _) => (vec![single], 6),
            (None, _) => (Vec::new(), 2.min(rest.len())),
        };
        let written = char::decode_utf16(units).next().and_then(Result::ok);
        match written.filter(|c| !c.is_control() && *c != '"' && *c != '\\') {
            Some(c) => out.push(c),
            None if rest.starts_with("\\/") => out.push('/'),
            None => out.push_str(rest.get(..length).unwrap_or(rest)),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Drops the blanks between the tokens of valid JSON, and checks its depth and that surrogates come in
/// pairs. `depth` is the depth of `raw` itself.
///
/// # Errors
/// The reason.
pub(crate) fn compact(raw: &str, depth: usize) -> Result<String, String> {
    let bytes = raw.as_bytes();
    let mut out = String::with_capacity(raw.len());
    let (mut at, mut from, mut depth) = (0, 0, depth);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(raw, at)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("JSON nests deeper than {MAX_DEPTH}"));
                }
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(&raw[from..at]);
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&raw[from..]);
    Ok(out)
}

/// The position behind the string that begins at `start`.
fn string_end(raw: &str, start: usize) -> Result<usize, String> {
    let bytes = raw.as_bytes();
    let mut at = start + 1;
    let mut wants_low = false;
    loop {
        let plain = bytes.iter().skip(at).position(|byte| matches!(byte, b'"' | b'\\'));
        let next = at + plain.ok_or("a string does not end")?;
        let unit = (bytes[next] == b'\\' && bytes.get(next + 1) == Some(&b'u'))
            .then(|| raw.get(next + 2..next + 6).and_then(|hex| u16::from_str_radix(hex, 16).ok()))
            .flatten();
        let low = unit.is_some_and(|unit| (0xdc00..0xe000).contains(&unit));
        if (wants_low && (next > at || !low)) || (!wants_low && low) {
            return Err("a string has half of a surrogate pair".to_owned());
        }
        if bytes[next] == b'"' {
            return Ok(next + 1);
        }
        wants_low = unit.is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
        at = next + if unit.is_some() { 6 } else { 2 };
    }
}
