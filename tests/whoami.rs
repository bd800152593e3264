//! `activity whoami`: who the log takes you for, and what you may do.

use crate::support::Sandbox;
use crate::support::is_running_as_root;

#[test]
fn it_says_who_is_recorded() {
    let sandbox = Sandbox::with_events();
    let recorder = sandbox.stored_events()[0]["recorded_by"].as_str().unwrap().to_owned();
    let out = sandbox.run(["whoami"]).ok();
    assert!(out.stdout().contains(recorder.split(' ').next().unwrap()), "{out}");
    let report = sandbox.run(["whoami", "--json"]).ok().json();
    assert!(report.is_object(), "one object: {report}");
    assert!(report.to_string().contains(recorder.split(' ').next().unwrap()), "{report}");
}

#[test]
fn it_needs_no_log() {
    Sandbox::new().run(["whoami"]).ok().done();
}

#[test]
fn it_knows_who_stands_behind_sudo() {
    if !is_running_as_root() {
        // To anybody else the variable is an idle boast.
        let out = Sandbox::new()
            .run_with_env(&[("SUDO_UID", "0"), ("SUDO_USER", "root")], ["whoami"])
            .ok();
        assert!(!out.stdout().contains("root"), "{out}");
        return;
    }
    let sandbox = Sandbox::new();
    let sudo = [("SUDO_UID", "65534"), ("SUDO_GID", "65534"), ("SUDO_USER", "mallory")];
    let out = sandbox.run_with_env(&sudo, ["whoami"]).ok();
    assert!(out.stdout().contains("nobody") || out.stdout().contains("65534"), "{out}");
    assert!(!out.stdout().contains("mallory"), "the number counts, not the name\n{out}");
    sandbox.run_with_env(&sudo, ["ingest", "--action", "a"]).ok().done();
    let recorder = sandbox.only_event()["recorded_by"].as_str().unwrap().to_owned();
    let words: Vec<&str> = recorder.split(' ').collect();
    assert_eq!(words[0], "root");
    assert!(["sudo:nobody", "sudo:65534"].contains(&words[1]), "{recorder}");
}
