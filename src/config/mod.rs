//! Reads the config file: TOML, in which an unknown or misspelt key is an error.
//!
//! Every key is checked, also those of other commands: a config that one command accepts, every
//! command accepts. `settings` combines the values with flags and variables; the digest
//! reads its own part.

mod access;
mod entries;
pub(crate) mod mirror;
pub(crate) mod reference;
mod saved;
mod schema;
mod store_address;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::access::AccessPolicy;
use crate::config::mirror::AlertConfig;
use crate::config::mirror::MirrorConfig;
use crate::failure::{Exit, Failure};
use crate::query::saved::SavedQueries;
use crate::time::Span;
use crate::time::Zone;

pub(crate) use crate::config::entries::ConfigEntry;
pub(crate) use crate::config::store_address::StoreAddress;

/// No config that a person wrote is longer. The limit keeps an endless device from being read.
const MAX_SIZE: u64 = 1 << 20;

/// The config of the program. A key that is not set is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub db: Option<PathBuf>,
    /// The address of the central store.
    pub central: Option<String>,
    pub tz: Option<Zone>,
    pub system_label: Option<String>,
    /// The name of the log in digests.
    pub site: Option<String>,
    /// The bytes below which the log's disk is nearly full.
    pub space_left: Option<u64>,
    pub digest: DigestConfig,
    pub retention: RetentionConfig,
    pub mirrors: Vec<MirrorConfig>,
    pub alerts: Vec<AlertConfig>,
    pub queries: SavedQueries,
    /// Who may do what; absent where whoever can open the log may do everything.
    pub access: Option<AccessPolicy>,
    /// The table as it was read, for commands that show its keys.
    table: Table,
}

/// The part of the config on how long events are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RetentionConfig {
    pub keep: Option<Span>,
    /// Queries, each with the time for which its events are kept, in their order.
    pub rules: Vec<(String, Span)>,
}

impl RetentionConfig {
    /// Reads a table that was checked.
    fn from_table(table: &Table) -> Self {
        let span = |value: &Value| Span::parse(value.as_str()?).ok();
        let rules = table.get("rule").and_then(Value::as_array).into_iter().flatten();
        let rule = |rule: &Value| {
            Some((rule.get("query")?.as_str()?.to_owned(), span(rule.get("keep")?)?))
        };
        Self { keep: table.get("keep").and_then(span), rules: rules.filter_map(rule).collect() }
    }
}

/// The part of the config on the digest, each key by itself. The code that prepares the mail
/// decides which keys a transport needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DigestConfig {
    pub from: Option<String>,
    pub to: Vec<String>,
    pub transport: Option<String>,
    pub subject: Option<String>,
    pub templates: Option<PathBuf>,
    pub attempts: Option<u32>,
    pub wait: Option<Span>,
    pub top: Option<usize>,
    pub per_kind: Option<usize>,
    pub total: Option<usize>,
    pub sendgrid_key_file: Option<PathBuf>,
    pub sendgrid_url: Option<String>,
    pub smtp_url: Option<String>,
    pub smtp_password_file: Option<PathBuf>,
    pub sendmail_command: Option<Vec<String>>,
    /// Names and queries, in their order.
    pub kinds: Vec<(String, String)>,
}

