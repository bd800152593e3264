//! What the tab key offers.

use crate::support::Sandbox;
use crate::support::join_lines;

/// The words that are offered at the end of a line.
fn offered(sandbox: &Sandbox, line: &[&str]) -> Vec<String> {
    let args = ["complete", "--", "activity"].iter().chain(line);
    let out = sandbox.run(args).ok().no_stderr();
    let words = out.stdout().lines().map(|line| line.split('\t').next().unwrap().to_owned());
    words.collect()
}

#[test]
fn commands_flags_and_their_values_are_offered() {
    let sandbox = Sandbox::with_events();
    assert_eq!(offered(&sandbox, &["search"]), ["search-actor", "search-target"]);
    assert_eq!(offered(&sandbox, &["list", "--imp"]), ["--impersonator", "--impersonated"]);
    assert_eq!(offered(&sandbox, &["list", "--output", "j"]), ["json"]);
    assert_eq!(offered(&sandbox, &["list", "--output=c"]), ["--output=csv"]);
    assert_eq!(offered(&sandbox, &["list", "--severity", "h"]), ["high"]);
    assert_eq!(offered(&sandbox, &["stats", "--by", "se"]), ["severity", "session_id"]);
    assert_eq!(offered(&sandbox, &["help", "exit"]), ["exit-codes"]);
    assert!(!offered(&sandbox, &["comp"]).contains(&"complete".to_owned()), "it is for scripts");
}

#[test]
fn qualifiers_and_saved_queries_are_offered() {
    let sandbox = Sandbox::with_events();
    sandbox.write("config.toml", "[queries]\nnight = 'action:auth.*'\n");
    assert_eq!(offered(&sandbox, &["list", "sev"]), ["severity:"]);
    assert_eq!(offered(&sandbox, &["list", "--json", "-sev"]), ["-severity:"]);
    assert_eq!(offered(&sandbox, &["export", "@"]), ["@night"]);
    assert_eq!(offered(&sandbox, &["list", "is:f"]), ["is:failed"]);
    assert_eq!(offered(&sandbox, &["list", "source:cron,a"]), ["source:cron,api"]);
}

#[test]
fn names_of_the_log_are_offered() {
    let sandbox = Sandbox::with_events();
    assert_eq!(offered(&sandbox, &["list", "action:user"]), ["action:user.edit"]);
    assert_eq!(
        offered(&sandbox, &["list", "-action:user.edit,pa"]),
        ["-action:user.edit,page.delete"]
    );
    assert_eq!(offered(&sandbox, &["list", "actor:jer"]), ["actor:\"Jerome Cruz\""]);
    assert_eq!(
        offered(&sandbox, &["list", "actor:\"J"]),
        ["actor:\"James Compton\"", "actor:\"Jerome Cruz\"", "actor:\"Jim Compton\""]
    );
    assert_eq!(offered(&sandbox, &["list", "--actor", "jer"]), ["Jerome Cruz"]);
    let all = offered(&sandbox, &["list", "actor:"]);
    assert!(all.iter().any(|name| name == "actor:\"Jerome Cruz\""), "{all:?}");
    assert_eq!(offered(&sandbox, &["search-actor", "1"]), ["17"]);
    assert_eq!(offered(&sandbox, &["search-target", "spring"]), ["Spring launch", "spring-launch"]);
    assert_eq!(offered(&sandbox, &["list", "tenant:s"]), ["tenant:s2l.online"]);
    let other = sandbox.path("other.db").display().to_string();
    sandbox.run(["ingest", "--db", &other, "--action", "user.other"]).ok().done();
    assert_eq!(offered(&sandbox, &["--db", &other, "list", "action:u"]), ["action:user.other"]);
    assert_eq!(offered(&sandbox, &["--db", "missing.db", "list", "action:u"]), [""; 0]);
}

#[test]
fn a_name_that_a_terminal_would_obey_is_not_offered() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        r#"{"action":"a","actor_label":"x\u001b[2J"}"#,
        r#"{"action":"a","actor_label":"x\ny"}"#,
        r#"{"action":"a","actor_label":"x'; rm $HOME"}"#,
    ]));
    assert_eq!(offered(&sandbox, &["list", "actor:x"]), ["actor:\"x'; rm $HOME\""]);
    let script = "activity completions bash > c && . ./c && COMP_LINE='activity list actor:x' && \
        COMP_POINT=${#COMP_LINE} && _activity && printf '%s\n' \"${COMPREPLY[@]}\"";
    sandbox.write("run.bash", script);
    let out = sandbox.run_shell("bash run.bash").ok();
    assert_eq!(out.stdout(), "\\\"x\\'\\;\\ rm\\ \\$HOME\\\"\n", "the shell runs no part of it");
}

#[test]
fn only_what_the_caller_may_see_is_offered() {
    let sandbox = Sandbox::with_events();
    if !crate::support::is_running_as_root() {
        return;
    }
    sandbox.write("config.toml", "[access.users]\nroot = { role = 'viewer', actor_id = '3' }\n");
    let mut actions = offered(&sandbox, &["list", "action:"]);
    actions.sort();
    assert_eq!(actions, ["action:page.delete", "action:settings.write", "action:user.edit"]);
}

#[test]
fn every_manual_page_is_installed() {
    let sandbox = Sandbox::new();
    sandbox.run(["man", "--install", "man1"]).ok().no_stdout().done();
    for page in ["activity.1", "activity-list.1", "activity-stats.1"] {
        assert!(sandbox.exists(format!("man1/{page}")), "{page}");
    }
    assert!(!sandbox.exists("man1/activity-complete.1"));
}
