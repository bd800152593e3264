//! The schedules that are offered, run by the daemons that they are for.
//!
//! Cron runs in a mount namespace of its own: its crontabs, the program's config and log, the log file
//! and the mail command are the test's, and the host keeps its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::wait;
use crate::tools;

/// Cron wakes at the full minute, and looks at its crontabs in the next one at the latest.
const TWO_MINUTES: Duration = Duration::from_secs(130);

/// Puts private folders in the place of the host's, and keeps what cron needs of them. A copy of
/// `/etc` has the accounts and cron's PAM.
const NAMESPACE_SETUP: &str = r#"
cp -a /etc "$ROOT/etc" && mount --bind "$ROOT/etc" /etc
rm -rf /etc/cron.* /etc/crontab /etc/systemd/system /etc/activity
mkdir -p "$ROOT/sbin" && cp /usr/sbin/cron "$ROOT/sendmail" "$ROOT/sbin"
mount --bind "$ROOT/sbin" /usr/sbin
for folder in /usr/local/bin /var /run; do mount -t tmpfs activity-test "$folder"; done
mkdir -p /var/spool/cron/crontabs /var/lib/activity /var/log /etc/activity && ln -s /run /var/run
cp "$PROGRAM" /usr/local/bin/activity
cp "$ROOT/config" /etc/activity/config.toml && chmod 0600 /etc/activity/config.toml
/usr/local/bin/activity ingest --quiet --db /var/lib/activity/activity.db "$ROOT/events.jsonl"
cp "$ROOT/crontab" /var/spool/cron/crontabs/root && chmod 0600 /var/spool/cron/crontabs/root
"#;

/// A mail command that keeps each mail in a file, beside what it was given.
const SENDMAIL_SCRIPT: &str = r#"#!/bin/sh
cat > "@/mail.$$" && { echo "$0 $*"; tty; env; } > "@/call.$$" && mv "@/call.$$" "@/called.$$"
"#;

fn read_repository_file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The lines of the crontab that run something, with every minute for their time.
fn every_minute(crontab: &str) -> String {
    let line = |line: &str| match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
        [minute, hour, rest] if minute.parse::<u8>().is_ok() && hour.parse::<u8>().is_ok() => {
            format!("* * {rest}")
        }
        _ => line.to_owned(),
    };
    join_lines(crontab.lines().map(line))
}

/// A mail that was sent: the arguments and environment of the command, and the letter.
struct SentMail {
    invocation: String,
    letter: String,
}

/// What the command has kept so far.
fn sent_mails(folder: &Path) -> Vec<SentMail> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let calls =
        entries.filter(|path| path.file_name().unwrap().as_encoded_bytes().starts_with(b"called."));
    calls
        .map(|path| {
            let letter =
                path.with_file_name(format!("mail.{}", path.extension().unwrap().display()));
            let read = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap();
            SentMail { invocation: read(&path), letter: read(&letter) }
        })
        .collect()
}

/// The text part of a letter, decoded from quoted-printable.
fn text_part(letter: &str) -> String {
    let (head, body) = letter.split_once("\r\n\r\n").unwrap();
    let boundary = head.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next());
    let boundary = boundary.unwrap_or_else(|| panic!("no multipart mail:\n{letter}"));
    let boundary = format!("--{boundary}");
    let parts = body.split(&boundary);
    let mut plain = parts.filter(|part| part.contains("Content-Type: text/plain"));
    let (head, text) = plain.next().unwrap().split_once("\r\n\r\n").unwrap();
    assert!(head.contains("quoted-printable"), "{head}");
    let mut bytes = Vec::new();
    let mut rest = text.replace("=\r\n", "").into_bytes().into_iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'=' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}

/// A cron daemon with surroundings of its own; it ends with the test.
struct CronDaemon {
    sandbox: Sandbox,
    child: Child,
}

impl CronDaemon {
    fn start(sandbox: Sandbox) -> Self {
        let mut command = sandbox.command_of("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc"])
            .arg(format!("{NAMESPACE_SETUP}exec cron -f"))
            .env("ROOT", sandbox.root())
            .env("PROGRAM", env!("CARGO_BIN_EXE_activity"));
        let child = sandbox.spawn(command);
        Self { sandbox, child }
    }

    /// A file as cron's jobs see it.
    fn read_file(&self, path: &str) -> String {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        fs::read_to_string(root.join(path.trim_start_matches('/'))).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        let seen = wait::within_or_exit(TWO_MINUTES, what, &self.child, look);
        seen.unwrap_or_else(|| panic!("cron ended before {what}"))
    }

    /// The program as root calls it by hand, in cron's surroundings.
    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.sandbox.command_of("nsenter");
        command
            .arg(format!("--target={}", self.child.id()))
            .args(["--mount", "--", "/usr/local/bin/activity"])
            .args(args)
            .env_remove("ACTIVITY_DB")
            .env_remove("ACTIVITY_CONFIG");
        self.sandbox.run_command(command)
    }
}

