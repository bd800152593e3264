//! Text as a terminal may see it: escaped, measured, cut, folded.
//!
//! Everything here is pure. Whoever prints foreign text, a file name or a quoted argument included,
//! sends it through [`escape()`] first and measures and cuts only what came out of it. What is
//! drawn in which colour, and which bytes a CSV file holds, is decided elsewhere.

mod escape;
mod unicode;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

pub(crate) use escape::{
    escape, escape_bytes, escape_lines, escape_parts, json_escape_into, json_string_into,
};

const ELLIPSIS: char = '…';

/// Returns how many columns a terminal gives to `text`, which has been escaped.
pub(crate) fn width(text: &str) -> usize {
    if is_printable_ascii(text) {
        return text.len();
    }
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// Cuts `text`, which has been escaped, to at most `columns`. What was cut ends in `…`.
pub(crate) fn truncate(text: &str, columns: usize) -> Cow<'_, str> {
    // No grapheme of ours is wider than its bytes, so what is short enough needs no measuring.
    if text.len() <= columns || width(text) <= columns {
        return Cow::Borrowed(text);
    }
    if columns == 0 {
        return Cow::Borrowed("");
    }
    let mut used = 0;
    let mut end = 0;
    for (start, grapheme) in text.grapheme_indices(true) {
        used += grapheme.width();
        if used >= columns {
            break;
        }
        end = start + grapheme.len();
    }
    // A joiner whose second half was cut off joins nothing any more.
    let kept = text[..end].trim_end_matches(unicode::is_joiner);
    Cow::Owned(format!("{kept}{ELLIPSIS}"))
}

/// Fills `text`, which has been escaped, with blanks to `columns`; wider text stays as it is.
pub(crate) fn pad(text: &str, columns: usize) -> Cow<'_, str> {
    let blanks = columns.saturating_sub(width(text));
    if blanks == 0 { Cow::Borrowed(text) } else { Cow::Owned(format!("{text}{:blanks$}", "")) }
}

/// Returns the number with its noun in English: `1 event`, `2 events`, `3 queries`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    if n == 1 {
        return format!("{n} {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{n} {stem}ies"),
        _ => format!("{n} {noun}s"),
    }
}

/// Returns a number of bytes as people read it: `412 KiB`, `41.2 MiB`, `1.3 GiB`.
pub(crate) fn format_bytes(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{} KiB", bytes.div_ceil(1 << 10)),
    }
}

/// Returns the number in groups of three digits: `18,412`.
pub(crate) fn format_thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Folds the case of `text`: the one meaning of "in any case" in the whole program.
///
/// This is Unicode's full case folding (The Unicode Standard, 3.13, D144): `ß` and `ẞ` are `ss`, all
/// three sigmas are one. Each character is folded on its own, whatever stands around it. So a piece of a
/// folded text is the folded piece of the text, and a substring search finds the same whether a store or
/// a filter does it.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    if text.chars().all(|c| fold_char(c).eq([c])) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(fold_char).collect())
}

/// Folds a character: the lower case of its capitals, which for Cherokee is the other case of the
/// standard's and tells the same characters apart. The dotless i alone is a letter of its own.
fn fold_char(c: char) -> impl Iterator<Item = char> {
    const DOTLESS_I: char = 'ı';
    let capitals = c.to_lowercase().flat_map(char::to_uppercase);
    let folded = capitals.flat_map(char::to_lowercase);
    folded.map(move |folded| if c == DOTLESS_I { c } else { folded })
}

/// Returns the known word that `word` was probably meant to be, if one is near enough.
///
/// Case does not count. The first of several equally near ones wins.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a word this long, and the distance takes the square of the length.
    const LONGEST: usize = 64;
    let word: Vec<char> = fold(word).chars().take(LONGEST + 1).collect();
    if word.len() > LONGEST {
        return None;
    }
    let limit = ((word.len() + 2) / 4).min(3);
    known
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = fold(candidate).chars().take(LONGEST + 4).collect();
            let far = letters.len().abs_diff(word.len()) > limit;
            let distance = if far { usize::MAX } else { edit_distance(&word, &letters) };
            (distance <= limit).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the letters to insert, drop, replace or swap with their neighbour to get from `a` to `b`.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// Tells whether every byte is a visible ASCII character or a blank, without stopping at the first
/// that is not: so the compiler tests many bytes at once.
fn is_printable_ascii(text: &str) -> bool {
    text.bytes().fold(true, |clean, byte| clean & (byte.wrapping_sub(b' ') < 0x5F))
}
