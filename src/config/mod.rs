//! The config as it is written: TOML, in which nothing unknown or misspelt passes.
//!
//! Every key is checked, those of commands that this run is not about too: a config that one command
//! takes, every command takes. What the values mean together is decided in `settings`; roles, mail
//! and mirrors read their own parts.

mod keys;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::failure::{Exit, Failure};
use crate::time::Zone;

/// No config that a person wrote is longer; a device that never ends is not read for ever.
const LONGEST: u64 = 1 << 20;

/// What the config says. What it leaves open is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub db: Option<PathBuf>,
    pub tz: Option<Zone>,
    pub system_label: Option<String>,
    /// Below so many bytes that are left beside the log it is time to warn.
    pub space_left: Option<u64>,
}

impl Config {
    /// Reads a config file.
    ///
    /// # Errors
    /// [`Exit::Config`] for what is written in it; [`Exit::NoInput`] where there is none, and
    /// [`Exit::NoPermission`] where it cannot be read: the rules in it would be passed over.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = text_of(path).map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => Exit::NoInput,
                io::ErrorKind::PermissionDenied => Exit::NoPermission,
                io::ErrorKind::InvalidData => Exit::Config,
                _ => Exit::Io,
            };
            let what = format!("cannot read the config {}", path.display());
            anyhow::Error::new(error).context(Failure::new(exit, what))
        })?;
        // A path in it is meant from where the config lies, wherever the program is called.
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder)
            .map_err(|why| Failure::new(Exit::Config, format!("{}{why}", path.display())).into())
    }

    /// Checks and reads the text of a config that lies in `folder`. The error begins with the place
    /// in the file: `: KEY: …` or `:LINE: …`.
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
        keys::check(&table).map_err(|why| format!(": {why}"))?;
        let string = |key: &str| table.get(key).and_then(Value::as_str);
        Ok(Self {
            db: string("db").map(|db| folder.join(db)),
            tz: string("tz").and_then(|name| Zone::parse(name).ok()),
            system_label: string("system_label").map(str::to_owned),
            space_left: string("space_left").and_then(|size| keys::size(size).ok()),
        })
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 1 MiB"));
    }
    Ok(text)
}

/// Where the text stops being TOML, and why.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    // The parser's message may have lines of its own.
    let what = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    format!(":{line}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/activity"))
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err("the config is wrong")
    }

    #[test]
    fn every_key_of_the_contract_is_known() {
        let config = parse(include_str!("contract.toml")).unwrap();
        assert_eq!(config.db.as_deref(), Some(Path::new("/var/lib/activity/activity.db")));
        assert_eq!(config.tz, Zone::parse("Africa/Johannesburg").ok());
        assert_eq!(config.system_label.as_deref(), Some("(system)"));
        assert_eq!(config.space_left, Some(256 << 20));
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
    fn what_is_no_toml_is_told_with_its_line() {
        assert!(refused("db = 'x'\ntz = \n").starts_with(":2: "));
        assert!(refused("db = 'x'\ndb = 'y'\n").starts_with(":2: "));
    }

    #[test]
    fn roles_are_never_passed_over() {
        assert_eq!(
            refused("[access]\ndefault_role = 'viewer'"),
            ": access: roles are not supported by this version, so nothing may be read or written"
        );
    }

    #[test]
    fn a_path_is_meant_from_where_the_config_lies() {
        let config = parse("db = 'log.db'").unwrap();
        assert_eq!(config.db.as_deref(), Some(Path::new("/etc/activity/log.db")));
    }
}