impl DigestConfig {
    /// Reads a table that was checked; paths in it are relative to `folder`.
    fn from_table(table: &Table, folder: &Path) -> Self {
        let at = |path: &[&str]| {
            let (first, rest) = path.split_first()?;
            rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
        };
        let string = |path: &[&str]| at(path).and_then(Value::as_str).map(str::to_owned);
        let file = |path: &[&str]| string(path).map(|name| folder.join(name));
        let texts = |path: &[&str]| -> Option<Vec<String>> {
            at(path)?.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let integer = |path: &[&str]| at(path).and_then(Value::as_integer);
        let count = |path: &[&str]| Some(usize::try_from(integer(path)?).unwrap_or(usize::MAX));
        let kinds = at(&["kinds"]).and_then(Value::as_table).into_iter().flatten();
        Self {
            from: string(&["from"]),
            to: texts(&["to"]).unwrap_or_default(),
            transport: string(&["transport"]),
            subject: string(&["subject"]),
            templates: file(&["templates"]),
            attempts: integer(&["attempts"]).map(|many| u32::try_from(many).unwrap_or(u32::MAX)),
            wait: string(&["wait"]).and_then(|text| Span::parse(&text).ok()),
            top: count(&["top"]),
            per_kind: count(&["per_kind"]),
            total: count(&["total"]),
            sendgrid_key_file: file(&["sendgrid", "api_key_file"]),
            sendgrid_url: string(&["sendgrid", "base_url"]),
            smtp_url: string(&["smtp", "url"]),
            smtp_password_file: file(&["smtp", "password_file"]),
            sendmail_command: texts(&["sendmail", "command"]),
            kinds: kinds
                .filter_map(|(name, query)| Some((name.clone(), query.as_str()?.to_owned())))
                .collect(),
        }
    }
}

impl Config {
    /// Reads a config file.
    ///
    /// # Errors
    /// [`Exit::Config`] for an error in its text; [`Exit::NoInput`] where there is none, and
    /// [`Exit::NoPermission`] where it cannot be read: the rules in it would be passed over.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let (text, metadata) = read_text(path).map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => Exit::NoInput,
                io::ErrorKind::PermissionDenied => Exit::NoPermission,
                io::ErrorKind::InvalidData => Exit::Config,
                _ => Exit::Io,
            };
            let what = format!("cannot read the config {}", path.display());
            anyhow::Error::new(error).context(Failure::new(exit, what))
        })?;
        let config = Self::parse(&text, path)
            .map_err(|why| Failure::new(Exit::Config, format!("{}{why}", path.display())))?;
        if config.access.is_some() {
            access::refuse_untrusted(path, &metadata)?;
        }
        Ok(config)
    }

    /// Checks and reads the text of the config at `path`. The error begins with the place in the
    /// file: `: KEY: …` or `:LINE: …`.
    fn parse(text: &str, path: &Path) -> Result<Self, String> {
        // A path in it is relative to the config, wherever the program is called.
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut table: Table = text.parse().map_err(|error| syntax_error(text, &error))?;
        schema::check(&table).map_err(|why| format!(": {why}"))?;
        let queries = saved::read(&table).map_err(|why| format!(": {why}"))?;
        saved::expand(&mut table, &queries).map_err(|why| format!(": {why}"))?;
        let string = |key: &str| table.get(key).and_then(Value::as_str);
        Ok(Self {
            db: string("db").map(|db| folder.join(db)),
            central: string("central").map(str::to_owned),
            tz: string("tz").and_then(|name| Zone::parse(name).ok()),
            system_label: string("system_label").map(str::to_owned),
            site: string("site").map(str::to_owned),
            space_left: string("space_left").and_then(|text| schema::parse_size(text).ok()),
            digest: table
                .get("digest")
                .and_then(Value::as_table)
                .map_or_else(DigestConfig::default, |digest| {
                    DigestConfig::from_table(digest, folder)
                }),
            retention: table
                .get("retention")
                .and_then(Value::as_table)
                .map_or_else(RetentionConfig::default, RetentionConfig::from_table),
            mirrors: MirrorConfig::read_all(&table, folder),
            alerts: AlertConfig::read_all(&table),
            queries,
            access: access::read_policy(&table, text, path).map_err(|why| format!(": {why}"))?,
            table,
        })
    }

    /// Returns every key that is set, without secrets.
    pub(crate) fn entries(&self) -> Vec<ConfigEntry> {
        entries::flatten(&self.table)
    }
}

/// Reads the text of the file and what the system knows about it, both by one descriptor.
fn read_text(path: &Path) -> io::Result<(String, fs::Metadata)> {
    let mut text = String::new();
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    file.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 1 MiB"));
    }
    Ok((text, metadata))
}

