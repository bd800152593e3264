//! The settings of a run: a flag wins over the environment, that over the config, that over the
//! default. Each value carries its origin. No other module reads the environment.
//!
//! A value is computed on request, so a run that takes in one event looks up no zone.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use crate::access::AccessPolicy;
use crate::access::GrantSource;
use crate::access::Permissions;
use crate::access::Person;
use crate::caller::Caller;
use crate::caller::Elevation;
use crate::config::Config;
use crate::config::StoreAddress;
use crate::failure::{Exit, Failure};
use crate::lent_rights::FileRights;
use crate::text;
use crate::time::Zone;

const SYSTEM_LOG: &str = "/var/lib/activity/activity.db";
const SYSTEM_CONFIG: &str = "/etc/activity/config.toml";
/// Enough space for a busy day, and for the sweep that frees more.
const DEFAULT_SPACE_LEFT: u64 = 256 << 20;

/// When to colour the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Colour {
    #[default]
    Auto,
    Always,
    Never,
}

/// The flags that every command has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub db: Option<PathBuf>,
    /// Whether the central store of the config is read.
    pub central: bool,
    pub config: Option<PathBuf>,
    pub tz: Option<String>,
    pub colour: Colour,
    pub quiet: bool,
    pub no_pager: bool,
    /// A role that the call itself gives, on behalf of somebody who may do less.
    pub role: Option<CallRole>,
}

/// A role that the call itself gives.
#[derive(Clone, Debug)]
pub(crate) struct CallRole {
    pub name: String,
    /// Who has it, in the log; absent where the caller has.
    pub own_id: Option<String>,
}

impl Overrides {
    /// Returns these flags, and those of the other where these say nothing. The other can name no
    /// file.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            tz: other.tz.or(self.tz),
            colour: other.colour,
            quiet: self.quiet || other.quiet,
            ..self
        }
    }
}

/// The variables that the program knows.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: Vec<(&'static str, OsString)>,
}

impl Environment {
    pub(crate) const KNOWN: [&'static str; 32] = [
        "ACTIVITY_CONFIG",
        "ACTIVITY_DB",
        "ACTIVITY_PAGER",
        "ACTIVITY_SMTP_PASSWORD",
        "ACTIVITY_TZ",
        "AWS_ACCESS_KEY_ID",
        "AWS_CONFIG_FILE",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
        "CLICKHOUSE_PASSWORD",
        "CLICKHOUSE_USER",
        "CLICOLOR_FORCE",
        "COLUMNS",
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "NO_COLOR",
        "PAGER",
        "PGPASSFILE",
        "PGPASSWORD",
        "SENDGRID_API_KEY",
        "SSH_ORIGINAL_COMMAND",
        "SUDO_UID",
        "TERM",
        "TZ",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
    ];

    /// Reads the variables of this process.
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub(crate) fn read() -> Self {
        let variable = |name| Some((name, env::var_os(name)?));
        Self { variables: Self::KNOWN.into_iter().filter_map(variable).collect() }
    }

    /// An environment of these variables alone.
    #[cfg(test)]
    pub(crate) fn with(variables: &[(&'static str, &str)]) -> Self {
        Self { variables: variables.iter().map(|(name, value)| (*name, value.into())).collect() }
    }

    /// The variable of that name; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    fn raw(&self, name: &str) -> Option<&OsStr> {
        debug_assert!(Self::KNOWN.contains(&name), "{name} is never read");
        let found = self.variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// The variable of that name, where it is UTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }
}

/// Shows the names only: some values are keys.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}

/// The origin of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    Config,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Config => f.write_str("config"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    pub value: T,
    pub origin: Origin,
}

/// The settings of this run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub environment: Environment,
    pub colour: Colour,
    pub quiet: bool,
    pub no_pager: bool,
    /// The config that was read, if there is one.
    pub config_file: Option<Sourced<PathBuf>>,
    pub config: Config,
    /// Who may do what; absent where whoever can open the log may do everything.
    pub policy: Option<AccessPolicy>,
    /// What the caller may do.
    pub permissions: Permissions,
    /// The rights with which files are opened that the caller names.
    pub rights: FileRights,
    /// Whether the system's config gives the caller rights that are not theirs: then no other log than
    /// that one's is theirs to read.
    is_bound_to_system: bool,
    db: Option<PathBuf>,
    central: bool,
    tz: Option<String>,
}

