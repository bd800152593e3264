//! Anchors: heads of the chain that were noted outside the log, as `ID:HASH`, in a flag, a text or
//! a mail.

use std::collections::HashMap;

use crate::event::EventId;
use crate::event::Hash;
use crate::verify::mime;

/// The number of hex digits that an anchor must have.
const MIN_DIGITS: usize = 16;
/// The number of hex digits of a hash.
const MAX_DIGITS: usize = 64;

/// A head of the chain that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub id: EventId,
    /// The beginning of its hash, in lower case.
    hash_prefix: String,
}

impl Anchor {
    /// Reads `ID:HASH`; the first 16 hex digits are enough.
    ///
    /// # Errors
    /// A message that says what an anchor looks like.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let anchor = text.split_once(':').and_then(|(id, digits)| Self::from_parts(id, digits));
        anchor.ok_or_else(|| "not ID:HASH, a number and 16 to 64 hex digits".to_owned())
    }

    fn from_parts(id: &str, digits: &str) -> Option<Self> {
        let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let is_hash = (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = id.parse().ok().filter(|_| is_number && is_hash)?;
        Some(Self { id: EventId(id), hash_prefix: digits.to_ascii_lowercase() })
    }

    /// Whether another anchor says at least as much as this one.
    fn is_implied_by(&self, other: &Self) -> bool {
        self.id == other.id && other.hash_prefix.starts_with(&self.hash_prefix)
    }

    pub(crate) fn matches(&self, hash: &Hash) -> bool {
        hash.to_string().starts_with(&self.hash_prefix)
    }
}

/// Returns each anchor of a text or a mail once. In the HTML part of a mail of ours its hash is in
/// pieces.
pub(crate) fn find_anchors(bytes: &[u8]) -> Vec<Anchor> {
    let mut found: Vec<Anchor> = Vec::new();
    // A map by id: a file may have millions of anchors.
    let mut of_id: HashMap<EventId, Vec<usize>> = HashMap::new();
    for part in mime::decoded_texts(bytes) {
        for anchor in find_in_text(&part) {
            let others = of_id.entry(anchor.id).or_default();
            if !others.iter().any(|other| anchor.is_implied_by(&found[*other])) {
                others.push(found.len());
                found.push(anchor);
            }
        }
    }
    found
}

/// Returns the anchors of a plain text. A number or a hash that is part of a longer word is not an
/// anchor.
fn find_in_text(text: &[u8]) -> impl Iterator<Item = Anchor> {
    let words = text.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b':'));
    words.filter_map(|word| {
        let (id, digits) = str::from_utf8(word).ok()?.split_once(':')?;
        Anchor::from_parts(id, digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9f31c2d07ab1e5f60123456789abcdef9f31c2d07ab1e5f60123456789abcdef";

    #[test]
    fn sixteen_digits_are_enough() {
        let hash = Hash(std::array::from_fn(|n| u8::try_from(n * 7).unwrap()));
        let digits = hash.to_string();
        for length in [16, 17, 63, 64] {
            let anchor = Anchor::parse(&format!("12:{}", &digits[..length])).unwrap();
            assert!(anchor.id == EventId(12) && anchor.matches(&hash), "{length}");
        }
        assert!(Anchor::parse(&format!("12:{}", digits.to_uppercase())).unwrap().matches(&hash));
        assert!(!Anchor::parse(&format!("12:{HASH}")).unwrap().matches(&hash));
        for wrong in [
            format!("12:{}", &digits[..15]),
            format!("12:{digits}0"),
            format!("-1:{digits}"),
            format!("+1:{digits}"),
            format!(":{digits}"),
            format!("99999999999999999999:{digits}"),
            format!("12:{}g", &digits[..16]),
            format!(" 12:{digits}"),
            digits.clone(),
            "12:".to_owned(),
            String::new(),
        ] {
            assert_eq!(Anchor::parse(&wrong).ok(), None, "{wrong}");
        }
    }

    #[test]
    fn a_long_list_takes_no_longer_for_each() {
        // If each were compared with each other, this would take two days.
        let many = 1_000_000;
        let text = (1..=many).fold(String::new(), |mut text, id| {
            use std::fmt::Write;
            writeln!(text, "{id}:{}", &HASH[..MIN_DIGITS]).unwrap();
            text
        });
        assert_eq!(find_anchors((text.clone() + &text).as_bytes()).len(), many);
    }

    #[test]
    fn a_text_may_say_anything_else_around_it() {
        let found = |text: &str| -> Vec<i64> {
            find_anchors(text.as_bytes()).into_iter().map(|anchor| anchor.id.0).collect()
        };
        assert_eq!(found(&format!("1:{HASH}")), [1]);
        assert_eq!(
            found(&format!("> head 1:{HASH}, (2:{HASH})\r\n<code>3:{HASH}</code>")),
            [1, 2, 3]
        );
        assert_eq!(found(&format!("1:{HASH}\n1:{HASH}\n")), [1]);
        assert_eq!(
            found(&format!("a1:{HASH} 12:1:{HASH} 1:{HASH}0 1:{} sha256:{HASH}", &HASH[..15])),
            [0; 0]
        );
        assert_eq!(found("2026-11-20T04:00:00Z\n::\n1:\n:1"), [0; 0]);
    }
}
