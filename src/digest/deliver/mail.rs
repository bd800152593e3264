//! A mail as plain data, and as the message that SMTP and `sendmail` carry.
//!
//! A message has the headers named here and no others, whatever is in the fields: addresses are checked
//! when they are parsed, and control characters are removed from header texts before `lettre` encodes
//! and folds them.

use std::fmt;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use lettre::Message;
use lettre::address::Address;
use lettre::message::Body;
use lettre::message::Mailbox as HeaderMailbox;
use lettre::message::Mailboxes;
use lettre::message::MultiPart;
use lettre::message::SinglePart;
use lettre::message::header::ContentTransferEncoding;
use lettre::message::header::ContentType;
use lettre::message::header::Header;
use lettre::message::header::HeaderName;
use lettre::message::header::HeaderValue;
use lettre::message::header::Headers;
use lettre::message::header::MIME_VERSION_1_0;
use lettre::message::header::To;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::text;
use crate::time::Timestamp;

/// The header that identifies both copies of a mail that came twice.
pub(super) const WINDOW_HEADER: &str = "X-Activity-Window";
/// The header that keeps vacation programs from answering (RFC 3834).
pub(super) const AUTO_SUBMITTED_HEADER: &str = "Auto-Submitted";
pub(super) const AUTO_GENERATED: &str = "auto-generated";

/// The longest subject in characters; mail programs show less.
const MAX_SUBJECT_CHARS: usize = 200;
const NO_SUBJECT: &str = "(no subject)";
/// The longest token of a header, far below the 998 characters of a line.
const MAX_TOKEN_CHARS: usize = 200;

/// A sender or recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    name: Option<String>,
    address: Address,
}

impl Mailbox {
    /// Parses `alice@example.org`, `Alice <alice@example.org>` or `"Liddell, A." <alice@example.org>`.
    ///
    /// # Errors
    ///
    /// [`Exit::Config`] with the text and what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        Self::parse_parts(text.trim()).map_err(|reason| {
            let quoted = text::escape(text);
            Failure::new(Exit::Config, format!("\"{quoted}\" is no mail address: {reason}"))
        })
    }

    fn parse_parts(text: &str) -> Result<Self, &'static str> {
        if text.contains(char::is_control) {
            return Err("it holds a control character");
        }
        let (name, address) = match text.strip_suffix('>') {
            Some(text) => {
                let (name, address) = text.rsplit_once('<').ok_or("a \"<\" is missing")?;
                (unquote(name.trim())?, address)
            }
            None => (None, text),
        };
        // Other characters are legal, but nobody means them or some servers refuse them.
        let is_allowed = |c: char| c.is_ascii_graphic() && !"<>\"\\,;:()".contains(c);
        if !address.chars().all(is_allowed) {
            return Err("the address may hold ASCII letters, digits and the usual marks");
        }
        let address = address.parse().map_err(|_| "it should read like name@example.org")?;
        let mailbox = Self { name, address };
        // What builds the message reads its addresses again, by other rules.
        let reread: Result<HeaderMailbox, _> = mailbox.to_header().to_string().parse();
        if reread.is_ok_and(|reread| reread.email == mailbox.address) {
            Ok(mailbox)
        } else {
            Err("no mail can be built for it; it should read like name@example.org")
        }
    }

    /// Returns the address without the name.
    pub(crate) fn address(&self) -> &str {
        self.address.as_ref()
    }

    /// Returns the part of the address after the `@`.
    pub(crate) fn domain(&self) -> &str {
        self.address.domain()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn to_header(&self) -> HeaderMailbox {
        HeaderMailbox::new(self.name.clone(), self.address.clone())
    }
}

/// Writes the address alone, which fits in a line of the log.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.address())
    }
}

/// Returns the name in front of an address, without its quotes.
fn unquote(name: &str) -> Result<Option<String>, &'static str> {
    if name.is_empty() {
        return Ok(None);
    }
    let Some(rest) = name.strip_prefix('"') else {
        if name.contains(['<', '>', '@', ',', ';', ':', '(', ')', '[', ']', '"', '\\']) {
            return Err("a name with such marks stands in quotes");
        }
        return Ok(Some(name.to_owned()));
    };
    let mut plain = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next() {
            Some('"') if chars.as_str().is_empty() => break,
            Some('\\') => plain.extend(chars.next()),
            Some('"') | None => return Err("the quotes around the name do not match"),
            Some(c) => plain.push(c),
        }
    }
    let plain = plain.trim();
    Ok((!plain.is_empty()).then(|| plain.to_owned()))
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    /// The subject as the template made it. [`Mail::subject_line`] cleans and cuts it.
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    /// The id of the window, which both copies of a mail that came twice carry.
    pub window_id: String,
    /// The Message-ID, the same in all attempts; see [`Mail::new_message_id`].
    pub message_id: String,
}

