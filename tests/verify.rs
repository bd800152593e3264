//! `activity verify`: what it finds of what hands, disks and sweeps do to a log, and what only a head
//! that was noted elsewhere can show.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::chain;
use crate::support::log::Log;
use crate::support::tamper;
use crate::support::tamper::ForgedSweep;
use crate::support::tamper::assert_broken;
use crate::support::torture::FaultCount;

/// The head as `verify` prints it, `ID:HASH`.
#[track_caller]
fn verified_head(sandbox: &Sandbox) -> String {
    let out = sandbox.run(["verify"]).ok();
    let line = out.stdout().strip_suffix('\n').unwrap();
    assert!(line.starts_with("holds: ") && !line.contains('\n'), "{out}");
    let head = line.rsplit(' ').next().unwrap();
    assert_eq!(head.split_once(':').unwrap().1.len(), 64, "{out}");
    head.to_owned()
}

/// The head of the moment when an event was the newest.
fn head_at(sandbox: &Sandbox, id: i64) -> String {
    let log = sandbox.log();
    format!(
        "{id}:{}",
        log.query_value::<String>(&format!("SELECT lower(hex(hash)) FROM event WHERE id = {id}"))
    )
}

#[test]
fn a_sound_log_holds() {
    let sandbox = Sandbox::with_events();
    let hash = sandbox.log().query_value::<String>("SELECT lower(hex(hash)) FROM head");
    let out = sandbox.run(["verify"]).ok().no_stderr();
    assert_eq!(out.stdout(), format!("holds: 8 events, head 8:{hash}\n"));
    let quick = sandbox.run(["verify", "--quick"]).ok();
    assert_eq!(quick.stdout(), out.stdout());
    assert_eq!(quick.stderr(), "note: --quick left the integrity check out\n");
    sandbox.run(["verify", "--quick", "--quiet"]).ok().no_stderr().done();

    let report = sandbox.run(["verify", "--json"]).ok().no_stderr().json();
    assert_eq!(
        report,
        json!({
            "holds": true, "events": 8, "head": {"id": 8, "hash": hash}, "broken": [],
            "swept": {"events": 0, "ranges": 0}, "sweeps": [], "notes": [], "anchors": [], "quick": false,
        })
    );
}

#[test]
fn an_empty_log_holds_from_its_beginning() {
    let sandbox = Sandbox::new();
    sandbox.run_with_input(["ingest"], "").ok().done();
    let genesis = sandbox.log().query_value::<String>("SELECT lower(hex(hash)) FROM head");
    let out = sandbox.run(["verify", "--anchor", &format!("0:{genesis}")]).ok();
    assert_eq!(out.stdout(), format!("holds: 0 events, head 0:{genesis}\n"));
    assert_eq!(out.stderr(), "note: anchor 0 holds\n");
    sandbox.run(["verify", "--anchor", &format!("0:{}", "0".repeat(64))]).exits(1).done();
}

