//! Help, completions and the manual are complete and true.

use std::fmt::Write;

use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;

/// Returns the names of the subcommands that a help text lists.
pub(crate) fn subcommands(help: &str) -> Vec<String> {
    let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
    commands
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Returns the help of a command, or of the program.
#[track_caller]
pub(crate) fn help_of(sandbox: &Sandbox, command: Option<&str>) -> String {
    let args = command.into_iter().chain(["--help"]);
    sandbox.run(args).ok().no_stderr().stdout().to_owned()
}

#[test]
fn the_whole_tree_of_help() {
    let sandbox = Sandbox::new();
    let root = help_of(&sandbox, None);
    let mut tree = format!("$ activity --help\n{root}");
    for command in subcommands(&root) {
        let help = help_of(&sandbox, Some(&command));
        write!(tree, "\n$ activity {command} --help\n{help}").unwrap();
    }
    insta::assert_snapshot!(tree);
}

#[test]
fn the_commands_have_their_promised_names() {
    let commands = subcommands(&help_of(&Sandbox::new(), None));
    assert_eq!(
        commands,
        [
            "ingest",
            "list",
            "show",
            "search-actor",
            "search-target",
            "export",
            "page",
            "digest",
            "mirror",
            "alert",
            "central",
            "sweep",
            "verify",
            "backup",
            "actions",
            "stats",
            "config",
            "doctor",
            "whoami",
            "gate",
            "completions",
            "man"
        ]
    );
}

#[test]
fn short_help_is_short_and_help_command_equals_the_flag() {
    let sandbox = Sandbox::new();
    for command in subcommands(&help_of(&sandbox, None)) {
        let long = help_of(&sandbox, Some(&command));
        let short = sandbox.run([&command, "-h"]).ok().no_stderr();
        assert!(short.stdout().len() <= long.len(), "{command}");
        // The page on the topic config explains its keys.
        if command != "config" {
            assert_eq!(sandbox.run(["help", &command]).ok().stdout(), long, "{command}");
        }
        let first = long.lines().next().unwrap();
        assert!(!first.ends_with('.'), "{command}: no full stop on the first line: {first}");
    }
}

/// Returns the example commands of a help text.
fn examples(help: &str) -> Vec<String> {
    help.split("Examples:")
        .nth(1)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("$ "))
        .filter(|line| line.split_whitespace().any(|word| word == "activity"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_two_examples_of_every_help_run() {
    let names = subcommands(&help_of(&Sandbox::new(), None));
    for command in names {
        let sandbox = Sandbox::with_events();
        sandbox.ingest(join_lines([60, 3600].map(|ago| {
            let time = clock::seconds_ago(ago);
            json!({"action":"auth.login_failed","occurred_at":time,"actor_id":"3","ip":"::1","status_code":401})
                .to_string()
        })));
        // For the commands that send a mail, and for the mirrors.
        sandbox.write(
            "config.toml",
            "[digest]\nfrom = 'a@example.org'\nto = ['b@example.org']\ntransport = 'sendmail'\n\
             [digest.sendmail]\ncommand = ['/bin/true']\n\
             [[mirror]]\nname = 'archive'\ntype = 'file'\npath = 'archive.log'\n\
             [[alert]]\nname = 'settings'\nquery = 'action:settings.write'\n\
             mail = ['ops@example.org']\n",
        );
        let examples = examples(&help_of(&sandbox, Some(&command)));
        assert!(examples.len() >= 2, "{command} has two examples: {examples:?}");
        for example in examples {
            assert!(example.contains(&format!("activity {command}")), "{example}");
            let out = sandbox.run_shell(&example);
            let out = out.ok();
            let is_written = ["-o ", "--install "].iter().any(|flag| example.contains(flag));
            let has_effect = !out.out.is_empty() || command == "ingest" || is_written;
            assert!(has_effect || example.contains('>'), "{example} shows nothing\n{out}");
        }
    }
}

#[test]
fn every_flag_of_the_query_is_explained() {
    let help = help_of(&Sandbox::new(), Some("list"));
    for flag in "actor target action id source method module tenant session endpoint by severity \
                 status ip impersonator is impersonated failed since until days today search limit \
                 page after sort output json follow time around view columns no-pager db config tz \
                 color quiet help"
        .split_whitespace()
    {
        let flag = format!("--{flag}");
        let is_listed =
            help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == flag);
        assert!(is_listed, "{flag} is not in the help of list");
    }
}

#[test]
fn completions_come_for_each_shell_and_parse() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        let out = sandbox.run(["completions", shell]).ok().no_stderr();
        assert!(out.stdout().contains("complete -- "), "{shell} asks the program");
    }
    for shell in ["elvish", "powershell"] {
        let out = sandbox.run(["completions", shell]).ok().no_stderr();
        assert!(out.stdout().contains("search-actor"), "{shell} knows the commands");
    }
    sandbox.run(["completions", "tcl"]).exits(2).no_stdout().done();
    sandbox.run(["completions"]).exits(2).no_stdout().done();
    let out = sandbox.run_shell(
        "activity completions bash > c && bash -n c && bash -c '. ./c; complete -p activity'",
    );
    assert!(out.ok().stdout().contains("activity"));
}

