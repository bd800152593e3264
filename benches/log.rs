//! The log against its peers, on a generated history; `cargo bench` prints one table of ratios.
//!
//! Everything is measured as a user meets it: whole processes, on the disk of the build, the program
//! and its peer by turns within one run. Absolute times tell about the machine; ratios tell about the
//! program. `ACTIVITY_BENCH_EVENTS=50000 cargo bench` is a quick look; the goals were not made for
//! that size. `docs/performance.md` has a run, and says what each line measures.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::print_stderr, reason = "a run takes minutes and reports its progress")]
#![expect(clippy::disallowed_methods, reason = "a benchmark stands outside the layers")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::cast_precision_loss, reason = "ratios need two digits")]

mod counts;
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod generator;
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod measure;
mod workbench;

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::generator::Generator;
use crate::measure::Comparison;
use crate::measure::Measurement;
use crate::measure::format_seconds;
use crate::measure::median;
use crate::measure::percentile;
use crate::measure::run_interleaved;
use crate::workbench::Bench;

const EVENTS: usize = 1_000_000;
/// The number of times that the small log is smaller.
const SMALL_LOG_DIVISOR: usize = 10;
/// The time of a verification, against that of SQLite's own check alone.
const VERIFY_GOAL: f64 = 1.1;
/// Events per second.
const QUICK_VERIFY_RATE: f64 = 350_000.0;
/// The events of a busy day.
const BUSY_DAY_EVENTS: usize = 20_000;

fn main() -> io::Result<()> {
    for tool in ["sqlite3", "rg"] {
        let there = Command::new(tool).arg("--version").output();
        assert!(there.is_ok(), "{tool} is missing: apt-get install sqlite3 ripgrep");
    }
    let events = std::env::var("ACTIVITY_BENCH_EVENTS")
        .map_or(EVENTS, |events| events.parse().expect("ACTIVITY_BENCH_EVENTS is a number"));
    let bench = Bench::with_history(events)?;
    let mut lines = Vec::new();
    lines.extend(bench.bulk_ingest()?);
    lines.extend(bench.mapped_ingest());
    lines.extend(bench.single_ingest());
    lines.extend(bench.list_pages());
    lines.extend(bench.scoped_pages()?);
    lines.push(bench.free_text());
    lines.extend(bench.export());
    lines.extend(bench.verify());
    lines.push(bench.digest()?);
    lines.extend(bench.counts());
    lines.extend(bench.completions());
    lines.extend(bench.ingest_during_sweep());

    let sqlite = workbench::tool_version("sqlite3");
    println!("{events} events; {}; sqlite3 {sqlite}\n", workbench::describe_processor());
    measure::write_table(&lines, &mut io::stdout().lock())
}

impl Bench {
    /// Writes the whole history as JSON Lines and CSV, and its first tenth as JSON Lines.
    fn with_history(events: usize) -> io::Result<Self> {
        let bench = Self::new(events)?;
        bench.report_progress("making events");
        let create = |name: &str| File::create(bench.path(name)).map(BufWriter::new);
        let mut jsonl = [create("all.jsonl")?, create("few.jsonl")?];
        let mut foreign = [create("foreign.jsonl")?, create("plain.log")?, create("plain.jsonl")?];
        fs::write(bench.path("foreign.toml"), generator::foreign_map())?;
        fs::write(bench.path("plain.toml"), generator::line_map())?;
        let mut csv = create("all.csv")?;
        let mut generator = Generator::new();
        let (mut json_line, mut csv_line) = (String::new(), String::new());
        for number in 0..events {
            let row = generator.next();
            json_line.clear();
            generator::write_json(&row, &mut json_line);
            jsonl[0].write_all(json_line.as_bytes())?;
            if number < events / SMALL_LOG_DIVISOR {
                jsonl[1].write_all(json_line.as_bytes())?;
                let mut lines = [String::new(), String::new(), String::new()];
                let [other, plain, own] = &mut lines;
                generator::write_foreign_json(&row, other);
                generator::write_plain(&row, plain, own);
                for (file, line) in foreign.iter_mut().zip(&lines) {
                    file.write_all(line.as_bytes())?;
                }
            }
            csv_line.clear();
            generator::write_csv(&row, &mut csv_line);
            csv.write_all(csv_line.as_bytes())?;
        }
        csv.flush()?;
        jsonl.iter_mut().chain(&mut foreign).try_for_each(Write::flush)?;
        let size = fs::metadata(bench.path("all.jsonl"))?.len();
        bench.report_progress(&format!("{} bytes of JSON an event", size / events as u64));
        Ok(bench)
    }