/// Where events are read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LogLocation {
    /// A log of this host.
    File(PathBuf),
    Store(StoreAddress),
}

impl Settings {
    /// Returns the settings without a config.
    pub(crate) fn without_config(flags: Overrides, environment: Environment) -> Self {
        Self::new(flags, environment, None, Config::default())
    }

    /// Finds and reads the config, and keeps the flags and the environment. Where the caller has
    /// rights that are not theirs, the system's config alone says who may do what.
    ///
    /// # Errors
    /// Those of [`Config::read`]. A missing config is an error only where a flag or a variable
    /// names it. [`Exit::NoPermission`] if a caller with lent rights names a log or a config, and
    /// [`Exit::Config`] if no roles guard a set-group-ID program.
    pub(crate) fn resolve(
        flags: Overrides,
        environment: Environment,
        caller: &Caller,
    ) -> Result<Self> {
        let role = flags.role.clone();
        let mut settings = Self::resolve_at(flags, environment, caller, Path::new(SYSTEM_CONFIG))?;
        if let Some(CallRole { name, own_id }) = role {
            let policy = settings.policy.clone().unwrap_or_default();
            if !policy.has_role(&name) {
                let message = format!("--as: {} is no role", text::escape(&name));
                let hint = policy.role_names().collect::<Vec<_>>().join(", ");
                return Err(Failure::new(Exit::Usage, message).hint(hint).into());
            }
            let own_id = own_id.unwrap_or_else(|| caller.person().name.clone());
            settings.permissions.narrow(policy.grant(&name, &own_id, GrantSource::Call));
        }
        Ok(settings)
    }

    fn resolve_at(
        flags: Overrides,
        environment: Environment,
        caller: &Caller,
        system: &Path,
    ) -> Result<Self> {
        let elevation = caller.elevation()?;
        let person = Person { name: &caller.person().name, is_root: caller.is_root() };
        if elevation != Elevation::None {
            let roles = match system.symlink_metadata() {
                Err(error) if is_absent(&error) => None,
                _ => Config::read(system)?.access,
            };
            if let Some(policy) = roles {
                let permissions = policy.permissions(&person);
                if !permissions.is_administrator() {
                    refuse_named_files(&flags, &environment, system)?;
                }
                let rights = caller.own_rights();
                if elevation == Elevation::Setgid {
                    // The files beside the log are for everybody who has its group.
                    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
                }
                let settings = Self::read_config(flags, environment, &rights, system)?;
                let policy = Some(policy);
                return Ok(Self {
                    policy,
                    permissions,
                    rights,
                    is_bound_to_system: true,
                    ..settings
                });
            }
            if elevation == Elevation::Setgid {
                let message =
                    format!("installed setgid, which needs [access] in {}", system.display());
                return Err(Failure::new(Exit::Config, message)
                    .hint("take the bit off (`chmod g-s`), or say there who may do what")
                    .into());
            }
        }
        let mut settings = Self::read_config(flags, environment, &FileRights::Program, system)?;
        settings.policy = settings.config.access.take();
        if let Some(policy) = &settings.policy {
            settings.permissions = policy.permissions(&person);
            if elevation != Elevation::None {
                settings.rights = caller.own_rights();
            }
        }
        Ok(settings)
    }

    fn read_config(
        flags: Overrides,
        environment: Environment,
        rights: &FileRights,
        system: &Path,
    ) -> Result<Self> {
        let named = flag_or_variable(
            flags.config.clone().map(|path| (path, Origin::Flag("--config"))),
            environment.get("ACTIVITY_CONFIG").map(|path| (path.into(), "ACTIVITY_CONFIG")),
        );
        let (config_file, config) = match named {
            Some(file) => {
                let assumed = rights.assume()?;
                let config = Config::read(&file.value)?;
                drop(assumed);
                (Some(file), config)
            }
            None => match default_config(&environment, system)? {
                Some((path, config)) => {
                    (Some(Sourced { value: path, origin: Origin::Default }), config)
                }
                None => (None, Config::default()),
            },
        };
        Ok(Self::new(flags, environment, config_file, config))
    }

    fn new(
        flags: Overrides,
        environment: Environment,
        config_file: Option<Sourced<PathBuf>>,
        config: Config,
    ) -> Self {
        Self {
            environment,
            colour: flags.colour,
            quiet: flags.quiet,
            no_pager: flags.no_pager,
            config_file,
            config,
            policy: None,
            permissions: Permissions::unrestricted(),
            rights: FileRights::Program,
            is_bound_to_system: false,
            db: flags.db,
            central: flags.central,
            tz: flags.tz,
        }
    }

