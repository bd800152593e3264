//! `activity config` and `activity config init`: what holds, and how it comes to be.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::Sandbox;
use crate::support::is_running_as_root;

#[test]
fn config_shows_what_holds_and_where_it_comes_from() {
    let sandbox = Sandbox::new();
    sandbox
        .write("config.toml", "site = 's2l.online'\n[digest.smtp]\nurl = 'smtps://u:hush@m:465'\n");
    let rows = sandbox.run(["config", "--json", "--tz", "Africa/Cairo"]).ok().no_stderr();
    let origin = |key: &str| {
        let row = rows.json_lines().into_iter().find(|row| row["key"] == key).unwrap();
        (row["value"].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned())
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(origin("site"), pair("s2l.online", "config"));
    assert_eq!(origin("tz"), pair("Africa/Cairo", "--tz"));
    assert_eq!(origin("config"), pair("config.toml", "ACTIVITY_CONFIG"));
    assert_eq!(origin("digest.top").1, "default");
    let page = sandbox.run(["config"]).ok().no_stderr();
    assert!(page.stdout().contains("s2l.online") && !page.stdout().contains("hush"), "{page}");
}

#[test]
fn init_writes_a_config_that_changes_nothing_and_overwrites_nothing() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run(["config", "init", "--dry-run"]).ok().no_stderr();
    assert!(!sandbox.exists("new.toml"));
    sandbox
        .run(["config", "init", "--config", "new.toml"])
        .ok()
        .stdout_is_line_with("new.toml")
        .done();
    assert_eq!(sandbox.read("new.toml"), shown.out);
    let mode = fs::metadata(sandbox.path("new.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    sandbox.run(["list", "--config", "new.toml"]).exits(66).done();
    sandbox.run(["config", "--config", "new.toml"]).ok().done();

    sandbox.write("new.toml", "site = 'mine'\n");
    sandbox
        .run(["config", "init", "--config", "new.toml"])
        .exits(73)
        .stderr_has("is there already")
        .done();
    assert_eq!(sandbox.read("new.toml"), b"site = 'mine'\n");
    sandbox.run(["config", "--system"]).exits(2).done();
    sandbox.run(["config", "unit"]).exits(2).done();
}

/// A folder that looks like a host with cron and logrotate, and a group for the log.
fn image(sandbox: &Sandbox) -> String {
    let root = sandbox.path("image");
    for folder in ["etc/cron.d", "etc/logrotate.d", "var/lib"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("etc/group"), "root:x:0:\nactivity:x:4711:\n").unwrap();
    root.display().to_string()
}

#[test]
fn a_system_is_set_up_once_and_what_is_there_stays() {
    let sandbox = Sandbox::new();
    let root = image(&sandbox);
    let args = ["config", "init", "--system", "--root", &root, "--to", "ops@example.org"];
    let planned = sandbox.run([&args[..], &["--dry-run"]].concat()).ok().no_stderr();
    assert!(
        planned
            .stdout()
            .contains("would make /var/lib/activity (folder for group activity, mode 2770)"),
        "{planned}"
    );
    assert!(!Path::new(&root).join("etc/activity").exists(), "nothing is made");

    sandbox.run(args).ok().no_stderr().done();
    let at = |path: &str| Path::new(&root).join(path);
    let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("var/lib/activity"), 0o2770);
    assert_eq!((mode("etc/activity"), mode("etc/activity/config.toml")), (0o755, 0o644));
    if is_running_as_root() {
        let gid = fs::metadata(at("var/lib/activity")).unwrap().gid();
        assert_eq!(gid, 4711);
    }
    let crontab = fs::read_to_string(at("etc/cron.d/activity")).unwrap();
    let line = format!("\n0 4 * * * root {} digest >>", env!("CARGO_BIN_EXE_activity"));
    assert!(crontab.contains(&line), "{crontab}");
    assert!(at("etc/logrotate.d/activity").exists());
    let config = at("etc/activity/config.toml").display().to_string();
    let to = sandbox.run(["config", "--config", &config, "--json"]).ok();
    assert!(
        to.json_lines()
            .iter()
            .any(|row| row["key"] == "digest.to" && row["value"] == "ops@example.org")
    );

    fs::write(at("etc/cron.d/activity"), "mine\n").unwrap();
    let again = sandbox.run(args).ok().no_stderr();
    assert!(again.stdout().lines().all(|line| line.starts_with("kept ")), "{again}");
    assert_eq!(fs::read_to_string(at("etc/cron.d/activity")).unwrap(), "mine\n");
}

#[test]
fn a_program_that_lends_the_log_is_installed_with_its_group() {
    if !is_running_as_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let root = image(&sandbox);
    let at = |path: &str| Path::new(&root).join(path);
    fs::create_dir_all(at("usr/local/bin")).unwrap();
    fs::write(at("usr/local/bin/activity"), "an older one").unwrap();
    fs::create_dir_all(at("var/lib/activity")).unwrap();
    let args = ["config", "init", "--system", "--setgid", "--root", &root];
    let planned = sandbox.run([&args[..], &["--dry-run"]].concat()).ok().no_stderr();
    let wanted = "would make /usr/local/bin/activity (program with group activity, mode 2755)";
    assert!(planned.stdout().contains(wanted), "{planned}");
    assert_eq!(fs::read(at("usr/local/bin/activity")).unwrap(), b"an older one");

    sandbox.run(args).ok().no_stderr().done();
    let rights = |path: &str| {
        let found = fs::metadata(at(path)).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    assert_eq!(rights("usr/local/bin/activity"), (0o2755, 0, 4711));
    assert_eq!(rights("var/lib/activity"), (0o2770, 0, 4711));
    assert_eq!(rights("var/lib/activity/activity.db"), (0o660, 0, 4711));
    let program = fs::read(env!("CARGO_BIN_EXE_activity")).unwrap();
    assert!(fs::read(at("usr/local/bin/activity")).unwrap() == program, "it is another program");
    let config = fs::read_to_string(at("etc/activity/config.toml")).unwrap();
    assert!(config.contains("\n[access.users]\n\"root\" = \"administrator\"\n"), "{config}");
    let whoami = ["whoami", "--config", &at("etc/activity/config.toml").display().to_string()];
    sandbox.run(whoami).ok().done();
    let crontab = fs::read_to_string(at("etc/cron.d/activity")).unwrap();
    assert!(crontab.contains(" root /usr/local/bin/activity digest >>"), "{crontab}");
    let again = sandbox.run(args).ok().no_stderr();
    assert!(again.stdout().lines().all(|line| line.starts_with("kept ")), "{again}");
}

#[test]
fn without_cron_the_schedule_is_systemds() {
    let sandbox = Sandbox::new();
    let root = image(&sandbox);
    fs::remove_dir(Path::new(&root).join("etc/cron.d")).unwrap();
    fs::create_dir_all(Path::new(&root).join("etc/systemd/system")).unwrap();
    sandbox.run(["config", "init", "--system", "--root", &root]).ok().done();
    let unit = Path::new(&root).join("etc/systemd/system/activity-digest.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(
        unit.contains(&format!("ExecStart={} digest", env!("CARGO_BIN_EXE_activity"))),
        "{unit}"
    );
}
