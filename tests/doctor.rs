//! `activity doctor`: checks whether this host is set up.
//!
//! The schedules of the host that runs the tests are unknown here: tests beside the code check them
//! on made-up hosts, and the real suite does with a real cron.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;

const SENDGRID_KEY: &str = "SG.hush-hush.0123456789";

fn chmod(sandbox: &Sandbox, name: &str, mode: u32) {
    std::fs::set_permissions(sandbox.path(name), Permissions::from_mode(mode)).unwrap();
}

/// A log with an event, and mail that goes to a script.
fn configured_sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("sendmail", "#!/bin/sh\ncat >> \"${0%/*}/mailbox\"\n");
    chmod(&sandbox, "sendmail", 0o755);
    write_config(&sandbox, "");
    sandbox.ingest(join_lines([r#"{"action":"user.edit","actor_id":"3"}"#]));
    sandbox
}

fn write_config(sandbox: &Sandbox, more: &str) {
    let command = sandbox.path("sendmail");
    sandbox.write(
        "config.toml",
        format!(
            "site = 's2l.online'\n{more}\n[digest]\nfrom = 'log@example.org'\n\
             to = ['ops@example.org']\ntransport = 'sendmail'\n[digest.sendmail]\ncommand = ['{}']\n",
            command.display()
        ),
    );
}

/// Runs the doctor in both forms, and checks that they agree and that the exit follows the checks.
#[track_caller]
fn run_doctor(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Value {
    let found = sandbox.run_with_env(variables, ["doctor", "--json"]).no_stderr();
    let code = if found.json()["ok"] == true { 0 } else { 1 };
    let found = found.exits(code).json();
    sandbox.run_with_env(variables, ["doctor"]).exits(code).no_stderr().done();
    let checks = found["checks"].as_array().unwrap();
    let is_bad = checks.iter().any(|check| check["status"] == "bad");
    assert_eq!(found["ok"], !is_bad, "{found}");
    found
}

#[track_caller]
fn find_check<'a>(found: &'a Value, area: &str, name: &str) -> &'a Value {
    let mut checks = found["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["area"] == area && check["check"] == name);
    check.unwrap_or_else(|| panic!("no {name} of {area} in {found:#}"))
}

#[track_caller]
fn assert_check(check: &Value, status: &str, parts: &[&str]) {
    assert_eq!(check["status"], status, "{check}");
    for part in parts {
        assert!(check.to_string().contains(part), "no {part:?} in {check}");
    }
}

#[test]
fn a_healthy_log_is_shown_with_its_newest_event() {
    let sandbox = configured_sandbox();
    let found = run_doctor(&sandbox, &[]);
    let schema: i64 = sandbox.log().query_value("PRAGMA user_version");
    let schema = format!("schema {schema}");
    assert_check(
        find_check(&found, "log", "file"),
        "ok",
        &["log.db", "0600", &schema, "\"ACTIVITY_DB\""],
    );
    assert_check(find_check(&found, "log", "newest"), "ok", &["event 1, user.edit, just now"]);
    let hash: String = sandbox.log().query_value("SELECT lower(hex(hash)) FROM head");
    assert_check(find_check(&found, "log", "head"), "ok", &[&format!("1:{}", &hash[..16])]);
    assert!(!found.to_string().contains(&hash), "the whole of it is verify's");
    assert_check(find_check(&found, "log", "reserve"), "ok", &["8 MiB"]);
    assert_check(find_check(&found, "log", "space"), "ok", &["256 MiB asked for", "\"default\""]);
    assert_check(find_check(&found, "clock", "host"), "ok", &["UTC"]);
    let both = "ACTIVITY_DB and ACTIVITY_CONFIG of this call decide what";
    assert_check(find_check(&found, "schedules", "this_call"), "note", &[both]);
    sandbox.write("log.db.reserve", "");
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "log", "reserve"),
        "note",
        &["less than 8 MiB"],
    );
    std::fs::remove_file(sandbox.path("log.db.reserve")).unwrap();
    let found = run_doctor(&sandbox, &[]);
    assert_check(find_check(&found, "log", "reserve"), "note", &["the next sweep makes it"]);
    sandbox.assert_sound_with(1);
}

#[test]
fn companions_are_found_beside_the_log_that_a_link_leads_to() {
    let sandbox = configured_sandbox();
    let link = sandbox.path("link.db");
    std::os::unix::fs::symlink(sandbox.db(), &link).unwrap();
    let found = run_doctor(&sandbox, &[("ACTIVITY_DB", link.to_str().unwrap())]);
    assert_check(find_check(&found, "log", "reserve"), "ok", &["8 MiB"]);
}