    /// Whether this call itself names the log, so that the config cannot name another.
    pub(crate) fn has_explicit_log(&self) -> bool {
        self.db.is_some() || self.environment.get("ACTIVITY_DB").is_some()
    }

    /// Where events are read: the log, or a central store that the call names.
    ///
    /// # Errors
    /// As [`Settings::host_log`]; [`Exit::Usage`] for a password in the address, or if there is no
    /// central store in the config; [`Exit::Config`] if that is no address.
    pub(crate) fn location(&self) -> Result<LogLocation, Failure> {
        let mirrors = &self.config.mirrors;
        if let Some(named) = self.named_log()
            && let Some(address) =
                named.value.to_str().and_then(|text| StoreAddress::parse(text, mirrors))
        {
            if address.has_password() {
                let message = format!("{}: the address holds a password", named.origin);
                let hint = "it belongs into ~/.pgpass, PGPASSWORD or CLICKHOUSE_PASSWORD, or the \
                            password_file of a mirror";
                return Err(Failure::new(Exit::Usage, message).hint(hint));
            }
            return Ok(LogLocation::Store(address));
        }
        if !self.central {
            return Ok(LogLocation::File(self.host_log()?.value));
        }
        let Some(url) = &self.config.central else {
            let message = "--central: the config names no central store";
            return Err(Failure::new(Exit::Usage, message)
                .hint("name it: central = \"postgres://USER@HOST/DATABASE\", or --db URL"));
        };
        let address = StoreAddress::parse(url, mirrors).ok_or_else(|| {
            let message = "config: central: must begin with postgres:// or clickhouse+https://";
            Failure::new(Exit::Config, message)
        })?;
        Ok(LogLocation::Store(address))
    }

    /// Whether the call reads a central store.
    pub(crate) fn reads_store(&self) -> bool {
        self.central || self.named_log().is_some_and(|named| is_store_address(&named.value))
    }

    /// Returns how the program is called to read what this call reads, for a mail: a central store is
    /// named, and a log of this host is the usual one.
    pub(crate) fn reading_program(&self) -> String {
        let store = self.named_log().filter(|named| is_store_address(&named.value));
        match store.as_ref().and_then(|named| named.value.to_str()) {
            Some(address) => {
                format!("activity --db '{}'", text::escape(address).replace('\'', r"'\''"))
            }
            None if self.central => "activity --central".to_owned(),
            None => "activity".to_owned(),
        }
    }

    fn named_log(&self) -> Option<Sourced<PathBuf>> {
        flag_or_variable(
            self.db.clone().map(|path| (path, Origin::Flag("--db"))),
            self.environment.get("ACTIVITY_DB").map(|path| (path.into(), "ACTIVITY_DB")),
        )
    }

    /// The path of the log, for what is done with a log of this host alone.
    ///
    /// # Errors
    /// As [`Settings::host_log`]; [`Exit::Usage`] if the call names a central store.
    pub(crate) fn db(&self) -> Result<Sourced<PathBuf>, Failure> {
        if self.reads_store() {
            let message = "a central store is only read, and this is done with the log of a host";
            return Err(Failure::new(Exit::Usage, message).hint(
                "on that host, without --central and with --db PATH if it has another place",
            ));
        }
        self.host_log()
    }

    /// The path of this host's own log, also if the call reads a central store.
    ///
    /// # Errors
    /// [`Exit::NoInput`] where nothing names a log and there is no home.
    pub(crate) fn host_log(&self) -> Result<Sourced<PathBuf>, Failure> {
        // A flag that names a store says nothing of the log that the variable names.
        let flag = self.db.clone().map(|path| (path, Origin::Flag("--db")));
        let variable = self.environment.get("ACTIVITY_DB").map(PathBuf::from);
        let variable = variable.map(|path| (path, "ACTIVITY_DB"));
        let named = flag_or_variable(
            flag.filter(|(path, _)| !is_store_address(path)),
            variable.filter(|(path, _)| !is_store_address(path)),
        );
        let configured = || {
            let value = self.config.db.clone()?;
            Some(Sourced { value, origin: Origin::Config })
        };
        match named.or_else(configured) {
            Some(db) => Ok(db),
            None => {
                let root = rustix::process::geteuid().is_root() || self.is_bound_to_system;
                let value = default_log(&self.environment, Path::new(SYSTEM_LOG), root)?;
                Ok(Sourced { value, origin: Origin::Default })
            }
        }
    }

