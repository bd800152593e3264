//! Postfix: an instance of its own takes the digest by SMTP and by its `sendmail`, and what lies in the
//! mailbox is read by another parser.
//!
//! Every letter that it takes, whoever it is for, ends in one folder, with a `Delivered-To` for each
//! recipient: a recipient that crept in would be seen.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use serde_json::json;

use crate::digest::digest_config;
use crate::digest::digest_outcomes;
use crate::digest::events;
use crate::digest::header_values;
use crate::digest::parse_letters;
use crate::digest::single_header;
use crate::digest::text_body;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::support::wait;
use crate::tools;

/// The user who owns the mailboxes. It must not be root.
const NOBODY: u32 = 65_534;

/// A text that mail programs of all ages have fallen over.
const AWKWARD_TEXT: &str = "19 events ████\n.\n..\nFrom here\nBcc: evil@example.com\n";

struct Postfix {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Postfix {
    /// Starts Postfix, if it is installed.
    fn start() -> Option<Self> {
        if !tools::require_root() || !tools::require_programs(&["postfix", "unshare", "openssl"]) {
            return None;
        }
        if !tools::require_python_modules(&["json"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        // The daemons run as another user, who must be able to enter the folder.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data", "boxes"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        std::os::unix::fs::chown(root.join("boxes"), Some(NOBODY), Some(NOBODY)).unwrap();
        let chown = Command::new("chown").arg("postfix").arg(root.join("data")).status().unwrap();
        assert!(chown.success());
        write_certificate(root);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(root.join("etc/main.cf"), main_cf(root)).unwrap();
        fs::write(root.join("etc/master.cf"), master_cf(port)).unwrap();
        let log = fs::File::create(root.join("log")).unwrap();
        // In a namespace of their own all its processes end with the first, and that one with our end
        // of its standard input, whatever becomes of the test.
        let script = "postfix -c \"$0\" start-fg & cat";
        let process = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "sh", "-c", script])
            .arg(root.join("etc"))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let postfix = Self { folder, port, process };
        let there = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        wait::until("Postfix listens", &postfix.process, || there().then_some(()));
        Some(postfix)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for a number of mails, and reads all of them.
    fn delivered_letters(&self, sandbox: &Sandbox, count: usize) -> Vec<Value> {
        let new = self.path("boxes/all/new");
        let delivered = || fs::read_dir(&new).map_or(0, Iterator::count);
        wait::until_true("Postfix delivers", || delivered() >= count);
        parse_letters(sandbox, &new)
    }

    /// Waits until the queue is empty.
    fn wait_until_idle(&self) {
        let queues = ["maildrop", "incoming", "active", "deferred"];
        let waiting = |queue: &&str| {
            fs::read_dir(self.path("queue").join(queue)).map_or(0, Iterator::count) > 0
        };
        wait::until_true("Postfix is done", || !queues.iter().any(waiting));
    }

    /// Its own `sendmail`, as a config names it.
    fn sendmail_command(&self) -> String {
        let etc = self.path("etc");
        format!("['/usr/sbin/sendmail', '-C', '{}', '-t', '-i']", etc.display())
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.path("log")).unwrap_or_default());
        }
    }
}

fn write_certificate(root: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-days", "2"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn main_cf(root: &Path) -> String {
    let root = root.display();
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {root}/queue\n\
         data_directory = {root}/data\n\
         command_directory = /usr/sbin\n\
         daemon_directory = /usr/lib/postfix/sbin\n\
         mail_owner = postfix\n\
         setgid_group = postdrop\n\
         maillog_file = /dev/stdout\n\
         myhostname = mail.example.org\n\
         mydestination =\n\
         mynetworks = 127.0.0.0/8\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         alias_maps =\n\
         smtputf8_enable = no\n\
         # Wherever a letter goes, it goes into the one folder.\n\
         default_transport = virtual\n\
         relay_transport = virtual\n\
         virtual_mailbox_base = {root}/boxes\n\
         virtual_mailbox_maps = static:all/\n\
         virtual_uid_maps = static:{NOBODY}\n\
         virtual_gid_maps = static:{NOBODY}\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\n\
         smtpd_tls_security_level = may\n\
         smtpd_tls_cert_file = {root}/cert.pem\n\
         smtpd_tls_key_file = {root}/key.pem\n\
         smtpd_tls_received_header = yes\n\
         smtpd_tls_loglevel = 1\n"
    )
}

