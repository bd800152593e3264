//! The connection to PostgreSQL: one at a time, each request within a time.
//!
//! Off this host it is encrypted, and the name of the server is checked. The password comes from
//! `password_file`, `PGPASSWORD` or `~/.pgpass`, never from the address.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::Client;
use tokio_postgres::Config;
use tokio_postgres::NoTls;
use tokio_postgres::Row;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::mirror::CentralConfig;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::http;
use crate::secret;
use crate::secret::Secret;
use crate::store::central::CentralError;
use crate::store::central::CentralErrorKind;
use crate::store::central::ServerAccess;
use crate::text;
use crate::tls;
use crate::tls::ClientConfig;

const MAX_CONNECT: Duration = Duration::from_secs(10);
/// The longest text of the server that is passed on, in columns.
const MAX_FOREIGN_COLUMNS: usize = 300;
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
const PORT: u16 = 5432;

/// A parameter of a statement, with its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A server, and the connection to it where there is one.
pub(crate) struct PostgresServer {
    config: Config,
    /// Absent: the connection is not encrypted, on this host.
    tls: Option<ClientConfig>,
    /// The server as messages name it.
    name: String,
    password: Option<Secret>,
    timeout: Duration,
    runtime: Runtime,
    client: Option<Client>,
}

/// A statement that failed.
#[derive(Debug)]
pub(crate) struct StatementError {
    /// Present where the server answered.
    pub state: Option<SqlState>,
    /// One line, escaped, with the name of the server.
    pub reason: String,
}

impl StatementError {
    pub(crate) fn is(&self, state: &SqlState) -> bool {
        self.state.as_ref() == Some(state)
    }
}

impl From<StatementError> for CentralError {
    fn from(error: StatementError) -> Self {
        let state = error.state.as_ref().map(SqlState::code);
        let kind = match (&error.state, state.and_then(|code| code.get(..2))) {
            (Some(state), _) if *state == SqlState::INSUFFICIENT_PRIVILEGE => {
                CentralErrorKind::Denied
            }
            (Some(state), _) if *state == SqlState::UNDEFINED_TABLE => CentralErrorKind::NoTables,
            // Class 22 is a value that cannot be, 23 a constraint, 54 a limit of the server.
            (_, Some("22" | "23" | "54")) => CentralErrorKind::Refused,
            // Class 28 is a login that is not accepted.
            (_, Some("28")) => CentralErrorKind::Denied,
            (_, _) => CentralErrorKind::Unavailable,
        };
        Self::new(kind, error.reason)
    }
}

impl PostgresServer {
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(crate) fn new(config: &CentralConfig, access: ServerAccess<'_>) -> Result<Self, Failure> {
        let mut parsed = parse_url(&config.url)?;
        parsed
            .connect_timeout(access.timeout.min(MAX_CONNECT))
            .tcp_user_timeout(access.timeout)
            .application_name("activity");
        let authorities = config.ca_file.as_deref().map(tls::read_authorities).transpose()?;
        let is_local = parsed.get_hosts().iter().all(is_this_host);
        let has_mode = config.url.contains("sslmode=");
        if authorities.is_some() || !is_local {
            if has_mode && parsed.get_ssl_mode() == SslMode::Disable {
                return Err(wrong("url: sslmode=disable is for this host, and without ca_file"));
            }
            parsed.ssl_mode(SslMode::Require);
        } else if !has_mode {
            parsed.ssl_mode(SslMode::Disable);
        }
        let tls = match parsed.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(tls::client_config(authorities.as_ref())?),
        };
        let password = match &config.password_file {
            Some(path) => Some(Secret::read(path, access.trusted_uid)?),
            None => find_password(&parsed, access)?,
        };
        if let Some(password) = &password {
            parsed.password(password.reveal());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|_| Failure::new(Exit::Io, "the system has no room for a connection"))?;
        Ok(Self {
            name: server_name(&parsed),
            config: parsed,
            tls,
            password,
            timeout: access.timeout,
            runtime,
            client: None,
        })
    }

    /// The server as messages name it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements without parameters, in one transaction.
    ///
    /// # Errors
    /// The server refuses one, or there was no answer.
    pub(crate) fn execute_batch(&mut self, sql: &str) -> Result<(), StatementError> {
        self.run(async |client| client.batch_execute(sql).await)
    }

    /// Runs a statement, without a prepared one that a pooler would lose.
    ///
    /// # Errors
    /// As [`PostgresServer::execute_batch`].
    pub(crate) fn query(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StatementError> {
        self.run(async |client| client.query_typed(sql, parameters).await)
    }

    /// Runs a request on the connection, which is made if there is none. After an error without an
    /// answer it is given up.
    fn run<T>(
        &mut self,
        request: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StatementError> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connect()?,
        };
        let answer = self.within_time(request(&client));
        let answered = match &answer {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.as_db_error().is_some() && !client.is_closed(),
            None => false,
        };
        if answered {
            self.client = Some(client);
        }
        self.check(answer)
    }

    fn connect(&self) -> Result<Client, StatementError> {
        let connected = self.within_time(async {
            // The other half of a connection lives on the runtime, and works while a request waits.
            match &self.tls {
                Some(tls) => {
                    let connector = MakeRustlsConnect::new(tls.clone());
                    let (client, connection) = self.config.connect(connector).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
                None => {
                    let (client, connection) = self.config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
            }
        });
        self.check(connected)
    }

    /// Returns `None` where no answer came in time.
    fn within_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async { tokio::time::timeout(self.timeout, work).await.ok() })
    }

    fn check<T>(
        &self,
        answer: Option<Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StatementError> {
        match answer {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(self.describe(&error)),
            None => Err(StatementError {
                state: None,
                reason: format!("{}: no answer, timed out", self.name),
            }),
        }
    }

    fn describe(&self, error: &tokio_postgres::Error) -> StatementError {
        let state = error.code().cloned();
        let why = match error.as_db_error() {
            Some(error) => format!("{} ({})", error.message(), error.code().code()),
            None => innermost(error),
        };
        let why = match &self.password {
            Some(password) => password.redact(&why),
            None => why,
        };
        let why = text::escape(&why);
        let why = text::truncate(&why, MAX_FOREIGN_COLUMNS);
        StatementError { state, reason: format!("{}: {why}", self.name) }
    }
}

