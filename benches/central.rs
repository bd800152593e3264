//! The central store of many hosts beside the SQL that a person would write: `cargo bench --bench central`
//! prints a table.
//!
//! Whole processes mirror the logs of many hosts to a PostgreSQL of this run, which must be installed,
//! and root must run this. Then pages are read by turns with `psql`, and every chain is verified.
//! `ACTIVITY_BENCH_HOSTS=10 ACTIVITY_BENCH_EVENTS=2000` is a quick look: so many hosts with so many events
//! each.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::print_stderr, reason = "a run takes minutes and reports its progress")]
#![expect(clippy::disallowed_methods, reason = "a benchmark stands outside the layers")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::cast_precision_loss, reason = "ratios need two digits")]

mod cluster;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod generator;
mod measure;
mod pooler;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod workbench;

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::process::Command;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::POSTGRES_BIN;
use crate::generator::Generator;
use crate::measure::Comparison;
use crate::measure::Measurement;
use crate::measure::format_seconds;
use crate::measure::median;
use crate::measure::percentile;
use crate::measure::run_interleaved;
use crate::measure::run_measured;
use crate::pooler::Pooler;
use crate::workbench::Bench;

const HOSTS: usize = 100;
const EVENTS: usize = 10_000;
/// The runs of each page.
const ROUNDS: usize = 31;
/// The times that our page may take of the time of `psql`.
const PAGE_GOAL: f64 = 2.0;
/// Events per second.
const MIRROR_GOAL: f64 = 10_000.0;
const VERIFY_GOAL: f64 = 50_000.0;
/// The memory that one process may take, in MiB.
const MEMORY_GOAL: f64 = 64.0;
const NEWEST: &str = "ORDER BY occurred_at DESC, id DESC, log DESC LIMIT 50";

fn main() -> io::Result<()> {
    let number = |name: &str, usual| {
        std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
    };
    let hosts = number("ACTIVITY_BENCH_HOSTS", HOSTS);
    let events = number("ACTIVITY_BENCH_EVENTS", EVENTS);
    let bench = Bench::new(hosts * events)?;
    let Some(cluster) = Cluster::start(&bench.path(""))? else {
        eprintln!("bench of central: no postgres: it needs root and postgresql-15");
        return Ok(());
    };
    let fleet = Fleet { bench, cluster, hosts, events };
    let mut lines = fleet.mirror()?;
    lines.extend(fleet.pages());
    lines.extend(fleet.verify());
    println!("{hosts} hosts with {events} events each; {} bytes per event\n", fleet.event_size()?);
    measure::write_table(&lines, &mut io::stdout().lock())
}

/// The logs of many hosts, and their store.
struct Fleet {
    bench: Bench,
    cluster: Cluster,
    hosts: usize,
    /// The events of each host.
    events: usize,
}

impl Fleet {
    fn url(&self) -> String {
        store_url(self.cluster.port)
    }

    fn activity(&self, db: &str, args: &[&str]) -> Command {
        let mut command = self.bench.command(env!("CARGO_BIN_EXE_activity"));
        command.args(["--db", db]).args(args);
        command
    }

    fn psql(&self, port: u16, sql: &str) -> Command {
        // Debian's own `psql` is a script that looks for this one.
        let mut command = self.bench.command(&format!("{POSTGRES_BIN}/psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", "postgres", "-d", "activity"])
            .args(["-p", &port.to_string(), "-c", sql]);
        command
    }

    fn server_psql(&self, sql: &str) -> Command {
        self.psql(self.cluster.port, sql)
    }

