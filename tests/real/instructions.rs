//! How many instructions seven operations take, against the last figures in `instructions.txt`.
//!
//! Instructions are counted by callgrind, of the build that the tests make anyway (profile `dev`: the
//! engine and the libraries are optimised, the program's own code is not). So no clock and no other work
//! of the machine has a part in them; the same build differs by less than a hundredth from run to run. A
//! change of more than a tenth for the worse fails, until a new line in the file says why.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use crate::support::Sandbox;
use crate::tools;

const EVENTS: u64 = 10_000;

/// The growth that needs a reason, in hundredths.
const LIMIT: u64 = 10;

const OPERATIONS: [(&str, &[&str]); 7] = [
    (
        "hook",
        &["ingest", "--quiet", "--action=user.edit", "--actor-id=7", "--actor=Ann", "--target=x"],
    ),
    ("bulk", &["ingest", "--quiet", "--db=bulk.db", "events.jsonl"]),
    ("list", &["list", "--json"]),
    ("actor", &["list", "--json", "actor:17"]),
    ("text", &["list", "--json", "label 4"]),
    ("export", &["export", "--jsonl", "-o", "out.jsonl"]),
    ("verify", &["verify", "--quiet"]),
];

/// Events that are the same in every run, with actors, targets and payloads that repeat.
fn events() -> String {
    let mut lines = String::new();
    for n in 0..EVENTS {
        let (actor, target, time) = (n * n % 97, n * 31 % 1_009, 1_780_000_000 + n * 7);
        writeln!(
            lines,
            "{{\"event_id\":\"e{n}\",\"occurred_at\":{time},\"action\":\"page.edit{}\",\
             \"actor_id\":\"{actor}\",\"actor_label\":\"Actor {actor}\",\"target_type\":\"page\",\
             \"target_id\":\"{target}\",\"target_label\":\"A label {target}\",\
             \"ip\":\"10.0.{}.{}\",\"payload\":{{\"n\":{n},\"text\":\"{}\"}}}}",
            n % 11,
            n % 7,
            n % 251,
            "word ".repeat(10)
        )
        .unwrap();
    }
    lines
}

/// Runs a command and returns how many instructions it took.
fn count(sandbox: &Sandbox, arguments: &[&str]) -> u64 {
    let mut command: Command = sandbox.command_of("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(env!("CARGO_BIN_EXE_activity")).args(arguments);
    let output = command.stdout(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    collected.unwrap_or_else(|| panic!("{said}")).1.trim().parse().unwrap()
}

/// The last figure of each operation in a table of lines `NAME COUNT REASON`.
fn last_figures(table: &str) -> HashMap<&str, u64> {
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let (name, count) = (words.next().unwrap(), words.next().unwrap());
            assert!(words.next().is_some(), "{line}: it does not say why");
            (name, count.replace(',', "").parse().unwrap())
        })
        .collect()
}

#[test]
fn no_operation_takes_a_tenth_more_instructions() {
    if !tools::require_programs(&["valgrind"]) {
        return;
    }
    let known = last_figures(include_str!("instructions.txt"));
    let sandbox = Sandbox::new();
    sandbox.write("events.jsonl", events());
    sandbox.run(["ingest", "--quiet", "events.jsonl"]).ok().done();
    let (mut table, mut failed) = (String::new(), Vec::new());
    for (name, arguments) in OPERATIONS {
        let now = count(&sandbox, arguments);
        let before = known.get(name).copied().unwrap_or_else(|| panic!("{name} has no figure"));
        let change = now.cast_signed() - before.cast_signed();
        let thousandths = change * 1_000 / before.cast_signed();
        let sign = if thousandths < 0 { '-' } else { '+' };
        let (whole, tenths) = (thousandths.abs() / 10, thousandths.abs() % 10);
        writeln!(table, "{name:<8} {now:>15} {sign}{whole}.{tenths} %").unwrap();
        if now > before + before * LIMIT / 100 {
            failed.push(name);
        }
    }
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions.txt"), &table).unwrap();
    assert!(
        failed.is_empty(),
        "{failed:?} take more than {LIMIT} % more instructions; if that is right, add a line with the \
         new figure and the reason to tests/real/instructions.txt\n{table}"
    );
}