/// Debian's own services, those that a letter passes through; nothing is in a chroot.
fn master_cf(port: u16) -> String {
    let services = "\
        pickup unix n - n 60 1 pickup\n\
        cleanup unix n - n - 0 cleanup\n\
        qmgr unix n - n 300 1 qmgr\n\
        tlsmgr unix - - n 1000? 1 tlsmgr\n\
        rewrite unix - - n - - trivial-rewrite\n\
        bounce unix - - n - 0 bounce\n\
        defer unix - - n - 0 bounce\n\
        trace unix - - n - 0 bounce\n\
        verify unix - - n - 1 verify\n\
        flush unix n - n 1000? 0 flush\n\
        proxymap unix - - n - - proxymap\n\
        showq unix n - n - - showq\n\
        error unix - - n - - error\n\
        retry unix - - n - - error\n\
        discard unix - - n - - discard\n\
        virtual unix - n n - - virtual\n\
        anvil unix - - n - 1 anvil\n\
        scache unix - - n - 1 scache\n\
        postlog unix-dgram n - n - 1 postlogd\n";
    format!("127.0.0.1:{port} inet n - n - - smtpd\n{services}")
}

/// Whom the letters were delivered to.
fn recipients(letters: &[Value]) -> BTreeSet<&str> {
    letters.iter().flat_map(|letter| header_values(letter, "Delivered-To")).collect()
}

fn configured_recipients() -> BTreeSet<&'static str> {
    BTreeSet::from(["ops@example.org", "hello@example.org"])
}