#[test]
fn every_value_has_its_origin_and_no_secret_is_shown() {
    let sandbox = configured_sandbox();
    let key = sandbox.write("the.key", SENDGRID_KEY);
    chmod(&sandbox, "the.key", 0o600);
    sandbox.write(
        "config.toml",
        format!(
            "tz = 'Africa/Johannesburg'\n[retention]\nkeep = '365d'\n[[retention.rule]]\n\
             query = 'action:cron.*'\nkeep = '30d'\n[digest]\nfrom = 'a@b.c'\nto = ['d@e.f']\n\
             transport = 'sendgrid'\ntop = 7\n[digest.sendgrid]\napi_key_file = '{}'\n",
            key.display()
        ),
    );
    let found = run_doctor(&sandbox, &[("ACTIVITY_SMTP_PASSWORD", "hush"), ("ACTIVITY_TZ", "UTC")]);
    let setting = |name: &str| {
        let check = find_check(&found, "config", name);
        (check["value"].as_str().unwrap(), check["origin"].as_str().unwrap())
    };
    assert_eq!(setting("db"), ("log.db", "ACTIVITY_DB"));
    assert_eq!(setting("tz"), ("UTC", "ACTIVITY_TZ"));
    assert_eq!(setting("digest.top"), ("7", "config"));
    assert_eq!(setting("digest.per_kind"), ("20", "default"));
    assert_eq!(setting("key"), ("[secret]", "ACTIVITY_SMTP_PASSWORD"));
    assert_eq!(setting("retention.rule[1]"), ("query action:cron.*, keep 30d", "config"));
    assert_check(find_check(&found, "config", "retention"), "ok", &["keep 365d, 1 rule"]);
    assert_check(find_check(&found, "mail", "key_file"), "ok", &["the.key", "0600"]);
    assert_check(find_check(&found, "mail", "transport"), "ok", &["sendgrid to d@e.f", "--mail"]);
    assert_check(find_check(&found, "last_runs", "sweep"), "bad", &["none yet"]);
    assert!(!found.to_string().contains("hush"), "{found}");
    let text = sandbox.run(["doctor"]).exits(1);
    assert!(!text.stdout().contains("hush"), "{text}");
    assert!(text.stdout().contains("digest.top = 7"), "{text}");
}

#[test]
fn a_file_that_others_may_change_or_read_is_reported() {
    let sandbox = configured_sandbox();
    for (name, mode, (area, check_name), status) in [
        ("log.db", 0o606, ("log", "file"), "bad"),
        ("log.db", 0o644, ("log", "file"), "note"),
        ("log.db", 0o660, ("log", "file"), "ok"),
        ("config.toml", 0o644, ("config", "file"), "ok"),
        ("config.toml", 0o646, ("config", "file"), "bad"),
    ] {
        let before = sandbox.mode(name);
        chmod(&sandbox, name, mode);
        let found = run_doctor(&sandbox, &[]);
        assert_check(find_check(&found, area, check_name), status, &[&format!("{mode:04o}")]);
        chmod(&sandbox, name, before);
    }
    chmod(&sandbox, "", 0o777);
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "log", "folder"),
        "bad",
        &["another log in its place"],
    );
    chmod(&sandbox, "", 0o1777);
    let found = run_doctor(&sandbox, &[]);
    assert!(!found.to_string().contains("another log"), "only its owner replaces a file there");
}

#[test]
fn without_a_log_the_rest_is_looked_at_all_the_same() {
    let sandbox = Sandbox::new();
    let found = run_doctor(&sandbox, &[]);
    assert_check(
        find_check(&found, "log", "file"),
        "bad",
        &["no such file", "`activity ingest` makes one"],
    );
    assert_check(find_check(&found, "mail", "transport"), "bad", &["digest.from is missing"]);
    assert_check(find_check(&found, "config", "file"), "ok", &["config.toml"]);
    assert!(!sandbox.exists("log.db"), "it makes none");
    sandbox.write("log.db", "");
    assert_check(find_check(&run_doctor(&sandbox, &[]), "log", "file"), "bad", &["is empty"]);
    sandbox.write("log.db", "no log at all, but long enough to be looked at for its first bytes");
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "log", "file"),
        "bad",
        &["not an activity log"],
    );
}

