//! HTTP to services: one request, one response. This is the only user of `ureq`.
//!
//! Redirects are never followed, proxies of the environment are never used, and every request ends
//! within its time-outs. A response of any status is a [`Response`]; the caller decides what it means,
//! with the help of [`Response::is_temporary`] and [`Response::retry_after`]. [`RequestError`] says
//! whether the service may have taken the request although no response came.
//!
//! The authorities of the host are trusted, or the built-in ones of Mozilla where the host has none.

use std::io;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::Body;
use ureq::SendBody;
use ureq::Timeout;
use ureq::http::StatusCode;
use ureq::tls::Certificate;
use ureq::tls::RootCerts;
use ureq::tls::TlsConfig;
use url::Host;
use url::Url;

use crate::failure;
use crate::retry;
use crate::text;

/// The longest body that is read. It is enough for any error text.
const MAX_BODY_BYTES: u64 = 64 * 1024;
const USER_AGENT: &str = concat!("activity/", env!("CARGO_PKG_VERSION"));

/// The address of a service: `https`, or `http` on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    /// Parses the address of a service.
    ///
    /// # Errors
    /// One line with the reason. It does not quote a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let quoted = format!("\"{}\"", text::escape(&without_login(text)));
        let url = Url::parse(text).map_err(|error| format!("{quoted} is no address: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{quoted} holds a login, which belongs in a file"));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if url.host().is_some_and(|host| is_loopback(&host)) => Ok(Self(url)),
            "http" => Err(format!("{quoted} is not encrypted: https:// is needed off this host")),
            _ => Err(format!("{quoted} is no address that begins with https://")),
        }
    }

    /// Returns the address of a path below this one.
    pub(crate) fn join_path(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{path}", self.0.path().trim_end_matches('/')));
        Self(url)
    }

    pub(crate) fn has_query(&self) -> bool {
        self.0.query().is_some() || self.0.fragment().is_some()
    }

    /// Returns the parts of the path and of the query, any of which may be a token.
    pub(crate) fn path_parts(&self) -> impl Iterator<Item = &str> {
        let query = self.0.query().unwrap_or_default();
        self.0.path().split('/').chain(query.split(['&', '=']))
    }

    /// Returns the host with its port, as a header `Host` has it.
    pub(crate) fn authority(&self) -> String {
        match self.0.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        }
    }

    /// Returns the name of the host, for messages.
    /// Whether it is spoken to over TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

/// The time-outs of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// The time to resolve the host, and again the time to connect, including TLS.
    pub connect: Duration,
    /// The time from the first step to the last byte of the response.
    pub total: Duration,
}

pub(crate) struct Client {
    endpoint: Endpoint,
    agent: Agent,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint, timeouts: Timeouts) -> Self {
        Self::with_authorities(endpoint, timeouts, None)
    }

    /// Makes a client that trusts these authorities instead of those of the host, as certificates in
    /// DER.
    pub(crate) fn with_authorities(
        endpoint: Endpoint,
        timeouts: Timeouts,
        authorities: Option<&[Vec<u8>]>,
    ) -> Self {
        let mut tls = TlsConfig::builder();
        if endpoint.0.scheme() == "https" {
            tls = tls.root_certs(authorities.map_or_else(trusted_roots, specific_roots));
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            // A reused connection that the service has closed would look like a request without a
            // response. A new one costs little for so few requests.
            .max_idle_connections(0)
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_global(Some(timeouts.total))
            .build()
            .new_agent();
        Self { endpoint, agent }
    }

    /// Posts a body.
    ///
    /// # Errors
    /// No response came.
    pub(crate) fn post(
        &self,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, RequestError> {
        self.post_with_query(&[], headers, body)
    }

    /// Posts a body, with further parameters in the query of the address.
    ///
    /// # Errors
    /// No response came.
    pub(crate) fn post_with_query(
        &self,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, RequestError> {
        let mut request_body = RequestBody { unsent: body };
        let mut url = self.endpoint.0.clone();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.agent.post(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = request
            .header("Content-Length", body.len().to_string())
            .send(SendBody::from_reader(&mut request_body));
        match sent {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Ok(Response { status: head.status, headers: head.headers, body })
            }
            // No service accepts a body without its last byte.
            Err(error) => Err(RequestError {
                reason: describe_error(&error),
                fully_sent: request_body.unsent.is_empty(),
            }),
        }
    }
}

/// The body of a request, which knows how much of it is unsent.
struct RequestBody<'a> {
    unsent: &'a [u8],
}

impl Read for RequestBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.unsent.read(buffer)
    }
}

