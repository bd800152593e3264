//! The hooks and filters of `examples/`, as their users run them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::Output;
use crate::support::Sandbox;
use crate::tools;

pub(crate) fn example_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// A sandbox in which `activity` is on the path, and its log has an absolute name.
pub(crate) struct ExampleHost(pub(crate) Sandbox);

impl ExampleHost {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.run_shell("activity --version").ok().done();
        Self(sandbox)
    }

    fn command_of(&self, program: &str) -> Command {
        let mut command = self.0.command_of(program);
        let bin = self.0.root().join("bin");
        command
            .env(
                "PATH",
                format!(
                    "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    bin.display()
                ),
            )
            .env("ACTIVITY_DB", self.0.db())
            .env("ACTIVITY_CONFIG", self.0.path("config.toml"));
        command
    }

    pub(crate) fn run_script(&self, script: &str) -> Output {
        let mut command = self.command_of("sh");
        command.args(["-euc", script]);
        self.0.run_command(command)
    }

    /// Has a shell's profile read the hook. What comes before it in `/etc` sets the path anew.
    fn write_profile(&self, name: &str, hook: &Path) {
        let bin = self.0.root().join("bin");
        let text = format!("PATH='{}':$PATH\n. '{}'\n", bin.display(), hook.display());
        fs::write(self.0.home().join(name), text).unwrap();
    }

    fn stored_events(&self) -> Vec<Value> {
        self.0.log().assert_sound();
        self.0.stored_events()
    }
}

/// The values of one field, in order of arrival.
fn field_values<'a>(events: &'a [Value], name: &str) -> Vec<&'a str> {
    events.iter().map(|event| event[name].as_str().unwrap_or_default()).collect()
}

#[test]
fn a_login_shell_records_login_and_logout() {
    if !tools::require_programs(&["bash"]) {
        return;
    }
    for (shell, profile, from, ip) in [
        ("bash", ".bash_profile", Some("102.65.14.9 50022 22"), Some("102.65.14.9")),
        ("dash", ".profile", Some("fe80::1%eth0 50022 22"), Some("fe80::1")),
        ("bash", ".profile", None, None),
        ("dash", ".profile", Some("UNKNOWN 65535 65535"), None),
    ] {
        let host = ExampleHost::new();
        let hook = example_path("shell/activity.sh");
        host.write_profile(profile, &hook);
        let mut command = host.command_of(shell);
        if let Some(from) = from {
            command.env("SSH_CLIENT", from);
        }
        command.args(["-l", "-c", "echo at work"]);
        let out = host.0.run_command(command).ok().no_stderr();
        assert_eq!(out.stdout(), "at work\n");
        let events = host.stored_events();
        assert_eq!(field_values(&events, "action"), ["session.login", "session.logout"], "{shell}");
        assert_eq!(events[0]["session_id"], events[1]["session_id"]);
        assert!(!events[0]["actor_id"].as_str().unwrap().is_empty());
        for event in &events {
            assert_eq!(event.get("ip").and_then(Value::as_str), ip, "{shell}");
        }
    }
}

#[test]
fn a_login_goes_on_where_the_log_cannot_be_written() {
    let host = ExampleHost::new();
    let hook = example_path("shell/activity.sh");
    host.write_profile(".profile", &hook);
    let mut command = host.command_of("dash");
    command.env("ACTIVITY_DB", "/dev/null/log.db").args(["-l", "-c", "echo at work"]);
    let out = host.0.run_command(command).ok();
    assert_eq!(out.stdout(), "at work\n");
    assert_eq!(
        out.stderr().lines().filter(|line| line.starts_with("activity: ")).count(),
        2,
        "{out}"
    );
}

#[test]
fn a_push_is_recorded_ref_by_ref() {
    if !tools::require_programs(&["git"]) {
        return;
    }
    let host = ExampleHost::new();
    let hook = example_path("git/post-receive");
    let mode = hook.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "the hook is executable");
    let script = format!(
        "export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@b
         git init -q --bare site.git && cp '{}' site.git/hooks/
         git init -q -b main work && cd work && git remote add origin ../site.git
         echo 1 > a && git add a && git commit -qm 'First \"quoted\" $commit' && git push -q origin main
         echo 2 > a && git commit -qam Second && echo 3 > a && git commit -qam Third && git push -q origin main
         git tag v1 && git push -q origin v1
         git checkout -q -b feat/x && git push -q origin feat/x && git push -q origin :feat/x",
        hook.display()
    );
    host.run_script(&script).ok().no_stderr().done();
    let events = host.stored_events();
    assert_eq!(
        field_values(&events, "action"),
        [
            "git.branch.create",
            "git.branch.update",
            "git.tag.create",
            "git.branch.create",
            "git.branch.delete"
        ]
    );
    assert_eq!(
        field_values(&events, "target_id"),
        ["site/main", "site/main", "site/v1", "site/feat/x", "site/feat/x"]
    );
    assert_eq!(events[0]["title"], "First \"quoted\" $commit");
    assert_eq!(events[1]["title"], "Third");
    assert_eq!(events[1]["payload"]["commits"], 2);
    let commit = &events[1]["diff"]["commit"];
    assert_eq!(commit["before"], events[0]["diff"]["commit"]["after"]);
    assert_eq!(events[4]["diff"]["commit"]["after"], "");
}