/// Checks the properties of every mail, whatever is in it.
#[track_caller]
fn assert_well_formed(letter: &Value, sandbox: &Sandbox) {
    assert_eq!(letter["defects"], json!([]), "{letter}");
    assert!(letter["longest"].as_u64().unwrap() <= 998, "{}", letter["longest"]);
    assert_eq!(letter["plain"], true, "a header is ASCII");
    let ours = |name: &str| {
        let added = ["Return-Path", "X-Original-To", "Delivered-To", "Received"];
        !added.contains(&name)
    };
    let names: Vec<&str> = letter["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| header[0].as_str().unwrap())
        .filter(|name| ours(name))
        .collect();
    let expected = [
        "From",
        "Subject",
        "Message-ID",
        "Date",
        "MIME-Version",
        "X-Activity-Window",
        "Auto-Submitted",
        "To",
        "Content-Type",
    ];
    assert_eq!(BTreeSet::from_iter(names.iter().copied()), BTreeSet::from(expected), "{names:?}");
    assert_eq!(names.len(), expected.len(), "{names:?}");
    assert_eq!(single_header(letter, "From"), "Site activity <log@example.org>");
    assert_eq!(single_header(letter, "To"), "ops@example.org, \"Müller, Ä.\" <hello@example.org>");
    let (action, payload) = digest_outcomes(sandbox).pop().unwrap();
    assert_eq!(action, "digest.sent");
    assert_eq!(payload["message_id"], single_header(letter, "Message-ID"));
    let window = format!(
        "{}..{},{}",
        payload["since"].as_str().unwrap(),
        payload["until"].as_str().unwrap(),
        payload["through"]
    );
    assert_eq!(single_header(letter, "X-Activity-Window"), window);
    let types: Vec<_> =
        letter["parts"].as_array().unwrap().iter().map(|part| &part["type"]).collect();
    assert_eq!(types, ["text/plain", "text/html"]);
}

/// A string of TOML, which writes what it must as JSON does.
fn toml_string(text: &str) -> String {
    let json = json!(text).to_string();
    json.replace('\u{202e}', "\\u202e")
}

#[test]
fn it_takes_the_digest_by_smtp_under_tls() {
    let Some(postfix) = Postfix::start() else { return };
    let sandbox = Sandbox::new();
    let url = format!("[digest.smtp]\nurl = 'smtp://127.0.0.1:{}?tls=required'", postfix.port);
    let subject = "subject = '{{ site }}: {{ events }} – {{ day }}'\n";
    sandbox.write("config.toml", digest_config("smtp", &format!("{subject}{url}")));
    sandbox.ingest(events(&["auth.login", "auth.login", "lesson.completed"]));

    // A certificate of an unknown authority: nothing is sent.
    let untrusted = digest_config("smtp", &format!("attempts = 1\n{url}"));
    let trusted = sandbox.read("config.toml");
    sandbox.write("config.toml", untrusted);
    sandbox.run(["digest"]).exits(75).stderr_is_one_error().done();
    sandbox.write("config.toml", trusted);

    let mut command = sandbox.command(["digest"]);
    command.env("SSL_CERT_FILE", postfix.path("cert.pem"));
    sandbox.run_command(command).ok().no_stderr().done();
    // One for each recipient.
    let letters = postfix.delivered_letters(&sandbox, 2);
    assert_eq!((letters.len(), recipients(&letters)), (2, configured_recipients()));
    for letter in &letters {
        assert_well_formed(letter, &sandbox);
        assert!(
            header_values(letter, "Received").iter().any(|hop| hop.contains("using TLSv1.")),
            "{letter}"
        );
        let subject = single_header(letter, "Subject");
        assert!(
            subject.starts_with("[after a failed digest] s2l.online: 3 events – 20"),
            "{subject}"
        );
        let raw = letter["raw_subject"].as_str().unwrap();
        assert!(raw.contains("=?utf-8?"), "encoded after RFC 2047: {raw}");
        for count in ["SIGN-INS (2)", "LESSON COMPLETIONS (1)", "3 events in 24 hours"] {
            assert!(text_body(letter).contains(count), "{count} in {}", text_body(letter));
        }
        let page = letter["parts"][1]["content"].as_str().unwrap();
        assert!(page.contains("<h2>Sign-ins (2)</h2>") && page.contains("Jerome Cruz"), "{page}");
    }
    // What lies in the mailbox is a witness: for this log, and against another of as many events.
    let mailbox = fs::read_dir(postfix.path("boxes/all/new")).unwrap();
    let other = Sandbox::new();
    other.ingest(events(&["auth.login"; 9]));
    for letter in mailbox.map(|entry| entry.unwrap().path()) {
        let args = ["verify", "--anchors", letter.to_str().unwrap()];
        sandbox.run(args).ok().stderr_has("anchor 4 holds").done();
        other.run(args).exits(1).done();
    }
}

#[test]
fn a_letter_arrives_as_it_was_written() {
    let Some(postfix) = Postfix::start() else { return };
    let long = "x".repeat(2_000);
    let body = format!("{AWKWARD_TEXT}{long}\n");
    let sendmail = format!("[digest.sendmail]\ncommand = {}", postfix.sendmail_command());
    let smtp = format!("[digest.smtp]\nurl = 'smtp://127.0.0.1:{}'", postfix.port);
    for (count, transport, section) in [(2, "sendmail", sendmail), (4, "smtp", smtp)] {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("mails")).unwrap();
        sandbox.write("mails/digest.txt", &body);
        sandbox.write("mails/digest.html", format!("<p>{body}</p>\n"));
        let more = format!("templates = 'mails'\n{section}");
        sandbox.write("config.toml", digest_config(transport, &more));
        sandbox.ingest(events(&["auth.login"]));
        sandbox.run(["digest"]).ok().no_stderr().done();
        let letters = postfix.delivered_letters(&sandbox, count);
        let id = digest_outcomes(&sandbox)[0].1["message_id"].clone();
        let ours: Vec<Value> = letters
            .into_iter()
            .filter(|letter| id == single_header(letter, "Message-ID"))
            .collect();
        assert_eq!((ours.len(), recipients(&ours)), (2, configured_recipients()), "{transport}");
        for letter in &ours {
            assert_well_formed(letter, &sandbox);
            assert_eq!(text_body(letter), body);
            let page = letter["parts"][1]["content"].as_str().unwrap();
            assert_eq!(page.trim_end(), format!("<p>{body}</p>"));
        }
    }
}

