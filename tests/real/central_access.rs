//! Roles over a central store: what a caller may not see is not there for them, whatever they ask.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::mirrors::postgres::Cluster;
use crate::support::Output;
use crate::support::Sandbox;
use crate::support::wait;

/// A user of no table, for whom root stands in by `sudo`.
const UID: &str = "64017";

/// Events of 17 in tenant a, and others that speak of secrets everywhere.
const EVENTS: &str = r#"
{"event_id":"secret-1","occurred_at":"2026-11-05T10:01:00Z","tenant":"secret","action":"secret.act","title":"Secret title","module":"secret","actor_id":"secret-actor","actor_label":"Secret Person","target_type":"secret","target_id":"secret-record","target_label":"Secret Record"}
{"event_id":"own-2","occurred_at":"2026-11-05T10:02:00Z","tenant":"a","action":"page.edit","actor_id":"17"}
{"event_id":"secret-3","occurred_at":"2026-11-05T10:03:00Z","tenant":"secret","action":"secret.act","actor_id":"17","actor_label":"Secret Namesake","target_id":"home","target_label":"Secret Home","status_code":500,"severity":"critical"}
{"event_id":"own-4","occurred_at":"2026-11-05T10:04:00Z","tenant":"a","action":"page.edit","actor_id":"17","target_type":"page","target_id":"home"}
{"event_id":"secret-5","occurred_at":"2026-11-05T10:05:00Z","tenant":"a","source":"system","action":"secret.purge","title":"Secret purge"}
"#;

/// Commands that read a store, as a caller asks who is after the secrets. `WEB` is the name of the log.
const READS: [&[&str]; 25] = [
    &["list"],
    &["list", "--json"],
    &["list", "--count"],
    &["list", "secret"],
    &["list", "action:secret.*,page.edit", "--sort", "title"],
    &["list", "--sort", "actor:asc", "--columns", "when,actor,target,title,tenant,module"],
    &["list", "--view", "http"],
    &["list", "tenant:secret"],
    &["list", "id:1-9", "-r"],
    &["list", "--around", "WEB/2"],
    &["list", "actor:secret-actr"],
    &["show", "WEB/2"],
    &["show", "own-4"],
    &["search-actor", "17"],
    &["search-actor", "Secret Person"],
    &["search-target", "home"],
    &["search-target", "secret-record"],
    &["actions"],
    &["stats"],
    &["stats", "--by", "actor"],
    &["stats", "--by", "target", "--by", "tenant"],
    &["stats", "--by", "title", "--json"],
    &["export", "--jsonl"],
    &["export", "--csv"],
    &["page", "-o", "-"],
];

/// Asked for what there is not, as far as the caller is concerned.
const REFUSED: [&[&str]; 4] = [
    &["show", "WEB/1"],
    &["show", "secret-1"],
    &["show", "secret"],
    &["list", "--around", "WEB/1"],
];

/// Commands that read no events, or only those of the log of this host, or for the platform's own work.
const OTHERS: [&str; 15] = [
    "ingest",
    "sweep",
    "backup",
    "mirror",
    "alert",
    "digest",
    "verify",
    "doctor",
    "central",
    "config",
    "whoami",
    "completions",
    "man",
    "help",
    "gate",
];

/// A host whose events are in the store, with the config that it has without roles.
fn store_with_events(cluster: &Cluster) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let central = format!("central = '{}'\n", cluster.url());
    let config = central + &cluster.config(&sandbox, "");
    sandbox.write("config.toml", &config);
    sandbox.ingest(EVENTS);
    sandbox.run(["mirror"]).ok().done();
    (sandbox, config)
}

fn caller_name(sandbox: &Sandbox) -> String {
    let whoami = as_caller(sandbox, &["whoami", "--json"]).ok().json();
    whoami["user"].as_str().unwrap().to_owned()
}

fn as_caller(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.run_with_env(&[("SUDO_UID", UID)], args)
}

