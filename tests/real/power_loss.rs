//! Power cuts, on paper: every write of some ingests is traced, and the disk is rebuilt as a cut could
//! have left it at each moment. What was acknowledged before is there, and the log is sound.
//!
//! What is not synced may be lost, kept, half kept or torn. So that the test can fail, it is run
//! once more as if the program had never synced: then events must be lost.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::strace;
use crate::support::Sandbox;
use crate::support::chain;
use crate::support::torture::FaultCount;
use crate::tools;

/// One thing that happened to the disk, in order.
enum DiskOperation {
    Write {
        path: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        path: String,
        length: usize,
    },
    Sync {
        path: String,
    },
    Create {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    /// From here on the event is promised.
    Acknowledged(String),
}

/// How a cut treats what was not synced.
#[derive(Clone, Copy, Debug)]
enum UnsyncedFate {
    Lost,
    Kept,
    /// Each piece by the toss of a coin.
    Random(u64),
    /// All but the last is kept, and half of that.
    Torn,
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::in_memory();
    let steps = record_operations(&sandbox);
    let promised =
        steps.iter().filter(|step| matches!(step, DiskOperation::Acknowledged(_))).count();
    let writes = steps.iter().filter(|step| matches!(step, DiskOperation::Write { .. })).count();
    let syncs = steps.iter().filter(|step| matches!(step, DiskOperation::Sync { .. })).count();
    assert!(promised == 12 && writes > 30 && syncs >= 12, "{promised} {writes} {syncs}");

    let states = simulate_cuts(&sandbox, &steps, true);
    FaultCount::new("power cuts").add(states.tried);
    assert!(states.tried > 300, "{} states", states.tried);
    assert!(
        states.failures.is_empty(),
        "{} of {}: {:#?}",
        states.failures.len(),
        states.tried,
        states.failures
    );