#[test]
fn nothing_of_an_events_reaches_its_headers_or_another_mailbox() {
    let Some(postfix) = Postfix::start() else { return };
    let at = clock::seconds_ago(60);
    let of = |label: &str| {
        let event = |n| {
            json!({
                "action": format!("post.{n}"), "title": label, "description": label,
                "actor_id": label, "actor_label": label, "tenant": label, "module": label,
                "impersonator_id": "1", "impersonator_label": label, "severity": "critical",
                "target_type": "post", "target_id": label, "target_label": label,
                "user_agent": label, "endpoint": label, "status_code": 500, "occurred_at": at,
            })
            .to_string()
        };
        join_lines((0..3).map(event))
    };
    let hostile = [
        "x\r\nBcc: evil@example.com\r\n\r\nDear all",
        "x\nTo: evil@example.com",
        "\r\n.\r\nMAIL FROM:<evil@example.com>",
        ".",
        "\"><img src=x onerror=alert(1)>",
        "<script>alert(1)</script></td></table><a href='javascript:x'>",
        "{{ site }}{% include 'digest.txt' %}",
        "=?utf-8?q?Bcc:_evil=40example.com?= \u{202e}\u{7}\u{1b}[2J",
    ];
    let subject = "{{ site }} {{ kinds[0].events[0].who }} {{ people[0].name }}";
    let sendmail = postfix.sendmail_command();
    let more = format!("subject = '{subject}'\n[digest.sendmail]\ncommand = {sendmail}");
    let mut sent = 0;
    let mut elements = Value::Null;
    for label in ["harmless"].into_iter().chain(hostile) {
        let sandbox = Sandbox::new();
        let site = toml_string(label);
        sandbox
            .write("config.toml", digest_config("sendmail", &more).replace("'s2l.online'", &site));
        sandbox.ingest(of(label));
        sandbox.run(["digest"]).ok().no_stderr().done();
        sent += 2;
        let letters = postfix.delivered_letters(&sandbox, sent);
        let id = digest_outcomes(&sandbox)[0].1["message_id"].clone();
        let ours: Vec<Value> = letters
            .into_iter()
            .filter(|letter| id == single_header(letter, "Message-ID"))
            .collect();
        assert_eq!((ours.len(), recipients(&ours)), (2, configured_recipients()), "{label:?}");
        assert_well_formed(&ours[0], &sandbox);
        let subject = single_header(&ours[0], "Subject");
        assert!(!subject.contains('\n') && !subject.contains('\u{1b}'), "{subject}");
        if label == "harmless" {
            assert_eq!(subject, "harmless harmless (by harmless) harmless");
        }
        let page = &ours[0]["parts"][1];
        assert!(
            !page["attributes"]
                .as_array()
                .unwrap()
                .iter()
                .any(|name| name.as_str().unwrap().starts_with("on"))
        );
        for foreign in ["img", "script", "a", "form", "iframe"] {
            assert!(page["elements"].get(foreign).is_none(), "{label:?}: {}", page["elements"]);
        }
        if elements.is_null() {
            elements = page["elements"].clone();
        }
        assert_eq!(page["elements"], elements, "{label:?}");
    }
    postfix.wait_until_idle();
    // An added recipient would be seen.
    let mut command = Command::new("/usr/sbin/sendmail");
    command.arg("-C").arg(postfix.path("etc")).args(["-t", "-i"]);
    let sandbox = Sandbox::new();
    let letter = "To: ops@example.org\nBcc: evil@example.com\nSubject: x\nMessage-ID: <x@y>\n\nx\n";
    sandbox.run_command_with_input(command, letter).ok().done();
    let letters = postfix.delivered_letters(&sandbox, sent + 2);
    assert!(recipients(&letters).contains("evil@example.com"));
}

#[test]
fn it_takes_an_alert_that_was_late_once() {
    let Some(postfix) = Postfix::start() else { return };
    let sandbox = Sandbox::new();
    let config = |port: u16| {
        let alert = "[[alert]]\nname = 'settings'\nquery = 'action:settings.write'\n\
                     mail = ['sec@example.org']\nattempts = 1\nwait = '1s'";
        digest_config("smtp", &format!("[digest.smtp]\nurl = 'smtp://127.0.0.1:{port}'\n{alert}"))
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    sandbox.write("config.toml", config(nobody));
    sandbox.ingest(events(&["settings.write", "auth.login"]));
    let out = sandbox.run(["mirror"]).exits(75);
    assert!(out.stderr().contains("waiting: 1 event"), "{out}");
    drop(out);
    sandbox.ingest(events(&["settings.write"]));
    sandbox.write("config.toml", config(postfix.port));
    sandbox.run(["mirror"]).ok().no_stderr().done();
    sandbox.run(["mirror"]).ok().no_stderr().done();
    postfix.wait_until_idle();
    let letters = postfix.delivered_letters(&sandbox, 1);
    assert_eq!((letters.len(), recipients(&letters)), (1, BTreeSet::from(["sec@example.org"])));
    let subject = "s2l.online: settings: Jerome Cruz settings.write × 2";
    assert_eq!(single_header(&letters[0], "Subject"), subject);
    assert!(text_body(&letters[0]).contains("activity show 3"), "{}", letters[0]);
}