#[test]
fn a_broken_config_is_reported_and_the_log_that_it_may_guard_is_not_read() {
    let sandbox = configured_sandbox();
    for (config, why) in [
        ("tz = 'Mars'\n", "tz: "),
        ("[access]\ndefault_role = 'vewer'\n", "access.default_role: "),
        ("tz =\n", "config.toml:1: "),
    ] {
        sandbox.write("config.toml", config);
        let found = run_doctor(&sandbox, &[]);
        assert_check(find_check(&found, "config", "file"), "bad", &[why]);
        assert_check(find_check(&found, "log", "file"), "note", &["log.db", "it is not read"]);
        assert!(!found.to_string().contains("user.edit"), "{found}");
        find_check(&found, "schedules", "digest");
        assert_check(
            find_check(&found, "schedules", "this_call"),
            "note",
            &["ACTIVITY_DB of this call decides"],
        );
    }
    let mut command = sandbox.command(["doctor", "--json"]);
    command.env_remove("ACTIVITY_DB");
    let found = sandbox.run_command(command).exits(1).json();
    assert_check(find_check(&found, "log", "file"), "note", &["the config names it"]);
    sandbox.run(["doctor", "--config", "none.toml"]).exits(1).no_stderr().done();
    sandbox.run(["doctor", "--mail", "a@b.c"]).exits(78).stderr_is_one_error().done();
}

#[test]
fn mail_that_cannot_be_sent_is_reported_before_it_is_due() {
    let sandbox = configured_sandbox();
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "mail", "transport"),
        "ok",
        &["sendmail to ops@example.org", "activity doctor --mail ADDRESS"],
    );
    chmod(&sandbox, "sendmail", 0o644);
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "mail", "transport"),
        "bad",
        &["no program"],
    );

    let with_key = "[digest]\nfrom = 'a@b.c'\nto = ['d@e.f']\ntransport = 'sendgrid'\n";
    sandbox.write("config.toml", with_key);
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "mail", "transport"),
        "bad",
        &["api_key_file is missing"],
    );
    let from_environment = run_doctor(&sandbox, &[("SENDGRID_API_KEY", SENDGRID_KEY)]);
    assert_check(
        find_check(&from_environment, "mail", "transport"),
        "note",
        &["set digest.sendgrid.api_key"],
    );
    sandbox
        .write("config.toml", format!("{with_key}[digest.sendgrid]\napi_key_file = 'the.key'\n"));
    sandbox.write("the.key", SENDGRID_KEY);
    chmod(&sandbox, "the.key", 0o640);
    let found = run_doctor(&sandbox, &[]);
    assert_check(find_check(&found, "mail", "key_file"), "bad", &["0640", "chmod 0600"]);
    assert_check(find_check(&found, "mail", "transport"), "bad", &["0640"]);
}

#[test]
fn templates_are_tried_on_what_the_log_has() {
    let sandbox = configured_sandbox();
    let with = |text: &str| {
        std::fs::create_dir_all(sandbox.path("mine")).unwrap();
        sandbox.write("mine/digest.txt", text);
        write_config(&sandbox, "");
        sandbox.append("config.toml", "[digest.kinds]\n");
        let config = String::from_utf8(sandbox.read("config.toml")).unwrap();
        sandbox
            .write("config.toml", config.replace("[digest]\n", "[digest]\ntemplates = 'mine'\n"));
        run_doctor(&sandbox, &[])
    };
    assert_check(
        find_check(&with("{{ events }}"), "mail", "templates"),
        "ok",
        &["mine, and they work"],
    );
    let broken = "{% for kind in kinds %}{{ kind.nmae }}{% endfor %}";
    assert_check(find_check(&with(broken), "mail", "templates"), "bad", &["digest.txt:1"]);
    std::fs::remove_file(sandbox.path("mine/digest.txt")).unwrap();
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "mail", "templates"),
        "bad",
        &["neither digest.txt nor"],
    );
}