impl Drop for CronDaemon {
    fn drop(&mut self) {
        // It may have ended by itself; the test has failed then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn cron_runs_the_lines_of_the_example_and_mails_what_goes_wrong() {
    if !tools::require_root() || !tools::require_programs(&["cron", "mount", "unshare", "nsenter"])
    {
        return;
    }
    let sandbox = Sandbox::new();
    let root = sandbox.root();
    let config = "site = 's2l.online'\nspace_left = '1MiB'\n[retention]\nkeep = '365d'\n[digest]\n\
                  from = 'log@example.org'\nto = ['ops@example.org']\ntransport = 'sendmail'\n";
    fs::write(root.join("config"), config).unwrap();
    let script = SENDMAIL_SCRIPT.replace('@', &root.display().to_string());
    fs::write(root.join("sendmail"), script).unwrap();
    fs::set_permissions(root.join("sendmail"), fs::Permissions::from_mode(0o755)).unwrap();

    let example = read_repository_file("crontab.example");
    let crontab = every_minute(&example);
    let changed = example.lines().zip(crontab.lines()).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 2, "digest and sweep\n{crontab}");
    // Beside them, what cron's own surroundings are, and a digest that cannot be made.
    let more = format!(
        "* * * * * {{ tty; env; }} > '{0}/environment.new' && mv '{0}/environment.new' '{0}/environment'\n\
         * * * * * /usr/local/bin/activity digest --db /nowhere.db >> /var/log/activity.log\n",
        root.display()
    );
    fs::write(root.join("crontab"), format!("{crontab}{more}")).unwrap();

