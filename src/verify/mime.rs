//! The texts of a file that somebody has saved: a plain text as it is, or the decoded parts of a
//! mail.
//!
//! This is only as much of MIME as it takes to find a line in a saved mail: nested parts,
//! quoted-printable and base64. Anything else is taken as it is.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use quoted_printable::ParseMode;

/// The greatest depth of nested parts.
const MAX_DEPTH: u8 = 8;

/// Every mail has one of these headers.
const MAIL_HEADERS: [&str; 7] =
    ["content-type", "date", "from", "message-id", "mime-version", "received", "subject"];

/// A text that somebody has saved.
pub(super) struct SavedText<'a> {
    /// The number of the mail that the text is a part of; `None` for a plain text.
    pub mail: Option<usize>,
    pub is_html: bool,
    pub bytes: Cow<'a, [u8]>,
}

/// Returns the texts of a mail, of all mails of a mailbox, or the one plain text.
pub(super) fn decoded_texts(bytes: &[u8]) -> Vec<SavedText<'_>> {
    let mut texts = TextCollector::default();
    if bytes.starts_with(b"From ") {
        let starts = lines_with_offsets(bytes).filter(|(_, line)| line.starts_with(b"From "));
        let mut starts: Vec<_> = starts.map(|(at, line)| (at, at + line.len())).collect();
        starts.push((bytes.len(), bytes.len()));
        for pair in starts.windows(2) {
            texts.collect(&bytes[pair[0].1..pair[1].0], MAX_DEPTH, None);
        }
    } else {
        texts.collect(bytes, MAX_DEPTH, None);
    }
    texts.texts
}

/// Collects the texts of mails, and numbers the mails.
#[derive(Default)]
struct TextCollector<'a> {
    texts: Vec<SavedText<'a>>,
    mails: usize,
}

impl<'a> TextCollector<'a> {
    /// Collects the texts of a mail or a plain text, or those of a part of the mail `within`.
    fn collect(&mut self, bytes: &'a [u8], depth: u8, within: Option<usize>) {
        let entity = Entity::parse(bytes);
        let is_mail = MAIL_HEADERS.iter().any(|name| entity.header(name).is_some());
        // Some parts have no header of their own.
        if !is_mail && (within.is_none() || entity.headers.is_empty()) {
            self.texts.push(SavedText { mail: within, is_html: false, bytes: bytes.into() });
            return;
        }
        let mail = within.unwrap_or_else(|| {
            self.mails += 1;
            self.mails
        });
        let boundary =
            entity.is("multipart/").then(|| entity.header_parameter("boundary")).flatten();
        match boundary.filter(|_| depth > 0) {
            Some(boundary) => {
                for part in multipart_parts(entity.body, &boundary) {
                    self.collect(part, depth - 1, Some(mail));
                }
            }
            // A mail within a mail has a head of its own.
            None if entity.is("message/") && depth > 0 => {
                self.collect(entity.body, depth - 1, None);
            }
            None => self.texts.push(SavedText {
                mail: Some(mail),
                is_html: entity.is("text/html"),
                bytes: entity.decoded_body(),
            }),
        }
    }
}

/// A mail, or a part of one.
struct Entity<'a> {
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: &'a [u8],
}

impl<'a> Entity<'a> {
    fn parse(bytes: &'a [u8]) -> Self {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (at, line) in lines_with_offsets(bytes) {
            let text = String::from_utf8_lossy(line);
            let text = text.trim_end();
            if text.is_empty() {
                return Self { headers, body: &bytes[at + line.len()..] };
            }
            if text.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    value.push_str(text);
                }
            } else if let Some((name, value)) =
                text.split_once(':').filter(|(n, _)| is_header_name(n))
            {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            } else {
                break;
            }
        }
        Self { headers: Vec::new(), body: bytes }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or("text/plain")
    }

    /// Whether the type of the content begins so.
    fn is(&self, prefix: &str) -> bool {
        let start = self.content_type().get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }

    fn header_parameter(&self, name: &str) -> Option<String> {
        header_parameter(self.content_type(), name)
    }

    fn decoded_body(&self) -> Cow<'a, [u8]> {
        let encoding = self.header("content-transfer-encoding").unwrap_or("");
        match encoding.to_ascii_lowercase().as_str() {
            "quoted-printable" => quoted_printable::decode(self.body, ParseMode::Robust).ok(),
            "base64" => {
                let config = GeneralPurposeConfig::new()
                    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
                let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
                let mut digits = self.body.to_vec();
                digits.retain(|byte| !byte.is_ascii_whitespace());
                engine.decode(digits).ok()
            }
            _ => None,
        }
        .map_or(Cow::Borrowed(self.body), Cow::Owned)
    }
}

