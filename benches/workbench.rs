//! The folder of a run with its log and the flat table beside it, and the commands that are measured on
//! them.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::generator;
use crate::measure::Measurement;
use crate::measure::run_interleaved;
use crate::measure::run_measured;

/// One flat table with the same indexes as the log.
pub(crate) const FLAT_SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE event (
  event_id TEXT, occurred_at TEXT, tenant TEXT, source TEXT, severity TEXT, module TEXT, action TEXT,
  title TEXT, description TEXT, actor_id TEXT, actor_label TEXT, impersonator_id TEXT,
  impersonator_label TEXT, target_type TEXT, target_id TEXT, target_label TEXT, diff TEXT,
  payload TEXT, ip TEXT, user_agent TEXT, session_id TEXT, method TEXT, endpoint TEXT,
  status_code INTEGER);
CREATE UNIQUE INDEX event_event_id ON event (tenant, event_id);
CREATE INDEX event_occurred_at ON event (occurred_at);
CREATE INDEX event_actor ON event (actor_id, occurred_at) WHERE actor_id <> '';
CREATE INDEX event_impersonator ON event (impersonator_id, occurred_at) WHERE impersonator_id <> '';
CREATE INDEX event_target ON event (target_id, occurred_at) WHERE target_id <> '';
CREATE INDEX event_action ON event (action, occurred_at);
CREATE INDEX event_tenant ON event (tenant, occurred_at) WHERE tenant <> '';
CREATE INDEX event_title ON event (title) WHERE title <> '';
CREATE INDEX event_failed ON event (action, occurred_at) WHERE status_code >= 400;
";

/// The pause between one-event processes: hooks do not run without one.
const HOOK_PAUSE: Duration = Duration::from_millis(20);
/// The one-event processes that are measured without other work.
const SINGLE_EVENTS: usize = 200;

/// The folder of a run, for a history of so many events.
pub(crate) struct Bench {
    dir: TempDir,
    pub(crate) events: usize,
}

impl Bench {
    pub(crate) fn new(events: usize) -> io::Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let bench = Self { dir, events };
        fs::write(bench.path("config.toml"), "")?;
        fs::create_dir(bench.path("home"))?;
        Ok(bench)
    }

    pub(crate) fn report_progress(&self, step: &str) {
        eprintln!("bench of {}: {step}", self.events);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("ACTIVITY_CONFIG", self.path("config.toml"))
            .current_dir(self.dir.path());
        command
    }

    /// Returns the command that runs the program on one of the logs.
    pub(crate) fn activity_command(&self, db: &str, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_activity"));
        command.env("ACTIVITY_DB", self.path(db)).args(args);
        command
    }

    /// Returns the command that runs the `sqlite3` shell on the flat table.
    pub(crate) fn sqlite_command(&self, options: &[&str], statements: &[&str]) -> Command {
        let mut command = self.command("sqlite3");
        command.args(["-batch", "-bail"]).args(options).arg(self.path("flat.db")).args(statements);
        command
    }

    /// Returns the command that searches all lines for a name.
    pub(crate) fn ripgrep_command(&self, name: &str) -> Command {
        let mut command = self.command("rg");
        command.args(["--ignore-case", "--fixed-strings", "--no-config", name, "all.jsonl"]);
        command
    }

    /// Returns the command that records one event, with an id of its own in each round.
    pub(crate) fn single_ingest_command(&self, round: usize) -> Command {
        let (id, target) = (format!("single-{round}"), generator::target_id(round));
        let args = [
            "ingest",
            "--quiet",
            "--event-id",
            &id,
            "--action",
            "user.edit",
            "--module",
            "users",
            "--tenant",
            "s2l.online",
            "--actor-id",
            "1007",
            "--target-type",
            "user",
            "--target-id",
            &target,
            "--title",
            "user edit",
            "--ip",
            "102.65.14.9",
            "--payload",
            r#"{"request_id":"0d9e","via":"hook"}"#,
        ];
        self.activity_command("all.db", &args)
    }

    /// Returns the command that inserts the same event into the flat table.
    pub(crate) fn single_insert_command(&self, round: usize) -> Command {
        let insert = format!(
            "INSERT INTO event (event_id, occurred_at, tenant, source, severity, module, action, \
             title, actor_id, target_type, target_id, ip, payload) VALUES ('single-{round}', \
             strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 's2l.online', 'operator', 'info', 'users', \
             'user.edit', 'user edit', '1007', 'user', '{}', '102.65.14.9', \
             '{{\"request_id\":\"0d9e\",\"via\":\"hook\"}}');",
            generator::target_id(round)
        );
        self.sqlite_command(&[], &["PRAGMA synchronous = FULL;", &insert])
    }

    /// Returns the command of a hook, which records one event with little in it.
    fn hook_command(&self, round: usize) -> Command {
        let target = generator::target_id(round);
        let args = ["ingest", "--quiet", "--action", "hook.run", "--target-id", &target];
        self.activity_command("all.db", &args)
    }

    /// Runs hooks one after the other. Returns the shortest first.
    pub(crate) fn hooks_at_rest(&self) -> Vec<Measurement> {
        run_interleaved(SINGLE_EVENTS, &[&|round| self.hook_command(round)]).remove(0)
    }

    /// Runs hooks while a sweep removes what is older than `keep`, as many as fit. Returns the shortest
    /// first.
    pub(crate) fn hooks_during_sweep(&self, keep: &str) -> Vec<Measurement> {
        let mut sweep = self
            .activity_command("all.db", &["sweep", "--keep", keep, "--force", "--yes", "--json"]);
        let mut sweep = sweep.stdout(Stdio::piped()).spawn().unwrap();
        let mut beside = Vec::new();
        while sweep.try_wait().unwrap().is_none() {
            beside.push(run_measured(self.hook_command(beside.len())));
            thread::sleep(HOOK_PAUSE);
        }
        let output = sweep.wait_with_output().unwrap();
        assert!(output.status.success(), "the sweep");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = beside.len();
        self.report_progress(&format!("{count} events beside the sweep of {}", summary["count"]));
        beside.sort_by_key(|run| run.wall_time);
        beside
    }

    pub(crate) fn remove_database(&self, db: &str) {
        for side in ["", "-wal", "-shm", "-journal", ".lock", ".reserve"] {
            drop(fs::remove_file(self.path(&format!("{db}{side}"))));
        }
    }

    /// Returns the bytes of a database and its write-ahead log.
    pub(crate) fn database_size(&self, db: &str) -> u64 {
        let sides = ["", "-wal"].map(|side| self.path(&format!("{db}{side}")));
        sides.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
    }
}

/// Returns the statement that reads whole rows of the flat table.
pub(crate) fn flat_select(clauses: &str) -> String {
    format!("SELECT rowid AS id, {} FROM event {clauses};", generator::FIELDS.join(", "))
}

/// Returns the processor and its cores.
pub(crate) fn describe_processor() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor");
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// Returns the version that a tool prints: the first word with a digit in it, from there on.
pub(crate) fn tool_version(tool: &str) -> String {
    let output = Command::new(tool).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    text[start..].split_whitespace().next().unwrap_or("unknown").to_owned()
}

pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().expect("the build's folder has a plain name")
}
