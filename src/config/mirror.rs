//! The mirrors and alerts of the config: what each selects, where it goes, and how it is tried again.
//!
//! The keys were checked by `schema`; the code that delivers reads the values from here.

use std::path::Path;
use std::path::PathBuf;

use toml::Table;
use toml::Value;

use crate::config::schema;
use crate::time::Span;

/// A mirror: the events of a query, and the destination that gets a copy of each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MirrorConfig {
    pub name: String,
    /// The query that selects its events; empty where it takes all.
    pub query: String,
    /// Names the log at the destination; absent: the event's tenant, else the site.
    pub identifier: Option<String>,
    /// Whether it begins with the events that are recorded after its first run.
    pub from_now: bool,
    /// Whether `ingest` delivers right after its commit.
    pub direct: bool,
    pub pace: DeliveryPace,
    pub destination: DestinationConfig,
}

/// An alert: the events of a query, told to people.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertConfig {
    pub name: String,
    pub query: String,
    pub channel: AlertChannel,
    /// The time between two messages; absent: each run may send one.
    pub every: Option<Span>,
    pub pace: DeliveryPace,
}

/// How a mirror or alert delivers; an absent value has a default.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DeliveryPace {
    /// A disabled one delivers nothing, and holds up no sweep.
    pub enabled: bool,
    /// The most events of one batch.
    pub batch: Option<usize>,
    /// The tries of one run.
    pub attempts: Option<u32>,
    /// The wait before the second try.
    pub wait: Option<Span>,
    /// How long one try may take.
    pub timeout: Option<Span>,
}

/// How an alert reaches people.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AlertChannel {
    /// These addresses, through the transport of the digest.
    Mail(Vec<String>),
    /// The address of an incoming webhook.
    Slack(String),
    /// A command that gets JSON Lines on its standard input.
    Command(Vec<String>),
}

/// Where a mirror delivers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DestinationConfig {
    File(FileConfig),
    Syslog(SyslogConfig),
    Http(HttpConfig),
    Loggly(WebhookConfig),
    Slack(WebhookConfig),
    CloudWatch(CloudWatchConfig),
    Postgres(CentralConfig),
    ClickHouse(ClickHouseConfig),
}

/// Matches every event, and names those about mirrors, which else go to no mirror: a chain with holes
/// cannot be verified.
const EVERY_EVENT: &str = "action:*,mirror.*";

/// The keys of `type = "file"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileConfig {
    pub path: PathBuf,
    pub format: FileFormat,
    pub rotation: Option<FileRotation>,
}

/// The form of an event in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    MirrorLine,
    JsonLines,
}

/// When a mirror begins a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRotation {
    Daily,
    Monthly,
    /// When the file would be longer than so many bytes.
    Size(u64),
}

impl FileRotation {
    /// Reads `daily`, `monthly` or a size.
    ///
    /// # Errors
    /// One line that quotes the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "daily" => Ok(Self::Daily),
            "monthly" => Ok(Self::Monthly),
            _ => match schema::parse_size(text) {
                Ok(bytes) if bytes > 0 => Ok(Self::Size(bytes)),
                Ok(_) | Err(_) => {
                    Err(format!("{text:?} is none of daily, monthly and a size like 100MiB"))
                }
            },
        }
    }
}

/// The keys of `type = "syslog"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SyslogConfig {
    pub address: String,
    pub framing: Option<String>,
    pub facility: Option<String>,
    pub app: Option<String>,
    pub sd: Option<String>,
    /// Authorities that are trusted instead of the host's, in PEM.
    pub ca_file: Option<PathBuf>,
}

/// The keys of `type = "http"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpConfig {
    pub webhook: WebhookConfig,
    /// Authorities that are trusted instead of the host's, in PEM.
    pub ca_file: Option<PathBuf>,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// The key of the signature of each body.
    pub signature_key_file: Option<PathBuf>,
    /// Whether bodies are compressed.
    pub gzip: bool,
}

/// The keys that all types have that post to an address: `http`, `loggly`, `slack`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WebhookConfig {
    pub url: String,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
}

/// The keys of `type = "cloudwatch"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CloudWatchConfig {
    pub region: Option<String>,
    pub group: String,
    pub stream: Option<String>,
    pub endpoint: Option<String>,
}

/// The keys that both kinds of central store have: `postgres` and `clickhouse`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CentralConfig {
    pub url: String,
    pub table: Option<String>,
    pub password_file: Option<PathBuf>,
    /// Authorities that are trusted instead of the host's, in PEM.
    pub ca_file: Option<PathBuf>,
}

/// The keys of `type = "clickhouse"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClickHouseConfig {
    pub central: CentralConfig,
    pub user: Option<String>,
}

impl MirrorConfig {
    /// Reads the mirrors of a config that was checked; paths in it are relative to `folder`.
    pub(super) fn read_all(config: &Table, folder: &Path) -> Vec<Self> {
        let mirror = |keys: Keys<'_>| {
            let destination = DestinationConfig::read(keys, folder)?;
            let default_query = if destination.is_central() { EVERY_EVENT } else { "" };
            Some(Self {
                name: keys.text("name")?,
                query: keys.text("query").unwrap_or_else(|| default_query.to_owned()),
                identifier: keys.text("identifier"),
                from_now: keys.text("start").as_deref() == Some("now"),
                direct: keys.flag("direct").unwrap_or(false),
                pace: DeliveryPace::read(keys),
                destination,
            })
        };
        Keys::of_each(config, "mirror").filter_map(mirror).collect()
    }
}

