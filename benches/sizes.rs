//! The log beside its peers at several sizes: `cargo bench --bench sizes` prints a table, and with
//! `-- --write` puts it into `docs/performance.md`.
//!
//! Each size is a history of its own, of which a log and a flat table are made, one size after the other:
//! the files of a size are removed before the next. `ACTIVITY_BENCH_SIZES=5000,20000` is a quick look.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::print_stderr, reason = "a run takes hours and reports its progress")]
#![expect(clippy::disallowed_methods, reason = "a benchmark stands outside the layers")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::cast_precision_loss, reason = "ratios need two digits")]

#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod generator;
mod host_logs;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod measure;
mod operations;
mod size_run;
mod size_table;
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod workbench;

use std::fmt::Write;
use std::fs;
use std::io;
use std::process::Command;

use crate::host_logs::HostLog;
use crate::size_run::SizeRun;
use crate::size_table::SizeFigures;

const SIZES: &str = "100000,1000000,10000000";
const SIZES_VARIABLE: &str = "ACTIVITY_BENCH_SIZES";
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");

fn main() -> io::Result<()> {
    for tool in ["sqlite3", "rg", "jq"] {
        let there = Command::new(tool).arg("--version").output();
        assert!(there.is_ok(), "{tool} is missing: apt-get install sqlite3 ripgrep jq");
    }
    let sizes = std::env::var(SIZES_VARIABLE).unwrap_or_else(|_| SIZES.to_owned());
    let writes = std::env::args().any(|arg| arg == "--write");
    if writes {
        // A page without the marks is refused before the hours of a run.
        write_section("")?;
    }
    let mut notes = String::new();
    for missing in HostLog::ALL.iter().filter_map(|log| log.missing()) {
        eprintln!("left out: {missing}");
        writeln!(notes, "Left out: {missing}.\n").expect("a String takes it");
    }
    let figures = measure_sizes(&sizes, &mut notes)?;
    let command = match sizes.as_str() {
        SIZES => "cargo bench --bench sizes".to_owned(),
        sizes => format!("{SIZES_VARIABLE}={sizes} cargo bench --bench sizes"),
    };
    let table = size_table::format_table(&figures);
    let section = format!("`{command}`, on {}:\n\n{notes}{table}", describe_machine());
    if writes {
        return write_section(&section);
    }
    println!("{section}");
    Ok(())
}

/// Measures each size, from the smallest on.
fn measure_sizes(sizes: &str, notes: &mut String) -> io::Result<Vec<SizeFigures>> {
    let numbers = sizes.split(',').map(|size| size.trim().parse().expect("a number of events"));
    let mut sizes: Vec<usize> = numbers.collect();
    sizes.sort_unstable();
    let mut smallest = None;
    let mut figures = Vec::new();
    for events in sizes {
        let Some(run) = SizeRun::new(events)? else {
            let size = size_table::with_thousands(events);
            eprintln!("no room on the disk for {events} events");
            writeln!(notes, "The disk has no room for {size} events.\n")
                .expect("a String takes it");
            continue;
        };
        figures.push(SizeFigures { events, operations: run.measure(smallest.as_ref()) });
        if smallest.is_none() {
            run.keep_log()?;
            smallest = Some(run);
        }
    }
    Ok(figures)
}

/// Returns the processor, its cores, the memory and the versions of the peers.
fn describe_machine() -> String {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix(" kB"));
    let kib: f64 = kib.and_then(|kib| kib.trim().parse().ok()).unwrap_or_default();
    let gib = kib / f64::from(1 << 20);
    let mut text = format!("{}, {gib:.0} GiB of memory", workbench::describe_processor());
    let tools = [("sqlite3", "sqlite3"), ("ripgrep", "rg"), ("jq", "jq")];
    let present = HostLog::ALL.iter().filter(|log| log.missing().is_none());
    let readers = present.map(|log| (log.name(), log.reader()));
    for (name, tool) in tools.into_iter().chain(readers) {
        write!(text, ", {name} {}", workbench::tool_version(tool)).expect("a String takes it");
    }
    text
}

/// Puts a text between the marks of the page; without one only looks for them.
fn write_section(section: &str) -> io::Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let changed = size_table::replace_section(&page, section)
        .unwrap_or_else(|| panic!("{PAGE} lacks the marks of the section"));
    if section.is_empty() { Ok(()) } else { fs::write(PAGE, changed) }
}
