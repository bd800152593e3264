//! Counting and completing in the log of the whole history, at whose end a busy day stands.

use crate::BUSY_DAY_EVENTS;
use crate::Bench;
use crate::measure::Comparison;
use crate::measure::Measurement;
use crate::measure::format_seconds;
use crate::measure::median;
use crate::measure::run_interleaved;

/// The number of runs of each line.
const RUNS: usize = 21;

impl Bench {
    /// Counts a day and all, each beside the shell that counts the flat table by its index.
    pub(crate) fn counts(&self) -> Vec<Comparison> {
        self.report_progress("counts");
        let by_action = "SELECT action, count(*) FROM event GROUP BY action ORDER BY 2 DESC;";
        let newest = format!(
            "SELECT action, count(*) FROM (SELECT action FROM event ORDER BY occurred_at DESC \
             LIMIT {BUSY_DAY_EVENTS}) GROUP BY action;"
        );
        let day = format!("stats of a day of {BUSY_DAY_EVENTS}");
        [
            (day.as_str(), &["stats", "--days", "1", "--json"][..], newest.as_str(), 0.03),
            ("stats of all by action", &["stats", "--by", "action", "--json"], by_action, 0.1),
            ("stats of all", &["stats", "--json"], by_action, 0.5),
        ]
        .map(|(name, args, peer, goal)| {
            let ours = |_| self.activity_command("all.db", args);
            let shell = |_| self.sqlite_command(&[], &[peer]);
            Self::against(name, goal, &run_interleaved(RUNS, &[&ours, &shell]))
        })
        .into()
    }

    /// Completes names, each beside the shell that finds names of that beginning by the log's own index.
    pub(crate) fn completions(&self) -> Vec<Comparison> {
        self.report_progress("completions");
        ["actor:", "target:", "action:"]
            .map(|word| {
                let table = word.trim_end_matches(':');
                let column = if table == "action" { "slug" } else { "folded" };
                let sql = format!("SELECT DISTINCT {column} FROM {table} ORDER BY 1 LIMIT 60;");
                let line = ["complete", "--", "activity", "list", word];
                let ours = |_| self.activity_command("all.db", &line);
                let shell = |_| {
                    let mut command = self.command("sqlite3");
                    command.args(["-readonly", "all.db", &sql]);
                    command
                };
                let runs = run_interleaved(RUNS, &[&ours, &shell]);
                Self::against(&format!("completions of {word}"), 0.05, &runs)
            })
            .into()
    }

    /// Returns a line that holds our time against a goal in seconds, and shows the shell's.
    fn against(name: &str, goal: f64, runs: &[Vec<Measurement>]) -> Comparison {
        let ours = median(&runs[0]);
        Comparison {
            name: format!("{name}, against {:.0} ms", goal * 1000.0),
            ours: format_seconds(ours),
            peer: format!("shell {}", format_seconds(median(&runs[1]))),
            ratio: ours / goal,
            goal: 1.0,
        }
    }
}
