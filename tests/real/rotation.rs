//! A web server's log under load: logrotate takes it away again and again while lines are written, and
//! cron's command reads it. Each line becomes one event.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::examples::ExampleHost;
use crate::examples::example_path;
use crate::support::wait;
use crate::tools;

const LINES: usize = 100_000;

/// How the log is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    /// By a rename: the server writes on into the renamed file until it is told to open the log anew.
    Rename,
    /// By a copy of the log, which is then cut off. What is written in between is lost by logrotate
    /// itself, so the server holds still for that moment.
    CopyTruncate,
}

/// What the threads of a test tell each other.
#[derive(Default)]
struct Progress {
    written: AtomicUsize,
    /// Runs of the reader that began, and that ended well.
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// Nothing is rotated any more, so that the server need not answer.
    is_over: AtomicBool,
}

impl Progress {
    fn has_written_all(&self) -> bool {
        self.written.load(Ordering::SeqCst) == LINES
    }
}

/// Says at its end, also after a panic, that nothing is rotated any more: else the server would never end.
struct End<'a>(&'a Progress);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// Writes lines as a busy server does: no line waits for anything but a rotation that asks for it.
struct WebServer<'a> {
    host: &'a ExampleHost,
    progress: &'a Progress,
    log: File,
}

impl<'a> WebServer<'a> {
    fn new(host: &'a ExampleHost, progress: &'a Progress) -> Self {
        let log = Self::open(host);
        Self { host, progress, log }
    }

    fn open(host: &ExampleHost) -> File {
        File::options().append(true).create(true).open(host.0.path("access.log")).unwrap()
    }

    fn run(mut self) {
        for n in 0..LINES {
            let line = format!(
                "192.0.2.7 - - [20/Nov/2026:06:00:00 +0200] \"GET /{n} HTTP/1.1\" 200 5 \"-\" \"curl/8\"\n"
            );
            // A buffer that is full is written wherever the line is.
            let (head, tail) = line.split_at(line.len() * (n % 8) / 8);
            self.log.write_all(head.as_bytes()).unwrap();
            self.log.write_all(tail.as_bytes()).unwrap();
            self.progress.written.store(n + 1, Ordering::SeqCst);
            self.answer();
            // Slower while the reader is behind, so that the lines last for several rotations.
            let is_ahead = n > (self.progress.ended.load(Ordering::SeqCst) + 1) * 8_000;
            if is_ahead || n % 20 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        while !self.progress.is_over.load(Ordering::SeqCst) {
            self.answer();
            thread::yield_now();
        }
    }

    /// Does what the scripts of logrotate ask for.
    fn answer(&mut self) {
        let asked = |name: &str| self.host.0.exists(name);
        if asked("reopen") {
            self.log = Self::open(self.host);
            fs::remove_file(self.host.0.path("reopen")).unwrap();
        }
        if asked("hold") {
            self.host.0.write("held", "");
            while self.host.0.exists("hold") {
                thread::yield_now();
            }
            fs::remove_file(self.host.0.path("held")).unwrap();
        }
    }
}

/// The rules of the example, with what this server has in place of signals.
fn rules(host: &ExampleHost, rotation: Rotation) -> String {
    let folder = host.0.work_folder().display().to_string();
    let example = fs::read_to_string(example_path("nginx/logrotate")).unwrap();
    let (before, _) = example.split_once("    postrotate").unwrap();
    let before = before.replace("/var/log/nginx", &folder);
    let (create, scripts) = match rotation {
        Rotation::Rename => (
            "create 0640 root adm",
            "postrotate\n: > FOLDER/reopen; while [ -e FOLDER/reopen ]; do :; done\nendscript\n",
        ),
        Rotation::CopyTruncate => (
            "copytruncate",
            "prerotate\n: > FOLDER/hold; while [ ! -e FOLDER/held ]; do :; done\nendscript\n\
             postrotate\nrm FOLDER/hold; while [ -e FOLDER/held ]; do :; done\nendscript\n",
        ),
    };
    let before = before.replace("create 0640 root adm", create);
    format!("{before}{}}}\n", scripts.replace("FOLDER", &folder))
}

/// Reads the log again and again, as cron does.
fn read_on(host: &ExampleHost, progress: &Progress) {
    let script = example_path("nginx/ingest-access");
    let command = format!("'{}' '{}'", script.display(), host.0.path("access.log").display());
    loop {
        let is_last = progress.is_over.load(Ordering::SeqCst);
        let number = progress.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let out = host.run_script(&command);
        // For a moment there is no file of the name: the next run finds one.
        if out.code == Some(66) {
            drop(out);
            continue;
        }
        let out = out.ok();
        assert_eq!(out.stderr(), "", "run {number}\n{out}");
        drop(out);
        progress.ended.store(number, Ordering::SeqCst);
        if is_last {
            return;
        }
    }
}

/// Rotates the log whenever it was read since the last time. Returns how often that was under load.
fn rotate_on(host: &ExampleHost, progress: &Progress) -> usize {
    let mut rotations = 0;
    while !progress.has_written_all() {
        let begun = progress.begun.load(Ordering::SeqCst);
        wait::until_true("a run of the reader", || progress.ended.load(Ordering::SeqCst) > begun);
        host.run_script("logrotate -f --state state rotate").ok().no_stderr().done();
        rotations += usize::from(!progress.has_written_all());
    }
    rotations
}

#[test]
fn a_log_that_is_rotated_while_it_is_written_loses_and_doubles_no_line() {
    if !tools::require_root() || !tools::require_programs(&["logrotate"]) {
        return;
    }
    for rotation in [Rotation::Rename, Rotation::CopyTruncate] {
        let host = ExampleHost::new();
        host.0.write("rotate", rules(&host, rotation));
        fs::set_permissions(host.0.work_folder(), fs::Permissions::from_mode(0o755)).unwrap();
        let progress = Progress::default();
        let server = WebServer::new(&host, &progress);
        let rotations = thread::scope(|scope| {
            scope.spawn(|| server.run());
            scope.spawn(|| read_on(&host, &progress));
            let _end = End(&progress);
            rotate_on(&host, &progress)
        });
        let out = host.run_script("activity export --jsonl --columns endpoint").ok();
        let paths: Vec<&str> = out.stdout().lines().collect();
        let distinct: BTreeSet<_> = paths.iter().collect();
        eprintln!(
            "{rotation:?}: {rotations} rotations under load, {} runs of the reader",
            progress.begun.load(Ordering::SeqCst)
        );
        assert_eq!((paths.len(), distinct.len()), (LINES, LINES), "{rotation:?}: stored, distinct");
        assert!(rotations >= 3, "{rotation:?}: only {rotations} rotations under load");
    }
}
