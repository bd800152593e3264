//! The logs that a host has anyway, with the events of the history: a journal and an audit log.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;

use chrono::DateTime;

use crate::generator::FIELDS;
use crate::generator::GeneratedEvent;
use crate::workbench::Bench;

const JOURNAL_WRITER: &str = "/lib/systemd/systemd-journal-remote";
const JOURNAL_READER: &str = "/usr/bin/journalctl";
const AUDIT_READER: &str = "/usr/sbin/ausearch";

/// A log of the host that is a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostLog {
    Journal,
    Audit,
}

/// What is asked of a log.
pub(crate) enum Question<'a> {
    Newest,
    /// The events of an actor, by id.
    Actor(&'a str),
    /// The events of a day, as `2025-12-31`.
    Day(&'a str),
    Text(&'a str),
}

impl HostLog {
    pub(crate) const ALL: [Self; 2] = [Self::Journal, Self::Audit];

    /// Returns the programs that it takes, and the Debian packages that have them.
    fn tools(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Journal => (&[JOURNAL_WRITER, JOURNAL_READER], "systemd systemd-journal-remote"),
            Self::Audit => (&[AUDIT_READER], "auditd"),
        }
    }

    /// Returns what is missing for it on this machine.
    pub(crate) fn missing(self) -> Option<String> {
        let (programs, packages) = self.tools();
        let missing = programs.iter().find(|program| !Path::new(program).exists())?;
        Some(format!("{missing} is missing: apt-get install {packages}"))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Journal => "journalctl",
            Self::Audit => "ausearch",
        }
    }

    pub(crate) fn reader(self) -> &'static str {
        match self {
            Self::Journal => JOURNAL_READER,
            Self::Audit => AUDIT_READER,
        }
    }

    /// Writes the event as the log's writer takes it.
    pub(crate) fn write_entry(self, number: usize, row: &GeneratedEvent, text: &mut String) {
        match self {
            Self::Journal => write_journal_entry(row, text),
            Self::Audit => write_audit_record(number, row, text),
        }
    }

    pub(crate) fn input_name(self) -> &'static str {
        match self {
            Self::Journal => "journal.export",
            Self::Audit => "audit.log",
        }
    }

    /// Returns the command that answers a question with whole entries, the newest 50 where the reader
    /// can stop there.
    pub(crate) fn query_command(self, bench: &Bench, question: &Question) -> Command {
        match self {
            Self::Journal => query_journal(bench, question),
            Self::Audit => query_audit_log(bench, question),
        }
    }
}

/// Makes the journal of its entries. A journal of many entries is more than one file.
pub(crate) fn build_journal(bench: &Bench) -> io::Result<()> {
    let mut command = bench.command(JOURNAL_WRITER);
    command.args(["-o", "host.journal", "-"]);
    let output = command.stdin(File::open(bench.path(HostLog::Journal.input_name()))?).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{JOURNAL_WRITER}: {said}");
    Ok(())
}

fn field<'a>(row: &'a GeneratedEvent, name: &str) -> &'a str {
    let place = FIELDS.iter().position(|field| *field == name).expect("a field");
    &row[place]
}

/// Returns the time of an event in milliseconds since 1970.
pub(crate) fn millis(row: &GeneratedEvent) -> i64 {
    let time = DateTime::parse_from_rfc3339(field(row, "occurred_at"));
    time.expect("the generator writes it").timestamp_millis()
}

/// Writes the event as an entry of the Journal Export Format. The message has what people search for.
fn write_journal_entry(row: &GeneratedEvent, text: &mut String) {
    let title = [field(row, "title"), field(row, "action")].into_iter().find(|t| !t.is_empty());
    write!(
        text,
        "__REALTIME_TIMESTAMP={}\nMESSAGE={} {}\n",
        millis(row) * 1000,
        title.unwrap_or_default(),
        field(row, "target_label"),
    )
    .expect("a String takes it");
    for (name, value) in FIELDS.iter().zip(row).filter(|(_, value)| !value.is_empty()) {
        let name = name.to_ascii_uppercase();
        writeln!(text, "ACTIVITY_{name}={value}").expect("a String takes it");
    }
    text.push('\n');
}

/// The login id that no user has: the kernel's own number for it.
const NO_LOGIN: &str = "4294967295";

/// Writes the event as a record that a program sends to the audit daemon.
fn write_audit_record(number: usize, row: &GeneratedEvent, text: &mut String) {
    let (seconds, rest) = (millis(row) / 1000, millis(row) % 1000);
    let actor = Some(field(row, "actor_id")).filter(|actor| !actor.is_empty());
    let address = Some(field(row, "ip")).filter(|ip| !ip.is_empty());
    writeln!(
        text,
        "type=USER_MGMT msg=audit({seconds}.{rest:03}:{number}): pid=1 uid=0 auid={} ses=1 \
         msg='op={} id=\"{}\" acct=\"{}\" exe=\"/usr/bin/activity\" hostname=? addr={} terminal=? \
         res=success'",
        actor.unwrap_or(NO_LOGIN),
        field(row, "action"),
        field(row, "target_id"),
        field(row, "target_label"),
        address.unwrap_or("?"),
    )
    .expect("a String takes it");
}

fn query_journal(bench: &Bench, question: &Question) -> Command {
    let mut command = bench.command(JOURNAL_READER);
    command.args(["--file", "host*.journal", "--no-pager", "--reverse", "--output", "json"]);
    command.args(["--lines", "50"]);
    match question {
        Question::Newest => &mut command,
        Question::Actor(id) => command.arg(format!("ACTIVITY_ACTOR_ID={id}")),
        Question::Day(day) => {
            command.args(["--since", &format!("{day} 00:00:00")]);
            command.args(["--until", &format!("{day} 23:59:59")])
        }
        Question::Text(text) => command.args(["--case-sensitive=no", "--grep", text]),
    };
    command
}

/// ausearch reads from the oldest record on and has no search for text: `tail` and `grep` do the rest.
fn query_audit_log(bench: &Bench, question: &Question) -> Command {
    let all = format!("{AUDIT_READER} --input {} --raw", HostLog::Audit.input_name());
    let pipeline = match question {
        Question::Newest => all,
        Question::Actor(id) => format!("{all} --loginuid {id}"),
        Question::Day(day) => {
            // In the C locale a date is written month first, with two digits for the year.
            let (year, month, date) = (&day[2..4], &day[5..7], &day[8..]);
            let day = format!("{month}/{date}/{year}");
            format!("{all} --start {day} 00:00:00 --end {day} 23:59:59")
        }
        Question::Text(text) => format!("{all} | grep --ignore-case --fixed-strings '{text}'"),
    };
    let mut command = bench.command("sh");
    command.args(["-c", &format!("{pipeline} | tail -n 50")]);
    command
}