impl AlertConfig {
    /// Reads the alerts of a config that was checked.
    pub(super) fn read_all(config: &Table) -> Vec<Self> {
        let alert = |keys: Keys<'_>| {
            Some(Self {
                name: keys.text("name")?,
                query: keys.text("query").unwrap_or_default(),
                channel: AlertChannel::read(keys)?,
                every: keys.span("every"),
                pace: DeliveryPace::read(keys),
            })
        };
        Keys::of_each(config, "alert").filter_map(alert).collect()
    }
}

impl DeliveryPace {
    fn read(keys: Keys<'_>) -> Self {
        Self {
            enabled: keys.flag("enabled").unwrap_or(true),
            batch: keys.count("batch").map(|many| usize::try_from(many).unwrap_or(usize::MAX)),
            attempts: keys.count("attempts").map(|many| u32::try_from(many).unwrap_or(u32::MAX)),
            wait: keys.span("wait"),
            timeout: keys.span("timeout"),
        }
    }
}

impl AlertChannel {
    fn read(keys: Keys<'_>) -> Option<Self> {
        let mail = || keys.texts("mail").map(Self::Mail);
        let slack = || keys.text("slack").map(Self::Slack);
        mail().or_else(slack).or_else(|| keys.texts("command").map(Self::Command))
    }
}

impl DestinationConfig {
    /// Whether it is a central store.
    pub(crate) fn is_central(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::ClickHouse(_))
    }

    fn read(keys: Keys<'_>, folder: &Path) -> Option<Self> {
        Some(match keys.text("type")?.as_str() {
            "file" => Self::File(FileConfig {
                path: folder.join(keys.text("path")?),
                format: match keys.text("format").as_deref() {
                    Some("jsonl") => FileFormat::JsonLines,
                    Some(_) | None => FileFormat::MirrorLine,
                },
                rotation: keys.text("rotate").and_then(|text| FileRotation::parse(&text).ok()),
            }),
            "syslog" => Self::Syslog(SyslogConfig {
                address: keys.text("address")?,
                framing: keys.text("framing"),
                facility: keys.text("facility"),
                app: keys.text("app"),
                sd: keys.text("sd"),
                ca_file: keys.file("ca_file", folder),
            }),
            "http" => Self::Http(HttpConfig {
                webhook: WebhookConfig::read(keys)?,
                ca_file: keys.file("ca_file", folder),
                user: keys.text("user"),
                password_file: keys.file("password_file", folder),
                token_file: keys.file("token_file", folder),
                signature_key_file: keys.file("signature_key_file", folder),
                gzip: keys.flag("gzip").unwrap_or(false),
            }),
            "loggly" => Self::Loggly(WebhookConfig::read(keys)?),
            "slack" => Self::Slack(WebhookConfig::read(keys)?),
            "cloudwatch" => Self::CloudWatch(CloudWatchConfig {
                region: keys.text("region"),
                group: keys.text("group")?,
                stream: keys.text("stream"),
                endpoint: keys.text("endpoint"),
            }),
            "postgres" => Self::Postgres(CentralConfig::read(keys, folder)?),
            "clickhouse" => Self::ClickHouse(ClickHouseConfig {
                central: CentralConfig::read(keys, folder)?,
                user: keys.text("user"),
            }),
            _ => return None,
        })
    }
}

impl WebhookConfig {
    fn read(keys: Keys<'_>) -> Option<Self> {
        Some(Self { url: keys.text("url")?, headers: keys.map("headers") })
    }
}

impl CentralConfig {
    fn read(keys: Keys<'_>, folder: &Path) -> Option<Self> {
        Some(Self {
            url: keys.text("url")?,
            table: keys.text("table"),
            password_file: keys.file("password_file", folder),
            ca_file: keys.file("ca_file", folder),
        })
    }
}

/// The keys of one table, by their types.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Value);

impl<'a> Keys<'a> {
    /// The tables of a list.
    fn of_each(config: &'a Table, list: &str) -> impl Iterator<Item = Self> + use<'a> {
        config.get(list).and_then(Value::as_array).into_iter().flatten().map(Keys)
    }

    fn text(self, key: &str) -> Option<String> {
        self.0.get(key)?.as_str().map(str::to_owned)
    }

    /// A path, which is relative to `folder`.
    fn file(self, key: &str, folder: &Path) -> Option<PathBuf> {
        self.text(key).map(|path| folder.join(path))
    }

    fn texts(self, key: &str) -> Option<Vec<String>> {
        let list = self.0.get(key)?.as_array()?;
        list.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    }

    fn flag(self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }

    fn count(self, key: &str) -> Option<i64> {
        self.0.get(key)?.as_integer()
    }

    fn span(self, key: &str) -> Option<Span> {
        Span::parse(self.0.get(key)?.as_str()?).ok()
    }

    fn map(self, key: &str) -> Vec<(String, String)> {
        let entries = self.0.get(key).and_then(Value::as_table).into_iter().flatten();
        entries
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}
