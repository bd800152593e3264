//! How fast mirrors deliver, and what they cost an ingest: `cargo bench --bench mirrors` prints a table.
//!
//! Whole processes deliver a generated log to receivers of this process, which read and throw away, and
//! to PostgreSQL where it is installed and root runs this. Beside each stands what bare writes of the
//! same bytes to the same place need. `ACTIVITY_BENCH_EVENTS=20000` is a quick look.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::print_stderr, reason = "a run reports its progress")]
#![expect(clippy::disallowed_methods, reason = "a benchmark stands outside the layers")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::cast_precision_loss, reason = "ratios need two digits")]

mod cluster;
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod generator;
mod measure;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod workbench;

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::cluster::Cluster;
use crate::generator::Generator;
use crate::measure::Comparison;
use crate::measure::Measurement;
use crate::measure::format_seconds;
use crate::measure::median;
use crate::measure::percentile;
use crate::measure::run_interleaved;
use crate::measure::run_measured;
use crate::workbench::Bench;

const EVENTS: usize = 100_000;
/// The runs of each destination.
const ROUNDS: usize = 3;
/// The bytes of one bare write.
const RAW_CHUNK: usize = 4 << 20;
/// The memory that one mirror may take, in MiB.
const MEMORY_GOAL: f64 = 64.0;
const DEAD_MIRRORS: usize = 8;
const SINGLE_EVENTS: usize = 300;

fn main() -> io::Result<()> {
    let events = std::env::var("ACTIVITY_BENCH_EVENTS")
        .map_or(EVENTS, |events| events.parse().expect("ACTIVITY_BENCH_EVENTS is a number"));
    let deliveries = Deliveries::new(events)?;
    let mut lines = Vec::new();
    lines.extend(deliveries.file()?);
    lines.extend(deliveries.syslog()?);
    lines.extend(deliveries.http()?);
    lines.extend(deliveries.postgres()?);
    lines.push(deliveries.ingest_beside_dead_mirrors()?);
    println!("{events} events to each destination, in events per second\n");
    measure::write_table(&lines, &mut io::stdout().lock())
}

/// A log that is delivered to one destination after the other.
struct Deliveries {
    bench: Bench,
    /// The events as JSON Lines: what the bare writes write.
    lines: Vec<u8>,
}

impl Deliveries {
    fn new(events: usize) -> io::Result<Self> {
        let mut deliveries = Self { bench: Bench::new(events)?, lines: Vec::new() };
        let mut generator = Generator::new();
        let (mut all, mut line) = (String::new(), String::new());
        for _ in 0..events {
            line.clear();
            generator::write_json(&generator.next(), &mut line);
            all.push_str(&line);
        }
        fs::write(deliveries.bench.path("all.jsonl"), all)?;
        run_measured(deliveries.command(&["ingest", "--quiet", "all.jsonl"]));
        run_measured(deliveries.command(&["export", "--jsonl", "--quiet", "-o", "out.jsonl"]));
        deliveries.lines = fs::read(deliveries.bench.path("out.jsonl"))?;
        Ok(deliveries)
    }

    fn command(&self, args: &[&str]) -> Command {
        self.bench.activity_command("log.db", args)
    }