/// Nobody hides a push by the names in it, or by where it comes from.
#[test]
fn a_hostile_push_is_recorded_too() {
    if !tools::require_programs(&["git"]) {
        return;
    }
    let host = ExampleHost::new();
    let script = format!(
        "export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@b
         export SSH_CLIENT='UNKNOWN 65535 65535' GL_USERNAME=\"$(printf 'mall\\351')\"
         git init -q --bare site.git && cp '{}' site.git/hooks/
         git init -q -b main work && cd work && git remote add origin ../site.git
         head -c 200000 /dev/zero | tr '\\0' x | git commit -q --allow-empty -F -
         git push -q origin main \"main:refs/heads/$(printf 'caf\\351')\"",
        example_path("git/post-receive").display()
    );
    host.run_script(&script).ok().no_stderr().done();
    let events = host.stored_events();
    assert_eq!(field_values(&events, "actor_id"), ["mall\\xe9"; 2]);
    let mut targets = field_values(&events, "target_id");
    targets.sort_unstable();
    assert_eq!(targets, ["site/caf\\xe9", "site/main"]);
    for event in &events {
        assert_eq!(event["title"], "x".repeat(4_096));
        assert!(event["payload"].to_string().contains("UNKNOWN"), "{event}");
    }
}

/// Installs and removes a small package of its own with apt-get, through the hook.
#[test]
fn apt_records_what_dpkg_did() {
    if !tools::require_root() || !tools::require_programs(&["apt-get", "dpkg-deb"]) {
        return;
    }
    let host = ExampleHost::new();
    let conf = fs::read_to_string(example_path("apt/99activity")).unwrap();
    let script = example_path("apt/dpkg-events").display().to_string();
    assert!(conf.contains("/usr/local/lib/activity/dpkg-events"));
    host.0.write("apt.conf", conf.replace("/usr/local/lib/activity/dpkg-events", &script));
    host.0.write("control", "Package: activity-example\nVersion: 1.2\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: made by a test, and removed by it\n");
    let out = host.run_script(
        "mkdir -p package/DEBIAN && cp control package/DEBIAN/
         dpkg-deb --build package example.deb > /dev/null
         export APT_CONFIG=$PWD/apt.conf DEBIAN_FRONTEND=noninteractive
         chmod 0755 . ..
         apt-get install -qy --no-install-recommends ./example.deb
         apt-get purge -qy activity-example",
    );
    assert!(!out.stderr().contains("activity: "), "{out}");
    let out = out.ok();
    let events = host.stored_events();
    let ours: Vec<&Value> =
        events.iter().filter(|event| event["target_label"] == "activity-example").collect();
    let actions: Vec<_> = ours.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert!(actions.len() >= 2, "{actions:?}\n{out}");
    assert_eq!(actions[actions.len() - 2], "package.install", "{actions:?}");
    assert!(["package.remove", "package.purge"].contains(actions.last().unwrap()), "{actions:?}");
    let install = ours[actions.len() - 2];
    assert_eq!(install["diff"]["version"]["after"], "1.2");
    assert_eq!(install["source"], "system");
    // Twice through the whole of dpkg's log, and each event once.
    let ids: std::collections::BTreeSet<_> =
        field_values(&events, "event_id").into_iter().collect();
    assert_eq!(ids.len(), events.len());
}

/// An access log under a real logrotate, with lines that are written all the time.
#[test]
fn an_access_log_loses_and_doubles_nothing_over_rotations() {
    if !tools::require_root() || !tools::require_programs(&["logrotate"]) {
        return;
    }
    let example = fs::read_to_string(example_path("nginx/logrotate")).unwrap();
    let script = example_path("nginx/ingest-access");
    for create in ["create 0640 root adm", "copytruncate"] {
        let host = ExampleHost::new();
        let log = host.0.path("access.log");
        let rules = example
            .replace("/var/log/nginx/access.log", &log.display().to_string())
            .replace("create 0640 root adm", create);
        host.0.write("rotate", rules);
        fs::set_permissions(host.0.work_folder(), fs::Permissions::from_mode(0o755)).unwrap();
        let ingest =
            || host.run_script(&format!("'{}' '{}'", script.display(), log.display())).ok().done();
        // Nothing is there yet.
        ingest();
        host.0.write("access.log", "");
        let mut written = 0;
        let mut write = |count: usize| {
            let line = |n| {
                format!(
                    "192.0.2.7 - - [20/Nov/2026:06:00:00 +0200] \"GET /{n} HTTP/1.1\" 200 5 \"-\" \"curl/8\"\n"
                )
            };
            host.0.append("access.log", (written..written + count).map(line).collect::<String>());
            written += count;
        };
        for _ in 0..8 {
            write(9_000);
            ingest();
            write(3_000);
            host.run_script("logrotate -f --state state rotate").ok().no_stderr().done();
            write(500);
            ingest();
        }
        let out = host.run_script("activity export --jsonl --columns endpoint").ok();
        let paths: Vec<&str> = out.stdout().lines().collect();
        let distinct: std::collections::BTreeSet<_> = paths.iter().collect();
        assert_eq!((paths.len(), distinct.len()), (100_000, 100_000), "{create}: stored, distinct");
        assert!(host.0.exists("access.log.2.gz"), "{create}: the older ones are small");
    }
}