#[test]
fn no_read_of_a_store_lets_anything_out_that_is_beyond_the_scope() {
    let Some(cluster) = Cluster::start() else { return };
    let (sandbox, config) = store_with_events(&cluster);
    let user = caller_name(&sandbox);
    let name = sandbox.run(["--central", "list", "-n", "1", "--json"]).ok().json();
    let name = name["log"].as_str().unwrap().to_owned();
    for (role, capabilities) in [
        ("own", "'list-own', 'show-own', 'search-actor-own', 'search-target', 'export', 'ingest'"),
        ("all", "'list-all', 'show-any', 'search-actor-any', 'search-target', 'export', 'ingest'"),
    ] {
        let access = format!(
            "\n[access.users]\n\"{user}\" = {{ role = '{role}', actor_id = '17', only = 'tenant:a' }}\n\
             [access.roles]\n{role} = [{capabilities}]\n"
        );
        sandbox.write("config.toml", config.clone() + &access);
        for args in READS {
            let args: Vec<String> = args.iter().map(|arg| arg.replace("WEB", &name)).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let out = as_caller(&sandbox, &[&["--central"], args.as_slice()].concat());
            let told = out.ok().to_string();
            // The command itself may name what it looks for.
            let told = args.iter().fold(told, |told, arg| told.replace(arg, ""));
            assert!(!told.to_lowercase().contains("secret"), "{role} {args:?}: {told}");
        }
        for args in REFUSED {
            let args: Vec<String> = args.iter().map(|arg| arg.replace("WEB", &name)).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            as_caller(&sandbox, &[&["--central"], args.as_slice()].concat())
                .exits(1)
                .no_stdout()
                .done();
        }
        // It is the same that they see in the log itself.
        let ids = |central: &[&str]| -> BTreeSet<String> {
            let rows = as_caller(&sandbox, &[central, &["list", "--json"]].concat());
            let id = |row: &Value| row["event_id"].as_str().unwrap().to_owned();
            rows.ok().json_lines().iter().map(id).filter(|id| !id.starts_with("0")).collect()
        };
        assert_eq!(ids(&["--central"]), ids(&[]), "{role}");
        let count = as_caller(&sandbox, &["--central", "list", "--count", "event:own-*"]).ok();
        assert_eq!(count.stdout().trim(), "2", "{role}");
    }
}

/// `--follow` begins with what is there, and reads on by what has arrived.
#[test]
fn what_arrives_is_narrowed_too() {
    let Some(cluster) = Cluster::start() else { return };
    let (sandbox, config) = store_with_events(&cluster);
    let access =
        "\n[access]\ndefault_role = 'own'\n[access.roles]\nown = ['list-own', 'list-all']\n";
    let only = format!(
        "\n[access.users]\n\"{}\" = {{ role = 'own', only = 'tenant:a' }}\n",
        caller_name(&sandbox)
    );
    let mut command =
        sandbox.command(["--central", "list", "-f", "--columns", "action,tenant,title"]);
    command.env("SUDO_UID", UID);
    sandbox.write("config.toml", config.clone() + access + &only);
    let output = sandbox.path("followed");
    command.stdout(fs::File::create(&output).unwrap());
    let mut following = command.spawn().unwrap();
    let followed = || String::from_utf8(sandbox.read("followed")).unwrap();
    wait::until_true("the newest events", || followed().contains("page.edit"));
    sandbox.write("config.toml", config);
    sandbox.ingest(EVENTS.replace("event_id\":\"", "event_id\":\"again-"));
    sandbox.ingest("{\"tenant\":\"a\",\"action\":\"the.end\",\"actor_id\":\"17\"}\n");
    sandbox.run(["mirror"]).ok().done();
    wait::until_true("what arrives", || followed().contains("the.end"));
    following.kill().unwrap();
    following.wait().unwrap();
    assert!(!followed().to_lowercase().contains("secret "), "{}", followed());
    assert_eq!(followed().matches("page.edit").count(), 4, "{}", followed());
    assert!(!followed().contains("secret.act"), "{}", followed());
}

#[test]
fn every_command_is_asked_or_reads_no_store() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(["--help"]).ok().stdout().to_owned();
    let commands = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands = commands.filter_map(|line| line.split("  ").next());
    let is_command = |word: &&str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let mut count = 0;
    for command in commands.filter(is_command).filter(|word| !word.starts_with('-')) {
        count += 1;
        let is_asked = READS.iter().any(|args| args[0] == command);
        assert!(is_asked || OTHERS.contains(&command), "{command}");
    }
    assert!(count > 15, "{help}");
}
