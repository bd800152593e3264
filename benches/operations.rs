//! What is measured at each size: whole processes, ours and the peer's by turns.

use std::fs;
use std::process::Command;
use std::time::Duration;
use std::time::SystemTime;

use chrono::Days;

use crate::generator;
use crate::host_logs::HostLog;
use crate::host_logs::Question;
use crate::measure::Measurement;
use crate::measure::median;
use crate::measure::percentile;
use crate::measure::run_interleaved;
use crate::measure::run_sampled;
use crate::size_run::KEPT_LOG;
use crate::size_run::SizeRun;
use crate::size_table::Goal;
use crate::size_table::OperationFigures;
use crate::size_table::PeerFigure;
use crate::size_table::Unit;
use crate::workbench;

/// The runs of what takes milliseconds.
const SHORT_RUNS: usize = 11;
/// The runs of what takes seconds, and of what takes minutes with the most events.
const LONG_RUNS: usize = 3;
const SINGLE_EVENTS: usize = 200;
/// Beyond so many events what takes minutes runs once, and jq not at all.
const MANY_EVENTS: usize = 1_000_000;
/// The memory of a process of some milliseconds is sampled as often as the kernel lets us.
const FINE_INTERVAL: Duration = Duration::from_micros(200);
/// The memory at the largest size, against that at the smallest.
const FLAT_MEMORY: f64 = 1.2;
/// A page at the largest size, against the same at the smallest.
const FLAT_PAGE: f64 = 1.3;

type MakeCommand<'a> = &'a dyn Fn(usize) -> Command;

/// The runs of an operation, the shortest first.
struct Turns {
    peer: Option<Vec<Measurement>>,
    ours: Vec<Measurement>,
    smallest: Option<Vec<Measurement>>,
}

impl SizeRun {
    /// Measures all operations, those that must not grow by turns with the smallest log.
    pub(crate) fn measure(&self, smallest: Option<&Self>) -> Vec<OperationFigures> {
        let mut figures = self.bulk_ingest();
        figures.extend(self.pages(smallest));
        figures.push(self.page_memory());
        figures.push(self.free_text());
        figures.push(self.filter_by_jq());
        figures.extend(self.export());
        figures.extend(self.verify());
        figures.push(self.stats());
        figures.extend(self.wide_reads());
        for log in &self.host_logs {
            figures.extend(self.beside_host_log(*log));
        }
        figures.extend(self.single_ingest());
        figures.extend(self.ingest_during_sweep());
        figures
    }

    /// Returns how often an operation runs that takes minutes with many events.
    fn long_runs(&self) -> usize {
        if self.bench.events > MANY_EVENTS { 1 } else { LONG_RUNS }
    }

    /// Runs the peer, ours and the smallest by turns, each if it is there.
    fn take_turns(
        &self,
        runs: usize,
        ours: MakeCommand,
        peer: MakeCommand,
        smallest: Option<MakeCommand>,
    ) -> Turns {
        let peer = self.has_flat_table.then_some(peer);
        let commands: Vec<_> = peer.into_iter().chain([ours]).chain(smallest).collect();
        let mut measured = run_interleaved(runs, &commands).into_iter();
        Turns {
            peer: peer.and_then(|_| measured.next()),
            ours: measured.next().expect("ours ran"),
            smallest: measured.next(),
        }
    }

    /// Takes in the whole history at once; leaves `all.db` and `flat.db`.
    fn bulk_ingest(&self) -> Vec<OperationFigures> {
        self.bench.report_progress("bulk ingest");
        let fresh = |db: &str| {
            self.bench.remove_database(db);
            rustix::fs::sync();
        };
        let runs = self.long_runs();
        let import = |_| {
            fresh("flat.db");
            // A write-ahead log would need as much room again, and all of it would be copied.
            let statements = [
                workbench::FLAT_SCHEMA,
                "PRAGMA journal_mode = DELETE;",
                ".import --csv all.csv event",
                "PRAGMA journal_mode = WAL;",
            ];
            self.bench.sqlite_command(&[], &statements)
        };
        let ingest = |round| {
            // The last round needs the room.
            if round + 1 == runs {
                drop(fs::remove_file(self.bench.path("all.csv")));
            }
            fresh("all.db");
            self.bench.activity_command("all.db", &["ingest", "--quiet", "all.jsonl"])
        };
        let turns = self.take_turns(runs, &ingest, &import, None);
        let per_event = |db: &str| self.bench.database_size(db) as f64 / self.bench.events as f64;
        let flat_bytes = self.has_flat_table.then(|| per_event("flat.db"));
        vec![
            OperationFigures::new(
                "bulk ingest",
                Unit::Seconds,
                Goal::OfPeer(0.6),
                median(&turns.ours),
            )
            .beside("`.import`", turns.peer_figure(median)),
            OperationFigures::new(
                "memory of bulk ingest",
                Unit::Mebibytes,
                Goal::Growth(FLAT_MEMORY),
                peak_memory(&turns.ours),
            )
            .beside("`.import`", turns.peer_figure(peak_memory)),
            OperationFigures::new(
                "bytes per event",
                Unit::Bytes,
                Goal::Limit(375.0),
                per_event("all.db"),
            )
            .beside("flat table", peer_figure(flat_bytes)),
        ]
    }

