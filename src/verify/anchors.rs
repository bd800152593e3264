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

/// Begins the footer of a digest, in its text part and in its HTML part. The head follows it.
const TEXT_FOOTER: &str = "Keep this mail: `activity verify --anchor`";
const HTML_FOOTER: &str = "Keep this mail: <code>activity verify --anchor</code>";

/// Returns each anchor of a plain text, or the head of each mail, once.
///
/// The labels and titles in a mail may say anything, also what looks like an anchor. So of a mail
/// only the footer counts; of a mail without one, the lines that are nothing but an anchor, or that
/// `activity verify` has printed.
pub(crate) fn find_anchors(bytes: &[u8]) -> Vec<Anchor> {
    let mut found = AnchorSet::default();
    let texts = mime::decoded_texts(bytes);
    for parts in texts.chunk_by(|a, b| a.mail.is_some() && a.mail == b.mail) {
        let head = parts.iter().find_map(|part| {
            let text = String::from_utf8_lossy(&part.bytes);
            if part.is_html { html_footer_head(&text) } else { text_footer_head(&text) }
        });
        if let Some(head) = head {
            found.insert(head);
            continue;
        }
        for part in parts {
            match part.mail {
                None => find_in_text(&part.bytes).for_each(|anchor| found.insert(anchor)),
                Some(_) => {
                    let text = String::from_utf8_lossy(&part.bytes);
                    text.lines().filter_map(anchor_of_line).for_each(|anchor| found.insert(anchor));
                }
            }
        }
    }
    found.anchors
}

/// Anchors in the order in which they were found, each once.
#[derive(Default)]
struct AnchorSet {
    anchors: Vec<Anchor>,
    /// The places of the anchors by id: a file may have millions of anchors.
    of_id: HashMap<EventId, Vec<usize>>,
}

impl AnchorSet {
    fn insert(&mut self, anchor: Anchor) {
        let others = self.of_id.entry(anchor.id).or_default();
        if !others.iter().any(|other| anchor.is_implied_by(&self.anchors[*other])) {
            others.push(self.anchors.len());
            self.anchors.push(anchor);
        }
    }
}

/// Returns the head in the last footer of a text: nothing that the log says comes after it. A mail
/// program may have broken the first line of the footer in two.
fn text_footer_head(text: &str) -> Option<Anchor> {
    let lines: Vec<&str> = text.lines().map(unquoted).collect();
    let footer = lines.iter().rposition(|line| line.starts_with(TEXT_FOOTER))?;
    let behind = lines.iter().skip(footer + 1).take(2);
    behind.filter_map(|line| Anchor::parse(line.trim_end()).ok()).next()
}

/// Returns the head in the last footer of a page, where it is in pieces. No label can begin one,
/// because a label has no tags.
fn html_footer_head(page: &str) -> Option<Anchor> {
    let footer = &page[page.rfind(HTML_FOOTER)? + HTML_FOOTER.len()..];
    let footer = footer.split("</p>").next()?;
    let code = footer.split_once("<code>")?.1.split_once("</code>")?.0;
    let head: String = code.replace("<wbr>", "").split_whitespace().collect();
    Anchor::parse(&head).ok()
}

/// Returns the anchor of a line that has nothing else, or that `activity verify` printed.
fn anchor_of_line(line: &str) -> Option<Anchor> {
    let line = unquoted(line).trim_end();
    let printed = line.strip_prefix("holds: ").and_then(|rest| rest.split_once(" events, head "));
    Anchor::parse(printed.map_or(line, |(_, head)| head)).ok()
}

/// Returns a line without the marks of a quotation.
fn unquoted(line: &str) -> &str {
    if line.starts_with('>') { line.trim_start_matches(['>', ' ']) } else { line }
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
        // If each were compared with each other, this would take two hours.
        let many = 200_000;
        let text = (1..=many).fold(String::new(), |mut text, id| {
            use std::fmt::Write;
            writeln!(text, "{id}:{}", &HASH[..MIN_DIGITS]).unwrap();
            text
        });
        assert_eq!(find_anchors((text.clone() + &text).as_bytes()).len(), many);
    }

    fn found(text: &str) -> Vec<i64> {
        find_anchors(text.as_bytes()).into_iter().map(|anchor| anchor.id.0).collect()
    }

    #[test]
    fn the_head_of_a_mail_is_that_of_its_footer() {
        let footer = format!("{TEXT_FOOTER} can hold the log against its head,\n1:{HASH}\n");
        let label = format!("  04:30  2:{HASH}  a.b\n3:{HASH}\n");
        let other = footer.replace("1:", "4:");
        for text in [
            format!("{label}{footer}"),
            format!("{label}{other}{footer}"),
            format!("{label}  {other}{footer}Times are UTC.\n"),
            format!("> {label}> {}", footer.replace('\n', "\n> ")),
            footer.replace("its head", "its\nhead"),
        ] {
            assert_eq!(found(&text), [1], "{text}");
            assert_eq!(found(&format!("Subject: 5:{HASH}\n\n{text}")), [1], "{text}");
        }
        // What others send: a noted head, or what `verify` printed.
        let noted = format!("Subject: x\n\n{label}holds: 7 events, head 7:{HASH}\nsee 8:{HASH}\n");
        assert_eq!(found(&noted), [3, 7]);
        // The page alone.
        let (first, last) = HASH.split_at(30);
        let page = format!(
            "<p>2:{HASH}</p><p>Keep this mail: `activity verify --anchor`</p>
             <p>{HTML_FOOTER} can hold it,<br><code>1:{first}<wbr>{last}</code></p><p>6:{HASH}</p>"
        );
        assert_eq!(found(&format!("Content-Type: text/html\n\n{page}")), [1]);
        let encoded = page.replace('=', "=3D").replace("activity", "acti=\nvity");
        let header = "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n";
        assert_eq!(found(&format!("{header}{encoded}")), [1]);
    }

    #[test]
    fn a_text_may_say_anything_else_around_it() {
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
