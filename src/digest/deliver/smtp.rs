//! SMTP to a relay: `smtp://` or `smtps://`, with a login or without.
//!
//! A try is one connection, on a thread of its own, which is given up when its time is over: a server
//! that sends a byte now and then keeps nobody waiting. Whether the letter may have gone out by then
//! is known from how far the talk had come.
//!
//! TLS is checked wherever it is needed: with `smtps`, `?tls=required`, or a password that leaves
//! this host. Elsewhere it is taken as offered, as mail servers do among themselves, for then the
//! letter would go out in clear text too.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lettre::address::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::CertificateStore;
use lettre::transport::smtp::client::SmtpConnection;
use lettre::transport::smtp::client::TlsParameters;
use lettre::transport::smtp::client::TlsParametersBuilder;
use lettre::transport::smtp::commands::Data;
use lettre::transport::smtp::commands::Mail;
use lettre::transport::smtp::commands::Rcpt;
use lettre::transport::smtp::extension::ClientId;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::digest::deliver::AcceptedMail;
use crate::digest::deliver::AttemptFailure;
use crate::digest::deliver::AttemptResult;
use crate::digest::deliver::RefusedRecipient;
use crate::digest::deliver::mail::EncodedMail;
use crate::digest::deliver::sanitize;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::http;
use crate::http::Timeouts;
use crate::secret::Secret;
use crate::text;

const SMTP_PORT: u16 = 25;
const SMTPS_PORT: u16 = 465;
/// Some servers let a client wait before they greet it.
const GREETING_TIMEOUT: Duration = Duration::from_secs(30);
/// The letter is taken; a server that is slow to say good-bye is left.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    /// TLS from the first byte.
    Implicit,
    /// STARTTLS, or no mail.
    Required,
    /// STARTTLS if the server has it, whoever it is.
    Opportunistic,
}

/// A mail server.
#[derive(Clone, Debug)]
pub(crate) struct Smtp {
    host: String,
    port: u16,
    tls_mode: TlsMode,
    login: Option<Login>,
}

#[derive(Clone, Debug)]
struct Login {
    user: String,
    password: Secret,
}

impl Smtp {
    /// Reads `smtps://user@mail.example.org:465` or `smtp://mail.example.org?tls=required`.
    ///
    /// # Errors
    ///
    /// [`Exit::Config`], with the URL but never a password in it.
    pub(crate) fn new(url: &str, password: Option<Secret>) -> Result<Self, Failure> {
        Self::parse(url, password).map_err(|why| {
            let quoted = text::escape(&http::without_login(url)).into_owned();
            Failure::new(Exit::Config, format!("the SMTP url \"{quoted}\" {why}"))
        })
    }

