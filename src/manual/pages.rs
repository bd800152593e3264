//! The text of each page.

use crate::codec::EventFormat;
use crate::config::reference;
use crate::event::field;
use crate::event::field::FieldKind;
use crate::failure::Exit;
use crate::manual::FILES;
use crate::manual::VARIABLES;
use crate::map::built_in::BUILT_IN;
use crate::query::QUALIFIERS;
use crate::query::saved::SavedQueries;
use crate::text;

/// The widest line.
const WIDTH: usize = 80;

const QUERY_EXAMPLES: [(&str, &str); 6] = [
    ("activity list action:user.edit actor:17", "what user 17 edited"),
    ("activity list is:failed since:yesterday", "what failed since yesterday"),
    ("activity list 'action:user.*,settings.write'", "a comma or the same qualifier: or"),
    ("activity list 'target:user/17 -actor:\"Cron Bot\"'", "a dash excludes; quotes keep blanks"),
    ("activity list 'status:>=500 ip:192.0.2.0/24'", "ranges and networks"),
    ("activity stats 'spring launch' --by actor", "words in names and titles"),
];

/// Times that people type, each with what it is; a test reads them all.
const TIME_EXAMPLES: [(&str, &str); 18] = [
    ("2h", "two hours ago; -2h and \"2h ago\" are the same"),
    ("1h30m", "so long ago; also 90min, \"8 hours\", 7d, 4w"),
    ("3 days ago", "the same in words"),
    ("now", "this instant"),
    ("today", "its first instant"),
    ("yesterday", "its first instant; tomorrow too"),
    ("14:30", "today, on the clock of --tz"),
    ("yesterday 14:30", "a day and a clock; also \"monday 8:00\""),
    ("monday", "the last one, today excluded"),
    ("Nov 3", "the last one; \"3 Nov 2025\" says the year"),
    ("last week", "first instant of the one before; or month, year"),
    ("this month", "its first instant; or week (from Monday), year"),
    ("2026-11", "the first instant of the month"),
    ("2026-11-20", "the first instant of the day"),
    ("2026-11-20 14:30", "on the clock of --tz; seconds may follow"),
    ("2026-11-20 14:30 UTC", "on the clock of a zone"),
    ("2026-11-20T14:30:05+02:00", "RFC 3339, with any offset"),
    ("@1700000000", "seconds since 1970 in UTC"),
];

pub(super) fn query(saved: &SavedQueries) -> String {
    let mut page = String::from(
        "Queries: the same in list, search-actor, search-target, export, digest, stats\n\
         and in the config, as words or as flags (--actor 17 is actor:17)\n\n",
    );
    for (example, about) in QUERY_EXAMPLES {
        page.push_str(&row(example, about, 50));
    }
    page.push_str("\nQUALIFIERS\n");
    for qualifier in &QUALIFIERS {
        let name = format!("{}:{}", qualifier.name, qualifier.value_name);
        page.push_str(&row(&name, qualifier.help, 22));
    }
    page.push_str(
        "\nWORDS and \"phrases\" are looked for in the labels of actor and target and in the\n\
         title, in any case.\n\n\
         RULES\n",
    );
    for rule in [
        "Different qualifiers narrow; a comma, or the same qualifier again, widens.",
        "Words narrow: each must be found.",
        "A leading - excludes all that its term names; in a flag: --action '!a,b'.",
        "A value matches whole; * in it stands for anything.",
        "Quotes protect blanks, commas, colons and *; within them \\\" and \\\\.",
        "An event without the field matches no plain term, and each excluding one.",
    ] {
        page.push_str(&row("-", rule, 2));
    }
    page.push_str("\nSAVED QUERIES ([queries] in the config; @NAME stands for its text)\n");
    let mut is_empty = true;
    for (name, text) in saved.iter() {
        is_empty = false;
        let line = format!("  @{}  {}", text::escape(name), text::escape(text));
        page.push_str(&text::truncate(&line, WIDTH));
        page.push('\n');
    }
    if is_empty {
        page.push_str(
            "  none yet: night = \"action:auth.* is:failed\", then: activity list @night\n",
        );
    }
    page.push_str("\nSee also: activity help times, activity help fields\n");
    page
}

