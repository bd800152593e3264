//! The command line as it was typed: negated query terms among the flags, and commands for hints.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};

use crate::query;
use crate::text;

/// The commands that take a query.
const QUERY_COMMANDS: [&str; 7] =
    ["list", "search-actor", "search-target", "export", "page", "digest", "stats"];
/// The global flags that take a value; they may stand before the command.
const GLOBAL_VALUE_FLAGS: [&str; 4] = ["--db", "--config", "--tz", "--color"];

/// Moves every argument that is a negated term of a query (`-action:user.*`, `-"spring launch"`)
/// behind a `--`, so that its dash does not look like a flag's and flags may still follow it.
///
/// The value of a flag stays where it is: `--search -action:x` remains the error that it is everywhere,
/// and `--search=-action:x` searches for the text. `takes_value` returns whether a flag of the command
/// takes a value.
pub(crate) fn move_negated_terms_last(
    arguments: Vec<OsString>,
    takes_value: impl Fn(&str) -> bool,
) -> Vec<OsString> {
    let Some(command) = command_position(&arguments) else { return arguments };
    let is_about_events = arguments[command].to_str().is_some_and(takes_query);
    if !is_about_events || !arguments.iter().any(|word| is_negated_term(word)) {
        return arguments;
    }
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let mut kept = Vec::with_capacity(arguments.len() + 1);
    let mut moved = Vec::new();
    let mut arguments = arguments.into_iter();
    let mut next_is_value = false;
    for (position, word) in arguments.by_ref().take(end).enumerate() {
        let is_value = std::mem::replace(&mut next_is_value, false);
        if position > command && !is_value && is_negated_term(&word) {
            moved.push(word);
            continue;
        }
        next_is_value = !is_value && word.to_str().is_some_and(&takes_value);
        kept.push(word);
    }
    // After the words behind a typed `--`: the first of them may be the name that a search is for.
    let rest: Vec<_> = arguments.skip(1).chain(moved).collect();
    if !rest.is_empty() {
        kept.push("--".into());
        kept.extend(rest);
    }
    kept
}

/// Moves a `-h` or `--help` in front of the command behind it: whoever asks there means the command.
pub(crate) fn move_help_behind_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(command) = command_position(&arguments) else { return arguments };
    let is_help = |word: &OsString| word == "-h" || word == "--help";
    if let Some(position) = arguments[1..command].iter().position(is_help) {
        let help = arguments.remove(position + 1);
        arguments.insert(command, help);
    }
    arguments
}

/// Whether a command takes a query.
pub(crate) fn takes_query(command: &str) -> bool {
    QUERY_COMMANDS.contains(&command)
}

/// Returns the name of the command.
pub(crate) fn command_name(arguments: &[OsString]) -> Option<&str> {
    arguments.get(command_position(arguments)?)?.to_str()
}

fn command_position(arguments: &[OsString]) -> Option<usize> {
    let mut position = 1;
    loop {
        let word = arguments.get(position)?;
        if GLOBAL_VALUE_FLAGS.iter().any(|flag| word == flag) {
            position += 2;
        } else if word.as_encoded_bytes().starts_with(b"-") {
            position += 1;
        } else {
            return Some(position);
        }
    }
}

/// Returns whether an argument is a negated term: `-QUALIFIER:` or `-"`. A misspelt qualifier counts
/// too, because the error of the query then suggests the right one.
fn is_negated_term(word: &OsStr) -> bool {
    let Some(term) = word.to_str().and_then(|word| word.strip_prefix('-')) else { return false };
    let Some((name, _)) = term.split_once(':') else { return term.starts_with('"') };
    let known = || query::QUALIFIERS.iter().map(|qualifier| qualifier.name);
    let is_name = name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    term.starts_with('"')
        || name.starts_with("payload.")
        || known().any(|qualifier| qualifier.eq_ignore_ascii_case(name))
        || is_name && text::nearest(name, known()).is_some()
}

/// Returns the beginning of a command about the same log: `activity` with the flags that name the log.
pub(crate) fn command_prefix(arguments: &[OsString]) -> Vec<String> {
    let mut words = vec!["activity".to_owned()];
    let mut typed = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = typed.next().filter(|word| word != "--") {
        if word == "--central" {
            words.push(word.into_owned());
            continue;
        }
        match ["--db", "--config"].iter().find_map(|flag| word.strip_prefix(flag)) {
            Some("") => {
                words.push(word.into_owned());
                words.extend(typed.next().map(Cow::into_owned));
            }
            Some(value) if value.starts_with('=') => words.push(word.into_owned()),
            _ => {}
        }
    }
    words
}

