//! A pooler for one run of a benchmark.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;

use crate::cluster::Cluster;

const POOLER: &str = "/usr/sbin/pgbouncer";

/// A pooler in front of a server, which keeps connections open between those who ask.
pub(crate) struct Pooler {
    pub(crate) port: u16,
    child: Child,
}

impl Pooler {
    /// Returns `None` where it is not installed.
    pub(crate) fn start(cluster: &Cluster) -> io::Result<Option<Self>> {
        if !Path::new(POOLER).exists() {
            return Ok(None);
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let settings = format!(
            "[databases]\nactivity = host=127.0.0.1 port={} dbname=activity user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             pool_mode = transaction\nauth_type = any\n",
            cluster.port
        );
        let file = cluster.folder.join("pgbouncer.ini");
        fs::write(&file, settings)?;
        let child = Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", POOLER, "-q"])
            .arg(file)
            .current_dir(&cluster.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pooler = Self { port, child };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::yield_now();
        }
        Ok(Some(pooler))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
