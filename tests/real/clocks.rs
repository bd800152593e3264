//! A host whose clock is wrong, or stands where few clocks have stood.

use serde_json::Value;

use crate::support::Sandbox;
use crate::tools;

#[test]
fn ids_tell_the_order_of_arrival_whatever_the_clock_says() {
    if !tools::require_programs(&["faketime"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let clocks = [
        "2026-01-01 00:00:00",
        "2024-11-27 00:00:00",
        "2038-01-19 03:14:08",
        "2262-04-11 00:00:00",
        "1970-01-02 00:00:00",
        "2026-01-01 00:00:01",
    ];
    for clock in clocks {
        let mut command = sandbox.command_of("faketime");
        command.args([clock, env!("CARGO_BIN_EXE_activity"), "ingest", "--action", "a"]);
        sandbox.run_command(command).ok().done();
    }
    let stored = sandbox.stored_events();
    let recorded: Vec<&str> =
        stored.iter().map(|event| event["recorded_at"].as_str().unwrap()).collect();
    for (recorded, clock) in recorded.iter().zip(clocks) {
        assert_eq!(recorded[..10], clock[..10], "{recorded}");
    }
    let ids: Vec<_> = stored.iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    let newest = sandbox.run(["list", "--json"]).ok().ids();
    assert_eq!(newest, [4, 3, 6, 1, 2, 5], "listings go by time, then id");
    sandbox.assert_sound_with(6);
}

#[test]
fn listings_work_at_any_time() {
    if !tools::require_programs(&["faketime"]) {
        return;
    }
    let sandbox = Sandbox::with_events();
    for clock in ["1970-01-01 00:00:01", "2000-02-29 12:00:00", "2262-04-11 00:00:00"] {
        for args in [
            &["list"] as &[_],
            &["list", "--time", "relative"],
            &["list", "days:1"],
            &["actions"],
            &["search-actor", "3"],
        ] {
            let mut command = sandbox.command_of("faketime");
            command.arg(clock).arg(env!("CARGO_BIN_EXE_activity")).args(args);
            let out = sandbox.run_command(command).ok();
            assert!(!out.err.windows(8).any(|word| word == b"panicked"), "{clock}\n{out}");
        }
    }
    let all = sandbox.run(["list", "--json"]).ok().field("id");
    assert!(!all.contains(&Value::Null));
}