    fn parse(text: &str, password: Option<Secret>) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("does not parse: {error}"))?;
        let Some(host) = url.host() else { return Err("names no host".to_owned()) };
        let (mut security, port) = match url.scheme() {
            "smtp" => (TlsMode::Opportunistic, SMTP_PORT),
            "smtps" => (TlsMode::Implicit, SMTPS_PORT),
            _ => return Err("begins neither with smtp:// nor with smtps://".to_owned()),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("has more than a user, a host, a port and ?tls=required".to_owned());
        }
        match url.query() {
            None => {}
            Some("tls=required") if security == TlsMode::Implicit => {}
            Some("tls=required") => security = TlsMode::Required,
            Some(_) => return Err("has options other than ?tls=required".to_owned()),
        }
        if url.password().is_some() {
            return Err("holds a password, which belongs in a file".to_owned());
        }
        let user = decode_user(url.username())?;
        let login = match (user.is_empty(), password) {
            (true, None) => None,
            (false, Some(password)) => Some(Login { user, password }),
            (true, Some(_)) => return Err("names no user for the password".to_owned()),
            (false, None) => return Err("names a user, but there is no password".to_owned()),
        };
        // The password is not for everybody on the way.
        if security == TlsMode::Opportunistic && login.is_some() && !http::is_loopback(&host) {
            security = TlsMode::Required;
        }
        let host = host.to_string();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(port), tls_mode: security, login })
    }

    /// One try for the recipients in `to`.
    pub(super) fn attempt(
        &self,
        letter: &EncodedMail,
        to: &[Address],
        limits: Timeouts,
    ) -> AttemptResult {
        let stage = Arc::new(TransferStage::default());
        let (answer, answered) = mpsc::sync_channel(1);
        let talk = SmtpSession {
            smtp: self.clone(),
            mail: letter.clone(),
            to: to.to_vec(),
            limits,
            stage: Arc::clone(&stage),
        };
        let spawned = thread::Builder::new().name("smtp".to_owned()).spawn(move || {
            talk.run(&mut |attempt| {
                // Nobody listens any more when the time was over.
                drop(answer.send(attempt));
            });
        });
        if let Err(error) = spawned {
            return self.temporary_failure(&error, false);
        }
        match answered.recv_timeout(limits.total) {
            Ok(attempt) => {
                // The end of the thread closes the channel.
                drop(answered.recv_timeout(QUIT_TIMEOUT));
                attempt
            }
            Err(_) => self.temporary_failure(&"no answer, timed out", stage.give_up()),
        }
    }

    fn temporary_failure(&self, why: &dyn fmt::Display, unclear: bool) -> AttemptResult {
        AttemptResult::TemporaryFailure(AttemptFailure {
            reason: format!("{}: {}", self.host, self.sanitize(&why.to_string())),
            maybe_sent: unclear,
            ..AttemptFailure::default()
        })
    }

    /// What an error means before the letter went out.
    fn classify_error(&self, error: &Error) -> AttemptResult {
        if error.status().is_none() && !error.is_client() {
            return self.temporary_failure(&error_cause(error), false);
        }
        let trouble = AttemptFailure {
            reason: self.describe_error(error),
            status: error.status().map(|code| code.to_string()),
            ..AttemptFailure::default()
        };
        if error.is_transient() {
            AttemptResult::TemporaryFailure(trouble)
        } else {
            AttemptResult::PermanentFailure(Exit::Unavailable, trouble)
        }
    }

    /// An error as one line: `mail.example.org answered 550: no such user`.
    fn describe_error(&self, error: &Error) -> String {
        let cause = self.sanitize(&error_cause(error));
        match error.status() {
            Some(code) => format!("{} answered {code}: {cause}", self.host),
            None => format!("{}: {cause}", self.host),
        }
    }

    fn sanitize(&self, foreign: &str) -> String {
        match &self.login {
            Some(login) => sanitize(&login.redact(foreign)),
            None => sanitize(foreign),
        }
    }

    fn tls_parameters(&self) -> Result<TlsParameters, Error> {
        let builder: TlsParametersBuilder = TlsParameters::builder(self.host.clone());
        if self.tls_mode == TlsMode::Opportunistic {
            return builder
                .certificate_store(CertificateStore::None)
                .dangerous_accept_invalid_certs(true)
                .dangerous_accept_invalid_hostnames(true)
                .build();
        }
        let store = if http::host_root_certificates().is_empty() {
            CertificateStore::WebpkiRoots
        } else {
            CertificateStore::Default
        };
        builder.certificate_store(store).build()
    }
}

impl Login {
    /// Takes the password out, also as AUTH PLAIN and LOGIN write it.
    fn redact(&self, foreign: &str) -> String {
        let plain = format!("\0{}\0{}", self.user, self.password.reveal());
        let mut text = self.password.redact(foreign);
        for encoded in [&plain, self.password.reveal()].map(|text| BASE64_STANDARD.encode(text)) {
            if let Ok(encoded) = Secret::new(&encoded, "password") {
                text = encoded.redact(&text);
            }
        }
        text
    }
}

/// How far a talk has come: whether the letter may have gone out when it is given up.
#[derive(Default)]
struct TransferStage(AtomicU8);

