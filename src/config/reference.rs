//! Every key of the config with what it is for, an example and its default: the text that
//! `activity help config` shows and `activity config init` writes.
//!
//! A test holds this table against the schema, in both directions.

/// A key of the config, as people are told of it.
pub(crate) struct ConfigKeyReference {
    /// The table that it stands in, as its header is written; empty at the top.
    pub section: &'static str,
    pub name: &'static str,
    /// A value in TOML.
    pub example: &'static str,
    pub about: &'static str,
}

const fn key(
    section: &'static str,
    name: &'static str,
    example: &'static str,
    about: &'static str,
) -> ConfigKeyReference {
    ConfigKeyReference { section, name, example, about }
}

/// The sections in the order of the file, each with what it is for.
pub(crate) const SECTIONS: [(&str, &str); 13] = [
    ("", "The log"),
    ("[queries]", "Saved queries: @night stands for the query, wherever one can stand"),
    ("[digest]", "The daily mail"),
    ("[digest.sendgrid]", "Mail by SendGrid"),
    ("[digest.smtp]", "Mail by an SMTP server"),
    ("[digest.sendmail]", "Mail by this host's own mailer"),
    (
        "[digest.kinds]",
        "Kinds of activity in the mail, tried before the built-in ones, in this order",
    ),
    ("[retention]", "How long events are kept; without it nothing is removed"),
    ("[[retention.rule]]", "Other times for some events; the first rule that matches decides"),
    ("[access]", "Who may read what; without it, whoever can open the log may do everything"),
    ("[access.ingest]", "Who may record for whom"),
    ("[[mirror]]", "A copy of the log elsewhere, kept up by `activity mirror`"),
    ("[[alert]]", "A message about some events, sent by `activity mirror`"),
];

