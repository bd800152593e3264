//! The sources of settings – flag, environment, config, default – and errors in a config.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Sandbox;

#[test]
fn a_flag_beats_the_environment_and_that_the_config() {
    let sandbox = Sandbox::new();
    let path = |name: &str| sandbox.path(name).display().to_string();
    sandbox.write("config.toml", format!("db = {:?}\ntz = \"Asia/Tokyo\"\n", path("config.db")));

    let mut command = sandbox.command(["ingest", "--action", "from.config"]);
    command.env_remove("ACTIVITY_DB");
    sandbox.run_command(command).ok().done();
    assert!(sandbox.exists("config.db") && !sandbox.exists("log.db"));

    let (environment, flag) = (path("env.db"), path("flag.db"));
    sandbox.run_with_env(&[("ACTIVITY_DB", &environment)], ["ingest", "--action", "x"]).ok().done();
    assert!(sandbox.exists("env.db"));
    let args = ["ingest", "--action", "x", "--db", &flag];
    sandbox.run_with_env(&[("ACTIVITY_DB", &environment)], args).ok().done();
    assert!(sandbox.exists("flag.db"));
    for name in ["config.db", "env.db", "flag.db"] {
        assert_eq!(crate::support::log::Log::open(&sandbox.path(name)).event_count(), 1, "{name}");
    }
}

#[test]
fn the_zone_comes_from_flag_environment_config_or_host() {
    let sandbox = Sandbox::new();
    sandbox.ingest(r#"{"action":"a","occurred_at":"2025-01-01T00:00:00Z"}"#);
    let hour = |variables: &[(&str, &str)], args: &[&str]| {
        let out =
            sandbox.run_with_env(variables, [&["list", "--columns", "when"], args].concat()).ok();
        out.stdout().lines().nth(1).unwrap().trim().to_owned()
    };
    assert_eq!(hour(&[], &[]), "2025-01-01T00:00:00.000Z");
    assert_eq!(hour(&[("TZ", "America/New_York")], &[]), "2024-12-31T19:00:00.000-05:00");
    assert_eq!(hour(&[("TZ", ":Asia/Kolkata")], &[]), "2025-01-01T05:30:00.000+05:30");
    sandbox.write("config.toml", "tz = \"Asia/Tokyo\"\n");
    assert_eq!(hour(&[("TZ", "America/New_York")], &[]), "2025-01-01T09:00:00.000+09:00");
    assert_eq!(hour(&[("ACTIVITY_TZ", "Europe/Paris")], &[]), "2025-01-01T01:00:00.000+01:00");
    assert_eq!(
        hour(&[("ACTIVITY_TZ", "Europe/Paris")], &["--tz", "Africa/Johannesburg"]),
        "2025-01-01T02:00:00.000+02:00"
    );
}

#[test]
fn an_unknown_key_is_named() {
    for (config, key) in [
        ("colour = \"red\"\n", "colour"),
        ("[digest]\nform = \"x\"\n", "form"),
        ("[digest.sendgrid]\napi_key = \"x\"\n", "api_key"),
        ("[nonsense]\n", "nonsense"),
        ("[retention]\nkeeps = \"1d\"\n", "keeps"),
    ] {
        let sandbox = Sandbox::with_events();
        sandbox.write("config.toml", config);
        let out = sandbox.run(["list"]).exits(78).no_stdout().stderr_is_one_error().stderr_has(key);
        assert!(out.stderr().contains("config.toml"), "the file is named\n{out}");
        sandbox.run(["ingest", "--action", "x"]).exits(78).no_stdout().done();
        assert_eq!(sandbox.log().event_count(), 8);
    }
}

#[test]
fn a_config_that_is_no_toml_is_told_by_its_line() {
    let sandbox = Sandbox::with_events();
    sandbox.write("config.toml", "tz = \"UTC\"\ndb = \n");
    let out = sandbox.run(["list"]).exits(78).no_stdout().stderr_is_one_error();
    assert!(out.stderr().contains("config.toml:2"), "{out}");
    for bad in ["tz = 7\n", "tz = \"Mars/Olympus\"\n", "space_left = \"much\"\n", "\u{0}\n"] {
        sandbox.write("config.toml", bad);
        sandbox.run(["list"]).exits(78).no_stdout().stderr_is_one_error().done();
    }
}

#[test]
fn a_config_that_was_named_must_be_there_and_another_need_not() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["list", "--config", "none.toml"]).no_stdout().stderr_is_one_error();
    out.stderr_has("none.toml").exits_with_one_of(&[66, 78]);
    let mut command = sandbox.command(["list"]);
    command.env_remove("ACTIVITY_CONFIG");
    sandbox.run_command(command).ok().done();
}