#[test]
fn the_manual_is_a_manual_page() {
    let sandbox = Sandbox::new();
    let out = sandbox.run(["man"]).ok().no_stderr();
    assert!(out.stdout().lines().any(|line| line.starts_with(".TH")), "{out}");
    for command in subcommands(&help_of(&sandbox, None)) {
        assert!(out.stdout().replace('\\', "").contains(&command), "{command} is in the manual");
    }
}

#[test]
fn a_mistyped_command_or_flag_is_2_with_the_nearest_name() {
    let sandbox = Sandbox::new();
    sandbox.run(["lst"]).exits(2).no_stdout().stderr_has("list").done();
    sandbox.run(["list", "--actr", "3"]).exits(2).no_stdout().stderr_has("--actor").done();
    sandbox.run(["ingest", "--actoin", "x"]).exits(2).no_stdout().stderr_has("--action").done();
}

#[test]
fn each_topic_has_a_page() {
    let sandbox = Sandbox::new();
    for topic in ["query", "times", "fields", "formats", "config", "exit-codes"] {
        let out = sandbox.run(["help", topic]).ok().no_stderr();
        let examples = out.stdout().lines().filter(|line| line.starts_with("  activity ")).count();
        assert!(examples >= 2, "{topic} has examples\n{out}");
    }
    sandbox.run(["help", "querry"]).exits(2).stderr_has("did you mean query?").done();
    let overview = sandbox.run(["help"]).ok();
    assert_eq!(overview.stdout(), help_of(&sandbox, None));
    assert!(overview.stdout().contains("activity help query"), "{overview}");
}

#[test]
fn help_in_front_of_a_command_is_that_of_the_command() {
    let sandbox = Sandbox::new();
    let short = sandbox.run(["list", "-h"]).ok();
    assert_eq!(sandbox.run(["-h", "list"]).ok().stdout(), short.stdout());
    assert_eq!(sandbox.run(["--help", "list"]).ok().stdout(), help_of(&sandbox, Some("list")));
    assert!(help_of(&sandbox, Some("list")).starts_with("Examples:\n"));
}

#[test]
fn manual_pages_end_with_what_they_share() {
    let sandbox = Sandbox::new();
    for (command, with_query) in [("list", true), ("stats", true), ("verify", false)] {
        let page = sandbox.run(["man", command]).ok();
        let page = page.stdout();
        assert_eq!(page.contains("\n.SH QUERY\n"), with_query, "{command}");
        for section in ["EXIT STATUS", "FILES", "ENVIRONMENT"] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{command} has {section}");
        }
    }
}
