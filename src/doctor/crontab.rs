//! Reads the text of a crontab as cron does, and finds the lines that run the digest, the sweep or the
//! mirrors.
//!
//! The rules are those of Debian's cron, which is stricter than others: one line that it cannot
//! read makes it ignore the whole file. A command is not interpreted: it runs a job when it has the
//! name of the program and the name of the job among its words. Whether the job then succeeds is
//! the log's to say, which records each run.

use crate::doctor::accounts::Accounts;
use crate::doctor::cron_time;
use crate::doctor::cron_time::BLANKS;
use crate::doctor::cron_time::split_word;
use crate::doctor::fault::Fault;

/// A job that runs by a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScheduledJob {
    Digest,
    Sweep,
    Mirror,
}

/// Two forms of crontab: in a system crontab each line names a user before the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrontabKind {
    User,
    System,
}

/// A crontab as cron sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crontab {
    pub lines: Vec<CrontabLine>,
    /// Why cron ignores the whole file.
    pub fault: Option<Fault>,
}

/// A line of a crontab that has a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CrontabLine {
    /// Counted from 1.
    pub number: usize,
    /// `0 4 * * *`, or `@daily`.
    pub schedule: String,
    /// The part that cron gives to the shell; more of the line, where cron cannot read the rest.
    pub command: String,
    /// Why cron never runs this line as it is meant, although it accepts the file.
    pub fault: Option<Fault>,
}

/// Cron refuses a longer command.
const MAX_COMMAND_LENGTH: usize = 998;

const QUOTES: [char; 2] = ['"', '\''];
/// Signs of the shell that end a word.
const SHELL_SIGNS: &str = ";&|()<>'\"`";
const PROGRAM_NAME: &str = "activity";
/// Flags of a call that is no daily run: it only shows something, or sends a digest to one reader.
const ONE_OFF_FLAGS: [&str; 2] = ["--dry-run", "--to"];
/// What stands behind `mirror` where it does not deliver what is new.
const MIRROR_COMMANDS: [&str; 4] = ["status", "test", "retry", "replay"];

/// Reads a crontab.
pub(super) fn parse(text: &str, kind: CrontabKind, accounts: &Accounts) -> Crontab {
    let mut crontab = Crontab { lines: Vec::new(), fault: None };
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with('#') || is_setting(line) {
            continue;
        }
        let number = index + 1;
        let (schedule, rest) = cron_time::split_schedule(line);
        let (error, command) = match (cron_time::error(schedule), kind) {
            // Any of its words may belong to the command.
            (Some(error), _) => (Some(error), line),
            (None, CrontabKind::User) => (command_error(rest), rest),
            (None, CrontabKind::System) => {
                let (user, command) = split_word(rest);
                match user_error(user, rest, accounts) {
                    Some(error) => (Some(error), rest),
                    None => (command_error(command), command),
                }
            }
        };
        if let Some(error) = error {
            crontab.fault.get_or_insert_with(|| {
                let reason = format!("cron ignores the whole file: line {number} {error}");
                Fault::new(reason, format!("correct or remove line {number}"))
            });
        }
        crontab.lines.push(CrontabLine {
            number,
            schedule: schedule.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            command: shell_command(command),
            fault: line_fault(schedule, command),
        });
    }
    crontab.fault = crontab.fault.or_else(|| last_line_fault(text));
    crontab
}

/// Whether a line sets a variable: `NAME = value`, with or without quotes around each.
///
/// A line without a value is none, and as a command it is an error.
fn is_setting(line: &str) -> bool {
    let after_name = match line.starts_with(QUOTES) {
        true => after_quoted(line),
        false => line.find(|c: char| c == '=' || c.is_whitespace()).map(|end| line.split_at(end).1),
    };
    let Some(value) = after_name.and_then(|rest| rest.trim_start().strip_prefix('=')) else {
        return false;
    };
    let value = value.trim();
    match value.starts_with(QUOTES) {
        true => after_quoted(value).is_some_and(str::is_empty),
        false => !value.is_empty(),
    }
}

/// The text behind the quoted string with which a text begins.
fn after_quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next()?;
    text.strip_prefix(quote)?.split_once(quote).map(|(_, rest)| rest)
}

