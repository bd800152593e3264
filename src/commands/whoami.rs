use std::path::Path;

use anyhow::Result;
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use serde_json::{Map, Value};

use crate::access;
use crate::access::GrantSource;
use crate::access::Permissions;
use crate::access::Person;
use crate::access::Reading;
use crate::caller;
use crate::caller::User;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::context::Context;
use crate::failure::Exit;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  Who you are to the log, and which log that is:
  $ activity whoami

  The stamp on the events that you record, for a script:
  $ activity whoami --json | jq -r .recorded_by";

/// Show who you are to the log, and what you may do
///
/// Also names the log and the config, each with its origin: a flag, a variable, the config or the
/// default. Where the config has `[access]`, it shows your role, its capabilities, your id in the log
/// and what you may see, with the line that says so.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct WhoamiArgs {
    /// Show what another user of this host may do; for administrators
    #[arg(long = "as", value_name = "USER")]
    other: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl RunCommand for WhoamiArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context_of_anybody()?;
        let facts = match &self.other {
            Some(user) => facts_of_other(context, user)?,
            None => facts(context)?,
        };
        let mut lines = String::new();
        if self.json {
            text::json_escape_into(&mut lines, &Value::Object(facts).to_string());
            lines.push('\n');
        } else {
            for (name, value) in display_rows(&facts) {
                let value = text::escape(&value).into_owned();
                lines.push_str(&text::pad(name, 15));
                lines.push_str(&value);
                lines.push('\n');
            }
        }
        context.output.print(lines.as_bytes())?;
        Ok(Exit::Success)
    }
}

/// Returns the facts, under the names that `--json` promises.
fn facts(context: &Context) -> Result<Map<String, Value>> {
    let caller = &context.caller;
    let log = context.settings.db()?;
    let zone = context.settings.zone()?;
    let mut facts = Map::new();
    let mut add = |name: &str, value: Value| drop(facts.insert(name.to_owned(), value));
    add("user", caller.person().name.clone().into());
    add("uid", caller.person().uid.into());
    add("real_user", caller.real.name.clone().into());
    add("real_uid", caller.real.uid.into());
    add("gid", caller.gid.into());
    add("groups", caller.groups.clone().into());
    if let Some(User { uid, name }) = &caller.login {
        add("login_user", name.clone().into());
        add("login_uid", (*uid).into());
    }
    add("recorded_by", caller.recorded_by().into());
    add("may_write_reserved", context.may_write_reserved().into());
    add("log", log.value.to_string_lossy().into());
    add("log_from", log.origin.to_string().into());
    add("log_access", log_access(&log.value).into());
    if let Some(config) = &context.settings.config_file {
        add("config", config.value.to_string_lossy().into());
        add("config_from", config.origin.to_string().into());
    }
    add("zone", zone.value.name().into());
    add("zone_from", zone.origin.to_string().into());
    add_permissions(&mut facts, &context.settings.permissions);
    Ok(facts)
}

/// Returns what the file of the log lets this run of the program do.
fn log_access(path: &Path) -> &'static str {
    let may = |access| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS);
    match (may(Access::READ_OK), may(Access::WRITE_OK)) {
        (Err(Errno::NOENT | Errno::NOTDIR), _) => "nothing yet: there is no log",
        (Err(_), _) => "nothing",
        (Ok(()), Err(_)) => "reading",
        (Ok(()), Ok(())) => "reading and writing",
    }
}

/// Returns the facts about another user.
///
/// # Errors
/// A caller who is no administrator.
fn facts_of_other(context: &Context, user: &str) -> Result<Map<String, Value>> {
    let settings = &context.settings;
    settings.permissions.require_administrator("whoami --as")?;
    let person = Person { name: user, is_root: user == caller::user_name(0) };
    let permissions = match &settings.policy {
        Some(policy) => policy.permissions(&person),
        None => Permissions::unrestricted(),
    };
    let mut facts = Map::new();
    facts.insert("user".to_owned(), user.into());
    add_permissions(&mut facts, &permissions);
    Ok(facts)
}

/// Adds what somebody may do, and what says so.
fn add_permissions(facts: &mut Map<String, Value>, permissions: &Permissions) {
    let mut add = |name: &str, value: Value| drop(facts.insert(name.to_owned(), value));
    let Some(file) = permissions.file() else {
        add("may", "everything that the file allows".into());
        return;
    };
    add("access", file.into());
    let capabilities: Vec<&str> = permissions.capabilities().names().collect();
    add("capabilities", capabilities.clone().into());
    let Some(grant) = permissions.grants().next() else {
        add("may", format!("nothing: {file} does not name them").into());
        return;
    };
    add("role", grant.role.clone().into());
    if let GrantSource::Line(line) = grant.source {
        add("access_line", line.into());
    }
    add("actor_id", permissions.own_id().unwrap_or_default().into());
    let may = if capabilities.is_empty() { "nothing".to_owned() } else { capabilities.join(", ") };
    add("may", may.into());
    // A caller without `list-own` lists nothing.
    let scope = access::scope(permissions, Reading::List);
    add("scope", scope.map_or_else(|_| "nothing".to_owned(), |scope| scope.to_string()).into());
}

/// Returns the facts for a person, one row each.
fn display_rows(facts: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let text = |name: &str| match facts.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let with = |name: &str, more: &str| format!("{} ({})", text(name), text(more));
    let mut rows = Vec::new();
    let mut add = |name: &str, title: &'static str, value: String| {
        if facts.contains_key(name) {
            rows.push((title, value));
        }
    };
    let is_other = !facts.contains_key("uid");
    add("user", "user", if is_other { text("user") } else { with("user", "uid") });
    add("recorded_by", "recorded as", text("recorded_by"));
    let line = match facts.get("access_line") {
        Some(line) => format!("{}:{line}", text("access")),
        None => text("access"),
    };
    add("role", "role", format!("{} ({line})", text("role")));
    add("actor_id", "id in the log", text("actor_id"));
    add("may", "may", text("may"));
    add("scope", "sees", text("scope"));
    add("log", "log", with("log", "log_from"));
    add("log_access", "file allows", text("log_access"));
    add("config", "config", with("config", "config_from"));
    add("zone", "zone", with("zone", "zone_from"));
    rows
}
