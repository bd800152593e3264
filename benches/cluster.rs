//! A server of PostgreSQL for one run of a benchmark.

use std::fs;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

pub(crate) const POSTGRES_BIN: &str = "/usr/lib/postgresql/15/bin";

/// What `docs/central.md` says to set, for a server with 4 GiB of memory.
const SETTINGS: &str = "-c shared_buffers=1GB -c max_wal_size=8GB -c wal_compression=on";

/// A server of PostgreSQL for this run, owned by Debian's user of it: it refuses root.
pub(crate) struct Cluster {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

impl Cluster {
    /// Returns `None` where it is not installed or this is not root.
    pub(crate) fn start(parent: &Path) -> io::Result<Option<Self>> {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root || !Path::new(POSTGRES_BIN).join("initdb").exists() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("pg").tempdir()?.keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let cluster = Self { folder, port };
        let here = cluster.folder.display();
        let init = format!(
            "{POSTGRES_BIN}/initdb -D {here}/data -U postgres -A trust -E UTF8 --locale=C.UTF-8"
        );
        let start = format!(
            "{POSTGRES_BIN}/pg_ctl -D {here}/data -w -l {here}/log start -o \
             '-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={here} {SETTINGS}'"
        );
        let script = format!(
            "chown postgres {here} && cd {here} && setpriv --reuid=postgres --regid=postgres \
             --clear-groups sh -c \"{init} && {start}\""
        );
        let log = File::create(parent.join("pg.log"))?;
        let status = Command::new("sh")
            .args(["-c", &script])
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        assert!(status.success(), "{}", fs::read_to_string(parent.join("pg.log"))?);
        Ok(Some(cluster))
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> io::Result<()> {
        let status = Command::new("psql")
            .args(["-X", "-q", "-U", "postgres", "-h"])
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .status()?;
        assert!(status.success(), "{sql}");
        Ok(())
    }

    /// Returns the processor time of the server, of its processes, and of those that have ended.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        const TICKS_PER_SECOND: f64 = 100.0;
        let pid = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let stats = processes.filter_map(|process| {
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            let fields = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
            let is_server = process.file_name() == pid;
            Some((is_server, fields.collect::<Vec<_>>()))
        });
        // The parent is field 4; utime and stime are 14 and 15, those of ended children 16 and 17.
        let ticks = stats.filter(|(is_server, fields)| *is_server || fields[1] == pid).map(
            |(is_server, fields)| {
                let own = fields.iter().skip(11).take(if is_server { 4 } else { 2 });
                own.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>()
            },
        );
        ticks.sum::<f64>() / TICKS_PER_SECOND
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let here = self.folder.display();
        let stop = format!(
            "cd {here} && setpriv --reuid=postgres --regid=postgres --clear-groups \
             {POSTGRES_BIN}/pg_ctl -D {here}/data -m immediate stop >log.stop"
        );
        drop(Command::new("sh").args(["-c", &stop]).status());
        drop(fs::remove_dir_all(&self.folder));
    }
}
