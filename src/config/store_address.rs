//! The address of a central store, as `--db` and `central` name it.

use crate::config::mirror::CentralConfig;
use crate::config::mirror::ClickHouseConfig;
use crate::config::mirror::DestinationConfig;
use crate::config::mirror::MirrorConfig;

const POSTGRES_SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// In front of the address of the HTTP interface.
const CLICKHOUSE_PREFIX: &str = "clickhouse+";

/// A central store, and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoreAddress {
    Postgres(CentralConfig),
    ClickHouse(ClickHouseConfig),
}

impl StoreAddress {
    /// Reads an address; `None` if the text is that of a file. Keys that a mirror to the same address has
    /// count for it: the table, the password and the authorities.
    pub(crate) fn parse(text: &str, mirrors: &[MirrorConfig]) -> Option<Self> {
        let bare =
            |url: String| CentralConfig { url, table: None, password_file: None, ca_file: None };
        if POSTGRES_SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            let known = mirrors.iter().find_map(|mirror| match &mirror.destination {
                DestinationConfig::Postgres(config) if config.url == text => Some(config.clone()),
                _ => None,
            });
            return Some(Self::Postgres(known.unwrap_or_else(|| bare(text.to_owned()))));
        }
        let url = text.strip_prefix(CLICKHOUSE_PREFIX)?;
        let (url, user) = without_user(url);
        let known = mirrors.iter().find_map(|mirror| match &mirror.destination {
            DestinationConfig::ClickHouse(config) if config.central.url == url => {
                Some(config.clone())
            }
            _ => None,
        });
        let known = known.unwrap_or_else(|| ClickHouseConfig { central: bare(url), user: None });
        Some(Self::ClickHouse(ClickHouseConfig { user: user.or(known.user), ..known }))
    }

    /// Returns the store that is the destination of a mirror, if it is one.
    pub(crate) fn of_destination(destination: &DestinationConfig) -> Option<Self> {
        if let DestinationConfig::Postgres(config) = destination {
            return Some(Self::Postgres(config.clone()));
        }
        let DestinationConfig::ClickHouse(config) = destination else { return None };
        Some(Self::ClickHouse(config.clone()))
    }

    /// Whether a text is the address of a central store and no path.
    pub(crate) fn is_one(text: &str) -> bool {
        Self::parse(text, &[]).is_some()
    }

    /// Returns the name of the store, whoever reads it: its address without the user and, but for the
    /// database of ClickHouse, without parameters; with the table where it is another than usual.
    pub(crate) fn name(&self) -> String {
        let url = self.url();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (login, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let host = login.rsplit_once('@').map_or(login, |(_, host)| host);
        let (path, parameters) = behind.split_once('?').unwrap_or((behind, ""));
        let (mut name, table) = match self {
            Self::Postgres(config) => (format!("postgres://{host}{path}"), &config.table),
            Self::ClickHouse(config) => {
                (format!("{CLICKHOUSE_PREFIX}{scheme}://{host}{path}"), &config.central.table)
            }
        };
        if let Some(database) = parameters.split('&').find(|part| part.starts_with("database=")) {
            name.push('?');
            name.push_str(database);
        }
        if let Some(table) = table {
            name.push_str(" table ");
            name.push_str(table);
        }
        name
    }

    fn url(&self) -> &str {
        match self {
            Self::Postgres(config) => &config.url,
            Self::ClickHouse(config) => &config.central.url,
        }
    }

    /// Whether the address holds a password, which belongs in a file.
    pub(crate) fn has_password(&self) -> bool {
        let url = self.url();
        let login = url.split_once("://").map_or(url, |(_, rest)| rest);
        let login = login.split(['/', '?']).next().unwrap_or_default();
        let login = login.rsplit_once('@').map_or("", |(login, _)| login);
        let has_parameter = url.split(['?', '&']).skip(1).any(|part| part.starts_with("password="));
        let user = match self {
            Self::Postgres(_) => None,
            Self::ClickHouse(config) => config.user.as_deref(),
        };
        login.contains(':') || has_parameter || user.is_some_and(|user| user.contains(':'))
    }
}

/// Takes the user out of an address.
fn without_user(url: &str) -> (String, Option<String>) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (user, host) = rest[..end].rsplit_once('@')?;
        Some((format!("{scheme}://{host}{}", &rest[end..]), user.to_owned()))
    });
    match parts {
        Some((url, user)) => (url, Some(user)),
        None => (url.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_path() {
        assert!(StoreAddress::is_one("postgres://audit@central/activity"));
        assert!(StoreAddress::is_one("postgresql://central"));
        assert!(StoreAddress::is_one("clickhouse+https://central:8443/?database=audit"));
        for path in ["/var/lib/activity.db", "postgres", "postgres:/x", "https://central"] {
            assert!(!StoreAddress::is_one(path), "{path}");
        }
    }

    #[test]
    fn a_user_is_no_part_of_an_address_of_clickhouse() {
        let parsed = StoreAddress::parse("clickhouse+http://audit@central:8123/?database=a", &[]);
        let Some(StoreAddress::ClickHouse(config)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(config.user.as_deref(), Some("audit"));
        assert_eq!(config.central.url, "http://central:8123/?database=a");
    }

    #[test]
    fn a_store_has_one_name_for_all_its_users() {
        for (address, name) in [
            (
                "postgres://audit@central:5432/activity?sslmode=require",
                "postgres://central:5432/activity",
            ),
            ("postgresql://central/activity", "postgres://central/activity"),
            ("postgres://central", "postgres://central"),
            (
                "clickhouse+https://audit@central:8443/?user=x&database=a",
                "clickhouse+https://central:8443/?database=a",
            ),
        ] {
            assert_eq!(StoreAddress::parse(address, &[]).unwrap().name(), name);
        }
        let config = CentralConfig {
            url: "postgres://web@central/activity".to_owned(),
            table: Some("audit.event".to_owned()),
            password_file: None,
            ca_file: None,
        };
        assert_eq!(
            StoreAddress::Postgres(config).name(),
            "postgres://central/activity table audit.event"
        );
    }

    #[test]
    fn a_password_is_found_in_an_address() {
        let has = |text| StoreAddress::parse(text, &[]).unwrap().has_password();
        assert!(has("postgres://audit:hush@central/activity"));
        assert!(has("postgres://audit@central/activity?password=hush"));
        assert!(has("clickhouse+http://audit:hush@central:8123"));
        assert!(!has("postgres://audit@central:5432/activity?sslmode=require"));
        assert!(!has("clickhouse+http://central:8123/?database=a"));
    }
}