    /// Takes in the whole history at once; leaves `all.db`, `few.db` and `flat.db`.
    fn bulk_ingest(&self) -> io::Result<Vec<Comparison>> {
        self.report_progress("bulk ingest");
        let fresh = |db: &str| {
            self.remove_database(db);
            rustix::fs::sync();
        };
        let ours = |_| {
            fresh("all.db");
            self.activity_command("all.db", &["ingest", "--quiet", "all.jsonl"])
        };
        let peer = |_| {
            fresh("flat.db");
            let import =
                format!(".import --csv {} event", workbench::path_text(&self.path("all.csv")));
            let empty = "PRAGMA wal_checkpoint(TRUNCATE);";
            self.sqlite_command(&[], &[workbench::FLAT_SCHEMA, &import, empty])
        };
        let few = |_| {
            fresh("few.db");
            self.activity_command("few.db", &["ingest", "--quiet", "few.jsonl"])
        };
        let runs = run_interleaved(3, &[&ours, &peer, &few]);
        let memory = |runs: &[Measurement]| {
            runs.iter().map(|run| run.peak_memory_kib).max().unwrap() as f64 / 1024.0
        };
        let (large, small) = (memory(&runs[0]), memory(&runs[2]));
        let per_event = |db: &str| self.database_size(db) as f64 / self.events as f64;
        Ok(vec![
            compare_times("bulk ingest", median(&runs[0]), "`.import`", median(&runs[1]), 0.6),
            Comparison {
                name: format!("its memory, against {SMALL_LOG_DIVISOR} × fewer events"),
                ours: format!("{large:.0} MiB"),
                peer: format!("{small:.0} MiB"),
                ratio: large / small,
                goal: 1.2,
            },
            Comparison {
                name: "bytes per event, against 375".to_owned(),
                ours: format!("{:.0}", per_event("all.db")),
                peer: format!("flat {:.0}", per_event("flat.db")),
                ratio: per_event("all.db") / 375.0,
                goal: 1.0,
            },
        ])
    }