    /// The zone in which times are read and shown.
    ///
    /// # Errors
    /// [`Exit::Usage`] for an unknown zone.
    pub(crate) fn zone(&self) -> Result<Sourced<Zone>, Failure> {
        let named = flag_or_variable(
            self.tz.clone().map(|name| (name, Origin::Flag("--tz"))),
            self.environment
                .get("ACTIVITY_TZ")
                .map(|name| (name.to_string_lossy().into_owned(), "ACTIVITY_TZ")),
        );
        if let Some(Sourced { value: name, origin }) = named {
            return match Zone::parse(&name) {
                Ok(value) => Ok(Sourced { value, origin }),
                Err(why) => Err(Failure::new(Exit::Usage, format!("{origin}: {why}"))),
            };
        }
        Ok(match self.config.tz {
            Some(value) => Sourced { value, origin: Origin::Config },
            None => {
                let value = Zone::host(self.environment.text("TZ"))
                    .map_err(|why| Failure::new(Exit::Usage, format!("TZ: {why}")))?;
                Sourced { value, origin: Origin::Default }
            }
        })
    }

    /// Returns where a new config belongs: the place that the call names, else the host's for root, else
    /// the caller's own; and whether it is the host's.
    ///
    /// # Errors
    /// [`Exit::NoInput`] where there is no home.
    pub(crate) fn place_for_config(
        &self,
        flag: Option<PathBuf>,
    ) -> Result<(PathBuf, bool), Failure> {
        let variable = || self.environment.get("ACTIVITY_CONFIG").map(PathBuf::from);
        if let Some(path) = flag.or_else(variable) {
            return Ok((path, false));
        }
        if rustix::process::geteuid().is_root() {
            return Ok((PathBuf::from(SYSTEM_CONFIG), true));
        }
        match xdg_folder(&self.environment, "XDG_CONFIG_HOME", ".config") {
            Some(folder) => Ok((folder.join("activity/config.toml"), false)),
            None => Err(Failure::new(
                Exit::NoInput,
                "HOME is not set, so there is no place for a config",
            )
            .hint("name one: --config PATH")),
        }
    }

    /// Returns the log that is the caller's own where nothing names another.
    pub(crate) fn own_log(&self) -> Option<PathBuf> {
        own_log(&self.environment)
    }

    /// The user's pager; empty where they want none.
    pub(crate) fn pager(&self) -> Option<&str> {
        let named = ["ACTIVITY_PAGER", "PAGER"];
        named.into_iter().find_map(|name| self.environment.raw(name)).and_then(OsStr::to_str)
    }

    /// The name of the log in a digest: the config's `site`, else the host's name.
    pub(crate) fn site(&self) -> String {
        self.config
            .site
            .clone()
            .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
    }

    /// The bytes below which the log's disk is nearly full.
    pub(crate) fn space_left(&self) -> Sourced<u64> {
        match self.config.space_left {
            Some(value) => Sourced { value, origin: Origin::Config },
            None => Sourced { value: DEFAULT_SPACE_LEFT, origin: Origin::Default },
        }
    }

    /// The text in the place of an actor, for a system event without one.
    pub(crate) fn system_label(&self) -> &str {
        self.config.system_label.as_deref().unwrap_or("(system)")
    }
}

fn is_store_address(named: &Path) -> bool {
    named.to_str().is_some_and(StoreAddress::is_one)
}

/// Refuses flags and variables that name another log or config than the system's.
fn refuse_named_files(
    flags: &Overrides,
    environment: &Environment,
    system: &Path,
) -> Result<(), Failure> {
    let named = [
        (flags.db.is_some(), "--db"),
        (flags.config.is_some(), "--config"),
        (environment.get("ACTIVITY_DB").is_some(), "ACTIVITY_DB"),
        (environment.get("ACTIVITY_CONFIG").is_some(), "ACTIVITY_CONFIG"),
    ];
    match named.into_iter().find(|(is_named, _)| *is_named) {
        None => Ok(()),
        Some((_, what)) => {
            let message = format!("{what} is not for callers with rights that are not their own");
            let hint =
                format!("{} names the log, and administrators may name another", system.display());
            Err(Failure::new(Exit::NoPermission, message).hint(hint))
        }
    }
}

