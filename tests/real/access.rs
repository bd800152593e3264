//! Roles on a host with several users: the program installed with a group of its own, called through
//! Debian's sudo, and behind a forced command of a real sshd.
//!
//! Each host is a mount namespace with its own accounts, config, program and log; the machine keeps its
//! own.

use std::io::BufRead;
use std::io::BufReader;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::wait;
use crate::tools;

/// A host with the users alice (a viewer, 17 in the log), bob (an administrator), mallory (whom nothing
/// names) and emil (who only records), on which `install.sh` was run.
const SETUP: &str = r#"
mount -t tmpfs access-test "$ROOT" && chmod 0755 "$ROOT"
cp -a /etc "$ROOT/etc" && mount --bind "$ROOT/etc" /etc
rm -rf /etc/activity /etc/sudoers.d/*
for folder in /usr/local/bin /var/lib/activity /run; do
  mkdir -p "$folder" && mount -t tmpfs access-test "$folder" && chmod 0755 "$folder"
done
for user in alice bob mallory emil; do
  useradd --create-home --home-dir "$ROOT/$user" --shell /bin/sh "$user"
done
mkdir /etc/activity && cat > /etc/activity/config.toml <<CONFIG
[access.users]
alice = { role = "viewer", actor_id = "17" }
bob = "administrator"
emil = "emitter"
[access.roles]
emitter = ["ingest"]
CONFIG
sh "$REPOSITORY/examples/install.sh" "$MODE" "$PROGRAM" >&2
if [ "$MODE" = sudo ]; then
  for user in alice bob mallory emil; do usermod -aG activity-readers "$user"; done
fi
printf '%s\n' '{"action":"secret.act","actor_id":"3","actor_label":"Secret Person"}' \
  '{"action":"own.act","actor_id":"17"}' '{"action":"cron.run","source":"cron"}' |
  /usr/local/bin/activity ingest --quiet
echo ready
exec sleep 600
"#;

struct Host {
    sandbox: Sandbox,
    keeper: Child,
}

impl Host {
    fn install(mode: &str) -> Self {
        let sandbox = Sandbox::new();
        let root = sandbox.root().join("host");
        std::fs::create_dir(&root).unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(sandbox.root(), open).unwrap();
        let mut keeper = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-euc", SETUP])
            .env("ROOT", &root)
            .env("MODE", mode)
            .env("PROGRAM", env!("CARGO_BIN_EXE_activity"))
            .env("REPOSITORY", env!("CARGO_MANIFEST_DIR"))
            .env_remove("ACTIVITY_DB")
            .env_remove("ACTIVITY_CONFIG")
            .env_remove("SUDO_UID")
            .env_remove("SUDO_USER")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the host was not made");
        Self { sandbox, keeper }
    }

    /// A script that a user runs on the host.
    fn run_as(&self, user: &str, script: &str) -> Output {
        let home = match user {
            "root" => "/".into(),
            user => self.sandbox.root().join("host").join(user),
        };
        let mut command = Command::new("nsenter");
        let identity = match user {
            "root" => Vec::new(),
            user => ["setpriv", "--reuid", user, "--regid", user, "--init-groups"].to_vec(),
        };
        command
            .args(["--mount", "--target", &self.keeper.id().to_string()])
            .args(identity)
            .args(["sh", "-uc", &format!("cd; {script}")])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", &home)
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        self.sandbox.run_command(command)
    }

    /// The log as root reads it.
    fn stored(&self) -> usize {
        self.run_as("root", "activity list --json --limit 1000").ok().json_lines().len()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
    }
}

fn is_possible(programs: &[&str]) -> bool {
    tools::require_root()
        && tools::require_programs(&["unshare", "nsenter", "mount"])
        && tools::require_programs(programs)
}

/// Checks that nothing of what alice may not see is in an output.
#[track_caller]
fn assert_no_secret(out: &Output) {
    for secret in [&b"secret"[..], b"Secret", b"cron.run"] {
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!has(&out.out) && !has(&out.err), "{out}");
    }
}

#[test]
fn a_program_with_a_group_of_its_own_binds_its_callers_to_their_roles() {
    if !is_possible(&["strace"]) {
        return;
    }
    let host = Host::install("setgid");
    let own = host.run_as("alice", "activity list --json").ok();
    assert_eq!(own.json_lines().len(), 1);
    assert_no_secret(&own);
    host.run_as("mallory", "activity list").exits(77).done();
    host.run_as("mallory", "activity whoami").ok().done();
    assert_eq!(host.run_as("bob", "activity list --json").ok().json_lines().len(), 3);
    host.run_as("bob", "activity verify").ok().done();

    // Around the program.
    for script in [
        "cat /var/lib/activity/activity.db",
        "cat /var/lib/activity/activity.db-wal",
        "ls /var/lib/activity",
        "cp /usr/local/bin/activity copy && ./copy --db /var/lib/activity/activity.db list",
        "ln /var/lib/activity/activity.db mine.db",
        "ln -s /var/lib/activity/activity.db mine.db && cat mine.db",
    ] {
        let out = host.run_as("alice", script);
        assert_ne!(out.code, Some(0), "{out}");
        assert_no_secret(&out);
    }
    // By what the caller can set.
    for variable in ["ACTIVITY_DB", "ACTIVITY_CONFIG"] {
        let out = host.run_as("alice", &format!("{variable}=own.toml activity list")).exits(77);
        assert!(out.stderr().contains(variable), "{out}");
    }
    host.run_as("alice", "activity --db own.db list").exits(77).done();
    host.run_as("alice", "echo > c.toml; activity --config c.toml list").exits(77).done();
    for variables in [
        "SUDO_UID=0 SUDO_USER=root",
        "SUDO_UID=$(id -u bob)",
        "LD_PRELOAD=./evil.so LD_LIBRARY_PATH=. GCONV_PATH=.",
        "SQLITE_TMPDIR=/var/lib/activity TMPDIR=/var/lib/activity TMP=/nowhere",
        "HOME=/nowhere XDG_CONFIG_HOME=/tmp XDG_DATA_HOME=/tmp TZDIR=/tmp TZ=:/etc/shadow",
    ] {
        let out = host.run_as("alice", &format!("{variables} activity list --json"));
        assert!(matches!(out.code, Some(0 | 2)), "{out}");
        assert_no_secret(&out);
    }
    // A second install by an administrator behind sudo changes nothing but the program.
    let again = host.run_as(
        "root",
        &format!(
            "SUDO_UID=$(id -u bob) sh {}/examples/install.sh setgid {}",
            env!("CARGO_MANIFEST_DIR"),
            env!("CARGO_BIN_EXE_activity")
        ),
    );
    let again = again.ok();
    for kept in
        ["/etc/activity/config.toml", "/usr/local/bin/activity", "/var/lib/activity/activity.db"]
    {
        assert!(again.stdout().contains(&format!("kept {kept} ")), "{again}");
    }
    // Debugging ends the lent group.
    let traced = host.run_as("alice", "strace -f -o trace activity list");
    assert_ne!(traced.code, Some(0), "{traced}");
    assert_eq!(host.stored(), 3);
}

#[test]
fn files_and_children_of_a_caller_have_their_own_rights() {
    if !is_possible(&["script"]) {
        return;
    }
    let host = Host::install("setgid");
    let script = "activity export --csv -o out.csv && stat -c '%U:%G %a' out.csv";
    assert_eq!(host.run_as("bob", script).ok().stdout(), "bob:bob 600\n");
    for (script, code) in [
        ("activity export --csv -o /var/lib/activity/new.csv", 73),
        ("activity export --csv -o /var/lib/activity/activity.db", 2),
        ("activity export --csv -o /var/lib/activity/activity.db-wal", 2),
        ("ln -sf /var/lib/activity/activity.db link; activity export --csv -o link", 2),
        ("ln -sf /var/lib/activity/new link; activity export --csv -o link", 73),
        ("activity --config /etc/shadow list", 77),
        ("activity verify --anchors /etc/shadow", 66),
    ] {
        host.run_as("bob", script).exits(code).done();
    }
    let left = host.run_as("root", "ls -A /var/lib/activity").ok();
    assert!(!left.stdout().contains("new"), "{left}");
    for (script, code) in [
        ("activity ingest /etc/shadow", 77),
        ("activity ingest /var/lib/activity/activity.db", 2),
        ("activity ingest --map /etc/shadow /dev/null", 77),
        ("activity ingest --map /var/lib/activity/activity.db /dev/null", 77),
        ("activity ingest --check-map /var/lib/activity/activity.db /dev/null", 77),
        ("echo bad | activity ingest --rejects /var/lib/activity/bad", 73),
        ("echo bad | activity ingest --rejects /var/lib/activity/activity.db.lock", 73),
        ("echo bad | activity ingest --rejects bad && false", 65),
    ] {
        host.run_as("emil", script).exits(code).done();
    }
    assert_eq!(host.run_as("emil", "cat bad; stat -c %U bad").ok().stdout(), "bad\nemil\n");
    host.run_as("emil", "activity ingest --action a --actor-id 3").exits(77).done();
    host.run_as("emil", "umask 0777; activity ingest --action a").ok().done();
    host.run_as("bob", "activity list").ok().done();

    let pager = "script -qec 'PAGER=\"id; env; cat >/dev/null\" activity list' /dev/null";
    let shown = host.run_as("alice", pager).ok();
    assert!(shown.stdout().contains("gid="), "{shown}");
    assert!(!shown.stdout().contains("activity)"), "no group of the log: {shown}");
    assert!(!shown.stdout().contains("HOME="), "{shown}");
    let steal =
        "script -qec 'PAGER=\"cat /var/lib/activity/activity.db #\" activity list' /dev/null";
    assert_no_secret(&host.run_as("alice", steal));
}

#[test]
fn limits_of_a_caller_harm_nobody_else() {
    if !is_possible(&[]) {
        return;
    }
    let host = Host::install("setgid");
    for script in [
        "ulimit -n 4; activity list",
        "ulimit -f 0; activity list",
        "ulimit -v 20000; activity list",
        "activity list <&- >&- 2>&-",
        "activity list >/dev/full",
    ] {
        assert_no_secret(&host.run_as("alice", script));
    }
    for script in [
        "ulimit -n 5; activity ingest --action a",
        "ulimit -f 1; activity ingest --action a",
        "activity ingest --action a <&- >&- 2>&-",
        "umask 0777; activity ingest --action b",
    ] {
        host.run_as("emil", script).done();
    }
    host.run_as("bob", "activity verify").ok().done();
    host.run_as("emil", "activity ingest --action c").ok().done();
    let files = host.run_as("root", "stat -c '%U:%G %a' /var/lib/activity/*").ok();
    assert!(files.stdout().lines().all(|line| line == "root:activity 660"), "{files}");
}

#[test]
fn sudo_lends_the_log_by_the_callers_role() {
    if !is_possible(&["sudo", "visudo"]) {
        return;
    }
    let host = Host::install("sudo");
    host.run_as("root", "visudo -cf /etc/sudoers.d/activity").ok().done();
    let own = host.run_as("alice", "sudo -n activity list --json").ok();
    assert_eq!(own.json_lines().len(), 1);
    assert_no_secret(&own);
    host.run_as("mallory", "sudo -n activity list").exits(77).done();
    assert_eq!(host.run_as("bob", "sudo -n activity list --json").ok().json_lines().len(), 3);
    for script in [
        "activity --db /var/lib/activity/activity.db list",
        "cat /var/lib/activity/activity.db",
        "SUDO_UID=0 sudo -n activity search-actor 3",
        "sudo -n SUDO_UID=0 activity list",
        "sudo -n env -u SUDO_UID activity list",
        "sudo -n ACTIVITY_CONFIG=/dev/null activity list",
        "echo > c.toml; sudo -n activity --config c.toml list",
        "sudo -n activity --db own.db list",
        "sudo -n activity export --csv",
        "sudo -n -u root -E LD_PRELOAD=x activity show 1",
    ] {
        let out = host.run_as("alice", script);
        assert_no_secret(&out);
    }
    let script = "sudo -n activity export --csv -o out.csv && stat -c '%U:%G %a' out.csv";
    assert_eq!(host.run_as("bob", script).ok().stdout(), "bob:bob 600\n");
    host.run_as("bob", "sudo -n activity export --csv -o /etc/new.csv").exits(73).done();
    host.run_as("emil", "sudo -n activity ingest /etc/shadow").exits(77).done();
    let line = "echo '{\"action\":\"x\"}' > e.jsonl; sudo -n activity ingest e.jsonl";
    host.run_as("emil", line).ok().done();
    let stamps = host.run_as("root", "activity list action:x --json").ok().json_lines();
    assert!(stamps[0]["recorded_by"].as_str().unwrap().starts_with("root sudo:emil"), "{stamps:?}");
}

#[test]
fn a_forced_command_of_sshd_reads_and_nothing_else() {
    if !is_possible(&["ssh", "ssh-keygen"]) || !is_sshd_there() {
        return;
    }
    let host = Host::install("setgid");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = host.sandbox.root().join("host/alice/.ssh");
    let script = format!(
        "mkdir -p /run/sshd {folder} && cd {folder} && ssh-keygen -q -t ed25519 -N '' -f key &&
        ssh-keygen -q -t ed25519 -N '' -f host &&
        echo \"command=\\\"/usr/local/bin/activity gate --as viewer:17\\\",restrict $(cat key.pub)\" \
          > authorized_keys && chown -R alice:alice . && chown root host* && usermod -p x alice &&
        /usr/sbin/sshd -f /dev/null -h {folder}/host -p {port} -o UsePAM=no -o PidFile=/run/sshd.pid \
          -o ListenAddress=127.0.0.1 -o StrictModes=no -o AcceptEnv='*'",
        folder = folder.display()
    );
    host.run_as("root", &script).ok().done();
    wait::until_true("sshd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let ssh = |line: &str| {
        let line = line.replace('\'', "'\\''");
        let key = folder.join("key");
        host.run_as(
            "alice",
            &format!(
                "ACTIVITY_DB=/x ssh -F /dev/null -o StrictHostKeyChecking=no -o SendEnv=ACTIVITY_PAGER \
                 -o UserKnownHostsFile=/dev/null -q -i {} -p {port} -- alice@127.0.0.1 '{line}'",
                key.display()
            ),
        )
    };
    let own = ssh("activity list").ok();
    assert!(own.stdout().contains("own.act"), "{own}");
    assert_no_secret(&own);
    assert!(ssh("").ok().stdout().contains("own.act"), "a login shows what happened today");
    ssh("show 1").exits(1).done();
    for line in HOSTILE_LINES {
        let out = ssh(line);
        assert!(matches!(out.code, Some(2 | 77)), "{line}: {out}");
        assert!(out.out.is_empty(), "{line}: {out}");
    }
    for line in ["list $(touch made)", "list `touch made`", "list > made", "list | tee made"] {
        assert_no_secret(&ssh(line));
    }
    host.run_as("alice", "test ! -e made").ok().done();
    assert_eq!(host.stored(), 3);
    host.run_as("root", "kill $(cat /run/sshd.pid)").ok().done();
}

/// What a client may try; each is refused.
const HOSTILE_LINES: [&str; 20] = [
    "ingest --action x",
    "export --csv",
    "export --csv -o /tmp/x",
    "sweep --keep 1s",
    "backup /tmp/x",
    "digest --dry-run",
    "verify",
    "doctor --mail a@b.c",
    "gate --as administrator",
    "completions bash",
    "list; cat /etc/passwd",
    "sh -c id",
    "/bin/sh",
    "--db /etc/passwd list",
    "list --db=/etc/passwd",
    "list --config /etc/shadow",
    "list --output csv",
    "search-target user/17",
    "whoami --as root",
    "list \"unclosed",
];

fn is_sshd_there() -> bool {
    Path::new("/usr/sbin/sshd").exists() || tools::require_programs(&["sshd"])
}
