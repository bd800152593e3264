//! Disks that are full, read-only or limited.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::support::Sandbox;
use crate::support::join_lines;
use crate::support::log::Log;
use crate::tools;

/// A file system in memory, gone when it is dropped.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    pub(crate) fn new(sandbox: &Sandbox, size: &str) -> Self {
        let path = sandbox.path("mount");
        fs::create_dir_all(&path).unwrap();
        let mount = Self(path);
        mount.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "activity-test"]);
        mount
    }

    pub(crate) fn remount_read_only(&self) {
        self.run("mount", &["-o", "remount,ro"]);
    }

    pub(crate) fn resize(&self, size: &str) {
        self.run("mount", &["-o", &format!("remount,size={size}")]);
    }

    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) {
        let out = Command::new(program).args(args).arg(&self.0).output().unwrap();
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.0.join("log.db")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A test that failed may have left it busy: it goes when it can.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}

pub(crate) fn db_variable(db: &Path) -> [(&'static str, &str); 1] {
    [("ACTIVITY_DB", db.to_str().unwrap())]
}

#[test]
fn a_full_disk_is_74_and_what_was_acknowledged_stays() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mount = Mount::new(&sandbox, "3m");
    let db = mount.db();
    let title = "x".repeat(900);
    let mut acknowledged = 0;
    let refused = loop {
        let input = join_lines(
            (0..50).map(|n| format!(r#"{{"action":"a","title":"{acknowledged} {n} {title}"}}"#)),
        );
        sandbox.write("events.jsonl", input);
        let out = sandbox.run_with_env(&db_variable(&db), ["ingest", "--again", "events.jsonl"]);
        if out.code != Some(0) {
            break out;
        }
        drop(out);
        acknowledged += 50;
        assert!(acknowledged < 100_000, "the disk never fills");
    };
    assert!(acknowledged > 100, "{acknowledged}");
    let refused = refused.exits(74).no_stdout().stderr_has("no space left on device");
    assert!(refused.stderr().contains("log.db"), "{refused}");

    let stored = Log::open(&db);
    stored.assert_sound();
    assert_eq!(stored.event_count(), acknowledged);
    drop(stored);
    // One event is refused as well, or fits; either way it is said.
    let out = sandbox.run_with_env(&db_variable(&db), ["ingest", "--action", "one"]);
    assert!(matches!(out.code, Some(0 | 74)), "{out}");
    let landed = acknowledged + u64::from(out.code == Some(0));
    drop(out);
    // Reading needs no space.
    for args in [&["list"] as &[_], &["show", "1"], &["list", "--json", "x"], &["actions"]] {
        sandbox.run_with_env(&db_variable(&db), args).ok().done();
    }
    assert_eq!(Log::open(&db).event_count(), landed);
    // With space again it goes on.
    mount.resize("30m");
    sandbox.run_with_env(&db_variable(&db), ["ingest", "events.jsonl", "--again"]).ok().done();
    Log::open(&db).assert_sound();
}

#[test]
fn a_full_disk_is_read_though_nothing_is_left_beside_the_log() {
    if !tools::require_root() || !tools::require_programs(&["mount", "sqlite3"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mount = Mount::new(&sandbox, "16m");
    let db = mount.db();
    sandbox.run_with_env(&db_variable(&db), ["ingest", "--action", "user.edit"]).ok().done();
    // The last to close a log takes what is beside it away, unless it is one of ours.
    let shell = Command::new("sqlite3").arg(&db).arg("SELECT count(*) FROM event").output();
    assert_eq!(shell.unwrap().stdout, b"1\n");
    assert!(!mount.path().join("log.db-shm").exists());
    let filled = Command::new("dd")
        .arg("if=/dev/zero")
        .arg(format!("of={}", mount.path().join("filler").display()))
        .arg("bs=4k")
        .output();
    assert!(!filled.unwrap().status.success(), "the disk is not full");

    for args in [&["list"] as &[_], &["show", "1"], &["actions"], &["verify"]] {
        sandbox.run_with_env(&db_variable(&db), args).ok().done();
    }
    let listing = sandbox.run_with_env(&db_variable(&db), ["list", "--json"]).ok();
    assert!(listing.stdout().contains("user.edit"), "{listing}");
}

#[test]
fn an_export_onto_a_full_disk_is_74_and_leaves_no_half_file() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let title = "x".repeat(900);
    sandbox.ingest(join_lines(
        (0..3000).map(|n| format!(r#"{{"action":"a","title":"{n} {title}"}}"#)),
    ));
    let mount = Mount::new(&sandbox, "1m");
    sandbox.run(["export", "--csv", "-o", "mount/out.csv"]).exits(74).no_stdout().done();
    assert!(!mount.0.join("out.csv").exists());
    assert_eq!(fs::read_dir(&mount.0).unwrap().count(), 0, "no remains");
}

#[test]
fn a_log_on_a_read_only_disk_is_read() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    for with_sides in [true, false] {
        let sandbox = Sandbox::new();
        let mount = Mount::new(&sandbox, "10m");
        let db = mount.db();
        let input = join_lines((0..20).map(|n| format!(r#"{{"action":"a.b","actor_id":"{n}"}}"#)));
        sandbox.write("events.jsonl", input);
        sandbox.run_with_env(&db_variable(&db), ["ingest", "events.jsonl"]).ok().done();
        if !with_sides {
            let log = Log::open_to_write(&db);
            log.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            drop(log);
            drop(fs::remove_file(mount.0.join("log.db-wal")));
            drop(fs::remove_file(mount.0.join("log.db-shm")));
        }
        mount.remount_read_only();
        let out = sandbox.run_with_env(&db_variable(&db), ["list", "--json"]).ok();
        assert_eq!(out.json_lines().len(), 20, "with side files: {with_sides}");
        sandbox.run_with_env(&db_variable(&db), ["show", "7"]).ok().done();
        let out = sandbox.run_with_env(&db_variable(&db), ["ingest", "--action", "x"]);
        out.exits(74).no_stdout().stderr_has("read-only").done();
        sandbox
            .run_with_env(&db_variable(&db), ["export", "--csv"])
            .no_stdout()
            .exits_with_one_of(&[74, 77]);
    }
}

#[test]
fn a_wal_without_its_index_on_a_read_only_disk_is_never_hidden() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mount = Mount::new(&sandbox, "10m");
    let db = mount.db();
    sandbox.run_with_env(&db_variable(&db), ["ingest", "--action", "in.the.wal"]).ok().done();
    let wal = mount.0.join("log.db-wal");
    assert!(wal.metadata().unwrap().len() > 0, "the event is in the WAL");
    fs::remove_file(mount.0.join("log.db-shm")).unwrap();
    mount.remount_read_only();
    let out = sandbox.run_with_env(&db_variable(&db), ["list"]).exits(74).no_stdout();
    assert!(out.stderr().contains("copy"), "{out}");
}

#[test]
fn a_limit_on_file_size_is_74_and_does_not_kill() {
    let sandbox = Sandbox::in_memory();
    let input = join_lines((0..20_000).map(|n| format!(r#"{{"action":"a","title":"title {n}"}}"#)));
    sandbox.write("events.jsonl", input);
    let out = sandbox.run_shell("ulimit -f 512; exec activity ingest events.jsonl").exits(74);
    assert!(out.stderr().starts_with("activity: "), "{out}");
    if sandbox.exists("log.db") {
        sandbox.log().assert_sound();
    }
    sandbox.run(["ingest", "events.jsonl"]).ok().done();
    sandbox.assert_sound_with(20_000);
}

#[test]
fn a_limit_on_open_files_is_74_and_does_not_panic() {
    let sandbox = Sandbox::with_events();
    for files in 3..12 {
        let script = format!("ulimit -n {files}; exec activity list --json");
        let out = sandbox.run_shell(&script);
        // With too few of them not even the system's loader gets this far.
        assert!(matches!(out.code, Some(0 | 74 | 127)), "{files} files\n{out}");
        assert!(!out.stderr().contains("panicked"), "{out}");
        drop(out);
        let script = format!("ulimit -n {files}; exec activity ingest --action a");
        let out = sandbox.run_shell(&script);
        assert!(matches!(out.code, Some(0 | 73 | 74 | 127)), "{files} files\n{out}");
    }
    sandbox.log().assert_sound();
}

#[test]
fn a_copy_for_which_there_is_no_room_is_74_and_the_old_one_stays() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    let sandbox = Sandbox::with_events();
    sandbox.ingest(join_lines(
        (0..5_000).map(|n| format!(r#"{{"action":"a","title":"number {n}"}}"#)),
    ));
    let mount = Mount::new(&sandbox, "1m");
    let copy = mount.0.join("copy.db");
    fs::write(&copy, "an older one").unwrap();
    let out = sandbox.run(["backup", "mount/copy.db"]).exits(74).no_stdout().stderr_is_one_error();
    assert!(out.stderr().contains("cannot write mount/copy.db: no space left on device"), "{out}");
    assert_eq!(fs::read(&copy).unwrap(), b"an older one");
    assert_eq!(fs::read_dir(&mount.0).unwrap().count(), 1, "nothing is left beside it");
    sandbox.assert_sound_with(5_008);
}

#[test]
fn a_copy_is_read_and_verified_where_nothing_can_be_written() {
    if !tools::require_root() || !tools::require_programs(&["mount"]) {
        return;
    }
    let sandbox = Sandbox::with_events();
    let mount = Mount::new(&sandbox, "4m");
    sandbox.run(["backup", "mount/copy.db"]).ok().no_stderr().done();
    mount.remount_read_only();
    let args = ["--db", "mount/copy.db"];
    let held = sandbox.run(["verify"].into_iter().chain(args)).ok().no_stderr();
    assert_eq!(held.stdout(), sandbox.run(["verify"]).ok().stdout());
    let listed = sandbox.run(["list", "--json"].into_iter().chain(args)).ok().no_stderr();
    assert_eq!(listed.json_lines(), sandbox.run(["list", "--json"]).ok().json_lines());
    sandbox.run(["backup", "again.db"].into_iter().chain(args)).ok().no_stderr().done();
    sandbox.run(["backup", "mount/other.db"]).exits(73).no_stdout().stderr_is_one_error().done();
}