#[test]
fn a_config_is_found_under_xdg() {
    let sandbox = Sandbox::with_events();
    let folder = sandbox.home().join(".config/activity");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), "system_label = \"[found]\"\n").unwrap();
    sandbox.chown_to_nobody();
    let mut command = sandbox.command_as_nobody(["list"]);
    command.env_remove("ACTIVITY_CONFIG");
    let out = sandbox.run_command(command).ok();
    assert!(out.stdout().contains("[found]"), "{out}");

    let other = sandbox.root().join("other/activity");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("config.toml"), "system_label = \"[other]\"\n").unwrap();
    sandbox.chown_to_nobody();
    let mut command = sandbox.command_as_nobody(["list"]);
    command.env_remove("ACTIVITY_CONFIG").env("XDG_CONFIG_HOME", sandbox.root().join("other"));
    let out = sandbox.run_command(command).ok();
    assert!(out.stdout().contains("[other]"), "{out}");
}

#[test]
fn the_log_of_somebody_is_under_xdg() {
    let sandbox = Sandbox::new();
    for (variable, place) in [
        (None, sandbox.home().join(".local/share/activity/activity.db")),
        (Some(sandbox.root().join("data")), sandbox.root().join("data/activity/activity.db")),
    ] {
        let command = |args: &[&str]| {
            let mut command = sandbox.command_as_nobody(args);
            command.env_remove("ACTIVITY_DB");
            if let Some(variable) = &variable {
                command.env("XDG_DATA_HOME", variable);
            }
            command
        };
        sandbox.run_command(command(&["ingest", "--action", "a"])).ok().done();
        let mode = place.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", place.display());
        let folder = place.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(folder, 0o700, "{}", place.display());
        let out = sandbox.run_command(command(&["list", "--json"])).ok();
        assert_eq!(out.json_lines().len(), 1);
    }
}

#[test]
fn a_relative_log_is_the_one_of_the_folder() {
    let sandbox = Sandbox::new();
    sandbox.run(["ingest", "--db", "here.db", "--action", "a"]).ok().done();
    assert!(sandbox.exists("here.db"));
    let out = sandbox.run_shell(
        "cd / && activity list --db \"$OLDPWD/here.db\" --json --config \"$OLDPWD/config.toml\"",
    );
    assert_eq!(out.ok().json_lines().len(), 1);
}

#[test]
fn ingest_warns_once_a_day_when_little_space_is_left() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", "space_left = \"900000TiB\"\n");
    let out = sandbox.run(["ingest", "--action", "a"]).ok().no_stdout();
    assert!(out.stderr().lines().count() == 2, "one line of warning beside the summary\n{out}");
    let day_of_warning = || fs::metadata(sandbox.path("log.db.lock")).unwrap().modified().unwrap();
    let before = day_of_warning();
    let out = sandbox.run(["ingest", "--action", "b"]).ok();
    // Between the two runs a day may have begun.
    if day_of_warning() == before {
        assert_eq!(out.stderr().lines().count(), 1, "{out}");
    }
    let yesterday = before - std::time::Duration::from_secs(86_400);
    let lock = fs::File::open(sandbox.path("log.db.lock")).unwrap();
    lock.set_modified(yesterday).unwrap();
    let out = sandbox.run(["ingest", "--action", "c"]).ok();
    assert_eq!(out.stderr().lines().count(), 2, "{out}");
    assert_eq!(sandbox.log().event_count(), 3);
}

#[test]
fn colour_is_decided_by_flag_then_variables_then_terminal() {
    let sandbox = Sandbox::with_events();
    let coloured = |variables: &[(&str, &str)], args: &[&str]| {
        let out = sandbox.run_with_env(variables, [&["list"], args].concat()).ok();
        out.out.contains(&0x1b)
    };
    assert!(!coloured(&[], &[]));
    assert!(coloured(&[], &["--color", "always"]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "0")], &[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1")], &["--color", "never"]));
    assert!(coloured(&[("NO_COLOR", "1")], &["--color", "always"]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1")], &["--json"]), "data has no colour");
    sandbox.run(["list", "--color", "sometimes"]).exits(2).done();
}
