//! `type = "http"`: JSON Lines, posted to an address of the user's.
//!
//! The signature is that of GitHub's webhooks: `X-Hub-Signature-256: sha256=HEX`, the HMAC-SHA256 of the
//! body as it is sent, which common receivers of webhooks check.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::codec::jsonl;
use crate::config::mirror::HttpConfig;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::mirror::hmac;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::service;
use crate::mirror::sinks::service::Service;
use crate::secret::Secret;
use crate::text;

const DEFAULT_BATCH: usize = 1000;
const SIGNATURE_HEADER: &str = "X-Hub-Signature-256";
const CONTENT_TYPE: &str = "Content-Type";
const AUTHORIZATION: &str = "Authorization";
/// The headers that the program sets itself.
const OWN_HEADERS: [&str; 5] =
    ["Content-Length", "Content-Encoding", "Transfer-Encoding", "Host", "Connection"];

pub(super) struct HttpSink {
    service: Service,
    headers: Vec<(String, String)>,
    authorization: Option<Secret>,
    signature_key: Option<Secret>,
    gzip: bool,
}

impl HttpSink {
    /// # Errors
    /// [`Exit::Config`], with the key.
    pub(super) fn new(config: &HttpConfig, context: SinkContext<'_>) -> Result<Self, Failure> {
        let endpoint = service::parse_endpoint("url", &config.webhook.url)?;
        let key_file = |path: &PathBuf| Secret::read(path, context.trusted_uid);
        let password = config.password_file.as_ref().map(key_file).transpose()?;
        let token = config.token_file.as_ref().map(key_file).transpose()?;
        let signature_key = config.signature_key_file.as_ref().map(key_file).transpose()?;
        let has_login = password.is_some() || token.is_some();
        let own: &[&str] = if has_login { &[AUTHORIZATION] } else { &[] };
        let mut secrets = checked_headers(&config.webhook.headers, own)?;
        secrets.extend([&password, &token, &signature_key].into_iter().flatten().cloned());
        let authorization = authorization(config.user.as_deref(), password, token)?;
        secrets.extend(authorization.clone());
        Ok(Self {
            service: Service::new(endpoint, config.ca_file.as_deref(), secrets, context)?,
            headers: config.webhook.headers.clone(),
            authorization,
            signature_key,
            gzip: config.gzip,
        })
    }
}

impl Sink for HttpSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        let mut body = json_lines(batch).into_bytes();
        if self.gzip {
            body = compress(&body);
        }
        let signature = self
            .signature_key
            .as_ref()
            .map(|key| format!("sha256={}", hmac::sha256(key.reveal().as_bytes(), &body)));
        let mut headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE)) {
            headers.push((CONTENT_TYPE, "application/x-ndjson"));
        }
        if self.gzip {
            headers.push(("Content-Encoding", "gzip"));
        }
        if let Some(authorization) = &self.authorization {
            headers.push((AUTHORIZATION, authorization.reveal()));
        }
        if let Some(signature) = &signature {
            headers.push((SIGNATURE_HEADER, signature));
        }
        self.service.post(&headers, &body)?;
        Ok(Vec::new())
    }
}

/// Returns the events as JSON Lines.
pub(super) fn json_lines(batch: &[OutgoingEvent]) -> String {
    let mut lines = String::new();
    for outgoing in batch {
        jsonl::encode(&outgoing.event, &mut lines);
        lines.push('\n');
    }
    lines
}

/// Checks the headers of a config, and returns their values, any of which may be a token. `own` are
/// those that the sink sets itself, beside the ones that every request has.
///
/// # Errors
/// [`Exit::Config`]: a header that cannot be sent, or that the program sets itself.
pub(super) fn checked_headers(
    headers: &[(String, String)],
    own: &[&str],
) -> Result<Vec<Secret>, Failure> {
    let mut values = Vec::new();
    for (name, value) in headers {
        let refused = |why: &str| {
            let name = text::escape(name);
            Failure::new(Exit::Config, format!("headers: \"{name}\" {why}"))
        };
        // RFC 9110, section 5.6.2.
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(refused("is no name of a header"));
        }
        if OWN_HEADERS.iter().chain(own).any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(refused("is set by the program"));
        }
        if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(refused("has a value that is not plain ASCII"));
        }
        values.push(Secret::new(value, "headers")?);
    }
    Ok(values)
}

