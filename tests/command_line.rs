//! What a mistyped command line says: one line in our words that names the flag and its value.

use crate::support::Output;
use crate::support::Sandbox;

/// Words of the libraries that read the line, which tell a person nothing.
const FOREIGN_WORDS: [&str; 10] = [
    "argument",
    "cannot be used with",
    "expected ident",
    "for '-",
    "found in string",
    "invalid digit",
    "invalid value",
    "possible values",
    "subcommand",
    "were not provided",
];

/// The flags of a command that a help text lists, each with whether it takes a value.
fn flags(help: &str) -> Vec<(String, bool)> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flag = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("--"));
        let name = words.next()?.to_owned();
        Some((name, words.next().is_some_and(|word| word.starts_with('<'))))
    };
    lines.filter_map(flag).collect()
}

#[track_caller]
fn check_words(out: &Output, line: &[&str]) {
    let stderr = out.stderr();
    assert!(stderr.starts_with("activity: "), "{line:?}: {out}");
    assert!(stderr.lines().filter(|line| line.starts_with("activity: ")).count() == 1, "{out}");
    for word in FOREIGN_WORDS {
        assert!(!stderr.contains(word), "{line:?} says {word}: {out}");
    }
}

#[test]
fn rubbish_in_any_flag_is_told_in_our_words() {
    let sandbox = Sandbox::with_events();
    let help = sandbox.run(["--help"]).ok().stdout().to_owned();
    let commands = help.split("Commands:\n").nth(1).unwrap().lines();
    let commands = commands
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let mut seen = Vec::new();
    let mut told = 0;
    for command in commands.filter(|name| *name != "help") {
        let help = sandbox.run([command, "--help"]).ok().stdout().to_owned();
        for (flag, takes_value) in flags(&help) {
            // The flags of the query and of all commands are the same everywhere.
            if ["--help", "--version"].contains(&flag.as_str())
                || seen.contains(&(flag.clone(), takes_value))
            {
                continue;
            }
            let rubbish = "+1\u{1b}x";
            let line = if takes_value {
                vec![command, &flag, rubbish]
            } else {
                vec![command, "--after-all", "--x"]
            };
            let out = sandbox.run(&line);
            if out.code == Some(2) {
                check_words(&out, &line);
                told += 1;
            }
            let unfinished = if takes_value {
                sandbox.run([command, &flag])
            } else {
                sandbox.run([command, &format!("{flag}=x")])
            };
            let unfinished = unfinished.exits(2);
            check_words(&unfinished, &[command, &flag]);
            assert!(unfinished.stderr().contains(&flag), "{command} {flag}: {unfinished}");
            seen.push((flag, takes_value));
        }
    }
    assert!(seen.len() > 60 && told > 20, "{} flags, {told} refused", seen.len());
}

#[test]
fn a_flag_says_what_it_takes() {
    let sandbox = Sandbox::with_events();
    for (line, wanted) in [
        (&["list", "-n", "x"][..], "--limit: \"x\" is no number from 1 on"),
        (&["list", "-n", "0"], "--limit: \"0\" is no number from 1 on"),
        (&["list", "-n", "-3"], "--limit"),
        (&["list", "--page", "1.5"], "--page: \"1.5\" is no number from 1 on"),
        (&["list", "--around", "web3"], "--around: \"web3\" is not an id like 17"),
        (&["list", "--output", "jsn"], "--output: \"jsn\" is none of table, json, csv"),
        (&["list", "--output"], "--output needs a value: table, json, csv"),
        (&["list", "--limit"], "--limit N needs a value"),
        (&["list", "--json=yes"], "--json takes no value"),
        (&["list", "--json", "--output", "csv"], "--json does not go with --output"),
        (&["list", "--limit", "1", "--limit", "2"], "--limit is given twice"),
        (&["stats", "--top", "many"], "--top: \"many\" is no number from 1 on"),
        (&["sweep", "--keep", "soon"], "--keep: \"soon\" is not a duration like"),
        (&["verify", "--anchor", "17"], "--anchor: \"17\" is not ID:HASH"),
        (&["export", "--format", "xml"], "--format: \"xml\" is none of csv, jsonl, mirror"),
        (&["page"], "page needs --output FILE"),
        (&["show"], "show needs ID|EVENT_ID"),
        (&["whoami", "word"], "\"word\" is a word too many"),
        (&["lst"], "there is no command \"lst\""),
        (&["list", "--color", "\u{1b}[2J"], "--color: \"\\e[2J\" is none of auto, always, never"),
    ] {
        let out = sandbox.run(line).exits(2);
        check_words(&out, line);
        assert!(out.stderr().contains(wanted), "{line:?}: {out}");
    }
    let diff = sandbox.run(["ingest", "--action", "a", "--diff", "nope"]).exits(65);
    assert!(diff.stderr().contains("--diff: no JSON value at column 2"), "{diff}");
    let near = sandbox.run(["list", "--output", "jsn"]).exits(2);
    assert!(near.stderr().contains("did you mean json?"), "{near}");
    let near = sandbox.run(["lst"]).exits(2);
    assert!(near.stderr().contains("did you mean list?"), "{near}");
}