/// Whoever can write the file can compute it anew, but cannot change a head that others have noted.
#[test]
fn what_only_a_noted_head_shows() {
    // Changed and hashed anew, cut off, and put back.
    FaultCount::new("manipulations").add(3);
    let sandbox = Sandbox::with_events();
    let (noted, early) = (verified_head(&sandbox), head_at(&sandbox, 2));
    let both = ["verify", "--anchor", &noted, "--anchor", &early];
    let out = sandbox.run(both).ok();
    assert_eq!(out.stderr(), "note: anchor 8 holds\nnote: anchor 2 holds\n");
    sandbox.run(["backup", "old.db"]).ok().done();

    // Changed, and hashed to the end.
    tamper::without_triggers(&sandbox.db(), |sql| {
        sql.execute("UPDATE event SET payload = '{}' WHERE id = 5", []).unwrap();
        chain::rehash(sql, 5);
    });
    assert_ne!(verified_head(&sandbox), noted);
    let out = sandbox
        .run(both)
        .exits(1)
        .stderr_has("8 events holds")
        .stderr_has("note: anchor 2 holds\n");
    assert_eq!(out.stdout(), "broken: event 8 is not the one that was noted\n");

    // The newest cut off.
    let sandbox = Sandbox::with_events();
    let noted = verified_head(&sandbox);
    sandbox.tamper(
        "DELETE FROM event WHERE id > 6;
         UPDATE head SET id = 6, hash = (SELECT hash FROM event WHERE id = 6)",
    );
    assert!(verified_head(&sandbox).starts_with("6:"));
    let out = sandbox.run(["verify", "--anchor", &noted]).exits(1).stderr_has("6 events holds");
    assert_eq!(out.stdout(), "broken: the log ends at 6, 2 events missing\n");

    // An old copy put back.
    let sandbox = Sandbox::with_events();
    sandbox.run(["backup", "old.db"]).ok().done();
    sandbox.ingest(r#"{"action":"news"}"#);
    let noted = verified_head(&sandbox);
    for ending in ["-wal", "-shm"] {
        drop(fs::remove_file(sandbox.path(format!("log.db{ending}"))));
    }
    sandbox.write("log.db", sandbox.read("old.db"));
    sandbox.run(["verify"]).ok().no_stderr().done();
    let out = sandbox.run(["verify", "--anchor", &noted, "--json"]).exits(1).no_stderr().json();
    assert_eq!(out["holds"], false);
    assert_eq!(
        out["anchors"],
        json!([{"id": 9, "verdict": "broken", "what": "broken: the log ends at 8, 1 event missing"}])
    );
}

#[test]
fn anchors_are_taken_short_and_refused_shorter() {
    let sandbox = Sandbox::with_events();
    let (id, hash) = (5, head_at(&sandbox, 5).split_once(':').unwrap().1.to_owned());
    let with = |digits: &str| sandbox.run(["verify", "--anchor", &format!("{id}:{digits}")]);
    with(&hash[..16]).ok().stderr_has("note: anchor 5 holds").done();
    with(&hash.to_uppercase()).ok().done();
    with(&format!("{}0", &hash[..63])).exits_with_one_of(&[0, 1]);
    let other = if hash.starts_with('0') { '1' } else { '0' };
    with(&format!("{other}{}", &hash[1..16])).exits(1).stderr_has("8 events holds").done();
    for wrong in [&hash[..15], &format!("{hash}0"), "", "xyz"] {
        with(wrong).exits(2).no_stdout().stderr_is_one_error().done();
    }
    sandbox.run(["verify", "--anchor", &hash]).exits(2).no_stdout().stderr_has("--anchor").done();

    // Behind a break nothing is sure.
    sandbox.tamper("UPDATE event SET payload = '{}' WHERE id = 4");
    let out = with(&hash).exits(1);
    assert_broken(
        &out,
        "cannot tell: event 5 has the hash that was noted, but the log is broken at event 4",
    );
}

#[test]
fn anchors_are_found_in_files() {
    let sandbox = Sandbox::with_events();
    let (two, eight) = (head_at(&sandbox, 2), verified_head(&sandbox));
    sandbox
        .write("notes", format!("Heads I wrote down:\n * {two} in March\n * <{eight}>, {two}\n"));
    let out = sandbox.run(["verify", "--anchors", "notes"]).ok();
    assert_eq!(out.stderr(), "note: anchor 2 holds\nnote: anchor 8 holds\n");
    // What one run prints is for another.
    let out = sandbox.run_shell("activity verify | activity verify --anchors - --anchors notes");
    assert_eq!(
        out.ok().stderr(),
        "note: 3 anchors hold, the newest is 8\n".replace(
            "3 anchors hold, the newest is 8",
            "anchor 8 holds\nnote: anchor 2 holds\nnote: anchor 8 holds"
        )
    );
    let many: String = (1..=8).map(|id| head_at(&sandbox, id) + "\n").collect();
    sandbox
        .run_with_input(["verify", "--anchors", "-"], many)
        .ok()
        .stderr_has("note: 8 anchors hold, the newest is 8\n")
        .done();

    sandbox.write("none", format!("{}\nno head here", &eight[..12]));
    let out =
        sandbox.run(["verify", "--anchors", "none"]).exits(65).no_stdout().stderr_is_one_error();
    assert!(out.stderr().contains("none: no ID:HASH in it"), "{out}");
    sandbox
        .run_with_input(["verify", "--anchors", "-"], "")
        .exits(65)
        .stderr_has("standard input")
        .done();
    sandbox
        .run(["verify", "--anchors", "nowhere"])
        .exits(66)
        .stderr_has("nowhere")
        .stderr_is_one_error()
        .done();
    sandbox.run(["verify", "--anchors", "."]).exits(66).stderr_is_one_error().done();
}

#[test]
fn a_digest_that_was_saved_is_an_anchor() {
    for label in ["Zo\u{eb} \u{4e2d}\u{6587} = long", "plain"] {
        let sandbox = Sandbox::new();
        let script = sandbox.write("sendmail", "#!/bin/sh\ncat > \"${0%/*}/digest.eml\"\n");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        sandbox.write(
            "config.toml",
            format!(
                "[digest]\nfrom = 'log@example.org'\nto = ['ops@example.org']\n\
                 transport = 'sendmail'\n[digest.sendmail]\ncommand = ['{}']\n",
                script.display()
            ),
        );
        let event = json!({"action": "a.b", "actor_id": "1", "actor_label": label.repeat(9)});
        sandbox.ingest(format!("{event}\n{event}\n"));
        sandbox.run(["digest"]).ok().no_stderr().done();
        let mail = String::from_utf8(sandbox.read("digest.eml")).unwrap();
        assert!(mail.contains("Content-Transfer-Encoding: "), "{mail}");

        let out = sandbox.run(["verify", "--anchors", "digest.eml"]).ok();
        assert_eq!(out.stderr(), "note: anchor 2 holds\n");
        let crlf = mail.replace("\r\n", "\n").replace('\n', "\r\n");
        sandbox.write("crlf.eml", crlf);
        sandbox
            .run(["verify", "--anchors", "crlf.eml"])
            .ok()
            .stderr_has("note: anchor 2 holds\n")
            .done();

        // The log knows what it has published, too.
        tamper::without_triggers(&sandbox.db(), |sql| {
            sql.execute("UPDATE event SET payload = '{}' WHERE id = 1", []).unwrap();
            let genesis = "INSERT INTO gap SELECT 0, 0, zeroblob(32), 99";
            sql.execute(genesis, []).unwrap();
        });
        sandbox.run(["verify", "--anchors", "digest.eml"]).exits(1).done();
    }
}

/// Who is shown in a mail may be called anything: only the mail's own footer has its head.
#[test]
fn a_label_in_a_saved_digest_is_no_head() {
    for label in
        ["9:ffffffffffffffff", "Zo\u{eb} 9:ffffffffffffffff", "1:0000000000000000 \u{4e2d}"]
    {
        let sandbox = Sandbox::new();
        let script = sandbox.write("sendmail", "#!/bin/sh\ncat > \"${0%/*}/digest.eml\"\n");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        sandbox.write(
            "config.toml",
            format!(
                "[digest]\nfrom = 'log@example.org'\nto = ['ops@example.org']\n\
                 transport = 'sendmail'\n[digest.sendmail]\ncommand = ['{}']\n",
                script.display()
            ),
        );
        let event = json!({"action": "a.b", "actor_label": label, "title": label,
            "target_type": "post", "target_id": "1", "target_label": label});
        sandbox.ingest(format!("{event}\n{event}\n"));
        sandbox.run(["digest"]).ok().no_stderr().done();
        let out = sandbox.run(["verify", "--anchors", "digest.eml"]).ok();
        assert_eq!(out.stderr(), "note: anchor 2 holds\n", "{label}");
    }
}

#[test]
fn what_was_published_is_held_against_the_log() {
    let sandbox = Sandbox::with_events();
    sandbox.tamper("INSERT INTO anchor SELECT id, hash, 0, 'a mail' FROM event WHERE id IN (3, 6)");
    sandbox.run(["verify"]).ok().no_stderr().done();
    sandbox.tamper("UPDATE anchor SET hash = zeroblob(32) WHERE id = 6");
    let line =
        "broken: event 6 is not the one whose hash was published at 1970-01-01T00:00:00Z (a mail)";
    assert_broken(&sandbox.run(["verify"]).exits(1), line);
    sandbox.tamper("UPDATE anchor SET id = 60 WHERE id = 6");
    let line = "broken: the log ends at 8, 52 events missing: head 60 was published at \
        1970-01-01T00:00:00Z (a mail)";
    assert_broken(&sandbox.run(["verify"]).exits(1), line);
    sandbox.tamper("DELETE FROM anchor WHERE id = 60");
    tamper::without_triggers(&sandbox.db(), |sql| {
        ForgedSweep { ranges: &[(2, 4)], ..ForgedSweep::default() }.forge(sql);
    });
    let line = "broken: event 3 was swept as if its hash had not been published at \
        1970-01-01T00:00:00Z (a mail)";
    assert_broken(&sandbox.run(["verify"]).exits(1), line);
}

#[test]
fn what_a_sweep_vouches_for_holds() {
    let before = Sandbox::with_events();
    let heads: Vec<_> = (1..=8).map(|id| head_at(&before, id)).collect();
    before.run(["backup", "log.copy"]).ok().done();
    let sandbox = Sandbox::new();
    sandbox.write("log.db", before.read("log.copy"));
    let sweep = ForgedSweep { ranges: &[(2, 3), (5, 5)], ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));

    let out = sandbox.run(["verify"]).ok();
    assert!(out.stdout().starts_with("holds: 6 events, head 9:"), "{out}");
    assert_eq!(out.stderr(), "note: 3 events swept in 2 ranges\n");
    let report = sandbox.run(["verify", "--json"]).ok().json();
    assert_eq!(report["swept"], json!({"events": 3, "ranges": 2}));
    assert_eq!(report["notes"], json!(["3 events swept in 2 ranges"]));

    // What was at an end is known still, what was within is not.
    for id in [1, 3, 4, 5, 8] {
        sandbox.run(["verify", "--anchor", &heads[id - 1]]).ok().done();
        let wrong = format!("{id}:{}", "f0".repeat(32));
        let out = sandbox.run(["verify", "--anchor", &wrong]).exits(1);
        assert_broken(&out, &format!("broken: event {id} is not the one that was noted"));
    }
    let out = sandbox.run(["verify", "--anchor", &heads[1]]).exits(1);
    let mut lines = out.stdout().lines();
    assert!(lines.next().unwrap().starts_with("holds: 6 events, head 9:"), "{out}");
    assert_eq!(
        lines.next().unwrap(),
        "cannot tell: event 2 was swept; the nearest anchors that can be checked are 1 and 3"
    );

    // A second one takes what touches, and a third finds a log of nothing but sweeps.
    let sweep = ForgedSweep { number: 2, ranges: &[(4, 4), (6, 6)], ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
    let out = sandbox.run(["verify"]).ok();
    assert!(out.stdout().starts_with("holds: 5 events, head 10:"), "{out}");
    assert_eq!(out.stderr(), "note: 5 events swept in 1 range\n");
    let sweep = ForgedSweep { number: 3, ranges: &[(1, 1), (7, 9)], ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
    let out = sandbox.run(["verify"]).ok();
    assert!(out.stdout().starts_with("holds: 2 events, head 11:"), "{out}");
    sandbox.ingest(r#"{"action":"news"}"#);
    let out = sandbox.run(["verify"]).ok();
    assert!(out.stdout().starts_with("holds: 3 events, head 12:"), "{out}");

    // Each sweep that is there tells what it took.
    let report = sandbox.run(["verify", "--json"]).ok().json();
    let sweeps: Vec<_> = report["sweeps"].as_array().unwrap().iter().collect();
    assert_eq!(sweeps.len(), 2, "{report}");
    for (sweep, event, number, count, total) in [(sweeps[0], 10, 2, 2, 5), (sweeps[1], 11, 3, 4, 9)]
    {
        let wanted = json!([event, number, count, total, 0]);
        let fields = ["event", "sweep", "count", "total", "late"].map(|name| &sweep[name]);
        assert_eq!(json!(fields), wanted, "{report}");
        assert!(sweep["by_action"].is_object() && sweep["cutoff"].is_string(), "{report}");
    }
}

#[test]
fn a_removal_that_is_under_way_is_a_note() {
    let sandbox = Sandbox::with_events();
    let sweep = ForgedSweep { ranges: &[(2, 5)], removed_up_to: 3, ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
    let out = sandbox.run(["verify"]).ok();
    assert!(out.stdout().starts_with("holds: 5 events, head 9:"), "{out}");
    assert_eq!(
        out.stderr(),
        "note: 4 events swept in 1 range\n\
         note: an unfinished removal: 2 events, the next sweep finishes it\n"
    );
    for (hand, id) in [
        ("UPDATE event SET payload = '{}' WHERE id = 5", 5),
        ("UPDATE event SET hash = zeroblob(32) WHERE id = 4", 4),
    ] {
        let other = Sandbox::new();
        sandbox.run(["backup", "copy.db"]).ok().done();
        other.write("log.db", sandbox.read("copy.db"));
        other.tamper(hand);
        let out = other.run(["verify"]).exits(1);
        let line = format!("broken at event {id}: altered: a sweep has yet");
        assert!(out.stdout().starts_with(&line), "{out}");
    }
}

#[test]
fn what_is_odd_but_holds_is_a_note() {
    // The events came in today: a sweep of what is old should have had none of them.
    let sandbox = Sandbox::with_events();
    let sweep =
        ForgedSweep { ranges: &[(2, 3)], cutoff: "2025-01-01T00:00:00Z", ..ForgedSweep::default() };
    tamper::without_triggers(&sandbox.db(), |sql| sweep.forge(sql));
    let out = sandbox.run(["verify"]).ok();
    assert_eq!(
        out.stderr(),
        "note: 2 events swept in 1 range\n\
         note: 2 removed events or more came in after the cutoff, 2025-01-01T00:00:00Z\n"
    );
    // A clock that was put back twice.
    let sandbox = Sandbox::with_events();
    tamper::without_triggers(&sandbox.db(), |sql| {
        sql.execute_batch(
            "UPDATE event SET recorded_at = recorded_at - 1000000000 * id WHERE id IN (4, 6)",
        )
        .unwrap();
        chain::rehash(sql, 4);
    });
    let out = sandbox.run(["verify"]).ok();
    assert_eq!(out.stderr(), "note: the clock stepped back 2 times, first at event 4\n");
}

#[test]
fn what_cannot_be_opened_keeps_its_exit() {
    let sandbox = Sandbox::new();
    sandbox.run(["verify"]).exits(66).no_stdout().stderr_is_one_error().done();
    sandbox.write("log.db", "");
    sandbox.run(["verify"]).exits(74).no_stdout().stderr_is_one_error().done();
    sandbox.write("log.db", "this is no log, but some text that is long enough to be looked at");
    sandbox.run(["verify"]).exits(66).no_stdout().stderr_is_one_error().done();
    let sandbox = Sandbox::with_events();
    Log::open_to_write(&sandbox.db()).sql.execute_batch("PRAGMA user_version = 99").unwrap();
    sandbox.run(["verify"]).exits(78).no_stdout().stderr_has("newer").stderr_is_one_error().done();
}

/// It sees one moment of a log that grows.
#[test]
fn beside_writers_it_sees_one_moment() {
    let sandbox = Sandbox::with_events();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let events = "{\"action\":\"a.b\"}\n".repeat(3_000);
                    sandbox.run_with_input(["ingest", "--quiet"], events).ok().done();
                })
            })
            .collect();
        let mut counts = Vec::new();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let report: Value = sandbox.run(["verify", "--json"]).ok().json();
            assert_eq!(report["events"], report["head"]["id"]);
            counts.push(report["events"].as_u64().unwrap());
        }
        assert!(counts.windows(2).all(|pair| pair[0] <= pair[1]), "{counts:?}");
        assert!(!counts.is_empty());
    });
    assert!(verified_head(&sandbox).starts_with("9008:"));
}
