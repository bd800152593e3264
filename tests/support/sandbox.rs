//! A folder to run the program in, without any settings of the person who runs the tests.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::Output;
use crate::support::is_running_as_root;
use crate::support::log::Log;

/// The user who runs the program where a test needs somebody other than root.
const NOBODY: u32 = 65534;

pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// A sandbox in memory, for tests that sync thousands of times.
    pub(crate) fn in_memory() -> Self {
        let shm = Path::new("/dev/shm");
        if shm.is_dir() { Self::new_in(shm) } else { Self::new() }
    }

    pub(crate) fn new_in(parent: &Path) -> Self {
        let sandbox =
            Self { dir: tempfile::Builder::new().prefix("log").tempdir_in(parent).unwrap() };
        for folder in ["home", "here"] {
            fs::create_dir(sandbox.root().join(folder)).unwrap();
        }
        // The host's own config never counts.
        sandbox.write("config.toml", "");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(sandbox.path("config.toml"), private).unwrap();
        sandbox
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The folder that the program runs in.
    pub(crate) fn work_folder(&self) -> PathBuf {
        self.root().join("here")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The path of a file in the folder that the program runs in.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.work_folder().join(name)
    }

    /// The log that commands use by default.
    pub(crate) fn db(&self) -> PathBuf {
        self.path("log.db")
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn append(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.write_all(contents.as_ref()).unwrap();
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    }

    pub(crate) fn exists(&self, name: impl AsRef<Path>) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// The program with these arguments, yet to be run.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command_of(env!("CARGO_BIN_EXE_activity"));
        command.args(args);
        command
    }

    /// Another program in the same surroundings.
    pub(crate) fn command_of(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.home())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("COLUMNS", "80")
            .env("ACTIVITY_DB", "log.db")
            .env("ACTIVITY_CONFIG", "config.toml")
            .current_dir(self.work_folder())
            .stdin(Stdio::null());
        command
    }

    /// A line for `sh`, in which `activity` is the program.
    pub(crate) fn run_shell(&self, script: &str) -> Output {
        let bin = self.root().join("bin");
        if !bin.exists() {
            fs::create_dir(&bin).unwrap();
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_activity"), bin.join("activity"))
                .unwrap();
        }
        let mut command = self.command_of("sh");
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
        command.args(["-c", script]);
        self.run_command(command)
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.run_command(self.command(args))
    }

    /// Runs the program with further variables in its environment.
    pub(crate) fn run_with_env<S: AsRef<OsStr>>(
        &self,
        variables: &[(&str, &str)],
        args: impl IntoIterator<Item = S>,
    ) -> Output {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        self.run_command(command)
    }

    pub(crate) fn run_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: impl AsRef<[u8]>,
    ) -> Output {
        self.run_command_with_input(self.command(args), input)
    }

    pub(crate) fn run_command(&self, mut command: Command) -> Output {
        let text = format!("{command:?}");
        let output = command.output().unwrap_or_else(|why| panic!("{text}: {why}"));
        Output::new(text, self.root(), output)
    }

    pub(crate) fn run_command_with_input(
        &self,
        mut command: Command,
        input: impl AsRef<[u8]>,
    ) -> Output {
        command.stdin(Stdio::piped());
        let text = format!("{command:?}");
        let mut child = self.spawn(command);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref();
        let output = std::thread::scope(|scope| {
            // The program may end before it has read everything.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().unwrap()
        });
        Output::new(text, self.root(), output)
    }

    /// Starts a command whose output is collected.
    pub(crate) fn spawn(&self, mut command: Command) -> Child {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let text = format!("{command:?}");
        command.spawn().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    /// Waits for a child and collects what it left.
    pub(crate) fn wait_with_output(&self, child: Child) -> Output {
        let output = child.wait_with_output().unwrap();
        Output::new("a child".to_owned(), self.root(), output)
    }

    /// Takes one event in, given as JSON, and checks that it went well.
    #[track_caller]
    pub(crate) fn ingest(&self, events: impl AsRef<[u8]>) {
        self.run_with_input(["ingest", "--quiet"], events).ok().no_stderr().done();
    }

    /// The newest events, as `list --json` prints them, oldest first.
    #[track_caller]
    pub(crate) fn stored_events(&self) -> Vec<serde_json::Value> {
        let args = ["list", "--json", "--sort", "id:asc", "--limit", "10000"];
        self.run(args).ok().no_stderr().json_lines()
    }

    /// The only event of the log, as `list --json` prints it.
    #[track_caller]
    pub(crate) fn only_event(&self) -> serde_json::Value {
        let stored = self.stored_events();
        assert_eq!(stored.len(), 1, "one event in the log: {stored:?}");
        stored.into_iter().next().unwrap()
    }

    /// The log, read without the program.
    pub(crate) fn log(&self) -> Log {
        Log::open(&self.db())
    }

    /// Checks by other means that the log is sound, and has that many events.
    #[track_caller]
    pub(crate) fn assert_sound_with(&self, events: u64) {
        let log = self.log();
        log.assert_sound();
        assert_eq!(log.event_count(), events, "events in the log");
    }

    /// The program as a user other than root runs it, in their own folder.
    pub(crate) fn command_as_nobody<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        if !is_running_as_root() {
            return self.command(args);
        }
        let program = self.root().join("activity");
        if !program.exists() {
            // The build's own folder may be closed to others.
            // Another program copies it: a descriptor of ours that is open to write would be
            // inherited by whatever another test starts just then, and the copy could not be run.
            let copied =
                Command::new("cp").arg(env!("CARGO_BIN_EXE_activity")).arg(&program).status();
            assert!(copied.unwrap().success());
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            self.chown_to_nobody();
        }
        let mut command = self.command_of(&program);
        command.args(args).uid(NOBODY).gid(NOBODY);
        command
    }

    /// Gives the whole sandbox to that user.
    pub(crate) fn chown_to_nobody(&self) {
        fn chown_recursively(path: &Path) {
            if path.is_dir() && !path.is_symlink() {
                fs::read_dir(path)
                    .unwrap()
                    .for_each(|entry| chown_recursively(&entry.unwrap().path()));
            }
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        if is_running_as_root() {
            chown_recursively(self.root());
        }
    }

    pub(crate) fn mode(&self, name: impl AsRef<Path>) -> u32 {
        self.path(name).metadata().unwrap().permissions().mode() & 0o7777
    }
}