impl Mail {
    /// Returns a Message-ID. It is unique if `unique` is used for no other mail.
    pub(crate) fn new_message_id(unique: &str, from: &Mailbox) -> String {
        format!("<{}@{}>", header_token(unique), from.domain())
    }

    /// Returns the subject on one line. A line feed in it cannot begin another header.
    pub(super) fn subject_line(&self) -> String {
        let plain: String =
            self.subject.chars().map(|c| if is_line_break(c) { ' ' } else { c }).collect();
        // Mail programs must decode only what is encoded here.
        let plain = plain.replace("=?", "= ?");
        let plain = plain.trim();
        if plain.is_empty() {
            return NO_SUBJECT.to_owned();
        }
        if plain.chars().count() <= MAX_SUBJECT_CHARS {
            return plain.to_owned();
        }
        let cut: String = plain.chars().take(MAX_SUBJECT_CHARS - 1).collect();
        format!("{}…", cut.trim_end())
    }

    pub(super) fn window_token(&self) -> String {
        header_token(&self.window_id)
    }

    /// Returns each recipient once, because services refuse a mail that names one twice.
    pub(super) fn unique_recipients(&self) -> Vec<&Mailbox> {
        let mut unique: Vec<&Mailbox> = Vec::with_capacity(self.to.len());
        for mailbox in &self.to {
            let same = |other: &&Mailbox| other.address().eq_ignore_ascii_case(mailbox.address());
            if !unique.iter().any(same) {
                unique.push(mailbox);
            }
        }
        unique
    }
}

/// A mail encoded for SMTP or `sendmail`. Its bytes are the same in every attempt.
#[derive(Clone, Debug)]
pub(super) struct EncodedMail {
    pub message_id: String,
    pub from: Address,
    pub to: Vec<Address>,
    pub bytes: Vec<u8>,
}

impl EncodedMail {
    pub(super) fn new(mail: &Mail, now: Timestamp) -> Result<Self, Failure> {
        let id = format!("<{}>", header_token(mail.message_id.trim_matches(['<', '>'])));
        let recipients = mail.unique_recipients();
        let message = Message::builder()
            .from(mail.from.to_header())
            .subject(mail.subject_line())
            .message_id(Some(id.clone()))
            .date(UNIX_EPOCH + Duration::from_nanos(now.as_nanos().try_into().unwrap_or_default()))
            .header(MIME_VERSION_1_0)
            .raw_header(raw_header(WINDOW_HEADER, mail.window_token()))
            .raw_header(raw_header(AUTO_SUBMITTED_HEADER, AUTO_GENERATED.to_owned()))
            .raw_header(recipients_header(&recipients));
        let plain = text_part(ContentType::TEXT_PLAIN, &mail.text);
        let message = match &mail.html {
            None => message.singlepart(plain),
            Some(html) => message.multipart(
                MultiPart::alternative()
                    .singlepart(plain)
                    .singlepart(text_part(ContentType::TEXT_HTML, html)),
            ),
        };
        let message = message.map_err(|error| {
            Failure::new(Exit::Software, format!("the mail cannot be built: {error}"))
        })?;
        Ok(Self {
            message_id: id,
            from: mail.from.address.clone(),
            to: recipients.into_iter().map(|mailbox| mailbox.address.clone()).collect(),
            bytes: message.formatted(),
        })
    }
}

/// Returns a part in quoted-printable, so that all is ASCII and no line is too long for a server.
fn text_part(kind: ContentType, text: &str) -> SinglePart {
    let body = Body::new_with_encoding(text.to_owned(), ContentTransferEncoding::QuotedPrintable)
        .expect("quoted-printable takes any text");
    SinglePart::builder().header(kind).body(body)
}