/// The response of a service.
pub(crate) struct Response {
    status: StatusCode,
    headers: ureq::http::HeaderMap,
    body: Body,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Returns the first header of that name, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn is_redirect(&self) -> bool {
        self.status.is_redirection()
    }

    /// Whether the service is busy or down for a while: 429 and 5xx.
    pub(crate) fn is_temporary(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error()
    }

    /// Whether a gateway got no response from the service, so that the request may have been taken.
    pub(crate) fn is_gateway_failure(&self) -> bool {
        matches!(self.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
    }

    /// Returns the wait that the service asks for. `now`, in seconds since 1970, is used only where the
    /// response has no date.
    pub(crate) fn retry_after(&self, now: i64) -> Option<Duration> {
        let now = self.header("Date").and_then(retry::parse_http_date).unwrap_or(now);
        let retry_after =
            self.header("Retry-After").and_then(|value| retry::parse_retry_after(value, now));
        let reset = || {
            let limited = self.status == StatusCode::TOO_MANY_REQUESTS;
            self.header("X-RateLimit-Reset")
                .filter(|_| limited)
                .and_then(|value| retry::parse_rate_limit_reset(value, now))
        };
        retry_after.or_else(reset)
    }

    /// Returns the body of any length, piece by piece.
    pub(crate) fn into_reader(self) -> impl Read {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// Reads the body up to its cap. An error ends it early, because the status is known already.
    pub(crate) fn into_body(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read =
            self.body.into_with_config().reader().take(MAX_BODY_BYTES).read_to_end(&mut bytes);
        drop(read);
        bytes
    }
}

/// A request that got no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestError {
    pub reason: String,
    /// Whether the whole request was sent, so that the service may have taken it.
    pub fully_sent: bool,
}

/// Whether a host is this host.
pub(crate) fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        // In URLs of schemes other than http an IPv4 address is a name.
        Host::Domain(name) => {
            let name = name.as_ref();
            name.eq_ignore_ascii_case("localhost")
                || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

/// Returns the certificates of the authorities that the host trusts, in DER.
pub(crate) fn host_root_certificates() -> Vec<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|certificate| certificate.as_ref().to_vec()).collect()
}

/// Returns an address without its login, so that a message may quote it.
pub(crate) fn without_login(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        (_, None) => text.to_owned(),
    }
}

fn trusted_roots() -> RootCerts {
    let found = host_root_certificates();
    if found.is_empty() {
        return RootCerts::WebPki;
    }
    specific_roots(&found)
}

fn specific_roots(certificates: &[Vec<u8>]) -> RootCerts {
    let owned = |certificate: &Vec<u8>| Certificate::from_der(certificate).to_owned();
    RootCerts::Specific(Arc::new(certificates.iter().map(owned).collect()))
}

fn describe_error(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(Timeout::Resolve) => "the name server did not answer".to_owned(),
        ureq::Error::Timeout(Timeout::Connect) => "no connection, timed out".to_owned(),
        ureq::Error::Timeout(_) => "no answer, timed out".to_owned(),
        ureq::Error::HostNotFound => "host not found".to_owned(),
        ureq::Error::Protocol(_) => "the answer is not HTTP".to_owned(),
        ureq::Error::Io(error) => text::escape(&failure::os_error_message(error)).into_owned(),
        error => text::escape(&error.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_reached_without_tls() {
        for good in [
            "https://api.sendgrid.com",
            "https://api.eu.sendgrid.com/",
            "http://127.0.0.1:8025",
            "http://127.9.9.9",
            "http://localhost:1/x",
            "http://[::1]:1",
            "HTTP://LOCALHOST",
        ] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://api.sendgrid.com",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://0.0.0.0",
            "http://[::]",
            "ftp://localhost",
            "api.sendgrid.com",
            "//api.sendgrid.com",
            "https://",
            "",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_login_in_an_address_is_refused_and_not_quoted() {
        for text in ["https://u:hush@x.org", "https://hush@x.org", "ht!tp://u:hush@x", "u:hush@x"] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_path_is_added_below() {
        for (base, url) in [
            ("https://x.org", "https://x.org/v3/mail/send"),
            ("https://x.org/", "https://x.org/v3/mail/send"),
            ("https://x.org/a/b/", "https://x.org/a/b/v3/mail/send"),
        ] {
            assert_eq!(Endpoint::parse(base).unwrap().join_path("v3/mail/send").0.as_str(), url);
        }
    }
}