impl TransferStage {
    const NEGOTIATING: u8 = 0;
    const SENDING: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Tells whether the letter may be sent: nobody has given up yet.
    fn try_begin_sending(&self) -> bool {
        self.0
            .compare_exchange(Self::NEGOTIATING, Self::SENDING, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Gives up, and tells whether the letter had begun to go out.
    fn give_up(&self) -> bool {
        self.0.swap(Self::GIVEN_UP, Ordering::SeqCst) == Self::SENDING
    }
}

/// One connection.
struct SmtpSession {
    smtp: Smtp,
    mail: EncodedMail,
    to: Vec<Address>,
    limits: Timeouts,
    stage: Arc<TransferStage>,
}

impl SmtpSession {
    /// Hands over what became of it before it says good-bye.
    fn run(&self, hand_over: &mut dyn FnMut(AttemptResult)) {
        match self.connect() {
            Ok(mut connection) => {
                hand_over(self.send(&mut connection));
                drop(connection.quit());
            }
            Err(error) => hand_over(self.smtp.classify_error(&error)),
        }
    }

    fn connect(&self) -> Result<SmtpConnection, Error> {
        let smtp = &self.smtp;
        let hello = client_id();
        let tls = smtp.tls_parameters()?;
        let wrapped = (smtp.tls_mode == TlsMode::Implicit).then_some(&tls);
        let mut connection = SmtpConnection::connect(
            (smtp.host.as_str(), smtp.port),
            Some(GREETING_TIMEOUT.min(self.limits.total)),
            &hello,
            wrapped,
            None,
        )?;
        if connection.set_timeout(Some(self.limits.total)).is_err() {
            connection.abort();
        }
        let upgrade = match smtp.tls_mode {
            TlsMode::Implicit => false,
            TlsMode::Required => true,
            TlsMode::Opportunistic => connection.can_starttls(),
        };
        if upgrade {
            connection.starttls(&tls, &hello)?;
        }
        if let Some(Login { user, password }) = &smtp.login {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials)?;
        }
        Ok(connection)
    }

    fn send(&self, connection: &mut SmtpConnection) -> AttemptResult {
        if let Err(error) = connection.command(Mail::new(Some(self.mail.from.clone()), vec![])) {
            return self.smtp.classify_error(&error);
        }
        let mut sent = AcceptedMail::default();
        let mut first: Option<AttemptResult> = None;
        for address in &self.to {
            let Err(error) = connection.command(Rcpt::new(address.clone(), vec![])) else {
                continue;
            };
            let why = self.smtp.describe_error(&error);
            if error.is_permanent() {
                sent.refused.push(RefusedRecipient { address: address.to_string(), reason: why });
            } else if error.is_transient() {
                sent.deferred.push((address.clone(), why));
            } else {
                return self.smtp.classify_error(&error);
            }
            // One who may be taken later keeps the mail from being refused for good.
            if first.is_none() || error.is_transient() {
                first = Some(self.smtp.classify_error(&error).for_recipient(address));
            }
        }
        if sent.refused.len() + sent.deferred.len() == self.to.len()
            && let Some(attempt) = first
        {
            return attempt;
        }
        if let Err(error) = connection.command(Data) {
            return self.smtp.classify_error(&error);
        }
        if !self.stage.try_begin_sending() {
            return self.smtp.temporary_failure(&"timed out", false);
        }
        match connection.message(&self.mail.bytes) {
            Ok(response) => {
                sent.status = response.code().to_string();
                sent.message_id = Some(self.mail.message_id.clone());
                AttemptResult::Sent(sent)
            }
            Err(error) if error.status().is_none() => {
                self.smtp.temporary_failure(&error_cause(&error), true)
            }
            Err(error) => self.smtp.classify_error(&error),
        }
    }
}

/// What is behind an error: the server's own words, or the system's.
fn error_cause(error: &Error) -> String {
    let Some(source) = std::error::Error::source(error) else { return error.to_string() };
    let told = source.to_string();
    told.split_once(" (os error").map_or(told.as_str(), |(told, _)| told).to_owned()
}

/// The name to greet with: this host's where it is a whole one, for servers refuse half a name.
fn client_id() -> ClientId {
    std::fs::read_to_string(HOST_NAME_FILE)
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| {
            let letter = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
            name.contains('.') && name.chars().all(letter)
        })
        .map_or_else(ClientId::default, ClientId::Domain)
}

/// Decodes the user of a URL, in which an `@` is written `%40`.
fn decode_user(encoded: &str) -> Result<String, String> {
    let is_escape = |rest: &str| {
        rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let user = percent_decode_str(encoded)
        .decode_utf8()
        .ok()
        // The decoder leaves a broken escape as it is.
        .filter(|_| encoded.split('%').skip(1).all(is_escape))
        .ok_or("has a user with a broken %-escape")?;
    if user.contains(char::is_control) {
        return Err("has a user with a control character".to_owned());
    }
    Ok(user.into_owned())
}
