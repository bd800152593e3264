//! The keys of the config as they are written, for commands that show them. Secrets are left out.

use toml::{Table, Value};

/// The lists whose entries may hold tokens in any of their keys: only their type is shown.
const LISTS_WITH_SECRETS: [&str; 2] = ["mirror", "alert"];

/// A key with its value as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigEntry {
    pub key: String,
    pub value: String,
}

/// Every key of a config that was checked, in its order.
pub(super) fn flatten(config: &Table) -> Vec<ConfigEntry> {
    let mut all = Vec::new();
    flatten_into(&mut all, "", config);
    all
}

fn flatten_into(all: &mut Vec<ConfigEntry>, path: &str, table: &Table) {
    for (name, value) in table {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let quoted = format!("{name:?}");
        let name = if name.chars().all(plain) { name } else { &quoted };
        let key = format!("{path}{name}");
        match value {
            Value::Table(table) => flatten_into(all, &format!("{key}."), table),
            Value::Array(list) if list.iter().any(Value::is_table) => {
                let tables = list.iter().filter_map(Value::as_table);
                all.extend(tables.enumerate().map(|(place, table)| list_entry(&key, place, table)));
            }
            // Its arguments may be a password.
            Value::Array(command) if name == "command" => {
                let program = command.first().map(format_value).unwrap_or_default();
                all.push(ConfigEntry { value: program, key });
            }
            _ => all.push(ConfigEntry { value: format_value(value), key }),
        }
    }
}

/// A table of a list, on one line.
fn list_entry(list: &str, place: usize, table: &Table) -> ConfigEntry {
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let key = match text("name") {
        Some(name) => format!("{list}.{name}"),
        None => format!("{list}[{}]", place + 1),
    };
    let value = if LISTS_WITH_SECRETS.contains(&list) {
        text("type").unwrap_or(list).to_owned()
    } else {
        let parts = table.iter().map(|(name, value)| format!("{name} {}", format_value(value)));
        parts.collect::<Vec<_>>().join(", ")
    };
    ConfigEntry { key, value }
}

fn format_value(value: &Value) -> String {
    match value {
        Value::String(text) => redact_password(text),
        Value::Array(list) => list.iter().map(format_value).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A URL may hold a password, which does not belong there.
fn redact_password(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let (login, host) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:[secret]@{host}"))
    };
    hidden().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(config: &str) -> Vec<String> {
        let written = flatten(&config.parse().unwrap());
        written.into_iter().map(|ConfigEntry { key, value }| format!("{key} = {value}")).collect()
    }

    #[test]
    fn keys_are_shown_in_their_order_and_lists_on_one_line() {
        let entries = formatted(
            "site = 's2l.online'\n[digest]\nto = ['a@b.c', 'd@e.f']\ntop = 5\n\
             [digest.kinds]\n'Sign-ins' = 'action:auth.login'\n\"two words\" = 'action:x'\n\
             [retention]\nkeep = '365d'\n[[retention.rule]]\nquery = 'action:cron.*'\nkeep = '30d'\n",
        );
        assert_eq!(
            entries,
            [
                "site = s2l.online",
                "digest.to = a@b.c, d@e.f",
                "digest.top = 5",
                "digest.kinds.Sign-ins = action:auth.login",
                "digest.kinds.\"two words\" = action:x",
                "retention.keep = 365d",
                "retention.rule[1] = query action:cron.*, keep 30d",
            ]
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let entries = formatted(
            "[digest.smtp]\nurl = 'smtps://user:hush@p@mail.example.org:465'\n\
             [digest.sendmail]\ncommand = ['/bin/mail', '--password=hush']\n\
             [[mirror]]\nname = 'm'\ntype = 'http'\nurl = 'https://x/hush'\nheaders = {A = 'hush'}\n\
             [[alert]]\nname = 'a'\nslack = 'https://hooks/hush'\n",
        );
        assert!(!entries.join("\n").contains("hush"), "{entries:?}");
        assert_eq!(entries[0], "digest.smtp.url = smtps://user:[secret]@mail.example.org:465");
        assert_eq!(entries[1], "digest.sendmail.command = /bin/mail");
        assert_eq!(entries[2..], ["mirror.m = http", "alert.a = alert"]);
    }
}