    let without = simulate_cuts(&sandbox, &steps, false);
    assert!(
        !without.failures.is_empty(),
        "without a sync events are lost, or this test sees nothing"
    );
}

/// A sweep syncs little itself: what it removes must not be gone before it is vouched for.
#[test]
fn what_a_sweep_removes_is_vouched_for_at_any_moment() {
    if !tools::require_programs(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::in_memory();
    let mut steps = record_operations(&sandbox);
    let before = steps.len();
    // First some, then their neighbours: the runs are joined.
    for query in ["action:odd", "action:*"] {
        let rule = format!("[retention]\n[[retention.rule]]\nquery = '{query}'\nkeep = '0s'\n");
        sandbox.write("config.toml", rule);
        trace_run(&sandbox, &["sweep"], &mut steps);
    }
    let log = sandbox.log();
    log.assert_sound();
    assert_eq!(log.event_count(), 2, "what was promised is swept");
    drop(log);
    let cut = |step: &&DiskOperation| matches!(step, DiskOperation::Truncate { path, .. } if path.ends_with("log.db"));
    assert!(steps[before..].iter().any(|step| cut(&step)), "space was given back");

    let states = simulate_cuts(&sandbox, &steps, true);
    FaultCount::new("power cuts").add(states.tried);
    assert!(states.tried > 500, "{} states", states.tried);
    assert!(
        states.failures.is_empty(),
        "{} of {}: {:#?}",
        states.failures.len(),
        states.tried,
        states.failures
    );
    let without = simulate_cuts(&sandbox, &steps, false);
    assert!(
        !without.failures.is_empty(),
        "without a sync events are lost, or this test sees nothing"
    );
}

/// Runs one ingest after the other under strace: the first makes the log, one is of many events.
fn record_operations(sandbox: &Sandbox) -> Vec<DiskOperation> {
    let mut steps = Vec::new();
    for number in 0..12 {
        let id = format!("e{number}");
        let title = "x".repeat(number * 700);
        let action = if number % 2 == 0 { "a" } else { "odd" };
        let args = ["ingest", "--action", action, "--event-id", &id, "--title", &title];
        trace_run(sandbox, &args, &mut steps);
        steps.push(DiskOperation::Acknowledged(id));
    }
    steps
}

/// Runs the program under strace and adds what it did to the log's files.
fn trace_run(sandbox: &Sandbox, args: &[&str], steps: &mut Vec<DiskOperation>) {
    let trace = sandbox.path("strace.out");
    let options = [
        "-y",
        "-xx",
        "-s",
        "9000000",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=pwrite64,write,ftruncate,fsync,fdatasync,openat,rename,renameat2,link,linkat,unlink,unlinkat",
    ];
    sandbox.run_command(strace::command(sandbox, &options, args)).ok().done();
    let text = fs::read_to_string(&trace).unwrap();
    steps.extend(text.lines().filter_map(|line| parse_operation(sandbox, line)));
}

/// One line of strace as a step, if it is about a file of the log.
fn parse_operation(sandbox: &Sandbox, line: &str) -> Option<DiskOperation> {
    let call = line.split_once(' ')?.1.trim_start();
    let (name, rest) = call.split_once('(')?;
    let (args, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let work = sandbox.work_folder().display().to_string();
    let beside = ["-shm", ".lock", ".reserve"];
    let ours =
        |path: &str| path.starts_with(&work) && !beside.iter().any(|ending| path.ends_with(ending));
    // `3</path>`, its bytes escaped like all text here.
    let on = || {
        let (_, path) = args.split_once('<')?;
        let path = String::from_utf8(unescape(path.split_once('>')?.0)).unwrap();
        ours(&path).then_some(path)
    };
    let texts: Vec<Vec<u8>> = args.split('"').skip(1).step_by(2).map(unescape).collect();
    let full = |bytes: &Vec<u8>| {
        let path = sandbox
            .work_folder()
            .join(String::from_utf8(bytes.clone()).unwrap())
            .display()
            .to_string();
        ours(&path).then_some(path)
    };
    match name {
        "pwrite64" => {
            let at = args.rsplit(", ").next()?.trim_end_matches(')').parse().unwrap();
            Some(DiskOperation::Write { path: on()?, offset: at, bytes: texts[0].clone() })
        }
        "write" => {
            Some(DiskOperation::Write { path: on()?, offset: usize::MAX, bytes: texts[0].clone() })
        }
        "ftruncate" => {
            let length = args.rsplit(", ").next()?.trim_end_matches(')').parse().unwrap();
            Some(DiskOperation::Truncate { path: on()?, length })
        }
        "fsync" | "fdatasync" => Some(DiskOperation::Sync { path: on()? }),
        "openat" if args.contains("O_CREAT") => {
            Some(DiskOperation::Create { path: full(texts.first()?)? })
        }
        "rename" | "renameat2" | "link" | "linkat" => {
            let (from, to) = (full(&texts[0])?, full(&texts[1])?);
            Some(DiskOperation::Rename { from, to })
        }
        "unlink" | "unlinkat" => Some(DiskOperation::Remove { path: full(&texts[0])? }),
        _ => None,
    }
}

/// The bytes of `\x61\x62`.
fn unescape(text: &str) -> Vec<u8> {
    let hex = text.split("\\x").skip(1);
    hex.map(|byte| u8::from_str_radix(&byte[..2], 16).unwrap()).collect()
}

/// A file's bytes as the disk surely has them, and what was done to it since.
#[derive(Clone, Default)]
struct SimulatedFile {
    synced: Vec<u8>,
    pending: Vec<(Option<usize>, Vec<u8>)>,
}

impl SimulatedFile {
    fn length(&self) -> usize {
        self.pending.iter().fold(self.synced.len(), |length, (at, bytes)| match at {
            Some(at) => length.max(at + bytes.len()),
            None => usize::from_be_bytes(bytes.as_slice().try_into().unwrap()),
        })
    }

    fn bytes_after(&self, fate: UnsyncedFate) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let mut coin = if let UnsyncedFate::Random(seed) = fate { seed } else { 0 };
        for (place, (at, piece)) in self.pending.iter().enumerate() {
            let last = place + 1 == self.pending.len();
            let piece = match fate {
                UnsyncedFate::Lost => continue,
                UnsyncedFate::Kept => piece.as_slice(),
                UnsyncedFate::Random(_) => {
                    coin = coin
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    if coin >> 63 == 0 {
                        continue;
                    }
                    piece.as_slice()
                }
                // Disks write sectors of 512 bytes whole.
                UnsyncedFate::Torn if last && at.is_some() => &piece[..piece.len() / 2 / 512 * 512],
                UnsyncedFate::Torn => piece.as_slice(),
            };
            match at {
                Some(_) if piece.is_empty() => {}
                Some(at) => {
                    bytes.resize(bytes.len().max(at + piece.len()), 0);
                    bytes[*at..*at + piece.len()].copy_from_slice(piece);
                }
                None => bytes.resize(usize::from_be_bytes(piece.try_into().unwrap()), 0),
            }
        }
        bytes
    }

    fn sync(&mut self) {
        self.synced = self.bytes_after(UnsyncedFate::Kept);
        self.pending.clear();
    }
}

struct CutReport {
    tried: usize,
    failures: Vec<String>,
}

/// Rebuilds the disk at each step and looks at the log there.
fn simulate_cuts(sandbox: &Sandbox, steps: &[DiskOperation], syncs_count: bool) -> CutReport {
    let mut states = CutReport { tried: 0, failures: Vec::new() };
    // Names as the running system has them, and as the disk surely has them.
    let mut files: BTreeMap<usize, SimulatedFile> = BTreeMap::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut synced_names: BTreeMap<String, usize> = BTreeMap::new();
    let mut promised: BTreeSet<&str> = BTreeSet::new();
    let work = sandbox.work_folder().display().to_string();
    for (number, step) in steps.iter().enumerate() {
        match step {
            DiskOperation::Write { path, offset: at, bytes } => {
                let file = files.get_mut(&names[path]).unwrap();
                let at = if *at == usize::MAX { file.length() } else { *at };
                file.pending.push((Some(at), bytes.clone()));
            }
            DiskOperation::Truncate { path, length } => {
                let file = files.get_mut(&names[path]).unwrap();
                file.pending.push((None, length.to_be_bytes().to_vec()));
            }
            DiskOperation::Sync { path } if *path == work => {
                if syncs_count {
                    synced_names.clone_from(&names);
                }
            }
            DiskOperation::Sync { path } => {
                if let Some(file) = names.get(path).and_then(|key| files.get_mut(key))
                    && syncs_count
                {
                    file.sync();
                }
            }
            DiskOperation::Create { path } => {
                let next = files.len();
                if let std::collections::btree_map::Entry::Vacant(entry) = names.entry(path.clone())
                {
                    entry.insert(next);
                    files.insert(next, SimulatedFile::default());
                }
            }
            DiskOperation::Rename { from, to } => {
                let key = names[from];
                names.insert(to.clone(), key);
            }
            DiskOperation::Remove { path } => {
                names.remove(path);
            }
            DiskOperation::Acknowledged(id) => {
                promised.insert(id);
            }
        }
        let seed = number as u64;
        for fate in [
            UnsyncedFate::Lost,
            UnsyncedFate::Kept,
            UnsyncedFate::Random(seed),
            UnsyncedFate::Random(!seed),
            UnsyncedFate::Torn,
        ] {
            // What the folder's entry was not synced for may be there all the same.
            let there = if matches!(fate, UnsyncedFate::Lost) { &synced_names } else { &names };
            states.tried += 1;
            let folder = sandbox.root().join("cut");
            drop(fs::remove_dir_all(&folder));
            fs::create_dir(&folder).unwrap();
            for (path, key) in there {
                let name = Path::new(path).file_name().unwrap();
                fs::write(folder.join(name), files[key].bytes_after(fate)).unwrap();
            }
            if let Err(why) = check_log(&folder.join("log.db"), &promised) {
                states.failures.push(format!("step {number}, {fate:?}: {why}"));
            }
        }
    }
    states
}

/// Opens a log that a cut left, as the next process would, and looks for what was promised.
fn check_log(db: &Path, promised: &BTreeSet<&str>) -> Result<(), String> {
    if !db.exists() {
        return if promised.is_empty() { Ok(()) } else { Err("the log is gone".to_owned()) };
    }
    let text = |why: rusqlite::Error| why.to_string();
    let sql = Connection::open(db).map_err(text)?;
    let integrity: String =
        sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(text)?;
    if integrity != "ok" {
        return Err(integrity);
    }
    chain::verify_chain(&sql)?;
    let mut statement = sql.prepare("SELECT event_id FROM events").map_err(text)?;
    let stored = statement.query_map([], |row| row.get(0)).map_err(text)?;
    let stored = stored.collect::<Result<BTreeSet<String>, _>>().map_err(text)?;
    // `e0` is the event 1: the walk has found that the runs are vouched for.
    let swept = |event_id: &str| {
        let id = 1 + event_id[1..].parse::<i64>().unwrap();
        const RUN: &str = "SELECT (SELECT count(*) FROM gap WHERE ?1 BETWEEN first AND last) \
            + (SELECT count(*) FROM removal, head \
               WHERE ?1 BETWEEN first AND last AND removal.sweep = head.sweep)";
        sql.query_row(RUN, [id], |row| row.get::<_, i64>(0)).is_ok_and(|runs| runs > 0)
    };
    let lost: Vec<_> = promised.iter().filter(|id| !stored.contains(**id) && !swept(id)).collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("acknowledged and lost: {lost:?}")) }
}