/// The line at which the text is no TOML, and the reason.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    // The parser's message may have lines of its own.
    let what = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    format!(":{line}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::mirror::AlertChannel;
    use crate::config::mirror::DeliveryPace;
    use crate::config::mirror::DestinationConfig;
    use crate::config::mirror::FileConfig;
    use crate::config::mirror::FileFormat;
    use crate::config::mirror::FileRotation;
    use crate::config::mirror::HttpConfig;
    use crate::config::mirror::SyslogConfig;
    use crate::config::mirror::WebhookConfig;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/activity/config.toml"))
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err("the config is wrong")
    }

    #[test]
    fn every_key_is_known() {
        let config = parse(include_str!("every_key.toml")).unwrap();
        assert_eq!(config.db.as_deref(), Some(Path::new("/var/lib/activity/activity.db")));
        assert_eq!(config.tz, Zone::parse("Africa/Johannesburg").ok());
        assert_eq!(config.system_label.as_deref(), Some("(system)"));
        assert_eq!(config.site.as_deref(), Some("s2l.online"));
        assert_eq!(config.space_left, Some(256 << 20));
        let days = |days: u64| Span::from_seconds(days * 86_400);
        let rules = vec![("action:cron.*".to_owned(), days(30))];
        assert_eq!(config.retention, RetentionConfig { keep: Some(days(365)), rules });
    }

    #[test]
    fn every_key_of_mirrors_and_alerts_is_read() {
        let config = parse(include_str!("every_key.toml")).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let papertrail = MirrorConfig {
            name: "papertrail".to_owned(),
            query: "severity:medium -action:user.view".to_owned(),
            identifier: text("s2l.online"),
            from_now: false,
            direct: false,
            pace: DeliveryPace { enabled: true, ..DeliveryPace::default() },
            destination: DestinationConfig::Syslog(SyslogConfig {
                address: "tls://logs.example.org:6514".to_owned(),
                framing: text("octets"),
                facility: text("authpriv"),
                app: text("activity"),
                sd: text("TOKEN@41058"),
                ca_file: Some(PathBuf::from("/etc/activity/logs-ca.pem")),
            }),
        };
        let bucket = MirrorConfig {
            name: "bucket".to_owned(),
            query: String::new(),
            identifier: None,
            from_now: true,
            direct: true,
            pace: DeliveryPace {
                enabled: false,
                batch: Some(500),
                attempts: Some(3),
                wait: Some(Span::from_seconds(1)),
                timeout: Some(Span::from_seconds(10)),
            },
            destination: DestinationConfig::Http(HttpConfig {
                webhook: WebhookConfig {
                    url: "https://example.org/events".to_owned(),
                    headers: vec![("Authorization".to_owned(), "Bearer x".to_owned())],
                },
                ca_file: Some(PathBuf::from("/etc/activity/bucket-ca.pem")),
                user: text("audit"),
                password_file: Some(PathBuf::from("/etc/activity/bucket.password")),
                token_file: Some(PathBuf::from("/etc/activity/bucket.token")),
                signature_key_file: Some(PathBuf::from("/etc/activity/bucket.key")),
                gzip: true,
            }),
        };
        let archive = MirrorConfig {
            name: "archive".to_owned(),
            identifier: None,
            query: String::new(),
            from_now: false,
            destination: DestinationConfig::File(FileConfig {
                path: PathBuf::from("/var/log/activity/events.jsonl"),
                format: FileFormat::JsonLines,
                rotation: Some(FileRotation::Size(100 << 20)),
            }),
            ..papertrail.clone()
        };
        assert_eq!(config.mirrors, [papertrail, bucket, archive]);
        let settings = AlertConfig {
            name: "settings".to_owned(),
            query: "action:settings.write target:security*".to_owned(),
            channel: AlertChannel::Mail(vec!["ops@example.org".to_owned()]),
            every: Some(Span::from_seconds(300)),
            pace: DeliveryPace { enabled: true, ..DeliveryPace::default() },
        };
        assert_eq!(config.alerts, [settings]);
    }

    #[test]
    fn every_key_of_the_digest_is_read() {
        let digest = parse(include_str!("every_key.toml")).unwrap().digest;
        let path = |path: &str| Some(PathBuf::from(path));
        let text = |text: &str| Some(text.to_owned());
        let wanted = DigestConfig {
            from: text("Site activity <notifications@example.org>"),
            to: vec!["ops@example.org".to_owned(), "Hello <hello@example.org>".to_owned()],
            transport: text("sendgrid"),
            subject: text("{{ site }}: {{ total }} events on {{ day }}"),
            templates: path("/etc/activity/templates"),
            attempts: Some(4),
            wait: Some(Span::from_seconds(2)),
            top: Some(5),
            per_kind: Some(20),
            total: Some(100),
            sendgrid_key_file: path("/etc/activity/sendgrid.key"),
            sendgrid_url: text("https://api.sendgrid.com"),
            smtp_url: text("smtps://user@mail.example.org:465"),
            smtp_password_file: path("/etc/activity/smtp.password"),
            sendmail_command: Some(["/usr/sbin/sendmail", "-t", "-i"].map(str::to_owned).to_vec()),
            kinds: vec![("Sign-ins".to_owned(), "action:auth.login,magic.*".to_owned())],
        };
        assert_eq!(digest, wanted);
        let digest = parse("[digest]\ntemplates = 'mine'\n").unwrap().digest;
        assert_eq!(digest.templates, path("/etc/activity/mine"));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        assert_eq!(refused("dd = 'x'"), ": dd: unknown key, did you mean db?");
        assert_eq!(
            refused("[digest]\ntoo = ['a@b.c']"),
            ": digest.too: unknown key, did you mean to?"
        );
        assert_eq!(refused("[digest.smtp]\nhost = 'x'"), ": digest.smtp.host: unknown key");
        assert_eq!(refused("[retentoin]"), ": retentoin: unknown key, did you mean retention?");
        assert_eq!(
            refused(
                "[[retention.rule]]\nquery = 'action:x'\nkeep = '1d'\n[[retention.rule]]\nkep = '2d'"
            ),
            ": retention.rule[2].kep: unknown key, did you mean keep?"
        );
        assert_eq!(
            refused("[[mirror]]\nname = 'a'\ntype = 'file'\naddress = 'udp://x'"),
            ": mirror.a.address: not a key of type \"file\""
        );
        assert_eq!(
            refused("[[mirror]]\nname = 'a'\ntype = 'syslog'"),
            ": mirror.a: address is missing"
        );
        assert_eq!(
            refused("[[mirror]]\nname = 'a'\ntype = 'file'\npath = 'x'\nrotate = 'weekly'"),
            ": mirror.a.rotate: \"weekly\" is none of daily, monthly and a size like 100MiB"
        );
    }

    #[test]
    fn a_name_belongs_to_one_mirror_or_alert() {
        let mirror = "[[mirror]]\nname = 'a'\ntype = 'file'\npath = 'x'\n";
        let taken = ": a second mirror or alert is called \"a\"";
        assert_eq!(refused(&format!("{mirror}{mirror}")), format!(": mirror.a.name{taken}"));
        let alert = "[[alert]]\nname = 'a'\nmail = ['x@y.org']";
        assert_eq!(refused(&format!("{mirror}{alert}")), format!(": alert.a.name{taken}"));
        let long = "n".repeat(65);
        let long = refused(&format!("[[mirror]]\nname = '{long}'\ntype = 'file'\npath = 'x'\n"));
        assert!(long.ends_with(".name: longer than 64 bytes"), "{long}");
    }

    #[test]
    fn an_alert_goes_one_way() {
        assert_eq!(
            refused("[[alert]]\nname = 'a'"),
            ": alert.a: one of mail, slack and command is missing"
        );
        assert_eq!(
            refused("[[alert]]\nname = 'a'\nmail = ['x@y.org']\ncommand = ['true']"),
            ": alert.a: mail and command do not go together: an alert goes one way"
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_named() {
        assert_eq!(refused("db = 3"), ": db: must be text, not an integer");
        assert_eq!(refused("db = ''"), ": db: must not be empty");
        assert_eq!(refused("digest = 3"), ": digest: must be a table, not an integer");
        assert_eq!(refused("mirror = 3"), ": mirror: must be a list of tables, not an integer");
        assert_eq!(refused("[digest]\nto = ['a', 3]"), ": digest.to: must be a list of texts");
        assert_eq!(refused("[digest]\ntop = -1"), ": digest.top: must be a whole number from 1 up");
        assert_eq!(
            refused("[digest]\ntransport = 'pigeon'"),
            ": digest.transport: \"pigeon\" is none of sendgrid, smtp and sendmail"
        );
        assert_eq!(
            refused("space_left = '12 parsecs'"),
            ": space_left: \"12 parsecs\" is not a size like 256MiB"
        );
        assert!(
            refused("tz = 'Mars/Olympus'").starts_with(": tz: \"Mars/Olympus\" is not a time zone")
        );
        assert!(
            refused("[retention]\nkeep = 'long'")
                .starts_with(": retention.keep: \"long\" is not a dur")
        );
    }

    #[test]
    fn an_error_of_toml_names_its_line() {
        assert!(refused("db = 'x'\ntz = \n").starts_with(":2: "));
        assert!(refused("db = 'x'\ndb = 'y'\n").starts_with(":2: "));
    }

    #[test]
    fn what_is_wrong_about_roles_is_named() {
        let wrong = |text: &str| refused(&format!("[access]\n{text}"));
        assert_eq!(
            wrong("default_role = 'vewer'"),
            ": access.default_role: \"vewer\" is no role, did you mean viewer?"
        );
        assert_eq!(
            wrong("users = { bob = 'bookkeeper' }"),
            ": access.users.\"bob\": \"bookkeeper\" is no role"
        );
        assert_eq!(
            wrong("users = { bob = { role = 'viewer', id = '17' } }"),
            ": access.users.\"bob\".id: unknown key"
        );
        assert_eq!(
            wrong("users = { bob = { actor_id = '17' } }"),
            ": access.users.\"bob\": role is missing"
        );
        assert_eq!(
            wrong("users = { bob = { role = 'viewer', only = 'days:3' } }"),
            ": access.users.\"bob\".only: \"days:3\" has since, until or days, which a query in the \
             config has not"
        );
        assert_eq!(
            wrong("roles = { auditor = ['list-all', 'exprt'] }"),
            ": access.roles.\"auditor\": \"exprt\" is no capability, did you mean export?"
        );
        assert_eq!(
            wrong("roles = { auditor = { only = 'tenant:a' } }"),
            ": access.roles.\"auditor\": capabilities is missing"
        );
        assert_eq!(wrong("users = ['bob']"), ": access.users: must be a table, not a list");
        assert_eq!(
            wrong("ingest = { as_other = true }"),
            ": access.ingest.as_other: unknown key, did you mean as_others?"
        );
    }

    #[test]
    fn a_user_is_found_with_the_line_that_names_them() {
        let config = parse(
            "db = 'x'\n[access]\ndefault_role = 'viewer'\n[access.users]\n\n\
             alice = 'administrator'\n[access.users.bob]\nrole = 'editor'\nactor_id = '17'\n",
        );
        let policy = config.unwrap().access.unwrap();
        assert_eq!(policy.default_role, Some(("viewer".to_owned(), 3)));
        let members: Vec<_> = policy
            .members
            .iter()
            .map(|member| (member.user.as_str(), member.actor_id.as_deref(), member.line))
            .collect();
        assert_eq!(members, [("alice", None, 6), ("bob", Some("17"), 7)]);
    }

    #[test]
    fn a_path_is_meant_from_where_the_config_lies() {
        let config = parse("db = 'log.db'").unwrap();
        assert_eq!(config.db.as_deref(), Some(Path::new("/etc/activity/log.db")));
    }
}
