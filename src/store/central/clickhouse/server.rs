//! The HTTP interface of ClickHouse: a statement, and what its answer says.

use std::io::Read;
use std::time::Duration;

use crate::config::mirror::ClickHouseConfig;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::http::Client;
use crate::http::Endpoint;
use crate::http::Response;
use crate::http::Timeouts;
use crate::secret::Secret;
use crate::store::central::CentralError;
use crate::store::central::CentralErrorKind;
use crate::store::central::ServerAccess;
use crate::text;
use crate::tls;

const DEFAULT_USER: &str = "default";
/// The longest time to find and reach a server.
const MAX_CONNECT: Duration = Duration::from_secs(10);
/// The longest text of a server that is passed on, in columns.
const MAX_FOREIGN_COLUMNS: usize = 300;
/// The server's own numbers for a wrong login or a right that is missing: UNKNOWN_USER, WRONG_PASSWORD,
/// REQUIRED_PASSWORD, ACCESS_DENIED and AUTHENTICATION_FAILED.
const DENIED_CODES: [&str; 5] = ["Code: 192", "Code: 193", "Code: 194", "Code: 497", "Code: 516"];
/// The server's number for UNKNOWN_TABLE.
const NO_TABLE_CODE: &str = "Code: 60";

/// A server, and the login to it.
pub(crate) struct ClickHouseServer {
    client: Client,
    host: String,
    user: String,
    password: Option<Secret>,
    is_encrypted: bool,
}

impl ClickHouseServer {
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(crate) fn new(
        config: &ClickHouseConfig,
        access: ServerAccess<'_>,
    ) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(Exit::Config, why);
        let endpoint =
            Endpoint::parse(&config.central.url).map_err(|why| wrong(format!("url: {why}")))?;
        let password = match &config.central.password_file {
            Some(path) => Some(Secret::read(path, access.trusted_uid)?),
            None => {
                let password = access.environment.text("CLICKHOUSE_PASSWORD");
                password.map(|text| Secret::new(text, "CLICKHOUSE_PASSWORD")).transpose()?
            }
        };
        let user = config.user.as_deref().or(access.environment.text("CLICKHOUSE_USER"));
        let user = user.unwrap_or(DEFAULT_USER).to_owned();
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(&user) || !password.as_ref().is_none_or(|password| plain(password.reveal())) {
            let why = "user and password of ClickHouse must be of ASCII without blanks";
            return Err(wrong(why.to_owned()));
        }
        let authorities = config.central.ca_file.as_deref().map(tls::read_authorities);
        let authorities = authorities.transpose()?;
        let timeouts = Timeouts { connect: access.timeout.min(MAX_CONNECT), total: access.timeout };
        let host = endpoint.host().to_owned();
        let is_encrypted = endpoint.is_encrypted();
        let client = Client::with_authorities(endpoint, timeouts, authorities.as_deref());
        Ok(Self { client, host, user, password, is_encrypted })
    }

    /// Who asks.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Whether it is asked over TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Runs a statement; `data` goes with an INSERT. The answer is read up to 64 KiB.
    ///
    /// # Errors
    /// [`CentralErrorKind::Refused`] for a value or a body that the server does not take.
    pub(crate) fn run(
        &self,
        sql: &str,
        settings: &[(&str, &str)],
        data: &[u8],
    ) -> Result<Vec<u8>, CentralError> {
        self.request(sql, settings, data).map(Response::into_body)
    }

    /// Runs a query, and returns its answer of any length: it begins after the query has ended, so that
    /// it is whole.
    ///
    /// # Errors
    /// As [`ClickHouseServer::run`].
    pub(crate) fn read(&self, sql: &str) -> Result<Vec<u8>, CentralError> {
        // A long query finds room in the body alone.
        let response = self.request("", &[("wait_end_of_query", "1")], sql.as_bytes())?;
        let mut answer = Vec::new();
        match response.into_reader().read_to_end(&mut answer) {
            Ok(_) => Ok(answer),
            Err(_) => Err(self.error(CentralErrorKind::Unavailable, "its answer broke off")),
        }
    }

    fn request(
        &self,
        sql: &str,
        settings: &[(&str, &str)],
        data: &[u8],
    ) -> Result<Response, CentralError> {
        let mut headers = vec![("X-ClickHouse-User", self.user.as_str())];
        if let Some(password) = &self.password {
            headers.push(("X-ClickHouse-Key", password.reveal()));
        }
        let query = [&[("query", sql)], settings].concat();
        let sent = self.client.post_with_query(&query, &headers, data);
        let response =
            sent.map_err(|error| self.error(CentralErrorKind::Unavailable, &error.reason))?;
        if response.status() == 200 { Ok(response) } else { Err(self.describe(response)) }
    }

    /// Describes an answer that is no success.
    fn describe(&self, response: Response) -> CentralError {
        let status = response.status();
        let retry_after = response.retry_after(0);
        let is_redirect = response.is_redirect();
        let body = response.into_body();
        let text = String::from_utf8_lossy(&body);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let says = |code: &str| {
            let rest = line.strip_prefix(code);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let kind = match status {
            _ if DENIED_CODES.iter().any(|code| says(code)) => CentralErrorKind::Denied,
            _ if says(NO_TABLE_CODE) => CentralErrorKind::NoTables,
            401 | 403 => CentralErrorKind::Denied,
            // A body or a value that the server does not take. All else is trouble of the server.
            400 | 413 => CentralErrorKind::Refused,
            _ => CentralErrorKind::Unavailable,
        };
        let why = match is_redirect {
            true => format!("answered {status}, a redirect, which is not followed"),
            // A page of HTML says nothing on its first line.
            false if line.is_empty() || line.starts_with('<') => format!("answered {status}"),
            false => format!("answered {status}: {line}"),
        };
        CentralError { status: Some(status), retry_after, ..self.error(kind, &why) }
    }

    pub(super) fn error(&self, kind: CentralErrorKind, why: &str) -> CentralError {
        let why = match &self.password {
            Some(password) => password.redact(why),
            None => why.to_owned(),
        };
        let why = text::escape(&why);
        let why = text::truncate(&why, MAX_FOREIGN_COLUMNS);
        CentralError::new(kind, format!("{}: {why}", self.host))
    }
}