fn wrong(why: impl Into<String>) -> Failure {
    Failure::new(Exit::Config, why)
}

/// Reads `postgres://USER@HOST:PORT/DATABASE`.
fn parse_url(url: &str) -> Result<Config, Failure> {
    let quoted = text::escape(&http::without_login(url)).into_owned();
    if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(wrong(format!("url: \"{quoted}\" does not begin with postgres://")));
    }
    let config: Config =
        url.parse().map_err(|_| wrong(format!("url: \"{quoted}\" is no address of PostgreSQL")))?;
    if config.get_password().is_some() {
        return Err(wrong(format!("url: \"{quoted}\" holds a password, which belongs in a file"))
            .hint("name the file with password_file, or use ~/.pgpass"));
    }
    if config.get_hosts().is_empty() {
        return Err(wrong(format!("url: \"{quoted}\" names no host")));
    }
    Ok(config)
}

fn is_this_host(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => url::Host::parse(name).is_ok_and(|host| http::is_loopback(&host)),
        Host::Unix(_) => true,
    }
}

fn server_name(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(PORT);
    let name = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => format!("{name}:{port}"),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "PostgreSQL".to_owned(),
    };
    text::escape(&name).into_owned()
}

/// Looks a password up where PostgreSQL's own tools do.
fn find_password(config: &Config, access: ServerAccess<'_>) -> Result<Option<Secret>, Failure> {
    if let Some(password) = access.environment.text("PGPASSWORD") {
        return Secret::new(password, "PGPASSWORD").map(Some);
    }
    let named = access.environment.get("PGPASSFILE").map(PathBuf::from);
    let usual = || Some(PathBuf::from(access.environment.get("HOME")?).join(".pgpass"));
    let Some(path) = named.or_else(usual).filter(|path| path.exists()) else { return Ok(None) };
    let content = secret::read_private_file(&path, access.trusted_uid)?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.as_str(),
        Some(Host::Unix(_)) | None => "localhost",
    };
    let port = config.get_ports().first().copied().unwrap_or(PORT).to_string();
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    let wanted = [host, &port, database, user];
    let found = content.lines().find_map(|line| password_in(line, wanted));
    found.map(|password| Secret::new(&password, "~/.pgpass")).transpose()
}

/// Returns the password of a line `HOST:PORT:DATABASE:USER:PASSWORD` that fits; `*` fits anything, and a
/// backslash keeps the character behind it.
fn password_in(line: &str, wanted: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => fields.last_mut()?.extend(chars.next()),
            ':' if fields.len() <= wanted.len() => fields.push(String::new()),
            c => fields.last_mut()?.push(c),
        }
    }
    let password = fields.pop().filter(|_| fields.len() == wanted.len())?;
    let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
    fits.then_some(password)
}

/// Returns the text of the innermost cause: the outer ones only say that something failed.
fn innermost(error: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_as_by_libpq() {
        let wanted = ["db.example.org", "5432", "activity", "audit"];
        for (line, password) in [
            ("db.example.org:5432:activity:audit:hush", Some("hush")),
            ("*:*:*:*:a:b\\\\c", Some("a:b\\c")),
            ("db.example.org:5432:activity:au\\dit:x", Some("x")),
            ("db.example.org:5433:activity:audit:hush", None),
            ("#*:*:*:*:hush", None),
            ("*:*:*:*", None),
            ("", None),
        ] {
            assert_eq!(password_in(line, wanted).as_deref(), password, "{line}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_no_password() {
        for bad in [
            "db.example.org",
            "https://x/y",
            "postgres://u:hush@x/y",
            "postgres://u@x/y?password=hush",
            "postgres:///y",
            "postgres://u@x/y?sslroot=z",
        ] {
            let failure = parse_url(bad).unwrap_err();
            assert_eq!(failure.exit, Exit::Config);
            assert!(failure.message.starts_with("url: "), "{failure}");
        }
        assert!(parse_url("postgres://audit@central/activity?channel_binding=require").is_ok());
        assert!(parse_url("postgresql://u@x/y").is_ok());
        assert!(parse_url("postgres://u@%2Frun%2Fpostgresql/y").is_ok());
    }
}