#[test]
fn a_wordpress_mirror_is_taken_in() {
    let host = ExampleHost::new();
    let mirror = example_path("wp-activity-log/mirror.log");
    let out = host.run_script(&format!("activity ingest '{}'", mirror.display())).ok();
    assert_eq!(out.stderr(), "ingested 6, duplicates 0, rejected 0\n");
    let events = host.stored_events();
    assert_eq!(
        field_values(&events, "action"),
        [
            "user.login",
            "post.modified",
            "plugin.activated",
            "user.modified",
            "cron-job.executed",
            "wsal.1002"
        ]
    );
    assert_eq!(
        field_values(&events, "severity"),
        ["info", "low", "high", "medium", "info", "critical"]
    );
    assert!(events.iter().all(|event| event["tenant"] == "s2l.online"));
    assert_eq!(events[1]["diff"]["Title"]["after"], "Spring launch");
    assert_eq!(events[3]["target_id"], "17");
    assert_eq!(events[4]["source"], "system");
}

#[test]
fn a_git_history_becomes_events() {
    if !tools::require_programs(&["git"]) {
        return;
    }
    let host = ExampleHost::new();
    let script = format!(
        "export GIT_AUTHOR_NAME='Ann \"A\" O\\Neil' GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@d
         git init -q -b main work && cd work
         git commit -q --allow-empty -m 'Say \"hi\" \\ back' && git commit -q --allow-empty -m 'Tab\there'
         sh '{}' . > ../commits.jsonl && cd .. && activity ingest commits.jsonl",
        example_path("git-log.sh").display()
    );
    assert_eq!(host.run_script(&script).ok().stderr(), "ingested 2, duplicates 0, rejected 0\n");
    let events = host.stored_events();
    assert_eq!(events[0]["title"], "Say \"hi\" \\ back");
    assert_eq!(events[0]["actor_label"], "Ann \"A\" O\\Neil");
}

#[test]
fn a_hostile_history_of_dpkg_is_recorded_in_whole() {
    let host = ExampleHost::new();
    let mut history = b"2026-11-20 06:00:00 install ev\x1bil\xff\x01:amd64 <none> 1\"\\\n".to_vec();
    history
        .extend(format!("2026-11-20 06:00:01 upgrade big:all 1 {}\n", "v".repeat(200_000)).bytes());
    history.extend(b"2026-11-20 06:00:02 remove good:amd64 1.0 <none>\n");
    host.0.write("dpkg.log", history);
    let script = example_path("apt/dpkg-events");
    host.run_script(&format!("'{}' dpkg.log", script.display())).ok().no_stderr().done();
    let actions: Vec<_> =
        host.stored_events().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["package.install", "package.upgrade", "package.remove"]);
}

/// The README's first command, from another folder; with dpkg's history, git's, or neither.
#[test]
fn the_tour_is_worth_its_while() {
    let tour = example_path("tour.sh");
    let sandbox = Sandbox::new();
    let mut command = Command::new("sh");
    command
        .arg(&tour)
        .current_dir(sandbox.root())
        .env("HOME", std::env::var_os("HOME").unwrap_or_default());
    let out = sandbox.run_command(command).ok();
    for part in [
        "$ activity ingest",
        "$ activity list",
        "$ activity actions",
        "$ activity search-",
        "$ activity show",
        "$ activity export",
        "log.export",
        "AT A GLANCE",
        "sweep removed ",
        "holds: ",
        "$ activity backup copy.db",
    ] {
        assert!(out.stdout().contains(part), "no {part}\n{out}");
    }
    assert!(!out.stderr().contains("activity: "), "{out}");
    let left: Vec<_> =
        fs::read_dir(sandbox.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "it leaves nothing behind: {left:?}");
}

#[test]
fn the_sample_is_taken_in_whole() {
    let host = ExampleHost::new();
    let out = host
        .run_script(&format!("activity ingest '{}'", example_path("sample.jsonl").display()))
        .ok();
    assert_eq!(out.stderr(), "ingested 20, duplicates 0, rejected 0\n");
}