/// Returns the header that names the recipients, one on each line.
///
/// `lettre` folds a header at the blanks within names alone, so that addresses without names would
/// make one line, longer than the 998 characters that a server takes.
fn recipients_header(recipients: &[&Mailbox]) -> HeaderValue {
    let mut plain = Vec::with_capacity(recipients.len());
    let mut encoded = Vec::with_capacity(recipients.len());
    for mailbox in recipients {
        let mailbox = mailbox.to_header();
        plain.push(mailbox.to_string());
        let mut header = Headers::new();
        header.set(To::from(Mailboxes::new().with(mailbox)));
        let line = header.to_string();
        let value = line.split_once(": ").map_or("", |(_, value)| value);
        encoded.push(value.trim_end().to_owned());
    }
    HeaderValue::dangerous_new_pre_encoded(To::name(), plain.join(", "), encoded.join(",\r\n "))
}

fn raw_header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

/// Returns the characters that a token of a header may have: visible ASCII without angle brackets.
fn header_token(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() && !"<>".contains(*c))
        .take(MAX_TOKEN_CHARS)
        .collect()
}

/// Whether a character is a control character or ends a line in some mail programs.
fn is_line_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn mail(subject: &str) -> Mail {
        Mail {
            from: mailbox("Site activity <notifications@example.org>"),
            to: vec![mailbox("ops@example.org"), mailbox("Hello <hello@example.org>")],
            subject: subject.to_owned(),
            text: "one\n.\ntwo".to_owned(),
            html: Some("<p>one</p>".to_owned()),
            window_id: "w-1".to_owned(),
            message_id: "<w-1@example.org>".to_owned(),
        }
    }

    fn encoded(mail: &Mail) -> String {
        let now = Timestamp::parse_rfc3339("2026-11-20T04:00:02Z").unwrap();
        String::from_utf8(EncodedMail::new(mail, now).unwrap().bytes).unwrap()
    }

    /// The headers, unfolded, as (name, value).
    fn headers(letter: &str) -> Vec<(String, String)> {
        let (head, _) = letter.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        head.split("\r\n").map(pair).collect()
    }

    const HEADER_NAMES: [&str; 9] = [
        "From",
        "Subject",
        "Message-ID",
        "Date",
        "MIME-Version",
        WINDOW_HEADER,
        AUTO_SUBMITTED_HEADER,
        "To",
        "Content-Type",
    ];

    #[test]
    fn addresses_come_with_and_without_a_name() {
        for (text, name, address) in [
            ("ops@example.org", None, "ops@example.org"),
            (" <ops@example.org> ", None, "ops@example.org"),
            ("Ops <ops@example.org>", Some("Ops"), "ops@example.org"),
            ("J. Müller <j+m@a-b.example.org>", Some("J. Müller"), "j+m@a-b.example.org"),
            (r#""Liddell, \"A\"" <a@example.org>"#, Some("Liddell, \"A\""), "a@example.org"),
            ("\"\" <a@example.org>", None, "a@example.org"),
            ("root@localhost", None, "root@localhost"),
        ] {
            let mailbox = mailbox(text);
            assert_eq!((mailbox.name(), mailbox.address()), (name, address), "{text}");
        }
    }

    #[test]
    fn an_invalid_address_is_refused_and_quoted() {
        for text in [
            "",
            "ops",
            "@example.org",
            "ops@",
            "ops@example.org, other@example.org",
            "ops@example.org <other@example.org",
            "a@example.org, B <b@example.org>",
            "A <a@example.org> <b@example.org>",
            "ops@example.org\nBcc: evil@example.org",
            "Ops\r\nBcc: evil@example.org <ops@example.org>",
            "ops @example.org",
            "ops@exam ple.org",
            "öps@example.org",
            "ops@exämple.org",
            "\"o ps\"@example.org",
            "\"Ops <ops@example.org>",
            "\"O\"ps <ops@example.org>",
            "ops@example.org>",
            "-odq\u{0}@example.org",
            "ops@[192.0.2.7]",
            "Ops <ops@[IPv6:2001:db8::7]>",
        ] {
            let failure = Mailbox::parse(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Config, "{text:?}");
            let quoted = format!("\"{}\" is no mail address: ", text::escape(text));
            assert!(failure.message.starts_with(&quoted), "{failure}");
            assert!(!failure.message.contains('\n'), "{failure}");
        }
    }

    #[test]
    fn a_subject_is_one_line_and_not_long() {
        let subject = |text: &str| mail(text).subject_line();
        assert_eq!(subject("x\r\nBcc: evil@x"), "x  Bcc: evil@x");
        assert_eq!(subject("a\u{0}b\u{85}c\u{9b}d\u{2028}e\u{7f}f"), "a b c d e f");
        assert_eq!(subject(" \n "), "(no subject)");
        assert_eq!(subject("a =?utf-8?q?=0d=0aBcc:?= b"), "a = ?utf-8?q?=0d=0aBcc:?= b");
        assert_eq!(subject(&"ä".repeat(200)), "ä".repeat(200));
        assert_eq!(subject(&"ä".repeat(201)), format!("{}…", "ä".repeat(199)));
    }

    #[test]
    fn a_letter_has_its_headers_and_two_parts() {
        let letter = encoded(&mail("s2l.online: 19 events – 2026-11-20"));
        let found = headers(&letter);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, HEADER_NAMES);
        let value = |name: &str| found.iter().find(|(found, _)| found == name).unwrap().1.clone();
        assert_eq!(value("From"), "\"Site activity\" <notifications@example.org>");
        assert_eq!(value("To"), "ops@example.org, Hello <hello@example.org>");
        assert_eq!(value("Subject"), "s2l.online: 19 events =?utf-8?b?4oCT?= 2026-11-20");
        assert_eq!(value("Message-ID"), "<w-1@example.org>");
        assert_eq!(value("Date"), "Fri, 20 Nov 2026 04:00:02 +0000");
        assert_eq!(value(WINDOW_HEADER), "w-1");
        assert_eq!(value(AUTO_SUBMITTED_HEADER), "auto-generated");
        let plain = letter.find("Content-Type: text/plain; charset=utf-8").unwrap();
        assert!(plain < letter.find("Content-Type: text/html; charset=utf-8").unwrap());
    }

    #[test]
    fn a_recipient_is_named_once() {
        let mut mail = mail("x");
        mail.to.push(mailbox("OPS@example.org"));
        assert_eq!(mail.unique_recipients().len(), 2);
        assert_eq!(encoded(&mail).to_ascii_lowercase().matches("ops@example.org").count(), 1);
    }

    #[test]
    fn many_recipients_stand_on_short_lines() {
        let mut mail = mail("x");
        mail.to = (0..45).map(|n| mailbox(&format!("recipient{n}@example.org"))).collect();
        mail.to.push(mailbox("\"Liddell, A. and others\" <liddell@example.org>"));
        mail.to.push(mailbox("Jürgen Müller <j@example.org>"));
        let letter = encoded(&mail);
        let (head, _) = letter.split_once("\r\n\r\n").unwrap();
        for line in head.split("\r\n") {
            assert!(line.len() <= 78, "{} characters: {line}", line.len());
        }
        let to = &headers(&letter)[7].1;
        assert_eq!(to.matches("@example.org").count(), 47, "{to}");
        assert!(to.starts_with("recipient0@example.org, recipient1@example.org, "), "{to}");
    }

    #[test]
    fn a_message_id_is_a_token() {
        let from = mailbox("a@example.org");
        assert_eq!(Mail::new_message_id("0198-x", &from), "<0198-x@example.org>");
        assert_eq!(Mail::new_message_id("a> \r\nBcc: <b", &from), "<aBcc:b@example.org>");
    }

    proptest! {
        #[test]
        fn no_field_adds_a_header_or_a_long_line(
            subject in any::<String>(),
            name in "[^\\x00-\\x1f\\x7f-\\x9f<>]{0,300}",
            window in any::<String>(),
            id in any::<String>(),
            text in any::<String>(),
        ) {
            let mut mail = mail(&subject);
            mail.to[0].name = Some(name);
            mail.window_id = format!("{window}\r\nBcc: evil@x");
            mail.message_id = format!("{id}\r\nBcc: evil@x");
            mail.subject.push_str("\r\nBcc: evil@x\n\nbody");
            mail.text = format!("{text}\r\n.\r\n.\n{}", "x".repeat(2000));
            let letter = encoded(&mail);
            prop_assert!(letter.is_ascii());
            prop_assert!(letter.split("\r\n").all(|line| line.len() <= 998));
            prop_assert!(!letter.replace("\r\n", "").contains(['\r', '\n', '\0']));
            let names: Vec<String> = headers(&letter).into_iter().map(|(name, _)| name).collect();
            prop_assert_eq!(names, HEADER_NAMES);
        }
    }
}
