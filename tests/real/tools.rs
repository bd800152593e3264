//! What these tests need beside the program.

use std::process::Command;

use crate::support::is_running_as_root;
use crate::support::skip;

/// The programs, and the Debian packages that bring them.
const PACKAGES: [(&str, &str); 30] = [
    ("apt-get", "apt"),
    ("bash", "bash"),
    ("chromium", "chromium"),
    ("cron", "cron"),
    ("faketime", "faketime"),
    ("git", "git"),
    ("logrotate", "logrotate"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("postfix", "postfix"),
    ("script", "bsdutils"),
    ("sqlite3", "sqlite3"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("sudo", "sudo"),
    ("visudo", "sudo"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("unshare", "util-linux"),
    ("valgrind", "valgrind"),
    ("dpkg-deb", "dpkg"),
    ("clickhouse-server", "clickhouse-server"),
    ("curl", "curl"),
    ("psql", "postgresql-client-15"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("/usr/lib/postgresql/15/bin/initdb", "postgresql-15"),
    ("/usr/sbin/pgbouncer", "pgbouncer"),
];

/// Whether these programs are there; under CI they must be.
pub(crate) fn require_programs(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let path =
            Command::new("sh").args(["-c", "command -v -- \"$0\"", program]).output().unwrap();
        if !path.status.success() {
            let package =
                PACKAGES.iter().find(|(name, _)| name == program).map_or(*program, |(_, p)| p);
            skip(&format!("{program} is missing: apt-get install {package}"));
        }
        path.status.success()
    })
}

/// Whether Debian's Python has these modules; under CI it must.
pub(crate) fn require_python_modules(modules: &[&str]) -> bool {
    modules.iter().all(|module| {
        let import = format!("import {module}");
        let python = Command::new("/usr/bin/python3").args(["-c", &import]).output();
        let there = python.is_ok_and(|python| python.status.success());
        if !there {
            skip(&format!("{module} is missing: apt-get install python3-{module}"));
        }
        there
    })
}

/// Whether the tests run as root; under CI they must.
pub(crate) fn require_root() -> bool {
    if !is_running_as_root() {
        skip("this needs root");
    }
    is_running_as_root()
}