/// Every key, in the order of the file.
pub(crate) const KEYS: &[ConfigKeyReference] = &[
    key("", "db", "\"/var/lib/activity/activity.db\"", "the log; --db and ACTIVITY_DB come first"),
    key(
        "",
        "central",
        "\"postgres://audit@central.example.org/activity\"",
        "the central store that --central reads",
    ),
    key("", "tz", "\"Africa/Johannesburg\"", "the zone of times; default: the host's"),
    key("", "site", "\"s2l.online\"", "names the log in the digest; default: the host's name"),
    key("", "system_label", "\"(system)\"", "stands for the actor of system events; the default"),
    key("", "space_left", "\"256MiB\"", "warn below so much free space; the default"),
    key("[queries]", "night", "\"action:auth.* is:failed\"", "any name; the query has no times"),
    key(
        "[digest]",
        "from",
        "\"Site activity <notifications@example.org>\"",
        "the sender; needed for a mail",
    ),
    key("[digest]", "to", "[\"ops@example.org\"]", "the recipients; needed for a mail"),
    key("[digest]", "transport", "\"sendmail\"", "sendgrid, smtp or sendmail; needed for a mail"),
    key(
        "[digest]",
        "subject",
        "\"{{ site }}: {{ total }} events on {{ day }}\"",
        "a template; the docs list the variables",
    ),
    key("[digest]", "templates", "\"/etc/activity/templates\"", "own digest.html and digest.txt"),
    key("[digest]", "attempts", "4", "tries of one send; the default"),
    key("[digest]", "wait", "\"2s\"", "before the second try, then twice as long; the default"),
    key("[digest]", "top", "5", "people named; the default"),
    key("[digest]", "total", "100", "events listed in all; the default"),
    key("[digest]", "per_kind", "20", "events listed under one kind; the default"),
    key(
        "[digest.sendgrid]",
        "api_key_file",
        "\"/etc/activity/sendgrid.key\"",
        "mode 0600; or SENDGRID_API_KEY",
    ),
    key("[digest.sendgrid]", "base_url", "\"https://api.sendgrid.com\"", "the default"),
    key(
        "[digest.smtp]",
        "url",
        "\"smtps://user@mail.example.org:465\"",
        "or smtp://, with STARTTLS where it is offered",
    ),
    key(
        "[digest.smtp]",
        "password_file",
        "\"/etc/activity/smtp.password\"",
        "mode 0600; or ACTIVITY_SMTP_PASSWORD",
    ),
    key(
        "[digest.sendmail]",
        "command",
        "[\"/usr/sbin/sendmail\", \"-t\", \"-i\"]",
        "takes the mail on standard input; the default",
    ),
    key("[digest.kinds]", "\"Sign-ins\"", "\"action:auth.login,magic.*\"", "any name, and a query"),
    key("[retention]", "keep", "\"365d\"", "s, m, h, d, w or y"),
    key("[[retention.rule]]", "query", "\"action:cron.*\"", "without times"),
    key("[[retention.rule]]", "keep", "\"30d\"", "as above"),
    key("[access]", "default_role", "\"viewer\"", "of callers who are not named; absent: none"),
    key(
        "[access]",
        "users",
        "{ alice = \"administrator\", bob = { role = \"editor\", actor_id = \"17\" } }",
        "roles of users, and who they are in the log",
    ),
    key(
        "[access]",
        "roles",
        "{ auditor = [\"list-all\", \"show-any\", \"export\"] }",
        "roles beside administrator, editor and viewer",
    ),
    key("[access.ingest]", "as_others", "false", "whether callers may name another actor"),
    key("[[mirror]]", "name", "\"papertrail\"", "needed; its place in the log goes by it"),
    key(
        "[[mirror]]",
        "type",
        "\"syslog\"",
        "needed: file, syslog, http, loggly, slack, cloudwatch, postgres or clickhouse",
    ),
    key("[[mirror]]", "query", "\"severity:medium\"", "what it gets; absent: everything"),
    key("[[mirror]]", "identifier", "\"s2l.online\"", "in its lines; default: the tenant, or site"),
    key("[[mirror]]", "batch", "500", "events sent at once"),
    key("[[mirror]]", "attempts", "3", "tries of one run"),
    key("[[mirror]]", "wait", "\"1s\"", "before the second try, then twice as long"),
    key("[[mirror]]", "timeout", "\"10s\"", "of one try"),
    key("[[mirror]]", "enabled", "true", "false keeps its place and sends nothing"),
    key("[[mirror]]", "start", "\"now\"", "begin with the next event; absent: with the oldest"),
    key("[[mirror]]", "direct", "false", "also send right after each ingest"),
    key("[[mirror]]", "path", "\"/var/log/activity/events.log\"", "file: needed"),
    key("[[mirror]]", "format", "\"mirror\"", "file: mirror or jsonl"),
    key("[[mirror]]", "rotate", "\"100MiB\"", "file: a size, daily or monthly"),
    key(
        "[[mirror]]",
        "address",
        "\"tls://logs.example.org:6514\"",
        "syslog: needed; unix:/dev/log, udp://, tcp:// or tls://",
    ),
    key("[[mirror]]", "framing", "\"octets\"", "syslog over tcp and tls: octets or lines"),
    key("[[mirror]]", "facility", "\"authpriv\"", "syslog; default: user"),
    key("[[mirror]]", "app", "\"activity\"", "syslog; the default"),
    key("[[mirror]]", "sd", "\"TOKEN@41058\"", "syslog: one more element of structured data"),
    key("[[mirror]]", "url", "\"https://example.org/events\"", "needed by all types from http on"),
    key("[[mirror]]", "headers", "{ Authorization = \"Bearer x\" }", "http, loggly, slack"),
    key(
        "[[mirror]]",
        "ca_file",
        "\"/etc/ssl/own-ca.pem\"",
        "authorities to trust instead of the host's",
    ),
    key("[[mirror]]", "user", "\"audit\"", "who signs in there"),
    key("[[mirror]]", "password_file", "\"/etc/activity/mirror.password\"", "mode 0600"),
    key("[[mirror]]", "token_file", "\"/etc/activity/mirror.token\"", "mode 0600"),
    key(
        "[[mirror]]",
        "signature_key_file",
        "\"/etc/activity/mirror.key\"",
        "http: signs each body",
    ),
    key("[[mirror]]", "gzip", "false", "compress what is sent"),
    key("[[mirror]]", "region", "\"eu-west-1\"", "cloudwatch"),
    key("[[mirror]]", "group", "\"audit\"", "cloudwatch: needed"),
    key("[[mirror]]", "stream", "\"web1\"", "cloudwatch"),
    key("[[mirror]]", "endpoint", "\"https://logs.example.org\"", "cloudwatch: another address"),
    key("[[mirror]]", "table", "\"activity.event\"", "postgres, clickhouse"),
    key("[[alert]]", "name", "\"settings\"", "needed"),
    key("[[alert]]", "query", "\"action:settings.write\"", "which events; absent: all"),
    key("[[alert]]", "mail", "[\"ops@example.org\"]", "one of mail, slack and command is needed"),
    key("[[alert]]", "slack", "\"https://hooks.slack.com/services/x\"", "an incoming webhook"),
    key("[[alert]]", "command", "[\"/usr/local/bin/page\"]", "gets JSON Lines on standard input"),
    key("[[alert]]", "every", "\"5m\"", "at most one message in that time"),
    key("[[alert]]", "batch", "100", "events in one message"),
    key("[[alert]]", "attempts", "3", "tries of one run"),
    key("[[alert]]", "wait", "\"1s\"", "before the second try, then twice as long"),
    key("[[alert]]", "timeout", "\"10s\"", "of one try"),
    key("[[alert]]", "enabled", "true", "false keeps its place and sends nothing"),
];

