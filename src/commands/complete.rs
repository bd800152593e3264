//! What a shell offers when a person presses the tab key.

use std::ffi::OsString;

use anyhow::Result;

use crate::access::Reading;
use crate::args::command_line;
use crate::commands;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::print_text;
use crate::context::Context;
use crate::event::Severity;
use crate::event::Source;
use crate::event::field;
use crate::failure::Exit;
use crate::manual::HelpTopic;
use crate::query;
use crate::query::value::EventProperty;
use crate::settings::Overrides;
use crate::store::names::NameKind;
use crate::text;
use crate::time::CalendarUnit;

const EXAMPLES: &str = "\
Examples:
  The qualifiers that begin with act:
  $ activity complete -- activity list act

  The actions of the log that begin with user:
  $ activity complete -- activity list action:user";

/// The most names of the log that are offered.
const MAX_NAMES: usize = 60;

/// Print what can stand at the end of a command line, for the scripts of `activity completions`
///
/// One on a line, with what it is behind a tab. The words are those of the line so far, the last of them
/// the one to complete.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, hide = true)]
pub(crate) struct CompleteArgs {
    /// The words of the line, the program first
    #[arg(value_name = "WORD", last = true)]
    words: Vec<OsString>,
}

/// A word that can stand there, and what it is.
type Candidate = (String, String);

impl RunCommand for CompleteArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let mut lines = String::new();
        if let Some((current, before)) =
            self.words.split_last().filter(|(_, words)| !words.is_empty())
        {
            let line = TypedLine::new(before, &current.to_string_lossy(), call);
            for (word, about) in line.candidates() {
                // A name that a terminal would obey is no help.
                if text::escape(&word) == word && begins_with(&word, &current.to_string_lossy()) {
                    for part in [&word, "\t", &about, "\n"] {
                        lines.push_str(part);
                    }
                }
            }
        }
        print_text(lines.as_bytes())
    }
}

/// A line as far as it was typed.
struct TypedLine {
    command: Option<String>,
    /// The word before the current one.
    previous: String,
    current: String,
    context: Option<Context>,
}

