//! The pages of `activity help TOPIC` and the sections that manual pages share.
//!
//! They are made from the tables that the program itself goes by, so they say what it does. Each
//! begins with examples and is at most 80 columns wide.

mod pages;
mod roff;

use crate::query::saved::SavedQueries;

pub(crate) use crate::manual::roff::shared_sections;

/// The subject of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HelpTopic {
    Query,
    Times,
    Fields,
    Formats,
    Config,
    ExitCodes,
}

impl HelpTopic {
    pub(crate) const ALL: [Self; 6] =
        [Self::Query, Self::Times, Self::Fields, Self::Formats, Self::Config, Self::ExitCodes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Times => "times",
            Self::Fields => "fields",
            Self::Formats => "formats",
            Self::Config => "config",
            Self::ExitCodes => "exit-codes",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Query => "the language of filters, and saved queries",
            Self::Times => "times and durations as people type them",
            Self::Fields => "the fields of an event, and other names for them",
            Self::Formats => "what `ingest` reads and `export` writes",
            Self::Config => "every key of the config",
            Self::ExitCodes => "what the exit status means",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Returns the page. `saved` are the caller's saved queries, for the page on queries.
    pub(crate) fn page(self, saved: &SavedQueries) -> String {
        match self {
            Self::Query => pages::query(saved),
            Self::Times => pages::times(),
            Self::Fields => pages::fields(),
            Self::Formats => pages::formats(),
            Self::Config => pages::config(),
            Self::ExitCodes => pages::exit_codes(),
        }
    }
}

/// The variables that the program reads, and what each does.
pub(crate) const VARIABLES: [(&str, &str); 32] = [
    ("ACTIVITY_DB", "the log, as --db"),
    ("ACTIVITY_CONFIG", "the config, as --config"),
    ("ACTIVITY_TZ", "the zone of times, as --tz"),
    ("ACTIVITY_PAGER", "the pager; empty for none"),
    ("ACTIVITY_SMTP_PASSWORD", "the password of the SMTP server"),
    ("SENDGRID_API_KEY", "the key of SendGrid"),
    ("AWS_ACCESS_KEY_ID", "credentials of cloudwatch"),
    ("AWS_SECRET_ACCESS_KEY", "the same"),
    ("AWS_SESSION_TOKEN", "the same"),
    ("AWS_PROFILE", "a profile in the files of AWS"),
    ("AWS_CONFIG_FILE", "where such a file is"),
    ("AWS_SHARED_CREDENTIALS_FILE", "where such a file is"),
    ("AWS_REGION", "the region of cloudwatch"),
    ("AWS_DEFAULT_REGION", "the same, after AWS_REGION"),
    ("CLICKHOUSE_USER", "who signs in to clickhouse"),
    ("CLICKHOUSE_PASSWORD", "their password"),
    ("PGPASSFILE", "passwords of postgres, else ~/.pgpass"),
    ("PGPASSWORD", "the password of postgres"),
    ("PAGER", "the pager where ACTIVITY_PAGER is not set; else less -FRX"),
    ("NO_COLOR", "no colour, whatever its value"),
    ("CLICOLOR_FORCE", "colour also where the output is no terminal"),
    ("COLUMNS", "the width of the page"),
    ("TERM", "the terminal; a dumb one gets no colour"),
    ("LC_ALL", "the locale: which signs can be drawn"),
    ("LC_CTYPE", "the same, after LC_ALL"),
    ("LANG", "the same, after LC_CTYPE"),
    ("TZ", "the host's zone"),
    ("XDG_CONFIG_HOME", "where your own config is, else ~/.config"),
    ("XDG_DATA_HOME", "where your own log is, else ~/.local/share"),
    ("HOME", "your home"),
    ("SUDO_UID", "who called sudo"),
    ("SSH_ORIGINAL_COMMAND", "what `activity gate` is asked to run"),
];

/// The files that the program reads and writes.
const FILES: [(&str, &str); 6] = [
    ("/etc/activity/config.toml", "the config of the host"),
    ("~/.config/activity/config.toml", "your own, where the host has none"),
    ("/var/lib/activity/activity.db", "the log of the host"),
    ("~/.local/share/activity/activity.db", "your own, where you cannot read the host's"),
    ("LOG-wal, LOG-shm", "the newest events, beside the log: part of it"),
    ("LOG.lock, LOG.reserve", "keep runs apart; room for a sweep on a full disk"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::settings::Environment;

    #[test]
    fn every_variable_is_explained() {
        let known: BTreeSet<&str> = Environment::KNOWN.into_iter().collect();
        let explained: BTreeSet<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(explained, known);
    }

    #[test]
    fn pages_are_narrow_and_begin_with_examples() {
        let pair = ("night".to_owned(), "action:auth.* is:failed".to_owned());
        let saved = [pair].into_iter().collect();
        for topic in HelpTopic::ALL {
            let page = topic.page(&saved);
            for line in page.lines() {
                assert!(crate::text::width(line) <= 80, "{}: {line}", topic.name());
                assert_eq!(line, line.trim_end(), "{}", topic.name());
            }
            assert!(page.lines().take(4).any(|line| line.starts_with("  ")), "{page}");
            assert!(page.lines().count() <= 120, "{}: {}", topic.name(), page.lines().count());
        }
    }

    #[test]
    fn the_page_on_queries_has_every_qualifier_and_the_saved_ones() {
        let pair = ("night".to_owned(), "action:auth.* is:failed".to_owned());
        let page = HelpTopic::Query.page(&[pair].into_iter().collect());
        for qualifier in &crate::query::QUALIFIERS {
            assert!(page.contains(&format!("\n  {}:", qualifier.name)), "{}", qualifier.name);
        }
        assert!(page.contains("@night  action:auth.* is:failed"), "{page}");
    }
}
