//! What the sinks that speak HTTP have in common: a request, and what its answer says about the events.
//!
//! 2xx is success. 400, 413 and 422 refuse what was sent; all else, 401, 403, 404 and redirects too, is
//! trouble of the destination, which waits. No message has more of the address than its host: a path
//! may be a token.

use std::path::Path;
use std::time::Duration;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::http::Client;
use crate::http::Endpoint;
use crate::http::Response;
use crate::http::Timeouts;
use crate::mirror::sink::FailureKind;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;
use crate::tls;

/// The longest time to find and reach a service.
const MAX_CONNECT: Duration = Duration::from_secs(10);
/// The longest text of a service that is passed on, in columns.
const MAX_FOREIGN_COLUMNS: usize = 300;
/// The shortest part of an address that may be a token.
const MIN_TOKEN_BYTES: usize = 8;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An address that takes requests.
pub(super) struct Service {
    client: Client,
    host: String,
    /// What no message may show.
    secrets: Vec<Secret>,
    clock: fn() -> Timestamp,
}

impl Service {
    /// `secrets` are those that stand in the headers.
    ///
    /// # Errors
    /// [`Exit::Config`]: `address` is no address, or neither encrypted nor on this host; or the file of
    /// authorities cannot be used.
    pub(super) fn new(
        endpoint: Endpoint,
        ca_file: Option<&Path>,
        mut secrets: Vec<Secret>,
        context: SinkContext<'_>,
    ) -> Result<Self, Failure> {
        let authorities = ca_file.map(tls::read_authorities).transpose()?;
        let timeouts =
            Timeouts { connect: context.timeout.min(MAX_CONNECT), total: context.timeout };
        let host = endpoint.host().to_owned();
        let tokens = endpoint.path_parts().filter(|part| part.len() >= MIN_TOKEN_BYTES);
        secrets.extend(tokens.filter_map(|part| Secret::new(part, "url").ok()));
        Ok(Self {
            client: Client::with_authorities(endpoint, timeouts, authorities.as_deref()),
            host,
            secrets,
            clock: context.clock,
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Posts a body, and takes any status of success for success.
    ///
    /// # Errors
    /// The service refuses the body, or is out of reach.
    pub(super) fn post(
        &self,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ServiceAnswer, SinkFailure> {
        let answer = self.request(headers, body)?;
        match answer.status {
            200..=299 => Ok(answer),
            400 | 413 | 422 => Err(self.failure(FailureKind::Refused, &answer, None)),
            _ => Err(self.failure(FailureKind::Unavailable, &answer, None)),
        }
    }

    /// Posts a body, and returns the answer whatever its status.
    ///
    /// # Errors
    /// No answer came.
    pub(super) fn request(
        &self,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ServiceAnswer, SinkFailure> {
        match self.client.post(headers, body) {
            Ok(response) => Ok(ServiceAnswer::read(
                response,
                self.now().as_nanos().div_euclid(NANOS_PER_SECOND),
            )),
            Err(error) => Err(SinkFailure::unavailable(self.with_host(&error.reason))),
        }
    }

    /// Describes an answer that is no success. `message` is the service's, where the first line of its
    /// body is not.
    pub(super) fn failure(
        &self,
        kind: FailureKind,
        answer: &ServiceAnswer,
        message: Option<String>,
    ) -> SinkFailure {
        let status = answer.status;
        let mut reason = format!("answered {status}");
        if answer.is_redirect {
            reason.push_str(", a redirect, which is not followed");
        } else if let Some(message) = message.or_else(|| first_line(&answer.body)) {
            reason.push_str(": ");
            reason.push_str(&message);
        }
        let mut failure = match kind {
            FailureKind::Unavailable => SinkFailure::unavailable(self.with_host(&reason)),
            FailureKind::Refused => SinkFailure::refused(self.with_host(&reason)),
        };
        failure.status = Some(status);
        failure.retry_after = answer.retry_after;
        failure
    }

    /// Returns a reason of ours or of the service, with the host in front, safe to print.
    pub(super) fn with_host(&self, reason: &str) -> String {
        let reason =
            self.secrets.iter().fold(reason.to_owned(), |text, secret| secret.redact(&text));
        let reason = text::escape(reason.trim());
        format!("{}: {}", self.host, text::truncate(&reason, MAX_FOREIGN_COLUMNS))
    }
}

/// An answer of any status.
pub(super) struct ServiceAnswer {
    pub status: u16,
    pub body: Vec<u8>,
    retry_after: Option<Duration>,
    is_redirect: bool,
}

impl ServiceAnswer {
    fn read(response: Response, now: i64) -> Self {
        Self {
            status: response.status(),
            retry_after: response.retry_after(now),
            is_redirect: response.is_redirect(),
            body: response.into_body(),
        }
    }
}

/// Returns the address in a key of the config.
///
/// # Errors
/// [`Exit::Config`]: it is no address, or neither encrypted nor on this host.
pub(super) fn parse_endpoint(key: &str, address: &str) -> Result<Endpoint, Failure> {
    Endpoint::parse(address).map_err(|why| Failure::new(Exit::Config, format!("{key}: {why}")))
}

/// Returns the first line of a body that is text for people.
fn first_line(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    // A page of HTML says nothing on its first line.
    (!line.starts_with('<')).then(|| line.to_owned())
}