impl TypedLine {
    fn new(before: &[OsString], current: &str, call: Invocation) -> Self {
        let value_of = |flag: &str| {
            let place = before.iter().position(|word| word == flag)?;
            before.get(place + 1).map(std::path::PathBuf::from)
        };
        let overrides =
            Overrides { db: value_of("--db"), config: value_of("--config"), ..call.overrides };
        Self {
            command: command_line::command_name(before).map(str::to_owned),
            previous: before
                .last()
                .map(|word| word.to_string_lossy().into_owned())
                .unwrap_or_default(),
            current: current.to_owned(),
            context: Context::new(overrides, call.arguments).ok(),
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let Some(command) = self.command.as_deref() else {
            return if self.current.starts_with('-') { self.flags(None) } else { command_names() };
        };
        if let Some((flag, _)) =
            self.current.split_once('=').filter(|_| self.current.starts_with("--"))
        {
            let start = format!("{flag}=");
            let beginning = &self.current[start.len()..];
            let values = self.flag_values(command, flag, beginning).unwrap_or_default();
            return values
                .into_iter()
                .map(|(value, about)| (format!("{start}{value}"), about))
                .collect();
        }
        if let Some(values) = self.flag_values(command, &self.previous, &self.current) {
            return values;
        }
        if self.current.starts_with("--") || self.current == "-" {
            return self.flags(Some(command));
        }
        match command {
            "help" => {
                let topics =
                    HelpTopic::ALL.map(|topic| (topic.name().to_owned(), topic.about().to_owned()));
                topics.into_iter().chain(command_names()).collect()
            }
            "man" => command_names(),
            "completions" => plain(["bash", "elvish", "fish", "powershell", "zsh"]),
            "config" => plain(["init"]),
            "mirror" => plain(["status", "test", "retry", "replay"]),
            "search-actor" if !self.current.contains(':') => {
                self.names(NameKind::Actor, &self.current)
            }
            "search-target" if !self.current.contains(':') => {
                self.names(NameKind::Target, &self.current)
            }
            _ if command_line::takes_query(command) => self.query_words(),
            _ => Vec::new(),
        }
    }

    /// The flags of a command, or those of every command.
    fn flags(&self, command: Option<&str>) -> Vec<Candidate> {
        let flag = |argument: &clap::Arg| {
            let long = argument.get_long().filter(|_| !argument.is_hide_set())?;
            let about = argument.get_help().map(ToString::to_string).unwrap_or_default();
            Some((format!("--{long}"), first_line(&about)))
        };
        commands::with_definition(command, |command| {
            command.get_arguments().filter_map(flag).collect()
        })
    }

    /// The values of a flag; `None` if the word is no flag that takes one.
    fn flag_values(&self, command: &str, flag: &str, beginning: &str) -> Option<Vec<Candidate>> {
        let name = flag.strip_prefix("--")?;
        let possible: Option<Vec<String>> = commands::with_definition(Some(command), |command| {
            let is_named = |argument: &&clap::Arg| {
                argument.get_long() == Some(name) && argument.get_action().takes_values()
            };
            let argument = command.get_arguments().find(is_named)?;
            Some(
                argument
                    .get_possible_values()
                    .iter()
                    .map(|value| value.get_name().to_owned())
                    .collect(),
            )
        });
        let possible = possible?;
        Some(match (command, name) {
            _ if !possible.is_empty() => plain(possible),
            ("stats", "by") => plain(
                ["actor", "target"]
                    .into_iter()
                    .chain(CalendarUnit::ALL.map(CalendarUnit::name))
                    .chain(crate::store::tally::groupable_fields()),
            ),
            (_, "sort" | "columns") => plain(field::FIELDS.iter().map(|field| field.name)),
            _ => self.qualifier_values(name, beginning),
        })
    }

    /// Qualifiers, the values behind one, and saved queries.
    fn query_words(&self) -> Vec<Candidate> {
        let word = self.current.strip_prefix('-').unwrap_or(&self.current);
        let dash = &self.current[..self.current.len() - word.len()];
        if let Some((name, values)) = word.split_once(':') {
            let last = values.rfind(',').map_or(0, |comma| comma + 1);
            let start = format!("{dash}{name}:{}", &values[..last]);
            let found = self.qualifier_values(name, values[last..].trim_start_matches('"'));
            return found
                .into_iter()
                .map(|(value, about)| (format!("{start}{}", quote_in_query(&value)), about))
                .collect();
        }
        let qualifiers =
            query::QUALIFIERS.iter().filter(|qualifier| !qualifier.name.contains("KEY"));
        let qualifiers = qualifiers
            .map(|qualifier| (format!("{dash}{}:", qualifier.name), qualifier.help.to_owned()));
        let saved = self.context.iter().flat_map(|context| context.settings.config.queries.iter());
        let saved = saved.map(|(name, text)| (format!("@{name}"), text.to_owned()));
        qualifiers.chain(saved).collect()
    }

    fn qualifier_values(&self, name: &str, beginning: &str) -> Vec<Candidate> {
        match name {
            "action" => self.names(NameKind::Action, beginning),
            "actor" | "impersonator" | "person" => self.names(NameKind::Actor, beginning),
            "target" => self.names(NameKind::Target, beginning),
            "module" => self.names(NameKind::Module, beginning),
            "tenant" => self.names(NameKind::Tenant, beginning),
            "by" | "recorded-by" => self.names(NameKind::Recorder, beginning),
            "source" => plain(Source::ALL.map(Source::name)),
            "severity" => plain(Severity::ALL.map(Severity::name)),
            "is" => plain(EventProperty::ALL.map(EventProperty::name)),
            "method" => plain(["DELETE", "GET", "PATCH", "POST", "PUT"]),
            "status" => plain(["2xx", "4xx", "5xx", ">=400"]),
            "since" | "until" => plain(["today", "yesterday", "2h", "7d"]),
            _ => Vec::new(),
        }
    }

    /// Names of the log that begin so, as far as the caller may see them.
    fn names(&self, kind: NameKind, beginning: &str) -> Vec<Candidate> {
        let reader = self.context.as_ref().map(|context| context.log().open_reader(Reading::List));
        let Some(Ok(reader)) = reader else { return Vec::new() };
        plain(reader.names(kind, beginning, MAX_NAMES).unwrap_or_default())
    }
}

/// Whether a word begins with what was typed, in any case and with or without quotes.
fn begins_with(word: &str, typed: &str) -> bool {
    let bare = |text: &str| text::fold(text).replace('"', "");
    bare(word).starts_with(&bare(typed))
}

fn plain<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Vec<Candidate> {
    words.into_iter().map(|word| (word.into(), String::new())).collect()
}

fn command_names() -> Vec<Candidate> {
    commands::with_definition(None, |program| {
        let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
        let about = |command: &clap::Command| {
            first_line(&command.get_about().map(ToString::to_string).unwrap_or_default())
        };
        commands.map(|command| (command.get_name().to_owned(), about(command))).collect()
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Returns a value as it stands in a query.
fn quote_in_query(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._/-@+>=<".contains(c);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