fn authorization(
    user: Option<&str>,
    password: Option<Secret>,
    token: Option<Secret>,
) -> Result<Option<Secret>, Failure> {
    let refused = |why: &str| Err(Failure::new(Exit::Config, why));
    match (user, password, token) {
        (None, None, None) => Ok(None),
        (None, None, Some(token)) => {
            if !token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
                return refused("token_file: the token has a blank or a letter that is not ASCII");
            }
            Secret::new(&format!("Bearer {}", token.reveal()), "token_file").map(Some)
        }
        (Some(user), Some(_), None) if user.contains(':') => {
            refused("user: a colon cannot stand in the name of a user")
        }
        (Some(user), Some(password), None) => {
            let login = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
            Secret::new(&format!("Basic {login}"), "password_file").map(Some)
        }
        (Some(_) | None, Some(_) | None, Some(_)) => {
            refused("token_file: does not go with user and password_file")
        }
        (Some(_), None, None) => refused("password_file is missing beside user"),
        (None, Some(_), None) => refused("user is missing beside password_file"),
    }
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(body)
        .and_then(|()| encoder.finish())
        .expect("a vector takes all that is written")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::Permissions;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::config::mirror::WebhookConfig;
    use crate::mirror::sink::FailureKind;
    use crate::mirror::sinks::fake_service::FakeService;
    use crate::mirror::sinks::fake_service::outgoing;
    use crate::mirror::sinks::fake_service::reply;
    use crate::mirror::sinks::fake_service::with_context;
    use crate::settings::Environment;

    fn config(url: String) -> HttpConfig {
        HttpConfig {
            webhook: WebhookConfig { url, headers: Vec::new() },
            ca_file: None,
            user: None,
            password_file: None,
            token_file: None,
            signature_key_file: None,
            gzip: false,
        }
    }

    fn open(config: &HttpConfig) -> Result<HttpSink, Failure> {
        with_context(&Environment::default(), |context| HttpSink::new(config, context))
    }

    fn key_file(folder: &tempfile::TempDir, name: &str, content: &str) -> Option<PathBuf> {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Some(path)
    }

    #[test]
    fn events_are_lines_of_json_with_the_headers_of_the_config() {
        let service = FakeService::start(|_, _| reply("200 OK", ""));
        let mut config = config(service.url("/in?source=activity"));
        config.webhook.headers = vec![("X-Site".to_owned(), "s2l".to_owned())];
        let batch = outgoing(1..=3);
        assert_eq!(open(&config).unwrap().deliver(&batch), Ok(Vec::new()));
        let requests = service.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].path, "/in?source=activity");
        assert_eq!(requests[0].header("x-site"), Some("s2l"));
        assert_eq!(requests[0].header("content-type"), Some("application/x-ndjson"));
        assert_eq!(requests[0].header("authorization"), None);
        assert_eq!(requests[0].text(), json_lines(&batch));
        assert_eq!(requests[0].text().lines().count(), 3);
    }

    #[test]
    fn a_body_can_be_compressed_and_signed() {
        let folder = tempfile::tempdir().unwrap();
        let service = FakeService::start(|_, _| reply("204 No Content", ""));
        let mut config = config(service.url("/"));
        config.gzip = true;
        config.signature_key_file = key_file(&folder, "key", "It's a Secret to Everybody\n");
        config.token_file = key_file(&folder, "token", "t0ken-t0ken\n");
        let batch = outgoing(1..=200);
        open(&config).unwrap().deliver(&batch).unwrap();
        let request = service.requests().remove(0);
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        assert_eq!(request.header("authorization"), Some("Bearer t0ken-t0ken"));
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&request.body[..]).read_to_string(&mut plain).unwrap();
        assert_eq!(plain, json_lines(&batch));
        assert!(request.body.len() < plain.len() / 4);
        let signature = hmac::sha256(b"It's a Secret to Everybody", &request.body);
        assert_eq!(
            request.header("x-hub-signature-256"),
            Some(format!("sha256={signature}").as_str())
        );
    }

    #[test]
    fn a_password_makes_a_basic_login() {
        let folder = tempfile::tempdir().unwrap();
        let service = FakeService::start(|_, _| reply("200 OK", ""));
        let mut config = config(service.url("/"));
        config.user = Some("Aladdin".to_owned());
        config.password_file = key_file(&folder, "password", "open sesame");
        open(&config).unwrap().deliver(&outgoing([1])).unwrap();
        // RFC 7617, section 2.
        let login = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(service.requests()[0].header("authorization"), Some(login));
    }

    #[test]
    fn an_answer_refuses_the_events_or_waits() {
        for (head, kind, wait) in [
            ("400 Bad Request", FailureKind::Refused, None),
            ("413 Content Too Large", FailureKind::Refused, None),
            ("422 Unprocessable Content", FailureKind::Refused, None),
            ("401 Unauthorized", FailureKind::Unavailable, None),
            ("403 Forbidden", FailureKind::Unavailable, None),
            ("404 Not Found", FailureKind::Unavailable, None),
            ("302 Found\r\nLocation: /elsewhere", FailureKind::Unavailable, None),
            ("429 Too Many Requests\r\nRetry-After: 7", FailureKind::Unavailable, Some(7)),
            ("503 Service Unavailable", FailureKind::Unavailable, None),
        ] {
            let service = FakeService::start(move |_, _| reply(head, "no \u{1b}[1m\nmore"));
            let failure =
                open(&config(service.url("/"))).unwrap().deliver(&outgoing([1])).unwrap_err();
            assert_eq!(failure.kind, kind, "{head}");
            assert_eq!(failure.status, head[..3].parse().ok());
            assert_eq!(failure.retry_after, wait.map(Duration::from_secs));
            let why = if head.starts_with('3') {
                ", a redirect, which is not followed"
            } else {
                r": no \e[1m"
            };
            assert_eq!(failure.reason, format!("127.0.0.1: answered {}{why}", &head[..3]));
            assert_eq!(service.requests().len(), 1);
        }
    }

    #[test]
    fn no_secret_is_shown_though_the_service_repeats_it() {
        let folder = tempfile::tempdir().unwrap();
        let service = FakeService::start(|_, request| {
            let authorization = request.header("authorization").unwrap_or_default();
            reply("403 Forbidden", &format!("{} {authorization} k-e-y-1 s-3-c", request.path))
        });
        let mut config = config(service.url("/hook/T0KEN-IN-PATH?key=T0KEN-IN-QUERY"));
        config.webhook.headers = vec![("X-Key".to_owned(), "k-e-y-1".to_owned())];
        config.token_file = key_file(&folder, "token", "t0ken-t0ken");
        config.signature_key_file = key_file(&folder, "key", "s-3-c");
        let failure = open(&config).unwrap().deliver(&outgoing([1])).unwrap_err();
        assert_eq!(
            failure.reason,
            "127.0.0.1: answered 403: /hook/[secret]?key=[secret] Bearer [secret] [secret] [secret]"
        );
    }

    #[test]
    fn what_cannot_be_sent_is_named_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |change: &dyn Fn(&mut HttpConfig)| {
            let mut config = config("https://example.org/in".to_owned());
            change(&mut config);
            let failure = open(&config).err().expect("the config is wrong");
            assert_eq!(failure.exit, Exit::Config);
            failure.message
        };
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert!(
            refused(&|config| config.webhook.url = "http://example.org/".to_owned())
                .starts_with("url: \"http://example.org/\" is not encrypted")
        );
        assert!(
            refused(&|config| config.webhook.url = "https://u:hush@example.org/".to_owned())
                .ends_with("holds a login, which belongs in a file")
        );
        assert_eq!(
            refused(&|config| config.webhook.headers = header("Content-Length", "1")),
            "headers: \"Content-Length\" is set by the program"
        );
        assert_eq!(
            refused(&|config| config.webhook.headers = header("a b", "1")),
            "headers: \"a b\" is no name of a header"
        );
        assert_eq!(
            refused(&|config| config.webhook.headers = header("A", "x\r\nB: y")),
            "headers: \"A\" has a value that is not plain ASCII"
        );
        assert_eq!(
            refused(&|config| config.user = Some("x".to_owned())),
            "password_file is missing beside user"
        );
        assert_eq!(
            refused(&|config| {
                config.webhook.headers = header("authorization", "Bearer x");
                config.token_file = key_file(&folder, "token", "t0ken-t0ken");
            }),
            "headers: \"authorization\" is set by the program"
        );
        assert!(
            refused(&|config| config.ca_file = key_file(&folder, "ca", "no PEM"))
                .ends_with("ca: holds no certificate in PEM")
        );
    }
}
