//! A digest that is killed, or runs on a full disk: the mail is sent, or the next digest covers it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::config::DbConfig;
use serde_json::json;

use crate::digest::SENDGRID_KEY;
use crate::digest::digest_config;
use crate::digest::digest_outcomes;
use crate::digest::events;
use crate::digest::header_values;
use crate::digest::install_sendmail;
use crate::digest::mail_server::MailServer;
use crate::digest::parse_letters;
use crate::digest::sendmail_config;
use crate::digest::single_header;
use crate::digest::text_body;
use crate::disks::Mount;
use crate::disks::db_variable;
use crate::strace;
use crate::support::Output;
use crate::support::Sandbox;
use crate::support::log::Log;
use crate::support::torture::FaultCount;
use crate::tools;

/// A log of three events, and a service whose key is in a file.
fn sandbox_with_sendgrid(server: &MailServer) -> Sandbox {
    let sandbox = Sandbox::in_memory();
    let more = format!(
        "[digest.sendgrid]\napi_key_file = 'the.key'\nbase_url = 'http://127.0.0.1:{}'",
        server.port
    );
    sandbox.write("config.toml", digest_config("sendgrid", &more));
    let key = sandbox.write("the.key", SENDGRID_KEY);
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.ingest(events(&["auth.login", "auth.login", "lesson.completed"]));
    sandbox
}

#[test]
fn killed_at_each_call_that_writes_the_log_it_is_made_up_for() {
    if !tools::require_programs(&["strace"]) || !tools::require_python_modules(&["jsonschema"]) {
        return;
    }
    let server = MailServer::start(&Sandbox::new(), "http", &[]);
    // The runs killed before the mail was sent, and after it with and without a record.
    let (mut before, mut unrecorded, mut recorded) = (0, 0, 0);
    for call in ["pwrite64", "fdatasync", "fsync"] {
        for nth in 1.. {
            let sandbox = sandbox_with_sendgrid(&server);
            let mails = server.received().len();
            let (out, injected) =
                strace::inject(&sandbox, call, "signal=SIGKILL", nth, true, &["digest"]);
            if !injected {
                out.ok().done();
                break;
            }
            assert_eq!(out.signal, Some(9), "{call} {nth}\n{out}");
            drop(out);
            sandbox.log().assert_sound();
            let kept = digest_outcomes(&sandbox);
            let begun: i64 = sandbox.log().query_value("SELECT count(*) FROM anchor WHERE id = 3");
            match (server.received().len() - mails, kept.len()) {
                (0, 0) => before += 1,
                (1, 0) => unrecorded += 1,
                (1, 1) => recorded += 1,
                other => panic!("{call} {nth}: mails and records: {other:?}"),
            }
            sandbox.run(["digest", "--now"]).ok().no_stderr().done();
            let (action, payload) = digest_outcomes(&sandbox).pop().unwrap();
            assert_eq!(action, "digest.sent");
            let mail = server.received().pop().unwrap();
            assert_eq!(mail["errors"], json!([]));
            let subject = mail["body"]["subject"].as_str().unwrap();
            let (events, named) = match (kept.len(), begun) {
                (1, 1) => (0, "s2l.online: no activity on "),
                (0, 1) => (3, "[after an unrecorded digest] s2l.online: 3 events on "),
                (0, 0) => (3, "s2l.online: 3 events on "),
                other => panic!("{call} {nth}: records and beginnings: {other:?}"),
            };
            assert_eq!(payload["events"], events, "{call} {nth}");
            assert!(subject.starts_with(named), "{call} {nth}: {subject}");
            sandbox.assert_sound_with(if kept.is_empty() { 4 } else { 5 });
        }
    }
    FaultCount::new("kills").add(before + unrecorded + recorded);
    assert!(before > 0 && unrecorded > 0);
}

/// A log on a disk of its own, and a `sendmail` that keeps what it gets beside it.
struct FullDisk {
    sandbox: Sandbox,
    mount: Mount,
}

impl FullDisk {
    fn new() -> Option<Self> {
        if !tools::require_root()
            || !tools::require_programs(&["mount"])
            || !tools::require_python_modules(&["json"])
        {
            return None;
        }
        let sandbox = Sandbox::new();
        let mount = Mount::new(&sandbox, "3m");
        install_sendmail(&sandbox);
        sandbox.write("config.toml", sendmail_config(&sandbox, ""));
        let full = Self { sandbox, mount };
        full.sandbox.write("events.jsonl", events(&["auth.login", "auth.login"]));
        full.run(&["ingest", "--quiet", "events.jsonl"]).ok().done();
        // A write-ahead log with old frames could be overwritten without any free space.
        let log = Log::open_to_write(&full.mount.db());
        log.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        // The files beside the log stay, as the program leaves them.
        log.sql.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        drop(log);
        let size = |name: &str| full.mount.0.join(name).metadata().unwrap().len();
        assert!(size("log.db-wal") == 0 && size("log.db-shm") > 0);
        Some(full)
    }

    fn run(&self, args: &[&str]) -> Output {
        self.sandbox.run_with_env(&db_variable(&self.mount.db()), args)
    }

