//! NUL in texts, which PostgreSQL does not take. It is written as U+10FFFD and `0`, and that character
//! itself as it and `1`, so that a reader gets every text back as it was. No alphabet has the character.

use std::borrow::Cow;

const ESCAPE: char = '\u{10fffd}';

pub(crate) fn escape(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.extend([ESCAPE, '0']),
            ESCAPE => out.extend([ESCAPE, '1']),
            c => out.push(c),
        }
    }
    out.into()
}

/// Returns the text that was escaped.
pub(crate) fn unescape(text: String) -> String {
    if !text.contains(ESCAPE) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != ESCAPE {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('0') => out.push('\0'),
            Some('1') => out.push(ESCAPE),
            other => out.extend([Some(ESCAPE), other].into_iter().flatten()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_has_a_nul_and_each_comes_back(text in "[a\\x00\u{10fffd}01]{0,20}") {
            let escaped = escape(text.as_str().into());
            prop_assert!(!escaped.contains('\0'));
            prop_assert_eq!(unescape(escaped.into_owned()), text);
        }
    }
}