/// Why cron does not take the user of a line, whose text from the user on is `rest`.
fn user_error(user: &str, rest: &str, accounts: &Accounts) -> Option<String> {
    if user.is_empty() {
        return Some("names no user".to_owned());
    }
    if !accounts.may_have(user) {
        return Some(format!("names the user {user}, and there is none"));
    }
    (!rest.contains(BLANKS)).then(|| "has no command".to_owned())
}

/// Why cron does not take a command.
fn command_error(command: &str) -> Option<String> {
    let is_long = command.len() > MAX_COMMAND_LENGTH;
    is_long.then(|| format!("has a command of over {MAX_COMMAND_LENGTH} bytes"))
}

/// Why a line that cron accepts does not run as it is meant.
fn line_fault(schedule: &str, command: &str) -> Option<Fault> {
    if command.ends_with('\r') {
        let reason = "the line ends in a carriage return, which cron makes a part of the command";
        return Some(Fault::new(reason, "give the file Unix line ends: sed -i 's/\\r$//' FILE"));
    }
    cron_time::fault(schedule)
}

/// A command without a newline after it makes cron ignore the file.
fn last_line_fault(text: &str) -> Option<Fault> {
    let last = text.rsplit('\n').next()?.trim_start_matches(BLANKS);
    (!last.is_empty() && !last.starts_with('#')).then(|| {
        let reason = "cron ignores the whole file: its last line does not end in a newline";
        Fault::new(reason, "add a newline at its end")
    })
}

/// The part of a command that cron gives to the shell: the rest, from a percent sign without a
/// backslash on, is input for it.
fn shell_command(command: &str) -> String {
    const ESCAPED: &str = "\\%";
    let pieces: Vec<&str> = command.split(ESCAPED).collect();
    let end = pieces.iter().position(|piece| piece.contains('%'));
    let mut shell: Vec<&str> = pieces.iter().take(end.unwrap_or(pieces.len())).copied().collect();
    shell.extend(end.and_then(|end| pieces.get(end)?.split('%').next()));
    shell.join("%")
}

/// The words of a command, without the signs that mean something to a shell.
pub(super) fn words(command: &str) -> impl Iterator<Item = &str> {
    let separates = |c: char| c.is_whitespace() || SHELL_SIGNS.contains(c);
    command.split(separates).filter(|word| !word.is_empty())
}