pub(super) fn times() -> String {
    let mut page =
        String::from("Times, in --since and since:, --until and until:, --on and on:\n\n");
    for (example, about) in [
        ("activity list --since yesterday", "from its first instant on"),
        ("activity list since:2h until:\"1h ago\"", "until is exclusive"),
        ("activity list --on 2026-11", "a whole month; also a day or a year"),
        ("activity list --days 7", "the last 7 times 24 hours"),
        ("activity list --today --tz UTC", "the calendar day, in another zone"),
    ] {
        page.push_str(&row(example, about, 42));
    }
    page.push_str("\nUNDERSTOOD\n");
    for (example, about) in TIME_EXAMPLES {
        page.push_str(&row(example, about, 28));
    }
    page.push_str(
        "\nDURATIONS, in the config and in --keep\n  30s 10m 12h 90d 4w 2y: seconds, minutes, hours, days, weeks, years of 365 days\n\n\
         ZONES\n  The zone is that of --tz, else ACTIVITY_TZ, else tz in the config, else the\n  host's: a name (Africa/Cairo), an offset (+02:00), or as POSIX writes it.\n",
    );
    page
}

pub(super) fn fields() -> String {
    let mut page = String::from("The fields of an event; only action is required\n\n");
    for (example, about) in [
        ("activity ingest --action deploy.finish --actor-id \"$USER\"", "one event"),
        ("activity list --columns when,actor,ip,status_code", "as columns"),
        ("activity export --csv --columns id,action -o a.csv", "in a file"),
    ] {
        page.push_str(&row(example, about, 60));
    }
    page.push_str("\nFIELDS (= other names under which ingest takes them)\n");
    for field in &field::FIELDS {
        let stamp = if field.kind == FieldKind::Stamp { "; set by the log" } else { "" };
        let aliases = match field.aliases {
            [] => String::new(),
            aliases => format!(" (= {})", aliases.join(", ")),
        };
        page.push_str(&row(field.name, &format!("{}{stamp}{aliases}", field.about), 20));
    }
    page.push_str(
        "\nbefore and after, the whole record as JSON objects, become the diff. Any other\n\
         key goes into the payload. Names are those of JSON, CSV, --columns, --sort and\n\
         flags (--actor-id).\n",
    );
    page
}

/// What most maps need, for lines like `20.11.2026 08:15:02|open|anna|INV-9|denied`.
const MAP_EXAMPLE: &str = r#"
  # Lines by a pattern; of JSON and CSV the keys and columns have names already.
  pattern = '^(?<at>.*?)\|(?<what>.*?)\|(?<who>.*?)\|(?<on>.*?)\|(?<result>.*)$'
  time = "%d.%m.%Y %H:%M:%S"          # a local time; --input-tz says where
  [fields]                            # the first value that is there counts
  occurred_at = "at"
  action.from = "what"
  action.words = { open = "invoice.view" }
  action.failed = { result = "denied" }
  actor_label = ["who", "user.name"]
  target_id = "on"
  source = { const = "operator" }
"#;

/// What else a map may have.
const MAP_KEYS: [(&str, &str); 11] = [
    ("format = \"csv\"", "or jsonl, json, lines; else { and [ are JSON, all else CSV"),
    ("records = \"data.items\"", "JSON: the list within a document that holds the records"),
    ("\"{{ kind }}.{{ verb }}\"", "a template; where one of its values is missing: nothing"),
    ("from = [\"a\", \"b\"], join = \"/\"", "both values, with that between them"),
    ("prefix = \"door.\"", "stands before the value"),
    ("words = { \"-\" = \"\" }", "a whole value in other words; with none it is left out"),
    ("if = \"door\"", "the rule holds where that path has a value"),
    ("before = \"old\", after = \"new\"", "objects, whose differences become the diff"),
    (
        "diff = { list = \"changes\", name = \"field\", before = \"old\", after = \"new\" }",
        "of a list of changes, or without list of one",
    ),
    ("within.message = 'by (?<who>\\S+)'", "looks into the text of a value by a pattern"),
    ("drop.keys = [\"token\"]", "what never goes into the payload; all else does"),
];

pub(super) fn formats() -> String {
    let mut page = String::from("Formats of events\n\n");
    for (example, about) in [
        ("activity ingest events.jsonl", "its first line tells which"),
        ("activity ingest --format github audit.json", "or you do"),
        ("activity ingest --map actor_label=usr a.csv", "what a key of yours means"),
        ("activity help formats github > own.toml", "a map to begin with"),
        ("activity export --jsonl | activity --db b.db ingest", "out and in again"),
        ("activity ingest --rejects bad.jsonl events.jsonl", "keeps bad lines for repair"),
    ] {
        page.push_str(&row(example, about, 50));
    }
    page.push_str("\nREAD BY ingest --format\n");
    for format in EventFormat::ALL {
        page.push_str(&row(format.name(), describe_format(format), 16));
    }
    page.push_str("\nOF OTHER SYSTEMS, each read by a map\n");
    for format in &BUILT_IN {
        page.push_str(&row(format.name, format.title, 16));
    }
    page.push_str("\nMAPS\n");
    for (flag, about) in [
        ("--map FILE", "reads anything by a map in TOML; help formats NAME has one"),
        ("--map FIELD=PATH", "takes a field from a key, or a path: user.id, tags[0].name"),
        ("--check-map FILE", "shows what a map takes each field from; records nothing"),
    ] {
        page.push_str(&row(flag, about, 18));
    }
    page.push_str(MAP_EXAMPLE);
    page.push_str("\nALSO IN A MAP\n");
    for (key, about) in MAP_KEYS {
        page.push_str(&row(key, about, 34));
    }
    page.push_str(
        "\nWRITTEN\n  export --jsonl, list --json  a line of JSON per event, times in UTC\n  \
         export --csv, list --output csv  our header, all cells quoted; a cell that a\n    \
         spreadsheet would run is guarded with ' (--raw leaves it as it is)\n\n\
         See also: activity help fields\n",
    );
    page
}

