use anyhow::Result;
use serde_json::{Map, Value};

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
/// default.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct WhoamiArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl RunCommand for WhoamiArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let facts = facts(context)?;
        let mut lines = String::new();
        if self.json {
            text::json_escape_into(&mut lines, &Value::Object(facts).to_string());
            lines.push('\n');
        } else {
            for (name, value) in display_rows(&facts) {
                lines.push_str(&text::pad(name, 13));
                lines.push_str(&text::escape(&value));
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
    add("may", "everything that the file allows".into());
    add("may_write_reserved", caller.may_write_reserved().into());
    add("log", log.value.to_string_lossy().into());
    add("log_from", log.origin.to_string().into());
    if let Some(config) = &context.settings.config_file {
        add("config", config.value.to_string_lossy().into());
        add("config_from", config.origin.to_string().into());
    }
    add("zone", zone.value.name().into());
    add("zone_from", zone.origin.to_string().into());
    Ok(facts)
}

/// Returns the facts for a person, one row each.
fn display_rows(facts: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let text = |name: &str| match facts.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let mut rows = vec![
        ("user", format!("{} ({})", text("user"), text("uid"))),
        ("recorded as", text("recorded_by")),
        ("may", text("may")),
        ("log", format!("{} ({})", text("log"), text("log_from"))),
    ];
    if facts.contains_key("config") {
        rows.push(("config", format!("{} ({})", text("config"), text("config_from"))));
    }
    rows.push(("zone", format!("{} ({})", text("zone"), text("zone_from"))));
    rows
}
