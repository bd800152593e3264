//! SMTP to a relay: `smtp://` or `smtps://`, with or without a login.
//!
//! An attempt is one connection. It runs on a thread of its own, so that the caller can abandon it after
//! the time-out, even where the server sends a byte now and then. The stage of the session shows whether
//! the mail may have been sent by then.
//!
//! The certificate is checked with `smtps`, with `?tls=required`, and where a password leaves this host.
//! Elsewhere TLS is used if the server offers it, whoever the server is, as mail servers do among
//! themselves: the alternative is clear text.

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
/// The wait for the greeting, which some servers delay on purpose.
const GREETING_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait for the end of a session after the mail was taken.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    /// TLS from the first byte.
    Implicit,
    /// STARTTLS with a checked certificate, or no mail.
    Required,
    /// STARTTLS if the server offers it, with any certificate.
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
    /// Parses `smtps://user@mail.example.org:465` or `smtp://mail.example.org?tls=required`.
    ///
    /// # Errors
    ///
    /// [`Exit::Config`], with the URL but without a password in it.
    pub(crate) fn new(url: &str, password: Option<Secret>) -> Result<Self, Failure> {
        Self::parse(url, password).map_err(|reason| {
            let quoted = text::escape(&http::without_login(url)).into_owned();
            Failure::new(Exit::Config, format!("the SMTP url \"{quoted}\" {reason}"))
        })
    }

    fn parse(text: &str, password: Option<Secret>) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("does not parse: {error}"))?;
        let Some(host) = url.host() else { return Err("names no host".to_owned()) };
        let (mut tls_mode, port) = match url.scheme() {
            "smtp" => (TlsMode::Opportunistic, SMTP_PORT),
            "smtps" => (TlsMode::Implicit, SMTPS_PORT),
            _ => return Err("begins neither with smtp:// nor with smtps://".to_owned()),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("has more than a user, a host, a port and ?tls=required".to_owned());
        }
        match url.query() {
            None => {}
            Some("tls=required") if tls_mode == TlsMode::Implicit => {}
            Some("tls=required") => tls_mode = TlsMode::Required,
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
        // The password must not be readable on the way.
        if tls_mode == TlsMode::Opportunistic && login.is_some() && !http::is_loopback(&host) {
            tls_mode = TlsMode::Required;
        }
        let host = host.to_string();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(port), tls_mode, login })
    }

    /// Makes one attempt for the recipients in `to`.
    pub(super) fn attempt(
        &self,
        mail: &EncodedMail,
        to: &[Address],
        timeouts: Timeouts,
    ) -> AttemptResult {
        let stage = Arc::new(TransferStage::default());
        let (sender, receiver) = mpsc::sync_channel(1);
        let session = SmtpSession {
            smtp: self.clone(),
            mail: mail.clone(),
            to: to.to_vec(),
            timeouts,
            stage: Arc::clone(&stage),
        };
        let spawned = thread::Builder::new().name("smtp".to_owned()).spawn(move || {
            session.run(&mut |attempt| {
                // The receiver is gone after the time-out.
                drop(sender.send(attempt));
            });
        });
        if let Err(error) = spawned {
            return self.temporary_failure(&error, false);
        }
        match receiver.recv_timeout(timeouts.total) {
            Ok(attempt) => {
                // The end of the thread closes the channel.
                drop(receiver.recv_timeout(QUIT_TIMEOUT));
                attempt
            }
            Err(_) => self.temporary_failure(&"no answer, timed out", stage.give_up()),
        }
    }

    fn temporary_failure(&self, reason: &dyn fmt::Display, maybe_sent: bool) -> AttemptResult {
        AttemptResult::TemporaryFailure(AttemptFailure {
            reason: format!("{}: {}", self.host, self.sanitize(&reason.to_string())),
            maybe_sent,
            ..AttemptFailure::default()
        })
    }

    /// Classifies an error that came before the mail was sent.
    fn classify_error(&self, error: &Error) -> AttemptResult {
        if error.status().is_none() && !error.is_client() {
            return self.temporary_failure(&error_cause(error), false);
        }
        let failure = AttemptFailure {
            reason: self.describe_error(error),
            status: error.status().map(|code| code.to_string()),
            ..AttemptFailure::default()
        };
        if error.is_transient() {
            AttemptResult::TemporaryFailure(failure)
        } else {
            AttemptResult::PermanentFailure(Exit::Unavailable, failure)
        }
    }

    /// Returns an error as one line: `mail.example.org answered 550: no such user`.
    fn describe_error(&self, error: &Error) -> String {
        let cause = self.sanitize(&error_cause(error));
        match error.status() {
            Some(code) => format!("{} answered {code}: {cause}", self.host),
            None => format!("{}: {cause}", self.host),
        }
    }

    fn sanitize(&self, text: &str) -> String {
        match &self.login {
            Some(login) => sanitize(&login.redact(text)),
            None => sanitize(text),
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
    /// Removes the password from a text, also as AUTH PLAIN and LOGIN encode it.
    fn redact(&self, text: &str) -> String {
        let plain = format!("\0{}\0{}", self.user, self.password.reveal());
        let mut text = self.password.redact(text);
        for encoded in [&plain, self.password.reveal()].map(|text| BASE64_STANDARD.encode(text)) {
            if let Ok(encoded) = Secret::new(&encoded, "password") {
                text = encoded.redact(&text);
            }
        }
        text
    }
}

/// The stage of a session. It decides whether the mail may have been sent when the session is given up.
#[derive(Default)]
struct TransferStage(AtomicU8);

impl TransferStage {
    const NEGOTIATING: u8 = 0;
    const SENDING: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Begins to send, unless the session was given up. Returns whether it did.
    fn try_begin_sending(&self) -> bool {
        self.0
            .compare_exchange(Self::NEGOTIATING, Self::SENDING, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Gives the session up. Returns whether it had begun to send.
    fn give_up(&self) -> bool {
        self.0.swap(Self::GIVEN_UP, Ordering::SeqCst) == Self::SENDING
    }
}

/// One connection with its mail.
struct SmtpSession {
    smtp: Smtp,
    mail: EncodedMail,
    to: Vec<Address>,
    timeouts: Timeouts,
    stage: Arc<TransferStage>,
}

impl SmtpSession {
    /// Runs the session. Passes the result on before it ends the connection.
    fn run(&self, report: &mut dyn FnMut(AttemptResult)) {
        match self.connect() {
            Ok(mut connection) => {
                report(self.send(&mut connection));
                drop(connection.quit());
            }
            Err(error) => report(self.smtp.classify_error(&error)),
        }
    }

    fn connect(&self) -> Result<SmtpConnection, Error> {
        let smtp = &self.smtp;
        let hello = client_id();
        let tls = smtp.tls_parameters()?;
        let wrapped = (smtp.tls_mode == TlsMode::Implicit).then_some(&tls);
        let mut connection = SmtpConnection::connect(
            (smtp.host.as_str(), smtp.port),
            Some(GREETING_TIMEOUT.min(self.timeouts.total)),
            &hello,
            wrapped,
            None,
        )?;
        if connection.set_timeout(Some(self.timeouts.total)).is_err() {
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
        let mut first_failure: Option<AttemptResult> = None;
        for address in &self.to {
            let Err(error) = connection.command(Rcpt::new(address.clone(), vec![])) else {
                continue;
            };
            let reason = self.smtp.describe_error(&error);
            if error.is_permanent() {
                sent.refused.push(RefusedRecipient { address: address.to_string(), reason });
            } else if error.is_transient() {
                sent.deferred.push((address.clone(), reason));
            } else {
                return self.smtp.classify_error(&error);
            }
            // A recipient who is refused only for now keeps the failure temporary.
            if first_failure.is_none() || error.is_transient() {
                first_failure = Some(self.smtp.classify_error(&error).for_recipient(address));
            }
        }
        if sent.refused.len() + sent.deferred.len() == self.to.len()
            && let Some(attempt) = first_failure
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

/// Returns the cause of an error, in the words of the server or of the system.
fn error_cause(error: &Error) -> String {
    let Some(source) = std::error::Error::source(error) else { return error.to_string() };
    let message = source.to_string();
    message.split_once(" (os error").map_or(message.as_str(), |(head, _)| head).to_owned()
}

/// Returns the name to greet with: that of this host where it is fully qualified, because servers
/// refuse others.
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