/// Returns a config in which every key is explained and left out, `#` in front of it.
pub(crate) fn commented_config() -> String {
    let mut text = String::from(
        "# The config of `activity`. Take the # off a line to set it; each line shows an example.\n\
         # An unknown key is an error. `activity config` shows what holds, `activity doctor` whether\n\
         # all is well. Keys and passwords have files of their own, mode 0600.\n",
    );
    for (header, about) in SECTIONS {
        text.push_str(&format_section(header, about));
    }
    text
}

/// Returns one section, every line of it commented out.
fn format_section(header: &str, about: &str) -> String {
    let mut text = format!("\n# {about}.\n");
    if !header.is_empty() {
        text = format!("{text}#{header}\n");
    }
    for key in KEYS.iter().filter(|key| key.section == header) {
        let line = format!("#{} = {}", key.name, key.example);
        let gap = " ".repeat(46_usize.saturating_sub(line.len()).max(2));
        text = format!("{text}{line}{gap}# {}\n", key.about);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::schema;

    #[test]
    fn every_key_of_the_schema_is_explained_and_no_other() {
        let known: BTreeSet<String> = schema::key_paths().into_iter().collect();
        let explained: BTreeSet<String> = KEYS
            .iter()
            .map(|key| {
                let section = key.section.trim_matches(['[', ']']);
                let name = match section {
                    "queries" | "digest.kinds" => "*",
                    _ => key.name,
                };
                if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
            })
            .collect();
        assert_eq!(explained, known);
    }

    #[test]
    fn every_section_is_in_the_list() {
        for key in KEYS {
            assert!(SECTIONS.iter().any(|(header, _)| *header == key.section), "{}", key.section);
        }
    }

    #[test]
    fn what_is_written_is_a_config_without_keys() {
        let config = Config::parse(&commented_config(), Path::new("/etc/activity")).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn without_its_marks_it_is_a_config() {
        // Keys of one mirror exclude each other; their names are compared above.
        let is_taken =
            |header: &str| !header.starts_with("[[mirror") && !header.starts_with("[[alert");
        let mut text = String::new();
        for (header, _) in SECTIONS.iter().filter(|(header, _)| is_taken(header)) {
            text = format!("{text}{header}\n");
            for key in KEYS.iter().filter(|key| key.section == *header) {
                text = format!("{text}{} = {}\n", key.name, key.example);
            }
        }
        Config::parse(&text, Path::new("/etc/activity")).unwrap();
    }
}