/// Whether a header can have that name. An anchor on a line of its own looks like a header whose
/// name is a number.
fn is_header_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic())
        && !name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns each line, with its end, and where it begins.
fn lines_with_offsets(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.split_inclusive(|byte| *byte == b'\n').scan(0, |at, line| {
        let begins = *at;
        *at += line.len();
        Some((begins, line))
    })
}

/// Returns a parameter of a header's value, without its quotes.
fn header_parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (other, value) = parameter.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        other.trim().eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

/// Returns the parts between the lines of a boundary.
fn multipart_parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let line = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut begins = None;
    for (at, text) in lines_with_offsets(body) {
        let Some(rest) = text.strip_prefix(line.as_bytes()) else { continue };
        let rest = rest.trim_ascii();
        if !matches!(rest, b"" | b"--") {
            continue;
        }
        if let Some(begins) = begins {
            parts.push(&body[begins..at]);
        }
        begins = (rest != b"--").then_some(at + text.len());
    }
    // The last part of a mail that was cut off.
    parts.extend(begins.map(|begins| &body[begins..]));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(mail: &str) -> Vec<String> {
        let texts = decoded_texts(mail.as_bytes());
        texts.iter().map(|text| String::from_utf8_lossy(&text.bytes).into_owned()).collect()
    }

    #[test]
    fn what_is_no_mail_is_one_text() {
        for text in [
            "",
            "17:abc",
            "17:abc\nx: y\n\nz",
            "a note:\n\n17:abc\n",
            "x\nFrom: y\n\nz",
            "Subject: x\n17:abc\n\nz",
            "Subject: x\nhead 17:abc\n\n",
        ] {
            assert_eq!(read(text), [text]);
        }
    }

    #[test]
    fn the_parts_of_a_mail_are_decoded() {
        let mail = "\
Subject: two parts\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/alternative;\r\n boundary=\"=_a b\"\r\n\
\r\n\
For old programs.\r\n\
--=_a b\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: quoted-printable\r\n\
\r\n\
482=\r\n13:9f31=\r\nc2d0=3D\r\n\
--=_a b\r\n\
content-type: text/html\r\n\
CONTENT-TRANSFER-ENCODING: BASE64\r\n\
\r\n\
PGI+NDgy\r\nMTM8L2I+\r\n\
--=_a b--\r\n\
behind\r\n";
        assert_eq!(read(mail), ["48213:9f31c2d0=\r\n", "<b>48213</b>"]);
        let mailbox =
            format!("From a\n{}From b\nSubject: x\n\nplain\n", mail.replace("\r\n", "\n"));
        assert_eq!(read(&mailbox), ["48213:9f31c2d0=\r\n", "<b>48213</b>", "plain\n"]);
        let forwarded = format!("Content-Type: message/rfc822\r\nSubject: f\r\n\r\n{mail}");
        assert_eq!(read(&forwarded).len(), 2);
        let places = |mail: &str| -> Vec<_> {
            let texts = decoded_texts(mail.as_bytes());
            texts.iter().map(|text| (text.mail, text.is_html)).collect()
        };
        assert_eq!(places(&mailbox), [(Some(1), false), (Some(1), true), (Some(2), false)]);
        assert_eq!(places(&forwarded), [(Some(2), false), (Some(2), true)]);
        assert_eq!(places("17:abc"), [(None, false)]);
    }

    #[test]
    fn what_is_cut_off_or_wrong_is_taken_as_far_as_it_goes() {
        let open = "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nfirst\n--x\nA: b\n\nsecond";
        assert_eq!(read(open), ["\nfirst\n", "second"]);
        let wrong = "Subject: x\nContent-Transfer-Encoding: base64\n\n!!\n";
        assert_eq!(read(wrong), ["!!\n"]);
        let deep = "Content-Type: message/rfc822\n\n".repeat(100);
        assert_eq!(read(&deep).len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(From |Subject: x|Content-Type: multipart/x; boundary=b|--b|--b--|\r?\n| )*") {
            decoded_texts(&bytes);
            decoded_texts(text.as_bytes());
        }
    }
}