    /// Returns the pages that are asked for, each with its query and the clauses of its SQL.
    fn page_queries(&self) -> [(&'static str, String, String); 5] {
        let (actor, target) = (generator::actor_id(30), generator::target_id(30));
        let family = format!("{}.*", generator::RARE_FAMILY);
        let (day, next) = (self.day, self.day + Days::new(1));
        // SQLite reads an index of some rows only if the query says which.
        let clauses = [
            String::new(),
            format!("WHERE actor_id = '{actor}' AND actor_id <> ''"),
            format!("WHERE target_id = '{target}' AND target_id <> ''"),
            format!("WHERE action GLOB '{family}'"),
            format!("WHERE occurred_at >= '{day}' AND occurred_at < '{next}'"),
        ];
        let [all, by_actor, by_target, by_family, by_day] = clauses.map(|condition| {
            workbench::flat_select(&format!(
                "{condition} ORDER BY occurred_at DESC, rowid DESC LIMIT 50"
            ))
        });
        [
            ("newest 50", String::new(), all),
            ("an actor", format!("actor:{actor}"), by_actor),
            ("a target", format!("target:{target}"), by_target),
            ("an action family", format!("action:{family}"), by_family),
            ("a day", format!("on:{day}"), by_day),
        ]
    }

    /// Reads pages, each also in the smallest log, and from the flat table.
    fn pages(&self, smallest: Option<&Self>) -> Vec<OperationFigures> {
        self.bench.report_progress("pages");
        let page = |run: &Self, db: &str, place: usize| {
            let (_, query, _) = &run.page_queries()[place];
            run.bench.activity_command(db, &["list", "--json", query])
        };
        let mut figures = Vec::new();
        for (place, (operation, _, sql)) in self.page_queries().iter().enumerate() {
            let ours = |_| page(self, "all.db", place);
            let peer = |_| self.bench.sqlite_command(&["-json"], &[sql]);
            if self.has_flat_table {
                assert_same_answer(ours(0), peer(0));
            }
            let at_smallest = smallest.map(|run| move |_| page(run, KEPT_LOG, place));
            let at_smallest = at_smallest.as_ref().map(|make| make as MakeCommand);
            let turns = self.take_turns(SHORT_RUNS, &ours, &peer, at_smallest);
            figures.push(
                OperationFigures::new(
                    operation,
                    Unit::Seconds,
                    Goal::Growth(FLAT_PAGE),
                    median(&turns.ours),
                )
                .beside("`sqlite3 -json`", turns.peer_figure(median))
                .growing_from(turns.smallest.as_deref().map(median)),
            );
        }
        figures
    }

    /// Samples the memory of the first page, in runs of their own: sampling so often takes time.
    fn page_memory(&self) -> OperationFigures {
        let (_, query, sql) = &self.page_queries()[0];
        let largest = |make: MakeCommand| {
            let runs = (0..SHORT_RUNS).map(|round| run_sampled(make(round), FINE_INTERVAL));
            peak_memory(&runs.collect::<Vec<_>>())
        };
        let ours = largest(&|_| self.bench.activity_command("all.db", &["list", "--json", query]));
        let peer = self
            .has_flat_table
            .then(|| largest(&|_| self.bench.sqlite_command(&["-json"], &[sql])));
        OperationFigures::new("memory of a page", Unit::Mebibytes, Goal::Growth(FLAT_MEMORY), ours)
            .beside("`sqlite3 -json`", peer_figure(peer))
    }

    /// Returns a name of which the history has some mentions.
    fn free_text_name(&self) -> String {
        generator::target_label((self.bench.events / 500).min(200))
    }

    /// Finds the newest 50 events that contain a name, against a search of all lines.
    fn free_text(&self) -> OperationFigures {
        self.bench.report_progress("free text");
        let name = self.free_text_name();
        let ours =
            |_| self.bench.activity_command("all.db", &["list", "--json", "--search", &name]);
        let peer = |_| self.bench.ripgrep_command(&name);
        let runs = run_interleaved(SHORT_RUNS, &[&ours, &peer]);
        OperationFigures::new("free text", Unit::Seconds, Goal::Limit(0.15), median(&runs[0]))
            .beside("ripgrep", PeerFigure::Measured(median(&runs[1])))
    }

    /// Writes all events of an actor.
    fn filter_by_jq(&self) -> OperationFigures {
        self.bench.report_progress("filter by jq");
        let actor = generator::actor_id(30);
        let query = format!("actor:{actor}");
        let ours =
            |_| self.bench.activity_command("all.db", &["export", "--jsonl", "--quiet", &query]);
        let peer = |_| {
            let mut command = self.bench.command("jq");
            command.args(["-c", &format!("select(.actor_id == \"{actor}\")"), "all.jsonl"]);
            command
        };
        let mut commands: Vec<MakeCommand> = vec![&ours];
        if self.bench.events <= MANY_EVENTS {
            assert_same_answer(ours(0), peer(0));
            commands.push(&peer);
        }
        let runs = run_interleaved(LONG_RUNS, &commands);
        let jq = match runs.get(1) {
            Some(runs) => PeerFigure::Measured(median(runs)),
            None => PeerFigure::Absent("not asked"),
        };
        OperationFigures::new("all of an actor", Unit::Seconds, Goal::None, median(&runs[0]))
            .beside("jq", jq)
    }

    fn export(&self) -> Vec<OperationFigures> {
        self.bench.report_progress("export");
        let query = workbench::flat_select("ORDER BY occurred_at, rowid");
        let turns = [("--csv", "-csv"), ("--jsonl", "-json")].map(|(format, peer_format)| {
            let ours = |_| self.bench.activity_command("all.db", &["export", format, "--quiet"]);
            let peer = |_| self.bench.sqlite_command(&["-header", peer_format], &[&query]);
            self.take_turns(self.long_runs(), &ours, &peer, None)
        });
        let [csv, jsonl] = &turns;
        let time = |operation, turns: &Turns| {
            OperationFigures::new(operation, Unit::Seconds, Goal::OfPeer(0.8), median(&turns.ours))
        };
        vec![
            time("export CSV", csv).beside("`sqlite3 -csv`", csv.peer_figure(median)),
            time("export JSON Lines", jsonl).beside("`sqlite3 -json`", jsonl.peer_figure(median)),
            OperationFigures::new(
                "memory of an export",
                Unit::Mebibytes,
                Goal::Growth(FLAT_MEMORY),
                peak_memory(&jsonl.ours),
            )
            .beside("`sqlite3 -json`", jsonl.peer_figure(peak_memory)),
        ]
    }

    fn verify(&self) -> [OperationFigures; 2] {
        self.bench.report_progress("verify");
        let verify = |_| self.bench.activity_command("all.db", &["verify", "--quick"]);
        let runs = run_interleaved(self.long_runs(), &[&verify]).remove(0);
        let rate = self.bench.events as f64 / median(&runs);
        [
            OperationFigures::new("verify --quick", Unit::EventsPerSecond, Goal::None, rate),
            OperationFigures::new(
                "memory of verify",
                Unit::Mebibytes,
                Goal::Growth(FLAT_MEMORY),
                peak_memory(&runs),
            ),
        ]
    }

    fn stats(&self) -> OperationFigures {
        self.bench.report_progress("stats");
        let sql = "SELECT action, count(*) FROM event GROUP BY action ORDER BY 2 DESC;";
        let ours =
            |_| self.bench.activity_command("all.db", &["stats", "--by", "action", "--json"]);
        let peer = |_| self.bench.sqlite_command(&["-json"], &[sql]);
        let turns = self.take_turns(SHORT_RUNS, &ours, &peer, None);
        OperationFigures::new("stats by action", Unit::Seconds, Goal::None, median(&turns.ours))
            .beside("`sqlite3 -json`", turns.peer_figure(median))
    }

    /// Asks what no index answers by a few of its entries.
    fn wide_reads(&self) -> Vec<OperationFigures> {
        self.bench.report_progress("what many events answer");
        let reads: [(&'static str, &[&str]); 6] = [
            ("stats of all", &["stats", "--json"]),
            ("actions", &["actions", "--json"]),
            ("every actor", &["search-actor", "--json", "*"]),
            ("by module", &["list", "--json", "--sort", "module"]),
            ("a network", &["list", "--json", "ip:102.60.0.0/16"]),
            ("edits", &["list", "--json", "is:edit"]),
        ];
        let figures = reads.into_iter().map(|(operation, args)| {
            let ours = |_| self.bench.activity_command("all.db", args);
            let runs = run_interleaved(LONG_RUNS, &[&ours]).remove(0);
            OperationFigures::new(operation, Unit::Seconds, Goal::None, median(&runs))
        });
        figures.collect()
    }

    /// Asks a log of the host the same as ours.
    fn beside_host_log(&self, log: HostLog) -> Vec<OperationFigures> {
        self.bench.report_progress(log.reader());
        let (actor, day) = (generator::actor_id(30), self.day.to_string());
        let name = self.free_text_name();
        let by_actor = format!("actor:{actor}");
        let on_day = format!("on:{day}");
        let questions: [(&[&str], Question, [&'static str; 2]); 4] = [
            (&[], Question::Newest, ["newest 50, journal", "newest 50, audit log"]),
            (&[&by_actor], Question::Actor(&actor), ["an actor, journal", "an actor, audit log"]),
            (&[&on_day], Question::Day(&day), ["a day, journal", "a day, audit log"]),
            (
                &["--search", &name],
                Question::Text(&name),
                ["free text, journal", "free text, audit log"],
            ),
        ];
        let (place, reader) = match log {
            HostLog::Journal => (0, "`journalctl --file`"),
            HostLog::Audit => (1, "`ausearch`"),
        };
        questions
            .map(|(args, question, operations)| {
                let args = [&["list", "--json"][..], args].concat();
                let ours = |_| self.bench.activity_command("all.db", &args);
                let peer = |_| log.query_command(&self.bench, &question);
                assert_same_answer(ours(0), peer(0));
                let runs = run_interleaved(LONG_RUNS, &[&ours, &peer]);
                let time = median(&runs[0]);
                OperationFigures::new(operations[place], Unit::Seconds, Goal::None, time)
                    .beside(reader, PeerFigure::Measured(median(&runs[1])))
            })
            .into()
    }

    /// Records one event per process, as hooks do.
    fn single_ingest(&self) -> [OperationFigures; 2] {
        self.bench.report_progress("single events");
        let ours = |round| self.bench.single_ingest_command(round);
        let peer = |round| self.bench.single_insert_command(round);
        let turns = self.take_turns(SINGLE_EVENTS, &ours, &peer, None);
        [("single ingest, p50", 50, 0.45), ("single ingest, p99", 99, 0.8)].map(
            |(operation, percent, goal)| {
                let time = |runs: &[Measurement]| percentile(runs, percent);
                let ours = time(&turns.ours);
                OperationFigures::new(operation, Unit::Seconds, Goal::OfPeer(goal), ours)
                    .beside("`sqlite3` `INSERT`", turns.peer_figure(time))
            },
        )
    }

    /// Records one event per process while a sweep removes the oldest tenth.
    fn ingest_during_sweep(&self) -> Option<OperationFigures> {
        self.bench.report_progress("single events beside a sweep");
        let rest = self.bench.hooks_at_rest();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let tenth = u64::try_from(self.tenth / 1000).expect("after 1970");
        let beside = self.bench.hooks_during_sweep(&format!("{}s", now.as_secs() - tenth));
        if beside.is_empty() {
            return None;
        }
        let operation = "single ingest, p99 beside a sweep";
        let ours = percentile(&beside, 99);
        let figures = OperationFigures::new(operation, Unit::Seconds, Goal::Limit(0.05), ours);
        Some(figures.beside("the same at rest", PeerFigure::Measured(percentile(&rest, 99))))
    }
}

impl Turns {
    fn peer_figure(&self, figure: impl Fn(&[Measurement]) -> f64) -> PeerFigure {
        peer_figure(self.peer.as_deref().map(figure))
    }
}

/// Returns the figure of the flat table, if there is one.
fn peer_figure(figure: Option<f64>) -> PeerFigure {
    figure.map_or(PeerFigure::Absent("no room"), PeerFigure::Measured)
}

/// Compares the numbers of events that two commands print, one a line: a peer that finds others is none.
fn assert_same_answer(mut ours: Command, mut peer: Command) {
    let [our_lines, peer_lines] = [&mut ours, &mut peer].map(|command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        output.stdout.iter().filter(|byte| **byte == b'\n').count()
    });
    assert_eq!(our_lines, peer_lines, "{ours:?}, {peer:?}");
}

/// Returns the largest memory of the runs in MiB.
fn peak_memory(runs: &[Measurement]) -> f64 {
    runs.iter().map(|run| run.peak_memory_kib).max().unwrap_or_default() as f64 / 1024.0
}
