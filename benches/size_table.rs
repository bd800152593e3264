//! The table of the sizes: a row for each operation, and for each size our figure beside its peer's.

use std::fmt::Write;

use crate::measure::format_seconds;

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Mebibytes,
    Bytes,
    EventsPerSecond,
}

/// What our figure at the largest size must not exceed.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// None was set.
    None,
    /// So many times the peer's figure.
    OfPeer(f64),
    /// So many times our own figure at the smallest size.
    Growth(f64),
    /// So many of the figure's unit.
    Limit(f64),
}

/// The peer's figure.
#[derive(Clone, Copy)]
pub(crate) enum PeerFigure {
    Measured(f64),
    /// Why there is none, in a word or two.
    Absent(&'static str),
}

/// The figures of one operation at one size.
pub(crate) struct OperationFigures {
    operation: &'static str,
    peer_name: &'static str,
    unit: Unit,
    goal: Goal,
    ours: f64,
    peer: PeerFigure,
    /// Ours in the smallest log, if it was measured by turns with this one.
    at_smallest: Option<f64>,
}

impl OperationFigures {
    /// Returns the figures of an operation that has no peer.
    pub(crate) fn new(operation: &'static str, unit: Unit, goal: Goal, ours: f64) -> Self {
        let peer = PeerFigure::Absent("–");
        Self { operation, peer_name: "–", unit, goal, ours, peer, at_smallest: None }
    }

    pub(crate) fn beside(mut self, peer_name: &'static str, peer: PeerFigure) -> Self {
        (self.peer_name, self.peer) = (peer_name, peer);
        self
    }

    pub(crate) fn growing_from(mut self, at_smallest: Option<f64>) -> Self {
        self.at_smallest = at_smallest;
        self
    }

    /// Returns the cells of one size: ours, the peer's and the ratio.
    fn cells(&self) -> String {
        let (peer, ratio) = match self.peer {
            PeerFigure::Measured(peer) => {
                (format_figure(self.unit, peer), format!("{:.2}", self.ours / peer))
            }
            PeerFigure::Absent(why) => (why.to_owned(), "–".to_owned()),
        };
        format!(" {} | {peer} | {ratio} |", format_figure(self.unit, self.ours))
    }
}

/// The figures of one size.
pub(crate) struct SizeFigures {
    pub(crate) events: usize,
    pub(crate) operations: Vec<OperationFigures>,
}

/// Returns the table as Markdown, for `docs/performance.md`.
pub(crate) fn format_table(sizes: &[SizeFigures]) -> String {
    let mut head = "| operation | peer |".to_owned();
    let mut rule = "| --- | --- |".to_owned();
    for size in sizes {
        write!(head, " {} events | peer | ratio |", with_thousands(size.events))
            .expect("a String takes it");
        rule += " --- | --- | --- |";
    }
    head += " growth | goal | |\n";
    rule += " --- | --- | --- |\n";
    let mut named: Vec<&str> = Vec::new();
    for operation in sizes.iter().flat_map(|size| &size.operations) {
        if !named.contains(&operation.operation) {
            named.push(operation.operation);
        }
    }
    let rows = named.into_iter().map(|operation| format_row(operation, sizes));
    head + &rule + &rows.collect::<String>()
}

/// Returns the row of an operation, which may lack figures at some sizes.
fn format_row(operation: &str, sizes: &[SizeFigures]) -> String {
    let at = |size: &'_ SizeFigures| {
        size.operations.iter().position(|figures| figures.operation == operation)
    };
    let found: Vec<Option<&OperationFigures>> =
        sizes.iter().map(|size| at(size).map(|place| &size.operations[place])).collect();
    let mut measured = found.iter().flatten();
    let first = measured.next().expect("an operation has figures");
    let last = measured.last().unwrap_or(first);
    let cells = found
        .iter()
        .map(|figures| figures.map_or_else(|| " – | – | – |".to_owned(), OperationFigures::cells));
    let grown = !std::ptr::eq(*first, *last);
    let growth = grown.then(|| last.ours / last.at_smallest.unwrap_or(first.ours));
    let (shown_growth, goal, met) = match last.goal {
        Goal::None => (None, String::new(), Some(true)),
        Goal::OfPeer(most) => {
            let met = match last.peer {
                PeerFigure::Measured(peer) => Some(last.ours <= most * peer),
                PeerFigure::Absent(_) => None,
            };
            (None, format!("ratio ≤ {most}"), met)
        }
        Goal::Growth(most) => {
            (growth, format!("growth ≤ {most}"), growth.map(|growth| growth <= most))
        }
        Goal::Limit(most) => {
            (None, format!("≤ {}", format_limit(last.unit, most)), Some(last.ours <= most))
        }
    };
    let verdict = match met {
        Some(true) => "",
        Some(false) => "missed",
        None => "not measured",
    };
    let growth = shown_growth.map_or_else(|| "–".to_owned(), |growth| format!("{growth:.2}"));
    format!(
        "| {operation} | {} |{} {growth} | {goal} | {} |\n",
        first.peer_name,
        cells.collect::<String>(),
        verdict,
    )
}

fn format_figure(unit: Unit, figure: f64) -> String {
    match unit {
        Unit::Seconds => format_seconds(figure),
        Unit::Mebibytes => format!("{figure:.1} MiB"),
        Unit::Bytes => format!("{figure:.0}"),
        Unit::EventsPerSecond => format!("{figure:.0}/s"),
    }
}

/// Formats a limit, which is a round number.
fn format_limit(unit: Unit, limit: f64) -> String {
    match unit {
        Unit::Seconds => format!("{:.0} ms", limit * 1e3),
        Unit::Mebibytes | Unit::Bytes | Unit::EventsPerSecond => format_figure(unit, limit),
    }
}

/// Formats a count with commas: `1,000,000`.
pub(crate) fn with_thousands(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

const SECTION_BEGIN: &str = "<!-- sizes: begin -->\n";
const SECTION_END: &str = "<!-- sizes: end -->\n";

/// Returns the page with another text between the two marks, or nothing if it lacks one of them.
pub(crate) fn replace_section(page: &str, section: &str) -> Option<String> {
    let (before, rest) = page.split_once(SECTION_BEGIN)?;
    let (_, after) = rest.split_once(SECTION_END)?;
    Some(format!("{before}{SECTION_BEGIN}\n{section}\n{SECTION_END}{after}"))
}