    let at = clock::seconds_ago(600);
    let event = |action| format!(r#"{{"action":"{action}","actor_id":"3","occurred_at":"{at}"}}"#);
    let events = join_lines(["auth.login", "auth.login", "lesson.completed"].map(event));
    fs::write(root.join("events.jsonl"), events).unwrap();

    let folder = root.to_owned();
    let cron = CronDaemon::start(sandbox);
    cron.wait_for("cron's daemon", || cron.read_file("/run/crond.pid").trim().parse::<u32>().ok());
    let by_activity = |sent: &SentMail| sent.invocation.contains("sendmail -t -i\n");
    let digest = cron.wait_for("the digest", || {
        sent_mails(&folder).into_iter().find(|sent| {
            by_activity(sent) && sent.letter.contains("\r\nSubject: s2l.online: 3 events on ")
        })
    });
    assert!(digest.letter.contains("\r\nTo: ops@example.org\r\n"), "{}", digest.letter);
    let text = text_part(&digest.letter);
    assert!(text.starts_with("s2l.online, 3 events in 24 hours\n"), "{text}");
    assert!(text.contains("\nSIGN-INS (2)\n"), "{text}");
    // The mail command gets nothing but a path; cron's own jobs get what cron gives.
    let variables: Vec<&str> = digest.invocation.lines().skip(2).collect();
    assert_eq!(digest.invocation.lines().nth(1), Some("not a tty"));
    assert!(
        variables.iter().all(|v| v.starts_with("PATH=") || v.starts_with("PWD=")),
        "{variables:?}"
    );
    let environment =
        cron.wait_for("cron's environment", || fs::read_to_string(folder.join("environment")).ok());
    assert!(environment.starts_with("not a tty\n"), "{environment}");
    assert!(environment.contains("\nPATH=/usr/bin:/bin\n"), "{environment}");
    assert!(!environment.contains("XDG_") && !environment.contains("ACTIVITY_"), "{environment}");

    let line = cron.wait_for("the line of the digest", || {
        let log = cron.read_file("/var/log/activity.log");
        log.lines().find(|line| line.contains(" digest window ")).map(str::to_owned)
    });
    assert!(line.contains(" events 3 to ops@example.org sendmail 0 id <"), "{line}");
    // A run that fails says so on standard error, and cron mails that.
    let complaint = cron.wait_for("cron's mail", || {
        let by_cron =
            |sent: &SentMail| !by_activity(sent) && sent.letter.contains("--db /nowhere.db");
        sent_mails(&folder).into_iter().find(by_cron)
    });
    let message = "activity: cannot open the log /nowhere.db: no such file";
    assert!(complaint.letter.contains(message), "{}", complaint.letter);
    assert!(complaint.letter.contains("To: root"), "{}", complaint.letter);
    cron.wait_for("the line of the sweep", || {
        cron.read_file("/var/log/activity.log").contains(" sweep removed 0 of ").then_some(())
    });

    // All of this is what the doctor looks for.
    let found = cron.run(&["doctor", "--json"]).ok().no_stderr().json();
    let check = |area: &str, name: &str| -> Value {
        let checks = found["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["area"] == area && check["check"] == name);
        check.unwrap_or_else(|| panic!("no {name} of {area} in {found}")).clone()
    };
    assert_eq!(found["ok"], true);
    let place =
        crontab.lines().position(|line| line.ends_with("activity digest >> /var/log/activity.log"));
    let place = format!("/var/spool/cron/crontabs/root:{}: * * * * *", place.unwrap() + 1);
    assert!(check("schedules", "digest")["value"].as_str().unwrap().contains(&place), "{found}");
    assert_eq!(check("schedules", "sweep")["status"], "ok");
    assert_eq!(check("last_runs", "digest")["status"], "ok");
    assert_eq!(check("last_runs", "sweep")["status"], "ok");
    assert_eq!(check("mail", "transport")["value"], "sendmail to ops@example.org");
    let out = cron.run(&["doctor"]).ok();
    assert!(out.stdout().contains("\nall is well"), "{out}");
    // And a test by hand goes the same way.
    let out = cron.run(&["doctor", "--mail", "ann@example.org"]).ok().no_stderr();
    assert!(out.stdout().contains(" test mail to ann@example.org sendmail 0 id <"), "{out}");
    let to_ann = |sent: &SentMail| sent.letter.contains("\r\nTo: ann@example.org\r\n");
    assert_eq!(sent_mails(&folder).iter().filter(|sent| to_ann(sent)).count(), 1);
}

#[test]
fn logrotate_takes_the_log_file_and_the_next_line_lands_in_a_new_one() {
    if !tools::require_root() || !tools::require_programs(&["logrotate"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let log = sandbox.path("activity.log").display().to_string();
    let example = read_repository_file("examples/logrotate");
    assert!(example.contains("\n/var/log/activity.log {"), "the file that crontab.example names");
    assert!(read_repository_file("crontab.example").contains(">> /var/log/activity.log\n"));
    sandbox.write("rotate", example.replace("/var/log/activity.log", &log));
    fs::set_permissions(sandbox.work_folder(), fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.write(
        "config.toml",
        "[digest]\nfrom = 'a@example.org'\nto = ['a@example.org']\n\
         transport = 'sendmail'\n[digest.sendmail]\ncommand = ['/bin/true']\n",
    );
    sandbox.ingest(join_lines([r#"{"action":"auth.login"}"#]));
    let digest =
        || sandbox.run_shell("activity digest --now >> activity.log").ok().no_stderr().done();
    let rotate = |args: &[&str]| {
        let mut command = sandbox.command_of("logrotate");
        command.args(args).args(["--state", "state", "rotate"]);
        sandbox.run_command(command).ok()
    };
    let rotation = rotate(&["-d"]);
    assert!(!rotation.stderr().contains("error"), "{rotation}");
    assert!(rotation.stderr().contains("Handling 1 logs"), "{rotation}");
    rotate(&[]).no_stderr().done();

    digest();
    rotate(&["-f"]).no_stderr().done();
    assert_eq!(sandbox.read("activity.log"), b"", "a new one");
    assert_eq!(sandbox.mode("activity.log"), 0o640);
    digest();
    for name in ["activity.log.1", "activity.log"] {
        let text = String::from_utf8(sandbox.read(name)).unwrap();
        assert_eq!(text.lines().count(), 1, "{name}: {text}");
        assert!(text.contains(" digest window "), "{name}: {text}");
    }
    rotate(&["-f"]).no_stderr().done();
    assert!(sandbox.exists("activity.log.2.gz"), "the older one is small");
    digest();
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !tools::require_root() || !tools::require_programs(&["systemd-analyze", "mount", "unshare"])
    {
        return;
    }
    let sandbox = Sandbox::new();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let verify = |units: &Path| {
        let mut command = sandbox.command_of("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc"])
            .arg(
                "mount -t tmpfs activity-test /usr/local/bin
                 cp \"$PROGRAM\" /usr/local/bin/activity
                 systemd-analyze verify --man=no \"$UNITS\"/*",
            )
            .env("PROGRAM", env!("CARGO_BIN_EXE_activity"))
            .env("UNITS", units);
        sandbox.run_command(command)
    };
    let ours = |out: &Output| -> Vec<String> {
        // It loads the units of the host as well, whose faults are not ours.
        let complaints = out.stderr().lines().filter(|line| line.contains("activity"));
        complaints.map(str::to_owned).collect()
    };
    let out = verify(&units).ok();
    assert_eq!(ours(&out), [""; 0], "{out}");
    // A fault would be told.
    fs::create_dir(sandbox.path("units")).unwrap();
    for entry in fs::read_dir(&units).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace("bin/activity", "bin/activty");
        fs::write(sandbox.path("units").join(path.file_name().unwrap()), text).unwrap();
    }
    let out = verify(&sandbox.path("units"));
    assert_ne!(out.code, Some(0), "{out}");
    assert!(!ours(&out).is_empty(), "{out}");

    for (unit, at) in [("digest", "04:00:00"), ("sweep", "03:10:00")] {
        let timer = fs::read_to_string(units.join(format!("activity-{unit}.timer"))).unwrap();
        let calendar = format!("*-*-* {at} UTC");
        assert!(timer.contains(&format!("\nOnCalendar={calendar}\n")), "{timer}");
        let mut command = sandbox.command_of("systemd-analyze");
        command.args(["calendar", &calendar]);
        let out = sandbox.run_command(command).ok();
        assert!(out.stdout().contains(&format!("Normalized form: {calendar}")), "{out}");
    }
}