    /// Fills the rest of the disk.
    fn fill(&self) {
        let filled = fs::write(self.mount.0.join("filler"), vec![0; 4 << 20]);
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        fs::remove_file(self.mount.0.join("filler")).unwrap();
    }

    /// Returns the outcomes of the digests in the log.
    fn history(&self) -> Vec<serde_json::Value> {
        self.run(&["digest", "--history", "--json"]).ok().json_lines()
    }

    /// Checks the only mail that was sent, and that the error names it.
    #[track_caller]
    fn assert_sent_unrecorded(&self, out: &Output, why: &str) {
        let letters = parse_letters(&self.sandbox, &self.sandbox.path("letters"));
        assert_eq!(letters.len(), 1);
        let id = single_header(&letters[0], "Message-ID");
        let said = format!("the digest was sent (message id {id}) and cannot be recorded");
        assert!(out.stderr().contains(&said), "{out}");
        let (top, _) = text_body(&letters[0]).split_once("AT A GLANCE").unwrap();
        let message = top.split_whitespace().collect::<Vec<_>>().join(" ");
        let cannot =
            "NEEDS A LOOK This mail may go unrecorded, and then the next digest has its events";
        assert!(message.contains(cannot) && message.contains(why), "{top}");
        assert!(text_body(&letters[0]).contains("SIGN-INS (2)"));
        assert!(!text_body(&letters[0]).contains("Keep this mail"), "no head is promised");
        Log::open(&self.mount.db()).assert_sound();
    }

    /// Checks that the next digest covers all events again.
    #[track_caller]
    fn assert_next_covers(&self) {
        self.run(&["digest"]).ok().no_stderr().done();
        let history = self.history();
        assert_eq!(history.len(), 1);
        assert_eq!((&history[0]["outcome"], &history[0]["events"]), (&json!("sent"), &json!(2)));
    }
}

#[test]
fn a_disk_that_is_full_before_the_mail_keeps_none_from_going_out() {
    let Some(full) = FullDisk::new() else { return };
    full.fill();
    let out =
        full.run(&["digest"]).exits(74).stdout_is_line_with(" not recorded").stderr_is_one_error();
    full.assert_sent_unrecorded(&out, "no space left on device");
    assert!(full.history().is_empty());
    full.make_room();
    full.assert_next_covers();
}

#[test]
fn a_full_disk_with_nothing_beside_the_log_keeps_none_from_going_out_either() {
    let Some(full) = FullDisk::new() else { return };
    // Another program that closes the log as the last one takes them away.
    fs::remove_file(full.mount.0.join("log.db-wal")).unwrap();
    fs::remove_file(full.mount.0.join("log.db-shm")).unwrap();
    full.fill();
    let out =
        full.run(&["digest"]).exits(74).stdout_is_line_with(" not recorded").stderr_is_one_error();
    // It takes space to look at the log by other means.
    full.make_room();
    full.assert_sent_unrecorded(&out, "no space left on device");
    full.assert_next_covers();
}

#[test]
fn a_disk_that_fills_up_with_the_mail_is_told_with_its_id() {
    let Some(full) = FullDisk::new() else { return };
    let script = String::from_utf8(full.sandbox.read("sendmail")).unwrap();
    let filler = full.mount.0.join("filler");
    let filling =
        format!("{script}head -c 4M /dev/zero > {} 2> /dev/null\nexit 0\n", filler.display());
    full.sandbox.write("sendmail", filling);
    let out =
        full.run(&["digest"]).exits(74).stdout_is_line_with(" not recorded").stderr_is_one_error();
    let letters = parse_letters(&full.sandbox, &full.sandbox.path("letters"));
    let id = single_header(&letters[0], "Message-ID");
    let said = format!("the digest was sent (message id {id}) and cannot be recorded");
    assert!(out.stderr().contains(&said) && out.stderr().contains("no space"), "{out}");
    assert!(text_body(&letters[0]).contains("Keep this mail"), "its head was noted before");
    assert!(full.history().is_empty());
    full.make_room();
    full.sandbox.write("sendmail", script);
    full.assert_next_covers();
    let letters = parse_letters(&full.sandbox, &full.sandbox.path("letters"));
    let subject = single_header(&letters[1], "Subject");
    assert!(subject.starts_with("[after an unrecorded digest] "), "{subject}");
    assert_eq!(header_values(&letters[1], "X-Activity-Window").len(), 1);
}

#[test]
fn a_log_on_a_read_only_disk_is_mailed_in_full() {
    let Some(full) = FullDisk::new() else { return };
    full.mount.remount_read_only();
    let out =
        full.run(&["digest"]).exits(74).stdout_is_line_with(" not recorded").stderr_is_one_error();
    full.assert_sent_unrecorded(&out, "read-only");
}

#[test]
fn a_log_that_stays_locked_is_mailed_in_full_and_tried_again() {
    let Some(full) = FullDisk::new() else { return };
    let log = Log::open_to_write(&full.mount.db());
    log.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let out =
        full.run(&["digest"]).exits(75).stdout_is_line_with(" not recorded").stderr_is_one_error();
    full.assert_sent_unrecorded(&out, "locked");
    log.sql.execute_batch("ROLLBACK").unwrap();
    full.assert_next_covers();
}
