//! `[access]`: reads the roles and their members into an [`AccessPolicy`].

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use toml::Table;
use toml::Value;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::access::AccessPolicy;
use crate::access::Capability;
use crate::access::CapabilitySet;
use crate::access::Member;
use crate::access::Role;
use crate::config::schema;
use crate::config::schema::ConfigValueKind;
use crate::config::schema::KeySpec;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Clock;
use crate::query::Query;
use crate::text;
use crate::time::Timestamp;
use crate::time::Zone;

/// The permission bits with which others than the owner can write, and the one that keeps them from
/// each other's files in a folder.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

pub(super) const ACCESS_KEYS: &[KeySpec] = &[
    ("default_role", ConfigValueKind::Text),
    ("users", ConfigValueKind::Members),
    ("roles", ConfigValueKind::Roles),
    ("ingest", ConfigValueKind::Section(&[("as_others", ConfigValueKind::Boolean)])),
];

const MEMBER_KEYS: &[KeySpec] = &[
    ("role", ConfigValueKind::Text),
    ("actor_id", ConfigValueKind::Text),
    ("only", ConfigValueKind::Query),
];

const ROLE_KEYS: &[KeySpec] =
    &[("capabilities", ConfigValueKind::Capabilities), ("only", ConfigValueKind::Query)];

/// Checks the users: each has the name of a role, or a table with it.
pub(super) fn check_members(users: &Value, path: &str) -> Result<(), String> {
    schema::as_table(users, path)?.iter().try_for_each(|(name, value)| {
        let path = format!("{path}.{name:?}");
        match value {
            Value::Table(member) => {
                schema::check_section(member, MEMBER_KEYS, &format!("{path}."))?;
                schema::require_keys(member, &["role"], &path)
            }
            value => schema::check_value(value, &ConfigValueKind::Text, &path),
        }
    })
}

/// Checks the roles: each has a list of capabilities, or a table with it.
pub(super) fn check_roles(roles: &Value, path: &str) -> Result<(), String> {
    schema::as_table(roles, path)?.iter().try_for_each(|(name, value)| {
        let path = format!("{path}.{name:?}");
        match value {
            Value::Table(role) => {
                schema::check_section(role, ROLE_KEYS, &format!("{path}."))?;
                schema::require_keys(role, &["capabilities"], &path)
            }
            value => schema::check_value(value, &ConfigValueKind::Capabilities, &path),
        }
    })
}

/// Checks a list of capabilities. An empty one is a role that may do nothing.
pub(super) fn check_capabilities(value: &Value) -> Result<(), String> {
    let list = value.as_array().filter(|list| list.iter().all(Value::is_str));
    let list = list.ok_or_else(|| "must be a list of capabilities".to_owned())?;
    match list.iter().filter_map(Value::as_str).find(|name| Capability::by_name(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let near = text::nearest(name, Capability::ALL.map(Capability::name));
            let hint = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
            Err(format!("{name:?} is no capability{hint}"))
        }
    }
}

/// Reads `[access]` of a config that was checked; `None` where it has none.
///
/// # Errors
/// One line that begins with the key: a role that nothing defines.
pub(super) fn read_policy(
    config: &Table,
    text: &str,
    file: &Path,
) -> Result<Option<AccessPolicy>, String> {
    let Some(access) = config.get("access").and_then(Value::as_table) else { return Ok(None) };
    let table = |key: &str| access.get(key).and_then(Value::as_table).into_iter().flatten();
    let lines = KeyLines::of(text);
    let policy = AccessPolicy {
        file: file.to_string_lossy().into_owned(),
        default_role: access
            .get("default_role")
            .and_then(Value::as_str)
            .map(|role| (role.to_owned(), lines.line_of(&["access", "default_role"]))),
        members: table("users")
            .map(|(name, value)| {
                read_member(name, value, lines.line_of(&["access", "users", name]))
            })
            .collect(),
        roles: table("roles").map(|(name, value)| read_role(name, value)).collect(),
        as_others: access
            .get("ingest")
            .and_then(|ingest| ingest.get("as_others"))
            .and_then(Value::as_bool),
    };
    let default =
        policy.default_role.iter().map(|(role, _)| ("access.default_role".to_owned(), role));
    let members = policy
        .members
        .iter()
        .map(|member| (format!("access.users.{:?}", member.user), &member.role));
    match default.chain(members).find(|(_, role)| !policy.has_role(role)) {
        None => Ok(Some(policy)),
        Some((key, role)) => {
            let near = text::nearest(role, policy.role_names());
            let hint = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
            Err(format!("{key}: {role:?} is no role{hint}"))
        }
    }
}

fn read_member(name: &str, value: &Value, line: usize) -> Member {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Member {
        user: name.to_owned(),
        role: value.as_str().map(str::to_owned).or_else(|| text("role")).unwrap_or_default(),
        actor_id: text("actor_id"),
        only: read_only(value),
        line,
    }
}

fn read_role(name: &str, value: &Value) -> Role {
    let list = value.as_array().or_else(|| value.get("capabilities")?.as_array());
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    let capabilities: CapabilitySet = names.filter_map(Capability::by_name).collect();
    Role { name: name.to_owned(), capabilities, only: read_only(value) }
}

/// Reads the query that is joined to all that is read.
fn read_only(value: &Value) -> Query {
    // It has no times, so it does not depend on this clock.
    let clock = Clock { now: Timestamp::from_nanos(0), zone: &Zone::utc() };
    let text = value.get("only").and_then(Value::as_str).unwrap_or_default();
    Query::parse(text, &clock).expect("it was checked")
}

/// The lines of the keys of a config.
struct KeyLines<'a> {
    text: &'a str,
    table: Option<DeTable<'a>>,
}

impl<'a> KeyLines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, table: DeTable::parse(text).ok().map(toml::Spanned::into_inner) }
    }

    /// Returns the line of a key, counted from 1.
    fn line_of(&self, path: &[&str]) -> usize {
        let mut table = self.table.as_ref();
        let mut start = 0;
        for name in path {
            let found = table
                .and_then(|table| table.iter().find(|(key, _)| key.get_ref().as_ref() == *name));
            let Some((key, value)) = found else { break };
            start = key.span().start;
            table = match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            };
        }
        1 + self.text.get(..start).unwrap_or_default().matches('\n').count()
    }
}

/// Refuses a config whose roles others than its owner could change: one that they can write, or that
/// lies in a folder in which they can put another in its place.
///
/// # Errors
/// [`Exit::Config`], with the path; those of reading the file's metadata.
pub(super) fn refuse_untrusted(path: &Path, metadata: &fs::Metadata) -> anyhow::Result<()> {
    let refuse = |path: &Path, why: &str, hint: &str| {
        let message = format!("{}: {why}, and it says who may read", path.display());
        Err(Failure::new(Exit::Config, message).hint(hint).into())
    };
    let is_trusted = |owner: u32| owner == 0 || owner == rustix::process::geteuid().as_raw();
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return refuse(path, "others than its owner can write it", "chmod go-w it");
    }
    if !is_trusted(metadata.uid()) {
        return refuse(path, "it belongs to somebody else", "chown root it");
    }
    let path = path.canonicalize()?;
    for folder in path.ancestors().skip(1) {
        let metadata = folder.metadata()?;
        let is_open = metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0;
        if is_open {
            return refuse(folder, "others than its owner can write this folder", "chmod go-w it");
        }
    }
    Ok(())
}
