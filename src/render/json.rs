//! Indented JSON for people: numbers and the order of keys stay as they came.

use crate::render::styled::StyledText;
use crate::render::theme::TextStyle;
use crate::text;

/// The greatest length, in bytes, of an array of plain values that stays on one line.
const MAX_FLAT_LENGTH: usize = 60;

/// Returns the text on one line, with `\uXXXX` for characters that a terminal would obey or hide.
pub(crate) fn single_line(raw: &str) -> StyledText {
    StyledText::foreign(TextStyle::Plain, &escaped(raw))
}

pub(crate) fn escaped(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    text::json_escape_into(&mut escaped, raw);
    escaped
}

/// Returns the lines of a value, each level indented by two blanks.
pub(crate) fn pretty_lines(raw: &str) -> Vec<StyledText> {
    pretty(raw).lines().map(single_line).collect()
}

/// Returns the text over several lines, not escaped.
pub(crate) fn pretty(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() * 2);
    let mut depth: usize = 0;
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let token = match c {
            '"' => leading_string(rest),
            _ => &rest[..c.len_utf8()],
        };
        let mut taken = token.len();
        match c {
            '{' | '[' => {
                if let Some(flat) = leading_flat_container(rest) {
                    taken = flat.len();
                    push_flat(&mut out, flat);
                } else {
                    depth += 1;
                    out.push(c);
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' | '\n' | '\r' | '\t' => {}
            _ => out.push_str(token),
        }
        rest = &rest[taken..];
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Returns the string that `text` begins with, including its quotes.
fn leading_string(text: &str) -> &str {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return &text[..=place],
            _ => {}
        }
    }
    text
}

/// Returns the container that `text` begins with, if it goes on one line: an empty one, or a short
/// array of plain values.
fn leading_flat_container(text: &str) -> Option<&str> {
    if text.starts_with("{}") || text.starts_with("[]") {
        return Some(&text[..2]);
    }
    let mut place = text.starts_with('[').then_some(1)?;
    while place < MAX_FLAT_LENGTH {
        match text.as_bytes().get(place)? {
            b']' => return Some(&text[..=place]),
            b'{' | b'[' => return None,
            b'"' => place += leading_string(&text[place..]).len(),
            _ => place += 1,
        }
    }
    None
}

fn push_flat(out: &mut String, flat: &str) {
    let mut rest = flat;
    while let Some(c) = rest.chars().next() {
        let token = if c == '"' { leading_string(rest) } else { &rest[..c.len_utf8()] };
        match c {
            ',' => out.push_str(", "),
            ' ' | '\n' | '\r' | '\t' => {}
            _ => out.push_str(token),
        }
        rest = &rest[token.len()..];
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_keys_stay_as_they_came() {
        let raw = r#"{"b":1.10,"a":[1,2e400,"x,y]"],"a":{"k":[{"n":null},{}],"e":[]},"big":12345678901234567890}"#;
        assert_snapshot!(pretty(raw), @r#"
        {
          "b": 1.10,
          "a": [1, 2e400, "x,y]"],
          "a": {
            "k": [
              {
                "n": null
              },
              {}
            ],
            "e": []
          },
          "big": 12345678901234567890
        }
        "#);
    }

    #[test]
    fn control_characters_are_escaped() {
        let lines = pretty_lines("{\"k\\u001b\":\"\u{202e}x\u{9b}\"}");
        assert_eq!(lines[1].text(), r#"  "k\u001b": "\u202ex\u009b""#);
    }

    proptest! {
        #[test]
        fn a_value_means_the_same_over_several_lines(
            keys in prop::collection::vec("\\PC{0,6}", 0..6),
            text in "\\PC{0,80}",
        ) {
            let inner = serde_json::json!({ "keys": keys, "text": text, "none": null });
            let raw = serde_json::json!({ "a": [inner, 1.50, [[], {}]], "b": [keys, text] });
            let pretty = pretty(&raw.to_string());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap(), raw);
        }

        #[test]
        fn text_that_is_no_json_is_no_trouble(text in "\\PC{0,40}") {
            pretty(&text);
        }
    }
}