    /// Delivers everything to a destination as often as `raw` takes the bare bytes, by turns. `keys` are
    /// those of the mirror.
    fn deliver(
        &self,
        name: &str,
        keys: &str,
        goal: f64,
        raw: impl Fn(&[u8]) -> io::Result<()>,
    ) -> io::Result<Vec<Comparison>> {
        eprintln!("bench of mirrors: {name}");
        let (mut runs, mut raw_rates) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // A mirror of another name begins anew.
            let config = format!("[[mirror]]\nname = '{name}-{round}'\ntimeout = '60s'\n{keys}\n");
            fs::write(self.bench.path("config.toml"), config)?;
            runs.push(run_measured(self.command(&["mirror"])));
            let start = Instant::now();
            raw(&self.lines)?;
            raw_rates.push(self.bench.events as f64 / start.elapsed().as_secs_f64());
        }
        let raw = raw_rates.into_iter().fold(0.0, f64::max);
        let worked: f64 = runs.iter().map(|run| run.cpu_seconds).sum();
        let of_own_core = (self.bench.events * ROUNDS) as f64 / worked;
        let peer = format!("bare {raw:.0}, of our own core {of_own_core:.0}");
        Ok(self.compare(name, &mut runs, &peer, goal))
    }

    fn compare(
        &self,
        name: &str,
        runs: &mut [Measurement],
        peer: &str,
        goal: f64,
    ) -> Vec<Comparison> {
        runs.sort_by_key(|run| run.wall_time);
        let rate = self.bench.events as f64 / median(runs);
        let memory = runs.iter().map(|run| run.peak_memory_kib).max().unwrap() as f64 / 1024.0;
        vec![
            Comparison {
                name: format!("{name}, against {goal:.0}"),
                ours: format!("{rate:.0}"),
                peer: peer.to_owned(),
                ratio: goal / rate,
                goal: 1.0,
            },
            Comparison {
                name: "its memory".to_owned(),
                ours: format!("{memory:.0} MiB"),
                peer: format!("{MEMORY_GOAL:.0} MiB"),
                ratio: memory / MEMORY_GOAL,
                goal: 1.0,
            },
        ]
    }

    fn file(&self) -> io::Result<Vec<Comparison>> {
        let raw = |bytes: &[u8]| {
            let mut file = File::create(self.bench.path("raw"))?;
            bytes.chunks(RAW_CHUNK).try_for_each(|chunk| {
                file.write_all(chunk)?;
                file.sync_data()
            })
        };
        self.deliver("file", "type = 'file'\npath = 'mirror.log'", 100_000.0, raw)
    }

    fn syslog(&self) -> io::Result<Vec<Comparison>> {
        let address = start_receiver(|stream| drop(io::copy(stream, &mut io::sink())))?;
        let raw = |bytes: &[u8]| {
            bytes.chunks(RAW_CHUNK).try_for_each(|chunk| {
                let mut stream = TcpStream::connect(address)?;
                stream.write_all(chunk)?;
                stream.shutdown(std::net::Shutdown::Write)?;
                stream.read_to_end(&mut Vec::new()).map(drop)
            })
        };
        let keys = format!("type = 'syslog'\naddress = 'tcp://{address}'");
        self.deliver("syslog TCP", &keys, 50_000.0, raw)
    }

    fn http(&self) -> io::Result<Vec<Comparison>> {
        let address = start_receiver(answer_requests)?;
        let raw = |bytes: &[u8]| {
            let mut stream = TcpStream::connect(address)?;
            bytes.chunks(RAW_CHUNK).try_for_each(|chunk| {
                write!(stream, "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", chunk.len())?;
                stream.write_all(chunk)?;
                stream.read_exact(&mut [0; HTTP_ANSWER.len()])
            })
        };
        let keys = format!("type = 'http'\nurl = 'http://{address}/'");
        self.deliver("http", &keys, 10_000.0, raw)
    }

    /// Delivers to PostgreSQL, and counts by the time that its processes were at work.
    fn postgres(&self) -> io::Result<Vec<Comparison>> {
        let Some(cluster) = Cluster::start(&self.bench.path(""))? else {
            eprintln!("bench of mirrors: no postgres: it needs root and postgresql-15");
            return Ok(Vec::new());
        };
        eprintln!("bench of mirrors: postgres");
        let mut runs = Vec::new();
        let mut worked = Vec::new();
        for round in 0..ROUNDS {
            let database = format!("activity{round}");
            cluster.sql("postgres", &format!("CREATE DATABASE {database}"))?;
            let url = format!("postgres://postgres@127.0.0.1:{}/{database}", cluster.port);
            let config = format!(
                "[[mirror]]\nname = 'pg-{round}'\ntype = 'postgres'\nurl = '{url}'\ntimeout = '60s'\n"
            );
            fs::write(self.bench.path("config.toml"), config)?;
            let before = cluster.cpu_seconds();
            runs.push(run_measured(self.command(&["mirror"])));
            worked.push(cluster.cpu_seconds() - before);
        }
        let per_core = (self.bench.events * ROUNDS) as f64 / worked.iter().sum::<f64>();
        let wall = median(&runs);
        let peer = format!("by the clock {:.0}", self.bench.events as f64 / wall);
        let mut lines = self.compare("postgres", &mut runs, &peer, 10_000.0);
        lines[0].name = "postgres, of the server's core, against 10000".to_owned();
        lines[0].ours = format!("{per_core:.0}");
        lines[0].ratio = 10_000.0 / per_core;
        Ok(lines)
    }

    /// Records one event per process, with mirrors whose destinations take nothing, and without any.
    fn ingest_beside_dead_mirrors(&self) -> io::Result<Comparison> {
        eprintln!("bench of mirrors: single ingest");
        let mut mirrors = String::new();
        for n in 0..DEAD_MIRRORS {
            let keys = "type = 'syslog'\naddress = 'tcp://127.0.0.1:1'\nattempts = 1";
            writeln!(mirrors, "[[mirror]]\nname = 'dead-{n}'\n{keys}").unwrap();
        }
        fs::write(self.bench.path("dead.toml"), mirrors)?;
        fs::write(self.bench.path("none.toml"), "")?;
        // They have failed before.
        let mut failing = self.command(&["mirror"]);
        failing
            .env("ACTIVITY_CONFIG", self.bench.path("dead.toml"))
            .stderr(std::process::Stdio::null());
        assert_eq!(failing.status()?.code(), Some(75), "they are dead");
        let ingest = |config: &'static str| {
            move |_| {
                let args = ["ingest", "--quiet", "--action", "user.edit", "--actor-id", "7"];
                let mut command = self.command(&args);
                command.env("ACTIVITY_CONFIG", self.bench.path(config));
                command
            }
        };
        let (dead, none) = (ingest("dead.toml"), ingest("none.toml"));
        let runs = run_interleaved(SINGLE_EVENTS, &[&dead, &none]);
        let (dead, none) = (percentile(&runs[0], 50), percentile(&runs[1], 50));
        Ok(Comparison {
            name: format!("single ingest, p50, {DEAD_MIRRORS} dead mirrors"),
            ours: format_seconds(dead),
            peer: format!("none {}", format_seconds(none)),
            ratio: dead / none,
            goal: 1.05,
        })
    }
}

/// Starts a receiver that gives each connection to a function.
fn start_receiver(serve: fn(&mut TcpStream)) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(&mut stream.unwrap());
        }
    });
    Ok(address)
}

const HTTP_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Reads requests and answers each, until the connection ends.
fn answer_requests(stream: &mut TcpStream) {
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        let text = line.trim_end().to_ascii_lowercase();
        if let Some(value) = text.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        } else if text.is_empty() {
            io::copy(&mut (&mut reader).take(length), &mut io::sink()).unwrap();
            reader.get_mut().write_all(HTTP_ANSWER).unwrap();
        }
        line.clear();
    }
}