    /// Runs SQL, and returns the one value that it answers with.
    fn value(&self, sql: &str) -> io::Result<String> {
        let output = self.server_psql(sql).output()?;
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Gives one history to the logs of all hosts by turns, and mirrors one after the other.
    fn mirror(&self) -> io::Result<Vec<Comparison>> {
        self.bench.report_progress(&format!("{} logs of {}", self.hosts, self.events));
        let url = self.url();
        let config = format!("[[mirror]]\nname = 'pg'\ntype = 'postgres'\nurl = '{url}'\n");
        fs::write(self.bench.path("config.toml"), config)?;
        self.cluster.sql("postgres", "CREATE DATABASE activity")?;
        run_measured(self.activity(&url, &["central", "init", "--back", "2y"]));
        self.write_histories()?;
        let worked = self.cluster.cpu_seconds();
        let mut runs = Vec::new();
        for host in 0..self.hosts {
            let (db, input) = (format!("{host}.db"), format!("{host}.jsonl"));
            run_measured(self.activity(&db, &["ingest", "--quiet", &input]));
            fs::remove_file(self.bench.path(&input))?;
            runs.push(run_measured(self.activity(&db, &["mirror"])));
            // What was delivered is no longer needed here.
            for side in ["", "-wal", "-shm", ".reserve"] {
                drop(fs::remove_file(self.bench.path(&format!("{db}{side}"))));
            }
        }
        let worked = self.cluster.cpu_seconds() - worked;
        let all = (self.hosts * self.events) as f64;
        let wall: f64 = runs.iter().map(|run| run.wall_time.as_secs_f64()).sum();
        // What a server does by itself once in a while.
        run_measured(self.server_psql("VACUUM (ANALYZE)"));
        let own: f64 = runs.iter().map(|run| run.cpu_seconds).sum();
        let per_core = format!(
            "per second of the server's processor {:.0}, of its own {:.0}",
            all / worked,
            all / own
        );
        Ok(vec![
            compare_rate("mirror, events per second", all / wall, per_core, MIRROR_GOAL),
            compare_memory(&runs),
        ])
    }

    fn write_histories(&self) -> io::Result<()> {
        let files =
            (0..self.hosts).map(|host| File::create(self.bench.path(&format!("{host}.jsonl"))));
        let files = files.map(|file| file.map(BufWriter::new));
        let mut files: Vec<_> = files.collect::<io::Result<_>>()?;
        let mut generator = Generator::new();
        let mut line = String::new();
        for number in 0..self.hosts * self.events {
            line.clear();
            generator::write_json(&generator.next(), &mut line);
            files[number % self.hosts].write_all(line.as_bytes())?;
        }
        files.iter_mut().try_for_each(Write::flush)
    }

    /// Returns the bytes of a stored event, with its indexes.
    fn event_size(&self) -> io::Result<u64> {
        let sql = "SELECT sum(pg_total_relation_size(relid)) / (SELECT count(*) FROM event) \
                   FROM pg_partition_tree('event') WHERE isleaf";
        let size = self.value(sql)?;
        Ok(size.split('.').next().unwrap_or_default().parse().expect("a number of bytes"))
    }

    /// Reads pages, each beside `psql`.
    fn pages(&self) -> Vec<Comparison> {
        self.bench.report_progress("pages");
        let (actor, target) = (generator::actor_id(30), generator::target_id(30));
        let rare = generator::RARE_FAMILY;
        let newest = |condition: &str| format!("SELECT * FROM event {condition} {NEWEST}");
        let one = self.some_event();
        let place = format!("{}/{}", one["log"].as_str().unwrap(), one["id"]);
        let by_place = format!(
            "SELECT event.* FROM event JOIN origin USING (log) \
             WHERE uuid::text LIKE '%{}' AND id = {}",
            one["log"].as_str().unwrap().rsplit('~').next().unwrap(),
            one["id"]
        );
        let event_id = one["event_id"].as_str().unwrap();
        let list = |query: String| vec!["list".to_owned(), "--json".to_owned(), query];
        let show = |id: &str| vec!["show".to_owned(), "--json".to_owned(), id.to_owned()];
        let lines = [
            ("newest 50, beside a bare connection", list(String::new()), "SELECT 1".to_owned()),
            ("newest 50", list(String::new()), newest("")),
            (
                "an actor",
                list(format!("actor:{actor}")),
                newest(&format!("WHERE actor_id = '{actor}'")),
            ),
            (
                "a target",
                list(format!("target:{target}")),
                newest(&format!("WHERE target_id = '{target}'")),
            ),
            (
                "an action",
                list("action:auth.login_failed".to_owned()),
                newest("WHERE action = 'auth.login_failed'"),
            ),
            ("a family", list("action:auth.*".to_owned()), newest("WHERE action LIKE 'auth.%'")),
            (
                "a rare family",
                list(format!("action:{rare}.*")),
                newest(&format!("WHERE action LIKE '{rare}.%'")),
            ),
            ("show HOST/ID", show(&place), by_place),
            (
                "show an event_id",
                show(event_id),
                format!("SELECT * FROM event WHERE event_uuid = '{event_id}'"),
            ),
        ];
        let compare = |port, suffix| {
            lines.iter().map(move |(name, args, sql)| {
                self.compare_page(&format!("{name}{suffix}"), args, sql, port)
            })
        };
        let mut pages: Vec<Comparison> = compare(self.cluster.port, "").collect();
        match Pooler::start(&self.cluster).unwrap() {
            Some(pooler) => pages.extend(compare(pooler.port, ", pooled")),
            None => eprintln!("without a pooler: apt-get install pgbouncer"),
        }
        pages
    }

    /// Reads a page by `activity` and by `psql`, both from this port.
    fn compare_page(&self, name: &str, args: &[String], sql: &str, port: u16) -> Comparison {
        let url = store_url(port);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ours = |_| self.activity(&url, &args);
        let peer = |_| self.psql(port, sql);
        let runs = run_interleaved(ROUNDS, &[&ours, &peer]);
        let (ours, peer) = (median(&runs[0]), median(&runs[1]));
        let least = percentile(&runs[0], 1);
        Comparison {
            name: name.to_owned(),
            ours: format!("{} (least {})", format_seconds(ours), format_seconds(least)),
            peer: format!("psql {}", format_seconds(peer)),
            ratio: ours / peer,
            goal: PAGE_GOAL,
        }
    }

    /// Returns an event from the middle of the history.
    fn some_event(&self) -> Value {
        let middle = self.value("SELECT (min(occurred_at) + max(occurred_at)) / 2 FROM event");
        let middle: i64 = middle.unwrap().parse().unwrap();
        let day = chrono::DateTime::from_timestamp_nanos(middle).format("until:%Y-%m-%d");
        let day = day.to_string();
        let output = self.activity(&self.url(), &["list", "--json", "--limit", "1", &day]).output();
        serde_json::from_slice(&output.unwrap().stdout).expect("an event before that day")
    }

    /// Verifies every chain.
    fn verify(&self) -> Vec<Comparison> {
        self.bench.report_progress("verify");
        let url = self.url();
        let verify = |_| self.activity(&url, &["verify"]);
        let copy = |_| self.server_psql("COPY (SELECT * FROM event ORDER BY log, id) TO STDOUT");
        let runs = run_interleaved(3, &[&verify, &copy]);
        let all = (self.hosts * self.events) as f64;
        let copied = format!("psql copies {:.0}", all / median(&runs[1]));
        vec![
            compare_rate("verify, events per second", all / median(&runs[0]), copied, VERIFY_GOAL),
            compare_memory(&runs[0]),
        ]
    }
}

fn store_url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/activity")
}

fn compare_rate(name: &str, rate: f64, peer: String, goal: f64) -> Comparison {
    Comparison {
        name: format!("{name}, against {goal:.0}"),
        ours: format!("{rate:.0}"),
        peer,
        ratio: goal / rate,
        goal: 1.0,
    }
}

fn compare_memory(runs: &[Measurement]) -> Comparison {
    let memory = runs.iter().map(|run| run.peak_memory_kib).max().unwrap_or(0) as f64 / 1024.0;
    Comparison {
        name: "its memory".to_owned(),
        ours: format!("{memory:.0} MiB"),
        peer: format!("{MEMORY_GOAL:.0} MiB"),
        ratio: memory / MEMORY_GOAL,
        goal: 1.0,
    }
}