    /// Takes in records of another system by a map, against the same events in our own JSON Lines.
    fn mapped_ingest(&self) -> Vec<Comparison> {
        self.report_progress("ingest by maps");
        [
            ("ingest by a JSON map", "foreign.toml", "foreign.jsonl", "few.jsonl", 1.67),
            ("ingest by a pattern", "plain.toml", "plain.log", "plain.jsonl", 3.33),
        ]
        .map(|(name, map, input, own_input, goal)| {
            let run = |args: Vec<&'static str>| {
                move |_| {
                    self.remove_database("mapped.db");
                    self.activity_command("mapped.db", &args)
                }
            };
            let mapped = run(vec!["ingest", "--quiet", "--map", map, input]);
            let own = run(vec!["ingest", "--quiet", own_input]);
            let runs = run_interleaved(5, &[&mapped, &own]);
            compare_times(name, median(&runs[0]), "JSON Lines", median(&runs[1]), goal)
        })
        .into()
    }

    /// Records one event per process, as hooks do.
    fn single_ingest(&self) -> Vec<Comparison> {
        self.report_progress("single events");
        let ours = |round| self.single_ingest_command(round);
        let peer = |round| self.single_insert_command(round);
        let runs = run_interleaved(200, &[&ours, &peer]);
        let line = |name: &str, percent, goal| {
            compare_times(
                name,
                percentile(&runs[0], percent),
                "shell",
                percentile(&runs[1], percent),
                goal,
            )
        };
        vec![line("single ingest, p50", 50, 0.45), line("single ingest, p99", 99, 0.8)]
    }

    /// Compares pages of the large log with the same pages of the small one.
    fn list_pages(&self) -> Vec<Comparison> {
        self.report_progress("pages");
        let actor = format!("actor:{}", generator::actor_id(30));
        let target = format!("target:{}", generator::target_id(30));
        let rare = format!("action:{}.*", generator::RARE_FAMILY);
        [("newest 50", ""), ("an actor", &actor), ("a target", &target), ("a rare family", &rare)]
            .map(|(name, query)| {
                let page = |db: &'static str| {
                    move |_| self.activity_command(db, &["list", "--json", query])
                };
                let runs = run_interleaved(41, &[&page("all.db"), &page("few.db")]);
                let peer = format!("at {}", self.events / SMALL_LOG_DIVISOR);
                compare_times(name, median(&runs[0]), &peer, median(&runs[1]), 1.3)
            })
            .into()
    }

    /// Compares the newest 50 events that a caller may see by their role with the newest 50 of all.
    fn scoped_pages(&self) -> io::Result<Vec<Comparison>> {
        self.report_progress("pages within a scope");
        // The caller is somebody whom root stands in for by sudo, or the user who runs this.
        let mut whoami = self.activity_command("all.db", &["whoami", "--json"]);
        let facts = whoami.env("SUDO_UID", "64017").output()?.stdout;
        let facts: serde_json::Value = serde_json::from_slice(&facts)?;
        let user = facts["user"].as_str().unwrap_or_default().to_owned();
        let own = generator::actor_id(30);
        for (name, config) in [
            ("viewer.toml", format!("{user:?} = {{ role = 'viewer', actor_id = {own:?} }}\n")),
            ("auditor.toml", format!("{user:?} = 'auditor'\n")),
        ] {
            let roles = "[access.roles]\nauditor = ['list-all']\n[access.users]\n";
            fs::write(self.path(name), format!("{roles}{config}"))?;
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600))?;
        }
        let page = |config: &'static str| {
            move |_| {
                let mut command = self.activity_command("all.db", &["list", "--json"]);
                command.env("ACTIVITY_CONFIG", self.path(config)).env("SUDO_UID", "64017");
                command
            }
        };
        let (viewer, auditor, all) =
            (page("viewer.toml"), page("auditor.toml"), page("config.toml"));
        let runs = run_interleaved(41, &[&viewer, &auditor, &all]);
        let unscoped = median(&runs[2]);
        let line = |name: &str, place: usize| {
            compare_times(name, median(&runs[place]), "of all", unscoped, 1.5)
        };
        Ok(vec![line("newest 50 of one's own", 0), line("newest 50 without the system", 1)])
    }

    /// Compares the newest 50 events that contain a name with a search of all lines.
    fn free_text(&self) -> Comparison {
        self.report_progress("free text");
        let name = generator::target_label(200);
        let ours = |_| self.activity_command("all.db", &["list", "--json", "--search", &name]);
        let peer = |_| self.ripgrep_command(&name);
        let runs = run_interleaved(11, &[&ours, &peer]);
        compare_times("free text", median(&runs[0]), "ripgrep", median(&runs[1]), 0.3)
    }

    fn export(&self) -> Vec<Comparison> {
        self.report_progress("export");
        let query = workbench::flat_select("ORDER BY occurred_at, rowid");
        [("csv", "--csv", "-csv"), ("JSON Lines", "--jsonl", "-json")]
            .map(|(name, format, peer_format)| {
                let ours = |_| self.activity_command("all.db", &["export", format, "--quiet"]);
                let peer = |_| self.sqlite_command(&["-header", peer_format], &[&query]);
                let runs = run_interleaved(3, &[&ours, &peer]);
                let peer = format!("`sqlite3 {peer_format}`");
                compare_times(
                    &format!("export {name}"),
                    median(&runs[0]),
                    &peer,
                    median(&runs[1]),
                    0.8,
                )
            })
            .into()
    }

    /// Verifies the log, beside SQLite's own check of the same file, which is a part of it.
    fn verify(&self) -> Vec<Comparison> {
        self.report_progress("verify");
        let all = |_| self.activity_command("all.db", &["verify"]);
        let quick = |_| self.activity_command("all.db", &["verify", "--quick"]);
        let pages_alone = |_| {
            let file = self.path("all.db");
            let mut command = self.command("sqlite3");
            // As much memory as ours takes for it.
            command.args(["-readonly", "-cmd", "PRAGMA cache_size=-16384"]);
            command.arg(file).arg("PRAGMA integrity_check");
            command
        };
        let runs = run_interleaved(3, &[&all, &pages_alone, &quick]);
        let [all, pages_alone, quick] = [0, 1, 2].map(|place| median(&runs[place]));
        let rate = self.events as f64 / quick;
        let peer = "`PRAGMA integrity_check`";
        vec![
            compare_times("verify", all, peer, pages_alone, VERIFY_GOAL),
            Comparison {
                name: format!("verify --quick, events per second, against {QUICK_VERIFY_RATE:.0}"),
                ours: format!("{rate:.0}"),
                peer: format!("{peer} {:.0}", self.events as f64 / pages_alone),
                ratio: QUICK_VERIFY_RATE / rate,
                goal: 1.0,
            },
        ]
    }

    /// Makes the digest of a busy day at the end of the long history.
    fn digest(&self) -> io::Result<Comparison> {
        self.report_progress("digest");
        let history = fs::read_to_string(self.path("few.jsonl"))?;
        let mut day = BufWriter::new(File::create(self.path("day.jsonl"))?);
        for line in history.lines().cycle().take(BUSY_DAY_EVENTS) {
            let mut event: serde_json::Value = serde_json::from_str(line)?;
            if let Some(fields) = event.as_object_mut() {
                // Without these it is a new event of today.
                fields.retain(|name, _| name != "occurred_at" && name != "event_id");
            }
            writeln!(day, "{event}")?;
        }
        day.flush()?;
        measure::run_measured(
            self.activity_command("all.db", &["ingest", "--quiet", "--again", "day.jsonl"]),
        );
        let dry_run = |_| self.activity_command("all.db", &["digest", "--dry-run"]);
        let ours = median(&run_interleaved(11, &[&dry_run])[0]);
        Ok(Comparison {
            name: format!("digest of a day of {BUSY_DAY_EVENTS}, against a second"),
            ours: format_seconds(ours),
            peer: "1 s".to_owned(),
            ratio: ours,
            goal: 1.0,
        })
    }

    /// Records one event per process while a sweep removes the history. This must be the last step:
    /// it removes what the others measure.
    fn ingest_during_sweep(&self) -> Vec<Comparison> {
        self.report_progress("single events beside a sweep");
        let rest = self.hooks_at_rest();
        // The generated history is in the past; the hooks record events of today.
        let beside = self.hooks_during_sweep("1h");
        let line = |name: &str, percent| {
            let (ours, rest) = (percentile(&beside, percent), percentile(&rest, percent));
            Comparison {
                name: format!("{name} beside a sweep, against 50 ms"),
                ours: format_seconds(ours),
                peer: format!("at rest {}", format_seconds(rest)),
                ratio: ours / 0.05,
                goal: 1.0,
            }
        };
        vec![line("single ingest, p50", 50), line("single ingest, p99", 99)]
    }
}

/// Returns a line of the table that compares two times.
fn compare_times(name: &str, ours: f64, peer_name: &str, peer: f64, goal: f64) -> Comparison {
    Comparison {
        name: name.to_owned(),
        ours: format_seconds(ours),
        peer: format!("{peer_name} {}", format_seconds(peer)),
        ratio: ours / peer,
        goal,
    }
}
