//! The files beside a log, where the folder is somebody else's: no link is followed, and nobody else's
//! file is used.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;

use crate::support::Sandbox;
use crate::support::is_running_as_root;

const COMPANIONS: [&str; 4] = ["log.db-wal", "log.db-shm", "log.db.lock", "log.db.reserve"];

/// What root or anybody may run.
const RUNS: [&[&str]; 13] = [
    &["ingest", "--action", "a.b"],
    &["list"],
    &["sweep", "--keep", "30d"],
    &["export", "--jsonl", "-o", "out.jsonl"],
    &["page", "-o", "out.html"],
    &["stats"],
    &["actions"],
    &["search-actor", "17"],
    &["backup", "copy.db"],
    &["mirror"],
    &["mirror", "status"],
    &["gate", "--as", "administrator"],
    &["digest", "--dry-run"],
];

#[test]
fn no_link_is_followed_in_the_place_of_a_companion() {
    for companion in COMPANIONS {
        let sandbox = Sandbox::new();
        sandbox.ingest(r#"{"action":"a.b"}"#);
        let victim = sandbox.write("victim", "precious");
        fs::rename(sandbox.path(companion), sandbox.path("kept")).unwrap();
        for target in [victim, sandbox.path("nowhere")] {
            symlink(&target, sandbox.path(companion)).unwrap();
            for args in RUNS {
                let out = sandbox.run(args).exits(77).no_stdout().stderr_is_one_error();
                let told = out.stderr();
                assert!(told.contains(companion) && told.contains("symbolic link"), "{out}");
            }
            fs::remove_file(sandbox.path(companion)).unwrap();
        }
        assert_eq!(sandbox.read("victim"), b"precious");
        assert!(!sandbox.exists("nowhere"), "{companion}");
        fs::rename(sandbox.path("kept"), sandbox.path(companion)).unwrap();
        sandbox.assert_sound_with(1);
    }
}

#[test]
fn a_companion_is_a_regular_file() {
    for companion in COMPANIONS {
        let sandbox = Sandbox::new();
        sandbox.ingest(r#"{"action":"a.b"}"#);
        fs::rename(sandbox.path(companion), sandbox.path("kept")).unwrap();
        sandbox.run_shell(&format!("mkfifo {companion}")).ok().done();
        for args in RUNS {
            sandbox.run(args).exits(77).no_stdout().stderr_has("no regular file").done();
        }
    }
}

#[test]
fn a_companion_belongs_to_the_owner_of_the_log_or_to_root() {
    if !is_running_as_root() {
        return;
    }
    for companion in COMPANIONS {
        let sandbox = Sandbox::new();
        sandbox.ingest(r#"{"action":"a.b"}"#);
        // A user's folder and log: root may work there.
        sandbox.chown_to_nobody();
        sandbox.run(["ingest", "--action", "a.c"]).ok().done();
        // Another user's file, and one of root's that the user has linked here.
        let path = sandbox.path(companion);
        std::os::unix::fs::chown(&path, Some(4_711), Some(4_711)).unwrap();
        for args in RUNS {
            sandbox.run(args).exits(77).no_stdout().stderr_has("not of the log's owner").done();
        }
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        sandbox.run(["list"]).ok().done();
        // SQLite gives the shared memory to the owner of the log, whoever else has a name for it.
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        fs::hard_link(&path, sandbox.path("other")).unwrap();
        let size = path.metadata().unwrap().size();
        for args in RUNS {
            sandbox.run(args).exits(77).no_stdout().stderr_has("not of the log's owner").done();
        }
        assert_eq!(path.metadata().unwrap().size(), size, "{companion}");
    }
}

#[test]
fn members_of_a_group_use_each_others_companions() {
    if !is_running_as_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.run_shell("chgrp 4712 . && chmod 2770 .").ok().done();
    sandbox.ingest(r#"{"action":"a.b"}"#);
    for companion in COMPANIONS {
        std::os::unix::fs::chown(sandbox.path(companion), Some(4_711), Some(4_712)).unwrap();
    }
    for args in RUNS {
        sandbox.run(args).ok().done();
    }
}