/// Returns the same command for another page: the words as they were typed, with `flag` and `value`
/// instead of the flags that say where a page begins.
pub(crate) fn next_page_command(arguments: &[OsString], flag: &str, value: &str) -> Vec<String> {
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let mut words = vec!["activity".to_owned()];
    let mut typed = arguments.iter().take(end).skip(1);
    while let Some(word) = typed.next() {
        let word = word.to_string_lossy();
        match ["--after", "--page"].iter().find_map(|paging| word.strip_prefix(paging)) {
            Some("") => drop(typed.next()),
            Some(value) if value.starts_with('=') => {}
            _ => words.push(word.into_owned()),
        }
    }
    words.extend([flag.to_owned(), value.to_owned()]);
    words.extend(arguments.iter().skip(end).map(|word| word.to_string_lossy().into_owned()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(line: &[&str]) -> Vec<String> {
        let takes_value = |flag: &str| ["--search", "--since", "-o"].contains(&flag);
        let line = std::iter::once("activity").chain(line.iter().copied()).map(OsString::from);
        let words = move_negated_terms_last(line.collect(), takes_value);
        words.into_iter().skip(1).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_negated_term_goes_behind_the_flags() {
        assert_eq!(moved(&["list", "-action:a", "--json"]), ["list", "--json", "--", "-action:a"]);
        assert_eq!(moved(&["list", "x", "-\"a b\""]), ["list", "x", "--", "-\"a b\""]);
        assert_eq!(
            moved(&["--db", "list", "list", "-payload.a.b:c"]),
            ["--db", "list", "list", "--", "-payload.a.b:c"]
        );
        assert_eq!(
            moved(&["search-actor", "-is:failed", "--", "-odd-name"]),
            ["search-actor", "--", "-odd-name", "-is:failed"]
        );
    }

    #[test]
    fn help_in_front_of_a_command_is_about_the_command() {
        let help = |line: &[&str]| {
            let line = line.iter().map(OsString::from).collect();
            let words = move_help_behind_command(line);
            words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(help(&["activity", "-h", "list"]), ["activity", "list", "-h"]);
        assert_eq!(
            help(&["activity", "--tz", "UTC", "--help", "list", "x"]),
            ["activity", "--tz", "UTC", "list", "--help", "x"]
        );
        assert_eq!(help(&["activity", "--help"]), ["activity", "--help"]);
        assert_eq!(help(&["activity", "list", "-h"]), ["activity", "list", "-h"]);
    }

    #[test]
    fn a_misspelt_qualifier_reaches_the_query() {
        assert_eq!(moved(&["list", "-acton:a"]), ["list", "--", "-acton:a"]);
    }

    #[test]
    fn what_is_no_negated_term_stays() {
        for line in [
            &["list", "--json", "x"][..],
            &["list", "--since", "-2h"],
            &["list", "--search", "-action:x"],
            &["list", "--search=-action:x"],
            &["list", "--", "-action:x"],
            &["ingest", "--title", "-action:x"],
            &["export", "-ofile:x.csv"],
            &["-action:x", "list"],
            &["-action:x"],
        ] {
            assert_eq!(moved(line), line);
        }
    }

    #[test]
    fn a_hint_is_about_the_same_log() {
        let line =
            ["activity", "--db", "a b", "show", "--config=c", "7", "--tz", "UTC", "--", "--db"];
        assert_eq!(
            command_prefix(&line.map(OsString::from)),
            ["activity", "--db", "a b", "--config=c"]
        );
    }

    #[test]
    fn a_hint_repeats_the_words() {
        let next = |line: &[&str]| {
            let words: Vec<_> = line.iter().map(OsString::from).collect();
            next_page_command(&words, "--after", "CURSOR")
        };
        assert_eq!(
            next(&["/usr/bin/activity", "list", "--days", "1"]),
            ["activity", "list", "--days", "1", "--after", "CURSOR"]
        );
        assert_eq!(
            next(&["activity", "list", "actor:\"Ann B\"", "--after", "x", "word"]),
            ["activity", "list", "actor:\"Ann B\"", "word", "--after", "CURSOR"]
        );
        assert_eq!(
            next(&["activity", "list", "--page=3", "--", "-word"]),
            ["activity", "list", "--after", "CURSOR", "--", "-word"]
        );
    }
}