/// The jobs that a command runs: those that it names after the program.
pub(super) fn jobs(command: &str) -> Vec<ScheduledJob> {
    if words(command).any(|word| ONE_OFF_FLAGS.contains(&word)) {
        return Vec::new();
    }
    let is_program = |word: &&str| word.rsplit('/').next() == Some(PROGRAM_NAME);
    let after_program: Vec<&str> = words(command).skip_while(|word| !is_program(word)).collect();
    let next = after_program.iter().skip(1).map(Some).chain([None]);
    let job = |(word, next): (&&str, Option<&&str>)| match *word {
        "digest" => Some(ScheduledJob::Digest),
        "sweep" => Some(ScheduledJob::Sweep),
        "mirror" if next.is_none_or(|next| !MIRROR_COMMANDS.contains(next)) => {
            Some(ScheduledJob::Mirror)
        }
        _ => None,
    };
    let mut jobs: Vec<ScheduledJob> = after_program.iter().zip(next).filter_map(job).collect();
    jobs.dedup();
    jobs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accounts() -> Accounts {
        Accounts::new("root:x:0:0::/root:/bin/sh\n".to_owned(), "passwd: files systemd\n")
    }

    fn system(text: &str) -> Crontab {
        parse(text, CrontabKind::System, &accounts())
    }

    #[test]
    fn a_command_runs_the_jobs_that_it_names_after_the_program() {
        use ScheduledJob::{Digest, Sweep};
        for (command, expected) in [
            ("activity digest", &[Digest] as &[_]),
            ("activity digest >> /var/log/activity.log 2>&1", &[Digest]),
            ("/usr/local/bin/activity --db /srv/log.db --tz=UTC digest --quiet", &[Digest]),
            ("flock -n /run/lock/x activity digest || logger failed", &[Digest]),
            ("sh -c 'cd /; activity digest'", &[Digest]),
            ("(activity sweep;activity digest)", &[Sweep, Digest]),
            ("/opt/activity sweep --json", &[Sweep]),
            ("", &[]),
            ("activity", &[]),
            ("digest activity", &[]),
            ("activityd digest", &[]),
            ("/opt/activity/run digest", &[]),
            ("activity list 'action:digest.sent'", &[]),
            ("activity digest --dry-run", &[]),
            ("activity digest --to ops@example.org", &[]),
        ] {
            assert_eq!(jobs(command), expected, "{command}");
        }
    }

    #[test]
    fn lines_are_read_as_cron_reads_them() {
        let text = "# 0 1 * * * activity digest\n\nPATH = \"/opt/bin:/bin\"\nMAILTO=root\n\
                    0 4 * * * activity digest\n  @daily\tactivity sweep %x\n\
                    5\t3 * *  1-5 date +\\%F > x; activity sweep\n  # the end";
        let crontab = parse(text, CrontabKind::User, &accounts());
        let lines: Vec<_> = crontab
            .lines
            .iter()
            .map(|line| (line.number, line.schedule.as_str(), line.command.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (5, "0 4 * * *", "activity digest"),
                (6, "@daily", "activity sweep "),
                (7, "5 3 * * 1-5", "date +%F > x; activity sweep"),
            ]
        );
        assert_eq!(crontab.fault, None);
        let crontab = system("0 4 * * * root activity digest\n@daily root\tx\n");
        assert_eq!(crontab.lines[0].command, "activity digest");
        assert_eq!(crontab.lines[1].command, "x");
        assert_eq!(crontab.fault, None);
    }

    #[test]
    fn a_line_that_cron_accepts_may_still_not_run() {
        for (line, part) in [
            ("0 5-3 * * * true", "no hour is in 5-3"),
            ("0 4 * * * activity digest\r", "carriage return"),
        ] {
            let crontab = parse(&format!("{line}\n"), CrontabKind::User, &accounts());
            assert_eq!(crontab.fault, None, "{line}");
            let reason = &crontab.lines[0].fault.as_ref().unwrap().reason;
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn one_bad_line_makes_cron_ignore_the_file() {
        let good = "0 4 * * * root true\n";
        for (line, part) in [
            ("0 4 * * * activity digest\n", "line 2 names the user activity, and there is none"),
            ("0 4 * * *\n", "line 2 names no user"),
            ("@daily\n", "line 2 names no user"),
            ("0 4 * * * root\n", "line 2 has no command"),
            ("61 4 * * * root x\n", "line 2 has a bad minute"),
            ("MAILTO=\n", "line 2 has a bad minute"),
            ("\r\n", "line 2 has a bad minute"),
            ("0 4 * * activity digest\n", "line 2 has a bad day of week"),
            ("0 4 * * * root x", "its last line does not end in a newline"),
            (&format!("0 4 * * * root {}\n", "x".repeat(999)), "over 998 bytes"),
        ] {
            let crontab = system(&format!("{good}{line}"));
            let reason = crontab.fault.unwrap_or_else(|| panic!("{line}")).reason;
            assert!(reason.starts_with("cron ignores the whole file: "), "{reason}");
            assert!(reason.contains(part), "{reason}");
            assert_eq!(crontab.lines.len(), 2);
            let has_job = jobs(&crontab.lines[1].command) == [ScheduledJob::Digest];
            assert_eq!(has_job, line.contains("activity digest"), "{line}");
        }
        for line in [
            "",
            "# no newline",
            "   ",
            "A=b\r\n",
            "'A B' = 'c' \n",
            "MAILTO=\"\"\n",
            &format!("0 4 * * * root {}\n", "x".repeat(998)),
        ] {
            assert_eq!(system(&format!("{line}\n{good}{line}")).fault, None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[-a-z '\"\\\\<>&|;()#%=@*/,0-9\r\n]{0,60}|\\PC{0,40}") {
            jobs(&text);
            system(&text);
        }

        #[test]
        fn a_job_is_found_behind_any_plain_command(before in "[a-z./ ]{0,20}") {
            let command = format!("{before}; activity digest");
            prop_assert!(jobs(&command).contains(&ScheduledJob::Digest));
        }
    }
}