fn describe_format(format: EventFormat) -> &'static str {
    match format {
        EventFormat::JsonLines => "a JSON object on each line",
        EventFormat::Json => "a JSON array of objects, or objects one after the other",
        EventFormat::Csv => "a header with our names or their other names, then rows",
        EventFormat::Mirror => {
            "[TIME] SITE.SEVERITY: MESSAGE {JSON}: our mirrors, WP Activity Log, Monolog"
        }
    }
}

pub(super) fn config() -> String {
    let mut page = String::from(
        "The config: /etc/activity/config.toml, else ~/.config/activity/config.toml\n\n",
    );
    for (example, about) in [
        ("activity config", "what holds, and where it comes from"),
        ("activity config init", "write one, every line commented out"),
        ("activity config init --system --dry-run", "what a whole host would get"),
        ("activity doctor", "whether all is well"),
    ] {
        page.push_str(&row(example, about, 42));
    }
    for (header, about) in reference::SECTIONS {
        let title = if header.is_empty() { about.to_owned() } else { format!("{header}  {about}") };
        page.push('\n');
        page.push_str(&wrap(&title, 0, 0));
        for key in reference::KEYS.iter().filter(|key| key.section == header) {
            page.push_str(&row(key.name, key.about, 20));
        }
    }
    page.push_str("\nDurations: 90d, 12h, 30m, 2y. An unknown key is an error (78).\n");
    page
}

pub(super) fn exit_codes() -> String {
    let mut page = String::from("Exit status\n\n");
    for (example, about) in [
        ("activity ingest bad.jsonl || echo $?", "65: some lines were rejected"),
        ("activity actions --stale --quiet || mail -s stopped ops", "1: something stopped"),
    ] {
        page.push_str(&row(example, about, 58));
    }
    page.push('\n');
    for exit in Exit::ALL {
        page.push_str(&row(&(exit as u8).to_string(), exit.meaning(), 4));
    }
    page
}

/// The variables, as rows.
pub(super) fn variables() -> String {
    VARIABLES.iter().map(|(name, about)| row(name, about, 24)).collect()
}

/// The files, as rows.
pub(super) fn files() -> String {
    FILES.iter().map(|(name, about)| row(name, about, 38)).collect()
}

/// Returns a name and what it is, wrapped in a column of its own.
fn row(name: &str, about: &str, column: usize) -> String {
    let gap = " ".repeat(column.saturating_sub(text::width(name)).max(1));
    wrap(&format!("  {name}{gap}{about}"), 2 + column, column + 2)
}

/// Breaks a line at blanks behind `from` so that it fits; further lines are indented.
fn wrap(line: &str, from: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let last = lines.last_mut().expect("it begins with one");
        let fits = text::width(last) + text::width(word.trim_end()) <= WIDTH;
        if fits || text::width(last) <= from.max(indent) {
            last.push_str(word);
        } else {
            lines.push(format!("{}{word}", " ".repeat(indent)));
        }
    }
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;
    use crate::time::Timestamp;
    use crate::time::WindowEdge;
    use crate::time::Zone;

    #[test]
    fn every_time_of_the_page_is_understood() {
        let now = Timestamp::from_nanos(1_790_000_000_000_000_000);
        for (example, _) in TIME_EXAMPLES {
            crate::time::parse_human(example, now, &Zone::utc(), WindowEdge::Since).unwrap();
        }
        for span in ["30s", "10m", "12h", "90d", "4w", "2y"] {
            Span::parse(span).unwrap();
        }
    }

    #[test]
    fn a_long_line_goes_on_in_its_column() {
        let wrapped = row("name", &"word ".repeat(20), 10);
        assert!(wrapped.lines().all(|line| line.len() <= WIDTH), "{wrapped}");
        assert!(
            wrapped.lines().skip(1).all(|line| line.starts_with("            word")),
            "{wrapped}"
        );
    }
}
