//! The servers of `tests/real/servers`, run beside a sandbox.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;

use crate::support::Sandbox;

/// A file of the servers.
pub(super) fn script_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/servers").join(name)
}

/// The Python that Debian's packages are for.
pub(super) fn python_command(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command_of("/usr/bin/python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

pub(super) struct MailServer {
    folder: tempfile::TempDir,
    process: Child,
    pub(super) port: u16,
}

impl MailServer {
    /// Starts `mail.py` in a mode, with the replies that it shall give.
    pub(super) fn start(sandbox: &Sandbox, mode: &str, replies: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = python_command(sandbox)
            .arg(script_path("mail.py"))
            .arg(folder.path())
            .arg(mode)
            .args(replies.iter().map(Value::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { folder, process, port: line.trim().parse().expect("it says its port") }
    }

    /// The certificate of the authority that vouches for it.
    pub(super) fn ca_certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The letters or requests that came, in their order.
    pub(super) fn received(&self) -> Vec<Value> {
        let read = |path: &Path| Some(serde_json::from_slice(&fs::read(path).ok()?).unwrap());
        (1..).map_while(|n| read(&self.folder.path().join(format!("mail-{n}.json")))).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}