#[test]
fn the_last_digest_is_judged_and_so_are_mirrors_and_alerts() {
    let sandbox = configured_sandbox();
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "last_runs", "digest"),
        "bad",
        &["none yet"],
    );
    sandbox.run(["digest"]).ok().done();
    let found = run_doctor(&sandbox, &[]);
    assert_check(
        find_check(&found, "last_runs", "digest"),
        "ok",
        &["sent just now", "1 event to ops@example.org"],
    );
    assert_eq!(find_check(&found, "mail", "transport").get("advice"), None, "the way is known");
    sandbox.write("sendmail", "#!/bin/sh\nexit 69\n");
    sandbox.run(["digest", "--now"]).exits(69).done();
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "last_runs", "digest"),
        "bad",
        &["failed just now", "69"],
    );
    sandbox.append("config.toml", "[[mirror]]\nname = 'm'\ntype = 'file'\npath = 'm.log'\n");
    sandbox.append("config.toml", "[[alert]]\nname = 'a'\nquery = 'action:no.such'\n");
    sandbox.append("config.toml", "mail = ['ops@example.org']\n");
    sandbox.run(["mirror"]).ok().done();
    let found = run_doctor(&sandbox, &[]);
    assert_check(find_check(&found, "mirrors", "mirror"), "ok", &["m: ", "nothing waits"]);
    let silent = &["a: its action has never come"];
    assert_check(find_check(&found, "mirrors", "alert"), "note", silent);
}

#[test]
fn a_short_disk_and_a_wrong_clock_are_bad() {
    let sandbox = configured_sandbox();
    write_config(&sandbox, "space_left = '900000TiB'");
    let found = run_doctor(&sandbox, &[]);
    assert_check(find_check(&found, "log", "space"), "bad", &["only ", "asked for", "\"config\""]);
    let ahead = clock::seconds_ago(-7000);
    sandbox
        .run(["ingest", "--quiet", "--action", "from.tomorrow", "--occurred-at", &ahead])
        .ok()
        .done();
    assert_check(
        find_check(&run_doctor(&sandbox, &[]), "clock", "emitters"),
        "bad",
        &["from.tomorrow", "in 1 hr"],
    );
}

#[test]
fn a_user_other_than_root_gets_the_checks_that_they_can_see() {
    let sandbox = configured_sandbox();
    sandbox.chown_to_nobody();
    let out = sandbox.run_command(sandbox.command_as_nobody(["doctor", "--json"])).no_stderr();
    let found = out.exits(1).json();
    assert_check(find_check(&found, "log", "file"), "ok", &["0600"]);
    assert_check(find_check(&found, "config", "file"), "ok", &[]);
    find_check(&found, "schedules", "digest");
}

#[test]
fn hostile_names_reach_no_terminal_raw() {
    let sandbox = configured_sandbox();
    write_config(&sandbox, "system_label = '\u{202e}x'");
    let config = String::from_utf8(sandbox.read("config.toml")).unwrap();
    sandbox.write(
        "config.toml",
        config
            .replace("s2l.online'", "s2l'\n# '")
            .replace("site = 's2l'", "site = \"s2l\\u001b[31m\""),
    );
    for args in [&["doctor"] as &[_], &["doctor", "--json"]] {
        let out = sandbox.run(args).exits(1);
        assert!(out.stdout().contains("s2l"), "{out}");
        assert!(!out.stdout().contains(['\u{1b}', '\u{202e}']), "{out}");
    }
}

#[test]
fn a_test_mail_goes_the_digests_way_and_leaves_no_event() {
    let sandbox = configured_sandbox();
    let out = sandbox.run(["doctor", "--mail", "Ann <ann@example.org>"]).ok().no_stderr();
    let line = out.stdout();
    assert!(line.contains("Z test mail to ann@example.org sendmail 0 id <"), "{line}");
    assert!(line.ends_with(", which is no digest and not recorded\n"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    let mail = String::from_utf8(sandbox.read("mailbox")).unwrap();
    for part in ["To: Ann <ann@example.org>", "Subject: s2l.online: a test", "no record of it"] {
        assert!(mail.contains(part), "no {part} in\n{mail}");
    }
    assert!(!mail.contains("ops@example.org"), "{mail}");
    sandbox.assert_sound_with(1);

    sandbox
        .run(["doctor", "--mail", "nobody"])
        .exits(2)
        .stderr_has("--mail: ")
        .stderr_is_one_error()
        .done();
    sandbox.write("sendmail", "#!/bin/sh\necho no such user >&2\nexit 67\n");
    sandbox
        .run(["doctor", "--mail", "ann@example.org"])
        .exits(69)
        .no_stdout()
        .stderr_has("exited with 67: no such user")
        .stderr_is_one_error()
        .done();
    sandbox.write("config.toml", "");
    sandbox.run(["doctor", "--mail", "ann@example.org"]).exits(78).stderr_is_one_error().done();
    sandbox.assert_sound_with(1);
}