/// The value of the flag, else that of the variable.
fn flag_or_variable<T>(
    flag: Option<(T, Origin)>,
    variable: Option<(T, &'static str)>,
) -> Option<Sourced<T>> {
    let variable = || variable.map(|(value, name)| (value, Origin::Variable(name)));
    flag.or_else(variable).map(|(value, origin)| Sourced { value, origin })
}

/// The system's log for root and for callers who can read it, else the caller's own. The effective
/// rights of the program decide.
fn default_log(environment: &Environment, system: &Path, root: bool) -> Result<PathBuf, Failure> {
    let access = rustix::fs::accessat(CWD, system, Access::READ_OK, AtFlags::EACCESS);
    if root || access.is_ok() {
        return Ok(system.to_owned());
    }
    let Some(own) = own_log(environment) else {
        return Err(Failure::new(Exit::NoInput, "no log is named, and HOME is not set to look in")
            .hint("name it: --db PATH, or ACTIVITY_DB"));
    };
    let is_refused = access == Err(Errno::ACCESS);
    if is_refused && own.symlink_metadata().is_err() {
        // What belongs into the host's log must not begin another one that nobody looks at.
        let message = format!("the log {} is not open to you", system.display());
        return Err(Failure::new(Exit::NoPermission, message)
            .hint("ask for its group, or name a log of your own: --db PATH, or ACTIVITY_DB"));
    }
    Ok(own)
}

fn own_log(environment: &Environment) -> Option<PathBuf> {
    let folder = xdg_folder(environment, "XDG_DATA_HOME", ".local/share")?;
    Some(folder.join("activity/activity.db"))
}

/// The system's config where there is one, else the caller's own. A config that exists and cannot
/// be read is an error, because its restrictions would be ignored. Only a home that is closed to
/// the caller counts as none: a service that gave up root's rights may still have root's `HOME`.
fn default_config(environment: &Environment, system: &Path) -> Result<Option<(PathBuf, Config)>> {
    let own = xdg_folder(environment, "XDG_CONFIG_HOME", ".config")
        .map(|folder| folder.join("activity/config.toml"))
        .filter(|path| path.symlink_metadata().is_ok());
    let path = match system.symlink_metadata() {
        Ok(_) => system.to_owned(),
        Err(error) if is_absent(&error) => match own {
            Some(path) => path,
            None => return Ok(None),
        },
        Err(error) => {
            let what = format!("cannot read the config {}", system.display());
            let failure = Failure::new(Exit::NoPermission, what);
            return Err(
                anyhow::Error::new(error).context(failure.hint("--config FILE names another"))
            );
        }
    };
    let config = Config::read(&path)?;
    Ok(Some((path, config)))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A folder by the XDG base directory specification, which ignores a relative path.
fn xdg_folder(environment: &Environment, variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| environment.get(name).map(Path::new).filter(|path| path.is_absolute());
    let named = absolute(variable).map(Path::to_owned);
    named.or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn environment(variables: &[(&'static str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| (*name, value.into())).collect();
        Environment { variables }
    }

    fn settings(flags: Overrides, variables: &[(&'static str, &str)], config: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, config).unwrap();
        let flags = Overrides { config: Some(path), ..flags };
        Settings::resolve(flags, environment(variables), &Caller::detect(None)).unwrap()
    }

    #[test]
    fn flag_beats_environment_beats_config() {
        let config = "db = '/config.db'\ntz = 'Asia/Tokyo'";
        let variables = [("ACTIVITY_DB", "/variable.db"), ("ACTIVITY_TZ", "Europe/Berlin")];
        let flags = Overrides {
            db: Some("/flag.db".into()),
            tz: Some("Africa/Cairo".to_owned()),
            ..Overrides::default()
        };

        let all = settings(flags, &variables, config);
        let db = all.db().unwrap();
        assert_eq!((db.value.to_str(), db.origin), (Some("/flag.db"), Origin::Flag("--db")));
        assert_eq!(all.zone().unwrap().origin, Origin::Flag("--tz"));

        let two = settings(Overrides::default(), &variables, config);
        let db = two.db().unwrap();
        assert_eq!(db.value.to_str(), Some("/variable.db"));
        assert_eq!(db.origin, Origin::Variable("ACTIVITY_DB"));
        assert_eq!(two.zone().unwrap().value, Zone::parse("Europe/Berlin").unwrap());

        let one = settings(Overrides::default(), &[], config);
        assert_eq!(one.db().unwrap().value.to_str(), Some("/config.db"));
        assert_eq!(one.zone().unwrap().value, Zone::parse("Asia/Tokyo").unwrap());
    }

    #[test]
    fn without_a_word_the_zone_is_the_hosts() {
        let none = settings(Overrides::default(), &[("TZ", "Asia/Kolkata")], "");
        let zone = none.zone().unwrap();
        assert_eq!(zone.value, Zone::parse("Asia/Kolkata").unwrap());
        assert_eq!(zone.origin, Origin::Default);
    }

    #[test]
    fn without_a_word_256_mib_are_to_be_left() {
        let none = settings(Overrides::default(), &[], "").space_left();
        assert_eq!(none, Sourced { value: 256 << 20, origin: Origin::Default });
        let some = settings(Overrides::default(), &[], "space_left = '1KiB'").space_left();
        assert_eq!(some, Sourced { value: 1024, origin: Origin::Config });
    }

    #[test]
    fn an_unknown_zone_is_reported_with_its_origin() {
        let wrong = settings(Overrides::default(), &[("ACTIVITY_TZ", "Mars")], "");
        let failure = wrong.zone().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.message.starts_with("ACTIVITY_TZ: \"Mars\" is not a time zone"),
            "{failure}"
        );
    }

    #[test]
    fn the_default_log_is_the_systems_when_it_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let system = folder.path().join("activity.db");
        let home = environment(&[("HOME", "/home/alice")]);
        let own = Path::new("/home/alice/.local/share/activity/activity.db");

        assert_eq!(default_log(&home, &system, false).unwrap(), own);
        assert_eq!(default_log(&home, &system, true).unwrap(), system);
        fs::write(&system, "").unwrap();
        assert_eq!(default_log(&home, &system, false).unwrap(), system);
    }

    #[test]
    fn a_folder_of_xdg_must_be_absolute() {
        let system = Path::new("/nowhere/activity.db");
        let data = |value| environment(&[("HOME", "/h"), ("XDG_DATA_HOME", value)]);
        let log = |environment| default_log(&environment, system, false).unwrap();
        assert_eq!(log(data("/data")), Path::new("/data/activity/activity.db"));
        assert_eq!(log(data("data")), Path::new("/h/.local/share/activity/activity.db"));
    }

    #[test]
    fn without_a_home_the_log_must_be_named() {
        let failure = default_log(&environment(&[]), Path::new("/nowhere/x"), false).unwrap_err();
        assert_eq!(failure.exit, Exit::NoInput);
    }

    #[test]
    fn a_default_config_may_be_absent_and_a_named_one_not() {
        let folder = tempfile::tempdir().unwrap();
        let system = folder.path().join("config.toml");
        assert_eq!(default_config(&environment(&[]), &system).unwrap(), None);
        let flags = Overrides { config: Some(system), ..Overrides::default() };
        let error = Settings::resolve(flags, environment(&[]), &Caller::detect(None)).unwrap_err();
        assert_eq!(error.downcast_ref::<Failure>().unwrap().exit, Exit::NoInput);
    }

    #[test]
    fn the_systems_config_comes_before_the_callers_own() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("activity/config.toml");
        fs::create_dir(own.parent().unwrap()).unwrap();
        fs::write(&own, "system_label = 'own'").unwrap();
        let system = folder.path().join("system.toml");
        let home = environment(&[("XDG_CONFIG_HOME", folder.path().to_str().unwrap())]);

        assert_eq!(default_config(&home, &system).unwrap().unwrap().0, own);
        fs::write(&system, "system_label = 'system'").unwrap();
        assert_eq!(default_config(&home, &system).unwrap().unwrap().0, system);
    }

    #[test]
    fn a_variable_that_is_no_text_is_tolerated() {
        let odd = OsString::from_vec(b"/tmp/\xff.db".to_vec());
        let environment =
            Environment { variables: vec![("ACTIVITY_DB", odd.clone()), ("TZ", odd.clone())] };
        let flags = Overrides { config: Some("/dev/null".into()), ..Overrides::default() };
        let settings = Settings::resolve(flags, environment, &Caller::detect(None)).unwrap();
        assert_eq!(settings.db().unwrap().value.into_os_string(), odd);
        settings.zone().unwrap();
    }
}
