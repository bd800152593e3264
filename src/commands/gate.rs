use std::ffi::OsString;

use anyhow::Result;

use crate::args::command_line;
use crate::commands;
use crate::commands::CallLimits;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query;
use crate::settings::CallRole;
use crate::settings::Environment;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  What the user 3 sees who logs in without a command:
  $ activity gate --as viewer:3

  What somebody sees who may see all that the account may:
  $ activity gate --as administrator

  The line of a key in ~/.ssh/authorized_keys:
  command=\"activity gate --as viewer:17\",restrict ssh-ed25519 AAAA…";

/// What a call without words shows.
const DEFAULT_COMMAND: [&str; 2] = ["list", "--today"];

/// The commands that only read.
const COMMANDS: [&str; 7] =
    ["list", "show", "search-actor", "search-target", "actions", "stats", "whoami"];

/// The flags that name neither a file nor a format, beside those of the query.
const FLAGS: [&str; 21] = [
    "search",
    "today",
    "impersonated",
    "failed",
    "limit",
    "page",
    "after",
    "sort",
    "reverse",
    "around",
    "follow",
    "count",
    "view",
    "columns",
    "no-header",
    "time",
    "stale",
    "by",
    "top",
    "tz",
    "color",
];

/// Run one reading command for somebody who came by SSH, as a role that may do less
///
/// For the forced command of a key in `authorized_keys`. The words of the client are read from
/// SSH_ORIGINAL_COMMAND; no shell sees them. Only commands that read are run, with flags that name no
/// file, log, config or format; a login without words shows what happened today. The role and the id can
/// only take away from what the account itself may do.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct GateArgs {
    /// The role, and who the person is in the log
    #[arg(long = "as", value_name = "ROLE[:ID]")]
    role: String,
}

impl RunCommand for GateArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let environment = Environment::read();
        let words = match environment.get("SSH_ORIGINAL_COMMAND") {
            None => DEFAULT_COMMAND.map(str::to_owned).to_vec(),
            Some(line) => {
                let line = line.to_str().ok_or_else(|| refuse("the command is not UTF-8"))?;
                split_words(line)?
            }
        };
        // Some clients name the program too.
        let words = match words.split_first() {
            Some((program, rest)) if program == "activity" => rest.to_vec(),
            Some(_) | None => words,
        };
        let arguments: Vec<OsString> =
            std::iter::once("activity".to_owned()).chain(words).map(OsString::from).collect();
        let name = command_line::command_name(&arguments).unwrap_or_default();
        if !COMMANDS.contains(&name) {
            return Err(refuse(&format!("{} is no command that reads", text::escape(name))).into());
        }
        let (role, own_id) = match self.role.split_once(':') {
            Some((role, id)) => (role, Some(id)),
            None => (self.role.as_str(), None),
        };
        let role = CallRole { name: role.to_owned(), own_id: own_id.map(str::to_owned) };
        let mut overrides = call.overrides;
        overrides.role = Some(role);
        // A pager would run what its reader types.
        overrides.no_pager = true;
        commands::run_within(arguments, Some(CallLimits { overrides, is_allowed }))
    }
}

fn refuse(why: &str) -> Failure {
    Failure::new(Exit::NoPermission, format!("gate: {why}"))
        .hint(format!("it runs {}", COMMANDS.join(", ")))
}

/// Whether a flag may come from a client.
fn is_allowed(flag: &str) -> bool {
    let is_qualifier = || query::QUALIFIERS.iter().any(|qualifier| qualifier.flag == Some(flag));
    FLAGS.contains(&flag) || ["quiet", "no-pager"].contains(&flag) || is_qualifier()
}

/// Splits a line into words as a shell does: blanks separate, quotes and backslashes protect. Nothing
/// else has a meaning.
///
/// # Errors
/// [`Exit::NoPermission`] for a quote that is not closed.
fn split_words(line: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => match letters.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.get_or_insert_default().push(c),
                Some(c) => word.get_or_insert_default().extend(['\\', c]),
                None => break,
            },
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => match letters.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => break,
            },
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(refuse("a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        split_words(line).expect("its quotes are closed")
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(split("list  --days\t7\n"), ["list", "--days", "7"]);
        assert_eq!(split(r#"list actor:"Ann B" 'it''s'"#), ["list", "actor:Ann B", "its"]);
        assert_eq!(split(r#"a\ b "c\"d" '\x' "\x""#), ["a b", "c\"d", r"\x", r"\x"]);
        assert_eq!(split("'' \"\""), ["", ""]);
        assert_eq!(split(""), [""; 0]);
        assert!(split_words("list 'x").is_err());
        assert!(split_words("list \"x").is_err());
    }

    #[test]
    fn what_a_shell_would_run_is_text() {
        let hostile = "list; cat /etc/passwd | sh `id` $(id) > /tmp/x && true";
        assert_eq!(split(hostile).len(), 11);
        assert_eq!(split(hostile)[0], "list;");
    }

    #[test]
    fn a_flag_that_names_a_file_or_a_format_is_not_allowed() {
        for flag in
            ["db", "config", "output", "json", "csv", "jsonl", "as", "mail", "format", "map"]
        {
            assert!(!is_allowed(flag), "{flag}");
        }
        assert!(is_allowed("actor") && is_allowed("days") && is_allowed("limit"));
    }
}
